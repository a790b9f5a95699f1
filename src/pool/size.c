/* SPDX-License-Identifier: MIT */
/*
 * How many workers there are, and which: a place is wanted or it is not, and here is what follows from that. Others only say that something
 * has changed (sl__size_look); what is to be done is found out from the state of the pool, in sl__size_adjust, on the loop thread.
 *
 *   wanted, nobody there               an occupant is started, the current one
 *   wanted, the current one is due     the other occupant is started as its successor; `ready` in supervise.c lets it take over
 *   not wanted                         whoever is there leaves: at once, or when its lease has come back
 *   leaving, and not leased            it is asked to stop; its half of the place is free once it has
 *
 * Both halves can be taken by processes that leave, for as long as a batch runs. What is wanted then waits for the first to go.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/macros.h"
#include "events.h"
#include "pool.h"
#include "sys/clock.h"
#include "sys/entropy.h"

#define NS_PER_MS 1000000u
#define IDLE_TICKS 4 /* so many make worker_idle_ms */

/* ---- places --------------------------------------------------------------------------------------------------- */

static void time_up(void *context) {
    sl__size_adjust(context);
}

enum sl_code sl__size_begin(struct sl_pool *pool, struct sl_error *error) {
    pool->recycle.random = sl__random_seed() | 1;
    return sl__timer_create(pool->runtime->loop, time_up, pool, &pool->size_timer, error);
}

void sl__size_end(struct sl_pool *pool) {
    sl__timer_destroy(pool->size_timer);
    pool->size_timer = NULL;
}

static void adjust_task(struct sl__task *task) {
    struct sl_pool *pool = SL_CONTAINER_OF(task, struct sl_pool, adjust_task);
    pthread_mutex_lock(&pool->lock);
    pool->adjust_posted = false;
    pthread_mutex_unlock(&pool->lock);
    sl__size_adjust(pool);
}

bool sl__places_grow(struct sl_pool *pool, uint32_t place_count) {
    SL_ASSERT(place_count <= SL__PLACE_MAX);
    if (pool->places == NULL) {
        /* Pointers to all that there could ever be: nobody who looks at one has to fear that the table moves. */
        pool->places = calloc(SL__PLACE_MAX, sizeof(struct sl__place *));
        pool->adjust_task.run = adjust_task;
    }
    uint32_t made = pool->place_count;
    while (pool->places != NULL && made < place_count) {
        struct sl__place *place = calloc(1, sizeof(*place));
        if (place == NULL) {
            break;
        }
        place->pool = pool;
        place->index = made;
        for (int k = 0; k < 2; k++) {
            place->occupants[k].place = place;
            place->occupants[k].kill_task.run = sl__occupant_killed;
        }
        pool->places[made++] = place;
    }
    pthread_mutex_lock(&pool->lock);
    pool->place_count = made;
    pthread_mutex_unlock(&pool->lock);
    return made >= place_count;
}

void sl__places_free(struct sl_pool *pool) {
    for (uint32_t i = 0; pool->places != NULL && i < pool->place_count; i++) {
        free(pool->places[i]);
    }
    free(pool->places);
}

enum sl_code sl__occupant_make(struct sl__occupant *occupant, struct sl_error *error) {
    struct sl__place *place = occupant->place;
    struct sl__worker_config config = place->pool->worker_config;
    struct sl__worker *worker = NULL;
    config.context = occupant;
    config.index = config.lane.lane = place->index;
    config.generation_counter = &place->generation;
    enum sl_code code = sl__worker_create(&config, &worker, error);
    pthread_mutex_lock(&place->pool->lock);
    occupant->worker = worker;
    pthread_mutex_unlock(&place->pool->lock);
    return code;
}

/* ---- starts, bounded ------------------------------------------------------------------------------------------ */

bool sl__size_admit(void *context, uint32_t worker) {
    struct sl__occupant *occupant = context;
    struct sl_pool *pool = occupant->place->pool;
    (void)worker;
    SL_ASSERT(occupant->admission == SL__ADMISSION_NONE);
    if (pool->starting_count < pool->start_parallel_max) {
        occupant->admission = SL__ADMISSION_GIVEN;
        pool->starting_count++;
        return true;
    }
    occupant->admission = SL__ADMISSION_WAITING;
    occupant->admission_list = &pool->admission[occupant->role == SL__ROLE_SUCCESSOR ? 1 : 0];
    sl__list_push_back(occupant->admission_list, &occupant->admission_link);
    return false;
}

void sl__size_admitted(struct sl__occupant *occupant) {
    struct sl_pool *pool = occupant->place->pool;
    if (occupant->admission == SL__ADMISSION_WAITING) {
        sl__list_remove(occupant->admission_list, &occupant->admission_link);
    } else if (occupant->admission == SL__ADMISSION_GIVEN) {
        pool->starting_count--;
        if (pool->admission[0].count + pool->admission[1].count > 0) {
            pthread_mutex_lock(&pool->lock);
            sl__size_look(pool);
            pthread_mutex_unlock(&pool->lock);
        }
    }
    occupant->admission = SL__ADMISSION_NONE;
}

static void admit(struct sl__occupant *occupant) {
    occupant->admission = SL__ADMISSION_GIVEN;
    occupant->place->pool->starting_count++;
    sl__worker_admit(occupant->worker);
}

void sl__size_admit_now(struct sl__occupant *occupant) {
    SL_ASSERT(occupant->admission == SL__ADMISSION_WAITING);
    sl__list_remove(occupant->admission_list, &occupant->admission_link);
    admit(occupant);
}

static void admit_more(struct sl_pool *pool) {
    while (pool->starting_count < pool->start_parallel_max) {
        struct sl__link *link = sl__list_pop_front(&pool->admission[0]);
        link = link != NULL ? link : sl__list_pop_front(&pool->admission[1]);
        if (link == NULL) {
            return;
        }
        admit(SL_CONTAINER_OF(link, struct sl__occupant, admission_link));
    }
}

/* ---- what others say, with the lock --------------------------------------------------------------------------- */

void sl__size_look(struct sl_pool *pool) {
    if (!pool->adjust_posted && pool->phase != SL__POOL_CLOSING) {
        pool->adjust_posted = true;
        sl__loop_post(pool->runtime->loop, &pool->adjust_task);
    }
}

void sl__size_wish(struct sl_pool *pool, uint32_t worker) {
    if (pool->wanted_count >= sl__pool_capacity(pool)) {
        return; /* all that there may be are there, or are coming */
    }
    if (worker == SL__ANY_WORKER) {
        if (pool->wished || pool->present_count < pool->wanted_count) {
            return;
        }
        pool->wished = true;
    } else {
        if (pool->places[worker]->wanted || pool->places[worker]->wished) {
            return;
        }
        pool->places[worker]->wished = pool->place_wished = true;
    }
    sl__size_look(pool);
}

void sl__size_due(struct sl__incarnation *incarnation, enum sl__recycle_reason reason) {
    if (incarnation->due == SL__RECYCLE_NOT && !incarnation->retired) {
        incarnation->due = reason;
        sl__size_look(incarnation->occupant->place->pool);
    }
}

void sl__size_retire(struct sl__occupant *occupant) {
    struct sl__incarnation *incarnation = occupant->incarnation;
    struct sl_pool *pool = occupant->place->pool;
    occupant->role = SL__ROLE_LEAVING;
    if (incarnation != NULL) {
        incarnation->retired = true;
        if (incarnation->leased) {
            atomic_store_explicit(&incarnation->lease.retire, 1, memory_order_relaxed);
        } else if (!incarnation->killed) {
            sl__allot_withdraw(&pool->allot, occupant->place->index);
        }
    }
    sl__size_look(pool);
}

bool sl__size_spare(struct sl__occupant *occupant) {
    struct sl__place *place = occupant->place;
    struct sl_pool *pool = place->pool;
    if (occupant->role != SL__ROLE_CURRENT || !place->extra || pool->wanted_count <= pool->worker_min ||
        !sl__breaker_closed(&pool->breaker)) {
        return false;
    }
    uint64_t delay_ms = sl__backoff_next(&pool->grow_backoff, pool->restart_backoff_ms, false);
    pool->grow_ns = sl__clock_now_ns() + SL_MAX(delay_ms, SL_MAX(pool->restart_backoff_ms, 1u)) * NS_PER_MS;
    place->wanted = place->extra = false;
    pool->wanted_count--;
    place->current = NULL;
    occupant->role = SL__ROLE_LEAVING;
    sl__allot_ring_all(&pool->allot); /* who waits for just this one has to say so again */
    sl__size_look(pool);
    return true;
}

void sl__size_sampled(struct sl__occupant *occupant, uint64_t rss_bytes) {
    pthread_mutex_t *lock = &occupant->place->pool->lock;
    pthread_mutex_lock(lock);
    struct sl__incarnation *incarnation = occupant->incarnation;
    if (incarnation != NULL && rss_bytes >= incarnation->limits.rss_bytes) {
        sl__size_due(incarnation, SL__RECYCLE_RSS);
    }
    pthread_mutex_unlock(lock);
}

/* ---- how many: with the lock ---------------------------------------------------------------------------------- */

static void want(struct sl__place *place) {
    SL_ASSERT(!place->wanted);
    place->wanted = true;
    place->pool->wanted_count++;
}

static void want_one_more(struct sl_pool *pool, bool extra) {
    uint32_t i = 0;
    while (pool->places[i]->wanted) {
        i++;
    }
    SL_ASSERT(i < pool->worker_max);
    want(pool->places[i]);
    pool->places[i]->extra = extra;
}

static void unwant(struct sl__place *place) {
    struct sl_pool *pool = place->pool;
    SL_ASSERT(place->wanted);
    place->wanted = place->extra = false;
    pool->wanted_count--;
    pool->stats.shrink_count++;
    if (place->current != NULL) {
        sl__size_retire(place->current);
    }
    if (place->successor != NULL) {
        sl__size_retire(place->successor);
    }
    place->current = place->successor = NULL;
}

static void follow_bounds(struct sl_pool *pool) {
    for (uint32_t i = pool->worker_max; i < pool->place_count; i++) {
        if (pool->places[i]->wanted) {
            unwant(pool->places[i]);
        }
    }
    while (pool->wanted_count < pool->worker_min) {
        want_one_more(pool, false);
    }
}

static void count_present(struct sl_pool *pool) {
    pool->present_count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        pool->present_count += sl__place_incarnation(pool->places[i]) != NULL ? 1 : 0;
    }
}

/* When it has to be looked at again, at the latest. */
static uint64_t grant_wishes(struct sl_pool *pool, uint64_t now_ns) {
    if (pool->place_wished) {
        pool->place_wished = false;
        for (uint32_t i = 0; i < pool->place_count; i++) {
            struct sl__place *place = pool->places[i];
            if (place->wished && !place->wanted && i < pool->worker_max) {
                want(place);
            }
            place->wished = false;
        }
    }
    /* One at a time: when it is ready the line may be gone. */
    bool wished = pool->wished || sl__allot_short(&pool->allot);
    bool grows = pool->wanted_count < pool->worker_max && pool->present_count >= pool->wanted_count;
    if (wished && grows && now_ns < pool->grow_ns) {
        return pool->grow_ns;
    }
    pool->wished = false;
    if (wished && grows) {
        want_one_more(pool, true);
    }
    return UINT64_MAX;
}

static void count_idle(struct sl_pool *pool) {
    /* From the last: since lanes are given out again that came back last, it is as good as any. */
    for (uint32_t i = pool->place_count; i-- > 0 && pool->wanted_count > pool->worker_min;) {
        struct sl__incarnation *incarnation = sl__place_incarnation(pool->places[i]);
        if (incarnation != NULL && !incarnation->leased && !incarnation->killed && incarnation->kept == 0 &&
            incarnation->idle_ticks++ >= IDLE_TICKS) {
            unwant(pool->places[i]);
        }
    }
}

/* While there are more than there must be; else an idle pool would not be idle. */
static void follow_idleness(struct sl_pool *pool, uint64_t now_ns) {
    if (pool->wanted_count <= pool->worker_min) {
        pool->tick_ns = UINT64_MAX;
        return;
    }
    if (now_ns >= pool->tick_ns) {
        count_idle(pool);
    } else if (pool->tick_ns != UINT64_MAX) {
        return;
    }
    pool->tick_ns = now_ns + (uint64_t)SL_MAX(pool->worker_idle_ms / IDLE_TICKS, 1u) * NS_PER_MS;
}

/* ---- who: with the lock --------------------------------------------------------------------------------------- */

/* The half of the place that is free, or NULL. */
static struct sl__occupant *free_half(struct sl__place *place) {
    for (int k = 0; k < 2; k++) {
        if (place->occupants[k].role == SL__ROLE_NONE) {
            return &place->occupants[k];
        }
    }
    return NULL;
}

static struct sl__occupant *appoint(struct sl__place *place, enum sl__role role, uint64_t now_ns) {
    struct sl__occupant *occupant = now_ns >= place->pool->appoint_ns ? free_half(place) : NULL;
    if (occupant != NULL) {
        occupant->role = role;
        occupant->start_due = true;
    }
    return occupant;
}

struct sl__occupant *sl__size_appoint(struct sl__place *place) {
    place->current = appoint(place, SL__ROLE_CURRENT, UINT64_MAX);
    return place->current;
}

/* When it has to be looked at again, at the latest. */
static uint64_t follow_place(struct sl__place *place, bool starts, uint64_t now_ns) {
    struct sl__incarnation *incarnation = sl__place_incarnation(place);
    uint64_t again_ns = UINT64_MAX;
    starts = starts && place->wanted;
    if (starts && place->current == NULL) {
        place->current = appoint(place, SL__ROLE_CURRENT, now_ns);
    } else if (starts && incarnation != NULL && !incarnation->killed) {
        if (incarnation->due == SL__RECYCLE_NOT && now_ns >= incarnation->age_deadline_ns) {
            incarnation->due = SL__RECYCLE_AGE;
        }
        if (incarnation->due == SL__RECYCLE_NOT) {
            again_ns = incarnation->age_deadline_ns;
        } else if (place->successor == NULL) {
            place->successor = appoint(place, SL__ROLE_SUCCESSOR, now_ns);
        }
    }
    for (int k = 0; k < 2; k++) {
        struct sl__occupant *occupant = &place->occupants[k];
        occupant->stop_due = occupant->role == SL__ROLE_LEAVING && !occupant->stopping &&
                             (occupant->incarnation == NULL || !occupant->incarnation->leased);
        occupant->stopping = occupant->stopping || occupant->stop_due;
    }
    /* One that was given up while the circuit was open. */
    if (starts && place->successor != NULL && place->successor->worker != NULL &&
        sl__worker_state(place->successor->worker) == SL__WORKER_FAILED) {
        place->successor->start_due = true;
    }
    return again_ns;
}

/* ---- and so be it --------------------------------------------------------------------------------------------- */

static void start(struct sl__occupant *occupant) {
    struct sl__place *place = occupant->place;
    struct sl_pool *pool = place->pool;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = occupant->worker == NULL ? sl__occupant_make(occupant, &error) : SL_OK;
    if (code == SL_OK) {
        sl__worker_start(occupant->worker);
        return;
    }
    sl__log_host(&pool->runtime->log, SL_LOG_ERROR, pool->name, place->index, place->generation,
                 "a worker could not be made, and is tried again later: %s", error.message);
    sl_error_finish(&error);
    pthread_mutex_lock(&pool->lock);
    occupant->role = SL__ROLE_NONE;
    place->current = place->current == occupant ? NULL : place->current;
    place->successor = place->successor == occupant ? NULL : place->successor;
    pthread_mutex_unlock(&pool->lock);
    pool->appoint_ns = sl__clock_now_ns() + (uint64_t)SL__BACKOFF_MAX_MS * NS_PER_MS;
}

static void carry_out(struct sl__occupant *occupant) {
    const struct sl__place *place = occupant->place;
    struct sl_pool *pool = place->pool;
    if (occupant->start_due) {
        occupant->start_due = false;
        if (occupant->role == SL__ROLE_SUCCESSOR) {
            sl__log_host(&pool->runtime->log, SL_LOG_INFO, pool->name, place->index, place->generation,
                         "a successor is started: %s", sl__recycle_text(place->current->incarnation->due));
        }
        start(occupant);
    }
    if (occupant->stop_due) {
        occupant->stop_due = false;
        sl__worker_stop(occupant->worker);
    }
}

void sl__size_adjust(struct sl_pool *pool) {
    uint64_t now_ns = sl__clock_now_ns(), again_ns = UINT64_MAX;
    pthread_mutex_lock(&pool->lock);
    bool works = !pool->stopping_all && (pool->phase == SL__POOL_STARTING || pool->phase == SL__POOL_OPEN);
    /* Else the breaker starts one, and looks here when it is closed. */
    bool starts = works && sl__breaker_closed(&pool->breaker);
    if (starts && pool->phase == SL__POOL_OPEN) {
        follow_bounds(pool);
        count_present(pool);
        again_ns = grant_wishes(pool, now_ns);
        follow_idleness(pool, now_ns);
        again_ns = SL_MIN(again_ns, pool->tick_ns);
    }
    uint32_t place_count = pool->place_count;
    for (uint32_t i = 0; works && i < place_count; i++) {
        uint64_t place_ns = follow_place(pool->places[i], starts, now_ns);
        again_ns = SL_MIN(again_ns, place_ns);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!works) {
        return;
    }
    for (uint32_t i = 0; i < place_count * 2; i++) {
        carry_out(&pool->places[i / 2]->occupants[i % 2]);
    }
    if (starts) {
        admit_more(pool);
    }
    again_ns = pool->appoint_ns > now_ns ? SL_MIN(again_ns, pool->appoint_ns) : again_ns;
    if (again_ns != UINT64_MAX) {
        sl__timer_set(pool->size_timer, now_ns < again_ns ? (again_ns - now_ns) / NS_PER_MS + 1 : 1);
    } else {
        sl__timer_cancel(pool->size_timer);
    }
}

/* ---- for the user --------------------------------------------------------------------------------------------- */

static enum sl_code resize(struct sl_pool *pool, uint32_t worker_min, uint32_t worker_max, struct sl_error *error) {
    uint32_t before = sl__pool_capacity(pool);
    enum sl_code code = SL_OK;
    if (worker_max > before) {
        code = sl__runtime_take_lanes(pool->runtime, worker_max - before, error);
        if (code == SL_OK && !sl__places_grow(pool, worker_max)) {
            sl__runtime_give_lanes(pool->runtime, worker_max - before);
            code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a pool of %u workers", worker_max);
        }
    }
    if (code != SL_OK) {
        return code;
    }
    pthread_mutex_lock(&pool->lock);
    bool closing = pool->phase == SL__POOL_CLOSING; /* with as many lanes as it has now */
    if (!closing) {
        pool->worker_min = worker_min;
        atomic_store_explicit(&pool->worker_max, worker_max, memory_order_relaxed);
        sl__size_look(pool);
        sl__allot_ring_all(&pool->allot); /* who waits for a worker that is no more asks for another */
    }
    pthread_mutex_unlock(&pool->lock);
    if (closing && worker_max > before) {
        sl__runtime_give_lanes(pool->runtime, worker_max - before);
    } else if (!closing && worker_max < before) {
        sl__runtime_give_lanes(pool->runtime, before - worker_max);
    }
    if (!closing) {
        sl__pool_tell_resized(pool, worker_min, worker_max);
    }
    return closing ? sl_error_set(error, SL_E_CLOSED, "pool %s is being drained or destroyed", pool->name) : SL_OK;
}

enum sl_code sl_pool_resize(struct sl_pool *pool, uint32_t worker_min, uint32_t worker_max, struct sl_error *error) {
    if (pool == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pool_resize: `pool` is NULL");
    }
    if (worker_min < 1 || worker_max > SL__PLACE_MAX || worker_min > worker_max) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "sl_pool_resize: worker_min is %u and worker_max is %u; expected 1 to %d, and worker_min not "
            "above worker_max",
            worker_min, worker_max, SL__PLACE_MAX);
    }
    if (sl__pool_foreign(pool)) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "sl_pool_resize: the pool was made before this process was forked; its maker alone can "
                            "resize it");
    }
    pthread_mutex_lock(&pool->resize_lock);
    enum sl_code code = resize(pool, worker_min, worker_max, error);
    pthread_mutex_unlock(&pool->resize_lock);
    return code;
}
