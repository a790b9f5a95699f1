/* SPDX-License-Identifier: MIT */
#include "breaker.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "events.h"
#include "pool.h"
#include "sys/clock.h"
#include "sys/entropy.h"

#define NS_PER_MS 1000000u
#define WARM_AGAIN_MS 1000u /* when there is nobody who could be started for a trial */
#define DEATH_TEXT_MAX 240  /* bytes of the last death's message in that of a refusal */

#define LOG(pool, level, ...) sl__log_host(&(pool)->runtime->log, level, (pool)->name, UINT32_MAX, 0, __VA_ARGS__)

/* ---- under the lock, any thread ------------------------------------------------------------------------------- */

static void tell(struct sl_pool *pool, enum sl__circuit_event event) {
    struct sl__breaker *breaker = &pool->breaker;
    if (pool->phase == SL__POOL_CLOSING) {
        return; /* nobody is let in any more, and the loop may be without this pool soon */
    }
    enum sl__circuit_action action = sl__circuit_tell(&breaker->circuit, event, sl__clock_now_ns());
    if (action == SL__CIRCUIT_DO_NOTHING) {
        return;
    }
    if (action == SL__CIRCUIT_DO_TRIP) {
        sl__allot_ring_all(&pool->allot);
    } else if (action == SL__CIRCUIT_DO_CLOSE) {
        sl__budget_clear(&pool->budget);
    }
    breaker->trial_worker = SL__NOBODY;
    if (!breaker->posted) {
        breaker->posted = true;
        sl__loop_post(pool->runtime->loop, &breaker->task);
    }
}

static void note_opening(struct sl_pool *pool, const struct sl_error *death, const char *why) {
    snprintf(pool->breaker.why, sizeof(pool->breaker.why), "%s", why);
    sl_error_copy(&pool->failure, death);
    if (pool->phase == SL__POOL_STARTING) {
        pthread_cond_broadcast(&pool->changed); /* creation has failed */
    }
}

void sl__breaker_ready(struct sl_pool *pool) {
    tell(pool, SL__CIRCUIT_IS_STARTED);
    sl__breaker_idle(pool, false);
}

void sl__breaker_idle(struct sl_pool *pool, bool trial) {
    if (!sl__breaker_closed(&pool->breaker)) {
        tell(pool, trial ? SL__CIRCUIT_IS_RETURNED : SL__CIRCUIT_IS_IDLE);
    }
}

void sl__breaker_answered(struct sl_pool *pool) {
    tell(pool, SL__CIRCUIT_IS_ANSWERED);
}

/* The budget and the starts in a row. */
static bool death_of_the_closed(struct sl_pool *pool, bool was_ready, const struct sl_error *death) {
    const struct sl__circuit *circuit = &pool->breaker.circuit;
    char why[SL__BREAKER_WHY_SIZE];
    uint64_t now = sl__clock_now_ns();
    bool left = sl__budget_spend(&pool->budget, now);
    snprintf(why, sizeof(why), "%u starts of workers in a row failed, as many as start_failure_max",
             circuit->start_failure_max);
    if (!was_ready) {
        tell(pool, SL__CIRCUIT_IS_START_FAILED);
    }
    if (sl__breaker_closed(&pool->breaker) && !left) {
        snprintf(why, sizeof(why), "%u deaths of workers within %u ms, restart_max is %u",
                 sl__budget_spent(&pool->budget, now), pool->restart_window_ms, pool->budget.restart_max);
        tell(pool, SL__CIRCUIT_IS_SPENT);
    }
    if (sl__breaker_closed(&pool->breaker)) {
        return true;
    }
    note_opening(pool, death, why);
    return false;
}

/* Whether the trial depends on this worker. */
static bool is_of_trial(const struct sl_pool *pool, const struct sl__occupant *occupant) {
    const struct sl__incarnation *incarnation = occupant->incarnation;
    bool idle;
    switch (pool->breaker.circuit.state) {
    case SL__CIRCUIT_WARMING:
        return occupant->place->index == pool->breaker.trial_worker && occupant->place->current == occupant;
    case SL__CIRCUIT_INVITING:
        idle = incarnation != NULL && !incarnation->leased && !incarnation->killed && !incarnation->retired;
        return pool->allot.idle_count == (idle ? 1 : 0); /* there is no other */
    case SL__CIRCUIT_TRYING:
        return incarnation != NULL && incarnation->lease.trial;
    case SL__CIRCUIT_CLOSED:
    case SL__CIRCUIT_OPEN:
    case SL__CIRCUIT_STATE_COUNT:
        break;
    }
    return false;
}

bool sl__breaker_death(struct sl_pool *pool, const struct sl__occupant *occupant, const struct sl_error *death) {
    struct sl__breaker *breaker = &pool->breaker;
    const struct sl__incarnation *incarnation = occupant->incarnation;
    bool blameless = incarnation != NULL && incarnation->killed && incarnation->blameless;
    if (sl__breaker_closed(breaker)) {
        return blameless || death_of_the_closed(pool, incarnation != NULL, death);
    }
    if (breaker->circuit.state == SL__CIRCUIT_WARMING && breaker->trial_worker == SL__NOBODY && !breaker->posted) {
        tell(pool, SL__CIRCUIT_IS_WITHDRAWN); /* there was none that could have been started; now there is */
    } else if (is_of_trial(pool, occupant) && blameless) {
        tell(pool, SL__CIRCUIT_IS_WITHDRAWN);
    } else if (is_of_trial(pool, occupant)) {
        tell(pool, SL__CIRCUIT_IS_DIED);
        note_opening(pool, death, "the worker of the last trial died");
    }
    return false;
}

void sl__breaker_left(struct sl_pool *pool, const struct sl__occupant *occupant) {
    if (is_of_trial(pool, occupant)) {
        tell(pool, SL__CIRCUIT_IS_WITHDRAWN);
    }
}

uint32_t sl__breaker_grant(struct sl_pool *pool) {
    uint32_t worker = pool->allot.idle_first;
    if (pool->breaker.circuit.state != SL__CIRCUIT_INVITING || worker == SL__NOBODY) {
        return SL__NOBODY;
    }
    /* Past the line: who stands in it has been rung, to be refused. */
    sl__allot_withdraw(&pool->allot, worker);
    sl__place_incarnation(pool->places[worker])->lease.trial = true;
    tell(pool, SL__CIRCUIT_IS_GRANTED);
    return worker;
}

enum sl_code sl__breaker_refuse(const struct sl_pool *pool, struct sl_error *error) {
    if (error == NULL) {
        return SL_E_CIRCUIT_OPEN;
    }
    const struct sl__breaker *breaker = &pool->breaker;
    char next[64];
    uint64_t now = sl__clock_now_ns();
    if (breaker->circuit.state != SL__CIRCUIT_OPEN) {
        snprintf(next, sizeof(next), "a trial is under way");
    } else {
        uint64_t left_ns = breaker->circuit.cooled_ns > now ? breaker->circuit.cooled_ns - now : 0;
        snprintf(next, sizeof(next), "the next is made in %llu ms",
                 (unsigned long long)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
    }
    sl_error_copy(error, &pool->failure); /* all else is the last death's */
    error->code = SL_E_CIRCUIT_OPEN;
    int length = snprintf(error->message, sizeof(error->message),
                          "the circuit of pool %.64s is open: %s. Calls fail until a trial succeeds; %s. Mend what the "
                          "last death tells: %.*s",
                          pool->name, breaker->why, next, DEATH_TEXT_MAX, pool->failure.message);
    if (length > DEATH_TEXT_MAX) { /* it may have been cut within a character */
        error->message[sl__utf8_valid_size(error->message, strlen(error->message))] = '\0';
    }
    return SL_E_CIRCUIT_OPEN;
}

/* ---- loop thread ---------------------------------------------------------------------------------------------- */

static void cool_down(struct sl_pool *pool, uint64_t cooled_ns) {
    uint64_t now = sl__clock_now_ns();
    uint64_t left_ms = cooled_ns > now ? (cooled_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    sl__timer_set(pool->breaker.timer, left_ms);
    for (uint32_t i = 0; i < pool->place_count * 2; i++) {
        struct sl__worker *worker = pool->places[i / 2]->occupants[i % 2].worker;
        if (worker != NULL) {
            sl__worker_give_up(worker);
        }
    }
    LOG(pool, SL_LOG_ERROR, "circuit open: %s; the next attempt is made in %llu ms; the last death: %s",
        pool->breaker.why, (unsigned long long)left_ms, pool->failure.message);
    sl__pool_tell_circuit_opened(pool, left_ms);
}

/* One that is on its way, or else one that was given up, or one where there is none yet. */
static struct sl__occupant *choose_trial(struct sl_pool *pool) {
    struct sl__occupant *chosen = NULL;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct sl__occupant *occupant = pool->places[i]->current;
        if (occupant == NULL || occupant->worker == NULL) {
            continue;
        }
        enum sl__worker_state state = sl__worker_state(occupant->worker);
        if (state == SL__WORKER_HANDSHAKING ||
            (state == SL__WORKER_SPAWNING && occupant->admission != SL__ADMISSION_WAITING)) {
            return occupant;
        }
        if (chosen == NULL && (state == SL__WORKER_FAILED || state == SL__WORKER_SPAWNING)) {
            chosen = occupant;
        }
    }
    for (uint32_t i = 0; chosen == NULL && i < pool->place_count; i++) {
        struct sl__place *place = pool->places[i];
        chosen = place->wanted && place->current == NULL ? sl__size_appoint(place) : NULL;
    }
    return chosen;
}

/* With the lock held. The worker to be started, or NULL: then one is idle, or all are leased. */
static struct sl__occupant *warm(struct sl_pool *pool) {
    if (pool->allot.idle_count > 0) {
        tell(pool, SL__CIRCUIT_IS_IDLE);
        return NULL;
    }
    struct sl__occupant *chosen = choose_trial(pool);
    pool->breaker.trial_worker = chosen != NULL ? chosen->place->index : SL__NOBODY;
    return chosen;
}

static void warm_again(struct sl_pool *pool) {
    sl__timer_set(pool->breaker.timer, WARM_AGAIN_MS);
}

static void start_trial(struct sl_pool *pool, struct sl__occupant *occupant) {
    LOG(pool, SL_LOG_INFO, "circuit half-open: worker %u is started for a trial", occupant->place->index);
    sl__pool_tell_circuit_half_opened(pool);
    if (occupant->start_due) {
        sl__size_adjust(pool);
        if (occupant->role == SL__ROLE_NONE) { /* there was no memory for it */
            pthread_mutex_lock(&pool->lock);
            pool->breaker.trial_worker = SL__NOBODY;
            pthread_mutex_unlock(&pool->lock);
            warm_again(pool);
            return;
        }
    } else if (occupant->admission != SL__ADMISSION_WAITING) {
        sl__worker_start(occupant->worker);
    }
    if (occupant->admission == SL__ADMISSION_WAITING) {
        sl__size_admit_now(occupant); /* the others wait until the circuit is closed */
    }
}

static void start_all(struct sl_pool *pool) {
    sl__timer_cancel(pool->breaker.timer);
    LOG(pool, SL_LOG_INFO, "circuit closed: a trial has succeeded; all workers are started again");
    sl__pool_tell_circuit_closed(pool);
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct sl__occupant *occupant = pool->places[i]->current;
        if (occupant != NULL && occupant->worker != NULL) {
            occupant->backoff = (struct sl__backoff){0};
            if (sl__worker_state(occupant->worker) == SL__WORKER_FAILED) {
                sl__worker_start(occupant->worker);
            }
        }
    }
    sl__size_adjust(pool);
}

static void look(struct sl__task *task) {
    struct sl_pool *pool = SL_CONTAINER_OF(task, struct sl_pool, breaker.task);
    struct sl__occupant *trial = NULL;
    pthread_mutex_lock(&pool->lock);
    pool->breaker.posted = false;
    bool closing = pool->phase == SL__POOL_CLOSING;
    enum sl__circuit_state state = pool->breaker.circuit.state;
    uint64_t cooled_ns = pool->breaker.circuit.cooled_ns;
    if (!closing && state == SL__CIRCUIT_WARMING) {
        trial = warm(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (closing) {
        return;
    }
    if (state == SL__CIRCUIT_OPEN) {
        cool_down(pool, cooled_ns);
    } else if (state == SL__CIRCUIT_CLOSED) {
        start_all(pool);
    } else if (trial != NULL) {
        start_trial(pool, trial);
    } else if (state == SL__CIRCUIT_WARMING) {
        warm_again(pool); /* of no meaning when a lane is idle by now */
    }
}

static void cooled(void *context) {
    struct sl_pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    if (pool->breaker.circuit.state == SL__CIRCUIT_WARMING && pool->breaker.trial_worker == SL__NOBODY) {
        tell(pool, SL__CIRCUIT_IS_WITHDRAWN); /* it looks again */
    } else {
        tell(pool, SL__CIRCUIT_IS_COOLED);
    }
    pthread_mutex_unlock(&pool->lock);
}

void sl__breaker_init(struct sl__breaker *breaker, const struct sl_pool_options *options) {
    memset(breaker, 0, sizeof(*breaker));
    sl__circuit_init(&breaker->circuit, options->start_failure_max, options->circuit_cooldown_ms,
                     sl__random_seed() | 1);
    breaker->trial_worker = SL__NOBODY;
    breaker->task.run = look;
}

enum sl_code sl__breaker_start(struct sl_pool *pool, struct sl_error *error) {
    return sl__timer_create(pool->runtime->loop, cooled, pool, &pool->breaker.timer, error);
}

void sl__breaker_stop(struct sl_pool *pool) {
    sl__timer_destroy(pool->breaker.timer);
    pool->breaker.timer = NULL;
}
