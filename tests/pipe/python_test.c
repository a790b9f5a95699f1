/* SPDX-License-Identifier: MIT */
/* Pipes with Python stages: results, marks, cardinalities, deaths, pools that stages share, endings. */
#include <sched.h>

#include "runs.h"

#include <slither/pipe.h>
#include <slither/session.h>
#include <slither/store.h>

#include "base/macros.h"

struct landing {
    pthread_mutex_t lock;
    uint64_t count[4]; /* by output, in the order of `names` */
    const char *names[4];
    int64_t sum, failed_sum; /* of what came with an error */
    uint64_t last_origin, out_of_order;
    uint64_t with_error;
    enum sl_code last_error;
    int32_t death_signal;
    _Atomic uint64_t total;
};

static enum sl_code land(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct landing *landing = context;
    (void)error;
    pthread_mutex_lock(&landing->lock);
    for (int i = 0; i < 4; i++) {
        if (landing->names[i] == NULL) {
            landing->names[i] = outcome->output; /* lives as long as the pipe */
        }
        if (strcmp(landing->names[i], outcome->output) == 0) {
            landing->count[i]++;
            break;
        }
    }
    if (outcome->origin < landing->last_origin) {
        landing->out_of_order++;
    }
    landing->last_origin = outcome->origin;
    if (outcome->error != NULL) {
        landing->with_error++;
        landing->last_error = outcome->error->code;
        landing->failed_sum += sl_value_type(outcome->value) == SL_TYPE_INT ? int_of(outcome->value) : 0;
        landing->death_signal = outcome->error->term_signal;
    } else if (sl_value_type(outcome->value) == SL_TYPE_INT) {
        landing->sum += int_of(outcome->value);
    }
    pthread_mutex_unlock(&landing->lock);
    atomic_fetch_add(&landing->total, 1);
    return SL_OK;
}

static uint64_t count_of(const struct landing *landing, const char *output) {
    for (int i = 0; i < 4 && landing->names[i] != NULL; i++) {
        if (strcmp(landing->names[i], output) == 0) {
            return landing->count[i];
        }
    }
    return 0;
}

struct job {
    struct host host;
    struct sl_pipe *pipe;
    struct sl_pipe_pool pools[1];
    struct sl_pipe_sink sink;
    struct sl_pipe_options options;
    struct landing landing;
    struct sl_pipe_report report;
    struct sl_error error;
};

static void job_open(struct job *job, const struct sl_pipe_definition *definition, uint32_t workers) {
    *job = (struct job){.options = SL_PIPE_OPTIONS_INIT, .report = SL_PIPE_REPORT_INIT, .error = SL_ERROR_INIT};
    pthread_mutex_init(&job->landing.lock, NULL);
    host_open(&job->host, workers, NULL);
    if (sl_pipe_create(definition, &job->pipe, &job->error) != SL_OK) {
        fail_msg("%s", job->error.message);
    }
    job->pools[0] = (struct sl_pipe_pool){"workers", job->host.pool};
    job->sink = (struct sl_pipe_sink){NULL, land, &job->landing};
    job->options.pools = job->pools;
    job->options.pool_count = 1;
    job->options.sinks = &job->sink;
    job->options.sink_count = 1;
}

static enum sl_code job_run(struct job *job, uint64_t count) {
    struct numbers numbers = {.count = count};
    enum sl_code code = sl_pipe_run(job->pipe, &job->options, numbers_source(&numbers), &job->report, &job->error);
    numbers_finish(&numbers);
    for (uint32_t i = 0; i < job->report.stage_count; i++) {
        uint64_t sum = 0;
        for (int status = 0; status < SL_STATUS_COUNT; status++) {
            sum += job->report.stages[i].count[status];
        }
        assert_int_equal(sum, job->report.stages[i].input);
    }
    return code;
}

static void job_close(struct job *job) {
    sl_pipe_destroy(job->pipe);
    host_close(&job->host);
    sl_pipe_report_finish(&job->report);
    sl_error_finish(&job->error);
    pthread_mutex_destroy(&job->landing.lock);
}

#define SKIP_FAILED .on_error = {.on_error = SL_ON_ERROR_SKIP}

static enum sl_code add_one(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                            struct sl_error *error) {
    (void)error;
    assert_string_equal(item->context->pipe, "scoring");
    assert_string_equal(item->context->stage, context);
    sl_write_int(sl_emit_begin(emit), int_of(item->value) + 1);
    sl_emit_end(emit);
    return SL_OK;
}

static enum sl_code is_big(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = int_of(item->value) > 3000;
    return SL_OK;
}

static void native_python_router(void **state) {
    (void)state;
    static char stage_name[] = "prepare";
    const struct sl_pipe_definition definition = {
        SL_PIPE("scoring"),
        .stages =
            SL_STAGES(SL_NATIVE("prepare", add_one, .context = stage_name),
                      SL_PYTHON("predict", "pipe_functions:triple", .batch_size = 32, .max_in_flight = 4, SKIP_FAILED),
                      SL_ROUTER("route", {is_big, .to = "big"})),
        .outputs = SL_OUTPUTS("big"),
    };
    struct job job;
    job_open(&job, &definition, 2);
    assert_int_equal(job_run(&job, 10000), SL_OK);
    assert_int_equal(atomic_load(&job.landing.total), 10000);
    assert_int_equal(job.landing.out_of_order, 0);
    /* 3 (x + 1) + 1 > 3000 from x = 999 on */
    assert_int_equal(count_of(&job.landing, "big"), 10000 - 999);
    assert_int_equal(job.landing.sum, 3 * (int64_t)(10000 * 10001 / 2) + 10000);
    assert_int_equal(job.report.stages[1].count[SL_STATUS_OK], 10000);
    job_close(&job);
}

static void python_stages_make_many_or_drop(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("cardinality"),
        .stages = SL_STAGES(
            SL_PYTHON("many", "pipe_functions:halves", .cardinality = SL_CARDINALITY_MANY, SKIP_FAILED),
            SL_PYTHON("filter", "pipe_functions:even_only", .cardinality = SL_CARDINALITY_FILTER, SKIP_FAILED)),
    };
    struct job job;
    job_open(&job, &definition, 1); /* both stages share one worker */
    assert_int_equal(job_run(&job, 1000), SL_OK);
    int64_t sum = 0;
    uint64_t count = 0, made = 0;
    for (int64_t x = 0; x < 1000; x++) {
        for (int64_t i = 0; i < x % 4; i++) {
            made++;
            if (i % 2 == 0) {
                sum += 10 * x + i;
                count++;
            }
        }
    }
    assert_int_equal(job.report.stages[0].emitted, made);
    assert_int_equal(job.report.stages[1].input, made);
    assert_int_equal(job.report.stages[1].count[SL_STATUS_SKIPPED], made - count);
    assert_int_equal(atomic_load(&job.landing.total), count);
    assert_int_equal(job.landing.sum, sum);
    assert_int_equal(job.landing.out_of_order, 0);
    job_close(&job);
}

static void marks_are_obeyed(void **state) {
    (void)state;
    const struct sl_route routes[] = {{.to = "aside"}, {.to = NULL}};
    const struct sl_pipe_definition definition = {
        SL_PIPE("marks"),
        .stages = SL_STAGES(SL_PYTHON("sort", "pipe_functions:sort_out", .routes = routes,
                                      .on_error = {.on_error = SL_ON_ERROR_ROUTE}, .on_error_to = "dead")),
        .outputs = SL_OUTPUTS("aside", "dead"),
    };
    struct job job;
    job_open(&job, &definition, 1);
    assert_int_equal(job_run(&job, 500), SL_OK);
    assert_int_equal(count_of(&job.landing, "default"), 100);
    assert_int_equal(count_of(&job.landing, "aside"), 100);
    assert_int_equal(count_of(&job.landing, "dead"), 200); /* the errors, and those that went to an unknown place */
    assert_int_equal(job.landing.with_error, 200);
    int64_t failed_sum = 0;
    for (int64_t x = 0; x < 500; x++) {
        failed_sum += x % 5 >= 3 ? x : 0;
    }
    assert_int_equal(job.landing.failed_sum, failed_sum); /* as they went in */
    assert_int_equal(job.report.stages[0].count[SL_STATUS_SKIPPED], 100);
    job_close(&job);
}

static void results_of_the_wrong_shape_are_named(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("shape"),
        .stages = SL_STAGES(SL_PYTHON("many", "pipe_functions:not_a_list", .cardinality = SL_CARDINALITY_MANY)),
    };
    struct job job;
    job_open(&job, &definition, 1);
    assert_int_equal(job_run(&job, 10), SL_E_HALTED);
    assert_non_null(strstr(job.error.message, "returned int for an item; a stage of cardinality many returns a list"));
    job_close(&job);
}

static void one_poison_item_costs_itself(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("poison"),
        .stages = SL_STAGES(SL_PYTHON("fragile", "pipe_functions:die_on_poison",
                                      .on_error = {.on_error = SL_ON_ERROR_ISOLATE}, .on_error_to = "dead"),
                            SL_PYTHON("after", "pipe_functions:triple", SKIP_FAILED)),
        .outputs = SL_OUTPUTS("dead"),
    };
    struct job job;
    job_open(&job, &definition, 2);
    assert_int_equal(job_run(&job, 1000), SL_OK);
    assert_int_equal(count_of(&job.landing, "dead"), 10);
    assert_int_equal(count_of(&job.landing, "default"), 990);
    assert_int_equal(job.landing.with_error, 10);
    assert_int_equal(job.landing.last_error, SL_E_WORKER_CRASHED);
    assert_int_equal(job.landing.death_signal, 11);
    assert_int_equal(job.landing.out_of_order, 0);
    job_close(&job);
}

static void cancelling_ends_a_function_that_hangs(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("hang"),
        .stages = SL_STAGES(SL_PYTHON("before", "pipe_functions:triple", .batch_size = 1),
                            SL_PYTHON("hang", "pipe_functions:hang", .batch_size = 1, .timeout_ms = UINT32_MAX)),
    };
    struct job job;
    job_open(&job, &definition, 2);
    struct sl_pipe_run *run = NULL;
    assert_int_equal(sl_pipe_start(job.pipe, &job.options, &run, &job.error), SL_OK);
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_int(&writer, 7);
    struct sl_item item = {.id = 7};
    assert_int_equal(sl_writer_end(&writer, &item.value, NULL), SL_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sl_pipe_push(run, &item, NULL), SL_OK);
    }
    /* Past its time the run is cancelled: what hangs is killed, and all is accounted for. */
    assert_int_equal(sl_pipe_finish(run, 300, &job.report, &job.error), SL_E_TIMEOUT);
    assert_non_null(strstr(job.error.message, "not through after 300 ms"));
    assert_int_equal(job.report.input, 20);
    assert_int_equal(job.report.finished, 0);
    assert_int_equal(atomic_load(&job.landing.total), 0);
    assert_int_equal(job.report.stages[1].count[SL_STATUS_CANCELLED], job.report.stages[1].input);
    sl_writer_finish(&writer);
    job_close(&job);
}

/* ---- how far the reading goes ahead ------------------------------------------------------------------------------ */

struct ahead {
    struct numbers numbers;
    _Atomic uint64_t asked; /* how often the source was */
    _Atomic uint64_t landed;
    uint64_t peak;       /* of what was asked for and has not landed */
    uint64_t gate;       /* the first item lands only when so many were asked for; 0: at once */
    uint64_t next, live; /* a live source: numbers that it has given, and those that it has so far */
    uint64_t live_count; /* all that it will have */
    _Atomic(struct sl_pipe_run *) run;
};

static enum sl_code next_asked(void *context, struct sl_item *item, struct sl_error *error) {
    struct ahead *ahead = context;
    atomic_fetch_add(&ahead->asked, 1);
    struct sl_source source = numbers_source(&ahead->numbers);
    return source.next(source.context, item, error);
}

static enum sl_code land_behind(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct ahead *ahead = context;
    (void)error;
    uint64_t deadline_ms = now_ms() + 20000;
    while (outcome->origin == 0 && atomic_load(&ahead->asked) < ahead->gate) { /* reading goes on meanwhile */
        assert_true(now_ms() < deadline_ms);
        sched_yield();
    }
    uint64_t behind = atomic_load(&ahead->asked) - atomic_fetch_add(&ahead->landed, 1);
    ahead->peak = behind > ahead->peak ? behind : ahead->peak;
    return SL_OK;
}

static void run_ahead(const struct sl_pipe_definition *definition, struct ahead *ahead, uint32_t in_flight_max) {
    struct job job;
    job_open(&job, definition, 2);
    job.sink = (struct sl_pipe_sink){NULL, land_behind, ahead};
    job.options.in_flight_max = in_flight_max;
    if (sl_pipe_run(job.pipe, &job.options, (struct sl_source){next_asked, ahead}, &job.report, &job.error) != SL_OK) {
        fail_msg("%s", job.error.message);
    }
    assert_int_equal(atomic_load(&ahead->landed), ahead->numbers.count);
    job_close(&job);
    numbers_finish(&ahead->numbers);
}

static void a_slow_sink_stops_the_reading(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("slow"),
        .stages = SL_STAGES(SL_PYTHON("a", "pipe_functions:triple", .batch_size = 8, .max_in_flight = 2),
                            SL_PYTHON("b", "pipe_functions:triple", .batch_size = 8, .max_in_flight = 2)),
    };
    /* The sink lets nothing go until the source was asked for all that may be under way. */
    struct ahead ahead = {.numbers = {.count = 3000}, .gate = 300};
    run_ahead(&definition, &ahead, 300);
    assert_true(ahead.peak <= 300);
}

static void a_slow_last_stage_stops_the_reading(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("slow"),
        .stages =
            SL_STAGES(SL_PYTHON("a", "pipe_functions:triple", .batch_size = 8, .max_in_flight = 2),
                      SL_PYTHON("b", "pipe_functions:slowly", .batch_size = 8, .max_in_flight = 2, .queue_max = 16)),
    };
    struct ahead ahead = {.numbers = {.count = 3000}};
    run_ahead(&definition, &ahead, 16384);
    /* 16 in the queue; before it and after it two batches that fly, those that may wait for an earlier one, and one that fills; and the one just asked for. */
    assert_true(ahead.peak <= 16 + 2 * 8 * (2 + 16 + 1) + 1);
}

/* Ten at a time, and then no more until those have landed. */
static enum sl_code next_live(void *context, struct sl_item *item, struct sl_error *error) {
    struct ahead *ahead = context;
    if (ahead->next == ahead->live && atomic_load(&ahead->landed) == ahead->live && ahead->live < ahead->live_count) {
        ahead->live += 10;
    }
    if (ahead->next == ahead->live_count) {
        return SL_E_END;
    }
    if (ahead->next == ahead->live) {
        atomic_fetch_add(&ahead->asked, 1);
        return SL_E_AGAIN;
    }
    ahead->next++;
    struct sl_source source = numbers_source(&ahead->numbers);
    return source.next(source.context, item, error);
}

static enum sl_code land_live(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct ahead *ahead = context;
    (void)outcome;
    (void)error;
    if (atomic_fetch_add(&ahead->landed, 1) % 10 == 9) {
        sl_pipe_wake(atomic_load(&ahead->run)); /* the source has something again */
    }
    return SL_OK;
}

static void a_live_source_is_asked_when_it_is_woken(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("live"),
        .stages = SL_STAGES(SL_PYTHON("a", "pipe_functions:triple", .batch_size = 4, .max_delay_ms = 1),
                            SL_PYTHON("b", "pipe_functions:triple", .batch_size = 4, .max_delay_ms = 1)),
    };
    struct ahead ahead = {.numbers = {.count = 500}, .live_count = 500};
    struct job job;
    struct sl_pipe_run *run = NULL;
    job_open(&job, &definition, 2);
    job.sink = (struct sl_pipe_sink){NULL, land_live, &ahead};
    assert_int_equal(sl_pipe_start(job.pipe, &job.options, &run, &job.error), SL_OK);
    atomic_store(&ahead.run, run);
    assert_int_equal(sl_pipe_feed(run, (struct sl_source){next_live, &ahead}, &job.error), SL_OK);
    assert_int_equal(sl_pipe_finish(run, 0, &job.report, &job.error), SL_OK);
    assert_int_equal(atomic_load(&ahead.landed), 500);
    /* Not in a circle: when it is woken, when a batch comes back or has waited long enough, and so on. */
    assert_true(atomic_load(&ahead.asked) <= 50 * 40);
    job_close(&job);
    numbers_finish(&ahead.numbers);
}

static void a_pool_that_is_missing_is_named(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("pools"), .stages = SL_STAGES(SL_PYTHON("a", "pipe_functions:triple", .pool = "gpu"))};
    struct job job;
    job_open(&job, &definition, 1);
    assert_int_equal(job_run(&job, 1), SL_E_INVALID_ARGUMENT);
    assert_string_equal(job.error.message, "stage a wants pool gpu, which the run was not given");
    job.options.pool_count = 0;
    assert_int_equal(job_run(&job, 1), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(job.error.message, "the run was given no pool"));
    job_close(&job);
}

/* ---- context ----------------------------------------------------------------------------------------------------- */

/* [pipe, stage, metadata, stores, session, base, stage behind, its session, what was noted] */
static enum sl_code check_told(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                               struct sl_error *error) {
    struct sl_value entry;
    const char *text;
    size_t size;
    uint64_t session, session_behind;
    int64_t base;
    static const char *const texts[] = {"scoring", "note", "night run", NULL, NULL, NULL, "behind", NULL, "note"};
    for (uint32_t i = 0; i < SL_COUNT_OF(texts); i++) {
        assert_int_equal(sl_value_at(item->value, i, &entry), SL_OK);
        if (texts[i] != NULL) {
            assert_int_equal(sl_value_str(entry, &text, &size), SL_OK);
            assert_int_equal(size, strlen(texts[i]));
            assert_memory_equal(text, texts[i], size);
        }
    }
    assert_int_equal(sl_value_at(item->value, 4, &entry), SL_OK);
    assert_int_equal(sl_value_uint(entry, &session), SL_OK);
    assert_int_equal(sl_value_at(item->value, 7, &entry), SL_OK);
    assert_int_equal(sl_value_uint(entry, &session_behind), SL_OK);
    assert_int_equal(session, session_behind);
    assert_int_equal(session, item->context->session);
    assert_true(session != 0);
    /* The same row from here. */
    assert_int_equal(sl_value_at(item->value, 5, &entry), SL_OK);
    assert_int_equal(sl_value_int(entry, &base), SL_OK);
    assert_null(sl_pipe_context_store(item->context, "absent"));
    struct sl_table *table = NULL;
    struct sl_writer memory;
    struct sl_key key;
    struct sl_value row;
    sl_writer_init(&memory, NULL);
    assert_int_equal(sl_table_open(sl_pipe_context_store(item->context, "prices"), "rates", NULL, &table, error),
                     SL_OK);
    assert_int_equal(sl_table_get(table, sl_key_str(&key, "base"), &memory, &row, error), SL_OK);
    assert_int_equal(int_of(row), base);
    sl_writer_finish(&memory);
    *(uint64_t *)context = session;
    sl_write_int(sl_emit_begin(emit), base);
    sl_emit_end(emit);
    return SL_OK;
}

static void handlers_see_the_run(void **state) {
    (void)state;
    uint64_t seen = 0, before = 0;
    const struct sl_pipe_definition definition = {
        SL_PIPE("scoring"),
        .stages = SL_STAGES(SL_PYTHON("note", "pipe_functions:note", .batch_size = 4),
                            SL_PYTHON("behind", "pipe_functions:behind", .batch_size = 4),
                            SL_NATIVE("check", check_told, .context = &seen)),
    };
    struct job job;
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_store *store = NULL;
    struct sl_table *table = NULL;
    struct sl_key key, row;
    struct sl_writer writer;
    job_open(&job, &definition, 1);
    options.name = "prices";
    assert_int_equal(sl_store_create(job.host.runtime, &options, &store, &job.error), SL_OK);
    const struct sl_table_options table_options = SL_TABLE_OPTIONS_INIT;
    assert_int_equal(sl_table_open(store, "rates", &table_options, &table, &job.error), SL_OK);
    assert_int_equal(sl_table_put(table, sl_key_str(&key, "base"), sl_key_int(&row, 41), NULL, &job.error), SL_OK);
    const struct sl_pipe_store stores[] = {{"prices", store}};
    job.options.stores = stores;
    job.options.store_count = 1;
    sl_writer_init(&writer, NULL);
    sl_write_str(&writer, "night run");
    assert_int_equal(sl_writer_end(&writer, &job.options.metadata, NULL), SL_OK);
    for (int round = 0; round < 2; round++) {
        before = seen;
        assert_int_equal(job_run(&job, 20), SL_OK);
        assert_int_equal(job.landing.sum, (round + 1) * 20 * 41);
        assert_true(seen != before); /* each run has a session of its own */
        sl_pipe_report_finish(&job.report);
    }
    sl_writer_finish(&writer);
    sl_pipe_destroy(job.pipe);
    job.pipe = NULL;
    sl_store_destroy(store);
    job_close(&job);
}

static void a_pipe_works_on_the_session_that_it_is_given(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("scoring"), .stages = SL_STAGES(SL_PYTHON("told", "pipe_functions:told", .batch_size = 5))};
    struct job job;
    job_open(&job, &definition, 2);
    assert_int_equal(sl_session_open(job.host.pool, NULL, &job.options.session, &job.error), SL_OK);
    uint64_t id = sl_session_id(job.options.session);
    assert_int_equal(job_run(&job, 100), SL_OK);
    assert_int_equal(job.landing.sum, 100 * (int64_t)id);
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    sl_session_info(job.options.session, &info);
    assert_true(info.has_state); /* it outlives the run */
    sl_session_close(job.options.session);
    job_close(&job);
}

static void a_stream_over_workers_may_be_left_half_way(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("scoring"),
        .stages = SL_STAGES(SL_PYTHON("predict", "pipe_functions:triple", .batch_size = 16),
                            SL_ROUTER("route", {is_big, .to = "big"})),
        .outputs = SL_OUTPUTS("big"),
    };
    struct job job;
    struct sl_pipe_outcome outcome;
    job_open(&job, &definition, 2);
    job.options.sink_count = 0;
    job.options.in_flight_max = 200;
    for (uint64_t taken = 100; taken <= 2000; taken += 1900) {
        struct numbers numbers = {.count = 2000};
        struct sl_pipe_stream *stream = NULL;
        assert_int_equal(sl_pipe_stream_open(job.pipe, &job.options, numbers_source(&numbers), &stream, &job.error),
                         SL_OK);
        for (uint64_t i = 0; i < taken; i++) {
            assert_int_equal(sl_pipe_stream_next(stream, NULL, &outcome, &job.error), SL_OK);
            assert_int_equal(int_of(outcome.value), 3 * (int64_t)i + 1);
            assert_string_equal(outcome.output, 3 * i + 1 > 3000 ? "big" : "default");
            assert_true(numbers.pulled <= i + 1 + 200);
        }
        if (taken == 2000) {
            assert_int_equal(sl_pipe_stream_next(stream, NULL, &outcome, &job.error), SL_E_END);
        }
        sl_pipe_stream_close(stream, NULL);
        numbers_finish(&numbers);
    }
    job_close(&job);
}

static void what_does_not_fit_a_context_is_named(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {SL_PIPE("scoring"),
                                                  .stages = SL_STAGES(SL_PYTHON("told", "pipe_functions:told"))};
    static char text[SL_CONTEXT_MAX];
    struct job job;
    struct sl_writer writer;
    job_open(&job, &definition, 1);
    memset(text, 'x', sizeof text - 1);
    sl_writer_init(&writer, NULL);
    sl_write_str(&writer, text);
    assert_int_equal(sl_writer_end(&writer, &job.options.metadata, NULL), SL_OK);
    assert_int_equal(job_run(&job, 1), SL_E_LIMIT);
    assert_non_null(strstr(job.error.message, "stage told: what its calls get along (names, metadata, stores) has "));
    assert_non_null(strstr(job.error.message, "at most 4096 are possible"));
    job.options.metadata = (struct sl_value){NULL, 0};
    const struct sl_pipe_store stores[] = {{"prices", NULL}};
    job.options.stores = stores;
    job.options.store_count = 1;
    assert_int_equal(job_run(&job, 1), SL_E_INVALID_ARGUMENT);
    assert_string_equal(job.error.message, "pipe scoring: store 0 has no store");
    sl_writer_finish(&writer);
    job_close(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_see_the_run),
        cmocka_unit_test(a_pipe_works_on_the_session_that_it_is_given),
        cmocka_unit_test(a_stream_over_workers_may_be_left_half_way),
        cmocka_unit_test(what_does_not_fit_a_context_is_named),
        cmocka_unit_test(native_python_router),
        cmocka_unit_test(python_stages_make_many_or_drop),
        cmocka_unit_test(marks_are_obeyed),
        cmocka_unit_test(results_of_the_wrong_shape_are_named),
        cmocka_unit_test(one_poison_item_costs_itself),
        cmocka_unit_test(cancelling_ends_a_function_that_hangs),
        cmocka_unit_test(a_slow_sink_stops_the_reading),
        cmocka_unit_test(a_slow_last_stage_stops_the_reading),
        cmocka_unit_test(a_live_source_is_asked_when_it_is_woken),
        cmocka_unit_test(a_pool_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
