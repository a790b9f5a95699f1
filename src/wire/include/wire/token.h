/* SPDX-License-Identifier: MIT */
/*
 * Tokens: MessagePack read one header at a time.
 *
 * A token is a scalar, the header of a container, or a str, bytes or extension together with its body. Reading one
 * never looks outside [position, end) and keeps no state, so that nesting is the reader's affair: a counter of values
 * still to come is enough to skip, a stack of counters to walk.
 */
#ifndef SL_WIRE_TOKEN_H
#define SL_WIRE_TOKEN_H

#include <slither/value.h>

#include "base/assert.h"

#include <string.h>

/* Array elements and the numbers in our extensions lie in memory as they travel. */
SL_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big endian machines are not supported");

enum sl__token_kind {
    SL__TOKEN_NIL,
    SL__TOKEN_BOOL,
    SL__TOKEN_INT,  /**< `integer` */
    SL__TOKEN_UINT, /**< `natural`, only above INT64_MAX */
    SL__TOKEN_FLOAT,
    SL__TOKEN_STR, /**< `payload`, `size`; not yet checked to be UTF-8 */
    SL__TOKEN_BYTES,
    SL__TOKEN_LIST, /**< `count` values follow */
    SL__TOKEN_MAP,  /**< `count` pairs follow */
    SL__TOKEN_EXT   /**< `ext_type`, `payload`, `size`; the body is not yet checked, see wire/ext.h */
};

struct sl__token {
    enum sl__token_kind kind;
    int8_t ext_type;
    union {
        int64_t integer;
        uint64_t natural;
        double real;
        bool boolean;
        uint32_t count; /**< never more than the bytes left could hold, so that memory may be taken for it */
    };
    const uint8_t *payload; /**< body of a str, bytes or extension */
    size_t size;            /**< bytes of the body */
};

/** sl__token_read() for what the inline part leaves. */
bool sl__token_read_wide(const uint8_t **position, const uint8_t *end, struct sl__token *token);

static inline uint16_t sl__load_be16(const uint8_t *bytes) {
    uint16_t word;
    memcpy(&word, bytes, sizeof(word));
    return __builtin_bswap16(word);
}

static inline uint32_t sl__load_be32(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return __builtin_bswap32(word);
}

static inline uint64_t sl__load_be64(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return __builtin_bswap64(word);
}

static inline uint32_t sl__load_le32(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static inline uint64_t sl__load_le64(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/**
 * Reads the token at `*position` and moves past it. False, with `*position` where it was, when there is none: the bytes
 * end before the token does (a container's entries count as one byte each at least), or it starts with 0xc1, which
 * MessagePack never uses.
 */
static inline bool sl__token_read(const uint8_t **position, const uint8_t *end, struct sl__token *token) {
    const uint8_t *at = *position;
    if (at >= end) {
        return false;
    }
    uint8_t lead = *at++;
    if (lead < 0x80) {
        token->kind = SL__TOKEN_INT;
        token->integer = lead;
        *position = at;
        return true;
    }
    if (lead >= 0xa0 && lead <= 0xbf) {
        size_t size = lead & 0x1f;
        if ((size_t)(end - at) < size) {
            return false;
        }
        token->kind = SL__TOKEN_STR;
        token->payload = at;
        token->size = size;
        *position = at + size;
        return true;
    }
    if (lead < 0x90) {
        uint32_t count = lead & 0x0f;
        if ((size_t)(end - at) < 2 * (size_t)count) {
            return false;
        }
        token->kind = SL__TOKEN_MAP;
        token->count = count;
        *position = at;
        return true;
    }
    if (lead < 0xa0) {
        uint32_t count = lead & 0x0f;
        if ((size_t)(end - at) < count) {
            return false;
        }
        token->kind = SL__TOKEN_LIST;
        token->count = count;
        *position = at;
        return true;
    }
    if (lead == 0xcb) {
        if (end - at < 8) {
            return false;
        }
        uint64_t bits = sl__load_be64(at);
        token->kind = SL__TOKEN_FLOAT;
        memcpy(&token->real, &bits, sizeof(bits));
        *position = at + 8;
        return true;
    }
    return sl__token_read_wide(position, end, token);
}

/**
 * Bytes after the lead byte of a value that has a fixed number of them; SL__TAIL_LOOK: its size, or what is in it, has to be read. Most values of most
 * items are numbers, flags and short texts, which are passed by one look into this table.
 */
#define SL__TAIL_LOOK 255
extern const uint8_t sl__tail_size[256];

/** Moves past a value whose lead byte says how long it is. False, with `*position` where it was, when it does not, or the value does not end by `end`. */
static inline bool sl__value_skip_flat(const uint8_t **position, const uint8_t *end) {
    const uint8_t *at = *position;
    if (at >= end) {
        return false;
    }
    size_t size = sl__tail_size[*at];
    if (size == SL__TAIL_LOOK || (size_t)(end - at) <= size) {
        return false;
    }
    *position = at + 1 + size;
    return true;
}

/** sl__value_skip() for what the inline part leaves. */
bool sl__value_skip_deep(const uint8_t **position, const uint8_t *end);

/** Moves past one whole value without checking what is in it. False, with `*position` where it was, when it does not end by `end`. */
static inline bool sl__value_skip(const uint8_t **position, const uint8_t *end) {
    return sl__value_skip_flat(position, end) || sl__value_skip_deep(position, end);
}

#endif
