/* SPDX-License-Identifier: MIT */
/* The public face. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "inside.h"
#include "sys/clock.h"
#include "sys/process.h"

#define NS_PER_MS 1000000u
#define TIME_MAX_MS ((uint64_t)30 * 24 * 60 * 60 * 1000)
#define REF_LIMIT (1u << 24)
#define CHECKPOINT_LIMIT ((uint64_t)1 << 30)

/* ---- options ----------------------------------------------------------------------------------------------------- */

static enum sl_code check_options(const struct sl_session_options *options, struct sl_error *error) {
    const struct {
        const char *name;
        uint64_t value, min, max;
    } bounds[] = {
        {"affinity", (uint64_t)options->affinity, SL_AFFINITY_DEFAULT, SL_AFFINITY_SPREAD},
        {"owner", (uint64_t)options->owner, SL_OWNER_HANDLE, SL_OWNER_LEASE},
        {"lease_ms", options->lease_ms, options->owner == SL_OWNER_LEASE ? 1 : 0, TIME_MAX_MS},
        {"ttl_ms", options->ttl_ms, 0, TIME_MAX_MS},
        {"idle_timeout_ms", options->idle_timeout_ms, 0, TIME_MAX_MS},
        {"ref_max", options->ref_max, 1, REF_LIMIT},
        {"checkpoint_bytes_max", options->checkpoint_bytes_max, 0, CHECKPOINT_LIMIT},
        {"owner_pid", (uint64_t)options->owner_pid, options->owner == SL_OWNER_PROCESS ? 1 : 0, INT32_MAX},
    };
    for (size_t i = 0; i < SL_COUNT_OF(bounds); i++) {
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_session_open: %s is %llu; expected %llu to %llu",
                                bounds[i].name, (unsigned long long)bounds[i].value, (unsigned long long)bounds[i].min,
                                (unsigned long long)bounds[i].max);
        }
    }
    size_t size = strlen(options->name);
    if (size > SL_SESSION_NAME_MAX || sl__utf8_valid_size(options->name, size) != size) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_session_open: name has %zu bytes; expected at most %d bytes of UTF-8", size,
                            SL_SESSION_NAME_MAX);
    }
    return SL_OK;
}

static enum sl_code take_options(const struct sl_session_options *given, struct sl_session_options *options,
                                 struct sl_error *error) {
    *options = (struct sl_session_options)SL_SESSION_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_session_options, name) + sizeof given->name) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "sl_session_open: options.size is %zu; set the options up with SL_SESSION_OPTIONS_INIT",
                                given->size);
        }
        memcpy(options, given, SL_MIN(given->size, sizeof *options));
    }
    options->size = sizeof *options;
    options->name = options->name != NULL ? options->name : "";
    return check_options(options, error);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static void free_session(struct sl_session *session) {
    SL_ASSERT(session->stakes == NULL && session->runs == 0);
    free(session->checkpoint);
    free(session);
}

static bool has_time(const struct sl_session_options *options) {
    return options->owner == SL_OWNER_LEASE || options->ttl_ms != 0 || options->idle_timeout_ms != 0;
}

/* With the lock. */
static enum sl_code enter(struct sl_session *session, struct sl_error *error) {
    struct sl__sessions *sessions = session->sessions;
    if (sessions->closed) {
        return sl_error_set(error, SL_E_CLOSED, "pool %s is being destroyed", sessions->name);
    }
    if (sessions->table.count >= sessions->session_max) {
        return sl_error_set(
            error, SL_E_LIMIT,
            "pool %s has %zu open sessions, which is its session_max; close some, give them an owner or "
            "an idle_timeout_ms, or raise session_max",
            sessions->name, sessions->table.count);
    }
    if (!sl__table_reserve(&sessions->table, 1) ||
        (has_time(&session->options) && !sl__deadlines_reserve(&sessions->deadlines))) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for another session of pool %s", sessions->name);
    }
    sl__table_put(&sessions->table, session->id, session);
    sl__session_schedule(session);
    sl__session_tell_opened(session);
    return SL_OK;
}

enum sl_code sl_session_open(struct sl_pool *pool, const struct sl_session_options *given, struct sl_session **out,
                             struct sl_error *error) {
    struct sl_session_options options;
    struct sl__sessions *sessions = NULL;
    if (pool == NULL || out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_session_open: `%s` is NULL",
                            pool == NULL ? "pool" : "session");
    }
    *out = NULL;
    if (sl__pool_foreign(pool)) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "sl_session_open: the pool was made before this process was forked; make one in the child");
    }
    enum sl_code code = take_options(given, &options, error);
    if (code == SL_OK) {
        code = sl__sessions_of(pool, &sessions, error);
    }
    if (code == SL_OK) {
        code = sl__reserved_register(sessions->house, error);
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a session of pool %s", sessions->name);
    }
    atomic_init(&session->refs, 1);
    session->sessions = sessions;
    session->id = atomic_fetch_add_explicit(&sessions->house->last_id, 1, memory_order_relaxed) + 1;
    memcpy(session->name, options.name, strlen(options.name));
    session->options = options;
    session->options.name = session->name;
    session->affinity = options.affinity != SL_AFFINITY_DEFAULT ? options.affinity : sessions->affinity;
    session->own_stake.session = session;
    session->worker = UINT32_MAX;
    session->open_ns = session->renew_ns = session->use_ns = sl__clock_now_ns();
    sl__list_init(&session->watches);
    sl__sessions_ref(sessions);
    pthread_mutex_lock(&sessions->lock);
    code = enter(session, error);
    pthread_mutex_unlock(&sessions->lock);
    if (code == SL_OK) {
        code = sl__owner_begin(session, error);
    }
    if (code != SL_OK) {
        sl_session_close(session);
        return code;
    }
    *out = session;
    return SL_OK;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

struct sl_session *sl__session_ref(struct sl_session *session) {
    atomic_fetch_add_explicit(&session->refs, 1, memory_order_relaxed); /* the caller has one */
    return session;
}

void sl__session_unref(struct sl_session *session) {
    if (session != NULL && atomic_fetch_sub_explicit(&session->refs, 1, memory_order_acq_rel) == 1) {
        struct sl__sessions *sessions = session->sessions;
        free_session(session);
        sl__sessions_unref(sessions);
    }
}

bool sl__session_foreign(const struct sl_session *session) {
    return sl__process_id() != session->sessions->process;
}

enum sl_code sl__session_refuse_foreign(const char *what, struct sl_error *error) {
    return sl_error_set(
        error, SL_E_UNSUPPORTED,
        "%s: this process is a forked child of the one that opened the session, and cannot use it; open "
        "one in the child, of a pool that was made there",
        what);
}

void sl_session_close(struct sl_session *session) {
    if (session == NULL || sl__session_foreign(session)) {
        return; /* a forked child has a copy, and nothing that it could end */
    }
    struct sl__sessions *sessions = session->sessions;
    pthread_mutex_lock(&sessions->lock);
    if (sl__table_get(&sessions->table, session->id) == session) {
        sl__session_end_with(session, SL__END_CLOSED);
    }
    /* A home is kept for words that nobody will read any more. */
    sl__session_set_home(session, NULL);
    pthread_mutex_unlock(&sessions->lock);
    sl__belongings_destroy(session);
    sl__session_unref(session);
}

/* ---- a look from outside ----------------------------------------------------------------------------------------- */

enum sl_code sl_session_renew(struct sl_session *session, struct sl_error *error) {
    struct sl__sessions *sessions = session->sessions;
    if (sl__session_foreign(session)) {
        return sl__session_refuse_foreign("sl_session_renew", error);
    }
    pthread_mutex_lock(&sessions->lock);
    sl__session_settle(session);
    enum sl_code code = sl__session_usable(session) ? SL_OK : sl__session_refuse(session, error);
    if (code == SL_OK) {
        session->renew_ns = sl__clock_now_ns();
    }
    pthread_mutex_unlock(&sessions->lock);
    return code;
}

uint64_t sl_session_id(const struct sl_session *session) {
    return session->id;
}

enum sl_code sl__session_pool(const struct sl_session *session, struct sl_pool **pool, struct sl_error *error) {
    struct sl__sessions *sessions = session->sessions;
    if (sl__session_foreign(session)) {
        return sl__session_refuse_foreign("a call", error);
    }
    pthread_mutex_lock(&sessions->lock);
    *pool = sessions->pool;
    enum sl_code code = sessions->closed ? sl__session_refuse(session, error) : SL_OK;
    pthread_mutex_unlock(&sessions->lock);
    return code;
}

uint32_t sl__session_ref_max(const struct sl_session *session) {
    return session->options.ref_max;
}

void sl__session_count_refs(struct sl_session *session, uint64_t count) {
    struct sl__sessions *sessions = session->sessions;
    pthread_mutex_lock(&sessions->lock);
    session->ref_count += count;
    pthread_mutex_unlock(&sessions->lock);
}

void sl_session_info(struct sl_session *session, struct sl_session_info *out) {
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    if (sl__session_foreign(session)) {
        info.state = SL_SESSION_ENDED;
        snprintf(info.reason, sizeof info.reason, "it belongs to the process that this one was forked from");
        info.size = SL_MIN(out->size, sizeof info);
        memcpy(out, &info, info.size);
        return;
    }
    pthread_mutex_lock(&session->sessions->lock);
    sl__session_settle(session);
    if (session->end != SL__END_NOT) {
        info.state = SL_SESSION_ENDED;
    } else if (session->lost) {
        info.state = SL_SESSION_LOST;
    }
    info.has_state = session->stakes != NULL;
    info.worker = session->worker;
    info.generation = session->generation;
    info.call_count = session->call_count;
    info.ref_count = session->ref_count;
    info.move_count = session->move_count;
    if (session->checkpoint != NULL) {
        info.checkpoint_bytes = session->checkpoint_size;
        info.checkpoint_age_ms = (sl__clock_now_ns() - session->checkpoint_ns) / NS_PER_MS;
    }
    sl__session_reason(session, info.reason, sizeof info.reason);
    pthread_mutex_unlock(&session->sessions->lock);
    info.size = SL_MIN(out->size, sizeof info);
    memcpy(out, &info, info.size);
}
