/* SPDX-License-Identifier: MIT */
/* How sessions end: with their owner, or when their time is up. What Python held is gone then, which a close hook tells. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#define END_MS \
    20000 /* 100 ms are promised, which is latency_test.c's matter: here a stalled machine has time, and an end that never comes is found */
#define TRIES_MAX 50 /* of what a stalled machine spoils */

struct fixture {
    struct host host;
    int fifo;
    char path[SCRATCH_SIZE];
};

static void setup(struct fixture *fixture) {
    host_open(&fixture->host, 2, NULL);
    fixture->fifo = open_fifo(fixture->path);
}

static void teardown(struct fixture *fixture) {
    close_fifo(fixture->fifo, fixture->path);
    host_close(&fixture->host);
}

/* Makes state whose end is told. */
static void give_state(struct fixture *fixture, struct sl_session *session) {
    const struct call hook = {
        .host = &fixture->host, .session = session, .function = "tell_when_closed", .text = fixture->path};
    int64_t id = 0;
    (void)call_in(&hook, &id, NULL);
    assert_int_equal(id, sl_session_id(session));
}

static void assert_ended(struct fixture *fixture, struct sl_session *session, const char *text) {
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(info_of(session).state, SL_SESSION_ENDED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask_in_vain(&fixture->host, session, "get", &error), SL_E_SESSION_LOST);
        if (strstr(error.message, text) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", error.message, text);
        }
    }
    assert_int_equal(sl_session_renew(session, &error), SL_E_SESSION_LOST);
    sl_error_finish(&error);
}

static void a_killed_process_takes_its_sessions_along(void **state) {
    (void)state;
    struct fixture fixture;
    char text[80];
    setup(&fixture);
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *sessions[3];
    struct sl_error error = SL_ERROR_INIT;
    options.owner = SL_OWNER_PROCESS;
    options.owner_pid = child;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sl_session_open(fixture.host.pool, &options, &sessions[i], &error), SL_OK);
        give_state(&fixture, sessions[i]);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(read_number(fixture.fifo, END_MS) > 0);
    }
    snprintf(text, sizeof text, "its owner, process %ld, has ended", (long)child);
    assert_ended(&fixture, sessions[0], text);
    /* One that has ended, reaped or not, owns nothing more. */
    struct sl_session *late = NULL;
    enum sl_code code = sl_session_open(fixture.host.pool, &options, &late, &error);
    if (code == SL_OK) {
        for (int i = 0; i < END_MS && info_of(late).state == SL_SESSION_OPEN; i++) {
            usleep(1000);
        }
        assert_int_equal(info_of(late).state, SL_SESSION_ENDED);
        sl_session_close(late);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(sl_session_open(fixture.host.pool, &options, &late, &error), SL_E_NOT_FOUND);
    assert_int_equal(host_stats(&fixture.host).session_count, 0);
    for (int i = 0; i < 3; i++) {
        sl_session_close(sessions[i]);
    }
    sl_error_finish(&error);
    teardown(&fixture);
}

struct thread_owner {
    struct host *host;
    struct fixture *fixture;
    struct sl_session *session;
    bool by_exit;
    pthread_barrier_t *barrier; /* met before it ends */
};

static void *own(void *argument) {
    struct thread_owner *owner = argument;
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.owner = SL_OWNER_THREAD;
    assert_int_equal(sl_session_open(owner->host->pool, &options, &owner->session, &error), SL_OK);
    if (owner->fixture != NULL) {
        give_state(owner->fixture, owner->session);
    }
    if (owner->barrier != NULL) {
        pthread_barrier_wait(owner->barrier);
        pthread_barrier_wait(owner->barrier);
    }
    sl_error_finish(&error);
    if (owner->by_exit) {
        pthread_exit(NULL);
    }
    return NULL;
}

static void a_thread_takes_its_sessions_along(void **state) {
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        struct thread_owner owner = {.host = &fixture.host, .fixture = &fixture, .by_exit = i % 2 != 0};
        assert_int_equal(pthread_create(&thread, NULL, own, &owner), 0);
        pthread_join(thread, NULL);
        assert_int_equal(read_number(fixture.fifo, END_MS), sl_session_id(owner.session));
        assert_ended(&fixture, owner.session, "its owner, a thread, has ended");
        sl_session_close(owner.session);
    }
    teardown(&fixture);
}

static void a_thread_may_outlive_the_runtime(void **state) {
    (void)state;
    struct host host;
    pthread_t thread;
    pthread_barrier_t barrier;
    struct sl_error error = SL_ERROR_INIT;
    struct thread_owner owner = {.host = &host, .by_exit = true, .barrier = &barrier};
    pthread_barrier_init(&barrier, NULL, 2);
    host_open(&host, 1, NULL);
    assert_int_equal(pthread_create(&thread, NULL, own, &owner), 0);
    pthread_barrier_wait(&barrier);
    host_close(&host);
    assert_int_equal(info_of(owner.session).state, SL_SESSION_ENDED);
    assert_non_null(strstr(info_of(owner.session).reason, "its pool pool was destroyed"));
    assert_int_equal(sl_session_renew(owner.session, &error), SL_E_SESSION_LOST);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    sl_session_close(owner.session);
    pthread_barrier_destroy(&barrier);
    sl_error_finish(&error);
}

/* A session with state, of those whose time may be up before it has got any. */
static struct sl_session *open_short(struct fixture *fixture, void (*change)(struct sl_session_options *options)) {
    for (int i = 0; i < TRIES_MAX; i++) {
        struct sl_error error = SL_ERROR_INIT;
        struct sl_session *session = session_open(&fixture->host, change);
        const struct call hook = {
            .host = &fixture->host, .session = session, .function = "tell_when_closed", .text = fixture->path};
        enum sl_code code = call_in(&hook, NULL, &error);
        sl_error_finish(&error);
        if (code == SL_OK) {
            return session;
        }
        assert_int_equal(code, SL_E_SESSION_LOST);
        sl_session_close(session);
    }
    fail_msg("the time of %d sessions was up before they had any state", TRIES_MAX);
    return NULL;
}

/* Those before it that were late tell their end as well. */
static void await_end(struct fixture *fixture, struct sl_session *session) {
    int64_t id;
    do {
        id = read_number(fixture->fifo, END_MS);
        assert_true(id > 0);
    } while (id != (int64_t)sl_session_id(session));
}

static void leases(struct sl_session_options *options) {
    options->owner = SL_OWNER_LEASE;
    options->lease_ms = 150;
}

/* False: this thread did not run for so long that it says nothing about leases. `last_ms` is before the last time that it was renewed. */
static bool renew_for_a_while(struct sl_session *session, uint64_t *last_ms) {
    struct sl_error error = SL_ERROR_INIT;
    uint64_t until = now_ms() + 600, now = now_ms();
    enum sl_code code = sl_session_renew(session, &error);
    while (code == SL_OK && now < until) {
        *last_ms = now;
        usleep(20000);
        now = now_ms();
        code = sl_session_renew(session, &error);
        assert_true(code == SL_OK || now_ms() - *last_ms >= 149);
    }
    sl_error_finish(&error);
    return code == SL_OK;
}

static void a_lease_runs_out_unless_it_is_renewed(void **state) {
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    struct sl_session *session = open_short(&fixture, leases);
    uint64_t last = 0;
    for (int i = 0; !renew_for_a_while(session, &last); i++) {
        assert_true(i < TRIES_MAX);
        sl_session_close(session);
        session = open_short(&fixture, leases);
    }
    await_end(&fixture, session);
    assert_true(now_ms() - last >= 149);
    assert_ended(&fixture, session, "its lease of 150 ms ran out ");
    sl_session_close(session);
    teardown(&fixture);
}

static void lives_shortly(struct sl_session_options *options) {
    options->ttl_ms = 200;
}

static void idles_shortly(struct sl_session_options *options) {
    options->idle_timeout_ms = 200;
}

static void time_ends_sessions(void **state) {
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    uint64_t before = now_ms();
    struct sl_session *session = open_short(&fixture, lives_shortly);
    await_end(&fixture, session);
    assert_true(now_ms() - before >= 200);
    assert_ended(&fixture, session, "its time to live of 200 ms was over ");
    sl_session_close(session);

    before = now_ms();
    session = open_short(&fixture, idles_shortly);
    /* A call that lasts longer is no idleness. */
    struct call slow = {.host = &fixture.host, .session = session, .function = "wait", .number = 1};
    struct sl_error error = SL_ERROR_INIT;
    for (int i = 0; call_in(&slow, NULL, &error) != SL_OK; i++) { /* it may have been idle for so long before */
        assert_int_equal(error.code, SL_E_SESSION_LOST);
        assert_true(i < TRIES_MAX && now_ms() - before >= 199);
        sl_session_close(session);
        before = now_ms();
        slow.session = session = open_short(&fixture, idles_shortly);
        sl_error_finish(&error);
    }
    await_end(&fixture, session);
    assert_true(now_ms() - before >= 1000 + 199);
    assert_ended(&fixture, session, "it was idle for 200 ms, and ended ");
    sl_session_close(session);
    teardown(&fixture);
}

/* More than are ended at one stroke: by the end of their process, and by the clock. */
static void many_end_at_once(void **state) {
    enum { MANY = 3000 };
    (void)state;
    struct host host;
    struct sl_session **sessions = calloc(2 * MANY, sizeof(struct sl_session *));
    assert_non_null(sessions);
    host_open(&host, 1, NULL);
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    for (int i = 0; i < 2 * MANY; i++) {
        struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
        options.owner = i < MANY ? SL_OWNER_PROCESS : SL_OWNER_HANDLE;
        options.owner_pid = child;
        options.ttl_ms = i < MANY ? 0 : 100;
        assert_int_equal(sl_session_open(host.pool, &options, &sessions[i], NULL), SL_OK);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    while (host_stats(&host).session_count > 0) { /* the test's timeout is the bound */
        usleep(1000);
    }
    for (int i = 0; i < 2 * MANY; i++) {
        assert_non_null(strstr(info_of(sessions[i]).reason, i < MANY ? "its owner, process" : "its time to live"));
        sl_session_close(sessions[i]);
    }
    host_close(&host);
    free(sessions);
}

static void *tell_thread(void *number) {
    *(_Atomic int64_t *)number = syscall(SYS_gettid);
    while (*(_Atomic int64_t *)number > 0) {
        usleep(1000);
    }
    return NULL;
}

static void a_thread_is_no_process(void **state) {
    (void)state;
    struct host host;
    struct sl_session *session = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    _Atomic int64_t number = 0;
    pthread_t thread;
    host_open(&host, 1, NULL);
    assert_int_equal(pthread_create(&thread, NULL, tell_thread, (void *)&number), 0);
    while (number == 0) {
        usleep(1000);
    }
    options.owner = SL_OWNER_PROCESS;
    options.owner_pid = number;
    assert_int_equal(sl_session_open(host.pool, &options, &session, &error), SL_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "it is a thread's"));
    assert_null(session);
    number = -1;
    pthread_join(thread, NULL);
    sl_error_finish(&error);
    host_close(&host);
}

static void a_pool_takes_its_sessions_along(void **state) {
    (void)state;
    struct host host;
    struct sl_session *sessions[100];
    host_open(&host, 2, NULL);
    for (int i = 0; i < 100; i++) {
        sessions[i] = session_open(&host, i % 3 == 0 ? leases : NULL);
        if (i % 10 == 0) {
            (void)ask(&host, sessions[i], "put", 1);
        }
    }
    host_close(&host);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(info_of(sessions[i]).state, SL_SESSION_ENDED);
        sl_session_close(sessions[i]);
    }
}

static void a_run_takes_its_own_session_along(void **state) {
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    const struct call hook = {.host = &fixture.host, .function = "tell_when_closed", .text = fixture.path};
    int64_t id = 0;
    for (int i = 0; i < 20; i++) {
        (void)call_in(&hook, &id, NULL);
        assert_int_equal(read_number(fixture.fifo, END_MS), id);
    }
    assert_int_equal(host_stats(&fixture.host).session_count, 0);
    teardown(&fixture);
}

struct closing {
    struct fixture *fixture;
    struct sl_session *session;
    char path[SCRATCH_SIZE];
    int64_t result;
};

static void *put_and_wait(void *argument) {
    struct closing *closing = argument;
    const struct call call = {.host = &closing->fixture->host,
                              .session = closing->session,
                              .function = "put_and_wait",
                              .text = closing->path};
    (void)call_in(&call, &closing->result, NULL);
    return NULL;
}

static void a_call_outlives_the_close_and_its_state_does_not(void **state) {
    (void)state;
    struct fixture fixture;
    struct closing closing = {.fixture = &fixture};
    pthread_t thread;
    setup(&fixture);
    closing.session = session_open(&fixture.host, NULL);
    give_state(&fixture, closing.session);
    int64_t id = (int64_t)sl_session_id(closing.session);
    free_path(closing.path);
    assert_int_equal(pthread_create(&thread, NULL, put_and_wait, &closing), 0);
    while (host_stats(&fixture.host).busy_count == 0) {
        usleep(1000);
    }
    sl_session_close(closing.session);
    assert_int_equal(read_number(fixture.fifo, 100), -1); /* its batch runs: nothing is taken from under it */
    touch(closing.path);
    pthread_join(thread, NULL);
    assert_true(closing.result > 0);
    assert_int_equal(read_number(fixture.fifo, END_MS), id);
    (void)unlink(closing.path);
    teardown(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_takes_its_sessions_along),
        cmocka_unit_test(a_thread_takes_its_sessions_along),
        cmocka_unit_test(a_thread_may_outlive_the_runtime),
        cmocka_unit_test(a_lease_runs_out_unless_it_is_renewed),
        cmocka_unit_test(time_ends_sessions),
        cmocka_unit_test(many_end_at_once),
        cmocka_unit_test(a_thread_is_no_process),
        cmocka_unit_test(a_pool_takes_its_sessions_along),
        cmocka_unit_test(a_run_takes_its_own_session_along),
        cmocka_unit_test(a_call_outlives_the_close_and_its_state_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
