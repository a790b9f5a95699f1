/* SPDX-License-Identifier: MIT */
/*
 * Items that kill their worker, one of a hundred, under on_error isolate: these and no others are failed, and each says how its worker ended.
 */
#include "chaos.h"

#include <signal.h>

#define ITEMS (10000 / CHAOS_SHARE)
#define WORKERS 4
#define TIMEOUT_MS 300

static struct sl_dispatch_options isolating(void) {
    struct sl_dispatch_options options = consumer_options(TIMEOUT_MS);
    options.policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_ISOLATE};
    options.error_list_max = 100000;
    return options;
}

static uint64_t poison_count(const struct load *load) {
    uint64_t count = 0;
    for (uint64_t x = 0; x < load->count; x++) {
        count += load_poison(load, x) != 0;
    }
    return count;
}

static void expect_death(const struct sl_report_error *error, enum sl_death_cause cause, const char *where) {
    const struct sl_death *death = error->error.death;
    assert_non_null(death);
    assert_int_equal(death->cause, cause);
    assert_int_equal(death->item_count, 1);
    assert_int_equal(death->item_ids[0], error->ids[0]);
    if (where != NULL && (death->traceback == NULL || strstr(death->traceback, where) == NULL)) {
        fail_msg("item %llu: the certificate does not lead to %s: %s", (unsigned long long)error->ids[0], where,
                 death->traceback != NULL ? death->traceback : "it has no traceback");
    }
}

/* The last word on each poisoned item is of the kind that its way to kill makes it. */
static void expect_errors(const struct consumer *consumer) {
    uint64_t poisoned = 0;
    for (uint32_t i = 0; i < consumer->report.error_count; i++) {
        const struct sl_report_error *error = &consumer->report.errors[i];
        if (!error->final) {
            continue;
        }
        assert_int_equal(error->item_count, 1);
        switch (load_poison(&consumer->load, error->ids[0] ^ consumer->load.salt)) {
        case POISON_SEGFAULT:
            assert_int_equal(error->error.code, SL_E_WORKER_CRASHED);
            assert_int_equal(error->error.term_signal, SIGSEGV);
            expect_death(error, SL_DEATH_SIGNAL, "chaos_functions.py");
            break;
        case POISON_EXIT:
            assert_int_equal(error->error.code, SL_E_WORKER_CRASHED);
            assert_int_equal(error->error.exit_status, 3);
            expect_death(error, SL_DEATH_EXITED, NULL);
            break;
        case POISON_HANG:
            assert_int_equal(error->error.code, SL_E_WORKER_TIMEOUT);
            expect_death(error, SL_DEATH_TIMEOUT, "chaos_functions.py");
            break;
        default:
            fail_msg("item %llu is not poisoned", (unsigned long long)error->ids[0]);
        }
        poisoned++;
    }
    assert_int_equal(poisoned, poison_count(&consumer->load));
}

static void only_poisoned_items_fail(void **state) {
    (void)state;
    struct site site;
    struct sl_pool_options options = site_options(WORKERS, true);
    uint64_t random = draw_seed() | 1, start_ms = now_ms();
    site_open(&site, &options);
    struct consumer consumers[2] = {{.kind = RUN_AS_COMPLETED}, {.kind = RUN_IN_ORDER}};
    for (uint32_t i = 0; i < 2; i++) {
        consumers[i].site = &site;
        consumers[i].options = isolating();
        /* One that hangs costs seven timeouts: there are few of them. */
        consumers[i].load = (struct load){.count = i == 0 ? ITEMS : ITEMS / 10,
                                          .salt = draw_below(&random, 1000),
                                          .poison_every = 100,
                                          .poison_ways = i == 0 ? POISON_EXIT : POISON_HANG};
    }
    consumers_start(consumers, 2, NULL);
    consumers_join(consumers, 2);
    for (uint32_t i = 0; i < 2; i++) {
        print_message("%llu items, %llu failed, %llu deaths\n", (unsigned long long)consumers[i].report.input,
                      (unsigned long long)consumers[i].report.count[SL_STATUS_FAILED],
                      (unsigned long long)consumers[i].report.worker_death_count);
        assert_int_equal(consumers[i].report.count[SL_STATUS_FAILED], poison_count(&consumers[i].load));
        expect_errors(&consumers[i]);
        consumer_finish(&consumers[i]);
    }
    print_message("%llu ms\n", (unsigned long long)(now_ms() - start_ms));
    site_close(&site);
    expect_no_children();
}

/*
 * While workers are killed from outside, an item that is alone when its worker dies may be innocent: it is tried again.
 * None hangs here, since each attempt would be a timeout.
 */
static void only_poisoned_items_fail_in_a_storm(void **state) {
    (void)state;
    struct site site;
    struct sl_pool_options options = site_options(WORKERS, true);
    uint64_t random = draw_seed() | 1, start_ms = now_ms();
    site_open(&site, &options);
    struct consumer consumers[2] = {{.kind = RUN_AS_COMPLETED}, {.kind = RUN_IN_ORDER}};
    for (uint32_t i = 0; i < 2; i++) {
        consumers[i].site = &site;
        consumers[i].options = isolating();
        consumers[i].options.policy.max_attempts = 8;
        consumers[i].options.policy.backoff_ms = 1;
        consumers[i].load = (struct load){.count = ITEMS / 4,
                                          .salt = draw_below(&random, 1000),
                                          .work_us = 20,
                                          .poison_every = 100,
                                          .poison_ways = POISON_EXIT};
    }
    struct killer killer = {.site = &site,
                            .random = draw(&random) | 1,
                            .pause_min_us = 2000,
                            .pause_max_us = 30000,
                            .items_per_kill = 50,
                            .stop_percent = 8};
    killer_start(&killer);
    consumers_start(consumers, 2, &killer.progress);
    consumers_join(consumers, 2);
    killer_stop(&killer);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(consumers[i].report.count[SL_STATUS_FAILED], poison_count(&consumers[i].load));
        consumer_finish(&consumers[i]);
    }
    print_message("%llu KILL, %llu SEGV, %llu STOP in %llu ms\n", (unsigned long long)killer.sent[0],
                  (unsigned long long)killer.sent[1], (unsigned long long)killer.sent[2],
                  (unsigned long long)(now_ms() - start_ms));
    site_close(&site);
    expect_no_children();
}

/* 64, 32, 16, 8, 4, 2, 1: each of them dies at most once. */
static void one_of_a_batch_costs_seven_deaths(void **state) {
    (void)state;
    struct site site;
    struct sl_pool_options options = site_options(2, true);
    site_open(&site, &options);
    uint64_t seed = draw_seed();
    for (uint32_t round = 0; round < 6; round++) {
        struct consumer consumer = {.site = &site, .kind = RUN_IN_ORDER, .options = isolating()};
        uint64_t random = (seed + round) * 0x9e3779b97f4a7c15u | 1;
        consumer.load = (struct load){.count = 64, .poison_every = 64, .poison_ways = 1 + round % 3};
        do {
            consumer.load.salt = draw_below(&random, 64 * 16);
        } while (poison_count(&consumer.load) != 1);
        consumer_run(&consumer, NULL);
        if (consumer.ledger.wrong[0] != '\0') {
            fail_msg("%s", consumer.ledger.wrong);
        }
        assert_int_equal(consumer.report.count[SL_STATUS_FAILED], 1);
        assert_int_equal(consumer.report.count[SL_STATUS_OK], 63);
        assert_in_range(consumer.report.worker_death_count, 1, 7);
        expect_errors(&consumer);
        consumer_finish(&consumer);
    }
    site_close(&site);
    expect_no_children();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_poisoned_items_fail),
        cmocka_unit_test(only_poisoned_items_fail_in_a_storm),
        cmocka_unit_test(one_of_a_batch_costs_seven_deaths),
    };
    return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
