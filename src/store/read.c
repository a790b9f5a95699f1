/* SPDX-License-Identifier: MIT */
/* Public reads: what store/reader.h offers, with handles around it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "inside.h"
#include "wire/writer.h"

#define KEYS_MAX 1000000

static enum sl_code null_argument(const char *function, const char *name, struct sl_error *error) {
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: `%s` is NULL", function, name);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static struct sl_value end_key(struct sl_key *memory, size_t size) {
    return (struct sl_value){memory->bytes, size};
}

struct sl_value sl_key_int(struct sl_key *memory, int64_t number) {
    struct sl_writer writer;
    sl__writer_init_at(&writer, memory->bytes, sizeof(memory->bytes), NULL, NULL);
    sl__put_int(&writer, number);
    return end_key(memory, writer.size);
}

static struct sl_value text_key(struct sl_key *memory, const void *text, size_t size, bool is_str) {
    struct sl_writer writer;
    if (text == NULL || size > SL_STORE_KEY_BYTES_MAX) {
        return (struct sl_value){NULL, 0};
    }
    sl__writer_init_at(&writer, memory->bytes, sizeof(memory->bytes), NULL, NULL);
    if (is_str) {
        sl__put_str(&writer, text, size);
    } else {
        sl__put_bytes(&writer, text, size);
    }
    return end_key(memory, writer.size);
}

struct sl_value sl_key_strn(struct sl_key *memory, const char *text, size_t size) {
    return text_key(memory, text, size, true);
}

struct sl_value sl_key_str(struct sl_key *memory, const char *text) {
    return text_key(memory, text, text != NULL ? strlen(text) : 0, true);
}

struct sl_value sl_key_bytes(struct sl_key *memory, const void *bytes, size_t size) {
    return text_key(memory, bytes, size, false);
}

/* ---- without a snapshot ----------------------------------------------------------------------------------------- */

enum sl_code sl_table_get(struct sl_table *table, struct sl_value key, struct sl_writer *memory, struct sl_value *value,
                          struct sl_error *error) {
    struct sl__reading *reading;
    if (SL_UNLIKELY(table == NULL || memory == NULL || value == NULL)) {
        return null_argument("sl_table_get", table == NULL ? "table" : memory == NULL ? "memory" : "value", error);
    }
    enum sl_code code = sl__reading_begin(table->store->reader, &reading, error);
    if (SL_UNLIKELY(code != SL_OK)) {
        return code;
    }
    sl_writer_reset(memory);
    code = sl__reading_copy(reading, table->name, key, memory, error);
    sl__reading_end(reading);
    if (code == SL_OK) {
        *value = (struct sl_value){memory->data, memory->size};
    }
    return code;
}

/* Values one after another, each at a multiple of 8 as in a batch; offsets become pointers when the memory moves no more. */
enum sl_code sl_table_get_many(struct sl_table *table, const struct sl_value *keys, size_t count,
                               struct sl_writer *memory, struct sl_value *values, struct sl_error *error) {
    struct sl__reading *reading;
    if (table == NULL || memory == NULL || (count > 0 && (keys == NULL || values == NULL))) {
        return null_argument("sl_table_get_many",
                             table == NULL    ? "table"
                             : memory == NULL ? "memory"
                                              : "keys or values",
                             error);
    }
    if (count > KEYS_MAX) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_get_many: %zu keys; at most %d", count, KEYS_MAX);
    }
    enum sl_code code = sl__reading_begin(table->store->reader, &reading, error);
    if (code != SL_OK) {
        return code;
    }
    sl_writer_reset(memory);
    for (size_t i = 0; i < count; i++) {
        static const uint8_t zeros[8];
        sl__put_raw(memory, zeros, -memory->size & 7);
        size_t start = memory->size;
        code = sl__reading_copy(reading, table->name, keys[i], memory, error);
        if (code == SL_E_NOT_FOUND && reading->views[table->name->index].id != 0) {
            code = SL_OK;
        }
        if (code != SL_OK) {
            break;
        }
        values[i].size = memory->size - start;
    }
    sl__reading_end(reading);
    size_t at = 0;
    for (size_t i = 0; code == SL_OK && i < count; i++) {
        at += -at & 7;
        values[i].data = values[i].size > 0 ? memory->data + at : NULL;
        at += values[i].size;
    }
    return code;
}

enum sl_code sl_table_contains(struct sl_table *table, struct sl_value key, bool *contains, struct sl_error *error) {
    struct sl__reading *reading;
    if (table == NULL || contains == NULL) {
        return null_argument("sl_table_contains", table == NULL ? "table" : "contains", error);
    }
    enum sl_code code = sl__reading_begin(table->store->reader, &reading, error);
    if (code == SL_OK) {
        code = sl__reading_contains(reading, table->name, key, contains, error);
        sl__reading_end(reading);
    }
    return code;
}

static enum sl_code read_size(struct sl__reading *reading, const struct sl_table *table, uint64_t *row_count,
                              struct sl_error *error) {
    struct sl_table_info info;
    enum sl_code code = sl__reading_info(reading, table->name, &info, error);
    if (code == SL_OK) {
        *row_count = info.row_count;
    }
    return code;
}

enum sl_code sl_table_size(struct sl_table *table, uint64_t *row_count, struct sl_error *error) {
    struct sl__reading *reading;
    if (table == NULL || row_count == NULL) {
        return null_argument("sl_table_size", table == NULL ? "table" : "row_count", error);
    }
    enum sl_code code = sl__reading_begin(table->store->reader, &reading, error);
    if (code == SL_OK) {
        code = read_size(reading, table, row_count, error);
        sl__reading_end(reading);
    }
    return code;
}

/* ---- snapshots -------------------------------------------------------------------------------------------------- */

/* A list that was built for a bag, kept until the snapshot ends. */
struct piece {
    struct piece *next;
    uint64_t bytes[]; /* aligned as values are */
};

struct sl_snapshot {
    struct sl_store *store;
    struct sl__reading *reading;
    struct piece *pieces;
    struct sl_writer writer;
    uint32_t scan_count;
};

enum sl_code sl_snapshot_begin(struct sl_store *store, struct sl_snapshot **out, struct sl_error *error) {
    if (out == NULL) {
        return null_argument("sl_snapshot_begin", "snapshot", error);
    }
    *out = NULL;
    enum sl_code code = sl__store_usable(store, "sl_snapshot_begin", error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a snapshot");
    }
    code = sl__reading_begin(store->reader, &snapshot->reading, error);
    if (code != SL_OK) {
        free(snapshot);
        return code;
    }
    snapshot->store = store;
    sl_writer_init(&snapshot->writer, NULL);
    sl__service_watch_reading(store, snapshot->reading);
    *out = snapshot;
    return SL_OK;
}

void sl_snapshot_end(struct sl_snapshot *snapshot) {
    if (snapshot == NULL) {
        return;
    }
    SL_ASSERT(snapshot->scan_count == 0);
    atomic_store_explicit(&snapshot->reading->begun_ns, 0, memory_order_relaxed);
    sl__reading_end(snapshot->reading);
    struct piece *next;
    for (struct piece *piece = snapshot->pieces; piece != NULL; piece = next) {
        next = piece->next;
        free(piece);
    }
    sl_writer_finish(&snapshot->writer);
    free(snapshot);
}

uint64_t sl_snapshot_version(const struct sl_snapshot *snapshot) {
    return snapshot != NULL ? snapshot->reading->version : 0;
}

static enum sl_code check(struct sl_snapshot *snapshot, struct sl_table *table, const void *out, const char *function,
                          struct sl_error *error) {
    if (snapshot == NULL || table == NULL || out == NULL) {
        return null_argument(function, snapshot == NULL ? "snapshot" : table == NULL ? "table" : "result", error);
    }
    if (snapshot->store != table->store) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: table \"%s\" is of another store than the snapshot",
                            function, table->name->name);
    }
    return sl__store_usable(snapshot->store, function, error);
}

static enum sl_code keep(struct sl_snapshot *snapshot, struct sl_value *value, struct sl_error *error) {
    size_t size = snapshot->writer.size;
    struct piece *piece = malloc(sizeof(*piece) + (size + 7) / 8 * 8);
    if (piece == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the values of a key");
    }
    memcpy(piece->bytes, snapshot->writer.data, size);
    piece->next = snapshot->pieces;
    snapshot->pieces = piece;
    *value = (struct sl_value){(const uint8_t *)piece->bytes, size};
    return SL_OK;
}

enum sl_code sl_snapshot_get(struct sl_snapshot *snapshot, struct sl_table *table, struct sl_value key,
                             struct sl_value *value, struct sl_error *error) {
    const struct sl__table_view *view;
    enum sl_code code = check(snapshot, table, value, "sl_snapshot_get", error);
    if (code == SL_OK) {
        code = sl__reading_table(snapshot->reading, table->name, &view, error);
    }
    if (code != SL_OK) {
        return code;
    }
    if (view->kind != SL_TABLE_BAG) {
        return sl__reading_get(snapshot->reading, view, key, value, error);
    }
    sl_writer_reset(&snapshot->writer);
    code = sl__reading_copy(snapshot->reading, table->name, key, &snapshot->writer, error);
    return code == SL_OK ? keep(snapshot, value, error) : code;
}

enum sl_code sl_snapshot_contains(struct sl_snapshot *snapshot, struct sl_table *table, struct sl_value key,
                                  bool *contains, struct sl_error *error) {
    enum sl_code code = check(snapshot, table, contains, "sl_snapshot_contains", error);
    return code == SL_OK ? sl__reading_contains(snapshot->reading, table->name, key, contains, error) : code;
}

enum sl_code sl_snapshot_size(struct sl_snapshot *snapshot, struct sl_table *table, uint64_t *row_count,
                              struct sl_error *error) {
    enum sl_code code = check(snapshot, table, row_count, "sl_snapshot_size", error);
    return code == SL_OK ? read_size(snapshot->reading, table, row_count, error) : code;
}

/* ---- scans ------------------------------------------------------------------------------------------------------ */

struct sl_scan {
    struct sl__walk walk;
    struct sl_snapshot *snapshot;
    bool owns_snapshot;
    struct sl_writer key;
    sl_row_fn *select;
    void *context;
    uint64_t left;
};

enum sl_code sl__scan_options_take(const struct sl_scan_options *given, struct sl_scan_options *options,
                                   struct sl_error *error) {
    *options = (struct sl_scan_options)SL_SCAN_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_scan_options, prefix)) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "scan options: size is %zu; set them up with SL_SCAN_OPTIONS_INIT", given->size);
        }
        memcpy(options, given, SL_MIN(given->size, sizeof(*options)));
    }
    return SL_OK;
}

enum sl_code sl_scan_begin(struct sl_table *table, struct sl_snapshot *snapshot, const struct sl_scan_options *given,
                           struct sl_scan **out, struct sl_error *error) {
    struct sl_scan_options options;
    struct sl__key_range range;
    struct sl_snapshot *own = NULL;
    if (table == NULL || out == NULL) {
        return null_argument("sl_scan_begin", table == NULL ? "table" : "scan", error);
    }
    *out = NULL;
    enum sl_code code = sl__scan_options_take(given, &options, error);
    if (code == SL_OK) {
        code = sl__key_range(&options, &range, error);
    }
    if (code == SL_OK && snapshot == NULL) {
        code = sl_snapshot_begin(table->store, &own, error);
        snapshot = own;
    }
    if (code == SL_OK) {
        code = check(snapshot, table, out, "sl_scan_begin", error);
    }
    struct sl_scan *scan = NULL;
    if (code == SL_OK) {
        scan = calloc(1, sizeof(*scan));
        code = scan != NULL ? SL_OK : sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a scan");
    }
    if (code == SL_OK) {
        code = sl__walk_begin(&scan->walk, snapshot->reading, table->name, &range, options.backward, error);
    }
    if (code != SL_OK) {
        free(scan);
        sl_snapshot_end(own);
        return code;
    }
    sl_writer_init(&scan->key, NULL);
    scan->snapshot = snapshot;
    scan->owns_snapshot = own != NULL;
    scan->select = options.select;
    scan->context = options.context;
    scan->left = options.limit == 0 ? UINT64_MAX : options.limit;
    snapshot->scan_count++;
    *out = scan;
    return SL_OK;
}

enum sl_code sl_scan_next(struct sl_scan *scan, struct sl_value *key, struct sl_value *value, struct sl_error *error) {
    const uint8_t *encoded;
    size_t size;
    if (scan == NULL || key == NULL || value == NULL) {
        return null_argument("sl_scan_next", scan == NULL ? "scan" : key == NULL ? "key" : "value", error);
    }
    enum sl_code code = sl__store_usable(scan->snapshot->store, "sl_scan_next", error);
    while (code == SL_OK && scan->left > 0) {
        code = sl__walk_next(&scan->walk, &encoded, &size, value, error);
        if (code != SL_OK) {
            return code;
        }
        sl_writer_reset(&scan->key);
        if (!sl__key_decode(encoded, size, &scan->key)) {
            return scan->key.code != SL_OK ? sl__writer_error(&scan->key, error)
                                           : sl_error_set(error, SL_E_INVALID_DATA, "a key of the store is damaged");
        }
        *key = (struct sl_value){scan->key.data, scan->key.size};
        if (scan->select == NULL || scan->select(scan->context, *key, *value)) {
            scan->left--;
            return SL_OK;
        }
    }
    return code == SL_OK ? SL_E_END : code;
}

void sl_scan_end(struct sl_scan *scan) {
    if (scan == NULL) {
        return;
    }
    sl__walk_end(&scan->walk);
    scan->snapshot->scan_count--;
    if (scan->owns_snapshot) {
        sl_snapshot_end(scan->snapshot);
    }
    sl_writer_finish(&scan->key);
    free(scan);
}

enum sl_code sl_table_fold(struct sl_table *table, struct sl_snapshot *snapshot, const struct sl_scan_options *options,
                           sl_fold_fn *function, void *context, struct sl_error *error) {
    struct sl_scan *scan = NULL;
    struct sl_value key, value;
    if (function == NULL) {
        return null_argument("sl_table_fold", "function", error);
    }
    enum sl_code code = sl_scan_begin(table, snapshot, options, &scan, error);
    while (code == SL_OK) {
        code = sl_scan_next(scan, &key, &value, error);
        if (code == SL_OK) {
            code = function(context, key, value, error);
        }
    }
    sl_scan_end(scan);
    return code == SL_E_END ? SL_OK : code;
}
