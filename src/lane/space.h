/* SPDX-License-Identifier: MIT */
/*
 * Payload space of a segment, handed out first-in first-out, each piece contiguous. All of it lives in the owner's private memory:
 * the other side cannot confuse it.
 *
 * When nothing is handed out the next piece starts at offset 0 again, so that a lane with small batches touches the same
 * few cache lines for ever.
 */
#ifndef SLITHER_LANE_SPACE_H
#define SLITHER_LANE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "lane/lane.h"

struct sl__space {
    uint64_t capacity;
    struct {
        uint64_t offset, size;
    } pieces[SL__LANE_SLOTS]; /* a queue; sizes are multiples of SL__PAYLOAD_ALIGNMENT and never 0 */
    uint32_t first, count;
};

void sl__space_init(struct sl__space *space, uint64_t capacity);
/*
 * The place for the next piece: behind the last one when `needed` bytes fit there, else at the front, else the larger of
 * both. `*room` may be less than `needed`, also 0. Takes nothing yet.
 */
void sl__space_find(const struct sl__space *space, uint64_t needed, uint64_t *offset, uint64_t *room);
/* Takes `size` (1 ..) bytes at an offset that sl__space_find gave, with at least that room; SL__LANE_SLOTS pieces at most. */
void sl__space_take(struct sl__space *space, uint64_t offset, uint64_t size);
/* Gives the oldest piece back. There must be one. */
void sl__space_release(struct sl__space *space);

#endif
