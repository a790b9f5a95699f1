/* SPDX-License-Identifier: MIT */
/*
 * One order over all values, and a hash that agrees with it.
 *
 * Both walk tokens from the front. The first difference decides: entries are compared as pairs come, and where all common
 * entries are equal the shorter container is smaller. So a comparison never has to look past a container of unequal
 * length, and the stack holds only how many entries are still to come and what to answer at its end.
 *
 * Bytes that are not a value sort before all values and among themselves by their bytes: the order stays total whatever it
 * is given. The same holds for what is nested deeper than any value may be.
 */
#include "wire/ext.h"
#include "wire/token.h"

#include "base/macros.h"

#include <math.h>

enum rank {
    RANK_BROKEN,
    RANK_NIL,
    RANK_BOOL,
    RANK_NUMBER,
    RANK_STR,
    RANK_BYTES,
    RANK_LIST,
    RANK_MAP,
    RANK_TIMESTAMP,
    RANK_ARRAY,
    RANK_REF,
    RANK_MARK
};

/* A token with its extension read. */
struct part {
    enum rank rank;
    struct sl__token token;
    union {
        struct sl_timestamp timestamp;
        struct sl_array array;
        struct sl_ref ref;
        struct sl_mark mark;
    };
    const uint8_t *start; /* of the token */
};

static enum rank rank_of_ext(struct part *part) {
    const struct sl__token *token = &part->token;
    const char *what;
    switch (token->ext_type) {
    case SL__EXT_TIMESTAMP:
        return sl__ext_read_timestamp(token->payload, token->size, &part->timestamp, &what) ? RANK_BROKEN
                                                                                            : RANK_TIMESTAMP;
    case SL__EXT_ARRAY:
        return sl__ext_read_array(token->payload, token->size, &part->array, &what) ? RANK_BROKEN : RANK_ARRAY;
    case SL__EXT_BUFFER_ARRAY:
        return sl__ext_read_buffer_array(token->payload, token->size, &part->array, &what) ? RANK_BROKEN : RANK_ARRAY;
    case SL__EXT_REF:
        return sl__ext_read_ref(token->payload, token->size, &part->ref, &what) ? RANK_BROKEN : RANK_REF;
    case SL__EXT_MARK:
        return sl__ext_read_mark(token->payload, token->size, &part->mark, &what) ? RANK_BROKEN : RANK_MARK;
    default:
        return RANK_BROKEN;
    }
}

/* `outermost`: only a whole value may be a mark. */
static void read_part(const uint8_t **at, const uint8_t *end, bool outermost, struct part *part) {
    static const enum rank ranks[] = {
        [SL__TOKEN_NIL] = RANK_NIL,     [SL__TOKEN_BOOL] = RANK_BOOL,    [SL__TOKEN_INT] = RANK_NUMBER,
        [SL__TOKEN_UINT] = RANK_NUMBER, [SL__TOKEN_FLOAT] = RANK_NUMBER, [SL__TOKEN_STR] = RANK_STR,
        [SL__TOKEN_BYTES] = RANK_BYTES, [SL__TOKEN_LIST] = RANK_LIST,    [SL__TOKEN_MAP] = RANK_MAP,
    };
    part->start = *at;
    if (!sl__token_read(at, end, &part->token)) {
        part->rank = RANK_BROKEN;
    } else {
        part->rank = part->token.kind == SL__TOKEN_EXT ? rank_of_ext(part) : ranks[part->token.kind];
    }
    if (part->rank == RANK_MARK && !outermost) {
        part->rank = RANK_BROKEN;
    }
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_bytes(const void *a, size_t a_size, const void *b, size_t b_size) {
    size_t common = SL_MIN(a_size, b_size);
    int result = common > 0 ? memcmp(a, b, common) : 0;
    return result != 0 ? result : COMPARE(a_size, b_size);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

static int compare_ints(const struct sl__token *a, const struct sl__token *b) {
    if (a->kind != b->kind) {
        return a->kind == SL__TOKEN_UINT ? 1 : -1;
    }
    return a->kind == SL__TOKEN_UINT ? COMPARE(a->natural, b->natural) : COMPARE(a->integer, b->integer);
}

/* The integer part of a float as an int token. False when that does not fit into 64 bits, or is NaN. */
static bool whole_part(double real, struct sl__token *out) {
    if (!(real >= -TWO_63 && real < TWO_64)) {
        return false;
    }
    if (real >= TWO_63) {
        out->kind = SL__TOKEN_UINT;
        out->natural = (uint64_t)real;
    } else {
        out->kind = SL__TOKEN_INT;
        out->integer = (int64_t)real;
    }
    return true;
}

/* Never by converting the int to a double: above 2^53 several ints become the same one, and the order would not be one. */
static int compare_int_float(const struct sl__token *integer, double real) {
    struct sl__token whole;
    if (!whole_part(real, &whole)) {
        return real < 0 ? 1 : -1;
    }
    int result = compare_ints(integer, &whole);
    if (result != 0) {
        return result;
    }
    double fraction = real - trunc(real);
    return COMPARE(0.0, fraction);
}

static int compare_floats(double a, double b) {
    if (isnan(a) || isnan(b)) {
        return (isnan(a) != 0) - (isnan(b) != 0);
    }
    return COMPARE(a, b);
}

static int compare_numbers(const struct sl__token *a, const struct sl__token *b) {
    if (a->kind == SL__TOKEN_FLOAT) {
        return b->kind == SL__TOKEN_FLOAT ? compare_floats(a->real, b->real) : -compare_int_float(b, a->real);
    }
    return b->kind == SL__TOKEN_FLOAT ? compare_int_float(a, b->real) : compare_ints(a, b);
}

/* ---- the rest ----------------------------------------------------------------------------------------------- */

static int compare_arrays(const struct sl_array *a, const struct sl_array *b) {
    int result = COMPARE(a->dtype, b->dtype);
    if (result == 0) {
        result = COMPARE(a->dim_count, b->dim_count);
    }
    for (uint32_t i = 0; result == 0 && i < a->dim_count; i++) {
        result = COMPARE(a->shape[i], b->shape[i]);
    }
    if (result == 0) {
        result = COMPARE(a->buffer_id, b->buffer_id); /* 0, elements in the value, comes first */
    }
    if (result == 0) {
        result = COMPARE(a->buffer_offset, b->buffer_offset);
    }
    if (result == 0 && a->data != NULL) {
        result = compare_bytes(a->data, a->data_size, b->data, b->data_size);
    }
    return result;
}

/* By what they name: the repr of an object is another each time that it changes. */
static int compare_refs(const struct sl_ref *a, const struct sl_ref *b) {
    int result = COMPARE(a->session, b->session);
    if (result == 0) {
        result = COMPARE(a->object, b->object);
    }
    if (result == 0) {
        result = COMPARE(a->worker, b->worker);
    }
    if (result == 0) {
        result = COMPARE(a->generation, b->generation);
    }
    return result != 0 ? result : compare_bytes(a->type_name, a->type_name_size, b->type_name, b->type_name_size);
}

/* Marks but for their payloads, containers but for their entries. */
static int compare_parts(const struct part *a, const struct part *b) {
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    switch (a->rank) {
    case RANK_BOOL:
        return COMPARE(a->token.boolean, b->token.boolean);
    case RANK_NUMBER:
        return compare_numbers(&a->token, &b->token);
    case RANK_STR:
    case RANK_BYTES:
        return compare_bytes(a->token.payload, a->token.size, b->token.payload, b->token.size);
    case RANK_TIMESTAMP: {
        int result = COMPARE(a->timestamp.seconds, b->timestamp.seconds);
        return result != 0 ? result : COMPARE(a->timestamp.nanoseconds, b->timestamp.nanoseconds);
    }
    case RANK_ARRAY:
        return compare_arrays(&a->array, &b->array);
    case RANK_REF:
        return compare_refs(&a->ref, &b->ref);
    case RANK_MARK: {
        int result = COMPARE(a->mark.kind, b->mark.kind);
        return result != 0 ? result : compare_bytes(a->mark.text, a->mark.text_size, b->mark.text, b->mark.text_size);
    }
    default:
        return 0;
    }
}

struct level {
    uint64_t left; /* entries that both still have */
    int at_end;    /* the answer when those are equal */
};

int sl_value_compare(struct sl_value a, struct sl_value b) {
    struct level stack[SL_DEPTH_MAX_LIMIT];
    uint32_t depth = 0;
    struct level level = {1, 0};
    struct part x, y;
    const uint8_t *x_at = a.data, *x_end = a.size > 0 ? a.data + a.size : a.data;
    const uint8_t *y_at = b.data, *y_end = b.size > 0 ? b.data + b.size : b.data;
    for (bool outermost = true;; outermost = false) {
        level.left--;
        read_part(&x_at, x_end, outermost, &x);
        read_part(&y_at, y_end, outermost, &y);
        int result = compare_parts(&x, &y);
        if (result != 0) {
            return result;
        }
        if (x.rank == RANK_BROKEN || (depth == SL_DEPTH_MAX_LIMIT && (x.rank == RANK_LIST || x.rank == RANK_MAP))) {
            result = compare_bytes(x.start, (size_t)(x_end - x.start), y.start, (size_t)(y_end - y.start));
            /* Alike to the last byte from here on, but perhaps in containers that promised more or fewer entries. */
            for (; result == 0; level = stack[--depth]) {
                result = level.at_end;
                if (depth == 0) {
                    break;
                }
            }
            return result;
        }
        if (x.rank == RANK_MARK && x.mark.payload.size > 0) {
            /* A mark is a whole value; compare what is in it instead, and stay in this loop. */
            x_at = x.mark.payload.data;
            x_end = x_at + x.mark.payload.size;
            y_at = y.mark.payload.data;
            y_end = y_at + y.mark.payload.size;
            level.left++;
        } else if (x.rank == RANK_LIST || x.rank == RANK_MAP) {
            stack[depth++] = level;
            level.left = (x.rank == RANK_MAP ? 2 : 1) * (uint64_t)SL_MIN(x.token.count, y.token.count);
            level.at_end = COMPARE(x.token.count, y.token.count);
        }
        while (level.left == 0) {
            if (level.at_end != 0 || depth == 0) {
                return level.at_end;
            }
            level = stack[--depth];
        }
    }
}

bool sl_value_equal(struct sl_value a, struct sl_value b) {
    return sl_value_compare(a, b) == 0;
}

/* ---- hash --------------------------------------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 wide;

/* Multiplying by an odd number is a bijection and folding the halves brings the high bits, which mix best, down. */
static uint64_t mix(uint64_t hash, uint64_t word) {
    wide product = (wide)(hash ^ word ^ UINT64_C(0x8f1bbcdcb7a56463)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint64_t)product ^ (uint64_t)(product >> 64) ^ (hash << 23 | hash >> 41);
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    uint64_t word;
    hash = mix(hash, size);
    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        hash = mix(hash, word);
    }
    if (size > 0) {
        word = 0;
        memcpy(&word, at, size);
        hash = mix(hash, word);
    }
    return hash;
}

/* Equal numbers hash alike: a float that is a whole number of 64 bits is hashed as that int. */
static uint64_t mix_number(uint64_t hash, struct sl__token number) {
    struct sl__token whole;
    if (number.kind == SL__TOKEN_FLOAT) {
        double real = number.real;
        if (isnan(real)) {
            return mix(hash, 3);
        }
        if (real != trunc(real) || !whole_part(real, &whole)) {
            uint64_t bits;
            memcpy(&bits, &real, sizeof(bits));
            return mix(mix(hash, 2), bits);
        }
        number = whole;
    }
    return mix(mix(hash, number.kind == SL__TOKEN_UINT), number.natural);
}

static uint64_t mix_part(uint64_t hash, const struct part *part) {
    hash = mix(hash, part->rank);
    switch (part->rank) {
    case RANK_BOOL:
        return mix(hash, part->token.boolean);
    case RANK_NUMBER:
        return mix_number(hash, part->token);
    case RANK_STR:
    case RANK_BYTES:
        return mix_bytes(hash, part->token.payload, part->token.size);
    case RANK_LIST:
    case RANK_MAP:
        return mix(hash, part->token.count);
    case RANK_TIMESTAMP:
        return mix(mix(hash, (uint64_t)part->timestamp.seconds), part->timestamp.nanoseconds);
    case RANK_ARRAY:
        hash = mix(mix(hash, part->array.dtype), part->array.dim_count);
        hash = mix_bytes(hash, part->array.shape, sizeof(part->array.shape));
        hash = mix(mix(hash, part->array.buffer_id), part->array.buffer_offset);
        return part->array.data != NULL ? mix_bytes(hash, part->array.data, part->array.data_size) : hash;
    case RANK_REF:
        hash = mix(mix(hash, part->ref.session), part->ref.object);
        hash = mix(mix(hash, part->ref.worker), part->ref.generation);
        return mix_bytes(hash, part->ref.type_name, part->ref.type_name_size);
    case RANK_MARK:
        return mix_bytes(mix(hash, part->mark.kind), part->mark.text, part->mark.text_size);
    default:
        return hash;
    }
}

uint64_t sl_value_hash(struct sl_value value) {
    const uint8_t *at = value.data;
    const uint8_t *end = value.size > 0 ? value.data + value.size : value.data;
    uint64_t hash = UINT64_C(0x243f6a8885a308d3);
    struct part part;
    bool outermost = true;
    for (uint64_t pending = 1; pending > 0; pending--) {
        read_part(&at, end, outermost, &part);
        outermost = false;
        if (part.rank == RANK_BROKEN) {
            return mix_bytes(hash, part.start, part.start != NULL ? (size_t)(end - part.start) : 0);
        }
        hash = mix_part(hash, &part);
        if (part.rank == RANK_LIST) {
            pending += part.token.count;
        } else if (part.rank == RANK_MAP) {
            pending += 2 * (uint64_t)part.token.count;
        } else if (part.rank == RANK_MARK && part.mark.payload.size > 0) {
            at = part.mark.payload.data;
            end = at + part.mark.payload.size;
            pending++;
        }
    }
    return hash;
}
