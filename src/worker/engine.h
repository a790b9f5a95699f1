/* SPDX-License-Identifier: MIT */
/* Inside of a worker: what the engine (worker.c) and the files that it has been divided into share. Loop thread. */
#ifndef SLITHER_WORKER_ENGINE_H
#define SLITHER_WORKER_ENGINE_H

#include "black_box.h"
#include "cgroup.h"
#include "child.h"
#include "lines.h"
#include "message.h"
#include "oom.h"
#include "worker/worker.h"

struct sl__worker {
    struct sl__worker_config config;
    _Atomic(enum sl__worker_state) state; /* changed on the loop thread */
    uint32_t generation;
    char who[24]; /* for texts */
    struct sl__child child;
    bool forked; /* else a program of its own. Its parent, who tells its end, is the template in either case */
    struct sl__wish wish;
    struct sl__process_end end; /* told by the template */
    bool end_told, end_seen;
    bool failed_before; /* in the template, which has said why */
    bool killed;        /* by this library: its end says nothing of itself */
    _Atomic int64_t pid;
    struct sl__lane *lane; /* until it is handed to the owner */
    struct sl__port *port; /* or NULL */
    bool was_ready;
    uint64_t spawned_ns;
    uint64_t ready_ns;
    uint64_t delay_ms; /* the owner's answer */
    struct sl_error
        reason; /* why it is being killed, or why it cannot start; SL_OK when its end has to speak for itself */
    enum sl_death_cause cause; /* what that is as a cause of death */
    struct sl__black_box box;
    struct sl__cgroup group;
    struct sl__oom_sources oom_sources; /* the first is that of the group */
    struct sl__oom_count oom_before;
    struct sl__questions {
        uint64_t asked, answered; /* numbers */
        uint64_t asked_ns;        /* of the oldest question that is open */
        uint64_t heard_ns;        /* last sign of life */
        enum sl_activity activity;
        uint64_t stuck_ms;
        uint64_t rss_bytes;
        struct sl_death_sample samples[SL_DEATH_SAMPLES];
        uint32_t sample_count;
    } questions;
    struct sl__timer *timer;
    struct sl__watch *exit_watch, *socket_watch, *out_watch, *err_watch;
    struct sl__lines out, err;
};

#define LOG(worker, level, ...)                                                                                    \
    sl__log_host((worker)->config.log, level, (worker)->config.pool, (worker)->config.index, (worker)->generation, \
                 __VA_ARGS__)

/* outputs.c: what it prints. */
void sl__outputs_init(struct sl__worker *worker);
enum sl_code sl__outputs_watch(struct sl__worker *worker, struct sl_error *error);
void sl__outputs_unwatch(struct sl__worker *worker);
/* The process has ended: takes what is still there. */
void sl__outputs_drain(struct sl__worker *worker);
/* Forgets everything, for the next process. */
void sl__outputs_finish(struct sl__worker *worker);

/* question.c: what it is doing. */
/* A new life: it has been heard just now. */
void sl__questions_begin(struct sl__worker *worker);
/* Asks, also when an earlier question is open. False: it cannot be asked. */
bool sl__question_ask(struct sl__worker *worker, uint32_t stack_ms);
/* Takes an answer. False: there was no such question. `*last`: it answers the last one. */
bool sl__question_take(struct sl__worker *worker, const struct sl__told *told, bool *last);
/* " was in native code for at least 2.0 s and", or "". */
void sl__question_text(const struct sl__worker *worker, char *text, size_t size);

/* limits.c: what memory it may have, and what tells whether it had too much. */
/* Before there is a process. */
enum sl_code sl__limits_make(struct sl__worker *worker, struct sl_error *error);
/*
 * Whether the death had to do with memory, as far as that can be known: SL_DEATH_OUT_OF_MEMORY, SL_DEATH_MEMORY_LIMIT, or SL_DEATH_UNKNOWN. `text` is set
 * to what speaks for it or against it, or "". `box`: from the black box, or NULL. Only for a death that this library has not brought about.
 */
enum sl_death_cause sl__limits_blame(const struct sl__worker *worker, const struct sl__process_end *end,
                                     const char *box, char *text, size_t size);

/* report.c: what is said about a worker that did not do what it should. */
void sl__report_late(const struct sl__worker *worker, struct sl_error *error);
/* How a process ended, and what is known of it, which is `known` only when somebody could learn it. */
struct sl__ending {
    struct sl__process_end end;
    bool known;
    pid_t pid;
};
/* The death report: the reason when there is one, else the way in which the process ended. */
void sl__report_death(struct sl__worker *worker, const struct sl__ending *ending, struct sl_error *error);

#endif
