/* SPDX-License-Identifier: MIT */
/*
 * Validates and transforms rows while the schema is being replaced under them.
 *
 *   rows.ndjson -> validate (Python; schema from a store, one snapshot a batch) -> transform (native) -> route -> valid
 *                                                                                                             -> invalid
 * The source itself reloads the schema where a phase begins, while batches are under way. After that the same rows run round and round while another
 * thread reloads a thousand times.
 *
 * What it proves: each row was validated against one whole version of the schema, which the audit logs of the workers name too; the verdict is the
 * one that a recomputation with that version gives; and no row ever saw two versions.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "example.h"

#define VERSIONS 3
#define RELOADS 1000
#define ROWS_MAX 100000

struct rule {
    int64_t amount_min, amount_max, quantity_min, quantity_max, country_size_max;
};

struct etl {
    struct example *example;
    struct sl_table *schema;
    struct rule rules[VERSIONS + 1];
    struct example_lines lines;
    uint32_t row_count;
    uint32_t phase_count; /* schema versions that the first run uses */
    uint32_t pulled;

    uint8_t *version_of; /* by row: what the result says; 0: no result so far */
    uint8_t *audited;    /* by row: what the audit logs say */
    _Atomic uint64_t result_count;
    uint64_t torn_count, wrong_count, transformed_count;
    uint64_t by_version[VERSIONS + 1];
    uint64_t strict_count; /* rows that pass version 1 and fail version 2 */

    pthread_mutex_t lock; /* of what audit() fills in */
    uint64_t audit_count, audit_twice;
    uint32_t log_count;

    _Atomic uint32_t reloading; /* 1 while the second run is to go on */
    uint32_t reload_count;
};

/* ---- schema ---------------------------------------------------------------------------------------------------------- */

static enum sl_code reload(struct etl *etl, uint32_t version, struct sl_error *error) {
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader;
    char path[512];
    snprintf(path, sizeof path, "%s/schema-%u.ndjson", etl->example->data, version);
    options.key = "field";
    enum sl_code code = sl_loader_open_ndjson(path, &options, &loader, error);
    if (code == SL_OK) {
        code = sl_table_reload(etl->schema, sl_loader_next, loader, NULL, error);
        sl_loader_close(loader);
    }
    return code;
}

/* The rules once more, for the recomputation: read from the store before anything runs. */
static void read_rules(struct etl *etl, uint32_t version) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_key key;
    struct sl_value value;
    struct sl_writer memory;
    struct rule *rule = &etl->rules[version];
    sl_writer_init(&memory, NULL);
    example_must(reload(etl, version, &error), &error, "the schema");
    example_must(sl_table_get(etl->schema, sl_key_str(&key, "amount"), &memory, &value, &error), &error, "the schema");
    rule->amount_min = example_int(value, "min");
    rule->amount_max = example_int(value, "max");
    example_must(sl_table_get(etl->schema, sl_key_str(&key, "quantity"), &memory, &value, &error), &error,
                 "the schema");
    rule->quantity_min = example_int(value, "min");
    rule->quantity_max = example_int(value, "max");
    example_must(sl_table_get(etl->schema, sl_key_str(&key, "country"), &memory, &value, &error), &error, "the schema");
    rule->country_size_max = example_int(value, "size_max");
    sl_writer_finish(&memory);
}

static bool is_valid(const struct rule *rule, struct sl_value row) {
    size_t country_size;
    int64_t amount = example_int(row, "amount"), quantity = example_int(row, "quantity");
    (void)example_text(row, "country", &country_size);
    return amount >= rule->amount_min && amount <= rule->amount_max && quantity >= rule->quantity_min &&
           quantity <= rule->quantity_max && (int64_t)country_size <= rule->country_size_max;
}

/* ---- the pipe --------------------------------------------------------------------------------------------------------- */

/* The first run: reloads where a phase begins. */
static enum sl_code next_row(void *context, struct sl_item *item, struct sl_error *error) {
    struct etl *etl = context;
    uint32_t phase_size = etl->row_count / etl->phase_count;
    if (etl->pulled > 0 && etl->pulled % phase_size == 0 && etl->pulled / phase_size < etl->phase_count) {
        enum sl_code code = reload(etl, etl->pulled / phase_size + 1, error);
        if (code != SL_OK) {
            return code;
        }
    }
    struct sl_source lines = example_lines_source(&etl->lines);
    etl->pulled++;
    return lines.next(lines.context, item, error);
}

/* The second: the rows again and again, until the reloads are done. */
static enum sl_code next_row_again(void *context, struct sl_item *item, struct sl_error *error) {
    struct etl *etl = context;
    struct sl_source lines = example_lines_source(&etl->lines);
    enum sl_code code = lines.next(lines.context, item, error);
    if (code == SL_E_END && atomic_load(&etl->reloading) != 0) {
        example_lines_close(&etl->lines);
        example_lines_open(&etl->lines, etl->example, "rows.ndjson");
        code = lines.next(lines.context, item, error);
    }
    return code;
}

static bool has_problem(struct sl_value result) {
    return sl_value_type(example_member(result, "problem")) != SL_TYPE_NIL;
}

/* Valid rows get a price for one piece, and their country in capitals. */
static enum sl_code transform(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                              struct sl_error *error) {
    (void)context;
    (void)error;
    if (has_problem(item->value)) {
        sl_emit(emit, item->value);
        return SL_OK;
    }
    struct sl_value row = example_member(item->value, "row");
    size_t size;
    const char *country = example_text(row, "country", &size);
    char capitals[16];
    size_t kept = size < sizeof capitals ? size : sizeof capitals;
    for (size_t i = 0; i < kept; i++) {
        capitals[i] = (char)(country[i] >= 'a' && country[i] <= 'z' ? country[i] - 32 : country[i]);
    }
    struct sl_writer *out = sl_emit_begin(emit);
    sl_write_map(out, 6);
    sl_write_str(out, "row");
    sl_write_value(out, row);
    sl_write_str(out, "version");
    sl_write_value(out, example_member(item->value, "version"));
    sl_write_str(out, "versions");
    sl_write_value(out, example_member(item->value, "versions"));
    sl_write_str(out, "problem");
    sl_write_nil(out);
    sl_write_str(out, "price");
    sl_write_float(out, (double)example_int(row, "amount") / (double)example_int(row, "quantity"));
    sl_write_str(out, "country");
    sl_write_strn(out, capitals, kept);
    sl_emit_end(emit);
    return SL_OK;
}

static enum sl_code passes(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = !has_problem(item->value);
    return SL_OK;
}

static enum sl_code take(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct etl *etl = context;
    struct sl_value row = example_member(outcome->value, "row");
    int64_t id = example_int(row, "id"), version = example_int(outcome->value, "version");
    if (id < 0 || id >= etl->row_count || version < 1 || version > VERSIONS) {
        return sl_error_set(error, SL_E_RANGE, "row %lld, version %lld: there is no such thing", (long long)id,
                            (long long)version);
    }
    bool valid = strcmp(outcome->output, "valid") == 0;
    struct sl_value price;
    etl->result_count++;
    etl->by_version[version]++;
    etl->torn_count += example_int(outcome->value, "versions") != 1;
    etl->wrong_count += valid != is_valid(&etl->rules[version], row);
    etl->transformed_count += valid && sl_value_get(outcome->value, "price", &price) == SL_OK;
    etl->strict_count += is_valid(&etl->rules[1], row) && !is_valid(&etl->rules[2], row);
    etl->version_of[id] = (uint8_t)version;
    return SL_OK;
}

static void run(struct etl *etl, struct sl_pool *pool, uint32_t in_flight_max,
                enum sl_code (*next)(void *, struct sl_item *, struct sl_error *)) {
    const struct sl_pipe_definition definition = {
        SL_PIPE("data_etl"),
        .stages = SL_STAGES(SL_PYTHON("validate", "data_etl:validate", .batch_size = 8, .max_in_flight = 8,
                                      .snapshot = SL_SNAPSHOT_BATCH),
                            SL_NATIVE("transform", transform),
                            SL_ROUTER("route", {passes, NULL, .to = "valid"}, {.to = "invalid"})),
        .outputs = SL_OUTPUTS("valid", "invalid"),
    };
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe *pipe;
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.pools = &(struct sl_pipe_pool){"main", pool};
    options.pool_count = 1;
    options.sinks = &(struct sl_pipe_sink){NULL, take, etl};
    options.sink_count = 1;
    options.in_flight_max = in_flight_max;
    example_must(sl_pipe_create(&definition, &pipe, &error), &error, "the pipe");
    example_lines_open(&etl->lines, etl->example, "rows.ndjson");
    example_must(sl_pipe_run(pipe, &options, (struct sl_source){next, etl}, NULL, &error), &error, "the run");
    example_lines_close(&etl->lines);
    sl_pipe_destroy(pipe);
}

/* ---- audit logs -------------------------------------------------------------------------------------------------------- */

/* audit(pid, [[row, version], ...]): the log of one worker, when the run is over. */
static enum sl_code audit(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    struct etl *etl = context;
    struct sl_value log, entry, id, version;
    struct sl_iter iter;
    int64_t row, number;
    if (sl_value_at(call->positional, 1, &log) != SL_OK || sl_iter_init(&iter, log) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "audit(pid, log) wants an int and a list");
    }
    pthread_mutex_lock(&etl->lock);
    etl->log_count++;
    while (sl_iter_next(&iter, NULL, &entry)) {
        if (sl_value_at(entry, 0, &id) == SL_OK && sl_value_int(id, &row) == SL_OK && row >= 0 &&
            row < etl->row_count && sl_value_at(entry, 1, &version) == SL_OK &&
            sl_value_int(version, &number) == SL_OK) {
            etl->audit_count++;
            etl->audit_twice += etl->audited[row] != 0;
            etl->audited[row] = (uint8_t)number;
        }
    }
    pthread_mutex_unlock(&etl->lock);
    sl_write_nil(result);
    return SL_OK;
}

/* ---- the thousand reloads ---------------------------------------------------------------------------------------------- */

static void *reload_again_and_again(void *context) {
    struct etl *etl = context;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t seen = atomic_load(&etl->result_count);
    for (uint32_t i = 0; i < RELOADS; i++) {
        /* Reloads and rows take turns, so that neither is over before the other has begun. */
        while (atomic_load(&etl->result_count) == seen) {
            sched_yield();
        }
        seen = atomic_load(&etl->result_count);
        if (reload(etl, i % VERSIONS + 1, &error) == SL_OK) {
            etl->reload_count++;
        } else {
            fprintf(stderr, "data_etl: a reload failed: %s\n", error.message);
        }
    }
    sl_error_finish(&error);
    atomic_store(&etl->reloading, 0);
    return NULL;
}

static void reload_under_load(struct example *example, struct etl *etl, struct sl_pool *pool) {
    pthread_t thread;
    uint64_t before = etl->result_count;
    atomic_store(&etl->reloading, 1);
    if (pthread_create(&thread, NULL, reload_again_and_again, etl) != 0) {
        fprintf(stderr, "data_etl: no thread could be started\n");
        exit(2);
    }
    run(etl, pool, 256, next_row_again);
    pthread_join(thread, NULL);
    example_say(example, "  %llu rows under %u reloads", (unsigned long long)(etl->result_count - before),
                etl->reload_count);
    example_prove(example, etl->torn_count == 0 && etl->wrong_count == 0 && etl->reload_count == RELOADS,
                  "%u reloads under load: of %llu rows none saw two versions, and all verdicts are right",
                  etl->reload_count, (unsigned long long)(etl->result_count - before));
    example_figure(example, "rows_under_reloads", (double)(etl->result_count - before));
}

static void prove_phases(struct example *example, struct etl *etl) {
    uint32_t agree = 0, used = 0;
    for (uint32_t i = 0; i < etl->row_count; i++) {
        agree += etl->version_of[i] != 0 && etl->version_of[i] == etl->audited[i];
    }
    for (uint32_t version = 1; version <= VERSIONS; version++) {
        used += etl->by_version[version] > 0;
        example_say(example, "  %llu rows were validated with version %u", (unsigned long long)etl->by_version[version],
                    version);
    }
    example_prove(example, etl->result_count == etl->row_count && etl->torn_count == 0 && used >= 2,
                  "each of %u rows was validated against exactly one whole version; %u versions were in use",
                  etl->row_count, used);
    example_prove(example, etl->audit_count == etl->row_count && etl->audit_twice == 0 && agree == etl->row_count,
                  "the audit logs of %u workers name each row once, with the version of its result", etl->log_count);
    example_prove(example, etl->wrong_count == 0 && etl->transformed_count > 0,
                  "every verdict is that of a recomputation with its version; all %llu valid rows were transformed",
                  (unsigned long long)etl->transformed_count);
    example_prove(example, etl->strict_count > 0, "%llu rows pass version 1 and fail version 2",
                  (unsigned long long)etl->strict_count);
    example_figure(example, "rows", etl->row_count);
    example_figure(example, "strict", (double)etl->strict_count);
    example_figure(example, "versions", used);
}

int main(int argc, char **argv) {
    struct example example;
    struct etl etl = {.example = &example, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store *store;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    struct sl_view_options view = SL_VIEW_OPTIONS_INIT;
    struct sl_item item;
    example_begin(&example, "data_etl", argc, argv);
    etl.phase_count = example.full ? 3 : 2;
    example_lines_open(&etl.lines, &example, "rows.ndjson");
    struct sl_source lines = example_lines_source(&etl.lines);
    while (etl.row_count < ROWS_MAX && lines.next(lines.context, &item, &error) == SL_OK) {
        etl.row_count++;
    }
    example_lines_close(&etl.lines);
    etl.version_of = calloc(etl.row_count + 1, 1);
    etl.audited = calloc(etl.row_count + 1, 1);
    struct sl_runtime *runtime = example_runtime(&example);
    example_must(sl_store_create(runtime, NULL, &store, &error), &error, "the store");
    example_must(sl_table_open(store, "schema", &table, &etl.schema, &error), &error, "the schema");
    for (uint32_t version = VERSIONS; version >= 1; version--) {
        read_rules(&etl, version);
    }
    view.name = "audit";
    view.call = audit;
    view.context = &etl;
    example_must(sl_view_register(runtime, &view, NULL, &error), &error, "the view");

    const char *const preload[] = {"data_etl", NULL};
    example_work_begin(&example);
    struct sl_pool *pool = example_pool(&example, runtime, preload);
    /* A phase at most is under way: rows of each phase have met its schema when the next one comes. */
    uint32_t phase_size = etl.row_count / etl.phase_count;
    run(&etl, pool, phase_size < 256 ? phase_size : 256, next_row);
    sl_pool_destroy(pool); /* the run's session has ended: all audit logs are here */
    example_work_end(&example);
    prove_phases(&example, &etl);

    pool = example_pool(&example, runtime, preload);
    reload_under_load(&example, &etl, pool);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    free(etl.version_of);
    free(etl.audited);
    return example_end(&example);
}
