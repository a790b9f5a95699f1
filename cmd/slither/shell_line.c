/* SPDX-License-Identifier: MIT */
#include "shell_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of the word at `text`: blanks within quotes and brackets belong to it. NULL: a quote or bracket is open. */
static char *word_end(char *text) {
    char *at = text;
    size_t depth = 0;
    char quote = '\0';
    for (; *at != '\0'; at++) {
        if (quote != '\0') {
            if (*at == '\\' && quote == '"' && at[1] != '\0') {
                at++;
            } else if (*at == quote) {
                quote = '\0';
            }
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        } else if (*at == '[' || *at == '{' || *at == '(') {
            depth++;
        } else if (depth > 0 && (*at == ']' || *at == '}' || *at == ')')) {
            depth--;
        } else if (depth == 0 && is_blank(*at)) {
            break;
        }
    }
    return quote == '\0' && depth == 0 ? at : NULL;
}

static bool add_word(struct shell_line *line, char *text, char *problem) {
    if (line->count == SHELL_WORDS_MAX) {
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "the line has more than %d words", SHELL_WORDS_MAX);
        return false;
    }
    size_t size = strlen(text);
    bool is_text = size >= 2 && text[0] == '\'' && text[size - 1] == '\'' && memchr(text + 1, '\'', size - 2) == NULL;
    if (is_text) {
        text[size - 1] = '\0';
        text++;
    }
    line->words[line->count++] = (struct word){text, is_text};
    return true;
}

static bool cut(struct shell_line *line, char *problem) {
    for (char *at = line->memory;;) {
        while (is_blank(*at)) {
            at++;
        }
        if (*at == '\0' || *at == '#') {
            return true;
        }
        char *end = word_end(at);
        if (end == NULL) {
            snprintf(problem, ARGUMENT_PROBLEM_SIZE, "a quote or a bracket is not closed in: %.80s", at);
            return false;
        }
        bool last = *end == '\0';
        *end = '\0';
        if (!add_word(line, at, problem)) {
            return false;
        }
        if (last) {
            return true;
        }
        at = end + 1;
    }
}

static void drop_words(struct shell_line *line, size_t count) {
    line->words += count;
    line->count -= count;
}

bool shell_line_parse(struct shell_line *line, const char *text, char problem[ARGUMENT_PROBLEM_SIZE]) {
    *line = (struct shell_line){0};
    size_t size = strlen(text);
    /* The words lie behind the text, in one block. */
    size_t words_at = (size + 16) & ~(size_t)15;
    line->memory = malloc(words_at + SHELL_WORDS_MAX * sizeof(struct word));
    if (line->memory == NULL) {
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "out of memory");
        return false;
    }
    memcpy(line->memory, text, size + 1);
    line->words = (struct word *)(void *)(line->memory + words_at);
    if (!cut(line, problem)) {
        return false;
    }
    if (line->count > 0) {
        char *first = line->words[0].text;
        size_t name_size = line->words[0].is_text ? 0 : argument_name_size(first);
        bool equals = line->count > 1 && !line->words[1].is_text && strcmp(line->words[1].text, "=") == 0;
        if (equals && first[0] == '$' && strpbrk(first, ".[") != NULL) {
            line->sets = true;
            line->head = first;
            drop_words(line, 2);
            if (line->count != 1) {
                snprintf(problem, ARGUMENT_PROBLEM_SIZE, "%.80s = needs one value behind it", first);
                return false;
            }
            return true;
        }
        if (equals) {
            line->name = first[0] == '$' ? first + 1 : first;
            drop_words(line, 2);
        } else if (name_size > 0) { /* x=math:pi */
            line->name = first;
            first[name_size] = '\0';
            line->words[0].text = first + name_size + 1;
            drop_words(line, *line->words[0].text == '\0' ? 1 : 0);
        }
        if (line->name != NULL) {
            char probe[68]; /* a name of 65 bytes, and the = */
            snprintf(probe, sizeof probe, "%.65s=", line->name);
            if (argument_name_size(probe) != strlen(line->name) || line->count == 0) {
                snprintf(problem, ARGUMENT_PROBLEM_SIZE,
                         line->count == 0 ? "'%.60s =' needs something behind it"
                                          : "'%.60s' is not a name: expected letters, digits and _, at most 65",
                         line->name);
                return false;
            }
        }
    }
    if (line->count > 0) {
        line->head = line->words[0].text;
        drop_words(line, 1);
    }
    return true;
}

void shell_line_finish(struct shell_line *line) {
    free(line->memory);
    *line = (struct shell_line){0};
}

bool shell_place_parse(char *text, struct shell_place *place) {
    *place = (struct shell_place){0};
    if (text[0] != '$') {
        return false;
    }
    place->name = text + 1;
    char *at = place->name + strcspn(place->name, ".[");
    size_t size = strlen(at);
    if (*at == '.') {
        *at = '\0';
        place->path = at + 1;
        return *place->path != '\0' && *place->name != '\0';
    }
    if (*at == '[') {
        *at = '\0';
        place->key = at + 1;
        if (size < 3 || place->key[size - 2] != ']') {
            return false;
        }
        place->key[size - 2] = '\0';
    }
    return *place->name != '\0';
}
