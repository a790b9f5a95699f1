/* SPDX-License-Identifier: MIT */
/* Many small items: how many a second go through the workers, the sum of their results checked. */
#include "bench.h"

#define ITEMS 200000u
#define ITEMS_WARM 20000u

/* One run: where it is in its input, and the sum of what came back. */
struct map_run {
    struct bench_items items;
    uint64_t result_count;
    double sum;
};

static enum sl_code put_result(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct map_run *run = context;
    if (outcome->status != SL_STATUS_OK) {
        return sl_error_set(error, SL_E_ITEM, "item %llu: %s", (unsigned long long)outcome->id,
                            outcome->error != NULL ? outcome->error->message : sl_status_name(outcome->status));
    }
    run->sum += bench_read_score(outcome->value);
    run->result_count++;
    return SL_OK;
}

static void map_items(struct bench *bench, const struct sl_dispatch_options *options, uint32_t count) {
    struct map_run run = {.items.count = count};
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_init(&run.items.writer, NULL);
    struct sl_source source = {bench_next_item, &run.items};
    struct sl_sink sink = {put_result, &run};
    uint64_t start = bench_now_ns();
    bench_check(sl_dispatch_run(bench->pool, options, source, &sink, NULL, &error), &error, "map");
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    sl_writer_finish(&run.items.writer);
    /* The scores are 0, 2, 4, ...: their sum is exact in a double. */
    if (run.result_count != count || run.sum != (double)count * (double)(count - 1)) {
        bench_die("map: %llu results with the sum %.17g; expected %u with %.17g", (unsigned long long)run.result_count,
                  run.sum, count, (double)count * (double)(count - 1));
    }
    bench_figure(bench, (double)count / seconds);
}

static struct sl_dispatch_options map_options(const char *function, enum sl_call_mode mode, uint32_t batch_size) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = function;
    options.mode = mode;
    options.batch_size = batch_size;
    return options;
}

static void open_maps(struct bench *bench, const struct sl_dispatch_options *options) {
    bench_pool_create(bench, options->function);
    map_items(bench, options, bench_count(bench, ITEMS_WARM));
}

static void open_small(struct bench *bench) {
    struct sl_dispatch_options options = map_options("work:score_batch", SL_CALL_BATCH, 64);
    open_maps(bench, &options);
}

static void round_small(struct bench *bench) {
    struct sl_dispatch_options options = map_options("work:score_batch", SL_CALL_BATCH, 64);
    map_items(bench, &options, bench_count(bench, ITEMS));
}

static void open_each(struct bench *bench) {
    struct sl_dispatch_options options = map_options("work:score", SL_CALL_EACH, 64);
    open_maps(bench, &options);
}

static void round_each(struct bench *bench) {
    struct sl_dispatch_options options = map_options("work:score", SL_CALL_EACH, 64);
    map_items(bench, &options, bench_count(bench, ITEMS));
}

static void open_large(struct bench *bench) {
    struct sl_dispatch_options options = map_options("work:score_batch", SL_CALL_BATCH, 1024);
    open_maps(bench, &options);
}

static void round_large(struct bench *bench) {
    struct sl_dispatch_options options = map_options("work:score_batch", SL_CALL_BATCH, 1024);
    map_items(bench, &options, bench_count(bench, ITEMS));
}

const struct bench_row bench_map_rows[] = {
    {"map_small", open_small, round_small, bench_pool_destroy},
    {"map_small_each", open_each, round_each, bench_pool_destroy},
    {"map_large_batch", open_large, round_large, bench_pool_destroy},
    {NULL, NULL, NULL, NULL},
};
