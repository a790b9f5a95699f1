/* SPDX-License-Identifier: MIT */
/* Watches of the host: each follows the ring of changes by itself, see store/changes.h. */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "inside.h"
#include "store/store.h"
#include "sys/clock.h"
#include "wire/writer.h"

#define LOOK_MS 50 /* how often one that is attached looks whether it has ended */

/* A table of another process's store may have been dropped and made again. */
static void refresh_number(struct sl_watch *watch) {
    struct sl__reading *reading;
    const struct sl__table_view *view;
    if (watch->table == NULL || !watch->store->read_only ||
        sl__reading_begin(watch->store->reader, &reading, NULL) != SL_OK) {
        return;
    }
    if (sl__reading_table(reading, watch->table->name, &view, NULL) == SL_OK) {
        atomic_store_explicit(&watch->table->number, view->number, memory_order_release);
    }
    sl__reading_end(reading);
}

static uint32_t number_of(void *context, bool first) {
    struct sl_watch *watch = context;
    if (first) {
        refresh_number(watch);
    }
    return atomic_load_explicit(&watch->table->number, memory_order_acquire);
}

enum sl_code sl__watch_take(struct sl_watch *watch, struct sl_change *change, struct sl_error *error) {
    struct sl__change_record record;
    enum sl_code code = sl__changes_take(&watch->changes, &record);
    if (code != SL_OK) {
        return code;
    }
    *change = (struct sl_change)SL_CHANGE_INIT;
    change->kind = record.kind;
    change->version = record.version;
    if (record.kind == SL_CHANGE_OVERFLOW) {
        return SL_OK;
    }
    change->table = watch->table != NULL ? watch->table : sl__table_by_number(watch->store, record.table_number);
    sl_writer_reset(&watch->key);
    if (record.key_size > 0) {
        if (!sl__key_decode(record.key, record.key_size, &watch->key)) {
            return watch->key.code != SL_OK ? sl__writer_error(&watch->key, error)
                                            : sl_error_set(error, SL_E_INVALID_DATA, "the key of a change is damaged");
        }
        change->key = (struct sl_value){watch->key.data, watch->key.size};
    }
    return SL_OK;
}

void sl__store_watch_end(struct sl_watch *watch) {
    atomic_store_explicit(&watch->ended, true, memory_order_release);
}

void sl__watch_free(struct sl_watch *watch) {
    sl__changes_finish(&watch->changes);
    sl_writer_finish(&watch->key);
    free(watch);
}

/* ---- public ----------------------------------------------------------------------------------------------------- */

static enum sl_code take_options(struct sl_store *store, const struct sl_watch_options *given,
                                 struct sl_watch_options *options, struct sl__key_range *range,
                                 struct sl_error *error) {
    *options = (struct sl_watch_options)SL_WATCH_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_watch_options, key)) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "sl_watch_create: options.size is %zu; set the options up with SL_WATCH_OPTIONS_INIT",
                                given->size);
        }
        memcpy(options, given, SL_MIN(given->size, sizeof(*options)));
    }
    if (options->table == NULL && (options->key.size > 0 || options->prefix.size > 0)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_watch_create: a key or prefix needs a table");
    }
    if (options->table != NULL && options->table->store != store) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_watch_create: table \"%s\" is of another store",
                            options->table->name->name);
    }
    if (options->pending_max < 1 || options->pending_max > SL__PENDING_LIMIT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_watch_create: pending_max is %u; expected 1 to %d",
                            options->pending_max, SL__PENDING_LIMIT);
    }
    if (options->function != NULL && store->read_only) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "sl_watch_create: a store that was opened read-only calls no functions; use sl_watch_next");
    }
    struct sl_scan_options bounds = SL_SCAN_OPTIONS_INIT;
    bounds.key = options->key;
    bounds.prefix = options->prefix;
    return sl__key_range(&bounds, range, error);
}

enum sl_code sl__store_watch(struct sl_store *store, const struct sl_watch_options *given,
                             void (*left)(void *context, struct sl_watch *watch), void *context, struct sl_watch **out,
                             struct sl_error *error) {
    struct sl_watch_options options;
    struct sl__key_range range;
    if (out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_watch_create: `watch` is NULL");
    }
    *out = NULL;
    enum sl_code code = sl__store_usable(store, "sl_watch_create", error);
    if (code == SL_OK) {
        code = take_options(store, given, &options, &range, error);
    }
    if (code == SL_OK && store->reader->control == NULL) {
        code = sl_error_set(error, SL_E_CLOSED, "nobody writes the store at \"%s\", so that nothing in it can change",
                            store->path);
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a watch");
    }
    watch->store = store;
    watch->table = options.table;
    watch->function = options.function;
    watch->context = options.context;
    watch->left = left;
    watch->left_context = context;
    sl_writer_init(&watch->key, NULL);
    refresh_number(watch);
    code = sl__changes_init(&watch->changes, store->reader->control, &range, options.pending_max,
                            watch->table != NULL ? number_of : NULL, watch, error);
    if (code != SL_OK) {
        sl__watch_free(watch);
        return code;
    }
    if (watch->function != NULL) {
        sl__service_add_watch(store, watch);
    }
    *out = watch;
    return SL_OK;
}

enum sl_code sl_watch_create(struct sl_store *store, const struct sl_watch_options *given, struct sl_watch **out,
                             struct sl_error *error) {
    return sl__store_watch(store, given, NULL, NULL, out, error);
}

enum sl_code sl_watch_next(struct sl_watch *watch, uint64_t timeout_ms, struct sl_change *given,
                           struct sl_error *error) {
    struct sl_change change;
    if (watch == NULL || given == NULL || given->size < offsetof(struct sl_change, version)) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "sl_watch_next: `watch` or `change` is NULL, or the change was not set up with SL_CHANGE_INIT");
    }
    if (watch->function != NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_watch_next: the watch has a function, which gets the changes");
    }
    enum sl_code code = sl__store_usable(watch->store, "sl_watch_next", error);
    if (code != SL_OK) {
        return code;
    }
    const struct sl__control *control = watch->store->reader->control;
    uint64_t deadline_ns = timeout_ms == UINT64_MAX ? 0 : sl__clock_deadline_ms(timeout_ms);
    for (;;) {
        if (atomic_load_explicit(&watch->ended, memory_order_acquire)) {
            return sl_error_set(error, SL_E_CLOSED, "the session of the watch has ended");
        }
        uint32_t bell = atomic_load_explicit(&control->bell, memory_order_acquire);
        bool closed = atomic_load(&control->closed) != 0;
        code = sl__watch_take(watch, &change, error);
        if (code != SL_E_AGAIN) {
            break;
        }
        if (closed) {
            return sl_error_set(error, SL_E_CLOSED, "the writer of the store has closed it");
        }
        if (timeout_ms == 0 || sl__clock_passed(deadline_ns)) {
            return SL_E_TIMEOUT;
        }
        uint64_t until_ns = deadline_ns;
        if (watch->left != NULL) { /* nobody rings when its session ends */
            uint64_t look_ns = sl__clock_deadline_ms(LOOK_MS);
            until_ns = until_ns == 0 ? look_ns : SL_MIN(until_ns, look_ns);
        }
        sl__control_wait(control, bell, until_ns);
    }
    if (code == SL_OK) {
        change.size = SL_MIN(given->size, sizeof(change));
        memcpy(given, &change, change.size);
    }
    return code;
}

void sl_watch_destroy(struct sl_watch *watch) {
    if (watch == NULL || sl__reader_foreign(watch->store->reader)) {
        return;
    }
    if (watch->left != NULL) {
        watch->left(watch->left_context, watch);
    }
    if (watch->function == NULL || sl__service_remove_watch(watch->store, watch)) {
        sl__watch_free(watch);
    }
}
