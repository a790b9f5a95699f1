/* SPDX-License-Identifier: MIT */
/* Pools whose workers come and go while runs are on: replaced, more, fewer. */
#include <sched.h>

#include "runs.h"

#define KEYS 16
#define RUNNERS 3

/* ---- loads ----------------------------------------------------------------------------------------------------- */

/* Items [x, key] for "stamped", whose results say where and when each was run. */
struct load {
    struct sl_writer writer;
    uint64_t count, position;
    bool (*goes_on)(void *context, uint64_t x); /* instead of count */
    void *context;
    uint64_t ok;
    bool wrong;
    char why[200];
    int64_t pids[KEYS], stamps[KEYS]; /* of the key's last item */
    int64_t seen[64];                 /* processes */
    uint32_t seen_count;
    bool pid_changed; /* of some key */
};

static enum sl_code next_of_load(void *context, struct sl_item *item, struct sl_error *error) {
    struct load *load = context;
    if (load->goes_on != NULL ? !load->goes_on(load->context, load->position) : load->position == load->count) {
        return SL_E_END;
    }
    sl_writer_reset(&load->writer);
    sl_write_list(&load->writer, 2);
    sl_write_int(&load->writer, (int64_t)load->position);
    sl_write_int(&load->writer, (int64_t)(load->position * 2654435761u % KEYS));
    load->position++;
    return sl_writer_end(&load->writer, &item->value, error);
}

static enum sl_code key_of_load(void *context, const struct sl_item *item, struct sl_value *key,
                                struct sl_error *error) {
    (void)context;
    (void)error;
    return sl_value_at(item->value, 1, key);
}

static void blame(struct load *load, const char *what, int64_t x) {
    if (!load->wrong) {
        load->wrong = true;
        snprintf(load->why, sizeof load->why, "item %lld: %.160s", (long long)x, what);
    }
}

static enum sl_code put_into_load(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct load *load = context;
    struct sl_value parts[4];
    (void)error;
    if (outcome->status != SL_STATUS_OK) {
        blame(load, outcome->error != NULL ? outcome->error->message : "not ok", (int64_t)outcome->sequence);
        return SL_OK;
    }
    load->ok++;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(sl_value_at(outcome->value, i, &parts[i]), SL_OK);
    }
    int64_t x = int_of(parts[0]), key = int_of(parts[1]), pid = int_of(parts[2]), stamp = int_of(parts[3]);
    if ((uint64_t)x != outcome->sequence || key < 0 || key >= KEYS) {
        blame(load, "another's result", x);
        return SL_OK;
    }
    if (stamp < load->stamps[key]) {
        blame(load, "ran before the one of its key that came before it", x);
    }
    load->pid_changed |= load->pids[key] != 0 && load->pids[key] != pid;
    load->stamps[key] = stamp;
    load->pids[key] = pid;
    bool known = false;
    for (uint32_t i = 0; i < load->seen_count; i++) {
        known |= load->seen[i] == pid;
    }
    if (!known && load->seen_count < 64) {
        load->seen[load->seen_count++] = pid;
    }
    return SL_OK;
}

static void run_load(struct host *host, struct load *load, bool keyed, uint32_t batch_size) {
    struct sl_dispatch_options options = host_options("dispatch_functions:stamped");
    struct sl_strategy_functions functions = {.key = key_of_load};
    struct sl_sink sink = {put_into_load, load};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_report report = SL_REPORT_INIT;
    options.batch_size = batch_size;
    if (keyed) {
        options.strategy = sl_strategy_key(&functions);
    }
    load->position = 0;
    if (!keyed) {
        load->wrong = false;
    }
    sl_writer_init(&load->writer, NULL);
    enum sl_code code =
        sl_dispatch_run(host->pool, &options, (struct sl_source){next_of_load, load}, &sink, &report, &error);
    if (code != SL_OK) {
        blame(load, error.message, -1);
    }
    if (report.count[SL_STATUS_OK] != report.input || report.input != load->position) {
        blame(load, "the counts do not add up", (int64_t)report.input);
    }
    if (report.worker_death_count != 0) {
        blame(load, "a worker died", -1);
    }
    sl_report_finish(&report);
    sl_error_finish(&error);
    sl_writer_finish(&load->writer);
}

static void load_was_right(const struct load *load) {
    if (load->wrong) {
        fail_msg("%s", load->why);
    }
}

/* ---- recycling under load ---------------------------------------------------------------------------------------- */

static void recycle_soon(struct sl_pool_options *options) {
    options->recycle_batches = 20;
    options->restart_max = 0;
}

struct runner {
    struct host *host;
    pthread_t thread;
    struct load load;
    bool calls;
    enum sl_code code;
    struct sl_error error;
    _Atomic bool done;
};

static void *run_beside(void *context) {
    struct runner *runner = context;
    if (!runner->calls) {
        run_load(runner->host, &runner->load, true, 4);
    }
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    static const uint8_t two = 2;
    struct sl_item item = {.value = {&two, 1}};
    for (int i = 0; runner->calls && i < 300 && runner->code == SL_OK; i++) {
        struct sl_results results = {0};
        runner->code = sl_call_batch(runner->host->pool, &options, &item, 1, &results, &runner->error);
        runner->load.ok += runner->code == SL_OK && int_of(results.values[0]) == 7;
        sl_results_finish(&results);
    }
    atomic_store(&runner->done, true);
    return NULL;
}

static void recycling_fails_nothing_and_capacity_never_dips(void **state) {
    (void)state;
    struct host host;
    struct runner runners[RUNNERS];
    host_open(&host, 3, recycle_soon);
    int64_t pids[3];
    for (uint32_t i = 0; i < 3; i++) {
        pids[i] = sl_pool_worker_pid(host.pool, i);
    }
    for (int i = 0; i < RUNNERS; i++) {
        runners[i] = (struct runner){.host = &host, .calls = i == 2, .load = {.count = 1500}, .error = SL_ERROR_INIT};
        assert_int_equal(pthread_create(&runners[i].thread, NULL, run_beside, &runners[i]), 0);
    }
    /* A worker is replaced under one lock, so a look sees the one or the other. */
    uint32_t fewest = UINT32_MAX;
    for (int i = 0; i < RUNNERS;) {
        struct sl_pool_stats stats = host_stats(&host);
        fewest = stats.ready_count < fewest ? stats.ready_count : fewest;
        i += atomic_load(&runners[i].done) ? 1 : 0;
        sched_yield();
    }
    for (int i = 0; i < RUNNERS; i++) {
        pthread_join(runners[i].thread, NULL);
        assert_string_equal(runners[i].error.message, "");
        assert_int_equal(runners[i].load.ok, runners[i].calls ? 300 : 1500);
        load_was_right(&runners[i].load);
    }
    assert_int_equal(fewest, 3);
    struct sl_pool_stats stats = host_stats(&host);
    assert_true(stats.recycle_count >= 3); /* how many depends on how quickly successors get ready */
    assert_int_equal(stats.death_count, 0);
    bool changed = false;
    for (uint32_t i = 0; i < 3; i++) {
        struct sl_worker_info info = SL_WORKER_INFO_INIT;
        assert_int_equal(sl_pool_worker(host.pool, i, &info), SL_OK);
        changed |= info.pid != pids[i] && info.generation > 1;
    }
    assert_true(changed);
    host_close(&host);
}

static void recycle_the_leaky(struct sl_pool_options *options) {
    options->recycle_rss_bytes = (uint64_t)100 << 20;
    options->heartbeat_ms = 10;
}

static void a_leaky_worker_is_replaced_before_it_is_large(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, recycle_the_leaky);
    struct sl_dispatch_options options = host_options("dispatch_functions:leak");
    struct numbers numbers = {.count = 120};
    struct record record = {.numbers = &numbers};
    struct sl_sink sink = record_sink(&record);
    struct sl_error error = SL_ERROR_INIT;
    options.batch_size = 1;
    assert_int_equal(sl_dispatch_run(host.pool, &options, numbers_source(&numbers), &sink, NULL, &error), SL_OK);
    record_complete(&record, 120);
    record_all_right(&record, 120);
    assert_true(host_stats(&host).recycle_count >= 1);
    assert_int_equal(host_stats(&host).death_count, 0);
    record_finish(&record);
    numbers_finish(&numbers);
    host_close(&host);
}

/* ---- growing, shrinking ---------------------------------------------------------------------------------------------- */

static void one_to_three(struct sl_pool_options *options) {
    options->worker_max = 3;
    options->worker_idle_ms = 60000;
}

static void keys_start_the_workers_that_they_are_meant_for(void **state) {
    (void)state;
    struct host host;
    struct load load = {.count = 600};
    host_open(&host, 1, one_to_three);
    run_load(&host, &load, true, 4);
    run_load(&host, &load, true, 5);
    load_was_right(&load);
    assert_int_equal(load.ok, 1200);
    assert_false(load.pid_changed); /* in neither run, nor from one to the other */
    assert_int_equal(load.seen_count, 3);
    assert_int_equal(host_stats(&host).worker_count, 3);
    host_close(&host);
}

/* Each turn of the source waits for what it wants to see next. */
struct script {
    struct host *host;
    uint32_t worker_max;
    uint64_t until_ms;
};

static bool until_three_work(void *context, uint64_t x) {
    struct script *script = context;
    if (x == 200) {
        assert_int_equal(sl_pool_resize(script->host->pool, 3, 3, NULL), SL_OK);
    }
    return host_stats(script->host).busy_count < 3 && now_ms() < script->until_ms;
}

static void a_run_that_is_on_uses_what_resize_adds(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, NULL);
    struct script script = {.host = &host, .until_ms = now_ms() + 20000};
    struct load load = {.goes_on = until_three_work, .context = &script};
    run_load(&host, &load, false, 4);
    assert_int_equal(load.ok, load.position);
    assert_true(load.seen_count >= 2);
    assert_true(now_ms() < script.until_ms);
    host_close(&host);
}

struct sizes {
    struct host *host;
    uint64_t random;
    uint64_t count;
};

static bool other_sizes(void *context, uint64_t x) {
    struct sizes *sizes = context;
    if (x % 37 == 0) {
        uint32_t max = 1 + draw_below(&sizes->random, 4);
        assert_int_equal(sl_pool_resize(sizes->host->pool, 1 + draw_below(&sizes->random, max), max, NULL), SL_OK);
    }
    return x < sizes->count;
}

static void sizes_at_random_lose_nothing_and_keep_the_order_of_keys(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, recycle_soon);
    struct sizes sizes = {.host = &host, .random = draw_seed(), .count = 2500};
    struct load load = {.goes_on = other_sizes, .context = &sizes};
    run_load(&host, &load, true, 4);
    load_was_right(&load);
    assert_int_equal(load.ok, 2500);
    assert_true(load.pid_changed);
    struct sl_pool_stats stats = host_stats(&host);
    assert_true(stats.shrink_count > 0);
    assert_int_equal(stats.death_count, 0);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recycling_fails_nothing_and_capacity_never_dips),
        cmocka_unit_test(a_leaky_worker_is_replaced_before_it_is_large),
        cmocka_unit_test(keys_start_the_workers_that_they_are_meant_for),
        cmocka_unit_test(a_run_that_is_on_uses_what_resize_adds),
        cmocka_unit_test(sizes_at_random_lose_nothing_and_keep_the_order_of_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
