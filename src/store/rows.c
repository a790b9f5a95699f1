/* SPDX-License-Identifier: MIT */
/*
 * What a transaction does to rows and to the indexes that name them. Pointers into the map are good until the next write of the transaction, since
 * that may copy the page: what is needed afterwards is copied first.
 */
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "inside.h"
#include "wire/check.h"
#include "wire/ext.h"
#include "wire/token.h"
#include "wire/writer.h"

#define MS 1000000u

/* A row's key as it lies in the tree. */
struct row_key {
    uint8_t bytes[SL__ROW_KEY_BYTES_MAX];
    size_t size;
};

static MDB_val val_of(const struct row_key *key) {
    return (MDB_val){key->size, (void *)(uintptr_t)key->bytes};
}

static void make_row_key(struct row_key *row, uint32_t id, const uint8_t *key, size_t size) {
    sl__put_be32(row->bytes, id);
    memcpy(row->bytes + SL__PREFIX_BYTES, key, size);
    row->size = SL__PREFIX_BYTES + size;
}

static void add_number(struct row_key *row, uint64_t n) {
    sl__put_be64(row->bytes + row->size, n);
    row->size += SL__NUMBER_BYTES;
}

/* Of the key and the value of a row of a bag. Not the hash of values: pairs are the same when their bytes are. */
static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t size) {
    uint64_t word;
    hash ^= size;
    for (; size > 0; bytes += SL_MIN(size, (size_t)8), size -= SL_MIN(size, (size_t)8)) {
        word = 0;
        memcpy(&word, bytes, SL_MIN(size, (size_t)8));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static uint64_t hash_pair(const uint8_t *key, size_t key_size, struct sl_value value) {
    return hash_bytes(hash_bytes(0, key, key_size), value.data, value.size);
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

enum sl_code sl__rows_check_value(struct sl_value value, struct sl_error *error) {
    struct sl_value checked;
    const uint8_t *at = value.data, *end = value.size > 0 ? value.data + value.size : value.data;
    struct sl__token token;
    if (value.size == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the value of a row is missing");
    }
    enum sl_code code = sl_value_check(value.data, value.size, NULL, &checked, error);
    while (code == SL_OK && at < end && sl__token_read(&at, end, &token)) {
        if (token.kind == SL__TOKEN_EXT && token.ext_type == SL__EXT_BUFFER_ARRAY) {
            code =
                sl_error_set(error, SL_E_INVALID_ARGUMENT,
                             "the value holds an array in a shared buffer, which may be gone before the row is; write "
                             "the array into the value");
        } else if (token.kind == SL__TOKEN_EXT && token.ext_type == SL__EXT_MARK) {
            code = sl_error_set(error, SL_E_INVALID_ARGUMENT, "a mark (skip, error or route) is no value of a row");
        }
    }
    return code;
}

enum sl_code sl__rows_ttl(const struct sl_put_options *options, uint64_t *ttl_ms, struct sl_error *error) {
    *ttl_ms = 0;
    if (options != NULL) {
        if (options->size < sizeof(*options)) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "put options: size is %zu; set them up with SL_PUT_OPTIONS_INIT", options->size);
        }
        *ttl_ms = options->ttl_ms;
        if (*ttl_ms > SL__TTL_MS_MAX && *ttl_ms != UINT64_MAX) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "put options: ttl_ms is %llu; at most %llu, or UINT64_MAX for ever",
                                (unsigned long long)*ttl_ms, (unsigned long long)SL__TTL_MS_MAX);
        }
    }
    return SL_OK;
}

enum sl_code sl__rows_table(struct sl_transaction *transaction, struct sl_table *table, struct sl_error *error) {
    if (transaction == NULL || table == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the %s is NULL", table == NULL ? "table" : "transaction");
    }
    if (table->store != transaction->store) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "table \"%s\" is of another store than the transaction",
                            table->name->name);
    }
    if (transaction->hook_running) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "a hook or update function must not write to the store whose write it is part of");
    }
    if (transaction->broken != SL_OK) {
        if (error != NULL) {
            sl_error_copy(error, &transaction->error);
        }
        return transaction->broken;
    }
    sl__transaction_touch(transaction, table);
    if (table->record.id == 0) {
        return sl_error_set(error, SL_E_NOT_FOUND, "the store has no table \"%s\"", table->name->name);
    }
    return SL_OK;
}

/* ---- removing --------------------------------------------------------------------------------------------------- */

static int delete_key(struct sl_transaction *transaction, const uint8_t *bytes, size_t size) {
    MDB_val key = {size, (void *)(uintptr_t)bytes};
    int number = mdb_del(transaction->txn, SL__ROWS, &key, NULL);
    return number == MDB_NOTFOUND ? 0 : number;
}

static int delete_expiry(struct sl_transaction *transaction, uint32_t id, const struct sl__row_head *head) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    return delete_key(transaction, bytes, sl__expiry_key(bytes, head->expiry_ns, id, head->n));
}

/* A row and all that names it. `key` is not in the map, `value` may be. */
static int remove_row(struct sl_transaction *transaction, uint32_t id, const struct row_key *key,
                      const struct sl__row_head *head, struct sl_value value) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    uint64_t hash = 0;
    if ((head->flags & SL__ROW_PAIRED) != 0) {
        hash = hash_pair(key->bytes + SL__PREFIX_BYTES, key->size - SL__PREFIX_BYTES - SL__NUMBER_BYTES, value);
    }
    int number = delete_key(transaction, key->bytes, key->size);
    if (number == 0 && (head->flags & SL__ROW_EXPIRES) != 0) {
        number = delete_expiry(transaction, id, head);
    }
    if (number == 0 && (head->flags & SL__ROW_AGED) != 0) {
        number = delete_key(transaction, bytes, sl__age_key(bytes, id, head->n));
    }
    if (number == 0 && (head->flags & SL__ROW_PAIRED) != 0) {
        number = delete_key(transaction, bytes, sl__pair_key(bytes, id, hash, head->n));
    }
    transaction->wrote = true;
    return number;
}

static void note_change(struct sl_transaction *transaction, const struct sl_table *table, enum sl_change_kind kind,
                        const struct row_key *key, size_t trailer) {
    if (!table->is_shadow) {
        sl__change_list_add(&transaction->changes, transaction->store->control, kind, table->record.number,
                            key->bytes + SL__PREFIX_BYTES, key->size - SL__PREFIX_BYTES - trailer);
    }
}

static size_t trailer_of(const struct sl_table *table) {
    return table->record.kind == SL_TABLE_BAG ? SL__NUMBER_BYTES : 0;
}

static int remove_of_table(struct sl_transaction *transaction, struct sl_table *table, const struct row_key *key,
                           const struct sl__row_head *head, struct sl_value value) {
    int number = remove_row(transaction, table->record.id, key, head, value);
    if (number == 0) {
        table->record.row_count -= table->record.row_count > 0;
        table->dirty = true;
        note_change(transaction, table, SL_CHANGE_DELETE, key, trailer_of(table));
    }
    return number;
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

struct found {
    struct row_key key;
    struct sl__row_head head;
    struct sl_value value; /* in the map; {NULL, 0}: there is no row */
    bool expired;
};

static enum sl_code damaged(struct sl_transaction *transaction, struct sl_error *error) {
    return sl__transaction_fail(transaction, MDB_CORRUPTED, "cannot read a row", error);
}

static enum sl_code open_row(struct sl_transaction *transaction, const MDB_val *row, struct found *found,
                             struct sl_error *error) {
    found->value = sl__row_read(row->mv_data, row->mv_size, &found->head);
    if (found->value.size == 0) {
        return damaged(transaction, error);
    }
    found->expired = found->head.expiry_ns != 0 && found->head.expiry_ns <= sl__transaction_now(transaction);
    return SL_OK;
}

/* The row at found->key. */
static enum sl_code find(struct sl_transaction *transaction, struct found *found, struct sl_error *error) {
    MDB_val key = val_of(&found->key), row;
    int number = mdb_get(transaction->txn, SL__ROWS, &key, &row);
    found->value = (struct sl_value){NULL, 0};
    found->expired = false;
    if (number == MDB_NOTFOUND) {
        return SL_OK;
    }
    if (number != 0) {
        return sl__transaction_fail(transaction, number, "cannot read a row", error);
    }
    return open_row(transaction, &row, found, error);
}

/* Like find, but a row that has expired is removed on the spot. */
static enum sl_code find_alive(struct sl_transaction *transaction, struct sl_table *table, struct found *found,
                               struct sl_error *error) {
    enum sl_code code = find(transaction, found, error);
    if (code == SL_OK && found->expired) {
        int number = remove_of_table(transaction, table, &found->key, &found->head, found->value);
        transaction->expired_count++;
        found->value = (struct sl_value){NULL, 0};
        if (number != 0) {
            code = sl__transaction_fail(transaction, number, "cannot remove a row that has expired", error);
        }
    }
    return code;
}

/* The first row at or behind `from`, or with `backward` the last one before it, that is under the same id. */
static enum sl_code seek(struct sl_transaction *transaction, const struct row_key *from, bool backward,
                         struct found *found, struct sl_error *error) {
    MDB_cursor *cursor;
    MDB_val key = val_of(from), row;
    enum sl_code code = SL_OK;
    found->value = (struct sl_value){NULL, 0};
    int number = mdb_cursor_open(transaction->txn, SL__ROWS, &cursor);
    if (number != 0) {
        return sl__transaction_fail(transaction, number, "cannot scan a table", error);
    }
    number = mdb_cursor_get(cursor, &key, &row, MDB_SET_RANGE);
    if (backward && (number == 0 || number == MDB_NOTFOUND)) {
        number = mdb_cursor_get(cursor, &key, &row, number == 0 ? MDB_PREV : MDB_LAST);
    }
    if (number == 0 && key.mv_size > SL__PREFIX_BYTES && key.mv_size <= sizeof(found->key.bytes) &&
        memcmp(key.mv_data, from->bytes, SL__PREFIX_BYTES) == 0) {
        memcpy(found->key.bytes, key.mv_data, key.mv_size);
        found->key.size = key.mv_size;
        code = open_row(transaction, &row, found, error);
    } else if (number != 0 && number != MDB_NOTFOUND) {
        code = sl__transaction_fail(transaction, number, "cannot scan a table", error);
    }
    mdb_cursor_close(cursor);
    return code;
}

/* The first row of a key of a bag that has not expired; those before it that have are removed. */
static enum sl_code first_of_bag(struct sl_transaction *transaction, struct sl_table *table, const struct row_key *key,
                                 struct found *found, struct sl_error *error) {
    for (;;) {
        enum sl_code code = seek(transaction, key, false, found, error);
        if (code != SL_OK) {
            return code;
        }
        if (found->value.size > 0 &&
            (found->key.size != key->size + SL__NUMBER_BYTES || memcmp(found->key.bytes, key->bytes, key->size) != 0)) {
            found->value = (struct sl_value){NULL, 0};
        }
        if (found->value.size == 0 || !found->expired) {
            return SL_OK;
        }
        int number = remove_of_table(transaction, table, &found->key, &found->head, found->value);
        transaction->expired_count++;
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove a row that has expired", error);
        }
    }
}

/* The row of a bag with these very bytes, expired or not. */
static enum sl_code find_pair(struct sl_transaction *transaction, const struct row_key *key, uint32_t id,
                              struct sl_value value, struct found *found, struct sl_error *error) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    uint64_t hash = hash_pair(key->bytes + SL__PREFIX_BYTES, key->size - SL__PREFIX_BYTES, value);
    MDB_cursor *cursor;
    MDB_val at = {sl__pair_key(bytes, id, hash, 0), bytes}, row;
    enum sl_code code = SL_OK;
    found->value = (struct sl_value){NULL, 0};
    int number = mdb_cursor_open(transaction->txn, SL__ROWS, &cursor);
    if (number != 0) {
        return sl__transaction_fail(transaction, number, "cannot look for a pair", error);
    }
    number = mdb_cursor_get(cursor, &at, &row, MDB_SET_RANGE);
    while (number == 0 && at.mv_size == SL__INDEX_KEY_BYTES_MAX && memcmp(at.mv_data, bytes, 16) == 0) {
        found->key = *key;
        add_number(&found->key, sl__get_be64((const uint8_t *)at.mv_data + 16));
        code = find(transaction, found, error);
        if (code != SL_OK ||
            (found->value.size == value.size && memcmp(found->value.data, value.data, value.size) == 0)) {
            break;
        }
        found->value = (struct sl_value){NULL, 0};
        number = mdb_cursor_get(cursor, &at, &row, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (code == SL_OK && number != 0 && number != MDB_NOTFOUND) {
        code = sl__transaction_fail(transaction, number, "cannot look for a pair", error);
    }
    return code;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static enum sl_code copy_bag(struct sl_transaction *transaction, struct sl_table *table, const struct row_key *key,
                             struct sl_error *error) {
    struct sl_writer *writer = &transaction->copy;
    struct found found;
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct row_key from = *key;
        if (pass == 1) {
            sl__put_list(writer, count);
        }
        for (;;) {
            enum sl_code code = pass == 0 && count == 0 ? first_of_bag(transaction, table, &from, &found, error)
                                                        : seek(transaction, &from, false, &found, error);
            if (code != SL_OK) {
                return code;
            }
            if (found.value.size == 0 || found.key.size != key->size + SL__NUMBER_BYTES ||
                memcmp(found.key.bytes, key->bytes, key->size) != 0) {
                break;
            }
            if (!found.expired && pass == 0) {
                count++;
            } else if (!found.expired) {
                sl__put_raw(writer, found.value.data, found.value.size);
            }
            from = *key;
            add_number(&from, found.head.n + 1);
        }
        if (count == 0) {
            return SL_E_NOT_FOUND;
        }
    }
    return SL_OK;
}

enum sl_code sl__rows_get(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                          struct sl_value *value, struct sl_error *error) {
    struct found found;
    enum sl_code code = sl__rows_table(transaction, table, error);
    if (code == SL_OK) {
        code = sl__key_encode(key, found.key.bytes + SL__PREFIX_BYTES, &found.key.size, error);
    }
    if (code != SL_OK) {
        return code;
    }
    sl__put_be32(found.key.bytes, table->record.id);
    found.key.size += SL__PREFIX_BYTES;
    sl_writer_reset(&transaction->copy);
    if (table->record.kind == SL_TABLE_BAG) {
        struct row_key row_key = found.key;
        code = copy_bag(transaction, table, &row_key, error);
    } else {
        code = find(transaction, &found, error);
        if (code == SL_OK && (found.value.size == 0 || found.expired)) {
            code = SL_E_NOT_FOUND;
        }
        if (code == SL_OK) {
            sl__put_raw(&transaction->copy, found.value.data, found.value.size);
        }
    }
    if (code == SL_OK) {
        code = sl__writer_error(&transaction->copy, error);
        *value = (struct sl_value){transaction->copy.data, transaction->copy.size};
    }
    return code;
}

/* ---- putting ---------------------------------------------------------------------------------------------------- */

static enum sl_code call_hook(struct sl_transaction *transaction, struct sl_table *table, enum sl_write_kind kind,
                              struct sl_value key, struct sl_value value, struct sl_error *error) {
    if (table->hook == NULL || table->is_shadow) {
        return SL_OK;
    }
    struct sl_write write = {sizeof(write), kind, table, key, value};
    struct sl_error local = SL_ERROR_INIT;
    struct sl_error *at = error != NULL ? error : &local;
    transaction->hook_running = true;
    enum sl_code code = table->hook(table->hook_context, &write, at);
    transaction->hook_running = false;
    if (code != SL_OK) {
        if (at->code != code) {
            (void)sl_error_set(at, code, "the hook of table \"%s\" refused the write: %s", table->name->name,
                               sl_code_text(code));
        }
        (void)sl__transaction_break(transaction, code, at);
    }
    sl_error_finish(&local);
    return code;
}

/* Room for one more row in a table with max_entries. */
static enum sl_code make_place(struct sl_transaction *transaction, struct sl_table *table, struct sl_error *error) {
    const struct sl__table_record *record = &table->record;
    if (record->max_entries == 0 || record->row_count < record->max_entries) {
        return SL_OK;
    }
    if (record->policy == SL_TABLE_FULL_REFUSE) {
        return sl_error_set(
            error, SL_E_LIMIT, "table \"%s\" has %llu rows and max_entries is %llu; delete rows or raise it",
            table->name->name, (unsigned long long)record->row_count, (unsigned long long)record->max_entries);
    }
    for (int i = 0; i < SL__EVICT_ROWS && record->row_count >= record->max_entries; i++) {
        struct row_key from = {.size = 0};
        MDB_cursor *cursor;
        MDB_val key, named;
        struct found found;
        from.size = sl__age_key(from.bytes, record->id, 0);
        key = val_of(&from);
        int number = mdb_cursor_open(transaction->txn, SL__ROWS, &cursor);
        if (number == 0) {
            number = mdb_cursor_get(cursor, &key, &named, MDB_SET_RANGE);
            bool is_age = number == 0 && key.mv_size == 16 && memcmp(key.mv_data, from.bytes, 8) == 0 &&
                          named.mv_size <= sizeof(found.key.bytes);
            if (is_age) {
                memcpy(found.key.bytes, named.mv_data, named.mv_size);
                found.key.size = named.mv_size;
            }
            mdb_cursor_close(cursor);
            if (!is_age) {
                return number != 0 && number != MDB_NOTFOUND
                           ? sl__transaction_fail(transaction, number, "cannot find the oldest row", error)
                           : damaged(transaction, error);
            }
        } else {
            return sl__transaction_fail(transaction, number, "cannot find the oldest row", error);
        }
        enum sl_code code = find(transaction, &found, error);
        if (code != SL_OK || found.value.size == 0) {
            return code != SL_OK ? code : damaged(transaction, error);
        }
        number = remove_of_table(transaction, table, &found.key, &found.head, found.value);
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove the oldest row", error);
        }
        transaction->evicted_count++;
    }
    return SL_OK;
}

static int put_index(struct sl_transaction *transaction, const uint8_t *bytes, size_t size, const struct row_key *row) {
    MDB_val key = {size, (void *)(uintptr_t)bytes};
    MDB_val named = {0, NULL};
    if (row != NULL) {
        named = val_of(row);
    }
    return mdb_put(transaction->txn, SL__ROWS, &key, &named, 0);
}

static int write_row(struct sl_transaction *transaction, const struct row_key *row_key, const struct sl__row_head *head,
                     struct sl_value value, bool appends) {
    MDB_val key = val_of(row_key), place = {sl__row_head_size(head) + value.size, NULL};
    int number = MDB_KEYEXIST;
    if (appends) {
        number = mdb_put(transaction->txn, SL__ROWS, &key, &place, MDB_RESERVE | MDB_APPEND);
    }
    if (number == MDB_KEYEXIST) {
        /* Not the last one of the whole tree after all. */
        place = (MDB_val){sl__row_head_size(head) + value.size, NULL};
        number = mdb_put(transaction->txn, SL__ROWS, &key, &place, MDB_RESERVE);
    }
    if (number == 0) {
        sl__row_head_put(place.mv_data, head);
        memcpy((uint8_t *)place.mv_data + sl__row_head_size(head), value.data, value.size);
    }
    return number;
}

/* Writes a row with its head, in place of one with the old head (NULL: of none), and keeps the indexes right. */
static int store_row(struct sl_transaction *transaction, uint32_t id, const struct row_key *row_key,
                     const struct sl__row_head *head, const struct sl__row_head *old, struct sl_value value,
                     bool appends) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    int number = write_row(transaction, row_key, head, value, appends);
    transaction->wrote = true;
    bool moved = old != NULL && (old->flags & SL__ROW_EXPIRES) != 0 && old->expiry_ns != head->expiry_ns;
    if (number == 0 && moved) {
        number = delete_expiry(transaction, id, old);
    }
    if (number == 0 && (head->flags & SL__ROW_EXPIRES) != 0) {
        number = put_index(transaction, bytes, sl__expiry_key(bytes, head->expiry_ns, id, head->n), row_key);
        transaction->next_expiry_ns = SL_MIN(transaction->next_expiry_ns, head->expiry_ns);
    }
    if (number == 0 && old == NULL && (head->flags & SL__ROW_AGED) != 0) {
        number = put_index(transaction, bytes, sl__age_key(bytes, id, head->n), row_key);
    }
    if (number == 0 && old == NULL && (head->flags & SL__ROW_PAIRED) != 0) {
        uint64_t hash =
            hash_pair(row_key->bytes + SL__PREFIX_BYTES, row_key->size - SL__PREFIX_BYTES - SL__NUMBER_BYTES, value);
        number = put_index(transaction, bytes, sl__pair_key(bytes, id, hash, head->n), NULL);
    }
    return number;
}

static uint64_t expiry_of(struct sl_transaction *transaction, const struct sl__table_record *record, uint64_t ttl_ms) {
    if (ttl_ms == 0) {
        ttl_ms = record->ttl_ms;
    }
    return ttl_ms == 0 || ttl_ms == UINT64_MAX ? 0 : sl__transaction_now(transaction) + ttl_ms * MS;
}

enum sl_code sl__rows_put(struct sl_transaction *transaction, struct sl_table *table, const uint8_t *key,
                          size_t key_size, struct sl_value key_value, struct sl_value value, uint64_t ttl_ms,
                          enum sl__put_mode mode, bool appends, bool *inserted, struct sl_error *error) {
    struct sl__table_record *record = &table->record;
    bool is_bag = record->kind == SL_TABLE_BAG;
    struct found found;
    enum sl_code code = SL_OK;
    struct row_key row;
    make_row_key(&row, record->id, key, key_size);
    memset(&found.head, 0, sizeof(found.head));
    found.value = (struct sl_value){NULL, 0};
    *inserted = false;
    if (!appends) {
        if (!is_bag) {
            found.key = row;
            code = find_alive(transaction, table, &found, error);
        } else if (mode == SL__PUT_IF_ABSENT) {
            code = first_of_bag(transaction, table, &row, &found, error);
        } else {
            code = find_pair(transaction, &row, record->id, value, &found, error);
            if (code == SL_OK && found.value.size > 0) {
                code = find_alive(transaction, table, &found, error);
            }
        }
    }
    bool is_new = found.value.size == 0;
    if (code != SL_OK || (!is_new && mode == SL__PUT_IF_ABSENT)) {
        return code;
    }
    struct sl__row_head head = {0, found.head.n, expiry_of(transaction, record, ttl_ms)};
    struct sl__row_head old = found.head;
    if (!is_new && is_bag && head.expiry_ns == old.expiry_ns) {
        return SL_OK; /* the same pair, as it stands */
    }
    if (is_new) {
        /* Refused before anything is written, so that the transaction is still good. */
        code = make_place(transaction, table, error);
    }
    if (code == SL_OK && (is_new || !is_bag)) {
        code = call_hook(transaction, table, SL_WRITE_PUT, key_value, value, error);
    }
    if (code != SL_OK) {
        return code;
    }
    if (is_new) {
        head.n = record->next_n++;
        record->row_count++;
        table->dirty = true;
    }
    head.flags = (uint8_t)((head.expiry_ns != 0 ? SL__ROW_EXPIRES : 0) | (is_bag ? SL__ROW_PAIRED : 0) |
                           (record->policy == SL_TABLE_FULL_EVICT ? SL__ROW_AGED : 0));
    if (is_bag) {
        add_number(&row, head.n);
    }
    int number = store_row(transaction, record->id, &row, &head, is_new ? NULL : &old, value, appends);
    if (number != 0) {
        return sl__transaction_fail(transaction, number, "cannot put a row", error);
    }
    *inserted = is_new;
    note_change(transaction, table, SL_CHANGE_PUT, &row, trailer_of(table));
    return sl__transaction_room(transaction, error);
}

/* ---- deleting --------------------------------------------------------------------------------------------------- */

/* One row that was found, not expired: past the hook. */
static enum sl_code delete_found(struct sl_transaction *transaction, struct sl_table *table, const struct found *found,
                                 struct sl_value key, struct sl_error *error) {
    enum sl_code code = call_hook(transaction, table, SL_WRITE_DELETE, key, found->value, error);
    if (code == SL_OK) {
        int number = remove_of_table(transaction, table, &found->key, &found->head, found->value);
        if (number != 0) {
            code = sl__transaction_fail(transaction, number, "cannot delete a row", error);
        }
    }
    return code;
}

enum sl_code sl__rows_delete(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                             const struct sl_value *pair, uint64_t *removed, struct sl_error *error) {
    struct found found;
    struct row_key row;
    *removed = 0;
    enum sl_code code = sl__rows_table(transaction, table, error);
    if (code == SL_OK) {
        code = sl__key_encode(key, row.bytes + SL__PREFIX_BYTES, &row.size, error);
    }
    if (code != SL_OK) {
        return code;
    }
    sl__put_be32(row.bytes, table->record.id);
    row.size += SL__PREFIX_BYTES;
    bool is_bag = table->record.kind == SL_TABLE_BAG;
    for (;;) {
        if (is_bag && pair != NULL) {
            code = find_pair(transaction, &row, table->record.id, *pair, &found, error);
            if (code == SL_OK && found.value.size > 0) {
                code = find_alive(transaction, table, &found, error);
            }
        } else if (is_bag) {
            code = first_of_bag(transaction, table, &row, &found, error);
        } else {
            found.key = row;
            code = find_alive(transaction, table, &found, error);
        }
        if (code != SL_OK || found.value.size == 0) {
            return code;
        }
        if (pair != NULL && (found.value.size != pair->size || memcmp(found.value.data, pair->data, pair->size) != 0)) {
            return SL_OK;
        }
        code = delete_found(transaction, table, &found, key, error);
        if (code != SL_OK) {
            return code;
        }
        (*removed)++;
        if (!is_bag || pair != NULL) {
            return SL_OK;
        }
    }
}

/* Where a walk in the given direction begins. */
static void first_bound(struct row_key *at, uint32_t id, const struct sl__key_range *range, bool backward) {
    if (!backward) {
        make_row_key(at, id, range->low, range->low_size);
    } else if (range->high_size > 0) {
        make_row_key(at, id, range->high, range->high_size);
    } else {
        make_row_key(at, id, (const uint8_t *)"\xff", 1); /* above all tags */
    }
}

enum sl_code sl__rows_delete_range(struct sl_transaction *transaction, struct sl_table *table,
                                   const struct sl_scan_options *options, uint64_t *removed, struct sl_error *error) {
    struct sl__key_range range;
    struct row_key at;
    struct found found;
    struct sl_writer *writer = &transaction->update;
    *removed = 0;
    enum sl_code code = sl__rows_table(transaction, table, error);
    if (code == SL_OK) {
        code = sl__key_range(options, &range, error);
    }
    if (code != SL_OK || range.empty) {
        return code;
    }
    size_t trailer = trailer_of(table);
    first_bound(&at, table->record.id, &range, options->backward);
    for (;;) {
        code = seek(transaction, &at, options->backward, &found, error);
        if (code != SL_OK || found.value.size == 0 ||
            !sl__key_within(&range, found.key.bytes + SL__PREFIX_BYTES, found.key.size - SL__PREFIX_BYTES)) {
            return code;
        }
        at = found.key;
        if (!options->backward && at.size < sizeof(at.bytes)) {
            at.bytes[at.size++] = 0; /* right behind */
        }
        sl_writer_reset(writer);
        if (!sl__key_decode(found.key.bytes + SL__PREFIX_BYTES, found.key.size - SL__PREFIX_BYTES - trailer, writer)) {
            return damaged(transaction, error);
        }
        struct sl_value key = {writer->data, writer->size};
        if (found.expired) {
            int number = remove_of_table(transaction, table, &found.key, &found.head, found.value);
            transaction->expired_count++;
            if (number != 0) {
                return sl__transaction_fail(transaction, number, "cannot remove a row that has expired", error);
            }
            continue;
        }
        if (options->select != NULL) {
            transaction->hook_running = true;
            bool wanted = options->select(options->context, key, found.value);
            transaction->hook_running = false;
            if (!wanted) {
                continue;
            }
        }
        code = delete_found(transaction, table, &found, key, error);
        if (code != SL_OK) {
            return code;
        }
        if (++*removed == options->limit) {
            return SL_OK;
        }
    }
}

/* ---- in passing ------------------------------------------------------------------------------------------------- */

/* The first entry of the expiry index; MDB_NOTFOUND when there is none. */
static int first_expiry(struct sl_transaction *transaction, uint64_t *expiry_ns, uint32_t *id, uint64_t *n,
                        struct row_key *row) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    MDB_cursor *cursor;
    MDB_val key = {sl__expiry_key(bytes, 0, 0, 0), bytes}, named;
    int number = mdb_cursor_open(transaction->txn, SL__ROWS, &cursor);
    if (number != 0) {
        return number;
    }
    number = mdb_cursor_get(cursor, &key, &named, MDB_SET_RANGE);
    if (number == 0 && memcmp(key.mv_data, bytes, SL__PREFIX_BYTES) != 0) {
        number = MDB_NOTFOUND;
    }
    if (number == 0 && (key.mv_size != SL__INDEX_KEY_BYTES_MAX || named.mv_size > sizeof(row->bytes))) {
        number = MDB_CORRUPTED;
    }
    if (number == 0) {
        const uint8_t *at = key.mv_data;
        *expiry_ns = sl__get_be64(at + 4);
        *id = sl__get_be32(at + 12);
        *n = sl__get_be64(at + 16);
        memcpy(row->bytes, named.mv_data, named.mv_size);
        row->size = named.mv_size;
    }
    mdb_cursor_close(cursor);
    return number;
}

enum sl_code sl__rows_sweep(struct sl_transaction *transaction, uint64_t row_max, uint64_t *removed,
                            struct sl_error *error) {
    struct sl_store *store = transaction->store;
    uint64_t expiry_ns = UINT64_MAX, n = 0, count = 0;
    uint32_t id = 0;
    struct found found;
    for (uint64_t i = 0;; i++) {
        int number = first_expiry(transaction, &expiry_ns, &id, &n, &found.key);
        if (number != 0 && number != MDB_NOTFOUND) {
            return sl__transaction_fail(transaction, number, "cannot look for rows that have expired", error);
        }
        if (number == MDB_NOTFOUND) {
            expiry_ns = UINT64_MAX;
        }
        if (i == row_max || expiry_ns > sl__transaction_now(transaction)) {
            break;
        }
        struct sl_table *table = sl__table_by_id(store, id);
        enum sl_code code = find(transaction, &found, error);
        if (code != SL_OK) {
            return code;
        }
        if (table != NULL && found.value.size > 0 && found.head.n == n && found.head.expiry_ns == expiry_ns) {
            sl__transaction_touch(transaction, table);
            number = remove_of_table(transaction, table, &found.key, &found.head, found.value);
            transaction->expired_count++;
            count++;
        } else {
            /* Of a table that is gone: its rows go when it is purged. */
            struct sl__row_head head = {SL__ROW_EXPIRES, n, expiry_ns};
            number = delete_expiry(transaction, id, &head);
            transaction->wrote = true;
        }
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove a row that has expired", error);
        }
    }
    transaction->swept = true;
    transaction->next_expiry_ns = SL_MIN(expiry_ns, transaction->next_expiry_ns);
    if (removed != NULL) {
        *removed = count;
    }
    return SL_OK;
}

enum sl_code sl__rows_purge(struct sl_transaction *transaction, uint32_t id, uint64_t row_max, bool *done,
                            struct sl_error *error) {
    struct row_key from;
    struct found found;
    *done = false;
    make_row_key(&from, id, (const uint8_t *)"", 0);
    for (uint64_t i = 0; i < row_max; i++) {
        enum sl_code code = seek(transaction, &from, false, &found, error);
        if (code != SL_OK) {
            return code;
        }
        if (found.value.size == 0) {
            *done = true;
            return sl__catalog_spare(transaction, id, error);
        }
        int number = remove_row(transaction, id, &found.key, &found.head, found.value);
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove a row that was replaced", error);
        }
    }
    return SL_OK;
}
