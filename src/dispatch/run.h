/* SPDX-License-Identifier: MIT */
/*
 * One run of a dispatch: the state that the files of this room share.
 *
 * VOCABULARY
 *   batch    items that travel together. It is `filling` (in `run->open`, or in a bucket), `waiting` (closed, in
 *            `run->waiting`, its bytes on the heap), `flying` (in a seat), or `done` (its outcomes wait for their turn).
 *   seat     a place where batches fly: a leased lane, or the user's executor. A batch is encoded straight into the lane of a seat when
 *            nothing but the next lane decides where it goes; else it is gathered on the heap first.
 *   held     the item that was pulled last and could not be placed yet.
 *   admitted items that were pulled and whose outcome was not given out. Their encoded bytes are the run's byte budget.
 *
 * WHO MOVES WHAT
 *   intake.c   source -> held -> filling batch               (pulls only when the batch may fly)
 *   seats.c    waiting -> flying -> reply or loss             (lanes; tasks.c is the same for executors)
 *   settle.c   reply -> statuses, or failure -> policy        (skip, halt, retry, route, isolate)
 *   order.c    done -> next outcome
 *   engine.c   turns the wheel: harvest, feed, deliver, wait
 *
 * Everything in here belongs to the thread that runs the dispatch; only the bell, the control and the executor's
 * completion list are touched by others.
 */
#ifndef SLITHER_DISPATCH_RUN_H
#define SLITHER_DISPATCH_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include <slither/dispatch.h>
#include <slither/executor.h>

#include "base/list.h"
#include "dispatch/sink.h"
#include "lane/lane.h"
#include "pool/lease.h"
#include "pool/visit.h"
#include "session/session.h"
#include "telemetry/telemetry.h"

#define SL__RUN_RETRY_ATTEMPTS 3
#define SL__RUN_BACKOFF_MS 100
#define SL__RUN_BACKOFF_MAX_MS 5000
#define SL__RUN_REQUEUE_MAX 100    /* blameless requeues of one batch, until it counts as crashed */
#define SL__RUN_ITEM_BUFFER_MAX 16 /* shared buffers of one item */
#define SL__RUN_META_MAX (64u << 10)
#define SL__RUN_IDS_MAX 64       /* item ids that one error of a report keeps */
#define SL__RUN_HEAD_MAX 1024    /* bytes of an encoded request head without a context */
#define SL__RUN_FUNCTION_MAX 512 /* bytes of a function's name */

struct sl__run;
struct sl__seat;

/* ---- batches ----------------------------------------------------------------------------------------------------- */

struct sl__batch {
    struct sl__link link;
    struct sl__entry *entries;
    uint32_t count, capacity;
    uint32_t undelivered; /* done: outcomes not given out */
    uint32_t cursor;      /* done, as completed: where to look for the next outcome */
    bool all_ok;          /* done: all of its outcomes are */
    bool row;             /* done: they are given out in one call */

    uint8_t *data; /* encoded items, framed as in a payload; data_size is 0 while they lie in a lane */
    size_t data_size, data_capacity;
    uint8_t *meta;
    size_t meta_size, meta_capacity;
    struct sl_buffer **buffers; /* a reference each */
    uint32_t buffer_count, buffer_capacity;

    uint64_t weight;
    uint64_t key;    /* 0: none */
    uint32_t worker; /* the one that it must run on, or SL__ANY_WORKER */
    uint32_t requeues;
    uint32_t alone;    /* isolate: attempts at its one item since that was alone */
    uint64_t first_ns; /* when its first item came */
    uint64_t not_before_ns;
    uint64_t sent_ns;
    uint64_t lane_sequence;
    uint64_t lane_size; /* filling in a lane: bytes of the open payload */
    struct {
        struct sl__span span;        /* open while it flies, where somebody listens */
        uint32_t worker, generation; /* where; SL__ANY_WORKER: in an executor */
        uint32_t attempt;            /* of its first item */
    } told;
    struct sl__blob *blob;
    struct sl_error *error; /* why all of its items failed or were cancelled; owned */
};

/* ---- seats ------------------------------------------------------------------------------------------------------- */

struct sl__seat {
    struct sl__lease *lease;                  /* NULL: free */
    struct sl__batch *flying[SL__LANE_SLOTS]; /* oldest first */
    uint32_t count;
    uint64_t began_ns;     /* when the oldest became the one that runs */
    uint64_t last_send;    /* the run's count then */
    uint64_t batches;      /* done with this lease */
    uint64_t stale_before; /* stale replies of the lane when it was leased */
    bool condemned;        /* its worker was told to die: replies are not taken any more */
    bool staked;           /* the run's session has state there, as the last reply said */
};

/* Batches in the hands of an executor. A box outlives its run when the task ends late. */
struct sl__task_box {
    struct sl_executor *executor;
    struct sl__run *run;     /* NULL: nobody waits for it any more */
    struct sl__batch *batch; /* belongs to the run */
    struct sl__link link;    /* in run->boxes or run->finished */
    uint8_t *data;           /* the items; the batch's own while it flies */
    size_t data_size, data_capacity;
    char *function;
    struct sl_value *items;
    uint32_t count;
    uint64_t deadline_ns;
    bool pinned; /* its run is calling cancel: it must not be freed */
    bool ended;
    enum sl_code code; /* how it ended */
    struct sl__blob *blob;
    struct sl_error error;
};

struct sl_executor {
    char *name;
    struct sl_executor_options options;
    pthread_mutex_t lock;  /* guards what follows, the runs' lists of boxes and the boxes' run members */
    struct sl__list runs;  /* whose bells ring when a task ends */
    uint32_t active_count; /* tasks that have not ended */
};

/* ---- control ------------------------------------------------------------------------------------------------------ */

struct sl_control {
    struct sl__bell bell;
    _Atomic uint32_t drain;
    _Atomic uint32_t cancel;
    _Atomic(struct sl__bell *) follower; /* of whoever keeps a call that waits for its turn */
    _Atomic uint32_t ringing;            /* threads that may be about to ring it */
};

/* ---- report helpers ------------------------------------------------------------------------------------------------ */

#define SL__LATENCY_SUB 16
#define SL__LATENCY_BUCKETS (64 * SL__LATENCY_SUB)
#define SL__HOT_COUNTERS 64

struct sl__hot_key {
    uint64_t hash;
    uint64_t count; /* items with this key, and those that it inherited */
    uint64_t inherited;
    char text[64];
};

struct sl__latency {
    uint64_t count, max_ns;
    uint32_t buckets[SL__LATENCY_BUCKETS];
};

void sl__latency_add(struct sl__latency *latency, uint64_t ns);
uint64_t sl__latency_at(const struct sl__latency *latency, double quantile);

/* ---- the run -------------------------------------------------------------------------------------------------------- */

enum sl__ending {
    SL__RUNNING = 0,
    SL__DRAINING = 1,  /* source is over, or drained: finish everything that was pulled */
    SL__STOPPING = 2,  /* halted, or source failed: finish what flies, cancel the rest */
    SL__CANCELLING = 3 /* kill what flies, cancel everything */
};

struct sl__pending { /* an outcome that waits for its turn: ring indexed by sequence */
    struct sl__batch *batch;
    uint32_t index;
};

struct sl__run {
    struct sl_pool *pool; /* NULL: executor */
    const struct sl__telemetry *telemetry;
    struct sl_executor *executor;
    struct sl_dispatch_options options;
    struct sl_source source;
    const struct sl__sink *sink; /* to be flushed before a wait, and for rows; or NULL */
    bool wants_rows;             /* it does */
    bool is_stream;
    struct sl_results *results; /* not NULL: a call. One batch, collected whole instead of item by item */

    enum sl__ending ending;
    bool source_over;
    struct sl_error end_error; /* what the run returns at the end */
    struct sl_report *report;
    struct sl_report own_report;

    struct sl__session_use use; /* with a pool: whose state the batches work on */
    uint8_t own_head[SL__RUN_HEAD_MAX];
    uint8_t *head; /* that, or on the heap */
    uint32_t head_size;
    uint32_t head_moved; /* use.moved, as the head says */

    /* intake */
    struct sl_item held;
    struct sl_placement held_placement;
    bool has_held;
    struct sl__batch *open;          /* unkeyed: filling, on the heap or in open_seat's lane */
    struct sl__seat *open_seat;      /* not NULL: `open` is encoded into its lane */
    struct sl__list buckets;         /* keyed: filling batches, oldest first */
    struct sl__batch **bucket_table; /* open addressing by key; NULL until the first key */
    uint32_t bucket_table_size;
    uint32_t bucket_items;
    uint64_t bytes_in_use;
    uint64_t next_sequence;
    struct sl__hot_key *hot; /* SL__HOT_COUNTERS, sorted by nothing */
    bool source_dry;         /* it said again, and nothing has rung since */
    bool source_slow;        /* the last turn was over before it had given a batch */

    /* flying */
    struct sl__list waiting; /* in the order in which they should fly; the delayed ones too */
    struct sl__seat *seats;
    uint32_t seat_capacity; /* grows with the pool */
    uint32_t pool_capacity; /* the pool's, in this turn */
    uint32_t key_capacity;  /* the pool's when the run began: what keys are spread over */
    bool resized;           /* the pool has had another capacity since */
    uint32_t held_seats;
    uint32_t flying_count;    /* batches */
    uint64_t send_count;      /* of them so far */
    struct sl__list boxes;    /* executor: tasks that fly */
    struct sl__list finished; /* executor: tasks that ended; like boxes guarded by executor->lock */
    struct sl__link executor_link;
    struct sl__waiter waiter;
    struct sl__visit visit;    /* with a pool */
    uint64_t ask_again_ns;     /* when to ask for one more lane, as found in this turn; 0: none is wanted */
    uint64_t first_acquire_ns; /* since when it has waited for a first lane; 0: does not */
    uint64_t batch_ns;         /* moving average of the time between replies of one seat */
    uint32_t processor_count;
    struct sl__lane **wait_lanes;

    /* order */
    struct sl__pending *pending; /* preserve */
    size_t pending_size;         /* a power of two */
    uint64_t deliver_sequence;   /* next to be given out */
    bool order_lost;             /* no memory for the ring: as completed from here on */
    uint64_t lost_sequences;     /* items that were counted without an outcome, for lack of memory */
    struct sl__list done;        /* batches with outcomes; as completed: oldest first */
    uint32_t done_count;
    bool turn_due;               /* a batch is out: one is taken in before the next */
    struct sl__batch *delivered; /* its last outcome was given out; freed at the next call */
    struct sl__blob *reply;      /* that the outcome given out last lies in, or NULL; the batch's */

    struct sl_error item_error; /* of the outcome given out last */
    char *text;                 /* NUL-terminated copy for its route or reason */
    size_t text_capacity;

    struct sl__list spare; /* batches for re-use */
    struct sl__bell own_bell, *bell;
    struct sl__spin spin;
    uint64_t start_ns, deadline_ns, progress_ns;
    uint64_t random;
    bool asked_progress;         /* it follows slither.progress, or would if there were memory */
    struct sl_limits limits;     /* of results */
    uint64_t ref_count;          /* refs in results, when it asked for some */
    struct sl__latency *latency; /* NULL: nobody will see the report */
};

/* engine.c */
enum sl_code sl__run_init(struct sl__run *run, struct sl_pool *pool, const struct sl_dispatch_options *options,
                          struct sl_source source, bool is_stream, struct sl_report *report, struct sl_error *error);
/* Next outcome; SL_E_END when all are out (run->end_error says how it ended). */
enum sl_code sl__run_next(struct sl__run *run, struct sl_outcome *outcome);
/* Cancels what is left, without showing it, completes the report and releases everything. */
void sl__run_finish(struct sl__run *run);
/* Writes the head anew, for a session that has moved. No request is open. False: no memory; the run ends. */
bool sl__run_renew_head(struct sl__run *run);
/* Ends the run at least as hard as `ending`; the first error stays. */
void sl__run_end(struct sl__run *run, enum sl__ending ending, const struct sl_error *error);

/* batch.c */
struct sl__batch *sl__batch_get(struct sl__run *run);             /* NULL: out of memory */
void sl__batch_put(struct sl__run *run, struct sl__batch *batch); /* releases what it owns, keeps the memory */
void sl__batch_destroy(struct sl__batch *batch);
struct sl__entry *sl__batch_add(struct sl__batch *batch); /* NULL: out of memory */
bool sl__batch_add_meta(struct sl__batch *batch, struct sl__entry *entry, struct sl_value meta);
bool sl__batch_add_buffers(struct sl__batch *batch, struct sl_buffer *const *buffers, uint32_t count);
/* Room for `size` bytes of an item at a multiple of 8 in `data`. */
uint8_t *sl__batch_extend(struct sl__batch *batch, size_t size, uint64_t *offset);
/* Copies the entry `index` of `from`, whose bytes start at `base`, to the end of `to`. */
bool sl__batch_copy_entry(struct sl__batch *to, const struct sl__batch *from, uint32_t index, const uint8_t *base);
/* Makes `data` a copy of the items that lie at `base`. */
bool sl__batch_spill(struct sl__batch *batch, const uint8_t *base);
void sl__batch_set_error(struct sl__batch *batch, const struct sl_error *error);

/* events.c: what handlers of the runtime's events are told of a batch. */
static inline const char *sl__run_label(const struct sl__run *run) {
    return run->options.label != NULL ? run->options.label : run->options.function;
}
/* It flies now. `lease`: where; NULL: in the executor. Only where somebody listens. */
void sl__batch_tell_start(struct sl__run *run, struct sl__batch *batch, const struct sl__lease *lease);
/* Its results are settled, and still there. Only when it was told that it flies, as the next. */
void sl__batch_tell_stop(struct sl__run *run, struct sl__batch *batch);
/* It does not fly any more; `outcome`: "failed", "requeued", "cancelled". */
void sl__batch_tell_exception(struct sl__run *run, struct sl__batch *batch, enum sl_code code, const char *outcome);

/* intake.c */
/* Pulls and places items until nothing more can be taken now. True: it stopped before that, for others to have their turn. */
bool sl__run_intake(struct sl__run *run, uint64_t now);
/* When a filling batch must go out although it is not full; 0: never. */
uint64_t sl__run_intake_deadline(const struct sl__run *run);
/* Everything that was pulled and does not fly yet is cancelled with run->end_error. */
void sl__run_cancel_unsent(struct sl__run *run);

/* seats.c */
/* Follows a pool that has grown. Between turns only: seats move. */
void sl__run_follow_pool(struct sl__run *run);
/* A seat that can take one more batch, leasing a lane if that is better; NULL: none now. */
struct sl__seat *sl__run_choose_seat(struct sl__run *run, uint32_t worker, uint64_t now);
/* Encodes the head into the seat's lane, so that items can follow. */
enum sl_code sl__seat_open(struct sl__run *run, struct sl__seat *seat, struct sl_error *error);
/* closed: the worker is gone or takes nothing now. On failure the request is still open, for its items to be moved away. */
enum sl_code sl__seat_commit(struct sl__run *run, struct sl__seat *seat, struct sl__batch *batch,
                             struct sl_error *error);
/* Sends a batch whose items are on the heap. */
enum sl_code sl__seat_send(struct sl__run *run, struct sl__seat *seat, struct sl__batch *batch, struct sl_error *error);
/* The filling batch leaves its lane for the heap. */
void sl__seat_spill_open(struct sl__run *run, bool lane_lives);
/* Sends what waits, as far as it can. */
void sl__run_send_waiting(struct sl__run *run, uint64_t now);
void sl__run_harvest(struct sl__run *run, uint64_t now);
/* Kills the workers of all seats that have something flying; their batches are cancelled. */
void sl__run_abandon(struct sl__run *run);
/* The filling batch leaves its lane when nothing flies there. */
void sl__run_release_open(struct sl__run *run);
/* Whether there was any. */
bool sl__run_release_idle(struct sl__run *run);
uint64_t sl__run_seat_deadline(struct sl__run *run);
bool sl__run_key_flies(struct sl__run *run, uint64_t key);

/* tasks.c: the same through an executor */
/* again: the executor has no room now. */
enum sl_code sl__task_send(struct sl__run *run, struct sl__batch *batch, struct sl_error *error);
bool sl__task_room(const struct sl__run *run);
void sl__task_harvest(struct sl__run *run, uint64_t now);
void sl__task_abandon(struct sl__run *run);
uint64_t sl__task_deadline(struct sl__run *run);
bool sl__task_key_flies(struct sl__run *run, uint64_t key);
void sl__task_attach(struct sl__run *run);
void sl__task_detach(struct sl__run *run);

/* settle.c */
/* A reply with code ok: `lease`, whose it is, is NULL for an executor's; `base` is where the request's items lie. Consumes the blob. */
void sl__settle_reply(struct sl__run *run, struct sl__batch *batch, const struct sl__lease *lease,
                      struct sl__blob *blob, uint32_t item_count, const uint8_t *base, uint64_t now);
/* The batch failed with `error`; `base` as above, or NULL when the items are in batch->data. */
void sl__settle_failure(struct sl__run *run, struct sl__batch *batch, const struct sl_error *error, const uint8_t *base,
                        uint64_t now);
/* A batch that could not be handed over; it leaves the list of those that wait. */
void sl__settle_unsent(struct sl__run *run, struct sl__batch *batch, const struct sl_error *error, uint64_t now);
/* All items end as `status` with `error`. */
void sl__settle_all(struct sl__run *run, struct sl__batch *batch, enum sl_status status, const struct sl_error *error);
/* The batch goes back to the front of the queue without blame. */
void sl__settle_requeue(struct sl__run *run, struct sl__batch *batch, const struct sl_error *death, const uint8_t *base,
                        uint64_t now);
/* One item that never got into a batch. */
void sl__settle_single(struct sl__run *run, const struct sl_item *item, enum sl_status status,
                       const struct sl_error *error);
/* Fills `error` from an error map of a worker. */
void sl__settle_mark_error(const struct sl__run *run, const struct sl_mark *mark, struct sl_error *error);
void sl__settle_read_error(const struct sl__run *run, struct sl_value map, enum sl_code code, struct sl_error *error);

/* refs.c */
/* Counts the refs in the results of a batch that asked for some, which were validated. False: one of them is not the worker's to give; bad_result. */
bool sl__refs_check(struct sl__run *run, const struct sl__batch *batch, const struct sl__lease *lease,
                    struct sl_error *error);

/* order.c */
/* Its outcomes are ready. */
void sl__order_done(struct sl__run *run, struct sl__batch *batch);
bool sl__order_next(struct sl__run *run, struct sl_outcome *outcome);
/* The outcome given out last is not looked at any more: its batch, run->delivered, goes. */
void sl__order_release(struct sl__run *run);
/* Gives a batch to the sink whose outcomes are a row. False: none is due. */
bool sl__order_give_row(struct sl__run *run);
/* Whether one of these has something. */
bool sl__order_ready(struct sl__run *run);

/* report.c */
/* `final`: false when the items are tried again. */
void sl__report_add_error(struct sl__run *run, const struct sl__batch *batch, const struct sl_error *error, bool final);
void sl__report_add_item_error(struct sl__run *run, const struct sl__entry *entry, const struct sl_error *error,
                               bool final);
void sl__report_complete(struct sl__run *run);
void sl__run_count_key(struct sl__run *run, uint64_t hash, struct sl_value key);

#endif
