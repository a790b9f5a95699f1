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

#define TIMED_EVERY 16

/* Counters of a stage that one thread at a time works for need no locked instruction. */
static void bump(const struct sl__stage_run *stage, _Atomic uint64_t *counter, uint64_t by) {
    if (stage->node->shared) {
        atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
    } else {
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
    }
}

static void count(struct sl__stage_run *stage, enum sl_status status) {
    bump(stage, &stage->count[status], 1);
}

static void lock(struct sl__stage_run *stage) {
    if (stage->node->shared) {
        pthread_mutex_lock(&stage->lock);
    }
}

static void unlock(struct sl__stage_run *stage) {
    if (stage->node->shared) {
        pthread_mutex_unlock(&stage->lock);
    }
}

/* One call in TIMED_EVERY is timed, and stands for the others. */
static uint64_t begin_timing(const struct sl__stage_run *stage) {
    uint64_t input = atomic_load_explicit(&stage->input, memory_order_relaxed);
    return input % TIMED_EVERY == 0 ? sl__clock_now_ns() : 0;
}

static void end_timing(struct sl__stage_run *stage, uint64_t start_ns) {
    if (start_ns != 0) {
        bump(stage, &stage->busy_ns, (sl__clock_now_ns() - start_ns) * TIMED_EVERY);
    }
}

struct sl_pipe_item sl__flow_item(const struct sl__stage_run *stage, const struct sl__token *token) {
    const struct sl__origin *origin = sl__order_origin(stage->run, token->origin);
    return (struct sl_pipe_item){
        .size = sizeof(struct sl_pipe_item),
        .id = origin->id,
        .origin = token->origin,
        .value = sl__pipe_blob_value(token->blob),
        .meta = sl__pipe_blob_value(origin->meta),
        .context = &stage->context,
    };
}

void sl__flow_enter(struct sl__stage_run *stage, struct sl__token *token) {
    if (stage->node->threaded && !stage->hosted) { /* by any thread that brings it something */
        atomic_fetch_add_explicit(&stage->input, 1, memory_order_relaxed);
    } else {
        bump(stage, &stage->input, 1);
    }
    if (token->origin < stage->run->options.trace_items) {
        token->enter_ns = sl__clock_now_ns();
    }
}

static void trace(struct sl__stage_run *stage, const struct sl__token *token, enum sl_status status) {
    if (token->origin < stage->run->options.trace_items) {
        sl__pipe_run_trace(stage->run, token, stage->node->stage.name, status);
    }
}

/* ---- emissions --------------------------------------------------------------------------------------------------- */

bool sl__flow_add(struct sl__emissions *made, struct sl__pipe_blob *blob, sl__target target) {
    if (!SL_ARRAY_RESERVE(made, 1)) {
        sl__pipe_blob_unref(blob);
        return false;
    }
    made->items[made->count++] = (struct sl__emission){blob, target};
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

static bool open_for(struct sl_emit *emit, const char *what) {
    struct sl__emissions *made = &emit->made;
    if (made->error.code != SL_OK) {
        return false;
    }
    if (emit->writing) {
        (void)sl_error_set(&made->error, SL_E_INVALID_ARGUMENT,
                           "stage %s called %s between sl_emit_begin and sl_emit_end", emit->node->stage.name, what);
        return false;
    }
    if (made->skip != NULL) {
        (void)sl_error_set(&made->error, SL_E_INVALID_ARGUMENT, "stage %s called %s for an item that it had skipped",
                           emit->node->stage.name, what);
        return false;
    }
    if (made->count > 0 && emit->node->stage.cardinality != SL_CARDINALITY_MANY) {
        (void)sl_error_set(&made->error, SL_E_BAD_RESULT,
                           "stage %s gave out more than one value for an item; declare it with .cardinality = "
                           "SL_CARDINALITY_MANY",
                           emit->node->stage.name);
        return false;
    }
    return true;
}

static void add(struct sl_emit *emit, struct sl_value value, sl__target target) {
    struct sl__pipe_blob *blob =
        emit->input != NULL && value.data == emit->input->data && value.size == emit->input->size
            ? sl__pipe_blob_ref(emit->input)
            : sl__pipe_blob_create(value.data, value.size, &emit->run->bytes);
    if (blob == NULL || !sl__flow_add(&emit->made, blob, target)) {
        (void)sl_error_set(&emit->made.error, SL_E_OUT_OF_MEMORY, "no memory for a value of %zu bytes", value.size);
    }
}

static bool is_value(struct sl_emit *emit, struct sl_value value) {
    if (value.data != NULL && value.size > 0) {
        return true;
    }
    (void)sl_error_set(&emit->made.error, SL_E_BAD_RESULT, "stage %s gave out \"no value\"", emit->node->stage.name);
    return false;
}

void sl_emit(struct sl_emit *emit, struct sl_value value) {
    if (open_for(emit, "sl_emit") && is_value(emit, value)) {
        add(emit, value, SL__NOWHERE);
    }
}

struct sl_writer *sl_emit_begin(struct sl_emit *emit) {
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
    struct sl_error error = SL_ERROR_INIT;
    if (sl_writer_end(&emit->writer, &value, &error) != SL_OK) {
        sl_error_copy(&emit->made.error, &error);
    } else {
        add(emit, value, SL__NOWHERE);
    }
    sl_error_finish(&error);
}

void sl_emit_skip(struct sl_emit *emit, const char *reason) {
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
    emit->routed = true;
    add(emit, value, target);
}

void sl__emit_init(struct sl_emit *emit, struct sl__stage_run *stage, struct sl__token *token) {
    emit->run = stage->run;
    emit->node = stage->node;
    emit->input = token->blob;
    emit->writing = emit->routed = false;
    sl__emissions_clear(&emit->made);
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

void sl__flow_end(struct sl__stage_run *stage, struct sl__token *token, enum sl_status status) {
    count(stage, status);
    trace(stage, token, status);
    sl__order_end(stage->run, token, status == SL_STATUS_CANCELLED);
}

static void halt(struct sl__stage_run *stage, const struct sl_error *cause) {
    struct sl_error error = SL_ERROR_INIT;
    sl_error_copy(&error, cause);
    snprintf(error.message, sizeof error.message, "stage %.64s halted the pipe: %.*s", stage->node->stage.name,
             SL_ERROR_MESSAGE_SIZE - 100, cause->message[0] != '\0' ? cause->message : sl_code_text(cause->code));
    error.code = SL_E_HALTED;
    sl__pipe_run_end(stage->run, SL__PIPE_STOPPING, &error);
    sl_error_finish(&error);
}

/* Whoever wants to know of failures is told. */
static void tell(struct sl__stage_run *stage, const struct sl__token *token, const struct sl_error *error) {
    struct sl_pipe_run *run = stage->run;
    if (run->options.failed == NULL) {
        return;
    }
    const struct sl__origin *origin = sl__order_origin(run, token->origin);
    const struct sl_pipe_outcome outcome = {
        .size = sizeof outcome,
        .id = origin->id,
        .origin = token->origin,
        .value = sl__pipe_blob_value(token->blob),
        .meta = sl__pipe_blob_value(origin->meta),
        .stage = stage->node->stage.name,
        .error = error,
    };
    pthread_mutex_lock(&run->telling);
    run->options.failed(run->options.failed_context, &outcome);
    pthread_mutex_unlock(&run->telling);
}

void sl__flow_fail(struct sl__stage_run *stage, struct sl__token *token, const struct sl_error *error) {
    const struct sl__node *node = stage->node;
    enum sl_on_error policy = node->stage.on_error.on_error;
    if (node->on_error != SL__NOWHERE && (policy == SL_ON_ERROR_ROUTE || policy == SL_ON_ERROR_ISOLATE)) {
        if (token->error == NULL && (token->error = malloc(sizeof *token->error)) != NULL) {
            *token->error = (struct sl_error)SL_ERROR_INIT;
        }
        if (token->error != NULL) {
            sl_error_copy(token->error, error);
        }
        count(stage, SL_STATUS_ROUTED);
        trace(stage, token, SL_STATUS_ROUTED);
        bump(stage, &stage->emitted, 1);
        token->producer = stage->index;
        sl__flow_carry(stage->run, token, node->on_error);
        return;
    }
    if (policy == SL_ON_ERROR_HALT) {
        halt(stage, error);
    }
    tell(stage, token, error);
    sl__flow_end(stage, token, SL_STATUS_FAILED);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static struct sl__token *child_of(const struct sl__token *parent, struct sl__pipe_blob *blob, uint32_t number) {
    struct sl__token *child = sl__token_create(parent->origin, blob, parent->producer);
    if (child != NULL) {
        memcpy(child->path, parent->path, parent->depth * sizeof *child->path);
        child->depth = parent->depth;
        if (child->depth < SL__PATH_MAX) {
            child->path[child->depth++] = number;
        }
    }
    return child;
}

/* One item became several. All of them exist before the first is carried on, so that a lack of memory fails the item as a whole. */
static void emit_many(struct sl__stage_run *stage, struct sl__token *token, struct sl__emissions *made) {
    struct sl_pipe_run *run = stage->run;
    size_t made_count = made->count, have = 0;
    struct sl__token **children = calloc(made_count, sizeof *children);
    while (children != NULL && have < made_count) {
        children[have] = child_of(token, made->items[have].blob, (uint32_t)have);
        if (children[have] == NULL) {
            break;
        }
        have++;
    }
    if (children == NULL || have < made_count) {
        for (size_t i = 0; i < have; i++) {
            free(children[i]);
        }
        free(children);
        sl__emissions_clear(made);
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for the %zu items that one became", made_count);
        sl__flow_fail(stage, token, &error);
        sl_error_finish(&error);
        return;
    }
    made->count = 0; /* the blobs are the children's */
    count(stage, SL_STATUS_OK);
    trace(stage, token, SL_STATUS_OK);
    bump(stage, &stage->emitted, made_count);
    sl__order_add(run, token->origin, (uint32_t)made_count);
    /* Where they go is put down first: `made` may be used again by a handler that they meet. */
    for (size_t i = 0; i < made_count; i++) {
        children[i]->producer = stage->index;
        children[i]->output = made->items[i].target == SL__NOWHERE ? stage->node->next : made->items[i].target;
    }
    for (size_t i = 0; i < made_count; i++) {
        sl__flow_carry(run, children[i], children[i]->output);
    }
    free(children);
    sl__order_end(run, token, false);
}

/* What becomes of the token: carried on by the caller to *target when true, else taken over. */
static bool settle(struct sl__stage_run *stage, struct sl__token *token, struct sl__emissions *made,
                   sl__target *target) {
    if (made->error.code != SL_OK) {
        struct sl_error error = SL_ERROR_INIT;
        sl_error_copy(&error, &made->error);
        sl__emissions_clear(made);
        sl__flow_fail(stage, token, &error);
        sl_error_finish(&error);
        return false;
    }
    if (made->count == 0) {
        sl__emissions_clear(made);
        sl__flow_end(stage, token, SL_STATUS_SKIPPED);
        return false;
    }
    if (made->count > 1 || stage->node->stage.cardinality == SL_CARDINALITY_MANY) {
        emit_many(stage, token, made);
        return false;
    }
    bool routed = made->items[0].target != SL__NOWHERE;
    *target = routed ? made->items[0].target : stage->node->next;
    sl__pipe_blob_unref(token->blob);
    token->blob = made->items[0].blob;
    made->count = 0;
    token->producer = stage->index;
    count(stage, routed ? SL_STATUS_ROUTED : SL_STATUS_OK);
    trace(stage, token, routed ? SL_STATUS_ROUTED : SL_STATUS_OK);
    bump(stage, &stage->emitted, 1);
    return true;
}

void sl__flow_emit(struct sl__stage_run *stage, struct sl__token *token, struct sl__emissions *made) {
    sl__target target;
    if (settle(stage, token, made, &target)) {
        sl__flow_carry(stage->run, token, target);
    }
}

/* ---- inline nodes ------------------------------------------------------------------------------------------------ */

static bool run_native(struct sl__stage_run *stage, struct sl__token *token, sl__target *target) {
    const struct sl_stage *declared = &stage->node->stage;
    struct sl_pipe_item item = sl__flow_item(stage, token);
    struct sl_error error;
    sl__error_init(&error);
    lock(stage);
    sl__emit_init(&stage->emit, stage, token);
    uint64_t start_ns = begin_timing(stage);
    enum sl_code code = declared->call(declared->context, &item, &stage->emit, &error);
    end_timing(stage, start_ns);
    if (code == SL_OK && stage->emit.made.error.code == SL_OK && stage->emit.writing) {
        (void)sl_error_set(&stage->emit.made.error, SL_E_INVALID_ARGUMENT, "stage %s returned without sl_emit_end",
                           declared->name);
    }
    if (code == SL_OK && stage->emit.made.count == 1 && declared->cardinality != SL_CARDINALITY_MANY &&
        stage->emit.made.error.code == SL_OK) {
        bool carried = settle(stage, token, &stage->emit.made, target); /* the usual case, without moving the array */
        unlock(stage);
        return carried;
    }
    struct sl__emissions made = stage->emit.made;
    sl__emissions_init(&stage->emit.made);
    unlock(stage);
    if (code != SL_OK) {
        if (error.code == SL_OK) {
            (void)sl_error_set(&error, code, "stage %s failed the item: %s", declared->name, sl_code_text(code));
        }
        error.code = code;
        sl__emissions_finish(&made);
        sl__flow_fail(stage, token, &error);
        sl_error_finish(&error);
        return false;
    }
    bool carried = settle(stage, token, &made, target);
    sl__emissions_finish(&made);
    return carried;
}

static bool run_router(struct sl__stage_run *stage, struct sl__token *token, sl__target *target) {
    const struct sl__node *node = stage->node;
    struct sl_pipe_item item = sl__flow_item(stage, token);
    struct sl_error error;
    sl__error_init(&error);
    enum sl_code code = SL_OK;
    *target = node->otherwise;
    lock(stage);
    uint64_t start_ns = begin_timing(stage);
    for (uint32_t i = 0; i < node->route_count && code == SL_OK; i++) {
        const struct sl_route *route = &node->stage.routes[i];
        bool taken = route->when == NULL;
        code = taken ? SL_OK : route->when(route->context, &item, &taken, &error);
        if (code == SL_OK && taken) {
            *target = node->routes[i];
            break;
        }
    }
    end_timing(stage, start_ns);
    unlock(stage);
    if (code != SL_OK) {
        if (error.code == SL_OK) {
            (void)sl_error_set(&error, code, "a route of stage %s failed: %s", node->stage.name, sl_code_text(code));
        }
        error.code = code;
        sl__flow_fail(stage, token, &error);
        sl_error_finish(&error);
        return false;
    }
    count(stage, SL_STATUS_ROUTED);
    trace(stage, token, SL_STATUS_ROUTED);
    bump(stage, &stage->emitted, 1);
    return true;
}

void sl__flow_flush(struct sl_pipe_run *run, const uint32_t *nodes, uint32_t node_count) {
    for (uint32_t i = 0; i < node_count; i++) {
        struct sl__stage_run *stage = &run->stages[nodes[i]];
        if (atomic_load_explicit(&stage->to_be_woken, memory_order_relaxed) &&
            atomic_exchange_explicit(&stage->to_be_woken, false, memory_order_relaxed)) {
            sl_control_wake(stage->control);
        }
    }
}

void sl__flow_carry(struct sl_pipe_run *run, struct sl__token *token, sl__target target) {
    for (;;) {
        if (sl__target_is_output(target)) {
            token->output = sl__target_index(target);
            sl__order_arrive(run, token);
            return;
        }
        struct sl__stage_run *stage = &run->stages[target];
        sl__flow_enter(stage, token);
        if (sl__pipe_run_cancelled(run)) {
            sl__flow_end(stage, token, SL_STATUS_CANCELLED);
            return;
        }
        if (stage->hosted) {
            sl__queue_put_own(&stage->queue,
                              token); /* only the source leads there, and this is the thread that reads it */
            return;
        }
        if (stage->node->threaded) {
            bool wake = false;
            if (!sl__queue_put(&stage->queue, token, &wake)) {
                sl__flow_end(stage, token, SL_STATUS_CANCELLED);
            }
            if (wake) {
                atomic_store_explicit(&stage->to_be_woken, true, memory_order_relaxed);
            }
            return;
        }
        if (!(stage->node->stage.kind == SL_STAGE_ROUTER ? run_router(stage, token, &target)
                                                         : run_native(stage, token, &target))) {
            return;
        }
    }
}
