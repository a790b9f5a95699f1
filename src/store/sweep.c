/* SPDX-License-Identifier: MIT */
/* Rows that go without anybody deleting them: evicted, expired, or under an id that no table has any more. */
#include <string.h>

#include "base/macros.h"
#include "row.h"

/* Room for one more row in a table with max_entries. */
enum sl_code sl__rows_make_place(struct sl_transaction *transaction, struct sl_table *table, struct sl_error *error) {
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
        struct sl__row_key from = {.size = 0};
        MDB_cursor *cursor;
        MDB_val key, named;
        struct sl__found found;
        from.size = sl__age_key(from.bytes, record->id, 0);
        key = sl__row_val(&from);
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
                           : sl__row_damaged(transaction, error);
            }
        } else {
            return sl__transaction_fail(transaction, number, "cannot find the oldest row", error);
        }
        enum sl_code code = sl__row_find(transaction, &found, error);
        if (code != SL_OK || found.value.size == 0) {
            return code != SL_OK ? code : sl__row_damaged(transaction, error);
        }
        number = sl__row_remove_of(transaction, table, &found.key, &found.head, found.value);
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove the oldest row", error);
        }
        transaction->evicted_count++;
    }
    return SL_OK;
}

/* The first entry of the expiry index; MDB_NOTFOUND when there is none. */
static int first_expiry(struct sl_transaction *transaction, uint64_t *expiry_ns, uint32_t *id, uint64_t *n,
                        struct sl__row_key *row) {
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
    struct sl__found found;
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
        enum sl_code code = sl__row_find(transaction, &found, error);
        if (code != SL_OK) {
            return code;
        }
        if (table != NULL && found.value.size > 0 && found.head.n == n && found.head.expiry_ns == expiry_ns) {
            sl__transaction_touch(transaction, table);
            number = sl__row_remove_of(transaction, table, &found.key, &found.head, found.value);
            transaction->expired_count++;
            count++;
        } else {
            /* Of a table that is gone: its rows go when it is purged. */
            struct sl__row_head head = {SL__ROW_EXPIRES, n, expiry_ns};
            number = sl__row_delete_expiry(transaction, id, &head);
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
    struct sl__row_key from;
    struct sl__found found;
    *done = false;
    sl__row_key_make(&from, id, (const uint8_t *)"", 0);
    for (uint64_t i = 0; i < row_max; i++) {
        enum sl_code code = sl__row_seek(transaction, &from, false, &found, error);
        if (code != SL_OK) {
            return code;
        }
        if (found.value.size == 0) {
            *done = true;
            return sl__catalog_spare(transaction, id, error);
        }
        int number = sl__row_remove(transaction, id, &found.key, &found.head, found.value);
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove a row that was replaced", error);
        }
    }
    return SL_OK;
}
