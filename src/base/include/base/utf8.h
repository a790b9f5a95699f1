/* SPDX-License-Identifier: MIT */
#ifndef SL_BASE_UTF8_H
#define SL_BASE_UTF8_H

#include <stddef.h>

/**
 * Bytes at the start of `text` that are well-formed UTF-8: `size` when all of it is, else the offset of the first
 * sequence that is malformed, overlong, a surrogate, above U+10FFFF or cut off by the end. NUL bytes are text.
 */
size_t sl__utf8_valid_size(const char *text, size_t size);

#endif
