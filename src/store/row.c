/* SPDX-License-Identifier: MIT */
#include "row.h"

#include <string.h>

#include "base/macros.h"

MDB_val sl__row_val(const struct sl__row_key *key) {
    return (MDB_val){key->size, (void *)(uintptr_t)key->bytes};
}

void sl__row_key_make(struct sl__row_key *row, uint32_t id, const uint8_t *key, size_t size) {
    sl__put_be32(row->bytes, id);
    memcpy(row->bytes + SL__PREFIX_BYTES, key, size);
    row->size = SL__PREFIX_BYTES + size;
}

void sl__row_key_number(struct sl__row_key *row, uint64_t n) {
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

uint64_t sl__row_hash(const uint8_t *key, size_t key_size, struct sl_value value) {
    return hash_bytes(hash_bytes(0, key, key_size), value.data, value.size);
}

/* ---- removing --------------------------------------------------------------------------------------------------- */

static int delete_key(struct sl_transaction *transaction, const uint8_t *bytes, size_t size) {
    MDB_val key = {size, (void *)(uintptr_t)bytes};
    int number = mdb_del(transaction->txn, SL__ROWS, &key, NULL);
    return number == MDB_NOTFOUND ? 0 : number;
}

int sl__row_delete_expiry(struct sl_transaction *transaction, uint32_t id, const struct sl__row_head *head) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    return delete_key(transaction, bytes, sl__expiry_key(bytes, head->expiry_ns, id, head->n));
}

/* A row and all that names it. `key` is not in the map, `value` may be. */
int sl__row_remove(struct sl_transaction *transaction, uint32_t id, const struct sl__row_key *key,
                   const struct sl__row_head *head, struct sl_value value) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    uint64_t hash = 0;
    if ((head->flags & SL__ROW_PAIRED) != 0) {
        hash = sl__row_hash(key->bytes + SL__PREFIX_BYTES, key->size - SL__PREFIX_BYTES - SL__NUMBER_BYTES, value);
    }
    int number = delete_key(transaction, key->bytes, key->size);
    if (number == 0 && (head->flags & SL__ROW_EXPIRES) != 0) {
        number = sl__row_delete_expiry(transaction, id, head);
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

void sl__row_note(struct sl_transaction *transaction, const struct sl_table *table, enum sl_change_kind kind,
                  const struct sl__row_key *key, size_t trailer) {
    if (!table->is_shadow) {
        sl__change_list_add(&transaction->changes, transaction->store->control, kind, table->record.number,
                            key->bytes + SL__PREFIX_BYTES, key->size - SL__PREFIX_BYTES - trailer);
    }
}

size_t sl__row_trailer(const struct sl_table *table) {
    return table->record.kind == SL_TABLE_BAG ? SL__NUMBER_BYTES : 0;
}

int sl__row_remove_of(struct sl_transaction *transaction, struct sl_table *table, const struct sl__row_key *key,
                      const struct sl__row_head *head, struct sl_value value) {
    int number = sl__row_remove(transaction, table->record.id, key, head, value);
    if (number == 0) {
        table->record.row_count -= table->record.row_count > 0;
        table->dirty = true;
        sl__row_note(transaction, table, SL_CHANGE_DELETE, key, sl__row_trailer(table));
    }
    return number;
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

enum sl_code sl__row_damaged(struct sl_transaction *transaction, struct sl_error *error) {
    return sl__transaction_fail(transaction, MDB_CORRUPTED, "cannot read a row", error);
}

static enum sl_code open_row(struct sl_transaction *transaction, const MDB_val *row, struct sl__found *found,
                             struct sl_error *error) {
    found->value = sl__row_read(row->mv_data, row->mv_size, &found->head);
    if (found->value.size == 0) {
        return sl__row_damaged(transaction, error);
    }
    found->expired = found->head.expiry_ns != 0 && found->head.expiry_ns <= sl__transaction_now(transaction);
    return SL_OK;
}

/* The row at found->key. */
enum sl_code sl__row_find(struct sl_transaction *transaction, struct sl__found *found, struct sl_error *error) {
    MDB_val key = sl__row_val(&found->key), row;
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
enum sl_code sl__row_find_alive(struct sl_transaction *transaction, struct sl_table *table, struct sl__found *found,
                                struct sl_error *error) {
    enum sl_code code = sl__row_find(transaction, found, error);
    if (code == SL_OK && found->expired) {
        int number = sl__row_remove_of(transaction, table, &found->key, &found->head, found->value);
        transaction->expired_count++;
        found->value = (struct sl_value){NULL, 0};
        if (number != 0) {
            code = sl__transaction_fail(transaction, number, "cannot remove a row that has expired", error);
        }
    }
    return code;
}

/* The first row at or behind `from`, or with `backward` the last one before it, that is under the same id. */
enum sl_code sl__row_seek(struct sl_transaction *transaction, const struct sl__row_key *from, bool backward,
                          struct sl__found *found, struct sl_error *error) {
    MDB_cursor *cursor;
    MDB_val key = sl__row_val(from), row;
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
enum sl_code sl__row_first_of_bag(struct sl_transaction *transaction, struct sl_table *table,
                                  const struct sl__row_key *key, struct sl__found *found, struct sl_error *error) {
    for (;;) {
        enum sl_code code = sl__row_seek(transaction, key, false, found, error);
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
        int number = sl__row_remove_of(transaction, table, &found->key, &found->head, found->value);
        transaction->expired_count++;
        if (number != 0) {
            return sl__transaction_fail(transaction, number, "cannot remove a row that has expired", error);
        }
    }
}

/* The row of a bag with these very bytes, expired or not. */
enum sl_code sl__row_find_pair(struct sl_transaction *transaction, const struct sl__row_key *key, uint32_t id,
                               struct sl_value value, struct sl__found *found, struct sl_error *error) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    uint64_t hash = sl__row_hash(key->bytes + SL__PREFIX_BYTES, key->size - SL__PREFIX_BYTES, value);
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
        sl__row_key_number(&found->key, sl__get_be64((const uint8_t *)at.mv_data + 16));
        code = sl__row_find(transaction, found, error);
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
