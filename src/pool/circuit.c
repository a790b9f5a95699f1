/* SPDX-License-Identifier: MIT */
#include "circuit.h"

#include <string.h>

#include "base/assert.h"
#include "base/macros.h"

#define NS_PER_MS 1000000u
#define JITTER_PARTS 4 /* at most one of so many is taken off a cool-down */

/*
 * Reading the table: a row is a state, an entry is an event, what is done and the state after it.
 *
 * A few answers that are not obvious:
 *   closed, cooled      The timer fired while the circuit was being closed.
 *   open, started       It had been starting when the circuit opened. It stays, and may serve for the trial.
 *   open, answered      The worker answered and died at once; both are told in the order in which they were found out, and death was first.
 *   warming, answered   The same, after the cool-down.
 *   inviting, returned  Its holder has said before that it was answered, or the trial was withdrawn.
 *   trying, started     A worker that had been starting all the while. One trial is enough.
 */
#define DO(event, action, next) [SL__CIRCUIT_IS_##event] = {SL__CIRCUIT_DO_##action, SL__CIRCUIT_##next}

/* clang-format off */
static const struct sl__circuit_answer answers[SL__CIRCUIT_STATE_COUNT][SL__CIRCUIT_EVENT_COUNT] = {
    [SL__CIRCUIT_CLOSED] = {
        DO(STARTED,      FORGET,     CLOSED),
        DO(START_FAILED, COUNT,      CLOSED),
        DO(SPENT,        TRIP,       OPEN),
        DO(COOLED,       NOTHING,    CLOSED),
        DO(IDLE,         NOTHING,    CLOSED),
        DO(GRANTED,      CANNOT_BE,  CLOSED),
        DO(ANSWERED,     NOTHING,    CLOSED),
        DO(RETURNED,     NOTHING,    CLOSED),
        DO(DIED,         NOTHING,    CLOSED),
        DO(WITHDRAWN,    NOTHING,    CLOSED),
    },
    [SL__CIRCUIT_OPEN] = {
        DO(STARTED,      NOTHING,    OPEN),
        DO(START_FAILED, NOTHING,    OPEN),
        DO(SPENT,        NOTHING,    OPEN),
        DO(COOLED,       WARM,       WARMING),
        DO(IDLE,         NOTHING,    OPEN),
        DO(GRANTED,      CANNOT_BE,  OPEN),
        DO(ANSWERED,     NOTHING,    OPEN),
        DO(RETURNED,     NOTHING,    OPEN),
        DO(DIED,         NOTHING,    OPEN),
        DO(WITHDRAWN,    NOTHING,    OPEN),
    },
    [SL__CIRCUIT_WARMING] = {
        DO(STARTED,      NOTHING,    WARMING),
        DO(START_FAILED, NOTHING,    WARMING),
        DO(SPENT,        NOTHING,    WARMING),
        DO(COOLED,       NOTHING,    WARMING),
        DO(IDLE,         NOTHING,    INVITING),
        DO(GRANTED,      CANNOT_BE,  WARMING),
        DO(ANSWERED,     NOTHING,    WARMING),
        DO(RETURNED,     NOTHING,    WARMING),
        DO(DIED,         TRIP_AGAIN, OPEN),
        DO(WITHDRAWN,    WARM,       WARMING),
    },
    [SL__CIRCUIT_INVITING] = {
        DO(STARTED,      NOTHING,    INVITING),
        DO(START_FAILED, NOTHING,    INVITING),
        DO(SPENT,        NOTHING,    INVITING),
        DO(COOLED,       NOTHING,    INVITING),
        DO(IDLE,         NOTHING,    INVITING),
        DO(GRANTED,      NOTHING,    TRYING),
        DO(ANSWERED,     NOTHING,    INVITING),
        DO(RETURNED,     NOTHING,    INVITING),
        DO(DIED,         TRIP_AGAIN, OPEN),
        DO(WITHDRAWN,    WARM,       WARMING),
    },
    [SL__CIRCUIT_TRYING] = {
        DO(STARTED,      NOTHING,    TRYING),
        DO(START_FAILED, NOTHING,    TRYING),
        DO(SPENT,        NOTHING,    TRYING),
        DO(COOLED,       NOTHING,    TRYING),
        DO(IDLE,         NOTHING,    TRYING),
        DO(GRANTED,      CANNOT_BE,  TRYING),
        DO(ANSWERED,     CLOSE,      CLOSED),
        DO(RETURNED,     NOTHING,    INVITING),
        DO(DIED,         TRIP_AGAIN, OPEN),
        DO(WITHDRAWN,    WARM,       WARMING),
    },
};
/* clang-format on */

struct sl__circuit_answer sl__circuit_answer(enum sl__circuit_state state, enum sl__circuit_event event) {
    SL_ASSERT(state < SL__CIRCUIT_STATE_COUNT && event < SL__CIRCUIT_EVENT_COUNT);
    return answers[state][event];
}

const char *sl__circuit_state_name(enum sl__circuit_state state) {
    static const char *const names[] = {
#define NAME(name, text) [SL__CIRCUIT_##name] = text,
        SL__CIRCUIT_STATE_LIST(NAME)
#undef NAME
    };
    return state < SL__CIRCUIT_STATE_COUNT ? names[state] : "unknown";
}

const char *sl__circuit_event_name(enum sl__circuit_event event) {
    static const char *const names[] = {
#define NAME(name, text) [SL__CIRCUIT_IS_##name] = text,
        SL__CIRCUIT_EVENT_LIST(NAME)
#undef NAME
    };
    return event < SL__CIRCUIT_EVENT_COUNT ? names[event] : "unknown";
}

void sl__circuit_init(struct sl__circuit *circuit, uint32_t start_failure_max, uint32_t cooldown_ms, uint64_t seed) {
    memset(circuit, 0, sizeof(*circuit));
    circuit->start_failure_max = start_failure_max;
    circuit->first_cooldown_ms = cooldown_ms;
    circuit->random = seed;
}

/* xorshift64: the cool-downs of many pools only need to differ from each other. */
static uint64_t chance(struct sl__circuit *circuit) {
    circuit->random ^= circuit->random << 13;
    circuit->random ^= circuit->random >> 7;
    circuit->random ^= circuit->random << 17;
    return circuit->random;
}

static void open_circuit(struct sl__circuit *circuit, uint32_t cooldown_ms, uint64_t now_ns) {
    circuit->cooldown_ms = SL_MIN(cooldown_ms, (uint32_t)SL__COOLDOWN_MAX_MS);
    uint64_t length_ns = (uint64_t)circuit->cooldown_ms * NS_PER_MS;
    if (circuit->random != 0) {
        length_ns -= chance(circuit) % (length_ns / JITTER_PARTS + 1);
    }
    circuit->cooled_ns = now_ns + length_ns;
    circuit->open_count++;
    circuit->start_failures = 0;
}

enum sl__circuit_action sl__circuit_tell(struct sl__circuit *circuit, enum sl__circuit_event event, uint64_t now_ns) {
    struct sl__circuit_answer answer = sl__circuit_answer(circuit->state, event);
    circuit->state = answer.next;
    switch (answer.action) {
    case SL__CIRCUIT_DO_COUNT:
        if (++circuit->start_failures < circuit->start_failure_max) {
            return SL__CIRCUIT_DO_NOTHING;
        }
        return sl__circuit_tell(circuit, SL__CIRCUIT_IS_SPENT, now_ns);
    case SL__CIRCUIT_DO_FORGET:
        circuit->start_failures = 0;
        return SL__CIRCUIT_DO_NOTHING;
    case SL__CIRCUIT_DO_TRIP:
        open_circuit(circuit, circuit->first_cooldown_ms, now_ns);
        return SL__CIRCUIT_DO_TRIP;
    case SL__CIRCUIT_DO_TRIP_AGAIN:
        open_circuit(circuit, circuit->cooldown_ms * 2, now_ns);
        return SL__CIRCUIT_DO_TRIP;
    case SL__CIRCUIT_DO_NOTHING:
    case SL__CIRCUIT_DO_WARM:
    case SL__CIRCUIT_DO_CLOSE:
        return answer.action;
    case SL__CIRCUIT_UNANSWERED:
    case SL__CIRCUIT_DO_CANNOT_BE:
    case SL__CIRCUIT_ACTION_COUNT:
        break;
    }
    SL_ASSERT(!"an event that cannot be in this state of a circuit");
    return SL__CIRCUIT_DO_NOTHING;
}

enum sl_circuit sl__circuit_shown(const struct sl__circuit *circuit) {
    switch (circuit->state) {
    case SL__CIRCUIT_CLOSED:
        return SL_CIRCUIT_CLOSED;
    case SL__CIRCUIT_OPEN:
        return SL_CIRCUIT_OPEN;
    default:
        return SL_CIRCUIT_HALF_OPEN;
    }
}
