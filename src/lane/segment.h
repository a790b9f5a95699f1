/* SPDX-License-Identifier: MIT */
/*
 * What lies in shared memory, and the only code that reads and writes it.
 *
 * A segment is one memory file that one side writes (its owner) and the other maps read-only:
 *
 *   0      header: fixed words, then tail, waiting, head, started, each on cache lines of its own
 *   1024   SL__LANE_SLOTS slots of 64 bytes
 *   4096   payload space, to the end of the file
 *
 * The two segments of a lane have the same layout; each holds the words that its owner writes.
 */
#ifndef SLITHER_LANE_SEGMENT_H
#define SLITHER_LANE_SEGMENT_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/macros.h"
#include "lane/lane.h"

#define SL__SEGMENT_MAGIC 0x2165706f73696c73u
#define SL__SEGMENT_PAYLOAD_OFFSET 4096
#define SL__SEGMENT_BYTES_MAX ((uint64_t)1 << 40)
/* Payloads start at a multiple of this, so that no two share a cache line. */
#define SL__PAYLOAD_ALIGNMENT 64

enum sl__segment_role { SL__SEGMENT_REQUEST = 1, SL__SEGMENT_RESPONSE = 2 };

/* One message, as both sides handle it in private memory. */
struct sl__slot {
    uint64_t sequence;   /* of the request; from 1 */
    uint64_t offset;     /* of the payload in the payload space; 0 when it lies in a file */
    uint64_t size;       /* of the payload, bytes */
    uint64_t file;       /* id of the memory file that holds the payload, or 0 */
    uint32_t generation; /* of the worker */
    uint32_t kind;       /* request: enum sl__request_kind; reply: enum sl_code */
    uint32_t flags;      /* reply: enum sl__reply_flag */
    uint32_t head_size;  /* request: bytes of the head */
    uint32_t item_count;
    uint32_t packet_count; /* packets on the lane socket that belong before this message */
    uint64_t unused;       /* 0 */
};

#define SL__SLOT_WORDS (sizeof(struct sl__slot) / sizeof(uint64_t))

/* A slot in shared memory: only ever read and written word by word, because the other side may write at any time. */
struct sl__shared_slot {
    _Atomic uint64_t words[SL__SLOT_WORDS];
};

struct sl__segment_header {
    uint64_t magic;
    uint64_t layout;
    uint64_t payload_size;
    uint32_t role;
    uint32_t generation;
    alignas(
        SL_CACHE_ALIGN) _Atomic uint32_t tail; /* slots published by the owner; wraps; the other side sleeps on it */
    alignas(
        SL_CACHE_ALIGN) _Atomic uint32_t waiting;  /* 1 while the owner sleeps, or is about to, on the other's tail */
    alignas(SL_CACHE_ALIGN) _Atomic uint32_t head; /* slots of the other side that the owner has done with; wraps */
    alignas(SL_CACHE_ALIGN) _Atomic uint64_t started; /* worker: sequence that it began last */
};

struct sl__segment_memory {
    struct sl__segment_header header;
    alignas(1024) struct sl__shared_slot slots[SL__LANE_SLOTS];
};

/* A segment as one side sees it. Zeroed with fd -1 is valid to finish. */
struct sl__segment {
    struct sl__segment_memory *memory; /* read-only for the side that is not the owner */
    uint8_t *payload;
    uint64_t payload_size; /* this side's own copy: what is in shared memory is never used as a bound */
    size_t mapped_size;
    int fd;
};

/* Bytes of the file and of its payload space for `segment_bytes`; false when that is 0 or too large. */
bool sl__segment_sizes(uint64_t segment_bytes, uint64_t *file_size, uint64_t *payload_size);

/* Host: makes the file of one role, maps it (the request segment for writing) and seals it. */
enum sl_code sl__segment_create(struct sl__segment *segment, enum sl__segment_role role,
                                const struct sl__lane_config *config, struct sl_error *error);
/* Worker: maps what it was sent, after checking it. Takes `fd` over, also on failure. */
enum sl_code sl__segment_attach(struct sl__segment *segment, enum sl__segment_role role,
                                const struct sl__lane_config *config, int fd, struct sl_error *error);
void sl__segment_finish(struct sl__segment *segment);

/* Copies slot number `index` (a running count, wraps) out of shared memory, each word once. */
void sl__slot_read(const struct sl__segment *segment, uint32_t index, struct sl__slot *slot);
void sl__slot_write(const struct sl__segment *segment, uint32_t index, const struct sl__slot *slot);

#endif
