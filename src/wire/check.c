/* SPDX-License-Identifier: MIT */
/*
 * Every value that crosses a process passes through sl__check() once, so it is written for speed: one loop over tokens, no
 * recursion, no allocation. `left` is the number of entries that the innermost container still lacks, << 1, | 1 for a
 * map; outer ones wait on a stack of 4 KiB that is touched only as deep as the value goes.
 */
#include "wire/check.h"

#include "wire/batch.h"
#include "wire/ext.h"
#include "wire/token.h"
#include "wire/utf8.h"

#include "base/macros.h"

#include <stdio.h>

#define MAP_FLAG 1u
#define ONE_ENTRY 2u

bool sl__bounds_take(const struct sl_limits *limits, struct sl__bounds *bounds) {
    *bounds = (struct sl__bounds){SL_DEPTH_MAX_DEFAULT, SL_SIZE_MAX_DEFAULT};
    if (limits == NULL) {
        return true;
    }
    if (limits->size >= offsetof(struct sl_limits, depth_max) + sizeof(limits->depth_max)) {
        bounds->depth_max = limits->depth_max;
    }
    if (limits->size >= offsetof(struct sl_limits, size_max) + sizeof(limits->size_max)) {
        bounds->size_max = limits->size_max;
    }
    if (bounds->depth_max >= 1 && bounds->depth_max <= SL_DEPTH_MAX_LIMIT && bounds->size_max >= 1 &&
        bounds->size_max <= SL_SIZE_MAX_DEFAULT) {
        return true;
    }
    *bounds = (struct sl__bounds){0, 0};
    return false;
}

static const char WHAT_UNKNOWN_EXT[] = "an extension is of a type that Slither does not know (-1, 1, 2, 3, 4)";

static enum sl_code fail(struct sl__fault *fault, enum sl_code code, size_t offset, const char *what) {
    fault->offset = offset;
    fault->what = what;
    fault->ext_type = 0;
    return code;
}

static const char *why_no_token(const uint8_t *at, const uint8_t *end) {
    if (at >= end) {
        return "a value is missing; the bytes are cut off";
    }
    if (*at == 0xc1) {
        return "a value starts with 0xc1, which MessagePack never uses; the bytes are not MessagePack";
    }
    return "a value reaches past the end; the bytes are cut off or not MessagePack";
}

static __attribute__((noinline)) enum sl_code check_ext(const struct sl__token *token, const uint8_t *data,
                                                        const struct sl__bounds *bounds, bool mark_allowed,
                                                        struct sl__fault *fault) {
    union {
        struct sl_timestamp timestamp;
        struct sl_array array;
        struct sl_ref ref;
        struct sl_mark mark;
    } out;
    size_t offset = (size_t)(token->payload - data);
    const char *what = NULL;
    enum sl_code code;
    switch (token->ext_type) {
    case SL__EXT_TIMESTAMP:
        code = sl__ext_read_timestamp(token->payload, token->size, &out.timestamp, &what);
        break;
    case SL__EXT_ARRAY:
        code = sl__ext_read_array(token->payload, token->size, &out.array, &what);
        break;
    case SL__EXT_BUFFER_ARRAY:
        code = sl__ext_read_buffer_array(token->payload, token->size, &out.array, &what);
        break;
    case SL__EXT_REF:
        code = sl__ext_read_ref(token->payload, token->size, &out.ref, &what);
        break;
    case SL__EXT_MARK:
        if (!mark_allowed) {
            return fail(fault, SL_E_INVALID_DATA, offset,
                        "a mark is inside another value; slither.skip(), error() and route() stand for whole items");
        }
        code = sl__ext_read_mark(token->payload, token->size, &out.mark, &what);
        if (code == SL_OK && out.mark.payload.size > 0) {
            size_t used;
            size_t start = (size_t)(out.mark.payload.data - data);
            code = sl__check(out.mark.payload.data, out.mark.payload.size, bounds, false, &used, fault);
            if (code != SL_OK) {
                return fail(fault, code, start + fault->offset, fault->what);
            }
            if (used != out.mark.payload.size) {
                return fail(fault, SL_E_INVALID_DATA, start + used, "bytes follow after the payload of a mark");
            }
        }
        break;
    default:
        (void)fail(fault, SL_E_INVALID_DATA, offset - 1, WHAT_UNKNOWN_EXT);
        fault->ext_type = token->ext_type;
        return SL_E_INVALID_DATA;
    }
    return code == SL_OK ? SL_OK : fail(fault, code, offset, what);
}

enum sl_code sl__check(const uint8_t *data, size_t size, const struct sl__bounds *bounds, bool mark_allowed,
                       size_t *used, struct sl__fault *fault) {
    uint32_t stack[SL_DEPTH_MAX_LIMIT];
    uint32_t depth = 0;
    uint32_t left = ONE_ENTRY;
    const uint8_t *at = data;
    const uint8_t *end = data + SL_MIN((uint64_t)size, bounds->size_max);
    struct sl__token token;
    for (;;) {
        left -= ONE_ENTRY;
        const uint8_t *start = at;
        if (SL_UNLIKELY(!sl__token_read(&at, end, &token))) {
            if (size > bounds->size_max && (start >= end || *start != 0xc1)) {
                return fail(fault, SL_E_LIMIT, (size_t)(start - data),
                            "the value is larger than size_max; raise it in sl_limits or send less at once");
            }
            return fail(fault, SL_E_INVALID_DATA, (size_t)(start - data), why_no_token(start, end));
        }
        bool is_key = (left & (MAP_FLAG | ONE_ENTRY)) == (MAP_FLAG | ONE_ENTRY);
        switch (token.kind) {
        case SL__TOKEN_STR:
            if (SL_UNLIKELY(!sl__utf8_valid(token.payload, token.size))) {
                return fail(fault, SL_E_INVALID_UTF8, (size_t)(start - data),
                            "a str is not valid UTF-8; send such text as bytes");
            }
            break;
        case SL__TOKEN_LIST:
        case SL__TOKEN_MAP:
            if (SL_UNLIKELY(is_key)) {
                return fail(fault, SL_E_INVALID_DATA, (size_t)(start - data),
                            "a map key is a list or a map; keys must be scalars");
            }
            if (SL_UNLIKELY(depth >= bounds->depth_max)) {
                return fail(fault, SL_E_LIMIT, (size_t)(start - data),
                            "containers are nested deeper than depth_max; raise it in sl_limits");
            }
            /* A count is below the bytes that are left, at most 2^30, so twice that and a flag fit. */
            stack[depth++] = left;
            left = token.kind == SL__TOKEN_MAP ? token.count << 2 | MAP_FLAG : token.count << 1;
            break;
        case SL__TOKEN_EXT:
            if (is_key && token.ext_type != SL__EXT_TIMESTAMP) {
                return fail(fault, SL_E_INVALID_DATA, (size_t)(start - data),
                            "a map key is an array, a ref or a mark; keys must be scalars");
            }
            enum sl_code code = check_ext(&token, data, bounds, mark_allowed && depth == 0, fault);
            if (code != SL_OK) {
                return code;
            }
            break;
        default:
            break;
        }
        while (left < ONE_ENTRY) {
            if (depth == 0) {
                *used = (size_t)(at - data);
                return SL_OK;
            }
            left = stack[--depth];
        }
    }
}

/* `base`: where `data` starts in what the caller passed. */
static enum sl_code report(const uint8_t *data, size_t size, size_t base, enum sl_code code,
                           const struct sl__fault *fault, struct sl_error *error) {
    char found[48];
    size_t at = fault->offset;
    if (fault->what == WHAT_UNKNOWN_EXT) {
        snprintf(found, sizeof(found), "extension type %d", fault->ext_type);
    } else if (at < size) {
        snprintf(found, sizeof(found), "byte 0x%02x", data[at]);
    } else {
        snprintf(found, sizeof(found), "the end");
    }
    return sl_error_set(error, code, "not a value: at byte %zu of %zu (%s): %s", base + at, base + size, found,
                        fault->what);
}

enum sl_code sl_value_check(const void *data, size_t size, const struct sl_limits *limits, struct sl_value *value,
                            struct sl_error *error) {
    struct sl__bounds bounds;
    struct sl__fault fault;
    size_t used;
    *value = (struct sl_value){NULL, 0};
    if (!sl__bounds_take(limits, &bounds)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s", SL__BOUNDS_WANTED);
    }
    if (data == NULL || size == 0) {
        return sl_error_set(error, SL_E_INVALID_DATA, "not a value: there are no bytes; a value has at least one");
    }
    enum sl_code code = sl__check(data, size, &bounds, true, &used, &fault);
    if (code != SL_OK) {
        return report(data, size, 0, code, &fault, error);
    }
    if (used != size) {
        return sl_error_set(error, SL_E_INVALID_DATA,
                            "not one value: it ends at byte %zu and %zu bytes follow; pass the size of one value", used,
                            size - used);
    }
    *value = (struct sl_value){data, size};
    return SL_OK;
}

enum sl_code sl__batch_next(const uint8_t *base, size_t size, size_t *offset, const struct sl_limits *limits,
                            struct sl_value *item, struct sl_error *error) {
    struct sl__bounds bounds;
    struct sl__fault fault;
    size_t used;
    size_t start = SL_MIN(sl__batch_pad(*offset), size);
    if (SL_UNLIKELY(*offset > size)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "offset %zu lies past the %zu bytes of the batch", *offset,
                            size);
    }
    for (size_t gap = *offset; gap < start; gap++) {
        if (SL_UNLIKELY(base[gap] != SL__BATCH_FILLER)) {
            return sl_error_set(error, SL_E_INVALID_DATA,
                                "byte %zu of a batch of %zu bytes is 0x%02x where filler (0xc1) was expected between "
                                "items; the sender frames its items wrongly",
                                gap, size, base[gap]);
        }
    }
    if (start == size) {
        *offset = size;
        *item = (struct sl_value){NULL, 0};
        return SL_E_END;
    }
    if (SL_UNLIKELY(!sl__bounds_take(limits, &bounds))) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s", SL__BOUNDS_WANTED);
    }
    enum sl_code code = sl__check(base + start, size - start, &bounds, true, &used, &fault);
    if (SL_UNLIKELY(code != SL_OK)) {
        return report(base + start, size - start, start, code, &fault, error);
    }
    *item = (struct sl_value){base + start, used};
    *offset = start + used;
    return SL_OK;
}
