/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"

/* Copies a name to the end of `names`, which has room. */
static const char *keep(char **end, const char *name) {
    char *kept = *end;
    *end = stpcpy(kept, name) + 1;
    return kept;
}

static size_t name_bytes(const struct sl_pipe *pipe) {
    size_t size = 0;
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        size += strlen(pipe->nodes[i].stage.name) + 1;
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        size += strlen(pipe->outputs[i]) + 1;
    }
    return size;
}

/* Hops name stages and outputs by the plan's strings; the report has copies. */
static void rename_hops(const struct sl_pipe *pipe, struct sl_pipe_report *report) {
    for (uint32_t i = 0; i < report->hop_count; i++) {
        sl__target target = sl__plan_find(pipe, report->hops[i].stage);
        uint32_t index = sl__target_index(target);
        report->hops[i].stage = sl__target_is_output(target) ? report->outputs[index].name : report->stages[index].name;
    }
}

uint64_t sl__stage_busy_ns(struct sl__stage_run *stage) {
    uint64_t busy = atomic_load(&stage->busy_ns), timed = atomic_load(&stage->timed);
    return timed == 0 ? busy : (uint64_t)((double)busy * (double)atomic_load(&stage->input) / (double)timed);
}

/* The counters, which anybody may read at any time. False: no memory; the sums are there all the same. */
static bool fill_counts(struct sl_pipe_run *run, struct sl_pipe_report *report) {
    const struct sl_pipe *pipe = run->pipe;
    report->finished = atomic_load(&run->head); /* before the other end, which is never behind it */
    report->input = atomic_load(&run->tail);
    report->bytes_peak = atomic_load(&run->bytes_peak);
    report->elapsed_ns = sl__clock_now_ns() - run->start_ns;
    report->stages = calloc(pipe->node_count, sizeof *report->stages);
    report->outputs = calloc(pipe->output_count, sizeof *report->outputs);
    report->names = malloc(name_bytes(pipe));
    char *end = report->names;
    if (report->stages == NULL || report->outputs == NULL || report->names == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        struct sl__stage_run *stage = &run->stages[i];
        struct sl_stage_report *to = &report->stages[report->stage_count++];
        to->name = keep(&end, pipe->nodes[i].stage.name);
        uint64_t refused = atomic_load(&stage->refused);
        for (int status = 0; status < SL_STATUS_COUNT; status++) {
            to->count[status] = atomic_load(&stage->count[status]);
        }
        to->count[SL_STATUS_CANCELLED] += refused;
        to->input = atomic_load(&stage->input) + refused;
        to->emitted = to->count[SL_STATUS_OK] + to->count[SL_STATUS_ROUTED] + atomic_load(&stage->more);
        to->busy_ns = sl__stage_busy_ns(stage);
        to->dispatch = (struct sl_report)SL_REPORT_INIT;
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        report->outputs[report->output_count++] =
            (struct sl_output_report){keep(&end, pipe->outputs[i]), atomic_load(&run->outputs[i].count)};
    }
    return true;
}

void sl_pipe_peek(struct sl_pipe_run *run, struct sl_pipe_report *out) {
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    size_t size = SL_MIN(out->size, sizeof report);
    (void)fill_counts(run, &report);
    report.size = size;
    memcpy(out, &report, size);
}

void sl__pipe_report_fill(struct sl_pipe_run *run, struct sl_pipe_report *out) {
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    size_t size = SL_MIN(out->size, sizeof report);
    bool fits = fill_counts(run, &report);
    report.finished = run->finished;
    report.resume = run->resume;
    report.in_flight_peak = run->in_flight_peak;
    if (fits) { /* else it has the sums only */
        for (uint32_t i = 0; i < report.stage_count; i++) {
            report.stages[i].queue_peak = run->stages[i].queue.peak;
            report.stages[i].dispatch = run->stages[i].report;
            run->stages[i].report = (struct sl_report)SL_REPORT_INIT;
        }
        report.hops = run->hops;
        report.hop_count = run->hop_count;
        run->hops = NULL;
        rename_hops(run->pipe, &report);
    }
    report.size = size;
    memcpy(out, &report, size);
}

void sl_pipe_report_finish(struct sl_pipe_report *report) {
    if (report == NULL) {
        return;
    }
    for (uint32_t i = 0; i < report->stage_count; i++) {
        sl_report_finish(&report->stages[i].dispatch);
    }
    free(report->stages);
    free(report->outputs);
    free(report->hops);
    free(report->names);
    *report = (struct sl_pipe_report)SL_PIPE_REPORT_INIT;
}

/* ---- as a value -------------------------------------------------------------------------------------------------- */

static void put_uint(struct sl_writer *writer, const char *key, uint64_t value) {
    sl_write_str(writer, key);
    sl_write_uint(writer, value);
}

static void write_stage(const struct sl_stage_report *stage, struct sl_writer *writer) {
    bool dispatched = stage->dispatch.batch_count > 0;
    sl_write_map(writer, 5 + SL_STATUS_COUNT + (dispatched ? 1 : 0));
    sl_write_str(writer, "name");
    sl_write_str(writer, stage->name);
    put_uint(writer, "input", stage->input);
    for (int status = 0; status < SL_STATUS_COUNT; status++) {
        put_uint(writer, sl_status_name((enum sl_status)status), stage->count[status]);
    }
    put_uint(writer, "emitted", stage->emitted);
    put_uint(writer, "busy_ns", stage->busy_ns);
    put_uint(writer, "queue_peak", stage->queue_peak);
    if (dispatched) {
        sl_write_str(writer, "dispatch");
        sl_report_write(&stage->dispatch, writer);
    }
}

static void write_hop(const struct sl_pipe_hop *hop, struct sl_writer *writer) {
    sl_write_map(writer, 5);
    put_uint(writer, "origin", hop->origin);
    sl_write_str(writer, "at");
    sl_write_str(writer, hop->stage);
    put_uint(writer, "enter_ns", hop->enter_ns);
    put_uint(writer, "leave_ns", hop->leave_ns);
    sl_write_str(writer, "status");
    sl_write_str(writer, sl_status_name(hop->status));
}

void sl_pipe_report_write(const struct sl_pipe_report *report, struct sl_writer *writer) {
    sl_write_map(writer, 8 + (report->hop_count > 0 ? 1 : 0));
    put_uint(writer, "input", report->input);
    put_uint(writer, "finished", report->finished);
    put_uint(writer, "resume", report->resume);
    put_uint(writer, "in_flight_peak", report->in_flight_peak);
    put_uint(writer, "bytes_peak", report->bytes_peak);
    put_uint(writer, "elapsed_ns", report->elapsed_ns);
    sl_write_str(writer, "stages");
    sl_write_list(writer, report->stage_count);
    for (uint32_t i = 0; i < report->stage_count; i++) {
        write_stage(&report->stages[i], writer);
    }
    sl_write_str(writer, "outputs");
    sl_write_map(writer, report->output_count);
    for (uint32_t i = 0; i < report->output_count; i++) {
        put_uint(writer, report->outputs[i].name, report->outputs[i].count);
    }
    if (report->hop_count > 0) {
        sl_write_str(writer, "trace");
        sl_write_list(writer, report->hop_count);
        for (uint32_t i = 0; i < report->hop_count; i++) {
            write_hop(&report->hops[i], writer);
        }
    }
}
