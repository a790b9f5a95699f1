/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/*
 * Bytes of the well-formed sequence at `p`, or 0. What the second byte may be depends on the first, and only there:
 * it is what rules out overlong forms (E0, F0), surrogates (ED) and code points above U+10FFFF (F4).
 */
static size_t sequence_size(const unsigned char *p, size_t size) {
    unsigned char first = p[0];
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t length;
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        length = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        length = 3;
        low = first == 0xE0 ? 0xA0 : low;
        high = first == 0xED ? 0x9F : high;
    } else if (first >= 0xF0 && first <= 0xF4) {
        length = 4;
        low = first == 0xF0 ? 0x90 : low;
        high = first == 0xF4 ? 0x8F : high;
    } else {
        return 0;
    }
    if (size < length || p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

size_t sl__utf8_valid_size(const char *text, size_t size) {
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0;
    while (at < size) {
        /* Most text is ASCII: eight bytes at a time while no high bit is set. */
        while (size - at >= sizeof(uint64_t)) {
            uint64_t word;
            memcpy(&word, bytes + at, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) != 0) {
                break;
            }
            at += sizeof(word);
        }
        if (at == size) {
            break;
        }
        size_t length = sequence_size(bytes + at, size - at);
        if (length == 0) {
            break;
        }
        at += length;
    }
    return at;
}
