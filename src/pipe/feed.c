/* SPDX-License-Identifier: MIT */
/* Feeding a run: one item at a time by whoever pushes, or all of a source. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"

#define READS_MAX 256     /* of the source in one go, when all that is read goes elsewhere */
#define ROOM_ITEMS_MAX 32 /* that are read before it is looked again whether there is room */

/* ---- feeding ----------------------------------------------------------------------------------------------------- */

void sl__pipe_run_room(struct sl_pipe_run *run) {
    if (!atomic_load(&run->feeder_waits)) {
        return;
    }
    uint64_t in_flight = atomic_load(&run->tail) - atomic_load(&run->head), max = run->options.in_flight_max;
    bool bytes_left = in_flight == 0 || atomic_load(&run->bytes) < run->options.in_flight_bytes_max;
    if (in_flight <= max - max / 4 && bytes_left) {
        atomic_store(&run->feeder_waits, false);
        sl__pipe_run_wake(run);
    }
}

/* Looks whether an item may be taken, and how many more before this has to be looked at again. Feeder only. */
static bool has_room(struct sl_pipe_run *run) {
    uint64_t bytes = atomic_load(&run->bytes) + run->host_bytes;
    uint64_t in_flight = atomic_load(&run->tail) - atomic_load(&run->head);
    uint64_t bytes_max = run->options.in_flight_bytes_max, items_max = run->options.in_flight_max;
    if (bytes > atomic_load_explicit(&run->bytes_peak, memory_order_relaxed)) {
        atomic_store_explicit(&run->bytes_peak, bytes, memory_order_relaxed);
    }
    run->room_items = 0;
    if (in_flight >= items_max || (bytes >= bytes_max && in_flight > 0)) {
        return false;
    }
    uint64_t items = SL_MIN(items_max - in_flight, (uint64_t)ROOM_ITEMS_MAX);
    for (uint32_t i = 0; i < run->pipe->entry_count; i++) {
        struct sl__stage_run *stage = &run->stages[run->pipe->entry[i]];
        if (stage->hosted) { /* what it has is taken at once */
            continue;
        }
        if (sl__queue_full(&stage->queue)) {
            return false;
        }
        items = 1;
    }
    run->room_items = (int64_t)items;
    run->room_bytes = bytes < bytes_max ? (int64_t)SL_MIN(bytes_max - bytes, (uint64_t)INT64_MAX) : 1;
    return true;
}

static enum sl_code closed(struct sl_pipe_run *run, struct sl_error *error) {
    pthread_mutex_lock(&run->state);
    if (run->error.code != SL_OK) {
        sl_error_copy(error, &run->error);
    } else {
        (void)sl_error_set(error, SL_E_CLOSED, "pipe %s takes nothing more: it was drained or has ended",
                           run->pipe->name);
    }
    pthread_mutex_unlock(&run->state);
    if (error != NULL) {
        error->code = SL_E_CLOSED;
    }
    return SL_E_CLOSED;
}

/* Feeder: with `feed` held, or the one that reads the source. */
static enum sl_code await_room(struct sl_pipe_run *run, bool may_block, struct sl_error *error) {
    for (;;) {
        uint32_t seen = atomic_load(&run->bell.value);
        if (atomic_load(&run->ending) != SL__PIPE_RUNNING) {
            return closed(run, error);
        }
        if (has_room(run)) {
            return SL_OK;
        }
        if (!may_block) {
            return SL_E_AGAIN;
        }
        /* Looked at once more after the wish is known: what made room before did not know of it. */
        atomic_store(&run->feeder_waits, true);
        if (!has_room(run)) {
            sl__lanes_wait(NULL, 0, &run->bell, seen, 0, &run->spin, false);
        }
        atomic_store(&run->feeder_waits, false);
    }
}

bool sl__pipe_run_has_room(struct sl_pipe_run *run) {
    if (has_room(run)) {
        return true;
    }
    atomic_store(&run->feeder_waits, true);
    return has_room(run);
}

static __attribute__((noinline)) struct sl__token *open_with_meta(struct sl_pipe_run *run, const struct sl_item *item) {
    struct sl__kept meta;
    if (!sl__arena_copy(&run->hand.arena, item->meta, &meta)) {
        return NULL;
    }
    struct sl__token *token = sl__order_open(run, item->id, sl__lent(item->value), meta);
    if (token == NULL) {
        sl__kept_drop(&meta);
    }
    return token;
}

/* Feeder; there is room. */
static inline enum sl_code carry_in(struct sl_pipe_run *run, const struct sl_item *item, struct sl_error *error) {
    struct sl__token *token;
    if (SL_LIKELY(item->meta.size == 0)) {
        token = sl__order_open(run, item->id, sl__lent(item->value), (struct sl__kept){0});
    } else {
        token = open_with_meta(run, item);
    }
    if (SL_UNLIKELY(token == NULL)) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an item of %zu bytes", item->value.size);
    }
    sl__flow_carry(&run->hand, token, 0);
    return SL_OK;
}

static enum sl_code check_item(const struct sl_item *item, struct sl_error *error) {
    if (item->value.data == NULL || item->value.size == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "item %llu has no value", (unsigned long long)item->id);
    }
    if (item->buffer_count > 0) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "item %llu refers to shared buffers, which a pipe does not carry: put the array into the "
                            "value itself",
                            (unsigned long long)item->id);
    }
    return SL_OK;
}

static enum sl_code push(struct sl_pipe_run *run, const struct sl_item *item, bool may_block, struct sl_error *error) {
    enum sl_code code = check_item(item, error);
    if (code != SL_OK) {
        return code;
    }
    if (may_block) {
        pthread_mutex_lock(&run->feed);
    } else if (pthread_mutex_trylock(&run->feed) != 0) {
        return SL_E_AGAIN;
    }
    if (run->host != NULL && !run->host->started && !run->host->hosted) {
        code = sl__stage_launch(run->host, error);
    } else if (run->source.next != NULL) {
        code = sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s is being fed from a source: nothing can be pushed",
                            run->pipe->name);
    }
    if (code == SL_OK) {
        code = await_room(run, may_block, error);
    }
    if (code == SL_OK) {
        code = carry_in(run, item, error);
        sl__hand_tidy(&run->hand);
    }
    pthread_mutex_unlock(&run->feed);
    return code;
}

enum sl_code sl_pipe_push(struct sl_pipe_run *run, const struct sl_item *item, struct sl_error *error) {
    return push(run, item, true, error);
}

enum sl_code sl_pipe_try_push(struct sl_pipe_run *run, const struct sl_item *item, struct sl_error *error) {
    return push(run, item, false, error);
}

/* ---- the whole of a source --------------------------------------------------------------------------------------- */

void sl__pipe_run_source_failed(struct sl_pipe_run *run, enum sl_code code, const struct sl_error *cause) {
    struct sl_error error = SL_ERROR_INIT;
    (void)sl_error_set(&error, SL_E_SOURCE, "the source failed after %llu items with %s: %.400s",
                       (unsigned long long)atomic_load(&run->tail), sl_code_name(code),
                       cause->message[0] != '\0' ? cause->message : sl_code_text(code));
    sl__pipe_run_end(run, SL__PIPE_STOPPING, &error);
    sl_error_finish(&error);
}

static void stop_reading(struct sl_pipe_run *run) {
    sl__hand_tidy(&run->hand); /* nothing comes after the queues are closed */
    sl_pipe_drain(run);
    atomic_store(&run->input_over, true);
    sl__pipe_run_close(run);
}

/* Whether an item may be read: again: no room; closed: the run takes nothing more. */
static enum sl_code may_read(struct sl_pipe_run *run) {
    if (SL_UNLIKELY(atomic_load(&run->ending) != SL__PIPE_RUNNING)) {
        return SL_E_CLOSED;
    }
    if (SL_LIKELY(run->room_items > 0 && run->room_bytes > 0) || has_room(run)) {
        return SL_OK;
    }
    /* Looked at once more after the wish is known: what made room before did not know of it. */
    return sl__pipe_run_has_room(run) ? SL_OK : SL_E_AGAIN;
}

/* Nothing was taken from the source, for this reason. As read_one. */
static __attribute__((noinline)) enum sl_code take_nothing(struct sl_pipe_run *run, enum sl_code code) {
    struct sl_error *error = &run->hand.error;
    if (code != SL_E_AGAIN && code != SL_E_END && code != SL_E_CLOSED) {
        sl__pipe_run_source_failed(run, code, error);
    }
    if (error->code != SL_OK) {
        sl_error_finish(error);
    }
    if (code == SL_E_AGAIN) {
        return code;
    }
    stop_reading(run);
    return SL_E_END;
}

/* Takes one item from the source. again: none now, or no room; end: there will be none. Room first: an item that was read is taken. */
static inline enum sl_code read_one(struct sl_pipe_run *run) {
    struct sl_error *error = &run->hand.error;
    struct sl_item item = {0};
    if (run->hand.untidy) { /* the source may take its time */
        sl__hand_tidy(&run->hand);
    }
    if (run->host != NULL && run->host->hand.untidy) {
        sl__hand_tidy(&run->host->hand);
    }
    enum sl_code code = may_read(run);
    if (SL_LIKELY(code == SL_OK)) {
        code = run->source.next(run->source.context, &item, error);
    }
    if (SL_LIKELY(code == SL_OK)) {
        code = check_item(&item, error);
    }
    if (SL_UNLIKELY(code != SL_OK)) {
        return take_nothing(run, code);
    }
    if (SL_UNLIKELY(error->code != SL_OK)) {
        sl_error_finish(error);
    }
    run->room_items--;
    run->room_bytes -= (int64_t)(item.value.size + item.meta.size);
    code = carry_in(run, &item, error);
    if (SL_UNLIKELY(code != SL_OK)) {
        sl__pipe_run_end(run, SL__PIPE_STOPPING, error);
        return take_nothing(run, SL_E_END);
    }
    return SL_OK;
}

/* Reads until something has come to `stage`. NULL: nothing now. */
static inline struct sl__token *read_for(struct sl_pipe_run *run, struct sl__stage_run *stage) {
    enum sl_code code = SL_OK;
    for (int i = 0; i < READS_MAX && code == SL_OK; i++) {
        code = read_one(run);
        struct sl__token *token = sl__row_pop(&stage->queue.taken);
        if (token != NULL) {
            return token;
        }
    }
    if (code == SL_OK) {
        sl_control_wake(stage->control); /* replies first, then more */
    }
    return NULL;
}

enum sl_code sl__feed_next(void *context, struct sl_item *item, struct sl_error *error) {
    struct sl__stage_run *stage = context;
    struct sl_pipe_run *run = stage->run;
    if (SL_UNLIKELY(sl__stage_crowded(stage))) {
        return SL_E_AGAIN;
    }
    struct sl__token *token = sl__row_pop(&stage->queue.taken);
    if (token == NULL && (token = read_for(run, stage)) == NULL) {
        return atomic_load_explicit(&run->input_over, memory_order_relaxed) ? SL_E_END : SL_E_AGAIN;
    }
    return sl__stage_send(stage, token, item, error);
}

static uint32_t count_threaded(const struct sl_pipe *pipe) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        count += pipe->nodes[i].threaded ? 1 : 0;
    }
    return count;
}

enum sl_code sl_pipe_feed(struct sl_pipe_run *run, struct sl_source source, struct sl_error *error) {
    pthread_mutex_lock(&run->feed);
    bool taken = run->source.next != NULL || (run->host != NULL && run->host->started);
    if (!taken) {
        run->source = source;
        run->solo = count_threaded(run->pipe) <= 1;
    }
    pthread_mutex_unlock(&run->feed);
    if (taken) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "pipe %s is being fed already: a run gets one source, or items by sl_pipe_push()",
                            run->pipe->name);
    }
    if (run->host != NULL) {
        run->host->hosted = true;
        atomic_fetch_add(&run->running, 1);
        sl__stage_work(run->host);
        return SL_OK;
    }
    for (enum sl_code code = SL_OK; code != SL_E_END;) {
        uint32_t seen = atomic_load(&run->bell.value);
        code = read_one(run);
        if (code == SL_E_AGAIN) {
            sl__lanes_wait(NULL, 0, &run->bell, seen, 0, &run->spin, false);
        }
    }
    return SL_OK;
}

enum sl_code sl_pipe_run(struct sl_pipe *pipe, const struct sl_pipe_options *options, struct sl_source source,
                         struct sl_pipe_report *report, struct sl_error *error) {
    struct sl_pipe_run *run;
    enum sl_code code = sl_pipe_start(pipe, options, &run, error);
    if (code == SL_OK) {
        code = sl_pipe_feed(run, source, NULL);
        SL_ASSERT(code == SL_OK);
        code = sl_pipe_finish(run, 0, report, error);
    }
    return code;
}
