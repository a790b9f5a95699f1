/* SPDX-License-Identifier: MIT */
/* What `slither run` was told, checked as far as that goes without touching a file. */
#ifndef SLITHER_CLI_RUN_OPTIONS_H
#define SLITHER_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <slither/pipe_file.h>

#include "common_options.h"
#include "events.h"
#include "options.h"

enum graph_form { GRAPH_TEXT, GRAPH_DOT, GRAPH_SVG, GRAPH_NONE }; /* the first three as enum sl_pipe_picture */

/* --output DIR, or NAME=FILE */
struct output_option {
    char *name; /* owned; NULL: DIR */
    const char *path;
};

struct run_options {
    const char *file;  /* the pipe */
    const char *input; /* path, or NULL: standard input */

    struct sl_pipe_setting *settings; /* keys are owned, values lie behind them */
    uint32_t setting_count;

    const char *directory;         /* of --output DIR; or NULL */
    struct output_option *outputs; /* of --output NAME=FILE */
    size_t output_count;
    int with_id;
    int nan;
    const char *errors_path;
    const char *report_path;
    struct events_options events;
    uint64_t trace_items;

    const char *resume_from;
    int on_bad_input;
    uint64_t max_line;

    int check;
    int dry_run;
    int graph;
    int schema;

    int progress;
    int quiet;
    int verbose;
};

/* OPTIONS_PROBLEM: `problem` says what is wrong with the command line. run_options_finish() in each case. */
enum options_result run_options_parse(struct run_options *options, int argc, char **argv,
                                      char problem[OPTION_PROBLEM_SIZE]);
void run_options_finish(struct run_options *options);

extern const struct option_spec run_option_specs[];

#endif
