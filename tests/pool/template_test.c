/* SPDX-License-Identifier: MIT */
/* Pools and their templates, with real interpreters: what is forked, what is a program of its own, and how they end. */
#include "call.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "scratch.h"
#include "sys/clock.h"
#include "sys/process.h"

static char record_path[SCRATCH_SIZE];

static struct sl_pool_options options_for(uint32_t worker_count) {
    static const char *const modules[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"pool_template", "pool_functions", NULL};
    static char variable[SCRATCH_SIZE + 32];
    static const char *const environment[] = {variable, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.worker_count = worker_count;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = modules;
    options.preload = preload;
    options.environment = environment;
    options.restart_backoff_ms = 1;
    snprintf(variable, sizeof(variable), "POOL_TEST_IMPORTS=%s", record_path);
    assert_non_null(options.python);
    return options;
}

static int begin_record(void **unused) {
    (void)unused;
    return close(scratch_file(record_path, "pool_test_imports"));
}

static int end_record(void **unused) {
    (void)unused;
    return unlink(record_path);
}

static uint32_t import_count(void) {
    uint32_t count = 0;
    long pid;
    FILE *record = fopen(record_path, "r");
    assert_non_null(record);
    while (fscanf(record, "%ld", &pid) == 1) {
        count++;
    }
    fclose(record);
    return count;
}

static void one(struct sl_writer *writer) {
    sl_write_int(writer, 1);
}

static void seven(struct sl_writer *writer) {
    sl_write_int(writer, 7);
}

static int64_t number(struct sl_pool *pool, uint32_t worker, const char *function) {
    int64_t result = 0;
    assert_int_equal(call_int(pool, worker, function, one, &result), SL_OK);
    return result;
}

static void no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Kills a process and waits until the pool has seen that a worker of that place has another pid. */
static void replace_worker(struct sl_pool *pool, uint32_t worker) {
    int64_t before = sl_pool_worker_pid(pool, worker);
    assert_true(before > 0);
    assert_int_equal(kill((pid_t)before, SIGKILL), 0);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    int64_t now;
    while ((now = sl_pool_worker_pid(pool, worker)) == before || now == 0) {
        assert_false(sl__clock_passed(deadline_ns));
        usleep(1000);
    }
}

/* ---- what is forked --------------------------------------------------------------------------------------------- */

static void all_workers_come_from_one_import(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(6);
    struct sl_pool *pool = open_pool(runtime, &options);
    int64_t template_pid = number(pool, 0, "pool_template:parent");
    assert_true(template_pid > 0);
    assert_int_not_equal(template_pid, getpid());
    for (uint32_t worker = 0; worker < 6; worker++) {
        assert_int_equal(number(pool, worker, "pool_template:importer"), template_pid);
        assert_int_equal(number(pool, worker, "pool_template:parent"), template_pid);
        assert_int_equal(number(pool, worker, "pool_template:me"), sl_pool_worker_pid(pool, worker));
        assert_int_equal(number(pool, worker, "pool_template:session"), sl_pool_worker_pid(pool, worker));
    }
    assert_int_equal(import_count(), 1);
    struct sl_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.fork_count, 6);
    assert_int_equal(stats.template_start_count, 1);
    assert_true(stats.template_ready);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void more_workers_than_requests_under_way(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(40);
    options.segment_bytes = 65536;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(stats_of(pool).fork_count, 40);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void a_restart_imports_nothing(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(2);
    struct sl_pool *pool = open_pool(runtime, &options);
    for (uint32_t i = 0; i < 5; i++) {
        replace_worker(pool, i % 2);
        await_ready(pool, 2);
    }
    assert_int_equal(number(pool, 0, "pool_template:importer"), number(pool, 0, "pool_template:parent"));
    assert_int_equal(import_count(), 1);
    assert_int_equal(stats_of(pool).fork_count, 7);
    assert_int_equal(stats_of(pool).death_count, 5);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void random_numbers_differ(void **unused) {
    (void)unused;
    static const char *const functions[] = {"pool_template:draw", "pool_template:draw_numpy"};
    struct sl_runtime *runtime = open_runtime();
    static const char *const preload[] = {"pool_template", "numpy", NULL};
    struct sl_pool_options options = options_for(4);
    struct sl_pool *pool = NULL;
    size_t count = 2;
    options.preload = preload;
    if (sl_pool_create(runtime, &options, &pool, NULL) != SL_OK) {
        print_message("numpy is left out: it is not installed\n");
        count = 1;
        options = options_for(4);
        pool = open_pool(runtime, &options);
    }
    assert_int_equal(stats_of(pool).fork_count, 4);
    for (size_t f = 0; f < count; f++) {
        int64_t drawn[4];
        for (uint32_t worker = 0; worker < 4; worker++) {
            drawn[worker] = number(pool, worker, functions[f]);
            for (uint32_t other = 0; other < worker; other++) {
                assert_int_not_equal(drawn[worker], drawn[other]);
            }
        }
    }
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void a_forked_worker_has_what_a_started_one_has(void **unused) {
    (void)unused;
    static const char *const functions[] = {"pool_template:descriptors", "pool_template:blocked_signals"};
    struct sl_runtime *runtime = open_runtime();
    char texts[2][2][2048];
    for (size_t i = 0; i < 2; i++) {
        struct sl_pool_options options = options_for(3);
        options.template_use = i == 0 ? SL_TEMPLATE_OFF : SL_TEMPLATE_AUTO;
        struct sl_pool *pool = open_pool(runtime, &options);
        assert_int_equal(stats_of(pool).fork_count, i == 0 ? 0 : 3);
        for (size_t f = 0; f < 2; f++) {
            assert_int_equal(call_text(pool, 2, functions[f], one, texts[i][f], sizeof(texts[i][f])), SL_OK);
        }
        sl_pool_destroy(pool);
    }
    assert_string_equal(texts[0][0], texts[1][0]);
    assert_string_equal(texts[0][1], texts[1][1]);
    close_runtime(runtime);
}

/* ---- how they end ----------------------------------------------------------------------------------------------- */

static void expect_death(struct sl_pool *pool, const char *function, items_fn *item, int status, int signal_number,
                         const char *text) {
    struct seeker seeker;
    struct sl__lease *lease;
    struct sl_writer writer;
    struct sl_value result;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, SL__ANY_WORKER, &lease, NULL), SL_OK);
    ask(lease, function, item);
    assert_int_equal(hear_reply(&seeker, lease, &writer, &result), SL_E_WORKER_CRASHED);
    sl_writer_finish(&writer);
    assert_int_equal(lease->death.exit_status, status);
    assert_int_equal(lease->death.term_signal, signal_number);
    if (strstr(lease->death.message, text) == NULL) {
        fail_msg("%s", lease->death.message);
    }
    sl__pool_release(pool, lease, 0);
}

static void abort_please(struct sl_writer *writer) {
    sl_write_str(writer, "abort");
}

static void the_end_of_a_forked_worker_is_known(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1);
    struct sl_pool *pool = open_pool(runtime, &options);
    expect_death(pool, "pool_template:leave", seven, 7, 0, "exited with status 7");
    expect_death(pool, "pool_functions:die", abort_please, -1, SIGABRT, "was killed by SIGABRT");
    assert_int_equal(import_count(), 1);
    sl_pool_destroy(pool);
    close_runtime(runtime);
}

static void what_workers_leave_behind_ends_with_the_pool(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(2);
    struct sl_pool *pool = open_pool(runtime, &options);
    int pidfds[2];
    for (uint32_t worker = 0; worker < 2; worker++) {
        int64_t pid = number(pool, worker, "pool_template:daemon");
        assert_int_equal(sl__process_open((pid_t)pid, &pidfds[worker], NULL), SL_OK);
    }
    replace_worker(pool, 0);
    sl_pool_destroy(pool);
    for (size_t i = 0; i < 2; i++) {
        /* The template ends only when they have. */
        assert_int_equal(sl__process_signal(pidfds[i], 0, NULL), SL_E_NOT_FOUND);
        close(pidfds[i]);
    }
    no_child_is_left();
    close_runtime(runtime);
}

/* ---- when there is no template ---------------------------------------------------------------------------------- */

static void threads_make_it_unfit(void **unused) {
    (void)unused;
    static const char *const preload[] = {"pool_import_thread", NULL};
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(2);
    options.preload = preload;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_true(log_has("workers are not forked: the imports have started 1 thread (refresher)"));
    assert_int_equal(stats_of(pool).fork_count, 0);
    assert_int_equal(stats_of(pool).template_start_count, 1);
    assert_false(stats_of(pool).template_ready);
    pid_t template_pid = parent_of(sl_pool_worker_pid(pool, 0));
    assert_int_equal(parent_of(template_pid), getpid());
    for (uint32_t worker = 0; worker < 2; worker++) {
        assert_int_equal(number(pool, worker, "pool_import_thread:at_home"), 1);
    }
    replace_worker(pool, 1);
    assert_int_equal(parent_of(sl_pool_worker_pid(pool, 1)), template_pid);
    assert_int_equal(number(pool, 1, "pool_import_thread:at_home"), 1);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

/* And with them what has left their groups, which nobody else would find: it carries the mark of the pool. */
static void its_death_ends_its_workers(void **unused) {
    (void)unused;
    for (int round = 0; round < 2; round++) {
        struct sl_runtime *runtime = open_runtime();
        struct sl_pool_options options = options_for(2);
        options.template_use = round == 0 ? SL_TEMPLATE_AUTO : SL_TEMPLATE_OFF;
        struct sl_pool *pool = open_pool(runtime, &options);
        pid_t template_pid = (pid_t)number(pool, 0, "pool_template:parent");
        int64_t daemon_pid = number(pool, 1, "pool_template:daemon");
        int pidfds[3];
        for (uint32_t worker = 0; worker < 2; worker++) {
            assert_int_equal(sl__process_open((pid_t)sl_pool_worker_pid(pool, worker), &pidfds[worker], NULL), SL_OK);
        }
        assert_int_equal(sl__process_open((pid_t)daemon_pid, &pidfds[2], NULL), SL_OK);
        assert_int_equal(kill((pid_t)sl_pool_worker_pid(pool, 1), SIGSTOP), 0);
        assert_int_equal(kill(template_pid, SIGKILL), 0);
        for (size_t i = 0; i < SL_COUNT_OF(pidfds); i++) {
            await_end(pidfds[i]);
            close(pidfds[i]);
        }
        uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
        while (stats_of(pool).start_count < 4) {
            assert_false(sl__clock_passed(deadline_ns));
            usleep(1000);
        }
        await_ready(pool, 2);
        assert_int_equal(stats_of(pool).death_count, 2);
        assert_int_equal(stats_of(pool).fork_count, round == 0 ? 4 : 0);
        assert_int_equal(stats_of(pool).template_start_count, 2);
        assert_int_not_equal(number(pool, 0, "pool_template:parent"), template_pid);
        assert_int_equal(number(pool, 0, "pool_template:parent"), number(pool, 1, "pool_template:parent"));
        assert_true(log_has("workers live as long as their template"));
        sl_pool_destroy(pool);
        no_child_is_left();
        close_runtime(runtime);
    }
}

static void one_that_is_stopped_is_continued(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1);
    struct sl_pool *pool = open_pool(runtime, &options);
    pid_t template_pid = (pid_t)number(pool, 0, "pool_template:parent");
    assert_int_equal(kill(template_pid, SIGSTOP), 0);
    replace_worker(pool, 0);
    assert_int_equal(number(pool, 0, "pool_template:importer"), template_pid);
    assert_int_equal(stats_of(pool).template_start_count, 1);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void a_stopped_one_does_not_hold_up_the_end(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(2);
    options.stop_timeout_ms = 200;
    struct sl_pool *pool = open_pool(runtime, &options);
    assert_int_equal(kill((pid_t)number(pool, 0, "pool_template:parent"), SIGSTOP), 0);
    uint64_t start_ns = sl__clock_now_ns();
    sl_pool_destroy(pool);
    assert_true(sl__clock_now_ns() - start_ns < 10000000000ull); /* stop_timeout_ms is 200 */
    no_child_is_left();
    close_runtime(runtime);
}

static void one_whose_imports_fail_later_does_not_fork_any_more(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    struct sl_pool_options options = options_for(1);
    struct sl_pool *pool = open_pool(runtime, &options);
    /* From now on every import fails. */
    pid_t template_pid = (pid_t)number(pool, 0, "pool_template:parent");
    assert_int_equal(unlink(record_path), 0);
    assert_int_equal(mkdir(record_path, 0700), 0);
    assert_int_equal(kill(template_pid, SIGKILL), 0);
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    while (!log_has("times in a row")) {
        assert_false(sl__clock_passed(deadline_ns));
        usleep(1000);
    }
    /* Now each worker imports for itself, and fails for itself, until there is nothing wrong any more. */
    while (!log_has("(worker 0, started with")) {
        assert_false(sl__clock_passed(deadline_ns));
        usleep(1000);
    }
    assert_int_equal(rmdir(record_path), 0);
    await_ready(pool, 1);
    assert_int_equal(number(pool, 0, "pool_template:importer"), sl_pool_worker_pid(pool, 0));
    assert_int_equal(stats_of(pool).fork_count, 1);
    sl_pool_destroy(pool);
    no_child_is_left();
    close_runtime(runtime);
}

static void nothing_stays_open(void **unused) {
    (void)unused;
    static void (*const lives[])(void **) = {all_workers_come_from_one_import, a_restart_imports_nothing,
                                             threads_make_it_unfit, its_death_ends_its_workers};
    int before = descriptor_count();
    for (size_t i = 0; i < SL_COUNT_OF(lives); i++) {
        lives[i](NULL);
        end_record(NULL);
        begin_record(NULL);
    }
    assert_int_equal(descriptor_count(), before);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin_record, end_record)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(all_workers_come_from_one_import),
        TEST(more_workers_than_requests_under_way),
        TEST(a_restart_imports_nothing),
        TEST(random_numbers_differ),
        TEST(a_forked_worker_has_what_a_started_one_has),
        TEST(the_end_of_a_forked_worker_is_known),
        TEST(what_workers_leave_behind_ends_with_the_pool),
        TEST(threads_make_it_unfit),
        TEST(its_death_ends_its_workers),
        TEST(one_that_is_stopped_is_continued),
        TEST(a_stopped_one_does_not_hold_up_the_end),
        TEST(one_whose_imports_fail_later_does_not_fork_any_more),
        TEST(nothing_stays_open),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
