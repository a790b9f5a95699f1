/* SPDX-License-Identifier: MIT */
/* Opening a store, here and in another process, and what may be wrong with what is there. */
#include "store_testing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <lmdb.h>
#include <slither/runtime.h>

#include "loop/runtime.h"
#include "store/reader.h"
#include "store/store.h"
#include "wire/writer.h"

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
        refused &= sl_table_put(table, testing_key(1), testing_key(1), NULL, NULL) == SL_E_CLOSED;
        refused &= sl_transaction_begin(store, &transaction, NULL) == SL_E_CLOSED;
        refused &= sl_snapshot_get(snapshot, table, testing_key(1), &value, NULL) == SL_E_CLOSED;
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
    FAILS(sl_table_put(table, testing_key(1), testing_key(2), NULL, error), SL_E_UNSUPPORTED, "read-only");
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
    struct testing_numbers numbers = {100, 200, -1};
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
    OK(sl_table_reload(table, testing_give_number, &numbers, NULL, error));
    assert_int_equal(read(up[0], &byte, 1), 1);
    sl_store_destroy(store);
    store = testing_store(path, NULL);
    table = testing_table(store, "t", SL_TABLE_SET);
    numbers = (struct testing_numbers){50, 90, -1};
    OK(sl_table_reload(table, testing_give_number, &numbers, NULL, error));
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
        cmocka_unit_test(another_process_reads_and_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
