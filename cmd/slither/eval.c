/* SPDX-License-Identifier: MIT */
/* `slither eval TARGET [ARG...] [NAME=JSON...]`: one call of any Python callable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "caller.h"
#include "command.h"
#include "console.h"
#include "secrets.h"
#include "status.h"

#define DAY_MS ((uint64_t)24 * 3600 * 1000)

static const struct option_spec eval_options[] = {
    OPTION_HEADING("worker"),
    OPTIONS_CALLER_WORKER(struct caller_options),
    {"timeout", 0, OPTION_DURATION, "TIME",
     "Kill the worker when the call takes longer than TIME; 0: never (default 30s)",
     offsetof(struct caller_options, timeout_ms), 0, DAY_MS, NULL, NULL},
    OPTION_HEADING("arguments and results"),
    {"string", 's', OPTION_FLAG, NULL, "An argument that is not JSON is a str",
     offsetof(struct caller_options, strings), 1, 0, NULL, NULL},
    {"iterate", 0, OPTION_FLAG, NULL, "Print the items of the result, one a line, as is done for generators anyway",
     offsetof(struct caller_options, iterate), 1, 0, NULL, NULL},
    OPTION_NAN(struct caller_options),
    OPTIONS_EVENTS(struct caller_options),
    OPTION_REDACT,
    OPTIONS_TERMINAL(struct caller_options),
    OPTION_HELP,
    OPTION_END,
};

static enum sl_code print_items(struct caller *caller, const struct sl_result *result, struct sl_call_options *options,
                                struct sl_error *error) {
    struct sl_object *object = NULL;
    struct sl_iteration *iteration = NULL;
    enum sl_code code = sl_object_take(result, result->value, &object, error);
    options->session = NULL; /* the object's */
    if (code == SL_OK) {
        code = sl_object_iterate(object, options, &iteration, error);
    }
    if (code == SL_OK) {
        code = caller_print_items(caller, iteration, error);
    }
    sl_iteration_close(iteration);
    sl_object_unref(object);
    return code == SL_E_END && !caller->out.reader_gone ? SL_OK : code;
}

static int call_once(struct caller *caller, const char *target, const struct arguments *arguments) {
    struct sl_call_options options;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    if (!caller_begin(caller, NULL, &options)) {
        return STATUS_HALTED;
    }
    enum sl_code code =
        sl_call(caller->pool, &options, target, arguments->positional, arguments->keywords, &result, &error);
    if (code == SL_OK && caller_is_iterator(result.value)) {
        code = print_items(caller, &result, &options, &error);
    } else if (code == SL_OK && caller->options->iterate && sl_value_type(result.value) == SL_TYPE_REF) {
        code = print_items(caller, &result, &options, &error);
    } else if (code == SL_OK && caller->options->iterate && sl_value_type(result.value) == SL_TYPE_LIST) {
        struct sl_iter iter;
        struct sl_value item;
        code = sl_iter_init(&iter, result.value);
        while (code == SL_OK && sl_iter_next(&iter, NULL, &item)) {
            code = caller_print(caller, item, &error);
        }
    } else if (code == SL_OK) {
        code = caller_print(caller, result.value, &error);
    }
    if (code == SL_OK) {
        code = output_close(&caller->out, &error);
    }
    caller_end(caller);
    int status = code == SL_OK ? STATUS_OK : caller_fail(caller, code, &error);
    sl_result_finish(&result);
    sl_error_finish(&error);
    return status;
}

/* getopt would take -5 for an option; a blank before it makes no difference to JSON. One block; NULL: out of memory. */
static char **guard_numbers(int argc, char **argv) {
    size_t pointers = ((size_t)argc + 1) * sizeof(char *), size = pointers;
    for (int i = 0; i < argc; i++) {
        size += strlen(argv[i]) + 2;
    }
    char **guarded = malloc(size);
    char *text = guarded != NULL ? (char *)guarded + pointers : NULL;
    for (int i = 0; guarded != NULL && i < argc; i++) {
        bool is_number = argv[i][0] == '-' && argv[i][1] >= '0' && argv[i][1] <= '9';
        guarded[i] = argv[i];
        if (is_number) {
            guarded[i] = text;
            text += sprintf(text, " %s", argv[i]) + 1;
        }
    }
    if (guarded != NULL) {
        guarded[argc] = NULL;
    }
    return guarded;
}

static int run_parsed(const struct caller_options *options, char **operands, int count) {
    char problem[ARGUMENT_PROBLEM_SIZE];
    const char *target = operands[0];
    struct word *words = calloc((size_t)count, sizeof *words);
    struct arguments arguments;
    const struct argument_rules rules = {.strings = options->strings != 0};
    if (words == NULL) {
        return usage_error(&eval_command, "out of memory");
    }
    for (int i = 1; i < count; i++) {
        words[i - 1] = (struct word){.text = operands[i]};
    }
    int status;
    if (!arguments_build(&arguments, words, (size_t)count - 1, &rules, problem)) {
        status = usage_error(&eval_command, "%s", problem);
    } else if (!events_open(&options->events, -1, problem, sizeof problem)) {
        status = usage_error(&eval_command, "%s", problem);
        events_close();
    } else {
        struct caller caller;
        if (caller_open(&caller, options, "eval", -1, &status)) {
            status = call_once(&caller, target, &arguments);
        }
        caller_close(&caller);
    }
    arguments_finish(&arguments);
    free(words);
    return status;
}

static int run_guarded(int argc, char **argv, struct caller_options *options) {
    char problem[OPTION_PROBLEM_SIZE];
    int first;
    enum options_result parsed = options_parse(eval_options, argc, argv, options, &first, problem);
    if (parsed != OPTIONS_OK) {
        return command_answer(&eval_command, parsed, problem);
    }
    if (first >= argc) {
        return usage_error(&eval_command, "the target is missing: expected MODULE:NAME, such as 'math:sqrt'");
    }
    const char *colon = strchr(argv[first], ':');
    if (colon == NULL || colon == argv[first] || colon[1] == '\0') {
        return usage_error(&eval_command, "'%.100s' is not MODULE:NAME, such as 'math:sqrt'", argv[first]);
    }
    return run_parsed(options, argv + first, argc - first);
}

static int run_eval(int argc, char **argv) {
    struct caller_options options = CALLER_OPTIONS_INIT;
    char **guarded = guard_numbers(argc, argv);
    if (guarded == NULL) {
        return usage_error(&eval_command, "out of memory");
    }
    int status = run_guarded(argc, guarded, &options);
    text_list_finish(&options.python_path);
    secrets_finish();
    free(guarded);
    return status;
}

const struct command eval_command = {
    .name = "eval",
    .synopsis = "[OPTION...] MODULE:NAME [ARG...] [NAME=ARG...]",
    .summary = "call any Python callable once",
    .description =
        "Calls a function, class or method by its name, or shows what is not callable, and prints the result as\n"
        "a line of JSON. Arguments are JSON: 16, '\"text\"', '[1, 2]', C=0.5. What cannot travel is shown by its type\n"
        "and the beginning of its repr; the items of a generator are printed as they come, one a line.\n",
    .closing = "examples:\n"
               "  slither eval math:sqrt 16\n"
               "  slither eval sys:version_info\n"
               "  slither eval --string textwrap:fill 'a long text' width=6\n"
               "  slither eval itertools:count 1 | head -3\n",
    .options = eval_options,
    .operands = OPERAND_FUNCTION_AND_FILE,
    .run = run_eval,
};
