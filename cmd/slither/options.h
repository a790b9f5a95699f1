/* SPDX-License-Identifier: MIT */
/*
 * Option tables. One table says all that there is to know of a command's options: parsing, help, completions and the
 * test of the manual pages read it.
 */
#ifndef SLITHER_CLI_OPTIONS_H
#define SLITHER_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,       /* no argument; int at `offset` becomes `min` */
    OPTION_COUNTER,    /* no argument; int at `offset` is counted up */
    OPTION_COUNT,      /* whole number, min..max, into uint64_t */
    OPTION_DURATION,   /* milliseconds, min..max, into uint64_t */
    OPTION_SIZE,       /* bytes, min..max, into uint64_t */
    OPTION_CHOICE,     /* one of `choices`; its index into int */
    OPTION_TEXT,       /* as it stands, into const char * */
    OPTION_EXPRESSION, /* jq, as it stands, into const char * */
    OPTION_FILE,       /* path, into const char * */
    OPTION_DIRECTORY,  /* path, into struct text_list */
    OPTION_CUSTOM      /* `parse` is called with the options struct */
};

struct text_list {
    const char **texts; /* NULL-terminated when count > 0 */
    size_t count;
};

#define OPTION_PROBLEM_SIZE 400

struct option_spec {
    const char *name; /* without the dashes; NULL: the end of the table */
    char letter;      /* or 0 */
    enum option_kind kind;
    const char *argument; /* as help shows it, "N"; NULL for flags */
    const char *help;     /* one sentence without the stop; NULL: a heading, whose text is `name` */
    size_t offset;
    uint64_t min, max;
    const char *const *choices; /* NULL-terminated; for CUSTOM and TEXT: what completion offers */
    bool (*parse)(void *options, const char *text, char problem[OPTION_PROBLEM_SIZE]);
};

/* What every table ends with: these two. */
#define OPTION_HELP \
    { "help", 'h', OPTION_FLAG, NULL, "Show this help and exit", 0, 0, 0, NULL, NULL }
#define OPTION_END \
    { NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL, NULL }

bool option_is_heading(const struct option_spec *spec);

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_PROBLEM };

/*
 * Parses argv[1..] with getopt_long; operands may stand between options. *operand_start is the index of the first
 * operand in argv (which is permuted). On OPTIONS_PROBLEM `problem` says what is wrong. Not reentrant, as getopt is
 * not.
 */
enum options_result options_parse(const struct option_spec *specs, int argc, char **argv, void *options,
                                  int *operand_start, char problem[OPTION_PROBLEM_SIZE]);

/* Prints the table as help text, `width` columns at most. */
void options_print(const struct option_spec *specs, unsigned width);

void text_list_finish(struct text_list *list);
/* False when memory runs out. */
bool text_list_add(struct text_list *list, const char *text);

#endif
