/* SPDX-License-Identifier: MIT */
/* Where the calls of a session go, and what they find there. */
#include <signal.h>
#include <unistd.h>

#include "calls.h"

static void state_lives_between_calls_and_ends_with_the_session(void **state) {
    (void)state;
    struct host host;
    char path[SCRATCH_SIZE];
    host_open(&host, 2, NULL);
    int fifo = open_fifo(path);
    struct sl_session *session = session_open(&host, NULL);
    for (int64_t i = 1; i <= 20; i++) {
        assert_int_equal(ask(&host, session, "count", 0), i);
    }
    assert_true(info_of(session).has_state);
    assert_int_equal(info_of(session).call_count, 20);
    assert_int_equal(info_of(session).state, SL_SESSION_OPEN);
    const struct call hook = {.host = &host, .session = session, .function = "tell_when_closed", .text = path};
    int64_t id = 0;
    (void)call_in(&hook, &id, NULL);
    assert_int_equal(id, sl_session_id(session));
    sl_session_close(session);
    assert_int_equal(read_number(fifo, 5000), id); /* how soon is latency_test.c's matter */
    assert_int_equal(host_stats(&host).session_count, 0);
    assert_int_equal(host_stats(&host).session_end_count, 1);
    close_fifo(fifo, path);
    host_close(&host);
}

static void sessions_never_mix(void **state) {
    (void)state;
    enum { COUNT = 50 };
    struct host host;
    struct sl_session *sessions[COUNT];
    host_open(&host, 2, NULL);
    for (int i = 0; i < COUNT; i++) {
        sessions[i] = session_open(&host, NULL);
        assert_int_equal(ask(&host, sessions[i], "get", 0), NONE);
        assert_int_equal(ask(&host, sessions[i], "put", 1000 + i), 1000 + i);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(ask(&host, sessions[i], "get", 0), 1000 + i);
        }
    }
    /* A run without one sees none of it. */
    assert_int_equal(ask(&host, NULL, "get", 0), NONE);
    assert_int_equal(host_stats(&host).session_count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        sl_session_close(sessions[i]);
    }
    host_close(&host);
}

static void a_dead_home_is_named_on_every_use(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    host_open(&host, 2, NULL);
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *session = NULL;
    options.name = "train";
    assert_int_equal(sl_session_open(host.pool, &options, &session, &error), SL_OK);
    (void)ask(&host, session, "put", 1);
    struct sl_session_info info = info_of(session);
    assert_int_equal(ask_in_vain(&host, session, "dies", &error), SL_E_WORKER_CRASHED);
    for (int i = 0; i < 3; i++) {
        char expected[200];
        assert_int_equal(ask_in_vain(&host, session, "get", &error), SL_E_SESSION_LOST);
        snprintf(expected, sizeof expected,
                 "session %" PRIu64 " ('train'): worker %u generation %u, which held its state, died of SIGSEGV, 0.",
                 sl_session_id(session), info.worker, info.generation);
        assert_true(strncmp(error.message, expected, strlen(expected)) == 0);
        assert_non_null(strstr(error.message, " s ago; open a new session, or give its code checkpoint hooks"));
        assert_int_equal(error.worker, info.worker);
        assert_int_equal(error.generation, info.generation);
        assert_int_equal(error.term_signal, SIGSEGV);
    }
    assert_int_equal(info_of(session).state, SL_SESSION_LOST);
    assert_int_equal(sl_session_renew(session, &error), SL_E_SESSION_LOST);
    assert_int_equal(host_stats(&host).session_lost_count, 1);
    sl_session_close(session);
    sl_error_finish(&error);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_lives_between_calls_and_ends_with_the_session),
        cmocka_unit_test(sessions_never_mix),
        cmocka_unit_test(a_dead_home_is_named_on_every_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
