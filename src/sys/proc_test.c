/* SPDX-License-Identifier: MIT */
#include "sys/proc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0 ? 0 : -1, 0);
    assert_int_equal(fclose(file), 0);
}

static char path[SCRATCH_SIZE];

static int make_path(void **unused) {
    (void)unused;
    return close(scratch_file(path, "proc_test"));
}

static int remove_path(void **unused) {
    (void)unused;
    return unlink(path);
}

static void of_this_process(void **unused) {
    (void)unused;
    uint64_t before = 0, after = 0;
    assert_int_equal(sl__proc_state(getpid()), 'R');
    assert_true(sl__proc_rss(getpid(), &before));
    assert_true(before > 0);
    const size_t size = (size_t)64 << 20;
    char *memory = malloc(size);
    assert_non_null(memory);
    memset(memory, 1, size);
    assert_true(sl__proc_rss(getpid(), &after));
    assert_true(memory[size - 1] == 1 && after >= before + size / 2);
    free(memory);
}

static void of_none(void **unused) {
    (void)unused;
    uint64_t bytes;
    assert_int_equal(sl__proc_state(-1), 0);
    assert_false(sl__proc_rss(-1, &bytes));
    assert_false(sl__proc_counter("/nonexistent", "oom_kill", &bytes));
}

static void a_name_with_brackets(void **unused) {
    (void)unused;
    write_file(path, "12 (a) S (b)) T 1 2 3\n");
    assert_int_equal(sl__proc_state_at(path), 'T');
    write_file(path, "12 (cut");
    assert_int_equal(sl__proc_state_at(path), 0);
    write_file(path, "12 (cut)");
    assert_int_equal(sl__proc_state_at(path), 0);
}

static void counters(void **unused) {
    (void)unused;
    uint64_t value = 0;
    write_file(path, "low 1\noom_kill_disable 0\noom_kill 42\nlast 7");
    assert_true(sl__proc_counter(path, "oom_kill", &value));
    assert_int_equal(value, 42);
    assert_true(sl__proc_counter(path, "last", &value));
    assert_int_equal(value, 7);
    assert_false(sl__proc_counter(path, "oom", &value));
    write_file(path, "oom_kill many\n");
    assert_false(sl__proc_counter(path, "oom_kill", &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_this_process),
        cmocka_unit_test(of_none),
        cmocka_unit_test(a_name_with_brackets),
        cmocka_unit_test(counters),
    };
    return cmocka_run_group_tests_name("proc", tests, make_path, remove_path);
}
