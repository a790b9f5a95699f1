/* SPDX-License-Identifier: MIT */
/*
 * Bytes as one value. What is accepted must be readable to its last entry, be equal to itself, and come out of a writer as it
 * went in; what is not accepted must not lead any reader outside.
 */
#include <slither/value.h>

#include <stdlib.h>

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void visit(struct sl_value value, unsigned depth, bool checked) {
    bool boolean;
    int64_t integer;
    uint64_t natural;
    double real;
    const char *text;
    const void *bytes;
    size_t size;
    struct sl_timestamp timestamp;
    struct sl_array array;
    struct sl_ref ref;
    struct sl_mark mark;
    struct sl_iter iter;
    struct sl_value key, entry;
    uint32_t count, seen = 0;
    enum sl_type type = sl_value_type(value);
    assert(!checked || type != SL_TYPE_NONE);
    int readers = 0;
    readers += sl_value_bool(value, &boolean) == SL_OK;
    readers += sl_value_int(value, &integer) == SL_OK || sl_value_uint(value, &natural) == SL_OK;
    readers += type != SL_TYPE_INT && sl_value_float(value, &real) == SL_OK;
    readers += sl_value_str(value, &text, &size) == SL_OK;
    readers += sl_value_bytes(value, &bytes, &size) == SL_OK;
    readers += sl_value_timestamp(value, &timestamp) == SL_OK;
    readers += sl_value_array(value, &array) == SL_OK;
    readers += sl_value_ref(value, &ref) == SL_OK;
    readers += sl_value_count(value, &count) == SL_OK;
    if (sl_value_mark(value, &mark) == SL_OK) {
        readers++;
        if (mark.payload.size > 0 && depth > 0) {
            visit(mark.payload, depth - 1, checked);
        }
    }
    /* Exactly one reader takes a value of a type that has content. */
    assert(!checked || readers == (type != SL_TYPE_NIL));
    if (depth == 0 || sl_iter_init(&iter, value) != SL_OK) {
        return;
    }
    while (sl_iter_next(&iter, &key, &entry)) {
        assert(entry.data >= value.data && entry.data + entry.size <= value.data + value.size);
        if (key.data != NULL) {
            visit(key, depth - 1, checked);
        }
        visit(entry, depth - 1, checked);
        seen++;
    }
    assert(!checked || seen == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    bool checked = sl_value_check(data, size, NULL, &value, &error) == SL_OK;
    assert(checked || (error.code != SL_OK && error.message[0] != '\0'));
    if (size == 0) {
        return 0;
    }
    value = (struct sl_value){data, size};
    visit(value, 6, checked);
    assert(sl_value_compare(value, value) == 0);
    uint64_t hash = sl_value_hash(value);
    if (checked) {
        struct sl_writer writer;
        struct sl_value copy;
        sl_writer_init(&writer, NULL);
        sl_write_value(&writer, value);
        assert(sl_writer_end(&writer, &copy, &error) == SL_OK);
        assert(sl_value_equal(value, copy) && sl_value_hash(copy) == hash);
        sl_writer_finish(&writer);
    }
    /* As two values: an order has no opinion on which is asked for first. */
    struct sl_value a = {data, size / 2}, b = {data + size / 2, size - size / 2};
    int there = sl_value_compare(a, b), back = sl_value_compare(b, a);
    assert((there > 0) == (back < 0) && (there == 0) == (back == 0));
    assert(there != 0 || sl_value_hash(a) == sl_value_hash(b));
    return 0;
}
