/* SPDX-License-Identifier: MIT */
/* What the tests of wire and of the rooms above share: random numbers with a printed seed, random values, exact copies. */
#ifndef SL_WIRE_TESTING_H
#define SL_WIRE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <slither/value.h>

/** Of SLITHER_TEST_SEED, or of the clock; printed, so that a failure can be had again. */
static inline uint64_t testing_seed(void) {
    const char *text = getenv("SLITHER_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        text != NULL ? strtoull(text, NULL, 10) : (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    print_message("SLITHER_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static inline uint64_t testing_random(uint64_t *seed) {
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint32_t testing_below(uint64_t *seed, uint32_t bound) {
    return (uint32_t)(testing_random(seed) % bound);
}

/** A copy of exactly `size` bytes on the heap, where a sanitizer sees each read past its end. free() it. */
static inline uint8_t *testing_copy(const void *bytes, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

/* Numbers around every boundary of every encoding. */
static inline int64_t testing_int(uint64_t *seed) {
    int shift = (int)testing_below(seed, 64);
    uint64_t edge = (UINT64_C(1) << shift) + testing_below(seed, 5) - 2;
    return (int64_t)(testing_below(seed, 2) ? edge : -edge);
}

static inline double testing_float(uint64_t *seed) {
    static const double edges[] = {0.0,
                                   -0.0,
                                   0.5,
                                   -1.5,
                                   9007199254740993.0,
                                   9223372036854775808.0,
                                   -9223372036854775808.0,
                                   18446744073709551616.0,
                                   1e300,
                                   5e-324};
    double value;
    uint64_t bits;
    switch (testing_below(seed, 4)) {
    case 0:
        return edges[testing_below(seed, sizeof(edges) / sizeof(edges[0]))];
    case 1:
        return (double)testing_int(seed);
    case 2:
        return (double)testing_int(seed) / 4;
    default:
        bits = testing_random(seed);
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
}

static inline size_t testing_text(uint64_t *seed, char *out, size_t pieces_max) {
    static const char *const pieces[] = {"a",
                                         "b",
                                         "z",
                                         "0",
                                         " ",
                                         "\"",
                                         "\n",
                                         "\x01",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x90\x8d",
                                         "\xed\x9f\xbf",
                                         "word ",
                                         "\x7f"};
    size_t size = 0;
    for (size_t left = testing_below(seed, (uint32_t)pieces_max); left > 0; left--) {
        const char *piece = pieces[testing_below(seed, sizeof(pieces) / sizeof(pieces[0]))];
        memcpy(out + size, piece, strlen(piece));
        size += strlen(piece);
    }
    return size;
}

enum testing_flag {
    TESTING_JSON = 1,   /**< only what JSON can say */
    TESTING_NO_EXT = 2, /**< nothing that is an extension */
    TESTING_FEW = 4     /**< few different scalars, so that random values are often equal */
};

static inline void testing_write_scalar(struct sl_writer *writer, uint64_t *seed, uint32_t flags, bool is_key) {
    char text[512];
    uint32_t kinds = (flags & (TESTING_JSON | TESTING_NO_EXT)) ? 6 : 7;
    uint32_t kind = testing_below(seed, kinds);
    if (flags & TESTING_JSON && (is_key || kind == 5)) {
        kind = 4;
    }
    switch (kind) {
    case 0:
        sl_write_nil(writer);
        break;
    case 1:
        sl_write_bool(writer, testing_below(seed, 2));
        break;
    case 2:
        if (flags & TESTING_FEW) {
            sl_write_int(writer, testing_below(seed, 3));
        } else if (testing_below(seed, 4) == 0 && !(flags & TESTING_JSON)) {
            sl_write_uint(writer, testing_random(seed));
        } else {
            sl_write_int(writer, testing_int(seed));
        }
        break;
    case 3: {
        double real = flags & TESTING_FEW ? testing_below(seed, 5) / 2.0 : testing_float(seed);
        if (flags & TESTING_JSON && !(real - real == 0)) {
            real = 0.25;
        }
        sl_write_float(writer, real);
        break;
    }
    case 4:
        sl_write_strn(writer, text, testing_text(seed, text, flags & TESTING_FEW ? 2 : 60));
        break;
    case 5:
        sl_write_bytes(writer, text, testing_text(seed, text, flags & TESTING_FEW ? 2 : 60));
        break;
    default:
        sl_write_timestamp(writer, (struct sl_timestamp){flags & TESTING_FEW ? 1 : testing_int(seed),
                                                         testing_below(seed, 2) ? 0 : testing_below(seed, 1000000000)});
        break;
    }
}

static inline void testing_write_ext(struct sl_writer *writer, uint64_t *seed, uint32_t flags) {
    static const uint8_t elements[16 * 27];
    uint64_t shape[3];
    char text[64];
    if (testing_below(seed, 2)) {
        uint32_t dim_count = testing_below(seed, 4);
        for (uint32_t i = 0; i < dim_count; i++) {
            shape[i] = testing_below(seed, 4);
        }
        sl_write_array(writer, (enum sl_dtype)(1 + testing_below(seed, flags & TESTING_FEW ? 2 : 14)), dim_count, shape,
                       elements);
    } else {
        size_t size = testing_text(seed, text, 4);
        struct sl_ref ref = {
            testing_below(seed, 3), testing_below(seed, 3), testing_below(seed, 2), 1, text, size, text, size};
        sl_write_ref(writer, &ref);
    }
}

/** One random value, nested at most `depth` deep. Keys of maps may come twice unless TESTING_JSON is set. */
static inline void testing_write_value(struct sl_writer *writer, uint64_t *seed, uint32_t depth, uint32_t flags) {
    uint32_t kind = testing_below(seed, depth > 0 ? 8 : 4);
    if (kind == 3 && !(flags & (TESTING_JSON | TESTING_NO_EXT))) {
        testing_write_ext(writer, seed, flags);
    } else if (kind < 4) {
        testing_write_scalar(writer, seed, flags, false);
    } else if (kind < 6) {
        uint32_t count = testing_below(seed, testing_below(seed, 8) == 0 ? 20 : 4);
        sl_write_list(writer, count);
        for (; count > 0; count--) {
            testing_write_value(writer, seed, depth - 1, flags);
        }
    } else {
        uint32_t count = testing_below(seed, testing_below(seed, 8) == 0 ? 20 : 4);
        sl_write_map(writer, count);
        for (; count > 0; count--) {
            if (flags & TESTING_JSON) {
                char key[16];
                snprintf(key, sizeof(key), "k%u", count);
                sl_write_str(writer, key);
            } else {
                testing_write_scalar(writer, seed, flags, true);
            }
            testing_write_value(writer, seed, depth - 1, flags);
        }
    }
}

/** The value that a writer holds; the test fails when there is none. */
static inline struct sl_value testing_end(struct sl_writer *writer) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_writer_end(writer, &value, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return value;
}

#endif
