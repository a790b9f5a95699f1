/* SPDX-License-Identifier: MIT */
#ifndef SL_BASE_MACROS_H
#define SL_BASE_MACROS_H

#include <stddef.h>

/** Both arguments are evaluated twice: keep them free of side effects. */
#define SL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SL_MAX(a, b) ((a) > (b) ? (a) : (b))

/** Entries of an array that is not a pointer. */
#define SL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/** The struct around a member, from a pointer to the member. */
#define SL_CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define SL_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define SL_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define SL_UNUSED __attribute__((unused))

/** Rests on the cache line size of x86-64 and of most arm64; two lines, because adjacent ones are fetched in pairs. */
#define SL_CACHE_LINE_SIZE 64
#define SL_CACHE_ALIGN 128

#endif
