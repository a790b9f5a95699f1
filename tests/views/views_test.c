/* SPDX-License-Identifier: MIT */
/* Views that real workers call: views that dispatch, workers that die meanwhile, both ways of starting workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <slither/slither.h>

#include "descriptors.h"

static struct sl_runtime *runtime;
static struct sl_pool *first, *second; /* of one worker each */
static struct sl_pool *pair;           /* of two */

/* ---- a gate that views stop at ---------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t inside;
    bool open;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_set(bool open) {
    pthread_mutex_lock(&gate.lock);
    gate.open = open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_await_inside(void) {
    pthread_mutex_lock(&gate.lock);
    while (gate.inside == 0) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

static uint32_t batch_timeout_ms = 30000;

/* One batch of one item; the result as text, or the error's message. */
static enum sl_code run(struct sl_pool *pool, const char *function, struct sl_value item, char *text, size_t size) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    options.function = function;
    options.timeout_ms = batch_timeout_ms;
    const struct sl_item items[] = {{.value = item}};
    enum sl_code code = sl_call_batch(pool, &options, items, 1, &results, &error);
    text[0] = '\0';
    if (code != SL_OK) {
        snprintf(text, size, "%s", error.message);
    } else {
        const char *shown;
        size_t shown_size;
        int64_t number;
        if (sl_value_str(results.values[0], &shown, &shown_size) == SL_OK) {
            snprintf(text, size, "%.*s", (int)shown_size, shown);
        } else if (sl_value_int(results.values[0], &number) == SL_OK) {
            snprintf(text, size, "%lld", (long long)number);
        } else {
            snprintf(text, size, "a %s", sl_type_name(sl_value_type(results.values[0])));
        }
    }
    sl_results_finish(&results);
    sl_error_finish(&error);
    return code;
}

/* view_functions:FUNCTION calls the view NAME with one number. */
static enum sl_code run_call(struct sl_pool *pool, const char *function, const char *name, int64_t number, char *text,
                             size_t size) {
    struct sl_writer writer;
    struct sl_value item;
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, 2);
    sl_write_str(&writer, name);
    sl_write_list(&writer, 1);
    sl_write_int(&writer, number);
    assert_int_equal(sl_writer_end(&writer, &item, NULL), SL_OK);
    enum sl_code code = run(pool, function, item, text, size);
    sl_writer_finish(&writer);
    return code;
}

static enum sl_code run_number(struct sl_pool *pool, const char *function, int64_t number, char *text, size_t size) {
    struct sl_writer writer;
    struct sl_value item;
    sl_writer_init(&writer, NULL);
    sl_write_int(&writer, number);
    assert_int_equal(sl_writer_end(&writer, &item, NULL), SL_OK);
    enum sl_code code = run(pool, function, item, text, size);
    sl_writer_finish(&writer);
    return code;
}

static void expect_call(struct sl_pool *pool, const char *function, const char *name, int64_t number,
                        const char *part) {
    char text[2048];
    enum sl_code code = run_call(pool, function, name, number, text, sizeof text);
    if (code != SL_OK || strstr(text, part) == NULL) {
        fail_msg("%s(%s): %s: \"%s\" is not in \"%s\"", function, name, sl_code_name(code), part, text);
    }
}

/* ---- views ------------------------------------------------------------------------------------------------------------ */

static enum sl_code echo(void *context, const struct sl_view_call *call, struct sl_writer *result,
                         struct sl_error *error) {
    struct sl_value value;
    (void)context;
    if (sl_value_at(call->positional, 0, &value) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "echo needs an argument");
    }
    sl_write_value(result, value);
    return SL_OK;
}

static enum sl_code gated(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    (void)context, (void)call, (void)error;
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    gate.inside--;
    pthread_mutex_unlock(&gate.lock);
    sl_write_nil(result);
    return SL_OK;
}

struct target {
    struct sl_pool **pool;
    const char *function;
};

/* Dispatches its argument, and gives what came of it. */
static enum sl_code dispatching(void *context, const struct sl_view_call *call, struct sl_writer *result,
                                struct sl_error *error) {
    struct target *target = context;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_item item = {0};
    options.function = target->function;
    enum sl_code code = sl_value_at(call->positional, 0, &item.value);
    if (code == SL_OK) {
        code = sl_call_batch(*target->pool, &options, &item, 1, &results, error);
    }
    if (code == SL_OK) {
        sl_write_value(result, results.values[0]);
    }
    sl_results_finish(&results);
    return code;
}

static struct target to_first = {&first, "view_functions:double"}, to_second = {&second, "view_functions:double"},
                     to_pair = {&pair, "view_functions:double"}, to_raising = {&second, "view_functions:raises"},
                     to_deeper = {&pair, "view_functions:deeper"};

static void add(const char *name, sl_view_fn *call, void *context, uint32_t timeout_ms) {
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.name = name;
    options.call = call;
    options.context = context;
    options.timeout_ms = timeout_ms;
    if (sl_view_register(runtime, &options, NULL, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
}

static struct sl_pool *add_pool(const char *name, uint32_t workers, enum sl_template template_use) {
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool *pool = NULL;
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"view_functions", NULL};
    options.name = name;
    options.worker_count = workers;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = path;
    options.preload = preload;
    options.template_use = template_use;
    options.restart_backoff_ms = 1;
    if (sl_pool_create(runtime, &options, &pool, &error) != SL_OK) {
        fail_msg("%s\n%s", error.message, error.traceback != NULL ? error.traceback : "");
    }
    return pool;
}

static int open_all(void **state) {
    (void)state;
    gate.open = false;
    gate.inside = 0;
    if (sl_runtime_create(NULL, &runtime, NULL) != SL_OK) {
        return -1;
    }
    add("echo", echo, NULL, 20000);
    add("gated", gated, NULL, 20000);
    add("to first", dispatching, &to_first, 20000);
    add("to second", dispatching, &to_second, 20000);
    add("to pair", dispatching, &to_pair, 20000);
    add("to raising", dispatching, &to_raising, 20000);
    add("deeper", dispatching, &to_deeper, 20000);
    first = add_pool("first", 1, SL_TEMPLATE_AUTO);
    second = add_pool("second", 1, SL_TEMPLATE_OFF);
    pair = add_pool("pair", 2, SL_TEMPLATE_AUTO);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    sl_runtime_destroy(runtime);
    return 0;
}

static struct sl_view_stats stats(void) {
    struct sl_view_stats now = SL_VIEW_STATS_INIT;
    sl_view_stats(runtime, &now);
    return now;
}

/* ---- tests ------------------------------------------------------------------------------------------------------------ */

static void forked_and_started_workers_call_alike(void **state) {
    (void)state;
    struct sl_pool_stats of_first = SL_POOL_STATS_INIT, of_second = SL_POOL_STATS_INIT;
    sl_pool_stats(first, &of_first);
    sl_pool_stats(second, &of_second);
    assert_int_equal(of_first.fork_count, 1);
    assert_int_equal(of_second.fork_count, 0);
    for (int64_t i = 0; i < 50; i++) {
        char expected[24];
        snprintf(expected, sizeof expected, "%lld", (long long)i);
        expect_call(first, "view_functions:call", "echo", i, expected);
        expect_call(second, "view_functions:call", "echo", i, expected);
    }
    expect_call(first, "view_functions:told", "nothing", 1,
                "LookupError/-: there is no view \"nothing\"; the host has registered: deeper, echo, gated, to first");
}

static void a_view_dispatches_to_another_pool(void **state) {
    (void)state;
    expect_call(first, "view_functions:call", "to second", 21, "42");
    expect_call(second, "view_functions:call", "to first", 21, "42");
    expect_call(pair, "view_functions:call", "to pair", 21, "42"); /* its other worker */
    expect_call(first, "view_functions:told", "to raising", 1, "ViewError/python_exception: ");
}

static void a_view_that_would_wait_for_itself_fails(void **state) {
    (void)state;
    expect_call(first, "view_functions:told", "to first", 1,
                "ViewError/pool_exhausted: all workers, 1 of pool first wait for the view that dispatches to it");
    /* One worker of two after the other, until none is left. */
    char text[2048];
    assert_int_equal(run_number(pair, "view_functions:deeper", 1, text, sizeof text), SL_E_PYTHON);
    assert_non_null(strstr(text, "all workers, 2 of pool pair wait"));
    expect_call(first, "view_functions:call", "echo", 5, "5");
    expect_call(pair, "view_functions:call", "to pair", 4, "8");
}

static void *kill_inside(void *pid) {
    gate_await_inside();
    (void)kill((pid_t)(intptr_t)pid, SIGKILL);
    return NULL;
}

static void a_worker_that_dies_in_a_call_leaves_nothing(void **state) {
    (void)state;
    const struct timespec moment = {.tv_nsec = 1000000};
    char text[2048];
    for (int round = 0; round < 3; round++) {
        pthread_t killer;
        gate_set(false);
        if (round < 2) {
            void *pid = (void *)(intptr_t)sl_pool_worker_pid(first, 0);
            assert_int_equal(pthread_create(&killer, NULL, kill_inside, pid), 0);
            assert_int_equal(run_call(first, "view_functions:call", "gated", 1, text, sizeof text),
                             SL_E_WORKER_CRASHED);
            assert_int_equal(pthread_join(killer, NULL), 0);
        } else {                     /* by the library, while the view runs */
            batch_timeout_ms = 2000; /* it is in the view by then */
            assert_int_equal(run_call(first, "view_functions:call", "gated", 1, text, sizeof text),
                             SL_E_WORKER_TIMEOUT);
            batch_timeout_ms = 30000;
        }
        gate_await_inside(); /* the view has not noticed */
        assert_int_equal(stats().running_count, 1);
        expect_call(first, "view_functions:call", "echo", round, ""); /* nor is it in the way of the next worker */
        gate_set(true);
        while (stats().running_count > 0) {
            (void)nanosleep(&moment, NULL);
        }
    }
    assert_int_equal(stats().dropped_count, 3);
}

static void threads_of_python_call_at_once(void **state) {
    (void)state;
    char text[2048];
    assert_int_equal(run_number(pair, "view_functions:threads", 8, text, sizeof text), SL_OK);
    assert_string_equal(text, "a list");
    assert_int_equal(stats().call_count, 8 * 50);
    assert_int_equal(stats().failure_count + stats().refusal_count + stats().timeout_count + stats().dropped_count, 0);
}

/* ---- depth ------------------------------------------------------------------------------------------------------------ */

static void sixteen_views_deep_and_no_deeper(void **state) {
    (void)state;
    char text[2048];
    static struct sl_pool *tower; /* each floor has a worker that waits */
    static struct target up = {&tower, "view_functions:climb"};
    tower = add_pool("tower", SL_VIEW_DEPTH_MAX + 2, SL_TEMPLATE_AUTO);
    add("climb", dispatching, &up, 20000);
    for (int64_t floors = 1; floors <= SL_VIEW_DEPTH_MAX; floors += SL_VIEW_DEPTH_MAX - 1) {
        char expected[24];
        snprintf(expected, sizeof expected, "%lld", (long long)floors);
        assert_int_equal(run_number(tower, "view_functions:climb", floors, text, sizeof text), SL_OK);
        assert_string_equal(text, expected);
    }
    assert_int_equal(run_number(tower, "view_functions:climb", SL_VIEW_DEPTH_MAX + 1, text, sizeof text), SL_OK);
    assert_non_null(strstr(text, "limit_exceeded: view climb was called 16 views deep"));
    /* Every floor has been left: the tower can be climbed again. */
    assert_int_equal(run_number(tower, "view_functions:climb", SL_VIEW_DEPTH_MAX, text, sizeof text), SL_OK);
    assert_int_equal(stats().running_count + stats().waiting_count, 0);
}

/* ---- many at once ----------------------------------------------------------------------------------------------------- */

static void *call_gated(void *unused) {
    char text[2048];
    assert_int_equal(run_call(pair, "view_functions:call", "gated", 1, text, sizeof text), SL_OK);
    return unused;
}

static void a_slow_view_is_in_nobodys_way(void **state) {
    (void)state;
    pthread_t slow;
    gate_set(false);
    assert_int_equal(pthread_create(&slow, NULL, call_gated, NULL), 0);
    gate_await_inside();
    for (int64_t i = 0; i < 200; i++) { /* on its other worker, and in other pools */
        char expected[24];
        snprintf(expected, sizeof expected, "%lld", (long long)i);
        expect_call(pair, "view_functions:call", "echo", i, expected);
        expect_call(first, "view_functions:call", "to second", i, "");
    }
    assert_int_equal(stats().running_count, 1);
    gate_set(true);
    assert_int_equal(pthread_join(slow, NULL), 0);
}

static enum sl_code refusing(void *context, const struct sl_view_call *call, struct sl_writer *result,
                             struct sl_error *error) {
    (void)context, (void)call, (void)result;
    return sl_error_set(error, SL_E_INVALID_DATA, "not today");
}

static enum sl_code napping(void *context, const struct sl_view_call *call, struct sl_writer *result,
                            struct sl_error *error) {
    const struct timespec moment = {.tv_nsec = 200000};
    (void)nanosleep(&moment, NULL);
    return echo(context, call, result, error);
}

#define STORM_WORKERS 4
#define STORM_THREADS 6
#define STORM_CALLS 40 /* of each thread of each worker, in each batch */
#define STORM_BATCHES 8

struct gust {
    struct sl_pool *pool;
    unsigned seed;
};

static void *blow(void *argument) {
    const struct gust *gust = argument;
    for (unsigned i = 0; i < STORM_BATCHES / STORM_WORKERS; i++) {
        struct sl_writer writer;
        struct sl_value item;
        char text[2048];
        sl_writer_init(&writer, NULL);
        sl_write_list(&writer, 3);
        sl_write_uint(&writer, gust->seed * 1000u + i);
        sl_write_uint(&writer, STORM_THREADS);
        sl_write_uint(&writer, STORM_CALLS);
        assert_int_equal(sl_writer_end(&writer, &item, NULL), SL_OK);
        if (run(gust->pool, "view_functions:storm", item, text, sizeof text) != SL_OK ||
            strcmp(text, "all well") != 0) {
            fail_msg("storm %u of seed %u: %s", i, gust->seed, text);
        }
        sl_writer_finish(&writer);
    }
    return NULL;
}

static void a_storm_of_callbacks_is_answered(void **state) {
    (void)state;
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL) % 1000000;
    print_message("SLITHER_TEST_SEED=%u\n", seed);
    add("refusing", refusing, NULL, 20000);
    add("napping", napping, NULL, 20000);
    struct sl_pool *pool = add_pool("storm", STORM_WORKERS, SL_TEMPLATE_AUTO);
    pthread_t threads[STORM_WORKERS];
    struct gust gusts[STORM_WORKERS];
    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        gusts[i] = (struct gust){pool, seed + i};
        assert_int_equal(pthread_create(&threads[i], NULL, blow, &gusts[i]), 0);
    }
    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    struct sl_view_stats now = stats();
    assert_int_equal(now.call_count, STORM_BATCHES * STORM_THREADS * STORM_CALLS);
    assert_true(now.failure_count > 0);
    assert_int_equal(now.refusal_count + now.timeout_count + now.dropped_count, 0);
    assert_int_equal(now.running_count + now.waiting_count, 0);
}

static void nothing_stays_open(void **state) {
    (void)state;
    int before = 0;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(open_all(NULL), 0);
        expect_call(first, "view_functions:call", "to second", 1, "2");
        close_all(NULL);
        before = before == 0 ? descriptor_count() : before; /* libuv keeps some of the first */
        assert_int_equal(descriptor_count(), before);
    }
}

int main(void) {
#define WITH(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        WITH(forked_and_started_workers_call_alike),   WITH(a_view_dispatches_to_another_pool),
        WITH(a_view_that_would_wait_for_itself_fails), WITH(a_worker_that_dies_in_a_call_leaves_nothing),
        WITH(threads_of_python_call_at_once),          WITH(sixteen_views_deep_and_no_deeper),
        WITH(a_slow_view_is_in_nobodys_way),           WITH(a_storm_of_callbacks_is_answered),
        cmocka_unit_test(nothing_stays_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
