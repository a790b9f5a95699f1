/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"

static void sums_and_products_say_when_they_do_not_fit(void **state) {
    (void)state;
    size_t size = 7;
    assert_true(sl__add_size(SIZE_MAX - 1, 1, &size));
    assert_true(size == SIZE_MAX);
    assert_false(sl__add_size(SIZE_MAX, 1, &size));
    assert_true(size == SIZE_MAX);
    assert_false(sl__sub_size(1, 2, &size));
    assert_false(sl__mul_size(SIZE_MAX / 2 + 1, 2, &size));
    assert_true(size == SIZE_MAX);
    uint32_t narrow = 0;
    assert_false(sl__add_u32(UINT32_MAX, 1, &narrow));
    assert_true(sl__mul_u32(65536, 65535, &narrow));
    assert_true(narrow == 4294901760u);
    assert_false(sl__mul_u32(65536, 65536, &narrow));
    int64_t number = 0;
    assert_false(sl__add_i64(INT64_MAX, 1, &number));
    assert_true(sl__add_i64(INT64_MIN, INT64_MAX, &number));
    assert_true(number == -1);
}

static void spans_at_the_edge_fit_and_past_it_do_not(void **state) {
    (void)state;
    assert_true(sl__span_fits(0, 0, 0));
    assert_true(sl__span_fits(10, 0, 10));
    assert_true(sl__span_fits(4, 6, 10));
    assert_false(sl__span_fits(4, 7, 10));
    assert_false(sl__span_fits(11, 0, 10));
    assert_false(sl__span_fits(UINT64_MAX, 2, 10));
    assert_false(sl__span_fits(2, UINT64_MAX, 10));
}

static void saturating_stays_at_the_end(void **state) {
    (void)state;
    assert_true(sl__add_u64_saturating(UINT64_MAX - 1, 5) == UINT64_MAX);
    assert_true(sl__add_u64_saturating(2, 5) == 7);
    assert_true(sl__mul_u64_saturating(UINT64_MAX / 2, 3) == UINT64_MAX);
    assert_true(sl__mul_u64_saturating(6, 7) == 42);
}

static void alignment_rounds_up(void **state) {
    (void)state;
    uint64_t out = 1;
    assert_true(sl__align_up_u64(0, 64, &out) && out == 0);
    assert_true(sl__align_up_u64(1, 64, &out) && out == 64);
    assert_true(sl__align_up_u64(64, 64, &out) && out == 64);
    assert_false(sl__align_up_u64(UINT64_MAX - 3, 64, &out));
}

static void powers_of_two(void **state) {
    (void)state;
    assert_false(sl__is_power_of_two(0));
    assert_true(sl__is_power_of_two(1));
    assert_false(sl__is_power_of_two(6));
    assert_true(sl__power_of_two_from(0) == 1);
    assert_true(sl__power_of_two_from(5) == 8);
    assert_true(sl__power_of_two_from(8) == 8);
    assert_true(sl__power_of_two_from((uint64_t)1 << 63) == (uint64_t)1 << 63);
    assert_true(sl__power_of_two_from(((uint64_t)1 << 63) + 1) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_say_when_they_do_not_fit),
        cmocka_unit_test(spans_at_the_edge_fit_and_past_it_do_not),
        cmocka_unit_test(saturating_stays_at_the_end),
        cmocka_unit_test(alignment_rounds_up),
        cmocka_unit_test(powers_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
