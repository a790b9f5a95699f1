/* SPDX-License-Identifier: MIT */
/* What a worker's life tells the runtime's handlers of events. The process of a template is none of these workers. Loop thread. */
#ifndef SLITHER_WORKER_EVENTS_H
#define SLITHER_WORKER_EVENTS_H

#include "engine.h"

void sl__worker_tell_started(const struct sl__worker *worker);
void sl__worker_tell_ready(const struct sl__worker *worker);
void sl__worker_tell_state(const struct sl__worker *worker, enum sl__worker_state from, enum sl__worker_state to,
                           enum sl__worker_event event);
/* One that is over: lost, exited or start_failed, as `death` says. */
void sl__worker_tell_end(const struct sl__worker *worker, const struct sl__death *death);
/* Another follows after worker->delay_ms. */
void sl__worker_tell_restarting(const struct sl__worker *worker);

#endif
