/* SPDX-License-Identifier: MIT */
/*
 * The end of a pool: docs/design/0011-circuit.md.
 *
 *   door        shut once and for all by the first drain or destroy; from then on nobody is granted a lane
 *   visitor     a run, from its start to its finish (pool/visit.h); it holds a reference to the pool
 *   forsaken    destroyed from a callback: the next visitor that leaves ends the pool
 *   claimed     one thread ends the workers; all others who want that wait for it
 *
 * Nothing here waits for a visitor. What is waited for is that each leased lane has come back or lost its worker, and the loop thread sees to that.
 */
#ifndef SLITHER_POOL_DRAIN_H
#define SLITHER_POOL_DRAIN_H

#include "base/list.h"
#include "loop/loop.h"
#include "loop/runtime.h"

struct sl_pool;

struct sl__drain {
    _Atomic bool shut;        /* to be read without the lock, too */
    uint32_t references;      /* the handle, visitors, those who wait in here */
    struct sl__list visitors; /* struct sl__visit */
    uint32_t lost_count;      /* leased lanes without a worker */
    uint64_t deadline_ns;     /* of those that are leased, once it is shut */
    uint64_t killed_count;    /* workers that were killed at the deadline */
    bool forsaken, claimed, gone;
    struct sl__task task; /* arms the timer */
    bool posted;
    struct sl__timer *timer; /* loop thread */
};

void sl__drain_init(struct sl__drain *drain);
/* Loop thread. */
enum sl_code sl__drain_start(struct sl_pool *pool, struct sl_error *error);
void sl__drain_stop(struct sl_pool *pool);

/* With the lock: a lease was lost, or came back. */
void sl__drain_lost(struct sl_pool *pool);
void sl__drain_released(struct sl_pool *pool, bool lost);

/* Ends the pool, or waits until somebody else has. The reference of the handle is given up; the memory may be gone. */
void sl__pool_end(struct sl_pool *pool);
/* The same for the runtime: struct sl__tenant. */
void sl__pool_tenant_hold(struct sl__tenant *tenant);
void sl__pool_tenant_destroy(struct sl__tenant *tenant);

/* pool.c: ends all workers and waits for it. Bounded: each answers after its stop timeout and the patience with SIGKILL. */
void sl__pool_stop_workers(struct sl_pool *pool);
void sl__pool_free(struct sl_pool *pool);

#endif
