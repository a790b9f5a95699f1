/* SPDX-License-Identifier: MIT */
/* The words behind the name of a callable, as its arguments: JSON, NAME=JSON, and in the shell $NAME. */
#ifndef SLITHER_CLI_ARGUMENTS_H
#define SLITHER_CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include <slither/value.h>

struct word {
    char *text;
    bool is_text; /* it was in single quotes: a str, whatever it looks like */
};

#define ARGUMENT_PROBLEM_SIZE 400

/* Finds what `$name` stands for. False: `problem` says why not. */
typedef bool argument_lookup_fn(void *context, const char *name, struct sl_value *value,
                                char problem[ARGUMENT_PROBLEM_SIZE]);

struct arguments {
    struct sl_writer positional_writer, keyword_writer, one;
    struct sl_value positional, keywords; /* for sl_call(); "no value" when there are none */
};

/* `lookup` may be NULL: there are no names. */
struct argument_rules {
    bool strings; /* what is not JSON is a str */
    argument_lookup_fn *lookup;
    void *context;
};

/* arguments_finish() in each case. False: `problem` says what is wrong with which word. */
bool arguments_build(struct arguments *arguments, const struct word *words, size_t count,
                     const struct argument_rules *rules, char problem[ARGUMENT_PROBLEM_SIZE]);
void arguments_finish(struct arguments *arguments);

/* One word as a value, in arguments->one. */
bool arguments_read(struct arguments *arguments, const struct word *word, const struct argument_rules *rules,
                    struct sl_value *value, char problem[ARGUMENT_PROBLEM_SIZE]);
void arguments_init(struct arguments *arguments);

/* Length of the name of "NAME=...", or 0. */
size_t argument_name_size(const char *text);

#endif
