/* SPDX-License-Identifier: MIT */
#include "recycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "testing/fixture.h"

static uint64_t seed(void) {
    return (uint64_t)test_seed() * 2 + 1;
}

static void a_limit_is_never_passed_and_all_of_the_range_is_drawn(void **unused) {
    (void)unused;
    uint64_t random = seed();
    uint32_t seen[11] = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t drawn = sl__recycle_below(100, 10, &random);
        assert_in_range(drawn, 90, 100);
        seen[drawn - 90]++;
    }
    for (int i = 0; i < 11; i++) {
        assert_in_range(seen[i], 600, 1300); /* 909 each would be even */
    }
}

static void without_jitter_the_limit_is_exact(void **unused) {
    (void)unused;
    uint64_t random = seed();
    assert_int_equal(sl__recycle_below(7, 0, &random), 7);
    assert_int_equal(sl__recycle_below(UINT64_MAX - 1, 0, &random), UINT64_MAX - 1);
}

static void no_limit_stays_none(void **unused) {
    (void)unused;
    uint64_t random = seed();
    assert_true(sl__recycle_below(0, 50, &random) == SL__RECYCLE_NEVER);
    struct sl__recycle recycle = {.batches = 10, .jitter_percent = 10, .random = random};
    struct sl__recycle_limits limits = sl__recycle_draw(&recycle);
    assert_in_range(limits.batches, 9, 10);
    assert_true(limits.age_ms == SL__RECYCLE_NEVER);
    assert_true(limits.rss_bytes == SL__RECYCLE_NEVER);
}

static void small_and_large_limits_do_not_leave_the_range(void **unused) {
    (void)unused;
    uint64_t random = seed();
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sl__recycle_below(1, 50, &random), 1);
        assert_in_range(sl__recycle_below(2, 50, &random), 1, 2);
        uint64_t large = sl__recycle_below(UINT64_MAX - 1, 50, &random);
        assert_true(large >= (UINT64_MAX - 1) / 2 && large <= UINT64_MAX - 1);
    }
}

static void lives_draw_differently(void **unused) {
    (void)unused;
    struct sl__recycle recycle = {.age_ms = 1000000, .jitter_percent = 10, .random = seed()};
    uint64_t first = sl__recycle_draw(&recycle).age_ms;
    bool other = false;
    for (int i = 0; i < 20; i++) {
        other = other || sl__recycle_draw(&recycle).age_ms != first;
    }
    assert_true(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_is_never_passed_and_all_of_the_range_is_drawn),
        cmocka_unit_test(without_jitter_the_limit_is_exact),
        cmocka_unit_test(no_limit_stays_none),
        cmocka_unit_test(small_and_large_limits_do_not_leave_the_range),
        cmocka_unit_test(lives_draw_differently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
