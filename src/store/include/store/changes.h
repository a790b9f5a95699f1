/* SPDX-License-Identifier: MIT */
/*
 * Following the ring of changes: what has changed and has not been taken yet, one entry a key. For watches of the host and of workers.
 * Used by one thread at a time.
 */
#ifndef SLITHER_STORE_CHANGES_H
#define SLITHER_STORE_CHANGES_H

#include <slither/error.h>
#include <slither/store.h>

#include "store/control.h"
#include "store/key.h"

#define SL__PENDING_DEFAULT 4096
#define SL__PENDING_LIMIT 1000000

/** The number that changes call the followed table by just now; 0: not known. `first`: of this look at the ring, which has something new. */
typedef uint32_t sl__changes_number_fn(void *context, bool first);

struct sl__pending;

struct sl__changes {
    const struct sl__control *control;
    struct sl__key_range range;
    sl__changes_number_fn *number; /* NULL: all tables, and all of their keys */
    void *context;
    uint64_t position; /* in the ring */
    uint32_t pending_max;
    uint32_t pending_count;
    uint32_t bucket_count;
    struct sl__pending **buckets;
    struct sl__pending *first, **last; /* in the order of their first change */
    bool overflow;
};

/**
 * Changes are seen from here on. `control` stays the caller's; `range` is copied, and is looked at when there is a `number`. `pending_max`:
 * 1..SL__PENDING_LIMIT. Errors: out_of_memory.
 */
enum sl_code sl__changes_init(struct sl__changes *changes, const struct sl__control *control,
                              const struct sl__key_range *range, uint32_t pending_max, sl__changes_number_fn *number,
                              void *context, struct sl_error *error) SL_MUST_CHECK;
void sl__changes_finish(struct sl__changes *changes);

/**
 * Takes the next change that is there, of kind overflow when some were lost; nothing that was pending before is given out then. again: there
 * is none. Bounded: it reads a whole ring at most.
 */
enum sl_code sl__changes_take(struct sl__changes *changes, struct sl__change_record *record) SL_MUST_CHECK;

/** What was pending is worth nothing: the next change is an overflow. */
void sl__changes_lose(struct sl__changes *changes);

#endif
