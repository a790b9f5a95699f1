/* SPDX-License-Identifier: MIT */
/*
 * One `slither run`, as its parts see it.
 *
 * Threads: the main one feeds the pipe, and works for its first Python stage; the pipe's own, which call the sinks (run_outputs.c); one reads and parses the input
 * (input.c); one takes signals (phases.c); and one, the clerk, does what is due now and then: it writes out what is buffered, draws the progress,
 * and keeps the report up to date, from which a run that was killed can be gone on from.
 */
#ifndef SLITHER_CLI_RUN_H
#define SLITHER_CLI_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <slither/slither.h>

#include "input.h"
#include "phases.h"
#include "positions.h"
#include "resume.h"
#include "run_options.h"
#include "run_outputs.h"
#include "run_report.h"

#define RUN_PROBLEM_SIZE 1024

struct run {
    struct run_options options;
    struct sl_pipe_file *file;
    struct resume resume;
    struct input *input;
    struct run_outputs outputs;
    struct error_log errors;
    struct part_file report_file;
    struct positions positions;
    struct sl_runtime *runtime;
    bool started; /* the file's pools and stores */
    struct sl_pipe_options pipe_options;
    struct sl_pipe_sink *sinks;
    struct sl_pipe_run *pipe_run;
    struct sl_pipe_report report;
    bool ran;
    uint64_t *cut_bytes; /* of the outputs, where a later run would go on */
    uint64_t *traced_lines;
    uint64_t pulled; /* items; of the thread that feeds */

    pthread_mutex_t error_mutex; /* guards the next two */
    struct sl_error cause;       /* what our own source or sink said when it ended the run */
    struct sl_error clerk_error; /* what went wrong between two items */
    struct sl_error error;       /* what ended the run */

    pthread_t clerk;
    bool clerk_started;
    int bell; /* something is there to be written */
    atomic_bool rung;
    atomic_bool clerk_ends;
    atomic_bool reload_wanted; /* by a SIGHUP */
    struct phases phases;
};

/* ---- run_open.c ---- */

/* The file of the pipe. Its problems are told here. */
bool run_read_file(struct run *run);
/* All that the command line names. False: it is not acceptable. */
bool run_open(struct run *run, char *problem, size_t size);
/* The runtime, and the file's stores and pools. On failure run->error says why. */
enum sl_code run_start(struct run *run);

/* ---- run_items.c ---- */

/* For input_open(). */
bool run_on_bad_line(void *context, const struct bad_line *bad);
/* All items of the input through the pipe. What ended them is in run->error. */
enum sl_code run_items(struct run *run);

/* ---- run_clerk.c ---- */

/* Tells the clerk that something is there to be written. */
void run_ring(struct run *run);
enum sl_code run_clerk_start(struct run *run);
/* Idempotent. */
void run_clerk_stop(struct run *run);

/* ---- run_end.c ---- */

/* Keeps an error that any thread met in `kept`, which is a member of the run: the first one counts. */
void run_keep(struct run *run, struct sl_error *kept, const struct sl_error *error);
/*
 * Where a later run goes on, when `through` items are finished. `all`: those are all that were read, with the bad lines behind them. False: it is not
 * known any more.
 */
bool run_find_resume(struct run *run, uint64_t through, bool all, struct run_resume *resume);
struct run_report run_describe(struct run *run);
/* Replaces the report, or writes to what is no regular file. */
void run_write_report(struct run *run, const struct run_report *report);
/* Closes what was written, reports, and says what came of the run; its exit status. */
int run_end(struct run *run);

/* ---- run_plan.c ---- */

/* --check */
int run_print_check(const struct run *run);
/* --dry-run: starts all, and says what would be done. */
int run_print_plan(struct run *run);
/* Prints and frees; NULL: there was no memory. */
int run_print_owned(char *text);

#endif
