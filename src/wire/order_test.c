/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "wire/writer.h"

#include "base/macros.h"

#include <math.h>

static int sign(int number) {
    return (number > 0) - (number < 0);
}

/* A copy of what the writer holds; the writer is then ready for the next. */
static struct sl_value keep(struct sl_writer *writer) {
    struct sl_value value = testing_end(writer);
    value.data = testing_copy(value.data, value.size);
    sl_writer_reset(writer);
    return value;
}

/* Ascending; those with the same rank are equal. */
static void values_stand_in_the_documented_order(void **state) {
    static const uint64_t shape_2[] = {2}, shape_3[] = {3};
    static const uint8_t elements[] = {1, 2, 3, 4, 5, 6};
    struct sl_value values[64];
    int ranks[64];
    size_t count = 0;
    int rank = 0;
    struct sl_writer writer;
    struct sl_writer *w = &writer;
    (void)state;
    sl_writer_init(w, NULL);
#define NEXT(...) (rank++, __VA_ARGS__, values[count] = keep(w), ranks[count++] = rank)
#define SAME(...) (__VA_ARGS__, values[count] = keep(w), ranks[count++] = rank)
    values[count] = (struct sl_value){NULL, 0}, ranks[count++] = rank;
    NEXT(sl_write_nil(w));
    NEXT(sl_write_bool(w, false));
    NEXT(sl_write_bool(w, true));
    NEXT(sl_write_float(w, -INFINITY));
    NEXT(sl_write_float(w, -9223372036854777856.0)); /* the double below -2^63 */
    NEXT(sl_write_int(w, INT64_MIN));
    SAME(sl_write_float(w, -9223372036854775808.0));
    NEXT(sl_write_int(w, -2));
    NEXT(sl_write_float(w, -1.5));
    NEXT(sl_write_int(w, -1));
    NEXT(sl_write_float(w, -0.5));
    NEXT(sl_write_float(w, -0.0));
    SAME(sl_write_float(w, 0.0));
    SAME(sl_write_int(w, 0));
    NEXT(sl_write_float(w, 5e-324));
    NEXT(sl_write_int(w, 1));
    SAME(sl_write_float(w, 1.0));
    NEXT(sl_write_float(w, 1.5));
    NEXT(sl_write_float(w, 9007199254740992.0)); /* 2^53: from here on ints are denser than doubles */
    SAME(sl_write_int(w, INT64_C(9007199254740992)));
    NEXT(sl_write_int(w, INT64_C(9007199254740993)));
    NEXT(sl_write_float(w, 9007199254740994.0));
    NEXT(sl_write_int(w, INT64_MAX));
    NEXT(sl_write_uint(w, UINT64_C(1) << 63));
    SAME(sl_write_float(w, 9223372036854775808.0));
    NEXT(sl_write_uint(w, UINT64_MAX));
    NEXT(sl_write_float(w, 18446744073709551616.0));
    NEXT(sl_write_float(w, INFINITY));
    NEXT(sl_write_float(w, NAN));
    SAME(sl_write_float(w, -NAN));
    NEXT(sl_write_str(w, ""));
    NEXT(sl_write_str(w, "a"));
    NEXT(sl_write_str(w, "ab"));
    NEXT(sl_write_str(w, "b"));
    NEXT(sl_write_str(w, "\xc3\xa9"));
    NEXT(sl_write_bytes(w, "", 0));
    NEXT(sl_write_bytes(w, "a", 1));
    NEXT(sl_write_list(w, 0));
    NEXT(sl_write_list(w, 1), sl_write_int(w, 1));
    SAME(sl_write_list(w, 1), sl_write_float(w, 1));
    NEXT(sl_write_list(w, 2), sl_write_int(w, 1), sl_write_nil(w));
    NEXT(sl_write_list(w, 1), sl_write_int(w, 2));
    NEXT(sl_write_list(w, 1), sl_write_list(w, 3), sl_write_nil(w), sl_write_nil(w), sl_write_nil(w));
    NEXT(sl_write_map(w, 0));
    NEXT(sl_write_map(w, 1), sl_write_str(w, "a"), sl_write_int(w, 2));
    NEXT(sl_write_map(w, 2), sl_write_str(w, "a"), sl_write_int(w, 2), sl_write_nil(w), sl_write_nil(w));
    NEXT(sl_write_map(w, 1), sl_write_str(w, "b"), sl_write_int(w, 1));
    NEXT(sl_write_timestamp(w, (struct sl_timestamp){-1, 999999999}));
    NEXT(sl_write_timestamp(w, (struct sl_timestamp){0, 0}));
    NEXT(sl_write_timestamp(w, (struct sl_timestamp){0, 1}));
    NEXT(sl_write_array(w, SL_DTYPE_U8, 1, shape_2, elements));
    NEXT(sl_write_array(w, SL_DTYPE_U8, 1, shape_2, elements + 1));
    NEXT(sl__write_buffer_array(w, 1, 0, SL_DTYPE_U8, 1, shape_2));
    NEXT(sl__write_buffer_array(w, 1, 8, SL_DTYPE_U8, 1, shape_2));
    NEXT(sl_write_array(w, SL_DTYPE_U8, 1, shape_3, elements));
    NEXT(sl_write_array(w, SL_DTYPE_I8, 1, shape_2, elements));
    NEXT(sl_write_ref(w, &(struct sl_ref){1, 9, 0, 1, "a", 1, "x", 1}));
    NEXT(sl_write_ref(w, &(struct sl_ref){2, 1, 0, 1, "a", 1, NULL, 0}));
    NEXT(sl__write_mark(w, &(struct sl_mark){SL_MARK_SKIP, "b", 1, {NULL, 0}}));
    NEXT(sl__write_mark(w, &(struct sl_mark){SL_MARK_ROUTE, "a", 1, {(const uint8_t *)"\x01", 1}}));
    NEXT(sl__write_mark(w, &(struct sl_mark){SL_MARK_ROUTE, "a", 1, {(const uint8_t *)"\x02", 1}}));
    SAME(sl__write_mark(w, &(struct sl_mark){SL_MARK_ROUTE, "a", 1, {(const uint8_t *)"\xcd\x00\x02", 3}}));
#undef NEXT
#undef SAME
    assert_true(count <= SL_COUNT_OF(values));
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            int expected = sign(ranks[i] - ranks[j]);
            if (sign(sl_value_compare(values[i], values[j])) != expected) {
                fail_msg("value %zu against value %zu", i, j);
            }
            assert_int_equal(sl_value_equal(values[i], values[j]), expected == 0);
            if (expected == 0) {
                assert_true(sl_value_hash(values[i]) == sl_value_hash(values[j]));
            } else {
                assert_true(sl_value_hash(values[i]) != sl_value_hash(values[j]));
            }
        }
    }
    for (size_t i = 1; i < count; i++) {
        free((void *)values[i].data);
    }
    sl_writer_finish(w);
}

/* The same value in a longer encoding is the same value. */
static void encodings_make_no_difference(void **state) {
    static const struct {
        struct sl_value a, b;
    } pairs[] = {
#define VALUE(literal) {(const uint8_t *)(literal), sizeof(literal) - 1}
        {VALUE("\x01"), VALUE("\xd3\x00\x00\x00\x00\x00\x00\x00\x01")},
        {VALUE("\xff"), VALUE("\xd1\xff\xff")},
        {VALUE("\xca\x3f\x80\x00\x00"), VALUE("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00")},
        {VALUE("\xa1x"), VALUE("\xdb\x00\x00\x00\x01x")},
        {VALUE("\xc4\x01x"), VALUE("\xc6\x00\x00\x00\x01x")},
        {VALUE("\x91\xc0"), VALUE("\xdd\x00\x00\x00\x01\xc0")},
        {VALUE("\x81\x01\xc0"), VALUE("\xde\x00\x01\xcc\x01\xc0")},
        {VALUE("\xd6\xff\x00\x00\x00\x01"), VALUE("\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")},
        {VALUE("\xc7\x05\x01\x01\x00\x00\x00\x2a"), VALUE("\xc9\x00\x00\x00\x06\x01\x01\x00\x01\x00\x00\x2a")},
#undef VALUE
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(pairs); i++) {
        assert_true(sl_value_equal(pairs[i].a, pairs[i].b));
        assert_true(sl_value_hash(pairs[i].a) == sl_value_hash(pairs[i].b));
    }
}

#define POPULATION 60

static void expect_total_order(const struct sl_value *values, size_t count) {
    int8_t order[POPULATION][POPULATION];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            order[i][j] = (int8_t)sign(sl_value_compare(values[i], values[j]));
        }
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(order[i][i], 0);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(order[i][j], -order[j][i]);
            if (order[i][j] == 0) {
                assert_true(sl_value_hash(values[i]) == sl_value_hash(values[j]));
            }
            for (size_t k = 0; k < count; k++) {
                if (order[i][j] <= 0 && order[j][k] <= 0) {
                    assert_int_equal(order[i][k], order[i][j] < 0 || order[j][k] < 0 ? -1 : 0);
                }
            }
        }
    }
}

static void random_values_are_totally_ordered(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer writer;
    struct sl_value values[POPULATION];
    (void)state;
    sl_writer_init(&writer, NULL);
    for (int round = 0; round < 40; round++) {
        uint32_t flags = round % 2 ? TESTING_FEW : 0;
        for (size_t i = 0; i < POPULATION; i++) {
            if (round % 4 == 2) {
                testing_write_scalar(&writer, &seed, 0, false);
            } else {
                testing_write_value(&writer, &seed, 3, flags);
            }
            values[i] = keep(&writer);
        }
        expect_total_order(values, POPULATION);
        for (size_t i = 0; i < POPULATION; i++) {
            free((void *)values[i].data);
        }
    }
    sl_writer_finish(&writer);
}

static void bytes_that_are_no_values_are_ordered_too(void **state) {
    uint64_t seed = testing_seed();
    uint8_t bytes[POPULATION][6];
    struct sl_value values[POPULATION];
    static const uint8_t alphabet[] = {0x91, 0x92, 0x81, 0x01, 0xc1, 0xa1, 'x', 0xd5, 0x04, 0xc0, 0xcb};
    (void)state;
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < POPULATION; i++) {
            for (size_t j = 0; j < sizeof(bytes[i]); j++) {
                bytes[i][j] = alphabet[testing_below(&seed, sizeof(alphabet))];
            }
            values[i] = (struct sl_value){bytes[i], 1 + testing_below(&seed, sizeof(bytes[i]))};
        }
        expect_total_order(values, POPULATION);
    }
}

/* Keys that differ little must not meet in the low bits, which choose the lane. */
static void hashes_spread(void **state) {
    uint32_t buckets[64] = {0};
    struct sl_writer writer;
    (void)state;
    sl_writer_init(&writer, NULL);
    for (int i = 0; i < 64000; i++) {
        char text[32];
        sl_writer_reset(&writer);
        if (i % 2) {
            sl_write_int(&writer, i);
        } else {
            sl_write_strn(&writer, text, (size_t)snprintf(text, sizeof(text), "user-%d", i));
        }
        buckets[sl_value_hash(testing_end(&writer)) % 64]++;
    }
    for (int i = 0; i < 64; i++) {
        assert_in_range(buckets[i], 800, 1200);
    }
    sl_writer_finish(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stand_in_the_documented_order),
        cmocka_unit_test(encodings_make_no_difference),
        cmocka_unit_test(random_values_are_totally_ordered),
        cmocka_unit_test(bytes_that_are_no_values_are_ordered_too),
        cmocka_unit_test(hashes_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
