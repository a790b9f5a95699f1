/* SPDX-License-Identifier: MIT */
/* What is wrong with a file: collected while it is read, and given out in the order of the file. */
#ifndef SLITHER_CONFIG_PROBLEMS_H
#define SLITHER_CONFIG_PROBLEMS_H

#include <slither/pipe_file.h>

#include "tree.h"

/* More than this are counted, but not kept. */
#define SL__PROBLEMS_KEPT_MAX 1000

struct sl__problems {
    const char *file; /* in messages */
    struct sl_pipe_file_problem *items;
    size_t count, capacity;
    uint32_t total;
    bool out_of_memory; /* while reading: nothing that is known of the file can be relied on */
};

/* `at` NULL: of the file as a whole. `place` may be NULL. */
void sl__problem(struct sl__problems *problems, const struct sl__yaml *at, const char *place, const char *format, ...)
    SL_PRINTF(4, 5);
/* The same at a place that has no node. */
void sl__problem_at(struct sl__problems *problems, uint32_t line, uint32_t column, const char *format, ...)
    SL_PRINTF(4, 5);

/*
 * Sorts, copies the first `max` of them, and makes the error of the first. SL_OK when there are none, but out_of_memory where memory ran out.
 */
enum sl_code sl__problems_give(struct sl__problems *problems, struct sl_pipe_file_problem *out, uint32_t max,
                               uint32_t *count, struct sl_error *error);
void sl__problems_finish(struct sl__problems *problems);

/*
 * ", did you mean X?" for messages: offer the names that there are, then ask for the text ("" where none is near).
 */
struct sl__nearest {
    const char *typed;
    const char *name; /* so far, or NULL */
    size_t distance;
};
void sl__nearest_offer(struct sl__nearest *nearest, const char *name);
#define SL__NEAREST_TEXT_SIZE 96
const char *sl__nearest_text(const struct sl__nearest *nearest, char text[SL__NEAREST_TEXT_SIZE]);

#endif
