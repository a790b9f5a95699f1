/* SPDX-License-Identifier: MIT */
/* Large values: arrays in a payload, arrays in shared buffers, views that Python keeps, payloads at their limits. */
#include "runs.h"

/* ---- arrays ------------------------------------------------------------------------------------------------------------ */

struct arrays {
    struct sl_writer writer;
    double *elements;
    uint64_t element_count, position, count;
    struct sl_buffer *const *buffers; /* in turn; NULL: the elements travel in the payload */
    uint32_t buffer_count;
    bool unnamed; /* the items do not name their buffer */
    double sums[64];
    uint64_t ok;
    int64_t look;
};

static double element(uint64_t array, uint64_t i) {
    return (double)(array * 100 + i % 50);
}

static double expected_sum(const struct arrays *arrays, uint64_t array) {
    double sum = 0;
    for (uint64_t i = 0; i < arrays->element_count; i++) {
        sum += element(array, i);
    }
    return sum;
}

static enum sl_code next_array(void *context, struct sl_item *item, struct sl_error *error) {
    struct arrays *arrays = context;
    if (arrays->position == arrays->count) {
        return SL_E_END;
    }
    sl_writer_reset(&arrays->writer);
    if (arrays->buffers != NULL) {
        uint64_t which = arrays->position % arrays->buffer_count;
        sl_write_array_in(&arrays->writer, arrays->buffers[which], 64, SL_DTYPE_F64, 1, &arrays->element_count);
        item->buffers = &arrays->buffers[which];
        item->buffer_count = !arrays->unnamed;
    } else {
        for (uint64_t i = 0; i < arrays->element_count; i++) {
            arrays->elements[i] = element(arrays->position, i);
        }
        sl_write_array(&arrays->writer, SL_DTYPE_F64, 1, &arrays->element_count, arrays->elements);
    }
    item->id = arrays->position++;
    return sl_writer_end(&arrays->writer, &item->value, error);
}

static enum sl_code put_float(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct arrays *arrays = context;
    (void)error;
    arrays->ok += outcome->status == SL_STATUS_OK;
    if (sl_value_float(outcome->value, &arrays->sums[outcome->sequence % 64]) != SL_OK) {
        arrays->sums[outcome->sequence % 64] = -1;
    }
    return SL_OK;
}

static enum sl_code put_doubled(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct arrays *arrays = context;
    struct sl_array array;
    (void)error;
    arrays->ok += outcome->status == SL_STATUS_OK;
    assert_int_equal(sl_value_array(outcome->value, &array), SL_OK);
    assert_int_equal(array.dtype, SL_DTYPE_F64);
    assert_int_equal(array.dim_count, 1);
    assert_int_equal(array.shape[0], arrays->element_count);
    for (uint64_t i = 0; i < arrays->element_count; i += 7) {
        double found;
        memcpy(&found, (const uint8_t *)array.data + i * 8, 8);
        assert_true(found == 2 * element(outcome->sequence, i));
    }
    return SL_OK;
}

static void arrays_run(struct host *host, struct arrays *arrays, const char *function, uint32_t batch_size,
                       enum sl_code (*put)(void *, const struct sl_outcome *, struct sl_error *)) {
    struct sl_dispatch_options options = host_options(function);
    struct sl_report report = SL_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_sink sink = {put, arrays};
    options.batch_size = batch_size;
    arrays->position = arrays->ok = 0;
    sl_writer_init(&arrays->writer, NULL);
    enum sl_code code =
        sl_dispatch_run(host->pool, &options, (struct sl_source){next_array, arrays}, &sink, &report, &error);
    if (code != SL_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(arrays->ok, arrays->count);
    sl_writer_finish(&arrays->writer);
    sl_report_finish(&report);
}

static void arrays_travel_both_ways(void **state) {
    (void)state;
    static const uint64_t sizes[] = {0, 1, 100, 5000, 100000};
    struct host host;
    host_open(&host, 2, NULL);
    for (size_t s = 0; s < 5; s++) {
        for (uint32_t batch_size = 1; batch_size <= 5; batch_size += 4) {
            struct arrays arrays = {.element_count = sizes[s], .count = 12};
            arrays.elements = calloc(sizes[s] + 1, sizeof(double));
            arrays_run(&host, &arrays, "dispatch_functions:array_sum", batch_size, put_float);
            for (uint64_t i = 0; i < 12; i++) {
                assert_true(arrays.sums[i] == expected_sum(&arrays, i));
            }
            arrays_run(&host, &arrays, "dispatch_functions:array_double", batch_size, put_doubled);
            free(arrays.elements);
        }
    }
    host_close(&host);
}

static void shared_buffers_are_seen_in_place(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, NULL);
    int fds = descriptor_count();
    struct sl_buffer *buffers[40];
    struct sl_error error = SL_ERROR_INIT;
    struct arrays arrays = {.element_count = 3000, .count = 40, .buffers = buffers, .buffer_count = 40};
    for (uint64_t b = 0; b < 40; b++) {
        assert_int_equal(sl_buffer_create(host.runtime, 64 + 3000 * 8, &buffers[b], &error), SL_OK);
        double *elements = (double *)((uint8_t *)sl_buffer_data(buffers[b]) + 64);
        for (uint64_t i = 0; i < 3000; i++) {
            elements[i] = element(b, i);
        }
    }
    for (uint32_t batch_size = 1; batch_size <= 40; batch_size += 13) {
        arrays_run(&host, &arrays, "dispatch_functions:array_sum", batch_size, put_float);
        for (uint64_t i = 0; i < 40; i++) {
            assert_true(arrays.sums[i] == expected_sum(&arrays, i));
        }
    }
    /* In place: what the host writes afterwards is what the next batch sees. */
    ((double *)sl_buffer_data(buffers[7]))[8] += 1000;
    arrays_run(&host, &arrays, "dispatch_functions:array_sum", 8, put_float);
    assert_true(arrays.sums[7] == expected_sum(&arrays, 7) + 1000);
    for (uint64_t b = 0; b < 40; b++) {
        sl_buffer_unref(buffers[b]);
    }
    arrays = (struct arrays){.element_count = 10, .count = 4, .elements = (double[10]){0}};
    arrays_run(&host, &arrays, "dispatch_functions:array_sum", 1, put_float); /* the lanes hear of the dead buffers */
    assert_true(descriptor_count() <= fds + 4);
    host_close(&host);
}

/* More buffers in one batch than one request can bring: it goes in several. */
static void many_buffers_are_split_over_requests(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, NULL);
    static struct sl_buffer *buffers[300];
    struct sl_error error = SL_ERROR_INIT;
    struct arrays arrays = {.element_count = 1, .count = 300, .buffers = buffers, .buffer_count = 300};
    for (uint64_t b = 0; b < 300; b++) {
        assert_int_equal(sl_buffer_create(host.runtime, 4096, &buffers[b], &error), SL_OK);
        ((double *)sl_buffer_data(buffers[b]))[8] = (double)b;
    }
    arrays_run(&host, &arrays, "dispatch_functions:array_sum", 300, put_float);
    for (uint64_t b = 0; b < 300; b++) {
        sl_buffer_unref(buffers[b]);
    }
    host_close(&host);
}

static void views_that_python_keeps_stay_valid(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, NULL);
    struct arrays arrays = {.element_count = 50000, .count = 10}; /* 400 KB each: in a file, seen in place */
    arrays.elements = calloc(50000, sizeof(double));
    arrays_run(&host, &arrays, "dispatch_functions:keep_arrays", 2, put_float);
    double sum = 0;
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(arrays.sums[i] == expected_sum(&arrays, i));
        sum += arrays.sums[i];
    }
    for (int round = 0; round < 3; round++) { /* the memory of later batches is another */
        arrays_run(&host, &arrays, "dispatch_functions:array_sum", 2, put_float);
    }
    arrays.count = 1;
    arrays_run(&host, &arrays, "dispatch_functions:sum_kept", 1, put_float);
    assert_true(arrays.sums[0] == sum);
    free(arrays.elements);
    host_close(&host);
}

/* ---- limits -------------------------------------------------------------------------------------------------------------- */

static void small_payloads_only(struct sl_pool_options *options) {
    options->segment_bytes = 64 << 10;
    options->payload_bytes_max = 200000;
}

static enum sl_code one_key(void *context, const struct sl_item *item, struct sl_placement *placement,
                            struct sl_error *error) {
    (void)context;
    (void)item;
    (void)error;
    placement->key = 77;
    return SL_OK;
}

static size_t mixed_padding(void *context, uint64_t x) {
    (void)context;
    return x % 25 == 24 ? 300000 : 9000;
}

/* 64 items of 9 KB are more than one payload may be, so batches end earlier; an item that never fits fails alone. */
static void batches_end_where_a_payload_is_full(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 2, small_payloads_only);
    for (int keyed = 0; keyed < 2; keyed++) {
        struct sl_dispatch_options options = host_options("dispatch_functions:triple");
        options.policy.on_error = SL_ON_ERROR_SKIP;
        if (keyed != 0) {
            options.strategy = (struct sl_strategy){"one key", one_key, NULL};
        }
        struct numbers numbers = {.count = 500, .padding_of = mixed_padding};
        struct record record = {0};
        struct sl_report report = SL_REPORT_INIT;
        run_numbers(host.pool, &options, &numbers, &record, &report, SL_OK);
        for (size_t i = 0; i < record.count; i++) {
            bool oversize = i % 25 == 24;
            assert_int_equal(record.seen[i].status, oversize ? SL_STATUS_FAILED : SL_STATUS_OK);
            assert_int_equal(record.seen[i].code, oversize ? SL_E_LIMIT : SL_OK);
        }
        sl_report_finish(&report);
        record_finish(&record);
        numbers_finish(&numbers);
    }
    host_close(&host);
}

/* Results that are larger than a payload may be are an error of the batch, not the end of the worker. */
static void results_that_are_too_large_fail_the_batch(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, small_payloads_only);
    struct sl_dispatch_options options = host_options("dispatch_functions:blow_up");
    options.policy.on_error = SL_ON_ERROR_SKIP;
    static const uint8_t sizes[2][5] = {{0xce, 0, 0, 0x10, 0}, {0xce, 0, 0x10, 0, 0}}; /* 4 KB, 1 MB */
    struct sl_value values[2] = {{sizes[0], 5}, {sizes[1], 5}};
    for (int i = 0; i < 2; i++) {
        struct sl_array_source array = {.values = &values[i], .count = 1};
        struct sl_report report = SL_REPORT_INIT;
        struct sl_error error = SL_ERROR_INIT;
        assert_int_equal(sl_dispatch_run(host.pool, &options, sl_source_from_array(&array), NULL, &report, &error),
                         SL_OK);
        assert_int_equal(report.count[i == 0 ? SL_STATUS_OK : SL_STATUS_FAILED], 1);
        if (i == 1) {
            assert_int_equal(report.errors[0].error.code, SL_E_LIMIT);
        }
        sl_report_finish(&report);
    }
    struct sl_pool_stats stats = host_stats(&host);
    assert_int_equal(stats.death_count, 0);
    host_close(&host);
}

/* Payloads of every size around the borders: what fits the segment, what needs a file. */
static void payloads_of_every_size_pass(void **state) {
    (void)state;
    struct host host;
    host_open(&host, 1, NULL);
    static const size_t borders[] = {256, 65536, 262144, 1048576, 4194304};
    struct sl_writer writer;
    uint8_t *bytes = calloc(1, 4300000);
    sl_writer_init(&writer, NULL);
    for (size_t b = 0; b < 5; b++) {
        for (int delta = -40; delta <= 40; delta += 8) {
            size_t size = borders[b] + (size_t)delta;
            struct sl_item item = {.id = 1};
            struct sl_results results = {0};
            struct sl_error error = SL_ERROR_INIT;
            struct sl_dispatch_options options = host_options("dispatch_functions:length");
            sl_writer_reset(&writer);
            sl_write_bytes(&writer, bytes, size);
            assert_int_equal(sl_writer_end(&writer, &item.value, &error), SL_OK);
            if (sl_call_batch(host.pool, &options, &item, 1, &results, &error) != SL_OK) {
                fail_msg("%zu bytes: %s", size, error.message);
            }
            assert_int_equal(int_of(results.values[0]), size);
            sl_results_finish(&results);

            /* And as a result. */
            options.function = "dispatch_functions:blow_up";
            sl_writer_reset(&writer);
            sl_write_uint(&writer, size);
            assert_int_equal(sl_writer_end(&writer, &item.value, &error), SL_OK);
            assert_int_equal(sl_call_batch(host.pool, &options, &item, 1, &results, &error), SL_OK);
            const void *found;
            size_t found_size;
            assert_int_equal(sl_value_bytes(results.values[0], &found, &found_size), SL_OK);
            assert_int_equal(found_size, size);
            sl_results_finish(&results);
        }
    }
    free(bytes);
    sl_writer_finish(&writer);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_travel_both_ways),
        cmocka_unit_test(shared_buffers_are_seen_in_place),
        cmocka_unit_test(many_buffers_are_split_over_requests),
        cmocka_unit_test(views_that_python_keeps_stay_valid),
        cmocka_unit_test(batches_end_where_a_payload_is_full),
        cmocka_unit_test(results_that_are_too_large_fail_the_batch),
        cmocka_unit_test(payloads_of_every_size_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
