/* SPDX-License-Identifier: MIT */
/* `slither help [COMMAND]`, made from the command table. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "status.h"

/* Columns of the terminal that stdout is; 100 elsewhere, so that what is piped is the same everywhere. */
static unsigned help_width(void) {
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col < 120 ? size.ws_col : 120;
    }
    return 100;
}

void help_print_overview(void) {
    puts("usage: slither COMMAND [ARGUMENT...]\n"
         "\n"
         "Keeps Python doing compute: items go to supervised Python workers over shared memory, in bounded batches.\n"
         "\n"
         "commands:");
    for (size_t i = 0; i < command_count; i++) {
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    }
    puts("\n"
         "'slither help COMMAND' tells more of each; 'slither --version' prints the version.");
}

void help_print_command(const struct command *command) {
    printf("usage: slither %s %s\n", command->name, command->synopsis);
    if (command->description != NULL) {
        printf("\n%s", command->description);
    }
    options_print(command->options, help_width());
    if (command->closing != NULL) {
        printf("\n%s", command->closing);
    }
}

static const struct option_spec help_options[] = {
    OPTION_HELP,
    OPTION_END,
};

static int run_help(int argc, char **argv) {
    char problem[OPTION_PROBLEM_SIZE];
    int first;
    enum options_result parsed = options_parse(help_options, argc, argv, NULL, &first, problem);
    if (parsed != OPTIONS_OK) {
        return command_answer(&help_command, parsed, problem);
    }
    if (argc - first > 1) {
        return usage_error(&help_command, "one command at a time: '%.60s' is one too many", argv[first + 1]);
    }
    if (argc == first) {
        help_print_overview();
        return finish_stdout();
    }
    const struct command *command = command_find(argv[first]);
    if (command == NULL) {
        return command_unknown(argv[first]);
    }
    help_print_command(command);
    return finish_stdout();
}

const struct command help_command = {
    .name = "help",
    .synopsis = "[COMMAND]",
    .summary = "explain a command, or list them",
    .options = help_options,
    .operands = OPERAND_COMMAND,
    .run = run_help,
};
