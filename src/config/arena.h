/* SPDX-License-Identifier: MIT */
/* Arena: memory that is given back all at once. What a file says lives as long as the file. One thread at a time. */
#ifndef SLITHER_CONFIG_ARENA_H
#define SLITHER_CONFIG_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include <slither/base.h>

struct sl__arena_block;

/* A zeroed one is empty. */
struct sl__arena {
    struct sl__arena_block *blocks;
};

/* Zeroed memory, aligned for any type; NULL: there is none. */
void *sl__arena_take(struct sl__arena *arena, size_t size);
/* A copy of `size` bytes, and a NUL. */
char *sl__arena_text(struct sl__arena *arena, const char *text, size_t size);
char *sl__arena_format(struct sl__arena *arena, const char *format, ...) SL_PRINTF(2, 3);
void sl__arena_finish(struct sl__arena *arena);

#endif
