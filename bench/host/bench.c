/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void bench_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "slither-bench: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

void bench_check(enum sl_code code, const struct sl_error *error, const char *what) {
    if (code == SL_OK) {
        return;
    }
    bench_die("%s: %s: %s%s%s", what, sl_code_name(code), error->message, error->traceback != NULL ? "\n" : "",
              error->traceback != NULL ? error->traceback : "");
}

static void log_line(void *context, const struct sl_log_record *record) {
    (void)context;
    fprintf(stderr, "%s\n", record->text);
}

void bench_pool_create(struct bench *bench, const char *preload) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    runtime_options.log = log_line;
    runtime_options.log_level = SL_LOG_WARN;
    bench_check(sl_runtime_create(&runtime_options, &bench->runtime, &error), &error, "runtime");

    const char *preloads[] = {preload, NULL};
    const char *paths[] = {bench->functions, NULL};
    struct sl_pool_options pool_options = SL_POOL_OPTIONS_INIT;
    pool_options.name = "bench";
    pool_options.worker_count = BENCH_WORKERS;
    pool_options.python = bench->python;
    pool_options.preload = preloads;
    pool_options.python_path = paths;
    bench_check(sl_pool_create(bench->runtime, &pool_options, &bench->pool, &error), &error, "pool");
}

void bench_pool_destroy(struct bench *bench) {
    sl_pool_destroy(bench->pool);
    sl_runtime_destroy(bench->runtime);
    bench->pool = NULL;
    bench->runtime = NULL;
}

void bench_figure(struct bench *bench, double figure) {
    if (bench->figure_count == BENCH_FIGURES_MAX) {
        bench_die("a round has at most %d figures", BENCH_FIGURES_MAX);
    }
    bench->figures[bench->figure_count++] = figure;
}

uint32_t bench_count(const struct bench *bench, uint32_t count) {
    uint32_t fewer = count / bench->divisor;
    return fewer > 0 ? fewer : 1;
}

uint64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int compare_samples(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

double bench_median(uint64_t *samples, uint32_t count) {
    qsort(samples, count, sizeof samples[0], compare_samples);
    uint32_t middle = count / 2;
    if (count % 2 == 1) {
        return (double)samples[middle];
    }
    return ((double)samples[middle - 1] + (double)samples[middle]) / 2;
}

/* Formatting with printf would cost more than all the rest of an item. */
size_t bench_write_name(char name[32], uint64_t index) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + index % 10);
        index /= 10;
    } while (index > 0);
    size_t size = 0;
    for (const char *prefix = "item-"; *prefix != '\0'; prefix++) {
        name[size++] = *prefix;
    }
    while (count > 0) {
        name[size++] = digits[--count];
    }
    return size;
}

struct sl_value bench_write_item(struct sl_writer *writer, uint64_t index) {
    char name[32];
    sl_writer_reset(writer);
    sl_write_map(writer, 4);
    sl_write_strn(writer, "id", 2);
    sl_write_uint(writer, index);
    sl_write_strn(writer, "name", 4);
    sl_write_strn(writer, name, bench_write_name(name, index));
    sl_write_strn(writer, "x", 1);
    sl_write_float(writer, (double)index * 0.5);
    sl_write_strn(writer, "flag", 4);
    sl_write_bool(writer, index % 2 == 1);
    struct sl_value value;
    if (sl_writer_end(writer, &value, NULL) != SL_OK) {
        bench_die("item %llu cannot be written", (unsigned long long)index);
    }
    return value;
}

double bench_read_score(struct sl_value result) {
    struct sl_value entry;
    double score;
    if (sl_value_get(result, "score", &entry) != SL_OK || sl_value_float(entry, &score) != SL_OK) {
        bench_die("a result is not a map with a score");
    }
    return score;
}

enum sl_code bench_next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct bench_items *items = context;
    (void)error;
    if (items->next == items->count) {
        return SL_E_END;
    }
    item->id = items->next;
    item->value = bench_write_item(&items->writer, items->next);
    items->next++;
    return SL_OK;
}

void bench_calls(struct bench *bench, uint32_t count,
                 void (*call)(struct bench *bench, struct sl_writer *writer, uint64_t number)) {
    uint64_t *samples = malloc(count * sizeof samples[0]);
    if (samples == NULL) {
        bench_die("no memory for %u samples", count);
    }
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = bench_now_ns();
        call(bench, &writer, i);
        samples[i] = bench_now_ns() - start;
    }
    sl_writer_finish(&writer);
    bench_figure(bench, bench_median(samples, count) / 1e3);
    free(samples);
}
