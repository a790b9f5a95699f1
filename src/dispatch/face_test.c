/* SPDX-License-Identifier: MIT */
/* Streams, calls, options and executors: the public faces and what they refuse. */
#include "testing/crew.h"

/* ---- stream ---------------------------------------------------------------------------------------------------------- */

static void a_stream_is_lazy(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 4;
    options.max_in_flight = 2;
    struct numbers numbers = {.count = 1000};
    struct sl_stream *stream = NULL;
    struct sl_outcome outcome;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, &error), SL_OK);
    assert_int_equal(numbers.pulled, 0);
    assert_int_equal(crew.submitted, 0);
    for (uint64_t x = 0; x < 100; x++) {
        assert_int_equal(sl_stream_next(stream, &outcome, &error), SL_OK);
        assert_int_equal(outcome.sequence, x);
        assert_int_equal(int_of(outcome.value), triple((int64_t)x));
        assert_true(numbers.pulled <= x + 1 + 4 * 4);
    }
    assert_true(sl_stream_report(stream)->count[SL_STATUS_OK] == 100);
    sl_stream_close(stream); /* half-way */
    assert_true(numbers.pulled < 120);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void a_stream_ends_and_stays_ended(void **state) {
    (void)state;
    struct crew crew = {.hands = 2, .shuffled = true};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 7;
    struct numbers numbers = {.count = 100};
    struct record record = {0};
    struct sl_stream *stream = NULL;
    struct sl_outcome outcome;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, &error), SL_OK);
    while (sl_stream_next(stream, &outcome, &error) == SL_OK) {
        record_add(&record, &outcome);
    }
    record_all_right(&record, 100);
    record_in_order(&record);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sl_stream_next(stream, &outcome, &error), SL_E_END);
    }
    const struct sl_report *report = sl_stream_report(stream);
    report_agrees(report, &record);
    assert_true(report->latency_p50_ns > 0);
    assert_true(report->elapsed_ns > 0);
    sl_stream_close(stream);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void act_fail_always(void *context, struct sl_task *task) {
    (void)context;
    act_fail(task, SL_E_PYTHON, "never");
}

static void a_stream_goes_on_after_failures(void **state) {
    (void)state;
    struct crew crew = {.act = act_fail_always};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct numbers numbers = {.count = 200};
    struct sl_stream *stream = NULL;
    struct sl_outcome outcome;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t failed = 0;
    assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, &error), SL_OK);
    while (sl_stream_next(stream, &outcome, &error) == SL_OK) {
        failed += outcome.status == SL_STATUS_FAILED;
    }
    assert_int_equal(failed, 200);
    sl_stream_close(stream);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void a_stream_that_halts_says_so_at_its_end(void **state) {
    (void)state;
    struct crew crew = {.act = act_fail_always};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.policy.on_error = SL_ON_ERROR_HALT;
    struct numbers numbers = {.count = 2000};
    struct sl_stream *stream = NULL;
    struct sl_outcome outcome;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t seen = 0;
    assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, &error), SL_OK);
    enum sl_code code;
    while ((code = sl_stream_next(stream, &outcome, &error)) == SL_OK) {
        seen++;
    }
    assert_int_equal(code, SL_E_HALTED);
    assert_int_equal(error.code, SL_E_HALTED);
    assert_int_equal(seen, numbers.pulled);
    assert_int_equal(sl_stream_next(stream, &outcome, &error), SL_E_HALTED);
    sl_error_finish(&error);
    sl_stream_close(stream);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void a_stream_may_be_closed_while_tasks_fly(void **state) {
    (void)state;
    for (int opened_only = 0; opened_only < 2; opened_only++) {
        struct crew crew = {.hands = 1, .shuffled = true};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.batch_size = 2;
        struct numbers numbers = {.count = 100};
        struct sl_stream *stream = NULL;
        struct sl_outcome outcome;
        struct sl_error error = SL_ERROR_INIT;
        assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, &error), SL_OK);
        if (opened_only == 0) {
            assert_int_equal(sl_stream_next(stream, &outcome, &error), SL_OK);
        }
        sl_stream_close(stream);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
    sl_stream_close(NULL);
}

/* ---- call --------------------------------------------------------------------------------------------------------------- */

static void one_in_four(void *context, struct shelf *shelf, int64_t x) {
    (void)context;
    if (x % 4 == 3) {
        shelf_mark(shelf, SL_MARK_ERROR, "a fourth");
    } else {
        shelf_int(shelf, triple(x));
    }
}

static void act_quarters(void *context, struct sl_task *task) {
    act_each(task, one_in_four, context);
}

static void a_call_gives_back_all_results_of_one_batch(void **state) {
    (void)state;
    struct crew crew = {.hands = 1, .act = act_quarters};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 3; /* does not apply */
    static const uint32_t counts[] = {1, 4, 65536};
    struct shelf shelf = {0};
    for (int64_t x = 0; x < 65536; x++) {
        shelf_int(&shelf, x);
    }
    struct sl_item *items = calloc(65536, sizeof *items);
    for (uint32_t i = 0; i < 65536; i++) {
        items[i].value = shelf_at(&shelf, i);
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct sl_results results = {0};
        struct sl_error error = SL_ERROR_INIT;
        assert_int_equal(sl_call_batch(NULL, &options, items, counts[i], &results, &error), SL_OK);
        assert_int_equal(results.count, counts[i]);
        assert_int_equal(crew.submitted, i + 1);
        for (uint32_t x = 0; x < results.count; x++) {
            if (x % 4 == 3) {
                assert_int_equal(sl_value_type(results.values[x]), SL_TYPE_MARK);
            } else {
                assert_int_equal(int_of(results.values[x]), triple(x));
            }
        }
        sl_results_finish(&results);
    }
    free(items);
    shelf_finish(&shelf);
    crew_close(&crew);
}

struct countdown {
    uint32_t failures;
};

static void act_countdown(void *context, struct sl_task *task) {
    struct countdown *countdown = context;
    if (countdown->failures > 0) {
        countdown->failures--;
        act_fail(task, SL_E_WORKER_CRASHED, "counting down");
    } else {
        act_triple(NULL, task);
    }
}

static void a_call_fails_as_a_whole_or_is_retried(void **state) {
    (void)state;
    static const uint8_t one = 1;
    struct sl_item item = {.value = {&one, 1}};
    for (int retried = 0; retried < 2; retried++) {
        struct countdown countdown = {2};
        struct crew crew = {.act = act_countdown, .context = &countdown};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.policy.on_error = retried != 0 ? SL_ON_ERROR_RETRY : SL_ON_ERROR_ISOLATE;
        options.policy.backoff_ms = 1;
        struct sl_results results = {0};
        struct sl_error error = SL_ERROR_INIT;
        enum sl_code code = sl_call_batch(NULL, &options, &item, 1, &results, &error);
        assert_int_equal(code, retried != 0 ? SL_OK : SL_E_WORKER_CRASHED);
        assert_int_equal(error.code, code);
        assert_int_equal(results.count, retried != 0 ? 1 : 0);
        assert_int_equal(crew.submitted, retried != 0 ? 3 : 1);
        sl_results_finish(&results);
        sl_error_finish(&error);
        crew_close(&crew);
    }
}

static void a_call_takes_1_to_65536_items(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    static const uint8_t one = 1;
    struct sl_item item = {.value = {&one, 1}};
    struct sl_results results = {0};
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_call_batch(NULL, &options, &item, 0, &results, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_call_batch(NULL, &options, &item, 65537, &results, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "65537"));
    item.value = (struct sl_value){NULL, 0};
    assert_int_equal(sl_call_batch(NULL, &options, &item, 1, &results, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(crew.submitted, 0);
    sl_error_finish(&error);
    crew_close(&crew);
}

/* ---- options -------------------------------------------------------------------------------------------------------------- */

static void each_bad_option_is_named(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    char long_name[600];
    memset(long_name, 'f', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
#define WITH(change, text)                                                                                 \
    {                                                                                                      \
        struct sl_dispatch_options options = crew_options(&crew);                                          \
        options.change;                                                                                    \
        struct numbers numbers = {.count = 3};                                                             \
        struct sl_report report = SL_REPORT_INIT;                                                          \
        struct sl_error error = SL_ERROR_INIT;                                                             \
        struct sl_stream *stream = (struct sl_stream *)&error;                                             \
        assert_int_equal(sl_dispatch_run(NULL, &options, numbers_source(&numbers), NULL, &report, &error), \
                         SL_E_INVALID_ARGUMENT);                                                           \
        assert_non_null(strstr(error.message, text));                                                      \
        assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, NULL),          \
                         SL_E_INVALID_ARGUMENT);                                                           \
        assert_null(stream);                                                                               \
        assert_int_equal(numbers.pulled, 0);                                                               \
    }
    WITH(batch_size = 0, "batch_size is 0, expected 1 to 65536");
    WITH(batch_size = 65537, "batch_size");
    WITH(max_weight = 0, "max_weight");
    WITH(max_in_flight = 0, "max_in_flight");
    WITH(max_in_flight = 1025, "max_in_flight is 1025, expected 1 to 1024");
    WITH(max_in_flight_bytes = 0, "max_in_flight_bytes");
    WITH(reorder_max = 0, "reorder_max");
    WITH(reorder_max = 65537, "reorder_max");
    WITH(key_window = 0, "key_window");
    WITH(key_window = 1048577, "key_window");
    WITH(ordering = (enum sl_ordering)2, "ordering");
    WITH(mode = (enum sl_call_mode)7, "mode");
    WITH(snapshot = (enum sl_snapshot_scope)2, "snapshot");
    WITH(policy.on_error = (enum sl_on_error)6, "policy.on_error");
    WITH(policy.on_error = SL_ON_ERROR_ROUTE, "policy.handler is NULL");
    WITH(policy.jitter = 1.5, "policy.jitter is 1.5, expected 0 to 1");
    WITH(policy.jitter = -0.1, "policy.jitter");
    WITH(policy.jitter = __builtin_nan(""), "policy.jitter");
    WITH(function = NULL, "function is missing");
    WITH(function = "", "function is missing");
    WITH(function = long_name, "at most 512 bytes");
    WITH(executor = NULL, "a pool or, in its options, an executor; it has neither");
#undef WITH
    crew_close(&crew);
}

/* A program that was built against an older, shorter struct. */
static void options_of_an_older_program_are_read_as_far_as_they_go(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 2;
    options.size = offsetof(struct sl_dispatch_options, max_weight);
    options.max_in_flight = 99999; /* past the end of what it knows */
    struct numbers numbers = {.count = 3};
    struct sl_error error = SL_ERROR_INIT;
    /* Without the executor, which is the last member, the complaint is of that and not of max_in_flight. */
    assert_int_equal(sl_dispatch_run(NULL, &options, numbers_source(&numbers), NULL, NULL, &error),
                     SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "neither"));
    crew_close(&crew);
}

/* ---- executors ---------------------------------------------------------------------------------------------------------------- */

static void executors_are_checked(void **state) {
    (void)state;
    struct sl_executor_options options = SL_EXECUTOR_OPTIONS_INIT;
    struct sl_executor *executor = (struct sl_executor *)&options;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_executor_create(&options, &executor, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "submit"));
    assert_null(executor);
    struct crew crew = {0};
    crew_open(&crew);
    crew_close(&crew);
    sl_executor_destroy(NULL);
}

enum wrong { TOO_FEW, TOO_MANY, NOT_A_VALUE, EMPTY_VALUE, TWO_VALUES, NO_REASON };

static void act_wrong(void *context, struct sl_task *task) {
    static const uint8_t fine[] = {1}, cut[] = {0xcd, 0}, two[] = {1, 2};
    struct sl_value values[5] = {{fine, 1}, {fine, 1}, {fine, 1}, {fine, 1}, {fine, 1}};
    uint32_t count = sl_task_count(task);
    assert_int_equal(count, 4);
    assert_string_equal(sl_task_function(task), "crew:triple");
    assert_int_equal(sl_task_item(task, 4).size, 0);
    switch (*(enum wrong *)context) {
    case TOO_FEW:
        sl_task_complete(task, values, 3);
        break;
    case TOO_MANY:
        sl_task_complete(task, values, 5);
        break;
    case NOT_A_VALUE:
        values[2] = (struct sl_value){cut, 2};
        sl_task_complete(task, values, 4);
        break;
    case EMPTY_VALUE:
        values[1] = (struct sl_value){NULL, 0};
        sl_task_complete(task, values, 4);
        break;
    case TWO_VALUES:
        values[3] = (struct sl_value){two, 2};
        sl_task_complete(task, values, 4);
        break;
    case NO_REASON:
        sl_task_fail(task, NULL);
        break;
    }
}

static void wrong_answers_of_an_executor_fail_the_batch(void **state) {
    (void)state;
    for (enum wrong wrong = TOO_FEW; wrong <= NO_REASON; wrong++) {
        struct crew crew = {.act = act_wrong, .context = &wrong};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.policy.on_error = SL_ON_ERROR_SKIP;
        struct numbers numbers = {.count = 4};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        assert_int_equal(report.count[SL_STATUS_FAILED], 4);
        assert_int_equal(record.seen[0].code, wrong == NO_REASON ? SL_E_EXECUTOR : SL_E_BAD_RESULT);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

static enum sl_code refuse_some(void *context, struct sl_task *task, struct sl_error *error) {
    uint32_t *left = context;
    (void)task;
    if (*left == 0) {
        return SL_OK;
    }
    *left -= *left != UINT32_MAX;
    return sl_error_set(error, SL_E_SYSTEM, "no connection");
}

static void a_refused_batch_follows_the_policy(void **state) {
    (void)state;
    static const struct {
        uint32_t refusals;
        enum sl_on_error on_error;
        enum sl_status status;
    } cases[] = {
        {1, SL_ON_ERROR_SKIP, SL_STATUS_FAILED},
        {2, SL_ON_ERROR_RETRY, SL_STATUS_OK},
        {UINT32_MAX, SL_ON_ERROR_RETRY, SL_STATUS_FAILED}, /* and not for ever */
        {1, SL_ON_ERROR_ISOLATE, SL_STATUS_OK},
        {UINT32_MAX, SL_ON_ERROR_ISOLATE, SL_STATUS_FAILED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t left = cases[i].refusals;
        struct crew crew = {.refuse = refuse_some, .context = &left};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        options.policy =
            (struct sl_error_policy){.on_error = cases[i].on_error, .max_attempts = 3, .backoff_ms = 1, .jitter = 1.0};
        struct numbers numbers = {.count = 16};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        assert_int_equal(report.count[cases[i].status], 16);
        assert_true(cases[i].status != SL_STATUS_FAILED || record.seen[3].code == SL_E_SYSTEM);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* Two runs on one executor with room for one: each is woken when the other's task ends. */
static void *run_beside(void *context) {
    struct crew *crew = context;
    struct sl_dispatch_options options = crew_options(crew);
    options.batch_size = 5;
    struct numbers numbers = {.count = 2000};
    struct record record = {.numbers = &numbers};
    struct sl_sink sink = record_sink(&record);
    struct sl_report report = SL_REPORT_INIT;
    enum sl_code code = sl_dispatch_run(NULL, &options, numbers_source(&numbers), &sink, &report, NULL);
    uint64_t ok = report.count[SL_STATUS_OK];
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    return code == SL_OK && ok == 2000 ? context : NULL;
}

static void runs_share_an_executor(void **state) {
    (void)state;
    struct crew crew = {.hands = 1, .capacity = 1};
    crew_open(&crew);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_beside, &crew), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *fine = NULL;
        pthread_join(threads[i], &fine);
        assert_non_null(fine);
    }
    assert_int_equal(crew.running_peak, 1);
    crew_close(&crew);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_lazy),
        cmocka_unit_test(a_stream_ends_and_stays_ended),
        cmocka_unit_test(a_stream_goes_on_after_failures),
        cmocka_unit_test(a_stream_that_halts_says_so_at_its_end),
        cmocka_unit_test(a_stream_may_be_closed_while_tasks_fly),
        cmocka_unit_test(a_call_gives_back_all_results_of_one_batch),
        cmocka_unit_test(a_call_fails_as_a_whole_or_is_retried),
        cmocka_unit_test(a_call_takes_1_to_65536_items),
        cmocka_unit_test(each_bad_option_is_named),
        cmocka_unit_test(options_of_an_older_program_are_read_as_far_as_they_go),
        cmocka_unit_test(executors_are_checked),
        cmocka_unit_test(wrong_answers_of_an_executor_fail_the_batch),
        cmocka_unit_test(a_refused_batch_follows_the_policy),
        cmocka_unit_test(runs_share_an_executor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
