/* SPDX-License-Identifier: MIT */
#include "worker/spec.h"

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

#include "environment.h"
#include "failing_memory.h"
#include "scratch.h"
#include "sys/processors.h"

static const char *variable(const struct sl__spec *spec, const char *name) {
    size_t size = strlen(name);
    const char *found = NULL;
    for (char **item = spec->envp; *item != NULL; item++) {
        if (strncmp(*item, name, size) == 0 && (*item)[size] == '=') {
            assert_null(found); /* once at most */
            found = *item + size + 1;
        }
    }
    return found;
}

static char directory[SCRATCH_SIZE];

static int make_interpreters(void **unused) {
    (void)unused;
    scratch_folder(directory, "spec_test");
    const char *const names[] = {"python3", "venv/bin/python", "other"};
    char path[SCRATCH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/venv", directory);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/venv/bin", directory);
    mkdir(path, 0700);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        FILE *file = fopen(path, "w");
        if (file == NULL) {
            return -1;
        }
        fclose(file);
        chmod(path, 0700);
    }
    snprintf(path, sizeof(path), "%s/plain", directory);
    FILE *file = fopen(path, "w");
    return file != NULL ? fclose(file) : -1;
}

static int remove_interpreters(void **unused) {
    (void)unused;
    const char *const names[] = {"python3", "venv/bin/python", "other", "plain", "venv/bin", "venv", ""};
    for (size_t i = 0; i < 7; i++) {
        char path[SCRATCH_SIZE + 32];
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        remove(path);
    }
    return 0;
}

static void the_interpreter_is_option_then_virtual_environment_then_path(void **unused) {
    (void)unused;
    char path[SCRATCH_SIZE + 32], venv[SCRATCH_SIZE + 32], option[SCRATCH_SIZE + 16], expected[SCRATCH_SIZE + 32];
    snprintf(path, sizeof(path), "PATH=/nonexistent:%s", directory);
    snprintf(venv, sizeof(venv), "VIRTUAL_ENV=%s/venv", directory);
    snprintf(option, sizeof(option), "%s/other", directory);
    const char *with_both[] = {path, venv, NULL}, *with_path[] = {path, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl__spec spec;

    options.python = option;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", with_both, NULL), SL_OK);
    assert_string_equal(spec.python, option);
    assert_string_equal(spec.argv[0], option);
    assert_string_equal(spec.argv[1], "-c");
    assert_string_equal(spec.argv[3], "slither.worker");
    assert_null(spec.argv[4]);
    sl__spec_finish(&spec);

    options.python = "other"; /* a name is looked up */
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", with_both, NULL), SL_OK);
    assert_string_equal(spec.python, option);
    sl__spec_finish(&spec);

    options.python = NULL;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", with_both, NULL), SL_OK);
    snprintf(expected, sizeof(expected), "%s/venv/bin/python", directory);
    assert_string_equal(spec.python, expected);
    sl__spec_finish(&spec);

    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", with_path, NULL), SL_OK);
    snprintf(expected, sizeof(expected), "%s/python3", directory);
    assert_string_equal(spec.python, expected);
    sl__spec_finish(&spec);
}

static void a_missing_interpreter_is_named_with_where_it_was_looked_for(void **unused) {
    (void)unused;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl__spec spec;
    const char *empty_path[] = {"PATH=/nonexistent/bin", NULL};
    const char *bad_venv[] = {"PATH=/usr/bin", "VIRTUAL_ENV=/nonexistent/venv", NULL};

    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", empty_path, &error), SL_E_WORKER_START);
    assert_non_null(strstr(error.message, "python3"));
    assert_non_null(strstr(error.message, "/nonexistent/bin"));

    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", bad_venv, &error), SL_E_WORKER_START);
    assert_non_null(strstr(error.message, "/nonexistent/venv/bin/python"));
    assert_non_null(strstr(error.message, "VIRTUAL_ENV"));

    char plain[SCRATCH_SIZE + 16];
    snprintf(plain, sizeof(plain), "%s/plain", directory); /* there, but not executable */
    options.python = plain;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", empty_path, &error), SL_E_WORKER_START);
    assert_non_null(strstr(error.message, plain));

    options.python = "";
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", empty_path, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
}

static void threads_are_shared_out_unless_the_user_has_said_how_many(void **unused) {
    (void)unused;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.python = "/bin/sh";
    const char *environment[] = {"MKL_NUM_THREADS=7", NULL};
    const char *const changes[] = {"BLIS_NUM_THREADS=9", NULL};
    options.environment = changes;
    struct sl__spec spec;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, NULL), SL_OK);
    char expected[16];
    snprintf(expected, sizeof(expected), "%u", sl__processor_count());
    assert_string_equal(variable(&spec, "OMP_NUM_THREADS"), expected);
    assert_string_equal(variable(&spec, "OPENBLAS_NUM_THREADS"), expected);
    assert_string_equal(variable(&spec, "NUMEXPR_NUM_THREADS"), expected);
    assert_string_equal(variable(&spec, "VECLIB_MAXIMUM_THREADS"), expected);
    assert_string_equal(variable(&spec, "MKL_NUM_THREADS"), "7");
    assert_string_equal(variable(&spec, "BLIS_NUM_THREADS"), "9");
    sl__spec_finish(&spec);

    assert_int_equal(sl__spec_init(&spec, &options, 1024, "/package", environment, NULL), SL_OK);
    assert_string_equal(variable(&spec, "OMP_NUM_THREADS"), "1"); /* never none */
    sl__spec_finish(&spec);

    options.keep_thread_environment = true;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, NULL), SL_OK);
    assert_null(variable(&spec, "OMP_NUM_THREADS"));
    sl__spec_finish(&spec);
}

static void the_environment_is_the_hosts_with_changes(void **unused) {
    (void)unused;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.python = "/bin/sh";
    const char *environment[] = {"KEPT=1", "GONE=2", "CHANGED=3", "EMPTY=", NULL};
    const char *const changes[] = {"GONE", "CHANGED=4", "NEW=a=b", "NOT_THERE", NULL};
    options.environment = changes;
    struct sl__spec spec;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, NULL), SL_OK);
    assert_string_equal(variable(&spec, "KEPT"), "1");
    assert_null(variable(&spec, "GONE"));
    assert_string_equal(variable(&spec, "CHANGED"), "4");
    assert_string_equal(variable(&spec, "NEW"), "a=b");
    assert_string_equal(variable(&spec, "EMPTY"), "");
    sl__spec_finish(&spec);

    const char *const wrong[] = {"=value", NULL};
    options.environment = wrong;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "=value"));
    sl_error_finish(&error);
}

static void the_python_path_is_package_option_inherited(void **unused) {
    (void)unused;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.python = "/bin/sh";
    const char *environment[] = {"PYTHONPATH=/inherited:/more", NULL};
    const char *const path[] = {"/first", "second", NULL};
    options.python_path = path;
    struct sl__spec spec;
    struct sl_error error = SL_ERROR_INIT;
    char here[1024], expected[2048];
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, NULL), SL_OK);
    snprintf(expected, sizeof(expected), "/package:/first:%s/second:/inherited:/more", here);
    assert_string_equal(variable(&spec, "PYTHONPATH"), expected);
    sl__spec_finish(&spec);

    const char *const wrong[] = {"/a:/b", NULL};
    options.python_path = wrong;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "/a:/b"));
    sl_error_finish(&error);
}

static void preload_is_copied_and_bounded(void **unused) {
    (void)unused;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.python = "/bin/sh";
    const char *environment[] = {NULL};
    const char *preload[] = {"json", "math:sqrt", NULL};
    options.preload = preload;
    struct sl__spec spec;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, NULL), SL_OK);
    assert_int_equal(spec.preload_count, 2);
    assert_string_equal(spec.preload[1], "math:sqrt");
    assert_ptr_not_equal(spec.preload[1], preload[1]);
    sl__spec_finish(&spec);

    char *huge = malloc(40000);
    memset(huge, 'x', 39999);
    huge[39999] = '\0';
    preload[0] = huge;
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, &error), SL_E_LIMIT);
    preload[0] = "";
    assert_int_equal(sl__spec_init(&spec, &options, 1, "/package", environment, &error), SL_E_INVALID_ARGUMENT);
    free(huge);
    sl_error_finish(&error);
}

static void an_environment_holds_each_name_once(void **unused) {
    (void)unused;
    struct sl__environment environment = {0};
    const char *from[] = {"A=1", "nonsense", "=odd", "A=2", "B=3", NULL};
    assert_true(sl__environment_copy(&environment, from));
    assert_int_equal(environment.count, 2);
    assert_string_equal(sl__environment_get(&environment, "A"), "2");
    assert_true(sl__environment_set(&environment, "B", "4"));
    assert_string_equal(sl__environment_get(&environment, "B"), "4");
    sl__environment_remove(&environment, "A");
    sl__environment_remove(&environment, "A");
    assert_null(sl__environment_get(&environment, "A"));
    assert_true(sl__environment_end(&environment));
    assert_string_equal(environment.items[0], "B=4");
    assert_null(environment.items[1]);
    sl__environment_finish(&environment);
}

static void memory_may_run_out(void **unused) {
    (void)unused;
    char python_path[SCRATCH_SIZE + 16];
    const char *const host[] = {"A=1", "B=2", "PYTHONPATH=/old", "SLITHER_POOL=outer", NULL};
    const char *const changes[] = {"A=3", "C=4", "B", NULL};
    const char *const preload[] = {"one", "two:three", NULL};
    const char *const path[] = {"relative", "/absolute", NULL};
    const char *const redact[] = {"mine", "*yours", NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    snprintf(python_path, sizeof python_path, "%s/other", directory);
    options.python = python_path;
    options.environment = changes;
    options.preload = preload;
    options.python_path = path;
    options.redact = redact;
    options.working_directory = "somewhere";
    bool failed = true;
    for (uint32_t count = 0; failed; count++) {
        for (int lasting = 0; lasting < 2; lasting++) {
            struct sl__spec spec;
            struct sl_error error = SL_ERROR_INIT;
            memory_fail(MEMORY_MINE, count, lasting != 0);
            enum sl_code code = sl__spec_init(&spec, &options, 2, "/package", host, &error);
            failed = memory_restore();
            assert_int_equal(code, failed ? SL_E_OUT_OF_MEMORY : SL_OK);
            assert_true(code == SL_OK || error.message[0] != '\0');
            if (code == SL_OK) {
                assert_string_equal(variable(&spec, "A"), "3");
                sl__spec_finish(&spec);
            }
            sl_error_finish(&error);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_interpreter_is_option_then_virtual_environment_then_path),
        cmocka_unit_test(a_missing_interpreter_is_named_with_where_it_was_looked_for),
        cmocka_unit_test(threads_are_shared_out_unless_the_user_has_said_how_many),
        cmocka_unit_test(the_environment_is_the_hosts_with_changes),
        cmocka_unit_test(the_python_path_is_package_option_inherited),
        cmocka_unit_test(preload_is_copied_and_bounded),
        cmocka_unit_test(an_environment_holds_each_name_once),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests_name("spec", tests, make_interpreters, remove_interpreters);
}
