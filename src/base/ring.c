/* SPDX-License-Identifier: MIT */
#include "base/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/checked.h"

static unsigned char *slot(const struct sl__ring *ring, size_t position) {
    return ring->items + (position & (ring->capacity - 1)) * ring->item_size;
}

bool sl__ring_init(struct sl__ring *ring, size_t item_size, size_t bound) {
    SL_ASSERT(item_size > 0 && bound > 0);
    memset(ring, 0, sizeof(*ring));
    uint64_t capacity = sl__power_of_two_from(bound);
    size_t bytes;
    if (capacity == 0 || capacity > SIZE_MAX || !sl__mul_size((size_t)capacity, item_size, &bytes)) {
        return false;
    }
    ring->items = malloc(bytes);
    if (ring->items == NULL) {
        return false;
    }
    ring->item_size = item_size;
    ring->capacity = (size_t)capacity;
    ring->bound = bound;
    return true;
}

void sl__ring_finish(struct sl__ring *ring) {
    free(ring->items);
    memset(ring, 0, sizeof(*ring));
}

bool sl__ring_push(struct sl__ring *ring, const void *item) {
    if (ring->count == ring->bound) {
        return false;
    }
    memcpy(slot(ring, ring->head + ring->count), item, ring->item_size);
    ring->count++;
    return true;
}

bool sl__ring_push_front(struct sl__ring *ring, const void *item) {
    if (ring->count == ring->bound) {
        return false;
    }
    /* Wraps below 0; harmless, because the capacity is a power of two and divides the range of size_t. */
    ring->head--;
    memcpy(slot(ring, ring->head), item, ring->item_size);
    ring->count++;
    return true;
}

bool sl__ring_pop(struct sl__ring *ring, void *item) {
    if (ring->count == 0) {
        return false;
    }
    if (item != NULL) {
        memcpy(item, slot(ring, ring->head), ring->item_size);
    }
    ring->head++;
    ring->count--;
    return true;
}

void *sl__ring_at(const struct sl__ring *ring, size_t index) {
    return index < ring->count ? slot(ring, ring->head + index) : NULL;
}
