/* SPDX-License-Identifier: MIT */
/*
 * Error codes and error details.
 *
 * A code says what kind of thing went wrong and is stable: numbers and names never change and are
 * never used again. A struct sl_error says the rest; the caller owns it, there is no thread-local.
 */
#ifndef SLITHER_ERROR_H
#define SLITHER_ERROR_H

#include <slither/base.h>

SL_BEGIN_DECLS

struct sl_death;

/*
 * X(enumerator, number, name, retryable, text)
 * `retryable`: 1 when the same work may succeed on a second attempt, which is what the retry
 * policy of a dispatch retries unless it is told other kinds.
 */
#define SL_CODE_LIST(X)                                                                                                \
    X(SL_OK, 0, "ok", 0, "no error")                                                                                   \
    X(SL_E_INVALID_ARGUMENT, 1, "invalid_argument", 0, "an argument is not acceptable")                                \
    X(SL_E_OUT_OF_MEMORY, 2, "out_of_memory", 1, "memory could not be had")                                            \
    X(SL_E_SYSTEM, 3, "system", 1, "a system call failed")                                                             \
    X(SL_E_LIMIT, 4, "limit_exceeded", 0, "a configured bound was reached")                                            \
    X(SL_E_INVALID_DATA, 5, "invalid_data", 0, "encoded data is malformed")                                            \
    X(SL_E_INVALID_UTF8, 6, "invalid_utf8", 0, "text is not valid UTF-8")                                              \
    X(SL_E_TYPE, 7, "type_mismatch", 0, "a value has another type than was asked for")                                 \
    X(SL_E_RANGE, 8, "out_of_range", 0, "a value does not fit where it was asked for")                                 \
    X(SL_E_NOT_FOUND, 9, "not_found", 0, "no such key, index or object")                                               \
    X(SL_E_UNSUPPORTED, 10, "unsupported", 0, "this system or interpreter lacks what is needed")                       \
    X(SL_E_VERSION, 11, "version_mismatch", 0, "host and worker are of different builds")                              \
    X(SL_E_TIMEOUT, 12, "timeout", 1, "a deadline passed before the work could start")                                 \
    X(SL_E_CANCELLED, 13, "cancelled", 0, "cancelled by the caller")                                                   \
    X(SL_E_CLOSED, 14, "closed", 0, "the object was stopped or is being stopped")                                      \
    X(SL_E_AGAIN, 15, "again", 1, "nothing now; more may come")                                                        \
    X(SL_E_END, 16, "end", 0, "there is no more")                                                                      \
    X(SL_E_PYTHON, 20, "python_exception", 0, "the Python function raised")                                            \
    X(SL_E_WORKER_CRASHED, 21, "worker_crashed", 1, "the worker process died while it ran the batch")                  \
    X(SL_E_WORKER_TIMEOUT, 22, "worker_killed_timeout", 1, "the batch ran past its timeout; its worker was killed")    \
    X(SL_E_BAD_RESULT, 23, "bad_result", 0, "the Python function returned something of the wrong shape")               \
    X(SL_E_NOT_SERIALIZABLE, 24, "not_serializable", 0, "a Python object has no representation as a value")            \
    X(SL_E_PROTOCOL, 25, "protocol", 1, "the worker broke the lane protocol; it was killed")                           \
    X(SL_E_WORKER_START, 26, "worker_start_failed", 0, "a worker could not be started")                                \
    X(SL_E_IMPORT, 27, "import_failed", 0, "a Python module could not be imported")                                    \
    X(SL_E_FUNCTION, 28, "function_not_found", 0, "the Python function does not exist or is not callable")             \
    X(SL_E_POOL_EXHAUSTED, 29, "pool_exhausted", 1, "no lane became free within the pool's bounds")                    \
    X(SL_E_CIRCUIT_OPEN, 30, "circuit_open", 1, "the pool's workers keep dying; calls fail at once until it recovers") \
    X(SL_E_SESSION_LOST, 31, "session_lost", 0, "the worker that held the session is gone")                            \
    X(SL_E_REF_LOST, 32, "ref_lost", 0, "the Python object that a ref names is gone")                                  \
    X(SL_E_WORKER_BUSY, 33, "worker_busy", 1, "the only lane that may run this is busy")                               \
    X(SL_E_ITEM, 34, "item_error", 0, "the Python function marked the item with slither.error()")                      \
    X(SL_E_HALTED, 35, "halted", 0, "the run was halted by an error of an item")                                       \
    X(SL_E_SOURCE, 36, "source_failed", 0, "the source of the run reported an error")                                  \
    X(SL_E_SINK, 37, "sink_failed", 0, "the sink of the run reported an error")                                        \
    X(SL_E_STRATEGY, 38, "strategy_failed", 0, "a weight, key or placement function reported an error")                \
    X(SL_E_EXECUTOR, 39, "executor_failed", 0, "a user-defined executor broke its contract")

enum sl_code {
#define SL_CODE_ENUM(enumerator, number, name, retryable, text) enumerator = number,
    SL_CODE_LIST(SL_CODE_ENUM)
#undef SL_CODE_ENUM
};

/** The stable name of a code ("worker_crashed"); "unknown" for a number that is not a code. Static storage. */
SL_API const char *sl_code_name(enum sl_code code);

/** One sentence about a code, for a human. Static storage. */
SL_API const char *sl_code_text(enum sl_code code);

/** Whether the same work may succeed on a second attempt. */
SL_API bool sl_code_retryable(enum sl_code code);

/** The code with that name, or -1. */
SL_API int sl_code_from_name(const char *name);

#define SL_ERROR_MESSAGE_SIZE 512

/**
 * What went wrong, in detail. Set up with SL_ERROR_INIT, released with sl_error_finish(); a failing
 * function overwrites what an earlier one left. Fields that do not apply are 0 or NULL.
 */
struct sl_error {
    size_t size;                         /**< sizeof(struct sl_error), set by SL_ERROR_INIT */
    enum sl_code code;                   /**< what kind */
    char message[SL_ERROR_MESSAGE_SIZE]; /**< what, where, what was expected, what to do; NUL-terminated UTF-8 */
    char *traceback;                     /**< Python traceback, or NULL; owned by this struct */
    char *stderr_tail;                   /**< last lines that the dead worker wrote to stderr, or NULL; owned */
    int system_errno;                    /**< errno of the failed system call, or 0 */
    int exit_status;                     /**< exit status of the dead worker, or -1 */
    int term_signal;                     /**< signal that killed the worker, or 0 */
    uint32_t worker;                     /**< index of the worker, from 0; UINT32_MAX when none is concerned */
    /** how often that worker had been started, from 1; 0 when none is concerned */
    uint32_t generation;
    struct sl_death *death; /**< certificate of the worker that died, or NULL; owned */
};

#define SL_ERROR_INIT \
    { sizeof(struct sl_error), SL_OK, {0}, NULL, NULL, 0, -1, 0, UINT32_MAX, 0, NULL }

/** Releases what the struct owns and makes it an SL_ERROR_INIT again. NULL is fine. */
SL_API void sl_error_finish(struct sl_error *error);

/**
 * Copies `from` with all that it owns into `to`, releasing what `to` held. When memory runs out the texts are left out.
 */
SL_API void sl_error_copy(struct sl_error *to, const struct sl_error *from);

/**
 * Sets code and message (printf format) and clears everything else; returns `code`, so that it can end a
 * function: `return sl_error_set(error, SL_E_TYPE, "...");`. `error` may be NULL.
 */
SL_API enum sl_code sl_error_set(struct sl_error *error, enum sl_code code, const char *format, ...) SL_PRINTF(3, 4);

SL_END_DECLS

#endif
