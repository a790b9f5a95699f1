/* SPDX-License-Identifier: MIT */
/* What --check and --dry-run print: a pipe that is not run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "console.h"
#include "run.h"
#include "status.h"
#include "summary.h"
#include "units.h"

int run_print_owned(char *text) {
    if (text == NULL) {
        console_message(CONSOLE_ERROR, "out of memory");
        return STATUS_HALTED;
    }
    fputs(text, stdout);
    free(text);
    return finish_stdout();
}

int run_print_check(const struct run *run) {
    uint32_t count = 0;
    const char *const *names = sl_pipe_file_outputs(run->file, &count);
    printf("%s: pipe %s is well; it gives out", run->options.file, sl_pipe_file_name(run->file));
    for (uint32_t i = 0; i < count; i++) {
        printf("%s %s", i == 0 ? "" : ",", names[i]);
    }
    printf("\n");
    return finish_stdout();
}

static const char *place_text(const struct run_output *output) {
    switch (output->place) {
    case PLACE_NOWHERE:
        return "counted only";
    case PLACE_MIXED:
        return "standard output, behind its name";
    case PLACE_STDOUT:
        return "standard output";
    case PLACE_FILE:
        break;
    }
    return output->file.path;
}

int run_print_plan(struct run *run) {
    if (run_start(run) != SL_OK) {
        console_message(CONSOLE_ERROR, "%s", run->error.message);
        if (run->error.traceback != NULL) {
            console_text(run->error.traceback);
        }
        return STATUS_HALTED;
    }
    char size[UNIT_TEXT_SIZE];
    uint32_t pool_count = 0;
    const struct sl_pipe_pool *pools = sl_pipe_file_pools(run->file, &pool_count);
    format_size(input_size(run->input), size);
    printf("pipe %s would run; nothing was read\n", sl_pipe_file_name(run->file));
    printf("  input %s%s%s%s\n", input_name(run->input), input_size(run->input) > 0 ? " (" : "",
           input_size(run->input) > 0 ? size : "", input_size(run->input) > 0 ? ")" : "");
    if (run->resume.given) {
        printf("  behind item %" PRIu64 "\n", run->resume.items);
    }
    for (uint32_t i = 0; i < pool_count; i++) {
        struct sl_pool_stats stats = SL_POOL_STATS_INIT;
        sl_pool_stats(pools[i].pool, &stats);
        printf("  pool %s: %u worker%s, %s\n", pools[i].name, stats.worker_count, plural(stats.worker_count),
               sl_pool_python(pools[i].pool));
    }
    for (uint32_t i = 0; i < run->outputs.count; i++) {
        const struct run_output *output = &run->outputs.items[i];
        bool in_directory = output->place == PLACE_NOWHERE && run->options.directory != NULL;
        if (in_directory) { /* which would be made */
            printf("  output %s: %s/%s.ndjson\n", output->name, run->options.directory, output->name);
        } else {
            printf("  output %s: %s\n", output->name, place_text(output));
        }
    }
    return run_print_owned(sl_pipe_draw(sl_pipe_file_pipe(run->file), SL_PIPE_PICTURE_TEXT));
}
