/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "store/key.h"

#include <math.h>

#include "base/macros.h"
#include "wire/writer.h"

#define ROUNDS 20000

static int sign(int number) {
    return (number > 0) - (number < 0);
}

struct encoded {
    uint8_t bytes[SL_STORE_KEY_BYTES_MAX];
    size_t size;
};

static struct encoded encode(struct sl_value key) {
    struct encoded out;
    struct sl_error error = SL_ERROR_INIT;
    memset(out.bytes, 0xa5, sizeof(out.bytes));
    if (sl__key_encode(key, out.bytes, &out.size, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return out;
}

static int compare(const struct encoded *a, const struct encoded *b) {
    int result = memcmp(a->bytes, b->bytes, SL_MIN(a->size, b->size));
    return result != 0 ? sign(result) : (a->size > b->size) - (a->size < b->size);
}

static struct sl_value end(struct sl_writer *writer) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_writer_end(writer, &value, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return value;
}

/* Texts with NULs, with 0xff and with each other's beginnings. */
static void write_text(struct sl_writer *writer, uint64_t *seed) {
    static const uint8_t bytes[] = {0x00, 0x01, 'a', 'b', 0x7f, 0xff, 0xfe, 0x80};
    uint8_t text[12];
    size_t size = testing_below(seed, sizeof(text));
    bool is_str = testing_below(seed, 2) == 0;
    for (size_t i = 0; i < size; i++) {
        text[i] = bytes[testing_below(seed, is_str ? 5 : 8)];
    }
    if (is_str) {
        sl_write_strn(writer, (const char *)text, size);
    } else {
        sl_write_bytes(writer, text, size);
    }
}

static void write_key(struct sl_writer *writer, uint64_t *seed, uint32_t depth) {
    switch (testing_below(seed, depth < SL_STORE_KEY_DEPTH_MAX ? 9 : 7)) {
    case 0:
        sl_write_nil(writer);
        break;
    case 1:
        sl_write_bool(writer, testing_below(seed, 2) == 0);
        break;
    case 2:
        sl_write_int(writer, testing_below(seed, 3) == 0 ? (int64_t)testing_below(seed, 5) - 2 : testing_int(seed));
        break;
    case 3:
        sl_write_uint(writer, testing_random(seed));
        break;
    case 4:
        sl_write_float(writer, testing_float(seed));
        break;
    case 5: {
        struct sl_timestamp timestamp = {testing_int(seed), testing_below(seed, 1000000000)};
        sl_write_timestamp(writer, timestamp);
        break;
    }
    case 6:
        write_text(writer, seed);
        break;
    default: {
        uint32_t count = testing_below(seed, 4);
        sl_write_list(writer, count);
        for (uint32_t i = 0; i < count; i++) {
            write_key(writer, seed, depth + 1);
        }
    }
    }
}

/* A key that often differs from `base` in its last part only. */
static struct sl_value random_key(struct sl_writer *writer, uint64_t *seed) {
    do {
        sl_writer_reset(writer);
        write_key(writer, seed, testing_below(seed, 3) == 0 ? 0 : SL_STORE_KEY_DEPTH_MAX - 1);
    } while (writer->size > 200);
    return end(writer);
}

static void bytes_sort_as_values_do(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer a, b;
    (void)state;
    sl_writer_init(&a, NULL);
    sl_writer_init(&b, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        struct sl_value x = random_key(&a, &seed), y = random_key(&b, &seed);
        struct encoded ex = encode(x), ey = encode(y);
        if (sign(sl_value_compare(x, y)) != compare(&ex, &ey)) {
            fail_msg("round %d: the values compare as %d, their encodings as %d", i, sl_value_compare(x, y),
                     compare(&ex, &ey));
        }
    }
    sl_writer_finish(&a);
    sl_writer_finish(&b);
}

static void keys_come_back_equal_and_whole(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer a, b;
    (void)state;
    sl_writer_init(&a, NULL);
    sl_writer_init(&b, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        struct sl_value key = random_key(&a, &seed);
        struct encoded encoded = encode(key);
        sl_writer_reset(&b);
        assert_true(sl__key_decode(encoded.bytes, encoded.size, &b));
        struct sl_value back;
        assert_int_equal(sl_value_check(b.data, b.size, NULL, &back, NULL), SL_OK);
        assert_int_equal(sl_value_compare(key, back), 0);
        assert_int_equal(sl__key_size(encoded.bytes, encoded.size), encoded.size);
        /* Never more than is there is read. Only a text that is cut before the 0xff of a NUL is another text. */
        size_t cut = testing_below(&seed, (uint32_t)encoded.size);
        uint8_t *part = testing_copy(encoded.bytes, cut);
        sl_writer_reset(&b);
        if (sl__key_decode(part, cut, &b)) {
            assert_int_equal(encoded.bytes[cut], 0xff);
        }
        free(part);
    }
    sl_writer_finish(&a);
    sl_writer_finish(&b);
}

static void damaged_keys_are_noticed_or_are_others(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer a, b;
    (void)state;
    sl_writer_init(&a, NULL);
    sl_writer_init(&b, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        struct encoded encoded = encode(random_key(&a, &seed));
        encoded.bytes[testing_below(&seed, (uint32_t)encoded.size)] ^= (uint8_t)(1u << testing_below(&seed, 8));
        uint8_t *copy = testing_copy(encoded.bytes, encoded.size);
        struct sl_value value;
        sl_writer_reset(&b);
        if (sl__key_decode(copy, encoded.size, &b)) {
            assert_int_equal(sl_value_check(b.data, b.size, NULL, &value, NULL), SL_OK);
        }
        free(copy);
    }
    sl_writer_finish(&a);
    sl_writer_finish(&b);
}

/* Whether a key begins with the prefix, by the definition in store.h. */
static bool begins(struct sl_value key, struct sl_value prefix) {
    const void *text, *start;
    size_t size, start_size;
    if (sl_value_type(key) != sl_value_type(prefix)) {
        return false;
    }
    switch (sl_value_type(prefix)) {
    case SL_TYPE_STR:
        assert_int_equal(sl_value_str(key, (const char **)&text, &size), SL_OK);
        assert_int_equal(sl_value_str(prefix, (const char **)&start, &start_size), SL_OK);
        return size >= start_size && memcmp(text, start, start_size) == 0;
    case SL_TYPE_BYTES:
        assert_int_equal(sl_value_bytes(key, &text, &size), SL_OK);
        assert_int_equal(sl_value_bytes(prefix, &start, &start_size), SL_OK);
        return size >= start_size && memcmp(text, start, start_size) == 0;
    default: {
        struct sl_iter entries, wanted;
        struct sl_value entry, want;
        assert_int_equal(sl_iter_init(&entries, key), SL_OK);
        assert_int_equal(sl_iter_init(&wanted, prefix), SL_OK);
        while (sl_iter_next(&wanted, NULL, &want)) {
            if (!sl_iter_next(&entries, NULL, &entry) || !sl_value_equal(entry, want)) {
                return false;
            }
        }
        return true;
    }
    }
}

static void ranges_hold_what_they_should(void **state) {
    uint64_t seed = testing_seed();
    struct sl_writer writers[4];
    uint32_t met = 0;
    (void)state;
    for (size_t i = 0; i < SL_COUNT_OF(writers); i++) {
        sl_writer_init(&writers[i], NULL);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct sl_scan_options options = SL_SCAN_OPTIONS_INIT;
        struct sl__key_range range;
        struct sl_value key = random_key(&writers[0], &seed);
        bool wanted = true;
        if (testing_below(&seed, 2) == 0) {
            options.from = random_key(&writers[1], &seed);
            wanted &= sl_value_compare(key, options.from) >= 0;
        }
        if (testing_below(&seed, 2) == 0) {
            options.to = testing_below(&seed, 4) == 0 ? key : random_key(&writers[2], &seed);
            options.to_included = testing_below(&seed, 2) == 0;
            wanted &= sl_value_compare(key, options.to) < (options.to_included ? 1 : 0);
        }
        if (testing_below(&seed, 4) == 0) {
            options.key = testing_below(&seed, 2) == 0 ? key : random_key(&writers[3], &seed);
            wanted &= sl_value_equal(key, options.key);
        } else if (testing_below(&seed, 2) == 0) {
            do {
                options.prefix = random_key(&writers[3], &seed);
            } while (sl_value_type(options.prefix) < SL_TYPE_STR || sl_value_type(options.prefix) > SL_TYPE_LIST);
            wanted &= begins(key, options.prefix);
        }
        assert_int_equal(sl__key_range(&options, &range, NULL), SL_OK);
        struct encoded encoded = encode(key);
        if (sl__key_within(&range, encoded.bytes, encoded.size) != wanted) {
            fail_msg("round %d: expected the key to be %s", i, wanted ? "inside" : "outside");
        }
        /* The rows of a bag are where their key is. */
        uint8_t row[SL_STORE_KEY_BYTES_MAX + 8];
        memcpy(row, encoded.bytes, encoded.size);
        memset(row + encoded.size, 0xff, 8);
        row[encoded.size] = 0;
        assert_int_equal(sl__key_within(&range, row, encoded.size + 8), wanted);
        met += wanted;
    }
    assert_true(met > ROUNDS / 50);
    for (size_t i = 0; i < SL_COUNT_OF(writers); i++) {
        sl_writer_finish(&writers[i]);
    }
}

static void refuse(struct sl_writer *writer, enum sl_code expected, const char *text) {
    uint8_t bytes[SL_STORE_KEY_BYTES_MAX];
    size_t size;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value key = {writer->data, writer->size};
    assert_int_equal(sl__key_encode(key, bytes, &size, &error), expected);
    if (strstr(error.message, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.message, text);
    }
    sl_writer_reset(writer);
}

static void what_is_no_key_is_refused(void **state) {
    struct sl_writer writer;
    struct sl_writer *w = &writer;
    char text[600];
    uint64_t shape[] = {1};
    (void)state;
    sl_writer_init(w, NULL);
    memset(text, 'x', sizeof(text));
    refuse(w, SL_E_INVALID_ARGUMENT, "no value");
    sl_write_map(w, 0);
    refuse(w, SL_E_TYPE, "a map cannot be a key");
    sl_write_array(w, SL_DTYPE_U8, 1, shape, "a");
    refuse(w, SL_E_TYPE, "an array");
    sl_write_ref(w, &(struct sl_ref){1, 1, 1, 1, "t", 1, NULL, 0});
    refuse(w, SL_E_TYPE, "a ref");
    sl__put_str(w, "\xff", 1);
    refuse(w, SL_E_INVALID_UTF8, "UTF-8");
    sl__put_int(w, 1);
    sl__put_int(w, 2);
    refuse(w, SL_E_INVALID_ARGUMENT, "more than one");
    sl_write_strn(w, text, SL_STORE_KEY_BYTES_MAX - 2);
    (void)encode(end(w));
    sl_writer_reset(w);
    sl_write_strn(w, text, SL_STORE_KEY_BYTES_MAX - 1);
    refuse(w, SL_E_LIMIT, "takes 491 bytes as the store encodes it, and at most 490");
    sl_write_list(w, 2);
    sl_write_strn(w, text, SL_STORE_KEY_BYTES_MAX);
    sl_write_nil(w);
    refuse(w, SL_E_LIMIT, "at least 494 bytes");
    memset(text, 0, sizeof(text));
    sl_write_bytes(w, text, 244);
    (void)encode(end(w));
    sl_writer_reset(w);
    sl_write_bytes(w, text, 245);
    refuse(w, SL_E_LIMIT, "takes");
    for (int i = 0; i < SL_STORE_KEY_DEPTH_MAX; i++) {
        sl__put_list(w, 1);
    }
    sl__put_nil(w);
    (void)encode((struct sl_value){w->data, w->size});
    sl_writer_reset(w);
    for (int i = 0; i < SL_STORE_KEY_DEPTH_MAX + 1; i++) {
        sl__put_list(w, 1);
    }
    sl__put_nil(w);
    refuse(w, SL_E_LIMIT, "deep");
    sl_writer_finish(w);
}

static void equal_numbers_are_one_key(void **state) {
    static const double reals[] = {
        0.0, -0.0, 1.0, -1.0, 9007199254740992.0, 9223372036854775808.0, -9223372036854775808.0};
    struct sl_writer writer;
    (void)state;
    sl_writer_init(&writer, NULL);
    for (size_t i = 0; i < SL_COUNT_OF(reals); i++) {
        sl_writer_reset(&writer);
        sl_write_float(&writer, reals[i]);
        struct encoded real = encode(end(&writer));
        sl_writer_reset(&writer);
        if (reals[i] > 9e18) {
            sl_write_uint(&writer, (uint64_t)reals[i]);
        } else {
            sl_write_int(&writer, (int64_t)reals[i]);
        }
        struct encoded integer = encode(end(&writer));
        assert_int_equal(compare(&real, &integer), 0);
        sl_writer_reset(&writer);
        assert_true(sl__key_decode(real.bytes, real.size, &writer));
        assert_int_equal(sl_value_type((struct sl_value){writer.data, writer.size}), SL_TYPE_INT);
    }
    sl_writer_reset(&writer);
    sl_write_float(&writer, -(double)NAN);
    struct encoded one = encode(end(&writer));
    sl_writer_reset(&writer);
    sl_write_float(&writer, INFINITY);
    struct encoded infinity = encode(end(&writer));
    assert_int_equal(compare(&one, &infinity), 1);
    sl_writer_finish(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_sort_as_values_do),
        cmocka_unit_test(keys_come_back_equal_and_whole),
        cmocka_unit_test(damaged_keys_are_noticed_or_are_others),
        cmocka_unit_test(ranges_hold_what_they_should),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(equal_numbers_are_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
