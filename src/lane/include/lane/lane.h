/* SPDX-License-Identifier: MIT */
/*
 * Lane: one slot that runs one batch at a time, between one host thread and one worker thread.
 *
 * VOCABULARY
 *   segment   a sealed memory file that exactly one side writes: header, slots, payload space. A lane has two: the
 *             host writes the request segment, the worker writes the response segment. Each side maps the other's
 *             read-only; the kernel refuses anything else (F_SEAL_FUTURE_WRITE), so a worker cannot damage
 *             a request, and the host can repeat it from there after the worker has died.
 *   slot      64 bytes that describe one message: sequence, generation, where its payload lies.
 *   tail      count of slots published; it is also the doorbell: the futex word on which the other side sleeps.
 *   payload   a head value, then items framed as in wire/batch.h. It lies in the segment when it fits, else in a
 *             memory file of its own (struct sl__block on the host, struct sl__mapping in the worker).
 *   lane socket  a socketpair (SOCK_SEQPACKET) beside the segments, only for passing memory files.
 *
 * INVARIANTS
 *   1. Each word in shared memory has exactly one writer: the owner of the segment that it lies in.
 *   2. What is read from the other side is copied once, then checked, then used; every index and length is checked
 *      against this side's own copy of the sizes, never against what the other side says that they are.
 *   3. Replies come in the order of the requests. One whose generation or sequence is not the oldest outstanding is dropped and
 *      counted when it is older, and a protocol error when it is newer.
 *   4. A side that goes to sleep sets `waiting` in its own segment, then a full fence, then looks at the tail once more; one that
 *      publishes stores the tail, then a full fence, then looks at the other's `waiting`. One of the two sees the other.
 *
 * THREADS. The host end is used by whoever holds the lease of the lane (pool/lease.h), one thread at a time; the
 * worker end by one thread. sl__bell_ring may be called from anywhere.
 */
#ifndef SLITHER_LANE_LANE_H
#define SLITHER_LANE_LANE_H

#include <stdatomic.h>

#include <slither/error.h>
#include <slither/value.h>

#define SL__LANE_SLOTS 8        /* messages outstanding each way, at most; a power of two */
#define SL__LANE_ATTACH_MAX 128 /* memory files that one request may carry */
#define SL__LANE_INLINE_MAX \
    (256u << 10) /* payloads above this always travel in a memory file, so that arrays in them can be seen in place */

enum sl__request_kind {
    SL__REQUEST_BATCH = 1, /* function(items) -> list of results */
    SL__REQUEST_EACH = 2   /* [function(item) for item in items], errors per item */
};

enum sl__reply_flag {
    /* Python still holds a view into the request's memory file: the host must not use that file again */
    SL__REPLY_KEPT = 1,
    /* after this batch its session has state in this worker: names, refs or hooks */
    SL__REPLY_STATE = 2
};

struct sl__lane_config {
    uint64_t segment_bytes;     /* payload space of each segment; rounded up to a page */
    uint64_t payload_bytes_max; /* of one message */
    uint64_t cache_bytes;       /* host: memory files kept for the next large payload of this lane */
    struct sl_limits limits;    /* of values that come from the other side */
    uint32_t lane;              /* index, for messages */
    uint32_t generation;
};

struct sl__lane;

/* ---- a doorbell of the host: what a thread sleeps on besides its lanes ---------------------------------------- */

struct sl__bell {
    _Atomic uint32_t value;
    _Atomic uint32_t waiting;
};

void sl__bell_init(struct sl__bell *bell);
/* Wakes the thread that waits with this bell, now or at its next wait. Any thread. */
void sl__bell_ring(struct sl__bell *bell);

/* Adaptive spin: how long a wait looks at memory before it sleeps. One per waiting thread or per run. */
struct sl__spin {
    uint32_t budget_ns;
    uint32_t misses;
};
/* Asks the system whether there is a second processor. */
void sl__spin_init(struct sl__spin *spin);
/* For who knows the answer: two calls to the system are much beside one small batch. */
void sl__spin_init_as(struct sl__spin *spin, bool alone);
/* Spinning: `while (sl__spin_goes_on(&turn)) if (event) hit`. */
struct sl__spin_turn {
    uint64_t until_ns;
    uint32_t passes;
};
/* False when this wait is not to spin at all. */
bool sl__spin_begin(struct sl__spin *spin, struct sl__spin_turn *turn);
bool sl__spin_goes_on(struct sl__spin_turn *turn);
/* Says how it ended: the budget adapts. */
void sl__spin_end(struct sl__spin *spin, bool hit);

/* ---- bytes that a reply owns ---------------------------------------------------------------------------------- */

/* Private copy of a reply's payload, or a mapping of a sealed memory file that nobody can change any more. Reference-counted. */
struct sl__blob {
    _Atomic uint32_t refs;
    const uint8_t *data;
    size_t size;
    size_t mapped_size; /* 0: data lies behind this struct on the heap */
};
/* On the heap, for the caller to fill; NULL: out of memory. */
struct sl__blob *sl__blob_create(size_t size);
struct sl__blob *sl__blob_ref(struct sl__blob *blob);
void sl__blob_unref(struct sl__blob *blob);

/* ---- host end ------------------------------------------------------------------------------------------------- */

/* Makes segments and sockets, sealed. */
enum sl_code sl__lane_create(const struct sl__lane_config *config, struct sl__lane **lane, struct sl_error *error);
void sl__lane_destroy(struct sl__lane *lane); /* NULL is fine */

/* The three descriptors for the worker: request segment, response segment, lane socket. Still owned by the lane. */
#define SL__LANE_FDS 3
void sl__lane_worker_fds(const struct sl__lane *lane, int fds[SL__LANE_FDS]);
/* Closes the host's copies of the descriptors that only the worker needs. Call it once they have been sent. */
void sl__lane_close_worker_fds(struct sl__lane *lane);

/* Requests that have been committed and not retired. At most SL__LANE_SLOTS. */
uint32_t sl__lane_outstanding(const struct sl__lane *lane);

/*
 * Opens the next request. limit_exceeded when SL__LANE_SLOTS are outstanding. One request is open at a time.
 */
enum sl_code sl__lane_open(struct sl__lane *lane, struct sl_error *error);
/*
 * `size` bytes more of the open request's payload, starting at a multiple of 8 (the gap is filled with the wire's padding byte); `*offset`
 * is where they start, from the payload's start. Moves the payload to a memory file when the segment has no room; earlier
 * pointers are then invalid, offsets stay. limit_exceeded past payload_bytes_max, out_of_memory, system.
 */
enum sl_code sl__lane_extend(struct sl__lane *lane, size_t size, uint8_t **memory, uint64_t *offset,
                             struct sl_error *error);
/* Cuts the open request's payload back to `size` bytes (to take back the last item). */
void sl__lane_truncate(struct sl__lane *lane, uint64_t size);
/*
 * Makes a shared buffer known to the worker before this request is read. Cheap when it is known already. limit_exceeded past
 * SL__LANE_ATTACH_MAX - 1 buffers that the worker has not seen before; the request stays open.
 */
enum sl_code sl__lane_attach_buffer(struct sl__lane *lane, struct sl_buffer *buffer, struct sl_error *error);
/*
 * Tells the worker of the memory files that the open request needs. sl__lane_commit does that too; done before, a failure
 * leaves the request open, for the caller to copy the payload and then to abort. Errors as there. Nothing may be added after it.
 */
enum sl_code sl__lane_announce(struct sl__lane *lane, struct sl_error *error);
/*
 * Publishes the open request. head_size: bytes of the head at the payload's start; items start at the next multiple of 8. On failure the
 * request is dropped and the lane is as before it was opened: limit_exceeded (the lane socket is full: try again after an earlier
 * request was answered), closed (the worker is gone), system, out_of_memory.
 */
enum sl_code sl__lane_commit(struct sl__lane *lane, enum sl__request_kind kind, uint32_t head_size, uint32_t item_count,
                             uint64_t *sequence, struct sl_error *error);
/* Start of the open request's payload; the next sl__lane_extend may move it. */
const uint8_t *sl__lane_open_payload(const struct sl__lane *lane);
/* Drops the open request. */
void sl__lane_abort(struct sl__lane *lane);

/* Start of the payload of an outstanding request (0 = oldest), valid until it is retired. The worker cannot have changed it. */
const uint8_t *sl__lane_request(const struct sl__lane *lane, uint32_t index, uint64_t *size, uint64_t *sequence);
/* Sequence of the request that the worker says it began last; used for blame only. 0: none. */
uint64_t sl__lane_started(const struct sl__lane *lane);

struct sl__reply {
    uint64_t sequence;
    enum sl_code
        code;       /* SL_OK: item_count values follow one another in `blob`; else one map that describes the error */
    uint32_t flags; /* enum sl__reply_flag */
    uint32_t item_count;
    struct sl__blob *blob; /* owned by the caller; NULL when the reply has no payload */
};
/*
 * Takes the next reply of the oldest outstanding request that has none. again: none yet (`error` is left alone). protocol: the
 * worker wrote what it must not. After any error but again the lane is to be given up. What is checked: code ok has exactly as many
 * items as its request, another code at most one. The payload is copied but its values are NOT checked yet: walk it with sl__batch_next.
 * The request stays readable until sl__lane_retire.
 */
enum sl_code sl__lane_poll(struct sl__lane *lane, struct sl__reply *reply, struct sl_error *error);
/*
 * Gives back the payload space of the oldest outstanding request. `kept`: its reply had SL__REPLY_KEPT, or none came. Without a reply only
 * when the worker is dead or killed: it may still be reading.
 */
void sl__lane_retire(struct sl__lane *lane, bool kept);
/* Late or repeated replies that were dropped. */
uint64_t sl__lane_stale_count(const struct sl__lane *lane);

/*
 * Blocks until one of the lanes has a slot that was not taken yet, or the bell's value is not `bell_seen`, or deadline_ns
 * (CLOCK_MONOTONIC; 0: none) has passed. Spurious returns are allowed. `lane_count` 0..1024: beyond what the kernel can wait
 * on at once (127 lanes) it wakes every millisecond. `may_spin` false: sleep at once.
 */
void sl__lanes_wait(struct sl__lane *const *lanes, size_t lane_count, struct sl__bell *bell, uint32_t bell_seen,
                    uint64_t deadline_ns, struct sl__spin *spin, bool may_spin);

/* ---- worker end (used by the Python extension) ------------------------------------------------------------------ */

/* A memory file, mapped read-only. Reference-counted: a Python view holds one, so it never dangles. */
struct sl__mapping {
    _Atomic uint32_t refs;
    uint64_t id;
    const uint8_t *data;
    size_t size;
};
struct sl__mapping *sl__mapping_ref(struct sl__mapping *mapping);
void sl__mapping_unref(struct sl__mapping *mapping);

/* Takes over the three descriptors, also on failure. Checks seals, sizes, magic and layout: version_mismatch, protocol, system. */
enum sl_code sl__lane_attach(const int fds[SL__LANE_FDS], const struct sl__lane_config *config, struct sl__lane **lane,
                             struct sl_error *error);

struct sl__request {
    uint64_t sequence;
    enum sl__request_kind kind;
    uint32_t head_size;
    uint32_t item_count;
    const uint8_t *data; /* payload; read-only memory */
    size_t size;
    struct sl__mapping *
        mapping; /* not NULL: the payload lies in this file, arrays in it may be seen in place; else copy them. Borrowed until sl__lane_reply_commit */
};
/*
 * Next request; again: none (`error` is left alone). Marks it as started. Receives the memory files that it came with. The one before must
 * have been answered. unsupported: in a forked child of the worker. Other errors: the worker should end.
 */
enum sl_code sl__lane_take(struct sl__lane *lane, struct sl__request *request, struct sl_error *error);
/* A shared buffer that the host attached; NULL when unknown. Borrowed. */
struct sl__mapping *sl__lane_buffer(struct sl__lane *lane, uint64_t id);
/* Blocks until there may be a request or *stop is not 0. Spins shortly first. The GIL must not be held. */
void sl__lane_wait_request(struct sl__lane *lane, const _Atomic uint32_t *stop);
/* Makes sl__lane_wait_request return. Any thread. */
void sl__lane_interrupt(struct sl__lane *lane);

/*
 * Opens the reply to the request that was taken last: `*memory` of `*capacity` bytes in the response segment, 8-aligned.
 * When that is too small call sl__lane_reply_grow: it moves the first `used` bytes to a memory file with room for
 * at least `needed` bytes. limit_exceeded past payload_bytes_max.
 */
enum sl_code sl__lane_reply_open(struct sl__lane *lane, uint8_t **memory, size_t *capacity, struct sl_error *error);
enum sl_code sl__lane_reply_grow(struct sl__lane *lane, size_t used, size_t needed, uint8_t **memory, size_t *capacity,
                                 struct sl_error *error);
/*
 * Publishes the reply of `size` bytes (0 needs no open). item_count: as sl__lane_poll checks it. `flags`: SL__REPLY_STATE or 0; SL__REPLY_KEPT is
 * set here, when somebody else still holds the request's mapping, which is forgotten.
 */
enum sl_code sl__lane_reply_commit(struct sl__lane *lane, enum sl_code code, uint32_t item_count, size_t size,
                                   uint32_t flags, struct sl_error *error);

#endif
