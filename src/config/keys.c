/* SPDX-License-Identifier: MIT */
/* The table of keys. Its order is that of the schema and of the messages. */
#include "keys.h"

#include <slither/pipe_file.h>

#include "parts.h"

#define AT(type, member) offsetof(struct type, member)
#define U32_MAX 4294967294u
#define YEARS_10_MS (UINT64_C(3650) * 86400000)
#define DAY_MS 86400000u
#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)
#define TIB (KIB * GIB)

/* ---- python, env ---- */

static const struct sl__key python_keys[] = {
    {"interpreter", SL__KEY_TEXT, AT(sl__python_part, interpreter),
     .note = "Python of all pools, as a path or a name on PATH. Default: that of an active virtual environment, else "
             "python3"},
    {"path", SL__KEY_PATHS, AT(sl__python_part, path),
     .note = "Directories in which modules are looked up, relative to this file. Default: the directory of this file"},
    {"requirements", SL__KEY_TEXTS, AT(sl__python_part, requirements),
     .note = "What the environment of the pools needs, as pip writes it. It is made once for each set of them, in the "
             "user's cache"},
    {NULL},
};
static const struct sl__section python_section = {"python", sizeof(struct sl__python_part), NULL, python_keys, NULL, 0};

/* ---- pools ---- */

static const struct sl__choice templates[] = {{"auto", SL_TEMPLATE_AUTO}, {"off", SL_TEMPLATE_OFF}, {NULL, 0}};

static const struct sl__key recycle_keys[] = {
    {"batches", SL__KEY_COUNT64, AT(sl__recycle_part, batches), .min = 1, .max = UINT64_MAX,
     .note = "After so many batches"},
    {"age", SL__KEY_DURATION64, AT(sl__recycle_part, age_ms), .min = 1, .max = UINT64_C(365) * DAY_MS,
     .note = "After so long"},
    {"rss", SL__KEY_SIZE, AT(sl__recycle_part, rss), .min = 1, .max = TIB, .note = "When it takes so much memory"},
    {"jitter_percent", SL__KEY_COUNT, AT(sl__recycle_part, jitter_percent), .max = 50,
     .note = "Each worker's limits are drawn within so much below those given"},
    {NULL},
};
static const struct sl__recycle_part recycle_init = {.jitter_percent = 10};
static const struct sl__section recycle_section = {
    "recycle", sizeof(struct sl__recycle_part), &recycle_init, recycle_keys, NULL, 0};

static const struct sl__choice affinities[] = {{"hint", SL_AFFINITY_HINT},
                                               {"strict_queue", SL_AFFINITY_STRICT_QUEUE},
                                               {"strict_fail_fast", SL_AFFINITY_STRICT_FAIL_FAST},
                                               {"spread", SL_AFFINITY_SPREAD},
                                               {NULL, 0}};

#define OPTION(member) AT(sl__pool_part, options) + offsetof(struct sl_pool_options, member)
static const struct sl__key pool_keys[] = {
    {"workers", SL__KEY_COUNT, OPTION(worker_count), .min = 1, .max = 1024,
     .note = "Workers at the start. Default: one for each processor"},
    {"workers_min", SL__KEY_COUNT, OPTION(worker_min), .min = 1, .max = 1024,
     .note = "It never has fewer. Default: workers"},
    {"workers_max", SL__KEY_COUNT, OPTION(worker_max), .min = 1, .max = 1024,
     .note = "It grows up to so many while somebody waits. Default: workers"},
    {"worker_idle", SL__KEY_DURATION, OPTION(worker_idle_ms), .min = 1, .max = DAY_MS,
     .note = "A worker more than workers_min that has been idle for so long stops. Default: 30s"},
    {"start_parallel_max", SL__KEY_COUNT, OPTION(start_parallel_max), .min = 1, .max = 1024,
     .note = "Workers that start at once. Default: twice the processors"},
    {"interpreter", SL__KEY_TEXT, OPTION(python),
     .note = "Python of this pool, instead of python.interpreter and of the environment of python.requirements"},
    {"path", SL__KEY_PATHS, AT(sl__pool_part, path),
     .note = "Directories in which modules are looked up, instead of python.path"},
    {"preload", SL__KEY_TEXTS, AT(sl__pool_part, preload),
     .note = "Modules, or functions as module:function, that are imported before a worker is ready, besides the "
             "functions of its stages"},
    {"env", SL__KEY_PAIRS, AT(sl__pool_part, env),
     .note = "Environment of its workers, on top of the file's; null removes a variable"},
    {"working_directory", SL__KEY_PATH, OPTION(working_directory),
     .note = "Where its workers run. Default: where the host runs"},
    {"template", SL__KEY_CHOICE, AT(sl__pool_part, template_use), .choices = templates,
     .note = "off: each worker is a program of its own, which imports for itself. Default: auto"},
    {"start_timeout", SL__KEY_DURATION, OPTION(start_timeout_ms), .min = 1, .max = DAY_MS,
     .note = "For a worker to get ready. Default: 30s"},
    {"stop_timeout", SL__KEY_DURATION, OPTION(stop_timeout_ms), .min = 1, .max = DAY_MS,
     .note = "For a worker to stop before it is killed. Default: 2s"},
    {"restart_max", SL__KEY_COUNT, OPTION(restart_max), .min = 1, .max = 1000000,
     .note = "Deaths within restart_window after which the circuit opens. Default: 1000"},
    {"restart_window", SL__KEY_DURATION, OPTION(restart_window_ms), .min = 1, .max = DAY_MS, .note = "Default: 10s"},
    {"restart_backoff", SL__KEY_DURATION, OPTION(restart_backoff_ms), .min = 1, .max = DAY_MS,
     .note = "Delay before the second restart in a row of a worker that dies before it has begun a batch; it doubles. "
             "Default: 50ms"},
    {"start_failure_max", SL__KEY_COUNT, OPTION(start_failure_max), .min = 1, .max = 1000,
     .note = "Starts in a row that fail before the circuit opens. Default: 5"},
    {"circuit_cooldown", SL__KEY_DURATION, OPTION(circuit_cooldown_ms), .min = 1, .max = 30000,
     .note = "How long it stays open. Default: 1s"},
    {"recycle", SL__KEY_SECTION, AT(sl__pool_part, recycle), .section = &recycle_section,
     .note = "When workers are replaced"},
    {"memory_max", SL__KEY_SIZE, OPTION(memory_max_bytes), .min = 32 * MIB, .max = 16 * TIB,
     .note = "Memory of one worker. Default: no limit"},
    {"cgroup", SL__KEY_TEXT, OPTION(cgroup),
     .note = "Directory of a delegated control group in which memory_max is enforced"},
    {"heartbeat", SL__KEY_DURATION, OPTION(heartbeat_ms), .max = DAY_MS,
     .note = "A working worker is asked for a sign of life this often; 0: never. Default: 1s"},
    {"heartbeat_timeout", SL__KEY_DURATION, OPTION(heartbeat_timeout_ms), .max = DAY_MS,
     .note = "One that has not given it for so long is killed; 0: never. Default: 30s"},
    {"stack_timeout", SL__KEY_DURATION, OPTION(stack_timeout_ms), .max = DAY_MS,
     .note = "A hung worker is asked for its stack for so long before it is killed. Default: 200ms"},
    {"term_grace", SL__KEY_DURATION, OPTION(term_grace_ms), .max = DAY_MS,
     .note = "From SIGTERM to SIGKILL of a hung worker; 0: no SIGTERM. Default: 0"},
    {"waiters_max", SL__KEY_COUNT, OPTION(waiter_max), .min = 1, .max = 1000000,
     .note = "Dispatches that may wait for a worker at once. Default: 1024"},
    {"segment", SL__KEY_SIZE, OPTION(segment_bytes), .min = 64 * KIB, .max = GIB,
     .note = "Shared memory of a worker, each way. Default: 1M"},
    {"payload_max", SL__KEY_SIZE, OPTION(payload_bytes_max), .min = 1, .max = GIB,
     .note = "Of one batch, each way. Default: 1G"},
    {"payload_cache", SL__KEY_SIZE, OPTION(payload_cache_bytes), .max = TIB,
     .note = "Memory kept for the next large batch. Default: 64M"},
    {"depth_max", SL__KEY_COUNT, OPTION(depth_max), .min = 1, .max = SL_DEPTH_MAX_LIMIT,
     .note = "Nesting of values that workers may send. Default: 128"},
    {"keep_thread_environment", SL__KEY_BOOL, OPTION(keep_thread_environment),
     .note = "true: leave OMP_NUM_THREADS and its kin alone"},
    {"redact", SL__KEY_TEXTS, OPTION(redact),
     .note = "Names whose values are kept out of its workers' texts, instead of those of the file's redact"},
    {"session_max", SL__KEY_COUNT, OPTION(session_max), .min = 1, .max = 16777216,
     .note = "Sessions that may be open at once. Default: 100000"},
    {"affinity", SL__KEY_CHOICE, AT(sl__pool_part, affinity), .choices = affinities,
     .note = "Where the calls of a session run that says nothing of it. Default: hint"},
    {NULL},
};
static const struct sl__pool_part pool_init = {.options = SL_POOL_OPTIONS_INIT};
static const struct sl__section pool_section = {"pool", sizeof(struct sl__pool_part), &pool_init, pool_keys,
                                                NULL,   SL_PIPE_FILE_POOLS_MAX};
#undef OPTION

/* ---- stores ---- */

static const struct sl__choice csv_types[] = {{"text", SL_CSV_TEXT}, {"infer", SL_CSV_INFER}, {NULL, 0}};
static const struct sl__key load_path = {"path", SL__KEY_PATH, AT(sl__load_part, path),
                                         .note = "A file that ends in .csv or .ndjson"};
static const struct sl__key load_keys[] = {
    {"csv", SL__KEY_PATH, AT(sl__load_part, csv), .note = "A CSV file whose first record names the columns"},
    {"types", SL__KEY_CHOICE, AT(sl__load_part, types), .choices = csv_types,
     .note = "infer: fields of a CSV file that read as numbers become numbers. Default: text"},
    {"ndjson", SL__KEY_PATH, AT(sl__load_part, ndjson), .note = "A file with one JSON object a line"},
    {"sqlite", SL__KEY_PATH, AT(sl__load_part, sqlite), .note = "An SQLite database"},
    {"query", SL__KEY_TEXT, AT(sl__load_part, query), .note = "The SELECT that gives the rows of a database"},
    {NULL},
};
static const struct sl__section load_section = {"load", sizeof(struct sl__load_part), NULL, load_keys, &load_path, 0};

static const struct sl__choice table_kinds[] = {
    {"set", SL_TABLE_SET}, {"ordered_set", SL_TABLE_ORDERED_SET}, {"bag", SL_TABLE_BAG}, {NULL, 0}};
static const struct sl__choice table_fulls[] = {
    {"refuse", SL_TABLE_FULL_REFUSE}, {"evict", SL_TABLE_FULL_EVICT}, {NULL, 0}};
static const struct sl__key table_keys[] = {
    {"type", SL__KEY_CHOICE, AT(sl__table_part, kind), .choices = table_kinds, .note = "Default: set"},
    {"load", SL__KEY_SECTION, AT(sl__table_part, load), .section = &load_section,
     .note = "Where its rows come from, at each start; they replace what it has"},
    {"key", SL__KEY_TEXT, AT(sl__table_part, key),
     .note = "Column or member that is the key. Default: the member key of NDJSON, else the first column"},
    {"value", SL__KEY_TEXT, AT(sl__table_part, value),
     .note = "Column or member that is the value. Default: a map of all of them"},
    {"ttl", SL__KEY_DURATION64, AT(sl__table_part, ttl_ms), .min = 1, .max = YEARS_10_MS,
     .note = "Rows go so long after they were put. Default: never"},
    {"max_entries", SL__KEY_COUNT64, AT(sl__table_part, entries_max), .min = 1, .max = UINT64_MAX,
     .note = "Default: no bound"},
    {"full", SL__KEY_CHOICE, AT(sl__table_part, full), .choices = table_fulls,
     .note = "What a write does when max_entries is reached. Default: refuse"},
    {NULL},
};
static const struct sl__table_part table_init = {.kind = SL_TABLE_SET};
static const struct sl__section table_section = {"table", sizeof(struct sl__table_part), &table_init, table_keys,
                                                 NULL,    SL_PIPE_FILE_TABLES_MAX};

#define OPTION(member) AT(sl__store_part, options) + offsetof(struct sl_store_options, member)
static const struct sl__choice syncs[] = {
    {"full", SL_STORE_SYNC_FULL}, {"async", SL_STORE_SYNC_ASYNC}, {"none", SL_STORE_SYNC_NONE}, {NULL, 0}};
static const struct sl__key store_keys[] = {
    {"path", SL__KEY_PATH, OPTION(path), .note = "Directory of a durable store. Default: it is in memory"},
    {"read_only", SL__KEY_BOOL, OPTION(read_only),
     .note = "Only read what is at path, which another process may be writing"},
    {"sync", SL__KEY_CHOICE, AT(sl__store_part, sync), .choices = syncs,
     .note = "When a write of a durable store is on disk. Default: full"},
    {"sync_interval", SL__KEY_DURATION, OPTION(sync_interval_ms), .min = 1, .max = 60000,
     .note = "Of async. Default: 100ms"},
    {"max_bytes", SL__KEY_SIZE, OPTION(bytes_max), .min = MIB, .max = 16 * TIB,
     .note = "What its rows may take. Default: 1G"},
    {"tables_max", SL__KEY_COUNT, OPTION(tables_max), .min = 1, .max = 1024, .note = "Default: 64"},
    {"readers_max", SL__KEY_COUNT, OPTION(readers_max), .min = 16, .max = 8192,
     .note = "Reads under way at once, of all processes. Default: 1024"},
    {"snapshot_warn", SL__KEY_DURATION, OPTION(snapshot_warn_ms), .min = 10, .max = DAY_MS,
     .note = "A snapshot that is older is reported. Default: 10s"},
    {"change_log", SL__KEY_SIZE, AT(sl__store_part, change_bytes), .min = 64 * KIB, .max = 256 * MIB,
     .note = "Of the log that watches follow. Default: 1M"},
    {"tables", SL__KEY_NAMED, AT(sl__store_part, tables), .section = &table_section, .note = "Its tables by name"},
    {NULL},
};
static const struct sl__store_part store_init = {.options = SL_STORE_OPTIONS_INIT, .change_bytes = MIB};
static const struct sl__section store_section = {"store", sizeof(struct sl__store_part), &store_init, store_keys,
                                                 NULL,    SL_PIPE_FILE_STORES_MAX};
#undef OPTION

/* ---- on_error ---- */

static const struct sl__choice error_kinds[] = {
#define KIND(enumerator, number, name, retryable, text) {name, number},
    SL_CODE_LIST(KIND)
#undef KIND
        {NULL, 0},
};
static const struct sl__key retry_keys[] = {
    {"max_attempts", SL__KEY_COUNT, AT(sl__retry_part, max_attempts), .min = 1, .max = 1000,
     .note = "The first one included. Default: 3"},
    {"backoff", SL__KEY_DURATION, AT(sl__retry_part, backoff_ms), .min = 1, .max = DAY_MS,
     .note = "Before the second attempt; it doubles. Default: 100ms"},
    {"backoff_max", SL__KEY_DURATION, AT(sl__retry_part, backoff_max_ms), .min = 1, .max = DAY_MS,
     .note = "Default: 5s"},
    {"jitter", SL__KEY_FRACTION, AT(sl__retry_part, jitter),
     .note = "Each delay is shortened by up to this part of it. Default: 0"},
    {"kinds", SL__KEY_CHOICES, AT(sl__retry_part, kinds), .choices = error_kinds,
     .note = "Kinds of errors that are tried again. Default: those that may pass, and exceptions of Python"},
    {NULL},
};
static const struct sl__section retry_section = {"retry", sizeof(struct sl__retry_part), NULL, retry_keys, NULL, 0};

static const struct sl__key isolate_keys[] = {
    {"max_attempts", SL__KEY_COUNT, AT(sl__isolate_part, max_attempts), .min = 1, .max = 1000,
     .note = "At an item that is alone. Default: 1"},
    {"to", SL__KEY_TEXT, AT(sl__isolate_part, to), .note = "Output or stage that gets it. Default: it has failed"},
    {NULL},
};
static const struct sl__section isolate_section = {"isolate", sizeof(struct sl__isolate_part), NULL, isolate_keys, NULL,
                                                   0};

static const struct sl__choice policies[] = {{"skip", SL_ON_ERROR_SKIP},
                                             {"halt", SL_ON_ERROR_HALT},
                                             {"retry", SL_ON_ERROR_RETRY},
                                             {"isolate", SL_ON_ERROR_ISOLATE},
                                             {NULL, 0}};
static const struct sl__key policy_key = {"policy", SL__KEY_CHOICE, AT(sl__on_error_part, policy), .choices = policies,
                                          .note = "What becomes of items that fail"};
static const struct sl__key on_error_keys[] = {
    {"retry", SL__KEY_SECTION, AT(sl__on_error_part, retry), .section = &retry_section, .note = "Try again, then skip"},
    {"route", SL__KEY_TEXT, AT(sl__on_error_part, route),
     .note = "Output or stage that gets items that failed, as they came in"},
    {"isolate", SL__KEY_SECTION, AT(sl__on_error_part, isolate), .section = &isolate_section,
     .note = "Search the batch for the item that fails"},
    {NULL},
};
static const struct sl__section on_error_section = {
    "on_error", sizeof(struct sl__on_error_part), NULL, on_error_keys, &policy_key, 257};

/* ---- stages ---- */

static const struct sl__key weighted_scalar = {"weight", SL__KEY_JQ, AT(sl__weighted_part, weight),
                                               .note = "jq: the weight of an item"};
static const struct sl__key weighted_keys[] = {
    {"weight", SL__KEY_JQ, AT(sl__weighted_part, weight), SL__KEY_REQUIRED, .note = "jq: the weight of an item"},
    {"max_weight", SL__KEY_COUNT64, AT(sl__weighted_part, max_weight), .min = 1, .max = UINT64_MAX,
     .note = "Of a batch. Default: 1000"},
    {NULL},
};
static const struct sl__section weighted_section = {
    "weighted", sizeof(struct sl__weighted_part), NULL, weighted_keys, &weighted_scalar, 0};

static const struct sl__key key_scalar = {"key", SL__KEY_JQ, AT(sl__key_part, key), .note = "jq: the key of an item"};
static const struct sl__key key_keys[] = {
    {"key", SL__KEY_JQ, AT(sl__key_part, key), SL__KEY_REQUIRED, .note = "jq: the key of an item"},
    {"weight", SL__KEY_JQ, AT(sl__key_part, weight), .note = "jq: the weight of an item"},
    {"max_weight", SL__KEY_COUNT64, AT(sl__key_part, max_weight), .min = 1, .max = UINT64_MAX,
     .note = "Of a batch. Default: 1000"},
    {NULL},
};
static const struct sl__section key_section = {"key", sizeof(struct sl__key_part), NULL, key_keys, &key_scalar, 0};

static const struct sl__choice fixed_only[] = {{"fixed", 1}, {NULL, 0}};
static const struct sl__key strategy_scalar = {"strategy", SL__KEY_CHOICE, AT(sl__strategy_part, fixed),
                                               .choices = fixed_only, .note = "Batches of batch_size"};
static const struct sl__key strategy_keys[] = {
    {"weighted", SL__KEY_SECTION, AT(sl__strategy_part, weighted), .section = &weighted_section,
     .note = "Batches of at most max_weight"},
    {"key", SL__KEY_SECTION, AT(sl__strategy_part, key), .section = &key_section,
     .note = "Items of one key share batches, and run on one worker, in order"},
    {NULL},
};
static const struct sl__section strategy_section = {
    "strategy", sizeof(struct sl__strategy_part), NULL, strategy_keys, &strategy_scalar, 0};

static const struct sl__choice missings[] = {
    {"null", SL__MISSING_NULL}, {"skip", SL__MISSING_SKIP}, {"error", SL__MISSING_ERROR}, {NULL, 0}};
static const struct sl__key lookup_keys[] = {
    {"store", SL__KEY_TEXT, AT(sl__lookup_part, store), SL__KEY_REQUIRED, .note = "A store of this file"},
    {"table", SL__KEY_TEXT, AT(sl__lookup_part, table), SL__KEY_REQUIRED, .note = "A table of that store"},
    {"key", SL__KEY_JQ, AT(sl__lookup_part, key), SL__KEY_REQUIRED, .note = "jq: the key to look up"},
    {"as", SL__KEY_TEXT, AT(sl__lookup_part, as),
     .note = "Member of the item that gets the value. Default: the value takes the item's place"},
    {"missing", SL__KEY_CHOICE, AT(sl__lookup_part, missing), .choices = missings,
     .note = "What becomes of an item whose key is not in the table. Default: null"},
    {NULL},
};
static const struct sl__section lookup_section = {"lookup", sizeof(struct sl__lookup_part), NULL, lookup_keys, NULL, 0};

static const struct sl__key route_keys[] = {
    {"when", SL__KEY_JQ, AT(sl__route_part, when),
     .note = "jq: the item takes this route when it gives true. Default: it takes it always"},
    {"to", SL__KEY_TEXT, AT(sl__route_part, to), SL__KEY_REQUIRED, .note = "An output or a later stage"},
    {NULL},
};
static const struct sl__section route_section = {"route", sizeof(struct sl__route_part), NULL, route_keys, NULL, 256};

static const struct sl__choice modes[] = {{"batch", SL_CALL_BATCH}, {"each", SL_CALL_EACH}, {NULL, 0}};
static const struct sl__choice snapshots[] = {{"none", SL_SNAPSHOT_NONE}, {"batch", SL_SNAPSHOT_BATCH}, {NULL, 0}};
static const struct sl__choice orderings[] = {
    {"preserve", SL_ORDERING_PRESERVE}, {"as_completed", SL_ORDERING_AS_COMPLETED}, {NULL, 0}};
static const struct sl__choice cardinalities[] = {
    {"one", SL_CARDINALITY_ONE}, {"many", SL_CARDINALITY_MANY}, {"filter", SL_CARDINALITY_FILTER}, {NULL, 0}};

#define NATIVE (SL__FOR_JQ | SL__FOR_PLUGIN | SL__FOR_LOOKUP)
static const struct sl__key stage_keys[] = {
    {"name", SL__KEY_TEXT, AT(sl__stage_part, given_name), SL__KEY_REQUIRED,
     .note = "1 to 64 letters, digits, '_', '-' or '.'"},
    {"jq", SL__KEY_JQ, AT(sl__stage_part, jq), .stages = SL__FOR_JQ,
     .note = "A jq program: what it gives is the result; empty drops the item"},
    {"plugin", SL__KEY_TEXT, AT(sl__stage_part, plugin), .stages = SL__FOR_PLUGIN,
     .note = "A function of a shared library: ./library.so:function"},
    {"lookup", SL__KEY_SECTION, AT(sl__stage_part, lookup), .stages = SL__FOR_LOOKUP, .section = &lookup_section,
     .note = "Reads a row of a table for each item"},
    {"python", SL__KEY_TEXT, AT(sl__stage_part, python), .stages = SL__FOR_PYTHON,
     .note = "A Python function: module:function"},
    {"router", SL__KEY_LIST, AT(sl__stage_part, router), .stages = SL__FOR_ROUTER, .section = &route_section,
     .note =
         "Routes in order: the first that takes the item decides; an item that none takes goes to the output default"},
    {"to", SL__KEY_TEXT, AT(sl__stage_part, to), .stages = NATIVE | SL__FOR_PYTHON,
     .note = "Where its results go: an output or a later stage. Default: the next stage; after the last the output "
             "default"},
    {"routes", SL__KEY_TEXTS, AT(sl__stage_part, routes), .stages = SL__FOR_PLUGIN | SL__FOR_PYTHON,
     .note = "Outputs and stages to which the function may send items by name"},
    {"cardinality", SL__KEY_CHOICE, AT(sl__stage_part, cardinality),
     .stages = SL__FOR_JQ | SL__FOR_PLUGIN | SL__FOR_PYTHON, .choices = cardinalities,
     .note = "What it makes of one item. Default: one"},
    {"on_error", SL__KEY_SECTION, AT(sl__stage_part, on_error), .section = &on_error_section,
     .note = "What becomes of items that fail. Default: what the file's on_error says"},
    {"timeout", SL__KEY_DURATION, AT(sl__stage_part, timeout_ms), SL__KEY_OR_NONE, SL__FOR_PYTHON | SL__FOR_JQ, 1,
     U32_MAX, .note = "Of one batch, or of a jq program for one item. Default: 30s"},
    {"parallel", SL__KEY_COUNT, AT(sl__stage_part, parallel), .stages = NATIVE, .min = 1, .max = 1024,
     .note = "Threads of its own. Default: it runs on the thread that brings the item"},
    {"config", SL__KEY_ANY, AT(sl__stage_part, config), .stages = SL__FOR_PLUGIN, .note = "For the plugin"},
    {"pool", SL__KEY_TEXT, AT(sl__stage_part, pool), .stages = SL__FOR_PYTHON,
     .note = "A pool of this file. Default: the first one"},
    {"mode", SL__KEY_CHOICE, AT(sl__stage_part, mode), .stages = SL__FOR_PYTHON, .choices = modes,
     .note = "each: the function takes one item. Default: batch, it takes a list"},
    {"strategy", SL__KEY_SECTION, AT(sl__stage_part, strategy), .stages = SL__FOR_PYTHON, .section = &strategy_section,
     .note = "How items are put into batches. Default: fixed"},
    {"batch_size", SL__KEY_COUNT, AT(sl__stage_part, batch_size), .stages = SL__FOR_PYTHON, .min = 1, .max = 65536,
     .note = "Default: 64"},
    {"max_delay", SL__KEY_DURATION, AT(sl__stage_part, max_delay_ms), .stages = SL__FOR_PYTHON, .min = 1, .max = DAY_MS,
     .note = "A batch that is not full goes after this long. Default: 5ms"},
    {"snapshot", SL__KEY_CHOICE, AT(sl__stage_part, snapshot), .stages = SL__FOR_PYTHON, .choices = snapshots,
     .note = "batch: all reads of a store in one batch see one version. Default: none"},
    {"max_in_flight", SL__KEY_COUNT, AT(sl__stage_part, max_in_flight), .stages = NATIVE | SL__FOR_PYTHON, .min = 1,
     .max = 1024, .note = "Batches under way. Default: 8"},
    {"queue_max", SL__KEY_COUNT, AT(sl__stage_part, queue_max), .stages = NATIVE | SL__FOR_PYTHON, .min = 1,
     .max = 1048576, .note = "Items that may wait before it. Default: 1024"},
    {"ordering", SL__KEY_CHOICE, AT(sl__stage_part, ordering), .stages = NATIVE | SL__FOR_PYTHON, .choices = orderings,
     .note = "Of its results. Default: preserve"},
    {NULL},
};
static const struct sl__section stage_section = {"stage", sizeof(struct sl__stage_part), NULL, stage_keys, NULL, 256};

/* ---- the file ---- */

static const struct sl__key run_keys[] = {
    {"ordering", SL__KEY_CHOICE, AT(sl__run_part, ordering), .choices = orderings,
     .note = "Of the outputs: in the order of the source, or as they come. Default: preserve"},
    {"in_flight_max", SL__KEY_COUNT, AT(sl__run_part, in_flight_max), .min = 1, .max = 1048576,
     .note = "Items of the source under way. Default: 16384"},
    {"in_flight_bytes_max", SL__KEY_SIZE, AT(sl__run_part, in_flight_bytes_max), .min = 1, .max = 16 * TIB,
     .note = "Of all values under way. Default: 256M"},
    {"trace_items", SL__KEY_COUNT, AT(sl__run_part, trace_items), .max = 4096,
     .note = "The first so many items are traced. Default: 0"},
    {"metadata", SL__KEY_ANY, AT(sl__run_part, metadata), .note = "Shown to the handlers"},
    {NULL},
};
static const struct sl__run_part run_init = {.in_flight_max = 16384, .in_flight_bytes_max = 256 * MIB};
static const struct sl__section run_section = {"options", sizeof(struct sl__run_part), &run_init, run_keys, NULL, 0};

static const struct sl__key file_keys[] = {
    {"pipe", SL__KEY_TEXT, AT(sl__file_part, pipe), SL__KEY_REQUIRED, .note = "Name of the pipe"},
    {"description", SL__KEY_TEXT, AT(sl__file_part, description), .note = "What it is for"},
    {"vars", SL__KEY_ANY, AT(sl__file_part, vars),
     .note = "Variables: ${name} in texts of this file, $name in its jq programs; they can be set from outside"},
    {"python", SL__KEY_SECTION, AT(sl__file_part, python), .section = &python_section,
     .note = "The Python of all pools"},
    {"env", SL__KEY_PAIRS, AT(sl__file_part, env), .note = "Environment of all workers; null removes a variable"},
    {"redact", SL__KEY_TEXTS, AT(sl__file_part, redact),
     .note =
         "Names whose values are kept out of error texts and logs, instead of the usual ones; * stands for any part "
         "of a name, default for the usual ones, an empty list for none"},
    {"pools", SL__KEY_NAMED, AT(sl__file_part, pools), .section = &pool_section,
     .note = "Pools of Python workers by name. Default: one of the name main"},
    {"stores", SL__KEY_NAMED, AT(sl__file_part, stores), .section = &store_section, .note = "Stores by name"},
    {"stages", SL__KEY_LIST, AT(sl__file_part, stages), SL__KEY_REQUIRED, .section = &stage_section,
     .note = "Stages in order: items go from one to a later one"},
    {"outputs", SL__KEY_TEXTS, AT(sl__file_part, outputs), .note = "Where items come out, besides default"},
    {"on_error", SL__KEY_NAMED, AT(sl__file_part, on_error), .section = &on_error_section,
     .note = "What becomes of items that fail, by stage; '*' is for all others. Default: halt"},
    {"options", SL__KEY_SECTION, AT(sl__file_part, options), .section = &run_section, .note = "Of a run"},
    {NULL},
};
const struct sl__section sl__file_section = {"pipe", sizeof(struct sl__file_part), NULL, file_keys, NULL, 0};
