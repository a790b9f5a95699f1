/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out in the life of a session: each allocation fails in turn, of the thread that uses the session, or of the others. Whatever fails is told, the session
 * ends all the same, nothing of it stays in Python, and the pool goes on.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "failing_memory.h"

#define ALLOCATIONS_MAX 300 /* of a scenario */
#define SETTLE_MS 20000

static struct host host;
static struct sl_store *store;

/* What a scenario has found wrong, in whichever thread. */
static char complaint[700];

static void check(bool holds, const char *what, enum sl_code code, const struct sl_error *error) {
    if (!holds && complaint[0] == '\0') {
        snprintf(complaint, sizeof complaint, "%s: %s: %s", what, sl_code_name(code),
                 error != NULL ? error->message : "");
    }
}

/* There was no memory, and nothing else is wrong. */
static void check_clear(enum sl_code code, const struct sl_error *error) {
    check(code == SL_OK || (code == SL_E_OUT_OF_MEMORY && error->message[0] != '\0'), "unexpected", code, error);
}

/* ---- calls that need no memory of the test's ------------------------------------------------------------------------- */

static enum sl_code call_number(struct sl_session *session, const char *function, uint8_t number, int64_t *result,
                                struct sl_error *error) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    const struct sl_item item = {.value = {&number, 1}}; /* 0 to 127 is its own encoding */
    options.function = function;
    options.mode = SL_CALL_EACH;
    options.session = session;
    options.acquire_timeout_ms = SETTLE_MS / 2;
    enum sl_code code = sl_call_batch(host.pool, &options, &item, 1, &results, error);
    if (code == SL_OK && sl_value_int(results.values[0], result) != SL_OK) {
        *result = NONE;
    }
    sl_results_finish(&results);
    return code;
}

/* ---- the sweep ----------------------------------------------------------------------------------------------------------- */

/* All that a scenario has left in the host and in Python goes. */
static void settle(void) {
    uint64_t until = now_ms() + SETTLE_MS;
    int64_t here = -1;
    enum sl_code code;
    do {
        struct sl_error error = SL_ERROR_INIT;
        code = call_number(NULL, "session_functions:sessions_here", 0, &here, &error);
        sl_error_finish(&error);
    } while ((code != SL_OK || here > 0) && now_ms() < until);
    assert_int_equal(code, SL_OK);
    assert_int_equal(here, 0);
    assert_int_equal(host_stats(&host).session_count, 0);
}

static void sweep(const char *name, enum memory_whose whose, void (*scenario)(void)) {
    uint32_t count = 0;
    scenario();
    settle();
    for (bool failed = true; failed; count++) {
        assert_true(count < ALLOCATIONS_MAX);
        memory_fail(whose, count, false);
        scenario();
        if (whose == MEMORY_OTHERS) {
            settle(); /* what others do comes after */
        }
        failed = memory_restore();
        if (complaint[0] != '\0') {
            fail_msg("%s, allocation %u: %s", name, count, complaint);
        }
        settle();
    }
    printf("%s: %u allocations\n", name, count - 1);
    assert_true(count > 1 || whose != MEMORY_MINE);
}

/* ---- scenarios: what has to hold whether or not something failed ---------------------------------------------------- */

static enum sl_code forty_two(void *context, const struct sl_view_call *call, struct sl_writer *result,
                              struct sl_error *error) {
    (void)context, (void)call, (void)error;
    sl_write_int(result, 42);
    return SL_OK;
}

static struct sl_session *open_one(const struct sl_session_options *options) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session *session = NULL;
    enum sl_code code = sl_session_open(host.pool, options, &session, &error);
    check((code == SL_OK) == (session != NULL), "no session", code, &error);
    check_clear(code, &error);
    sl_error_finish(&error);
    return session;
}

/* Puts, and finds what it has put, unless something failed. */
static void use(struct sl_session *session) {
    struct sl_error error = SL_ERROR_INIT;
    int64_t result = 0;
    enum sl_code code = call_number(session, "session_functions:put", 7, &result, &error);
    check_clear(code, &error);
    if (code == SL_OK) {
        code = call_number(session, "session_functions:get", 0, &result, &error);
        check_clear(code, &error);
        check(code != SL_OK || result == 7 || session == NULL, "not what was put", code, &error);
    }
    sl_error_finish(&error);
}

static void live(const struct sl_session_options *options) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session *session = open_one(options);
    if (session != NULL) {
        use(session);
        enum sl_code code = sl_session_renew(session, &error);
        check(code == SL_OK || code == SL_E_SESSION_LOST, "renewed", code, &error); /* its worker could not stay */
        (void)info_of(session);
        sl_session_close(session);
    }
    sl_error_finish(&error);
}

static void live_with_a_handle(void) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.owner = SL_OWNER_LEASE;
    options.ttl_ms = options.idle_timeout_ms = 600000;
    live(&options);
}

static pid_t child;

static void live_with_a_process(void) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.owner = SL_OWNER_PROCESS;
    options.owner_pid = child;
    live(&options);
}

/* The record of the thread is made with its first session. */
static void *live_in_a_thread(void *whose) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.owner = SL_OWNER_THREAD;
    bool failed = true;
    for (uint32_t count = 0; failed; count++) {
        memory_fail(*(enum memory_whose *)whose, count, false);
        live(&options);
        failed = memory_restore();
    }
    struct sl_session *session = open_one(&options); /* and one that is there at its end */
    if (session != NULL) {
        use(session);
    }
    return session;
}

static void live_with_belongings(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view_options view = SL_VIEW_OPTIONS_INIT;
    struct sl_watch_options options = SL_WATCH_OPTIONS_INIT;
    struct sl_watch *watch = NULL;
    struct sl_session *session = open_one(NULL);
    if (session == NULL) {
        return;
    }
    view.name = "answer";
    view.call = forty_two;
    enum sl_code code = sl_session_view(session, &view, NULL, &error);
    check_clear(code, &error);
    enum sl_code watched = sl_session_watch(session, store, &options, &watch, &error);
    check((watched == SL_OK) == (watch != NULL), "no watch", watched, &error);
    check_clear(watched, &error);
    if (code == SL_OK) {
        int64_t result = 0;
        code = call_number(session, "session_functions:call_answer", 0, &result, &error);
        check_clear(code, &error);
        check(code != SL_OK || result == 42, "not the view's", code, &error);
    }
    sl_error_finish(&error);
    sl_session_close(session);
}

/* State of a run's own session. */
static void run_without_one(void) {
    use(NULL);
}

/* State in a session without a home. */
static void live_spread(void) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.affinity = SL_AFFINITY_SPREAD;
    live(&options);
}

/* Its worker dies. It goes on where it was, or says that it is lost. */
static void move(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session *session = open_one(NULL);
    int64_t sum = 0;
    if (session == NULL) {
        return;
    }
    enum sl_code code = call_number(session, "session_moving:add", 5, &sum, &error);
    check_clear(code, &error);
    if (code == SL_OK) {
        (void)call_number(session, "session_moving:checkpoint", 0, &sum, &error);
        code = call_number(session, "session_moving:die", 0, &sum, &error);
        check(code != SL_OK, "it lives", code, &error);
        code = call_number(session, "session_moving:add", 6, &sum, &error);
        check(code != SL_OK || sum == 11, "another sum", code, &error);
        check(code == SL_OK || code == SL_E_OUT_OF_MEMORY || code == SL_E_SESSION_LOST, "moved", code, &error);
    }
    sl_error_finish(&error);
    sl_session_close(session);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void of_the_thread_that_uses_it(void **state) {
    (void)state;
    sweep("handle", MEMORY_MINE, live_with_a_handle);
    sweep("process", MEMORY_MINE, live_with_a_process);
    sweep("spread", MEMORY_MINE, live_spread);
    sweep("a run's own", MEMORY_MINE, run_without_one);
    sweep("belongings", MEMORY_MINE, live_with_belongings);
}

static void of_a_thread_that_owns_it(void **state) {
    (void)state;
    pthread_t thread;
    void *session = NULL;
    enum memory_whose whose = MEMORY_MINE;
    assert_int_equal(pthread_create(&thread, NULL, live_in_a_thread, &whose), 0);
    pthread_join(thread, &session);
    assert_string_equal(complaint, "");
    assert_non_null(session);
    assert_int_equal(info_of(session).state, SL_SESSION_ENDED);
    sl_session_close(session);
    settle();
}

static void of_the_other_threads(void **state) {
    (void)state;
    sweep("handle, others", MEMORY_OTHERS, live_with_a_handle);
    sweep("belongings, others", MEMORY_OTHERS, live_with_belongings);
}

static void of_a_session_that_moves(void **state) {
    (void)state;
    sweep("moves", MEMORY_MINE, move);
    sweep("moves, others", MEMORY_OTHERS, move);
}

static void recovers_soon(struct sl_pool_options *options) {
    options->circuit_cooldown_ms = 10;
}

static int setup(void **state) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    (void)state;
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            pause();
        }
    }
    host_open(&host, 1, recovers_soon);
    assert_int_equal(sl_store_create(host.runtime, &options, &store, &error), SL_OK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_store_destroy(store);
    host_close(&host);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_thread_that_uses_it),
        cmocka_unit_test(of_a_thread_that_owns_it),
        cmocka_unit_test(of_the_other_threads),
        cmocka_unit_test(of_a_session_that_moves),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
