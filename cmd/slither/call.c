/* SPDX-License-Identifier: MIT */
/*
 * `slither call MODULE:FUNCTION [FILE|-]`: the items of an input through a Python function.
 *
 * Three threads: this one runs the dispatch, and with it the results; one reads and parses the input (input.c); one
 * takes signals (phases.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <slither/slither.h>

#include "call_options.h"
#include "call_report.h"
#include "call_summary.h"
#include "command.h"
#include "console.h"
#include "expression.h"
#include "input.h"
#include "phases.h"
#include "results.h"
#include "secrets.h"
#include "status.h"

struct call {
    struct call_options options;
    struct expression *weight;
    struct expression *key;
    struct expression *id;
    struct expression *meta;
    struct input *input;
    struct results results;
    struct output report_output;
    struct sl_runtime *runtime;
    struct sl_pool *pool;
    struct sl_pool_stats stats;
    struct sl_control *control;
    struct sl_report report;
    struct sl_error error;       /* what ended the run */
    struct sl_error flush_error; /* what went wrong between two outcomes */
    struct sl_error cause;       /* what our own source or sink said when it ended the run */
    bool ran;
    struct phases phases;
};

/* ---- report ---- */

/*
 * `all`: the run is over, or there is none. While the pool starts the signal thread asks, and the rest belongs to the
 * other one.
 */
static struct call_report describe(struct call *call, int status, bool all) {
    struct call_report report = {
        .options = &call->options,
        .input = call->input,
        .results = &call->results,
        .signal = phases_signal_name(&call->phases),
        .status = status,
    };
    if (all) {
        report.dispatch = call->ran ? &call->report : NULL;
        report.pool = call->pool != NULL ? &call->stats : NULL;
        report.python = call->pool != NULL ? sl_pool_python(call->pool) : NULL;
        report.error = call->error.code != SL_OK ? &call->error : NULL;
    }
    return report;
}

static void write_report(struct call *call, const struct call_report *report) {
    if (call->report_output.buffer == NULL) {
        return;
    }
    struct sl_error error = SL_ERROR_INIT;
    if (call_report_write(report, &call->report_output, &error) != SL_OK) {
        console_message(CONSOLE_ERROR, "the report was not written: %s", error.message);
    }
    sl_error_finish(&error);
}

/* ---- signals ---- */

static void write_early(void *context) {
    struct call *call = context;
    struct call_report report = describe(call, STATUS_INTERRUPTED, false);
    write_report(call, &report);
}

static void drain(void *context) {
    sl_control_drain(((struct call *)context)->control);
}

static void cancel(void *context) {
    sl_control_cancel(((struct call *)context)->control);
}

static const struct phase_actions phase_actions = {.write_early = write_early, .drain = drain, .cancel = cancel};

/* ---- what the run calls back ---- */

/* Trouble with an output that no outcome is there to answer for: the run is to end, and says why afterwards. */
static void flush(struct call *call) {
    struct sl_error error = SL_ERROR_INIT;
    if (results_flush(&call->results, &error) != SL_OK) {
        if (call->flush_error.code == SL_OK) {
            sl_error_copy(&call->flush_error, &error);
        }
        sl_control_drain(call->control);
    }
    sl_error_finish(&error);
}

static void on_idle(void *context) {
    struct call *call = context;
    if (!input_is_regular(call->input)) {
        flush(call);
    }
}

static void on_progress(void *context, const struct sl_report *report) {
    struct call *call = context;
    flush(call);
    if (!console_wants_progress()) {
        return;
    }
    const struct results *results = &call->results;
    uint64_t counts[SL_STATUS_COUNT];
    uint64_t settled = 0;
    results_counts(results, report, counts);
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        settled += counts[i];
    }
    struct progress progress = {
        .items = report->input,
        .ok = counts[SL_STATUS_OK],
        .failed = counts[SL_STATUS_FAILED] + atomic_load(&results->errors.bad_lines),
        .skipped = counts[SL_STATUS_SKIPPED] + counts[SL_STATUS_ROUTED],
        .in_flight = report->input > settled ? report->input - settled : 0,
        .elapsed_ns = report->elapsed_ns,
        .position = input_position(call->input),
        .size = input_size(call->input),
    };
    console_progress(&progress);
}

static bool on_bad_line(void *context, const struct bad_line *bad) {
    struct call *call = context;
    bool halts = call->options.on_bad_input == BAD_INPUT_HALT;
    struct sl_error error = SL_ERROR_INIT;
    if (error_log_bad_line(&call->results.errors, bad, halts, &error) != SL_OK) {
        sl_error_copy(&call->flush_error, &error);
        sl_control_drain(call->control);
    }
    sl_error_finish(&error);
    return !halts;
}

static enum sl_code pull_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct call *call = context;
    struct sl_source source = input_source(call->input);
    enum sl_code code = source.next(source.context, item, error);
    if (code != SL_OK && code != SL_E_AGAIN && code != SL_E_END) {
        /* The items before the trouble are none the worse for it: they are finished, as at an end. */
        sl_error_copy(&call->cause, error);
        code = SL_E_END;
    }
    return code;
}

static enum sl_code put_outcome(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct call *call = context;
    struct sl_sink sink = results_sink(&call->results);
    enum sl_code code = sink.put(sink.context, outcome, error);
    if (code != SL_OK && code != SL_E_END) {
        sl_error_copy(&call->cause, error);
    }
    return code;
}

/* --on-error route and isolate: the item is kept for its route. */
static enum sl_code route_failed(void *context, const struct sl_outcome *failed, const char **route) {
    const struct call *call = context;
    (void)failed;
    *route = call->options.policy_route;
    return SL_OK;
}

/* ---- the way of a call ---- */

static bool compile(struct expression **expression, const char *option, const char *text, char *problem) {
    if (text == NULL) {
        return true;
    }
    *expression = expression_compile(option, text, problem);
    return *expression != NULL;
}

/* All that the command line names. False: it is not acceptable. */
static bool open_all(struct call *call, char *problem, size_t problem_size) {
    const struct call_options *options = &call->options;
    if (!compile(&call->weight, "--weight", options->weight, problem) ||
        !compile(&call->key, "--key", options->key, problem) || !compile(&call->id, "--id", options->id, problem) ||
        !compile(&call->meta, "--meta", options->meta, problem)) {
        return false;
    }
    struct input_options input_options = {
        .path = options->input,
        .line_max = (size_t)options->max_line,
        .bad_line = on_bad_line,
        .idle = on_idle,
        .context = call,
    };
    call->input = input_open(&input_options, problem, problem_size);
    if (call->input == NULL) {
        return false;
    }
    struct line_parser *parser = input_parser(call->input);
    parser->weight = call->weight;
    parser->key = call->key;
    parser->id = call->id;
    parser->meta = call->meta;
    if (!results_open(&call->results, options, input_fd(call->input), problem, problem_size)) {
        return false;
    }
    call->results.out.stop = &call->phases.stop;
    call->results.out.before_write = call->results.flush_each ? console_hide : NULL;
    if (!events_open(&options->events, input_fd(call->input), problem, problem_size)) {
        return false;
    }
    return options->report_path == NULL ||
           output_open(&call->report_output, options->report_path, 0, input_fd(call->input), problem, problem_size);
}

static enum sl_code start_pool(struct call *call) {
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    runtime_options.log = console_log;
    runtime_options.log_level = call->options.verbose == 0   ? SL_LOG_WARN
                                : call->options.verbose == 1 ? SL_LOG_INFO
                                                             : SL_LOG_DEBUG;
    enum sl_code code = sl_runtime_create(&runtime_options, &call->runtime, &call->error);
    if (code == SL_OK) {
        code = events_attach(call->runtime, &call->error);
    }
    if (code != SL_OK) {
        return code;
    }
    const char *const preload[] = {call->options.function, NULL};
    struct sl_pool_options pool_options = SL_POOL_OPTIONS_INIT;
    pool_options.name = "call";
    pool_options.worker_count = (uint32_t)call->options.pool_size;
    pool_options.worker_min = (uint32_t)call->options.pool_min;
    pool_options.worker_max = (uint32_t)call->options.pool_max;
    pool_options.recycle_batches = call->options.recycle_batches;
    pool_options.recycle_age_ms = call->options.recycle_age_ms;
    pool_options.recycle_rss_bytes = call->options.recycle_rss_bytes;
    pool_options.python = call->options.python;
    pool_options.python_path = call->options.python_path.texts;
    pool_options.preload = preload;
    pool_options.template_use = call->options.no_template ? SL_TEMPLATE_OFF : SL_TEMPLATE_AUTO;
    pool_options.redact = secrets_patterns();
    pool_options.start_timeout_ms = (uint32_t)call->options.start_timeout_ms;
    code = sl_pool_create(call->runtime, &pool_options, &call->pool, &call->error);
    if (code == SL_OK) {
        sl_pool_stats(call->pool, &call->stats);
    }
    return code;
}

static uint32_t at_least(uint32_t number, uint32_t least, uint32_t most) {
    number = number < least ? least : number;
    return number > most ? most : number;
}

static void set_dispatch_options(struct call *call, struct sl_strategy_functions *functions,
                                 struct sl_dispatch_options *dispatch) {
    const struct call_options *options = &call->options;
    *functions = (struct sl_strategy_functions){
        .weight = options->weight != NULL ? input_weight : NULL,
        .key = options->key != NULL ? input_key : NULL,
        .context = call->input,
    };
    dispatch->function = options->function;
    dispatch->mode = options->each ? SL_CALL_EACH : SL_CALL_BATCH;
    if (options->strategy == STRATEGY_WEIGHTED) {
        dispatch->strategy = sl_strategy_weighted(functions);
    } else if (options->strategy == STRATEGY_KEY) {
        dispatch->strategy = sl_strategy_key(functions);
    }
    dispatch->batch_size = (uint32_t)options->batch_size;
    if (options->max_weight != 0) {
        dispatch->max_weight = options->max_weight;
    }
    dispatch->key_window = (uint32_t)options->key_window;
    dispatch->max_delay_ms = options->max_delay_ms != MAX_DELAY_UNSET ? (uint32_t)options->max_delay_ms
                             : input_is_regular(call->input)          ? 0
                                                                      : LIVE_DELAY_MS;
    /* Two for each worker: the next batch lies in its lane when one ends. */
    dispatch->max_in_flight = options->max_in_flight != 0
                                  ? (uint32_t)options->max_in_flight
                                  : at_least(2 * call->stats.worker_max, dispatch->max_in_flight, 1024);
    dispatch->reorder_max = at_least(4 * dispatch->max_in_flight, dispatch->reorder_max, 65536);
    dispatch->max_in_flight_bytes = options->max_in_flight_bytes;
    dispatch->ordering = (enum sl_ordering)options->ordering;
    dispatch->policy = options->policy;
    if (options->policy_route != NULL) {
        dispatch->policy.handler = route_failed;
        dispatch->policy.handler_context = call;
    }
    dispatch->timeout_ms = (uint32_t)options->timeout_ms;
    dispatch->run_timeout_ms = (uint32_t)options->run_timeout_ms;
    dispatch->control = call->control;
    dispatch->progress = on_progress;
    dispatch->progress_context = call;
}

static void wake_run(void *control) {
    sl_control_wake(control);
}

static enum sl_code run_items(struct call *call) {
    enum sl_code code = sl_control_create(&call->control, &call->error);
    if (code == SL_OK) {
        code = input_start(call->input, wake_run, call->control, &call->error);
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl_strategy_functions functions;
    struct sl_dispatch_options dispatch = SL_DISPATCH_OPTIONS_INIT;
    struct sl_source source = {pull_item, call};
    struct sl_sink sink = {put_outcome, call};
    set_dispatch_options(call, &functions, &dispatch);
    if (input_is_terminal(call->input) && !call->options.quiet) {
        console_message(CONSOLE_PLAIN, "reading items from the terminal, one JSON value a line; Ctrl-D ends them");
    }
    console_start(call->options.progress, call->options.quiet != 0);
    console_show_host(!call->options.quiet);
    call->ran = true;
    phases_enter(&call->phases, PHASE_RUNNING);
    code = sl_dispatch_run(call->pool, &dispatch, source, &sink, &call->report, &call->error);
    if ((code == SL_OK || code == SL_E_SINK) && call->cause.code != SL_OK) {
        sl_error_copy(&call->error, &call->cause); /* the file and the line, without the run's words around them */
    }
    return code;
}

/* What is still to be written, and the first trouble of all outputs, when the run itself had none. */
static void close_outputs(struct call *call) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = results_close(&call->results, &error);
    if (call->error.code == SL_OK) {
        if (call->flush_error.code != SL_OK) {
            sl_error_copy(&call->error, &call->flush_error);
        } else if (code != SL_OK) {
            sl_error_copy(&call->error, &error);
        }
    }
    sl_error_finish(&error);
}

static int exit_status(const struct call *call) {
    if (phases_interrupted(&call->phases)) {
        return STATUS_INTERRUPTED;
    }
    if (call->results.out.reader_gone) {
        return STATUS_PIPE_CLOSED;
    }
    if (call->error.code != SL_OK) {
        return STATUS_HALTED;
    }
    uint64_t counts[SL_STATUS_COUNT];
    results_counts(&call->results, &call->report, counts);
    return counts[SL_STATUS_FAILED] > 0 || atomic_load(&call->results.errors.bad_lines) > 0 ? STATUS_ITEMS_FAILED
                                                                                            : STATUS_OK;
}

/* ---- the command ---- */

static void finish_call(struct call *call) {
    sl_pool_destroy(call->pool);
    sl_runtime_destroy(call->runtime);
    events_close();
    if (call->input != NULL && !input_stop(call->input)) {
        _exit(call->phases.status); /* all is written; what is left the reader still uses */
    }
    input_close(call->input);
    sl_control_destroy(call->control);
    results_finish(&call->results);
    (void)output_close(&call->report_output, NULL);
    expression_destroy(call->weight);
    expression_destroy(call->key);
    expression_destroy(call->id);
    expression_destroy(call->meta);
    sl_report_finish(&call->report);
    sl_error_finish(&call->error);
    sl_error_finish(&call->flush_error);
    sl_error_finish(&call->cause);
    call_options_finish(&call->options);
}

static int run_opened(struct call *call) {
    if (start_pool(call) == SL_OK) {
        (void)run_items(call);
    }
    phases_enter(&call->phases, PHASE_CLOSING);
    console_stop();
    close_outputs(call);
    int status = exit_status(call);
    if (call->pool != NULL) {
        sl_pool_stats(call->pool, &call->stats);
    }
    struct call_report report = describe(call, status, true);
    write_report(call, &report);
    call_summary_print(&report);
    phases_clean(&call->phases, status);
    return status;
}

static int call_items(struct call *call, char *problem, size_t problem_size) {
    if (!phases_start(&call->phases, &phase_actions, call, &call->options.quiet)) {
        fprintf(stderr, "slither: cannot take signals: %s\n", strerror(errno));
        return STATUS_HALTED;
    }
    if (!open_all(call, problem, problem_size)) {
        return usage_error(&call_command, "%s", problem);
    }
    console_start(PROGRESS_OFF, call->options.quiet != 0);
    /* What keeps a pool from starting is the error that ends the program: once is enough. */
    console_show_host(call->options.verbose > 0);
    phases_enter(&call->phases, PHASE_STARTING);
    return run_opened(call);
}

static int run_call(int argc, char **argv) {
    /* Static: the signal thread may still be looking at it when main() returns. */
    static struct call call = {
        .report_output = {.fd = -1},
        .stats = SL_POOL_STATS_INIT,
        .report = SL_REPORT_INIT,
        .error = SL_ERROR_INIT,
        .flush_error = SL_ERROR_INIT,
        .cause = SL_ERROR_INIT,
    };
    char problem[EXPRESSION_PROBLEM_SIZE];
    enum options_result parsed = call_options_parse(&call.options, argc, argv, problem);
    int status = parsed == OPTIONS_OK ? call_items(&call, problem, sizeof(problem))
                                      : command_answer(&call_command, parsed, problem);
    finish_call(&call);
    phases_finish(&call.phases);
    return status;
}

const struct command call_command = {
    .name = "call",
    .synopsis = "[OPTION...] MODULE:FUNCTION [FILE|-]",
    .summary = "pass the lines of a file through a Python function",
    .description =
        "Reads one JSON value a line from FILE, or from standard input, gives them in batches to FUNCTION in a pool "
        "of\n"
        "Python workers, and writes one line of JSON for each result. FUNCTION takes a list and returns a list of the\n"
        "same length and order; with --each it takes one item and returns one result.\n",
    .closing =
        "TIME is a number with ms, s, m, h or d (500ms, 30s, 2m); SIZE is bytes, or a number with K, M or G.\n"
        "\n"
        "exit status: 0 all went well, 1 some items failed or some lines were bad, 2 usage, 3 an error ended the run,\n"
        "130 interrupted, 141 the reader of the output went away. See slither-call(1).\n"
        "\n"
        "example: slither call -j 4 --errors failed.ndjson mymodule:predict_batch items.ndjson > results.ndjson\n",
    .options = call_option_specs,
    .operands = OPERAND_FUNCTION_AND_FILE,
    .run = run_call,
};
