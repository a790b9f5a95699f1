/* SPDX-License-Identifier: MIT */
#include "events.h"

#include "telemetry/telemetry.h"

/* clang-format off */
#define OF_WORKER(worker) \
    SL__TEXT("pool", (worker)->config.pool), \
    SL__UINT("worker", (worker)->config.index), \
    SL__UINT("generation", (worker)->generation)
/* clang-format on */

#define FIELDS_MAX 8

static const struct sl__telemetry *hub_of(const struct sl__worker *worker) {
    bool tells = worker->config.telemetry != NULL && worker->config.hear == NULL;
    return tells ? worker->config.telemetry : &sl__telemetry_none;
}

void sl__worker_tell_started(const struct sl__worker *worker) {
    const struct sl__telemetry *hub = hub_of(worker);
    if (sl__telemetry_wants(hub, SL__TELEMETRY_WORKER_STARTED)) {
        const struct sl_event_field fields[] = {OF_WORKER(worker), SL__UINT("pid", (uint64_t)worker->child.pid),
                                                SL__BOOL("forked", worker->forked)};
        sl__telemetry_tell(hub, SL__TELEMETRY_WORKER_STARTED, 0, fields, SL_COUNT_OF(fields));
    }
}

void sl__worker_tell_ready(const struct sl__worker *worker) {
    const struct sl__telemetry *hub = hub_of(worker);
    if (sl__telemetry_wants(hub, SL__TELEMETRY_WORKER_READY)) {
        const struct sl_event_field fields[] = {OF_WORKER(worker), SL__UINT("pid", (uint64_t)worker->child.pid),
                                                SL__UINT("start_ns", worker->ready_ns - worker->spawned_ns)};
        sl__telemetry_tell(hub, SL__TELEMETRY_WORKER_READY, 0, fields, SL_COUNT_OF(fields));
    }
}

void sl__worker_tell_state(const struct sl__worker *worker, enum sl__worker_state from, enum sl__worker_state to,
                           enum sl__worker_event event) {
    const struct sl__telemetry *hub = hub_of(worker);
    if (sl__telemetry_wants(hub, SL__TELEMETRY_WORKER_STATE)) {
        const struct sl_event_field fields[] = {OF_WORKER(worker), SL__TEXT("from", sl__worker_state_name(from)),
                                                SL__TEXT("to", sl__worker_state_name(to)),
                                                SL__TEXT("event", sl__worker_event_name(event))};
        sl__telemetry_tell(hub, SL__TELEMETRY_WORKER_STATE, 0, fields, SL_COUNT_OF(fields));
    }
}

void sl__worker_tell_end(const struct sl__worker *worker, const struct sl__death *death) {
    const struct sl__telemetry *hub = hub_of(worker);
    const struct sl_error *error = &death->error;
    enum sl__telemetry_event event = !death->was_ready && !death->wanted ? SL__TELEMETRY_WORKER_START_FAILED
                                     : death->wanted                     ? SL__TELEMETRY_WORKER_EXITED
                                                                         : SL__TELEMETRY_WORKER_LOST;
    if (!sl__telemetry_wants(hub, event)) {
        return;
    }
    struct sl_event_field fields[FIELDS_MAX] = {OF_WORKER(worker)};
    uint32_t count = 3;
    if (event != SL__TELEMETRY_WORKER_EXITED) {
        fields[count++] = (struct sl_event_field)SL__CODE("code", error->code);
        if (error->death != NULL) {
            fields[count++] = (struct sl_event_field)SL__TEXT("cause", sl_death_cause_name(error->death->cause));
        }
    }
    if (error->exit_status >= 0) {
        fields[count++] = (struct sl_event_field)SL__INT("exit_status", error->exit_status);
    } else if (error->term_signal != 0) {
        fields[count++] = (struct sl_event_field)SL__INT("signal", error->term_signal);
    }
    if (event != SL__TELEMETRY_WORKER_START_FAILED) {
        fields[count++] = (struct sl_event_field)SL__UINT("alive_ns", death->alive_ns);
    }
    sl__telemetry_tell(hub, event, 0, fields, count);
}

void sl__worker_tell_restarting(const struct sl__worker *worker) {
    const struct sl__telemetry *hub = hub_of(worker);
    if (sl__telemetry_wants(hub, SL__TELEMETRY_WORKER_RESTARTING)) {
        const struct sl_event_field fields[] = {OF_WORKER(worker), SL__UINT("delay_ms", worker->delay_ms)};
        sl__telemetry_tell(hub, SL__TELEMETRY_WORKER_RESTARTING, 0, fields, SL_COUNT_OF(fields));
    }
}
