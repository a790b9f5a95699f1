/* SPDX-License-Identifier: MIT */
/*
 * Payload space of a segment, each piece contiguous, given back in the order in which it was handed out. All of it lives in the owner's
 * private memory: the other side cannot confuse it.
 *
 * First fit: of the gaps that are large enough the first is taken, so that a lane touches few pages, and the same cache lines for
 * ever: about what is handed out at a time, whatever the capacity. There are at most SL__LANE_SLOTS pieces to look at.
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
    uint64_t expected; /* bytes of the next piece, as the last ones were */
};

void sl__space_init(struct sl__space *space, uint64_t capacity);
/*
 * The place for the next piece: the first gap of `needed` bytes, else the largest there is. `*room` may be less than `needed`, also 0. Takes nothing yet.
 */
void sl__space_find(const struct sl__space *space, uint64_t needed, uint64_t *offset, uint64_t *room);
/* Takes `size` (1 ..) bytes at an offset that sl__space_find gave, with at least that room; SL__LANE_SLOTS pieces at most. */
void sl__space_take(struct sl__space *space, uint64_t offset, uint64_t size);
/* Gives the oldest piece back. There must be one. */
void sl__space_release(struct sl__space *space);

#endif
