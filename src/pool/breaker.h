/* SPDX-License-Identifier: MIT */
/*
 * What the circuit (circuit.h) does to a pool. Events come from both threads, under the pool's lock; what they lead to with workers is done
 * on the loop thread, by one task that looks at the state and does what it asks for.
 */
#ifndef SLITHER_POOL_BREAKER_H
#define SLITHER_POOL_BREAKER_H

#include "circuit.h"
#include "loop/loop.h"

struct sl_pool;
struct sl__occupant;

#define SL__BREAKER_WHY_SIZE 128

struct sl__breaker {
    struct sl__circuit circuit;
    char why[SL__BREAKER_WHY_SIZE]; /* it opened */
    uint32_t trial_worker;          /* warming: the one that is being started, or SL__NOBODY */
    struct sl__task task;
    bool posted;
    struct sl__timer *timer; /* loop thread; of the cool-down */
};

void sl__breaker_init(struct sl__breaker *breaker, const struct sl_pool_options *options);
/* Loop thread. */
enum sl_code sl__breaker_start(struct sl_pool *pool, struct sl_error *error);
void sl__breaker_stop(struct sl_pool *pool);

/* ---- with the pool's lock held -------------------------------------------------------------------------------- */

static inline bool sl__breaker_closed(const struct sl__breaker *breaker) {
    return breaker->circuit.state == SL__CIRCUIT_CLOSED;
}

/* A worker has got ready, and its lane is idle. */
void sl__breaker_ready(struct sl_pool *pool);
/* A worker has died, of `death`; its incarnation is still there. False: it is not to be started again by who asks. */
bool sl__breaker_death(struct sl_pool *pool, const struct sl__occupant *occupant, const struct sl_error *death);
/* A worker is gone, or has no lease any more, because it was not wanted any longer. */
void sl__breaker_left(struct sl_pool *pool, const struct sl__occupant *occupant);
/* The worker whose lane a caller gets though the circuit is not closed, or SL__NOBODY. The lane is no longer idle then. */
uint32_t sl__breaker_grant(struct sl_pool *pool);
/* circuit_open, with all that is known. */
enum sl_code sl__breaker_refuse(const struct sl_pool *pool, struct sl_error *error);
/* A lease that is a trial: a batch of it is answered. */
void sl__breaker_answered(struct sl_pool *pool);
/* A lane has become idle; `trial`: its lease was one. */
void sl__breaker_idle(struct sl_pool *pool, bool trial);

#endif
