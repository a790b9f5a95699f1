/* SPDX-License-Identifier: MIT */
/* What sessions cost: opening and closing one, and a call of one beside many others that are open, or none. */
#include "bench.h"

#include <stdlib.h>

#define CALLS 2000u
#define CALLS_WARM 500u
#define PAIRS 100000u
#define MANY 100000u /* all that a pool allows by default */
#define SOME 1000u

static struct sl_session *called, **others;
static uint32_t other_count;

static struct sl_session *open_one(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_session *session = NULL;
    bench_check(sl_session_open(bench->pool, NULL, &session, &error), &error, "session");
    return session;
}

static void open_others(struct bench *bench, uint32_t count) {
    other_count = bench_count(bench, count) - 1;
    others = calloc(other_count + 1, sizeof(struct sl_session *));
    if (others == NULL) {
        bench_die("no memory for %u sessions", count);
    }
    for (uint32_t i = 0; i < other_count; i++) {
        others[i] = open_one(bench);
    }
}

static void close_all(struct bench *bench) {
    for (uint32_t i = 0; i < other_count; i++) {
        sl_session_close(others[i]);
    }
    free(others);
    sl_session_close(called); /* NULL where none is called */
    bench_pool_destroy(bench);
}

/* ---- open and close ------------------------------------------------------------------------------------------------ */

static void open_pairs(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    open_others(bench, 1);
}

static void open_pairs_beside(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
    open_others(bench, MANY);
}

static void round_pairs(struct bench *bench) {
    uint32_t count = bench_count(bench, PAIRS);
    uint64_t start = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        sl_session_close(open_one(bench));
    }
    bench_figure(bench, (double)(bench_now_ns() - start) / 1e3 / (double)count);
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

static void call_once(struct bench *bench, struct sl_writer *writer, uint64_t index) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "stateful:count_batch";
    options.session = called;
    struct sl_item item = {.id = index, .value = bench_write_item(writer, index)};
    struct sl_results results = {0};
    bench_check(sl_call_batch(bench->pool, &options, &item, 1, &results, &error), &error, "call");
    if (results.count != 1 || bench_read_score(results.values[0]) < 1) {
        bench_die("call: wrong result");
    }
    sl_results_finish(&results);
}

static void open_calls(struct bench *bench, uint32_t count) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    bench_pool_create(bench, "stateful:count_batch");
    called = open_one(bench);
    open_others(bench, count);
    count = bench_count(bench, CALLS_WARM);
    for (uint32_t i = 0; i < count; i++) {
        call_once(bench, &writer, i);
    }
    sl_writer_finish(&writer);
}

static void open_alone(struct bench *bench) {
    open_calls(bench, 1);
}

static void open_among_some(struct bench *bench) {
    open_calls(bench, SOME);
}

static void open_among_many(struct bench *bench) {
    open_calls(bench, MANY);
}

static void round_calls(struct bench *bench) {
    bench_calls(bench, bench_count(bench, CALLS), call_once);
}

const struct bench_row bench_session_rows[] = {
    {"session_open_close", open_pairs_beside, round_pairs, close_all},
    {"session_open_close_1", open_pairs, round_pairs, close_all},
    {"session_table", open_among_many, round_calls, close_all},
    {"session_table_1k", open_among_some, round_calls, close_all},
    {"session_table_1", open_alone, round_calls, close_all},
    {NULL, NULL, NULL, NULL},
};
