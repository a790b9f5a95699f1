/* SPDX-License-Identifier: MIT */
#include "allot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "testing/fixture.h"

#define WORKERS 4
#define WAITERS 8

struct line {
    struct sl__allot allot;
    struct sl__bell bells[WAITERS];
    struct sl__waiter waiters[WAITERS];
};

static struct line *begin(void) {
    struct line *line = calloc(1, sizeof(*line));
    assert_true(sl__allot_init(&line->allot, WORKERS));
    for (size_t i = 0; i < WAITERS; i++) {
        sl__bell_init(&line->bells[i]);
        line->waiters[i].bell = &line->bells[i];
        line->waiters[i].worker = SL__ANY_WORKER;
    }
    return line;
}

static void end(struct line *line) {
    for (size_t i = 0; i < WAITERS; i++) {
        if (line->waiters[i].queued) {
            sl__allot_leave(&line->allot, &line->waiters[i]);
        }
    }
    sl__allot_finish(&line->allot);
    free(line);
}

static void queue(struct line *line, size_t waiter, uint32_t worker) {
    line->waiters[waiter].worker = worker;
    sl__allot_queue(&line->allot, &line->waiters[waiter]);
}

static uint32_t take(struct line *line, size_t waiter, uint32_t wanted) {
    uint32_t worker = sl__allot_take(&line->allot, &line->waiters[waiter], wanted);
    if (worker != SL__NOBODY && line->waiters[waiter].queued) {
        sl__allot_leave(&line->allot, &line->waiters[waiter]);
    }
    return worker;
}

/* The set of waiters that a ring rings, as bits. */
static unsigned rung(struct line *line) {
    uint32_t before[WAITERS];
    for (size_t i = 0; i < WAITERS; i++) {
        before[i] = line->bells[i].value;
    }
    sl__allot_ring(&line->allot);
    unsigned bits = 0;
    for (size_t i = 0; i < WAITERS; i++) {
        bits |= line->bells[i].value != before[i] ? 1u << i : 0;
    }
    return bits;
}

static void the_lane_that_was_used_last_is_taken_first(void **unused) {
    (void)unused;
    struct line *line = begin();
    assert_int_equal(take(line, 0, SL__ANY_WORKER), SL__NOBODY);
    sl__allot_put(&line->allot, 1);
    sl__allot_put(&line->allot, 3);
    sl__allot_put(&line->allot, 0);
    assert_int_equal(take(line, 0, SL__ANY_WORKER), 0);
    assert_int_equal(take(line, 0, 1), 1);
    assert_int_equal(take(line, 0, 1), SL__NOBODY);
    sl__allot_withdraw(&line->allot, 3);
    assert_int_equal(take(line, 0, SL__ANY_WORKER), SL__NOBODY);
    assert_int_equal(line->allot.idle_count, 0);
    end(line);
}

static void who_came_first_is_served_first(void **unused) {
    (void)unused;
    struct line *line = begin();
    queue(line, 0, SL__ANY_WORKER);
    queue(line, 1, SL__ANY_WORKER);
    sl__allot_put(&line->allot, 2);
    assert_int_equal(rung(line), 1u << 0);
    assert_int_equal(take(line, 2, SL__ANY_WORKER), SL__NOBODY); /* a newcomer does not overtake */
    assert_int_equal(take(line, 2, 2), SL__NOBODY);
    assert_int_equal(take(line, 1, SL__ANY_WORKER), SL__NOBODY);
    sl__allot_put(&line->allot, 3);
    assert_int_equal(rung(line), 3u);
    assert_int_not_equal(take(line, 1, SL__ANY_WORKER), SL__NOBODY); /* one is left for the first */
    assert_int_equal(take(line, 2, SL__ANY_WORKER), SL__NOBODY);
    assert_int_not_equal(take(line, 0, SL__ANY_WORKER), SL__NOBODY);
    end(line);
}

static void who_waits_for_a_busy_worker_is_in_nobodys_way(void **unused) {
    (void)unused;
    struct line *line = begin();
    queue(line, 0, 1);
    queue(line, 1, SL__ANY_WORKER);
    sl__allot_put(&line->allot, 2);
    assert_int_equal(rung(line), 1u << 1);
    assert_int_equal(take(line, 1, SL__ANY_WORKER), 2);
    sl__allot_put(&line->allot, 1);
    assert_int_equal(rung(line), 1u << 0);
    assert_int_equal(take(line, 2, SL__ANY_WORKER), SL__NOBODY); /* it is kept for the one who waits for it */
    assert_int_equal(take(line, 0, 1), 1);
    end(line);
}

static void one_lane_is_kept_once_for_many_who_want_just_it(void **unused) {
    (void)unused;
    struct line *line = begin();
    queue(line, 0, 1);
    queue(line, 1, 1);
    queue(line, 2, SL__ANY_WORKER);
    sl__allot_put(&line->allot, 1);
    sl__allot_put(&line->allot, 0);
    assert_int_equal(rung(line), 1u << 0 | 1u << 2);
    assert_int_equal(take(line, 1, 1), SL__NOBODY);
    assert_int_equal(take(line, 2, SL__ANY_WORKER), 0); /* not 1, which is spoken for */
    assert_int_equal(take(line, 0, 1), 1);
    end(line);
}

static void who_takes_any_leaves_the_wanted_one_to_those_behind(void **unused) {
    (void)unused;
    struct line *line = begin();
    queue(line, 0, SL__ANY_WORKER);
    queue(line, 1, 2);
    sl__allot_put(&line->allot, 1);
    sl__allot_put(&line->allot, 2); /* used last: would be the first choice */
    assert_int_equal(rung(line), 3u);
    assert_int_equal(take(line, 0, SL__ANY_WORKER), 1);
    assert_int_equal(take(line, 1, 2), 2);
    end(line);
}

static void who_leaves_lets_the_next_one_up(void **unused) {
    (void)unused;
    struct line *line = begin();
    queue(line, 0, SL__ANY_WORKER);
    queue(line, 1, SL__ANY_WORKER);
    queue(line, 2, SL__ANY_WORKER);
    sl__allot_put(&line->allot, 0);
    assert_int_equal(rung(line), 1u << 0);
    sl__allot_leave(&line->allot, &line->waiters[0]);
    assert_int_equal(rung(line), 1u << 1);
    sl__allot_leave(&line->allot, &line->waiters[1]); /* from the front, of two */
    assert_int_equal(take(line, 2, SL__ANY_WORKER), 0);
    assert_int_equal(line->allot.waiter_count, 0);
    end(line);
}

/*
 * Random histories against what fairness means, said in another way: serve the line from the front, each with any lane that is idle and that it may
 * take; whoever is rung, and only who is rung, gets a lane when he asks.
 */
static void rung_and_granted_are_the_same(void **unused) {
    (void)unused;
    unsigned seed = test_seed();
    for (int round = 0; round < 300; round++) {
        struct line *line = begin();
        bool idle[WORKERS] = {false};
        for (int turn = 0; turn < 60; turn++) {
            size_t waiter = (size_t)rand_r(&seed) % WAITERS;
            uint32_t worker = (uint32_t)rand_r(&seed) % WORKERS;
            uint32_t wanted = rand_r(&seed) % 2 == 0 ? SL__ANY_WORKER : worker;
            switch (rand_r(&seed) % 4) {
            case 0:
                if (!idle[worker]) {
                    idle[worker] = true;
                    sl__allot_put(&line->allot, worker);
                }
                break;
            case 1:
                if (!line->waiters[waiter].queued) {
                    queue(line, waiter, wanted);
                }
                break;
            case 2:
                if (line->waiters[waiter].queued) {
                    sl__allot_leave(&line->allot, &line->waiters[waiter]);
                }
                break;
            default: {
                unsigned may = rung(line);
                bool queued = line->waiters[waiter].queued;
                if (queued) {
                    wanted = line->waiters[waiter].worker;
                }
                uint32_t granted = take(line, waiter, wanted);
                if (queued) {
                    assert_int_equal(granted != SL__NOBODY, (may >> waiter) & 1);
                }
                if (granted != SL__NOBODY) {
                    assert_true(idle[granted]);
                    assert_true(wanted == SL__ANY_WORKER || wanted == granted);
                    idle[granted] = false;
                }
            }
            }
        }
        end(line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lane_that_was_used_last_is_taken_first),
        cmocka_unit_test(who_came_first_is_served_first),
        cmocka_unit_test(who_waits_for_a_busy_worker_is_in_nobodys_way),
        cmocka_unit_test(one_lane_is_kept_once_for_many_who_want_just_it),
        cmocka_unit_test(who_takes_any_leaves_the_wanted_one_to_those_behind),
        cmocka_unit_test(who_leaves_lets_the_next_one_up),
        cmocka_unit_test(rung_and_granted_are_the_same),
    };
    return cmocka_run_group_tests_name("allot", tests, NULL, NULL);
}
