/* SPDX-License-Identifier: MIT */
/*
 * Inside of a pool. Two threads meet here: the loop thread, on which the workers live and die, and whoever runs a dispatch. What they
 * share is guarded by sl_pool.lock; nothing is waited for while it is held.
 *
 *   place        index 0 .. worker_max-1; what leases, keys and logs call a worker. It is wanted or not: size.c decides.
 *   occupant     a worker process through one life after another. A place has room for two: the current one, which takes batches, and
 *                another that is either its successor, still starting, or its predecessor, still leaving
 *   incarnation  one life of an occupant, from ready until it is gone and its lease was given back
 */
#ifndef SLITHER_POOL_POOL_H
#define SLITHER_POOL_POOL_H

#include <pthread.h>

#include <slither/pool.h>

#include "allot.h"
#include "base/list.h"
#include "breaker.h"
#include "drain.h"
#include "loop/runtime.h"
#include "pool/guest.h"
#include "pool/lease.h"
#include "pulse.h"
#include "recycle.h"
#include "restart.h"
#include "tally.h"
#include "worker/template.h"
#include "worker/worker.h"

#define SL__WHY_SIZE 320 /* bytes kept of what sl__pool_kill was told */

/* Made at ready, on the loop thread. Freed by whoever is last: the death, or the release of the lease. */
struct sl__incarnation {
    struct sl__lease lease; /* lease.lane is the incarnation's */
    struct sl__life life;
    struct sl__occupant *occupant;
    bool leased;
    bool retired;                /* not to be leased again: its occupant is leaving */
    uint8_t idle_ticks;          /* since it was leased last */
    enum sl__recycle_reason due; /* it is to be replaced */
    struct sl__recycle_limits limits;
    uint64_t age_deadline_ns; /* UINT64_MAX: none */
    bool reaped;              /* life.pidfd is of no use any more */
    bool killed;              /* by sl__pool_kill: not to be leased again */
    bool asked;               /* killed, but is asked first what it was doing */
    bool blameless;
    enum sl_code cause;
    enum sl_death_cause death_cause;
    char why[SL__WHY_SIZE];
    struct sl__bell *bell; /* of the holder, or NULL */
    uint64_t batch_count;
    uint32_t kept; /* what the guest has in it */
    uint64_t ready_ns;
    uint64_t rss_bytes; /* at the last heartbeat, as what follows */
    uint64_t heard_ns;
    enum sl_activity activity;
};

enum sl__role {
    SL__ROLE_NONE,      /* no process, and none is wanted: the next that the place needs can be this one */
    SL__ROLE_CURRENT,   /* takes batches, or will when it is ready */
    SL__ROLE_SUCCESSOR, /* is being started, to become the current one */
    SL__ROLE_LEAVING    /* is to end: at once, or when its lease has come back */
};

/* Changed on the loop thread, and under the lock. */
struct sl__occupant {
    struct sl__task kill_task; /* tells the worker that it was killed; this outlives it, the incarnation may not */
    bool kill_posted;
    struct sl__place *place;
    struct sl__worker *worker; /* NULL: never needed so far */
    enum sl__role role;
    struct sl__incarnation *incarnation; /* of a process that is ready, or NULL */
    struct sl__backoff backoff;          /* loop thread, as all that follows */
    enum { SL__ADMISSION_NONE, SL__ADMISSION_WAITING, SL__ADMISSION_GIVEN } admission;
    struct sl__link admission_link; /* waiting: in admission_list, one of the pool's */
    struct sl__list *admission_list;
    bool start_due, stop_due; /* what sl__size_adjust has decided */
    bool stopping;            /* has been asked to stop, and has not answered */
};

/* Lives as long as the pool. */
struct sl__place {
    struct sl_pool *pool;
    uint32_t index;
    uint32_t generation; /* lives so far; loop thread */
    bool wanted;
    bool wished; /* somebody waits for just this one, and it is not wanted */
    bool extra;  /* wanted because somebody waited for any, and not ready so far */
    bool ever_ready;
    struct sl__occupant occupants[2];
    struct sl__occupant *current, *successor; /* those of the occupants, or NULL */
};

/* The one that takes batches, or NULL. With the lock. */
static inline struct sl__incarnation *sl__place_incarnation(const struct sl__place *place) {
    return place->current != NULL ? place->current->incarnation : NULL;
}

enum sl__pool_phase {
    SL__POOL_STARTING, /* sl_pool_create has not returned */
    SL__POOL_OPEN,
    SL__POOL_CLOSING /* the door is shut: drain.h */
};

struct sl_pool {
    struct sl_runtime *runtime;
    struct sl__tenant tenant;
    char *name;
    char *cgroup; /* or NULL */
    struct sl__spec spec;
    struct sl__worker_config worker_config; /* of each occupant but for its place */
    uint32_t processor_count;
    uint32_t start_parallel_max;
    uint32_t worker_idle_ms;
    pthread_mutex_t resize_lock; /* one sl_pool_resize at a time; before `lock` */
    uint32_t waiter_max;
    uint32_t session_max;
    enum sl_affinity affinity;
    _Atomic(struct sl__guest *) guests[SL__GUEST_KINDS]; /* each set once, under the lock */
    uint32_t restart_backoff_ms;
    uint32_t restart_window_ms;

    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* for creation and destruction */
    enum sl__pool_phase phase;
    bool opened;                  /* it was there: its maker's thread, and who ends it */
    struct sl__place **places;    /* SL__PLACE_MAX pointers, of which the first place_count are set */
    _Atomic uint32_t place_count; /* only grows, under the lock */
    uint32_t worker_min;
    _Atomic uint32_t worker_max; /* to be read without the lock, too */
    uint32_t wanted_count;
    uint32_t present_count;    /* places whose current occupant was ready when it was last looked */
    bool wished, place_wished; /* somebody waits for a lane; for one of a place that is not wanted */
    struct sl__allot allot;
    struct sl__budget budget;
    struct sl__breaker breaker;
    struct sl__drain drain;
    struct sl__template *template; /* loop thread */
    bool template_stopped;
    uint32_t started_count;  /* places that have been ready */
    bool stopping_all;       /* loop thread: each occupant that stops from now on does so for good */
    uint32_t occupied_count; /* of them, those that have not stopped */
    struct sl__list
        admission[2]; /* loop thread: occupants that are to start when fewer do; [1]: successors, which can wait */
    uint32_t starting_count;    /* loop thread: those that were admitted, and are not ready */
    struct sl__recycle recycle; /* loop thread */
    struct sl__timer *size_timer;
    struct sl__backoff grow_backoff; /* of starts that are extra */
    uint64_t grow_ns;                /* none of them before */
    uint64_t tick_ns;                /* loop thread: when idle workers are counted next; UINT64_MAX: not */
    uint64_t appoint_ns;             /* loop thread: nobody is appointed before, for lack of memory */
    struct sl__task adjust_task;
    bool adjust_posted;
    uint32_t leased_count;
    struct sl__pulse pulse;
    struct sl__tally tally;
    struct sl_error failure;    /* starting: the first; circuit open: the death that opened it */
    struct sl_pool_stats stats; /* counters only */
    _Atomic uint32_t waiting;   /* allot.waiter_count, to be read without the lock */
};

extern const struct sl__worker_owner sl__pool_owner;
/* Callbacks of the template. */
void sl__pool_template_ready(void *context, bool ready, bool forks);
void sl__pool_template_stopped(void *context);

/* occupant->kill_task.run */
void sl__occupant_killed(struct sl__task *task);

/* size.c: which places are occupied. Loop thread unless said otherwise. */
#define SL__PLACE_MAX 1024
/* Not on the loop thread, or before anybody else knows the pool. False: out of memory. */
bool sl__places_grow(struct sl_pool *pool, uint32_t place_count) __attribute__((warn_unused_result));
void sl__places_free(struct sl_pool *pool);
/* Makes the worker of an occupant that has had none. */
enum sl_code sl__occupant_make(struct sl__occupant *occupant, struct sl_error *error);
enum sl_code sl__size_begin(struct sl_pool *pool, struct sl_error *error);
void sl__size_end(struct sl_pool *pool);
/* Those with the lock may be called by any thread. */
/* With the lock: sl__size_adjust soon. */
void sl__size_look(struct sl_pool *pool);
/* With the lock: somebody waits in vain for `worker` or any. */
void sl__size_wish(struct sl_pool *pool, uint32_t worker);
/* With the lock: it has had enough. */
void sl__size_due(struct sl__incarnation *incarnation, enum sl__recycle_reason reason);
/* With the lock: it is not the current one any more, and ends when its lease has come back. */
void sl__size_retire(struct sl__occupant *occupant);
/*
 * With the lock: one that was started on top of those that there must be could not get ready. True: then it is not wanted until the next try; the others
 * are there, and this says nothing about them.
 */
bool sl__size_spare(struct sl__occupant *occupant);
/* Its memory has been measured. */
void sl__size_sampled(struct sl__occupant *occupant, uint64_t rss_bytes);
/* Starts what is wanted and not there, stops what is there and not wanted. Not from a callback of a worker. */
void sl__size_adjust(struct sl_pool *pool);
/* Owner's callback; and its end: it is ready, gone or stopped. */
bool sl__size_admit(void *context, uint32_t worker);
/* With the lock: one for a wanted place that has none; sl__size_adjust starts it. NULL: not now. */
struct sl__occupant *sl__size_appoint(struct sl__place *place);
/* Before those that have waited longer. */
void sl__size_admit_now(struct sl__occupant *occupant);
void sl__size_admitted(struct sl__occupant *occupant);

/*
 * With the lock: a process that is being reaped is marked under it first, so the signal cannot reach another. `cause` is what the lease is lost
 * with, `death_cause` what the certificate says.
 */
void sl__incarnation_kill(struct sl_pool *pool, struct sl__incarnation *incarnation, enum sl_code cause,
                          enum sl_death_cause death_cause, const char *why, bool blameless);
/* Outside of the lock: unmaps memory. */
void sl__incarnation_destroy(struct sl__incarnation *incarnation);

#endif
