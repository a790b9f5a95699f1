/* SPDX-License-Identifier: MIT */
/*
 * Shared buffers: memory that the host fills once and workers see in place.
 *
 * A buffer is an anonymous memory file: nothing has a name in the file system, and it is gone with the last process
 * that maps it. Workers can map it read-only and cannot make it writable or change its size.
 */
#ifndef SLITHER_BUFFER_H
#define SLITHER_BUFFER_H

#include <slither/base.h>
#include <slither/error.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_buffer;

/**
 * Makes a buffer of `size` bytes (1 .. 1 GiB * 64), zeroed, with one reference. The runtime must outlive it.
 * Errors: invalid_argument, out_of_memory, system (for example too many open files).
 */
SL_API SL_MUST_CHECK enum sl_code sl_buffer_create(struct sl_runtime *runtime, uint64_t size, struct sl_buffer **buffer,
                                                   struct sl_error *error);
/** One reference more; any thread. Returns `buffer`. */
SL_API struct sl_buffer *sl_buffer_ref(struct sl_buffer *buffer);
/**
 * One reference less; any thread; the last one releases the host's mapping. NULL is fine. A worker's own view stays
 * valid.
 */
SL_API void sl_buffer_unref(struct sl_buffer *buffer);
/** The memory, aligned to a page. Writing while a worker reads is the caller's race. */
SL_API void *sl_buffer_data(const struct sl_buffer *buffer);
SL_API uint64_t sl_buffer_size(const struct sl_buffer *buffer);
/** Unique within the runtime, never 0, never used again. */
SL_API uint64_t sl_buffer_id(const struct sl_buffer *buffer);

SL_END_DECLS

#endif
