/* SPDX-License-Identifier: MIT */
/* One line of `slither shell`, taken apart. */
#ifndef SLITHER_CLI_SHELL_LINE_H
#define SLITHER_CLI_SHELL_LINE_H

#include "arguments.h"

#define SHELL_WORDS_MAX 256

struct shell_line {
    char *memory;       /* of all texts below */
    char *name;         /* NAME = ...: what the result is to be called; or NULL */
    bool sets;          /* $NAME.PATH = VALUE, with the value as the only word */
    char *head;         /* the first word; NULL: there is nothing on the line */
    struct word *words; /* those behind it */
    size_t count;
};

/* shell_line_finish() in each case. False: `problem` says what is wrong. */
bool shell_line_parse(struct shell_line *line, const char *text, char problem[ARGUMENT_PROBLEM_SIZE]);
void shell_line_finish(struct shell_line *line);

/* "$name", "$name.path", "$name[KEY]": cuts it up in place. False: it is none of these. */
struct shell_place {
    char *name, *path, *key; /* the last two may be NULL */
};
bool shell_place_parse(char *text, struct shell_place *place);

#endif
