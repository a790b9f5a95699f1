/* SPDX-License-Identifier: MIT */
/* Waking and sleeping: no wake-up is lost, between processes and between threads. Each wait has a bound far above what it needs. */
#include "pair_test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doorbell.h"

#define LOST_NS 20000000000u /* a reply that takes longer has been lost */

static void answer_until_empty(struct sl__lane *worker, const _Atomic uint32_t *stop) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__request request;
    for (;;) {
        enum sl_code code = sl__lane_take(worker, &request, &error);
        if (code == SL_E_AGAIN) {
            if (atomic_load(stop) != 0) {
                return;
            }
            sl__lane_wait_request(worker, stop);
            continue;
        }
        if (code != SL_OK || request.item_count == 0) {
            return;
        }
        uint8_t *memory;
        size_t capacity;
        if (sl__lane_reply_open(worker, &memory, &capacity, &error) != SL_OK || capacity < request.size) {
            return;
        }
        memcpy(memory, request.data, request.size);
        if (sl__lane_reply_commit(worker, SL_OK, 1, request.size, 0, &error) != SL_OK) {
            return;
        }
    }
}

static void wait_for_reply(struct sl__lane *host, struct sl__bell *bell, struct sl__spin *spin, bool may_spin,
                           struct sl__reply *reply) {
    struct sl_error error = SL_ERROR_INIT;
    uint64_t deadline_ns = sl__clock_now_ns() + LOST_NS;
    enum sl_code code;
    while ((code = sl__lane_poll(host, reply, &error)) == SL_E_AGAIN) {
        assert_false(sl__clock_passed(deadline_ns));
        sl__lanes_wait(&host, 1, bell, 0, deadline_ns, spin, may_spin);
    }
    must_at(code, &error, __FILE__, __LINE__);
}

/* `count` messages with up to `window` under way; each reply must be the request that it answers. */
static void exchange(struct sl__lane *host, uint32_t count, uint32_t window, bool may_spin) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__bell bell;
    struct sl__spin spin;
    sl__bell_init(&bell);
    sl__spin_init(&spin);
    for (uint32_t sent = 0, answered = 0; answered < count;) {
        while (sent < count && sent - answered < window) {
            uint8_t *memory;
            uint64_t offset, sequence;
            MUST(sl__lane_open(host, &error));
            MUST(sl__lane_extend(host, sizeof sent, &memory, &offset, &error));
            memcpy(memory, &sent, sizeof sent);
            MUST(sl__lane_commit(host, SL__REQUEST_BATCH, 0, 1, &sequence, &error));
            sent++;
        }
        struct sl__reply reply;
        wait_for_reply(host, &bell, &spin, may_spin, &reply);
        uint32_t number;
        assert_int_equal(reply.blob->size, sizeof number);
        memcpy(&number, reply.blob->data, sizeof number);
        assert_int_equal(number, answered);
        sl__blob_unref(reply.blob);
        sl__lane_retire(host, false);
        answered++;
    }
    assert_int_equal(sl__lane_stale_count(host), 0);
}

static void no_wake_up_is_lost_between_processes(void **state) {
    (void)state;
    static const struct {
        uint32_t count, window;
        bool may_spin;
    } runs[] = {{50000, 1, false}, {50000, 1, true}, {50000, 2, false}, {50000, SL__LANE_SLOTS, true}};
    for (size_t i = 0; i < SL_COUNT_OF(runs); i++) {
        struct sl__lane *host;
        struct sl_error error = SL_ERROR_INIT;
        MUST(sl__lane_create(&pair_config, &host, &error));
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            static const _Atomic uint32_t stop = 0;
            struct sl__lane *worker;
            int fds[SL__LANE_FDS], own[SL__LANE_FDS];
            sl__lane_worker_fds(host, fds);
            for (int j = 0; j < SL__LANE_FDS; j++) {
                own[j] = dup(fds[j]);
            }
            if (sl__lane_attach(own, &pair_config, &worker, &error) == SL_OK) {
                answer_until_empty(worker, &stop);
            }
            _exit(0);
        }
        exchange(host, runs[i].count, runs[i].window, runs[i].may_spin);
        (void)send_filled(host, 0, 0, 0); /* the child goes */
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        sl__lane_destroy(host);
    }
}

struct side {
    struct sl__lane *lane;
    struct sl__bell *bell;
    _Atomic uint32_t stop;
    _Atomic uint32_t turns;
    _Atomic uint32_t ready;
};

static void *run_worker(void *argument) {
    struct side *side = argument;
    answer_until_empty(side->lane, &side->stop);
    return NULL;
}

static void no_wake_up_is_lost_between_threads(void **state) {
    (void)state;
    for (int may_spin = 0; may_spin < 2; may_spin++) {
        struct pair pair;
        pair_open(&pair, &pair_config);
        struct side side = {.lane = pair.worker};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_worker, &side), 0);
        exchange(pair.host, 10000, 1 + (uint32_t)may_spin, may_spin != 0);
        atomic_store(&side.stop, 1);
        sl__lane_interrupt(pair.worker);
        assert_int_equal(pthread_join(thread, NULL), 0);
        pair_close(&pair);
    }
}

/* ---- interruption ------------------------------------------------------------------------------------------------------ */

static void *run_sleeper(void *argument) {
    struct side *side = argument;
    while (atomic_load(&side->stop) == 0) {
        atomic_store(&side->ready, 1);
        sl__lane_wait_request(side->lane, &side->stop);
        atomic_fetch_add(&side->turns, 1);
    }
    return NULL;
}

static void an_interruption_ends_the_wait(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, &pair_config);
    for (int i = 0; i < 500; i++) {
        struct side side = {.lane = pair.worker};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_sleeper, &side), 0);
        if (i % 3 != 0) {
            while (atomic_load(&side.ready) == 0) {
                sched_yield();
            }
        }
        if (i % 2 == 0) { /* without a reason to stop: the wait returns all the same */
            uint32_t before = atomic_load(&side.turns);
            sl__lane_interrupt(pair.worker);
            uint64_t deadline_ns = sl__clock_now_ns() + LOST_NS;
            while (atomic_load(&side.turns) == before) {
                assert_false(sl__clock_passed(deadline_ns));
                sched_yield();
            }
        }
        atomic_store(&side.stop, 1);
        sl__lane_interrupt(pair.worker);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    pair_close(&pair);
}

/* ---- bells ------------------------------------------------------------------------------------------------------------- */

static void *run_ringer(void *argument) {
    struct side *side = argument;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t deadline_ns = sl__clock_now_ns() + LOST_NS;
        while (atomic_load(&side->turns) != i) { /* one ring, one wait */
            if (sl__clock_passed(deadline_ns)) {
                return NULL;
            }
            sched_yield();
        }
        sl__bell_ring(side->bell);
    }
    return NULL;
}

static void a_bell_is_heard(void **state) {
    (void)state;
    struct pair pair;
    struct sl__bell bell;
    struct sl__spin spin;
    pair_open(&pair, &pair_config);
    sl__bell_init(&bell);
    sl__spin_init(&spin);
    struct side side = {.bell = &bell};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_ringer, &side), 0);
    for (uint32_t seen = 0; seen < 20000; seen++) {
        uint64_t deadline_ns = sl__clock_now_ns() + LOST_NS;
        while (atomic_load(&bell.value) == seen) {
            assert_false(sl__clock_passed(deadline_ns));
            sl__lanes_wait(&pair.host, seen % 2, &bell, seen, deadline_ns, &spin,
                           seen % 3 == 0); /* also without a lane */
        }
        atomic_store(&side.turns, seen + 1);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    pair_close(&pair);
}

static void a_deadline_ends_the_wait(void **state) {
    (void)state;
    struct pair pair;
    struct sl__bell bell;
    struct sl__spin spin;
    pair_open(&pair, &pair_config);
    sl__bell_init(&bell);
    sl__spin_init(&spin);
    for (size_t lanes = 0; lanes < 2; lanes++) {
        uint64_t deadline_ns = sl__clock_now_ns() + 5000000;
        while (!sl__clock_passed(deadline_ns)) {
            sl__lanes_wait(&pair.host, lanes, &bell, 0, deadline_ns, &spin, true);
        }
        assert_true(sl__clock_now_ns() < deadline_ns + LOST_NS);
    }
    sl__lanes_wait(&pair.host, 1, &bell, 0, 1, &spin, true); /* long past */
    sl__bell_ring(&bell);
    sl__lanes_wait(&pair.host, 1, &bell, 0, 0, &spin, true); /* rung before */
    pair_close(&pair);
}

static void *run_late_answer(void *argument) {
    struct side *side = argument;
    struct sl__request request;
    if (sl__lane_take(side->lane, &request, NULL) == SL_OK) {
        (void)sl__lane_reply_commit(side->lane, SL_OK, 0, 0, 0, NULL);
    }
    return NULL;
}

/* More lanes than the kernel can wait on at once. */
static void many_lanes_are_waited_for(void **state) {
    (void)state;
    enum { LANES = 150 };
    struct sl__lane_config config = pair_config;
    config.segment_bytes = 1;
    struct pair pairs[LANES];
    struct sl__lane *hosts[LANES];
    struct sl__bell bell;
    struct sl__spin spin;
    sl__bell_init(&bell);
    sl__spin_init(&spin);
    for (int i = 0; i < LANES; i++) {
        pair_open(&pairs[i], &config);
        hosts[i] = pairs[i].host;
    }
    static const int answering[] = {0, 126, 127, LANES - 1};
    for (size_t i = 0; i < SL_COUNT_OF(answering); i++) {
        struct side side = {.lane = pairs[answering[i]].worker};
        struct sl__reply reply;
        struct sl_error error = SL_ERROR_INIT;
        (void)send_filled(hosts[answering[i]], 0, 0, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_late_answer, &side), 0);
        uint64_t deadline_ns = sl__clock_now_ns() + LOST_NS;
        enum sl_code code;
        while ((code = sl__lane_poll(hosts[answering[i]], &reply, &error)) == SL_E_AGAIN) {
            assert_false(sl__clock_passed(deadline_ns));
            sl__lanes_wait(hosts, LANES, &bell, 0, deadline_ns, &spin, false);
        }
        MUST(code);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    for (int i = 0; i < LANES; i++) {
        pair_close(&pairs[i]);
    }
}

/* ---- spin and fork ------------------------------------------------------------------------------------------------------ */

static void the_spin_adapts(void **state) {
    (void)state;
    struct sl__spin spin = {.budget_ns = 20000};
    struct sl__spin_turn turn;
    for (int i = 0; i < 10; i++) {
        assert_true(sl__spin_begin(&spin, &turn));
        sl__spin_end(&spin, true);
    }
    assert_int_equal(spin.budget_ns, 50000); /* the most */
    for (int i = 0; i < 10 && sl__spin_begin(&spin, &turn); i++) {
        uint32_t before = spin.budget_ns;
        sl__spin_end(&spin, false);
        assert_true(spin.budget_ns <= before / 2);
    }
    assert_int_equal(spin.budget_ns, 0);
    int probes = 0;
    for (int i = 0; i < 320; i++) {
        if (sl__spin_begin(&spin, &turn)) {
            probes++;
            sl__spin_end(&spin, false);
        }
    }
    assert_in_range(probes, 9, 10);
    while (!sl__spin_begin(&spin, &turn)) {
    }
    sl__spin_end(&spin, true); /* a probe that finds something brings it back */
    assert_int_equal(spin.budget_ns, 20000);
    struct sl__spin never = {.misses = UINT32_MAX};
    assert_false(sl__spin_begin(&never, &turn));
    uint64_t begin = sl__clock_now_ns();
    assert_true(sl__spin_begin(&spin, &turn));
    while (sl__spin_goes_on(&turn)) {
    }
    assert_true(sl__clock_now_ns() - begin >= 20000);
}

static void a_forked_child_cannot_use_the_lane(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    (void)send_filled(pair.host, 1, 0, 0);
    (void)send_filled(pair.host, 1, 0, 0);
    struct sl__request request;
    MUST(sl__lane_take(pair.worker, &request, &error));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        enum sl_code commit = sl__lane_reply_commit(pair.worker, SL_OK, 0, 0, 0, NULL);
        pair.worker->worker.taken = false;
        enum sl_code take = sl__lane_take(pair.worker, &request, NULL);
        _exit(commit == SL_E_UNSUPPORTED && take == SL_E_UNSUPPORTED ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct sl__reply reply;
    assert_int_equal(sl__lane_poll(pair.host, &reply, &error), SL_E_AGAIN);
    MUST(sl__lane_reply_commit(pair.worker, SL_OK, 0, 0, 0, &error));
    MUST(sl__lane_poll(pair.host, &reply, &error));
    pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_between_processes),
        cmocka_unit_test(no_wake_up_is_lost_between_threads),
        cmocka_unit_test(an_interruption_ends_the_wait),
        cmocka_unit_test(a_bell_is_heard),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(many_lanes_are_waited_for),
        cmocka_unit_test(the_spin_adapts),
        cmocka_unit_test(a_forked_child_cannot_use_the_lane),
    };
    return cmocka_run_group_tests_name("doorbell", tests, NULL, NULL);
}
