/* SPDX-License-Identifier: MIT */
#include "circuit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS 1000000u

static void every_pair_has_an_answer(void **unused) {
    (void)unused;
    for (int state = 0; state < SL__CIRCUIT_STATE_COUNT; state++) {
        for (int event = 0; event < SL__CIRCUIT_EVENT_COUNT; event++) {
            struct sl__circuit_answer answer = sl__circuit_answer(state, event);
            if (answer.action == SL__CIRCUIT_UNANSWERED || answer.next >= SL__CIRCUIT_STATE_COUNT) {
                fail_msg("no answer to \"%s\" in state \"%s\"", sl__circuit_event_name(event),
                         sl__circuit_state_name(state));
            }
            if (answer.action == SL__CIRCUIT_DO_CANNOT_BE || answer.action == SL__CIRCUIT_DO_COUNT) {
                assert_int_equal(answer.next, state);
            }
            /* What has to be done says where it leads, and nothing else leads there. */
            bool trips = answer.action == SL__CIRCUIT_DO_TRIP || answer.action == SL__CIRCUIT_DO_TRIP_AGAIN;
            assert_int_equal(trips, answer.next == SL__CIRCUIT_OPEN && state != SL__CIRCUIT_OPEN);
            assert_int_equal(answer.action == SL__CIRCUIT_DO_CLOSE,
                             answer.next == SL__CIRCUIT_CLOSED && state != SL__CIRCUIT_CLOSED);
        }
    }
}

static void only_one_lane_is_granted_at_a_time(void **unused) {
    (void)unused;
    for (int state = 0; state < SL__CIRCUIT_STATE_COUNT; state++) {
        struct sl__circuit_answer answer = sl__circuit_answer(state, SL__CIRCUIT_IS_GRANTED);
        assert_int_equal(answer.action == SL__CIRCUIT_DO_NOTHING, state == SL__CIRCUIT_INVITING);
        assert_int_equal(answer.next == SL__CIRCUIT_TRYING,
                         state == SL__CIRCUIT_INVITING || state == SL__CIRCUIT_TRYING);
    }
}

static void tell(struct sl__circuit *circuit, enum sl__circuit_event event, enum sl__circuit_action action,
                 enum sl__circuit_state state) {
    assert_int_equal(sl__circuit_tell(circuit, event, 0), action);
    assert_int_equal(circuit->state, state);
}

static void it_opens_is_tried_and_closes(void **unused) {
    (void)unused;
    struct sl__circuit circuit;
    sl__circuit_init(&circuit, 5, 1000, 0);
    assert_int_equal(sl__circuit_shown(&circuit), SL_CIRCUIT_CLOSED);
    assert_int_equal(sl__circuit_tell(&circuit, SL__CIRCUIT_IS_SPENT, 7), SL__CIRCUIT_DO_TRIP);
    assert_int_equal(sl__circuit_shown(&circuit), SL_CIRCUIT_OPEN);
    assert_int_equal(circuit.cooled_ns, 7 + (uint64_t)1000 * MS);
    assert_int_equal(circuit.open_count, 1);
    tell(&circuit, SL__CIRCUIT_IS_DIED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_OPEN);
    tell(&circuit, SL__CIRCUIT_IS_COOLED, SL__CIRCUIT_DO_WARM, SL__CIRCUIT_WARMING);
    assert_int_equal(sl__circuit_shown(&circuit), SL_CIRCUIT_HALF_OPEN);
    tell(&circuit, SL__CIRCUIT_IS_IDLE, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_INVITING);
    tell(&circuit, SL__CIRCUIT_IS_GRANTED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_TRYING);
    tell(&circuit, SL__CIRCUIT_IS_RETURNED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_INVITING);
    tell(&circuit, SL__CIRCUIT_IS_GRANTED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_TRYING);
    tell(&circuit, SL__CIRCUIT_IS_WITHDRAWN, SL__CIRCUIT_DO_WARM, SL__CIRCUIT_WARMING);
    tell(&circuit, SL__CIRCUIT_IS_IDLE, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_INVITING);
    tell(&circuit, SL__CIRCUIT_IS_GRANTED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_TRYING);
    tell(&circuit, SL__CIRCUIT_IS_ANSWERED, SL__CIRCUIT_DO_CLOSE, SL__CIRCUIT_CLOSED);
    assert_int_equal(circuit.open_count, 1);
}

static void starts_that_fail_count_in_a_row_only(void **unused) {
    (void)unused;
    struct sl__circuit circuit;
    sl__circuit_init(&circuit, 3, 1000, 0);
    for (int round = 0; round < 4; round++) {
        tell(&circuit, SL__CIRCUIT_IS_START_FAILED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_CLOSED);
        tell(&circuit, SL__CIRCUIT_IS_START_FAILED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_CLOSED);
        tell(&circuit, SL__CIRCUIT_IS_STARTED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_CLOSED);
    }
    tell(&circuit, SL__CIRCUIT_IS_START_FAILED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_CLOSED);
    tell(&circuit, SL__CIRCUIT_IS_START_FAILED, SL__CIRCUIT_DO_NOTHING, SL__CIRCUIT_CLOSED);
    tell(&circuit, SL__CIRCUIT_IS_START_FAILED, SL__CIRCUIT_DO_TRIP, SL__CIRCUIT_OPEN);
    sl__circuit_init(&circuit, 1, 1000, 0);
    tell(&circuit, SL__CIRCUIT_IS_START_FAILED, SL__CIRCUIT_DO_TRIP, SL__CIRCUIT_OPEN);
}

static void each_cool_down_without_success_is_twice_as_long(void **unused) {
    (void)unused;
    struct sl__circuit circuit;
    sl__circuit_init(&circuit, 5, 700, 0);
    uint64_t expected_ms = 700;
    (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_SPENT, 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(circuit.cooled_ns, expected_ms * MS);
        (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_COOLED, 0);
        assert_int_equal(sl__circuit_tell(&circuit, SL__CIRCUIT_IS_DIED, 0), SL__CIRCUIT_DO_TRIP);
        expected_ms = expected_ms * 2 < SL__COOLDOWN_MAX_MS ? expected_ms * 2 : SL__COOLDOWN_MAX_MS;
    }
    assert_int_equal(circuit.open_count, 41);
    /* Success starts over. */
    (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_COOLED, 0);
    (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_IDLE, 0);
    (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_GRANTED, 0);
    (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_ANSWERED, 0);
    (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_SPENT, 0);
    assert_int_equal(circuit.cooled_ns, (uint64_t)700 * MS);
}

static void chance_takes_off_at_most_a_quarter(void **unused) {
    (void)unused;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t seed = 1; seed < 400; seed++) {
        struct sl__circuit circuit;
        sl__circuit_init(&circuit, 5, 1000, seed * 0x9e3779b97f4a7c15u);
        (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_SPENT, 0);
        least = circuit.cooled_ns < least ? circuit.cooled_ns : least;
        most = circuit.cooled_ns > most ? circuit.cooled_ns : most;
    }
    assert_true(least >= (uint64_t)750 * MS && least < (uint64_t)780 * MS);
    assert_true(most <= (uint64_t)1000 * MS && most > (uint64_t)970 * MS);
}

/* Whatever is told in whatever order, a trial that goes well closes it. */
static void no_order_of_events_leaves_it_open_for_ever(void **unused) {
    (void)unused;
    unsigned seed = 4711;
    struct sl__circuit circuit;
    sl__circuit_init(&circuit, 2, 10, 99);
    uint64_t now = 1;
    for (int i = 0; i < 200000; i++) {
        enum sl__circuit_event event = (enum sl__circuit_event)((unsigned)rand_r(&seed) % SL__CIRCUIT_EVENT_COUNT);
        if (sl__circuit_answer(circuit.state, event).action == SL__CIRCUIT_DO_CANNOT_BE) {
            continue;
        }
        (void)sl__circuit_tell(&circuit, event, now);
        if (i % 1000 != 0 || circuit.state == SL__CIRCUIT_CLOSED) {
            continue;
        }
        (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_COOLED, now);
        (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_IDLE, now);
        if (circuit.state == SL__CIRCUIT_INVITING) {
            (void)sl__circuit_tell(&circuit, SL__CIRCUIT_IS_GRANTED, now);
        }
        assert_int_equal(sl__circuit_tell(&circuit, SL__CIRCUIT_IS_ANSWERED, now), SL__CIRCUIT_DO_CLOSE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_has_an_answer),
        cmocka_unit_test(only_one_lane_is_granted_at_a_time),
        cmocka_unit_test(it_opens_is_tried_and_closes),
        cmocka_unit_test(starts_that_fail_count_in_a_row_only),
        cmocka_unit_test(each_cool_down_without_success_is_twice_as_long),
        cmocka_unit_test(chance_takes_off_at_most_a_quarter),
        cmocka_unit_test(no_order_of_events_leaves_it_open_for_ever),
    };
    return cmocka_run_group_tests_name("circuit", tests, NULL, NULL);
}
