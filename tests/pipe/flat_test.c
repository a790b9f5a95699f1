/* SPDX-License-Identifier: MIT */
/*
 * Input without end in memory that stays: between a tenth and the whole of the input neither the live heap nor the resident memory of this process may grow.
 *
 * PIPE_FLAT_ITEMS  how many; default 600000 for native stages, a third of it with a Python stage. scripts/soak takes five million.
 */
#include "runs.h"

#include <malloc.h>

#include <slither/pipe.h>

#define ITEMS 600000
#define PARTS 20 /* samples are kept as the most of each */
#define SAMPLES_OF_PART 10
#define HEAP_MARGIN_KB 256 /* more with workers: how much is under way varies */
#define HEAP_MARGIN_WORKERS_KB 1024
#define RSS_MARGIN_KB 1536

struct flat {
    uint64_t count, next;
    uint64_t landed, sum;
    uint64_t heap_kb[PARTS], rss_kb[PARTS];
    struct sl_writer writer;
};

static void sample(struct flat *flat) {
    uint64_t part = flat->next * PARTS / flat->count;
    struct mallinfo2 heap = mallinfo2();
    uint64_t heap_kb = (heap.uordblks + heap.hblkhd) / 1024, rss_kb = status_kb("VmRSS");
    flat->heap_kb[part] = heap_kb > flat->heap_kb[part] ? heap_kb : flat->heap_kb[part];
    flat->rss_kb[part] = rss_kb > flat->rss_kb[part] ? rss_kb : flat->rss_kb[part];
}

/* [x, a text], of which there are longer ones and shorter ones. */
static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct flat *flat = context;
    static const char text[200] = "as long as it may be";
    if (flat->next == flat->count) {
        return SL_E_END;
    }
    if (flat->next % (flat->count / PARTS / SAMPLES_OF_PART) == 0) {
        sample(flat);
    }
    sl_writer_reset(&flat->writer);
    sl_write_list(&flat->writer, 2);
    sl_write_uint(&flat->writer, flat->next);
    sl_write_strn(&flat->writer, text, flat->next * 7919 % sizeof text);
    item->id = flat->next++;
    return sl_writer_end(&flat->writer, &item->value, error);
}

static int64_t number_in(struct sl_value list) {
    struct sl_value first;
    assert_int_equal(sl_value_at(list, 0, &first), SL_OK);
    return int_of(first);
}

static enum sl_code number_only(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                                struct sl_error *error) {
    (void)context;
    (void)error;
    int64_t x = number_in(item->value);
    if (x % 10 == 0) {
        sl_emit_skip(emit, "every tenth");
    } else {
        sl_write_int(sl_emit_begin(emit), x);
        sl_emit_end(emit);
    }
    return SL_OK;
}

static enum sl_code twice(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                          struct sl_error *error) {
    (void)context;
    (void)error;
    sl_emit(emit, item->value);
    if (int_of(item->value) % 3 == 0) {
        sl_emit(emit, item->value);
    }
    return SL_OK;
}

static enum sl_code is_even(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = int_of(item->value) % 2 == 0;
    return SL_OK;
}

static enum sl_code land(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct flat *flat = context;
    (void)error;
    flat->landed++;
    flat->sum += (uint64_t)int_of(outcome->value);
    return SL_OK;
}

static uint64_t most(const uint64_t *figures, int from, int to) {
    uint64_t found = 0;
    for (int i = from; i < to; i++) {
        found = figures[i] > found ? figures[i] : found;
    }
    return found;
}

/* What the first half comes to after a tenth is what it may come to later. */
static void check_flat(const char *what, const uint64_t *figures, uint64_t margin_kb) {
    uint64_t before = most(figures, PARTS / 10, PARTS / 2), after = most(figures, PARTS / 2, PARTS);
    print_message("%s: %llu kB at most in the first half, %llu kB in the second\n", what, (unsigned long long)before,
                  (unsigned long long)after);
    assert_true(after <= before + margin_kb);
}

static uint64_t item_count(uint64_t usual) {
    const char *text = getenv("PIPE_FLAT_ITEMS");
    uint64_t count = text != NULL ? strtoull(text, NULL, 10) : 0;
    return count >= PARTS * SAMPLES_OF_PART ? count : usual;
}

static void run_flat(const struct sl_pipe_definition *definition, uint64_t count, const struct sl_pipe_pool *pool) {
    struct flat flat = {.count = count};
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    const struct sl_pipe_sink sink = {NULL, land, &flat};
    options.sinks = &sink;
    options.sink_count = 1;
    options.pools = pool;
    options.pool_count = pool != NULL ? 1 : 0;
    options.in_flight_max = 4096;
    sl_writer_init(&flat.writer, NULL);
    uint64_t start_ms = now_ms();
    if (sl_pipe_create(definition, &pipe, &error) != SL_OK ||
        sl_pipe_run(pipe, &options, (struct sl_source){next_item, &flat}, &report, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    print_message("%llu items in %llu ms\n", (unsigned long long)count, (unsigned long long)(now_ms() - start_ms));
    uint64_t landed = 0, sum = 0;
    for (uint64_t x = 0; x < count; x++) {
        uint64_t copies = x % 10 == 0 ? 0 : x % 3 == 0 ? 2 : 1;
        landed += copies;
        sum += copies * x;
    }
    assert_int_equal(flat.landed, landed);
    assert_int_equal(flat.sum, sum);
    assert_int_equal(report.resume, count);
    check_flat("heap", flat.heap_kb, pool != NULL ? HEAP_MARGIN_WORKERS_KB : HEAP_MARGIN_KB);
    check_flat("resident", flat.rss_kb, RSS_MARGIN_KB);
    sl_pipe_report_finish(&report);
    sl_pipe_destroy(pipe);
    sl_writer_finish(&flat.writer);
}

static void native_stages(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("flat"),
        .stages =
            SL_STAGES(SL_NATIVE("number", number_only), SL_NATIVE("twice", twice, .cardinality = SL_CARDINALITY_MANY),
                      SL_ROUTER("route", {is_even, .to = "even"})),
        .outputs = SL_OUTPUTS("even"),
    };
    run_flat(&definition, item_count(ITEMS), NULL);
}

static void with_python_stages(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("flat"),
        .stages = SL_STAGES(SL_PYTHON("same", "pipe_functions:same"), SL_NATIVE("number", number_only),
                            SL_PYTHON("twice", "pipe_functions:twice_thirds", .cardinality = SL_CARDINALITY_MANY),
                            SL_ROUTER("route", {is_even, .to = "even"})),
        .outputs = SL_OUTPUTS("even"),
    };
    struct host host;
    host_open(&host, 2, NULL);
    const struct sl_pipe_pool pool = {"workers", host.pool};
    run_flat(&definition, item_count(ITEMS / 3), &pool);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_stages),
        cmocka_unit_test(with_python_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
