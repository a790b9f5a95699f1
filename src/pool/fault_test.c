/* SPDX-License-Identifier: MIT */
/* Calls that fail again and again, and what is done about it. Each call of a pool's life in turn: tests/faults. */
#include "testing/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/clock.h"
#include "sys/fault.h"

static void no_child_is_left(void) {
    pid_t left = waitpid(-1, NULL, WNOHANG);
    if (left >= 0) {
        fail_msg("child %ld is left", (long)left);
    }
    assert_int_equal(errno, ECHILD);
}

static void a_restart_that_fails_for_a_while_is_tried_again(void **unused) {
    (void)unused;
    sl__sys_fail_clear();
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;ready;serve;exit=0");
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    sl__sys_fail_from(SL__CALL_CLONE, EAGAIN, 0);
    /* The template is what this process starts; and its worker goes with it. */
    assert_int_equal(kill(parent_of(sl_pool_worker_pid(pool, 0)), SIGKILL), 0);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (stats_of(pool).death_count < 4) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(stats_of(pool).ready_count, 0);
    sl__sys_fail_clear();
    await_ready(pool, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_worker_that_cannot_be_killed_is_let_go(void **unused) {
    (void)unused;
    sl__sys_fail_clear();
    close_runtime(open_runtime()); /* libuv opens a pipe for the whole process */
    int before = descriptor_count();
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;ready;serve;exit=0");
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    /* As if the kernel held it: the signal has no effect. */
    sl__sys_fail_from(SL__CALL_PIDFD_SIGNAL, EPERM, 0);
    sl__pool_kill(pool, lease, SL_E_WORKER_TIMEOUT, "too slow", false);
    await_loss(&seeker, lease);
    sl__sys_fail_clear();
    assert_int_equal(lease->death.code, SL_E_WORKER_TIMEOUT);
    assert_true(log_has("it is let go"));
    sl__pool_release(pool, lease, 0);
    await_ready(pool, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
    assert_int_equal(descriptor_count(), before);
    no_child_is_left();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_cannot_be_killed_is_let_go),
        cmocka_unit_test(a_restart_that_fails_for_a_while_is_tried_again),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
