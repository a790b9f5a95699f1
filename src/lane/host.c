/* SPDX-License-Identifier: MIT */
/*
 * Host end, first half: a lane's life, and writing requests. Replies are read in reply.c.
 *
 * A request is a draft until it is committed: it grows in the segment, moves to a block when it outgrows it, and can be cut back or dropped.
 * All that decides where it lies is in private memory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/checked.h"
#include "doorbell.h"
#include "end.h"
#include "note.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "sys/packet.h"
#include "wire/batch.h"

#define POPULATE_FROM (256u << 10) /* bytes at once from which a call to page them in pays */
#define FORGET_PACKETS_MAX 4u      /* of one request; the rest waits for the next */

/* ---- life -------------------------------------------------------------------------------------------------------- */

enum sl_code sl__lane_create(const struct sl__lane_config *config, struct sl__lane **lane, struct sl_error *error) {
    *lane = NULL;
    struct sl__lane *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to describe a lane");
    }
    made->config = *config;
    made->is_host = true;
    made->own.fd = made->peer.fd = made->socket = made->host.worker_socket = made->worker.file = -1;
    made->host.cache.bytes_max = config->cache_bytes;
    enum sl_code code = sl__segment_create(&made->own, SL__SEGMENT_REQUEST, config, error);
    if (code == SL_OK) {
        code = sl__segment_create(&made->peer, SL__SEGMENT_RESPONSE, config, error);
    }
    if (code == SL_OK) {
        int pair[2];
        code = sl__packet_pair(pair, error);
        made->socket = pair[0];
        made->host.worker_socket = pair[1];
    }
    if (code != SL_OK) {
        sl__lane_destroy(made);
        return code;
    }
    sl__space_init(&made->space, made->own.payload_size);
    *lane = made;
    return SL_OK;
}

void sl__host_end_finish(struct sl__lane *lane) {
    struct sl__host_end *host = &lane->host;
    sl__lane_abort(lane);
    while (host->outstanding > 0) {
        sl__lane_retire(lane, true);
    }
    while (host->cache.first != NULL) {
        struct sl__block *block = host->cache.first;
        host->cache.first = block->next;
        sl__block_destroy(block);
    }
    for (size_t i = 0; i < host->buffers.capacity; i++) {
        if (host->buffers.entries[i].id != 0) {
            sl__buffer_drop(host->buffers.entries[i].pointer);
        }
    }
    sl__table_finish(&host->buffers);
    SL_ARRAY_FINISH(&host->forget);
    sl__close(&host->worker_socket);
}

void sl__lane_worker_fds(const struct sl__lane *lane, int fds[SL__LANE_FDS]) {
    SL_ASSERT(lane->is_host);
    fds[0] = lane->own.fd;
    fds[1] = lane->peer.fd;
    fds[2] = lane->host.worker_socket;
}

void sl__lane_close_worker_fds(struct sl__lane *lane) {
    sl__close(&lane->own.fd);
    sl__close(&lane->peer.fd);
    sl__close(&lane->host.worker_socket);
}

uint32_t sl__lane_outstanding(const struct sl__lane *lane) {
    return lane->host.outstanding;
}

uint64_t sl__lane_stale_count(const struct sl__lane *lane) {
    return lane->host.stale_count;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Tells the worker, with the next request, to forget an id. When memory is out it remembers a file too long: only space. */
static void forget_later(struct sl__lane *lane, uint64_t id) {
    if (SL_ARRAY_RESERVE(&lane->host.forget, 1)) {
        lane->host.forget.items[lane->host.forget.count++] = id;
    }
}

static void drop_blocks(struct sl__lane *lane, struct sl__block *block) {
    while (block != NULL) {
        struct sl__block *next = block->next;
        if (block->known) {
            forget_later(lane, block->id);
        }
        sl__block_destroy(block);
        block = next;
    }
}

/* A block is no longer in use, and its content no longer needed. */
static void idle_block(struct sl__lane *lane, struct sl__block *block) {
    drop_blocks(lane, sl__block_cache_put(&lane->host.cache, block));
}

/* Moves the draft to a block with room for `needed` bytes in all. */
static enum sl_code move_to_block(struct sl__lane *lane, uint64_t needed, struct sl_error *error) {
    struct sl__draft *draft = &lane->host.draft;
    struct sl__block *block = sl__block_cache_take(&lane->host.cache, needed);
    if (block == NULL) {
        size_t size = sl__block_size_for(needed);
        if (size == 0) {
            return sl_error_set(error, SL_E_LIMIT, "a payload of %llu bytes does not fit the address space",
                                (unsigned long long)needed);
        }
        if (draft->block != NULL && !draft->block->known) {
            enum sl_code code = sl__block_grow(draft->block, size, error);
            draft->memory = draft->block->memory;
            draft->room = draft->block->size;
            return code;
        }
        enum sl_code code = sl__block_create(SL__BLOCK_ID_BIT | ++lane->host.last_block, size, &block, error);
        if (code != SL_OK) {
            return code;
        }
    }
    if (draft->size > 0) {
        memcpy(block->memory, draft->memory, draft->size);
        block->touched = SL_MAX(block->touched, (size_t)draft->size);
    }
    if (draft->block != NULL) {
        idle_block(lane, draft->block);
    }
    draft->block = block;
    draft->memory = block->memory;
    draft->room = block->size;
    return SL_OK;
}

/* ---- writing a request ------------------------------------------------------------------------------------------- */

enum sl_code sl__lane_open(struct sl__lane *lane, struct sl_error *error) {
    struct sl__draft *draft = &lane->host.draft;
    SL_ASSERT(lane->is_host && !draft->open);
    if (lane->host.outstanding == SL__LANE_SLOTS) {
        return sl_error_set(error, SL_E_LIMIT, "lane %u has %d requests outstanding, which is the most it can",
                            (unsigned)lane->config.lane, SL__LANE_SLOTS);
    }
    draft->open = true;
    draft->size = 0;
    draft->block = NULL;
    draft->buffer_count = 0;
    sl__space_find(&lane->space, lane->space.expected, &draft->offset, &draft->room); /* may move when it grows */
    draft->room = SL_MIN(draft->room, (uint64_t)SL__LANE_INLINE_MAX);
    draft->memory = lane->own.payload + draft->offset;
    return SL_OK;
}

/* Makes room for `needed` bytes in all. */
static enum sl_code make_room(struct sl__lane *lane, uint64_t needed, struct sl_error *error) {
    struct sl__draft *draft = &lane->host.draft;
    if (draft->block == NULL && needed <= SL__LANE_INLINE_MAX) {
        uint64_t offset, room;
        sl__space_find(&lane->space, needed, &offset, &room);
        if (room >= needed) {
            /* Elsewhere there is more room, or has come to be since the draft was opened. */
            memmove(lane->own.payload + offset, draft->memory, draft->size);
            draft->offset = offset;
            draft->memory = lane->own.payload + offset;
            draft->room = SL_MIN(room, (uint64_t)SL__LANE_INLINE_MAX);
            return SL_OK;
        }
    }
    return move_to_block(lane, needed, error);
}

enum sl_code sl__lane_extend(struct sl__lane *lane, size_t size, uint8_t **memory, uint64_t *offset,
                             struct sl_error *error) {
    struct sl__draft *draft = &lane->host.draft;
    SL_ASSERT(draft->open);
    uint64_t begin, end;
    if (!sl__align_up_u64(draft->size, SL__BATCH_ALIGNMENT, &begin) || !sl__add_u64(begin, size, &end) ||
        end > lane->config.payload_bytes_max) {
        return sl_error_set(
            error, SL_E_LIMIT,
            "a payload of %llu bytes and %zu more is larger than the %llu that payload_bytes_max allows",
            (unsigned long long)draft->size, size, (unsigned long long)lane->config.payload_bytes_max);
    }
    if (end > draft->room) {
        enum sl_code code = make_room(lane, end, error);
        if (code != SL_OK) {
            return code;
        }
    }
    if (draft->block != NULL) {
        size_t fresh = SL_MAX(draft->block->touched, (size_t)begin);
        if (end > fresh && end - fresh >= POPULATE_FROM) {
            sl__populate(draft->block->memory, fresh, (size_t)end - fresh, true);
        }
        draft->block->touched = SL_MAX(draft->block->touched, (size_t)end);
    }
    memset(draft->memory + draft->size, SL__BATCH_FILLER, begin - draft->size);
    draft->size = end;
    *memory = draft->memory + begin;
    *offset = begin;
    return SL_OK;
}

const uint8_t *sl__lane_open_payload(const struct sl__lane *lane) {
    SL_ASSERT(lane->host.draft.open);
    return lane->host.draft.memory;
}

void sl__lane_truncate(struct sl__lane *lane, uint64_t size) {
    SL_ASSERT(lane->host.draft.open && size <= lane->host.draft.size);
    lane->host.draft.size = size;
}

enum sl_code sl__lane_attach_buffer(struct sl__lane *lane, struct sl_buffer *buffer, struct sl_error *error) {
    struct sl__host_end *host = &lane->host;
    struct sl__draft *draft = &host->draft;
    SL_ASSERT(draft->open);
    if (host->home != NULL && host->home != buffer->home) { /* its id may be that of another buffer here */
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "shared buffer %llu belongs to another runtime than the pool that is to read it",
                            (unsigned long long)buffer->id);
    }
    if (sl__table_get(&host->buffers, buffer->id) != NULL) {
        return SL_OK;
    }
    for (uint32_t i = 0; i < draft->buffer_count; i++) {
        if (draft->buffers[i] == buffer) {
            return SL_OK;
        }
    }
    if (draft->buffer_count == SL_COUNT_OF(draft->buffers)) {
        return sl_error_set(error, SL_E_LIMIT,
                            "one request brings at most %zu shared buffers that its worker has not seen before",
                            SL_COUNT_OF(draft->buffers));
    }
    if (!sl__table_reserve(&host->buffers, draft->buffer_count + 1)) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to remember a shared buffer");
    }
    if (host->home == NULL) {
        host->home = buffer->home;
        host->death_seen = atomic_load_explicit(&host->home->death_count, memory_order_acquire);
    }
    draft->buffers[draft->buffer_count++] = sl_buffer_ref(buffer);
    return SL_OK;
}

/* The draft's memory goes back where it came from. */
static void close_draft(struct sl__lane *lane) {
    struct sl__draft *draft = &lane->host.draft;
    for (uint32_t i = 0; i < draft->buffer_count; i++) {
        sl_buffer_unref(draft->buffers[i]);
    }
    draft->buffer_count = 0;
    draft->block = NULL;
    draft->spoiled = draft->announced = false;
    draft->open = false;
}

void sl__lane_abort(struct sl__lane *lane) {
    struct sl__draft *draft = &lane->host.draft;
    if (!draft->open) {
        return;
    }
    if (draft->block != NULL && draft->spoiled) {
        sl__block_destroy(draft->block); /* sealed and not known: of no further use */
    } else if (draft->block != NULL) {
        idle_block(lane, draft->block);
    }
    close_draft(lane);
}

/* ---- publishing a request ---------------------------------------------------------------------------------------- */

static enum sl_code refused(enum sl_code code, struct sl_error *error) {
    if (code != SL_E_AGAIN) {
        return code;
    }
    return sl_error_set(error, SL_E_LIMIT,
                        "the lane socket is full: the worker has not yet taken the memory files of earlier requests; "
                        "send this one again "
                        "when an earlier one is answered");
}

/* Tells the worker of the draft's files that it does not know. What was sent stays known, whether the request follows or not. */
static enum sl_code send_attachments(struct sl__lane *lane, struct sl_error *error) {
    struct sl__host_end *host = &lane->host;
    struct sl__draft *draft = &host->draft;
    struct sl__note notes[SL__NOTES_MAX];
    int fds[SL__NOTES_MAX];
    for (uint32_t done = 0; done < draft->buffer_count;) {
        uint32_t count = SL_MIN(draft->buffer_count - done, (uint32_t)SL__NOTES_MAX);
        for (uint32_t i = 0; i < count; i++) {
            struct sl_buffer *buffer = draft->buffers[done + i];
            notes[i] = (struct sl__note){.kind = SL__NOTE_ATTACH, .id = buffer->id, .size = buffer->size};
            fds[i] = buffer->fd;
        }
        enum sl_code code = sl__notes_send(lane->socket, notes, count, fds, count, false, error);
        if (code != SL_OK) {
            return refused(code, error);
        }
        host->packet_count++;
        for (uint32_t i = 0; i < count; i++) {
            struct sl_buffer *buffer = draft->buffers[done + i];
            sl__table_put(&host->buffers, buffer->id, buffer); /* room was made when it was attached */
            sl__buffer_hold(buffer);
        }
        done += count;
    }
    struct sl__block *block = draft->block;
    if (block != NULL && !block->known) {
        enum sl_code code = sl__block_seal(block, error);
        if (code == SL_OK) {
            notes[0] = (struct sl__note){.kind = SL__NOTE_ATTACH, .id = block->id, .size = block->size};
            code = sl__notes_send(lane->socket, notes, 1, &block->fd, 1, false, error);
        }
        if (code != SL_OK) {
            draft->spoiled = true;
            return refused(code, error);
        }
        host->packet_count++;
        block->known = true;
    }
    return SL_OK;
}

/* Looks for shared buffers that died since the last request. */
static void find_dead_buffers(struct sl__lane *lane) {
    struct sl__host_end *host = &lane->host;
    uint64_t deaths = host->home != NULL ? atomic_load_explicit(&host->home->death_count, memory_order_acquire) : 0;
    if (host->home == NULL || deaths == host->death_seen) {
        return;
    }
    host->death_seen = deaths;
    for (size_t i = 0; i < host->buffers.capacity;) {
        struct sl_buffer *buffer = host->buffers.entries[i].pointer;
        if (host->buffers.entries[i].id == 0 || !sl__buffer_dead(buffer)) {
            i++;
            continue;
        }
        forget_later(lane, buffer->id);
        sl__table_remove(&host->buffers, buffer->id); /* another entry may have moved to this place: look at it again */
        sl__buffer_drop(buffer);
    }
}

/* Tells the worker which files to forget, as far as the socket takes it now; the rest keeps until the next request. */
static void send_forgets(struct sl__lane *lane) {
    struct sl__host_end *host = &lane->host;
    for (uint32_t packets = 0; host->forget.count > 0 && packets < FORGET_PACKETS_MAX; packets++) {
        struct sl__note notes[SL__NOTES_MAX];
        size_t count = SL_MIN(host->forget.count, (size_t)SL__NOTES_MAX);
        for (size_t i = 0; i < count; i++) {
            notes[i] = (struct sl__note){.kind = SL__NOTE_FORGET, .id = host->forget.items[host->forget.count - 1 - i]};
        }
        if (sl__notes_send(lane->socket, notes, count, NULL, 0, false, NULL) != SL_OK) {
            return;
        }
        host->packet_count++;
        host->forget.count -= count;
    }
}

enum sl_code sl__lane_announce(struct sl__lane *lane, struct sl_error *error) {
    struct sl__draft *draft = &lane->host.draft;
    SL_ASSERT(draft->open && !draft->spoiled);
    if (draft->announced || (draft->buffer_count == 0 && draft->block == NULL)) {
        return SL_OK;
    }
    enum sl_code code = send_attachments(lane, error);
    draft->announced = code == SL_OK;
    return code;
}

enum sl_code sl__lane_commit(struct sl__lane *lane, enum sl__request_kind kind, uint32_t head_size, uint32_t item_count,
                             uint64_t *sequence, struct sl_error *error) {
    struct sl__host_end *host = &lane->host;
    struct sl__draft *draft = &host->draft;
    SL_ASSERT(draft->open && head_size <= draft->size);
    SL_ASSERT(host->outstanding < SL__LANE_SLOTS);
    enum sl_code code = sl__lane_announce(lane, error);
    if (code != SL_OK) {
        sl__lane_abort(lane);
        return code;
    }
    find_dead_buffers(lane);
    if (host->forget.count > 0) {
        send_forgets(lane);
    }
    struct sl__slot slot = {.sequence = ++host->last_sequence,
                            .offset = draft->block == NULL && draft->size > 0 ? draft->offset : 0,
                            .size = draft->size,
                            .file = draft->block != NULL ? draft->block->id : 0,
                            .generation = lane->config.generation,
                            .kind = kind,
                            .head_size = head_size,
                            .item_count = item_count,
                            .packet_count = host->packet_count};
    if (draft->block == NULL && draft->size > 0) {
        sl__space_take(&lane->space, draft->offset, draft->size);
    }
    *sl__sent_at(lane, host->outstanding) = (struct sl__sent){.sequence = slot.sequence,
                                                              .offset = slot.offset,
                                                              .size = slot.size,
                                                              .block = draft->block,
                                                              .item_count = item_count};
    host->outstanding++;
    host->packet_count = 0;
    close_draft(lane);
    sl__slot_write(&lane->own, lane->published, &slot);
    sl__doorbell_ring(&lane->own, &lane->peer, ++lane->published);
    *sequence = slot.sequence;
    return SL_OK;
}

const uint8_t *sl__lane_request(const struct sl__lane *lane, uint32_t index, uint64_t *size, uint64_t *sequence) {
    SL_ASSERT(index < lane->host.outstanding);
    const struct sl__sent *sent = sl__sent_at(lane, index);
    *size = sent->size;
    *sequence = sent->sequence;
    return sent->block != NULL ? sent->block->memory : lane->own.payload + sent->offset;
}

uint64_t sl__lane_started(const struct sl__lane *lane) {
    return atomic_load_explicit(&lane->peer.memory->header.started, memory_order_acquire);
}

void sl__lane_retire(struct sl__lane *lane, bool kept) {
    struct sl__host_end *host = &lane->host;
    SL_ASSERT(host->outstanding > 0);
    struct sl__sent *sent = sl__sent_at(lane, 0);
    if (sent->block != NULL) {
        if (kept) {
            sl__block_destroy(sent->block); /* the worker has taken it out of its table by itself */
        } else {
            idle_block(lane, sent->block);
        }
    } else if (sent->size > 0) {
        sl__space_release(&lane->space);
    }
    *sent = (struct sl__sent){0};
    host->first = (host->first + 1) % SL__LANE_SLOTS;
    host->outstanding--;
    host->replied -= host->replied > 0;
}
