/* SPDX-License-Identifier: MIT */
/* What `slither call` was told, checked as far as that goes without touching a file. */
#ifndef SLITHER_CLI_CALL_OPTIONS_H
#define SLITHER_CLI_CALL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <slither/dispatch.h>

#include "common_options.h"
#include "events.h"
#include "options.h"

enum call_strategy { STRATEGY_FIXED, STRATEGY_WEIGHTED, STRATEGY_KEY, STRATEGY_UNSET };

/*
 * The delay of an input that is not a regular file, unless --max-delay says another: whoever watches a pipe waits for
 * its lines.
 */
#define LIVE_DELAY_MS 100
#define MAX_DELAY_UNSET UINT64_MAX

/* --route NAME=FILE */
struct route_option {
    const char *name; /* owned */
    const char *path; /* behind the name in the same allocation */
};

struct call_options {
    const char *function;
    const char *input; /* path, or NULL: standard input */

    uint64_t pool_size; /* 0: as many as processors */
    uint64_t pool_min;  /* 0: pool_size */
    uint64_t pool_max;  /* 0: pool_size */
    const char *python;
    struct text_list python_path;
    uint64_t start_timeout_ms;
    int no_template;
    uint64_t recycle_batches; /* 0: never, as the next two */
    uint64_t recycle_age_ms;
    uint64_t recycle_rss_bytes;

    int each;
    int strategy;
    uint64_t batch_size;
    uint64_t max_weight;
    const char *weight;
    const char *key;
    uint64_t key_window;
    uint64_t max_delay_ms; /* or MAX_DELAY_UNSET */

    uint64_t max_in_flight; /* 0: not told */
    uint64_t max_in_flight_bytes;
    int ordering;

    struct sl_error_policy policy;
    char *policy_route; /* name of the route of --on-error; owned */
    uint64_t timeout_ms;
    uint64_t run_timeout_ms;
    int on_bad_input;
    uint64_t max_line;

    int with_id;
    const char *id;
    const char *meta;
    int nan;
    struct route_option *routes;
    size_t route_count;
    const char *errors_path;
    const char *report_path;
    struct events_options events;

    int progress;
    int quiet;
    int verbose;
};

/*
 * Fills in `options` from the command line. OPTIONS_PROBLEM: `problem` says what is wrong with it.
 * call_options_finish() in each case.
 */
enum options_result call_options_parse(struct call_options *options, int argc, char **argv,
                                       char problem[OPTION_PROBLEM_SIZE]);
void call_options_finish(struct call_options *options);

extern const struct option_spec call_option_specs[];

#endif
