/* SPDX-License-Identifier: MIT */
/* Numbers with units, as people write them into files. */
#ifndef SLITHER_CONFIG_UNITS_H
#define SLITHER_CONFIG_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* A whole number: decimal digits, or 0x or 0o and digits. */
bool sl__parse_count(const char *text, uint64_t *count);
/* "500ms", "1.5s", "1m30s", "0": in milliseconds, rounded up. Units are ms, s, m (or min), h and d. */
bool sl__parse_duration(const char *text, uint64_t *duration_ms);
/* "4096", "64K", "1.5GiB": in bytes, rounded up. Units are powers of 1024. */
bool sl__parse_size(const char *text, uint64_t *size);
/* A finite number, in the form of YAML. */
bool sl__parse_number(const char *text, double *number);

#endif
