/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "units.h"

static void whole_numbers(void **state) {
    (void)state;
    uint64_t value = 7;
    assert_true(sl__parse_count("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_true(sl__parse_count("0x1F", &value) && value == 31);
    assert_true(sl__parse_count("0o17", &value) && value == 15);
    static const char *const wrong[] = {"",   "-1",  "+1",  "1.0", "1e3", "18446744073709551616",
                                        "0x", "0xg", "0o8", "1 ",  " 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sl__parse_count(wrong[i], &value));
    }
}

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } right[] = {{"0", 0},      {"500ms", 500},  {"1.5s", 1500},   {"1m30s", 90000}, {"2min", 120000},
                 {"0.3s", 300}, {"1h", 3600000}, {"1d", 86400000}, {"0.0001s", 1},   {"1s1ms", 1001}};
    static const char *const wrong[] = {"", "1", "s", "1 s", "-1s", "1sec", "1.s", ".5s", "1e3s", "99999999999999999d"};
    uint64_t value;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_true(sl__parse_duration(right[i].text, &value));
        assert_int_equal(value, right[i].ms);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sl__parse_duration(wrong[i], &value));
    }
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"0", 0}, {"4096", 4096}, {"1B", 1}, {"64K", 65536}, {"1.5M", 1572864}, {"2GiB", (uint64_t)2 << 30}};
    static const char *const wrong[] = {"", "K", "1k", "1KB", "1Ki", "1 K", "-1", "9999999999T"};
    uint64_t value;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_true(sl__parse_size(right[i].text, &value));
        assert_int_equal(value, right[i].bytes);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sl__parse_size(wrong[i], &value));
    }
}

static void numbers(void **state) {
    (void)state;
    double value;
    assert_true(sl__parse_number("-1.5e3", &value) && value == -1500);
    assert_false(sl__parse_number("", &value));
    assert_false(sl__parse_number("1x", &value));
    assert_false(sl__parse_number("inf", &value));
    assert_false(sl__parse_number("1e999", &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
