/* SPDX-License-Identifier: MIT */
/* Stores as workers see them. What is read is asserted in Python, see modules/store_functions.py. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <slither/slither.h>

#include "scratch.h"

#define WORKERS 2
#define RELOADS 10000
#define RELOAD_KEYS 8

static struct sl_runtime *runtime;
static struct sl_store *store;
static struct sl_table *rows, *bag, *generations, *reloaded;
static struct sl_pool *pool;
static struct sl_view *bump, *reload, *remake;
static atomic_int generation;

static void check(enum sl_code code, const struct sl_error *error) {
    if (code != SL_OK) {
        fail_msg("%s: %s\n%s", sl_code_name(code), error->message, error->traceback != NULL ? error->traceback : "");
    }
}

/* Puts the same number under all keys, in one transaction. */
static enum sl_code write_generation(int number, struct sl_error *error) {
    static const char *const names[] = {"a", "b", "c", "d"};
    struct sl_transaction *transaction;
    struct sl_key memory;
    struct sl_writer writer;
    struct sl_value value;
    sl_writer_init(&writer, NULL);
    sl_write_int(&writer, number);
    enum sl_code code = sl_writer_end(&writer, &value, error);
    if (code == SL_OK) {
        code = sl_transaction_begin(store, &transaction, error);
    }
    if (code == SL_OK) {
        for (size_t i = 0; i < 4 && code == SL_OK; i++) {
            code = sl_transaction_put(transaction, generations, sl_key_str(&memory, names[i]), value, NULL, error);
        }
        if (code == SL_OK) {
            code = sl_transaction_commit(transaction, error);
        } else {
            sl_transaction_abort(transaction);
        }
    }
    sl_writer_finish(&writer);
    return code;
}

static enum sl_code answer_bump(void *context, const struct sl_view_call *call, struct sl_writer *result,
                                struct sl_error *error) {
    (void)context;
    (void)call;
    int number = atomic_fetch_add(&generation, 1) + 1;
    sl_write_int(result, number);
    return write_generation(number, error);
}

static enum sl_code reload_once(int64_t number);

static enum sl_code answer_reload(void *context, const struct sl_view_call *view_call, struct sl_writer *result,
                                  struct sl_error *error) {
    (void)context;
    (void)view_call;
    (void)error;
    sl_write_nil(result);
    return reload_once(0);
}

static enum sl_code answer_remake(void *context, const struct sl_view_call *view_call, struct sl_writer *result,
                                  struct sl_error *error) {
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_table *table;
    (void)context;
    (void)view_call;
    sl_write_nil(result);
    enum sl_code code = sl_table_open(store, "remade", &options, &table, error);
    if (code == SL_OK) {
        code = sl_table_drop(table, error);
    }
    return code == SL_OK ? sl_table_open(store, "remade", &options, &table, error) : code;
}

static void open_pool(uint32_t workers, enum sl_template template_use) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"store_functions", NULL};
    options.worker_count = workers;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = path;
    options.preload = preload;
    options.restart_backoff_ms = 1;
    options.restart_max = 100000;
    options.template_use = template_use;
    check(sl_pool_create(runtime, &options, &pool, &error), &error);
}

static int open_all(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    struct sl_view_options view = SL_VIEW_OPTIONS_INIT;
    check(sl_runtime_create(NULL, &runtime, &error), &error);
    check(sl_store_create(runtime, NULL, &store, &error), &error);
    check(sl_table_open(store, "rows", &table, &rows, &error), &error);
    check(sl_table_open(store, "generations", &table, &generations, &error), &error);
    check(sl_table_open(store, "reloaded", &table, &reloaded, &error), &error);
    table.kind = SL_TABLE_BAG;
    check(sl_table_open(store, "bag", &table, &bag, &error), &error);
    view.name = "bump";
    view.call = answer_bump;
    check(sl_view_register(runtime, &view, &bump, &error), &error);
    view.name = "reload";
    view.call = answer_reload;
    check(sl_view_register(runtime, &view, &reload, &error), &error);
    view.name = "remake";
    view.call = answer_remake;
    check(sl_view_register(runtime, &view, &remake, &error), &error);
    check(write_generation(0, &error), &error);
    open_pool(WORKERS, SL_TEMPLATE_AUTO);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    sl_pool_destroy(pool);
    sl_view_unregister(bump);
    sl_view_unregister(reload);
    sl_view_unregister(remake);
    sl_store_destroy(store);
    sl_runtime_destroy(runtime);
    return 0;
}

/* Calls a function of the module with one item, which is JSON; its result is JSON, the caller's to free. */
static char *call(const char *function, const char *item_text, enum sl_code expected) {
    char name[128], *text = NULL;
    size_t capacity = 0, size;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_item item = {0};
    struct sl_writer writer;
    snprintf(name, sizeof name, "store_functions:%s", function);
    options.function = name;
    options.mode = SL_CALL_EACH;
    sl_writer_init(&writer, NULL);
    check(sl_json_parse(item_text, strlen(item_text), &writer, &error), &error);
    check(sl_writer_end(&writer, &item.value, &error), &error);
    enum sl_code code = sl_call_batch(pool, &options, &item, 1, &results, &error);
    if (code != expected) {
        fail_msg("%s: %s: %s\n%s", name, sl_code_name(code), error.message,
                 error.traceback != NULL ? error.traceback : "");
    }
    if (code == SL_OK) {
        check(sl_json_print(results.values[0], 0, &text, &capacity, &size, &error), &error);
    }
    sl_results_finish(&results);
    sl_writer_finish(&writer);
    sl_error_finish(&error);
    return text;
}

static void call_true(const char *function, const char *item) {
    char *text = call(function, item, SL_OK);
    assert_string_equal(text, "true");
    free(text);
}

/* ---- what a worker sees ---------------------------------------------------------------------------------------------- */

static void workers_read_what_the_host_puts(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_key memory;
    call_true("missing", "\"host\"");
    check(sl_table_put(rows, sl_key_str(&memory, "host"), sl_key_int(&(struct sl_key){{0}}, 41), NULL, &error), &error);
    char *text = call("echo", "\"host\"", SL_OK);
    assert_string_equal(text, "41");
    free(text);
    check(sl_table_delete(rows, sl_key_str(&memory, "host"), NULL, &error), &error);
    call_true("missing", "\"host\"");
}

static void values_go_round(void **state) {
    (void)state;
    call_true("round_trip", "null");
}

static void scans_have_bounds(void **state) {
    (void)state;
    call_true("scans", "null");
}

static void bags_are_lists(void **state) {
    (void)state;
    call_true("bags", "null");
}

static void workers_write(void **state) {
    (void)state;
    call_true("writes", "null");
}

static void errors_have_codes(void **state) {
    (void)state;
    call_true("refuses", "null");
}

static void children_are_refused(void **state) {
    (void)state;
    call_true("fork", "null");
}

/* ---- snapshots --------------------------------------------------------------------------------------------------------- */

static void a_snapshot_is_one_version(void **state) {
    (void)state;
    call_true("snapshot", "null");
}

static void what_is_left_open_ends_with_the_batch(void **state) {
    (void)state;
    char number[16];
    sl_pool_destroy(pool);
    open_pool(1, SL_TEMPLATE_AUTO); /* so that the same worker is asked again */
    free(call("leave_open", "null", SL_OK));
    snprintf(number, sizeof number, "%d", atomic_fetch_add(&generation, 1) + 1);
    struct sl_error error = SL_ERROR_INIT;
    check(write_generation(atomic_load(&generation), &error), &error);
    call_true("see_anew", number);
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    check(sl_store_stat(store, &stat, &error), &error);
    assert_int_equal(stat.oldest_snapshot_pid, 0);
    sl_pool_destroy(pool);
    open_pool(WORKERS, SL_TEMPLATE_AUTO);
}

static const uint8_t zero_byte[] = {0};
static const struct sl_value zero_item = {zero_byte, 1};

/* Four items, each of which has everything written anew: with the option all see one generation, without they see four. */
static void a_batch_is_one_version(void **state) {
    (void)state;
    for (int scope = SL_SNAPSHOT_NONE; scope <= SL_SNAPSHOT_BATCH; scope++) {
        struct sl_error error = SL_ERROR_INIT;
        struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
        struct sl_item items[4] = {{0}};
        struct sl_results results = {0};
        uint32_t seen;
        for (size_t i = 0; i < 4; i++) {
            items[i].value = zero_item;
        }
        options.function = "store_functions:batch_in_one_version";
        options.snapshot = (enum sl_snapshot_scope)scope;
        check(sl_call_batch(pool, &options, items, 4, &results, &error), &error);
        check(sl_value_count(results.values[0], &seen), &error);
        assert_int_equal(seen, scope == SL_SNAPSHOT_BATCH ? 1 : 4);
        sl_results_finish(&results);
    }
}

static enum sl_code put_seen(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    (void)error;
    return sl_value_count(outcome->value, context);
}

/* The same as a stage of a pipe. */
static void a_batch_of_a_stage_is_one_version(void **state) {
    (void)state;
    for (int scope = SL_SNAPSHOT_NONE; scope <= SL_SNAPSHOT_BATCH; scope++) {
        const struct sl_pipe_definition definition = {
            SL_PIPE("versions"),
            .stages = SL_STAGES(SL_PYTHON("read", "store_functions:batch_in_one_version", .batch_size = 4,
                                          .max_delay_ms = 60000, .snapshot = (enum sl_snapshot_scope)scope)),
        };
        struct sl_error error = SL_ERROR_INIT;
        struct sl_pipe *pipe = NULL;
        struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
        struct sl_value zeros[4];
        uint32_t seen = 0;
        for (size_t i = 0; i < 4; i++) {
            zeros[i] = zero_item;
        }
        struct sl_array_source array = {zeros, 4, 0};
        const struct sl_pipe_pool pools[] = {{"workers", pool}};
        const struct sl_pipe_sink sinks[] = {{NULL, put_seen, &seen}};
        options.pools = pools;
        options.pool_count = 1;
        options.sinks = sinks;
        options.sink_count = 1;
        check(sl_pipe_create(&definition, &pipe, &error), &error);
        check(sl_pipe_run(pipe, &options, sl_source_from_array(&array), NULL, &error), &error);
        assert_int_equal(seen, scope == SL_SNAPSHOT_BATCH ? 1 : 4);
        sl_pipe_destroy(pipe);
    }
}

/* ---- watches ------------------------------------------------------------------------------------------------------------ */

static void workers_watch(void **state) {
    (void)state;
    call_true("watches", "null");
    call_true("watches_a_table_made_again", "null");
    call_true("watches_beside_threads", "null");
    call_true("watches_in_a_child", "null");
}

static void a_watch_lives_over_batches(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_key memory;
    sl_pool_destroy(pool);
    open_pool(1, SL_TEMPLATE_AUTO);
    call_true("watch_over_batches", "null");
    check(sl_table_put(rows, sl_key_str(&memory, "batches"), sl_key_int(&(struct sl_key){{0}}, 1), NULL, &error),
          &error);
    call_true("watched_over_batches", "null");
    check(sl_table_delete(rows, sl_key_str(&memory, "batches"), NULL, &error), &error);
    sl_pool_destroy(pool);
    open_pool(WORKERS, SL_TEMPLATE_AUTO);
}

/* A thread that waits for changes holds up the end of its interpreter until it is told of the stop; then the worker would be killed. */
static void who_waits_ends_when_the_worker_is_to_stop(void **state) {
    (void)state;
    char path[SCRATCH_SIZE], item[SCRATCH_SIZE + 8], text[128] = "";
    int fd = scratch_file(path, "store-test");
    snprintf(item, sizeof item, "\"%s\"", path);
    sl_pool_destroy(pool);
    open_pool(1, SL_TEMPLATE_AUTO);
    call_true("wait_in_a_thread", item);
    sl_pool_destroy(pool);
    open_pool(WORKERS, SL_TEMPLATE_AUTO);
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    unlink(path);
    assert_true(size > 0);
    assert_non_null(strstr(text, "asked to stop"));
}

/* ---- beside writes ------------------------------------------------------------------------------------------------------- */

struct repeated {
    struct sl_value value;
    uint64_t remaining;  /* items */
    atomic_bool *enough; /* or NULL: what ends it before */
};

static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct repeated *repeated = context;
    (void)error;
    if (repeated->remaining == 0 || (repeated->enough != NULL && atomic_load(repeated->enough))) {
        return SL_E_END;
    }
    repeated->remaining--;
    *item = (struct sl_item){.value = repeated->value};
    return SL_OK;
}

static void run(const char *function, struct repeated *repeated, uint32_t batch_size, enum sl_snapshot_scope scope,
                enum sl_on_error on_error, struct sl_report *report) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_source source = {next_item, repeated};
    options.function = function;
    options.batch_size = batch_size;
    options.mode = batch_size == 1 ? SL_CALL_EACH : SL_CALL_BATCH;
    options.snapshot = scope;
    options.policy.on_error = on_error;
    check(sl_dispatch_run(pool, &options, source, NULL, report, &error), &error);
}

static void writes_of_workers_add_up(void **state) {
    (void)state;
    struct sl_report report = SL_REPORT_INIT;
    struct repeated hundred = {{(const uint8_t[]){100}, 1}, 8, NULL};
    struct sl_error error = SL_ERROR_INIT;
    run("store_functions:count_up", &hundred, 1, SL_SNAPSHOT_NONE, SL_ON_ERROR_HALT, &report);
    sl_report_finish(&report);
    static const char *const names[] = {"counter", "updated"};
    for (size_t i = 0; i < 2; i++) {
        struct sl_key memory;
        struct sl_writer writer;
        struct sl_value value;
        int64_t sum;
        sl_writer_init(&writer, NULL);
        check(sl_table_get(generations, sl_key_str(&memory, names[i]), &writer, &value, &error), &error);
        check(sl_value_int(value, &sum), &error);
        assert_int_equal(sum, 800);
        sl_writer_finish(&writer);
        check(sl_table_delete(generations, sl_key_str(&memory, names[i]), NULL, &error), &error);
    }
}

static atomic_bool writing, reloads_done, kills_done;

static void *write_on(void *unused) {
    (void)unused;
    while (atomic_load(&writing)) {
        if (write_generation(atomic_fetch_add(&generation, 1) + 1, NULL) != SL_OK) {
            return (char *)(uintptr_t) "a write has failed";
        }
    }
    return NULL;
}

/* Readers die with a snapshot open while the host writes: nothing that they have seen is torn, and they hold nothing back. */
static void readers_are_killed(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store_stat before = SL_STORE_STAT_INIT, after = SL_STORE_STAT_INIT;
    struct sl_report report = SL_REPORT_INIT;
    pthread_t thread;
    void *problem;
    atomic_store(&writing, true);
    assert_int_equal(pthread_create(&thread, NULL, write_on, NULL), 0);
    for (uint8_t round = 0; round < 20; round++) {
        const uint8_t number[] = {round};
        struct repeated one = {{number, 1}, 1, NULL}, many = {{(const uint8_t[]){50}, 1}, 4, NULL};
        run("store_functions:die_reading", &one, 1, SL_SNAPSHOT_NONE, SL_ON_ERROR_SKIP, &report);
        assert_int_equal(report.count[SL_STATUS_FAILED], 1);
        sl_report_finish(&report);
        run("store_functions:reads", &many, 1, SL_SNAPSHOT_NONE, SL_ON_ERROR_HALT, &report);
        assert_int_equal(report.count[SL_STATUS_OK], 4);
        sl_report_finish(&report);
    }
    atomic_store(&writing, false);
    pthread_join(thread, &problem);
    assert_null(problem);
    /* The dead hold nothing back: what they looked at is used again, however long the system took to end them. */
    check(sl_store_stat(store, &before, &error), &error);
    assert_int_equal(before.oldest_snapshot_pid, 0);
    for (int i = 0; i < 1000; i++) {
        check(write_generation(atomic_fetch_add(&generation, 1) + 1, &error), &error);
    }
    check(sl_store_stat(store, &after, &error), &error);
    assert_true(after.bytes_used <= before.bytes_used + (1 << 20)); /* without that: several pages a write */
}

/* Kills workers at any moment: while they take readings, walk over pages, ask for writes. */
static void *kill_on(void *context) {
    unsigned *seed = context;
    for (int kills = 0; kills < 40;) {
        int64_t pid = sl_pool_worker_pid(pool, (uint32_t)(rand_r(seed) % WORKERS));
        struct timespec pause = {.tv_nsec = rand_r(seed) % 5000000};
        nanosleep(&pause, NULL); /* the moment is what is drawn */
        if (pid > 0 && kill((pid_t)pid, SIGKILL) == 0) {
            kills++;
        }
    }
    atomic_store(&kills_done, true);
    return NULL;
}

static void readers_are_killed_at_random(void **state) {
    (void)state;
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    struct sl_report report = SL_REPORT_INIT;
    pthread_t writer, killer;
    void *problem;
    print_message("seed %u\n", seed);
    atomic_store(&writing, true);
    atomic_store(&kills_done, false);
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    assert_int_equal(pthread_create(&killer, NULL, kill_on, &seed), 0);
    struct repeated some = {{(const uint8_t[]){20}, 1}, UINT64_MAX, &kills_done};
    run("store_functions:reads_and_writes", &some, 1, SL_SNAPSHOT_BATCH, SL_ON_ERROR_SKIP, &report);
    pthread_join(killer, NULL);
    atomic_store(&writing, false);
    pthread_join(writer, &problem);
    assert_null(problem);
    assert_int_equal(report.count[SL_STATUS_OK] + report.count[SL_STATUS_FAILED], report.input);
    assert_true(report.count[SL_STATUS_OK] > 0);
    for (uint32_t i = 0; i < report.error_count; i++) {
        assert_int_equal(report.errors[i].error.code, SL_E_WORKER_CRASHED); /* and nobody has read anything torn */
    }
    sl_report_finish(&report);
    call_true("reads", "1"); /* a worker that lives still reads */
    check(sl_store_stat(store, &stat, &error), &error);
    assert_int_equal(stat.oldest_snapshot_pid, 0);
}

struct reload_rows {
    struct sl_key key;
    struct sl_key value;
    int64_t next, number;
};

static enum sl_code next_reload_row(void *context, struct sl_row *row, struct sl_error *error) {
    struct reload_rows *source = context;
    (void)error;
    if (source->next == RELOAD_KEYS) {
        return SL_E_END;
    }
    row->key = sl_key_int(&source->key, source->next++);
    row->value = sl_key_int(&source->value, source->number);
    return SL_OK;
}

static enum sl_code reload_once(int64_t number) {
    struct reload_rows source = {.number = number};
    return sl_table_reload(reloaded, next_reload_row, &source, NULL, NULL);
}

static void *reload_on(void *unused) {
    (void)unused;
    for (int64_t i = 1; i <= RELOADS; i++) {
        if (reload_once(i) != SL_OK) {
            return (char *)(uintptr_t) "a reload has failed";
        }
    }
    atomic_store(&reloads_done, true);
    return NULL;
}

static void batches_see_one_version_of_ten_thousand(void **state) {
    (void)state;
    struct sl_report report = SL_REPORT_INIT;
    pthread_t thread;
    void *problem;
    assert_int_equal(reload_once(0), SL_OK);
    atomic_store(&reloads_done, false);
    assert_int_equal(pthread_create(&thread, NULL, reload_on, NULL), 0);
    struct repeated keys = {{(const uint8_t[]){RELOAD_KEYS}, 1}, UINT64_MAX, &reloads_done};
    run("store_functions:one_version", &keys, 16, SL_SNAPSHOT_BATCH, SL_ON_ERROR_HALT, &report);
    pthread_join(thread, &problem);
    assert_null(problem);
    assert_int_equal(report.count[SL_STATUS_OK], report.input);
    assert_true(report.count[SL_STATUS_OK] > 0);
    sl_report_finish(&report);
}

/* ---- handles -------------------------------------------------------------------------------------------------------------- */

/* A worker that has read a store finds the one that takes its place. */
static void a_store_is_made_anew(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    struct sl_key memory;
    sl_pool_destroy(pool);
    open_pool(1, SL_TEMPLATE_OFF);
    call_true("missing", "\"anew\"");
    call_true("watch_over_batches", "null");
    sl_store_destroy(store);
    call_true("watched_is_closed", "null");
    char *refusal = call("echo", "\"anew\"", SL_OK);
    assert_non_null(strstr(refusal, "the host has no store"));
    free(refusal);
    check(sl_store_create(runtime, NULL, &store, &error), &error);
    check(sl_table_open(store, "rows", &table, &rows, &error), &error);
    check(sl_table_put(rows, sl_key_str(&memory, "anew"), sl_key_int(&(struct sl_key){{0}}, 7), NULL, &error), &error);
    char *text = call("echo", "\"anew\"", SL_OK);
    assert_string_equal(text, "7");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_read_what_the_host_puts),
        cmocka_unit_test(values_go_round),
        cmocka_unit_test(scans_have_bounds),
        cmocka_unit_test(bags_are_lists),
        cmocka_unit_test(workers_write),
        cmocka_unit_test(errors_have_codes),
        cmocka_unit_test(children_are_refused),
        cmocka_unit_test(a_snapshot_is_one_version),
        cmocka_unit_test(what_is_left_open_ends_with_the_batch),
        cmocka_unit_test(a_batch_is_one_version),
        cmocka_unit_test(a_batch_of_a_stage_is_one_version),
        cmocka_unit_test(workers_watch),
        cmocka_unit_test(a_watch_lives_over_batches),
        cmocka_unit_test(who_waits_ends_when_the_worker_is_to_stop),
        cmocka_unit_test(writes_of_workers_add_up),
        cmocka_unit_test(readers_are_killed),
        cmocka_unit_test(readers_are_killed_at_random),
        cmocka_unit_test(batches_see_one_version_of_ten_thousand),
        cmocka_unit_test(a_store_is_made_anew), /* last: the other tables are gone then */
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
