/* SPDX-License-Identifier: MIT */
#include "pool/guest.h"

#include "base/assert.h"
#include "pool.h"

struct sl__guest *sl__pool_guest(const struct sl_pool *pool, enum sl__guest_kind kind) {
    return atomic_load_explicit(&pool->guests[kind], memory_order_acquire);
}

struct sl__guest *sl__pool_take_in(struct sl_pool *pool, enum sl__guest_kind kind, struct sl__guest *guest) {
    pthread_mutex_lock(&pool->lock);
    struct sl__guest *there = atomic_load_explicit(&pool->guests[kind], memory_order_relaxed);
    if (there == NULL && !pool->drain.claimed) {
        /* Sequentially consistent, as is lease.gone: one of the two threads sees the other. */
        atomic_store(&pool->guests[kind], guest);
        there = guest;
    }
    pthread_mutex_unlock(&pool->lock);
    return there;
}

struct sl_runtime *sl__pool_runtime(const struct sl_pool *pool) {
    return pool->runtime;
}

const char *sl__pool_name(const struct sl_pool *pool) {
    return pool->name;
}

uint32_t sl__pool_session_max(const struct sl_pool *pool) {
    return pool->session_max;
}

enum sl_affinity sl__pool_affinity(const struct sl_pool *pool) {
    return pool->affinity;
}

/* With the lock, or on the loop thread. The occupant that lives that life, or NULL. */
static struct sl__occupant *find(struct sl_pool *pool, uint32_t worker, uint32_t generation) {
    if (worker >= pool->place_count) {
        return NULL;
    }
    for (int k = 0; k < 2; k++) {
        struct sl__occupant *occupant = &pool->places[worker]->occupants[k];
        if (occupant->incarnation != NULL && occupant->incarnation->lease.generation == generation) {
            return occupant;
        }
    }
    return NULL;
}

enum sl_code sl__pool_tell(struct sl_pool *pool, uint32_t worker, uint32_t generation, const uint8_t *bytes,
                           size_t size) {
    struct sl__occupant *occupant = find(pool, worker, generation);
    return occupant != NULL ? sl__worker_tell(occupant->worker, bytes, size) : SL_E_NOT_FOUND;
}

void sl__pool_end_worker(struct sl_pool *pool, uint32_t worker, uint32_t generation, const char *why) {
    pthread_mutex_lock(&pool->lock);
    struct sl__occupant *occupant = find(pool, worker, generation);
    if (occupant != NULL && !occupant->incarnation->killed && !occupant->incarnation->reaped) {
        struct sl__incarnation *incarnation = occupant->incarnation;
        pool->stats.protocol_error_count++;
        if (!incarnation->leased && !incarnation->retired) {
            sl__allot_withdraw(&pool->allot, worker);
        }
        sl__incarnation_kill(pool, incarnation, SL_E_PROTOCOL, SL_DEATH_PROTOCOL, why, false);
    }
    pthread_mutex_unlock(&pool->lock);
}

void sl__pool_keep(struct sl_pool *pool, uint32_t worker, uint32_t generation, int32_t change) {
    pthread_mutex_lock(&pool->lock);
    struct sl__occupant *occupant = find(pool, worker, generation);
    if (occupant != NULL) {
        struct sl__incarnation *incarnation = occupant->incarnation;
        SL_ASSERT(change >= 0 || incarnation->kept >= (uint32_t)-change);
        incarnation->kept += (uint32_t)change;
        incarnation->idle_ticks = 0;
    }
    pthread_mutex_unlock(&pool->lock);
}
