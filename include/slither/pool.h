/* SPDX-License-Identifier: MIT */
/*
 * Pools of Python workers, process profile: each worker is an interpreter of its own with one lane.
 */
#ifndef SLITHER_POOL_H
#define SLITHER_POOL_H

#include <slither/base.h>
#include <slither/death.h>
#include <slither/error.h>
#include <slither/session.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_pool;

/** How the pool's template starts workers: docs/supervision.md. */
enum sl_template {
    /**
     * It imports the preload list, and forks them; where that is not possible (threads that the imports have started, an open GPU) it starts
     * each as a program of its own, which imports for itself, and the log says why.
     */
    SL_TEMPLATE_AUTO = 0,
    SL_TEMPLATE_OFF = 1, /**< each is a program of its own, and imports for itself */
};

struct sl_pool_options {
    size_t size;           /**< sizeof(struct sl_pool_options) */
    const char *name;      /**< for logs and errors; default "pool" */
    uint32_t worker_count; /**< at the start, 1..1024; 0 (default): the processors that this process may use */
    const char *python;    /**< interpreter; NULL: $VIRTUAL_ENV/bin/python when set, else python3 from PATH */
    /**
     * functions "module:function" or modules "module" that each worker imports before it is ready; NULL-terminated; may
     * be NULL
     */
    const char *const *preload;
    const char *const *python_path; /**< directories put before $PYTHONPATH; NULL-terminated; may be NULL */
    const char *working_directory;  /**< NULL: the host's; it is also where modules are looked up first */
    /** "NAME=value" added to the host's environment, "NAME" removes; NULL-terminated; may be NULL */
    const char *const *environment;
    /** from spawn to ready, for each worker and, before them, for their template; default 30000 */
    uint32_t start_timeout_ms;
    uint32_t stop_timeout_ms; /**< from the request to stop until SIGKILL; default 2000 */
    /** deaths within restart_window_ms after which the circuit opens; default 1000 */
    uint32_t restart_max;
    uint32_t restart_window_ms; /**< default 10000 */
    /** delay before the second and later restarts in a row of a worker that dies before it has begun a batch, doubled each
     * time up to 5 s; default 50 */
    uint32_t restart_backoff_ms;
    /** dispatches that may wait for a lane at once; one more gets pool_exhausted; default 1024 */
    uint32_t waiter_max;
    /**
     * payload space of each direction of a lane, 64 KiB..1 GiB; default 1 MiB; larger payloads travel in a memory file
     * of their own
     */
    uint64_t segment_bytes;
    uint64_t payload_bytes_max;   /**< encoded bytes of one batch, each way; default 1 GiB */
    uint64_t payload_cache_bytes; /**< memory files that a lane keeps for its next large payload; default 64 MiB */
    uint32_t depth_max;           /**< nesting of values that workers may send; default 128 */
    /**
     * true: leave OMP_NUM_THREADS and its kin alone. Default: set from processors / workers unless the environment has
     * them
     */
    bool keep_thread_environment;
    enum sl_template template_use; /**< default SL_TEMPLATE_AUTO */

    /*
     * Elasticity. Between worker_min and worker_max the pool starts a worker when somebody waits for a lane, and stops one that
     * has been idle for worker_idle_ms. sl_pool_resize() changes the two.
     */
    uint32_t worker_min;     /**< 0 (default): worker_count */
    uint32_t worker_max;     /**< 0 (default): worker_count */
    uint32_t worker_idle_ms; /**< 1 ms..1 day; default 30000 */
    /** workers that are starting at once; 0 (default): twice the processors that this process may use */
    uint32_t start_parallel_max;

    /*
     * Recycling. A worker that has passed a limit is replaced: its successor is started first, and takes over when it is ready. Each
     * worker's limits are drawn within recycle_jitter_percent below those given, so that not all go at once. 0 (default): no limit.
     */
    uint64_t recycle_batches;
    uint64_t recycle_age_ms;    /**< at most 365 days */
    uint64_t recycle_rss_bytes; /**< resident memory that no file backs, looked at once a heartbeat while it works */
    uint32_t recycle_jitter_percent; /**< 0..50; default 10 */

    /*
     * Memory. A worker that wants more gets MemoryError in Python where the limit is RLIMIT_DATA; in a control group the kernel kills it. Either is
     * reported as out_of_memory.
     */
    uint64_t memory_max_bytes; /**< 0 (default): no limit; else at least 32 MiB */
    /**
     * directory of a control group, version 2, that is delegated to this process with the memory controller enabled for its children: each
     * worker gets one of its own in it. NULL (default): memory_max_bytes is RLIMIT_DATA.
     */
    const char *cgroup;

    /*
     * Hangs. A worker whose batch is past its timeout is asked what it is doing and for its Python stack, at most stack_timeout_ms, then gets
     * SIGTERM when term_grace_ms is not 0, and SIGKILL after that. Each of these is at most a day.
     */
    uint32_t stack_timeout_ms; /**< 0: it is not asked; default 200 */
    uint32_t term_grace_ms;    /**< default 0: no SIGTERM */
    /** a worker that runs a batch is asked for a sign of life this often; default 1000; 0: never */
    uint32_t heartbeat_ms;
    /**
     * one that has not given it for so long is killed, whatever the timeout of its batch, and the error is worker_killed_timeout; default 30000;
     * 0: never
     */
    uint32_t heartbeat_timeout_ms;

    /*
     * Circuit. It opens when restart_max is passed, or after start_failure_max starts in a row that failed. While it is open calls fail at once; after a
     * cool-down, which doubles each time up to 30 s, one worker is started and one call is let through: its success closes
     * the circuit.
     */
    uint32_t start_failure_max;   /**< 1..1000; default 5 */
    uint32_t circuit_cooldown_ms; /**< 1..30000; default 1000 */

    /**
     * Names of keys whose values are left out of texts: of errors, tracebacks, reasons of marks, lines of the log, hot keys of reports. See
     * docs/redaction.md. NULL-terminated, at most 64 of at most 63 bytes; `*` stands for any part of a name, "default" for the usual list. NULL (default):
     * the usual list; an empty list: nothing is left out.
     */
    const char *const *redact;

    /* Sessions (session.h). */
    uint32_t session_max;      /**< open at once, 1..16777216; default 100000; one more gets limit_exceeded */
    enum sl_affinity affinity; /**< of sessions that name none; default hint */
};

#define SL_POOL_OPTIONS_INIT                                                                                           \
    {                                                                                                                  \
        sizeof(struct sl_pool_options), "pool", 0, NULL, NULL, NULL, NULL, NULL, 30000, 2000, 1000, 10000, 50, 1024,   \
            (uint64_t)1 << 20, (uint64_t)1 << 30, (uint64_t)64 << 20, 128, false, SL_TEMPLATE_AUTO, 0, 0, 30000, 0, 0, \
            0, 0, 10, 0, NULL, 200, 0, 1000, 30000, 5, 1000, NULL, 100000, SL_AFFINITY_DEFAULT                         \
    }

/**
 * Starts worker_count workers, start_parallel_max at once, and waits until all are ready: each has start_timeout_ms. On failure nothing is left
 * running. Errors: import_failed, function_not_found (with the Python traceback and the interpreter's path),
 * worker_start_failed, version_mismatch, unsupported, timeout, limit_exceeded, invalid_argument, system.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pool_create(struct sl_runtime *runtime, const struct sl_pool_options *options,
                                                 struct sl_pool **pool, struct sl_error *error);

/**
 * No dispatch gets a lane from now on (closed). Those that run finish what is in flight, within timeout_ms; what they have pulled and not sent ends as
 * cancelled, and they return closed, unless that was all there was. After timeout_ms the workers of lanes that are still in use are killed: items in flight end as
 * cancelled then. Blocks until no lane is in use, or none has a worker. Idempotent, and any thread, also several at once: the earliest deadline counts. From a
 * callback of a run on this pool it does not wait, since it would wait for itself: it returns SL_E_AGAIN, and the pool drains as said.
 * Otherwise SL_OK, or timeout when workers had to be killed. The workers stay until sl_pool_destroy().
 */
SL_API enum sl_code sl_pool_drain(struct sl_pool *pool, uint32_t timeout_ms, struct sl_error *error);

/**
 * Drains with a timeout of 0, then stops the workers: asked first, killed after stop_timeout_ms. Blocks until they are gone; from a
 * callback of a run on this pool it returns at once, and the end of that run, or of its stream, does the rest. `pool` must not be used any more
 * but by runs and streams that were begun before, which end with closed. NULL is fine.
 */
SL_API void sl_pool_destroy(struct sl_pool *pool);

/**
 * Changes worker_min and worker_max, 1..1024, min <= max. Surplus workers finish their batch and stop; missing ones are started.
 * Does not wait for either. Any thread, callbacks included. Errors: invalid_argument, limit_exceeded (lane_max of the runtime), closed,
 * out_of_memory.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pool_resize(struct sl_pool *pool, uint32_t worker_min, uint32_t worker_max,
                                                 struct sl_error *error);

enum sl_circuit {
    SL_CIRCUIT_CLOSED = 0,    /**< all is well */
    SL_CIRCUIT_OPEN = 1,      /**< calls fail at once */
    SL_CIRCUIT_HALF_OPEN = 2, /**< one call is being tried, or will be */
};

/** What a pool has been through. Counters only grow. */
struct sl_pool_stats {
    size_t size;                   /**< sizeof(struct sl_pool_stats) */
    uint32_t worker_count;         /**< workers that the pool wants now, from worker_min to worker_max */
    uint32_t ready_count;          /**< workers that can take or are running a batch */
    uint32_t busy_count;           /**< workers that are leased to a dispatch */
    uint32_t waiter_count;         /**< dispatches that wait for a lane now */
    uint64_t start_count;          /**< workers that have got ready, first starts included */
    uint64_t death_count;          /**< workers that died without being asked to */
    uint64_t batch_count;          /**< batches completed by workers */
    uint64_t stale_reply_count;    /**< late or repeated replies, dropped */
    uint64_t protocol_error_count; /**< workers killed for breaking the lane protocol */
    uint64_t fork_count;           /**< of start_count, those that are forks of a template */
    uint64_t template_start_count; /**< templates that have got ready, whichever way they start workers */
    bool template_ready;           /**< workers that are started now are forked: there is a template, and it can */
    uint32_t worker_min;
    uint32_t worker_max;
    enum sl_circuit circuit;
    uint64_t circuit_open_count;           /**< times that it has opened */
    uint64_t recycle_count;                /**< workers that a successor has replaced */
    uint64_t shrink_count;                 /**< workers stopped because they were not needed */
    uint64_t start_failure_count;          /**< starts that did not get as far as ready */
    uint64_t deaths[SL_DEATH_CAUSE_COUNT]; /**< by enum sl_death_cause; those of recycling and stopping are none */
    uint32_t session_count;                /**< sessions that are open now; those of runs without one are not counted */
    uint64_t session_lost_count;           /**< sessions whose home has gone without a checkpoint */
    uint64_t session_end_count;            /**< sessions that have ended, however they did */
};

#define SL_POOL_STATS_INIT                                                                                         \
    {                                                                                                              \
        sizeof(struct sl_pool_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, 0, 0, SL_CIRCUIT_CLOSED, 0, 0, 0, 0, \
            {0}, 0, 0, 0                                                                                           \
    }

/** A consistent snapshot. Any thread. */
SL_API void sl_pool_stats(struct sl_pool *pool, struct sl_pool_stats *stats);

/** Death certificates that a pool keeps: of the last ones that died. */
#define SL_POOL_DEATHS_MAX 64

/**
 * Copies of the certificates of the last deaths, newest first, at most `count_max`; returns how many. The caller releases each with
 * sl_death_destroy(). Any thread.
 */
SL_API uint32_t sl_pool_deaths(struct sl_pool *pool, struct sl_death **deaths, uint32_t count_max);

/** One worker as it is now. */
struct sl_worker_info {
    size_t size;         /**< sizeof(struct sl_worker_info) */
    const char *state;   /**< name of a state in docs/supervision.md; static storage */
    int64_t pid;         /**< or 0 */
    uint32_t generation; /**< lives so far */
    bool busy;           /**< leased to a dispatch */
    bool successor;      /**< another is being started to replace it */
    uint64_t age_ms;     /**< since ready */
    uint64_t batch_count;
    uint64_t rss_bytes;        /**< at the last heartbeat; 0: not known */
    enum sl_activity activity; /**< at the last heartbeat */
    uint64_t heard_ms;         /**< since it last gave a sign of life */
};

#define SL_WORKER_INFO_INIT \
    { sizeof(struct sl_worker_info), NULL, 0, 0, false, false, 0, 0, 0, SL_ACTIVITY_UNKNOWN, 0 }

/** Fills in `info` about a worker, counted from 0; not_found when there is none of that number. Any thread. */
SL_API SL_MUST_CHECK enum sl_code sl_pool_worker(struct sl_pool *pool, uint32_t worker, struct sl_worker_info *info);

/** Process id of a worker, or 0 when it is not running now. It may be gone by the time the caller uses it. */
SL_API int64_t sl_pool_worker_pid(struct sl_pool *pool, uint32_t worker);

/** Path of the interpreter that the pool runs. Valid as long as the pool. */
SL_API const char *sl_pool_python(const struct sl_pool *pool);

SL_END_DECLS

#endif
