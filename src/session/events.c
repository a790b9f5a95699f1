/* SPDX-License-Identifier: MIT */
/* What handlers of the runtime's events are told of sessions. */
#include "base/macros.h"
#include "inside.h"
#include "sys/clock.h"
#include "telemetry/telemetry.h"

#define FIELDS_MAX 8

static const struct sl__telemetry *hub_of(const struct sl_session *session) {
    return &session->sessions->runtime->telemetry;
}

/* What all events of a session have. Returns how many. */
static uint32_t describe(const struct sl_session *session, struct sl_event_field *fields) {
    uint32_t count = 0;
    fields[count++] = (struct sl_event_field)SL__TEXT("pool", session->sessions->name);
    fields[count++] = (struct sl_event_field)SL__UINT("session", session->id);
    if (session->name[0] != '\0') {
        fields[count++] = (struct sl_event_field)SL__TEXT("name", session->name);
    }
    return count;
}

void sl__session_tell_opened(const struct sl_session *session) {
    struct sl_event_field fields[FIELDS_MAX];
    if (sl__telemetry_wants(hub_of(session), SL__TELEMETRY_SESSION_OPENED)) {
        uint32_t count = describe(session, fields);
        sl__telemetry_tell(hub_of(session), SL__TELEMETRY_SESSION_OPENED, 0, fields, count);
    }
}

static const char *reason_name(enum sl__end end) {
    static const char *const names[] = {
        [SL__END_NOT] = "none",      [SL__END_CLOSED] = "closed", [SL__END_PROCESS] = "process",
        [SL__END_THREAD] = "thread", [SL__END_LEASE] = "lease",   [SL__END_TTL] = "ttl",
        [SL__END_IDLE] = "idle",     [SL__END_POOL] = "pool",
    };
    return names[end];
}

void sl__session_tell_closed(const struct sl_session *session) {
    struct sl_event_field fields[FIELDS_MAX];
    if (sl__telemetry_wants(hub_of(session), SL__TELEMETRY_SESSION_CLOSED)) {
        uint32_t count = describe(session, fields);
        fields[count++] = (struct sl_event_field)SL__TEXT("reason", reason_name(session->end));
        fields[count++] = (struct sl_event_field)SL__UINT("calls", session->call_count);
        fields[count++] = (struct sl_event_field)SL__UINT("age_ns", session->end_ns - session->open_ns);
        sl__telemetry_tell(hub_of(session), SL__TELEMETRY_SESSION_CLOSED, 0, fields, count);
    }
}

/* Its home is the worker that is gone. */
static void tell_of_home(const struct sl_session *session, enum sl__telemetry_event event) {
    struct sl_event_field fields[FIELDS_MAX];
    if (sl__telemetry_wants(hub_of(session), event)) {
        uint32_t count = describe(session, fields);
        fields[count++] = (struct sl_event_field)SL__UINT("worker", session->home->worker);
        fields[count++] = (struct sl_event_field)SL__UINT("generation", session->home->generation);
        sl__telemetry_tell(hub_of(session), event, 0, fields, count);
    }
}

void sl__session_tell_lost(const struct sl_session *session) {
    tell_of_home(session, SL__TELEMETRY_SESSION_LOST);
}

void sl__session_tell_moved(const struct sl_session *session) {
    tell_of_home(session, SL__TELEMETRY_SESSION_MOVED);
}

void sl__session_tell_checkpoint(const struct sl_session *session) {
    struct sl_event_field fields[FIELDS_MAX];
    if (sl__telemetry_wants(hub_of(session), SL__TELEMETRY_SESSION_CHECKPOINTED)) {
        uint32_t count = describe(session, fields);
        fields[count++] = (struct sl_event_field)SL__UINT("bytes", session->checkpoint_size);
        sl__telemetry_tell(hub_of(session), SL__TELEMETRY_SESSION_CHECKPOINTED, 0, fields, count);
    }
}

void sl__session_tell_progress(const struct sl__sessions *sessions, const struct sl__progress_told *told) {
    struct sl_event_field fields[FIELDS_MAX];
    uint32_t count = 0;
    fields[count++] = (struct sl_event_field)SL__TEXT("pool", sessions->name);
    if (told->label[0] != '\0') {
        fields[count++] = (struct sl_event_field)SL__TEXT("function", told->label);
    }
    fields[count++] = (struct sl_event_field)SL__UINT("session", told->call->session);
    fields[count++] = (struct sl_event_field)SL__UINT("worker", told->call->worker);
    fields[count++] = (struct sl_event_field)SL__UINT("generation", told->call->generation);
    fields[count++] = (struct sl_event_field)SL__FLOAT("done", told->progress.done);
    fields[count++] = (struct sl_event_field)SL__FLOAT("total", told->progress.total);
    fields[count++] = (struct sl_event_field)SL__TEXT("text", told->progress.text);
    sl__telemetry_tell(&sessions->runtime->telemetry, SL__TELEMETRY_CALL_PROGRESS, told->span, fields, count);
}
