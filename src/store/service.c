/* SPDX-License-Identifier: MIT */
/*
 * The thread of a store that is written here: removes doomed rows, writes to disk what waits for it (async mode), calls watch functions, and
 * looks for snapshots that are too old.
 *
 * It sleeps without a deadline when nothing is due. Who writes or takes a snapshot sets `active` and, when the thread is `quiet`, wakes it, so that
 * it sets its deadlines; it says `quiet` before it looks at `active` for the last time, so one of the two sees the other.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/macros.h"
#include "environment.h"
#include "inside.h"
#include "sys/clock.h"
#include "sys/futex.h"
#include "sys/process.h"

#define MS 1000000u
#define POLITE_NS 200000u /* for which a purge steps back when others want to write */

/* A reader in another process that was seen at a version that is not the newest. */
struct old_reader {
    long long pid;
    unsigned long long thread, version;
    uint64_t since_ns;
    bool reported;
    bool seen; /* in the last look */
};

struct sl__service {
    struct sl_store *store;
    pthread_t thread;
    _Atomic uint32_t bell;
    _Atomic uint32_t stopping;
    _Atomic uint32_t purge;
    _Atomic uint32_t active;
    _Atomic uint32_t quiet;
    uint64_t look_at_ns;
    uint64_t sync_at_ns;
    struct {
        struct old_reader *items;
        size_t count;
        size_t capacity;
    } old;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t idle;  /* no function is running */
    struct sl__list watches;
    struct sl_watch *running;
    uint64_t pass;
};

static void ring(struct sl__service *service) {
    atomic_fetch_add(&service->bell, 1);
    sl__futex_wake(&service->bell, 1, SL__FUTEX_PRIVATE);
}

static bool stopping(const struct sl__service *service) {
    return atomic_load(&service->stopping) != 0;
}

static void warn(struct sl_store *store, const char *text) {
    if (store->log != NULL) {
        sl__log_host(store->log, SL_LOG_WARN, NULL, UINT32_MAX, 0, "%s", text);
    }
}

/* ---- purging ---------------------------------------------------------------------------------------------------- */

/* The first doomed id that no reload is filling; 0: there is none. */
static uint32_t find_doomed(struct sl_transaction *transaction) {
    uint8_t bytes[SL__CATALOG_KEY_BYTES_MAX];
    MDB_cursor *cursor;
    MDB_val key = {sl__doomed_key(bytes, 0), bytes}, value;
    uint32_t found = 0;
    if (mdb_cursor_open(transaction->txn, SL__ROWS, &cursor) != 0) {
        return 0;
    }
    int number = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (number == 0 && found == 0 && key.mv_size == 9 && memcmp(key.mv_data, bytes, 5) == 0) {
        uint32_t id = sl__get_be32((const uint8_t *)key.mv_data + 5);
        if (sl__reload_shadow_by_id(transaction->store, id) == NULL) {
            found = id;
        }
        number = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return found;
}

static enum sl_code purge_some(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    bool *found = context, done;
    uint32_t id = find_doomed(transaction);
    *found = id != 0;
    return id != 0 ? sl__rows_purge(transaction, id, SL__PURGE_ROWS, &done, error) : SL_OK;
}

static void purge(struct sl__service *service) {
    struct sl_store *store = service->store;
    struct sl_error error = SL_ERROR_INIT;
    char text[SL_ERROR_MESSAGE_SIZE + 128];
    bool found = true;
    while (found && !stopping(service)) {
        if (sl__write_once(store, "purge", purge_some, &found, &error) != SL_OK) {
            /* The rows are not in anybody's way; the next reload, clear or opening tries again. */
            (void)snprintf(text, sizeof(text), "store \"%s\": rows that were replaced could not be removed yet: %s",
                           store->name, error.message);
            warn(store, text);
            break;
        }
        uint32_t bell = atomic_load(&service->bell);
        if (found && atomic_load_explicit(&store->writers_waiting, memory_order_relaxed) > 0 && !stopping(service)) {
            (void)sl__futex_wait(&service->bell, bell, SL__FUTEX_PRIVATE, sl__clock_now_ns() + POLITE_NS);
        }
    }
    sl_error_finish(&error);
}

/* ---- old snapshots ---------------------------------------------------------------------------------------------- */

static void report(struct sl_store *store, const char *who, uint64_t age_ns, uint64_t version) {
    char text[512];
    uint64_t newest = atomic_load(&store->control->version);
    atomic_fetch_add(&store->warning_count, 1);
    (void)snprintf(text, sizeof(text),
                   "store \"%s\": %s has held a snapshot for %.1f s; it is %" PRIu64
                   " versions old, and pages that were replaced since cannot be used again until it ends",
                   store->name, who, (double)age_ns / 1e9, newest > version ? newest - version : 0);
    warn(store, text);
}

/* In this process each snapshot says since when it is there. */
static bool look_at_own(struct sl__service *service, uint64_t now) {
    struct sl_store *store = service->store;
    bool any = false;
    char who[64];
    for (uint32_t i = 0; i < store->own_reader.reading_count; i++) {
        struct sl__reading *reading = &store->own_reader.readings[i];
        uint64_t begun = atomic_load_explicit(&reading->begun_ns, memory_order_acquire);
        if (begun == 0) {
            continue;
        }
        any = true;
        if (begun != reading->reported_ns && now >= begun + (uint64_t)store->snapshot_warn_ms * MS) {
            (void)snprintf(who, sizeof(who), "thread %lld of this process",
                           (long long)atomic_load_explicit(&reading->thread, memory_order_relaxed));
            reading->reported_ns = begun;
            report(store, who, now - begun, atomic_load_explicit(&reading->begun_version, memory_order_relaxed));
        }
    }
    return any;
}

struct look {
    struct sl__service *service;
    uint64_t now;
    uint64_t newest;
    long long own_pid;
};

/* Of other processes only the version is known: how long one has been seen at an old one. */
static int look_at_line(const char *line, void *context) {
    struct look *look = context;
    struct sl__service *service = look->service;
    struct old_reader reader = {.since_ns = look->now, .seen = true};
    if (sscanf(line, "%lld %llx %llu", &reader.pid, &reader.thread, &reader.version) != 3 ||
        reader.pid == look->own_pid || reader.version >= look->newest) {
        return 0;
    }
    for (size_t i = 0; i < service->old.count; i++) {
        struct old_reader *known = &service->old.items[i];
        if (known->pid == reader.pid && known->thread == reader.thread && known->version == reader.version &&
            !known->seen) {
            known->seen = true;
            return 0;
        }
    }
    if (SL_ARRAY_RESERVE(&service->old, 1)) {
        service->old.items[service->old.count++] = reader;
    }
    return 0;
}

static bool look_at_others(struct sl__service *service, uint64_t now) {
    struct sl_store *store = service->store;
    struct look look = {service, now, atomic_load(&store->control->version), sl__process_id()};
    size_t kept = 0;
    char who[64];
    for (size_t i = 0; i < service->old.count; i++) {
        service->old.items[i].seen = false;
    }
    (void)mdb_reader_list(store->env, look_at_line, &look);
    for (size_t i = 0; i < service->old.count; i++) {
        struct old_reader *reader = &service->old.items[i];
        if (!reader->seen) {
            continue;
        }
        if (!reader->reported && now >= reader->since_ns + (uint64_t)store->snapshot_warn_ms * MS) {
            int dead;
            (void)mdb_reader_check(store->env,
                                   &dead); /* perhaps there is nobody any more; then it is gone at the next look */
            (void)snprintf(who, sizeof(who), "process %lld", reader->pid);
            reader->reported = true;
            if (dead == 0) {
                report(store, who, now - reader->since_ns, reader->version);
            }
        }
        service->old.items[kept++] = *reader;
    }
    service->old.count = kept;
    return kept > 0;
}

/* ---- watches ---------------------------------------------------------------------------------------------------- */

/* The next watch that has not had its turn in this pass. */
static struct sl_watch *next_watch(struct sl__service *service) {
    for (struct sl__link *link = sl__list_first(&service->watches); link != NULL;
         link = sl__list_after(&service->watches, link)) {
        struct sl_watch *watch = SL_CONTAINER_OF(link, struct sl_watch, link);
        if (watch->pass != service->pass) {
            watch->pass = service->pass;
            return watch;
        }
    }
    return NULL;
}

static void serve(struct sl_watch *watch) {
    struct sl_change change;
    /* At most what can be pending: others have their turn too. */
    for (uint32_t i = 0; i <= watch->changes.pending_max && !watch->dead; i++) {
        if (atomic_load_explicit(&watch->ended, memory_order_acquire) ||
            sl__watch_take(watch, &change, NULL) != SL_OK) {
            return;
        }
        watch->function(watch->context, &change);
    }
}

static void serve_watches(struct sl__service *service) {
    struct sl_watch *watch;
    pthread_mutex_lock(&service->lock);
    service->pass++;
    while ((watch = next_watch(service)) != NULL) {
        service->running = watch;
        pthread_mutex_unlock(&service->lock);
        serve(watch);
        pthread_mutex_lock(&service->lock);
        service->running = NULL;
        pthread_cond_broadcast(&service->idle);
        if (watch->dead) {
            sl__watch_free(watch);
        }
    }
    pthread_mutex_unlock(&service->lock);
}

void sl__service_add_watch(struct sl_store *store, struct sl_watch *watch) {
    struct sl__service *service = store->service;
    pthread_mutex_lock(&service->lock);
    sl__list_push_back(&service->watches, &watch->link);
    pthread_mutex_unlock(&service->lock);
    ring(service); /* it waits for the store's bell too from now on */
}

bool sl__service_remove_watch(struct sl_store *store, struct sl_watch *watch) {
    struct sl__service *service = store->service;
    bool own = true;
    pthread_mutex_lock(&service->lock);
    sl__list_remove(&service->watches, &watch->link);
    if (service->running == watch) {
        if (pthread_equal(pthread_self(), service->thread)) {
            watch->dead = true;
            own = false;
        } else {
            while (service->running == watch) {
                pthread_cond_wait(&service->idle, &service->lock);
            }
        }
    }
    pthread_mutex_unlock(&service->lock);
    return own;
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static bool syncs(const struct sl_store *store) {
    return store->sync == SL_STORE_SYNC_ASYNC && !store->in_memory;
}

/* Sets the deadlines that activity asks for. */
static void plan(struct sl__service *service, uint64_t now) {
    const struct sl_store *store = service->store;
    if (store->snapshot_warn_ms > 0 && service->look_at_ns == 0) {
        service->look_at_ns = now + (uint64_t)store->snapshot_warn_ms * MS / 2;
    }
    if (syncs(store) && service->sync_at_ns == 0) {
        service->sync_at_ns = now + (uint64_t)store->sync_interval_ms * MS;
    }
}

static void do_what_is_due(struct sl__service *service) {
    struct sl_store *store = service->store;
    uint64_t now = sl__clock_now_ns();
    if (service->sync_at_ns != 0 && now >= service->sync_at_ns) {
        service->sync_at_ns = 0;
        int number = mdb_env_sync(store->env, 1);
        if (number != 0) {
            char text[256];
            (void)snprintf(text, sizeof(text), "store \"%s\": what was written could not be put on disk: %s",
                           store->name, mdb_strerror(number));
            warn(store, text);
            service->sync_at_ns = now + (uint64_t)store->sync_interval_ms * MS;
        }
    }
    if (service->look_at_ns != 0 && now >= service->look_at_ns) {
        service->look_at_ns = 0;
        bool own = look_at_own(service, now), others = look_at_others(service, now);
        if (own || others) {
            plan(service, now);
        }
    }
    if (atomic_exchange(&service->active, 0) != 0) {
        plan(service, now);
    }
}

static uint64_t earliest(uint64_t a, uint64_t b) {
    return a == 0 ? b : b == 0 ? a : SL_MIN(a, b);
}

static void sleep_until_due(struct sl__service *service, uint32_t bell, uint32_t store_bell, bool has_watches) {
    struct sl_store *store = service->store;
    bool armed =
        (store->snapshot_warn_ms == 0 || service->look_at_ns != 0) && (!syncs(store) || service->sync_at_ns != 0);
    struct sl__futex_word words[2] = {{&service->bell, bell, SL__FUTEX_PRIVATE},
                                      {&store->control->bell, store_bell, SL__FUTEX_SHARED}};
    if (!armed) {
        atomic_store(&service->quiet, 1);
        if (atomic_load(&service->active) != 0) {
            atomic_store(&service->quiet, 0);
            return;
        }
    }
    (void)sl__futex_wait_any(words, has_watches ? 2 : 1, earliest(service->look_at_ns, service->sync_at_ns));
    atomic_store(&service->quiet, 0);
}

static void *run(void *context) {
    struct sl__service *service = context;
    struct sl_store *store = service->store;
    while (!stopping(service)) {
        uint32_t bell = atomic_load(&service->bell);
        uint32_t store_bell = atomic_load(&store->control->bell);
        if (atomic_exchange(&service->purge, 0) != 0) {
            purge(service);
        }
        pthread_mutex_lock(&service->lock);
        bool has_watches = service->watches.count > 0;
        pthread_mutex_unlock(&service->lock);
        if (has_watches) {
            serve_watches(service);
        }
        do_what_is_due(service);
        if (!stopping(service)) {
            sleep_until_due(service, bell, store_bell, has_watches);
        }
    }
    return NULL;
}

enum sl_code sl__service_start(struct sl_store *store, struct sl_error *error) {
    if (store->read_only) {
        return SL_OK; /* all of this is its writer's affair */
    }
    struct sl__service *service = calloc(1, sizeof(*service));
    if (service == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the thread of a store");
    }
    service->store = store;
    atomic_store(&service->purge, 1); /* what a crash has left */
    sl__list_init(&service->watches);
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->idle, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    store->service = service;
    int number = pthread_create(&service->thread, NULL, run, service);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number != 0) {
        pthread_mutex_destroy(&service->lock);
        pthread_cond_destroy(&service->idle);
        free(service);
        store->service = NULL;
        return sl_error_set(error, SL_E_SYSTEM, "cannot start the thread of a store: %s", strerror(number));
    }
    return SL_OK;
}

void sl__service_stop(struct sl_store *store) {
    struct sl__service *service = store->service;
    if (service == NULL) {
        return;
    }
    atomic_store(&service->stopping, 1);
    ring(service);
    (void)pthread_join(service->thread, NULL);
    SL_ASSERT(service->watches.count == 0);
    SL_ARRAY_FINISH(&service->old);
    pthread_mutex_destroy(&service->lock);
    pthread_cond_destroy(&service->idle);
    free(service);
    store->service = NULL;
}

void sl__service_purge(struct sl_store *store) {
    atomic_store(&store->service->purge, 1);
    ring(store->service);
}

static void notice(struct sl__service *service) {
    atomic_store(&service->active, 1);
    if (atomic_load(&service->quiet) != 0 && atomic_exchange(&service->quiet, 0) != 0) {
        ring(service);
    }
}

void sl__service_notice(struct sl_store *store) {
    if (store->service != NULL && (store->snapshot_warn_ms > 0 || syncs(store))) {
        notice(store->service);
    }
}

void sl__service_watch_reading(struct sl_store *store, struct sl__reading *reading) {
    if (store->service != NULL && store->snapshot_warn_ms > 0) {
        atomic_store_explicit(&reading->thread, sl__thread_id(), memory_order_relaxed);
        atomic_store_explicit(&reading->begun_version, reading->version, memory_order_relaxed);
        atomic_store_explicit(&reading->begun_ns, sl__clock_now_ns(), memory_order_release);
        notice(store->service);
    }
}
