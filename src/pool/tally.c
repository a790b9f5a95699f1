/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <string.h>

#include "base/assert.h"
#include "base/macros.h"

void sl__tally_init(struct sl__tally *tally) {
    memset(tally, 0, sizeof(*tally));
    pthread_mutex_init(&tally->lock, NULL);
}

void sl__tally_finish(struct sl__tally *tally) {
    for (uint32_t i = 0; i < SL_POOL_DEATHS_MAX; i++) {
        sl_death_destroy(tally->last[i]);
    }
    pthread_mutex_destroy(&tally->lock);
}

void sl__tally_add(struct sl__tally *tally, const struct sl_death *death) {
    SL_ASSERT((uint32_t)death->cause < SL_DEATH_CAUSE_COUNT);
    struct sl_death *copy = sl_death_copy(death);
    pthread_mutex_lock(&tally->lock);
    struct sl_death **place = &tally->last[tally->total++ % SL_POOL_DEATHS_MAX];
    struct sl_death *oldest = *place;
    *place = copy;
    tally->by_cause[death->cause]++;
    pthread_mutex_unlock(&tally->lock);
    sl_death_destroy(oldest);
}

void sl__death_complete(struct sl_death *death, uint64_t batches, const uint64_t *ids, uint32_t count) {
    death->batch_count += batches;
    death->item_count = count;
    memcpy(death->item_ids, ids, SL_MIN(count, (uint32_t)SL_DEATH_ITEMS) * sizeof(*ids));
}

/* The `age`-th newest, or NULL. */
static struct sl_death **at(struct sl__tally *tally, uint64_t age) {
    return &tally->last[(tally->total - 1 - age) % SL_POOL_DEATHS_MAX];
}

static uint64_t kept(const struct sl__tally *tally) {
    return SL_MIN(tally->total, (uint64_t)SL_POOL_DEATHS_MAX);
}

void sl__tally_complete(struct sl__tally *tally, uint32_t worker, uint32_t generation, uint64_t batches,
                        const uint64_t *ids, uint32_t count) {
    pthread_mutex_lock(&tally->lock);
    for (uint64_t age = 0; age < kept(tally); age++) {
        struct sl_death *death = *at(tally, age);
        if (death != NULL && death->worker == worker && death->generation == generation) {
            sl__death_complete(death, batches, ids, count);
            break;
        }
    }
    pthread_mutex_unlock(&tally->lock);
}

uint32_t sl__tally_copy(struct sl__tally *tally, struct sl_death **deaths, uint32_t count_max) {
    uint32_t count = 0;
    pthread_mutex_lock(&tally->lock);
    for (uint64_t age = 0; age < kept(tally) && count < count_max; age++) {
        struct sl_death *copy = sl_death_copy(*at(tally, age));
        if (copy != NULL) {
            deaths[count++] = copy;
        }
    }
    pthread_mutex_unlock(&tally->lock);
    return count;
}

void sl__tally_counts(struct sl__tally *tally, uint64_t by_cause[SL_DEATH_CAUSE_COUNT]) {
    pthread_mutex_lock(&tally->lock);
    memcpy(by_cause, tally->by_cause, sizeof(tally->by_cause));
    pthread_mutex_unlock(&tally->lock);
}
