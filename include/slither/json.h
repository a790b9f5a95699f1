/* SPDX-License-Identifier: MIT */
/*
 * Values as JSON text and back.
 *
 * What JSON lacks is printed as an object with one key: {"$bytes": base64}, {"$timestamp": RFC 3339},
 * {"$array": {"dtype", "shape", "data": base64}}, {"$ref": {...}}. NaN and infinities are an error unless
 * SL_JSON_NAN_AS_NULL is set. Map keys that are not str are printed as their JSON text in quotes.
 */
#ifndef SLITHER_JSON_H
#define SLITHER_JSON_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

enum sl_json_flag {
    SL_JSON_NAN_AS_NULL = 1, /**< print NaN and infinities as null */
    SL_JSON_PRETTY = 2       /**< indent by two spaces */
};

/**
 * Prints `value` as JSON. `*text` is a malloc()ed buffer of `*capacity` bytes or NULL; it is grown as needed and, also
 * on failure, stays the caller's to free(). `*size` is the length without the NUL at the end.
 * Errors: not_serializable (NaN, with its place in the value), out_of_memory, invalid_data.
 */
SL_API SL_MUST_CHECK enum sl_code sl_json_print(struct sl_value value, uint32_t flags, char **text, size_t *capacity,
                                                size_t *size, struct sl_error *error);

/**
 * Reads one JSON text into `writer` as one value. Integers from -2^63 to 2^63-1 stay exact, larger ones are refused by
 * name; a duplicate key is an error.
 * Errors: invalid_data (line, column, what was found), invalid_utf8, limit_exceeded, out_of_memory.
 */
SL_API SL_MUST_CHECK enum sl_code sl_json_parse(const char *text, size_t size, struct sl_writer *writer,
                                                struct sl_error *error);

SL_END_DECLS

#endif
