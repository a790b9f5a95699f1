/* SPDX-License-Identifier: MIT */
#include "text.h"

#include "number.h"

#include <stdlib.h>

#define FIRST_CAPACITY 256

bool sl__text_grow(struct text *text, size_t size) {
    size_t needed;
    if (text->failed) {
        return false;
    }
    size_t capacity = text->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : text->capacity;
    text->failed = true;
    if (__builtin_add_overflow(text->size, size, &needed)) {
        return false;
    }
    while (capacity < needed) {
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity)) {
            return false;
        }
    }
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    text->failed = false;
    return true;
}

void sl__text_add_uint(struct text *text, uint64_t value) {
    if (text_reserve(text, SL__NUMBER_SIZE_MAX)) {
        text->size += sl__print_uint(text->data + text->size, value);
    }
}

void sl__text_add_int(struct text *text, int64_t value) {
    if (text_reserve(text, SL__NUMBER_SIZE_MAX)) {
        text->size += sl__print_int(text->data + text->size, value);
    }
}

/* What must be escaped: 0 for what passes, 'u' for \uXXXX, else the letter after the backslash. */
static const char escapes[256] = {
    [0x00] = 'u', [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u', [0x05] = 'u',  [0x06] = 'u',
    [0x07] = 'u', [0x08] = 'b', [0x09] = 't', [0x0a] = 'n', [0x0b] = 'u', [0x0c] = 'f',  [0x0d] = 'r',
    [0x0e] = 'u', [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u', [0x13] = 'u',  [0x14] = 'u',
    [0x15] = 'u', [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u',  [0x1b] = 'u',
    [0x1c] = 'u', [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * Whether one of eight bytes must be escaped. Subtracting borrows into the high bit of each byte that is below the bound;
 * `& ~word` leaves out bytes whose own high bit is set. A borrow may reach the byte above one that must be escaped, so that
 * only the answer for the whole word is exact.
 */
static bool any_escape(uint64_t word) {
    uint64_t quote = word ^ EACH('"');
    uint64_t backslash = word ^ EACH('\\');
    uint64_t found =
        ((word - EACH(0x20)) & ~word) | ((quote - EACH(1)) & ~quote) | ((backslash - EACH(1)) & ~backslash);
    return (found & EACH(0x80)) != 0;
}

static size_t plain_run(const char *bytes, size_t size) {
    size_t at = 0;
    uint64_t word;
    for (; size - at >= 8; at += 8) {
        memcpy(&word, bytes + at, 8);
        if (any_escape(word)) {
            break;
        }
    }
    while (at < size && escapes[(uint8_t)bytes[at]] == 0) {
        at++;
    }
    return at;
}

void sl__text_add_string(struct text *text, const char *bytes, size_t size) {
    static const char hex[] = "0123456789abcdef";
    if (!text_reserve(text, size + 2)) {
        return;
    }
    text_add_char(text, '"');
    for (;;) {
        size_t run = plain_run(bytes, size);
        if (run > 0) {
            text_add(text, bytes, run);
        }
        bytes += run;
        size -= run;
        if (size == 0) {
            break;
        }
        uint8_t byte = (uint8_t)*bytes++;
        size--;
        char escape[6] = {'\\', escapes[byte], '0', '0', hex[byte >> 4], hex[byte & 15]};
        text_add(text, escape, escape[1] == 'u' ? 6 : 2);
    }
    text_add_char(text, '"');
}

void sl__text_add_base64(struct text *text, const void *bytes, size_t size) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = bytes;
    if (!text_reserve(text, size / 3 * 4 + 4)) {
        return;
    }
    char *out = text->data + text->size;
    for (; size >= 3; size -= 3, at += 3) {
        uint32_t group = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        *out++ = letters[group >> 18];
        *out++ = letters[group >> 12 & 63];
        *out++ = letters[group >> 6 & 63];
        *out++ = letters[group & 63];
    }
    if (size > 0) {
        uint32_t group = (uint32_t)at[0] << 16 | (size == 2 ? (uint32_t)at[1] << 8 : 0);
        *out++ = letters[group >> 18];
        *out++ = letters[group >> 12 & 63];
        *out++ = size == 2 ? letters[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    text->size = (size_t)(out - text->data);
}
