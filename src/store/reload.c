/* SPDX-License-Identifier: MIT */
/*
 * Reload: rows are collected, written under a new id in transactions of their own, and the id is put into the table's record.
 *
 * Rows are written in the order of their keys, as far as they can be: each is then put behind the last one, which leaves full pages. Rows that are put
 * in any order leave them half full, so that there are twice as many to read, and have each transaction copy most of them. So rows that
 * do not come in order are collected up to SL__RELOAD_SORT_BYTES and sorted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/macros.h"
#include "inside.h"

/* A row that waits to be written: its bytes lie in `bytes` one after another. */
struct waiting {
    size_t key; /* offset of the encoded key */
    uint32_t key_size;
    uint32_t place; /* in the order of arrival */
    size_t value_size;
    uint64_t ttl_ms;
    uint64_t rank; /* the first bytes in which the keys differ: what most comparisons look at */
};
SL_STATIC_ASSERT(SL__RELOAD_SORT_BYTES / sizeof(struct waiting) < UINT32_MAX, "places are kept in 32 bits");

struct sl_reload {
    struct sl_table shadow; /* under the new id */
    struct sl_table *table;
    struct sl_reload *next; /* of the store. write_lock */
    struct {
        struct waiting *items;
        size_t count;
        size_t capacity;
    } rows;
    struct {
        uint8_t *items;
        size_t count;
        size_t capacity;
    } bytes;
    struct sl__span span;
    enum sl_code broken; /* rows could not be written: it can only be aborted */
    struct sl_error error;
    bool unordered;                       /* the rows that wait are not in the order of their keys */
    uint8_t last[SL_STORE_KEY_BYTES_MAX]; /* the largest key that was written */
    size_t last_size;
};

struct sl_table *sl__reload_shadow_by_id(struct sl_store *store, uint32_t id) {
    for (struct sl_reload *reload = store->reloads; reload != NULL; reload = reload->next) {
        if (reload->shadow.committed.id == id) {
            return &reload->shadow;
        }
    }
    return NULL;
}

static void forget(struct sl_reload *reload) {
    SL_ARRAY_FINISH(&reload->rows);
    SL_ARRAY_FINISH(&reload->bytes);
    sl_error_finish(&reload->error);
    free(reload);
}

static enum sl_code begin(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct sl_reload *reload = context;
    enum sl_code code = sl__rows_table(transaction, reload->table, error);
    if (code != SL_OK) {
        return code;
    }
    if (reload->table->reload != NULL && reload->table->reload != reload) {
        return sl_error_set(error, SL_E_AGAIN, "table \"%s\" is being reloaded already", reload->table->name->name);
    }
    sl__transaction_touch(transaction, &reload->shadow);
    struct sl__table_record *record = &reload->shadow.record;
    *record = reload->table->record;
    record->row_count = 0;
    record->next_n = 0;
    record->id = transaction->meta.next_id++;
    transaction->meta_dirty = transaction->wrote = true;
    return sl__catalog_doom(transaction, record->id, error); /* until it is taken into use */
}

/* What must be done under the lock when a reload has begun or is over. */
static enum sl_code enter(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct sl_reload *reload = context;
    enum sl_code code = begin(transaction, reload, error);
    if (code == SL_OK && reload->table->reload == NULL) {
        reload->table->reload = reload;
        reload->next = transaction->store->reloads;
        transaction->store->reloads = reload;
    }
    return code;
}

static void leave_locked(struct sl_store *store, struct sl_reload *reload) {
    struct sl_reload **at = &store->reloads;
    while (*at != NULL && *at != reload) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = reload->next;
        reload->table->reload = NULL;
    }
}

static void leave(struct sl_reload *reload) {
    struct sl_store *store = reload->table->store;
    pthread_mutex_lock(&store->write_lock);
    leave_locked(store, reload);
    pthread_mutex_unlock(&store->write_lock);
}

enum sl_code sl_reload_begin(struct sl_table *table, struct sl_reload **out, struct sl_error *error) {
    if (table == NULL || out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_reload_begin: `%s` is NULL",
                            table == NULL ? "table" : "reload");
    }
    *out = NULL;
    enum sl_code code = sl__store_writable(table->store, "sl_reload_begin", error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_reload *reload = calloc(1, sizeof(*reload));
    if (reload == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a reload");
    }
    reload->table = table;
    reload->shadow.store = table->store;
    reload->shadow.name = table->name;
    reload->shadow.is_shadow = true;
    code = sl__write_once(table->store, "sl_reload_begin", enter, reload, error);
    if (code != SL_OK) {
        leave(reload); /* the commit may have failed after it was entered */
        forget(reload);
        return code;
    }
    if (sl__telemetry_wants(table->store->telemetry, SL__TELEMETRY_STORE_RELOAD_START)) {
        sl__reload_tell_start(table, &reload->span);
    }
    *out = reload;
    return SL_OK;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool is_behind(const struct sl_reload *reload, const uint8_t *key, size_t size) {
    int order = memcmp(key, reload->last, SL_MIN(size, reload->last_size));
    return order > 0 || (order == 0 && size > reload->last_size);
}

/* What was not written is missing, so that nothing may be taken into use. */
static enum sl_code check_whole(const struct sl_reload *reload, struct sl_error *error) {
    if (reload->broken != SL_OK && error != NULL) {
        sl_error_copy(error, &reload->error);
    }
    return reload->broken;
}

static const uint8_t *key_of(const struct sl_reload *reload, const struct waiting *row) {
    return reload->bytes.items + row->key;
}

/* Rows of one key in the order of arrival: of a set the last one stays, a bag keeps them so. */
static int by_key(const void *a, const void *b, void *context) {
    const struct sl_reload *reload = context;
    const struct waiting *left = a, *right = b;
    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }
    int order = memcmp(key_of(reload, left), key_of(reload, right), SL_MIN(left->key_size, right->key_size));
    if (order == 0) {
        order = (left->key_size > right->key_size) - (left->key_size < right->key_size);
    }
    return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

static uint64_t rank_of(const uint8_t *key, size_t size, size_t from) {
    uint8_t bytes[8] = {0};
    memcpy(bytes, key + from, SL_MIN(size - from, sizeof(bytes)));
    return sl__get_be64(bytes);
}

static void sort(struct sl_reload *reload) {
    struct waiting *rows = reload->rows.items;
    const uint8_t *first = key_of(reload, &rows[0]);
    size_t common = rows[0].key_size;
    for (size_t i = 1; i < reload->rows.count; i++) {
        const uint8_t *key = key_of(reload, &rows[i]);
        size_t same = 0;
        common = SL_MIN(common, rows[i].key_size);
        while (same < common && key[same] == first[same]) {
            same++;
        }
        common = same;
    }
    for (size_t i = 0; i < reload->rows.count; i++) {
        rows[i].place = (uint32_t)i;
        rows[i].rank = rank_of(key_of(reload, &rows[i]), rows[i].key_size, common);
    }
    qsort_r(rows, reload->rows.count, sizeof(rows[0]), by_key, reload);
}

/* Rows from `*at` on, as many as one transaction takes. */
static enum sl_code write_rows(struct sl_transaction *transaction, struct sl_reload *reload, size_t *at,
                               struct sl_error *error) {
    enum sl_code code = sl__rows_table(transaction, &reload->shadow, error);
    size_t count = 0, bytes = 0;
    for (; code == SL_OK && *at < reload->rows.count && count < SL__RELOAD_ROWS && bytes < SL__RELOAD_BYTES;
         ++*at, count++) {
        const struct waiting *row = &reload->rows.items[*at];
        const uint8_t *key = key_of(reload, row);
        struct sl_value value = {key + row->key_size, row->value_size};
        bool inserted, appends = is_behind(reload, key, row->key_size);
        code = sl__rows_put(transaction, &reload->shadow, key, row->key_size, (struct sl_value){NULL, 0}, value,
                            row->ttl_ms, SL__PUT_REPLACE, appends, &inserted, error);
        if (appends) {
            memcpy(reload->last, key, row->key_size);
            reload->last_size = row->key_size;
        }
        bytes += row->key_size + row->value_size;
    }
    return code;
}

static enum sl_code flush(struct sl_reload *reload, struct sl_error *error) {
    enum sl_code code = SL_OK;
    if (reload->unordered) {
        sort(reload);
    }
    for (size_t at = 0; code == SL_OK && at < reload->rows.count;) {
        struct sl_transaction *transaction;
        /* Not sl__write_once, which may run it twice: `last` would be wrong the second time. */
        code = sl_transaction_begin(reload->table->store, &transaction, error);
        if (code == SL_OK) {
            code = write_rows(transaction, reload, &at, error);
            if (code == SL_OK) {
                code = sl_transaction_commit(transaction, error);
            } else {
                sl_transaction_abort(transaction);
            }
        }
    }
    if (code != SL_OK) {
        reload->broken = code;
        (void)sl_error_set(&reload->error, code, "rows of the reload could not be written: %s",
                           error != NULL ? error->message : sl_code_text(code));
    }
    reload->rows.count = 0;
    reload->bytes.count = 0;
    reload->unordered = false;
    return code;
}

/* Which row a table evicts goes by the order in which they were put: there rows stay as they come. */
static bool may_sort(const struct sl_reload *reload) {
    return reload->shadow.committed.policy != SL_TABLE_FULL_EVICT;
}

static bool is_due(const struct sl_reload *reload) {
    if (reload->unordered) {
        return reload->bytes.count + reload->rows.count * sizeof(struct waiting) >= SL__RELOAD_SORT_BYTES;
    }
    return reload->rows.count >= SL__RELOAD_ROWS || reload->bytes.count >= SL__RELOAD_BYTES;
}

/* Whether a key is below that of the row that came before it. */
static bool steps_back(const struct sl_reload *reload, const uint8_t *key, size_t size) {
    if (reload->rows.count == 0) {
        return false;
    }
    const struct waiting *before = &reload->rows.items[reload->rows.count - 1];
    int order = memcmp(key, key_of(reload, before), SL_MIN(size, before->key_size));
    return order < 0 || (order == 0 && size < before->key_size);
}

enum sl_code sl_reload_put(struct sl_reload *reload, struct sl_value key, struct sl_value value,
                           const struct sl_put_options *options, struct sl_error *error) {
    uint8_t encoded[SL_STORE_KEY_BYTES_MAX];
    size_t size;
    uint64_t ttl_ms;
    if (reload == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_reload_put: `reload` is NULL");
    }
    enum sl_code code = sl__store_usable(reload->table->store, "sl_reload_put", error);
    if (code == SL_OK) {
        code = check_whole(reload, error);
    }
    if (code == SL_OK) {
        code = sl__key_encode(key, encoded, &size, error);
    }
    if (code == SL_OK) {
        code = sl__rows_check_value(value, error);
    }
    if (code == SL_OK) {
        code = sl__rows_ttl(options, &ttl_ms, error);
    }
    if (code == SL_OK && is_due(reload)) {
        code = flush(reload, error);
    }
    if (code != SL_OK) {
        return code;
    }
    if (!SL_ARRAY_RESERVE(&reload->rows, 1) || !SL_ARRAY_RESERVE(&reload->bytes, size + value.size)) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the rows of a reload");
    }
    if (!reload->unordered && may_sort(reload)) {
        reload->unordered = steps_back(reload, encoded, size);
    }
    struct waiting row = {
        .key = reload->bytes.count, .key_size = (uint32_t)size, .value_size = value.size, .ttl_ms = ttl_ms};
    memcpy(reload->bytes.items + reload->bytes.count, encoded, size);
    memcpy(reload->bytes.items + reload->bytes.count + size, value.data, value.size);
    reload->bytes.count += size + value.size;
    reload->rows.items[reload->rows.count++] = row;
    return SL_OK;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static enum sl_code take_into_use(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct sl_reload *reload = context;
    struct sl_table *table = reload->table;
    struct sl__table_record *record = &table->record;
    const struct sl__table_record *filled = &reload->shadow.committed;
    enum sl_code code = sl__rows_table(transaction, table, error);
    if (code == SL_OK && record->number != filled->number) {
        code = sl_error_set(error, SL_E_NOT_FOUND, "table \"%s\" was dropped during its reload", table->name->name);
    }
    if (code == SL_OK) {
        code = sl__catalog_doom(transaction, record->id, error);
    }
    if (code == SL_OK) {
        code = sl__catalog_spare(transaction, filled->id, error);
    }
    if (code != SL_OK) {
        return code;
    }
    record->id = filled->id;
    record->row_count = filled->row_count;
    record->next_n = filled->next_n;
    record->reload_count++;
    table->dirty = transaction->catalog_changed = true;
    sl__change_list_add(&transaction->changes, transaction->store->control, SL_CHANGE_TABLE, record->number, NULL, 0);
    return SL_OK;
}

enum sl_code sl_reload_commit(struct sl_reload *reload, uint64_t *row_count, struct sl_error *error) {
    if (reload == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_reload_commit: `reload` is NULL");
    }
    struct sl_store *store = reload->table->store;
    enum sl_code code = sl__store_usable(store, "sl_reload_commit", error);
    if (code != SL_OK) {
        return code;
    }
    code = check_whole(reload, error);
    if (code == SL_OK) {
        code = flush(reload, error);
    }
    if (code == SL_OK) {
        code = sl__write_once(store, "sl_reload_commit", take_into_use, reload, error);
    }
    if (code == SL_OK && row_count != NULL) {
        *row_count = reload->shadow.committed.row_count;
    }
    leave(reload);
    if (sl__span_open(&reload->span)) {
        sl__reload_tell_end(reload->table, &reload->span, code, reload->shadow.committed.row_count);
    }
    forget(reload);
    sl__service_purge(store); /* the old rows, or the new ones */
    return code;
}

void sl_reload_abort(struct sl_reload *reload) {
    if (reload == NULL || sl__reader_foreign(reload->table->store->reader)) {
        return;
    }
    struct sl_store *store = reload->table->store;
    leave(reload);
    if (sl__span_open(&reload->span)) {
        enum sl_code code = reload->broken != SL_OK ? reload->broken : SL_E_CANCELLED;
        sl__reload_tell_end(reload->table, &reload->span, code, 0);
    }
    forget(reload);
    sl__service_purge(store);
}

enum sl_code sl_table_reload(struct sl_table *table, sl_row_source_fn *source, void *context, uint64_t *row_count,
                             struct sl_error *error) {
    struct sl_reload *reload;
    if (source == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_reload: `source` is NULL");
    }
    enum sl_code code = sl_reload_begin(table, &reload, error);
    if (code != SL_OK) {
        return code;
    }
    for (;;) {
        struct sl_row row = {{NULL, 0}, {NULL, 0}};
        code = source(context, &row, error);
        if (code == SL_OK) {
            code = sl_reload_put(reload, row.key, row.value, NULL, error);
        }
        if (code == SL_E_END) {
            return sl_reload_commit(reload, row_count, error);
        }
        if (code != SL_OK) {
            sl_reload_abort(reload);
            return code;
        }
    }
}
