/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/table.h"

#define IDS 300
#define HIGH_BIT ((uint64_t)1 << 63)

/* A generator of repeatable noise (xorshift). */
static uint64_t noise(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t noise_seed(void) {
    const char *given = getenv("SLITHER_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20240611u;
    printf("seed %llu (set SLITHER_TEST_SEED for another)\n", (unsigned long long)seed);
    return seed | 1;
}

static void random_use_agrees_with_an_array(void **state) {
    (void)state;
    uint64_t random = noise_seed();
    static int values[IDS + 1];
    bool there[IDS + 1] = {false};
    size_t count = 0;
    struct sl__table table = {0};
    assert_null(sl__table_get(&table, 1));
    assert_null(sl__table_remove(&table, 1));
    for (int i = 0; i < 300000; i++) {
        uint64_t small = 1 + noise(&random) % IDS;
        uint64_t id = small % 3 == 0 ? small | HIGH_BIT : small * 0x100000001u;
        switch (noise(&random) % 3) {
        case 0:
            if (!there[small]) {
                assert_true(sl__table_reserve(&table, 1));
                sl__table_put(&table, id, &values[small]);
                there[small] = true;
                count++;
            }
            break;
        case 1:
            assert_ptr_equal(sl__table_remove(&table, id), there[small] ? &values[small] : NULL);
            count -= there[small];
            there[small] = false;
            break;
        default:
            assert_ptr_equal(sl__table_get(&table, id), there[small] ? &values[small] : NULL);
        }
        assert_int_equal(table.count, count);
    }
    assert_null(sl__table_get(&table, 0));
    sl__table_finish(&table);
    assert_null(table.entries);
}

static void a_reserve_that_cannot_be_is_refused(void **state) {
    (void)state;
    struct sl__table table = {0};
    assert_false(sl__table_reserve(&table, SIZE_MAX));
    assert_false(sl__table_reserve(&table, SIZE_MAX / 2));
    sl__table_finish(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_agrees_with_an_array),
        cmocka_unit_test(a_reserve_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
