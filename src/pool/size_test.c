/* SPDX-License-Identifier: MIT */
/* How many workers a pool has: replaced, wished for, too many. With scripted workers, and leases by hand. */
#include "testing/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"
#include "sys/clock.h"

#define SERVE "config;ready;serve;exit=0"
#define NS_PER_MS 1000000ull

/* Polls: outsiders have no event to wait for. */
#define AWAIT(condition)                                                           \
    do {                                                                           \
        uint64_t deadline_ns = sl__clock_now_ns() + PATIENCE_S * 1000 * NS_PER_MS; \
        while (!(condition)) {                                                     \
            assert_false(sl__clock_passed(deadline_ns));                           \
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);                \
        }                                                                          \
    } while (0)

static int open_pidfd(int64_t pid) {
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    assert_true(fd >= 0);
    return fd;
}

static void use(struct sl_pool *pool, uint32_t worker, uint64_t batches) {
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, worker, &lease, NULL), SL_OK);
    sl__pool_release(pool, lease, batches);
}

/* ---- recycling ------------------------------------------------------------------------------------------------ */

/* Watches a pool from another thread: how few were ready. */
struct watcher {
    struct sl_pool *pool;
    pthread_t thread;
    _Atomic bool ends;
    uint32_t fewest;
    _Atomic uint64_t looks;
};

static void *watch(void *context) {
    struct watcher *watcher = context;
    while (!atomic_load(&watcher->ends)) {
        uint32_t ready = stats_of(watcher->pool).ready_count;
        watcher->fewest = ready < watcher->fewest ? ready : watcher->fewest;
        atomic_fetch_add(&watcher->looks, 1);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return NULL;
}

static void begin_watch(struct watcher *watcher, struct sl_pool *pool) {
    *watcher = (struct watcher){.pool = pool, .fewest = UINT32_MAX};
    assert_int_equal(pthread_create(&watcher->thread, NULL, watch, watcher), 0);
    AWAIT(atomic_load(&watcher->looks) > 0);
}

static uint32_t end_watch(struct watcher *watcher) {
    atomic_store(&watcher->ends, true);
    pthread_join(watcher->thread, NULL);
    return watcher->fewest;
}

static void an_idle_worker_that_has_done_enough_is_replaced(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, SERVE);
    options.recycle_batches = 3;
    options.recycle_jitter_percent = 0;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct watcher watcher;
    begin_watch(&watcher, pool);
    int64_t first = sl_pool_worker_pid(pool, 1), other = sl_pool_worker_pid(pool, 0);
    int ended = open_pidfd(first);
    use(pool, 1, 2);
    assert_int_equal(sl_pool_worker_pid(pool, 1), first);
    use(pool, 1, 1);
    AWAIT(stats_of(pool).recycle_count == 1);
    await_end(ended);
    close(ended);
    assert_int_not_equal(sl_pool_worker_pid(pool, 1), first);
    assert_int_equal(sl_pool_worker_pid(pool, 0), other);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 1, &lease, NULL), SL_OK);
    assert_int_equal(lease->generation, 2);
    assert_int_equal(lease->due_batches, 3);
    sl__pool_release(pool, lease, 3);
    AWAIT(stats_of(pool).recycle_count == 2);
    assert_int_equal(seek(pool, &seeker, 1, &lease, NULL), SL_OK);
    assert_int_equal(lease->generation, 3);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(end_watch(&watcher), 2);
    assert_int_equal(stats_of(pool).death_count, 0);
    assert_true(log_has("a successor is started: it has run its number of batches"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_leased_worker_is_replaced_and_ends_when_it_is_given_back(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, SERVE);
    options.recycle_batches = 10;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two;
    struct sl__lease *lease, *next;
    seeker_init(&one);
    seeker_init(&two);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &lease, NULL), SL_OK);
    assert_in_range(lease->due_batches, 9, 10);
    int ended = open_pidfd(sl_pool_worker_pid(pool, 0));
    assert_int_equal(atomic_load(&lease->retire), 0);
    sl__pool_due(pool, lease);
    sl__pool_due(pool, lease);
    AWAIT(atomic_load(&lease->retire) != 0);
    assert_int_equal(seek(pool, &two, 0, &next, NULL), SL_OK);
    assert_int_equal(next->worker, 0);
    assert_int_equal(next->generation, 2);
    assert_int_equal(stats_of(pool).ready_count, 1);
    assert_int_equal(stats_of(pool).busy_count, 2);
    assert_int_equal(syscall(SYS_pidfd_send_signal, ended, 0, NULL, 0), 0); /* it lives */
    assert_int_equal(atomic_load(&lease->lost), 0);
    sl__pool_release(pool, lease, 10);
    await_end(ended);
    close(ended);
    sl__pool_release(pool, next, 0);
    assert_int_equal(stats_of(pool).recycle_count, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_successor_that_does_not_start_is_tried_again(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, SERVE "|config;exit=3|config;failed=import_failed|" SERVE);
    options.recycle_batches = 1;
    options.restart_backoff_ms = 1;
    options.restart_max = 0; /* a successor's failure is no worker's death */
    struct sl_pool *pool = open_pool(runtime, &options);
    struct watcher watcher;
    begin_watch(&watcher, pool);
    use(pool, 0, 1);
    AWAIT(stats_of(pool).recycle_count == 1);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    assert_int_equal(lease->generation, 4);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(end_watch(&watcher), 1);
    assert_int_equal(stats_of(pool).death_count, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_worker_that_dies_is_followed_by_the_successor_on_its_way(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    /* The second life never gets ready, until it is killed as well. */
    struct sl_pool_options options = scripted(1, SERVE "|config;hang|" SERVE);
    options.recycle_batches = 1;
    options.start_timeout_ms = 1500; /* in which the first and the third have to be ready */
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    sl__pool_due(pool, lease);
    AWAIT(log_has("a successor is started"));
    sl__pool_kill(pool, lease, SL_E_WORKER_TIMEOUT, "the test wants it", false);
    await_loss(&seeker, lease);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    assert_int_equal(lease->generation, 3);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(stats_of(pool).recycle_count, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void age_replaces_idle_workers(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, SERVE);
    options.recycle_age_ms = 30;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct watcher watcher;
    begin_watch(&watcher, pool);
    AWAIT(stats_of(pool).recycle_count >= 6);
    assert_int_equal(end_watch(&watcher), 2);
    assert_true(log_has("it has reached its age"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

struct sample {
    struct sl_pool *pool;
    uint32_t worker;
    uint64_t rss_bytes;
};

static void take_sample(void *context) {
    const struct sample *sample = context;
    sl__size_sampled(sample->pool->places[sample->worker]->current, sample->rss_bytes);
}

static void memory_replaces_a_worker(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, SERVE);
    options.recycle_rss_bytes = 1000000;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct sample sample = {pool, 1, 899999};
    int64_t pid = sl_pool_worker_pid(pool, 1);
    sl__loop_call(runtime->loop, take_sample, &sample);
    assert_int_equal(pool->places[1]->current->incarnation->due, SL__RECYCLE_NOT);
    sample.rss_bytes = 1000000;
    sl__loop_call(runtime->loop, take_sample, &sample);
    AWAIT(stats_of(pool).recycle_count == 1);
    assert_int_not_equal(sl_pool_worker_pid(pool, 1), pid);
    assert_true(log_has("it has grown past its memory"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* ---- starts --------------------------------------------------------------------------------------------------- */

static void starts_are_bounded_and_go_on(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(5, SERVE);
    options.start_parallel_max = 2;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(stats_of(pool).ready_count, 5);
    assert_int_equal(log_count("forked, pid"), 5);
    /* The third process came only after one of the first two had got ready. */
    assert_true(log_before("ready after", "worker 2 forked, pid"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void no_more_start_than_may(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(6, "config;hang");
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    options.start_parallel_max = 3;
    options.start_timeout_ms = 500;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_TIMEOUT);
    /* As each times out another has its turn, until the pool is closed. */
    assert_true(log_count("forked, pid") >= 3);
    assert_true(log_before("was not ready within", "worker 3 forked, pid") || !log_has("worker 3 forked, pid"));
    sl_error_finish(&error);
    close_runtime(runtime);
}

/* ---- growing and shrinking ------------------------------------------------------------------------------------ */

static struct sl_pool_options elastic(uint32_t worker_min, uint32_t worker_max, uint32_t idle_ms, const char *script) {
    struct sl_pool_options options = scripted(worker_min, script);
    options.worker_min = worker_min;
    options.worker_max = worker_max;
    options.worker_idle_ms = idle_ms;
    return options;
}

static void a_pool_grows_for_who_waits_and_shrinks_when_idle(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = elastic(1, 3, 40, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(stats_of(pool).worker_count, 1);
    assert_int_equal(stats_of(pool).worker_max, 3);
    struct seeker seekers[4];
    struct sl__lease *leases[4];
    for (int i = 0; i < 3; i++) {
        seeker_init(&seekers[i]);
        assert_int_equal(seek(pool, &seekers[i], SL__ANY_WORKER, &leases[i], NULL), SL_OK);
    }
    assert_int_equal(stats_of(pool).worker_count, 3);
    seeker_init(&seekers[3]);
    assert_int_equal(sl__pool_acquire(pool, &seekers[3].waiter, SL__ANY_WORKER, &leases[3], NULL), SL_E_AGAIN);
    sl__pool_forget_waiter(pool, &seekers[3].waiter);
    for (int i = 0; i < 3; i++) {
        sl__pool_release(pool, leases[i], 1);
    }
    AWAIT(stats_of(pool).worker_count == 1);
    AWAIT(stats_of(pool).ready_count == 1);
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.shrink_count, 2);
    assert_int_equal(stats.start_count, 3);
    assert_int_equal(stats.death_count, 0);
    /* And again. */
    use(pool, SL__ANY_WORKER, 1);
    assert_int_equal(stats_of(pool).worker_count, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_start_that_was_extra_opens_no_circuit(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options =
        elastic(1, 2, 1, SERVE "|config;exit=3|config;failed=import_failed|config;exit=3|" SERVE);
    options.start_failure_max = 2;
    options.restart_max = 0;
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two;
    struct sl__lease *first, *second;
    seeker_init(&one);
    seeker_init(&two);
    assert_int_equal(seek(pool, &one, 0, &first, NULL), SL_OK);
    assert_int_equal(seek(pool, &two, SL__ANY_WORKER, &second, NULL), SL_OK);
    sl__pool_release(pool, second, 1);
    AWAIT(stats_of(pool).worker_count == 1);
    /* The next three lives of the second worker are none; it is wanted as long as somebody waits. */
    assert_int_equal(seek(pool, &two, SL__ANY_WORKER, &second, NULL), SL_OK);
    assert_int_equal(second->worker, 1);
    assert_true(second->generation >= 5); /* the fifth may have been idle for too long before it was taken */
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.start_failure_count, 3);
    assert_int_equal(stats.circuit_open_count, 0);
    assert_int_equal(stats.death_count, 0);
    sl__pool_release(pool, first, 1);
    sl__pool_release(pool, second, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* Nobody else can do it: so the circuit has to say that it cannot be done. */
static void a_worker_that_is_needed_and_does_not_start_opens_it(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = elastic(1, 2, 1, SERVE "|config;exit=3");
    options.start_failure_max = 3;
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 30000;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two;
    struct sl__lease *first, *second;
    struct sl_error error = SL_ERROR_INIT;
    seeker_init(&one);
    seeker_init(&two);
    assert_int_equal(seek(pool, &one, 0, &first, NULL), SL_OK);
    assert_int_equal(seek(pool, &two, 1, &second, NULL), SL_OK);
    sl__pool_release(pool, second, 1);
    AWAIT(stats_of(pool).worker_count == 1);
    assert_int_equal(seek(pool, &two, 1, &second, &error), SL_E_CIRCUIT_OPEN);
    sl_error_finish(&error);
    sl__pool_release(pool, first, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_busy_worker_is_not_idle(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = elastic(1, 2, 1, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two;
    struct sl__lease *first, *second;
    seeker_init(&one);
    seeker_init(&two);
    assert_int_equal(seek(pool, &one, SL__ANY_WORKER, &first, NULL), SL_OK);
    assert_int_equal(seek(pool, &two, SL__ANY_WORKER, &second, NULL), SL_OK);
    assert_int_equal(first->worker, 0);
    sl__pool_release(pool, first, 1); /* the idle one is the first: it goes, and the other stays */
    AWAIT(stats_of(pool).worker_count == 1);
    assert_int_equal(atomic_load(&second->retire), 0);
    assert_int_equal(sl_pool_worker_pid(pool, 0), 0);
    assert_int_not_equal(sl_pool_worker_pid(pool, 1), 0);
    sl__pool_release(pool, second, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void waiters_in_a_line_make_it_grow_to_its_bound(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = elastic(1, 4, 60000, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seekers[6];
    struct sl__lease *leases[6];
    /* They ask once and then wait to be rung. */
    for (int i = 0; i < 6; i++) {
        seeker_init(&seekers[i]);
        (void)sl__pool_acquire(pool, &seekers[i].waiter, SL__ANY_WORKER, &leases[i], NULL);
    }
    AWAIT(stats_of(pool).ready_count == 4);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(seek(pool, &seekers[i], SL__ANY_WORKER, &leases[i], NULL), SL_OK);
    }
    assert_int_equal(stats_of(pool).worker_count, 4);
    for (int i = 0; i < 4; i++) {
        sl__pool_release(pool, leases[i], 1);
    }
    sl__pool_forget_waiter(pool, &seekers[4].waiter);
    sl__pool_forget_waiter(pool, &seekers[5].waiter);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_worker_that_is_waited_for_by_name_is_started(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = elastic(1, 4, 60000, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    struct sl_error error = SL_ERROR_INIT;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 2, &lease, NULL), SL_OK);
    assert_int_equal(lease->worker, 2);
    assert_int_equal(stats_of(pool).worker_count, 2);
    assert_int_equal(sl_pool_worker_pid(pool, 1), 0);
    sl__pool_release(pool, lease, 1);
    assert_int_equal(sl__pool_acquire(pool, &seeker.waiter, 4, &lease, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_pool_can_be_closed_while_it_grows(void **unused) {
    (void)unused;
    for (int i = 0; i < 10; i++) {
        struct sl_runtime *runtime = open_runtime();
        struct sl_pool_options options = elastic(1, 8, 60000, SERVE);
        options.start_parallel_max = 1 + (uint32_t)i % 3;
        struct sl_pool *pool = open_pool(runtime, &options);
        assert_int_equal(sl_pool_resize(pool, 8, 8, NULL), SL_OK);
        nanosleep(&(struct timespec){.tv_nsec = i * 300000}, NULL);
        sl_pool_destroy(pool);
        close_runtime(runtime);
    }
}

/* ---- resize --------------------------------------------------------------------------------------------------- */

static void resize_starts_what_is_missing_and_stops_what_is_too_many(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(sl_pool_resize(pool, 5, 6, NULL), SL_OK);
    assert_int_equal(sl__pool_capacity(pool), 6);
    await_ready(pool, 5);
    struct seeker seekers[5];
    struct sl__lease *leases[5];
    int ends[5];
    for (uint32_t i = 0; i < 5; i++) {
        seeker_init(&seekers[i]);
        assert_int_equal(seek(pool, &seekers[i], i, &leases[i], NULL), SL_OK);
        ends[i] = open_pidfd(sl_pool_worker_pid(pool, i));
    }
    assert_int_equal(sl_pool_resize(pool, 1, 2, NULL), SL_OK);
    for (uint32_t i = 2; i < 5; i++) {
        AWAIT(atomic_load(&leases[i]->retire) != 0);
    }
    assert_int_equal(stats_of(pool).ready_count, 2);
    assert_int_equal(atomic_load(&leases[0]->retire) + atomic_load(&leases[1]->retire), 0);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(syscall(SYS_pidfd_send_signal, ends[i], 0, NULL, 0), 0); /* they finish what they do */
        assert_int_equal(atomic_load(&leases[i]->lost), 0);
        sl__pool_release(pool, leases[i], 1);
    }
    for (uint32_t i = 2; i < 5; i++) {
        await_end(ends[i]);
    }
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.worker_count, 2);
    assert_int_equal(stats.shrink_count, 3);
    assert_int_equal(stats.death_count, 0);
    /* What is meant for a worker that is no more goes to another. */
    struct sl__lease *lease;
    assert_int_equal(seek(pool, &seekers[0], 3, &lease, NULL), SL_OK);
    assert_int_equal(lease->worker, 3 % 2);
    sl__pool_release(pool, lease, 1);
    for (int i = 0; i < 5; i++) {
        close(ends[i]);
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void who_waits_for_a_worker_that_goes_gets_another(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker one, two;
    struct sl__lease *lease, *other;
    seeker_init(&one);
    seeker_init(&two);
    assert_int_equal(seek(pool, &one, 2, &lease, NULL), SL_OK);
    assert_int_equal(sl__pool_acquire(pool, &two.waiter, 2, &other, NULL), SL_E_AGAIN);
    uint32_t seen = two.bell.value;
    assert_int_equal(sl_pool_resize(pool, 1, 1, NULL), SL_OK);
    assert_int_not_equal(two.bell.value, seen);
    assert_int_equal(seek(pool, &two, 2, &other, NULL), SL_OK);
    assert_int_equal(other->worker, 0);
    sl__pool_release(pool, lease, 0);
    sl__pool_release(pool, other, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void bounds_of_resize_are_checked_and_lanes_are_accounted_for(void **unused) {
    (void)unused;
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    struct sl_runtime *runtime = NULL;
    struct sl_error error = SL_ERROR_INIT;
    runtime_options.lane_max = 5;
    assert_int_equal(sl_runtime_create(&runtime_options, &runtime, &error), SL_OK);
    struct sl_pool_options options = elastic(1, 3, 1000, SERVE);
    struct sl_pool *pool = open_pool(runtime, &options), *other = NULL;
    assert_int_equal(sl_pool_resize(NULL, 1, 1, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_pool_resize(pool, 0, 1, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_pool_resize(pool, 3, 2, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_pool_resize(pool, 1, 1025, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "1025"));
    assert_int_equal(sl_pool_resize(pool, 1, 6, &error), SL_E_LIMIT);
    assert_int_equal(stats_of(pool).worker_max, 3);
    assert_int_equal(sl_pool_create(runtime, &options, &other, &error), SL_E_LIMIT);
    assert_int_equal(sl_pool_resize(pool, 1, 2, &error), SL_OK);
    other = open_pool(runtime, &options);
    sl_pool_destroy(other);
    assert_int_equal(sl_pool_resize(pool, 1, 5, &error), SL_OK);
    assert_int_equal(sl_pool_drain(pool, 0, &error), SL_OK);
    assert_int_equal(sl_pool_resize(pool, 1, 4, &error), SL_E_CLOSED);
    sl_error_finish(&error);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
}

static void options_that_contradict_each_other_are_refused(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    static const struct {
        uint32_t count, min, max, parallel, jitter;
        const char *text;
    } cases[] = {
        {2, 3, 0, 0, 10, "worker_min is 3"},        {4, 0, 3, 0, 10, "worker_max 3"},
        {2, 0, 1025, 0, 10, "worker_max"},          {2, 0, 0, 1025, 10, "start_parallel_max"},
        {2, 0, 0, 0, 51, "recycle_jitter_percent"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_pool_options options = scripted(cases[i].count, SERVE);
        struct sl_pool *pool = NULL;
        struct sl_error error = SL_ERROR_INIT;
        options.worker_min = cases[i].min;
        options.worker_max = cases[i].max;
        options.start_parallel_max = cases[i].parallel;
        options.recycle_jitter_percent = cases[i].jitter;
        assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].text));
        sl_error_finish(&error);
    }
    close_runtime(runtime);
}

/* Sizes at random under leases at random, with recycling: everything settles where it was sent to. */
static void ping_pong(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = elastic(1, 4, 5, SERVE);
    options.recycle_batches = 5;
    options.stop_timeout_ms = 5000;
    struct sl_pool *pool = open_pool(runtime, &options);
    srand(test_seed());
    struct seeker seekers[3];
    struct sl__lease *leases[3] = {NULL};
    for (int i = 0; i < 3; i++) {
        seeker_init(&seekers[i]);
    }
    for (int i = 0; i < 300; i++) {
        int k = rand() % 3;
        if (rand() % 8 == 0) {
            uint32_t max = 1 + (uint32_t)rand() % 6;
            assert_int_equal(sl_pool_resize(pool, 1 + (uint32_t)rand() % max, max, NULL), SL_OK);
        } else if (leases[k] != NULL) {
            sl__pool_release(pool, leases[k], (uint64_t)rand() % 5);
            leases[k] = NULL;
        } else if (sl__pool_acquire(pool, &seekers[k].waiter, rand() % 2 ? SL__ANY_WORKER : (uint32_t)rand() % 4,
                                    &leases[k], NULL) != SL_OK) {
            leases[k] = NULL;
        }
        nanosleep(&(struct timespec){.tv_nsec = rand() % 1000000}, NULL);
    }
    for (int i = 0; i < 3; i++) {
        sl__pool_forget_waiter(pool, &seekers[i].waiter);
        if (leases[i] != NULL) {
            sl__pool_release(pool, leases[i], 0);
        }
    }
    assert_int_equal(sl_pool_resize(pool, 3, 3, NULL), SL_OK);
    AWAIT(stats_of(pool).worker_count == 3 && stats_of(pool).ready_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        use(pool, i, 1);
    }
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.death_count, 0);
    assert_int_equal(stats.worker_count, 3);
    assert_true(stats.recycle_count + stats.shrink_count > 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_worker_that_has_done_enough_is_replaced),
        cmocka_unit_test(a_leased_worker_is_replaced_and_ends_when_it_is_given_back),
        cmocka_unit_test(a_successor_that_does_not_start_is_tried_again),
        cmocka_unit_test(a_worker_that_dies_is_followed_by_the_successor_on_its_way),
        cmocka_unit_test(age_replaces_idle_workers),
        cmocka_unit_test(memory_replaces_a_worker),
        cmocka_unit_test(starts_are_bounded_and_go_on),
        cmocka_unit_test(no_more_start_than_may),
        cmocka_unit_test(a_pool_grows_for_who_waits_and_shrinks_when_idle),
        cmocka_unit_test(a_start_that_was_extra_opens_no_circuit),
        cmocka_unit_test(a_worker_that_is_needed_and_does_not_start_opens_it),
        cmocka_unit_test(a_busy_worker_is_not_idle),
        cmocka_unit_test(waiters_in_a_line_make_it_grow_to_its_bound),
        cmocka_unit_test(a_worker_that_is_waited_for_by_name_is_started),
        cmocka_unit_test(a_pool_can_be_closed_while_it_grows),
        cmocka_unit_test(resize_starts_what_is_missing_and_stops_what_is_too_many),
        cmocka_unit_test(who_waits_for_a_worker_that_goes_gets_another),
        cmocka_unit_test(bounds_of_resize_are_checked_and_lanes_are_accounted_for),
        cmocka_unit_test(options_that_contradict_each_other_are_refused),
        cmocka_unit_test(ping_pong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
