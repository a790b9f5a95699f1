/* SPDX-License-Identifier: MIT */
/* Views that come and go, and what a view cannot be. */
#include "testing/callers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *unregister(void *view) {
    sl_view_unregister(view);
    pthread_mutex_lock(&gate.lock);
    uintptr_t passed = gate.passed;
    pthread_mutex_unlock(&gate.lock);
    return (void *)passed;
}

static uint32_t view_count(void) {
    return stats().view_count;
}

static void unregistering_waits_for_what_runs(void **state) {
    (void)state;
    struct worker worker = {0};
    pthread_t thread;
    void *passed;
    worker_open(&worker);
    struct sl_view *view = view_of("gated", gated, NULL, 20000, 1);
    uint64_t running = ask(&worker, "gated");
    gate_await_inside(1);
    uint64_t waiting = ask(&worker, "gated");
    await_stat(waiting_count, 1);
    assert_int_equal(pthread_create(&thread, NULL, unregister, view), 0);
    hear_outcome(&worker, waiting, SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "was unregistered while the call waited");
    await_stat(view_count, 0);
    hear_outcome(&worker, ask(&worker, "gated"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "");
    gate_open(true);
    assert_int_equal(pthread_join(thread, &passed), 0);
    assert_int_equal((uintptr_t)passed, 1); /* it had returned by then */
    hear_outcome(&worker, running, SL__CALL_RESULT, SL_OK, "");
    sl_view_unregister(NULL);
    worker_close(&worker);
}

static struct sl_view *_Atomic itself;

static enum sl_code end_itself(void *context, const struct sl_view_call *call, struct sl_writer *result,
                               struct sl_error *error) {
    (void)context, (void)call, (void)error;
    sl_view_unregister(itself);
    sl_write_nil(result);
    return SL_OK;
}

static void a_view_may_unregister_itself(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    itself = view_of("once", end_itself, NULL, 5000, 0);
    hear_outcome(&worker, ask(&worker, "once"), SL__CALL_RESULT, SL_OK, "");
    hear_outcome(&worker, ask(&worker, "once"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "");
    itself = view_of("once", end_itself, NULL, 5000, 0); /* the name is free again */
    hear_outcome(&worker, ask(&worker, "once"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

static void options_are_checked(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    char name[SL_VIEW_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
#define REFUSED(code, part)                                                        \
    do {                                                                           \
        assert_int_equal(sl_view_register(runtime, &options, NULL, &error), code); \
        if (strstr(error.message, part) == NULL) {                                 \
            fail_msg("%s", error.message);                                         \
        }                                                                          \
    } while (0)
    options.call = echo;
    REFUSED(SL_E_INVALID_ARGUMENT, "name has 0 bytes");
    options.name = "";
    REFUSED(SL_E_INVALID_ARGUMENT, "name has 0 bytes");
    options.name = name;
    REFUSED(SL_E_INVALID_ARGUMENT, "name has 129 bytes");
    options.name = "\xff";
    REFUSED(SL_E_INVALID_ARGUMENT, "UTF-8");
    options.name = "slither.mine";
    REFUSED(SL_E_INVALID_ARGUMENT, "the library's own");
    assert_int_equal(sl__view_register(runtime, &options, NULL, &error), SL_OK);
    options.name = "mine";
    assert_int_equal(sl__view_register(runtime, &options, NULL, &error), SL_E_INVALID_ARGUMENT);
    options.call = NULL;
    REFUSED(SL_E_INVALID_ARGUMENT, "neither");
    options.call = echo;
    options.timeout_ms = 0;
    REFUSED(SL_E_INVALID_ARGUMENT, "timeout_ms");
    options.timeout_ms = 86400001;
    REFUSED(SL_E_INVALID_ARGUMENT, "timeout_ms");
    options.timeout_ms = 1;
    options.size = 8;
    REFUSED(SL_E_INVALID_ARGUMENT, "SL_VIEW_OPTIONS_INIT");
    options.size = sizeof options;
    assert_int_equal(sl_view_register(NULL, &options, NULL, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_view_register(runtime, NULL, NULL, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_view_register(runtime, &options, NULL, &error), SL_OK);
    REFUSED(SL_E_INVALID_ARGUMENT, "already");
    for (int i = 2; i < SL_VIEW_MAX; i++) {
        snprintf(name, sizeof name, "v%d", i);
        options.name = name;
        assert_int_equal(sl_view_register(runtime, &options, NULL, &error), SL_OK);
    }
    options.name = "one more";
    REFUSED(SL_E_LIMIT, "1024 views");
    struct worker worker = {0};
    worker_open(&worker);
    hear_outcome(&worker, ask(&worker, "v777"), SL__CALL_RESULT, SL_OK, "");
    hear_outcome(&worker, ask(&worker, "w"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "and 1011 more");
    hear_outcome(&worker, ask(&worker, "slither.mine"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(unregistering_waits_for_what_runs, open_runtime),
        WITH(a_view_may_unregister_itself, open_runtime),
        WITH(options_are_checked, open_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
