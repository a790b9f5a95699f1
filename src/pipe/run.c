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
#define HOPS_PER_ITEM 64 /* traced, on the average; further ones are left out */

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
        free(stage->flying.tokens);
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
