/* SPDX-License-Identifier: MIT */
/*
 * One row: finding it and removing it with all that names it. For who has the transaction. Pointers into the map are good until the next write of the
 * transaction, since that may copy the page.
 */
#ifndef SL_STORE_ROW_H
#define SL_STORE_ROW_H

#include "inside.h"

/* Its key as it lies in the tree. */
struct sl__row_key {
    uint8_t bytes[SL__ROW_KEY_BYTES_MAX];
    size_t size;
};

struct sl__found {
    struct sl__row_key key;
    struct sl__row_head head;
    struct sl_value value; /* in the map; {NULL, 0}: there is no row */
    bool expired;
};

MDB_val sl__row_val(const struct sl__row_key *key);
void sl__row_key_make(struct sl__row_key *row, uint32_t id, const uint8_t *key, size_t size);
/* Of a row of a bag: its number behind the key. */
void sl__row_key_number(struct sl__row_key *row, uint64_t n);
/* Bytes behind the key in the rows of a table. */
size_t sl__row_trailer(const struct sl_table *table);
/* Of the key and the value of a row of a bag. Not the hash of values: pairs are the same when their bytes are. */
uint64_t sl__row_hash(const uint8_t *key, size_t key_size, struct sl_value value);

/* The row at found->key. */
enum sl_code sl__row_find(struct sl_transaction *transaction, struct sl__found *found,
                          struct sl_error *error) SL_MUST_CHECK;
/* The same, but a row that has expired is removed on the spot. */
enum sl_code sl__row_find_alive(struct sl_transaction *transaction, struct sl_table *table, struct sl__found *found,
                                struct sl_error *error) SL_MUST_CHECK;
/* The first row at or behind `from`, or with `backward` the last one before it, that is under the same id. */
enum sl_code sl__row_seek(struct sl_transaction *transaction, const struct sl__row_key *from, bool backward,
                          struct sl__found *found, struct sl_error *error) SL_MUST_CHECK;
/* The first row of a key of a bag that has not expired; those before it that have are removed. */
enum sl_code sl__row_first_of_bag(struct sl_transaction *transaction, struct sl_table *table,
                                  const struct sl__row_key *key, struct sl__found *found,
                                  struct sl_error *error) SL_MUST_CHECK;
/* The row of a bag with these very bytes, expired or not. */
enum sl_code sl__row_find_pair(struct sl_transaction *transaction, const struct sl__row_key *key, uint32_t id,
                               struct sl_value value, struct sl__found *found, struct sl_error *error) SL_MUST_CHECK;
/* What was read is no row. */
enum sl_code sl__row_damaged(struct sl_transaction *transaction, struct sl_error *error) SL_MUST_CHECK;

/* These return LMDB's number. A row and all that names it; `key` is not in the map, `value` may be. */
int sl__row_remove(struct sl_transaction *transaction, uint32_t id, const struct sl__row_key *key,
                   const struct sl__row_head *head, struct sl_value value);
/* The same, and the table has one row less, which is a change. */
int sl__row_remove_of(struct sl_transaction *transaction, struct sl_table *table, const struct sl__row_key *key,
                      const struct sl__row_head *head, struct sl_value value);
int sl__row_delete_expiry(struct sl_transaction *transaction, uint32_t id, const struct sl__row_head *head);
void sl__row_note(struct sl_transaction *transaction, const struct sl_table *table, enum sl_change_kind kind,
                  const struct sl__row_key *key, size_t trailer);

/* Room for one more row in a table with max_entries. */
enum sl_code sl__rows_make_place(struct sl_transaction *transaction, struct sl_table *table,
                                 struct sl_error *error) SL_MUST_CHECK;

#endif
