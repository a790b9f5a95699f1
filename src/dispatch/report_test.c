/* SPDX-License-Identifier: MIT */
/* The report: percentiles, hot keys, its form as a value. */
#include <slither/json.h>

#include "base/utf8.h"
#include "run.h"
#include "testing/crew.h"

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void percentiles_are_within_four_percent(void **state) {
    (void)state;
    uint64_t random = draw_seed() | 1;
    static uint64_t values[20000];
    static struct sl__latency latency;
    for (int round = 0; round < 8; round++) {
        memset(&latency, 0, sizeof latency);
        for (size_t i = 0; i < 20000; i++) { /* from nanoseconds to minutes */
            values[i] = draw(&random) >> (20 + draw_below(&random, round < 4 ? 40 : 8));
            sl__latency_add(&latency, values[i]);
        }
        qsort(values, 20000, sizeof values[0], by_value);
        static const double quantiles[] = {0.5, 0.95, 0.99};
        for (size_t i = 0; i < 3; i++) {
            double exact = (double)values[(size_t)(quantiles[i] * 20000)];
            double estimate = (double)sl__latency_at(&latency, quantiles[i]);
            assert_true(estimate <= exact * 1.04 + 1 && estimate >= exact * 0.96 - 1);
        }
        assert_int_equal(latency.max_ns, values[19999]);
    }
    memset(&latency, 0, sizeof latency);
    assert_int_equal(sl__latency_at(&latency, 0.5), 0);
    sl__latency_add(&latency, UINT64_MAX);
    assert_true(sl__latency_at(&latency, 0.5) <= UINT64_MAX);
}

/* ---- hot keys -------------------------------------------------------------------------------------------------------- */

struct names {
    struct sl_writer writer;
    uint32_t key_count;
};

static enum sl_code name_of(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    struct names *names = context;
    uint64_t x = (uint64_t)number_of(item->value);
    char text[200] = "";
    /* Half of the items are of key 0, a quarter of key 1, and so on; the rest are spread over all keys. */
    uint32_t k = x % 16 == 15 ? (uint32_t)(x / 16 % names->key_count) : (uint32_t)__builtin_ctzll(x % 16 + 1);
    snprintf(
        text, sizeof text, "%u  %s", k,
        k == 1
            ? "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
              "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
              "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
            : "plain");
    sl_writer_reset(&names->writer);
    sl_write_str(&names->writer, text);
    return sl_writer_end(&names->writer, key, error);
}

static void hot_keys_are_counted(void **state) {
    (void)state;
    static const uint32_t key_counts[] = {8, 5000};
    for (size_t i = 0; i < 2; i++) {
        struct names names = {.key_count = key_counts[i]};
        sl_writer_init(&names.writer, NULL);
        struct crew crew = {0};
        crew_open(&crew);
        struct sl_dispatch_options options = crew_options(&crew);
        struct sl_strategy_functions functions = {.key = name_of, .context = &names};
        options.strategy = sl_strategy_key(&functions);
        struct numbers numbers = {.count = 32000};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
        record_all_right(&record, 32000);
        assert_string_equal(report.hot_keys[0].text, "\"0  plain\"");
        assert_int_equal(strncmp(report.hot_keys[1].text, "\"1  \xc3\xa4", 6), 0);
        for (int k = 0; k + 1 < SL_REPORT_HOT_KEYS; k++) {
            assert_true(report.hot_keys[k].item_count >= report.hot_keys[k + 1].item_count);
        }
        uint64_t exact[] = {16000 + (i == 0 ? 250 : 0), 8000 + (i == 0 ? 250 : 0)};
        for (int k = 0; k < 2; k++) {
            assert_true(report.hot_keys[k].item_count <= exact[k] + 2);
            assert_true(report.hot_keys[k].item_count >= exact[k] - (i == 0 ? 0 : 2));
        }
        /* A key that was cut to fit is still text. */
        size_t size = strlen(report.hot_keys[1].text);
        assert_true(size >= 60);
        assert_int_equal(sl__utf8_valid_size(report.hot_keys[1].text, size), size);
        struct sl_writer writer;
        struct sl_value value;
        struct sl_error error = SL_ERROR_INIT;
        sl_writer_init(&writer, NULL);
        sl_report_write(&report, &writer);
        assert_int_equal(sl_writer_end(&writer, &value, &error), SL_OK);
        sl_writer_finish(&writer);
        sl_writer_finish(&names.writer);
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
        crew_close(&crew);
    }
}

/* ---- as a value ------------------------------------------------------------------------------------------------------- */

static void act_fail_multiples(void *context, struct sl_task *task) {
    (void)context;
    if (number_of(sl_task_item(task, 0)) % 12 == 0) {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_WORKER_CRASHED, "twelve");
        error.exit_status = 3;
        error.worker = 1;
        error.generation = 2;
        error.stderr_tail = strdup("last words\n\xff\xfe not text");
        error.traceback = strdup("Traceback ...");
        sl_task_fail(task, &error);
        sl_error_finish(&error);
    } else {
        act_triple(NULL, task);
    }
}

static uint64_t field(struct sl_value map, const char *name) {
    struct sl_value value;
    uint64_t number = UINT64_MAX;
    assert_int_equal(sl_value_get(map, name, &value), SL_OK);
    assert_int_equal(sl_value_uint(value, &number), SL_OK);
    return number;
}

static void a_report_is_written_as_a_value(void **state) {
    (void)state;
    struct crew crew = {.act = act_fail_multiples};
    crew_open(&crew);
    struct sl_dispatch_options options = crew_options(&crew);
    options.batch_size = 4;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    struct numbers numbers = {.count = 30};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    run_numbers(NULL, &options, &numbers, &record, &report, SL_OK);
    struct sl_writer writer;
    struct sl_value value, list, first, text;
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_init(&writer, NULL);
    sl_report_write(&report, &writer);
    assert_int_equal(sl_writer_end(&writer, &value, &error), SL_OK);
    assert_int_equal(field(value, "input"), 30);
    assert_int_equal(field(value, "ok"), 18);
    assert_int_equal(field(value, "failed"), 12);
    assert_int_equal(field(value, "skipped") + field(value, "routed") + field(value, "cancelled"), 0);
    assert_int_equal(field(value, "batches"), 8);
    assert_int_equal(field(value, "batches_failed"), 3);
    assert_int_equal(field(value, "errors_total"), 3);
    assert_true(field(value, "bytes_peak") >= 4);
    assert_true(field(value, "latency_max_ns") >= field(value, "latency_p50_ns"));
    assert_int_equal(sl_value_get(value, "errors", &list), SL_OK);
    assert_int_equal(sl_value_at(list, 1, &first), SL_OK);
    assert_int_equal(field(first, "items"), 4);
    assert_int_equal(field(first, "exit_status"), 3);
    assert_int_equal(field(first, "worker"), 1);
    assert_int_equal(sl_value_get(first, "kind", &text), SL_OK);
    const char *kind;
    size_t size;
    assert_int_equal(sl_value_str(text, &kind, &size), SL_OK);
    assert_int_equal(strncmp(kind, "worker_crashed", size), 0);
    assert_int_equal(sl_value_get(first, "ids", &list), SL_OK);
    assert_int_equal(sl_value_at(list, 3, &text), SL_OK);
    assert_int_equal(int_of(text), 1015);
    char *json = NULL;
    size_t capacity = 0;
    assert_int_equal(sl_json_print(value, 0, &json, &capacity, &size, &error), SL_OK);
    free(json);
    sl_writer_finish(&writer);
    sl_report_finish(&report);
    assert_null(report.errors);
    assert_int_equal(report.input, 0);
    sl_report_finish(&report);
    sl_report_finish(NULL);
    record_finish(&record);
    numbers_finish(&numbers);
    crew_close(&crew);
}

static void statuses_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"ok", "failed", "skipped", "routed", "cancelled"};
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        assert_string_equal(sl_status_name((enum sl_status)i), names[i]);
    }
    assert_string_equal(sl_status_name((enum sl_status)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_four_percent),
        cmocka_unit_test(hot_keys_are_counted),
        cmocka_unit_test(a_report_is_written_as_a_value),
        cmocka_unit_test(statuses_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
