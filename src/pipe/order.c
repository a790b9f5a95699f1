/* SPDX-License-Identifier: MIT */
/*
 * Origins: what is under way of each item of the source, and in which order outputs are given to the sinks.
 *
 * WHO TOUCHES WHAT. An origin's slot belongs to the feeder until `tail` has passed it (release), then to whoever has one of its tokens, and, from the moment when
 * `live` is 0 (release), to the deliverer until `head` has passed it. While `live` is 1 the one token's holder is alone: nobody else can end or make a token
 * of that origin. With more of them the line and the mark are changed under the lock `order`.
 *
 * THE DELIVERER. Whoever takes `due` from 0 is it, and stays it until it has brought `due` back to 0; the others leave their finds to it. It looks at the origins
 * after it has read `due`: a thread that ended an origin added to `due` afterwards, so either that look has seen the end, or `due` is not
 * what was read and another look follows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "run.h"

static struct sl__origin *slot(const struct sl_pipe_run *run, uint64_t sequence) {
    return &run->origins[sequence & run->origin_mask];
}

const struct sl__origin *sl__order_origin(const struct sl_pipe_run *run, uint64_t sequence) {
    return slot(run, sequence);
}

void sl__token_destroy(struct sl__token *token) {
    sl__pipe_blob_unref(token->blob);
    if (token->made != NULL) {
        sl__emissions_finish(token->made);
        free(token->made);
    }
    if (token->error != NULL) {
        sl_error_finish(token->error);
        free(token->error);
    }
    free(token);
}

uint64_t sl__order_open(struct sl_pipe_run *run, uint64_t id, struct sl__pipe_blob *meta) {
    uint64_t sequence = atomic_load_explicit(&run->tail, memory_order_relaxed);
    /* Acquire: what the deliverer did with the slot before is over. */
    uint64_t in_flight = sequence + 1 - atomic_load_explicit(&run->head, memory_order_acquire);
    SL_ASSERT(in_flight <= run->origin_mask + 1);
    struct sl__origin *origin = slot(run, sequence);
    origin->id = id;
    origin->meta = meta;
    origin->cancelled = false;
    origin->line = NULL;
    atomic_store_explicit(&origin->live, 1, memory_order_relaxed);
    run->in_flight_peak = SL_MAX(run->in_flight_peak, (uint32_t)in_flight);
    atomic_store_explicit(&run->tail, sequence + 1, memory_order_release);
    return sequence;
}

void sl__order_add(struct sl_pipe_run *run, uint64_t sequence, uint32_t more) {
    atomic_fetch_add_explicit(&slot(run, sequence)->live, more, memory_order_relaxed);
}

/* ---- giving out -------------------------------------------------------------------------------------------------- */

static void give(struct sl_pipe_run *run, const struct sl__token *token, uint64_t id,
                 const struct sl__pipe_blob *meta) {
    struct sl__output_run *output = &run->outputs[token->output];
    const char *name = run->pipe->outputs[token->output];
    if (atomic_load_explicit(&run->sinks_closed, memory_order_relaxed)) {
        return;
    }
    atomic_fetch_add_explicit(&output->count, 1, memory_order_relaxed);
    sl__pipe_run_trace(run, token, name, SL_STATUS_OK);
    if (output->sink == NULL) {
        return;
    }
    const struct sl_pipe_outcome outcome = {
        .size = sizeof outcome,
        .output = name,
        .id = id,
        .origin = token->origin,
        .value = sl__pipe_blob_value(token->blob),
        .meta = sl__pipe_blob_value(meta),
        .stage = token->producer != SL__NOWHERE ? run->pipe->nodes[token->producer].stage.name : NULL,
        .error = token->error,
    };
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = output->sink->put(output->sink->context, &outcome, &error);
    if (code != SL_OK) {
        atomic_store(&run->sinks_closed, true);
        if (code != SL_E_END) {
            char cause[SL_ERROR_MESSAGE_SIZE];
            memcpy(cause, error.message, sizeof cause);
            (void)sl_error_set(&error, SL_E_SINK, "the sink of output %s failed at item %llu with %s: %.400s", name,
                               (unsigned long long)token->origin, sl_code_name(code),
                               cause[0] != '\0' ? cause : sl_code_text(code));
        }
        sl__pipe_run_end(run, SL__PIPE_CANCELLING, code != SL_E_END ? &error : NULL);
    }
    sl_error_finish(&error);
}

/* Gives out what is finished, from the oldest origin on. Deliverer only. */
static void advance(struct sl_pipe_run *run) {
    uint64_t head = atomic_load_explicit(&run->head, memory_order_relaxed);
    while (head < atomic_load_explicit(&run->tail, memory_order_acquire) &&
           atomic_load_explicit(&slot(run, head)->live, memory_order_acquire) == 0) {
        struct sl__origin *origin = slot(run, head);
        run->gap = run->gap || origin->cancelled;
        for (struct sl__token *token = origin->line, *next; token != NULL; token = next) {
            next = token->next;
            if (!run->gap) {
                give(run, token, origin->id, origin->meta);
            }
            sl__token_destroy(token);
        }
        sl__pipe_blob_unref(origin->meta);
        run->finished += origin->cancelled ? 0 : 1;
        if (!run->gap && !atomic_load_explicit(&run->sinks_closed, memory_order_relaxed)) {
            run->resume = head + 1;
        }
        atomic_store(&run->head, ++head);
        sl__pipe_run_room(run);
    }
}

/* An origin may be finished. */
static void deliver(struct sl_pipe_run *run) {
    if (atomic_fetch_add_explicit(&run->due, 1, memory_order_acq_rel) > 0) {
        return;
    }
    uint32_t seen = 1;
    do {
        advance(run);
    } while (!atomic_compare_exchange_strong_explicit(&run->due, &seen, 0, memory_order_acq_rel, memory_order_acquire));
}

static bool before(const struct sl__token *a, const struct sl__token *b) {
    for (uint32_t i = 0; i < SL_MIN(a->depth, b->depth); i++) {
        if (a->path[i] != b->path[i]) {
            return a->path[i] < b->path[i];
        }
    }
    return a->depth < b->depth;
}

static void line_up(struct sl__origin *origin, struct sl__token *token) {
    struct sl__token **place = &origin->line;
    while (*place != NULL && !before(token, *place)) {
        place = &(*place)->next;
    }
    token->next = *place;
    *place = token;
}

/* Takes one token off. The last one finishes the origin. */
static void leave(struct sl_pipe_run *run, struct sl__origin *origin) {
    uint32_t before = atomic_fetch_sub_explicit(&origin->live, 1, memory_order_acq_rel);
    SL_ASSERT(before > 0);
    if (before == 1) {
        deliver(run);
    }
}

static bool is_alone(const struct sl__origin *origin) {
    return atomic_load_explicit(&origin->live, memory_order_acquire) == 1;
}

void sl__order_arrive(struct sl_pipe_run *run, struct sl__token *token) {
    struct sl__origin *origin = slot(run, token->origin);
    if (run->options.ordering != SL_ORDERING_PRESERVE) {
        struct sl__output_run *output = &run->outputs[token->output];
        pthread_mutex_lock(&output->lock);
        give(run, token, origin->id, origin->meta);
        pthread_mutex_unlock(&output->lock);
        sl__order_end(run, token, false);
        return;
    }
    if (is_alone(origin)) {
        line_up(origin, token);
    } else {
        pthread_mutex_lock(&run->order);
        line_up(origin, token);
        pthread_mutex_unlock(&run->order);
    }
    leave(run, origin);
}

void sl__order_end(struct sl_pipe_run *run, struct sl__token *token, bool cancelled) {
    struct sl__origin *origin = slot(run, token->origin);
    sl__token_destroy(token);
    if (cancelled) {
        pthread_mutex_lock(&run->order);
        origin->cancelled = true;
        pthread_mutex_unlock(&run->order);
    }
    leave(run, origin);
}
