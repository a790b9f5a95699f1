/* SPDX-License-Identifier: MIT */
/*
 * Values as JSON text and back.
 *
 * What JSON lacks is printed as an object with one key: {"$bytes": base64}, {"$timestamp": RFC 3339},
 * {"$array": {"dtype", "shape", "data": base64}}, {"$ref": {...}}. NaN and infinities are an error unless
 * SL_JSON_NAN_AS_NULL is set. Map keys that are not str are printed as their JSON text in quotes.
 *
 * So values of two types may have one text. With SL_JSON_LOSSLESS they have not, and sl_json_restore() makes the value of the text: NaN
 * and infinities are {"$float": "nan"}, "inf" and "-inf"; ints from 2^63 on {"$uint": "9223372036854775808"}; and a map with a key that is
 * no str, contains the character U+0000 or begins with "$" is {"$map": [[key, value], ...]}.
 */
#ifndef SLITHER_JSON_H
#define SLITHER_JSON_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

enum sl_json_flag {
    SL_JSON_NAN_AS_NULL = 1, /**< print NaN and infinities as null */
    SL_JSON_PRETTY = 2,      /**< indent by two spaces */
    SL_JSON_LOSSLESS = 4 /**< so that sl_json_restore() gives the value back; SL_JSON_NAN_AS_NULL does not count then */
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

/**
 * As sl_json_parse, but the objects that stand for what JSON lacks become that again, when they have exactly the form in which
 * SL_JSON_LOSSLESS prints them; all others are maps. What has the form and says nothing, such as {"$bytes": "?"}, is invalid_data. Arrays in
 * shared buffers and marks do not come back, and a map that has a key twice is refused.
 */
SL_API SL_MUST_CHECK enum sl_code sl_json_restore(const char *text, size_t size, struct sl_writer *writer,
                                                  struct sl_error *error);

SL_END_DECLS

#endif
