/* SPDX-License-Identifier: MIT */
/* Bounds: batches in flight, bytes, finished batches that wait for an earlier one; and the order that comes out. */
#include <sched.h>

#include "testing/crew.h"

/* ---- the window ---------------------------------------------------------------------------------------------------- */

struct watch {
    struct crew *crew;
    struct record *record;
    uint32_t batch_size, max_in_flight;
    uint64_t unseen_peak; /* pulled and not given out, when the next is pulled */
};

static void watch_pull(void *context, uint64_t x) {
    struct watch *watch = context;
    uint64_t unseen = x - watch->record->count;
    if (unseen > watch->unseen_peak) {
        watch->unseen_peak = unseen;
    }
}

static void the_window_is_never_exceeded_and_bounds_what_is_pulled(void **state) {
    (void)state;
    static const uint32_t windows[] = {1, 2, 5, 8};
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct crew crew = {.hands = 4, .shuffled = true};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 4;
        options.max_in_flight = windows[i];
        options.ordering = SL_ORDERING_AS_COMPLETED;
        struct record record = {0};
        struct watch watch = {&crew, &record, 4, windows[i], 0};
        struct numbers numbers = {.count = 1000, .before = watch_pull, .context = &watch};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        record_all_right(&record, 1000);
        assert_true(report.in_flight_peak <= windows[i]);
        assert_true(crew.running_peak <= windows[i]);
        /* What was pulled and is not out flies, fills the batch that the window has room for, or came back just now: lanes
         * are fed before outcomes are given out. */
        assert_true(watch.unseen_peak < 2 * (uint64_t)windows[i] * 4);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* Fails every batch of more than one item, so that isolate keeps splitting while the window is full. */
static void act_alone_only(void *context, struct sl_task *task) {
    (void)context;
    if (sl_task_count(task) > 1) {
        act_fail(task, SL_E_PYTHON, "not alone");
    } else {
        act_triple(NULL, task);
    }
}

static void splitting_does_not_exceed_the_window(void **state) {
    (void)state;
    struct crew crew = {.hands = 2, .act = act_alone_only};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 8;
    options.max_in_flight = 3;
    options.policy.on_error = SL_ON_ERROR_ISOLATE;
    struct numbers numbers = {.count = 400};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 400);
    assert_true(report.in_flight_peak <= 3);
    assert_true(crew.running_peak <= 3);
    assert_int_equal(report.batch_count, 50 * 15);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void an_executor_of_less_capacity_is_not_overrun(void **state) {
    (void)state;
    struct crew crew = {.hands = 2, .capacity = 2};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 3;
    options.max_in_flight = 8;
    struct numbers numbers = {.count = 500};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 500);
    assert_true(crew.running_peak <= 2);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- order ----------------------------------------------------------------------------------------------------------- */

static void order_is_kept_whatever_the_order_of_completion(void **state) {
    (void)state;
    uint64_t seed = draw_seed() | 1;
    struct crew crew = {.hands = 4, .shuffled = true, .random = seed};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 3;
    options.max_in_flight = 16;
    struct numbers numbers = {.count = 5000};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 5000);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* Keeps the task with item 0 until item `until` was submitted; all others are done at once. */
struct late_first {
    struct sl_task *first;
    int64_t until;
    uint64_t done_before; /* batches that were finished before the first */
};

static void act_first_last(void *context, struct sl_task *task) {
    struct late_first *late = context;
    bool last = task_holds(task, late->until);
    if (task_holds(task, 0)) {
        late->first = task;
        return;
    }
    late->done_before += late->first != NULL;
    act_triple(NULL, task);
    if (last && late->first != NULL) {
        act_triple(NULL, late->first);
        late->first = NULL;
    }
}

static void as_completed_does_not_wait_for_the_first(void **state) {
    (void)state;
    struct late_first late = {.until = 99};
    struct crew crew = {.act = act_first_last, .context = &late};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 1;
    options.ordering = SL_ORDERING_AS_COMPLETED;
    struct numbers numbers = {.count = 100};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 100);
    assert_int_equal(record.seen[0].sequence, 1);
    assert_int_equal(late.done_before, 99);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- turns ------------------------------------------------------------------------------------------------------------ */

/* What had been pulled when the first outcome of each batch was seen. */
struct turns {
    struct numbers *numbers;
    uint64_t pulled[16];
    uint32_t slow_from; /* the source takes its time from this number on */
};

static enum sl_code note_turn(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct turns *turns = context;
    (void)error;
    if (outcome->sequence % 4 == 0 && outcome->sequence < 64) {
        turns->pulled[outcome->sequence / 4] = turns->numbers->pulled;
    }
    return SL_OK;
}

static void take_time(void *context, uint64_t x) {
    const struct turns *turns = ((void **)context)[0];
    if (x >= turns->slow_from) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* longer than a tick of the coarse clock */
    }
}

/* Eight batches of four are due at once, when the first is. */
static void see_turns(struct turns *turns, uint64_t count) {
    struct late_first late = {.until = 31};
    struct crew crew = {.act = act_first_last, .context = &late};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 4;
    options.max_in_flight = 8;
    options.reorder_max = 8;
    void *context[] = {turns};
    struct numbers numbers = {.count = count, .before = take_time, .context = context};
    turns->numbers = &numbers;
    struct record record = {.answer = note_turn, .context = turns};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, count);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void at_most_one_batch_is_taken_in_for_each_that_is_given_out(void **state) {
    (void)state;
    struct turns turns = {.slow_from = UINT32_MAX};
    see_turns(&turns, 200);
    for (uint32_t i = 1; i < 8; i++) {
        assert_true(turns.pulled[i] - turns.pulled[i - 1] <= 4);
    }
    /* Seven, unless this process was held up: then it took the source for a slow one. */
    assert_true(turns.pulled[7] - turns.pulled[0] >= 4);
}

static void a_slow_source_does_not_stand_between_outcomes(void **state) {
    (void)state;
    struct turns turns = {.slow_from = 32};
    see_turns(&turns, 44);
    for (uint32_t i = 2; i < 8; i++) {
        assert_int_equal(turns.pulled[i], turns.pulled[1]);
    }
}

/* Like act_first_last, but lets the first go when as many are finished as may wait for it, and a run that is wrong has had
 * the time to send more. */
static void *let_go_of_first(void *context) {
    struct crew *crew = ((void **)context)[0];
    struct late_first *late = ((void **)context)[1];
    struct sl_task *first = NULL;
    uint64_t done = 0;
    while (done < (uint64_t)late->until) {
        pthread_mutex_lock(&crew->lock);
        done = late->done_before;
        pthread_mutex_unlock(&crew->lock);
        sched_yield();
    }
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&crew->lock);
    first = late->first;
    late->first = NULL;
    pthread_mutex_unlock(&crew->lock);
    act_triple(NULL, first);
    return NULL;
}

static void act_keep_first(void *context, struct sl_task *task) {
    struct crew *crew = ((void **)context)[0];
    struct late_first *late = ((void **)context)[1];
    bool keep = task_holds(task, 0);
    pthread_mutex_lock(&crew->lock);
    late->first = keep ? task : late->first;
    late->done_before += !keep && late->first != NULL;
    pthread_mutex_unlock(&crew->lock);
    if (!keep) {
        act_triple(NULL, task);
    }
}

static void finished_batches_that_wait_are_bounded(void **state) {
    (void)state;
    static const uint32_t bounds[] = {1, 3, 20};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct late_first late = {.until = bounds[i]};
        struct crew crew = {0};
        void *both[] = {&crew, &late};
        crew.act = act_keep_first;
        crew.context = both;
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 2;
        options.reorder_max = bounds[i];
        struct numbers numbers = {.count = 200};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, let_go_of_first, both), 0);
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        pthread_join(thread, NULL);
        record_all_right(&record, 200);
        assert_int_equal(late.done_before, bounds[i]);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* The first item stays in a filling batch while later ones are finished: nothing but the end of the input would send it. */
static enum sl_code first_alone(void *context, const struct sl_item *item, struct sl_placement *placement,
                                struct sl_error *error) {
    (void)context;
    (void)error;
    placement->key = number_of(item->value) == 0 ? 1 : 2;
    return SL_OK;
}

static enum sl_code bad_but_first(void *context, const struct sl_item *item, struct sl_placement *placement,
                                  struct sl_error *error) {
    (void)context;
    (void)placement;
    return number_of(item->value) % 300 == 0 ? SL_OK : sl_error_set(error, SL_E_NOT_FOUND, "no place");
}

static void a_filling_batch_does_not_hold_up_the_finished(void **state) {
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        struct crew crew = {0};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 4;
        options.reorder_max = 5;
        options.strategy = (struct sl_strategy){"test", keyed != 0 ? first_alone : bad_but_first, NULL};
        options.policy.on_error = SL_ON_ERROR_SKIP;
        struct numbers numbers = {.count = 1000};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        assert_int_equal(report.count[SL_STATUS_OK], keyed != 0 ? 1000 : 4);
        assert_true(record.unseen_peak <= (5 + 1) * 4 + 1);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------- */

struct bytes {
    uint64_t random;
    uint32_t bound;
    uint32_t oversize_every;
};

static size_t random_padding(void *context, uint64_t x) {
    struct bytes *bytes = context;
    if (bytes->oversize_every != 0 && x % bytes->oversize_every == bytes->oversize_every - 1) {
        return 20000;
    }
    return 1 + draw_below(&bytes->random, bytes->bound);
}

static void bytes_stay_within_their_budget(void **state) {
    (void)state;
    struct bytes bytes = {.random = draw_seed() | 1, .bound = 3000, .oversize_every = 50};
    struct crew crew = {.hands = 3, .shuffled = true, .random = bytes.random};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 32; /* 32 items have 48 KiB on average: no batch gets full */
    options.max_in_flight_bytes = 10000;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 2000, .padding_of = random_padding, .context = &bytes};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_true(report.bytes_peak <= 10000);
    assert_true(report.bytes_peak > 5000);
    assert_int_equal(report.count[SL_STATUS_OK], 1960);
    assert_int_equal(report.count[SL_STATUS_FAILED], 40);
    for (size_t i = 0; i < record.count; i++) { /* the oversize ones fail alone */
        bool oversize = record.seen[i].sequence % 50 == 49;
        assert_int_equal(record.seen[i].status, oversize ? SL_STATUS_FAILED : SL_STATUS_OK);
        assert_int_equal(record.seen[i].code, oversize ? SL_E_LIMIT : SL_OK);
    }
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void the_budget_sends_partial_keyed_batches(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.max_in_flight_bytes = 1000;
    options.strategy = (struct sl_strategy){"test", first_alone, NULL};
    struct numbers numbers = {.count = 300, .padding = 100};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_OK], 300);
    assert_true(report.bytes_peak <= 1000);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* An item too large for the budget, but itself within it, must not wait for ever for the rest of its batch. */
static void an_item_of_the_whole_budget_passes(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.max_in_flight_bytes = 107; /* list of an int and 100 bytes: 1 + 1..2 + 2 + 100 */
    struct numbers numbers = {.count = 100, .padding = 100};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_OK], 100);
    assert_int_equal(report.batch_count, 100);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_is_never_exceeded_and_bounds_what_is_pulled),
        cmocka_unit_test(splitting_does_not_exceed_the_window),
        cmocka_unit_test(an_executor_of_less_capacity_is_not_overrun),
        cmocka_unit_test(order_is_kept_whatever_the_order_of_completion),
        cmocka_unit_test(as_completed_does_not_wait_for_the_first),
        cmocka_unit_test(at_most_one_batch_is_taken_in_for_each_that_is_given_out),
        cmocka_unit_test(a_slow_source_does_not_stand_between_outcomes),
        cmocka_unit_test(finished_batches_that_wait_are_bounded),
        cmocka_unit_test(a_filling_batch_does_not_hold_up_the_finished),
        cmocka_unit_test(bytes_stay_within_their_budget),
        cmocka_unit_test(the_budget_sends_partial_keyed_batches),
        cmocka_unit_test(an_item_of_the_whole_budget_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
