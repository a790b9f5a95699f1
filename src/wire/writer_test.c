/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "wire/batch.h"
#include "wire/check.h"
#include "wire/writer.h"

#include "base/macros.h"

#include <math.h>

static struct sl_writer writer;

static int set_up(void **state) {
    (void)state;
    sl_writer_init(&writer, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sl_writer_finish(&writer);
    return 0;
}

/* The value written since the last reset has exactly these bytes, and passes the check. */
static void expect_bytes_(const void *bytes, size_t size, int line) {
    struct sl_value checked;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value value = testing_end(&writer);
    if (value.size != size || memcmp(value.data, bytes, size) != 0) {
        for (size_t i = 0; i < value.size && i < 64; i++) {
            print_message("%02x ", value.data[i]);
        }
        fail_msg("line %d: other bytes were written", line);
    }
    if (sl_value_check(value.data, value.size, NULL, &checked, &error) != SL_OK) {
        fail_msg("line %d: %s", line, error.message);
    }
    sl_writer_reset(&writer);
}

#define EXPECT(literal) expect_bytes_(literal, sizeof(literal) - 1, __LINE__)

static void scalars_take_their_shortest_form(void **state) {
    (void)state;
    sl_write_nil(&writer), EXPECT("\xc0");
    sl_write_bool(&writer, false), EXPECT("\xc2");
    sl_write_bool(&writer, true), EXPECT("\xc3");
    sl_write_int(&writer, 0), EXPECT("\x00");
    sl_write_int(&writer, 127), EXPECT("\x7f");
    sl_write_int(&writer, 128), EXPECT("\xcc\x80");
    sl_write_int(&writer, 255), EXPECT("\xcc\xff");
    sl_write_int(&writer, 256), EXPECT("\xcd\x01\x00");
    sl_write_int(&writer, 65535), EXPECT("\xcd\xff\xff");
    sl_write_int(&writer, 65536), EXPECT("\xce\x00\x01\x00\x00");
    sl_write_int(&writer, UINT32_MAX), EXPECT("\xce\xff\xff\xff\xff");
    sl_write_int(&writer, INT64_C(1) << 32), EXPECT("\xcf\x00\x00\x00\x01\x00\x00\x00\x00");
    sl_write_int(&writer, INT64_MAX), EXPECT("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    sl_write_int(&writer, -1), EXPECT("\xff");
    sl_write_int(&writer, -32), EXPECT("\xe0");
    sl_write_int(&writer, -33), EXPECT("\xd0\xdf");
    sl_write_int(&writer, -128), EXPECT("\xd0\x80");
    sl_write_int(&writer, -129), EXPECT("\xd1\xff\x7f");
    sl_write_int(&writer, -32768), EXPECT("\xd1\x80\x00");
    sl_write_int(&writer, -32769), EXPECT("\xd2\xff\xff\x7f\xff");
    sl_write_int(&writer, INT32_MIN), EXPECT("\xd2\x80\x00\x00\x00");
    sl_write_int(&writer, (int64_t)INT32_MIN - 1), EXPECT("\xd3\xff\xff\xff\xff\x7f\xff\xff\xff");
    sl_write_int(&writer, INT64_MIN), EXPECT("\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    sl_write_uint(&writer, 5), EXPECT("\x05");
    sl_write_uint(&writer, UINT64_MAX), EXPECT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    sl_write_float(&writer, 1.0), EXPECT("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    sl_write_float(&writer, -0.0), EXPECT("\xcb\x80\x00\x00\x00\x00\x00\x00\x00");
    sl_write_str(&writer, ""), EXPECT("\xa0");
    sl_write_strn(&writer, NULL, 0), EXPECT("\xa0");
    sl_write_strn(&writer, "a\0b", 3), EXPECT("\xa3"
                                              "a\0b");
    sl_write_bytes(&writer, NULL, 0), EXPECT("\xc4\x00");
    sl_write_bytes(&writer, "\xff", 1), EXPECT("\xc4\x01\xff");
    sl_write_timestamp(&writer, (struct sl_timestamp){1, 0}), EXPECT("\xd6\xff\x00\x00\x00\x01");
    sl_write_timestamp(&writer, (struct sl_timestamp){1, 999999999}),
        EXPECT("\xd7\xff\xee\x6b\x27\xfc\x00\x00\x00\x01");
    sl_write_timestamp(&writer, (struct sl_timestamp){-1, 1}),
        EXPECT("\xc7\x0c\xff\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff");
}

static void bodies_and_counts_take_the_right_header_at_each_edge(void **state) {
    static const uint32_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(sizes); i++) {
        uint32_t size = sizes[i], count;
        const char *text;
        const void *bytes;
        size_t got;
        char *body = malloc(size + 1);
        assert_non_null(body);
        memset(body, 'x', size);
        sl_write_strn(&writer, body, size);
        struct sl_value value = testing_end(&writer);
        assert_int_equal(value.size, size + (size < 32 ? 1 : size < 256 ? 2 : size < 65536 ? 3 : 5));
        assert_int_equal(sl_value_str(value, &text, &got), SL_OK);
        assert_int_equal(got, size);
        assert_memory_equal(text, body, size);
        sl_writer_reset(&writer);

        sl_write_bytes(&writer, body, size);
        value = testing_end(&writer);
        assert_int_equal(value.size, size + (size < 256 ? 2 : size < 65536 ? 3 : 5));
        assert_int_equal(sl_value_bytes(value, &bytes, &got), SL_OK);
        assert_int_equal(got, size);
        sl_writer_reset(&writer);

        sl_write_list(&writer, size);
        for (uint32_t entry = 0; entry < size; entry++) {
            sl_write_nil(&writer);
        }
        value = testing_end(&writer);
        assert_int_equal(value.size, size + (size < 16 ? 1 : size < 65536 ? 3 : 5));
        assert_int_equal(sl_value_count(value, &count), SL_OK);
        assert_int_equal(count, size);
        sl_writer_reset(&writer);

        sl_write_map(&writer, size);
        for (uint32_t entry = 0; entry < size; entry++) {
            sl_write_bool(&writer, true);
            sl_write_nil(&writer);
        }
        value = testing_end(&writer);
        assert_int_equal(value.size, 2 * size + (size < 16 ? 1 : size < 65536 ? 3 : 5));
        assert_int_equal(sl_value_type(value), SL_TYPE_MAP);
        sl_writer_reset(&writer);
        free(body);
    }
}

static void elements_of_arrays_lie_at_multiples_of_eight(void **state) {
    static const double elements[] = {1, 2, 3, 4, 5, 6};
    static const uint64_t shape[] = {2, 3};
    static const char filler[] = "xxxxxxxx";
    (void)state;
    for (size_t before = 0; before < 9; before++) {
        struct sl_value value, entry;
        struct sl_array array;
        sl_write_list(&writer, 2);
        sl_write_strn(&writer, filler, before % 8);
        sl_write_array(&writer, SL_DTYPE_F64, 2, shape, elements);
        value = testing_end(&writer);
        assert_int_equal(sl_value_at(value, 1, &entry), SL_OK);
        assert_int_equal(sl_value_array(entry, &array), SL_OK);
        assert_int_equal((size_t)((const uint8_t *)array.data - value.data) % 8, 0);
        assert_int_equal(array.dtype, SL_DTYPE_F64);
        assert_int_equal(array.dim_count, 2);
        assert_int_equal(array.shape[0], 2);
        assert_int_equal(array.shape[1], 3);
        assert_int_equal(array.data_size, sizeof(elements));
        assert_memory_equal(array.data, elements, sizeof(elements));
        sl_writer_reset(&writer);
    }
}

static void arrays_of_every_kind_come_back(void **state) {
    static const uint8_t elements[16 * 16];
    static const uint64_t none[] = {4, 0, 4};
    uint64_t ones[SL_ARRAY_DIM_MAX];
    struct sl_array array;
    (void)state;
    for (int dtype = 1; dtype <= 14; dtype++) {
        uint64_t shape[] = {16};
        sl_write_array(&writer, (enum sl_dtype)dtype, 1, shape, elements);
        assert_int_equal(sl_value_array(testing_end(&writer), &array), SL_OK);
        assert_int_equal(array.data_size, 16 * sl_dtype_size((enum sl_dtype)dtype));
        assert_non_null(sl__dtype_name((enum sl_dtype)dtype));
        sl_writer_reset(&writer);
    }
    assert_int_equal(sl_dtype_size((enum sl_dtype)0), 0);
    assert_int_equal(sl_dtype_size((enum sl_dtype)15), 0);
    for (int i = 0; i < SL_ARRAY_DIM_MAX; i++) {
        ones[i] = 1;
    }
    sl_write_array(&writer, SL_DTYPE_C128, SL_ARRAY_DIM_MAX, ones, elements);
    assert_int_equal(sl_value_array(testing_end(&writer), &array), SL_OK);
    assert_int_equal(array.dim_count, SL_ARRAY_DIM_MAX);
    sl_writer_reset(&writer);
    sl_write_array(&writer, SL_DTYPE_F32, 0, NULL, elements); /* a scalar has one element */
    assert_int_equal(sl_value_array(testing_end(&writer), &array), SL_OK);
    assert_int_equal(array.data_size, 4);
    sl_writer_reset(&writer);
    sl_write_array(&writer, SL_DTYPE_F64, 3, none, NULL); /* no elements, so none are read */
    assert_int_equal(sl_value_array(testing_end(&writer), &array), SL_OK);
    assert_int_equal(array.data_size, 0);
    assert_non_null(array.data);
    sl_writer_reset(&writer);
    uint64_t in_buffer[] = {1000, 1000};
    sl__write_buffer_array(&writer, 77, 4096, SL_DTYPE_F64, 2, in_buffer);
    assert_int_equal(sl_value_array(testing_end(&writer), &array), SL_OK);
    assert_null(array.data);
    assert_int_equal(array.data_size, 8000000);
    assert_int_equal(array.buffer_id, 77);
    assert_int_equal(array.buffer_offset, 4096);
}

static void refs_come_back(void **state) {
    struct sl_ref ref = {UINT64_MAX, 2, 3, 4, "module.Type", 11, "Type(\xc3\xa9)", 8}, got;
    (void)state;
    sl_write_ref(&writer, &ref);
    assert_int_equal(sl_value_ref(testing_end(&writer), &got), SL_OK);
    assert_true(got.session == UINT64_MAX && got.object == 2 && got.worker == 3 && got.generation == 4);
    assert_int_equal(got.type_name_size, 11);
    assert_memory_equal(got.type_name, "module.Type", 11);
    assert_int_equal(got.repr_size, 8);
    assert_memory_equal(got.repr, "Type(\xc3\xa9)", 8);
    sl_writer_reset(&writer);
    ref.type_name_size = ref.repr_size = 0;
    sl_write_ref(&writer, &ref);
    assert_int_equal(sl_value_ref(testing_end(&writer), &got), SL_OK);
    assert_int_equal(got.type_name_size, 0);
    assert_int_equal(got.repr_size, 0);
}

static void marks_come_back(void **state) {
    struct sl_mark got;
    static const uint8_t payload[] = {0x92, 0x01, 0xa1, 'x'};
    (void)state;
    for (int kind = SL_MARK_SKIP; kind <= SL_MARK_ROUTE; kind++) {
        struct sl_mark mark = {(enum sl_mark_kind)kind, "why", 3, {NULL, 0}};
        if (kind != SL_MARK_SKIP) {
            mark.payload = (struct sl_value){payload, sizeof(payload)};
        }
        sl__write_mark(&writer, &mark);
        struct sl_value value = testing_end(&writer), checked;
        assert_int_equal(sl_value_check(value.data, value.size, NULL, &checked, NULL), SL_OK);
        assert_int_equal(sl_value_type(value), SL_TYPE_MARK);
        assert_int_equal(sl_value_mark(value, &got), SL_OK);
        assert_int_equal(got.kind, kind);
        assert_int_equal(got.text_size, 3);
        assert_memory_equal(got.text, "why", 3);
        assert_int_equal(got.payload.size, kind == SL_MARK_SKIP ? 0 : sizeof(payload));
        sl_writer_reset(&writer);
    }
    struct sl_mark bare = {SL_MARK_ROUTE, "name", 4, {NULL, 0}};
    sl__write_mark(&writer, &bare);
    assert_int_equal(sl_value_mark(testing_end(&writer), &got), SL_OK);
    assert_int_equal(sl_value_type(got.payload), SL_TYPE_NIL);
}

static void expect_failure_(enum sl_code code, const char *word, int line) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code got = sl_writer_end(&writer, &value, &error);
    if (got != code || strstr(error.message, word) == NULL || value.data != NULL) {
        fail_msg("line %d: %s: %s", line, sl_code_name(got), error.message);
    }
    assert_int_equal(error.code, code);
    sl_writer_reset(&writer);
    /* After a reset the writer is as good as new. */
    sl_write_int(&writer, 1);
    (void)testing_end(&writer);
    sl_writer_reset(&writer);
}

#define EXPECT_FAILURE(code, word) expect_failure_(code, word, __LINE__)

static void misuse_is_named_and_the_first_error_sticks(void **state) {
    static const uint64_t one[] = {1}, huge[] = {UINT64_C(1) << 60, 16}, large[] = {(UINT64_C(1) << 30) + 1};
    struct sl_ref ref = {0, 0, 0, 0, "\xff", 1, NULL, 0};
    (void)state;
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "nothing was written");
    sl_write_nil(&writer), sl_write_nil(&writer);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "another one follows");
    sl_write_list(&writer, 0), sl_write_nil(&writer);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "another one follows");
    sl_write_list(&writer, 2), sl_write_nil(&writer);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "a list, lacks 1 entries");
    sl_write_list(&writer, 1), sl_write_map(&writer, 1), sl_write_nil(&writer);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "a map, lacks 1 keys and values");
    sl_write_map(&writer, 1), sl_write_list(&writer, 0);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "map key");
    sl_write_map(&writer, 2), sl_write_nil(&writer), sl_write_list(&writer, 0), sl_write_map(&writer, 0);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "map key");
    sl_write_map(&writer, 1), sl_write_array(&writer, SL_DTYPE_U8, 1, one, "x");
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "map key");
    sl_write_str(&writer, "\xff");
    EXPECT_FAILURE(SL_E_INVALID_UTF8, "not valid UTF-8");
    sl_write_str(&writer, NULL);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "NULL");
    sl_write_strn(&writer, NULL, 1);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "NULL");
    sl_write_bytes(&writer, NULL, 1);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "NULL");
    sl_write_strn(&writer, "x", SIZE_MAX);
    EXPECT_FAILURE(SL_E_LIMIT, "1 GiB");
    sl_write_timestamp(&writer, (struct sl_timestamp){0, 1000000000});
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "nanoseconds");
    sl_write_array(&writer, (enum sl_dtype)0, 1, one, "x");
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "element type");
    sl_write_array(&writer, SL_DTYPE_U8, 17, one, "x");
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "16 dimensions");
    sl_write_array(&writer, SL_DTYPE_U8, 1, NULL, "x");
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "shape");
    sl_write_array(&writer, SL_DTYPE_U8, 1, one, NULL);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "elements");
    sl_write_array(&writer, SL_DTYPE_U8, 1, NULL, NULL);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "array");
    sl_write_array(&writer, SL_DTYPE_U8, 2, huge, "x");
    EXPECT_FAILURE(SL_E_LIMIT, "shared buffer");
    sl_write_array(&writer, SL_DTYPE_U8, 1, large, "x");
    EXPECT_FAILURE(SL_E_LIMIT, "shared buffer");
    sl__write_buffer_array(&writer, 0, 0, SL_DTYPE_U8, 1, one);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "needs a buffer");
    sl__write_buffer_array(&writer, 1, INT64_MAX, SL_DTYPE_U8, 1, one);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "2^63");
    sl_write_ref(&writer, NULL);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "ref");
    sl_write_ref(&writer, &ref);
    EXPECT_FAILURE(SL_E_INVALID_UTF8, "ref");
    ref.type_name = "T", ref.repr = "\xff", ref.repr_size = 1;
    sl_write_ref(&writer, &ref);
    EXPECT_FAILURE(SL_E_INVALID_UTF8, "repr");
    ref.type_name_size = UINT16_MAX + 1;
    sl_write_ref(&writer, &ref);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "65535");
    sl_write_str(&writer, "\xff"), sl_write_timestamp(&writer, (struct sl_timestamp){0, 1000000000});
    EXPECT_FAILURE(SL_E_INVALID_UTF8, "not valid UTF-8");
}

static void marks_that_cannot_be_are_refused(void **state) {
    static const uint8_t nil[] = {0xc0, 0xc0}, inner_mark[] = {0xd5, 0x04, 0x01, 0xa0};
    struct sl_mark skip = {SL_MARK_SKIP, "x", 1, {NULL, 0}};
    (void)state;
    sl_write_list(&writer, 1), sl__write_mark(&writer, &skip);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "outermost");
    sl_write_list(&writer, 1), sl_write_value(&writer, (struct sl_value){inner_mark, sizeof(inner_mark)});
    EXPECT_FAILURE(SL_E_INVALID_DATA, "mark");
    skip.payload = (struct sl_value){nil, 1};
    sl__write_mark(&writer, &skip);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "payload");
    struct sl_mark route = {SL_MARK_ROUTE, "x", 1, {nil, 2}};
    sl__write_mark(&writer, &route);
    EXPECT_FAILURE(SL_E_INVALID_DATA, "bytes follow");
    route.payload = (struct sl_value){inner_mark, sizeof(inner_mark)};
    sl__write_mark(&writer, &route);
    EXPECT_FAILURE(SL_E_INVALID_DATA, "mark");
    route = (struct sl_mark){(enum sl_mark_kind)4, "x", 1, {NULL, 0}};
    sl__write_mark(&writer, &route);
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "kind");
    route = (struct sl_mark){SL_MARK_ERROR, "\xff", 1, {NULL, 0}};
    sl__write_mark(&writer, &route);
    EXPECT_FAILURE(SL_E_INVALID_UTF8, "mark");
}

static void depth_and_size_are_bounded_exactly(void **state) {
    struct sl_limits limits = SL_LIMITS_INIT;
    char body[100];
    (void)state;
    memset(body, 'x', sizeof(body));
    for (uint32_t depth_max = 1; depth_max <= SL_DEPTH_MAX_LIMIT; depth_max = depth_max * 2 + (depth_max == 1)) {
        limits.depth_max = depth_max;
        struct sl_writer deep;
        struct sl_value value;
        sl_writer_init(&deep, &limits);
        for (uint32_t i = 0; i < depth_max; i++) {
            sl_write_list(&deep, 1);
        }
        sl_write_nil(&deep);
        assert_int_equal(sl_writer_end(&deep, &value, NULL), SL_OK);
        assert_int_equal(sl_value_check(value.data, value.size, &limits, &value, NULL), SL_OK);
        sl_writer_reset(&deep);
        for (uint32_t i = 0; i < depth_max + 1; i++) {
            sl_write_list(&deep, 1);
        }
        sl_write_nil(&deep);
        assert_int_equal(sl_writer_end(&deep, &value, NULL), SL_E_LIMIT);
        sl_writer_finish(&deep);
    }
    limits = (struct sl_limits)SL_LIMITS_INIT;
    limits.size_max = 40;
    struct sl_writer small;
    struct sl_value value;
    sl_writer_init(&small, &limits);
    sl_write_strn(&small, body, 38);
    assert_int_equal(sl_writer_end(&small, &value, NULL), SL_OK);
    sl_writer_reset(&small);
    sl_write_strn(&small, body, 39);
    assert_int_equal(sl_writer_end(&small, &value, NULL), SL_E_LIMIT);
    sl_writer_reset(&small);
    sl_write_strn(&small, body, 100);
    assert_int_equal(sl_writer_end(&small, &value, NULL), SL_E_LIMIT);
    sl_writer_reset(&small);
    sl_write_list(&small, 41);
    assert_int_equal(sl_writer_end(&small, &value, NULL), SL_E_LIMIT);
    sl_writer_finish(&small);
    /* A million empty lists side by side are flat. */
    sl_write_list(&writer, 1000000);
    for (int i = 0; i < 1000000; i++) {
        sl_write_list(&writer, 0);
    }
    (void)testing_end(&writer);
}

static void limits_out_of_range_are_refused(void **state) {
    struct sl_limits limits = SL_LIMITS_INIT;
    struct sl_writer bad;
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    (void)state;
    limits.depth_max = 1025;
    sl_writer_init(&bad, &limits);
    sl_write_nil(&bad);
    assert_int_equal(sl_writer_end(&bad, &value, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "depth_max of 1 to 1024"));
    sl_writer_reset(&bad);
    sl_write_nil(&bad);
    assert_int_equal(sl_writer_end(&bad, &value, &error), SL_E_INVALID_ARGUMENT);
    sl_writer_finish(&bad);
}

static void a_zeroed_writer_is_fine_to_finish_and_refuses_to_write(void **state) {
    struct sl_writer zeroed = {0};
    struct sl_value value;
    (void)state;
    sl_writer_finish(&zeroed);
    sl_write_nil(&zeroed);
    assert_int_equal(sl_writer_end(&zeroed, &value, NULL), SL_E_INVALID_ARGUMENT);
    sl_writer_finish(&zeroed);
    sl_writer_init(&zeroed, NULL);
    sl_writer_finish(&zeroed);
}

static void a_writer_may_be_moved(void **state) {
    struct sl_writer moved;
    (void)state;
    sl_write_list(&writer, 2);
    sl_write_nil(&writer);
    moved = writer;
    memset(&writer, 0xee, sizeof(writer));
    sl_write_nil(&moved);
    assert_int_equal(testing_end(&moved).size, 3);
    sl_writer_finish(&moved);
    sl_writer_init(&writer, NULL);
}

static void values_are_copied_checked(void **state) {
    static const double elements[] = {1, 2};
    static const uint64_t shape[] = {2};
    struct sl_value value, entry;
    struct sl_array array;
    struct sl_writer outer;
    (void)state;
    sl_writer_init(&outer, NULL);
    sl_write_array(&writer, SL_DTYPE_F64, 1, shape, elements);
    /* An array keeps its elements aligned although it now starts elsewhere. */
    for (size_t before = 0; before < 8; before++) {
        sl_writer_reset(&outer);
        sl_write_list(&outer, 2);
        sl_write_strn(&outer, "xxxxxxxx", before);
        sl_write_value(&outer, testing_end(&writer));
        value = testing_end(&outer);
        assert_int_equal(sl_value_at(value, 1, &entry), SL_OK);
        assert_int_equal(sl_value_array(entry, &array), SL_OK);
        assert_int_equal((size_t)((const uint8_t *)array.data - value.data) % 8, 0);
        assert_memory_equal(array.data, elements, sizeof(elements));
        assert_true(sl_value_equal(entry, testing_end(&writer)));
    }
    sl_writer_reset(&writer);
    sl_write_value(&writer, (struct sl_value){NULL, 0});
    EXPECT_FAILURE(SL_E_INVALID_DATA, "missing");
    sl_write_value(&writer, (struct sl_value){(const uint8_t *)"\x92\x01", 2});
    EXPECT_FAILURE(SL_E_INVALID_DATA, "end");
    sl_write_value(&writer, (struct sl_value){(const uint8_t *)"\x01\x01", 2});
    EXPECT_FAILURE(SL_E_INVALID_DATA, "bytes follow");
    sl_write_map(&writer, 1), sl_write_value(&writer, (struct sl_value){(const uint8_t *)"\x90", 1});
    EXPECT_FAILURE(SL_E_INVALID_ARGUMENT, "map key");
    /* The depth of the copy counts from where it is put. */
    struct sl_limits limits = SL_LIMITS_INIT;
    limits.depth_max = 3;
    sl_writer_finish(&outer);
    sl_writer_init(&outer, &limits);
    sl_write_list(&outer, 1), sl_write_value(&outer, (struct sl_value){(const uint8_t *)"\x91\x90", 2});
    (void)testing_end(&outer);
    sl_writer_reset(&outer);
    sl_write_list(&outer, 1), sl_write_list(&outer, 1);
    sl_write_value(&outer, (struct sl_value){(const uint8_t *)"\x91\x90", 2});
    assert_int_equal(sl_writer_end(&outer, &value, NULL), SL_E_LIMIT);
    sl_writer_finish(&outer);
}

/* ---- memory of others --------------------------------------------------------------------------------------- */

struct arena {
    struct sl_writer writer; /* first: `grow` finds the arena through it */
    size_t bound;
    int grown;
};

static bool grow_arena(struct sl_writer *of, size_t needed) {
    struct arena *arena = (struct arena *)of;
    if (needed > arena->bound) {
        sl__writer_fail(of, SL_E_LIMIT, "the arena is full");
        return false;
    }
    size_t capacity = SL_MIN(arena->bound, needed + 10);
    uint8_t *memory = malloc(capacity);
    assert_non_null(memory);
    memcpy(memory, of->data, of->size);
    free(of->data);
    of->data = memory;
    of->capacity = capacity;
    arena->grown++;
    return true;
}

static void memory_of_others_grows_as_they_say(void **state) {
    struct arena arena = {.bound = 1000};
    (void)state;
    sl__writer_init_at(&arena.writer, malloc(16), 16, NULL, grow_arena);
    for (int i = 0; i < 60; i++) { /* values side by side, as a batch has them */
        sl__put_map(&arena.writer, 1);
        sl__put_str(&arena.writer, "key", 3);
        sl__put_int(&arena.writer, i * 1000);
        sl__put_filler(&arena.writer);
    }
    assert_int_equal(arena.writer.code, SL_OK);
    assert_true(arena.grown > 0);
    struct sl_value item;
    size_t offset = 0;
    for (int i = 0; i < 60; i++) {
        int64_t got;
        assert_int_equal(sl__batch_next(arena.writer.data, arena.writer.size, &offset, NULL, &item, NULL), SL_OK);
        assert_int_equal(sl_value_get(item, "key", &item), SL_OK);
        assert_int_equal(sl_value_int(item, &got), SL_OK);
        assert_int_equal(got, i * 1000);
    }
    assert_int_equal(sl__batch_next(arena.writer.data, arena.writer.size, &offset, NULL, &item, NULL), SL_E_END);
    while (arena.writer.code == SL_OK) {
        sl__put_float(&arena.writer, 1);
    }
    assert_int_equal(arena.writer.code, SL_E_LIMIT);
    assert_true(arena.writer.size <= 1000);
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl__writer_error(&arena.writer, &error), SL_E_LIMIT);
    assert_non_null(strstr(error.message, "the arena is full"));
    free(arena.writer.data);
    sl_writer_finish(&arena.writer);
}

static void puts_write_what_writes_write(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer raw;
    char text[600];
    (void)state;
    sl_writer_init(&raw, NULL);
    for (int round = 0; round < 20000; round++) {
        int64_t integer = testing_int(&seed);
        double real = testing_float(&seed);
        size_t size = testing_text(&seed, text, 150);
        sl_writer_reset(&writer);
        sl_writer_reset(&raw);
        sl_write_list(&writer, 7), sl__put_list(&raw, 7);
        sl_write_int(&writer, integer), sl__put_int(&raw, integer);
        sl_write_uint(&writer, (uint64_t)integer), sl__put_uint(&raw, (uint64_t)integer);
        sl_write_float(&writer, real), sl__put_float(&raw, real);
        sl_write_strn(&writer, text, size), sl__put_str(&raw, text, size);
        sl_write_bytes(&writer, text, size), sl__put_bytes(&raw, text, size);
        sl_write_map(&writer, 1), sl__put_map(&raw, 1);
        sl_write_nil(&writer), sl__put_nil(&raw);
        sl_write_bool(&writer, size & 1), sl__put_bool(&raw, size & 1);
        sl_write_timestamp(&writer, (struct sl_timestamp){integer, 7});
        sl__put_timestamp(&raw, (struct sl_timestamp){integer, 7});
        struct sl_value value = testing_end(&writer);
        assert_int_equal(raw.code, SL_OK);
        assert_int_equal(raw.size, value.size);
        assert_memory_equal(raw.data, value.data, value.size);
    }
    sl_writer_finish(&raw);
}

static void a_mark_is_put_in_two_halves(void **state) {
    struct sl_mark got;
    (void)state;
    size_t begin = sl__put_mark_begin(&writer, SL_MARK_ROUTE, "name", 4);
    sl__put_list(&writer, 1);
    sl__put_int(&writer, 5);
    sl__put_mark_end(&writer, begin);
    struct sl_value value = {writer.data, writer.size};
    assert_int_equal(sl_value_check(value.data, value.size, NULL, &value, NULL), SL_OK);
    assert_int_equal(sl_value_mark(value, &got), SL_OK);
    assert_int_equal(got.payload.size, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(scalars_take_their_shortest_form),
        TEST(bodies_and_counts_take_the_right_header_at_each_edge),
        TEST(elements_of_arrays_lie_at_multiples_of_eight),
        TEST(arrays_of_every_kind_come_back),
        TEST(refs_come_back),
        TEST(marks_come_back),
        TEST(misuse_is_named_and_the_first_error_sticks),
        TEST(marks_that_cannot_be_are_refused),
        TEST(depth_and_size_are_bounded_exactly),
        TEST(limits_out_of_range_are_refused),
        TEST(a_zeroed_writer_is_fine_to_finish_and_refuses_to_write),
        TEST(a_writer_may_be_moved),
        TEST(values_are_copied_checked),
        TEST(memory_of_others_grows_as_they_say),
        TEST(puts_write_what_writes_write),
        TEST(a_mark_is_put_in_two_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
