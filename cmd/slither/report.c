/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdlib.h>

#include <slither/version.h>

#include "status.h"

static void write_text(struct sl_writer *writer, const char *key, const char *text) {
    sl_write_str(writer, key);
    if (text != NULL) {
        sl_write_str(writer, text);
    } else {
        sl_write_nil(writer);
    }
}

static void write_count(struct sl_writer *writer, const char *key, uint64_t count) {
    sl_write_str(writer, key);
    sl_write_uint(writer, count);
}

static const char *outcome_name(const struct call_report *report) {
    switch (report->status) {
    case STATUS_OK:
        return "ok";
    case STATUS_ITEMS_FAILED:
        return "items_failed";
    case STATUS_INTERRUPTED:
        return "interrupted";
    case STATUS_PIPE_CLOSED:
        return "output_closed";
    default:
        return "halted";
    }
}

static void write_counts(struct sl_writer *writer, const struct call_report *report) {
    const struct results *results = report->results;
    uint64_t counts[SL_STATUS_COUNT] = {0};
    if (report->dispatch != NULL) {
        results_counts(results, report->dispatch, counts);
    }
    sl_write_str(writer, "counts");
    sl_write_map(writer, SL_STATUS_COUNT + 2);
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        write_count(writer, sl_status_name((enum sl_status)i), counts[i]);
    }
    write_count(writer, "bad_input", results->bad_lines);
    write_count(writer, "unprintable", results_unprintable(results));
}

static void write_input(struct sl_writer *writer, const struct call_report *report) {
    const struct input *input = report->input;
    sl_write_str(writer, "input");
    sl_write_map(writer, 4);
    write_text(writer, "name", input_name(input));
    write_count(writer, "items", report->dispatch != NULL ? report->dispatch->input : 0);
    write_count(writer, "last_line", input_line(input));
    write_count(writer, "bytes", input_position(input));
}

static void write_pool(struct sl_writer *writer, const struct call_report *report) {
    sl_write_str(writer, "pool");
    if (report->pool == NULL) {
        sl_write_nil(writer);
        return;
    }
    sl_write_map(writer, 5);
    write_text(writer, "python", report->python);
    write_count(writer, "workers", report->pool->worker_count);
    write_count(writer, "starts", report->pool->start_count);
    write_count(writer, "deaths", report->pool->death_count);
    write_count(writer, "recycled", report->pool->recycle_count);
}

enum sl_code report_write(const struct call_report *report, struct output *output, struct sl_error *error) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 11);
    write_text(&writer, "command", "call");
    write_text(&writer, "version", sl_version());
    write_text(&writer, "function", report->options->function);
    write_text(&writer, "outcome", outcome_name(report));
    sl_write_str(&writer, "exit_status");
    sl_write_int(&writer, report->status);
    write_text(&writer, "signal", report->signal);
    sl_write_str(&writer, "error");
    write_error(&writer, report->error);
    write_input(&writer, report);
    write_counts(&writer, report);
    write_pool(&writer, report);
    sl_write_str(&writer, "run");
    if (report->dispatch != NULL) {
        sl_report_write(report->dispatch, &writer);
    } else {
        sl_write_nil(&writer);
    }

    struct sl_value value;
    char *text = NULL;
    size_t capacity = 0;
    size_t size = 0;
    enum sl_code code = sl_writer_end(&writer, &value, error);
    if (code == SL_OK) {
        code = sl_json_print(value, SL_JSON_PRETTY | SL_JSON_NAN_AS_NULL, &text, &capacity, &size, error);
    }
    if (code == SL_OK) {
        code = output_line(output, text, size, error);
    }
    if (code == SL_OK) {
        code = output_close(output, error);
    }
    free(text);
    sl_writer_finish(&writer);
    return code;
}
