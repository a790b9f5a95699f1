/* SPDX-License-Identifier: MIT */
/* Starts, restarts and memory of workers that import something large (bench/python/learn.py). */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define START_WORKERS 8
#define RECOVERIES 15
#define SETTLE_US 200000

static void open_pool(struct bench *bench, uint32_t worker_count, const char *preload, enum sl_template template_use) {
    struct sl_error error = SL_ERROR_INIT;
    bench_check(sl_runtime_create(NULL, &bench->runtime, &error), &error, "runtime");
    const char *preloads[] = {preload, NULL};
    const char *paths[] = {bench->functions, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.name = "bench";
    options.worker_count = worker_count;
    options.python = bench->python;
    options.preload = preloads;
    options.python_path = paths;
    options.restart_max = 100000;
    options.template_use = template_use;
    bench_check(sl_pool_create(bench->runtime, &options, &bench->pool, &error), &error, "pool");
}

/* One call of one item on any worker. `deadly`: its worker is to die of it. */
static void call_once(struct bench *bench, const char *function, bool deadly) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_writer writer;
    struct sl_results results = {0};
    options.function = function;
    sl_writer_init(&writer, NULL);
    struct sl_item item = {.id = 21, .value = bench_write_item(&writer, 21)};
    enum sl_code code = sl_call_batch(bench->pool, &options, &item, 1, &results, &error);
    if (deadly) {
        if (code != SL_E_WORKER_CRASHED) {
            bench_die("a call that was to kill its worker ended with %s", sl_code_name(code));
        }
    } else {
        bench_check(code, &error, "call");
        if (results.count != 1 || bench_read_score(results.values[0]) != 42) {
            bench_die("call: wrong result");
        }
    }
    sl_error_finish(&error);
    sl_results_finish(&results);
    sl_writer_finish(&writer);
}

/* ---- crash_recovery: from the death of the only worker to the next good result ---------------------------------- */

static void open_recovery(struct bench *bench) {
    open_pool(bench, 1, "learn", SL_TEMPLATE_AUTO);
    call_once(bench, "learn:score_batch", false);
}

static void round_recovery(struct bench *bench) {
    uint64_t samples[RECOVERIES];
    uint32_t count = bench_count(bench, RECOVERIES);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start_ns = bench_now_ns();
        call_once(bench, "learn:die_batch", true);
        call_once(bench, "learn:score_batch", false);
        samples[i] = bench_now_ns() - start_ns;
    }
    bench_figure(bench, bench_median(samples, count) / 1e6);
}

/* ---- pool_start_8_sklearn: until eight workers are ready ---------------------------------------------------------- */

static void open_start(struct bench *bench) {
    open_pool(bench, START_WORKERS, "learn", SL_TEMPLATE_AUTO);
    call_once(bench, "learn:score_batch", false);
}

static void open_start_one(struct bench *bench) {
    open_pool(bench, 1, "learn", SL_TEMPLATE_OFF);
    call_once(bench, "learn:score_batch", false);
}

static void round_nothing(struct bench *bench) {
    bench_figure(bench, 0);
}

/* ---- idle_worker_pss_mb: memory of an idle worker, its share of what is shared counted ---------------------------- */

static double pss_mib(int64_t pid) {
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%lld/smaps_rollup", (long long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        bench_die("%s cannot be read", path);
    }
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "Pss: %llu kB", &kib) != 1) {
    }
    fclose(file);
    return (double)kib / 1024;
}

static void open_memory(struct bench *bench) {
    open_pool(bench, START_WORKERS, "learn", SL_TEMPLATE_AUTO);
}

static void open_memory_off(struct bench *bench) {
    open_pool(bench, START_WORKERS, "learn", SL_TEMPLATE_OFF);
}

static void round_memory(struct bench *bench) {
    usleep(SETTLE_US);
    double sum = 0;
    for (uint32_t worker = 0; worker < START_WORKERS; worker++) {
        sum += pss_mib(sl_pool_worker_pid(bench->pool, worker));
    }
    bench_figure(bench, sum / START_WORKERS);
}

const struct bench_row bench_life_rows[] = {
    {"crash_recovery", open_recovery, round_recovery, bench_pool_destroy},
    {"pool_start_8_sklearn", open_start, round_nothing, bench_pool_destroy},
    {"pool_start_1_sklearn", open_start_one, round_nothing, bench_pool_destroy},
    {"idle_worker_pss_mb", open_memory, round_memory, bench_pool_destroy},
    {"idle_worker_pss_mb_off", open_memory_off, round_memory, bench_pool_destroy},
    {NULL, NULL, NULL, NULL},
};
