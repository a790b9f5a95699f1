/* SPDX-License-Identifier: MIT */
/* Creation, failure, restart and destruction of a pool, with workers that follow a script. */
#include "testing/fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/process.h"

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void a_pool_starts_and_stops(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, "config;ready;serve;exit=0");
    struct sl_pool *pool = open_pool(runtime, &options);
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.worker_count, 3);
    assert_int_equal(stats.ready_count, 3);
    assert_int_equal(stats.start_count, 3);
    assert_int_equal(stats.death_count, 0);
    assert_int_equal(stats.busy_count, 0);
    assert_int_equal(sl__pool_capacity(pool), 3);
    assert_string_equal(sl_pool_python(pool), options.python);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(sl_pool_worker_pid(pool, i) > 0);
    }
    assert_int_equal(sl_pool_worker_pid(pool, 3), 0);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void the_runtime_takes_its_pools_down(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;ready;serve");
    (void)open_pool(runtime, &options);
    (void)open_pool(runtime, &options);
    close_runtime(runtime);
    no_child_is_left();
}

static void expect_failure(const char *script, uint32_t start_timeout_ms, enum sl_code code, const char *text) {
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, script);
    options.start_timeout_ms = start_timeout_ms;
    struct sl_pool *pool = (void *)&options;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), code);
    assert_null(pool);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.message, text));
    assert_non_null(strstr(error.message, options.python));
    no_child_is_left(); /* also not of those that could have started */
    sl_error_finish(&error);
    close_runtime(runtime);
}

static void a_pool_whose_workers_cannot_start_is_not_made(void **unused) {
    (void)unused;
    expect_failure("config;exit=3", 20000, SL_E_WORKER_START, "exited with status 3");
    expect_failure("config;failed=import_failed;exit=1", 20000, SL_E_IMPORT, "cannot import nonsense");
    expect_failure("config;failed=function_not_found;hang", 20000, SL_E_FUNCTION, "cannot import nonsense");
    expect_failure("hang", 100, SL_E_TIMEOUT, "start_timeout_ms");
}

static void the_traceback_of_a_failed_import_arrives(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;err=noise;failed=import_failed;exit=1");
    struct sl_pool *pool;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_IMPORT);
    assert_non_null(error.traceback);
    assert_non_null(strstr(error.traceback, "ImportError: nonsense"));
    assert_string_equal(error.stderr_tail, "noise");
    assert_int_equal(error.worker, 0);
    sl_error_finish(&error);
    close_runtime(runtime);
}

static void wrong_options_are_named(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool *pool;
    const struct {
        const char *name;
        void (*spoil)(struct sl_pool_options *);
    } cases[] = {
        {"worker_count", NULL}, {"segment_bytes", NULL}, {"depth_max", NULL},
        {"waiter_max", NULL},   {"restart_max", NULL},   {"start_timeout_ms", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_pool_options options = scripted(1, "hang");
        options.worker_count = i == 0 ? 1025 : 1;
        options.segment_bytes = i == 1 ? 4096 : 65536;
        options.depth_max = i == 2 ? 0 : 128;
        options.waiter_max = i == 3 ? 0 : 1;
        options.restart_max = i == 4 ? 1000000 : 1;
        options.start_timeout_ms = i == 5 ? 0 : 1000;
        assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].name));
    }
    struct sl_pool_options options = {.size = 0};
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "SL_POOL_OPTIONS_INIT"));
    assert_int_equal(sl_pool_create(NULL, &options, &pool, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
    close_runtime(runtime);
}

static void the_lanes_of_a_runtime_are_bounded(void **unused) {
    (void)unused;
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    runtime_options.lane_max = 3;
    struct sl_runtime *runtime;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_runtime_create(&runtime_options, &runtime, &error), SL_OK);
    struct sl_pool_options options = scripted(2, "config;ready;serve");
    struct sl_pool *pool = open_pool(runtime, &options), *second;
    assert_int_equal(sl_pool_create(runtime, &options, &second, &error), SL_E_LIMIT);
    assert_non_null(strstr(error.message, "lane_max"));
    sl_pool_destroy(pool);
    pool = open_pool(runtime, &options); /* they have been given back */
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    sl_error_finish(&error);
}

static void a_worker_that_dies_idle_is_restarted(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, "config;ready;serve");
    struct sl_pool *pool = open_pool(runtime, &options);
    int64_t first = sl_pool_worker_pid(pool, 1);
    assert_int_equal(kill((pid_t)first, SIGABRT), 0);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (stats_of(pool).start_count < 3) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.ready_count, 2);
    assert_int_equal(stats.death_count, 1);
    assert_int_not_equal(sl_pool_worker_pid(pool, 1), first);
    assert_true(log_has("was killed by SIGABRT"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
    no_child_is_left();
}

static void a_spent_budget_opens_the_circuit_and_wakes_who_waits(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;ready;serve|config;err=no luck;exit=7");
    options.restart_max = 3;
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 30000;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker holder, waiter;
    struct sl__lease *lease, *none;
    struct sl_error error = SL_ERROR_INIT;
    seeker_init(&holder);
    seeker_init(&waiter);
    assert_int_equal(seek(pool, &holder, SL__ANY_WORKER, &lease, &error), SL_OK);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    await_loss(&holder, lease);
    sl__pool_release(pool, lease, 0);
    /* Each further life dies before it is ready, until there are no more. */
    assert_int_equal(seek(pool, &waiter, SL__ANY_WORKER, &none, &error), SL_E_CIRCUIT_OPEN);
    assert_int_equal(error.code, SL_E_CIRCUIT_OPEN);
    assert_non_null(strstr(error.message, "4 deaths"));
    assert_non_null(strstr(error.message, "restart_max is 3"));
    assert_non_null(strstr(error.message, "exited with status 7"));
    assert_int_equal(error.exit_status, 7);
    assert_non_null(strstr(error.stderr_tail, "no luck"));
    assert_false(waiter.waiter.queued);
    assert_int_equal(stats_of(pool).death_count, 4);
    assert_int_equal(sl_pool_worker_pid(pool, 0), 0);
    assert_int_equal(seek(pool, &waiter, 0, &none, &error), SL_E_CIRCUIT_OPEN); /* until it has cooled down */
    sl_error_finish(&error);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void workers_that_do_not_listen_do_not_hold_up_the_end(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, "config;ready;hang");
    options.stop_timeout_ms = 50;
    struct sl_pool *pool = open_pool(runtime, &options);
    uint64_t start = sl__clock_now_ns();
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start < 5000000000ull); /* all at once, and killed at 50 ms */
    no_child_is_left();
    close_runtime(runtime);
}

struct creator {
    pthread_t thread;
    struct sl_runtime *runtime;
    const struct sl_pool_options *options;
    struct sl_pool *pool;
    enum sl_code code;
};

static void *create_pool(void *argument) {
    struct creator *creator = argument;
    creator->code = sl_pool_create(creator->runtime, creator->options, &creator->pool, NULL);
    return NULL;
}

static void pools_are_made_from_many_threads_at_once(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options good = scripted(2, "config;ready;serve"), bad = good;
    bad.python = "/bin/false";
    struct creator creators[6];
    for (size_t i = 0; i < 6; i++) {
        creators[i] = (struct creator){.runtime = runtime, .options = i % 3 == 2 ? &bad : &good};
        assert_int_equal(pthread_create(&creators[i].thread, NULL, create_pool, &creators[i]), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(creators[i].thread, NULL);
        assert_int_equal(creators[i].code, i % 3 == 2 ? SL_E_WORKER_START : SL_OK);
        sl_pool_destroy(creators[i].pool);
    }
    close_runtime(runtime);
    no_child_is_left();
}

static void a_host_that_ignores_sigchld_is_coped_with(void **unused) {
    (void)unused;
    signal(SIGCHLD, SIG_IGN);
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, "config;ready;serve;exit=0");
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (stats_of(pool).start_count < 3) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
    signal(SIGCHLD, SIG_DFL);
}

static void nothing_stays_open(void **unused) {
    (void)unused;
    int before = descriptor_count();
    a_pool_starts_and_stops(NULL);
    a_spent_budget_opens_the_circuit_and_wakes_who_waits(NULL);
    a_worker_that_dies_idle_is_restarted(NULL);
    a_pool_whose_workers_cannot_start_is_not_made(NULL);
    assert_int_equal(descriptor_count(), before);
}

static double cpu_seconds(void) {
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static void an_idle_pool_uses_no_processor_time(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, "config;ready;serve");
    struct sl_pool *pool = open_pool(runtime, &options);
    double before = cpu_seconds();
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL); /* the time that is measured */
    double spent = cpu_seconds() - before;
    assert_true(spent < 0.02);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_forked_child_leaves_the_pool_alone(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;ready;serve;exit=0");
    struct sl_pool *pool = open_pool(runtime, &options);
    pid_t pid = fork();
    if (pid == 0) {
        struct sl_pool *other;
        bool right = sl__pool_foreign(pool) && sl_pool_create(runtime, &options, &other, NULL) == SL_E_UNSUPPORTED;
        sl_pool_destroy(pool);
        sl_runtime_destroy(runtime);
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(sl__pool_foreign(pool));
    assert_int_equal(stats_of(pool).ready_count, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_starts_and_stops),
        cmocka_unit_test(the_runtime_takes_its_pools_down),
        cmocka_unit_test(a_pool_whose_workers_cannot_start_is_not_made),
        cmocka_unit_test(the_traceback_of_a_failed_import_arrives),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(the_lanes_of_a_runtime_are_bounded),
        cmocka_unit_test(a_worker_that_dies_idle_is_restarted),
        cmocka_unit_test(a_spent_budget_opens_the_circuit_and_wakes_who_waits),
        cmocka_unit_test(workers_that_do_not_listen_do_not_hold_up_the_end),
        cmocka_unit_test(pools_are_made_from_many_threads_at_once),
        cmocka_unit_test(a_host_that_ignores_sigchld_is_coped_with),
        cmocka_unit_test(nothing_stays_open),
        cmocka_unit_test(an_idle_pool_uses_no_processor_time),
        cmocka_unit_test(a_forked_child_leaves_the_pool_alone),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
