/* SPDX-License-Identifier: MIT */
/* The catalog: which tables there are, and where their rows lie. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "environment.h"
#include "inside.h"

/* ---- handles ---------------------------------------------------------------------------------------------------- */

static struct sl_table *find(struct sl_store *store, const struct sl__table_name *name) {
    struct sl_table *table = atomic_load_explicit(&store->tables, memory_order_acquire);
    while (table != NULL && table->name != name) {
        table = table->next;
    }
    return table;
}

enum sl_code sl__table_handle(struct sl_store *store, const char *name, size_t size, struct sl_table **out,
                              struct sl_error *error) {
    const struct sl__table_name *known;
    enum sl_code code = sl__reader_table(store->reader, name, size, &known, error);
    if (code != SL_OK) {
        return code;
    }
    pthread_mutex_lock(&store->tables_lock);
    struct sl_table *table = find(store, known);
    if (table == NULL) {
        table = calloc(1, sizeof(*table));
        if (table == NULL) {
            code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a table");
        } else {
            table->store = store;
            table->name = known;
            table->next = atomic_load_explicit(&store->tables, memory_order_relaxed);
            atomic_store_explicit(&store->tables, table, memory_order_release);
        }
    }
    pthread_mutex_unlock(&store->tables_lock);
    *out = table;
    return code;
}

void sl__tables_finish(struct sl_store *store) {
    struct sl_table *next;
    for (struct sl_table *table = atomic_load(&store->tables); table != NULL; table = next) {
        next = table->next;
        SL_ASSERT(table->reload == NULL);
        free(table);
    }
}

const char *sl_table_name(const struct sl_table *table) {
    return table != NULL ? table->name->name : NULL;
}

struct sl_table *sl__table_by_id(struct sl_store *store, uint32_t id) {
    struct sl_table *table = atomic_load_explicit(&store->tables, memory_order_acquire);
    while (table != NULL && (table->touched ? table->record.id : table->committed.id) != id) {
        table = table->next;
    }
    return table != NULL ? table : sl__reload_shadow_by_id(store, id);
}

static struct sl_table *known_number(struct sl_store *store, uint32_t number) {
    struct sl_table *table = atomic_load_explicit(&store->tables, memory_order_acquire);
    while (table != NULL && atomic_load_explicit(&table->number, memory_order_acquire) != number) {
        table = table->next;
    }
    return table;
}

static enum sl_code learn_number(void *context, const struct sl_table_info *info) {
    struct sl_store *store = context;
    struct sl__reading *reading;
    struct sl_table *table;
    const struct sl__table_view *view;
    if (sl__table_handle(store, info->name, strlen(info->name), &table, NULL) == SL_OK &&
        sl__reading_begin(store->reader, &reading, NULL) == SL_OK) {
        if (sl__reading_table(reading, table->name, &view, NULL) == SL_OK) {
            atomic_store_explicit(&table->number, view->number, memory_order_release);
        }
        sl__reading_end(reading);
    }
    return SL_OK;
}

struct sl_table *sl__table_by_number(struct sl_store *store, uint32_t number) {
    struct sl_table *table = known_number(store, number);
    if (table == NULL && store->read_only && sl_store_tables(store, learn_number, store, NULL) == SL_OK) {
        table = known_number(store, number); /* its writer is another process */
    }
    return table;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

enum sl_code sl__tables_load(struct sl_store *store, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;
    MDB_val key = {sl__table_key(bytes, "", 0), bytes}, value;
    struct sl_table *table;
    enum sl_code code = SL_OK;
    int number = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot read the catalog");
    }
    number = mdb_cursor_open(txn, SL__ROWS, &cursor);
    if (number == 0) {
        number = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    while (number == 0 && code == SL_OK && key.mv_size > 5 && memcmp(key.mv_data, bytes, 5) == 0) {
        if (value.mv_size != sizeof(table->committed)) {
            code = sl_error_set(error, SL_E_INVALID_DATA, "the store's catalog is damaged");
            break;
        }
        code = sl__table_handle(store, (const char *)key.mv_data + 5, key.mv_size - 5, &table, error);
        if (code == SL_OK) {
            memcpy(&table->committed, value.mv_data, sizeof(table->committed));
            atomic_store(&table->number, table->committed.number);
        }
        number = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    if (code == SL_OK && number != 0 && number != MDB_NOTFOUND) {
        code = sl__lmdb_error(error, number, "cannot read the catalog");
    }
    return code;
}

struct open {
    struct sl_table *table;
    struct sl_table_options options;
};

static enum sl_code take_id(struct sl_transaction *transaction, uint32_t *id, struct sl_error *error) {
    if (transaction->meta.next_id == UINT32_MAX) {
        return sl_error_set(error, SL_E_LIMIT,
                            "the store has made all the tables and reloads it can; copy it into a new one");
    }
    *id = transaction->meta.next_id++;
    transaction->meta_dirty = transaction->wrote = true;
    return SL_OK;
}

static enum sl_code make_table(struct sl_transaction *transaction, struct sl_table *table, struct sl_error *error) {
    uint32_t count = 0;
    struct sl_store *store = transaction->store;
    for (struct sl_table *other = atomic_load(&store->tables); other != NULL; other = other->next) {
        count += other->committed.id != 0;
    }
    if (count >= store->tables_max) {
        return sl_error_set(error, SL_E_LIMIT,
                            "the store has %u tables, which is its tables_max; drop some or raise it", count);
    }
    memset(&table->record, 0, sizeof(table->record));
    table->record.number = transaction->meta.next_number++;
    return take_id(transaction, &table->record.id, error);
}

static enum sl_code open_table(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct open *open = context;
    struct sl_table *table = open->table;
    const struct sl_table_options *options = &open->options;
    struct sl__table_record *record = &table->record;
    sl__transaction_touch(transaction, table);
    if (record->id == 0) {
        enum sl_code code = make_table(transaction, table, error);
        if (code != SL_OK) {
            return code;
        }
        record->kind = (uint8_t)options->kind;
        transaction->catalog_changed = true;
        /* For who watched a table of that name that was dropped. */
        sl__change_list_add(&transaction->changes, transaction->store->control, SL_CHANGE_TABLE, record->number, NULL,
                            0);
    } else if (record->kind != options->kind) {
        static const char *const names[] = {"?", "set", "ordered_set", "bag"};
        return sl_error_set(error, SL_E_TYPE, "table \"%s\" is a %s and was asked for as a %s", table->name->name,
                            names[record->kind <= SL_TABLE_BAG ? record->kind : 0], names[options->kind]);
    } else if (record->policy != options->policy && (record->row_count > 0 || table->reload != NULL)) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "table \"%s\" has rows: what it does when it has max_entries can be changed while it is empty only",
            table->name->name);
    } else if (record->ttl_ms == options->ttl_ms && record->max_entries == options->max_entries &&
               record->policy == options->policy) {
        return SL_OK;
    }
    record->ttl_ms = options->ttl_ms;
    record->max_entries = options->max_entries;
    record->policy = (uint8_t)options->policy;
    table->dirty = transaction->wrote = true;
    return SL_OK;
}

static enum sl_code check_options(const struct sl_table_options *given, struct sl_table_options *options,
                                  struct sl_error *error) {
    *options = (struct sl_table_options)SL_TABLE_OPTIONS_INIT;
    if (given->size < offsetof(struct sl_table_options, kind) + sizeof(given->kind)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_table_open: options.size is %zu; set the options up with SL_TABLE_OPTIONS_INIT",
                            given->size);
    }
    memcpy(options, given, SL_MIN(given->size, sizeof(*options)));
    if (options->kind < SL_TABLE_SET || options->kind > SL_TABLE_BAG) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_table_open: kind is %d; expected one of enum sl_table_kind", (int)options->kind);
    }
    if (options->policy != SL_TABLE_FULL_REFUSE && options->policy != SL_TABLE_FULL_EVICT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_table_open: policy is %d; expected one of enum sl_table_full", (int)options->policy);
    }
    if (options->ttl_ms > SL__TTL_MS_MAX) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_open: ttl_ms is %llu; at most %llu, or 0 for ever",
                            (unsigned long long)options->ttl_ms, (unsigned long long)SL__TTL_MS_MAX);
    }
    return SL_OK;
}

static enum sl_code must_exist(struct sl_table *table, struct sl_error *error) {
    struct sl__reading *reading;
    const struct sl__table_view *view;
    enum sl_code code = sl__reading_begin(table->store->reader, &reading, error);
    if (code == SL_OK) {
        code = sl__reading_table(reading, table->name, &view, error);
        sl__reading_end(reading);
    }
    return code;
}

enum sl_code sl_table_open(struct sl_store *store, const char *name, const struct sl_table_options *options,
                           struct sl_table **out, struct sl_error *error) {
    if (name == NULL || out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_open: `%s` is NULL",
                            name == NULL ? "name" : "table");
    }
    struct open open;
    *out = NULL;
    enum sl_code code = sl__store_usable(store, "sl_table_open", error);
    if (code == SL_OK && options != NULL) {
        code = check_options(options, &open.options, error);
    }
    if (code == SL_OK) {
        code = sl__table_handle(store, name, strlen(name), &open.table, error);
    }
    if (code == SL_OK) {
        code = options == NULL ? must_exist(open.table, error)
                               : sl__write_once(store, "sl_table_open", open_table, &open, error);
    }
    if (code == SL_OK) {
        *out = open.table;
    }
    return code;
}

/* ---- clearing and dropping -------------------------------------------------------------------------------------- */

struct replace {
    struct sl_table *table;
    bool drop;
};

static enum sl_code replace(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct replace *call = context;
    struct sl_table *table = call->table;
    enum sl_code code = sl__rows_table(transaction, table, error);
    if (code != SL_OK) {
        return code;
    }
    uint32_t old = table->record.id;
    code = sl__catalog_doom(transaction, old, error);
    if (code == SL_OK && !call->drop) {
        code = take_id(transaction, &table->record.id, error);
    }
    if (code != SL_OK) {
        return code;
    }
    sl__change_list_add(&transaction->changes, transaction->store->control, SL_CHANGE_TABLE, table->record.number, NULL,
                        0);
    if (call->drop) {
        memset(&table->record, 0, sizeof(table->record));
    }
    table->record.row_count = 0;
    table->dirty = transaction->wrote = transaction->catalog_changed = true;
    return SL_OK;
}

static enum sl_code replace_once(struct sl_table *table, bool drop, const char *function, struct sl_error *error) {
    struct replace call = {table, drop};
    if (table == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: `table` is NULL", function);
    }
    enum sl_code code = sl__write_once(table->store, function, replace, &call, error);
    if (code == SL_OK) {
        sl__service_purge(table->store);
    }
    return code;
}

enum sl_code sl_table_clear(struct sl_table *table, struct sl_error *error) {
    return replace_once(table, false, "sl_table_clear", error);
}

enum sl_code sl_table_drop(struct sl_table *table, struct sl_error *error) {
    return replace_once(table, true, "sl_table_drop", error);
}

enum sl_code sl_store_tables(struct sl_store *store,
                             enum sl_code (*function)(void *context, const struct sl_table_info *info), void *context,
                             struct sl_error *error) {
    struct sl__reading *reading;
    if (function == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_store_tables: `function` is NULL");
    }
    enum sl_code code = sl__store_usable(store, "sl_store_tables", error);
    if (code == SL_OK) {
        code = sl__reading_begin(store->reader, &reading, error);
    }
    if (code == SL_OK) {
        code = sl__reading_tables(reading, function, context, error);
        sl__reading_end(reading);
    }
    return code;
}
