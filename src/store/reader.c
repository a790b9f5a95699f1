/* SPDX-License-Identifier: MIT */
#include "store/reader.h"

#include <lmdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "environment.h"
#include "layout.h"
#include "sys/clock.h"
#include "sys/path.h"
#include "sys/process.h"
#include "wire/writer.h"

#define ATTACHED_READINGS 64
#define NAMES_PER_TABLE 4
#define YIELDS_MAX 1000

/* ---- the reader ------------------------------------------------------------------------------------------------- */

static uint32_t round_up(uint32_t count) {
    uint32_t power = 1;
    while (power < count) {
        power *= 2;
    }
    return power;
}

enum sl_code sl__reader_init(struct sl__reader *reader, struct MDB_env *env, const struct sl__control *control,
                             uint32_t tables_max, uint32_t reading_count, struct sl_error *error) {
    memset(reader, 0, sizeof(*reader));
    reader->env = env;
    reader->control = control;
    reader->names_max = tables_max * NAMES_PER_TABLE;
    reader->reading_count = round_up(reading_count);
    reader->wall_ns = sl__clock_wall_ns;
    enum sl_code code = sl__fork_mark_create(&reader->fork_mark, error);
    if (code != SL_OK) {
        return code;
    }
    size_t size = reader->reading_count * sizeof(*reader->readings);
    reader->readings = aligned_alloc(_Alignof(struct sl__reading), size);
    reader->names = calloc(reader->names_max, sizeof(struct sl__table_name *));
    if (reader->readings == NULL || reader->names == NULL || pthread_mutex_init(&reader->lock, NULL) != 0) {
        free(reader->readings);
        free(reader->names);
        sl__fork_mark_destroy(reader->fork_mark);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the readers of a store");
    }
    memset(reader->readings, 0, size);
    for (uint32_t i = 0; i < reader->reading_count; i++) {
        reader->readings[i].reader = reader;
    }
    return SL_OK;
}

void sl__reader_finish(struct sl__reader *reader) {
    for (uint32_t i = 0; i < reader->reading_count; i++) {
        struct sl__reading *reading = &reader->readings[i];
        SL_ASSERT(atomic_load(&reading->taken) == 0);
        if (reading->txn != NULL) {
            mdb_txn_abort(reading->txn);
        }
        free(reading->views);
    }
    for (uint32_t i = 0; i < atomic_load(&reader->name_count); i++) {
        free(reader->names[i]);
    }
    free(reader->readings);
    free(reader->names);
    sl__fork_mark_destroy(reader->fork_mark);
    pthread_mutex_destroy(&reader->lock);
}

static enum sl_code check_meta(MDB_env *env, const char *path, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    struct sl__meta_record meta = {0};
    MDB_txn *txn;
    MDB_val key = {sl__meta_key(bytes), bytes}, value;
    int number = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot read the store");
    }
    number = sl__environment_open_tree(txn);
    if (number == 0) {
        number = mdb_get(txn, SL__ROWS, &key, &value);
    }
    if (number == 0 && value.mv_size == sizeof(meta)) {
        memcpy(&meta, value.mv_data, sizeof(meta));
    }
    mdb_txn_abort(txn);
    if (number != 0 && number != MDB_NOTFOUND) {
        return sl__lmdb_error(error, number, "cannot read the store");
    }
    if (meta.magic != SL__STORE_MAGIC) {
        return sl_error_set(error, SL_E_INVALID_DATA, "\"%s\" holds an LMDB database that is no store", path);
    }
    if (meta.layout != SL__STORE_LAYOUT) {
        return sl_error_set(error, SL_E_VERSION, "the store at \"%s\" has layout %u and this library knows layout %u",
                            path, meta.layout, SL__STORE_LAYOUT);
    }
    return SL_OK;
}

static enum sl_code attach(const char *path, struct sl__reader *reader, struct sl_error *error) {
    bool locked;
    const struct sl__control *control = NULL;
    size_t control_size = 0;
    MDB_env *env = NULL;
    enum sl_code code = sl__path_locked(path, &locked, error);
    if (code == SL_OK && locked) {
        code = sl__control_attach(path, &control, &control_size, error);
        if (code == SL_OK && control->owner_pid == sl__process_id()) {
            code =
                sl_error_set(error, SL_E_INVALID_ARGUMENT,
                             "this process writes the store at \"%s\"; read it through the handle that it has", path);
        }
    }
    if (code == SL_OK) {
        struct sl__environment_options options = {.path = path, .read_only = true};
        code = sl__environment_open(&options, &env, error);
    }
    if (code == SL_OK) {
        code = check_meta(env, path, error);
    }
    if (code == SL_OK) {
        code = sl__reader_init(reader, env, control, control != NULL ? SL_MIN(control->tables_max, 1024u) : 1024,
                               ATTACHED_READINGS, error);
    }
    if (code != SL_OK) {
        if (env != NULL) {
            mdb_env_close(env);
        }
        sl__control_detach(control, control_size);
        return code;
    }
    reader->control_size = control_size;
    return SL_OK;
}

enum sl_code sl__reader_attach(const char *path, struct sl__reader **out, struct sl_error *error) {
    *out = NULL;
    struct sl__reader *reader = malloc(sizeof(*reader));
    if (reader == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a reader of a store");
    }
    enum sl_code code = attach(path, reader, error);
    if (code != SL_OK) {
        free(reader);
        return code;
    }
    *out = reader;
    return SL_OK;
}

void sl__reader_detach(struct sl__reader *reader) {
    if (reader == NULL || sl__reader_foreign(reader)) {
        return; /* LMDB's locks and places are the parent's: to touch them would take them away from it */
    }
    MDB_env *env = reader->env;
    sl__reader_finish(reader);
    mdb_env_close(env);
    sl__control_detach(reader->control, reader->control_size);
    free(reader);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static const struct sl__table_name *find_name(struct sl__reader *reader, const char *name, size_t size) {
    uint32_t count = atomic_load_explicit(&reader->name_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (reader->names[i]->size == size && memcmp(reader->names[i]->name, name, size) == 0) {
            return reader->names[i];
        }
    }
    return NULL;
}

enum sl_code sl__reader_table(struct sl__reader *reader, const char *name, size_t size,
                              const struct sl__table_name **table, struct sl_error *error) {
    if (size < 1 || size > SL_STORE_NAME_SIZE_MAX || memchr(name, 0, size) != NULL ||
        sl__utf8_valid_size(name, size) != size) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "a table's name is 1 to %d bytes of UTF-8 without NUL",
                            SL_STORE_NAME_SIZE_MAX);
    }
    *table = find_name(reader, name, size);
    if (*table != NULL) {
        return SL_OK;
    }
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&reader->lock);
    *table = find_name(reader, name, size);
    uint32_t count = atomic_load_explicit(&reader->name_count, memory_order_relaxed);
    if (*table == NULL && count == reader->names_max) {
        code = sl_error_set(error, SL_E_LIMIT,
                            "this process has asked for %u different tables of the store; raise tables_max", count);
    } else if (*table == NULL) {
        struct sl__table_name *made = calloc(1, sizeof(*made));
        if (made == NULL) {
            code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a table");
        } else {
            made->index = count;
            made->size = size;
            memcpy(made->name, name, size);
            reader->names[count] = made;
            atomic_store_explicit(&reader->name_count, count + 1, memory_order_release);
            *table = made;
        }
    }
    pthread_mutex_unlock(&reader->lock);
    return code;
}

/* ---- readings --------------------------------------------------------------------------------------------------- */

/* A place that this thread is likely to have used last, so that threads do not meet. */
static uint32_t first_choice(void) {
    return (uint32_t)(((uint64_t)(uintptr_t)pthread_self() >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static struct sl__reading *take(struct sl__reader *reader) {
    uint32_t first = first_choice(), mask = reader->reading_count - 1;
    for (uint32_t i = 0; i <= mask; i++) {
        struct sl__reading *reading = &reader->readings[(first + i) & mask];
        uint32_t expected = 0;
        if (atomic_load_explicit(&reading->taken, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&reading->taken, &expected, 1, memory_order_acquire,
                                                    memory_order_relaxed)) {
            return reading;
        }
    }
    return NULL;
}

/*
 * Whether the version that LMDB gave is sure to be what it says. LMDB takes the number of the last transaction, and then copies the meta page that
 * this number names; of two pages, the next transaction but one writes the same. A reader that lost the processor in between may
 * have copied that, perhaps half of it, before it was announced: it would see what others do not see yet. The writer announces each version here
 * before it begins the next transaction, so that the page was still untouched when nothing later than this version is announced.
 */
static bool is_settled(const struct sl__reading *reading) {
    const struct sl__control *control = reading->reader->control;
    MDB_envinfo info;
    atomic_thread_fence(memory_order_acquire); /* after the copy */
    if (control != NULL && atomic_load_explicit(&control->closed, memory_order_relaxed) == 0) {
        return atomic_load_explicit(&control->version, memory_order_acquire) <= reading->version;
    }
    /* No writer is known, though one may have come since. */
    return mdb_env_info(reading->reader->env, &info) == 0 && info.me_last_txnid <= reading->version + 1;
}

static int begin_first(struct sl__reading *reading) {
    struct MDB_env *env = reading->reader->env;
    int number = mdb_txn_begin(env, NULL, MDB_RDONLY, &reading->txn);
    if (number == MDB_READERS_FULL) {
        int dead;
        (void)mdb_reader_check(env, &dead);
        number = mdb_txn_begin(env, NULL, MDB_RDONLY, &reading->txn);
    }
    if (number != 0) {
        reading->txn = NULL;
    }
    return number;
}

static enum sl_code prepare(struct sl__reading *reading, struct sl_error *error) {
    struct sl__reader *reader = reading->reader;
    if (reading->views == NULL) {
        reading->views = calloc(reader->names_max, sizeof(*reading->views));
        if (reading->views == NULL) {
            return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to read a store");
        }
    }
    /* Each time round somebody has committed meanwhile: it is not this reader alone that makes no progress. */
    for (;;) {
        int number;
        if (reading->txn == NULL) {
            number = begin_first(reading);
        } else {
            number = mdb_txn_renew(reading->txn);
            if (number != 0) {
                mdb_txn_abort(reading->txn);
                reading->txn = NULL;
            }
        }
        if (number != 0) {
            return sl__lmdb_error(error, number, "cannot read the store");
        }
        reading->version = mdb_txn_id(reading->txn);
        if (SL_LIKELY(is_settled(reading))) {
            return SL_OK;
        }
        mdb_txn_reset(reading->txn);
    }
}

enum sl_code sl__reading_begin(struct sl__reader *reader, struct sl__reading **out, struct sl_error *error) {
    if (SL_UNLIKELY(sl__reader_foreign(reader))) {
        return sl_error_set(error, SL_E_CLOSED,
                            "this process was forked from the one that opened the store; open it here");
    }
    struct sl__reading *reading = take(reader);
    for (uint32_t i = 0; SL_UNLIKELY(reading == NULL) && i < YIELDS_MAX; i++) {
        (void)sched_yield(); /* most readings last a microsecond */
        reading = take(reader);
    }
    if (reading == NULL) {
        return sl_error_set(error, SL_E_LIMIT,
                            "%u snapshots of the store are open in this process, which is all it may have; end some",
                            reader->reading_count);
    }
    enum sl_code code = prepare(reading, error);
    if (code != SL_OK) {
        atomic_store_explicit(&reading->taken, 0, memory_order_release);
        return code;
    }
    *out = reading;
    return SL_OK;
}

void sl__reading_end(struct sl__reading *reading) {
    if (sl__reader_foreign(reading->reader)) {
        return;
    }
    mdb_txn_reset(reading->txn);
    atomic_store_explicit(&reading->taken, 0, memory_order_release);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static enum sl_code not_there(const char *name, struct sl_error *error) {
    return sl_error_set(error, SL_E_NOT_FOUND, "the store has no table \"%s\"", name);
}

static enum sl_code read_record(struct sl__reading *reading, const struct sl__table_name *table,
                                struct sl__table_record *record, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_val key = {sl__table_key(bytes, table->name, table->size), bytes}, value;
    int number = mdb_get(reading->txn, SL__ROWS, &key, &value);
    if (number == MDB_NOTFOUND) {
        return SL_E_NOT_FOUND;
    }
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot read the record of a table");
    }
    if (value.mv_size != sizeof(*record)) {
        return sl_error_set(error, SL_E_INVALID_DATA, "the record of table \"%s\" is damaged", table->name);
    }
    memcpy(record, value.mv_data, sizeof(*record));
    return SL_OK;
}

static enum sl_code look_up(struct sl__reading *reading, const struct sl__table_name *table,
                            struct sl__table_view *view, struct sl_error *error) {
    struct sl__table_record record = {0};
    enum sl_code code = read_record(reading, table, &record, error);
    if (code != SL_OK && code != SL_E_NOT_FOUND) {
        return code;
    }
    view->id = record.id;
    view->number = record.number;
    view->kind = (enum sl_table_kind)record.kind;
    view->version = reading->version;
    return SL_OK;
}

enum sl_code sl__reading_table(struct sl__reading *reading, const struct sl__table_name *table,
                               const struct sl__table_view **out, struct sl_error *error) {
    struct sl__table_view *view = &reading->views[table->index];
    const struct sl__control *control = reading->reader->control;
    /* After the version was taken, so that the changes of which this version knows are known here too. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t changed =
        control != NULL ? atomic_load_explicit(&control->catalog_version, memory_order_acquire) : UINT64_MAX;
    if (SL_UNLIKELY(view->version == 0 || changed > view->version || changed > reading->version)) {
        enum sl_code code = look_up(reading, table, view, error);
        if (code != SL_OK) {
            return code;
        }
    }
    if (SL_UNLIKELY(view->id == 0)) {
        return not_there(table->name, error);
    }
    *out = view;
    return SL_OK;
}

static void fill_info(struct sl_table_info *info, const char *name, const struct sl__table_record *record) {
    info->size = sizeof(*info);
    info->name = name;
    info->kind = (enum sl_table_kind)record->kind;
    info->row_count = record->row_count;
    info->ttl_ms = record->ttl_ms;
    info->max_entries = record->max_entries;
    info->policy = (enum sl_table_full)record->policy;
    info->reload_count = record->reload_count;
}

enum sl_code sl__reading_info(struct sl__reading *reading, const struct sl__table_name *table,
                              struct sl_table_info *info, struct sl_error *error) {
    struct sl__table_record record;
    enum sl_code code = read_record(reading, table, &record, error);
    if (code == SL_OK) {
        fill_info(info, table->name, &record);
    }
    return code == SL_E_NOT_FOUND ? not_there(table->name, error) : code;
}

enum sl_code sl__reading_tables(struct sl__reading *reading,
                                enum sl_code (*function)(void *context, const struct sl_table_info *info),
                                void *context, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    char name[SL_STORE_NAME_SIZE_MAX + 1];
    MDB_cursor *cursor;
    MDB_val key = {sl__table_key(bytes, "", 0), bytes}, value;
    struct sl__table_record record;
    struct sl_table_info info;
    enum sl_code code = SL_OK;
    int number = mdb_cursor_open(reading->txn, SL__ROWS, &cursor);
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot read the catalog");
    }
    number = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (code == SL_OK && number == 0 && key.mv_size > 5 && memcmp(key.mv_data, bytes, 5) == 0) {
        size_t size = key.mv_size - 5;
        if (size > SL_STORE_NAME_SIZE_MAX || value.mv_size != sizeof(record)) {
            code = sl_error_set(error, SL_E_INVALID_DATA, "the store's catalog is damaged");
            break;
        }
        memcpy(name, (const char *)key.mv_data + 5, size);
        name[size] = '\0';
        memcpy(&record, value.mv_data, sizeof(record));
        fill_info(&info, name, &record);
        code = function(context, &info);
        number = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (code == SL_OK && number != 0 && number != MDB_NOTFOUND) {
        code = sl__lmdb_error(error, number, "cannot read the catalog");
    }
    return code;
}

/* ---- one key ---------------------------------------------------------------------------------------------------- */

/* The value of a row, unless it has expired. invalid_data when it is no row. */
static enum sl_code open_row(const struct sl__reader *reader, const MDB_val *row, struct sl_value *value,
                             struct sl_error *error) {
    struct sl__row_head head;
    *value = sl__row_read(row->mv_data, row->mv_size, &head);
    if (SL_UNLIKELY(value->size == 0)) {
        return sl_error_set(error, SL_E_INVALID_DATA, "a row of the store is damaged");
    }
    if (SL_UNLIKELY(head.expiry_ns != 0) && head.expiry_ns <= reader->wall_ns()) {
        return SL_E_NOT_FOUND;
    }
    return SL_OK;
}

enum sl_code sl__reading_get(struct sl__reading *reading, const struct sl__table_view *view, struct sl_value key,
                             struct sl_value *value, struct sl_error *error) {
    uint8_t bytes[SL__ROW_KEY_BYTES_MAX];
    size_t size;
    SL_ASSERT(view->kind != SL_TABLE_BAG);
    enum sl_code code = sl__key_encode(key, bytes + SL__PREFIX_BYTES, &size, error);
    if (code != SL_OK) {
        return code;
    }
    sl__put_be32(bytes, view->id);
    MDB_val wanted = {SL__PREFIX_BYTES + size, bytes}, row;
    int number = mdb_get(reading->txn, SL__ROWS, &wanted, &row);
    if (number == MDB_NOTFOUND) {
        return SL_E_NOT_FOUND;
    }
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot read a row");
    }
    return open_row(reading->reader, &row, value, error);
}

static enum sl_code begin_at_key(struct sl__walk *walk, struct sl__reading *reading, const struct sl__table_name *table,
                                 struct sl_value key, struct sl_error *error) {
    struct sl_scan_options options = SL_SCAN_OPTIONS_INIT;
    struct sl__key_range range;
    options.key = key;
    if (key.size == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the key is no value");
    }
    enum sl_code code = sl__key_range(&options, &range, error);
    return code == SL_OK ? sl__walk_begin(walk, reading, table, &range, false, error) : code;
}

static enum sl_code copy_bag(struct sl__reading *reading, const struct sl__table_name *table, struct sl_value key,
                             struct sl_writer *writer, struct sl_error *error) {
    struct sl__walk walk;
    const uint8_t *row_key;
    size_t row_key_size;
    struct sl_value value;
    uint32_t count = 0;
    enum sl_code code = begin_at_key(&walk, reading, table, key, error);
    if (code != SL_OK) {
        return code;
    }
    /* Twice the same way, at one time of the clock: a list's length stands before it. */
    uint64_t now_ns = reading->reader->wall_ns();
    for (int pass = 0; pass < 2 && code == SL_OK; pass++) {
        walk.started = walk.ended = false;
        walk.now_ns = now_ns;
        while ((code = sl__walk_next(&walk, &row_key, &row_key_size, &value, error)) == SL_OK) {
            if (pass == 0) {
                count++;
            } else {
                sl__put_raw(writer, value.data, value.size);
            }
        }
        if (code == SL_E_END) {
            code = count > 0 ? SL_OK : SL_E_NOT_FOUND;
        }
        if (code == SL_OK && pass == 0) {
            sl__put_list(writer, count);
        }
    }
    sl__walk_end(&walk);
    return code;
}

enum sl_code sl__reading_copy(struct sl__reading *reading, const struct sl__table_name *table, struct sl_value key,
                              struct sl_writer *writer, struct sl_error *error) {
    struct sl_value value;
    const struct sl__table_view *view = NULL;
    enum sl_code code = sl__reading_table(reading, table, &view, error);
    if (code != SL_OK) {
        return code;
    }
    if (SL_UNLIKELY(view->kind == SL_TABLE_BAG)) {
        code = copy_bag(reading, table, key, writer, error);
    } else {
        code = sl__reading_get(reading, view, key, &value, error);
        if (code == SL_OK) {
            sl__put_raw(writer, value.data, value.size);
        }
    }
    return code == SL_OK ? sl__writer_error(writer, error) : code;
}

enum sl_code sl__reading_contains(struct sl__reading *reading, const struct sl__table_name *table, struct sl_value key,
                                  bool *contains, struct sl_error *error) {
    struct sl_value value;
    const struct sl__table_view *view = NULL;
    enum sl_code code = sl__reading_table(reading, table, &view, error);
    if (code == SL_OK && view->kind == SL_TABLE_BAG) {
        struct sl__walk walk;
        const uint8_t *row_key;
        size_t size;
        code = begin_at_key(&walk, reading, table, key, error);
        if (code == SL_OK) {
            code = sl__walk_next(&walk, &row_key, &size, &value, error);
            sl__walk_end(&walk);
        }
    } else if (code == SL_OK) {
        code = sl__reading_get(reading, view, key, &value, error);
        code = code == SL_E_NOT_FOUND ? SL_E_END : code;
    }
    *contains = code == SL_OK;
    return code == SL_E_END ? SL_OK : code;
}

/* ---- walks ------------------------------------------------------------------------------------------------------ */

enum sl_code sl__walk_begin(struct sl__walk *walk, struct sl__reading *reading, const struct sl__table_name *table,
                            const struct sl__key_range *range, bool backward, struct sl_error *error) {
    const struct sl__table_view *view = NULL;
    walk->cursor = NULL;
    enum sl_code code = sl__reading_table(reading, table, &view, error);
    if (code != SL_OK) {
        return code;
    }
    walk->reading = reading;
    walk->range = *range;
    walk->id = view->id;
    walk->is_bag = view->kind == SL_TABLE_BAG;
    walk->backward = backward;
    walk->started = false;
    walk->ended = range->empty;
    walk->now_ns = 0;
    int number = mdb_cursor_open(reading->txn, SL__ROWS, &walk->cursor);
    return number == 0 ? SL_OK : sl__lmdb_error(error, number, "cannot scan a table");
}

void sl__walk_end(struct sl__walk *walk) {
    if (walk->cursor != NULL && !sl__reader_foreign(walk->reading->reader)) {
        mdb_cursor_close(walk->cursor);
    }
    walk->cursor = NULL;
}

/* To the first row of the range, or to the last. */
static int position_first(struct sl__walk *walk, MDB_val *key, MDB_val *row) {
    uint8_t bytes[SL__ROW_KEY_BYTES_MAX + 1];
    MDB_val bound = {SL__PREFIX_BYTES, bytes};
    if (!walk->backward) {
        sl__put_be32(bytes, walk->id);
        memcpy(bytes + SL__PREFIX_BYTES, walk->range.low, walk->range.low_size);
        bound.mv_size += walk->range.low_size;
        *key = bound;
        return mdb_cursor_get(walk->cursor, key, row, MDB_SET_RANGE);
    }
    sl__put_be32(bytes, walk->range.high_size > 0 ? walk->id : walk->id + 1);
    memcpy(bytes + SL__PREFIX_BYTES, walk->range.high, walk->range.high_size);
    bound.mv_size += walk->range.high_size;
    *key = bound;
    /* The first row behind the range, and one back. */
    int number = mdb_cursor_get(walk->cursor, key, row, MDB_SET_RANGE);
    return mdb_cursor_get(walk->cursor, key, row, number == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

enum sl_code sl__walk_next(struct sl__walk *walk, const uint8_t **key, size_t *key_size, struct sl_value *value,
                           struct sl_error *error) {
    MDB_val at, row;
    struct sl__row_head head;
    size_t trailer = walk->is_bag ? SL__NUMBER_BYTES : 0;
    while (!walk->ended) {
        int number;
        if (!walk->started) {
            walk->started = true;
            number = position_first(walk, &at, &row);
        } else {
            number = mdb_cursor_get(walk->cursor, &at, &row, walk->backward ? MDB_PREV : MDB_NEXT);
        }
        if (number != 0 && number != MDB_NOTFOUND) {
            walk->ended = true;
            return sl__lmdb_error(error, number, "cannot scan a table");
        }
        const uint8_t *bytes = at.mv_data;
        if (number == MDB_NOTFOUND || at.mv_size < SL__PREFIX_BYTES || sl__get_be32(bytes) != walk->id ||
            !sl__key_within(&walk->range, bytes + SL__PREFIX_BYTES, at.mv_size - SL__PREFIX_BYTES)) {
            walk->ended = true;
            break;
        }
        *value = sl__row_read(row.mv_data, row.mv_size, &head);
        if (value->size == 0 || at.mv_size <= SL__PREFIX_BYTES + trailer) {
            walk->ended = true;
            return sl_error_set(error, SL_E_INVALID_DATA, "a row of the store is damaged");
        }
        if (head.expiry_ns != 0) {
            if (walk->now_ns == 0) {
                walk->now_ns = walk->reading->reader->wall_ns();
            }
            if (head.expiry_ns <= walk->now_ns) {
                continue;
            }
        }
        *key = bytes + SL__PREFIX_BYTES;
        *key_size = at.mv_size - SL__PREFIX_BYTES - trailer;
        return SL_OK;
    }
    return SL_E_END;
}
