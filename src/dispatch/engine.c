/* SPDX-License-Identifier: MIT */
/*
 * Engine: one turn of the wheel is harvest, feed, deliver; when none of them has anything to do, wait.
 *
 * Lanes are fed before outcomes are given out, so that workers run while the sink does: one batch is sent, then one is given out. The bell's value is read before anything is
 * looked at: what changes after that makes the wait return at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/macros.h"
#include "pool/guest.h"
#include "run.h"
#include "sys/clock.h"
#include "sys/entropy.h"

#define BATCH_SIZE_MAX 65536u
#define IN_FLIGHT_MAX 1024u
#define REORDER_MAX 65536u
#define KEY_WINDOW_MAX 1048576u

/* ---- options --------------------------------------------------------------------------------------------------------- */

static enum sl_code check_range(const char *name, uint64_t value, uint64_t low, uint64_t high, struct sl_error *error) {
    if (value >= low && value <= high) {
        return SL_OK;
    }
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "dispatch option %s is %llu, expected %llu to %llu", name,
                        (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
}

/* What concerns the state that the function works on. */
static enum sl_code check_state(const struct sl__run *run, struct sl_error *error) {
    const struct sl_dispatch_options *o = &run->options;
    struct sl_value context;
    if (run->executor != NULL && (o->session != NULL || o->context.size > 0 || o->refs)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "dispatch option %s is set, which an executor has no use for; it needs a pool",
                            o->session != NULL ? "session"
                            : o->refs          ? "refs"
                                               : "context");
    }
    if (o->context.size > SL_CONTEXT_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "dispatch option context has %zu bytes, expected at most %d",
                            o->context.size, SL_CONTEXT_MAX);
    }
    if (o->context.size > 0 &&
        sl_value_check(o->context.data, o->context.size, &run->limits, &context, NULL) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "dispatch option context is not one encoded value");
    }
    return SL_OK;
}

static enum sl_code check_options(struct sl__run *run, struct sl_error *error) {
    struct sl_dispatch_options *o = &run->options;
    struct sl_error_policy *policy = &o->policy;
    const struct {
        const char *name;
        uint64_t value, low, high;
    } ranges[] = {
        {"batch_size", o->batch_size, 1, BATCH_SIZE_MAX},
        {"max_weight", o->max_weight, 1, UINT64_MAX},
        {"max_in_flight", o->max_in_flight, 1, IN_FLIGHT_MAX},
        {"max_in_flight_bytes", o->max_in_flight_bytes, 1, UINT64_MAX},
        {"reorder_max", o->reorder_max, 1, REORDER_MAX},
        {"key_window", o->key_window, 1, KEY_WINDOW_MAX},
        {"ordering", (uint64_t)o->ordering, SL_ORDERING_PRESERVE, SL_ORDERING_AS_COMPLETED},
        {"mode", (uint64_t)o->mode, SL_CALL_BATCH, SL_CALL_EACH},
        {"snapshot", (uint64_t)o->snapshot, SL_SNAPSHOT_NONE, SL_SNAPSHOT_BATCH},
        {"affinity", (uint64_t)o->affinity, SL_AFFINITY_DEFAULT, SL_AFFINITY_SPREAD},
        {"policy.on_error", (uint64_t)policy->on_error, SL_ON_ERROR_DEFAULT, SL_ON_ERROR_ISOLATE},
    };
    for (size_t i = 0; i < SL_COUNT_OF(ranges); i++) {
        enum sl_code code = check_range(ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high, error);
        if (code != SL_OK) {
            return code;
        }
    }
    if (o->function == NULL || o->function[0] == '\0') {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "dispatch option function is missing; give the Python function as \"module:function\"");
    }
    if (strlen(o->function) > SL__RUN_FUNCTION_MAX || (run->pool != NULL && strchr(o->function, ':') == NULL)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "dispatch option function is \"%.80s\", expected \"module:function\" of at most %d bytes",
                            o->function, SL__RUN_FUNCTION_MAX);
    }
    if (!(policy->jitter >= 0.0 && policy->jitter <= 1.0)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "dispatch option policy.jitter is %g, expected 0 to 1",
                            policy->jitter);
    }
    if (policy->on_error == SL_ON_ERROR_ROUTE && policy->handler == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "dispatch option policy.on_error is route, but policy.handler is NULL");
    }
    if (policy->on_error == SL_ON_ERROR_DEFAULT) {
        policy->on_error = run->is_stream ? SL_ON_ERROR_SKIP : SL_ON_ERROR_HALT;
    }
    if (policy->on_error != SL_ON_ERROR_ROUTE && policy->on_error != SL_ON_ERROR_ISOLATE) {
        policy->handler = NULL;
    }
    if (policy->max_attempts == 0) {
        policy->max_attempts = policy->on_error == SL_ON_ERROR_ISOLATE ? 1 : SL__RUN_RETRY_ATTEMPTS;
    }
    policy->backoff_ms = policy->backoff_ms != 0 ? policy->backoff_ms : SL__RUN_BACKOFF_MS;
    policy->backoff_max_ms = policy->backoff_max_ms != 0 ? policy->backoff_max_ms : SL__RUN_BACKOFF_MAX_MS;
    return check_state(run, error);
}

static void write_flag(struct sl_writer *writer, const char *name, bool set) {
    if (set) {
        sl_write_str(writer, name);
        sl_write_bool(writer, true);
    }
}

/*
 * The head that each request begins with: [function, {"session": id, "refs": true, "ref_max": n, "snapshot": true, "context": value, "moved": n}], without the keys that
 * do not apply; without a pool nobody reads it.
 */
static enum sl_code write_head(struct sl__run *run, struct sl_error *error) {
    const struct sl_dispatch_options *o = &run->options;
    bool snapshot = o->snapshot == SL_SNAPSHOT_BATCH, context = o->context.size > 0;
    struct sl_writer writer;
    struct sl_value head;
    run->head_moved = run->use.moved;
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, 2);
    sl_write_str(&writer, o->function);
    uint32_t ref_max = o->refs && o->session != NULL ? sl__session_ref_max(o->session) : 0;
    sl_write_map(&writer, 1u + o->refs + (ref_max > 0) + snapshot + context + (run->use.moved > 0));
    sl_write_str(&writer, "session");
    sl_write_uint(&writer, run->use.id);
    write_flag(&writer, "refs", o->refs);
    if (ref_max > 0) {
        sl_write_str(&writer, "ref_max");
        sl_write_uint(&writer, ref_max);
    }
    write_flag(&writer, "snapshot", snapshot);
    if (context) {
        sl_write_str(&writer, "context");
        sl_write_value(&writer, o->context);
    }
    if (run->use.moved > 0) {
        sl_write_str(&writer, "moved");
        sl_write_uint(&writer, run->use.moved);
    }
    enum sl_code code = sl_writer_end(&writer, &head, error);
    if (code == SL_OK && head.size > sizeof run->own_head && run->head == NULL) {
        /* Room for a later `moved`, too. */
        run->head = malloc(SL__RUN_HEAD_MAX + SL_CONTEXT_MAX);
        code = run->head != NULL ? SL_OK : sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the head of a run");
    }
    if (code == SL_OK) {
        run->head = run->head != NULL ? run->head : run->own_head;
        SL_ASSERT(head.size <= (run->head == run->own_head ? sizeof run->own_head : SL__RUN_HEAD_MAX + SL_CONTEXT_MAX));
        memcpy(run->head, head.data, head.size);
        run->head_size = (uint32_t)head.size;
    }
    sl_writer_finish(&writer);
    return code;
}

bool sl__run_renew_head(struct sl__run *run) {
    struct sl_error error;
    if (run->head_moved == run->use.moved) {
        return true;
    }
    if (run->open_seat != NULL) {
        sl__seat_spill_open(run, true); /* it begins with the head that was */
    }
    sl__error_init(&error);
    if (write_head(run, &error) == SL_OK) {
        return true;
    }
    sl__run_end(run, SL__STOPPING, &error);
    sl_error_finish(&error);
    return false;
}

static void free_head(struct sl__run *run) {
    if (run->head != run->own_head) {
        free(run->head);
    }
    run->head = NULL;
}

static const struct sl__telemetry *telemetry_of(const struct sl__run *run) {
    const struct sl_runtime *runtime = run->pool != NULL ? sl__pool_runtime(run->pool) : run->executor->options.runtime;
    return runtime != NULL ? &runtime->telemetry : &sl__telemetry_none;
}

/* Asks for slither.progress, where the caller wants it or somebody listens. Once a turn, as a handler may come while the run is under way. */
static void follow_progress(struct sl__run *run, bool wanted) {
    if (SL_LIKELY(!wanted && !sl__telemetry_wants(run->telemetry, SL__TELEMETRY_CALL_PROGRESS)) ||
        run->asked_progress || run->pool == NULL) {
        return;
    }
    run->asked_progress = true;
    run->use.label = sl__run_label(run);
    run->use.span = run->options.span;
    sl__session_follow(&run->use);
}

enum sl_code sl__run_init(struct sl__run *run, struct sl_pool *pool, const struct sl_dispatch_options *options,
                          struct sl_source source, bool is_stream, struct sl_report *report, struct sl_error *error) {
    memset(run, 0, sizeof *run);
    run->pool = pool;
    run->options = (struct sl_dispatch_options)SL_DISPATCH_OPTIONS_INIT;
    run->own_report = (struct sl_report)SL_REPORT_INIT;
    run->report = report != NULL ? report : &run->own_report;
    run->end_error = run->item_error = (struct sl_error)SL_ERROR_INIT;
    run->source = source;
    run->is_stream = is_stream;
    run->limits = (struct sl_limits)SL_LIMITS_INIT;
    sl__list_init(&run->buckets);
    sl__list_init(&run->waiting);
    sl__list_init(&run->boxes);
    sl__list_init(&run->finished);
    sl__list_init(&run->done);
    sl__list_init(&run->spare);
    if (options != NULL) {
        memcpy(&run->options, options, SL_MIN(options->size, sizeof run->options));
    }
    run->executor = run->options.executor;
    if ((pool == NULL) == (run->executor == NULL)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "a dispatch needs a pool or, in its options, an executor; it has %s",
                            pool == NULL ? "neither" : "both");
    }
    if (pool != NULL && sl__pool_foreign(pool)) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "this process is a forked child of the one that made the pool, and must not use it; make a pool "
            "of its own after the fork");
    }
    enum sl_code code = check_options(run, error);
    if (code != SL_OK) {
        return code;
    }
    sl__bell_init(&run->own_bell);
    run->bell = run->options.control != NULL ? &run->options.control->bell : &run->own_bell;
    run->waiter.bell = run->bell;
    run->telemetry = telemetry_of(run);
    if (pool != NULL) {
        code = sl__session_begin(&run->use, pool, run->options.session, run->options.affinity, run->bell, error);
    }
    if (code == SL_OK) {
        code = write_head(run, error);
    }
    if (code != SL_OK) {
        sl__session_end(&run->use);
        free_head(run);
        return code;
    }
    run->seat_capacity = run->pool_capacity = run->key_capacity = pool != NULL ? sl__pool_capacity(pool) : 1;
    run->seats = calloc(run->seat_capacity, sizeof *run->seats);
    run->wait_lanes = calloc(run->seat_capacity, sizeof(struct sl__lane *));
    /* Nobody would see the latencies of a run without a report: a call does not pay for them. */
    bool reports = report != NULL || is_stream;
    run->latency = reports ? calloc(1, sizeof *run->latency) : NULL;
    if (run->seats == NULL || run->wait_lanes == NULL || (reports && run->latency == NULL)) {
        free(run->seats);
        free(run->wait_lanes);
        free(run->latency);
        sl__session_end(&run->use);
        free_head(run);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a run over %u lanes", run->seat_capacity);
    }
    follow_progress(run, run->options.progress != NULL);
    run->processor_count = pool != NULL ? sl__pool_processors(pool) : 1;
    sl__spin_init_as(&run->spin, run->processor_count < 2);
    run->start_ns = sl__clock_now_ns();
    run->progress_ns = run->start_ns + (uint64_t)run->options.progress_ms * 1000000;
    if (run->options.run_timeout_ms != 0) {
        run->deadline_ns = run->start_ns + (uint64_t)run->options.run_timeout_ms * 1000000;
    }
    run->random = run->options.policy.jitter > 0 ? sl__random_seed() | 1 : 1;
    if (run->executor != NULL) {
        sl__task_attach(run);
    } else {
        run->visit.bell = run->bell;
        sl__visit_inside(&run->visit, true);
        sl__pool_enter(run->pool, &run->visit);
    }
    return SL_OK;
}

/* ---- ending ---------------------------------------------------------------------------------------------------------- */

void sl__run_end(struct sl__run *run, enum sl__ending ending, const struct sl_error *error) {
    if (ending > run->ending) {
        run->ending = ending;
    }
    if (error != NULL && run->end_error.code == SL_OK) {
        sl_error_copy(&run->end_error, error);
    }
}

/* The pool is drained or destroyed: what flies may come back, and nothing else is sent. */
static void look_at_door(struct sl__run *run) {
    if (run->pool == NULL || !sl__pool_shut(run->pool)) {
        return;
    }
    bool unsent = run->open != NULL || run->has_held || run->buckets.count > 0 || run->waiting.count > 0;
    bool whole_call = run->results != NULL && run->report->input == run->options.batch_size;
    bool more = run->ending == SL__RUNNING && !run->source_over && !whole_call;
    if (unsent || more) {
        struct sl_error error;
        sl__error_init(&error);
        (void)sl_error_set(&error, SL_E_CLOSED,
                           "the pool was drained or destroyed while the run had come to %llu items",
                           (unsigned long long)run->report->input);
        sl__run_end(run, SL__STOPPING, &error);
        sl_error_finish(&error);
    } else {
        sl__run_end(run, SL__STOPPING, NULL);
    }
}

static void look_at_control(struct sl__run *run, uint64_t now) {
    struct sl_error error;
    sl__error_init(&error);
    if (run->options.control != NULL) {
        if (atomic_load_explicit(&run->options.control->cancel, memory_order_acquire) != 0 &&
            run->ending < SL__CANCELLING) {
            (void)sl_error_set(&error, SL_E_CANCELLED, "the run was cancelled after %llu items",
                               (unsigned long long)run->report->input);
            sl__run_end(run, SL__CANCELLING, &error);
        } else if (atomic_load_explicit(&run->options.control->drain, memory_order_acquire) != 0) {
            sl__run_end(run, SL__DRAINING, NULL);
        }
    }
    if (run->deadline_ns != 0 && now >= run->deadline_ns && run->ending < SL__CANCELLING) {
        (void)sl_error_set(&error, SL_E_TIMEOUT, "the run was not over after run_timeout_ms, %u ms",
                           run->options.run_timeout_ms);
        sl__run_end(run, SL__CANCELLING, &error);
    }
    if (run->first_acquire_ns != 0 && run->options.acquire_timeout_ms != 0 && run->held_seats == 0 &&
        now >= run->first_acquire_ns + (uint64_t)run->options.acquire_timeout_ms * 1000000) {
        (void)sl_error_set(&error, SL_E_POOL_EXHAUSTED,
                           "no lane became free within acquire_timeout_ms, %u ms; all %u are in use or starting",
                           run->options.acquire_timeout_ms, run->pool_capacity);
        sl__run_end(run, SL__STOPPING, &error);
    }
    sl_error_finish(&error);
    look_at_door(run);
    if (run->ending >= SL__CANCELLING) {
        sl__run_abandon(run);
    }
    if (run->ending >= SL__STOPPING) {
        sl__run_cancel_unsent(run);
    }
}

static bool is_over(const struct sl__run *run) {
    return run->ending != SL__RUNNING && run->flying_count == 0 && run->waiting.count == 0 && run->open == NULL &&
           run->buckets.count == 0 && !run->has_held;
}

/* ---- waiting --------------------------------------------------------------------------------------------------------- */

static void earlier(uint64_t *deadline, uint64_t other) {
    if (other != 0 && (*deadline == 0 || other < *deadline)) {
        *deadline = other;
    }
}

static uint64_t next_deadline(struct sl__run *run, uint64_t now) {
    uint64_t deadline = run->deadline_ns;
    earlier(&deadline, sl__run_seat_deadline(run));
    earlier(&deadline, sl__run_intake_deadline(run));
    earlier(&deadline, run->ask_again_ns);
    if (run->options.progress != NULL) {
        earlier(&deadline, run->progress_ns);
    }
    if (run->first_acquire_ns != 0 && run->options.acquire_timeout_ms != 0 && run->held_seats == 0) {
        earlier(&deadline, run->first_acquire_ns + (uint64_t)run->options.acquire_timeout_ms * 1000000);
    }
    for (struct sl__link *link = sl__list_first(&run->waiting); link != NULL;
         link = sl__list_after(&run->waiting, link)) {
        uint64_t not_before = SL_CONTAINER_OF(link, struct sl__batch, link)->not_before_ns;
        if (not_before > now) {
            earlier(&deadline, not_before);
        }
    }
    return deadline;
}

static void wait_for_something(struct sl__run *run, uint32_t bell_seen, uint64_t now) {
    size_t count = 0;
    struct sl__spin *spin = &run->spin;
    for (uint32_t i = 0; run->pool != NULL && i < run->seat_capacity; i++) {
        const struct sl__seat *seat = &run->seats[i];
        if (seat->lease != NULL && seat->count > 0 && !seat->condemned) {
            run->wait_lanes[count++] = seat->lease->lane;
            /* A call is too short to learn what spinning is worth: the lane remembers it. */
            spin = count == 1 ? &seat->lease->spin : &run->spin;
        }
    }
    sl__run_release_open(run);
    if (sl__run_release_idle(run) && (run->waiting.count > 0 || run->has_held)) {
        return; /* a lane that was to be given back, which only came out in this turn: what needs one asks for it now */
    }
    if (run->waiter.queued && run->waiting.count == 0 && !run->has_held) {
        sl__pool_forget_waiter(run->pool, &run->waiter); /* it must not stand before those who still want a lane */
    }
    if (run->sink != NULL && run->sink->one.flush != NULL) {
        run->sink->one.flush(run->sink->one.context);
    }
    /* Spinning needs a processor that no busy worker wants. */
    bool may_spin = count > 0 && count < run->processor_count;
    sl__lanes_wait(run->wait_lanes, count, run->bell, bell_seen, next_deadline(run, now), spin, may_spin);
}

/* ---- the wheel ------------------------------------------------------------------------------------------------------- */

static void take_progress(struct sl__run *run) {
    if (run->report->size >= sizeof *run->report) {
        (void)sl__session_progress(&run->use, &run->report->progress);
    }
}

static void report_progress(struct sl__run *run, uint64_t now) {
    if (run->options.progress == NULL || now < run->progress_ns) {
        return;
    }
    run->progress_ns = now + (uint64_t)run->options.progress_ms * 1000000;
    take_progress(run);
    run->report->elapsed_ns = now - run->start_ns;
    run->options.progress(run->options.progress_context, run->report);
}

enum sl_code sl__run_next(struct sl__run *run, struct sl_outcome *outcome) {
    if (run->delivered != NULL) {
        sl__order_release(run);
    }
    for (;;) {
        while (!run->turn_due && run->wants_rows && sl__order_give_row(run)) {
        }
        if (!run->turn_due && sl__order_next(run, outcome)) {
            return SL_OK;
        }
        run->turn_due = false;
        uint32_t bell_seen = atomic_load(&run->bell->value);
        uint64_t now = sl__clock_now_ns();
        run->ask_again_ns = 0;
        sl__run_follow_pool(run);
        run->source_dry = false; /* of what rang before the bell was read only this turn can know */
        follow_progress(run, false);
        report_progress(run, now);
        look_at_control(run, now);
        sl__run_harvest(run, now);
        sl__run_send_waiting(run, now);
        bool more = sl__run_intake(run, now);
        if (run->ending >= SL__STOPPING) {
            look_at_control(run, now); /* what ended just now leaves nothing behind that would have to be waited for */
        }
        if (sl__order_ready(run)) {
            continue;
        }
        if (is_over(run)) {
            if (run->done_count == 0) {
                return SL_E_END;
            }
            run->order_lost = true; /* an item's outcome was lost for lack of memory: nothing waits behind it */
            continue;
        }
        if (!more) {
            wait_for_something(run, bell_seen, now);
        }
    }
}

void sl__run_finish(struct sl__run *run) {
    struct sl_outcome outcome;
    if (is_over(run)) {
        sl__run_end(run, SL__CANCELLING, NULL);
    } else {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_CANCELLED, "the run was closed before it was over");
        sl__run_end(run, SL__CANCELLING, &error);
        sl_error_finish(&error);
    }
    while (sl__run_next(run, &outcome) == SL_OK) {
    }
    SL_ASSERT(run->bytes_in_use == 0);
    take_progress(run);
    sl__report_complete(run);
    if (run->executor != NULL) {
        sl__task_detach(run);
    } else {
        (void)sl__run_release_idle(run);
        sl__pool_forget_waiter(run->pool, &run->waiter);
        sl__session_end(&run->use);
    }
    struct sl_pool *pool = run->pool;
    struct sl__link *link;
    while ((link = sl__list_pop_front(&run->spare)) != NULL) {
        sl__batch_destroy(SL_CONTAINER_OF(link, struct sl__batch, link));
    }
    free(run->seats);
    free(run->wait_lanes);
    free(run->latency);
    free(run->bucket_table);
    free(run->hot);
    free(run->pending);
    free(run->text);
    free_head(run);
    sl_error_finish(&run->item_error);
    sl_error_finish(&run->end_error);
    sl_report_finish(&run->own_report);
    if (pool != NULL) {
        sl__visit_inside(&run->visit, false);
        sl__pool_leave(pool, &run->visit);
    }
}
