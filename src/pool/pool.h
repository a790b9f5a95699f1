/* SPDX-License-Identifier: MIT */
/*
 * Inside of a pool. Two threads meet here: the loop thread, on which the workers live and die, and whoever runs a dispatch. What they
 * share is guarded by sl_pool.lock; nothing is waited for while it is held.
 *
 *   place        index 0 .. worker_count-1, that one worker after another takes
 *   incarnation  one life of the worker at a place, from ready until it is gone and its lease was given back
 */
#ifndef SLITHER_POOL_POOL_H
#define SLITHER_POOL_POOL_H

#include <pthread.h>

#include <slither/pool.h>

#include "allot.h"
#include "loop/runtime.h"
#include "pool/lease.h"
#include "restart.h"
#include "worker/template.h"
#include "worker/worker.h"

#define SL__WHY_SIZE 320 /* bytes kept of what sl__pool_kill was told */

/* Made at ready, on the loop thread. Freed by whoever is last: the death, or the release of the lease. */
struct sl__incarnation {
    struct sl__lease lease; /* lease.lane is the incarnation's */
    struct sl__life life;
    bool leased;
    bool reaped; /* life.pidfd is of no use any more */
    bool killed; /* by sl__pool_kill: not to be leased again */
    bool blameless;
    enum sl_code cause;
    char why[SL__WHY_SIZE];
    struct sl__bell *bell; /* of the holder, or NULL */
    uint64_t batch_count;
};

struct sl__place {
    struct sl__task kill_task; /* tells the worker that it was killed; the place outlives it, the incarnation may not */
    bool kill_posted;
    struct sl_pool *pool;
    struct sl__worker *worker;           /* loop thread, and its pid by any */
    struct sl__incarnation *incarnation; /* the one that takes batches, or NULL */
    struct sl__backoff backoff;          /* loop thread */
    bool ever_ready;
};

enum sl__pool_phase {
    SL__POOL_STARTING, /* sl_pool_create has not returned */
    SL__POOL_OPEN,
    SL__POOL_FAILED, /* the restart budget is spent */
    SL__POOL_CLOSING
};

struct sl_pool {
    struct sl_runtime *runtime;
    struct sl__tenant tenant;
    char *name;
    struct sl__spec spec;
    uint32_t worker_count;
    uint32_t processor_count;
    uint32_t waiter_max;
    uint32_t restart_backoff_ms;
    uint32_t restart_window_ms;

    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* for creation and destruction */
    enum sl__pool_phase phase;
    struct sl__place *places;
    struct sl__allot allot;
    struct sl__budget budget;
    struct sl__template *template; /* or NULL; loop thread */
    bool template_stopped;
    uint32_t started_count; /* places that have been ready */
    uint32_t stopped_count;
    uint32_t leased_count;
    struct sl_error failure;    /* starting: the first; failed: the last death */
    struct sl_pool_stats stats; /* counters only */
    _Atomic uint32_t waiting;   /* allot.waiter_count, to be read without the lock */
};

extern const struct sl__worker_owner sl__pool_owner;
/* Callbacks of the template. */
void sl__pool_template_ready(void *context, bool ready);
void sl__pool_template_stopped(void *context);

/* place->kill_task.run */
void sl__place_killed(struct sl__task *task);

/* Outside of the lock: unmaps memory. */
void sl__incarnation_destroy(struct sl__incarnation *incarnation);

#endif
