/* SPDX-License-Identifier: MIT */
/* Runs, streams and calls whose pool is drained or destroyed under them, also by themselves; and whose circuit opens. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runs.h"

#include <slither/slither.h>

#include "scratch.h"

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void no_batch_limit(struct sl_pool_options *options) {
    options->stop_timeout_ms = 500;
}

static uint64_t total(const struct sl_report *report) {
    uint64_t sum = 0;
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        sum += report->count[i];
    }
    return sum;
}

/* ---- from another thread ----------------------------------------------------------------------------------------- */

struct run {
    pthread_t thread;
    struct sl_pool *pool;
    const char *function;
    uint64_t count;
    uint32_t batch_size;
    struct record record;
    struct sl_report report;
    struct sl_error error;
    enum sl_code code;
    struct numbers numbers;
};

static void *run(void *context) {
    struct run *run = context;
    struct sl_dispatch_options options = host_options(run->function);
    struct sl_sink sink = record_sink(&run->record);
    options.batch_size = run->batch_size;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    run->code = sl_dispatch_run(run->pool, &options, numbers_source(&run->numbers), &sink, &run->report, &run->error);
    return NULL;
}

static void start(struct run *made, struct host *host, const char *function, uint64_t count, uint32_t batch_size) {
    *made = (struct run){.pool = host->pool,
                         .function = function,
                         .batch_size = batch_size,
                         .report = SL_REPORT_INIT,
                         .error = SL_ERROR_INIT,
                         .numbers = {.count = count}};
    made->record.numbers = &made->numbers;
    assert_int_equal(pthread_create(&made->thread, NULL, run, made), 0);
}

static void finish(struct run *run) {
    /* Conservation: what was pulled came out once, whatever became of it. */
    assert_int_equal(run->report.input, run->numbers.pulled);
    assert_int_equal(total(&run->report), run->report.input);
    record_complete(&run->record, run->report.input);
    report_agrees(&run->report, &run->record);
    sl_report_finish(&run->report);
    sl_error_finish(&run->error);
    record_finish(&run->record);
    numbers_finish(&run->numbers);
}

static void await_busy(struct host *host, uint32_t busy_count) {
    uint64_t begin = now_ms();
    while (host_stats(host).busy_count < busy_count) {
        assert_true(now_ms() - begin < 20000);
        pause_ms(1);
    }
}

static void a_run_finishes_what_is_in_flight(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, no_batch_limit);
    struct run drained;
    start(&drained, &host, "dispatch_functions:third_of_a_second", 100000, 2);
    await_busy(&host, 2);
    pause_ms(100); /* into the first batches, with others behind them */
    assert_int_equal(sl_pool_drain(host.pool, 60000, NULL), SL_OK);
    pthread_join(drained.thread, NULL);
    assert_int_equal(drained.code, SL_E_CLOSED);
    assert_int_equal(drained.error.code, SL_E_CLOSED);
    assert_true(drained.report.count[SL_STATUS_OK] >= 4);
    assert_int_equal(drained.report.count[SL_STATUS_OK] + drained.report.count[SL_STATUS_CANCELLED],
                     drained.report.input);
    assert_true(drained.report.input < 1000);
    assert_int_equal(drained.report.worker_death_count, 0);
    finish(&drained);
    /* And a later one is not begun. */
    start(&drained, &host, "dispatch_functions:triple", 10, 2);
    pthread_join(drained.thread, NULL);
    assert_int_equal(drained.code, SL_E_CLOSED);
    assert_int_equal(drained.report.count[SL_STATUS_OK], 0);
    finish(&drained);
    host_close(&host);
    no_child_is_left();
}

static void a_run_whose_workers_hang_ends_at_the_deadline(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, no_batch_limit);
    struct run drained;
    start(&drained, &host, "dispatch_functions:sleep_thirteen", 100000, 16);
    uint64_t begin = now_ms();
    while (host_stats(&host).batch_count == 0 && now_ms() - begin < 300) {
        pause_ms(1);
    }
    begin = now_ms();
    enum sl_code code = sl_pool_drain(host.pool, 200, NULL);
    assert_int_equal(code, SL_E_TIMEOUT);
    pthread_join(drained.thread, NULL);
    assert_true(now_ms() - begin < 10000);
    assert_int_equal(drained.code, SL_E_CLOSED);
    assert_true(drained.report.count[SL_STATUS_CANCELLED] > 0);
    assert_int_equal(drained.report.count[SL_STATUS_FAILED], 0);
    assert_int_equal(host_stats(&host).death_count, 0);
    finish(&drained);
    host_close(&host);
    no_child_is_left();
}

static void what_was_all_in_flight_ends_well(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, no_batch_limit);
    struct run drained;
    start(&drained, &host, "dispatch_functions:third_of_a_second", 3, 64); /* one batch, and the source is over */
    await_busy(&host, 1);
    pause_ms(100);
    assert_int_equal(sl_pool_drain(host.pool, 60000, NULL), SL_OK);
    pthread_join(drained.thread, NULL);
    assert_int_equal(drained.code, SL_OK);
    assert_int_equal(drained.report.count[SL_STATUS_OK], 3);
    finish(&drained);
    host_close(&host);
}

static void destruction_ends_a_run_of_another_thread(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, no_batch_limit);
    struct run cut;
    start(&cut, &host, "dispatch_functions:third_of_a_second", 100000, 1);
    await_busy(&host, 2);
    host_close(&host);
    no_child_is_left();
    pthread_join(cut.thread, NULL);
    assert_int_equal(cut.code, SL_E_CLOSED);
    finish(&cut);
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

struct call {
    pthread_t thread;
    struct sl_pool *pool;
    uint32_t count;
    enum sl_code code;
    uint32_t result_count;
};

static void *call(void *context) {
    struct call *call = context;
    struct sl_dispatch_options options = host_options("dispatch_functions:third_of_a_second");
    struct shelf shelf = {0};
    struct sl_item items[4] = {{0}};
    struct sl_results results;
    for (int i = 0; i < 4; i++) {
        shelf_int(&shelf, i);
    }
    for (uint32_t i = 0; i < 4; i++) {
        items[i].value = shelf_at(&shelf, i);
    }
    call->code = sl_call_batch(call->pool, &options, items, 4, &results, NULL);
    call->result_count = results.count;
    sl_results_finish(&results);
    shelf_finish(&shelf);
    return NULL;
}

static void a_call_in_flight_gets_its_results(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, no_batch_limit);
    struct call first = {.pool = host.pool}, second = first;
    assert_int_equal(pthread_create(&first.thread, NULL, call, &first), 0);
    await_busy(&host, 1);
    assert_int_equal(pthread_create(&second.thread, NULL, call, &second), 0);
    while (host_stats(&host).waiter_count == 0) {
        pause_ms(1);
    }
    assert_int_equal(sl_pool_drain(host.pool, 60000, NULL), SL_OK);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    assert_int_equal(first.code, SL_OK);
    assert_int_equal(first.result_count, 4);
    assert_int_equal(second.code, SL_E_CLOSED); /* it waited for the lane of the first */
    assert_int_equal(second.result_count, 0);
    host_close(&host);
}

/* ---- from a callback ------------------------------------------------------------------------------------------------ */

struct inside {
    struct host *host;
    bool destroys;
    uint64_t at;
    uint32_t timeout_ms;
    enum sl_code drained;
    bool done;
};

static void act(struct inside *inside) {
    if (!inside->done) {
        uint64_t begin = now_ms();
        inside->done = true;
        if (inside->destroys) {
            sl_pool_destroy(inside->host->pool);
            inside->host->pool = NULL;
        } else {
            inside->drained = sl_pool_drain(inside->host->pool, inside->timeout_ms, NULL);
        }
        assert_true(now_ms() - begin < 20000); /* what would be waited for lasts a minute, or for ever */
    }
}

static enum sl_code answer(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct inside *inside = context;
    (void)error;
    if (outcome->sequence >= inside->at) {
        act(inside);
    }
    return SL_OK;
}

static void before(void *context, uint64_t x) {
    struct inside *inside = context;
    if (x >= inside->at) {
        act(inside);
    }
}

static void end_from_within(bool destroys, bool in_sink, uint32_t timeout_ms) {
    struct host host;
    host_open(&host, 2, no_batch_limit);
    struct inside inside = {.host = &host, .destroys = destroys, .at = 200, .timeout_ms = timeout_ms};
    struct numbers numbers = {.count = 100000, .before = in_sink ? NULL : before, .context = &inside};
    struct record record = {.numbers = &numbers, .answer = in_sink ? answer : NULL, .context = &inside};
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_sink sink = record_sink(&record);
    options.batch_size = 10;
    uint64_t begin = now_ms();
    assert_int_equal(sl_dispatch_run(host.pool, &options, numbers_source(&numbers), &sink, &report, &error),
                     SL_E_CLOSED);
    assert_true(now_ms() - begin < 20000);
    assert_true(inside.done);
    assert_int_equal(inside.drained, destroys ? SL_OK : SL_E_AGAIN);
    assert_int_equal(total(&report), report.input);
    assert_true(report.input < 100000);
    assert_int_equal(report.count[SL_STATUS_FAILED], 0);
    record_complete(&record, report.input);
    report_agrees(&report, &record);
    if (destroys) {
        no_child_is_left(); /* the run's end has done it all */
        sl_runtime_destroy(host.runtime);
    } else {
        host_close(&host);
    }
    no_child_is_left();
    sl_report_finish(&report);
    sl_error_finish(&error);
    record_finish(&record);
    numbers_finish(&numbers);
}

static void a_run_ends_its_own_pool(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        end_from_within((i & 1) != 0, (i & 2) != 0, (i & 4) != 0 ? 0 : 60000);
    }
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

static void a_stream_that_nobody_reads_holds_up_nothing(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct host host;
        host_open(&host, 2, no_batch_limit);
        struct sl_dispatch_options options = host_options("dispatch_functions:triple");
        struct numbers numbers = {.count = 100000};
        struct sl_stream *stream;
        struct sl_outcome outcome;
        struct sl_error error = SL_ERROR_INIT;
        options.batch_size = 10;
        assert_int_equal(sl_stream_open(host.pool, &options, numbers_source(&numbers), &stream, &error), SL_OK);
        uint64_t seen = 0;
        for (; seen < 100; seen++) {
            assert_int_equal(sl_stream_next(stream, &outcome, &error), SL_OK);
        }
        /* The same thread, but not a callback: it could wait for ever. */
        if (round == 0) {
            assert_int_equal(sl_pool_drain(host.pool, 50, NULL), SL_E_TIMEOUT);
        }
        host_close(&host);
        no_child_is_left();
        enum sl_code code;
        while ((code = sl_stream_next(stream, &outcome, &error)) == SL_OK) {
            assert_true(outcome.status == SL_STATUS_OK || outcome.status == SL_STATUS_CANCELLED);
            seen++;
        }
        assert_int_equal(code, SL_E_CLOSED);
        assert_int_equal(seen, numbers.pulled);
        assert_int_equal(total(sl_stream_report(stream)), numbers.pulled);
        sl_stream_close(stream);
        sl_error_finish(&error);
        numbers_finish(&numbers);
    }
}

static enum sl_code nothing_yet(void *context, uint64_t x, struct sl_error *error) {
    (void)context;
    (void)error;
    return x >= 3 ? SL_E_AGAIN : SL_OK;
}

static void a_run_that_waits_for_its_source_is_woken(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, no_batch_limit);
    struct run live;
    live = (struct run){.pool = host.pool,
                        .function = "dispatch_functions:triple",
                        .batch_size = 1,
                        .report = SL_REPORT_INIT,
                        .error = SL_ERROR_INIT,
                        .numbers = {.count = 1000, .stop = nothing_yet}};
    assert_int_equal(pthread_create(&live.thread, NULL, run, &live), 0);
    while (host_stats(&host).batch_count < 3) {
        pause_ms(1);
    }
    assert_int_equal(sl_pool_drain(host.pool, 60000, NULL), SL_OK);
    pthread_join(live.thread, NULL);
    assert_int_equal(live.code, SL_E_CLOSED);
    assert_int_equal(live.report.count[SL_STATUS_OK], 3);
    finish(&live);
    host_close(&host);
}

/* ---- circuit -------------------------------------------------------------------------------------------------------- */

static char trouble[SCRATCH_SIZE];

static void fragile(struct sl_pool_options *options) {
    static const char *const preload[] = {"dispatch_fragile", NULL};
    static char variable[SCRATCH_SIZE + 32];
    static const char *environment[] = {variable, NULL};
    snprintf(variable, sizeof variable, "FRAGILE_TROUBLE=%s", trouble);
    options->preload = preload;
    options->environment = environment;
    options->template_use = SL_TEMPLATE_OFF;
    options->start_failure_max = 3;
    options->circuit_cooldown_ms = 100;
}

static struct sl_error call_fragile(struct sl_pool *pool) {
    struct sl_dispatch_options options = host_options("dispatch_fragile:triple");
    struct shelf shelf = {0};
    struct sl_results results;
    struct sl_error error = SL_ERROR_INIT;
    shelf_int(&shelf, 5);
    struct sl_item item = {.value = shelf_at(&shelf, 0)};
    if (sl_call_batch(pool, &options, &item, 1, &results, &error) == SL_OK) {
        assert_int_equal(int_of(results.values[0]), 16);
    }
    sl_results_finish(&results);
    shelf_finish(&shelf);
    return error;
}

static void a_module_that_crashes_on_import_opens_the_circuit(void **state) {
    (void)state;
    struct host host;
    scratch_place(trouble, "slither_trouble");
    host_open(&host, 2, fragile);
    struct sl_error error = call_fragile(host.pool);
    assert_int_equal(error.code, SL_OK);
    FILE *file = fopen(trouble, "w"); /* from now on the import crashes */
    assert_non_null(file);
    fclose(file);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(kill((pid_t)sl_pool_worker_pid(host.pool, i), SIGKILL), 0);
    }
    uint64_t begin = now_ms();
    while (host_stats(&host).circuit_open_count < 2) {
        assert_true(now_ms() - begin < 30000);
        pause_ms(5);
    }
    uint64_t failures = host_stats(&host).start_failure_count;
    assert_true(failures <= 3 + 1 + 2); /* no storm: start_failure_max, one that was on its way, the trials */
    begin = now_ms();
    do { /* a trial may be under way, and then a call could be it */
        sl_error_finish(&error);
        error = call_fragile(host.pool);
    } while (error.code != SL_E_CIRCUIT_OPEN && now_ms() - begin < 10000);
    assert_int_equal(error.code, SL_E_CIRCUIT_OPEN);
    assert_non_null(strstr(error.message, "circuit"));
    assert_int_equal(error.term_signal, SIGABRT);
    sl_error_finish(&error);
    unlink(trouble); /* mended: it closes by itself, by one call that succeeds */
    begin = now_ms();
    do {
        pause_ms(5);
        error = call_fragile(host.pool);
        assert_true(error.code == SL_OK || error.code == SL_E_CIRCUIT_OPEN);
        assert_true(now_ms() - begin < 30000);
        sl_error_finish(&error);
    } while (host_stats(&host).circuit != SL_CIRCUIT_CLOSED);
    while (host_stats(&host).ready_count < 2) {
        assert_true(now_ms() - begin < 30000);
        pause_ms(5);
    }
    host_close(&host);
    no_child_is_left();
}

/* With keys each batch wants one worker, and the trial is of another: it closes nevertheless, and no item is lost. */
static enum sl_code key_of(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    (void)context;
    (void)error;
    *key = item->value;
    return SL_OK;
}

static void a_run_with_keys_can_be_the_trial(void **state) {
    (void)state;
    struct host host;
    scratch_place(trouble, "slither_trouble");
    host_open(&host, 3, fragile);
    FILE *file = fopen(trouble, "w");
    assert_non_null(file);
    fclose(file);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(kill((pid_t)sl_pool_worker_pid(host.pool, i), SIGKILL), 0);
    }
    while (host_stats(&host).circuit == SL_CIRCUIT_CLOSED) {
        pause_ms(5);
    }
    unlink(trouble);
    struct sl_strategy_functions functions = {.key = key_of};
    struct sl_dispatch_options options = host_options("dispatch_fragile:triple");
    options.strategy = sl_strategy_key(&functions);
    options.batch_size = 4;
    enum sl_code code = SL_E_CIRCUIT_OPEN;
    for (uint64_t begin = now_ms(); code == SL_E_CIRCUIT_OPEN; pause_ms(5)) {
        struct numbers numbers = {.count = 60};
        struct record record = {.numbers = &numbers};
        struct sl_report report = SL_REPORT_INIT;
        struct sl_sink sink = record_sink(&record);
        code = sl_dispatch_run(host.pool, &options, numbers_source(&numbers), &sink, &report, NULL);
        record_complete(&record, report.input);
        report_agrees(&report, &record);
        if (code == SL_OK) {
            record_all_right(&record, 60);
        }
        assert_true(now_ms() - begin < 30000);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
    }
    assert_int_equal(code, SL_OK);
    assert_int_equal(host_stats(&host).circuit, SL_CIRCUIT_CLOSED);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_finishes_what_is_in_flight),
        cmocka_unit_test(a_run_whose_workers_hang_ends_at_the_deadline),
        cmocka_unit_test(what_was_all_in_flight_ends_well),
        cmocka_unit_test(destruction_ends_a_run_of_another_thread),
        cmocka_unit_test(a_call_in_flight_gets_its_results),
        cmocka_unit_test(a_run_ends_its_own_pool),
        cmocka_unit_test(a_stream_that_nobody_reads_holds_up_nothing),
        cmocka_unit_test(a_run_that_waits_for_its_source_is_woken),
        cmocka_unit_test(a_module_that_crashes_on_import_opens_the_circuit),
        cmocka_unit_test(a_run_with_keys_can_be_the_trial),
    };
    return cmocka_run_group_tests_name("dispatch drain", tests, NULL, NULL);
}
