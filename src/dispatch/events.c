/* SPDX-License-Identifier: MIT */
/* What handlers of the runtime's events are told of a batch: one span for each time that it flies. */
#include "base/macros.h"
#include "pool/guest.h"
#include "run.h"

#define FIELDS_MAX (SL_EVENT_FIELDS_MAX)

/* What all events of a batch have. Returns how many. */
static uint32_t describe(const struct sl__run *run, const struct sl__batch *batch, struct sl_event_field *fields) {
    uint32_t count = 0;
    const char *name = run->pool != NULL ? sl__pool_name(run->pool) : run->executor->name;
    fields[count++] = (struct sl_event_field)SL__TEXT("pool", name);
    fields[count++] = (struct sl_event_field)SL__TEXT("function", sl__run_label(run));
    if (run->pool != NULL) {
        fields[count++] = (struct sl_event_field)SL__UINT("worker", batch->told.worker);
        fields[count++] = (struct sl_event_field)SL__UINT("generation", batch->told.generation);
        fields[count++] = (struct sl_event_field)SL__UINT("session", run->use.id);
    }
    fields[count++] = (struct sl_event_field)SL__UINT("items", batch->count);
    return count;
}

void sl__batch_tell_start(struct sl__run *run, struct sl__batch *batch, const struct sl__lease *lease) {
    struct sl_event_field fields[FIELDS_MAX];
    batch->told.worker = lease != NULL ? lease->worker : SL__ANY_WORKER;
    batch->told.generation = lease != NULL ? lease->generation : 0;
    batch->told.attempt = batch->entries[0].attempts;
    uint32_t count = describe(run, batch, fields);
    fields[count++] = (struct sl_event_field)SL__UINT("attempt", batch->told.attempt);
    sl__span_begin(&batch->told.span, run->telemetry, SL__TELEMETRY_DISPATCH_BATCH_START, run->options.span,
                   batch->sent_ns, fields, count);
}

void sl__batch_tell_stop(struct sl__run *run, struct sl__batch *batch) {
    static const char *const names[] = {"ok", "failed", "skipped", "routed"}; /* in the order of the list */
    static const enum sl_status statuses[] = {SL_STATUS_OK, SL_STATUS_FAILED, SL_STATUS_SKIPPED, SL_STATUS_ROUTED};
    uint32_t items[SL_STATUS_COUNT] = {0}, retried = 0;
    struct sl_event_field fields[FIELDS_MAX];
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].moved) {
            retried++;
        } else {
            items[batch->entries[i].status]++;
        }
    }
    uint32_t count = describe(run, batch, fields);
    for (size_t i = 0; i < SL_COUNT_OF(names); i++) {
        fields[count++] = (struct sl_event_field)SL__UINT(names[i], items[statuses[i]]);
    }
    fields[count++] = (struct sl_event_field)SL__UINT("retried", retried);
    sl__span_end(&batch->told.span, run->telemetry, SL__TELEMETRY_DISPATCH_BATCH_STOP, fields, count);
}

void sl__batch_tell_exception(struct sl__run *run, struct sl__batch *batch, enum sl_code code, const char *outcome) {
    struct sl_event_field fields[FIELDS_MAX];
    uint32_t count = describe(run, batch, fields);
    fields[count++] = (struct sl_event_field)SL__UINT("attempt", batch->told.attempt);
    fields[count++] = (struct sl_event_field)SL__CODE("code", code);
    fields[count++] = (struct sl_event_field)SL__TEXT("outcome", outcome);
    sl__span_end(&batch->told.span, run->telemetry, SL__TELEMETRY_DISPATCH_BATCH_EXCEPTION, fields, count);
}
