/* SPDX-License-Identifier: MIT */
/* From what the file says to a pipe: stages with their functions, checked with what they name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "file.h"

#define PIPE_PROBLEMS_MAX 256

struct maker {
    struct sl__reader *reader;
    struct sl_pipe_file *file;
    enum sl__file_depth depth;
    struct sl_pipe_definition definition;
};

static const struct {
    const char *name;
    enum sl__stage_bit bit;
} kinds[] = {{"jq", SL__FOR_JQ},
             {"plugin", SL__FOR_PLUGIN},
             {"lookup", SL__FOR_LOOKUP},
             {"python", SL__FOR_PYTHON},
             {"router", SL__FOR_ROUTER}};

static void *take(struct maker *maker, size_t size) {
    void *memory = sl__arena_take(&maker->file->arena, size);
    if (memory == NULL) {
        maker->reader->problems->out_of_memory = true;
    }
    return memory;
}

/* A problem with the value of a key, or with the part itself. */
static void SL_PRINTF(4, 5)
    problem(struct maker *maker, const struct sl__part *part, const char *key, const char *format, ...) {
    char message[2 * SL_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (key != NULL && sl__yaml_get(part->at, key) != NULL) {
        sl__problem(maker->reader->problems, sl__yaml_get(part->at, key), sl__part_place(maker->reader, part, key),
                    "%s", message);
    } else {
        sl__problem(maker->reader->problems, part->at, part->place, "%s", message);
    }
}

/* ---- native stages ----------------------------------------------------------------------------------------------- */

static struct sl__native *make_native(struct maker *maker, const struct sl__stage_part *said, const char *key) {
    struct sl__native *native = take(maker, sizeof *native);
    const struct sl__yaml *at = sl__part_at(&said->part, key);
    if (native == NULL) {
        return NULL;
    }
    native->file = maker->file;
    native->said = said;
    native->where = sl__arena_format(&maker->file->arena, "stage %s (%s:%u)", said->part.name, maker->file->path,
                                     at != NULL ? at->line : 0);
    if (native->where == NULL) {
        maker->reader->problems->out_of_memory = true;
        return NULL;
    }
    native->next = maker->file->natives;
    maker->file->natives = native;
    return native;
}

/* Compiles the program under `key`; NULL text: there is none, or it was reported. */
static void compile(struct maker *maker, const struct sl__native *native, const struct sl__part *part, const char *key,
                    const char *text, struct sl__jq **out) {
    if (text == NULL || maker->depth == SL__FILE_SHALLOW) {
        return;
    }
    const struct sl__jq_options options = {
        .watch = maker->file->watch,
        .text = text,
        .where = native->where,
        .vars = maker->file->vars,
        .timeout_ms =
            native->said->jq != NULL && native->said->timeout_ms != 0 ? native->said->timeout_ms : SL__JQ_TIMEOUT_MS,
        .redact = &maker->file->redact,
    };
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__jq_create(&options, out, &error);
    if (code == SL_E_OUT_OF_MEMORY) {
        maker->reader->problems->out_of_memory = true;
    } else if (code != SL_OK) {
        problem(maker, part, key, "jq does not accept the program: %s", error.message);
    }
    sl_error_finish(&error);
}

static void make_plugin(struct maker *maker, struct sl__native *native) {
    const struct sl__stage_part *said = native->said;
    const char *colon = strrchr(said->plugin, ':');
    if (colon == NULL || colon == said->plugin || colon[1] == '\0') {
        problem(maker, &said->part, "plugin", "\"%.120s\" is not of the form LIBRARY:FUNCTION, like ./libx.so:clean",
                said->plugin);
        return;
    }
    const char *relative = sl__arena_text(&maker->file->arena, said->plugin, (size_t)(colon - said->plugin));
    const char *path = relative != NULL ? sl__read_path(maker->reader, relative) : NULL;
    if (path == NULL) {
        maker->reader->problems->out_of_memory = true;
        return;
    }
    /* The loader would look up a bare name in its own places. */
    const char *exact = strchr(path, '/') == NULL ? sl__arena_format(&maker->file->arena, "./%s", path) : path;
    struct sl_error error = SL_ERROR_INIT;
    if (exact == NULL) {
        maker->reader->problems->out_of_memory = true;
    } else if (maker->depth == SL__FILE_WHOLE && sl__plugin_load(exact, colon + 1, &native->plugin, &error) != SL_OK) {
        problem(maker, &said->part, "plugin", "%s", error.message);
    }
    sl_error_finish(&error);
}

static const char *nearest_part(const struct sl__parts *parts, size_t part_size, const char *name,
                                char near[SL__NEAREST_TEXT_SIZE], const void **found) {
    struct sl__nearest nearest = {.typed = name};
    *found = NULL;
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct sl__part *part = (const struct sl__part *)((const char *)parts->items + i * part_size);
        if (part->name != NULL && strcmp(part->name, name) == 0) {
            *found = part;
        } else if (part->name != NULL) {
            sl__nearest_offer(&nearest, part->name);
        }
    }
    return sl__nearest_text(&nearest, near);
}

static void check_lookup(struct maker *maker, const struct sl__lookup_part *lookup) {
    char near[SL__NEAREST_TEXT_SIZE];
    const void *found;
    if (lookup->store == NULL) {
        return;
    }
    const char *text =
        nearest_part(&maker->file->said.stores, sizeof(struct sl__store_part), lookup->store, near, &found);
    const struct sl__store_part *store = found;
    if (store == NULL) {
        problem(maker, &lookup->part, "store", "the file has no store \"%.80s\"%s", lookup->store, text);
    } else if (lookup->table != NULL) {
        text = nearest_part(&store->tables, sizeof(struct sl__table_part), lookup->table, near, &found);
        if (found == NULL) {
            problem(maker, &lookup->part, "table", "store %.64s has no table \"%.80s\" in this file%s", lookup->store,
                    lookup->table, text);
        }
    }
}

static void make_router(struct maker *maker, const struct sl__stage_part *said, struct sl_stage *stage) {
    const struct sl__route_part *parts = said->router.items;
    struct sl_route *routes = take(maker, (said->router.count + 1) * sizeof *routes);
    for (uint32_t i = 0; routes != NULL && i < said->router.count; i++) {
        /* A route that lacks its destination was reported: here it leads to where every pipe can. */
        routes[i].to = parts[i].to != NULL ? parts[i].to : SL_OUTPUT_DEFAULT;
        if (sl__yaml_get(parts[i].part.at, "when") == NULL) {
            continue;
        }
        struct sl__native *native = make_native(maker, said, "router");
        if (native != NULL) {
            compile(maker, native, &parts[i].part, "when", parts[i].when, &native->jq);
            routes[i].when = sl__take_route;
            routes[i].context = native;
            routes[i].note = parts[i].when;
        }
    }
    stage->kind = SL_STAGE_ROUTER;
    stage->routes = routes;
    stage->note = NULL;
}

static void make_function(struct maker *maker, const struct sl__stage_part *said, uint32_t kind,
                          struct sl_stage *stage) {
    const char *key = kind == SL__FOR_JQ ? "jq" : kind == SL__FOR_PLUGIN ? "plugin" : "lookup";
    struct sl__native *native = make_native(maker, said, key);
    stage->kind = SL_STAGE_NATIVE;
    stage->context = native;
    if (native == NULL) {
        return;
    }
    if (kind == SL__FOR_JQ) {
        stage->call = sl__call_jq;
        stage->note = said->jq;
        compile(maker, native, &said->part, "jq", said->jq, &native->jq);
    } else if (kind == SL__FOR_PLUGIN) {
        stage->call = sl__call_plugin;
        stage->note = said->plugin;
        if (said->plugin != NULL) {
            make_plugin(maker, native);
        }
    } else {
        stage->call = sl__call_lookup;
        check_lookup(maker, &said->lookup);
        compile(maker, native, &said->lookup.part, "key", said->lookup.key, &native->jq);
    }
}

/* ---- Python stages ----------------------------------------------------------------------------------------------- */

static void make_strategy(struct maker *maker, const struct sl__stage_part *said, struct sl_stage *stage) {
    const struct sl__strategy_part *strategy = &said->strategy;
    bool weighted = strategy->weighted.part.at != NULL, keyed = strategy->key.part.at != NULL;
    if (strategy->part.at == NULL || strategy->part.at->kind == SL__YAML_SCALAR) { /* fixed, or it was reported */
        return;
    }
    if (weighted == keyed) {
        problem(maker, &said->part, "strategy", "expected fixed, weighted or key%s",
                weighted ? ", not two of them" : "");
        return;
    }
    struct sl__native *native = make_native(maker, said, "strategy");
    if (native == NULL) {
        return;
    }
    if (weighted) {
        compile(maker, native, &strategy->weighted.part, "weight", strategy->weighted.weight, &native->weight);
        stage->strategy = (struct sl_strategy){"weighted", sl__place_weighted, native};
        stage->max_weight = strategy->weighted.max_weight;
    } else {
        compile(maker, native, &strategy->key.part, "key", strategy->key.key, &native->jq);
        compile(maker, native, &strategy->key.part, "weight", strategy->key.weight, &native->weight);
        stage->strategy = (struct sl_strategy){"key", sl__place_key, native};
        stage->max_weight = strategy->key.max_weight;
    }
}

static void make_python(struct maker *maker, const struct sl__stage_part *said, struct sl_stage *stage) {
    char near[SL__NEAREST_TEXT_SIZE];
    const void *found = said;
    stage->kind = SL_STAGE_PYTHON;
    stage->function = said->python != NULL ? said->python : "reported:already";
    if (said->pool != NULL) {
        const char *text =
            nearest_part(&maker->file->said.pools, sizeof(struct sl__pool_part), said->pool, near, &found);
        if (found == NULL) {
            problem(maker, &said->part, "pool", "the file has no pool \"%.80s\"%s", said->pool, text);
        }
    }
    stage->pool = found != NULL ? said->pool : NULL;
    stage->mode = (enum sl_call_mode)said->mode;
    stage->batch_size = said->batch_size;
    stage->max_delay_ms = said->max_delay_ms;
    stage->timeout_ms = said->timeout_ms;
    stage->snapshot = (enum sl_snapshot_scope)said->snapshot;
    make_strategy(maker, said, stage);
}

/* ---- on_error ---------------------------------------------------------------------------------------------------- */

static void make_policy(struct maker *maker, const struct sl__on_error_part *said, struct sl_error_policy *policy,
                        const char **to) {
    bool retry = said->retry.part.at != NULL, isolate = said->isolate.part.at != NULL, route = said->route != NULL;
    if (said->part.at == NULL) {
        return;
    }
    if (said->part.at->kind == SL__YAML_MAP && said->part.at->count > 0 && retry + isolate + route > 1) {
        problem(maker, &said->part, NULL, "expected one of retry, route and isolate, not several");
    } else if (said->part.at->kind != SL__YAML_SCALAR && said->part.at->count == 0) {
        problem(maker, &said->part, NULL,
                "expected skip, halt, retry or isolate, or a map of one of retry, route, isolate");
    }
    policy->on_error = (enum sl_on_error)said->policy;
    if (retry) {
        policy->on_error = SL_ON_ERROR_RETRY;
        policy->max_attempts = said->retry.max_attempts;
        policy->backoff_ms = said->retry.backoff_ms;
        policy->backoff_max_ms = said->retry.backoff_max_ms;
        policy->jitter = said->retry.jitter;
        policy->retry_kinds = said->retry.kinds;
    } else if (route) {
        policy->on_error = SL_ON_ERROR_ROUTE;
        *to = said->route;
    } else if (isolate) {
        policy->on_error = SL_ON_ERROR_ISOLATE;
        policy->max_attempts = said->isolate.max_attempts;
        *to = said->isolate.to;
    }
}

/* The file's own on_error: by stage, and for all others. */
static void spread_policies(struct maker *maker, struct sl_stage *stages) {
    const struct sl__file_part *said = &maker->file->said;
    const struct sl__on_error_part *parts = said->on_error.items;
    const struct sl__stage_part *stage_parts = said->stages.items;
    for (uint32_t i = 0; i < said->on_error.count; i++) {
        const char *name = parts[i].part.name;
        char near[SL__NEAREST_TEXT_SIZE];
        const void *found;
        if (name == NULL) {
            problem(maker, &parts[i].part, NULL, "expected the name of a stage, or '*'");
        } else if (strcmp(name, "*") == 0) {
            make_policy(maker, &parts[i], &maker->definition.on_error, &maker->definition.on_error_to);
        } else {
            const char *text = nearest_part(&said->stages, sizeof(struct sl__stage_part), name, near, &found);
            const struct sl__stage_part *stage = found;
            if (stage == NULL) {
                problem(maker, &parts[i].part, NULL, "the file has no stage \"%.80s\"%s", name, text);
            } else if (stage->on_error.part.at != NULL) {
                problem(maker, &parts[i].part, NULL, "stage %s says itself what becomes of its errors, in line %u",
                        name, stage->on_error.part.at->line);
            } else {
                struct sl_stage *made = &stages[stage - stage_parts];
                make_policy(maker, &parts[i], &made->on_error, &made->on_error_to);
            }
        }
    }
}

/* ---- one stage --------------------------------------------------------------------------------------------------- */

static uint32_t find_kind(struct maker *maker, const struct sl__stage_part *said) {
    uint32_t found = 0;
    const char *first = NULL;
    for (size_t i = 0; i < SL_COUNT_OF(kinds); i++) {
        if (sl__yaml_get(said->part.at, kinds[i].name) == NULL) {
            continue;
        }
        if (found != 0) {
            problem(maker, &said->part, kinds[i].name, "a stage is one thing: this one is %s already", first);
            return found;
        }
        found = kinds[i].bit;
        first = kinds[i].name;
    }
    if (found == 0 && said->part.at->kind == SL__YAML_MAP) {
        problem(maker, &said->part, NULL, "it lacks what it does: expected one of jq, plugin, lookup, python, router");
    }
    return found;
}

static void check_keys(struct maker *maker, const struct sl__stage_part *said, uint32_t kind) {
    const struct sl__section *section = sl__key_find(&sl__file_section, "stages")->section;
    const char *kind_name = "";
    for (size_t i = 0; i < SL_COUNT_OF(kinds); i++) {
        kind_name = kinds[i].bit == kind ? kinds[i].name : kind_name;
    }
    for (uint32_t i = 0; said->part.at->kind == SL__YAML_MAP && i < said->part.at->count; i++) {
        const struct sl__yaml *at = said->part.at->keys[i];
        const struct sl__key *key = sl__key_find(section, at->text);
        bool is_kind = false;
        char list[64] = "";
        for (size_t j = 0; key != NULL && j < SL_COUNT_OF(kinds); j++) {
            is_kind = is_kind || strcmp(key->name, kinds[j].name) == 0;
            if ((key->stages & kinds[j].bit) != 0) {
                size_t used = strlen(list);
                snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", kinds[j].name);
            }
        }
        if (key != NULL && key->stages != 0 && (key->stages & kind) == 0 && !is_kind) {
            sl__problem(maker->reader->problems, at, sl__part_place(maker->reader, &said->part, at->text),
                        "it does not go with %s, only with %s", kind_name, list);
        }
    }
    static const char *const threaded[] = {"max_in_flight", "queue_max", "ordering"};
    for (size_t i = 0; i < SL_COUNT_OF(threaded); i++) {
        if ((kind & (SL__FOR_JQ | SL__FOR_PLUGIN | SL__FOR_LOOKUP)) != 0 && said->parallel == 0 &&
            sl__yaml_get(said->part.at, threaded[i]) != NULL) {
            problem(maker, &said->part, threaded[i],
                    "only a stage with threads of its own has a queue: say `parallel` too");
        }
    }
}

static enum sl_code do_nothing(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                               struct sl_error *error) {
    (void)context, (void)item, (void)emit, (void)error;
    return SL_OK;
}

static void make_stage(struct maker *maker, const struct sl__stage_part *said, struct sl_stage *stage) {
    uint32_t kind = find_kind(maker, said);
    check_keys(maker, said, kind);
    stage->name = said->part.name != NULL ? said->part.name : "";
    if (kind == SL__FOR_PYTHON) {
        make_python(maker, said, stage);
    } else if (kind == SL__FOR_ROUTER) {
        make_router(maker, said, stage);
    } else if (kind != 0) {
        make_function(maker, said, kind, stage);
    } else { /* was reported; what else is wrong shall be found too */
        stage->kind = SL_STAGE_NATIVE;
        stage->call = do_nothing;
    }
    stage->to = kind != SL__FOR_ROUTER ? said->to : NULL;
    stage->parallel = stage->kind == SL_STAGE_NATIVE ? said->parallel : 0;
    stage->max_in_flight = said->max_in_flight;
    stage->queue_max = said->queue_max;
    stage->ordering = (enum sl_ordering)said->ordering;
    stage->cardinality = (enum sl_cardinality)said->cardinality;
    make_policy(maker, &said->on_error, &stage->on_error, &stage->on_error_to);
    if (said->routes != NULL && kind != SL__FOR_ROUTER) {
        uint32_t count = 0;
        while (said->routes[count] != NULL) {
            count++;
        }
        struct sl_route *routes = take(maker, (count + 1) * sizeof *routes);
        for (uint32_t i = 0; routes != NULL && i < count; i++) {
            routes[i].to = said->routes[i];
        }
        stage->routes = routes;
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Entry `index` of the list under a key, or the list. */
static const struct sl__yaml *entry_at(const struct sl__yaml *at, const char *key, uint32_t index) {
    const struct sl__yaml *list = sl__yaml_get(at, key);
    if (list == NULL) {
        return at;
    }
    return list->kind == SL__YAML_LIST && index < list->count ? list->items[index] : list;
}

/* Names that a destination may have. */
static const char *nearest_target(const struct maker *maker, const char *name, char near[SL__NEAREST_TEXT_SIZE]) {
    struct sl__nearest nearest = {.typed = name};
    for (uint32_t i = 0; i < maker->file->output_count; i++) {
        sl__nearest_offer(&nearest, maker->file->outputs[i]);
    }
    for (uint32_t i = 0; i < maker->file->said.stages.count; i++) {
        sl__nearest_offer(&nearest, maker->definition.stages[i].name);
    }
    return sl__nearest_text(&nearest, near);
}

/* What the pipe's own check found, at its place in the file. */
static void translate(struct maker *maker, const struct sl_pipe_problem *found) {
    static const char lost[] = " is neither an output nor a stage";
    const struct sl__file_part *said = &maker->file->said;
    const char *member = found->member != NULL ? found->member : "", *key = member, *place = "", *near_text = "";
    const struct sl__yaml *at = said->part.at;
    char near[SL__NEAREST_TEXT_SIZE], name[96];
    if (found->stage == UINT32_MAX) {
        key = strcmp(member, "name") == 0 ? "pipe" : strcmp(member, "on_error_to") == 0 ? "on_error" : member;
        at = entry_at(at, key, found->entry);
        place = key;
    } else {
        const struct sl__stage_part *stage = (const struct sl__stage_part *)said->stages.items + found->stage;
        bool router = maker->definition.stages[found->stage].kind == SL_STAGE_ROUTER;
        key = strcmp(member, "routes") == 0 && router ? "router"
              : strcmp(member, "on_error_to") == 0    ? "on_error"
              : strcmp(member, "function") == 0       ? "python"
              : member[0] == '\0'                     ? "name"
                                                      : member;
        at = entry_at(stage->part.at, key, found->entry);
        if (router && sl__yaml_get(at, "to") != NULL) {
            at = sl__yaml_get(at, "to");
        }
        place = member[0] != '\0' && sl__yaml_get(stage->part.at, key) != NULL
                    ? sl__part_place(maker->reader, &stage->part, key)
                    : stage->part.place;
    }
    const char *end = strstr(found->message, lost);
    if (end != NULL && found->message[0] == '"') {
        snprintf(name, sizeof name, "%.*s", (int)(end - found->message) - 2, found->message + 1);
        near_text = nearest_target(maker, name, near);
    }
    sl__problem(maker->reader->problems, at, place, "%s%s", found->message, near_text);
}

static void check_pipe(struct maker *maker) {
    struct sl_pipe_problem *found = calloc(PIPE_PROBLEMS_MAX, sizeof *found);
    uint32_t count = 0;
    struct sl_error error = SL_ERROR_INIT;
    if (found == NULL) {
        maker->reader->problems->out_of_memory = true;
        return;
    }
    if (sl_pipe_check(&maker->definition, found, PIPE_PROBLEMS_MAX, &count, &error) != SL_OK) {
        for (uint32_t i = 0; i < SL_MIN(count, (uint32_t)PIPE_PROBLEMS_MAX); i++) {
            /* That a key is missing was said by the reader. */
            bool said = (found[i].stage == UINT32_MAX && found[i].member != NULL &&
                         strcmp(found[i].member, "name") == 0 && maker->definition.name == NULL) ||
                        (found[i].stage != UINT32_MAX && maker->definition.stages[found[i].stage].name[0] == '\0' &&
                         found[i].member == NULL);
            if (!said) {
                translate(maker, &found[i]);
            }
        }
        maker->reader->problems->out_of_memory |= count == 0;
    } else if (maker->reader->problems->total == 0 &&
               sl_pipe_create(&maker->definition, &maker->file->pipe, &error) != SL_OK) {
        maker->reader->problems->out_of_memory = true; /* it was checked */
    }
    sl_error_finish(&error);
    free(found);
}

void sl__make_pipe(struct sl__reader *reader, struct sl_pipe_file *file, enum sl__file_depth depth) {
    struct maker maker = {.reader = reader, .file = file, .depth = depth};
    const struct sl__stage_part *parts = file->said.stages.items;
    uint32_t count = file->said.stages.count, output_count = 0;
    while (file->said.outputs != NULL && file->said.outputs[output_count] != NULL) {
        output_count++;
    }
    file->stages = take(&maker, (count + 1) * sizeof *file->stages);
    file->outputs = take(&maker, (output_count + 2) * sizeof *file->outputs);
    if (file->stages == NULL || file->outputs == NULL) {
        return;
    }
    for (uint32_t i = 0; i < output_count; i++) {
        if (strcmp(file->said.outputs[i], SL_OUTPUT_DEFAULT) != 0) {
            file->outputs[file->output_count++] = file->said.outputs[i];
        }
    }
    file->outputs[file->output_count++] = SL_OUTPUT_DEFAULT;
    maker.definition = (struct sl_pipe_definition){
        SL_PIPE(file->said.pipe),
        .stages = file->stages,
        .outputs = file->said.outputs,
    };
    for (uint32_t i = 0; i < count; i++) {
        make_stage(&maker, &parts[i], &file->stages[i]);
    }
    spread_policies(&maker, file->stages);
    const struct sl__yaml *list = sl__yaml_get(file->said.part.at, "stages");
    if (!reader->problems->out_of_memory && list != NULL && list->kind == SL__YAML_LIST) {
        check_pipe(&maker);
    }
}
