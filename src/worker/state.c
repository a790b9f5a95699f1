/* SPDX-License-Identifier: MIT */
#include "worker/state.h"

#include "base/assert.h"

/*
 * Reading the table: a row is a state, an entry is an event, what is done and the state after it. The state is changed before the action
 * runs, so that whatever the action brings about meets the new one.
 *
 * A few answers that are not obvious:
 *   spawning, stop      No process of its own is known yet, so none has to be waited for: what a template forks in vain is killed there.
 *   handshaking, stop   Nothing can be lost yet, and a worker in the middle of an import does not listen: it is killed.
 *   ready, hung up      Its files are closed before its end can be seen. When it ends at once the exit tells why; only one that lives
 *                       on without its socket is killed.
 *   handshaking, killed  Its template has died, and so has it, or will in a moment.
 *   ready, killed       The signal has been sent by a thread that runs a dispatch; here only its deadline is kept.
 *   ready, condemned    Nothing has been sent yet: the stack of a worker that hangs can only be had while it lives.
 *   questioned, told    Or its time is up: both lead on. Where no SIGTERM is wanted the action says so by "time up".
 *   questioned, hung up A worker that closed its socket cannot be asked any more. One that was sent SIGTERM may do so while it ends.
 *   stopping, killed    As well: somebody gave a dirty lane back while the pool is being stopped.
 *   killing, time up    SIGKILL waits for a process that is stuck inside the kernel. The host must not.
 *   killing, answered   What was said before the signal arrived. Too late.
 *   dead, stop          The owner decides within one call; it cannot ask for something else meanwhile.
 */
#define DO(event, action, next) [SL__EVENT_##event] = {SL__ACTION_##action, SL__WORKER_##next}

/* clang-format off */
static const struct sl__worker_answer answers[SL__WORKER_STATE_COUNT][SL__WORKER_EVENT_COUNT] = {
    [SL__WORKER_STOPPED] = {
        DO(START,        SPAWN,        SPAWNING),
        DO(TURN,         CANNOT_BE,    STOPPED),
        DO(SPAWNED,      CANNOT_BE,    STOPPED),
        DO(SPAWN_FAILED, CANNOT_BE,    STOPPED),
        DO(ANSWERED,     CANNOT_BE,    STOPPED),
        DO(TOLD,         CANNOT_BE,    STOPPED),
        DO(REFUSED,      CANNOT_BE,    STOPPED),
        DO(BABBLED,      CANNOT_BE,    STOPPED),
        DO(HUNG_UP,      CANNOT_BE,    STOPPED),
        DO(EXITED,       CANNOT_BE,    STOPPED),
        DO(TIME_UP,      CANNOT_BE,    STOPPED),
        DO(RETRY,        CANNOT_BE,    STOPPED),
        DO(RETRY_LATER,  CANNOT_BE,    STOPPED),
        DO(GIVE_UP,      CANNOT_BE,    STOPPED),
        DO(CONDEMNED,    CANNOT_BE,    STOPPED),
        DO(KILLED,       CANNOT_BE,    STOPPED),
        DO(STOP,         SAY_STOPPED,  STOPPED),
    },
    [SL__WORKER_SPAWNING] = {
        DO(START,        NOTHING,      SPAWNING),
        DO(TURN,         SPAWN_ON,     SPAWNING),
        DO(SPAWNED,      GREET,        HANDSHAKING),
        DO(SPAWN_FAILED, FAIL_SPAWN,   DEAD),
        DO(ANSWERED,     CANNOT_BE,    SPAWNING),
        DO(TOLD,         CANNOT_BE,    SPAWNING),
        DO(REFUSED,      CANNOT_BE,    SPAWNING),
        DO(BABBLED,      CANNOT_BE,    SPAWNING),
        DO(HUNG_UP,      CANNOT_BE,    SPAWNING),
        DO(EXITED,       CANNOT_BE,    SPAWNING),
        DO(TIME_UP,      CANNOT_BE,    SPAWNING),
        DO(RETRY,        CANNOT_BE,    SPAWNING),
        DO(RETRY_LATER,  CANNOT_BE,    SPAWNING),
        DO(GIVE_UP,      CANNOT_BE,    SPAWNING),
        DO(CONDEMNED,    CANNOT_BE,    SPAWNING),
        DO(KILLED,       CANNOT_BE,    SPAWNING),
        DO(STOP,         WITHDRAW,     STOPPED),
    },
    [SL__WORKER_HANDSHAKING] = {
        DO(START,        NOTHING,      HANDSHAKING),
        DO(TURN,         CANNOT_BE,    HANDSHAKING),
        DO(SPAWNED,      CANNOT_BE,    HANDSHAKING),
        DO(SPAWN_FAILED, CANNOT_BE,    HANDSHAKING),
        DO(ANSWERED,     ANNOUNCE,     READY),
        DO(TOLD,         CANNOT_BE,    HANDSHAKING),
        DO(REFUSED,      KILL_REFUSED, KILLING),
        DO(BABBLED,      KILL_BABBLER, KILLING),
        DO(HUNG_UP,      AWAIT_EXIT,   LEAVING),
        DO(EXITED,       COLLECT,      DEAD),
        DO(TIME_UP,      KILL_LATE,    KILLING),
        DO(RETRY,        CANNOT_BE,    HANDSHAKING),
        DO(RETRY_LATER,  CANNOT_BE,    HANDSHAKING),
        DO(GIVE_UP,      CANNOT_BE,    HANDSHAKING),
        DO(CONDEMNED,    CANNOT_BE,    HANDSHAKING),
        DO(KILLED,       AWAIT_KILL,   KILLING),
        DO(STOP,         KILL,         ENDING),
    },
    [SL__WORKER_READY] = {
        DO(START,        NOTHING,      READY),
        DO(TURN,         CANNOT_BE,    READY),
        DO(SPAWNED,      CANNOT_BE,    READY),
        DO(SPAWN_FAILED, CANNOT_BE,    READY),
        DO(ANSWERED,     KILL_BABBLER, KILLING),
        DO(TOLD,         NOTHING,      READY),
        DO(REFUSED,      KILL_BABBLER, KILLING),
        DO(BABBLED,      KILL_BABBLER, KILLING),
        DO(HUNG_UP,      AWAIT_EXIT,   LEAVING),
        DO(EXITED,       COLLECT,      DEAD),
        DO(TIME_UP,      CANNOT_BE,    READY),
        DO(RETRY,        CANNOT_BE,    READY),
        DO(RETRY_LATER,  CANNOT_BE,    READY),
        DO(GIVE_UP,      CANNOT_BE,    READY),
        DO(CONDEMNED,    QUESTION,     QUESTIONED),
        DO(KILLED,       AWAIT_KILL,   KILLING),
        DO(STOP,         ASK_TO_STOP,  STOPPING),
    },
    [SL__WORKER_QUESTIONED] = {
        DO(START,        NOTHING,      QUESTIONED),
        DO(TURN,         CANNOT_BE,    QUESTIONED),
        DO(SPAWNED,      CANNOT_BE,    QUESTIONED),
        DO(SPAWN_FAILED, CANNOT_BE,    QUESTIONED),
        DO(ANSWERED,     NOTHING,      QUESTIONED),
        DO(TOLD,         TERMINATE,    TERMINATING),
        DO(REFUSED,      NOTHING,      QUESTIONED),
        DO(BABBLED,      NOTHING,      QUESTIONED),
        DO(HUNG_UP,      KILL,         KILLING),
        DO(EXITED,       COLLECT,      DEAD),
        DO(TIME_UP,      TERMINATE,    TERMINATING),
        DO(RETRY,        CANNOT_BE,    QUESTIONED),
        DO(RETRY_LATER,  CANNOT_BE,    QUESTIONED),
        DO(GIVE_UP,      CANNOT_BE,    QUESTIONED),
        DO(CONDEMNED,    NOTHING,      QUESTIONED),
        DO(KILLED,       AWAIT_KILL,   KILLING),
        DO(STOP,         KILL,         ENDING),
    },
    [SL__WORKER_TERMINATING] = {
        DO(START,        NOTHING,      TERMINATING),
        DO(TURN,         CANNOT_BE,    TERMINATING),
        DO(SPAWNED,      CANNOT_BE,    TERMINATING),
        DO(SPAWN_FAILED, CANNOT_BE,    TERMINATING),
        DO(ANSWERED,     NOTHING,      TERMINATING),
        DO(TOLD,         NOTHING,      TERMINATING),
        DO(REFUSED,      NOTHING,      TERMINATING),
        DO(BABBLED,      NOTHING,      TERMINATING),
        DO(HUNG_UP,      NOTHING,      TERMINATING),
        DO(EXITED,       COLLECT,      DEAD),
        DO(TIME_UP,      KILL,         KILLING),
        DO(RETRY,        CANNOT_BE,    TERMINATING),
        DO(RETRY_LATER,  CANNOT_BE,    TERMINATING),
        DO(GIVE_UP,      CANNOT_BE,    TERMINATING),
        DO(CONDEMNED,    NOTHING,      TERMINATING),
        DO(KILLED,       AWAIT_KILL,   KILLING),
        DO(STOP,         KILL,         ENDING),
    },
    [SL__WORKER_LEAVING] = {
        DO(START,        NOTHING,      LEAVING),
        DO(TURN,         CANNOT_BE,    LEAVING),
        DO(SPAWNED,      CANNOT_BE,    LEAVING),
        DO(SPAWN_FAILED, CANNOT_BE,    LEAVING),
        DO(ANSWERED,     CANNOT_BE,    LEAVING),
        DO(TOLD,         CANNOT_BE,    LEAVING),
        DO(REFUSED,      CANNOT_BE,    LEAVING),
        DO(BABBLED,      CANNOT_BE,    LEAVING),
        DO(HUNG_UP,      CANNOT_BE,    LEAVING),
        DO(EXITED,       COLLECT,      DEAD),
        DO(TIME_UP,      KILL_DEAF,    KILLING),
        DO(RETRY,        CANNOT_BE,    LEAVING),
        DO(RETRY_LATER,  CANNOT_BE,    LEAVING),
        DO(GIVE_UP,      CANNOT_BE,    LEAVING),
        DO(CONDEMNED,    KILL,         KILLING),
        DO(KILLED,       AWAIT_KILL,   KILLING),
        DO(STOP,         KILL,         ENDING),
    },
    [SL__WORKER_KILLING] = {
        DO(START,        NOTHING,      KILLING),
        DO(TURN,         CANNOT_BE,    KILLING),
        DO(SPAWNED,      CANNOT_BE,    KILLING),
        DO(SPAWN_FAILED, CANNOT_BE,    KILLING),
        DO(ANSWERED,     NOTHING,      KILLING),
        DO(TOLD,         NOTHING,      KILLING),
        DO(REFUSED,      NOTHING,      KILLING),
        DO(BABBLED,      NOTHING,      KILLING),
        DO(HUNG_UP,      NOTHING,      KILLING),
        DO(EXITED,       COLLECT,      DEAD),
        DO(TIME_UP,      ABANDON,      DEAD),
        DO(RETRY,        CANNOT_BE,    KILLING),
        DO(RETRY_LATER,  CANNOT_BE,    KILLING),
        DO(GIVE_UP,      CANNOT_BE,    KILLING),
        DO(CONDEMNED,    NOTHING,      KILLING),
        DO(KILLED,       NOTHING,      KILLING),
        DO(STOP,         NOTHING,      ENDING),
    },
    [SL__WORKER_STOPPING] = {
        DO(START,        CANNOT_BE,    STOPPING),
        DO(TURN,         CANNOT_BE,    STOPPING),
        DO(SPAWNED,      CANNOT_BE,    STOPPING),
        DO(SPAWN_FAILED, CANNOT_BE,    STOPPING),
        DO(ANSWERED,     NOTHING,      STOPPING),
        DO(TOLD,         NOTHING,      STOPPING),
        DO(REFUSED,      NOTHING,      STOPPING),
        DO(BABBLED,      NOTHING,      STOPPING),
        DO(HUNG_UP,      NOTHING,      STOPPING),
        DO(EXITED,       COLLECT_LAST, STOPPED),
        DO(TIME_UP,      KILL,         ENDING),
        DO(RETRY,        CANNOT_BE,    STOPPING),
        DO(RETRY_LATER,  CANNOT_BE,    STOPPING),
        DO(GIVE_UP,      CANNOT_BE,    STOPPING),
        DO(CONDEMNED,    KILL,         ENDING),
        DO(KILLED,       AWAIT_KILL,   ENDING),
        DO(STOP,         NOTHING,      STOPPING),
    },
    [SL__WORKER_ENDING] = {
        DO(START,        CANNOT_BE,    ENDING),
        DO(TURN,         CANNOT_BE,    ENDING),
        DO(SPAWNED,      CANNOT_BE,    ENDING),
        DO(SPAWN_FAILED, CANNOT_BE,    ENDING),
        DO(ANSWERED,     NOTHING,      ENDING),
        DO(TOLD,         NOTHING,      ENDING),
        DO(REFUSED,      NOTHING,      ENDING),
        DO(BABBLED,      NOTHING,      ENDING),
        DO(HUNG_UP,      NOTHING,      ENDING),
        DO(EXITED,       COLLECT_LAST, STOPPED),
        DO(TIME_UP,      ABANDON_LAST, STOPPED),
        DO(RETRY,        CANNOT_BE,    ENDING),
        DO(RETRY_LATER,  CANNOT_BE,    ENDING),
        DO(GIVE_UP,      CANNOT_BE,    ENDING),
        DO(CONDEMNED,    NOTHING,      ENDING),
        DO(KILLED,       NOTHING,      ENDING),
        DO(STOP,         NOTHING,      ENDING),
    },
    [SL__WORKER_DEAD] = {
        DO(START,        CANNOT_BE,    DEAD),
        DO(TURN,         CANNOT_BE,    DEAD),
        DO(SPAWNED,      CANNOT_BE,    DEAD),
        DO(SPAWN_FAILED, CANNOT_BE,    DEAD),
        DO(ANSWERED,     CANNOT_BE,    DEAD),
        DO(TOLD,         CANNOT_BE,    DEAD),
        DO(REFUSED,      CANNOT_BE,    DEAD),
        DO(BABBLED,      CANNOT_BE,    DEAD),
        DO(HUNG_UP,      CANNOT_BE,    DEAD),
        DO(EXITED,       CANNOT_BE,    DEAD),
        DO(TIME_UP,      CANNOT_BE,    DEAD),
        DO(RETRY,        SPAWN,        SPAWNING),
        DO(RETRY_LATER,  REST,         BACKING_OFF),
        DO(GIVE_UP,      RESIGN,       FAILED),
        DO(CONDEMNED,    CANNOT_BE,    DEAD),
        DO(KILLED,       CANNOT_BE,    DEAD),
        DO(STOP,         CANNOT_BE,    DEAD),
    },
    [SL__WORKER_BACKING_OFF] = {
        DO(START,        SPAWN,        SPAWNING),
        DO(TURN,         CANNOT_BE,    BACKING_OFF),
        DO(SPAWNED,      CANNOT_BE,    BACKING_OFF),
        DO(SPAWN_FAILED, CANNOT_BE,    BACKING_OFF),
        DO(ANSWERED,     CANNOT_BE,    BACKING_OFF),
        DO(TOLD,         CANNOT_BE,    BACKING_OFF),
        DO(REFUSED,      CANNOT_BE,    BACKING_OFF),
        DO(BABBLED,      CANNOT_BE,    BACKING_OFF),
        DO(HUNG_UP,      CANNOT_BE,    BACKING_OFF),
        DO(EXITED,       CANNOT_BE,    BACKING_OFF),
        DO(TIME_UP,      SPAWN,        SPAWNING),
        DO(RETRY,        CANNOT_BE,    BACKING_OFF),
        DO(RETRY_LATER,  CANNOT_BE,    BACKING_OFF),
        DO(GIVE_UP,      RESIGN,       FAILED),
        DO(CONDEMNED,    CANNOT_BE,    BACKING_OFF),
        DO(KILLED,       CANNOT_BE,    BACKING_OFF),
        DO(STOP,         SAY_STOPPED,  STOPPED),
    },
    [SL__WORKER_FAILED] = {
        DO(START,        SPAWN,        SPAWNING),
        DO(TURN,         CANNOT_BE,    FAILED),
        DO(SPAWNED,      CANNOT_BE,    FAILED),
        DO(SPAWN_FAILED, CANNOT_BE,    FAILED),
        DO(ANSWERED,     CANNOT_BE,    FAILED),
        DO(TOLD,         CANNOT_BE,    FAILED),
        DO(REFUSED,      CANNOT_BE,    FAILED),
        DO(BABBLED,      CANNOT_BE,    FAILED),
        DO(HUNG_UP,      CANNOT_BE,    FAILED),
        DO(EXITED,       CANNOT_BE,    FAILED),
        DO(TIME_UP,      CANNOT_BE,    FAILED),
        DO(RETRY,        CANNOT_BE,    FAILED),
        DO(RETRY_LATER,  CANNOT_BE,    FAILED),
        DO(GIVE_UP,      NOTHING,      FAILED),
        DO(CONDEMNED,    CANNOT_BE,    FAILED),
        DO(KILLED,       CANNOT_BE,    FAILED),
        DO(STOP,         SAY_STOPPED,  STOPPED),
    },
};
/* clang-format on */

struct sl__worker_answer sl__worker_answer(enum sl__worker_state state, enum sl__worker_event event) {
    SL_ASSERT(state < SL__WORKER_STATE_COUNT);
    SL_ASSERT(event > SL__EVENT_NONE && event < SL__WORKER_EVENT_COUNT);
    return answers[state][event];
}

const char *sl__worker_state_name(enum sl__worker_state state) {
    static const char *const names[] = {
#define NAME(name, text) [SL__WORKER_##name] = text,
        SL__WORKER_STATE_LIST(NAME)
#undef NAME
    };
    return state < SL__WORKER_STATE_COUNT ? names[state] : "unknown";
}

const char *sl__worker_event_name(enum sl__worker_event event) {
    static const char *const names[] = {[SL__EVENT_NONE] = "none",
#define NAME(name, text) [SL__EVENT_##name] = text,
                                        SL__WORKER_EVENT_LIST(NAME)
#undef NAME
    };
    return event < SL__WORKER_EVENT_COUNT ? names[event] : "unknown";
}

const char *sl__worker_action_name(enum sl__worker_action action) {
    static const char *const names[] = {[SL__ACTION_UNANSWERED] = "unanswered",
#define NAME(name, text) [SL__ACTION_##name] = text,
                                        SL__WORKER_ACTION_LIST(NAME)
#undef NAME
    };
    return action < SL__WORKER_ACTION_COUNT ? names[action] : "unknown";
}
