/* SPDX-License-Identifier: MIT */
/*
 * Where the outcomes of a run go: results to standard output, routed items and errors to their files, all of them
 * into counts.
 */
#ifndef SLITHER_CLI_RESULTS_H
#define SLITHER_CLI_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include <slither/dispatch.h>

#include "call_options.h"
#include "error_log.h"
#include "input.h"
#include "output.h"

struct results {
    const struct call_options *options;
    struct output out;
    struct error_log errors;
    struct output *routes; /* one for each --route */
    bool flush_each;       /* somebody watches */

    uint64_t unprintable[SL_STATUS_COUNT]; /* for the run they were that; without a JSON form they are failed */
    uint64_t unrouted;                     /* routed to a name that has no --route */
    struct printer printer;
};

/* Opens what the options name. False: `problem` says what is wrong; results_finish() in either case. */
bool results_open(struct results *results, const struct call_options *options, int input_fd, char *problem,
                  size_t problem_size);
/* Writes out what is buffered; the first trouble is returned. */
enum sl_code results_flush(struct results *results, struct sl_error *error);
enum sl_code results_close(struct results *results, struct sl_error *error);
void results_finish(struct results *results);

struct sl_sink results_sink(struct results *results);
/* The run's counts, but what could not be printed is failed. They add up to the run's input as its own do. */
void results_counts(const struct results *results, const struct sl_report *report, uint64_t counts[SL_STATUS_COUNT]);
/* Items that were ok, or routed, until they were to be printed. */
uint64_t results_unprintable(const struct results *results);
#endif
