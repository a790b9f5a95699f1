/* SPDX-License-Identifier: MIT */
/*
 * 200,000 items while random workers get SIGKILL, SIGSEGV and SIGSTOP every few milliseconds: each item ends once, each is right, and the pool
 * is as good as new afterwards. Workers that were stopped are found by the timeout of a batch.
 */
#include "chaos.h"

#define ITEMS (200000 / CHAOS_SHARE)
#define ITEMS_OF_SLOW_STARTS (CHAOS_SHARE > 1 ? 10000 : 20000) /* long enough for some to be killed */
#define WORKERS 4
#define TIMEOUT_MS 300

static void calm(struct site *site) {
    struct consumer consumer = {.site = site, .load = {.count = 2000}, .options = consumer_options(TIMEOUT_MS)};
    consumer_run(&consumer, NULL);
    if (consumer.ledger.wrong[0] != '\0') {
        fail_msg("after the storm: %s", consumer.ledger.wrong);
    }
    consumer_finish(&consumer);
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    sl_pool_stats(site->pool, &stats);
    assert_int_equal(stats.busy_count, 0);
    assert_int_equal(stats.waiter_count, 0);
    assert_int_equal(stats.protocol_error_count, 0);
    assert_int_equal(stats.worker_count, site->worker_max);
}

struct weather {
    uint64_t seed;
    bool resizes;
    uint32_t template_max;
};

static void storm(const struct sl_pool_options *options, struct consumer *consumers, uint32_t count,
                  struct weather weather) {
    uint64_t seed = weather.seed;
    struct site site;
    site_open(&site, options); /* libuv opens two descriptors with the first loop of a process and keeps them */
    site_close(&site);
    int descriptors = descriptor_count();
    site_open(&site, options);
    struct killer killer = {.site = &site,
                            .random = seed * 0x9e3779b97f4a7c15u | 1,
                            .pause_min_us = 500,
                            .pause_max_us = 8000,
                            .items_per_kill = 150,
                            .stop_percent = 8,
                            .template_percent = 5,
                            .template_max = weather.template_max};
    struct sizer sizer = {.site = &site, .random = seed | 3};
    uint64_t random = seed | 1, start_ms = now_ms(), items = 0, retried = 0, requeued = 0;
    for (uint32_t i = 0; i < count; i++) {
        consumers[i].site = &site;
        consumers[i].load.salt = draw_below(&random, 1000);
    }
    killer_start(&killer);
    if (weather.resizes) {
        sizer_start(&sizer);
    }
    consumers_start(consumers, count, &killer.progress);
    consumers_join(consumers, count);
    killer_stop(&killer);
    if (weather.resizes) {
        sizer_stop(&sizer);
    }
    for (uint32_t i = 0; i < count; i++) {
        items += consumers[i].ledger.count[SL_STATUS_OK];
        retried += consumers[i].report.retry_count;
        requeued += consumers[i].report.requeue_count;
        consumer_finish(&consumers[i]);
    }
    uint64_t kills = killer.sent[0] + killer.sent[1] + killer.sent[2];
    print_message("%llu items in %llu ms; %llu KILL, %llu SEGV, %llu STOP; %llu batches retried, %llu requeued\n",
                  (unsigned long long)items, (unsigned long long)(now_ms() - start_ms),
                  (unsigned long long)killer.sent[0], (unsigned long long)killer.sent[1],
                  (unsigned long long)killer.sent[2], (unsigned long long)retried, (unsigned long long)requeued);
    assert_true(kills >= (CHAOS_SHARE > 1 ? 2 : 8));
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    sl_pool_stats(site.pool, &stats);
    for (uint64_t waited_ms = now_ms(); weather.resizes && stats.ready_count != site.worker_max;) {
        assert_true(now_ms() - waited_ms < 20000); /* as many as it was told last */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        sl_pool_stats(site.pool, &stats);
    }
    assert_true(!weather.resizes || CHAOS_SHARE > 1 || (stats.recycle_count > 0 && stats.shrink_count > 0));
    print_message("%llu sizes, %llu recycled, %llu shrunk; %llu templates killed, %llu started\n",
                  (unsigned long long)sizer.changes, (unsigned long long)stats.recycle_count,
                  (unsigned long long)stats.shrink_count, (unsigned long long)killer.templates,
                  (unsigned long long)stats.template_start_count);
    calm(&site);
    site_close(&site);
    expect_no_children();
    assert_int_equal(descriptor_count(), descriptors);
}

static void one_run_on_forked_workers(void **state) {
    (void)state;
    struct sl_pool_options options = site_options(WORKERS, true);
    struct consumer consumer = {
        .kind = RUN_IN_ORDER, .load = {.count = ITEMS, .work_us = 40}, .options = consumer_options(TIMEOUT_MS)};
    storm(&options, &consumer, 1, (struct weather){.seed = draw_seed()});
}

/* Each way to consume at once, on lanes that they take from each other; large batches travel in files of their own. */
static void all_ways_to_consume_on_one_pool(void **state) {
    (void)state;
    struct sl_pool_options options = site_options(WORKERS, true);
    options.segment_bytes = 65536;
    struct consumer consumers[CONSUMER_KIND_COUNT] = {{0}};
    for (uint32_t i = 0; i < CONSUMER_KIND_COUNT; i++) {
        consumers[i].kind = (enum consumer_kind)i;
        consumers[i].load = (struct load){.count = ITEMS / 8, .work_us = 40, .padding = 8000, .padding_rare = true};
        consumers[i].options = consumer_options(TIMEOUT_MS);
        consumers[i].options.batch_size = i % 2 == 0 ? 64 : 24;
    }
    storm(&options, consumers, CONSUMER_KIND_COUNT, (struct weather){.seed = draw_seed()});
}

static void workers_that_start_for_themselves(void **state) {
    (void)state;
    struct sl_pool_options options = site_options(WORKERS, false);
    struct consumer consumers[2] = {
        {.kind = RUN_AS_COMPLETED, .load = {.count = ITEMS_OF_SLOW_STARTS, .work_us = 150}},
        {.kind = PULL_STREAM, .load = {.count = ITEMS_OF_SLOW_STARTS, .work_us = 150}},
    };
    consumers[0].options = consumers[1].options = consumer_options(TIMEOUT_MS);
    storm(&options, consumers, 2, (struct weather){.seed = draw_seed()});
}

/* Workers come and go for all reasons at once: they are killed, have done enough, are too many or too few; and so do the templates. */
static void on_pools_that_change(void **state) {
    (void)state;
    struct sl_pool_options options = site_options(WORKERS, true);
    options.worker_min = 1;
    options.worker_max = WORKERS + 2;
    options.worker_idle_ms = 20;
    options.recycle_batches = 4;
    options.recycle_jitter_percent = 50;
    struct consumer consumers[CONSUMER_KIND_COUNT] = {{0}};
    for (uint32_t i = 0; i < CONSUMER_KIND_COUNT; i++) {
        consumers[i].kind = (enum consumer_kind)i;
        consumers[i].load = (struct load){.count = ITEMS / 10, .work_us = 40};
        consumers[i].options = consumer_options(TIMEOUT_MS);
    }
    struct weather weather = {.seed = draw_seed(), .resizes = true, .template_max = 2};
    storm(&options, consumers, CONSUMER_KIND_COUNT, weather);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_run_on_forked_workers),
        cmocka_unit_test(all_ways_to_consume_on_one_pool),
        cmocka_unit_test(workers_that_start_for_themselves),
        cmocka_unit_test(on_pools_that_change),
    };
    return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
