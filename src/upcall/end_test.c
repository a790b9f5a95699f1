/* SPDX-License-Identifier: MIT */
/* Callers and runtimes that end badly: babblers, deaths, a system that refuses; and the frames that calls of calls are in. */
#include "testing/callers.h"

#include <pthread.h>

#include "sys/clock.h"
#include "sys/fault.h"
#include "sys/packet.h"

static void a_babbler_is_given_up(void **state) {
    (void)state;
    struct worker bad = {0}, good = {0};
    worker_open(&bad);
    worker_open(&good);
    view_of("echo", echo, NULL, 5000, 0);
    assert_int_equal(sl__packet_send(bad.fd, "nonsense", 8, NULL, 0, 0, NULL), SL_OK);
    hear_outcome(&good, ask(&good, "echo"), SL__CALL_RESULT, SL_OK, "");
    uint64_t deadline_ns = sl__clock_deadline_ms(20000);
    while (bad.broken == 0 && !sl__clock_passed(deadline_ns)) {
        sched_yield();
    }
    assert_int_equal(bad.broken, 1);
    assert_non_null(strstr(bad.why, "8 bytes"));
    /* Nothing more is read from it. */
    ask(&bad, "echo");
    hear_outcome(&good, ask(&good, "echo"), SL__CALL_RESULT, SL_OK, "");
    assert_int_equal(stats().call_count, 2);
    worker_close(&bad);
    worker_close(&good);
}

static void a_worker_that_dies_leaves_nothing(void **state) {
    (void)state;
    view_of("gated", gated, NULL, 20000, 4);
    uint32_t before = open_count();
    for (int round = 0; round < 5; round++) {
        struct worker worker = {0};
        gate_open(false);
        worker_open(&worker);
        for (int i = 0; i < 6; i++) { /* four run, two wait */
            ask(&worker, "gated");
        }
        gate_await_inside(4);
        await_stat(waiting_count, 2);
        worker_close(&worker);
        gate_open(true);
        await_stat(running_count, 0);
        await_stat(waiting_count, 0);
        struct worker other = {0};
        worker_open(&other);
        hear_outcome(&other, ask(&other, "gated"), SL__CALL_RESULT, SL_OK, "");
        worker_close(&other);
        await_stat(open_count, before); /* the host closes its end when it has seen that of the worker */
    }
    assert_true(stats().dropped_count >= 5 * 4);
}

static void *end_runtime(void *ended) {
    sl_runtime_destroy(ended);
    return NULL;
}

static void a_runtime_ends_with_calls_in_line(void **state) {
    (void)state;
    struct worker worker = {0};
    pthread_t thread;
    worker_open(&worker);
    view_of("gated", gated, NULL, 20000, 1);
    ask(&worker, "gated");
    gate_await_inside(1);
    ask(&worker, "gated");
    await_stat(waiting_count, 1);
    worker_close(&worker);
    assert_int_equal(pthread_create(&thread, NULL, end_runtime, runtime), 0);
    for (bool closing = false; !closing; sched_yield()) {
        pthread_mutex_lock(&upcalls->lock);
        closing = upcalls->closing;
        pthread_mutex_unlock(&upcalls->lock);
    }
    gate_open(true); /* it waits for the one that runs, and the other does not begin any more */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(gate.passed, 1);
    runtime = NULL;
}

/* ---- frames ----------------------------------------------------------------------------------------------------------- */

static enum sl_code tell_frame(void *context, const struct sl_view_call *call, struct sl_writer *result,
                               struct sl_error *error) {
    (void)error;
    const struct sl__frame *frame = sl__frame_current();
    assert_non_null(frame);
    assert_int_equal(frame->depth, call->depth);
    pthread_mutex_lock(&gate.lock);
    *(struct sl__frame *)context = *frame;
    pthread_mutex_unlock(&gate.lock);
    sl_write_uint(result, call->depth);
    return SL_OK;
}

/* What the last call has left in `last`. */
static struct sl__frame take_frame(const struct sl__frame *last) {
    pthread_mutex_lock(&gate.lock);
    struct sl__frame taken = *last;
    pthread_mutex_unlock(&gate.lock);
    return taken;
}

static void a_frame_goes_with_what_is_lent(void **state) {
    (void)state;
    static const char first_pool, second_pool;
    struct worker first = {.owner = &first_pool, .index = 4}, second = {.owner = &second_pool, .index = 5};
    struct sl__frame last, seen, outer;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    worker_open(&first);
    worker_open(&second);
    options.name = "frame", options.call = tell_frame, options.context = &last;
    assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);
    assert_null(sl__frame_current());
    hear_outcome(&first, ask(&first, "frame"), SL__CALL_RESULT, SL_OK, "");
    outer = take_frame(&last);
    assert_int_equal(outer.depth, 1);
    assert_int_equal(sl__frame_count(&outer, &first_pool, UINT32_MAX), 1);
    assert_int_equal(sl__frame_count(&outer, &first_pool, 4), 1);
    assert_int_equal(sl__frame_count(&outer, &first_pool, 5), 0);
    assert_int_equal(sl__frame_count(&outer, &second_pool, UINT32_MAX), 0);
    assert_int_equal(sl__frame_count(NULL, &first_pool, UINT32_MAX), 0);

    sl__port_lend(second.port, &outer);
    hear_outcome(&second, ask(&second, "frame"), SL__CALL_RESULT, SL_OK, "");
    seen = take_frame(&last);
    assert_int_equal(seen.depth, 2);
    assert_int_equal(sl__frame_count(&seen, &first_pool, 4), 1);
    assert_int_equal(sl__frame_count(&seen, &second_pool, 5), 1);
    assert_ptr_equal(seen.entries[0].view, seen.entries[1].view);

    outer.depth = SL_VIEW_DEPTH_MAX;
    sl__port_lend(second.port, &outer);
    hear_outcome(&second, ask(&second, "frame"), SL__CALL_FAILED, SL_E_LIMIT, "16 views deep");
    sl__port_lend(second.port, NULL);
    hear_outcome(&second, ask(&second, "frame"), SL__CALL_RESULT, SL_OK, "");
    seen = take_frame(&last);
    assert_int_equal(seen.depth, 1);
    sl__port_lend(NULL, &outer);
    worker_close(&first);
    worker_close(&second);
}
static void what_the_system_refuses_is_told(void **state) {
    (void)state;
    const struct {
        enum sl__sys_call call;
        uint32_t after;
    } steps[] = {{SL__CALL_EPOLL_CREATE, 0},
                 {SL__CALL_EVENTFD, 0},
                 {SL__CALL_TIMERFD, 0},
                 {SL__CALL_EPOLL_CTL, 0},
                 {SL__CALL_EPOLL_CTL, 1}};
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    options.name = "v", options.call = echo;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct sl_runtime *fresh;
        struct sl_error error = SL_ERROR_INIT;
        assert_int_equal(sl_runtime_create(NULL, &fresh, &error), SL_OK);
        uint32_t before = open_count();
        sl__sys_fail_next(steps[i].call, 24, steps[i].after);
        assert_int_equal(sl_view_register(fresh, &options, NULL, &error), SL_E_SYSTEM);
        assert_int_equal(error.system_errno, 24);
        assert_int_equal(open_count(), before);
        sl__sys_fail_clear();
        assert_int_equal(sl_view_register(fresh, &options, NULL, &error), SL_OK);
        sl_runtime_destroy(fresh);
        sl_error_finish(&error);
    }
    struct worker worker = {0};
    uint32_t before = open_count();
    sl__sys_fail_next(SL__CALL_SOCKETPAIR, 24, 0);
    sl__loop_call(runtime->loop, open_port, &worker);
    assert_int_equal(worker.code, SL_E_SYSTEM);
    assert_int_equal(open_count(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(a_babbler_is_given_up, open_runtime),
        WITH(a_worker_that_dies_leaves_nothing, open_runtime),
        WITH(a_runtime_ends_with_calls_in_line, open_runtime),
        WITH(a_frame_goes_with_what_is_lent, open_runtime),
        WITH(what_the_system_refuses_is_told, open_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
