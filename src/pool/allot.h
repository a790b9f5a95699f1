/* SPDX-License-Identifier: MIT */
/*
 * Who gets which idle lane. A plain data structure: the pool's lock guards it.
 *
 * FAIRNESS. Waiters stand in one line. One is granted a lane when, after every waiter before it has got what it could take now, one is left
 * that it may take. A waiter for a certain worker takes that worker's lane or nothing: while that lane is not idle it
 * stands in nobody's way. Whoever may be granted one has been rung since: that is what sl__allot_ring is for, after every change that
 * lets somebody move up.
 */
#ifndef SLITHER_POOL_ALLOT_H
#define SLITHER_POOL_ALLOT_H

#include "pool/lease.h"

#define SL__NOBODY UINT32_MAX

struct sl__allot_seat; /* one a worker */

struct sl__allot {
    struct sl__allot_seat *seats;
    uint32_t worker_count;
    uint32_t idle_first; /* the lane that became idle last: its memory is warm */
    uint32_t idle_count;
    uint32_t waiter_count;
    struct sl__waiter *first, *last;
    uint64_t epoch; /* marks of an earlier walk do not count */
};

bool sl__allot_init(struct sl__allot *allot, uint32_t worker_count) __attribute__((warn_unused_result));
void sl__allot_finish(struct sl__allot *allot);

void sl__allot_put(struct sl__allot *allot, uint32_t worker);
/* An idle lane that died. */
void sl__allot_withdraw(struct sl__allot *allot, uint32_t worker);

/*
 * The worker whose lane `waiter`, queued or not, gets now when it wants `wanted` (a worker or SL__ANY_WORKER), or SL__NOBODY. The lane is no longer
 * idle then; the queue is not touched.
 */
uint32_t sl__allot_take(struct sl__allot *allot, const struct sl__waiter *waiter, uint32_t wanted);

void sl__allot_queue(struct sl__allot *allot, struct sl__waiter *waiter);
void sl__allot_leave(struct sl__allot *allot, struct sl__waiter *waiter);
/* Whether more wait for any lane than there are idle ones. */
bool sl__allot_short(const struct sl__allot *allot);
/* Rings the waiters that would be granted a lane now. */
void sl__allot_ring(struct sl__allot *allot);
/* Rings all of them: something is over. */
void sl__allot_ring_all(struct sl__allot *allot);

#endif
