/* SPDX-License-Identifier: MIT */
/*
 * Inside of a run of a pipe.
 *
 * THREADS. Each threaded node has one thread, which runs a dispatch; the feeder pushes. Each of them carries the items that it
 * has in hand as far as it can (flow.c). There is no other thread, except those of native stages that asked for some (crew.c). The thread that calls
 * sl_pipe_feed() is both: it runs the dispatch of the first threaded node, whose source reads the run's, so that an item gets there
 * without a change of threads.
 *
 * VALUES. A thread carries what it has just been given, and does nothing else until it has carried it as far as it can. So the value stays where it is, lent: in
 * the source's memory, in a stage's writer, in a worker's reply. It is kept, by a copy or with the reply, when the token is put down: in a queue, in an
 * output's line. What the hosted dispatch reads it copies into a lane before it reads on: such a value is never kept at all.
 *
 * ORDER. Origins stand in a ring, from `head` (the oldest that is not finished) to `tail`. A token that reaches an output of an ordered run is put
 * in its origin's line; when the oldest origin has nothing under way any more its line is given to the sinks, by one thread at a
 * time, and the next one's turn has come. So the window of origins bounds what can wait there.
 *
 * BACKPRESSURE. Nobody blocks in front of a full queue: a dispatch that holds lanes and does not harvest them could keep the very stage from
 * working that it waits for, when both use one pool. Instead nothing new is taken in while a queue that it would end in is full:
 * by the dispatch's source (stage.c) and by the feeder (run.c). What was taken in before may pass the queue's bound.
 */
#ifndef SLITHER_PIPE_RUN_H
#define SLITHER_PIPE_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/macros.h"
#include "dispatch/sink.h"
#include "flying.h"
#include "item.h"
#include "lane/lane.h"
#include "plan.h"
#include "queue.h"
#include "sys/clock.h"
#include "telemetry/telemetry.h"

struct sl_pipe_run;

/*
 * The hands of a thread that carries: what it has done for others and not said yet. It says so when it tidies up: all at once, when it is about to wait or to
 * read the source, and else after a tick of the clock.
 */
struct sl__hand {
    struct sl_pipe_run *run;
    struct sl__arena arena; /* where it keeps values */
    struct sl__blob *reply; /* what is lent may lie in it; or NULL */
    struct sl_error error;  /* of the function that is being called; clear in between */
    const uint32_t *nodes;  /* threaded ones that it brings tokens to */
    uint32_t node_count;
    struct sl__row *rows;   /* by node: what is to be put in its queue */
    bool untidy;            /* there is something to say */
    bool ended;             /* an origin */
    uint64_t since_tick_ns; /* untidy */
};

/* What a native handler writes to. */
struct sl_emit {
    struct sl_pipe_run *run;
    const struct sl__node *node;
    bool may_lend; /* who calls the stage carries on what it gave out before anybody calls it again */
    bool fresh;    /* nothing has been given out, one value may be, and there is a place for it */
    bool writing;
    struct sl__arena *arena;
    const struct sl__token *token; /* what is given out of its value is not copied */
    struct sl__emissions made;
    struct sl_writer writer;
};

enum sl__pipe_ending {
    SL__PIPE_RUNNING,
    SL__PIPE_CLOSING,   /* nothing more comes in; what is under way is finished */
    SL__PIPE_STOPPING,  /* the same, after an error */
    SL__PIPE_CANCELLING /* what is under way is cancelled */
};

struct sl__stage_run {
    _Alignas(SL__LINE_SIZE) struct sl_pipe_run *run;
    const struct sl__node *node;
    uint32_t index;
    bool shared, threaded, routes; /* as in the node; a router */
    bool hosted;                   /* by the thread that called sl_pipe_feed(): its queue is that thread's alone */
    _Atomic uint64_t input, count[SL_STATUS_COUNT];
    _Atomic uint64_t busy_ns; /* in the stage's function, in the calls that were timed */
    _Atomic uint64_t timed;   /* of `input`; 0: all of them */
    _Atomic uint64_t more;    /* values that it gave out, beyond one for each item that is ok or routed */
    _Atomic uint64_t refused; /* threaded: cancelled by those who brought them; not in `input` and `count` */
    struct sl_pipe_context context;
    pthread_mutex_t lock; /* inline: one item at a time */
    struct sl_emit emit;  /* inline native: under the lock */

    struct sl__span span;
    _Atomic bool guilty; /* its error has ended the run */

    /* threaded only */
    struct sl__queue queue;
    bool one_for_one;   /* Python: an outcome that is ok is what the item becomes */
    size_t return_size; /* hosted: the dispatch gives an item that fails back when it is not larger */
    struct sl_control *control;
    struct sl_pool *pool;
    struct sl_session *session;      /* of its calls */
    struct sl_writer context_writer; /* of the value that options.context is */
    struct sl__crew *crew;           /* native */
    pthread_t thread;
    bool started;
    struct sl__hand hand;
    struct sl_report report;
    struct sl_dispatch_options options;
    struct sl__flying flying; /* what the dispatch has */
    uint8_t pointer[9];       /* the value that stands for a token in a crew */
};

struct sl__output_run {
    const char *name;
    const struct sl_pipe_sink *sink; /* or NULL */
    struct sl_error error;           /* of the sink; clear between two calls */
    pthread_mutex_t lock;            /* as completed: one call at a time */
    _Atomic uint64_t count;          /* written by who gives out */
};

struct sl_pipe_run {
    _Alignas(SL__LINE_SIZE) struct sl_pipe *pipe;
    struct sl_pipe_options options; /* sinks, pools and stores are copied */
    struct sl_session **sessions;   /* that the run has opened, by pool */
    struct sl__stage_run *stages;
    struct sl__output_run *outputs;
    struct sl__origin **origins; /* by sequence; order.c says who may touch what */
    uint64_t origin_mask;
    uint64_t start_ns;
    const struct sl__telemetry *telemetry;
    struct sl__span span;
    _Atomic int ending;         /* enum sl__pipe_ending */
    struct sl_source source;    /* of sl_pipe_feed() */
    struct sl__stage_run *host; /* the first threaded node, which works on the thread that feeds a source; or NULL */
    bool solo;                  /* the thread that called sl_pipe_feed() does everything */
    _Atomic bool sinks_closed;
    _Atomic bool feeder_waits;

    /* feeder */
    _Alignas(SL__LINE_SIZE) _Atomic uint64_t tail;
    struct sl__origin *spare;
    struct sl__origin_block *blocks;
    uint32_t in_flight_peak;
    _Atomic uint64_t bytes_peak;
    uint64_t host_bytes; /* of items that only the hosted dispatch has */
    int64_t room_items;  /* so many may be taken before it is looked anew whether there is room, */
    int64_t room_bytes;  /* and so many bytes of them; the last one may pass it */
    struct sl__hand hand;
    pthread_mutex_t feed;    /* one at a time */
    _Atomic bool input_over; /* no other origin will be opened */

    /* deliverer */
    _Alignas(SL__LINE_SIZE) _Atomic uint64_t head;
    uint64_t finished, resume;
    uint32_t ended_count;                  /* solo: origins that have ended and wait for an older one */
    bool gap;                              /* an origin was cancelled: those after it are not given out */
    _Atomic uint32_t due;                  /* calls to look at what has ended; not 0: there is a deliverer */
    _Atomic(struct sl__origin *) returned; /* for the feeder */

    _Alignas(SL__LINE_SIZE) _Atomic uint64_t bytes;
    struct sl__bell bell; /* for whoever feeds or finishes */
    struct sl__spin spin;
    _Atomic uint32_t running; /* threads */
    pthread_mutex_t order;    /* lines and marks of origins with several tokens */

    pthread_mutex_t telling; /* one call of options.failed at a time */

    pthread_mutex_t state; /* guards what follows */
    struct sl_error error; /* what ended the run */
    uint32_t closed_count; /* nodes, from the first, whose queues have been closed */
    bool *stage_over;      /* by node */
    struct sl_pipe_hop *hops;
    uint32_t hop_count, hop_capacity;
};

/* A counter of a stage that one thread at a time works for needs no locked instruction. */
static inline void sl__stage_bump(const struct sl__stage_run *stage, _Atomic uint64_t *counter, uint64_t by) {
    if (SL_UNLIKELY(stage->shared)) {
        atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
    } else {
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
    }
}

/* ---- flow.c ------------------------------------------------------------------------------------------------------ */

/* False: no memory. `nodes` is borrowed. */
bool sl__hand_init(struct sl__hand *hand, struct sl_pipe_run *run, const uint32_t *nodes, uint32_t node_count);
void sl__hand_finish(struct sl__hand *hand);
/* There is something to say. */
static inline void sl__hand_note(struct sl__hand *hand) {
    if (!hand->untidy) {
        hand->untidy = true;
        hand->since_tick_ns = sl__clock_tick_ns();
    }
}
/* Says it. */
void sl__hand_tidy(struct sl__hand *hand);
/* The token is put down: a value that was lent is kept from here on. False: no memory, and the run has been told. */
bool sl__hand_keep_lent(struct sl__hand *hand, struct sl__token *token);
static inline bool sl__hand_keep(struct sl__hand *hand, struct sl__token *token) {
    return token->value.chunk != NULL || sl__hand_keep_lent(hand, token);
}

/* Carries a token on from where it is; it is the callee's. */
void sl__flow_carry(struct sl__hand *hand, struct sl__token *token, sl__target target);
/* The node that had the token gives one value out for it, which is lent. `target` SL__NOWHERE: to its next. Takes over the token. */
void sl__flow_emit_one(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                       struct sl_value value, sl__target target);
/* The same for all that came back in a row. */
void sl__flow_emit_row(struct sl__hand *hand, struct sl__stage_run *stage, const struct sl__outcome_row *row);
/* The node that had the token gives these out for it. Takes over the token and what is in `made`. */
void sl__flow_emit(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                   struct sl__emissions *made);
/* The token ends in this stage. */
void sl__flow_end(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token, enum sl_status status);
/* It failed there: sent on by on_error_to, or its end. */
void sl__flow_fail(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                   const struct sl_error *error);
/* Puts an emission into `made`. False: no memory. Takes over a value that is kept. */
bool sl__flow_add(struct sl__emissions *made, struct sl__kept value, sl__target target);
/* A destination that was named while the run was going: SL__NOWHERE when the stage may not send there. */
sl__target sl__flow_destination(const struct sl_pipe *pipe, const struct sl__node *node, const char *name);
static inline void sl__emit_init(struct sl_emit *emit, struct sl__arena *arena, const struct sl__token *token) {
    emit->arena = arena;
    emit->token = token;
    emit->fresh = emit->made.capacity > 0;
    emit->writing = false;
}
struct sl_pipe_item sl__flow_item(const struct sl__stage_run *stage, const struct sl__token *token);

/* ---- order.c ----------------------------------------------------------------------------------------------------- */

/* Finds origins to use. False: no memory. Feeder only. */
bool sl__order_more(struct sl_pipe_run *run);
static inline struct sl__origin **sl__order_place(const struct sl_pipe_run *run, uint64_t sequence) {
    return &run->origins[sequence & run->origin_mask];
}
/* The first token of the next origin. Takes over the values. NULL: no memory; they are still the caller's. Feeder only; there is room. */
static inline struct sl__token *sl__order_open(struct sl_pipe_run *run, uint64_t id, struct sl__kept value,
                                               struct sl__kept meta) {
    if (SL_UNLIKELY(run->spare == NULL) && !sl__order_more(run)) {
        return NULL;
    }
    struct sl__origin *origin = run->spare;
    run->spare = origin->next;
    uint64_t sequence = atomic_load_explicit(&run->tail, memory_order_relaxed);
    uint64_t in_flight = sequence + 1 - atomic_load_explicit(&run->head, memory_order_acquire);
    SL_ASSERT(in_flight <= run->origin_mask + 1);
    origin->id = id;
    origin->sequence = sequence;
    origin->meta = meta;
    origin->cancelled = false;
    origin->traced = sequence < run->options.trace_items;
    origin->line = NULL;
    atomic_store_explicit(&origin->live, 1, memory_order_relaxed);
    if (in_flight > run->in_flight_peak) {
        run->in_flight_peak = (uint32_t)in_flight;
    }
    *sl__order_place(run, sequence) = origin;
    atomic_store_explicit(&run->tail, sequence + 1, memory_order_release);
    sl__token_init(&origin->first, origin, value);
    return &origin->first;
}
/* `more` tokens came of one of it. */
void sl__order_add(struct sl__origin *origin, uint32_t more);
/* The token is at an output. Takes it over. */
void sl__order_arrive(struct sl__hand *hand, struct sl__token *token);
/* Nothing is left of the token. Takes it over. */
void sl__order_end(struct sl__hand *hand, struct sl__token *token, bool cancelled);
/* Origins have ended: what is due is given out, by this thread or by the one that is at it. */
void sl__order_deliver(struct sl_pipe_run *run);
void sl__order_finish(struct sl_pipe_run *run);

/* ---- stage.c, crew.c --------------------------------------------------------------------------------------------- */

/* Finds what a threaded node needs. All nodes are prepared before the first is launched: they wake each other. */
enum sl_code sl__stage_prepare(struct sl__stage_run *stage, struct sl_error *error);
enum sl_code sl__stage_launch(struct sl__stage_run *stage, struct sl_error *error);
/* Runs the node's dispatch on this thread, until nothing can come any more. */
void sl__stage_work(struct sl__stage_run *stage);
/* Wakes those who found this queue full. */
void sl__stage_room(struct sl__stage_run *stage);
/* Whether a queue behind it is full, so that nothing more is to be taken in. */
static inline bool sl__stage_crowded(const struct sl__stage_run *stage) {
    for (uint32_t i = 0; i < stage->node->behind_count; i++) {
        if (sl__queue_full(&stage->run->stages[stage->node->behind[i]].queue)) {
            return true;
        }
    }
    return false;
}
/* There was no memory for the token, which is no fault of a source's: the stage ends, and the run with it. Returns what the dispatch's source does. */
enum sl_code sl__stage_lose(struct sl__stage_run *stage, struct sl__token *token, struct sl_error *error);
/* The address of the token, as a value. */
struct sl_value sl__stage_stand_in(struct sl__stage_run *stage, const struct sl__token *token);
/*
 * Gives the stage's dispatch a token, as an item. Only the hosted one is lent a value: it copies it before it asks for the next one, and has it until the outcome
 * is out; the token has its size alone.
 */
static inline enum sl_code sl__stage_send(struct sl__stage_run *stage, struct sl__token *token, struct sl_item *item,
                                          struct sl_error *error) {
    bool fits = true;
    sl__stage_bump(stage, &stage->input, 1);
    item->id = token->origin->id;
    item->value = sl__kept_value(&token->value);
    if (token->value.chunk == NULL) {
        SL_ASSERT(stage->hosted);
        if (SL_LIKELY(token->value.size <= stage->return_size)) {
            stage->run->host_bytes += token->value.size;
            token->value.data = NULL;
        } else {
            fits = sl__hand_keep(&stage->run->hand, token);
        }
    }
    if (SL_UNLIKELY(!fits || !sl__flying_add(&stage->flying, token))) {
        return sl__stage_lose(stage, token, error);
    }
    if (SL_UNLIKELY(stage->crew != NULL)) {
        item->value = sl__stage_stand_in(stage, token);
    }
    return SL_OK;
}
/* Says what its thread has done for others. */
static inline void sl__stage_tidy(struct sl__stage_run *stage) {
    sl__hand_tidy(&stage->hand);
    if (stage->hosted) {
        sl__hand_tidy(&stage->run->hand);
    }
}
/* The same when some time has passed: what the results meet on their way may be slow. */
static inline void sl__stage_tidy_in_time(struct sl__stage_run *stage) {
    if (stage->hand.untidy && sl__clock_tick_ns() != stage->hand.since_tick_ns) {
        sl__stage_tidy(stage);
    }
}

enum sl_code sl__crew_create(struct sl__stage_run *stage, struct sl__crew **crew, struct sl_error *error);
struct sl_executor *sl__crew_executor(struct sl__crew *crew);
/* Waits until the threads have nothing in hand: a dispatch that gives its tasks up, because it has no memory, does not wait for them. By the stage's thread. */
void sl__crew_await_idle(struct sl__crew *crew);
void sl__crew_destroy(struct sl__crew *crew);

/* ---- events.c: what handlers of the runtime's events are told ----------------------------------------------------- */

/* Before anything moves. */
void sl__pipe_tell_start(struct sl_pipe_run *run);
/* A threaded stage is through. By its thread. */
void sl__stage_tell_end(struct sl__stage_run *stage);
/* All is through, and the counters stand still. */
void sl__pipe_tell_end(struct sl_pipe_run *run);

/* ---- report.c ---- */
/* Of all its calls, when some of them were timed. */
uint64_t sl__stage_busy_ns(struct sl__stage_run *stage);

/* ---- context.c --------------------------------------------------------------------------------------------------- */

enum sl_code sl__context_check(const struct sl_pipe *pipe, const struct sl_pipe_options *options,
                               struct sl_error *error);
/* What the calls of a Python stage get along, and their session. `pool`: its index in the options. */
enum sl_code sl__context_prepare(struct sl__stage_run *stage, uint32_t pool, struct sl_error *error);
/* When all are prepared: the native ones get to know the session, too. */
void sl__context_share(struct sl_pipe_run *run);
void sl__context_finish(struct sl_pipe_run *run);

/* ---- feed.c ------------------------------------------------------------------------------------------------------ */

/* The feeder is woken when it waits and there may be room. */
void sl__pipe_run_room(struct sl_pipe_run *run);
/* Whether an item can be taken. Feeder; when there is no room, it is woken as soon as there may be. */
bool sl__pipe_run_has_room(struct sl_pipe_run *run);
/* The source of the hosted dispatch: reads the run's, and carries in. */
enum sl_code sl__feed_next(void *stage, struct sl_item *item, struct sl_error *error);
/* What reads the source got this from it: the run stops reading, and ends with source_failed. */
void sl__pipe_run_source_failed(struct sl_pipe_run *run, enum sl_code code, const struct sl_error *cause);

/* ---- run.c ------------------------------------------------------------------------------------------------------- */

void sl__pipe_run_wake(struct sl_pipe_run *run);
void sl__pipe_run_end(struct sl_pipe_run *run, enum sl__pipe_ending ending, const struct sl_error *error);
static inline bool sl__pipe_run_cancelled(const struct sl_pipe_run *run) {
    return atomic_load_explicit(&run->ending, memory_order_relaxed) == SL__PIPE_CANCELLING;
}
/* Closes the queues of all threaded nodes that nothing can come to any more. */
void sl__pipe_run_close(struct sl_pipe_run *run);
/* Nothing more comes in. */
void sl__pipe_run_seal(struct sl_pipe_run *run);
/* One that is traced. */
void sl__pipe_run_trace(struct sl_pipe_run *run, const struct sl__token *token, const char *at, enum sl_status status);

/* ---- report.c ---------------------------------------------------------------------------------------------------- */

void sl__pipe_report_fill(struct sl_pipe_run *run, struct sl_pipe_report *report);

#endif
