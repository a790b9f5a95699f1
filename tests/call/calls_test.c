/* SPDX-License-Identifier: MIT */
/* Calls by name: what they give, what they refuse, what becomes of the refs. */
#include "host.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- what they give ------------------------------------------------------------------------------------------------------ */

static void any_callable_is_called(void **state) {
    (void)state;
    expect_call(NULL, "math:sqrt", "[16]", "4.0");
    expect_call(NULL, "builtins:str.upper", "[\"a\"]", "\"A\"");
    expect_call(NULL, "builtins:list", NULL, "[]");
    expect_call(NULL, "call_functions:slow_add", "[1, 2]", "3");
    expect_call(NULL, "call_functions:LIMIT", NULL, "7");
    expect_call(NULL, "os.path:join", "[\"a\", \"b\"]", "\"a/b\"");
    struct sl_result result = SL_RESULT_INIT;
    assert_int_equal(sl_call(pool, NULL, "call_functions:add", json("[1]"), json("{\"b\": 41}"), &result, NULL), SL_OK);
    assert_string_equal(shown(result.value), "42");
    sl_result_finish(&result);
    sl_result_finish(&result);
    assert_int_equal(sl_call(pool, NULL, "call_functions:skipped", none, none, &result, NULL), SL_OK);
    assert_int_equal(sl_value_type(result.value), SL_TYPE_MARK);
    sl_result_finish(&result);
}

static void numpy_if_it_is_there(void **state) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    enum sl_code code = sl_call(pool, NULL, "numpy:linalg.norm", json("[[3.0, 4.0]]"), none, &result, &error);
    if (code == SL_E_IMPORT) {
        sl_error_finish(&error);
        skip();
    }
    assert_int_equal(code, SL_OK);
    assert_string_equal(shown(result.value), "5.0");
    sl_result_finish(&result);
}

static void what_goes_wrong_is_said(void **state) {
    static const struct {
        const char *target, *args;
        enum sl_code code;
        const char *part;
    } cases[] = {
        {"math:sqrrt", "[1]", SL_E_FUNCTION, "math:sqrrt: 'math'"},
        {"nowhere_at_all:f", NULL, SL_E_IMPORT, "nowhere_at_all:f: module 'nowhere_at_all' could not be imported"},
        {"call_functions:LIMIT", "[1]", SL_E_FUNCTION, "leave the arguments out"},
        {"call_functions:fail", NULL, SL_E_PYTHON, "call_functions:fail: ValueError: seven is no colour"},
        {"call_functions:refused", NULL, SL_E_ITEM, "call_functions:refused: not this one"},
        {"call_functions:add", NULL, SL_E_PYTHON, "TypeError"},
        {"math", NULL, SL_E_INVALID_ARGUMENT, "module:path.to.callable"},
        {"", NULL, SL_E_INVALID_ARGUMENT, "the name is empty"},
        {"math:sqrt", "{}", SL_E_INVALID_ARGUMENT, "args is of type map, expected a list"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_result result = SL_RESULT_INIT;
        struct sl_error error = SL_ERROR_INIT;
        struct sl_value args = cases[i].args != NULL ? json(cases[i].args) : none;
        enum sl_code code = sl_call(pool, NULL, cases[i].target, args, none, &result, &error);
        expect_failure(code, cases[i].code, &error, cases[i].part);
        assert_null(result.owner);
        assert_null(strstr(error.message, "_calls"));
        if (code == SL_E_PYTHON && cases[i].args == NULL && strstr(cases[i].target, "fail") != NULL) {
            assert_non_null(strstr(error.traceback, "call_functions.py"));
            assert_null(strstr(error.traceback, "_calls.py"));
        }
        sl_error_finish(&error);
        sl_result_finish(&result);
    }
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl_call(pool, NULL, "math:sqrt", none, json("[1]"), &result, &error);
    expect_failure(code, SL_E_INVALID_ARGUMENT, &error, "kwargs is of type list, expected a map");
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    options.chunk_max = 0;
    expect_failure(sl_call(pool, &options, "math:sqrt", none, none, &result, &error), SL_E_INVALID_ARGUMENT, &error,
                   "chunk_max is 0");
    expect_failure(sl_call(NULL, NULL, "math:sqrt", none, none, &result, &error), SL_E_INVALID_ARGUMENT, &error,
                   "`pool` is NULL");
}

/* ---- refs ---------------------------------------------------------------------------------------------------------------- */

static struct sl_value entry(struct sl_value map, const char *key) {
    struct sl_value value = none;
    assert_int_equal(sl_value_get(map, key, &value), SL_OK);
    return value;
}

static void only_the_leaf_is_a_ref(void **state) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_object *object = NULL, *again = NULL, *set = NULL;
    struct sl_value number;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_call(pool, NULL, "call_functions:mixed", none, none, &result, &error), SL_OK);
    assert_int_equal(sl_value_type(result.value), SL_TYPE_MAP);
    assert_int_equal(sl_value_type(entry(result.value, "big")), SL_TYPE_REF);
    assert_int_equal(sl_value_type(entry(result.value, "fine")), SL_TYPE_NIL);
    assert_int_equal(sl_value_at(entry(result.value, "numbers"), 1, &number), SL_OK);
    assert_int_equal(sl_object_take(&result, number, &set, NULL), SL_OK);
    assert_int_equal(sl_object_take(&result, entry(result.value, "model"), &object, NULL), SL_OK);
    assert_int_equal(sl_object_take(&result, entry(result.value, "model"), &again, NULL), SL_OK);
    assert_ptr_equal(object, again);
    struct sl_object_info info = SL_OBJECT_INFO_INIT;
    sl_object_info(object, &info);
    assert_string_equal(info.type_name, "call_functions.Model");
    assert_string_equal(info.repr, "Model('model')");
    assert_true(info.session > 0 && info.object > 0 && info.worker < 2 && info.generation > 0);
    enum sl_code code = sl_object_take(&result, result.value, &again, &error);
    expect_failure(code, SL_E_INVALID_ARGUMENT, &error, "the value is of type map");
    sl_object_info(set, &info);
    assert_string_equal(info.type_name, "set");
    assert_string_equal(info.repr, "{1, 2}");
    sl_result_finish(&result);
    struct sl_value length = none;
    uint64_t count = 0;
    (void)length;
    assert_int_equal(sl_object_length(set, NULL, &count, NULL), SL_OK); /* the result is gone, the session is not */
    assert_int_equal(count, 2);
    sl_object_unref(object);
    sl_object_unref(object);
    sl_object_unref(set);
}

static void an_argument_is_the_object_itself(void **state) {
    struct sl_session *session = NULL;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    (void)state;
    assert_int_equal(sl_session_open(pool, NULL, &session, NULL), SL_OK);
    options.session = session;
    struct sl_object *a = make_object(session, "call_functions:Model", NULL);
    struct sl_object *b = make_object(session, "call_functions:Model", NULL);
    for (int i = 0; i < 3; i++) {
        const struct sl_value pairs[3][2] = {{sl_object_value(a), sl_object_value(a)},
                                             {sl_object_value(a), sl_object_value(b)},
                                             {sl_object_value(b), sl_object_value(b)}};
        assert_int_equal(sl_call(pool, &options, "call_functions:same", list_of(2, pairs[i]), none, &result, NULL),
                         SL_OK);
        assert_string_equal(shown(result.value), i == 1 ? "false" : "true");
        sl_result_finish(&result);
    }
    sl_object_unref(a);
    sl_object_unref(b);
    sl_session_close(session);
}

struct outcome {
    sem_t told;
    enum sl_code code;
};

static void note(void *context, enum sl_code code, struct sl_result *result, const struct sl_error *error) {
    struct outcome *outcome = context;
    (void)result;
    (void)error;
    outcome->code = code;
    sem_post(&outcome->told);
}

static void refs_of_others_are_refused(void **state) {
    struct sl_session *first = NULL, *second = NULL;
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_session_open(pool, NULL, &first, NULL), SL_OK);
    assert_int_equal(sl_session_open(pool, NULL, &second, NULL), SL_OK);
    struct sl_object *object = make_object(first, "call_functions:Model", NULL);
    const struct sl_value pair[] = {sl_object_value(object), sl_object_value(object)};
    options.session = second;
    enum sl_code code = sl_call(pool, &options, "call_functions:same", list_of(2, pair), none, &result, &error);
    expect_failure(code, SL_E_REF_LOST, &error, "was passed to a call of session");
    code = sl_object_call(object, &options, "predict", json("[1]"), none, &result, &error);
    expect_failure(code, SL_E_INVALID_ARGUMENT, &error, "leave it out");
    /* A session that has ended. */
    sl_session_close(first);
    code = sl_object_call(object, NULL, "predict", json("[1]"), none, &result, &error);
    expect_failure(code, SL_E_REF_LOST, &error, "Model: the object went with session");
    struct outcome outcome = {.code = SL_OK};
    assert_int_equal(sem_init(&outcome.told, 0, 0), 0);
    assert_int_equal(sl_object_call_async(object, NULL, "predict", json("[1]"), none, note, &outcome, NULL), SL_OK);
    while (sem_wait(&outcome.told) != 0) {
    }
    sem_destroy(&outcome.told);
    assert_int_equal(outcome.code, SL_E_REF_LOST);
    struct sl_iteration *iteration = NULL;
    code = sl_object_iterate(object, NULL, &iteration, &error);
    expect_failure(code, SL_E_REF_LOST, &error, "it was closed");
    sl_object_unref(object);
    sl_session_close(second);
    sl_error_finish(&error);
}

static void a_dead_worker_is_named(void **state) {
    struct sl_session *session = NULL;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_session_open(pool, NULL, &session, NULL), SL_OK);
    struct sl_object *object = make_object(session, "call_functions:Model", NULL);
    struct sl_object *own = make_object(NULL, "call_functions:Model", NULL);
    struct sl_object_info info = SL_OBJECT_INFO_INIT;
    sl_object_info(object, &info);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, info.worker), SIGKILL), 0);
    enum sl_code code;
    uint64_t until = now_ms() + 30000; /* a call that was under way says that its worker has crashed */
    do {
        code = sl_object_call(object, NULL, "predict", json("[1]"), none, &result, &error);
        sl_result_finish(&result);
    } while (code != SL_E_SESSION_LOST && now_ms() < until);
    expect_failure(code, SL_E_SESSION_LOST, &error, "died of SIGKILL");
    expect_call(NULL, "math:sqrt", "[4]", "2.0");
    sl_object_unref(object);
    sl_object_unref(own);
    sl_session_close(session);
    sl_error_finish(&error);
}

static void a_session_has_a_limit(void **state) {
    struct sl_session_options session_options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *session = NULL;
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT, more = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    session_options.ref_max = 10;
    assert_int_equal(sl_session_open(pool, &session_options, &session, NULL), SL_OK);
    options.session = session;
    assert_int_equal(sl_call(pool, &options, "call_functions:models", json("[10]"), none, &result, NULL), SL_OK);
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    sl_session_info(session, &info);
    assert_int_equal(info.ref_count, 10);
    enum sl_code code = sl_call(pool, &options, "call_functions:models", json("[1]"), none, &more, &error);
    expect_failure(code, SL_E_LIMIT, &error, "10");
    sl_result_finish(&result);
    sl_session_info(session, &info);
    assert_int_equal(info.ref_count, 0);
    uint64_t until = now_ms() + 30000;
    do { /* when they are really gone there is room again */
        code = sl_call(pool, &options, "call_functions:models", json("[10]"), none, &more, NULL);
        sl_result_finish(&more);
    } while (code != SL_OK && now_ms() < until);
    assert_int_equal(code, SL_OK);
    sl_session_close(session);
}

static void what_is_let_go_of_is_gone_in_python(void **state) {
    enum { COUNT = 1000 };
    struct sl_session *session = NULL;
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_value ref;
    struct sl_object *objects[COUNT];
    (void)state;
    assert_int_equal(sl_session_open(pool, NULL, &session, NULL), SL_OK);
    options.session = session;
    struct sl_object *anchor = make_object(session, "call_functions:Model", "[1, \"anchor\"]");
    /* Counted by their name: what earlier tests have left behind is going, too. */
    assert_int_equal(sl_call(pool, &options, "call_functions:models", json("[1000, \"let go\"]"), none, &result, NULL),
                     SL_OK);
    for (uint32_t i = 0; i < COUNT; i += 2) {
        assert_int_equal(sl_value_at(result.value, i, &ref), SL_OK);
        assert_int_equal(sl_object_take(&result, ref, &objects[i], NULL), SL_OK);
    }
    assert_int_equal(call_number(session, "call_functions:alive", "[\"let go\"]"), COUNT);
    sl_result_finish(&result);
    await_number(session, "call_functions:alive", "[\"let go\"]", COUNT / 2);
    for (uint32_t i = 0; i < COUNT; i += 2) {
        struct sl_result scale = SL_RESULT_INIT;
        if (i % 100 == 0) {
            int64_t number = -1;
            assert_int_equal(sl_object_get(objects[i], NULL, "scale", &scale, NULL), SL_OK);
            assert_int_equal(sl_value_int(scale.value, &number), SL_OK);
            assert_int_equal(number, i);
            sl_result_finish(&scale);
        }
        sl_object_unref(objects[i]);
    }
    await_number(session, "call_functions:alive", "[\"let go\"]", 0);
    /* The same object twice: it takes both to let go of it. */
    struct sl_object *twice = NULL;
    assert_int_equal(sl_object_call(anchor, NULL, "itself", none, none, &result, NULL), SL_OK);
    assert_int_equal(sl_object_take(&result, result.value, &twice, NULL), SL_OK);
    sl_result_finish(&result);
    sl_object_unref(anchor);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(call_number(session, "call_functions:alive", "[\"anchor\"]"), 1);
    }
    uint64_t length = 0;
    assert_int_equal(sl_object_length(twice, NULL, &length, NULL), SL_OK);
    sl_object_unref(twice);
    await_number(session, "call_functions:alive", "[\"anchor\"]", 0);
    sl_session_close(session);
}

static void what_was_not_given_back_is_in_the_log(void **state) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *session = NULL;
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    char part[64];
    (void)state;
    options.name = "leaky";
    assert_int_equal(sl_session_open(pool, &options, &session, NULL), SL_OK);
    struct sl_object *first = make_object(session, "call_functions:Model", NULL);
    struct sl_object *second = make_object(session, "call_functions:Model", NULL);
    struct sl_object *third = make_object(session, "call_functions:Model", NULL);
    sl_object_unref(second);
    sl_session_info(session, &info);
    assert_int_equal(info.ref_count, 2);
    snprintf(part, sizeof part, "session %llu ('leaky') has ended", (unsigned long long)sl_session_id(session));
    sl_session_close(session);
    await_log(part, "the host held 2 refs");
    sl_object_unref(first);
    sl_object_unref(third);
}

static void a_session_of_its_own_ends_with_the_last_object(void **state) {
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    (void)state;
    sl_pool_stats(pool, &stats);
    uint32_t before = stats.session_count;
    struct sl_object *object = make_object(NULL, "call_functions:Model", NULL);
    sl_pool_stats(pool, &stats);
    assert_int_equal(stats.session_count, before + 1);
    sl_object_unref(sl_object_ref(object));
    sl_object_unref(object);
    sl_pool_stats(pool, &stats);
    assert_int_equal(stats.session_count, before);
}

/* ---- around a call --------------------------------------------------------------------------------------------------------- */

static enum sl_code twice(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    struct sl_value value;
    int64_t number = 0;
    (void)context, (void)error;
    if (sl_value_at(call->positional, 0, &value) != SL_OK || sl_value_int(value, &number) != SL_OK) {
        return SL_E_INVALID_ARGUMENT;
    }
    sl_write_int(result, 2 * number);
    return SL_OK;
}

static void it_may_call_the_host(void **state) {
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl_view *view = NULL;
    (void)state;
    options.name = "twice";
    options.call = twice;
    assert_int_equal(sl_view_register(runtime, &options, &view, NULL), SL_OK);
    expect_call(NULL, "call_functions:through_view", "[20]", "41");
    sl_view_unregister(view);
}

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sl_progress last;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note_progress(void *context, const struct sl_progress *progress) {
    (void)context;
    pthread_mutex_lock(&seen.lock);
    seen.last = *progress;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

/* Python goes on when its progress has been seen. */
static enum sl_code await_progress(void *context, const struct sl_view_call *call, struct sl_writer *result,
                                   struct sl_error *error) {
    (void)context, (void)call, (void)error;
    pthread_mutex_lock(&seen.lock);
    while (seen.last.count == 0) {
        pthread_cond_wait(&seen.changed, &seen.lock);
    }
    pthread_mutex_unlock(&seen.lock);
    sl_write_nil(result);
    return SL_OK;
}

static void progress_is_seen_while_it_goes(void **state) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_view_options view_options = SL_VIEW_OPTIONS_INIT;
    struct sl_view *view = NULL;
    (void)state;
    view_options.name = "await_progress";
    view_options.call = await_progress;
    view_options.timeout_ms = 30000;
    assert_int_equal(sl_view_register(runtime, &view_options, &view, NULL), SL_OK);
    options.progress = note_progress;
    expect_call(&options, "call_functions:with_progress", "[4]", "4");
    assert_true(seen.last.done == 1 && seen.last.total == 4);
    assert_string_equal(seen.last.text, "step 1");
    sl_view_unregister(view);
    options.progress = NULL;
}

static void the_context_of_a_call(void **state) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    (void)state;
    options.context = json("{\"tenant\": \"a\"}");
    expect_call(&options, "call_functions:context", NULL, "{\"tenant\":\"a\"}");
}

static void *cancel_soon(void *control) {
    sl_control_cancel(control);
    return NULL;
}

static void it_can_be_cancelled_and_has_a_timeout(void **state) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_control *control = NULL;
    pthread_t thread;
    (void)state;
    assert_int_equal(sl_control_create(&control, NULL), SL_OK);
    options.control = control;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, control), 0);
    enum sl_code code = sl_call(pool, &options, "time:sleep", json("[60]"), none, &result, &error);
    pthread_join(thread, NULL);
    expect_failure(code, SL_E_CANCELLED, &error, "cancelled");
    sl_control_destroy(control);
    options.control = NULL;
    options.timeout_ms = 50;
    code = sl_call(pool, &options, "time:sleep", json("[60]"), none, &result, &error);
    expect_failure(code, SL_E_WORKER_TIMEOUT, &error, "50 ms");
    sl_error_finish(&error);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, forget_values)
    const struct CMUnitTest tests[] = {
        TEST(any_callable_is_called),
        TEST(numpy_if_it_is_there),
        TEST(what_goes_wrong_is_said),
        TEST(only_the_leaf_is_a_ref),
        TEST(an_argument_is_the_object_itself),
        TEST(refs_of_others_are_refused),
        TEST(a_dead_worker_is_named),
        TEST(a_session_has_a_limit),
        TEST(what_is_let_go_of_is_gone_in_python),
        TEST(what_was_not_given_back_is_in_the_log),
        TEST(a_session_of_its_own_ends_with_the_last_object),
        TEST(it_may_call_the_host),
        TEST(progress_is_seen_while_it_goes),
        TEST(the_context_of_a_call),
        TEST(it_can_be_cancelled_and_has_a_timeout),
    };
    return cmocka_run_group_tests(tests, start_two, stop);
}
