/* SPDX-License-Identifier: MIT */
#include "store_testing.h"

#include <pthread.h>

#include "base/array.h"
#include "store/control.h"

static void expect(struct sl_watch *watch, enum sl_change_kind kind, struct sl_table *table, int64_t key) {
    struct sl_change change = SL_CHANGE_INIT;
    int64_t number;
    OK(sl_watch_next(watch, 0, &change, error));
    assert_int_equal(change.kind, kind);
    assert_ptr_equal(change.table, table);
    if (key >= 0) {
        assert_int_equal(sl_value_int(change.key, &number), SL_OK);
        assert_int_equal(number, key);
    } else {
        assert_int_equal(change.key.size, 0);
    }
}

static void expect_nothing(struct sl_watch *watch) {
    struct sl_change change = SL_CHANGE_INIT;
    assert_int_equal(sl_watch_next(watch, 0, &change, NULL), SL_E_TIMEOUT);
}

static void delete_row(struct sl_table *table, int64_t key) {
    struct sl_key memory;
    OK(sl_table_delete(table, sl_key_int(&memory, key), NULL, error));
}

static void changes_come_once_a_key_and_only_what_is_watched(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *a = testing_table(store, "a", SL_TABLE_SET), *b = testing_table(store, "b", SL_TABLE_BAG);
    struct sl_watch_options options = SL_WATCH_OPTIONS_INIT;
    struct sl_watch *all, *table, *key, *prefix;
    struct sl_transaction *transaction;
    struct sl_key memory, value;
    (void)state;
    testing_put(a, 99, 99); /* before anybody watches */
    OK(sl_watch_create(store, NULL, &all, error));
    options.table = a;
    OK(sl_watch_create(store, &options, &table, error));
    options.key = sl_key_int(&memory, 2);
    OK(sl_watch_create(store, &options, &key, error));
    options.key = (struct sl_value){NULL, 0};
    options.prefix = sl_key_str(&memory, "user:");
    OK(sl_watch_create(store, &options, &prefix, error));
    options.table = NULL;
    FAILS(sl_watch_create(store, &options, &(struct sl_watch *){NULL}, error), SL_E_INVALID_ARGUMENT, "needs a table");
    testing_put(a, 1, 1);
    testing_put(b, 2, 2);
    testing_put(a, 2, 2);
    testing_put(a, 1, 3);
    delete_row(a, 2);
    OK(sl_table_put(a, sl_key_str(&memory, "user:7"), sl_key_int(&value, 1), NULL, error));
    OK(sl_table_put(a, sl_key_str(&memory, "used"), sl_key_int(&value, 1), NULL, error));
    expect(table, SL_CHANGE_PUT, a, 1);
    expect(table, SL_CHANGE_DELETE, a, 2);
    expect(key, SL_CHANGE_DELETE, a, 2);
    expect_nothing(key);
    struct sl_change change = SL_CHANGE_INIT;
    OK(sl_watch_next(prefix, 0, &change, error));
    assert_true(sl_value_equal(change.key, sl_key_str(&memory, "user:7")));
    expect_nothing(prefix);
    expect(all, SL_CHANGE_PUT, a, 1);
    expect(all, SL_CHANGE_PUT, b, 2);
    expect(all, SL_CHANGE_DELETE, a, 2);
    /* What is not committed is not told. */
    OK(sl_transaction_begin(store, &transaction, error));
    OK(sl_transaction_put(transaction, a, sl_key_int(&memory, 2), sl_key_int(&value, 5), NULL, error));
    sl_transaction_abort(transaction);
    expect_nothing(key);
    OK(sl_table_clear(a, error));
    expect(key, SL_CHANGE_TABLE, a, -1);
    OK(sl_table_drop(a, error));
    expect(key, SL_CHANGE_TABLE, a, -1);
    assert_ptr_equal(testing_table(store, "a", SL_TABLE_SET), a);
    testing_put(a, 2, 2);
    expect(key, SL_CHANGE_TABLE, a, -1);
    expect(key, SL_CHANGE_PUT, a, 2);
    sl_watch_destroy(all);
    sl_watch_destroy(table);
    sl_watch_destroy(key);
    sl_watch_destroy(prefix);
    sl_store_destroy(store);
    testing_remove(path);
}

static void who_is_too_slow_is_told_to_read_again(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_watch_options watch_options = SL_WATCH_OPTIONS_INIT;
    struct sl_watch *few, *slow;
    struct sl_transaction *transaction;
    (void)state;
    options.change_bytes = 64 * 1024;
    options.sync = SL_STORE_SYNC_NONE;
    struct sl_store *store = testing_store(path, &options);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    watch_options.pending_max = 3;
    OK(sl_watch_create(store, &watch_options, &few, error));
    OK(sl_watch_create(store, NULL, &slow, error));
    for (int i = 0; i < 4; i++) {
        testing_put(table, i, i);
    }
    expect(few, SL_CHANGE_OVERFLOW, NULL, -1);
    expect_nothing(few);
    testing_put(table, 1, 1);
    expect(few, SL_CHANGE_PUT, table, 1);
    for (int i = 0; i < 4; i++) {
        expect(slow, SL_CHANGE_PUT, table, i);
    }
    /* More than the log holds, in small transactions and in one. */
    for (int i = 0; i < 3000; i++) {
        testing_put(table, i, i);
    }
    expect(slow, SL_CHANGE_OVERFLOW, NULL, -1);
    testing_put(table, 7, 7);
    expect(slow, SL_CHANGE_PUT, table, 7);
    OK(sl_transaction_begin(store, &transaction, error));
    for (int i = 0; i < 3000; i++) {
        struct sl_key key, value;
        OK(sl_transaction_put(transaction, table, sl_key_int(&key, i), sl_key_int(&value, 1), NULL, error));
    }
    OK(sl_transaction_commit(transaction, error));
    expect(slow, SL_CHANGE_OVERFLOW, NULL, -1);
    expect_nothing(slow);
    sl_watch_destroy(few);
    sl_watch_destroy(slow);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- functions -------------------------------------------------------------------------------------------------- */

struct listener {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct sl_watch *watch;
    struct sl_table *table, *copies;
    uint32_t count;
    bool overflow;
    bool leaves; /* destroys its watch at the first change */
};

static void copy_row(void *context, const struct sl_change *change) {
    struct listener *listener = context;
    struct sl_key memory;
    int64_t key;
    if (change->kind == SL_CHANGE_PUT && change->table == listener->table) {
        /* Writing is allowed; what it writes is a change too, of another table. */
        assert_int_equal(sl_value_int(change->key, &key), SL_OK);
        OK(sl_table_increment(listener->copies, sl_key_int(&memory, key), 1, NULL, error));
    }
    pthread_mutex_lock(&listener->lock);
    listener->count += change->table == listener->table;
    listener->overflow |= change->kind == SL_CHANGE_OVERFLOW;
    if (listener->leaves) {
        sl_watch_destroy(listener->watch);
        listener->watch = NULL;
    }
    pthread_cond_signal(&listener->came);
    pthread_mutex_unlock(&listener->lock);
}

static void wait_for(struct listener *listener, uint32_t count) {
    pthread_mutex_lock(&listener->lock);
    while (listener->count < count) {
        pthread_cond_wait(&listener->came, &listener->lock);
    }
    pthread_mutex_unlock(&listener->lock);
}

static void functions_are_called_and_may_write_and_leave(void **state) {
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct listener stays = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    struct listener leaves = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER, .leaves = true};
    struct sl_watch_options options = SL_WATCH_OPTIONS_INIT;
    struct sl_change change = SL_CHANGE_INIT;
    (void)state;
    stays.table = leaves.table = testing_table(store, "t", SL_TABLE_SET);
    stays.copies = testing_table(store, "copies", SL_TABLE_SET);
    leaves.copies = testing_table(store, "others", SL_TABLE_SET);
    options.function = copy_row;
    options.context = &stays;
    OK(sl_watch_create(store, &options, &stays.watch, error));
    options.context = &leaves;
    options.table = leaves.table;
    pthread_mutex_lock(&leaves.lock); /* its function waits until `watch` is written */
    OK(sl_watch_create(store, &options, &leaves.watch, error));
    pthread_mutex_unlock(&leaves.lock);
    FAILS(sl_watch_next(stays.watch, 0, &change, error), SL_E_INVALID_ARGUMENT, "has a function");
    for (uint32_t i = 1; i <= 50; i++) {
        testing_put(stays.table, i, i);
        wait_for(&stays, i);
    }
    wait_for(&leaves, 1);
    assert_int_equal(leaves.count, 1);
    assert_false(stays.overflow);
    for (int64_t i = 1; i <= 50; i++) {
        assert_int_equal(testing_get(stays.copies, i), 1);
    }
    sl_watch_destroy(stays.watch);
    testing_put(stays.table, 51, 51);
    assert_int_equal(stays.count, 50);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- the ring --------------------------------------------------------------------------------------------------- */

#define CHANGES 60000

struct follower {
    const struct sl__control *control;
    _Atomic bool done;
};

static void *follow(void *context) {
    struct follower *follower = context;
    const struct sl__control *control = follower->control;
    struct sl__change_record record;
    uint64_t position = 0, seen = 0;
    while (seen < CHANGES) {
        uint32_t bell = atomic_load(&control->bell);
        enum sl_code code = sl__control_next(control, &position, &record);
        if (code == SL_E_AGAIN) {
            sl__control_wait(control, bell, 0);
            continue;
        }
        if (code != SL_OK) {
            continue; /* lost some, and knows it */
        }
        /* Whole: every part of a record says the same. */
        if (record.version <= seen || record.table_number != (uint32_t)record.version ||
            record.key_size != record.version % 100) {
            abort();
        }
        for (uint16_t i = 0; i < record.key_size; i++) {
            if (record.key[i] != (uint8_t)record.version) {
                abort();
            }
        }
        seen = record.version;
    }
    atomic_store(&follower->done, true);
    return NULL;
}

static void followers_of_the_ring_see_whole_records_in_order(void **state) {
    char *path = testing_directory();
    struct sl__control *control;
    struct sl__change_list list = {0};
    struct follower followers[2];
    pthread_t threads[2];
    uint8_t key[100];
    size_t size;
    (void)state;
    OK(sl__control_create(path, 1, 4096, &control, &size, error));
    for (size_t i = 0; i < SL_COUNT_OF(threads); i++) {
        followers[i] = (struct follower){.control = control};
        assert_int_equal(pthread_create(&threads[i], NULL, follow, &followers[i]), 0);
    }
    /* Until both have seen the last that counts, or one after it: that one may be lost to them too. */
    for (uint64_t version = 1; !atomic_load(&followers[0].done) || !atomic_load(&followers[1].done); version++) {
        memset(key, (int)version, sizeof(key));
        sl__change_list_add(&list, control, SL_CHANGE_PUT, (uint32_t)version, key, version % 100);
        sl__control_publish(control, version, &list);
    }
    for (size_t i = 0; i < SL_COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    sl__change_list_finish(&list);
    sl__control_destroy(control, size);
    testing_remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_come_once_a_key_and_only_what_is_watched),
        cmocka_unit_test(who_is_too_slow_is_told_to_read_again),
        cmocka_unit_test(functions_are_called_and_may_write_and_leave),
        cmocka_unit_test(followers_of_the_ring_see_whole_records_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
