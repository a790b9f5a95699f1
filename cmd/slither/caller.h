/* SPDX-License-Identifier: MIT */
/* What `slither eval` and `slither shell` share: one worker, one call at a time, and what a signal does to it. */
#ifndef SLITHER_CLI_CALLER_H
#define SLITHER_CLI_CALLER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <slither/slither.h>

#include "common_options.h"
#include "events.h"
#include "options.h"
#include "printer.h"

struct caller_options {
    const char *python;
    struct text_list python_path;
    uint64_t start_timeout_ms;
    uint64_t timeout_ms;
    struct events_options events;
    int strings;
    int iterate;
    int nan;
    int progress;
    int quiet;
    int verbose;
};

#define CALLER_OPTIONS_INIT \
    { .start_timeout_ms = 30000, .timeout_ms = 30000, .progress = PROGRESS_AUTO }

/* clang-format off */
#define OPTIONS_CALLER_WORKER(type) \
    {"python", 0, OPTION_FILE, "PATH", "Run this interpreter (default: that of $VIRTUAL_ENV, else python3)", \
     offsetof(type, python), 0, 0, NULL, NULL}, \
    {"pythonpath", 0, OPTION_DIRECTORY, "DIR", "Look for modules in DIR before $PYTHONPATH; may be repeated", \
     offsetof(type, python_path), 0, 0, NULL, NULL}, \
    {"start-timeout", 0, OPTION_DURATION, "TIME", "Give up when the worker is not ready after TIME (default 30s)", \
     offsetof(type, start_timeout_ms), 1, (uint64_t)24 * 3600 * 1000, NULL, NULL}
/* clang-format on */

struct caller {
    const struct caller_options *options;
    struct sl_runtime *runtime;
    struct sl_pool *pool;
    struct sl_control *control;
    struct printer printer;
    struct output out;
    pthread_mutex_t mutex;   /* guards `busy`, `control` and `interrupts` */
    bool busy;               /* a call is under way */
    bool streams;            /* and its items are being printed: one signal asks the loop to end */
    unsigned interrupts;     /* of the call that is under way */
    atomic_bool interrupted; /* the same, to be looked at without the lock */
    int idle_fd;             /* an eventfd that SIGINT is told to while there is no call; -1: SIGINT ends the program */
};

/* Signals, standard output, the worker. False: what went wrong is on stderr, `*status` is what to end with. caller_close() in each case. */
bool caller_open(struct caller *caller, const struct caller_options *options, const char *name, int idle_fd,
                 int *status);
void caller_close(struct caller *caller);

/* Options for one call. It ends with caller_end(). False: told on stderr. */
bool caller_begin(struct caller *caller, struct sl_session *session, struct sl_call_options *options);
void caller_end(struct caller *caller);
/* From now on the first SIGINT only sets `interrupted`. */
void caller_streams(struct caller *caller);

/* Whether a ref names something that is there to be iterated over. */
bool caller_is_iterator(struct sl_value value);
/* Prints the items that come, one a line, until they end or SIGINT comes. `error` is set then, and on failure. */
enum sl_code caller_print_items(struct caller *caller, struct sl_iteration *iteration, struct sl_error *error);
enum sl_code caller_print(struct caller *caller, struct sl_value value, struct sl_error *error);
/* Tells a failure on stderr; returns the exit status that it means. */
int caller_fail(const struct caller *caller, enum sl_code code, const struct sl_error *error);

#endif
