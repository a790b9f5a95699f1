/* SPDX-License-Identifier: MIT */
/*
 * Pulse: workers that run batches are looked at once a heartbeat. The timer runs only while there are some, and a little longer: a pool that rests
 * costs nothing, and a pool that is used all the time does not have to start it again and again.
 */
#ifndef SLITHER_POOL_PULSE_H
#define SLITHER_POOL_PULSE_H

#include "loop/loop.h"

struct sl_pool;

struct sl__pulse {
    struct sl__timer *timer; /* loop thread; NULL: there is no pulse */
    struct sl__task start_task;
    uint32_t every_ms;   /* 0: never */
    uint64_t timeout_ns; /* 0: silence is no reason to kill */
    bool runs;           /* with the lock, or the start task is under way */
    uint32_t idle_beats; /* in a row, without a lease; loop thread */
};

/* Loop thread. */
enum sl_code sl__pulse_init(struct sl_pool *pool, struct sl_error *error);
/* Loop thread; nothing is leased any more. */
void sl__pulse_finish(struct sl_pool *pool);

void sl__pulse_start(struct sl_pool *pool);
#define sl__pulse_wake(pool)                                     \
    do {                                                         \
        if (!(pool)->pulse.runs && (pool)->pulse.every_ms > 0) { \
            sl__pulse_start(pool);                               \
        }                                                        \
    } while (0)

#endif
