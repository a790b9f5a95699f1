/* SPDX-License-Identifier: MIT */
/*
 * Batches: items one after another in one payload. Each starts at a multiple of 8 from the payload's start, so that the
 * elements of arrays in it are aligned; gaps, and the room after the last item up to the next multiple of 8, are filled with
 * 0xc1, which starts no value.
 */
#ifndef SL_WIRE_BATCH_H
#define SL_WIRE_BATCH_H

#include <slither/value.h>

#include "wire/writer.h"

#define SL__BATCH_ALIGNMENT 8
#define SL__BATCH_FILLER 0xc1

/** Where the item after one that ends at `offset` starts. */
static inline size_t sl__batch_pad(size_t offset) {
    return (offset + (SL__BATCH_ALIGNMENT - 1)) & ~(size_t)(SL__BATCH_ALIGNMENT - 1);
}

/** Writes filler up to where the next item starts. Call it after each item. */
static inline void sl__put_filler(struct sl_writer *writer) {
    size_t gap = sl__batch_pad(writer->size) - writer->size;
    if (gap > 0 && sl__writer_reserve(writer, gap)) {
        memset(writer->data + writer->size, SL__BATCH_FILLER, gap);
        writer->size += gap;
    }
}

/**
 * Takes the next item of a batch: skips filler from `*offset` on (0 at first), checks one value in full, and moves
 * `*offset` to its end. `end` when there are no more. Errors as of sl_value_check(), with offsets from `base`. The bytes
 * must not change meanwhile: in memory that a peer can write, copy them first.
 */
enum sl_code sl__batch_next(const uint8_t *base, size_t size, size_t *offset, const struct sl_limits *limits,
                            struct sl_value *item, struct sl_error *error) SL_MUST_CHECK;

#endif
