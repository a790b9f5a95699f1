/* SPDX-License-Identifier: MIT */
/* What is done with one object, and iterations. On a pool of one worker: nothing here may hold its lane while it does not run. */
#include "host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ITEMS 1000000

/* A sanitizer keeps what was freed for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_COUNTS false
#else
#define MEMORY_COUNTS true
#endif

static struct sl_object *model;

static int make_model(void **state) {
    (void)state;
    model = make_object(NULL, "call_functions:Model", "[3, \"m\"]");
    return 0;
}

static int drop_model(void **state) {
    sl_object_unref(model);
    return forget_values(state);
}

/* The result as JSON, and finished. */
static const char *text_of(enum sl_code code, struct sl_result *result, const struct sl_error *error) {
    if (code != SL_OK) {
        fail_msg("%s", error->message);
    }
    const char *text = shown(result->value);
    sl_result_finish(result);
    return text;
}

static void methods_attributes_and_entries(void **state) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t length = 0;
    (void)state;
    enum sl_code code = sl_object_call(model, NULL, "predict", json("[2]"), json("{\"offset\": 1}"), &result, &error);
    assert_string_equal(text_of(code, &result, &error), "7");
    code = sl_object_call(model, NULL, "wait", json("[2]"), none, &result, &error);
    assert_string_equal(text_of(code, &result, &error), "3");
    code = sl_object_call(model, NULL, "rows.append", json("[4]"), none, &result, &error);
    assert_string_equal(text_of(code, &result, &error), "null");
    code = sl_object_get(model, NULL, "rows", &result, &error);
    assert_string_equal(text_of(code, &result, &error), "[1,2,3,4]");
    assert_int_equal(sl_object_set(model, NULL, "scale", json("10"), NULL), SL_OK);
    code = sl_object_item(model, NULL, json("\"k\""), &result, &error);
    assert_string_equal(text_of(code, &result, &error), "[\"k\",10]");
    assert_int_equal(sl_object_set_item(model, NULL, json("0"), json("\"x\""), NULL), SL_OK);
    code = sl_object_get(model, NULL, "rows", &result, &error);
    assert_string_equal(text_of(code, &result, &error), "[\"x\",2,3,4]");
    assert_int_equal(sl_object_length(model, NULL, &length, NULL), SL_OK);
    assert_int_equal(length, 5);
    code = sl_object_repr(model, NULL, &result, &error);
    assert_string_equal(text_of(code, &result, &error), "\"Model('m')\"");
    /* An attribute may be the object itself, and an argument too. */
    assert_int_equal(sl_object_set(model, NULL, "friend", sl_object_value(model), NULL), SL_OK);
    struct sl_object *friend = NULL;
    assert_int_equal(sl_object_get(model, NULL, "friend.friend", &result, NULL), SL_OK);
    assert_int_equal(sl_object_take(&result, result.value, &friend, NULL), SL_OK);
    sl_result_finish(&result);
    struct sl_object_info one = SL_OBJECT_INFO_INIT, other = SL_OBJECT_INFO_INIT;
    sl_object_info(model, &one);
    sl_object_info(friend, &other);
    assert_int_equal(one.object, other.object);
    sl_object_unref(friend);
    assert_int_equal(sl_object_set(model, NULL, "friend", json("null"), NULL), SL_OK);
}

static void an_object_that_is_called_itself(void **state) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_object *add = NULL;
    (void)state;
    /* A function is an object, too. */
    assert_int_equal(sl_call(pool, NULL, "builtins:getattr", json("[\"text\", \"upper\"]"), none, &result, &error),
                     SL_OK);
    assert_int_equal(sl_object_take(&result, result.value, &add, NULL), SL_OK);
    sl_result_finish(&result);
    enum sl_code code = sl_object_call(add, NULL, NULL, none, none, &result, &error);
    assert_string_equal(text_of(code, &result, &error), "\"TEXT\"");
    sl_object_unref(add);
}

static void context_managers(void **state) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_object_enter(model, NULL, &result, NULL), SL_OK);
    assert_int_equal(sl_value_type(result.value), SL_TYPE_REF);
    sl_result_finish(&result);
    enum sl_code code = sl_object_get(model, NULL, "name", &result, &error);
    assert_string_equal(text_of(code, &result, &error), "\"entered\"");
    assert_int_equal(sl_object_exit(model, NULL, NULL), SL_OK);
    code = sl_object_get(model, NULL, "name", &result, &error);
    assert_string_equal(text_of(code, &result, &error), "\"left\"");
}

static void failures_name_the_object(void **state) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t length;
    (void)state;
    enum sl_code code = sl_object_call(model, NULL, "fail", none, none, &result, &error);
    expect_failure(code, SL_E_PYTHON, &error, "call_functions.Model.fail: LookupError: no such row");
    assert_non_null(strstr(error.traceback, "raise LookupError"));
    expect_failure(sl_object_get(model, NULL, "nothing", &result, &error), SL_E_PYTHON, &error,
                   "call_functions.Model.nothing: AttributeError");
    expect_failure(sl_object_get(model, NULL, "", &result, &error), SL_E_INVALID_ARGUMENT, &error, "the name is empty");
    expect_failure(sl_object_set(model, NULL, "x", none, &error), SL_E_INVALID_ARGUMENT, &error, "write nil for None");
    expect_failure(sl_object_item(model, NULL, none, &result, &error), SL_E_INVALID_ARGUMENT, &error, "no key");
    struct sl_object *set = make_object(NULL, "builtins:object", NULL);
    expect_failure(sl_object_length(set, NULL, &length, &error), SL_E_PYTHON, &error, "has no len()");
    expect_failure(sl_object_enter(set, NULL, &result, &error), SL_E_PYTHON, &error, "is no context manager");
    struct sl_iteration *iteration = NULL;
    expect_failure(sl_object_iterate(set, NULL, &iteration, &error), SL_E_PYTHON, &error, "not iterable");
    assert_null(iteration);
    sl_object_unref(set);
    sl_error_finish(&error);
}

/* ---- iterations ------------------------------------------------------------------------------------------------------------ */

static struct sl_iteration *iterate(struct sl_session *session, const char *target, const char *args) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_iteration *iteration = NULL;
    options.session = session;
    if (sl_call_iterate(pool, &options, target, json(args), none, &iteration, &error) != SL_OK) {
        fail_msg("%s: %s", target, error.message);
    }
    return iteration;
}

static void expect_next(struct sl_iteration *iteration, int64_t expected) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    int64_t number = -1;
    if (sl_iteration_next(iteration, &value, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(sl_value_int(value, &number), SL_OK);
    assert_int_equal(number, expected);
}

static void made(int64_t *count, bool *closed) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_value entry;
    assert_int_equal(sl_call(pool, NULL, "call_functions:made", none, none, &result, NULL), SL_OK);
    assert_int_equal(sl_value_at(result.value, 0, &entry), SL_OK);
    assert_int_equal(sl_value_int(entry, count), SL_OK);
    assert_int_equal(sl_value_at(result.value, 1, &entry), SL_OK);
    assert_int_equal(sl_value_bool(entry, closed), SL_OK);
    sl_result_finish(&result);
}

static void await_closed(void) {
    int64_t count;
    bool closed = false;
    uint64_t until = now_ms() + 30000;
    while (!closed && now_ms() < until) {
        made(&count, &closed);
    }
    assert_true(closed);
}

static void all_items_come_in_order(void **state) {
    static const char *const targets[] = {"call_functions:plain", "call_functions:count_async", "builtins:range"};
    (void)state;
    for (size_t t = 0; t < 3; t++) {
        struct sl_iteration *iteration = iterate(NULL, targets[t], "[2000]");
        struct sl_value value;
        struct sl_error error = SL_ERROR_INIT;
        for (int64_t i = 0; i < 2000; i++) {
            expect_next(iteration, i);
        }
        for (int i = 0; i < 3; i++) {
            expect_failure(sl_iteration_next(iteration, &value, &error), SL_E_END, &error, "no more items");
        }
        sl_iteration_close(iteration);
        sl_error_finish(&error);
    }
    struct sl_iteration *empty = iterate(NULL, "builtins:range", "[0]");
    struct sl_value value;
    assert_int_equal(sl_iteration_next(empty, &value, NULL), SL_E_END);
    sl_iteration_close(empty);
    sl_iteration_close(NULL);
}

static void the_generator_waits_for_a_slow_consumer(void **state) {
    struct sl_iteration *iteration = iterate(NULL, "call_functions:count_to", "[100000]");
    int64_t count;
    bool closed;
    (void)state;
    made(&count, &closed);
    assert_int_equal(count, 0); /* nothing before the first item is wanted */
    for (int64_t i = 0; i < 1000; i++) {
        expect_next(iteration, i);
        if (i % 50 == 0) {
            made(&count, &closed); /* the lane is free meanwhile, and nothing has moved */
            assert_true(count > i && count <= 2 * i + 1 && count <= i + 256 && !closed);
        }
    }
    sl_iteration_close(iteration);
    await_closed();
    made(&count, &closed);
    assert_true(count < 1300);
}

static void chunks_stay_below_chunk_max(void **state) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_iteration *iteration = NULL;
    int64_t count;
    bool closed;
    (void)state;
    options.chunk_max = 3;
    assert_int_equal(sl_call_iterate(pool, &options, "call_functions:count_to", json("[100]"), none, &iteration, NULL),
                     SL_OK);
    for (int64_t i = 0; i < 50; i++) {
        expect_next(iteration, i);
        made(&count, &closed);
        assert_true(count <= i + 3);
    }
    sl_iteration_close(iteration);
    await_closed();
}

static void an_abandoned_generator_is_closed(void **state) {
    struct sl_session *session = NULL;
    (void)state;
    /* By its consumer ... */
    struct sl_iteration *iteration = iterate(NULL, "call_functions:count_to", "[10]");
    expect_next(iteration, 0);
    sl_iteration_close(iteration);
    await_closed();
    /* ... and by the end of its session. */
    assert_int_equal(sl_session_open(pool, NULL, &session, NULL), SL_OK);
    iteration = iterate(session, "call_functions:count_to", "[10]");
    expect_next(iteration, 0);
    sl_session_close(session);
    await_closed();
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    expect_failure(sl_iteration_next(iteration, &value, &error), SL_E_SESSION_LOST, &error, "closed");
    expect_failure(sl_iteration_next(iteration, &value, &error), SL_E_SESSION_LOST, &error, "closed");
    sl_iteration_close(iteration);
    sl_error_finish(&error);
    /* An asynchronous one. */
    expect_call(NULL, "call_functions:clear", NULL, "null");
    iteration = iterate(NULL, "call_functions:count_async", "[10]");
    expect_next(iteration, 0);
    sl_iteration_close(iteration);
    await_closed();
}

static void an_exception_comes_last(void **state) {
    struct sl_iteration *iteration = iterate(NULL, "call_functions:break_at", "[50]");
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    for (int64_t i = 0; i < 50; i++) {
        expect_next(iteration, i);
    }
    for (int i = 0; i < 2; i++) {
        expect_failure(sl_iteration_next(iteration, &value, &error), SL_E_PYTHON, &error,
                       "call_functions:break_at: LookupError: that was all");
        assert_non_null(error.traceback);
    }
    sl_iteration_close(iteration);
    sl_error_finish(&error);
}

static void the_death_of_the_worker_is_typed(void **state) {
    struct sl_iteration *iteration = iterate(NULL, "call_functions:die_at", "[5]");
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    (void)state;
    while ((code = sl_iteration_next(iteration, &value, &error)) == SL_OK) {
    }
    assert_int_equal(code, SL_E_WORKER_CRASHED);
    assert_int_equal(error.term_signal, SIGKILL);
    sl_iteration_close(iteration);
    /* Between two chunks. */
    iteration = iterate(NULL, "call_functions:plain", "[1000]");
    expect_next(iteration, 0);
    int64_t died = sl_pool_worker_pid(pool, 0);
    struct sl_result result = SL_RESULT_INIT;
    assert_int_equal(sl_call(pool, NULL, "call_functions:die", none, none, &result, NULL), SL_E_WORKER_CRASHED);
    while ((code = sl_iteration_next(iteration, &value, &error)) == SL_OK) {
    }
    expect_failure(code, SL_E_SESSION_LOST, &error, "died of SIGKILL");
    assert_true(sl_pool_worker_pid(pool, 0) != died);
    sl_iteration_close(iteration);
    sl_error_finish(&error);
}

static void objects_among_the_items(void **state) {
    struct sl_object *source = make_object(NULL, "call_functions:Model", NULL), *first = NULL;
    struct sl_iteration *iteration = NULL;
    struct sl_value value;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_object_iterate(source, NULL, &iteration, &error), SL_OK);
    sl_object_unref(source); /* the iteration holds what it needs */
    assert_int_equal(sl_iteration_next(iteration, &value, NULL), SL_OK);
    assert_int_equal(sl_iteration_take(iteration, value, &first, NULL), SL_OK);
    /* A call of what came, while the iteration goes on: on the same lane. */
    enum sl_code code = sl_object_get(first, NULL, "scale", &result, &error);
    assert_string_equal(text_of(code, &result, &error), "1");
    assert_int_equal(sl_iteration_next(iteration, &value, NULL), SL_OK);
    assert_int_equal(sl_iteration_next(iteration, &value, NULL), SL_E_END);
    sl_iteration_close(iteration);
    code = sl_object_get(first, NULL, "scale", &result, &error);
    assert_string_equal(text_of(code, &result, &error), "1");
    sl_object_unref(first);
}

static void memory_stays_flat(void **state) {
    struct sl_iteration *iteration = iterate(NULL, "call_functions:plain", "[1000000]");
    uint64_t before = 0;
    (void)state;
    for (int64_t i = 0; i < ITEMS; i++) {
        expect_next(iteration, i);
        if (i == ITEMS / 10) {
            before = resident_kib();
        }
    }
    uint64_t after = resident_kib();
    printf("%llu KiB after a tenth of the items, %llu KiB at the end\n", (unsigned long long)before,
           (unsigned long long)after);
    assert_true(!MEMORY_COUNTS || after < before + 8192);
    sl_iteration_close(iteration);
    /* Large items: a chunk is bounded by its size, not only by its number. */
    iteration = iterate(NULL, "call_functions:arrays", "[200, 1000000]");
    struct sl_value value;
    uint32_t count = 0;
    while (sl_iteration_next(iteration, &value, NULL) == SL_OK) {
        count++;
        assert_true(value.size > 1000000);
    }
    assert_int_equal(count, 200);
    assert_true(!MEMORY_COUNTS || resident_kib() < before + 65536);
    sl_iteration_close(iteration);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_model, drop_model)
    const struct CMUnitTest tests[] = {
        TEST(methods_attributes_and_entries),
        TEST(an_object_that_is_called_itself),
        TEST(context_managers),
        TEST(failures_name_the_object),
        TEST(all_items_come_in_order),
        TEST(the_generator_waits_for_a_slow_consumer),
        TEST(chunks_stay_below_chunk_max),
        TEST(an_abandoned_generator_is_closed),
        TEST(an_exception_comes_last),
        TEST(objects_among_the_items),
        TEST(memory_stays_flat),
        TEST(the_death_of_the_worker_is_typed),
    };
    return cmocka_run_group_tests(tests, start_one, stop);
}
