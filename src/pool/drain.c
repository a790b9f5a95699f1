/* SPDX-License-Identifier: MIT */
#include "drain.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "events.h"
#include "pool.h"
#include "pool/visit.h"
#include "sys/clock.h"

#define NS_PER_MS 1000000u

/* ---- visitors ------------------------------------------------------------------------------------------------- */

static uintptr_t this_thread(void) {
    return (uintptr_t)pthread_self(); /* never 0 where the address of its block is its name */
}

void sl__visit_inside(struct sl__visit *visit, bool inside) {
    atomic_store_explicit(&visit->inside, inside ? this_thread() : 0, memory_order_relaxed);
}

/* With the lock. Only the calling thread can have written its own name, so what others do meanwhile does not matter. */
static bool is_inside(const struct sl_pool *pool) {
    for (struct sl__link *link = sl__list_first(&pool->drain.visitors); link != NULL;
         link = sl__list_after(&pool->drain.visitors, link)) {
        const struct sl__visit *visit = SL_CONTAINER_OF(link, struct sl__visit, link);
        if (atomic_load_explicit(&visit->inside, memory_order_relaxed) == this_thread()) {
            return true;
        }
    }
    return false;
}

static void unref(struct sl_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    SL_ASSERT(pool->drain.references > 0);
    bool last = --pool->drain.references == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) {
        sl__pool_free(pool);
    }
}

void sl__pool_enter(struct sl_pool *pool, struct sl__visit *visit) {
    pthread_mutex_lock(&pool->lock);
    pool->drain.references++;
    sl__list_push_back(&pool->drain.visitors, &visit->link);
    pthread_mutex_unlock(&pool->lock);
}

void sl__pool_leave(struct sl_pool *pool, struct sl__visit *visit) {
    pthread_mutex_lock(&pool->lock);
    sl__list_remove(&pool->drain.visitors, &visit->link);
    /* A run within a callback of another run leaves it to the outer one. */
    bool ends = pool->drain.forsaken && !pool->drain.claimed && !is_inside(pool);
    pthread_mutex_unlock(&pool->lock);
    if (ends) {
        sl__pool_end(pool);
    }
    unref(pool);
}

bool sl__pool_shut(const struct sl_pool *pool) {
    return atomic_load_explicit(&pool->drain.shut, memory_order_acquire);
}

/* ---- the door, with the lock ---------------------------------------------------------------------------------- */

static bool is_empty(const struct sl_pool *pool) {
    return pool->leased_count == pool->drain.lost_count;
}

static void kill_leased(struct sl_pool *pool) {
    for (uint32_t i = 0; i < pool->place_count * 2; i++) {
        struct sl__incarnation *incarnation = pool->places[i / 2]->occupants[i % 2].incarnation;
        if (incarnation == NULL || !incarnation->leased || incarnation->reaped) {
            continue;
        }
        if (!incarnation->killed) {
            pool->drain.killed_count++;
            sl__incarnation_kill(pool, incarnation, SL_E_CLOSED, SL_DEATH_CANCELLED,
                                 "its pool was drained or destroyed, and its time was up", true);
        } else {
            sl__life_kill(&incarnation->life); /* it may only have been asked to end */
        }
    }
}

/* Shuts it, or brings the deadline forward. */
static void shut(struct sl_pool *pool, uint32_t timeout_ms) {
    struct sl__drain *drain = &pool->drain;
    uint64_t deadline_ns = sl__clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    bool first = !atomic_load_explicit(&drain->shut, memory_order_relaxed);
    if (first) {
        pool->phase = SL__POOL_CLOSING;
        atomic_store_explicit(&drain->shut, true, memory_order_release);
        sl__allot_ring_all(&pool->allot);
        for (struct sl__link *link = sl__list_first(&drain->visitors); link != NULL;
             link = sl__list_after(&drain->visitors, link)) {
            sl__bell_ring(SL_CONTAINER_OF(link, struct sl__visit, link)->bell);
        }
    }
    if (!first && deadline_ns >= drain->deadline_ns) {
        return;
    }
    drain->deadline_ns = deadline_ns;
    if (timeout_ms == 0) {
        kill_leased(pool);
    } else if (!is_empty(pool) && !drain->posted) {
        drain->posted = true;
        sl__loop_post(pool->runtime->loop, &drain->task);
    }
}

void sl__drain_lost(struct sl_pool *pool) {
    pool->drain.lost_count++;
    pthread_cond_broadcast(&pool->changed);
}

void sl__drain_released(struct sl_pool *pool, bool lost) {
    pool->drain.lost_count -= lost ? 1 : 0;
    if (pool->phase == SL__POOL_CLOSING) {
        pthread_cond_broadcast(&pool->changed);
    }
}

/* ---- loop thread ---------------------------------------------------------------------------------------------- */

static void arm(struct sl__task *task) {
    struct sl_pool *pool = SL_CONTAINER_OF(task, struct sl_pool, drain.task);
    pthread_mutex_lock(&pool->lock);
    pool->drain.posted = false;
    uint64_t deadline_ns = pool->drain.deadline_ns;
    pthread_mutex_unlock(&pool->lock);
    uint64_t now = sl__clock_now_ns();
    sl__timer_set(pool->drain.timer, deadline_ns > now ? (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0);
}

static void time_up(void *context) {
    struct sl_pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    kill_leased(pool);
    pthread_mutex_unlock(&pool->lock);
}

void sl__drain_init(struct sl__drain *drain) {
    memset(drain, 0, sizeof(*drain));
    drain->references = 1;
    drain->task.run = arm;
    sl__list_init(&drain->visitors);
}

enum sl_code sl__drain_start(struct sl_pool *pool, struct sl_error *error) {
    return sl__timer_create(pool->runtime->loop, time_up, pool, &pool->drain.timer, error);
}

void sl__drain_stop(struct sl_pool *pool) {
    sl__timer_destroy(pool->drain.timer);
    pool->drain.timer = NULL;
}

/* ---- for the world -------------------------------------------------------------------------------------------- */

enum sl_code sl_pool_drain(struct sl_pool *pool, uint32_t timeout_ms, struct sl_error *error) {
    if (pool == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pool_drain: `pool` is NULL");
    }
    if (sl__pool_foreign(pool)) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "sl_pool_drain: the pool was made before this process was forked, and is not its own");
    }
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&pool->lock);
    uint64_t killed_before = pool->drain.killed_count;
    shut(pool, timeout_ms);
    bool inside = is_inside(pool);
    pool->drain.references += inside ? 0 : 1;
    pthread_mutex_unlock(&pool->lock);
    sl__pool_tell_draining(pool, timeout_ms);
    if (inside) {
        return sl_error_set(error, SL_E_AGAIN,
                            "pool %s is being drained; its callback cannot wait for that, since it is waited for",
                            pool->name);
    }
    pthread_mutex_lock(&pool->lock);
    while (!is_empty(pool)) {
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
    uint64_t killed = pool->drain.killed_count - killed_before;
    pthread_mutex_unlock(&pool->lock);
    if (killed > 0) {
        code =
            sl_error_set(error, SL_E_TIMEOUT, "%llu workers of pool %s were still at work after %u ms, and were killed",
                         (unsigned long long)killed, pool->name, timeout_ms);
    }
    unref(pool);
    return code;
}

void sl__pool_end(struct sl_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    shut(pool, 0);
    while (!is_empty(pool)) {
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
    bool mine = !pool->drain.claimed;
    pool->drain.claimed = true;
    for (int kind = 0; mine && kind < SL__GUEST_KINDS; kind++) {
        struct sl__guest *guest = sl__pool_guest(pool, (enum sl__guest_kind)kind);
        if (guest != NULL) {
            pthread_mutex_unlock(&pool->lock);
            guest->closing(guest);
            pthread_mutex_lock(&pool->lock);
        }
    }
    while (!mine && !pool->drain.gone) {
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    if (mine) {
        sl__pool_stop_workers(pool);
        pthread_mutex_lock(&pool->lock);
        pool->drain.gone = true;
        pthread_cond_broadcast(&pool->changed);
        pthread_mutex_unlock(&pool->lock);
        unref(pool); /* the handle's */
    }
}

void sl_pool_destroy(struct sl_pool *pool) {
    if (pool == NULL || sl__pool_foreign(pool)) {
        /* In a forked child there is no supervising thread, and the workers are not its own: it leaves them alone. */
        return;
    }
    pthread_mutex_lock(&pool->lock);
    shut(pool, 0);
    pool->drain.forsaken = is_inside(pool);
    bool ends = !pool->drain.forsaken;
    pthread_mutex_unlock(&pool->lock);
    if (ends) {
        sl__pool_end(pool);
    }
}

void sl__pool_tenant_hold(struct sl__tenant *tenant) {
    struct sl_pool *pool = SL_CONTAINER_OF(tenant, struct sl_pool, tenant);
    pthread_mutex_lock(&pool->lock);
    pool->drain.references++;
    pthread_mutex_unlock(&pool->lock);
}

void sl__pool_tenant_destroy(struct sl__tenant *tenant) {
    struct sl_pool *pool = SL_CONTAINER_OF(tenant, struct sl_pool, tenant);
    sl__pool_end(pool);
    unref(pool);
}
