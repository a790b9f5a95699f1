/* SPDX-License-Identifier: MIT */
/*
 * The conservation law, by chance: whatever the strategy, the sizes, the policy and the faults, each item that was pulled is
 * seen exactly once, the counts add up to the input, and what is ok is right.
 */
#include "testing/crew.h"

#define TIME_MS 6000
#define TASKS 64

struct chance {
    uint64_t random; /* of the acting threads; guarded by lock */
    pthread_mutex_t lock;
    uint32_t fail_batch, mark_item, wrong_count, refuse, hang; /* in 1000 */
    uint32_t key_count;
    bool tight; /* the executor takes few batches at once */
    struct sl_control *control;
    uint64_t drain_at, cancel_at; /* pulls; UINT64_MAX: never */
    uint64_t end_at, again;
    struct sl_task *hung[TASKS * 64];
    uint32_t hung_count;
    struct sl_task *told[TASKS * 64]; /* to stop, when nobody had them in hand */
    uint32_t told_count;
    struct record *record;
    uint8_t key_bytes[16];
    uint32_t sizes;
};

static bool happens(struct chance *chance, uint32_t of_1000) {
    return of_1000 != 0 && draw_below(&chance->random, 1000) < of_1000;
}

static void one_by_chance(void *context, struct shelf *shelf, int64_t x) {
    struct chance *chance = context;
    if (happens(chance, chance->mark_item)) {
        static const char *const texts[] = {"skipped", "failed", "routed"};
        uint32_t kind = draw_below(&chance->random, 3);
        shelf_mark(shelf, (enum sl_mark_kind)(SL_MARK_SKIP + kind), texts[kind]);
    } else {
        shelf_int(shelf, triple(x));
    }
}

/* Whether it was told to stop before a hand of the crew had taken it up. */
static bool was_told(struct chance *chance, const struct sl_task *task) {
    for (uint32_t i = 0; i < chance->told_count; i++) {
        if (chance->told[i] == task) {
            chance->told[i] = chance->told[--chance->told_count];
            return true;
        }
    }
    return false;
}

static void act_by_chance(void *context, struct sl_task *task) {
    struct chance *chance = context;
    pthread_mutex_lock(&chance->lock);
    if (was_told(chance, task)) {
        act_fail(task, SL_E_CANCELLED, "stopped as told");
        pthread_mutex_unlock(&chance->lock);
        return;
    }
    bool fails = happens(chance, chance->fail_batch);
    bool wrong = happens(chance, chance->wrong_count);
    bool hangs = happens(chance, chance->hang) && chance->hung_count < TASKS * 64;
    if (hangs) {
        chance->hung[chance->hung_count++] = task;
        /* An earlier one may come back now, after its timeout or before. */
        if (draw_below(&chance->random, 2) == 0) {
            uint32_t index = draw_below(&chance->random, chance->hung_count);
            struct sl_task *late = chance->hung[index];
            chance->hung[index] = chance->hung[--chance->hung_count];
            act_each(late, one_by_chance, chance);
        }
    } else if (fails) {
        static const enum sl_code kinds[] = {SL_E_PYTHON, SL_E_WORKER_CRASHED, SL_E_BAD_RESULT};
        act_fail(task, kinds[draw_below(&chance->random, 3)], "by chance");
    } else if (wrong) {
        sl_task_complete(task, NULL, 0);
    } else {
        act_each(task, one_by_chance, chance);
    }
    pthread_mutex_unlock(&chance->lock);
}

/* Told to stop: it ends now, or some time later unless the executor has no room to spare. */
static void cancel_by_chance(void *context, struct sl_task *task) {
    struct chance *chance = context;
    pthread_mutex_lock(&chance->lock);
    bool ends = chance->tight || draw_below(&chance->random, 2) == 0;
    bool found = false;
    for (uint32_t i = 0; ends && i < chance->hung_count && !found; i++) {
        found = chance->hung[i] == task;
        if (found) {
            chance->hung[i] = chance->hung[--chance->hung_count];
            act_fail(task, SL_E_CANCELLED, "stopped as told");
        }
    }
    if (ends && !found) {
        assert_true(chance->told_count < TASKS * 64);
        chance->told[chance->told_count++] = task;
    }
    pthread_mutex_unlock(&chance->lock);
}

static enum sl_code refuse_by_chance(void *context, struct sl_task *task, struct sl_error *error) {
    struct chance *chance = context;
    pthread_mutex_lock(&chance->lock);
    (void)was_told(chance, task); /* that was another one, at the same address, which had ended by itself */
    bool refuses = happens(chance, chance->refuse);
    pthread_mutex_unlock(&chance->lock);
    return refuses ? sl_error_set(error, SL_E_SYSTEM, "refused by chance") : SL_OK;
}

static enum sl_code weigh(void *context, const struct sl_item *item, uint64_t *weight, struct sl_error *error) {
    (void)context;
    int64_t x = number_of(item->value);
    *weight = (uint64_t)x * 7 % 50;
    return x % 401 == 400 ? sl_error_set(error, SL_E_RANGE, "too heavy to say") : SL_OK;
}

static enum sl_code read_key(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    struct chance *chance = context;
    uint64_t x = (uint64_t)number_of(item->value);
    (void)error;
    chance->key_bytes[0] = (uint8_t)((x * 2654435761u >> 5) % chance->key_count);
    *key = x % 9 == 0 ? (struct sl_value){NULL, 0} : (struct sl_value){chance->key_bytes, 1};
    return SL_OK;
}

static enum sl_code stop_by_chance(void *context, uint64_t x, struct sl_error *error) {
    struct chance *chance = context;
    if (x == chance->drain_at) {
        sl_control_drain(chance->control);
    }
    if (x == chance->cancel_at) {
        sl_control_cancel(chance->control);
    }
    if (x == chance->end_at) {
        return sl_error_set(error, SL_E_SYSTEM, "the source broke by chance");
    }
    if (chance->again != 0 && x % chance->again == chance->again - 1 && chance->sizes++ % 2 == 0) {
        sl_control_wake(chance->control); /* at once: the wake-up races with the wait */
        return SL_E_AGAIN;
    }
    return SL_OK;
}

static size_t pad_by_chance(void *context, uint64_t x) {
    (void)context;
    return x % 97 == 96 ? 5000 : x % 5 * 30;
}

static enum sl_code handle(void *context, const struct sl_outcome *failed, const char **route) {
    (void)context;
    *route = "handled";
    return failed->sequence % 2 == 0 ? SL_OK : SL_E_NOT_FOUND;
}

static void check(const struct sl_dispatch_options *options, const struct record *record,
                  const struct sl_report *report, const struct numbers *numbers, enum sl_code code) {
    assert_int_equal(report->input, numbers->pulled);
    report_agrees(report, record);
    record_complete(record, numbers->pulled);
    assert_true(report->in_flight_peak <= options->max_in_flight);
    assert_true(report->bytes_peak <= options->max_in_flight_bytes);
    assert_true(report->error_count <= options->error_list_max && report->error_count <= report->error_total);
    bool stopped = code == SL_E_CANCELLED || code == SL_E_HALTED ||
                   (code == SL_E_SOURCE && options->policy.on_error == SL_ON_ERROR_HALT); /* the first error stays */
    assert_true(stopped || report->count[SL_STATUS_CANCELLED] == 0);
    for (size_t i = 0; i < record->count; i++) {
        const struct seen *seen = &record->seen[i];
        if (options->ordering == SL_ORDERING_PRESERVE) {
            assert_int_equal(seen->sequence, i);
        }
        if (seen->status == SL_STATUS_OK) {
            assert_int_equal(seen->value, triple((int64_t)seen->sequence));
            assert_true(seen->attempts >= 1);
        }
        if (seen->status == SL_STATUS_SKIPPED) {
            assert_string_equal(seen->route, "skipped");
        }
        if (options->policy.on_error == SL_ON_ERROR_RETRY) {
            assert_true(seen->attempts <= options->policy.max_attempts);
        }
    }
}

static void one_run(uint64_t seed, uint64_t *items) {
    uint64_t random = seed * 0x9e3779b97f4a7c15u | 1;
    for (int i = 0; i < 8; i++) {
        (void)draw(&random);
    }
#define PICK(...) ((const uint32_t[]){__VA_ARGS__}[draw_below(&random, sizeof((uint32_t[]){__VA_ARGS__}) / 4)])
    struct record record = {0};
    struct chance chance = {.random = draw(&random) | 1,
                            .fail_batch = PICK(0, 0, 20, 200, 700),
                            .mark_item = PICK(0, 0, 10, 200),
                            .wrong_count = PICK(0, 0, 50),
                            .refuse = PICK(0, 0, 100),
                            .hang = PICK(0, 0, 0, 0, 30),
                            .key_count = PICK(1, 4, 100),
                            .drain_at = UINT64_MAX,
                            .cancel_at = UINT64_MAX,
                            .end_at = UINT64_MAX,
                            .again = PICK(0, 0, 7),
                            .record = &record};
    pthread_mutex_init(&chance.lock, NULL);
    assert_int_equal(sl_control_create(&chance.control, NULL), SL_OK);
    struct numbers numbers = {.count = PICK(0, 1, 10, 300, 1500), .stop = stop_by_chance, .context = &chance};
    switch (PICK(0, 0, 0, 0, 0, 1, 2, 3)) {
    case 1:
        chance.drain_at = draw_below(&random, (uint32_t)numbers.count + 1);
        break;
    case 2:
        chance.cancel_at = draw_below(&random, (uint32_t)numbers.count + 1);
        break;
    case 3:
        chance.end_at = draw_below(&random, (uint32_t)numbers.count + 1);
        break;
    }
    if (PICK(0, 1) != 0) {
        numbers.padding_of = pad_by_chance;
    }
    struct crew crew = {.hands = PICK(0, 1, 3),
                        .capacity = PICK(1, 2, 8, 1024),
                        .shuffled = PICK(0, 1) != 0,
                        .random = draw(&random) | 1,
                        .act = act_by_chance,
                        .refuse = refuse_by_chance,
                        .cancelled = cancel_by_chance,
                        .context = &chance};
    chance.tight = crew.capacity < 1024;
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct sl_strategy_functions functions = {.weight = weigh, .context = &chance};
    switch (PICK(0, 1, 2, 3)) {
    case 1:
        options.strategy = sl_strategy_weighted(&functions);
        break;
    case 2:
        functions.weight = NULL; /* fall through */
    case 3:
        functions.key = read_key;
        options.strategy = sl_strategy_key(&functions);
        break;
    }
    options.control = chance.control;
    options.batch_size = PICK(1, 2, 7, 64);
    options.max_weight = PICK(1, 60, 1000);
    options.max_in_flight = PICK(1, 2, 8, 40);
    options.max_in_flight_bytes = PICK(400, 4000, 1000000);
    options.reorder_max = PICK(1, 3, 64);
    options.key_window = PICK(1, 10, 1024);
    options.max_delay_ms = PICK(0, 0, 1);
    options.timeout_ms = chance.hang != 0 ? 3 : 30000;
    options.ordering = PICK(0, 1) != 0 ? SL_ORDERING_PRESERVE : SL_ORDERING_AS_COMPLETED;
    options.error_list_max = PICK(0, 3, 64);
    options.policy = (struct sl_error_policy){.on_error = (enum sl_on_error)PICK(1, 2, 3, 4, 5),
                                              .max_attempts = PICK(1, 2, 4),
                                              .backoff_ms = 1,
                                              .backoff_max_ms = 1,
                                              .jitter = 1.0,
                                              .handler = handle};
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = SL_OK;
    record.numbers = &numbers;
    if (PICK(0, 0, 1) == 0) {
        record.by_rows = PICK(0, 1) != 0;
        code = record_run(&record, NULL, &options, numbers_source(&numbers), &report, &error);
        check(&options, &record, &report, &numbers, code);
    } else {
        struct sl_stream *stream = NULL;
        struct sl_outcome outcome;
        uint64_t leave_at = PICK(0, 5, 100000000, 100000000);
        assert_int_equal(sl_stream_open(NULL, &options, numbers_source(&numbers), &stream, &error), SL_OK);
        while (record.count < leave_at && (code = sl_stream_next(stream, &outcome, &error)) == SL_OK) {
            record_add(&record, &outcome);
        }
        if (record.count < leave_at) {
            check(&options, &record, sl_stream_report(stream), &numbers, code);
        }
        sl_stream_close(stream);
    }
    *items += numbers.pulled;
    pthread_mutex_lock(&chance.lock);
    chance.hang = 0;                /* what the crew still has is not to be kept */
    while (chance.hung_count > 0) { /* later than any timeout */
        act_fail(chance.hung[--chance.hung_count], SL_E_CANCELLED, "late");
    }
    pthread_mutex_unlock(&chance.lock);
    crew_close(&crew);
    pthread_mutex_destroy(&chance.lock);
    sl_control_destroy(chance.control);
    sl_error_finish(&error);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
}

static void every_item_ends_exactly_once(void **state) {
    (void)state;
    uint64_t seed = draw_seed(), runs = 0, items = 0;
    uint64_t until = now_ms() + TIME_MS;
    do {
        const char *verbose = getenv("SLITHER_TEST_VERBOSE");
        if (verbose != NULL) {
            printf("run with seed %llu\n", (unsigned long long)(seed + runs));
            fflush(stdout);
        }
        one_run(seed + runs++, &items);
    } while (now_ms() < until);
    printf("%llu runs, seeds from %llu on, %llu items\n", (unsigned long long)runs, (unsigned long long)seed,
           (unsigned long long)items);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_ends_exactly_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
