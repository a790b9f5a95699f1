/* SPDX-License-Identifier: MIT */
/* What makes rows go, or not come: TTL, max_entries, and a store that is full. */
#include "store_testing.h"

#include <sys/wait.h>

#include "store/reader.h"
#include "store/store.h"
#include "wire/writer.h"

static _Atomic uint64_t now_ns = 1000000000; /* the thread of the store looks at it too */

static uint64_t test_clock(void) {
    return now_ns;
}

/* ---- TTL and max_entries ---------------------------------------------------------------------------------------- */

static void rows_expire_and_are_swept(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_put_options put = SL_PUT_OPTIONS_INIT;
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    struct sl_table *table;
    uint64_t removed;
    bool inserted, contains;
    (void)state;
    sl__store_set_clock(store, test_clock);
    options.ttl_ms = 100;
    OK(sl_table_open(store, "t", &options, &table, error));
    for (int i = 0; i < 100; i++) {
        testing_put(table, i, i);
    }
    put.ttl_ms = UINT64_MAX;
    OK(sl_table_put(table, testing_key(1000), testing_key(1), &put, error));
    put.ttl_ms = 1000;
    OK(sl_table_put(table, testing_key(1001), testing_key(1), &put, error));
    now_ns += 99 * UINT64_C(1000000);
    assert_int_equal(testing_get(table, 5), 5);
    testing_put(table, 5, 55); /* lives on */
    now_ns += 1 * UINT64_C(1000000);
    assert_int_equal(testing_get(table, 4), -1);
    assert_int_equal(testing_get(table, 5), 55);
    assert_int_equal(testing_get(table, 1000), 1);
    OK(sl_table_contains(table, testing_key(4), &contains, error));
    assert_false(contains);
    /* A row that has expired is not there for who writes either, though it was not swept. */
    OK(sl_table_put_if_absent(table, testing_key(4), testing_key(44), NULL, &inserted, error));
    assert_true(inserted);
    /* That write has swept some, and no more than it should. */
    uint64_t left = testing_size(table);
    assert_int_equal(left, 102 - 16);
    OK(sl_store_sweep(store, 10, &removed, error));
    assert_int_equal(removed, 10);
    OK(sl_store_sweep(store, UINT64_MAX, &removed, error));
    assert_int_equal(testing_size(table), 4); /* 4, 5, 1000, 1001 */
    now_ns += 10000 * UINT64_C(1000000);
    OK(sl_store_sweep(store, UINT64_MAX, &removed, error));
    assert_int_equal(removed, 3);
    assert_int_equal(testing_get(table, 1000), 1);
    OK(sl_store_stat(store, &stat, error));
    assert_int_equal(stat.expired_count, 102);
    sl_store_destroy(store);
    testing_remove(path);
}

static void max_entries_refuses_or_evicts_the_oldest(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    struct sl_table *refuses, *evicts;
    (void)state;
    options.max_entries = 3;
    OK(sl_table_open(store, "refuses", &options, &refuses, error));
    options.policy = SL_TABLE_FULL_EVICT;
    OK(sl_table_open(store, "evicts", &options, &evicts, error));
    for (int i = 0; i < 3; i++) {
        testing_put(refuses, i, i);
        testing_put(evicts, 9 - i, i);
    }
    FAILS(sl_table_put(refuses, testing_key(3), testing_key(3), NULL, error), SL_E_LIMIT,
          "has 3 rows and max_entries is 3");
    testing_put(refuses, 2, 22);
    OK(sl_table_delete(refuses, testing_key(0), NULL, error));
    testing_put(refuses, 3, 3);
    testing_put(evicts, 9, 99); /* replaced: as old as before */
    testing_put(evicts, 1, 1);
    assert_int_equal(testing_get(evicts, 9), -1);
    assert_int_equal(testing_get(evicts, 8), 1);
    assert_int_equal(testing_size(evicts), 3);
    OK(sl_table_delete(evicts, testing_key(8), NULL, error));
    testing_put(evicts, 2, 2);
    assert_int_equal(testing_get(evicts, 7), 2);
    options.max_entries = 1;
    OK(sl_table_open(store, "evicts", &options, &evicts, error));
    testing_put(evicts, 3, 3);
    assert_int_equal(testing_size(evicts), 1);
    assert_int_equal(testing_get(evicts, 3), 3);
    options.policy = SL_TABLE_FULL_REFUSE;
    FAILS(sl_table_open(store, "evicts", &options, &evicts, error), SL_E_INVALID_ARGUMENT, "has rows");
    OK(sl_store_stat(store, &stat, error));
    assert_int_equal(stat.evicted_count, 4);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- full ------------------------------------------------------------------------------------------------------- */

static void a_full_store_says_so_and_can_be_emptied(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    static uint8_t bytes[1000];
    struct sl_writer writer;
    int64_t count = 0;
    enum sl_code code;
    struct sl_error last = SL_ERROR_INIT;
    (void)state;
    options.bytes_max = 1 << 20;
    options.sync = SL_STORE_SYNC_NONE;
    struct sl_store *store = testing_store(path, &options);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    sl_writer_init(&writer, NULL);
    sl_write_bytes(&writer, bytes, sizeof(bytes));
    struct sl_value value = testing_end(&writer);
    while ((code = sl_table_put(table, testing_key(count), value, NULL, &last)) == SL_OK) {
        count++;
        assert_true(count < 2000);
    }
    assert_int_equal(code, SL_E_LIMIT);
    assert_non_null(strstr(last.message, "is full"));
    assert_true(count > 500);
    assert_int_equal(testing_size(table), count);
    /* Again, and nothing of it has happened. */
    FAILS(sl_table_put(table, testing_key(count), value, NULL, error), SL_E_LIMIT, "is full");
    assert_int_equal(testing_size(table), count);
    for (int64_t i = 0; i < count; i++) {
        OK(sl_table_delete(table, testing_key(i), NULL, error));
    }
    for (int64_t i = 0; i < count; i++) {
        OK(sl_table_put(table, testing_key(i), value, NULL, error));
    }
    sl_writer_finish(&writer);
    sl_store_destroy(store);
    testing_remove(path);
}

static void a_map_that_old_snapshots_fill_names_who_reads(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_snapshot *snapshot;
    struct sl_error last = SL_ERROR_INIT;
    struct sl_value seen;
    enum sl_code code = SL_OK;
    int64_t number;
    (void)state;
    options.bytes_max = 1 << 20;
    options.sync = SL_STORE_SYNC_NONE;
    struct sl_store *store = testing_store(path, &options);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    testing_put(table, 1, 0);
    OK(sl_snapshot_begin(store, &snapshot, error));
    for (int i = 1; code == SL_OK && i < 10000; i++) {
        code = sl_table_put(table, testing_key(1), testing_key(i), NULL, &last);
    }
    assert_int_equal(code, SL_E_LIMIT);
    char expected[64];
    snprintf(expected, sizeof(expected), "process %d (this one) reads version", (int)getpid());
    if (strstr(last.message, expected) == NULL) {
        fail_msg("%s", last.message);
    }
    OK(sl_snapshot_get(snapshot, table, testing_key(1), &seen, error));
    assert_int_equal(sl_value_int(seen, &number), SL_OK);
    assert_int_equal(number, 0);
    sl_snapshot_end(snapshot);
    testing_put(table, 1, 5);
    assert_int_equal(testing_get(table, 1), 5);
    sl_store_destroy(store);
    testing_remove(path);
}

/* A process that dies with a snapshot open: its place is cleared when the map is full, and the write goes through. */
static void readers_that_died_do_not_fill_the_map(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    int status, ready[2];
    char byte;
    (void)state;
    options.bytes_max = 1 << 20;
    options.sync = SL_STORE_SYNC_NONE;
    struct sl_store *store = testing_store(path, &options);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    testing_put(table, 1, 0);
    assert_int_equal(pipe(ready), 0);
    pid_t child = testing_fork();
    if (child == 0) {
        struct sl__reader *reader;
        struct sl__reading *reading;
        bool good = sl__reader_attach(path, &reader, NULL) == SL_OK &&
                    sl__reading_begin(reader, &reading, NULL) == SL_OK && write(ready[1], "x", 1) == 1;
        if (good) {
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    testing_put(table, 1, 1);
    OK(sl_store_stat(store, &stat, error));
    assert_int_equal(stat.oldest_snapshot_pid, child);
    assert_true(stat.oldest_snapshot_version < stat.version);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    for (int i = 1; i < 5000; i++) {
        testing_put(table, 1, i);
    }
    sl__store_reader_died(store);
    OK(sl_store_stat(store, &stat, error));
    assert_int_equal(stat.oldest_snapshot_pid, 0);
    close(ready[0]);
    close(ready[1]);
    sl_store_destroy(store);
    testing_remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_expire_and_are_swept),
        cmocka_unit_test(max_entries_refuses_or_evicts_the_oldest),
        cmocka_unit_test(a_full_store_says_so_and_can_be_emptied),
        cmocka_unit_test(a_map_that_old_snapshots_fill_names_who_reads),
        cmocka_unit_test(readers_that_died_do_not_fill_the_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
