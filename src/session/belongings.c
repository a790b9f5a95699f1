/* SPDX-License-Identifier: MIT */
/* Views and watches of a session: they end with it, and their memory goes with its handle. */
#include <stdlib.h>

#include "base/macros.h"
#include "inside.h"
#include "store/store.h"

/* ---- views ------------------------------------------------------------------------------------------------------- */

/* With the lock. */
static enum sl_code need_scope(struct sl_session *session, struct sl_error *error) {
    struct sl__sessions *sessions = session->sessions;
    sl__session_settle(session);
    if (!sl__session_usable(session)) {
        return sl__session_refuse(session, error);
    }
    if (session->scope != NULL) {
        return SL_OK;
    }
    return sl__view_scope_create(sessions->runtime, sessions->pool, session->id, SL_SESSION_VIEW_MAX, &session->scope,
                                 error);
}

enum sl_code sl_session_view(struct sl_session *session, const struct sl_view_options *options, struct sl_view **view,
                             struct sl_error *error) {
    if (session == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_session_view: `session` is NULL");
    }
    if (sl__session_foreign(session)) {
        return sl__session_refuse_foreign("sl_session_view", error);
    }
    pthread_mutex_lock(&session->sessions->lock);
    enum sl_code code = need_scope(session, error);
    pthread_mutex_unlock(&session->sessions->lock);
    /* It may wait for the loop thread, which may wait for the lock; the scope stays as long as the handle. */
    return code == SL_OK ? sl__view_scope_register(session->scope, options, view, error) : code;
}

/* ---- watches ----------------------------------------------------------------------------------------------------- */

struct sl__session_watch {
    struct sl__link link; /* in session->watches */
    struct sl_session *session;
    struct sl_watch *watch;
};

/* The watch is being destroyed, by whomever. */
static void watch_left(void *context, struct sl_watch *watch) {
    struct sl__session_watch *record = context;
    struct sl_session *session = record->session;
    (void)watch;
    pthread_mutex_lock(&session->sessions->lock);
    if (sl__list_contains_link(&record->link)) {
        sl__list_remove(&session->watches, &record->link);
    }
    pthread_mutex_unlock(&session->sessions->lock);
    sl__session_unref(session);
    free(record);
}

enum sl_code sl_session_watch(struct sl_session *session, struct sl_store *store,
                              const struct sl_watch_options *options, struct sl_watch **watch, struct sl_error *error) {
    if (session == NULL || watch == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_session_watch: `%s` is NULL",
                            session == NULL ? "session" : "watch");
    }
    *watch = NULL;
    if (sl__session_foreign(session)) {
        return sl__session_refuse_foreign("sl_session_watch", error);
    }
    struct sl__session_watch *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a watch of session %llu",
                            (unsigned long long)session->id);
    }
    record->session = session;
    struct sl_watch *made = NULL;
    enum sl_code code = sl__store_watch(store, options, watch_left, record, &made, error);
    if (code != SL_OK) {
        free(record);
        return code;
    }
    (void)sl__session_ref(session);
    pthread_mutex_lock(&session->sessions->lock);
    sl__session_settle(session);
    if (sl__session_usable(session)) {
        record->watch = made;
        sl__list_push_back(&session->watches, &record->link);
    } else {
        code = sl__session_refuse(session, error);
    }
    pthread_mutex_unlock(&session->sessions->lock);
    if (code != SL_OK) {
        sl_watch_destroy(made);
        return code;
    }
    *watch = made;
    return SL_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void sl__belongings_end(struct sl_session *session) {
    if (session->scope != NULL) {
        sl__view_scope_end(session->scope);
    }
    for (struct sl__link *link = sl__list_first(&session->watches); link != NULL;
         link = sl__list_after(&session->watches, link)) {
        sl__store_watch_end(SL_CONTAINER_OF(link, struct sl__session_watch, link)->watch);
    }
}

void sl__belongings_destroy(struct sl_session *session) {
    sl__view_scope_destroy(session->scope);
    session->scope = NULL;
    for (;;) {
        pthread_mutex_lock(&session->sessions->lock);
        struct sl__link *link = sl__list_pop_front(&session->watches);
        pthread_mutex_unlock(&session->sessions->lock);
        if (link == NULL) {
            return;
        }
        sl_watch_destroy(SL_CONTAINER_OF(link, struct sl__session_watch, link)->watch);
    }
}
