/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out: each allocation of a run fails in turn, alone and together with all that follow. Whatever fails, the run ends, says why, accounts for
 * every item and gives back what it took.
 */
#include "testing/crew.h"

#include <slither/pipe.h>

#define ITEMS 30

/* ---- allocations (the program is linked so that the library's come here) ------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

static _Atomic int64_t live;
static _Atomic uint64_t asked, failed;
static _Atomic uint64_t fail_at = UINT64_MAX;
static _Atomic bool and_after;

static bool fails(void) {
    uint64_t number = atomic_fetch_add(&asked, 1), at = atomic_load(&fail_at);
    bool now = number == at || (number > at && atomic_load(&and_after));
    atomic_fetch_add(&failed, now);
    return now;
}

static void *counted(void *memory) {
    atomic_fetch_add(&live, memory != NULL);
    return memory;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size) {
    if (memory == NULL) {
        return __wrap_malloc(size);
    }
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void __wrap_free(void *memory) {
    atomic_fetch_sub(&live, memory != NULL);
    __real_free(memory);
}

/* ---- the pipe ---------------------------------------------------------------------------------------------------- */

/* x becomes x, x + 1000, ...: x % 3 + 1 values. */
static enum sl_code repeat(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                           struct sl_error *error) {
    (void)context;
    (void)error;
    int64_t x = int_of(item->value);
    for (int64_t i = 0; i <= x % 3; i++) {
        sl_write_int(sl_emit_begin(emit), x + 1000 * i);
        sl_emit_end(emit);
    }
    return SL_OK;
}

static enum sl_code some_fail(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                              struct sl_error *error) {
    (void)context;
    int64_t x = int_of(item->value);
    if (x % 7 == 0) {
        return sl_error_set(error, SL_E_RANGE, "not a multiple of seven");
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code sort_out(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                             struct sl_error *error) {
    (void)context;
    (void)error;
    int64_t x = int_of(item->value);
    if (x % 5 == 0) {
        sl_emit_skip(emit, "dull");
    } else if (x % 5 == 1) {
        sl_emit_route(emit, "aside", item->value);
    } else {
        sl_write_int(sl_emit_begin(emit), -x);
        sl_emit_end(emit);
    }
    return SL_OK;
}

static enum sl_code is_odd(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = int_of(item->value) % 2 != 0;
    return SL_OK;
}

static enum sl_code count_one(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    (void)error;
    _Atomic uint64_t *landed = context;
    assert_true(outcome->value.size > 0);
    atomic_fetch_add(landed, 1);
    return SL_OK;
}

/* The numbers from 0 on, which are bytes: this source needs no memory. */
struct small_numbers {
    uint8_t next;
};

static enum sl_code next_small(void *context, struct sl_item *item, struct sl_error *error) {
    struct small_numbers *numbers = context;
    static uint8_t bytes[ITEMS];
    (void)error;
    if (numbers->next == ITEMS) {
        return SL_E_END;
    }
    bytes[numbers->next] = numbers->next;
    item->id = numbers->next;
    item->value = item->meta = (struct sl_value){&bytes[numbers->next++], 1};
    return SL_OK;
}

static const struct sl_route aside[] = {{.to = "aside"}, {.to = NULL}};
static const struct sl_pipe_definition definition = {
    SL_PIPE("starved"),
    .stages = SL_STAGES(SL_NATIVE("first", some_fail, .parallel = 2, .queue_max = 8),
                        SL_NATIVE("repeat", repeat, .cardinality = SL_CARDINALITY_MANY),
                        SL_NATIVE("some", some_fail, .parallel = 2, .queue_max = 8,
                                  .on_error = {.on_error = SL_ON_ERROR_ROUTE}, .on_error_to = "dead"),
                        SL_NATIVE("sort", sort_out, .routes = aside), SL_ROUTER("parity", {is_odd, .to = "odd"})),
    .outputs = SL_OUTPUTS("aside", "odd", "dead"),
    .on_error = {.on_error = SL_ON_ERROR_SKIP},
};

/* What a run of the whole thing came to. */
struct result {
    enum sl_code code;
    uint64_t landed;
};

static struct result run_starved(enum sl_ordering ordering) {
    struct result result = {0};
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    struct small_numbers numbers = {0};
    _Atomic uint64_t landed = 0;
    const struct sl_pipe_sink sink = {NULL, count_one, &landed};
    options.sinks = &sink;
    options.sink_count = 1;
    options.in_flight_max = 16;
    options.ordering = ordering;
    options.trace_items = 4;
    result.code = sl_pipe_create(&definition, &pipe, &error);
    if (result.code == SL_OK) {
        result.code = sl_pipe_run(pipe, &options, (struct sl_source){next_small, &numbers}, &report, &error);
    }
    result.landed = atomic_load(&landed);
    if (result.code == SL_OK) {
        assert_int_equal(report.input, ITEMS);
    } else {
        assert_true(error.message[0] != '\0');
        assert_true(result.code == error.code);
    }
    for (uint32_t i = 0; i < report.stage_count; i++) {
        uint64_t sum = 0;
        for (int status = 0; status < SL_STATUS_COUNT; status++) {
            sum += report.stages[i].count[status];
        }
        assert_int_equal(sum, report.stages[i].input);
    }
    assert_true(report.finished <= report.input);
    assert_true(report.resume <= report.finished);
    sl_pipe_report_finish(&report);
    sl_error_finish(&error);
    sl_pipe_destroy(pipe);
    return result;
}

static void starve(bool from_there_on) {
    struct result whole = run_starved(SL_ORDERING_PRESERVE);
    assert_int_equal(whole.code, SL_OK);
    uint64_t ended_with_it = 0, ended_without = 0;
    for (uint64_t n = 0;; n++) {
        int64_t live_before = atomic_load(&live);
        atomic_store(&asked, 0);
        atomic_store(&failed, 0);
        atomic_store(&and_after, from_there_on);
        atomic_store(&fail_at, n);
        struct result result = run_starved(n % 2 == 0 ? SL_ORDERING_PRESERVE : SL_ORDERING_AS_COMPLETED);
        atomic_store(&fail_at, UINT64_MAX);
        uint64_t failures = atomic_load(&failed);
        if (atomic_load(&live) != live_before) {
            fail_msg("with allocation %llu failing, %lld were not given back", (unsigned long long)n,
                     (long long)(atomic_load(&live) - live_before));
        }
        assert_true(result.landed <= (uint64_t)ITEMS * 3);
        if (failures == 0) {
            assert_int_equal(result.landed, whole.landed);
            break; /* there are not so many */
        }
        if (result.code == SL_OK) {
            ended_with_it++;
        } else {
            ended_without++;
            if (result.code != SL_E_OUT_OF_MEMORY) {
                fail_msg("with allocation %llu failing the run ended with %s", (unsigned long long)n,
                         sl_code_name(result.code));
            }
        }
    }
    /* Some are refused before anything runs, some cost an item only. */
    assert_true(ended_without > 10);
    assert_true(from_there_on || ended_with_it > 10);
}

static void one_allocation_fails(void **state) {
    (void)state;
    starve(false);
}

static void one_and_all_after_it_fail(void **state) {
    (void)state;
    starve(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_allocation_fails),
        cmocka_unit_test(one_and_all_after_it_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
