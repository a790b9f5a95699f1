/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/macros.h"

#define DEFAULT_BATCH_SIZE 64
#define DEFAULT_MAX_WEIGHT 1000
#define DEFAULT_MAX_DELAY_MS 5
#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_MAX_IN_FLIGHT 8
#define DEFAULT_QUEUE_MAX 1024

static bool copy_text(struct sl_pipe *pipe, const char **text) {
    if (*text == NULL) {
        return true;
    }
    char *copy = strdup(*text);
    if (copy == NULL) {
        return false;
    }
    char **texts = realloc(pipe->texts, (pipe->text_count + 1) * sizeof *texts);
    if (texts == NULL) {
        free(copy);
        return false;
    }
    pipe->texts = texts;
    texts[pipe->text_count++] = copy;
    *text = copy;
    return true;
}

sl__target sl__plan_find(const struct sl_pipe *pipe, const char *name) {
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        if (strcmp(pipe->nodes[i].stage.name, name) == 0) {
            return i;
        }
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        if (strcmp(pipe->outputs[i], name) == 0) {
            return SL__TARGET_OUTPUT | i;
        }
    }
    return SL__NOWHERE;
}

const char *sl__plan_target_name(const struct sl_pipe *pipe, sl__target target) {
    uint32_t index = sl__target_index(target);
    return sl__target_is_output(target) ? pipe->outputs[index] : pipe->nodes[index].stage.name;
}

static void set_default(uint32_t *value, uint32_t otherwise) {
    *value = *value != 0 ? *value : otherwise;
}

/* A native stage that is tried again waits in between, which must not hold up the thread that brought the item: it gets one of its own. */
static bool is_threaded(const struct sl_stage *stage) {
    return stage->kind == SL_STAGE_PYTHON ||
           (stage->kind == SL_STAGE_NATIVE && (stage->parallel > 0 || stage->on_error.on_error == SL_ON_ERROR_RETRY));
}

static bool copy_stage(struct sl_pipe *pipe, const struct sl_pipe_definition *definition, struct sl__node *node) {
    struct sl_stage *stage = &node->stage;
    if (stage->on_error.on_error == SL_ON_ERROR_DEFAULT) {
        stage->on_error = definition->on_error;
        if (stage->on_error_to == NULL) {
            stage->on_error_to = definition->on_error_to;
        }
    }
    if (stage->on_error.on_error == SL_ON_ERROR_DEFAULT) {
        stage->on_error.on_error = SL_ON_ERROR_HALT;
    }
    node->threaded = is_threaded(stage);
    node->threads = SL_MAX(stage->parallel, 1u);
    set_default(&stage->batch_size, DEFAULT_BATCH_SIZE);
    set_default(&stage->max_in_flight, SL_MAX(DEFAULT_MAX_IN_FLIGHT, stage->parallel));
    set_default(&stage->queue_max, DEFAULT_QUEUE_MAX);
    set_default(&stage->max_delay_ms, DEFAULT_MAX_DELAY_MS);
    set_default(&stage->timeout_ms, DEFAULT_TIMEOUT_MS);
    stage->timeout_ms = stage->timeout_ms == UINT32_MAX ? 0 : stage->timeout_ms;
    stage->max_weight = stage->max_weight != 0 ? stage->max_weight : DEFAULT_MAX_WEIGHT;
    const struct sl_route *routes = stage->routes;
    while (routes != NULL && routes[node->route_count].to != NULL) {
        node->route_count++;
    }
    struct sl_route *copies = calloc(node->route_count + 1, sizeof *copies);
    node->routes = calloc(node->route_count + 1, sizeof *node->routes);
    stage->routes = copies;
    bool fits = copies != NULL && node->routes != NULL;
    for (uint32_t i = 0; fits && i < node->route_count; i++) {
        copies[i] = routes[i];
        fits = copy_text(pipe, &copies[i].to) && copy_text(pipe, &copies[i].note);
    }
    return fits && copy_text(pipe, &stage->name) && copy_text(pipe, &stage->to) && copy_text(pipe, &stage->note) &&
           copy_text(pipe, &stage->function) && copy_text(pipe, &stage->pool) && copy_text(pipe, &stage->on_error_to);
}

static void resolve(struct sl_pipe *pipe, uint32_t index) {
    struct sl__node *node = &pipe->nodes[index];
    const struct sl_stage *stage = &node->stage;
    sl__target output = SL__TARGET_OUTPUT | pipe->default_output;
    node->next = stage->to != NULL ? sl__plan_find(pipe, stage->to) : index + 1 < pipe->node_count ? index + 1 : output;
    node->otherwise = node->route_count > 0 && stage->routes[node->route_count - 1].when == NULL ? SL__NOWHERE : output;
    node->on_error = stage->on_error_to != NULL ? sl__plan_find(pipe, stage->on_error_to) : SL__NOWHERE;
    for (uint32_t i = 0; i < node->route_count; i++) {
        node->routes[i] = sl__plan_find(pipe, stage->routes[i].to);
    }
}

/* Marks the threaded nodes that can be reached from `target` over inline ones. */
static void reach(const struct sl_pipe *pipe, sl__target target, bool *seen) {
    if (target == SL__NOWHERE || sl__target_is_output(target) || seen[target]) {
        return;
    }
    seen[target] = true;
    const struct sl__node *node = &pipe->nodes[target];
    if (node->threaded) {
        return;
    }
    for (uint32_t i = 0; i < node->route_count; i++) {
        reach(pipe, node->routes[i], seen);
    }
    reach(pipe, node->stage.kind == SL_STAGE_ROUTER ? node->otherwise : node->next, seen);
    reach(pipe, node->on_error, seen);
}

static bool list_threaded(const struct sl_pipe *pipe, const bool *seen, uint32_t **list, uint32_t *count) {
    *list = calloc(pipe->node_count + 1, sizeof **list);
    for (uint32_t i = 0; *list != NULL && i < pipe->node_count; i++) {
        if (seen[i] && pipe->nodes[i].threaded) {
            (*list)[(*count)++] = i;
        }
    }
    return *list != NULL;
}

/* The nodes that were reached belong to one thread more. */
static void note_visit(struct sl_pipe *pipe, const bool *seen, bool *visited) {
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        pipe->nodes[i].shared = pipe->nodes[i].shared || (seen[i] && visited[i] && !pipe->nodes[i].threaded);
        visited[i] = visited[i] || seen[i];
    }
}

static bool find_behind(struct sl_pipe *pipe) {
    bool seen[SL__STAGES_MAX] = {false}, visited[SL__STAGES_MAX] = {false};
    reach(pipe, 0, seen);
    note_visit(pipe, seen, visited);
    bool fits = list_threaded(pipe, seen, &pipe->entry, &pipe->entry_count);
    for (uint32_t i = 0; fits && i < pipe->node_count; i++) {
        struct sl__node *node = &pipe->nodes[i];
        memset(seen, 0, sizeof seen);
        if (node->threaded) {
            for (uint32_t j = 0; j < node->route_count; j++) {
                reach(pipe, node->routes[j], seen);
            }
            reach(pipe, node->next, seen);
            reach(pipe, node->on_error, seen);
            note_visit(pipe, seen, visited);
            fits = list_threaded(pipe, seen, &node->behind, &node->behind_count);
        }
    }
    return fits;
}

static bool copy_outputs(struct sl_pipe *pipe, const struct sl_pipe_definition *definition) {
    uint32_t count = 0;
    while (definition->outputs != NULL && definition->outputs[count] != NULL) {
        count++;
    }
    pipe->outputs = calloc(count + 1, sizeof *pipe->outputs);
    bool has_default = false;
    for (uint32_t i = 0; pipe->outputs != NULL && i < count; i++) {
        const char *name = definition->outputs[i];
        if (!copy_text(pipe, &name)) {
            return false;
        }
        if (strcmp(name, SL_OUTPUT_DEFAULT) == 0) {
            has_default = true;
            pipe->default_output = i;
        }
        pipe->outputs[pipe->output_count++] = (char *)name;
    }
    if (pipe->outputs == NULL || has_default) {
        return pipe->outputs != NULL;
    }
    const char *name = SL_OUTPUT_DEFAULT;
    if (!copy_text(pipe, &name)) {
        return false;
    }
    pipe->default_output = pipe->output_count;
    pipe->outputs[pipe->output_count++] = (char *)name;
    return true;
}

static bool copy_all(struct sl_pipe *pipe, const struct sl_pipe_definition *definition) {
    uint32_t count = 0;
    while (definition->stages[count].name != NULL) {
        count++;
    }
    const char *name = definition->name;
    pipe->nodes = calloc(count, sizeof *pipe->nodes);
    if (pipe->nodes == NULL || !copy_text(pipe, &name) || !copy_outputs(pipe, definition)) {
        return false;
    }
    pipe->name = (char *)name;
    for (uint32_t i = 0; i < count; i++) {
        pipe->nodes[i].stage = definition->stages[i];
        pipe->nodes[i].stage.routes = NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        pipe->nodes[i].stage.routes = definition->stages[i].routes;
        pipe->node_count++;
        if (!copy_stage(pipe, definition, &pipe->nodes[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        resolve(pipe, i);
    }
    return find_behind(pipe);
}

enum sl_code sl_pipe_create(const struct sl_pipe_definition *definition, struct sl_pipe **out, struct sl_error *error) {
    if (definition == NULL || out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pipe_create: `%s` is NULL",
                            definition == NULL ? "definition" : "pipe");
    }
    *out = NULL;
    enum sl_code code = sl_pipe_check(definition, NULL, 0, NULL, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_pipe *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL || !copy_all(pipe, definition)) {
        sl_pipe_destroy(pipe);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for pipe %s", definition->name);
    }
    *out = pipe;
    return SL_OK;
}

void sl_pipe_destroy(struct sl_pipe *pipe) {
    if (pipe == NULL) {
        return;
    }
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        struct sl__node *node = &pipe->nodes[i];
        free((void *)node->stage.routes);
        free(node->routes);
        free(node->behind);
    }
    for (size_t i = 0; i < pipe->text_count; i++) {
        free(pipe->texts[i]);
    }
    free(pipe->texts);
    free(pipe->outputs);
    free(pipe->entry);
    free(pipe->nodes);
    free(pipe);
}
