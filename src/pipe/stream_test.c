/* SPDX-License-Identifier: MIT */
/* Streams: lazy, bounded, complete, in order, and closed half way. Without Python. */
#include "testing/crew.h"

#include <slither/pipe.h>

#define UNUSED(x) (void)(x)
#define HANDLER(name)                                                                              \
    static enum sl_code name(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, \
                             struct sl_error *error)

HANDLER(pass) {
    UNUSED(context), UNUSED(error);
    sl_emit(emit, item->value);
    return SL_OK;
}

/* Nothing for what is not a multiple of a hundred. */
HANDLER(hundreds) {
    UNUSED(context), UNUSED(error);
    if (int_of(item->value) % 100 == 0) {
        sl_emit(emit, item->value);
    }
    return SL_OK;
}

HANDLER(ten_times) {
    UNUSED(context), UNUSED(error);
    for (int64_t i = 0; i < 10; i++) {
        sl_write_int(sl_emit_begin(emit), int_of(item->value) * 10 + i);
        sl_emit_end(emit);
    }
    return SL_OK;
}

HANDLER(fail_at_fifty) {
    UNUSED(context);
    if (int_of(item->value) == 50) {
        return sl_error_set(error, SL_E_RANGE, "fifty is too much");
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code is_even(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    UNUSED(context), UNUSED(error);
    *taken = int_of(item->value) % 2 == 0;
    return SL_OK;
}

struct flow {
    struct sl_pipe *pipe;
    struct sl_pipe_stream *stream;
    struct numbers numbers;
    struct sl_pipe_outcome outcome;
    struct sl_pipe_report report;
    struct sl_error error;
};

static void open_flow(struct flow *flow, const struct sl_pipe_definition *definition, uint64_t count,
                      struct sl_pipe_options options) {
    *flow = (struct flow){.numbers = {.count = count}, .report = SL_PIPE_REPORT_INIT, .error = SL_ERROR_INIT};
    if (sl_pipe_create(definition, &flow->pipe, &flow->error) != SL_OK ||
        sl_pipe_stream_open(flow->pipe, &options, numbers_source(&flow->numbers), &flow->stream, &flow->error) !=
            SL_OK) {
        fail_msg("%s", flow->error.message);
    }
    assert_int_equal(flow->numbers.pulled, 0);
}

static enum sl_code next(struct flow *flow, const char *output) {
    return sl_pipe_stream_next(flow->stream, output, &flow->outcome, &flow->error);
}

static void close_flow(struct flow *flow) {
    sl_pipe_stream_close(flow->stream, &flow->report);
    sl_pipe_destroy(flow->pipe);
    sl_pipe_report_finish(&flow->report);
    numbers_finish(&flow->numbers);
    sl_error_finish(&flow->error);
}

static const struct sl_pipe_definition plain = {SL_PIPE("plain"), .stages = SL_STAGES(SL_NATIVE("pass", pass))};
static const struct sl_pipe_definition threads = {
    SL_PIPE("threads"),
    .stages = SL_STAGES(SL_NATIVE("one", pass, .parallel = 3), SL_NATIVE("two", pass, .parallel = 2),
                        SL_ROUTER("parity", {is_even, .to = "even"})),
    .outputs = SL_OUTPUTS("even"),
};

static void nothing_is_read_ahead_without_threads(void **state) {
    UNUSED(state);
    struct flow flow;
    open_flow(&flow, &plain, 1000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    for (int64_t i = 0; i < 1000; i++) {
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), i);
        assert_string_equal(flow.outcome.output, "default");
        assert_in_range(flow.numbers.pulled, i + 1, i + 2);
    }
    assert_int_equal(next(&flow, NULL), SL_E_END);
    assert_int_equal(next(&flow, NULL), SL_E_END);
    close_flow(&flow);
}

static void all_come_in_order_and_within_the_bounds(void **state) {
    UNUSED(state);
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.in_flight_max = 64;
    struct flow flow;
    open_flow(&flow, &threads, 5000, options);
    for (uint64_t i = 0; i < 5000; i++) {
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), (int64_t)i);
        assert_int_equal(flow.outcome.origin, i);
        assert_string_equal(flow.outcome.output, i % 2 == 0 ? "even" : "default");
        assert_true(flow.numbers.pulled <= i + 1 + 64);
    }
    assert_int_equal(next(&flow, NULL), SL_E_END);
    sl_pipe_stream_close(flow.stream, &flow.report);
    flow.stream = NULL;
    assert_int_equal(flow.report.input, 5000);
    assert_int_equal(flow.report.finished, 5000);
    assert_int_equal(flow.report.resume, 5000);
    close_flow(&flow);
}

static void outputs_can_be_taken_one_by_one(void **state) {
    UNUSED(state);
    struct flow flow;
    open_flow(&flow, &threads, 600, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    for (int64_t i = 0; i < 300; i++) {
        assert_int_equal(next(&flow, "even"), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), 2 * i);
    }
    assert_int_equal(next(&flow, "even"), SL_E_END);
    for (int64_t i = 0; i < 300; i++) {
        assert_int_equal(next(&flow, "default"), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), 2 * i + 1);
    }
    assert_int_equal(next(&flow, NULL), SL_E_END);
    assert_int_equal(next(&flow, "odd"), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(flow.error.message, "pipe threads has no output \"odd\""));
    close_flow(&flow);
}

static void what_waits_elsewhere_is_an_error_and_not_a_hang(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("one-sided"),
        .stages = SL_STAGES(SL_NATIVE("one", pass, .parallel = 2), SL_ROUTER("parity", {is_even, .to = "even"})),
        .outputs = SL_OUTPUTS("even", "never"),
        .on_error = {.on_error = SL_ON_ERROR_ROUTE},
        .on_error_to = "never",
    };
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.in_flight_max = 20;
    struct flow flow;
    open_flow(&flow, &definition, 100, options);
    assert_int_equal(next(&flow, "never"), SL_E_LIMIT);
    assert_non_null(strstr(flow.error.message, "20 are lined up there, and in_flight_max is 20"));
    for (int64_t i = 0; i < 100; i++) {
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), i);
    }
    assert_int_equal(next(&flow, "never"), SL_E_END);
    close_flow(&flow);
}

static void stages_that_drop_and_multiply(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("sieve"),
        .stages = SL_STAGES(SL_NATIVE("hundreds", hundreds),
                            SL_NATIVE("ten", ten_times, .cardinality = SL_CARDINALITY_MANY, .parallel = 2)),
    };
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.in_flight_max = 8;
    struct flow flow;
    open_flow(&flow, &definition, 2000, options);
    for (int64_t i = 0; i < 200; i++) {
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), i / 10 * 1000 + i % 10);
        if (i % 10 == 0) {
            assert_true(flow.numbers.pulled <= (uint64_t)i * 10 + 1000); /* ten that wait keep the source closed */
        }
    }
    assert_int_equal(next(&flow, NULL), SL_E_END);
    close_flow(&flow);
}

static void a_halt_comes_after_what_was_before_it(void **state) {
    UNUSED(state);
    const struct sl_pipe_definition definition = {
        SL_PIPE("halting"),
        .stages = SL_STAGES(SL_NATIVE("one", pass, .parallel = 2), SL_NATIVE("fifty", fail_at_fifty)),
    };
    struct flow flow;
    open_flow(&flow, &definition, 100000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    enum sl_code code;
    int64_t count = 0;
    while ((code = next(&flow, NULL)) == SL_OK) {
        assert_int_equal(int_of(flow.outcome.value), count < 50 ? count : count + 1);
        count++;
    }
    assert_int_equal(code, SL_E_HALTED);
    assert_non_null(strstr(flow.error.message, "fifty is too much"));
    assert_true(count >= 50);
    assert_int_equal(next(&flow, NULL), SL_E_HALTED);
    close_flow(&flow);
}

static enum sl_code break_at_thirty(void *context, uint64_t x, struct sl_error *error) {
    UNUSED(context);
    return x == 30 ? sl_error_set(error, SL_E_SYSTEM, "the disk is gone") : SL_OK;
}

static void a_source_that_fails(void **state) {
    UNUSED(state);
    struct flow flow;
    open_flow(&flow, &threads, 1000, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    flow.numbers.stop = break_at_thirty;
    for (int64_t i = 0; i < 30; i++) {
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), i);
    }
    assert_int_equal(next(&flow, NULL), SL_E_SOURCE);
    assert_non_null(strstr(flow.error.message, "the disk is gone"));
    close_flow(&flow);
}

static void closed_half_way(void **state) {
    UNUSED(state);
    for (uint64_t taken = 0; taken < 40; taken += 13) {
        struct flow flow;
        open_flow(&flow, taken % 2 == 0 ? &threads : &plain, UINT64_MAX, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
        for (uint64_t i = 0; i < taken; i++) {
            assert_int_equal(next(&flow, NULL), SL_OK);
        }
        uint64_t pulled = flow.numbers.pulled;
        sl_pipe_stream_close(flow.stream, &flow.report);
        flow.stream = NULL;
        assert_int_equal(flow.numbers.pulled, pulled);
        assert_true(flow.report.input <= pulled);
        close_flow(&flow);
    }
    sl_pipe_stream_close(NULL, NULL);
}

struct gate {
    struct flow *flow;
    _Atomic bool open;
};

static enum sl_code not_yet(void *context, uint64_t x, struct sl_error *error) {
    UNUSED(error);
    struct gate *gate = context;
    return x == 5 && !atomic_load(&gate->open) ? SL_E_AGAIN : SL_OK;
}

static void *open_gate(void *context) {
    struct gate *gate = context;
    atomic_store(&gate->open, true);
    sl_pipe_wake(sl_pipe_stream_run(gate->flow->stream));
    return NULL;
}

static void a_live_source_is_asked_again_when_it_is_woken(void **state) {
    UNUSED(state);
    struct flow flow;
    struct gate gate = {.flow = &flow};
    pthread_t thread;
    open_flow(&flow, &plain, 10, (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT);
    flow.numbers.stop = not_yet;
    flow.numbers.context = &gate;
    for (int64_t i = 0; i < 10; i++) {
        if (i == 5) {
            assert_int_equal(pthread_create(&thread, NULL, open_gate, &gate), 0);
        }
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), i);
    }
    assert_int_equal(next(&flow, NULL), SL_E_END);
    pthread_join(thread, NULL);
    close_flow(&flow);
}

static enum sl_code count_it(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    UNUSED(outcome), UNUSED(error);
    ++*(uint64_t *)context;
    return SL_OK;
}

static void outputs_with_a_sink_do_not_come_out(void **state) {
    UNUSED(state);
    uint64_t even = 0;
    const struct sl_pipe_sink sink = {"even", count_it, &even};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.sinks = &sink;
    options.sink_count = 1;
    options.trace_items = 1;
    struct flow flow;
    open_flow(&flow, &threads, 100, options);
    for (int64_t i = 0; i < 50; i++) {
        assert_int_equal(next(&flow, NULL), SL_OK);
        assert_int_equal(int_of(flow.outcome.value), 2 * i + 1);
    }
    assert_int_equal(next(&flow, NULL), SL_E_END);
    assert_int_equal(even, 50);
    close_flow(&flow);
}

static void options_are_checked(void **state) {
    UNUSED(state);
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe *pipe;
    struct sl_pipe_stream *stream = NULL;
    struct numbers numbers = {.count = 1};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    options.in_flight_max = 0;
    assert_int_equal(sl_pipe_create(&plain, &pipe, &error), SL_OK);
    assert_int_equal(sl_pipe_stream_open(pipe, &options, numbers_source(&numbers), &stream, &error),
                     SL_E_INVALID_ARGUMENT);
    assert_null(stream);
    sl_pipe_destroy(pipe);
    numbers_finish(&numbers);
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_read_ahead_without_threads),
        cmocka_unit_test(all_come_in_order_and_within_the_bounds),
        cmocka_unit_test(outputs_can_be_taken_one_by_one),
        cmocka_unit_test(what_waits_elsewhere_is_an_error_and_not_a_hang),
        cmocka_unit_test(stages_that_drop_and_multiply),
        cmocka_unit_test(a_halt_comes_after_what_was_before_it),
        cmocka_unit_test(a_source_that_fails),
        cmocka_unit_test(closed_half_way),
        cmocka_unit_test(a_live_source_is_asked_again_when_it_is_woken),
        cmocka_unit_test(outputs_with_a_sink_do_not_come_out),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests_name("pipe stream", tests, NULL, NULL);
}
