/* SPDX-License-Identifier: MIT */
/*
 * A heap of points in time. The owner may let one be earlier than what it stands for, and correct it when it comes up: a renewal then costs nothing.
 * Not thread-safe.
 */
#ifndef SLITHER_SESSION_DEADLINE_H
#define SLITHER_SESSION_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded; zeroed, it is in no heap. */
struct sl__deadline {
    uint64_t at_ns;
    size_t place; /* from 1; 0: in no heap */
};

/* A zeroed struct is empty. */
struct sl__deadlines {
    struct sl__deadline **items; /* each earlier than, or as late as, its two children: 2n + 1 and 2n + 2 */
    size_t count, capacity;
};

/* Room for one more, so that a put cannot fail. */
bool sl__deadlines_reserve(struct sl__deadlines *heap) __attribute__((warn_unused_result));
/* Puts it in, or moves it. There must be room. */
void sl__deadlines_set(struct sl__deadlines *heap, struct sl__deadline *deadline, uint64_t at_ns);
/* Harmless when it is not in. */
void sl__deadlines_remove(struct sl__deadlines *heap, struct sl__deadline *deadline);
/* NULL: empty. */
struct sl__deadline *sl__deadlines_first(const struct sl__deadlines *heap);
void sl__deadlines_finish(struct sl__deadlines *heap);

#endif
