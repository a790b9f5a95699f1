/* SPDX-License-Identifier: MIT */
/*
 * The queue before a threaded node: many threads put, its own thread takes. Tokens are put many at a time, and the taker takes all that there are at once,
 * so that the lock is shared by many items.
 *
 * The bound is looked at by who brings items, before it takes in new ones; a put never blocks, so what was taken in already may pass the bound by
 * what is under way in the stages before.
 */
#ifndef SLITHER_PIPE_QUEUE_H
#define SLITHER_PIPE_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "item.h"

/* Tokens in a row, linked by `next`. */
struct sl__row {
    struct sl__token *first, **last; /* last: only when there is a first */
    uint32_t count;
};

static inline void sl__row_push(struct sl__row *row, struct sl__token *token) {
    token->next = NULL;
    *(row->first == NULL ? &row->first : row->last) = token;
    row->last = &token->next;
    row->count++;
}
/* NULL: empty. */
static inline struct sl__token *sl__row_pop(struct sl__row *row) {
    struct sl__token *token = row->first;
    if (token != NULL) {
        row->first = token->next;
        row->count--;
    }
    return token;
}
/* Appends what `from` has, and empties it. */
static inline void sl__row_move(struct sl__row *row, struct sl__row *from) {
    if (from->first != NULL) {
        *(row->first == NULL ? &row->first : row->last) = from->first;
        row->last = from->last;
        row->count += from->count;
    }
    *from = (struct sl__row){0};
}

struct sl__queue {
    pthread_mutex_t lock;
    struct sl__row waiting; /* not yet taken */
    bool closed;            /* no put will follow */
    bool dead;              /* the taker is gone: puts are refused */
    uint32_t peak;
    struct sl__row taken;   /* the taker's own */
    uint32_t handed;        /* of the taken ones; not yet taken off `count` */
    _Atomic uint32_t count; /* put and not yet handed out by sl__queue_next, or a few more */
    _Atomic bool hungry;    /* the taker found nothing, and wants to be woken */
    _Atomic bool crowded;   /* somebody found it full, and wants to be woken when it is not */
    uint32_t bound;
};

void sl__queue_init(struct sl__queue *queue, uint32_t bound);
void sl__queue_finish(struct sl__queue *queue);

/* Puts the whole row, and empties it. False: the queue is dead, and they are still the caller's. *wake: the taker is to be woken. */
bool sl__queue_put(struct sl__queue *queue, struct sl__row *row, bool *wake);
/* The next token, or NULL: *ended says whether there will be any more. *room: those who found it full are to be woken. Taker only. */
struct sl__token *sl__queue_next(struct sl__queue *queue, bool *ended, bool *room);
/* No put will follow. True: the taker is to be woken. */
bool sl__queue_close(struct sl__queue *queue);
/* Refuses puts from now on; returns what is left. Taker only. */
struct sl__row sl__queue_kill(struct sl__queue *queue);
/* Whether nothing more should be brought; if so the caller will be woken when that changes. */
bool sl__queue_full(struct sl__queue *queue);

#endif
