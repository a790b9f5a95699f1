/* SPDX-License-Identifier: MIT */
/* Values that are printed without loss come back as they were. */
#include "testing.h"

#include <slither/json.h>

#include <math.h>

#include "base/macros.h"

#define VALUES 20000
#define DEPTH 4

static struct sl_writer writer, back;
static char *text, *again;
static size_t text_capacity, again_capacity;

static int tear_down(void **state) {
    (void)state;
    sl_writer_finish(&writer);
    sl_writer_finish(&back);
    free(text);
    free(again);
    return 0;
}

static enum sl_code restore(const char *json, struct sl_error *error) {
    sl_writer_reset(&back);
    char *copy = (char *)testing_copy(json, strlen(json)); /* no NUL at the end */
    enum sl_code code = sl_json_restore(copy, strlen(json), &back, error);
    free(copy);
    return code;
}

static const char *print(struct sl_value value, char **out, size_t *capacity) {
    struct sl_error error = SL_ERROR_INIT;
    size_t size;
    if (sl_json_print(value, SL_JSON_LOSSLESS | SL_JSON_NAN_AS_NULL, out, capacity, &size, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return *out;
}

static void every_value_comes_back(void **state) {
    uint64_t seed = testing_seed();
    int refused = 0;
    (void)state;
    for (int i = 0; i < VALUES; i++) {
        struct sl_error error = SL_ERROR_INIT;
        sl_writer_reset(&writer);
        testing_write_value(&writer, &seed, DEPTH, 0);
        struct sl_value value = testing_end(&writer);
        print(value, &text, &text_capacity);
        if (restore(text, &error) != SL_OK) {
            if (strstr(error.message, "duplicate") == NULL) { /* the one thing that JSON readers refuse */
                fail_msg("%s: %s", text, error.message);
            }
            refused++;
            continue;
        }
        struct sl_value found = testing_end(&back);
        assert_int_equal(sl_value_type(found), sl_value_type(value));
        assert_int_equal(sl_value_compare(found, value), 0);
        assert_string_equal(print(found, &again, &again_capacity), text); /* 1 and 1.0 are equal, and not the same */
    }
    assert_true(refused < VALUES / 4);
}

/* What each type looks like, so that files of one version are read by the next. */
static void the_form_of_each_type_is_fixed(void **state) {
    static const char *const forms[] = {
        "null",
        "true",
        "-9223372036854775808",
        "{\"$uint\":\"18446744073709551615\"}",
        "{\"$uint\":\"9223372036854775808\"}",
        "1.0",
        "-0.0",
        "{\"$float\":\"nan\"}",
        "{\"$float\":\"inf\"}",
        "{\"$float\":\"-inf\"}",
        "\"a\\u0000b\"",
        "{\"$bytes\":\"\"}",
        "{\"$bytes\":\"AA==\"}",
        "{\"$bytes\":\"/+8=\"}",
        "{\"$bytes\":\"YWJj\"}",
        "{\"$timestamp\":\"1970-01-01T00:00:00Z\"}",
        "{\"$timestamp\":\"0000-02-29T23:59:59.000000001Z\"}",
        "{\"$timestamp\":\"2024-02-29T12:30:15.250Z\"}",
        "{\"$timestamp\":\"9999-12-31T23:59:59.999999Z\"}",
        "{\"$timestamp\":{\"seconds\":-62167219201,\"nanoseconds\":999999999}}",
        "{\"$timestamp\":{\"seconds\":253402300800,\"nanoseconds\":0}}",
        "{\"$array\":{\"dtype\":\"u8\",\"shape\":[],\"data\":\"Bw==\"}}",
        "{\"$array\":{\"dtype\":\"i16\",\"shape\":[2,1],\"data\":\"AQACAA==\"}}",
        "{\"$array\":{\"dtype\":\"f64\",\"shape\":[0],\"data\":\"\"}}",
        "{\"$ref\":{\"session\":1,\"object\":2,\"worker\":3,\"generation\":4,\"type\":\"T\",\"repr\":\"<T>\"}}",
        "{\"$ref\":{\"session\":1,\"object\":2,\"worker\":3,\"generation\":4,\"type\":\"T\"}}",
        "[]",
        "{}",
        "{\"a\":{\"$bytes\":\"YQ==\"},\"b$\":[]}",
        "{\"$map\":[[1,\"a\"],[\"1\",\"b\"],[null,{}]]}",
        "{\"$map\":[[{\"$bytes\":\"YQ==\"},{\"$map\":[[true,[{\"$float\":\"nan\"}]]]}]]}",
        "{\"$map\":[[\"$bytes\",\"YQ==\"]]}", /* a map of the user's that looks like one of ours */
        "{\"$map\":[[\"a\",1],[\"$b\",2]]}",
        "{\"$map\":[[\"a\\u0000\",1]]}",
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(forms); i++) {
        struct sl_error error = SL_ERROR_INIT;
        if (restore(forms[i], &error) != SL_OK) {
            fail_msg("%s: %s", forms[i], error.message);
        }
        assert_string_equal(print(testing_end(&back), &text, &text_capacity), forms[i]);
    }
    assert_int_equal(restore("{\"$map\":[[\"$bytes\",\"YQ==\"]]}", NULL), SL_OK);
    assert_int_equal(sl_value_type(testing_end(&back)), SL_TYPE_MAP);
    assert_int_equal(restore("{\"$float\":\"nan\"}", NULL), SL_OK);
    double real = 0;
    assert_int_equal(sl_value_float(testing_end(&back), &real), SL_OK);
    assert_true(isnan(real));
}

static void objects_of_other_forms_are_maps(void **state) {
    static const char *const forms[] = {
        "{\"$ref\":\"#/definitions/item\"}",
        "{\"$oid\":\"5f\"}",
        "{\"$bytes\":1}",
        "{\"$bytes\":\"YQ==\",\"more\":1}",
        "{\"$timestamp\":{\"seconds\":1}}",
        "{\"$array\":[1,2]}",
        "{\"$map\":[[1,2,3]]}",
        "{\"$map\":{}}",
        "{\"$float\":1.5}",
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(forms); i++) {
        size_t size;
        struct sl_error error = SL_ERROR_INIT;
        if (restore(forms[i], &error) != SL_OK) {
            fail_msg("%s: %s", forms[i], error.message);
        }
        assert_int_equal(sl_value_type(testing_end(&back)), SL_TYPE_MAP);
        assert_int_equal(sl_json_print(testing_end(&back), 0, &text, &text_capacity, &size, NULL), SL_OK);
        assert_string_equal(text, forms[i]);
    }
}

static void what_says_nothing_is_refused(void **state) {
    static const char *const forms[][2] = {
        {"{\"$bytes\":\"YQ\"}", "base64"},
        {"{\"$bytes\":\"YR==\"}", "base64"}, /* bits left over */
        {"{\"$bytes\":\"Y===\"}", "base64"},
        {"{\"$bytes\":\"====\"}", "base64"},
        {"{\"$bytes\":\"YQ==YQ==\"}", "base64"},
        {"{\"$bytes\":\"Y Q=\"}", "base64"},
        {"{\"$uint\":\"\"}", "2^64-1"},
        {"{\"$uint\":\"-1\"}", "2^64-1"},
        {"{\"$uint\":\"18446744073709551616\"}", "2^64-1"},
        {"{\"$float\":\"1.5\"}", "$float"},
        {"{\"$timestamp\":\"2023-02-29T00:00:00Z\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-00-01T00:00:00Z\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-13-01T00:00:00Z\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-01-01T24:00:00Z\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-01-01T00:00:00\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-01-01T00:00:00.Z\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-01-01T00:00:00.1234567890Z\"}", "$timestamp"},
        {"{\"$timestamp\":\"2023-01-01T00:00:00+01:00\"}", "$timestamp"},
        {"{\"$timestamp\":{\"seconds\":1,\"nanoseconds\":1000000000}}", "$timestamp"},
        {"{\"$array\":{\"dtype\":\"u9\",\"shape\":[],\"data\":\"Bw==\"}}", "$array"},
        {"{\"$array\":{\"dtype\":\"u8\",\"shape\":[2],\"data\":\"Bw==\"}}", "$array"},
        {"{\"$array\":{\"dtype\":\"u8\",\"shape\":[-1],\"data\":\"Bw==\"}}", "$array"},
        {"{\"$ref\":{\"session\":1,\"object\":2,\"worker\":4294967296,\"generation\":4,\"type\":\"T\"}}", "$ref"},
        {"{\"$map\":[[[],1]]}", "key"},
        {"[1,{\"a\":{\"$bytes\":\"?\"}}]", "base64"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(forms); i++) {
        struct sl_error error = SL_ERROR_INIT;
        if (restore(forms[i][0], &error) == SL_OK || strstr(error.message, forms[i][1]) == NULL) {
            fail_msg("%s: expected an error with \"%s\", got \"%s\"", forms[i][0], forms[i][1], error.message);
        }
        sl_error_finish(&error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_comes_back),
        cmocka_unit_test(the_form_of_each_type_is_fixed),
        cmocka_unit_test(objects_of_other_forms_are_maps),
        cmocka_unit_test(what_says_nothing_is_refused),
    };
    sl_writer_init(&writer, NULL);
    sl_writer_init(&back, NULL);
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
