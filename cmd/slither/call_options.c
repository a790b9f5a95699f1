/* SPDX-License-Identifier: MIT */
#include "call_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_error.h"
#include "secrets.h"

#define AT(member) offsetof(struct call_options, member)

#define DAY_MS ((uint64_t)24 * 3600 * 1000)
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

static const char *const strategy_names[] = {"fixed", "weighted", "key", NULL};
static const char *const ordering_names[] = {"preserve", "as_completed", NULL};
static const char *const on_error_names[] = {"skip", "halt", "retry", "isolate", "route:", NULL};

static bool take_on_error(void *context, const char *text, char problem[OPTION_PROBLEM_SIZE]) {
    struct call_options *options = context;
    char *route = NULL;
    struct sl_error_policy policy;
    char detail[OPTION_PROBLEM_SIZE - 20];
    if (!parse_on_error(text, &policy, &route, detail, sizeof(detail))) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--on-error: %s", detail);
        return false;
    }
    free(options->policy_route);
    options->policy = policy;
    options->policy_route = route;
    return true;
}

static bool take_route(void *context, const char *text, char problem[OPTION_PROBLEM_SIZE]) {
    struct call_options *options = context;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0') {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--route: '%.60s' is not NAME=FILE", text);
        return false;
    }
    size_t name_size = (size_t)(equals - text);
    for (size_t i = 0; i < options->route_count; i++) {
        const char *name = options->routes[i].name;
        if (strlen(name) == name_size && memcmp(name, text, name_size) == 0) {
            snprintf(problem, OPTION_PROBLEM_SIZE, "--route: '%.60s' has a file already: %.200s", name,
                     options->routes[i].path);
            return false;
        }
    }
    struct route_option *routes = realloc(options->routes, (options->route_count + 1) * sizeof(*routes));
    char *name = strdup(text);
    if (routes != NULL) {
        options->routes = routes;
    }
    if (routes == NULL || name == NULL) {
        free(name);
        snprintf(problem, OPTION_PROBLEM_SIZE, "--route: out of memory");
        return false;
    }
    name[name_size] = '\0';
    routes[options->route_count++] = (struct route_option){name, name + name_size + 1};
    return true;
}

const struct option_spec call_option_specs[] = {
    OPTION_HEADING("workers"),
    {"pool-size", 'j', OPTION_COUNT, "N", "Start N Python workers (default: one for each processor)", AT(pool_size), 1,
     1024, NULL, NULL},
    {"pool-min", 0, OPTION_COUNT, "N", "Stop workers that have nothing to do, down to N of them (default: none)",
     AT(pool_min), 1, 1024, NULL, NULL},
    {"pool-max", 0, OPTION_COUNT, "N", "Start more workers while batches wait, up to N of them (default: none)",
     AT(pool_max), 1, 1024, NULL, NULL},
    {"python", 0, OPTION_FILE, "PATH", "Run this interpreter (default: that of $VIRTUAL_ENV, else python3)", AT(python),
     0, 0, NULL, NULL},
    {"pythonpath", 0, OPTION_DIRECTORY, "DIR", "Look for modules in DIR before $PYTHONPATH; may be repeated",
     AT(python_path), 0, 0, NULL, NULL},
    {"start-timeout", 0, OPTION_DURATION, "TIME", "Give up when a worker is not ready after TIME (default 30s)",
     AT(start_timeout_ms), 1, DAY_MS, NULL, NULL},

    {"no-template", 0, OPTION_FLAG, NULL,
     "Let each worker import for itself, instead of forking all from one process that has done so", AT(no_template), 1,
     0, NULL, NULL},
    {"recycle-batches", 0, OPTION_COUNT, "N", "Replace a worker after about N batches (default: never)",
     AT(recycle_batches), 1, UINT64_MAX, NULL, NULL},
    {"recycle-age", 0, OPTION_DURATION, "TIME", "Replace a worker after about TIME (default: never)",
     AT(recycle_age_ms), 1, 40 * DAY_MS, NULL, NULL},
    {"recycle-rss", 0, OPTION_SIZE, "SIZE", "Replace a worker that takes about SIZE of memory (default: never)",
     AT(recycle_rss_bytes), 1, TIB, NULL, NULL},

    OPTION_HEADING("batches"),
    {"each", 0, OPTION_FLAG, NULL,
     "FUNCTION takes one item, not a list of them; an exception then fails that item alone", AT(each), 1, 0, NULL,
     NULL},
    {"batch-size", 'b', OPTION_COUNT, "N", "Put at most N items into a batch (default 64)", AT(batch_size), 1, 65536,
     NULL, NULL},
    {"strategy", 0, OPTION_CHOICE, "NAME",
     "How batches are made: fixed, weighted or key (default: what --weight and --key imply, else fixed)", AT(strategy),
     0, 0, strategy_names, NULL},
    {"max-weight", 0, OPTION_COUNT, "N",
     "Let the weights of a batch add up to at most N (default 1000); needs --weight", AT(max_weight), 1, UINT64_MAX,
     NULL, NULL},
    {"weight", 0, OPTION_EXPRESSION, "EXPR", "The jq expression EXPR gives the weight of an item", AT(weight), 0, 0,
     NULL, NULL},
    {"key", 0, OPTION_EXPRESSION, "EXPR",
     "The jq expression EXPR gives the key of an item; items of one key run in order on one worker", AT(key), 0, 0,
     NULL, NULL},
    {"key-window", 0, OPTION_COUNT, "N", "Let at most N items wait in unfinished batches of --key (default 1024)",
     AT(key_window), 1, 1048576, NULL, NULL},
    {"max-delay", 0, OPTION_DURATION, "TIME",
     "Send a batch that was begun after TIME even if it is not full; 0: only when full (default: 0 for a regular file, "
     "else 100ms)",
     AT(max_delay_ms), 0, DAY_MS, NULL, NULL},

    OPTION_HEADING("bounds"),
    {"max-in-flight", 0, OPTION_COUNT, "N",
     "Let at most N batches be in flight (default 8, or two for each worker if that is more)", AT(max_in_flight), 1,
     1024, NULL, NULL},
    {"max-in-flight-bytes", 0, OPTION_SIZE, "SIZE", "Let the items in flight take at most SIZE (default 256M)",
     AT(max_in_flight_bytes), 1, TIB, NULL, NULL},
    OPTION_MAX_LINE(struct call_options),
    {"ordering", 0, OPTION_CHOICE, "ORDER",
     "Write results in the order of the input (preserve, the default) or as they are ready (as_completed)",
     AT(ordering), 0, 0, ordering_names, NULL},

    OPTION_HEADING("failures"),
    {"on-error", 0, OPTION_CUSTOM, "POLICY",
     "What follows when a batch fails: skip (the default), halt, retry[:max=N,backoff=TIME,...], "
     "isolate[:route=NAME,...] "
     "or route:NAME",
     0, 0, 0, on_error_names, take_on_error},
    {"timeout", 0, OPTION_DURATION, "TIME",
     "Kill the worker when a batch takes longer than TIME; 0: never (default 30s)", AT(timeout_ms), 0, DAY_MS, NULL,
     NULL},
    {"run-timeout", 0, OPTION_DURATION, "TIME", "Stop the whole run after TIME (default 0: never)", AT(run_timeout_ms),
     0, 40 * DAY_MS, NULL, NULL},
    OPTION_ON_BAD_INPUT(struct call_options),

    OPTION_HEADING("output"),
    {"with-id", 0, OPTION_FLAG, NULL,
     "Wrap each result as {\"id\", \"status\", \"value\", ...}, and write such a line for each item that gave no "
     "result too",
     AT(with_id), 1, 0, NULL, NULL},
    {"id", 0, OPTION_EXPRESSION, "EXPR", "The jq expression EXPR gives the id of an item (default: its line number)",
     AT(id), 0, 0, NULL, NULL},
    {"meta", 0, OPTION_EXPRESSION, "EXPR", "The jq expression EXPR gives what --with-id shows as \"meta\"", AT(meta), 0,
     0, NULL, NULL},
    OPTION_NAN(struct call_options),
    {"route", 0, OPTION_CUSTOM, "NAME=FILE",
     "Write what is routed to NAME to FILE, one JSON value a line; may be repeated", 0, 0, 0, NULL, take_route},
    OPTION_ERRORS(struct call_options),
    {"report", 0, OPTION_FILE, "FILE", "Write the report of the run to FILE, as JSON", AT(report_path), 0, 0, NULL,
     NULL},
    OPTIONS_EVENTS(struct call_options),

    OPTION_REDACT,

    OPTIONS_TERMINAL(struct call_options),
    OPTION_HELP,
    OPTION_END,
};

/* "module:function", "package.module:Class.method". What lies between the dots is Python's to judge. */
static bool check_function(const char *text, char *problem) {
    const char *colon = strchr(text, ':');
    size_t size = strlen(text);
    if (colon == NULL) {
        bool is_path = size > 3 && strcmp(text + size - 3, ".py") == 0;
        snprintf(problem, OPTION_PROBLEM_SIZE, "'%.100s' names no function: expected MODULE:FUNCTION%s", text,
                 is_path ? ", such as 'name:function' for the file name.py" : ", such as 'json:dumps'");
        return false;
    }
    if (colon == text || colon[1] == '\0' || strchr(colon + 1, ':') != NULL) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "'%.100s' is not MODULE:FUNCTION", text);
        return false;
    }
    size_t module_size = (size_t)(colon - text);
    if (memchr(text, '/', module_size) != NULL || (module_size > 3 && memcmp(colon - 3, ".py", 3) == 0)) {
        snprintf(
            problem, OPTION_PROBLEM_SIZE,
            "'%.100s' has a path where a module's name belongs: for dir/name.py it is --pythonpath dir name:FUNCTION",
            text);
        return false;
    }
    return true;
}

static bool has_route(const struct call_options *options, const char *name) {
    for (size_t i = 0; i < options->route_count; i++) {
        if (strcmp(options->routes[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Options that say something only together. */
static bool check_together(struct call_options *options, char *problem) {
    const char *text = NULL;
    if (options->strategy == STRATEGY_UNSET) {
        options->strategy = options->key != NULL      ? STRATEGY_KEY
                            : options->weight != NULL ? STRATEGY_WEIGHTED
                                                      : STRATEGY_FIXED;
    }
    if (options->strategy == STRATEGY_WEIGHTED && options->weight == NULL) {
        text = "--strategy weighted needs --weight EXPR";
    } else if (options->strategy == STRATEGY_KEY && options->key == NULL) {
        text = "--strategy key needs --key EXPR";
    } else if (options->strategy != STRATEGY_KEY && options->key != NULL) {
        text = "--key goes with --strategy key only";
    } else if (options->strategy == STRATEGY_FIXED && options->weight != NULL) {
        text = "--weight goes with --strategy weighted or key only";
    } else if (options->max_weight != 0 && options->weight == NULL) {
        text = "--max-weight needs --weight EXPR";
    } else if (options->pool_min != 0 && options->pool_size != 0 && options->pool_min > options->pool_size) {
        text = "--pool-min is above --pool-size, the number of workers at the start";
    } else if (options->pool_max != 0 && options->pool_size > options->pool_max) {
        text = "--pool-max is below --pool-size, the number of workers at the start";
    } else if (options->pool_max != 0 && options->pool_min > options->pool_max) {
        text = "--pool-max is below --pool-min";
    } else if (options->meta != NULL && !options->with_id) {
        text = "--meta needs --with-id, which is what shows it";
    } else if (options->policy_route != NULL && !options->with_id && !has_route(options, options->policy_route)) {
        text = "--on-error names a route that has no file, so that its items would be lost: add --route NAME=FILE";
    }
    if (text != NULL) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "%s", text);
        return false;
    }
    return true;
}

enum options_result call_options_parse(struct call_options *options, int argc, char **argv,
                                       char problem[OPTION_PROBLEM_SIZE]) {
    *options = (struct call_options){
        .start_timeout_ms = 30000,
        .strategy = STRATEGY_UNSET,
        .batch_size = 64,
        .key_window = 1024,
        .max_delay_ms = MAX_DELAY_UNSET,
        .max_in_flight_bytes = 256 * MIB,
        .ordering = SL_ORDERING_PRESERVE,
        .policy = {.on_error = SL_ON_ERROR_SKIP},
        .timeout_ms = 30000,
        .max_line = LINE_MAX_DEFAULT,
        .progress = PROGRESS_AUTO,
    };
    int first = 0;
    enum options_result result = options_parse(call_option_specs, argc, argv, options, &first, problem);
    if (result != OPTIONS_OK) {
        return result;
    }
    if (first >= argc) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "the function is missing: expected MODULE:FUNCTION");
        return OPTIONS_PROBLEM;
    }
    if (argc - first > 2) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "one input at a time: '%.100s' is one too many", argv[first + 2]);
        return OPTIONS_PROBLEM;
    }
    options->function = argv[first];
    if (first + 1 < argc && strcmp(argv[first + 1], "-") != 0) {
        options->input = argv[first + 1];
    }
    if (!check_function(options->function, problem) || !check_together(options, problem)) {
        return OPTIONS_PROBLEM;
    }
    return OPTIONS_OK;
}

void call_options_finish(struct call_options *options) {
    text_list_finish(&options->python_path);
    for (size_t i = 0; i < options->route_count; i++) {
        free((char *)options->routes[i].name);
    }
    free(options->routes);
    free(options->policy_route);
    secrets_finish();
    *options = (struct call_options){0};
}
