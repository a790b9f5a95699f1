/* SPDX-License-Identifier: MIT */
/*
 * Sessions in this worker: for each id that has something here a namespace, and a table of objects that refs name.
 *
 * VOCABULARY
 *   session  a name (uint64, never 0) for state that outlives a batch. The host gives ids and says when one ends; an id is never used again
 *   names    the namespace of a session: the dict behind slither.session()
 *   object   what a ref names. Its id counts up within its session and is never used again; the same object has one id as long as it is held
 *   count    how often an object has travelled as a ref, and so how many releases it takes until it is let go of
 *   current  the session of the batch that runs
 *   state    names, objects or hooks: what the host must know of (SL__REPLY_STATE), because it is here and nowhere else
 *
 * A session is made here when its first batch uses it, and is gone at the end of that batch when it has no state and nobody holds its face; so what
 * the host does not know of is not kept. All with the GIL held, but for sl__drops_put().
 */
#ifndef SL_PYTHON_SESSION_H
#define SL_PYTHON_SESSION_H

#include "module.h"

#define SL__REF_MAX_DEFAULT 65536 /* objects that a session may hold, unless the host says otherwise */

/* What the head of a request says. Points into the request. */
struct sl__head {
    const uint8_t *name; /* of the function; not checked to be UTF-8. NULL: the head is none */
    size_t name_size;
    uint64_t session; /* 0: none */
    uint64_t
        moved; /* how often the session has lost its home; above 0 it is restored where it is met for the first time */
    uint64_t ref_max;
    bool snapshot;           /* the batch reads one version of all stores */
    bool refs;               /* results that cannot travel become refs of the session */
    struct sl_value context; /* of the run; size 0: none */
};
/* False: it is not a list that starts with a name. What is unknown among the options, or of another type, is left out. */
bool sl__head_read(struct sl__head *head, const struct sl__request *request);

struct sl__session;
struct sl__sessions; /* of the interpreter: what struct sl__state points to */

/* -1 with an exception. */
int sl__sessions_make(struct sl__state *state);
void sl__sessions_free(struct sl__state *state);

/* ---- objects ------------------------------------------------------------------------------------------------- */

/* Whether results that cannot travel become refs in the batch that runs: it has a session, and its head says so. */
bool sl__session_refs(const struct sl__state *state);
/*
 * Adds an object to the current session, or counts once more one that is there. `*ref` names it; the texts of it are left alone, for the caller.
 * -1 with slither.Failure (limit_exceeded past ref_max; session_lost without a session) or MemoryError. Where the result that it is for is given up,
 * the batch takes it back by sl__session_refs_cut().
 */
int sl__session_ref_add(struct sl__state *state, PyObject *object, struct sl_ref *ref);
/*
 * The object that a ref names, a new reference. NULL with slither.Failure: ref_lost where it was released, or is of another session than the
 * current one; session_lost where it is of another worker, or of another start of this one.
 */
PyObject *sl__session_ref_get(struct sl__state *state, const struct sl_ref *ref);
/* Lets go of it `count` times. What is not there is fine. May run destructors of the user's. */
void sl__session_ref_release(struct sl__state *state, uint64_t session, uint64_t object, uint32_t count);

/* How many refs this batch has added so far; and back to such a number. */
size_t sl__session_refs_mark(const struct sl__state *state);
void sl__session_refs_cut(struct sl__state *state, size_t mark);

/* ---- the batch ------------------------------------------------------------------------------------------------ */

/* A batch has come. Its head, valid until it ends; NULL with an exception. */
const struct sl__head *sl__session_batch_open(struct sl__state *state, const struct sl__request *request);
/* Code runs for its session from now on: its function has been found. -1 with an exception when the session could not be restored. */
int sl__session_batch_begin(struct sl__state *state);
/* The function has returned, and what it returned is encoded. The flags of the reply. No exception may be set, and none is raised. */
uint32_t sl__session_batch_end(struct sl__state *state);
/* The reply has gone: what the session has asked for to happen between two batches. No exception is raised. */
void sl__session_batch_after(struct sl__state *state);
/* The session that the calling code works for; 0: none. */
uint64_t sl__session_here(struct sl__state *state);

/* ---- the end -------------------------------------------------------------------------------------------------- */

/* Runs the close hooks of a session, and lets go of all that it has. What is not there is fine. No exception is raised. */
void sl__session_end(struct sl__state *state, uint64_t session);
/* The thread that calls is the one that runs batches. */
void sl__sessions_start(struct sl__state *state);
/* The worker stops: all sessions are checkpointed and ended. */
void sl__sessions_stop(struct sl__state *state);

/* Queues a drop message of the host. False: there is no room now, try again. Needs no GIL; the watcher's. */
bool sl__drops_put(struct sl_value message);
/* Works off the next message that no request comes before, if there is one. `all`: no request will be taken any more. */
void sl__drops_run(struct sl__state *state, bool all);

#endif
