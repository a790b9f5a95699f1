/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define BLOCK_SIZE 16384

struct sl__arena_block {
    struct sl__arena_block *next;
    size_t size, used;
    alignas(max_align_t) unsigned char bytes[];
};

void *sl__arena_take(struct sl__arena *arena, size_t size) {
    struct sl__arena_block *block = arena->blocks;
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (block == NULL || block->size - block->used < size) {
        size_t room = SL_MAX(size, (size_t)BLOCK_SIZE);
        block = calloc(1, sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *taken = block->bytes + block->used;
    block->used += size;
    return taken;
}

char *sl__arena_text(struct sl__arena *arena, const char *text, size_t size) {
    char *copy = sl__arena_take(arena, size + 1);
    if (copy != NULL && size > 0) {
        memcpy(copy, text, size);
    }
    return copy;
}

char *sl__arena_format(struct sl__arena *arena, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    char *text = size < 0 ? NULL : sl__arena_take(arena, (size_t)size + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)size + 1, format, again);
    }
    va_end(again);
    va_end(arguments);
    return text;
}

void sl__arena_finish(struct sl__arena *arena) {
    while (arena->blocks != NULL) {
        struct sl__arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}
