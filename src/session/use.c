/* SPDX-License-Identifier: MIT */
/*
 * A run's stay in a session: where its batches go, and what their replies say.
 *
 * For a session that is not spread, all leases that its runs hold are of one worker in one generation: sl__session_sit sees to that under the lock, and a
 * lease that does not fit goes back. So its state can only come to be in one place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "inside.h"
#include "sys/clock.h"

static bool is_strict(enum sl_affinity affinity) {
    return affinity == SL_AFFINITY_STRICT_QUEUE || affinity == SL_AFFINITY_STRICT_FAIL_FAST;
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static enum sl_code begin_with(struct sl__session_use *use, struct sl_error *error) {
    struct sl_session *session = use->session;
    struct sl__sessions *sessions = session->sessions;
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&sessions->lock);
    sl__session_settle(session);
    if (!sl__session_usable(session)) {
        code = sl__session_refuse(session, error);
    } else if (sessions != use->sessions) {
        code = sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "session %llu belongs to pool %s; a run on pool %s cannot use it",
                            (unsigned long long)session->id, sessions->name, use->sessions->name);
    } else {
        session->runs++;
        session->call_count++;
        session->use_ns = sl__clock_now_ns();
        use->id = session->id;
        use->moved = session->move_count;
        use->affinity = use->affinity != SL_AFFINITY_DEFAULT ? use->affinity : session->affinity;
        (void)sl__session_ref(session);
    }
    pthread_mutex_unlock(&sessions->lock);
    return code;
}

enum sl_code sl__session_begin(struct sl__session_use *use, struct sl_pool *pool, struct sl_session *session,
                               enum sl_affinity affinity, struct sl__bell *bell, struct sl_error *error) {
    *use = (struct sl__session_use){.affinity = affinity, .pool = pool, .bell = bell};
    enum sl_code code = sl__sessions_of(pool, &use->sessions, error);
    if (code != SL_OK) {
        return code;
    }
    if (session == NULL) {
        use->affinity = SL_AFFINITY_SPREAD;
        use->id = atomic_fetch_add_explicit(&use->sessions->house->last_id, 1, memory_order_relaxed) + 1;
        return SL_OK;
    }
    use->session = session;
    code = begin_with(use, error);
    if (code != SL_OK) {
        use->id = 0;
        use->session = NULL;
    }
    return code;
}

static void stop_waiting(struct sl__session_use *use) {
    if (sl__list_contains_link(&use->waiting)) {
        sl__list_remove(&use->sessions->waiting, &use->waiting);
    }
}

void sl__session_end(struct sl__session_use *use) {
    if (use->id == 0 || (use->session == NULL && use->stakes == NULL && use->progress == NULL)) {
        return;
    }
    struct sl__sessions *sessions = use->sessions;
    pthread_mutex_lock(&sessions->lock);
    stop_waiting(use);
    if (sl__list_contains_link(&use->following)) {
        sl__list_remove(&sessions->following, &use->following);
    }
    sl__stakes_drop(sessions, &use->stakes);
    if (use->session != NULL) {
        SL_ASSERT(use->session->runs > 0);
        use->session->runs--;
        use->session->use_ns = sl__clock_now_ns();
    }
    pthread_mutex_unlock(&sessions->lock);
    free(use->progress);
    sl__session_unref(use->session);
    *use = (struct sl__session_use){0};
}

/* ---- where ------------------------------------------------------------------------------------------------------- */

enum sl_code sl__session_place(struct sl__session_use *use, uint32_t *worker, uint32_t *preferred,
                               struct sl_error *error) {
    struct sl_session *session = use->session;
    enum sl_code code = SL_OK;
    *worker = *preferred = SL__ANY_WORKER;
    if (session == NULL) {
        return SL_OK;
    }
    struct sl__sessions *sessions = use->sessions;
    pthread_mutex_lock(&sessions->lock);
    sl__session_settle(session);
    use->moved = session->move_count;
    if (!sl__session_usable(session)) {
        code = sl__session_refuse(session, error);
    } else if (use->affinity == SL_AFFINITY_SPREAD) {
        stop_waiting(use);
    } else {
        /* Whoever waits for a certain worker wants to know when that is gone, or the session is. */
        if (!sl__list_contains_link(&use->waiting)) {
            sl__list_push_back(&sessions->waiting, &use->waiting);
        }
        if (session->users > 0) {
            *worker = session->worker;
            /* Who waits there in order must not be sent elsewhere when those who are there have risen. */
            session->bound = session->bound || is_strict(use->affinity);
        } else if (session->home != NULL) {
            *worker = session->home->worker;
            code = session->home->leaving ? SL_E_AGAIN : SL_OK;
        } else if (session->bound) {
            *worker = session->worker;
        } else {
            *preferred = session->worker;
        }
    }
    pthread_mutex_unlock(&sessions->lock);
    return code;
}

/* With the lock. again: it is not this one. */
static enum sl_code sit_down(struct sl__session_use *use, const struct sl__lease *lease, struct sl__home *home) {
    struct sl_session *session = use->session;
    if (session->users > 0 && (session->worker != lease->worker || session->generation != lease->generation)) {
        return SL_E_AGAIN; /* until those who are there have risen */
    }
    if (session->home != NULL && session->home != home) {
        session->home->leaving = true; /* there is a successor, or nobody at its place any more */
        return SL_E_AGAIN;
    }
    session->users++;
    session->worker = lease->worker;
    session->generation = lease->generation;
    session->bound = session->bound || is_strict(use->affinity);
    return SL_OK;
}

enum sl_code sl__session_sit(struct sl__session_use *use, const struct sl__lease *lease, bool *staked,
                             struct sl_error *error) {
    struct sl_session *session = use->session;
    *staked = false;
    if (session == NULL) {
        return SL_OK;
    }
    struct sl__sessions *sessions = use->sessions;
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&sessions->lock);
    /* Before anything can fly: a reply must not find that there is no memory for what it says. */
    struct sl__home *home = sl__home_of(sessions, lease);
    sl__session_settle(session);
    if (!sl__session_usable(session)) {
        code = sl__session_refuse(session, error);
    } else if (home == NULL) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the place of session %llu",
                            (unsigned long long)session->id);
    } else if (use->affinity == SL_AFFINITY_SPREAD) {
        *staked = sl__stake_find(session->stakes, home) != NULL;
    } else if (use->moved != session->move_count) {
        code = SL_E_AGAIN; /* it has moved since it was placed: the head says so */
        sl__bell_ring(use->bell);
    } else {
        code = sit_down(use, lease, home);
        *staked = code == SL_OK && sl__stake_find(session->stakes, home) != NULL;
    }
    if (code == SL_OK) {
        stop_waiting(use);
    }
    pthread_mutex_unlock(&sessions->lock);
    return code;
}

/* ---- what a reply says ------------------------------------------------------------------------------------------- */

/* Nobody would ever drop what it holds. */
static void kill_unnoted(struct sl__session_use *use, struct sl__lease *lease) {
    sl__pool_kill(use->pool, lease, SL_E_OUT_OF_MEMORY, "there was no memory to note that it holds state of a session",
                  true);
}

/* With the lock. A stake that is free to be used; NULL: no memory. */
static struct sl__stake *free_stake(struct sl_session *session) {
    if (session != NULL && session->own_stake.home == NULL) {
        return &session->own_stake;
    }
    return calloc(1, sizeof(struct sl__stake));
}

/* With the lock. False: no memory. */
static bool note_state(struct sl__session_use *use, const struct sl__lease *lease) {
    struct sl__sessions *sessions = use->sessions;
    struct sl_session *session = use->session;
    struct sl__stake **list = session != NULL ? &session->stakes : &use->stakes;
    struct sl__home *home = sl__home_of(sessions, lease);
    struct sl__stake *stake = home != NULL ? sl__stake_find(*list, home) : NULL;
    if (home != NULL && stake == NULL && (stake = free_stake(session)) != NULL) {
        sl__stake_take(sessions, list, stake, home, use->id);
    }
    if (stake == NULL) {
        return false;
    }
    if (session == NULL) {
        return true;
    }
    if (session->end != SL__END_NOT) {
        sl__stakes_drop(sessions, list); /* it was made after the end */
    } else if (use->affinity != SL_AFFINITY_SPREAD && !session->lost) {
        sl__session_set_home(session, home);
    }
    return true;
}

/* With the lock. */
static void note_none(struct sl__session_use *use, const struct sl__lease *lease) {
    struct sl_session *session = use->session;
    struct sl__stake **list = session != NULL ? &session->stakes : &use->stakes;
    struct sl__home *home = sl__home_of(use->sessions, lease);
    struct sl__stake *stake = home != NULL ? sl__stake_find(*list, home) : NULL;
    if (stake != NULL) {
        sl__stake_lift(use->sessions, list, stake);
    }
    if (session != NULL && session->home == home && !session->lost && session->end == SL__END_NOT) {
        sl__session_set_home(session, NULL);
    }
}

void sl__session_rise(struct sl__session_use *use, struct sl__lease *lease, bool staked) {
    struct sl_session *session = use->session;
    bool noted = true;
    if (session == NULL) {
        return;
    }
    struct sl__sessions *sessions = use->sessions;
    pthread_mutex_lock(&sessions->lock);
    if (use->affinity != SL_AFFINITY_SPREAD) {
        SL_ASSERT(session->users > 0 && session->worker == lease->worker && session->generation == lease->generation);
        if (--session->users == 0 && session->runs > 1) {
            sl__sessions_ring(sessions);
        }
    }
    session->use_ns = sl__clock_now_ns();
    if (staked && session->end != SL__END_NOT) {
        noted = note_state(use, lease); /* what it made after the worker was told to drop it is dropped again */
    }
    pthread_mutex_unlock(&sessions->lock);
    if (!noted) {
        kill_unnoted(use, lease);
    }
}

void sl__session_replied(struct sl__session_use *use, struct sl__lease *lease, bool state) {
    bool noted = true;
    pthread_mutex_lock(&use->sessions->lock);
    if (state) {
        noted = note_state(use, lease);
    } else {
        note_none(use, lease);
    }
    pthread_mutex_unlock(&use->sessions->lock);
    if (!noted) {
        kill_unnoted(use, lease);
    }
}
