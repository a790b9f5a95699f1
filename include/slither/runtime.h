/* SPDX-License-Identifier: MIT */
/*
 * The runtime: one supervising thread, and what pools share. A process may have several; none knows of the others.
 */
#ifndef SLITHER_RUNTIME_H
#define SLITHER_RUNTIME_H

#include <slither/base.h>
#include <slither/error.h>

SL_BEGIN_DECLS

enum sl_log_level { SL_LOG_DEBUG = 0, SL_LOG_INFO = 1, SL_LOG_WARN = 2, SL_LOG_ERROR = 3 };

/** Where a log line comes from. */
enum sl_log_origin {
    SL_LOG_HOST = 0,          /**< the library itself */
    SL_LOG_WORKER_STDOUT = 1, /**< a line that a worker printed */
    SL_LOG_WORKER_STDERR = 2
};

struct sl_log_record {
    size_t size; /**< sizeof(struct sl_log_record) */
    enum sl_log_level level;
    enum sl_log_origin origin;
    const char *pool; /**< name of the pool, or NULL */
    uint32_t
        worker; /**< index, or UINT32_MAX: of no worker; a line that was printed then comes from the pool's template */
    uint32_t generation;
    int64_t pid;      /**< of the worker, or 0 */
    const char *text; /**< one line, no newline, NUL-terminated; longer lines come in pieces of 8 KiB */
    size_t text_size;
};

/**
 * Called from the supervising thread and from threads that run a dispatch, one call at a time. Must not block for long
 * and must not call the library.
 */
typedef void sl_log_fn(void *context, const struct sl_log_record *record);

struct sl_runtime_options {
    size_t size;    /**< sizeof(struct sl_runtime_options) */
    sl_log_fn *log; /**< NULL: log lines are dropped */
    void *log_context;
    enum sl_log_level log_level; /**< of host lines; default SL_LOG_INFO. Worker lines are always given. */
    uint32_t lane_max;           /**< lanes of all pools together, 1..1024; default 1024 */

    /** directory that holds the Python package `slither`; NULL: $SLITHER_PACKAGE_PATH, else beside the library */
    const char *package_path;
    uint32_t view_threads_max; /**< views (view.h) that run at once, 1..256; default 64 */
};

#define SL_RUNTIME_OPTIONS_INIT \
    { sizeof(struct sl_runtime_options), NULL, NULL, SL_LOG_INFO, 1024, NULL, 64 }

struct sl_runtime;

/** Starts the supervising thread, with all signals blocked in it. `options` NULL: the defaults. Strings are copied. */
SL_API SL_MUST_CHECK enum sl_code sl_runtime_create(const struct sl_runtime_options *options,
                                                    struct sl_runtime **runtime, struct sl_error *error);
/**
 * Stops every pool that is left (workers are killed after their stop timeout) and the supervising thread. Blocks until
 * all of it is gone. A dispatch that is still running ends with closed; it must not use a buffer of this runtime any more. NULL is fine. Not from a
 * callback of the library.
 */
SL_API void sl_runtime_destroy(struct sl_runtime *runtime);

SL_END_DECLS

#endif
