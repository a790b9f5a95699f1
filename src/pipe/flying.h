/* SPDX-License-Identifier: MIT */
/*
 * What the dispatch of a threaded node has pulled and not given back: a ring of tokens by the sequence that the dispatch counts them by. It is as long as
 * the span from the oldest to the youngest. For the node's thread only.
 */
#ifndef SLITHER_PIPE_FLYING_H
#define SLITHER_PIPE_FLYING_H

#include <stdlib.h>

#include "base/assert.h"
#include "base/macros.h"
#include "item.h"

struct sl__flying {
    struct sl__token **tokens; /* NULL at those that have come back before older ones */
    uint64_t base;             /* the oldest */
    size_t count, capacity;    /* capacity: a power of two, or 0 */
};

/* False: no memory. */
bool sl__flying_grow(struct sl__flying *flying);

static inline struct sl__token **sl__flying_place(const struct sl__flying *flying, uint64_t sequence) {
    return &flying->tokens[sequence & (flying->capacity - 1)];
}
/* The token gets the next sequence. False: no memory. */
static inline bool sl__flying_add(struct sl__flying *flying, struct sl__token *token) {
    if (SL_UNLIKELY(flying->count == flying->capacity) && !sl__flying_grow(flying)) {
        return false;
    }
    *sl__flying_place(flying, flying->base + flying->count++) = token;
    return true;
}
/* Takes one out, which stays counted until sl__flying_close. */
static inline struct sl__token *sl__flying_take(struct sl__flying *flying, uint64_t sequence) {
    SL_ASSERT(sequence - flying->base < flying->count);
    struct sl__token **place = sl__flying_place(flying, sequence);
    struct sl__token *token = *place;
    SL_ASSERT(token != NULL);
    *place = NULL;
    return token;
}
/* `count` from `first` on have been taken out. */
static inline void sl__flying_close(struct sl__flying *flying, uint64_t first, uint32_t count) {
    if (first != flying->base) {
        return;
    }
    flying->base += count;
    flying->count -= count;
    while (flying->count > 0 && *sl__flying_place(flying, flying->base) == NULL) { /* those behind were faster */
        flying->base++;
        flying->count--;
    }
}

#endif
