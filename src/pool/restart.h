/* SPDX-License-Identifier: MIT */
/*
 * When the next life of a worker starts, and when no other is worth trying. Numbers in, numbers out; no clock of its own.
 *
 * Backoff is each worker's own: the first restart comes at once, each further one in a row after twice the delay. The budget is
 * the pool's: a window that slides over the deaths of all its workers.
 */
#ifndef SLITHER_POOL_RESTART_H
#define SLITHER_POOL_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ring.h"

#define SL__BACKOFF_MAX_MS 5000
#define SL__STABLE_MS 5000 /* alive that long, and the deaths before are forgotten */
#define SL__RESTART_MAX_LIMIT 100000

struct sl__backoff {
    uint32_t in_a_row; /* deaths without success in between */
};

/* Delay before the next start. `success`: the life that ended had done something. */
uint64_t sl__backoff_next(struct sl__backoff *backoff, uint32_t first_ms, bool success);

struct sl__budget {
    struct sl__ring deaths; /* times, ns; at most restart_max + 1 */
    uint32_t restart_max;
    uint64_t window_ns;
};

bool sl__budget_init(struct sl__budget *budget, uint32_t restart_max, uint32_t window_ms)
    __attribute__((warn_unused_result));
void sl__budget_finish(struct sl__budget *budget);
/* Counts a death. False: more than restart_max within the window. */
bool sl__budget_spend(struct sl__budget *budget, uint64_t now_ns) __attribute__((warn_unused_result));
/* Forgets all deaths. */
void sl__budget_clear(struct sl__budget *budget);
/* Deaths within the window that ends now. */
uint32_t sl__budget_spent(struct sl__budget *budget, uint64_t now_ns);

#endif
