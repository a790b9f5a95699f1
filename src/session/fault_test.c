/* SPDX-License-Identifier: MIT */
/* Memory runs out at each allocation of an opening in turn, and a process cannot be watched: the error says so, and nothing is left open. */
#include "testing/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <slither/session.h>

#include "sys/fault.h"

#define ALLOCATIONS_MAX 200

/* The calling thread's allocations only: the loop has its own life. */
static _Thread_local long fails_after = -1;

static bool fails(void) {
    return fails_after >= 0 && fails_after-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

static void open_and_close(enum sl_owner owner) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    bool opened = false;
    int failures = 0;
    options.owner = owner;
    options.owner_pid = getpid();
    options.idle_timeout_ms = 60000;
    for (long i = 0; i < ALLOCATIONS_MAX && !opened; i++) {
        /* A runtime and a pool each time: what is made once is made again. */
        struct sl_runtime *runtime = open_runtime();
        struct sl_pool_options pool_options = scripted(1, "config;ready;serve");
        struct sl_pool *pool = open_pool(runtime, &pool_options);
        struct sl_session *session = NULL;
        fails_after = i;
        enum sl_code code = sl_session_open(pool, &options, &session, &error);
        opened = fails_after >= 0; /* it did not come to that */
        fails_after = -1;
        assert_int_equal(code == SL_OK, session != NULL);
        if (code != SL_OK) {
            assert_true(code == SL_E_OUT_OF_MEMORY || code == SL_E_SYSTEM);
            assert_true(error.message[0] != '\0');
            assert_int_equal(stats_of(pool).session_count, 0);
            assert_int_equal(sl_session_open(pool, &options, &session, &error), SL_OK); /* the next one can */
            failures++;
        }
        assert_int_equal(stats_of(pool).session_count, 1);
        sl_session_close(session);
        assert_int_equal(stats_of(pool).session_count, 0);
        sl_pool_destroy(pool);
        close_runtime(runtime);
    }
    assert_true(opened);
    assert_true(failures >= 3);
    sl_error_finish(&error);
}

static void memory_runs_out(void **state) {
    (void)state;
    open_and_close(SL_OWNER_HANDLE);
    open_and_close(SL_OWNER_THREAD);
    open_and_close(SL_OWNER_PROCESS);
}

static void a_process_cannot_be_watched(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options pool_options = scripted(1, "config;ready;serve");
    struct sl_pool *pool = open_pool(runtime, &pool_options);
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *session = NULL;
    options.owner = SL_OWNER_PROCESS;
    options.owner_pid = getpid();
    const struct {
        int number;
        enum sl_code code;
    } cases[] = {{EMFILE, SL_E_SYSTEM}, {ENOMEM, SL_E_OUT_OF_MEMORY}, {ESRCH, SL_E_NOT_FOUND}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sl__sys_fail_next(SL__CALL_PIDFD_OPEN, cases[i].number, 0);
        enum sl_code code = sl_session_open(pool, &options, &session, &error);
        sl__sys_fail_clear();
        assert_true(code == cases[i].code || (cases[i].number == ENOMEM && code == SL_E_SYSTEM));
        assert_null(session);
        assert_int_equal(stats_of(pool).session_count, 0);
    }
    int before = 0;
    for (int i = 0; i < 3; i++) { /* one descriptor for all sessions of a process, and none when they are gone */
        assert_int_equal(sl_session_open(pool, &options, &session, &error), SL_OK);
        struct sl_session *second = NULL;
        int one = descriptor_count();
        assert_int_equal(sl_session_open(pool, &options, &second, &error), SL_OK);
        assert_int_equal(descriptor_count(), one);
        sl_session_close(session);
        sl_session_close(second);
        for (int k = 0; k < 5000 && descriptor_count() >= one; k++) {
            usleep(1000);
        }
        assert_int_equal(descriptor_count(), one - 1);
        assert_true(i == 0 || before == one);
        before = one;
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(a_process_cannot_be_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
