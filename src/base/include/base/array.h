/* SPDX-License-Identifier: MIT */
/*
 * Growable arrays, typed by their user:
 *
 *     struct names { const char **items; size_t count; size_t capacity; };
 *     if (!SL_ARRAY_RESERVE(&names, 1)) return out of memory;
 *     names.items[names.count++] = name;
 *     SL_ARRAY_FINISH(&names);
 *
 * A zeroed struct is an empty array. Capacity at least doubles, so appending is amortised constant time.
 */
#ifndef SL_BASE_ARRAY_H
#define SL_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/**
 * Grows `*items` so that `count + extra` entries of `item_size` bytes fit. False when memory or the address space runs
 * out; the array is then as it was. Entries may move.
 */
bool sl__array_reserve(void **items, size_t count, size_t *capacity, size_t extra, size_t item_size)
    __attribute__((warn_unused_result));

#define SL_ARRAY_RESERVE(array, extra) \
    sl__array_reserve((void **)&(array)->items, (array)->count, &(array)->capacity, (extra), sizeof(*(array)->items))

/** Releases the memory (not what entries own) and makes it an empty array again. */
#define SL_ARRAY_FINISH(array)        \
    do {                              \
        free((void *)(array)->items); \
        (array)->items = NULL;        \
        (array)->count = 0;           \
        (array)->capacity = 0;        \
    } while (0)

#endif
