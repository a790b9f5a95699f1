/* SPDX-License-Identifier: MIT */
#include "pool/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "events.h"
#include "pool.h"

static struct sl__incarnation *incarnation_of(struct sl__lease *lease) {
    return SL_CONTAINER_OF(lease, struct sl__incarnation, lease);
}

void sl__incarnation_destroy(struct sl__incarnation *incarnation) {
    if (incarnation != NULL) {
        sl__lane_destroy(incarnation->lease.lane);
        sl__port_unref(incarnation->life.port);
        sl_error_finish(&incarnation->lease.death);
        free(incarnation);
    }
}

uint32_t sl__pool_capacity(const struct sl_pool *pool) {
    return atomic_load_explicit(&pool->worker_max, memory_order_relaxed);
}

uint32_t sl__pool_place_of(const struct sl_pool *pool, uint32_t worker) {
    uint32_t capacity = sl__pool_capacity(pool);
    return worker < capacity ? worker : worker % capacity;
}

uint32_t sl__pool_processors(const struct sl_pool *pool) {
    return pool->processor_count;
}

/* ---- acquire -------------------------------------------------------------------------------------------------- */

static void line_changed(struct sl_pool *pool) {
    atomic_store_explicit(&pool->waiting, pool->allot.waiter_count, memory_order_relaxed);
}

static void leave_line(struct sl_pool *pool, struct sl__waiter *waiter) {
    if (waiter->queued) {
        sl__allot_leave(&pool->allot, waiter);
        line_changed(pool);
    }
}

static enum sl_code refuse(struct sl_pool *pool, struct sl__waiter *waiter, struct sl_error *error) {
    leave_line(pool, waiter);
    if (pool->phase == SL__POOL_CLOSING) {
        return sl_error_set(error, SL_E_CLOSED, "pool %s was drained or destroyed, and takes no calls any more",
                            pool->name);
    }
    return sl__breaker_refuse(pool, error);
}

/* All workers that it could get wait for the view that asks: none of them can become idle before it has returned. */
static bool waits_for_itself(const struct sl_pool *pool, uint32_t worker) {
    const struct sl__frame *frame = sl__frame_current();
    uint32_t needed = worker == SL__ANY_WORKER ? sl__pool_capacity(pool) : 1;
    return frame != NULL && sl__frame_count(frame, pool, worker) >= needed;
}

static enum sl_code refuse_itself(const struct sl_pool *pool, uint32_t worker, struct sl_error *error) {
    const struct sl__frame *frame = sl__frame_current();
    uint32_t count = sl__frame_count(frame, pool, worker);
    return sl_error_set(
        error, SL_E_POOL_EXHAUSTED,
        "%s%u of pool %s %s for the view that dispatches to it, which would wait for itself; dispatch to "
        "another pool, or give this one more workers",
        worker == SL__ANY_WORKER ? "all workers, " : "worker ", worker == SL__ANY_WORKER ? count : worker, pool->name,
        worker == SL__ANY_WORKER ? "wait" : "waits");
}

enum sl_code sl__pool_acquire(struct sl_pool *pool, struct sl__waiter *waiter, uint32_t worker,
                              struct sl__lease **lease, struct sl_error *error) {
    SL_ASSERT(waiter->bell != NULL);
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&pool->lock);
    if (worker != SL__ANY_WORKER) {
        if (worker >= pool->place_count) {
            pthread_mutex_unlock(&pool->lock);
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "worker %u of pool %s does not exist; it has %u, counted from 0", worker, pool->name,
                                sl__pool_capacity(pool));
        }
        worker = sl__pool_place_of(pool, worker);
    }
    bool open = pool->phase != SL__POOL_CLOSING && sl__breaker_closed(&pool->breaker);
    uint32_t granted = SL__NOBODY;
    if (open) {
        if (worker == SL__ANY_WORKER && waiter->preferred != 0 && waiter->preferred <= sl__pool_capacity(pool)) {
            granted = sl__allot_take(&pool->allot, waiter, waiter->preferred - 1);
        }
        if (granted == SL__NOBODY) {
            granted = sl__allot_take(&pool->allot, waiter, worker);
        }
    } else if (pool->phase != SL__POOL_CLOSING) {
        granted = sl__breaker_grant(pool);
    }
    if (granted != SL__NOBODY) {
        leave_line(pool, waiter);
        struct sl__incarnation *incarnation = sl__place_incarnation(pool->places[granted]);
        SL_ASSERT(incarnation != NULL && !incarnation->leased);
        incarnation->leased = true;
        incarnation->bell = waiter->bell;
        sl__pulse_wake(pool);
        sl__port_lend(incarnation->life.port, sl__frame_current());
        incarnation->idle_ticks = 0;
        incarnation->lease.due_batches =
            incarnation->due ? SL__RECYCLE_NEVER : incarnation->limits.batches - incarnation->batch_count;
        pool->leased_count++;
        *lease = &incarnation->lease;
    } else if (!open) {
        code = refuse(pool, waiter, error);
    } else if (waits_for_itself(pool, worker)) {
        leave_line(pool, waiter);
        code = refuse_itself(pool, worker, error);
    } else if (waiter->queued) {
        bool other = waiter->worker != worker;
        waiter->worker = worker;
        if (other) {
            sl__allot_ring(&pool->allot); /* it may have stood in somebody's way */
        }
        code = SL_E_AGAIN;
    } else if (pool->allot.waiter_count >= pool->waiter_max) {
        code = sl_error_set(error, SL_E_POOL_EXHAUSTED,
                            "%u dispatches wait for a lane of pool %s already, which is its waiter_max; run fewer at "
                            "once, or raise waiter_max or worker_max (%u)",
                            pool->allot.waiter_count, pool->name, sl__pool_capacity(pool));
    } else {
        waiter->worker = worker;
        sl__allot_queue(&pool->allot, waiter);
        line_changed(pool);
        code = SL_E_AGAIN;
    }
    if (code == SL_E_AGAIN) {
        sl__size_wish(pool, worker);
    }
    uint32_t waiting = pool->allot.waiter_count;
    pthread_mutex_unlock(&pool->lock);
    if (code == SL_E_POOL_EXHAUSTED) {
        sl__pool_tell_exhausted(pool, waiting);
    }
    return code;
}

void sl__pool_forget_waiter(struct sl_pool *pool, struct sl__waiter *waiter) {
    pthread_mutex_lock(&pool->lock);
    if (waiter->queued) {
        leave_line(pool, waiter);
        sl__allot_ring(&pool->allot);
    }
    pthread_mutex_unlock(&pool->lock);
}

bool sl__pool_contended(const struct sl_pool *pool) {
    return atomic_load_explicit(&pool->waiting, memory_order_relaxed) > 0;
}

bool sl__pool_contended_beside(const struct sl_pool *pool, const struct sl__waiter *own) {
    return atomic_load_explicit(&pool->waiting, memory_order_relaxed) > (own->queued ? 1u : 0u);
}

bool sl__pool_foreign(const struct sl_pool *pool) {
    return sl__runtime_foreign(pool->runtime);
}

/* ---- kill and release ----------------------------------------------------------------------------------------- */

static enum sl_death_cause death_cause_of(enum sl_code cause) {
    switch (cause) {
    case SL_E_WORKER_TIMEOUT:
        return SL_DEATH_TIMEOUT;
    case SL_E_CANCELLED:
    case SL_E_CLOSED:
        return SL_DEATH_CANCELLED;
    default:
        return SL_DEATH_PROTOCOL;
    }
}

void sl__incarnation_kill(struct sl_pool *pool, struct sl__incarnation *incarnation, enum sl_code cause,
                          enum sl_death_cause death_cause, const char *why, bool blameless) {
    if (incarnation->killed || incarnation->reaped) {
        return;
    }
    incarnation->killed = true;
    incarnation->cause = cause;
    incarnation->death_cause = death_cause;
    /* One that hangs is of use as long as it lives: it can still say where. */
    incarnation->asked = death_cause == SL_DEATH_TIMEOUT &&
                         (pool->worker_config.stack_timeout_ms > 0 || pool->worker_config.term_grace_ms > 0);
    incarnation->blameless = blameless;
    snprintf(incarnation->why, sizeof(incarnation->why), "%s", why != NULL ? why : sl_code_text(cause));
    incarnation->why[sl__utf8_valid_size(incarnation->why, strlen(incarnation->why))] = '\0';
    if (!incarnation->asked) {
        sl__life_kill(&incarnation->life);
    }
    /* Somebody has to give up waiting when even that does not end it. */
    struct sl__occupant *occupant = incarnation->occupant;
    if (!occupant->kill_posted) {
        occupant->kill_posted = true;
        sl__loop_post(pool->runtime->loop, &occupant->kill_task);
    }
}

void sl__pool_kill(struct sl_pool *pool, struct sl__lease *lease, enum sl_code cause, const char *why, bool blameless) {
    struct sl__incarnation *incarnation = incarnation_of(lease);
    pthread_mutex_lock(&pool->lock);
    SL_ASSERT(incarnation->leased);
    if (!incarnation->killed && !incarnation->reaped && cause == SL_E_PROTOCOL) {
        pool->stats.protocol_error_count++;
    }
    sl__incarnation_kill(pool, incarnation, cause, death_cause_of(cause), why, blameless);
    pthread_mutex_unlock(&pool->lock);
}

void sl__pool_release(struct sl_pool *pool, struct sl__lease *lease, uint64_t batches) {
    struct sl__incarnation *incarnation = incarnation_of(lease);
    struct sl__incarnation *last = NULL;
    pthread_mutex_lock(&pool->lock);
    SL_ASSERT(incarnation->leased);
    incarnation->leased = false;
    incarnation->bell = NULL;
    sl__port_lend(incarnation->life.port, NULL);
    incarnation->batch_count += batches;
    pool->stats.batch_count += batches;
    pool->leased_count--;
    if (incarnation->batch_count >= incarnation->limits.batches) {
        sl__size_due(incarnation, SL__RECYCLE_BATCHES);
    }
    bool lost = atomic_load_explicit(&lease->lost, memory_order_relaxed) != 0;
    sl__drain_released(pool, lost);
    if (lost) {
        last = incarnation;
    } else {
        if (lease->trial && batches > 0) {
            sl__breaker_answered(pool);
        }
        if (!incarnation->killed && sl__lane_outstanding(lease->lane) > 0) {
            /* The next holder would get replies to questions that it did not ask. */
            sl__incarnation_kill(pool, incarnation, SL_E_CANCELLED, SL_DEATH_CANCELLED,
                                 "its lane was given back before it had answered", true);
        }
        if (incarnation->retired) {
            if (lease->trial) {
                sl__breaker_left(pool, incarnation->occupant);
            }
            sl__size_look(pool); /* it has been waited for */
        } else if (!incarnation->killed) {
            bool trial = lease->trial;
            lease->trial = false;
            sl__allot_put(&pool->allot, lease->worker);
            sl__breaker_idle(pool, trial);
            sl__allot_ring(&pool->allot);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    sl__incarnation_destroy(last);
}

void sl__pool_answered(struct sl_pool *pool, struct sl__lease *lease) {
    pthread_mutex_lock(&pool->lock);
    if (lease->trial && atomic_load_explicit(&lease->lost, memory_order_relaxed) == 0) {
        lease->trial = false;
        sl__breaker_answered(pool);
    }
    pthread_mutex_unlock(&pool->lock);
}

void sl__pool_blame(struct sl_pool *pool, struct sl__lease *lease, uint64_t batches, const uint64_t *ids,
                    uint32_t count) {
    SL_ASSERT(atomic_load_explicit(&lease->lost, memory_order_relaxed) != 0);
    if (lease->death.death != NULL) {
        sl__death_complete(lease->death.death, batches, ids, count);
        sl__tally_complete(&pool->tally, lease->worker, lease->generation, batches, ids, count);
    }
}

void sl__pool_due(struct sl_pool *pool, struct sl__lease *lease) {
    pthread_mutex_lock(&pool->lock);
    sl__size_due(incarnation_of(lease), SL__RECYCLE_BATCHES);
    pthread_mutex_unlock(&pool->lock);
}

void sl__pool_count_stale(struct sl_pool *pool, uint64_t count) {
    pthread_mutex_lock(&pool->lock);
    pool->stats.stale_reply_count += count;
    pthread_mutex_unlock(&pool->lock);
}
