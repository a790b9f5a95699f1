/* SPDX-License-Identifier: MIT */
/* --events to a file that takes nothing: the command ends all the same, and says so. How long it waits for that is short in this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define PUTS 5

/* Until nothing fits any more. Returns how many bytes that were. */
static size_t fill(int fd) {
    static const char block[4096];
    size_t total = 0;
    int flags = fcntl(fd, F_GETFL);
    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    for (size_t size = sizeof block; size > 0;) {
        ssize_t written = write(fd, block, size);
        total += written > 0 ? (size_t)written : 0;
        size = written > 0 ? size : size / 2;
    }
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
    return total;
}

static size_t drain(int fd) {
    static char block[4096];
    size_t total = 0;
    ssize_t size;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while ((size = read(fd, block, sizeof block)) > 0) {
        total += (size_t)size;
    }
    return total;
}

/* A runtime in which something happens, from its start to its end. */
static void make_events(void) {
    struct sl_runtime *runtime;
    struct sl_store *store;
    struct sl_table *table;
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    const struct sl_value nil = {(const uint8_t *)"\xc0", 1};
    struct sl_key memory;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    assert_int_equal(events_attach(runtime, NULL), SL_OK);
    assert_int_equal(sl_store_create(runtime, NULL, &store, NULL), SL_OK);
    assert_int_equal(sl_table_open(store, "rows", &options, &table, NULL), SL_OK);
    for (int64_t i = 0; i < PUTS; i++) {
        assert_int_equal(sl_table_put(table, sl_key_int(&memory, i), nil, NULL, NULL), SL_OK);
    }
    sl_runtime_destroy(runtime);
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void a_reader_that_is_stuck_is_let_go(void **state) {
    (void)state;
    int ends[2], said = memfd_create("said", MFD_CLOEXEC), terminal = dup(STDERR_FILENO);
    char path[64], problem[200], text[400] = "";
    assert_int_equal(pipe(ends), 0);
    assert_true(said >= 0 && terminal >= 0);
    size_t filled = fill(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    const struct events_options options = {.path = path};
    assert_true(events_open(&options, -1, problem, sizeof problem));
    make_events();

    assert_true(dup2(said, STDERR_FILENO) >= 0);
    double before = now_ms();
    events_close();
    double waited = now_ms() - before;
    assert_true(dup2(terminal, STDERR_FILENO) >= 0);

    assert_true(waited >= EVENTS_CLOSE_MS);
    assert_true(pread(said, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "the events were not written to the end: /proc/self/fd/"));
    assert_non_null(strstr(text, "did not take them within 0.05 s"));
    assert_int_equal(drain(ends[0]), filled);
    close(ends[0]);
    close(ends[1]);
    close(said);
    close(terminal);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_reader_that_is_stuck_is_let_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
