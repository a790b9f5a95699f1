/* SPDX-License-Identifier: MIT */
/* Numbers with units, as people type them and as they read them. */
#ifndef SLITHER_CLI_UNITS_H
#define SLITHER_CLI_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A plain whole number: digits only. */
bool parse_count(const char *text, uint64_t *count);

/*
 * A duration into milliseconds: numbers with the units ms, s, m, h, d one after the other ("500ms", "1.5s", "1m30s"),
 * or a bare 0. Rounded up to a whole millisecond, so that what is not 0 does not become "no limit".
 */
bool parse_duration_ms(const char *text, uint64_t *duration_ms);

/*
 * A size into bytes: a number with the unit K, M, G or T (powers of 1024; "B" or "iB" may follow), or bytes without a
 * unit.
 */
bool parse_size(const char *text, uint64_t *size);

/* A fraction from 0 to 1. */
bool parse_fraction(const char *text, double *fraction);

#define UNIT_TEXT_SIZE 32

/* "00:07", "1:02:03", "2d 03:04" */
void format_clock(uint64_t duration_ns, char text[UNIT_TEXT_SIZE]);
/* "820 ms", "1.23 s", "2 min 5 s" */
void format_duration(uint64_t duration_ns, char text[UNIT_TEXT_SIZE]);
/* Four significant places at most: "7", "813", "4.12k", "1.20M" */
void format_short(double number, char text[UNIT_TEXT_SIZE]);
/* "3.4 MiB" */
void format_size(uint64_t size, char text[UNIT_TEXT_SIZE]);

#endif
