/* SPDX-License-Identifier: MIT */
/*
 * slither example, slither baseline, slither new: checks the options, and becomes the examples' own runner, a Python program.
 *
 * It stands in $SLITHER_EXAMPLES_PATH, or else in ../../examples beside this program in a build directory, or in ../libexec/slither/examples where
 * it was installed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "status.h"

#define RUNNER "runner.py"
#define ARGUMENTS_MAX 64

struct example_options {
    int all;
    int no_baseline;
    int scale;
    uint64_t workers;
    int json;
    const char *python;
    const char *free_threaded;
    int help;
};

static const char *const scales[] = {"small", "full", NULL};

#define AT(member) offsetof(struct example_options, member)
#define OPTIONS_OF_BOTH                                                                                                \
    {                                                                                                                  \
        "scale", 0, OPTION_CHOICE, "SCALE", "How much input: small (the default) or full", AT(scale),                  \
        0,       0, scales,        NULL},                                                                              \
        {"workers",                                                                                                    \
         'w',                                                                                                          \
         OPTION_COUNT,                                                                                                 \
         "N",                                                                                                          \
         "Worker processes, or threads (default: one for each processor, at least 2)",                                 \
         AT(workers),                                                                                                  \
         1,                                                                                                            \
         256,                                                                                                          \
         NULL,                                                                                                         \
         NULL},                                                                                                        \
        {"json",   0, OPTION_FLAG, NULL, "Print a line of JSON for each example instead of text",                      \
         AT(json), 1, 0,           NULL, NULL},                                                                        \
        {"python",   0, OPTION_FILE, "PATH", "Interpreter that has what the example needs; nothing is installed then", \
         AT(python), 0, 0,           NULL,   NULL},                                                                    \
        {"free-threaded",                                                                                              \
         0,                                                                                                            \
         OPTION_FILE,                                                                                                  \
         "PATH",                                                                                                       \
         "Interpreter without the GIL, for the baselines (default: one that is found)",                                \
         AT(free_threaded),                                                                                            \
         0,                                                                                                            \
         0,                                                                                                            \
         NULL,                                                                                                         \
         NULL},                                                                                                        \
        OPTION_HELP, OPTION_END

static const struct option_spec example_options_table[] = {
    {"all", 'a', OPTION_FLAG, NULL, "Run all examples that need no packages", AT(all), 1, 0, NULL, NULL},
    {"no-baseline", 0, OPTION_FLAG, NULL, "Do not run the same job in pure Python", AT(no_baseline), 1, 0, NULL, NULL},
    OPTIONS_OF_BOTH,
};

static const struct option_spec baseline_options_table[] = {
    {"all", 'a', OPTION_FLAG, NULL, "Run those of all examples that need no packages", AT(all), 1, 0, NULL, NULL},
    OPTIONS_OF_BOTH,
};

static const struct option_spec new_options_table[] = {OPTION_HELP, OPTION_END};

/* The directory of this program, so that a build directory and an installation need no setting. */
static bool own_directory(char directory[PATH_MAX]) {
    ssize_t size = readlink("/proc/self/exe", directory, PATH_MAX - 1);
    if (size <= 0) {
        return false;
    }
    directory[size] = '\0';
    char *slash = strrchr(directory, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return true;
}

/* The runner's path, or false with a message. */
static bool find_runner(char path[PATH_MAX]) {
    static const char *const places[] = {"../../examples", "../libexec/slither/examples"};
    const char *named = getenv("SLITHER_EXAMPLES_PATH");
    if (named != NULL && named[0] != '\0') {
        if (snprintf(path, PATH_MAX, "%s/" RUNNER, named) < PATH_MAX && access(path, R_OK) == 0) {
            return true;
        }
        fprintf(stderr, "slither: the examples are not in %s (set by $SLITHER_EXAMPLES_PATH): there is no " RUNNER "\n",
                named);
        return false;
    }
    char own[PATH_MAX];
    if (own_directory(own)) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            if (snprintf(path, PATH_MAX, "%s/%s/" RUNNER, own, places[i]) < PATH_MAX && access(path, R_OK) == 0) {
                return true;
            }
        }
    }
    fprintf(stderr,
            "slither: the examples are not installed: looked in %s/../libexec/slither/examples; set "
            "SLITHER_EXAMPLES_PATH to the directory that holds them\n",
            own);
    return false;
}

/* The user's interpreter, as for workers. */
static void choose_interpreter(char interpreter[PATH_MAX]) {
    const char *virtual_environment = getenv("VIRTUAL_ENV");
    snprintf(interpreter, PATH_MAX, "python3");
    if (virtual_environment != NULL && virtual_environment[0] != '\0') {
        snprintf(interpreter, PATH_MAX, "%.4000s/bin/python", virtual_environment);
    }
}

static int become(const char *const *arguments) {
    (void)setenv("PYTHONDONTWRITEBYTECODE", "1", 0); /* the examples may lie where nothing is to be written */
    execvp(arguments[0], (char *const *)arguments);
    fprintf(stderr, "slither: the interpreter %s cannot be started: %s; have python3 on PATH\n", arguments[0],
            strerror(errno));
    return STATUS_HALTED;
}

/* Becomes the runner; returns only when that was not possible. */
static int become_runner(const struct command *command, const struct example_options *options, int name_count,
                         char **names) {
    char runner[PATH_MAX], workers[24];
    char interpreter[PATH_MAX];
    const char *arguments[ARGUMENTS_MAX + 24];
    size_t count = 0;
    if (!find_runner(runner)) {
        return STATUS_HALTED;
    }
    if (name_count > ARGUMENTS_MAX) {
        return usage_error(command, "too many names: at most %d", ARGUMENTS_MAX);
    }
    choose_interpreter(interpreter);
    arguments[count++] = interpreter;
    arguments[count++] = runner;
    arguments[count++] = command->name;
    if (options->all) {
        arguments[count++] = "--all";
    }
    if (options->no_baseline) {
        arguments[count++] = "--no-baseline";
    }
    if (options->json) {
        arguments[count++] = "--json";
    }
    arguments[count++] = "--scale";
    arguments[count++] = scales[options->scale];
    if (options->workers > 0) {
        snprintf(workers, sizeof workers, "%llu", (unsigned long long)options->workers);
        arguments[count++] = "--workers";
        arguments[count++] = workers;
    }
    if (options->python != NULL) {
        arguments[count++] = "--python";
        arguments[count++] = options->python;
    }
    if (options->free_threaded != NULL) {
        arguments[count++] = "--free-threaded";
        arguments[count++] = options->free_threaded;
    }
    arguments[count++] = "--";
    for (int i = 0; i < name_count; i++) {
        arguments[count++] = names[i];
    }
    arguments[count] = NULL;
    return become(arguments);
}

static int run(const struct command *command, int argc, char **argv) {
    struct example_options options = {0};
    char problem[OPTION_PROBLEM_SIZE];
    int first;
    enum options_result parsed = options_parse(command->options, argc, argv, &options, &first, problem);
    if (parsed != OPTIONS_OK) {
        return command_answer(command, parsed, problem);
    }
    return become_runner(command, &options, argc - first, argv + first);
}

static int run_new(int argc, char **argv) {
    struct example_options options = {0};
    char problem[OPTION_PROBLEM_SIZE], runner[PATH_MAX], interpreter[PATH_MAX];
    int first;
    enum options_result parsed = options_parse(new_options_table, argc, argv, &options, &first, problem);
    if (parsed != OPTIONS_OK) {
        return command_answer(&new_command, parsed, problem);
    }
    if (argc - first != 1) {
        return usage_error(&new_command, "expected one name: slither new NAME");
    }
    if (!find_runner(runner)) {
        return STATUS_HALTED;
    }
    choose_interpreter(interpreter);
    return become((const char *const[]){interpreter, runner, "new", argv[first], NULL});
}

static int run_example(int argc, char **argv) {
    return run(&example_command, argc, argv);
}

static int run_baseline(int argc, char **argv) {
    return run(&baseline_command, argc, argv);
}

const struct command example_command = {
    .name = "example",
    .synopsis = "[OPTION...] [NAME...]",
    .summary = "run an example, prove what it claims, and compare it with pure Python",
    .description =
        "Without a name it lists the examples. Each prints what it did, what that proves, and a table: Slither, the "
        "same\n"
        "job with threads and shared state in pure Python, and the same done safely. What an example needs is\n"
        "installed into Slither's own cache on first use, after saying so.\n",
    .options = example_options_table,
    .operands = OPERAND_EXAMPLE,
    .run = run_example,
};

const struct command baseline_command = {
    .name = "baseline",
    .synopsis = "[OPTION...] [NAME...]",
    .summary = "run the pure Python versions of an example alone",
    .description = "Each runs many times, since a race does not show every time; the rate is printed.\n",
    .options = baseline_options_table,
    .operands = OPERAND_EXAMPLE,
    .run = run_baseline,
};

const struct command new_command = {
    .name = "new",
    .synopsis = "NAME",
    .summary = "write a small project: a pipe, a Python module, a C plugin, a test",
    .description = "NAME is the directory, which must not be there yet; its last part becomes the name of the pipe and "
                   "of the Python\n"
                   "module. 'make check' in it builds the plugin, runs the pipe and compares what comes out.\n",
    .options = new_options_table,
    .operands = OPERAND_NONE,
    .run = run_new,
};
