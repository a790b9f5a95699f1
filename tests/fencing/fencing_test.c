/* SPDX-License-Identifier: MIT */
/*
 * Fencing from end to end: a worker that repeats its replies, and answers in the name of an earlier generation, below the public interface. Each call
 * gets its own results and nothing else; what nobody waits for is counted and dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/slither.h>

#define CALLS 240 /* four forged replies for each: past 1024 the lane gives the worker up (src/lane/hostile_test.c) */
#define CALLERS 4
#define ITEMS 3

static struct sl_runtime *runtime;

static int open_runtime(void **state) {
    (void)state;
    return sl_runtime_create(NULL, &runtime, NULL) == SL_OK ? 0 : -1;
}

static int close_runtime(void **state) {
    (void)state;
    sl_runtime_destroy(runtime);
    return 0;
}

static struct sl_pool *open_pool(uint32_t worker_count, const char *script) {
    char variable[256];
    const char *const environment[] = {variable, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool *pool = NULL;
    snprintf(variable, sizeof variable, "FAKE_SCRIPT=%s", script);
    options.worker_count = worker_count;
    options.python = getenv("SLITHER_FAKE_WORKER");
    options.environment = environment;
    options.stop_timeout_ms = 500;
    options.stack_timeout_ms = 0;
    options.restart_backoff_ms = 1;
    if (sl_pool_create(runtime, &options, &pool, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return pool;
}

/* One batch of numbers from `first` on; each has to come back as it was. */
static void expect_echo(struct sl_pool *pool, int64_t first) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_results results = {0};
    struct sl_item items[ITEMS] = {0};
    struct sl_writer writers[ITEMS];
    options.function = "any:thing";
    for (int64_t i = 0; i < ITEMS; i++) {
        sl_writer_init(&writers[i], NULL);
        sl_write_int(&writers[i], first + i);
        assert_int_equal(sl_writer_end(&writers[i], &items[i].value, NULL), SL_OK);
    }
    if (sl_call_batch(pool, &options, items, ITEMS, &results, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    for (int64_t i = 0; i < ITEMS; i++) {
        int64_t number = -1;
        assert_int_equal(sl_value_int(results.values[i], &number), SL_OK);
        assert_int_equal(number, first + i);
        sl_writer_finish(&writers[i]);
    }
    sl_results_finish(&results);
}

static struct sl_pool_stats stats_of(struct sl_pool *pool) {
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    sl_pool_stats(pool, &stats);
    return stats;
}

static void repeated_replies_reach_nobody(void **state) {
    (void)state;
    struct sl_pool *pool = open_pool(1, "config;ready;forge");
    for (int64_t i = 0; i < CALLS; i++) {
        expect_echo(pool, 1000 * i);
    }
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.death_count, 0);
    assert_int_equal(stats.batch_count, CALLS);
    /* Four for each call but the first, which has two; fewer when the host has not read those before. */
    assert_true(stats.stale_reply_count <= 4 * CALLS - 2);
    assert_true(stats.stale_reply_count >= 2 * CALLS - 8);
    sl_pool_destroy(pool);
}

struct caller {
    struct sl_pool *pool;
    int64_t base;
};

static void *call_often(void *argument) {
    const struct caller *caller = argument;
    for (int64_t i = 0; i < CALLS / CALLERS; i++) {
        expect_echo(caller->pool, caller->base + 10 * i);
    }
    return NULL;
}

static void callers_that_share_a_worker_get_their_own(void **state) {
    (void)state;
    struct sl_pool *pool = open_pool(2, "config;ready;forge");
    pthread_t threads[CALLERS];
    struct caller callers[CALLERS];
    for (int64_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){pool, (i + 1) * 1000000};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int64_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(stats_of(pool).death_count, 0);
    assert_true(stats_of(pool).stale_reply_count > CALLS);
    sl_pool_destroy(pool);
}

/* ---- a run that keeps several batches in the lane --------------------------------------------------------------------- */

struct stream {
    int64_t next, count, delivered;
    struct sl_writer writer;
};

static enum sl_code pull(void *context, struct sl_item *item, struct sl_error *error) {
    struct stream *stream = context;
    if (stream->next == stream->count) {
        return SL_E_END;
    }
    sl_writer_reset(&stream->writer);
    sl_write_int(&stream->writer, stream->next++);
    return sl_writer_end(&stream->writer, &item->value, error);
}

static enum sl_code put(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct stream *stream = context;
    int64_t number = -1;
    (void)error;
    if (outcome->status != SL_STATUS_OK) {
        fail_msg("%s", outcome->error != NULL ? outcome->error->message : sl_status_name(outcome->status));
    }
    assert_int_equal(sl_value_int(outcome->value, &number), SL_OK);
    assert_int_equal(number, stream->delivered);
    stream->delivered++;
    return SL_OK;
}

static void batches_in_flight_keep_their_results(void **state) {
    (void)state;
    struct sl_pool *pool = open_pool(2, "config;ready;forge");
    struct stream stream = {.count = 7 * CALLS};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_init(&stream.writer, NULL);
    options.function = "any:thing";
    options.batch_size = 7;
    const struct sl_source source = {.next = pull, .context = &stream};
    const struct sl_sink sink = {.put = put, .context = &stream};
    if (sl_dispatch_run(pool, &options, source, &sink, &report, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(stream.delivered, stream.count);
    assert_int_equal(report.count[SL_STATUS_OK], stream.count);
    assert_true(report.stale_reply_count > 0);
    assert_int_equal(report.worker_death_count, 0);
    sl_report_finish(&report);
    sl_writer_finish(&stream.writer);
    sl_pool_destroy(pool);
}

/* ---- after a timeout --------------------------------------------------------------------------------------------------- */

static void a_late_reply_after_a_timeout_reaches_nobody(void **state) {
    (void)state;
    struct sl_pool *pool = open_pool(1, "config;ready;forge");
    for (uint32_t round = 1; round <= 3; round++) {
        struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
        struct sl_error error = SL_ERROR_INIT;
        struct sl_results results = {0};
        static const uint8_t hang[] = {0xa4, 'h', 'a', 'n', 'g'};
        const struct sl_item item = {.value = {hang, sizeof hang}};
        expect_echo(pool, 100 * round);
        options.function = "any:thing";
        options.timeout_ms = 50;
        assert_int_equal(sl_call_batch(pool, &options, &item, 1, &results, &error), SL_E_WORKER_TIMEOUT);
        sl_results_finish(&results);
        sl_error_finish(&error);
        /* The next generation speaks for the last one, too, with the sequence of the call that waits. */
        uint64_t stale = stats_of(pool).stale_reply_count;
        for (int64_t i = 0; i < 20; i++) {
            expect_echo(pool, -1000 * (int64_t)round - 10 * i);
        }
        assert_true(stats_of(pool).stale_reply_count >= stale + 2 * 18);
        assert_true(stats_of(pool).death_count >= round); /* one that did not begin in time dies as well */
        assert_int_equal(stats_of(pool).protocol_error_count, 0);
    }
    sl_pool_destroy(pool);
}

int main(void) {
#define WITH(name) cmocka_unit_test_setup_teardown(name, open_runtime, close_runtime)
    const struct CMUnitTest tests[] = {
        WITH(repeated_replies_reach_nobody),
        WITH(callers_that_share_a_worker_get_their_own),
        WITH(batches_in_flight_keep_their_results),
        WITH(a_late_reply_after_a_timeout_reaches_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
