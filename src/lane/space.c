/* SPDX-License-Identifier: MIT */
#include "space.h"

#include "base/assert.h"
#include "segment.h"

void sl__space_init(struct sl__space *space, uint64_t capacity) {
    *space = (struct sl__space){.capacity = capacity & ~(uint64_t)(SL__PAYLOAD_ALIGNMENT - 1)};
}

void sl__space_find(const struct sl__space *space, uint64_t needed, uint64_t *offset, uint64_t *room) {
    if (space->count == 0) {
        *offset = 0;
        *room = space->capacity;
        return;
    }
    uint32_t last = (space->first + space->count - 1) % SL__LANE_SLOTS;
    uint64_t begin = space->pieces[space->first].offset;
    uint64_t end = space->pieces[last].offset + space->pieces[last].size;
    *offset = end;
    if (end <= begin) { /* the pieces wrap around: what is free lies between */
        *room = begin - end;
        return;
    }
    *room = space->capacity - end;
    if (*room < needed && begin > *room) {
        *offset = 0;
        *room = begin;
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
}

void sl__space_release(struct sl__space *space) {
    SL_ASSERT(space->count > 0);
    space->first = (space->first + 1) % SL__LANE_SLOTS;
    space->count--;
}
