/* SPDX-License-Identifier: MIT */
/* Asynchronous calls: each ends once, whatever happens to the pool meanwhile. */
#include "host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORM_THREADS 4
#define STORM_CALLS 400

/* What the calls of one test have come to. */
struct tally {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t submitted, ended, ok, closed, other;
    int64_t sum;
    char other_text[256];
    struct sl_pool *destroy; /* by the first that ends */
    bool destroyed;
};

#define TALLY_INIT \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

/* One call: it must end once. */
struct one {
    struct tally *tally;
    _Atomic uint32_t ended;
};

static void done(void *context, enum sl_code code, struct sl_result *result, const struct sl_error *error) {
    struct one *one = context;
    struct tally *tally = one->tally;
    int64_t number = 0;
    assert_int_equal(atomic_fetch_add(&one->ended, 1), 0);
    assert_int_equal(error->code, code);
    pthread_mutex_lock(&tally->lock);
    if (code == SL_OK && sl_value_int(result->value, &number) == SL_OK) {
        tally->ok++;
        tally->sum += number;
    } else if (code == SL_E_CLOSED || code == SL_E_CANCELLED || code == SL_E_SESSION_LOST) {
        tally->closed++;
    } else {
        tally->other++;
        snprintf(tally->other_text, sizeof tally->other_text, "%s: %.200s", sl_code_name(code), error->message);
    }
    tally->ended++;
    struct sl_pool *doomed = tally->destroy;
    tally->destroy = NULL;
    pthread_cond_broadcast(&tally->changed);
    pthread_mutex_unlock(&tally->lock);
    if (doomed != NULL) {
        sl_pool_destroy(doomed);
        pthread_mutex_lock(&tally->lock);
        tally->destroyed = true;
        pthread_cond_broadcast(&tally->changed);
        pthread_mutex_unlock(&tally->lock);
    }
}

static void await(struct tally *tally, uint32_t count) {
    pthread_mutex_lock(&tally->lock);
    while (tally->ended < count) {
        pthread_cond_wait(&tally->changed, &tally->lock);
    }
    pthread_mutex_unlock(&tally->lock);
}

static void calls_end_once_with_their_results(void **state) {
    enum { COUNT = 200 };
    static struct one ones[COUNT];
    static struct tally tally = TALLY_INIT; /* a thread may still be leaving its lock when the test is over */
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        char args[32];
        snprintf(args, sizeof args, "[%d, 1]", i);
        ones[i] = (struct one){.tally = &tally};
        struct sl_value value = json(args);
        if (sl_call_async(pool, NULL, "call_functions:add", value, none, done, &ones[i], &error) != SL_OK) {
            fail_msg("%s", error.message);
        }
        forget_values(NULL); /* the arguments were copied */
    }
    await(&tally, COUNT);
    assert_int_equal(tally.ok, COUNT);
    assert_int_equal(tally.sum, COUNT * (COUNT - 1) / 2 + COUNT);
}

static void failures_and_refusals(void **state) {
    static struct tally tally = TALLY_INIT; /* a thread may still be leaving its lock when the test is over */
    struct one one = {.tally = &tally};
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    assert_int_equal(sl_call_async(pool, NULL, "call_functions:fail", none, none, done, &one, &error), SL_OK);
    await(&tally, 1);
    assert_int_equal(tally.other, 1);
    assert_non_null(strstr(tally.other_text, "python_exception: call_functions:fail: ValueError"));
    expect_failure(sl_call_async(pool, NULL, "math", none, none, done, &one, &error), SL_E_INVALID_ARGUMENT, &error,
                   "module:path");
    expect_failure(sl_call_async(pool, NULL, "math:sqrt", none, none, NULL, &one, &error), SL_E_INVALID_ARGUMENT,
                   &error, "`done` is NULL");
    assert_int_equal(tally.ended, 1);
}

struct keeper {
    struct tally *tally;
    struct sl_result result;
};

static void keep(void *context, enum sl_code code, struct sl_result *result, const struct sl_error *error) {
    struct keeper *keeper = context;
    (void)error;
    assert_int_equal(code, SL_OK);
    keeper->result = *result;
    *result = (struct sl_result)SL_RESULT_INIT;
    pthread_mutex_lock(&keeper->tally->lock);
    keeper->tally->ended++;
    pthread_cond_broadcast(&keeper->tally->changed);
    pthread_mutex_unlock(&keeper->tally->lock);
}

static void a_result_may_be_kept_and_an_object_called(void **state) {
    static struct tally tally = TALLY_INIT;
    struct keeper keeper = {&tally, SL_RESULT_INIT};
    struct sl_object *object = NULL;
    struct one one = {.tally = &tally};
    (void)state;
    assert_int_equal(sl_call_async(pool, NULL, "call_functions:Model", json("[5]"), none, keep, &keeper, NULL), SL_OK);
    await(&tally, 1);
    assert_int_equal(sl_object_take(&keeper.result, keeper.result.value, &object, NULL), SL_OK);
    sl_result_finish(&keeper.result);
    assert_int_equal(sl_object_call_async(object, NULL, "predict", json("[4]"), none, done, &one, NULL), SL_OK);
    sl_object_unref(object); /* the call holds it */
    await(&tally, 2);
    assert_int_equal(tally.sum, 20);
}

/* ---- a gate that calls stop at ------------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t inside;
    bool open;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static enum sl_code pass(void *context, const struct sl_view_call *call, struct sl_writer *result,
                         struct sl_error *error) {
    (void)context, (void)call, (void)error;
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    sl_write_nil(result);
    return SL_OK;
}

static void gate_set(bool open) {
    pthread_mutex_lock(&gate.lock);
    gate.open = open;
    gate.inside = 0;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_await(uint32_t count) {
    pthread_mutex_lock(&gate.lock);
    while (gate.inside < count) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

static struct sl_view *register_gate(void) {
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl_view *view = NULL;
    options.name = "gate";
    options.call = pass;
    options.timeout_ms = 60000;
    assert_int_equal(sl_view_register(runtime, &options, &view, NULL), SL_OK);
    gate_set(false);
    return view;
}

static void the_queue_has_a_bound(void **state) {
    struct one *ones = calloc(SL_CALL_ASYNC_MAX + 1, sizeof *ones);
    static struct tally tally = TALLY_INIT; /* a thread may still be leaving its lock when the test is over */
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view *view = register_gate();
    (void)state;
    assert_non_null(ones);
    for (uint32_t i = 0; i <= SL_CALL_ASYNC_MAX; i++) {
        ones[i].tally = &tally;
    }
    struct sl_value one = json("[1]");
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(sl_call_async(pool, NULL, "call_functions:gate", one, none, done, &ones[i], NULL), SL_OK);
    }
    gate_await(2); /* both lanes at once: there is a thread for each */
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    assert_int_equal(sl_control_create(&options.control, &error), SL_OK);
    for (uint32_t i = 2; i < SL_CALL_ASYNC_MAX; i++) {
        assert_int_equal(
            sl_call_async(pool, i == 9000 ? &options : NULL, "builtins:int", one, none, done, &ones[i], NULL), SL_OK);
    }
    enum sl_code code = sl_call_async(pool, NULL, "builtins:int", one, none, done, &ones[SL_CALL_ASYNC_MAX], &error);
    expect_failure(code, SL_E_LIMIT, &error, "16384 asynchronous calls of this pool have not ended");
    assert_int_equal(ones[SL_CALL_ASYNC_MAX].ended, 0);
    /* One that is cancelled makes room, soon after it was told. */
    sl_control_cancel(options.control);
    await(&tally, 1);
    assert_int_equal(ones[9000].ended, 1);
    do {
        code = sl_call_async(pool, NULL, "builtins:int", one, none, done, &ones[SL_CALL_ASYNC_MAX], NULL);
    } while (code == SL_E_LIMIT);
    assert_int_equal(code, SL_OK);
    gate_set(true);
    await(&tally, SL_CALL_ASYNC_MAX + 1);
    assert_int_equal(tally.ok, SL_CALL_ASYNC_MAX);
    assert_int_equal(tally.closed, 1);
    sl_control_destroy(options.control);
    sl_view_unregister(view);
    free(ones);
}

/* ---- cancelled while they wait ---------------------------------------------------------------------------------------------- */

#define WAITING 60

struct cancelling {
    struct sl_control *controls[WAITING];
    struct one ones[WAITING];
    struct sl_view *view;
    struct one running;
};

/* One call is in the gate of the pool's lane, the others wait behind it. */
static void begin_waiting(struct cancelling *cancelling, struct sl_pool *one_lane, struct tally *tally) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_value one = json("[1]");
    *cancelling = (struct cancelling){.view = register_gate(), .running = {.tally = tally}};
    assert_int_equal(sl_call_async(one_lane, NULL, "call_functions:gate", one, none, done, &cancelling->running, NULL),
                     SL_OK);
    gate_await(1);
    for (int i = 0; i < WAITING; i++) {
        cancelling->ones[i].tally = tally;
        assert_int_equal(sl_control_create(&cancelling->controls[i], NULL), SL_OK);
        options.control = cancelling->controls[i];
        assert_int_equal(sl_call_async(one_lane, &options, "builtins:int", one, none, done, &cancelling->ones[i], NULL),
                         SL_OK);
    }
}

static void end_waiting(struct cancelling *cancelling) {
    for (int i = 0; i < WAITING; i++) {
        assert_int_equal(cancelling->ones[i].ended, 1);
        sl_control_destroy(cancelling->controls[i]);
    }
    sl_view_unregister(cancelling->view);
}

static void what_waits_is_cancelled_at_once(void **state) {
    static struct tally tally = TALLY_INIT; /* a thread may still be leaving its lock when the test is over */
    struct cancelling cancelling;
    struct sl_pool *own = make_pool(1);
    (void)state;
    begin_waiting(&cancelling, own, &tally);
    for (int i = 0; i < WAITING; i += 3) {
        sl_control_cancel(cancelling.controls[i]);
    }
    await(&tally, WAITING / 3); /* although the lane is taken */
    for (int i = 0; i < WAITING; i++) {
        assert_int_equal(cancelling.ones[i].ended, i % 3 == 0);
    }
    assert_int_equal(tally.closed, WAITING / 3);
    assert_int_equal(cancelling.running.ended, 0);
    gate_set(true);
    await(&tally, WAITING + 1);
    assert_int_equal(tally.ok, 1 + WAITING - WAITING / 3);
    sl_pool_destroy(own);
    end_waiting(&cancelling);
}

static void one_that_is_cancelled_already_ends_at_once(void **state) {
    static struct tally tally = TALLY_INIT;
    struct one late = {.tally = &tally};
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct cancelling cancelling;
    struct sl_pool *own = make_pool(1);
    (void)state;
    begin_waiting(&cancelling, own, &tally);
    assert_int_equal(sl_control_create(&options.control, NULL), SL_OK);
    sl_control_cancel(options.control);
    assert_int_equal(sl_call_async(own, &options, "builtins:int", none, none, done, &late, NULL), SL_OK);
    await(&tally, 1);
    assert_int_equal(late.ended, 1);
    sl_pool_destroy(own); /* the others are told */
    assert_int_equal(tally.ended, WAITING + 2);
    sl_control_destroy(options.control);
    gate_set(true);
    end_waiting(&cancelling);
}

static void the_callback_of_one_that_is_cancelled_may_destroy_the_pool(void **state) {
    static struct tally tally = TALLY_INIT;
    struct cancelling cancelling;
    struct sl_pool *own = make_pool(1);
    (void)state;
    begin_waiting(&cancelling, own, &tally);
    pthread_mutex_lock(&tally.lock);
    tally.destroy = own;
    pthread_mutex_unlock(&tally.lock);
    sl_control_cancel(cancelling.controls[7]);
    pthread_mutex_lock(&tally.lock);
    while (!tally.destroyed) {
        pthread_cond_wait(&tally.changed, &tally.lock);
    }
    pthread_mutex_unlock(&tally.lock);
    await(&tally, WAITING + 1);
    assert_int_equal(tally.closed, WAITING + 1);
    gate_set(true);
    end_waiting(&cancelling);
}

struct canceller {
    struct sl_control **controls;
    pthread_barrier_t barrier;
};

static void *cancel_all(void *argument) {
    struct canceller *canceller = argument;
    pthread_barrier_wait(&canceller->barrier);
    for (int i = 0; i < WAITING; i++) {
        sl_control_cancel(canceller->controls[i]);
    }
    return NULL;
}

/* While they are cancelled they also begin. */
static void each_ends_once_when_both_come_at_once(void **state) {
    static struct tally tallies[4] = {TALLY_INIT, TALLY_INIT, TALLY_INIT, TALLY_INIT};
    (void)state;
    struct sl_pool *own = make_pool(1);
    for (int round = 0; round < 4; round++) {
        struct cancelling cancelling;
        struct canceller canceller = {.controls = cancelling.controls};
        pthread_t thread;
        pthread_barrier_init(&canceller.barrier, NULL, 2);
        begin_waiting(&cancelling, own, &tallies[round]);
        assert_int_equal(pthread_create(&thread, NULL, cancel_all, &canceller), 0);
        pthread_barrier_wait(&canceller.barrier);
        gate_set(true);
        await(&tallies[round], WAITING + 1);
        pthread_join(thread, NULL);
        assert_int_equal(tallies[round].other, 0);
        end_waiting(&cancelling);
        pthread_barrier_destroy(&canceller.barrier);
    }
    sl_pool_destroy(own);
}

/* ---- the end of the pool --------------------------------------------------------------------------------------------------- */

static void what_waits_when_the_pool_goes_is_told(void **state) {
    enum { COUNT = 50 };
    struct one ones[COUNT];
    static struct tally tally = TALLY_INIT; /* a thread may still be leaving its lock when the test is over */
    struct sl_view *view = register_gate();
    struct sl_pool *own = make_pool(1);
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        ones[i] = (struct one){.tally = &tally};
        assert_int_equal(sl_call_async(own, NULL, "call_functions:gate", json("[1]"), none, done, &ones[i], NULL),
                         SL_OK);
    }
    gate_await(1);
    sl_pool_destroy(own);
    assert_int_equal(tally.ended, COUNT); /* when it returns all have been told */
    assert_int_equal(tally.other, 0);
    assert_int_equal(tally.closed, COUNT);
    gate_set(true);
    sl_view_unregister(view);
}

static void a_callback_may_destroy_the_pool(void **state) {
    enum { COUNT = 100 };
    struct one ones[COUNT];
    static struct tally tally = TALLY_INIT; /* a thread may still be leaving its lock when the test is over */
    (void)state;
    tally.destroy = make_pool(2);
    struct sl_pool *own = tally.destroy;
    struct sl_view *view = register_gate();
    for (int i = 0; i < COUNT; i++) {
        ones[i] = (struct one){.tally = &tally};
        assert_int_equal(sl_call_async(own, NULL, "call_functions:gate", json("[1]"), none, done, &ones[i], NULL),
                         SL_OK);
    }
    gate_await(1);
    gate_set(true);
    await(&tally, COUNT);
    pthread_mutex_lock(&tally.lock);
    while (!tally.destroyed) {
        pthread_cond_wait(&tally.changed, &tally.lock);
    }
    pthread_mutex_unlock(&tally.lock);
    assert_int_equal(tally.ok + tally.closed, COUNT);
    sl_view_unregister(view);
}

/* ---- storms ------------------------------------------------------------------------------------------------------------------ */

struct caller {
    struct sl_pool *pool;
    struct tally *tally;
    struct one ones[STORM_CALLS];
    unsigned seed;
    uint32_t submitted;
    pthread_t thread;
};

static void *call_much(void *argument) {
    struct caller *caller = argument;
    static const uint8_t args[] = {0x92, 0x01, 0x02};
    for (uint32_t i = 0; i < STORM_CALLS; i++) {
        caller->ones[i].tally = caller->tally;
        struct sl_call_options options = SL_CALL_OPTIONS_INIT;
        const char *target = rand_r(&caller->seed) % 8 == 0 ? "call_functions:Model" : "call_functions:slow_add";
        if (sl_call_async(caller->pool, &options, target, (struct sl_value){args, sizeof args}, none, done,
                          &caller->ones[i], NULL) != SL_OK) {
            break;
        }
        caller->submitted++;
    }
    return NULL;
}

static void storm(struct sl_pool *stormed, bool destroy, unsigned seed) {
    static struct tally tallies[8] = {TALLY_INIT, TALLY_INIT, TALLY_INIT, TALLY_INIT,
                                      TALLY_INIT, TALLY_INIT, TALLY_INIT, TALLY_INIT};
    static unsigned round;
    struct tally *tally = &tallies[round++];
    struct caller *callers = calloc(STORM_THREADS, sizeof *callers);
    uint32_t submitted = 0;
    assert_non_null(callers);
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        callers[i].pool = stormed;
        callers[i].tally = tally;
        callers[i].seed = seed + i;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_much, &callers[i]), 0);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        submitted += callers[i].submitted;
    }
    assert_int_equal(submitted, STORM_THREADS * STORM_CALLS);
    if (destroy) {
        await(tally, 1 + (uint32_t)rand_r(&seed) % 100);
        sl_pool_destroy(stormed);
        assert_int_equal(tally->ended, submitted);
    } else {
        await(tally, submitted);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        for (uint32_t k = 0; k < callers[i].submitted; k++) {
            assert_int_equal(callers[i].ones[k].ended, 1);
        }
    }
    /* Models have no number: they count as others, and their refs go back. */
    assert_int_equal(tally->ok + tally->closed + tally->other, submitted);
    assert_true(tally->other == 0 || strstr(tally->other_text, "ok: ") == tally->other_text);
    if (!destroy) {
        assert_int_equal(tally->closed, 0);
    }
    free(callers);
}

static void storms_from_many_threads(void **state) {
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)now_ms();
    (void)state;
    printf("SLITHER_TEST_SEED=%u\n", seed);
    storm(pool, false, seed);
    for (unsigned i = 0; i < 4; i++) {
        storm(make_pool(2), true, seed + 100 * i);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, forget_values)
    const struct CMUnitTest tests[] = {
        TEST(calls_end_once_with_their_results),
        TEST(failures_and_refusals),
        TEST(a_result_may_be_kept_and_an_object_called),
        TEST(the_queue_has_a_bound),
        TEST(what_waits_is_cancelled_at_once),
        TEST(one_that_is_cancelled_already_ends_at_once),
        TEST(the_callback_of_one_that_is_cancelled_may_destroy_the_pool),
        TEST(each_ends_once_when_both_come_at_once),
        TEST(what_waits_when_the_pool_goes_is_told),
        TEST(a_callback_may_destroy_the_pool),
        TEST(storms_from_many_threads),
    };
    return cmocka_run_group_tests(tests, start_two, stop);
}
