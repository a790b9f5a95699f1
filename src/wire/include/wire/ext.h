/* SPDX-License-Identifier: MIT */
/*
 * The bodies of our MessagePack extensions. All numbers in them are little endian; the timestamp is MessagePack's own.
 *
 *   ext -1  timestamp     u32 seconds | u64 nanoseconds << 34 + seconds | u32 nanoseconds, i64 seconds (big endian)
 *   ext  1  array         u8 dtype, u8 dim_count, u8 pad, u8 0, u64 shape[dim_count], pad bytes 0, elements
 *   ext  2  buffer array  u8 dtype, u8 dim_count, 6 bytes 0, u64 buffer id, u64 offset, u64 shape[dim_count]
 *   ext  3  ref           u64 session, u64 object, u32 worker, u32 generation, u16 type name size, type name, repr prefix (UTF-8, to the end)
 *   ext  4  mark          u8 kind, str text, the payload value of a route, and of an error if it has one
 *
 * `pad` puts the elements at a multiple of 8 from the start of the outermost value, which lies at a multiple of 8 in
 * every memory that we make. A value that was copied into another may lose that, so readers take any pad from 0 to 7.
 */
#ifndef SL_WIRE_EXT_H
#define SL_WIRE_EXT_H

#include <slither/value.h>

#define SL__EXT_TIMESTAMP (-1)
#define SL__EXT_ARRAY 1
#define SL__EXT_BUFFER_ARRAY 2
#define SL__EXT_REF 3
#define SL__EXT_MARK 4

#define SL__EXT_ARRAY_HEAD 4
#define SL__EXT_BUFFER_ARRAY_HEAD 24
#define SL__EXT_REF_HEAD 26
#define SL__ELEMENT_ALIGNMENT 8
#define SL__NANOSECONDS_MAX UINT32_C(999999999)

/*
 * Each reads and checks one body. On failure `*what` says what is wrong with it, in static storage. The code is
 * invalid_data or invalid_utf8.
 */
enum sl_code sl__ext_read_timestamp(const uint8_t *body, size_t size, struct sl_timestamp *out, const char **what);
enum sl_code sl__ext_read_array(const uint8_t *body, size_t size, struct sl_array *out, const char **what);
enum sl_code sl__ext_read_buffer_array(const uint8_t *body, size_t size, struct sl_array *out, const char **what);
enum sl_code sl__ext_read_ref(const uint8_t *body, size_t size, struct sl_ref *out, const char **what);
/** The payload is what follows the text; whether that is one value is for the caller to check. */
enum sl_code sl__ext_read_mark(const uint8_t *body, size_t size, struct sl_mark *out, const char **what);

/**
 * Bytes of the elements of an array. False for an unknown dtype, too many dimensions, or a size past 2^63-1; dimensions
 * of 0 do not excuse the others, so that strides computed from the shape never overflow.
 */
bool sl__array_size(enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape, uint64_t *size);

/** "f64", "u8", ...; NULL for a number that is not an element type. Static storage. */
const char *sl__dtype_name(enum sl_dtype dtype);

#endif
