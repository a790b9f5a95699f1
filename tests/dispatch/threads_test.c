/* SPDX-License-Identifier: MIT */
/* Many threads on one pool, and what a long run leaves behind. */
#include <sched.h>

#include "runs.h"

#ifdef __has_feature
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* ---- runs beside each other ---------------------------------------------------------------------------------------------- */

struct runner {
    struct host *host;
    struct sl_control *control;
    uint64_t count, ok;
    uint32_t batch_size;
    enum sl_code code;
    struct sl_error error;
    int64_t sum;
    uint64_t done_ms, first_ms;
    _Atomic uint64_t progress;
};

static enum sl_code put_sum(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct runner *runner = context;
    (void)error;
    runner->sum += int_of(outcome->value);
    if (runner->first_ms == 0) {
        runner->first_ms = now_ms();
    }
    atomic_fetch_add(&runner->progress, 1);
    return SL_OK;
}

static void *run_one(void *context) {
    struct runner *runner = context;
    struct sl_dispatch_options options = host_options("dispatch_functions:slow");
    options.batch_size = runner->batch_size;
    struct numbers numbers = {.count = runner->count};
    struct sl_sink sink = {put_sum, runner};
    struct sl_report report = SL_REPORT_INIT;
    runner->code =
        sl_dispatch_run(runner->host->pool, &options, numbers_source(&numbers), &sink, &report, &runner->error);
    runner->ok = report.count[SL_STATUS_OK];
    runner->done_ms = now_ms();
    sl_report_finish(&report);
    numbers_finish(&numbers);
    return NULL;
}

static void no_run_starves_beside_others(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, NULL);
    struct runner runners[4];
    pthread_t threads[4];
    uint64_t start = now_ms(), last = 0, first = UINT64_MAX, latest_first = 0;
    for (int i = 0; i < 4; i++) {
        runners[i] = (struct runner){.host = &host, .count = 20000, .batch_size = 50, .error = SL_ERROR_INIT};
        assert_int_equal(pthread_create(&threads[i], NULL, run_one, &runners[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(runners[i].code, SL_OK);
        assert_int_equal(runners[i].ok, 20000);
        assert_int_equal(runners[i].sum, 3 * (20000ll * 19999 / 2) + 20000);
        last = runners[i].done_ms > last ? runners[i].done_ms : last;
        first = runners[i].done_ms < first ? runners[i].done_ms : first;
        latest_first = runners[i].first_ms > latest_first ? runners[i].first_ms : latest_first;
    }
    /* All of them work for the same, and share: none is done when another has hardly begun. */
    assert_true(latest_first - start < (last - start) / 4);
    assert_true(first - start > (last - start) / 3);
    host_close(&host);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------------ */

#define CALLERS 8
#define CALLS 1500

static void *call_many(void *context) {
    struct runner *runner = context;
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    struct shelf shelf = {0};
    struct sl_item items[16];
    uint64_t random = (uint64_t)(uintptr_t)runner | 1;
    memset(items, 0, sizeof items);
    for (int64_t x = 0; x < 16; x++) {
        shelf_int(&shelf, x);
    }
    for (uint32_t i = 0; i < 16; i++) {
        items[i].value = shelf_at(&shelf, i);
    }
    for (int i = 0; i < CALLS && runner->code == SL_OK; i++) {
        struct sl_results results = {0};
        uint32_t count = 1 + draw_below(&random, 16);
        runner->code = sl_call_batch(runner->host->pool, &options, items, count, &results, &runner->error);
        runner->ok += runner->code == SL_OK && results.count == count;
        for (uint32_t k = 0; k < results.count; k++) {
            runner->sum += int_of(results.values[k]) == triple(k) ? 0 : 1;
        }
        sl_results_finish(&results);
    }
    shelf_finish(&shelf);
    return NULL;
}

static void eight_threads_call_at_once(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, NULL);
    struct runner runners[CALLERS];
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        runners[i] = (struct runner){.host = &host, .error = SL_ERROR_INIT};
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &runners[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_string_equal(runners[i].error.message, "");
        assert_int_equal(runners[i].ok, CALLS);
        assert_int_equal(runners[i].sum, 0); /* of wrong results */
    }
    struct sl_pool_stats stats = host_stats(&host);
    assert_int_equal(stats.batch_count, CALLERS * CALLS);
    assert_int_equal(stats.stale_reply_count, 0);
    host_close(&host);
}

/* ---- a live source keeps no lane ------------------------------------------------------------------------------------------ */

static _Atomic int live_phase; /* 0: the run has begun nothing; 1: its source is dry; 2: it may end */

static enum sl_code one_then_dry(void *context, uint64_t x, struct sl_error *error) {
    (void)context;
    (void)error;
    if (x == 0) {
        return SL_OK;
    }
    if (atomic_load(&live_phase) < 2) {
        atomic_store(&live_phase, 1);
        return SL_E_AGAIN;
    }
    return SL_E_END;
}

static void *run_live(void *context) {
    struct runner *runner = context;
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    options.control = runner->control;
    struct numbers numbers = {.count = 10, .stop = one_then_dry};
    struct sl_report report = SL_REPORT_INIT;
    runner->code =
        sl_dispatch_run(runner->host->pool, &options, numbers_source(&numbers), NULL, &report, &runner->error);
    runner->ok = report.count[SL_STATUS_OK];
    sl_report_finish(&report);
    numbers_finish(&numbers);
    return NULL;
}

static void a_dry_source_leaves_the_lane_to_others(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, NULL);
    struct sl_control *control = NULL;
    assert_int_equal(sl_control_create(&control, NULL), SL_OK);
    struct runner runner = {.host = &host, .error = SL_ERROR_INIT, .control = control};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_live, &runner), 0);
    while (atomic_load(&live_phase) == 0) {
        sched_yield();
    }
    /* The only lane: the other run has an item in a batch that is not full, and waits for more. */
    static const uint8_t two = 2;
    struct sl_item item = {.value = {&two, 1}};
    struct sl_results results = {0};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    options.acquire_timeout_ms = 10000;
    assert_int_equal(sl_call_batch(host.pool, &options, &item, 1, &results, &error), SL_OK);
    assert_int_equal(int_of(results.values[0]), 7);
    sl_results_finish(&results);
    atomic_store(&live_phase, 2);
    sl_control_wake(control);
    pthread_join(thread, NULL);
    assert_int_equal(runner.code, SL_OK);
    assert_int_equal(runner.ok, 1);
    sl_control_destroy(control);
    host_close(&host);
}

/* ---- memory and descriptors ---------------------------------------------------------------------------------------------- */

static enum sl_code count_only(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    uint64_t *wrong = context;
    (void)error;
    *wrong += int_of(outcome->value) != triple((int64_t)outcome->sequence);
    return SL_OK;
}

static void stream_items(struct host *host, uint64_t count) {
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    options.batch_size = 512;
    uint64_t wrong = 0;
    struct numbers numbers = {.count = count};
    struct sl_sink sink = {count_only, &wrong};
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_dispatch_run(host->pool, &options, numbers_source(&numbers), &sink, &report, &error), SL_OK);
    assert_int_equal(report.count[SL_STATUS_OK], count);
    assert_int_equal(wrong, 0);
    sl_report_finish(&report);
    numbers_finish(&numbers);
}

static void a_million_items_leave_no_trace(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, NULL);
    stream_items(&host, 100000);
    int fds = descriptor_count();
    forget_peak();
    stream_items(&host, 100000);
    uint64_t before = status_kb("VmHWM");
    stream_items(&host, 1000000);
    uint64_t after = status_kb("VmHWM");
    printf("resident at most: %llu kB for 100 k items, %llu kB for 1 M\n", (unsigned long long)before,
           (unsigned long long)after);
    assert_int_equal(descriptor_count(), fds);
#ifndef SANITIZED
    assert_true(after < before + 1024);
#endif
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_run_starves_beside_others),
        cmocka_unit_test(eight_threads_call_at_once),
        cmocka_unit_test(a_dry_source_leaves_the_lane_to_others),
        cmocka_unit_test(a_million_items_leave_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
