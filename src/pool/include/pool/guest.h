/* SPDX-License-Identifier: MIT */
/*
 * Guest: what a room above keeps for a pool, and is told of its workers for. A pool has one of each kind at most, from when it is first asked for until its
 * memory goes.
 */
#ifndef SLITHER_POOL_GUEST_H
#define SLITHER_POOL_GUEST_H

#include <slither/pool.h>

#include "loop/runtime.h"
#include "pool/lease.h"

enum sl__guest_kind {
    SL__GUEST_CALLS,    /* of the room call: asynchronous calls. First, so that they have ended before sessions do */
    SL__GUEST_SESSIONS, /* of the room session */
    SL__GUEST_KINDS
};

/* What a guest does not want to know is NULL; not `closing` and `destroy`. */
struct sl__guest {
    /*
     * That life of a worker has ended, whatever ended it, and had been ready. Loop thread, without the pool's lock, before its lease is lost, and after
     * lease->gone was set. `how`: for texts, "was recycled"; NULL when it was not meant to end.
     */
    void (*gone)(struct sl__guest *guest, uint32_t worker, uint32_t generation, const char *how,
                 const struct sl_error *death);
    /* The pool is being destroyed. Any thread, once; before its workers are told. */
    void (*closing)(struct sl__guest *guest);
    /* There is no worker any more: what lives on the loop is to be released. Loop thread. Not when nothing was ever started. */
    void (*stopped)(struct sl__guest *guest);
    /* The pool's memory goes. */
    void (*destroy)(struct sl__guest *guest);
    /* Adds its part to the statistics. */
    void (*stats)(struct sl__guest *guest, struct sl_pool_stats *stats);
};

/* NULL when it has none. Cheap. */
struct sl__guest *sl__pool_guest(const struct sl_pool *pool, enum sl__guest_kind kind);
/* Makes `guest` the pool's, unless it has one of that kind, which is returned then. NULL: the pool is being destroyed. Any thread. */
struct sl__guest *sl__pool_take_in(struct sl_pool *pool, enum sl__guest_kind kind, struct sl__guest *guest);

struct sl_runtime *sl__pool_runtime(const struct sl_pool *pool);
const char *sl__pool_name(const struct sl_pool *pool);
uint32_t sl__pool_session_max(const struct sl_pool *pool);
enum sl_affinity sl__pool_affinity(const struct sl_pool *pool);

/*
 * Sends a message to a worker in one generation. again: not now, its socket is full; not_found: it is gone, or not of that generation. Loop thread.
 */
enum sl_code sl__pool_tell(struct sl_pool *pool, uint32_t worker, uint32_t generation, const uint8_t *bytes,
                           size_t size);
/* Kills it: it does not do what it must. Any thread; harmless when it is gone. */
void sl__pool_end_worker(struct sl_pool *pool, uint32_t worker, uint32_t generation, const char *why);
/* It has something that would be lost with it, `change` more or fewer: it is not stopped for being idle while there is any. Any thread. */
void sl__pool_keep(struct sl_pool *pool, uint32_t worker, uint32_t generation, int32_t change);

#endif
