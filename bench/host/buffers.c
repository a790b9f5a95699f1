/* SPDX-License-Identifier: MIT */
/*
 * Large payloads, three ways: placed once in a shared buffer and seen there by every call (the plain names); the buffer
 * filled anew from ordinary memory before each call (refilled); and no shared buffer at all (copied).
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_SIZE ((uint64_t)1 << 20)
#define BYTES_CALLS 200u
#define ARRAY_COUNT ((uint64_t)8 << 20)
#define ARRAY_CALLS 5u

enum way { IN_PLACE, REFILLED, COPIED };

struct payload {
    const char *function;
    enum sl_dtype dtype;
    enum way way;
    uint64_t count; /* elements */
    uint32_t calls; /* of one round */
    void *elements; /* ordinary memory */
    double expected;
    struct sl_buffer *buffer;
    struct sl_writer writer;
};

/* A program measures one row, so that one payload is enough. */
static struct payload payload;

static uint64_t payload_size(void) {
    return payload.count * sl_dtype_size(payload.dtype);
}

static struct sl_value write_payload(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value value;
    sl_writer_reset(&payload.writer);
    switch (payload.way) {
    case REFILLED:
        memcpy(sl_buffer_data(payload.buffer), payload.elements, payload_size());
        sl_write_array_in(&payload.writer, payload.buffer, 0, payload.dtype, 1, &payload.count);
        break;
    case IN_PLACE:
        sl_write_array_in(&payload.writer, payload.buffer, 0, payload.dtype, 1, &payload.count);
        break;
    case COPIED:
        if (payload.dtype == SL_DTYPE_U8) {
            sl_write_bytes(&payload.writer, payload.elements, payload_size());
        } else {
            sl_write_array(&payload.writer, payload.dtype, 1, &payload.count, payload.elements);
        }
        break;
    }
    bench_check(sl_writer_end(&payload.writer, &value, &error), &error, "payload");
    return value;
}

static void call_once(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = payload.function;
    struct sl_item item = {.value = write_payload()};
    if (payload.buffer != NULL) {
        item.buffers = &payload.buffer;
        item.buffer_count = 1;
    }
    struct sl_results results = {0};
    bench_check(sl_call_batch(bench->pool, &options, &item, 1, &results, &error), &error, "call");
    double result = 0;
    if (results.count != 1 || sl_value_float(results.values[0], &result) != SL_OK || result != payload.expected) {
        bench_die("call: the result is %.17g; expected %.17g", result, payload.expected);
    }
    sl_results_finish(&results);
}

static void open_payload(struct bench *bench) {
    bench_pool_create(bench, payload.function);
    payload.elements = malloc(payload_size());
    if (payload.elements == NULL) {
        bench_die("no memory for %llu bytes", (unsigned long long)payload_size());
    }
    if (payload.way != COPIED) {
        struct sl_error error = SL_ERROR_INIT;
        bench_check(sl_buffer_create(bench->runtime, payload_size(), &payload.buffer, &error), &error, "buffer");
    }
    if (payload.dtype == SL_DTYPE_U8) {
        memset(payload.elements, 'x', payload_size());
        payload.expected = (double)payload.count;
    } else {
        double *elements = payload.elements;
        for (uint64_t i = 0; i < payload.count; i++) {
            elements[i] = (double)(i % 1000) * 0.5; /* sums of halves are exact in any order */
            payload.expected += elements[i];
        }
    }
    if (payload.buffer != NULL) {
        memcpy(sl_buffer_data(payload.buffer), payload.elements, payload_size());
    }
    sl_writer_init(&payload.writer, NULL);
    /* Both workers may be asked: each of them is to have seen the buffer before. */
    for (uint32_t i = 0; i < 2 * BENCH_WORKERS; i++) {
        call_once(bench);
    }
}

static void round_payload(struct bench *bench) {
    uint32_t count = bench_count(bench, payload.calls);
    uint64_t samples[BYTES_CALLS];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = bench_now_ns();
        call_once(bench);
        samples[i] = bench_now_ns() - start;
    }
    bench_figure(bench, bench_median(samples, count) / 1e3);
}

static void close_payload(struct bench *bench) {
    sl_writer_finish(&payload.writer);
    sl_buffer_unref(payload.buffer);
    bench_pool_destroy(bench);
    free(payload.elements);
}

static void open_bytes(struct bench *bench, enum way way) {
    payload = (struct payload){
        .function = "work:length_batch", .dtype = SL_DTYPE_U8, .way = way, .count = BYTES_SIZE, .calls = BYTES_CALLS};
    open_payload(bench);
}

static void open_array(struct bench *bench, enum way way) {
    payload = (struct payload){.function = "arrays:total_batch",
                               .dtype = SL_DTYPE_F64,
                               .way = way,
                               .count = ARRAY_COUNT,
                               .calls = ARRAY_CALLS};
    open_payload(bench);
}

static void open_bytes_in_place(struct bench *bench) {
    open_bytes(bench, IN_PLACE);
}

static void open_bytes_refilled(struct bench *bench) {
    open_bytes(bench, REFILLED);
}

static void open_bytes_copied(struct bench *bench) {
    open_bytes(bench, COPIED);
}

static void open_array_in_place(struct bench *bench) {
    open_array(bench, IN_PLACE);
}

static void open_array_refilled(struct bench *bench) {
    open_array(bench, REFILLED);
}

static void open_array_copied(struct bench *bench) {
    open_array(bench, COPIED);
}

const struct bench_row bench_buffer_rows[] = {
    {"bytes_1mib", open_bytes_in_place, round_payload, close_payload},
    {"bytes_1mib_refilled", open_bytes_refilled, round_payload, close_payload},
    {"bytes_1mib_copied", open_bytes_copied, round_payload, close_payload},
    {"array_64mib", open_array_in_place, round_payload, close_payload},
    {"array_64mib_refilled", open_array_refilled, round_payload, close_payload},
    {"array_64mib_copied", open_array_copied, round_payload, close_payload},
    {NULL, NULL, NULL, NULL},
};
