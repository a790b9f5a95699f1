/* SPDX-License-Identifier: MIT */
#include "deadline.h"

#include "base/array.h"
#include "base/assert.h"

static void put(struct sl__deadlines *heap, size_t place, struct sl__deadline *deadline) {
    heap->items[place] = deadline;
    deadline->place = place + 1;
}

/* Moves the one at `place` to where it belongs: up, or else down. */
static void settle(struct sl__deadlines *heap, size_t place) {
    struct sl__deadline *deadline = heap->items[place];
    while (place > 0 && heap->items[(place - 1) / 2]->at_ns > deadline->at_ns) {
        put(heap, place, heap->items[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < heap->count && heap->items[child + 1]->at_ns < heap->items[child]->at_ns) {
            child++;
        }
        if (child >= heap->count || heap->items[child]->at_ns >= deadline->at_ns) {
            break;
        }
        put(heap, place, heap->items[child]);
        place = child;
    }
    put(heap, place, deadline);
}

bool sl__deadlines_reserve(struct sl__deadlines *heap) {
    return SL_ARRAY_RESERVE(heap, 1);
}

void sl__deadlines_set(struct sl__deadlines *heap, struct sl__deadline *deadline, uint64_t at_ns) {
    deadline->at_ns = at_ns;
    if (deadline->place == 0) {
        SL_ASSERT(heap->count < heap->capacity);
        put(heap, heap->count++, deadline);
    }
    settle(heap, deadline->place - 1);
}

void sl__deadlines_remove(struct sl__deadlines *heap, struct sl__deadline *deadline) {
    if (deadline->place == 0) {
        return;
    }
    size_t place = deadline->place - 1;
    SL_ASSERT(place < heap->count && heap->items[place] == deadline);
    struct sl__deadline *last = heap->items[--heap->count];
    deadline->place = 0;
    if (last != deadline) {
        put(heap, place, last);
        settle(heap, place);
    }
}

struct sl__deadline *sl__deadlines_first(const struct sl__deadlines *heap) {
    return heap->count > 0 ? heap->items[0] : NULL;
}

void sl__deadlines_finish(struct sl__deadlines *heap) {
    SL_ARRAY_FINISH(heap);
}
