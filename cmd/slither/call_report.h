/* SPDX-License-Identifier: MIT */
/* The report of `slither call` as JSON. */
#ifndef SLITHER_CLI_CALL_REPORT_H
#define SLITHER_CLI_CALL_REPORT_H

#include <slither/dispatch.h>
#include <slither/pool.h>

#include "input.h"
#include "output.h"
#include "results.h"

struct call_report {
    const struct call_options *options;
    const struct input *input;
    const struct results *results;
    const struct sl_report *dispatch; /* NULL when no run began */
    const struct sl_pool_stats *pool; /* NULL when there was no pool */
    const char *python;               /* or NULL */
    const struct sl_error *error;     /* what ended the run, or NULL */
    const char *signal;               /* name of the signal that interrupted it, or NULL */
    int status;
};

/* Writes it and closes the output. */
enum sl_code call_report_write(const struct call_report *report, struct output *output, struct sl_error *error);

#endif
