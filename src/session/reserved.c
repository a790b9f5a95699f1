/* SPDX-License-Identifier: MIT */
/*
 * What Python tells the host for a session, through views whose names users cannot take: how far a call has come, and checkpoints. They are registered
 * with the first session that is opened, or the first run that follows progress. Who calls is not believed: a worker speaks for the sessions
 * that are with it only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/utf8.h"
#include "inside.h"
#include "sys/clock.h"

#define TIMEOUT_MS 30000 /* of a checkpoint that waits for a thread */

/* ---- who calls ----------------------------------------------------------------------------------------------------- */

/* The sessions of the pool whose worker calls, with a reference; NULL: the pool is gone. */
static struct sl__sessions *sessions_of_caller(struct sl__house *house) {
    const struct sl__frame *frame = sl__frame_current();
    const void *owner = frame != NULL && frame->depth > 0 ? frame->entries[frame->depth - 1].owner : NULL;
    struct sl__sessions *found = NULL;
    pthread_mutex_lock(&house->lock);
    for (struct sl__link *link = sl__list_first(&house->sessions); link != NULL && found == NULL;
         link = sl__list_after(&house->sessions, link)) {
        struct sl__sessions *sessions = SL_CONTAINER_OF(link, struct sl__sessions, house_link);
        if (sessions->pool == owner) {
            sl__sessions_ref(sessions);
            found = sessions;
        }
    }
    pthread_mutex_unlock(&house->lock);
    return found;
}

/* With the lock. Whether the session is with that worker: it runs there, or has its home there. */
static bool is_with(const struct sl_session *session, uint32_t worker, uint32_t generation) {
    const struct sl__home *home = session->home;
    return (session->users > 0 && session->worker == worker && session->generation == generation) ||
           (home != NULL && home->worker == worker && home->generation == generation);
}

static enum sl_code argument(const struct sl_view_call *call, uint32_t index, struct sl_value *value,
                             struct sl_error *error) {
    if (sl_value_at(call->positional, index, value) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: argument %u is missing", call->name, index + 1);
    }
    return SL_OK;
}

static enum sl_code session_argument(const struct sl_view_call *call, uint64_t *id, struct sl_error *error) {
    struct sl_value value;
    enum sl_code code = argument(call, 0, &value, error);
    if (code == SL_OK && sl_value_uint(value, id) != SL_OK) {
        code = sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: the id of the session is no number", call->name);
    }
    return code;
}

/* ---- checkpoints --------------------------------------------------------------------------------------------------- */

/* With the lock. Takes over `bytes` when it is SL_OK. */
static enum sl_code keep(struct sl__sessions *sessions, const struct sl_view_call *call, uint64_t id, uint8_t *bytes,
                         size_t size, struct sl_error *error) {
    struct sl_session *session = sl__table_get(&sessions->table, id);
    if (session == NULL || session->affinity == SL_AFFINITY_SPREAD) {
        free(bytes); /* it has ended, or is a run's own, or has no home that could be lost: nobody would ask for it */
        return SL_OK;
    }
    if (!is_with(session, call->worker, call->generation)) {
        return sl_error_set(error, SL_E_SESSION_LOST,
                            "session %" PRIu64 " is not with worker %u generation %u, whose checkpoint is refused", id,
                            call->worker, call->generation);
    }
    if (size > session->options.checkpoint_bytes_max) {
        return sl_error_set(error, SL_E_LIMIT,
                            "a checkpoint of session %" PRIu64 " has %zu bytes, its checkpoint_bytes_max is %" PRIu64
                            "; keep less, or raise it",
                            id, size, session->options.checkpoint_bytes_max);
    }
    if (session->checkpoint == NULL && session->home != NULL) {
        session->home->loss_count--; /* it can be moved from now on */
    }
    free(session->checkpoint);
    session->checkpoint = bytes;
    session->checkpoint_size = size;
    session->checkpoint_ns = sl__clock_now_ns();
    sl__session_tell_checkpoint(session);
    return SL_OK;
}

/* slither.session.checkpoint(session, value) */
static enum sl_code checkpoint(void *context, const struct sl_view_call *call, struct sl_writer *result,
                               struct sl_error *error) {
    struct sl_value value;
    uint64_t id = 0;
    enum sl_code code = session_argument(call, &id, error);
    if (code == SL_OK) {
        code = argument(call, 1, &value, error);
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl__sessions *sessions = sessions_of_caller(context);
    uint8_t *bytes = malloc(value.size);
    if (sessions == NULL || bytes == NULL) {
        code = sessions == NULL ? SL_OK : sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a checkpoint");
        free(bytes);
    } else {
        memcpy(bytes, value.data, value.size);
        pthread_mutex_lock(&sessions->lock);
        code = keep(sessions, call, id, bytes, value.size, error);
        pthread_mutex_unlock(&sessions->lock);
        if (code != SL_OK) {
            free(bytes);
        }
    }
    if (sessions != NULL) {
        sl__sessions_unref(sessions);
    }
    sl_write_nil(result);
    return code;
}

/* slither.session.restore(session): the value, or nil. */
static enum sl_code restore(void *context, const struct sl_view_call *call, struct sl_writer *result,
                            struct sl_error *error) {
    uint64_t id = 0;
    enum sl_code code = session_argument(call, &id, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl__sessions *sessions = sessions_of_caller(context);
    bool written = false;
    if (sessions != NULL) {
        pthread_mutex_lock(&sessions->lock);
        const struct sl_session *session = sl__table_get(&sessions->table, id);
        if (session != NULL && session->checkpoint != NULL && is_with(session, call->worker, call->generation)) {
            sl_write_value(result, (struct sl_value){session->checkpoint, session->checkpoint_size});
            written = true;
        }
        pthread_mutex_unlock(&sessions->lock);
        sl__sessions_unref(sessions);
    }
    if (!written) {
        sl_write_nil(result);
    }
    return SL_OK;
}

/* ---- progress ------------------------------------------------------------------------------------------------------ */

static double number_at(const struct sl_view_call *call, uint32_t index) {
    struct sl_value value;
    double number = 0;
    return sl_value_at(call->positional, index, &value) == SL_OK && sl_value_float(value, &number) == SL_OK ? number
                                                                                                            : 0;
}

/* slither.progress(done, total, text) */
static enum sl_code progress(void *context, const struct sl_view_call *call, struct sl_writer *result,
                             struct sl_error *error) {
    struct sl_progress news = {.done = number_at(call, 0), .total = number_at(call, 1)};
    struct sl_value value;
    const char *text = "";
    size_t size = 0;
    (void)error;
    if (sl_value_at(call->positional, 2, &value) == SL_OK && sl_value_str(value, &text, &size) == SL_OK) {
        size = sl__utf8_valid_size(text, SL_MIN(size, sizeof news.text - 1));
        memcpy(news.text, text, size);
    }
    struct sl__sessions *sessions = sessions_of_caller(context);
    if (sessions != NULL) {
        struct sl__progress_told told = {.call = call, .progress = news};
        pthread_mutex_lock(&sessions->lock);
        for (struct sl__link *link = sl__list_first(&sessions->following); link != NULL;
             link = sl__list_after(&sessions->following, link)) {
            struct sl__session_use *use = SL_CONTAINER_OF(link, struct sl__session_use, following);
            if (use->id == call->session) {
                news.count = use->progress->count + 1;
                *use->progress = news;
                atomic_store_explicit(&use->progress_news, 1, memory_order_release);
                sl__bell_ring(use->bell); /* so that it is shown although no batch has ended */
                snprintf(told.label, sizeof told.label, "%s", use->label);
                told.span = use->span;
            }
        }
        bool tells =
            !sessions->closed && sl__telemetry_wants(&sessions->runtime->telemetry, SL__TELEMETRY_CALL_PROGRESS);
        if (tells) { /* of events less is known about who reads them than of a report */
            size = strlen(told.progress.text);
            size = sl__redact_text(sl__pool_redact(sessions->pool), SL__REDACT_TEXT, told.progress.text, size);
            told.progress.text[size] = '\0';
        }
        pthread_mutex_unlock(&sessions->lock);
        if (tells) {
            sl__session_tell_progress(sessions, &told);
        }
        sl__sessions_unref(sessions);
    }
    sl_write_nil(result);
    return SL_OK;
}

void sl__session_follow(struct sl__session_use *use) {
    struct sl__sessions *sessions = use->sessions;
    use->progress = calloc(1, sizeof *use->progress);
    if (use->progress == NULL || sl__reserved_register(sessions->house, NULL) != SL_OK) {
        free(use->progress);
        use->progress = NULL;
        return;
    }
    pthread_mutex_lock(&sessions->lock);
    sl__list_push_back(&sessions->following, &use->following);
    pthread_mutex_unlock(&sessions->lock);
}

bool sl__session_progress(struct sl__session_use *use, struct sl_progress *out) {
    if (use->progress == NULL || atomic_exchange_explicit(&use->progress_news, 0, memory_order_acquire) == 0) {
        return false;
    }
    pthread_mutex_lock(&use->sessions->lock);
    *out = *use->progress;
    pthread_mutex_unlock(&use->sessions->lock);
    return true;
}

/* ---- registration ---------------------------------------------------------------------------------------------------- */

enum sl_code sl__reserved_register(struct sl__house *house, struct sl_error *error) {
    static const struct {
        const char *name;
        sl_view_fn *call;
    } views[] = {
        {"slither.session.checkpoint", checkpoint},
        {"slither.session.restore", restore},
        {"slither.progress", progress},
    };
    enum sl_code code = SL_OK;
    if (atomic_load_explicit(&house->registered, memory_order_acquire) == SL_COUNT_OF(views)) {
        return SL_OK;
    }
    pthread_mutex_lock(&house->register_lock);
    uint32_t i = atomic_load_explicit(&house->registered, memory_order_relaxed);
    for (; i < SL_COUNT_OF(views) && code == SL_OK; i++) {
        struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
        options.name = views[i].name;
        options.call = views[i].call;
        options.context = house;
        options.timeout_ms = TIMEOUT_MS;
        code = sl__view_register(house->runtime, &options, NULL, error);
        if (code == SL_OK) {
            atomic_store_explicit(&house->registered, i + 1, memory_order_release);
        }
    }
    pthread_mutex_unlock(&house->register_lock);
    return code;
}
