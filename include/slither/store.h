/* SPDX-License-Identifier: MIT */
/*
 * Store: tables that the host writes and everybody reads, host threads and Python workers alike, without a round trip.
 *
 *   store        a set of tables: in memory (gone with the runtime) or at a path (durable); one process writes it
 *   table        rows of a key and a value; set, ordered_set or bag
 *   snapshot     the store as it stood at one moment; values are seen in place as long as it lasts
 *   transaction  writes to any tables that become visible together, or not at all
 *   reload       new rows for a whole table, taken into use at one stroke
 *   watch        tells what has changed
 *
 * Reads never wait: not for each other, not for a write. Writes wait for each other. See docs/store.md.
 *
 * Keys are nil, bool, int, float, str, bytes, timestamp, or a list of those and of such lists. They are ordered as
 * sl_value_compare() says, and equal when it says so: 1 and 1.0 are one key, which is read back as the int 1. A key takes at
 * most SL_STORE_KEY_BYTES_MAX bytes as the store encodes it: numbers take 9 (11 from 2^53 on), str and bytes their size + 2 and one
 * more for each NUL byte, timestamps 13, lists their entries + 2. Longer: limit_exceeded. Other types: type_mismatch.
 * Values are of any type but marks, and arrays in shared buffers: those are invalid_argument.
 *
 * All functions here that can fail set `error` (NULL: not wanted), and all may fail with: invalid_argument (NULL handles, wrong
 * options), closed (a forked child uses its parent's store), invalid_data (what lies in the store's file is damaged),
 * system and out_of_memory. They are called from any thread; none is called from a callback of the same store
 * unless said otherwise. Functions that write fail with unsupported on a store that was opened read-only.
 */
#ifndef SLITHER_STORE_H
#define SLITHER_STORE_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_store;
struct sl_table;
struct sl_snapshot;
struct sl_scan;
struct sl_transaction;
struct sl_reload;
struct sl_watch;

#define SL_STORE_NAME_SIZE_MAX 64  /**< bytes of a store's or a table's name, without the NUL */
#define SL_STORE_KEY_BYTES_MAX 490 /**< of an encoded key */
#define SL_STORE_KEY_DEPTH_MAX 8   /**< lists in lists in a key */
#define SL_STORE_VALUE_BYTES_MAX SL_SIZE_MAX_DEFAULT

/* ---- stores ------------------------------------------------------------------------------------------------------ */

/**
 * When a write of a durable store is on disk. Whatever is chosen, a process that is killed loses nothing that was acknowledged; this is about
 * machines that lose power.
 */
enum sl_store_sync {
    SL_STORE_SYNC_FULL = 0, /**< before it is acknowledged */
    SL_STORE_SYNC_ASYNC =
        1, /**< sync_interval_ms after it was acknowledged, at most; a crash of the machine loses as much */
    SL_STORE_SYNC_NONE =
        2 /**< when the system likes; a power cut may lose writes, and damage the file where the file system reorders them */
};

struct sl_store_options {
    size_t size; /**< sizeof(struct sl_store_options) */
    const char
        *name; /**< letters, digits, '_', '-', '.', not a '.' first; unique within the runtime; default "store" */
    /** directory of a durable store, made (0700) when it is not there; NULL: in memory, in the runtime's directory */
    const char *path;
    bool read_only;            /**< only read what is at `path`, which another process may be writing meanwhile */
    enum sl_store_sync sync;   /**< of a durable store; default SL_STORE_SYNC_FULL */
    uint32_t sync_interval_ms; /**< of SL_STORE_SYNC_ASYNC, 1..60000; default 100 */
    /**
     * what rows may take with all that belongs to them, 1 MiB..16 TiB; default 1 GiB. The map is an eighth larger, for pages that somebody still
     * reads and for deleting from a full store. Address space, not memory: the store takes what it holds.
     */
    uint64_t bytes_max;
    uint32_t tables_max;       /**< 1..1024; default 64 */
    uint32_t readers_max;      /**< snapshots and reads under way at once, of all processes, 16..8192; default 1024 */
    uint32_t snapshot_warn_ms; /**< a snapshot that is older is reported, 10..; 0: none is; default 10000 */
    uint32_t change_bytes;     /**< of the log that watches follow, 64 KiB..256 MiB; default 1 MiB */
};

#define SL_STORE_OPTIONS_INIT                                                                                        \
    {                                                                                                                \
        sizeof(struct sl_store_options), "store", NULL, false, SL_STORE_SYNC_FULL, 100, (uint64_t)1 << 30, 64, 1024, \
            10000, 1 << 20                                                                                           \
    }

/**
 * Makes a store, or opens the one at `options->path`; `options` NULL: the defaults. Strings are copied. The runtime destroys
 * stores that are left when it is destroyed itself. `runtime` may be NULL when there is a path; workers then cannot find the store,
 * nothing is logged, and the caller destroys it. Blocks for the file system.
 * Errors: invalid_argument (options; the name is taken; the store at `path` is open already, in this process or another: it says
 * in which), invalid_data (what is at `path` is damaged, or is not a store), version_mismatch (a store of another
 * layout), not_found (read_only, and nothing there), system (no space, no permission...).
 */
SL_API SL_MUST_CHECK enum sl_code sl_store_create(struct sl_runtime *runtime, const struct sl_store_options *options,
                                                  struct sl_store **store, struct sl_error *error);
/**
 * Closes the store; all of its table handles go with it. Rows of an in-memory store are gone. No snapshot, scan, transaction, reload
 * or watch of it may be left, and no call into it be under way. NULL is fine. Not from a callback of the store.
 */
SL_API void sl_store_destroy(struct sl_store *store);

/** Writes of a durable store to disk what is not there yet; returns when it is. */
SL_API SL_MUST_CHECK enum sl_code sl_store_sync(struct sl_store *store, struct sl_error *error);

struct sl_store_stat {
    size_t size;            /**< sizeof(struct sl_store_stat) */
    uint64_t bytes_max;     /**< what its rows may take */
    uint64_t bytes_used;    /**< of the file, at the furthest */
    uint64_t bytes_free;    /**< of bytes_used: pages that the next writes will use again */
    uint64_t version;       /**< number of the last committed transaction */
    uint64_t commit_count;  /**< transactions since the store was opened (of a read-only one: 0, as all below) */
    uint64_t expired_count; /**< rows that the TTL has removed */
    uint64_t evicted_count; /**< rows that max_entries has removed */
    uint64_t snapshot_warning_count; /**< snapshots found older than snapshot_warn_ms */
    uint32_t table_count;
    uint32_t reader_count;            /**< snapshots and reads under way, of all processes */
    uint64_t oldest_snapshot_version; /**< the oldest version that somebody still reads; `version` when nobody does */
    int64_t oldest_snapshot_pid;      /**< of the process that reads it, or 0 */
};

#define SL_STORE_STAT_INIT \
    { sizeof(struct sl_store_stat), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** Fills `stat`, which must have been set up. */
SL_API SL_MUST_CHECK enum sl_code sl_store_stat(struct sl_store *store, struct sl_store_stat *stat,
                                                struct sl_error *error);

/* ---- tables ------------------------------------------------------------------------------------------------------ */

enum sl_table_kind {
    SL_TABLE_SET = 1,         /**< one value a key */
    SL_TABLE_ORDERED_SET = 2, /**< one value a key, and the order of a scan is a promise */
    SL_TABLE_BAG = 3          /**< several different values a key, in the order of their insertion */
};

/** What a write does to a table that has max_entries rows already. */
enum sl_table_full {
    SL_TABLE_FULL_REFUSE = 0, /**< limit_exceeded; a write that replaces a row is not refused */
    SL_TABLE_FULL_EVICT = 1   /**< the row that was inserted first goes; replacing a row does not make it younger */
};

struct sl_table_options {
    size_t size; /**< sizeof(struct sl_table_options) */
    enum sl_table_kind kind;
    uint64_t ttl_ms;           /**< rows go that long after they were put; 0: never; at most 10 years */
    uint64_t max_entries;      /**< 0: no bound */
    enum sl_table_full policy; /**< when max_entries is reached */
};

#define SL_TABLE_OPTIONS_INIT \
    { sizeof(struct sl_table_options), SL_TABLE_SET, 0, 0, SL_TABLE_FULL_REFUSE }

/**
 * The handle of a table, the same one for each call with that name; it lasts as long as the store. `options` NULL: the table must exist
 * (not_found). Otherwise it is made when it does not, and when it does it must be of that kind (type_mismatch) and takes
 * the other options from now on: a TTL holds for rows that are put from then on; changing max_entries' policy of a table that has
 * rows is invalid_argument. Name: 1..64 bytes of UTF-8 without NUL. limit_exceeded past tables_max.
 */
SL_API SL_MUST_CHECK enum sl_code sl_table_open(struct sl_store *store, const char *name,
                                                const struct sl_table_options *options, struct sl_table **table,
                                                struct sl_error *error);
/** Removes all rows; at once for readers, the memory is taken back in the background. */
SL_API SL_MUST_CHECK enum sl_code sl_table_clear(struct sl_table *table, struct sl_error *error);
/** Removes the table. Its handle stays valid and answers not_found until the table is opened with options again. */
SL_API SL_MUST_CHECK enum sl_code sl_table_drop(struct sl_table *table, struct sl_error *error);
/** Its name; static for the life of the handle. */
SL_API const char *sl_table_name(const struct sl_table *table);

struct sl_table_info {
    size_t size; /**< sizeof(struct sl_table_info) */
    const char *name;
    enum sl_table_kind kind;
    uint64_t row_count; /**< rows that have expired but were not swept yet are counted */
    uint64_t ttl_ms;
    uint64_t max_entries;
    enum sl_table_full policy;
    uint64_t reload_count; /**< how often all of its rows have been replaced */
};

/** Calls `function` for each table, in the order of the names, on one snapshot. Anything but SL_OK ends it and is returned. */
SL_API SL_MUST_CHECK enum sl_code
sl_store_tables(struct sl_store *store, enum sl_code (*function)(void *context, const struct sl_table_info *info),
                void *context, struct sl_error *error);

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/** Memory for a key of one scalar, where a writer would be a burden. */
struct sl_key {
    uint8_t bytes[SL_STORE_KEY_BYTES_MAX + 6];
};

/** Each returns a value whose bytes lie in `memory`. */
SL_API struct sl_value sl_key_int(struct sl_key *memory, int64_t number);
/** `text` is UTF-8. One that is longer than a key can be becomes "no value", which every function refuses as a key. */
SL_API struct sl_value sl_key_str(struct sl_key *memory, const char *text);
SL_API struct sl_value sl_key_strn(struct sl_key *memory, const char *text, size_t size);
SL_API struct sl_value sl_key_bytes(struct sl_key *memory, const void *bytes, size_t size);

/* ---- reads: from any thread, also from callbacks, never waiting --------------------------------------------------- */

/**
 * The value of a key, copied into `memory` (which is reset first; its memory is kept from call to call) and valid until that is used
 * again. Of a bag: a list of the key's values. not_found when there is none; `error` is not written then, so that a miss costs nothing.
 */
SL_API SL_MUST_CHECK enum sl_code sl_table_get(struct sl_table *table, struct sl_value key, struct sl_writer *memory,
                                               struct sl_value *value, struct sl_error *error);
/** `count` values of one snapshot; {NULL, 0} where there is none. 0..1000000 keys. */
SL_API SL_MUST_CHECK enum sl_code sl_table_get_many(struct sl_table *table, const struct sl_value *keys, size_t count,
                                                    struct sl_writer *memory, struct sl_value *values,
                                                    struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_table_contains(struct sl_table *table, struct sl_value key, bool *contains,
                                                    struct sl_error *error);
/** Rows; in constant time. Rows that have expired but were not swept yet are counted. */
SL_API SL_MUST_CHECK enum sl_code sl_table_size(struct sl_table *table, uint64_t *row_count, struct sl_error *error);

/**
 * Takes a snapshot. End it soon: pages that writes replace cannot be used again while somebody may still look at them, so that
 * the store grows. One that lasts longer than snapshot_warn_ms is logged. One thread at a time uses it.
 * limit_exceeded: too many are open.
 */
SL_API SL_MUST_CHECK enum sl_code sl_snapshot_begin(struct sl_store *store, struct sl_snapshot **snapshot,
                                                    struct sl_error *error);
/** All that was read through it is invalid from then on. NULL is fine. */
SL_API void sl_snapshot_end(struct sl_snapshot *snapshot);
/** Number of the last transaction that it sees. Ascending. */
SL_API uint64_t sl_snapshot_version(const struct sl_snapshot *snapshot);
/**
 * As sl_table_get, without a copy: the value is valid until the snapshot ends. The value lies at a multiple of 2 bytes only. Of a bag the list
 * is built in memory that the snapshot owns.
 */
SL_API SL_MUST_CHECK enum sl_code sl_snapshot_get(struct sl_snapshot *snapshot, struct sl_table *table,
                                                  struct sl_value key, struct sl_value *value, struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_snapshot_contains(struct sl_snapshot *snapshot, struct sl_table *table,
                                                       struct sl_value key, bool *contains, struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_snapshot_size(struct sl_snapshot *snapshot, struct sl_table *table,
                                                   uint64_t *row_count, struct sl_error *error);

/** Whether a row is wanted. It must not write to the store. */
typedef bool sl_row_fn(void *context, struct sl_value key, struct sl_value value);

/** Which rows, and in which order. All bounds that are set must hold; a bound that is {NULL, 0} is not set. */
struct sl_scan_options {
    size_t size;            /**< sizeof(struct sl_scan_options) */
    struct sl_value key;    /**< this key only (of a bag: all its rows) */
    struct sl_value prefix; /**< a str or bytes: keys that start with it; a list: lists that start with its entries */
    struct sl_value from;   /**< this key and those after it */
    struct sl_value to;     /**< keys before this one */
    bool to_included;       /**< and that key too */
    bool backward;          /**< last key first */
    uint64_t limit;         /**< at most so many rows; 0: all */
    sl_row_fn *select;      /**< NULL, or: only rows for which it returns true */
    void *context;          /**< of select */
};

#define SL_SCAN_OPTIONS_INIT \
    { sizeof(struct sl_scan_options), {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, false, false, 0, NULL, NULL }

/**
 * Starts to walk over rows in the order of their keys; `options` NULL: all of them. `snapshot` NULL: one of the scan's own.
 * What the options point to need not outlive the call, `select`'s context must. A scan is used by the thread that uses its snapshot, and ended
 * before it.
 */
SL_API SL_MUST_CHECK enum sl_code sl_scan_begin(struct sl_table *table, struct sl_snapshot *snapshot,
                                                const struct sl_scan_options *options, struct sl_scan **scan,
                                                struct sl_error *error);
/** The next row: the key is valid until the next call, the value as long as the snapshot. `end` (no error is written) after the last. */
SL_API SL_MUST_CHECK enum sl_code sl_scan_next(struct sl_scan *scan, struct sl_value *key, struct sl_value *value,
                                               struct sl_error *error);
/** NULL is fine. */
SL_API void sl_scan_end(struct sl_scan *scan);

/** SL_OK: go on; SL_E_END: that was enough, the fold succeeds; anything else ends it and is its result. */
typedef enum sl_code sl_fold_fn(void *context, struct sl_value key, struct sl_value value, struct sl_error *error);
/** Calls `function` for each row that a scan would give. */
SL_API SL_MUST_CHECK enum sl_code sl_table_fold(struct sl_table *table, struct sl_snapshot *snapshot,
                                                const struct sl_scan_options *options, sl_fold_fn *function,
                                                void *context, struct sl_error *error);

/* ---- writes ------------------------------------------------------------------------------------------------------ */
/*
 * They wait for each other, and return when what they wrote can be read (with SL_STORE_SYNC_FULL: when it is on disk).
 * Further errors of all: limit_exceeded (key or value too long; the rows would take more than bytes_max; or the map is full: it names who
 * reads an old version and so keeps pages from being used again; the table has max_entries rows), system (no space left on the device), and what a hook returns.
 * After any error nothing of the call has happened. A thread with an open transaction must write through it (invalid_argument).
 */

struct sl_put_options {
    size_t size;     /**< sizeof(struct sl_put_options) */
    uint64_t ttl_ms; /**< of this row, instead of the table's; 0: the table's; UINT64_MAX: never expires */
};

#define SL_PUT_OPTIONS_INIT \
    { sizeof(struct sl_put_options), 0 }

/** Puts a row. In a set it replaces the row of that key; in a bag it does nothing when the same bytes stand there already, but for the TTL. */
SL_API SL_MUST_CHECK enum sl_code sl_table_put(struct sl_table *table, struct sl_value key, struct sl_value value,
                                               const struct sl_put_options *options, struct sl_error *error);
/** Puts a row unless the key has one. `inserted` may be NULL. */
SL_API SL_MUST_CHECK enum sl_code sl_table_put_if_absent(struct sl_table *table, struct sl_value key,
                                                         struct sl_value value, const struct sl_put_options *options,
                                                         bool *inserted, struct sl_error *error);

enum sl_update_action {
    SL_UPDATE_PUT = 0,   /**< put the value that was written into `writer` */
    SL_UPDATE_KEEP = 1,  /**< change nothing */
    SL_UPDATE_DELETE = 2 /**< delete the row */
};
/**
 * Makes a new value of the old one ({NULL, 0}: there is none), within the transaction: nobody writes meanwhile, so be quick, and do not
 * write to the store. Anything but SL_OK fails the update.
 */
typedef enum sl_code sl_update_fn(void *context, struct sl_value old, struct sl_writer *writer,
                                  enum sl_update_action *action, struct sl_error *error);
/** Read, change, write, as one. Not for bags (type_mismatch). */
SL_API SL_MUST_CHECK enum sl_code sl_table_update(struct sl_table *table, struct sl_value key, sl_update_fn *function,
                                                  void *context, struct sl_error *error);
/**
 * Adds to an int, which is 0 when there is no row. `result` may be NULL. type_mismatch: the value is no int, or the table a bag; out_of_range: the sum is not within 64 bits, signed.
 */
SL_API SL_MUST_CHECK enum sl_code sl_table_increment(struct sl_table *table, struct sl_value key, int64_t delta,
                                                     int64_t *result, struct sl_error *error);
/** Deletes the row of a key, of a bag all of them. `removed` (may be NULL): how many; none is no error. */
SL_API SL_MUST_CHECK enum sl_code sl_table_delete(struct sl_table *table, struct sl_value key, uint64_t *removed,
                                                  struct sl_error *error);
/** Deletes the one row with that key and the bytes of that value. */
SL_API SL_MUST_CHECK enum sl_code sl_table_delete_pair(struct sl_table *table, struct sl_value key,
                                                       struct sl_value value, bool *removed, struct sl_error *error);
/** Deletes what a scan with these options would give, in one transaction. `options` NULL: all rows, but sl_table_clear is quicker. */
SL_API SL_MUST_CHECK enum sl_code sl_table_delete_range(struct sl_table *table, const struct sl_scan_options *options,
                                                        uint64_t *removed, struct sl_error *error);

struct sl_row {
    struct sl_value key;
    struct sl_value value;
};
/** Gives the next row, valid until it is called again; `end` when there are no more. Anything else fails the insert. */
typedef enum sl_code sl_row_source_fn(void *context, struct sl_row *row, struct sl_error *error);

/** Puts all rows of an array in one transaction. */
SL_API SL_MUST_CHECK enum sl_code sl_table_put_many(struct sl_table *table, const struct sl_row *rows, size_t count,
                                                    const struct sl_put_options *options, struct sl_error *error);
/** Puts all rows of a source in one transaction; writers wait meanwhile. `row_count` may be NULL. For more than some 100,000 rows: a reload. */
SL_API SL_MUST_CHECK enum sl_code sl_table_bulk_insert(struct sl_table *table, sl_row_source_fn *source, void *context,
                                                       uint64_t *row_count, struct sl_error *error);
/** Removes up to `row_max` expired rows; writes do the same, 16 rows at a time. `removed` may be NULL. */
SL_API SL_MUST_CHECK enum sl_code sl_store_sweep(struct sl_store *store, uint64_t row_max, uint64_t *removed,
                                                 struct sl_error *error);

/**
 * Starts a transaction: waits until no other is open, and others wait until it ends. The thread that begins it is the one that uses and
 * ends it. Its own reads see its writes. After an error of one of its functions other than invalid_argument, type_mismatch,
 * out_of_range, not_found and a key or value that is too long it can only be aborted; sl_transaction_commit then fails with that error again.
 */
SL_API SL_MUST_CHECK enum sl_code sl_transaction_begin(struct sl_store *store, struct sl_transaction **transaction,
                                                       struct sl_error *error);
/** Makes it visible; on failure nothing of it has happened. The transaction is gone either way, but for invalid_argument. */
SL_API SL_MUST_CHECK enum sl_code sl_transaction_commit(struct sl_transaction *transaction, struct sl_error *error);
/** Forgets it. NULL is fine. */
SL_API void sl_transaction_abort(struct sl_transaction *transaction);

/** The value is valid until the next function of the transaction. Of a bag: a list. not_found: see sl_table_get. */
SL_API SL_MUST_CHECK enum sl_code sl_transaction_get(struct sl_transaction *transaction, struct sl_table *table,
                                                     struct sl_value key, struct sl_value *value,
                                                     struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_transaction_put(struct sl_transaction *transaction, struct sl_table *table,
                                                     struct sl_value key, struct sl_value value,
                                                     const struct sl_put_options *options, struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_transaction_put_if_absent(struct sl_transaction *transaction,
                                                               struct sl_table *table, struct sl_value key,
                                                               struct sl_value value,
                                                               const struct sl_put_options *options, bool *inserted,
                                                               struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_transaction_update(struct sl_transaction *transaction, struct sl_table *table,
                                                        struct sl_value key, sl_update_fn *function, void *context,
                                                        struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_transaction_increment(struct sl_transaction *transaction, struct sl_table *table,
                                                           struct sl_value key, int64_t delta, int64_t *result,
                                                           struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_transaction_delete(struct sl_transaction *transaction, struct sl_table *table,
                                                        struct sl_value key, uint64_t *removed, struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_transaction_delete_pair(struct sl_transaction *transaction, struct sl_table *table,
                                                             struct sl_value key, struct sl_value value, bool *removed,
                                                             struct sl_error *error);

/* ---- write-through ----------------------------------------------------------------------------------------------- */

enum sl_write_kind { SL_WRITE_PUT = 1, SL_WRITE_DELETE = 2 };

struct sl_write {
    size_t size; /**< sizeof(struct sl_write) */
    enum sl_write_kind kind;
    struct sl_table *table;
    struct sl_value key;
    struct sl_value value; /**< put: the new one; delete: the one that goes */
};

/**
 * Called within the transaction, in the order of the writes, before each takes effect. Anything but SL_OK fails the write with that
 * error, and with it its transaction. Must not call functions of this store that write. When a later write of the transaction fails, what the hook has done
 * elsewhere is not undone: make it repeatable.
 */
typedef enum sl_code sl_write_fn(void *context, const struct sl_write *write, struct sl_error *error);
/**
 * The one hook of a table; NULL: none. Rows that go because of TTL, max_entries, sl_table_clear or a reload do not pass it. Waits
 * for a transaction that is open.
 */
SL_API SL_MUST_CHECK enum sl_code sl_table_set_hook(struct sl_table *table, sl_write_fn *function, void *context,
                                                    struct sl_error *error);

/* ---- reload ------------------------------------------------------------------------------------------------------ */

/**
 * Starts to collect new rows for a table. Readers go on with the old ones until sl_reload_commit(), and so do those who write: what they
 * write to the table meanwhile is gone with the old rows. `again`: a reload of that table is under way. One thread at a time uses it.
 */
SL_API SL_MUST_CHECK enum sl_code sl_reload_begin(struct sl_table *table, struct sl_reload **reload,
                                                  struct sl_error *error);
/**
 * Puts one row; quickest, and with the least memory, when keys come in their order. Otherwise rows are collected, up to 64 MiB of them, and
 * sorted before they are written, so that what is wrong with them may be told by a later call. Other writers wait for at most 4096 rows at a
 * time. When rows could not be written, all later calls fail with that error too.
 */
SL_API SL_MUST_CHECK enum sl_code sl_reload_put(struct sl_reload *reload, struct sl_value key, struct sl_value value,
                                                const struct sl_put_options *options, struct sl_error *error);
/**
 * Takes the new rows into use: whoever reads sees all of the old or all of the new. The old ones are removed in the background.
 * On failure the old rows stay. The reload is gone either way. `row_count` may be NULL.
 */
SL_API SL_MUST_CHECK enum sl_code sl_reload_commit(struct sl_reload *reload, uint64_t *row_count,
                                                   struct sl_error *error);
/** Forgets the new rows. NULL is fine. */
SL_API void sl_reload_abort(struct sl_reload *reload);
/** All of it with a source. When that fails the old rows stay and its error is returned. */
SL_API SL_MUST_CHECK enum sl_code sl_table_reload(struct sl_table *table, sl_row_source_fn *source, void *context,
                                                  uint64_t *row_count, struct sl_error *error);

/* ---- watch ------------------------------------------------------------------------------------------------------- */

enum sl_change_kind {
    SL_CHANGE_PUT = 1,     /**< a row was put: get it to see what it is now */
    SL_CHANGE_DELETE = 2,  /**< the key has lost a row */
    SL_CHANGE_TABLE = 3,   /**< the whole table has changed (reload, clear, drop): read it again; `key` is no value */
    SL_CHANGE_OVERFLOW = 4 /**< changes were lost, because they were more than fit: read again all that is watched */
};

struct sl_change {
    size_t size; /**< sizeof(struct sl_change) */
    enum sl_change_kind kind;
    struct sl_table *table; /**< NULL on overflow */
    struct sl_value key;    /**< valid until the next sl_watch_next, or until the callback returns */
    uint64_t version;       /**< of the transaction that made the last of the changes that this one stands for */
};

#define SL_CHANGE_INIT \
    { sizeof(struct sl_change), SL_CHANGE_OVERFLOW, NULL, {NULL, 0}, 0 }

/**
 * Called on a thread of the store, one change at a time. It may read and write the store, and destroy its own watch. While it runs no other
 * callback of the store does.
 */
typedef void sl_change_fn(void *context, const struct sl_change *change);

struct sl_watch_options {
    size_t size;            /**< sizeof(struct sl_watch_options) */
    struct sl_table *table; /**< NULL: all tables */
    struct sl_value key;    /**< this key only; needs a table */
    struct sl_value prefix; /**< keys with this prefix, as of a scan; needs a table */
    uint32_t pending_max;   /**< changed keys that wait to be fetched, 1..1000000; default 4096; more are an overflow */
    sl_change_fn *function; /**< NULL: fetch changes with sl_watch_next */
    void *context;          /**< of function */
};

#define SL_WATCH_OPTIONS_INIT \
    { sizeof(struct sl_watch_options), NULL, {NULL, 0}, {NULL, 0}, 4096, NULL, NULL }

/**
 * Tells of changes that are committed from now on. Several changes of a key between two deliveries are one. A read-only store can be
 * watched with sl_watch_next only (unsupported otherwise).
 */
SL_API SL_MUST_CHECK enum sl_code sl_watch_create(struct sl_store *store, const struct sl_watch_options *options,
                                                  struct sl_watch **watch, struct sl_error *error);
/**
 * The next change; waits for it for `timeout_ms` (0: does not wait; UINT64_MAX: without bound). timeout (no error is written) when there was
 * none; closed when the store's writer has closed it. invalid_argument: the watch has a function.
 */
SL_API SL_MUST_CHECK enum sl_code sl_watch_next(struct sl_watch *watch, uint64_t timeout_ms, struct sl_change *change,
                                                struct sl_error *error);
/** No call of the function is under way when it returns, but for the one it was called from. NULL is fine. */
SL_API void sl_watch_destroy(struct sl_watch *watch);

SL_END_DECLS

#endif
