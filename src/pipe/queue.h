/* SPDX-License-Identifier: MIT */
/*
 * The queue before a threaded node: many threads put, its own thread takes. The taker takes all at once, so that the lock is shared by many items.
 *
 * The bound is looked at by who brings items, before it takes in new ones; a put never blocks, so what was taken in already may pass the bound by
 * what is under way in the stages before.
 */
#ifndef SLITHER_PIPE_QUEUE_H
#define SLITHER_PIPE_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "item.h"

struct sl__queue {
    pthread_mutex_t lock;
    struct sl__token *first, **last; /* not yet taken */
    bool closed;                     /* no put will follow */
    bool dead;                       /* the taker is gone: puts are refused */
    uint32_t peak;
    struct sl__token *taken, **taken_last; /* the taker's own */
    _Atomic uint32_t count;                /* put and not yet handed out by sl__queue_next */
    _Atomic bool hungry;                   /* the taker found nothing, and wants to be woken */
    _Atomic bool crowded;                  /* somebody found it full, and wants to be woken when it is not */
    uint32_t bound;
};

void sl__queue_init(struct sl__queue *queue, uint32_t bound);
void sl__queue_finish(struct sl__queue *queue);

/* False: the queue is dead, and the token is still the caller's. *wake: the taker is to be woken. */
bool sl__queue_put(struct sl__queue *queue, struct sl__token *token, bool *wake);
/* The taker puts, and nobody else ever does: without the lock. */
void sl__queue_put_own(struct sl__queue *queue, struct sl__token *token);
/* The next token, or NULL: *ended says whether there will be any more. *room: those who found it full are to be woken. Taker only. */
struct sl__token *sl__queue_next(struct sl__queue *queue, bool *ended, bool *room);
/* No put will follow. True: the taker is to be woken. */
bool sl__queue_close(struct sl__queue *queue);
/* Refuses puts from now on; returns what is left, linked by `next`. Taker only. */
struct sl__token *sl__queue_kill(struct sl__queue *queue);
/* Whether nothing more should be brought; if so the caller will be woken when that changes. */
bool sl__queue_full(struct sl__queue *queue);

#endif
