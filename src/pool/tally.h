/* SPDX-License-Identifier: MIT */
/* Tally: the certificates of the last deaths, and how many there were of each cause. Has a lock of its own: texts are copied under it. */
#ifndef SLITHER_POOL_TALLY_H
#define SLITHER_POOL_TALLY_H

#include <pthread.h>

#include <slither/death.h>
#include <slither/pool.h>

struct sl__tally {
    pthread_mutex_t lock;
    struct sl_death *last[SL_POOL_DEATHS_MAX]; /* a ring; NULL: that one could not be copied */
    uint64_t total;
    uint64_t by_cause[SL_DEATH_CAUSE_COUNT];
};

void sl__tally_init(struct sl__tally *tally);
void sl__tally_finish(struct sl__tally *tally);

/* Takes a copy. */
void sl__tally_add(struct sl__tally *tally, const struct sl_death *death);
/* What that life of that worker had done for its last lease, and was running: known only when its batches are looked at. */
void sl__tally_complete(struct sl__tally *tally, uint32_t worker, uint32_t generation, uint64_t batches,
                        const uint64_t *ids, uint32_t count);
/* Copies, newest first; the caller's. Returns how many. */
uint32_t sl__tally_copy(struct sl__tally *tally, struct sl_death **deaths, uint32_t count_max);
void sl__tally_counts(struct sl__tally *tally, uint64_t by_cause[SL_DEATH_CAUSE_COUNT]);

/* For certificate and tally alike. */
void sl__death_complete(struct sl_death *death, uint64_t batches, const uint64_t *ids, uint32_t count);

#endif
