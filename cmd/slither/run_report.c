/* SPDX-License-Identifier: MIT */
#include "run_report.h"

#include <string.h>

#include <slither/version.h>

#include "report.h"

static uint64_t bad_lines(const struct run_report *report) {
    return atomic_load(&report->errors->bad_lines);
}

static void write_input(struct sl_writer *writer, const struct run_report *report) {
    sl_write_str(writer, "input");
    sl_write_map(writer, 5);
    write_text(writer, "name", input_name(report->input));
    write_count(writer, "items", report->pipe != NULL ? report->pipe->input : 0);
    write_count(writer, "bad_lines", bad_lines(report));
    write_count(writer, "last_line", input_line(report->input));
    write_count(writer, "bytes", input_position(report->input));
}

static void write_resume(struct sl_writer *writer, const struct run_resume *resume) {
    sl_write_str(writer, "resume");
    sl_write_map(writer, 3);
    write_count(writer, "items", resume->items);
    write_count(writer, "line", resume->position.line);
    write_count(writer, "bytes", resume->position.bytes);
}

static uint64_t output_count(const struct run_report *report, const char *name) {
    for (uint32_t i = 0; report->pipe != NULL && i < report->pipe->output_count; i++) {
        if (strcmp(report->pipe->outputs[i].name, name) == 0) {
            return report->pipe->outputs[i].count;
        }
    }
    return 0;
}

static void write_outputs(struct sl_writer *writer, const struct run_report *report) {
    const struct run_outputs *outputs = report->outputs;
    sl_write_str(writer, "outputs");
    sl_write_map(writer, outputs->count);
    for (uint32_t i = 0; i < outputs->count; i++) {
        const struct run_output *output = &outputs->items[i];
        sl_write_str(writer, output->name);
        sl_write_map(writer, 4);
        write_count(writer, "items", output_count(report, output->name));
        write_count(writer, "unprintable", output->unprintable);
        write_text(writer, "file", output->place == PLACE_FILE ? output->file.path : NULL);
        sl_write_str(writer, "bytes");
        if (output->place == PLACE_FILE && output->file.part != NULL) {
            sl_write_uint(writer, report->resume.bytes != NULL ? report->resume.bytes[i] : output->bytes);
        } else {
            sl_write_nil(writer);
        }
    }
}

static void write_pools(struct sl_writer *writer, const struct run_report *report) {
    uint32_t count = 0;
    const struct sl_pipe_pool *pools = report->pools ? sl_pipe_file_pools(report->file, &count) : NULL;
    sl_write_str(writer, "pools");
    sl_write_map(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct sl_pool_stats stats = SL_POOL_STATS_INIT;
        sl_pool_stats(pools[i].pool, &stats);
        sl_write_str(writer, pools[i].name);
        report_write_pool(writer, &stats, sl_pool_python(pools[i].pool));
    }
}

enum sl_code run_report_write(const struct run_report *report, struct output *output, struct sl_error *error) {
    struct printer printer;
    printer_init(&printer);
    struct sl_writer *writer = &printer.writer;
    sl_write_map(writer, 13);
    write_text(writer, "command", "run");
    write_text(writer, "version", sl_version());
    write_text(writer, "pipe", sl_pipe_file_name(report->file));
    write_text(writer, "file", report->options->file);
    write_text(writer, "outcome", report->running ? "running" : report_outcome(report->status));
    sl_write_str(writer, "exit_status");
    if (report->running) {
        sl_write_nil(writer);
    } else {
        sl_write_int(writer, report->status);
    }
    write_text(writer, "signal", report->signal);
    sl_write_str(writer, "error");
    write_error(writer, report->error);
    write_input(writer, report);
    write_resume(writer, &report->resume);
    write_outputs(writer, report);
    write_pools(writer, report);
    sl_write_str(writer, "run");
    if (report->pipe != NULL) {
        sl_pipe_report_write(report->pipe, writer);
    } else {
        sl_write_nil(writer);
    }
    enum sl_code code = printer_put_built(&printer, output, SL_JSON_PRETTY | SL_JSON_NAN_AS_NULL, error);
    printer_finish(&printer);
    return code;
}
