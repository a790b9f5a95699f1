/* SPDX-License-Identifier: MIT */
/*
 * Mean and variance of datasets, some of which are poison: nil, NaN, empty, of the wrong type, and one kind that makes the worker
 * segfault. Four ways to make batches, each with two error policies.
 *
 * What it proves: what a poison item costs under skip and under isolate; that a crash costs nobody else anything; that what each worker has
 * accumulated is what a recomputation from the raw data gives; and that the workers' accumulators, merged, are those of the whole.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "example.h"

#define PIDS_MAX 4096 /* lives of workers in one run */

/* ---- accumulators -------------------------------------------------------------------------------------------------- */

struct moments {
    uint64_t count;
    double mean;
    double m2; /* sum of squared distances from the mean */
};

/*
 * T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
 */
static struct moments merged(struct moments a, struct moments b) {
    if (a.count == 0 || b.count == 0) {
        return a.count == 0 ? b : a;
    }
    uint64_t count = a.count + b.count;
    double distance = b.mean - a.mean;
    return (struct moments){
        count,
        a.mean + distance * (double)b.count / (double)count,
        a.m2 + b.m2 + distance * distance * (double)a.count * (double)b.count / (double)count,
    };
}

static bool nearly(double a, double b) {
    return fabs(a - b) <= 1e-9 * fmax(1.0, fmax(fabs(a), fabs(b)));
}

static bool same(struct moments a, struct moments b) {
    return a.count == b.count && nearly(a.mean, b.mean) && nearly(a.m2, b.m2);
}

static struct moments read_moments(struct sl_value map) {
    return (struct moments){(uint64_t)example_int(map, "count"), example_float(map, "mean"), example_float(map, "m2")};
}

/* ---- datasets ------------------------------------------------------------------------------------------------------- */

struct dataset {
    struct sl_value item; /* what Python gets; owned */
    double *values;       /* NULL: poison */
    uint32_t count;
    int64_t group;
    bool crashes;
};

struct datasets {
    struct dataset *list;
    uint32_t count;
    uint32_t poison_count;
    uint32_t crash_count;
};

/* JSON has no NaN, and a file can hold nothing that crashes: poison is named there, and made here. */
static void write_poison(struct sl_writer *writer, int64_t id, const char *kind, size_t size) {
    if (size == 3 && memcmp(kind, "nil", 3) == 0) {
        sl_write_nil(writer);
        return;
    }
    sl_write_map(writer, 2);
    sl_write_str(writer, "id");
    sl_write_int(writer, id);
    sl_write_str(writer, "values");
    if (size == 3 && memcmp(kind, "nan", 3) == 0) {
        sl_write_list(writer, 2);
        sl_write_float(writer, 1.0);
        sl_write_float(writer, NAN);
    } else if (size == 5 && memcmp(kind, "empty", 5) == 0) {
        sl_write_list(writer, 0);
    } else if (size == 10 && memcmp(kind, "wrong_type", 10) == 0) {
        sl_write_list(writer, 1);
        sl_write_str(writer, "twelve");
    } else {
        sl_write_strn(writer, kind, size);
    }
}

static struct sl_value copy_of(struct sl_writer *writer) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    example_must(sl_writer_end(writer, &value, &error), &error, "a dataset");
    uint8_t *bytes = malloc(value.size);
    if (bytes == NULL) {
        example_must(SL_E_OUT_OF_MEMORY, &error, "a dataset");
    }
    memcpy(bytes, value.data, value.size);
    return (struct sl_value){bytes, value.size};
}

static void read_dataset(struct dataset *dataset, struct sl_value line, struct datasets *all) {
    struct sl_value values, poison, number;
    struct sl_iter iter;
    struct sl_writer writer;
    struct sl_error error = SL_ERROR_INIT;
    int64_t id = example_int(line, "id");
    sl_writer_init(&writer, NULL);
    *dataset = (struct dataset){.group = example_int(line, "group")};
    if (sl_value_get(line, "poison", &poison) == SL_OK) {
        size_t size;
        const char *kind = example_text(line, "poison", &size);
        dataset->crashes = size == 8 && memcmp(kind, "segfault", 8) == 0;
        all->poison_count++;
        all->crash_count += dataset->crashes;
        write_poison(&writer, id, kind, size);
    } else {
        values = example_member(line, "values");
        example_must(sl_value_count(values, &dataset->count), &error, "values");
        example_must(sl_iter_init(&iter, values), &error, "values");
        dataset->values = calloc(dataset->count + 1, sizeof *dataset->values);
        if (dataset->values == NULL) {
            example_must(SL_E_OUT_OF_MEMORY, &error, "values");
        }
        for (uint32_t i = 0; sl_iter_next(&iter, NULL, &number); i++) {
            example_must(sl_value_float(number, &dataset->values[i]), &error, "values");
        }
        sl_write_map(&writer, 2);
        sl_write_str(&writer, "id");
        sl_write_int(&writer, id);
        sl_write_str(&writer, "values");
        sl_write_value(&writer, values);
    }
    dataset->item = copy_of(&writer);
    sl_writer_finish(&writer);
}

static struct datasets read_datasets(const struct example *example) {
    struct datasets all = {0};
    struct example_lines lines;
    struct sl_item item = {0};
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    example_lines_open(&lines, example, "datasets.ndjson");
    struct sl_source source = example_lines_source(&lines);
    while ((code = source.next(source.context, &item, &error)) == SL_OK) {
        struct dataset *grown = realloc(all.list, (all.count + 1) * sizeof *all.list);
        if (grown == NULL) {
            example_must(SL_E_OUT_OF_MEMORY, &error, "the datasets");
        }
        all.list = grown;
        read_dataset(&all.list[all.count++], item.value, &all);
    }
    if (code != SL_E_END) {
        example_must(code, &error, "the datasets");
    }
    example_lines_close(&lines);
    return all;
}

static void free_datasets(struct datasets *all) {
    for (uint32_t i = 0; i < all->count; i++) {
        free((void *)all->list[i].item.data);
        free(all->list[i].values);
    }
    free(all->list);
}

/* ---- strategies ------------------------------------------------------------------------------------------------------ */

static const struct dataset *dataset_of(const struct datasets *all, const struct sl_item *item) {
    return &all->list[item->id];
}

static enum sl_code weight_of(void *context, const struct sl_item *item, uint64_t *weight, struct sl_error *error) {
    (void)error;
    *weight = dataset_of(context, item)->count;
    return SL_OK;
}

static enum sl_code group_of(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    static _Thread_local struct sl_key memory;
    (void)error;
    *key = sl_key_int(&memory, dataset_of(context, item)->group);
    return SL_OK;
}

/* ---- one run --------------------------------------------------------------------------------------------------------- */

struct run {
    const char *name;
    const struct datasets *all;
    struct sl_report report;
    uint32_t ok, failed, lost; /* lost: good datasets without a result */
    uint32_t pid_count;
    int64_t pids[PIDS_MAX];
    struct moments said[PIDS_MAX];       /* what the worker has accumulated, by its last result */
    struct moments recomputed[PIDS_MAX]; /* from the raw values of the datasets that it has described */
    struct moments whole;                /* of all datasets with a result, in the order of the input */
    bool results_right;
};

/* Two passes over the values: another way than Welford's, so that the two can be compared. */
static struct moments two_passes(const struct dataset *dataset) {
    struct moments moments = {dataset->count, 0.0, 0.0};
    for (uint32_t i = 0; i < dataset->count; i++) {
        moments.mean += dataset->values[i] / (double)dataset->count;
    }
    for (uint32_t i = 0; i < dataset->count; i++) {
        moments.m2 += (dataset->values[i] - moments.mean) * (dataset->values[i] - moments.mean);
    }
    return moments;
}

static enum sl_code take_outcome(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct run *run = context;
    const struct dataset *dataset = &run->all->list[outcome->id];
    if (outcome->status != SL_STATUS_OK) {
        run->failed++;
        run->lost += dataset->values != NULL;
        return SL_OK;
    }
    run->ok++;
    int64_t pid = example_int(outcome->value, "pid");
    uint32_t i = 0;
    while (i < run->pid_count && run->pids[i] != pid) {
        i++;
    }
    if (i == PIDS_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "more than %d lives of workers", PIDS_MAX);
    }
    run->pid_count += i == run->pid_count;
    run->pids[i] = pid;
    struct moments said = read_moments(example_member(outcome->value, "worker"));
    if (said.count > run->said[i].count) {
        run->said[i] = said;
    }
    struct moments raw = two_passes(dataset);
    run->results_right = run->results_right && same(read_moments(outcome->value), raw);
    run->recomputed[i] = merged(run->recomputed[i], raw);
    run->whole = merged(run->whole, raw);
    return SL_OK;
}

struct source_of_datasets {
    const struct datasets *all;
    uint32_t position;
};

static enum sl_code next_dataset(void *context, struct sl_item *item, struct sl_error *error) {
    struct source_of_datasets *source = context;
    (void)error;
    if (source->position == source->all->count) {
        return SL_E_END;
    }
    item->id = source->position;
    item->value = source->all->list[source->position++].item;
    return SL_OK;
}

static struct run *run_strategy(struct example *example, struct sl_pool *pool, const struct datasets *all,
                                const char *name, enum sl_on_error policy) {
    struct run *run = calloc(1, sizeof *run);
    struct sl_error error = SL_ERROR_INIT;
    if (run == NULL) {
        example_must(SL_E_OUT_OF_MEMORY, &error, name);
    }
    run->name = name;
    run->all = all;
    run->report = (struct sl_report)SL_REPORT_INIT;
    run->results_right = true;
    struct sl_strategy_functions functions = {weight_of, NULL, (void *)all};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "batch_stats:describe";
    options.batch_size = 10;
    options.policy.on_error = policy;
    if (strcmp(name, "weighted") == 0) {
        options.batch_size = 65536;
        options.max_weight = 500;
        options.strategy = sl_strategy_weighted(&functions);
    } else if (strcmp(name, "key partition") == 0) {
        functions = (struct sl_strategy_functions){NULL, group_of, (void *)all};
        options.strategy = sl_strategy_key(&functions);
    }
    struct sl_source source = {next_dataset, &(struct source_of_datasets){all, 0}};
    if (strcmp(name, "streaming") == 0) {
        struct sl_stream *stream;
        struct sl_outcome outcome;
        enum sl_code code;
        example_must(sl_stream_open(pool, &options, source, &stream, &error), &error, name);
        while ((code = sl_stream_next(stream, &outcome, &error)) == SL_OK) {
            example_must(take_outcome(run, &outcome, &error), &error, name);
        }
        if (code != SL_E_END) {
            example_must(code, &error, name);
        }
        const struct sl_report *report = sl_stream_report(stream);
        run->report.input = report->input;
        run->report.batch_failed_count = report->batch_failed_count;
        run->report.batch_count = report->batch_count;
        run->report.worker_death_count = report->worker_death_count;
        sl_stream_close(stream);
    } else {
        example_must(
            sl_dispatch_run(pool, &options, source, &(struct sl_sink){take_outcome, run, NULL}, &run->report, &error),
            &error, name);
    }
    example_say(example, "  %-14s %-8s %6llu %7llu %6llu %5u %7u %6u %6u", name,
                policy == SL_ON_ERROR_SKIP ? "skip" : "isolate", (unsigned long long)run->report.batch_count,
                (unsigned long long)run->report.batch_failed_count, (unsigned long long)run->report.worker_death_count,
                run->ok, run->failed, run->lost, run->pid_count);
    return run;
}

static void prove_run(struct example *example, const struct run *run, const char *policy) {
    struct moments whole = {0};
    bool workers_right = run->pid_count > 0;
    for (uint32_t i = 0; i < run->pid_count; i++) {
        workers_right = workers_right && same(run->said[i], run->recomputed[i]);
        whole = merged(whole, run->said[i]);
    }
    example_prove(example,
                  run->results_right && workers_right && same(whole, run->whole) &&
                      run->ok + run->failed == run->all->count,
                  "%s, %s: every dataset is accounted for; the accumulators of %u workers equal a recomputation, "
                  "merged the whole",
                  run->name, policy, run->pid_count);
}

/* Whether the pool still runs a good dataset. */
static bool answers(struct sl_pool *pool, const struct datasets *all) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_item item = {0};
    options.function = "batch_stats:describe";
    for (uint32_t i = 0; i < all->count && item.value.data == NULL; i++) {
        if (all->list[i].values != NULL) {
            item.value = all->list[i].item;
        }
    }
    bool answered = sl_call_batch(pool, &options, &item, 1, &results, &error) == SL_OK;
    sl_results_finish(&results);
    sl_error_finish(&error);
    return answered;
}

int main(int argc, char **argv) {
    static const char *const strategies[] = {"fixed", "weighted", "key partition", "streaming"};
    struct example example;
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    uint32_t lost_with_skip = 0, lost_with_isolate = 0, isolated_failures = 0;
    example_begin(&example, "batch_stats", argc, argv);
    struct datasets all = read_datasets(&example);
    struct sl_runtime *runtime = example_runtime(&example);
    example_work_begin(&example);
    struct sl_pool *pool = example_pool(&example, runtime, (const char *const[]){"batch_stats", NULL});
    example_say(&example, "%u datasets, %u of them poison, %u of which segfault", all.count, all.poison_count,
                all.crash_count);
    example_say(&example, "  strategy       policy   batches failed deaths    ok  failed   lost workers");
    bool deaths_told = true;
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        struct run *skip = run_strategy(&example, pool, &all, strategies[i], SL_ON_ERROR_SKIP);
        struct run *isolate = run_strategy(&example, pool, &all, strategies[i], SL_ON_ERROR_ISOLATE);
        prove_run(&example, skip, "skip");
        prove_run(&example, isolate, "isolate");
        lost_with_skip += skip->lost;
        lost_with_isolate += isolate->lost;
        isolated_failures += isolate->failed;
        deaths_told =
            deaths_told && isolate->report.worker_death_count >= all.crash_count && skip->report.worker_death_count > 0;
        sl_report_finish(&skip->report);
        sl_report_finish(&isolate->report);
        free(skip);
        free(isolate);
    }
    example_work_end(&example);
    bool still_there = answers(pool, &all);
    sl_pool_stats(pool, &stats);
    example_prove(&example, lost_with_isolate == 0 && isolated_failures == 4 * all.poison_count,
                  "isolate lost no good dataset: only the %u that are poison failed, in each of 4 runs",
                  all.poison_count);
    example_prove(&example, lost_with_skip > 0,
                  "skip lost %u good datasets in 4 runs: those that shared a batch with poison", lost_with_skip);
    example_prove(&example, deaths_told && still_there && stats.death_count >= 4 * (uint64_t)all.crash_count,
                  "%llu workers died of SIGSEGV; no run ended because of that, and the pool answers as before",
                  (unsigned long long)stats.death_count);
    example_figure(&example, "datasets", all.count);
    example_figure(&example, "poison", all.poison_count);
    example_figure(&example, "lost_with_skip", lost_with_skip);
    example_figure(&example, "lost_with_isolate", lost_with_isolate);
    example_figure(&example, "deaths", (double)stats.death_count);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    free_datasets(&all);
    return example_end(&example);
}
