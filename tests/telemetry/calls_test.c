/* SPDX-License-Identifier: MIT */
/* What is told of calls, their progress, sessions and pipes. */
#include "ear.h"

#include <stdatomic.h>
#include <string.h>

static struct sl_runtime *runtime;
static struct sl_pool *pool;
static struct sl_writer memory;
static const struct sl_value none = {NULL, 0};

static int set_up(void **state) {
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const modules[] = {"telemetry_functions", NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    options.name = "told";
    options.worker_count = 2;
    options.python_path = path;
    options.preload = modules;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    if (sl_pool_create(runtime, &options, &pool, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    sl_writer_init(&memory, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sl_writer_finish(&memory);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    return 0;
}

static struct sl_value json(const char *text) {
    struct sl_value value;
    sl_writer_reset(&memory);
    assert_int_equal(sl_json_parse(text, strlen(text), &memory, NULL), SL_OK);
    assert_int_equal(sl_writer_end(&memory, &value, NULL), SL_OK);
    return value;
}

static void call(struct sl_session *session, const char *target, const char *args, enum sl_code expected) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.session = session;
    enum sl_code code = sl_call(pool, &options, target, json(args), none, &result, &error);
    if (code != expected) {
        fail_msg("%s instead of %s: %s", sl_code_name(code), sl_code_name(expected), error.message);
    }
    sl_result_finish(&result);
    sl_error_finish(&error);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------- */

static void a_call_is_a_span_with_its_batch_in_it(void **state) {
    (void)state;
    struct ear ear;
    ear_open(&ear, runtime, "slither");
    call(NULL, "math:sqrt", "[16]", SL_OK);
    call(NULL, "telemetry_functions:fail", "[]", SL_E_PYTHON);
    ear_detach(&ear);
    assert_int_equal(ear_count(&ear, "slither.call.start"), 2);
    const struct heard *start = ear_find(&ear, "slither.call.start", 0);
    assert_string_equal(heard_text(start, "function"), "math:sqrt");
    assert_string_equal(heard_text(start, "pool"), "told");
    assert_int_equal(ear_find(&ear, "slither.call.stop", 0)->event.span, start->event.span);
    const struct heard *batch = ear_find(&ear, "slither.dispatch.batch.start", 0);
    assert_int_equal(batch->event.parent, start->event.span);
    assert_string_equal(heard_text(batch, "function"), "math:sqrt");
    assert_int_equal(heard_uint(batch, "session"), heard_uint(start, "session"));
    const struct heard *exception = ear_find(&ear, "slither.call.exception", 0);
    assert_int_equal(heard_code(exception), SL_E_PYTHON);
    assert_string_equal(heard_text(exception, "function"), "telemetry_functions:fail");
    ear_close(&ear);
}

static void progress_is_told_without_secrets(void **state) {
    (void)state;
    struct ear ear;
    ear_open(&ear, runtime, "slither.call");
    call(NULL, "telemetry_functions:progress", "[40, \"hunter2\"]", SL_OK);
    ear_detach(&ear);
    uint32_t count = ear_count(&ear, "slither.call.progress");
    assert_in_range(count, 2, 40); /* at most every 50 ms, the first and the last always */
    const struct heard *last = ear_find(&ear, "slither.call.progress", count - 1);
    assert_true(sl_event_get(&last->event, "done")->as_float == 40.0);
    assert_true(sl_event_get(&last->event, "total")->as_float == 40.0);
    assert_string_equal(heard_text(last, "text"), "step 40 api_key=***");
    assert_string_equal(heard_text(last, "function"), "telemetry_functions:progress");
    assert_int_equal(last->event.parent, ear_find(&ear, "slither.call.start", 0)->event.span);
    assert_int_equal(heard_uint(last, "session"), heard_uint(ear_find(&ear, "slither.call.start", 0), "session"));
    ear_close(&ear);
}

/* ---- handlers that come while something runs ---------------------------------------------------------------------------- */

#define ITEMS 20u
#define LATE 10u /* attached when this item is asked for */

struct numbers {
    struct ear *ear;
    uint32_t next;
    struct sl_writer writer;
};

static enum sl_code next_number(void *context, struct sl_item *item, struct sl_error *error) {
    struct numbers *numbers = context;
    if (numbers->next == ITEMS) {
        return SL_E_END;
    }
    if (numbers->next == LATE) {
        ear_open(numbers->ear, runtime, "slither.call.progress");
    }
    item->id = numbers->next++;
    sl_writer_reset(&numbers->writer);
    sl_write_uint(&numbers->writer, item->id);
    return sl_writer_end(&numbers->writer, &item->value, error);
}

static enum sl_code look_away(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    (void)context, (void)outcome, (void)error;
    return SL_OK;
}

/* Before all else, so that nothing in this runtime has asked for progress yet. */
static void progress_of_a_run_is_told_from_its_next_batch_on(void **state) {
    (void)state;
    struct ear ear;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct numbers numbers = {.ear = &ear};
    const struct sl_sink sink = {.put = look_away};
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_init(&numbers.writer, NULL);
    options.function = "telemetry_functions:same_and_says_so";
    options.batch_size = 1;
    options.max_in_flight = 1;
    if (sl_dispatch_run(pool, &options, (struct sl_source){next_number, &numbers}, &sink, NULL, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    sl_writer_finish(&numbers.writer);
    ear_detach(&ear);
    /* The batch that was being made when the handler came may be told or not. */
    uint32_t count = ear_count(&ear, "slither.call.progress");
    assert_in_range(count, ITEMS - LATE - 1, ITEMS - LATE);
    for (uint32_t i = count - (ITEMS - LATE - 1); i < count; i++) {
        assert_string_equal(heard_text(ear_find(&ear, "slither.call.progress", i), "function"), options.function);
    }
    ear_close(&ear);
}

static atomic_bool enough;

static enum sl_code say_enough(void *context, const struct sl_view_call *view, struct sl_writer *result,
                               struct sl_error *error) {
    (void)context, (void)view, (void)error;
    sl_write_bool(result, atomic_load(&enough));
    return SL_OK;
}

static void *call_until_enough(void *context) {
    (void)context;
    call(NULL, "telemetry_functions:says_so_until_enough", "[5]", SL_OK);
    return NULL;
}

static void progress_of_a_call_that_runs_is_told(void **state) {
    (void)state;
    struct ear early, late;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl_view *view = NULL;
    pthread_t thread;
    options.name = "enough";
    options.call = say_enough;
    assert_int_equal(sl_view_register(runtime, &options, &view, NULL), SL_OK);
    ear_open(&early, runtime, "slither.dispatch.batch");
    assert_int_equal(pthread_create(&thread, NULL, call_until_enough, NULL), 0);
    ear_await(&early, "slither.dispatch.batch.start", 1);
    ear_open(&late, runtime, "slither.call.progress");
    ear_await(&late, "slither.call.progress", 1);
    atomic_store(&enough, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    ear_detach(&late);
    ear_detach(&early);
    assert_int_equal(heard_uint(ear_find(&late, "slither.call.progress", 0), "session"),
                     heard_uint(ear_find(&early, "slither.dispatch.batch.start", 0), "session"));
    sl_view_unregister(view);
    ear_close(&late);
    ear_close(&early);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------------- */

static struct sl_session *open_session(const char *name) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *session = NULL;
    options.name = name;
    assert_int_equal(sl_session_open(pool, &options, &session, NULL), SL_OK);
    return session;
}

static void a_session_is_told_from_its_start_to_its_end(void **state) {
    (void)state;
    struct ear ear;
    ear_open(&ear, runtime, "slither.session");
    struct sl_session *session = open_session("mine");
    uint64_t id = sl_session_id(session);
    call(session, "math:sqrt", "[16]", SL_OK);
    sl_session_close(session);
    ear_detach(&ear);
    assert_int_equal(ear.count, 2);
    const struct heard *opened = ear_find(&ear, "slither.session.opened", 0);
    assert_int_equal(heard_uint(opened, "session"), id);
    assert_string_equal(heard_text(opened, "name"), "mine");
    const struct heard *closed = ear_find(&ear, "slither.session.closed", 0);
    assert_int_equal(heard_uint(closed, "session"), id);
    assert_string_equal(heard_text(closed, "reason"), "closed");
    assert_int_equal(heard_uint(closed, "calls"), 1);
    ear_close(&ear);
}

static void what_becomes_of_sessions_whose_worker_dies_is_told(void **state) {
    (void)state;
    struct ear ear;
    ear_open(&ear, runtime, "slither.session");
    struct sl_session *lost = open_session(NULL), *moved = open_session(NULL);
    call(lost, "telemetry_functions:remember", "[1]", SL_OK);
    call(moved, "telemetry_functions:remember_well", "[2]", SL_OK);
    ear_await(&ear, "slither.session.checkpointed", 1);
    call(lost, "telemetry_functions:die", "[0]", SL_E_WORKER_CRASHED);
    call(moved, "telemetry_functions:die", "[0]", SL_E_WORKER_CRASHED);
    call(lost, "math:sqrt", "[16]", SL_E_SESSION_LOST);
    call(moved, "math:sqrt", "[16]", SL_OK);
    const struct heard *checkpoint = ear_find(&ear, "slither.session.checkpointed", 0);
    assert_int_equal(heard_uint(checkpoint, "session"), sl_session_id(moved));
    assert_true(heard_uint(checkpoint, "bytes") > 0);
    assert_int_equal(ear_count(&ear, "slither.session.lost"), 1);
    assert_int_equal(heard_uint(ear_find(&ear, "slither.session.lost", 0), "session"), sl_session_id(lost));
    assert_in_range(ear_count(&ear, "slither.session.moved"), 1, 2); /* twice, when both were in one worker */
    assert_int_equal(heard_uint(ear_find(&ear, "slither.session.moved", 0), "session"), sl_session_id(moved));
    sl_session_close(lost);
    sl_session_close(moved);
    assert_int_equal(ear_count(&ear, "slither.session.closed"), 2);
    ear_detach(&ear);
    ear_close(&ear);
}

/* ---- pipes ------------------------------------------------------------------------------------------------------------- */

static enum sl_code pass(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {
    const uint64_t *fails_at = context;
    if (item->id == *fails_at) {
        return sl_error_set(error, SL_E_INVALID_DATA, "not this one");
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

static void run_pipe(uint64_t fails_at, enum sl_code expected, struct sl_pipe_report *report) {
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    const struct sl_pipe_definition definition = {
        SL_PIPE("flow"),
        .stages = SL_STAGES(SL_NATIVE("pass", pass, .context = &fails_at),
                            SL_PYTHON("same", "telemetry_functions:same_and_says_so", .batch_size = 10)),
    };
    const struct sl_pipe_pool pools[] = {{"told", pool}};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    struct sl_value values[50];
    struct sl_array_source array = {values, 50, 0};
    for (int i = 0; i < 50; i++) {
        values[i] = (struct sl_value){(const uint8_t *)"\x07", 1};
    }
    options.pools = pools;
    options.pool_count = 1;
    if (sl_pipe_create(&definition, &pipe, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(sl_pipe_run(pipe, &options, sl_source_from_array(&array), report, &error), expected);
    sl_error_finish(&error);
    sl_pipe_destroy(pipe);
}

static void a_pipe_is_a_span_with_stages_with_batches(void **state) {
    (void)state;
    struct ear ear;
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    ear_open(&ear, runtime, "slither");
    run_pipe(UINT64_MAX, SL_OK, &report);
    ear_detach(&ear);
    const struct heard *run = ear_find(&ear, "slither.pipe.run.start", 0);
    assert_string_equal(heard_text(run, "pipe"), "flow");
    assert_int_equal(heard_uint(run, "stages"), 2);
    assert_int_equal(heard_uint(ear_find(&ear, "slither.pipe.run.stop", 0), "input"), report.input);
    assert_int_equal(heard_uint(ear_find(&ear, "slither.pipe.run.stop", 0), "finished"), report.finished);
    for (uint32_t i = 0; i < 2; i++) {
        const struct heard *start = ear_find(&ear, "slither.pipe.stage.start", i);
        assert_int_equal(start->event.parent, run->event.span);
        assert_string_equal(heard_text(start, "stage"), report.stages[i].name);
    }
    assert_int_equal(ear_count(&ear, "slither.pipe.stage.stop"), 2);
    assert_int_equal(ear_count_text(&ear, "slither.pipe.stage.stop", "kind", "python"), 1);
    assert_int_equal(ear_sum(&ear, "slither.pipe.stage.stop", "input"), 100);
    assert_int_equal(ear_sum(&ear, "slither.pipe.stage.stop", "ok"), 100);
    const struct heard *batch = ear_find(&ear, "slither.dispatch.batch.start", 0);
    assert_int_equal(batch->event.parent, ear_find(&ear, "slither.pipe.stage.start", 1)->event.span);
    const struct heard *progress = ear_find(&ear, "slither.call.progress", 0);
    assert_int_equal(progress->event.parent, batch->event.parent);
    assert_string_equal(heard_text(progress, "function"), "telemetry_functions:same_and_says_so");
    assert_int_equal(ear_count(&ear, "slither.dispatch.batch.stop"), report.stages[1].dispatch.batch_count);
    assert_int_equal(ear_sum(&ear, "slither.dispatch.batch.stop", "ok"), report.stages[1].count[SL_STATUS_OK]);
    ear_close(&ear);
    sl_pipe_report_finish(&report);
}

static void a_pipe_that_is_halted_says_by_whom(void **state) {
    (void)state;
    struct ear ear;
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    ear_open(&ear, runtime, "slither.pipe");
    run_pipe(5, SL_E_HALTED, &report);
    ear_detach(&ear);
    assert_int_equal(heard_code(ear_find(&ear, "slither.pipe.run.exception", 0)), SL_E_HALTED);
    const struct heard *stage = ear_find(&ear, "slither.pipe.stage.exception", 0);
    assert_int_equal(ear_count_text(&ear, "slither.pipe.stage.exception", "stage", "pass"), 1);
    assert_int_equal(heard_code(stage), SL_E_HALTED);
    assert_int_equal(ear_count(&ear, "slither.pipe.stage.stop") + ear_count(&ear, "slither.pipe.stage.exception"), 2);
    ear_close(&ear);
    sl_pipe_report_finish(&report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_of_a_run_is_told_from_its_next_batch_on),
        cmocka_unit_test(progress_of_a_call_that_runs_is_told),
        cmocka_unit_test(a_call_is_a_span_with_its_batch_in_it),
        cmocka_unit_test(progress_is_told_without_secrets),
        cmocka_unit_test(a_session_is_told_from_its_start_to_its_end),
        cmocka_unit_test(what_becomes_of_sessions_whose_worker_dies_is_told),
        cmocka_unit_test(a_pipe_is_a_span_with_stages_with_batches),
        cmocka_unit_test(a_pipe_that_is_halted_says_by_whom),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
