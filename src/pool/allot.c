/* SPDX-License-Identifier: MIT */
#include "allot.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct sl__allot_seat {
    bool idle;
    uint32_t previous, next; /* of the idle ones */
    uint64_t reserved;       /* epoch of the walk in which somebody earlier has claimed it */
    uint64_t wanted;         /* epoch of the walk in which somebody later waits for just this one */
};

bool sl__allot_init(struct sl__allot *allot, uint32_t worker_count) {
    memset(allot, 0, sizeof(*allot));
    allot->worker_count = worker_count;
    allot->idle_first = SL__NOBODY;
    allot->seats = calloc(worker_count, sizeof(*allot->seats));
    return allot->seats != NULL;
}

void sl__allot_finish(struct sl__allot *allot) {
    SL_ASSERT(allot->first == NULL);
    free(allot->seats);
    memset(allot, 0, sizeof(*allot));
}

void sl__allot_put(struct sl__allot *allot, uint32_t worker) {
    struct sl__allot_seat *seat = &allot->seats[worker];
    SL_ASSERT(!seat->idle);
    seat->idle = true;
    seat->previous = SL__NOBODY;
    seat->next = allot->idle_first;
    if (seat->next != SL__NOBODY) {
        allot->seats[seat->next].previous = worker;
    }
    allot->idle_first = worker;
    allot->idle_count++;
}

void sl__allot_withdraw(struct sl__allot *allot, uint32_t worker) {
    struct sl__allot_seat *seat = &allot->seats[worker];
    SL_ASSERT(seat->idle);
    seat->idle = false;
    if (seat->previous != SL__NOBODY) {
        allot->seats[seat->previous].next = seat->next;
    } else {
        allot->idle_first = seat->next;
    }
    if (seat->next != SL__NOBODY) {
        allot->seats[seat->next].previous = seat->previous;
    }
    allot->idle_count--;
}

static uint32_t choose_any(const struct sl__allot *allot) {
    uint32_t second_best = SL__NOBODY;
    for (uint32_t i = allot->idle_first; i != SL__NOBODY; i = allot->seats[i].next) {
        const struct sl__allot_seat *seat = &allot->seats[i];
        if (seat->reserved == allot->epoch) {
            continue;
        }
        if (seat->wanted != allot->epoch) {
            return i;
        }
        if (second_best == SL__NOBODY) {
            second_best = i;
        }
    }
    return second_best;
}

static uint32_t choose(struct sl__allot *allot, const struct sl__waiter *waiter, uint32_t wanted) {
    if (allot->first == NULL || allot->idle_count == 0) { /* the usual cases */
        return wanted == SL__ANY_WORKER ? allot->idle_first : allot->seats[wanted].idle ? wanted : SL__NOBODY;
    }
    allot->epoch++;
    uint32_t claimed = 0; /* lanes that those before get */
    const struct sl__waiter *other = allot->first;
    for (; other != NULL && other != waiter; other = other->next) {
        if (other->worker == SL__ANY_WORKER) {
            claimed++;
        } else {
            struct sl__allot_seat *seat = &allot->seats[other->worker];
            if (seat->idle && seat->reserved != allot->epoch) {
                seat->reserved = allot->epoch;
                claimed++;
            }
        }
        if (claimed >= allot->idle_count) {
            return SL__NOBODY;
        }
    }
    if (wanted != SL__ANY_WORKER) {
        const struct sl__allot_seat *seat = &allot->seats[wanted];
        return seat->idle && seat->reserved != allot->epoch ? wanted : SL__NOBODY;
    }
    for (other = other != NULL ? other->next : NULL; other != NULL; other = other->next) {
        if (other->worker != SL__ANY_WORKER) {
            allot->seats[other->worker].wanted = allot->epoch;
        }
    }
    return choose_any(allot);
}

uint32_t sl__allot_take(struct sl__allot *allot, const struct sl__waiter *waiter, uint32_t wanted) {
    uint32_t worker = choose(allot, waiter, wanted);
    if (worker != SL__NOBODY) {
        sl__allot_withdraw(allot, worker);
    }
    return worker;
}

void sl__allot_queue(struct sl__allot *allot, struct sl__waiter *waiter) {
    SL_ASSERT(!waiter->queued);
    waiter->queued = true;
    waiter->next = NULL;
    waiter->previous = allot->last;
    if (allot->last != NULL) {
        allot->last->next = waiter;
    } else {
        allot->first = waiter;
    }
    allot->last = waiter;
    allot->waiter_count++;
}

void sl__allot_leave(struct sl__allot *allot, struct sl__waiter *waiter) {
    SL_ASSERT(waiter->queued);
    waiter->queued = false;
    if (waiter->previous != NULL) {
        waiter->previous->next = waiter->next;
    } else {
        allot->first = waiter->next;
    }
    if (waiter->next != NULL) {
        waiter->next->previous = waiter->previous;
    } else {
        allot->last = waiter->previous;
    }
    waiter->previous = waiter->next = NULL;
    allot->waiter_count--;
}

bool sl__allot_short(const struct sl__allot *allot) {
    uint32_t count = 0;
    for (const struct sl__waiter *waiter = allot->first; waiter != NULL && count <= allot->idle_count;
         waiter = waiter->next) {
        count += waiter->worker == SL__ANY_WORKER ? 1 : 0;
    }
    return count > allot->idle_count;
}

void sl__allot_ring(struct sl__allot *allot) {
    uint32_t claimed = 0;
    allot->epoch++;
    for (struct sl__waiter *waiter = allot->first; waiter != NULL && claimed < allot->idle_count;
         waiter = waiter->next) {
        if (waiter->worker != SL__ANY_WORKER) {
            struct sl__allot_seat *seat = &allot->seats[waiter->worker];
            if (!seat->idle || seat->reserved == allot->epoch) {
                continue;
            }
            seat->reserved = allot->epoch;
        }
        claimed++;
        sl__bell_ring(waiter->bell);
    }
}

void sl__allot_ring_all(struct sl__allot *allot) {
    for (struct sl__waiter *waiter = allot->first; waiter != NULL; waiter = waiter->next) {
        sl__bell_ring(waiter->bell);
    }
}
