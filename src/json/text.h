/* SPDX-License-Identifier: MIT */
/* The text that grows while JSON is printed. An allocation that fails sticks, so that callers check once, at the end. */
#ifndef SL_JSON_TEXT_H
#define SL_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
};

/** False, for good, when there is no memory. */
bool sl__text_grow(struct text *text, size_t size);

static inline bool text_reserve(struct text *text, size_t size) {
    return __builtin_expect(text->capacity - text->size >= size, 1) || sl__text_grow(text, size);
}

static inline void text_add(struct text *text, const char *bytes, size_t size) {
    if (text_reserve(text, size)) {
        memcpy(text->data + text->size, bytes, size);
        text->size += size;
    }
}

static inline void text_add_char(struct text *text, char c) {
    if (text_reserve(text, 1)) {
        text->data[text->size++] = c;
    }
}

#define TEXT_ADD_LITERAL(text, literal) text_add((text), "" literal, sizeof(literal) - 1)

void sl__text_add_uint(struct text *text, uint64_t value);
void sl__text_add_int(struct text *text, int64_t value);
/** Quoted and escaped; the bytes are valid UTF-8. */
void sl__text_add_string(struct text *text, const char *bytes, size_t size);
void sl__text_add_base64(struct text *text, const void *bytes, size_t size);

#endif
