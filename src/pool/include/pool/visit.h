/* SPDX-License-Identifier: MIT */
/* Visit: a run's stay in a pool, from its start to its finish. The pool's memory outlives it; its workers may not. */
#ifndef SLITHER_POOL_VISIT_H
#define SLITHER_POOL_VISIT_H

#include <stdatomic.h>

#include <slither/pool.h>

#include "base/list.h"
#include "lane/lane.h"

/* Caller's memory; zero it. */
struct sl__visit {
    struct sl__link link;     /* the pool's */
    struct sl__bell *bell;    /* rung when the door is shut */
    _Atomic uintptr_t inside; /* thread that is in a function of the run, or 0 */
};

/* `visit->bell` is set. */
void sl__pool_enter(struct sl_pool *pool, struct sl__visit *visit);
/* All leases have been given back and no waiter is queued. May end the pool, which is not to be used any more. */
void sl__pool_leave(struct sl_pool *pool, struct sl__visit *visit);
/* The calling thread is in a function of the run from now on, and its callbacks are callbacks of the run; or no longer. */
void sl__visit_inside(struct sl__visit *visit, bool inside);

/* Whether no lane is granted any more, since the pool is being drained or destroyed. Cheap. */
bool sl__pool_shut(const struct sl_pool *pool);

#endif
