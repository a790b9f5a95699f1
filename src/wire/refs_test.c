/* SPDX-License-Identifier: MIT */
/* Refs are found where they are, in their order, and nothing else is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/refs.h"

static struct sl_writer writer;

static void write_ref(uint64_t object) {
    sl_write_ref(&writer, &(struct sl_ref){1, object, 2, 3, "m.T", 3, "a T", 3});
}

/* A random value, at most so deep, whose refs are of the objects from *next on. */
static void write_random(unsigned *seed, uint32_t depth, uint64_t *next) {
    static const uint8_t like[] = "\xc7\x1a\x03 looks like a ref";
    uint32_t count = (uint32_t)rand_r(seed) % 5;
    switch ((uint32_t)rand_r(seed) % (depth > 0 ? 7 : 5)) {
    case 0:
        sl_write_float(&writer, rand_r(seed));
        break;
    case 1:
        sl_write_bytes(&writer, like, sizeof like);
        break;
    case 2:
        sl_write_timestamp(&writer, (struct sl_timestamp){rand_r(seed), 5});
        break;
    case 3:
    case 4:
        write_ref((*next)++);
        break;
    case 5:
        sl_write_list(&writer, count);
        for (uint32_t i = 0; i < count; i++) {
            write_random(seed, depth - 1, next);
        }
        break;
    default:
        sl_write_map(&writer, count);
        for (uint32_t i = 0; i < count; i++) {
            sl_write_int(&writer, i);
            write_random(seed, depth - 1, next);
        }
    }
}

static void expect_refs(struct sl_value value, uint64_t count) {
    struct sl__ref_walk walk = sl__ref_walk_of(value);
    struct sl_value place;
    struct sl_ref ref, again;
    for (uint64_t i = 0; i < count; i++) {
        assert_true(sl__ref_walk_next(&walk, &place, &ref));
        assert_int_equal(ref.object, i);
        assert_true(place.data >= value.data && place.data + place.size <= value.data + value.size);
        assert_int_equal(sl_value_ref(place, &again), SL_OK);
        assert_true(again.object == i && again.session == 1 && again.worker == 2 && again.generation == 3);
    }
    assert_false(sl__ref_walk_next(&walk, &place, &ref));
    assert_false(sl__ref_walk_next(&walk, &place, &ref));
}

static void all_refs_are_found_in_their_order(void **state) {
    (void)state;
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("SLITHER_TEST_SEED=%u\n", seed);
    for (int round = 0; round < 2000; round++) {
        struct sl_value value;
        uint64_t count = 0;
        sl_writer_reset(&writer);
        write_random(&seed, 5, &count);
        assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
        expect_refs(value, count);
    }
}

static void those_in_a_mark_too(void **state) {
    (void)state;
    struct sl_value payload, mark;
    uint8_t bytes[256];
    sl_writer_reset(&writer);
    sl_write_list(&writer, 2);
    write_ref(0);
    write_ref(1);
    assert_int_equal(sl_writer_end(&writer, &payload, NULL), SL_OK);
    const uint8_t head[] = {0xc7, (uint8_t)(3 + payload.size), 0x04, SL_MARK_ROUTE, 0xa1, 'r'};
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, payload.data, payload.size);
    assert_int_equal(sl_value_check(bytes, sizeof head + payload.size, NULL, &mark, NULL), SL_OK);
    expect_refs(mark, 2);
    const uint8_t skip[] = {0xc7, 4, 0x04, SL_MARK_SKIP, 0xa2, 'n', 'o'};
    assert_int_equal(sl_value_check(skip, sizeof skip, NULL, &mark, NULL), SL_OK);
    expect_refs(mark, 0);
}

static int finish(void **state) {
    (void)state;
    sl_writer_finish(&writer);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_refs_are_found_in_their_order),
        cmocka_unit_test(those_in_a_mark_too),
    };
    sl_writer_init(&writer, NULL);
    return cmocka_run_group_tests(tests, NULL, finish);
}
