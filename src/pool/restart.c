/* SPDX-License-Identifier: MIT */
#include "restart.h"

#include <string.h>

#include "base/macros.h"

#define NS_PER_MS 1000000u

uint64_t sl__backoff_next(struct sl__backoff *backoff, uint32_t first_ms, bool success) {
    if (success) {
        backoff->in_a_row = 0;
    }
    uint32_t before = backoff->in_a_row;
    if (backoff->in_a_row < UINT32_MAX) {
        backoff->in_a_row++;
    }
    if (before == 0) {
        return 0;
    }
    /* Never 0 again: a start that fails at once must not keep the supervising thread from all else. */
    uint64_t delay = SL_MAX((uint64_t)first_ms, 1u);
    for (uint32_t i = 1; i < before && delay < SL__BACKOFF_MAX_MS; i++) {
        delay *= 2;
    }
    return SL_MIN(delay, (uint64_t)SL__BACKOFF_MAX_MS);
}

bool sl__budget_init(struct sl__budget *budget, uint32_t restart_max, uint32_t window_ms) {
    memset(budget, 0, sizeof(*budget));
    budget->restart_max = restart_max;
    budget->window_ns = (uint64_t)window_ms * NS_PER_MS;
    return sl__ring_init(&budget->deaths, sizeof(uint64_t), (size_t)restart_max + 1);
}

void sl__budget_finish(struct sl__budget *budget) {
    sl__ring_finish(&budget->deaths);
}

uint32_t sl__budget_spent(struct sl__budget *budget, uint64_t now_ns) {
    const uint64_t *oldest;
    while ((oldest = sl__ring_at(&budget->deaths, 0)) != NULL && now_ns - *oldest > budget->window_ns) {
        (void)sl__ring_pop(&budget->deaths, NULL);
    }
    return (uint32_t)budget->deaths.count;
}

void sl__budget_clear(struct sl__budget *budget) {
    while (sl__ring_pop(&budget->deaths, NULL)) {
    }
}

bool sl__budget_spend(struct sl__budget *budget, uint64_t now_ns) {
    (void)sl__budget_spent(budget, now_ns);
    if (!sl__ring_push(&budget->deaths, &now_ns)) {
        return false;
    }
    return budget->deaths.count <= budget->restart_max;
}
