/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include <slither/json.h>

#include "testing_locale.h"

#include "base/macros.h"

static struct sl_writer writer;
static struct sl_writer *w = &writer;

static int set_up(void **state) {
    (void)state;
    sl_writer_init(w, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sl_writer_finish(w);
    return 0;
}

static enum sl_code parse(const char *text, size_t size, struct sl_error *error) {
    sl_writer_reset(w);
    char *copy = (char *)testing_copy(text, size); /* no NUL at the end */
    enum sl_code code = sl_json_parse(copy, size, w, error);
    free(copy);
    return code;
}

static void json_becomes_values(void **state) {
    static const struct {
        const char *text, *printed; /* NULL: as it stands */
    } cases[] = {
        {"null", NULL},
        {"true", NULL},
        {" false\n", "false"},
        {"0", NULL},
        {"-0", "0"},
        {"9223372036854775807", NULL},
        {"-9223372036854775808", NULL},
        {"1.0", NULL},
        {"1E2", "100.0"},
        {"-0.0", NULL},
        {"0.1", NULL},
        {"1e-400", "0.0"},
        {"\"\"", NULL},
        {"\"\\u00e9\\ud83d\\udc0d\\/\"", "\"\xc3\xa9\xf0\x9f\x90\x8d/\""},
        {"\"a\\u0000b\"", NULL},
        {"[]", NULL},
        {"[1,[2.5,\"x\",null],{}]", NULL},
        {"{\"z\":1,\"a\":2,\"m\":{\"y\":[],\"b\":true}}", NULL}, /* the order of keys is kept */
        {"{\"$bytes\":\"YQ==\"}", NULL},                         /* a map like any other */
    };
    char *text = NULL;
    size_t capacity = 0, size;
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        struct sl_error error = SL_ERROR_INIT;
        if (parse(cases[i].text, strlen(cases[i].text), &error) != SL_OK) {
            fail_msg("%s: %s", cases[i].text, error.message);
        }
        assert_int_equal(sl_json_print(testing_end(w), 0, &text, &capacity, &size, NULL), SL_OK);
        assert_string_equal(text, cases[i].printed != NULL ? cases[i].printed : cases[i].text);
    }
    free(text);
    assert_int_equal(parse("{\"$bytes\":\"YQ==\"}", 17, NULL), SL_OK);
    assert_int_equal(sl_value_type(testing_end(w)), SL_TYPE_MAP);
    assert_int_equal(parse("1", 1, NULL), SL_OK);
    assert_int_equal(sl_value_type(testing_end(w)), SL_TYPE_INT);
    assert_int_equal(parse("1.0", 3, NULL), SL_OK);
    assert_int_equal(sl_value_type(testing_end(w)), SL_TYPE_FLOAT);
}

static void errors_say_where_and_what(void **state) {
    static const struct {
        const char *text;
        size_t size; /* 0: to the NUL */
        enum sl_code code;
        const char *words[3];
    } cases[] = {
        {"", 0, SL_E_INVALID_DATA, {"without a value"}},
        {" \n\t", 0, SL_E_INVALID_DATA, {"without a value"}},
        {"[1,\n 2,,3]", 0, SL_E_INVALID_DATA, {"line 2", "column 4", "','"}},
        {"{\"a\" 1}", 0, SL_E_INVALID_DATA, {"line 1, column 6 (byte 6)", "':' expected"}},
        {"{\"a\":1,\"a\":2}", 0, SL_E_INVALID_DATA, {"duplicate", "\"a\""}},
        {"[1] 2", 0, SL_E_INVALID_DATA, {"end of file expected", "2"}},
        {"nul", 0, SL_E_INVALID_DATA, {"nul"}},
        {"'x'", 0, SL_E_INVALID_DATA, {"'"}},
        {"NaN", 0, SL_E_INVALID_DATA, {"NaN"}},
        {"[1", 0, SL_E_INVALID_DATA, {"']' expected"}},
        {"\"abc", 0, SL_E_INVALID_DATA, {"premature end"}},
        {"\"\\ud800\"", 0, SL_E_INVALID_DATA, {"Unicode"}},
        {"\"\n\"", 0, SL_E_INVALID_DATA, {"line 1"}},
        {"[1]\0[2]", 7, SL_E_INVALID_DATA, {"line 1, column 4 (byte 3)", "NUL"}},
        {"\n \"a\0b\"", 7, SL_E_INVALID_DATA, {"line 2, column 4", "NUL"}},
        {"{\"a\\u0000\":1}", 0, SL_E_INVALID_DATA, {"U+0000"}},
        {"\"\xff\"", 0, SL_E_INVALID_UTF8, {"UTF-8"}},
        {"\"\xed\xa0\x80\"", 0, SL_E_INVALID_UTF8, {"UTF-8"}},
        {"9223372036854775808", 0, SL_E_INVALID_DATA, {"9223372036854775808 does not fit", "2^63-1", "string"}},
        {"{\"big\": -9223372036854775809, \"x\": 3}", 0, SL_E_INVALID_DATA, {"-9223372036854775809 does not fit"}},
        {"[123456789012345678901234567890]", 0, SL_E_INVALID_DATA, {"123456789012345678901234567890 does not fit"}},
        {"[1e400,1]", 0, SL_E_INVALID_DATA, {"1e400 does not fit"}},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        struct sl_error error = SL_ERROR_INIT;
        enum sl_code code = parse(cases[i].text, cases[i].size > 0 ? cases[i].size : strlen(cases[i].text), &error);
        if (code != cases[i].code || error.code != code) {
            fail_msg("%s: %s: %s", cases[i].text, sl_code_name(code), error.message);
        }
        for (int word = 0; word < 3 && cases[i].words[word] != NULL; word++) {
            if (strstr(error.message, cases[i].words[word]) == NULL) {
                fail_msg("%s: `%s` lacks `%s`", cases[i].text, error.message, cases[i].words[word]);
            }
        }
        /* Text that cannot be read leaves the writer as it was. */
        sl_write_nil(w);
        assert_int_equal(testing_end(w).size, 1);
    }
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_reset(w);
    assert_int_equal(sl_json_parse(NULL, 0, w, &error), SL_E_INVALID_DATA);
}

static enum sl_code parse_nested(size_t depth, struct sl_error *error) {
    char text[2 * 5000];
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return parse(text, 2 * depth, error);
}

static void depth_and_size_are_the_writers(void **state) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_limits limits = SL_LIMITS_INIT;
    (void)state;
    assert_int_equal(parse_nested(128, &error), SL_OK);
    assert_int_equal(parse_nested(129, &error), SL_E_LIMIT);
    assert_non_null(strstr(error.message, "depth_max"));
    assert_int_equal(parse_nested(2000, &error), SL_E_LIMIT);
    assert_int_equal(parse_nested(5000, &error), SL_E_LIMIT); /* past jansson's own bound */
    sl_writer_finish(w);
    limits.depth_max = SL_DEPTH_MAX_LIMIT;
    limits.size_max = 2000;
    sl_writer_init(w, &limits);
    assert_int_equal(parse_nested(1024, &error), SL_OK);
    assert_int_equal(parse_nested(1025, &error), SL_E_LIMIT);
    char text[2100];
    memset(text, 'x', sizeof(text));
    text[0] = text[sizeof(text) - 1] = '"';
    assert_int_equal(parse(text, sizeof(text), &error), SL_E_LIMIT);
}

static void json_may_be_an_entry_of_a_value(void **state) {
    struct sl_value entry;
    int64_t integer;
    (void)state;
    sl_write_map(w, 2);
    sl_write_str(w, "item"), assert_int_equal(sl_json_parse("[7]", 3, w, NULL), SL_OK);
    sl_write_str(w, "id"), sl_write_int(w, 1);
    struct sl_value value = testing_end(w);
    assert_int_equal(sl_value_get(value, "item", &entry), SL_OK);
    assert_int_equal(sl_value_at(entry, 0, &entry), SL_OK);
    assert_int_equal(sl_value_int(entry, &integer), SL_OK);
    assert_int_equal(integer, 7);
    /* An error that stuck before comes out, and nothing is read. */
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_reset(w);
    sl_write_str(w, "\xff");
    assert_int_equal(sl_json_parse("[7]", 3, w, &error), SL_E_INVALID_UTF8);
    /* A second value is one too many, and the writer says so. */
    sl_writer_reset(w);
    sl_write_nil(w);
    assert_int_equal(sl_json_parse("[7]", 3, w, &error), SL_E_INVALID_ARGUMENT);
}

static void expect_round_trips(uint64_t *seed, int rounds) {
    struct sl_writer back;
    char *text = NULL;
    size_t capacity = 0, size;
    sl_writer_init(&back, NULL);
    for (int round = 0; round < rounds; round++) {
        struct sl_error error = SL_ERROR_INIT;
        sl_writer_reset(w);
        sl_writer_reset(&back);
        testing_write_value(w, seed, 4, TESTING_JSON);
        struct sl_value value = testing_end(w);
        if (sl_json_print(value, round % 2 ? SL_JSON_PRETTY : 0, &text, &capacity, &size, &error) != SL_OK ||
            sl_json_parse(text, size, &back, &error) != SL_OK) {
            fail_msg("%s", error.message);
        }
        struct sl_value again = testing_end(&back);
        if (again.size != value.size || memcmp(again.data, value.data, value.size) != 0) {
            fail_msg("came back as another value: %s", text);
        }
    }
    free(text);
    sl_writer_finish(&back);
}

static void what_json_can_say_comes_back_to_the_byte(void **state) {
    uint64_t seed = testing_seed();
    (void)state;
    expect_round_trips(&seed, 3000);
}

static void the_locale_makes_no_difference(void **state) {
    uint64_t seed = testing_seed();
    (void)state;
    if (!testing_enter_comma_locale()) {
        skip();
    }
    expect_round_trips(&seed, 500);
    struct sl_value entry;
    double real;
    assert_int_equal(parse("[1.5]", 5, NULL), SL_OK);
    assert_int_equal(sl_value_at(testing_end(w), 0, &entry), SL_OK);
    assert_int_equal(sl_value_float(entry, &real), SL_OK);
    assert_true(real == 1.5);
    assert_int_equal(parse("1,5", 3, NULL), SL_E_INVALID_DATA);
    setlocale(LC_ALL, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(json_becomes_values),
        TEST(errors_say_where_and_what),
        TEST(depth_and_size_are_the_writers),
        TEST(json_may_be_an_entry_of_a_value),
        TEST(what_json_can_say_comes_back_to_the_byte),
        TEST(the_locale_makes_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
