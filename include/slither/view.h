/* SPDX-License-Identifier: MIT */
/*
 * Views: functions of the host that Python code in workers calls while it runs a batch. docs/views.md is the guide.
 *
 *     slither.view("lookup_feature", key="a")          # one call of sl_view_options.call
 *     slither.view_many("lookup_feature", ["a", "b"])  # one call of sl_view_options.call_many
 *
 * Views run on threads of the library, which are started at the first registration, as many as are needed up to
 * sl_runtime_options.view_threads_max, and which sleep when nobody calls. A view may use the library: read values, dispatch to any
 * pool, register and unregister views. It must not destroy the runtime, nor the pool that it is called from.
 */
#ifndef SLITHER_VIEW_H
#define SLITHER_VIEW_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_view;

#define SL_VIEW_NAME_MAX 128 /**< bytes of a view's name */
#define SL_VIEW_MAX 1024     /**< views of one runtime */
/** how deep views may be nested: a view that dispatches to a function that calls a view ... */
#define SL_VIEW_DEPTH_MAX 16

/** One call, as the view sees it. All of it lives until the view returns. */
struct sl_view_call {
    size_t size;                /**< sizeof(struct sl_view_call) */
    const char *name;           /**< of the view */
    const char *pool;           /**< name of the pool whose worker calls; cut to 63 bytes */
    uint32_t worker;            /**< its index */
    uint32_t generation;        /**< of the worker: how often it had been started */
    uint32_t depth;             /**< 1, or more when another view has dispatched the batch that calls */
    uint32_t timeout_ms;        /**< how long the caller still waits */
    struct sl_value positional; /**< list of the arguments without a keyword; no value in call_many */
    struct sl_value keywords;   /**< map of those with one; no value in call_many */
    struct sl_value keys;       /**< list; no value in call */
    /** id of the session that the calling code works for, as the worker says; 0: none. See session.h */
    uint64_t session;
};

/**
 * A view: writes exactly one value to `result` and returns SL_OK, or describes in `error` why not and returns its code,
 * which becomes slither.ViewError in Python, a traceback in `error` with it. An error without a message gets the text of its code.
 * Called on threads of the library, by several at once unless sl_view_options.concurrency is 1. The arguments come from a
 * worker: their form was checked, their types and contents are the view's to check.
 */
typedef enum sl_code sl_view_fn(void *context, const struct sl_view_call *call, struct sl_writer *result,
                                struct sl_error *error);

struct sl_view_options {
    size_t size;      /**< sizeof(struct sl_view_options) */
    const char *name; /**< 1..SL_VIEW_NAME_MAX bytes of UTF-8, not beginning with "slither."; copied */
    /** scalar mode: one value from call->positional and call->keywords. NULL: call_many is given the only argument as a list */
    sl_view_fn *call;
    /**
     * batch mode: a list with an entry for each entry of call->keys, in their order. NULL: `call` is called for each key, as its only argument
     */
    sl_view_fn *call_many;
    void *context;
    /** how long Python waits, 1..86400000; default 5000. A view that takes longer is not stopped; its result is dropped */
    uint32_t timeout_ms;
    /** how many calls of this view run at once, further ones wait for their turn; 0 (default): any number */
    uint32_t concurrency;
};

#define SL_VIEW_OPTIONS_INIT \
    { sizeof(struct sl_view_options), NULL, NULL, NULL, NULL, 5000, 0 }

/**
 * Makes a view known to the workers of all pools of the runtime, those that run already too. Any thread, views included.
 * `view` NULL: it stays until the runtime is destroyed. Errors: invalid_argument (a bad option, or the name is taken),
 * limit_exceeded (SL_VIEW_MAX), unsupported (in a forked child), out_of_memory, system (no thread could be started).
 */
SL_API SL_MUST_CHECK enum sl_code sl_view_register(struct sl_runtime *runtime, const struct sl_view_options *options,
                                                   struct sl_view **view, struct sl_error *error);

/**
 * No call of it begins from now on; those that wait for their turn fail. Blocks until those that run have returned, so that their context
 * may then be released; from within the view itself, or from what it has dispatched, it does not wait. `view` must not be used any more. Any
 * thread; NULL is fine. Views that are left are unregistered by sl_runtime_destroy, which waits for those that run.
 */
SL_API void sl_view_unregister(struct sl_view *view);

/** What the views of a runtime have been through. Counters only grow. */
struct sl_view_stats {
    size_t size;            /**< sizeof(struct sl_view_stats) */
    uint32_t view_count;    /**< registered now, the library's own included */
    uint32_t thread_count;  /**< threads now */
    uint32_t running_count; /**< views that run now */
    uint32_t waiting_count; /**< calls that wait for a thread, or for the concurrency of their view, now */
    uint64_t call_count;    /**< calls that a view was run for */
    uint64_t failure_count; /**< of these, those that did not give a result */
    uint64_t refusal_count; /**< calls that no view was run for: unknown, past a bound, or too late */
    uint64_t timeout_count; /**< calls whose time was up, whether they ran or waited */
    uint64_t dropped_count; /**< what views gave after that, or when their worker was gone */
};

#define SL_VIEW_STATS_INIT \
    { sizeof(struct sl_view_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** A consistent snapshot. Any thread. */
SL_API void sl_view_stats(struct sl_runtime *runtime, struct sl_view_stats *stats);

SL_END_DECLS

#endif
