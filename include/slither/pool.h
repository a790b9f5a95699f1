/* SPDX-License-Identifier: MIT */
/*
 * Pools of Python workers, process profile: each worker is an interpreter of its own with one lane.
 */
#ifndef SLITHER_POOL_H
#define SLITHER_POOL_H

#include <slither/base.h>
#include <slither/error.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_pool;

/** How workers are started: docs/supervision.md. */
enum sl_template {
    /**
     * When there is a preload list, one process per pool imports it and forks the workers; where that is not possible (threads that the
     * imports have started, an open GPU), each worker is started and imports for itself, and the log says why.
     */
    SL_TEMPLATE_AUTO = 0,
    SL_TEMPLATE_OFF = 1, /**< each worker is started and imports for itself */
};

struct sl_pool_options {
    size_t size;           /**< sizeof(struct sl_pool_options) */
    const char *name;      /**< for logs and errors; default "pool" */
    uint32_t worker_count; /**< 1..1024; 0 (default): the processors that this process may use */
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
     * Circuit. It opens when restart_max is passed, or after start_failure_max starts in a row that failed. While it is open calls fail at once; after a
     * cool-down, which doubles each time up to 30 s, one worker is started and one call is let through: its success closes
     * the circuit.
     */
    uint32_t start_failure_max;   /**< 1..1000; default 5 */
    uint32_t circuit_cooldown_ms; /**< 1..30000; default 1000 */
};

#define SL_POOL_OPTIONS_INIT                                                                                         \
    {                                                                                                                \
        sizeof(struct sl_pool_options), "pool", 0, NULL, NULL, NULL, NULL, NULL, 30000, 2000, 1000, 10000, 50, 1024, \
            (uint64_t)1 << 20, (uint64_t)1 << 30, (uint64_t)64 << 20, 128, false, SL_TEMPLATE_AUTO, 5, 1000          \
    }

/**
 * Starts the workers and waits until all are ready, at most start_timeout_ms and a little. On failure nothing is left
 * running. Errors: import_failed, function_not_found (with the Python traceback and the interpreter's path),
 * worker_start_failed, version_mismatch, unsupported, timeout, limit_exceeded, invalid_argument, system.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pool_create(struct sl_runtime *runtime, const struct sl_pool_options *options,
                                                 struct sl_pool **pool, struct sl_error *error);

/**
 * Stops the workers: asked first, killed after stop_timeout_ms. Blocks until they are gone. No dispatch may be running.
 * NULL is fine.
 */
SL_API void sl_pool_destroy(struct sl_pool *pool);

enum sl_circuit {
    SL_CIRCUIT_CLOSED = 0,    /**< all is well */
    SL_CIRCUIT_OPEN = 1,      /**< calls fail at once */
    SL_CIRCUIT_HALF_OPEN = 2, /**< one call is being tried, or will be */
};

/** What a pool has been through. Counters only grow. */
struct sl_pool_stats {
    size_t size; /**< sizeof(struct sl_pool_stats) */
    uint32_t worker_count;
    uint32_t ready_count;          /**< workers that can take or are running a batch */
    uint32_t busy_count;           /**< workers that are leased to a dispatch */
    uint32_t waiter_count;         /**< dispatches that wait for a lane now */
    uint64_t start_count;          /**< workers started, first starts included */
    uint64_t death_count;          /**< workers that died without being asked to */
    uint64_t batch_count;          /**< batches completed by workers */
    uint64_t stale_reply_count;    /**< late or repeated replies, dropped */
    uint64_t protocol_error_count; /**< workers killed for breaking the lane protocol */
    uint64_t fork_count;           /**< of start_count, those that a template forked */
    uint64_t template_start_count; /**< templates that have got ready; 0: the pool has none, or it is unfit */
    bool template_ready;           /**< workers that are started now are forked */
    enum sl_circuit circuit;
    uint64_t circuit_open_count;  /**< times that it has opened */
    uint64_t start_failure_count; /**< starts that did not get as far as ready */
};

#define SL_POOL_STATS_INIT \
    { sizeof(struct sl_pool_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, SL_CIRCUIT_CLOSED, 0, 0 }

/** A consistent snapshot. Any thread. */
SL_API void sl_pool_stats(struct sl_pool *pool, struct sl_pool_stats *stats);

/** Process id of a worker, or 0 when it is not running now. It may be gone by the time the caller uses it. */
SL_API int64_t sl_pool_worker_pid(struct sl_pool *pool, uint32_t worker);

/** Path of the interpreter that the pool runs. Valid as long as the pool. */
SL_API const char *sl_pool_python(const struct sl_pool *pool);

SL_END_DECLS

#endif
