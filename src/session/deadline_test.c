/* SPDX-License-Identifier: MIT */
#include "deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define COUNT 500

static uint64_t draw(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static void the_first_is_the_earliest(void **unused) {
    (void)unused;
    static struct sl__deadline deadlines[COUNT];
    struct sl__deadlines heap = {0};
    const char *text = getenv("SLITHER_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL), state = seed | 1;
    printf("SLITHER_TEST_SEED=%llu\n", (unsigned long long)seed);
    assert_null(sl__deadlines_first(&heap));
    for (int i = 0; i < 20000; i++) {
        struct sl__deadline *one = &deadlines[draw(&state) % COUNT];
        if (draw(&state) % 3 == 0) {
            sl__deadlines_remove(&heap, one); /* harmless when it is not in */
        } else {
            assert_true(sl__deadlines_reserve(&heap));
            sl__deadlines_set(&heap, one, draw(&state) % 1000);
        }
        uint64_t earliest = UINT64_MAX;
        size_t count = 0;
        for (size_t k = 0; k < COUNT; k++) {
            if (deadlines[k].place != 0) {
                count++;
                earliest = deadlines[k].at_ns < earliest ? deadlines[k].at_ns : earliest;
                assert_ptr_equal(heap.items[deadlines[k].place - 1], &deadlines[k]);
            }
        }
        const struct sl__deadline *first = sl__deadlines_first(&heap);
        assert_int_equal(heap.count, count);
        assert_true(count == 0 ? first == NULL : first->at_ns == earliest);
    }
    sl__deadlines_finish(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_the_earliest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
