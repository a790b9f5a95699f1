/* SPDX-License-Identifier: MIT */
/*
 * What is under way in a run.
 *
 *   blob    an encoded value that several tokens may share
 *   token   one item at one place: in the hands of a thread, in a queue, or in an output's line
 *   path    where a token stands among those that came of the same source item: one number for each stage that made several of one
 *   origin  an item of the source, from when it was read until nothing is left of it
 */
#ifndef SLITHER_PIPE_ITEM_H
#define SLITHER_PIPE_ITEM_H

#include <pthread.h>
#include <stdatomic.h>

#include <slither/pipe.h>

#include "plan.h"

#define SL__PATH_MAX 8

struct sl__pipe_blob {
    _Atomic uint32_t refs;
    _Atomic uint64_t *account; /* bytes under way in the run */
    size_t size;
    uint8_t data[];
};

struct sl__token {
    struct sl__token *next; /* in a queue, or of the same origin in line */
    uint64_t origin;        /* sequence */
    struct sl__pipe_blob *blob;
    uint32_t producer; /* node, or SL__NOWHERE: the source */
    uint32_t output;   /* in line: of which */
    uint32_t path[SL__PATH_MAX];
    uint32_t depth; /* of the path */
    uint64_t enter_ns;
    struct sl_error *error;     /* why it was sent on by on_error_to; or NULL */
    struct sl__emissions *made; /* by a native stage with threads; or NULL */
};

struct sl__origin {
    uint64_t id;
    struct sl__pipe_blob *meta; /* or NULL */
    _Atomic uint32_t live;      /* tokens under way */
    bool cancelled;             /* something of it was */
    struct sl__token *line;     /* at outputs, in the order of their paths; ordered runs only */
};

/* Values that a stage gave out for one item. */
struct sl__emission {
    struct sl__pipe_blob *blob;
    sl__target target; /* SL__NOWHERE: the stage's next */
};
struct sl__emissions {
    struct sl__emission *items;
    size_t count, capacity;
    char *skip; /* reason, or NULL */
    struct sl_error error;
};

/* Takes over the blob, which may be NULL. NULL: no memory; the blob is still the caller's. */
struct sl__token *sl__token_create(uint64_t origin, struct sl__pipe_blob *blob, uint32_t producer);

/* NULL: no memory. */
struct sl__pipe_blob *sl__pipe_blob_create(const void *data, size_t size, _Atomic uint64_t *account);
struct sl__pipe_blob *sl__pipe_blob_ref(struct sl__pipe_blob *blob);
void sl__pipe_blob_unref(struct sl__pipe_blob *blob);

static inline struct sl_value sl__pipe_blob_value(const struct sl__pipe_blob *blob) {
    return blob != NULL ? (struct sl_value){blob->data, blob->size} : (struct sl_value){NULL, 0};
}

/* Not zeroed as a whole: an error is half a KiB, and there is none for most items. */
void sl__emissions_init(struct sl__emissions *emissions);
void sl__emissions_clear(struct sl__emissions *emissions);
void sl__emissions_finish(struct sl__emissions *emissions);

#endif
