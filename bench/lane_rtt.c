/* SPDX-License-Identifier: MIT */
/*
 * Round trip of one empty request over a lane, against the raw futex ping-pong between two processes that is its floor.
 *
 *     lane_rtt [rounds [calls]]
 *
 * The worker's end runs in a forked process. Rounds of each kind alternate, so that what else the machine does meets all of them. Prints
 * the median of each round's p50: with spinning, without (the host sleeps at once), and of the ping-pong.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lane/lane.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/futex.h"

#define ROUNDS_MAX 101
#define CALLS_MAX 1000000

static void fail(const char *what, const struct sl_error *error) {
    (void)fprintf(stderr, "lane_rtt: %s: %s\n", what, error != NULL ? error->message : strerror(errno));
    exit(1);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(uint64_t *values, size_t count) {
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

/* ---- a lane with a worker's end that answers each request with one nil ----------------------------------------------- */

static void serve(struct sl__lane *lane) {
    static const _Atomic uint32_t stop = 0;
    struct sl__request request;
    for (;;) {
        enum sl_code code = sl__lane_take(lane, &request, NULL);
        if (code == SL_E_AGAIN) {
            sl__lane_wait_request(lane, &stop);
            continue;
        }
        uint8_t *memory;
        size_t capacity;
        if (code != SL_OK || request.item_count == 0 || sl__lane_reply_open(lane, &memory, &capacity, NULL) != SL_OK) {
            _exit(0);
        }
        memory[0] = 0xc0;
        if (sl__lane_reply_commit(lane, SL_OK, 1, 1, 0, NULL) != SL_OK) {
            _exit(0);
        }
    }
}

static pid_t fork_tied(void) {
    pid_t pid = fork();
    if (pid < 0) {
        fail("fork", NULL);
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

static void send_request(struct sl__lane *lane, uint32_t item_count) {
    struct sl_error error = SL_ERROR_INIT;
    uint8_t *memory;
    uint64_t offset, sequence;
    if (sl__lane_open(lane, &error) != SL_OK || sl__lane_extend(lane, 1, &memory, &offset, &error) != SL_OK) {
        fail("open", &error);
    }
    memory[0] = 0xc0;
    if (sl__lane_commit(lane, SL__REQUEST_BATCH, 1, item_count, &sequence, &error) != SL_OK) {
        fail("commit", &error);
    }
}

static uint64_t lane_round(uint64_t *samples, size_t calls, bool spin) {
    struct sl__lane_config config = {
        .segment_bytes = 1u << 20, .payload_bytes_max = 1u << 30, .limits = SL_LIMITS_INIT, .generation = 1};
    struct sl_error error = SL_ERROR_INIT;
    struct sl__lane *lane;
    if (sl__lane_create(&config, &lane, &error) != SL_OK) {
        fail("create", &error);
    }
    pid_t pid = fork_tied();
    if (pid == 0) {
        int fds[SL__LANE_FDS], own[SL__LANE_FDS];
        struct sl__lane *end;
        sl__lane_worker_fds(lane, fds);
        for (int i = 0; i < SL__LANE_FDS; i++) {
            if (sl__duplicate(fds[i], &own[i], NULL) != SL_OK) {
                _exit(1);
            }
        }
        if (sl__lane_attach(own, &config, &end, &error) != SL_OK) {
            fail("attach", &error);
        }
        serve(end);
    }
    struct sl__bell bell;
    struct sl__spin state;
    sl__bell_init(&bell);
    sl__spin_init(&state);
    for (size_t i = 0; i < calls + calls / 10; i++) {
        uint64_t begin = sl__clock_now_ns();
        struct sl__reply reply;
        send_request(lane, 1);
        enum sl_code code;
        uint64_t deadline_ns = begin + 10000000000u;
        while ((code = sl__lane_poll(lane, &reply, &error)) == SL_E_AGAIN) {
            sl__lanes_wait(&lane, 1, &bell, 0, deadline_ns, &state, spin);
            if (sl__clock_passed(deadline_ns)) {
                code = sl_error_set(&error, SL_E_TIMEOUT,
                                    "no reply within 10 s: a wake-up was lost, or the forked process died");
                break;
            }
        }
        if (code != SL_OK) {
            fail("poll", &error);
        }
        sl__blob_unref(reply.blob);
        sl__lane_retire(lane, false);
        if (i >= calls / 10) {
            samples[i - calls / 10] = sl__clock_now_ns() - begin;
        }
    }
    send_request(lane, 0); /* the worker's end goes */
    (void)waitpid(pid, NULL, 0);
    sl__lane_destroy(lane);
    return median(samples, calls);
}

/* ---- the floor: two words, two processes ------------------------------------------------------------------------------ */

struct pair {
    _Atomic uint32_t ping;
    char gap[124];
    _Atomic uint32_t pong;
};

static void wait_for(const _Atomic uint32_t *word, uint32_t value) {
    uint32_t now;
    while ((now = atomic_load_explicit(word, memory_order_acquire)) != value) {
        (void)sl__futex_wait(word, now, SL__FUTEX_SHARED, 0);
    }
}

static uint64_t floor_round(uint64_t *samples, size_t calls) {
    struct pair *pair = mmap(NULL, sizeof *pair, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pair == MAP_FAILED) {
        fail("mmap", NULL);
    }
    uint32_t total = (uint32_t)(calls + calls / 10);
    pid_t pid = fork_tied();
    if (pid == 0) {
        for (uint32_t i = 1; i <= total; i++) {
            wait_for(&pair->ping, i);
            atomic_store_explicit(&pair->pong, i, memory_order_release);
            sl__futex_wake(&pair->pong, 1, SL__FUTEX_SHARED);
        }
        _exit(0);
    }
    for (uint32_t i = 1; i <= total; i++) {
        uint64_t begin = sl__clock_now_ns();
        atomic_store_explicit(&pair->ping, i, memory_order_release);
        sl__futex_wake(&pair->ping, 1, SL__FUTEX_SHARED);
        wait_for(&pair->pong, i);
        if (i > calls / 10) {
            samples[i - 1 - calls / 10] = sl__clock_now_ns() - begin;
        }
    }
    (void)waitpid(pid, NULL, 0);
    (void)munmap(pair, sizeof *pair);
    return median(samples, calls);
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;
    long calls = argc > 2 ? strtol(argv[2], NULL, 10) : 20000;
    if (argc > 3 || rounds < 1 || rounds > ROUNDS_MAX || calls < 10 || calls > CALLS_MAX) {
        (void)fprintf(stderr, "usage: lane_rtt [rounds 1..%d [calls 10..%d]]\n", ROUNDS_MAX, CALLS_MAX);
        return 2;
    }
    uint64_t *samples = calloc((size_t)calls, sizeof *samples);
    if (samples == NULL) {
        fail("calloc", NULL);
    }
    uint64_t spin[ROUNDS_MAX], sleep[ROUNDS_MAX], floor[ROUNDS_MAX];
    for (long i = 0; i < rounds; i++) {
        spin[i] = lane_round(samples, (size_t)calls, true);
        sleep[i] = lane_round(samples, (size_t)calls, false);
        floor[i] = floor_round(samples, (size_t)calls);
    }
    (void)printf("lane, spinning        p50 %6.2f us\n", (double)median(spin, (size_t)rounds) / 1000);
    (void)printf("lane, host sleeps     p50 %6.2f us\n", (double)median(sleep, (size_t)rounds) / 1000);
    (void)printf("raw futex ping-pong   p50 %6.2f us\n", (double)median(floor, (size_t)rounds) / 1000);
    free(samples);
    return 0;
}
