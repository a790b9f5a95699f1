/* SPDX-License-Identifier: MIT */
/*
 * Texts without secrets. The library does this for what workers say; a host that prints values itself may want the same.
 */
#ifndef SLITHER_REDACT_H
#define SLITHER_REDACT_H

#include <slither/base.h>
#include <slither/error.h>

SL_BEGIN_DECLS

/**
 * Puts *** in place of the values of keys that look like secrets, wherever `text` of `*size` bytes shows a key with its value: JSON, reprs,
 * keyword arguments, assignments, headers, query strings, passwords of URLs. docs/redaction.md says how it is done, and what it cannot know.
 *
 * In place; `*size` is the new size, never larger than before, and where it is smaller a NUL follows the text. `patterns` are as in struct
 * sl_pool_options. Takes time in proportion to the size. Any thread, also from callbacks; does not block.
 * Errors: invalid_argument, limit_exceeded, as for a pool; the text is as it was then.
 */
SL_API SL_MUST_CHECK enum sl_code sl_redact(const char *const *patterns, char *text, size_t *size,
                                            struct sl_error *error);

SL_END_DECLS

#endif
