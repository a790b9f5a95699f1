/* SPDX-License-Identifier: MIT */
/* The command table. To add a command: write its file, declare it here and put it into the list in commands.c. */
#ifndef SLITHER_CLI_COMMAND_H
#define SLITHER_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "options.h"

/* What completion offers for the operands of a command. */
enum operand_kind {
    OPERAND_NONE,
    OPERAND_FUNCTION_AND_FILE,
    OPERAND_COMMAND,
    OPERAND_SHELL,
    OPERAND_STORE,
    OPERAND_PIPE_AND_FILE,
    OPERAND_EXAMPLE
};

struct command {
    const char *name;
    const char *synopsis;    /* its operands */
    const char *summary;     /* one phrase, as the list of commands shows it */
    const char *description; /* paragraphs of the help text, lines broken; may be NULL */
    const char *closing;     /* what help shows after the options; may be NULL */
    const struct option_spec *options;
    enum operand_kind operands;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit status */
};

extern const struct command baseline_command;
extern const struct command call_command;
extern const struct command completion_command;
extern const struct command eval_command;
extern const struct command example_command;
extern const struct command help_command;
extern const struct command new_command;
extern const struct command shell_command;
extern const struct command run_command;
extern const struct command store_command;

extern const struct command *const commands[];
extern const size_t command_count;

/* NULL when there is none of that name. */
const struct command *command_find(const char *name);
/* Says on stderr that there is no such command, and which one may have been meant; returns STATUS_USAGE. */
int command_unknown(const char *name);

/* Help on one command, or on the program, to stdout. */
void help_print_command(const struct command *command);
void help_print_overview(void);

/* "slither: MESSAGE", and where to read on, to stderr; returns STATUS_USAGE. `command` may be NULL. */
int usage_error(const struct command *command, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* Where the options are not to be run with: prints the help that was asked for, or says the problem; returns the exit status. */
int command_answer(const struct command *command, enum options_result result, const char *problem);

/* Ends what was printed to stdout: 0, or STATUS_HALTED with a message when it could not be written. */
int finish_stdout(void);

#endif
