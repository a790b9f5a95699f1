/* SPDX-License-Identifier: MIT */
/*
 * Origins: what is under way of each item of the source, and in which order outputs are given to the sinks.
 *
 * WHO TOUCHES WHAT. An origin belongs to the feeder until `tail` has passed it (release), then to whoever has one of its tokens, and, from the moment when
 * `live` is 0 (release), to the deliverer, which hands it back to the feeder for another item: by way of `returned`, or straight to `spare` when they are one
 * thread. While `live` is 1 the one token's holder is alone: nobody else can end or make a token of that origin. With more of them the line and the
 * mark are changed under the lock `order`.
 *
 * THE DELIVERER. Whoever takes `due` from 0 is it, and stays it until it has brought `due` back to 0; the others leave their finds to it. It looks at the origins
 * after it has read `due`: a thread that ended an origin added to `due` afterwards, so either that look has seen the end, or `due` is not
 * what was read and another look follows. A thread says so once for many origins, when it tidies up (flow.c). A run on one thread (`solo`) needs nothing
 * of that, and what the oldest origin waited for is given out without having been kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/macros.h"
#include "run.h"

#define BLOCK_ORIGINS 64

/* Origins come in blocks, which live as long as the run: as many as were ever under way at once. */
struct sl__origin_block {
    struct sl__origin origins[BLOCK_ORIGINS];
    struct sl__origin_block *next;
};

bool sl__order_more(struct sl_pipe_run *run) {
    /* Acquire: what the deliverer did with them is over. */
    run->spare = atomic_exchange_explicit(&run->returned, NULL, memory_order_acquire);
    if (run->spare != NULL) {
        return true;
    }
    struct sl__origin_block *block = aligned_alloc(SL__LINE_SIZE, sizeof *block);
    if (block == NULL) {
        return false;
    }
    block->next = run->blocks;
    run->blocks = block;
    for (uint32_t i = BLOCK_ORIGINS; i-- > 0;) {
        block->origins[i].next = run->spare;
        run->spare = &block->origins[i];
    }
    return true;
}

void sl__order_finish(struct sl_pipe_run *run) {
    while (run->blocks != NULL) {
        struct sl__origin_block *block = run->blocks;
        run->blocks = block->next;
        free(block);
    }
}

void sl__order_add(struct sl__origin *origin, uint32_t more) {
    atomic_fetch_add_explicit(&origin->live, more, memory_order_relaxed);
}

/* ---- giving out -------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void close_sinks(struct sl_pipe_run *run, struct sl__output_run *output,
                                                  const struct sl__origin *origin, enum sl_code code) {
    struct sl_error *error = &output->error;
    atomic_store(&run->sinks_closed, true);
    if (code != SL_E_END) {
        char cause[SL_ERROR_MESSAGE_SIZE];
        memcpy(cause, error->message, sizeof cause);
        (void)sl_error_set(error, SL_E_SINK, "the sink of output %s failed at item %llu with %s: %.400s", output->name,
                           (unsigned long long)origin->sequence, sl_code_name(code),
                           cause[0] != '\0' ? cause : sl_code_text(code));
    }
    sl__pipe_run_end(run, SL__PIPE_CANCELLING, code != SL_E_END ? error : NULL);
}

/* By one thread at a time for each output. */
static inline void give(struct sl_pipe_run *run, const struct sl__token *token) {
    const struct sl__origin *origin = token->origin;
    struct sl__output_run *output = &run->outputs[token->output];
    if (atomic_load_explicit(&run->sinks_closed, memory_order_relaxed)) {
        return;
    }
    atomic_store_explicit(&output->count, atomic_load_explicit(&output->count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (SL_UNLIKELY(origin->traced)) {
        sl__pipe_run_trace(run, token, output->name, SL_STATUS_OK);
    }
    if (output->sink == NULL) {
        return;
    }
    const struct sl_pipe_outcome outcome = {
        .size = sizeof outcome,
        .output = output->name,
        .id = origin->id,
        .origin = origin->sequence,
        .value = sl__kept_value(&token->value),
        .meta = sl__kept_value(&origin->meta),
        .stage = token->producer,
        .error = sl__token_error(token),
    };
    enum sl_code code = output->sink->put(output->sink->context, &outcome, &output->error);
    if (SL_UNLIKELY(code != SL_OK)) {
        close_sinks(run, output, origin, code);
    }
    if (SL_UNLIKELY(output->error.code != SL_OK)) {
        sl_error_finish(&output->error);
    }
}

static void give_back(struct sl_pipe_run *run, struct sl__origin *origin) {
    if (run->solo) {
        origin->next = run->spare;
        run->spare = origin;
        return;
    }
    origin->next = atomic_load_explicit(&run->returned, memory_order_relaxed);
    /* Only the deliverer adds, and who takes takes all: what is on top now is so still, or the list is empty. */
    while (!atomic_compare_exchange_weak_explicit(&run->returned, &origin->next, origin, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

/* The oldest origin when it has ended, else NULL. Deliverer only, as what follows. */
static inline struct sl__origin *ended(const struct sl_pipe_run *run) {
    uint64_t head = atomic_load_explicit(&run->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&run->tail, memory_order_acquire)) {
        return NULL;
    }
    struct sl__origin *origin = *sl__order_place(run, head);
    return atomic_load_explicit(&origin->live, memory_order_acquire) == 0 ? origin : NULL;
}

/* The next token of the oldest origin, which has ended. */
static inline void give_next(struct sl_pipe_run *run, struct sl__token *token) {
    if (SL_LIKELY(!run->gap)) {
        give(run, token);
    }
    sl__token_destroy(token);
}

/* All of it has been given out. */
static inline void retire(struct sl_pipe_run *run, struct sl__origin *origin) {
    uint64_t after = origin->sequence + 1;
    sl__kept_drop(&origin->meta);
    run->finished += origin->cancelled ? 0 : 1;
    if (SL_LIKELY(!run->gap && !atomic_load_explicit(&run->sinks_closed, memory_order_relaxed))) {
        run->resume = after;
    }
    give_back(run, origin);
    atomic_store_explicit(&run->head, after, memory_order_release);
    if (SL_UNLIKELY(atomic_load_explicit(&run->feeder_waits, memory_order_relaxed))) {
        sl__pipe_run_room(run); /* the sinks may be slow */
    }
}

/* Gives out what is finished, from the oldest origin on. */
static void advance(struct sl_pipe_run *run) {
    for (struct sl__origin *origin; (origin = ended(run)) != NULL;) {
        run->gap |= origin->cancelled;
        for (struct sl__token *token = origin->line, *next; token != NULL; token = next) {
            next = token->next;
            give_next(run, token);
        }
        run->ended_count -= run->solo;
        retire(run, origin);
    }
    if (!run->solo) {
        /* Either this sees that the feeder waits, or the feeder sees the head as it is now. */
        atomic_thread_fence(memory_order_seq_cst);
        sl__pipe_run_room(run);
    }
}

void sl__order_deliver(struct sl_pipe_run *run) {
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
static void leave(struct sl__hand *hand, struct sl__origin *origin) {
    uint32_t live = atomic_load_explicit(&origin->live, memory_order_acquire);
    if (live == 1) { /* this thread is alone with it */
        atomic_store_explicit(&origin->live, 0, memory_order_release);
    } else {
        live = atomic_fetch_sub_explicit(&origin->live, 1, memory_order_acq_rel);
        SL_ASSERT(live > 0);
    }
    if (live != 1) {
        return;
    }
    if (hand->run->solo) {
        hand->run->ended_count++;
        advance(hand->run);
    } else {
        sl__hand_note(hand);
        hand->ended = true;
    }
}

static bool is_alone(const struct sl__origin *origin) {
    return atomic_load_explicit(&origin->live, memory_order_acquire) == 1;
}

/* On one thread, the last token of the oldest origin need not stand in line. */
static inline bool is_next(const struct sl_pipe_run *run, const struct sl__origin *origin) {
    return run->solo && origin->sequence == atomic_load_explicit(&run->head, memory_order_relaxed) &&
           origin->line == NULL && is_alone(origin);
}

void sl__order_arrive(struct sl__hand *hand, struct sl__token *token) {
    struct sl_pipe_run *run = hand->run;
    struct sl__origin *origin = token->origin;
    if (run->options.ordering != SL_ORDERING_PRESERVE) {
        struct sl__output_run *output = &run->outputs[token->output];
        pthread_mutex_lock(&output->lock);
        give(run, token);
        pthread_mutex_unlock(&output->lock);
        sl__order_end(hand, token, false);
        return;
    }
    if (SL_LIKELY(is_next(run, origin))) {
        atomic_store_explicit(&origin->live, 0, memory_order_relaxed);
        run->gap |= origin->cancelled;
        give_next(run, token);
        retire(run, origin);
        if (SL_UNLIKELY(run->ended_count > 0)) { /* they may have waited for this one */
            advance(run);
        }
        return;
    }
    if (SL_UNLIKELY(!sl__hand_keep(hand, token))) {
        sl__order_end(hand, token, true);
        return;
    }
    if (is_alone(origin)) {
        line_up(origin, token);
    } else {
        pthread_mutex_lock(&run->order);
        line_up(origin, token);
        pthread_mutex_unlock(&run->order);
    }
    leave(hand, origin);
}

void sl__order_end(struct sl__hand *hand, struct sl__token *token, bool cancelled) {
    struct sl__origin *origin = token->origin;
    sl__token_destroy(token);
    if (cancelled) {
        pthread_mutex_lock(&hand->run->order);
        origin->cancelled = true;
        pthread_mutex_unlock(&hand->run->order);
    }
    leave(hand, origin);
}
