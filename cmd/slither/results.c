/* SPDX-License-Identifier: MIT */
#include "results.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool results_open(struct results *results, const struct call_options *options, int input_fd, char *problem,
                  size_t problem_size) {
    *results = (struct results){.options = options, .out = {.fd = -1}};
    printer_init(&results->printer);
    results->flush_each = isatty(STDOUT_FILENO) == 1;
    if (!error_log_open(&results->errors, options->errors_path, false, options->quiet != 0, input_fd, problem,
                        problem_size)) {
        return false;
    }
    if (options->route_count > 0) {
        results->routes = calloc(options->route_count, sizeof(*results->routes));
    }
    if ((options->route_count > 0 && results->routes == NULL) ||
        !output_init(&results->out, STDOUT_FILENO, "standard output")) {
        snprintf(problem, problem_size, "out of memory");
        return false;
    }
    if (is_same_file(input_fd, STDOUT_FILENO)) {
        snprintf(problem, problem_size, "standard output is the input: its results would be read as items");
        return false;
    }
    for (size_t i = 0; i < options->route_count; i++) {
        if (!output_open(&results->routes[i], options->routes[i].path, 0, input_fd, problem, problem_size)) {
            return false;
        }
    }
    return true;
}

/* Calls `each` for every output that is open and keeps the first trouble. */
static enum sl_code for_outputs(struct results *results, enum sl_code (*each)(struct output *, struct sl_error *),
                                struct sl_error *error) {
    enum sl_code first = SL_OK;
    size_t route_count = results->routes != NULL ? results->options->route_count : 0;
    for (size_t i = 0; i < 1 + route_count; i++) {
        struct output *output = i == 0 ? &results->out : &results->routes[i - 1];
        if (output->buffer != NULL) {
            enum sl_code code = each(output, first == SL_OK ? error : NULL);
            first = first == SL_OK ? code : first;
        }
    }
    return first;
}

enum sl_code results_flush(struct results *results, struct sl_error *error) {
    enum sl_code first = for_outputs(results, output_flush, error);
    enum sl_code code = error_log_flush(&results->errors, first == SL_OK ? error : NULL);
    return first == SL_OK ? code : first;
}

enum sl_code results_close(struct results *results, struct sl_error *error) {
    enum sl_code first = for_outputs(results, output_close, error);
    enum sl_code code = error_log_close(&results->errors, first == SL_OK ? error : NULL);
    return first == SL_OK ? code : first;
}

void results_finish(struct results *results) {
    (void)results_close(results, NULL);
    free(results->routes);
    printer_finish(&results->printer);
    error_log_finish(&results->errors);
    *results = (struct results){0};
}

uint64_t results_unprintable(const struct results *results) {
    uint64_t total = 0;
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        total += results->unprintable[i];
    }
    return total;
}

void results_counts(const struct results *results, const struct sl_report *report, uint64_t counts[SL_STATUS_COUNT]) {
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        counts[i] = report->count[i] - results->unprintable[i];
    }
    counts[SL_STATUS_FAILED] += results_unprintable(results);
}

/* ---- values ---- */

/* The id that --id gave, else the number of the line. */
static void write_id(struct sl_writer *writer, const struct sl_outcome *outcome) {
    struct sl_value id;
    if (outcome->meta.size > 0 && sl_value_get(outcome->meta, "id", &id) == SL_OK) {
        sl_write_value(writer, id);
    } else {
        sl_write_uint(writer, outcome->id);
    }
}

static uint32_t result_flags(const struct results *results) {
    return results->options->nan == NAN_NULL ? SL_JSON_NAN_AS_NULL : 0;
}

/* ---- the sink ---- */

/* {"id", "status", ...} for --with-id. `failure` is what the item failed with. */
static enum sl_code put_wrapped(struct results *results, const struct sl_outcome *outcome, enum sl_status status,
                                const struct sl_error *failure, struct sl_error *error) {
    struct sl_writer *writer = &results->printer.writer;
    struct sl_value meta;
    bool has_meta = outcome->meta.size > 0 && sl_value_get(outcome->meta, "meta", &meta) == SL_OK;
    bool has_value = status == SL_STATUS_OK || (status == SL_STATUS_ROUTED && outcome->value.size > 0);
    bool has_route = status == SL_STATUS_ROUTED || status == SL_STATUS_SKIPPED;
    bool has_error = failure != NULL;

    sl_writer_reset(writer);
    sl_write_map(writer, 2u + has_meta + has_value + has_route + has_error);
    sl_write_str(writer, "id");
    write_id(writer, outcome);
    sl_write_str(writer, "status");
    sl_write_str(writer, sl_status_name(status));
    if (has_route) {
        sl_write_str(writer, status == SL_STATUS_ROUTED ? "route" : "reason");
        sl_write_str(writer, outcome->route != NULL ? outcome->route : "");
    }
    if (has_value) {
        sl_write_str(writer, "value");
        sl_write_value(writer, outcome->value);
    }
    if (has_error) {
        sl_write_str(writer, "error");
        write_error(writer, failure);
    }
    if (has_meta) {
        sl_write_str(writer, "meta");
        sl_write_value(writer, meta);
    }
    return printer_put_built(&results->printer, &results->out, result_flags(results), error);
}

static enum sl_code put_ok(struct results *results, const struct sl_outcome *outcome, struct sl_error *error) {
    if (results->options->with_id) {
        return put_wrapped(results, outcome, SL_STATUS_OK, NULL, error);
    }
    return printer_put(&results->printer, &results->out, outcome->value, result_flags(results), error);
}

static enum sl_code put_routed(struct results *results, const struct sl_outcome *outcome, struct sl_error *error) {
    const struct call_options *options = results->options;
    for (size_t i = 0; i < options->route_count; i++) {
        if (strcmp(options->routes[i].name, outcome->route) != 0) {
            continue;
        }
        static const uint8_t nil[] = {0xc0};
        struct sl_value value = outcome->value.size > 0 ? outcome->value : (struct sl_value){nil, sizeof(nil)};
        return printer_put(&results->printer, &results->routes[i], value, result_flags(results), error);
    }
    results->unrouted++;
    return SL_OK;
}

static enum sl_code put_failed(struct results *results, const struct sl_outcome *outcome, enum sl_status status,
                               const struct sl_error *failure, struct sl_error *error) {
    struct failed_item item = {.line = outcome->id,
                               .status = status,
                               .has_attempts = true,
                               .attempts = outcome->attempts,
                               .failure = failure,
                               .input = outcome->input};
    if (outcome->meta.size == 0 || sl_value_get(outcome->meta, "id", &item.id) != SL_OK) {
        item.id = (struct sl_value){NULL, 0};
    }
    enum sl_code code = error_log_item(&results->errors, &item, error);
    if (code == SL_OK && results->options->with_id) {
        code = put_wrapped(results, outcome, status, failure, error);
    }
    return code;
}

/* A result that has no JSON form: a failure of its item, found too late for the run to know. */
static enum sl_code put_unprintable(struct results *results, const struct sl_outcome *outcome, struct sl_error *error) {
    struct sl_error failure = SL_ERROR_INIT;
    sl_error_copy(&failure, error);
    snprintf(failure.message, sizeof(failure.message), "the result is not JSON: %.300s%s", error->message,
             results->options->nan == NAN_ERROR ? " (--nan null prints null for NaN)" : "");
    results->unprintable[outcome->status]++;
    enum sl_code code = put_failed(results, outcome, SL_STATUS_FAILED, &failure, error);
    if (code == SL_OK && results->options->policy.on_error == SL_ON_ERROR_HALT) {
        code = sl_error_set(error, SL_E_NOT_SERIALIZABLE, "halted at line %" PRIu64 ": %.400s", outcome->id,
                            failure.message);
    }
    sl_error_finish(&failure);
    return code;
}

static enum sl_code put_outcome(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct results *results = context;
    enum sl_code code = SL_OK;
    switch (outcome->status) {
    case SL_STATUS_OK:
        code = put_ok(results, outcome, error);
        break;
    case SL_STATUS_ROUTED:
        code = put_routed(results, outcome, error);
        if (code == SL_OK && results->options->with_id) {
            code = put_wrapped(results, outcome, SL_STATUS_ROUTED, outcome->error, error);
        }
        break;
    case SL_STATUS_SKIPPED:
        if (results->options->with_id) {
            code = put_wrapped(results, outcome, SL_STATUS_SKIPPED, NULL, error);
        }
        break;
    case SL_STATUS_FAILED:
    case SL_STATUS_CANCELLED:
        code = put_failed(results, outcome, outcome->status, outcome->error, error);
        break;
    }
    if (code == SL_E_NOT_SERIALIZABLE && (outcome->status == SL_STATUS_OK || outcome->status == SL_STATUS_ROUTED)) {
        code = put_unprintable(results, outcome, error);
    }
    if (code == SL_OK && results->flush_each) {
        code = output_flush(&results->out, error);
    }
    return code;
}

struct sl_sink results_sink(struct results *results) {
    return (struct sl_sink){put_outcome, results};
}
