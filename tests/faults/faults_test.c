/* SPDX-License-Identifier: MIT */
/* Lives of pools in which any one system call of the host fails. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <slither/slither.h>

#include "scratch.h"
#include "sweep.h"
#include "testing/fixture.h"

#define ITEMS 96
#define PADDED 20       /* one item in so many is large, */
#define PADDING 100000  /* larger than the segment holds */
#define BUDGET_MS 4000u /* of one scenario, unless all faults are wanted */

static char mark[SCRATCH_SIZE];

/* ---- items and outcomes ------------------------------------------------------------------------------------------- */

struct work {
    uint64_t pulled, seen, endless_pause_us;
    uint64_t count; /* UINT64_MAX: without end */
    uint64_t by_status[SL_STATUS_COUNT];
    struct sl_writer writer;
    uint8_t padding[PADDING];
};

static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct work *work = context;
    if (work->pulled == work->count) {
        return SL_E_END;
    }
    sl_writer_reset(&work->writer);
    sl_write_list(&work->writer, 3);
    sl_write_uint(&work->writer, work->pulled);
    sl_write_str(&work->writer, mark);
    sl_write_bytes(&work->writer, work->padding, work->pulled % PADDED == PADDED - 1 ? PADDING : 3);
    item->id = work->pulled++;
    return sl_writer_end(&work->writer, &item->value, error);
}

static void check(struct work *work, const struct sl_outcome *outcome) {
    assert_int_equal(outcome->sequence, work->seen); /* in order, each once */
    work->seen++;
    work->by_status[outcome->status]++;
    if (outcome->status == SL_STATUS_OK) {
        struct sl_value x;
        int64_t found = 0;
        assert_int_equal(sl_value_at(outcome->value, 0, &x), SL_OK);
        assert_int_equal(sl_value_int(x, &found), SL_OK);
        assert_int_equal(found, 3 * (int64_t)outcome->sequence + 1);
    } else {
        assert_non_null(outcome->error);
        assert_true(outcome->error->message[0] != '\0');
    }
}

static enum sl_code put(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    (void)error;
    check(context, outcome);
    return SL_OK;
}

static struct work *begin_work(uint64_t count) {
    struct work *work = calloc(1, sizeof *work);
    assert_non_null(work);
    work->count = count;
    sl_writer_init(&work->writer, NULL);
    return work;
}

static void end_work(struct work *work, const struct sl_report *report) {
    uint64_t total = 0;
    assert_int_equal(report->input, work->pulled);
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        total += report->count[i];
        assert_int_equal(report->count[i], work->by_status[i]);
    }
    assert_int_equal(total, report->input);
    sl_writer_finish(&work->writer);
    free(work);
}

/* ---- pools -------------------------------------------------------------------------------------------------------- */

struct place {
    struct sl_runtime *runtime;
    struct sl_pool *pool;
};

/* False: the fault has kept it from being made, and nothing is there. */
static bool open_place(struct place *place, enum sl_template template_use) {
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"fault_functions", NULL};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.worker_count = 2;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = path;
    options.preload = preload;
    options.template_use = template_use;
    options.segment_bytes = 65536;
    options.restart_backoff_ms = 1;
    options.stop_timeout_ms = 2000;
    *place = (struct place){0};
    unlink(mark);
    enum sl_code code = sl_runtime_create(NULL, &place->runtime, &error);
    if (code == SL_OK) {
        code = sl_pool_create(place->runtime, &options, &place->pool, &error);
    }
    if (code != SL_OK) {
        assert_true(fault_has_come()); /* nothing else may fail it */
        assert_null(place->pool);
        expect_clear_error(code, &error);
        sl_runtime_destroy(place->runtime);
        return false;
    }
    return true;
}

static void close_place(struct place *place) {
    sl_pool_destroy(place->pool);
    sl_runtime_destroy(place->runtime);
    unlink(mark);
}

static struct sl_dispatch_options run_options(const char *function) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = function;
    options.batch_size = 8;
    options.policy.on_error = SL_ON_ERROR_RETRY;
    options.policy.backoff_ms = 1;
    options.timeout_ms = 20000;
    return options;
}

/* Whatever has failed before, the pool works when nothing does. */
static void call_once(struct place *place) {
    bool over = fault_is_over(); /* before, so that it cannot come meanwhile */
    struct work *work = begin_work(1);
    struct sl_dispatch_options options = run_options("fault_functions:slow");
    struct sl_results results;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_item item = {0};
    assert_int_equal(next_item(work, &item, &error), SL_OK);
    enum sl_code code = sl_call_batch(place->pool, &options, &item, 1, &results, &error);
    if (code != SL_OK) {
        if (over) {
            fail_msg("the pool is of no use after the fault: %s: %s", sl_code_name(code), error.message);
        }
        expect_clear_error(code, &error);
    }
    sl_results_finish(&results);
    sl_error_finish(&error);
    sl_writer_finish(&work->writer);
    free(work);
}

/* ---- scenarios ---------------------------------------------------------------------------------------------------- */

static void live(enum sl_template template_use) {
    struct place place;
    if (!open_place(&place, template_use)) {
        return;
    }
    struct work *work = begin_work(ITEMS);
    struct sl_dispatch_options options = run_options("fault_functions:triple");
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_sink sink = {put, work};
    enum sl_code code =
        sl_dispatch_run(place.pool, &options, (struct sl_source){next_item, work}, &sink, &report, &error);
    if (code != SL_OK) {
        assert_true(fault_has_come());
        expect_clear_error(code, &error);
    } else if (report.count[SL_STATUS_OK] != ITEMS) {
        assert_true(fault_has_come());
    }
    end_work(work, &report);
    sl_report_finish(&report);
    sl_error_finish(&error);
    call_once(&place);
    close_place(&place);
}

static void live_with_a_template(void) {
    live(SL_TEMPLATE_AUTO);
}

static void live_without_a_template(void) {
    live(SL_TEMPLATE_OFF);
}

struct endless {
    pthread_t thread;
    struct place *place;
    struct work *work;
    struct sl_report report;
    struct sl_error error;
    enum sl_code code;
};

static void *run_endlessly(void *context) {
    struct endless *endless = context;
    struct sl_dispatch_options options = run_options("fault_functions:slow");
    struct sl_sink sink = {put, endless->work};
    endless->code = sl_dispatch_run(endless->place->pool, &options, (struct sl_source){next_item, endless->work}, &sink,
                                    &endless->report, &endless->error);
    return NULL;
}

/* One thread runs until the pool is drained, another has a stream open that nobody reads. */
static void drain(void) {
    struct place place;
    if (!open_place(&place, SL_TEMPLATE_AUTO)) {
        return;
    }
    struct endless endless = {.place = &place, .report = SL_REPORT_INIT, .error = SL_ERROR_INIT};
    endless.work = begin_work(UINT64_MAX);
    struct work *unread = begin_work(200);
    struct sl_dispatch_options options = run_options("fault_functions:slow");
    struct sl_stream *stream = NULL;
    struct sl_outcome outcome;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl_stream_open(place.pool, &options, (struct sl_source){next_item, unread}, &stream, &error);
    assert_int_equal(code, SL_OK);
    if (sl_stream_next(stream, &outcome, &error) == SL_OK) {
        check(unread, &outcome);
    }
    assert_int_equal(pthread_create(&endless.thread, NULL, run_endlessly, &endless), 0);
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL); /* into the middle of it, wherever that is */
    code = sl_pool_drain(place.pool, 20, &error);
    assert_true(code == SL_OK || code == SL_E_TIMEOUT);
    pthread_join(endless.thread, NULL);
    expect_clear_error(endless.code, &endless.error);
    end_work(endless.work, &endless.report);
    sl_report_finish(&endless.report);
    sl_pool_destroy(place.pool);
    while ((code = sl_stream_next(stream, &outcome, &error)) == SL_OK) {
        check(unread, &outcome);
    }
    if (code != SL_E_END) {
        expect_clear_error(code, &error);
    }
    end_work(unread, sl_stream_report(stream));
    sl_stream_close(stream);
    sl_error_finish(&error);
    sl_runtime_destroy(place.runtime);
    unlink(mark);
}

/* ---- calls, objects, iterations ------------------------------------------------------------------------------------------- */

struct ends {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t count;
};

static void ended(void *context, enum sl_code code, struct sl_result *result, const struct sl_error *error) {
    struct ends *ends = context;
    (void)result;
    assert_true(code == SL_OK || fault_has_come());
    assert_true(code == SL_OK || error->message[0] != '\0');
    pthread_mutex_lock(&ends->lock);
    ends->count++;
    pthread_cond_broadcast(&ends->changed);
    pthread_mutex_unlock(&ends->lock);
}

static bool went_well(enum sl_code code, struct sl_error *error) {
    if (code == SL_OK || code == SL_E_END) {
        return true;
    }
    assert_true(fault_has_come());
    expect_clear_error(code, error);
    return false;
}

/* One of each, as far as the fault lets it come. */
static void calls(void) {
    static const struct sl_value none = {NULL, 0};
    static const uint8_t number[] = {0x91, 0x05}; /* [5] */
    const struct sl_value args = {number, sizeof number};
    static struct ends ends = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct place place;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_object *object = NULL;
    struct sl_iteration *iteration = NULL;
    struct sl_value item;
    uint64_t length = 0;
    uint32_t submitted = 0;
    ends.count = 0;
    if (!open_place(&place, SL_TEMPLATE_AUTO)) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        submitted +=
            went_well(sl_call_async(place.pool, NULL, "builtins:range", args, none, ended, &ends, &error), &error);
    }
    if (went_well(sl_call(place.pool, NULL, "builtins:range", args, none, &result, &error), &error)) {
        assert_int_equal(sl_object_take(&result, result.value, &object, &error), SL_OK);
        sl_result_finish(&result);
        if (went_well(sl_object_length(object, NULL, &length, &error), &error)) {
            assert_int_equal(length, 5);
        }
        if (went_well(sl_object_iterate(object, NULL, &iteration, &error), &error)) {
            enum sl_code code;
            while ((code = sl_iteration_next(iteration, &item, &error)) == SL_OK) {
            }
            (void)went_well(code, &error);
            sl_iteration_close(iteration);
        }
        sl_object_unref(object);
    }
    pthread_mutex_lock(&ends.lock);
    while (ends.count < submitted) {
        pthread_cond_wait(&ends.changed, &ends.lock);
    }
    pthread_mutex_unlock(&ends.lock);
    sl_error_finish(&error);
    call_once(&place);
    close_place(&place);
    assert_int_equal(ends.count, submitted);
}

/* ---- scripted workers: quick, so that more faults have their turn ----------------------------------------------------------- */

static const char *template_script;

/* Starts two workers, loses one, waits until it is back, stops. */
static void scripted_life(void) {
    static const char script[] = "out=hello;config;ready;serve;exit=0";
    struct sl_runtime *runtime = NULL;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options =
        template_script != NULL ? scripted_template(2, script, template_script) : scripted(2, script);
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 1;
    options.stop_timeout_ms = 1000;
    enum sl_code code = sl_runtime_create(NULL, &runtime, &error);
    code = code == SL_OK ? sl_pool_create(runtime, &options, &pool, &error) : code;
    if (code != SL_OK) {
        assert_true(fault_has_come());
        assert_null(pool);
        assert_true(code == SL_E_SYSTEM || code == SL_E_OUT_OF_MEMORY || code == SL_E_WORKER_START);
        expect_clear_error(code, &error);
        sl_runtime_destroy(runtime);
        return;
    }
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    sl__pool_kill(pool, lease, SL_E_CANCELLED, "test", false);
    await_loss(&seeker, lease);
    sl__pool_release(pool, lease, 0);
    /* Under a fault that lasts it may not come back: then the circuit is open, and says so. */
    code = seek(pool, &seeker, 0, &lease, &error);
    if (code == SL_OK) {
        sl__pool_release(pool, lease, 0);
    } else {
        assert_true(fault_has_come() && !fault_is_over());
        assert_int_equal(code, SL_E_CIRCUIT_OPEN);
        expect_clear_error(code, &error);
    }
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void a_run_with_a_crash_and_forked_workers(void **unused) {
    (void)unused;
    sweep("run, forked", live_with_a_template, BUDGET_MS);
}

static void a_run_with_a_crash_and_workers_of_their_own(void **unused) {
    (void)unused;
    sweep("run, by exec", live_without_a_template, BUDGET_MS);
}

static void calls_and_objects(void **unused) {
    (void)unused;
    sweep("calls", calls, BUDGET_MS);
}

static void a_drain_under_load(void **unused) {
    (void)unused;
    sweep("drain", drain, BUDGET_MS);
}

static void a_restart_of_scripted_workers(void **unused) {
    (void)unused;
    template_script = NULL;
    sweep("scripted", scripted_life, BUDGET_MS);
    template_script = "prepare;unfit=it has a cold;fork";
    sweep("scripted, unfit template", scripted_life, BUDGET_MS);
}

int main(void) {
    scratch_place(mark, "slither_fault");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_of_scripted_workers),
        cmocka_unit_test(a_run_with_a_crash_and_forked_workers),
        cmocka_unit_test(a_run_with_a_crash_and_workers_of_their_own),
        cmocka_unit_test(calls_and_objects),
        cmocka_unit_test(a_drain_under_load),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
