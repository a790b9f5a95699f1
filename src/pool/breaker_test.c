/* SPDX-License-Identifier: MIT */
/* The circuit of a pool whose workers follow a script: what opens it, what callers get, and what closes it. */
#include "testing/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "sys/clock.h"

#define GOOD "config;ready;serve;exit=0"
#define BAD "config;err=no luck;exit=7"

/* It stays open no longer than its cooldown, which may be over before this thread looks: half open is late enough. */
static struct sl_pool_stats await_opened(struct sl_pool *pool, uint64_t open_count) {
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    for (;;) {
        struct sl_pool_stats stats = stats_of(pool);
        if (stats.circuit_open_count >= open_count) {
            return stats;
        }
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* One worker that starts well, and then so many times not. */
static struct sl_pool_options troubled(int bad_count) {
    static char script[1024];
    strcpy(script, GOOD);
    for (int i = 0; i < bad_count; i++) {
        strcat(script, "|" BAD);
    }
    strcat(script, "|" GOOD);
    struct sl_pool_options options = scripted(1, script);
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 20;
    return options;
}

static void lose(struct sl_pool *pool, uint32_t worker) {
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, worker), SIGKILL), 0);
}

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void expect_refusal(struct sl_pool *pool, const char *text) {
    struct seeker seeker;
    struct sl__lease *none;
    struct sl_error error = SL_ERROR_INIT;
    seeker_init(&seeker);
    assert_int_equal(sl__pool_acquire(pool, &seeker.waiter, SL__ANY_WORKER, &none, &error), SL_E_CIRCUIT_OPEN);
    assert_false(seeker.waiter.queued);
    if (strstr(error.message, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, error.message);
    }
    sl_error_finish(&error);
}

static void starts_that_fail_open_it_and_are_bounded(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(4, GOOD "|" BAD);
    options.restart_backoff_ms = 1;
    options.start_failure_max = 6;
    options.circuit_cooldown_ms = 30000;
    struct sl_pool *pool = open_pool(runtime, &options);
    for (uint32_t i = 0; i < 4; i++) {
        lose(pool, i);
    }
    assert_int_equal(await_opened(pool, 1).circuit, SL_CIRCUIT_OPEN);
    expect_refusal(pool, "6 starts of workers in a row failed");
    expect_refusal(pool, "the next is made in");
    expect_refusal(pool, "exited with status 7");
    assert_int_equal(stats_of(pool).circuit_open_count, 1);
    sl_pool_destroy(pool);
    no_child_is_left();

    options.circuit_cooldown_ms = 20;
    pool = open_pool(runtime, &options);
    for (uint32_t i = 0; i < 4; i++) {
        lose(pool, i);
    }
    struct sl_pool_stats stats = await_opened(pool, 2);
    expect_refusal(pool, "the worker of the last trial died");
    /* Those that were on their way when it opened, and one for each trial. */
    assert_true(stats.start_failure_count <= 6 + 3 + stats.circuit_open_count - 1);
    assert_int_equal(stats_of(pool).start_count, 4);
    assert_true(log_has("circuit open"));
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void a_trial_that_is_answered_closes_it(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, GOOD);
    options.restart_max = 2;
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 50;
    struct sl_pool *pool = open_pool(runtime, &options);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (stats_of(pool).circuit == SL_CIRCUIT_CLOSED) { /* three deaths and it opens */
        for (uint32_t i = 0; i < 3; i++) {
            int64_t pid = sl_pool_worker_pid(pool, i);
            (void)(pid > 0 && kill((pid_t)pid, SIGKILL));
        }
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    struct seeker first, second;
    struct sl__lease *lease = NULL, *none = NULL;
    seeker_init(&first);
    seeker_init(&second);
    enum sl_code code;
    while ((code = sl__pool_acquire(pool, &first.waiter, 2, &lease, NULL)) == SL_E_CIRCUIT_OPEN) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(code, SL_OK); /* the lane of whichever worker there is */
    assert_true(lease->trial);
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_HALF_OPEN);
    assert_int_equal(sl__pool_acquire(pool, &second.waiter, SL__ANY_WORKER, &none, NULL), SL_E_CIRCUIT_OPEN);
    sl__pool_answered(pool, lease);
    assert_false(lease->trial);
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_CLOSED);
    await_ready(pool, 3); /* all of them, though only one is held */
    sl__pool_release(pool, lease, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(seek(pool, &second, i, &lease, NULL), SL_OK);
        sl__pool_release(pool, lease, 0);
    }
    /* Its deaths are forgotten: two more are two again. */
    uint64_t starts = stats_of(pool).start_count;
    lose(pool, 0);
    lose(pool, 1);
    while (stats_of(pool).start_count < starts + 2) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_CLOSED);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

/* A pool whose worker died and failed to start twice: its circuit is open, and the next start goes well. */
static struct sl_pool *open_broken(struct sl_runtime *runtime) {
    struct sl_pool_options options = troubled(2);
    options.start_failure_max = 2;
    struct sl_pool *pool = open_pool(runtime, &options);
    lose(pool, 0);
    await_opened(pool, 1);
    return pool;
}

/* Waits until the pool's circuit lets one caller in. */
static struct sl__lease *get_trial(struct sl_pool *pool, struct seeker *seeker) {
    struct sl__lease *lease = NULL;
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (sl__pool_acquire(pool, &seeker->waiter, SL__ANY_WORKER, &lease, NULL) != SL_OK) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return lease;
}

static void a_trial_that_dies_opens_it_again(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool *pool = open_broken(runtime);
    struct seeker seeker;
    seeker_init(&seeker);
    struct sl__lease *lease = get_trial(pool, &seeker);
    assert_true(lease->trial);
    sl__pool_kill(pool, lease, SL_E_WORKER_TIMEOUT, "too slow", false);
    await_loss(&seeker, lease);
    assert_int_not_equal(stats_of(pool).circuit, SL_CIRCUIT_CLOSED);
    assert_int_equal(stats_of(pool).circuit_open_count, 2);
    sl__pool_release(pool, lease, 1); /* of a lane that is lost: no success */
    assert_int_not_equal(stats_of(pool).circuit, SL_CIRCUIT_CLOSED);
    lease = get_trial(pool, &seeker);
    sl__pool_release(pool, lease, 1); /* who counts the batch when giving it back says so, too */
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_CLOSED);
    lease = get_trial(pool, &seeker);
    assert_false(lease->trial);
    sl__pool_release(pool, lease, 0);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_trial_that_is_cancelled_or_unused_decides_nothing(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool *pool = open_broken(runtime);
    struct seeker seeker;
    seeker_init(&seeker);
    struct sl__lease *lease = get_trial(pool, &seeker);
    sl__pool_release(pool, lease, 0);
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_HALF_OPEN);
    lease = get_trial(pool, &seeker); /* there it is again, at once */
    uint64_t deaths = stats_of(pool).death_count;
    sl__pool_kill(pool, lease, SL_E_CANCELLED, "test", true);
    sl__pool_release(pool, lease, 0);
    lease = get_trial(pool, &seeker);
    assert_true(lease->trial);
    assert_int_equal(stats_of(pool).circuit_open_count, 1);
    assert_int_equal(stats_of(pool).death_count, deaths);
    sl__pool_release(pool, lease, 1);
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_CLOSED);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void an_idle_worker_that_dies_while_invited_opens_it_again(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool *pool = open_broken(runtime);
    await_ready(pool, 1);
    assert_int_equal(stats_of(pool).circuit, SL_CIRCUIT_HALF_OPEN);
    lose(pool, 0);
    await_opened(pool, 2);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void one_that_lives_serves_for_the_trial(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD "|" BAD);
    options.start_failure_max = 2;
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 20;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker holder, other;
    seeker_init(&holder);
    seeker_init(&other);
    struct sl__lease *lease, *none;
    assert_int_equal(seek(pool, &holder, 1, &lease, NULL), SL_OK);
    lose(pool, 0);
    await_opened(pool, 1);
    /* A lane that is leased stays so, and is no trial. */
    assert_int_equal(atomic_load(&lease->lost), 0);
    assert_int_equal(sl__pool_acquire(pool, &other.waiter, SL__ANY_WORKER, &none, NULL), SL_E_CIRCUIT_OPEN);
    sl__pool_release(pool, lease, 3);
    lease = get_trial(pool, &other); /* worker 0 never starts again: it can only be worker 1 */
    assert_int_equal(lease->worker, 1);
    assert_true(lease->trial);
    sl__pool_release(pool, lease, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

struct waiting {
    pthread_t thread;
    struct sl_pool *pool;
    enum sl_code code;
};

static void *wait_for_lane(void *argument) {
    struct waiting *waiting = argument;
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    waiting->code = seek(waiting->pool, &seeker, SL__ANY_WORKER, &lease, NULL);
    return NULL;
}

static void who_waits_when_it_opens_is_told(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(1, GOOD "|" BAD);
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 30000;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker holder;
    struct sl__lease *lease;
    seeker_init(&holder);
    assert_int_equal(seek(pool, &holder, 0, &lease, NULL), SL_OK);
    struct waiting waiting[3];
    for (int i = 0; i < 3; i++) {
        waiting[i] = (struct waiting){.pool = pool};
        assert_int_equal(pthread_create(&waiting[i].thread, NULL, wait_for_lane, &waiting[i]), 0);
    }
    while (stats_of(pool).waiter_count < 3) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    lose(pool, 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiting[i].thread, NULL);
        assert_int_equal(waiting[i].code, SL_E_CIRCUIT_OPEN);
    }
    assert_int_equal(stats_of(pool).waiter_count, 0);
    await_loss(&holder, lease);
    sl__pool_release(pool, lease, 0);
    /* The long cool-down does not hold up the end. */
    uint64_t start = sl__clock_now_ns();
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start < 5000000000ull);
    close_runtime(runtime);
}

static double cpu_seconds(void) {
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static void an_open_circuit_uses_no_processor_time(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(2, GOOD "|" BAD);
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 30000;
    struct sl_pool *pool = open_pool(runtime, &options);
    lose(pool, 0);
    lose(pool, 1);
    await_opened(pool, 1);
    await_ready(pool, 0);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* who was on the way is gone by then */
    double before = cpu_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL); /* the time that is measured */
    assert_true(cpu_seconds() - before < 0.01);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_pool_that_cannot_be_made_fails_at_once_as_ever(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, BAD);
    options.start_failure_max = 1;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_WORKER_START);
    assert_null(pool);
    sl_error_finish(&error);
    options.start_failure_max = 0;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "start_failure_max"));
    options.start_failure_max = 5;
    options.circuit_cooldown_ms = 30001;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "circuit_cooldown_ms"));
    sl_error_finish(&error);
    close_runtime(runtime);
}

/* Deaths, cancels, batches and empty-handed returns by several threads: whatever happens, it closes once workers stay alive. */
struct player {
    pthread_t thread;
    struct sl_pool *pool;
    unsigned seed;
};

static void *play(void *argument) {
    struct player *player = argument;
    struct seeker seeker;
    seeker_init(&seeker);
    for (int i = 0; i < 150; i++) {
        struct sl__lease *lease = NULL;
        uint32_t worker = rand_r(&player->seed) % 3 == 0 ? (uint32_t)rand_r(&player->seed) % 3 : SL__ANY_WORKER;
        enum sl_code code = sl__pool_acquire(player->pool, &seeker.waiter, worker, &lease, NULL);
        if (code == SL_OK) {
            switch (rand_r(&player->seed) % 4) {
            case 0:
                sl__pool_kill(player->pool, lease, SL_E_WORKER_TIMEOUT, "test", false);
                break;
            case 1:
                sl__pool_kill(player->pool, lease, SL_E_CANCELLED, "test", true);
                break;
            case 2:
                sl__pool_answered(player->pool, lease);
                break;
            default:
                break;
            }
            sl__pool_release(player->pool, lease, (uint64_t)rand_r(&player->seed) % 2);
        } else {
            nanosleep(&(struct timespec){.tv_nsec = rand_r(&player->seed) % 1000000}, NULL);
        }
    }
    sl__pool_forget_waiter(player->pool, &seeker.waiter);
    return NULL;
}

static void it_recovers_from_any_mixture(void **unused) {
    (void)unused;
    unsigned seed = test_seed();
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = scripted(3, GOOD "|" GOOD "|" BAD "|" GOOD);
    options.restart_max = 4;
    options.restart_backoff_ms = 1;
    options.circuit_cooldown_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct player players[3];
    for (unsigned i = 0; i < 3; i++) {
        players[i] = (struct player){.pool = pool, .seed = seed + i};
        assert_int_equal(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(players[i].thread, NULL);
    }
    struct seeker seeker;
    seeker_init(&seeker);
    for (uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
         stats_of(pool).circuit != SL_CIRCUIT_CLOSED || stats_of(pool).ready_count < 3;) {
        struct sl__lease *lease = NULL;
        if (sl__pool_acquire(pool, &seeker.waiter, SL__ANY_WORKER, &lease, NULL) == SL_OK) {
            sl__pool_release(pool, lease, 1);
        }
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    sl__pool_forget_waiter(pool, &seeker.waiter);
    print_message("it opened %llu times\n", (unsigned long long)stats_of(pool).circuit_open_count);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_that_fail_open_it_and_are_bounded),
        cmocka_unit_test(a_trial_that_is_answered_closes_it),
        cmocka_unit_test(a_trial_that_dies_opens_it_again),
        cmocka_unit_test(a_trial_that_is_cancelled_or_unused_decides_nothing),
        cmocka_unit_test(an_idle_worker_that_dies_while_invited_opens_it_again),
        cmocka_unit_test(one_that_lives_serves_for_the_trial),
        cmocka_unit_test(who_waits_when_it_opens_is_told),
        cmocka_unit_test(an_open_circuit_uses_no_processor_time),
        cmocka_unit_test(a_pool_that_cannot_be_made_fails_at_once_as_ever),
        cmocka_unit_test(it_recovers_from_any_mixture),
    };
    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
