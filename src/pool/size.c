/* SPDX-License-Identifier: MIT */
/* How many workers there are, and which: starts and stops occupants. Loop thread. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/macros.h"
#include "pool.h"

/* ---- places --------------------------------------------------------------------------------------------------- */

static void adjust_task(struct sl__task *task) {
    sl__size_adjust(SL_CONTAINER_OF(task, struct sl_pool, adjust_task));
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
    pool->place_count = SL_MAX(made, pool->place_count);
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
    sl__list_push_back(&pool->admission, &occupant->admission_link);
    return false;
}

void sl__size_admitted(struct sl__occupant *occupant) {
    struct sl_pool *pool = occupant->place->pool;
    if (occupant->admission == SL__ADMISSION_WAITING) {
        sl__list_remove(&pool->admission, &occupant->admission_link);
    } else if (occupant->admission == SL__ADMISSION_GIVEN) {
        pool->starting_count--;
        if (pool->admission.count > 0) {
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
    sl__list_remove(&occupant->place->pool->admission, &occupant->admission_link);
    admit(occupant);
}

static void admit_more(struct sl_pool *pool) {
    while (pool->starting_count < pool->start_parallel_max && pool->admission.count > 0) {
        struct sl__link *link = sl__list_pop_front(&pool->admission);
        admit(SL_CONTAINER_OF(link, struct sl__occupant, admission_link));
    }
}

/* ---- what is to be -------------------------------------------------------------------------------------------- */

void sl__size_look(struct sl_pool *pool) {
    if (!pool->adjust_posted && pool->phase != SL__POOL_CLOSING) {
        pool->adjust_posted = true;
        sl__loop_post(pool->runtime->loop, &pool->adjust_task);
    }
}

/* With the lock. */
static void decide(struct sl__place *place, bool starts) {
    if (starts && place->wanted && place->current == NULL) {
        struct sl__occupant *occupant = &place->occupants[0];
        occupant->role = SL__ROLE_CURRENT;
        occupant->start_due = true;
        place->current = occupant;
    }
}

static void carry_out(struct sl__occupant *occupant) {
    if (occupant->start_due) {
        occupant->start_due = false;
        sl__worker_start(occupant->worker);
    }
}

void sl__size_adjust(struct sl_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->adjust_posted = false;
    bool works = !pool->stopping_all && (pool->phase == SL__POOL_STARTING || pool->phase == SL__POOL_OPEN);
    bool starts =
        works && sl__breaker_closed(&pool->breaker); /* else the breaker starts one, and looks here when it is closed */
    for (uint32_t i = 0; works && i < pool->place_count; i++) {
        decide(pool->places[i], starts);
    }
    uint32_t place_count = pool->place_count;
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; works && i < place_count * 2; i++) {
        carry_out(&pool->places[i / 2]->occupants[i % 2]);
    }
    if (starts) {
        admit_more(pool);
    }
}
