/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <slither/version.h>

#include "command.h"
#include "status.h"

static int print_version(void) {
    printf("slither %s\n", sl_version());
    if (strcmp(sl_version(), SL_VERSION_STRING) != 0) {
        printf("command built for library %s\n", SL_VERSION_STRING);
    }
    return finish_stdout();
}

int main(int argc, char **argv) {
    /* Writing to a closed pipe is an error to be answered, not a death that leaves the report unwritten. */
    signal(SIGPIPE, SIG_IGN);

    if (argc < 2) {
        return usage_error(NULL, "a command is missing");
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        return print_version();
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_print_overview();
        return finish_stdout();
    }
    if (word[0] == '-') {
        return usage_error(NULL, "unknown option %.60s; options follow the command", word);
    }
    const struct command *command = command_find(word);
    if (command == NULL) {
        return command_unknown(word);
    }
    return command->run(argc - 1, argv + 1);
}
