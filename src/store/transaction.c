/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "environment.h"
#include "inside.h"
#include "sys/process.h"

enum sl_code sl__store_usable(const struct sl_store *store, const char *function, struct sl_error *error) {
    if (store == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: a handle is NULL", function);
    }
    if (sl__reader_foreign(store->reader)) {
        return sl_error_set(error, SL_E_CLOSED,
                            "%s: this process was forked from the one that opened the store; open it here", function);
    }
    return SL_OK;
}

enum sl_code sl__store_writable(const struct sl_store *store, const char *function, struct sl_error *error) {
    enum sl_code code = sl__store_usable(store, function, error);
    if (code == SL_OK && store->read_only) {
        code = sl_error_set(error, SL_E_UNSUPPORTED, "%s: the store was opened read-only", function);
    }
    return code;
}

#define CROWDED_PART 4          /* with less than this part of the map unused so far, dead readers are looked for, */
#define CROWDED_TRANSACTIONS 16 /* once in so many transactions */

/* ---- begin and end ---------------------------------------------------------------------------------------------- */

static void take_lock(struct sl_store *store) {
    if (pthread_mutex_trylock(&store->write_lock) != 0) {
        atomic_fetch_add_explicit(&store->writers_waiting, 1, memory_order_relaxed);
        pthread_mutex_lock(&store->write_lock);
        atomic_fetch_sub_explicit(&store->writers_waiting, 1, memory_order_relaxed);
    }
    atomic_store_explicit(&store->writer, (uintptr_t)pthread_self(), memory_order_relaxed);
}

static void give_lock(struct sl_store *store) {
    atomic_store_explicit(&store->writer, 0, memory_order_relaxed);
    pthread_mutex_unlock(&store->write_lock);
}

/* Pages that hold rows, indexes and catalog just now, within the transaction. */
static uint64_t live_pages(const struct sl_transaction *transaction) {
    MDB_stat stat;
    if (mdb_stat(transaction->txn, SL__ROWS, &stat) != 0) {
        return 0;
    }
    return (uint64_t)stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

/*
 * In a map that is nearly full, lets go of what readers hold that have died, now and then. When a put fails because it is full it is too late: LMDB gives
 * the transaction up.
 */
static void make_room(struct sl_store *store) {
    MDB_envinfo info;
    if (mdb_env_info(store->env, &info) != 0 ||
        (uint64_t)info.me_last_pgno * store->page_size < info.me_mapsize - info.me_mapsize / CROWDED_PART) {
        return;
    }
    if (store->crowded_count++ % CROWDED_TRANSACTIONS == 0) {
        int dead;
        (void)mdb_reader_check(store->env, &dead);
    }
}

enum sl_code sl_transaction_begin(struct sl_store *store, struct sl_transaction **out, struct sl_error *error) {
    if (out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_transaction_begin: `transaction` is NULL");
    }
    *out = NULL;
    enum sl_code code = sl__store_writable(store, "sl_transaction_begin", error);
    if (code != SL_OK) {
        return code;
    }
    if (atomic_load_explicit(&store->writer, memory_order_relaxed) == (uintptr_t)pthread_self()) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "this thread has a transaction open, or is within a hook or update of one; write through it");
    }
    take_lock(store);
    make_room(store);
    struct sl_transaction *transaction = &store->transaction;
    int number = mdb_txn_begin(store->env, NULL, 0, &transaction->txn);
    if (number != 0) {
        code = sl__lmdb_error(error, number, "cannot begin a transaction");
        give_lock(store);
        return code;
    }
    transaction->touched = NULL;
    transaction->meta = store->meta;
    transaction->meta_dirty = transaction->wrote = transaction->catalog_changed = transaction->map_full = false;
    transaction->hook_running = transaction->swept = false;
    transaction->broken = SL_OK;
    transaction->now_ns = 0;
    transaction->expired_count = transaction->evicted_count = 0;
    transaction->next_expiry_ns = UINT64_MAX;
    transaction->live_pages = live_pages(transaction);
    *out = transaction;
    return SL_OK;
}

/* Forgets what the tables were to be. */
static void let_go(struct sl_transaction *transaction, bool committed) {
    struct sl_table *next;
    for (struct sl_table *table = transaction->touched; table != NULL; table = next) {
        next = table->touched_next;
        if (committed) {
            table->committed = table->record;
        }
        table->touched = table->dirty = false;
    }
    transaction->touched = NULL;
    transaction->txn = NULL;
    transaction->changes.count = 0;
    transaction->changes.overflow = false;
}

void sl_transaction_abort(struct sl_transaction *transaction) {
    if (transaction == NULL || sl__reader_foreign(transaction->store->reader)) {
        return;
    }
    SL_ASSERT(atomic_load(&transaction->store->writer) == (uintptr_t)pthread_self());
    mdb_txn_abort(transaction->txn);
    let_go(transaction, false);
    sl_error_finish(&transaction->error);
    give_lock(transaction->store);
}

static enum sl_code write_records(struct sl_transaction *transaction, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_val key = {0, bytes}, value;
    int number = 0;
    for (struct sl_table *table = transaction->touched; table != NULL && number == 0; table = table->touched_next) {
        if (!table->dirty || table->is_shadow) {
            continue;
        }
        key.mv_size = sl__table_key(bytes, table->name->name, table->name->size);
        if (table->record.id == 0) {
            number = mdb_del(transaction->txn, SL__ROWS, &key, NULL);
            number = number == MDB_NOTFOUND ? 0 : number;
            continue;
        }
        value = (MDB_val){sizeof(table->record), &table->record};
        number = mdb_put(transaction->txn, SL__ROWS, &key, &value, 0);
    }
    if (number == 0 && transaction->meta_dirty) {
        key.mv_size = sl__meta_key(bytes);
        value = (MDB_val){sizeof(transaction->meta), &transaction->meta};
        number = mdb_put(transaction->txn, SL__ROWS, &key, &value, 0);
    }
    return number == 0 ? SL_OK : sl__transaction_fail(transaction, number, "cannot write the catalog", error);
}

static enum sl_code commit(struct sl_transaction *transaction, struct sl_error *error) {
    struct sl_store *store = transaction->store;
    uint64_t version = mdb_txn_id(transaction->txn);
    uint64_t catalog_version = atomic_load(&store->control->catalog_version);
    if (transaction->catalog_changed) {
        atomic_store(&store->control->catalog_version, version); /* before readers can see it: see control.h */
    }
    int number = mdb_txn_commit(transaction->txn);
    if (number != 0) {
        atomic_store(&store->control->catalog_version, catalog_version);
        return sl__transaction_fail(transaction, number, "cannot commit", error);
    }
    if (transaction->meta_dirty) {
        store->meta = transaction->meta;
    }
    if (transaction->swept || transaction->next_expiry_ns < store->next_expiry_ns) {
        store->next_expiry_ns = transaction->next_expiry_ns;
    }
    for (struct sl_table *table = transaction->touched; table != NULL; table = table->touched_next) {
        if (table->record.number != 0 && !table->is_shadow) {
            /* Before the changes that name it are seen. */
            atomic_store_explicit(&table->number, table->record.number, memory_order_release);
        }
    }
    sl__control_publish(store->control, version, &transaction->changes);
    atomic_fetch_add_explicit(&store->commit_count, 1, memory_order_relaxed);
    if (transaction->expired_count > 0 || transaction->evicted_count > 0) {
        atomic_fetch_add_explicit(&store->expired_count, transaction->expired_count, memory_order_relaxed);
        atomic_fetch_add_explicit(&store->evicted_count, transaction->evicted_count, memory_order_relaxed);
    }
    return SL_OK;
}

/* `map_full` is written while the lock is still held. */
static enum sl_code finish(struct sl_transaction *transaction, bool *map_full, struct sl_error *error) {
    struct sl_store *store = transaction->store;
    enum sl_code code = SL_OK;
    *map_full = transaction->map_full;
    if (transaction->broken != SL_OK) {
        code = transaction->broken;
        if (error != NULL) {
            sl_error_copy(error, &transaction->error);
        }
        sl_transaction_abort(transaction);
        return code;
    }
    if (!transaction->wrote) {
        sl_transaction_abort(transaction);
        return SL_OK;
    }
    if (store->next_expiry_ns != UINT64_MAX && store->next_expiry_ns <= sl__transaction_now(transaction)) {
        code = sl__rows_sweep(transaction, SL__SWEEP_ROWS, NULL, error);
    }
    if (code == SL_OK) {
        code = write_records(transaction, error);
    }
    if (code != SL_OK) {
        *map_full = transaction->map_full;
        sl_transaction_abort(transaction);
        return code;
    }
    struct sl__write_told told = {.wanted = sl__telemetry_wants(store->telemetry, SL__TELEMETRY_STORE_WRITE)};
    if (told.wanted) {
        sl__store_note_write(transaction, &told);
    }
    code = commit(transaction, error); /* LMDB has ended the transaction, whatever came of it */
    *map_full = transaction->map_full;
    let_go(transaction, code == SL_OK);
    sl_error_finish(&transaction->error);
    give_lock(store);
    if (code == SL_OK) {
        sl__service_notice(store);
    }
    if (told.wanted && code == SL_OK) {
        sl__store_tell_write(store, &told);
    }
    return code;
}

enum sl_code sl_transaction_commit(struct sl_transaction *transaction, struct sl_error *error) {
    bool map_full;
    if (transaction == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_transaction_commit: `transaction` is NULL");
    }
    enum sl_code code = sl__store_usable(transaction->store, "sl_transaction_commit", error);
    if (code == SL_OK && atomic_load(&transaction->store->writer) != (uintptr_t)pthread_self()) {
        code = sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_transaction_commit: the transaction is over, or another thread's");
    }
    return code == SL_OK ? finish(transaction, &map_full, error) : code;
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

enum sl_code sl__transaction_break(struct sl_transaction *transaction, enum sl_code code, struct sl_error *error) {
    transaction->broken = code;
    if (error != NULL) {
        sl_error_copy(&transaction->error, error);
    } else {
        (void)sl_error_set(&transaction->error, code, "an earlier write of the transaction failed: %s",
                           sl_code_text(code));
    }
    return code;
}

static enum sl_code say_map_full(struct sl_transaction *transaction, const char *what, struct sl_error *error) {
    struct sl_store *store = transaction->store;
    struct sl__old_reader oldest = sl__environment_oldest(store->env);
    uint64_t version = atomic_load(&store->control->version);
    transaction->map_full = true;
    if (oldest.pid != 0 && oldest.version < version) {
        bool own = oldest.pid == sl__process_id();
        return sl_error_set(error, SL_E_LIMIT,
                            "%s: the store \"%s\" is full (bytes_max is %llu): process %lld%s reads version %llu, %llu "
                            "versions ago, and none of the pages replaced since can be used again; end that snapshot",
                            what, store->name, (unsigned long long)store->bytes_max, (long long)oldest.pid,
                            own ? " (this one)" : "", (unsigned long long)oldest.version,
                            (unsigned long long)(version - oldest.version));
    }
    return sl_error_set(error, SL_E_LIMIT, "%s: the store \"%s\" is full (bytes_max is %llu); delete rows or raise it",
                        what, store->name, (unsigned long long)store->bytes_max);
}

enum sl_code sl__transaction_fail(struct sl_transaction *transaction, int number, const char *what,
                                  struct sl_error *error) {
    struct sl_error local;
    sl__error_init(&local);
    struct sl_error *at = error != NULL ? error : &local;
    enum sl_code code = number == MDB_MAP_FULL ? say_map_full(transaction, what, at) : sl__lmdb_error(at, number, what);
    code = sl__transaction_break(transaction, code, at);
    sl_error_finish(&local);
    return code;
}

enum sl_code sl__transaction_room(struct sl_transaction *transaction, struct sl_error *error) {
    struct sl_store *store = transaction->store;
    uint64_t live = live_pages(transaction);
    if (live * store->page_size <= store->bytes_max || live <= transaction->live_pages) {
        return SL_OK;
    }
    struct sl_error local;
    sl__error_init(&local);
    struct sl_error *at = error != NULL ? error : &local;
    (void)sl_error_set(
        at, SL_E_LIMIT,
        "the store \"%s\" is full: its rows would take %llu bytes and bytes_max is %llu; delete rows or raise it",
        store->name, (unsigned long long)(live * store->page_size), (unsigned long long)store->bytes_max);
    enum sl_code code = sl__transaction_break(transaction, SL_E_LIMIT, at);
    sl_error_finish(&local);
    return code;
}

/* ---- within ----------------------------------------------------------------------------------------------------- */

void sl__transaction_touch(struct sl_transaction *transaction, struct sl_table *table) {
    if (!table->touched) {
        table->record = table->committed;
        table->touched = true;
        table->dirty = false;
        table->touched_next = transaction->touched;
        transaction->touched = table;
    }
}

uint64_t sl__transaction_now(struct sl_transaction *transaction) {
    if (transaction->now_ns == 0) {
        transaction->now_ns = transaction->store->reader->wall_ns();
    }
    return transaction->now_ns;
}

enum sl_code sl__catalog_doom(struct sl_transaction *transaction, uint32_t id, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_val key = {sl__doomed_key(bytes, id), bytes}, value = {0, NULL};
    int number = mdb_put(transaction->txn, SL__ROWS, &key, &value, 0);
    transaction->wrote = true;
    return number == 0 ? SL_OK : sl__transaction_fail(transaction, number, "cannot write the catalog", error);
}

enum sl_code sl__catalog_spare(struct sl_transaction *transaction, uint32_t id, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_val key = {sl__doomed_key(bytes, id), bytes};
    int number = mdb_del(transaction->txn, SL__ROWS, &key, NULL);
    transaction->wrote = true;
    return number == 0 || number == MDB_NOTFOUND
               ? SL_OK
               : sl__transaction_fail(transaction, number, "cannot write the catalog", error);
}

enum sl_code sl__write_once(struct sl_store *store, const char *function, sl__write_body *body, void *context,
                            struct sl_error *error) {
    enum sl_code code = sl__store_writable(store, function, error);
    for (int attempt = 0; code == SL_OK; attempt++) {
        struct sl_transaction *transaction;
        code = sl_transaction_begin(store, &transaction, error);
        if (code != SL_OK) {
            break;
        }
        bool map_full;
        code = body(transaction, context, error);
        if (code == SL_OK) {
            code = finish(transaction, &map_full, error);
        } else {
            map_full = transaction->map_full;
            sl_transaction_abort(transaction);
        }
        int dead = 0;
        if (code != SL_E_LIMIT || !map_full || attempt > 0 || mdb_reader_check(store->env, &dead) != 0 || dead == 0) {
            break;
        }
        code = SL_OK;
    }
    return code;
}
