/* SPDX-License-Identifier: MIT */
/*
 * Circuit breaker of a pool: docs/design/0011-circuit.md. A table of state x event; numbers in, numbers out, no clock of its own. The pool's
 * lock guards it.
 *
 *   closed    all is well
 *   open      calls fail at once; the cool-down runs
 *   warming   a worker for the trial is being started, or is still leased from before
 *   inviting  it is idle: the first who asks gets its lane
 *   trying    somebody has it
 */
#ifndef SLITHER_POOL_CIRCUIT_H
#define SLITHER_POOL_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#include <slither/pool.h>

#define SL__COOLDOWN_MAX_MS 30000 /* however often it has opened */
#define SL__START_FAILURE_LIMIT 1000

#define SL__CIRCUIT_STATE_LIST(X) \
    X(CLOSED, "closed")           \
    X(OPEN, "open")               \
    X(WARMING, "warming")         \
    X(INVITING, "inviting")       \
    X(TRYING, "trying")

#define SL__CIRCUIT_EVENT_LIST(X)                                                              \
    X(STARTED, "started")           /* a worker has got ready */                               \
    X(START_FAILED, "start failed") /* one did not */                                          \
    X(SPENT, "spent")               /* the restart budget, or the starts that may fail */      \
    X(COOLED, "cooled")             /* the cool-down is over */                                \
    X(IDLE, "idle")                 /* there is a worker for the trial */                      \
    X(GRANTED, "granted")           /* somebody has its lane */                                \
    X(ANSWERED, "answered")         /* it has completed a batch */                             \
    X(RETURNED, "returned")         /* the lane came back, and nothing was completed */        \
    X(DIED, "died")                 /* the worker for the trial is gone, or could not start */ \
    X(WITHDRAWN, "withdrawn")       /* it is gone, and that says nothing about it: a cancel */

#define SL__CIRCUIT_ACTION_LIST(X)                                                                   \
    X(NOTHING, "nothing")                                                                            \
    X(COUNT, "count")           /* one start more that failed; maybe too many */                     \
    X(FORGET, "forget")         /* starts that failed before */                                      \
    X(TRIP, "trip")             /* open: wake who waits, start no worker, arm the first cool-down */ \
    X(TRIP_AGAIN, "trip again") /* the same; the cool-down is twice the last one */                  \
    X(WARM, "warm")             /* find or start a worker for the trial */                           \
    X(CLOSE, "close")           /* start all workers, forget all deaths */                           \
    X(CANNOT_BE, "cannot be")   /* a mistake of this library */

enum sl__circuit_state {
#define SL__ENUM(name, text) SL__CIRCUIT_##name,
    SL__CIRCUIT_STATE_LIST(SL__ENUM)
#undef SL__ENUM
        SL__CIRCUIT_STATE_COUNT
};
enum sl__circuit_event {
#define SL__ENUM(name, text) SL__CIRCUIT_IS_##name,
    SL__CIRCUIT_EVENT_LIST(SL__ENUM)
#undef SL__ENUM
        SL__CIRCUIT_EVENT_COUNT
};
enum sl__circuit_action {
    SL__CIRCUIT_UNANSWERED, /* a hole in the table; a test looks for it */
#define SL__ENUM(name, text) SL__CIRCUIT_DO_##name,
    SL__CIRCUIT_ACTION_LIST(SL__ENUM)
#undef SL__ENUM
        SL__CIRCUIT_ACTION_COUNT
};

struct sl__circuit_answer {
    enum sl__circuit_action action;
    enum sl__circuit_state next;
};

struct sl__circuit {
    enum sl__circuit_state state;
    uint32_t start_failure_max;
    uint32_t start_failures; /* in a row */
    uint32_t first_cooldown_ms;
    uint32_t cooldown_ms; /* of the last opening, before chance shortened it */
    uint64_t random;
    uint64_t cooled_ns; /* open: when the cool-down is over */
    uint64_t open_count;
};

/* `seed` 0: the cool-down is never shortened. */
void sl__circuit_init(struct sl__circuit *circuit, uint32_t start_failure_max, uint32_t cooldown_ms, uint64_t seed);
/*
 * Something has happened. Returns what the caller has to do: TRIP (cooled_ns says until when), WARM, CLOSE or NOTHING; the rest has
 * been done.
 */
enum sl__circuit_action sl__circuit_tell(struct sl__circuit *circuit, enum sl__circuit_event event, uint64_t now_ns);

/* What the world calls the state. */
enum sl_circuit sl__circuit_shown(const struct sl__circuit *circuit);

/* One entry of the table. */
struct sl__circuit_answer sl__circuit_answer(enum sl__circuit_state state, enum sl__circuit_event event);
const char *sl__circuit_state_name(enum sl__circuit_state state);
const char *sl__circuit_event_name(enum sl__circuit_event event);

#endif
