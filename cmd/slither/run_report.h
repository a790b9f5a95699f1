/* SPDX-License-Identifier: MIT */
/* The report of `slither run` as JSON, and what it says on standard error. */
#ifndef SLITHER_CLI_RUN_REPORT_H
#define SLITHER_CLI_RUN_REPORT_H

#include <slither/pipe.h>
#include <slither/pipe_file.h>
#include <slither/pool.h>

#include "error_log.h"
#include "input.h"
#include "positions.h"
#include "run_options.h"
#include "run_outputs.h"

/* Where a later run goes on. */
struct run_resume {
    uint64_t items;
    struct position position;
    const uint64_t *bytes; /* of the outputs' files, in their order */
};

struct run_report {
    const struct run_options *options;
    const struct sl_pipe_file *file;
    const struct input *input;
    const struct run_outputs *outputs;
    const struct error_log *errors;
    struct run_resume resume;
    const struct sl_pipe_report *pipe; /* NULL when no run began */
    bool pools;                        /* they are there, and can be asked */
    const struct sl_error *error;      /* what ended the run, or NULL */
    const char *signal;                /* name of the signal that interrupted it, or NULL */
    bool running;                      /* there is no end yet */
    int status;
};

enum sl_code run_report_write(const struct run_report *report, struct output *output, struct sl_error *error);

/* With --quiet, only what ended the run. */
void run_summary_print(const struct run_report *report);
/* Where the traced items went, as a table. `lines` has the numbers of their lines, `line_count` of them. */
void run_trace_print(const struct sl_pipe_report *report, const uint64_t *lines, uint64_t line_count);

#endif
