/* SPDX-License-Identifier: MIT */
#include "events.h"

#include "sys/clock.h"
#include "telemetry/telemetry.h"

static void tell(const struct sl_pool *pool, enum sl__telemetry_event event, const struct sl_event_field *fields,
                 uint32_t count) {
    sl__telemetry_tell(&pool->runtime->telemetry, event, 0, fields, count);
}

static bool wants(const struct sl_pool *pool, enum sl__telemetry_event event) {
    return sl__telemetry_wants(&pool->runtime->telemetry, event);
}

static void tell_name(const struct sl_pool *pool, enum sl__telemetry_event event) {
    if (wants(pool, event)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name)};
        tell(pool, event, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_started(const struct sl_pool *pool, uint64_t begin_ns) {
    if (wants(pool, SL__TELEMETRY_POOL_STARTED)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__UINT("worker_min", pool->worker_min),
                                                SL__UINT("worker_max", sl__pool_capacity(pool)),
                                                SL__UINT("start_ns", sl__clock_now_ns() - begin_ns)};
        tell(pool, SL__TELEMETRY_POOL_STARTED, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_start_failed(const struct sl_pool *pool, uint64_t begin_ns, enum sl_code code) {
    if (wants(pool, SL__TELEMETRY_POOL_START_FAILED)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__CODE("code", code),
                                                SL__UINT("start_ns", sl__clock_now_ns() - begin_ns)};
        tell(pool, SL__TELEMETRY_POOL_START_FAILED, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_template_ready(const struct sl_pool *pool, bool forks) {
    if (wants(pool, SL__TELEMETRY_POOL_TEMPLATE_READY)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__BOOL("forks", forks)};
        tell(pool, SL__TELEMETRY_POOL_TEMPLATE_READY, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_resized(const struct sl_pool *pool, uint32_t worker_min, uint32_t worker_max) {
    if (wants(pool, SL__TELEMETRY_POOL_RESIZED)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__UINT("worker_min", worker_min),
                                                SL__UINT("worker_max", worker_max)};
        tell(pool, SL__TELEMETRY_POOL_RESIZED, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_exhausted(const struct sl_pool *pool, uint32_t waiting) {
    if (wants(pool, SL__TELEMETRY_POOL_EXHAUSTED)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__UINT("waiting", waiting)};
        tell(pool, SL__TELEMETRY_POOL_EXHAUSTED, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_circuit_opened(const struct sl_pool *pool, uint64_t cooldown_ms) {
    if (wants(pool, SL__TELEMETRY_POOL_CIRCUIT_OPENED)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__CODE("code", pool->failure.code),
                                                SL__UINT("cooldown_ms", cooldown_ms)};
        tell(pool, SL__TELEMETRY_POOL_CIRCUIT_OPENED, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_circuit_half_opened(const struct sl_pool *pool) {
    tell_name(pool, SL__TELEMETRY_POOL_CIRCUIT_HALF_OPENED);
}

void sl__pool_tell_circuit_closed(const struct sl_pool *pool) {
    tell_name(pool, SL__TELEMETRY_POOL_CIRCUIT_CLOSED);
}

void sl__pool_tell_draining(const struct sl_pool *pool, uint32_t timeout_ms) {
    if (wants(pool, SL__TELEMETRY_POOL_DRAINING)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__UINT("timeout_ms", timeout_ms)};
        tell(pool, SL__TELEMETRY_POOL_DRAINING, fields, SL_COUNT_OF(fields));
    }
}

void sl__pool_tell_stopped(const struct sl_pool *pool) {
    tell_name(pool, SL__TELEMETRY_POOL_STOPPED);
}

static const char *reason_name(enum sl__recycle_reason reason) {
    static const char *const names[] = {[SL__RECYCLE_NOT] = "none",
                                        [SL__RECYCLE_BATCHES] = "batches",
                                        [SL__RECYCLE_AGE] = "age",
                                        [SL__RECYCLE_RSS] = "memory"};
    return names[reason];
}

void sl__pool_tell_recycled(const struct sl_pool *pool, uint32_t worker, uint32_t generation,
                            enum sl__recycle_reason reason) {
    if (wants(pool, SL__TELEMETRY_WORKER_RECYCLED)) {
        const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__UINT("worker", worker),
                                                SL__UINT("generation", generation),
                                                SL__TEXT("reason", reason_name(reason))};
        tell(pool, SL__TELEMETRY_WORKER_RECYCLED, fields, SL_COUNT_OF(fields));
    }
}
