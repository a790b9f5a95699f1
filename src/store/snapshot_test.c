/* SPDX-License-Identifier: MIT */
/* Snapshots: what they see, how many there can be, and who is told of when they last too long. */
#include "store_testing.h"

#include <pthread.h>
#include <sys/wait.h>

#include <slither/runtime.h>

#include "loop/runtime.h"
#include "store/reader.h"
#include "store/store.h"

static struct sl_value key_of(int64_t number) {
    static struct sl_key memory[4];
    static int next;
    next = (next + 1) % 4;
    return sl_key_int(&memory[next], number);
}

static void a_snapshot_sees_one_version_through_all_changes(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET), *bag = testing_table(store, "b", SL_TABLE_BAG);
    struct sl_snapshot *before, *after;
    struct sl_reload *reload;
    struct sl_value first, second, list;
    uint64_t size;
    uint32_t count;
    (void)state;
    for (int i = 0; i < 10; i++) {
        testing_put(table, i, i);
        testing_put(bag, 1, i);
    }
    OK(sl_snapshot_begin(store, &before, error));
    OK(sl_snapshot_get(before, table, key_of(3), &first, error));
    OK(sl_reload_begin(table, &reload, error));
    for (int i = 100; i < 200; i++) {
        OK(sl_reload_put(reload, key_of(i), key_of(i), NULL, error));
    }
    OK(sl_reload_commit(reload, NULL, error));
    OK(sl_table_drop(bag, error));
    OK(sl_snapshot_begin(store, &after, error));
    assert_true(sl_snapshot_version(after) > sl_snapshot_version(before));
    OK(sl_snapshot_get(before, table, key_of(3), &second, error));
    assert_ptr_equal(first.data, second.data); /* in place */
    OK(sl_snapshot_size(before, table, &size, error));
    assert_int_equal(size, 10);
    OK(sl_snapshot_get(before, bag, key_of(1), &list, error));
    assert_int_equal(sl_value_count(list, &count), SL_OK);
    assert_int_equal(count, 10);
    assert_int_equal(sl_snapshot_get(after, table, key_of(3), &second, NULL), SL_E_NOT_FOUND);
    OK(sl_snapshot_size(after, table, &size, error));
    assert_int_equal(size, 100);
    FAILS(sl_snapshot_get(after, bag, key_of(1), &list, error), SL_E_NOT_FOUND, "no table");
    sl_snapshot_end(before);
    sl_snapshot_end(after);
    sl_store_destroy(store);
    testing_remove(path);
}

static void too_many_snapshots_are_refused(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_snapshot *snapshots[8], *one_more;
    (void)state;
    options.readers_max = 16; /* half of them for this process */
    options.sync = SL_STORE_SYNC_NONE;
    struct sl_store *store = testing_store(path, &options);
    for (size_t i = 0; i < SL_COUNT_OF(snapshots); i++) {
        OK(sl_snapshot_begin(store, &snapshots[i], error));
    }
    FAILS(sl_snapshot_begin(store, &one_more, error), SL_E_LIMIT, "8 snapshots");
    for (size_t i = 0; i < SL_COUNT_OF(snapshots); i++) {
        sl_snapshot_end(snapshots[i]);
    }
    OK(sl_snapshot_begin(store, &one_more, error));
    sl_snapshot_end(one_more);
    sl_store_destroy(store);
    testing_remove(path);
}

/* The log line of the store's thread, which the test waits for. */
struct lines {
    pthread_mutex_t lock;
    pthread_cond_t came;
    char text[1024];
};

static void take_line(void *context, const struct sl_log_record *record) {
    struct lines *lines = context;
    pthread_mutex_lock(&lines->lock);
    snprintf(lines->text, sizeof(lines->text), "%s", record->text);
    pthread_cond_signal(&lines->came);
    pthread_mutex_unlock(&lines->lock);
}

static void wait_for_line(struct lines *lines, const char *part) {
    pthread_mutex_lock(&lines->lock);
    while (strstr(lines->text, part) == NULL) {
        pthread_cond_wait(&lines->came, &lines->lock);
    }
    pthread_mutex_unlock(&lines->lock);
}

static void an_old_snapshot_is_reported_with_who_holds_it(void **state) {
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct lines lines = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, ""};
    struct sl_runtime *runtime;
    struct sl_store *store;
    struct sl_snapshot *snapshot;
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    (void)state;
    runtime_options.log = take_line;
    runtime_options.log_context = &lines;
    options.name = "features";
    options.snapshot_warn_ms = 10;
    OK(sl_runtime_create(&runtime_options, &runtime, error));
    OK(sl_store_create(runtime, &options, &store, error));
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    OK(sl_snapshot_begin(store, &snapshot, error));
    testing_put(table, 1, 1);
    wait_for_line(&lines, "has held a snapshot");
    char expected[128];
    snprintf(expected, sizeof(expected), "store \"features\": thread %d of this process has held a snapshot",
             (int)getpid());
    assert_non_null(strstr(lines.text, expected));
    OK(sl_store_stat(store, &stat, error));
    assert_int_equal(stat.snapshot_warning_count, 1);
    sl_snapshot_end(snapshot);
    sl_runtime_destroy(runtime);
}

/* Of another process only its number and version are known; it is old from when it is seen at a version that is not the newest. */
static void an_old_snapshot_of_another_process_is_reported(void **state) {
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct lines lines = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, ""};
    struct sl_runtime *runtime;
    struct sl_store *store;
    const char *directory;
    char *path, byte, expected[64];
    int ready[2], status;
    (void)state;
    runtime_options.log = take_line;
    runtime_options.log_context = &lines;
    options.snapshot_warn_ms = 10;
    OK(sl_runtime_create(&runtime_options, &runtime, error));
    OK(sl_store_create(runtime, &options, &store, error));
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    OK(sl__runtime_directory(runtime, &directory, error));
    OK(sl__store_path(directory, "store", &path, error));
    assert_int_equal(pipe(ready), 0);
    pid_t child = testing_fork();
    if (child == 0) {
        struct sl__reader *reader;
        struct sl__reading *reading;
        if (sl__reader_attach(path, &reader, NULL) == SL_OK && sl__reading_begin(reader, &reading, NULL) == SL_OK &&
            write(ready[1], "x", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    testing_put(table, 1, 1);
    snprintf(expected, sizeof(expected), "process %d has held a snapshot", (int)child);
    wait_for_line(&lines, expected);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ready[0]);
    close(ready[1]);
    free(path);
    sl_runtime_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_sees_one_version_through_all_changes),
        cmocka_unit_test(too_many_snapshots_are_refused),
        cmocka_unit_test(an_old_snapshot_is_reported_with_who_holds_it),
        cmocka_unit_test(an_old_snapshot_of_another_process_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
