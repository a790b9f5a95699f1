/* SPDX-License-Identifier: MIT */
/* One small item, one call, one answer. */
#include "bench.h"

#define CALLS 2000u
#define CALLS_WARM 200u

/* The item is written anew for each call, as the peers pickle theirs anew. */
static void call_once(struct bench *bench, struct sl_writer *writer, uint64_t index) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "work:score_batch";
    struct sl_item item = {.id = index, .value = bench_write_item(writer, index)};
    struct sl_results results = {0};
    bench_check(sl_call_batch(bench->pool, &options, &item, 1, &results, &error), &error, "call");
    if (results.count != 1 || bench_read_score(results.values[0]) != (double)index * 2) {
        bench_die("call: wrong result");
    }
    sl_results_finish(&results);
}

static void open_calls(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    uint32_t count = bench_count(bench, CALLS_WARM);
    for (uint32_t i = 0; i < count; i++) {
        call_once(bench, &writer, i);
    }
    sl_writer_finish(&writer);
}

/* From the start of the process to the first result: what the runner measures is when `open` has ended. */
static void open_start(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    call_once(bench, &writer, 1);
    sl_writer_finish(&writer);
}

static void round_calls(struct bench *bench) {
    bench_calls(bench, bench_count(bench, CALLS), call_once);
}

const struct bench_row bench_call_rows[] = {
    {"call_rtt", open_calls, round_calls, bench_pool_destroy},
    {"pool_start", open_start, round_calls, bench_pool_destroy},
    {NULL, NULL, NULL, NULL},
};
