/* SPDX-License-Identifier: MIT */
/* Sinks that take the outcomes of a batch in one call: which batches come so, and that nothing else changes. */
#include "testing/crew.h"

#define BATCH 8
#define ITEMS 2000

/* ---- marked items --------------------------------------------------------------------------------------------------- */

static enum sl_status status_of(int64_t x) {
    return x % 97 == 0   ? SL_STATUS_FAILED
           : x % 89 == 0 ? SL_STATUS_SKIPPED
           : x % 83 == 0 ? SL_STATUS_ROUTED
                         : SL_STATUS_OK;
}

static void one_marked(void *context, struct shelf *shelf, int64_t x) {
    (void)context;
    switch (status_of(x)) {
    case SL_STATUS_FAILED:
        shelf_mark(shelf, SL_MARK_ERROR, "no good");
        break;
    case SL_STATUS_SKIPPED:
        shelf_mark(shelf, SL_MARK_SKIP, "not wanted");
        break;
    case SL_STATUS_ROUTED:
        shelf_mark(shelf, SL_MARK_ROUTE, "elsewhere");
        break;
    default:
        shelf_int(shelf, triple(x));
        break;
    }
}

static void act_marked(void *context, struct sl_task *task) {
    act_each(task, one_marked, context);
}

/* Batches of numbers of which none is marked. */
static uint64_t clean_batches(void) {
    uint64_t count = 0;
    for (int64_t first = 0; first < ITEMS; first += BATCH) {
        bool clean = true;
        for (int64_t x = first; x < first + BATCH; x++) {
            clean = clean && status_of(x) == SL_STATUS_OK;
        }
        count += clean;
    }
    return count;
}

static void take_marked(enum sl_ordering ordering) {
    struct crew crew = {.hands = 3, .shuffled = true, .random = draw_seed() | 1, .act = act_marked};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = BATCH;
    options.ordering = ordering;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = ITEMS};
    struct record record = {.by_rows = true};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    for (int64_t x = 0; x < ITEMS; x++) {
        const struct seen *seen = record_of(&record, (uint64_t)x);
        assert_int_equal(seen->status, status_of(x));
        assert_int_equal(seen->id, 1000 + x);
        assert_int_equal(seen->attempts, 1);
        assert_true(seen->status != SL_STATUS_OK || seen->value == triple(x));
    }
    assert_int_equal(record.row_count, clean_batches());
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void a_batch_that_is_all_ok_comes_as_a_row(void **state) {
    (void)state;
    take_marked(SL_ORDERING_PRESERVE);
}

static void as_completed_too(void **state) {
    (void)state;
    take_marked(SL_ORDERING_AS_COMPLETED);
}

/* ---- batches with gaps ---------------------------------------------------------------------------------------------- */

/* Fails every third number at its first attempt. */
struct once {
    uint8_t tried[ITEMS];
};

static void one_at_last(void *context, struct shelf *shelf, int64_t x) {
    struct once *once = context;
    if (x % 3 == 0 && once->tried[x]++ == 0) {
        shelf_mark(shelf, SL_MARK_ERROR, "not yet");
    } else {
        shelf_int(shelf, triple(x));
    }
}

static void act_at_last(void *context, struct sl_task *task) {
    act_each(task, one_at_last, context);
}

static void items_that_are_tried_again_are_no_row(void **state) {
    (void)state;
    struct once once = {0};
    struct crew crew = {.act = act_at_last, .context = &once};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = BATCH;
    options.policy = (struct sl_error_policy){
        .on_error = SL_ON_ERROR_RETRY, .max_attempts = 2, .backoff_ms = 1, .retry_kinds = UINT64_MAX};
    struct numbers numbers = {.count = 400};
    struct record record = {.by_rows = true};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, 400);
    assert_int_equal(record.row_count,
                     0); /* each batch had one that failed, and of those that came back two are never neighbours */
    assert_int_equal(report.retry_count, 400 / BATCH);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static enum sl_code last_digit(void *context, const struct sl_item *item, struct sl_value *key,
                               struct sl_error *error) {
    static uint8_t digits[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    (void)context;
    (void)error;
    *key = (struct sl_value){&digits[number_of(item->value) % 10], 1};
    return SL_OK;
}

static void batches_by_key_keep_the_order_of_their_items(void **state) {
    (void)state;
    struct crew crew = {.hands = 2};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    struct sl_strategy_functions functions = {.key = last_digit};
    options.strategy = sl_strategy_key(&functions);
    options.batch_size = BATCH;
    struct numbers numbers = {.count = ITEMS};
    struct record record = {.by_rows = true};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    record_all_right(&record, ITEMS);
    sl_report_finish(&report);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_is_all_ok_comes_as_a_row),
        cmocka_unit_test(as_completed_too),
        cmocka_unit_test(items_that_are_tried_again_are_no_row),
        cmocka_unit_test(batches_by_key_keep_the_order_of_their_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
