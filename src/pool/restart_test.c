/* SPDX-License-Identifier: MIT */
#include "restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS 1000000u

static void the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long_each(void **unused) {
    (void)unused;
    struct sl__backoff backoff = {0};
    const uint64_t expected[] = {0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(sl__backoff_next(&backoff, 50, false), expected[i]);
    }
}

static void success_starts_over(void **unused) {
    (void)unused;
    struct sl__backoff backoff = {0};
    for (int i = 0; i < 5; i++) {
        (void)sl__backoff_next(&backoff, 50, false);
    }
    assert_int_equal(sl__backoff_next(&backoff, 50, true), 0);
    assert_int_equal(sl__backoff_next(&backoff, 50, false), 50);
}

static void it_is_never_at_once_twice_in_a_row(void **unused) {
    (void)unused;
    struct sl__backoff backoff = {0};
    assert_int_equal(sl__backoff_next(&backoff, 0, false), 0);
    assert_int_equal(sl__backoff_next(&backoff, 0, false), 1);
    backoff.in_a_row = UINT32_MAX;
    assert_int_equal(sl__backoff_next(&backoff, 0, false), SL__BACKOFF_MAX_MS);
    assert_int_equal(backoff.in_a_row, UINT32_MAX);
}

static void the_budget_is_spent_by_one_death_more_than_it_allows(void **unused) {
    (void)unused;
    struct sl__budget budget;
    assert_true(sl__budget_init(&budget, 3, 1000));
    assert_true(sl__budget_spend(&budget, 1000 * (uint64_t)MS));
    assert_true(sl__budget_spend(&budget, 1100 * (uint64_t)MS));
    assert_true(sl__budget_spend(&budget, 1200 * (uint64_t)MS));
    assert_false(sl__budget_spend(&budget, 1300 * (uint64_t)MS));
    assert_int_equal(sl__budget_spent(&budget, 1300 * (uint64_t)MS), 4);
    assert_false(sl__budget_spend(&budget, 1300 * (uint64_t)MS)); /* still */
    sl__budget_finish(&budget);
}

static void deaths_leave_the_window(void **unused) {
    (void)unused;
    struct sl__budget budget;
    assert_true(sl__budget_init(&budget, 2, 1000));
    for (uint64_t second = 1; second < 100; second++) {
        /* Two within each second, for ever. */
        assert_true(sl__budget_spend(&budget, second * 1001 * MS));
        assert_true(sl__budget_spend(&budget, second * 1001 * MS));
        assert_int_equal(sl__budget_spent(&budget, second * 1001 * MS), 2);
    }
    sl__budget_finish(&budget);
}

static void without_restarts_the_first_death_is_the_last(void **unused) {
    (void)unused;
    struct sl__budget budget;
    assert_true(sl__budget_init(&budget, 0, 1000));
    assert_false(sl__budget_spend(&budget, MS));
    sl__budget_finish(&budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long_each),
        cmocka_unit_test(success_starts_over),
        cmocka_unit_test(it_is_never_at_once_twice_in_a_row),
        cmocka_unit_test(the_budget_is_spent_by_one_death_more_than_it_allows),
        cmocka_unit_test(deaths_leave_the_window),
        cmocka_unit_test(without_restarts_the_first_death_is_the_last),
    };
    return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
