/* SPDX-License-Identifier: MIT */
/*
 * What is under way in a run.
 *
 *   lent    of a value: it lies where it came from (the source, a stage's writer, a worker's reply), and only as long as the thread that has it does
 *           nothing else; whoever puts it down has it kept first
 *   kept    of a value: a chunk holds it
 *   chunk   memory that values lie in; it is given back when the last of them has gone
 *   arena   where one thread puts the values that it keeps: one chunk at a time
 *   token   one item at one place: in the hands of a thread, in a queue, or in an output's line
 *   path    where a token stands among those that came of the same source item: one number for each stage that made several of one
 *   origin  an item of the source, from when it was read until nothing is left of it; it brings its first token along
 */
#ifndef SLITHER_PIPE_ITEM_H
#define SLITHER_PIPE_ITEM_H

#include <pthread.h>
#include <stdatomic.h>

#include <slither/pipe.h>

#include "lane/lane.h"
#include "plan.h"

#define SL__PATH_MAX 8
#define SL__LINE_SIZE 64 /* of a processor's cache */

/* ---- values ------------------------------------------------------------------------------------------------------ */

struct sl__chunk {
    _Atomic uint64_t refs;
    _Atomic uint64_t *account; /* bytes under way in the run: what the chunk takes is among them */
    struct sl__blob *reply;    /* of a worker, which the values lie in; NULL: they lie in `data` */
    size_t size, used;         /* of `data` */
    uint8_t data[];
};

/* A value and what holds it. All zero: none. */
struct sl__kept {
    const uint8_t *data; /* NULL, with a size: a dispatch has it */
    size_t size;
    struct sl__chunk *chunk; /* NULL: it is lent */
};
static inline struct sl__kept sl__lent(struct sl_value value) {
    return (struct sl__kept){value.data, value.size, NULL};
}
/* Whether all of the value is part of the other, or is it. */
static inline bool sl__value_inside(struct sl_value value, const uint8_t *data, size_t size) {
    uintptr_t offset = (uintptr_t)value.data - (uintptr_t)data;
    return data != NULL && offset <= size && value.size <= size - offset;
}

/*
 * A chunk that is open is charged with more references than it can have values; closing gives back those that no value got. So a value that is kept costs no
 * locked instruction, and one that is dropped costs one.
 */
struct sl__open_chunk {
    struct sl__chunk *chunk; /* or NULL */
    uint64_t given;          /* references to it that values have */
};

struct sl__arena {
    struct sl__open_chunk room;  /* for copies */
    struct sl__open_chunk reply; /* the one that values were kept of last */
    size_t chunk_size;           /* larger values get a chunk of their own; 0: all do */
    _Atomic uint64_t *account;
};

/* Copies the value. False: no memory. */
bool sl__arena_copy(struct sl__arena *arena, struct sl_value value, struct sl__kept *kept);
bool sl__arena_open_reply(struct sl__arena *arena, struct sl__blob *reply);
/* Keeps a value that lies in a reply, with the reply. False: no memory. */
static inline bool sl__arena_hold(struct sl__arena *arena, struct sl__blob *reply, struct sl_value value,
                                  struct sl__kept *kept) {
    struct sl__open_chunk *open = &arena->reply;
    if ((open->chunk == NULL || open->chunk->reply != reply) && !sl__arena_open_reply(arena, reply)) {
        return false;
    }
    open->given++;
    *kept = (struct sl__kept){value.data, value.size, open->chunk};
    return true;
}
/* What was kept lives on; the arena holds nothing any more. */
void sl__arena_close(struct sl__arena *arena);

struct sl__kept sl__kept_ref(struct sl__kept kept);
/* Drops one reference. */
void sl__chunk_unref(struct sl__chunk *chunk);
static inline void sl__kept_drop(struct sl__kept *kept) {
    if (kept->chunk != NULL) {
        sl__chunk_unref(kept->chunk);
        kept->chunk = NULL;
    }
}
static inline struct sl_value sl__kept_value(const struct sl__kept *kept) {
    return (struct sl_value){kept->data, kept->size};
}

/* ---- tokens and origins ------------------------------------------------------------------------------------------ */

/* Both begin with what every item needs, as much as a line of the cache. */
struct sl__token {
    struct sl__token *next; /* in a queue, or of the same origin in line */
    struct sl__origin *origin;
    struct sl__kept value;
    const char *producer;       /* name of the stage that gave it out; NULL: it came from the source */
    uint32_t output;            /* in line: of which */
    uint8_t depth;              /* of the path */
    bool laden;                 /* it has `made` or `error`, which mean nothing otherwise */
    uint64_t enter_ns;          /* traced: into the stage where it is; 0: into none yet */
    struct sl__emissions *made; /* by a native stage with threads; or NULL */
    struct sl_error *error;     /* why it was sent on by on_error_to; or NULL */
    uint32_t path[SL__PATH_MAX];
};

struct sl__origin {
    _Alignas(SL__LINE_SIZE) struct sl__origin *next; /* spare */
    uint64_t id;
    uint64_t sequence;
    struct sl__token *line; /* at outputs, in the order of their paths; ordered runs only */
    struct sl__kept meta;   /* or none */
    _Atomic uint32_t live;  /* tokens under way */
    bool cancelled;         /* something of it was */
    bool traced;
    _Alignas(SL__LINE_SIZE) struct sl__token first;
};

static inline void sl__token_init(struct sl__token *token, struct sl__origin *origin, struct sl__kept value) {
    token->origin = origin;
    token->value = value;
    token->producer = NULL;
    token->depth = 0;
    token->laden = false;
    token->enter_ns = 0;
}
/* One more token of an origin. Takes over the value. NULL: no memory; the value is still the caller's. */
struct sl__token *sl__token_create(struct sl__origin *origin, struct sl__kept value);
/* Before the first thing is put into `made` or `error`. */
static inline void sl__token_load(struct sl__token *token) {
    if (!token->laden) {
        token->laden = true;
        token->made = NULL;
        token->error = NULL;
    }
}
static inline struct sl_error *sl__token_error(const struct sl__token *token) {
    return token->laden ? token->error : NULL;
}
/* All but its first line, and the memory of one that is not its origin's. */
void sl__token_destroy_rest(struct sl__token *token);
static inline void sl__token_destroy(struct sl__token *token) {
    sl__kept_drop(&token->value);
    if (token->laden || token != &token->origin->first) {
        sl__token_destroy_rest(token);
    }
}

/* ---- what a stage gave out for one item -------------------------------------------------------------------------- */

struct sl__emission {
    struct sl__kept value; /* without a chunk: lent, or part of the item's own */
    sl__target target;     /* SL__NOWHERE: the stage's next */
};
struct sl__emissions {
    struct sl__emission *items;
    size_t count, capacity;
    char *skip; /* reason, or NULL */
    struct sl_error error;
};

/* Not zeroed as a whole: an error is half a KiB, and there is none for most items. */
void sl__emissions_init(struct sl__emissions *emissions);
void sl__emissions_clear(struct sl__emissions *emissions);
void sl__emissions_finish(struct sl__emissions *emissions);

#endif
