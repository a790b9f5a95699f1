/* SPDX-License-Identifier: MIT */
/* UTF-8 of str values. Most of them are short and ASCII, so that this case is decided inline. */
#ifndef SL_WIRE_UTF8_H
#define SL_WIRE_UTF8_H

#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/**
 * Whether the text is valid UTF-8. `readable` is how many bytes may be read from `text` on, at least `size`: with 8 of
 * them a short text costs one load and one test.
 */
static inline bool sl__utf8_valid_within(const uint8_t *text, size_t size, size_t readable) {
    uint64_t word;
    if (size <= 8 && readable >= 8) {
        memcpy(&word, text, 8);
        if (size == 0 || ((word << (8 * (8 - size))) & UINT64_C(0x8080808080808080)) == 0)
            return true;
    }
    return sl__utf8_valid_size((const char *)text, size) == size;
}

static inline bool sl__utf8_valid(const void *text, size_t size) {
    return sl__utf8_valid_size((const char *)text, size) == size;
}

#endif
