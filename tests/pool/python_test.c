/* SPDX-License-Identifier: MIT */
/* Pools of real Python workers. */
#include "call.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "sys/clock.h"
#include "sys/process.h"

static const char *const modules[] = {SL_TEST_MODULES, NULL};

static struct sl_pool_options options_for(uint32_t worker_count, const char *const *preload) {
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.worker_count = worker_count;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = modules;
    options.preload = preload;
    assert_non_null(options.python);
    return options;
}

static void seven(struct sl_writer *writer) {
    sl_write_int(writer, 7);
}

static void half_a_minute(struct sl_writer *writer) {
    sl_write_int(writer, 30);
}

static void batches_go_to_python_and_back(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    static const char *const preload[] = {"pool_functions:double", NULL};
    struct sl_pool_options options = options_for(2, preload);
    struct sl_pool *pool = open_pool(runtime, &options);
    for (uint32_t worker = 0; worker < 2; worker++) {
        int64_t result = 0;
        assert_int_equal(call_int(pool, worker, "pool_functions:double", seven, &result), SL_OK);
        assert_int_equal(result, 14);
    }
    assert_int_equal(stats_of(pool).batch_count, 2);
    assert_true(log_has("imported pool_functions"));
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* ---- starts that fail ----------------------------------------------------------------------------------------- */

static void expect_failure(const char *preload, uint32_t start_timeout_ms, enum sl_code code, const char *message,
                           const char *traceback, const char *tail) {
    struct sl_runtime *runtime = open_runtime();
    const char *const list[] = {preload, NULL};
    struct sl_pool_options options = options_for(2, list);
    options.start_timeout_ms = start_timeout_ms;
    struct sl_pool *pool;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t start_ns = sl__clock_now_ns();
    enum sl_code found = sl_pool_create(runtime, &options, &pool, &error);
    if (found != code || strstr(error.message, message) == NULL || strstr(error.message, options.python) == NULL) {
        fail_msg("%s: %s\n%s\n%s", sl_code_name(found), error.message, error.traceback, error.stderr_tail);
    }
    assert_true(sl__clock_now_ns() - start_ns < 20000000000ull);
    if (traceback != NULL) {
        assert_non_null(error.traceback);
        assert_non_null(strstr(error.traceback, traceback));
    }
    if (tail != NULL) {
        assert_non_null(error.stderr_tail);
        assert_non_null(strstr(error.stderr_tail, tail));
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    sl_error_finish(&error);
    close_runtime(runtime);
}

static void a_failing_import_shows_its_traceback(void **unused) {
    (void)unused;
    expect_failure("pool_import_raises", 30000, SL_E_IMPORT, "the reason is", "in deep", NULL);
    expect_failure("no_such_module", 30000, SL_E_IMPORT, "No module named 'no_such_module'", "ModuleNotFoundError",
                   NULL);
}

static void a_missing_function_is_named(void **unused) {
    (void)unused;
    expect_failure("pool_functions:nothing", 30000, SL_E_FUNCTION, "nothing", NULL, NULL);
}

static void an_import_that_ends_the_process_is_told_with_its_last_words(void **unused) {
    (void)unused;
    expect_failure("pool_import_leaves", 30000, SL_E_WORKER_START, "exited with status 42", NULL, "no licence found");
    expect_failure("pool_import_crashes", 30000, SL_E_WORKER_START, "SIGSEGV", NULL, NULL);
}

static void an_import_that_takes_too_long_is_told_with_what_it_was_doing(void **unused) {
    (void)unused;
    /* Long enough to come to the import on a slow machine. */
    expect_failure("pool_import_sleeps", 5000, SL_E_TIMEOUT, "importing pool_import_sleeps", NULL, "loading the model");
}

static void an_interpreter_that_is_too_old_is_told(void **unused) {
    (void)unused;
    const char *old = getenv("SLITHER_TEST_OLD_PYTHON");
    if (old == NULL) {
        print_message("skipped: SLITHER_TEST_OLD_PYTHON names no interpreter before 3.11\n");
        skip();
    }
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    options.python = old;
    struct sl_pool *pool;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pool_create(runtime, &options, &pool, &error), SL_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "3.11"));
    assert_non_null(strstr(error.message, old));
    sl_error_finish(&error);
    close_runtime(runtime);
}

/* ---- what a worker finds -------------------------------------------------------------------------------------- */

static void omp(struct sl_writer *writer) {
    sl_write_str(writer, "OMP_NUM_THREADS");
}

static void mine(struct sl_writer *writer) {
    sl_write_str(writer, "POOL_TEST_MINE");
}

static void environment_and_directory_are_what_was_asked_for(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    static const char *const environment[] = {"POOL_TEST_MINE=yes", "OMP_NUM_THREADS=3", NULL};
    options.environment = environment;
    options.working_directory = SL_TEST_MODULES; /* also where modules are found first */
    options.python_path = NULL;
    struct sl_pool *pool = open_pool(runtime, &options);
    char text[512], expected[512];
    assert_int_equal(call_text(pool, 0, "pool_functions:variables", mine, text, sizeof(text)), SL_OK);
    assert_string_equal(text, "yes");
    assert_int_equal(call_text(pool, 0, "pool_functions:variables", omp, text, sizeof(text)), SL_OK);
    assert_string_equal(text, "3");
    assert_int_equal(call_text(pool, 0, "pool_functions:directory", mine, text, sizeof(text)), SL_OK);
    assert_non_null(realpath(SL_TEST_MODULES, expected));
    assert_string_equal(text, expected);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void modules_of_the_user_do_not_get_in_the_way_of_the_worker(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    static const char *const preload[] = {"shadow_functions", NULL};
    struct sl_pool_options options = options_for(1, preload);
    options.python_path = NULL;
    options.working_directory =
        SL_TEST_MODULES "/shadow"; /* with a struct.py, a stat.py and a package called slither */
    struct sl_pool *pool = open_pool(runtime, &options);
    char text[64];
    assert_int_equal(call_text(pool, 0, "shadow_functions:origin", seven, text, sizeof(text)), SL_OK);
    assert_string_equal(text, "the user's");
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void descriptors_of_the_host_do_not_leak_into_workers(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    struct sl_pool *pool = open_pool(runtime, &options);
    int64_t before = 0, after = 0;
    assert_int_equal(call_int(pool, 0, "pool_functions:descriptors", seven, &before), SL_OK);
    sl_pool_destroy(pool);
    int open_ones[40];
    for (size_t i = 0; i < 40; i++) {
        open_ones[i] = dup(1); /* not close-on-exec */
    }
    pool = open_pool(runtime, &options);
    assert_int_equal(call_int(pool, 0, "pool_functions:descriptors", seven, &after), SL_OK);
    assert_int_equal(after, before);
    sl_pool_destroy(pool);
    for (size_t i = 0; i < 40; i++) {
        close(open_ones[i]);
    }
    close_runtime(runtime);
}

static void hello(struct sl_writer *writer) {
    sl_write_str(writer, "printed without a flush");
}

static void what_a_worker_prints_reaches_the_log_at_once(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    struct sl_pool *pool = open_pool(runtime, &options);
    char text[64];
    assert_int_equal(call_text(pool, 0, "pool_functions:print_lines", hello, text, sizeof(text)), SL_OK);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (!log_has("printed without a flush")) {
        assert_false(sl__clock_passed(deadline_ns));
        usleep(1000); /* the line comes by a pipe, beside the reply */
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

/* ---- deaths --------------------------------------------------------------------------------------------------- */

static void abort_please(struct sl_writer *writer) {
    sl_write_str(writer, "abort");
}

static void status_three(struct sl_writer *writer) {
    sl_write_int(writer, 3);
}

static void a_crash_in_a_batch_is_told_and_the_next_life_works(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    struct sl_writer writer;
    struct sl_value result;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
    ask(lease, "pool_functions:die", abort_please);
    assert_int_equal(hear_reply(&seeker, lease, &writer, &result), SL_E_WORKER_CRASHED);
    sl_writer_finish(&writer);
    assert_int_equal(lease->death.term_signal, SIGABRT);
    assert_non_null(strstr(lease->death.stderr_tail, "about to die"));
    assert_int_equal(sl__lane_outstanding(lease->lane), 1); /* still there, to be repeated */
    sl__pool_release(pool, lease, 0);
    int64_t doubled = 0;
    assert_int_equal(call_int(pool, 0, "pool_functions:double", seven, &doubled), SL_OK);
    assert_int_equal(doubled, 14);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_hung_batch_can_be_killed_also_one_in_c(void **unused) {
    (void)unused;
    static const char *const functions[] = {"pool_functions:sleep", "pool_functions:sleep_in_c"};
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    struct sl_pool *pool = open_pool(runtime, &options);
    for (size_t i = 0; i < 2; i++) {
        struct seeker seeker;
        struct sl__lease *lease;
        struct sl_writer writer;
        struct sl_value result;
        seeker_init(&seeker);
        assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
        ask(lease, functions[i], half_a_minute);
        while (sl__lane_started(lease->lane) == 0) {
            usleep(1000);
        }
        sl__pool_kill(pool, lease, SL_E_WORKER_TIMEOUT, "the batch ran past its timeout of 1 ms", false);
        assert_int_equal(hear_reply(&seeker, lease, &writer, &result), SL_E_WORKER_TIMEOUT);
        sl_writer_finish(&writer);
        assert_non_null(strstr(lease->death.message, "timeout of 1 ms"));
        sl__pool_release(pool, lease, 0);
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_busy_worker_does_not_hold_up_the_end(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    options.stop_timeout_ms = 100;
    struct sl_pool *pool = open_pool(runtime, &options);
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
    ask(lease, "pool_functions:sleep_in_c", half_a_minute);
    while (sl__lane_started(lease->lane) == 0) {
        usleep(1000);
    }
    sl__pool_kill(pool, lease, SL_E_CANCELLED, "the run was cancelled", true);
    sl__pool_release(pool, lease, 0);
    uint64_t start_ns = sl__clock_now_ns();
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start_ns < 10000000000ull);
    close_runtime(runtime);
}

static void a_grandchild_ends_with_its_worker(const char *function) {
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    struct sl_pool *pool = open_pool(runtime, &options);
    int64_t pid = 0;
    int pidfd;
    assert_int_equal(call_int(pool, 0, function, seven, &pid), SL_OK);
    assert_int_equal(sl__process_open((pid_t)pid, &pidfd, NULL), SL_OK);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    await_end(pidfd);
    close(pidfd);
    await_ready(pool, 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void grandchildren_end_with_their_worker(void **unused) {
    (void)unused;
    a_grandchild_ends_with_its_worker("pool_functions:grandchild");
    a_grandchild_ends_with_its_worker("pool_functions:unclosed_grandchild");
}

static void an_import_that_fails_at_the_restart_counts_as_a_death(void **unused) {
    (void)unused;
    char path[SCRATCH_SIZE], variable[SCRATCH_SIZE + 32];
    scratch_place(path, "pool_test_switch");
    snprintf(variable, sizeof(variable), "POOL_TEST_SWITCH=%s", path);
    const char *const environment[] = {variable, NULL};
    static const char *const preload[] = {"pool_import_switch", NULL};
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, preload);
    options.template_use = SL_TEMPLATE_OFF; /* which would have the module already */
    options.environment = environment;
    options.restart_max = 2;
    options.restart_backoff_ms = 1;
    struct sl_pool *pool = open_pool(runtime, &options);
    FILE *off = fopen(path, "w");
    assert_non_null(off);
    fclose(off);
    assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 0), SIGKILL), 0);
    struct seeker seeker;
    struct sl__lease *lease;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    seeker_init(&seeker);
    while ((code = seek(pool, &seeker, SL__ANY_WORKER, &lease, &error)) == SL_OK) { /* until the death is seen */
        sl__pool_release(pool, lease, 0);
    }
    assert_int_equal(code, SL_E_CIRCUIT_OPEN);
    assert_non_null(strstr(error.message, "switched off"));
    assert_non_null(strstr(error.traceback, "RuntimeError: switched off"));
    sl_error_finish(&error);
    sl_pool_destroy(pool);
    unlink(path);
    close_runtime(runtime);
}

static void sys_exit_in_a_function_is_an_answer_or_a_death_never_a_hang(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1, NULL);
    struct sl_pool *pool = open_pool(runtime, &options);
    int64_t none;
    enum sl_code code = call_int(pool, 0, "pool_functions:leave", status_three, &none);
    assert_true(code == SL_E_PYTHON || code == SL_E_WORKER_CRASHED);
    int64_t doubled = 0;
    assert_int_equal(call_int(pool, 0, "pool_functions:double", seven, &doubled), SL_OK);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void nothing_stays_open(void **unused) {
    (void)unused;
    int before = descriptor_count();
    batches_go_to_python_and_back(NULL);
    a_crash_in_a_batch_is_told_and_the_next_life_works(NULL);
    a_failing_import_shows_its_traceback(NULL);
    assert_int_equal(descriptor_count(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_go_to_python_and_back),
        cmocka_unit_test(a_failing_import_shows_its_traceback),
        cmocka_unit_test(a_missing_function_is_named),
        cmocka_unit_test(an_import_that_ends_the_process_is_told_with_its_last_words),
        cmocka_unit_test(an_import_that_takes_too_long_is_told_with_what_it_was_doing),
        cmocka_unit_test(an_interpreter_that_is_too_old_is_told),
        cmocka_unit_test(environment_and_directory_are_what_was_asked_for),
        cmocka_unit_test(modules_of_the_user_do_not_get_in_the_way_of_the_worker),
        cmocka_unit_test(descriptors_of_the_host_do_not_leak_into_workers),
        cmocka_unit_test(what_a_worker_prints_reaches_the_log_at_once),
        cmocka_unit_test(a_crash_in_a_batch_is_told_and_the_next_life_works),
        cmocka_unit_test(a_hung_batch_can_be_killed_also_one_in_c),
        cmocka_unit_test(a_busy_worker_does_not_hold_up_the_end),
        cmocka_unit_test(grandchildren_end_with_their_worker),
        cmocka_unit_test(an_import_that_fails_at_the_restart_counts_as_a_death),
        cmocka_unit_test(sys_exit_in_a_function_is_an_answer_or_a_death_never_a_hang),
        cmocka_unit_test(nothing_stays_open),
    };
    return cmocka_run_group_tests_name("pool of Python workers", tests, NULL, NULL);
}
