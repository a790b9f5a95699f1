/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/view.h>

#include "ask.h"
#include "base/assert.h"
#include "base/macros.h"
#include "environment.h"
#include "inside.h"
#include "sys/directory.h"
#include "sys/memory_file.h"
#include "sys/path.h"
#include "sys/process.h"

#define MIB ((uint64_t)1 << 20)
#define BYTES_LIMIT ((uint64_t)1 << 44)

/* ---- options ---------------------------------------------------------------------------------------------------- */

static bool name_ok(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t size = strlen(name);
    return size >= 1 && size <= SL_STORE_NAME_SIZE_MAX && name[0] != '.' && strspn(name, allowed) == size;
}

struct bound {
    const char *name;
    uint64_t value, least, most;
};

static enum sl_code check_options(const struct sl_runtime *runtime, const struct sl_store_options *options,
                                  struct sl_error *error) {
    const struct bound bounds[] = {
        {"bytes_max", options->bytes_max, MIB, BYTES_LIMIT},
        {"tables_max", options->tables_max, 1, 1024},
        {"readers_max", options->readers_max, 16, 8192},
        {"change_bytes", options->change_bytes, 64 * 1024, 256 * MIB},
        {"sync_interval_ms", options->sync_interval_ms, 1, 60000},
        {"snapshot_warn_ms", options->snapshot_warn_ms != 0 ? options->snapshot_warn_ms : 10, 10, UINT32_MAX},
        {"sync", (uint64_t)options->sync, SL_STORE_SYNC_FULL, SL_STORE_SYNC_NONE},
    };
    if (options->name == NULL || !name_ok(options->name)) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "sl_store_create: the name is \"%.80s\"; expected 1 to %d letters, digits, '_', '-' and '.', "
            "without a '.' at its start",
            options->name != NULL ? options->name : "", SL_STORE_NAME_SIZE_MAX);
    }
    for (size_t i = 0; i < SL_COUNT_OF(bounds); i++) {
        if (bounds[i].value < bounds[i].least || bounds[i].value > bounds[i].most) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_store_create: %s is %llu; expected %llu to %llu",
                                bounds[i].name, (unsigned long long)bounds[i].value,
                                (unsigned long long)bounds[i].least, (unsigned long long)bounds[i].most);
        }
    }
    if (options->path == NULL && (options->read_only || runtime == NULL)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_store_create: a store %s needs a path",
                            options->read_only ? "that is read-only" : "without a runtime");
    }
    return SL_OK;
}

static enum sl_code take_options(const struct sl_runtime *runtime, const struct sl_store_options *given,
                                 struct sl_store_options *options, struct sl_error *error) {
    *options = (struct sl_store_options)SL_STORE_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_store_options, path)) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "sl_store_create: options.size is %zu; set the options up with SL_STORE_OPTIONS_INIT",
                                given->size);
        }
        memcpy(options, given, SL_MIN(given->size, sizeof(*options)));
    }
    return check_options(runtime, options, error);
}

/* ---- where it is ------------------------------------------------------------------------------------------------ */

static char *join(const char *directory, const char *prefix, const char *name) {
    size_t size = strlen(directory) + strlen(prefix) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL) {
        (void)snprintf(path, size, "%s/%s%s", directory, prefix, name);
    }
    return path;
}

static enum sl_code no_memory(struct sl_error *error) {
    return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a store");
}

enum sl_code sl__store_path(const char *runtime_directory, const char *name, char **path, struct sl_error *error) {
    *path = join(runtime_directory, "store-", name);
    return *path != NULL ? SL_OK : no_memory(error);
}

static enum sl_code name_taken(const struct sl_store *store, struct sl_error *error) {
    return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                        "the runtime has a store \"%s\" already; give each a name of its own", store->name);
}

/* Where the rows are, and by which name workers find them. */
static enum sl_code find_place(struct sl_store *store, const struct sl_store_options *options, struct sl_error *error) {
    const char *directory;
    char *place = NULL;
    enum sl_code code = SL_OK;
    bool made = false;
    if (store->runtime != NULL) {
        code = sl__runtime_directory(store->runtime, &directory, error);
        if (code == SL_OK) {
            code = sl__store_path(directory, store->name, &place, error);
        }
        if (code != SL_OK) {
            return code;
        }
    }
    if (options->path == NULL) {
        store->path = place;
        code = sl__path_make(place, &made, error);
        if (code == SL_OK && !made) {
            code = name_taken(store, error);
            store->in_memory = false; /* it is another one's: not to be removed */
        }
        return code;
    }
    if (!options->read_only) {
        code = sl__path_make(options->path, NULL, error);
    }
    if (code == SL_OK) {
        code = sl__path_resolve(options->path, &store->path, error); /* workers have other working directories */
    }
    if (code == SL_OK && place != NULL) {
        code = sl__link_make(store->path, place, error);
        if (code == SL_OK) {
            store->link = place;
            return SL_OK;
        }
        if (code == SL_E_INVALID_ARGUMENT) {
            code = name_taken(store, error);
        }
    }
    free(place);
    return code;
}

/* Who has the directory, for whom it was refused. */
static enum sl_code in_use(const struct sl_store *store, struct sl_error *error) {
    const struct sl__control *control;
    size_t size;
    long long pid = 0;
    if (sl__control_attach(store->path, &control, &size, NULL) == SL_OK) {
        pid = control->owner_pid;
        sl__control_detach(control, size);
    }
    if (pid == sl__process_id()) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "this process has the store at \"%s\" open already; use that handle", store->path);
    }
    if (pid == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "another process is just opening or closing the store at \"%s\"", store->path);
    }
    return sl_error_set(
        error, SL_E_INVALID_ARGUMENT,
        "process %lld has the store at \"%s\" open, and there is one writer; open it read-only, or stop that process",
        pid, store->path);
}

/* ---- meta record ------------------------------------------------------------------------------------------------ */

static enum sl_code check_meta(struct sl_store *store, const MDB_val *value, struct sl_error *error) {
    struct sl__meta_record meta = {0};
    if (value->mv_size == sizeof(meta)) {
        memcpy(&meta, value->mv_data, sizeof(meta));
    }
    if (meta.magic != SL__STORE_MAGIC) {
        return sl_error_set(error, SL_E_INVALID_DATA, "\"%s\" holds an LMDB database that is no store", store->path);
    }
    if (meta.layout != SL__STORE_LAYOUT) {
        return sl_error_set(error, SL_E_VERSION, "the store at \"%s\" has layout %u and this library knows layout %u",
                            store->path, meta.layout, SL__STORE_LAYOUT);
    }
    store->meta = meta;
    return SL_OK;
}

/* Reads the meta record, or writes it into an empty tree. */
static enum sl_code read_meta(struct sl_store *store, struct sl_error *error) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_txn *txn;
    MDB_stat stat;
    MDB_val key = {sl__meta_key(bytes), bytes}, value;
    enum sl_code code = SL_OK;
    int number = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot begin a transaction");
    }
    number = sl__environment_open_tree(txn);
    if (number == 0) {
        number = mdb_stat(txn, SL__ROWS, &stat);
    }
    if (number == 0) {
        store->page_size = stat.ms_psize;
        number = mdb_get(txn, SL__ROWS, &key, &value);
    }
    if (number == 0) {
        code = check_meta(store, &value, error);
    } else if (number == MDB_NOTFOUND && stat.ms_entries == 0) {
        store->meta = (struct sl__meta_record){
            .magic = SL__STORE_MAGIC, .layout = SL__STORE_LAYOUT, .next_id = SL__SPACE_ROWS, .next_number = 1};
        value = (MDB_val){sizeof(store->meta), &store->meta};
        number = mdb_put(txn, SL__ROWS, &key, &value, 0);
    } else if (number == MDB_NOTFOUND) {
        number = 0;
        code = check_meta(store, &(MDB_val){0, NULL}, error);
    }
    if (code != SL_OK || number != 0) {
        mdb_txn_abort(txn);
    } else {
        number = mdb_txn_commit(txn); /* also makes the handle last */
    }
    return code == SL_OK && number != 0 ? sl__lmdb_error(error, number, "cannot set the store up") : code;
}

/* ---- create and destroy ----------------------------------------------------------------------------------------- */

static void tenant_destroy(struct sl__tenant *tenant) {
    sl_store_destroy(SL_CONTAINER_OF(tenant, struct sl_store, tenant));
}

/* More than the rows may take: LMDB cannot delete from a full map. */
static uint64_t map_of(uint64_t bytes_max) {
    uint64_t bytes = bytes_max + SL_MAX(bytes_max / 8, MIB / 2);
    return bytes / sl__page_size() * sl__page_size();
}

static uint64_t bytes_max_of(uint64_t map_bytes) {
    return map_bytes >= 9 * MIB / 2 ? map_bytes / 9 * 8 : map_bytes - SL_MIN(map_bytes, MIB / 2);
}

static enum sl_code open_writer(struct sl_store *store, const struct sl_store_options *options,
                                struct sl_error *error) {
    enum sl_code code = sl__path_lock(store->path, &store->lock_fd, error);
    if (code == SL_E_AGAIN) {
        return in_use(store, error);
    }
    struct sl__environment_options environment = {.path = store->path,
                                                  .bytes_max = map_of(options->bytes_max),
                                                  .readers_max = options->readers_max,
                                                  .sync = store->in_memory ? SL_STORE_SYNC_NONE : options->sync};
    if (code == SL_OK) {
        code = sl__environment_open(&environment, &store->env, error);
    }
    if (code == SL_OK) {
        int dead;
        (void)mdb_reader_check(store->env, &dead);
        code = read_meta(store, error);
    }
    if (code == SL_OK) {
        code = sl__control_create(store->path, options->tables_max, options->change_bytes, &store->control,
                                  &store->control_size, error);
    }
    if (code == SL_OK) {
        code = sl__reader_init(&store->own_reader, store->env, store->control, options->tables_max,
                               SL_MIN((uint32_t)SL__READINGS_MAX, options->readers_max / 2), error);
    }
    if (code == SL_OK) {
        MDB_envinfo info;
        store->reader = &store->own_reader;
        if (mdb_env_info(store->env, &info) == 0) {
            bool as_asked = info.me_mapsize <= map_of(options->bytes_max);
            store->bytes_max = as_asked ? options->bytes_max : bytes_max_of(info.me_mapsize);
            atomic_store(&store->control->version, info.me_last_txnid);
        }
        code = sl__tables_load(store, error);
    }
    return code;
}

static enum sl_code open_reader(struct sl_store *store, struct sl_error *error) {
    enum sl_code code = sl__reader_attach(store->path, &store->reader, error);
    if (code == SL_OK) {
        MDB_envinfo info;
        MDB_stat stat;
        store->env = store->reader->env;
        if (mdb_env_info(store->env, &info) == 0 && mdb_env_stat(store->env, &stat) == 0) {
            store->bytes_max = bytes_max_of(info.me_mapsize);
            store->page_size = stat.ms_psize;
        }
    }
    return code;
}

static void release(struct sl_store *store) {
    sl__service_stop(store);
    if (store->joined) {
        sl__runtime_part(store->runtime, &store->tenant, 0);
    }
    sl__tables_finish(store);
    if (store->read_only) {
        sl__reader_detach(store->reader);
    } else {
        if (store->env != NULL && store->sync == SL_STORE_SYNC_ASYNC && !store->in_memory) {
            (void)mdb_env_sync(store->env, 1);
        }
        if (store->reader != NULL) {
            sl__reader_finish(store->reader);
        }
        sl__control_destroy(store->control, store->control_size);
        if (store->env != NULL) {
            mdb_env_close(store->env);
        }
    }
    if (store->link != NULL) {
        (void)sl__file_remove(store->link, NULL);
    }
    if (store->in_memory && store->path != NULL) {
        (void)sl__directory_remove(store->path, NULL);
    }
    sl__path_unlock(&store->lock_fd);
    sl__change_list_finish(&store->transaction.changes);
    sl_writer_finish(&store->transaction.copy);
    sl_writer_finish(&store->transaction.update);
    pthread_mutex_destroy(&store->write_lock);
    pthread_mutex_destroy(&store->tables_lock);
    free(store->link);
    free(store->path);
    free(store->name);
    free(store);
}

enum sl_code sl_store_create(struct sl_runtime *runtime, const struct sl_store_options *given, struct sl_store **out,
                             struct sl_error *error) {
    struct sl_store_options options;
    if (out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_store_create: `store` is NULL");
    }
    *out = NULL;
    if (runtime != NULL && sl__runtime_foreign(runtime)) {
        return sl_error_set(error, SL_E_CLOSED,
                            "sl_store_create: this process was forked from the one that made the runtime");
    }
    enum sl_code code = take_options(runtime, given, &options, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return no_memory(error);
    }
    store->runtime = runtime;
    store->log = runtime != NULL ? &runtime->log : NULL;
    store->telemetry = runtime != NULL ? &runtime->telemetry : &sl__telemetry_none;
    store->read_only = options.read_only;
    store->in_memory = options.path == NULL;
    store->sync = options.sync;
    store->sync_interval_ms = options.sync_interval_ms;
    store->tables_max = options.tables_max;
    store->snapshot_warn_ms = options.snapshot_warn_ms;
    store->lock_fd = -1;
    store->transaction.store = store;
    sl_writer_init(&store->transaction.copy, NULL);
    sl_writer_init(&store->transaction.update, NULL);
    pthread_mutex_init(&store->write_lock, NULL);
    pthread_mutex_init(&store->tables_lock, NULL);
    store->name = strdup(options.name);
    code = store->name != NULL ? find_place(store, &options, error) : no_memory(error);
    if (code == SL_OK) {
        code = store->read_only ? open_reader(store, error) : open_writer(store, &options, error);
    }
    if (code == SL_OK) {
        code = sl__service_start(store, error);
    }
    if (code == SL_OK && runtime != NULL) {
        store->tenant.destroy = tenant_destroy;
        code = sl__runtime_join(runtime, &store->tenant, 0, error);
        store->joined = code == SL_OK;
    }
    if (code == SL_OK && runtime != NULL) {
        code = sl__store_answer_begin(runtime, store, store->name, &store->view, error);
    }
    if (code != SL_OK) {
        release(store);
        return code;
    }
    *out = store;
    return SL_OK;
}

void sl_store_destroy(struct sl_store *store) {
    if (store == NULL || sl__reader_foreign(store->reader)) {
        return; /* a forked child has no part in it: neither the thread nor LMDB's locks */
    }
    sl_view_unregister(store->view); /* waits for what workers have asked for */
    store->view = NULL;
    release(store);
}

/* ---- for other rooms -------------------------------------------------------------------------------------------- */

struct sl_store *sl__store_find(struct sl_runtime *runtime, const char *name) {
    struct sl_store *found = NULL;
    pthread_mutex_lock(&runtime->lock);
    for (struct sl__tenant *tenant = runtime->tenants; tenant != NULL && found == NULL; tenant = tenant->next) {
        if (tenant->destroy == tenant_destroy) {
            struct sl_store *store = SL_CONTAINER_OF(tenant, struct sl_store, tenant);
            found = strcmp(store->name, name) == 0 ? store : NULL;
        }
    }
    pthread_mutex_unlock(&runtime->lock);
    return found;
}

const char *sl__store_name(const struct sl_store *store) {
    return store->name;
}

void sl__store_reader_died(struct sl_store *store) {
    int dead;
    if (!sl__reader_foreign(store->reader)) {
        (void)mdb_reader_check(store->env, &dead);
    }
}

void sl__store_readers_died(struct sl_runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    for (struct sl__tenant *tenant = runtime->tenants; tenant != NULL; tenant = tenant->next) {
        if (tenant->destroy == tenant_destroy) {
            sl__store_reader_died(SL_CONTAINER_OF(tenant, struct sl_store, tenant));
        }
    }
    pthread_mutex_unlock(&runtime->lock);
}

void sl__store_set_clock(struct sl_store *store, uint64_t (*wall_ns)(void)) {
    store->reader->wall_ns = wall_ns;
}

/* ---- sync and figures ------------------------------------------------------------------------------------------- */

enum sl_code sl_store_sync(struct sl_store *store, struct sl_error *error) {
    enum sl_code code = sl__store_writable(store, "sl_store_sync", error);
    if (code == SL_OK && !store->in_memory) {
        int number = mdb_env_sync(store->env, 1);
        if (number != 0) {
            code = sl__lmdb_error(error, number, "cannot write the store to disk");
        }
    }
    return code;
}

/* Pages that nobody needs: the values of LMDB's own first database are lists of them, each with its length in front. */
static int count_free_pages(MDB_txn *txn, uint64_t *pages) {
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t count;
    *pages = 0;
    int number = mdb_cursor_open(txn, 0, &cursor);
    if (number != 0) {
        return number;
    }
    while ((number = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (value.mv_size >= sizeof(count)) {
            memcpy(&count, value.mv_data, sizeof(count));
            *pages += count;
        }
    }
    mdb_cursor_close(cursor);
    return number == MDB_NOTFOUND ? 0 : number;
}

static enum sl_code count_table(void *context, const struct sl_table_info *info) {
    (void)info;
    ++*(uint32_t *)context;
    return SL_OK;
}

enum sl_code sl_store_stat(struct sl_store *store, struct sl_store_stat *given, struct sl_error *error) {
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    struct sl__reading *reading;
    MDB_envinfo info;
    uint64_t free_pages = 0;
    if (given == NULL || given->size < offsetof(struct sl_store_stat, bytes_used)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_store_stat: `stat` is NULL or of size 0; set it up with SL_STORE_STAT_INIT");
    }
    enum sl_code code = sl__store_usable(store, "sl_store_stat", error);
    if (code != SL_OK) {
        return code;
    }
    struct sl__old_reader oldest = sl__environment_oldest(store->env);
    code = sl__reading_begin(store->reader, &reading, error);
    if (code != SL_OK) {
        return code;
    }
    int number = mdb_env_info(store->env, &info);
    if (number == 0) {
        number = count_free_pages(reading->txn, &free_pages);
    }
    code = number == 0 ? sl__reading_tables(reading, count_table, &stat.table_count, error)
                       : sl__lmdb_error(error, number, "cannot look at the store");
    stat.version = reading->version;
    sl__reading_end(reading);
    if (code != SL_OK) {
        return code;
    }
    stat.bytes_max = store->bytes_max;
    stat.bytes_used = ((uint64_t)info.me_last_pgno + 1) * store->page_size;
    stat.bytes_free = free_pages * store->page_size;
    stat.commit_count = atomic_load(&store->commit_count);
    stat.expired_count = atomic_load(&store->expired_count);
    stat.evicted_count = atomic_load(&store->evicted_count);
    stat.snapshot_warning_count = atomic_load(&store->warning_count);
    stat.reader_count = oldest.reader_count;
    stat.oldest_snapshot_pid = oldest.pid;
    stat.oldest_snapshot_version = oldest.pid != 0 ? oldest.version : stat.version;
    stat.size = SL_MIN(given->size, sizeof(stat));
    memcpy(given, &stat, stat.size);
    return SL_OK;
}
