/* SPDX-License-Identifier: MIT */
/* Runs of pipes without Python: order, cardinality, bounds, policies, endings. */
#include "testing/crew.h"

#include <slither/pipe.h>

/* ---- what the tests share ---------------------------------------------------------------------------------------- */

struct landed {
    char output[32];
    uint64_t origin, id;
    int64_t value;
    enum sl_code code; /* of the error that it came with */
};

struct landing {
    pthread_mutex_t lock; /* sinks of two outputs may be called at once when order does not matter */
    struct landed *items;
    size_t count, capacity;
    _Atomic uint64_t *pulled; /* when not NULL: how far ahead the source was, at most */
    uint64_t ahead_peak;
    enum sl_code (*answer)(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error);
    void *context;
};

static enum sl_code land(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct landing *landing = context;
    pthread_mutex_lock(&landing->lock);
    if (landing->count == landing->capacity) {
        landing->capacity = landing->capacity * 2 + 64;
        landing->items = realloc(landing->items, landing->capacity * sizeof *landing->items);
        assert_non_null(landing->items);
    }
    struct landed *item = &landing->items[landing->count++];
    *item = (struct landed){.origin = outcome->origin,
                            .id = outcome->id,
                            .value = int_of(outcome->value),
                            .code = outcome->error != NULL ? outcome->error->code : SL_OK};
    snprintf(item->output, sizeof item->output, "%s", outcome->output);
    if (landing->pulled != NULL) {
        uint64_t ahead = atomic_load(landing->pulled) - outcome->origin;
        landing->ahead_peak = ahead > landing->ahead_peak ? ahead : landing->ahead_peak;
    }
    pthread_mutex_unlock(&landing->lock);
    return landing->answer != NULL ? landing->answer(landing->context, outcome, error) : SL_OK;
}

static enum sl_code emit_int(struct sl_emit *emit, int64_t value) {
    sl_write_int(sl_emit_begin(emit), value);
    sl_emit_end(emit);
    return SL_OK;
}

#define HANDLER(name)                                                                              \
    static enum sl_code name(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, \
                             struct sl_error *error)
#define UNUSED(x) (void)(x)

HANDLER(pass) {
    UNUSED(context), UNUSED(error);
    sl_emit(emit, item->value);
    return SL_OK;
}

HANDLER(triple_it) {
    UNUSED(context), UNUSED(error);
    return emit_int(emit, triple(int_of(item->value)));
}

/* x becomes x, x, ... x times modulo 4. */
HANDLER(repeat) {
    UNUSED(context), UNUSED(error);
    int64_t x = int_of(item->value);
    for (int64_t i = 0; i < x % 4; i++) {
        (void)emit_int(emit, x * 10 + i);
    }
    return SL_OK;
}

HANDLER(fail_on_seven) {
    UNUSED(context);
    int64_t x = int_of(item->value);
    if (x % 10 == 7) {
        return sl_error_set(error, SL_E_RANGE, "no sevens, not even %lld", (long long)x);
    }
    if (x % 10 == 3) {
        sl_emit_skip(emit, "threes are dull");
        return SL_OK;
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code is_even(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    UNUSED(context), UNUSED(error);
    *taken = int_of(item->value) % 2 == 0;
    return SL_OK;
}

struct outcome_of_run {
    struct sl_pipe_report report;
    struct sl_error error;
    enum sl_code code;
    struct numbers numbers;
    struct landing landing;
};

static void run(struct outcome_of_run *run, const struct sl_pipe_definition *definition, uint64_t count,
                struct sl_pipe_options options) {
    struct sl_pipe *pipe = NULL;
    run->error = (struct sl_error)SL_ERROR_INIT;
    run->report = (struct sl_pipe_report)SL_PIPE_REPORT_INIT;
    if (sl_pipe_create(definition, &pipe, &run->error) != SL_OK) {
        fail_msg("%s", run->error.message);
    }
    pthread_mutex_init(&run->landing.lock, NULL);
    run->numbers.count = count;
    const struct sl_pipe_sink sink = {NULL, land, &run->landing};
    options.sinks = &sink;
    options.sink_count = 1;
    run->code = sl_pipe_run(pipe, &options, numbers_source(&run->numbers), &run->report, &run->error);
    sl_pipe_destroy(pipe);
}

static void finish(struct outcome_of_run *run) {
    pthread_mutex_destroy(&run->landing.lock);
    free(run->landing.items);
    numbers_finish(&run->numbers);
    sl_pipe_report_finish(&run->report);
    sl_error_finish(&run->error);
    *run = (struct outcome_of_run){0};
}

/* Conservation: in each stage, and over the whole. */
static void conserved(const struct outcome_of_run *run) {
    uint64_t landed = 0;
    for (uint32_t i = 0; i < run->report.stage_count; i++) {
        const struct sl_stage_report *stage = &run->report.stages[i];
        uint64_t sum = 0;
        for (int status = 0; status < SL_STATUS_COUNT; status++) {
            sum += stage->count[status];
        }
        if (sum != stage->input) {
            fail_msg("stage %s took in %llu and accounts for %llu", stage->name, (unsigned long long)stage->input,
                     (unsigned long long)sum);
        }
    }
    for (uint32_t i = 0; i < run->report.output_count; i++) {
        landed += run->report.outputs[i].count;
    }
    assert_int_equal(landed, run->landing.count);
    assert_int_equal(run->report.input, run->numbers.pulled);
    assert_true(run->report.finished <= run->report.input);
    assert_true(run->report.resume <= run->report.finished);
}

static void in_order(const struct landing *landing) {
    for (size_t i = 1; i < landing->count; i++) {
        assert_true(landing->items[i - 1].origin <= landing->items[i].origin);
    }
}

static uint64_t count_of(const struct outcome_of_run *run, const char *output) {
    for (uint32_t i = 0; i < run->report.output_count; i++) {
        if (strcmp(run->report.outputs[i].name, output) == 0) {
            return run->report.outputs[i].count;
        }
    }
    fail_msg("no output %s", output);
    return 0;
}

/* ---- flows ------------------------------------------------------------------------------------------------------- */

static void items_go_through_in_order(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("line"),
        .stages = SL_STAGES(SL_NATIVE("one", triple_it), SL_NATIVE("two", pass, .parallel = 3),
                            SL_ROUTER("parity", {is_even, .to = "even"})),
        .outputs = SL_OUTPUTS("even"),
    };
    struct outcome_of_run r = {0};
    run(&r, &definition, 3000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_OK);
    conserved(&r);
    in_order(&r.landing);
    assert_int_equal(r.landing.count, 3000);
    for (size_t i = 0; i < 3000; i++) {
        const struct landed *item = &r.landing.items[i];
        assert_int_equal(item->origin, i);
        assert_int_equal(item->id, 1000 + i);
        assert_int_equal(item->value, triple((int64_t)i));
        assert_string_equal(item->output, item->value % 2 == 0 ? "even" : "default");
    }
    assert_int_equal(r.report.finished, 3000);
    assert_int_equal(r.report.resume, 3000);
    assert_int_equal(count_of(&r, "even") + count_of(&r, "default"), 3000);
    finish(&r);
}

static void one_item_may_become_several_which_stay_together(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("many"),
        .stages = SL_STAGES(SL_NATIVE("repeat", repeat, .cardinality = SL_CARDINALITY_MANY),
                            SL_NATIVE("work", pass, .parallel = 4, .ordering = SL_ORDERING_AS_COMPLETED)),
    };
    struct outcome_of_run r = {0};
    run(&r, &definition, 400, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_OK);
    conserved(&r);
    size_t at = 0;
    for (int64_t x = 0; x < 400; x++) {
        for (int64_t i = 0; i < x % 4; i++, at++) {
            assert_int_equal(r.landing.items[at].origin, x);
            assert_int_equal(r.landing.items[at].value, x * 10 + i);
        }
    }
    assert_int_equal(r.landing.count, at);
    assert_int_equal(r.report.stages[0].emitted, at);
    assert_int_equal(r.report.stages[0].count[SL_STATUS_SKIPPED], 100); /* those that became none */
    finish(&r);
}

static void branches_join_again(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("diamond"),
        .stages = SL_STAGES(SL_ROUTER("split", {is_even, .to = "left"}, {.to = "right"}),
                            SL_NATIVE("left", triple_it, .parallel = 2, .to = "join"), SL_NATIVE("right", pass),
                            SL_NATIVE("join", pass)),
    };
    struct outcome_of_run r = {0};
    run(&r, &definition, 500, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_OK);
    conserved(&r);
    in_order(&r.landing);
    assert_int_equal(r.landing.count, 500);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(r.landing.items[i].value, i % 2 == 0 ? triple((int64_t)i) : (int64_t)i);
    }
    finish(&r);
}

/* ---- policies ---------------------------------------------------------------------------------------------------- */

static void failed_items_are_dropped_or_sent_on(void **state) {
    UNUSED(state);
    for (uint32_t parallel = 0; parallel <= 2; parallel += 2) {
        const struct sl_pipe_definition definition = {
            SL_PIPE("policies"),
            .stages = SL_STAGES(SL_NATIVE("strict", fail_on_seven, .parallel = parallel,
                                          .on_error = {.on_error = SL_ON_ERROR_ROUTE}, .on_error_to = "dead"),
                                SL_NATIVE("again", fail_on_seven, .parallel = parallel)),
            .outputs = SL_OUTPUTS("dead"),
            .on_error = {.on_error = SL_ON_ERROR_SKIP},
        };
        struct outcome_of_run r = {0};
        run(&r, &definition, 1000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
        assert_int_equal(r.code, SL_OK);
        conserved(&r);
        in_order(&r.landing);
        assert_int_equal(count_of(&r, "dead"), 100);
        assert_int_equal(count_of(&r, "default"), 800);
        assert_int_equal(r.report.stages[0].count[SL_STATUS_SKIPPED], 100);
        assert_int_equal(r.report.stages[0].count[SL_STATUS_ROUTED], 100);
        for (size_t i = 0; i < r.landing.count; i++) {
            bool dead = strcmp(r.landing.items[i].output, "dead") == 0;
            assert_int_equal(r.landing.items[i].value % 10 == 7, dead);
            assert_int_equal(r.landing.items[i].code, dead ? SL_E_RANGE : SL_OK);
        }
        finish(&r);
    }
}

static void halting_gives_out_what_came_before(void **state) {
    UNUSED(state);
    for (uint32_t parallel = 0; parallel <= 2; parallel += 2) {
        const struct sl_pipe_definition definition = {
            SL_PIPE("halt"),
            .stages = SL_STAGES(SL_NATIVE("first", pass), SL_NATIVE("strict", fail_on_seven, .parallel = parallel)),
        };
        struct outcome_of_run r = {0};
        run(&r, &definition, 100000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
        assert_int_equal(r.code, SL_E_HALTED);
        assert_non_null(strstr(r.error.message, "stage strict halted the pipe"));
        assert_non_null(strstr(r.error.message, "no sevens, not even 7"));
        conserved(&r);
        in_order(&r.landing);
        assert_true(r.report.input < 100000);
        assert_true(r.landing.count >= 6); /* 0 to 6 without the three */
        assert_true(r.report.stages[1].count[SL_STATUS_FAILED] >= 1);
        finish(&r);
    }
}

static _Atomic int tries;

HANDLER(fail_twice) {
    UNUSED(context);
    if (atomic_fetch_add(&tries, 1) < 2) {
        return sl_error_set(error, SL_E_SYSTEM, "not yet");
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

static void native_stages_are_tried_again(void **state) {
    UNUSED(state);
    atomic_store(&tries, 0);
    const struct sl_pipe_definition definition = {
        SL_PIPE("retry"),
        .stages = SL_STAGES(SL_NATIVE("flaky", fail_twice,
                                      .on_error = {.on_error = SL_ON_ERROR_RETRY, .max_attempts = 3, .backoff_ms = 1})),
    };
    struct outcome_of_run r = {0};
    run(&r, &definition, 1, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_OK);
    assert_int_equal(atomic_load(&tries), 3);
    assert_int_equal(r.landing.count, 1);
    assert_int_equal(r.report.stages[0].dispatch.retry_count, 2);
    finish(&r);
}

HANDLER(two_for_one) {
    UNUSED(context), UNUSED(error);
    sl_emit(emit, item->value);
    sl_emit(emit, item->value);
    return SL_OK;
}

HANDLER(one_in_the_other) {
    UNUSED(context), UNUSED(error);
    if (item->origin < 3) { /* what an item finds when others were fine is not what the first one finds */
        sl_emit(emit, item->value);
        return SL_OK;
    }
    sl_write_nil(sl_emit_begin(emit));
    sl_emit(emit, item->value);
    sl_emit_end(emit);
    return SL_OK;
}

HANDLER(skipped_and_given) {
    UNUSED(context), UNUSED(error);
    if (item->origin < 3) {
        sl_emit(emit, item->value);
        return SL_OK;
    }
    sl_emit_skip(emit, "not wanted");
    sl_emit(emit, item->value);
    return SL_OK;
}

HANDLER(routed_and_given) {
    UNUSED(context), UNUSED(error);
    if (item->origin < 3) {
        sl_emit(emit, item->value);
        return SL_OK;
    }
    sl_emit_route(emit, "default", item->value);
    sl_emit(emit, item->value);
    return SL_OK;
}

HANDLER(nothing_given) {
    UNUSED(context), UNUSED(error);
    if (item->origin < 3) {
        sl_emit(emit, item->value);
        return SL_OK;
    }
    sl_emit(emit, (struct sl_value){item->value.data, 0});
    return SL_OK;
}

HANDLER(astray) {
    UNUSED(context), UNUSED(error);
    sl_emit_route(emit, "elsewhere", item->value);
    return SL_OK;
}

HANDLER(half_written) {
    UNUSED(context), UNUSED(error), UNUSED(item);
    sl_write_list(sl_emit_begin(emit), 2);
    return SL_OK;
}

static void what_a_handler_does_wrong_is_named(void **state) {
    UNUSED(state);
    const struct {
        sl_stage_fn *call;
        const char *text;
    } wrongs[] = {
        {two_for_one, "gave out more than one value"},
        {astray, "routed an item to \"elsewhere\", which is not among its routes"},
        {half_written, "returned without sl_emit_end"},
        {one_in_the_other, "called sl_emit between sl_emit_begin and sl_emit_end"},
        {skipped_and_given, "called sl_emit for an item that it had skipped"},
        {routed_and_given, "gave out more than one value"},
        {nothing_given, "gave out \"no value\""},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        for (uint32_t parallel = 0; parallel <= 1; parallel++) {
            const struct sl_pipe_definition definition = {
                SL_PIPE("wrong"), .stages = SL_STAGES(SL_NATIVE("w", wrongs[i].call, .parallel = parallel))};
            struct outcome_of_run r = {0};
            run(&r, &definition, 5, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
            assert_int_equal(r.code, SL_E_HALTED);
            if (strstr(r.error.message, wrongs[i].text) == NULL) {
                fail_msg("\"%s\" does not say \"%s\"", r.error.message, wrongs[i].text);
            }
            conserved(&r);
            finish(&r);
        }
    }
}

HANDLER(sort_by_hand) {
    UNUSED(context), UNUSED(error);
    sl_emit_route(emit, int_of(item->value) % 2 == 0 ? "even" : "odd", item->value);
    return SL_OK;
}

static void a_stage_may_route_where_it_has_said(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("sort"),
        .stages = SL_STAGES(SL_NATIVE(
            "sort", sort_by_hand, .routes = (const struct sl_route[]){{.to = "even"}, {.to = "odd"}, {.to = NULL}})),
        .outputs = SL_OUTPUTS("even", "odd"),
    };
    struct outcome_of_run r = {0};
    run(&r, &definition, 100, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_OK);
    assert_int_equal(count_of(&r, "even"), 50);
    assert_int_equal(count_of(&r, "odd"), 50);
    assert_int_equal(r.report.stages[0].count[SL_STATUS_ROUTED], 100);
    finish(&r);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void count_pulled(void *context, uint64_t x) {
    atomic_store((_Atomic uint64_t *)context, x);
}

static void a_slow_sink_stops_the_reading(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("bounded"),
        .stages = SL_STAGES(SL_NATIVE("a", pass, .parallel = 2), SL_NATIVE("b", pass, .parallel = 2)),
    };
    struct outcome_of_run r = {0};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.in_flight_max = 50;
    _Atomic uint64_t pulled = 0;
    r.numbers.before = count_pulled;
    r.numbers.context = &pulled;
    r.landing.pulled = &pulled;
    run(&r, &definition, 5000, options);
    assert_int_equal(r.code, SL_OK);
    conserved(&r);
    assert_int_equal(r.landing.count, 5000);
    assert_true(r.report.in_flight_peak <= 50);
    assert_true(r.landing.ahead_peak <= 51);
    finish(&r);
}

static void a_full_queue_stops_the_stages_before_it(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("queues"),
        .stages = SL_STAGES(SL_NATIVE("a", pass, .parallel = 2, .queue_max = 8, .max_in_flight = 2),
                            SL_NATIVE("b", pass, .parallel = 1, .queue_max = 8, .max_in_flight = 1)),
    };
    struct outcome_of_run r = {0};
    run(&r, &definition, 5000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_OK);
    assert_int_equal(r.landing.count, 5000);
    assert_true(r.report.stages[0].queue_peak <= 8);
    /* What the first had in hand when the second was full comes on top: its batches, and those that wait for an earlier one. */
    assert_true(r.report.stages[1].queue_peak <= 8 + 2 + 16);
    finish(&r);
}

static void bytes_are_bounded(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {SL_PIPE("bytes"),
                                                  .stages = SL_STAGES(SL_NATIVE("a", pass, .parallel = 2))};
    struct outcome_of_run r = {0};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.in_flight_bytes_max = 10000;
    r.numbers.padding = 1000;
    struct sl_pipe *pipe = NULL;
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    r.report = (struct sl_pipe_report)SL_PIPE_REPORT_INIT;
    r.numbers.count = 500;
    assert_int_equal(sl_pipe_run(pipe, &options, numbers_source(&r.numbers), &r.report, NULL), SL_OK);
    assert_int_equal(r.report.finished, 500);
    assert_true(r.report.bytes_peak <= 10000 + 2 * 1100);
    sl_pipe_destroy(pipe);
    sl_pipe_report_finish(&r.report);
    numbers_finish(&r.numbers);
}

/* ---- endings ----------------------------------------------------------------------------------------------------- */

static enum sl_code refuse_at_100(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    enum sl_code *code = context;
    return outcome->origin == 100 ? sl_error_set(error, *code, "the disk is full") : SL_OK;
}

static void a_sink_may_end_the_run(void **state) {
    UNUSED(state);
    enum sl_code answers[] = {SL_E_END, SL_E_SYSTEM};
    for (size_t i = 0; i < 2; i++) {
        const struct sl_pipe_definition definition = {
            SL_PIPE("sink"), .stages = SL_STAGES(SL_NATIVE("a", pass), SL_NATIVE("b", pass, .parallel = 2))};
        struct outcome_of_run r = {.landing = {.answer = refuse_at_100, .context = &answers[i]}};
        run(&r, &definition, 100000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
        assert_int_equal(r.code, i == 0 ? SL_OK : SL_E_SINK);
        if (i == 1) {
            assert_non_null(strstr(r.error.message, "the sink of output default failed at item 100"));
        }
        assert_int_equal(r.landing.count, 101);
        assert_true(r.report.input < 100000);
        assert_int_equal(r.report.resume, i == 0 ? 100 : 100);
        conserved(&r);
        finish(&r);
    }
}

static enum sl_code stop_at_50(void *context, uint64_t x, struct sl_error *error) {
    UNUSED(context);
    return x == 50 ? sl_error_set(error, SL_E_INVALID_DATA, "line 51 is no JSON") : SL_OK;
}

static void a_source_that_fails_ends_the_run_after_what_was_read(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {SL_PIPE("source"),
                                                  .stages = SL_STAGES(SL_NATIVE("a", pass, .parallel = 1))};
    struct outcome_of_run r = {.numbers = {.stop = stop_at_50}};
    run(&r, &definition, 100, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    assert_int_equal(r.code, SL_E_SOURCE);
    assert_non_null(strstr(r.error.message, "line 51 is no JSON"));
    assert_int_equal(r.landing.count, 50);
    assert_int_equal(r.report.resume, 50);
    finish(&r);
}

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int entered;
};

HANDLER(through_the_gate) {
    UNUSED(error);
    struct gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    gate->entered++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    sl_emit(emit, item->value);
    return SL_OK;
}

static void open_gate(struct gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static struct sl_item number_item(struct sl_writer *writer, int64_t x) {
    struct sl_item item = {.id = (uint64_t)x};
    sl_writer_reset(writer);
    sl_write_int(writer, x);
    assert_int_equal(sl_writer_end(writer, &item.value, NULL), SL_OK);
    return item;
}

static void a_long_lived_run_says_when_it_is_full_and_drains(void **state) {
    UNUSED(state);
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
    const struct sl_pipe_definition definition = {
        SL_PIPE("live"), .stages = SL_STAGES(SL_NATIVE("gate", through_the_gate, .context = &gate, .parallel = 1))};
    struct sl_pipe *pipe = NULL;
    struct sl_pipe_run *live = NULL;
    struct landing landing = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const struct sl_pipe_sink sink = {"default", land, &landing};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    options.in_flight_max = 4;
    options.sinks = &sink;
    options.sink_count = 1;
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    assert_int_equal(sl_pipe_start(pipe, &options, &live, NULL), SL_OK);
    for (int64_t x = 0; x < 4; x++) {
        struct sl_item item = number_item(&writer, x);
        assert_int_equal(sl_pipe_push(live, &item, NULL), SL_OK);
    }
    struct sl_item fifth = number_item(&writer, 4);
    assert_int_equal(sl_pipe_try_push(live, &fifth, NULL), SL_E_AGAIN);
    open_gate(&gate);
    assert_int_equal(sl_pipe_push(live, &fifth, NULL), SL_OK); /* waits for room */
    sl_pipe_drain(live);
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pipe_push(live, &fifth, &error), SL_E_CLOSED);
    assert_non_null(strstr(error.message, "takes nothing more"));
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    assert_int_equal(sl_pipe_finish(live, 0, &report, &error), SL_OK);
    assert_int_equal(report.finished, 5);
    assert_int_equal(landing.count, 5);
    in_order(&landing);
    sl_pipe_report_finish(&report);
    sl_error_finish(&error);
    sl_writer_finish(&writer);
    free(landing.items);
    sl_pipe_destroy(pipe);
}

static void cancelling_accounts_for_everything(void **state) {
    UNUSED(state);
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
    const struct sl_pipe_definition definition = {
        SL_PIPE("cancel"), .stages = SL_STAGES(SL_NATIVE("before", pass),
                                               SL_NATIVE("gate", through_the_gate, .context = &gate, .parallel = 2),
                                               SL_NATIVE("after", pass, .parallel = 1))};
    struct sl_pipe *pipe = NULL;
    struct sl_pipe_run *live = NULL;
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    assert_int_equal(sl_pipe_start(pipe, NULL, &live, NULL), SL_OK);
    for (int64_t x = 0; x < 100; x++) {
        struct sl_item item = number_item(&writer, x);
        assert_int_equal(sl_pipe_push(live, &item, NULL), SL_OK);
    }
    pthread_mutex_lock(&gate.lock);
    while (gate.entered < 2) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    sl_pipe_cancel(live);
    open_gate(&gate);
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pipe_finish(live, 0, &report, &error), SL_E_CANCELLED);
    for (uint32_t i = 0; i < report.stage_count; i++) {
        uint64_t sum = 0;
        for (int status = 0; status < SL_STATUS_COUNT; status++) {
            sum += report.stages[i].count[status];
        }
        assert_int_equal(sum, report.stages[i].input);
    }
    assert_int_equal(report.input, 100);
    assert_true(report.stages[1].count[SL_STATUS_CANCELLED] + report.stages[2].count[SL_STATUS_CANCELLED] >= 90);
    assert_true(report.resume <= report.finished && report.finished < 100);
    sl_pipe_report_finish(&report);
    sl_error_finish(&error);
    sl_writer_finish(&writer);
    sl_pipe_destroy(pipe);
}

static void a_run_past_its_time_is_cancelled(void **state) {
    UNUSED(state);
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, true, 0};
    const struct sl_pipe_definition definition = {
        SL_PIPE("finish"), .stages = SL_STAGES(SL_NATIVE("gate", through_the_gate, .context = &gate, .parallel = 1))};
    struct sl_pipe *pipe = NULL;
    struct sl_pipe_run *live = NULL;
    assert_int_equal(sl_pipe_create(&definition, &pipe, NULL), SL_OK);
    assert_int_equal(sl_pipe_start(pipe, NULL, &live, NULL), SL_OK);
    assert_int_equal(sl_pipe_finish(live, 60000, NULL, NULL), SL_OK); /* nothing was pushed: at once */
    sl_pipe_destroy(pipe);
}

/* ---- tracing, reports -------------------------------------------------------------------------------------------- */

static void the_first_items_are_traced(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("trace"), .stages = SL_STAGES(SL_NATIVE("a", pass), SL_NATIVE("b", pass, .parallel = 1))};
    struct outcome_of_run r = {0};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.trace_items = 2;
    run(&r, &definition, 10, options);
    assert_int_equal(r.report.hop_count, 6);
    const char *where[2][3] = {{NULL}};
    uint32_t counts[2] = {0};
    for (uint32_t i = 0; i < 6; i++) {
        const struct sl_pipe_hop *hop = &r.report.hops[i];
        assert_true(hop->origin < 2 && hop->enter_ns <= hop->leave_ns);
        where[hop->origin][counts[hop->origin]++] = hop->stage;
    }
    for (int i = 0; i < 2; i++) {
        assert_string_equal(where[i][0], "a");
        assert_string_equal(where[i][1], "b");
        assert_string_equal(where[i][2], "default");
    }
    struct sl_writer writer;
    struct sl_value value, stages, first;
    uint64_t input = 0;
    sl_writer_init(&writer, NULL);
    sl_pipe_report_write(&r.report, &writer);
    assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
    assert_int_equal(sl_value_get(value, "stages", &stages), SL_OK);
    assert_int_equal(sl_value_at(stages, 0, &first), SL_OK);
    assert_int_equal(sl_value_get(first, "input", &first), SL_OK);
    assert_int_equal(sl_value_uint(first, &input), SL_OK);
    assert_int_equal(input, 10);
    sl_writer_finish(&writer);
    finish(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_go_through_in_order),
        cmocka_unit_test(one_item_may_become_several_which_stay_together),
        cmocka_unit_test(branches_join_again),
        cmocka_unit_test(failed_items_are_dropped_or_sent_on),
        cmocka_unit_test(halting_gives_out_what_came_before),
        cmocka_unit_test(native_stages_are_tried_again),
        cmocka_unit_test(what_a_handler_does_wrong_is_named),
        cmocka_unit_test(a_stage_may_route_where_it_has_said),
        cmocka_unit_test(a_slow_sink_stops_the_reading),
        cmocka_unit_test(a_full_queue_stops_the_stages_before_it),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(a_sink_may_end_the_run),
        cmocka_unit_test(a_source_that_fails_ends_the_run_after_what_was_read),
        cmocka_unit_test(a_long_lived_run_says_when_it_is_full_and_drains),
        cmocka_unit_test(cancelling_accounts_for_everything),
        cmocka_unit_test(a_run_past_its_time_is_cancelled),
        cmocka_unit_test(the_first_items_are_traced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
