/* SPDX-License-Identifier: MIT */
#include "wire/token.h"

static bool take_body(const uint8_t *at, const uint8_t *end, size_t size, enum sl__token_kind kind,
                      const uint8_t **position, struct sl__token *token) {
    if ((size_t)(end - at) < size) {
        return false;
    }
    token->kind = kind;
    token->payload = at;
    token->size = size;
    *position = at + size;
    return true;
}

static bool take_ext(const uint8_t *at, const uint8_t *end, size_t size, const uint8_t **position,
                     struct sl__token *token) {
    if (end - at < 1) {
        return false;
    }
    token->ext_type = (int8_t)at[0];
    return take_body(at + 1, end, size, SL__TOKEN_EXT, position, token);
}

static bool take_container(const uint8_t *at, const uint8_t *end, uint32_t count, enum sl__token_kind kind,
                           const uint8_t **position, struct sl__token *token) {
    uint64_t entries = kind == SL__TOKEN_MAP ? 2 * (uint64_t)count : count;
    if ((uint64_t)(end - at) < entries) {
        return false;
    }
    token->kind = kind;
    token->count = count;
    *position = at;
    return true;
}

static bool take_int(int64_t integer, const uint8_t *after, const uint8_t **position, struct sl__token *token) {
    token->kind = SL__TOKEN_INT;
    token->integer = integer;
    *position = after;
    return true;
}

static bool take_uint64(uint64_t natural, const uint8_t *after, const uint8_t **position, struct sl__token *token) {
    token->kind = natural > INT64_MAX ? SL__TOKEN_UINT : SL__TOKEN_INT;
    token->natural = natural;
    *position = after;
    return true;
}

static bool take_float32(const uint8_t *at, const uint8_t **position, struct sl__token *token) {
    uint32_t bits = sl__load_be32(at);
    float narrow;
    memcpy(&narrow, &bits, sizeof(narrow));
    token->kind = SL__TOKEN_FLOAT;
    token->real = narrow;
    *position = at + 4;
    return true;
}

static bool take_bool(bool boolean, const uint8_t *after, const uint8_t **position, struct sl__token *token) {
    token->kind = SL__TOKEN_BOOL;
    token->boolean = boolean;
    *position = after;
    return true;
}

/* Bytes of the number that follows each lead byte from 0xc0 on: a size, a count or the value itself. */
static const uint8_t number_size[32] = {
    0, 0, 0, 0,    /* nil, never used, false, true */
    1, 2, 4,       /* bin */
    1, 2, 4,       /* ext */
    4, 8,          /* float */
    1, 2, 4, 8,    /* uint */
    1, 2, 4, 8,    /* int */
    0, 0, 0, 0, 0, /* fixext */
    1, 2, 4,       /* str */
    2, 4,          /* array */
    2, 4           /* map */
};

bool sl__token_read_wide(const uint8_t **position, const uint8_t *end, struct sl__token *token) {
    const uint8_t *at = *position;
    if (at >= end) {
        return false;
    }
    uint8_t lead = *at++;
    if (lead < 0xc0) {
        return sl__token_read(position, end, token);
    }
    if (lead >= 0xe0) {
        return take_int((int8_t)lead, at, position, token);
    }
    size_t width = number_size[lead - 0xc0];
    if ((size_t)(end - at) < width) {
        return false;
    }
    switch (lead) {
    case 0xc0:
        token->kind = SL__TOKEN_NIL;
        *position = at;
        return true;
    case 0xc2:
    case 0xc3:
        return take_bool(lead == 0xc3, at, position, token);
    case 0xc4:
        return take_body(at + 1, end, at[0], SL__TOKEN_BYTES, position, token);
    case 0xc5:
        return take_body(at + 2, end, sl__load_be16(at), SL__TOKEN_BYTES, position, token);
    case 0xc6:
        return take_body(at + 4, end, sl__load_be32(at), SL__TOKEN_BYTES, position, token);
    case 0xc7:
        return take_ext(at + 1, end, at[0], position, token);
    case 0xc8:
        return take_ext(at + 2, end, sl__load_be16(at), position, token);
    case 0xc9:
        return take_ext(at + 4, end, sl__load_be32(at), position, token);
    case 0xca:
        return take_float32(at, position, token);
    case 0xcb:
        return sl__token_read(position, end, token);
    case 0xcc:
        return take_int(at[0], at + 1, position, token);
    case 0xcd:
        return take_int(sl__load_be16(at), at + 2, position, token);
    case 0xce:
        return take_int(sl__load_be32(at), at + 4, position, token);
    case 0xcf:
        return take_uint64(sl__load_be64(at), at + 8, position, token);
    case 0xd0:
        return take_int((int8_t)at[0], at + 1, position, token);
    case 0xd1:
        return take_int((int16_t)sl__load_be16(at), at + 2, position, token);
    case 0xd2:
        return take_int((int32_t)sl__load_be32(at), at + 4, position, token);
    case 0xd3:
        return take_int((int64_t)sl__load_be64(at), at + 8, position, token);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_ext(at, end, (size_t)1 << (lead - 0xd4), position, token);
    case 0xd9:
        return take_body(at + 1, end, at[0], SL__TOKEN_STR, position, token);
    case 0xda:
        return take_body(at + 2, end, sl__load_be16(at), SL__TOKEN_STR, position, token);
    case 0xdb:
        return take_body(at + 4, end, sl__load_be32(at), SL__TOKEN_STR, position, token);
    case 0xdc:
        return take_container(at + 2, end, sl__load_be16(at), SL__TOKEN_LIST, position, token);
    case 0xdd:
        return take_container(at + 4, end, sl__load_be32(at), SL__TOKEN_LIST, position, token);
    case 0xde:
        return take_container(at + 2, end, sl__load_be16(at), SL__TOKEN_MAP, position, token);
    case 0xdf:
        return take_container(at + 4, end, sl__load_be32(at), SL__TOKEN_MAP, position, token);
    default: /* 0xc1 */
        return false;
    }
}

#define LOOK SL__TAIL_LOOK
#define FOUR(size) size, size, size, size
#define SIXTEEN(size) FOUR(size), FOUR(size), FOUR(size), FOUR(size)
#define COUNT_FOUR(size) size, size + 1, size + 2, size + 3
#define COUNT_SIXTEEN(size) COUNT_FOUR(size), COUNT_FOUR(size + 4), COUNT_FOUR(size + 8), COUNT_FOUR(size + 12)
/* clang-format off */
const uint8_t sl__tail_size[256] = {
    SIXTEEN(0), SIXTEEN(0), SIXTEEN(0), SIXTEEN(0), /* 0x00: small integers */
    SIXTEEN(0), SIXTEEN(0), SIXTEEN(0), SIXTEEN(0),
    SIXTEEN(LOOK), SIXTEEN(LOOK),                   /* 0x80: small maps and lists */
    COUNT_SIXTEEN(0), COUNT_SIXTEEN(16),            /* 0xa0: short texts */
    0, LOOK, 0, 0,                                  /* 0xc0: nil, never used, false, true */
    FOUR(LOOK), LOOK, LOOK,                         /* 0xc4: bytes, extensions */
    4, 8,                                           /* 0xca: floats */
    1, 2, 4, 8, 1, 2, 4, 8,                         /* 0xcc: unsigned and signed integers */
    FOUR(LOOK), FOUR(LOOK), FOUR(LOOK),             /* 0xd4: extensions, texts, lists, maps */
    SIXTEEN(0), SIXTEEN(0),                         /* 0xe0: small negative integers */
};
/* clang-format on */

bool sl__value_skip_deep(const uint8_t **position, const uint8_t *end) {
    const uint8_t *at = *position;
    struct sl__token token;
    /* Each pending value has at least one byte, or the token that announced it would have been refused; so the counter
     * stays far below 2^64 for any depth, and no stack is needed. */
    for (uint64_t pending = 1; pending > 0; pending--) {
        if (sl__value_skip_flat(&at, end)) {
            continue;
        }
        if (!sl__token_read(&at, end, &token)) {
            return false;
        }
        if (token.kind == SL__TOKEN_LIST) {
            pending += token.count;
        } else if (token.kind == SL__TOKEN_MAP) {
            pending += 2 * (uint64_t)token.count;
        }
    }
    *position = at;
    return true;
}
