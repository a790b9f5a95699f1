/* SPDX-License-Identifier: MIT */
/*
 * Telemetry: what the library does, told as it happens. docs/telemetry.md is the guide, and has the list of all events.
 *
 *     struct sl_telemetry_handler *handler = NULL;
 *     sl_telemetry_attach(runtime, "slither.dispatch", tell, context, &handler, &error);
 *     ...
 *     sl_telemetry_detach(handler);
 *
 * An event has a name out of a list that the library knows (sl_event_kind_at), two times and a few fields. Where something takes time there are three
 * of them: `start`, then exactly one of `stop` and `exception`; they share a span. Handlers are attached to a runtime, by the beginning of a name.
 *
 * COST. What nobody has attached to costs one load and one branch. The finest thing that is told is a batch (a transaction, a call), never an item; values of
 * items are in no event.
 */
#ifndef SLITHER_TELEMETRY_H
#define SLITHER_TELEMETRY_H

#include <slither/base.h>
#include <slither/error.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_writer;

#define SL_TELEMETRY_HANDLERS_MAX 16 /**< of one runtime at a time */
#define SL_EVENT_FIELDS_MAX 12       /**< of one event */

enum sl_event_phase {
    SL_EVENT_SINGLE = 0,   /**< stands alone */
    SL_EVENT_START = 1,    /**< a span begins */
    SL_EVENT_STOP = 2,     /**< it has ended as it should */
    SL_EVENT_EXCEPTION = 3 /**< it has ended otherwise; has the field `code` */
};

enum sl_field_type {
    SL_FIELD_UINT = 0,
    SL_FIELD_INT = 1,
    SL_FIELD_FLOAT = 2,
    SL_FIELD_BOOL = 3,
    SL_FIELD_TEXT = 4, /**< UTF-8, NUL-terminated */
    SL_FIELD_CODE = 5  /**< of enum sl_code */
};

/** A field of an event. All of it lives as long as the call of the handler. */
struct sl_event_field {
    const char *name; /**< static storage */
    enum sl_field_type type;
    union {
        uint64_t as_uint;
        int64_t as_int;
        double as_float;
        bool as_bool;
        const char *as_text;
        enum sl_code as_code;
    };
};

/** Something that has happened. Lives as long as the call of the handler. */
struct sl_event {
    size_t size;      /**< sizeof(struct sl_event) of the library */
    const char *name; /**< "slither.dispatch.batch.stop"; static storage: the same pointer for the same kind */
    uint32_t kind;    /**< its place in the list: sl_event_kind_at */
    enum sl_event_phase phase;
    uint64_t time_ns;     /**< CLOCK_MONOTONIC */
    uint64_t wall_ns;     /**< since 1970, UTC */
    uint64_t span;        /**< of this runtime, from 1; the same for a start and what ends it; 0: it stands alone */
    uint64_t parent;      /**< the span that this is a part of; 0: none, or nobody listened when that began */
    uint64_t duration_ns; /**< stop and exception: since the start; else 0 */
    const struct sl_event_field *fields; /**< in the order of the list; those that do not apply are missing */
    uint32_t field_count;
};

/** The field of that name, or NULL. */
SL_API const struct sl_event_field *sl_event_get(const struct sl_event *event, const char *name);

/** Writes it as one value: a map with name, time_ns, wall_ns, span, parent, duration_ns (as far as they are not 0) and fields, a map. */
SL_API void sl_event_write(const struct sl_event *event, struct sl_writer *writer);

/* ---- the list ------------------------------------------------------------------------------------------------------ */

struct sl_event_field_kind {
    const char *name;
    enum sl_field_type type;
    const char *text; /**< what it is, with its unit */
};

/** What there is to know of an event before it happens. Static storage, all of it. */
struct sl_event_kind {
    size_t size; /**< sizeof(struct sl_event_kind) of the library */
    const char *name;
    enum sl_event_phase phase;
    const char *text; /**< when it happens */
    const struct sl_event_field_kind *fields;
    uint32_t field_count;
};

SL_API uint32_t sl_event_kind_count(void);
/** The kind at that place, by groups; NULL past the end. Any thread. */
SL_API const struct sl_event_kind *sl_event_kind_at(uint32_t kind);

/** The name of a type as documents say it: "uint". Static storage; "unknown" for a number that is none. */
SL_API const char *sl_field_type_name(enum sl_field_type type);

/* ---- handlers ------------------------------------------------------------------------------------------------------ */

/**
 * Called when something happens, on the thread where it does: one that runs a dispatch, a pipe's, the runtime's supervising one; by several at once.
 *
 * Some of them hold locks of the library. So it must come back soon, and must not call the library, with these exceptions: the functions of this header, those
 * that read and write values (value.h, json.h), sl_redact(), and what is said to be callable from signal handlers. What the handler itself causes is told to nobody.
 */
typedef void sl_event_fn(void *context, const struct sl_event *event);

struct sl_telemetry_handler;

/**
 * From now on `function` is called for each event of this runtime whose name is `prefix` or begins with it, up to a dot: "slither.dispatch" is all that is about
 * dispatches. "" and "slither" are everything. A span of which the start was before is left out as a whole.
 * slither.call.progress comes from runs that are under way, too, from their next batch on.
 *
 * `*handler` is the caller's until sl_telemetry_detach(), or until the runtime is destroyed, whose last events it is still told. Any thread, also within a handler;
 * does not wait for one. Errors: invalid_argument (with the nearest name, where no event has that prefix), limit_exceeded (SL_TELEMETRY_HANDLERS_MAX),
 * unsupported (in a forked child), out_of_memory.
 */
SL_API SL_MUST_CHECK enum sl_code sl_telemetry_attach(struct sl_runtime *runtime, const char *prefix,
                                                      sl_event_fn *function, void *context,
                                                      struct sl_telemetry_handler **handler, struct sl_error *error);
/**
 * No call begins any more, and none is under way when this returns. NULL is fine. Any thread. Does nothing in a forked child.
 *
 * Within a handler of the same runtime, its own or another, it does not wait, as it could be waiting for itself: calls that other threads had begun may then
 * still be under way.
 */
SL_API void sl_telemetry_detach(struct sl_telemetry_handler *handler);

SL_END_DECLS

#endif
