/* SPDX-License-Identifier: MIT */
/* Runs over real workers: what functions may do wrong, and what the host makes of it. */
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runs.h"
#include "scratch.h"

static struct host host;

static int open_host(void **state) {
    (void)state;
    host_open(&host, 2, NULL);
    return 0;
}

static int close_host(void **state) {
    (void)state;
    host_close(&host);
    return 0;
}

static void items_go_through_python(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 64, 1000}, windows[] = {1, 2, 8, 64};
    for (size_t s = 0; s < 3; s++) {
        for (size_t w = 0; w < 4; w++) {
            for (int padding = 0; padding < 2; padding++) {
                struct trial trial = trial_of("dispatch_functions:triple", 5000);
                trial.options.batch_size = sizes[s];
                trial.options.max_in_flight = windows[w];
                trial.numbers.padding = padding != 0 ? 700 : 0; /* with it large batches leave the segment */
                trial_run(&host, &trial, SL_OK);
                record_all_right(&trial.record, 5000);
                assert_true(trial.report.in_flight_peak <= windows[w]);
                trial_finish(&trial);
            }
        }
    }
}

static void marks_of_a_function_become_statuses(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:marks", 100);
    trial_run(&host, &trial, SL_OK);
    for (size_t i = 0; i < 100; i++) {
        static const enum sl_status expected[] = {SL_STATUS_OK, SL_STATUS_SKIPPED, SL_STATUS_ROUTED, SL_STATUS_FAILED};
        const struct seen *seen = &trial.record.seen[i];
        char reason[32];
        snprintf(reason, sizeof reason, "reason %zu", i);
        assert_int_equal(seen->status, expected[i % 4]);
        assert_string_equal(seen->route, i % 4 == 1 ? reason : i % 4 == 2 ? "away" : "");
        assert_int_equal(seen->code, i % 4 == 3 ? SL_E_ITEM : SL_OK);
    }
    trial_finish(&trial);
}

static void in_mode_each_an_exception_fails_its_item(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:triple_one", 100);
    trial.options.mode = SL_CALL_EACH;
    trial.options.batch_size = 100;
    trial_run(&host, &trial, SL_OK);
    for (size_t i = 0; i < 100; i++) {
        const struct seen *seen = &trial.record.seen[i];
        enum sl_status expected = i % 10 == 3   ? SL_STATUS_FAILED
                                  : i % 10 == 4 ? SL_STATUS_SKIPPED
                                  : i % 10 == 5 ? SL_STATUS_ROUTED
                                                : SL_STATUS_OK;
        assert_int_equal(seen->status, expected);
        assert_int_equal(seen->code, i % 10 == 3 ? SL_E_PYTHON : SL_OK);
    }
    assert_int_equal(trial.report.error_count, 10);
    assert_non_null(strstr(trial.report.errors[0].error.message, "ValueError: no threes: 3"));
    assert_non_null(trial.report.errors[0].error.traceback);
    assert_non_null(strstr(trial.report.errors[0].error.traceback, "triple_one"));
    trial_finish(&trial);
}

static void an_exception_carries_its_traceback_and_is_isolated(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:raise_thirteen", 100);
    trial.options.policy.on_error = SL_ON_ERROR_ISOLATE;
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 99);
    assert_int_equal(record_of(&trial.record, 13)->code, SL_E_PYTHON);
    const struct sl_error *error = &trial.report.errors[trial.report.error_count - 1].error;
    assert_non_null(strstr(error->traceback, "raise_thirteen"));
    assert_non_null(strstr(error->message, "\xc3\xbcnlucky"));
    struct sl_writer writer;
    struct sl_value value;
    sl_writer_init(&writer, NULL);
    sl_report_write(&trial.report, &writer); /* messages that were cut are still text */
    assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
    sl_writer_finish(&writer);
    trial_finish(&trial);

    trial = trial_of("dispatch_functions:raise_thirteen", 100);
    trial.options.policy.on_error = SL_ON_ERROR_HALT;
    trial_run(&host, &trial, SL_E_HALTED);
    trial_finish(&trial);
}

static void wrong_results_name_what_was_expected(void **state) {
    (void)state;
    static const struct {
        const char *function;
        enum sl_code code;
        const char *text;
    } cases[] = {
        {"dispatch_functions:too_few", SL_E_BAD_RESULT, "too_few"},
        {"dispatch_functions:not_a_list", SL_E_BAD_RESULT, "not_a_list"},
        {"dispatch_functions:unserializable", SL_E_NOT_SERIALIZABLE, "object"},
        {"dispatch_functions:missing", SL_E_FUNCTION, "missing"},
        {"no_such_module:f", SL_E_IMPORT, "no_such_module"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trial trial = trial_of(cases[i].function, 10);
        trial_run(&host, &trial, SL_OK);
        assert_int_equal(trial.report.count[SL_STATUS_FAILED], 10);
        assert_int_equal(trial.record.seen[0].code, cases[i].code);
        assert_non_null(strstr(trial.report.errors[0].error.message, cases[i].text));
        trial_finish(&trial);
    }
}

static void a_crash_tells_how_and_what_was_said_last(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:leave", 10);
    trial_run(&host, &trial, SL_OK);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_WORKER_CRASHED);
    assert_int_equal(error->exit_status, 7);
    assert_int_equal(error->term_signal, 0);
    assert_true(error->worker < 2 && error->generation >= 1);
    assert_non_null(error->stderr_tail);
    assert_non_null(strstr(error->stderr_tail, "leaving with 7"));
    assert_int_equal(trial.report.worker_death_count, 1);
    trial_finish(&trial);
}

static void crashes_cost_only_the_item_that_causes_them(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:crash_thirteen", 64);
    trial.options.policy.on_error = SL_ON_ERROR_ISOLATE;
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 63);
    assert_int_equal(record_of(&trial.record, 13)->code, SL_E_WORKER_CRASHED);
    assert_int_equal(trial.report.worker_death_count, 7);
    assert_true(trial.report.batch_count <= 13);
    trial_finish(&trial);
}

static void a_batch_past_its_timeout_loses_its_worker(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:sleep_thirteen", 200);
    trial.options.timeout_ms = 1000; /* in which all the others have to be done */
    trial.options.batch_size = 10;
    uint64_t before = now_ms();
    trial_run(&host, &trial, SL_OK);
    assert_true(now_ms() - before >= 999);
    assert_int_equal(trial.report.count[SL_STATUS_FAILED], 10);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 190);
    assert_int_equal(record_of(&trial.record, 13)->code, SL_E_WORKER_TIMEOUT);
    assert_non_null(strstr(trial.report.errors[0].error.message, "timeout of 1000 ms"));
    trial_finish(&trial);
}

/* Batches that wait in a lane for those before them: the timeout of each begins when its worker begins it. */
static void the_timeout_begins_with_the_batch(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:third_of_a_second", 12);
    trial.options.timeout_ms = 900;
    trial.options.batch_size = 1;
    trial_run(&host, &trial, SL_OK);
    record_all_right(&trial.record, 12);
    assert_int_equal(trial.report.worker_death_count, 0);
    trial_finish(&trial);
}

/* ---- blame --------------------------------------------------------------------------------------------------------------- */

static struct sl_writer marked_writer;

static enum sl_code next_with_path(void *context, struct sl_item *item, struct sl_error *error) {
    uint64_t *x = ((void **)context)[0];
    const char *path = ((void **)context)[1], *given = ((void **)context)[2];
    if (*x == 40) {
        int fd = open(given, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0 && close(fd) == 0);
        return SL_E_END;
    }
    sl_writer_reset(&marked_writer);
    sl_write_list(&marked_writer, 2);
    sl_write_int(&marked_writer, (int64_t)*x);
    sl_write_str(&marked_writer, path);
    item->id = 1000 + (*x)++;
    return sl_writer_end(&marked_writer, &item->value, error);
}

static void what_was_queued_behind_a_crash_is_not_blamed(void **state) {
    (void)state;
    char path[SCRATCH_SIZE], given[SCRATCH_SIZE + sizeof ".given"];
    scratch_place(path, "sl-dispatch");
    snprintf(given, sizeof given, "%s.given", path);
    sl_writer_init(&marked_writer, NULL);
    struct sl_dispatch_options options = host_options("dispatch_functions:die_once");
    options.batch_size = 1;
    options.policy.on_error = SL_ON_ERROR_SKIP;
    uint64_t position = 0;
    void *three[] = {&position, path, given};
    struct record record = {0};
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_sink sink = record_sink(&record);
    struct sl_source source = {next_with_path, three};
    assert_int_equal(sl_dispatch_run(host.pool, &options, source, &sink, &report, &error), SL_OK);
    record_complete(&record, 40);
    assert_int_equal(report.count[SL_STATUS_OK], 39);
    assert_int_equal(report.count[SL_STATUS_FAILED], 1);
    assert_int_equal(record_of(&record, 13)->code, SL_E_WORKER_CRASHED);
    assert_true(report.requeue_count >= 1); /* those in its lane's ring */
    for (size_t i = 0; i < record.count; i++) {
        assert_int_equal(record.seen[i].attempts, 1);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(given), 0);
    sl_report_finish(&report);
    record_finish(&record);
    sl_writer_finish(&marked_writer);
}

/* While one worker runs for long the other one dies: its successor is used as soon as it is there. */
static void a_new_worker_is_not_left_idle(void **state) {
    (void)state;
    struct trial trial = trial_of("dispatch_functions:long_and_crash", 40);
    trial.options.batch_size = 1;
    trial.options.max_in_flight = 2;
    trial.options.ordering = SL_ORDERING_AS_COMPLETED;
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 39);
    assert_int_equal(record_of(&trial.record, 5)->code, SL_E_WORKER_CRASHED);
    assert_int_equal(trial.record.seen[39].sequence, 0);
    trial_finish(&trial);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

struct keyed_run {
    struct sl_writer writer, key;
    uint64_t position, count;
    uint32_t key_count;
    int64_t pids[16], order[16];
    uint64_t ok;
    bool wrong;
};

static enum sl_code next_keyed(void *context, struct sl_item *item, struct sl_error *error) {
    struct keyed_run *run = context;
    if (run->position == run->count) {
        return SL_E_END;
    }
    sl_writer_reset(&run->writer);
    sl_write_list(&run->writer, 2);
    sl_write_int(&run->writer, (int64_t)run->position);
    sl_write_int(&run->writer, (int64_t)(run->position * 2654435761u % run->key_count));
    run->position++;
    return sl_writer_end(&run->writer, &item->value, error);
}

static enum sl_code second_of(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    (void)context;
    (void)error;
    return sl_value_at(item->value, 1, key);
}

static enum sl_code put_keyed(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct keyed_run *run = context;
    struct sl_value parts[4];
    (void)error;
    run->ok += outcome->status == SL_STATUS_OK;
    for (uint32_t i = 0; i < 4; i++) {
        run->wrong |= sl_value_at(outcome->value, i, &parts[i]) != SL_OK;
    }
    int64_t key = int_of(parts[1]), pid = int_of(parts[2]), order = int_of(parts[3]);
    run->wrong |=
        key < 0 || key >= 16 || (run->pids[key] != 0 && run->pids[key] != pid) || order != run->order[key] + 1;
    run->pids[key] = pid;
    run->order[key] = order;
    return SL_OK;
}

static void a_key_stays_on_its_lane_across_runs(void **state) {
    (void)state;
    struct keyed_run run = {.count = 3000, .key_count = 16};
    struct host own;
    host_open(&own, 3, NULL);
    sl_writer_init(&run.writer, NULL);
    for (int round = 0; round < 3; round++) {
        struct sl_dispatch_options options = host_options("dispatch_functions:keyed");
        struct sl_strategy_functions functions = {.key = second_of};
        struct sl_error error = SL_ERROR_INIT;
        struct sl_sink sink = {put_keyed, &run};
        options.strategy = sl_strategy_key(&functions);
        options.batch_size = 8 + (uint32_t)round;
        run.position = 0;
        assert_int_equal(sl_dispatch_run(own.pool, &options, (struct sl_source){next_keyed, &run}, &sink, NULL, &error),
                         SL_OK);
    }
    assert_false(run.wrong);
    assert_int_equal(run.ok, 9000);
    uint32_t workers = 1;
    for (int k = 1; k < 16; k++) {
        bool known = false;
        for (int i = 0; i < k; i++) {
            known |= run.pids[i] == run.pids[k];
        }
        workers += !known;
    }
    assert_int_equal(workers, 3); /* and the keys are spread */
    sl_writer_finish(&run.writer);
    host_close(&own);
}

/* Keys of a user's strategy may be small numbers, whose upper half is empty. */
static enum sl_code place_small(void *context, const struct sl_item *item, struct sl_placement *placement,
                                struct sl_error *error) {
    struct sl_value key;
    int64_t number = 0;
    (void)context;
    (void)error;
    assert_int_equal(sl_value_at(item->value, 1, &key), SL_OK);
    assert_int_equal(sl_value_int(key, &number), SL_OK);
    placement->key = (uint64_t)number + 1;
    return SL_OK;
}

static void small_keys_are_spread_over_the_lanes(void **state) {
    (void)state;
    struct keyed_run run = {.count = 1000, .key_count = 16};
    sl_writer_init(&run.writer, NULL);
    struct sl_dispatch_options options = host_options("dispatch_functions:keyed");
    struct sl_error error = SL_ERROR_INIT;
    struct host own;
    host_open(&own, 2, NULL);
    struct sl_sink sink = {put_keyed, &run};
    options.strategy = (struct sl_strategy){"small", place_small, NULL};
    assert_int_equal(sl_dispatch_run(own.pool, &options, (struct sl_source){next_keyed, &run}, &sink, NULL, &error),
                     SL_OK);
    bool spread = false;
    for (int k = 1; k < 16; k++) {
        spread |= run.pids[k] != run.pids[0];
    }
    assert_true(spread);
    assert_false(run.wrong);
    sl_writer_finish(&run.writer);
    host_close(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_go_through_python),
        cmocka_unit_test(marks_of_a_function_become_statuses),
        cmocka_unit_test(in_mode_each_an_exception_fails_its_item),
        cmocka_unit_test(an_exception_carries_its_traceback_and_is_isolated),
        cmocka_unit_test(wrong_results_name_what_was_expected),
        cmocka_unit_test(a_crash_tells_how_and_what_was_said_last),
        cmocka_unit_test(crashes_cost_only_the_item_that_causes_them),
        cmocka_unit_test(a_batch_past_its_timeout_loses_its_worker),
        cmocka_unit_test(the_timeout_begins_with_the_batch),
        cmocka_unit_test(what_was_queued_behind_a_crash_is_not_blamed),
        cmocka_unit_test(a_new_worker_is_not_left_idle),
        cmocka_unit_test(a_key_stays_on_its_lane_across_runs),
        cmocka_unit_test(small_keys_are_spread_over_the_lanes),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
