/* SPDX-License-Identifier: MIT */
/* What handlers of the runtime's events are told of a run and its stages. */
#include "base/macros.h"
#include "loop/runtime.h"
#include "pool/guest.h"
#include "run.h"

#define FIELDS_MAX SL_EVENT_FIELDS_MAX

static const struct sl__telemetry *hub_of(const struct sl_pipe_run *run) {
    const struct sl_pipe_options *options = &run->options;
    const struct sl_runtime *runtime = options->runtime;
    if (runtime == NULL && options->pool_count > 0) {
        runtime = sl__pool_runtime(options->pools[0].pool);
    }
    return runtime != NULL ? &runtime->telemetry : &sl__telemetry_none;
}

/* What all events of a stage have. Returns how many. */
static uint32_t describe(const struct sl__stage_run *stage, struct sl_event_field *fields) {
    static const char *const kinds[] = {
        [SL_STAGE_NATIVE] = "native", [SL_STAGE_PYTHON] = "python", [SL_STAGE_ROUTER] = "router"};
    uint32_t count = 0;
    fields[count++] = (struct sl_event_field)SL__TEXT("pipe", stage->run->pipe->name);
    fields[count++] = (struct sl_event_field)SL__TEXT("stage", stage->node->stage.name);
    fields[count++] = (struct sl_event_field)SL__TEXT("kind", kinds[stage->node->stage.kind]);
    return count;
}

static void tell_stage_start(struct sl__stage_run *stage) {
    struct sl_event_field fields[FIELDS_MAX];
    uint32_t count = describe(stage, fields);
    sl__span_begin(&stage->span, stage->run->telemetry, SL__TELEMETRY_PIPE_STAGE_START, stage->run->span.id, 0, fields,
                   count);
    stage->options.span = stage->span.id;
}

void sl__pipe_tell_start(struct sl_pipe_run *run) {
    const struct sl_pipe *pipe = run->pipe;
    run->telemetry = hub_of(run);
    if (sl__telemetry_wants(run->telemetry, SL__TELEMETRY_PIPE_RUN_START)) {
        const struct sl_event_field fields[] = {SL__TEXT("pipe", pipe->name), SL__UINT("stages", pipe->node_count)};
        sl__span_begin(&run->span, run->telemetry, SL__TELEMETRY_PIPE_RUN_START, 0, run->start_ns, fields,
                       SL_COUNT_OF(fields));
    }
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        if (sl__telemetry_wants(run->telemetry, SL__TELEMETRY_PIPE_STAGE_START)) {
            tell_stage_start(&run->stages[i]);
        }
    }
}

void sl__stage_tell_end(struct sl__stage_run *stage) {
    static const struct {
        const char *name;
        enum sl_status status;
    } counts[] = {{"ok", SL_STATUS_OK},
                  {"failed", SL_STATUS_FAILED},
                  {"skipped", SL_STATUS_SKIPPED},
                  {"routed", SL_STATUS_ROUTED}};
    struct sl_pipe_run *run = stage->run;
    struct sl_event_field fields[FIELDS_MAX];
    pthread_mutex_lock(&run->state);
    enum sl_code code = run->error.code;
    pthread_mutex_unlock(&run->state);
    uint64_t refused = atomic_load(&stage->refused);
    uint64_t cancelled = atomic_load(&stage->count[SL_STATUS_CANCELLED]) + refused;
    uint32_t count = describe(stage, fields);
    fields[count++] = (struct sl_event_field)SL__UINT("input", atomic_load(&stage->input) + refused);
    for (size_t i = 0; i < SL_COUNT_OF(counts); i++) {
        fields[count++] = (struct sl_event_field)SL__UINT(counts[i].name, atomic_load(&stage->count[counts[i].status]));
    }
    fields[count++] = (struct sl_event_field)SL__UINT("cancelled", cancelled);
    if (stage->node->stage.kind != SL_STAGE_PYTHON) {
        fields[count++] = (struct sl_event_field)SL__UINT("busy_ns", sl__stage_busy_ns(stage));
    }
    bool fine = code == SL_OK || (cancelled == 0 && !atomic_load(&stage->guilty));
    if (!fine) {
        fields[count++] = (struct sl_event_field)SL__CODE("code", code);
    }
    sl__span_end(&stage->span, run->telemetry,
                 fine ? SL__TELEMETRY_PIPE_STAGE_STOP : SL__TELEMETRY_PIPE_STAGE_EXCEPTION, fields, count);
}

void sl__pipe_tell_end(struct sl_pipe_run *run) {
    for (uint32_t i = 0; i < run->pipe->node_count; i++) {
        if (sl__span_open(&run->stages[i].span)) {
            sl__stage_tell_end(&run->stages[i]);
        }
    }
    if (!sl__span_open(&run->span)) {
        return;
    }
    enum sl_code code = run->error.code;
    bool fine = code == SL_OK;
    const struct sl_event_field fields[] = {SL__TEXT("pipe", run->pipe->name),
                                            SL__UINT("input", atomic_load(&run->tail)),
                                            SL__UINT("finished", run->finished), SL__CODE("code", code)};
    sl__span_end(&run->span, run->telemetry, fine ? SL__TELEMETRY_PIPE_RUN_STOP : SL__TELEMETRY_PIPE_RUN_EXCEPTION,
                 fields, SL_COUNT_OF(fields) - (fine ? 1 : 0));
}
