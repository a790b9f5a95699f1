/* SPDX-License-Identifier: MIT */
/* Pools with a template that does what a script says: what the host does when it misbehaves. */
#include "testing/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/clock.h"

#define WORKER "config;ready;serve;exit=0"

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* A pool of three that gets ready, with so many forks, and a line in the log (or NULL). */
static void expect_pool(const char *template_script, uint64_t fork_count, const char *line) {
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(3, WORKER, template_script);
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(stats_of(pool).ready_count, 3);
    assert_int_equal(stats_of(pool).fork_count, fork_count);
    if (line != NULL && !log_has(line)) {
        fail_msg("%s: the log has no \"%s\"", template_script, line);
    }
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void expect_failure(const char *template_script, enum sl_code code, const char *text) {
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(3, WORKER, template_script);
    options.start_timeout_ms = strstr(template_script, "hang") != NULL ? 200 : 20000;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code found = sl_pool_create(runtime, &options, &pool, &error);
    if (found != code || strstr(error.message, text) == NULL) {
        fail_msg("%s: %s: %s", template_script, sl_code_name(found), error.message);
    }
    sl_error_finish(&error);
    no_child_is_left();
    close_runtime(runtime);
}

static void one_that_serves(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;fork", 3, "worker 2 forked");
}

static void one_that_is_unfit(void **unused) {
    (void)unused;
    expect_pool("prepare;unfit=it has a cold;exit=0", 0, "the template is of no use: it has a cold");
    expect_pool("prepare;unfit=it has a cold;hang", 0, "it has a cold");
}

static void one_that_cannot_fork(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;decline;fork", 2, "the template cannot fork worker 0: Resource temporarily unavailable");
}

static void one_that_dies_with_requests_under_way(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;exit=1", 0, NULL);
    expect_pool("prepare;ready;swallow;signal=11", 0, "the template");
    expect_pool("prepare;ready;fork=1;swallow;exit=3", 1, NULL);
}

static void one_that_says_what_it_was_not_asked(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;lie;hang", 0, "answered what it had not been asked");
    expect_pool("prepare;ready;noise;hang", 0, "protocol");
    expect_pool("prepare;ready;ready;hang", 0, "said twice that it was ready");
    expect_pool("prepare;ready;swallow;deaf;hang", 0, NULL);
}

static void one_that_does_not_answer(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;swallow;hang", 0, "has not answered");
}

static void one_that_cannot_get_ready(void **unused) {
    (void)unused;
    expect_failure("prepare;failed=import_failed;exit=1", SL_E_IMPORT,
                   "cannot import nonsense (the template, started with");
    expect_failure("prepare;err=last words;exit=3", SL_E_WORKER_START, "the template exited with status 3");
    expect_failure("prepare;signal=11", SL_E_WORKER_START, "the template was killed by SIGSEGV");
    expect_failure("prepare;noise;serve", SL_E_WORKER_START, "the template said what is not in the protocol");
    expect_failure("prepare;hang", SL_E_TIMEOUT, "it was importing anything");
}

static void workers_that_cannot_get_ready(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options =
        scripted_template(2, "config;failed=version_mismatch;exit=1", "prepare;ready;fork");
    struct sl_pool *pool = NULL;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, NULL), SL_E_VERSION);
    no_child_is_left();
    close_runtime(runtime);
}

static void one_that_forgets_to_tell_an_end(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(1, WORKER, "prepare;ready;fork=1;hang");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (stats_of(pool).start_count < 2) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_true(log_has("has not answered"));
    assert_true(log_has("could not learn"));
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

/* Deaths of workers and templates in any order: in the end all are there again, and then none. */
static void deaths_in_any_order(void **unused) {
    (void)unused;
    unsigned seed = test_seed();
    int descriptors = -1;
    for (int round = 0; round < 4; round++) {
        struct sl_runtime *runtime = open_runtime();
        struct sl_pool_options options =
            scripted_template(4, WORKER, round % 2 == 0 ? "prepare;ready;fork" : "prepare;ready;fork=6;exit=1");
        options.restart_backoff_ms = 1;
        struct sl_pool *pool = open_pool(runtime, &options);
        for (int i = 0; i < 60; i++) {
            int64_t pid = sl_pool_worker_pid(pool, (uint32_t)rand_r(&seed) % 4);
            if (pid > 0) {
                (void)kill((pid_t)pid, rand_r(&seed) % 2 == 0 ? SIGKILL : SIGTERM);
            }
            nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 4000000}, NULL);
        }
        await_ready(pool, 4);
        sl_pool_destroy(pool);
        no_child_is_left();
        close_runtime(runtime);
        assert_true(descriptors < 0 || descriptors == descriptor_count());
        descriptors = descriptor_count();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_serves),
        cmocka_unit_test(one_that_is_unfit),
        cmocka_unit_test(one_that_cannot_fork),
        cmocka_unit_test(one_that_dies_with_requests_under_way),
        cmocka_unit_test(one_that_says_what_it_was_not_asked),
        cmocka_unit_test(one_that_does_not_answer),
        cmocka_unit_test(one_that_cannot_get_ready),
        cmocka_unit_test(workers_that_cannot_get_ready),
        cmocka_unit_test(one_that_forgets_to_tell_an_end),
        cmocka_unit_test(deaths_in_any_order),
    };
    return cmocka_run_group_tests_name("pool with a template", tests, NULL, NULL);
}
