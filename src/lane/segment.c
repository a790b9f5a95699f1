/* SPDX-License-Identifier: MIT */
#include "segment.h"

#include <string.h>

#include "base/assert.h"
#include "base/checked.h"
#include "lane/handshake.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

SL_STATIC_ASSERT(sizeof(struct sl__slot) == 64, "a slot is one cache line");
SL_STATIC_ASSERT(offsetof(struct sl__slot, unused) == 56, "a slot has no gaps");
SL_STATIC_ASSERT(sizeof(struct sl__shared_slot) == sizeof(struct sl__slot), "atomics must not add a lock");
SL_STATIC_ASSERT(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
                 "a lock of one process means nothing to another");
SL_STATIC_ASSERT(offsetof(struct sl__segment_header, tail) == 128 &&
                     offsetof(struct sl__segment_header, waiting) == 256 &&
                     offsetof(struct sl__segment_header, head) == 384 &&
                     offsetof(struct sl__segment_header, started) == 512,
                 "words that different cores write lie on different lines");
SL_STATIC_ASSERT(offsetof(struct sl__segment_memory, slots) == 1024, "the slots follow the header");
SL_STATIC_ASSERT(offsetof(struct sl__segment_memory, slots) + sizeof(struct sl__shared_slot) * SL__LANE_SLOTS <=
                     SL__SEGMENT_PAYLOAD_OFFSET,
                 "header and slots end before the payload space");
SL_STATIC_ASSERT((SL__LANE_SLOTS & (SL__LANE_SLOTS - 1)) == 0, "slot counts wrap");
SL_STATIC_ASSERT(SL__SEGMENT_PAYLOAD_OFFSET % SL__PAYLOAD_ALIGNMENT == 0, "payloads are aligned in the file too");

#define REQUEST_SEALS ((uint32_t)SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_FUTURE_WRITE | SL__SEAL_SEAL)
#define RESPONSE_SEALS ((uint32_t)SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_SEAL)
/* Kernels that can forbid execution add a seal of their own for it. */
#define SEALS_COMPARED (REQUEST_SEALS | RESPONSE_SEALS | (uint32_t)SL__SEAL_WRITE)
/* Newer kernels add seals of their own, such as the one against execution, which change nothing here. */
#define SEALS_THAT_MATTER (REQUEST_SEALS | SL__SEAL_WRITE)

uint64_t sl__lane_layout(void) {
    const uint64_t facts[] = {
        SL__PROTOCOL,
        SL__LANE_SLOTS,
        SL__SEGMENT_PAYLOAD_OFFSET,
        SL__PAYLOAD_ALIGNMENT,
        sizeof(struct sl__segment_header),
        sizeof(struct sl__segment_memory),
        sizeof(struct sl__slot),
        offsetof(struct sl__segment_header, tail),
        offsetof(struct sl__segment_header, waiting),
        offsetof(struct sl__segment_header, head),
        offsetof(struct sl__segment_header, started),
        offsetof(struct sl__segment_memory, slots),
        offsetof(struct sl__slot, offset),
        offsetof(struct sl__slot, size),
        offsetof(struct sl__slot, file),
        offsetof(struct sl__slot, generation),
        offsetof(struct sl__slot, kind),
        offsetof(struct sl__slot, flags),
        offsetof(struct sl__slot, head_size),
        offsetof(struct sl__slot, item_count),
        offsetof(struct sl__slot, packet_count),
        SL__REQUEST_BATCH,
        SL__REQUEST_EACH,
        SL__REPLY_KEPT,
    };
    uint64_t print = 0xcbf29ce484222325u; /* FNV-1a, a word at a time */
    for (size_t i = 0; i < SL_COUNT_OF(facts); i++) {
        print = (print ^ facts[i]) * 0x100000001b3u;
        print ^= print >> 29;
    }
    return print >> 1; /* fits a signed integer: it travels as one */
}

bool sl__segment_sizes(uint64_t segment_bytes, uint64_t *file_size, uint64_t *payload_size) {
    uint64_t whole;
    if (segment_bytes == 0 || segment_bytes > SL__SEGMENT_BYTES_MAX ||
        !sl__align_up_u64(SL__SEGMENT_PAYLOAD_OFFSET + segment_bytes, sl__page_size(), &whole) || whole > SIZE_MAX) {
        return false;
    }
    *file_size = whole;
    *payload_size = whole - SL__SEGMENT_PAYLOAD_OFFSET;
    return true;
}

static enum sl_code map(struct sl__segment *segment, uint64_t file_size, uint64_t payload_size, bool writable,
                        struct sl_error *error) {
    void *memory;
    enum sl_code code = sl__map(segment->fd, (size_t)file_size, writable ? SL__MAP_WRITE : 0, &memory, error);
    if (code == SL_OK) {
        segment->memory = memory;
        segment->payload = (uint8_t *)memory + SL__SEGMENT_PAYLOAD_OFFSET;
        segment->payload_size = payload_size;
        segment->mapped_size = (size_t)file_size;
    }
    return code;
}

/* The owner's first writes. The other side looks at them only after it was told of the segment. */
static void write_header(struct sl__segment *segment, enum sl__segment_role role,
                         const struct sl__lane_config *config) {
    struct sl__segment_header *header = &segment->memory->header;
    header->layout = sl__lane_layout();
    header->payload_size = segment->payload_size;
    header->role = role;
    header->generation = config->generation;
    header->magic = SL__SEGMENT_MAGIC;
}

enum sl_code sl__segment_create(struct sl__segment *segment, enum sl__segment_role role,
                                const struct sl__lane_config *config, struct sl_error *error) {
    *segment = (struct sl__segment){.fd = -1};
    uint64_t file_size, payload_size;
    if (!sl__segment_sizes(config->segment_bytes, &file_size, &payload_size)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "segment_bytes %llu is not usable: 1..%llu is",
                            (unsigned long long)config->segment_bytes, (unsigned long long)SL__SEGMENT_BYTES_MAX);
    }
    bool own = role == SL__SEGMENT_REQUEST;
    enum sl_code code =
        sl__memory_file_create(own ? "slither-request" : "slither-response", file_size, &segment->fd, error);
    if (code == SL_OK) {
        code = map(segment, file_size, payload_size, own, error);
    }
    if (code == SL_OK) {
        code = sl__memory_file_seal(segment->fd, own ? REQUEST_SEALS : RESPONSE_SEALS, error);
    }
    if (code != SL_OK) {
        sl__segment_finish(segment);
        return code;
    }
    if (own) {
        write_header(segment, role, config);
    }
    return SL_OK;
}

enum sl_code sl__segment_attach(struct sl__segment *segment, enum sl__segment_role role,
                                const struct sl__lane_config *config, int fd, struct sl_error *error) {
    *segment = (struct sl__segment){.fd = fd};
    bool own = role == SL__SEGMENT_RESPONSE;
    const char *name = own ? "response" : "request";
    uint32_t wanted = own ? RESPONSE_SEALS : REQUEST_SEALS;
    uint32_t seals = 0;
    uint64_t size = 0, file_size = 0, payload_size = 0;
    enum sl_code code = sl__memory_file_inspect(fd, &seals, &size, error);
    if (code == SL_OK && !sl__segment_sizes(config->segment_bytes, &file_size, &payload_size)) {
        code = sl_error_set(error, SL_E_PROTOCOL, "the host says that segments have %llu bytes",
                            (unsigned long long)config->segment_bytes);
    }
    if (code == SL_OK && ((seals & SEALS_THAT_MATTER) != wanted || size != file_size)) {
        code =
            sl_error_set(error, SL_E_PROTOCOL,
                         "the %s segment has %llu bytes and seals 0x%x; %llu bytes and seals 0x%x were expected", name,
                         (unsigned long long)size, (unsigned)seals, (unsigned long long)file_size, (unsigned)wanted);
    }
    if (code == SL_OK) {
        code = map(segment, file_size, payload_size, own, error);
    }
    if (code == SL_OK && own) {
        write_header(segment, role, config);
    } else if (code == SL_OK) {
        const struct sl__segment_header *header = &segment->memory->header;
        if (header->magic != SL__SEGMENT_MAGIC || header->role != (uint32_t)role ||
            header->payload_size != payload_size || header->generation != config->generation) {
            code = sl_error_set(error, SL_E_PROTOCOL, "the %s segment is not one of this lane and generation %u", name,
                                (unsigned)config->generation);
        } else if (header->layout != sl__lane_layout()) {
            code = sl_error_set(
                error, SL_E_VERSION,
                "the host lays out shared memory in another way (0x%llx, this worker: 0x%llx); the slither package "
                "of the interpreter and the host's library must be of the same build",
                (unsigned long long)header->layout, (unsigned long long)sl__lane_layout());
        }
    }
    if (code != SL_OK) {
        sl__segment_finish(segment);
    }
    return code;
}

void sl__segment_finish(struct sl__segment *segment) {
    sl__unmap(segment->memory, segment->mapped_size);
    sl__close(&segment->fd);
    *segment = (struct sl__segment){.fd = -1};
}

void sl__slot_read(const struct sl__segment *segment, uint32_t index, struct sl__slot *slot) {
    uint64_t words[SL__SLOT_WORDS];
    const struct sl__shared_slot *from = &segment->memory->slots[index & (SL__LANE_SLOTS - 1)];
    for (size_t i = 0; i < SL__SLOT_WORDS; i++) {
        words[i] = atomic_load_explicit(&from->words[i], memory_order_relaxed);
    }
    memcpy(slot, words, sizeof *slot);
}

void sl__slot_write(const struct sl__segment *segment, uint32_t index, const struct sl__slot *slot) {
    uint64_t words[SL__SLOT_WORDS];
    struct sl__shared_slot *to = &segment->memory->slots[index & (SL__LANE_SLOTS - 1)];
    memcpy(words, slot, sizeof words);
    for (size_t i = 0; i < SL__SLOT_WORDS; i++) {
        atomic_store_explicit(&to->words[i], words[i], memory_order_relaxed);
    }
}
