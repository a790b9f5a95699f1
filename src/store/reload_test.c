/* SPDX-License-Identifier: MIT */
/* Many rows at once: bulk inserts and reloads. */
#include "store_testing.h"

#include <sys/wait.h>

static void bulk_inserts_and_reloads_are_whole_or_not_at_all(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    uint64_t count = 0;
    (void)state;
    testing_put(table, -1, 7);
    struct testing_numbers numbers = {0, 10000, 9999};
    FAILS(sl_table_bulk_insert(table, testing_give_number, &numbers, &count, error), SL_E_SOURCE,
          "the source has failed");
    assert_int_equal(testing_size(table), 1);
    numbers = (struct testing_numbers){0, 10000, 9999};
    FAILS(sl_table_reload(table, testing_give_number, &numbers, &count, error), SL_E_SOURCE, "the source has failed");
    assert_int_equal(testing_size(table), 1);
    assert_int_equal(testing_get(table, -1), 7);
    numbers = (struct testing_numbers){0, 10000, -1};
    OK(sl_table_bulk_insert(table, testing_give_number, &numbers, &count, error));
    assert_int_equal(count, 10000);
    assert_int_equal(testing_size(table), 10001);
    numbers = (struct testing_numbers){5000, 20000, -1};
    OK(sl_table_reload(table, testing_give_number, &numbers, &count, error));
    assert_int_equal(count, 15000);
    assert_int_equal(testing_size(table), 15000);
    assert_int_equal(testing_get(table, -1), -1);
    assert_int_equal(testing_get(table, 4999), -1);
    assert_int_equal(testing_get(table, 19999), 2 * 19999);
    struct sl_row rows[] = {{testing_key(1), testing_key(2)}, {testing_key(3), (struct sl_value){NULL, 0}}};
    FAILS(sl_table_put_many(table, rows, 2, NULL, error), SL_E_INVALID_ARGUMENT, "value");
    assert_int_equal(testing_get(table, 1), -1);
    rows[1].value = testing_key(4);
    OK(sl_table_put_many(table, rows, 2, NULL, error));
    assert_int_equal(testing_get(table, 3), 4);
    sl_store_destroy(store);
    testing_remove(path);
}

static void what_a_reload_that_was_killed_has_left_is_removed(void **state) {
    char *path = testing_directory();
    int status;
    (void)state;
    pid_t child = testing_fork();
    if (child == 0) {
        struct sl_store *store = testing_store(path, NULL);
        struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
        struct sl_reload *reload;
        struct sl_key memory[2];
        testing_put(table, 1, 2);
        OK(sl_reload_begin(table, &reload, error));
        for (int i = 0; i < 9000; i++) { /* two transactions and a part */
            OK(sl_reload_put(reload, sl_key_int(&memory[0], i), sl_key_int(&memory[1], i), NULL, error));
        }
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    assert_int_equal(testing_size(table), 1);
    assert_int_equal(testing_get(table, 1), 2);
    /* The background removes 8192 rows; every page they had is free then. */
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    for (int i = 0; i < 10000; i++) {
        OK(sl_store_stat(store, &stat, error));
        if (stat.bytes_free > stat.bytes_used * 3 / 4) {
            break;
        }
        usleep(1000); /* for the background; it has no event to wait for */
    }
    assert_true(stat.bytes_free > stat.bytes_used * 3 / 4);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- in any order ----------------------------------------------------------------------------------------------- */

#define SHUFFLED 20011u /* a prime, so that each multiple of another number comes once */
#define STRIDE 7919u

static uint64_t reload_by_stride(struct sl_table *table, uint32_t stride) {
    struct sl_reload *reload;
    uint64_t count = 0;
    OK(sl_reload_begin(table, &reload, error));
    for (uint64_t i = 0; i < SHUFFLED; i++) {
        int64_t number = (int64_t)(i * stride % SHUFFLED);
        OK(sl_reload_put(reload, testing_key(number), testing_key(number * 2), NULL, error));
    }
    OK(sl_reload_put(reload, testing_key(5), testing_key(-5), NULL, error)); /* again: the last one counts */
    OK(sl_reload_commit(reload, &count, error));
    return count;
}

static uint64_t bytes_for_stride(uint32_t stride) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    assert_int_equal(reload_by_stride(table, stride), SHUFFLED);
    assert_int_equal(testing_size(table), SHUFFLED);
    struct sl_scan *scan;
    struct sl_value key, value;
    OK(sl_scan_begin(table, NULL, NULL, &scan, error));
    for (int64_t i = 0; i < SHUFFLED; i++) {
        int64_t number, twice;
        OK(sl_scan_next(scan, &key, &value, error));
        assert_int_equal(sl_value_int(key, &number), SL_OK);
        assert_int_equal(sl_value_int(value, &twice), SL_OK);
        assert_int_equal(number, i);
        assert_int_equal(twice, i == 5 ? -5 : i * 2);
    }
    sl_scan_end(scan);
    OK(sl_store_stat(store, &stat, error));
    sl_store_destroy(store);
    testing_remove(path);
    return stat.bytes_used - stat.bytes_free;
}

static void rows_in_any_order_take_no_more_room_than_sorted_ones(void **state) {
    (void)state;
    uint64_t sorted = bytes_for_stride(1), shuffled = bytes_for_stride(STRIDE),
             backward = bytes_for_stride(SHUFFLED - 1);
    assert_in_range(shuffled, sorted / 2, sorted + sorted / 10);
    assert_in_range(backward, sorted / 2, sorted + sorted / 10);
}

static void a_reload_of_more_than_is_sorted_at_once_is_whole(void **state) {
    enum { COUNT = 300, BYTES = 256 << 10 };
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct sl_reload *reload;
    struct sl_writer writer;
    struct sl_value value;
    uint8_t *bytes = calloc(1, BYTES);
    uint64_t row_count = 0;
    (void)state;
    assert_non_null(bytes);
    sl_writer_init(&writer, NULL);
    OK(sl_reload_begin(table, &reload, error));
    for (int64_t i = COUNT - 1; i >= 0; i--) {
        memcpy(bytes, &i, sizeof(i));
        sl_writer_reset(&writer);
        sl_write_bytes(&writer, bytes, BYTES);
        OK(sl_reload_put(reload, testing_key(i), testing_end(&writer), NULL, error));
    }
    OK(sl_reload_commit(reload, &row_count, error));
    assert_int_equal(row_count, COUNT);
    for (int64_t i = 0; i < COUNT; i++) {
        const void *found;
        size_t size;
        OK(sl_table_get(table, testing_key(i), &writer, &value, error));
        assert_int_equal(sl_value_bytes(value, &found, &size), SL_OK);
        assert_int_equal(size, BYTES);
        assert_memory_equal(found, &i, sizeof(i));
    }
    sl_writer_finish(&writer);
    free(bytes);
    sl_store_destroy(store);
    testing_remove(path);
}

/* Rows of a key of a bag stay in the order in which they came, and so does what a table evicts. */
static void sorting_keeps_the_order_of_arrival_where_it_counts(void **state) {
    static const int64_t pairs[][2] = {{2, 9}, {1, 5}, {2, 8}, {1, 7}, {2, 3}, {1, 6}};
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *bag = testing_table(store, "bag", SL_TABLE_BAG), *few;
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_reload *reload;
    struct sl_writer writer;
    struct sl_value list, entry;
    int64_t number;
    (void)state;
    sl_writer_init(&writer, NULL);
    OK(sl_reload_begin(bag, &reload, error));
    for (size_t i = 0; i < 6; i++) {
        OK(sl_reload_put(reload, testing_key(pairs[i][0]), testing_key(pairs[i][1]), NULL, error));
    }
    OK(sl_reload_commit(reload, NULL, error));
    for (int64_t key = 1; key <= 2; key++) {
        uint32_t at = 0;
        OK(sl_table_get(bag, testing_key(key), &writer, &list, error));
        for (size_t i = 0; i < 6; i++) {
            if (pairs[i][0] == key) {
                assert_int_equal(sl_value_at(list, at++, &entry), SL_OK);
                assert_int_equal(sl_value_int(entry, &number), SL_OK);
                assert_int_equal(number, pairs[i][1]);
            }
        }
    }
    options.max_entries = 3;
    options.policy = SL_TABLE_FULL_EVICT;
    OK(sl_table_open(store, "few", &options, &few, error));
    OK(sl_reload_begin(few, &reload, error));
    for (int64_t i = 5; i >= 1; i--) {
        OK(sl_reload_put(reload, testing_key(i), testing_key(i), NULL, error));
    }
    OK(sl_reload_commit(reload, NULL, error));
    assert_int_equal(testing_size(few), 3);
    assert_int_equal(testing_get(few, 5), -1);
    assert_int_equal(testing_get(few, 4), -1);
    assert_int_equal(testing_get(few, 1), 1);
    sl_writer_finish(&writer);
    sl_store_destroy(store);
    testing_remove(path);
}

static void a_reload_that_could_not_write_is_never_taken_into_use(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    options.sync = SL_STORE_SYNC_NONE;
    options.bytes_max = 1 << 20;
    struct sl_store *store = testing_store(path, &options);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct sl_reload *reload;
    enum sl_code code = SL_OK;
    (void)state;
    testing_put(table, -1, 7);
    OK(sl_reload_begin(table, &reload, error));
    for (int64_t i = 0; code == SL_OK && i < 100000; i++) {
        code = sl_reload_put(reload, testing_key(i), testing_key(i), NULL, NULL);
    }
    assert_int_equal(code, SL_E_LIMIT);
    FAILS(sl_reload_put(reload, testing_key(1), testing_key(1), NULL, error), SL_E_LIMIT, "could not be written");
    FAILS(sl_reload_commit(reload, NULL, error), SL_E_LIMIT, "could not be written");
    assert_int_equal(testing_size(table), 1);
    assert_int_equal(testing_get(table, -1), 7);
    sl_store_destroy(store);
    testing_remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bulk_inserts_and_reloads_are_whole_or_not_at_all),
        cmocka_unit_test(what_a_reload_that_was_killed_has_left_is_removed),
        cmocka_unit_test(rows_in_any_order_take_no_more_room_than_sorted_ones),
        cmocka_unit_test(a_reload_of_more_than_is_sorted_at_once_is_whole),
        cmocka_unit_test(sorting_keeps_the_order_of_arrival_where_it_counts),
        cmocka_unit_test(a_reload_that_could_not_write_is_never_taken_into_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
