/* SPDX-License-Identifier: MIT */
/* A method of an object that stays in Python, and the items of a generator, one by one. */
#include "bench.h"

#define CALLS 2000u
#define CALLS_WARM 200u
#define ITEMS 200000u
#define ITEMS_WARM 5000u

static const struct sl_value none;
static struct sl_object *scores;

/* ---- a method ------------------------------------------------------------------------------------------------------------ */

static void call_method(struct sl_writer *writer, uint64_t index) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_value kwargs;
    sl_writer_reset(writer);
    sl_write_map(writer, 1);
    sl_write_strn(writer, "id", 2);
    sl_write_uint(writer, index);
    bench_check(sl_writer_end(writer, &kwargs, &error), &error, "arguments");
    bench_check(sl_object_call(scores, NULL, "score", none, kwargs, &result, &error), &error, "method");
    if (bench_read_score(result.value) != (double)index * 2) {
        bench_die("method: wrong result");
    }
    sl_result_finish(&result);
}

static double call_methods(struct bench *bench, uint32_t count) {
    uint64_t samples[CALLS];
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = bench_now_ns();
        call_method(&writer, i);
        samples[i] = bench_now_ns() - start;
    }
    (void)bench;
    sl_writer_finish(&writer);
    return bench_median(samples, count) / 1e3;
}

static void open_methods(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result = SL_RESULT_INIT;
    bench_pool_create(bench, "objects");
    bench_check(sl_call(bench->pool, NULL, "objects:Scores", none, none, &result, &error), &error, "object");
    bench_check(sl_object_take(&result, result.value, &scores, &error), &error, "object");
    sl_result_finish(&result);
    (void)call_methods(bench, bench_count(bench, CALLS_WARM));
}

static void round_methods(struct bench *bench) {
    bench_figure(bench, call_methods(bench, bench_count(bench, CALLS)));
}

static void close_methods(struct bench *bench) {
    sl_object_unref(scores);
    bench_pool_destroy(bench);
}

/* ---- a generator ------------------------------------------------------------------------------------------------------------ */

/* Items a second of a generator that makes `count` of the small item. */
static double consume(struct bench *bench, uint32_t count) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_iteration *iteration = NULL;
    struct sl_writer writer;
    struct sl_value args, item, id;
    uint64_t index = 0, number = 0;
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, 1);
    sl_write_uint(&writer, count);
    bench_check(sl_writer_end(&writer, &args, &error), &error, "arguments");
    uint64_t start = bench_now_ns();
    bench_check(sl_call_iterate(bench->pool, NULL, "objects:items", args, none, &iteration, &error), &error, "iterate");
    enum sl_code code;
    while ((code = sl_iteration_next(iteration, &item, &error)) == SL_OK) {
        if (sl_value_get(item, "id", &id) != SL_OK || sl_value_uint(id, &number) != SL_OK || number != index++) {
            bench_die("iteration: wrong item");
        }
    }
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    bench_check(code == SL_E_END ? SL_OK : code, &error, "iteration");
    if (index != count) {
        bench_die("iteration: %llu items instead of %u", (unsigned long long)index, count);
    }
    sl_iteration_close(iteration);
    sl_error_finish(&error);
    sl_writer_finish(&writer);
    return count / seconds;
}

static void open_items(struct bench *bench) {
    bench_pool_create(bench, "objects");
    (void)consume(bench, bench_count(bench, ITEMS_WARM));
}

static void round_items(struct bench *bench) {
    bench_figure(bench, consume(bench, bench_count(bench, ITEMS)));
}

const struct bench_row bench_object_rows[] = {
    {"ref_method_call", open_methods, round_methods, close_methods},
    {"stream_items", open_items, round_items, bench_pool_destroy},
    {NULL, NULL, NULL, NULL},
};
