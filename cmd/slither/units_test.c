/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "units.h"

static void counts(void **state) {
    (void)state;
    uint64_t count = 7;
    assert_true(parse_count("0", &count));
    assert_int_equal(count, 0);
    assert_true(parse_count("18446744073709551615", &count));
    assert_true(count == UINT64_MAX);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x10", "18446744073709551616", "1e3", "one"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(parse_count(bad[i], &count));
    }
}

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"500ms", 500},  {"30s", 30000},   {"2m", 120000},   {"2min", 120000},
                {"1h", 3600000}, {"1d", 86400000}, {"0", 0},         {"0s", 0},
                {"1.5s", 1500},  {"0.3s", 300},    {"1m30s", 90000}, {"1h0m1ms", 3600001},
                {"0.1ms", 1},    {"0.0001s", 1}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms = 7;
        assert_true(parse_duration_ms(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    static const char *const bad[] = {"",     "30",  "s",   "30 s", "-1s", "1s ",  "1x",
                                      "1sec", ".5s", "1.s", "1s2",  "nan", "1e3s", "99999999999999999d"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ms;
        assert_false(parse_duration_ms(bad[i], &ms));
    }
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {{"0", 0},
                {"123", 123},
                {"123B", 123},
                {"64M", 64 << 20},
                {"64m", 64 << 20},
                {"64MiB", 64 << 20},
                {"64MB", 64 << 20},
                {"1.5K", 1536},
                {"1G", (uint64_t)1 << 30},
                {"2T", (uint64_t)2 << 40}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t size = 7;
        assert_true(parse_size(good[i].text, &size));
        assert_true(size == good[i].size);
    }
    static const char *const bad[] = {"", "M", "-1M", "64X", "64Mi", "64 M", "64MM", "64iB", "9999999999T"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t size;
        assert_false(parse_size(bad[i], &size));
    }
}

static void fractions(void **state) {
    (void)state;
    double fraction = 7;
    assert_true(parse_fraction("0.25", &fraction));
    assert_true(fraction == 0.25);
    assert_true(parse_fraction("1", &fraction));
    assert_false(parse_fraction("1.01", &fraction));
    assert_false(parse_fraction("-0.5", &fraction));
    assert_false(parse_fraction("50%", &fraction));
}

static void formats(void **state) {
    (void)state;
    char text[UNIT_TEXT_SIZE];
    static const struct {
        double number;
        const char *text;
    } numbers[] = {{0, "0"},         {7, "7"},         {7.25, "7.2"},    {813, "813"},      {9999, "9999"},
                   {9999.4, "9999"}, {12345, "12.3k"}, {999499, "999k"}, {999500, "1.00M"}, {1.2e9, "1.20G"}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        format_short(numbers[i].number, text);
        assert_string_equal(text, numbers[i].text);
    }
    format_clock(7000000000u, text);
    assert_string_equal(text, "00:07");
    format_clock((uint64_t)3723 * 1000000000, text);
    assert_string_equal(text, "1:02:03");
    format_clock((uint64_t)(2 * 86400 + 3 * 3600 + 240) * 1000000000, text);
    assert_string_equal(text, "2d 03:04");
    format_duration(820000000, text);
    assert_string_equal(text, "820 ms");
    format_duration(1234000000, text);
    assert_string_equal(text, "1.23 s");
    format_duration((uint64_t)125 * 1000000000, text);
    assert_string_equal(text, "2 min 5 s");
    format_size(1023, text);
    assert_string_equal(text, "1023 B");
    format_size(3565158, text);
    assert_string_equal(text, "3.4 MiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),    cmocka_unit_test(durations), cmocka_unit_test(sizes),
        cmocka_unit_test(fractions), cmocka_unit_test(formats),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
