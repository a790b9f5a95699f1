/* SPDX-License-Identifier: MIT */
/* The refs in a value, wherever they are in it. */
#ifndef SL_WIRE_REFS_H
#define SL_WIRE_REFS_H

#include <stdbool.h>

#include <slither/value.h>

/** What is left to look through. */
struct sl__ref_walk {
    const uint8_t *at, *end;
};

static inline struct sl__ref_walk sl__ref_walk_of(struct sl_value value) {
    return (struct sl__ref_walk){value.data, value.data + value.size};
}

/**
 * The next ref of a value that was checked: `*ref`, which points into it, and `*place`, the ref as a value. False when there is no more. Takes as long as
 * there are tokens; payloads are stepped over.
 */
bool sl__ref_walk_next(struct sl__ref_walk *walk, struct sl_value *place, struct sl_ref *ref);

#endif
