/* SPDX-License-Identifier: MIT */
/* `slither store`: looks into stores, and fills them. */
#include "store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nearest.h"
#include "status.h"

static const char *const kinds[] = {"set", "ordered-set", "bag", NULL};
static const char *const formats[] = {"ndjson", "csv", "sqlite", NULL};

#define FIELD(name) offsetof(struct store_options, name)

static const struct option_spec store_options_table[] = {
    {"which store", 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL, NULL},
    {"pid", 'p', OPTION_COUNT, "N", "STORE is the name of a store that process N has open; it is only read", FIELD(pid),
     1, INT_MAX, NULL, NULL},
    {"bytes-max", 0, OPTION_SIZE, "SIZE",
     "What a store that is written may grow to (default: 1G, or what it was before)", FIELD(bytes_max), 1 << 20,
     (uint64_t)1 << 44, NULL, NULL},
    {"which rows (scan, dump)", 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL, NULL},
    {"from", 0, OPTION_TEXT, "KEY", "From this key on", FIELD(from), 0, 0, NULL, NULL},
    {"to", 0, OPTION_TEXT, "KEY", "Up to this key, without it", FIELD(to), 0, 0, NULL, NULL},
    {"prefix", 0, OPTION_TEXT, "KEY", "Keys that begin with this str, or lists that begin with this list",
     FIELD(prefix), 0, 0, NULL, NULL},
    {"limit", 'n', OPTION_COUNT, "N", "At most N rows", FIELD(limit), 1, UINT64_MAX, NULL, NULL},
    {"backward", 0, OPTION_FLAG, NULL, "Last key first", FIELD(backward), 1, 0, NULL, NULL},
    {"writing (put, load)", 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL, NULL},
    {"kind", 0, OPTION_CHOICE, "KIND", "set, ordered-set or bag: the kind of a table that is made (default: set)",
     FIELD(kind), 0, 0, kinds, NULL},
    {"ttl", 0, OPTION_DURATION, "TIME", "put: the row goes after TIME", FIELD(ttl_ms), 1, UINT64_MAX - 1, NULL, NULL},
    {"if-absent", 0, OPTION_FLAG, NULL, "put: only when the key has no row", FIELD(if_absent), 1, 0, NULL, NULL},
    {"format", 0, OPTION_CHOICE, "NAME", "load: ndjson, csv or sqlite (default: by the name of FILE)", FIELD(format), 0,
     0, formats, NULL},
    {"key", 0, OPTION_TEXT, "NAME", "load: member or column that is the key (default: \"key\", or the first column)",
     FIELD(key), 0, 0, NULL, NULL},
    {"value", 0, OPTION_TEXT, "NAME",
     "load: member or column that is the value (default: \"value\" of ndjson, else the whole row)", FIELD(value), 0, 0,
     NULL, NULL},
    {"sql", 0, OPTION_TEXT, "SELECT", "load: the query whose rows are loaded; FILE is an SQLite database", FIELD(sql),
     0, 0, NULL, NULL},
    {"infer", 0, OPTION_FLAG, NULL, "load: fields of CSV that read as numbers, true, false or nothing are that",
     FIELD(infer), 1, 0, NULL, NULL},
    {"literal", 0, OPTION_FLAG, NULL,
     "load: objects such as {\"$bytes\": ...} of NDJSON are maps, not what they stand for", FIELD(literal), 1, 0, NULL,
     NULL},
    {"add", 0, OPTION_FLAG, NULL, "load: add the rows to those that are there, instead of taking their place",
     FIELD(add), 1, 0, NULL, NULL},
    {"other", 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL, NULL},
    OPTION_HELP,
    OPTION_END,
};

int store_fail(struct store_call *call, enum sl_code code) {
    if (code == SL_E_END && call->out.reader_gone) {
        return STATUS_PIPE_CLOSED;
    }
    fprintf(stderr, "slither: store %s: %s\n", call->verb, call->error.message);
    return code == SL_E_INVALID_ARGUMENT ? STATUS_USAGE : STATUS_HALTED;
}

enum sl_code store_table(struct store_call *call, struct sl_table **table) {
    return sl_table_open(call->store, call->operands[0], NULL, table, &call->error);
}

enum sl_code store_read_word(const char *word, struct sl_writer *writer, struct sl_value *value,
                             struct sl_error *error) {
    sl_writer_reset(writer);
    enum sl_code code = sl_json_restore(word, strlen(word), writer, error);
    if (code != SL_OK) {
        sl_writer_reset(writer);
        if (sl_json_parse(word, strlen(word), writer, NULL) == SL_OK) {
            return code; /* JSON, that says something wrong */
        }
        sl_writer_reset(writer);
        sl_write_str(writer, word);
    }
    return sl_writer_end(writer, value, error);
}

enum sl_code store_print(struct store_call *call, struct sl_value value, uint32_t flags) {
    size_t size;
    enum sl_code code = sl_json_print(value, flags, &call->text, &call->text_capacity, &size, &call->error);
    return code == SL_OK ? output_line(&call->out, call->text, size, &call->error) : code;
}

static const struct store_verb *find_verb(const char *name) {
    struct nearest nearest = {.typed = name};
    for (size_t i = 0; i < store_verb_count; i++) {
        if (strcmp(store_verbs[i].name, name) == 0) {
            return &store_verbs[i];
        }
        nearest_offer(&nearest, store_verbs[i].name);
    }
    if (nearest.name != NULL) {
        usage_error(&store_command, "there is no 'store %.60s'; did you mean '%s'?", name, nearest.name);
    } else {
        usage_error(&store_command, "there is no 'store %.60s'", name);
    }
    return NULL;
}

static bool store_is_there(const char *directory) {
    char path[4096];
    int size = snprintf(path, sizeof path, "%s/data.mdb", directory);
    return size > 0 && (size_t)size < sizeof path && access(path, F_OK) == 0;
}

/* Opens the store that the first operand names. */
static int open_store(struct store_call *call, const struct store_verb *verb, const char *name) {
    const struct store_options *options = call->options;
    struct sl_store_options opening = SL_STORE_OPTIONS_INIT;
    char path[4096], problem[600];
    opening.path = name;
    opening.read_only = !verb->writes;
    if (options->bytes_max > 0) {
        opening.bytes_max = options->bytes_max;
    }
    if (options->pid > 0) {
        if (verb->writes) {
            return usage_error(&store_command,
                               "a store that a process has open is only read: 'store %s' takes no --pid", verb->name);
        }
        if (!store_find_open((int64_t)options->pid, name, path, sizeof path, problem, sizeof problem)) {
            fprintf(stderr, "slither: store %s: %s\n", verb->name, problem);
            return STATUS_HALTED;
        }
        opening.path = path;
    }
    if (verb->writes && !verb->makes && !store_is_there(name)) {
        fprintf(stderr, "slither: store %s: there is no store at \"%s\"\n", verb->name, name);
        return STATUS_HALTED;
    }
    enum sl_code code = sl_runtime_create(NULL, &call->runtime, &call->error);
    if (code == SL_OK) {
        code = sl_store_create(call->runtime, &opening, &call->store, &call->error);
    }
    return code == SL_OK ? STATUS_OK : store_fail(call, code == SL_E_INVALID_ARGUMENT ? SL_E_SYSTEM : code);
}

static int run_verb(struct store_call *call, const struct store_verb *verb, const char *name) {
    if (!output_init(&call->out, STDOUT_FILENO, "standard output")) {
        fputs("slither: out of memory\n", stderr);
        return STATUS_HALTED;
    }
    int status = open_store(call, verb, name);
    if (status == STATUS_OK) {
        status = verb->run(call);
    }
    enum sl_code code = output_close(&call->out, &call->error);
    if (code != SL_OK && status == STATUS_OK) {
        status = store_fail(call, code);
    }
    sl_store_destroy(call->store);
    sl_runtime_destroy(call->runtime);
    free(call->text);
    sl_error_finish(&call->error);
    return status;
}

static int run_store(int argc, char **argv) {
    char problem[OPTION_PROBLEM_SIZE];
    int first;
    struct store_options options = {.kind = -1, .format = -1};
    enum options_result parsed = options_parse(store_options_table, argc, argv, &options, &first, problem);
    if (parsed != OPTIONS_OK) {
        return command_answer(&store_command, parsed, problem);
    }
    if (first >= argc) {
        return usage_error(&store_command,
                           "what is to be done is missing: expected ls, stat, get, put, delete, scan, load or dump");
    }
    const struct store_verb *verb = find_verb(argv[first]);
    if (verb == NULL) {
        return STATUS_USAGE;
    }
    int count = argc - first - 2;
    if (count < verb->operand_min || count > verb->operand_max) {
        return usage_error(&store_command, "expected: slither store %s STORE%s%s", verb->name,
                           verb->operands[0] != '\0' ? " " : "", verb->operands);
    }
    struct store_call call = {
        .options = &options,
        .verb = verb->name,
        .operands = argv + first + 2,
        .operand_count = count,
        .error = SL_ERROR_INIT,
    };
    return run_verb(&call, verb, argv[first + 1]);
}

const struct command store_command = {
    .name = "store",
    .synopsis = "ls|stat|get|put|delete|scan|load|dump STORE [ARGUMENT...]",
    .summary = "look into a store, or fill it",
    .description =
        "  ls STORE                        its tables, one line of JSON each\n"
        "  stat STORE                      size, versions, who reads\n"
        "  get STORE TABLE KEY...          the values of keys, one line each\n"
        "  put STORE TABLE KEY VALUE       put a row\n"
        "  delete STORE TABLE KEY...       delete the rows of keys, all or nothing\n"
        "  scan STORE TABLE                rows as [KEY, VALUE], in the order of the keys\n"
        "  load STORE TABLE FILE           fill a table from NDJSON, CSV or SQLite, all or nothing\n"
        "  dump STORE TABLE                rows as {\"key\": KEY, \"value\": VALUE}, which load reads\n"
        "\n"
        "STORE is the directory of a durable store; put and load make it when it is not there, and they and delete\n"
        "need it for themselves. The others only read, also while another process writes. With --pid STORE is the\n"
        "name of a store, in memory or durable, that a running process has open. KEY and VALUE are JSON; what is\n"
        "not JSON is a str, so that 7 is a number, and item-7 needs no quotes. What JSON lacks is an object such as\n"
        "{\"$bytes\": \"YQ==\"}, as dump prints it.\n",
    .options = store_options_table,
    .operands = OPERAND_STORE,
    .run = run_store,
};
