/* SPDX-License-Identifier: MIT */
/* `slither run PIPE.yaml [FILE|-]`: the items of an input through the pipe that a file describes. */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "command.h"
#include "console.h"
#include "status.h"

/* ---- signals ---- */

static void write_early(void *context) {
    struct run *run = context;
    struct run_report report = run_describe(run);
    report.status = STATUS_INTERRUPTED;
    run_write_report(run, &report);
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

/* ---- the command ---- */

static int run_opened(struct run *run) {
    if (run_start(run) == SL_OK) {
        (void)run_items(run);
    }
    phases_enter(&run->phases, PHASE_CLOSING);
    console_stop();
    return run_end(run);
}

static void finish_run(struct run *run) {
    sl_pipe_file_stop(run->file, 0);
    sl_pipe_file_destroy(run->file);
    sl_runtime_destroy(run->runtime);
    events_close();
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
        return run_print_owned(sl_pipe_file_schema());
    }
    if (!phases_start(&run->phases, &phase_actions, run, &run->options.quiet)) {
        fprintf(stderr, "slither: cannot take signals: %s\n", strerror(errno));
        return STATUS_HALTED;
    }
    if (!run_read_file(run)) {
        return STATUS_USAGE;
    }
    if (run->options.check) {
        return run_print_check(run);
    }
    if (run->options.graph != GRAPH_NONE) {
        return run_print_owned(sl_pipe_draw(sl_pipe_file_pipe(run->file), (enum sl_pipe_picture)run->options.graph));
    }
    if (!run_open(run, problem, RUN_PROBLEM_SIZE)) {
        return usage_error(&run_command, "%s", problem);
    }
    console_start(PROGRESS_OFF, run->options.quiet != 0);
    /* What keeps a pool from starting is the error that ends the program: once is enough. */
    console_show_host(run->options.verbose > 0);
    phases_enter(&run->phases, PHASE_STARTING);
    return run->options.dry_run ? run_print_plan(run) : run_opened(run);
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
    char problem[RUN_PROBLEM_SIZE];
    enum options_result parsed = run_options_parse(&run.options, argc, argv, problem);
    int status = parsed == OPTIONS_OK ? run_file(&run, problem) : command_answer(&run_command, parsed, problem);
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
