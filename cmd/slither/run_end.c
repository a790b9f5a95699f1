/* SPDX-License-Identifier: MIT */
/* What a run leaves: where another would go on, its report, its outputs, its exit status. */
#include "console.h"
#include "run.h"
#include "status.h"

void run_keep(struct run *run, struct sl_error *kept, const struct sl_error *error) {
    pthread_mutex_lock(&run->error_mutex);
    if (kept->code == SL_OK) {
        sl_error_copy(kept, error);
    }
    pthread_mutex_unlock(&run->error_mutex);
}

/* The place in the input behind the first `items` of this run. False: it is not known any more. */
static bool position_of(struct run *run, uint64_t items, struct position *position) {
    if (items == 0) {
        *position = (struct position){run->resume.lines, run->resume.bytes};
        return true;
    }
    return positions_find(&run->positions, items - 1, position);
}

bool run_find_resume(struct run *run, uint64_t through, bool all, struct run_resume *resume) {
    struct sl_error error = SL_ERROR_INIT;
    uint64_t items = 0;
    if (run_outputs_cut(&run->outputs, through, &items, run->cut_bytes, &error) != SL_OK) {
        run_keep(run, &run->clerk_error, &error);
    }
    sl_error_finish(&error);
    resume->items = run->resume.items + items;
    resume->bytes = run->cut_bytes;
    if (all && items == through && through > 0) {
        resume->position = (struct position){input_line(run->input), input_position(run->input)};
        return true;
    }
    return position_of(run, items, &resume->position);
}

struct run_report run_describe(struct run *run) {
    return (struct run_report){
        .options = &run->options,
        .file = run->file,
        .input = run->input,
        .outputs = &run->outputs,
        .errors = &run->errors,
        .resume = {.items = run->resume.items, .position = {run->resume.lines, run->resume.bytes}},
        .signal = phases_signal_name(&run->phases),
    };
}

void run_write_report(struct run *run, const struct run_report *report) {
    char problem[RUN_PROBLEM_SIZE];
    struct sl_error error = SL_ERROR_INIT;
    if (run->report_file.path == NULL) {
        return;
    }
    if (!part_file_open(&run->report_file, -1, problem, sizeof(problem))) {
        console_message(CONSOLE_ERROR, "the report was not written: %s", problem);
        return;
    }
    enum sl_code code = run_report_write(report, &run->report_file.output, &error);
    enum sl_code closed = part_file_close(&run->report_file, code == SL_OK, code == SL_OK ? &error : NULL);
    if (code != SL_OK || closed != SL_OK) {
        console_message(CONSOLE_ERROR, "the report was not written: %s", error.message);
    }
    sl_error_finish(&error);
}

/* ---- the end ---- */

static int exit_status(const struct run *run) {
    if (phases_interrupted(&run->phases)) {
        return STATUS_INTERRUPTED;
    }
    if (run_outputs_reader_gone(&run->outputs)) {
        return STATUS_PIPE_CLOSED;
    }
    if (run->error.code != SL_OK) {
        return STATUS_HALTED;
    }
    uint64_t failed = atomic_load(&run->errors.bad_lines) + run_outputs_unprintable(&run->outputs);
    for (uint32_t i = 0; i < run->report.stage_count; i++) {
        failed += run->report.stages[i].count[SL_STATUS_FAILED];
    }
    return failed > 0 ? STATUS_ITEMS_FAILED : STATUS_OK;
}

/* What is still to be written, and the first trouble of it, when the run itself had none. */
static void close_outputs(struct run *run, struct run_resume *resume) {
    struct sl_error error = SL_ERROR_INIT;
    if (run->ran) {
        bool all = run->error.code == SL_OK && run->report.resume == run->report.input;
        (void)run_find_resume(run, run->report.resume, all, resume);
    }
    if (run->error.code == SL_OK && run->clerk_error.code != SL_OK) {
        sl_error_copy(&run->error, &run->clerk_error);
    }
    bool whole = run->ran && run->error.code == SL_OK && !phases_interrupted(&run->phases) &&
                 !run_outputs_reader_gone(&run->outputs);
    enum sl_code code = run_outputs_close(&run->outputs, whole, &error);
    if (code == SL_OK) {
        code = error_log_close(&run->errors, &error);
    } else {
        (void)error_log_close(&run->errors, NULL);
    }
    if (code != SL_OK && run->error.code == SL_OK) {
        sl_error_copy(&run->error, &error);
    }
    sl_error_finish(&error);
}

int run_end(struct run *run) {
    struct run_report report = run_describe(run);
    close_outputs(run, &report.resume);
    report.signal = phases_signal_name(&run->phases);
    report.status = exit_status(run);
    report.pipe = run->ran ? &run->report : NULL;
    report.pools = run->started;
    report.error = run->error.code != SL_OK ? &run->error : NULL;
    run_write_report(run, &report);
    run_summary_print(&report);
    if (run->pipe_options.trace_items > 0 && run->ran && !run->options.quiet) {
        uint64_t traced = run->pipe_options.trace_items;
        run_trace_print(&run->report, run->traced_lines, run->pulled < traced ? run->pulled : traced);
    }
    phases_clean(&run->phases, report.status);
    return report.status;
}
