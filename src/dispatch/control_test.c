/* SPDX-License-Identifier: MIT */
/* Ends and edges of a run: cancel, drain, wake, timeouts, live sources, failing sources and sinks. */
#include <sched.h>

#include "testing/crew.h"

#define STALLS_MAX 30 /* a machine that stalls may spoil a measurement of milliseconds, but not so many in a row */

static void wait_until(struct crew *crew, uint64_t submitted) {
    uint64_t now = 0;
    while (now < submitted) {
        pthread_mutex_lock(&crew->lock);
        now = crew->submitted;
        pthread_mutex_unlock(&crew->lock);
        sched_yield();
    }
}

static struct sl_control *control_make(void) {
    struct sl_control *control = NULL;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_control_create(&control, &error), SL_OK);
    return control;
}

/* ---- cancel and drain from another thread ------------------------------------------------------------------------------ */

struct hand {
    struct crew *crew;
    struct sl_control *control;
    uint64_t after; /* submits */
    void (*what)(struct sl_control *control);
};

static void *reach_in(void *context) {
    struct hand *hand = context;
    wait_until(hand->crew, hand->after);
    hand->what(hand->control);
    return NULL;
}

static void cancel_leaves_nothing_open(void **state) {
    (void)state;
    /* Nobody ever answers: without the cancel the run would wait for ever. */
    struct crew crew = {.held = true};
    crew_open(&crew);
    struct sl_control *control = control_make();
    struct hand hand = {&crew, control, 8, sl_control_cancel};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reach_in, &hand), 0);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 4;
    options.control = control;
    struct numbers numbers = {.count = 1000};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_E_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(report.count[SL_STATUS_CANCELLED], numbers.pulled);
    assert_int_equal(numbers.pulled, 32);
    assert_int_equal(crew.cancel_count, 8);
    for (size_t i = 0; i < record.count; i++) {
        assert_int_equal(record.seen[i].code, SL_E_CANCELLED);
        assert_int_equal(record.seen[i].attempts, 1);
    }
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew); /* the tasks end now, long after their run */
    sl_control_destroy(control);
}

static enum sl_code endless(void *context, uint64_t x, struct sl_error *error) {
    (void)context;
    (void)x;
    (void)error;
    return SL_OK;
}

static void drain_finishes_what_was_pulled(void **state) {
    (void)state;
    struct crew crew = {.hands = 2};
    crew_open(&crew);
    struct sl_control *control = control_make();
    struct hand hand = {&crew, control, 5, sl_control_drain};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reach_in, &hand), 0);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 7;
    options.control = control;
    struct numbers numbers = {.count = UINT64_MAX, .stop = endless};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    pthread_join(thread, NULL);
    record_all_right(&record, numbers.pulled);
    assert_true(numbers.pulled >= 28);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
    sl_control_destroy(control);
}

static void a_run_that_was_cancelled_before_it_began_pulls_nothing(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_control *control = control_make();
    sl_control_cancel(control);
    struct sl_dispatch_options options = crew_options(&crew);
    options.control = control;
    struct numbers numbers = {.count = 10};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_E_CANCELLED);
    assert_int_equal(numbers.pulled, 0);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
    sl_control_destroy(control);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------ */

static void a_run_ends_at_its_timeout(void **state) {
    (void)state;
    struct crew crew = {.held = true};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.run_timeout_ms = 50;
    options.timeout_ms = 0;
    struct numbers numbers = {.count = 100};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    uint64_t before = now_ms();
    run_numbers(NULL, &options, &numbers, &record, &report, SL_E_TIMEOUT);
    assert_true(now_ms() - before >= 49);
    assert_int_equal(report.count[SL_STATUS_CANCELLED], 100);
    assert_int_equal(record.seen[0].code, SL_E_TIMEOUT);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* Keeps the tasks that hold an even first number; the others are done at once. */
static void act_keep_even(void *context, struct sl_task *task) {
    struct crew *crew = context;
    if (number_of(sl_task_item(task, 0)) % 2 == 0) {
        pthread_mutex_lock(&crew->lock);
        crew->tasks[crew->waiting++] = task;
        pthread_mutex_unlock(&crew->lock);
    } else {
        act_triple(NULL, task);
    }
}

static void what_ends_after_its_timeout_is_dropped(void **state) {
    (void)state;
    struct crew crew = {.act = act_keep_even, .context = &crew};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 1;
    options.timeout_ms = 30;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 20};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_OK], 10);
    assert_int_equal(report.count[SL_STATUS_FAILED], 10);
    assert_int_equal(crew.cancel_count, 10);
    for (size_t i = 0; i < record.count; i++) {
        assert_int_equal(record.seen[i].code, i % 2 == 0 ? SL_E_WORKER_TIMEOUT : SL_OK);
    }
    crew.act = NULL;
    assert_int_equal(crew_release(&crew, 100), 10); /* late: nobody listens, nothing leaks */
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* The cancel function itself ends the task. */
static void end_when_cancelled(void *context, struct sl_task *task) {
    struct crew *crew = context;
    crew->waiting = 0;
    act_fail(task, SL_E_CANCELLED, "stopped as told");
}

static void a_task_may_end_within_its_cancel(void **state) {
    (void)state;
    struct crew crew = {.held = true, .cancelled = end_when_cancelled, .context = &crew};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.timeout_ms = 10;
    options.max_in_flight = 1;
    options.batch_size = 5;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 15};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_FAILED], 15);
    assert_int_equal(crew.cancel_count, 3);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* A source that blocks for longer than the timeout of a batch: the time is its own. */
static void block(void *context, uint64_t x) {
    struct crew *crew = context;
    if (x == 4) {
        struct timespec pause = {0, 60000000};
        nanosleep(&pause, NULL);
        (void)crew;
    }
}

static void the_time_of_a_slow_source_is_not_the_batchs(void **state) {
    (void)state;
    bool kept = false;
    for (int i = 0; i < STALLS_MAX && !kept; i++) {
        struct crew crew = {.hands = 1};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 5;
        options.timeout_ms = 40;
        options.policy.on_error = SL_ON_ERROR_SKIP;
        struct numbers numbers = {.count = 10, .before = block, .context = &crew};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        kept = report.count[SL_STATUS_OK] == 10 && report.latency_max_ns < 55000000;
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
    assert_true(kept);
}

/* ---- live sources ------------------------------------------------------------------------------------------------------------ */

struct live {
    struct sl_control *control;
    _Atomic uint64_t available;
    _Atomic uint64_t asked;
    uint64_t end;
};

static enum sl_code live_stop(void *context, uint64_t x, struct sl_error *error) {
    struct live *live = context;
    (void)error;
    atomic_fetch_add(&live->asked, 1);
    return x < atomic_load(&live->available) || x >= live->end ? SL_OK : SL_E_AGAIN;
}

static void *trickle(void *context) {
    struct live *live = context;
    while (atomic_load(&live->available) < live->end) {
        uint64_t asked = atomic_load(&live->asked);
        atomic_fetch_add(&live->available, 1);
        sl_control_wake(live->control);
        while (atomic_load(&live->asked) == asked) {
            sched_yield(); /* a wake-up that is lost hangs here */
        }
    }
    return NULL;
}

static void no_wake_up_of_a_live_source_is_lost(void **state) {
    (void)state;
    for (int hands = 0; hands < 2; hands++) {
        struct crew crew = {.hands = (uint32_t)hands};
        crew_open(&crew);
        struct live live = {.control = control_make(), .end = 3000};
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 3;
        options.control = live.control;
        struct numbers numbers = {.count = live.end, .stop = live_stop, .context = &live};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, trickle, &live), 0);
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        pthread_join(thread, NULL);
        record_all_right(&record, live.end);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
        sl_control_destroy(live.control);
    }
}

static enum sl_code two_then_nothing(void *context, uint64_t x, struct sl_error *error) {
    (void)error;
    struct record *record = context;
    if (x < 2) {
        return SL_OK;
    }
    return record->count < 2 ? SL_E_AGAIN : SL_E_END;
}

static enum sl_code one_key_each(void *context, const struct sl_item *item, struct sl_placement *placement,
                                 struct sl_error *error) {
    (void)context;
    (void)error;
    placement->key = 1 + (uint64_t)number_of(item->value);
    return SL_OK;
}

static void a_batch_that_is_not_full_is_sent_after_max_delay(void **state) {
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        struct crew crew = {0};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.max_delay_ms = 20;
        if (keyed != 0) {
            options.strategy = (struct sl_strategy){"one key each", one_key_each, NULL};
        }
        struct record record = {0};
        struct numbers numbers = {.count = 100, .stop = two_then_nothing, .context = &record};
        struct sl_report report = SL_REPORT_INIT;
        uint64_t before = now_ms();
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        record_all_right(&record, 2);
        assert_true(now_ms() - before >= 19);
        assert_int_equal(crew.submitted, keyed != 0 ? 2 : 1);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* A source that blocks for 5 ms an item must not keep a batch from its max_delay, nor outcomes from the sink. */
static void slow_item(void *context, uint64_t x) {
    (void)context;
    (void)x;
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
}

static void a_slow_source_holds_up_neither_batches_nor_outcomes(void **state) {
    (void)state;
    for (int delayed = 0; delayed < 2; delayed++) {
        /* Held up, the outcomes of a whole window of 8 batches, or of all 30 items, would come at once. */
        size_t peak = SIZE_MAX, peak_max = delayed != 0 ? 20 : 7;
        for (int i = 0; i < STALLS_MAX && peak > peak_max; i++) {
            struct crew crew = {0};
            crew_open(&crew);
            struct sl_dispatch_options options = crew_options(&crew);
            options.batch_size = delayed != 0 ? 64 : 1;
            options.max_delay_ms = delayed != 0 ? 12 : 0;
            struct numbers numbers = {.count = 30, .before = slow_item};
            struct record record = {0};
            struct sl_report report = SL_REPORT_INIT;
            run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
            record_all_right(&record, 30);
            peak = record.unseen_peak;
            sl_report_finish(&report);
            record_finish(&record);
            numbers_finish(&numbers);
            crew_close(&crew);
        }
        assert_in_range(peak, 0, peak_max);
    }
}

/* ---- failing sources and sinks ----------------------------------------------------------------------------------------------- */

static enum sl_code break_at_ten(void *context, uint64_t x, struct sl_error *error) {
    (void)context;
    return x < 10 ? SL_OK : sl_error_set(error, SL_E_SYSTEM, "the disk is on fire");
}

static void a_failing_source_ends_the_run_as_if_it_were_over(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 4;
    struct numbers numbers = {.count = 100, .stop = break_at_ten};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_sink sink = record_sink(&record);
    assert_int_equal(sl_dispatch_run(NULL, &options, numbers_source(&numbers), &sink, &report, &error), SL_E_SOURCE);
    record_all_right(&record, 10); /* what had been pulled is finished */
    report_agrees(&report, &record);
    assert_non_null(strstr(error.message, "after 10 items"));
    assert_non_null(strstr(error.message, "the disk is on fire"));
    sl_error_finish(&error);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

struct sink_stop {
    uint64_t at;
    enum sl_code code;
};

static enum sl_code stop_at(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct sink_stop *stop = context;
    if (outcome->sequence < stop->at) {
        return SL_OK;
    }
    return stop->code == SL_E_END ? SL_E_END : sl_error_set(error, stop->code, "the pipe is closed");
}

static void a_sink_may_end_the_run(void **state) {
    (void)state;
    static const enum sl_code codes[] = {SL_E_END, SL_E_SYSTEM};
    for (size_t i = 0; i < 2; i++) {
        struct crew crew = {0};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 4;
        struct sink_stop stop = {9, codes[i]};
        struct numbers numbers = {.count = 1000};
        struct record record = {.numbers = &numbers, .answer = stop_at, .context = &stop};
        struct sl_report report = SL_REPORT_INIT;
        struct sl_error error = SL_ERROR_INIT;
        struct sl_sink sink = record_sink(&record);
        enum sl_code code = sl_dispatch_run(NULL, &options, numbers_source(&numbers), &sink, &report, &error);
        assert_int_equal(code, i == 0 ? SL_OK : SL_E_SINK);
        assert_int_equal(record.count, 10);
        assert_true(numbers.pulled < 200);
        uint64_t sum = 0;
        for (int k = 0; k < SL_STATUS_COUNT; k++) {
            sum += report.count[k];
        }
        assert_int_equal(sum, numbers.pulled);
        assert_true(i == 0 || strstr(error.message, "item 9") != NULL);
        sl_error_finish(&error);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

static void a_source_of_bad_items_is_pulled_within_bounds(void **state) {
    (void)state;
    struct crew crew = {.hands = 1};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 1;
    options.max_in_flight_bytes = 64;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 20000, .padding = 100}; /* all of them are too large */
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_FAILED], 20000);
    assert_true(record.unseen_peak <= 64 + 1);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- progress ---------------------------------------------------------------------------------------------------------------- */

static void count_progress(void *context, const struct sl_report *report) {
    struct sl_control *control = ((void **)context)[0];
    uint32_t *calls = ((void **)context)[1];
    assert_int_equal(report->input, 3);
    if (++*calls == 5) {
        sl_control_cancel(control);
    }
}

static void progress_is_called_while_the_run_waits(void **state) {
    (void)state;
    struct crew crew = {.held = true};
    crew_open(&crew);
    uint32_t calls = 0;
    struct sl_control *control = control_make();
    void *both[] = {control, &calls};
    struct sl_dispatch_options options = crew_options(&crew);
    options.control = control;
    options.progress = count_progress;
    options.progress_context = both;
    options.progress_ms = 5;
    struct numbers numbers = {.count = 3};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    uint64_t before = now_ms();
    run_numbers(NULL, &options, &numbers, &record, &report, SL_E_CANCELLED);
    assert_true(now_ms() - before >= 24);
    assert_true(calls >= 5); /* it may be due once more before the run has ended */
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
    sl_control_destroy(control);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_leaves_nothing_open),
        cmocka_unit_test(drain_finishes_what_was_pulled),
        cmocka_unit_test(a_run_that_was_cancelled_before_it_began_pulls_nothing),
        cmocka_unit_test(a_run_ends_at_its_timeout),
        cmocka_unit_test(what_ends_after_its_timeout_is_dropped),
        cmocka_unit_test(a_task_may_end_within_its_cancel),
        cmocka_unit_test(the_time_of_a_slow_source_is_not_the_batchs),
        cmocka_unit_test(no_wake_up_of_a_live_source_is_lost),
        cmocka_unit_test(a_batch_that_is_not_full_is_sent_after_max_delay),
        cmocka_unit_test(a_slow_source_holds_up_neither_batches_nor_outcomes),
        cmocka_unit_test(a_failing_source_ends_the_run_as_if_it_were_over),
        cmocka_unit_test(a_sink_may_end_the_run),
        cmocka_unit_test(a_source_of_bad_items_is_pulled_within_bounds),
        cmocka_unit_test(progress_is_called_while_the_run_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
