/* SPDX-License-Identifier: MIT */
/* Checking a definition as a whole: all that is wrong with it is found in one go, each with its place. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "plan.h"

#define QUEUE_LIMIT 1048576

struct check {
    const struct sl_pipe_definition *definition;
    uint32_t stage_count, output_count;
    struct sl_pipe_problem *problems;
    uint32_t problem_max, problem_count;
    struct sl_pipe_problem first;
    uint32_t entry; /* the route or the output that is being looked at; UINT32_MAX: none */
};

static void SL_PRINTF(4, 5)
    problem(struct check *check, const struct sl_stage *stage, const char *what, const char *format, ...) {
    struct sl_pipe_problem found = {
        .stage = stage != NULL ? (uint32_t)(stage - check->definition->stages) : UINT32_MAX,
        .member = what,
        .entry = check->entry,
    };
    if (stage != NULL && stage->name[0] != '\0') {
        snprintf(found.place, sizeof found.place, "stage %.64s%s%s", stage->name, what != NULL ? ", " : "",
                 what != NULL ? what : "");
    } else if (stage != NULL) {
        snprintf(found.place, sizeof found.place, "stage %u%s%s", (unsigned)(stage - check->definition->stages) + 1,
                 what != NULL ? ", " : "", what != NULL ? what : "");
    } else {
        snprintf(found.place, sizeof found.place, "%s", what);
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(found.message, sizeof found.message, format, arguments);
    va_end(arguments);
    if (check->problem_count == 0) {
        check->first = found;
    }
    if (check->problem_count < check->problem_max) {
        check->problems[check->problem_count] = found;
    }
    check->problem_count++;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static bool is_name(const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("_-.", name[i]) == NULL) {
            return false;
        }
    }
    return size >= 1 && size <= SL__NAME_MAX;
}

static uint32_t find_stage(const struct check *check, const char *name) {
    for (uint32_t i = 0; i < check->stage_count; i++) {
        if (strcmp(check->definition->stages[i].name, name) == 0) {
            return i;
        }
    }
    return SL__NOWHERE;
}

static bool is_output(const struct check *check, const char *name) {
    for (uint32_t i = 0; i < check->output_count; i++) {
        if (strcmp(check->definition->outputs[i], name) == 0) {
            return true;
        }
    }
    return strcmp(name, SL_OUTPUT_DEFAULT) == 0;
}

static void check_name(struct check *check, const struct sl_stage *stage, const char *what, const char *name) {
    if (!is_name(name)) {
        problem(check, stage, what, "\"%.80s\" is not a name: expected 1 to %u letters, digits, '_', '-' or '.'", name,
                SL__NAME_MAX);
    }
}

static void check_names(struct check *check) {
    const struct sl_pipe_definition *definition = check->definition;
    if (definition->name == NULL) {
        problem(check, NULL, "name", "the pipe has no name");
    } else {
        check_name(check, NULL, "name", definition->name);
    }
    for (uint32_t i = 0; i < check->output_count; i++) {
        check->entry = i;
        check_name(check, NULL, "outputs", definition->outputs[i]);
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(definition->outputs[i], definition->outputs[j]) == 0) {
                problem(check, NULL, "outputs", "output \"%s\" is named twice", definition->outputs[i]);
                break;
            }
        }
    }
    check->entry = UINT32_MAX;
    for (uint32_t i = 0; i < check->stage_count; i++) {
        const struct sl_stage *stage = &definition->stages[i];
        check_name(check, stage, NULL, stage->name);
        if (find_stage(check, stage->name) < i) {
            problem(check, stage, NULL, "stage %u has the name of stage %u: names must differ", i + 1,
                    find_stage(check, stage->name) + 1);
        }
        if (is_output(check, stage->name)) {
            problem(check, stage, NULL, "an output has the same name: a route could not tell them apart");
        }
    }
}

/* ---- one stage --------------------------------------------------------------------------------------------------- */

static void check_target(struct check *check, const struct sl_stage *stage, const char *what, const char *to) {
    uint32_t from = (uint32_t)(stage - check->definition->stages);
    if (is_output(check, to)) {
        return;
    }
    uint32_t target = find_stage(check, to);
    if (target == SL__NOWHERE) {
        problem(check, stage, what, "\"%.80s\" is neither an output nor a stage", to);
    } else if (target == from) {
        problem(check, stage, what, "a cycle: it leads back to this stage");
    } else if (target < from) {
        problem(check, stage, what,
                "a cycle: stage %s stands before this one; items can only go to stages that come later", to);
    }
}

static void check_bound(struct check *check, const struct sl_stage *stage, const char *what, uint64_t value,
                        uint64_t max) {
    if (value > max) {
        problem(check, stage, what, "%llu is too much: expected 0 (the default) to %llu", (unsigned long long)value,
                (unsigned long long)max);
    }
}

static bool is_function(const char *function) {
    const char *colon = strchr(function, ':');
    return colon != NULL && colon != function && colon[1] != '\0' && strchr(colon + 1, ':') == NULL;
}

static void check_policy(struct check *check, const struct sl_stage *stage, const struct sl_error_policy *policy,
                         const char *to) {
    if (policy->on_error > SL_ON_ERROR_ISOLATE) {
        problem(check, stage, "on_error", "%d is no policy", (int)policy->on_error);
    }
    if (policy->on_error == SL_ON_ERROR_ROUTE && to == NULL && policy->handler == NULL) {
        problem(check, stage, "on_error", "policy route needs on_error_to: the output or stage that gets failed items");
    }
    if (to != NULL && policy->on_error != SL_ON_ERROR_ROUTE && policy->on_error != SL_ON_ERROR_ISOLATE) {
        problem(check, stage, "on_error_to",
                "it says where failed items go, but only the policies route and isolate "
                "send them anywhere");
    }
    if (policy->handler != NULL) {
        problem(check, stage, "on_error",
                "a handler cannot be given in a pipe: say where failed items go with "
                "on_error_to");
    }
}

static void check_routes(struct check *check, const struct sl_stage *stage) {
    uint32_t count = 0;
    for (; stage->routes != NULL && stage->routes[count].to != NULL && count <= SL__ROUTES_MAX; count++) {
        const struct sl_route *route = &stage->routes[count];
        check->entry = count;
        check_target(check, stage, "routes", route->to);
        if (stage->kind == SL_STAGE_ROUTER && route->when == NULL && route[1].to != NULL) {
            problem(check, stage, "routes",
                    "the route to %s has no predicate and takes all: those after it get nothing", route->to);
        }
        if (stage->kind != SL_STAGE_ROUTER && route->when != NULL) {
            problem(check, stage, "routes",
                    "the route to %s has a predicate: only routers have; a stage that routes says so itself",
                    route->to);
        }
    }
    check->entry = UINT32_MAX;
    if (count > SL__ROUTES_MAX) {
        problem(check, stage, "routes", "more than %u routes; is the list ended by one without a destination?",
                SL__ROUTES_MAX);
    }
    if (stage->kind == SL_STAGE_ROUTER && count == 0) {
        problem(check, stage, "routes", "a router needs at least one route");
    }
}

static void check_kind(struct check *check, const struct sl_stage *stage) {
    switch (stage->kind) {
    case SL_STAGE_NATIVE:
        if (stage->call == NULL) {
            problem(check, stage, "call", "a native stage needs a function");
        }
        break;
    case SL_STAGE_PYTHON:
        if (stage->function == NULL) {
            problem(check, stage, "function", "a Python stage needs a function, as \"module:function\"");
        } else if (!is_function(stage->function)) {
            problem(check, stage, "function", "\"%.120s\" is not of the form \"module:function\"", stage->function);
        }
        if (stage->parallel != 0) {
            problem(check, stage, "parallel",
                    "only native stages have threads of their own; a Python stage works on as many workers as its pool "
                    "and max_in_flight allow");
        }
        break;
    case SL_STAGE_ROUTER:
        if (stage->to != NULL) {
            problem(check, stage, "to",
                    "a router sends by its routes: a last route without a predicate takes the rest");
        }
        break;
    default:
        problem(check, stage, "kind", "%d is no kind of stage: expected native, python or router", (int)stage->kind);
    }
    if (stage->kind != SL_STAGE_NATIVE && stage->call != NULL) {
        problem(check, stage, "call", "only a native stage has a native function");
    }
    if (stage->kind != SL_STAGE_PYTHON && stage->function != NULL) {
        problem(check, stage, "function", "only a Python stage has a Python function");
    }
}

static void check_stage(struct check *check, const struct sl_stage *stage) {
    const struct sl_pipe_definition *definition = check->definition;
    check_kind(check, stage);
    check_routes(check, stage);
    if (stage->to != NULL && stage->kind != SL_STAGE_ROUTER) {
        check_target(check, stage, "to", stage->to);
    }
    if (stage->cardinality > SL_CARDINALITY_FILTER) {
        problem(check, stage, "cardinality", "%d is none: expected one, many or filter", (int)stage->cardinality);
    }
    check_bound(check, stage, "parallel", stage->parallel, 1024);
    check_bound(check, stage, "batch_size", stage->batch_size, 65536);
    check_bound(check, stage, "max_in_flight", stage->max_in_flight, 1024);
    check_bound(check, stage, "queue_max", stage->queue_max, QUEUE_LIMIT);
    check_policy(check, stage, &stage->on_error, stage->on_error_to);
    const char *to = stage->on_error_to;
    if (to == NULL && stage->on_error.on_error == SL_ON_ERROR_DEFAULT) {
        to = definition->on_error_to;
    }
    if (to != NULL) {
        check_target(check, stage, "on_error_to", to);
    }
}

/* ---- the graph --------------------------------------------------------------------------------------------------- */

static void feed(const struct check *check, bool *fed_stages, bool *fed_outputs, const char *to) {
    uint32_t stage = find_stage(check, to);
    if (stage != SL__NOWHERE) {
        fed_stages[stage] = true;
    }
    for (uint32_t i = 0; i < check->output_count; i++) {
        fed_outputs[i] = fed_outputs[i] || strcmp(check->definition->outputs[i], to) == 0;
    }
}

/* Edges go forward, so one pass in the order of the list tells what can be reached. */
static void check_reach(struct check *check) {
    const struct sl_pipe_definition *definition = check->definition;
    bool fed_stages[SL__STAGES_MAX] = {true}, fed_outputs[SL__OUTPUTS_MAX] = {false};
    for (uint32_t i = 0; i < check->stage_count; i++) {
        const struct sl_stage *stage = &definition->stages[i];
        if (!fed_stages[i]) {
            problem(check, stage, NULL,
                    "nothing leads to it: no route, no `to`, and the stage before it goes elsewhere");
        }
        for (uint32_t j = 0; stage->routes != NULL && stage->routes[j].to != NULL; j++) {
            feed(check, fed_stages, fed_outputs, stage->routes[j].to);
        }
        if (stage->kind == SL_STAGE_ROUTER) {
            feed(check, fed_stages, fed_outputs, SL_OUTPUT_DEFAULT);
        } else if (stage->to != NULL) {
            feed(check, fed_stages, fed_outputs, stage->to);
        } else {
            feed(check, fed_stages, fed_outputs,
                 i + 1 < check->stage_count ? definition->stages[i + 1].name : SL_OUTPUT_DEFAULT);
        }
        if (stage->on_error_to != NULL) {
            feed(check, fed_stages, fed_outputs, stage->on_error_to);
        } else if (definition->on_error_to != NULL && stage->on_error.on_error == SL_ON_ERROR_DEFAULT) {
            feed(check, fed_stages, fed_outputs, definition->on_error_to);
        }
    }
    for (uint32_t i = 0; i < check->output_count; i++) {
        check->entry = i;
        if (!fed_outputs[i] && strcmp(definition->outputs[i], SL_OUTPUT_DEFAULT) != 0) {
            problem(check, NULL, "outputs", "output \"%s\" is never fed: no stage and no route leads to it",
                    definition->outputs[i]);
        }
    }
}

static bool measure(struct check *check) {
    const struct sl_pipe_definition *definition = check->definition;
    if (definition->size < sizeof(struct sl_pipe_definition)) {
        problem(check, NULL, "size", "it is %zu: begin the definition with SL_PIPE(name)", definition->size);
        return false;
    }
    while (definition->stages != NULL && check->stage_count <= SL__STAGES_MAX &&
           definition->stages[check->stage_count].name != NULL) {
        check->stage_count++;
    }
    while (definition->outputs != NULL && check->output_count <= SL__OUTPUTS_MAX &&
           definition->outputs[check->output_count] != NULL) {
        check->output_count++;
    }
    if (check->stage_count == 0) {
        problem(check, NULL, "stages", "a pipe needs at least one stage");
    }
    if (check->stage_count > SL__STAGES_MAX) {
        problem(check, NULL, "stages", "more than %u stages; is the list ended by one without a name?", SL__STAGES_MAX);
    }
    if (check->output_count > SL__OUTPUTS_MAX) {
        problem(check, NULL, "outputs", "more than %u outputs; is the list ended by NULL?", SL__OUTPUTS_MAX);
    }
    return check->stage_count <= SL__STAGES_MAX && check->output_count <= SL__OUTPUTS_MAX;
}

enum sl_code sl_pipe_check(const struct sl_pipe_definition *definition, struct sl_pipe_problem *problems,
                           uint32_t problem_max, uint32_t *problem_count, struct sl_error *error) {
    struct check check = {
        .definition = definition,
        .problems = problems,
        .problem_max = problems != NULL ? problem_max : 0,
        .entry = UINT32_MAX,
    };
    if (measure(&check)) {
        check_names(&check);
        check_policy(&check, NULL, &definition->on_error, definition->on_error_to);
        for (uint32_t i = 0; i < check.stage_count; i++) {
            check_stage(&check, &definition->stages[i]);
        }
        check_reach(&check);
    }
    if (problem_count != NULL) {
        *problem_count = check.problem_count;
    }
    if (check.problem_count == 0) {
        return SL_OK;
    }
    char more[48] = "";
    if (check.problem_count > 1) {
        snprintf(more, sizeof more, " (and %u more)", check.problem_count - 1);
    }
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %.64s, %s: %s%s",
                        definition->name != NULL ? definition->name : "without a name", check.first.place,
                        check.first.message, more);
}
