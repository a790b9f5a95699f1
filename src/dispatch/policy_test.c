/* SPDX-License-Identifier: MIT */
/* What becomes of failures: skip, halt, retry, route, isolate. */
#include <sched.h>

#include "testing/crew.h"

/* Fails as it is told. */
struct faults {
    bool poison[4096];
    uint32_t failures; /* batches that fail before all is well; UINT32_MAX: always */
    enum sl_code kind;
    uint32_t batches, failed;
    uint32_t mark_every; /* items that get an error mark */
    uint32_t mark_failures;
};

static void act_faulty(void *context, struct sl_task *task) {
    struct faults *faults = context;
    faults->batches++;
    bool fails = false;
    for (uint32_t i = 0; i < sl_task_count(task); i++) {
        fails |= faults->poison[number_of(sl_task_item(task, i)) % 4096];
    }
    if (!fails && faults->failures > 0) {
        faults->failures -= faults->failures != UINT32_MAX;
        fails = true;
    }
    if (fails) {
        faults->failed++;
        act_fail(task, faults->kind != SL_OK ? faults->kind : SL_E_PYTHON, "a fault of the test");
    } else {
        act_triple(NULL, task);
    }
}

static void skip_fails_the_batch_and_goes_on(void **state) {
    (void)state;
    struct faults faults = {0};
    struct crew crew = {.act = act_faulty, .context = &faults};
    faults.poison[13] = true;
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 10;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 100};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    for (uint64_t x = 0; x < 100; x++) {
        bool failed = x >= 10 && x < 20;
        const struct seen *seen = record_of(&record, x);
        assert_int_equal(seen->status, failed ? SL_STATUS_FAILED : SL_STATUS_OK);
        assert_int_equal(seen->code, failed ? SL_E_PYTHON : SL_OK);
        assert_int_equal(seen->attempts, 1);
    }
    assert_int_equal(report.error_count, 1);
    assert_int_equal(report.errors[0].item_count, 10);
    assert_int_equal(report.errors[0].id_count, 10);
    assert_int_equal(report.errors[0].ids[0], 1010);
    assert_true(report.errors[0].final);
    assert_int_equal(report.batch_failed_count, 1);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void *release_two(void *context) {
    struct crew *crew = context;
    uint32_t released = 0;
    while (released < 2) {
        released += crew_release(crew, 1);
        sched_yield();
    }
    /* What flies while the run halts is finished too. */
    for (int i = 0; i < 200; i++) {
        (void)crew_release(crew, 1);
        struct timespec pause = {0, 500000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void halt_stops_pulling_and_cancels_what_was_not_sent(void **state) {
    (void)state;
    struct faults faults = {0};
    struct crew crew = {.held = true, .capacity = 2, .act = act_faulty, .context = &faults};
    faults.poison[2] = true;
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct sl_error error = SL_ERROR_INIT;
    options.batch_size = 2;
    options.max_in_flight = 4;
    struct numbers numbers = {.count = 100};
    struct record record = {.numbers = &numbers};
    struct sl_sink sink = record_sink(&record);
    struct sl_report report = SL_REPORT_INIT;
    /* [0 1] and [2 3] fly when 4 is pulled and has no seat; then both are let go. */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, release_two, &crew), 0);
    assert_int_equal(sl_dispatch_run(NULL, &options, numbers_source(&numbers), &sink, &report, &error), SL_E_HALTED);
    pthread_join(thread, NULL);
    report_agrees(&report, &record);
    record_complete(&record, numbers.pulled);
    record_in_order(&record);
    assert_int_equal(report.count[SL_STATUS_FAILED], 2);
    assert_true(report.count[SL_STATUS_OK] >= 2);
    assert_true(numbers.pulled <= 10); /* two batches out, two flown since, one item held */
    assert_int_equal(record_of(&record, 2)->code, SL_E_PYTHON);
    for (size_t i = 4; i < record.count; i++) {
        assert_true(record.seen[i].status == SL_STATUS_OK || record.seen[i].code == SL_E_HALTED);
    }
    assert_int_equal(error.code, SL_E_HALTED);
    assert_non_null(strstr(error.message, "item 2 (id 1002"));
    assert_non_null(strstr(error.message, "a fault of the test"));
    sl_error_finish(&error);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void halt_is_the_default_of_a_run(void **state) {
    (void)state;
    struct faults faults = {.failures = UINT32_MAX};
    struct crew crew = {.act = act_faulty, .context = &faults};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct numbers numbers = {.count = 1000};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_E_HALTED);
    assert_true(report.count[SL_STATUS_FAILED] >= 64);
    assert_true(numbers.pulled < 1000);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- retry ----------------------------------------------------------------------------------------------------------- */

static void retry_tries_again_as_often_as_it_may(void **state) {
    (void)state;
    for (uint32_t failures = 0; failures < 6; failures++) {
        struct faults faults = {.failures = failures};
        struct crew crew = {.act = act_faulty, .context = &faults};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 8;
        options.max_in_flight = 1;
        options.policy =
            (struct sl_error_policy){.on_error = SL_ON_ERROR_RETRY, .max_attempts = 4, .backoff_ms = 1, .jitter = 1.0};
        struct numbers numbers = {.count = 8};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        bool ok = failures < 4;
        assert_int_equal(report.count[ok ? SL_STATUS_OK : SL_STATUS_FAILED], 8);
        assert_int_equal(record.seen[0].attempts, ok ? failures + 1 : 4);
        assert_int_equal(report.retry_count, ok ? failures : 3);
        assert_int_equal(report.batch_failed_count, ok ? failures : 4);
        assert_int_equal(report.error_count, ok ? failures : 4);
        for (uint32_t i = 0; i < report.error_count; i++) {
            assert_int_equal(report.errors[i].attempt, i + 1);
            assert_int_equal(report.errors[i].final, i == 3);
        }
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

static void only_the_kinds_that_are_named_are_retried(void **state) {
    (void)state;
    static const struct {
        enum sl_code kind;
        uint64_t kinds;
        bool retried;
    } cases[] = {
        {SL_E_PYTHON, 0, true},
        {SL_E_WORKER_CRASHED, 0, true},
        {SL_E_WORKER_TIMEOUT, 0, true},
        {SL_E_BAD_RESULT, 0, false},
        {SL_E_NOT_SERIALIZABLE, 0, false},
        {SL_E_FUNCTION, 0, false},
        {SL_E_PYTHON, (uint64_t)1 << SL_E_WORKER_CRASHED, false},
        {SL_E_BAD_RESULT, (uint64_t)1 << SL_E_BAD_RESULT, true},
        {SL_E_EXECUTOR, (uint64_t)1 << SL_E_EXECUTOR, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct faults faults = {.failures = 1, .kind = cases[i].kind};
        struct crew crew = {.act = act_faulty, .context = &faults};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.policy = (struct sl_error_policy){
            .on_error = SL_ON_ERROR_RETRY, .backoff_ms = 1, .jitter = 1.0, .retry_kinds = cases[i].kinds};
        struct numbers numbers = {.count = 4};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        assert_int_equal(report.count[cases[i].retried ? SL_STATUS_OK : SL_STATUS_FAILED], 4);
        assert_int_equal(report.retry_count, cases[i].retried);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

static void backoff_doubles_up_to_its_bound_and_jitter_shortens_it(void **state) {
    (void)state;
    static const double jitters[] = {0.0, 0.5};
    for (size_t k = 0; k < 2; k++) {
        struct faults faults = {.failures = 5};
        struct crew crew = {.act = act_faulty, .context = &faults};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_RETRY,
                                                  .max_attempts = 6,
                                                  .backoff_ms = 10,
                                                  .backoff_max_ms = 40,
                                                  .jitter = jitters[k]};
        struct numbers numbers = {.count = 1};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        static const uint64_t delays[] = {10, 20, 40, 40, 40};
        uint64_t sum = 0;
        for (int i = 0; i < 5; i++) {
            uint64_t gap = crew.log[i + 1].at_ms - crew.log[i].at_ms;
            assert_true((double)gap + 1 >= (double)delays[i] * (1.0 - jitters[k]));
            sum += gap;
        }
        assert_true(k == 0 ? sum >= 145 : sum < 150 + 100); /* the upper bound is for a busy machine */
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* Error marks on single items: those alone are tried again. */
static void one_with_marks(void *context, struct shelf *shelf, int64_t x) {
    struct faults *faults = context;
    if (faults->mark_every != 0 && (uint64_t)x % faults->mark_every == 0 && faults->mark_failures > 0) {
        faults->mark_failures--;
        shelf_mark(shelf, SL_MARK_ERROR, "marked");
    } else {
        shelf_int(shelf, triple(x));
    }
}

static void act_marks(void *context, struct sl_task *task) {
    ((struct faults *)context)->batches++;
    act_each(task, one_with_marks, context);
}

static void marked_items_are_retried_alone(void **state) {
    (void)state;
    struct faults faults = {.mark_every = 5, .mark_failures = 8};
    struct crew crew = {.act = act_marks, .context = &faults};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 20;
    options.policy = (struct sl_error_policy){
        .on_error = SL_ON_ERROR_RETRY, .backoff_ms = 1, .retry_kinds = (uint64_t)1 << SL_E_ITEM};
    struct numbers numbers = {.count = 20};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 20);
    assert_int_equal(crew.submitted, 3);
    assert_int_equal(crew.log[1].count, 4); /* 0 5 10 15 */
    assert_int_equal(crew.log[2].count, 4);
    assert_int_equal(report.retry_count, 2);
    assert_int_equal(report.batch_failed_count, 0);
    assert_int_equal(record_of(&record, 5)->attempts, 3);
    assert_int_equal(record_of(&record, 6)->attempts, 1);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- marks --------------------------------------------------------------------------------------------------------------- */

static void one_of_each_mark(void *context, struct shelf *shelf, int64_t x) {
    (void)context;
    switch (x % 4) {
    case 1:
        shelf_mark(shelf, SL_MARK_SKIP, "not wanted");
        break;
    case 2:
        shelf_mark(shelf, SL_MARK_ROUTE, "elsewhere");
        break;
    case 3:
        shelf_mark(shelf, SL_MARK_ERROR, "no good");
        break;
    default:
        shelf_int(shelf, triple(x));
    }
}

static void act_all_marks(void *context, struct sl_task *task) {
    act_each(task, one_of_each_mark, context);
}

static void marks_become_statuses(void **state) {
    (void)state;
    struct crew crew = {.act = act_all_marks};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 6;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 40};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    for (size_t i = 0; i < 40; i++) {
        static const enum sl_status expected[] = {SL_STATUS_OK, SL_STATUS_SKIPPED, SL_STATUS_ROUTED, SL_STATUS_FAILED};
        static const char *const routes[] = {"", "not wanted", "elsewhere", ""};
        assert_int_equal(record.seen[i].status, expected[i % 4]);
        assert_string_equal(record.seen[i].route, routes[i % 4]);
        assert_int_equal(record.seen[i].code, i % 4 == 3 ? SL_E_ITEM : SL_OK);
    }
    assert_int_equal(report.error_total, 10);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- isolate ------------------------------------------------------------------------------------------------------------- */

static enum sl_code take_odd(void *context, const struct sl_outcome *failed, const char **route) {
    uint32_t *taken = context;
    assert_int_equal(failed->status, SL_STATUS_FAILED);
    assert_non_null(failed->error);
    assert_int_equal(number_of(failed->input), failed->sequence);
    *route = "dead letters";
    if (failed->sequence % 2 == 0) {
        return SL_E_NOT_FOUND;
    }
    ++*taken;
    return SL_OK;
}

static void isolate_finds_the_poison_item(void **state) {
    (void)state;
    for (uint32_t poison = 0; poison < 64; poison += 7) {
        uint32_t taken = 0;
        struct faults faults = {0};
        struct crew crew = {.act = act_faulty, .context = &faults};
        faults.poison[poison] = true;
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.policy = (struct sl_error_policy){
            .on_error = SL_ON_ERROR_ISOLATE, .handler = poison % 3 == 0 ? take_odd : NULL, .handler_context = &taken};
        struct numbers numbers = {.count = 64};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        assert_int_equal(report.count[SL_STATUS_OK], 63);
        assert_true(faults.batches <= 13);
        assert_int_equal(faults.failed, 7);
        bool routed = poison % 3 == 0 && poison % 2 == 1;
        const struct seen *seen = record_of(&record, poison);
        assert_int_equal(seen->status, routed ? SL_STATUS_ROUTED : SL_STATUS_FAILED);
        assert_string_equal(seen->route, routed ? "dead letters" : "");
        assert_int_equal(taken, routed);
        assert_int_equal(seen->attempts, 7);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* The worker dies under each of the first attempts at the last item: by chance, since it is not poisoned. */
struct mishaps {
    uint32_t left, attempts;
    enum sl_code code;
};

static void act_mishap(void *context, struct sl_task *task) {
    struct mishaps *mishaps = context;
    if (!task_holds(task, 7) || mishaps->left == 0) {
        act_triple(NULL, task);
        return;
    }
    mishaps->left--;
    mishaps->attempts++;
    act_fail(task, mishaps->code, "by chance");
}

static void isolate_tries_an_item_that_is_alone_as_often_as_it_is_told(void **state) {
    (void)state;
    static const struct {
        uint32_t mishaps, max_attempts;
        enum sl_code code;
        uint64_t kinds, failed;
    } cases[] = {
        {3, 0, SL_E_WORKER_CRASHED, 0, 0}, /* 8, 4, 2 */
        {4, 0, SL_E_WORKER_CRASHED, 0, 1}, /* 1: that is all */
        {4, 1, SL_E_WORKER_CRASHED, 0, 1},
        {4, 2, SL_E_WORKER_CRASHED, 0, 0},
        {8, 5, SL_E_WORKER_TIMEOUT, 0, 1},
        {7, 5, SL_E_WORKER_TIMEOUT, 0, 0},
        {4, 9, SL_E_PYTHON, 0, 1}, /* what a second attempt does not mend */
        {6, 9, SL_E_PYTHON, (uint64_t)1 << SL_E_PYTHON, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mishaps mishaps = {.left = cases[i].mishaps, .code = cases[i].code};
        struct crew crew = {.act = act_mishap, .context = &mishaps};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 8;
        options.policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_ISOLATE,
                                                  .max_attempts = cases[i].max_attempts,
                                                  .backoff_ms = 1,
                                                  .retry_kinds = cases[i].kinds};
        struct numbers numbers = {.count = 8};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        assert_int_equal(report.count[SL_STATUS_FAILED], cases[i].failed);
        assert_int_equal(mishaps.attempts, cases[i].mishaps);
        assert_int_equal(record_of(&record, 7)->status, cases[i].failed != 0 ? SL_STATUS_FAILED : SL_STATUS_OK);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

static void isolate_finds_all_of_many(void **state) {
    (void)state;
    uint64_t random = draw_seed() | 1;
    struct faults faults = {0};
    uint32_t poisoned = 0;
    for (uint32_t x = 0; x < 2000; x++) {
        faults.poison[x] = draw_below(&random, 30) == 0;
        poisoned += faults.poison[x];
    }
    struct crew crew = {.act = act_faulty, .context = &faults};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.policy.on_error = SL_ON_ERROR_ISOLATE;
    options.error_list_max = 5;
    struct numbers numbers = {.count = 2000};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_FAILED], poisoned);
    for (size_t i = 0; i < record.count; i++) {
        assert_int_equal(record.seen[i].status, faults.poison[i] ? SL_STATUS_FAILED : SL_STATUS_OK);
    }
    assert_int_equal(report.error_count, 5);
    assert_true(report.error_total >= poisoned);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- route --------------------------------------------------------------------------------------------------------------- */

static void route_gives_failures_to_the_handler(void **state) {
    (void)state;
    uint32_t taken = 0;
    struct faults faults = {0};
    faults.poison[3] = true;
    struct crew crew = {.act = act_faulty, .context = &faults};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 10;
    options.policy =
        (struct sl_error_policy){.on_error = SL_ON_ERROR_ROUTE, .handler = take_odd, .handler_context = &taken};
    struct numbers numbers = {.count = 30};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(report.count[SL_STATUS_OK], 20);
    assert_int_equal(report.count[SL_STATUS_ROUTED], 5);
    assert_int_equal(report.count[SL_STATUS_FAILED], 5);
    assert_int_equal(taken, 5);
    assert_string_equal(record_of(&record, 1)->route, "dead letters");
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skip_fails_the_batch_and_goes_on),
        cmocka_unit_test(halt_stops_pulling_and_cancels_what_was_not_sent),
        cmocka_unit_test(halt_is_the_default_of_a_run),
        cmocka_unit_test(retry_tries_again_as_often_as_it_may),
        cmocka_unit_test(only_the_kinds_that_are_named_are_retried),
        cmocka_unit_test(backoff_doubles_up_to_its_bound_and_jitter_shortens_it),
        cmocka_unit_test(marked_items_are_retried_alone),
        cmocka_unit_test(marks_become_statuses),
        cmocka_unit_test(isolate_finds_the_poison_item),
        cmocka_unit_test(isolate_tries_an_item_that_is_alone_as_often_as_it_is_told),
        cmocka_unit_test(isolate_finds_all_of_many),
        cmocka_unit_test(route_gives_failures_to_the_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
