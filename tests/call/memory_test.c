/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out in a call: each allocation fails in turn. It is told as out_of_memory, an asynchronous call is answered once or refused, no object stays in
 * Python, and the next call succeeds.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "failing_memory.h"
#include "host.h"

#define ALLOCATIONS_MAX 400 /* of a scenario */
#define SETTLE_MS 20000

/* ---- what a scenario has found wrong, in whichever thread ------------------------------------------------------------ */

static char complaint[700];

static void check(bool holds, const char *what, enum sl_code code, const struct sl_error *error) {
    if (!holds && complaint[0] == '\0') {
        snprintf(complaint, sizeof complaint, "%s: %s: %s", what, sl_code_name(code), error->message);
    }
}

static bool told; /* that there was no memory, in this scenario */

/* Whether it succeeded; else there was no memory, and that is what it says. Where a reply could not be kept its worker went, which later calls say. */
static bool went(const char *what, enum sl_code code, struct sl_error *error) {
    check(code == SL_OK || (code == SL_E_OUT_OF_MEMORY && error->message[0] != '\0') ||
              (code == SL_E_SESSION_LOST && told),
          what, code, error);
    told = told || code == SL_E_OUT_OF_MEMORY;
    sl_error_finish(error);
    *error = (struct sl_error)SL_ERROR_INIT;
    return code == SL_OK;
}

/* ---- values, made while there is memory ------------------------------------------------------------------------------- */

static struct { struct sl_value name, many, zero, two, x, word; } given;

static void make_values(void) {
    given.name = json("[1, \"memory\"]");
    given.many = json("[3, \"memory\"]");
    given.zero = json("0");
    given.two = json("[2]");
    given.x = json("{\"x\": 4}");
    given.word = json("\"memory\"");
}

/* ---- the sweep ---------------------------------------------------------------------------------------------------------- */

/* Nothing is left in the host, and no object in Python. */
static void settle(void) {
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    uint64_t until = now_ms() + SETTLE_MS;
    await_number(NULL, "call_functions:alive", "[\"memory\"]", 0);
    do {
        sl_pool_stats(pool, &stats);
    } while (stats.session_count > 0 && now_ms() < until);
    assert_int_equal(stats.session_count, 0);
    (void)forget_values(NULL);
}

static void sweep(const char *name, enum memory_whose whose, void (*scenario)(void)) {
    uint32_t count = 0;
    for (bool failed = true; failed; count++) {
        assert_true(count < ALLOCATIONS_MAX);
        make_values();
        told = false;
        memory_fail(whose, count, false);
        scenario();
        failed = memory_restore();
        if (complaint[0] != '\0') {
            fail_msg("%s, allocation %u: %s", name, count, complaint);
        }
        settle();
    }
    printf("%s: %u allocations\n", name, count - 1);
    assert_true(count > 1);
}

/* ---- scenarios ---------------------------------------------------------------------------------------------------------- */

static struct sl_object *take(struct sl_result *result) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_object *object = NULL;
    struct sl_value value = result->value;
    if (sl_value_type(value) == SL_TYPE_LIST) {
        struct sl_value first = value;
        value = sl_value_at(first, 0, &value) == SL_OK ? value : first;
    }
    enum sl_code code = sl_object_take(result, value, &object, &error);
    check((code == SL_OK) == (object != NULL), "no object", code, &error);
    (void)went("take", code, &error);
    return object;
}

static void call_and_leave(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    if (went("call", sl_call(pool, NULL, "call_functions:models", given.many, none, &result, &error), &error)) {
        sl_object_unref(take(&result)); /* one of three */
    }
    check(result.owner != NULL || result.value.size == 0, "half a result", SL_OK, &error);
    sl_result_finish(&result);
}

static struct sl_object *make_model(struct sl_session *session) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_object *object = NULL;
    options.session = session;
    if (went("make", sl_call(pool, &options, "call_functions:Model", given.name, none, &result, &error), &error)) {
        object = take(&result);
    }
    sl_result_finish(&result);
    return object;
}

static void use_an_object(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_object *object = make_model(NULL);
    uint64_t length = 0;
    if (object == NULL) {
        return;
    }
    if (went("method", sl_object_call(object, NULL, "predict", none, given.x, &result, &error), &error)) {
        int64_t number = 0;
        check(sl_value_int(result.value, &number) == SL_OK && number == 4, "another number", SL_OK, &error);
    }
    sl_result_finish(&result);
    (void)went("get", sl_object_get(object, NULL, "rows", &result, &error), &error);
    sl_result_finish(&result);
    (void)went("set", sl_object_set(object, NULL, "name", given.word, &error), &error);
    (void)went("item", sl_object_item(object, NULL, given.zero, &result, &error), &error);
    sl_result_finish(&result);
    (void)went("set item", sl_object_set_item(object, NULL, given.zero, given.zero, &error), &error);
    if (went("length", sl_object_length(object, NULL, &length, &error), &error)) {
        check(length == 5, "another length", SL_OK, &error);
    }
    (void)went("repr", sl_object_repr(object, NULL, &result, &error), &error);
    sl_result_finish(&result);
    sl_object_unref(object);
}

static void enter_and_exit(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_object *object = make_model(NULL);
    if (object == NULL) {
        return;
    }
    if (went("enter", sl_object_enter(object, NULL, &result, &error), &error)) {
        sl_object_unref(take(&result));
    }
    sl_result_finish(&result);
    (void)went("exit", sl_object_exit(object, NULL, &error), &error);
    (void)went("set", sl_object_set(object, NULL, "name", given.word, &error), &error);
    sl_object_unref(object);
}

static void iterate(bool to_the_end) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_iteration *iteration = NULL;
    struct sl_object *object = make_model(NULL);
    struct sl_value value;
    enum sl_code code = SL_E_END;
    uint32_t count = 0;
    if (object != NULL && went("iterate", sl_object_iterate(object, NULL, &iteration, &error), &error)) {
        while ((to_the_end || count == 0) && (code = sl_iteration_next(iteration, &value, &error)) == SL_OK) {
            struct sl_object *item = NULL;
            enum sl_code taken = sl_iteration_take(iteration, value, &item, &error);
            (void)went("take an item", taken, &error);
            sl_object_unref(item);
            count++;
        }
        if (code == SL_E_END) {
            check(count == 2, "items are missing", code, &error);
        } else if (went("next", code, &error)) {
            check(count == 1, "more than one", code, &error);
        }
    }
    check((object == NULL || iteration == NULL) || count <= 2, "too many", code, &error);
    sl_iteration_close(iteration);
    sl_object_unref(object);
    sl_error_finish(&error);
}

static void iterate_to_the_end(void) {
    iterate(true);
}

static void iterate_and_leave(void) {
    iterate(false);
}

static void stream(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_iteration *iteration = NULL;
    struct sl_value value;
    enum sl_code code = sl_call_iterate(pool, NULL, "call_functions:plain", given.two, none, &iteration, &error);
    check((code == SL_OK) == (iteration != NULL), "no iteration", code, &error);
    if (went("stream", code, &error)) {
        while ((code = sl_iteration_next(iteration, &value, &error)) == SL_OK) {
        }
        if (code != SL_E_END) {
            (void)went("next", code, &error);
            check(sl_iteration_next(iteration, &value, &error) == code, "it changes its mind", code, &error);
        }
    }
    sl_iteration_close(iteration);
    sl_error_finish(&error);
}

static _Atomic uint32_t answers;

static void answered(void *context, enum sl_code code, struct sl_result *result, const struct sl_error *error) {
    (void)context, (void)result;
    /* The reply that could not be kept may have been the other's. */
    bool clear = (code == SL_E_OUT_OF_MEMORY || code == SL_E_SESSION_LOST) && error->message[0] != '\0';
    check(code == SL_OK || code == SL_E_CLOSED || clear, "answer", code, error);
    atomic_fetch_add(&answers, 1);
}

static void call_without_waiting(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_object *object = make_model(NULL);
    uint32_t submitted = 0;
    atomic_store(&answers, 0);
    submitted += went(
        "async", sl_call_async(pool, NULL, "call_functions:models", given.many, none, answered, NULL, &error), &error);
    if (object != NULL) {
        submitted += went("async method",
                          sl_object_call_async(object, NULL, "itself", none, none, answered, NULL, &error), &error);
    }
    sl_object_unref(object);
    for (uint64_t until = now_ms() + SETTLE_MS; atomic_load(&answers) < submitted && now_ms() < until;) {
        usleep(100);
    }
    check(atomic_load(&answers) == submitted, "not each was answered once", SL_OK, &error);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------- */

static void of_the_caller(void **state) {
    (void)state;
    sweep("call", MEMORY_MINE, call_and_leave);
    sweep("object", MEMORY_MINE, use_an_object);
    sweep("context", MEMORY_MINE, enter_and_exit);
    sweep("iteration", MEMORY_MINE, iterate_to_the_end);
    sweep("iteration that is left", MEMORY_MINE, iterate_and_leave);
    sweep("stream", MEMORY_MINE, stream);
    sweep("async", MEMORY_MINE, call_without_waiting);
}

static void of_the_other_threads(void **state) {
    (void)state;
    sweep("async, others", MEMORY_OTHERS, call_without_waiting);
}

/* The crew of a pool is made with its first call. */
static void of_the_first_asynchronous_call(void **state) {
    (void)state;
    for (uint32_t count = 0, refused = 1; refused > 0; count++) {
        struct sl_error error = SL_ERROR_INIT;
        struct sl_pool *fresh = make_pool(1);
        assert_true(count < ALLOCATIONS_MAX);
        make_values();
        atomic_store(&answers, 0);
        memory_fail(MEMORY_MINE, count, false);
        enum sl_code code = sl_call_async(fresh, NULL, "builtins:int", given.two, none, answered, NULL, &error);
        refused = memory_restore();
        (void)went("first async", code, &error);
        sl_pool_destroy(fresh);
        assert_int_equal(atomic_load(&answers), code == SL_OK);
        assert_string_equal(complaint, "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(of_the_caller, forget_values),
        cmocka_unit_test_teardown(of_the_other_threads, forget_values),
        cmocka_unit_test_teardown(of_the_first_asynchronous_call, forget_values),
    };
    return cmocka_run_group_tests(tests, start_one, stop);
}
