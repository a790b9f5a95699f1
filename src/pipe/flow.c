/* SPDX-License-Identifier: MIT */
/* Carrying items: through native stages and routers, to a queue or an output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"

#define TIMED_EVERY 64
#define CHUNK_SIZE (16u << 10) /* of values that a thread keeps */

static inline void count(struct sl__stage_run *stage, enum sl_status status) {
    sl__stage_bump(stage, &stage->count[status], 1);
}

static void lock(struct sl__stage_run *stage) {
    if (stage->shared) {
        pthread_mutex_lock(&stage->lock);
    }
}

static void unlock(struct sl__stage_run *stage) {
    if (stage->shared) {
        pthread_mutex_unlock(&stage->lock);
    }
}

/* The first calls are timed, and then one in TIMED_EVERY; they stand for the others. */
static uint64_t begin_timing(const struct sl__stage_run *stage) {
    uint64_t input = atomic_load_explicit(&stage->input, memory_order_relaxed);
    return input <= TIMED_EVERY || input % TIMED_EVERY == 0 ? sl__clock_now_ns() : 0;
}

static void end_timing(struct sl__stage_run *stage, uint64_t start_ns) {
    if (start_ns != 0) {
        sl__stage_bump(stage, &stage->busy_ns, sl__clock_now_ns() - start_ns);
        sl__stage_bump(stage, &stage->timed, 1);
    }
}

struct sl_pipe_item sl__flow_item(const struct sl__stage_run *stage, const struct sl__token *token) {
    const struct sl__origin *origin = token->origin;
    return (struct sl_pipe_item){
        .size = sizeof(struct sl_pipe_item),
        .id = origin->id,
        .origin = origin->sequence,
        .value = sl__kept_value(&token->value),
        .meta = sl__kept_value(&origin->meta),
        .context = &stage->context,
    };
}

static inline void trace(struct sl__stage_run *stage, const struct sl__token *token, enum sl_status status) {
    if (SL_UNLIKELY(token->origin->traced)) {
        sl__pipe_run_trace(stage->run, token, stage->node->stage.name, status);
    }
}

/* ---- emissions --------------------------------------------------------------------------------------------------- */

bool sl__flow_add(struct sl__emissions *made, struct sl__kept value, sl__target target) {
    if (made->count == made->capacity && !SL_ARRAY_RESERVE(made, 1)) {
        sl__kept_drop(&value);
        return false;
    }
    made->items[made->count++] = (struct sl__emission){value, target};
    return true;
}

sl__target sl__flow_destination(const struct sl_pipe *pipe, const struct sl__node *node, const char *name) {
    sl__target target = sl__plan_find(pipe, name);
    if (target == SL__NOWHERE || target == node->next) {
        return target;
    }
    for (uint32_t i = 0; i < node->route_count; i++) {
        if (node->routes[i] == target) {
            return target;
        }
    }
    return SL__NOWHERE;
}

/* Why nothing more may be given out for this item, as an error. */
static __attribute__((noinline)) void refuse_to_emit(struct sl_emit *emit, const char *what) {
    struct sl__emissions *made = &emit->made;
    if (made->error.code != SL_OK) {
        return;
    }
    if (emit->writing) {
        (void)sl_error_set(&made->error, SL_E_INVALID_ARGUMENT,
                           "stage %s called %s between sl_emit_begin and sl_emit_end", emit->node->stage.name, what);
    } else if (made->skip != NULL) {
        (void)sl_error_set(&made->error, SL_E_INVALID_ARGUMENT, "stage %s called %s for an item that it had skipped",
                           emit->node->stage.name, what);
    } else {
        (void)sl_error_set(&made->error, SL_E_BAD_RESULT,
                           "stage %s gave out more than one value for an item; declare it with .cardinality = "
                           "SL_CARDINALITY_MANY",
                           emit->node->stage.name);
    }
}

static inline bool open_for(struct sl_emit *emit, const char *what) {
    const struct sl__emissions *made = &emit->made;
    if (SL_LIKELY(made->error.code == SL_OK && !emit->writing && made->skip == NULL &&
                  (made->count == 0 || emit->node->stage.cardinality == SL_CARDINALITY_MANY))) {
        return true;
    }
    refuse_to_emit(emit, what);
    return false;
}

/* `lent`: the value needs no copy. */
static inline __attribute__((always_inline)) void add(struct sl_emit *emit, struct sl_value value, bool lent,
                                                      sl__target target) {
    struct sl__kept kept = sl__lent(value);
    if ((!lent && !sl__arena_copy(emit->arena, value, &kept)) || !sl__flow_add(&emit->made, kept, target)) {
        (void)sl_error_set(&emit->made.error, SL_E_OUT_OF_MEMORY, "no memory for a value of %zu bytes", value.size);
    }
}

/* What the stage was given, or a part of it, stays where it is. */
static bool is_own(const struct sl_emit *emit, struct sl_value value) {
    return sl__value_inside(value, emit->token->value.data, emit->token->value.size);
}

static bool is_value(struct sl_emit *emit, struct sl_value value) {
    if (value.data != NULL && value.size > 0) {
        return true;
    }
    (void)sl_error_set(&emit->made.error, SL_E_BAD_RESULT, "stage %s gave out \"no value\"", emit->node->stage.name);
    return false;
}

static __attribute__((noinline)) void emit_any(struct sl_emit *emit, struct sl_value value) {
    if (open_for(emit, "sl_emit") && is_value(emit, value)) {
        add(emit, value, is_own(emit, value), SL__NOWHERE);
    }
}

void sl_emit(struct sl_emit *emit, struct sl_value value) {
    /* Most stages give out one value, which is a part of what they were given. */
    if (SL_LIKELY(emit->fresh && value.size > 0 && is_own(emit, value))) {
        emit->fresh = false;
        emit->made.items[0] = (struct sl__emission){sl__lent(value), SL__NOWHERE};
        emit->made.count = 1;
        return;
    }
    emit->fresh = false;
    emit_any(emit, value);
}

struct sl_writer *sl_emit_begin(struct sl_emit *emit) {
    emit->fresh = false;
    if (open_for(emit, "sl_emit_begin")) {
        emit->writing = true;
    }
    sl_writer_reset(&emit->writer);
    return &emit->writer;
}

void sl_emit_end(struct sl_emit *emit) {
    if (!emit->writing) {
        if (emit->made.error.code == SL_OK) {
            (void)sl_error_set(&emit->made.error, SL_E_INVALID_ARGUMENT,
                               "stage %s called sl_emit_end without sl_emit_begin", emit->node->stage.name);
        }
        return;
    }
    emit->writing = false;
    struct sl_value value;
    if (sl_writer_end(&emit->writer, &value, &emit->made.error) == SL_OK) {
        /* One of several that came of an item may have to wait for its turn. */
        add(emit, value, emit->may_lend && emit->token == &emit->token->origin->first, SL__NOWHERE);
    }
}

void sl_emit_skip(struct sl_emit *emit, const char *reason) {
    emit->fresh = false;
    if (!open_for(emit, "sl_emit_skip")) {
        return;
    }
    if (emit->made.count > 0) {
        (void)sl_error_set(&emit->made.error, SL_E_INVALID_ARGUMENT,
                           "stage %s skipped an item that it had given values out for", emit->node->stage.name);
        return;
    }
    emit->made.skip = strdup(reason != NULL ? reason : "skipped");
    if (emit->made.skip == NULL) {
        (void)sl_error_set(&emit->made.error, SL_E_OUT_OF_MEMORY, "no memory for the reason of a skipped item");
    }
}

void sl_emit_route(struct sl_emit *emit, const char *to, struct sl_value value) {
    emit->fresh = false;
    if (!open_for(emit, "sl_emit_route") || !is_value(emit, value)) {
        return;
    }
    sl__target target = sl__flow_destination(emit->run->pipe, emit->node, to);
    if (target == SL__NOWHERE) {
        (void)sl_error_set(&emit->made.error, SL_E_NOT_FOUND,
                           "stage %s routed an item to \"%.100s\", which is not among its routes",
                           emit->node->stage.name, to);
        return;
    }
    add(emit, value, is_own(emit, value), target);
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

void sl__flow_end(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token, enum sl_status status) {
    count(stage, status);
    trace(stage, token, status);
    sl__order_end(hand, token, status == SL_STATUS_CANCELLED);
}

/* It has not come in, because the run is cancelled or the stage's thread is gone. */
static void refuse(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token) {
    if (stage->node->threaded) { /* its counters belong to its own thread */
        atomic_fetch_add_explicit(&stage->refused, 1, memory_order_relaxed);
        trace(stage, token, SL_STATUS_CANCELLED);
        sl__order_end(hand, token, true);
    } else {
        sl__stage_bump(stage, &stage->input, 1);
        sl__flow_end(hand, stage, token, SL_STATUS_CANCELLED);
    }
}

static void halt(struct sl__stage_run *stage, const struct sl_error *cause) {
    struct sl_error error = SL_ERROR_INIT;
    sl_error_copy(&error, cause);
    snprintf(error.message, sizeof error.message, "stage %.64s halted the pipe: %.*s", stage->node->stage.name,
             SL_ERROR_MESSAGE_SIZE - 100, cause->message[0] != '\0' ? cause->message : sl_code_text(cause->code));
    error.code = SL_E_HALTED;
    atomic_store(&stage->guilty, true);
    sl__pipe_run_end(stage->run, SL__PIPE_STOPPING, &error);
    sl_error_finish(&error);
}

/* Whoever wants to know of failures is told. */
static void tell(struct sl__stage_run *stage, const struct sl__token *token, const struct sl_error *error) {
    struct sl_pipe_run *run = stage->run;
    if (run->options.failed == NULL) {
        return;
    }
    const struct sl_pipe_outcome outcome = {
        .size = sizeof outcome,
        .id = token->origin->id,
        .origin = token->origin->sequence,
        .value = sl__kept_value(&token->value),
        .meta = sl__kept_value(&token->origin->meta),
        .stage = stage->node->stage.name,
        .error = error,
    };
    pthread_mutex_lock(&run->telling);
    run->options.failed(run->options.failed_context, &outcome);
    pthread_mutex_unlock(&run->telling);
}

void sl__flow_fail(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                   const struct sl_error *error) {
    const struct sl__node *node = stage->node;
    enum sl_on_error policy = node->stage.on_error.on_error;
    bool there = token->value.data != NULL; /* else there was no memory to give it back */
    if (there && node->on_error != SL__NOWHERE && (policy == SL_ON_ERROR_ROUTE || policy == SL_ON_ERROR_ISOLATE)) {
        sl__token_load(token);
        if (token->error == NULL && (token->error = malloc(sizeof *token->error)) != NULL) {
            *token->error = (struct sl_error)SL_ERROR_INIT;
        }
        if (token->error != NULL) {
            sl_error_copy(token->error, error);
        }
        count(stage, SL_STATUS_ROUTED);
        trace(stage, token, SL_STATUS_ROUTED);
        token->producer = node->stage.name;
        sl__flow_carry(hand, token, node->on_error);
        return;
    }
    if (policy == SL_ON_ERROR_HALT) {
        halt(stage, error);
    }
    tell(stage, token, error);
    sl__flow_end(hand, stage, token, SL_STATUS_FAILED);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* Takes over the emission's value, unless there is no memory. */
static struct sl__token *child_of(const struct sl__token *parent, const struct sl__emission *emission,
                                  uint32_t number) {
    struct sl__kept value = emission->value;
    if (value.chunk == NULL) { /* of what the parent has */
        value.chunk = sl__kept_ref(parent->value).chunk;
    }
    struct sl__token *child = sl__token_create(parent->origin, value);
    if (child == NULL) {
        if (emission->value.chunk == NULL) {
            sl__kept_drop(&value);
        }
        return NULL;
    }
    memcpy(child->path, parent->path, parent->depth * sizeof *child->path);
    child->depth = parent->depth;
    if (child->depth < SL__PATH_MAX) {
        child->path[child->depth++] = number;
    }
    return child;
}

/* What was given out of the item's own value will be with several tokens: it has to be kept. False: no memory. */
static bool keep_own(struct sl__hand *hand, struct sl__token *token, struct sl__emissions *made) {
    const uint8_t *before = token->value.data;
    bool kept = token->value.chunk != NULL;
    for (size_t i = 0; i < made->count && !kept; i++) {
        if (made->items[i].value.chunk == NULL && !(kept = sl__hand_keep(hand, token))) {
            return false;
        }
    }
    for (size_t i = 0; i < made->count && token->value.data != before; i++) {
        struct sl__kept *value = &made->items[i].value;
        if (value->chunk == NULL) {
            value->data = token->value.data + (value->data - before);
        }
    }
    return true;
}

/* One item became several. All of them exist before the first is carried on, so that a lack of memory fails the item as a whole. */
static void emit_many(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                      struct sl__emissions *made) {
    size_t have = 0;
    struct sl__row children = {0};
    bool kept = keep_own(hand, token, made);
    while (kept && have < made->count) {
        struct sl__token *child = child_of(token, &made->items[have], (uint32_t)have);
        if (child == NULL) {
            break;
        }
        /* Where it goes is put down now: `made` may be used again by a handler that the first of them meets. */
        child->producer = stage->node->stage.name;
        child->output = made->items[have].target == SL__NOWHERE ? stage->node->next : made->items[have].target;
        made->items[have++].value.chunk = NULL; /* the child's */
        sl__row_push(&children, child);
    }
    struct sl__token *child;
    if (have < made->count) {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for the %zu items that one became", made->count);
        while ((child = sl__row_pop(&children)) != NULL) {
            sl__token_destroy(child);
        }
        sl__emissions_clear(made);
        sl__flow_fail(hand, stage, token, &error);
        sl_error_finish(&error);
        return;
    }
    made->count = 0;
    count(stage, SL_STATUS_OK);
    trace(stage, token, SL_STATUS_OK);
    sl__stage_bump(stage, &stage->more, have - 1);
    sl__order_add(token->origin, (uint32_t)have);
    while ((child = sl__row_pop(&children)) != NULL) {
        sl__flow_carry(hand, child, child->output);
    }
    sl__order_end(hand, token, false);
}

/* The token is done with this stage, and goes where this says. */
static inline sl__target leave(struct sl__stage_run *stage, struct sl__token *token, sl__target target) {
    const struct sl__node *node = stage->node;
    token->producer = node->stage.name;
    if (SL_LIKELY(target == SL__NOWHERE)) {
        count(stage, SL_STATUS_OK);
        trace(stage, token, SL_STATUS_OK);
        return node->next;
    }
    count(stage, SL_STATUS_ROUTED);
    trace(stage, token, SL_STATUS_ROUTED);
    return target;
}

/* The token becomes what the stage gave out for it. */
static inline void become(struct sl__token *token, struct sl__kept value) {
    if (token->value.chunk != NULL) {
        if (value.chunk == NULL && sl__value_inside(sl__kept_value(&value), token->value.data, token->value.size)) {
            value.chunk = token->value.chunk;
        } else {
            sl__kept_drop(&token->value);
        }
    }
    token->value = value;
}

/* What becomes of the token: carried on by the caller to *target when true, else taken over. */
static bool settle(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                   struct sl__emissions *made, sl__target *target) {
    if (made->error.code != SL_OK) {
        struct sl_error error = SL_ERROR_INIT;
        sl_error_copy(&error, &made->error);
        sl__emissions_clear(made);
        sl__flow_fail(hand, stage, token, &error);
        sl_error_finish(&error);
        return false;
    }
    if (made->count == 0) {
        sl__emissions_clear(made);
        sl__flow_end(hand, stage, token, SL_STATUS_SKIPPED);
        return false;
    }
    if (made->count > 1 || stage->node->stage.cardinality == SL_CARDINALITY_MANY) {
        emit_many(hand, stage, token, made);
        return false;
    }
    become(token, made->items[0].value);
    *target = leave(stage, token, made->items[0].target);
    made->count = 0;
    return true;
}

void sl__flow_emit(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                   struct sl__emissions *made) {
    sl__target target;
    if (settle(hand, stage, token, made, &target)) {
        sl__flow_carry(hand, token, target);
    }
}

/* ---- inline nodes ------------------------------------------------------------------------------------------------ */

/* The hand's error is for the next call again. */
static inline void clear(struct sl_error *error) {
    if (SL_UNLIKELY(error->code != SL_OK)) {
        sl_error_finish(error);
    }
}

/* The stage has failed, or has given out something else than one value. As run_native. Under the lock of the stage. */
static __attribute__((noinline)) bool settle_native(struct sl__hand *hand, struct sl__stage_run *stage,
                                                    struct sl__token *token, enum sl_code code, sl__target *target) {
    const char *name = stage->node->stage.name;
    /* Somebody else's turn: what this call has made is taken out of the stage. */
    struct sl__emissions made = stage->emit.made;
    sl__emissions_init(&stage->emit.made);
    bool writing = stage->emit.writing;
    unlock(stage);
    if (code == SL_OK && made.error.code == SL_OK && writing) {
        (void)sl_error_set(&made.error, SL_E_INVALID_ARGUMENT, "stage %s returned without sl_emit_end", name);
    }
    bool carried = false;
    if (code != SL_OK) {
        struct sl_error error = hand->error;
        sl__error_init(&hand->error);
        if (error.code == SL_OK) {
            (void)sl_error_set(&error, code, "stage %s failed the item: %s", name, sl_code_text(code));
        }
        error.code = code;
        sl__flow_fail(hand, stage, token, &error);
        sl_error_finish(&error);
    } else {
        clear(&hand->error);
        carried = settle(hand, stage, token, &made, target);
    }
    sl__emissions_finish(&made);
    return carried;
}

static inline __attribute__((always_inline)) bool run_native(struct sl__hand *hand, struct sl__stage_run *stage,
                                                             struct sl__token *token, sl__target *target) {
    const struct sl_stage *declared = &stage->node->stage;
    const struct sl_pipe_item item = sl__flow_item(stage, token);
    bool many = declared->cardinality == SL_CARDINALITY_MANY;
    struct sl__emissions *made = &stage->emit.made;
    lock(stage);
    sl__emit_init(&stage->emit, &hand->arena, token);
    uint64_t start_ns = begin_timing(stage);
    enum sl_code code = declared->call(declared->context, &item, &stage->emit, &hand->error);
    end_timing(stage, start_ns);
    if (SL_UNLIKELY((int)code | (int)hand->error.code | (int)made->error.code | stage->emit.writing | many)) {
        return settle_native(hand, stage, token, code, target);
    }
    if (made->count == 0) { /* an item that is dropped is nothing special for a filter */
        sl__emissions_clear(made);
        unlock(stage);
        sl__flow_end(hand, stage, token, SL_STATUS_SKIPPED);
        return false;
    }
    become(token, made->items[0].value);
    *target = leave(stage, token, made->items[0].target);
    made->count = 0;
    unlock(stage);
    return true;
}

static __attribute__((noinline)) void fail_route(struct sl__hand *hand, struct sl__stage_run *stage,
                                                 struct sl__token *token, enum sl_code code) {
    struct sl_error error = hand->error;
    sl__error_init(&hand->error);
    if (error.code == SL_OK) {
        (void)sl_error_set(&error, code, "a route of stage %s failed: %s", stage->node->stage.name, sl_code_text(code));
    }
    error.code = code;
    sl__flow_fail(hand, stage, token, &error);
    sl_error_finish(&error);
}

static inline bool run_router(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                              sl__target *target) {
    const struct sl__node *node = stage->node;
    const struct sl_pipe_item item = sl__flow_item(stage, token);
    enum sl_code code = SL_OK;
    *target = node->otherwise;
    lock(stage);
    uint64_t start_ns = begin_timing(stage);
    for (uint32_t i = 0; i < node->route_count; i++) {
        const struct sl_route *route = &node->stage.routes[i];
        bool taken = route->when == NULL;
        code = taken ? SL_OK : route->when(route->context, &item, &taken, &hand->error);
        if (SL_UNLIKELY(code != SL_OK)) {
            break;
        }
        if (taken) {
            *target = node->routes[i];
            break;
        }
    }
    end_timing(stage, start_ns);
    unlock(stage);
    if (SL_UNLIKELY(code != SL_OK)) {
        fail_route(hand, stage, token, code);
        return false;
    }
    clear(&hand->error);
    count(stage, SL_STATUS_ROUTED);
    trace(stage, token, SL_STATUS_ROUTED);
    return true;
}

/* ---- hands ------------------------------------------------------------------------------------------------------- */

bool sl__hand_init(struct sl__hand *hand, struct sl_pipe_run *run, const uint32_t *nodes, uint32_t node_count) {
    /* A chunk is small beside the bound on bytes: what lies in it unused counts, too. */
    size_t chunk_size = (size_t)SL_MIN(run->options.in_flight_bytes_max / 256, (uint64_t)CHUNK_SIZE);
    *hand = (struct sl__hand){
        .run = run,
        .arena = {.chunk_size = chunk_size, .account = &run->bytes},
        .nodes = nodes,
        .node_count = node_count,
        .rows = calloc(run->pipe->node_count, sizeof *hand->rows),
    };
    sl__error_init(&hand->error);
    return hand->rows != NULL;
}

void sl__hand_finish(struct sl__hand *hand) {
    if (hand->run != NULL) {
        sl__arena_close(&hand->arena);
        free(hand->rows);
        hand->rows = NULL;
    }
}

bool sl__hand_keep_lent(struct sl__hand *hand, struct sl__token *token) {
    struct sl_value value = sl__kept_value(&token->value);
    struct sl__blob *reply = hand->reply;
    bool replied = reply != NULL && sl__value_inside(value, reply->data, reply->size);
    if (replied ? sl__arena_hold(&hand->arena, reply, value, &token->value)
                : sl__arena_copy(&hand->arena, value, &token->value)) {
        return true;
    }
    struct sl_error error = SL_ERROR_INIT;
    (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for a value of %zu bytes", value.size);
    sl__pipe_run_end(hand->run, SL__PIPE_STOPPING, &error);
    sl_error_finish(&error);
    return false;
}

static void put_row(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__row *row) {
    bool wake = false;
    if (!sl__queue_put(&stage->queue, row, &wake)) {
        struct sl__row refused = *row;
        *row = (struct sl__row){0};
        for (struct sl__token *token; (token = sl__row_pop(&refused)) != NULL;) {
            refuse(hand, stage, token);
        }
    }
    if (wake) {
        sl_control_wake(stage->control);
    }
}

void sl__hand_tidy(struct sl__hand *hand) {
    while (hand->untidy) { /* a sink may cancel the run, and what ends then is to be said, too */
        hand->untidy = false;
        for (uint32_t i = 0; i < hand->node_count; i++) {
            struct sl__row *row = &hand->rows[hand->nodes[i]];
            if (row->first != NULL) {
                put_row(hand, &hand->run->stages[hand->nodes[i]], row);
            }
        }
        if (hand->ended) {
            hand->ended = false;
            sl__order_deliver(hand->run);
        }
    }
}

/* ---- carrying ---------------------------------------------------------------------------------------------------- */

/* Puts it down before a stage with a thread of its own, which counts it when it takes it. */
static __attribute__((noinline)) void put_down(struct sl__hand *hand, struct sl__stage_run *stage,
                                               struct sl__token *token) {
    if (SL_LIKELY(sl__hand_keep(hand, token))) {
        sl__row_push(&hand->rows[stage->index], token);
        sl__hand_note(hand);
    } else {
        refuse(hand, stage, token);
    }
}

static inline __attribute__((always_inline)) void carry(struct sl__hand *hand, struct sl__token *token,
                                                        sl__target target) {
    struct sl_pipe_run *run = hand->run;
    while (!sl__target_is_output(target)) {
        struct sl__stage_run *stage = &run->stages[target];
        if (SL_UNLIKELY(token->origin->traced)) {
            token->enter_ns = sl__clock_now_ns();
        }
        if (SL_UNLIKELY(sl__pipe_run_cancelled(run))) {
            refuse(hand, stage, token);
            return;
        }
        if (stage->hosted) {
            /* Only the source leads there, and this is the thread that reads it: what is lent is taken at once (see sl__feed_next). */
            sl__row_push(&stage->queue.taken, token);
            return;
        }
        if (stage->threaded) {
            put_down(hand, stage, token);
            return;
        }
        sl__stage_bump(stage, &stage->input, 1);
        if (!(stage->routes ? run_router(hand, stage, token, &target) : run_native(hand, stage, token, &target))) {
            return;
        }
    }
    token->output = sl__target_index(target);
    sl__order_arrive(hand, token);
}

void sl__flow_carry(struct sl__hand *hand, struct sl__token *token, sl__target target) {
    carry(hand, token, target);
}

void sl__flow_emit_one(struct sl__hand *hand, struct sl__stage_run *stage, struct sl__token *token,
                       struct sl_value value, sl__target target) {
    become(token, sl__lent(value));
    carry(hand, token, leave(stage, token, target));
}

void sl__flow_emit_row(struct sl__hand *hand, struct sl__stage_run *stage, const struct sl__outcome_row *row) {
    for (uint32_t i = 0; i < row->count; i++) {
        struct sl__token *token = sl__flying_take(&stage->flying, row->sequence + i);
        if (token->value.data == NULL) { /* the dispatch had it */
            hand->run->host_bytes -= token->value.size;
        }
        become(token, sl__lent(sl__outcome_row_value(row, i)));
        carry(hand, token, leave(stage, token, SL__NOWHERE));
        sl__stage_tidy_in_time(stage);
    }
    sl__flying_close(&stage->flying, row->sequence, row->count);
}
