/* SPDX-License-Identifier: MIT */
/*
 * Lease: the right of one thread to use one lane of a pool, until it gives it back.
 *
 * A lease belongs to one incarnation of a worker. When the worker dies the supervising thread fills in `death`, sets `lost`
 * and rings the bell of the holder; it starts the next incarnation, with a new lane, without waiting for the holder. The
 * holder takes what replies there still are, and releases the lease: only then is the old lane destroyed.
 *
 * A worker that is to end without having died (it has been replaced, or there are too many) waits for its lease: `retire` asks the holder to put
 * no further batch into the lane and to release it when it has run dry.
 */
#ifndef SLITHER_POOL_LEASE_H
#define SLITHER_POOL_LEASE_H

#include <stdatomic.h>

#include <slither/error.h>
#include <slither/pool.h>

#include "base/redact.h"
#include "lane/lane.h"

#define SL__ANY_WORKER UINT32_MAX

struct sl__lease {
    struct sl__lane *lane;
    uint32_t worker; /* index, 0 .. worker_max-1 */
    uint32_t generation;
    bool trial; /* the circuit is half-open, and this lease decides: see sl__pool_answered. The holder's to read */
    struct sl__spin spin; /* for who waits for this lane alone: what spinning was worth to the holders before */
    _Atomic uint32_t
        gone; /* 1: the worker is dead, and the pool's guest has been told or is about to be (see pool/guest.h) */
    _Atomic uint32_t lost;   /* 1: the worker is dead and reaped; `death` is complete (acquire load) */
    _Atomic uint32_t retire; /* 1: to be released when it has run dry (relaxed) */
    uint64_t due_batches;    /* after so many under this lease sl__pool_due has to be called, once */
    struct sl_error death; /* code worker_crashed, or what sl__pool_kill was told; exit status or signal, stderr tail */
};

/* A thread that wants lanes. Caller's memory, one per run; zero it, set `bell`. The rest belongs to the pool. */
struct sl__waiter {
    struct sl__bell *bell;
    uint32_t worker;    /* the one it waits for, or SL__ANY_WORKER */
    uint32_t preferred; /* while that is any: the one that it takes first when it is idle, counted from 1; 0: none */
    bool queued;
    struct sl__waiter *previous, *next;
};

/* worker_max: workers that the pool can have now, dead or alive. sl_pool_resize changes it. Cheap. */
uint32_t sl__pool_capacity(const struct sl_pool *pool);

/* The worker that takes what was meant for `worker`: itself, or another while the pool is too small to have it. */
uint32_t sl__pool_place_of(const struct sl_pool *pool, uint32_t worker);

/* Processors that this process could use when the pool was created; asking the system costs more than a small batch. */
uint32_t sl__pool_processors(const struct sl_pool *pool);

/*
 * A lane of `worker` (or of any), if one is idle and nobody has waited for it longer; never blocks. `worker` is taken as sl__pool_place_of says;
 * one that does not run is started.
 *   SL_OK              *lease is the caller's, and the waiter's bell rings when its worker dies; the waiter is no longer queued
 *   SL_E_AGAIN         none now; the waiter is queued and its bell rings when it is worth asking again
 *   pool_exhausted     waiter_max threads are waiting already
 *   circuit_open       the workers keep dying; the error says of what, and when the next attempt is made. While the circuit is half-open one
 *                      caller gets a lane, of whichever worker there is
 *   closed             the pool is being destroyed
 */
enum sl_code sl__pool_acquire(struct sl_pool *pool, struct sl__waiter *waiter, uint32_t worker,
                              struct sl__lease **lease, struct sl_error *error);
/* Takes the waiter out of the queue. Harmless when it is not queued. Must be called before its memory goes. */
void sl__pool_forget_waiter(struct sl_pool *pool, struct sl__waiter *waiter);

/* A lease that is a trial has had its first batch answered. */
void sl__pool_answered(struct sl_pool *pool, struct sl__lease *lease);

/* Gives the lease back; the lane must have nothing outstanding unless the lease is lost or its worker was killed. `batches` is added to the statistics. */
void sl__pool_release(struct sl_pool *pool, struct sl__lease *lease, uint64_t batches);

/*
 * Kills the worker (SIGKILL). The lease becomes lost soon, with `cause` as death.code and `why` (printf-free text) in its
 * message. `blameless`: the death is not counted against the restart budget (a cancelled run). Idempotent; the first cause stays.
 */
void sl__pool_kill(struct sl_pool *pool, struct sl__lease *lease, enum sl_code cause, const char *why, bool blameless);

/*
 * How many batches the worker of a lost lease had answered for it, and the items of the one that it was running when it died, if any: the
 * certificate says so from now on, the lease's and the pool's. Once, before the release.
 */
void sl__pool_blame(struct sl_pool *pool, struct sl__lease *lease, uint64_t batches, const uint64_t *ids,
                    uint32_t count);

/* The worker has run lease->due_batches under this lease, and is to be replaced. */
void sl__pool_due(struct sl_pool *pool, struct sl__lease *lease);

/* Whether somebody waits for a lane: a long run then gives lanes back as they run dry instead of refilling them. Cheap. */
bool sl__pool_contended(const struct sl_pool *pool);
/* The same, not counting `own`, the caller's waiter: a run that waits for one lane more is not in its own way. */
bool sl__pool_contended_beside(const struct sl_pool *pool, const struct sl__waiter *own);

/* Whether this process is a forked child of the one that made the pool: it must not touch the lanes. A system call; ask once a run. */
bool sl__pool_foreign(const struct sl_pool *pool);

/* What texts about its items do not say. As long as the pool. */
const struct sl__redact *sl__pool_redact(const struct sl_pool *pool);

/* Adds to the pool's statistics. */
void sl__pool_count_stale(struct sl_pool *pool, uint64_t count);

#endif
