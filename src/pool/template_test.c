/* SPDX-License-Identifier: MIT */
/* Pools with a template that does what a script says: what the host does when it misbehaves. */
#include "testing/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/clock.h"

#define WORKER "config;ready;serve;exit=0"

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* A pool of three that gets ready, with so many forks at least, and a line in the log (or NULL). */
static void expect_pool(const char *template_script, uint64_t fork_count, const char *line) {
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(3, WORKER, template_script);
    struct sl_pool *pool = open_pool(runtime, &options);
    await_ready(pool, 3);
    assert_true(stats_of(pool).fork_count >= fork_count);
    assert_true(stats_of(pool).fork_count == 0 || fork_count > 0);
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

static void await_starts(struct sl_pool *pool, uint64_t count) {
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (stats_of(pool).start_count < count) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void one_that_serves(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;fork", 3, "worker 2 forked");
}

static void one_that_is_unfit(void **unused) {
    (void)unused;
    expect_pool("prepare;unfit=it has a cold;fork", 0, "workers are not forked: it has a cold");
    /* The next one starts them the same way. */
    expect_pool("prepare;unfit=it has a cold;exit=1|prepare;unfit=it has a cold;fork", 0, "exited with status 1");
}

static void one_that_cannot_fork(void **unused) {
    (void)unused;
    expect_failure("prepare;ready;decline;fork", SL_E_SYSTEM, "worker 0 could not be started with interpreter");
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(1, WORKER, "prepare;ready;fork=1;decline;decline;fork");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    await_starts(pool, 2);
    assert_true(log_has("its template cannot start it: Resource temporarily unavailable"));
    assert_int_equal(stats_of(pool).template_start_count, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* The next one does what this one did not. */
static void one_that_dies_with_requests_under_way(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;exit=1|prepare;ready;fork", 3, "the template (pid");
    expect_pool("prepare;ready;swallow;signal=11|prepare;ready;fork", 3, "was killed by SIGSEGV");
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options =
        scripted_template(3, WORKER, "prepare;ready;fork=3;swallow;exit=3|prepare;ready;fork");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 1), SIGKILL), 0);
    await_starts(pool, 6);
    await_ready(pool, 3);
    assert_true(log_has("exited with status 3"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void one_that_always_dies(void **unused) {
    (void)unused;
    expect_failure("prepare;ready;exit=7", SL_E_WORKER_CRASHED, "exited with status 7");
    assert_true(log_has("the template has died 3 times in a row; from now on workers are not forked"));
}

static void one_that_says_what_it_was_not_asked(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;lie;hang|prepare;ready;fork", 3, "answered what it had not been asked");
    expect_pool("prepare;ready;noise;hang|prepare;ready;fork", 3, "protocol");
    expect_pool("prepare;ready;ready;hang|prepare;ready;fork", 3, "said twice that it was ready");
    expect_pool("prepare;ready;swallow;deaf;hang|prepare;ready;fork", 3, NULL);
}

static void one_that_does_not_answer(void **unused) {
    (void)unused;
    expect_pool("prepare;ready;swallow;hang|prepare;ready;fork", 3, "has not answered");
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
    struct sl_pool_options options = scripted_template(1, WORKER, "prepare;ready;fork=1;hang|prepare;ready;fork");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    await_starts(pool, 2);
    assert_true(log_has("has not answered"));
    assert_true(log_has("could not learn"));
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

/* Workers live as long as their template, whatever they do. */
static void kill_template(void) {
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(3, WORKER, "prepare;ready;fork");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 1, &lease, NULL), SL_OK);
    pid_t template_pid = parent_of(sl_pool_worker_pid(pool, 0));
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 2), SIGSTOP), 0);
    assert_int_equal(kill(template_pid, SIGKILL), 0);
    await_loss(&seeker, lease);
    assert_int_equal(lease->death.code, SL_E_WORKER_CRASHED);
    assert_non_null(strstr(lease->death.message, "workers live as long as their template"));
    assert_non_null(lease->death.death);
    assert_int_equal(lease->death.death->cause, SL_DEATH_TEMPLATE);
    sl__pool_release(pool, lease, 0);
    await_starts(pool, 6);
    await_ready(pool, 3);
    for (uint32_t worker = 0; worker < 3; worker++) {
        assert_int_not_equal(parent_of(sl_pool_worker_pid(pool, worker)), template_pid);
    }
    assert_int_equal(stats_of(pool).template_start_count, 2);
    assert_int_equal(stats_of(pool).fork_count, 6);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void one_that_is_killed(void **unused) {
    (void)unused;
    kill_template();
}

/* The first process of a container gets the orphans, and has to reap them. */
static void one_that_is_killed_in_a_container(void **unused) {
    (void)unused;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    kill_template();
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

static void one_that_is_stopped_goes_on(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted_template(2, WORKER, "prepare;ready;fork");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    pid_t template_pid = parent_of(sl_pool_worker_pid(pool, 0));
    assert_int_equal(kill(template_pid, SIGSTOP), 0);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    await_starts(pool, 3);
    assert_int_equal(stats_of(pool).template_start_count, 1);
    assert_int_equal(kill(template_pid, SIGSTOP), 0);
    uint64_t start_ns = sl__clock_now_ns();
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start_ns < 10000000000ull); /* stop_timeout_ms is 500 */
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
        cmocka_unit_test(one_that_always_dies),
        cmocka_unit_test(one_that_says_what_it_was_not_asked),
        cmocka_unit_test(one_that_does_not_answer),
        cmocka_unit_test(one_that_cannot_get_ready),
        cmocka_unit_test(workers_that_cannot_get_ready),
        cmocka_unit_test(one_that_forgets_to_tell_an_end),
        cmocka_unit_test(one_that_is_killed),
        cmocka_unit_test(one_that_is_killed_in_a_container),
        cmocka_unit_test(one_that_is_stopped_goes_on),
        cmocka_unit_test(deaths_in_any_order),
    };
    return cmocka_run_group_tests_name("pool with a template", tests, NULL, NULL);
}
