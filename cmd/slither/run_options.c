/* SPDX-License-Identifier: MIT */
#include "run_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secrets.h"

#define AT(member) offsetof(struct run_options, member)
#define TRACE_ITEMS_MAX 4096

static const char *const graph_names[] = {"text", "dot", "svg", NULL};

static bool no_memory(const char *option, char *problem) {
    snprintf(problem, OPTION_PROBLEM_SIZE, "--%s: out of memory", option);
    return false;
}

static bool take_setting(void *context, const char *text, char problem[OPTION_PROBLEM_SIZE]) {
    struct run_options *options = context;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--set: '%.60s' is not KEY=VALUE, such as stages.predict.batch_size=64",
                 text);
        return false;
    }
    struct sl_pipe_setting *settings = realloc(options->settings, (options->setting_count + 1) * sizeof(*settings));
    char *key = strdup(text);
    if (settings != NULL) {
        options->settings = settings;
    }
    if (settings == NULL || key == NULL) {
        free(key);
        return no_memory("set", problem);
    }
    key[equals - text] = '\0';
    settings[options->setting_count++] = (struct sl_pipe_setting){key, key + (equals - text) + 1};
    return true;
}

/* NAME=FILE has its sign before any slash; what else has one is a directory. */
static bool take_output(void *context, const char *text, char problem[OPTION_PROBLEM_SIZE]) {
    struct run_options *options = context;
    size_t name_size = strcspn(text, "=/");
    if (*text == '\0' || (text[name_size] == '=' && (name_size == 0 || text[name_size + 1] == '\0'))) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--output: '%.60s' is neither a directory nor NAME=FILE", text);
        return false;
    }
    if (text[name_size] != '=') {
        if (strcmp(text, "-") == 0) {
            snprintf(problem, OPTION_PROBLEM_SIZE,
                     "--output: '-' is no directory: without --output all outputs go to standard output, NAME=- sends "
                     "one there");
            return false;
        }
        if (options->directory != NULL) {
            snprintf(problem, OPTION_PROBLEM_SIZE, "--output: a directory was given already: %.200s",
                     options->directory);
            return false;
        }
        options->directory = text;
        return true;
    }
    for (size_t i = 0; i < options->output_count; i++) {
        if (strlen(options->outputs[i].name) == name_size && memcmp(options->outputs[i].name, text, name_size) == 0) {
            snprintf(problem, OPTION_PROBLEM_SIZE, "--output: '%.60s' has a file already: %.200s",
                     options->outputs[i].name, options->outputs[i].path);
            return false;
        }
    }
    struct output_option *outputs = realloc(options->outputs, (options->output_count + 1) * sizeof(*outputs));
    char *name = strdup(text);
    if (outputs != NULL) {
        options->outputs = outputs;
    }
    if (outputs == NULL || name == NULL) {
        free(name);
        return no_memory("output", problem);
    }
    name[name_size] = '\0';
    outputs[options->output_count++] = (struct output_option){name, name + name_size + 1};
    return true;
}

const struct option_spec run_option_specs[] = {
    OPTION_HEADING("the pipe"),
    {"set", 's', OPTION_CUSTOM, "KEY=VALUE",
     "Change the file before it is checked: a variable of its vars, or a path such as stages.predict.batch_size; may "
     "be "
     "repeated",
     0, 0, 0, NULL, take_setting},
    {"check", 0, OPTION_FLAG, NULL, "Read and check the file, say all that is wrong with it, and exit", AT(check), 1, 0,
     NULL, NULL},
    {"graph", 0, OPTION_CHOICE, "FORM", "Print the graph as text, dot or svg, and exit", AT(graph), 0, 0, graph_names,
     NULL},
    {"dry-run", 'n', OPTION_FLAG, NULL,
     "Check, open the stores, start the pools and import the functions, say what would be done, and exit; no item is "
     "read",
     AT(dry_run), 1, 0, NULL, NULL},
    {"schema", 0, OPTION_FLAG, NULL, "Print the JSON Schema of pipe files, for editors, and exit", AT(schema), 1, 0,
     NULL, NULL},

    OPTION_HEADING("input"),
    OPTION_MAX_LINE(struct run_options),
    OPTION_ON_BAD_INPUT(struct run_options),
    {"resume-from", 0, OPTION_FILE, "REPORT|N",
     "Go on where the run ended whose --report this is, or pass over the first N items", AT(resume_from), 0, 0, NULL,
     NULL},

    OPTION_HEADING("output"),
    {"output", 'o', OPTION_CUSTOM, "DIR|NAME=FILE",
     "Write each output to DIR/NAME.ndjson, or the output NAME to FILE (-: standard output); may be repeated (default: "
     "all to standard output, each item behind the name of its output)",
     0, 0, 0, NULL, take_output},
    {"with-id", 0, OPTION_FLAG, NULL, "Wrap each item as {\"id\", \"item\"}; the id is the number of its line",
     AT(with_id), 1, 0, NULL, NULL},
    OPTION_NAN(struct run_options),
    OPTION_ERRORS(struct run_options),
    {"report", 0, OPTION_FILE, "FILE",
     "Write the report of the run to FILE, as JSON: once a second while it runs, and at its end", AT(report_path), 0, 0,
     NULL, NULL},
    OPTIONS_EVENTS(struct run_options),
    {"trace-items", 0, OPTION_COUNT, "N",
     "Show where the first N items went and how long each step took, after the run and in the report", AT(trace_items),
     1, TRACE_ITEMS_MAX, NULL, NULL},
    OPTION_REDACT_ELSE("what the pipe's file says, else the usual ones"),

    OPTIONS_TERMINAL(struct run_options),
    OPTION_HELP,
    OPTION_END,
};

/* Options of which each says that the command does something else than run. */
static bool check_together(const struct run_options *options, char *problem) {
    const char *const names[] = {"--check", "--graph", "--dry-run", "--schema"};
    const bool given[] = {options->check != 0, options->graph != GRAPH_NONE, options->dry_run != 0,
                          options->schema != 0};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        if (given[i] && first != NULL) {
            snprintf(problem, OPTION_PROBLEM_SIZE, "%s and %s are two things to do: give one of them", first, names[i]);
            return false;
        }
        first = given[i] ? names[i] : first;
    }
    return true;
}

enum options_result run_options_parse(struct run_options *options, int argc, char **argv,
                                      char problem[OPTION_PROBLEM_SIZE]) {
    *options = (struct run_options){.max_line = LINE_MAX_DEFAULT, .graph = GRAPH_NONE, .progress = PROGRESS_AUTO};
    int first = 0;
    enum options_result result = options_parse(run_option_specs, argc, argv, options, &first, problem);
    if (result != OPTIONS_OK) {
        return result;
    }
    if (!check_together(options, problem)) {
        return OPTIONS_PROBLEM;
    }
    if (options->schema) {
        if (first < argc) {
            snprintf(problem, OPTION_PROBLEM_SIZE, "--schema is of no single file: '%.100s' is one too many",
                     argv[first]);
            return OPTIONS_PROBLEM;
        }
        return OPTIONS_OK;
    }
    if (first >= argc) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "the pipe is missing: expected a file such as pipe.yaml");
        return OPTIONS_PROBLEM;
    }
    if (argc - first > 2) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "one input at a time: '%.100s' is one too many", argv[first + 2]);
        return OPTIONS_PROBLEM;
    }
    options->file = argv[first];
    if (first + 1 < argc && strcmp(argv[first + 1], "-") != 0) {
        options->input = argv[first + 1];
    }
    return OPTIONS_OK;
}

void run_options_finish(struct run_options *options) {
    for (uint32_t i = 0; i < options->setting_count; i++) {
        free((char *)options->settings[i].key);
    }
    for (size_t i = 0; i < options->output_count; i++) {
        free(options->outputs[i].name);
    }
    secrets_finish();
    free(options->settings);
    free(options->outputs);
    *options = (struct run_options){0};
}
