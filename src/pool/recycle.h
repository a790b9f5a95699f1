/* SPDX-License-Identifier: MIT */
/*
 * When a worker has done enough and is to be replaced. Numbers in, numbers out; no clock of its own.
 *
 * The limits of each life are drawn anew, somewhat below those that were asked for: workers that started together would else be
 * replaced together.
 */
#ifndef SLITHER_POOL_RECYCLE_H
#define SLITHER_POOL_RECYCLE_H

#include <stdint.h>

#define SL__RECYCLE_JITTER_MAX 50 /* percent */
#define SL__RECYCLE_NEVER UINT64_MAX

struct sl__recycle {
    uint64_t batches, age_ms, rss_bytes; /* 0: no limit */
    uint32_t jitter_percent;
    uint64_t random; /* state; not 0 */
};

/* Of one life. SL__RECYCLE_NEVER: no limit. */
struct sl__recycle_limits {
    uint64_t batches, age_ms, rss_bytes;
};

enum sl__recycle_reason {
    SL__RECYCLE_NOT = 0,
    SL__RECYCLE_BATCHES,
    SL__RECYCLE_AGE,
    SL__RECYCLE_RSS,
};

/* Evenly from `limit` less `percent` of it to `limit`, at least 1; SL__RECYCLE_NEVER for 0. */
uint64_t sl__recycle_below(uint64_t limit, uint32_t percent, uint64_t *random);
struct sl__recycle_limits sl__recycle_draw(struct sl__recycle *recycle);
const char *sl__recycle_text(enum sl__recycle_reason reason);

#endif
