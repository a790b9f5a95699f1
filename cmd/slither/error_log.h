/* SPDX-License-Identifier: MIT */
/*
 * What went wrong with single items and lines: the file of --errors, the groups of the summary, the first bad lines on standard error. Any thread.
 */
#ifndef SLITHER_CLI_ERROR_LOG_H
#define SLITHER_CLI_ERROR_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <slither/dispatch.h>

#include "failures.h"
#include "input.h"
#include "output.h"
#include "printer.h"

struct error_log {
    pthread_mutex_t mutex;
    struct output file; /* zeroed: none */
    struct printer printer;
    struct failures failures;
    bool quiet;
    bool has_file;
    _Atomic uint64_t bad_lines;
};

/* `path` NULL: no file; `append`: what it holds stays. False: `problem` says what is wrong; error_log_finish() in either case. */
bool error_log_open(struct error_log *log, const char *path, bool append, bool quiet, int input_fd, char *problem,
                    size_t problem_size);
enum sl_code error_log_flush(struct error_log *log, struct sl_error *error);
enum sl_code error_log_close(struct error_log *log, struct sl_error *error);
void error_log_finish(struct error_log *log);

/* A line that is no item. `halts`: it ends the input, and is told as the error that it is. */
enum sl_code error_log_bad_line(struct error_log *log, const struct bad_line *bad, bool halts, struct sl_error *error);

struct failed_item {
    struct sl_value id; /* or {NULL, 0}: the number of the line */
    uint64_t line;
    enum sl_status status; /* failed: counted among the failures; cancelled */
    const char *stage;     /* of a pipe; or NULL */
    bool has_attempts;
    uint32_t attempts;
    const struct sl_error *failure;
    struct sl_value input; /* or {NULL, 0}: not at hand */
};
enum sl_code error_log_item(struct error_log *log, const struct failed_item *item, struct sl_error *error);

#endif
