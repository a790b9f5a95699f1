/* SPDX-License-Identifier: MIT */
/*
 * Shared buffers. Two counts, because a lane has to remember which buffers its worker knows without keeping their memory:
 * `refs` counts users and keeps the memory, `holds` counts lanes and keeps the struct. The user that lets go last releases the memory
 * and then bumps the home's death_count; a lane that sees a new count looks at which of those that it holds have no user any more.
 */
#include "lane/buffer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/checked.h"
#include "end.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "wire/writer.h"

#define BUFFER_SIZE_MAX ((uint64_t)64 << 30)

enum sl_code sl__buffer_create(struct sl__buffer_home *home, uint64_t size, struct sl_buffer **buffer,
                               struct sl_error *error) {
    *buffer = NULL;
    if (size == 0 || size > BUFFER_SIZE_MAX || size > SIZE_MAX / 2) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "a shared buffer of %llu bytes is not possible: 1 to %llu are", (unsigned long long)size,
                            (unsigned long long)BUFFER_SIZE_MAX);
    }
    struct sl_buffer *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to describe a shared buffer");
    }
    enum sl_code code = sl__memory_file_create("slither-buffer", size, &made->fd, error);
    if (code == SL_OK) {
        code = sl__map(made->fd, (size_t)size, SL__MAP_WRITE, &made->memory, error);
    }
    if (code == SL_OK) {
        code = sl__memory_file_seal(made->fd, SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_FUTURE_WRITE | SL__SEAL_SEAL,
                                    error);
    }
    if (code != SL_OK) {
        sl__unmap(made->memory, (size_t)size);
        sl__close(&made->fd);
        free(made);
        return code;
    }
    atomic_init(&made->refs, 1);
    atomic_init(&made->holds, 1);
    made->home = home;
    made->size = size;
    made->id = atomic_fetch_add_explicit(&home->last_id, 1, memory_order_relaxed) + 1;
    SL_ASSERT((made->id & SL__BLOCK_ID_BIT) == 0);
    *buffer = made;
    return SL_OK;
}

struct sl_buffer *sl_buffer_ref(struct sl_buffer *buffer) {
    uint32_t before = atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
    SL_ASSERT(before > 0);
    (void)before;
    return buffer;
}

void sl_buffer_unref(struct sl_buffer *buffer) {
    if (buffer == NULL || atomic_fetch_sub_explicit(&buffer->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    sl__unmap(buffer->memory, (size_t)buffer->size);
    sl__close(&buffer->fd);
    /* Release, with the acquire in the lanes: who sees the new count sees refs = 0. */
    atomic_fetch_add_explicit(&buffer->home->death_count, 1, memory_order_release);
    sl__buffer_drop(buffer);
}

void sl__buffer_hold(struct sl_buffer *buffer) {
    atomic_fetch_add_explicit(&buffer->holds, 1, memory_order_relaxed);
}

void sl__buffer_drop(struct sl_buffer *buffer) {
    if (atomic_fetch_sub_explicit(&buffer->holds, 1, memory_order_acq_rel) == 1) {
        free(buffer);
    }
}

bool sl__buffer_dead(const struct sl_buffer *buffer) {
    return atomic_load_explicit(&buffer->refs, memory_order_acquire) == 0;
}

void *sl_buffer_data(const struct sl_buffer *buffer) {
    return buffer->memory;
}

uint64_t sl_buffer_size(const struct sl_buffer *buffer) {
    return buffer->size;
}

uint64_t sl_buffer_id(const struct sl_buffer *buffer) {
    return buffer->id;
}

/* Here and not with the other writers, because only this room knows what a buffer is. */
void sl_write_array_in(struct sl_writer *writer, const struct sl_buffer *buffer, uint64_t offset, enum sl_dtype dtype,
                       uint32_t dim_count, const uint64_t *shape) {
    uint64_t bytes = sl_dtype_size(dtype);
    for (uint32_t i = 0; i < dim_count && dim_count <= SL_ARRAY_DIM_MAX; i++) {
        bytes = sl__mul_u64_saturating(bytes, shape[i]);
    }
    if (!sl__span_fits(offset, bytes, buffer->size)) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "an array that reaches past the end of its shared buffer");
        return;
    }
    sl__write_buffer_array(writer, buffer->id, offset, dtype, dim_count, shape);
}
