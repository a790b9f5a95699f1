/* SPDX-License-Identifier: MIT */
/* Memory files: anonymous, sealed, gone with their last descriptor and mapping. Nothing appears in /dev/shm. */
#ifndef SLITHER_SYS_MEMORY_FILE_H
#define SLITHER_SYS_MEMORY_FILE_H

#include <slither/error.h>

/** Seals, with the kernel's numbers (F_SEAL_*), repeated here so that other rooms need no system header. */
enum sl__seal {
    SL__SEAL_SEAL = 0x0001,         /* no further seals */
    SL__SEAL_SHRINK = 0x0002,       /* never gets smaller: a mapping cannot be cut off under its reader (SIGBUS) */
    SL__SEAL_GROW = 0x0004,         /* never gets larger */
    SL__SEAL_WRITE = 0x0008,        /* nobody writes any more; refused while a writable mapping exists */
    SL__SEAL_FUTURE_WRITE = 0x0010, /* mappings that are writable stay so; no new ones, no write() */
};

enum sl__map_flag {
    SL__MAP_WRITE = 1,   /* else read-only */
    SL__MAP_POPULATE = 2 /* page it in at once: much cheaper than one fault a page when all of it will be touched */
};

/** Bytes of a page; a power of two. */
size_t sl__page_size(void);

/**
 * A memory file of `size` bytes (1 ..), zeroed, close-on-exec, not executable where the kernel can forbid it, not sealed yet.
 * `name` is only seen in /proc. Memory is taken when a page is first touched. Errors: system, out_of_memory.
 */
enum sl_code sl__memory_file_create(const char *name, uint64_t size, int *fd, struct sl_error *error);
/** Sets the size of a file that is not sealed against it. */
enum sl_code sl__memory_file_resize(int fd, uint64_t size, struct sl_error *error);
/** Adds seals (enum sl__seal, or'ed). */
enum sl_code sl__memory_file_seal(int fd, uint32_t seals, struct sl_error *error);
/** Seals and size of a descriptor that came from elsewhere. protocol: it is not a memory file. */
enum sl_code sl__memory_file_inspect(int fd, uint32_t *seals, uint64_t *size, struct sl_error *error);

/** Maps the first `size` bytes (1 ..), shared. The caller has checked that the file is that large and sealed against shrinking. */
enum sl_code sl__map(int fd, size_t size, uint32_t flags, void **memory, struct sl_error *error);
/** Makes a mapping larger or smaller; it may move. On failure it is as it was. */
enum sl_code sl__remap(void **memory, size_t old_size, size_t new_size, struct sl_error *error);
/** `memory` NULL is fine. */
void sl__unmap(void *memory, size_t size);
/** Pages [offset, offset + size) of a mapping in at once, for reading or writing. Only a hint: failure costs time, not correctness. */
void sl__populate(void *memory, size_t offset, size_t size, bool write);

#endif
