/* SPDX-License-Identifier: MIT */
/*
 * Block: a memory file of the host for a payload that does not fit, or should not lie, in the request segment.
 *
 * Until the worker has been sent its descriptor a block can grow in place, because nobody else has it. Then its size is
 * sealed, as is the right to write it: to the host's mapping. A worker keeps it mapped until it is told to forget it, so
 * that re-using a block costs neither a descriptor on the socket nor page faults.
 */
#ifndef SLITHER_LANE_BLOCK_H
#define SLITHER_LANE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <slither/error.h>

#define SL__BLOCK_SIZE_MIN (64u << 10)
#define SL__BLOCK_ID_BIT ((uint64_t)1 << 63)

struct sl__block {
    uint64_t id;     /* SL__BLOCK_ID_BIT and a count of the lane */
    uint8_t *memory; /* the host's writable mapping of the whole file */
    size_t size;     /* of file and mapping: a power of two, at least a page */
    size_t touched;  /* bytes from the start that have been written at some time: what it costs in memory */
    int fd;
    bool known;             /* sealed, and its descriptor sent to the worker */
    struct sl__block *next; /* in the list of idle ones */
};

/* Bytes of a block for a payload of `needed`; 0 when that cannot be. */
size_t sl__block_size_for(uint64_t needed);
enum sl_code sl__block_create(uint64_t id, size_t size, struct sl__block **block, struct sl_error *error);
void sl__block_destroy(struct sl__block *block);
/* Makes a block that is not known yet larger, in place; its memory may move. On failure it is as it was. */
enum sl_code sl__block_grow(struct sl__block *block, size_t size, struct sl_error *error);
/* Seals it, before its descriptor is sent. */
enum sl_code sl__block_seal(struct sl__block *block, struct sl_error *error);

/* Idle blocks of one lane, most recently used first, bounded by what they cost in memory. */
struct sl__block_cache {
    struct sl__block *first;
    uint64_t bytes; /* sum of `touched` */
    uint64_t bytes_max;
};

/* The smallest idle block with room for `needed`, taken out; NULL when there is none. */
struct sl__block *sl__block_cache_take(struct sl__block_cache *cache, uint64_t needed);
/* Puts a block in. Returns those that have to go for that, as a list (maybe the block itself): they are the caller's. */
struct sl__block *sl__block_cache_put(struct sl__block_cache *cache, struct sl__block *block);

#endif
