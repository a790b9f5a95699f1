/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void add(struct sl__tally *tally, uint32_t worker, uint32_t generation, enum sl_death_cause cause) {
    char text[] = "SIGSEGV somewhere";
    const struct sl_death death = {
        .size = sizeof(death), .cause = cause, .worker = worker, .generation = generation, .traceback = text};
    sl__tally_add(tally, &death);
}

static void an_empty_one_has_none(void **unused) {
    (void)unused;
    struct sl__tally tally;
    struct sl_death *deaths[2];
    sl__tally_init(&tally);
    assert_int_equal(sl__tally_copy(&tally, deaths, 2), 0);
    const uint64_t id = 1;
    sl__tally_complete(&tally, 0, 1, 1, &id, 1);
    sl__tally_finish(&tally);
}

static void the_newest_comes_first_and_the_oldest_goes(void **unused) {
    (void)unused;
    struct sl__tally tally;
    struct sl_death *deaths[SL_POOL_DEATHS_MAX + 8];
    uint64_t counts[SL_DEATH_CAUSE_COUNT];
    sl__tally_init(&tally);
    for (uint32_t i = 1; i <= SL_POOL_DEATHS_MAX + 5; i++) {
        add(&tally, 3, i, i % 2 == 0 ? SL_DEATH_SIGNAL : SL_DEATH_TIMEOUT);
        uint32_t kept = i < SL_POOL_DEATHS_MAX ? i : SL_POOL_DEATHS_MAX;
        assert_int_equal(sl__tally_copy(&tally, deaths, SL_POOL_DEATHS_MAX + 8), kept);
        for (uint32_t k = 0; k < kept; k++) {
            assert_int_equal(deaths[k]->generation, i - k);
            assert_string_equal(deaths[k]->traceback, "SIGSEGV somewhere");
            sl_death_destroy(deaths[k]);
        }
    }
    assert_int_equal(sl__tally_copy(&tally, deaths, 1), 1);
    assert_int_equal(deaths[0]->generation, SL_POOL_DEATHS_MAX + 5);
    sl_death_destroy(deaths[0]);
    sl__tally_counts(&tally, counts);
    assert_int_equal(counts[SL_DEATH_SIGNAL], (SL_POOL_DEATHS_MAX + 5) / 2);
    assert_int_equal(counts[SL_DEATH_TIMEOUT], SL_POOL_DEATHS_MAX + 5 - (SL_POOL_DEATHS_MAX + 5) / 2);
    assert_int_equal(counts[SL_DEATH_UNKNOWN], 0);
    sl__tally_finish(&tally);
}

static void items_go_to_the_life_that_had_them(void **unused) {
    (void)unused;
    struct sl__tally tally;
    struct sl_death *deaths[4];
    uint64_t ids[SL_DEATH_ITEMS + 10];
    for (uint32_t i = 0; i < SL_DEATH_ITEMS + 10; i++) {
        ids[i] = 100 + i;
    }
    sl__tally_init(&tally);
    add(&tally, 1, 7, SL_DEATH_SIGNAL);
    add(&tally, 2, 7, SL_DEATH_SIGNAL);
    add(&tally, 1, 8, SL_DEATH_SIGNAL);
    sl__tally_complete(&tally, 1, 7, 5, ids, SL_DEATH_ITEMS + 10);
    sl__tally_complete(&tally, 9, 9, 5, ids, 1); /* long forgotten */
    assert_int_equal(sl__tally_copy(&tally, deaths, 4), 3);
    assert_int_equal(deaths[0]->item_count + deaths[1]->item_count, 0);
    assert_int_equal(deaths[2]->item_count, SL_DEATH_ITEMS + 10);
    assert_int_equal(deaths[2]->item_ids[SL_DEATH_ITEMS - 1], 100 + SL_DEATH_ITEMS - 1);
    assert_int_equal(deaths[2]->batch_count, 5);
    for (int i = 0; i < 3; i++) {
        sl_death_destroy(deaths[i]);
    }
    sl__tally_finish(&tally);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_has_none),
        cmocka_unit_test(the_newest_comes_first_and_the_oldest_goes),
        cmocka_unit_test(items_go_to_the_life_that_had_them),
    };
    return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
