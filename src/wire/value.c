/* SPDX-License-Identifier: MIT */
/* Readers of single values. They look at no more than they need, and trust no count or size that they find. */
#include "wire/ext.h"
#include "wire/token.h"
#include "wire/utf8.h"

#include "base/macros.h"

#define SHORT_TEXT 0x1f /* the size of the longest text whose lead byte says its size */

const char *sl_type_name(enum sl_type type) {
    static const char *const names[] = {"none", "nil", "bool",      "int",   "float", "str", "bytes",
                                        "list", "map", "timestamp", "array", "ref",   "mark"};
    return (unsigned)type < SL_COUNT_OF(names) ? names[type] : "unknown";
}

static enum sl_type ext_type(int8_t type) {
    switch (type) {
    case SL__EXT_TIMESTAMP:
        return SL_TYPE_TIMESTAMP;
    case SL__EXT_ARRAY:
    case SL__EXT_BUFFER_ARRAY:
        return SL_TYPE_ARRAY;
    case SL__EXT_REF:
        return SL_TYPE_REF;
    case SL__EXT_MARK:
        return SL_TYPE_MARK;
    default:
        return SL_TYPE_NONE;
    }
}

/* The first token of a value and its type; SL_TYPE_NONE when there is none. */
static enum sl_type first(struct sl_value value, const uint8_t **after, struct sl__token *token) {
    static const enum sl_type types[] = {
        [SL__TOKEN_NIL] = SL_TYPE_NIL,     [SL__TOKEN_BOOL] = SL_TYPE_BOOL,   [SL__TOKEN_INT] = SL_TYPE_INT,
        [SL__TOKEN_UINT] = SL_TYPE_INT,    [SL__TOKEN_FLOAT] = SL_TYPE_FLOAT, [SL__TOKEN_STR] = SL_TYPE_STR,
        [SL__TOKEN_BYTES] = SL_TYPE_BYTES, [SL__TOKEN_LIST] = SL_TYPE_LIST,   [SL__TOKEN_MAP] = SL_TYPE_MAP,
    };
    *after = value.data;
    if (value.size == 0 || !sl__token_read(after, value.data + value.size, token)) {
        return SL_TYPE_NONE;
    }
    return token->kind == SL__TOKEN_EXT ? ext_type(token->ext_type) : types[token->kind];
}

/* Takes the token of a value that must be of type `wanted`. */
static enum sl_code expect(struct sl_value value, enum sl_type wanted, struct sl__token *token) {
    const uint8_t *after;
    enum sl_type type = first(value, &after, token);
    if (type == wanted) {
        return SL_OK;
    }
    return type == SL_TYPE_NONE ? SL_E_INVALID_DATA : SL_E_TYPE;
}

enum sl_type sl_value_type(struct sl_value value) {
    struct sl__token token;
    const uint8_t *after;
    return first(value, &after, &token);
}

enum sl_code sl_value_bool(struct sl_value value, bool *out) {
    struct sl__token token;
    enum sl_code code = expect(value, SL_TYPE_BOOL, &token);
    if (code == SL_OK) {
        *out = token.boolean;
    }
    return code;
}

enum sl_code sl_value_int(struct sl_value value, int64_t *out) {
    struct sl__token token;
    enum sl_code code = expect(value, SL_TYPE_INT, &token);
    if (code != SL_OK) {
        return code;
    }
    if (token.kind == SL__TOKEN_UINT) {
        return SL_E_RANGE;
    }
    *out = token.integer;
    return SL_OK;
}

enum sl_code sl_value_uint(struct sl_value value, uint64_t *out) {
    struct sl__token token;
    enum sl_code code = expect(value, SL_TYPE_INT, &token);
    if (code != SL_OK) {
        return code;
    }
    if (token.kind == SL__TOKEN_INT && token.integer < 0) {
        return SL_E_RANGE;
    }
    *out = token.natural;
    return SL_OK;
}

enum sl_code sl_value_float(struct sl_value value, double *out) {
    struct sl__token token;
    const uint8_t *after;
    if (SL_LIKELY(value.size > 8 && *value.data == 0xcb)) {
        uint64_t bits = sl__load_be64(value.data + 1);
        memcpy(out, &bits, sizeof bits);
        return SL_OK;
    }
    switch (first(value, &after, &token)) {
    case SL_TYPE_FLOAT:
        *out = token.real;
        return SL_OK;
    case SL_TYPE_INT:
        *out = token.kind == SL__TOKEN_UINT ? (double)token.natural : (double)token.integer;
        return SL_OK;
    case SL_TYPE_NONE:
        return SL_E_INVALID_DATA;
    default:
        return SL_E_TYPE;
    }
}

enum sl_code sl_value_str(struct sl_value value, const char **out, size_t *size) {
    struct sl__token token;
    enum sl_code code = expect(value, SL_TYPE_STR, &token);
    if (code != SL_OK) {
        return code;
    }
    *out = (const char *)token.payload;
    *size = token.size;
    return SL_OK;
}

enum sl_code sl_value_bytes(struct sl_value value, const void **out, size_t *size) {
    struct sl__token token;
    enum sl_code code = expect(value, SL_TYPE_BYTES, &token);
    if (code != SL_OK) {
        return code;
    }
    *out = token.payload;
    *size = token.size;
    return SL_OK;
}

enum sl_code sl_value_timestamp(struct sl_value value, struct sl_timestamp *out) {
    struct sl__token token;
    struct sl_timestamp timestamp;
    const char *what;
    enum sl_code code = expect(value, SL_TYPE_TIMESTAMP, &token);
    if (code == SL_OK) {
        code = sl__ext_read_timestamp(token.payload, token.size, &timestamp, &what);
    }
    if (code == SL_OK) {
        *out = timestamp;
    }
    return code;
}

enum sl_code sl_value_array(struct sl_value value, struct sl_array *out) {
    struct sl__token token;
    struct sl_array array;
    const char *what;
    enum sl_code code = expect(value, SL_TYPE_ARRAY, &token);
    if (code == SL_OK) {
        code = token.ext_type == SL__EXT_ARRAY ? sl__ext_read_array(token.payload, token.size, &array, &what)
                                               : sl__ext_read_buffer_array(token.payload, token.size, &array, &what);
    }
    if (code == SL_OK) {
        *out = array;
    }
    return code;
}

enum sl_code sl_value_ref(struct sl_value value, struct sl_ref *out) {
    struct sl__token token;
    struct sl_ref ref;
    const char *what;
    enum sl_code code = expect(value, SL_TYPE_REF, &token);
    if (code == SL_OK) {
        code = sl__ext_read_ref(token.payload, token.size, &ref, &what);
    }
    if (code == SL_OK) {
        *out = ref;
    }
    return code;
}

enum sl_code sl_value_mark(struct sl_value value, struct sl_mark *out) {
    struct sl__token token;
    struct sl_mark mark;
    const char *what;
    enum sl_code code = expect(value, SL_TYPE_MARK, &token);
    if (code == SL_OK) {
        code = sl__ext_read_mark(token.payload, token.size, &mark, &what);
    }
    if (code == SL_OK) {
        *out = mark;
    }
    return code;
}

/* ---- containers --------------------------------------------------------------------------------------------- */

enum sl_code sl_iter_init(struct sl_iter *iter, struct sl_value container) {
    struct sl__token token;
    const uint8_t *after;
    enum sl_type type = first(container, &after, &token);
    if (type != SL_TYPE_LIST && type != SL_TYPE_MAP) {
        *iter = (struct sl_iter){0};
        return type == SL_TYPE_NONE ? SL_E_INVALID_DATA : SL_E_TYPE;
    }
    iter->position = after;
    iter->end = container.data + container.size;
    iter->remaining = token.count;
    iter->is_map = type == SL_TYPE_MAP;
    return SL_OK;
}

static bool take(struct sl_iter *iter, struct sl_value *out) {
    const uint8_t *start = iter->position;
    if (!sl__value_skip(&iter->position, iter->end)) {
        return false;
    }
    *out = (struct sl_value){start, (size_t)(iter->position - start)};
    return true;
}

bool sl_iter_next(struct sl_iter *iter, struct sl_value *key, struct sl_value *value) {
    struct sl_value taken_key = {NULL, 0};
    struct sl_value taken_value;
    if (iter->remaining == 0) {
        return false;
    }
    if ((iter->is_map && !take(iter, &taken_key)) || !take(iter, &taken_value)) {
        iter->remaining = 0;
        return false;
    }
    iter->remaining--;
    if (key != NULL) {
        *key = taken_key;
    }
    if (value != NULL) {
        *value = taken_value;
    }
    return true;
}

enum sl_code sl_value_count(struct sl_value value, uint32_t *out) {
    struct sl_iter iter;
    enum sl_code code = sl_iter_init(&iter, value);
    if (code == SL_OK) {
        *out = iter.remaining;
    }
    return code;
}

enum sl_code sl_value_at(struct sl_value list, uint32_t index, struct sl_value *out) {
    struct sl_iter iter;
    enum sl_code code = sl_iter_init(&iter, list);
    if (code != SL_OK) {
        return code;
    }
    if (iter.is_map) {
        return SL_E_TYPE;
    }
    if (index >= iter.remaining) {
        return SL_E_NOT_FOUND;
    }
    for (; index > 0; index--) {
        if (!sl__value_skip(&iter.position, iter.end)) {
            return SL_E_INVALID_DATA;
        }
    }
    return take(&iter, out) ? SL_OK : SL_E_INVALID_DATA;
}

/* sl_value_get() for every map. */
static __attribute__((noinline)) enum sl_code get_any(struct sl_value map, const char *key, struct sl_value *out) {
    struct sl_value found = {NULL, 0};
    struct sl__token head;
    const uint8_t *at;
    enum sl_type type = first(map, &at, &head);
    if (type != SL_TYPE_MAP) {
        return type == SL_TYPE_NONE ? SL_E_INVALID_DATA : SL_E_TYPE;
    }
    const uint8_t *end = map.data + map.size;
    size_t key_size = strlen(key);
    for (uint32_t remaining = head.count; remaining > 0; remaining--) {
        struct sl__token token = {.kind = SL__TOKEN_NIL};
        const uint8_t *start = at;
        if (!sl__value_skip(&at, end)) {
            return SL_E_INVALID_DATA;
        }
        bool matches = sl__token_read(&start, at, &token) && token.kind == SL__TOKEN_STR && token.size == key_size &&
                       memcmp(token.payload, key, key_size) == 0;
        start = at;
        if (!sl__value_skip(&at, end)) {
            return SL_E_INVALID_DATA;
        }
        if (matches) {
            found = (struct sl_value){start, (size_t)(at - start)};
        }
    }
    if (found.data == NULL) {
        return SL_E_NOT_FOUND;
    }
    *out = found;
    return SL_OK;
}

/* memcmp() of what is short, as keys are. */
static inline bool is_same(const uint8_t *a, const uint8_t *b, size_t size) {
    if (size >= 4 && size <= 8) { /* both halves, which may overlap */
        return sl__load_be32(a) == sl__load_be32(b) && sl__load_be32(a + size - 4) == sl__load_be32(b + size - 4);
    }
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/*
 * Most maps are small, with short texts as keys and numbers, flags and short texts as values: such a one is walked without a call. What turns out to be
 * another one is walked again.
 */
enum sl_code sl_value_get(struct sl_value map, const char *key, struct sl_value *out) {
    const uint8_t *data = map.data;
    size_t key_size = 0, at = 1, found = 0;
    while (key_size <= SHORT_TEXT && key[key_size] != '\0') {
        key_size++;
    }
    if (SL_UNLIKELY(map.size == 0 || (*data & 0xf0) != 0x80 || key_size > SHORT_TEXT)) {
        return get_any(map, key, out);
    }
    for (unsigned remaining = *data & 0x0fu; remaining > 0; remaining--) {
        if (SL_UNLIKELY(at >= map.size)) {
            return get_any(map, key, out);
        }
        size_t size = data[at] - 0xa0u; /* else large */
        size_t value = at + 1 + size;
        if (SL_UNLIKELY(size > SHORT_TEXT || value >= map.size)) {
            return get_any(map, key, out);
        }
        size_t tail = sl__tail_size[data[value]];
        if (SL_UNLIKELY(tail == SL__TAIL_LOOK)) {
            return get_any(map, key, out);
        }
        if (size == key_size && is_same(data + at + 1, (const uint8_t *)key, size)) {
            found = value;
        }
        at = value + 1 + tail;
    }
    if (SL_UNLIKELY(at > map.size)) {
        return get_any(map, key, out);
    }
    if (found == 0) {
        return SL_E_NOT_FOUND;
    }
    *out = (struct sl_value){data + found, 1u + sl__tail_size[data[found]]};
    return SL_OK;
}
