/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "nearest.h"
#include "status.h"

const struct command *const commands[] = {
    &baseline_command, &call_command, &completion_command, &eval_command,  &example_command,
    &help_command,     &new_command,  &run_command,        &shell_command, &store_command,
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

const struct command *command_find(const char *name) {
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

int command_unknown(const char *name) {
    struct nearest nearest = {.typed = name};
    for (size_t i = 0; i < command_count; i++) {
        nearest_offer(&nearest, commands[i]->name);
    }
    if (nearest.name != NULL) {
        return usage_error(NULL, "unknown command '%.60s'; did you mean '%s'?", name, nearest.name);
    }
    if (strchr(name, ':') != NULL) {
        return usage_error(NULL, "unknown command '%.60s'; to call a function: slither call %.60s", name, name);
    }
    return usage_error(NULL, "unknown command '%.60s'", name);
}

int usage_error(const struct command *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("slither: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (command != NULL) {
        fprintf(stderr, "\nTry 'slither help %s'.\n", command->name);
    } else {
        fputs("\nTry 'slither help'.\n", stderr);
    }
    return STATUS_USAGE;
}

int command_answer(const struct command *command, enum options_result result, const char *problem) {
    if (result == OPTIONS_PROBLEM) {
        return usage_error(command, "%s", problem);
    }
    help_print_command(command);
    return finish_stdout();
}

int finish_stdout(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return STATUS_OK;
    }
    if (errno == EPIPE) {
        return STATUS_PIPE_CLOSED;
    }
    fprintf(stderr, "slither: cannot write to standard output: %s\n", strerror(errno));
    return STATUS_HALTED;
}
