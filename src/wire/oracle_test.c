/* SPDX-License-Identifier: MIT */
/*
 * msgpack-c's unpacker, which shares no code with our reader, as the judge of it. What it accepts and we refuse must be one of
 * the documented differences: text that is not UTF-8, keys that are not scalar, extensions that are not ours or malformed. It
 * refuses nesting from 32 levels on, where we do not.
 */
#include "testing.h"

#include <locale.h>
#include <wchar.h>

#include <msgpack.h>

#define ORACLE_DEPTH_MAX 31

static bool is_utf8(const char *text, size_t size) {
    /* Not by our validator: the decoder of the C library, in its UTF-8 locale. It also takes what is past the end of Unicode. */
    mbstate_t conversion = {0};
    size_t at = 0;
    while (at < size) {
        wchar_t wide = 0;
        size_t step = mbrtowc(&wide, text + at, size - at, &conversion);
        if (step > size - at || wide > 0x10ffff) { /* (size_t)-1 and -2 */
            return false;
        }
        at += step == 0 ? 1 : step;
    }
    return true;
}

static bool has_difference(const msgpack_object *object, bool is_key) {
    switch (object->type) {
    case MSGPACK_OBJECT_STR:
        return !is_utf8(object->via.str.ptr, object->via.str.size);
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            if (has_difference(&object->via.array.ptr[i], false)) {
                return true;
            }
        }
        return is_key;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            if (has_difference(&object->via.map.ptr[i].key, true) ||
                has_difference(&object->via.map.ptr[i].val, false)) {
                return true;
            }
        }
        return is_key;
    case MSGPACK_OBJECT_EXT:
        return true;
    default:
        return false;
    }
}

static void expect_same(struct sl_value value, const msgpack_object *object) {
    struct sl_value key, entry;
    struct sl_iter iter;
    const char *text;
    const void *bytes;
    size_t size;
    int64_t integer;
    uint64_t natural;
    double real;
    bool boolean;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        assert_int_equal(sl_value_type(value), SL_TYPE_NIL);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_int_equal(sl_value_bool(value, &boolean), SL_OK);
        assert_true(boolean == object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_int_equal(sl_value_uint(value, &natural), SL_OK);
        assert_true(natural == object->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_int_equal(sl_value_int(value, &integer), SL_OK);
        assert_true(integer == object->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        assert_int_equal(sl_value_type(value), SL_TYPE_FLOAT);
        assert_int_equal(sl_value_float(value, &real), SL_OK);
        assert_true(real == object->via.f64 || (real != real && object->via.f64 != object->via.f64));
        break;
    case MSGPACK_OBJECT_STR:
        assert_int_equal(sl_value_str(value, &text, &size), SL_OK);
        assert_int_equal(size, object->via.str.size);
        assert_true(size == 0 || memcmp(text, object->via.str.ptr, size) == 0);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_int_equal(sl_value_bytes(value, &bytes, &size), SL_OK);
        assert_int_equal(size, object->via.bin.size);
        assert_true(size == 0 || memcmp(bytes, object->via.bin.ptr, size) == 0);
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_int_equal(sl_value_type(value), SL_TYPE_LIST);
        assert_int_equal(sl_iter_init(&iter, value), SL_OK);
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            assert_true(sl_iter_next(&iter, NULL, &entry));
            expect_same(entry, &object->via.array.ptr[i]);
        }
        assert_false(sl_iter_next(&iter, NULL, &entry));
        break;
    case MSGPACK_OBJECT_MAP:
        assert_int_equal(sl_value_type(value), SL_TYPE_MAP);
        assert_int_equal(sl_iter_init(&iter, value), SL_OK);
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            assert_true(sl_iter_next(&iter, &key, &entry));
            expect_same(key, &object->via.map.ptr[i].key);
            expect_same(entry, &object->via.map.ptr[i].val);
        }
        assert_false(sl_iter_next(&iter, &key, &entry));
        break;
    case MSGPACK_OBJECT_EXT: {
        struct sl_timestamp ours;
        msgpack_timestamp theirs = {0, 0};
        if (sl_value_timestamp(value, &ours) == SL_OK) {
            assert_true(msgpack_object_to_timestamp(object, &theirs));
            assert_true(ours.seconds == theirs.tv_sec && ours.nanoseconds == theirs.tv_nsec);
        }
        break;
    }
    }
}

static void judge(const uint8_t *bytes, size_t size) {
    struct sl_limits limits = SL_LIMITS_INIT;
    limits.depth_max = ORACLE_DEPTH_MAX;
    uint8_t *copy = testing_copy(bytes, size);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t used = 0;
    msgpack_unpack_return theirs = msgpack_unpack_next(&unpacked, (const char *)copy, size, &used);
    bool they_accept = (theirs == MSGPACK_UNPACK_SUCCESS || theirs == MSGPACK_UNPACK_EXTRA_BYTES) && used == size;
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code ours = sl_value_check(copy, size, &limits, &value, &error);
    if (ours == SL_OK) {
        if (!they_accept) {
            fail_msg("we accept %zu bytes that msgpack-c refuses (%d)", size, (int)theirs);
        }
        expect_same(value, &unpacked.data);
    } else if (they_accept && ours != SL_E_LIMIT && !has_difference(&unpacked.data, false)) {
        fail_msg("msgpack-c accepts what we refuse: %s", error.message);
    }
    msgpack_unpacked_destroy(&unpacked);
    free(copy);
}

static void random_values_mean_the_same_to_both(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer writer;
    (void)state;
    sl_writer_init(&writer, NULL);
    for (int round = 0; round < 5000; round++) {
        sl_writer_reset(&writer);
        testing_write_value(&writer, &seed, 5, round % 2 ? TESTING_NO_EXT : 0);
        struct sl_value value = testing_end(&writer);
        judge(value.data, value.size);
    }
    sl_writer_finish(&writer);
}

/*
 * msgpack-c takes memory for as many entries as a header says before it looks for them, so headers with 32-bit counts are
 * kept out of its way.
 */
static void random_bytes_are_judged_alike(void **state) {
    uint64_t seed = testing_seed();
    uint8_t bytes[40];
    (void)state;
    for (int round = 0; round < 60000; round++) {
        size_t size = 1 + testing_below(&seed, sizeof(bytes));
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)testing_random(&seed);
            if (testing_below(&seed, 2)) {
                bytes[i] =
                    (uint8_t)(testing_below(&seed, 2) ? 0x80 + testing_below(&seed, 0x24) : testing_below(&seed, 4));
            }
            if (bytes[i] == 0xdd || bytes[i] == 0xdf) {
                bytes[i] = 0x92;
            }
        }
        judge(bytes, size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_values_mean_the_same_to_both),
        cmocka_unit_test(random_bytes_are_judged_alike),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL && setlocale(LC_CTYPE, "en_US.UTF-8") == NULL) {
        print_message("skipped: no UTF-8 locale for the independent check of texts\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
