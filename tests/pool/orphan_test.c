/* SPDX-License-Identifier: MIT */
/* A host that is killed with SIGKILL leaves no process, whatever its workers do, whatever they have started, and however they were started. */
#include "testing/fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/process.h"

#define FAMILY_MAX 16
#define PROMISED_MS 1000
#define TRIES_MAX 10 /* until one has kept the promise: a stalled machine may delay one end, but not each of many */

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

/*
 * Its template is the first of the family. `stop_template`: that is stopped before the host is killed. Returns the milliseconds until all had gone.
 */
static uint64_t kill_host(const char *how, bool stop_template) {
    pid_t host;
    FILE *output = start_host(how, &host);
    struct pollfd ends[FAMILY_MAX];
    unsigned count;
    long pid, template_pid = 0;
    assert_int_equal(fscanf(output, "family %u", &count), 1);
    assert_true(count > 0 && count <= FAMILY_MAX);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(fscanf(output, "%ld", &pid), 1);
        template_pid = i == 0 ? pid : template_pid;
        ends[i] = (struct pollfd){.events = POLLIN};
        assert_int_equal(sl__process_open((pid_t)pid, &ends[i].fd, NULL), SL_OK);
    }
    if (stop_template) {
        assert_int_equal(kill((pid_t)template_pid, SIGSTOP), 0);
    }
    assert_int_equal(kill(host, SIGKILL), 0);
    uint64_t start_ns = sl__clock_now_ns();
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(poll(&ends[i], 1, PATIENCE_S * 1000), 1);
        close(ends[i].fd);
    }
    uint64_t taken_ms = (sl__clock_now_ns() - start_ns) / 1000000;
    print_message("%s: %u processes gone after %llu ms\n", how, count, (unsigned long long)taken_ms);
    assert_int_equal(waitpid(host, NULL, 0), host);
    fclose(output);
    return taken_ms;
}

static void expect_end(const char *how) {
    for (int stopped = 0; stopped < 2; stopped++) {
        uint64_t taken_ms = UINT64_MAX;
        for (int i = 0; i < TRIES_MAX && taken_ms > PROMISED_MS; i++) {
            taken_ms = kill_host(how, stopped == 1);
        }
        assert_true(taken_ms <= PROMISED_MS);
    }
}

static void workers_that_are_forked(void **unused) {
    (void)unused;
    expect_end("fork");
}

static void workers_that_are_programs(void **unused) {
    (void)unused;
    expect_end("exec");
}

static void workers_of_a_template_that_must_not_be_forked(void **unused) {
    (void)unused;
    expect_end("unfit");
}

static void workers_that_have_imported_nothing(void **unused) {
    (void)unused;
    expect_end("bare");
}

static void a_template_that_imports(void **unused) {
    (void)unused;
    expect_end("import");
}

/* In the moment between the last look for children and the template's own end it could make one more. */
static void a_template_that_makes_more(void **unused) {
    (void)unused;
    char mark[48];
    snprintf(mark, sizeof mark, "orphan-test-%ld", (long)getpid());
    assert_int_equal(setenv("SLITHER_TEST_ORPHANS", mark, 1), 0);
    for (int i = 0; i < 8; i++) {
        (void)kill_host("fertile", false);
        assert_int_equal(sl__process_kill_marked(mark), 0);
    }
    assert_int_equal(unsetenv("SLITHER_TEST_ORPHANS"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_that_are_forked),
        cmocka_unit_test(workers_that_are_programs),
        cmocka_unit_test(workers_of_a_template_that_must_not_be_forked),
        cmocka_unit_test(workers_that_have_imported_nothing),
        cmocka_unit_test(a_template_that_imports),
        cmocka_unit_test(a_template_that_makes_more),
    };
    return cmocka_run_group_tests_name("orphans", tests, NULL, NULL);
}
