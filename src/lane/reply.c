/* SPDX-License-Identifier: MIT */
/*
 * Host end, second half: reading replies.
 *
 * What the worker can do to this process is decided here. All that is read from shared memory is the tail, once a call, and slots, each
 * copied once (sl__slot_read); every field of the copy is checked against numbers that the worker cannot reach; payloads are copied to the
 * heap or lie in files whose seals forbid everyone to change them. A worker can therefore be wrong, late, slow or silent, and that is all.
 */
#include "base/assert.h"
#include "base/checked.h"
#include "doorbell.h"
#include "end.h"
#include "note.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

/* Late or repeated replies of one lane. A sane worker sends none; a mad one would keep the host busy. */
#define STALE_MAX 1024

enum sl_code sl__slot_check(const struct sl__slot *slot, const struct sl__lane_config *config, uint64_t space_size,
                            struct sl_error *error) {
    if (slot->size > config->payload_bytes_max || slot->size > SIZE_MAX) {
        return sl_error_set(error, SL_E_PROTOCOL, "message %llu says that it has %llu bytes; %llu are the most allowed",
                            (unsigned long long)slot->sequence, (unsigned long long)slot->size,
                            (unsigned long long)config->payload_bytes_max);
    }
    bool placed = slot->file != 0 ? slot->offset == 0
                                  : sl__span_fits(slot->offset, slot->size, space_size) &&
                                        slot->offset % SL__PAYLOAD_ALIGNMENT == 0;
    if (!placed) {
        return sl_error_set(error, SL_E_PROTOCOL, "message %llu says that its %llu bytes lie at offset %llu of %llu",
                            (unsigned long long)slot->sequence, (unsigned long long)slot->size,
                            (unsigned long long)slot->offset, (unsigned long long)space_size);
    }
    if (slot->unused != 0) {
        return sl_error_set(error, SL_E_PROTOCOL, "message %llu has something where nothing belongs",
                            (unsigned long long)slot->sequence);
    }
    return SL_OK;
}

static bool known_code(uint32_t number) {
    switch (number) {
#define KNOWN(enumerator, value, name, retryable, text) case value:
        SL_CODE_LIST(KNOWN)
#undef KNOWN
        return true;
    default:
        return false;
    }
}

static enum sl_code check_reply(const struct sl__lane *lane, const struct sl__slot *slot, const struct sl__sent *sent,
                                struct sl_error *error) {
    enum sl_code code = sl__slot_check(slot, &lane->config, lane->peer.payload_size, error);
    if (code != SL_OK) {
        return code;
    }
    if (!known_code(slot->kind) || slot->kind == SL_E_AGAIN) {
        return sl_error_set(error, SL_E_PROTOCOL, "reply %llu has the code %u, which a worker cannot give",
                            (unsigned long long)slot->sequence, (unsigned)slot->kind);
    }
    /* Of an error at most one map; of success as many values as there were items, of at least a byte each. */
    bool counted = slot->kind == SL_OK ? slot->item_count == sent->item_count && slot->item_count <= slot->size
                                       : slot->item_count <= 1;
    if (!counted || slot->head_size != 0) {
        return sl_error_set(
            error, SL_E_PROTOCOL,
            "reply %llu with code %s says that it has %u values in %llu bytes; the request had %u items",
            (unsigned long long)slot->sequence, sl_code_name((enum sl_code)slot->kind), (unsigned)slot->item_count,
            (unsigned long long)slot->size, (unsigned)sent->item_count);
    }
    if ((slot->flags & ~(uint32_t)(SL__REPLY_KEPT | SL__REPLY_STATE)) != 0 ||
        ((slot->flags & SL__REPLY_KEPT) != 0 && sent->block == NULL)) {
        return sl_error_set(error, SL_E_PROTOCOL, "reply %llu has flags 0x%x, which do not apply to its request",
                            (unsigned long long)slot->sequence, (unsigned)slot->flags);
    }
    if (slot->packet_count != (slot->file != 0 ? 1u : 0u) || (slot->file != 0 && slot->size == 0)) {
        return sl_error_set(error, SL_E_PROTOCOL, "reply %llu says that %u packets with memory files belong to it",
                            (unsigned long long)slot->sequence, (unsigned)slot->packet_count);
    }
    return SL_OK;
}

/* Receives the file that a reply says it lies in. The descriptor is the caller's. */
static enum sl_code receive_file(struct sl__lane *lane, const struct sl__slot *slot, int *fd, struct sl_error *error) {
    struct sl__note notes[SL__NOTES_MAX];
    int fds[SL__NOTES_MAX];
    size_t count, fd_count;
    enum sl_code code = sl__notes_receive(lane->socket, notes, &count, fds, &fd_count, error);
    if (code == SL_E_AGAIN || code == SL_E_END) {
        return sl_error_set(error, SL_E_PROTOCOL, "reply %llu lies in a memory file that the worker has not sent",
                            (unsigned long long)slot->sequence);
    }
    if (code != SL_OK) {
        return code;
    }
    if (count == 1 && notes[0].kind == SL__NOTE_REPLY && notes[0].id == slot->file) {
        *fd = fds[0];
        return SL_OK;
    }
    for (size_t i = 0; i < fd_count; i++) {
        sl__close(&fds[i]);
    }
    return sl_error_set(error, SL_E_PROTOCOL, "what the worker sent with reply %llu is not its memory file %llu",
                        (unsigned long long)slot->sequence, (unsigned long long)slot->file);
}

static enum sl_code map_file(struct sl__lane *lane, const struct sl__slot *slot, struct sl__blob **blob,
                             struct sl_error *error) {
    int fd;
    enum sl_code code = receive_file(lane, slot, &fd, error);
    if (code != SL_OK) {
        return code;
    }
    const uint32_t wanted = SL__SEAL_WRITE | SL__SEAL_SHRINK;
    uint32_t seals;
    uint64_t size;
    void *memory = NULL;
    code = sl__memory_file_inspect(fd, &seals, &size, error);
    if (code == SL_OK && ((seals & wanted) != wanted || size < slot->size)) {
        code = sl_error_set(error, SL_E_PROTOCOL,
                            "the memory file of reply %llu has %llu bytes and seals 0x%x; at least %llu bytes, sealed "
                            "against writing and "
                            "shrinking, were expected",
                            (unsigned long long)slot->sequence, (unsigned long long)size, (unsigned)seals,
                            (unsigned long long)slot->size);
    }
    if (code == SL_OK) {
        code = sl__map(fd, (size_t)slot->size, SL__MAP_POPULATE, &memory, error);
    }
    sl__close(&fd);
    if (code != SL_OK) {
        return code;
    }
    *blob = sl__blob_adopt(memory, (size_t)slot->size, (size_t)slot->size);
    if (*blob == NULL) {
        sl__unmap(memory, (size_t)slot->size);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to describe a reply");
    }
    return SL_OK;
}

static enum sl_code take_payload(struct sl__lane *lane, const struct sl__slot *slot, struct sl__blob **blob,
                                 struct sl_error *error) {
    *blob = NULL;
    if (slot->size == 0) {
        return SL_OK;
    }
    if (slot->file != 0) {
        return map_file(lane, slot, blob, error);
    }
    *blob = sl__blob_copy(lane->peer.payload + slot->offset, (size_t)slot->size);
    if (*blob == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a reply of %llu bytes",
                            (unsigned long long)slot->size);
    }
    return SL_OK;
}

/* The other side may write this slot and its payload again. */
static void consume_slot(struct sl__lane *lane) {
    lane->taken++;
    atomic_store_explicit(&lane->own.memory->header.head, lane->taken, memory_order_release);
}

/* A reply that nobody waits for any more; with what came beside it. */
static void drop_stale(struct sl__lane *lane, const struct sl__slot *slot) {
    int fd;
    if (slot->packet_count == 1 && receive_file(lane, slot, &fd, NULL) == SL_OK) {
        sl__close(&fd);
    }
    lane->host.stale_count++;
}

enum sl_code sl__lane_poll(struct sl__lane *lane, struct sl__reply *reply, struct sl_error *error) {
    struct sl__host_end *host = &lane->host;
    SL_ASSERT(lane->is_host);
    uint32_t ready = sl__doorbell_tail(&lane->peer) - lane->taken;
    if (ready > SL__LANE_SLOTS) {
        return sl_error_set(error, SL_E_PROTOCOL,
                            "the worker says that it has published %u replies at once; a lane has %d slots",
                            (unsigned)ready, SL__LANE_SLOTS);
    }
    for (; ready > 0; ready--) {
        struct sl__slot slot;
        sl__slot_read(&lane->peer, lane->taken, &slot);
        const struct sl__sent *sent = host->replied < host->outstanding ? sl__sent_at(lane, host->replied) : NULL;
        uint64_t expected = sent != NULL ? sent->sequence : host->last_sequence + 1;
        if (slot.generation < lane->config.generation ||
            (slot.generation == lane->config.generation && slot.sequence < expected)) {
            drop_stale(lane, &slot);
            consume_slot(lane);
            if (host->stale_count > STALE_MAX) {
                return sl_error_set(error, SL_E_PROTOCOL,
                                    "the worker has sent %d replies to requests that were answered before", STALE_MAX);
            }
            continue;
        }
        if (slot.generation != lane->config.generation || slot.sequence != expected || sent == NULL) {
            return sl_error_set(error, SL_E_PROTOCOL,
                                "reply %llu of generation %u, where %llu of generation %u was expected",
                                (unsigned long long)slot.sequence, (unsigned)slot.generation,
                                (unsigned long long)expected, (unsigned)lane->config.generation);
        }
        struct sl__blob *blob;
        enum sl_code code = check_reply(lane, &slot, sent, error);
        if (code == SL_OK) {
            code = take_payload(lane, &slot, &blob, error);
        }
        if (code != SL_OK) {
            return code;
        }
        consume_slot(lane);
        host->replied++;
        *reply = (struct sl__reply){.sequence = slot.sequence,
                                    .code = (enum sl_code)slot.kind,
                                    .flags = slot.flags,
                                    .item_count = slot.item_count,
                                    .blob = blob};
        return SL_OK;
    }
    return SL_E_AGAIN;
}
