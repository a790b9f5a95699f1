/* SPDX-License-Identifier: MIT */
/* The items of a run: from the input through the pipe to the outputs, on the calling thread. */
#include <stdlib.h>

#include "console.h"
#include "run.h"

/* ---- what the run calls back ---- */

bool run_on_bad_line(void *context, const struct bad_line *bad) {
    struct run *run = context;
    bool halts = run->options.on_bad_input == BAD_INPUT_HALT;
    struct sl_error error = SL_ERROR_INIT;
    if (error_log_bad_line(&run->errors, bad, halts, &error) != SL_OK) {
        run_keep(run, &run->clerk_error, &error);
        sl_pipe_drain(run->pipe_run);
    }
    sl_error_finish(&error);
    run_ring(run);
    return !halts;
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
        run_ring(run);
    } else if (code != SL_E_AGAIN && code != SL_E_END) {
        /* The items before the trouble are none the worse for it: they are finished, as at an end. */
        run_keep(run, &run->cause, error);
        code = SL_E_END;
    }
    return code;
}

static void on_given(void *context) {
    run_ring(context);
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
        run_keep(run, &run->clerk_error, &error);
        sl_pipe_drain(run->pipe_run);
    }
    sl_error_finish(&error);
    run_ring(run);
}

static void wake(void *pipe_run) {
    sl_pipe_wake(pipe_run);
}

/* ---- the way of the items ---- */

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

enum sl_code run_items(struct run *run) {
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
        code = run_clerk_start(run);
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
    input_leave(run->input);
    run_clerk_stop(run);
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
