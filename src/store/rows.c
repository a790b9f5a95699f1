/* SPDX-License-Identifier: MIT */
/* What a transaction does to rows: get, put, delete. */
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "row.h"
#include "wire/check.h"
#include "wire/ext.h"
#include "wire/token.h"
#include "wire/writer.h"

#define MS 1000000u

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

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static enum sl_code copy_bag(struct sl_transaction *transaction, struct sl_table *table, const struct sl__row_key *key,
                             struct sl_error *error) {
    struct sl_writer *writer = &transaction->copy;
    struct sl__found found;
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct sl__row_key from = *key;
        if (pass == 1) {
            sl__put_list(writer, count);
        }
        for (;;) {
            enum sl_code code = pass == 0 && count == 0 ? sl__row_first_of_bag(transaction, table, &from, &found, error)
                                                        : sl__row_seek(transaction, &from, false, &found, error);
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
            sl__row_key_number(&from, found.head.n + 1);
        }
        if (count == 0) {
            return SL_E_NOT_FOUND;
        }
    }
    return SL_OK;
}

enum sl_code sl__rows_get(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                          struct sl_value *value, struct sl_error *error) {
    struct sl__found found;
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
        struct sl__row_key row_key = found.key;
        code = copy_bag(transaction, table, &row_key, error);
    } else {
        code = sl__row_find(transaction, &found, error);
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

static int put_index(struct sl_transaction *transaction, const uint8_t *bytes, size_t size,
                     const struct sl__row_key *row) {
    MDB_val key = {size, (void *)(uintptr_t)bytes};
    MDB_val named = {0, NULL};
    if (row != NULL) {
        named = sl__row_val(row);
    }
    return mdb_put(transaction->txn, SL__ROWS, &key, &named, 0);
}

static int write_row(struct sl_transaction *transaction, const struct sl__row_key *row_key,
                     const struct sl__row_head *head, struct sl_value value, bool appends) {
    MDB_val key = sl__row_val(row_key), place = {sl__row_head_size(head) + value.size, NULL};
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
static int store_row(struct sl_transaction *transaction, uint32_t id, const struct sl__row_key *row_key,
                     const struct sl__row_head *head, const struct sl__row_head *old, struct sl_value value,
                     bool appends) {
    uint8_t bytes[SL__INDEX_KEY_BYTES_MAX];
    int number = write_row(transaction, row_key, head, value, appends);
    transaction->wrote = true;
    bool moved = old != NULL && (old->flags & SL__ROW_EXPIRES) != 0 && old->expiry_ns != head->expiry_ns;
    if (number == 0 && moved) {
        number = sl__row_delete_expiry(transaction, id, old);
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
            sl__row_hash(row_key->bytes + SL__PREFIX_BYTES, row_key->size - SL__PREFIX_BYTES - SL__NUMBER_BYTES, value);
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
    struct sl__found found;
    enum sl_code code = SL_OK;
    struct sl__row_key row;
    sl__row_key_make(&row, record->id, key, key_size);
    memset(&found.head, 0, sizeof(found.head));
    found.value = (struct sl_value){NULL, 0};
    *inserted = false;
    if (!appends) {
        if (!is_bag) {
            found.key = row;
            code = sl__row_find_alive(transaction, table, &found, error);
        } else if (mode == SL__PUT_IF_ABSENT) {
            code = sl__row_first_of_bag(transaction, table, &row, &found, error);
        } else {
            code = sl__row_find_pair(transaction, &row, record->id, value, &found, error);
            if (code == SL_OK && found.value.size > 0) {
                code = sl__row_find_alive(transaction, table, &found, error);
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
        code = sl__rows_make_place(transaction, table, error);
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
        sl__row_key_number(&row, head.n);
    }
    int number = store_row(transaction, record->id, &row, &head, is_new ? NULL : &old, value, appends);
    if (number != 0) {
        return sl__transaction_fail(transaction, number, "cannot put a row", error);
    }
    *inserted = is_new;
    sl__row_note(transaction, table, SL_CHANGE_PUT, &row, sl__row_trailer(table));
    return sl__transaction_room(transaction, error);
}

/* ---- deleting --------------------------------------------------------------------------------------------------- */

/* One row that was found, not expired: past the hook. */
static enum sl_code delete_found(struct sl_transaction *transaction, struct sl_table *table,
                                 const struct sl__found *found, struct sl_value key, struct sl_error *error) {
    enum sl_code code = call_hook(transaction, table, SL_WRITE_DELETE, key, found->value, error);
    if (code == SL_OK) {
        int number = sl__row_remove_of(transaction, table, &found->key, &found->head, found->value);
        if (number != 0) {
            code = sl__transaction_fail(transaction, number, "cannot delete a row", error);
        }
    }
    return code;
}

enum sl_code sl__rows_delete(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                             const struct sl_value *pair, uint64_t *removed, struct sl_error *error) {
    struct sl__found found;
    struct sl__row_key row;
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
            code = sl__row_find_pair(transaction, &row, table->record.id, *pair, &found, error);
            if (code == SL_OK && found.value.size > 0) {
                code = sl__row_find_alive(transaction, table, &found, error);
            }
        } else if (is_bag) {
            code = sl__row_first_of_bag(transaction, table, &row, &found, error);
        } else {
            found.key = row;
            code = sl__row_find_alive(transaction, table, &found, error);
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
static void first_bound(struct sl__row_key *at, uint32_t id, const struct sl__key_range *range, bool backward) {
    if (!backward) {
        sl__row_key_make(at, id, range->low, range->low_size);
    } else if (range->high_size > 0) {
        sl__row_key_make(at, id, range->high, range->high_size);
    } else {
        sl__row_key_make(at, id, (const uint8_t *)"\xff", 1); /* above all tags */
    }
}

enum sl_code sl__rows_delete_range(struct sl_transaction *transaction, struct sl_table *table,
                                   const struct sl_scan_options *options, uint64_t *removed, struct sl_error *error) {
    struct sl__key_range range;
    struct sl__row_key at;
    struct sl__found found;
    struct sl_writer *writer = &transaction->update;
    *removed = 0;
    enum sl_code code = sl__rows_table(transaction, table, error);
    if (code == SL_OK) {
        code = sl__key_range(options, &range, error);
    }
    if (code != SL_OK || range.empty) {
        return code;
    }
    size_t trailer = sl__row_trailer(table);
    first_bound(&at, table->record.id, &range, options->backward);
    for (;;) {
        code = sl__row_seek(transaction, &at, options->backward, &found, error);
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
            return sl__row_damaged(transaction, error);
        }
        struct sl_value key = {writer->data, writer->size};
        if (found.expired) {
            int number = sl__row_remove_of(transaction, table, &found.key, &found.head, found.value);
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
