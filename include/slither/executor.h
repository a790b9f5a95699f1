/* SPDX-License-Identifier: MIT */
/*
 * Executors: how a batch is executed, when it is not by a pool of local Python workers.
 *
 * A dispatch does the same work over an executor as over a pool: strategy, window, order, error policy, report. The
 * executor only turns a batch of values into as many results, on whatever it likes: its own threads, a remote service,
 * a function in this process.
 */
#ifndef SLITHER_EXECUTOR_H
#define SLITHER_EXECUTOR_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_runtime;

/**
 * One batch that an executor was given. Ends with exactly one call of sl_task_complete() or sl_task_fail(), from any
 * thread.
 */
struct sl_task;

SL_API const char *sl_task_function(const struct sl_task *task);
SL_API uint32_t sl_task_count(const struct sl_task *task);
/** Item `index` of the batch; valid until the task ends. */
SL_API struct sl_value sl_task_item(const struct sl_task *task, uint32_t index);

/**
 * The batch is done: `results` has sl_task_count() values, which are copied; an entry may be a mark. A wrong count, or
 * bytes that are not values, fail the batch with bad_result. The task is gone when this returns.
 */
SL_API void sl_task_complete(struct sl_task *task, const struct sl_value *results, uint32_t count);
/** The batch failed: `error` is copied. The task is gone when this returns. */
SL_API void sl_task_fail(struct sl_task *task, const struct sl_error *error);

struct sl_executor_options {
    size_t size; /**< sizeof(struct sl_executor_options) */
    const char *name;
    uint32_t capacity; /**< batches that it runs at once, 1..1024 */
    /**
     * Takes a batch. Called by the thread that runs the dispatch; must not block for long; may end the task before it
     * returns.
     * A code other than SL_OK: the task was not taken (and must not be ended), the batch fails with that code.
     */
    enum sl_code (*submit)(void *context, struct sl_task *task, struct sl_error *error);
    /**
     * The batch is past its timeout or its run was cancelled: stop it if possible. The task must still be ended; what
     * it ends with is dropped. May be NULL.
     */
    void (*cancel)(void *context, struct sl_task *task);
    void *context;
    /** whose handlers (telemetry.h) are told of its batches; NULL: nobody is. Must live as long */
    struct sl_runtime *runtime;
};

#define SL_EXECUTOR_OPTIONS_INIT \
    { sizeof(struct sl_executor_options), "executor", 1, NULL, NULL, NULL, NULL }

struct sl_executor;
SL_API SL_MUST_CHECK enum sl_code sl_executor_create(const struct sl_executor_options *options,
                                                     struct sl_executor **executor, struct sl_error *error);
/** NULL is fine. No dispatch may be using it; tasks that it still holds must have ended. */
SL_API void sl_executor_destroy(struct sl_executor *executor);

SL_END_DECLS

#endif
