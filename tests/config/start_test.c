/* SPDX-License-Identifier: MIT */
/* Pipe files that are started and run: pools of workers, stores, lookups, plugins, environments. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <slither/slither.h>

#include "scratch.h"

static struct sl_runtime *runtime;

static int begin(void **state) {
    (void)state;
    return sl_runtime_create(NULL, &runtime, NULL) == SL_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    sl_runtime_destroy(runtime);
    return 0;
}

/* The file as if it stood beside the modules. */
static enum sl_code parse(const char *text, struct sl_pipe_file **file, struct sl_error *error) {
    return sl_pipe_file_parse(text, strlen(text), SL_TEST_MODULES "/p.yaml", NULL, 0, file, NULL, 0, NULL, error);
}

static struct sl_pipe_file *read_good(const char *text) {
    struct sl_pipe_file *file = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = parse(text, &file, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, SL_OK);
    return file;
}

static void start_good(struct sl_pipe_file *file, const struct sl_pipe_file_start_options *options) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl_pipe_file_start(file, runtime, options, &error);
    if (code != SL_OK) {
        fail_msg("%s\n%s", error.message, error.stderr_tail != NULL ? error.stderr_tail : "");
    }
}

/* ---- items in, lines out ----------------------------------------------------------------------------------------- */

struct lines {
    const char *const *items; /* JSON texts, ended by NULL */
    uint64_t next;
    struct sl_writer writer;
    char out[2048];
};

static enum sl_code next(void *context, struct sl_item *item, struct sl_error *error) {
    struct lines *lines = context;
    const char *text = lines->items[lines->next];
    if (text == NULL) {
        return SL_E_END;
    }
    sl_writer_reset(&lines->writer);
    item->id = ++lines->next;
    enum sl_code code = sl_json_parse(text, strlen(text), &lines->writer, error);
    return code == SL_OK ? sl_writer_end(&lines->writer, &item->value, error) : code;
}

static enum sl_code put(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct lines *lines = context;
    char *text = NULL;
    size_t capacity = 0, size, used = strlen(lines->out);
    enum sl_code code = sl_json_print(outcome->value, 0, &text, &capacity, &size, error);
    if (code == SL_OK) {
        snprintf(lines->out + used, sizeof lines->out - used, "%s %s\n", outcome->output, text);
    }
    free(text);
    return code;
}

static enum sl_code run(struct sl_pipe_file *file, struct lines *lines, struct sl_error *error) {
    struct sl_pipe_options options;
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    const struct sl_pipe_sink sink = {NULL, put, lines};
    sl_pipe_file_options(file, &options);
    options.sinks = &sink;
    options.sink_count = 1;
    sl_writer_init(&lines->writer, NULL);
    enum sl_code code = sl_pipe_run(sl_pipe_file_pipe(file), &options, (struct sl_source){next, lines}, &report, error);
    sl_pipe_report_finish(&report);
    sl_writer_finish(&lines->writer);
    return code;
}

static void expect_lines(struct sl_pipe_file *file, const char *const *items, const char *expected) {
    struct lines lines = {.items = items};
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = run(file, &lines, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, SL_OK);
    assert_string_equal(lines.out, expected);
}

#define ITEMS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- native only ------------------------------------------------------------------------------------------------- */

static void jq_stages_and_routers_need_no_worker(void **state) {
    (void)state;
    struct sl_pipe_file *file = read_good("pipe: p\n"
                                          "stages:\n"
                                          "  - {name: each, jq: '.[]', cardinality: many}\n"
                                          "  - {name: odd, jq: 'select(. % 2 == 1)', parallel: 2}\n"
                                          "  - name: route\n"
                                          "    router: [{when: '. > 4', to: large}, {when: '. < 0', to: odd2}]\n"
                                          "  - {name: odd2, jq: '-.', to: large}\n"
                                          "outputs: [large]\n");
    start_good(file, NULL);
    expect_lines(file, ITEMS("[1,2,3]", "[]", "[7,-5,4]"), "default 1\ndefault 3\nlarge 7\n");
    /* A program that gives several values where one is declared fails the item, and says what to do. */
    sl_pipe_file_destroy(file);
    file = read_good("pipe: p\nstages: [{name: each, jq: '.[]'}]");
    start_good(file, NULL);
    struct lines lines = {.items = ITEMS("[1]", "[1,2]")};
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(run(file, &lines, &error), SL_E_HALTED);
    assert_non_null(strstr(error.message, "stage each (" SL_TEST_MODULES "/p.yaml:2): the jq program gives more than "
                                          "one value for the item: say `cardinality: many`"));
    assert_string_equal(lines.out, "default 1\n");
    sl_error_finish(&error);
    sl_pipe_file_destroy(file);
}

static void rows_are_joined(void **state) {
    (void)state;
    static const char text[] = "pipe: p\n"
                               "stores: {features: {tables: {prices: {load: {csv: prices.csv, types: infer}}}}}\n"
                               "stages:\n"
                               "  - name: join\n"
                               "    lookup: {store: features, table: prices, key: .sku, as: row, missing: %s}\n"
                               "    on_error: {route: lost}\n"
                               "outputs: [lost]\n";
    static const struct {
        const char *missing, *lines;
    } cases[] = {
        {"null",
         "default {\"sku\":\"a\",\"row\":{\"sku\":\"a\",\"price\":1}}\ndefault {\"row\":null,\"sku\":\"z\"}\nlost 5\n"},
        {"skip", "default {\"sku\":\"a\",\"row\":{\"sku\":\"a\",\"price\":1}}\nlost 5\n"},
        {"error",
         "default {\"sku\":\"a\",\"row\":{\"sku\":\"a\",\"price\":1}}\nlost {\"row\":1,\"sku\":\"z\"}\nlost 5\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char filled[sizeof text + 16];
        snprintf(filled, sizeof filled, text, cases[i].missing);
        struct sl_pipe_file *file = read_good(filled);
        start_good(file, NULL);
        expect_lines(file, ITEMS("{\"sku\":\"a\"}", "{\"row\":1,\"sku\":\"z\"}", "5"), cases[i].lines);
        /* What was started can be stopped and started again. */
        sl_pipe_file_stop(file, 0);
        start_good(file, NULL);
        expect_lines(file, ITEMS("{\"sku\":\"a\"}"), "default {\"sku\":\"a\",\"row\":{\"sku\":\"a\",\"price\":1}}\n");
        sl_pipe_file_destroy(file);
    }
}

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

static void plugins_are_begun_run_and_ended(void **state) {
    (void)state;
    struct sl_pipe_file *file = read_good("pipe: p\n"
                                          "stages:\n"
                                          "  - {name: shout, plugin: '" SL_TEST_SHOUT ":shout', config: {mark: '!?'}}\n"
                                          "  - {name: plain, plugin: '" SL_TEST_SHOUT ":plain'}\n");
    void *library = dlopen(SL_TEST_SHOUT, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    const int *shouts = dlsym(library, "shouts");
    assert_non_null(shouts);
    /* Before the start there is nothing that the stage could work with. */
    struct lines early = {.items = ITEMS("\"a\"")};
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(run(file, &early, &error), SL_E_HALTED);
    assert_non_null(strstr(error.message, "the pipe file was not started"));
    start_good(file, NULL);
    assert_int_equal(*shouts, 1);
    expect_lines(file, ITEMS("\"hey\""), "default \"HEY!?\"\n");
    assert_int_equal(sl_pipe_file_start(file, runtime, NULL, &error), SL_E_INVALID_ARGUMENT);
    sl_pipe_file_stop(file, 0);
    assert_int_equal(*shouts, 0);
    sl_pipe_file_destroy(file);

    file = read_good("pipe: p\nstages:\n  - {name: shout, plugin: '" SL_TEST_SHOUT ":shout'}\n");
    assert_int_equal(sl_pipe_file_start(file, runtime, NULL, &error), SL_E_INVALID_ARGUMENT);
    assert_string_equal(error.message, SL_TEST_MODULES "/p.yaml:3:27: stages.shout: stage shout: config.mark must be a "
                                                       "text of at most 15 bytes");
    assert_int_equal(*shouts, 0);
    sl_pipe_file_destroy(file);
    sl_error_finish(&error);
    dlclose(library);
}

static void what_is_no_plugin_is_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *plugin, *message;
    } cases[] = {
        {SL_TEST_SHOUT ":nothing", " has no function nothing, or does not show it"},
        {SL_TEST_OTHER ":plain",
         " was built with the headers of slither 9.9.9, which differ from those of " SL_VERSION_STRING
         " in the layout of struct sl_writer: build it again"},
        {SL_TEST_NONE ":plain", " is no plugin: it lacks the line SL_PLUGIN; of slither/plugin.h"},
        {"prices.csv:plain", "it cannot be loaded: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        struct sl_pipe_file *file = NULL;
        struct sl_error error = SL_ERROR_INIT;
        snprintf(text, sizeof text, "pipe: p\nstages:\n  - {name: s, plugin: '%s'}\n", cases[i].plugin);
        assert_int_equal(parse(text, &file, &error), SL_E_INVALID_ARGUMENT);
        if (strstr(error.message, cases[i].message) == NULL) {
            fail_msg("%s, expected %s", error.message, cases[i].message);
        }
        sl_error_finish(&error);
    }
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

static void pools_start_together_with_what_the_file_says(void **state) {
    (void)state;
    struct sl_pipe_file *file = read_good(
        "pipe: p\n"
        "python: {interpreter: '" SL_TEST_PYTHON "'}\n"
        "env: {POOL: all, SLITHER_GONE: null}\n"
        "pools:\n"
        "  one: {workers: 1, env: {POOL: one}}\n"
        "  two: {workers: 1}\n"
        "stores: {features: {tables: {prices: {load: {csv: prices.csv, types: infer}}}}}\n"
        "stages:\n"
        "  - {name: tag, python: 'config_model:tag', pool: two}\n"
        "  - {name: again, python: 'config_model:tag', on_error: skip, strategy: {key: .sku}, batch_size: 1}\n"
        "  - {name: price, python: 'config_model:price', pool: two, strategy: {weighted: '.sku | length'}}\n");
    uint32_t count;
    setenv("SLITHER_GONE", "still here", 1);
    start_good(file, NULL);
    const struct sl_pipe_pool *pools = sl_pipe_file_pools(file, &count);
    assert_int_equal(count, 2);
    assert_string_equal(pools[0].name, "one");
    expect_lines(file, ITEMS("{\"sku\":\"a\"}", "{\"sku\":\"b\"}"), "default 1\ndefault 2.5\n");
    sl_pipe_file_stop(file, 1000);
    (void)sl_pipe_file_pools(file, &count);
    assert_int_equal(count, 0);
    sl_pipe_file_destroy(file);

    file = read_good("pipe: p\n"
                     "python: {interpreter: '" SL_TEST_PYTHON "'}\n"
                     "env: {POOL: all, SLITHER_GONE: null}\n"
                     "pools: {one: {workers: 1, env: {POOL: one}}}\n"
                     "stages: [{name: tag, python: 'config_model:tag'}]\n");
    start_good(file, NULL);
    expect_lines(file, ITEMS("{}"), "default {\"pool\":\"one\",\"home\":null}\n");
    sl_pipe_file_destroy(file);
}

static void failed_items_go_where_the_file_says(void **state) {
    (void)state;
    struct sl_pipe_file *file = read_good("pipe: p\n"
                                          "python: {interpreter: '" SL_TEST_PYTHON "'}\n"
                                          "pools: {main: {workers: 1}}\n"
                                          "stages:\n"
                                          "  - {name: fussy, python: 'config_model:fussy', batch_size: 4}\n"
                                          "outputs: [dead]\n"
                                          "on_error: {fussy: {isolate: {to: dead}}}\n");
    start_good(file, NULL);
    expect_lines(file, ITEMS("1", "2", "3", "4"), "default 1\ndefault 2\ndead 3\ndefault 4\n");
    sl_pipe_file_destroy(file);
}

static void a_start_that_fails_says_where_and_leaves_nothing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum sl_code code;
        const char *message;
    } cases[] = {
        {"pipe: p\npython: {interpreter: '" SL_TEST_PYTHON "'}\npools: {one: {workers: 1}}\n"
         "stages: [{name: s, python: 'config_model:nothing'}]\n",
         SL_E_FUNCTION, "p.yaml:4:28: stages.s: config_model:nothing: "},
        {"pipe: p\npython: {path: nowhere}\nstages: [{name: s, python: 'config_model:tag'}]\n", SL_E_NOT_FOUND,
         "p.yaml:2:16: python: "},
        {"pipe: p\nstores: {s: {tables: {t: {load: missing.csv}}}}\nstages: [{name: s, jq: .}]\n", SL_E_SYSTEM,
         "p.yaml:2:33: stores.s.tables.t: "},
        {"pipe: p\nstores: {s: {tables: {t: {load: prices.csv, key: nope}}}}\nstages: [{name: s, jq: .}]\n",
         SL_E_INVALID_DATA, "p.yaml:2:33: stores.s.tables.t: "},
        {"pipe: p\nstores: {s: {path: /proc/nowhere}}\nstages: [{name: s, jq: .}]\n", SL_E_SYSTEM,
         "p.yaml:2:20: stores.s: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_pipe_file *file = read_good(cases[i].text);
        struct sl_error error = SL_ERROR_INIT;
        for (int again = 0; again < 2; again++) {
            enum sl_code code = sl_pipe_file_start(file, runtime, NULL, &error);
            if (code != cases[i].code || strstr(error.message, cases[i].message) == NULL) {
                fail_msg("case %zu: %s: %s", i, sl_code_name(code), error.message);
            }
        }
        sl_error_finish(&error);
        sl_pipe_file_destroy(file);
    }
}

/* ---- requirements ------------------------------------------------------------------------------------------------ */

static void write_program(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static void count_announcements(void *context, const char *text) {
    uint32_t *count = context;
    assert_non_null(strstr(text, "installing into the Python environment "));
    assert_non_null(strstr(text, "first>=1, second"));
    (*count)++;
}

/* What stands in for uv notes what it is asked for, and makes an environment whose interpreter is the one of the tests. */
static void an_environment_is_made_once(void **state) {
    (void)state;
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16], text[1024], command[SCRATCH_SIZE + 16];
    struct sl_pipe_file_start_options options = SL_PIPE_FILE_START_OPTIONS_INIT;
    uint32_t announced = 0;
    scratch_folder(folder, "slither-requirements");
    snprintf(path, sizeof path, "%s/uv", folder);
    snprintf(text, sizeof text,
             "#!/bin/sh\n"
             "echo \"$1\" >>'%s/asked'\n"
             "case $1 in\n"
             "venv) eval dir=\\${$#}; mkdir -p \"$dir/bin\" && ln -s " SL_TEST_PYTHON " \"$dir/bin/python\" ;;\n"
             "pip) eval list=\\${$#}; cp \"$list\" '%s/list' ;;\n"
             "esac\n",
             folder, folder);
    write_program(path, text);
    char *old_path = strdup(getenv("PATH"));
    snprintf(text, sizeof text, "%s:%s", folder, old_path);
    setenv("PATH", text, 1);
    setenv("XDG_CACHE_HOME", folder, 1);
    options.announce = count_announcements;
    options.announce_context = &announced;
    struct sl_pipe_file *file =
        read_good("pipe: p\n"
                  "python: {interpreter: '" SL_TEST_PYTHON "', requirements: [first>=1, second]}\n"
                  "pools: {main: {workers: 1}}\n"
                  "stages: [{name: fussy, python: 'config_model:fussy'}]\n");
    for (int i = 0; i < 3; i++) {
        start_good(file, &options);
        assert_int_equal(announced, 1);
        if (i == 0) {
            expect_lines(file, ITEMS("1"), "default 1\n");
            uint32_t count;
            assert_non_null(strstr(sl_pool_python(sl_pipe_file_pools(file, &count)[0].pool), "/slither/environments/"));
        }
        sl_pipe_file_stop(file, 0);
    }
    snprintf(path, sizeof path, "%s/list", folder);
    FILE *list = fopen(path, "r");
    assert_non_null(list);
    size_t size = fread(text, 1, sizeof text - 1, list);
    fclose(list);
    text[size] = '\0';
    assert_string_equal(text, "first>=1\nsecond\n");
    sl_pipe_file_destroy(file);
    setenv("PATH", old_path, 1);
    free(old_path);
    unsetenv("XDG_CACHE_HOME");
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void requirements_that_cannot_be_had_say_what_to_do(void **state) {
    (void)state;
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16], text[1024], command[SCRATCH_SIZE + 16];
    scratch_folder(folder, "slither-requirements");
    snprintf(path, sizeof path, "%s/python", folder);
    write_program(path, "#!/bin/sh\necho one >&2; echo 'no network, says it' >&2; exit 3\n");
    snprintf(text, sizeof text, "%s/uv", folder);
    write_program(text, "#!/bin/sh\nexit 1\n");
    char *old_path = strdup(getenv("PATH"));
    snprintf(text, sizeof text, "%s:%s", folder, old_path);
    setenv("PATH", text, 1);
    setenv("XDG_CACHE_HOME", folder, 1);
    snprintf(text, sizeof text,
             "pipe: p\npython: {interpreter: '%s', requirements: thing}\nstages: [{name: s, python: 'm:f'}]\n", path);
    struct sl_pipe_file *file = read_good(text);
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pipe_file_start(file, runtime, NULL, &error), SL_E_UNSUPPORTED);
    assert_non_null(strstr(error.message,
                           "python: the requirements (thing) could not be installed: no network, says it. "
                           "They need a package index that this machine can reach"));
    assert_string_equal(error.stderr_tail, "one\nno network, says it\n");
    sl_error_finish(&error);

    /* One that takes for ever is ended at the limit, with its children. */
    struct sl_pipe_file_start_options options = SL_PIPE_FILE_START_OPTIONS_INIT;
    options.requirements_timeout_ms = 200;
    write_program(path, "#!/bin/sh\nsleep 1000 & wait\n");
    assert_int_equal(sl_pipe_file_start(file, runtime, &options, &error), SL_E_TIMEOUT);
    assert_non_null(strstr(error.message, "could not be installed in time"));
    sl_error_finish(&error);
    sl_pipe_file_destroy(file);
    setenv("PATH", old_path, 1);
    free(old_path);
    unsetenv("XDG_CACHE_HOME");
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void expect_message(struct sl_pipe_file *file, const char *part) {
    struct lines lines = {.items = ITEMS("{\"password\":\"x7\",\"iban\":\"y7\"}")};
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(run(file, &lines, &error), SL_E_HALTED);
    if (strstr(error.message, part) == NULL) {
        fail_msg("%s: expected %s", error.message, part);
    }
    sl_error_finish(&error);
}

static void what_jq_says_of_an_item_keeps_its_secrets(void **state) {
    (void)state;
    static const char *const ibans[] = {"iban", NULL}, *const nothing[] = {NULL}, *const bad[] = {"-", NULL};
    struct sl_pipe_file_start_options options = SL_PIPE_FILE_START_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe_file *file = read_good("pipe: p\nstages: [{name: s, jq: 'error(.)'}]\n");
    assert_null(sl_pipe_file_redact(file));
    start_good(file, NULL);
    expect_message(file, "jq: {\"password\":\"**\",\"iban\":\"y7\"}");
    sl_pipe_file_destroy(file);

    file = read_good("pipe: p\nredact: [default, iban]\nstages: [{name: s, router: [{when: 'error(.)', to: t}]},"
                     "{name: t, jq: .}]\n");
    assert_string_equal(sl_pipe_file_redact(file)[1], "iban");
    start_good(file, NULL);
    expect_message(file, "jq: {\"password\":\"**\",\"iban\":\"**\"}");
    sl_pipe_file_stop(file, 0);
    /* The list of a start is in the place of the file's until the stop. */
    options.redact = ibans;
    start_good(file, &options);
    expect_message(file, "jq: {\"password\":\"x7\",\"iban\":\"**\"}");
    sl_pipe_file_stop(file, 0);
    options.redact = nothing;
    start_good(file, &options);
    expect_message(file, "jq: {\"password\":\"x7\",\"iban\":\"y7\"}");
    sl_pipe_file_stop(file, 0);
    options.redact = bad;
    assert_int_equal(sl_pipe_file_start(file, runtime, &options, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "no key can match"));
    sl_error_finish(&error);
    start_good(file, NULL);
    expect_message(file, "jq: {\"password\":\"**\",\"iban\":\"**\"}");
    sl_pipe_file_destroy(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jq_stages_and_routers_need_no_worker),
        cmocka_unit_test(what_jq_says_of_an_item_keeps_its_secrets),
        cmocka_unit_test(rows_are_joined),
        cmocka_unit_test(plugins_are_begun_run_and_ended),
        cmocka_unit_test(what_is_no_plugin_is_refused_by_name),
        cmocka_unit_test(pools_start_together_with_what_the_file_says),
        cmocka_unit_test(failed_items_go_where_the_file_says),
        cmocka_unit_test(a_start_that_fails_says_where_and_leaves_nothing),
        cmocka_unit_test(an_environment_is_made_once),
        cmocka_unit_test(requirements_that_cannot_be_had_say_what_to_do),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
