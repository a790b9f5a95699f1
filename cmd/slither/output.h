/* SPDX-License-Identifier: MIT */
/* Buffered lines to a file descriptor: results, routed items, errors, the report. Used by one thread at a time. */
#ifndef SLITHER_CLI_OUTPUT_H
#define SLITHER_CLI_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <slither/error.h>

#include "stop.h"

struct output {
    int fd; /* -1: closed */
    const char *name;
    char *buffer;
    size_t size;
    bool owns_fd;
    bool reader_gone;        /* EPIPE on standard output: nobody reads it any more */
    bool failed;             /* an error was reported; what follows is dropped */
    bool may_wait;           /* no regular file: a write waits for its reader */
    const struct stop *stop; /* said: a write that waits ends with `cancelled`; may be NULL */
    /* true: what is being written is left out from there on, as `cancelled`, and what comes later is written again; for a terminal; may be NULL */
    const atomic_bool *interrupted;
    void (*before_write)(void); /* for what shares a terminal with something else; may be NULL */
};

/* Standard output. */
bool output_init(struct output *output, int fd, const char *name);
/* Whether both are one regular file: reading the one would never end while the other is written. */
bool is_same_file(int fd, int other);
#define OUTPUT_KEEP UINT64_MAX /* all that the file holds */
/*
 * A file, made where there is none, cut to its first `keep` bytes; lines go behind them. A file that is the open `input_fd` is refused, because emptying it would destroy what is
 * still to be read. False: `problem` says why.
 */
bool output_open(struct output *output, const char *path, uint64_t keep, int input_fd, char *problem,
                 size_t problem_size);

/* Cuts a regular file to its first `keep` bytes; lines go behind them. Nothing must be buffered. False: errno. */
bool output_cut(struct output *output, uint64_t keep);

/*
 * One line; the newline is added. Blocks when the buffer is full.
 * SL_E_END: the reader is gone; system: the write failed (disk full...), named; cancelled: given up.
 */
enum sl_code output_line(struct output *output, const char *text, size_t size, struct sl_error *error);
enum sl_code output_flush(struct output *output, struct sl_error *error);
/* Flushes and closes; reports what only close() says. A zeroed output is fine and stays as it is. */
enum sl_code output_close(struct output *output, struct sl_error *error);

#endif
