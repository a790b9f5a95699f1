/* SPDX-License-Identifier: MIT */
/* A threaded node: a dispatch whose source is the node's queue, and whose sink carries the results on. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "dispatch/sink.h"
#include "run.h"
#include "sys/clock.h"

/* ---- what the dispatch has pulled -------------------------------------------------------------------------------- */

bool sl__flying_grow(struct sl__flying *flying) {
    struct sl__flying grown = {.base = flying->base, .count = flying->count};
    grown.capacity = flying->capacity > 0 ? flying->capacity * 2 : 256;
    grown.tokens = malloc(grown.capacity * sizeof *grown.tokens);
    if (grown.tokens == NULL) {
        return false;
    }
    for (uint64_t i = flying->base; i < flying->base + flying->count; i++) {
        *sl__flying_place(&grown, i) = *sl__flying_place(flying, i);
    }
    free(flying->tokens);
    *flying = grown;
    return true;
}

/* ---- source ------------------------------------------------------------------------------------------------------ */

void sl__stage_room(struct sl__stage_run *stage) {
    struct sl_pipe_run *run = stage->run;
    for (uint32_t i = 0; i < stage->index; i++) {
        const struct sl__node *node = run->stages[i].node;
        for (uint32_t j = 0; j < node->behind_count; j++) {
            if (node->behind[j] == stage->index) {
                sl_control_wake(run->stages[i].control);
            }
        }
    }
    sl__pipe_run_wake(run);
}

struct sl_value sl__stage_stand_in(struct sl__stage_run *stage, const struct sl__token *token) {
    uint64_t address = (uint64_t)(uintptr_t)token;
    stage->pointer[0] = 0xcf;
    for (int i = 0; i < 8; i++) {
        stage->pointer[1 + i] = (uint8_t)(address >> (56 - 8 * i));
    }
    return (struct sl_value){stage->pointer, sizeof stage->pointer};
}

/*
 * An item that is not larger the dispatch has a copy of, and gives it back when the item fails. One that is too large fails at once, and may find no room there;
 * and an outcome that is fine says nothing of the item, which fails here when it is to be a list and is not. 0: none is given back.
 */
static size_t return_size(const struct sl__stage_run *stage) {
    bool never = stage->crew != NULL || stage->node->stage.cardinality == SL_CARDINALITY_MANY;
    return never ? 0 : (size_t)SL_MIN((uint64_t)UINT32_MAX, stage->options.max_in_flight_bytes);
}

/* The outcome is there: the dispatch has lent the item back, or nothing when there was no memory to keep it. */
static void take_back(struct sl__stage_run *stage, struct sl__token *token, const struct sl_outcome *outcome) {
    stage->run->host_bytes -= token->value.size;
    token->value = sl__lent(outcome->input);
}

enum sl_code sl__stage_lose(struct sl__stage_run *stage, struct sl__token *token, struct sl_error *error) {
    sl__flow_end(&stage->hand, stage, token, SL_STATUS_CANCELLED);
    (void)sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for what is under way in stage %s",
                       stage->node->stage.name);
    atomic_store(&stage->guilty, true);
    sl__pipe_run_end(stage->run, SL__PIPE_STOPPING, error);
    return SL_E_END;
}

/* The source of a dispatch that has a queue before it. */
static enum sl_code next(void *context, struct sl_item *item, struct sl_error *error) {
    struct sl__stage_run *stage = context;
    bool ended, room = false;
    if (SL_UNLIKELY(sl__stage_crowded(stage))) {
        return SL_E_AGAIN;
    }
    struct sl__token *token = sl__queue_next(&stage->queue, &ended, &room);
    if (room) {
        sl__stage_room(stage);
    }
    if (token == NULL) {
        return ended ? SL_E_END : SL_E_AGAIN;
    }
    return sl__stage_send(stage, token, item, error);
}

/* ---- sink -------------------------------------------------------------------------------------------------------- */

static void fail(struct sl__stage_run *stage, struct sl__token *token, const struct sl_error *error) {
    sl__flow_fail(&stage->hand, stage, token, error);
}

/* One of several results: kept until its turn has come. */
static bool keep(struct sl__stage_run *stage, struct sl_value value, struct sl__kept *kept) {
    struct sl__blob *reply = stage->hand.reply;
    return reply != NULL ? sl__arena_hold(&stage->hand.arena, reply, value, kept)
                         : sl__arena_copy(&stage->hand.arena, value, kept);
}

static void give_many(struct sl__stage_run *stage, struct sl__token *token, const struct sl_outcome *outcome) {
    struct sl__emissions made;
    struct sl_iter iter;
    struct sl_value value;
    sl__emissions_init(&made);
    if (sl_iter_init(&iter, outcome->value) != SL_OK || sl_value_type(outcome->value) != SL_TYPE_LIST) {
        (void)sl_error_set(&made.error, SL_E_BAD_RESULT,
                           "%s returned %s for an item; a stage of cardinality many returns a list for each item",
                           stage->node->stage.function, sl_type_name(sl_value_type(outcome->value)));
    }
    while (made.error.code == SL_OK && sl_iter_next(&iter, NULL, &value)) {
        struct sl__kept kept;
        if (!keep(stage, value, &kept) || !sl__flow_add(&made, kept, SL__NOWHERE)) {
            (void)sl_error_set(&made.error, SL_E_OUT_OF_MEMORY, "no memory for a result of %zu bytes", value.size);
        }
    }
    sl__flow_emit(&stage->hand, stage, token, &made);
    sl__emissions_finish(&made);
}

static void give_routed(struct sl__stage_run *stage, struct sl__token *token, const struct sl_outcome *outcome) {
    sl__target target = sl__flow_destination(stage->run->pipe, stage->node, outcome->route);
    if (target != SL__NOWHERE) {
        sl__flow_emit_one(&stage->hand, stage, token, outcome->value, target);
        return;
    }
    struct sl_error error = SL_ERROR_INIT;
    (void)sl_error_set(&error, SL_E_NOT_FOUND,
                       "%s routed an item to \"%.100s\", which is not among the routes of stage %s",
                       stage->node->stage.function, outcome->route, stage->node->stage.name);
    fail(stage, token, &error);
    sl_error_finish(&error);
}

static void give(struct sl__stage_run *stage, struct sl__token *token, const struct sl_outcome *outcome) {
    struct sl__emissions *made = token->laden ? token->made : NULL;
    enum sl_cardinality cardinality = stage->node->stage.cardinality;
    if (made != NULL) { /* by a native stage; the result only says that it is done */
        token->made = NULL;
        sl__flow_emit(&stage->hand, stage, token, made);
        sl__emissions_finish(made);
        free(made);
    } else if (outcome->status == SL_STATUS_ROUTED) {
        give_routed(stage, token, outcome);
    } else if (cardinality == SL_CARDINALITY_MANY) {
        give_many(stage, token, outcome);
    } else if (cardinality == SL_CARDINALITY_FILTER && sl_value_type(outcome->value) == SL_TYPE_NIL) {
        sl__flow_end(&stage->hand, stage, token, SL_STATUS_SKIPPED);
    } else {
        sl__flow_emit_one(&stage->hand, stage, token, outcome->value, SL__NOWHERE);
    }
}

/* Nobody has a token of this stage in hand any more: one that the dispatch has given up may be with a thread of the crew. */
static void await_crew(struct sl__stage_run *stage) {
    if (stage->crew != NULL) {
        sl__crew_await_idle(stage->crew);
    }
}

static enum sl_code put(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct sl__stage_run *stage = context;
    struct sl__token *token = sl__flying_take(&stage->flying, outcome->sequence);
    sl__flying_close(&stage->flying, outcome->sequence, 1);
    (void)error;
    stage->hand.reply = sl__outcome_reply(outcome);
    if (token->value.data == NULL) {
        take_back(stage, token, outcome);
    }
    switch (outcome->status) {
    case SL_STATUS_OK:
    case SL_STATUS_ROUTED:
        give(stage, token, outcome);
        break;
    case SL_STATUS_FAILED:
        fail(stage, token, outcome->error);
        break;
    case SL_STATUS_CANCELLED:
        await_crew(stage);
        sl__flow_end(&stage->hand, stage, token, SL_STATUS_CANCELLED);
        break;
    case SL_STATUS_SKIPPED:
        sl__flow_end(&stage->hand, stage, token, SL_STATUS_SKIPPED);
        break;
    }
    stage->hand.reply = NULL;
    sl__stage_tidy_in_time(stage);
    return SL_OK;
}

/* The results of a batch, each of which is what its item becomes. */
static void put_row(void *context, const struct sl__outcome_row *row) {
    struct sl__stage_run *stage = context;
    stage->hand.reply = row->reply;
    sl__flow_emit_row(&stage->hand, stage, row);
    stage->hand.reply = NULL;
}

/* The dispatch is about to wait. */
static void flush(void *context) {
    struct sl__stage_run *stage = context;
    sl__arena_close(&stage->hand.arena);
    if (stage->hosted) {
        sl__arena_close(&stage->run->hand.arena);
    }
    sl__stage_tidy(stage);
}

/* ---- thread ------------------------------------------------------------------------------------------------------ */

static void give_up(struct sl__stage_run *stage) {
    bool lost = stage->flying.count > 0;
    await_crew(stage);
    for (; stage->flying.count > 0; stage->flying.base++, stage->flying.count--) {
        struct sl__token *token = *sl__flying_place(&stage->flying, stage->flying.base);
        if (token != NULL) { /* its outcome was lost for lack of memory */
            sl__flow_end(&stage->hand, stage, token, SL_STATUS_CANCELLED);
        }
    }
    if (stage->hosted && lost) {
        stage->run->host_bytes = 0; /* the dispatch is over */
    }
    struct sl__row left = sl__queue_kill(&stage->queue);
    for (struct sl__token *token; (token = sl__row_pop(&left)) != NULL;) {
        sl__stage_bump(stage, &stage->input, 1);
        sl__flow_end(&stage->hand, stage, token, SL_STATUS_CANCELLED);
    }
    flush(stage);
    sl__stage_room(stage); /* nobody waits for a queue that refuses everything */
}

void sl__stage_work(struct sl__stage_run *stage) {
    struct sl_pipe_run *run = stage->run;
    struct sl_error error = SL_ERROR_INIT;
    const struct sl__sink sink = {{put, stage, flush}, stage->one_for_one ? put_row : NULL};
    const struct sl_source source = {stage->hosted ? sl__feed_next : next, stage};
    enum sl_code code = sl__dispatch_run(stage->pool, &stage->options, source, &sink, &stage->report, &error);
    give_up(stage);
    if (code != SL_OK && code != SL_E_HALTED && !sl__pipe_run_cancelled(run)) {
        char cause[SL_ERROR_MESSAGE_SIZE];
        memcpy(cause, error.message, sizeof cause);
        snprintf(error.message, sizeof error.message, "stage %.64s: %.*s", stage->node->stage.name,
                 SL_ERROR_MESSAGE_SIZE - 80, cause[0] != '\0' ? cause : sl_code_text(code));
        error.code = code;
        atomic_store(&stage->guilty, true);
        sl__pipe_run_end(run, SL__PIPE_STOPPING, &error);
    }
    sl_error_finish(&error);
    if (sl__span_open(&stage->span)) {
        sl__stage_tell_end(stage);
    }
    pthread_mutex_lock(&run->state);
    run->stage_over[stage->index] = true;
    pthread_mutex_unlock(&run->state);
    sl__pipe_run_close(run);
    atomic_fetch_sub(&run->running, 1);
    sl__bell_ring(&run->bell);
}

static void *work(void *context) {
    sl__stage_work(context);
    return NULL;
}

static enum sl_code find_pool(struct sl__stage_run *stage, uint32_t *index, struct sl_error *error) {
    const struct sl_pipe_options *options = &stage->run->options;
    const char *name = stage->node->stage.pool;
    if (options->pool_count == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "stage %s calls Python, but the run was given no pool",
                            stage->node->stage.name);
    }
    for (uint32_t i = 0; i < options->pool_count; i++) {
        if (name == NULL || (options->pools[i].name != NULL && strcmp(options->pools[i].name, name) == 0)) {
            stage->pool = options->pools[i].pool;
            *index = i;
            return SL_OK;
        }
    }
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "stage %s wants pool %s, which the run was not given",
                        stage->node->stage.name, name);
}

static void set_options(struct sl__stage_run *stage) {
    const struct sl_stage *declared = &stage->node->stage;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = declared->function != NULL ? declared->function : declared->name;
    options.mode = declared->mode;
    options.strategy = declared->strategy;
    options.batch_size = declared->batch_size;
    options.max_weight = declared->max_weight;
    options.max_delay_ms = declared->max_delay_ms;
    options.max_in_flight = declared->max_in_flight;
    options.ordering = declared->ordering;
    options.timeout_ms = declared->timeout_ms;
    options.snapshot = declared->snapshot;
    options.policy = declared->on_error;
    options.control = stage->control;
    options.session = stage->session;
    options.context = stage->options.context;
    /* Failed items come to the sink, which sends them on: that is what routing means here. Halting is, too. */
    if (options.policy.on_error == SL_ON_ERROR_ROUTE) {
        options.policy.on_error = SL_ON_ERROR_SKIP;
    }
    if (stage->crew != NULL) {
        options.executor = sl__crew_executor(stage->crew);
        options.batch_size = 1;
        options.timeout_ms = 0; /* a thread cannot be killed */
    }
    stage->options = options;
    stage->one_for_one = stage->crew == NULL && declared->cardinality == SL_CARDINALITY_ONE;
    stage->return_size = return_size(stage);
}

enum sl_code sl__stage_prepare(struct sl__stage_run *stage, struct sl_error *error) {
    bool python = stage->node->stage.kind == SL_STAGE_PYTHON;
    uint32_t pool = 0;
    enum sl_code code = python ? find_pool(stage, &pool, error) : sl__crew_create(stage, &stage->crew, error);
    if (code == SL_OK && python) {
        code = sl__context_prepare(stage, pool, error);
    }
    if (code == SL_OK) {
        code = sl_control_create(&stage->control, error);
    }
    if (code == SL_OK && !sl__hand_init(&stage->hand, stage->run, stage->node->behind, stage->node->behind_count)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for stage %s", stage->node->stage.name);
    }
    if (code == SL_OK) {
        set_options(stage);
    }
    return code;
}

enum sl_code sl__stage_launch(struct sl__stage_run *stage, struct sl_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    atomic_fetch_add(&stage->run->running, 1);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&stage->thread, NULL, work, stage);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        atomic_fetch_sub(&stage->run->running, 1);
        return sl_error_set(error, SL_E_SYSTEM, "no thread for stage %s: %s", stage->node->stage.name,
                            strerror(status));
    }
    stage->started = true;
    return SL_OK;
}
