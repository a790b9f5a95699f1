/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "number.h"

#include "testing_locale.h"

#include "base/macros.h"

#include <float.h>
#include <math.h>

static void expect_text(double value, const char *text) {
    char out[SL__NUMBER_SIZE_MAX + 1];
    size_t size = sl__print_double(out, value);
    assert_true(size <= SL__NUMBER_SIZE_MAX);
    out[size] = '\0';
    assert_string_equal(out, text);
}

/* What Python's repr() says. */
static const struct {
    double value;
    const char *text;
} golden[] = {
    {0.0, "0.0"},
    {-0.0, "-0.0"},
    {1.0, "1.0"},
    {-1.0, "-1.0"},
    {10.0, "10.0"},
    {0.1, "0.1"},
    {0.5, "0.5"},
    {-2.5, "-2.5"},
    {0.3, "0.3"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1.0 / 3, "0.3333333333333333"},
    {2.0 / 3, "0.6666666666666666"},
    {100.25, "100.25"},
    {0.0001, "0.0001"},
    {0.00012345, "0.00012345"},
    {0.00001, "1e-05"},
    {1.5e-7, "1.5e-07"},
    {123456789.125, "123456789.125"},
    {1e15, "1000000000000000.0"},
    {999999999999999.0, "999999999999999.0"},
    {999999999999999.9, "999999999999999.9"},
    {1e16, "1e+16"},
    {9999999999999998.0, "9999999999999998.0"},
    {9007199254740993.0, "9007199254740992.0"},
    {1e22, "1e+22"},
    {1e23, "1e+23"},
    {1e100, "1e+100"},
    {123e-100, "1.23e-98"},
    {DBL_MAX, "1.7976931348623157e+308"},
    {-DBL_MAX, "-1.7976931348623157e+308"},
    {DBL_MIN, "2.2250738585072014e-308"},
    {5e-324, "5e-324"},
    {1.5e-323, "1.5e-323"},
    {5.684341886080802e-14, "5.684341886080802e-14"}, /* 2^-44, whose nearest 16 digits read back as its neighbour */
    {9.5367431640625e-07, "9.5367431640625e-07"},
    {3.141592653589793, "3.141592653589793"},
};

static void doubles_have_the_digits_that_repr_has(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(golden); i++) {
        expect_text(golden[i].value, golden[i].text);
    }
}

static void every_double_reads_back(void **state) {
    uint64_t seed = testing_seed();
    char out[SL__NUMBER_SIZE_MAX + 1];
    (void)state;
    for (int round = 0; round < 200000; round++) {
        double value = testing_float(&seed);
        if (round % 3 == 0) {
            value = (double)testing_below(&seed, 1000000) / 1000;
        }
        if (!isfinite(value)) {
            continue;
        }
        size_t size = sl__print_double(out, value);
        out[size] = '\0';
        double back = strtod(out, NULL);
        if (memcmp(&back, &value, sizeof(value)) != 0 || strpbrk(out, ".e") == NULL) {
            fail_msg("%a was printed as %s", value, out);
        }
    }
    for (int exponent = -1074; exponent < 1024; exponent++) {
        double value = ldexp(1, exponent);
        out[sl__print_double(out, value)] = '\0';
        assert_true(strtod(out, NULL) == value);
    }
}

static void integers_are_printed_to_their_ends(void **state) {
    static const int64_t edges[] = {0, 9, 10, 99, 100, 12345, INT64_MAX, -1, -10, INT64_MIN};
    char out[SL__NUMBER_SIZE_MAX + 1], expected[32];
    uint64_t seed = testing_seed();
    (void)state;
    for (size_t i = 0; i < 10000; i++) {
        int64_t value = i < SL_COUNT_OF(edges) ? edges[i] : testing_int(&seed);
        out[sl__print_int(out, value)] = '\0';
        snprintf(expected, sizeof(expected), "%lld", (long long)value);
        assert_string_equal(out, expected);
        out[sl__print_uint(out, (uint64_t)value)] = '\0';
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
        assert_string_equal(out, expected);
    }
}

/* Last, because it changes the locale of the process. */
static void decimal_points_do_not_depend_on_the_locale(void **state) {
    (void)state;
    if (!testing_enter_comma_locale()) {
        skip();
    }
    doubles_have_the_digits_that_repr_has(NULL);
    setlocale(LC_ALL, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_have_the_digits_that_repr_has),
        cmocka_unit_test(every_double_reads_back),
        cmocka_unit_test(integers_are_printed_to_their_ends),
        cmocka_unit_test(decimal_points_do_not_depend_on_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
