/* SPDX-License-Identifier: MIT */
/*
 * Doorbell: how one side learns that the other has published something.
 *
 * PUBLISHING is a release store of `tail` that the other side reads with acquire: the slot (relaxed words) and the payload (plain
 * bytes) that were written before are visible to whoever sees the new tail. In the other direction `head` is stored with release
 * after the last read of the payload and read with acquire before its space is written again.
 *
 * SLEEPING must not lose a wake-up. Publisher P and sleeper S, each writing only its own segment:
 *
 *   P1  tail := n      (release)                 S1  waiting := 1
 *   P2  full fence                               S2  full fence
 *   P3  waiting?       -> wake on tail           S3  tail != n-1?  -> do not sleep
 *                                                S4  futex_wait(tail, n-1)
 *
 * The fences of P2 and S2 are in one total order. When P2 comes first, S3 sees P1 and does not sleep. When S2 comes first, P3
 * sees S1 and wakes; if that happens before S4, the kernel compares the word under its own lock with n-1, finds n and returns at
 * once. So one of them always notices. It is the store-buffer pattern, for which acquire and release are not enough: without
 * either fence both loads may be answered before the stores are seen, and S sleeps on a bell that has been rung.
 *
 * A stale `waiting` = 1 costs the publisher a system call; it is never wrong. S5 (waiting := 0) needs no order.
 *
 * A BELL is the same protocol inside one process, with a counter instead of the tail.
 */
#include "doorbell.h"

#include "base/assert.h"
#include "end.h"
#include "sys/clock.h"
#include "sys/futex.h"
#include "sys/processors.h"

#define SPIN_START_NS 20000u
#define SPIN_MAX_NS 50000u
#define SPIN_MIN_NS 2000u     /* below this it does not spin at all */
#define SPIN_PROBE_EVERY 32u  /* waits without spinning, after which it tries again */
#define SPIN_NEVER UINT32_MAX /* in `misses`: one processor only */
#define SPIN_PASSES 16u       /* looks at memory between two looks at the clock */
#define POLL_NS 1000000u      /* with more lanes than the kernel can wait on */
#define LANES_WATCHED (SL__FUTEX_WORDS_MAX - 1)

void sl__doorbell_ring(const struct sl__segment *own, const struct sl__segment *peer, uint32_t tail) {
    atomic_store_explicit(&own->memory->header.tail, tail, memory_order_release); /* P1 */
    atomic_thread_fence(memory_order_seq_cst);                                    /* P2, with S2 in sl__doorbell_arm */
    if (atomic_load_explicit(&peer->memory->header.waiting, memory_order_relaxed) != 0) {
        sl__futex_wake(&own->memory->header.tail, 1, SL__FUTEX_SHARED); /* one: a segment has one reader */
    }
}

void sl__doorbell_arm(const struct sl__segment *own) {
    atomic_store_explicit(&own->memory->header.waiting, 1, memory_order_relaxed); /* S1 */
    atomic_thread_fence(memory_order_seq_cst);                                    /* S2, with P2 in sl__doorbell_ring */
}

void sl__doorbell_disarm(const struct sl__segment *own) {
    atomic_store_explicit(&own->memory->header.waiting, 0, memory_order_relaxed);
}

/* ---- bell ------------------------------------------------------------------------------------------------------ */

void sl__bell_init(struct sl__bell *bell) {
    atomic_init(&bell->value, 0);
    atomic_init(&bell->waiting, 0);
}

void sl__bell_ring(struct sl__bell *bell) {
    atomic_fetch_add_explicit(&bell->value, 1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* with the one in sl__lanes_wait */
    if (atomic_load_explicit(&bell->waiting, memory_order_relaxed) != 0) {
        sl__futex_wake(&bell->value, UINT32_MAX, SL__FUTEX_PRIVATE);
    }
}

/* ---- spin ------------------------------------------------------------------------------------------------------ */

void sl__spin_init(struct sl__spin *spin) {
    sl__spin_init_as(spin, sl__processor_affinity() < 2);
}

void sl__spin_init_as(struct sl__spin *spin, bool alone) {
    spin->budget_ns = alone ? 0 : SPIN_START_NS;
    spin->misses = alone ? SPIN_NEVER : 0;
}

bool sl__spin_begin(struct sl__spin *spin, struct sl__spin_turn *turn) {
    if (spin->misses == SPIN_NEVER) {
        return false;
    }
    uint64_t budget_ns = spin->budget_ns;
    if (budget_ns == 0) {
        if (++spin->misses < SPIN_PROBE_EVERY) {
            return false;
        }
        spin->misses = 0;
        budget_ns = SPIN_START_NS;
    }
    turn->until_ns = sl__clock_now_ns() + budget_ns;
    turn->passes = 0;
    return true;
}

bool sl__spin_goes_on(struct sl__spin_turn *turn) {
    sl__processor_pause();
    return ++turn->passes % SPIN_PASSES != 0 || sl__clock_now_ns() < turn->until_ns;
}

void sl__spin_end(struct sl__spin *spin, bool hit) {
    if (hit) {
        uint32_t larger = spin->budget_ns + spin->budget_ns / 2;
        spin->budget_ns = larger < SPIN_START_NS ? SPIN_START_NS : SL_MIN(larger, SPIN_MAX_NS);
        spin->misses = 0;
    } else {
        spin->budget_ns = spin->budget_ns / 2 < SPIN_MIN_NS ? 0 : spin->budget_ns / 2;
    }
}

/* ---- host: waiting for many lanes -------------------------------------------------------------------------------- */

static bool any_ready(struct sl__lane *const *lanes, size_t lane_count, const struct sl__bell *bell,
                      uint32_t bell_seen) {
    for (size_t i = 0; i < lane_count; i++) {
        if (sl__doorbell_tail(&lanes[i]->peer) != lanes[i]->taken) {
            return true;
        }
    }
    return atomic_load_explicit(&bell->value, memory_order_acquire) != bell_seen;
}

static bool spin_for_any(struct sl__lane *const *lanes, size_t lane_count, const struct sl__bell *bell,
                         uint32_t bell_seen, uint64_t deadline_ns, struct sl__spin *spin) {
    struct sl__spin_turn turn;
    if (!sl__spin_begin(spin, &turn)) {
        return false;
    }
    if (deadline_ns != 0) {
        turn.until_ns = SL_MIN(turn.until_ns, deadline_ns);
    }
    bool hit = false;
    while (!hit && sl__spin_goes_on(&turn)) {
        hit = any_ready(lanes, lane_count, bell, bell_seen);
    }
    sl__spin_end(spin, hit);
    return hit;
}

void sl__lanes_wait(struct sl__lane *const *lanes, size_t lane_count, struct sl__bell *bell, uint32_t bell_seen,
                    uint64_t deadline_ns, struct sl__spin *spin, bool may_spin) {
    if (any_ready(lanes, lane_count, bell, bell_seen) || sl__clock_passed(deadline_ns)) {
        return;
    }
    if (may_spin && spin_for_any(lanes, lane_count, bell, bell_seen, deadline_ns, spin)) {
        return;
    }
    size_t watched = SL_MIN(lane_count, (size_t)LANES_WATCHED);
    struct sl__futex_word words[SL__FUTEX_WORDS_MAX];
    words[0] = (struct sl__futex_word){&bell->value, bell_seen, SL__FUTEX_PRIVATE};
    for (size_t i = 0; i < watched; i++) {
        struct sl__lane *lane = lanes[i];
        SL_ASSERT(lane->is_host);
        words[i + 1] = (struct sl__futex_word){&lane->peer.memory->header.tail, lane->taken, SL__FUTEX_SHARED};
        atomic_store_explicit(&lane->own.memory->header.waiting, 1, memory_order_relaxed); /* S1, for each */
    }
    atomic_store_explicit(&bell->waiting, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* S2, once for all */
    if (watched < lane_count) {
        uint64_t soon = sl__clock_now_ns() + POLL_NS;
        deadline_ns = deadline_ns == 0 ? soon : SL_MIN(deadline_ns, soon);
    }
    if (!any_ready(lanes, lane_count, bell, bell_seen)) { /* S3 */
        (void)sl__futex_wait_any(words, watched + 1, deadline_ns);
    }
    for (size_t i = 0; i < watched; i++) {
        sl__doorbell_disarm(&lanes[i]->own);
    }
    atomic_store_explicit(&bell->waiting, 0, memory_order_relaxed);
}

/* ---- worker: waiting for a request ------------------------------------------------------------------------------- */

/* Takes the interruption, if there is one. */
static bool interrupted(struct sl__lane *lane, const _Atomic uint32_t *stop) {
    return atomic_load_explicit(stop, memory_order_acquire) != 0 ||
           (atomic_load_explicit(&lane->worker.interrupted, memory_order_relaxed) != 0 &&
            atomic_exchange_explicit(&lane->worker.interrupted, 0, memory_order_acq_rel) != 0);
}

void sl__lane_wait_request(struct sl__lane *lane, const _Atomic uint32_t *stop) {
    SL_ASSERT(!lane->is_host);
    struct sl__spin_turn turn;
    if (sl__doorbell_tail(&lane->peer) != lane->taken || interrupted(lane, stop)) {
        return;
    }
    if (sl__spin_begin(&lane->worker.spin, &turn)) {
        bool hit = false;
        while (!hit && sl__spin_goes_on(&turn)) {
            hit = sl__doorbell_tail(&lane->peer) != lane->taken;
        }
        sl__spin_end(&lane->worker.spin, hit);
        if (hit) {
            return;
        }
    }
    /* `asleep` and `interrupted` are to sl__lane_interrupt what `waiting` and the tail are to the host; the fence serves both. */
    atomic_store_explicit(&lane->worker.asleep, 1, memory_order_relaxed);
    sl__doorbell_arm(&lane->own);
    if (sl__doorbell_tail(&lane->peer) == lane->taken && !interrupted(lane, stop)) {
        (void)sl__futex_wait(&lane->peer.memory->header.tail, lane->taken, SL__FUTEX_SHARED, 0);
    }
    sl__doorbell_disarm(&lane->own);
    atomic_store_explicit(&lane->worker.asleep, 0, memory_order_release);
}

void sl__lane_interrupt(struct sl__lane *lane) {
    SL_ASSERT(!lane->is_host);
    atomic_store_explicit(&lane->worker.interrupted, 1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    /*
     * The tail is the host's word: this process cannot change it, so a wake-up between the sleeper's last look and its futex_wait is
     * lost. Hence it is repeated until the sleeper is seen to have left. That is rare, and costs the hot path nothing.
     */
    while (atomic_load_explicit(&lane->worker.asleep, memory_order_acquire) != 0 &&
           atomic_load_explicit(&lane->worker.interrupted, memory_order_acquire) != 0) {
        sl__futex_wake(&lane->peer.memory->header.tail, UINT32_MAX, SL__FUTEX_SHARED);
        (void)sl__futex_wait(&lane->worker.asleep, 1, SL__FUTEX_PRIVATE, sl__clock_now_ns() + POLL_NS);
    }
}
