/* SPDX-License-Identifier: MIT */
/* What `slither run` says on standard error at its end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "run_report.h"
#include "summary.h"
#include "units.h"

/* "accept 90, review 360, default 450" */
static void print_items(const struct run_report *report) {
    const struct sl_pipe_report *pipe = report->pipe;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return;
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        fprintf(out, "%s%s %" PRIu64, i == 0 ? "" : ", ", pipe->outputs[i].name, pipe->outputs[i].count);
    }
    uint64_t bad = atomic_load(&report->errors->bad_lines);
    if (bad > 0) {
        fprintf(out, ", %" PRIu64 " bad input line%s", bad, plural(bad));
    }
    if (fclose(out) == 0) {
        summary_print_line(pipe->input, pipe->elapsed_ns, text);
    }
    free(text);
}

static void print_stages(const struct sl_pipe_report *pipe) {
    static const enum sl_status order[] = {SL_STATUS_OK, SL_STATUS_ROUTED, SL_STATUS_SKIPPED, SL_STATUS_FAILED,
                                           SL_STATUS_CANCELLED};
    int width = 0;
    for (uint32_t i = 0; i < pipe->stage_count; i++) {
        int size = (int)strlen(pipe->stages[i].name);
        width = size > width ? size : width;
    }
    for (uint32_t i = 0; i < pipe->stage_count; i++) {
        const struct sl_stage_report *stage = &pipe->stages[i];
        char text[240];
        size_t used = (size_t)snprintf(text, sizeof(text), "%" PRIu64 " in", stage->input);
        for (size_t k = 0; k < SL_STATUS_COUNT; k++) {
            if (stage->count[order[k]] > 0) {
                used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64 " %s", ", ",
                                         stage->count[order[k]], sl_status_name(order[k]));
            }
        }
        if (stage->emitted != stage->count[SL_STATUS_OK] + stage->count[SL_STATUS_ROUTED]) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, ", %" PRIu64 " out", stage->emitted);
        }
        if (stage->dispatch.worker_death_count > 0) {
            snprintf(text + used, sizeof(text) - used, ", %" PRIu64 " worker%s died and %s restarted",
                     stage->dispatch.worker_death_count, plural(stage->dispatch.worker_death_count),
                     stage->dispatch.worker_death_count == 1 ? "was" : "were");
        }
        console_message(CONSOLE_PLAIN, "  %-*s  %s", width, stage->name, text);
    }
}

static bool is_kept(const struct run_outputs *outputs, const char *name) {
    for (uint32_t i = 0; i < outputs->count; i++) {
        if (strcmp(outputs->items[i].name, name) == 0) {
            return outputs->items[i].place != PLACE_NOWHERE;
        }
    }
    return false;
}

/* Items that reached an output for which no place was named. */
static void print_lost(const struct run_report *report) {
    for (uint32_t i = 0; i < report->pipe->output_count; i++) {
        uint64_t count = report->pipe->outputs[i].count;
        const char *name = report->pipe->outputs[i].name;
        if (count > 0 && !is_kept(report->outputs, name)) {
            console_message(CONSOLE_PLAIN, "%" PRIu64 " item%s of %s %s not kept: --output %s=FILE keeps them", count,
                            plural(count), name, count == 1 ? "was" : "were", name);
        }
    }
}

static void print_how_to_go_on(const struct run_report *report) {
    bool parts = false;
    for (uint32_t i = 0; i < report->outputs->count; i++) {
        parts = parts || (report->outputs->items[i].place == PLACE_FILE && report->outputs->items[i].file.part != NULL);
    }
    if (parts) {
        console_message(CONSOLE_PLAIN, "the outputs are not whole: they are kept as FILE.part");
    }
    if (report->options->report_path != NULL) {
        console_message(CONSOLE_PLAIN, "to go on behind item %" PRIu64 ": --resume-from %s", report->resume.items,
                        report->options->report_path);
    } else {
        console_message(CONSOLE_PLAIN, "to go on behind item %" PRIu64 ": --resume-from %" PRIu64, report->resume.items,
                        report->resume.items);
    }
}

void run_summary_print(const struct run_report *report) {
    bool quiet = report->options->quiet != 0;
    const struct failures *failures = &report->errors->failures;
    if (!quiet && report->pipe != NULL) {
        failures_print(failures);
    }
    if (summary_is_news(report->error, report->signal != NULL)) {
        summary_print_error(report->error, !quiet && failures->group_count > 0);
    }
    if (quiet || report->pipe == NULL || run_outputs_reader_gone(report->outputs)) {
        return;
    }
    print_lost(report);
    print_items(report);
    print_stages(report->pipe);
    if (report->signal != NULL || report->error != NULL) {
        print_how_to_go_on(report);
    }
}

/* ---- traces ---- */

/* Hops come in the order in which they ended; of one item they are read in the order in which they began. */
static int by_origin(const void *a, const void *b) {
    const struct sl_pipe_hop *x = a, *y = b;
    if (x->origin != y->origin) {
        return x->origin < y->origin ? -1 : 1;
    }
    if (x->leave_ns != y->leave_ns) {
        return x->leave_ns < y->leave_ns ? -1 : 1;
    }
    return 0;
}

static bool is_output(const struct sl_pipe_report *report, const char *name) {
    for (uint32_t i = 0; i < report->output_count; i++) {
        if (strcmp(report->outputs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void run_trace_print(const struct sl_pipe_report *report, const uint64_t *lines, uint64_t line_count) {
    struct sl_pipe_hop *hops = calloc(report->hop_count + 1, sizeof(*hops));
    if (hops == NULL || report->hop_count == 0) {
        free(hops);
        return;
    }
    memcpy(hops, report->hops, report->hop_count * sizeof(*hops));
    qsort(hops, report->hop_count, sizeof(*hops), by_origin);
    int width = 8;
    for (uint32_t i = 0; i < report->hop_count; i++) {
        int size = (int)strlen(hops[i].stage) + 3;
        width = size > width ? size : width;
    }
    console_message(CONSOLE_PLAIN, "the way of the first items: where, since the start, how long there, how it ended");
    for (uint32_t i = 0; i < report->hop_count; i++) {
        const struct sl_pipe_hop *hop = &hops[i];
        bool out = is_output(report, hop->stage);
        char name[80];
        if (i == 0 || hop->origin != hops[i - 1].origin) {
            if (hop->origin < line_count) {
                console_message(CONSOLE_PLAIN, "line %" PRIu64, lines[hop->origin]);
            } else {
                console_message(CONSOLE_PLAIN, "item %" PRIu64, hop->origin);
            }
        }
        snprintf(name, sizeof(name), "%s%s", out ? "=> " : "", hop->stage);
        if (out) {
            console_message(CONSOLE_PLAIN, "  %-*s %10.3f ms", width, name, (double)hop->leave_ns / 1e6);
        } else {
            console_message(CONSOLE_PLAIN, "  %-*s %10.3f ms %10.3f ms  %s", width, name, (double)hop->enter_ns / 1e6,
                            (double)(hop->leave_ns - hop->enter_ns) / 1e6, sl_status_name(hop->status));
        }
    }
    free(hops);
}
