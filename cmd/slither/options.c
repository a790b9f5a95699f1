/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "units.h"

/* Tables are short; the bound keeps getopt's copy on the stack. */
#define OPTIONS_MAX 64
/* Long options are told to getopt as this plus their index, clear of every letter. */
#define LONG_BASE 256

bool option_is_heading(const struct option_spec *spec) {
    return spec->help == NULL;
}

/* as_completed and as-completed are the same word. */
static bool same_choice(const char *a, const char *b) {
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        char x = *a == '_' ? '-' : *a;
        char y = *b == '_' ? '-' : *b;
        if (x != y) {
            return false;
        }
    }
    return *a == *b;
}

static bool set_choice(const struct option_spec *spec, const char *text, int *out, char *problem) {
    char names[200] = "";
    size_t used = 0;
    for (int i = 0; spec->choices[i] != NULL; i++) {
        if (same_choice(spec->choices[i], text)) {
            *out = i;
            return true;
        }
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
                                 i == 0                         ? ""
                                 : spec->choices[i + 1] == NULL ? " or "
                                                                : ", ",
                                 spec->choices[i]);
    }
    snprintf(problem, OPTION_PROBLEM_SIZE, "--%s: '%.60s' is not one of its values: expected %s", spec->name, text,
             names);
    return false;
}

static bool set_number(const struct option_spec *spec, const char *text, uint64_t *out, char *problem) {
    uint64_t number = 0;
    const char *expected = NULL;
    switch (spec->kind) {
    case OPTION_DURATION:
        if (!parse_duration_ms(text, &number)) {
            expected = "a duration: expected a number with ms, s, m, h or d, such as 500ms, 30s or 2m";
        }
        break;
    case OPTION_SIZE:
        if (!parse_size(text, &number)) {
            expected = "a size: expected bytes, or a number with K, M or G, such as 64M or 1G";
        }
        break;
    default:
        if (!parse_count(text, &number)) {
            expected = "a whole number";
        }
        break;
    }
    if (expected != NULL) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--%s: '%.60s' is not %s", spec->name, text, expected);
        return false;
    }
    if (number < spec->min || number > spec->max) {
        const char *unit = spec->kind == OPTION_DURATION ? " ms" : spec->kind == OPTION_SIZE ? " bytes" : "";
        snprintf(problem, OPTION_PROBLEM_SIZE, "--%s: %.60s is out of range: expected %" PRIu64 " to %" PRIu64 "%s",
                 spec->name, text, spec->min, spec->max, unit);
        return false;
    }
    *out = number;
    return true;
}

static bool apply(const struct option_spec *spec, const char *text, void *options, char *problem) {
    void *field = (char *)options + spec->offset;
    switch (spec->kind) {
    case OPTION_FLAG:
        *(int *)field = (int)spec->min;
        return true;
    case OPTION_COUNTER:
        *(int *)field += 1;
        return true;
    case OPTION_COUNT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return set_number(spec, text, field, problem);
    case OPTION_CHOICE:
        return set_choice(spec, text, field, problem);
    case OPTION_TEXT:
    case OPTION_EXPRESSION:
    case OPTION_FILE:
        if (*text == '\0') {
            snprintf(problem, OPTION_PROBLEM_SIZE, "--%s: its argument is empty: expected %s", spec->name,
                     spec->argument);
            return false;
        }
        *(const char **)field = text;
        return true;
    case OPTION_DIRECTORY:
        if (!text_list_add(field, text)) {
            snprintf(problem, OPTION_PROBLEM_SIZE, "--%s: out of memory", spec->name);
            return false;
        }
        return true;
    case OPTION_CUSTOM:
        return spec->parse(options, text, problem);
    }
    return false;
}

/* getopt says only "?": find out what was wrong with `word` and say it. */
static void explain(const struct option_spec *specs, const char *word, int letter, char *problem) {
    if (strncmp(word, "--", 2) != 0) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "unknown option -%c", letter);
        return;
    }
    char typed[64];
    size_t size = strcspn(word + 2, "=");
    snprintf(typed, sizeof(typed), "%.*s", (int)(size < sizeof(typed) ? size : sizeof(typed) - 1), word + 2);
    size = strlen(typed);
    char candidates[240] = "";
    size_t used = 0;
    unsigned matches = 0;
    struct nearest nearest = {.typed = typed};
    for (size_t i = 0; specs[i].name != NULL; i++) {
        const char *name = specs[i].name;
        if (option_is_heading(&specs[i])) {
            continue;
        }
        nearest_offer(&nearest, name);
        if (strcmp(name, typed) == 0) { /* known, so its argument was the trouble */
            snprintf(problem, OPTION_PROBLEM_SIZE, "--%s takes no argument", name);
            return;
        }
        if (size > 0 && strncmp(name, typed, size) == 0 && used < sizeof(candidates)) {
            used += (size_t)snprintf(candidates + used, sizeof(candidates) - used, "%s--%s", matches == 0 ? "" : ", ",
                                     name);
            matches++;
        }
    }
    if (matches == 1) { /* an unambiguous abbreviation, with an argument that it does not take */
        snprintf(problem, OPTION_PROBLEM_SIZE, "%s takes no argument", candidates);
    } else if (matches > 1) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--%s is ambiguous: %s", typed, candidates);
    } else if (nearest.name != NULL) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "unknown option --%s; did you mean --%s?", typed, nearest.name);
    } else {
        snprintf(problem, OPTION_PROBLEM_SIZE, "unknown option --%s", typed);
    }
}

enum options_result options_parse(const struct option_spec *specs, int argc, char **argv, void *options,
                                  int *operand_start, char problem[OPTION_PROBLEM_SIZE]) {
    struct option longs[OPTIONS_MAX + 1] = {{0}};
    char letters[2 * OPTIONS_MAX + 2] = ":";
    size_t letter_count = 1;
    size_t long_count = 0;
    for (size_t i = 0; specs[i].name != NULL && long_count < OPTIONS_MAX; i++) {
        const struct option_spec *spec = &specs[i];
        if (option_is_heading(spec)) {
            continue;
        }
        bool takes = spec->argument != NULL;
        longs[long_count++] =
            (struct option){spec->name, takes ? required_argument : no_argument, NULL, LONG_BASE + (int)i};
        if (spec->letter != 0) {
            letters[letter_count++] = spec->letter;
            if (takes) {
                letters[letter_count++] = ':';
            }
        }
    }
    letters[letter_count] = '\0';

    optind = 0; /* glibc: start afresh */
    opterr = 0;
    for (;;) {
        int word_index = optind == 0 ? 1 : optind;
        int got = getopt_long(argc, argv, letters, longs, NULL);
        if (got == -1) {
            *operand_start = optind;
            return OPTIONS_OK;
        }
        /* After a permutation the word that was just read is the one before optind, unless letters are bundled. */
        const char *word = argv[optind > word_index ? optind - 1 : word_index];
        const struct option_spec *spec = NULL;
        for (size_t i = 0; specs[i].name != NULL && spec == NULL; i++) {
            if (!option_is_heading(&specs[i]) && (got == LONG_BASE + (int)i || (got == specs[i].letter && got != 0))) {
                spec = &specs[i];
            }
        }
        if (got == ':') {
            snprintf(problem, OPTION_PROBLEM_SIZE, "option %s%s needs an argument", word,
                     strncmp(word, "--", 2) == 0 || strlen(word) == 2 ? "" : " (its last letter)");
            return OPTIONS_PROBLEM;
        }
        if (spec == NULL) {
            explain(specs, word, optopt, problem);
            return OPTIONS_PROBLEM;
        }
        if (strcmp(spec->name, "help") == 0) {
            return OPTIONS_HELP;
        }
        if (!apply(spec, optarg, options, problem)) {
            return OPTIONS_PROBLEM;
        }
    }
}

/* Words of `text` from column `column` on, broken before `width`. */
static void print_wrapped(const char *text, unsigned column, unsigned width) {
    unsigned at = column;
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        if (at > column && at + 1 + size > width) {
            printf("\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)size, text);
        at += (unsigned)size;
        text += size;
        text += strspn(text, " ");
    }
    putchar('\n');
}

void options_print(const struct option_spec *specs, unsigned width) {
    const unsigned column = 32;
    if (width < column + 20) {
        width = column + 20;
    }
    if (!option_is_heading(&specs[0])) {
        printf("\noptions:\n");
    }
    for (size_t i = 0; specs[i].name != NULL; i++) {
        const struct option_spec *spec = &specs[i];
        if (option_is_heading(spec)) {
            printf("\n%s:\n", spec->name);
            continue;
        }
        char head[96];
        int size = spec->letter != 0 ? snprintf(head, sizeof(head), "  -%c, --%s", spec->letter, spec->name)
                                     : snprintf(head, sizeof(head), "      --%s", spec->name);
        if (spec->argument != NULL) {
            size += snprintf(head + size, sizeof(head) - (size_t)size, " %s", spec->argument);
        }
        if ((unsigned)size + 2 > column) {
            printf("%s\n%*s", head, (int)column, "");
        } else {
            printf("%-*s", (int)column, head);
        }
        print_wrapped(spec->help, column, width);
    }
}
