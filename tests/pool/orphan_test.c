/* SPDX-License-Identifier: MIT */
/* A host that is killed with SIGKILL leaves no worker, whatever that is doing. */
#include "testing/fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/process.h"

#define WORKERS 3
#define PROCESSES_MAX (WORKERS + 2)
#define ROUNDS 3
#define LIMIT_MS 1000

static FILE *start_host(const char *how, pid_t *pid) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    *pid = fork();
    assert_true(*pid >= 0);
    if (*pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl(SL_TEST_HOST, SL_TEST_HOST, how, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    assert_non_null(output);
    return output;
}

static void expect_end(const char *how, size_t count) {
    for (int round = 0; round < ROUNDS; round++) {
        pid_t host;
        FILE *output = start_host(how, &host);
        long pids[PROCESSES_MAX];
        struct pollfd ends[PROCESSES_MAX];
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(fscanf(output, "%ld", &pids[i]), 1);
            ends[i] = (struct pollfd){.events = POLLIN};
            assert_int_equal(sl__process_open((pid_t)pids[i], &ends[i].fd, NULL), SL_OK);
        }
        assert_int_equal(kill(host, SIGKILL), 0);
        uint64_t start_ns = sl__clock_now_ns();
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(poll(&ends[i], 1, PATIENCE_S * 1000), 1);
            close(ends[i].fd);
        }
        uint64_t taken_ms = (sl__clock_now_ns() - start_ns) / 1000000;
        print_message("gone after %llu ms\n", (unsigned long long)taken_ms);
        assert_true(taken_ms <= LIMIT_MS);
        assert_int_equal(waitpid(host, NULL, 0), host);
        fclose(output);
    }
}

static void workers_end_within_a_second(void **unused) {
    (void)unused;
    expect_end("started", WORKERS);
}

/* Template, a process in a session of its own, and workers: stopped, busy in Python, busy in C. */
static void so_do_forked_ones_and_all_that_descends_from_them(void **unused) {
    (void)unused;
    expect_end("template", WORKERS + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_end_within_a_second),
        cmocka_unit_test(so_do_forked_ones_and_all_that_descends_from_them),
    };
    return cmocka_run_group_tests_name("orphans", tests, NULL, NULL);
}
