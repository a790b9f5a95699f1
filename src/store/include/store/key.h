/* SPDX-License-Identifier: MIT */
/*
 * Keys as bytes: memcmp of two encodings (the shorter one first when one begins the other) says what sl_value_compare says of the keys, so
 * that ranges and prefixes of keys are ranges of bytes.
 *
 *   0x08                                   nil
 *   0x10, 0x11                             false, true
 *   0x18 f64 [u16]                         number: the largest double that is not above it, sign turned so that it sorts, big endian;
 *                                          from 2^53 up to the bounds of 64-bit ints, what the int has above that double
 *   0x20 bytes 0x00                        str; a NUL within is 0x00 0xff
 *   0x28 bytes 0x00                        bytes, likewise
 *   0x30 entries 0x00                      list
 *   0x40 i64 u32                           timestamp: seconds, sign turned, and nanoseconds, big endian
 *
 * No tag is 0x00 or 0xff, so that the 0x00 that ends a str is never followed by 0xff, and each encoding ends where it says.
 * Equal numbers have one encoding, whatever their type, and are decoded as an int when they are one: 1.0 comes back as 1, -0.0 as 0.
 */
#ifndef SLITHER_STORE_KEY_H
#define SLITHER_STORE_KEY_H

#include <slither/store.h>
#include <slither/value.h>

/**
 * Encodes a key into `out`, which has room for SL_STORE_KEY_BYTES_MAX bytes. Errors: invalid_argument (no value, or more than one),
 * type_mismatch, limit_exceeded, invalid_utf8.
 */
enum sl_code sl__key_encode(struct sl_value key, uint8_t *out, size_t *size, struct sl_error *error) SL_MUST_CHECK;

/** Appends the key that the encoding stands for to `writer`. False: it is none; or the writer fails, see its code. */
bool sl__key_decode(const uint8_t *encoded, size_t size, struct sl_writer *writer) SL_MUST_CHECK;

/** Bytes of the key that `encoded` starts with; 0 when it starts with none. */
size_t sl__key_size(const uint8_t *encoded, size_t size);

/** Encodings in [low, high). A size of 0: no bound on that side. */
struct sl__key_range {
    uint8_t low[SL_STORE_KEY_BYTES_MAX + 1];
    uint8_t high[SL_STORE_KEY_BYTES_MAX + 1];
    uint16_t low_size;
    uint16_t high_size;
    bool empty; /* nothing can be in it */
};

/** What holds the keys that begin with `prefix`: a str, bytes or a list; type_mismatch for anything else. */
enum sl_code sl__key_prefix(struct sl_value prefix, struct sl__key_range *range, struct sl_error *error) SL_MUST_CHECK;

/** The keys that meet all bounds of the options, which are complete (size is not looked at). */
enum sl_code sl__key_range(const struct sl_scan_options *options, struct sl__key_range *range,
                           struct sl_error *error) SL_MUST_CHECK;

/** Whether an encoded key (or that of a row of a bag, with its number behind it) lies within. */
bool sl__key_within(const struct sl__key_range *range, const uint8_t *encoded, size_t size);

#endif
