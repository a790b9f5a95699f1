/* SPDX-License-Identifier: MIT */
#include "recycle.h"

#include "base/assert.h"
#include "base/macros.h"

/* xorshift64*: even enough for spreading, and it has no state but its number. */
static uint64_t next(uint64_t *random) {
    uint64_t x = *random;
    SL_ASSERT(x != 0);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *random = x;
    return x * 0x2545f4914f6cdd1du;
}

uint64_t sl__recycle_below(uint64_t limit, uint32_t percent, uint64_t *random) {
    SL_ASSERT(percent <= SL__RECYCLE_JITTER_MAX);
    if (limit == 0) {
        return SL__RECYCLE_NEVER;
    }
    uint64_t width = limit / 100 * percent + limit % 100 * percent / 100; /* less than limit: it cannot overflow */
    uint64_t drawn = limit - next(random) % (width + 1);
    return SL_MAX(drawn, (uint64_t)1);
}

struct sl__recycle_limits sl__recycle_draw(struct sl__recycle *recycle) {
    return (struct sl__recycle_limits){
        .batches = sl__recycle_below(recycle->batches, recycle->jitter_percent, &recycle->random),
        .age_ms = sl__recycle_below(recycle->age_ms, recycle->jitter_percent, &recycle->random),
        .rss_bytes = sl__recycle_below(recycle->rss_bytes, recycle->jitter_percent, &recycle->random),
    };
}

const char *sl__recycle_text(enum sl__recycle_reason reason) {
    switch (reason) {
    case SL__RECYCLE_BATCHES:
        return "it has run its number of batches";
    case SL__RECYCLE_AGE:
        return "it has reached its age";
    case SL__RECYCLE_RSS:
        return "it has grown past its memory";
    case SL__RECYCLE_NOT:
        break;
    }
    return "nothing";
}
