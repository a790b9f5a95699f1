/* SPDX-License-Identifier: MIT */
/*
 * The writer's half of a store, and handles.
 *
 * write_lock makes writes wait for each other: whoever holds it has the one transaction. It guards everything that says so below. Readers
 * take no lock.
 */
#ifndef SL_STORE_INSIDE_H
#define SL_STORE_INSIDE_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include <slither/error.h>
#include <slither/store.h>

#include "base/list.h"
#include "base/log.h"
#include "environment.h"
#include "layout.h"
#include "loop/runtime.h"
#include "store/changes.h"
#include "store/control.h"
#include "store/reader.h"

#define SL__SWEEP_ROWS 16    /* expired rows that a write removes on its way */
#define SL__EVICT_ROWS 16    /* rows that an insert removes at most, when max_entries was lowered */
#define SL__PURGE_ROWS 1000  /* doomed rows that one transaction removes */
#define SL__RELOAD_ROWS 4096 /* rows that a reload writes in one transaction */
#define SL__RELOAD_BYTES (4u << 20)
#define SL__RELOAD_SORT_BYTES \
    ((size_t)64 << 20) /* what a reload collects, when rows do not come in order, to sort them */
#define SL__READINGS_MAX 256
#define SL__TTL_MS_MAX ((uint64_t)10 * 366 * 24 * 3600 * 1000)

/* A table as the writer knows it: the last committed record, and in a transaction that touches it the one to be. */
struct sl_table {
    struct sl_store *store;
    const struct sl__table_name *name;
    _Atomic uint32_t number;           /* what changes call it; the last one it had; 0: not known */
    struct sl_table *next;             /* of the store; added under tables_lock, never removed */
    struct sl__table_record committed; /* id 0: it does not exist. write_lock */
    struct sl__table_record record;    /* write_lock */
    struct sl_table *touched_next;     /* write_lock */
    bool touched;                      /* `record` counts. write_lock */
    bool dirty;                        /* `record` is to be written. write_lock */
    bool is_shadow;                    /* rows of a reload: no record in the catalog, no changes, no hook */
    struct sl_reload *reload;          /* that is under way. write_lock */
    sl_write_fn *hook;                 /* write_lock */
    void *hook_context;
};

struct sl_transaction {
    struct sl_store *store;
    MDB_txn *txn;
    struct sl_table *touched;
    struct sl__meta_record meta;
    bool meta_dirty;
    bool wrote;           /* there is something to commit */
    bool catalog_changed; /* rows of a table are elsewhere now */
    bool map_full;
    bool hook_running;
    enum sl_code broken; /* an error after which it can only be aborted */
    struct sl_error error;
    uint64_t now_ns;     /* wall clock; 0: not looked at yet */
    uint64_t live_pages; /* at the start */
    uint64_t expired_count;
    uint64_t evicted_count;
    uint64_t next_expiry_ns; /* the first of what was put; when swept: of all */
    bool swept;
    struct sl__change_list changes;
    struct sl_writer copy;   /* what was read last */
    struct sl_writer update; /* what an update writes */
};

struct sl__service; /* the thread, see service.h */

struct sl_store {
    struct sl__reader *reader; /* points to own_reader, or is attached (read-only) */
    struct sl__reader own_reader;
    struct sl_runtime *runtime; /* or NULL */
    struct sl__log *log;        /* or NULL */
    const struct sl__telemetry *telemetry;
    struct sl__tenant tenant;
    struct sl_view *view; /* by which workers ask it to write; NULL without a runtime */
    char *name;
    char *path;
    char *link; /* by which workers find it; NULL: none, or the path itself */
    bool read_only;
    bool in_memory;
    bool joined;
    enum sl_store_sync sync;
    uint32_t sync_interval_ms;
    uint32_t tables_max;
    uint32_t snapshot_warn_ms;
    uint64_t bytes_max;
    uint64_t page_size;
    int lock_fd; /* of the directory */
    MDB_env *env;
    struct sl__control *control;
    size_t control_size;

    pthread_mutex_t tables_lock; /* guards adding to the list */
    struct sl_table *_Atomic tables;

    pthread_mutex_t write_lock;
    _Atomic uintptr_t writer; /* pthread_self() of who holds it, or 0 */
    _Atomic uint32_t writers_waiting;
    struct sl_transaction transaction; /* write_lock */
    struct sl__meta_record meta;       /* write_lock */
    uint64_t next_expiry_ns;           /* no row expires before; UINT64_MAX: none does. write_lock */
    struct sl_reload *reloads;         /* write_lock */
    uint32_t crowded_count;            /* transactions begun in a map that is nearly full. write_lock */

    _Atomic uint64_t commit_count;
    _Atomic uint64_t expired_count;
    _Atomic uint64_t evicted_count;
    _Atomic uint64_t warning_count;

    struct sl__service *service;
};

/* ---- transaction.c ---------------------------------------------------------------------------------------------- */

enum sl_code sl__store_usable(const struct sl_store *store, const char *function, struct sl_error *error) SL_MUST_CHECK;
/* Also whether it may be written. */
enum sl_code sl__store_writable(const struct sl_store *store, const char *function,
                                struct sl_error *error) SL_MUST_CHECK;

/* What was wrong makes the transaction useless; returns `code`. */
enum sl_code sl__transaction_break(struct sl_transaction *transaction, enum sl_code code, struct sl_error *error);
/* The same for one of LMDB's numbers, for what was tried. */
enum sl_code sl__transaction_fail(struct sl_transaction *transaction, int number, const char *what,
                                  struct sl_error *error) SL_MUST_CHECK;
/* Makes `table->record` count; it may be of a table that does not exist (id 0). */
void sl__transaction_touch(struct sl_transaction *transaction, struct sl_table *table);
uint64_t sl__transaction_now(struct sl_transaction *transaction);
/* Whether the rows have outgrown bytes_max since the transaction began; then limit_exceeded, and the transaction is broken. */
enum sl_code sl__transaction_room(struct sl_transaction *transaction, struct sl_error *error) SL_MUST_CHECK;

enum sl_code sl__catalog_doom(struct sl_transaction *transaction, uint32_t id, struct sl_error *error) SL_MUST_CHECK;
enum sl_code sl__catalog_spare(struct sl_transaction *transaction, uint32_t id, struct sl_error *error) SL_MUST_CHECK;

/* Runs one write as a transaction of its own; once more when the map was full and a dead reader's place could be cleared. */
typedef enum sl_code sl__write_body(struct sl_transaction *transaction, void *context, struct sl_error *error);
enum sl_code sl__write_once(struct sl_store *store, const char *function, sl__write_body *body, void *context,
                            struct sl_error *error) SL_MUST_CHECK;

/* ---- rows.c: what a transaction does to rows -------------------------------------------------------------------- */

enum sl__put_mode { SL__PUT_REPLACE, SL__PUT_IF_ABSENT };

/* The table exists and is the store's; `record` counts then. */
enum sl_code sl__rows_table(struct sl_transaction *transaction, struct sl_table *table,
                            struct sl_error *error) SL_MUST_CHECK;
enum sl_code sl__rows_check_value(struct sl_value value, struct sl_error *error) SL_MUST_CHECK;
/* The TTL that holds for a put. */
enum sl_code sl__rows_ttl(const struct sl_put_options *options, uint64_t *ttl_ms, struct sl_error *error) SL_MUST_CHECK;
/* `value` has been checked. `appends`: the key is above all of the table's. */
enum sl_code sl__rows_put(struct sl_transaction *transaction, struct sl_table *table, const uint8_t *key,
                          size_t key_size, struct sl_value key_value, struct sl_value value, uint64_t ttl_ms,
                          enum sl__put_mode mode, bool appends, bool *inserted, struct sl_error *error) SL_MUST_CHECK;
/* Copies into transaction->copy. not_found (no error is written). */
enum sl_code sl__rows_get(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                          struct sl_value *value, struct sl_error *error) SL_MUST_CHECK;
/* `pair` NULL: all rows of the key. */
enum sl_code sl__rows_delete(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                             const struct sl_value *pair, uint64_t *removed, struct sl_error *error) SL_MUST_CHECK;
enum sl_code sl__rows_delete_range(struct sl_transaction *transaction, struct sl_table *table,
                                   const struct sl_scan_options *options, uint64_t *removed,
                                   struct sl_error *error) SL_MUST_CHECK;
/* Up to `row_max` expired rows of all tables. */
enum sl_code sl__rows_sweep(struct sl_transaction *transaction, uint64_t row_max, uint64_t *removed,
                            struct sl_error *error) SL_MUST_CHECK;
/* Up to `row_max` rows under an id that no table has; `*done`: none is left. */
enum sl_code sl__rows_purge(struct sl_transaction *transaction, uint32_t id, uint64_t row_max, bool *done,
                            struct sl_error *error) SL_MUST_CHECK;

/* ---- table.c ---------------------------------------------------------------------------------------------------- */

/* The handle of a name, made when it is new. */
enum sl_code sl__table_handle(struct sl_store *store, const char *name, size_t size, struct sl_table **table,
                              struct sl_error *error) SL_MUST_CHECK;
/* Reads all records of a store that was just opened. */
enum sl_code sl__tables_load(struct sl_store *store, struct sl_error *error) SL_MUST_CHECK;
void sl__tables_finish(struct sl_store *store);
/* The table that changes call by that number; NULL when it is gone, or cannot be looked up just now. */
struct sl_table *sl__table_by_number(struct sl_store *store, uint32_t number);
/* Also among reloads that are under way. write_lock */
struct sl_table *sl__table_by_id(struct sl_store *store, uint32_t id);
enum sl_code sl__scan_options_take(const struct sl_scan_options *given, struct sl_scan_options *options,
                                   struct sl_error *error) SL_MUST_CHECK;

/* ---- reload.c --------------------------------------------------------------------------------------------------- */

struct sl_table *sl__reload_shadow_by_id(struct sl_store *store, uint32_t id);

/* ---- watch.c ---------------------------------------------------------------------------------------------------- */

struct sl_watch {
    struct sl__link link; /* of the service */
    uint64_t pass;        /* the service's */
    bool dead;            /* destroyed within its own function */
    struct sl_store *store;
    struct sl_table *table; /* NULL: all */
    struct sl__changes changes;
    struct sl_writer key; /* of the change that was given out last */
    sl_change_fn *function;
    void *context;
    _Atomic bool ended;                                  /* with whom it was attached to */
    void (*left)(void *context, struct sl_watch *watch); /* NULL: it is attached to nobody */
    void *left_context;
};
/* The next change that is there already. again: none. */
enum sl_code sl__watch_take(struct sl_watch *watch, struct sl_change *change, struct sl_error *error) SL_MUST_CHECK;
void sl__watch_free(struct sl_watch *watch);

/* ---- events.c: what handlers of the runtime's events are told; without the lock ----------------------------------- */

struct sl__write_told {
    bool wanted;
    uint64_t version, change_count, expired_count, evicted_count;
    bool change_overflow; /* there were more than could be kept */
};
/* Before the commit, which empties the transaction. */
void sl__store_note_write(const struct sl_transaction *transaction, struct sl__write_told *told);
void sl__store_tell_write(const struct sl_store *store, const struct sl__write_told *told);
void sl__reload_tell_start(const struct sl_table *table, struct sl__span *span);
/* Only when the span is open. `code` SL_OK: the new rows are there. */
void sl__reload_tell_end(const struct sl_table *table, struct sl__span *span, enum sl_code code, uint64_t row_count);

/* ---- service.c -------------------------------------------------------------------------------------------------- */

enum sl_code sl__service_start(struct sl_store *store, struct sl_error *error) SL_MUST_CHECK;
void sl__service_stop(struct sl_store *store);
/* A watch with a function is called from then on. */
void sl__service_add_watch(struct sl_store *store, struct sl_watch *watch);
/* Returns when its function is not running, unless it is called from it; false: the service will free the watch itself. */
bool sl__service_remove_watch(struct sl_store *store, struct sl_watch *watch);
/* There is something to remove. */
void sl__service_purge(struct sl_store *store);
/* Somebody has written. Cheap; any thread. */
void sl__service_notice(struct sl_store *store);
/* Somebody has taken a snapshot: who, and when. */
void sl__service_watch_reading(struct sl_store *store, struct sl__reading *reading);

#endif
