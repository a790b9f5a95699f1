/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include <slither/json.h>

#include "wire/writer.h"

#include "base/macros.h"

#include <jansson.h>
#include <math.h>

static struct sl_writer writer;
static struct sl_writer *w = &writer;
static char *text;
static size_t capacity;

static int set_up(void **state) {
    (void)state;
    sl_writer_init(w, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sl_writer_finish(w);
    free(text);
    text = NULL;
    capacity = 0;
    return 0;
}

static void expect_text_(struct sl_value value, uint32_t flags, const char *expected, int line) {
    struct sl_error error = SL_ERROR_INIT;
    size_t size;
    if (sl_json_print(value, flags, &text, &capacity, &size, &error) != SL_OK) {
        fail_msg("line %d: %s", line, error.message);
    }
    if (strcmp(text, expected) != 0 || size != strlen(text) || capacity <= size) {
        fail_msg("line %d: printed as %s", line, text);
    }
}

/* What was just written, printed. */
#define EXPECT(expected) (expect_text_(testing_end(w), 0, expected, __LINE__), sl_writer_reset(w))

static void every_type_has_its_text(void **state) {
    static const uint64_t shape[] = {2, 1};
    static const uint8_t elements[] = {1, 255};
    (void)state;
    sl_write_nil(w), EXPECT("null");
    sl_write_bool(w, true), EXPECT("true");
    sl_write_bool(w, false), EXPECT("false");
    sl_write_int(w, INT64_MIN), EXPECT("-9223372036854775808");
    sl_write_uint(w, UINT64_MAX), EXPECT("18446744073709551615");
    sl_write_float(w, 1), EXPECT("1.0");
    sl_write_float(w, -1e-7), EXPECT("-1e-07");
    sl_write_str(w, ""), EXPECT("\"\"");
    sl_write_bytes(w, "", 0), EXPECT("{\"$bytes\":\"\"}");
    sl_write_bytes(w, "\xff", 1), EXPECT("{\"$bytes\":\"/w==\"}");
    sl_write_bytes(w, "ab", 2), EXPECT("{\"$bytes\":\"YWI=\"}");
    sl_write_bytes(w, "abc", 3), EXPECT("{\"$bytes\":\"YWJj\"}");
    sl_write_bytes(w, "\xfb\xef\xbe\xff", 4), EXPECT("{\"$bytes\":\"++++/w==\"}");
    sl_write_list(w, 0), EXPECT("[]");
    sl_write_map(w, 0), EXPECT("{}");
    sl_write_list(w, 2), sl_write_int(w, 1), sl_write_list(w, 1), sl_write_nil(w), EXPECT("[1,[null]]");
    sl_write_map(w, 2), sl_write_str(w, "a"), sl_write_map(w, 0), sl_write_str(w, "b"), sl_write_int(w, 2);
    EXPECT("{\"a\":{},\"b\":2}");
    sl_write_array(w, SL_DTYPE_U8, 2, shape, elements);
    EXPECT("{\"$array\":{\"dtype\":\"u8\",\"shape\":[2,1],\"data\":\"Af8=\"}}");
    sl__write_buffer_array(w, 7, 64, SL_DTYPE_C128, 1, shape);
    EXPECT("{\"$array\":{\"dtype\":\"c128\",\"shape\":[2],\"buffer\":7,\"offset\":64}}");
    sl_write_ref(w, &(struct sl_ref){1, 2, 3, 4, "m.\"T\"", 5, NULL, 0});
    EXPECT("{\"$ref\":{\"session\":1,\"object\":2,\"worker\":3,\"generation\":4,\"type\":\"m.\\\"T\\\"\"}}");
    sl_write_ref(w, &(struct sl_ref){1, 2, 3, 4, "T", 1, "<T>", 3});
    EXPECT("{\"$ref\":{\"session\":1,\"object\":2,\"worker\":3,\"generation\":4,\"type\":\"T\",\"repr\":\"<T>\"}}");
    sl__write_mark(w, &(struct sl_mark){SL_MARK_SKIP, "no", 2, {NULL, 0}});
    EXPECT("{\"$mark\":{\"kind\":\"skip\",\"text\":\"no\"}}");
    sl__write_mark(w, &(struct sl_mark){SL_MARK_ROUTE, "to", 2, {(const uint8_t *)"\x91\x01", 2}});
    EXPECT("{\"$mark\":{\"kind\":\"route\",\"text\":\"to\",\"payload\":[1]}}");
}

static void strings_are_escaped_where_they_must_be(void **state) {
    char every[0x21];
    (void)state;
    sl_write_str(w, "\"\\/\b\f\n\r\t\x7f \xc3\xa9\xf0\x9f\x90\x8d");
    EXPECT("\"\\\"\\\\/\\b\\f\\n\\r\\t\x7f \xc3\xa9\xf0\x9f\x90\x8d\"");
    sl_write_strn(w, "a\0b", 3), EXPECT("\"a\\u0000b\"");
    for (int i = 0; i < 0x20; i++) {
        every[i] = (char)i;
    }
    sl_write_strn(w, every, 0x20);
    EXPECT("\"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f"
           "\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\"
           "u001f\"");
    /* Each byte that must be escaped is found at each place of a word. */
    for (int c = 0; c < 0x80; c++) {
        for (size_t place = 0; place < 20; place++) {
            char plain[20], back[20];
            size_t size;
            memset(plain, 'x', sizeof(plain));
            plain[place] = (char)c;
            sl_write_strn(w, plain, sizeof(plain));
            assert_int_equal(sl_json_print(testing_end(w), 0, &text, &capacity, &size, NULL), SL_OK);
            json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_non_null(json);
            assert_int_equal(json_string_length(json), sizeof(back));
            assert_memory_equal(json_string_value(json), plain, sizeof(plain));
            json_decref(json);
            sl_writer_reset(w);
        }
    }
}

static void keys_that_are_not_text_are_printed_in_quotes(void **state) {
    (void)state;
    sl_write_map(w, 7);
    sl_write_nil(w), sl_write_nil(w);
    sl_write_bool(w, true), sl_write_nil(w);
    sl_write_int(w, -5), sl_write_nil(w);
    sl_write_float(w, 0.5), sl_write_nil(w);
    sl_write_str(w, "s"), sl_write_nil(w);
    sl_write_bytes(w, "\xff", 1), sl_write_nil(w);
    sl_write_timestamp(w, (struct sl_timestamp){0, 0}), sl_write_nil(w);
    EXPECT("{\"null\":null,\"true\":null,\"-5\":null,\"0.5\":null,\"s\":null,\"{\\\"$bytes\\\":\\\"/w==\\\"}\":null,"
           "\"{\\\"$timestamp\\\":\\\"1970-01-01T00:00:00Z\\\"}\":null}");
}

static void timestamps_are_rfc_3339_where_that_reaches(void **state) {
    static const struct {
        int64_t seconds;
        uint32_t nanoseconds;
        const char *text;
    } cases[] = {
        {0, 0, "\"1970-01-01T00:00:00Z\""},
        {-1, 0, "\"1969-12-31T23:59:59Z\""},
        {-1, 500000000, "\"1969-12-31T23:59:59.500Z\""},
        {1709210096, 123456789, "\"2024-02-29T12:34:56.123456789Z\""},
        {1709210096, 123456000, "\"2024-02-29T12:34:56.123456Z\""},
        {951782400, 0, "\"2000-02-29T00:00:00Z\""},
        {4107542400, 1, "\"2100-03-01T00:00:00.000000001Z\""},
        {-62167219200, 0, "\"0000-01-01T00:00:00Z\""},
        {253402300799, 999999999, "\"9999-12-31T23:59:59.999999999Z\""},
        {-62167219201, 0, "{\"seconds\":-62167219201,\"nanoseconds\":0}"},
        {253402300800, 7, "{\"seconds\":253402300800,\"nanoseconds\":7}"},
        {INT64_MIN, 0, "{\"seconds\":-9223372036854775808,\"nanoseconds\":0}"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        char expected[100];
        snprintf(expected, sizeof(expected), "{\"$timestamp\":%s}", cases[i].text);
        sl_write_timestamp(w, (struct sl_timestamp){cases[i].seconds, cases[i].nanoseconds});
        EXPECT(expected);
    }
    /* Every day of 800 years is the one that the C library says. */
    for (int64_t day = -200000; day < 100000; day += 7) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        struct tm broken;
        char expected[100];
        assert_non_null(gmtime_r(&seconds, &broken));
        strftime(expected, sizeof(expected), "{\"$timestamp\":\"%Y-%m-%dT%H:%M:%SZ\"}", &broken);
        sl_write_timestamp(w, (struct sl_timestamp){seconds, 0});
        EXPECT(expected);
    }
}

static void pretty_text_is_indented_by_two(void **state) {
    (void)state;
    sl_write_map(w, 3);
    sl_write_str(w, "a"), sl_write_list(w, 2), sl_write_int(w, 1), sl_write_map(w, 0);
    sl_write_str(w, "b"), sl_write_map(w, 1), sl_write_str(w, "c"), sl_write_list(w, 0);
    sl_write_str(w, "d"), sl_write_bytes(w, "a", 1);
    expect_text_(
        testing_end(w), SL_JSON_PRETTY,
        "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": []\n  },\n  \"d\": {\"$bytes\":\"YQ==\"}\n}",
        __LINE__);
}

static void what_is_not_a_number_is_refused_with_its_place_or_null(void **state) {
    struct sl_error error = SL_ERROR_INIT;
    size_t size = 99;
    (void)state;
    sl_write_map(w, 1), sl_write_str(w, "items"), sl_write_list(w, 2), sl_write_int(w, 1);
    sl_write_map(w, 1), sl_write_str(w, "score"), sl_write_float(w, NAN);
    struct sl_value value = testing_end(w);
    assert_int_equal(sl_json_print(value, 0, &text, &capacity, &size, &error), SL_E_NOT_SERIALIZABLE);
    assert_non_null(strstr(error.message, "$.items[1].score (byte"));
    assert_non_null(strstr(error.message, "NaN"));
    assert_int_equal(size, 0);
    expect_text_(value, SL_JSON_NAN_AS_NULL, "{\"items\":[1,{\"score\":null}]}", __LINE__);
    sl_writer_reset(w);
    sl_write_float(w, -INFINITY);
    assert_int_equal(sl_json_print(testing_end(w), 0, &text, &capacity, &size, &error), SL_E_NOT_SERIALIZABLE);
    assert_non_null(strstr(error.message, "at $ (byte 0 of 9)"));
    assert_non_null(strstr(error.message, "infinity"));
    sl_writer_reset(w);
    sl_write_map(w, 2), sl_write_int(w, 1), sl_write_int(w, 2), sl_write_float(w, NAN), sl_write_int(w, 3);
    assert_int_equal(sl_json_print(testing_end(w), 0, &text, &capacity, &size, &error), SL_E_NOT_SERIALIZABLE);
    assert_non_null(strstr(error.message, "key of pair 1"));
    sl_writer_reset(w);
    /* A way that is too long is cut, not followed past its memory. */
    sl_write_list(w, 1);
    for (int i = 0; i < 100; i++) {
        sl_write_map(w, 1), sl_write_str(w, "a-rather-long-key");
    }
    sl_write_float(w, NAN);
    assert_int_equal(sl_json_print(testing_end(w), 0, &text, &capacity, &size, &error), SL_E_NOT_SERIALIZABLE);
    assert_non_null(strstr(error.message, "key... (byte"));
}

static void bytes_that_are_no_value_are_refused(void **state) {
    static const struct sl_value cases[] = {
#define VALUE(literal) {(const uint8_t *)(literal), sizeof(literal) - 1}
        {NULL, 0},
        VALUE("\xc1"),
        VALUE("\x92\x01"),
        VALUE("\x92\x01\xa5"),
        VALUE("\x81\xa1k\xcc"),
        VALUE("\x01\x02"),
        VALUE("\x81\x90\x01"),
        VALUE("\x81\xc7\x05\x01\x01\x00\x00\x00\x2a\x01"),
        VALUE("\xd4\x09\x00"),
        VALUE("\xd4\xff\x00"),
        VALUE("\x91\xd5\x04\x01\xa0"),
        VALUE("\xc7\x06\x04\x03\xa0\xd5\x04\x01\xa0"),
        VALUE("\xc7\x04\x04\x03\xa0\xc0\xc0"),
#undef VALUE
    };
    struct sl_error error = SL_ERROR_INIT;
    size_t size;
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        assert_int_equal(sl_json_print(cases[i], 0, &text, &capacity, &size, &error), SL_E_INVALID_DATA);
    }
    assert_int_equal(
        sl_json_print((struct sl_value){(const uint8_t *)"\xa1\xff", 2}, 0, &text, &capacity, &size, &error),
        SL_E_INVALID_UTF8);
    uint8_t deep[3000];
    memset(deep, 0x91, sizeof(deep));
    assert_int_equal(
        sl_json_print((struct sl_value){deep, sizeof(deep)}, SL_JSON_PRETTY, &text, &capacity, &size, &error),
        SL_E_INVALID_DATA);
}

static void whatever_a_value_holds_its_text_is_json(void **state) {
    uint64_t seed = testing_seed();
    (void)state;
    for (int round = 0; round < 5000; round++) {
        size_t size;
        sl_writer_reset(w);
        testing_write_value(w, &seed, 4, 0);
        struct sl_error error = SL_ERROR_INIT;
        if (sl_json_print(testing_end(w), SL_JSON_NAN_AS_NULL | (round % 2 ? SL_JSON_PRETTY : 0), &text, &capacity,
                          &size, &error) != SL_OK) {
            fail_msg("%s", error.message);
        }
        json_error_t found;
        json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &found);
        /* What jansson cannot: ints past 2^63-1 and U+0000 in keys; the generator makes the first. */
        if (json == NULL && json_error_code(&found) != json_error_numeric_overflow) {
            fail_msg("%s in %s", found.text, text);
        }
        json_decref(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(every_type_has_its_text),
        TEST(strings_are_escaped_where_they_must_be),
        TEST(keys_that_are_not_text_are_printed_in_quotes),
        TEST(timestamps_are_rfc_3339_where_that_reaches),
        TEST(pretty_text_is_indented_by_two),
        TEST(what_is_not_a_number_is_refused_with_its_place_or_null),
        TEST(bytes_that_are_no_value_are_refused),
        TEST(whatever_a_value_holds_its_text_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
