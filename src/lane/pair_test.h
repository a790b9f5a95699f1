/* SPDX-License-Identifier: MIT */
/* Both ends of a lane in one process, for the tests of this room. */
#ifndef SLITHER_LANE_PAIR_TEST_H
#define SLITHER_LANE_PAIR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "end.h"
#include "sys/clock.h"
#include "sys/descriptor.h"

struct pair {
    struct sl__lane_config config;
    struct sl__lane *host;
    struct sl__lane *worker;
};

SL_UNUSED static const struct sl__lane_config pair_config = {.segment_bytes = 1u << 20,
                                                             .payload_bytes_max = 64u << 20,
                                                             .cache_bytes = 8u << 20,
                                                             .limits = SL_LIMITS_INIT,
                                                             .lane = 3,
                                                             .generation = 7};

/* Says what went wrong when a call that must succeed did not. */
SL_UNUSED static void must_at(enum sl_code code, struct sl_error *error, const char *file, int line) {
    if (code != SL_OK) {
        print_error("%s: %s\n", sl_code_name(code), error->message);
        _fail(file, line);
    }
}
#define MUST(call) must_at((call), &error, __FILE__, __LINE__)

SL_UNUSED static void pair_open(struct pair *pair, const struct sl__lane_config *config) {
    struct sl_error error = SL_ERROR_INIT;
    int fds[SL__LANE_FDS], own[SL__LANE_FDS];
    pair->config = *config;
    MUST(sl__lane_create(config, &pair->host, &error));
    sl__lane_worker_fds(pair->host, fds);
    for (int i = 0; i < SL__LANE_FDS; i++) {
        MUST(sl__duplicate(fds[i], &own[i], &error));
    }
    sl__lane_close_worker_fds(pair->host);
    MUST(sl__lane_attach(own, config, &pair->worker, &error));
}

SL_UNUSED static void pair_close(struct pair *pair) {
    sl__lane_destroy(pair->worker);
    sl__lane_destroy(pair->host);
}

#define PATTERN_SIZE 4093 /* no power of two: a piece in the wrong place does not match */

static inline void make_pattern(uint8_t pattern[PATTERN_SIZE], uint32_t seed) {
    for (size_t i = 0; i < PATTERN_SIZE; i++) {
        pattern[i] = (uint8_t)(seed + i * 31 + (i >> 8));
    }
}

SL_UNUSED static void fill(uint8_t *memory, size_t size, uint32_t seed) {
    uint8_t pattern[PATTERN_SIZE];
    make_pattern(pattern, seed);
    for (size_t i = 0; i < size; i += PATTERN_SIZE) {
        memcpy(memory + i, pattern, SL_MIN(size - i, (size_t)PATTERN_SIZE));
    }
}

SL_UNUSED static bool filled(const uint8_t *memory, size_t size, uint32_t seed) {
    uint8_t pattern[PATTERN_SIZE];
    make_pattern(pattern, seed);
    for (size_t i = 0; i < size; i += PATTERN_SIZE) {
        if (memcmp(memory + i, pattern, SL_MIN(size - i, (size_t)PATTERN_SIZE)) != 0) {
            return false;
        }
    }
    return true;
}

/* Sends a request of `size` bytes with a pattern, in one piece. */
SL_UNUSED static uint64_t send_filled(struct sl__lane *host, size_t size, uint32_t item_count, uint32_t seed) {
    struct sl_error error = SL_ERROR_INIT;
    uint8_t *memory;
    uint64_t offset, sequence;
    MUST(sl__lane_open(host, &error));
    MUST(sl__lane_extend(host, size, &memory, &offset, &error));
    assert_int_equal(offset, 0);
    fill(memory, size, seed);
    MUST(sl__lane_commit(host, SL__REQUEST_BATCH, size > 0, item_count, &sequence, &error));
    return sequence;
}

/* Answers the request that was taken last with `size` bytes of a pattern. */
SL_UNUSED static void answer_filled(struct sl__lane *worker, size_t size, uint32_t item_count, uint32_t seed) {
    struct sl_error error = SL_ERROR_INIT;
    uint8_t *memory;
    size_t capacity;
    MUST(sl__lane_reply_open(worker, &memory, &capacity, &error));
    if (size > capacity) {
        MUST(sl__lane_reply_grow(worker, 0, size, &memory, &capacity, &error));
        assert_true(capacity >= size);
    }
    fill(memory, size, seed);
    MUST(sl__lane_reply_commit(worker, SL_OK, item_count, size, 0, &error));
}

SL_UNUSED static size_t count_entries(const char *path) {
    DIR *folder = opendir(path);
    assert_non_null(folder);
    size_t count = 0;
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

SL_UNUSED static size_t open_fds(void) {
    return count_entries("/proc/self/fd");
}

/* A generator of repeatable noise (xorshift). */
SL_UNUSED static uint64_t noise(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

SL_UNUSED static uint64_t noise_seed(void) {
    const char *given = getenv("SLITHER_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : sl__clock_now_ns();
    seed = seed != 0 ? seed : 1;
    print_message("SLITHER_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
