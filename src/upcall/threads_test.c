/* SPDX-License-Identifier: MIT */
/* The threads that views run on: how many, for how long, in which order; and a storm of calls. */
#include "testing/callers.h"

#include <pthread.h>
#include <stdlib.h>

#include "sys/packet.h"

static void calls_of_one_worker_overlap(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("slow", gated, NULL, 20000, 0);
    view_of("echo", echo, NULL, 5000, 0);
    for (int i = 0; i < 10; i++) { /* it is thought to be swift now: its socket is held while a view runs */
        hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    }
    uint64_t slow = ask(&worker, "slow");
    gate_await_inside(1);
    for (int i = 0; i < 10; i++) {
        hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    }
    gate_open(true);
    hear_outcome(&worker, slow, SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

static void threads_grow_to_their_bound(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker); /* of a runtime with 2 */
    view_of("gated", gated, NULL, 60, 0);
    uint64_t numbers[4];
    uint64_t started = ask_as(&worker, "gated", SL__CALL_ONE, 0);
    (void)started;
    gate_await_inside(1);
    ask_as(&worker, "gated", SL__CALL_ONE, 0);
    gate_await_inside(2);
    for (int i = 0; i < 2; i++) {
        numbers[i] = ask_as(&worker, "gated", SL__CALL_ONE, 0);
    }
    await_stat(waiting_count, 2);
    assert_int_equal(stats().thread_count, 3); /* those, and one that listens */
    uint32_t timed_out = 0, exhausted = 0;
    for (int i = 0; i < 4; i++) {
        hear(&worker);
        timed_out += answer.head.outcome == SL__CALL_TIMED_OUT;
        if (answer.head.outcome == SL__CALL_FAILED) {
            assert_true(answer.head.number >= numbers[0]);
            assert_int_equal(answer.head.code, SL_E_POOL_EXHAUSTED);
            assert_non_null(strstr(answer.text, "2 views run at once"));
            exhausted++;
        }
    }
    assert_int_equal(timed_out, 2);
    assert_int_equal(exhausted, 2);
    gate_open(true);
    await_stat(running_count, 0);
    assert_int_equal(gate_inside_most(), 2);
    assert_int_equal(stats().call_count, 2);
    worker_close(&worker);
}

static void calls_in_line_run_when_there_is_room(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker); /* of a runtime with 2 */
    view_of("gated", gated, NULL, 20000, 0);
    view_of("echo", echo, NULL, 20000, 0);
    bool seen[20] = {false};
    ask(&worker, "gated");
    gate_await_inside(1);
    ask(&worker, "gated");
    gate_await_inside(2);
    for (int i = 2; i < 20; i++) {
        ask(&worker, i % 2 == 0 ? "gated" : "echo");
    }
    await_stat(waiting_count, 18);
    gate_open(true);
    for (int i = 0; i < 20; i++) {
        hear(&worker);
        assert_int_equal(answer.head.outcome, SL__CALL_RESULT);
        assert_in_range(answer.head.number, 1, 20);
        assert_false(seen[answer.head.number - 1]);
        seen[answer.head.number - 1] = true;
        if (answer.head.number > 2 && answer.head.number % 2 == 0) { /* the copy of what waited is whole */
            assert_memory_equal(answer.value.data, "\x92\x91\x05\x80", 4);
        }
    }
    assert_int_equal(gate_inside_most(), 2);
    worker_close(&worker);
}

static void concurrency_bounds_one_view(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("gated", gated, NULL, 50, 2);
    view_of("echo", echo, NULL, 5000, 0);
    ask_as(&worker, "gated", SL__CALL_ONE, 0);
    gate_await_inside(1);
    ask_as(&worker, "gated", SL__CALL_ONE, 0);
    gate_await_inside(2);
    uint64_t third = ask_as(&worker, "gated", SL__CALL_ONE, 0);
    await_stat(waiting_count, 1);
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    for (int i = 0; i < 3; i++) {
        hear(&worker);
        if (answer.head.number == third) {
            assert_int_equal(answer.head.outcome, SL__CALL_FAILED);
            assert_int_equal(answer.head.code, SL_E_POOL_EXHAUSTED);
            assert_non_null(strstr(answer.text, "its `concurrency`"));
        } else {
            assert_int_equal(answer.head.outcome, SL__CALL_TIMED_OUT);
        }
    }
    gate_open(true);
    await_stat(running_count, 0);
    assert_int_equal(gate_inside_most(), 2);
    worker_close(&worker);
}

static void idle_threads_end(void **state) {
    (void)state;
    struct worker workers[8] = {{0}};
    upcalls->idle_ms = 10;
    view_of("gated", gated, NULL, 20000, 0);
    for (uint32_t i = 0; i < 8; i++) {
        worker_open(&workers[i]);
        ask(&workers[i], "gated");
    }
    gate_await_inside(8);
    await_stat(thread_count, 9);
    gate_open(true);
    for (int i = 0; i < 8; i++) {
        hear(&workers[i]);
    }
    await_stat(thread_count, SL__LISTENERS_KEPT);
    for (int i = 0; i < 8; i++) {
        hear_outcome(&workers[i], ask(&workers[i], "gated"), SL__CALL_RESULT, SL_OK, "");
        worker_close(&workers[i]);
    }
}

static void pending_calls_of_a_worker_are_bounded(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("gated", gated, NULL, 20000, 1);
    for (int i = 0; i < SL__CALL_PENDING_MAX; i++) {
        ask(&worker, "gated");
    }
    uint64_t one_more = ask(&worker, "gated");
    hear_outcome(&worker, one_more, SL__CALL_FAILED, SL_E_LIMIT, "64 calls of views under way");
    gate_open(true);
    for (int i = 0; i < SL__CALL_PENDING_MAX; i++) {
        hear(&worker);
        assert_int_equal(answer.head.outcome, SL__CALL_RESULT);
    }
    hear_outcome(&worker, ask(&worker, "gated"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}
#define STORM_WORKERS 6
#define STORM_CALLS 400

static void *storm(void *argument) {
    struct worker *worker = argument;
    struct answer *own = malloc(sizeof *own);
    for (int i = 0; i < STORM_CALLS; i++) {
        size_t size, fds;
        uint64_t number = ask(worker, i % 3 == 0 ? "echo" : i % 3 == 1 ? "twice" : "comes and goes");
        if (own == NULL ||
            sl__packet_receive(worker->fd, own->bytes, sizeof own->bytes, &size, NULL, 0, &fds, 0, NULL)) {
            break;
        }
        memcpy(&own->head, own->bytes, sizeof own->head);
        if (own->head.number != number || (i % 3 != 2 && own->head.outcome != SL__CALL_RESULT)) {
            break;
        }
        worker->index++;
    }
    free(own);
    return NULL;
}

static void a_storm_of_calls_is_answered(void **state) {
    (void)state;
    struct worker workers[STORM_WORKERS] = {{0}};
    pthread_t threads[STORM_WORKERS];
    view_of("echo", echo, NULL, 20000, 0);
    view_of("twice", NULL, twice, 20000, 1);
    for (int i = 0; i < STORM_WORKERS; i++) {
        worker_open(&workers[i]);
        workers[i].index = 0;
        assert_int_equal(pthread_create(&threads[i], NULL, storm, &workers[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        sl_view_unregister(view_of("comes and goes", echo, NULL, 20000, i % 3));
    }
    for (int i = 0; i < STORM_WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].index, STORM_CALLS);
        worker_close(&workers[i]);
    }
    struct sl_view_stats now = stats();
    assert_int_equal(now.call_count + now.refusal_count, STORM_WORKERS * STORM_CALLS);
    assert_int_equal(now.timeout_count + now.dropped_count + now.failure_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(calls_of_one_worker_overlap, open_runtime),
        WITH(threads_grow_to_their_bound, open_runtime_of_2),
        WITH(calls_in_line_run_when_there_is_room, open_runtime_of_2),
        WITH(concurrency_bounds_one_view, open_runtime),
        WITH(idle_threads_end, open_runtime),
        WITH(pending_calls_of_a_worker_are_bounded, open_runtime),
        WITH(a_storm_of_calls_is_answered, open_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
