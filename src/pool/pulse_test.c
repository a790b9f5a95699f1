/* SPDX-License-Identifier: MIT */
/* Heartbeats of scripted workers. */
#include "testing/fixture.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "pool.h"
#include "sys/clock.h"

static struct sl_pool_options beating(uint32_t worker_count, const char *script, uint32_t timeout_ms) {
    struct sl_pool_options options = scripted(worker_count, script);
    options.heartbeat_ms = 5;
    options.heartbeat_timeout_ms = timeout_ms;
    return options;
}

static bool pulse_runs(struct sl_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    bool runs = pool->pulse.runs;
    pthread_mutex_unlock(&pool->lock);
    return runs;
}

static void await_rest(struct sl_pool *pool) {
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (pulse_runs(pool)) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Until the worker has been heard since it was leased, and has a sample. */
static void await_sample(struct sl_pool *pool, enum sl_activity activity) {
    struct sl_worker_info info = SL_WORKER_INFO_INIT;
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    do {
        assert_false(sl__clock_passed(deadline_ns));
        assert_int_equal(sl_pool_worker(pool, 0, &info), SL_OK);
    } while (info.activity != activity || info.rss_bytes == 0);
}

static void it_beats_only_while_something_is_leased(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = beating(1, "config;ready;serve", 0);
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_false(pulse_runs(pool));
    for (int i = 0; i < 2; i++) {
        struct seeker seeker;
        struct sl__lease *lease;
        seeker_init(&seeker);
        assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
        assert_true(pulse_runs(pool));
        await_sample(pool, SL_ACTIVITY_IDLE);
        assert_true(pulse_runs(pool));
        sl__pool_release(pool, lease, 0);
        await_rest(pool);
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void it_can_be_turned_off(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = beating(1, "config;ready;mute", 1);
    options.heartbeat_ms = 0;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
    assert_false(pulse_runs(pool));
    sl__pool_release(pool, lease, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_worker_that_does_not_answer_is_lost(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = beating(1, "config;ready;mute|config;ready;serve", 60);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
    await_loss(&seeker, lease);
    assert_int_equal(lease->death.code, SL_E_WORKER_TIMEOUT);
    assert_non_null(strstr(lease->death.message, "no sign of life"));
    assert_non_null(strstr(lease->death.message, "heartbeat_timeout_ms is 60"));
    assert_int_equal(lease->death.death->cause, SL_DEATH_SILENT);
    assert_int_equal(lease->death.term_signal, SIGKILL);
    const uint64_t ids[] = {5, 6};
    sl__pool_blame(pool, lease, 3, ids, 2);
    assert_int_equal(lease->death.death->item_ids[1], 6);
    sl__pool_release(pool, lease, 3);
    struct sl_death *deaths[2];
    assert_int_equal(sl_pool_deaths(pool, deaths, 2), 1);
    assert_int_equal(deaths[0]->item_count, 2);
    assert_int_equal(deaths[0]->batch_count, 3);
    sl_death_destroy(deaths[0]);
    await_ready(pool, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* Whoever has nothing to do may be silent: nobody asks. */
static void an_idle_worker_is_left_alone(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = beating(2, "config;ready;mute", 20);
    struct sl_pool *pool = open_pool(runtime, &options);
    int64_t pid = sl_pool_worker_pid(pool, 1);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, 0, &lease, NULL), SL_OK);
    await_loss(&seeker, lease);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(sl_pool_worker_pid(pool, 1), pid);
    assert_int_equal(stats_of(pool).deaths[SL_DEATH_SILENT], 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_beats_only_while_something_is_leased),
        cmocka_unit_test(it_can_be_turned_off),
        cmocka_unit_test(a_worker_that_does_not_answer_is_lost),
        cmocka_unit_test(an_idle_worker_is_left_alone),
    };
    return cmocka_run_group_tests_name("pulse", tests, NULL, NULL);
}
