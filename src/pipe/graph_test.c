/* SPDX-License-Identifier: MIT */
/*
 * Random graphs with random faults, against a model that walks each item alone. What a stage does with an item depends on the item and the stage
 * only, so the model knows where each one has to land.
 */
#include "testing/crew.h"

#include <slither/pipe.h>

#define STAGES_MAX 9
#define OUTPUTS 3
#define ROUNDS 200
#define ITEMS 400
#define LANDED_MAX 20000 /* of one item: stages that repeat follow one another */

/* ---- what a stage does ------------------------------------------------------------------------------------------- */

enum act { PASS, ADD, SKIP_SOME, FAIL_SOME, REPEAT, ROUTE_SOME };

struct plan {
    enum act act;
    uint32_t number;
    bool router;
    uint32_t route_count;
    uint32_t routes[4]; /* stages, or 100 + an output */
    uint32_t next;      /* of routers: the rest */
    bool dead_letters;  /* failed items go to output 0 */
    bool retried;
    uint32_t parallel;
};

struct graph {
    uint32_t count;
    struct plan plans[STAGES_MAX];
    struct sl_stage stages[STAGES_MAX + 1];
    struct sl_route routes[STAGES_MAX][5];
    char names[STAGES_MAX][16];
    struct link {
        struct graph *graph;
        uint32_t stage, route;
    } links[STAGES_MAX][4];
};

static const char *const output_names[] = {"dead", "one", "two", NULL};

static uint64_t mix(uint64_t x, uint64_t salt) {
    x = (x + salt) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 31;
}

/* Which route an item takes, or route_count: the rest. */
static uint32_t route_of(const struct plan *plan, int64_t x) {
    return (uint32_t)(mix((uint64_t)x, plan->number) % (plan->route_count + 1));
}

enum fate { GOES_ON, SKIPPED, FAILED };

/* The values that a stage makes of x, and where they go: 0 the next, 1 the route. */
static enum fate act(const struct plan *plan, int64_t x, int64_t *made, uint32_t *count, bool *routed) {
    uint64_t lot = mix((uint64_t)x, plan->number) % 8;
    *count = 1;
    *routed = false;
    made[0] = x;
    switch (plan->act) {
    case PASS:
        break;
    case ADD:
        made[0] = x + 100000;
        break;
    case SKIP_SOME:
        return lot == 0 ? SKIPPED : GOES_ON;
    case FAIL_SOME:
        return lot < 2 ? FAILED : GOES_ON;
    case REPEAT:
        *count = (uint32_t)(lot % 3);
        for (uint32_t i = 0; i < *count; i++) {
            made[i] = x * 3 + i;
        }
        return *count == 0 ? SKIPPED : GOES_ON;
    case ROUTE_SOME:
        *routed = lot < 3;
        break;
    }
    return GOES_ON;
}

static enum sl_code handler(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                            struct sl_error *error) {
    const struct link *link = context;
    const struct plan *plan = &link->graph->plans[link->stage];
    int64_t made[8];
    uint32_t count;
    bool routed;
    switch (act(plan, int_of(item->value), made, &count, &routed)) {
    case SKIPPED:
        if (plan->act == SKIP_SOME) {
            sl_emit_skip(emit, "not this one");
        }
        return SL_OK;
    case FAILED:
        return sl_error_set(error, SL_E_RANGE, "not that one");
    case GOES_ON:
        break;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (routed) {
            sl_emit_route(emit, link->graph->routes[link->stage][0].to, item->value);
        } else {
            sl_write_int(sl_emit_begin(emit), made[i]);
            sl_emit_end(emit);
        }
    }
    return SL_OK;
}

static enum sl_code predicate(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    const struct link *link = context;
    (void)error;
    *taken = route_of(&link->graph->plans[link->stage], int_of(item->value)) == link->route;
    return SL_OK;
}

/* ---- drawing a graph --------------------------------------------------------------------------------------------- */

static const char *name_of(struct graph *graph, uint32_t target) {
    return target >= 100 ? output_names[target - 100] : graph->names[target];
}

static uint32_t draw_target(uint64_t *random, uint32_t from, uint32_t count) {
    uint32_t later = count - from - 1, lot = draw_below(random, later + OUTPUTS);
    return lot < later ? from + 1 + lot : 100 + lot - later;
}

static void draw_stage(struct graph *graph, uint64_t *random, uint32_t i) {
    struct plan *plan = &graph->plans[i];
    struct sl_stage *stage = &graph->stages[i];
    *plan = (struct plan){.number = draw_below(random, 1000)};
    plan->router = draw_below(random, 3) == 0;
    plan->act = (enum act)draw_below(random, 6);
    plan->next = draw_target(random, i, graph->count);
    *stage = (struct sl_stage){.name = graph->names[i], .on_error = {.on_error = SL_ON_ERROR_SKIP}};
    if (plan->router) {
        plan->route_count = 1 + draw_below(random, 3);
        stage->kind = SL_STAGE_ROUTER;
    } else {
        plan->route_count = plan->act == ROUTE_SOME ? 1 : 0;
        plan->dead_letters = draw_below(random, 3) == 0;
        plan->retried = !plan->dead_letters && draw_below(random, 6) == 0;
        stage->kind = SL_STAGE_NATIVE;
        stage->call = handler;
        stage->context = &graph->links[i][0];
        stage->parallel = draw_below(random, 2) == 0 ? 0 : 1 + draw_below(random, 3);
        stage->queue_max = 1 + draw_below(random, 40);
        stage->max_in_flight = 1 + draw_below(random, 6);
        stage->ordering = (enum sl_ordering)draw_below(random, 2);
        stage->cardinality = plan->act == REPEAT ? SL_CARDINALITY_MANY : SL_CARDINALITY_ONE;
        stage->to = name_of(graph, plan->next);
        if (plan->dead_letters) {
            stage->on_error.on_error = SL_ON_ERROR_ROUTE;
            stage->on_error_to = "dead";
        } else if (plan->retried) {
            stage->on_error =
                (struct sl_error_policy){.on_error = SL_ON_ERROR_RETRY, .max_attempts = 2, .backoff_ms = 1};
        }
    }
    for (uint32_t r = 0; r < plan->route_count; r++) {
        plan->routes[r] = draw_target(random, i, graph->count);
        graph->links[i][r] = (struct link){graph, i, r};
        graph->routes[i][r] = (struct sl_route){.to = name_of(graph, plan->routes[r])};
        if (plan->router) {
            graph->routes[i][r].when = predicate;
            graph->routes[i][r].context = &graph->links[i][r];
        }
    }
    graph->links[i][0] = (struct link){graph, i, 0};
    if (plan->router) {
        graph->routes[i][plan->route_count] = (struct sl_route){.to = name_of(graph, plan->next)};
        graph->routes[i][plan->route_count + 1] = (struct sl_route){.to = NULL};
    } else {
        graph->routes[i][plan->route_count] = (struct sl_route){.to = NULL};
    }
    stage->routes = graph->routes[i];
}

/* Stages that nothing leads to would be refused: each is given an edge from an earlier one. */
static void connect(struct graph *graph, uint64_t *random) {
    for (uint32_t i = 1; i < graph->count; i++) {
        uint32_t from = draw_below(random, i);
        struct plan *plan = &graph->plans[from];
        plan->next = i;
        if (plan->router) {
            graph->routes[from][plan->route_count].to = graph->names[i];
        } else {
            graph->stages[from].to = graph->names[i];
        }
    }
}

static bool draw_graph(struct graph *graph, uint64_t *random) {
    memset(graph, 0, sizeof *graph);
    graph->count = 1 + draw_below(random, STAGES_MAX);
    for (uint32_t i = 0; i < graph->count; i++) {
        snprintf(graph->names[i], sizeof graph->names[i], "s%u", i);
    }
    for (uint32_t i = 0; i < graph->count; i++) {
        draw_stage(graph, random, i);
    }
    connect(graph, random);
    struct sl_pipe_definition definition = {SL_PIPE("drawn"), .stages = graph->stages, .outputs = output_names};
    uint32_t problem_count = 0;
    struct sl_pipe_problem problems[8];
    (void)sl_pipe_check(&definition, problems, 8, &problem_count, NULL);
    for (uint32_t i = 0; i < problem_count && i < 8; i++) {
        /* Edges that were moved leave things that nothing leads to; nothing else can be wrong. */
        assert_true(strstr(problems[i].message, "never fed") != NULL ||
                    strstr(problems[i].message, "nothing leads to it") != NULL);
    }
    return problem_count == 0;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

struct landed {
    uint32_t output;
    int64_t value;
};
struct expected {
    struct landed items[LANDED_MAX];
    uint32_t count;
    uint64_t input[STAGES_MAX], failed[STAGES_MAX], skipped[STAGES_MAX];
};

static void walk(const struct graph *graph, struct expected *expected, uint32_t target, int64_t x) {
    if (target >= 100) {
        assert_true(expected->count < LANDED_MAX);
        expected->items[expected->count++] = (struct landed){target - 100, x};
        return;
    }
    const struct plan *plan = &graph->plans[target];
    expected->input[target]++;
    if (plan->router) {
        uint32_t route = route_of(plan, x);
        walk(graph, expected, route < plan->route_count ? plan->routes[route] : plan->next, x);
        return;
    }
    int64_t made[8];
    uint32_t count;
    bool routed;
    enum fate fate = act(plan, x, made, &count, &routed);
    if (fate == FAILED && plan->dead_letters) {
        walk(graph, expected, 100, x);
    } else if (fate == FAILED) {
        expected->failed[target]++;
    } else if (fate == SKIPPED) {
        expected->skipped[target]++;
    }
    for (uint32_t i = 0; fate == GOES_ON && i < count; i++) {
        walk(graph, expected, routed ? plan->routes[0] : plan->next, made[i]);
    }
}

/* ---- the test ---------------------------------------------------------------------------------------------------- */

struct checker {
    pthread_mutex_t lock;
    const struct expected *expected;
    bool *seen;
    uint64_t origin;
    uint32_t position;
    bool ordered;
    uint32_t wrong;
    uint32_t starts[ITEMS + 1]; /* of each item's landings in `expected` */
};

static enum sl_code check(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct checker *checker = context;
    (void)error;
    int64_t value = int_of(outcome->value);
    pthread_mutex_lock(&checker->lock);
    if (checker->ordered) {
        const struct landed *due = &checker->expected->items[checker->position];
        if (checker->position >= checker->expected->count || due->value != value ||
            strcmp(output_names[due->output], outcome->output) != 0) {
            checker->wrong++;
        }
        checker->position++;
    } else {
        uint32_t i = checker->starts[outcome->origin], end = checker->starts[outcome->origin + 1];
        while (i < end && (checker->seen[i] || checker->expected->items[i].value != value ||
                           strcmp(output_names[checker->expected->items[i].output], outcome->output) != 0)) {
            i++;
        }
        if (i < end) {
            checker->seen[i] = true;
        } else {
            checker->wrong++;
        }
        checker->position++;
    }
    pthread_mutex_unlock(&checker->lock);
    return SL_OK;
}

static void run_one(struct graph *graph, uint64_t *random, struct expected *expected) {
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    const struct sl_pipe_definition definition = {SL_PIPE("drawn"), .stages = graph->stages, .outputs = output_names};
    if (sl_pipe_create(&definition, &pipe, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    memset(expected, 0, sizeof *expected);
    struct checker checker = {.lock = PTHREAD_MUTEX_INITIALIZER, .expected = expected};
    for (uint32_t x = 0; x < ITEMS; x++) {
        checker.starts[x] = expected->count;
        walk(graph, expected, 0, x);
    }
    checker.starts[ITEMS] = expected->count;
    checker.seen = calloc(expected->count + 1, sizeof *checker.seen);
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    const struct sl_pipe_sink sink = {NULL, check, &checker};
    options.sinks = &sink;
    options.sink_count = 1;
    options.in_flight_max = 1 + draw_below(random, 200);
    options.ordering = (enum sl_ordering)draw_below(random, 2);
    checker.ordered = options.ordering == SL_ORDERING_PRESERVE;
    struct numbers numbers = {.count = ITEMS};
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    enum sl_code code = sl_pipe_run(pipe, &options, numbers_source(&numbers), &report, &error);
    if (code != SL_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(checker.wrong, 0);
    assert_int_equal(checker.position, expected->count);
    assert_int_equal(report.finished, ITEMS);
    assert_int_equal(report.resume, ITEMS);
    assert_true(report.in_flight_peak <= options.in_flight_max);
    for (uint32_t i = 0; i < graph->count; i++) {
        const struct sl_stage_report *stage = &report.stages[i];
        assert_int_equal(stage->input, expected->input[i]);
        assert_int_equal(stage->count[SL_STATUS_FAILED], expected->failed[i]);
        assert_int_equal(stage->count[SL_STATUS_SKIPPED], expected->skipped[i]);
        assert_int_equal(stage->count[SL_STATUS_CANCELLED], 0);
    }
    sl_pipe_report_finish(&report);
    sl_pipe_destroy(pipe);
    numbers_finish(&numbers);
    free(checker.seen);
}

static void every_item_lands_where_the_model_says(void **state) {
    (void)state;
    uint64_t random = draw_seed();
    struct graph *graph = malloc(sizeof *graph);
    struct expected *expected = malloc(sizeof *expected);
    assert_non_null(graph);
    assert_non_null(expected);
    uint32_t run_count = 0;
    for (uint32_t i = 0; run_count < ROUNDS && i < ROUNDS * 100; i++) {
        if (draw_graph(graph, &random)) {
            run_one(graph, &random, expected);
            run_count++;
        }
    }
    assert_int_equal(run_count, ROUNDS);
    free(graph);
    free(expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_lands_where_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
