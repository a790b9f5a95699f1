/* SPDX-License-Identifier: MIT */
/* The clerk: a thread that does what is due now and then beside a run. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "console.h"
#include "run.h"
#include "units.h"

#define REPORT_EVERY_MS 1000
#define PROGRESS_EVERY_MS 100
/* Lines that come one after the other go out together. */
#define FLUSH_PAUSE_MS 20

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void run_ring(struct run *run) {
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
        run_keep(run, &run->clerk_error, &error);
        sl_pipe_drain(run->pipe_run);
    }
    sl_error_finish(&error);
}

/* The report as it would be, should this be the last that is heard of the run. */
static void write_interim(struct run *run) {
    struct sl_pipe_report pipe_report = SL_PIPE_REPORT_INIT;
    struct run_report report = run_describe(run);
    sl_pipe_peek(run->pipe_run, &pipe_report);
    report.pipe = &pipe_report;
    report.pools = true;
    report.running = true;
    uint64_t cancelled = 0; /* those are over too, but not done */
    for (uint32_t i = 0; i < pipe_report.stage_count; i++) {
        cancelled += pipe_report.stages[i].count[SL_STATUS_CANCELLED];
    }
    if (cancelled == 0 && run_find_resume(run, pipe_report.finished, false, &report.resume)) {
        run_write_report(run, &report);
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

enum sl_code run_clerk_start(struct run *run) {
    run->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int number = run->bell < 0 ? errno : pthread_create(&run->clerk, NULL, serve, run);
    if (number != 0) {
        return sl_error_set(&run->error, SL_E_SYSTEM, "cannot start a thread: %s", strerror(number));
    }
    run->clerk_started = true;
    return SL_OK;
}

void run_clerk_stop(struct run *run) {
    if (run->clerk_started) {
        atomic_store(&run->clerk_ends, true);
        eventfd_write(run->bell, 1);
        pthread_join(run->clerk, NULL);
        run->clerk_started = false;
    }
}
