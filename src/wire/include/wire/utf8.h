/* SPDX-License-Identifier: MIT */
/* UTF-8 of str values. Most of them are short and ASCII, so that this case is decided inline. */
#ifndef SL_WIRE_UTF8_H
#define SL_WIRE_UTF8_H

#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sl__utf8_word(const uint8_t *text) {
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    return word;
}

static inline uint32_t sl__utf8_half(const uint8_t *text) {
    uint32_t half;
    memcpy(&half, text, sizeof(half));
    return half;
}

/** Whether the text is valid UTF-8. `bytes` may be NULL when `size` is 0. */
static inline bool sl__utf8_valid(const void *bytes, size_t size) {
    const uint8_t *text = bytes;
    uint64_t seen = 0;
    /* The last load of each case ends with the text and overlaps the one before: no loop over the odd bytes. */
    if (size >= 8 && size <= 64) {
        for (size_t at = 0; at < size - 8; at += 8) {
            seen |= sl__utf8_word(text + at);
        }
        seen |= sl__utf8_word(text + size - 8);
    } else if (size >= 4 && size < 8) {
        seen = sl__utf8_half(text) | sl__utf8_half(text + size - 4);
    } else if (size < 4) {
        if (size == 0) {
            return true;
        }
        seen = text[0] | text[size / 2] | text[size - 1];
    } else {
        return sl__utf8_valid_size((const char *)text, size) == size;
    }
    return (seen & UINT64_C(0x8080808080808080)) == 0 || sl__utf8_valid_size((const char *)text, size) == size;
}

#endif
