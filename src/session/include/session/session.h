/* SPDX-License-Identifier: MIT */
/*
 * Sessions as the rooms above use them.
 *
 *   use     a run's stay in a session, its own or one that was opened; belongs to the run's thread
 *   seat    a lane that the run holds; one that the session's state may be in or come to be in
 *   stake   the fact that a worker, in one generation, holds state of a session
 *   home    such a worker, as a place of stakes; it outlives its worker as long as a session asks what has become of it
 *   owner   see slither/session.h
 *
 * A run without a session has an id of its own and nothing else: no allocation, no lock, no message, unless a worker says that it holds state of it.
 */
#ifndef SLITHER_SESSION_SESSION_H
#define SLITHER_SESSION_SESSION_H

#include <slither/dispatch.h>
#include <slither/session.h>

#include "base/list.h"
#include "pool/lease.h"

struct sl__sessions; /* those of one pool */
struct sl__stake;

struct sl__session_use {
    uint64_t id;
    enum sl_affinity affinity;  /* of this run; never default */
    uint32_t moved;             /* homes that the session had left when its batches were placed last: for the head */
    struct sl_session *session; /* a reference; NULL: the run's own */
    struct sl__sessions *sessions;
    struct sl_pool *pool;
    struct sl__stake *stakes;  /* of the run's own session */
    struct sl__bell *bell;     /* of the run: rung when the session can go on, or never will */
    struct sl__link waiting;   /* in sessions->waiting while the session cannot go on */
    struct sl__link following; /* in sessions->following while the run follows slither.progress */
    const char *label;         /* of what follows, for events: what runs, and in which span */
    uint64_t span;
    struct sl_progress *progress;   /* filled in by others, under the sessions' lock */
    _Atomic uint32_t progress_news; /* counts what has come */
};

/* Begins a stay; the id is known afterwards. `session` may be NULL. Errors: session_lost, invalid_argument (another pool's), out_of_memory. */
enum sl_code sl__session_begin(struct sl__session_use *use, struct sl_pool *pool, struct sl_session *session,
                               enum sl_affinity affinity, struct sl__bell *bell, struct sl_error *error);
/* Ends it. A session of the run's own is dropped where it has left state. No seat is held any more. A use that never began is fine. */
void sl__session_end(struct sl__session_use *use);

/*
 * Where the next batch goes: `*worker` (SL__ANY_WORKER: wherever there is a lane, `*preferred` first when that is another value).
 *   again          it cannot be said before a former home is gone; the bell will ring
 *   session_lost   nowhere: the session is lost, ended or closed
 */
enum sl_code sl__session_place(struct sl__session_use *use, uint32_t *worker, uint32_t *preferred,
                               struct sl_error *error);
/*
 * The run has leased a lane, and would use it for its batches. again: not this one, it is to be given back (its worker is the successor of the home, say;
 * or another batch of the session went elsewhere meanwhile); sl__session_place says what to do. `*staked`: the session has state there.
 */
enum sl_code sl__session_sit(struct sl__session_use *use, const struct sl__lease *lease, bool *staked,
                             struct sl_error *error);
/* The lane is about to be given back. After each sit that was OK. `staked`: what the last reply said. */
void sl__session_rise(struct sl__session_use *use, struct sl__lease *lease, bool staked);
/* A reply came from the lane that says otherwise than `staked` whether the session has state there. */
void sl__session_replied(struct sl__session_use *use, struct sl__lease *lease, bool state);

/* Follows slither.progress in the batches of this session: `progress` is what came last, from sl__session_progress. Without memory it does not. */
void sl__session_follow(struct sl__session_use *use);
/* Takes the newest; false: nothing new since. Cheap when there is nothing. */
bool sl__session_progress(struct sl__session_use *use, struct sl_progress *progress);

/* ---- for the room call -------------------------------------------------------------------------------------------- */

/* So many refs of it have come to the host. */
void sl__session_count_refs(struct sl_session *session, uint64_t count);
/*
 * The handle of a ref is gone that had travelled `count` times: its worker is told soon, with others. Harmless when the session or the worker is gone. Any
 * thread; never blocks for Python.
 */
void sl__session_drop_ref(struct sl_session *session, uint32_t worker, uint32_t generation, uint64_t object,
                          uint32_t count);
/* Another reference to the handle, so that it can be used after sl_session_close(), and its end. */
struct sl_session *sl__session_ref(struct sl_session *session);
void sl__session_unref(struct sl_session *session);
/* Its pool, for a call. Errors: session_lost when that was destroyed. */
enum sl_code sl__session_pool(const struct sl_session *session, struct sl_pool **pool, struct sl_error *error);
/* Objects that it may hold in a worker. */
uint32_t sl__session_ref_max(const struct sl_session *session);

#endif
