/* SPDX-License-Identifier: MIT */
/*
 * Seats: leased lanes and the batches that fly in them.
 *
 * A run leases lanes as it needs them and prefers an idle lane to a second batch behind a running one. Once it has all that it
 * can get, it keeps the next batches in the ring of each, so that a worker never waits for this thread. While other
 * runs wait for a lane it lets its seats run dry and gives them back after a few batches.
 *
 * Short batches are different when the processors are taken. The worker that is woken for one then gets this thread's own, finishes, and sleeps again,
 * while the others run out of batches, because nobody sends any. So they go where some run already, as long as their turn comes soon.
 *
 * A worker that is being replaced, or of which there are too many, asks for its lease: its seat takes no further batch and is given back when it
 * has run dry. Keys are spread over the workers that there could be when the run began, whatever becomes of the pool later; what
 * is meant for a worker that a smaller pool does not have goes to another, once nothing of its key flies elsewhere.
 *
 * Blame: of the batches in a dead worker's lane the oldest is blamed if the worker had begun it; the others were only
 * queued, and are sent again as if nothing had happened. So is one whose timeout passed before its worker had begun it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"

#define YIELD_BATCHES 4 /* a seat is kept for at least so many batches */
#define DEPTH_SHORT 4   /* batches in one lane when they are short, */
#define DEPTH_LONG 2    /* and when they are not: one runs, one is ready */
#define SHORT_BATCH_NS 500000
#define SOON_NS 250000       /* behind others, a batch whose turn comes within about this time needs no worker more */
#define ASK_AGAIN_NS 5000000 /* how soon a run that has lanes asks for one more */

static uint32_t depth(const struct sl__run *run) {
    if (run->options.max_in_flight <= run->pool_capacity) {
        return 1;
    }
    uint32_t share = (run->options.max_in_flight + run->pool_capacity - 1) / run->pool_capacity;
    uint32_t bound = run->batch_ns < SHORT_BATCH_NS ? DEPTH_SHORT : DEPTH_LONG;
    return SL_MIN(share, bound);
}

void sl__run_follow_pool(struct sl__run *run) {
    uint32_t capacity = run->pool != NULL ? sl__pool_capacity(run->pool) : run->pool_capacity;
    if (capacity == run->pool_capacity) {
        return;
    }
    run->resized = true;
    run->pool_capacity = capacity;
    if (capacity <= run->seat_capacity) {
        return; /* the leases of workers that are too many are asked for one by one */
    }
    size_t open = run->open_seat != NULL ? (size_t)(run->open_seat - run->seats) : 0;
    struct sl__lane **wait_lanes = realloc(run->wait_lanes, capacity * sizeof *run->wait_lanes);
    run->wait_lanes = wait_lanes != NULL ? wait_lanes : run->wait_lanes;
    struct sl__seat *seats = wait_lanes != NULL ? realloc(run->seats, capacity * sizeof *run->seats) : NULL;
    if (seats == NULL) {
        return; /* it goes on with as many as it had */
    }
    memset(seats + run->seat_capacity, 0, (capacity - run->seat_capacity) * sizeof *seats);
    run->seats = seats;
    run->open_seat = run->open_seat != NULL ? seats + open : NULL;
    run->seat_capacity = capacity;
}

/* As sl__pool_place_of, but the same all through a turn. */
static uint32_t place_of(const struct sl__run *run, uint32_t worker) {
    return worker == SL__ANY_WORKER || worker < run->pool_capacity ? worker : worker % run->pool_capacity;
}

static bool retires(const struct sl__seat *seat) {
    return atomic_load_explicit(&seat->lease->retire, memory_order_relaxed) != 0;
}

static bool yields(const struct sl__run *run, const struct sl__seat *seat) {
    return seat->batches >= YIELD_BATCHES && sl__pool_contended_beside(run->pool, &run->waiter);
}

/* ---- sessions ------------------------------------------------------------------------------------------------------- */

static bool in_session(const struct sl__run *run) {
    return run->use.session != NULL;
}

/* A session that is not spread has one worker for all batches. */
static bool is_pinned(const struct sl__run *run) {
    return in_session(run) && run->use.affinity != SL_AFFINITY_SPREAD;
}

static void stop(struct sl__run *run, const struct sl_error *error) {
    sl__pool_forget_waiter(run->pool, &run->waiter);
    sl__run_end(run, SL__STOPPING, error);
}

/* Its worker cannot be had at once. True: that ends the run. */
static bool fails_fast(struct sl__run *run, uint32_t worker) {
    if (run->use.affinity != SL_AFFINITY_STRICT_FAIL_FAST || !in_session(run) || run->held_seats > 0) {
        return false;
    }
    struct sl_error error = SL_ERROR_INIT;
    if (worker == SL__ANY_WORKER) {
        (void)sl_error_set(&error, SL_E_WORKER_BUSY,
                           "session %llu is to fail fast, and no worker is idle; try again, or use the affinity "
                           "strict_queue",
                           (unsigned long long)run->use.id);
    } else {
        (void)sl_error_set(&error, SL_E_WORKER_BUSY,
                           "session %llu is to fail fast, and worker %u, which it runs on, is busy; try again, or use "
                           "the affinity strict_queue",
                           (unsigned long long)run->use.id, worker);
        error.worker = worker;
    }
    stop(run, &error);
    sl_error_finish(&error);
    return true;
}

/* Where the session's next batch goes, if it does. False: nowhere now. */
static bool follow_session(struct sl__run *run, uint32_t *worker) {
    uint32_t place, preferred;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__session_place(&run->use, &place, &preferred, &error);
    if (code == SL_E_AGAIN) {
        (void)fails_fast(run, place);
    } else if (code != SL_OK) {
        stop(run, &error);
    } else if (is_pinned(run)) {
        *worker = place;
        run->waiter.preferred = preferred == SL__ANY_WORKER ? 0 : preferred + 1;
    }
    sl_error_finish(&error);
    return code == SL_OK;
}

/* False: the lane is not for this session, and was given back. */
static bool sit(struct sl__run *run, struct sl__lease *lease, bool *staked) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__session_sit(&run->use, lease, staked, &error);
    if (code == SL_OK && !sl__run_renew_head(run)) {
        sl__session_rise(&run->use, lease, false);
        code = SL_E_OUT_OF_MEMORY;
    } else if (code == SL_E_AGAIN) {
        (void)fails_fast(run, lease->worker);
    } else if (code != SL_OK) {
        stop(run, &error);
    }
    sl_error_finish(&error);
    if (code != SL_OK) {
        sl__pool_release(run->pool, lease, 0);
    }
    return code == SL_OK;
}

static struct sl__seat *lease_another(struct sl__run *run, uint32_t worker, uint64_t now) {
    struct sl__lease *lease = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__pool_acquire(run->pool, &run->waiter, worker, &lease, &error);
    if (code == SL_E_AGAIN && fails_fast(run, worker)) {
        return NULL;
    }
    if (code == SL_E_AGAIN) {
        if (run->flying_count > 0) {
            /* It need not stand before those who have nothing. But what flies may fly for long: it asks again before. */
            sl__pool_forget_waiter(run->pool, &run->waiter);
            run->ask_again_ns = now + ASK_AGAIN_NS;
        } else if (run->first_acquire_ns == 0) {
            run->first_acquire_ns = now;
        }
    } else if (code != SL_OK && run->open_seat != NULL) {
        run->ask_again_ns = now + ASK_AGAIN_NS; /* there is a lane, if not one for this batch */
    } else if (code != SL_OK && run->flying_count == 0) {
        sl__run_end(run, SL__STOPPING, &error); /* what flies would have asked again when it is back */
    }
    sl_error_finish(&error);
    if (code != SL_OK) {
        return NULL;
    }
    bool staked = false;
    if (in_session(run) && !sit(run, lease, &staked)) {
        return NULL;
    }
    run->first_acquire_ns = 0;
    struct sl__seat *seat = run->seats;
    while (seat->lease != NULL) {
        seat++;
    }
    SL_ASSERT(seat < run->seats + run->seat_capacity);
    memset(seat, 0, sizeof *seat);
    seat->lease = lease;
    seat->staked = staked;
    seat->stale_before = sl__lane_stale_count(lease->lane);
    run->held_seats++;
    if (worker != SL__ANY_WORKER && lease->worker != worker) {
        run->resized = true; /* in this turn */
    }
    return seat;
}

/* Whether the turn of one batch more comes soon, behind those that fly there. */
static bool is_soon(const struct sl__run *run, const struct sl__seat *seat, uint64_t now) {
    return seat->count > 0 && run->batch_ns > 0 && seat->count * run->batch_ns < SOON_NS &&
           now < seat->began_ns + SOON_NS;
}

struct sl__seat *sl__run_choose_seat(struct sl__run *run, uint32_t worker, uint64_t now) {
    struct sl__seat *best = NULL, *fewest = NULL,
                    *most = NULL; /* of those where it is soon: with the fewest, and most batches */
    uint32_t running = 0;
    bool holds_worker = false;
    uint32_t bound = depth(run);
    if (in_session(run) && !follow_session(run, &worker)) {
        return NULL;
    }
    worker = place_of(run, worker);
    for (uint32_t i = 0; i < run->seat_capacity; i++) {
        struct sl__seat *seat = &run->seats[i];
        if (seat->lease == NULL || (worker != SL__ANY_WORKER && seat->lease->worker != worker)) {
            continue;
        }
        holds_worker = true;
        running += seat->count > 0;
        if (seat->condemned || seat == run->open_seat || seat->count >= bound || retires(seat) || yields(run, seat) ||
            atomic_load_explicit(&seat->lease->lost, memory_order_acquire) != 0) {
            continue;
        }
        if (best == NULL || seat->count < best->count ||
            (seat->count == best->count && seat->last_send < best->last_send)) {
            best = seat;
        }
        if (is_soon(run, seat, now)) {
            fewest = fewest == NULL || seat->count < fewest->count ? seat : fewest;
            most = most == NULL || seat->count > most->count ? seat : most;
        }
    }
    if (most != NULL && running + 1 >= run->processor_count) { /* this thread needs one, too */
        return running < run->processor_count ? fewest : most; /* of too many that run, one may fall asleep */
    }
    if (best != NULL && best->count == 0) {
        return best;
    }
    if (run->held_seats < run->seat_capacity && (worker == SL__ANY_WORKER || !holds_worker)) {
        struct sl__seat *another = lease_another(run, worker, now);
        if (another != NULL) {
            return another;
        }
    }
    return best;
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

enum sl_code sl__seat_open(struct sl__run *run, struct sl__seat *seat, struct sl_error *error) {
    struct sl__lane *lane = seat->lease->lane;
    uint8_t *memory;
    uint64_t offset;
    enum sl_code code = sl__lane_open(lane, error);
    if (code != SL_OK) {
        return code;
    }
    code = sl__lane_extend(lane, run->head_size, &memory, &offset, error);
    if (code != SL_OK) {
        sl__lane_abort(lane);
        return code;
    }
    memcpy(memory, run->head, run->head_size);
    return SL_OK;
}

enum sl_code sl__seat_commit(struct sl__run *run, struct sl__seat *seat, struct sl__batch *batch,
                             struct sl_error *error) {
    /* Not the time of the turn: the source may have blocked since, and that is not the worker's time. */
    uint64_t now = sl__clock_now_ns();
    enum sl__request_kind kind = run->options.mode == SL_CALL_EACH ? SL__REQUEST_EACH : SL__REQUEST_BATCH;
    enum sl_code code = sl__lane_announce(seat->lease->lane, error);
    if (code != SL_OK) {
        if (code == SL_E_LIMIT) {
            code = error->code = SL_E_CLOSED; /* the socket takes no more now: not a matter of this batch either */
        }
        return code;
    }
    code = sl__lane_commit(seat->lease->lane, kind, run->head_size, batch->count, &batch->lane_sequence, error);
    SL_ASSERT(code == SL_OK); /* only the announcement can fail */
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].attempts++;
    }
    batch->sent_ns = now;
    batch->data_size = 0;
    if (seat->count == 0) {
        seat->began_ns = now;
    }
    SL_ASSERT(seat->count < SL__LANE_SLOTS);
    seat->flying[seat->count++] = batch;
    seat->last_send = ++run->send_count;
    run->flying_count++;
    run->report->in_flight_peak = SL_MAX(run->report->in_flight_peak, run->flying_count);
    if (sl__telemetry_wants(run->telemetry, SL__TELEMETRY_DISPATCH_BATCH_START)) {
        sl__batch_tell_start(run, batch, seat->lease);
    }
    return SL_OK;
}

enum sl_code sl__seat_send(struct sl__run *run, struct sl__seat *seat, struct sl__batch *batch,
                           struct sl_error *error) {
    struct sl__lane *lane = seat->lease->lane;
    uint8_t *memory;
    uint64_t start = 0;
    enum sl_code code = sl__seat_open(run, seat, error);
    if (code != SL_OK) {
        return code;
    }
    for (uint32_t i = 0; i < batch->buffer_count && code == SL_OK; i++) {
        code = sl__lane_attach_buffer(lane, batch->buffers[i], error);
    }
    if (code == SL_OK) {
        code = sl__lane_extend(lane, batch->data_size, &memory, &start, error);
    }
    if (code != SL_OK) {
        sl__lane_abort(lane);
        return code;
    }
    memcpy(memory, batch->data, batch->data_size);
    code = sl__seat_commit(run, seat, batch, error);
    if (code != SL_OK) {
        sl__lane_abort(lane);
        return code;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].offset += start;
    }
    return code;
}

/* The filling batch leaves its lane for the heap. */
void sl__seat_spill_open(struct sl__run *run, bool lane_lives) {
    struct sl__batch *batch = run->open;
    struct sl__lane *lane = run->open_seat->lease->lane;
    bool spilled = sl__batch_spill(batch, sl__lane_open_payload(lane));
    if (lane_lives) {
        sl__lane_abort(lane);
    }
    run->open_seat = NULL;
    if (!spilled) {
        struct sl_error error = SL_ERROR_INIT;
        run->open = NULL;
        (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory to move a batch of %u items away from its lane",
                           batch->count);
        sl__settle_all(run, batch, SL_STATUS_FAILED, &error);
        sl_error_finish(&error);
    } else if (batch->count == 0) {
        run->open = NULL;
        sl__batch_put(run, batch);
    }
}

bool sl__run_key_flies(struct sl__run *run, uint64_t key) {
    if (run->pool == NULL) {
        return sl__task_key_flies(run, key);
    }
    for (uint32_t i = 0; i < run->seat_capacity; i++) {
        for (uint32_t k = 0; run->seats[i].lease != NULL && k < run->seats[i].count; k++) {
            if (run->seats[i].flying[k]->key == key) {
                return true;
            }
        }
    }
    return false;
}

/* Whether an earlier batch of the same key stands before this one and cannot go yet: order within a key is kept. */
static bool key_waits(struct sl__run *run, const struct sl__batch *batch) {
    struct sl__link *link = sl__list_first(&run->waiting);
    while (link != NULL && link != &batch->link) {
        if (SL_CONTAINER_OF(link, struct sl__batch, link)->key == batch->key) {
            return true;
        }
        link = sl__list_after(&run->waiting, link);
    }
    /* A batch that may be tried again must not be overtaken, so no other of its key flies with it; nor where there is no
     * lane that keeps the order. */
    enum sl_on_error on_error = run->options.policy.on_error;
    return (run->executor != NULL || on_error == SL_ON_ERROR_RETRY || on_error == SL_ON_ERROR_ISOLATE) &&
           sl__run_key_flies(run, batch->key);
}

/* A batch that flies where an earlier size of the pool has put it must not be overtaken. */
static bool key_flies_elsewhere(const struct sl__run *run, const struct sl__batch *batch) {
    uint32_t worker = place_of(run, batch->worker);
    for (uint32_t i = 0; i < run->seat_capacity; i++) {
        const struct sl__seat *seat = &run->seats[i];
        for (uint32_t k = 0; seat->lease != NULL && seat->lease->worker != worker && k < seat->count; k++) {
            if (seat->flying[k]->key == batch->key) {
                return true;
            }
        }
    }
    return false;
}

static enum sl_code send_one(struct sl__run *run, struct sl__batch *batch, uint64_t now, struct sl_error *error) {
    if (run->executor != NULL) {
        return sl__task_room(run) ? sl__task_send(run, batch, error) : SL_E_AGAIN;
    }
    if (run->resized && batch->key != 0 && key_flies_elsewhere(run, batch)) {
        return SL_E_AGAIN;
    }
    struct sl__seat *seat = sl__run_choose_seat(run, batch->worker, now);
    if (seat == NULL && run->open_seat != NULL && run->open_seat->count < depth(run) && !retires(run->open_seat) &&
        (batch->worker == SL__ANY_WORKER || place_of(run, batch->worker) == run->open_seat->lease->worker)) {
        seat = run->open_seat; /* a batch that is still being filled must not keep one that is ready from flying */
        sl__seat_spill_open(run, true);
    }
    return seat == NULL ? SL_E_AGAIN : sl__seat_send(run, seat, batch, error);
}

void sl__run_send_waiting(struct sl__run *run, uint64_t now) {
    struct sl__link *link = sl__list_first(&run->waiting);
    while (link != NULL && run->ending < SL__CANCELLING && run->flying_count < run->options.max_in_flight) {
        struct sl__batch *batch = SL_CONTAINER_OF(link, struct sl__batch, link);
        struct sl__link *next = sl__list_after(&run->waiting, link);
        if (batch->not_before_ns <= now && (batch->key == 0 || !key_waits(run, batch))) {
            struct sl_error error = SL_ERROR_INIT;
            enum sl_code code = send_one(run, batch, now, &error);
            if (code != SL_E_AGAIN) {
                if (code == SL_OK) {
                    sl__list_remove(&run->waiting, link);
                } else {
                    sl__settle_unsent(run, batch, &error, now);
                }
                sl_error_finish(&error);
                next = sl__list_first(&run->waiting); /* settling may have changed the list */
            } else if (batch->worker == SL__ANY_WORKER) {
                return; /* no seat for this one is no seat for any that may sit anywhere */
            }
        }
        link = next;
    }
}

/* ---- replies -------------------------------------------------------------------------------------------------------- */

static struct sl__batch *take_oldest(struct sl__run *run, struct sl__seat *seat, uint64_t now) {
    struct sl__batch *batch = seat->flying[0];
    memmove(&seat->flying[0], &seat->flying[1], (seat->count - 1) * sizeof seat->flying[0]);
    seat->count--;
    seat->batches++;
    if (seat->batches == seat->lease->due_batches) {
        sl__pool_due(run->pool, seat->lease);
    }
    seat->began_ns = now;
    run->flying_count--;
    return batch;
}

/* Takes all replies that are there. False when the worker broke the protocol. */
static bool take_replies(struct sl__run *run, struct sl__seat *seat, uint64_t now) {
    struct sl__lane *lane = seat->lease->lane;
    struct sl_error error;
    sl__error_init(&error);
    struct sl__reply reply;
    enum sl_code code = SL_E_AGAIN;
    while (seat->count > 0 && (code = sl__lane_poll(lane, &reply, &error)) == SL_OK) {
        uint64_t size, sequence;
        const uint8_t *base = sl__lane_request(lane, 0, &size, &sequence);
        uint64_t began = seat->began_ns;
        struct sl__batch *batch = take_oldest(run, seat, now);
        SL_ASSERT(reply.sequence == batch->lane_sequence);
        if (seat->lease->trial) {
            sl__pool_answered(run->pool, seat->lease);
        }
        run->batch_ns = (7 * run->batch_ns + (now - began)) / 8;
        bool state = (reply.flags & SL__REPLY_STATE) != 0;
        if (state != seat->staked) {
            seat->staked = state;
            sl__session_replied(&run->use, seat->lease, state);
        }
        sl__latency_add(run->latency, now - batch->sent_ns);
        run->report->batch_count++;
        if (reply.code == SL_OK) {
            sl__settle_reply(run, batch, seat->lease, reply.blob, reply.item_count, base, now);
        } else {
            struct sl_value map = {reply.blob != NULL ? reply.blob->data : NULL,
                                   reply.blob != NULL ? reply.blob->size : 0};
            sl__settle_read_error(run, map, reply.code, &error);
            error.worker = seat->lease->worker;
            error.generation = seat->lease->generation;
            sl__blob_unref(reply.blob);
            sl__settle_failure(run, batch, &error, base, now);
            sl_error_finish(&error);
        }
        sl__lane_retire(lane, (reply.flags & SL__REPLY_KEPT) != 0);
    }
    if (seat->count > 0 && code != SL_E_AGAIN && code != SL_OK) {
        sl__pool_kill(run->pool, seat->lease, code, error.message, false);
        seat->condemned = true;
    }
    sl_error_finish(&error);
    return !seat->condemned;
}

static void release(struct sl__run *run, struct sl__seat *seat) {
    uint64_t stale = sl__lane_stale_count(seat->lease->lane) - seat->stale_before;
    if (stale > 0) {
        run->report->stale_reply_count += stale;
        sl__pool_count_stale(run->pool, stale);
    }
    sl__session_rise(&run->use, seat->lease, seat->staked);
    sl__pool_release(run->pool, seat->lease, seat->batches);
    seat->lease = NULL;
    run->held_seats--;
}

/* Completes the certificate. `batch`: what its worker was running, or NULL. */
static void blame(struct sl__run *run, struct sl__seat *seat, const struct sl__batch *batch) {
    uint64_t ids[SL_DEATH_ITEMS];
    uint32_t count = batch != NULL ? batch->count : 0;
    for (uint32_t i = 0; i < SL_MIN(count, (uint32_t)SL_DEATH_ITEMS); i++) {
        ids[i] = batch->entries[i].id;
    }
    sl__pool_blame(run->pool, seat->lease, seat->batches, ids, count);
}

static void settle_lost(struct sl__run *run, struct sl__seat *seat, uint64_t now) {
    struct sl__lane *lane = seat->lease->lane;
    if (!seat->condemned) {
        (void)take_replies(run, seat, now); /* what it had answered before it died counts */
    }
    const struct sl_error *death = &seat->lease->death;
    uint64_t started = sl__lane_started(lane);
    uint32_t count = seat->count;
    bool shut = death->code == SL_E_CLOSED; /* killed, because the pool is to end */
    run->report->worker_death_count += count > 0 && !shut;
    if (seat == run->open_seat) {
        sl__seat_spill_open(run, false);
    }
    /* A timeout of what was never begun says something of the worker only: it had been stopped, say. */
    bool begun = count > 0 && started >= seat->flying[0]->lane_sequence;
    bool guilty = count > 0 && (begun || (seat->condemned && death->code != SL_E_WORKER_TIMEOUT));
    blame(run, seat, guilty ? seat->flying[0] : NULL);
    if (shut) {
        sl__run_end(run, SL__STOPPING, death);
    }
    /* From the youngest to the oldest, because each goes to the front of the queue. */
    for (uint32_t i = count; i-- > 0;) {
        struct sl__batch *batch = seat->flying[i];
        uint64_t size, sequence;
        const uint8_t *base = sl__lane_request(lane, i, &size, &sequence);
        bool blamed = i == 0 && guilty;
        seat->count--;
        seat->batches++;
        run->flying_count--;
        if (shut) {
            (void)sl__batch_spill(batch, base);
            sl__settle_all(run, batch, SL_STATUS_CANCELLED, death);
        } else if (blamed) {
            run->report->batch_count++;
            sl__settle_failure(run, batch, death, base, now);
        } else {
            sl__settle_requeue(run, batch, death, base, now);
        }
    }
    release(run, seat);
}

void sl__run_harvest(struct sl__run *run, uint64_t now) {
    if (run->executor != NULL) {
        sl__task_harvest(run, now);
        return;
    }
    uint64_t timeout = (uint64_t)run->options.timeout_ms * 1000000;
    for (uint32_t i = 0; i < run->seat_capacity; i++) {
        struct sl__seat *seat = &run->seats[i];
        if (seat->lease == NULL) {
            continue;
        }
        /* Before the replies are taken: those that a dead worker published are then all visible. */
        bool lost = atomic_load_explicit(&seat->lease->lost, memory_order_acquire) != 0;
        if (!lost && !seat->condemned && take_replies(run, seat, now) && seat->count > 0 && timeout != 0 &&
            now >= seat->began_ns + timeout) {
            char why[160];
            snprintf(why, sizeof why, "a batch of %u items ran %s longer than its timeout of %u ms",
                     seat->flying[0]->count, run->options.function, run->options.timeout_ms);
            sl__pool_kill(run->pool, seat->lease, SL_E_WORKER_TIMEOUT, why, false);
            seat->condemned = true;
        }
        if (lost) {
            settle_lost(run, seat, now);
        } else if (seat->count == 0 && seat != run->open_seat && !seat->condemned &&
                   (retires(seat) || yields(run, seat))) {
            release(run, seat);
        }
    }
}

void sl__run_abandon(struct sl__run *run) {
    if (run->executor != NULL) {
        sl__task_abandon(run);
        return;
    }
    for (uint32_t i = 0; i < run->seat_capacity; i++) {
        struct sl__seat *seat = &run->seats[i];
        if (seat->lease == NULL || seat->count == 0) {
            continue;
        }
        if (seat == run->open_seat) {
            sl__seat_spill_open(run, false);
        }
        sl__pool_kill(run->pool, seat->lease, SL_E_CANCELLED, "its run was cancelled", true);
        while (seat->count > 0) {
            struct sl__batch *batch = seat->flying[--seat->count];
            uint64_t size, sequence;
            run->flying_count--;
            (void)sl__batch_spill(batch, sl__lane_request(seat->lease->lane, seat->count, &size, &sequence));
            sl__settle_all(run, batch, SL_STATUS_CANCELLED, &run->end_error);
        }
        release(run, seat);
    }
}

void sl__run_release_open(struct sl__run *run) {
    if (run->open_seat != NULL && run->open_seat->count == 0) {
        sl__seat_spill_open(
            run, true); /* a batch that is not full must not keep a lane from others while its source is dry */
    }
}

bool sl__run_release_idle(struct sl__run *run) {
    bool released = false;
    for (uint32_t i = 0; run->pool != NULL && i < run->seat_capacity; i++) {
        struct sl__seat *seat = &run->seats[i];
        if (seat->lease != NULL && seat->count == 0 && seat != run->open_seat && !seat->condemned) {
            release(run, seat);
            released = true;
        }
    }
    return released;
}

uint64_t sl__run_seat_deadline(struct sl__run *run) {
    if (run->executor != NULL) {
        return sl__task_deadline(run);
    }
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; run->options.timeout_ms != 0 && i < run->seat_capacity; i++) {
        const struct sl__seat *seat = &run->seats[i];
        if (seat->lease != NULL && seat->count > 0 && !seat->condemned) {
            first = SL_MIN(first, seat->began_ns + (uint64_t)run->options.timeout_ms * 1000000);
        }
    }
    return first == UINT64_MAX ? 0 : first;
}
