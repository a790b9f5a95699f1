/* SPDX-License-Identifier: MIT */
/*
 * Random graphs over real workers that raise, die, hang, answer with what cannot travel and mark items, under random policies. What becomes of an item depends
 * on the batch that it was in, so there is no model that foretells it; what is checked are the laws:
 *   each stage     what came in ended in one of the states
 *   the graph      what the source and the stages gave out came in somewhere
 *   each item      was given out or reported as failed, once, unless it is one that a function skips
 *   order          outputs come in the order of the source
 *   resume         what lies before it is finished, and nothing after it was given out
 */
#include <signal.h>

#include "runs.h"

#include <slither/pipe.h>

#define TIME_MS 8000
#define ROUNDS_MIN 4
#define ITEMS 400
#define STAGES_MAX 6

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

struct graph {
    uint32_t count;
    struct sl_stage stages[STAGES_MAX + 1];
    struct sl_route routes[STAGES_MAX][3];
    char names[STAGES_MAX][16];
    bool halts;
};

static enum sl_code native(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                           struct sl_error *error) {
    (void)context;
    if (int_of(item->value) % 50 == 7) {
        return sl_error_set(error, SL_E_RANGE, "not that one");
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code every_third(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = int_of(item->value) % 3 == 0;
    return SL_OK;
}

/* A later stage, or an output. */
static const char *draw_target(struct graph *graph, uint64_t *random, uint32_t i, const char *output) {
    uint32_t later = graph->count - i - 1, lot = draw_below(random, later + 1);
    return lot < later ? graph->names[i + 1 + lot] : output;
}

static void draw_policy(struct graph *graph, uint64_t *random, uint32_t i, bool may_halt) {
    struct sl_stage *stage = &graph->stages[i];
    uint32_t lot = draw_below(random, may_halt ? 5 : 4);
    stage->on_error = (struct sl_error_policy){.on_error = SL_ON_ERROR_SKIP};
    if (lot == 1 && stage->kind != SL_STAGE_ROUTER) {
        stage->on_error = (struct sl_error_policy){.on_error = SL_ON_ERROR_RETRY, .max_attempts = 2, .backoff_ms = 1};
        if (stage->kind == SL_STAGE_NATIVE && stage->parallel == 0) {
            stage->on_error.on_error =
                SL_ON_ERROR_SKIP; /* on the thread of another: there is nothing to try again with */
        }
    } else if (lot == 2) {
        stage->on_error.on_error = SL_ON_ERROR_ROUTE;
        stage->on_error_to = draw_target(graph, random, i, "dead");
    } else if (lot == 3 && stage->kind == SL_STAGE_PYTHON) {
        stage->on_error.on_error = SL_ON_ERROR_ISOLATE;
        stage->on_error_to = draw_below(random, 2) == 0 ? NULL : "dead";
    } else if (lot == 4) {
        stage->on_error.on_error = SL_ON_ERROR_HALT;
        graph->halts = true;
    }
}

static void draw_stage(struct graph *graph, uint64_t *random, uint32_t i, bool may_halt) {
    static const char *const functions[] = {"pipe_functions:chance_a", "pipe_functions:chance_b",
                                            "pipe_functions:chance_c"};
    struct sl_stage *stage = &graph->stages[i];
    *stage = (struct sl_stage){.name = graph->names[i]};
    uint32_t lot = draw_below(random, 10);
    if (lot < 6) {
        stage->kind = SL_STAGE_PYTHON;
        stage->function = functions[draw_below(random, 3)];
        stage->batch_size = 1 + draw_below(random, 40);
        stage->timeout_ms = 300;
        stage->max_in_flight = 1 + draw_below(random, 6);
        stage->queue_max = 1 + draw_below(random, 100);
        stage->ordering = (enum sl_ordering)draw_below(random, 2);
        graph->routes[i][0] = (struct sl_route){.to = "dead"};
    } else if (lot < 8) {
        stage->kind = SL_STAGE_NATIVE;
        stage->call = native;
        stage->parallel = draw_below(random, 3);
        stage->queue_max = 1 + draw_below(random, 100);
    } else {
        stage->kind = SL_STAGE_ROUTER;
        graph->routes[i][0] = (struct sl_route){.when = every_third, .to = draw_target(graph, random, i, "aside")};
        graph->routes[i][1] = (struct sl_route){.to = i + 1 < graph->count ? graph->names[i + 1] : "default"};
    }
    stage->routes = graph->routes[i][0].to != NULL ? graph->routes[i] : NULL;
    draw_policy(graph, random, i, may_halt);
}

static void draw_graph(struct graph *graph, uint64_t *random) {
    memset(graph, 0, sizeof *graph);
    graph->count = 1 + draw_below(random, STAGES_MAX);
    for (uint32_t i = 0; i < graph->count; i++) {
        snprintf(graph->names[i], sizeof graph->names[i], "s%u", i);
    }
    bool may_halt = draw_below(random, 3) == 0;
    for (uint32_t i = 0; i < graph->count; i++) {
        draw_stage(graph, random, i, may_halt);
    }
}

/* ---- the laws ---------------------------------------------------------------------------------------------------- */

struct seen_items {
    pthread_mutex_t lock;
    uint32_t given[ITEMS], failed[ITEMS];
    uint64_t last, out_of_order, last_given, count;
};

static enum sl_code give(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct seen_items *seen_items = context;
    (void)error;
    pthread_mutex_lock(&seen_items->lock);
    assert_true(outcome->origin < ITEMS);
    assert_int_equal(outcome->id, 1000 + outcome->origin);
    assert_int_equal(int_of(outcome->value), outcome->origin);
    seen_items->given[outcome->origin]++;
    seen_items->out_of_order += outcome->origin < seen_items->last ? 1 : 0;
    seen_items->last = outcome->origin;
    seen_items->count++;
    if (outcome->origin > seen_items->last_given) {
        seen_items->last_given = outcome->origin;
    }
    pthread_mutex_unlock(&seen_items->lock);
    return SL_OK;
}

static void note_failure(void *context, const struct sl_pipe_outcome *outcome) {
    struct seen_items *seen_items = context;
    pthread_mutex_lock(&seen_items->lock);
    seen_items->failed[outcome->origin]++;
    pthread_mutex_unlock(&seen_items->lock);
}

/* As pipe_functions.py has it: what one of its functions may skip. */
static bool is_skipped(uint64_t x) {
    for (uint64_t salt = 1; salt <= 3; salt++) {
        if (((x + 1) * UINT64_C(2654435761) * salt >> 9) % 150 == 4) {
            return true;
        }
    }
    return false;
}

static void check_laws(const struct graph *graph, const struct seen_items *seen_items,
                       const struct sl_pipe_report *report, enum sl_code code, bool ordered) {
    uint64_t came_in = 0, gave_out = report->input;
    for (uint32_t i = 0; i < report->stage_count; i++) {
        const struct sl_stage_report *stage = &report->stages[i];
        uint64_t sum = 0;
        for (int status = 0; status < SL_STATUS_COUNT; status++) {
            sum += stage->count[status];
        }
        assert_int_equal(sum, stage->input);
        came_in += stage->input;
        gave_out += stage->emitted;
    }
    uint64_t landed = 0;
    for (uint32_t i = 0; i < report->output_count; i++) {
        landed += report->outputs[i].count;
    }
    assert_int_equal(landed, seen_items->count);
    if (code == SL_OK) {
        assert_int_equal(gave_out, came_in + landed);
        assert_int_equal(report->input, ITEMS);
        assert_int_equal(report->finished, ITEMS);
        assert_int_equal(report->resume, ITEMS);
    } else {
        assert_true(graph->halts);
        assert_int_equal(code, SL_E_HALTED);
        assert_true(gave_out >= came_in + landed);
    }
    for (uint64_t x = 0; x < ITEMS; x++) {
        uint32_t count = seen_items->given[x] + seen_items->failed[x];
        assert_true(count <= 1);
        if (x < report->resume && !is_skipped(x)) {
            assert_int_equal(count, 1);
        }
        if (x >= report->resume && ordered) {
            assert_int_equal(seen_items->given[x], 0);
        }
    }
    assert_true(!ordered || seen_items->out_of_order == 0);
}

/* False: not a graph that is allowed. */
static bool run_one(struct host *host, struct graph *graph, uint64_t *random, uint32_t *halted) {
    static const char *const outputs[] = {"dead", "aside", NULL};
    const struct sl_pipe_definition definition = {SL_PIPE("drawn"), .stages = graph->stages, .outputs = outputs};
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    uint32_t problem_count = 0;
    struct sl_pipe_problem problem = {{0}, {0}};
    if (sl_pipe_check(&definition, &problem, 1, &problem_count, NULL) != SL_OK) {
        /* Not each graph feeds each output; nothing else can be wrong. */
        assert_non_null(strstr(problem.message, "never fed"));
        return false;
    }
    assert_int_equal(sl_pipe_create(&definition, &pipe, &error), SL_OK);
    struct seen_items seen_items = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    const struct sl_pipe_sink sink = {NULL, give, &seen_items};
    const struct sl_pipe_pool pool = {"workers", host->pool};
    options.pools = &pool;
    options.pool_count = 1;
    options.sinks = &sink;
    options.sink_count = 1;
    options.failed = note_failure;
    options.failed_context = &seen_items;
    options.in_flight_max = 20 + draw_below(random, 400);
    options.ordering = (enum sl_ordering)draw_below(random, 2);
    struct numbers numbers = {.count = ITEMS};
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    enum sl_code code = sl_pipe_run(pipe, &options, numbers_source(&numbers), &report, &error);
    if (code != SL_OK && code != SL_E_HALTED) {
        fail_msg("%s", error.message);
    }
    check_laws(graph, &seen_items, &report, code, options.ordering == SL_ORDERING_PRESERVE);
    sl_pipe_report_finish(&report);
    sl_error_finish(&error);
    sl_pipe_destroy(pipe);
    numbers_finish(&numbers);
    *halted += code == SL_E_HALTED ? 1 : 0;
    return true;
}

static void whatever_happens_the_laws_hold(void **state) {
    (void)state;
    uint64_t random = draw_seed();
    struct host host;
    struct graph graph;
    host_open(&host, 3, NULL);
    uint64_t end_ms = now_ms() + TIME_MS;
    uint32_t rounds = 0, halted = 0;
    while (rounds < ROUNDS_MIN || now_ms() < end_ms) {
        draw_graph(&graph, &random);
        rounds += run_one(&host, &graph, &random, &halted) ? 1 : 0;
    }
    print_message("%u graphs, %u of them halted\n", rounds, halted);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_the_laws_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
