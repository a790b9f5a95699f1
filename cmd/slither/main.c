/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/*
 * A standard stream that we were started without: its number would go to the next file that is opened, and results
 * would end up there. What is opened in its place cannot be used, so that using it is an error as it should be.
 */
static void reserve_standard_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null",
                       fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* takes the lowest free number: this one */
        }
    }
}

int main(int argc, char **argv) {
    reserve_standard_streams();
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
