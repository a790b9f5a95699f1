/* SPDX-License-Identifier: MIT */
/*
 * Telemetry, for the rooms that have something to tell: a hub belongs to a runtime, and everything that lives in that tells it.
 *
 *     if (sl__telemetry_wants(hub, SL__TELEMETRY_POOL_RESIZED)) {
 *         const struct sl_event_field fields[] = {SL__TEXT("pool", pool->name), SL__UINT("worker_min", worker_min)};
 *         sl__telemetry_tell(hub, SL__TELEMETRY_POOL_RESIZED, 0, fields, SL_COUNT_OF(fields));
 *     }
 *
 * and where something takes time:
 *
 *     sl__span_begin(&span, hub, SL__TELEMETRY_CALL_START, parent, 0, fields, count);     // behind the same question
 *     if (sl__span_open(&span)) { sl__span_end(&span, hub, SL__TELEMETRY_CALL_STOP, fields, count); }
 */
#ifndef SLITHER_TELEMETRY_TELEMETRY_H
#define SLITHER_TELEMETRY_TELEMETRY_H

#include <stdatomic.h>

#include <slither/telemetry.h>

#include "base/macros.h"
#include "telemetry/events.h"

struct sl__audience;

struct sl__telemetry {
    /*
     * Bit `event`: somebody is attached to it, or, where it is the start of a span, to what ends that. Read without a lock: whoever sees an old value tells
     * what nobody hears, or does not tell what came with the attachment; who hears what is decided under the lock.
     */
    _Atomic uint64_t wanted;
    struct sl__audience *audience;
};

/* Of what has no runtime: nobody can attach to it. */
extern const struct sl__telemetry sl__telemetry_none;

/* False: no memory. A zeroed one may be finished. */
bool sl__telemetry_init(struct sl__telemetry *hub) __attribute__((warn_unused_result));
/* Nobody hears anything any more: waits for what is being told, and frees the handlers that are left. Not from a handler. */
void sl__telemetry_close(struct sl__telemetry *hub);
/* Closes it. Nothing is told any more, not even to nobody. */
void sl__telemetry_finish(struct sl__telemetry *hub);
enum sl_code sl__telemetry_attach(struct sl__telemetry *hub, const char *prefix, sl_event_fn *function, void *context,
                                  struct sl_telemetry_handler **handler, struct sl_error *error) SL_MUST_CHECK;

/* Any thread. */
static inline bool sl__telemetry_wants(const struct sl__telemetry *hub, enum sl__telemetry_event event) {
    return SL_UNLIKELY((atomic_load_explicit(&hub->wanted, memory_order_relaxed) >> event & 1) != 0);
}

/*
 * What is told: `fields` in the order of the list. Handlers are called before it returns, so that locks which the caller holds are held by them: it should hold
 * none, and never one that a function takes which they may call. Texts are UTF-8, or are made so.
 */
void sl__telemetry_tell(const struct sl__telemetry *hub, enum sl__telemetry_event event, uint64_t parent,
                        const struct sl_event_field *fields, uint32_t field_count);

/* ---- spans -------------------------------------------------------------------------------------------------------- */

/* Zeroed: not open. */
struct sl__span {
    uint64_t id; /* 0: not open */
    uint64_t parent;
    uint64_t start_ns;
};

/* `start_ns` 0: now. */
void sl__span_begin(struct sl__span *span, const struct sl__telemetry *hub, enum sl__telemetry_event start,
                    uint64_t parent, uint64_t start_ns, const struct sl_event_field *fields, uint32_t field_count);
static inline bool sl__span_open(const struct sl__span *span) {
    return SL_UNLIKELY(span->id != 0);
}
/* `end`: the stop or the exception of its start. Open spans only; it is not open afterwards. */
void sl__span_end(struct sl__span *span, const struct sl__telemetry *hub, enum sl__telemetry_event end,
                  const struct sl_event_field *fields, uint32_t field_count);

/* ---- fields: initialisers ------------------------------------------------------------------------------------------ */

/* clang-format off */
#define SL__UINT(name_, value_) {.name = (name_), .type = SL_FIELD_UINT, .as_uint = (value_)}
#define SL__INT(name_, value_) {.name = (name_), .type = SL_FIELD_INT, .as_int = (value_)}
#define SL__FLOAT(name_, value_) {.name = (name_), .type = SL_FIELD_FLOAT, .as_float = (value_)}
#define SL__BOOL(name_, value_) {.name = (name_), .type = SL_FIELD_BOOL, .as_bool = (value_)}
#define SL__TEXT(name_, value_) {.name = (name_), .type = SL_FIELD_TEXT, .as_text = (value_)}
#define SL__CODE(name_, value_) {.name = (name_), .type = SL_FIELD_CODE, .as_code = (value_)}
/* clang-format on */

#endif
