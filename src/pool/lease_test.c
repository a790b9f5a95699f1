/* SPDX-License-Identifier: MIT */
/* Leases: who gets one, and what becomes of it when the worker dies, is killed, or the lane comes back dirty. */
#include "testing/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/telemetry.h>

#include "sys/clock.h"

#define SERVE "config;ready;serve;exit=0"

static void a_lease_is_exclusive_and_comes_back(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two, three;
    struct sl__lease *first, *second, *third;
    seeker_init(&one);
    seeker_init(&two);
    seeker_init(&three);
    assert_int_equal(sl__pool_acquire(pool, &one.waiter, SL__ANY_WORKER, &first, NULL), SL_OK);
    assert_int_equal(sl__pool_acquire(pool, &two.waiter, SL__ANY_WORKER, &second, NULL), SL_OK);
    assert_int_not_equal(first->worker, second->worker);
    assert_int_equal(first->generation, 1);
    assert_int_equal(stats_of(pool).busy_count, 2);
    assert_false(sl__pool_contended(pool));
    assert_int_equal(sl__pool_acquire(pool, &three.waiter, SL__ANY_WORKER, &third, NULL), SL_E_AGAIN);
    assert_true(three.waiter.queued);
    assert_true(sl__pool_contended(pool));
    assert_true(sl__pool_contended_beside(pool, &one.waiter));
    assert_false(sl__pool_contended_beside(pool, &three.waiter));
    assert_int_equal(stats_of(pool).waiter_count, 1);
    uint32_t worker = first->worker;
    sl__pool_release(pool, first, 5);
    assert_int_equal(seek(pool, &three, SL__ANY_WORKER, &third, NULL), SL_OK);
    assert_int_equal(third->worker, worker);
    assert_int_equal(stats_of(pool).batch_count, 5);
    sl__pool_release(pool, second, 0);
    sl__pool_release(pool, third, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

struct turned_away {
    uint32_t count; /* slither.pool.exhausted, on this thread only */
    uint64_t waiting;
    char pool[32];
};

static void note_turned_away(void *context, const struct sl_event *event) {
    struct turned_away *turned_away = context;
    assert_string_equal(event->name, "slither.pool.exhausted");
    turned_away->count++;
    turned_away->waiting = sl_event_get(event, "waiting")->as_uint;
    snprintf(turned_away->pool, sizeof turned_away->pool, "%s", sl_event_get(event, "pool")->as_text);
}

static void the_line_is_bounded(void **unused) {
    (void)unused;
    struct turned_away turned_away = {0};
    struct sl_telemetry_handler *handler;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, SERVE);
    options.name = "narrow";
    options.waiter_max = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two, three;
    struct sl__lease *lease, *none;
    assert_int_equal(
        sl_telemetry_attach(runtime, "slither.pool.exhausted", note_turned_away, &turned_away, &handler, NULL), SL_OK);
    struct sl_error error = SL_ERROR_INIT;
    seeker_init(&one);
    seeker_init(&two);
    seeker_init(&three);
    assert_int_equal(sl__pool_acquire(pool, &one.waiter, SL__ANY_WORKER, &lease, NULL), SL_OK);
    assert_int_equal(sl__pool_acquire(pool, &two.waiter, SL__ANY_WORKER, &none, NULL), SL_E_AGAIN);
    assert_int_equal(turned_away.count, 0);
    assert_int_equal(sl__pool_acquire(pool, &three.waiter, SL__ANY_WORKER, &none, &error), SL_E_POOL_EXHAUSTED);
    assert_non_null(strstr(error.message, "waiter_max"));
    assert_true(turned_away.count == 1 && turned_away.waiting == 1);
    assert_string_equal(turned_away.pool, "narrow");
    assert_int_equal(sl__pool_acquire(pool, &two.waiter, 0, &none, NULL), SL_E_AGAIN); /* has its place */
    sl__pool_forget_waiter(pool, &two.waiter);
    sl__pool_forget_waiter(pool, &two.waiter);
    assert_int_equal(sl__pool_acquire(pool, &three.waiter, SL__ANY_WORKER, &none, NULL), SL_E_AGAIN);
    sl__pool_forget_waiter(pool, &three.waiter);
    assert_int_equal(sl__pool_acquire(pool, &three.waiter, 1, &none, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(turned_away.count, 1);
    sl_telemetry_detach(handler);
    sl__pool_release(pool, lease, 0);
    sl_error_finish(&error);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_lost_lease_says_how_the_worker_died(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two;
    struct sl__lease *lease, *next;
    seeker_init(&one);
    seeker_init(&two);
    assert_int_equal(seek(pool, &one, 1, &lease, NULL), SL_OK);
    uint32_t seen = one.bell.value;
    assert_int_equal(lease->lost, 0);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 1), SIGABRT), 0);
    await_loss(&one, lease);
    (void)stats_of(pool); /* takes the lock, under which the bells are rung after the loss is told */
    assert_int_not_equal(one.bell.value, seen);
    assert_int_equal(lease->death.code, SL_E_WORKER_CRASHED);
    assert_int_equal(lease->death.term_signal, SIGABRT);
    assert_int_equal(lease->death.worker, 1);
    assert_int_equal(lease->death.generation, 1);
    assert_non_null(strstr(lease->death.message, "SIGABRT"));
    /* The next life starts without waiting for the holder of the last, whose lane stays. */
    assert_int_equal(seek(pool, &two, 1, &next, NULL), SL_OK);
    assert_int_equal(next->generation, 2);
    assert_ptr_not_equal(next->lane, lease->lane);
    assert_int_equal(sl__lane_outstanding(lease->lane), 0);
    sl__pool_release(pool, lease, 0);
    sl__pool_release(pool, next, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_kill_tells_its_cause_and_the_first_one_counts(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, "config;ready;hang");
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one;
    struct sl__lease *lease;
    seeker_init(&one);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_OK);
    sl__pool_kill(pool, lease, SL_E_WORKER_TIMEOUT, "the batch ran for more than 50 % of eternity", false);
    sl__pool_kill(pool, lease, SL_E_PROTOCOL, "another", true);
    assert_int_equal(stats_of(pool).ready_count, 0);
    await_loss(&one, lease);
    assert_int_equal(lease->death.code, SL_E_WORKER_TIMEOUT);
    assert_int_equal(lease->death.term_signal, SIGKILL);
    assert_non_null(strstr(lease->death.message, "50 % of eternity"));
    assert_non_null(strstr(lease->death.message, "worker 0"));
    sl__pool_kill(pool, lease, SL_E_PROTOCOL, "too late", false); /* nobody to kill any more */
    sl__pool_release(pool, lease, 0);
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.death_count, 1);
    assert_int_equal(stats.protocol_error_count, 0);
    await_ready(pool, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void blameless_kills_cost_no_budget(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, SERVE);
    options.restart_max = 0;           /* the first death that counts is the end */
    options.restart_backoff_ms = 5000; /* and a delay would be noticed */
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one;
    struct sl__lease *lease;
    seeker_init(&one);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_OK);
        assert_int_equal(lease->generation, i);
        sl__pool_kill(pool, lease, SL_E_CANCELLED, "the run was cancelled", true);
        if (i % 2 == 0) {
            await_loss(&one, lease);
            assert_int_equal(lease->death.code, SL_E_CANCELLED);
        }
        sl__pool_release(pool, lease, 0); /* before or after the loss */
    }
    await_ready(pool, 1);
    assert_int_equal(stats_of(pool).death_count, 0);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_OK);
    sl__pool_kill(pool, lease, SL_E_WORKER_TIMEOUT, "too slow", false);
    await_loss(&one, lease);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_E_CIRCUIT_OPEN);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_lane_that_comes_back_dirty_is_not_used_again(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one;
    struct sl__lease *lease;
    uint8_t *memory;
    uint64_t offset, sequence;
    seeker_init(&one);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_OK);
    assert_int_equal(sl__lane_open(lease->lane, NULL), SL_OK);
    assert_int_equal(sl__lane_extend(lease->lane, 8, &memory, &offset, NULL), SL_OK);
    memset(memory, 0xc0, 8);
    assert_int_equal(sl__lane_commit(lease->lane, SL__REQUEST_BATCH, 1, 0, &sequence, NULL), SL_OK);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_OK);
    assert_int_equal(lease->generation, 2);
    assert_int_equal(sl__lane_outstanding(lease->lane), 0);
    sl__pool_release(pool, lease, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* ---- many threads --------------------------------------------------------------------------------------------- */

#define THREADS 8
#define TURNS 2000
#define CROWD 3

struct crowd {
    struct sl_pool *pool;
    _Atomic uint32_t holders[CROWD];
    _Atomic uint64_t turns;
    bool kills;
};

struct member {
    pthread_t thread;
    struct crowd *crowd;
    unsigned seed;
    int turns;
};

static void *take_turns(void *argument) {
    struct member *member = argument;
    struct crowd *crowd = member->crowd;
    struct seeker seeker;
    seeker_init(&seeker);
    for (int i = 0; i < member->turns; i++) {
        int dice = rand_r(&member->seed) % 100;
        uint32_t wanted = dice < 20 ? (uint32_t)dice % CROWD : SL__ANY_WORKER;
        struct sl__lease *lease;
        if (seek(crowd->pool, &seeker, wanted, &lease, NULL) != SL_OK) {
            return (void *)"no lease";
        }
        /* Two lives of one worker may be leased at once only when the first is dead. */
        if (crowd->holders[lease->worker]++ != 0 && !crowd->kills) {
            return (void *)"two holders of one lane";
        }
        if (wanted != SL__ANY_WORKER && lease->worker != wanted) {
            return (void *)"another worker than was wanted";
        }
        if (crowd->kills && dice == 99) {
            sl__pool_kill(crowd->pool, lease, SL_E_CANCELLED, "chaos", true);
            if (rand_r(&member->seed) % 2 == 0) {
                await_loss(&seeker, lease);
            }
        }
        crowd->holders[lease->worker]--;
        sl__pool_release(crowd->pool, lease, 1);
        if (dice == 50) {
            struct sl__lease *other;
            enum sl_code code = sl__pool_acquire(crowd->pool, &seeker.waiter, SL__ANY_WORKER, &other, NULL);
            if (code == SL_OK) {
                sl__pool_release(crowd->pool, other, 0);
            } else {
                sl__pool_forget_waiter(crowd->pool, &seeker.waiter);
            }
        }
        crowd->turns++;
    }
    return NULL;
}

static void crowd_of_threads(bool kills, int turns) {
    unsigned seed = test_seed();
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(CROWD, SERVE);
    struct crowd crowd = {.pool = open_pool(runtime, &options), .kills = kills};
    struct member members[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (struct member){.crowd = &crowd, .seed = seed + i, .turns = turns};
        assert_int_equal(pthread_create(&members[i].thread, NULL, take_turns, &members[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *complaint;
        pthread_join(members[i].thread, &complaint);
        if (complaint != NULL) {
            fail_msg("%s", (const char *)complaint);
        }
    }
    assert_int_equal(crowd.turns, (uint64_t)THREADS * (uint64_t)turns);
    struct sl_pool_stats stats = stats_of(crowd.pool);
    assert_int_equal(stats.batch_count, (uint64_t)THREADS * (uint64_t)turns);
    assert_int_equal(stats.busy_count, 0);
    assert_int_equal(stats.waiter_count, 0);
    sl_pool_destroy(crowd.pool);
    close_runtime(runtime);
}

static void many_threads_share_few_lanes(void **unused) {
    (void)unused;
    crowd_of_threads(false, TURNS);
}

static void many_threads_share_lanes_of_workers_that_are_killed(void **unused) {
    (void)unused;
    crowd_of_threads(true, TURNS / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_exclusive_and_comes_back),
        cmocka_unit_test(the_line_is_bounded),
        cmocka_unit_test(a_lost_lease_says_how_the_worker_died),
        cmocka_unit_test(a_kill_tells_its_cause_and_the_first_one_counts),
        cmocka_unit_test(blameless_kills_cost_no_budget),
        cmocka_unit_test(a_lane_that_comes_back_dirty_is_not_used_again),
        cmocka_unit_test(many_threads_share_few_lanes),
        cmocka_unit_test(many_threads_share_lanes_of_workers_that_are_killed),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
