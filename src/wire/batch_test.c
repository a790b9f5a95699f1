/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "wire/batch.h"

#include "base/macros.h"

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static void random_batches_come_back_item_by_item(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer batch, single;
    (void)state;
    sl_writer_init(&batch, NULL);
    sl_writer_init(&single, NULL);
    for (int round = 0; round < 300; round++) {
        struct sl_value items[40], item;
        uint32_t count = testing_below(&seed, SL_COUNT_OF(items));
        sl_writer_reset(&batch);
        for (uint32_t i = 0; i < count; i++) {
            sl_writer_reset(&single);
            testing_write_value(&single, &seed, 3, 0);
            items[i] = testing_end(&single);
            items[i].data = testing_copy(items[i].data, items[i].size);
            sl__put_raw(&batch, items[i].data, items[i].size);
            if (i + 1 < count || round % 2) {
                sl__put_filler(&batch);
            }
        }
        uint8_t *copy = testing_copy(batch.data, batch.size);
        size_t offset = 0;
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(sl__batch_next(copy, batch.size, &offset, NULL, &item, NULL), SL_OK);
            assert_int_equal((size_t)(item.data - copy) % 8, 0);
            assert_int_equal(item.size, items[i].size);
            assert_memory_equal(item.data, items[i].data, item.size);
            free((void *)items[i].data);
        }
        assert_int_equal(sl__batch_next(copy, batch.size, &offset, NULL, &item, NULL), SL_E_END);
        assert_int_equal(sl__batch_next(copy, batch.size, &offset, NULL, &item, NULL), SL_E_END);
        assert_null(item.data);
        free(copy);
    }
    sl_writer_finish(&batch);
    sl_writer_finish(&single);
}

static void bad_framing_and_bad_items_are_refused(void **state) {
    static const struct {
        const uint8_t *bytes;
        size_t size;
        int items;
        enum sl_code code;
        const char *word;
    } cases[] = {
        {BYTES(""), 0, SL_E_END, ""},
        {BYTES("\x01\xc1\xc1\xc1\xc1\xc1\xc1\xc1\x02"), 2, SL_E_END, ""},
        {BYTES("\x01\xc1\xc1\xc1\xc1\xc1\xc1\xc1"), 1, SL_E_END, ""},
        {BYTES("\x01\x02"), 1, SL_E_INVALID_DATA, "byte 1 of a batch of 2 bytes is 0x02"},
        {BYTES("\x01\xc1\xc1\xc1\xc1\xc1\xc1\x00\x02"), 1, SL_E_INVALID_DATA, "byte 7"},
        {BYTES("\xc1"), 0, SL_E_INVALID_DATA, "0xc1"},
        {BYTES("\x01\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1\x02"), 1, SL_E_INVALID_DATA,
         "byte 8 of 17"},
        {BYTES("\x01\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xa5x"), 1, SL_E_INVALID_DATA, "byte 8 of 10"},
        {BYTES("\x01\xc1\xc1\xc1\xc1\xc1\xc1\xc1\x91\xa1\xff"), 1, SL_E_INVALID_UTF8, "byte 9 of 11"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        struct sl_error error = SL_ERROR_INIT;
        struct sl_value item;
        enum sl_code code;
        size_t offset = 0;
        int items = 0;
        uint8_t *copy = testing_copy(cases[i].bytes, cases[i].size);
        while ((code = sl__batch_next(copy, cases[i].size, &offset, NULL, &item, &error)) == SL_OK) {
            items++;
        }
        free(copy);
        if (code != cases[i].code || items != cases[i].items || strstr(error.message, cases[i].word) == NULL) {
            fail_msg("case %zu: %d items, then %s: %s", i, items, sl_code_name(code), error.message);
        }
    }
}

static void limits_hold_for_each_item_not_for_the_batch(void **state) {
    static const char batch[] = "\xa6xxxxxx\xc1\xa6xxxxxx\xc1\xa7xxxxxxx";
    struct sl_limits limits = SL_LIMITS_INIT;
    struct sl_value item;
    size_t offset = 0;
    (void)state;
    limits.size_max = 7;
    assert_int_equal(sl__batch_next(BYTES(batch), &offset, &limits, &item, NULL), SL_OK);
    assert_int_equal(sl__batch_next(BYTES(batch), &offset, &limits, &item, NULL), SL_OK);
    assert_int_equal(sl__batch_next(BYTES(batch), &offset, &limits, &item, NULL), SL_E_LIMIT);
    limits.depth_max = 0;
    assert_int_equal(sl__batch_next(BYTES(batch), &offset, &limits, &item, NULL), SL_E_INVALID_ARGUMENT);
    offset = sizeof(batch) + 1;
    assert_int_equal(sl__batch_next(BYTES(batch), &offset, NULL, &item, NULL), SL_E_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_batches_come_back_item_by_item),
        cmocka_unit_test(bad_framing_and_bad_items_are_refused),
        cmocka_unit_test(limits_hold_for_each_item_not_for_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
