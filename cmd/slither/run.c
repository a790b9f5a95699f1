/* SPDX-License-Identifier: MIT */
/*
 * `slither run PIPE.yaml [FILE|-]`: the items of an input through the pipe that a file describes.
 *
 * Threads: this one feeds the pipe, and works for its first Python stage; the pipe's own, which call the sinks (run_outputs.c); one reads and parses the input
 * (input.c); one takes signals (phases.c); and one, the clerk, does what is due now and then: it writes out what is buffered, draws the progress,
 * and keeps the report up to date, from which a run that was killed can be gone on from.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <slither/slither.h>

#include "command.h"
#include "console.h"
#include "input.h"
#include "phases.h"
#include "positions.h"
#include "resume.h"
#include "run_options.h"
#include "run_outputs.h"
#include "run_report.h"
#include "status.h"
#include "summary.h"
#include "units.h"

#define PROBLEMS_MAX 64 /* of a file that are told */
#define PROBLEM_SIZE 1024
#define REPORT_EVERY_MS 1000
#define PROGRESS_EVERY_MS 100
/* Lines that come one after the other go out together. */
#define FLUSH_PAUSE_MS 20

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

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The first one counts. */
static void keep(struct run *run, struct sl_error *kept, const struct sl_error *error) {
    pthread_mutex_lock(&run->error_mutex);
    if (kept->code == SL_OK) {
        sl_error_copy(kept, error);
    }
    pthread_mutex_unlock(&run->error_mutex);
}

/* ---- report ---- */

/* The place in the input behind the first `items` of this run. False: it is not known any more. */
static bool position_of(struct run *run, uint64_t items, struct position *position) {
    if (items == 0) {
        *position = (struct position){run->resume.lines, run->resume.bytes};
        return true;
    }
    return positions_find(&run->positions, items - 1, position);
}

/* Where a later run goes on, when `through` items are finished. `all`: those are all that were read, with the bad lines behind them. */
static bool find_resume(struct run *run, uint64_t through, bool all, struct run_resume *resume) {
    struct sl_error error = SL_ERROR_INIT;
    uint64_t items = 0;
    if (run_outputs_cut(&run->outputs, through, &items, run->cut_bytes, &error) != SL_OK) {
        keep(run, &run->clerk_error, &error);
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

static struct run_report describe(struct run *run) {
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

/* Replaces the report, or writes to what is no regular file. */
static void write_report(struct run *run, const struct run_report *report) {
    char problem[PROBLEM_SIZE];
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

/* ---- signals ---- */

static void write_early(void *context) {
    struct run *run = context;
    struct run_report report = describe(run);
    report.status = STATUS_INTERRUPTED;
    write_report(run, &report);
}

static void drain(void *context) {
    sl_pipe_drain(((struct run *)context)->pipe_run);
}

static void cancel(void *context) {
    sl_pipe_cancel(((struct run *)context)->pipe_run);
}

/* Where the pipe loads tables a hangup loads them again; the clerk does it, which a signal that comes before it finds it waiting for. */
static bool hangup(void *context, bool running) {
    struct run *run = context;
    if (sl_pipe_file_load_count(run->file) == 0) {
        return false;
    }
    atomic_store(&run->reload_wanted, true);
    if (running) {
        eventfd_write(run->bell, 1);
    }
    return true;
}

static const struct phase_actions phase_actions = {
    .write_early = write_early, .drain = drain, .cancel = cancel, .hangup = hangup};

/* ---- the clerk ---- */

static void ring(struct run *run) {
    if (!atomic_load_explicit(&run->rung, memory_order_relaxed) && !atomic_exchange(&run->rung, true)) {
        eventfd_write(run->bell, 1);
    }
}

/* "prepare 1.2k  predict 1.1k+64": what each stage has done, and what is in it. */
static void describe_stages(const struct sl_pipe_report *report, char text[PROGRESS_STAGES_SIZE]) {
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < report->stage_count; i++) {
        const struct sl_stage_report *stage = &report->stages[i];
        char part[160], number[UNIT_TEXT_SIZE], inside[UNIT_TEXT_SIZE];
        uint64_t done = 0;
        for (int k = 0; k < SL_STATUS_COUNT; k++) {
            done += stage->count[k];
        }
        format_short((double)done, number);
        format_short((double)(stage->input > done ? stage->input - done : 0), inside);
        int size = snprintf(part, sizeof(part), "%s%.40s %s%s%s", i == 0 ? "" : " > ", stage->name, number,
                            stage->input > done ? "+" : "", stage->input > done ? inside : "");
        if (used + (size_t)size >= PROGRESS_STAGES_SIZE) {
            return;
        }
        memcpy(text + used, part, (size_t)size + 1);
        used += (size_t)size;
    }
}

static void draw_progress(struct run *run) {
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    char stages[PROGRESS_STAGES_SIZE];
    uint64_t failed = atomic_load(&run->errors.bad_lines), skipped = 0;
    sl_pipe_peek(run->pipe_run, &report);
    for (uint32_t i = 0; i < report.stage_count; i++) {
        failed += report.stages[i].count[SL_STATUS_FAILED];
        skipped += report.stages[i].count[SL_STATUS_SKIPPED];
    }
    describe_stages(&report, stages);
    const struct progress progress = {
        .items = report.input,
        .ok = report.finished,
        .failed = failed,
        .skipped = skipped,
        .in_flight = report.input - report.finished,
        .elapsed_ns = report.elapsed_ns,
        .position = input_position(run->input),
        .size = input_size(run->input),
        .done = "through",
        .stages = stages,
    };
    console_progress(&progress);
    sl_pipe_report_finish(&report);
}

static void write_out(struct run *run) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = run_outputs_flush(&run->outputs, &error);
    if (code == SL_OK) {
        code = error_log_flush(&run->errors, &error);
    }
    if (code != SL_OK) { /* nobody else may come to write for long */
        keep(run, &run->clerk_error, &error);
        sl_pipe_drain(run->pipe_run);
    }
    sl_error_finish(&error);
}

/* The report as it would be, should this be the last that is heard of the run. */
static void write_interim(struct run *run) {
    struct sl_pipe_report pipe_report = SL_PIPE_REPORT_INIT;
    struct run_report report = describe(run);
    sl_pipe_peek(run->pipe_run, &pipe_report);
    report.pipe = &pipe_report;
    report.pools = true;
    report.running = true;
    uint64_t cancelled = 0; /* those are over too, but not done */
    for (uint32_t i = 0; i < pipe_report.stage_count; i++) {
        cancelled += pipe_report.stages[i].count[SL_STATUS_CANCELLED];
    }
    if (cancelled == 0 && find_resume(run, pipe_report.finished, false, &report.resume)) {
        write_report(run, &report);
    }
    sl_pipe_report_finish(&pipe_report);
}

static void reload(struct run *run) {
    struct sl_error error = SL_ERROR_INIT;
    if (sl_pipe_file_reload(run->file, &error) == SL_OK) {
        console_message(CONSOLE_PLAIN, "SIGHUP: %u tables were loaded again", sl_pipe_file_load_count(run->file));
    } else {
        console_message(CONSOLE_ERROR, "SIGHUP: a table keeps its rows: %s", error.message);
    }
    sl_error_finish(&error);
}

static int until(uint64_t due_ms) {
    uint64_t now = now_ms();
    return due_ms > now ? (int)(due_ms - now) : 0;
}

static void *serve(void *context) {
    struct run *run = context;
    /* What is in the files of a run that is not ordered cannot be told while it goes. */
    bool reports = run->options.report_path != NULL && run->report_file.part != NULL && run->outputs.ordered;
    uint64_t report_due_ms = now_ms() + REPORT_EVERY_MS;
    bool changed = false;
    while (!atomic_load(&run->clerk_ends)) {
        struct pollfd bell = {.fd = run->bell, .events = POLLIN};
        int timeout_ms = console_wants_progress() ? PROGRESS_EVERY_MS : -1;
        if (reports && changed && (timeout_ms < 0 || until(report_due_ms) < timeout_ms)) {
            timeout_ms = until(report_due_ms);
        }
        eventfd_t count;
        if (atomic_exchange(&run->reload_wanted, false)) {
            reload(run);
        }
        if (poll(&bell, 1, timeout_ms) > 0) {
            (void)eventfd_read(run->bell, &count);
            atomic_store(&run->rung, false);
            changed = true;
            write_out(run);
        }
        if (console_wants_progress()) {
            draw_progress(run);
        }
        if (reports && changed && until(report_due_ms) == 0) {
            write_interim(run);
            changed = false;
            report_due_ms = now_ms() + REPORT_EVERY_MS;
        }
        struct timespec pause = {.tv_nsec = FLUSH_PAUSE_MS * 1000000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static enum sl_code start_clerk(struct run *run) {
    run->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int number = run->bell < 0 ? errno : pthread_create(&run->clerk, NULL, serve, run);
    if (number != 0) {
        return sl_error_set(&run->error, SL_E_SYSTEM, "cannot start a thread: %s", strerror(number));
    }
    run->clerk_started = true;
    return SL_OK;
}

static void stop_clerk(struct run *run) {
    if (run->clerk_started) {
        atomic_store(&run->clerk_ends, true);
        eventfd_write(run->bell, 1);
        pthread_join(run->clerk, NULL);
        run->clerk_started = false;
    }
}

/* ---- what the run calls back ---- */

static bool on_bad_line(void *context, const struct bad_line *bad) {
    struct run *run = context;
    bool halts = run->options.on_bad_input == BAD_INPUT_HALT;
    struct sl_error error = SL_ERROR_INIT;
    if (error_log_bad_line(&run->errors, bad, halts, &error) != SL_OK) {
        keep(run, &run->clerk_error, &error);
        sl_pipe_drain(run->pipe_run);
    }
    sl_error_finish(&error);
    ring(run);
    return !halts;
}

static void on_idle(void *context) {
    (void)context; /* what is buffered the clerk writes out */
}

static enum sl_code pull_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct run *run = context;
    struct sl_source source = input_source(run->input);
    enum sl_code code = source.next(source.context, item, error);
    if (code == SL_OK) {
        positions_add(&run->positions, (struct position){input_line(run->input), input_position(run->input)});
        if (run->pulled < run->pipe_options.trace_items) {
            run->traced_lines[run->pulled] = item->id;
        }
        run->pulled++;
        ring(run);
    } else if (code != SL_E_AGAIN && code != SL_E_END) {
        /* The items before the trouble are none the worse for it: they are finished, as at an end. */
        keep(run, &run->cause, error);
        code = SL_E_END;
    }
    return code;
}

static void on_given(void *context) {
    ring(context);
}

static void on_failed(void *context, const struct sl_pipe_outcome *outcome) {
    struct run *run = context;
    struct sl_error error = SL_ERROR_INIT;
    const struct failed_item item = {
        .line = outcome->id,
        .status = SL_STATUS_FAILED,
        .stage = outcome->stage,
        .failure = outcome->error,
        .input = outcome->value,
    };
    if (error_log_item(&run->errors, &item, &error) != SL_OK) {
        keep(run, &run->clerk_error, &error);
        sl_pipe_drain(run->pipe_run);
    }
    sl_error_finish(&error);
    ring(run);
}

static void on_announce(void *context, const char *text) {
    struct run *run = context;
    if (!run->options.quiet) {
        console_message(CONSOLE_PLAIN, "%s", text);
    }
}

static void wake(void *pipe_run) {
    sl_pipe_wake(pipe_run);
}

/* ---- the way of a run ---- */

/* The file of the pipe. Its problems are told here. */
static bool read_file(struct run *run) {
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

/* All that the command line names. False: it is not acceptable. */
static bool open_all(struct run *run, char *problem, size_t size) {
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
        .bad_line = on_bad_line,
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
    /* That the report can be written is better known now; the one that is there stays until there is another. */
    return options->report_path == NULL ||
           (part_file_place(&run->report_file, options->report_path, problem, size) &&
            (run->report_file.part == NULL || (part_file_open(&run->report_file, input, problem, size) &&
                                               part_file_close(&run->report_file, false, NULL) == SL_OK)));
}

static enum sl_code start_all(struct run *run) {
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    runtime_options.log = console_log;
    runtime_options.log_level = run->options.verbose == 0   ? SL_LOG_WARN
                                : run->options.verbose == 1 ? SL_LOG_INFO
                                                            : SL_LOG_DEBUG;
    enum sl_code code = sl_runtime_create(&runtime_options, &run->runtime, &run->error);
    if (code == SL_OK) {
        struct sl_pipe_file_start_options start = SL_PIPE_FILE_START_OPTIONS_INIT;
        start.announce = on_announce;
        start.announce_context = run;
        code = sl_pipe_file_start(run->file, run->runtime, &start, &run->error);
        run->started = code == SL_OK;
    }
    return code;
}

static enum sl_code set_pipe_options(struct run *run) {
    struct sl_pipe_options *options = &run->pipe_options;
    sl_pipe_file_options(run->file, options);
    run_outputs_sinks(&run->outputs, run->sinks);
    options->sinks = run->sinks;
    options->sink_count = run->outputs.count;
    if (run->options.trace_items > 0) {
        options->trace_items = (uint32_t)run->options.trace_items;
    }
    options->failed = on_failed;
    options->failed_context = run;
    run->outputs.ordered = options->ordering == SL_ORDERING_PRESERVE;
    run->outputs.given = on_given;
    run->outputs.context = run;
    /* Between the count of what is finished and the look at a position the window may move on once. */
    run->traced_lines = calloc(options->trace_items + 1, sizeof(*run->traced_lines));
    if (run->traced_lines == NULL || !positions_init(&run->positions, 2 * (uint64_t)options->in_flight_max + 1)) {
        return sl_error_set(&run->error, SL_E_OUT_OF_MEMORY, "no memory for the places of %u items",
                            options->in_flight_max);
    }
    return SL_OK;
}

static enum sl_code run_items(struct run *run) {
    enum sl_code code = set_pipe_options(run);
    if (code == SL_OK) {
        code = sl_pipe_start(sl_pipe_file_pipe(run->file), &run->pipe_options, &run->pipe_run, &run->error);
    }
    if (code != SL_OK) {
        return code;
    }
    run->ran = true;
    code = input_start(run->input, wake, run->pipe_run, &run->error);
    if (code == SL_OK) {
        code = start_clerk(run);
    }
    if (code == SL_OK) {
        if (input_is_terminal(run->input) && !run->options.quiet) {
            console_message(CONSOLE_PLAIN, "reading items from the terminal, one JSON value a line; Ctrl-D ends them");
        }
        console_start(run->options.progress, run->options.quiet != 0);
        console_show_host(!run->options.quiet);
        phases_enter(&run->phases, PHASE_RUNNING);
        code = sl_pipe_feed(run->pipe_run, (struct sl_source){pull_item, run}, &run->error);
    }
    enum sl_code waited = sl_pipe_wait(run->pipe_run, 0, NULL); /* without a limit of time it cannot fail */
    (void)waited;
    /* From here on nobody but this thread knows the run. */
    phases_enter(&run->phases, PHASE_CLOSING);
    stop_clerk(run);
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code ended = sl_pipe_finish(run->pipe_run, 0, &run->report, &error);
    run->pipe_run = NULL;
    if (code == SL_OK && ended != SL_OK) {
        sl_error_copy(&run->error, &error);
        code = ended;
    }
    sl_error_finish(&error);
    if ((code == SL_OK || code == SL_E_SINK) && run->cause.code != SL_OK) {
        sl_error_copy(&run->error, &run->cause); /* the file and the line, without the run's words around them */
    }
    return run->error.code;
}

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
        (void)find_resume(run, run->report.resume, all, resume);
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

static int run_opened(struct run *run) {
    if (start_all(run) == SL_OK) {
        (void)run_items(run);
    }
    phases_enter(&run->phases, PHASE_CLOSING);
    console_stop();
    struct run_report report = describe(run);
    close_outputs(run, &report.resume);
    report.signal = phases_signal_name(&run->phases);
    report.status = exit_status(run);
    report.pipe = run->ran ? &run->report : NULL;
    report.pools = run->started;
    report.error = run->error.code != SL_OK ? &run->error : NULL;
    write_report(run, &report);
    run_summary_print(&report);
    if (run->pipe_options.trace_items > 0 && run->ran && !run->options.quiet) {
        uint64_t traced = run->pipe_options.trace_items;
        run_trace_print(&run->report, run->traced_lines, run->pulled < traced ? run->pulled : traced);
    }
    phases_clean(&run->phases, report.status);
    return report.status;
}

/* ---- other things to do with a pipe ---- */

static int print_owned(char *text) {
    if (text == NULL) {
        console_message(CONSOLE_ERROR, "out of memory");
        return STATUS_HALTED;
    }
    fputs(text, stdout);
    free(text);
    return finish_stdout();
}

static int print_check(const struct run *run) {
    uint32_t count = 0;
    const char *const *names = sl_pipe_file_outputs(run->file, &count);
    printf("%s: pipe %s is well; it gives out", run->options.file, sl_pipe_file_name(run->file));
    for (uint32_t i = 0; i < count; i++) {
        printf("%s %s", i == 0 ? "" : ",", names[i]);
    }
    printf("\n");
    return finish_stdout();
}

static const char *place_text(const struct run_output *output) {
    switch (output->place) {
    case PLACE_NOWHERE:
        return "counted only";
    case PLACE_MIXED:
        return "standard output, behind its name";
    case PLACE_STDOUT:
        return "standard output";
    case PLACE_FILE:
        break;
    }
    return output->file.path;
}

static int dry_run(struct run *run) {
    if (start_all(run) != SL_OK) {
        console_message(CONSOLE_ERROR, "%s", run->error.message);
        if (run->error.traceback != NULL) {
            console_text(run->error.traceback);
        }
        return STATUS_HALTED;
    }
    char size[UNIT_TEXT_SIZE];
    uint32_t pool_count = 0;
    const struct sl_pipe_pool *pools = sl_pipe_file_pools(run->file, &pool_count);
    format_size(input_size(run->input), size);
    printf("pipe %s would run; nothing was read\n", sl_pipe_file_name(run->file));
    printf("  input %s%s%s%s\n", input_name(run->input), input_size(run->input) > 0 ? " (" : "",
           input_size(run->input) > 0 ? size : "", input_size(run->input) > 0 ? ")" : "");
    if (run->resume.given) {
        printf("  behind item %" PRIu64 "\n", run->resume.items);
    }
    for (uint32_t i = 0; i < pool_count; i++) {
        struct sl_pool_stats stats = SL_POOL_STATS_INIT;
        sl_pool_stats(pools[i].pool, &stats);
        printf("  pool %s: %u worker%s, %s\n", pools[i].name, stats.worker_count, plural(stats.worker_count),
               sl_pool_python(pools[i].pool));
    }
    for (uint32_t i = 0; i < run->outputs.count; i++) {
        const struct run_output *output = &run->outputs.items[i];
        bool in_directory = output->place == PLACE_NOWHERE && run->options.directory != NULL;
        if (in_directory) { /* which would be made */
            printf("  output %s: %s/%s.ndjson\n", output->name, run->options.directory, output->name);
        } else {
            printf("  output %s: %s\n", output->name, place_text(output));
        }
    }
    return print_owned(sl_pipe_draw(sl_pipe_file_pipe(run->file), SL_PIPE_PICTURE_TEXT));
}

/* ---- the command ---- */

static void finish_run(struct run *run) {
    sl_pipe_file_stop(run->file, 0);
    sl_pipe_file_destroy(run->file);
    sl_runtime_destroy(run->runtime);
    if (run->input != NULL && !input_stop(run->input)) {
        _exit(run->phases.status); /* all is written; what is left the reader still uses */
    }
    input_close(run->input);
    run_outputs_finish(&run->outputs);
    error_log_finish(&run->errors);
    part_file_finish(&run->report_file);
    positions_finish(&run->positions);
    resume_finish(&run->resume);
    sl_pipe_report_finish(&run->report);
    sl_error_finish(&run->error);
    sl_error_finish(&run->cause);
    sl_error_finish(&run->clerk_error);
    if (run->bell >= 0) {
        close(run->bell);
    }
    free(run->cut_bytes);
    free(run->sinks);
    free(run->traced_lines);
    run_options_finish(&run->options);
}

static int run_file(struct run *run, char *problem) {
    if (run->options.schema) {
        return print_owned(sl_pipe_file_schema());
    }
    if (!phases_start(&run->phases, &phase_actions, run, &run->options.quiet)) {
        fprintf(stderr, "slither: cannot take signals: %s\n", strerror(errno));
        return STATUS_HALTED;
    }
    if (!read_file(run)) {
        return STATUS_USAGE;
    }
    if (run->options.check) {
        return print_check(run);
    }
    if (run->options.graph != GRAPH_NONE) {
        return print_owned(sl_pipe_draw(sl_pipe_file_pipe(run->file), (enum sl_pipe_picture)run->options.graph));
    }
    if (!open_all(run, problem, PROBLEM_SIZE)) {
        return usage_error(&run_command, "%s", problem);
    }
    console_start(PROGRESS_OFF, run->options.quiet != 0);
    /* What keeps a pool from starting is the error that ends the program: once is enough. */
    console_show_host(run->options.verbose > 0);
    phases_enter(&run->phases, PHASE_STARTING);
    return run->options.dry_run ? dry_run(run) : run_opened(run);
}

static int run_run(int argc, char **argv) {
    /* Static: the signal thread may still be looking at it when main() returns. */
    static struct run run = {
        .outputs = {.out = {.fd = -1}},
        .errors = {.file = {.fd = -1}, .mutex = PTHREAD_MUTEX_INITIALIZER},
        .report_file = {.output = {.fd = -1}},
        .report = SL_PIPE_REPORT_INIT,
        .error_mutex = PTHREAD_MUTEX_INITIALIZER,
        .cause = SL_ERROR_INIT,
        .clerk_error = SL_ERROR_INIT,
        .error = SL_ERROR_INIT,
        .bell = -1,
    };
    char problem[PROBLEM_SIZE];
    int status = STATUS_OK;
    switch (run_options_parse(&run.options, argc, argv, problem)) {
    case OPTIONS_HELP:
        help_print_command(&run_command);
        status = finish_stdout();
        break;
    case OPTIONS_PROBLEM:
        status = usage_error(&run_command, "%s", problem);
        break;
    case OPTIONS_OK:
        status = run_file(&run, problem);
        break;
    }
    finish_run(&run);
    phases_finish(&run.phases);
    return status;
}

const struct command run_command = {
    .name = "run",
    .synopsis = "[OPTION...] PIPE.yaml [FILE|-]",
    .summary = "pass the lines of a file through a pipe of stages",
    .description =
        "Reads one JSON value a line from FILE, or from standard input, passes them through the stages that PIPE.yaml\n"
        "describes (slither-pipe(5)), and writes what reaches its outputs as lines of JSON.\n",
    .closing =
        "A run that a signal or an error ended goes on with --resume-from and its report: nothing is lost, nothing is\n"
        "there twice.\n"
        "\n"
        "exit status: 0 all went well, 1 some items failed or some lines were bad, 2 usage, or the pipe's file is not\n"
        "acceptable, 3 an error ended the run, 130 interrupted, 141 the reader of the output went away. See "
        "slither-run(1).\n"
        "\n"
        "example: slither run --output results --report report.json scoring.yaml items.ndjson\n",
    .options = run_option_specs,
    .operands = OPERAND_PIPE_AND_FILE,
    .run = run_run,
};
