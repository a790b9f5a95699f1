/* SPDX-License-Identifier: MIT */
/* Runs views, and sends what comes of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "service.h"
#include "sys/clock.h"

#define NS_PER_MS 1000000u
#define RESULT_KEPT (256u << 10) /* memory of a result that a thread keeps for the next */

static _Thread_local const struct sl__frame *current_frame; /* set only on threads of this room, while a view runs */

const struct sl__frame *sl__frame_current(void) {
    return current_frame;
}

/* ---- replies that are no results ------------------------------------------------------------------------------------- */

/* Without the lock. */
void sl__call_refuse(struct sl__port *port, struct sl__server *server, uint64_t number, enum sl__call_outcome outcome,
                     enum sl_code code, const char *message, const char *traceback) {
    struct sl__call_reply head = {.number = number, .outcome = outcome, .code = (uint32_t)code};
    struct sl_value value;
    struct sl_writer *writer = &server->details;
    sl_writer_reset(writer);
    sl_write_map(writer, traceback != NULL ? 2 : 1);
    /* A view's text may be anything, and may have been cut. */
    size_t size = sl__utf8_valid_size(message, strlen(message));
    sl_write_str(writer, "message");
    sl_write_strn(writer, size > 0 ? message : sl_code_text(code), size > 0 ? size : strlen(sl_code_text(code)));
    if (traceback != NULL) {
        sl_write_str(writer, "traceback");
        sl_write_str(writer, traceback);
    }
    if (sl_writer_end(writer, &value, NULL) !=
        SL_OK) { /* no memory, or a view's text is not UTF-8: the code has to do */
        value = (struct sl_value){(const uint8_t *)"\xc0", 1};
    }
    head.size = value.size;
    sl__port_reply(port, server, &head, value.data);
}

static void reply_error(struct sl__port *port, struct sl__server *server, uint64_t number,
                        const struct sl_error *error) {
    sl__call_refuse(port, server, number, SL__CALL_FAILED, error->code,
                    error->message[0] != '\0' ? error->message : sl_code_text(error->code), error->traceback);
}

/* ---- running a view ------------------------------------------------------------------------------------------------- */

/* `call` for each key, as its only argument. */
static enum sl_code run_each(const struct sl_view *view, struct sl_view_call *shown, struct sl_writer *result,
                             struct sl_error *error) {
    struct sl_iter keys;
    struct sl_value key, keyword, list = shown->keys;
    struct sl_writer argument;
    uint32_t count = 0, index = 0;
    enum sl_code code = sl_value_count(list, &count);
    sl_writer_init(&argument, NULL);
    sl_write_list(result, count);
    shown->keys = (struct sl_value){0};
    shown->keywords = (struct sl_value){(const uint8_t *)"\x80", 1};
    if (code == SL_OK) {
        code = sl_iter_init(&keys, list);
    }
    for (; code == SL_OK && sl_iter_next(&keys, &keyword, &key); index++) {
        sl_writer_reset(&argument);
        sl_write_list(&argument, 1);
        sl_write_value(&argument, key);
        code = sl_writer_end(&argument, &shown->positional, error);
        if (code == SL_OK) {
            code = view->options.call(view->options.context, shown, result, error);
        }
    }
    if (code != SL_OK && error->code != SL_OK) {
        char cause[SL_ERROR_MESSAGE_SIZE];
        memcpy(cause, error->message, sizeof cause);
        snprintf(error->message, sizeof error->message, "key %u of %u: %.440s", index - 1, count,
                 cause[0] != '\0' ? cause : sl_code_text(code));
    }
    sl_writer_finish(&argument);
    return code;
}

/* call_many with the only argument as its list. */
static enum sl_code run_as_many(const struct sl_view *view, struct sl_view_call *shown, struct sl_writer *result,
                                struct sl_error *error) {
    uint32_t positional = 0, keywords = 0;
    struct sl_writer list;
    struct sl_value results, first;
    if (sl_value_count(shown->positional, &positional) != SL_OK || positional != 1 ||
        sl_value_count(shown->keywords, &keywords) != SL_OK || keywords != 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "view %s takes keys only: call it with one argument",
                            shown->name);
    }
    shown->keys = shown->positional;
    shown->positional = shown->keywords = (struct sl_value){0};
    sl_writer_init(&list, NULL);
    enum sl_code code = view->options.call_many(view->options.context, shown, &list, error);
    if (code == SL_OK) {
        code = sl_writer_end(&list, &results, error);
    }
    if (code == SL_OK && (sl_value_type(results) != SL_TYPE_LIST || sl_value_count(results, &positional) != SL_OK ||
                          positional != 1 || sl_value_at(results, 0, &first) != SL_OK)) {
        code = sl_error_set(error, SL_E_BAD_RESULT, "view %s gave no list with one entry for one key", shown->name);
    }
    if (code == SL_OK) {
        sl_write_value(result, first);
    }
    sl_writer_finish(&list);
    return code;
}

static enum sl_code check_result(const struct sl__call *call, struct sl_writer *writer, struct sl_value *value,
                                 struct sl_error *error) {
    uint32_t count = 0, expected = 0;
    enum sl_code code = sl_writer_end(writer, value, error);
    if (code != SL_OK) {
        char cause[SL_ERROR_MESSAGE_SIZE];
        memcpy(cause, error->message, sizeof cause);
        return sl_error_set(error, code == SL_E_INVALID_ARGUMENT ? SL_E_BAD_RESULT : code,
                            "the result of view %s cannot be sent: %.420s", call->view->options.name, cause);
    }
    if (call->in.mode == SL__CALL_MANY &&
        (sl_value_type(*value) != SL_TYPE_LIST || sl_value_count(*value, &count) != SL_OK ||
         sl_value_count(call->in.keys, &expected) != SL_OK || count != expected)) {
        return sl_error_set(error, SL_E_BAD_RESULT, "view %s gave a %s of %u entries for %u keys; expected a list",
                            call->view->options.name, sl_type_name(sl_value_type(*value)), count, expected);
    }
    return SL_OK;
}

static enum sl_code run_view(struct sl__server *server, struct sl__call *call, struct sl_value *value,
                             struct sl_error *error) {
    const struct sl_view *view = call->view;
    uint64_t now = call->began_ns;
    struct sl_view_call shown = {
        .size = sizeof shown,
        .name = view->options.name,
        .pool = call->port->pool,
        .worker = call->port->config.worker,
        .generation = call->port->config.generation,
        .depth = call->frame.depth,
        .timeout_ms = call->deadline_ns > now ? (uint32_t)((call->deadline_ns - now) / NS_PER_MS) : 0,
        .positional = call->in.positional,
        .keywords = call->in.keywords,
        .keys = call->in.keys,
        .session = call->in.session,
    };
    enum sl_code code;
    sl_writer_reset(&server->writer);
    current_frame = &call->frame;
    if (call->in.mode == SL__CALL_ONE) {
        code = view->options.call != NULL ? view->options.call(view->options.context, &shown, &server->writer, error)
                                          : run_as_many(view, &shown, &server->writer, error);
    } else {
        code = view->options.call_many != NULL
                   ? view->options.call_many(view->options.context, &shown, &server->writer, error)
                   : run_each(view, &shown, &server->writer, error);
    }
    current_frame = NULL;
    if (code == SL_OK) {
        return check_result(call, &server->writer, value, error);
    }
    if (error->code == SL_OK) {
        (void)sl_error_set(error, code, "%s", sl_code_text(code));
    }
    error->code = code;
    return code;
}

/* With the lock held. */
static void begin(struct sl__upcalls *home, struct sl__call *call) {
    call->view->running++;
    call->began_ns = sl__clock_now_ns();
    home->stats.call_count++;
    sl__list_push_back(&home->running, &call->link);
    if (call->holds) {
        sl__late_watch(home, call->began_ns + SL__HOLD_NS);
    }
}

/* With the lock held. */
bool sl__call_may_run(const struct sl__upcalls *home, const struct sl_view *view) {
    return home->running.count < home->running_max &&
           (view->options.concurrency == 0 || view->running < view->options.concurrency);
}

void sl__call_free(struct sl__call *call) {
    sl__request_finish(&call->in);
    sl__port_unref(call->port);
    free(call->heap);
}

/* With the lock held. */
static struct sl__call *next_waiting(struct sl__upcalls *home) {
    struct sl__link *link = sl__list_first(&home->waiting);
    for (; link != NULL; link = sl__list_after(&home->waiting, link)) {
        struct sl__call *call = SL_CONTAINER_OF(link, struct sl__call, link);
        if (sl__call_may_run(home, call->view)) {
            sl__list_remove(&home->waiting, link);
            return call;
        }
    }
    return NULL;
}

/* With the lock held. The view has returned; whether its result is still wanted. */
static bool end(struct sl__upcalls *home, struct sl__call *call, bool failed) {
    sl__list_remove(&home->running, &call->link);
    call->view->running--;
    sl__view_release(call->view);
    call->view = NULL;
    call->port->swift = sl__clock_now_ns() - call->began_ns < SL__SWIFT_NS;
    bool wanted = !call->answered && !call->port->closed;
    call->port->unanswered -= !call->answered;
    home->stats.failure_count += failed;
    home->stats.dropped_count += !wanted;
    return wanted;
}

/* ---- what handlers of the runtime's events are told, without the lock -------------------------------------------------- */

/* clang-format off */
#define OF_VIEW(call) \
    SL__TEXT("view", (call)->view->options.name), \
    SL__TEXT("pool", (call)->port->pool), \
    SL__UINT("worker", (call)->port->config.worker), \
    SL__UINT("generation", (call)->port->config.generation), \
    SL__UINT("session", (call)->in.session)
/* clang-format on */

static void tell_start(const struct sl__telemetry *telemetry, const struct sl__call *call, struct sl__span *span) {
    uint32_t count = 0;
    bool many = call->in.mode == SL__CALL_MANY && sl_value_count(call->in.keys, &count) == SL_OK;
    const struct sl_event_field fields[] = {OF_VIEW(call), SL__UINT("depth", call->frame.depth),
                                            SL__UINT("keys", count)};
    sl__span_begin(span, telemetry, SL__TELEMETRY_BRIDGE_VIEW_START, 0, call->began_ns, fields,
                   SL_COUNT_OF(fields) - (many ? 0 : 1));
}

static void tell_end(struct sl__upcalls *home, const struct sl__call *call, struct sl__span *span, enum sl_code code,
                     size_t size) {
    pthread_mutex_lock(&home->lock);
    bool wanted = !call->answered && !call->port->closed;
    pthread_mutex_unlock(&home->lock);
    const struct sl_event_field stop[] = {OF_VIEW(call), SL__UINT("bytes", size), SL__BOOL("wanted", wanted)};
    const struct sl_event_field exception[] = {OF_VIEW(call), SL__CODE("code", code), SL__BOOL("wanted", wanted)};
    const struct sl__telemetry *telemetry = &home->runtime->telemetry;
    if (code == SL_OK) {
        sl__span_end(span, telemetry, SL__TELEMETRY_BRIDGE_VIEW_STOP, stop, SL_COUNT_OF(stop));
    } else {
        sl__span_end(span, telemetry, SL__TELEMETRY_BRIDGE_VIEW_EXCEPTION, exception, SL_COUNT_OF(exception));
    }
}

/*
 * With the lock held, which it lets go meanwhile; the call has begun, and is gone afterwards. Returns the next one that has begun, or NULL: the
 * thread is a listener again then. That is said before the reply is sent: its receiver may call again at once, and would find one listener
 * less than there is.
 */
static struct sl__call *run(struct sl__server *server, struct sl__call *call) {
    struct sl__upcalls *home = server->home;
    struct sl_error error;
    struct sl_value value = {0};
    sl__error_init(&error);
    pthread_mutex_unlock(&home->lock);
    const struct sl__telemetry *telemetry = &home->runtime->telemetry;
    struct sl__span span = {0};
    if (sl__telemetry_wants(telemetry, SL__TELEMETRY_BRIDGE_VIEW_START)) {
        tell_start(telemetry, call, &span);
    }
    enum sl_code code = run_view(server, call, &value, &error);
    if (sl__span_open(&span)) {
        tell_end(home, call, &span, code, value.size);
    }

    pthread_mutex_lock(&home->lock);
    bool wanted = end(home, call, code != SL_OK);
    struct sl__call *next = home->closing ? NULL : next_waiting(home);
    server->held = call->holds ? call->port : NULL;
    if (next != NULL) {
        if (call->holds) {
            server->held = NULL;
            sl__port_again(call->port);
        }
        begin(home, next);
    } else {
        home->listeners++;
    }
    server->listens = next == NULL;
    pthread_mutex_unlock(&home->lock);

    if (wanted && code == SL_OK) {
        struct sl__call_reply head = {.number = call->in.number, .size = value.size, .outcome = SL__CALL_RESULT};
        sl__port_reply(call->port, server, &head, value.data);
    } else if (wanted) {
        reply_error(call->port, server, call->in.number, &error);
    }
    sl__call_free(call);
    sl_error_finish(&error);
    if (server->writer.capacity > RESULT_KEPT) {
        sl_writer_finish(&server->writer);
        sl_writer_init(&server->writer, NULL);
    }
    pthread_mutex_lock(&home->lock);
    return next;
}

void sl__call_run(struct sl__server *server, struct sl__call *call) {
    struct sl__upcalls *home = server->home;
    home->listeners--;
    server->listens = false;
    begin(home, call);
    while (call != NULL) {
        call = run(server, call);
    }
}
