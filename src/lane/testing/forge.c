/* SPDX-License-Identifier: MIT */
#include "forge.h"

#include "doorbell.h"
#include "end.h"

bool sl__lane_forge(struct sl__lane *lane, uint32_t generations, bool as_current) {
    uint32_t head = atomic_load_explicit(&lane->peer.memory->header.head, memory_order_acquire);
    /* The real replies need their slots, and those whose space was not given back yet their entries in `in_segment`. */
    if (lane->published == 0 || lane->published - head >= SL__LANE_SLOTS / 2 ||
        lane->published - lane->worker.released >= SL__LANE_SLOTS - 1) {
        return false;
    }
    struct sl__slot slot;
    sl__slot_read(&lane->own, lane->published - 1, &slot);
    slot.generation = lane->config.generation - generations;
    if (as_current) {
        slot.sequence = lane->worker.request.sequence;
    }
    lane->worker.in_segment[lane->published % SL__LANE_SLOTS] = false;
    sl__slot_write(&lane->own, lane->published, &slot);
    sl__doorbell_ring(&lane->own, &lane->peer, ++lane->published);
    return true;
}
