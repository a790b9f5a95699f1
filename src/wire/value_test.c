/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "wire/token.h"

#include "base/macros.h"

#define INIT(literal) \
    { (const uint8_t *)(literal), sizeof(literal) - 1 }
#define VALUE(literal) ((struct sl_value)INIT(literal))

static void types_have_names(void **state) {
    (void)state;
    assert_string_equal(sl_type_name(SL_TYPE_NONE), "none");
    assert_string_equal(sl_type_name(SL_TYPE_NIL), "nil");
    assert_string_equal(sl_type_name(SL_TYPE_TIMESTAMP), "timestamp");
    assert_string_equal(sl_type_name(SL_TYPE_MARK), "mark");
    assert_string_equal(sl_type_name((enum sl_type)13), "unknown");
    assert_string_equal(sl_type_name((enum sl_type) - 1), "unknown");
}

static void numbers_are_read_as_what_they_fit(void **state) {
    static const struct {
        struct sl_value value;
        enum sl_code as_int, as_uint, as_float;
        int64_t integer;
        uint64_t natural;
        double real;
    } cases[] = {
        {INIT("\x05"), SL_OK, SL_OK, SL_OK, 5, 5, 5},
        {INIT("\xff"), SL_OK, SL_E_RANGE, SL_OK, -1, 0, -1},
        {INIT("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), SL_OK, SL_OK, SL_OK, INT64_MAX, INT64_MAX,
         9223372036854775808.0},
        {INIT("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), SL_E_RANGE, SL_OK, SL_OK, 0, UINT64_C(1) << 63,
         9223372036854775808.0},
        {INIT("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), SL_OK, SL_E_RANGE, SL_OK, INT64_MIN, 0, -9223372036854775808.0},
        {INIT("\xd0\x05"), SL_OK, SL_OK, SL_OK, 5, 5, 5},
        {INIT("\xd1\xff\xfe"), SL_OK, SL_E_RANGE, SL_OK, -2, 0, -2},
        {INIT("\xd2\xff\xff\xff\xfd"), SL_OK, SL_E_RANGE, SL_OK, -3, 0, -3},
        {INIT("\xcd\x01\x00"), SL_OK, SL_OK, SL_OK, 256, 256, 256},
        {INIT("\xca\x3f\xc0\x00\x00"), SL_E_TYPE, SL_E_TYPE, SL_OK, 0, 0, 1.5},
        {INIT("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), SL_E_TYPE, SL_E_TYPE, SL_OK, 0, 0, 1.5},
        {INIT("\xc3"), SL_E_TYPE, SL_E_TYPE, SL_E_TYPE, 0, 0, 0},
        {INIT("\xcd\x01"), SL_E_INVALID_DATA, SL_E_INVALID_DATA, SL_E_INVALID_DATA, 0, 0, 0},
        {INIT(""), SL_E_INVALID_DATA, SL_E_INVALID_DATA, SL_E_INVALID_DATA, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        int64_t integer = 0;
        uint64_t natural = 0;
        double real = 0;
        assert_int_equal(sl_value_int(cases[i].value, &integer), cases[i].as_int);
        assert_true(integer == cases[i].integer);
        assert_int_equal(sl_value_uint(cases[i].value, &natural), cases[i].as_uint);
        assert_true(natural == cases[i].natural);
        assert_int_equal(sl_value_float(cases[i].value, &real), cases[i].as_float);
        assert_true(real == cases[i].real);
    }
}

static void a_reader_of_another_type_says_so_and_leaves_its_result_alone(void **state) {
    const struct sl_value values[] = {VALUE("\xc0"),
                                      VALUE("\xc3"),
                                      VALUE("\x01"),
                                      VALUE("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
                                      VALUE("\xa1x"),
                                      VALUE("\xc4\x01x"),
                                      VALUE("\x91\x01"),
                                      VALUE("\x81\xa1k\x01"),
                                      VALUE("\xd6\xff\x00\x00\x00\x01"),
                                      VALUE("\xc7\x05\x01\x01\x00\x00\x00\x2a"),
                                      VALUE("\xc7\x1a\x03\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\0\0"),
                                      VALUE("\xd5\x04\x01\xa0")};
    (void)state;
    for (int type = SL_TYPE_NIL; type <= SL_TYPE_MARK; type++) {
        struct sl_value value = values[type - 1], entry;
        assert_int_equal(sl_value_type(value), type);
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double real;
        const char *text = NULL;
        const void *bytes = NULL;
        size_t size;
        struct sl_timestamp timestamp;
        struct sl_array array;
        struct sl_ref ref;
        struct sl_mark mark;
        struct sl_iter iter;
        uint32_t count;
        bool is_container = type == SL_TYPE_LIST || type == SL_TYPE_MAP;
#define EXPECTED(condition) ((condition) ? SL_OK : SL_E_TYPE)
        assert_int_equal(sl_value_bool(value, &boolean), EXPECTED(type == SL_TYPE_BOOL));
        assert_int_equal(sl_value_int(value, &integer), EXPECTED(type == SL_TYPE_INT));
        assert_int_equal(sl_value_uint(value, &natural), EXPECTED(type == SL_TYPE_INT));
        assert_int_equal(sl_value_float(value, &real), EXPECTED(type == SL_TYPE_INT || type == SL_TYPE_FLOAT));
        assert_int_equal(sl_value_str(value, &text, &size), EXPECTED(type == SL_TYPE_STR));
        assert_int_equal(sl_value_bytes(value, &bytes, &size), EXPECTED(type == SL_TYPE_BYTES));
        assert_int_equal(sl_value_timestamp(value, &timestamp), EXPECTED(type == SL_TYPE_TIMESTAMP));
        assert_int_equal(sl_value_array(value, &array), EXPECTED(type == SL_TYPE_ARRAY));
        assert_int_equal(sl_value_ref(value, &ref), EXPECTED(type == SL_TYPE_REF));
        assert_int_equal(sl_value_mark(value, &mark), EXPECTED(type == SL_TYPE_MARK));
        assert_int_equal(sl_value_count(value, &count), EXPECTED(is_container));
        assert_int_equal(sl_iter_init(&iter, value), EXPECTED(is_container));
        assert_int_equal(sl_value_at(value, 0, &entry), EXPECTED(type == SL_TYPE_LIST));
        assert_int_equal(sl_value_get(value, "k", &entry), EXPECTED(type == SL_TYPE_MAP));
#undef EXPECTED
        assert_true((text != NULL) == (type == SL_TYPE_STR) && (bytes != NULL) == (type == SL_TYPE_BYTES));
        if (!is_container) {
            assert_false(sl_iter_next(&iter, NULL, NULL));
        }
    }
}

static void timestamps_are_read_in_all_three_forms(void **state) {
    struct sl_timestamp got;
    (void)state;
    assert_int_equal(sl_value_timestamp(VALUE("\xd6\xff\xff\xff\xff\xff"), &got), SL_OK);
    assert_true(got.seconds == UINT32_MAX && got.nanoseconds == 0);
    assert_int_equal(sl_value_timestamp(VALUE("\xd7\xff\x00\x00\x00\x07\xff\xff\xff\xff"), &got), SL_OK);
    assert_true(got.seconds == (INT64_C(1) << 34) - 1 && got.nanoseconds == 1);
    assert_int_equal(sl_value_timestamp(VALUE("\xc7\x0c\xff\x00\x00\x00\x02\x80\x00\x00\x00\x00\x00\x00\x00"), &got),
                     SL_OK);
    assert_true(got.seconds == INT64_MIN && got.nanoseconds == 2);
}

static void lists_are_read_by_index(void **state) {
    const struct sl_value list = VALUE("\x93\x01\x92\xa1x\x80\xc0");
    struct sl_value entry;
    int64_t integer;
    (void)state;
    assert_int_equal(sl_value_at(list, 0, &entry), SL_OK);
    assert_int_equal(sl_value_int(entry, &integer), SL_OK);
    assert_int_equal(sl_value_at(list, 1, &entry), SL_OK);
    assert_int_equal(entry.size, 4);
    assert_int_equal(sl_value_at(list, 2, &entry), SL_OK);
    assert_int_equal(sl_value_type(entry), SL_TYPE_NIL);
    assert_int_equal(sl_value_at(list, 3, &entry), SL_E_NOT_FOUND);
    assert_int_equal(sl_value_at(list, UINT32_MAX, &entry), SL_E_NOT_FOUND);
}

/* A key that differs in one place, wherever that is, is another. */
static void keys_of_all_sizes_are_told_apart(void) {
    static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF";
    for (size_t size = 1; size <= 40; size++) {
        struct sl_writer writer;
        struct sl_value map, entry;
        bool flag;
        sl_writer_init(&writer, NULL);
        sl_write_map(&writer, 2);
        sl_write_strn(&writer, text, size);
        sl_write_bool(&writer, true);
        sl_write_strn(&writer, text + 1, size);
        sl_write_bool(&writer, false);
        assert_int_equal(sl_writer_end(&writer, &map, NULL), SL_OK);
        char key[48] = {0};
        memcpy(key, text, size);
        assert_int_equal(sl_value_get(map, key, &entry), SL_OK);
        assert_int_equal(sl_value_bool(entry, &flag), SL_OK);
        assert_true(flag);
        for (size_t i = 0; i < size; i++) {
            key[i] = '-';
            assert_int_equal(sl_value_get(map, key, &entry), SL_E_NOT_FOUND);
            key[i] = text[i];
        }
        key[size] = '-';
        assert_int_equal(sl_value_get(map, key, &entry), SL_E_NOT_FOUND);
        sl_writer_finish(&writer);
    }
}

static void maps_are_read_by_key_and_the_last_one_wins(void **state) {
    /* {"a": 1, 2: "b", "ab": 3, b"a": 5, "a": 4} */
    const struct sl_value map = VALUE("\x85\xa1"
                                      "a\x01\x02\xa1"
                                      "b\xa2"
                                      "ab\x03\xc4\x01"
                                      "a\x05\xa1"
                                      "a\x04");
    struct sl_value entry;
    int64_t integer;
    (void)state;
    assert_int_equal(sl_value_get(map, "a", &entry), SL_OK);
    assert_int_equal(sl_value_int(entry, &integer), SL_OK);
    assert_int_equal(integer, 4);
    assert_int_equal(sl_value_get(map, "ab", &entry), SL_OK);
    assert_int_equal(sl_value_get(map, "b", &entry), SL_E_NOT_FOUND);
    assert_int_equal(sl_value_get(map, "", &entry), SL_E_NOT_FOUND);
    keys_of_all_sizes_are_told_apart();
}

static void entries_come_in_order_and_end(void **state) {
    const struct sl_value map = VALUE("\x82\xa1k\x01\xc0\x92\x01\x02");
    struct sl_iter iter;
    struct sl_value key, value;
    (void)state;
    assert_int_equal(sl_iter_init(&iter, map), SL_OK);
    assert_true(sl_iter_next(&iter, &key, &value));
    assert_int_equal(sl_value_type(key), SL_TYPE_STR);
    assert_int_equal(value.size, 1);
    assert_true(sl_iter_next(&iter, NULL, &value));
    assert_int_equal(value.size, 3);
    assert_false(sl_iter_next(&iter, &key, &value));
    assert_false(sl_iter_next(&iter, &key, &value));
    assert_int_equal(sl_iter_init(&iter, value), SL_OK);
    assert_true(sl_iter_next(&iter, &key, &value));
    assert_null(key.data);
    assert_int_equal(value.size, 1);
}

static void containers_that_are_cut_off_end_early(void **state) {
    struct sl_iter iter;
    struct sl_value value;
    (void)state;
    assert_int_equal(sl_iter_init(&iter, VALUE("\x92\x01\xa5")), SL_OK);
    assert_true(sl_iter_next(&iter, NULL, &value));
    assert_false(sl_iter_next(&iter, NULL, &value));
    assert_false(sl_iter_next(&iter, NULL, &value));
    assert_int_equal(sl_value_at(VALUE("\x92\x01\xa5"), 1, &value), SL_E_INVALID_DATA);
    assert_int_equal(sl_value_at(VALUE("\x92\xa5\x01"), 1, &value), SL_E_INVALID_DATA);
    assert_int_equal(sl_value_get(VALUE("\x81\xa1k\xa5"), "k", &value), SL_E_INVALID_DATA);
    assert_int_equal(sl_iter_init(&iter, VALUE("\x95\x01")), SL_E_INVALID_DATA);
}

/* The slow half of the token reader answers alike for the forms that the fast half takes. */
static void both_halves_of_the_token_reader_agree(void **state) {
    uint64_t seed = testing_seed();
    (void)state;
    for (int lead = 0; lead < 256; lead++) {
        for (int round = 0; round < 20; round++) {
            uint8_t bytes[48];
            size_t size = 1 + testing_below(&seed, sizeof(bytes));
            for (size_t i = 0; i < sizeof(bytes); i++) {
                bytes[i] = (uint8_t)testing_below(&seed, 40);
            }
            bytes[0] = (uint8_t)lead;
            uint8_t *copy = testing_copy(bytes, size);
            const uint8_t *fast = copy, *slow = copy;
            struct sl__token a = {0}, b = {0};
            bool read = sl__token_read(&fast, copy + size, &a);
            assert_int_equal(sl__token_read_wide(&slow, copy + size, &b), read);
            assert_ptr_equal(fast, slow);
            assert_true(fast >= copy && fast <= copy + size);
            if (read) {
                assert_memory_equal(&a, &b, sizeof(a));
            } else {
                assert_ptr_equal(fast, copy);
            }
            free(copy);
        }
    }
}

/* Whoever takes memory for as many entries as a header says relies on it. */
static void counts_never_exceed_what_the_bytes_could_hold(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        bool fits;
    } cases[] = {
        {"\x92\xc0\xc0", 3, true},
        {"\x92\xc0", 2, false},
        {"\x82\xc0\xc0\xc0\xc0", 5, true},
        {"\x82\xc0\xc0\xc0", 4, false},
        {"\xdc\x00\x02\xc0\xc0", 5, true},
        {"\xdc\x00\x02\xc0", 4, false},
        {"\xdd\x00\x00\x00\x02\xc0\xc0", 7, true},
        {"\xdd\x00\x00\x00\x02\xc0", 6, false},
        {"\xdd\xff\xff\xff\xff\xc0", 6, false},
        {"\xde\x00\x01\xc0\xc0", 5, true},
        {"\xde\x00\x01\xc0", 4, false},
        {"\xdf\x00\x00\x00\x01\xc0\xc0", 7, true},
        {"\xdf\x00\x00\x00\x01\xc0", 6, false},
        {"\xdf\x80\x00\x00\x00\xc0", 6, false}, /* twice that is 0 in 32 bits */
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        uint8_t *copy = testing_copy(cases[i].bytes, cases[i].size);
        const uint8_t *at = copy;
        struct sl__token token;
        assert_int_equal(sl__token_read(&at, copy + cases[i].size, &token), cases[i].fits);
        free(copy);
    }
}

/* Passing a value by its lead byte, and reading it token by token, come to the same for every lead byte and every size that is left. */
static void skipping_agrees_with_reading(void **state) {
    (void)state;
    uint8_t bytes[64];
    for (unsigned lead = 0; lead < 256; lead++) {
        for (unsigned filler = 0; filler < 3; filler++) {
            memset(bytes, (int)filler, sizeof bytes); /* sizes and counts of 0, 1 and 2, or far too large */
            bytes[0] = (uint8_t)lead;
            for (size_t size = 0; size <= sizeof bytes; size++) {
                const uint8_t *skipped = bytes, *read = bytes, *end = bytes + size;
                bool whole = sl__value_skip(&skipped, end), expected = true;
                struct sl__token token;
                for (uint64_t pending = 1; pending > 0 && expected; pending--) {
                    expected = sl__token_read(&read, end, &token);
                    if (expected && (token.kind == SL__TOKEN_LIST || token.kind == SL__TOKEN_MAP)) {
                        pending += token.kind == SL__TOKEN_MAP ? 2 * (uint64_t)token.count : token.count;
                    }
                }
                assert_int_equal(whole, expected);
                assert_ptr_equal(skipped, expected ? read : bytes);
            }
        }
    }
}

static void keys_are_found_however_they_are_written(void **state) {
    (void)state;
    struct sl_value out;
    /* {"a": 1} with the key as fixstr, str 8, str 16 and str 32 */
    assert_int_equal(sl_value_get(VALUE("\x81\xa1"
                                        "a\x01"),
                                  "a", &out),
                     SL_OK);
    assert_int_equal(sl_value_get(VALUE("\x81\xd9\x01"
                                        "a\x01"),
                                  "a", &out),
                     SL_OK);
    assert_int_equal(sl_value_get(VALUE("\x81\xda\x00\x01"
                                        "a\x01"),
                                  "a", &out),
                     SL_OK);
    assert_int_equal(sl_value_get(VALUE("\x81\xdb\x00\x00\x00\x01"
                                        "a\x01"),
                                  "a", &out),
                     SL_OK);
    assert_int_equal(*out.data, 1);
    /* bytes are no text, nor is a number */
    assert_int_equal(sl_value_get(VALUE("\x81\xc4\x01"
                                        "a\x01"),
                                  "a", &out),
                     SL_E_NOT_FOUND);
    assert_int_equal(sl_value_get(VALUE("\x81\x61\x01"), "a", &out), SL_E_NOT_FOUND);
    /* the last of two counts, and what is cut off is no map */
    assert_int_equal(sl_value_get(VALUE("\x82\xa1"
                                        "a\x01\xa1"
                                        "a\x02"),
                                  "a", &out),
                     SL_OK);
    assert_int_equal(*out.data, 2);
    assert_int_equal(sl_value_get(VALUE("\x82\xa1"
                                        "a\x01\xa1"
                                        "a"),
                                  "a", &out),
                     SL_E_INVALID_DATA);
    assert_int_equal(sl_value_get(VALUE("\x81\xa2"
                                        "a"),
                                  "a", &out),
                     SL_E_INVALID_DATA);
}

/* By walking: the last entry whose key is this text, all of the map being there. */
static enum sl_code find_by_walking(struct sl_value map, const char *key, struct sl_value *out) {
    struct sl_iter iter;
    struct sl_value entry_key, entry, last = {NULL, 0};
    enum sl_code code = sl_iter_init(&iter, map);
    if (code != SL_OK) {
        return code;
    }
    uint32_t left = iter.remaining;
    while (left > 0 && sl_iter_next(&iter, &entry_key, &entry)) {
        const char *text;
        size_t size;
        left--;
        if (sl_value_str(entry_key, &text, &size) == SL_OK && size == strlen(key) && memcmp(text, key, size) == 0) {
            last = entry;
        }
    }
    if (left > 0) {
        return SL_E_INVALID_DATA;
    }
    *out = last;
    return last.data != NULL ? SL_OK : SL_E_NOT_FOUND;
}

/* Keys that begin alike, longer and shorter than a lead byte can say, and texts with a zero in them. */
static void a_key_is_found_as_by_walking(void **state) {
    static const char *const keys[] = {"",
                                       "a",
                                       "ab",
                                       "abc",
                                       "b",
                                       "score",
                                       "scores",
                                       "a text of thirty-one characters",
                                       "a text that is longer than that is"};
    (void)state;
    uint64_t seed = testing_seed();
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    for (int round = 0; round < 500; round++) {
        uint32_t count = testing_below(&seed, 18);
        sl_writer_reset(&writer);
        sl_write_map(&writer, count);
        for (uint32_t i = 0; i < count; i++) {
            switch (testing_below(&seed, 8)) {
            case 0:
                testing_write_value(&writer, &seed, 0, TESTING_NO_EXT);
                break;
            case 1:
                sl_write_strn(&writer, "a\0b", testing_below(&seed, 4));
                break;
            default:
                sl_write_str(&writer, keys[testing_below(&seed, SL_COUNT_OF(keys))]);
                break;
            }
            if (testing_below(&seed, 4) == 0) {
                testing_write_value(&writer, &seed, 2, 0);
            } else {
                sl_write_uint(&writer, i);
            }
        }
        struct sl_value whole;
        assert_int_equal(sl_writer_end(&writer, &whole, NULL), SL_OK);
        for (size_t size = 0; size <= whole.size; size++) {
            /* Of its own size, so that a sanitizer sees what is read beyond. */
            uint8_t *bytes = malloc(size + 1);
            assert_non_null(bytes);
            memcpy(bytes + 1, whole.data, size);
            const struct sl_value map = {bytes + 1, size};
            for (size_t k = 0; k < SL_COUNT_OF(keys); k++) {
                struct sl_value found = {NULL, 0}, expected = {NULL, 0};
                assert_int_equal(sl_value_get(map, keys[k], &found), find_by_walking(map, keys[k], &expected));
                assert_ptr_equal(found.data, expected.data);
                assert_int_equal(found.size, expected.size);
            }
            free(bytes);
            if (size + 16 < whole.size) {
                size += testing_below(&seed, 16);
            }
        }
    }
    sl_writer_finish(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(numbers_are_read_as_what_they_fit),
        cmocka_unit_test(a_reader_of_another_type_says_so_and_leaves_its_result_alone),
        cmocka_unit_test(timestamps_are_read_in_all_three_forms),
        cmocka_unit_test(lists_are_read_by_index),
        cmocka_unit_test(maps_are_read_by_key_and_the_last_one_wins),
        cmocka_unit_test(entries_come_in_order_and_end),
        cmocka_unit_test(containers_that_are_cut_off_end_early),
        cmocka_unit_test(counts_never_exceed_what_the_bytes_could_hold),
        cmocka_unit_test(both_halves_of_the_token_reader_agree),
        cmocka_unit_test(skipping_agrees_with_reading),
        cmocka_unit_test(keys_are_found_however_they_are_written),
        cmocka_unit_test(a_key_is_found_as_by_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
