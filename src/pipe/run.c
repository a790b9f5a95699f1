/* SPDX-License-Identifier: MIT */
/* A run: started, fed, drained, cancelled, finished. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"

#define IN_FLIGHT_LIMIT 1048576
#define TRACE_LIMIT 4096
#define HOPS_PER_ITEM 64  /* traced, on the average; further ones are left out */
#define READS_MAX 256     /* of the source in one go, when all that is read goes elsewhere */
#define ROOM_ITEMS_MAX 32 /* that are read before it is looked again whether there is room */

/* Whoever feeds looks again. */
void sl__pipe_run_wake(struct sl_pipe_run *run) {
    sl__bell_ring(&run->bell);
    if (run->host != NULL) {
        sl_control_wake(run->host->control);
    }
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

void sl__pipe_run_end(struct sl_pipe_run *run, enum sl__pipe_ending ending, const struct sl_error *error) {
    pthread_mutex_lock(&run->state);
    if (error != NULL && run->error.code == SL_OK) {
        sl_error_copy(&run->error, error);
    }
    pthread_mutex_unlock(&run->state);
    int before = atomic_load(&run->ending);
    while (before < (int)ending && !atomic_compare_exchange_weak(&run->ending, &before, (int)ending)) {
    }
    if (ending == SL__PIPE_CANCELLING) {
        for (uint32_t i = 0; i < run->pipe->node_count; i++) {
            struct sl__stage_run *stage = &run->stages[i];
            if (stage->control != NULL) {
                /* What a thread of ours has in hand cannot be stopped, and its item must live as long: it is finished. */
                (stage->crew != NULL ? sl_control_drain : sl_control_cancel)(stage->control);
            }
        }
    }
    sl__pipe_run_wake(run);
}

void sl__pipe_run_close(struct sl_pipe_run *run) {
    uint32_t node_count = run->pipe->node_count;
    while (atomic_load(&run->input_over)) {
        pthread_mutex_lock(&run->state);
        while (run->closed_count < node_count && !run->pipe->nodes[run->closed_count].threaded) {
            run->closed_count++;
        }
        /* The threaded node before it has to be over. Edges go forward: all before that one are, too. */
        uint32_t index = run->closed_count, before = index;
        while (before > 0 && !run->pipe->nodes[before - 1].threaded) {
            before--;
        }
        bool due = index < node_count && (before == 0 || run->stage_over[before - 1]);
        run->closed_count += due ? 1 : 0;
        pthread_mutex_unlock(&run->state);
        if (!due) {
            return;
        }
        if (sl__queue_close(&run->stages[index].queue)) {
            sl_control_wake(run->stages[index].control);
        }
    }
}

/* ---- tracing ----------------------------------------------------------------------------------------------------- */

void sl__pipe_run_trace(struct sl_pipe_run *run, const struct sl__token *token, const char *at, enum sl_status status) {
    uint64_t now = sl__clock_now_ns();
    pthread_mutex_lock(&run->state);
    if (run->hop_count < run->hop_capacity) {
        run->hops[run->hop_count++] = (struct sl_pipe_hop){
            .origin = token->origin->sequence,
            .stage = at,
            .enter_ns = token->enter_ns != 0 ? token->enter_ns - run->start_ns : now - run->start_ns,
            .leave_ns = now - run->start_ns,
            .status = status,
        };
    }
    pthread_mutex_unlock(&run->state);
}

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

/* Feeder; there is room. */
static inline enum sl_code carry_in(struct sl_pipe_run *run, const struct sl_item *item, struct sl_error *error) {
    struct sl__kept meta = {0};
    bool fits = SL_LIKELY(item->meta.size == 0) || sl__arena_copy(&run->hand.arena, item->meta, &meta);
    struct sl__token *token = fits ? sl__order_open(run, item->id, sl__lent(item->value), meta) : NULL;
    if (token == NULL) {
        sl__kept_drop(&meta);
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

/* ---- start ------------------------------------------------------------------------------------------------------- */

static enum sl_code check_options(const struct sl_pipe *pipe, const struct sl_pipe_options *options,
                                  struct sl_error *error) {
    if (options->in_flight_max < 1 || options->in_flight_max > IN_FLIGHT_LIMIT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s: in_flight_max is %u; expected 1 to %u", pipe->name,
                            options->in_flight_max, IN_FLIGHT_LIMIT);
    }
    if (options->in_flight_bytes_max < 1) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s: in_flight_bytes_max is 0; expected 1 or more",
                            pipe->name);
    }
    if (options->trace_items > TRACE_LIMIT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s: trace_items is %u; expected 0 to %u", pipe->name,
                            options->trace_items, TRACE_LIMIT);
    }
    enum sl_code code = sl__context_check(pipe, options, error);
    if (code != SL_OK) {
        return code;
    }
    for (uint32_t i = 0; i < options->sink_count; i++) {
        const char *name = options->sinks[i].output;
        if (options->sinks[i].put == NULL) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s: sink %u has no function", pipe->name, i);
        }
        sl__target target = name != NULL ? sl__plan_find(pipe, name) : SL__TARGET_OUTPUT;
        if (target == SL__NOWHERE || !sl__target_is_output(target)) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "pipe %s: there is a sink for \"%.100s\", which is no output of it", pipe->name, name);
        }
    }
    return SL_OK;
}

static const struct sl_pipe_sink *find_sink(const struct sl_pipe_options *options, const char *output) {
    const struct sl_pipe_sink *found = NULL;
    for (uint32_t i = 0; i < options->sink_count; i++) {
        const struct sl_pipe_sink *sink = &options->sinks[i];
        if (sink->output != NULL && strcmp(sink->output, output) == 0) {
            return sink;
        }
        found = sink->output == NULL ? sink : found;
    }
    return found;
}

static void *copy_of(const void *items, size_t size) {
    void *copy = malloc(size > 0 ? size : 1);
    if (copy != NULL && size > 0) {
        memcpy(copy, items, size);
    }
    return copy;
}

/* Zeroed, and on lines of its own. NULL: no memory. */
static void *in_lines(size_t size) {
    void *memory = aligned_alloc(SL__LINE_SIZE, size);
    if (memory != NULL) {
        memset(memory, 0, size);
    }
    return memory;
}

static bool allocate(struct sl_pipe_run *run) {
    struct sl_pipe *pipe = run->pipe;
    uint64_t ring = 1;
    while (ring < run->options.in_flight_max) {
        ring *= 2;
    }
    run->origin_mask = ring - 1;
    run->origins = calloc(ring, sizeof *run->origins);
    run->stages = in_lines(pipe->node_count * sizeof *run->stages);
    run->outputs = calloc(pipe->output_count, sizeof *run->outputs);
    run->stage_over = calloc(pipe->node_count, sizeof *run->stage_over);
    run->hop_capacity = run->options.trace_items * HOPS_PER_ITEM;
    run->hops = calloc(run->hop_capacity + 1, sizeof *run->hops);
    run->options.sinks = copy_of(run->options.sinks, run->options.sink_count * sizeof *run->options.sinks);
    run->options.pools = copy_of(run->options.pools, run->options.pool_count * sizeof *run->options.pools);
    run->options.stores = copy_of(run->options.stores, run->options.store_count * sizeof *run->options.stores);
    run->sessions = calloc(run->options.pool_count + 1, sizeof(struct sl_session *));
    return run->sessions != NULL && run->options.stores != NULL && run->origins != NULL && run->stages != NULL &&
           run->outputs != NULL && run->stage_over != NULL && run->hops != NULL && run->options.sinks != NULL &&
           run->options.pools != NULL && sl__hand_init(&run->hand, run, pipe->entry, pipe->entry_count);
}

static void init(struct sl_pipe_run *run) {
    struct sl_pipe *pipe = run->pipe;
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        struct sl__stage_run *stage = &run->stages[i];
        stage->run = run;
        stage->node = &pipe->nodes[i];
        stage->shared = pipe->nodes[i].shared;
        stage->threaded = pipe->nodes[i].threaded;
        stage->routes = pipe->nodes[i].stage.kind == SL_STAGE_ROUTER;
        stage->index = i;
        stage->context = (struct sl_pipe_context){.size = sizeof stage->context,
                                                  .pipe = pipe->name,
                                                  .stage = pipe->nodes[i].stage.name,
                                                  .metadata = run->options.metadata,
                                                  .stores = run->options.stores,
                                                  .store_count = run->options.store_count};
        sl_writer_init(&stage->context_writer, NULL);
        stage->report = (struct sl_report)SL_REPORT_INIT;
        stage->emit.run = run;
        stage->emit.node = stage->node;
        stage->emit.may_lend = !stage->shared && stage->node->stage.cardinality != SL_CARDINALITY_MANY;
        sl__emissions_init(&stage->emit.made);
        sl_writer_init(&stage->emit.writer, NULL);
        pthread_mutex_init(&stage->lock, NULL);
        sl__queue_init(&stage->queue, pipe->nodes[i].stage.queue_max);
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        sl__error_init(&run->outputs[i].error);
        run->outputs[i].name = pipe->outputs[i];
        pthread_mutex_init(&run->outputs[i].lock, NULL);
        run->outputs[i].sink = find_sink(&run->options, pipe->outputs[i]);
    }
}

static void destroy(struct sl_pipe_run *run) {
    struct sl_pipe *pipe = run->pipe;
    for (uint32_t i = 0; run->stages != NULL && i < pipe->node_count && run->stages[i].run != NULL; i++) {
        struct sl__stage_run *stage = &run->stages[i];
        sl__crew_destroy(stage->crew);
        sl_control_destroy(stage->control);
        sl__queue_finish(&stage->queue);
        sl__hand_finish(&stage->hand);
        sl_writer_finish(&stage->emit.writer);
        sl_writer_finish(&stage->context_writer);
        sl__emissions_finish(&stage->emit.made);
        sl_report_finish(&stage->report);
        pthread_mutex_destroy(&stage->lock);
        free(stage->flying);
    }
    for (uint32_t i = 0; run->outputs != NULL && i < pipe->output_count; i++) {
        pthread_mutex_destroy(&run->outputs[i].lock);
    }
    sl__hand_finish(&run->hand);
    sl__order_finish(run);
    sl_error_finish(&run->error);
    pthread_mutex_destroy(&run->feed);
    pthread_mutex_destroy(&run->order);
    pthread_mutex_destroy(&run->state);
    pthread_mutex_destroy(&run->telling);
    sl__context_finish(run);
    free(run->sessions);
    free((void *)run->options.sinks);
    free((void *)run->options.pools);
    free((void *)run->options.stores);
    free(run->origins);
    free(run->stages);
    free(run->outputs);
    free(run->stage_over);
    free(run->hops);
    free(run);
}

static void join_all(struct sl_pipe_run *run) {
    for (uint32_t i = 0; i < run->pipe->node_count; i++) {
        if (run->stages[i].started) {
            pthread_join(run->stages[i].thread, NULL);
        }
    }
}

enum sl_code sl_pipe_start(struct sl_pipe *pipe, const struct sl_pipe_options *given, struct sl_pipe_run **out,
                           struct sl_error *error) {
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    *out = NULL;
    if (given != NULL) {
        memcpy(&options, given, SL_MIN(given->size, sizeof options));
    }
    enum sl_code code = check_options(pipe, &options, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_pipe_run *run = in_lines(sizeof *run);
    if (run == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a run of pipe %s", pipe->name);
    }
    run->pipe = pipe;
    run->options = options;
    run->error = (struct sl_error)SL_ERROR_INIT;
    run->start_ns = sl__clock_now_ns();
    sl__bell_init(&run->bell);
    sl__spin_init_as(&run->spin, true);
    run->telemetry = &sl__telemetry_none;
    pthread_mutex_init(&run->feed, NULL);
    pthread_mutex_init(&run->order, NULL);
    pthread_mutex_init(&run->state, NULL);
    pthread_mutex_init(&run->telling, NULL);
    if (!allocate(run)) {
        destroy(run);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a run of pipe %s", pipe->name);
    }
    init(run);
    for (uint32_t i = 0; i < pipe->node_count && code == SL_OK; i++) {
        code = pipe->nodes[i].threaded ? sl__stage_prepare(&run->stages[i], error) : SL_OK;
    }
    if (code == SL_OK) {
        sl__context_share(run);
    }
    /* The first one works on the thread that feeds a source, or gets one of its own at the first push. */
    run->host = code == SL_OK && pipe->entry_count > 0 ? &run->stages[pipe->entry[0]] : NULL;
    if (code == SL_OK) {
        sl__pipe_tell_start(run);
    }
    for (uint32_t i = 0; i < pipe->node_count && code == SL_OK; i++) {
        bool launched = pipe->nodes[i].threaded && &run->stages[i] != run->host;
        code = launched ? sl__stage_launch(&run->stages[i], error) : SL_OK;
    }
    if (code != SL_OK) {
        const struct sl_error why = {.size = sizeof why, .code = code};
        sl__pipe_run_end(run, SL__PIPE_CANCELLING, &why);
        join_all(run);
        sl__pipe_tell_end(run);
        destroy(run);
        return code;
    }
    *out = run;
    return SL_OK;
}

/* ---- end --------------------------------------------------------------------------------------------------------- */

void sl_pipe_drain(struct sl_pipe_run *run) {
    int running = SL__PIPE_RUNNING;
    (void)atomic_compare_exchange_strong(&run->ending, &running, SL__PIPE_CLOSING);
    sl__pipe_run_wake(run);
}

void sl_pipe_wake(struct sl_pipe_run *run) {
    sl__pipe_run_wake(run);
}

void sl_pipe_cancel(struct sl_pipe_run *run) {
    struct sl_error error = SL_ERROR_INIT;
    (void)sl_error_set(&error, SL_E_CANCELLED, "pipe %s was cancelled", run->pipe->name);
    sl__pipe_run_end(run, SL__PIPE_CANCELLING, &error);
    sl_error_finish(&error);
}

void sl__pipe_run_seal(struct sl_pipe_run *run) {
    sl_pipe_drain(run);
    pthread_mutex_lock(&run->feed); /* whoever is in the middle of a push carries it to its end */
    if (run->host != NULL && !run->host->started) {
        /* It has never worked, or has worked on the thread that fed a source. Who reads this has seen input_over, which follows. */
        run->stage_over[run->host->index] = true;
    }
    pthread_mutex_unlock(&run->feed);
    atomic_store(&run->input_over, true);
    sl__pipe_run_close(run);
}

/* False: some still work after the time; with no limit of time never. */
static bool await_threads(struct sl_pipe_run *run, uint32_t timeout_ms) {
    uint64_t deadline_ns = sl__clock_deadline_ms(timeout_ms);
    for (;;) {
        uint32_t seen = atomic_load(&run->bell.value);
        if (atomic_load(&run->running) == 0) {
            return true;
        }
        if (deadline_ns != 0 && sl__clock_passed(deadline_ns)) {
            return false;
        }
        sl__lanes_wait(NULL, 0, &run->bell, seen, deadline_ns, &run->spin, false);
    }
}

enum sl_code sl_pipe_wait(struct sl_pipe_run *run, uint32_t timeout_ms, struct sl_error *error) {
    sl__pipe_run_seal(run);
    if (await_threads(run, timeout_ms)) {
        return SL_OK;
    }
    return sl_error_set(error, SL_E_TIMEOUT, "pipe %s is not through after %u ms", run->pipe->name, timeout_ms);
}

enum sl_code sl_pipe_finish(struct sl_pipe_run *run, uint32_t timeout_ms, struct sl_pipe_report *report,
                            struct sl_error *error) {
    sl__pipe_run_seal(run);
    if (!await_threads(run, timeout_ms)) {
        struct sl_error late = SL_ERROR_INIT;
        (void)sl_error_set(&late, SL_E_TIMEOUT, "pipe %s was not through after %u ms and was cancelled",
                           run->pipe->name, timeout_ms);
        sl__pipe_run_end(run, SL__PIPE_CANCELLING, &late);
        sl_error_finish(&late);
        (void)await_threads(run, 0);
    }
    join_all(run);
    sl__arena_close(&run->hand.arena);
    SL_ASSERT(atomic_load(&run->head) == atomic_load(&run->tail));
    SL_ASSERT(atomic_load(&run->bytes) + run->host_bytes == 0);
    if (report != NULL) {
        sl__pipe_report_fill(run, report);
    }
    sl__pipe_tell_end(run);
    enum sl_code code = run->error.code;
    if (code != SL_OK) {
        sl_error_copy(error, &run->error);
    }
    destroy(run);
    return code;
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

enum sl_code sl__pipe_run_read(struct sl_pipe_run *run, struct sl__stage_run *stage) {
    enum sl_code code = SL_OK;
    for (int i = 0; i < READS_MAX && code == SL_OK; i++) {
        code = read_one(run);
        if (stage->queue.taken.first != NULL) {
            return SL_OK;
        }
    }
    if (code == SL_OK) {
        sl_control_wake(stage->control); /* replies first, then more */
        return SL_E_AGAIN;
    }
    return code == SL_E_END ? SL_OK : code; /* at the end the queue says so */
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
