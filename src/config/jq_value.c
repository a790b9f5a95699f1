/* SPDX-License-Identifier: MIT */
#include "jq_value.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/array.h"

#define EXACT_MAX 9007199254740992.0
#define STAND_IN "$value"
/* jq counts in int. */
#define COUNT_MAX (INT_MAX / 64)

static enum sl_code no_memory(struct sl_error *error) {
    return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a value that jq cannot hold");
}

/* ---- what stands in ---------------------------------------------------------------------------------------------- */

static jv number_list(const uint64_t *numbers, uint32_t count) {
    jv list = jv_array();
    for (uint32_t i = 0; i < count; i++) {
        list = jv_array_append(list, jv_number((double)numbers[i]));
    }
    return list;
}

static jv describe(struct sl_value value, size_t number) {
    enum sl_type type = sl_value_type(value);
    jv object = jv_object_set(jv_object(), jv_string(STAND_IN), jv_number((double)number));
    object = jv_object_set(object, jv_string("type"), jv_string(sl_type_name(type)));
    int64_t whole;
    uint64_t large;
    struct sl_timestamp time;
    struct sl_array array;
    const void *bytes;
    size_t size;
    if (type == SL_TYPE_INT && sl_value_int(value, &whole) == SL_OK) {
        object = jv_object_set(object, jv_string("text"), jv_string_fmt("%lld", (long long)whole));
    } else if (type == SL_TYPE_INT && sl_value_uint(value, &large) == SL_OK) {
        object = jv_object_set(object, jv_string("text"), jv_string_fmt("%llu", (unsigned long long)large));
    } else if (type == SL_TYPE_TIMESTAMP && sl_value_timestamp(value, &time) == SL_OK) {
        object = jv_object_set(object, jv_string("seconds"),
                               jv_number((double)time.seconds + (double)time.nanoseconds / 1e9));
    } else if (type == SL_TYPE_BYTES && sl_value_bytes(value, &bytes, &size) == SL_OK) {
        object = jv_object_set(object, jv_string("size"), jv_number((double)size));
    } else if (type == SL_TYPE_ARRAY && sl_value_array(value, &array) == SL_OK) {
        object = jv_object_set(object, jv_string("shape"), number_list(array.shape, array.dim_count));
    }
    return object;
}

static enum sl_code hide(struct sl_value value, struct sl__jq_hidden *hidden, jv *out, struct sl_error *error) {
    if (!SL_ARRAY_RESERVE(hidden, 1)) {
        *out = jv_null();
        return no_memory(error);
    }
    *out = describe(value, hidden->count);
    hidden->items[hidden->count++] = value;
    return SL_OK;
}

/* ---- to jq ------------------------------------------------------------------------------------------------------- */

static bool is_plain_map(struct sl_value map) {
    struct sl_iter iter;
    struct sl_value key, value;
    if (sl_iter_init(&iter, map) != SL_OK) {
        return false;
    }
    while (sl_iter_next(&iter, &key, &value)) {
        const char *text;
        size_t size;
        if (sl_value_str(key, &text, &size) != SL_OK || size > COUNT_MAX ||
            (size == sizeof STAND_IN - 1 && memcmp(text, STAND_IN, size) == 0)) {
            return false;
        }
    }
    return true;
}

static enum sl_code from_map(struct sl_value map, struct sl__jq_hidden *hidden, jv *out, struct sl_error *error) {
    struct sl_iter iter;
    struct sl_value key, value;
    enum sl_code code = sl_iter_init(&iter, map);
    *out = jv_object();
    while (code == SL_OK && sl_iter_next(&iter, &key, &value)) {
        const char *text = "";
        size_t size = 0;
        jv entry;
        (void)!sl_value_str(key, &text, &size);
        code = sl__jv_from_value(value, hidden, &entry, error);
        *out = jv_object_set(*out, jv_string_sized(text, (int)size), entry);
    }
    return code;
}

static enum sl_code from_list(struct sl_value list, struct sl__jq_hidden *hidden, jv *out, struct sl_error *error) {
    struct sl_iter iter;
    struct sl_value key, value;
    enum sl_code code = sl_iter_init(&iter, list);
    *out = jv_array();
    while (code == SL_OK && sl_iter_next(&iter, &key, &value)) {
        jv entry;
        code = sl__jv_from_value(value, hidden, &entry, error);
        *out = jv_array_append(*out, entry);
    }
    return code;
}

enum sl_code sl__jv_from_value(struct sl_value value, struct sl__jq_hidden *hidden, jv *out, struct sl_error *error) {
    enum sl_type type = sl_value_type(value);
    bool truth;
    double number;
    const char *text;
    size_t size;
    uint32_t count = 0;
    *out = jv_null();
    switch (type) {
    case SL_TYPE_NIL:
        return SL_OK;
    case SL_TYPE_BOOL:
        if (sl_value_bool(value, &truth) == SL_OK) {
            *out = jv_bool(truth);
        }
        return SL_OK;
    case SL_TYPE_INT: {
        int64_t whole;
        if (sl_value_int(value, &whole) == SL_OK && whole >= -(int64_t)EXACT_MAX && whole <= (int64_t)EXACT_MAX) {
            *out = jv_number((double)whole);
            return SL_OK;
        }
        return hide(value, hidden, out, error);
    }
    case SL_TYPE_FLOAT:
        if (sl_value_float(value, &number) == SL_OK) {
            *out = jv_number(number);
        }
        return SL_OK;
    case SL_TYPE_STR:
        if (sl_value_str(value, &text, &size) != SL_OK || size > COUNT_MAX) {
            return sl_error_set(error, SL_E_LIMIT, "a text of %zu bytes is too long for jq: at most %d", value.size,
                                COUNT_MAX);
        }
        *out = jv_string_sized(text, (int)size);
        return SL_OK;
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        if (sl_value_count(value, &count) != SL_OK || count > COUNT_MAX) {
            return sl_error_set(error, SL_E_LIMIT, "a %s of %u entries is too long for jq: at most %d",
                                sl_type_name(type), count, COUNT_MAX);
        }
        if (type == SL_TYPE_LIST) {
            return from_list(value, hidden, out, error);
        }
        return is_plain_map(value) ? from_map(value, hidden, out, error) : hide(value, hidden, out, error);
    case SL_TYPE_NONE:
        return sl_error_set(error, SL_E_INVALID_DATA, "the item is no value");
    default:
        return hide(value, hidden, out, error);
    }
}

/* ---- and back ---------------------------------------------------------------------------------------------------- */

static enum sl_code write_stand_in(jv object, const struct sl__jq_hidden *hidden, struct sl_writer *writer,
                                   struct sl_error *error) {
    jv number = jv_object_get(jv_copy(object), jv_string(STAND_IN));
    double at = jv_get_kind(number) == JV_KIND_NUMBER ? jv_number_value(number) : -1;
    jv_free(number);
    if (at >= 0 && at < (double)hidden->count && at == floor(at)) {
        struct sl_value value = hidden->items[(size_t)at];
        if (jv_equal(jv_copy(object), describe(value, (size_t)at))) {
            sl_write_value(writer, value);
            return SL_OK;
        }
        return sl_error_set(error, SL_E_TYPE,
                            "the program changed the object that stands for a %s: jq can pass such a value on or drop "
                            "it, not change it",
                            sl_type_name(sl_value_type(value)));
    }
    return sl_error_set(error, SL_E_TYPE,
                        "the program made an object with the key \"" STAND_IN
                        "\", which is for what stands in for a value");
}

static enum sl_code write_object(jv object, const struct sl__jq_hidden *hidden, struct sl_writer *writer,
                                 struct sl_error *error) {
    if (jv_object_has(jv_copy(object), jv_string(STAND_IN))) {
        return write_stand_in(object, hidden, writer, error);
    }
    enum sl_code code = SL_OK;
    sl_write_map(writer, (uint32_t)jv_object_length(jv_copy(object)));
    for (int at = jv_object_iter(object); jv_object_iter_valid(object, at) && code == SL_OK && writer->code == SL_OK;
         at = jv_object_iter_next(object, at)) {
        jv key = jv_object_iter_key(object, at), value = jv_object_iter_value(object, at);
        sl_write_strn(writer, jv_string_value(key), (size_t)jv_string_length_bytes(jv_copy(key)));
        code = sl__jv_write(value, hidden, writer, error);
        jv_free(key);
        jv_free(value);
    }
    return code;
}

static void write_number(double number, struct sl_writer *writer) {
    if (number == floor(number) && fabs(number) <= EXACT_MAX && !(number == 0 && signbit(number))) {
        sl_write_int(writer, (int64_t)number);
    } else {
        sl_write_float(writer, number);
    }
}

enum sl_code sl__jv_write(jv value, const struct sl__jq_hidden *hidden, struct sl_writer *writer,
                          struct sl_error *error) {
    enum sl_code code = SL_OK;
    switch (jv_get_kind(value)) {
    case JV_KIND_FALSE:
    case JV_KIND_TRUE:
        sl_write_bool(writer, jv_get_kind(value) == JV_KIND_TRUE);
        break;
    case JV_KIND_NUMBER:
        write_number(jv_number_value(value), writer);
        break;
    case JV_KIND_STRING:
        sl_write_strn(writer, jv_string_value(value), (size_t)jv_string_length_bytes(jv_copy(value)));
        break;
    case JV_KIND_ARRAY: {
        int count = jv_array_length(jv_copy(value));
        sl_write_list(writer, (uint32_t)count);
        /* Once the writer has refused, as past its depth, nothing more is looked at. */
        for (int i = 0; i < count && code == SL_OK && writer->code == SL_OK; i++) {
            jv entry = jv_array_get(jv_copy(value), i);
            code = sl__jv_write(entry, hidden, writer, error);
            jv_free(entry);
        }
        break;
    }
    case JV_KIND_OBJECT:
        code = write_object(value, hidden, writer, error);
        break;
    default:
        sl_write_nil(writer);
    }
    if (code == SL_OK && writer->code != SL_OK) {
        code = sl_error_set(error, writer->code, "what the program gave cannot be written: %s",
                            writer->what != NULL ? writer->what : sl_code_text(writer->code));
    }
    return code;
}
