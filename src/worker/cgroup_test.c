/* SPDX-License-Identifier: MIT */
/* Control groups as what they are from here: directories with files. */
#include "cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"

static char parent[SCRATCH_SIZE];

static const char *at(const char *name) {
    static char path[SCRATCH_SIZE + 64];
    snprintf(path, sizeof(path), "%s/%s", parent, name);
    return path;
}

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(at(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *path, enum sl_code code, const char *text) {
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl__cgroup_check(path, &error), code);
    if (text != NULL && strstr(error.message, text) == NULL) {
        fail_msg("%s", error.message);
    }
    sl_error_finish(&error);
}

static void what_is_missing_is_said(void **unused) {
    (void)unused;
    expect("relative", SL_E_INVALID_ARGUMENT, "absolute path");
    expect("/nonexistent", SL_E_INVALID_ARGUMENT, "no control group of version 2");
    expect(parent, SL_E_INVALID_ARGUMENT, "no control group of version 2");
    write_file("cgroup.subtree_control", "cpu memoryless pids\n");
    expect(parent, SL_E_INVALID_ARGUMENT, "\"+memory\"");
    write_file("cgroup.subtree_control", "cpu memory pids\n");
    expect(parent, SL_OK, NULL);
    write_file("cgroup.subtree_control", "memory");
    expect(parent, SL_OK, NULL);
    if (geteuid() != 0) { /* to whom nothing is forbidden */
        assert_int_equal(chmod(parent, 0500), 0);
        expect(parent, SL_E_INVALID_ARGUMENT, "not delegated");
        assert_int_equal(chmod(parent, 0700), 0);
    }
}

static void what_a_dead_host_left_is_removed(void **unused) {
    (void)unused;
    char own[64];
    snprintf(own, sizeof(own), "slither-%ld-pool-0-1", (long)getpid());
    write_file("cgroup.subtree_control", "memory");
    assert_int_equal(mkdir(at("slither-2147483647-pool-0-1"), 0700), 0);
    assert_int_equal(mkdir(at("slither-notes"), 0700), 0);
    assert_int_equal(mkdir(at(own), 0700), 0);
    expect(parent, SL_OK, NULL);
    assert_int_not_equal(access(at("slither-2147483647-pool-0-1"), F_OK), 0);
    assert_int_equal(rmdir(at("slither-notes")), 0);
    assert_int_equal(rmdir(at(own)), 0);
}

static void a_group_that_cannot_be_had_is_an_error(void **unused) {
    (void)unused;
    struct sl__cgroup group = {NULL};
    struct sl_error error = SL_ERROR_INIT;
    assert_int_not_equal(sl__cgroup_open(&group, "/nonexistent", "x", 1, &error), SL_OK);
    assert_null(group.path);
    sl_error_finish(&error);
    /* None: a process may be anywhere. */
    assert_int_equal(sl__cgroup_enter(&group, 1, NULL), SL_OK);
    sl__cgroup_close(&group);
}

static int make_parent(void **unused) {
    (void)unused;
    scratch_folder(parent, "cgroup_test");
    return 0;
}

static int remove_parent(void **unused) {
    (void)unused;
    (void)unlink(at("cgroup.subtree_control"));
    return rmdir(parent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_missing_is_said, make_parent, remove_parent),
        cmocka_unit_test_setup_teardown(what_a_dead_host_left_is_removed, make_parent, remove_parent),
        cmocka_unit_test_setup_teardown(a_group_that_cannot_be_had_is_an_error, make_parent, remove_parent),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
