/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/ring.h"

static void first_in_is_first_out(void **state) {
    (void)state;
    struct sl__ring ring;
    assert_true(sl__ring_init(&ring, sizeof(int), 3));
    int out = 0;
    assert_false(sl__ring_pop(&ring, &out));
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 3; i++) {
            assert_true(sl__ring_push(&ring, &(int){round * 10 + i}));
        }
        assert_false(sl__ring_push(&ring, &(int){99}));
        assert_int_equal(*(int *)sl__ring_at(&ring, 2), round * 10 + 2);
        assert_null(sl__ring_at(&ring, 3));
        for (int i = 0; i < 3; i++) {
            assert_true(sl__ring_pop(&ring, &out));
            assert_int_equal(out, round * 10 + i);
        }
    }
    sl__ring_finish(&ring);
    sl__ring_finish(&ring);
}

static void what_is_pushed_to_the_front_comes_out_next(void **state) {
    (void)state;
    struct sl__ring ring;
    assert_true(sl__ring_init(&ring, sizeof(int), 2));
    assert_true(sl__ring_push_front(&ring, &(int){2}));
    assert_true(sl__ring_push_front(&ring, &(int){1}));
    assert_false(sl__ring_push_front(&ring, &(int){0}));
    int out = 0;
    assert_true(sl__ring_pop(&ring, &out));
    assert_int_equal(out, 1);
    assert_true(sl__ring_pop(&ring, NULL));
    assert_int_equal(ring.count, 0);
    sl__ring_finish(&ring);
}

/* Random pushes and pops at both ends against a plain array that is shifted by hand. */
static void behaves_like_a_plain_list(void **state) {
    (void)state;
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 20240611u;
    printf("seed %u (set SLITHER_TEST_SEED for another)\n", seed);
    struct sl__ring ring;
    enum { BOUND = 13 };
    int model[BOUND];
    size_t count = 0;
    assert_true(sl__ring_init(&ring, sizeof(int), BOUND));
    for (int i = 0; i < 100000; i++) {
        seed = seed * 1664525u + 1013904223u;
        int out = -1;
        switch ((seed >> 16) % 4) {
        case 0:
        case 1:
            assert_int_equal(sl__ring_push(&ring, &i), count < BOUND);
            if (count < BOUND) {
                model[count++] = i;
            }
            break;
        case 2:
            assert_int_equal(sl__ring_push_front(&ring, &i), count < BOUND);
            if (count < BOUND) {
                for (size_t k = count; k > 0; k--) {
                    model[k] = model[k - 1];
                }
                model[0] = i;
                count++;
            }
            break;
        default:
            for (int pops = 0; pops < 3; pops++) {
                assert_int_equal(sl__ring_pop(&ring, &out), count > 0);
                if (count > 0) {
                    assert_int_equal(out, model[0]);
                    count--;
                    for (size_t k = 0; k < count; k++) {
                        model[k] = model[k + 1];
                    }
                }
            }
        }
        assert_int_equal(ring.count, count);
    }
    sl__ring_finish(&ring);
}

static void bounds_that_overflow_are_refused(void **state) {
    (void)state;
    struct sl__ring ring;
    assert_false(sl__ring_init(&ring, 4096, SIZE_MAX / 2));
    sl__ring_finish(&ring);
    assert_false(sl__ring_init(&ring, 1, SIZE_MAX));
    sl__ring_finish(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_is_first_out),
        cmocka_unit_test(what_is_pushed_to_the_front_comes_out_next),
        cmocka_unit_test(behaves_like_a_plain_list),
        cmocka_unit_test(bounds_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
