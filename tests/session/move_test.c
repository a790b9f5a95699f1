/* SPDX-License-Identifier: MIT */
/* Homes that go: with a checkpoint the session moves, without one it is lost, and says how. */
#include <signal.h>
#include <unistd.h>

#include "calls.h"

static int64_t add(struct host *host, struct sl_session *session, const char *function, int64_t number,
                   enum sl_code expected) {
    struct sl_error error = SL_ERROR_INIT;
    const struct call call = {.host = host, .session = session, .function = function, .number = number};
    int64_t result = 0;
    enum sl_code code = call_in(&call, &result, &error);
    if (code != expected) {
        fail_msg("%s instead of %s: %s\n%s", sl_code_name(code), sl_code_name(expected), error.message,
                 error.traceback != NULL ? error.traceback : "");
    }
    sl_error_finish(&error);
    return result;
}

static void recycles_early(struct sl_pool_options *options) {
    options->recycle_batches = 4;
    options->recycle_jitter_percent = 0;
}

static void a_session_moves_on_from_its_last_checkpoint(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, NULL);
    struct sl_session *session = session_open(&host, NULL);
    assert_int_equal(add(&host, session, "session_moving:add", 5, SL_OK), 5);
    assert_int_equal(add(&host, session, "session_moving:add", 6, SL_OK), 11);
    /* The checkpoint of a batch is made after its reply. */
    for (int i = 0; i < 5000 && info_of(session).checkpoint_bytes == 0; i++) {
        usleep(1000);
    }
    assert_true(info_of(session).checkpoint_bytes > 0);
    struct sl_session_info before = info_of(session);
    assert_int_equal(add(&host, session, "session_moving:restored", 0, SL_OK), 0);
    (void)add(&host, session, "session_moving:add_and_die", 100, SL_E_WORKER_CRASHED);
    assert_int_equal(add(&host, session, "session_moving:add", 1, SL_OK), 12);
    assert_int_equal(add(&host, session, "session_moving:restored", 0, SL_OK), 1);
    struct sl_session_info after = info_of(session);
    assert_int_equal(after.move_count, 1);
    assert_true(after.worker != before.worker || after.generation != before.generation);
    assert_int_equal(after.state, SL_SESSION_OPEN);
    assert_int_equal(host_stats(&host).session_lost_count, 0);
    sl_session_close(session);
    host_close(&host);
}

static void a_session_moves_when_its_worker_is_recycled(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, recycles_early);
    struct sl_session *session = session_open(&host, NULL);
    int64_t sum = 0;
    uint64_t until = now_ms() + 20000;
    for (int i = 1; info_of(session).move_count < 2 && now_ms() < until;
         i++) { /* what it did before the end of each worker is not lost either */
        sum += i;
        assert_int_equal(add(&host, session, "session_moving:add", i, SL_OK), sum);
    }
    assert_int_equal(info_of(session).move_count, 2);
    assert_true(host_stats(&host).recycle_count >= 2);
    assert_int_equal(host_stats(&host).death_count, 0);
    sl_session_close(session);
    host_close(&host);
}

static void a_session_moves_when_the_pool_shrinks(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    host_open(&host, 3, NULL);
    struct sl_session *sessions[6];
    for (int i = 0; i < 6; i++) {
        sessions[i] = session_open(&host, NULL);
        assert_int_equal(add(&host, sessions[i], "session_moving:add", i, SL_OK), i);
    }
    assert_int_equal(sl_pool_resize(host.pool, 1, 1, &error), SL_OK);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(add(&host, sessions[i], "session_moving:add", 10, SL_OK), i + 10);
        sl_session_close(sessions[i]);
    }
    sl_error_finish(&error);
    host_close(&host);
}

static void without_a_checkpoint_a_recycled_home_is_a_loss(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    host_open(&host, 1, recycles_early);
    struct sl_session *session = session_open(&host, NULL);
    enum sl_code code = SL_OK;
    int64_t counted = 0;
    struct sl_session_info home = {0};
    uint64_t until = now_ms() + 20000;
    while (code == SL_OK && now_ms() < until) {
        const struct call call = {.host = &host, .session = session, .function = "count"};
        int64_t result = 0;
        code = call_in(&call, &result, &error);
        if (code == SL_OK) {
            assert_int_equal(result, ++counted); /* never half of it */
            home = info_of(session);
        }
    }
    char expected[160];
    assert_int_equal(code, SL_E_SESSION_LOST);
    snprintf(expected, sizeof expected,
             "session %" PRIu64 ": worker %u generation %u, which held its state, was recycled, ",
             sl_session_id(session), home.worker, home.generation);
    if (strncmp(error.message, expected, strlen(expected)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", error.message, expected);
    }
    assert_int_equal(host_stats(&host).session_lost_count, 1);
    sl_session_close(session);
    sl_error_finish(&error);
    host_close(&host);
}

static void tiny_checkpoints(struct sl_session_options *options) {
    options->checkpoint_bytes_max = 4;
}

static void a_checkpoint_that_is_too_large_is_none(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, NULL);
    struct sl_session *session = session_open(&host, tiny_checkpoints);
    assert_int_equal(add(&host, session, "session_moving:add", 5, SL_OK), 5);
    assert_int_equal(add(&host, session, "session_moving:add", 5, SL_OK), 10);
    assert_int_equal(info_of(session).checkpoint_bytes, 0);
    (void)add(&host, session, "session_moving:add_and_die", 1, SL_E_WORKER_CRASHED);
    (void)add(&host, session, "session_moving:add", 1, SL_E_SESSION_LOST);
    sl_session_close(session);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_moves_on_from_its_last_checkpoint),
        cmocka_unit_test(a_session_moves_when_its_worker_is_recycled),
        cmocka_unit_test(a_session_moves_when_the_pool_shrinks),
        cmocka_unit_test(without_a_checkpoint_a_recycled_home_is_a_loss),
        cmocka_unit_test(a_checkpoint_that_is_too_large_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
