/* SPDX-License-Identifier: MIT */
/* struct sl__lane: one end of a lane, in private memory. */
#ifndef SLITHER_LANE_END_H
#define SLITHER_LANE_END_H

#include <sys/types.h>

#include "base/table.h"
#include "block.h"
#include "lane/buffer.h"
#include "lane/lane.h"
#include "segment.h"
#include "space.h"

/* A request that was published and not retired. */
struct sl__sent {
    uint64_t sequence;
    uint64_t offset; /* in the payload space, when `block` is NULL */
    uint64_t size;
    struct sl__block *block;
    uint32_t item_count;
};

/* The request that is being written. */
struct sl__draft {
    bool open;
    bool announced;  /* the worker was told of its files */
    bool spoiled;    /* it could not be told: `block` is sealed and of no further use */
    uint8_t *memory; /* of the payload: in the segment, or in `block` */
    uint64_t size;   /* bytes used */
    uint64_t room;   /* bytes there are at `memory` */
    uint64_t offset; /* in the payload space, when `block` is NULL */
    struct sl__block *block;
    uint32_t buffer_count; /* shared buffers that the worker is to be told of first; each holds a reference */
    struct sl_buffer *buffers[SL__LANE_ATTACH_MAX - 1];
};

struct sl__host_end {
    int worker_socket; /* -1 once it was closed */
    uint64_t last_sequence;
    struct sl__sent sent[SL__LANE_SLOTS]; /* a queue */
    uint32_t first, outstanding;
    uint32_t replied; /* of the outstanding ones, oldest first */
    struct sl__draft draft;
    struct sl__block_cache cache;
    uint64_t last_block;
    uint32_t packet_count; /* sent since the last slot was published */
    struct {
        uint64_t *items;
        size_t count, capacity;
    } forget;                 /* ids that the worker is to be told to forget */
    struct sl__table buffers; /* struct sl_buffer that the worker knows; each is held, which does not keep its memory */
    struct sl__buffer_home *home; /* of those buffers; NULL before the first */
    uint64_t death_seen;
    uint64_t stale_count;
};

struct sl__worker_end {
    pid_t pid; /* the lane is unusable in a forked child */
    struct sl__spin spin;
    _Atomic uint32_t interrupted;
    _Atomic uint32_t asleep;
    struct sl__table files; /* struct sl__mapping */
    bool taken;             /* a request was taken and not answered */
    struct sl__request request;
    /* The reply that is being written. */
    bool open;
    uint64_t offset; /* in the payload space */
    uint64_t room;   /* there */
    int file;        /* memory file of a large reply, or -1 */
    void *file_memory;
    size_t file_size;
    uint64_t last_file;
    uint32_t released;               /* replies of which the space was given back; follows the host's head */
    bool in_segment[SL__LANE_SLOTS]; /* by reply count: whether its payload takes space */
};

struct sl__lane {
    struct sl__lane_config config;
    bool is_host;
    struct sl__segment own;  /* which this side writes */
    struct sl__segment peer; /* which the other side writes */
    int socket;
    uint32_t published;     /* own slots; the tail in `own` */
    uint32_t taken;         /* the other's slots */
    struct sl__space space; /* of `own` */
    struct sl__host_end host;
    struct sl__worker_end worker;
};

/* Outstanding request number `index` of a host end, 0 = oldest; the one past the last is where the next goes. */
static inline struct sl__sent *sl__sent_at(const struct sl__lane *lane, uint32_t index) {
    return (struct sl__sent *)(uintptr_t)&lane->host.sent[(lane->host.first + index) % SL__LANE_SLOTS];
}

void sl__host_end_finish(struct sl__lane *lane);
void sl__worker_end_finish(struct sl__lane *lane);

/* Another side's claim about a message, as checked by both ends: the payload lies in `space_size` bytes or in a file. */
enum sl_code sl__slot_check(const struct sl__slot *slot, const struct sl__lane_config *config, uint64_t space_size,
                            struct sl_error *error);

/* The part of a shared buffer that may outlive its memory. */
struct sl_buffer {
    _Atomic uint32_t refs;  /* users; at 0 the memory goes */
    _Atomic uint32_t holds; /* lanes that remember it, and one for all users together; at 0 the struct goes */
    struct sl__buffer_home *home;
    uint64_t id;
    uint64_t size;
    void *memory;
    int fd;
};
void sl__buffer_hold(struct sl_buffer *buffer);
void sl__buffer_drop(struct sl_buffer *buffer);
/* Whether the memory is gone; it then stays gone. Any thread that holds it. */
bool sl__buffer_dead(const struct sl_buffer *buffer);

/* `size` bytes copied from `from`; NULL when memory is out. */
struct sl__blob *sl__blob_copy(const uint8_t *from, size_t size);
/* Takes over a mapping; NULL when memory is out (the mapping is then still the caller's). */
struct sl__blob *sl__blob_adopt(void *mapping, size_t mapped_size, size_t size);

#endif
