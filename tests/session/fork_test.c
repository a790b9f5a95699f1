/* SPDX-License-Identifier: MIT */
/* A forked child has copies of sessions and objects. It is told that they are not its own, whatever lock was held at that moment, and its parent loses nothing. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#define FORKS 40
#define CHILD_S 20 /* then it hangs */

static atomic_bool over;

static void *hold_the_lock_much(void *session) {
    while (!atomic_load(&over)) {
        (void)info_of(session);
    }
    return NULL;
}

/* In the child: 0, or the line that was wrong. */
static int use_in_child(struct sl_session *session, struct sl_object *object) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view_options view = SL_VIEW_OPTIONS_INIT;
    if (info_of(session).state != SL_SESSION_ENDED || strstr(info_of(session).reason, "forked from") == NULL) {
        return __LINE__ % 256;
    }
    if (sl_session_renew(session, &error) != SL_E_UNSUPPORTED || strstr(error.message, "forked child") == NULL) {
        return __LINE__ % 256;
    }
    if (sl_session_view(session, &view, NULL, &error) != SL_E_UNSUPPORTED) {
        return __LINE__ % 256;
    }
    if (sl_object_repr(object, NULL, &result, &error) != SL_E_UNSUPPORTED) {
        return __LINE__ % 256;
    }
    sl_object_unref(object);
    sl_session_close(session);
    return 0;
}

/*
 * What the child has copies of is no leak of its own. Not by _exit(): before a call that does not return AddressSanitizer allocates when the thread has ended
 * already, and waits for a lock of its own that another thread of the parent may have held.
 */
static void leave(void) {
    (void)syscall(SYS_exit_group, 0);
}

static void a_child_is_told(void **state) {
    (void)state;
    struct host host;
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_call_options call_options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_object *object = NULL;
    pthread_t thread;
    host_open(&host, 1, NULL);
    options.owner = SL_OWNER_THREAD; /* whose end the child's copy of this thread has, too */
    assert_int_equal(sl_session_open(host.pool, &options, &call_options.session, &error), SL_OK);
    assert_int_equal(sl_call(host.pool, &call_options, "builtins:object", (struct sl_value){NULL, 0},
                             (struct sl_value){NULL, 0}, &result, &error),
                     SL_OK);
    assert_int_equal(sl_object_take(&result, result.value, &object, &error), SL_OK);
    sl_result_finish(&result);
    assert_int_equal(pthread_create(&thread, NULL, hold_the_lock_much, call_options.session), 0);
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            (void)alarm(CHILD_S);
            int wrong = use_in_child(call_options.session, object);
            if (wrong != 0 || i % 2 != 0) {
                _exit(wrong);
            }
            (void)atexit(leave);
            pthread_exit(NULL); /* the child's only thread, which owned the session in its parent */
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    assert_int_equal(info_of(call_options.session).state, SL_SESSION_OPEN);
    assert_int_equal(sl_object_repr(object, NULL, &result, &error), SL_OK);
    sl_result_finish(&result);
    sl_object_unref(object);
    sl_session_close(call_options.session);
    sl_error_finish(&error);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
