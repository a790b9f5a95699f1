/* SPDX-License-Identifier: MIT */
/*
 * The states of a worker and what each event does in each of them. The table is complete: every pair has an answer.
 *
 *   stopped       no process, none wanted
 *   spawning      no process yet: too many others start, or the template has been asked for one, or is waited for; else it passes within one call
 *   handshaking   it runs, and has not said that it is ready
 *   ready         it takes batches; whether it is leased is the pool's concern
 *   questioned    its batch is past its timeout; it has been asked what it is doing, and for its stack
 *   terminating   then it has been sent SIGTERM; not replaced before it is gone
 *   leaving       it closed its socket; its end is awaited
 *   killing       it has been sent SIGKILL; another will take its place
 *   stopping      it has been asked to end
 *   ending        it has been sent SIGKILL, and no other is wanted
 *   dead          it is gone; the owner is being asked what now (passes within one call)
 *   backing off   no process; the next is started when the time is up
 *   failed        no process; the owner gave it up
 */
#ifndef SLITHER_WORKER_STATE_H
#define SLITHER_WORKER_STATE_H

#include <stdint.h>

#define SL__WORKER_STATE_LIST(X)  \
    X(STOPPED, "stopped")         \
    X(SPAWNING, "spawning")       \
    X(HANDSHAKING, "handshaking") \
    X(READY, "ready")             \
    X(QUESTIONED, "questioned")   \
    X(TERMINATING, "terminating") \
    X(LEAVING, "leaving")         \
    X(KILLING, "killing")         \
    X(STOPPING, "stopping")       \
    X(ENDING, "ending")           \
    X(DEAD, "dead")               \
    X(BACKING_OFF, "backing off") \
    X(FAILED, "failed")

#define SL__WORKER_EVENT_LIST(X)                                                                       \
    X(START, "start")               /* the owner wants it to run */                                    \
    X(TURN, "turn")                 /* neither others nor the template are waited for */               \
    X(SPAWNED, "spawned")           /* there is a process */                                           \
    X(SPAWN_FAILED, "spawn failed") /* there is none and will be none */                               \
    X(ANSWERED, "answered")         /* it said that it is ready */                                     \
    X(TOLD, "told")                 /* it answered what it is doing */                                 \
    X(REFUSED, "refused")           /* it said why it cannot be ready */                               \
    X(BABBLED, "babbled")           /* it said what it must not */                                     \
    X(HUNG_UP, "hung up")           /* its end of the socket is closed */                              \
    X(EXITED, "exited")             /* the process has ended, and waits to be reaped */                \
    X(TIME_UP, "time up")           /* the timer of this state */                                      \
    X(RETRY, "retry")               /* the owner wants another now */                                  \
    X(RETRY_LATER, "retry later")   /* the owner wants another after a delay */                        \
    X(GIVE_UP, "give up")           /* the owner wants no other */                                     \
    X(CONDEMNED, "condemned")       /* the owner wants it ended, and to know first what it is doing */ \
    X(KILLED, "killed")             /* the owner has sent it SIGKILL itself */                         \
    X(STOP, "stop")                 /* the owner wants it to end */

/* What is done; the next event, if any, is what the action says that came of it. */
#define SL__WORKER_ACTION_LIST(X)                                                                     \
    X(NOTHING, "nothing")                                                                             \
    X(SPAWN, "spawn")                                                                                 \
    X(SPAWN_ON, "spawn on")        /* the template is asked, or waited for */                         \
    X(WITHDRAW, "withdraw")        /* whatever the template makes is not wanted any more */           \
    X(GREET, "greet")              /* send the configuration, arm the start deadline */               \
    X(ANNOUNCE, "announce")        /* tell the owner that it is ready */                              \
    X(QUESTION, "question")        /* ask what it is doing and for its stack, arm a short deadline */ \
    X(TERMINATE, "terminate")      /* SIGTERM, when that is wanted; arm its deadline */               \
    X(AWAIT_EXIT, "await exit")    /* arm a short deadline */                                         \
    X(KILL_LATE, "kill, too late") /* the start deadline has passed */                                \
    X(KILL_REFUSED, "kill, refused")                                                                  \
    X(KILL_BABBLER, "kill, babbler")                                                                  \
    X(KILL_DEAF, "kill, deaf") /* it closed its socket and lives on */                                \
    X(KILL, "kill")                                                                                   \
    X(AWAIT_KILL, "await kill") /* arm the deadline of a kill that was sent already */                \
    X(ASK_TO_STOP, "ask to stop")                                                                     \
    X(COLLECT, "collect")            /* reap, take the last lines, ask the owner */                   \
    X(COLLECT_LAST, "collect, last") /* the same, and tell the owner that it has stopped */           \
    X(ABANDON, "abandon")            /* SIGKILL did not end it: let go of it, then as collect */      \
    X(ABANDON_LAST, "abandon, last")                                                                  \
    X(FAIL_SPAWN, "fail spawn")   /* ask the owner */                                                 \
    X(REST, "rest")               /* arm the delay */                                                 \
    X(RESIGN, "resign")           /* the owner's last word is known to it */                          \
    X(SAY_STOPPED, "say stopped") /* tell the owner */                                                \
    X(CANNOT_BE, "cannot be")     /* a mistake of this library */

enum sl__worker_state {
#define SL__ENUM(name, text) SL__WORKER_##name,
    SL__WORKER_STATE_LIST(SL__ENUM)
#undef SL__ENUM
        SL__WORKER_STATE_COUNT
};
enum sl__worker_event {
    SL__EVENT_NONE,
#define SL__ENUM(name, text) SL__EVENT_##name,
    SL__WORKER_EVENT_LIST(SL__ENUM)
#undef SL__ENUM
        SL__WORKER_EVENT_COUNT
};
enum sl__worker_action {
    SL__ACTION_UNANSWERED, /* a hole in the table; a test looks for it */
#define SL__ENUM(name, text) SL__ACTION_##name,
    SL__WORKER_ACTION_LIST(SL__ENUM)
#undef SL__ENUM
        SL__WORKER_ACTION_COUNT
};

struct sl__worker_answer {
    enum sl__worker_action action;
    enum sl__worker_state next;
};

/* `event` not SL__EVENT_NONE. */
struct sl__worker_answer sl__worker_answer(enum sl__worker_state state, enum sl__worker_event event);

const char *sl__worker_state_name(enum sl__worker_state state);
const char *sl__worker_event_name(enum sl__worker_event event);
const char *sl__worker_action_name(enum sl__worker_action action);

#endif
