/* SPDX-License-Identifier: MIT */
/* Affinities, in what they promise about workers and waiting. */
#include <pthread.h>
#include <unistd.h>

#include "calls.h"

/* A call on a thread of its own, of a function that waits for a file. */
struct visitor {
    pthread_t thread;
    struct call call;
    char path[SCRATCH_SIZE];
    int64_t result;
    enum sl_code code;
};

static void *run_visitor(void *argument) {
    struct visitor *visitor = argument;
    struct sl_error error = SL_ERROR_INIT;
    visitor->code = call_in(&visitor->call, &visitor->result, &error);
    sl_error_finish(&error);
    return NULL;
}

static void visit(struct visitor *visitor, struct host *host, struct sl_session *session, const char *function,
                  uint32_t busy_after) {
    free_path(visitor->path);
    visitor->call = (struct call){.host = host, .session = session, .function = function, .text = visitor->path};
    assert_int_equal(pthread_create(&visitor->thread, NULL, run_visitor, visitor), 0);
    while (host_stats(host).busy_count < busy_after) {
        usleep(1000);
    }
}

static void let_go(struct visitor *visitor) {
    touch(visitor->path);
    pthread_join(visitor->thread, NULL);
    (void)unlink(visitor->path);
}

static void without_state_a_hint_goes_where_there_is_room(void **state) {
    (void)state;
    struct host host;
    struct visitor visitor;
    host_open(&host, 2, NULL);
    struct sl_session *session = session_open(&host, NULL), *other = session_open(&host, NULL);
    int64_t first = ask(&host, session, "where", 0);
    for (int i = 0; i < 10; i++) { /* its last one first, as long as that is idle */
        assert_int_equal(ask(&host, session, "where", 0), first);
    }
    struct call hold = {.host = &host, .session = other, .function = "where"};
    int64_t there = 0;
    do { /* the other's worker becomes the first one's */
        (void)call_in(&hold, &there, NULL);
        sl_session_close(other);
        other = session_open(&host, NULL);
    } while (there != first);
    visit(&visitor, &host, other, "wait_for_file", 1);
    int64_t second = ask(&host, session, "where", 0);
    let_go(&visitor);
    assert_true((visitor.result == first) == (second != first));
    assert_false(info_of(session).has_state);
    sl_session_close(session);
    sl_session_close(other);
    host_close(&host);
}

static void with_state_a_hint_waits_at_home(void **state) {
    (void)state;
    struct host host;
    struct visitor visitor;
    host_open(&host, 2, NULL);
    struct sl_session *session = session_open(&host, NULL), *other = session_open(&host, NULL);
    int64_t home = ask(&host, session, "count_where", 0);
    /* The other has state there as well, so that it has to wait in the same worker. */
    while (ask(&host, other, "count_where", 0) != home) {
        sl_session_close(other);
        other = session_open(&host, NULL);
    }
    visit(&visitor, &host, other, "wait_for_file", 1);
    struct visitor waits = {.call = {.host = &host, .session = session, .function = "count_where"}};
    assert_int_equal(pthread_create(&waits.thread, NULL, run_visitor, &waits), 0);
    while (host_stats(&host).waiter_count == 0) {
        usleep(1000);
    }
    let_go(&visitor);
    pthread_join(waits.thread, NULL);
    assert_int_equal(waits.code, SL_OK);
    assert_int_equal(waits.result, home);
    /* State that is let go of lets go of the home. */
    assert_int_equal(ask(&host, session, "forget", 0), 0);
    assert_false(info_of(session).has_state);
    sl_session_close(session);
    sl_session_close(other);
    host_close(&host);
}

static void two_halves_of_a_session_do_not_come_to_be(void **state) {
    (void)state;
    struct host host;
    struct visitor visitors[4];
    host_open(&host, 2, NULL);
    for (int round = 0; round < 20; round++) {
        struct sl_session *session = session_open(&host, NULL);
        for (int i = 0; i < 4; i++) { /* all at once, and the session has no state yet */
            visitors[i] = (struct visitor){.call = {.host = &host, .session = session, .function = "count"}};
            assert_int_equal(pthread_create(&visitors[i].thread, NULL, run_visitor, &visitors[i]), 0);
        }
        int64_t sum = 0;
        for (int i = 0; i < 4; i++) {
            pthread_join(visitors[i].thread, NULL);
            assert_int_equal(visitors[i].code, SL_OK);
            sum += visitors[i].result;
        }
        assert_int_equal(sum, 1 + 2 + 3 + 4);
        sl_session_close(session);
    }
    host_close(&host);
}

static void strict_keeps_one_worker_from_the_first_call(void **state) {
    (void)state;
    struct host host;
    struct visitor visitor;
    host_open(&host, 2, NULL);
    struct sl_session *session = session_open(&host, NULL), *other = session_open(&host, NULL);
    const struct call queue = {
        .host = &host, .session = session, .affinity = SL_AFFINITY_STRICT_QUEUE, .function = "where"};
    const struct call fast = {
        .host = &host, .session = session, .affinity = SL_AFFINITY_STRICT_FAIL_FAST, .function = "where"};
    struct sl_error error = SL_ERROR_INIT;
    int64_t home = 0, there = 0;
    (void)call_in(&queue, &home, NULL);
    while (ask(&host, other, "count_where", 0) != home) {
        sl_session_close(other);
        other = session_open(&host, NULL);
    }
    visit(&visitor, &host, other, "wait_for_file", 1);
    uint32_t worker = info_of(session).worker;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call_in(&fast, &there, &error), SL_E_WORKER_BUSY);
        assert_int_equal(error.worker, worker);
        assert_non_null(strstr(error.message, "is busy; try again, or use the affinity strict_queue"));
    }
    struct visitor waits = {.call = queue};
    assert_int_equal(pthread_create(&waits.thread, NULL, run_visitor, &waits), 0);
    while (host_stats(&host).waiter_count == 0) {
        usleep(1000);
    }
    let_go(&visitor);
    pthread_join(waits.thread, NULL);
    assert_int_equal(waits.result, home);
    assert_int_equal(call_in(&fast, &there, &error), SL_OK);
    assert_int_equal(there, home);
    sl_session_close(session);
    sl_session_close(other);
    sl_error_finish(&error);
    host_close(&host);
}

static void strict_queue_keeps_the_order(void **state) {
    (void)state;
    enum { COUNT = 6 };
    struct host host;
    struct visitor first, waits[COUNT];
    host_open(&host, 2, NULL);
    struct sl_session *session = session_open(&host, NULL);
    const struct call call = {
        .host = &host, .session = session, .affinity = SL_AFFINITY_STRICT_QUEUE, .function = "count"};
    visit(&first, &host, session, "wait_for_file", 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        waits[i] = (struct visitor){.call = call};
        assert_int_equal(pthread_create(&waits[i].thread, NULL, run_visitor, &waits[i]), 0);
        while (host_stats(&host).waiter_count <= i) {
            usleep(1000);
        }
    }
    let_go(&first);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(waits[i].thread, NULL);
        assert_int_equal(waits[i].result, i + 1);
    }
    sl_session_close(session);
    host_close(&host);
}

static void spread_has_a_namespace_a_worker(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    int64_t pids[2] = {0}, counts[2] = {0}, result = 0;
    host_open(&host, 2, NULL);
    struct sl_session *session = session_open(&host, NULL), *holder = session_open(&host, NULL);
    const struct call count = {
        .host = &host, .session = session, .affinity = SL_AFFINITY_SPREAD, .function = "count_here"};
    const struct call dies = {.host = &host, .session = session, .affinity = SL_AFFINITY_SPREAD, .function = "dies"};
    pids[0] = ask(&host, holder, "count_where", 0); /* the holder stays there */
    for (int i = 0; i < 10; i++) {
        struct visitor visitor;
        bool beside = i % 2 != 0; /* the other worker only */
        if (beside) {
            visit(&visitor, &host, holder, "wait_for_file", 1);
        }
        (void)call_in(&count, &result, NULL);
        if (beside) {
            let_go(&visitor);
            assert_int_not_equal(result % 10000000, pids[0]);
        }
        int at = result % 10000000 == pids[0] ? 0 : 1;
        pids[at] = result % 10000000;
        assert_int_equal(result / 10000000, ++counts[at]);
    }
    assert_int_equal(counts[0] + counts[1], 10);
    assert_int_equal(call_in(&dies, &result, &error), SL_E_WORKER_CRASHED);
    assert_int_equal(info_of(session).state, SL_SESSION_OPEN);
    (void)call_in(&count, &result, NULL); /* one part is left, the other begins anew */
    for (int i = 0; i < 2; i++) {
        assert_true(result % 10000000 != pids[i] || result / 10000000 == counts[i] + 1);
    }
    assert_true(result % 10000000 == pids[0] || result % 10000000 == pids[1] || result / 10000000 == 1);
    assert_int_equal(host_stats(&host).session_lost_count, info_of(holder).state == SL_SESSION_LOST ? 1 : 0);
    sl_session_close(session);
    sl_session_close(holder);
    sl_error_finish(&error);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_state_a_hint_goes_where_there_is_room),
        cmocka_unit_test(with_state_a_hint_waits_at_home),
        cmocka_unit_test(two_halves_of_a_session_do_not_come_to_be),
        cmocka_unit_test(strict_keeps_one_worker_from_the_first_call),
        cmocka_unit_test(strict_queue_keeps_the_order),
        cmocka_unit_test(spread_has_a_namespace_a_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
