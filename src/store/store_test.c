/* SPDX-License-Identifier: MIT */
/* Tables, what cannot be stored, hooks and transactions. */
#include "store_testing.h"

#include <pthread.h>

#include "wire/writer.h"

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static enum sl_code list_table(void *context, const struct sl_table_info *info) {
    char *text = context;
    snprintf(text + strlen(text), 256 - strlen(text), "%s:%d:%llu:%llu ", info->name, (int)info->kind,
             (unsigned long long)info->row_count, (unsigned long long)info->reload_count);
    return SL_OK;
}

static void tables_are_made_found_cleared_and_dropped(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_table_options table_options = SL_TABLE_OPTIONS_INIT;
    struct sl_table *set, *bag, *other;
    char text[256] = "";
    (void)state;
    options.tables_max = 2;
    options.sync = SL_STORE_SYNC_NONE;
    struct sl_store *store = testing_store(path, &options);
    FAILS(sl_table_open(store, "set", NULL, &set, error), SL_E_NOT_FOUND, "no table \"set\"");
    set = testing_table(store, "set", SL_TABLE_SET);
    bag = testing_table(store, "bag", SL_TABLE_BAG);
    assert_ptr_equal(testing_table(store, "set", SL_TABLE_SET), set);
    assert_string_equal(sl_table_name(bag), "bag");
    table_options.kind = SL_TABLE_BAG;
    FAILS(sl_table_open(store, "set", &table_options, &other, error), SL_E_TYPE, "is a set and was asked for as a bag");
    FAILS(sl_table_open(store, "third", &table_options, &other, error), SL_E_LIMIT,
          "2 tables, which is its tables_max");
    FAILS(sl_table_open(store, "", &table_options, &other, error), SL_E_INVALID_ARGUMENT, "1 to 64 bytes");
    for (int i = 0; i < 3000; i++) {
        testing_put(set, i, i);
    }
    testing_put(bag, 1, 1);
    testing_put(bag, 1, 2);
    testing_put(bag, 1, 2);
    OK(sl_store_tables(store, list_table, text, error));
    assert_string_equal(text, "bag:3:2:0 set:1:3000:0 ");
    OK(sl_table_clear(set, error));
    assert_int_equal(testing_size(set), 0);
    assert_int_equal(testing_get(set, 5), -1);
    testing_put(set, 5, 6);
    OK(sl_table_drop(bag, error));
    FAILS(sl_table_size(bag, &(uint64_t){0}, error), SL_E_NOT_FOUND, "no table \"bag\"");
    FAILS(sl_table_put(bag, testing_key(1), testing_key(1), NULL, error), SL_E_NOT_FOUND, "no table \"bag\"");
    FAILS(sl_table_drop(bag, error), SL_E_NOT_FOUND, "no table");
    /* The same handle, another table. */
    assert_ptr_equal(testing_table(store, "bag", SL_TABLE_SET), bag);
    assert_int_equal(testing_size(bag), 0);
    sl_store_destroy(store);
    testing_remove(path);
}

static void what_cannot_be_stored_is_refused(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct sl_key memory;
    struct sl_writer writer;
    char text[600];
    (void)state;
    memset(text, 'x', sizeof(text));
    text[599] = '\0';
    sl_writer_init(&writer, NULL);
    FAILS(sl_table_put(table, sl_key_str(&memory, text), testing_key(1), NULL, error), SL_E_INVALID_ARGUMENT,
          "no value");
    text[489] = '\0';
    FAILS(sl_table_put(table, sl_key_str(&memory, text), testing_key(1), NULL, error), SL_E_LIMIT, "at most 490");
    FAILS(sl_table_put(table, testing_key(1), (struct sl_value){NULL, 0}, NULL, error), SL_E_INVALID_ARGUMENT, "value");
    FAILS(sl_table_put(table, testing_key(1), (struct sl_value){(const uint8_t *)"\xc1", 1}, NULL, error),
          SL_E_INVALID_DATA, "");
    uint64_t shape[] = {1};
    sl__write_buffer_array(&writer, 1, 0, SL_DTYPE_U8, 1, shape);
    FAILS(sl_table_put(table, testing_key(1), testing_end(&writer), NULL, error), SL_E_INVALID_ARGUMENT,
          "shared buffer");
    sl_writer_reset(&writer);
    sl__write_mark(&writer, &(struct sl_mark){SL_MARK_SKIP, "b", 1, {NULL, 0}});
    FAILS(sl_table_put(table, testing_key(1), testing_end(&writer), NULL, error), SL_E_INVALID_ARGUMENT, "mark");
    struct sl_put_options options = SL_PUT_OPTIONS_INIT;
    options.ttl_ms = UINT64_MAX - 1;
    FAILS(sl_table_put(table, testing_key(1), testing_key(1), &options, error), SL_E_INVALID_ARGUMENT, "ttl_ms");
    FAILS(sl_table_put(NULL, testing_key(1), testing_key(1), NULL, error), SL_E_INVALID_ARGUMENT, "`table` is NULL");
    assert_int_equal(testing_size(table), 0);
    sl_writer_finish(&writer);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- hooks and transactions ------------------------------------------------------------------------------------- */

struct journal {
    char text[512];
    int64_t poison; /* a value that is refused */
    struct sl_table *table;
};

static enum sl_code write_through(void *context, const struct sl_write *write, struct sl_error *refusal) {
    struct journal *journal = context;
    int64_t key = 0, value = 0;
    assert_int_equal(sl_value_int(write->key, &key), SL_OK);
    assert_int_equal(sl_value_int(write->value, &value), SL_OK);
    assert_ptr_equal(write->table, journal->table);
    FAILS(sl_table_put(write->table, testing_key(1), testing_key(1), NULL, error), SL_E_INVALID_ARGUMENT,
          "write through it");
    if (value == journal->poison) {
        return sl_error_set(refusal, SL_E_SINK, "the database says no");
    }
    snprintf(journal->text + strlen(journal->text), sizeof(journal->text) - strlen(journal->text), "%s%lld=%lld ",
             write->kind == SL_WRITE_PUT ? "+" : "-", (long long)key, (long long)value);
    return SL_OK;
}

static void a_hook_sees_writes_in_order_and_may_refuse_them(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET), *bag = testing_table(store, "b", SL_TABLE_BAG);
    struct sl_transaction *transaction;
    struct journal journal = {.poison = 666, .table = table};
    (void)state;
    OK(sl_table_set_hook(table, write_through, &journal, error));
    testing_put(table, 1, 10);
    OK(sl_transaction_begin(store, &transaction, error));
    OK(sl_transaction_put(transaction, table, testing_key(2), testing_key(20), NULL, error));
    OK(sl_transaction_increment(transaction, table, testing_key(1), 5, NULL, error));
    OK(sl_transaction_delete(transaction, table, testing_key(2), NULL, error));
    OK(sl_transaction_delete(transaction, table, testing_key(99), NULL, error));
    OK(sl_transaction_commit(transaction, error));
    assert_string_equal(journal.text, "+1=10 +2=20 +1=15 -2=20 ");
    FAILS(sl_table_put(table, testing_key(3), testing_key(666), NULL, error), SL_E_SINK, "the database says no");
    assert_int_equal(testing_get(table, 3), -1);
    /* One refusal takes its whole transaction with it, of all tables. */
    OK(sl_transaction_begin(store, &transaction, error));
    OK(sl_transaction_put(transaction, bag, testing_key(1), testing_key(1), NULL, error));
    FAILS(sl_transaction_put(transaction, table, testing_key(3), testing_key(666), NULL, error), SL_E_SINK,
          "the database says no");
    FAILS(sl_transaction_put(transaction, table, testing_key(3), testing_key(1), NULL, error), SL_E_SINK,
          "the database says no");
    FAILS(sl_transaction_commit(transaction, error), SL_E_SINK, "the database says no");
    assert_int_equal(testing_size(bag), 0);
    assert_int_equal(testing_size(table), 1);
    OK(sl_table_set_hook(table, NULL, NULL, error));
    testing_put(table, 3, 666);
    sl_store_destroy(store);
    testing_remove(path);
}

static void *commit_elsewhere(void *context) {
    FAILS(sl_transaction_commit(context, error), SL_E_INVALID_ARGUMENT, "another thread's");
    return NULL;
}

static void errors_of_the_call_leave_a_transaction_usable(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct sl_transaction *transaction;
    struct sl_value value;
    int64_t number;
    (void)state;
    OK(sl_transaction_begin(store, &transaction, error));
    FAILS(sl_transaction_begin(store, &(struct sl_transaction *){NULL}, error), SL_E_INVALID_ARGUMENT,
          "has a transaction open");
    FAILS(sl_table_put(table, testing_key(1), testing_key(1), NULL, error), SL_E_INVALID_ARGUMENT,
          "has a transaction open");
    OK(sl_transaction_put(transaction, table, testing_key(1), testing_key(INT64_MAX), NULL, error));
    FAILS(sl_transaction_put(transaction, table, (struct sl_value){NULL, 0}, testing_key(1), NULL, error),
          SL_E_INVALID_ARGUMENT, "no value");
    FAILS(sl_transaction_increment(transaction, table, testing_key(1), 1, &number, error), SL_E_RANGE, "64 bits");
    assert_int_equal(sl_transaction_get(transaction, table, testing_key(2), &value, NULL), SL_E_NOT_FOUND);
    OK(sl_transaction_get(transaction, table, testing_key(1), &value, error));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, commit_elsewhere, transaction), 0);
    pthread_join(thread, NULL);
    /* Others still see what was. */
    assert_int_equal(testing_get(table, 1), -1);
    OK(sl_transaction_commit(transaction, error));
    assert_int_equal(testing_get(table, 1), INT64_MAX);
    sl_store_destroy(store);
    testing_remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_made_found_cleared_and_dropped),
        cmocka_unit_test(what_cannot_be_stored_is_refused),
        cmocka_unit_test(a_hook_sees_writes_in_order_and_may_refuse_them),
        cmocka_unit_test(errors_of_the_call_leave_a_transaction_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
