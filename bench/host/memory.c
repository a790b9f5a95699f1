/* SPDX-License-Identifier: MIT */
/* Peak memory of a run over many items. A round needs a process of its own, because a peak never goes down. */
#include "bench.h"

#include <stdio.h>

/* Items go by in one run; the peak is read when `early` of them are out, and at the end. */
struct stream_run {
    struct bench_items items;
    uint64_t early;
    uint64_t result_count;
    double sum;
    int64_t pid; /* whose memory */
    double early_mib;
};

/* Peak resident memory of a process, MiB. */
static double peak_mib(int64_t pid) {
    char path[64];
    if (pid == 0) {
        snprintf(path, sizeof path, "/proc/self/status");
    } else {
        snprintf(path, sizeof path, "/proc/%lld/status", (long long)pid);
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        bench_die("%s cannot be read", path);
    }
    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmHWM: %llu kB", &kib) != 1) {
    }
    fclose(file);
    if (kib == 0) {
        bench_die("%s has no VmHWM", path);
    }
    return (double)kib / 1024;
}

static enum sl_code put_result(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct stream_run *run = context;
    if (outcome->status != SL_STATUS_OK) {
        return sl_error_set(error, SL_E_ITEM, "item %llu is %s", (unsigned long long)outcome->id,
                            sl_status_name(outcome->status));
    }
    run->sum += bench_read_score(outcome->value);
    run->result_count++;
    if (run->result_count == run->early) {
        run->early_mib = peak_mib(run->pid);
    }
    return SL_OK;
}

/* Figures: the peak at the end, and the peak when `early` items were out. */
static void stream_items(struct bench *bench, uint64_t early, uint64_t count, int64_t pid) {
    struct stream_run run = {.early = early, .items.count = count, .pid = pid};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "work:score_batch";
    sl_writer_init(&run.items.writer, NULL);
    struct sl_source source = {bench_next_item, &run.items};
    struct sl_sink sink = {put_result, &run};
    bench_check(sl_dispatch_run(bench->pool, &options, source, &sink, NULL, &error), &error, "stream");
    sl_writer_finish(&run.items.writer);
    if (run.result_count != count || run.sum != (double)count * (double)(count - 1)) {
        bench_die("stream: %llu results of %llu, or their sum is wrong", (unsigned long long)run.result_count,
                  (unsigned long long)count);
    }
    bench_figure(bench, peak_mib(pid));
    bench_figure(bench, run.early_mib);
}

static void open_stream(struct bench *bench) {
    bench_pool_create(bench, "work:score_batch");
}

static void round_host(struct bench *bench) {
    stream_items(bench, bench_count(bench, 1000000), bench_count(bench, 10000000), 0);
}

static void round_worker(struct bench *bench) {
    stream_items(bench, bench_count(bench, 200000), bench_count(bench, 2000000), sl_pool_worker_pid(bench->pool, 0));
}

static void round_peak(struct bench *bench) {
    stream_items(bench, 1, bench_count(bench, 300000), 0);
}

const struct bench_row bench_memory_rows[] = {
    {"stream_rss", open_stream, round_host, bench_pool_destroy},
    {"stream_rss_worker", open_stream, round_worker, bench_pool_destroy},
    {"stream_peak", open_stream, round_peak, bench_pool_destroy},
    {NULL, NULL, NULL, NULL},
};
