/* SPDX-License-Identifier: MIT */
/*
 * Dispatch: batched fan-out to Python workers with bounded work in flight.
 *
 *   source -> strategy -> window -> lane -> Python -> order -> sink
 *
 * A run pulls items from a source only when there is room for them, places them in batches, keeps the lanes of a pool
 * fed, and gives each item's outcome to the sink. The thread that calls is the thread that does it: there is no other
 * queue and no other thread.
 *
 * CONSERVATION. Each item that was pulled ends in exactly one of ok, failed, skipped, routed, cancelled; the sink sees
 * each exactly once, and the counts of the report add up to `input`, whatever crashed.
 */
#ifndef SLITHER_DISPATCH_H
#define SLITHER_DISPATCH_H

#include <slither/base.h>
#include <slither/buffer.h>
#include <slither/error.h>
#include <slither/session.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_pool;
struct sl_executor;
struct sl_report;

/* ---- items in ---------------------------------------------------------------------------------------------------- */

/** One unit of work. */
struct sl_item {
    uint64_t id;           /**< the caller's name for it; shows in errors and reports. Need not be unique. */
    struct sl_value value; /**< what Python gets */
    struct sl_value meta;  /**< carried along to the outcome, not sent to Python; {NULL, 0}: none; at most 64 KiB */
    struct sl_buffer *const *buffers; /**< the shared buffers that `value` refers to; may be NULL */
    uint32_t buffer_count;            /**< at most 16 */
};

/**
 * Where items come from. `next` is called by the thread that runs the dispatch, only when an item can be taken:
 *   SL_OK     *item is the next one; what it points to must stay valid until the next call
 *   SL_E_END  there are no more; `next` is not called again
 *   SL_E_AGAIN  none now (a live source): it is called again after sl_control_wake(), or when a lane answers
 *   another code  the run stops as if there were no more and returns source_failed with `error` as its cause
 */
struct sl_source {
    enum sl_code (*next)(void *context, struct sl_item *item, struct sl_error *error);
    void *context;
};

/** A source over an array of values: ids are their indices. The struct and the array must outlive the run. */
struct sl_array_source {
    const struct sl_value *values;
    size_t count;
    size_t position; /**< start with 0 */
};
SL_API struct sl_source sl_source_from_array(struct sl_array_source *array);

/* ---- outcomes out ------------------------------------------------------------------------------------------------ */

enum sl_status {
    SL_STATUS_OK = 0,      /**< `value` is the result */
    SL_STATUS_FAILED = 1,  /**< `error` says why */
    SL_STATUS_SKIPPED = 2, /**< the function said slither.skip(reason); `route` is the reason */
    /** the function said slither.route(name, payload), or the on_error handler took it; `route` is the name */
    SL_STATUS_ROUTED = 3,
    SL_STATUS_CANCELLED = 4 /**< it was pulled and not finished when the run was cancelled, halted or out of time */
};

#define SL_STATUS_COUNT 5
SL_API const char *sl_status_name(enum sl_status status);

/** What became of one item. Valid during the call of the sink, or until the next sl_stream_next(). */
struct sl_outcome {
    size_t size;       /**< sizeof(struct sl_outcome) of the library */
    uint64_t sequence; /**< position in the input, from 0 */
    uint64_t id;
    enum sl_status status;
    uint32_t attempts;     /**< how often it was given to a worker; 0 when never */
    struct sl_value value; /**< ok: result; routed: payload; else {NULL, 0} */
    struct sl_value input; /**< failed, cancelled, routed: what was sent, when still at hand; else {NULL, 0} */
    struct sl_value meta;
    const char *route;            /**< routed: destination; skipped: reason; NUL-terminated; else NULL */
    const struct sl_error *error; /**< failed, cancelled, routed by the handler; else NULL */
};

/**
 * Gets outcomes, one call at a time, from the thread that runs the dispatch. A code other than SL_OK stops the run:
 * SL_E_END quietly (nothing more is pulled, what is in flight is finished but not shown), another as sink_failed.
 */
struct sl_sink {
    enum sl_code (*put)(void *context, const struct sl_outcome *outcome, struct sl_error *error);
    void *context;
    /** the run is about to wait: what `put` has kept back to save work should go out now; may be NULL */
    void (*flush)(void *context);
};

/* ---- strategies -------------------------------------------------------------------------------------------------- */

/** Where a strategy puts an item. */
struct sl_placement {
    /** of this item; a batch holds at most max_weight, a heavier item travels alone; 0: does not count */
    uint64_t weight;
    uint64_t key;              /**< items of one key share batches, run on one lane in order; 0: no key */
    struct sl_value key_value; /**< the key itself, for the report's hot keys; may be "no value" */
    bool close_before;         /**< the batch ends before this item */
    bool close_after;          /**< the batch ends with this item */
};

/**
 * A strategy is a function that places one item; it is called once for each, in input order. `placement` starts zeroed.
 * The batch ends at batch_size items, at max_weight, at max_delay_ms after its first item, or where the strategy says.
 * A code other than SL_OK fails the item with strategy_failed.
 */
struct sl_strategy {
    const char *name; /**< for reports */
    enum sl_code (*place)(void *context, const struct sl_item *item, struct sl_placement *placement,
                          struct sl_error *error);
    void *context;
};

/** Batches of batch_size. The default (also: a strategy that is all zero). */
SL_API struct sl_strategy sl_strategy_fixed(void);

/** Reads a weight off an item. */
typedef enum sl_code sl_weight_fn(void *context, const struct sl_item *item, uint64_t *weight, struct sl_error *error);
/**
 * Reads a key off an item: any value; items with equal keys (sl_value_equal) belong together. *key may point into the
 * item.
 */
typedef enum sl_code sl_key_fn(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error);

/** Fills in for strategies that wrap a user's function; must outlive the run. */
struct sl_strategy_functions {
    sl_weight_fn *weight; /**< NULL: each item weighs 1 */
    sl_key_fn *key;       /**< NULL: no keys */
    void *context;
};
/** Weighted batches: the weights of a batch add up to at most max_weight. */
SL_API struct sl_strategy sl_strategy_weighted(struct sl_strategy_functions *functions);
/** Key partition: same key -> same batch, same lane, in order. `functions->weight` may be given too. */
SL_API struct sl_strategy sl_strategy_key(struct sl_strategy_functions *functions);

/* ---- error policy ------------------------------------------------------------------------------------------------ */

enum sl_on_error {
    SL_ON_ERROR_DEFAULT = 0, /**< halt for run, skip for stream */
    SL_ON_ERROR_SKIP = 1,    /**< the items of a failed batch are failed; the run goes on */
    /** the first failed item ends the run: nothing more is pulled, what is in flight is finished */
    SL_ON_ERROR_HALT = 2,
    SL_ON_ERROR_RETRY = 3, /**< up to max_attempts, then as SKIP */
    SL_ON_ERROR_ROUTE = 4, /**< the items of a failed batch go to the handler */
    /**
     * a failed batch is split in halves until the poison item is alone; that one is failed, or goes to the handler if
     * there is one
     */
    SL_ON_ERROR_ISOLATE = 5
};

/**
 * Takes an item that failed. SL_OK: it counts as routed to *route (static or longer-lived text). Another code: it
 * counts as failed.
 */
typedef enum sl_code sl_error_handler_fn(void *context, const struct sl_outcome *failed, const char **route);

struct sl_error_policy {
    enum sl_on_error on_error;
    /** retry: first attempt included; 0: 3. isolate: attempts at an item that is alone, which tells poison from a worker that died for
     * another reason; 0: 1 */
    uint32_t max_attempts;
    uint32_t backoff_ms;     /**< retry: before the second attempt, doubled each time; 0: 100 */
    uint32_t backoff_max_ms; /**< retry: 0: 5000 */
    /** retry: 0..1, each delay is shortened by up to this part of it, at random; 0: none */
    double jitter;
    /** bit (1 << code) for each kind that is retried; 0: those that sl_code_retryable names, and python_exception */
    uint64_t retry_kinds;
    sl_error_handler_fn *handler; /**< route, isolate */
    void *handler_context;
};

/* ---- control from other threads ---------------------------------------------------------------------------------- */

/**
 * The hand of other threads on one run at a time. Every function but create and destroy may be called from any thread
 * and from a callback; wake, drain and cancel are also async-signal-safe.
 */
struct sl_control;
SL_API SL_MUST_CHECK enum sl_code sl_control_create(struct sl_control **control, struct sl_error *error);
/** NULL is fine. No run may be using it. */
SL_API void sl_control_destroy(struct sl_control *control);
/** A live source has something again. */
SL_API void sl_control_wake(struct sl_control *control);
/** Pull nothing more; finish what was pulled; return as if the source had ended. */
SL_API void sl_control_drain(struct sl_control *control);
/**
 * Stop now: workers that run a batch of this run are killed (and restarted), unfinished items are cancelled, the run
 * returns `cancelled`.
 */
SL_API void sl_control_cancel(struct sl_control *control);

/* ---- options and report ------------------------------------------------------------------------------------------ */

enum sl_ordering {
    SL_ORDERING_PRESERVE = 0,    /**< outcomes come in the order of the input */
    SL_ORDERING_AS_COMPLETED = 1 /**< outcomes come as they are ready */
};

enum sl_call_mode {
    SL_CALL_BATCH = 0, /**< function(items: list) -> list of the same length and order */
    SL_CALL_EACH = 1   /**< function(item) -> result; an exception fails only its item */
};

/** Which versions of the runtime's stores (store.h) the reads of a function see. */
enum sl_snapshot_scope {
    SL_SNAPSHOT_NONE = 0, /**< each read sees the newest, unless the function opens a snapshot */
    SL_SNAPSHOT_BATCH = 1 /**< all reads of one store in one batch see one version, that of the first of them */
};

struct sl_dispatch_options {
    size_t size;          /**< sizeof(struct sl_dispatch_options) */
    const char *function; /**< "module:function"; required */
    enum sl_call_mode mode;
    struct sl_strategy strategy; /**< all zero: fixed */
    uint32_t batch_size;         /**< items, 1..65536; default 64 */
    uint64_t max_weight;         /**< of a batch; default 1000; for strategies that weigh */
    /**
     * a batch that was begun is sent after this long even if it is not full; 0: waits until it is full or the source
     * ends
     */
    uint32_t max_delay_ms;
    uint32_t max_in_flight; /**< batches given to workers or waiting for another attempt, 1..1024; default 8 */
    /**
     * encoded bytes of items that were pulled and whose outcome was not yet given out; default 256 MiB; an item above
     * it fails with limit_exceeded
     */
    uint64_t max_in_flight_bytes;
    /** batches that may be finished and wait for an earlier one, 1..65536; default 16. More keeps lanes busy behind one slow
     * batch, and takes more memory */
    uint32_t reorder_max;
    /**
     * key partition: items that may wait in batches that are not full, 1..1048576; when it is reached the oldest batch
     * is sent; default 1024
     */
    uint32_t key_window;
    enum sl_ordering ordering;
    struct sl_error_policy policy;
    /** of one batch, from when its worker begins it; then the worker is killed; default 30000; 0: none */
    uint32_t timeout_ms;
    /** of the whole run; then it is cancelled and returns `timeout`; default 0: none */
    uint32_t run_timeout_ms;
    uint32_t acquire_timeout_ms; /**< for the first lane; then `pool_exhausted`; default 0: none */
    uint32_t error_list_max;     /**< errors that the report keeps in full; default 64 */
    struct sl_control *control;  /**< may be NULL */
    /** may be NULL; called by the running thread about every progress_ms */
    void (*progress)(void *context, const struct sl_report *report);
    void *progress_context;
    uint32_t progress_ms; /**< default 100 */
    /** executes the batches instead of a pool (executor.h); the pool argument is then NULL */
    struct sl_executor *executor;
    enum sl_snapshot_scope snapshot; /**< of what the function reads from stores; default SL_SNAPSHOT_NONE */
    /**
     * whose state the function works on; NULL (default): the run has a session of its own, spread over its workers, which ends with
     * it. Not with an executor
     */
    struct sl_session *session;
    enum sl_affinity affinity; /**< of this run; default SL_AFFINITY_DEFAULT: that of the session */
    /** slither.context().value in the function; at most SL_CONTEXT_MAX bytes; no value (default): None. Copied */
    struct sl_value context;
    /**
     * results that cannot travel become refs of the session, leaf by leaf, instead of not_serializable; default false. A reply with a ref of another
     * session, worker or generation than its own is then a bad_result; without refs a ref in a result is a value like any other
     */
    bool refs;
    uint64_t span; /**< that its batches are a part of, for handlers of events (telemetry.h); default 0: none */
    const char *
        label; /**< what they are told instead of `function`; default NULL: nothing else. Borrowed while the run lasts */
};

#define SL_CONTEXT_MAX 4096 /**< encoded bytes of a run's context */

#define SL_DISPATCH_OPTIONS_INIT                                                                                     \
    {                                                                                                                \
        sizeof(struct sl_dispatch_options), NULL, SL_CALL_BATCH, {NULL, NULL, NULL}, 64, 1000, 0, 8,                 \
            (uint64_t)256 << 20, 16, 1024, SL_ORDERING_PRESERVE, {SL_ON_ERROR_DEFAULT, 0, 0, 0, 0.0, 0, NULL, NULL}, \
            30000, 0, 0, 64, NULL, NULL, NULL, 100, NULL, SL_SNAPSHOT_NONE, NULL, SL_AFFINITY_DEFAULT, {NULL, 0},    \
            false, 0, NULL                                                                                           \
    }

/** One failure in a report: of one batch, or of one item. */
struct sl_report_error {
    struct sl_error error;
    uint64_t *ids; /**< of the items that it failed, the first 64 of them */
    uint32_t id_count;
    uint32_t item_count; /**< how many items it failed in all */
    uint32_t attempt;    /**< 1: the first */
    bool final;          /**< false: the items were tried again */
};

/** A key and how many items had it. */
struct sl_report_key {
    uint64_t key_hash;
    uint64_t item_count; /**< at least this many; exact unless the run had more keys than the report counts */
    char text[64];       /**< the key as JSON, cut */
};

#define SL_REPORT_HOT_KEYS 8
#define SL_PROGRESS_TEXT_MAX 256

/** What the Python function said last with slither.progress(done, total, text). */
struct sl_progress {
    uint64_t
        count; /**< messages that have come; 0: none, and the rest says nothing. Python sends them at most every 50 ms */
    double done;
    double total;                    /**< 0: not known */
    char text[SL_PROGRESS_TEXT_MAX]; /**< UTF-8, cut; may be "" */
};

/** What happened in a run. The caller owns it: SL_REPORT_INIT before, sl_report_finish() after. */
struct sl_report {
    size_t size;                     /**< sizeof(struct sl_report) */
    uint64_t input;                  /**< items pulled; = sum of count[] once the run is over */
    uint64_t count[SL_STATUS_COUNT]; /**< by enum sl_status */
    uint64_t batch_count;            /**< batches completed, failed ones and repeated ones included */
    uint64_t batch_failed_count;     /**< attempts that failed as a whole */
    uint64_t retry_count;            /**< batches that were tried again by policy */
    /** batches that were only queued behind a crash, and were given to another lane without blame */
    uint64_t requeue_count;
    uint64_t worker_death_count; /**< workers that died while they ran a batch of this run */
    uint64_t stale_reply_count;  /**< late or repeated replies, dropped */
    uint32_t in_flight_peak;     /**< batches */
    uint64_t bytes_peak;         /**< of max_in_flight_bytes */
    uint64_t elapsed_ns;
    uint64_t latency_p50_ns; /**< of batches, from hand-over to reply; percentiles are within 4 % */
    uint64_t latency_p95_ns;
    uint64_t latency_p99_ns;
    uint64_t latency_max_ns;
    uint64_t error_total;           /**< failures, also those that the list has no room for */
    struct sl_report_error *errors; /**< the first error_list_max; owned by the report */
    uint32_t error_count;
    /** the most frequent keys, most frequent first; item_count 0 ends them */
    struct sl_report_key hot_keys[SL_REPORT_HOT_KEYS];
    struct sl_progress progress; /**< of the run's session, while the run lasts */
};

/* clang-format off */
#define SL_REPORT_INIT \
    {sizeof(struct sl_report), 0, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, {{0, 0, {0}}}, {0, 0, 0, {0}}}
/* clang-format on */

/** Releases what the report owns and makes it an SL_REPORT_INIT again. NULL is fine. */
SL_API void sl_report_finish(struct sl_report *report);

/** Writes the report as a value (a map, documented in docs/dispatch.md). Error texts are included, items are not. */
SL_API void sl_report_write(const struct sl_report *report, struct sl_writer *writer);

/* ---- run, stream, call ------------------------------------------------------------------------------------------- */

/**
 * Runs all items of the source through the function and gives every outcome to the sink. Blocks. `sink` and `report`
 * may be NULL. Returns SL_OK when the source was exhausted or the run drained, even if items failed under a policy that
 * goes on; halted (error: that of the item), cancelled, timeout, source_failed, sink_failed, pool_exhausted,
 * circuit_open, invalid_argument otherwise; the report is complete in each case. Callbacks run on this thread and must
 * not use the pool for another run unless it has lanes to spare.
 */
SL_API SL_MUST_CHECK enum sl_code sl_dispatch_run(struct sl_pool *pool, const struct sl_dispatch_options *options,
                                                  struct sl_source source, const struct sl_sink *sink,
                                                  struct sl_report *report, struct sl_error *error);

/**
 * A run that the caller pulls. Lazy: nothing happens, and nothing is pulled from the source, but in sl_stream_next().
 */
struct sl_stream;
SL_API SL_MUST_CHECK enum sl_code sl_stream_open(struct sl_pool *pool, const struct sl_dispatch_options *options,
                                                 struct sl_source source, struct sl_stream **stream,
                                                 struct sl_error *error);
/**
 * The next outcome; blocks until there is one. SL_E_END when all are out; other codes as sl_dispatch_run, once nothing
 * is left.
 */
SL_API SL_MUST_CHECK enum sl_code sl_stream_next(struct sl_stream *stream, struct sl_outcome *outcome,
                                                 struct sl_error *error);
/** The report so far; owned by the stream. */
SL_API const struct sl_report *sl_stream_report(const struct sl_stream *stream);
/** Cancels what is in flight and releases everything. NULL is fine. Not from a callback of this stream. */
SL_API void sl_stream_close(struct sl_stream *stream);

/** Results of one call. Zero it before, sl_results_finish() after. */
struct sl_results {
    struct sl_value *values; /**< `count` entries, valid until finish; an entry may be of type mark */
    uint32_t count;
    void *owner; /**< private */
};
SL_API void sl_results_finish(struct sl_results *results);

/**
 * One batch, one call: the items go to one worker together and come back as one list. Uses function, mode, timeout_ms,
 * acquire_timeout_ms and the retry policy of `options`; other policies do not apply: on failure there are no results.
 * Errors: every kind that a batch can have. Blocks. At most 65536 values. Any thread; many threads may call at once on
 * one pool.
 */
SL_API SL_MUST_CHECK enum sl_code sl_call_batch(struct sl_pool *pool, const struct sl_dispatch_options *options,
                                                const struct sl_item *items, uint32_t count, struct sl_results *results,
                                                struct sl_error *error);

SL_END_DECLS

#endif
