/* SPDX-License-Identifier: MIT */
#include "loop/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"

static char root[SCRATCH_SIZE];

static void path_of(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", root, name);
}

static void make_directory(const char *name) {
    char path[PATH_MAX];
    path_of(path, sizeof(path), name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int make_packages(void **unused) {
    (void)unused;
    scratch_folder(root, "package_test");
    const char *const names[] = {"option", "option/slither", "variable", "variable/slither", "empty", "empty/slither"};
    for (size_t i = 0; i < 6; i++) {
        make_directory(names[i]);
    }
    const char *const files[] = {"option/slither/worker.py", "variable/slither/worker.py"};
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX];
        path_of(path, sizeof(path), files[i]);
        FILE *file = fopen(path, "w");
        if (file == NULL || fclose(file) != 0) {
            return -1;
        }
    }
    return 0;
}

static int remove_packages(void **unused) {
    (void)unused;
    const char *const names[] = {
        "option/slither/worker.py",
        "variable/slither/worker.py",
        "option/slither",
        "variable/slither",
        "empty/slither",
        "option",
        "variable",
        "empty",
        "",
    };
    for (size_t i = 0; i < 9; i++) {
        char path[PATH_MAX];
        path_of(path, sizeof(path), names[i]);
        remove(path);
    }
    return 0;
}

static void the_option_comes_before_the_variable(void **unused) {
    (void)unused;
    char option[PATH_MAX], variable[PATH_MAX], *path = NULL;
    path_of(option, sizeof(option), "option");
    path_of(variable, sizeof(variable), "variable");
    setenv("SLITHER_PACKAGE_PATH", variable, 1);
    assert_int_equal(sl__package_find(option, &path, NULL), SL_OK);
    assert_string_equal(path, option);
    free(path);
    assert_int_equal(sl__package_find(NULL, &path, NULL), SL_OK);
    assert_string_equal(path, variable);
    free(path);
}

static void what_was_named_is_not_replaced_by_another(void **unused) {
    (void)unused;
    char empty[PATH_MAX], variable[PATH_MAX], *path = NULL;
    struct sl_error error = SL_ERROR_INIT;
    path_of(empty, sizeof(empty), "empty");
    path_of(variable, sizeof(variable), "variable");
    setenv("SLITHER_PACKAGE_PATH", variable, 1);
    assert_int_equal(sl__package_find(empty, &path, &error), SL_E_WORKER_START);
    assert_non_null(strstr(error.message, empty));
    assert_non_null(strstr(error.message, "package_path"));
    setenv("SLITHER_PACKAGE_PATH", "/nonexistent", 1);
    assert_int_equal(sl__package_find(NULL, &path, &error), SL_E_WORKER_START);
    assert_non_null(strstr(error.message, "/nonexistent"));
    assert_non_null(strstr(error.message, "SLITHER_PACKAGE_PATH"));
    sl_error_finish(&error);
}

static void the_path_becomes_absolute(void **unused) {
    (void)unused;
    char before[PATH_MAX], expected[PATH_MAX], *path = NULL;
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(root), 0);
    assert_int_equal(sl__package_find("option", &path, NULL), SL_OK);
    path_of(expected, sizeof(expected), "option");
    assert_string_equal(path, expected);
    free(path);
    assert_int_equal(chdir(before), 0);
}

static void without_a_word_it_is_looked_for_beside_the_program(void **unused) {
    (void)unused;
    char *path = NULL;
    struct sl_error error = SL_ERROR_INIT;
    unsetenv("SLITHER_PACKAGE_PATH");
    /* This test is linked statically, so its own directory is looked at; whether there is an installed package is not known. */
    if (sl__package_find(NULL, &path, &error) == SL_OK) {
        assert_int_equal(path[0], '/');
        free(path);
    } else {
        assert_int_equal(error.code, SL_E_WORKER_START);
        assert_non_null(strstr(error.message, "../python"));
        assert_non_null(strstr(error.message, "SLITHER_PACKAGE_PATH"));
    }
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_comes_before_the_variable),
        cmocka_unit_test(what_was_named_is_not_replaced_by_another),
        cmocka_unit_test(the_path_becomes_absolute),
        cmocka_unit_test(without_a_word_it_is_looked_for_beside_the_program),
    };
    return cmocka_run_group_tests_name("package", tests, make_packages, remove_packages);
}
