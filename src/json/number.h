/* SPDX-License-Identifier: MIT */
#ifndef SL_JSON_NUMBER_H
#define SL_JSON_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/** Enough for every finite double and every 64-bit int; no NUL is written. */
#define SL__NUMBER_SIZE_MAX 32

/** Writes decimal digits; returns how many. */
size_t sl__print_uint(char *out, uint64_t value);
size_t sl__print_int(char *out, int64_t value);

/**
 * Writes a finite double with as few digits as read back as the same double, in the form that Python's repr() has: 1.0, 0.1,
 * 1e+16, 5e-324. Does not depend on the locale. Returns the size.
 */
size_t sl__print_double(char *out, double value);

#endif
