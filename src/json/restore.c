/* SPDX-License-Identifier: MIT */
/*
 * The other way round from printing with SL_JSON_LOSSLESS. An object of another form than those is a map like any other; one that has the
 * form, but says nothing, is an error: it was meant.
 */
#include "restore.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "wire/ext.h"
#include "wire/writer.h"

struct text_in {
    const char *bytes;
    size_t size;
};

static struct text_in text_of(const json_t *json) {
    return (struct text_in){json_string_value(json), json_string_length(json)};
}

static bool is_text(struct text_in text, const char *wanted) {
    return text.size == strlen(wanted) && memcmp(text.bytes, wanted, text.size) == 0;
}

/* ---- base64 ----------------------------------------------------------------------------------------------------- */

static int sextet_of(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* With padding, and no bits left over: one text for each sequence of bytes. On the heap; NULL with the writer failed. */
static uint8_t *read_base64(struct sl_writer *writer, struct text_in text, size_t *size) {
    size_t padding = 0;
    while (padding < 2 && padding < text.size && text.bytes[text.size - 1 - padding] == '=') {
        padding++;
    }
    size_t digits = text.size - padding, count = digits / 4 * 3 + (digits % 4 == 0 ? 0 : digits % 4 - 1);
    uint8_t *bytes = malloc(SL_MAX(count, (size_t)1));
    if (bytes == NULL) {
        sl__writer_fail(writer, SL_E_OUT_OF_MEMORY, "no memory for bytes that are written in base64");
        return NULL;
    }
    uint32_t word = 0;
    bool sound = text.size % 4 == 0 && digits % 4 != 1;
    *size = 0;
    for (size_t i = 0; sound && i < digits; i++) {
        int sextet = sextet_of(text.bytes[i]);
        sound = sextet >= 0;
        word = word << 6 | (uint32_t)(sextet & 63);
        if (i % 4 != 0) {
            unsigned left = 6 - 2 * (unsigned)(i % 4); /* bits of the next byte */
            bytes[(*size)++] = (uint8_t)(word >> left);
            sound = sound && (i + 1 < digits || (word & ((1u << left) - 1)) == 0);
        }
    }
    if (!sound) {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "what stands for bytes is not base64 with padding");
        free(bytes);
        return NULL;
    }
    return bytes;
}

static void restore_bytes(struct sl_writer *writer, struct text_in text) {
    size_t size;
    uint8_t *bytes = read_base64(writer, text, &size);
    if (bytes != NULL) {
        sl_write_bytes(writer, bytes, size);
    }
    free(bytes);
}

/* ---- numbers and times ------------------------------------------------------------------------------------------ */

static bool read_digits(const char *at, size_t count, uint32_t *number) {
    *number = 0;
    for (size_t i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return false;
        }
        *number = *number * 10 + (uint32_t)(at[i] - '0');
    }
    return true;
}

static void restore_uint(struct sl_writer *writer, struct text_in text) {
    uint64_t number = 0;
    bool sound = text.size > 0;
    for (size_t i = 0; sound && i < text.size; i++) {
        uint32_t digit;
        sound = read_digits(text.bytes + i, 1, &digit) && !__builtin_mul_overflow(number, UINT64_C(10), &number) &&
                !__builtin_add_overflow(number, digit, &number);
    }
    if (sound) {
        sl_write_uint(writer, number);
    } else {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "a \"$uint\" is no number from 0 to 2^64-1");
    }
}

static void restore_float(struct sl_writer *writer, struct text_in text) {
    if (is_text(text, "nan")) {
        sl_write_float(writer, (double)NAN);
    } else if (is_text(text, "inf")) {
        sl_write_float(writer, (double)INFINITY);
    } else if (is_text(text, "-inf")) {
        sl_write_float(writer, -(double)INFINITY);
    } else {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "a \"$float\" is none of \"nan\", \"inf\" and \"-inf\"");
    }
}

/* Days from 1970-01-01 on. Years begin in March, as in print.c. */
static int64_t day_number(uint32_t year, uint32_t month, uint32_t day) {
    int64_t shifted_year = (int64_t)year - (month <= 2);
    int64_t era = (shifted_year >= 0 ? shifted_year : shifted_year - 399) / 400;
    int64_t year_of_era = shifted_year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static uint32_t days_of(uint32_t year, uint32_t month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leaps ? 1u : 0u);
}

/* 2026-01-31T12:00:00.5Z: up to nine digits of the second, and always UTC. */
static bool read_time(struct text_in text, struct sl_timestamp *timestamp) {
    static const char form[] = "0000-00-00T00:00:00";
    enum { FORM_SIZE = sizeof form - 1, FRACTION_MAX = 9 };
    uint32_t year, month, day, hour, minute, second, fraction = 0;
    const char *at = text.bytes;
    if (text.size < FORM_SIZE + 1 || text.size > FORM_SIZE + 1 + FRACTION_MAX + 1 || at[text.size - 1] != 'Z') {
        return false;
    }
    for (size_t i = 0; i < FORM_SIZE; i++) {
        if (form[i] != '0' && at[i] != form[i]) {
            return false;
        }
    }
    size_t fraction_size = text.size - FORM_SIZE - 1;
    if (fraction_size == 1 || (fraction_size > 1 && at[FORM_SIZE] != '.')) {
        return false;
    }
    if (fraction_size > 1) {
        fraction_size--;
        if (!read_digits(at + FORM_SIZE + 1, fraction_size, &fraction)) {
            return false;
        }
        for (; fraction_size < FRACTION_MAX; fraction_size++) {
            fraction *= 10;
        }
    }
    if (!read_digits(at, 4, &year) || !read_digits(at + 5, 2, &month) || !read_digits(at + 8, 2, &day) ||
        !read_digits(at + 11, 2, &hour) || !read_digits(at + 14, 2, &minute) || !read_digits(at + 17, 2, &second) ||
        month < 1 || month > 12 || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    timestamp->seconds = day_number(year, month, day) * 86400 + (int64_t)(hour * 3600 + minute * 60 + second);
    timestamp->nanoseconds = fraction;
    return true;
}

static bool restore_timestamp(struct sl_writer *writer, const json_t *json) {
    struct sl_timestamp timestamp = {0, 0};
    const json_t *seconds = json_object_get(json, "seconds"), *nanoseconds = json_object_get(json, "nanoseconds");
    bool sound;
    if (json_is_string(json)) {
        sound = read_time(text_of(json), &timestamp);
    } else if (json_object_size(json) == 2 && json_is_integer(seconds) && json_is_integer(nanoseconds)) {
        json_int_t rest = json_integer_value(nanoseconds);
        sound = rest >= 0 && rest <= (json_int_t)SL__NANOSECONDS_MAX;
        timestamp = (struct sl_timestamp){json_integer_value(seconds), (uint32_t)rest};
    } else {
        return false;
    }
    if (sound) {
        sl_write_timestamp(writer, timestamp);
    } else {
        sl__writer_fail(writer, SL_E_INVALID_DATA,
                        "a \"$timestamp\" is no time; expected one like 2026-01-31T12:00:00.5Z");
    }
    return true;
}

/* ---- arrays, refs and maps -------------------------------------------------------------------------------------- */

static bool dtype_of(struct text_in name, enum sl_dtype *dtype) {
    for (int number = 0; number <= UINT8_MAX; number++) {
        const char *known = sl__dtype_name((enum sl_dtype)number);
        if (known != NULL && is_text(name, known)) {
            *dtype = (enum sl_dtype)number;
            return true;
        }
    }
    return false;
}

static bool read_shape(const json_t *json, uint64_t *shape) {
    size_t index;
    const json_t *entry;
    if (json_array_size(json) > SL_ARRAY_DIM_MAX) {
        return false;
    }
    json_array_foreach(json, index, entry) {
        if (!json_is_integer(entry) || json_integer_value(entry) < 0) {
            return false;
        }
        shape[index] = (uint64_t)json_integer_value(entry);
    }
    return true;
}

static bool restore_array(struct sl_writer *writer, const json_t *json) {
    const json_t *type = json_object_get(json, "dtype"), *dims = json_object_get(json, "shape"),
                 *data = json_object_get(json, "data");
    enum sl_dtype dtype = SL_DTYPE_U8;
    uint64_t shape[SL_ARRAY_DIM_MAX], wanted = 0;
    size_t size;
    if (json_object_size(json) != 3 || !json_is_string(type) || !json_is_array(dims) || !json_is_string(data)) {
        return false;
    }
    uint32_t dim_count = (uint32_t)json_array_size(dims);
    if (!dtype_of(text_of(type), &dtype) || !read_shape(dims, shape) ||
        !sl__array_size(dtype, dim_count, shape, &wanted)) {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "an \"$array\" has a dtype or a shape that no array has");
        return true;
    }
    uint8_t *bytes = read_base64(writer, text_of(data), &size);
    if (bytes != NULL && size == wanted) {
        sl_write_array(writer, dtype, dim_count, shape, bytes);
    } else if (bytes != NULL) {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "an \"$array\" has more or less data than its shape needs");
    }
    free(bytes);
    return true;
}

static bool restore_ref(struct sl_writer *writer, const json_t *json) {
    static const char *const names[] = {"session", "object", "worker", "generation"};
    uint64_t numbers[SL_COUNT_OF(names)];
    const json_t *type = json_object_get(json, "type"), *repr = json_object_get(json, "repr");
    if (!json_is_string(type) || (repr != NULL && !json_is_string(repr)) ||
        json_object_size(json) != SL_COUNT_OF(names) + 1 + (repr != NULL)) {
        return false;
    }
    for (size_t i = 0; i < SL_COUNT_OF(names); i++) {
        const json_t *number = json_object_get(json, names[i]);
        if (!json_is_integer(number)) {
            return false;
        }
        numbers[i] = (uint64_t)json_integer_value(number);
        if (json_integer_value(number) < 0 || (i >= 2 && numbers[i] > UINT32_MAX)) {
            sl__writer_fail(writer, SL_E_INVALID_DATA, "a \"$ref\" has a number that no ref has");
            return true;
        }
    }
    struct sl_ref ref = {.session = numbers[0],
                         .object = numbers[1],
                         .worker = (uint32_t)numbers[2],
                         .generation = (uint32_t)numbers[3],
                         .type_name = json_string_value(type),
                         .type_name_size = json_string_length(type),
                         .repr = json_string_value(repr),
                         .repr_size = json_string_length(repr)};
    sl_write_ref(writer, &ref);
    return true;
}

static bool restore_map(struct sl_writer *writer, const json_t *json) {
    size_t index;
    const json_t *pair;
    json_array_foreach(json, index, pair) {
        if (!json_is_array(pair) || json_array_size(pair) != 2) {
            return false;
        }
    }
    sl_write_map(writer, (uint32_t)json_array_size(json));
    json_array_foreach(json, index, pair) {
        sl__json_write(writer, json_array_get(pair, 0), true);
        sl__json_write(writer, json_array_get(pair, 1), true);
    }
    return true;
}

bool sl__json_restore_object(struct sl_writer *writer, const json_t *object) {
    if (json_object_size(object) != 1) {
        return false;
    }
    void *member = json_object_iter((json_t *)(uintptr_t)object);
    const char *tag = json_object_iter_key(member);
    const json_t *json = json_object_iter_value(member);
    if (strcmp(tag, "$timestamp") == 0) {
        return restore_timestamp(writer, json);
    }
    if (strcmp(tag, "$array") == 0) {
        return restore_array(writer, json);
    }
    if (strcmp(tag, "$ref") == 0) {
        return restore_ref(writer, json);
    }
    if (strcmp(tag, "$map") == 0) {
        return json_is_array(json) && restore_map(writer, json);
    }
    if (!json_is_string(json)) {
        return false;
    }
    if (strcmp(tag, "$bytes") == 0) {
        restore_bytes(writer, text_of(json));
    } else if (strcmp(tag, "$float") == 0) {
        restore_float(writer, text_of(json));
    } else if (strcmp(tag, "$uint") == 0) {
        restore_uint(writer, text_of(json));
    } else {
        return false;
    }
    return true;
}
