/* SPDX-License-Identifier: MIT */
/*
 * Takes the values of keys that look like secrets out of texts that people will read.
 *
 * A text has no grammar. What counts as a key with its value is what the texts of programs are made of: reprs, JSON (also in quotes), keyword
 * arguments, assignments, headers, query strings, pairs, the passwords of URLs. In doubt more is taken out, never less.
 *
 * A pattern is matched against the whole name of a key, which is brought into one form before: `X-Api-Key`, `apiKey` and `API_KEY` are
 * `api_key`. The only wildcard is `*`.
 */
#ifndef SL_BASE_REDACT_H
#define SL_BASE_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <slither/error.h>

#define SL__REDACT_PATTERNS_MAX 64
#define SL__REDACT_PATTERN_SIZE 64 /* with its NUL */

/* A zeroed one leaves every text as it is. */
struct sl__redact {
    uint32_t count;
    char patterns[SL__REDACT_PATTERNS_MAX][SL__REDACT_PATTERN_SIZE];
};

/* What stands for "default". */
extern const struct sl__redact sl__redact_usual;

enum sl__redact_kind {
    SL__REDACT_TEXT,
    SL__REDACT_SOURCE /* lines of source code: only literals are values, so that the code stays readable */
};

/* Those of options: NULL stands for the usual ones, as the word "default" among others does; none: everything stays as it is. */
enum sl_code sl__redact_init(struct sl__redact *redact, const char *const *patterns, struct sl_error *error);

/*
 * In place; returns the new size, which is never larger. Where it is smaller the text ends with a NUL. Takes time in proportion to
 * `size`. The text stays well-formed UTF-8 when it is.
 */
size_t sl__redact_text(const struct sl__redact *redact, enum sl__redact_kind kind, char *text, size_t size);

#endif
