/* SPDX-License-Identifier: MIT */
#include "block.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/checked.h"
#include "base/macros.h"
#include "lane/lane.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

size_t sl__block_size_for(uint64_t needed) {
    uint64_t size = sl__power_of_two_from(SL_MAX(needed, (uint64_t)SL_MAX(SL__BLOCK_SIZE_MIN, sl__page_size())));
    return size != 0 && size <= SIZE_MAX / 2 ? (size_t)size : 0;
}

enum sl_code sl__block_create(uint64_t id, size_t size, struct sl__block **block, struct sl_error *error) {
    struct sl__block *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to describe a payload file");
    }
    made->id = id;
    made->size = size;
    void *memory;
    enum sl_code code = sl__memory_file_create("slither-payload", size, &made->fd, error);
    if (code == SL_OK) {
        code = sl__map(made->fd, size, SL__MAP_WRITE, &memory, error);
    }
    if (code != SL_OK) {
        sl__close(&made->fd);
        free(made);
        return code;
    }
    made->memory = memory;
    *block = made;
    return SL_OK;
}

void sl__block_destroy(struct sl__block *block) {
    if (block != NULL) {
        sl__unmap(block->memory, block->size);
        sl__close(&block->fd);
        free(block);
    }
}

enum sl_code sl__block_grow(struct sl__block *block, size_t size, struct sl_error *error) {
    SL_ASSERT(!block->known && size > block->size);
    enum sl_code code = sl__memory_file_resize(block->fd, size, error);
    if (code != SL_OK) {
        return code;
    }
    void *memory = block->memory;
    code = sl__remap(&memory, block->size, size, error);
    if (code == SL_OK) { /* else the file is larger than the mapping, which harms nobody */
        block->memory = memory;
        block->size = size;
    }
    return code;
}

enum sl_code sl__block_seal(struct sl__block *block, struct sl_error *error) {
    SL_ASSERT(!block->known);
    return sl__memory_file_seal(block->fd, SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_FUTURE_WRITE | SL__SEAL_SEAL,
                                error);
}

struct sl__block *sl__block_cache_take(struct sl__block_cache *cache, uint64_t needed) {
    struct sl__block **best = NULL;
    for (struct sl__block **at = &cache->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->size >= needed && (best == NULL || (*at)->size < (*best)->size)) {
            best = at;
        }
    }
    if (best == NULL) {
        return NULL;
    }
    struct sl__block *block = *best;
    *best = block->next;
    block->next = NULL;
    cache->bytes -= block->touched;
    return block;
}

struct sl__block *sl__block_cache_put(struct sl__block_cache *cache, struct sl__block *block) {
    /* A payload of exactly the bound has a head and gaps besides, and is what a user with such arrays wants kept. */
    uint64_t bound = cache->bytes_max == 0 ? 0 : sl__add_u64_saturating(cache->bytes_max, SL__LANE_INLINE_MAX);
    block->next = NULL;
    if (block->touched > bound) {
        return block;
    }
    block->next = cache->first;
    cache->first = block;
    cache->bytes += block->touched;
    uint64_t kept = 0;
    struct sl__block **at = &cache->first;
    while (*at != NULL && (*at)->touched <= bound - kept) {
        kept += (*at)->touched;
        at = &(*at)->next;
    }
    struct sl__block *rest = *at; /* those that were not used for longest */
    *at = NULL;
    cache->bytes = kept;
    return rest;
}
