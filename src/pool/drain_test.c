/* SPDX-License-Identifier: MIT */
/* The end of a pool: drained and destroyed by strangers, by visitors, by several at once, with workers that do what they like. */
#include "testing/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool/visit.h"
#include "sys/clock.h"
#include "sys/process.h"

#define GOOD "config;ready;serve;exit=0"
#define DEAF "config;ready;hang"

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static enum sl_code try_acquire(struct sl_pool *pool) {
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    return sl__pool_acquire(pool, &seeker.waiter, SL__ANY_WORKER, &lease, NULL);
}

/* A run, as the pool sees it. */
struct visitor {
    struct seeker seeker;
    struct sl__visit visit;
    struct sl__lease *lease;
};

static void come(struct sl_pool *pool, struct visitor *visitor, bool inside) {
    memset(visitor, 0, sizeof(*visitor));
    seeker_init(&visitor->seeker);
    visitor->visit.bell = &visitor->seeker.bell;
    sl__visit_inside(&visitor->visit, inside);
    sl__pool_enter(pool, &visitor->visit);
}

static void come_and_lease(struct sl_pool *pool, struct visitor *visitor, bool inside) {
    come(pool, visitor, inside);
    assert_int_equal(seek(pool, &visitor->seeker, SL__ANY_WORKER, &visitor->lease, NULL), SL_OK);
}

static void leave(struct sl_pool *pool, struct visitor *visitor) {
    if (visitor->lease != NULL) {
        sl__pool_release(pool, visitor->lease, 0);
    }
    sl__visit_inside(&visitor->visit, false);
    sl__pool_leave(pool, &visitor->visit);
}

static void a_pool_that_nobody_uses_is_drained_at_once(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD);
    struct sl_pool *pool = open_pool(runtime, &options);
    uint64_t start = sl__clock_now_ns();
    assert_int_equal(sl_pool_drain(pool, 20000, NULL), SL_OK);
    assert_int_equal(sl_pool_drain(pool, 0, NULL), SL_OK);
    assert_int_equal(sl_pool_drain(pool, 20000, NULL), SL_OK);
    assert_true(sl__clock_now_ns() - start < 5000000000ull);
    assert_int_equal(try_acquire(pool), SL_E_CLOSED);
    assert_int_equal(stats_of(pool).ready_count, 2);
    assert_int_equal(sl_pool_drain(NULL, 0, NULL), SL_E_INVALID_ARGUMENT);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

struct drainer {
    pthread_t thread;
    struct sl_pool *pool;
    uint32_t timeout_ms;
    enum sl_code code;
    _Atomic bool done;
};

static void *drain(void *argument) {
    struct drainer *drainer = argument;
    drainer->code = sl_pool_drain(drainer->pool, drainer->timeout_ms, NULL);
    atomic_store(&drainer->done, true);
    return NULL;
}

static void start_drainer(struct drainer *drainer, struct sl_pool *pool, uint32_t timeout_ms) {
    *drainer = (struct drainer){.pool = pool, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&drainer->thread, NULL, drain, drainer), 0);
}

static void who_has_a_lane_may_finish(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor visitor;
    struct drainer drainer;
    come_and_lease(pool, &visitor, false);
    uint32_t seen = visitor.seeker.bell.value;
    start_drainer(&drainer, pool, 20000);
    while (!sl__pool_shut(pool)) {
        pause_ms(1);
    }
    while (visitor.seeker.bell.value == seen) { /* it is told, though it waits for nothing */
        pause_ms(1);
    }
    pause_ms(20);
    assert_false(atomic_load(&drainer.done));
    assert_int_equal(atomic_load(&visitor.lease->lost), 0);
    leave(pool, &visitor);
    pthread_join(drainer.thread, NULL);
    assert_int_equal(drainer.code, SL_OK);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void who_does_not_finish_loses_the_worker(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor visitor;
    struct sl_error error = SL_ERROR_INIT;
    come_and_lease(pool, &visitor, false);
    /* Stopped, it would not see any other signal. */
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, visitor.lease->worker), SIGSTOP), 0);
    assert_int_equal(sl_pool_drain(pool, 30, &error), SL_E_TIMEOUT);
    assert_non_null(strstr(error.message, "1 workers"));
    assert_int_equal(atomic_load(&visitor.lease->lost), 1);
    assert_int_equal(visitor.lease->death.code, SL_E_CLOSED);
    assert_int_equal(stats_of(pool).death_count, 0);
    assert_int_equal(sl_pool_drain(pool, 30, NULL), SL_OK); /* there is nothing left to be killed */
    sl_error_finish(&error);
    leave(pool, &visitor);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void of_several_the_earliest_deadline_counts(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, DEAF);
    options.stop_timeout_ms = 10;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor visitors[2];
    come_and_lease(pool, &visitors[0], false);
    come_and_lease(pool, &visitors[1], false);
    struct drainer drainers[4];
    static const uint32_t timeouts_ms[] = {4000000000u, 3600000, 50, 4000000000u};
    uint64_t start = sl__clock_now_ns();
    for (int i = 0; i < 4; i++) {
        start_drainer(&drainers[i], pool, timeouts_ms[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(drainers[i].thread, NULL);
    }
    assert_true(sl__clock_now_ns() - start < 10000000000ull);
    assert_int_equal(drainers[2].code, SL_E_TIMEOUT);
    leave(pool, &visitors[0]);
    leave(pool, &visitors[1]);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void a_visitor_does_not_wait_for_itself(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, GOOD);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor visitor;
    come_and_lease(pool, &visitor, true);
    uint64_t start = sl__clock_now_ns();
    assert_int_equal(sl_pool_drain(pool, 3600000, NULL), SL_E_AGAIN);
    assert_int_equal(atomic_load(&visitor.lease->lost), 0);
    assert_int_equal(sl_pool_drain(pool, 50, NULL), SL_E_AGAIN);
    await_loss(&visitor.seeker, visitor.lease); /* its time is up, though nobody waits */
    assert_true(sl__clock_now_ns() - start < 10000000000ull);
    assert_int_equal(visitor.lease->death.code, SL_E_CLOSED);
    leave(pool, &visitor);
    assert_int_equal(sl_pool_drain(pool, 0, NULL), SL_OK);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void the_end_of_a_visit_ends_a_pool_that_was_destroyed_in_it(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, DEAF);
    options.stop_timeout_ms = 60000;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor outer, inner;
    come_and_lease(pool, &outer, true);
    come_and_lease(pool, &inner, true);
    int worker = (int)sl_pool_worker_pid(pool, outer.lease->worker);
    int ends[2];
    assert_int_equal(sl__process_open(worker, &ends[0], NULL), SL_OK);
    assert_int_equal(sl__process_open((pid_t)sl_pool_worker_pid(pool, inner.lease->worker), &ends[1], NULL), SL_OK);
    uint64_t start = sl__clock_now_ns();
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start <
                30000000000ull);  /* it has not waited for deaf workers, which have a minute */
    for (int i = 0; i < 2; i++) { /* the end of one may have been that of the other */
        (void)sl__process_signal(ends[i], SIGKILL, NULL);
        close(ends[i]);
    }
    await_loss(&inner.seeker, inner.lease);
    leave(pool, &inner); /* within the outer one: not yet */
    await_loss(&outer.seeker, outer.lease);
    assert_int_equal(outer.lease->death.code, SL_E_CLOSED);
    assert_int_equal(try_acquire(pool), SL_E_CLOSED);
    leave(pool, &outer);
    no_child_is_left();
    assert_true(kill(worker, 0) != 0);
    close_runtime(runtime);
}

static void a_visitor_that_never_leaves_does_not_hold_up_destruction(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor visitor;
    come_and_lease(pool, &visitor, false);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
    /* What it still does with the pool is harmless. */
    assert_int_equal(atomic_load(&visitor.lease->lost), 1);
    assert_true(sl__pool_shut(pool));
    assert_int_equal(try_acquire(pool), SL_E_CLOSED);
    sl__pool_kill(pool, visitor.lease, SL_E_WORKER_TIMEOUT, "too slow", false);
    leave(pool, &visitor);
}

static void the_runtime_ends_what_was_left_to_a_visitor(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD);
    struct sl_pool *pool = open_pool(runtime, &options), *drained = open_pool(runtime, &options);
    struct visitor visitor, other;
    come_and_lease(drained, &other, true);
    assert_int_equal(sl_pool_drain(drained, 3600000, NULL), SL_E_AGAIN);
    come_and_lease(pool, &visitor, true);
    sl_pool_destroy(pool);
    close_runtime(runtime);
    no_child_is_left();
    leave(pool, &visitor);
    leave(drained, &other);
}

static void an_open_circuit_does_not_hold_it_up(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD "|config;exit=3");
    options.circuit_cooldown_ms = 30000;
    options.start_failure_max = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct visitor visitor;
    come_and_lease(pool, &visitor, false);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 1 - visitor.lease->worker), SIGKILL), 0);
    while (stats_of(pool).circuit != SL_CIRCUIT_OPEN) {
        pause_ms(1);
    }
    assert_int_equal(try_acquire(pool), SL_E_CIRCUIT_OPEN);
    uint64_t start = sl__clock_now_ns();
    assert_int_equal(sl_pool_drain(pool, 20, NULL), SL_E_TIMEOUT);
    assert_int_equal(try_acquire(pool), SL_E_CLOSED);
    leave(pool, &visitor);
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start < 10000000000ull);
    no_child_is_left();
    close_runtime(runtime);
}

/* Visitors come and go, are killed and queue up, while the pool is drained by several and destroyed. */
struct guest {
    pthread_t thread;
    struct sl_pool *pool;
    struct visitor visitor; /* has come already: the handle may be gone before the thread runs */
    unsigned seed;
    bool destroys;
};

static void *stay(void *argument) {
    struct guest *guest = argument;
    struct visitor *visitor = &guest->visitor;
    sl__visit_inside(&visitor->visit, true);
    for (;;) {
        enum sl_code code = seek(guest->pool, &visitor->seeker, SL__ANY_WORKER, &visitor->lease, NULL);
        if (code != SL_OK) {
            visitor->lease = NULL;
            assert_int_equal(code, SL_E_CLOSED);
            break;
        }
        if (rand_r(&guest->seed) % 4 == 0) {
            sl__pool_kill(guest->pool, visitor->lease, SL_E_CANCELLED, "test", rand_r(&guest->seed) % 2 == 0);
        }
        nanosleep(&(struct timespec){.tv_nsec = rand_r(&guest->seed) % 2000000}, NULL);
        if (guest->destroys && rand_r(&guest->seed) % 20 == 0) {
            guest->destroys = false;
            sl_pool_destroy(guest->pool);
        } else if (rand_r(&guest->seed) % 40 == 0) {
            enum sl_code drained = sl_pool_drain(guest->pool, (uint32_t)rand_r(&guest->seed) % 5, NULL);
            assert_int_equal(drained, SL_E_AGAIN);
        }
        sl__pool_release(guest->pool, visitor->lease, 0);
        visitor->lease = NULL;
    }
    if (guest->destroys) {
        sl_pool_destroy(guest->pool);
    }
    leave(guest->pool, visitor);
    return NULL;
}

static void it_ends_in_any_order(void **unused) {
    (void)unused;
    unsigned seed = test_seed();
    for (int round = 0; round < 12; round++) {
        struct sl_runtime *runtime = open_runtime();
        struct sl_pool_options options = scripted(3, round % 2 == 0 ? GOOD : DEAF);
        options.stop_timeout_ms = 20;
        options.restart_backoff_ms = 1;
        struct sl_pool *pool = open_pool(runtime, &options);
        struct guest guests[6];
        for (unsigned i = 0; i < 6; i++) {
            guests[i] = (struct guest){.pool = pool, .seed = seed + 10 * (unsigned)round + i, .destroys = i == 0};
            come(pool, &guests[i].visitor, false);
        }
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(pthread_create(&guests[i].thread, NULL, stay, &guests[i]), 0);
        }
        if (round % 3 == 0) {
            pthread_join(guests[0].thread, NULL);
            sl_runtime_destroy(runtime); /* the others may still be there */
        }
        for (unsigned i = round % 3 == 0 ? 1 : 0; i < 6; i++) {
            pthread_join(guests[i].thread, NULL);
        }
        if (round % 3 != 0) {
            close_runtime(runtime);
        }
        no_child_is_left();
    }
}

static void nothing_stays_open(void **unused) {
    int before = descriptor_count();
    who_does_not_finish_loses_the_worker(unused);
    the_end_of_a_visit_ends_a_pool_that_was_destroyed_in_it(unused);
    a_visitor_that_never_leaves_does_not_hold_up_destruction(unused);
    the_runtime_ends_what_was_left_to_a_visitor(unused);
    assert_int_equal(descriptor_count(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_that_nobody_uses_is_drained_at_once),
        cmocka_unit_test(who_has_a_lane_may_finish),
        cmocka_unit_test(who_does_not_finish_loses_the_worker),
        cmocka_unit_test(of_several_the_earliest_deadline_counts),
        cmocka_unit_test(a_visitor_does_not_wait_for_itself),
        cmocka_unit_test(the_end_of_a_visit_ends_a_pool_that_was_destroyed_in_it),
        cmocka_unit_test(a_visitor_that_never_leaves_does_not_hold_up_destruction),
        cmocka_unit_test(the_runtime_ends_what_was_left_to_a_visitor),
        cmocka_unit_test(an_open_circuit_does_not_hold_it_up),
        cmocka_unit_test(it_ends_in_any_order),
        cmocka_unit_test(nothing_stays_open),
    };
    return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
