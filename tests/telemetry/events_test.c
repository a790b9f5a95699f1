/* SPDX-License-Identifier: MIT */
/* What is told while the library does its work, and that it adds up to what reports say. */
#include "ear.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 100

static struct sl_runtime *runtime;
static struct sl_pool *pool;

/* ---- a pool, and numbers for it ---------------------------------------------------------------------------------------- */

static void make_pool(uint32_t worker_count, const char *preload, enum sl_code expected,
                      void (*change)(struct sl_pool_options *options)) {
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    const char *const modules[] = {preload, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.name = "told";
    options.worker_count = worker_count;
    options.python_path = path;
    options.preload = modules;
    if (change != NULL) {
        change(&options);
    }
    if (sl_pool_create(runtime, &options, &pool, &error) != expected) {
        fail_msg("%s", error.message);
    }
    sl_error_finish(&error);
}

static int set_up(void **state) {
    (void)state;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    make_pool(1, "telemetry_functions", SL_OK, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    return 0;
}

struct numbers {
    struct sl_writer writer;
    uint64_t next, end;
};

static enum sl_code next_number(void *context, struct sl_item *item, struct sl_error *error) {
    struct numbers *numbers = context;
    (void)error;
    if (numbers->next == numbers->end) {
        return SL_E_END;
    }
    sl_writer_reset(&numbers->writer);
    sl_write_uint(&numbers->writer, numbers->next);
    item->id = numbers->next++;
    return sl_writer_end(&numbers->writer, &item->value, error);
}

static void run(const char *function, struct sl_dispatch_options options, struct sl_report *report) {
    struct numbers numbers = {.end = ITEMS};
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_init(&numbers.writer, NULL);
    options.function = function;
    options.batch_size = 10;
    options.policy.on_error =
        options.policy.on_error != SL_ON_ERROR_DEFAULT ? options.policy.on_error : SL_ON_ERROR_SKIP;
    const struct sl_source source = {.next = next_number, .context = &numbers};
    if (sl_dispatch_run(pool, &options, source, NULL, report, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    sl_writer_finish(&numbers.writer);
}

/* ---- batches ----------------------------------------------------------------------------------------------------------- */

static void batches_add_up_to_the_report(void **state) {
    (void)state;
    struct ear ear;
    struct sl_report report = SL_REPORT_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    ear_open(&ear, runtime, "slither.dispatch");
    options.span = 77;
    run("telemetry_functions:marked", options, &report);
    assert_int_equal(ear_count(&ear, "slither.dispatch.batch.start"), 10);
    assert_int_equal(ear_count(&ear, "slither.dispatch.batch.stop"), report.batch_count);
    assert_int_equal(ear_count(&ear, "slither.dispatch.batch.exception"), 0);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.start", "items"), ITEMS);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "ok"), report.count[SL_STATUS_OK]);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "skipped"), report.count[SL_STATUS_SKIPPED]);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "routed"), report.count[SL_STATUS_ROUTED]);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "skipped"), 10);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "routed"), 4);
    const struct heard *start = ear_find(&ear, "slither.dispatch.batch.start", 0);
    const struct heard *stop = ear_find(&ear, "slither.dispatch.batch.stop", 0);
    assert_string_equal(heard_text(start, "pool"), "told");
    assert_string_equal(heard_text(start, "function"), "telemetry_functions:marked");
    assert_int_equal(heard_uint(start, "worker"), 0);
    assert_int_equal(heard_uint(start, "generation"), 1);
    assert_int_equal(heard_uint(start, "attempt"), 1);
    assert_int_equal(start->event.parent, 77);
    assert_int_equal(stop->event.parent, 77);
    assert_true(stop->event.duration_ns > 0);
    ear_detach(&ear);
    ear_close(&ear);
    sl_report_finish(&report);
}

static void without_a_handler_nothing_is_told(void **state) {
    (void)state;
    struct ear ear;
    struct sl_report report = SL_REPORT_INIT;
    ear_open(&ear, runtime, "");
    ear_detach(&ear);
    ear_forget(&ear); /* the pool's thread may have told something of its own meanwhile */
    run("telemetry_functions:same", (struct sl_dispatch_options)SL_DISPATCH_OPTIONS_INIT, &report);
    assert_int_equal(ear.count, 0);
    assert_int_equal(report.count[SL_STATUS_OK], ITEMS);
    ear_close(&ear);
    sl_report_finish(&report);
}

static void a_batch_that_fails_is_an_exception(void **state) {
    (void)state;
    struct ear ear;
    struct sl_report report = SL_REPORT_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    ear_open(&ear, runtime, "slither.dispatch.batch");
    options.policy.on_error = SL_ON_ERROR_ISOLATE;
    run("telemetry_functions:falls", options, &report);
    uint32_t failed = ear_count(&ear, "slither.dispatch.batch.exception");
    assert_true(failed > 1);
    assert_int_equal(failed, report.batch_failed_count);
    assert_int_equal(failed + ear_count(&ear, "slither.dispatch.batch.stop"), report.batch_count);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "ok"), ITEMS - 1);
    const struct heard *exception = ear_find(&ear, "slither.dispatch.batch.exception", 0);
    assert_int_equal(heard_code(exception), SL_E_PYTHON);
    assert_string_equal(heard_text(exception, "outcome"), "failed");
    assert_int_equal(heard_uint(exception, "items"), 10);
    ear_detach(&ear);
    ear_close(&ear);
    sl_report_finish(&report);
}

/* ---- workers ----------------------------------------------------------------------------------------------------------- */

static void a_worker_that_dies_is_lost_and_replaced(void **state) {
    (void)state;
    struct ear ear;
    struct sl_report report = SL_REPORT_INIT;
    ear_open(&ear, runtime, "slither");
    run("telemetry_functions:dies", (struct sl_dispatch_options)SL_DISPATCH_OPTIONS_INIT, &report);
    ear_await(&ear, "slither.worker.ready", 1);
    ear_detach(&ear);
    const struct heard *lost = ear_find(&ear, "slither.worker.lost", 0);
    assert_int_equal(heard_code(lost), SL_E_WORKER_CRASHED);
    assert_string_equal(heard_text(lost, "cause"), "exited");
    assert_int_equal(sl_event_get(&lost->event, "exit_status")->as_int, 7);
    assert_null(sl_event_get(&lost->event, "signal"));
    uint64_t generation = heard_uint(lost, "generation");
    assert_int_equal(heard_uint(ear_find(&ear, "slither.worker.started", 0), "generation"), generation + 1);
    assert_int_equal(heard_uint(ear_find(&ear, "slither.worker.ready", 0), "generation"), generation + 1);
    assert_int_equal(ear_count(&ear, "slither.worker.restarting"), 1);
    assert_int_equal(ear_count(&ear, "slither.worker.exited"), 0);
    assert_int_equal(ear_count_text(&ear, "slither.worker.state", "to", "dead"), 1);
    assert_int_equal(ear_count_text(&ear, "slither.worker.state", "to", "ready"), 1);
    /* One batch is to blame; what waited behind it is not. */
    assert_int_equal(ear_count_text(&ear, "slither.dispatch.batch.exception", "outcome", "failed"), 1);
    assert_int_equal(ear_count_text(&ear, "slither.dispatch.batch.exception", "outcome", "requeued"),
                     report.requeue_count);
    assert_int_equal(ear_count(&ear, "slither.dispatch.batch.stop") + 1, report.batch_count);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "ok"), report.count[SL_STATUS_OK]);
    ear_close(&ear);
    sl_report_finish(&report);
}

/* The order in which a life is told. */
static void expect_order(struct ear *ear, const char *const *names, size_t count) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < ear->count && at < count; i++) {
        at += strcmp(ear->heard[i].event.name, names[at]) == 0 ? 1 : 0;
    }
    if (at < count) {
        fail_msg("%s did not come, or not after %s", names[at], at > 0 ? names[at - 1] : "the beginning");
    }
}

static void a_pool_is_told_from_its_start_to_its_end(void **state) {
    static const char *const life[] = {
        "slither.worker.started", "slither.worker.ready", "slither.pool.started",  "slither.pool.resized",
        "slither.worker.started", "slither.worker.ready", "slither.pool.draining", "slither.worker.exited",
        "slither.worker.exited",  "slither.pool.stopped",
    };
    (void)state;
    struct ear ear;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    ear_open(&ear, runtime, "slither");
    make_pool(1, "telemetry_functions", SL_OK, NULL);
    assert_int_equal(sl_pool_resize(pool, 2, 2, NULL), SL_OK);
    ear_await(&ear, "slither.worker.ready", 2);
    assert_int_equal(sl_pool_drain(pool, 1000, NULL), SL_OK);
    sl_pool_destroy(pool);
    expect_order(&ear, life, sizeof life / sizeof life[0]);
    assert_int_equal(heard_uint(ear_find(&ear, "slither.pool.resized", 0), "worker_max"), 2);
    assert_int_equal(heard_uint(ear_find(&ear, "slither.pool.draining", 0), "timeout_ms"), 1000);
    assert_int_equal(ear_count(&ear, "slither.worker.lost"), 0);
    assert_int_equal(ear_count_text(&ear, "slither.worker.state", "from", "stopped"), 2);
    assert_int_equal(ear_count_text(&ear, "slither.worker.state", "to", "stopped"), 2);
    sl_runtime_destroy(runtime); /* it frees the handler */
    ear_close(&ear);
}

static void a_pool_that_cannot_start_is_told(void **state) {
    (void)state;
    struct ear ear;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    ear_open(&ear, runtime, "slither.pool");
    struct ear workers;
    ear_open(&workers, runtime, "slither.worker");
    make_pool(1, "no_such_module_anywhere", SL_E_IMPORT, NULL);
    assert_int_equal(heard_code(ear_find(&ear, "slither.pool.start_failed", 0)), SL_E_IMPORT);
    assert_int_equal(ear_count(&ear, "slither.pool.started") + ear_count(&ear, "slither.pool.stopped"), 0);
    assert_int_equal(heard_code(ear_find(&workers, "slither.worker.start_failed", 0)), SL_E_IMPORT);
    assert_int_equal(ear_count(&workers, "slither.worker.ready"), 0);
    sl_runtime_destroy(runtime);
    ear_close(&ear);
    ear_close(&workers);
}

static void recycles(struct sl_pool_options *options) {
    options->recycle_batches = 3;
    options->recycle_jitter_percent = 0;
    options->template_use = SL_TEMPLATE_AUTO;
}

static void a_worker_that_has_done_enough_is_recycled(void **state) {
    (void)state;
    struct ear ear;
    struct sl_report report = SL_REPORT_INIT;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    ear_open(&ear, runtime, "slither");
    make_pool(1, "telemetry_functions", SL_OK, recycles);
    run("telemetry_functions:same", (struct sl_dispatch_options)SL_DISPATCH_OPTIONS_INIT, &report);
    ear_await(&ear, "slither.worker.recycled", 1);
    sl_pool_destroy(pool);
    const struct heard *recycled = ear_find(&ear, "slither.worker.recycled", 0);
    assert_string_equal(heard_text(recycled, "reason"), "batches");
    assert_int_equal(heard_uint(recycled, "generation"), 1);
    assert_int_equal(ear_count(&ear, "slither.worker.lost"), 0);
    assert_int_equal(ear_count(&ear, "slither.worker.started"), ear_count(&ear, "slither.worker.exited"));
    bool forks = sl_event_get(&ear_find(&ear, "slither.pool.template_ready", 0)->event, "forks")->as_bool;
    assert_int_equal(sl_event_get(&ear_find(&ear, "slither.worker.started", 0)->event, "forked")->as_bool, forks);
    sl_runtime_destroy(runtime);
    ear_close(&ear);
    sl_report_finish(&report);
}

static void breaks_early(struct sl_pool_options *options) {
    options->restart_max = 1;
    options->circuit_cooldown_ms = 1;
}

static void a_circuit_is_told_when_it_opens_and_closes(void **state) {
    static const char *const life[] = {"slither.pool.circuit_opened", "slither.pool.circuit_half_opened",
                                       "slither.pool.circuit_closed"};
    (void)state;
    struct ear ear;
    const struct sl_value thirteen = {(const uint8_t *)"\x0d", 1};
    const struct sl_item item = {.value = thirteen};
    struct sl_results results = {0};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    ear_open(&ear, runtime, "slither");
    make_pool(1, "telemetry_functions", SL_OK, breaks_early);
    options.function = "telemetry_functions:dies";
    while (ear_count(&ear, "slither.pool.circuit_opened") == 0) {
        assert_int_not_equal(sl_call_batch(pool, &options, &item, 1, &results, NULL), SL_OK);
    }
    options.function = "telemetry_functions:same";
    ear_await(&ear, "slither.worker.ready", ear_count(&ear, "slither.worker.lost") + 1);
    while (sl_call_batch(pool, &options, &item, 1, &results, NULL) != SL_OK) {
        sched_yield(); /* until the trial is ready */
    }
    sl_results_finish(&results);
    ear_await(&ear, "slither.pool.circuit_closed", 1);
    expect_order(&ear, life, sizeof life / sizeof life[0]);
    assert_int_equal(heard_code(ear_find(&ear, "slither.pool.circuit_opened", 0)), SL_E_WORKER_CRASHED);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    ear_close(&ear);
}

/* ---- executors --------------------------------------------------------------------------------------------------------- */

/* Ends what it is given at once; every other task fails. */
static enum sl_code submit(void *context, struct sl_task *task, struct sl_error *error) {
    struct sl_value results[10];
    uint32_t *count = context;
    (void)error;
    if (++*count % 2 == 0) {
        sl_task_fail(task, NULL);
        return SL_OK;
    }
    for (uint32_t i = 0; i < sl_task_count(task); i++) {
        results[i] = sl_task_item(task, i);
    }
    sl_task_complete(task, results, sl_task_count(task));
    return SL_OK;
}

static void batches_of_an_executor_are_told_when_it_names_a_runtime(void **state) {
    (void)state;
    struct ear ear;
    uint32_t count = 0;
    struct sl_executor *executors[2];
    struct sl_executor_options options = SL_EXECUTOR_OPTIONS_INIT;
    struct sl_dispatch_options dispatch = SL_DISPATCH_OPTIONS_INIT;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    ear_open(&ear, runtime, "");
    options.name = "elsewhere";
    options.submit = submit;
    options.context = &count;
    assert_int_equal(sl_executor_create(&options, &executors[0], NULL), SL_OK);
    options.runtime = runtime;
    assert_int_equal(sl_executor_create(&options, &executors[1], NULL), SL_OK);
    pool = NULL;
    for (int i = 0; i < 2; i++) {
        struct sl_report report = SL_REPORT_INIT;
        dispatch.executor = executors[i];
        run("anything:at all", dispatch, &report);
        assert_int_equal(ear.count, i == 0 ? 0 : 20);
        assert_int_equal(report.batch_count, 10);
        sl_report_finish(&report);
        sl_executor_destroy(executors[i]);
    }
    assert_int_equal(ear_count_text(&ear, "slither.dispatch.batch.start", "pool", "elsewhere"), 10);
    assert_int_equal(ear_count(&ear, "slither.dispatch.batch.exception"), 5);
    const struct heard *exception = ear_find(&ear, "slither.dispatch.batch.exception", 0);
    assert_int_equal(heard_code(exception), SL_E_EXECUTOR);
    assert_null(sl_event_get(&exception->event, "worker"));
    sl_runtime_destroy(runtime);
    ear_close(&ear);
}

/* ---- stores ------------------------------------------------------------------------------------------------------------ */

static enum sl_code next_row(void *context, struct sl_row *row, struct sl_error *error) {
    static struct sl_key key;
    uint64_t *left = context;
    (void)error;
    if (*left == 0) {
        return SL_E_END;
    }
    row->key = sl_key_int(&key, (int64_t)-- * left);
    row->value = (struct sl_value){(const uint8_t *)"\xc0", 1};
    return SL_OK;
}

static enum sl_code broken_row(void *context, struct sl_row *row, struct sl_error *error) {
    (void)context;
    (void)row;
    return sl_error_set(error, SL_E_INVALID_DATA, "no rows today");
}

static void writes_and_reloads_of_a_store_are_told(void **state) {
    (void)state;
    struct ear ear;
    struct sl_store *store;
    struct sl_table *table;
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_key key;
    uint64_t rows = 0, left = 5;
    struct sl_error error = SL_ERROR_INIT;
    const struct sl_value nil = {(const uint8_t *)"\xc0", 1};
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    assert_int_equal(sl_store_create(runtime, NULL, &store, NULL), SL_OK);
    assert_int_equal(sl_table_open(store, "rows", &options, &table, NULL), SL_OK);
    ear_open(&ear, runtime, "slither.store");
    assert_int_equal(sl_table_put(table, sl_key_int(&key, 1), nil, NULL, NULL), SL_OK);
    assert_int_equal(ear.count, 1);
    const struct heard *write = ear_find(&ear, "slither.store.write", 0);
    assert_string_equal(heard_text(write, "store"), "store");
    assert_int_equal(heard_uint(write, "changes"), 1);
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    assert_int_equal(sl_store_stat(store, &stat, NULL), SL_OK);
    assert_int_equal(heard_uint(write, "version"), stat.version);

    assert_int_equal(sl_table_reload(table, next_row, &left, &rows, NULL), SL_OK);
    assert_string_equal(heard_text(ear_find(&ear, "slither.store.reload.start", 0), "table"), "rows");
    assert_int_equal(heard_uint(ear_find(&ear, "slither.store.reload.stop", 0), "rows"), 5);
    assert_int_equal(sl_table_reload(table, broken_row, NULL, &rows, &error), SL_E_INVALID_DATA);
    assert_int_equal(heard_code(ear_find(&ear, "slither.store.reload.exception", 0)), SL_E_CANCELLED);
    assert_int_equal(ear_count(&ear, "slither.store.reload.start"), 2);
    assert_int_equal(sl_store_stat(store, &stat, NULL), SL_OK);
    ear_detach(&ear);
    ear_close(&ear);
    sl_error_finish(&error);
    sl_runtime_destroy(runtime);
}

/* ---- views ------------------------------------------------------------------------------------------------------------- */

static enum sl_code twice(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    struct sl_value value;
    uint64_t number = 0;
    (void)context;
    assert_int_equal(sl_value_at(call->positional, 0, &value), SL_OK);
    assert_int_equal(sl_value_uint(value, &number), SL_OK);
    if (number % 50 == 13) {
        return sl_error_set(error, SL_E_NOT_FOUND, "no such number");
    }
    sl_write_uint(result, number * 2);
    return SL_OK;
}

static void views_are_told(void **state) {
    (void)state;
    struct ear ear;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl_view *view;
    struct sl_report report = SL_REPORT_INIT;
    options.name = "double";
    options.call = twice;
    assert_int_equal(sl_view_register(runtime, &options, &view, NULL), SL_OK);
    ear_open(&ear, runtime, "slither.bridge");
    run("telemetry_functions:looks_up", (struct sl_dispatch_options)SL_DISPATCH_OPTIONS_INIT, &report);
    /* Two batches of ten end at their fourth. */
    ear_await(&ear, "slither.bridge.view.exception", 2);
    ear_await(&ear, "slither.bridge.view.stop", 80 + 6);
    assert_int_equal(ear_count(&ear, "slither.bridge.view.start"), 88);
    const struct heard *start = ear_find(&ear, "slither.bridge.view.start", 0);
    assert_string_equal(heard_text(start, "view"), "double");
    assert_string_equal(heard_text(start, "pool"), "told");
    assert_int_equal(heard_uint(start, "depth"), 1);
    assert_null(sl_event_get(&start->event, "keys"));
    const struct heard *stop = ear_find(&ear, "slither.bridge.view.stop", 0);
    assert_int_equal(heard_uint(stop, "bytes"), 1);
    assert_true(sl_event_get(&stop->event, "wanted")->as_bool);
    assert_int_equal(heard_code(ear_find(&ear, "slither.bridge.view.exception", 0)), SL_E_NOT_FOUND);
    ear_detach(&ear);
    ear_close(&ear);
    sl_report_finish(&report);
    sl_view_unregister(view);
}

/* ---- attaching --------------------------------------------------------------------------------------------------------- */

static void never(void *context, const struct sl_event *event) {
    (void)context;
    (void)event;
    fail();
}

static void what_cannot_be_attached_is_refused_by_name(void **state) {
    (void)state;
    struct sl_telemetry_handler *handler;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_telemetry_attach(runtime, "slither.dispatches", never, NULL, &handler, &error),
                     SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "did you mean \"slither.dispatch\""));
    assert_int_equal(sl_telemetry_attach(NULL, "", never, NULL, &handler, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "`runtime` is NULL"));
    assert_int_equal(sl_telemetry_attach(runtime, NULL, never, NULL, &handler, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_telemetry_attach(runtime, "", NULL, NULL, &handler, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_telemetry_attach(runtime, "", never, NULL, NULL, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
}

/* What is under way of it then has ended, and there is nobody left to be told. */
static void a_stream_may_outlive_its_pool_and_its_runtime(void **state) {
    (void)state;
    for (int listens = 0; listens < 2; listens++) {
        struct ear ear;
        struct numbers numbers = {.end = ITEMS};
        struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
        const struct sl_source source = {.next = next_number, .context = &numbers};
        struct sl_stream *stream;
        struct sl_outcome outcome;
        struct sl_error error = SL_ERROR_INIT;
        sl_writer_init(&numbers.writer, NULL);
        options.function = "telemetry_functions:same";
        options.batch_size = 10;
        assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
        make_pool(1, "telemetry_functions", SL_OK, NULL);
        if (listens == 1) {
            ear_open(&ear, runtime, "");
        }
        assert_int_equal(sl_stream_open(pool, &options, source, &stream, &error), SL_OK);
        assert_int_equal(sl_stream_next(stream, &outcome, &error), SL_OK);
        sl_pool_destroy(pool);
        sl_runtime_destroy(runtime);
        uint64_t seen = 1;
        while (sl_stream_next(stream, &outcome, &error) == SL_OK) {
            seen++;
        }
        assert_int_equal(error.code, SL_E_CLOSED);
        assert_int_equal(seen, numbers.next);
        sl_stream_close(stream);
        sl_error_finish(&error);
        sl_writer_finish(&numbers.writer);
        if (listens == 1) {
            assert_true(ear_count(&ear, "slither.dispatch.batch.start") > 0);
            assert_int_equal(ear_count(&ear, "slither.pool.stopped"), 1);
            free(ear.heard);
        }
    }
}

int main(void) {
    const struct CMUnitTest shared[] = {
        cmocka_unit_test(batches_add_up_to_the_report),
        cmocka_unit_test(without_a_handler_nothing_is_told),
        cmocka_unit_test(a_batch_that_fails_is_an_exception),
        cmocka_unit_test(a_worker_that_dies_is_lost_and_replaced),
        cmocka_unit_test(views_are_told),
        cmocka_unit_test(what_cannot_be_attached_is_refused_by_name),
    };
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(a_pool_is_told_from_its_start_to_its_end),
        cmocka_unit_test(a_pool_that_cannot_start_is_told),
        cmocka_unit_test(a_worker_that_has_done_enough_is_recycled),
        cmocka_unit_test(a_circuit_is_told_when_it_opens_and_closes),
        cmocka_unit_test(batches_of_an_executor_are_told_when_it_names_a_runtime),
        cmocka_unit_test(writes_and_reloads_of_a_store_are_told),
        cmocka_unit_test(a_stream_may_outlive_its_pool_and_its_runtime),
    };
    int failed = cmocka_run_group_tests(shared, set_up, tear_down);
    return failed + cmocka_run_group_tests(alone, NULL, NULL);
}
