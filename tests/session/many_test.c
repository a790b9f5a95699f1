/* SPDX-License-Identifier: MIT */
/* Many sessions: a hundred thousand that are open, and ten thousand over two lanes whose workers die at random, against a model. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "calls.h"

static void a_hundred_thousand(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session **sessions = malloc(COUNT * sizeof *sessions), *more = NULL;
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    host_open(&host, 2, NULL);
    assert_non_null(sessions);
    options.idle_timeout_ms = 3600000;
    options.lease_ms = 3600000; /* nobody renews them while the others are opened */
    for (int i = 0; i < COUNT; i++) {
        options.owner = i % 2 == 0 ? SL_OWNER_LEASE : SL_OWNER_HANDLE;
        assert_int_equal(sl_session_open(host.pool, &options, &sessions[i], &error), SL_OK);
    }
    assert_int_equal(host_stats(&host).session_count, COUNT);
    assert_int_equal(sl_session_open(host.pool, NULL, &more, &error), SL_E_LIMIT);
    assert_non_null(strstr(error.message, "has 100000 open sessions, which is its session_max"));
    assert_null(more);
    for (int i = 0; i < COUNT; i += 1000) { /* those in use are like any other */
        assert_int_equal(ask(&host, sessions[i], "put", i), i);
    }
    for (int i = 0; i < COUNT; i += 1000) {
        assert_int_equal(ask(&host, sessions[i], "get", 0), i);
    }
    for (int i = 0; i < COUNT; i++) {
        sl_session_close(sessions[i]);
    }
    assert_int_equal(host_stats(&host).session_count, 0);
    assert_int_equal(host_stats(&host).session_end_count, COUNT);
    free(sessions);
    sl_error_finish(&error);
    host_close(&host);
}

#define MODEL_SESSIONS 10000
#define MODEL_THREADS 2
#define MODEL_STEPS 15000

struct model {
    struct host *host;
    struct sl_session **sessions;
    int64_t *values; /* what was put last; NONE: nothing */
    bool *lost;
    int first, count;
    uint64_t random;
    uint64_t lost_count, death_count;
};

/* One thread has its part of the sessions; workers die under both. */
static void *step_through(void *argument) {
    struct model *model = argument;
    struct sl_error error = SL_ERROR_INIT;
    for (int step = 0; step < MODEL_STEPS / MODEL_THREADS; step++) {
        int at = model->first + (int)(draw(&model->random) % (uint64_t)model->count);
        uint64_t dice = draw(&model->random) % 1000;
        bool puts = dice < 500, kills = dice >= 995, closes = dice >= 985 && !kills;
        if (closes) {
            sl_session_close(model->sessions[at]);
            model->sessions[at] = session_open(model->host, NULL);
            model->values[at] = NONE;
            model->lost[at] = false;
            continue;
        }
        const struct call call = {.host = model->host,
                                  .session = model->sessions[at],
                                  .function = kills  ? "dies"
                                              : puts ? "put"
                                                     : "get",
                                  .number = step};
        int64_t result = 0;
        enum sl_code code = call_in(&call, &result, &error);
        if (code == SL_E_SESSION_LOST) {
            /* Only what had state can be lost, and then for good. */
            assert_true(model->values[at] != NONE || model->lost[at]);
            assert_non_null(strstr(error.message, "which held its state, died of SIGSEGV"));
            model->lost_count += model->lost[at] ? 0 : 1;
            model->lost[at] = true;
        } else if (kills) {
            assert_int_equal(code, SL_E_WORKER_CRASHED);
            assert_false(model->lost[at]);
            model->death_count++;
            if (model->values[at] != NONE) {
                model->lost[at] = true;
                model->lost_count++;
            }
        } else {
            if (code != SL_OK) {
                fail_msg("step %d: %s", step, error.message);
            }
            assert_false(model->lost[at]);
            assert_int_equal(result, puts ? step : model->values[at]); /* its own, and the newest */
            model->values[at] = puts ? step : model->values[at];
        }
        sl_error_finish(&error);
    }
    return NULL;
}

static void random_deaths_lose_what_they_held_and_nothing_else(void **state) {
    (void)state;
    struct host host;
    struct model models[MODEL_THREADS];
    pthread_t threads[MODEL_THREADS];
    struct sl_session **sessions = malloc(MODEL_SESSIONS * sizeof *sessions);
    int64_t *values = malloc(MODEL_SESSIONS * sizeof *values);
    bool *lost = calloc(MODEL_SESSIONS, sizeof *lost);
    uint64_t random = draw_seed(), lost_count = 0, death_count = 0;
    assert_true(sessions != NULL && values != NULL && lost != NULL);
    host_open(&host, 2, NULL);
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        sessions[i] = session_open(&host, NULL);
        values[i] = NONE;
    }
    for (int i = 0; i < MODEL_THREADS; i++) {
        int part = MODEL_SESSIONS / MODEL_THREADS;
        models[i] = (struct model){&host, sessions, values, lost, i * part, part, draw(&random) | 1, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, step_through, &models[i]), 0);
    }
    for (int i = 0; i < MODEL_THREADS; i++) {
        pthread_join(threads[i], NULL);
        lost_count += models[i].lost_count;
        death_count += models[i].death_count;
    }
    assert_int_equal(host_stats(&host).death_count, death_count);
    assert_true(host_stats(&host).session_lost_count >= lost_count);
    printf("%llu deaths, %llu sessions found lost\n", (unsigned long long)death_count, (unsigned long long)lost_count);
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        sl_session_close(sessions[i]);
    }
    assert_int_equal(host_stats(&host).session_count, 0);
    free(sessions);
    free(values);
    free(lost);
    host_close(&host);
}

/* Threads that use, close, renew and look at sessions that others close. Run under TSan. */
struct racer {
    struct host *host;
    struct sl_session **shared; /* each has its own handle of none: they share the struct, not its close */
    int count;
    uint64_t random;
};

static void *race(void *argument) {
    struct racer *racer = argument;
    struct sl_error error = SL_ERROR_INIT;
    for (int i = 0; i < 150; i++) {
        struct sl_session *shared = racer->shared[draw(&racer->random) % (uint64_t)racer->count];
        const struct call call = {.host = racer->host, .session = shared, .function = i % 3 == 0 ? "where" : "count"};
        int64_t result;
        enum sl_code code = call_in(&call, &result, &error);
        assert_true(code == SL_OK || code == SL_E_SESSION_LOST);
        code = sl_session_renew(shared, &error);
        assert_true(code == SL_OK || code == SL_E_SESSION_LOST);
        (void)info_of(shared);
        struct sl_session *own = session_open(racer->host, NULL);
        if (i % 2 == 0) {
            assert_int_equal(ask(racer->host, own, "count", 0), 1);
        }
        sl_session_close(own);
        sl_error_finish(&error);
    }
    return NULL;
}

static void soon_over(struct sl_session_options *options) {
    options->owner = SL_OWNER_LEASE;
    options->lease_ms = 20;
}

static void threads_may_share_sessions(void **state) {
    (void)state;
    struct host host;
    struct sl_session *shared[4];
    struct racer racers[3];
    pthread_t threads[3];
    uint64_t random = draw_seed();
    host_open(&host, 2, NULL);
    for (int i = 0; i < 4; i++) {
        shared[i] = session_open(&host, i == 0 ? soon_over : NULL);
    }
    for (int i = 0; i < 3; i++) {
        racers[i] = (struct racer){&host, shared, 4, draw(&random) | 1};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(host_stats(&host).death_count, 0);
    for (int i = 0; i < 4; i++) {
        sl_session_close(shared[i]);
    }
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand),
        cmocka_unit_test(random_deaths_lose_what_they_held_and_nothing_else),
        cmocka_unit_test(threads_may_share_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
