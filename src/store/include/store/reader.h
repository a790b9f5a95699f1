/* SPDX-License-Identifier: MIT */
/*
 * Reading a store: what host, workers and the command line share. This half of the room needs base, sys, wire and LMDB only; its writer may be this process or
 * another one.
 *
 * A reading is a place in a fixed array that is taken and given back with one atomic operation each, and holds a read transaction of LMDB that is
 * renewed each time: no lock, no allocation. While it is taken it sees one version. What was found out about tables is remembered
 * in the reading, by its only user; see control.h for when that is still true.
 */
#ifndef SLITHER_STORE_READER_H
#define SLITHER_STORE_READER_H

#include <pthread.h>
#include <stdatomic.h>

#include <slither/error.h>
#include <slither/store.h>
#include <slither/value.h>

#include "store/control.h"
#include "store/key.h"

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

/** A table by name. Never goes away before the reader does. */
struct sl__table_name {
    uint32_t index; /* in sl__reader.names */
    size_t size;
    char name[SL_STORE_NAME_SIZE_MAX + 1];
};

/** What one version of the catalog says of a table. */
struct sl__table_view {
    uint64_t version; /* at which it was looked up; 0: not yet */
    uint32_t id;      /* of its rows; 0: there is no such table */
    uint32_t number;
    enum sl_table_kind kind;
};

struct sl__reader;

struct sl__reading {
    _Alignas(128) _Atomic uint32_t taken;
    _Atomic uint64_t begun_ns; /* a snapshot, since then: for who looks for old ones. 0: not one */
    _Atomic uint64_t begun_version;
    _Atomic int64_t thread;
    uint64_t reported_ns; /* begun_ns of the last one that was reported; theirs */
    uint64_t version;
    struct sl__reader *reader;
    struct MDB_txn *txn;
    struct sl__table_view *views; /* names_max, by index */
};

#define SL__READINGS_MAX 256

struct sl__reader {
    struct MDB_env *env;
    const struct sl__control *control; /* NULL: nobody writes, nothing is remembered */
    size_t control_size;
    const volatile uint32_t *fork_mark;
    uint32_t reading_count; /* a power of two */
    uint32_t names_max;     /* names a process may ask for: some more than there can be tables at once */
    struct sl__reading *readings;
    uint64_t (*_Atomic wall_ns)(void); /* the clock of expiry */

    pthread_mutex_t lock; /* guards adding names */
    _Atomic uint32_t name_count;
    struct sl__table_name **names; /* names_max */
};

/** For who has the environment already: the writer. `env` and `control` stay the caller's. `reading_count`: a power of two. */
enum sl_code sl__reader_init(struct sl__reader *reader, struct MDB_env *env, const struct sl__control *control,
                             uint32_t tables_max, uint32_t reading_count, struct sl_error *error) SL_MUST_CHECK;
void sl__reader_finish(struct sl__reader *reader);

/**
 * Opens the store at `path` for reading; its writer may be another process, or none. One process attaches to a path once at a time, after its last
 * fork. Errors: not_found, invalid_data, version_mismatch, invalid_argument (this process is the writer), system, out_of_memory.
 */
enum sl_code sl__reader_attach(const char *path, struct sl__reader **reader, struct sl_error *error) SL_MUST_CHECK;
/** No reading may be taken. NULL is fine. In a forked child it does nothing. */
void sl__reader_detach(struct sl__reader *reader);

/** Whether this process is a forked child of the one that opened the store. */
static inline bool sl__reader_foreign(const struct sl__reader *reader) {
    return *reader->fork_mark == 0;
}

/** The table of that name, whether it exists in the store or not. Errors: invalid_argument (the name), limit_exceeded (more names than names_max). */
enum sl_code sl__reader_table(struct sl__reader *reader, const char *name, size_t name_size,
                              const struct sl__table_name **table, struct sl_error *error) SL_MUST_CHECK;

/** Takes a reading, at the newest version. closed, limit_exceeded (all are taken), system. */
enum sl_code sl__reading_begin(struct sl__reader *reader, struct sl__reading **reading,
                               struct sl_error *error) SL_MUST_CHECK;
void sl__reading_end(struct sl__reading *reading);

/** What the catalog says of a table. not_found (`error` is written). */
enum sl_code sl__reading_table(struct sl__reading *reading, const struct sl__table_name *table,
                               const struct sl__table_view **view, struct sl_error *error) SL_MUST_CHECK;

/** Everything that the catalog says of a table. not_found. */
enum sl_code sl__reading_info(struct sl__reading *reading, const struct sl__table_name *table,
                              struct sl_table_info *info, struct sl_error *error) SL_MUST_CHECK;
/** All tables by name, as sl_store_tables. */
enum sl_code sl__reading_tables(struct sl__reading *reading,
                                enum sl_code (*function)(void *context, const struct sl_table_info *info),
                                void *context, struct sl_error *error) SL_MUST_CHECK;

/** The value of a key, in the map. `view`: of this reading, and of no bag. not_found (no error is written). */
enum sl_code sl__reading_get(struct sl__reading *reading, const struct sl__table_view *view, struct sl_value key,
                             struct sl_value *value, struct sl_error *error) SL_MUST_CHECK;
/**
 * The value of a key, of a bag the list of its values, appended to `writer` without checks; its bytes are those from the writer's size before on.
 * not_found (no error is written).
 */
enum sl_code sl__reading_copy(struct sl__reading *reading, const struct sl__table_name *table, struct sl_value key,
                              struct sl_writer *writer, struct sl_error *error) SL_MUST_CHECK;
enum sl_code sl__reading_contains(struct sl__reading *reading, const struct sl__table_name *table, struct sl_value key,
                                  bool *contains, struct sl_error *error) SL_MUST_CHECK;

/** A walk over rows. Caller's memory. */
struct sl__walk {
    struct sl__reading *reading;
    struct MDB_cursor *cursor;
    struct sl__key_range range;
    uint32_t id;
    bool is_bag;
    bool backward;
    bool started;
    bool ended;
    uint64_t now_ns; /* rows that expire up to then are left out; looked at when the first one expires at all */
};
/** `key_range` is copied. */
enum sl_code sl__walk_begin(struct sl__walk *walk, struct sl__reading *reading, const struct sl__table_name *table,
                            const struct sl__key_range *key_range, bool backward, struct sl_error *error) SL_MUST_CHECK;
/** The next row, in the map: the encoded key and the value. end (no error is written). */
enum sl_code sl__walk_next(struct sl__walk *walk, const uint8_t **key, size_t *key_size, struct sl_value *value,
                           struct sl_error *error) SL_MUST_CHECK;
void sl__walk_end(struct sl__walk *walk);

#endif
