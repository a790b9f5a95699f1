/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_LANE_DOORBELL_H
#define SLITHER_LANE_DOORBELL_H

#include "segment.h"

/* Publishes the slot that was written last: `tail` is the new count. Wakes the other side when it sleeps. */
void sl__doorbell_ring(const struct sl__segment *own, const struct sl__segment *peer, uint32_t tail);

/* Count of slots that the other side has published. What it published before is visible after this. */
static inline uint32_t sl__doorbell_tail(const struct sl__segment *peer) {
    return atomic_load_explicit(&peer->memory->header.tail, memory_order_acquire);
}

/* Says that this side is about to sleep on the other's tail; look at the tail once more after it. */
void sl__doorbell_arm(const struct sl__segment *own);
void sl__doorbell_disarm(const struct sl__segment *own);

#endif
