/* SPDX-License-Identifier: MIT */
#include "call_report.h"

#include <slither/version.h>

#include "report.h"

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
    write_count(writer, "bad_input", atomic_load(&results->errors.bad_lines));
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

enum sl_code call_report_write(const struct call_report *report, struct output *output, struct sl_error *error) {
    struct printer printer;
    printer_init(&printer);
    struct sl_writer *writer = &printer.writer;
    sl_write_map(writer, 11);
    write_text(writer, "command", "call");
    write_text(writer, "version", sl_version());
    write_text(writer, "function", report->options->function);
    write_text(writer, "outcome", report_outcome(report->status));
    sl_write_str(writer, "exit_status");
    sl_write_int(writer, report->status);
    write_text(writer, "signal", report->signal);
    sl_write_str(writer, "error");
    write_error(writer, report->error);
    write_input(writer, report);
    write_counts(writer, report);
    sl_write_str(writer, "pool");
    if (report->pool != NULL) {
        report_write_pool(writer, report->pool, report->python);
    } else {
        sl_write_nil(writer);
    }
    sl_write_str(writer, "run");
    if (report->dispatch != NULL) {
        sl_report_write(report->dispatch, writer);
    } else {
        sl_write_nil(writer);
    }

    enum sl_code code = printer_put_built(&printer, output, SL_JSON_PRETTY | SL_JSON_NAN_AS_NULL, error);
    if (code == SL_OK) {
        code = output_close(output, error);
    }
    printer_finish(&printer);
    return code;
}
