/* SPDX-License-Identifier: MIT */
/*
 * Who is told what.
 *
 * One lock, held for moments and never while a handler runs. Under it an event finds out who hears it, and those are counted as running; a span gets its number
 * there, too, and a handler remembers the last number that was given out before it came: so it hears of a span the start and the end, or neither. Detaching takes
 * the handler off the list, after which no event finds it, and waits until nobody runs it.
 *
 * A thread that runs handlers stands in `callers`. What happens on it meanwhile is told to nobody, so that a handler cannot call itself without end; and when it
 * detaches it must not wait: for itself it would wait for ever, and two handlers that detach each other would, too. The last call then frees the handler.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "kinds.h"
#include "sys/clock.h"
#include "sys/process.h"

struct sl_telemetry_handler {
    struct sl__audience *audience;
    sl_event_fn *function;
    void *context;
    uint64_t events;      /* a set */
    uint64_t spans_after; /* spans up to this one began before it came */
    uint32_t running;
    bool orphaned; /* detached, and nobody waits: the last call frees it */
};

/* On the stack of a thread that runs handlers. */
struct caller {
    pthread_t thread;
    struct caller *next;
};

struct sl__audience {
    struct sl__telemetry *hub;
    pid_t owner;          /* the process that made it */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t quiet; /* some handler is not running any more, or none is */
    struct sl_telemetry_handler *handlers[SL_TELEMETRY_HANDLERS_MAX];
    uint32_t handler_count;
    uint64_t last_span;
    struct caller *callers;
};

const struct sl__telemetry sl__telemetry_none = {0};

/* ---- attached, detached -------------------------------------------------------------------------------------------- */

bool sl__telemetry_init(struct sl__telemetry *hub) {
    atomic_init(&hub->wanted, 0);
    hub->audience = calloc(1, sizeof *hub->audience);
    if (hub->audience == NULL) {
        return false;
    }
    hub->audience->hub = hub;
    hub->audience->owner = sl__process_id();
    pthread_mutex_init(&hub->audience->lock, NULL);
    pthread_cond_init(&hub->audience->quiet, NULL);
    return true;
}

void sl__telemetry_finish(struct sl__telemetry *hub) {
    if (hub->audience == NULL) {
        return;
    }
    sl__telemetry_close(hub);
    pthread_cond_destroy(&hub->audience->quiet);
    pthread_mutex_destroy(&hub->audience->lock);
    free(hub->audience);
    hub->audience = NULL;
}

/* With the lock. A span has to begin for whoever wants to hear how it ends. */
static void say_what_is_wanted(struct sl__audience *audience) {
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < audience->handler_count; i++) {
        uint64_t events = audience->handlers[i]->events;
        wanted |= events;
        for (unsigned kind = 0; kind < SL__TELEMETRY_COUNT; kind++) {
            enum sl_event_phase phase = sl__event_kinds[kind].phase;
            if (phase > SL_EVENT_START && (events >> kind & 1) != 0) {
                wanted |= (uint64_t)1 << (kind - (unsigned)(phase - SL_EVENT_START));
            }
        }
    }
    atomic_store_explicit(&audience->hub->wanted, wanted, memory_order_relaxed);
}

enum sl_code sl__telemetry_attach(struct sl__telemetry *hub, const char *prefix, sl_event_fn *function, void *context,
                                  struct sl_telemetry_handler **out, struct sl_error *error) {
    struct sl__audience *audience = hub->audience;
    uint64_t events = sl__event_matches(prefix);
    if (events == 0) {
        const char *nearest = "";
        int size = (int)sl__event_nearest(prefix, &nearest);
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "no event is \"%.80s\", or begins with it up to a dot; did you mean \"%.*s\"? \"slither\" is all of them; "
            "docs/telemetry.md and sl_event_kind_at() list them",
            prefix, size, nearest);
    }
    struct sl_telemetry_handler *handler = calloc(1, sizeof *handler);
    if (handler == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a handler of events");
    }
    *handler =
        (struct sl_telemetry_handler){.audience = audience, .function = function, .context = context, .events = events};
    pthread_mutex_lock(&audience->lock);
    bool fits = audience->handler_count < SL_TELEMETRY_HANDLERS_MAX;
    if (fits) {
        handler->spans_after = audience->last_span;
        audience->handlers[audience->handler_count++] = handler;
        *out = handler;
        say_what_is_wanted(audience);
    }
    pthread_mutex_unlock(&audience->lock);
    if (!fits) {
        free(handler);
        return sl_error_set(error, SL_E_LIMIT,
                            "the runtime has %d handlers of events, which is the most allowed; detach one of them",
                            SL_TELEMETRY_HANDLERS_MAX);
    }
    return SL_OK;
}

/* With the lock. */
static bool is_caller(const struct sl__audience *audience) {
    const struct caller *caller = audience->callers;
    while (caller != NULL && !pthread_equal(caller->thread, pthread_self())) {
        caller = caller->next;
    }
    return caller != NULL;
}

void sl__telemetry_close(struct sl__telemetry *hub) {
    struct sl__audience *audience = hub->audience;
    pthread_mutex_lock(&audience->lock);
    SL_ASSERT(!is_caller(audience));
    uint32_t count = audience->handler_count;
    audience->handler_count = 0; /* for who begins to tell now */
    say_what_is_wanted(audience);
    while (audience->callers != NULL) {
        pthread_cond_wait(&audience->quiet, &audience->lock);
    }
    for (uint32_t i = 0; i < count; i++) {
        free(audience->handlers[i]);
    }
    pthread_mutex_unlock(&audience->lock);
}

void sl_telemetry_detach(struct sl_telemetry_handler *handler) {
    if (handler == NULL || sl__process_id() != handler->audience->owner) {
        return; /* a forked child has a copy, of which some thread may have had the lock */
    }
    struct sl__audience *audience = handler->audience;
    pthread_mutex_lock(&audience->lock);
    uint32_t i = 0;
    while (i < audience->handler_count && audience->handlers[i] != handler) {
        i++;
    }
    SL_ASSERT(i < audience->handler_count); /* else it was detached before */
    audience->handler_count--;
    memmove(&audience->handlers[i], &audience->handlers[i + 1],
            (audience->handler_count - i) * sizeof(audience->handlers[0]));
    say_what_is_wanted(audience);
    if (is_caller(audience)) {
        handler->orphaned = handler->running > 0;
    } else {
        while (handler->running > 0) {
            pthread_cond_wait(&audience->quiet, &audience->lock);
        }
    }
    bool mine = !handler->orphaned;
    pthread_mutex_unlock(&audience->lock);
    if (mine) {
        free(handler);
    }
}

/* ---- telling ------------------------------------------------------------------------------------------------------- */

/* Each field is in the list, with its type, and none is before one that the list has earlier. */
static bool is_as_listed(const struct sl_event *event) {
    const struct sl_event_kind *kind = &sl__event_kinds[event->kind];
    uint32_t k = 0;
    for (uint32_t i = 0; i < event->field_count; i++) {
        while (k < kind->field_count && strcmp(kind->fields[k].name, event->fields[i].name) != 0) {
            k++;
        }
        if (k == kind->field_count || kind->fields[k].type != event->fields[i].type) {
            return false;
        }
    }
    return true;
}

/* With the lock. Those who hear it, which are counted as running from now on. */
static uint32_t choose(struct sl__audience *audience, const struct sl_event *event,
                       struct sl_telemetry_handler **chosen) {
    uint32_t count = 0;
    bool ends = event->phase > SL_EVENT_START;
    for (uint32_t i = 0; i < audience->handler_count; i++) {
        struct sl_telemetry_handler *handler = audience->handlers[i];
        if ((handler->events >> event->kind & 1) != 0 && (!ends || event->span > handler->spans_after)) {
            handler->running++;
            chosen[count++] = handler;
        }
    }
    return count;
}

/* With the lock. */
static void leave(struct sl__audience *audience, const struct caller *self, struct sl_telemetry_handler **chosen,
                  uint32_t count) {
    struct caller **at = &audience->callers;
    while (*at != self) {
        at = &(*at)->next;
    }
    *at = self->next;
    if (audience->callers == NULL) {
        pthread_cond_broadcast(&audience->quiet);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (--chosen[i]->running > 0) {
            continue;
        }
        if (chosen[i]->orphaned) {
            free(chosen[i]);
        } else {
            pthread_cond_broadcast(&audience->quiet);
        }
    }
}

/* `span` not NULL: of a start; gets a number, and is written where somebody listens. */
static void tell(struct sl__audience *audience, struct sl_event *event, struct sl__span *span) {
    struct sl_telemetry_handler *chosen[SL_TELEMETRY_HANDLERS_MAX];
    struct caller self = {.thread = pthread_self()};
    SL_ASSERT(event->field_count <= SL_EVENT_FIELDS_MAX && is_as_listed(event));
    pthread_mutex_lock(&audience->lock);
    if (audience->handler_count == 0 || (audience->callers != NULL && is_caller(audience))) {
        pthread_mutex_unlock(&audience->lock);
        return;
    }
    if (span != NULL) {
        event->span = span->id = ++audience->last_span;
    }
    uint32_t count = choose(audience, event, chosen);
    if (count > 0) {
        self.next = audience->callers;
        audience->callers = &self;
    }
    pthread_mutex_unlock(&audience->lock);
    if (count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        chosen[i]->function(chosen[i]->context, event);
    }
    pthread_mutex_lock(&audience->lock);
    leave(audience, &self, chosen, count);
    pthread_mutex_unlock(&audience->lock);
}

static struct sl_event make(enum sl__telemetry_event event, const struct sl_event_field *fields, uint32_t field_count) {
    const struct sl_event_kind *kind = &sl__event_kinds[event];
    return (struct sl_event){
        .size = sizeof(struct sl_event),
        .name = kind->name,
        .kind = (uint32_t)event,
        .phase = kind->phase,
        .time_ns = sl__clock_now_ns(),
        .wall_ns = sl__clock_wall_ns(),
        .fields = fields,
        .field_count = field_count,
    };
}

void sl__telemetry_tell(const struct sl__telemetry *hub, enum sl__telemetry_event event, uint64_t parent,
                        const struct sl_event_field *fields, uint32_t field_count) {
    struct sl_event told = make(event, fields, field_count);
    SL_ASSERT(told.phase == SL_EVENT_SINGLE);
    told.parent = parent;
    tell(hub->audience, &told, NULL);
}

void sl__span_begin(struct sl__span *span, const struct sl__telemetry *hub, enum sl__telemetry_event start,
                    uint64_t parent, uint64_t start_ns, const struct sl_event_field *fields, uint32_t field_count) {
    struct sl_event told = make(start, fields, field_count);
    SL_ASSERT(told.phase == SL_EVENT_START);
    told.time_ns = start_ns != 0 ? start_ns : told.time_ns;
    told.parent = parent;
    *span = (struct sl__span){.parent = parent, .start_ns = told.time_ns};
    tell(hub->audience, &told, span);
}

void sl__span_end(struct sl__span *span, const struct sl__telemetry *hub, enum sl__telemetry_event end,
                  const struct sl_event_field *fields, uint32_t field_count) {
    struct sl_event told = make(end, fields, field_count);
    SL_ASSERT(span->id != 0 && told.phase > SL_EVENT_START);
    told.span = span->id;
    told.parent = span->parent;
    told.duration_ns = told.time_ns - span->start_ns;
    span->id = 0;
    tell(hub->audience, &told, NULL);
}
