/* SPDX-License-Identifier: MIT */
/*
 * The input of a run: a file or standard input, read and parsed by a thread of its own.
 *
 *   read -> lines -> items (chunk) -> queue, bounded -> input_next(), which the dispatch calls
 *
 * The thread hands a chunk on when it is full or when the next line would have to be waited for, so that a live
 * source is never behind. Queue and chunks are bounded in number and bytes: an input without end takes the same
 * memory as a short one.
 */
#ifndef SLITHER_CLI_INPUT_H
#define SLITHER_CLI_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include <slither/dispatch.h>

#include "chunk.h"

struct input;

/* A line that is no item. */
struct bad_line {
    const char *input; /* name of the file */
    uint64_t line;
    enum sl_code code;
    const char *problem;
    const char *text; /* its start, not NUL-terminated */
    size_t text_size;
    const char *advice; /* when nothing before it was good: what the input may be instead; or NULL */
};

struct input_options {
    const char *path; /* NULL: standard input */
    size_t line_max;
    /*
     * Where to go on: so many bytes and lines were dealt with, and then so many items are passed over, with the bad lines among them. What cannot be
     * sought, like a pipe, has to begin at its beginning again; its lines are then passed over.
     */
    uint64_t skip_bytes;
    uint64_t skip_lines;
    uint64_t skip_items;
    /*
     * Called by the thread that runs the dispatch, for each bad line in its place. False: the input ends there, with
     * an error.
     */
    bool (*bad_line)(void *context, const struct bad_line *bad);
    /* The same thread, when there is nothing to be had now. */
    void (*idle)(void *context);
    void *context;
};

/* Opens it; nothing is read yet. NULL: `problem` says why not. */
struct input *input_open(const struct input_options *options, char *problem, size_t problem_size);
/* The run is over: it is not woken any more, and what `wake` was given may go. */
void input_leave(struct input *input);
/*
 * Stops the thread; items that were not taken are dropped. False: it did not stop soon, being in an expression that
 * does not end; the input, its expressions and its control must then be left alone for good.
 */
bool input_stop(struct input *input);
/* Stops and releases it. NULL is fine. */
void input_close(struct input *input);

const char *input_name(const struct input *input);
/* A regular file, whose items are there already; otherwise items come when they come. */
bool input_is_regular(const struct input *input);
bool input_is_terminal(const struct input *input);
int input_fd(const struct input *input);
/* Bytes from where reading starts to the end, or 0 when that is not known. */
uint64_t input_size(const struct input *input);
/* Of those, the bytes of lines that the run has taken. Any thread, as the next one. */
uint64_t input_position(const struct input *input);
/* The line that the run took last, from 1; 0: none. */
uint64_t input_line(const struct input *input);

/* The expressions are read off each item; to be set before input_start(), and to outlive the input. */
struct line_parser *input_parser(struct input *input);
/*
 * Starts the thread; it wakes the run with `wake`, when there is something again. Its context must live until input_leave() or input_stop() has
 * returned; it is called with a lock held, and must not come back to the input.
 */
enum sl_code input_start(struct input *input, void (*wake)(void *context), void *wake_context, struct sl_error *error);

struct sl_source input_source(struct input *input);
/* Weight and key of the item that was taken last, for a strategy; context is the input. */
sl_weight_fn input_weight;
sl_key_fn input_key;

#endif
