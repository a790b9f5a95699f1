/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic that says when it does not fit. Each function returns false on overflow and then leaves `*out` alone.
 * Used wherever a number comes from a caller, a peer or a file.
 */
#ifndef SL_BASE_CHECKED_H
#define SL_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL__CHECKED(name, type, operation)                                                   \
    static inline __attribute__((warn_unused_result)) bool name(type a, type b, type *out) { \
        type result;                                                                         \
        if (operation(a, b, &result)) {                                                      \
            return false;                                                                    \
        }                                                                                    \
        *out = result;                                                                       \
        return true;                                                                         \
    }

SL__CHECKED(sl__add_size, size_t, __builtin_add_overflow)
SL__CHECKED(sl__sub_size, size_t, __builtin_sub_overflow)
SL__CHECKED(sl__mul_size, size_t, __builtin_mul_overflow)
SL__CHECKED(sl__add_u32, uint32_t, __builtin_add_overflow)
SL__CHECKED(sl__mul_u32, uint32_t, __builtin_mul_overflow)
SL__CHECKED(sl__add_u64, uint64_t, __builtin_add_overflow)
SL__CHECKED(sl__sub_u64, uint64_t, __builtin_sub_overflow)
SL__CHECKED(sl__mul_u64, uint64_t, __builtin_mul_overflow)
SL__CHECKED(sl__add_i64, int64_t, __builtin_add_overflow)

#undef SL__CHECKED

/** Whether [offset, offset + size) lies within [0, whole). Never overflows. */
static inline bool sl__span_fits(uint64_t offset, uint64_t size, uint64_t whole) {
    return offset <= whole && size <= whole - offset;
}

/** Adds, and stays at the largest number instead of wrapping: for deadlines and counters. */
static inline uint64_t sl__add_u64_saturating(uint64_t a, uint64_t b) {
    uint64_t result;
    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

/** Multiplies, and stays at the largest number instead of wrapping. */
static inline uint64_t sl__mul_u64_saturating(uint64_t a, uint64_t b) {
    uint64_t result;
    return __builtin_mul_overflow(a, b, &result) ? UINT64_MAX : result;
}

/** Rounds up to a multiple of `alignment`, a power of two. */
static inline __attribute__((warn_unused_result)) bool sl__align_up_u64(uint64_t value, uint64_t alignment,
                                                                        uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(value, alignment - 1, &sum)) {
        return false;
    }
    *out = sum & ~(alignment - 1);
    return true;
}

static inline bool sl__is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/** The next power of two that is not below `value`; 0 when it does not fit. */
static inline uint64_t sl__power_of_two_from(uint64_t value) {
    if (value <= 1) {
        return 1;
    }
    if (value > (uint64_t)1 << 63) {
        return 0;
    }
    return (uint64_t)1 << (64 - __builtin_clzll(value - 1));
}

#endif
