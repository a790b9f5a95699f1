/* SPDX-License-Identifier: MIT */
/* Stores as a whole: opening, what can be wrong with them, hooks, TTL, bounds, being full. */
#include "store_testing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <lmdb.h>
#include <slither/runtime.h>

#include "loop/runtime.h"
#include "store/reader.h"
#include "store/store.h"
#include "sys/path.h"
#include "wire/ext.h"
#include "wire/writer.h"

static _Atomic uint64_t now_ns = 1000000000; /* the thread of the store looks at it too */

static uint64_t test_clock(void) {
    return now_ns;
}

static struct sl_value key_of(int64_t number) {
    static struct sl_key memory[4];
    static int next;
    next = (next + 1) % 4;
    return sl_key_int(&memory[next], number);
}

static uint64_t size_of(struct sl_table *table) {
    uint64_t size;
    OK(sl_table_size(table, &size, error));
    return size;
}

static char *join(const char *directory, const char *name) {
    static char path[4400];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void a_store_in_memory_is_gone_with_its_runtime(void **state) {
    struct sl_runtime *runtime;
    struct sl_store *store, *second;
    struct sl_error *none = NULL;
    const char *directory;
    char *path;
    (void)state;
    OK(sl_runtime_create(NULL, &runtime, error));
    OK(sl_store_create(runtime, NULL, &store, error));
    FAILS(sl_store_create(runtime, NULL, &second, error), SL_E_INVALID_ARGUMENT, "has a store \"store\" already");
    testing_put(testing_table(store, "t", SL_TABLE_SET), 1, 2);
    assert_int_equal(sl__runtime_directory(runtime, &directory, none), SL_OK);
    assert_int_equal(sl__store_path(directory, "store", &path, none), SL_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_ptr_equal(sl__store_find(runtime, "store"), store);
    assert_null(sl__store_find(runtime, "other"));
    sl_store_destroy(store);
    assert_int_equal(access(path, F_OK), -1);
    /* The name is free again; one that is left goes with the runtime. */
    OK(sl_store_create(runtime, NULL, &store, error));
    sl_runtime_destroy(runtime);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

static void a_durable_store_is_there_again(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_runtime *runtime;
    struct sl_store *store;
    struct sl_table *table;
    const char *directory;
    char *link;
    (void)state;
    OK(sl_runtime_create(NULL, &runtime, error));
    options.path = join(path, "made");
    options.sync = SL_STORE_SYNC_ASYNC;
    options.sync_interval_ms = 1;
    OK(sl_store_create(runtime, &options, &store, error));
    testing_put(testing_table(store, "t", SL_TABLE_SET), 1, 2);
    OK(sl__runtime_directory(runtime, &directory, error));
    OK(sl__store_path(directory, "store", &link, error));
    assert_int_equal(access(join(link, "data.mdb"), F_OK), 0);
    sl_store_destroy(store);
    assert_int_equal(access(link, F_OK), -1);
    free(link);
    sl_runtime_destroy(runtime);
    store = testing_store(join(path, "made"), NULL);
    OK(sl_table_open(store, "t", NULL, &table, error));
    assert_int_equal(testing_get(table, 1), 2);
    OK(sl_store_sync(store, error));
    sl_store_destroy(store);
    testing_remove(path);
}

static void options_are_checked(void **state) {
    char *path = testing_directory();
    struct sl_store *store;
    (void)state;
#define WRONG(member, value, text)                                                          \
    do {                                                                                    \
        struct sl_store_options options = SL_STORE_OPTIONS_INIT;                            \
        options.path = path;                                                                \
        options.member = value;                                                             \
        FAILS(sl_store_create(NULL, &options, &store, error), SL_E_INVALID_ARGUMENT, text); \
    } while (0)
    WRONG(name, "", "the name is \"\"");
    WRONG(name, "../x", "the name is");
    WRONG(name, NULL, "the name is");
    WRONG(bytes_max, 1000, "bytes_max is 1000; expected 1048576 to");
    WRONG(tables_max, 0, "tables_max is 0");
    WRONG(readers_max, 1, "readers_max is 1");
    WRONG(change_bytes, 1, "change_bytes is 1");
    WRONG(snapshot_warn_ms, 1, "snapshot_warn_ms is 1");
    WRONG(sync, (enum sl_store_sync)7, "sync is 7");
    WRONG(path, NULL, "without a runtime needs a path");
    WRONG(size, 3, "SL_STORE_OPTIONS_INIT");
#undef WRONG
    assert_int_equal(access(join(path, "data.mdb"), F_OK), -1);
    testing_remove(path);
}

static void one_path_is_opened_once(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_store *store = testing_store(path, NULL), *second;
    struct sl__reader *reader;
    int wanted[2], status;
    char text[512] = "";
    (void)state;
    options.path = path;
    FAILS(sl_store_create(NULL, &options, &second, error), SL_E_INVALID_ARGUMENT, "this process has the store");
    FAILS(sl__reader_attach(path, &reader, error), SL_E_INVALID_ARGUMENT, "this process writes the store");
    assert_int_equal(pipe(wanted), 0);
    pid_t child = testing_fork();
    if (child == 0) {
        struct sl_error refusal = SL_ERROR_INIT;
        bool refused = sl_store_create(NULL, &options, &second, &refusal) == SL_E_INVALID_ARGUMENT;
        size_t size = strlen(refusal.message);
        _exit(refused && write(wanted[1], refusal.message, size) == (ssize_t)size ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(read(wanted[0], text, sizeof(text) - 1) > 0);
    char expected[64];
    snprintf(expected, sizeof(expected), "process %d has the store", (int)getpid());
    assert_non_null(strstr(text, expected));
    close(wanted[0]);
    close(wanted[1]);
    sl_store_destroy(store);
    testing_remove(path);
}

static void a_forked_child_is_refused_and_harms_nothing(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct sl_snapshot *snapshot;
    int status;
    (void)state;
    testing_put(table, 1, 2);
    OK(sl_snapshot_begin(store, &snapshot, error));
    pid_t child = testing_fork();
    if (child == 0) {
        struct sl_writer writer;
        struct sl_value value;
        struct sl_key memory;
        struct sl_transaction *transaction;
        sl_writer_init(&writer, NULL);
        bool refused = sl_table_get(table, sl_key_int(&memory, 1), &writer, &value, NULL) == SL_E_CLOSED;
        refused &= sl_table_put(table, key_of(1), key_of(1), NULL, NULL) == SL_E_CLOSED;
        refused &= sl_transaction_begin(store, &transaction, NULL) == SL_E_CLOSED;
        refused &= sl_snapshot_get(snapshot, table, key_of(1), &value, NULL) == SL_E_CLOSED;
        sl_snapshot_end(snapshot);
        sl_store_destroy(store);
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sl_snapshot_end(snapshot);
    testing_put(table, 2, 3);
    assert_int_equal(testing_get(table, 2), 3);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- what is at the path is no store ---------------------------------------------------------------------------- */

static enum sl_code try_open(const char *path, bool read_only, struct sl_error *error) {
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_store *store = NULL;
    options.path = path;
    options.read_only = read_only;
    enum sl_code code = sl_store_create(NULL, &options, &store, error);
    sl_store_destroy(store);
    return code;
}

static void write_file(const char *path, const void *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void damaged_files_are_refused_and_left_alone(void **state) {
    char *path = testing_directory();
    char garbage[8192];
    struct stat status;
    (void)state;
    FAILS(try_open(path, true, error), SL_E_NOT_FOUND, "there is no store");
    FAILS(try_open(join(path, "nowhere"), true, error), SL_E_NOT_FOUND, "nowhere");
    memset(garbage, 'g', sizeof(garbage));
    write_file(join(path, "data.mdb"), garbage, sizeof(garbage));
    FAILS(try_open(path, false, error), SL_E_INVALID_DATA, "is not the file of a store, or is damaged at its start");
    FAILS(try_open(path, true, error), SL_E_INVALID_DATA, "is not the file of a store");
    write_file(join(path, "data.mdb"), garbage, 10);
    FAILS(try_open(path, false, error), SL_E_INVALID_DATA, "is not the file of a store");
    assert_int_equal(stat(join(path, "data.mdb"), &status), 0);
    assert_int_equal(status.st_size, 10);
    unlink(join(path, "data.mdb"));

    /* One that is cut off: what it says of itself is whole, its rows are not. */
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    for (int i = 0; i < 1000; i++) {
        testing_put(table, i, i);
    }
    sl_store_destroy(store);
    assert_int_equal(truncate(join(path, "data.mdb"), 8 * 4096), 0);
    FAILS(try_open(path, false, error), SL_E_INVALID_DATA, "is cut off");
    FAILS(try_open(path, true, error), SL_E_INVALID_DATA, "is cut off");
    testing_remove(path);
}

static void other_databases_and_layouts_are_refused(void **state) {
    char *path = testing_directory();
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    (void)state;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    char bytes[] = "abc";
    MDB_val key = {3, bytes}, value = {3, bytes};
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    FAILS(try_open(path, false, error), SL_E_INVALID_DATA, "an LMDB database that is no store");
    FAILS(try_open(path, true, error), SL_E_INVALID_DATA, "an LMDB database that is no store");
    testing_remove(path);

    path = testing_directory();
    sl_store_destroy(testing_store(path, NULL));
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    uint8_t meta_key[5] = {0}, record[24];
    key = (MDB_val){5, meta_key};
    assert_int_equal(mdb_get(txn, dbi, &key, &value), 0);
    assert_int_equal(value.mv_size, sizeof(record));
    memcpy(record, value.mv_data, sizeof(record));
    record[8] = 99; /* the layout */
    value = (MDB_val){sizeof(record), record};
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    FAILS(try_open(path, false, error), SL_E_VERSION, "has layout 99 and this library knows layout 1");
    FAILS(try_open(path, true, error), SL_E_VERSION, "has layout 99");
    testing_remove(path);
}

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
    assert_int_equal(size_of(set), 0);
    assert_int_equal(testing_get(set, 5), -1);
    testing_put(set, 5, 6);
    OK(sl_table_drop(bag, error));
    FAILS(sl_table_size(bag, &(uint64_t){0}, error), SL_E_NOT_FOUND, "no table \"bag\"");
    FAILS(sl_table_put(bag, key_of(1), key_of(1), NULL, error), SL_E_NOT_FOUND, "no table \"bag\"");
    FAILS(sl_table_drop(bag, error), SL_E_NOT_FOUND, "no table");
    /* The same handle, another table. */
    assert_ptr_equal(testing_table(store, "bag", SL_TABLE_SET), bag);
    assert_int_equal(size_of(bag), 0);
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
    FAILS(sl_table_put(table, sl_key_str(&memory, text), key_of(1), NULL, error), SL_E_INVALID_ARGUMENT, "no value");
    text[489] = '\0';
    FAILS(sl_table_put(table, sl_key_str(&memory, text), key_of(1), NULL, error), SL_E_LIMIT, "at most 490");
    FAILS(sl_table_put(table, key_of(1), (struct sl_value){NULL, 0}, NULL, error), SL_E_INVALID_ARGUMENT, "value");
    FAILS(sl_table_put(table, key_of(1), (struct sl_value){(const uint8_t *)"\xc1", 1}, NULL, error), SL_E_INVALID_DATA,
          "");
    uint64_t shape[] = {1};
    sl__write_buffer_array(&writer, 1, 0, SL_DTYPE_U8, 1, shape);
    FAILS(sl_table_put(table, key_of(1), testing_end(&writer), NULL, error), SL_E_INVALID_ARGUMENT, "shared buffer");
    sl_writer_reset(&writer);
    sl__write_mark(&writer, &(struct sl_mark){SL_MARK_SKIP, "b", 1, {NULL, 0}});
    FAILS(sl_table_put(table, key_of(1), testing_end(&writer), NULL, error), SL_E_INVALID_ARGUMENT, "mark");
    struct sl_put_options options = SL_PUT_OPTIONS_INIT;
    options.ttl_ms = UINT64_MAX - 1;
    FAILS(sl_table_put(table, key_of(1), key_of(1), &options, error), SL_E_INVALID_ARGUMENT, "ttl_ms");
    FAILS(sl_table_put(NULL, key_of(1), key_of(1), NULL, error), SL_E_INVALID_ARGUMENT, "`table` is NULL");
    assert_int_equal(size_of(table), 0);
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
    FAILS(sl_table_put(write->table, key_of(1), key_of(1), NULL, error), SL_E_INVALID_ARGUMENT, "write through it");
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
    OK(sl_transaction_put(transaction, table, key_of(2), key_of(20), NULL, error));
    OK(sl_transaction_increment(transaction, table, key_of(1), 5, NULL, error));
    OK(sl_transaction_delete(transaction, table, key_of(2), NULL, error));
    OK(sl_transaction_delete(transaction, table, key_of(99), NULL, error));
    OK(sl_transaction_commit(transaction, error));
    assert_string_equal(journal.text, "+1=10 +2=20 +1=15 -2=20 ");
    FAILS(sl_table_put(table, key_of(3), key_of(666), NULL, error), SL_E_SINK, "the database says no");
    assert_int_equal(testing_get(table, 3), -1);
    /* One refusal takes its whole transaction with it, of all tables. */
    OK(sl_transaction_begin(store, &transaction, error));
    OK(sl_transaction_put(transaction, bag, key_of(1), key_of(1), NULL, error));
    FAILS(sl_transaction_put(transaction, table, key_of(3), key_of(666), NULL, error), SL_E_SINK,
          "the database says no");
    FAILS(sl_transaction_put(transaction, table, key_of(3), key_of(1), NULL, error), SL_E_SINK, "the database says no");
    FAILS(sl_transaction_commit(transaction, error), SL_E_SINK, "the database says no");
    assert_int_equal(size_of(bag), 0);
    assert_int_equal(size_of(table), 1);
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
    FAILS(sl_table_put(table, key_of(1), key_of(1), NULL, error), SL_E_INVALID_ARGUMENT, "has a transaction open");
    OK(sl_transaction_put(transaction, table, key_of(1), key_of(INT64_MAX), NULL, error));
    FAILS(sl_transaction_put(transaction, table, (struct sl_value){NULL, 0}, key_of(1), NULL, error),
          SL_E_INVALID_ARGUMENT, "no value");
    FAILS(sl_transaction_increment(transaction, table, key_of(1), 1, &number, error), SL_E_RANGE, "64 bits");
    assert_int_equal(sl_transaction_get(transaction, table, key_of(2), &value, NULL), SL_E_NOT_FOUND);
    OK(sl_transaction_get(transaction, table, key_of(1), &value, error));
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

struct numbers {
    int64_t next, end;
    int64_t fail_at;
    struct sl_key key, value;
};

static enum sl_code give_number(void *context, struct sl_row *row, struct sl_error *error) {
    struct numbers *numbers = context;
    if (numbers->next == numbers->fail_at) {
        return sl_error_set(error, SL_E_SOURCE, "the source has failed");
    }
    if (numbers->next == numbers->end) {
        return SL_E_END;
    }
    row->key = sl_key_int(&numbers->key, numbers->next);
    row->value = sl_key_int(&numbers->value, numbers->next * 2);
    numbers->next++;
    return SL_OK;
}

static void bulk_inserts_and_reloads_are_whole_or_not_at_all(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    uint64_t count = 0;
    (void)state;
    testing_put(table, -1, 7);
    struct numbers numbers = {0, 10000, 9999};
    FAILS(sl_table_bulk_insert(table, give_number, &numbers, &count, error), SL_E_SOURCE, "the source has failed");
    assert_int_equal(size_of(table), 1);
    numbers = (struct numbers){0, 10000, 9999};
    FAILS(sl_table_reload(table, give_number, &numbers, &count, error), SL_E_SOURCE, "the source has failed");
    assert_int_equal(size_of(table), 1);
    assert_int_equal(testing_get(table, -1), 7);
    numbers = (struct numbers){0, 10000, -1};
    OK(sl_table_bulk_insert(table, give_number, &numbers, &count, error));
    assert_int_equal(count, 10000);
    assert_int_equal(size_of(table), 10001);
    numbers = (struct numbers){5000, 20000, -1};
    OK(sl_table_reload(table, give_number, &numbers, &count, error));
    assert_int_equal(count, 15000);
    assert_int_equal(size_of(table), 15000);
    assert_int_equal(testing_get(table, -1), -1);
    assert_int_equal(testing_get(table, 4999), -1);
    assert_int_equal(testing_get(table, 19999), 2 * 19999);
    struct sl_row rows[] = {{key_of(1), key_of(2)}, {key_of(3), (struct sl_value){NULL, 0}}};
    FAILS(sl_table_put_many(table, rows, 2, NULL, error), SL_E_INVALID_ARGUMENT, "value");
    assert_int_equal(testing_get(table, 1), -1);
    rows[1].value = key_of(4);
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
    assert_int_equal(size_of(table), 1);
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
    OK(sl_table_put(table, key_of(1000), key_of(1), &put, error));
    put.ttl_ms = 1000;
    OK(sl_table_put(table, key_of(1001), key_of(1), &put, error));
    now_ns += 99 * UINT64_C(1000000);
    assert_int_equal(testing_get(table, 5), 5);
    testing_put(table, 5, 55); /* lives on */
    now_ns += 1 * UINT64_C(1000000);
    assert_int_equal(testing_get(table, 4), -1);
    assert_int_equal(testing_get(table, 5), 55);
    assert_int_equal(testing_get(table, 1000), 1);
    OK(sl_table_contains(table, key_of(4), &contains, error));
    assert_false(contains);
    /* A row that has expired is not there for who writes either, though it was not swept. */
    OK(sl_table_put_if_absent(table, key_of(4), key_of(44), NULL, &inserted, error));
    assert_true(inserted);
    /* That write has swept some, and no more than it should. */
    uint64_t left = size_of(table);
    assert_int_equal(left, 102 - 16);
    OK(sl_store_sweep(store, 10, &removed, error));
    assert_int_equal(removed, 10);
    OK(sl_store_sweep(store, UINT64_MAX, &removed, error));
    assert_int_equal(size_of(table), 4); /* 4, 5, 1000, 1001 */
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
    FAILS(sl_table_put(refuses, key_of(3), key_of(3), NULL, error), SL_E_LIMIT, "has 3 rows and max_entries is 3");
    testing_put(refuses, 2, 22);
    OK(sl_table_delete(refuses, key_of(0), NULL, error));
    testing_put(refuses, 3, 3);
    testing_put(evicts, 9, 99); /* replaced: as old as before */
    testing_put(evicts, 1, 1);
    assert_int_equal(testing_get(evicts, 9), -1);
    assert_int_equal(testing_get(evicts, 8), 1);
    assert_int_equal(size_of(evicts), 3);
    OK(sl_table_delete(evicts, key_of(8), NULL, error));
    testing_put(evicts, 2, 2);
    assert_int_equal(testing_get(evicts, 7), 2);
    options.max_entries = 1;
    OK(sl_table_open(store, "evicts", &options, &evicts, error));
    testing_put(evicts, 3, 3);
    assert_int_equal(size_of(evicts), 1);
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
    while ((code = sl_table_put(table, key_of(count), value, NULL, &last)) == SL_OK) {
        count++;
        assert_true(count < 2000);
    }
    assert_int_equal(code, SL_E_LIMIT);
    assert_non_null(strstr(last.message, "is full"));
    assert_true(count > 500);
    assert_int_equal(size_of(table), count);
    /* Again, and nothing of it has happened. */
    FAILS(sl_table_put(table, key_of(count), value, NULL, error), SL_E_LIMIT, "is full");
    assert_int_equal(size_of(table), count);
    for (int64_t i = 0; i < count; i++) {
        OK(sl_table_delete(table, key_of(i), NULL, error));
    }
    for (int64_t i = 0; i < count; i++) {
        OK(sl_table_put(table, key_of(i), value, NULL, error));
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
        code = sl_table_put(table, key_of(1), key_of(i), NULL, &last);
    }
    assert_int_equal(code, SL_E_LIMIT);
    char expected[64];
    snprintf(expected, sizeof(expected), "process %d (this one) reads version", (int)getpid());
    if (strstr(last.message, expected) == NULL) {
        fail_msg("%s", last.message);
    }
    OK(sl_snapshot_get(snapshot, table, key_of(1), &seen, error));
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

/* ---- reading from another process ------------------------------------------------------------------------------- */

static enum sl_code child_reads(const char *path, int in, int out) {
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_store *store;
    struct sl_table *table;
    struct sl_watch *watch;
    struct sl_change change = SL_CHANGE_INIT;
    char byte;
    options.path = path;
    options.read_only = true;
    OK(sl_store_create(NULL, &options, &store, error));
    OK(sl_table_open(store, "t", NULL, &table, error));
    assert_int_equal(testing_get(table, 1), 2);
    FAILS(sl_table_put(table, key_of(1), key_of(2), NULL, error), SL_E_UNSUPPORTED, "read-only");
    OK(sl_watch_create(store, NULL, &watch, error));
    assert_int_equal(write(out, "w", 1), 1);
    OK(sl_watch_next(watch, 10000, &change, error));
    assert_int_equal(change.kind, SL_CHANGE_PUT);
    assert_ptr_equal(change.table, table);
    assert_int_equal(testing_get(table, 1), 3);
    assert_int_equal(write(out, "r", 1), 1);
    OK(sl_watch_next(watch, 10000, &change, error));
    assert_int_equal(change.kind, SL_CHANGE_TABLE);
    assert_int_equal(testing_get(table, 1), -1);
    assert_int_equal(testing_get(table, 150), 300);
    assert_int_equal(write(out, "c", 1), 1);
    FAILS(sl_watch_next(watch, 10000, &change, error), SL_E_CLOSED, "has closed it");
    assert_int_equal(read(in, &byte, 1), 1); /* another writer has come and gone */
    assert_int_equal(testing_get(table, 150), -1);
    assert_int_equal(testing_get(table, 77), 154);
    sl_watch_destroy(watch);
    sl_store_destroy(store);
    return SL_OK;
}

static void another_process_reads_and_watches(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct numbers numbers = {100, 200, -1};
    int up[2], down[2], status;
    char byte;
    (void)state;
    testing_put(table, 1, 2);
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    pid_t child = testing_fork();
    if (child == 0) {
        close(up[0]);
        close(down[1]);
        _exit(child_reads(path, down[0], up[1]) == SL_OK ? 0 : 1);
    }
    close(up[1]);
    assert_int_equal(read(up[0], &byte, 1), 1);
    testing_put(table, 1, 3);
    assert_int_equal(read(up[0], &byte, 1), 1);
    OK(sl_table_reload(table, give_number, &numbers, NULL, error));
    assert_int_equal(read(up[0], &byte, 1), 1);
    sl_store_destroy(store);
    store = testing_store(path, NULL);
    table = testing_table(store, "t", SL_TABLE_SET);
    numbers = (struct numbers){50, 90, -1};
    OK(sl_table_reload(table, give_number, &numbers, NULL, error));
    sl_store_destroy(store);
    assert_int_equal(write(down[1], "g", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(up[0]);
    close(down[0]);
    close(down[1]);
    testing_remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_in_memory_is_gone_with_its_runtime),
        cmocka_unit_test(a_durable_store_is_there_again),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(one_path_is_opened_once),
        cmocka_unit_test(a_forked_child_is_refused_and_harms_nothing),
        cmocka_unit_test(damaged_files_are_refused_and_left_alone),
        cmocka_unit_test(other_databases_and_layouts_are_refused),
        cmocka_unit_test(tables_are_made_found_cleared_and_dropped),
        cmocka_unit_test(what_cannot_be_stored_is_refused),
        cmocka_unit_test(a_hook_sees_writes_in_order_and_may_refuse_them),
        cmocka_unit_test(errors_of_the_call_leave_a_transaction_usable),
        cmocka_unit_test(bulk_inserts_and_reloads_are_whole_or_not_at_all),
        cmocka_unit_test(what_a_reload_that_was_killed_has_left_is_removed),
        cmocka_unit_test(rows_expire_and_are_swept),
        cmocka_unit_test(max_entries_refuses_or_evicts_the_oldest),
        cmocka_unit_test(a_full_store_says_so_and_can_be_emptied),
        cmocka_unit_test(a_map_that_old_snapshots_fill_names_who_reads),
        cmocka_unit_test(readers_that_died_do_not_fill_the_map),
        cmocka_unit_test(another_process_reads_and_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
