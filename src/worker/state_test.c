/* SPDX-License-Identifier: MIT */
#include "worker/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void every_pair_has_an_answer(void **unused) {
    (void)unused;
    for (int state = 0; state < SL__WORKER_STATE_COUNT; state++) {
        for (int event = SL__EVENT_NONE + 1; event < SL__WORKER_EVENT_COUNT; event++) {
            struct sl__worker_answer answer = sl__worker_answer(state, event);
            if (answer.action == SL__ACTION_UNANSWERED) {
                fail_msg("no answer to \"%s\" in state \"%s\"", sl__worker_event_name(event),
                         sl__worker_state_name(state));
            }
            assert_true(answer.action < SL__WORKER_ACTION_COUNT);
            assert_true(answer.next < SL__WORKER_STATE_COUNT);
        }
    }
}

static void what_cannot_be_changes_nothing(void **unused) {
    (void)unused;
    for (int state = 0; state < SL__WORKER_STATE_COUNT; state++) {
        for (int event = SL__EVENT_NONE + 1; event < SL__WORKER_EVENT_COUNT; event++) {
            struct sl__worker_answer answer = sl__worker_answer(state, event);
            if (answer.action == SL__ACTION_CANNOT_BE) {
                assert_int_equal(answer.next, state);
            }
        }
    }
}

static bool has_process(int state) {
    return state == SL__WORKER_HANDSHAKING || state == SL__WORKER_READY || state == SL__WORKER_LEAVING ||
           state == SL__WORKER_QUESTIONED || state == SL__WORKER_TERMINATING || state == SL__WORKER_KILLING ||
           state == SL__WORKER_STOPPING || state == SL__WORKER_ENDING;
}

static void wherever_there_is_a_process_its_end_is_collected(void **unused) {
    (void)unused;
    for (int state = 0; state < SL__WORKER_STATE_COUNT; state++) {
        struct sl__worker_answer answer = sl__worker_answer(state, SL__EVENT_EXITED);
        if (has_process(state)) {
            assert_true(answer.action == SL__ACTION_COLLECT || answer.action == SL__ACTION_COLLECT_LAST);
            assert_false(has_process(answer.next));
        } else {
            assert_int_equal(answer.action, SL__ACTION_CANNOT_BE);
        }
    }
}

/* Whether a worker is stopped in the end, whatever it does: its silence is answered by the timer alone. */
static void a_stop_ends_in_stopped_though_the_worker_does_nothing(void **unused) {
    (void)unused;
    for (int start = 0; start < SL__WORKER_STATE_COUNT; start++) {
        if (start == SL__WORKER_DEAD) {
            continue; /* passes within one call */
        }
        enum sl__worker_state state = sl__worker_answer(start, SL__EVENT_STOP).next;
        for (int i = 0; i < 4 && state != SL__WORKER_STOPPED; i++) {
            state = sl__worker_answer(state, SL__EVENT_TIME_UP).next;
        }
        assert_int_equal(state, SL__WORKER_STOPPED);
    }
}

/* The same for a worker that is to be replaced: it may say nothing, or say all kinds of things, but does not end. */
static void a_condemned_worker_is_gone_though_it_does_nothing(void **unused) {
    (void)unused;
    const enum sl__worker_event said[] = {SL__EVENT_TIME_UP, SL__EVENT_TOLD, SL__EVENT_ANSWERED, SL__EVENT_BABBLED};
    for (size_t i = 0; i < 4; i++) {
        enum sl__worker_state state = sl__worker_answer(SL__WORKER_READY, SL__EVENT_CONDEMNED).next;
        assert_int_equal(state, SL__WORKER_QUESTIONED);
        state = sl__worker_answer(state, said[i]).next;
        for (int left = 4; left > 0 && state != SL__WORKER_DEAD; left--) {
            state = sl__worker_answer(state, SL__EVENT_TIME_UP).next;
        }
        assert_int_equal(state, SL__WORKER_DEAD);
    }
}

static void what_is_never_started_again_after_a_stop(void **unused) {
    (void)unused;
    const enum sl__worker_state stopping[] = {SL__WORKER_STOPPING, SL__WORKER_ENDING};
    for (size_t i = 0; i < 2; i++) {
        for (int event = SL__EVENT_NONE + 1; event < SL__WORKER_EVENT_COUNT; event++) {
            struct sl__worker_answer answer = sl__worker_answer(stopping[i], event);
            assert_int_not_equal(answer.action, SL__ACTION_SPAWN);
            assert_true(answer.next == SL__WORKER_STOPPING || answer.next == SL__WORKER_ENDING ||
                        answer.next == SL__WORKER_STOPPED);
        }
    }
}

static void names_are_there_and_differ(void **unused) {
    (void)unused;
    for (int a = 0; a < SL__WORKER_STATE_COUNT; a++) {
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(sl__worker_state_name(a), sl__worker_state_name(b));
        }
    }
    for (int a = 0; a < SL__WORKER_ACTION_COUNT; a++) {
        assert_true(strlen(sl__worker_action_name(a)) > 0);
    }
    assert_string_equal(sl__worker_event_name(SL__EVENT_HUNG_UP), "hung up");
    assert_string_equal(sl__worker_state_name(SL__WORKER_STATE_COUNT), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_has_an_answer),
        cmocka_unit_test(what_cannot_be_changes_nothing),
        cmocka_unit_test(wherever_there_is_a_process_its_end_is_collected),
        cmocka_unit_test(a_stop_ends_in_stopped_though_the_worker_does_nothing),
        cmocka_unit_test(a_condemned_worker_is_gone_though_it_does_nothing),
        cmocka_unit_test(what_is_never_started_again_after_a_stop),
        cmocka_unit_test(names_are_there_and_differ),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
