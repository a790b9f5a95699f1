/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "telemetry/telemetry.h"

#define HEARD_MAX 64

struct ear {
    _Atomic uint32_t count;
    struct sl_event events[HEARD_MAX]; /* of tests with one thread */
    uint64_t number;                   /* of the field `calls`, where it is there */
};

static void hear(void *context, const struct sl_event *event) {
    struct ear *ear = context;
    uint32_t i = atomic_fetch_add(&ear->count, 1);
    if (i < HEARD_MAX) {
        ear->events[i] = *event;
    }
    const struct sl_event_field *calls = sl_event_get(event, "calls");
    ear->number = calls != NULL ? calls->as_uint : 0;
}

static struct sl_telemetry_handler *attach_to(struct sl__telemetry *hub, const char *prefix, sl_event_fn *function,
                                              void *context) {
    struct sl_telemetry_handler *handler = NULL;
    assert_int_equal(sl__telemetry_attach(hub, prefix, function, context, &handler, NULL), SL_OK);
    assert_non_null(handler);
    return handler;
}

static void tell_of_a_session(struct sl__telemetry *hub, uint64_t calls) {
    if (sl__telemetry_wants(hub, SL__TELEMETRY_SESSION_CLOSED)) {
        const struct sl_event_field fields[] = {SL__UINT("session", 7), SL__UINT("calls", calls)};
        sl__telemetry_tell(hub, SL__TELEMETRY_SESSION_CLOSED, 0, fields, SL_COUNT_OF(fields));
    }
}

static void begin_call(struct sl__telemetry *hub, struct sl__span *span, uint64_t parent) {
    *span = (struct sl__span){0};
    if (sl__telemetry_wants(hub, SL__TELEMETRY_CALL_START)) {
        sl__span_begin(span, hub, SL__TELEMETRY_CALL_START, parent, 0, NULL, 0);
    }
}

static void end_call(struct sl__telemetry *hub, struct sl__span *span, enum sl_code code) {
    const struct sl_event_field fields[] = {SL__CODE("code", code)};
    if (sl__span_open(span)) {
        sl__span_end(span, hub, code == SL_OK ? SL__TELEMETRY_CALL_STOP : SL__TELEMETRY_CALL_EXCEPTION, fields,
                     code == SL_OK ? 0 : 1);
    }
}

static void without_a_handler_nothing_is_wanted(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct ear ear = {0};
    assert_true(sl__telemetry_init(&hub));
    for (unsigned i = 0; i < SL__TELEMETRY_COUNT; i++) {
        assert_false(sl__telemetry_wants(&hub, (enum sl__telemetry_event)i));
        assert_false(sl__telemetry_wants(&sl__telemetry_none, (enum sl__telemetry_event)i));
    }
    struct sl_telemetry_handler *handler = attach_to(&hub, "slither", hear, &ear);
    for (unsigned i = 0; i < SL__TELEMETRY_COUNT; i++) {
        assert_true(sl__telemetry_wants(&hub, (enum sl__telemetry_event)i));
    }
    sl_telemetry_detach(handler);
    for (unsigned i = 0; i < SL__TELEMETRY_COUNT; i++) {
        assert_false(sl__telemetry_wants(&hub, (enum sl__telemetry_event)i));
    }
    /* Who has looked before that tells, and nobody hears it. */
    sl__telemetry_tell(&hub, SL__TELEMETRY_SESSION_OPENED, 0, NULL, 0);
    assert_int_equal(ear.count, 0);
    sl_telemetry_detach(NULL);
    sl__telemetry_finish(&hub);
    struct sl__telemetry zeroed = {0};
    sl__telemetry_finish(&zeroed);
}

static void each_hears_what_it_has_attached_to(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct ear sessions = {0}, calls = {0}, all = {0};
    assert_true(sl__telemetry_init(&hub));
    struct sl_telemetry_handler *first = attach_to(&hub, "slither.session", hear, &sessions);
    (void)attach_to(&hub, "slither.call", hear, &calls);
    (void)attach_to(&hub, "", hear, &all);
    tell_of_a_session(&hub, 3);
    assert_int_equal(sessions.count, 1);
    assert_int_equal(calls.count, 0);
    assert_int_equal(all.count, 1);
    const struct sl_event *event = &sessions.events[0];
    assert_string_equal(event->name, "slither.session.closed");
    assert_ptr_equal(event->name, sl_event_kind_at(event->kind)->name);
    assert_int_equal(event->phase, SL_EVENT_SINGLE);
    assert_int_equal(event->span, 0);
    assert_int_equal(sessions.number, 3);
    assert_true(event->time_ns > 0 && event->wall_ns > 0);
    sl_telemetry_detach(first);
    tell_of_a_session(&hub, 4);
    assert_int_equal(sessions.count, 1);
    assert_int_equal(all.count, 2);
    sl__telemetry_finish(&hub); /* frees the two that are left */
}

static void the_events_of_a_span_belong_together(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct ear ear = {0};
    struct sl__span outer, inner;
    assert_true(sl__telemetry_init(&hub));
    struct sl_telemetry_handler *handler = attach_to(&hub, "slither.call", hear, &ear);
    begin_call(&hub, &outer, 0);
    begin_call(&hub, &inner, outer.id);
    assert_true(sl__span_open(&inner));
    end_call(&hub, &inner, SL_E_PYTHON);
    assert_false(sl__span_open(&inner));
    end_call(&hub, &outer, SL_OK);
    assert_int_equal(ear.count, 4);
    const struct sl_event *events = ear.events;
    assert_true(events[0].span != 0 && events[1].span != 0 && events[0].span != events[1].span);
    assert_int_equal(events[1].parent, events[0].span);
    assert_int_equal(events[2].span, events[1].span);
    assert_int_equal(events[2].parent, events[0].span);
    assert_int_equal(events[2].phase, SL_EVENT_EXCEPTION);
    assert_int_equal(events[3].span, events[0].span);
    assert_int_equal(events[3].phase, SL_EVENT_STOP);
    assert_int_equal(events[3].duration_ns, events[3].time_ns - events[0].time_ns);
    assert_int_equal(events[0].duration_ns, 0);
    sl_telemetry_detach(handler);
    sl__telemetry_finish(&hub);
}

static void of_a_span_one_hears_start_and_end_or_neither(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct ear early = {0}, late = {0}, ends = {0};
    struct sl__span unheard, first, second;
    assert_true(sl__telemetry_init(&hub));
    begin_call(&hub, &unheard, 0);
    assert_false(sl__span_open(&unheard));
    struct sl_telemetry_handler *first_handler = attach_to(&hub, "slither.call", hear, &early);
    begin_call(&hub, &first, 0);
    struct sl_telemetry_handler *late_handler = attach_to(&hub, "slither.call", hear, &late);
    end_call(&hub, &unheard, SL_OK);
    end_call(&hub, &first, SL_OK);
    assert_int_equal(early.count, 2);
    assert_int_equal(late.count, 0);
    begin_call(&hub, &second, 0);
    sl_telemetry_detach(first_handler);
    end_call(&hub, &second, SL_OK);
    assert_int_equal(early.count, 3);
    assert_int_equal(late.count, 2);
    sl_telemetry_detach(late_handler);
    /* Who wants the ends alone gets them. */
    struct sl_telemetry_handler *end_handler = attach_to(&hub, "slither.call.exception", hear, &ends);
    begin_call(&hub, &second, 0);
    assert_true(sl__span_open(&second));
    end_call(&hub, &second, SL_E_TIMEOUT);
    assert_int_equal(ends.count, 1);
    assert_int_equal(ends.events[0].span, ends.events[0].span);
    sl_telemetry_detach(end_handler);
    sl__telemetry_finish(&hub);
}

static void what_cannot_be_attached_is_refused(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct ear ear = {0};
    struct sl_telemetry_handler *handlers[SL_TELEMETRY_HANDLERS_MAX], *more = NULL;
    struct sl_error error = SL_ERROR_INIT;
    assert_true(sl__telemetry_init(&hub));
    assert_int_equal(sl__telemetry_attach(&hub, "slither.dispach", hear, &ear, &more, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "slither.dispach"));
    assert_non_null(strstr(error.message, "did you mean \"slither.dispatch\""));
    for (uint32_t i = 0; i < SL_TELEMETRY_HANDLERS_MAX; i++) {
        handlers[i] = attach_to(&hub, "slither", hear, &ear);
    }
    assert_int_equal(sl__telemetry_attach(&hub, "slither", hear, &ear, &more, &error), SL_E_LIMIT);
    assert_null(more);
    tell_of_a_session(&hub, 0);
    assert_int_equal(ear.count, SL_TELEMETRY_HANDLERS_MAX);
    sl_telemetry_detach(handlers[3]);
    handlers[3] = attach_to(&hub, "slither", hear, &ear);
    sl__telemetry_finish(&hub);
    sl_error_finish(&error);
}

/* ---- handlers that attach, detach and cause ------------------------------------------------------------------------- */

struct busy {
    struct sl__telemetry *hub;
    struct sl_telemetry_handler *self, *other;
    uint32_t count;
    struct ear ear;
};

static void detach_both(void *context, const struct sl_event *event) {
    struct busy *busy = context;
    (void)event;
    busy->count++;
    sl_telemetry_detach(busy->self);
    sl_telemetry_detach(busy->other);
}

static void a_handler_may_detach_itself_and_others(void **state) {
    (void)state;
    struct sl__telemetry hub;
    assert_true(sl__telemetry_init(&hub));
    struct busy busy = {.hub = &hub};
    busy.self = attach_to(&hub, "slither", detach_both, &busy);
    busy.other = attach_to(&hub, "slither", hear, &busy.ear);
    tell_of_a_session(&hub, 0);
    assert_int_equal(busy.count, 1);
    assert_int_equal(busy.ear.count, 1); /* it had been chosen before */
    tell_of_a_session(&hub, 0);
    assert_int_equal(busy.count, 1);
    assert_int_equal(busy.ear.count, 1);
    sl__telemetry_finish(&hub);
}

static void attach_another(void *context, const struct sl_event *event) {
    struct busy *busy = context;
    (void)event;
    if (busy->count++ == 0) {
        busy->other = attach_to(busy->hub, "slither", hear, &busy->ear);
    }
    tell_of_a_session(busy->hub, 0); /* of what a handler causes nobody is told */
}

static void what_a_handler_causes_is_not_told(void **state) {
    (void)state;
    struct sl__telemetry hub;
    assert_true(sl__telemetry_init(&hub));
    struct busy busy = {.hub = &hub};
    busy.self = attach_to(&hub, "slither", attach_another, &busy);
    tell_of_a_session(&hub, 0);
    assert_int_equal(busy.count, 1);
    assert_int_equal(busy.ear.count, 0);
    tell_of_a_session(&hub, 0);
    assert_int_equal(busy.count, 2);
    assert_int_equal(busy.ear.count, 1);
    sl__telemetry_finish(&hub);
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool inside, open;
    _Atomic bool left;
};

static void hold(void *context, const struct sl_event *event) {
    struct gate *gate = context;
    (void)event;
    pthread_mutex_lock(&gate->lock);
    gate->inside = true;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    atomic_store(&gate->left, true);
}

static void *tell_once(void *context) {
    tell_of_a_session(context, 0);
    return NULL;
}

struct detacher {
    struct sl_telemetry_handler *handler;
    struct gate *gate;
    bool had_left;
};

static void *detach(void *context) {
    struct detacher *detacher = context;
    sl_telemetry_detach(detacher->handler);
    detacher->had_left = atomic_load(&detacher->gate->left);
    return NULL;
}

static void detaching_waits_for_the_call_that_is_under_way(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t teller, ender;
    assert_true(sl__telemetry_init(&hub));
    struct detacher detacher = {attach_to(&hub, "slither", hold, &gate), &gate, false};
    assert_int_equal(pthread_create(&teller, NULL, tell_once, &hub), 0);
    pthread_mutex_lock(&gate.lock);
    while (!gate.inside) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(pthread_create(&ender, NULL, detach, &detacher), 0);
    while (sl__telemetry_wants(&hub, SL__TELEMETRY_SESSION_CLOSED)) {
        sched_yield(); /* until it has been taken off the list */
    }
    assert_false(atomic_load(&gate.left));
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    pthread_join(ender, NULL);
    pthread_join(teller, NULL);
    assert_true(detacher.had_left);
    sl__telemetry_finish(&hub);
}

struct crowd {
    struct sl__telemetry *hub;
    _Atomic bool over;
    _Atomic uint64_t spans;
};

static void *talk(void *context) {
    struct crowd *crowd = context;
    while (!atomic_load(&crowd->over)) {
        struct sl__span outer, inner;
        begin_call(crowd->hub, &outer, 0);
        begin_call(crowd->hub, &inner, outer.id);
        tell_of_a_session(crowd->hub, 1);
        end_call(crowd->hub, &inner, SL_E_PYTHON);
        end_call(crowd->hub, &outer, SL_OK);
        atomic_fetch_add(&crowd->spans, 2);
    }
    return NULL;
}

/* Adds up to 0 when of every span that began the end was heard, and no other. */
struct sums {
    _Atomic uint64_t spans, starts, ends;
    _Atomic uint32_t gone; /* calls after the detachment */
    bool detached;         /* plain: TSan sees a call that comes too late */
};

static void add_up(void *context, const struct sl_event *event) {
    struct sums *sums = context;
    atomic_fetch_add(&sums->gone, sums->detached);
    if (event->phase == SL_EVENT_START) {
        atomic_fetch_add(&sums->spans, event->span);
        atomic_fetch_add(&sums->starts, 1);
    } else if (event->phase != SL_EVENT_SINGLE) {
        atomic_fetch_sub(&sums->spans, event->span);
        atomic_fetch_add(&sums->ends, 1);
    }
}

static void handlers_come_and_go_while_others_talk(void **state) {
    (void)state;
    struct sl__telemetry hub;
    struct sums steady = {0};
    pthread_t threads[3];
    assert_true(sl__telemetry_init(&hub));
    struct sl_telemetry_handler *handler = attach_to(&hub, "slither", add_up, &steady);
    struct crowd crowd = {.hub = &hub};
    for (size_t i = 0; i < SL_COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &crowd), 0);
    }
    for (int i = 0; i < 60; i++) {
        struct sums passing = {0};
        struct sl_telemetry_handler *other = attach_to(&hub, "slither.call", add_up, &passing);
        while (i % 10 == 0 && atomic_load(&passing.ends) == 0) {
            sched_yield(); /* until it has heard some */
        }
        sl_telemetry_detach(other);
        passing.detached = true;
        assert_int_equal(passing.gone, 0);
        /* Three threads with at most two spans each that were cut off; an end without a start there never is. */
        assert_in_range(passing.starts - passing.ends, 0, 6);
    }
    atomic_store(&crowd.over, true);
    for (size_t i = 0; i < SL_COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(steady.starts, steady.ends);
    assert_int_equal(steady.spans, 0);
    assert_int_equal(steady.starts, crowd.spans);
    sl_telemetry_detach(handler);
    sl__telemetry_finish(&hub);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_handler_nothing_is_wanted),
        cmocka_unit_test(each_hears_what_it_has_attached_to),
        cmocka_unit_test(the_events_of_a_span_belong_together),
        cmocka_unit_test(of_a_span_one_hears_start_and_end_or_neither),
        cmocka_unit_test(what_cannot_be_attached_is_refused),
        cmocka_unit_test(a_handler_may_detach_itself_and_others),
        cmocka_unit_test(what_a_handler_causes_is_not_told),
        cmocka_unit_test(detaching_waits_for_the_call_that_is_under_way),
        cmocka_unit_test(handlers_come_and_go_while_others_talk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
