/* SPDX-License-Identifier: MIT */
/* Asking Python: a batch of a few items for a function of the package, in a session, with refs. */
#include "invoke.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "dispatch/call.h"
#include "loop/runtime.h"
#include "pool/guest.h"
#include "session/session.h"
#include "telemetry/telemetry.h"

#define CHUNK_MAX_LIMIT 65536u
#define BUFFER_MAX 16u
#define PROGRESS_MS 50 /* Python tells it no more often */

static const uint8_t nil_byte = 0xc0;

/* ---- what the caller gives -------------------------------------------------------------------------------------- */

enum sl_code sl__invoke_options(const struct sl_call_options *given, struct sl_call_options *options, const char *what,
                                struct sl_error *error) {
    *options = (struct sl_call_options)SL_CALL_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_call_options, session) + sizeof given->session) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "%s: options.size is %zu; set the options up with SL_CALL_OPTIONS_INIT", what,
                                given->size);
        }
        memcpy(options, given, SL_MIN(given->size, sizeof *options));
    }
    if (options->chunk_max < 1 || options->chunk_max > CHUNK_MAX_LIMIT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: chunk_max is %u, expected 1 to %u", what,
                            options->chunk_max, CHUNK_MAX_LIMIT);
    }
    if (options->buffer_count > BUFFER_MAX || (options->buffer_count > 0 && options->buffers == NULL)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: %u buffers, expected at most %u, and not NULL", what,
                            options->buffer_count, BUFFER_MAX);
    }
    return SL_OK;
}

static bool is_none(struct sl_value value) {
    return value.size == 0 || sl_value_type(value) == SL_TYPE_NIL;
}

enum sl_code sl__invoke_check(const char *what, struct sl_value args, struct sl_value kwargs, struct sl_error *error) {
    if (!is_none(args) && sl_value_type(args) != SL_TYPE_LIST) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: args is of type %s, expected a list or no value", what,
                            sl_type_name(sl_value_type(args)));
    }
    if (!is_none(kwargs) && sl_value_type(kwargs) != SL_TYPE_MAP) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: kwargs is of type %s, expected a map or no value", what,
                            sl_type_name(sl_value_type(kwargs)));
    }
    return SL_OK;
}

enum sl_code sl__invoke_check_name(const char *what, const char *name, bool required, struct sl_error *error) {
    if (name == NULL && !required) {
        return SL_OK;
    }
    if (name == NULL || name[0] == '\0' || strnlen(name, SL_CALL_TARGET_MAX + 1) > SL_CALL_TARGET_MAX) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: the name is %s, expected 1 to %d bytes", what,
                            name == NULL      ? "NULL"
                            : name[0] == '\0' ? "empty"
                                              : "longer",
                            SL_CALL_TARGET_MAX);
    }
    return SL_OK;
}

enum sl_code sl__invoke_check_target(const char *what, const char *target, struct sl_error *error) {
    enum sl_code code = sl__invoke_check_name(what, target, true, error);
    if (code == SL_OK && strchr(target, ':') == NULL) {
        code = sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "%s: the target is \"%.80s\", expected \"module:path.to.callable\"", what, target);
    }
    return code;
}

/* ---- invocations -------------------------------------------------------------------------------------------------- */

void sl__invocation_init(struct sl__invocation *invocation, const char *function) {
    invocation->function = function;
    invocation->label[0] = '\0';
    invocation->count = 0;
    sl_writer_init(&invocation->texts, NULL);
}

void sl__invocation_finish(struct sl__invocation *invocation) {
    sl_writer_finish(&invocation->texts);
}

void sl__invocation_label(struct sl__invocation *invocation, const char *subject, const char *part) {
    /* Once a call, whether it fails or not: no printf. */
    const char *const texts[] = {subject, part != NULL ? "." : "", part != NULL ? part : ""};
    size_t used = 0;
    bool cut = false;
    for (size_t i = 0; i < SL_COUNT_OF(texts); i++) {
        size_t size = strlen(texts[i]), room = sizeof invocation->label - 1 - used;
        cut |= size > room;
        memcpy(invocation->label + used, texts[i], SL_MIN(size, room));
        used += SL_MIN(size, room);
    }
    used = cut ? sl__utf8_valid_size(invocation->label, used) : used;
    invocation->label[used] = '\0';
}

void sl__invocation_add(struct sl__invocation *invocation, struct sl_value value) {
    invocation->values[invocation->count++] = value.size > 0 ? value : (struct sl_value){&nil_byte, 1};
}

enum sl_code sl__invocation_add_text(struct sl__invocation *invocation, const char *text, struct sl_error *error) {
    struct sl_value value = {NULL, 0};
    if (text != NULL) {
        sl_write_str(&invocation->texts, text);
        enum sl_code code = sl_writer_end(&invocation->texts, &value, error);
        if (code != SL_OK) {
            return code;
        }
    }
    sl__invocation_add(invocation, value);
    return SL_OK;
}

/* ---- errors -------------------------------------------------------------------------------------------------------- */

/* The caller asked for `label`; which function of the package did it does not concern him. */
static void name_callee(struct sl_error *error, const struct sl__invocation *invocation) {
    char *at = error != NULL ? strstr(error->message, invocation->function) : NULL;
    if (at == NULL) {
        return;
    }
    /* What it ran for too long: how many values that was is the package's affair, too. */
    static const char batch[] = "a batch of ", ran[] = " items ran ";
    const char *said = "";
    if (strncmp(error->message, batch, sizeof batch - 1) == 0 && at - error->message > (ptrdiff_t)sizeof ran &&
        strncmp(at - (sizeof ran - 1), ran, sizeof ran - 1) == 0) {
        memmove(error->message, at, strlen(at) + 1);
        at = error->message;
        said = " ran";
    }
    char rest[SL_ERROR_MESSAGE_SIZE];
    size_t room = sizeof error->message - (size_t)(at - error->message);
    snprintf(rest, sizeof rest, "%s", at + strlen(invocation->function));
    snprintf(at, room, "%s%s%s", invocation->label, said, rest);
    error->message[sl__utf8_valid_size(error->message, strlen(error->message))] = '\0';
}

/* A slither.error() that was returned. */
static enum sl_code mark_error(struct sl_value value, const struct sl__invocation *invocation, struct sl_error *error) {
    struct sl_mark mark;
    if (sl_value_type(value) != SL_TYPE_MARK || sl_value_mark(value, &mark) != SL_OK || mark.kind != SL_MARK_ERROR) {
        return SL_OK;
    }
    enum sl_code code =
        sl_error_set(error, SL_E_ITEM, "%s: %.*s", invocation->label,
                     (int)SL_MIN(mark.text_size, (size_t)(SL_ERROR_MESSAGE_SIZE - SL__LABEL_SIZE)), mark.text);
    if (error != NULL) {
        error->message[sl__utf8_valid_size(error->message, strlen(error->message))] = '\0';
    }
    return code;
}

/* ---- asking -------------------------------------------------------------------------------------------------------- */

struct follower {
    const struct sl_call_options *options;
    uint64_t seen;
};

static void follow(void *context, const struct sl_report *report) {
    struct follower *follower = context;
    if (report->progress.count != follower->seen) {
        follower->seen = report->progress.count;
        follower->options->progress(follower->options->progress_context, &report->progress);
    }
}

/* What handlers of the runtime's events are told of a call. The pool may be gone when it ends: its name is kept. */
struct told {
    const struct sl__telemetry *telemetry;
    struct sl__span span;
    uint64_t session;
    const char *label;
    char pool[64];
};

static void tell_start(struct told *told, const struct sl__keeper *keeper, const struct sl__invocation *invocation,
                       const struct sl_pool *pool) {
    told->session = sl_session_id(keeper->session);
    told->label = invocation->label;
    snprintf(told->pool, sizeof told->pool, "%s", sl__pool_name(pool));
    const struct sl_event_field fields[] = {SL__TEXT("pool", told->pool), SL__TEXT("function", told->label),
                                            SL__UINT("session", told->session)};
    sl__span_begin(&told->span, told->telemetry, SL__TELEMETRY_CALL_START, 0, 0, fields, SL_COUNT_OF(fields));
}

static void tell_end(struct told *told, enum sl_code code) {
    const struct sl_event_field fields[] = {SL__TEXT("pool", told->pool), SL__TEXT("function", told->label),
                                            SL__UINT("session", told->session), SL__CODE("code", code)};
    if (sl__span_open(&told->span)) {
        bool fine = code == SL_OK;
        sl__span_end(&told->span, told->telemetry, fine ? SL__TELEMETRY_CALL_STOP : SL__TELEMETRY_CALL_EXCEPTION,
                     fields, SL_COUNT_OF(fields) - (fine ? 1 : 0));
    }
}

static enum sl_code ask(struct sl__keeper *keeper, struct sl_dispatch_options *dispatch,
                        const struct sl__invocation *invocation, const struct sl_item *items,
                        struct sl_results *results, uint64_t *ref_count, struct sl_error *error) {
    struct sl_pool *pool;
    struct told told;
    enum sl_code code = sl__session_pool(keeper->session, &pool, error);
    if (code != SL_OK) {
        return code;
    }
    told.telemetry = &sl__pool_runtime(pool)->telemetry;
    told.span = (struct sl__span){0};
    if (sl__telemetry_wants(told.telemetry, SL__TELEMETRY_CALL_START)) {
        tell_start(&told, keeper, invocation, pool);
    }
    dispatch->span = told.span.id;
    dispatch->label = invocation->label;
    code = sl__call_batch(pool, dispatch, items, invocation->count, results, ref_count, error);
    enum sl_code end = code;
    if (code == SL_OK) {
        end = mark_error(results->values[0], invocation, error);
    }
    tell_end(&told, end);
    if (code == SL_OK && end != SL_OK) {
        sl_results_finish(results);
    } else if (code == SL_E_CANCELLED) {
        (void)sl_error_set(error, code, "%s: the call was cancelled", invocation->label);
    } else if (code != SL_OK) {
        name_callee(error, invocation);
    }
    return end;
}

/* A session that has lost its home is told as such; one that has ended has taken the object along. */
static enum sl_code tell_gone(const struct sl_object *object, struct sl_error *error) {
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    sl_session_info(object->keeper->session, &info);
    if (info.state != SL_SESSION_ENDED) {
        return SL_E_SESSION_LOST;
    }
    return sl_error_set(error, SL_E_REF_LOST, "%s: the object went with session %llu: %s", object->type_name,
                        (unsigned long long)object->ref.session, info.reason);
}

enum sl_code sl__object_pool(const struct sl_object *object, struct sl_pool **pool, struct sl_error *error) {
    enum sl_code code = sl__session_pool(object->keeper->session, pool, error);
    return code == SL_E_SESSION_LOST ? tell_gone(object, error) : code;
}

enum sl_code sl__invoke(struct sl__keeper *keeper, const struct sl_object *object,
                        const struct sl_call_options *options, const struct sl__invocation *invocation,
                        struct sl_result *result, struct sl_error *error) {
    struct sl_dispatch_options dispatch = SL_DISPATCH_OPTIONS_INIT;
    struct follower follower = {options, 0};
    struct sl_item items[SL__INVOCATION_VALUES_MAX];
    struct sl_results results;
    uint64_t ref_count;
    struct sl_error own;
    struct sl_error *seen = error != NULL ? error : &own;
    *result = (struct sl_result)SL_RESULT_INIT;
    sl__error_init(&own);
    dispatch.function = invocation->function;
    dispatch.session = keeper->session;
    dispatch.affinity = options->affinity;
    dispatch.context = options->context;
    dispatch.timeout_ms = options->timeout_ms;
    dispatch.acquire_timeout_ms = options->acquire_timeout_ms;
    dispatch.control = options->control;
    dispatch.refs = true;
    if (options->progress != NULL) {
        dispatch.progress_ms = PROGRESS_MS;
        dispatch.progress = follow;
        dispatch.progress_context = &follower;
    }
    for (uint32_t i = 0; i < invocation->count; i++) {
        items[i] = (struct sl_item){.id = i, .value = invocation->values[i]};
    }
    items[0].buffers = options->buffers;
    items[0].buffer_count = options->buffer_count;
    enum sl_code code = ask(keeper, &dispatch, invocation, items, &results, &ref_count, seen);
    if (code == SL_E_SESSION_LOST && object != NULL) {
        code = tell_gone(object, error);
    }
    sl_error_finish(&own);
    return code == SL_OK ? sl__answer_make(keeper, &results, ref_count, result, error) : code;
}
