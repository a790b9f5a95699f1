/* SPDX-License-Identifier: MIT */
/*
 * The conservation law over real workers: functions that die, raise, hang, answer wrongly and mark items, and workers that
 * are killed from outside. Each item ends once, what is ok is right, and the pool is as good as new afterwards.
 */
#include <sched.h>
#include <semaphore.h>
#include <signal.h>

#include "runs.h"

#define TIME_MS 8000

/* ---- by chance -------------------------------------------------------------------------------------------------------- */

struct chance {
    struct sl_writer writer;
    uint64_t position, count;
    uint32_t rates[5]; /* in 1000: crashes, raises, wrong, marks, hangs */
    uint32_t salt;
    size_t padding;
    uint8_t *filler;
    uint64_t cancel_at, drain_at;
    struct sl_control *control;
};

static enum sl_code next_by_chance(void *context, struct sl_item *item, struct sl_error *error) {
    struct chance *chance = context;
    if (chance->position == chance->cancel_at) {
        sl_control_cancel(chance->control);
    }
    if (chance->position == chance->drain_at) {
        sl_control_drain(chance->control);
    }
    if (chance->position == chance->count) {
        return SL_E_END;
    }
    sl_writer_reset(&chance->writer);
    sl_write_list(&chance->writer, chance->padding > 0 ? 8 : 7);
    sl_write_int(&chance->writer, (int64_t)chance->position);
    for (int i = 0; i < 5; i++) {
        sl_write_uint(&chance->writer, chance->rates[i]);
    }
    sl_write_uint(&chance->writer, chance->salt);
    if (chance->padding > 0) {
        sl_write_bytes(&chance->writer, chance->filler, chance->padding);
    }
    item->id = 1000 + chance->position++;
    return sl_writer_end(&chance->writer, &item->value, error);
}

static enum sl_code key_by_chance(void *context, const struct sl_item *item, struct sl_value *key,
                                  struct sl_error *error) {
    static const uint8_t keys[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    (void)context;
    (void)error;
    *key = (struct sl_value){&keys[(uint64_t)number_of(item->value) * 2654435761u >> 7 & 7], 1};
    return SL_OK;
}

static void one_run(struct host *host, uint64_t seed, uint64_t *items) {
    uint64_t random = seed * 0x9e3779b97f4a7c15u | 1;
    for (int i = 0; i < 8; i++) {
        (void)draw(&random);
    }
#define PICK(...) ((const uint32_t[]){__VA_ARGS__}[draw_below(&random, sizeof((uint32_t[]){__VA_ARGS__}) / 4)])
    struct chance chance = {.count = PICK(1, 100, 500, 1500),
                            .salt = draw_below(&random, 1000),
                            .cancel_at = UINT64_MAX,
                            .drain_at = UINT64_MAX};
    chance.rates[0] = PICK(0, 0, 5, 50);
    chance.rates[1] = PICK(0, 0, 50, 300);
    chance.rates[2] = PICK(0, 0, 20);
    chance.rates[3] = PICK(0, 10, 300);
    chance.rates[4] = PICK(0, 0, 0, 3);
    chance.padding = PICK(0, 0, 3000, 30000); /* above 256 KiB a batch travels in a file of its own */
    chance.filler = calloc(1, chance.padding + 1);
    sl_writer_init(&chance.writer, NULL);
    assert_int_equal(sl_control_create(&chance.control, NULL), SL_OK);
    switch (PICK(0, 0, 0, 0, 1, 2)) {
    case 1:
        chance.cancel_at = draw_below(&random, (uint32_t)chance.count);
        break;
    case 2:
        chance.drain_at = draw_below(&random, (uint32_t)chance.count);
        break;
    }
    struct sl_dispatch_options options = host_options("dispatch_functions:by_chance");
    struct sl_strategy_functions functions = {.key = key_by_chance};
    if (PICK(0, 0, 1) != 0) {
        options.strategy = sl_strategy_key(&functions);
    }
    options.control = chance.control;
    options.batch_size = PICK(1, 5, 32);
    options.max_in_flight = PICK(1, 2, 8, 20);
    options.max_in_flight_bytes = PICK(100000, 100000000);
    options.reorder_max = PICK(2, 64);
    options.key_window = PICK(10, 1024);
    options.timeout_ms = chance.rates[4] != 0 ? 60 : 30000;
    options.ordering = PICK(0, 1) != 0 ? SL_ORDERING_PRESERVE : SL_ORDERING_AS_COMPLETED;
    options.policy = (struct sl_error_policy){
        .on_error = (enum sl_on_error)PICK(1, 2, 3, 5), .max_attempts = PICK(1, 2, 3), .backoff_ms = 1, .jitter = 1.0};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_sink sink = record_sink(&record);
    enum sl_code code =
        sl_dispatch_run(host->pool, &options, (struct sl_source){next_by_chance, &chance}, &sink, &report, &error);
    assert_true(code == SL_OK || code == SL_E_CANCELLED || code == SL_E_HALTED);
    report_agrees(&report, &record);
    assert_int_equal(report.input, chance.position);
    record_complete(&record, chance.position);
    assert_true(report.in_flight_peak <= options.max_in_flight);
    assert_true(report.bytes_peak <= options.max_in_flight_bytes);
    assert_true(code != SL_OK || report.count[SL_STATUS_CANCELLED] == 0);
    for (size_t i = 0; i < record.count; i++) {
        const struct seen *seen = &record.seen[i];
        int64_t x = (int64_t)seen->sequence;
        bool marked = (uint64_t)(x * 7919 + chance.salt) % 1000 < chance.rates[3];
        if (options.ordering == SL_ORDERING_PRESERVE) {
            assert_int_equal(x, i);
        }
        if (seen->status == SL_STATUS_OK) {
            assert_int_equal(seen->value, triple(x));
            assert_false(marked);
        }
        assert_true(seen->status != SL_STATUS_SKIPPED || (marked && x % 3 == 0));
        assert_true(seen->status != SL_STATUS_ROUTED || (marked && x % 3 == 2));
        assert_true(seen->status != SL_STATUS_FAILED || seen->attempts >= 1);
    }
    *items += record.count;
    sl_control_destroy(chance.control);
    sl_writer_finish(&chance.writer);
    free(chance.filler);
    sl_error_finish(&error);
    sl_report_finish(&report);
    record_finish(&record);
}

static void triples_only(struct host *host) {
    struct sl_dispatch_options options = host_options("dispatch_functions:triple");
    struct numbers numbers = {.count = 1000};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(host->pool, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 1000);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
}

static void every_item_ends_exactly_once(void **state) {
    (void)state;
    uint64_t seed = draw_seed(), runs = 0, items = 0, until = now_ms() + TIME_MS;
    struct host host;
    host_open(&host, 1, NULL); /* libuv opens two descriptors with the first loop of a process and keeps them */
    host_close(&host);
    int fds = descriptor_count();
    host_open(&host, 2, NULL);
    do {
        if (getenv("SLITHER_TEST_VERBOSE") != NULL) {
            printf("run with seed %llu\n", (unsigned long long)(seed + runs));
            fflush(stdout);
        }
        one_run(&host, seed + runs++, &items);
    } while (now_ms() < until);
    triples_only(&host);
    struct sl_pool_stats stats = host_stats(&host);
    assert_int_equal(stats.busy_count, 0);
    assert_int_equal(stats.waiter_count, 0);
    printf("%llu runs, %llu items, %llu workers started, %llu died\n", (unsigned long long)runs,
           (unsigned long long)items, (unsigned long long)stats.start_count, (unsigned long long)stats.death_count);
    host_close(&host);
    assert_int_equal(descriptor_count(), fds);
}

/* ---- killed from outside ------------------------------------------------------------------------------------------------ */

/* After some outcomes more, each time: on a slow machine too the run gets on between two kills. */
struct killer {
    struct host *host;
    sem_t now;
    _Atomic bool over;
    uint64_t random; /* of the thread that runs */
    uint64_t next;
    uint32_t kills;
};

static enum sl_code call_killer(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct killer *killer = context;
    (void)error;
    if (outcome->sequence >= killer->next) {
        killer->next = outcome->sequence + 64 + draw_below(&killer->random, 600);
        sem_post(&killer->now);
    }
    return SL_OK;
}

static void *kill_workers(void *context) {
    struct killer *killer = context;
    uint64_t random = 77;
    while (sem_wait(&killer->now) == 0 && !atomic_load(&killer->over)) {
        struct timespec pause = {0, (long)draw_below(&random, 3000000)};
        nanosleep(&pause, NULL); /* anywhere in what the run does next */
        int64_t pid = sl_pool_worker_pid(killer->host->pool, draw_below(&random, 2));
        if (pid > 0) {
            killer->kills += kill((pid_t)pid, SIGKILL) == 0;
        }
    }
    return NULL;
}

static void kills_from_outside_lose_only_attempts(void **state) {
    (void)state;
    uint64_t random = draw_seed() | 1;
    static const size_t paddings[] = {0, 6000};
    for (size_t i = 0; i < 2; i++) {
        struct host host;
        host_open(&host, 2, NULL);
        struct killer killer = {.host = &host, .random = random};
        sem_init(&killer.now, 0, 0);
        pthread_t thread;
        struct sl_dispatch_options options = host_options("dispatch_functions:slow");
        options.policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_RETRY, .max_attempts = 1000, .backoff_ms = 1};
        options.policy.retry_kinds = (uint64_t)1 << SL_E_WORKER_CRASHED;
        options.error_list_max = 100000;
        struct numbers numbers = {.count = i == 0 ? 50000 : 10000, .padding = paddings[i]};
        struct record record = {.answer = call_killer, .context = &killer};
        struct sl_report report = SL_REPORT_INIT;
        assert_int_equal(pthread_create(&thread, NULL, kill_workers, &killer), 0);
        run_numbers(host.pool, &options, &numbers, &record, &report, SL_OK);
        atomic_store(&killer.over, true);
        sem_post(&killer.now);
        pthread_join(thread, NULL);
        sem_destroy(&killer.now);
        record_all_right(&record, numbers.count);
        assert_true(report.worker_death_count > 0);
        uint64_t blamed = 0;
        for (size_t k = 0; k < record.count; k += 64) {
            blamed += record.seen[k].attempts - 1;
        }
        assert_int_equal(blamed, report.retry_count); /* what was only queued has no attempt more */
        printf("%u kills, %llu deaths under a batch, %llu retried, %llu requeued\n", killer.kills,
               (unsigned long long)report.worker_death_count, (unsigned long long)report.retry_count,
               (unsigned long long)report.requeue_count);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        host_close(&host);
    }
}

/* ---- killed while a batch is being written --------------------------------------------------------------------------- */

static void kill_at_ten(void *context, uint64_t x) {
    struct host *host = context;
    if (x == 10) {
        int64_t pid = sl_pool_worker_pid(host->pool, 0);
        assert_true(pid > 0 && kill((pid_t)pid, SIGKILL) == 0);
        while (sl_pool_worker_pid(host->pool, 0) == pid) {
            sched_yield(); /* until the death is known: the lane's socket is closed then */
        }
    }
}

static void a_worker_that_dies_while_a_batch_is_written_costs_nothing(void **state) {
    (void)state;
    static const size_t paddings[] = {0, 100000}; /* the larger ones leave the segment: a file has to be sent first */
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t batch_size = 11; batch_size <= 12; batch_size++) { /* the batch ends with that item, or goes on */
            struct host host;
            host_open(&host, 1, NULL);
            struct sl_dispatch_options options = host_options("dispatch_functions:triple");
            options.batch_size = batch_size;
            struct numbers numbers = {.count = 40, .padding = paddings[i], .before = kill_at_ten, .context = &host};
            struct record record = {0};
            struct sl_report report = SL_REPORT_INIT;
            run_numbers(host.pool, &options, &numbers, &record, &report, SL_OK);
            record_all_right(&record, 40);
            assert_int_equal(report.batch_failed_count, 0);
            for (size_t k = 0; k < record.count; k++) {
                assert_int_equal(record.seen[k].attempts, 1);
            }
            sl_report_finish(&report);
            record_finish(&record);
            numbers_finish(&numbers);
            host_close(&host);
        }
    }
}

/* ---- stopped from outside -------------------------------------------------------------------------------------------- */

#define STOPPED_MS 2000 /* the next worker has to answer in this time: not less */

struct blameless {
    pthread_t thread;
    struct host host;
    struct sl_dispatch_options options;
    struct numbers numbers;
    struct record record;
    struct sl_report report;
};

static void *run_on_a_stopped_worker(void *context) {
    struct blameless *run = context;
    run_numbers(run->host.pool, &run->options, &run->numbers, &run->record, &run->report, SL_OK);
    return NULL;
}

/* Its batch runs into the timeout without having been begun: another worker gets it, whatever the policy. */
static void a_batch_that_a_stopped_worker_never_began_is_not_blamed(void **state) {
    (void)state;
    static const enum sl_on_error policies[] = {SL_ON_ERROR_SKIP, SL_ON_ERROR_ISOLATE, SL_ON_ERROR_HALT};
    enum { RUNS = sizeof policies / sizeof policies[0] };
    struct blameless runs[RUNS];
    memset(runs, 0, sizeof runs);
    for (size_t i = 0; i < RUNS; i++) { /* beside each other: each takes the time of one timeout */
        struct blameless *run = &runs[i];
        host_open(&run->host, 1, NULL);
        run->options = host_options("dispatch_functions:triple");
        run->options.timeout_ms = STOPPED_MS;
        run->options.policy.on_error = policies[i];
        run->numbers.count = 8;
        run->report = (struct sl_report)SL_REPORT_INIT;
        assert_int_equal(kill((pid_t)sl_pool_worker_pid(run->host.pool, 0), SIGSTOP), 0);
        assert_int_equal(pthread_create(&run->thread, NULL, run_on_a_stopped_worker, run), 0);
    }
    for (size_t i = 0; i < RUNS; i++) {
        pthread_join(runs[i].thread, NULL);
    }
    for (size_t i = 0; i < RUNS; i++) {
        struct blameless *run = &runs[i];
        record_all_right(&run->record, 8);
        assert_int_equal(run->report.requeue_count, 1);
        assert_int_equal(run->report.batch_failed_count, 0);
        assert_int_equal(run->report.worker_death_count, 1);
        assert_int_equal(run->record.seen[0].attempts, 1);
        sl_report_finish(&run->report);
        record_finish(&run->record);
        numbers_finish(&run->numbers);
        host_close(&run->host);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_ends_exactly_once),
        cmocka_unit_test(kills_from_outside_lose_only_attempts),
        cmocka_unit_test(a_worker_that_dies_while_a_batch_is_written_costs_nothing),
        cmocka_unit_test(a_batch_that_a_stopped_worker_never_began_is_not_blamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
