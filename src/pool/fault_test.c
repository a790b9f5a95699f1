/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the life of a pool makes fails once, in turn: the pool then works anyhow or says what is wrong; nothing
 * is left, and nothing hangs.
 */
#include "testing/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/clock.h"
#include "sys/fault.h"

#define INJECTIONS_MAX 120 /* of one kind of call */

static uint32_t failed_creations;

/* Start two workers, lose one, wait until it is back, stop. */
static void live(struct sl_runtime *runtime) {
    static const char script[] = "out=hello;config;ready;serve;exit=0";
    struct sl_pool_options options = scripted(2, script);
    options.restart_backoff_ms = 1;
    options.stop_timeout_ms = 1000;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl_pool_create(runtime, &options, &pool, &error);
    if (code != SL_OK) {
        failed_creations++;
        assert_null(pool);
        assert_int_equal(error.code, code);
        assert_true(code == SL_E_SYSTEM || code == SL_E_OUT_OF_MEMORY || code == SL_E_WORKER_START);
        if (strstr(error.message, "worker") == NULL && strstr(error.message, "template") == NULL) {
            fail_msg("%s", error.message);
        }
        assert_int_not_equal(error.system_errno, 0);
        sl_error_finish(&error);
        return;
    }
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    sl__pool_kill(pool, lease, SL_E_CANCELLED, "test", false);
    await_loss(&seeker, lease);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    sl__pool_release(pool, lease, 0);
    sl_pool_destroy(pool);
}

static void one_life(void) {
    struct sl_runtime *runtime = open_runtime();
    live(runtime);
    close_runtime(runtime);
}

static void no_child_is_left(void) {
    pid_t left = waitpid(-1, NULL, WNOHANG);
    if (left >= 0) {
        fail_msg("child %ld is left", (long)left);
    }
    assert_int_equal(errno, ECHILD);
}

static void fail_each(enum sl__sys_call call, int number) {
    sl__sys_fail_clear();
    one_life();
    uint32_t count = sl__sys_call_count(call);
    int descriptors = descriptor_count();
    assert_true(count > 0);
    failed_creations = 0;
    uint32_t injections = count < INJECTIONS_MAX ? count : INJECTIONS_MAX;
    for (uint32_t i = 0; i < injections; i++) {
        sl__sys_fail_clear();
        sl__sys_fail_next(call, number, i);
        one_life();
        no_child_is_left();
        assert_int_equal(descriptor_count(), descriptors);
    }
    sl__sys_fail_clear();
    print_message("%u calls failed with %s in turn, %u pools were not made\n", injections, strerrorname_np(number),
                  failed_creations);
}

static void too_many_open_files(void **unused) {
    (void)unused;
    fail_each(SL__CALL_PIPE, EMFILE);
    fail_each(SL__CALL_SOCKETPAIR, ENFILE);
    fail_each(SL__CALL_MEMFD_CREATE, EMFILE);
}

static void too_little_memory(void **unused) {
    (void)unused;
    fail_each(SL__CALL_MMAP, ENOMEM);
    fail_each(SL__CALL_FTRUNCATE, ENOSPC);
    fail_each(SL__CALL_SENDMSG, ENOBUFS);
}

static void too_many_processes(void **unused) {
    (void)unused;
    fail_each(SL__CALL_CLONE, EAGAIN);
    fail_each(SL__CALL_CLONE, ENOMEM);
}

static void outputs_that_cannot_be_read(void **unused) {
    (void)unused;
    fail_each(SL__CALL_READ, EIO);
    fail_each(SL__CALL_READ, EINTR);
    fail_each(SL__CALL_WAITID, EINTR);
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
        cmocka_unit_test(too_many_open_files),
        cmocka_unit_test(too_little_memory),
        cmocka_unit_test(too_many_processes),
        cmocka_unit_test(outputs_that_cannot_be_read),
        cmocka_unit_test(a_worker_that_cannot_be_killed_is_let_go),
        cmocka_unit_test(a_restart_that_fails_for_a_while_is_tried_again),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
