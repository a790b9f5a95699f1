/* SPDX-License-Identifier: MIT */
/*
 * Values for jq and back. What jq has no type for travels through it as an object that stands for the value: {"$value": n, "type": "bytes", ...}.
 * It comes out as the value that it stands for; a program that has changed the object has changed what cannot be changed there,
 * which is an error, and never another value.
 *
 * Stands in: ints beyond +-2^53, bytes, timestamps, arrays, refs, marks, maps with a key that is not a str, and maps that have a key "$value".
 */
#ifndef SLITHER_CONFIG_JQ_VALUE_H
#define SLITHER_CONFIG_JQ_VALUE_H

#include <jv.h>

#include <slither/error.h>
#include <slither/value.h>

/* What stands in for others in one item. A zeroed one is empty. */
struct sl__jq_hidden {
    struct sl_value *items;
    size_t count, capacity;
};

/* `*out` is the caller's to jv_free(), also on failure. */
enum sl_code sl__jv_from_value(struct sl_value value, struct sl__jq_hidden *hidden, jv *out, struct sl_error *error);
/* Borrows `value`. Whole numbers within +-2^53 become ints, other numbers floats. */
enum sl_code sl__jv_write(jv value, const struct sl__jq_hidden *hidden, struct sl_writer *writer,
                          struct sl_error *error);

#endif
