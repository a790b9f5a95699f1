/* SPDX-License-Identifier: MIT */
#include "pulse.h"

#include <stdio.h>

#include "base/macros.h"
#include "pool.h"

#define IDLE_BEATS_MAX 3 /* before the timer rests */
#define NS_PER_MS 1000000u

/* On the loop thread: `worker` cannot go away meanwhile. */
static void kill_silent(struct sl_pool *pool, struct sl__occupant *occupant, uint64_t silent_ns) {
    char why[160];
    bool stopped = sl__worker_activity(occupant->worker) == SL_ACTIVITY_STOPPED;
    snprintf(why, sizeof why, "it has given no sign of life for %.1f s (heartbeat_timeout_ms is %u)%s",
             (double)silent_ns / 1e9, (unsigned)(pool->pulse.timeout_ns / NS_PER_MS),
             stopped ? "" : ", not even from the thread that is there for that");
    pthread_mutex_lock(&pool->lock);
    if (occupant->incarnation != NULL && occupant->incarnation->leased) {
        sl__incarnation_kill(pool, occupant->incarnation, SL_E_WORKER_TIMEOUT, SL_DEATH_SILENT, why, false);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void beat(void *context) {
    struct sl_pool *pool = context;
    struct sl__pulse *pulse = &pool->pulse;
    uint32_t busy = 0;
    pthread_mutex_lock(&pool->lock);
    uint32_t place_count = pool->place_count;
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < place_count * 2; i++) {
        struct sl__occupant *occupant = &pool->places[i / 2]->occupants[i % 2];
        pthread_mutex_lock(&pool->lock);
        bool works = occupant->incarnation != NULL && occupant->incarnation->leased && !occupant->incarnation->killed;
        pthread_mutex_unlock(&pool->lock);
        if (works) {
            busy++;
            uint64_t silent_ns = sl__worker_beat(occupant->worker);
            if (pulse->timeout_ns > 0 && silent_ns >= pulse->timeout_ns) {
                kill_silent(pool, occupant, silent_ns);
            }
        }
    }
    pulse->idle_beats = busy > 0 ? 0 : pulse->idle_beats + 1;
    pthread_mutex_lock(&pool->lock);
    pulse->runs = pool->leased_count > 0 || pulse->idle_beats < IDLE_BEATS_MAX;
    bool goes_on = pulse->runs;
    pthread_mutex_unlock(&pool->lock);
    if (goes_on) {
        sl__timer_set(pulse->timer, pulse->every_ms);
    }
}

static void start(struct sl__task *task) {
    struct sl_pool *pool = SL_CONTAINER_OF(task, struct sl_pool, pulse.start_task);
    pool->pulse.idle_beats = 0;
    if (pool->pulse.timer != NULL) {
        sl__timer_set(pool->pulse.timer, pool->pulse.every_ms);
    }
}

void sl__pulse_start(struct sl_pool *pool) {
    pool->pulse.runs = true;
    sl__loop_post(pool->runtime->loop, &pool->pulse.start_task);
}

enum sl_code sl__pulse_init(struct sl_pool *pool, struct sl_error *error) {
    pool->pulse.start_task.run = start;
    return sl__timer_create(pool->runtime->loop, beat, pool, &pool->pulse.timer, error);
}

void sl__pulse_finish(struct sl_pool *pool) {
    sl__timer_destroy(pool->pulse.timer);
    pool->pulse.timer = NULL;
}
