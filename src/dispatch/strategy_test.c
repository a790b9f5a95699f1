/* SPDX-License-Identifier: MIT */
/* Which items travel together. */
#include "testing/crew.h"

static void batches_have_the_size_that_was_asked_for(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 7;
    struct numbers numbers = {.count = 45};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 45);
    assert_int_equal(crew.submitted, 7);
    assert_int_equal(report.batch_count, 7);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(crew.log[i].count, i < 6 ? 7 : 3);
        assert_int_equal(crew.log[i].first, i * 7);
    }
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

static uint64_t weight_of(uint64_t x) {
    return x % 17 == 5 ? 150 : x % 13 + 1; /* 150 is more than a batch may weigh */
}

static enum sl_code weigh(void *context, const struct sl_item *item, uint64_t *weight, struct sl_error *error) {
    (void)context;
    (void)error;
    *weight = weight_of((uint64_t)number_of(item->value));
    return SL_OK;
}

static void a_weighted_batch_stays_below_its_weight(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct sl_strategy_functions functions = {.weight = weigh};
    options.strategy = sl_strategy_weighted(&functions);
    options.max_weight = 40;
    struct numbers numbers = {.count = 500};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 500);
    uint64_t heavy = 0, items = 0;
    for (uint64_t i = 0; i < crew.submitted; i++) {
        uint64_t weight = 0;
        for (int64_t x = crew.log[i].first; x <= crew.log[i].last; x++) {
            weight += weight_of((uint64_t)x);
        }
        items += crew.log[i].count;
        if (weight > 40) {
            assert_int_equal(crew.log[i].count, 1);
            heavy++;
        }
        if (i + 1 < crew.submitted) { /* and no batch ends while the next item still fits */
            assert_true(weight >= 40 || weight + weight_of((uint64_t)crew.log[i + 1].first) > 40);
        }
    }
    assert_int_equal(items, 500);
    assert_int_equal(heavy, 30);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void without_a_weight_function_each_item_weighs_one(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct sl_strategy_functions functions = {0};
    options.strategy = sl_strategy_weighted(&functions);
    options.max_weight = 10;
    struct numbers numbers = {.count = 30};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    assert_int_equal(crew.submitted, 3);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- a strategy of the user's ------------------------------------------------------------------------------------------ */

static enum sl_code place_marked(void *context, const struct sl_item *item, struct sl_placement *placement,
                                 struct sl_error *error) {
    (void)context;
    int64_t x = number_of(item->value);
    placement->close_before = x % 10 == 3;
    placement->close_after = x % 10 == 7;
    if (x == 20) {
        return sl_error_set(error, SL_E_NOT_FOUND, "twenty has no place");
    }
    return SL_OK;
}

static void a_strategy_closes_batches_before_and_after_an_item(void **state) {
    (void)state;
    struct crew crew = {0};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.strategy = (struct sl_strategy){"marked", place_marked, NULL};
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 40};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    static const int64_t firsts[] = {0, 3, 8, 13, 18, 23, 28, 33, 38};
    assert_int_equal(crew.submitted, sizeof firsts / sizeof firsts[0]);
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        assert_int_equal(crew.log[i].first, firsts[i]);
    }
    /* The item that could not be placed failed alone, under its own name. */
    const struct seen *twenty = record_of(&record, 20);
    assert_int_equal(twenty->status, SL_STATUS_FAILED);
    assert_int_equal(twenty->code, SL_E_STRATEGY);
    assert_int_equal(twenty->attempts, 0);
    assert_int_equal(report.count[SL_STATUS_OK], 39);
    assert_int_equal(report.error_count, 1);
    assert_non_null(strstr(report.errors[0].error.message, "marked"));
    assert_non_null(strstr(report.errors[0].error.message, "twenty has no place"));
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

/* ---- keys -------------------------------------------------------------------------------------------------------------- */

struct keys {
    uint64_t count;
    uint64_t held_peak; /* items that were pulled and not submitted */
    uint64_t submitted_items;
    struct numbers *numbers;
    uint8_t key_bytes[16];
    int64_t last_of[64]; /* by key: the number that was acted on last */
    bool out_of_order, mixed;
    pthread_mutex_t lock;
    uint64_t random;
    uint32_t failures;
};

static uint64_t key_of(const struct keys *keys, int64_t x) {
    return ((uint64_t)x * 2654435761u >> 7) % keys->count;
}

static enum sl_code read_key(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    struct keys *keys = context;
    (void)error;
    keys->key_bytes[0] = (uint8_t)key_of(keys, number_of(item->value)); /* an int below 128 */
    *key = (struct sl_value){keys->key_bytes, 1};
    return SL_OK;
}

static void act_keyed(void *context, struct sl_task *task) {
    struct keys *keys = context;
    uint64_t key = key_of(keys, number_of(sl_task_item(task, 0)));
    bool fails = false;
    pthread_mutex_lock(&keys->lock);
    if (keys->failures > 0 && draw_below(&keys->random, 3) == 0) {
        keys->failures--;
        fails = true;
    }
    for (uint32_t i = 0; i < sl_task_count(task); i++) {
        int64_t x = number_of(sl_task_item(task, i));
        keys->mixed |= key_of(keys, x) != key;
        if (!fails) {
            keys->out_of_order |= x <= keys->last_of[key];
            keys->last_of[key] = x;
        }
    }
    pthread_mutex_unlock(&keys->lock);
    if (fails) {
        act_fail(task, SL_E_WORKER_CRASHED, "a fault of the test");
    } else {
        act_triple(NULL, task);
    }
}

static void keys_run(struct keys *keys, struct crew *crew, struct sl_dispatch_options *options, uint64_t count) {
    struct sl_strategy_functions functions = {.key = read_key, .context = keys};
    options->strategy = sl_strategy_key(&functions);
    pthread_mutex_init(&keys->lock, NULL);
    for (int i = 0; i < 64; i++) {
        keys->last_of[i] = -1;
    }
    struct numbers numbers = {.count = count};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    keys->numbers = &numbers;
    run_numbers(NULL, options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, count);
    assert_false(keys->mixed);
    assert_false(keys->out_of_order);
    assert_true(report.in_flight_peak <= options->max_in_flight);
    assert_true(crew->running_peak <= options->max_in_flight);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    pthread_mutex_destroy(&keys->lock);
}

static void a_batch_has_one_key_and_keys_keep_their_order(void **state) {
    (void)state;
    struct keys keys = {.count = 5};
    struct crew crew = {.hands = 4, .shuffled = true, .act = act_keyed, .context = &keys};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 8;
    keys_run(&keys, &crew, &options, 3000);
    crew_close(&crew);
}

static void keys_keep_their_order_when_batches_are_tried_again(void **state) {
    (void)state;
    struct keys keys = {.count = 5, .random = draw_seed() | 1, .failures = 60};
    struct crew crew = {.hands = 4, .shuffled = true, .act = act_keyed, .context = &keys};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 8;
    options.policy = (struct sl_error_policy){
        .on_error = SL_ON_ERROR_RETRY, .max_attempts = 100, .backoff_ms = 1, .backoff_max_ms = 2};
    keys_run(&keys, &crew, &options, 2000);
    assert_true(keys.failures < 60);
    crew_close(&crew);
}

/* Called before each pull: what was pulled and not handed over waits in filling batches. */
static void watch_held(void *context, uint64_t x) {
    struct keys *keys = ((void **)context)[0];
    struct crew *crew = ((void **)context)[1];
    uint64_t submitted = 0;
    for (uint64_t i = 0; i < crew->submitted; i++) {
        submitted += crew->log[i].count;
    }
    if (x - submitted > keys->held_peak) {
        keys->held_peak = x - submitted;
    }
}

static void the_key_window_bounds_what_waits(void **state) {
    (void)state;
    struct keys keys = {.count = 40};
    struct crew crew = {.act = act_keyed, .context = &keys};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct sl_strategy_functions functions = {.key = read_key, .context = &keys};
    options.strategy = sl_strategy_key(&functions);
    options.batch_size = 1000;
    options.key_window = 100;
    options.ordering = SL_ORDERING_AS_COMPLETED;
    pthread_mutex_init(&keys.lock, NULL);
    void *both[] = {&keys, &crew};
    struct numbers numbers = {.count = 2000, .before = watch_held, .context = both};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 2000);
    assert_true(keys.held_peak <= 100);
    assert_true(keys.held_peak >= 80); /* and it is used */
    assert_false(keys.mixed);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    pthread_mutex_destroy(&keys.lock);
    crew_close(&crew);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_have_the_size_that_was_asked_for),
        cmocka_unit_test(a_weighted_batch_stays_below_its_weight),
        cmocka_unit_test(without_a_weight_function_each_item_weighs_one),
        cmocka_unit_test(a_strategy_closes_batches_before_and_after_an_item),
        cmocka_unit_test(a_batch_has_one_key_and_keys_keep_their_order),
        cmocka_unit_test(keys_keep_their_order_when_batches_are_tried_again),
        cmocka_unit_test(the_key_window_bounds_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
