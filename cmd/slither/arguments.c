/* SPDX-License-Identifier: MIT */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include <slither/json.h>

static bool is_name_byte(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80 ||
           (!first && c >= '0' && c <= '9');
}

size_t argument_name_size(const char *text) {
    size_t size = 0;
    while (is_name_byte(text[size], size == 0)) {
        size++;
    }
    return size > 0 && text[size] == '=' && text[size + 1] != '=' ? size : 0;
}

static bool read_text(struct arguments *arguments, const char *text, struct sl_value *value, char *problem) {
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_reset(&arguments->one);
    sl_write_str(&arguments->one, text);
    bool good = sl_writer_end(&arguments->one, value, &error) == SL_OK;
    if (!good) {
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "'%.60s' cannot be an argument: %.200s", text, error.message);
    }
    sl_error_finish(&error);
    return good;
}

/* `text` is the word, or what follows the = in it. */
static bool read_value(struct arguments *arguments, const char *text, bool is_text, const struct argument_rules *rules,
                       struct sl_value *value, char *problem) {
    if (is_text) {
        return read_text(arguments, text, value, problem);
    }
    if (text[0] == '$' && rules->lookup != NULL) {
        return rules->lookup(rules->context, text + 1, value, problem);
    }
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_reset(&arguments->one);
    enum sl_code code = sl_json_parse(text, strlen(text), &arguments->one, &error);
    if (code == SL_OK) {
        code = sl_writer_end(&arguments->one, value, &error);
    }
    bool good = code == SL_OK;
    if (!good && rules->strings) {
        good = read_text(arguments, text, value, problem);
    } else if (!good && strpbrk(text, "[]{}\"") == NULL && strchr("-0123456789", text[0]) == NULL) {
        const char *advice = rules->lookup != NULL ? "a str is written 'so' or \"so\""
                                                   : "a str is written '\"so\"', or --string takes such words for one";
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "'%.80s' is not JSON: %s", text, advice);
    } else if (!good) {
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "'%.80s' is not JSON: %.200s", text, error.message);
    }
    sl_error_finish(&error);
    return good;
}

bool arguments_read(struct arguments *arguments, const struct word *word, const struct argument_rules *rules,
                    struct sl_value *value, char problem[ARGUMENT_PROBLEM_SIZE]) {
    return read_value(arguments, word->text, word->is_text, rules, value, problem);
}

void arguments_init(struct arguments *arguments) {
    *arguments = (struct arguments){0};
    sl_writer_init(&arguments->positional_writer, NULL);
    sl_writer_init(&arguments->keyword_writer, NULL);
    sl_writer_init(&arguments->one, NULL);
}

void arguments_finish(struct arguments *arguments) {
    sl_writer_finish(&arguments->positional_writer);
    sl_writer_finish(&arguments->keyword_writer);
    sl_writer_finish(&arguments->one);
}

static size_t name_of(const struct word *word) {
    return word->is_text ? 0 : argument_name_size(word->text);
}

static bool is_repeated(const struct word *words, size_t index, size_t name_size) {
    for (size_t i = 0; i < index; i++) {
        if (name_of(&words[i]) == name_size && memcmp(words[i].text, words[index].text, name_size) == 0) {
            return true;
        }
    }
    return false;
}

bool arguments_build(struct arguments *arguments, const struct word *words, size_t count,
                     const struct argument_rules *rules, char problem[ARGUMENT_PROBLEM_SIZE]) {
    uint32_t keyword_count = 0;
    arguments_init(arguments);
    for (size_t i = 0; i < count; i++) {
        keyword_count += name_of(&words[i]) > 0;
    }
    sl_write_list(&arguments->positional_writer, (uint32_t)count - keyword_count);
    sl_write_map(&arguments->keyword_writer, keyword_count);
    for (size_t i = 0; i < count; i++) {
        size_t name_size = name_of(&words[i]);
        struct sl_value value;
        const char *text = words[i].text + (name_size > 0 ? name_size + 1 : 0);
        if (name_size > 0 && is_repeated(words, i, name_size)) {
            snprintf(problem, ARGUMENT_PROBLEM_SIZE, "the keyword argument '%.*s' comes twice", (int)name_size,
                     words[i].text);
            return false;
        }
        /* After NAME= single quotes are the shell's own way to write a str. */
        size_t size = strlen(text);
        bool quoted = rules->lookup != NULL && name_size > 0 && size >= 2 && text[0] == '\'' && text[size - 1] == '\'';
        if (quoted) {
            words[i].text[name_size + size] = '\0';
            text++;
        }
        if (!read_value(arguments, text, words[i].is_text || quoted, rules, &value, problem)) {
            return false;
        }
        struct sl_writer *writer = name_size > 0 ? &arguments->keyword_writer : &arguments->positional_writer;
        if (name_size > 0) {
            sl_write_strn(writer, words[i].text, name_size);
        }
        sl_write_value(writer, value);
    }
    struct sl_error error = SL_ERROR_INIT;
    bool good = sl_writer_end(&arguments->positional_writer, &arguments->positional, &error) == SL_OK &&
                sl_writer_end(&arguments->keyword_writer, &arguments->keywords, &error) == SL_OK;
    if (!good) {
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "%.300s", error.message);
    }
    sl_error_finish(&error);
    if (keyword_count == 0) {
        arguments->keywords = (struct sl_value){NULL, 0};
    }
    if (keyword_count == count) {
        arguments->positional = (struct sl_value){NULL, 0};
    }
    return good;
}
