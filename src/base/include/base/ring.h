/* SPDX-License-Identifier: MIT */
/*
 * A first-in first-out queue of fixed-size entries with a bound, for one thread (or under the user's lock).
 * Entries are copied in and out. Storage is taken once, at init: a push cannot run out of memory.
 */
#ifndef SL_BASE_RING_H
#define SL_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct sl__ring {
    unsigned char *items;
    size_t item_size;
    size_t capacity; /**< entries, a power of two */
    size_t bound;    /**< entries that may be in it, 1..capacity */
    size_t head;     /**< index of the oldest entry; grows without end, masked on use */
    size_t count;
};

/** `bound` entries of `item_size` bytes, both at least 1. False when memory runs out; finish is then legal too. */
bool sl__ring_init(struct sl__ring *ring, size_t item_size, size_t bound) __attribute__((warn_unused_result));
/** Releases the storage; a zeroed ring is fine. */
void sl__ring_finish(struct sl__ring *ring);
/** Copies `item` to the end. False when the ring is full. */
bool sl__ring_push(struct sl__ring *ring, const void *item) __attribute__((warn_unused_result));
/** Copies `item` to the front, where the next pop finds it. False when the ring is full. */
bool sl__ring_push_front(struct sl__ring *ring, const void *item) __attribute__((warn_unused_result));
/** Copies the oldest entry out (`item` may be NULL) and removes it. False when the ring is empty. */
bool sl__ring_pop(struct sl__ring *ring, void *item);
/** The entry at `index` from the oldest, in place; NULL past the end. Valid until the next push or pop. */
void *sl__ring_at(const struct sl__ring *ring, size_t index);

#endif
