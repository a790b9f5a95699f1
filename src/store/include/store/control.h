/* SPDX-License-Identifier: MIT */
/*
 * Control file: what the writer of a store tells its readers beside the rows. It lies beside the map, the writer alone writes it, readers map it
 * read-only; they use it as hints and as a bell, so that a reader that sees nonsense there misses a change at worst.
 *
 *   catalog_version  the last transaction that changed where a table's rows are, stored before that transaction is committed.
 *                    A reader of version v that looked a table up at version c may use what it found when catalog_version <= min(v, c).
 *   bell             changes with each commit; a futex word
 *   changes          a ring of records of what was committed, for watches
 *
 * Ring: positions count 64-bit words for ever. The writer raises `tail` above what it is about to overwrite, then writes words with
 * relaxed stores, then raises `head` with a release. A reader at position p < head copies words with relaxed loads, and then, behind
 * an acquire fence, looks whether p >= tail still holds: if so, none of the words was overwritten while it copied. If not, it has lost changes, knows it, and goes on
 * at head. The writer's store of `tail` is ordered before the stores of words by a release fence, which pairs with the reader's
 * acquire fence: whoever sees such a word sees the tail.
 */
#ifndef SLITHER_STORE_CONTROL_H
#define SLITHER_STORE_CONTROL_H

#include <stdatomic.h>

#include <slither/store.h>

#define SL__CONTROL_MAGIC UINT64_C(0x6c72746e6f43726c) /* "lrContrl" */
#define SL__CONTROL_LAYOUT 1u
#define SL__CONTROL_HEAD_BYTES 4096

struct sl__control {
    uint64_t magic;
    uint32_t layout;
    uint32_t tables_max;
    int64_t owner_pid;
    uint64_t ring_words; /* a power of two */
    _Atomic uint64_t catalog_version;
    _Atomic uint64_t version; /* of the last commit */
    _Atomic uint32_t bell;
    _Atomic uint32_t closed; /* the writer has gone; never 0 again */
    _Atomic uint64_t head;
    _Atomic uint64_t tail;
};

/** One change. `key` is encoded as in store/key.h; of size 0 for what concerns a whole table. */
struct sl__change_record {
    enum sl_change_kind kind;
    uint32_t table_number;
    uint64_t version;
    uint16_t key_size;
    uint8_t key[SL_STORE_KEY_BYTES_MAX];
};

/* ---- the writer's side ------------------------------------------------------------------------------------------ */

/** Makes (anew) and maps the control file in the store's directory; tells readers of an older one that its writer is gone. */
enum sl_code sl__control_create(const char *directory, uint32_t tables_max, uint64_t change_bytes,
                                struct sl__control **control, size_t *mapped_size, struct sl_error *error);
/** Sets `closed`, rings, unmaps. NULL is fine. */
void sl__control_destroy(struct sl__control *control, size_t mapped_size);

/** Changes of a transaction until it is committed. A zeroed one is empty. */
struct sl__change_list {
    uint64_t *items; /* words as they go into the ring */
    size_t count;
    size_t capacity;
    bool overflow; /* they were more than the ring takes, or memory ran out: followers are told that they lost some */
};
void sl__change_list_add(struct sl__change_list *list, const struct sl__control *control, enum sl_change_kind kind,
                         uint32_t table_number, const uint8_t *key, size_t key_size);
void sl__change_list_finish(struct sl__change_list *list);

/** After a commit: puts the changes into the ring, empties the list, rings the bell. */
void sl__control_publish(struct sl__control *control, uint64_t version, struct sl__change_list *list);

/* ---- the readers' side ------------------------------------------------------------------------------------------ */

/** Maps the control file of a store that a live writer has. not_found: there is none. version_mismatch, invalid_data. */
enum sl_code sl__control_attach(const char *directory, const struct sl__control **control, size_t *mapped_size,
                                struct sl_error *error);
void sl__control_detach(const struct sl__control *control, size_t mapped_size);

/** From here on changes are seen. */
static inline uint64_t sl__control_position(const struct sl__control *control) {
    return atomic_load_explicit(&control->head, memory_order_acquire);
}
/** The next record from `*position` on: SL_OK; again: there is none; limit_exceeded: some were lost, `*position` is at the end now. */
enum sl_code sl__control_next(const struct sl__control *control, uint64_t *position, struct sl__change_record *record);
/** Sleeps while the bell is `seen` and the writer is there, at most until `deadline_ns` (0: none). May return for no reason. */
void sl__control_wait(const struct sl__control *control, uint32_t seen, uint64_t deadline_ns);

#endif
