/* SPDX-License-Identifier: MIT */
/* What the pool does when its workers come and go. Loop thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/macros.h"
#include "events.h"
#include "pool.h"
#include "store/store.h"
#include "sys/clock.h"

#define NS_PER_MS 1000000u

static struct sl__incarnation *make_incarnation(struct sl__occupant *occupant, const struct sl__life *life) {
    struct sl__incarnation *incarnation = calloc(1, sizeof(*incarnation));
    if (incarnation != NULL) {
        incarnation->occupant = occupant;
        incarnation->life = *life;
        incarnation->ready_ns = incarnation->heard_ns = sl__clock_now_ns();
        sl__port_ref(life->port);
        incarnation->lease.lane = life->lane;
        incarnation->lease.worker = occupant->place->index;
        incarnation->lease.generation = life->generation;
        sl__spin_init_as(&incarnation->lease.spin, occupant->place->pool->processor_count < 2);
        incarnation->lease.death = (struct sl_error)SL_ERROR_INIT;
        incarnation->limits = sl__recycle_draw(&occupant->place->pool->recycle);
        incarnation->age_deadline_ns = incarnation->limits.age_ms == SL__RECYCLE_NEVER
                                           ? UINT64_MAX
                                           : sl__clock_now_ns() + incarnation->limits.age_ms * NS_PER_MS;
    }
    return incarnation;
}

/* With the lock held: what was the successor is the current one from now on. Capacity is what it was, or more. */
static void take_over(struct sl__occupant *successor) {
    struct sl__place *place = successor->place;
    struct sl__occupant *before = place->current;
    place->current = successor;
    place->successor = NULL;
    successor->role = SL__ROLE_CURRENT;
    if (before != NULL) {
        place->pool->stats.recycle_count++;
        sl__size_retire(before);
    }
}

static void worker_ready(void *context, uint32_t worker, const struct sl__life *life) {
    struct sl__occupant *occupant = context;
    struct sl__place *place = occupant->place;
    struct sl_pool *pool = place->pool;
    struct sl__incarnation *incarnation = make_incarnation(occupant, life);
    sl__size_admitted(occupant);
    if (incarnation == NULL) {
        /* As if it had died at once: it is killed, and `gone` decides. */
        sl__log_host(&pool->runtime->log, SL_LOG_ERROR, pool->name, worker, life->generation,
                     "no memory for the lease of a worker; it is started anew");
        sl__life_kill(life);
        sl__lane_destroy(life->lane);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    SL_ASSERT(occupant->incarnation == NULL);
    occupant->incarnation = incarnation;
    pool->stats.start_count++;
    pool->stats.fork_count += life->forked ? 1 : 0;
    if (!place->ever_ready) {
        place->ever_ready = true;
        pool->started_count++;
        pthread_cond_broadcast(&pool->changed);
    }
    enum sl__recycle_reason reason = SL__RECYCLE_NOT;
    uint32_t recycled = 0;
    if (occupant->role == SL__ROLE_SUCCESSOR) {
        const struct sl__incarnation *before = sl__place_incarnation(place);
        reason = before != NULL ? before->due : SL__RECYCLE_NOT;
        recycled = before != NULL ? before->lease.generation : 0;
        take_over(occupant);
    }
    if (place->extra) {
        place->extra = false;
        pool->grow_backoff = (struct sl__backoff){0};
    }
    SL_ASSERT(occupant->role == SL__ROLE_CURRENT);
    sl__allot_put(&pool->allot, worker);
    sl__breaker_ready(pool);
    sl__allot_ring(&pool->allot);
    sl__size_look(pool);
    pthread_mutex_unlock(&pool->lock);
    if (reason != SL__RECYCLE_NOT) {
        sl__pool_tell_recycled(pool, worker, recycled, reason);
    }
}

static void worker_reaping(void *context, uint32_t worker, const char *doing, struct sl_error *reason,
                           enum sl_death_cause *cause) {
    struct sl__occupant *occupant = context;
    struct sl_pool *pool = occupant->place->pool;
    pthread_mutex_lock(&pool->lock);
    struct sl__incarnation *incarnation = occupant->incarnation;
    if (incarnation != NULL) {
        incarnation->reaped = true;
        if (incarnation->killed) {
            bool hung = incarnation->cause == SL_E_WORKER_TIMEOUT;
            sl_error_set(reason, incarnation->cause, "%s; worker %u (pid %ld, generation %u)%s was killed",
                         incarnation->why, worker, (long)incarnation->life.pid, incarnation->life.generation,
                         hung ? doing : "");
            *cause = incarnation->death_cause;
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

/* With the lock held. What the death means for the lease; the incarnation to be destroyed, if any. */
static struct sl__incarnation *end_incarnation(struct sl_pool *pool, struct sl__incarnation *incarnation,
                                               const struct sl_error *death) {
    if (incarnation->leased) {
        sl_error_copy(&incarnation->lease.death, death);
        atomic_store_explicit(&incarnation->lease.lost, 1, memory_order_release);
        /* Under the lock: the holder's release, after which the bells may be gone, has to wait for it. */
        sl__bell_ring(incarnation->bell);
        sl__drain_lost(pool);
        return NULL;
    }
    if (!incarnation->killed && !incarnation->retired) {
        sl__allot_withdraw(&pool->allot, incarnation->lease.worker);
    }
    return incarnation;
}

static void note_failure(struct sl_pool *pool, const struct sl_error *death) {
    sl_error_copy(&pool->failure, death);
}

/*
 * Backoff is against workers that die of themselves, again and again, while they start. One that was given a request did start; what
 * it died of most likely came with the request, and the next one should not have to wait for that.
 */
static bool was_a_success(const struct sl__incarnation *incarnation, const struct sl__death *death) {
    if (death->alive_ns >= (uint64_t)SL__STABLE_MS * NS_PER_MS) {
        return true;
    }
    return incarnation != NULL && sl__lane_started(incarnation->lease.lane) > 0;
}

/* A successor that could not be started: the one that it was to replace works on. */
static uint64_t try_later(struct sl__occupant *occupant) {
    uint32_t first_ms = occupant->place->pool->restart_backoff_ms;
    uint64_t delay_ms = sl__backoff_next(&occupant->backoff, first_ms, false);
    return delay_ms != 0 ? delay_ms : SL_MAX(first_ms, 1u);
}

/* With the lock held: it has no process, and is free for other use. */
static void set_free(struct sl__occupant *occupant) {
    struct sl__place *place = occupant->place;
    place->current = place->current == occupant ? NULL : place->current;
    place->successor = place->successor == occupant ? NULL : place->successor;
    occupant->role = SL__ROLE_NONE;
    sl__size_look(place->pool);
}

/* With the lock held: whether another process follows under the same occupant. */
static bool goes_on(struct sl__occupant *occupant, bool wanted) {
    struct sl__place *place = occupant->place;
    if (wanted || occupant->stopping || place->pool->phase != SL__POOL_OPEN) {
        return true; /* as `stopped` or the end of the failure will say */
    }
    if (occupant->role == SL__ROLE_CURRENT && place->successor != NULL) {
        struct sl__occupant *successor = place->successor; /* is being started already */
        set_free(occupant);
        place->current = successor;
        place->successor = NULL;
        successor->role = SL__ROLE_CURRENT;
    } else if (occupant->role == SL__ROLE_LEAVING) {
        set_free(occupant);
    }
    return occupant->role != SL__ROLE_NONE;
}

/* With the lock held. */
static uint64_t decide(struct sl__occupant *occupant, const struct sl__death *death) {
    struct sl__place *place = occupant->place;
    struct sl_pool *pool = place->pool;
    const struct sl__incarnation *incarnation = occupant->incarnation;
    pool->stats.start_failure_count += death->was_ready ? 0 : 1;
    if (pool->phase == SL__POOL_CLOSING) {
        return SL__NO_RESTART;
    }
    if (occupant->role == SL__ROLE_SUCCESSOR) {
        return sl__breaker_closed(&pool->breaker) ? try_later(occupant) : SL__NO_RESTART;
    }
    if (pool->phase == SL__POOL_STARTING && !place->ever_ready) {
        /* It has never worked: sl_pool_create fails, and nobody waits for a second try. */
        if (pool->failure.code == SL_OK) {
            note_failure(pool, &death->error);
        }
        pthread_cond_broadcast(&pool->changed);
        return SL__NO_RESTART;
    }
    if (!death->was_ready && pool->phase == SL__POOL_OPEN && sl__size_spare(occupant)) {
        return SL__NO_RESTART;
    }
    bool blameless = incarnation != NULL && incarnation->killed && incarnation->blameless;
    pool->stats.death_count += blameless ? 0 : 1;
    if (!sl__breaker_death(pool, occupant, &death->error)) {
        return SL__NO_RESTART;
    }
    if (blameless) {
        return 0;
    }
    return sl__backoff_next(&occupant->backoff, pool->restart_backoff_ms, was_a_success(incarnation, death));
}

/* Without the lock: the certificate is copied, and an old one released. */
static void certify(struct sl_pool *pool, const struct sl__incarnation *incarnation, const struct sl__death *death) {
    struct sl_death *certificate = death->error.death;
    if (certificate != NULL && incarnation != NULL) {
        pthread_mutex_lock(&pool->lock);
        certificate->batch_count = incarnation->batch_count;
        pthread_mutex_unlock(&pool->lock);
    }
    if (certificate != NULL && !death->wanted) {
        sl__tally_add(&pool->tally, certificate);
    }
}

/* Before the lease is lost: who learns that from it may ask a guest what was lost with it. */
static void tell_guests(struct sl__occupant *occupant, const struct sl__death *death) {
    struct sl__incarnation *incarnation = occupant->incarnation; /* changes on this thread only */
    if (incarnation == NULL) {
        return;
    }
    /* Before the pool is asked for its guests: one that comes after that finds it in the lease. */
    atomic_store(&incarnation->lease.gone, 1);
    const char *how = NULL;
    if (death->wanted) {
        how = incarnation->due != SL__RECYCLE_NOT ? "was recycled" : "was not needed any more, and was stopped";
    }
    for (int kind = 0; kind < SL__GUEST_KINDS; kind++) {
        struct sl__guest *guest = sl__pool_guest(occupant->place->pool, (enum sl__guest_kind)kind);
        if (guest != NULL && guest->gone != NULL) {
            guest->gone(guest, incarnation->lease.worker, incarnation->lease.generation, how, &death->error);
        }
    }
}

static uint64_t worker_gone(void *context, uint32_t worker, const struct sl__death *death) {
    struct sl__occupant *occupant = context;
    struct sl_pool *pool = occupant->place->pool;
    (void)worker;
    sl__store_readers_died(pool->runtime); /* a snapshot of the dead must not keep stores from using pages again */
    sl__size_admitted(occupant);
    certify(pool, occupant->incarnation, death);
    tell_guests(occupant, death);
    pthread_mutex_lock(&pool->lock);
    struct sl__incarnation *incarnation = occupant->incarnation, *last = NULL;
    /* Before the lease is lost: its holder could release it, and its lane is looked at here. */
    uint64_t delay_ms = death->wanted ? SL__NO_RESTART : decide(occupant, death);
    occupant->incarnation = NULL;
    if (!goes_on(occupant, death->wanted)) {
        delay_ms = SL__NO_RESTART;
    }
    if (incarnation != NULL) {
        last = end_incarnation(pool, incarnation, &death->error);
    }
    pthread_mutex_unlock(&pool->lock);
    sl__incarnation_destroy(last);
    return delay_ms;
}

static void worker_stopped(void *context, uint32_t worker) {
    struct sl__occupant *occupant = context;
    struct sl_pool *pool = occupant->place->pool;
    (void)worker;
    sl__size_admitted(occupant);
    pthread_mutex_lock(&pool->lock);
    occupant->stopping = false;
    sl__breaker_left(pool, occupant);
    set_free(occupant);
    if (pool->stopping_all) {
        pool->occupied_count--;
        pthread_cond_broadcast(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
}

void sl__occupant_killed(struct sl__task *task) {
    struct sl__occupant *occupant = SL_CONTAINER_OF(task, struct sl__occupant, kill_task);
    struct sl_pool *pool = occupant->place->pool;
    pthread_mutex_lock(&pool->lock);
    occupant->kill_posted = false;
    bool ends = occupant->incarnation != NULL && occupant->incarnation->killed;
    pthread_mutex_unlock(&pool->lock);
    /* `incarnation` changes on this thread only. */
    if (ends && occupant->incarnation->asked) {
        sl__worker_condemn(occupant->worker);
    } else if (ends) {
        sl__worker_killed(occupant->worker);
    }
}

static void worker_sampled(void *context, uint32_t worker, uint64_t rss_bytes, enum sl_activity activity) {
    struct sl__occupant *occupant = context;
    struct sl_pool *pool = occupant->place->pool;
    (void)worker;
    uint64_t silence = sl__worker_silence(occupant->worker);
    pthread_mutex_lock(&pool->lock);
    struct sl__incarnation *incarnation = occupant->incarnation;
    if (incarnation != NULL) {
        incarnation->rss_bytes = rss_bytes;
        incarnation->activity = activity;
        incarnation->heard_ns = sl__clock_now_ns() - silence;
    }
    pthread_mutex_unlock(&pool->lock);
    sl__size_sampled(occupant, rss_bytes);
}

void sl__pool_template_ready(void *context, bool ready, bool forks) {
    struct sl_pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    pool->stats.template_ready = ready && forks;
    pool->stats.template_start_count += ready ? 1 : 0;
    pthread_mutex_unlock(&pool->lock);
    if (ready) {
        sl__pool_tell_template_ready(pool, forks);
    }
}

void sl__pool_template_stopped(void *context) {
    struct sl_pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    pool->template_stopped = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

const struct sl__worker_owner sl__pool_owner = {
    .ready = worker_ready,
    .reaping = worker_reaping,
    .gone = worker_gone,
    .stopped = worker_stopped,
    .admit = sl__size_admit,
    .sampled = worker_sampled,
};
