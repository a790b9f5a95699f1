/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/array.h"

struct numbers {
    uint32_t *items;
    size_t count;
    size_t capacity;
};

static void grows_and_keeps_what_is_in_it(void **state) {
    (void)state;
    struct numbers numbers = {0};
    for (uint32_t i = 0; i < 10000; i++) {
        assert_true(SL_ARRAY_RESERVE(&numbers, 1));
        numbers.items[numbers.count++] = i;
    }
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(numbers.items[i], i);
    }
    SL_ARRAY_FINISH(&numbers);
    assert_null(numbers.items);
    assert_int_equal(numbers.capacity, 0);
}

static void appending_rarely_moves_it(void **state) {
    (void)state;
    struct numbers numbers = {0};
    size_t growths = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        size_t before = numbers.capacity;
        assert_true(SL_ARRAY_RESERVE(&numbers, 1));
        growths += numbers.capacity != before;
        numbers.items[numbers.count++] = i;
    }
    assert_true(growths < 20);
    SL_ARRAY_FINISH(&numbers);
}

static void sizes_that_overflow_are_refused_and_change_nothing(void **state) {
    (void)state;
    struct numbers numbers = {0};
    assert_true(SL_ARRAY_RESERVE(&numbers, 4));
    numbers.items[numbers.count++] = 42;
    size_t capacity = numbers.capacity;
    uint32_t *items = numbers.items;
    assert_false(SL_ARRAY_RESERVE(&numbers, SIZE_MAX));
    assert_false(SL_ARRAY_RESERVE(&numbers, SIZE_MAX / 2));
    assert_int_equal(numbers.capacity, capacity);
    assert_ptr_equal(numbers.items, items);
    assert_int_equal(numbers.items[0], 42);
    SL_ARRAY_FINISH(&numbers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_what_is_in_it),
        cmocka_unit_test(appending_rarely_moves_it),
        cmocka_unit_test(sizes_that_overflow_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
