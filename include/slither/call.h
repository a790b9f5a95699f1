/* SPDX-License-Identifier: MIT */
/*
 * Calls: any Python callable by name, and objects that stay in Python. docs/calls.md is the guide.
 *
 *     struct sl_result result = SL_RESULT_INIT;
 *     if (sl_call(pool, NULL, "math:sqrt", args, kwargs, &result, &error) == SL_OK) ...
 *     sl_result_finish(&result);
 *
 * What cannot travel comes back as a ref (value.h). Containers keep their shape; only the leaf is a ref. sl_object_take() makes a handle of one:
 * its methods, attributes and entries are called from C, and passed as an argument it is the object itself for Python.
 *
 * A call belongs to a session (session.h). Without one in its options it gets one of its own, which ends when its result is finished and the
 * objects and iterations that came from it are gone.
 *
 * Every function here may be called from any thread, and from several at once on one object; a result and an iteration are one thread's at a time.
 * Those that talk to Python block until it has answered; they may be called from views and from callbacks as sl_call_batch() may.
 */
#ifndef SLITHER_CALL_H
#define SLITHER_CALL_H

#include <slither/base.h>
#include <slither/buffer.h>
#include <slither/dispatch.h>
#include <slither/error.h>
#include <slither/session.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_pool;

/* ---- options ----------------------------------------------------------------------------------------------------- */

struct sl_call_options {
    size_t size;                /**< sizeof(struct sl_call_options) */
    struct sl_session *session; /**< NULL: one of its own; of an object's or iteration's call: the object's */
    enum sl_affinity affinity;  /**< default: the session's */
    uint32_t timeout_ms;        /**< of the call in Python, as sl_dispatch_options.timeout_ms; default 30000; 0: none */
    uint32_t acquire_timeout_ms; /**< for a lane; then pool_exhausted; default 0: none */
    struct sl_value context;     /**< what slither.context() gives; at most 4 KiB; {NULL, 0}: None */
    /** cancels it; serves one call at a time and outlives it (for sl_call_async: until `done`); may be NULL */
    struct sl_control *control;
    /** may be NULL; what slither.progress() said last, on the thread that waits for the call. Must not use the pool */
    void (*progress)(void *context, const struct sl_progress *progress);
    void *progress_context;
    /** iterations: the most items that Python makes ahead of their consumer, 1..65536; default 256 */
    uint32_t chunk_max;
    struct sl_buffer *const *buffers; /**< the shared buffers that the arguments refer to; may be NULL */
    uint32_t buffer_count;            /**< at most 16 */
};

#define SL_CALL_OPTIONS_INIT \
    { sizeof(struct sl_call_options), NULL, SL_AFFINITY_DEFAULT, 30000, 0, {NULL, 0}, NULL, NULL, NULL, 256, NULL, 0 }

#define SL_CALL_TARGET_MAX 512 /**< bytes of a target, and of the name of a method or attribute */

/* ---- results ----------------------------------------------------------------------------------------------------- */

/** What a call gave. The caller owns it: SL_RESULT_INIT before, sl_result_finish() after. */
struct sl_result {
    struct sl_value value; /**< valid until sl_result_finish(); refs are leaves of type SL_TYPE_REF */
    void *owner;           /**< private */
};

#define SL_RESULT_INIT \
    { {NULL, 0}, NULL }

/** Releases the value, and in Python the objects of its refs that nobody has taken. Does not wait. NULL and an unused one are fine. */
SL_API void sl_result_finish(struct sl_result *result);

/* ---- calls by name ----------------------------------------------------------------------------------------------- */

/**
 * Calls "module:path.to.callable": a function, class, method of a class, bound method of an object in the module. Its module is imported when it was not
 * yet. A coroutine (async def) runs to its end on the event loop of its lane. What is not callable is the result itself when there are no arguments.
 * `args` is a list and `kwargs` a map with str keys, or "no value". They may hold refs of the call's session.
 * A generator that is the result is a ref; sl_call_iterate() is for those. A slither.skip() or slither.route() is a value of type mark.
 * Errors: function_not_found, import_failed, python_exception (with the traceback), item_error (it returned slither.error()), session_lost, ref_lost,
 * worker_busy, limit_exceeded (ref_max of the session), invalid_argument, and every kind that sl_call_batch() has. `result` is empty then.
 */
SL_API SL_MUST_CHECK enum sl_code sl_call(struct sl_pool *pool, const struct sl_call_options *options,
                                          const char *target, struct sl_value args, struct sl_value kwargs,
                                          struct sl_result *result, struct sl_error *error);

/**
 * How a call ended. On a thread of the library. On SL_OK `result` is the callee's to keep (copy the struct, finish it later) or to leave: what is left in it
 * afterwards is finished. `error` is valid during the call. It may use the library, destroy the pool included; it should not block for long, since
 * the thread serves other calls too.
 */
typedef void sl_call_done_fn(void *context, enum sl_code code, struct sl_result *result, const struct sl_error *error);

#define SL_CALL_ASYNC_MAX \
    16384 /**< asynchronous calls of one pool that have not ended; one more is refused: limit_exceeded */

/**
 * The same without waiting: target and arguments are copied. On SL_OK `done` is called exactly once, also when the pool is destroyed (closed; all have been called
 * when sl_pool_destroy() returns, unless a `done` itself destroys it); on another code never. The calls of a pool are begun in their order,
 * on at most as many threads as it has lanes, started on demand. One that is cancelled (options.control) while it waits for its turn ends at once with `cancelled`, on a
 * thread beside those, and gives its place back. Objects among the arguments, and what the options point to but for session, context and
 * buffers, must be kept until `done`. Errors: limit_exceeded, invalid_argument, closed (the pool is being destroyed), out_of_memory, system (no thread), unsupported
 * (in a forked child).
 */
SL_API SL_MUST_CHECK enum sl_code sl_call_async(struct sl_pool *pool, const struct sl_call_options *options,
                                                const char *target, struct sl_value args, struct sl_value kwargs,
                                                sl_call_done_fn *done, void *context, struct sl_error *error);

/* ---- objects ----------------------------------------------------------------------------------------------------- */

/** Handle of one Python object: a reference count of its own, which may go from thread to thread. */
struct sl_object;

/**
 * `ref`: a leaf of result->value. Taken twice it is the same handle, with one reference more. The handle outlives the result, and holds the session of a call that had one
 * of its own; a session of the caller's may end before it. Errors: invalid_argument (not a ref in this result), out_of_memory.
 */
SL_API SL_MUST_CHECK enum sl_code sl_object_take(const struct sl_result *result, struct sl_value ref,
                                                 struct sl_object **object, struct sl_error *error);
SL_API struct sl_object *sl_object_ref(struct sl_object *object);
/** The last one releases the object in Python, together with others, without waiting. NULL is fine. */
SL_API void sl_object_unref(struct sl_object *object);

/** The ref as a value, to pass among the arguments of a call of the same session. Valid as long as the handle. */
SL_API struct sl_value sl_object_value(const struct sl_object *object);

/** What is known of an object without asking Python. Valid as long as the handle. */
struct sl_object_info {
    size_t size;           /**< sizeof(struct sl_object_info) */
    const char *type_name; /**< NUL-terminated; cut to 255 bytes */
    const char *repr;      /**< the first bytes of its repr() when the ref was made, at most 80; NUL-terminated */
    uint64_t session;      /**< id */
    uint64_t object;       /**< number within its session */
    uint32_t worker;
    uint32_t generation;
};

#define SL_OBJECT_INFO_INIT \
    { sizeof(struct sl_object_info), NULL, NULL, 0, 0, 0, 0 }

SL_API void sl_object_info(const struct sl_object *object, struct sl_object_info *info);

/*
 * Each of the following is a call in the object's session. Errors as of sl_call(); session_lost: the worker that had the object is gone; ref_lost: its session has ended,
 * and the object with it. `options` may be NULL; a session in them must be the object's.
 */

/** Calls the object, or with a name ("fit", "pipeline.steps.append") its method. */
SL_API SL_MUST_CHECK enum sl_code sl_object_call(struct sl_object *object, const struct sl_call_options *options,
                                                 const char *method, struct sl_value args, struct sl_value kwargs,
                                                 struct sl_result *result, struct sl_error *error);
/** As sl_call_async(). */
SL_API SL_MUST_CHECK enum sl_code sl_object_call_async(struct sl_object *object, const struct sl_call_options *options,
                                                       const char *method, struct sl_value args, struct sl_value kwargs,
                                                       sl_call_done_fn *done, void *context, struct sl_error *error);
/** getattr(object, name); `name` may be a path: "coef_.shape". */
SL_API SL_MUST_CHECK enum sl_code sl_object_get(struct sl_object *object, const struct sl_call_options *options,
                                                const char *name, struct sl_result *result, struct sl_error *error);
/** setattr(object, name, value). */
SL_API SL_MUST_CHECK enum sl_code sl_object_set(struct sl_object *object, const struct sl_call_options *options,
                                                const char *name, struct sl_value value, struct sl_error *error);
/** object[key] */
SL_API SL_MUST_CHECK enum sl_code sl_object_item(struct sl_object *object, const struct sl_call_options *options,
                                                 struct sl_value key, struct sl_result *result, struct sl_error *error);
/** object[key] = value */
SL_API SL_MUST_CHECK enum sl_code sl_object_set_item(struct sl_object *object, const struct sl_call_options *options,
                                                     struct sl_value key, struct sl_value value,
                                                     struct sl_error *error);
/** len(object) */
SL_API SL_MUST_CHECK enum sl_code sl_object_length(struct sl_object *object, const struct sl_call_options *options,
                                                   uint64_t *length, struct sl_error *error);
/** repr(object), whole: a str. */
SL_API SL_MUST_CHECK enum sl_code sl_object_repr(struct sl_object *object, const struct sl_call_options *options,
                                                 struct sl_result *result, struct sl_error *error);
/** Enters a context manager, also an asynchronous one: what `with object as x` gives x. */
SL_API SL_MUST_CHECK enum sl_code sl_object_enter(struct sl_object *object, const struct sl_call_options *options,
                                                  struct sl_result *result, struct sl_error *error);
/** Leaves it, as at the end of a `with` that no exception has ended. */
SL_API SL_MUST_CHECK enum sl_code sl_object_exit(struct sl_object *object, const struct sl_call_options *options,
                                                 struct sl_error *error);

/* ---- iterations -------------------------------------------------------------------------------------------------- */

/**
 * The consumption of a Python iterator, generator or asynchronous generator. Lazy: Python runs only while sl_iteration_next() asks for more, and makes a chunk of
 * items then: one at first, twice as many each time as the consumer comes back for, up to chunk_max; it sends what it has after 1 ms, or about 1 MiB.
 * Between two chunks the lane is free for others, and the iterator waits in its session.
 */
struct sl_iteration;

/** What the options point to, session and context excepted, must outlive the iteration. Iterates over what the callable gives; what it gives is kept in Python. Errors as of sl_call(); python_exception (TypeError) when it is not iterable. */
SL_API SL_MUST_CHECK enum sl_code sl_call_iterate(struct sl_pool *pool, const struct sl_call_options *options,
                                                  const char *target, struct sl_value args, struct sl_value kwargs,
                                                  struct sl_iteration **iteration, struct sl_error *error);
SL_API SL_MUST_CHECK enum sl_code sl_object_iterate(struct sl_object *object, const struct sl_call_options *options,
                                                    struct sl_iteration **iteration, struct sl_error *error);
/**
 * The next item, valid until the next call for this iteration. Blocks. SL_E_END: there are no more. An exception of the generator comes after the items that it has made
 * before. After any code but SL_OK the iteration is over, and gives that code again. Not by two threads at once.
 */
SL_API SL_MUST_CHECK enum sl_code sl_iteration_next(struct sl_iteration *iteration, struct sl_value *value,
                                                    struct sl_error *error);
/** A handle of an object whose ref is in the item that came last, as sl_object_take(). */
SL_API SL_MUST_CHECK enum sl_code sl_iteration_take(struct sl_iteration *iteration, struct sl_value ref,
                                                    struct sl_object **object, struct sl_error *error);
/**
 * Ends it. A generator that is not exhausted is closed in Python (GeneratorExit: its `finally` runs), at the end of what its worker runs then. Does not wait. NULL is fine.
 */
SL_API void sl_iteration_close(struct sl_iteration *iteration);

SL_END_DECLS

#endif
