/* SPDX-License-Identifier: MIT */
/*
 * Sessions: Python state with an owner. docs/sessions.md is the guide.
 *
 * A session is a name for state that Python code keeps between calls: in a worker `slither.session()` is a namespace that lives as long as the
 * session, and objects that cannot travel stay there as refs. When the session ends, however it ends, its close hooks run, the namespace is
 * dropped, its refs are lost, and its views and watches go.
 *
 *     struct sl_session *session = NULL;
 *     sl_session_open(pool, NULL, &session, &error);
 *     options.session = session;                           // struct sl_dispatch_options
 *     sl_call_batch(pool, &options, items, count, &results, &error);
 *     sl_session_close(session);
 *
 * HOME. A session that has state has a home: the worker, in one generation, that holds the state. Its calls go there. Until then any lane will do, and
 * opening or closing a session costs no message.
 *
 * ONE AT A TIME. While a batch of a session is with a worker, its other batches go to that worker too: a session never has two halves. What is to
 * run on several workers at once has the affinity spread, or no session.
 *
 * LOSS. A home that dies, is recycled or is stopped takes the state with it, and each later use says so: session_lost, with the worker, its generation,
 * how it ended and how long ago. A session whose code has checkpoint hooks moves instead: its next call restores the last checkpoint in another worker.
 *
 * FORK. In a forked child sessions and what came from them are refused as unsupported, and closing or releasing them does nothing: they are the parent's.
 */
#ifndef SLITHER_SESSION_H
#define SLITHER_SESSION_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_pool;
struct sl_session;
struct sl_store;
struct sl_view;
struct sl_view_options;
struct sl_watch;
struct sl_watch_options;

/** Where the calls of a session run. */
enum sl_affinity {
    SL_AFFINITY_DEFAULT = 0, /**< of a call: the session's; of a session: the pool's; of a pool: hint */
    /** without state on any lane, its last one first; with state at home, waiting there as strict_queue does */
    SL_AFFINITY_HINT = 1,
    SL_AFFINITY_STRICT_QUEUE = 2, /**< on one worker from the first call on; waits for it, in the order of the calls */
    SL_AFFINITY_STRICT_FAIL_FAST = 3, /**< the same, but worker_busy instead of waiting */
    /** no home: each worker has a namespace of its own, and the death of one loses only its part. What a run without a session gets */
    SL_AFFINITY_SPREAD = 4
};

/**
 * To whom a session belongs. When the owner is gone the session ends: the host refuses it and its refs at once, and Python drops the state within 100 ms, or at the end
 * of the batch that its home runs then (and of those of the session itself that are with that worker).
 */
enum sl_owner {
    SL_OWNER_HANDLE = 0,  /**< whoever holds the struct: it ends with sl_session_close() */
    SL_OWNER_PROCESS = 1, /**< the process owner_pid, which need not be a child */
    SL_OWNER_THREAD = 2,  /**< the thread that opens it */
    SL_OWNER_LEASE = 3    /**< whoever calls sl_session_renew() at least every lease_ms */
};

enum sl_session_state {
    SL_SESSION_OPEN = 0, /**< it can be used */
    SL_SESSION_LOST = 1, /**< its home is gone, and its state with it */
    SL_SESSION_ENDED = 2 /**< its owner is gone, its time was up, or its pool was destroyed */
};

#define SL_SESSION_NAME_MAX 63    /**< bytes of a session's name */
#define SL_SESSION_VIEW_MAX 64    /**< views of one session */
#define SL_SESSION_REASON_MAX 256 /**< bytes of the text that says why it is not open, with its NUL */

struct sl_session_options {
    size_t size;               /**< sizeof(struct sl_session_options) */
    const char *name;          /**< for errors; at most SL_SESSION_NAME_MAX bytes of UTF-8; copied; default "" */
    enum sl_affinity affinity; /**< default SL_AFFINITY_DEFAULT */
    enum sl_owner owner;       /**< default SL_OWNER_HANDLE */
    int64_t owner_pid;         /**< SL_OWNER_PROCESS: 1 or more */
    uint64_t lease_ms;         /**< SL_OWNER_LEASE: 1..2592000000; default 30000 */
    uint64_t ttl_ms; /**< it ends so long after it was opened; 0 (default): never; at most 2592000000 (30 days) */
    uint64_t idle_timeout_ms;      /**< it ends so long after its last use; 0 (default): never; at most 2592000000 */
    uint32_t ref_max;              /**< objects that it may hold as refs, 1..16777216; default 65536 */
    uint64_t checkpoint_bytes_max; /**< of one checkpoint, 0..1 GiB; default 16 MiB */
};

#define SL_SESSION_OPTIONS_INIT                                                                             \
    {                                                                                                       \
        sizeof(struct sl_session_options), "", SL_AFFINITY_DEFAULT, SL_OWNER_HANDLE, 0, 30000, 0, 0, 65536, \
            (uint64_t)16 << 20                                                                              \
    }

/**
 * Opens a session of a pool. `options` may be NULL. Any thread, callbacks included but not that of the log; sends nothing. The session may be used by several threads at
 * once; it may outlive the pool and the runtime, and says then that they are gone.
 * Errors: limit_exceeded (session_max of the pool), invalid_argument, not_found (no process owner_pid), closed (the pool is being destroyed),
 * unsupported (in a forked child), out_of_memory, system.
 */
SL_API SL_MUST_CHECK enum sl_code sl_session_open(struct sl_pool *pool, const struct sl_session_options *options,
                                                  struct sl_session **session, struct sl_error *error);

/**
 * Ends the session, if it has not ended, and releases the handle, which must not be used any more. Does not wait for Python: batches of it that are
 * with a worker end as they end, further ones are not sent, and what it holds in workers is dropped soon. Blocks while a view of the
 * session runs, but not from within that view. Any thread, callbacks included; NULL is fine.
 */
SL_API void sl_session_close(struct sl_session *session);

/**
 * Lease: it runs from now on again. Without a lease it only tells whether the session can be used. Any thread. Errors: session_lost, which says why.
 */
SL_API SL_MUST_CHECK enum sl_code sl_session_renew(struct sl_session *session, struct sl_error *error);

/** Its id: the same that Python sees; unique in the runtime, never used again, never 0. */
SL_API uint64_t sl_session_id(const struct sl_session *session);

struct sl_session_info {
    size_t size; /**< sizeof(struct sl_session_info) */
    enum sl_session_state state;
    bool has_state;            /**< a worker holds something of it */
    uint32_t worker;           /**< its home, or the worker that ran it last; UINT32_MAX: none so far */
    uint32_t generation;       /**< of that worker; 0: none so far */
    uint64_t call_count;       /**< runs that were begun with it */
    uint64_t ref_count;        /**< objects that it holds as refs, as far as the host knows */
    uint32_t move_count;       /**< homes that it has left with a checkpoint */
    uint64_t checkpoint_bytes; /**< of the last checkpoint; 0: there is none */
    uint64_t checkpoint_age_ms;
    char reason[SL_SESSION_REASON_MAX]; /**< why it is not open; "" when it is */
};

#define SL_SESSION_INFO_INIT                                                                    \
    {                                                                                           \
        sizeof(struct sl_session_info), SL_SESSION_OPEN, false, UINT32_MAX, 0, 0, 0, 0, 0, 0, { \
            0                                                                                   \
        }                                                                                       \
    }

/** What is known about it now. Any thread. */
SL_API void sl_session_info(struct sl_session *session, struct sl_session_info *info);

/**
 * Registers a view (view.h) that only the calls of this session see, before a global one of the same name. It is called no more once the session
 * has ended. Its context may be released after sl_session_close(), or after sl_view_unregister(), which may be called before that. `view` may be
 * NULL. Any thread. Errors: session_lost, limit_exceeded (SL_SESSION_VIEW_MAX), those of sl_view_register().
 */
SL_API SL_MUST_CHECK enum sl_code sl_session_view(struct sl_session *session, const struct sl_view_options *options,
                                                  struct sl_view **view, struct sl_error *error);

/**
 * A watch of a store (store.h) that ends with the session: its function is called no more then, and sl_watch_next() returns closed. The memory is
 * released by sl_watch_destroy() before sl_session_close(), or by the latter; the store must outlive the watch. Errors: session_lost, those of
 * sl_watch_create().
 */
SL_API SL_MUST_CHECK enum sl_code sl_session_watch(struct sl_session *session, struct sl_store *store,
                                                   const struct sl_watch_options *options, struct sl_watch **watch,
                                                   struct sl_error *error);

SL_END_DECLS

#endif
