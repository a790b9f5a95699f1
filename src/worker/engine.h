/* SPDX-License-Identifier: MIT */
/* Inside of a worker: what the engine (worker.c) and the files that it has been divided into share. Loop thread. */
#ifndef SLITHER_WORKER_ENGINE_H
#define SLITHER_WORKER_ENGINE_H

#include "child.h"
#include "lines.h"
#include "worker/worker.h"

struct sl__worker {
    struct sl__worker_config config;
    enum sl__worker_state state;
    uint32_t generation;
    char who[24]; /* for texts */
    struct sl__child child;
    bool forked; /* by the template: it is the parent, and tells the end */
    struct sl__wish wish;
    struct sl__process_end end; /* told by the template */
    bool end_told, end_seen;
    bool failed_before; /* in the template, which has said why */
    _Atomic int64_t pid;
    struct sl__lane *lane; /* until it is handed to the owner */
    bool was_ready;
    uint64_t spawned_ns;
    uint64_t ready_ns;
    uint64_t delay_ms; /* the owner's answer */
    struct sl_error
        reason; /* why it is being killed, or why it cannot start; SL_OK when its end has to speak for itself */
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

/* report.c: what is said about a worker that did not do what it should. */
void sl__report_late(const struct sl__worker *worker, struct sl_error *error);
/* The death report: the reason when there is one, else the way in which the process ended. */
void sl__report_death(struct sl__worker *worker, const struct sl__process_end *end, bool known, pid_t pid,
                      struct sl_error *error);

#endif
