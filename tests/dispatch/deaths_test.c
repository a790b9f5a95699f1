/* SPDX-License-Identifier: MIT */
/* How workers hang and die, and what is known of it afterwards. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <slither/death.h>

#include "runs.h"
#include "scratch.h"

#define FIRST_ID 1000 /* of the items that testing/crew.c makes */

static struct host host;

static struct trial soon_over(const char *function, uint64_t count) {
    struct trial trial = trial_of(function, count);
    trial.options.timeout_ms = 700;
    return trial;
}

static void expect_text(const char *text, const char *part) {
    if (text == NULL || strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in: %s", part, text != NULL ? text : "(nothing)");
    }
}

/* ---- hangs ---------------------------------------------------------------------------------------------------- */

static void quick_beats(struct sl_pool_options *options) {
    options->heartbeat_ms = 50;
    options->stack_timeout_ms = 20000;
}

static void expect_hang(const char *function, enum sl_activity activity, const char *text, const char *where) {
    char name[96];
    snprintf(name, sizeof name, "dispatch_deaths:%s", function);
    struct trial trial = soon_over(name, 3);
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_FAILED], 3);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_WORKER_TIMEOUT);
    expect_text(error->message, text);
    expect_text(error->message, "timeout of 700 ms");
    assert_non_null(error->death);
    assert_int_equal(error->death->cause, SL_DEATH_TIMEOUT);
    assert_int_equal(error->death->activity, activity);
    assert_true(error->death->age_ms >= 600);
    assert_int_equal(error->death->item_count, 3);
    assert_int_equal(error->death->item_ids[2], FIRST_ID + 2);
    assert_true(error->death->samples[0].rss_bytes > 1 << 20);
    if (where != NULL) {
        expect_text(error->traceback, where);
        expect_text(error->death->traceback, where);
    }
    trial_finish(&trial);
}

static void a_hung_worker_tells_what_it_does_and_where(void **unused) {
    (void)unused;
    host_open(&host, 1, quick_beats);
    expect_hang("spins_in_python", SL_ACTIVITY_PYTHON, "was running Python code", "in spins_in_python");
    expect_hang("waits", SL_ACTIVITY_WAITING, "was waiting in a system call", "line 17 in waits");
    expect_hang("spins_in_c", SL_ACTIVITY_NATIVE, "was in native code", "line 21 in spins_in_c");
    expect_hang("sleeps_in_c_with_the_gil", SL_ACTIVITY_WAITING, "was waiting", "in sleeps_in_c_with_the_gil");
    expect_hang("stops", SL_ACTIVITY_STOPPED, "was stopped by a signal", NULL);
    assert_true(host_stats(&host).deaths[SL_DEATH_TIMEOUT] >= 5); /* one that has not begun in time dies as well */
    host_close(&host);
}

static void no_questions(struct sl_pool_options *options) {
    options->stack_timeout_ms = 0;
    options->heartbeat_ms = 0;
}

static void without_questions_there_is_no_answer(void **unused) {
    (void)unused;
    host_open(&host, 1, no_questions);
    struct trial trial = soon_over("dispatch_deaths:waits", 1);
    trial_run(&host, &trial, SL_OK);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_WORKER_TIMEOUT);
    assert_null(error->traceback);
    assert_int_equal(error->death->activity, SL_ACTIVITY_UNKNOWN);
    assert_int_equal(error->death->samples[0].rss_bytes, 0);
    trial_finish(&trial);
    host_close(&host);
}

static void with_grace(struct sl_pool_options *options) {
    options->term_grace_ms = 20000;
    options->stack_timeout_ms = 20000;
}

static void a_hung_worker_may_clean_up(void **unused) {
    (void)unused;
    host_open(&host, 1, with_grace);
    struct trial trial = soon_over("dispatch_deaths:cleans_up", 1);
    trial_run(&host, &trial, SL_OK);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_WORKER_TIMEOUT);
    assert_int_equal(error->exit_status, 7);
    assert_int_equal(error->death->exit_status, 7);
    assert_int_equal(error->death->cause, SL_DEATH_TIMEOUT);
    expect_text(error->stderr_tail, "cleaned up after SIGTERM");
    expect_text(error->traceback, "in cleans_up");
    trial_finish(&trial);
    host_close(&host);
}

static char mark[SCRATCH_SIZE];

static void impatient(struct sl_pool_options *options) {
    static char variable[SCRATCH_SIZE + 16];
    static const char *environment[] = {variable, NULL};
    snprintf(variable, sizeof variable, "DEATHS_MARK=%s", mark);
    options->environment = environment;
    options->heartbeat_ms = 20;
    options->heartbeat_timeout_ms = 300;
}

static void a_silent_worker_is_replaced_whatever_the_timeout(void **unused) {
    (void)unused;
    scratch_place(mark, "deaths_test");
    host_open(&host, 1, impatient);
    struct trial trial = soon_over("dispatch_deaths:stops_once", 1);
    trial.options.timeout_ms = 0;
    trial.options.policy.on_error = SL_ON_ERROR_RETRY;
    trial.options.policy.max_attempts = 20; /* where processors are scarce, others are silent for so long as well */
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 1);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_WORKER_TIMEOUT);
    assert_int_equal(error->death->cause, SL_DEATH_SILENT);
    assert_int_equal(error->death->activity, SL_ACTIVITY_STOPPED);
    expect_text(error->message, "no sign of life");
    expect_text(error->message, "was stopped by a signal");
    assert_true(host_stats(&host).deaths[SL_DEATH_SILENT] >= 1);
    trial_finish(&trial);
    (void)unlink(mark);
    host_close(&host);
}

/* ---- crashes -------------------------------------------------------------------------------------------------- */

static void a_crash_leaves_a_certificate(void **unused) {
    (void)unused;
    host_open(&host, 1, quick_beats);
    struct trial trial = soon_over("dispatch_deaths:works", 5);
    trial.options.timeout_ms = 0;
    trial.options.batch_size = 1;
    trial_run(&host, &trial, SL_OK);
    trial_finish(&trial);

    trial = trial_of("dispatch_deaths:crashes", 2);
    trial_run(&host, &trial, SL_OK);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_WORKER_CRASHED);
    expect_text(error->traceback, "Segmentation fault");
    expect_text(error->traceback, "in crashes");
    assert_string_equal(error->stderr_tail, "one more thing");
    trial_finish(&trial);

    struct sl_death *deaths[4];
    assert_int_equal(sl_pool_deaths(host.pool, deaths, 4), 1);
    const struct sl_death *death = deaths[0];
    assert_int_equal(death->cause, SL_DEATH_SIGNAL);
    assert_int_equal(death->term_signal, SIGSEGV);
    assert_int_equal(death->worker, 0);
    assert_int_equal(death->generation, 1);
    assert_int_equal(death->batch_count, 5);
    assert_int_equal(death->item_count, 2);
    assert_int_equal(death->item_ids[1], FIRST_ID + 1);
    assert_true(death->pid > 0 && death->time_ms > 0 && death->age_ms >= 1400);
    assert_true(death->samples[0].rss_bytes > 1 << 20);
    expect_text(death->traceback, "in crashes");
    assert_string_equal(death->stderr_tail, "one more thing");
    sl_death_destroy(deaths[0]);
    host_close(&host);
}

static void the_pool_keeps_the_last_deaths(void **unused) {
    (void)unused;
    host_open(&host, 1, NULL);
    struct trial trial = trial_of("dispatch_deaths:crashes", SL_POOL_DEATHS_MAX + 6);
    trial.options.max_in_flight = 1; /* what lies in the lane of one that dies may come in another order */
    trial.options.batch_size = 1;
    trial_run(&host, &trial, SL_OK);
    trial_finish(&trial);
    struct sl_death *deaths[SL_POOL_DEATHS_MAX + 10];
    uint32_t count = sl_pool_deaths(host.pool, deaths, SL_POOL_DEATHS_MAX + 10);
    assert_int_equal(count, SL_POOL_DEATHS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(deaths[i]->generation, SL_POOL_DEATHS_MAX + 6 - i);
        assert_int_equal(deaths[i]->item_count, 1);
        assert_int_equal(deaths[i]->item_ids[0], FIRST_ID + SL_POOL_DEATHS_MAX + 5 - i);
        sl_death_destroy(deaths[i]);
    }
    struct sl_pool_stats stats = host_stats(&host);
    assert_int_equal(stats.deaths[SL_DEATH_SIGNAL], SL_POOL_DEATHS_MAX + 6);
    assert_int_equal(stats.death_count, SL_POOL_DEATHS_MAX + 6);
    host_close(&host);
}

static void a_poison_item_is_named(void **unused) {
    (void)unused;
    host_open(&host, 2, NULL);
    struct trial trial = trial_of("dispatch_deaths:crashes_at_thirteen", 64);
    trial.options.policy.on_error = SL_ON_ERROR_ISOLATE;
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_FAILED], 1);
    const struct sl_error *error = &trial.report.errors[trial.report.error_count - 1].error;
    assert_int_equal(error->death->item_count, 1);
    assert_int_equal(error->death->item_ids[0], FIRST_ID + 13);
    expect_text(error->traceback, "in crashes_at_thirteen");
    trial_finish(&trial);
    host_close(&host);
}

static void a_certificate_is_part_of_the_report(void **unused) {
    (void)unused;
    host_open(&host, 1, NULL);
    struct trial trial = trial_of("dispatch_deaths:killed", 1);
    trial_run(&host, &trial, SL_OK);
    struct sl_writer writer;
    struct sl_value value, list, first, death, cause, evidence;
    const char *text;
    size_t size;
    sl_writer_init(&writer, NULL);
    sl_report_write(&trial.report, &writer);
    assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
    assert_int_equal(sl_value_get(value, "errors", &list), SL_OK);
    assert_int_equal(sl_value_at(list, 0, &first), SL_OK);
    assert_int_equal(sl_value_get(first, "death", &death), SL_OK);
    assert_int_equal(sl_value_get(death, "cause", &cause), SL_OK);
    assert_int_equal(sl_value_str(cause, &text, &size), SL_OK);
    assert_memory_equal(text, "signal", size);
    assert_int_equal(sl_value_get(death, "evidence", &evidence), SL_OK);
    sl_writer_finish(&writer);
    trial_finish(&trial);
    host_close(&host);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static void limited(struct sl_pool_options *options) {
    options->memory_max_bytes = (uint64_t)256 << 20;
}

static void too_much_memory_costs_the_batch_or_the_item(void **unused) {
    (void)unused;
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: the shadow of AddressSanitizer is more than the limit\n");
    skip();
#endif
    host_open(&host, 1, limited);
    struct trial trial = soon_over("dispatch_deaths:takes_much", 20);
    trial.options.timeout_ms = 0;
    trial.options.batch_size = 5;
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 10);
    assert_int_equal(trial.report.count[SL_STATUS_FAILED], 10);
    assert_int_equal(trial.report.errors[0].error.code, SL_E_OUT_OF_MEMORY);
    expect_text(trial.report.errors[0].error.traceback, "in takes_much");
    trial_finish(&trial);

    trial = soon_over("dispatch_deaths:takes_much_one", 20);
    trial.options.timeout_ms = 0;
    trial.options.mode = SL_CALL_EACH;
    trial_run(&host, &trial, SL_OK);
    assert_int_equal(trial.report.count[SL_STATUS_OK], 18);
    assert_int_equal(record_of(&trial.record, 10)->code, SL_E_OUT_OF_MEMORY);
    trial_finish(&trial);
    assert_int_equal(host_stats(&host).death_count, 0);

    trial = soon_over("dispatch_deaths:aborts_for_memory", 1);
    trial.options.timeout_ms = 0;
    trial_run(&host, &trial, SL_OK);
    const struct sl_error *error = &trial.report.errors[0].error;
    assert_int_equal(error->code, SL_E_OUT_OF_MEMORY);
    assert_int_equal(error->death->cause, SL_DEATH_MEMORY_LIMIT);
    expect_text(error->death->evidence, "256 MiB");
    expect_text(error->death->evidence, "bad_alloc");
    trial_finish(&trial);
    host_close(&host);
}

/* ---- a look from outside -------------------------------------------------------------------------------------- */

static void a_worker_can_be_looked_at(void **unused) {
    (void)unused;
    host_open(&host, 2, quick_beats);
    struct sl_worker_info info = SL_WORKER_INFO_INIT;
    assert_int_equal(sl_pool_worker(host.pool, 2, &info), SL_E_NOT_FOUND);
    assert_int_equal(sl_pool_worker(host.pool, 0, &info), SL_OK);
    assert_string_equal(info.state, "ready");
    assert_int_equal(info.pid, sl_pool_worker_pid(host.pool, 0));
    assert_int_equal(info.generation, 1);
    assert_false(info.busy);
    assert_int_equal(info.batch_count, 0);
    struct trial trial = soon_over("dispatch_deaths:works", 6);
    trial.options.timeout_ms = 0;
    trial.options.batch_size = 1;
    trial_run(&host, &trial, SL_OK);
    trial_finish(&trial);
    uint64_t batches = 0, rss = 0;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(sl_pool_worker(host.pool, i, &info), SL_OK);
        batches += info.batch_count;
        rss += info.rss_bytes;
        assert_true(info.heard_ms <= info.age_ms);
    }
    assert_int_equal(batches, 6);
    assert_true(rss > 1 << 20);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hung_worker_tells_what_it_does_and_where),
        cmocka_unit_test(without_questions_there_is_no_answer),
        cmocka_unit_test(a_hung_worker_may_clean_up),
        cmocka_unit_test(a_silent_worker_is_replaced_whatever_the_timeout),
        cmocka_unit_test(a_crash_leaves_a_certificate),
        cmocka_unit_test(the_pool_keeps_the_last_deaths),
        cmocka_unit_test(a_poison_item_is_named),
        cmocka_unit_test(a_certificate_is_part_of_the_report),
        cmocka_unit_test(too_much_memory_costs_the_batch_or_the_item),
        cmocka_unit_test(a_worker_can_be_looked_at),
    };
    return cmocka_run_group_tests_name("deaths", tests, NULL, NULL);
}
