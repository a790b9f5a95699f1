/* SPDX-License-Identifier: MIT */
/* What `slither store` can do. */
#include <string.h>

#include "status.h"
#include "store.h"
#include "summary.h"

static const char *kind_name(enum sl_table_kind kind) {
    switch (kind) {
    case SL_TABLE_SET:
        return "set";
    case SL_TABLE_ORDERED_SET:
        return "ordered_set";
    case SL_TABLE_BAG:
        return "bag";
    }
    return "unknown";
}

/* Ends the value that was written, and prints it. */
static enum sl_code print_written(struct store_call *call, struct sl_writer *writer, uint32_t flags) {
    struct sl_value value;
    enum sl_code code = sl_writer_end(writer, &value, &call->error);
    return code == SL_OK ? store_print(call, value, flags) : code;
}

static void write_number(struct sl_writer *writer, const char *name, uint64_t number) {
    sl_write_str(writer, name);
    sl_write_uint(writer, number);
}

/* ---- ls, stat ---------------------------------------------------------------------------------------------------- */

struct listing {
    struct store_call *call;
    struct sl_writer writer;
};

static enum sl_code list_table(void *context, const struct sl_table_info *info) {
    struct listing *listing = context;
    struct sl_writer *writer = &listing->writer;
    sl_writer_reset(writer);
    sl_write_map(writer, 7);
    sl_write_str(writer, "table");
    sl_write_str(writer, info->name);
    sl_write_str(writer, "kind");
    sl_write_str(writer, kind_name(info->kind));
    write_number(writer, "rows", info->row_count);
    write_number(writer, "ttl_ms", info->ttl_ms);
    write_number(writer, "max_entries", info->max_entries);
    sl_write_str(writer, "when_full");
    sl_write_str(writer, info->policy == SL_TABLE_FULL_EVICT ? "evict" : "refuse");
    write_number(writer, "reloads", info->reload_count);
    return print_written(listing->call, writer, SL_JSON_NAN_AS_NULL);
}

static int run_ls(struct store_call *call) {
    struct listing listing = {.call = call};
    sl_writer_init(&listing.writer, NULL);
    enum sl_code code = sl_store_tables(call->store, list_table, &listing, &call->error);
    sl_writer_finish(&listing.writer);
    return code == SL_OK ? STATUS_OK : store_fail(call, code);
}

static int run_stat(struct store_call *call) {
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    struct sl_writer writer;
    enum sl_code code = sl_store_stat(call->store, &stat, &call->error);
    if (code != SL_OK) {
        return store_fail(call, code);
    }
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 8);
    write_number(&writer, "bytes_max", stat.bytes_max);
    write_number(&writer, "bytes_used", stat.bytes_used);
    write_number(&writer, "bytes_free", stat.bytes_free);
    write_number(&writer, "version", stat.version);
    write_number(&writer, "tables", stat.table_count);
    write_number(&writer, "readers", stat.reader_count);
    write_number(&writer, "oldest_snapshot_version", stat.oldest_snapshot_version);
    sl_write_str(&writer, "oldest_snapshot_pid");
    sl_write_int(&writer, stat.oldest_snapshot_pid);
    code = print_written(call, &writer, SL_JSON_NAN_AS_NULL);
    sl_writer_finish(&writer);
    return code == SL_OK ? STATUS_OK : store_fail(call, code);
}

/* ---- get, put, delete -------------------------------------------------------------------------------------------- */

static int run_get(struct store_call *call) {
    struct sl_table *table;
    struct sl_snapshot *snapshot = NULL;
    struct sl_writer memory;
    sl_writer_init(&memory, NULL);
    int missing = 0;
    enum sl_code code = store_table(call, &table);
    if (code == SL_OK) {
        code = sl_snapshot_begin(call->store, &snapshot, &call->error);
    }
    for (int i = 1; code == SL_OK && i < call->operand_count; i++) {
        struct sl_value key, value;
        code = store_read_word(call->operands[i], &memory, &key, &call->error);
        if (code == SL_OK) {
            code = sl_snapshot_get(snapshot, table, key, &value, &call->error);
        }
        if (code == SL_E_NOT_FOUND) {
            fprintf(stderr, "slither: store get: there is no row with the key %.200s in table '%.64s'\n",
                    call->operands[i], call->operands[0]);
            missing++;
            code = SL_OK;
        } else if (code == SL_OK) {
            code = store_print(call, value, SL_JSON_NAN_AS_NULL);
        }
    }
    sl_snapshot_end(snapshot);
    sl_writer_finish(&memory);
    if (code != SL_OK) {
        return store_fail(call, code);
    }
    return missing > 0 ? STATUS_ITEMS_FAILED : STATUS_OK;
}

/* The table that is written: as it is, or made of the kind that the options say. */
static enum sl_code open_or_make(struct store_call *call, struct sl_table **table) {
    static const enum sl_table_kind kinds[] = {SL_TABLE_SET, SL_TABLE_ORDERED_SET, SL_TABLE_BAG};
    if (call->options->kind < 0) {
        enum sl_code code = store_table(call, table);
        if (code != SL_E_NOT_FOUND) {
            return code;
        }
    }
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    if (call->options->kind >= 0) {
        options.kind = kinds[call->options->kind];
    }
    return sl_table_open(call->store, call->operands[0], &options, table, &call->error);
}

static int run_put(struct store_call *call) {
    struct sl_table *table;
    struct sl_value key, value;
    struct sl_writer key_memory, value_memory;
    struct sl_put_options options = SL_PUT_OPTIONS_INIT;
    bool inserted = true;
    options.ttl_ms = call->options->ttl_ms;
    sl_writer_init(&key_memory, NULL);
    sl_writer_init(&value_memory, NULL);
    enum sl_code code = store_read_word(call->operands[1], &key_memory, &key, &call->error);
    if (code == SL_OK) {
        code = store_read_word(call->operands[2], &value_memory, &value, &call->error);
    }
    if (code == SL_OK) {
        code = open_or_make(call, &table);
    }
    if (code == SL_OK && call->options->if_absent) {
        code = sl_table_put_if_absent(table, key, value, &options, &inserted, &call->error);
    } else if (code == SL_OK) {
        code = sl_table_put(table, key, value, &options, &call->error);
    }
    sl_writer_finish(&key_memory);
    sl_writer_finish(&value_memory);
    if (code != SL_OK) {
        return store_fail(call, code);
    }
    if (!inserted) {
        fprintf(stderr, "slither: store put: the key %.200s has a row already\n", call->operands[1]);
    }
    return inserted ? STATUS_OK : STATUS_ITEMS_FAILED;
}

static enum sl_code delete_rows(struct store_call *call, struct sl_table *table, int *missing) {
    struct sl_transaction *transaction;
    struct sl_writer memory;
    enum sl_code code = sl_transaction_begin(call->store, &transaction, &call->error);
    if (code != SL_OK) {
        return code;
    }
    sl_writer_init(&memory, NULL);
    for (int i = 1; code == SL_OK && i < call->operand_count; i++) {
        struct sl_value key;
        uint64_t removed = 0;
        code = store_read_word(call->operands[i], &memory, &key, &call->error);
        if (code == SL_OK) {
            code = sl_transaction_delete(transaction, table, key, &removed, &call->error);
        }
        if (code == SL_OK && removed == 0) {
            fprintf(stderr, "slither: store delete: there is no row with the key %.200s in table '%.64s'\n",
                    call->operands[i], call->operands[0]);
            ++*missing;
        }
    }
    sl_writer_finish(&memory);
    if (code == SL_OK) {
        return sl_transaction_commit(transaction, &call->error);
    }
    sl_transaction_abort(transaction);
    return code;
}

static int run_delete(struct store_call *call) {
    struct sl_table *table;
    int missing = 0;
    enum sl_code code = store_table(call, &table);
    if (code == SL_OK) {
        code = delete_rows(call, table, &missing);
    }
    if (code != SL_OK) {
        return store_fail(call, code);
    }
    return missing > 0 ? STATUS_ITEMS_FAILED : STATUS_OK;
}

/* ---- scan, dump -------------------------------------------------------------------------------------------------- */

struct scanning {
    struct store_call *call;
    bool as_map;
    struct sl_writer writer;
};

static enum sl_code print_row(void *context, struct sl_value key, struct sl_value value, struct sl_error *error) {
    struct scanning *scanning = context;
    struct sl_writer *writer = &scanning->writer;
    (void)error;
    sl_writer_reset(writer);
    if (scanning->as_map) {
        sl_write_map(writer, 2);
        sl_write_str(writer, "key");
        sl_write_value(writer, key);
        sl_write_str(writer, "value");
        sl_write_value(writer, value);
    } else {
        sl_write_list(writer, 2);
        sl_write_value(writer, key);
        sl_write_value(writer, value);
    }
    enum sl_code code =
        print_written(scanning->call, writer, scanning->as_map ? SL_JSON_LOSSLESS : SL_JSON_NAN_AS_NULL);
    if (code != SL_OK && error != NULL && error != &scanning->call->error) {
        sl_error_copy(error, &scanning->call->error);
    }
    /* The end of a fold is no error; a reader that has gone away is. */
    return code == SL_E_END ? SL_E_CANCELLED : code;
}

static enum sl_code read_bound(const char *word, struct sl_writer *memory, struct sl_value *value,
                               struct sl_error *error) {
    return word != NULL ? store_read_word(word, memory, value, error) : SL_OK;
}

static int scan_rows(struct store_call *call, bool as_map) {
    const struct store_options *options = call->options;
    struct scanning scanning = {.call = call, .as_map = as_map};
    struct sl_scan_options scan = SL_SCAN_OPTIONS_INIT;
    struct sl_writer from, to, prefix;
    struct sl_table *table;
    sl_writer_init(&scanning.writer, NULL);
    sl_writer_init(&from, NULL);
    sl_writer_init(&to, NULL);
    sl_writer_init(&prefix, NULL);
    scan.backward = options->backward != 0;
    scan.limit = options->limit;
    enum sl_code code = store_table(call, &table);
    if (code == SL_OK) {
        code = read_bound(options->from, &from, &scan.from, &call->error);
    }
    if (code == SL_OK) {
        code = read_bound(options->to, &to, &scan.to, &call->error);
    }
    if (code == SL_OK) {
        code = read_bound(options->prefix, &prefix, &scan.prefix, &call->error);
    }
    if (code == SL_OK) {
        code = sl_table_fold(table, NULL, &scan, print_row, &scanning, &call->error);
    }
    sl_writer_finish(&scanning.writer);
    sl_writer_finish(&from);
    sl_writer_finish(&to);
    sl_writer_finish(&prefix);
    if (code == SL_E_CANCELLED && call->out.reader_gone) {
        return STATUS_PIPE_CLOSED;
    }
    return code == SL_OK ? STATUS_OK : store_fail(call, code);
}

static int run_scan(struct store_call *call) {
    return scan_rows(call, false);
}

static int run_dump(struct store_call *call) {
    return scan_rows(call, true);
}

/* ---- load -------------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *ending) {
    size_t size = strlen(text), ending_size = strlen(ending);
    return size >= ending_size && strcmp(text + size - ending_size, ending) == 0;
}

enum format { FORMAT_NDJSON, FORMAT_CSV, FORMAT_SQLITE };

static enum format format_of(const struct store_options *options, const char *file) {
    if (options->format >= 0) {
        return (enum format)options->format;
    }
    if (options->sql != NULL || ends_with(file, ".sqlite") || ends_with(file, ".sqlite3") || ends_with(file, ".db")) {
        return FORMAT_SQLITE;
    }
    return ends_with(file, ".csv") ? FORMAT_CSV : FORMAT_NDJSON;
}

static enum sl_code open_loader(struct store_call *call, struct sl_loader **loader) {
    const struct store_options *options = call->options;
    const char *file = strcmp(call->operands[1], "-") == 0 ? "/dev/stdin" : call->operands[1];
    struct sl_loader_options loading = SL_LOADER_OPTIONS_INIT;
    loading.key = options->key;
    loading.value = options->value;
    loading.lossless = !options->literal;
    loading.csv_types = options->infer ? SL_CSV_INFER : SL_CSV_TEXT;
    switch (format_of(options, file)) {
    case FORMAT_SQLITE:
        if (options->sql == NULL) {
            return sl_error_set(&call->error, SL_E_INVALID_ARGUMENT,
                                "%.200s: to load from SQLite, say with --sql which rows", file);
        }
        return sl_loader_open_sqlite(file, options->sql, &loading, loader, &call->error);
    case FORMAT_CSV:
        return sl_loader_open_csv(file, &loading, loader, &call->error);
    case FORMAT_NDJSON:
        break;
    }
    if (loading.value == NULL && loading.key == NULL) {
        loading.value = "value"; /* what dump writes */
    }
    return sl_loader_open_ndjson(file, &loading, loader, &call->error);
}

static int run_load(struct store_call *call) {
    struct sl_loader *loader = NULL;
    struct sl_table *table;
    uint64_t row_count = 0;
    enum sl_code code = open_loader(call, &loader);
    if (code == SL_OK) {
        code = open_or_make(call, &table);
    }
    if (code == SL_OK) {
        code = call->options->add ? sl_table_bulk_insert(table, sl_loader_next, loader, &row_count, &call->error)
                                  : sl_table_reload(table, sl_loader_next, loader, &row_count, &call->error);
    }
    sl_loader_close(loader);
    if (code != SL_OK) {
        return store_fail(call, code);
    }
    fprintf(stderr, "slither: store load: %llu row%s\n", (unsigned long long)row_count, plural(row_count));
    return STATUS_OK;
}

#define OPERANDS_MAX 65536

const struct store_verb store_verbs[] = {
    {"ls", "", 0, 0, false, false, run_ls},
    {"stat", "", 0, 0, false, false, run_stat},
    {"get", "TABLE KEY...", 2, OPERANDS_MAX, false, false, run_get},
    {"put", "TABLE KEY VALUE", 3, 3, true, true, run_put},
    {"delete", "TABLE KEY...", 2, OPERANDS_MAX, true, false, run_delete},
    {"scan", "TABLE", 1, 1, false, false, run_scan},
    {"load", "TABLE FILE", 2, 2, true, true, run_load},
    {"dump", "TABLE", 1, 1, false, false, run_dump},
};
const size_t store_verb_count = sizeof store_verbs / sizeof store_verbs[0];
