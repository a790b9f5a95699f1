/* SPDX-License-Identifier: MIT */
/*
 * --events: what happens, one JSON object a line. There is one such file, as there is one command.
 *
 * Lines wait in a bounded queue for a thread that writes them, so that a file which takes them slowly does not slow down the run: what does not fit is
 * dropped, and counted in the last line, which is {"end":true,"events":N,"dropped":N}.
 */
#ifndef SLITHER_CLI_EVENTS_H
#define SLITHER_CLI_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include <slither/slither.h>

#include "options.h"

struct events_options {
    const char *path;   /* NULL: nothing is written */
    const char *prefix; /* NULL: all */
};

extern const char *const events_prefixes[]; /* that completion offers */

/* clang-format off */
/* `type` is the options struct, which has a struct events_options `events`. */
#define OPTIONS_EVENTS(type) \
    {"events", 0, OPTION_FILE, "FILE", "Write one JSON object for each thing that happens to FILE: batches, workers, stages, stores...", \
     offsetof(type, events.path), 0, 0, NULL, NULL}, \
    {"events-prefix", 0, OPTION_TEXT, "PREFIX", \
     "Of those only the ones whose names begin with PREFIX up to a dot, such as slither.worker", \
     offsetof(type, events.prefix), 0, 0, events_prefixes, NULL}
/* clang-format on */

/* Opens the file, which must not be the open `input_fd`, or does nothing. False: `problem` says why. */
bool events_open(const struct events_options *options, int input_fd, char *problem, size_t problem_size);
/* They are those of this runtime. */
enum sl_code events_attach(struct sl_runtime *runtime, struct sl_error *error);
/* The runtime is gone: writes what waits, and the last line, as long as the file takes anything. Says on standard error what was not written. */
void events_close(void);

#endif
