/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/checked.h"
#include "end.h"
#include "sys/memory_file.h"

struct sl__blob *sl__blob_create(size_t size) {
    size_t whole;
    struct sl__blob *blob = sl__add_size(sizeof *blob, size, &whole) ? malloc(whole) : NULL;
    if (blob != NULL) {
        atomic_init(&blob->refs, 1);
        blob->data = (const uint8_t *)(blob + 1);
        blob->size = size;
        blob->mapped_size = 0;
    }
    return blob;
}

struct sl__blob *sl__blob_copy(const uint8_t *from, size_t size) {
    struct sl__blob *blob = sl__blob_create(size);
    if (blob != NULL) {
        memcpy((uint8_t *)(blob + 1), from, size);
    }
    return blob;
}

struct sl__blob *sl__blob_adopt(void *mapping, size_t mapped_size, size_t size) {
    SL_ASSERT(mapped_size > 0 && size <= mapped_size);
    struct sl__blob *blob = malloc(sizeof *blob);
    if (blob != NULL) {
        atomic_init(&blob->refs, 1);
        blob->data = mapping;
        blob->size = size;
        blob->mapped_size = mapped_size;
    }
    return blob;
}

struct sl__blob *sl__blob_ref(struct sl__blob *blob) {
    atomic_fetch_add_explicit(&blob->refs, 1,
                              memory_order_relaxed); /* the caller has one: it cannot reach 0 meanwhile */
    return blob;
}

void sl__blob_unref(struct sl__blob *blob) {
    /* acq_rel: what other holders read must be done before the memory goes. */
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        if (blob->mapped_size != 0) {
            sl__unmap((void *)(uintptr_t)blob->data, blob->mapped_size);
        }
        free(blob);
    }
}
