/* SPDX-License-Identifier: MIT */
/*
 * What lies in the map: one B-tree, LMDB's unnamed database, so that no look-up pays for finding the root of another one. The first
 * four bytes of each key (big endian, as all numbers in keys) say what it is:
 *
 *   0 u8 0                       meta record of the store
 *   0 u8 1 name                  record of a table
 *   0 u8 2 u32 id                an id whose rows are not wanted: of a reload that is under way, or replaced; purged in the background
 *   1 u64 expiry, u32 id, u64 n  row that expires; the value is the row's key
 *   2 u32 id, u64 n              rows by age, of tables that evict; the value is the row's key
 *   3 u32 id, u64 hash, u64 n    rows of bags by the hash of key and value; no value
 *   id >= 16, encoded key        row of a set
 *   id >= 16, encoded key, u64 n row of a bag
 *
 * A row's value is a head (its flags, its number n; its expiry when it has one) and the encoded value. n counts the rows that a table has ever had; the
 * heads let whoever deletes a row find what else names it. A reload fills rows under a new id and then puts that id into the table's record.
 * Numbers in values are little endian.
 */
#ifndef SL_STORE_LAYOUT_H
#define SL_STORE_LAYOUT_H

#include <string.h>

#include <slither/store.h>

#include "base/assert.h"

#define SL__STORE_MAGIC UINT64_C(0x31726f7453726c53) /* "SlrStor1" */
#define SL__STORE_LAYOUT 1u

enum sl__space {
    SL__SPACE_CATALOG = 0,
    SL__SPACE_EXPIRY = 1,
    SL__SPACE_AGE = 2,
    SL__SPACE_PAIRS = 3,
    SL__SPACE_ROWS = 16 /* and all above */
};
enum sl__catalog_part { SL__CATALOG_META = 0, SL__CATALOG_TABLE = 1, SL__CATALOG_DOOMED = 2 };

#define SL__NUMBER_BYTES 8
#define SL__PREFIX_BYTES 4
#define SL__ROW_KEY_BYTES_MAX (SL__PREFIX_BYTES + SL_STORE_KEY_BYTES_MAX + SL__NUMBER_BYTES)
SL_STATIC_ASSERT(SL__ROW_KEY_BYTES_MAX + 1 <= 511, "LMDB's keys are at most 511 bytes long");

struct sl__meta_record {
    uint64_t magic;
    uint32_t layout;
    uint32_t next_id;     /* of rows */
    uint32_t next_number; /* of tables */
    uint32_t reserved;
};

struct sl__table_record {
    uint32_t id;     /* under which its rows lie; another one after each reload */
    uint32_t number; /* the table's own, for ever; never 0 */
    uint8_t kind;
    uint8_t policy;
    uint8_t reserved[6];
    uint64_t row_count;
    uint64_t next_n; /* of its next row */
    uint64_t ttl_ms;
    uint64_t max_entries;
    uint64_t reload_count;
};
SL_STATIC_ASSERT(sizeof(struct sl__meta_record) == 24 && sizeof(struct sl__table_record) == 56, "no gaps in records");

/* ---- heads of rows ---------------------------------------------------------------------------------------------- */

enum sl__row_flag {
    SL__ROW_EXPIRES = 1, /* the head has an expiry, and there is an entry in SPACE_EXPIRY */
    SL__ROW_AGED = 2,    /* there is an entry in SPACE_AGE */
    SL__ROW_PAIRED = 4   /* there is an entry in SPACE_PAIRS, and the key ends with n */
};

/* Eight or sixteen bytes: what follows stays at the multiple of 8 at which LMDB puts large values. */
struct sl__row_head {
    uint8_t flags;
    uint64_t n;         /* below 2^56 */
    uint64_t expiry_ns; /* wall clock; 0: never */
};

static inline size_t sl__row_head_size(const struct sl__row_head *head) {
    return (head->flags & SL__ROW_EXPIRES) != 0 ? 16 : 8;
}

static inline void sl__row_head_put(uint8_t *at, const struct sl__row_head *head) {
    uint64_t word = head->n << 8 | head->flags;
    memcpy(at, &word, 8);
    if ((head->flags & SL__ROW_EXPIRES) != 0) {
        memcpy(at + 8, &head->expiry_ns, 8);
    }
}

/* The value behind the head; {NULL, 0}: these bytes are no row. */
static inline struct sl_value sl__row_read(const void *bytes, size_t size, struct sl__row_head *head) {
    const uint8_t *at = bytes;
    uint64_t word = 0;
    if (size <= 8) {
        return (struct sl_value){NULL, 0};
    }
    memcpy(&word, at, 8);
    head->flags = (uint8_t)word;
    head->n = word >> 8;
    head->expiry_ns = 0;
    size_t head_size = sl__row_head_size(head);
    if (size <= head_size) {
        return (struct sl_value){NULL, 0};
    }
    if (head_size == 16) {
        memcpy(&head->expiry_ns, at + 8, 8);
    }
    return (struct sl_value){at + head_size, size - head_size};
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static inline void sl__put_be32(uint8_t *at, uint32_t word) {
    word = __builtin_bswap32(word);
    memcpy(at, &word, 4);
}

static inline void sl__put_be64(uint8_t *at, uint64_t word) {
    word = __builtin_bswap64(word);
    memcpy(at, &word, 8);
}

static inline uint32_t sl__get_be32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, 4);
    return __builtin_bswap32(word);
}

static inline uint64_t sl__get_be64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return __builtin_bswap64(word);
}

#define SL__CATALOG_KEY_BYTES_MAX (SL__PREFIX_BYTES + 1 + SL_STORE_NAME_SIZE_MAX)

static inline size_t sl__meta_key(uint8_t *at) {
    sl__put_be32(at, SL__SPACE_CATALOG);
    at[4] = SL__CATALOG_META;
    return 5;
}

static inline size_t sl__table_key(uint8_t *at, const char *name, size_t name_size) {
    sl__put_be32(at, SL__SPACE_CATALOG);
    at[4] = SL__CATALOG_TABLE;
    memcpy(at + 5, name, name_size);
    return 5 + name_size;
}

static inline size_t sl__doomed_key(uint8_t *at, uint32_t id) {
    sl__put_be32(at, SL__SPACE_CATALOG);
    at[4] = SL__CATALOG_DOOMED;
    sl__put_be32(at + 5, id);
    return 9;
}

#define SL__INDEX_KEY_BYTES_MAX 24

static inline size_t sl__expiry_key(uint8_t *at, uint64_t expiry_ns, uint32_t id, uint64_t n) {
    sl__put_be32(at, SL__SPACE_EXPIRY);
    sl__put_be64(at + 4, expiry_ns);
    sl__put_be32(at + 12, id);
    sl__put_be64(at + 16, n);
    return 24;
}

static inline size_t sl__age_key(uint8_t *at, uint32_t id, uint64_t n) {
    sl__put_be32(at, SL__SPACE_AGE);
    sl__put_be32(at + 4, id);
    sl__put_be64(at + 8, n);
    return 16;
}

static inline size_t sl__pair_key(uint8_t *at, uint32_t id, uint64_t hash, uint64_t n) {
    sl__put_be32(at, SL__SPACE_PAIRS);
    sl__put_be32(at + 4, id);
    sl__put_be64(at + 8, hash);
    sl__put_be64(at + 16, n);
    return 24;
}

#endif
