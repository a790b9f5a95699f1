/* SPDX-License-Identifier: MIT */
/* Wrong files and what is said of them, to the letter; settings and variables; files that chance has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <slither/json.h>

#include "file.h"

#define PROBLEMS_MAX 32

/* All problems of a text as lines, in `lines`. */
static void read_wrong(const char *text, enum sl__file_depth depth, const struct sl_pipe_setting *settings,
                       uint32_t setting_count, char *lines, size_t lines_size) {
    struct sl_pipe_file_problem problems[PROBLEMS_MAX];
    struct sl_pipe_file *file = NULL;
    struct sl_error error = SL_ERROR_INIT;
    uint32_t count = 0;
    enum sl_code code = sl__pipe_file_parse(text, strlen(text), "p.yaml", depth, settings, setting_count, &file,
                                            problems, PROBLEMS_MAX, &count, &error);
    lines[0] = '\0';
    if (code == SL_OK) {
        sl_pipe_file_destroy(file);
        assert_int_equal(count, 0);
        return;
    }
    assert_int_equal(code, SL_E_INVALID_ARGUMENT);
    assert_in_range(count, 1, PROBLEMS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char line[SL_PIPE_FILE_PROBLEM_TEXT_SIZE];
        sl_pipe_file_problem_text(&problems[i], line);
        size_t used = strlen(lines);
        snprintf(lines + used, lines_size - used, "%s%s", used > 0 ? "\n" : "", line);
        if (i == 0) {
            assert_memory_equal(error.message, line, strlen(line) < 400 ? strlen(line) : 400);
        }
    }
    sl_error_finish(&error);
}

struct wrong {
    const char *text;
    const char *lines;
};

#define STAGES(stages) "pipe: p\nstages:\n" stages
#define PASS "  - {name: a, jq: .}\n"

static const struct wrong wrongs[] = {
    /* YAML */
    {"", "p.yaml:1:1: it lacks the key pipe\np.yaml:1:1: it lacks the key stages"},
    {"a: [1", "p.yaml:2:1: did not find expected ',' or ']', while parsing a flow sequence"},
    {"- a", "p.yaml:1:1: expected a map, found a list"},
    {"pipe: p\npipe: q\n"
     "stages: [{name: a, jq: .}]",
     "p.yaml:2:1: key \"pipe\" stands here a second time, the first is in line 1"},
    {"pipe: &a [*a]", "p.yaml:1:11: *a stands within &a: it would contain itself"},
    {"pipe: *a", "p.yaml:1:7: there is no anchor &a before this"},
    {"pipe: !thing p\n", "p.yaml:1:7: the tag !thing means nothing here"},
    {"pipe: p\n---\npipe: q\n", "p.yaml:2:1: a second document begins here: a pipe file is one document"},
    {"pipe: p\nstages: @x\n",
     "p.yaml:2:9: found character that cannot start any token, while scanning for the next token: a text that begins "
     "with a special character needs quotes, and tabs cannot indent"},
    {"[a]: b", "p.yaml:1:1: a key must be a text, not a list"},
    {"pipe: \"\\0\"", "p.yaml:1:7: a text with a NUL character"},
    {"pipe: p\n\tstages: []",
     "p.yaml:2:1: found a tab character that violates indentation, while scanning a plain scalar"},
    /* keys and their values */
    {STAGES(PASS "stagse: []\n"), "p.yaml:4:1: unknown key \"stagse\": did you mean stages?"},
    {STAGES(PASS "<<: {}\n"),
     "p.yaml:4:1: unknown key \"<<\": maps cannot be merged, but an alias may be a whole value"},
    {"pipe: {}\nstages: [{name: a, jq: .}]", "p.yaml:1:7: pipe: expected a text, found a map"},
    {"pipe: ''\nstages: [{name: a, jq: .}]", "p.yaml:1:7: pipe: expected a text, found an empty text"},
    {"pipe: a b\nstages: [{name: a, jq: .}]",
     "p.yaml:1:7: pipe: \"a b\" is not a name: expected 1 to 64 letters, digits, '_', '-' or '.'"},
    {"pipe: p\nstages: {}", "p.yaml:2:9: stages: expected a list of stages, found a map"},
    {"pipe: p\nstages: []", "p.yaml:2:9: stages: a pipe needs at least one stage"},
    {STAGES("  - {name: a, python: m:f, batch_size: many}\n"),
     "p.yaml:3:40: stages.a.batch_size: expected a whole number from 1 to 65536, found the text \"many\""},
    {STAGES("  - {name: a, python: m:f, batch_size: \"12\"}\n"),
     "p.yaml:3:40: stages.a.batch_size: expected a whole number from 1 to 65536, found the text \"12\""},
    {STAGES("  - {name: a, python: m:f, batch_size: 65537}\n"),
     "p.yaml:3:40: stages.a.batch_size: 65537 is out of range: expected a whole number from 1 to 65536"},
    {STAGES("  - {name: a, python: m:f, batch_size: 99999999999999999999}\n"),
     "p.yaml:3:40: stages.a.batch_size: 99999999999999999999 is out of range: expected a whole number from 1 to 65536"},
    {STAGES("  - {name: a, python: m:f, timeout: 30}\n"),
     "p.yaml:3:37: stages.a.timeout: expected a duration, like 30s or 500ms, found 30"},
    {STAGES("  - {name: a, python: m:f, timeout: 0s}\n"),
     "p.yaml:3:37: stages.a.timeout: 0s is out of range: expected a duration from 1ms to 49d"},
    {STAGES("  - {name: a, python: m:f, mode: bach}\n"),
     "p.yaml:3:34: stages.a.mode: expected batch or each, found the text \"bach\": did you mean batch?"},
    {STAGES(PASS "pools: {main: {memory_max: 1M}}\n"),
     "p.yaml:4:28: pools.main.memory_max: 1M is out of range: expected a size from 32M to 16T"},
    {STAGES(PASS "pools: {main: {keep_thread_environment: yes}}\n"),
     "p.yaml:4:41: pools.main.keep_thread_environment: expected true or false, found the text \"yes\""},
    {STAGES(PASS "pools: {main: {workers: 4, workers_max: 2}}\n"),
     "p.yaml:4:41: pools.main.workers_max: 2 is less than the 4 at the start"},
    {STAGES(PASS "pools: {main: {workers: 4, workers_min: 8}}\n"),
     "p.yaml:4:41: pools.main.workers_min: 8 is more than the pool has at the start"},
    {STAGES(PASS "env: [A]\n"), "p.yaml:4:6: env: expected a map of names to texts, found a list"},
    {STAGES(PASS "env: {A: [1], '': b}\n"),
     "p.yaml:4:10: env.A: expected a text, or null to remove the variable, found a list\n"
     "p.yaml:4:15: env: \"\" cannot be the name of a variable"},
    {STAGES(PASS "python: {path: {a: b}}\n"), "p.yaml:4:16: python.path: expected a list of texts, found a map"},
    {STAGES(PASS "options: {metadata: [1], in_flight_max: 0}\n"),
     "p.yaml:4:41: options.in_flight_max: 0 is out of range: expected a whole number from 1 to 1048576"},
    /* stages */
    {STAGES("  - {name: a}\n"),
     "p.yaml:3:5: stages.a: it lacks what it does: expected one of jq, plugin, lookup, python, router"},
    {STAGES("  - {jq: .}\n"), "p.yaml:3:5: stages.1: it lacks the key name"},
    {STAGES("  - {name: a, jq: ., python: m:f}\n"),
     "p.yaml:3:30: stages.a.python: a stage is one thing: this one is jq already"},
    {STAGES("  - {name: a, jq: ., batch_size: 3}\n"),
     "p.yaml:3:22: stages.a.batch_size: it does not go with jq, only with python"},
    {STAGES("  - {name: a, jq: ., queue_max: 3}\n"),
     "p.yaml:3:33: stages.a.queue_max: only a stage with threads of its own has a queue: say `parallel` too"},
    {STAGES(PASS PASS),
     "p.yaml:4:12: stages.a: stage 2 has the name of stage 1: names must differ\n"
     "p.yaml:4:12: stages.a: nothing leads to it: no route, no `to`, and the stage before it goes elsewhere"},
    {STAGES("  - {name: a, jq: ., to: nowhere}\n"),
     "p.yaml:3:26: stages.a.to: \"nowhere\" is neither an output nor a stage"},
    {STAGES("  - {name: a, router: [{when: .x, to: acept}]}\n") "outputs: [accept]\n",
     "p.yaml:3:39: stages.a.router: \"acept\" is neither an output nor a stage: did you mean accept?\n"
     "p.yaml:4:11: outputs: output \"accept\" is never fed: no stage and no route leads to it"},
    {STAGES(PASS "  - {name: b, jq: ., to: a}\n"),
     "p.yaml:4:26: stages.b.to: a cycle: stage a stands before this one; items can only go to stages that come later"},
    {STAGES("  - {name: a, jq: ., to: a}\n"), "p.yaml:3:26: stages.a.to: a cycle: it leads back to this stage"},
    {STAGES("  - {name: a, router: [{to: default}, {when: .x, to: default}]}\n"),
     "p.yaml:3:29: stages.a.router: the route to default has no predicate and takes all: those after it get nothing"},
    {STAGES("  - {name: a, router: []}\n"), "p.yaml:3:23: stages.a.router: a router needs at least one route"},
    {STAGES("  - {name: a, router: [{when: .x}]}\n"), "p.yaml:3:24: stages.a.router.1: it lacks the key to"},
    {STAGES("  - {name: a, python: model}\n"),
     "p.yaml:3:23: stages.a.python: \"model\" is not of the form \"module:function\""},
    {STAGES("  - {name: a, python: m:f, pool: mian}\n") "pools: {main: }\n",
     "p.yaml:3:34: stages.a.pool: the file has no pool \"mian\": did you mean main?"},
    {STAGES("  - {name: a, jq: '.x +'}\n"),
     "p.yaml:3:19: stages.a.jq: jq does not accept the program: syntax error, unexpected ~"},
    {STAGES("  - name: a\n    jq: |\n      .x\n      | nosuch\n"),
     "p.yaml:4:9: stages.a.jq: jq does not accept the program: nosuch/0 is not defined (line 2 of the program)"},
    {STAGES("  - {name: a, jq: 'import \"m\" as m; .'}\n"),
     "p.yaml:3:19: stages.a.jq: jq does not accept the program: syntax error, ~"},
    {STAGES("  - {name: a, plugin: ./nothere.so:f}\n"),
     "p.yaml:3:23: stages.a.plugin: there is no library ./nothere.so"},
    {STAGES("  - {name: a, plugin: nothere.so}\n"),
     "p.yaml:3:23: stages.a.plugin: \"nothere.so\" is not of the form LIBRARY:FUNCTION, like ./libx.so:clean"},
    {STAGES("  - {name: a, lookup: {table: t, key: .k}}\n"), "p.yaml:3:23: stages.a.lookup: it lacks the key store"},
    {STAGES("  - {name: a, lookup: {store: fetures, table: t, key: .k}}\n") "stores: {features: {tables: {t: }}}\n",
     "p.yaml:3:31: stages.a.lookup.store: the file has no store \"fetures\": did you mean features?"},
    {STAGES("  - {name: a, lookup: {store: features, table: x, key: .k}}\n") "stores: {features: {tables: {t: }}}\n",
     "p.yaml:3:48: stages.a.lookup.table: store features has no table \"x\" in this file"},
    {STAGES("  - {name: a, python: m:f, strategy: {}}\n"),
     "p.yaml:3:38: stages.a.strategy: expected fixed, weighted or key"},
    {STAGES("  - {name: a, python: m:f, strategy: fixd}\n"),
     "p.yaml:3:38: stages.a.strategy: expected fixed or a map, found the text \"fixd\": did you mean fixed?"},
    /* on_error */
    {STAGES("  - {name: a, jq: ., on_error: retri}\n"),
     "p.yaml:3:32: stages.a.on_error: expected skip, halt, retry, isolate or a map, found the text \"retri\": did you "
     "mean retry?"},
    {STAGES("  - {name: a, jq: ., on_error: {retry: {}, route: default}}\n"),
     "p.yaml:3:32: stages.a.on_error: expected one of retry, route and isolate, not several"},
    {STAGES("  - {name: a, jq: ., on_error: {route: dead}}\n"),
     "p.yaml:3:32: stages.a.on_error: \"dead\" is neither an output nor a stage"},
    {STAGES("  - {name: a, jq: ., on_error: {retry: {kinds: [python_exeption]}}}\n"),
     "p.yaml:3:49: stages.a.on_error.retry.kinds: expected a kind, found the text \"python_exeption\": did you mean "
     "python_exception?"},
    {STAGES(PASS "on_error: {b: skip}\n"), "p.yaml:4:15: on_error.b: the file has no stage \"b\""},
    {STAGES("  - {name: a, jq: ., on_error: skip}\n") "on_error: {a: skip}\n",
     "p.yaml:4:15: on_error.a: stage a says itself what becomes of its errors, in line 3"},
    /* stores */
    {STAGES(PASS "stores: {'a/b': {}}\n"),
     "p.yaml:4:17: stores.a/b: the name of a store has 1 to 64 letters, digits, '_', '-' or '.', and no '.' first"},
    {STAGES(PASS "stores: {s: {read_only: true}}\n"),
     "p.yaml:4:25: stores.s.read_only: only a store with a path can be there already"},
    {STAGES(PASS "stores: {s: {tables: {t: {load: rows.txt}}}}\n"),
     "p.yaml:4:33: stores.s.tables.t.load: what kind of file this is cannot be told by its name: expected .csv or "
     ".ndjson, or a map with csv, ndjson or sqlite"},
    {STAGES(PASS "stores: {s: {tables: {t: {load: {sqlite: a.db}}}}}\n"),
     "p.yaml:4:42: stores.s.tables.t.load.sqlite: a database needs a query that gives the rows"},
    {STAGES(PASS "stores: {s: {tables: {t: {load: {csv: a, ndjson: b}}}}}\n"),
     "p.yaml:4:33: stores.s.tables.t.load: expected one of csv, ndjson and sqlite, not several"},
    {STAGES(PASS "stores: {s: {tables: {t: {key: id}}}}\n"),
     "p.yaml:4:32: stores.s.tables.t.key: it says how rows are loaded, but there is no load"},
    /* variables */
    {STAGES("  - {name: a, jq: ., parallel: '${n}'}\n") "vars: {m: 1}\n",
     "p.yaml:3:32: there is no variable \"n\" under vars (write $${ for a plain ${)"},
    {STAGES(PASS "description: ${x\n"), "p.yaml:4:14: \"${\" without a \"}\" behind it (write $${ for a plain ${)"},
    {STAGES(PASS "vars: {a-b: 1, c: [1]}\n"),
     "p.yaml:4:8: vars: \"a-b\" is not a name: expected letters, digits and '_', no digit first\n"
     "p.yaml:4:19: vars: c: expected one value, found a list"},
    {STAGES(PASS "vars: 3\n"), "p.yaml:4:7: vars: expected a map of names to values, found 3"},
};

/* A `~` stands for what a library says, which differs from release to release, up to the end of the line. */
static bool is_like(const char *text, const char *wanted) {
    for (; *wanted != '\0'; wanted++) {
        if (*wanted == '~') {
            text += strcspn(text, "\n");
        } else if (*text++ != *wanted) {
            return false;
        }
    }
    return *text == '\0';
}

static void each_wrong_file_is_told_what_is_wrong_and_where(void **state) {
    (void)state;
    char lines[PROBLEMS_MAX * SL_PIPE_FILE_PROBLEM_TEXT_SIZE];
    int failed = 0;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        /* To compile what does not matter takes longer than all else. */
        bool whole = strstr(wrongs[i].lines, "jq does") != NULL || strstr(wrongs[i].lines, "library") != NULL;
        read_wrong(wrongs[i].text, whole ? SL__FILE_WHOLE : SL__FILE_SHALLOW, NULL, 0, lines, sizeof lines);
        if (!is_like(lines, wrongs[i].lines)) {
            print_error("---- file %zu\n%s\n---- gave\n%s\n---- instead of\n%s\n", i, wrongs[i].text, lines,
                        wrongs[i].lines);
            failed++;
        }
    }
    assert_int_equal(failed, 0);
}

/* ---- good ones --------------------------------------------------------------------------------------------------- */

static const char full[] =
    "pipe: full\n"
    "description: >\n"
    "  All there is.\n"
    "vars: {threshold: 0.8, size: 32, where: main, word: 'yes: \"no\"'}\n"
    "python: {path: ., interpreter: python3}\n"
    "env: {A: 1, B: null, C: '${where}-x'}\n"
    "pools:\n"
    "  main: &small {workers: 2, workers_min: 1, workers_max: 4, recycle: {batches: 10, rss: 1G}, env: {A: 2}}\n"
    "  other: *small\n"
    "stores:\n"
    "  features:\n"
    "    tables:\n"
    "      prices: {type: ordered_set, load: {csv: prices.csv, types: infer}, key: id, value: price, ttl: 1h}\n"
    "      names: {load: names.ndjson, max_entries: 100, full: evict}\n"
    "      rows: {load: {sqlite: a.db, query: select 1}}\n"
    "      empty:\n"
    "stages:\n"
    "  - {name: prepare, jq: '{id, word: $word, t: $threshold}', timeout: 5s, cardinality: many, parallel: 2, "
    "queue_max: 3}\n"
    "  - name: join\n"
    "    lookup: {store: features, table: prices, key: '.id | tostring', as: price, missing: skip}\n"
    "  - name: predict\n"
    "    python: model:predict\n"
    "    batch_size: ${size}\n"
    "    pool: ${where}\n"
    "    timeout: none\n"
    "    strategy: {key: {key: .user, weight: .tokens, max_weight: 500}}\n"
    "    snapshot: batch\n"
    "    on_error: {retry: {max_attempts: 2, backoff: 10ms, jitter: 0.5, kinds: [timeout, python_exception]}}\n"
    "  - {name: weigh, python: 'm:f', strategy: {weighted: .tokens}, routes: [dead], mode: each}\n"
    "  - {name: isolate, python: 'm:f', on_error: {isolate: {to: dead}}, pool: other}\n"
    "  - name: route\n"
    "    router:\n"
    "      - {when: '.score > $threshold', to: accept}\n"
    "      - {to: review}\n"
    "outputs: [accept, review, dead]\n"
    "on_error: {'*': {route: dead}, prepare: halt}\n"
    "options: {ordering: as_completed, in_flight_max: 100, in_flight_bytes_max: 1M, trace_items: 5, metadata: {a: [1, "
    "2.5, x]}}\n"
    "x-notes: {anything: goes}\n";

static void a_file_becomes_what_it_says(void **state) {
    (void)state;
    struct sl_pipe_file *file;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe_options options;
    struct sl_value value;
    uint32_t count;
    enum sl_code code = sl_pipe_file_parse(full, strlen(full), "dir/p.yaml", NULL, 0, &file, NULL, 0, NULL, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, SL_OK);
    assert_string_equal(sl_pipe_file_name(file), "full");
    assert_string_equal(sl_pipe_file_description(file), "All there is.\n");
    const char *const *outputs = sl_pipe_file_outputs(file, &count);
    assert_int_equal(count, 4);
    assert_string_equal(outputs[0], "accept");
    assert_string_equal(outputs[3], "default");
    (void)sl_pipe_file_pools(file, &count);
    assert_int_equal(count, 0);
    sl_pipe_file_options(file, &options);
    assert_int_equal(options.ordering, SL_ORDERING_AS_COMPLETED);
    assert_int_equal(options.in_flight_max, 100);
    assert_int_equal(options.in_flight_bytes_max, 1 << 20);
    assert_int_equal(options.trace_items, 5);
    assert_int_equal(sl_value_get(options.metadata, "a", &value), SL_OK);
    assert_int_equal(sl_value_count(value, &count), SL_OK);
    assert_int_equal(count, 3);

    const struct sl__pool_part *pools = file->said.pools.items;
    assert_int_equal(file->said.pools.count, 2);
    assert_int_equal(pools[1].options.worker_max, 4);
    assert_int_equal(pools[0].options.recycle_rss_bytes, 1 << 30);
    assert_int_equal(pools[0].options.recycle_jitter_percent, 10);
    assert_int_equal(pools[0].options.start_timeout_ms, 30000);
    assert_string_equal(file->said.env[0], "A=1");
    assert_string_equal(file->said.env[1], "B");
    assert_string_equal(file->said.env[2], "C=main-x");
    assert_string_equal(file->said.python.path[0], "dir/.");
    const struct sl__store_part *stores = file->said.stores.items;
    const struct sl__table_part *tables = stores[0].tables.items;
    assert_int_equal(stores[0].tables.count, 4);
    assert_string_equal(tables[0].load.csv, "dir/prices.csv");
    assert_int_equal(tables[0].ttl_ms, 3600000);
    assert_int_equal(tables[1].full, SL_TABLE_FULL_EVICT);
    assert_int_equal(tables[3].kind, SL_TABLE_SET);

    const struct sl_stage *stages = file->stages;
    assert_int_equal(stages[0].parallel, 2);
    assert_int_equal(stages[0].cardinality, SL_CARDINALITY_MANY);
    assert_int_equal(stages[0].on_error.on_error, SL_ON_ERROR_HALT);
    assert_int_equal(stages[1].kind, SL_STAGE_NATIVE);
    assert_int_equal(stages[2].batch_size, 32);
    assert_int_equal(stages[2].timeout_ms, UINT32_MAX);
    assert_string_equal(stages[2].strategy.name, "key");
    assert_int_equal(stages[2].max_weight, 500);
    assert_int_equal(stages[2].snapshot, SL_SNAPSHOT_BATCH);
    assert_int_equal(stages[2].on_error.on_error, SL_ON_ERROR_RETRY);
    assert_int_equal(stages[2].on_error.retry_kinds, UINT64_C(1) << SL_E_TIMEOUT | UINT64_C(1) << SL_E_PYTHON);
    assert_string_equal(stages[3].routes[0].to, "dead");
    assert_int_equal(stages[3].mode, SL_CALL_EACH);
    assert_string_equal(stages[4].on_error_to, "dead");
    assert_string_equal(stages[5].routes[0].note, ".score > $threshold");
    assert_null(stages[5].routes[1].when);
    sl_pipe_file_destroy(file);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static struct sl_pipe_file *read_with(const struct sl_pipe_setting *settings, uint32_t count) {
    struct sl_pipe_file *file = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__pipe_file_parse(full, strlen(full), "p.yaml", SL__FILE_SHALLOW, settings, count, &file,
                                            NULL, 0, NULL, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, SL_OK);
    return file;
}

static void settings_change_the_file(void **state) {
    (void)state;
    const struct sl_pipe_setting settings[] = {
        {"size", "16"},
        {"threshold", "0.5"},
        {"pools.main.workers", "3"},
        {"pools.main.recycle.age", "1h"},
        {"stages.predict.timeout", "2s"},
        {"stages.weigh.on_error", "{route: dead}"},
        {"stages.route.router", "[{to: accept}]"},
        {"stores.features.path", "there"},
        {"stores.features.tables.names.max_entries", "5"},
        {"env.A", "over"},
        {"python.interpreter", "/usr/bin/python3"},
        {"outputs", "[accept, dead]"},
        {"options.metadata.a", "7"},
        {"options.in_flight_max", "7"},
        {"pipe", "renamed"},
    };
    struct sl_pipe_file *file = read_with(settings, sizeof settings / sizeof settings[0]);
    const struct sl__pool_part *pools = file->said.pools.items;
    const struct sl__store_part *store = file->said.stores.items;
    assert_int_equal(file->stages[2].batch_size, 16);
    assert_int_equal(pools[0].options.worker_count, 3);
    assert_int_equal(pools[0].options.recycle_age_ms, 3600000);
    /* The other pool is the same map by an alias, and stays what it was. */
    assert_int_equal(pools[1].options.worker_count, 2);
    assert_int_equal(pools[1].options.recycle_age_ms, 0);
    assert_int_equal(file->stages[2].timeout_ms, 2000);
    assert_int_equal(file->stages[3].on_error.on_error, SL_ON_ERROR_ROUTE);
    assert_null(file->stages[5].routes[0].when);
    assert_string_equal(store->options.path, "there");
    assert_int_equal(((const struct sl__table_part *)store->tables.items)[1].entries_max, 5);
    assert_string_equal(file->said.env[0], "A=over");
    assert_string_equal(file->said.python.interpreter, "/usr/bin/python3");
    assert_int_equal(file->said.options.in_flight_max, 7);
    assert_string_equal(sl_pipe_file_name(file), "renamed");
    jv threshold = jv_object_get(jv_copy(file->vars), jv_string("threshold"));
    assert_true(jv_number_value(threshold) == 0.5);
    jv_free(threshold);
    sl_pipe_file_destroy(file);
}

static void the_pool_that_is_implied_can_be_set(void **state) {
    (void)state;
    static const char text[] = STAGES("  - {name: a, python: m:f}\n");
    const struct sl_pipe_setting setting = {"pools.main.workers", "3"};
    struct sl_pipe_file *file = NULL;
    assert_int_equal(sl_pipe_file_parse(text, strlen(text), "p.yaml", &setting, 1, &file, NULL, 0, NULL, NULL), SL_OK);
    assert_int_equal(file->said.pools.count, 1);
    assert_int_equal(((const struct sl__pool_part *)file->said.pools.items)->options.worker_count, 3);
    sl_pipe_file_destroy(file);
}

static void a_wrong_setting_is_named(void **state) {
    (void)state;
    static const struct {
        struct sl_pipe_setting setting;
        const char *line;
    } cases[] = {
        {{"treshold", "1"}, "treshold: the file declares no variable of this name under vars: did you mean threshold?"},
        {{"pools.mian.workers", "1"}, "pools.mian.workers: the file has no pool \"mian\": did you mean main?"},
        {{"stages.predict.batch_sise", "1"},
         "stages.predict.batch_sise: stages.predict: unknown key \"batch_sise\": did you mean batch_size?"},
        {{"stages.predict", "1"}, "stages.predict: say which key of it: stages.predict.KEY"},
        {{"pipe.x", "1"}, "pipe.x: pipe has no keys of its own"},
        {{"options.ordering", "up"}, "options.ordering: expected preserve or as_completed, found the text \"up\""},
        {{"options.ordering", "[up"},
         "options.ordering: did not find expected ',' or ']', while parsing a flow sequence"},
        {{"size", "big"},
         "p.yaml:23:17: stages.predict.batch_size: expected a whole number from 1 to 65536, found the text \"big\""},
    };
    char lines[PROBLEMS_MAX * SL_PIPE_FILE_PROBLEM_TEXT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_wrong(full, SL__FILE_SHALLOW, &cases[i].setting, 1, lines, sizeof lines);
        assert_string_equal(lines, cases[i].line);
    }
}

static void a_variable_fills_texts_and_keeps_its_type_alone(void **state) {
    (void)state;
    static const char text[] =
        "pipe: p\nvars: {n: 3, s: '5', e: ''}\n"
        "description: a${n}b${s}$${n}${e}\n" STAGES("  - {name: a, python: m:f, batch_size: '${n}'}\n");
    struct sl_pipe_file *file = NULL;
    char lines[PROBLEMS_MAX * SL_PIPE_FILE_PROBLEM_TEXT_SIZE];
    read_wrong("pipe: p\nvars: {s: '5'}\nstages: [{name: a, python: 'm:f', batch_size: '${s}'}]", SL__FILE_SHALLOW,
               NULL, 0, lines, sizeof lines);
    assert_non_null(strstr(lines, "found the text \"5\""));
    assert_int_equal(sl_pipe_file_parse(text + 8, strlen(text + 8), "p.yaml", NULL, 0, &file, NULL, 0, NULL, NULL),
                     SL_OK);
    assert_string_equal(sl_pipe_file_description(file), "a3b5${n}");
    assert_int_equal(file->stages[0].batch_size, 3);
    sl_pipe_file_destroy(file);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void what_is_too_much_is_refused(void **state) {
    (void)state;
    char lines[PROBLEMS_MAX * SL_PIPE_FILE_PROBLEM_TEXT_SIZE], text[4096] = "x-a: &a0 [x, x, x, x, x, x, x, x]\n";
    /* Aliases of aliases: 8^9 values in nine lines. */
    for (int i = 1; i < 9; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "x-a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
                 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    read_wrong(text, SL__FILE_SHALLOW, NULL, 0, lines, sizeof lines);
    assert_non_null(strstr(lines, "the file has more than 65536 values, those behind aliases counted each time"));
    text[0] = '\0';
    for (int i = 0; i < 40; i++) {
        strcat(text, "[");
    }
    read_wrong(text, SL__FILE_SHALLOW, NULL, 0, lines, sizeof lines);
    assert_string_equal(lines, "p.yaml:1:33: more than 32 maps and lists in one another");
    char *large = malloc(SL_PIPE_FILE_SIZE_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', SL_PIPE_FILE_SIZE_MAX + 1);
    large[SL_PIPE_FILE_SIZE_MAX + 1] = '\0';
    read_wrong(large, SL__FILE_SHALLOW, NULL, 0, lines, sizeof lines);
    assert_string_equal(lines, "p.yaml: it has 1048577 bytes: a pipe file has at most 1048576");
    free(large);
}

static void a_file_that_is_not_there_is_a_problem_too(void **state) {
    (void)state;
    struct sl_pipe_file *file = NULL;
    struct sl_pipe_file_problem problem;
    struct sl_error error = SL_ERROR_INIT;
    uint32_t count = 0;
    assert_int_equal(sl_pipe_file_read("/nonexistent/p.yaml", NULL, 0, &file, &problem, 1, &count, &error),
                     SL_E_SYSTEM);
    assert_int_equal(count, 1);
    assert_string_equal(error.message, "/nonexistent/p.yaml: it cannot be read: No such file or directory");
    assert_int_equal(sl_pipe_file_read("/", NULL, 0, &file, &problem, 1, &count, &error), SL_E_SYSTEM);
    sl_error_finish(&error);
}

/* ---- chance ------------------------------------------------------------------------------------------------------ */

static uint64_t draw(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Whatever becomes of a good file: it is a pipe, or there is something to say about it. */
static void a_file_that_chance_changed_is_a_pipe_or_has_problems(void **state) {
    (void)state;
    static const char bytes[] = "{}[]:,-#&*!|>'\"%@`$ \n\t0a.\xc3\x00";
    const char *given = getenv("SLITHER_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20240817, random = seed | 1;
    uint32_t pipes = 0;
    for (int round = 0; round < 1000; round++) {
        char text[sizeof full + 64];
        size_t size = strlen(full);
        memcpy(text, full, size);
        for (uint64_t changes = 1 + draw(&random) % 3; changes > 0; changes--) {
            size_t at = draw(&random) % size, length = draw(&random) % 24;
            switch (draw(&random) % 4) {
            case 0: /* one byte is another */
                text[at] = bytes[draw(&random) % sizeof bytes];
                break;
            case 1: /* a piece is missing */
                length = length < size - at ? length : size - at - 1;
                memmove(text + at, text + at + length, size - at - length);
                size -= length;
                break;
            case 2: /* a piece stands somewhere else */
                length = length < size - at ? length : size - at;
                memmove(text + draw(&random) % (size - length + 1), text + at, length);
                break;
            default: /* a byte more */
                if (size < sizeof text) {
                    memmove(text + at + 1, text + at, size - at);
                    text[at] = bytes[draw(&random) % sizeof bytes];
                    size++;
                }
            }
        }
        struct sl_pipe_file *file = NULL;
        struct sl_pipe_file_problem problems[4];
        struct sl_error error = SL_ERROR_INIT;
        uint32_t count = 0;
        enum sl_code code =
            sl__pipe_file_parse(text, size, "p.yaml", SL__FILE_SHALLOW, NULL, 0, &file, problems, 4, &count, &error);
        if ((code == SL_OK) != (count == 0) || (code == SL_OK) != (file != NULL) ||
            (code != SL_OK && (code != SL_E_INVALID_ARGUMENT || problems[0].message[0] == '\0'))) {
            fail_msg("seed %llu, round %d: %s, %u problems", (unsigned long long)seed, round, sl_code_name(code),
                     count);
        }
        pipes += code == SL_OK;
        sl_pipe_file_destroy(file);
        sl_error_finish(&error);
    }
    /* The changes are small enough that some do no harm. */
    assert_in_range(pipes, 1, 999);
}

/* ---- the schema -------------------------------------------------------------------------------------------------- */

static bool schema_has(struct sl_value object, const struct sl__key *key) {
    struct sl_value properties, value;
    return sl_value_get(object, "properties", &properties) == SL_OK &&
           sl_value_get(properties, key->name, &value) == SL_OK;
}

static void check_section(struct sl_value schema, struct sl_value object, const struct sl__section *section) {
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        struct sl_value definitions, definition, alternatives, found = {NULL, 0};
        assert_true(schema_has(object, key));
        if (key->section == NULL) {
            continue;
        }
        assert_int_equal(sl_value_get(schema, "$defs", &definitions), SL_OK);
        assert_int_equal(sl_value_get(definitions, key->section->name, &definition), SL_OK);
        assert_int_equal(sl_value_get(definition, "anyOf", &alternatives), SL_OK);
        for (uint32_t i = 0; i < 2 && found.size == 0; i++) {
            struct sl_value one, properties;
            assert_int_equal(sl_value_at(alternatives, i, &one), SL_OK);
            found = sl_value_get(one, "properties", &properties) == SL_OK ? one : found;
        }
        check_section(schema, found, key->section);
    }
}

static void the_schema_knows_each_key(void **state) {
    (void)state;
    char *text = sl_pipe_file_schema();
    struct sl_writer writer;
    struct sl_value schema;
    assert_non_null(text);
    sl_writer_init(&writer, NULL);
    assert_int_equal(sl_json_parse(text, strlen(text), &writer, NULL), SL_OK);
    assert_int_equal(sl_writer_end(&writer, &schema, NULL), SL_OK);
    check_section(schema, schema, &sl__file_section);
    sl_writer_finish(&writer);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_file_is_told_what_is_wrong_and_where),
        cmocka_unit_test(a_file_becomes_what_it_says),
        cmocka_unit_test(settings_change_the_file),
        cmocka_unit_test(the_pool_that_is_implied_can_be_set),
        cmocka_unit_test(a_wrong_setting_is_named),
        cmocka_unit_test(a_variable_fills_texts_and_keeps_its_type_alone),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_a_problem_too),
        cmocka_unit_test(a_file_that_chance_changed_is_a_pipe_or_has_problems),
        cmocka_unit_test(the_schema_knows_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
