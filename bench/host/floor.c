/* SPDX-License-Identifier: MIT */
/*
 * The floor under a call: two processes that wake each other in turn through a futex and do nothing else. No library,
 * no spinning: what this system asks for two wake-ups across processes.
 */
#include "bench.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS 5000u
#define LAST UINT32_MAX

/* On cache lines of their own, as the doorbells of a lane are. */
struct table {
    _Alignas(64) _Atomic uint32_t ping;
    _Alignas(64) _Atomic uint32_t pong;
};

static struct table *table;
static pid_t child;
static uint32_t turn;

static void wake(_Atomic uint32_t *word, uint32_t value) {
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Sleeps while the word has the value `old`; returns the new one. */
static uint32_t wait_while(_Atomic uint32_t *word, uint32_t old) {
    uint32_t now;
    while ((now = atomic_load(word)) == old) {
        if (syscall(SYS_futex, word, FUTEX_WAIT, old, NULL, NULL, 0) != 0 && errno != EAGAIN && errno != EINTR) {
            bench_die("floor: futex wait failed");
        }
    }
    return now;
}

static _Noreturn void answer(void) {
    uint32_t seen = 0;
    for (;;) {
        seen = wait_while(&table->ping, seen);
        if (seen == LAST) {
            _exit(0);
        }
        wake(&table->pong, seen);
    }
}

static void take_turn(void) {
    uint32_t before = turn++;
    wake(&table->ping, turn);
    wait_while(&table->pong, before);
}

static void open_floor(struct bench *bench) {
    table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        bench_die("floor: no shared memory");
    }
    pid_t parent = getpid();
    child = fork();
    if (child < 0) {
        bench_die("floor: no process");
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        answer();
    }
    uint32_t count = bench_count(bench, TURNS / 10);
    for (uint32_t i = 0; i < count; i++) {
        take_turn();
    }
}

static void round_floor(struct bench *bench) {
    uint64_t samples[TURNS];
    uint32_t count = bench_count(bench, TURNS);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = bench_now_ns();
        take_turn();
        samples[i] = bench_now_ns() - start;
    }
    bench_figure(bench, bench_median(samples, count) / 1e3);
}

static void close_floor(struct bench *bench) {
    (void)bench;
    wake(&table->ping, LAST);
    waitpid(child, NULL, 0);
    munmap(table, sizeof *table);
}

const struct bench_row bench_floor_rows[] = {
    {"floor", open_floor, round_floor, close_floor},
    {NULL, NULL, NULL, NULL},
};
