/* SPDX-License-Identifier: MIT */
/* A function of the host, called from Python in a worker while it runs a batch. The worker measures, as the peer's client does. */
#include "bench.h"

#define CALLS 5000u
#define CALLS_WARM 500u

static enum sl_code score(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    struct sl_value id;
    int64_t number;
    (void)context;
    if (sl_value_get(call->keywords, "id", &id) != SL_OK || sl_value_int(id, &number) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "view score needs an int `id`");
    }
    sl_write_map(result, 2);
    sl_write_strn(result, "id", 2);
    sl_write_int(result, number);
    sl_write_strn(result, "score", 5);
    sl_write_float(result, (double)number * 2);
    return SL_OK;
}

/* The median of `count` calls, microseconds, as views:measure has found it. */
static double measure(struct bench *bench, uint32_t count) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_writer writer;
    struct sl_item item = {0};
    double median = 0;
    options.function = "views:measure";
    sl_writer_init(&writer, NULL);
    sl_write_uint(&writer, count);
    bench_check(sl_writer_end(&writer, &item.value, &error), &error, "item");
    bench_check(sl_call_batch(bench->pool, &options, &item, 1, &results, &error), &error, "views");
    bench_check(sl_value_float(results.values[0], &median), NULL, "result");
    sl_results_finish(&results);
    sl_writer_finish(&writer);
    return median;
}

static void open_views(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    bench_pool_create(bench, "views:measure");
    options.name = "score";
    options.call = score;
    bench_check(sl_view_register(bench->runtime, &options, NULL, &error), &error, "view");
    (void)measure(bench, bench_count(bench, CALLS_WARM));
}

static void round_views(struct bench *bench) {
    bench_figure(bench, measure(bench, bench_count(bench, CALLS)));
}

const struct bench_row bench_view_rows[] = {
    {"view_call", open_views, round_views, bench_pool_destroy},
    {NULL, NULL, NULL, NULL},
};
