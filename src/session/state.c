/* SPDX-License-Identifier: MIT */
/* What has become of a session, and the words for it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "inside.h"
#include "sys/clock.h"

#define NS_PER_MS 1000000u

/* ---- home -------------------------------------------------------------------------------------------------------- */

/* Whether it would be lost with its home. */
static bool hangs(const struct sl_session *session) {
    return session->checkpoint == NULL && session->end == SL__END_NOT;
}

void sl__session_set_home(struct sl_session *session, struct sl__home *home) {
    struct sl__home *before = session->home;
    if (before == home) {
        return;
    }
    if (home != NULL) {
        home->refs++;
        home->loss_count += hangs(session) ? 1 : 0;
        if (home->gone && hangs(session)) {
            session->sessions->lost_count++; /* its worker answered before it died */
        }
    }
    session->home = home;
    if (before != NULL) {
        before->loss_count -= hangs(session) ? 1 : 0;
        sl__home_unref(before);
    }
}

static void lift_gone(struct sl_session *session) {
    for (struct sl__stake *stake = session->stakes, *next; stake != NULL; stake = next) {
        next = stake->next;
        if (stake->home->gone) {
            sl__stake_lift(session->sessions, &session->stakes, stake);
        }
    }
}

void sl__session_settle(struct sl_session *session) {
    struct sl__home *home = session->home;
    if (home == NULL || !home->gone || session->lost || session->end != SL__END_NOT) {
        return;
    }
    lift_gone(session);
    if (session->checkpoint != NULL) {
        session->move_count++;
        session->bound = false;
        sl__session_tell_moved(session);
        sl__session_set_home(session, NULL);
    } else {
        session->lost = true; /* it keeps its home, for the words */
        sl__session_tell_lost(session);
    }
}

bool sl__session_usable(const struct sl_session *session) {
    return session->end == SL__END_NOT && !session->lost;
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static uint64_t after_ms(uint64_t from_ns, uint64_t ms) {
    return from_ns + ms * NS_PER_MS;
}

/* When its time is up as things are, and why; UINT64_MAX: never. */
static uint64_t expiry(const struct sl_session *session, enum sl__end *end) {
    uint64_t at_ns = UINT64_MAX;
    const struct sl_session_options *options = &session->options;
    if (options->ttl_ms != 0) {
        at_ns = after_ms(session->open_ns, options->ttl_ms);
        *end = SL__END_TTL;
    }
    if (options->owner == SL_OWNER_LEASE && after_ms(session->renew_ns, options->lease_ms) < at_ns) {
        at_ns = after_ms(session->renew_ns, options->lease_ms);
        *end = SL__END_LEASE;
    }
    if (options->idle_timeout_ms != 0) {
        /* One that is in use is looked at again when it could be over at the earliest. */
        uint64_t from_ns = session->runs > 0 ? sl__clock_now_ns() : session->use_ns;
        if (after_ms(from_ns, options->idle_timeout_ms) < at_ns) {
            at_ns = after_ms(from_ns, options->idle_timeout_ms);
            *end = SL__END_IDLE;
        }
    }
    return at_ns;
}

void sl__session_schedule(struct sl_session *session) {
    struct sl__sessions *sessions = session->sessions;
    enum sl__end unused = SL__END_NOT;
    uint64_t at_ns = expiry(session, &unused);
    if (at_ns == UINT64_MAX) {
        return;
    }
    sl__deadlines_set(&sessions->deadlines, &session->deadline, at_ns);
    if (at_ns < sessions->armed_ns) {
        sl__sessions_look(sessions);
    }
}

uint64_t sl__sessions_expire(struct sl__sessions *sessions, uint64_t now_ns) {
    struct sl__deadline *first;
    uint32_t count = 0;
    while ((first = sl__deadlines_first(&sessions->deadlines)) != NULL && first->at_ns <= now_ns) {
        if (++count > SL__ENDS_AT_ONCE) {
            sl__sessions_look(sessions); /* the next ones are due, and others want the lock */
            return UINT64_MAX;
        }
        struct sl_session *session = SL_CONTAINER_OF(first, struct sl_session, deadline);
        enum sl__end end = SL__END_NOT;
        uint64_t at_ns = expiry(session, &end);
        if (at_ns <= now_ns) {
            sl__session_end_with(session, end);
        } else {
            sl__deadlines_set(&sessions->deadlines, first, at_ns);
        }
    }
    return first != NULL ? first->at_ns : UINT64_MAX;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void sl__session_end_with(struct sl_session *session, enum sl__end end) {
    struct sl__sessions *sessions = session->sessions;
    if (session->end != SL__END_NOT) {
        return;
    }
    sl__session_settle(session);
    if (!session->lost) {
        sl__session_set_home(session, NULL); /* else it is kept for the words */
    }
    session->end = end;
    session->end_ns = sl__clock_now_ns();
    sessions->end_count++;
    sl__session_tell_closed(session);
    (void)sl__table_remove(&sessions->table, session->id);
    sl__deadlines_remove(&sessions->deadlines, &session->deadline);
    lift_gone(session);
    sl__stakes_drop(sessions, &session->stakes);
    free(session->checkpoint);
    session->checkpoint = NULL;
    sl__belongings_end(session);
    sl__owner_leave(session);
    if (session->runs > 0) {
        sl__sessions_ring(sessions); /* who waits for its worker waits in vain */
    }
}

/* ---- words --------------------------------------------------------------------------------------------------------- */

static void span(uint64_t ms, char *text, size_t size) {
    if (ms < 1000) {
        snprintf(text, size, "%" PRIu64 " ms", ms);
    } else if (ms % 1000 == 0 || ms >= 60000) {
        snprintf(text, size, "%" PRIu64 " s", ms / 1000);
    } else {
        snprintf(text, size, "%.1f s", (double)ms / 1000.0);
    }
}

static void age(uint64_t since_ns, char *text, size_t size) {
    uint64_t now_ns = sl__clock_now_ns();
    uint64_t ms = now_ns > since_ns ? (now_ns - since_ns) / NS_PER_MS : 0;
    snprintf(text, size, "%.1f s", (double)ms / 1000.0);
}

void sl__session_reason(const struct sl_session *session, char *text, size_t size) {
    const struct sl_session_options *options = &session->options;
    const struct sl__home *home = session->home;
    char ago[32], length[32];
    age(session->end_ns, ago, sizeof ago);
    text[0] = '\0';
    if (session->lost && home != NULL) {
        age(home->gone_ns, ago, sizeof ago);
        snprintf(text, size, "worker %u generation %u, which held its state, %s, %s ago", home->worker,
                 home->generation, home->text, ago);
        return;
    }
    switch (session->end) {
    case SL__END_NOT:
        break;
    case SL__END_CLOSED:
        snprintf(text, size, "it was closed %s ago", ago);
        break;
    case SL__END_PROCESS:
        snprintf(text, size, "its owner, process %" PRId64 ", has ended %s ago", options->owner_pid, ago);
        break;
    case SL__END_THREAD:
        snprintf(text, size, "its owner, a thread, has ended %s ago", ago);
        break;
    case SL__END_LEASE:
        span(options->lease_ms, length, sizeof length);
        snprintf(text, size, "its lease of %s ran out %s ago", length, ago);
        break;
    case SL__END_TTL:
        span(options->ttl_ms, length, sizeof length);
        snprintf(text, size, "its time to live of %s was over %s ago", length, ago);
        break;
    case SL__END_IDLE:
        span(options->idle_timeout_ms, length, sizeof length);
        snprintf(text, size, "it was idle for %s, and ended %s ago", length, ago);
        break;
    case SL__END_POOL:
        snprintf(text, size, "its pool %s was destroyed %s ago", session->sessions->name, ago);
        break;
    }
}

enum sl_code sl__session_refuse(const struct sl_session *session, struct sl_error *error) {
    char reason[SL_SESSION_REASON_MAX];
    sl__session_reason(session, reason, sizeof reason);
    bool named = session->name[0] != '\0', lost = session->lost;
    const char *advice = "open a new session";
    if (lost && session->end == SL__END_NOT) {
        advice = "open a new session, or give its code checkpoint hooks";
    } else if (session->end == SL__END_LEASE) {
        advice = "renew it in time, or open it with a longer lease_ms";
    }
    enum sl_code code = sl_error_set(error, SL_E_SESSION_LOST, "session %" PRIu64 "%s%s%s: %s; %s", session->id,
                                     named ? " ('" : "", session->name, named ? "')" : "", reason, advice);
    if (error != NULL && lost && session->home != NULL) {
        error->worker = session->home->worker;
        error->generation = session->home->generation;
        error->term_signal = session->home->term_signal;
        error->exit_status = session->home->exit_status;
    }
    return code;
}
