/* SPDX-License-Identifier: MIT */
#include "store/key.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "wire/ext.h"
#include "wire/token.h"
#include "wire/utf8.h"
#include "wire/writer.h"

enum tag {
    TAG_END = 0x00,
    TAG_NIL = 0x08,
    TAG_FALSE = 0x10,
    TAG_TRUE = 0x11,
    TAG_NUMBER = 0x18,
    TAG_STR = 0x20,
    TAG_BYTES = 0x28,
    TAG_LIST = 0x30,
    TAG_TIMESTAMP = 0x40,
    TAG_AFTER = 0xff /* above what can follow a whole key */
};

#define TWO_53 9007199254740992.0
#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0
#define SIGN ((uint64_t)1 << 63)

SL_STATIC_ASSERT(SL_STORE_KEY_BYTES_MAX < UINT16_MAX, "sizes of encoded keys are kept in 16 bits");

/* Encoded so far. Past the end nothing is written but `size` goes on, so that the error can say how long the key would be. */
struct out {
    uint8_t *bytes;
    size_t size;
};

static void put(struct out *out, const void *bytes, size_t size) {
    if (out->size + size <= SL_STORE_KEY_BYTES_MAX) {
        memcpy(out->bytes + out->size, bytes, size);
    }
    out->size += size;
}

static void put_byte(struct out *out, uint8_t byte) {
    put(out, &byte, 1);
}

static void put_be64(struct out *out, uint64_t word) {
    word = __builtin_bswap64(word);
    put(out, &word, sizeof(word));
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* Ints in this range have a rest; doubles outside of it are no 64-bit ints, and below 2^53 every int is a double. */
static bool has_rest(double real) {
    return real >= -TWO_63 && real < TWO_64 && (real >= TWO_53 || real <= -TWO_53);
}

/* Negative doubles sort the wrong way round, and after the positive ones: turn all their bits, and the sign of the others. */
static uint64_t sortable_of(double real) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof(bits));
    return (bits & SIGN) != 0 ? ~bits : bits | SIGN;
}

static double from_sortable(uint64_t word) {
    uint64_t bits = (word & SIGN) != 0 ? word & ~SIGN : ~word;
    double real;
    memcpy(&real, &bits, sizeof(real));
    return real;
}

static void put_number(struct out *out, double floor, uint64_t rest) {
    SL_ASSERT(rest <= UINT16_MAX);
    uint8_t bytes[2] = {(uint8_t)(rest >> 8), (uint8_t)rest};
    put_byte(out, TAG_NUMBER);
    put_be64(out, sortable_of(floor));
    if (has_rest(floor)) {
        put(out, bytes, sizeof(bytes));
    }
}

/* Bits of a magnitude that a double has no room for. */
static unsigned surplus_bits(uint64_t magnitude) {
    unsigned bits = magnitude == 0 ? 0 : 64 - (unsigned)__builtin_clzll(magnitude);
    return bits > 53 ? bits - 53 : 0;
}

static void put_natural(struct out *out, uint64_t natural) {
    uint64_t rest = natural & (((uint64_t)1 << surplus_bits(natural)) - 1);
    put_number(out, (double)(natural - rest), rest);
}

/*
 * Below zero the double that is not above lies further away from zero. It is a multiple of 2^surplus as well, or the power of two at
 * the end of that range: exact either way.
 */
static void put_negative(struct out *out, int64_t integer) {
    uint64_t magnitude = -(uint64_t)integer;
    uint64_t rest = (uint64_t)integer & (((uint64_t)1 << surplus_bits(magnitude)) - 1);
    put_number(out, -(double)(magnitude + rest), rest);
}

static void put_float(struct out *out, double real) {
    if (isnan(real)) {
        real = (double)NAN; /* one NaN, with its sign off: after every number */
        real = copysign(real, 1.0);
    } else if (real == 0) {
        real = 0; /* not -0.0 */
    }
    put_number(out, real, 0);
}

/* ---- encoding --------------------------------------------------------------------------------------------------- */

static void put_text(struct out *out, enum tag tag, const uint8_t *text, size_t size) {
    put_byte(out, (uint8_t)tag);
    while (size > 0 && out->size <= SL_STORE_KEY_BYTES_MAX) {
        const uint8_t *nul = memchr(text, 0, size);
        size_t plain = nul != NULL ? (size_t)(nul - text) : size;
        put(out, text, plain);
        if (nul != NULL) {
            put(out, "\x00\xff", 2);
            plain++;
        }
        text += plain;
        size -= plain;
    }
    out->size += size; /* what was not looked at because it is too long anyway */
    put_byte(out, TAG_END);
}

static enum sl_code refuse(struct sl_error *error, const char *what) {
    return sl_error_set(error, SL_E_TYPE,
                        "%s cannot be a key; keys are nil, bool, int, float, str, bytes, timestamp, or lists of these",
                        what);
}

static enum sl_code put_ext(struct out *out, const struct sl__token *token, struct sl_error *error) {
    struct sl_timestamp timestamp;
    const char *what;
    if (token->ext_type != SL__EXT_TIMESTAMP) {
        return refuse(error, token->ext_type == SL__EXT_REF ? "a ref" : "an array or a mark");
    }
    if (sl__ext_read_timestamp(token->payload, token->size, &timestamp, &what) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_DATA, "a key's timestamp is malformed: %s", what);
    }
    uint32_t nanoseconds = __builtin_bswap32(timestamp.nanoseconds);
    put_byte(out, TAG_TIMESTAMP);
    put_be64(out, (uint64_t)timestamp.seconds ^ SIGN);
    put(out, &nanoseconds, sizeof(nanoseconds));
    return SL_OK;
}

static enum sl_code put_token(struct out *out, const struct sl__token *token, struct sl_error *error) {
    switch (token->kind) {
    case SL__TOKEN_NIL:
        put_byte(out, TAG_NIL);
        return SL_OK;
    case SL__TOKEN_BOOL:
        put_byte(out, token->boolean ? TAG_TRUE : TAG_FALSE);
        return SL_OK;
    case SL__TOKEN_INT:
        if (token->integer < 0) {
            put_negative(out, token->integer);
        } else {
            put_natural(out, (uint64_t)token->integer);
        }
        return SL_OK;
    case SL__TOKEN_UINT:
        put_natural(out, token->natural);
        return SL_OK;
    case SL__TOKEN_FLOAT:
        put_float(out, token->real);
        return SL_OK;
    case SL__TOKEN_STR:
        if (!sl__utf8_valid(token->payload, token->size)) {
            return sl_error_set(error, SL_E_INVALID_UTF8, "a key's text is not valid UTF-8; use bytes for such keys");
        }
        put_text(out, TAG_STR, token->payload, token->size);
        return SL_OK;
    case SL__TOKEN_BYTES:
        put_text(out, TAG_BYTES, token->payload, token->size);
        return SL_OK;
    case SL__TOKEN_EXT:
        return put_ext(out, token, error);
    case SL__TOKEN_MAP:
        return refuse(error, "a map");
    default:
        SL_UNREACHABLE();
        return SL_E_INVALID_DATA;
    }
}

/* Encodes one value and says where it ended; the end of an outermost list is left to the caller, who may want only a prefix. */
static enum sl_code encode(struct sl_value key, uint8_t *bytes, size_t *size, bool *is_list, struct sl_error *error) {
    const uint8_t *at = key.data;
    const uint8_t *end = key.size > 0 ? key.data + key.size : key.data;
    struct out out = {bytes, 0};
    uint32_t left[SL_STORE_KEY_DEPTH_MAX]; /* entries to come of each list that is open */
    uint32_t depth = 0;
    *is_list = false;
    do {
        struct sl__token token;
        if (!sl__token_read(&at, end, &token)) {
            return sl_error_set(error, key.size == 0 ? SL_E_INVALID_ARGUMENT : SL_E_INVALID_DATA,
                                key.size == 0 ? "the key is no value; expected a scalar or a list of at most %d bytes"
                                              : "the key's bytes are not a value (a key takes at most %d bytes)",
                                SL_STORE_KEY_BYTES_MAX);
        }
        if (depth > 0) {
            left[depth - 1]--;
        }
        if (token.kind == SL__TOKEN_LIST) {
            if (depth == SL_STORE_KEY_DEPTH_MAX) {
                return sl_error_set(error, SL_E_LIMIT, "the key has lists in lists more than %d deep",
                                    SL_STORE_KEY_DEPTH_MAX);
            }
            *is_list |= depth == 0;
            put_byte(&out, TAG_LIST);
            left[depth++] = token.count;
        } else {
            enum sl_code code = put_token(&out, &token, error);
            if (code != SL_OK) {
                return code;
            }
        }
        while (depth > 0 && left[depth - 1] == 0) {
            if (--depth > 0) {
                put_byte(&out, TAG_END);
            }
        }
        if (out.size > SL_STORE_KEY_BYTES_MAX) {
            break; /* the rest can only make it longer */
        }
    } while (depth > 0);
    size_t whole = out.size + (*is_list ? 1 : 0);
    if (whole > SL_STORE_KEY_BYTES_MAX) {
        return sl_error_set(
            error, SL_E_LIMIT,
            "the key takes %s%zu bytes as the store encodes it, and at most %d are allowed; use a hash of "
            "it as the key and keep it in the value",
            depth > 0 ? "at least " : "", whole, SL_STORE_KEY_BYTES_MAX);
    }
    if (at != end) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the key's bytes hold more than one value");
    }
    *size = out.size;
    return SL_OK;
}

#define SHORT_LEAD 0xa0 /* of a str in MessagePack, with its size in the lower bits */
#define SHORT_MAX 31

/* What most keys are, in one go: a short str without NULs. False: it is none, or not a sound one. */
static bool encode_short(struct sl_value key, uint8_t *out, size_t *size) {
    size_t text_size = key.size - 1;
    if (key.size == 0 || text_size > SHORT_MAX || key.data[0] != (SHORT_LEAD | text_size) ||
        memchr(key.data + 1, 0, text_size) != NULL || !sl__utf8_valid(key.data + 1, text_size)) {
        return false;
    }
    out[0] = TAG_STR;
    memcpy(out + 1, key.data + 1, text_size);
    out[1 + text_size] = TAG_END;
    *size = text_size + 2;
    return true;
}

enum sl_code sl__key_encode(struct sl_value key, uint8_t *out, size_t *size, struct sl_error *error) {
    bool is_list;
    if (SL_LIKELY(encode_short(key, out, size))) {
        return SL_OK;
    }
    enum sl_code code = encode(key, out, size, &is_list, error);
    if (code == SL_OK && is_list) {
        out[(*size)++] = TAG_END;
    }
    return code;
}

/* ---- decoding --------------------------------------------------------------------------------------------------- */

static uint64_t load_be64(const uint8_t *at) {
    return sl__load_be64(at);
}

static bool decode_number(const uint8_t **at, const uint8_t *end, struct sl_writer *writer) {
    if (end - *at < 8) {
        return false;
    }
    double real = from_sortable(load_be64(*at));
    *at += 8;
    if (has_rest(real)) {
        if (end - *at < 2) {
            return false;
        }
        uint64_t rest = (uint64_t)(*at)[0] << 8 | (*at)[1];
        *at += 2;
        if (writer == NULL) {
            return true;
        }
        if (real > 0) {
            sl__put_uint(writer, (uint64_t)real + rest);
        } else {
            sl__put_int(writer, (int64_t)real + (int64_t)rest);
        }
    } else if (writer == NULL) {
        return true;
    } else if (real > -TWO_53 && real < TWO_53 && real == trunc(real)) {
        sl__put_int(writer, (int64_t)real);
    } else {
        sl__put_float(writer, real);
    }
    return true;
}

/* Bytes of an encoded text up to its end; `*nuls` of those stand for NULs. */
static const uint8_t *text_end(const uint8_t *at, const uint8_t *end, size_t *nuls) {
    *nuls = 0;
    while (at < end) {
        const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
        if (nul == NULL) {
            return NULL;
        }
        if (nul + 1 == end || nul[1] != 0xff) {
            return nul;
        }
        (*nuls)++;
        at = nul + 2;
    }
    return NULL;
}

static bool decode_text(const uint8_t **at, const uint8_t *end, bool is_str, struct sl_writer *writer) {
    size_t nuls;
    const uint8_t *stop = text_end(*at, end, &nuls);
    if (stop == NULL) {
        return false;
    }
    const uint8_t *from = *at;
    size_t encoded = (size_t)(stop - from);
    *at = stop + 1;
    if (writer == NULL) {
        return true;
    }
    if (encoded > SL_STORE_KEY_BYTES_MAX) {
        return false;
    }
    uint8_t plain[SL_STORE_KEY_BYTES_MAX];
    size_t size = encoded;
    if (nuls > 0) {
        size = 0;
        for (const uint8_t *byte = from; byte < stop; byte++) {
            plain[size++] = *byte;
            byte += *byte == 0;
        }
        from = plain;
    }
    if (!is_str) {
        sl__put_bytes(writer, from, size);
        return true;
    }
    sl__put_str(writer, from, size);
    return sl__utf8_valid(from, size);
}

static bool decode_timestamp(const uint8_t **at, const uint8_t *end, struct sl_writer *writer) {
    if (end - *at < 12) {
        return false;
    }
    struct sl_timestamp timestamp = {(int64_t)(load_be64(*at) ^ SIGN), sl__load_be32(*at + 8)};
    *at += 12;
    if (timestamp.nanoseconds > SL__NANOSECONDS_MAX) {
        return false;
    }
    if (writer != NULL) {
        sl__put_timestamp(writer, timestamp);
    }
    return true;
}

static bool decode_scalar(const uint8_t **at, const uint8_t *end, struct sl_writer *writer) {
    uint8_t tag = *(*at)++;
    switch (tag) {
    case TAG_NIL:
        if (writer != NULL) {
            sl__put_nil(writer);
        }
        return true;
    case TAG_FALSE:
    case TAG_TRUE:
        if (writer != NULL) {
            sl__put_bool(writer, tag == TAG_TRUE);
        }
        return true;
    case TAG_NUMBER:
        return decode_number(at, end, writer);
    case TAG_STR:
    case TAG_BYTES:
        return decode_text(at, end, tag == TAG_STR, writer);
    case TAG_TIMESTAMP:
        return decode_timestamp(at, end, writer);
    default:
        return false;
    }
}

/* Entries of the list whose first one stands at `at`: MessagePack wants their number first. */
static bool count_entries(const uint8_t *at, const uint8_t *end, uint32_t *count) {
    uint32_t depth = 1;
    *count = 0;
    while (at < end) {
        if (*at == TAG_END) {
            at++;
            if (--depth == 0) {
                return true;
            }
            continue;
        }
        *count += depth == 1;
        if (*at == TAG_LIST) {
            at++;
            depth++;
        } else if (!decode_scalar(&at, end, NULL)) {
            return false;
        }
    }
    return false;
}

/* `writer` NULL: only looks for the end. */
static bool decode(const uint8_t **at, const uint8_t *end, struct sl_writer *writer) {
    uint32_t depth = 0;
    do {
        if (*at >= end) {
            return false;
        }
        if (**at == TAG_END && depth > 0) {
            (*at)++;
            depth--;
        } else if (**at == TAG_LIST) {
            uint32_t count;
            (*at)++;
            if (++depth > SL_STORE_KEY_DEPTH_MAX) {
                return false;
            }
            if (writer != NULL) {
                if (!count_entries(*at, end, &count)) {
                    return false;
                }
                sl__put_list(writer, count);
            }
        } else if (!decode_scalar(at, end, writer)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

bool sl__key_decode(const uint8_t *encoded, size_t size, struct sl_writer *writer) {
    const uint8_t *at = encoded;
    return decode(&at, encoded + size, writer) && at == encoded + size && writer->code == SL_OK;
}

size_t sl__key_size(const uint8_t *encoded, size_t size) {
    const uint8_t *at = encoded;
    return decode(&at, encoded + size, NULL) ? (size_t)(at - encoded) : 0;
}

/* ---- ranges ----------------------------------------------------------------------------------------------------- */

static int compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    int result = memcmp(a, b, SL_MIN(a_size, b_size));
    return result != 0 ? result : (a_size > b_size) - (a_size < b_size);
}

/* The first bytes after all that begin with these: there always are some, since no tag is 0xff. */
static void make_after_prefix(uint8_t *bytes, uint16_t *size) {
    while (bytes[*size - 1] == 0xff) {
        (*size)--;
        SL_ASSERT(*size > 0);
    }
    bytes[*size - 1]++;
}

enum sl_code sl__key_prefix(struct sl_value prefix, struct sl__key_range *range, struct sl_error *error) {
    size_t size;
    bool is_list;
    enum sl_type type = sl_value_type(prefix);
    if (type != SL_TYPE_STR && type != SL_TYPE_BYTES && type != SL_TYPE_LIST) {
        return sl_error_set(error, SL_E_TYPE, "a prefix is a str, bytes or a list, not %s", sl_type_name(type));
    }
    enum sl_code code = encode(prefix, range->low, &size, &is_list, error);
    if (code != SL_OK) {
        return code;
    }
    range->empty = false;
    if (!is_list) {
        size--; /* its end */
    }
    range->low_size = (uint16_t)size;
    memcpy(range->high, range->low, size);
    range->high_size = (uint16_t)size;
    if (is_list) {
        /* Not simply what begins with these bytes: after a str entry, 0x00 0xff would be a longer one. */
        range->high[range->high_size++] = TAG_AFTER;
    } else {
        make_after_prefix(range->high, &range->high_size);
    }
    return SL_OK;
}

static void raise_low(struct sl__key_range *range, const uint8_t *bytes, size_t size) {
    if (range->low_size == 0 || compare(bytes, size, range->low, range->low_size) > 0) {
        memcpy(range->low, bytes, size);
        range->low_size = (uint16_t)size;
    }
}

static void lower_high(struct sl__key_range *range, const uint8_t *bytes, size_t size) {
    if (range->high_size == 0 || compare(bytes, size, range->high, range->high_size) < 0) {
        memcpy(range->high, bytes, size);
        range->high_size = (uint16_t)size;
    }
}

enum sl_code sl__key_range(const struct sl_scan_options *options, struct sl__key_range *range, struct sl_error *error) {
    uint8_t bytes[SL_STORE_KEY_BYTES_MAX + 1];
    size_t size;
    enum sl_code code = SL_OK;
    range->low_size = range->high_size = 0;
    range->empty = false;
    if (options->prefix.size > 0) {
        code = sl__key_prefix(options->prefix, range, error);
    }
    if (code == SL_OK && options->from.size > 0) {
        code = sl__key_encode(options->from, bytes, &size, error);
        if (code == SL_OK) {
            raise_low(range, bytes, size);
        }
    }
    if (code == SL_OK && options->to.size > 0) {
        code = sl__key_encode(options->to, bytes, &size, error);
        if (code == SL_OK) {
            if (options->to_included) {
                bytes[size++] = 0x01; /* after the key and its rows in a bag, whose numbers begin with 0x00 */
            }
            lower_high(range, bytes, size);
        }
    }
    if (code == SL_OK && options->key.size > 0) {
        code = sl__key_encode(options->key, bytes, &size, error);
        if (code == SL_OK) {
            raise_low(range, bytes, size);
            bytes[size++] = 0x01;
            lower_high(range, bytes, size);
        }
    }
    if (code == SL_OK && range->low_size > 0 && range->high_size > 0) {
        range->empty = compare(range->low, range->low_size, range->high, range->high_size) >= 0;
    }
    return code;
}

bool sl__key_within(const struct sl__key_range *range, const uint8_t *encoded, size_t size) {
    return !range->empty && (range->low_size == 0 || compare(encoded, size, range->low, range->low_size) >= 0) &&
           (range->high_size == 0 || compare(encoded, size, range->high, range->high_size) < 0);
}
