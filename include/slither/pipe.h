/* SPDX-License-Identifier: MIT */
/*
 * Pipe: native stages, Python stages and routers as one supervised flow.
 *
 *   source -> prepare (native) -> predict (Python, batched) -> route -> accept
 *                                                                    -> review
 *                                                                    -> default
 *
 * A pipe is declared, checked as a whole, and run as often as wanted. Its stages form a directed acyclic graph; all of them work at the same
 * time. An item that a stage gives out goes on at once; nothing waits for the end of the input.
 *
 *     static const struct sl_pipe_definition scoring = {
 *         SL_PIPE("scoring"),
 *         .stages = SL_STAGES(
 *             SL_NATIVE("prepare", prepare),
 *             SL_PYTHON("predict", "model:predict_batch", .batch_size = 32, .max_in_flight = 4,
 *                       .on_error = {.on_error = SL_ON_ERROR_SKIP}),
 *             SL_ROUTER("route", {is_sure, .to = "accept"}, {is_unsure, .to = "review"})),
 *         .outputs = SL_OUTPUTS("accept", "review"),
 *     };
 *
 * WHO RUNS WHAT. Whoever has an item in hand carries it on: through native stages and routers, to an output or to the queue of the next stage that
 * has threads of its own. Those are the Python stages, and native ones with `parallel`: each is a dispatch (dispatch.h).
 *
 * BOUNDS. The source is read only while fewer than in_flight_max of its items are under way and their values take less than
 * in_flight_bytes_max; a stage takes in nothing while a queue behind it is full. So a slow stage, or a slow sink, stops the reading.
 *
 * CONSERVATION. In each stage every item that came in ends in exactly one of ok, failed, skipped, routed, cancelled; what it gave out is
 * counted besides, since one item may become several. Over the pipe, an item of the source is finished when all that came of it
 * is: given to a sink, skipped, failed or cancelled.
 */
#ifndef SLITHER_PIPE_H
#define SLITHER_PIPE_H

#include <slither/base.h>
#include <slither/dispatch.h>
#include <slither/error.h>
#include <slither/value.h>

SL_BEGIN_DECLS

struct sl_pool;
struct sl_session;
struct sl_store;
struct sl_pipe;
struct sl_pipe_run;
struct sl_emit;

/** The output that takes what no route names; every pipe has it. */
#define SL_OUTPUT_DEFAULT "default"

/* ---- what handlers see ------------------------------------------------------------------------------------------- */

/** A store that the handlers of a run may use. */
struct sl_pipe_store {
    const char *
        name; /**< as handlers ask for it; in Python slither.store(table, store=name), so the name of the store itself fits best */
    struct sl_store *store;
};

/** One run of a pipe, as its handlers see it. Python sees the same: slither.context(). */
struct sl_pipe_context {
    size_t size;              /**< sizeof(struct sl_pipe_context) of the library */
    const char *pipe;         /**< name */
    const char *stage;        /**< name */
    struct sl_value metadata; /**< of the run: sl_pipe_options.metadata; or {NULL, 0} */
    /** id of the session of the stage's calls, of a native stage of those of the first Python stage; 0: the pipe calls no Python */
    uint64_t session;
    const struct sl_pipe_store *stores; /**< sl_pipe_options.stores; sl_pipe_context_store() finds one */
    uint32_t store_count;
};

/** The store of that name, valid while the run lasts; NULL: the run was given none. */
SL_API struct sl_store *sl_pipe_context_store(const struct sl_pipe_context *context, const char *name);

/** One item on its way. Valid during the call. */
struct sl_pipe_item {
    size_t size;     /**< sizeof(struct sl_pipe_item) of the library */
    uint64_t id;     /**< of the source's item that it comes from */
    uint64_t origin; /**< position of that item in the source, from 0 */
    struct sl_value value;
    struct sl_value meta; /**< of the source's item; or {NULL, 0} */
    const struct sl_pipe_context *context;
};

/**
 * A native stage. What it gives out it says with sl_emit() and its kin; SL_OK without any of them: the item is skipped ("filtered"). Another code fails
 * the item with `error`. Called by one thread at a time, in the order of the input, unless the stage is `parallel`.
 */
typedef enum sl_code sl_stage_fn(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                                 struct sl_error *error);

/**
 * Gives a value out, which is copied, unless it is the item's own (`item->value`) or a part of it: that is passed on as it is, without a copy. A
 * stage of cardinality one may do so once, of cardinality many as often as it likes.
 */
SL_API void sl_emit(struct sl_emit *emit, struct sl_value value);
/** A cleared writer; sl_emit_end() gives out what was written, if it can where it lies. No other sl_emit function in between. */
SL_API struct sl_writer *sl_emit_begin(struct sl_emit *emit);
SL_API void sl_emit_end(struct sl_emit *emit);
/** The item ends here, and `reason` (copied) is counted. */
SL_API void sl_emit_skip(struct sl_emit *emit, const char *reason);
/** Gives a value to an output or a stage by name, past the routes; as sl_emit(). */
SL_API void sl_emit_route(struct sl_emit *emit, const char *to, struct sl_value value);

/** Whether an item takes a route. Another code than SL_OK fails the item. */
typedef enum sl_code sl_route_fn(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error);

/* ---- declaration ------------------------------------------------------------------------------------------------- */

enum sl_stage_kind { SL_STAGE_NATIVE = 1, SL_STAGE_PYTHON = 2, SL_STAGE_ROUTER = 3 };

enum sl_cardinality {
    SL_CARDINALITY_ONE = 0,    /**< one result for one item, or none (skipped) */
    SL_CARDINALITY_MANY = 1,   /**< any number; a Python function returns a list for each item */
    SL_CARDINALITY_FILTER = 2, /**< as one; a Python function that returns None drops the item */
};

struct sl_route {
    sl_route_fn *when;
    void *context;
    const char *to;   /**< an output or a stage */
    const char *note; /**< the predicate as text, for pictures; may be NULL */
};

/** One stage. What is left out has the value in brackets. */
struct sl_stage {
    const char *name; /**< 1..64 bytes: letters, digits, `_`, `-`, `.` */
    enum sl_stage_kind kind;
    const char *to;   /**< where its results go [the next stage in the list, or the default output after the last] */
    const char *note; /**< for pictures; may be NULL */

    /* native */
    sl_stage_fn *call;
    void *context;
    /** threads; [0]: none of its own, it runs on the thread that brings the item */
    uint32_t parallel;

    /* Python */
    const char *function;        /**< "module:function" */
    const char *pool;            /**< name of a pool in sl_pipe_options [the first one] */
    enum sl_call_mode mode;      /**< [batch] */
    struct sl_strategy strategy; /**< [fixed] */
    uint32_t batch_size;         /**< [64] */
    uint64_t max_weight;         /**< [1000] */
    uint32_t max_delay_ms;       /**< a batch that is not full goes after this long [5] */
    uint32_t timeout_ms;         /**< of one batch [30000]; UINT32_MAX: none */
    enum sl_snapshot_scope
        snapshot; /**< what its batches see of the runtime's stores (store.h) [the newest at each read] */

    /* Python, and native with `parallel` */
    uint32_t max_in_flight;    /**< batches [8] */
    uint32_t queue_max;        /**< items that may wait before it [1024] */
    enum sl_ordering ordering; /**< of its results [preserve] */
    enum sl_cardinality cardinality;

    /**
     * router: the first whose `when` says so is taken; a last one without `when` takes the rest [the default output]. Other stages: where they may send items
     * by name, without `when`. Ended by one whose `to` is NULL.
     */
    const struct sl_route *routes;

    /** of items that fail; DEFAULT: the pipe's */
    struct sl_error_policy on_error;
    const char *on_error_to; /**< with policy route: the output or the stage that gets the item as it came in */
};

struct sl_pipe_definition {
    size_t size; /**< sizeof(struct sl_pipe_definition), set by SL_PIPE */
    const char *name;
    const struct sl_stage *stages;   /**< ended by one whose name is NULL */
    const char *const *outputs;      /**< ended by NULL; "default" need not be named */
    struct sl_error_policy on_error; /**< of stages that say nothing; DEFAULT: halt */
    const char *on_error_to;
};

#define SL_PIPE(pipe_name) .size = sizeof(struct sl_pipe_definition), .name = (pipe_name)
/* clang-format off */
#define SL_STAGES(...) (const struct sl_stage[]){__VA_ARGS__, {.name = NULL}}
#define SL_NATIVE(stage_name, function_, ...) \
    {.name = (stage_name), .kind = SL_STAGE_NATIVE, .call = (function_), ##__VA_ARGS__}
#define SL_PYTHON(stage_name, function_, ...) \
    {.name = (stage_name), .kind = SL_STAGE_PYTHON, .function = (function_), ##__VA_ARGS__}
#define SL_ROUTER(stage_name, ...) \
    {.name = (stage_name), .kind = SL_STAGE_ROUTER, .routes = (const struct sl_route[]){__VA_ARGS__, {.to = NULL}}}
#define SL_OUTPUTS(...) (const char *const[]){__VA_ARGS__, NULL}
/* clang-format on */

/** One thing that is wrong with a definition. */
struct sl_pipe_problem {
    char place[160];    /**< "stage predict, on_error_to" */
    char message[352];  /**< what is wrong, what was expected */
    uint32_t stage;     /**< its index; UINT32_MAX: it is about the whole pipe */
    const char *member; /**< of the stage or the definition: "on_error_to"; NULL: about all of it; static storage */
    uint32_t entry;     /**< of the routes or the outputs, by index; UINT32_MAX: none of them */
};

/**
 * Checks a definition as a whole: `problems` gets the first `problem_max` of what is wrong, `*problem_count` how much there is. SL_OK when there is nothing,
 * else invalid_argument with the first problem. `problems` may be NULL.
 */
SL_API enum sl_code sl_pipe_check(const struct sl_pipe_definition *definition, struct sl_pipe_problem *problems,
                                  uint32_t problem_max, uint32_t *problem_count, struct sl_error *error);

struct sl_pipe_pool {
    const char *name; /**< as stages name it */
    struct sl_pool *pool;
};

/** Checks the definition and copies it with its strings; handlers and their contexts are borrowed. */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_create(const struct sl_pipe_definition *definition, struct sl_pipe **pipe,
                                                 struct sl_error *error);
/** NULL is fine. No run may be left. */
SL_API void sl_pipe_destroy(struct sl_pipe *pipe);

enum sl_pipe_picture {
    SL_PIPE_PICTURE_TEXT = 0,
    SL_PIPE_PICTURE_DOT = 1, /**< the language of Graphviz */
    SL_PIPE_PICTURE_SVG = 2, /**< laid out, needs no other program; readable on light and dark ground */
};
/** The graph as text for people, for Graphviz or for a browser. The caller frees it with free(); NULL: no memory. */
SL_API char *sl_pipe_draw(const struct sl_pipe *pipe, enum sl_pipe_picture picture);

/* ---- running ----------------------------------------------------------------------------------------------------- */

/** An item that has reached an output, or has ended on its way. Valid during the call of the sink. */
struct sl_pipe_outcome {
    size_t size; /**< sizeof(struct sl_pipe_outcome) of the library */
    const char *output;
    uint64_t id;
    uint64_t origin;
    struct sl_value value;
    struct sl_value meta;
    const char *stage;            /**< that gave it out; NULL: it came from the source */
    const struct sl_error *error; /**< of an item that on_error_to sent here; else NULL */
};

/**
 * Gets the items of one output, one call at a time, from one of the pipe's threads. A code other than SL_OK stops the run: SL_E_END quietly,
 * another as sink_failed.
 */
struct sl_pipe_sink {
    const char *output; /**< its name; NULL: of every output that has no sink of its own */
    enum sl_code (*put)(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error);
    void *context;
};

struct sl_pipe_options {
    size_t size;                      /**< sizeof(struct sl_pipe_options) */
    const struct sl_pipe_pool *pools; /**< for the Python stages */
    uint32_t pool_count;
    const struct sl_pipe_sink *sinks; /**< outputs without a sink are counted only */
    uint32_t sink_count;
    enum sl_ordering ordering; /**< over all outputs: in the order of the source, or as they come */
    uint32_t in_flight_max;    /**< items of the source under way, 1..1048576; default 16384 */
    /** memory of all values under way, a worker's reply whole as long as one of its results is; default 256 MiB; one item may pass it */
    uint64_t in_flight_bytes_max;
    uint32_t trace_items; /**< the first so many items of the source are traced; 0..4096; default 0 */
    struct sl_value
        metadata; /**< shown to the handlers, of Python stages within SL_CONTEXT_MAX; borrowed while the run lasts */
    /**
     * may be NULL; gets each item that failed and was not sent on: `stage` and `error` say where and why, `value` is what the stage had been given, `output` is
     * NULL. One call at a time, from one of the pipe's threads, in the order in which they fail.
     */
    void (*failed)(void *context, const struct sl_pipe_outcome *outcome);
    void *failed_context;
    /**
     * on whose state the Python stages work; all of them must be on its pool. NULL (default): the run has a session of its own in each pool, spread over
     * the workers, which its stages there share, and which ends with the run
     */
    struct sl_session *session;
    const struct sl_pipe_store
        *stores; /**< for the handlers; may be NULL; names and stores are borrowed while the run lasts */
    uint32_t store_count;
    /** whose handlers (telemetry.h) are told of the run; NULL (default): that of the first pool; without a pool nobody is */
    struct sl_runtime *runtime;
};

/* clang-format off */
#define SL_PIPE_OPTIONS_INIT \
    {sizeof(struct sl_pipe_options), NULL, 0, NULL, 0, SL_ORDERING_PRESERVE, 16384, (uint64_t)256 << 20, 0, {NULL, 0}, NULL, NULL, NULL, NULL, 0, NULL}
/* clang-format on */

/** What one stage did. */
struct sl_stage_report {
    const char *name;
    uint64_t input;
    uint64_t count[SL_STATUS_COUNT]; /**< of `input`, by enum sl_status */
    uint64_t emitted;                /**< values that it gave out */
    uint64_t busy_ns;                /**< native stages and routers: time inside their functions */
    uint32_t queue_peak;
    struct sl_report dispatch; /**< Python, and native with `parallel`; else zero */
};

struct sl_output_report {
    const char *name;
    uint64_t count;
};

/** One step of a traced item. */
struct sl_pipe_hop {
    uint64_t origin;
    const char *stage; /**< or the output that it reached */
    uint64_t enter_ns; /**< since the run began */
    uint64_t leave_ns;
    enum sl_status status;
};

/** What happened in a run. The caller owns it: SL_PIPE_REPORT_INIT before, sl_pipe_report_finish() after. */
struct sl_pipe_report {
    size_t size;
    uint64_t input;    /**< items of the source */
    uint64_t finished; /**< of them, those that nothing is left of */
    uint64_t resume;   /**< the first so many items of the source are finished, and the next one is not */
    struct sl_stage_report *stages;
    uint32_t stage_count;
    struct sl_output_report *outputs;
    uint32_t output_count;
    struct sl_pipe_hop *hops; /**< in the order in which they ended */
    uint32_t hop_count;
    uint32_t in_flight_peak; /**< items of the source */
    uint64_t bytes_peak; /**< of in_flight_bytes_max, as looked at before items are read: once for up to 32 of them */
    uint64_t elapsed_ns;
    char *names; /**< private: what the names point into */
};

#define SL_PIPE_REPORT_INIT \
    { sizeof(struct sl_pipe_report), 0, 0, 0, NULL, 0, NULL, 0, NULL, 0, 0, 0, 0, NULL }

SL_API void sl_pipe_report_finish(struct sl_pipe_report *report);
/** Writes it as a value (a map, see docs/pipe.md). */
SL_API void sl_pipe_report_write(const struct sl_pipe_report *report, struct sl_writer *writer);

/**
 * Runs all items of a source through the pipe: start, feed and finish in one. Blocks. Returns SL_OK when everything is through;
 * halted (error: that of the item), cancelled, source_failed, sink_failed, and what a dispatch can end with; the report is complete in each case.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_run(struct sl_pipe *pipe, const struct sl_pipe_options *options,
                                              struct sl_source source, struct sl_pipe_report *report,
                                              struct sl_error *error);

/** Starts a run that lasts: items are pushed into it. The threads of the stages start, and wait. */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_start(struct sl_pipe *pipe, const struct sl_pipe_options *options,
                                                struct sl_pipe_run **run, struct sl_error *error);
/**
 * Reads a source to its end into the run, then drains it (nothing can be pushed any more). Blocks; the calling thread reads the source, and works for the first
 * stage that would have a thread of its own. Once a run, and instead of pushing. The source may say SL_E_AGAIN: it is asked again after sl_pipe_wake(), or when
 * something moves. How the run ends sl_pipe_finish() says, a failure of the source included. Errors: invalid_argument.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_feed(struct sl_pipe_run *run, struct sl_source source,
                                               struct sl_error *error);
/** A live source has something again. Any thread, callbacks, signal handlers. */
SL_API void sl_pipe_wake(struct sl_pipe_run *run);
/**
 * Gives the run an item, which is copied, and carries it on: the first native stages run on this thread. Blocks while the pipe is full. Any thread.
 * Errors: closed (drained, or ended: then with the error that ended it), limit_exceeded, out_of_memory.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_push(struct sl_pipe_run *run, const struct sl_item *item,
                                               struct sl_error *error);
/** The same without blocking: again when the pipe is full. */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_try_push(struct sl_pipe_run *run, const struct sl_item *item,
                                                   struct sl_error *error);
/** Takes nothing more (push: closed); what was pushed is finished. Does not wait. Any thread, callbacks, signal handlers. */
SL_API void sl_pipe_drain(struct sl_pipe_run *run);
/**
 * Stops now: workers that run a batch of this run are killed, unfinished items are cancelled, sl_pipe_finish() returns cancelled. Does not wait.
 * Any thread and callbacks, but not signal handlers: there sl_pipe_drain() is the one to call.
 */
SL_API void sl_pipe_cancel(struct sl_pipe_run *run);
/**
 * What has happened so far: counts of items, by stage and output. What belongs to the end is not in it: resume, hops, the dispatch of a stage; `finished` includes
 * what was cancelled. Any thread and callbacks, while the run lives. The caller owns the report as after sl_pipe_finish().
 */
SL_API void sl_pipe_peek(struct sl_pipe_run *run, struct sl_pipe_report *report);
/**
 * Waits until the run is through, at most timeout_ms (0: no limit), and keeps it: other threads may go on to use it, to cancel it for example. Drains first unless
 * that was done. Errors: timeout. One thread, and not one of the pipe's; sl_pipe_finish() then does not wait any more.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_wait(struct sl_pipe_run *run, uint32_t timeout_ms, struct sl_error *error);
/**
 * Waits for the end, at most timeout_ms (0: no limit; past it the run is cancelled and its end is waited for), and releases the run. Drains first unless that was done. Returns as sl_pipe_run().
 */
SL_API enum sl_code sl_pipe_finish(struct sl_pipe_run *run, uint32_t timeout_ms, struct sl_pipe_report *report,
                                   struct sl_error *error);

/* ---- stream ------------------------------------------------------------------------------------------------------ */

/**
 * A run that the caller pulls. Lazy: nothing is read from the source but in sl_pipe_stream_next(), and nothing while the items under way, and those that
 * wait at outputs, come to in_flight_max or in_flight_bytes_max. Stages work on what was read while the caller works.
 */
struct sl_pipe_stream;
/**
 * Starts the threads of the stages, which wait. Outputs that have a sink in `options` go there, the others come out of the stream. `source` is borrowed
 * until the end. Errors: as sl_pipe_start().
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_stream_open(struct sl_pipe *pipe, const struct sl_pipe_options *options,
                                                      struct sl_source source, struct sl_pipe_stream **stream,
                                                      struct sl_error *error);
/**
 * The next item of an output, or of all (`output` NULL), in the order in which they came; valid until the next call. Blocks until there is one. Errors: SL_E_END when all are
 * out; what sl_pipe_run() returns, once nothing is left that came before; limit_exceeded when so many items wait at other outputs that nothing more may be
 * read: take some of those first; invalid_argument: no such output. One thread at a time, and not one of the pipe's.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_stream_next(struct sl_pipe_stream *stream, const char *output,
                                                      struct sl_pipe_outcome *outcome, struct sl_error *error);
/** The run, for sl_pipe_wake(), sl_pipe_peek(), sl_pipe_drain() and sl_pipe_cancel(); it ends with the stream. */
SL_API struct sl_pipe_run *sl_pipe_stream_run(struct sl_pipe_stream *stream);
/**
 * Cancels what is under way, and releases everything; NULL is fine. `report` (may be NULL) is complete; items that had come to an output and were
 * not taken count as given out. Not one of the pipe's threads.
 */
SL_API void sl_pipe_stream_close(struct sl_pipe_stream *stream, struct sl_pipe_report *report);

SL_END_DECLS

#endif
