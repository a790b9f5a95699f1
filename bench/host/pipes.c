/* SPDX-License-Identifier: MIT */
/* Pipes: what they cost beside a bare dispatch, and what their stages gain by working at the same time. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS 200000u
#define ITEMS_WARM 20000u
#define SPIN_ITEMS 40u

/* ---- source and sink --------------------------------------------------------------------------------------------- */

struct pipe_run {
    struct sl_writer writer;
    uint64_t next, count;
    uint64_t result_count;
    double sum;
};

static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct pipe_run *run = context;
    (void)error;
    if (run->next == run->count) {
        return SL_E_END;
    }
    item->id = run->next;
    item->value = bench_write_item(&run->writer, run->next);
    run->next++;
    return SL_OK;
}

static enum sl_code put_result(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct pipe_run *run = context;
    (void)error;
    run->sum += bench_read_score(outcome->value);
    run->result_count++;
    return SL_OK;
}

static void check_scores(const struct pipe_run *run, uint64_t count) {
    if (run->result_count != count || run->sum != (double)count * (double)(count - 1)) {
        bench_die("pipe: %llu results with the sum %.17g; expected %llu with %.17g",
                  (unsigned long long)run->result_count, run->sum, (unsigned long long)count,
                  (double)count * (double)(count - 1));
    }
}

static double run_pipe(const struct sl_pipe_definition *definition, const struct sl_pipe_pool *pools,
                       uint32_t pool_count, uint32_t count) {
    struct pipe_run run = {.count = count};
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    const struct sl_pipe_sink sink = {NULL, put_result, &run};
    options.pools = pools;
    options.pool_count = pool_count;
    options.sinks = &sink;
    options.sink_count = 1;
    sl_writer_init(&run.writer, NULL);
    bench_check(sl_pipe_create(definition, &pipe, &error), &error, "pipe");
    uint64_t start = bench_now_ns();
    bench_check(sl_pipe_run(pipe, &options, (struct sl_source){next_item, &run}, NULL, &error), &error, "pipe");
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    sl_pipe_destroy(pipe);
    sl_writer_finish(&run.writer);
    check_scores(&run, count);
    return seconds;
}

static void scored(struct bench *bench, const struct sl_pipe_definition *definition, uint32_t count) {
    const struct sl_pipe_pool pool = {"workers", bench->pool};
    bench_figure(bench, (double)count / run_pipe(definition, &pool, 1, count));
}

/* Half of the results go one way. */
static bool is_high(struct sl_value result) {
    return bench_read_score(result) >= ITEMS;
}

static enum sl_code is_high_route(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = is_high(item->value);
    return SL_OK;
}

/* ---- overhead: native, Python, router; each native function looks at one field, and changes nothing ------------------ */

/* Lets all of them pass. */
static enum sl_code filter_stage(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                                 struct sl_error *error) {
    struct sl_value entry;
    double x;
    (void)context;
    (void)error;
    if (sl_value_get(item->value, "x", &entry) != SL_OK || sl_value_float(entry, &x) != SL_OK) {
        bench_die("an item is not a map with an x");
    }
    if (x >= 0) {
        sl_emit(emit, item->value);
    }
    return SL_OK;
}

static const struct sl_pipe_definition filtering = {
    SL_PIPE("filtering"),
    .stages = SL_STAGES(SL_NATIVE("filter", filter_stage), SL_PYTHON("score", "work:score_batch", .batch_size = 64),
                        SL_ROUTER("route", {is_high_route, .to = "high"})),
    .outputs = SL_OUTPUTS("high"),
};

static void open_overhead(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    scored(bench, &filtering, bench_count(bench, ITEMS_WARM));
}

static void round_overhead(struct bench *bench) {
    scored(bench, &filtering, bench_count(bench, ITEMS));
}

/* ---- layer: native stages with some work, beside a bare dispatch around which the host does the same by hand --------- */

/* What the host does with an item before Python gets it: the fields that the function reads are picked out of it. */
static void prepare(struct sl_value item, struct sl_writer *writer) {
    struct sl_value entry;
    uint64_t id;
    double x;
    if (sl_value_get(item, "id", &entry) != SL_OK || sl_value_uint(entry, &id) != SL_OK ||
        sl_value_get(item, "x", &entry) != SL_OK || sl_value_float(entry, &x) != SL_OK) {
        bench_die("an item is not a map with an id and an x");
    }
    sl_write_map(writer, 2);
    sl_write_strn(writer, "id", 2);
    sl_write_uint(writer, id);
    sl_write_strn(writer, "x", 1);
    sl_write_float(writer, x);
}

static enum sl_code prepare_stage(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                                  struct sl_error *error) {
    (void)context;
    (void)error;
    prepare(item->value, sl_emit_begin(emit));
    sl_emit_end(emit);
    return SL_OK;
}

static const struct sl_pipe_definition scoring = {
    SL_PIPE("scoring"),
    .stages = SL_STAGES(SL_NATIVE("prepare", prepare_stage), SL_PYTHON("score", "work:score_batch", .batch_size = 64),
                        SL_ROUTER("route", {is_high_route, .to = "high"})),
    .outputs = SL_OUTPUTS("high"),
};

static void open_layer(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    scored(bench, &scoring, bench_count(bench, ITEMS_WARM));
}

static void round_layer(struct bench *bench) {
    scored(bench, &scoring, bench_count(bench, ITEMS));
}

struct by_hand {
    struct pipe_run run;
    struct sl_writer prepared;
    uint64_t high_count;
};

static enum sl_code next_prepared(void *context, struct sl_item *item, struct sl_error *error) {
    struct by_hand *by_hand = context;
    enum sl_code code = next_item(&by_hand->run, item, error);
    if (code == SL_OK) {
        sl_writer_reset(&by_hand->prepared);
        prepare(item->value, &by_hand->prepared);
        code = sl_writer_end(&by_hand->prepared, &item->value, error);
    }
    return code;
}

static enum sl_code put_routed(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct by_hand *by_hand = context;
    (void)error;
    if (outcome->status != SL_STATUS_OK) {
        bench_die("item %llu failed", (unsigned long long)outcome->id);
    }
    by_hand->high_count += is_high(outcome->value);
    by_hand->run.sum += bench_read_score(outcome->value);
    by_hand->run.result_count++;
    return SL_OK;
}

static void scored_by_hand(struct bench *bench, uint32_t count) {
    struct by_hand by_hand = {.run = {.count = count}};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    const struct sl_sink sink = {put_routed, &by_hand, NULL};
    struct sl_report report = SL_REPORT_INIT; /* a pipe makes one, too */
    options.function = "work:score_batch";
    options.batch_size = 64;
    options.max_delay_ms = 5; /* as a stage has it */
    sl_writer_init(&by_hand.run.writer, NULL);
    sl_writer_init(&by_hand.prepared, NULL);
    uint64_t start = bench_now_ns();
    bench_check(
        sl_dispatch_run(bench->pool, &options, (struct sl_source){next_prepared, &by_hand}, &sink, &report, &error),
        &error, "dispatch");
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    sl_report_finish(&report);
    sl_writer_finish(&by_hand.prepared);
    sl_writer_finish(&by_hand.run.writer);
    check_scores(&by_hand.run, count);
    bench_figure(bench, (double)count / seconds);
}

static void open_by_hand(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    scored_by_hand(bench, bench_count(bench, ITEMS_WARM));
}

static void round_by_hand(struct bench *bench) {
    scored_by_hand(bench, bench_count(bench, ITEMS));
}

/* ---- three Python stages, beside a chain of multiprocessing.Pool.imap ----------------------------------------------- */

static const struct sl_pipe_definition chain = {
    SL_PIPE("chain"),
    .stages = SL_STAGES(SL_PYTHON("prepare", "work:prepare_batch", .batch_size = 64),
                        SL_PYTHON("score", "work:score_batch", .batch_size = 64),
                        SL_PYTHON("decide", "work:decide_batch", .batch_size = 64)),
};

static void open_chain(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    scored(bench, &chain, bench_count(bench, ITEMS_WARM));
}

static void round_chain(struct bench *bench) {
    scored(bench, &chain, bench_count(bench, ITEMS));
}

/* ---- two stages of equal cost on a pool of one worker each ------------------------------------------------------------ */

static struct sl_pool *second_pool;

static const struct sl_pipe_definition burning = {
    SL_PIPE("burning"),
    .stages = SL_STAGES(SL_PYTHON("first", "work:burn_batch", .batch_size = 1, .pool = "first"),
                        SL_PYTHON("second", "work:burn_and_score_batch", .batch_size = 1, .pool = "second")),
};

static struct sl_pool *one_worker(struct bench *bench) {
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool *pool = NULL;
    const char *const path[] = {bench->functions, NULL};
    const char *const preload[] = {"work", NULL};
    options.worker_count = 1;
    options.python = bench->python;
    options.python_path = path;
    options.preload = preload;
    bench_check(sl_pool_create(bench->runtime, &options, &pool, &error), &error, "pool");
    return pool;
}

static void overlapped(struct bench *bench, uint32_t count) {
    const struct sl_pipe_pool pools[] = {{"first", bench->pool}, {"second", second_pool}};
    bench_figure(bench, (double)count / run_pipe(&burning, pools, 2, count));
}

static void open_overlap(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    bench_check(sl_runtime_create(NULL, &bench->runtime, &error), &error, "runtime");
    bench->pool = one_worker(bench);
    second_pool = one_worker(bench);
    overlapped(bench, 2);
}

static void round_overlap(struct bench *bench) {
    overlapped(bench, bench_count(bench, SPIN_ITEMS));
}

static void close_overlap(struct bench *bench) {
    sl_pool_destroy(second_pool);
    bench_pool_destroy(bench);
}

/* The same stages one after the other: the second begins when the first is through with all items. */
struct kept {
    struct sl_value *values;
    uint8_t **bytes;
    uint64_t count;
    struct pipe_run run;
};

static enum sl_code keep(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct kept *kept = context;
    if (outcome->status != SL_STATUS_OK) {
        return sl_error_set(error, SL_E_ITEM, "item %llu failed", (unsigned long long)outcome->id);
    }
    uint8_t *bytes = malloc(outcome->value.size);
    if (bytes == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a result");
    }
    memcpy(bytes, outcome->value.data, outcome->value.size);
    kept->bytes[kept->count] = bytes;
    kept->values[kept->count++] = (struct sl_value){bytes, outcome->value.size};
    return SL_OK;
}

static enum sl_code put_score(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct pipe_run *run = context;
    if (outcome->status != SL_STATUS_OK) {
        return sl_error_set(error, SL_E_ITEM, "item %llu failed", (unsigned long long)outcome->id);
    }
    run->sum += bench_read_score(outcome->value);
    run->result_count++;
    return SL_OK;
}

static void staged(struct bench *bench, uint32_t count) {
    struct kept kept = {.run = {.count = count}};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    kept.values = calloc(count, sizeof *kept.values);
    kept.bytes = calloc(count, sizeof *kept.bytes);
    if (kept.values == NULL || kept.bytes == NULL) {
        bench_die("no memory");
    }
    sl_writer_init(&kept.run.writer, NULL);
    options.batch_size = 1;
    options.function = "work:burn_batch";
    uint64_t start = bench_now_ns();
    const struct sl_sink keeper = {keep, &kept}, scorer = {put_score, &kept.run};
    bench_check(sl_dispatch_run(bench->pool, &options, (struct sl_source){next_item, &kept.run}, &keeper, NULL, &error),
                &error, "first stage");
    struct sl_array_source array = {kept.values, kept.count, 0};
    options.function = "work:burn_and_score_batch";
    bench_check(sl_dispatch_run(second_pool, &options, sl_source_from_array(&array), &scorer, NULL, &error), &error,
                "second stage");
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    check_scores(&kept.run, count);
    for (uint64_t i = 0; i < kept.count; i++) {
        free(kept.bytes[i]);
    }
    free(kept.bytes);
    free(kept.values);
    sl_writer_finish(&kept.run.writer);
    bench_figure(bench, (double)count / seconds);
}

static void round_staged(struct bench *bench) {
    staged(bench, bench_count(bench, SPIN_ITEMS));
}

const struct bench_row bench_pipe_rows[] = {
    {"pipe_overhead", open_overhead, round_overhead, bench_pool_destroy},
    {"pipe_layer", open_layer, round_layer, bench_pool_destroy},
    {"pipe_by_hand", open_by_hand, round_by_hand, bench_pool_destroy},
    {"pipe_chain", open_chain, round_chain, bench_pool_destroy},
    {"pipe_overlap", open_overlap, round_overlap, close_overlap},
    {"pipe_staged", open_overlap, round_staged, close_overlap},
    {NULL, NULL, NULL, NULL},
};
