/* SPDX-License-Identifier: MIT */
#include "base/array.h"

#include <string.h>

#include "base/assert.h"
#include "base/checked.h"

enum { ARRAY_CAPACITY_MIN = 8 };

bool sl__array_reserve(void **items, size_t count, size_t *capacity, size_t extra, size_t item_size) {
    SL_ASSERT(count <= *capacity);
    SL_ASSERT(item_size > 0);
    size_t needed;
    if (!sl__add_size(count, extra, &needed)) {
        return false;
    }
    if (needed <= *capacity) {
        return true;
    }
    size_t wanted;
    if (!sl__mul_size(*capacity, 2, &wanted) || wanted < needed) {
        wanted = needed;
    }
    if (wanted < ARRAY_CAPACITY_MIN) {
        wanted = ARRAY_CAPACITY_MIN;
    }
    size_t bytes;
    if (!sl__mul_size(wanted, item_size, &bytes)) {
        return false;
    }
    /* The caller's pointer has another type than void *: it is moved by its bytes, which is what strict aliasing allows. */
    void *old;
    memcpy(&old, (void *)items, sizeof(old));
    void *grown = realloc(old, bytes);
    if (grown == NULL) {
        return false;
    }
    memcpy((void *)items, &grown, sizeof(grown));
    *capacity = wanted;
    return true;
}
