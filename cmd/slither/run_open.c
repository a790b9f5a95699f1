/* SPDX-License-Identifier: MIT */
/* What a run opens before its first item: the pipe's file, input, outputs and report, then the runtime with the file's stores and pools. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "run.h"
#include "secrets.h"

#define PROBLEMS_MAX 64 /* of a file that are told */

bool run_read_file(struct run *run) {
    struct sl_pipe_file_problem problems[PROBLEMS_MAX];
    uint32_t count = 0;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl_pipe_file_read(run->options.file, run->options.settings, run->options.setting_count,
                                          &run->file, problems, PROBLEMS_MAX, &count, &error);
    for (uint32_t i = 0; code != SL_OK && i < count && i < PROBLEMS_MAX; i++) {
        char text[SL_PIPE_FILE_PROBLEM_TEXT_SIZE];
        sl_pipe_file_problem_text(&problems[i], text);
        console_message(CONSOLE_ERROR, "%s", text);
    }
    if (code != SL_OK && count == 0) {
        console_message(CONSOLE_ERROR, "%s", error.message);
    } else if (code != SL_OK && count > PROBLEMS_MAX) {
        console_message(CONSOLE_PLAIN, "and %u more", count - PROBLEMS_MAX);
    }
    sl_error_finish(&error);
    if (code == SL_OK) {
        secrets_else(sl_pipe_file_redact(run->file));
    }
    return code == SL_OK;
}

static bool resume_fits(const struct run *run, char *problem, size_t size) {
    const char *name = sl_pipe_file_name(run->file);
    if (run->resume.pipe != NULL && strcmp(run->resume.pipe, name) != 0) {
        snprintf(problem, size, "--resume-from: %.200s is the report of the pipe '%.60s', not of '%.60s'",
                 run->options.resume_from, run->resume.pipe, name);
        return false;
    }
    return true;
}

static void on_idle(void *context) {
    (void)context; /* what is buffered the clerk writes out */
}

bool run_open(struct run *run, char *problem, size_t size) {
    const struct run_options *options = &run->options;
    uint32_t count = 0;
    const char *const *names = sl_pipe_file_outputs(run->file, &count);
    if (!resume_read(&run->resume, options->resume_from, problem, size) || !resume_fits(run, problem, size) ||
        !run_outputs_place(&run->outputs, options, names, count, problem, size) ||
        run_outputs_clash(&run->outputs, "--report", options->report_path, problem, size) ||
        run_outputs_clash(&run->outputs, "--errors", options->errors_path, problem, size)) {
        return false;
    }
    bool by_place = run->resume.bytes > 0;
    struct input_options input_options = {
        .path = options->input,
        .line_max = (size_t)options->max_line,
        .skip_bytes = run->resume.bytes,
        .skip_lines = by_place ? run->resume.lines : 0,
        .skip_items = by_place ? 0 : run->resume.items,
        .bad_line = run_on_bad_line,
        .idle = on_idle,
        .context = run,
    };
    run->input = input_open(&input_options, problem, size);
    run->cut_bytes = calloc(count, sizeof(*run->cut_bytes));
    run->sinks = calloc(count, sizeof(*run->sinks));
    if (run->input == NULL) {
        return false;
    }
    if (run->cut_bytes == NULL || run->sinks == NULL) {
        snprintf(problem, size, "out of memory");
        return false;
    }
    int input = input_fd(run->input);
    if (options->dry_run) { /* nothing is written */
        return error_log_open(&run->errors, NULL, false, options->quiet != 0, input, problem, size);
    }
    if (!run_outputs_open(&run->outputs, &run->resume, input, &run->phases.stop, &run->errors, problem, size) ||
        !error_log_open(&run->errors, options->errors_path, run->resume.given, options->quiet != 0, input, problem,
                        size)) {
        return false;
    }
    if (!events_open(&options->events, input, problem, size)) {
        return false;
    }
    /* That the report can be written is better known now; the one that is there stays until there is another. */
    return options->report_path == NULL ||
           (part_file_place(&run->report_file, options->report_path, problem, size) &&
            (run->report_file.part == NULL || (part_file_open(&run->report_file, input, problem, size) &&
                                               part_file_close(&run->report_file, false, NULL) == SL_OK)));
}

static void on_announce(void *context, const char *text) {
    struct run *run = context;
    if (!run->options.quiet) {
        console_message(CONSOLE_PLAIN, "%s", text);
    }
}

enum sl_code run_start(struct run *run) {
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    runtime_options.log = console_log;
    runtime_options.log_level = run->options.verbose == 0   ? SL_LOG_WARN
                                : run->options.verbose == 1 ? SL_LOG_INFO
                                                            : SL_LOG_DEBUG;
    enum sl_code code = sl_runtime_create(&runtime_options, &run->runtime, &run->error);
    if (code == SL_OK) {
        code = events_attach(run->runtime, &run->error);
    }
    if (code == SL_OK) {
        struct sl_pipe_file_start_options start = SL_PIPE_FILE_START_OPTIONS_INIT;
        start.announce = on_announce;
        start.announce_context = run;
        start.redact = secrets_given();
        code = sl_pipe_file_start(run->file, run->runtime, &start, &run->error);
        run->started = code == SL_OK;
    }
    return code;
}
