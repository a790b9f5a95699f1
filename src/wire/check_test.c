/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "wire/check.h"
#include "wire/ext.h"

#include "base/macros.h"

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static enum sl_code check(const void *bytes, size_t size, const struct sl_limits *limits) {
    struct sl_value value;
    uint8_t *copy = testing_copy(bytes, size);
    enum sl_code code = sl_value_check(copy, size, limits, &value, NULL);
    assert_true(code == SL_OK ? value.data == copy && value.size == size : value.data == NULL && value.size == 0);
    free(copy);
    return code;
}

/* Each encoding at the edges of what it can say, also those that are longer than they need to be. */
static const struct {
    const uint8_t *bytes;
    size_t size;
    enum sl_type type;
} well_formed[] = {
    {BYTES("\xc0"), SL_TYPE_NIL},
    {BYTES("\xc2"), SL_TYPE_BOOL},
    {BYTES("\xc3"), SL_TYPE_BOOL},
    {BYTES("\x00"), SL_TYPE_INT},
    {BYTES("\x7f"), SL_TYPE_INT},
    {BYTES("\xe0"), SL_TYPE_INT},
    {BYTES("\xff"), SL_TYPE_INT},
    {BYTES("\xcc\x01"), SL_TYPE_INT},
    {BYTES("\xcd\x00\x01"), SL_TYPE_INT},
    {BYTES("\xce\xff\xff\xff\xff"), SL_TYPE_INT},
    {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), SL_TYPE_INT},
    {BYTES("\xd0\x80"), SL_TYPE_INT},
    {BYTES("\xd1\x80\x00"), SL_TYPE_INT},
    {BYTES("\xd2\x80\x00\x00\x00"), SL_TYPE_INT},
    {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), SL_TYPE_INT},
    {BYTES("\xca\x3f\x80\x00\x00"), SL_TYPE_FLOAT},
    {BYTES("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), SL_TYPE_FLOAT},
    {BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), SL_TYPE_FLOAT},
    {BYTES("\xa0"), SL_TYPE_STR},
    {BYTES("\xa3"
           "abc"),
     SL_TYPE_STR},
    {BYTES("\xd9\x01z"), SL_TYPE_STR},
    {BYTES("\xda\x00\x01z"), SL_TYPE_STR},
    {BYTES("\xdb\x00\x00\x00\x01z"), SL_TYPE_STR},
    {BYTES("\xc4\x02\xff\xfe"), SL_TYPE_BYTES},
    {BYTES("\xc5\x00\x01\xff"), SL_TYPE_BYTES},
    {BYTES("\xc6\x00\x00\x00\x00"), SL_TYPE_BYTES},
    {BYTES("\x90"), SL_TYPE_LIST},
    {BYTES("\x93\x01\xa1x\x90"), SL_TYPE_LIST},
    {BYTES("\xdc\x00\x02\xc0\xc0"), SL_TYPE_LIST},
    {BYTES("\xdd\x00\x00\x00\x01\x91\x91\x01"), SL_TYPE_LIST},
    {BYTES("\x80"), SL_TYPE_MAP},
    {BYTES("\x82\xa1k\x01\xc0\x92\x01\x02"), SL_TYPE_MAP},
    {BYTES("\xde\x00\x01\x01\x80"), SL_TYPE_MAP},
    {BYTES("\xdf\x00\x00\x00\x01\xc3\x80"), SL_TYPE_MAP},
    {BYTES("\x81\xd6\xff\x00\x00\x00\x01\x01"), SL_TYPE_MAP}, /* a timestamp as a key */
    {BYTES("\xd6\xff\xff\xff\xff\xff"), SL_TYPE_TIMESTAMP},
    {BYTES("\xd7\xff\xee\x6b\x27\xfc\x00\x00\x00\x01"), SL_TYPE_TIMESTAMP}, /* 999999999 ns */
    {BYTES("\xc7\x0c\xff\x3b\x9a\xc9\xff\x80\x00\x00\x00\x00\x00\x00\x00"), SL_TYPE_TIMESTAMP},
    {BYTES("\xc7\x04\x01\x01\x00\x00\x00"), SL_TYPE_NONE}, /* a scalar without its element */
    {BYTES("\xc7\x05\x01\x01\x00\x00\x00\x2a"), SL_TYPE_ARRAY},
    {BYTES("\xc7\x06\x01\x01\x00\x01\x00\x00\x2a"), SL_TYPE_ARRAY},
    {BYTES("\xc7\x0f\x01\x01\x01\x00\x00\x03\0\0\0\0\0\0\0\x01\x02\x03"), SL_TYPE_ARRAY},
    {BYTES("\xc7\x18\x02\x01\x00\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0"), SL_TYPE_ARRAY},
    {BYTES("\xc7\x21\x03\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x04\0Name<T>"), SL_TYPE_REF},
    {BYTES("\xc7\x03\x04\x01\xa1r"), SL_TYPE_MARK},
    {BYTES("\xd5\x04\x02\xa0"), SL_TYPE_MARK},
    {BYTES("\xc7\x05\x04\x03\xa1r\x91\x01"), SL_TYPE_MARK},
    {BYTES("\xc7\x05\x04\x02\xa1r\x91\x01"), SL_TYPE_MARK}, /* an error with a payload */
};

static void well_formed_values_are_accepted_and_each_shorter_one_is_not(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(well_formed); i++) {
        if (well_formed[i].type == SL_TYPE_NONE) {
            assert_int_equal(check(well_formed[i].bytes, well_formed[i].size, NULL), SL_E_INVALID_DATA);
            continue;
        }
        enum sl_code code = check(well_formed[i].bytes, well_formed[i].size, NULL);
        if (code != SL_OK) {
            fail_msg("well-formed value %zu was refused: %s", i, sl_code_name(code));
        }
        struct sl_value value = {well_formed[i].bytes, well_formed[i].size};
        assert_int_equal(sl_value_type(value), well_formed[i].type);
        for (size_t size = 0; size < well_formed[i].size; size++) {
            assert_int_equal(check(well_formed[i].bytes, size, NULL), SL_E_INVALID_DATA);
        }
    }
}

static void malformed_bytes_are_refused(void **state) {
    static const struct {
        const uint8_t *bytes;
        size_t size;
        enum sl_code code;
    } cases[] = {
        {BYTES("\xc1"), SL_E_INVALID_DATA},
        {BYTES("\x01\x02"), SL_E_INVALID_DATA}, /* two values */
        {BYTES("\x91\xc1"), SL_E_INVALID_DATA},
        {BYTES("\xdd\xff\xff\xff\xff"), SL_E_INVALID_DATA}, /* more entries than bytes */
        {BYTES("\xdf\xff\xff\xff\xff\x01\x01"), SL_E_INVALID_DATA},
        {BYTES("\xc6\xff\xff\xff\xff"), SL_E_INVALID_DATA},
        {BYTES("\xdb\xff\xff\xff\xff"), SL_E_INVALID_DATA},
        {BYTES("\xc9\xff\xff\xff\xff\x01"), SL_E_INVALID_DATA},
        {BYTES("\x81\x90\x01"), SL_E_INVALID_DATA},                             /* list as key */
        {BYTES("\x81\x80\x01"), SL_E_INVALID_DATA},                             /* map as key */
        {BYTES("\x81\xc7\x05\x01\x01\x00\x00\x00\x2a\x01"), SL_E_INVALID_DATA}, /* array as key */
        {BYTES("\xa1\xff"), SL_E_INVALID_UTF8},
        {BYTES("\xa2\xc0\x80"), SL_E_INVALID_UTF8},         /* overlong */
        {BYTES("\xa3\xed\xa0\x80"), SL_E_INVALID_UTF8},     /* surrogate */
        {BYTES("\xa4\xf4\x90\x80\x80"), SL_E_INVALID_UTF8}, /* above U+10FFFF */
        {BYTES("\x81\xa1\x80\x01"), SL_E_INVALID_UTF8},     /* in a key */
        {BYTES("\xd4\x05\x00"), SL_E_INVALID_DATA},         /* extensions that are not ours */
        {BYTES("\xd4\x00\x00"), SL_E_INVALID_DATA},
        {BYTES("\xd4\xfe\x00"), SL_E_INVALID_DATA},
        {BYTES("\xd4\xff\x00"), SL_E_INVALID_DATA},                             /* timestamp of 1 byte */
        {BYTES("\xd7\xff\xee\x6b\x28\x00\x00\x00\x00\x00"), SL_E_INVALID_DATA}, /* 10^9 ns */
        {BYTES("\xc7\x0c\xff\x3b\x9a\xca\x00\0\0\0\0\0\0\0\0"), SL_E_INVALID_DATA},
        {BYTES("\xd4\x01\x01"), SL_E_INVALID_DATA},                     /* array: shorter than its header */
        {BYTES("\xc7\x05\x01\x00\x00\x00\x00\x2a"), SL_E_INVALID_DATA}, /* dtype 0 */
        {BYTES("\xc7\x05\x01\x0f\x00\x00\x00\x2a"), SL_E_INVALID_DATA}, /* dtype 15 */
        {BYTES("\xc7\x05\x01\x01\x11\x00\x00\x2a"), SL_E_INVALID_DATA}, /* 17 dimensions */
        {BYTES("\xc7\x05\x01\x01\x01\x00\x00\x2a"), SL_E_INVALID_DATA}, /* shape cut off */
        {BYTES("\xc7\x05\x01\x01\x00\x01\x00\x2a"), SL_E_INVALID_DATA}, /* pad eats the element */
        {BYTES("\xc7\x0d\x01\x01\x00\x08\x00\0\0\0\0\0\0\0\0\x2a"), SL_E_INVALID_DATA},   /* pad 8 */
        {BYTES("\xc7\x05\x01\x01\x00\x00\x01\x2a"), SL_E_INVALID_DATA},                   /* reserved byte */
        {BYTES("\xc7\x0d\x01\x07\x01\x00\x00\0\0\0\0\0\0\0\x20\x2a"), SL_E_INVALID_DATA}, /* size overflows */
        {BYTES("\xc7\x17\x02\x01\x00\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x10\0\0\0\0\0\0"), SL_E_INVALID_DATA},
        {BYTES("\xc7\x18\x02\x01\x00\0\0\0\0\0\0\x00\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0"), SL_E_INVALID_DATA}, /* id 0 */
        {BYTES("\xc7\x18\x02\x01\x00\0\0\0\0\0\x01\x09\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0"), SL_E_INVALID_DATA},
        {BYTES("\xc7\x18\x02\x01\x00\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f"),
         SL_E_INVALID_DATA},
        {BYTES("\xc7\x19\x02\x01\x00\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0"), SL_E_INVALID_DATA},
        {BYTES("\xc7\x20\x02\x01\x01\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80"),
         SL_E_INVALID_DATA}, /* 2^63 bytes of elements */
        {BYTES("\xc7\x19\x03\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\0"), SL_E_INVALID_DATA},
        {BYTES("\xc7\x1b\x03\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x02\0N"), SL_E_INVALID_DATA},
        {BYTES("\xc7\x1b\x03\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\xff"), SL_E_INVALID_UTF8},
        /* one character, half in the type name and half in the repr */
        {BYTES("\xc7\x1c\x03\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\xc3\xa9"),
         SL_E_INVALID_UTF8},
        {BYTES("\xc7\x00\x04"), SL_E_INVALID_DATA},     /* mark without a kind */
        {BYTES("\xd4\x04\x01"), SL_E_INVALID_DATA},     /* without a text */
        {BYTES("\xd5\x04\x00\xa0"), SL_E_INVALID_DATA}, /* of kind 0 */
        {BYTES("\xd5\x04\x04\xa0"), SL_E_INVALID_DATA}, /* of kind 4 */
        {BYTES("\xd5\x04\x01\xa1"), SL_E_INVALID_DATA}, /* text cut off */
        {BYTES("\xd5\x04\x01\x01"), SL_E_INVALID_DATA}, /* text an int */
        {BYTES("\xc7\x03\x04\x01\xa1\xff"), SL_E_INVALID_UTF8},
        {BYTES("\xc7\x03\x04\x01\xa0\xc0"), SL_E_INVALID_DATA},             /* a skip with a payload */
        {BYTES("\xd5\x04\x03\xa0"), SL_E_INVALID_DATA},                     /* a route without one */
        {BYTES("\xd6\x04\x03\xa0\xc0\xc0"), SL_E_INVALID_DATA},             /* with two */
        {BYTES("\xc7\x03\x04\x03\xa0\x91"), SL_E_INVALID_DATA},             /* with half a one */
        {BYTES("\xc7\x06\x04\x03\xa0\xd5\x04\x01\xa0"), SL_E_INVALID_DATA}, /* a mark in a mark */
        {BYTES("\x91\xd5\x04\x01\xa0"), SL_E_INVALID_DATA},                 /* a mark in a list */
        {BYTES("\xc7\x04\x04\x02\xa0\xc0\xc0"), SL_E_INVALID_DATA},         /* an error with two */
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        enum sl_code code = check(cases[i].bytes, cases[i].size, NULL);
        if (code != cases[i].code) {
            fail_msg("case %zu: %s where %s was expected", i, sl_code_name(code), sl_code_name(cases[i].code));
        }
    }
}

/* Sizes are looked at in several ways; in none of them may a byte be missed. */
static void a_bad_byte_is_found_at_each_place_of_texts_of_each_size(void **state) {
    uint8_t bytes[2 + 150];
    (void)state;
    for (size_t size = 0; size <= 150; size++) {
        bytes[0] = 0xd9;
        bytes[1] = (uint8_t)size;
        memset(bytes + 2, 'x', size);
        assert_int_equal(check(bytes, 2 + size, NULL), SL_OK);
        for (size_t place = 0; place < size; place++) {
            bytes[2 + place] = 0x80;
            assert_int_equal(check(bytes, 2 + size, NULL), SL_E_INVALID_UTF8);
            if (place + 1 < size) {
                memcpy(bytes + 2 + place, "\xc3\xa9", 2);
                assert_int_equal(check(bytes, 2 + size, NULL), SL_OK);
                bytes[3 + place] = 'x';
            }
            bytes[2 + place] = 'x';
        }
    }
}

static void no_bytes_are_no_value(void **state) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_value_check(NULL, 0, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_int_equal(sl_value_check("", 0, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_int_equal(sl_value_check(NULL, 4, NULL, &value, &error), SL_E_INVALID_DATA);
}

static void errors_say_where_and_what(void **state) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_value_check("\x93\x01\x02\xa2\xff\xff", 6, NULL, &value, &error), SL_E_INVALID_UTF8);
    assert_int_equal(error.code, SL_E_INVALID_UTF8);
    assert_non_null(strstr(error.message, "byte 3 of 6"));
    assert_int_equal(sl_value_check("\x92\x01", 2, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_non_null(strstr(error.message, "byte 0 of 2"));
    assert_int_equal(sl_value_check("\x92\x01\xc4\x05", 4, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_non_null(strstr(error.message, "byte 2 of 4"));
    assert_int_equal(sl_value_check("\x91\xd4\x09\x00", 4, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_non_null(strstr(error.message, "extension type 9"));
    assert_int_equal(sl_value_check("\xd4\x80\x00", 3, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_non_null(strstr(error.message, "extension type -128"));
    assert_int_equal(sl_value_check("\x01\x02\x03", 3, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_non_null(strstr(error.message, "ends at byte 1 and 2 bytes follow"));
    /* Inside the payload of a route, still counted from the start of the value. */
    assert_int_equal(sl_value_check("\xc7\x05\x04\x03\xa0\x92\x01\xc1", 8, NULL, &value, &error), SL_E_INVALID_DATA);
    assert_non_null(strstr(error.message, "byte 7 of"));
}

static enum sl_code check_nested(uint8_t lead, uint32_t depth, const struct sl_limits *limits) {
    uint8_t bytes[2 * 2000 + 1];
    size_t size = 0;
    for (uint32_t i = 0; i < depth; i++) {
        if (lead == 0x81) {
            bytes[size++] = lead;
        } else {
            bytes[size++] = 0x91;
            continue;
        }
        bytes[size++] = 0x01; /* the key */
    }
    bytes[size++] = 0xc0;
    return check(bytes, size, limits);
}

static void depth_is_bounded_exactly(void **state) {
    static const uint32_t depths[] = {1, 2, 128, 1024};
    (void)state;
    assert_int_equal(check_nested(0x91, 128, NULL), SL_OK);
    assert_int_equal(check_nested(0x91, 129, NULL), SL_E_LIMIT);
    for (size_t i = 0; i < SL_COUNT_OF(depths); i++) {
        struct sl_limits limits = SL_LIMITS_INIT;
        limits.depth_max = depths[i];
        assert_int_equal(check_nested(0x91, depths[i], &limits), SL_OK);
        assert_int_equal(check_nested(0x91, depths[i] + 1, &limits), SL_E_LIMIT);
        assert_int_equal(check_nested(0x81, depths[i], &limits), SL_OK);
        assert_int_equal(check_nested(0x81, depths[i] + 1, &limits), SL_E_LIMIT);
    }
    /* An empty container is a level too. */
    struct sl_limits flat = SL_LIMITS_INIT;
    flat.depth_max = 1;
    assert_int_equal(check("\x91\x90", 2, &flat), SL_E_LIMIT);
    assert_int_equal(check("\x90", 1, &flat), SL_OK);
}

static void nesting_without_end_costs_nothing(void **state) {
    (void)state;
    const size_t size = 1 << 20;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 0x91, size);
    assert_int_equal(check(bytes, size, NULL), SL_E_LIMIT);
    /* The readers meet it without a check before them. */
    struct sl_value value = {bytes, size};
    struct sl_value entry;
    assert_int_equal(sl_value_at(value, 0, &entry), SL_E_INVALID_DATA);
    (void)sl_value_hash(value);
    assert_int_equal(sl_value_compare(value, value), 0);
    free(bytes);
}

static void size_is_bounded_exactly(void **state) {
    uint8_t bytes[64];
    struct sl_limits limits = SL_LIMITS_INIT;
    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    bytes[0] = 0xd9;
    bytes[1] = 62;
    limits.size_max = 64;
    assert_int_equal(check(bytes, 64, &limits), SL_OK);
    limits.size_max = 63;
    assert_int_equal(check(bytes, 64, &limits), SL_E_LIMIT);
    limits.size_max = 1;
    assert_int_equal(check(bytes, 64, &limits), SL_E_LIMIT);
    assert_int_equal(check("\xc0", 1, &limits), SL_OK);
}

static void limits_out_of_range_are_refused(void **state) {
    struct sl_limits limits = SL_LIMITS_INIT;
    (void)state;
    limits.depth_max = 0;
    assert_int_equal(check("\xc0", 1, &limits), SL_E_INVALID_ARGUMENT);
    limits.depth_max = SL_DEPTH_MAX_LIMIT + 1;
    assert_int_equal(check("\xc0", 1, &limits), SL_E_INVALID_ARGUMENT);
    limits.depth_max = 1;
    limits.size_max = 0;
    assert_int_equal(check("\xc0", 1, &limits), SL_E_INVALID_ARGUMENT);
    limits.size_max = SL_SIZE_MAX_DEFAULT + 1;
    assert_int_equal(check("\xc0", 1, &limits), SL_E_INVALID_ARGUMENT);
}

/* A caller that was built when sl_limits had fewer members passes a smaller size; what it does not have is the default. */
static void limits_of_an_older_caller_are_read_as_far_as_they_go(void **state) {
    struct sl_limits limits = {offsetof(struct sl_limits, size_max), 1, 1};
    (void)state;
    assert_int_equal(check("\xa2xx", 3, &limits), SL_OK);
    assert_int_equal(check("\x91\x91\xc0", 3, &limits), SL_E_LIMIT);
    limits.size = sizeof(limits.size);
    assert_int_equal(check("\x91\x91\xc0", 3, &limits), SL_OK);
}

static void visit(struct sl_value value, unsigned budget) {
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double real;
        struct sl_timestamp timestamp;
        struct sl_array array;
        struct sl_ref ref;
        struct sl_mark mark;
    } out;
    const char *text;
    const void *bytes;
    size_t size;
    uint32_t count;
    struct sl_iter iter;
    struct sl_value key, entry;
    (void)!sl_value_bool(value, &out.boolean);
    (void)!sl_value_int(value, &out.integer);
    (void)!sl_value_uint(value, &out.natural);
    (void)!sl_value_float(value, &out.real);
    (void)!sl_value_timestamp(value, &out.timestamp);
    (void)!sl_value_count(value, &count);
    (void)!sl_value_get(value, "k", &entry);
    (void)!sl_value_at(value, 1, &entry);
    if (sl_value_str(value, &text, &size) == SL_OK) {
        assert_true((const uint8_t *)text >= value.data && (const uint8_t *)text + size <= value.data + value.size);
    }
    if (sl_value_bytes(value, &bytes, &size) == SL_OK) {
        assert_true((const uint8_t *)bytes + size <= value.data + value.size);
    }
    if (sl_value_array(value, &out.array) == SL_OK && out.array.data != NULL) {
        assert_true((const uint8_t *)out.array.data + out.array.data_size <= value.data + value.size);
    }
    (void)!sl_value_ref(value, &out.ref);
    if (sl_value_mark(value, &out.mark) == SL_OK && out.mark.payload.size > 0 && budget > 0) {
        visit(out.mark.payload, budget - 1);
    }
    (void)sl_value_hash(value);
    assert_int_equal(sl_value_compare(value, value), 0);
    if (budget == 0 || sl_iter_init(&iter, value) != SL_OK) {
        return;
    }
    while (sl_iter_next(&iter, &key, &entry)) {
        assert_true(entry.data >= value.data && entry.size > 0 && entry.data + entry.size <= value.data + value.size);
        assert_true(iter.is_map == (key.data != NULL));
        visit(entry, budget - 1);
    }
}

static void random_bytes_never_lead_outside(void **state) {
    uint64_t seed = testing_seed();
    uint8_t bytes[64];
    struct sl_value value;
    (void)state;
    for (int round = 0; round < 30000; round++) {
        size_t size = 1 + testing_below(&seed, sizeof(bytes));
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)testing_random(&seed);
            /* Containers, extensions and small numbers lead further than noise does. */
            switch (testing_below(&seed, 6)) {
            case 0:
                bytes[i] = (uint8_t)(0x80 | (bytes[i] & 0x13));
                break;
            case 1:
                bytes[i] = (uint8_t)(0xc0 | (bytes[i] & 0x1f));
                break;
            case 2:
                bytes[i] &= 0x07;
                break;
            default:
                break;
            }
        }
        uint8_t *copy = testing_copy(bytes, size);
        (void)!sl_value_check(copy, size, NULL, &value, NULL);
        visit((struct sl_value){copy, size}, 4);
        free(copy);
    }
}

static void valid_values_pass_and_one_changed_byte_never_leads_outside(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer writer;
    struct sl_value checked;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    sl_writer_init(&writer, NULL);
    for (int round = 0; round < 3000; round++) {
        sl_writer_reset(&writer);
        testing_write_value(&writer, &seed, 4, 0);
        struct sl_value value = testing_end(&writer);
        uint8_t *copy = testing_copy(value.data, value.size);
        if (sl_value_check(copy, value.size, NULL, &checked, &error) != SL_OK) {
            fail_msg("%s", error.message);
        }
        visit(checked, 4);
        copy[testing_below(&seed, (uint32_t)value.size)] = (uint8_t)testing_random(&seed);
        (void)!sl_value_check(copy, value.size, NULL, &checked, NULL);
        visit((struct sl_value){copy, value.size}, 4);
        free(copy);
        /* What is cut off anywhere is not a value. */
        size_t cut = testing_below(&seed, (uint32_t)value.size);
        assert_int_equal(check(value.data, cut, NULL), SL_E_INVALID_DATA);
    }
    sl_writer_finish(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_values_are_accepted_and_each_shorter_one_is_not),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(a_bad_byte_is_found_at_each_place_of_texts_of_each_size),
        cmocka_unit_test(no_bytes_are_no_value),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(depth_is_bounded_exactly),
        cmocka_unit_test(nesting_without_end_costs_nothing),
        cmocka_unit_test(size_is_bounded_exactly),
        cmocka_unit_test(limits_out_of_range_are_refused),
        cmocka_unit_test(limits_of_an_older_caller_are_read_as_far_as_they_go),
        cmocka_unit_test(random_bytes_never_lead_outside),
        cmocka_unit_test(valid_values_pass_and_one_changed_byte_never_leads_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
