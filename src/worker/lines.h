/* SPDX-License-Identifier: MIT */
/*
 * Cuts what a worker prints into lines of text for the log, and keeps the last ones.
 *
 * Bytes that are not UTF-8, and NUL, come out as \xNN; a line longer than SL__LOG_PIECE_SIZE comes in pieces, cut between
 * characters. A carriage return ends a line as well, so that a progress bar is seen as it moves.
 */
#ifndef SLITHER_WORKER_LINES_H
#define SLITHER_WORKER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/redact.h"

#define SL__TAIL_LINES 20
#define SL__TAIL_LINE_SIZE 1024 /* bytes kept of a line of the tail */

/* `text` is NUL-terminated and lives only during the call. */
typedef void sl__line_fn(void *context, const char *text, size_t size);

struct sl__lines {
    sl__line_fn *give;
    const struct sl__redact *redact;
    void *context;
    size_t used;
    uint8_t partial[4]; /* start of a character whose end has not come yet */
    uint8_t partial_size;
    bool keep_tail;
    uint32_t tail_count; /* lines ever kept */
    char *tail[SL__TAIL_LINES];
    char text[SL__LOG_PIECE_SIZE + 1];
};

/* `redact`: what they do not say; borrowed. NULL: nothing is left out. */
void sl__lines_init(struct sl__lines *lines, bool keep_tail, const struct sl__redact *redact, sl__line_fn *give,
                    void *context);
void sl__lines_feed(struct sl__lines *lines, const void *bytes, size_t size);
/* The writer is gone: gives what has no newline. */
void sl__lines_flush(struct sl__lines *lines);
/* The last lines, joined by newlines; the caller's to free. NULL when there are none, or no memory. */
char *sl__lines_tail(const struct sl__lines *lines);
/* The very last line, or NULL. */
const char *sl__lines_last(const struct sl__lines *lines);
/* The line with which the interpreter began to tell of its crash, when it is among the last ones; or NULL. */
const char *sl__lines_fatal(const struct sl__lines *lines);
/* Forgets everything, for the next process. Legal on a zeroed struct. */
void sl__lines_finish(struct sl__lines *lines);

#endif
