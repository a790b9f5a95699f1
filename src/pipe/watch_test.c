/* SPDX-License-Identifier: MIT */
/* What others see of a run while it goes: counts, failures, its end without its release. */
#include "testing/crew.h"

#include <slither/pipe.h>

struct valve {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int entered;
};

static void open_valve(struct valve *valve) {
    pthread_mutex_lock(&valve->lock);
    valve->open = true;
    pthread_cond_broadcast(&valve->changed);
    pthread_mutex_unlock(&valve->lock);
}

static void await_entered(struct valve *valve, int count) {
    pthread_mutex_lock(&valve->lock);
    while (valve->entered < count) {
        pthread_cond_wait(&valve->changed, &valve->lock);
    }
    pthread_mutex_unlock(&valve->lock);
}

static enum sl_code through_the_valve(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                                      struct sl_error *error) {
    struct valve *valve = context;
    (void)error;
    pthread_mutex_lock(&valve->lock);
    valve->entered++;
    pthread_cond_broadcast(&valve->changed);
    while (!valve->open) {
        pthread_cond_wait(&valve->changed, &valve->lock);
    }
    pthread_mutex_unlock(&valve->lock);
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code odd_ones_only(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                                  struct sl_error *error) {
    (void)context;
    int64_t x = int_of(item->value);
    if (x % 2 == 0) {
        return sl_error_set(error, SL_E_RANGE, "%lld is even", (long long)x);
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

#define FAILURES_MAX 64

struct failures {
    _Atomic int inside;
    uint32_t count;
    struct {
        uint64_t origin, id;
        int64_t value;
        char stage[32], message[SL_ERROR_MESSAGE_SIZE];
        bool no_output;
    } items[FAILURES_MAX];
};

static void on_failed(void *context, const struct sl_pipe_outcome *outcome) {
    struct failures *failures = context;
    assert_int_equal(atomic_fetch_add(&failures->inside, 1), 0);
    assert_true(failures->count < FAILURES_MAX);
    failures->items[failures->count].origin = outcome->origin;
    failures->items[failures->count].id = outcome->id;
    failures->items[failures->count].value = int_of(outcome->value);
    failures->items[failures->count].no_output = outcome->output == NULL;
    snprintf(failures->items[failures->count].stage, 32, "%s", outcome->stage);
    memcpy(failures->items[failures->count].message, outcome->error->message, SL_ERROR_MESSAGE_SIZE);
    failures->count++;
    atomic_fetch_sub(&failures->inside, 1);
}

static void failures_are_told_with_what_the_stage_was_given(void **state) {
    (void)state;
    for (uint32_t parallel = 0; parallel <= 3; parallel += 3) {
        const struct sl_pipe_definition definition = {
            SL_PIPE("told"),
            .stages = SL_STAGES(SL_NATIVE("odd", odd_ones_only, .parallel = parallel)),
            .on_error = {.on_error = SL_ON_ERROR_SKIP},
        };
        struct failures failures = {0};
        struct numbers numbers = {.count = 100};
        struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
        options.failed = on_failed;
        options.failed_context = &failures;
        struct sl_pipe *pipe = NULL;
        struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
        assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
        assert_int_equal(sl_pipe_run(pipe, &options, numbers_source(&numbers), &report, NULL), SL_OK);
        assert_int_equal(failures.count, 50);
        bool seen[100] = {false};
        for (uint32_t i = 0; i < failures.count; i++) {
            uint64_t origin = failures.items[i].origin;
            char message[64];
            assert_true(origin < 100 && origin % 2 == 0 && !seen[origin]);
            seen[origin] = true;
            snprintf(message, sizeof message, "%llu is even", (unsigned long long)origin);
            assert_string_equal(failures.items[i].message, message);
            assert_string_equal(failures.items[i].stage, "odd");
            assert_int_equal(failures.items[i].id, 1000 + origin);
            assert_int_equal(failures.items[i].value, origin);
            assert_true(failures.items[i].no_output);
        }
        sl_pipe_report_finish(&report);
        sl_pipe_destroy(pipe);
        numbers_finish(&numbers);
    }
}

static void what_is_sent_on_is_no_failure(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("sent"),
        .stages = SL_STAGES(
            SL_NATIVE("odd", odd_ones_only, .on_error = {.on_error = SL_ON_ERROR_ROUTE}, .on_error_to = "dead")),
        .outputs = SL_OUTPUTS("dead"),
    };
    struct failures failures = {0};
    struct numbers numbers = {.count = 10};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.failed = on_failed;
    options.failed_context = &failures;
    struct sl_pipe *pipe = NULL;
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    assert_int_equal(sl_pipe_run(pipe, &options, numbers_source(&numbers), NULL, NULL), SL_OK);
    assert_int_equal(failures.count, 0);
    sl_pipe_destroy(pipe);
    numbers_finish(&numbers);
}

struct fed {
    struct sl_pipe_run *run;
    struct numbers numbers;
    pthread_t thread;
};

static void *feed(void *context) {
    struct fed *fed = context;
    assert_int_equal(sl_pipe_feed(fed->run, numbers_source(&fed->numbers), NULL), SL_OK);
    return NULL;
}

static void counts_are_seen_while_it_goes(void **state) {
    (void)state;
    struct valve valve = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
    const struct sl_pipe_definition definition = {
        SL_PIPE("seen"),
        .stages = SL_STAGES(SL_NATIVE("odd", odd_ones_only),
                            SL_NATIVE("valve", through_the_valve, .context = &valve, .parallel = 1)),
        .on_error = {.on_error = SL_ON_ERROR_SKIP},
    };
    struct sl_pipe *pipe = NULL;
    struct fed fed = {.numbers = {.count = 20}};
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    assert_int_equal(sl_pipe_start(pipe, NULL, &fed.run, NULL), SL_OK);
    assert_int_equal(pthread_create(&fed.thread, NULL, feed, &fed), 0);
    await_entered(&valve, 1);
    sl_pipe_peek(fed.run, &report);
    assert_true(report.input >= 2);
    assert_int_equal(report.finished, 1); /* 0 has failed, 1 is in the valve */
    assert_int_equal(report.stage_count, 2);
    assert_string_equal(report.stages[1].name, "valve");
    assert_true(report.stages[0].count[SL_STATUS_FAILED] >= 1);
    assert_int_equal(report.stages[1].count[SL_STATUS_OK], 0);
    assert_int_equal(report.output_count, 1);
    assert_int_equal(report.outputs[0].count, 0);
    sl_pipe_report_finish(&report);
    open_valve(&valve);
    pthread_join(fed.thread, NULL);
    assert_int_equal(sl_pipe_wait(fed.run, 0, NULL), SL_OK);
    sl_pipe_peek(fed.run, &report);
    assert_int_equal(report.finished, 20);
    assert_int_equal(report.outputs[0].count, 10);
    sl_pipe_report_finish(&report);
    assert_int_equal(sl_pipe_finish(fed.run, 0, &report, NULL), SL_OK);
    assert_int_equal(report.resume, 20);
    sl_pipe_report_finish(&report);
    sl_pipe_destroy(pipe);
    numbers_finish(&fed.numbers);
}

static void a_run_that_is_waited_for_can_still_be_cancelled(void **state) {
    (void)state;
    struct valve valve = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
    const struct sl_pipe_definition definition = {
        SL_PIPE("waited"),
        .stages = SL_STAGES(SL_NATIVE("valve", through_the_valve, .context = &valve, .parallel = 1))};
    struct sl_pipe *pipe = NULL;
    struct sl_pipe_run *run = NULL;
    struct sl_writer writer;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_item item = {.id = 1};
    sl_writer_init(&writer, NULL);
    sl_write_int(&writer, 1);
    assert_int_equal(sl_writer_end(&writer, &item.value, NULL), SL_OK);
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    assert_int_equal(sl_pipe_start(pipe, NULL, &run, NULL), SL_OK);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sl_pipe_push(run, &item, NULL), SL_OK);
    }
    await_entered(&valve, 1);
    assert_int_equal(sl_pipe_wait(run, 1, &error), SL_E_TIMEOUT);
    assert_non_null(strstr(error.message, "is not through after 1 ms"));
    assert_int_equal(sl_pipe_push(run, &item, NULL), SL_E_CLOSED); /* waiting drains */
    sl_pipe_cancel(run);
    open_valve(&valve);
    assert_int_equal(sl_pipe_wait(run, 0, NULL), SL_OK);
    sl_pipe_cancel(run); /* after its end it is still there */
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    assert_int_equal(sl_pipe_finish(run, 0, &report, &error), SL_E_CANCELLED);
    assert_int_equal(report.input, 100);
    assert_true(report.stages[0].count[SL_STATUS_CANCELLED] >= 50);
    sl_pipe_report_finish(&report);
    sl_error_finish(&error);
    sl_writer_finish(&writer);
    sl_pipe_destroy(pipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_told_with_what_the_stage_was_given),
        cmocka_unit_test(what_is_sent_on_is_no_failure),
        cmocka_unit_test(counts_are_seen_while_it_goes),
        cmocka_unit_test(a_run_that_is_waited_for_can_still_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
