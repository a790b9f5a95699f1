/* SPDX-License-Identifier: MIT */
#include "space.h"

#include "base/assert.h"
#include "base/macros.h"
#include "segment.h"

void sl__space_init(struct sl__space *space, uint64_t capacity) {
    *space = (struct sl__space){.capacity = capacity & ~(uint64_t)(SL__PAYLOAD_ALIGNMENT - 1)};
}

/* Bytes that are free from `offset` on; 0 inside of a piece. */
static uint64_t room_at(const struct sl__space *space, uint64_t offset) {
    uint64_t end = space->capacity;
    for (uint32_t i = 0; i < space->count; i++) {
        uint64_t begin = space->pieces[(space->first + i) % SL__LANE_SLOTS].offset;
        uint64_t size = space->pieces[(space->first + i) % SL__LANE_SLOTS].size;
        if (offset >= begin && offset < begin + size) {
            return 0;
        }
        if (begin >= offset) {
            end = SL_MIN(end, begin);
        }
    }
    return end - offset;
}

void sl__space_find(const struct sl__space *space, uint64_t needed, uint64_t *offset, uint64_t *room) {
    /* What is free begins at the front or behind a piece. */
    *offset = 0;
    *room = room_at(space, 0);
    for (uint32_t i = 0; i < space->count; i++) {
        uint32_t piece = (space->first + i) % SL__LANE_SLOTS;
        uint64_t begin = space->pieces[piece].offset + space->pieces[piece].size;
        uint64_t free = room_at(space, begin);
        bool fits = free >= needed, has_fit = *room >= needed;
        if ((fits && (!has_fit || begin < *offset)) || (!fits && !has_fit && free > *room)) {
            *offset = begin;
            *room = free;
        }
    }
}

void sl__space_take(struct sl__space *space, uint64_t offset, uint64_t size) {
    SL_ASSERT(size > 0 && space->count < SL__LANE_SLOTS);
    uint32_t next = (space->first + space->count) % SL__LANE_SLOTS;
    uint64_t whole = (size + SL__PAYLOAD_ALIGNMENT - 1) & ~(uint64_t)(SL__PAYLOAD_ALIGNMENT - 1);
    SL_ASSERT(offset % SL__PAYLOAD_ALIGNMENT == 0 && whole <= space->capacity && offset <= space->capacity - whole);
    space->pieces[next].offset = offset;
    space->pieces[next].size = whole;
    space->count++;
    space->expected = SL_MAX(whole, space->expected - space->expected / 8);
}

void sl__space_release(struct sl__space *space) {
    SL_ASSERT(space->count > 0);
    space->first = (space->first + 1) % SL__LANE_SLOTS;
    space->count--;
}
