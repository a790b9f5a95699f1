/* SPDX-License-Identifier: MIT */
/*
 * Inside of the room. One lock a pool, sl__sessions.lock, guards everything that is not said to be guarded otherwise. It may be held while a pool's lock
 * or that of a thread's owner record is taken, never the other way round; nothing is sent, called back or waited for while it is held, but for handlers of events, which call nothing of the library. Bells are rung
 * under it: a run takes it before its bell goes.
 *
 *   stake   see session/session.h; on a session's list, or on its home's drop list when the state is to go
 *   seat    where a session that is not spread is now: of all its runs, `users` hold a lease of that one worker
 *
 * LAZY. A home that goes is only marked. What that means for a session is found out (sl__session_settle) when somebody looks at it.
 */
#ifndef SLITHER_SESSION_INSIDE_H
#define SLITHER_SESSION_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include <slither/store.h>

#include "base/list.h"
#include "base/table.h"
#include "deadline.h"
#include "loop/runtime.h"
#include "pool/guest.h"
#include "session/session.h"
#include "upcall/upcall.h"

#define SL__HOMES_REMEMBERED 64  /* that are gone, for replies which are read after the death of their worker */
#define SL__DROPS_MAX (1u << 20) /* that a worker may not have been told: one that takes none is killed */
#define SL__REFS_DROP_MIN 64     /* dropped refs that are sent at once; fewer wait */
#define SL__ENDS_AT_ONCE 1024    /* sessions that are ended before others may have the lock */
#define SL__REFS_DROP_MS 50      /* for so long */

#define SL__LABEL_MAX 256 /* bytes of what a run is called in events, with the NUL */

struct sl__house;

/* A worker, in one generation. */
struct sl__home {
    uint32_t refs; /* the table's or the memory of the gone, one for each stake and for each session whose home it is */
    uint32_t worker, generation;
    bool gone;
    bool leaving; /* its successor has been seen: it will be gone */
    uint64_t gone_ns;
    char text[160]; /* how it ended: "died of SIGSEGV" */
    int term_signal, exit_status;
    uint32_t stake_count;      /* state that is there */
    uint32_t loss_count;       /* sessions that would be lost with it */
    struct sl__home *next;     /* at the same place: a successor, a predecessor */
    struct sl__link drop_link; /* in sessions->dropping: it is to be told something */
    struct sl__stake *drops, **last_drop;
    uint32_t drop_count;
    struct sl__dropped_refs {
        struct sl__dropped_ref *items;
        size_t count, capacity;
    } refs_dropped;
    uint64_t refs_due_ns; /* when they are to be sent at the latest; 0: there are none */
};

struct sl__stake {
    struct sl__stake *next;
    struct sl__home *home; /* NULL: not in use */
    uint64_t id;           /* of the session */
    struct sl_session
        *session; /* it lies in that session, which it keeps while it is on a drop list; NULL: on the heap */
    bool dropped; /* it is on its home's drop list */
};

struct sl__dropped_ref {
    uint64_t session, object;
    uint32_t count;
};

/* Why a session is not open. */
enum sl__end {
    SL__END_NOT,
    SL__END_CLOSED,
    SL__END_PROCESS,
    SL__END_THREAD,
    SL__END_LEASE,
    SL__END_TTL,
    SL__END_IDLE,
    SL__END_POOL
};

struct sl__owner_process {
    struct sl__link link; /* in sessions->processes */
    struct sl__sessions *sessions;
    int64_t pid;
    int pidfd;
    bool ended;
    struct sl__watch *watch; /* loop thread */
    struct sl__list owned;   /* sessions, by owner_link */
};

struct sl_session {
    _Atomic uint32_t refs; /* the handle, runs, a drop list, a thread's record, the handle's other holders */
    struct sl__sessions *sessions;
    uint64_t id;
    struct sl_session_options options; /* name: own */
    enum sl_affinity affinity;
    char name[SL_SESSION_NAME_MAX + 1];

    bool lost;        /* its home is gone, and there was no checkpoint */
    enum sl__end end; /* first cause */
    uint64_t end_ns;
    struct sl__home *home; /* of a session that is not spread, with state; a reference */
    struct sl__stake *stakes;
    struct sl__stake own_stake;  /* the first, so that a session with state in one worker needs no memory for that */
    uint32_t users;              /* leases of runs that are not spread */
    uint32_t worker, generation; /* of those leases, or the last one; UINT32_MAX: none so far */
    bool bound;                  /* strict: to `worker` */
    uint32_t runs;
    uint64_t call_count;
    uint64_t ref_count;
    uint32_t move_count;
    uint8_t *checkpoint; /* an encoded value */
    size_t checkpoint_size;
    uint64_t checkpoint_ns;

    struct sl__deadline deadline;
    uint64_t open_ns, renew_ns, use_ns;

    struct sl__link owner_link; /* in the list of its process or thread */
    struct sl__owner_process *process;
    struct sl__owner_thread *thread;

    struct sl__view_scope *scope; /* its views, or NULL */
    struct sl__list watches;      /* struct sl__session_watch */
};

struct sl__sessions {
    struct sl__guest guest;
    _Atomic uint32_t refs; /* the pool's, and one for each session */
    struct sl_pool *pool;  /* only to be used while `closed` is false, or by runs */
    struct sl_runtime *runtime;
    struct sl__house *house;
    struct sl__link house_link;
    char name[64]; /* of the pool */
    pid_t process; /* that made it */
    uint32_t session_max;
    enum sl_affinity affinity;

    pthread_mutex_t lock;
    bool closed;            /* the pool is going: nothing is posted any more */
    struct sl__table table; /* sessions that have not ended, by id */
    struct {
        struct sl__home **items; /* by worker */
        size_t count, capacity;
    } homes;
    struct sl__home *remembered[SL__HOMES_REMEMBERED]; /* a ring */
    uint32_t remember_next;
    struct sl__list dropping;  /* homes */
    struct sl__list waiting;   /* uses whose session cannot go on, or that wait for its worker */
    struct sl__list following; /* uses that follow progress */
    struct sl__list processes;
    struct sl__deadlines deadlines;
    uint64_t armed_ns; /* when the timer rings; UINT64_MAX: it is not set */
    uint64_t lost_count, end_count;
    struct sl__task task; /* looks at everything that is for the loop thread */
    bool posted;
    struct sl__timer *timer; /* loop thread */
};

/* Once a runtime, see owner.c and reserved.c. */
struct sl__house {
    struct sl__annex annex;
    struct sl_runtime *runtime;
    struct sl__thread_key *key;
    _Atomic uint64_t last_id;
    pthread_mutex_t lock;
    struct sl__list sessions; /* by house_link */
    pthread_mutex_t register_lock;
    _Atomic uint32_t registered; /* of the reserved views, in their order */
};

/* session.c, without the lock: this process is a forked child, where the lock may be held by nobody who ever lets go of it. */
bool sl__session_foreign(const struct sl_session *session);
enum sl_code sl__session_refuse_foreign(const char *what, struct sl_error *error);

/* sessions.c */
/* Those of a pool, made when there are none. closed: the pool is being destroyed. Any thread. */
enum sl_code sl__sessions_of(struct sl_pool *pool, struct sl__sessions **sessions, struct sl_error *error);
void sl__sessions_ref(struct sl__sessions *sessions);
void sl__sessions_unref(struct sl__sessions *sessions);
/* With the lock: the loop thread looks at everything soon. */
void sl__sessions_look(struct sl__sessions *sessions);
/* Runs it on the loop thread, which may be the caller's, and waits. */
void sl__sessions_on_loop(struct sl__sessions *sessions, void (*function)(void *context), void *context);
/* With the lock. */
void sl__sessions_ring(struct sl__sessions *sessions);

/* home.c, with the lock */
/* The home of that lease, made when there is none; NULL: no memory. No reference for the caller. */
struct sl__home *sl__home_of(struct sl__sessions *sessions, const struct sl__lease *lease);
/* NULL when it is not there, or gone. */
struct sl__home *sl__home_find(struct sl__sessions *sessions, uint32_t worker, uint32_t generation);
void sl__home_unref(struct sl__home *home);
void sl__home_gone(struct sl__sessions *sessions, uint32_t worker, uint32_t generation, const char *how,
                   const struct sl_error *death);
/* A stake in that home, from `list`; NULL. */
struct sl__stake *sl__stake_find(struct sl__stake *list, const struct sl__home *home);
/* Takes a stake that is not in use. */
void sl__stake_take(struct sl__sessions *sessions, struct sl__stake **list, struct sl__stake *stake,
                    struct sl__home *home, uint64_t id);
/* The state is not there any more, by itself. */
void sl__stake_lift(struct sl__sessions *sessions, struct sl__stake **list, struct sl__stake *stake);
/* All of them are to be dropped; the list is empty afterwards. */
void sl__stakes_drop(struct sl__sessions *sessions, struct sl__stake **list);
/* Loop thread, with the lock, which it lets go for a while. Returns when it has to be looked at again; UINT64_MAX: need not. */
uint64_t sl__homes_tell(struct sl__sessions *sessions, uint64_t now_ns);
/* Forgets them all. */
void sl__homes_finish(struct sl__sessions *sessions);

/* state.c, with the lock */
/* Finds out what has become of a session's home. */
void sl__session_settle(struct sl_session *session);
bool sl__session_usable(const struct sl_session *session);
/* `*home` replaces session->home; may be NULL. */
void sl__session_set_home(struct sl_session *session, struct sl__home *home);
/* Ends a session, unless it has ended. */
void sl__session_end_with(struct sl_session *session, enum sl__end end);
/* Loop thread: ends those whose time is up. Returns when the next is, at the earliest; UINT64_MAX: never. */
uint64_t sl__sessions_expire(struct sl__sessions *sessions, uint64_t now_ns);
/* Its time has changed, to an earlier one than the heap knows. */
void sl__session_schedule(struct sl_session *session);
/* Fills in session_lost and why. */
enum sl_code sl__session_refuse(const struct sl_session *session, struct sl_error *error);
/* Why it is not open. */
void sl__session_reason(const struct sl_session *session, char *text, size_t size);

/* belongings.c: views and watches */
/* With the lock: the session has ended. */
void sl__belongings_end(struct sl_session *session);
/* Without the lock: the handle goes. */
void sl__belongings_destroy(struct sl_session *session);

/* events.c: what handlers of the runtime's events are told. */
/* With the lock, which others then wait for: handlers must not call the library. */
void sl__session_tell_closed(const struct sl_session *session);
void sl__session_tell_lost(const struct sl_session *session);
void sl__session_tell_moved(const struct sl_session *session);
void sl__session_tell_opened(const struct sl_session *session);
void sl__session_tell_checkpoint(const struct sl_session *session);
/* Without it. */
struct sl__progress_told {
    char label[SL__LABEL_MAX]; /* "": not known */
    uint64_t span;
    const struct sl_view_call *call;
    struct sl_progress progress;
};
void sl__session_tell_progress(const struct sl__sessions *sessions, const struct sl__progress_told *told);

/* reserved.c */
enum sl_code sl__reserved_register(struct sl__house *house, struct sl_error *error);

/* owner.c */
/* Without the lock: finds or opens the process. */
enum sl_code sl__owner_begin(struct sl_session *session, struct sl_error *error);
/* With the lock: the session has ended. */
void sl__owner_leave(struct sl_session *session);
/* Loop thread, with the lock: lets go of processes that own nothing any more. `all`: of all. */
void sl__owners_tidy(struct sl__sessions *sessions, bool all);
enum sl_code sl__house_of(struct sl_runtime *runtime, struct sl__house **house, struct sl_error *error);

#endif
