/* SPDX-License-Identifier: MIT */
/*
 * Worker end: reads requests, writes replies.
 *
 * The worker trusts its host not to be hostile, but checks what it reads with the same care: a host of another build, or a bug, should
 * be a message and not a crash of the interpreter. Payloads in the request segment are read in place: the host leaves them alone until
 * it has taken the reply.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/checked.h"
#include "doorbell.h"
#include "end.h"
#include "lane/backlog.h"
#include "note.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "sys/process.h"

#define POPULATE_FROM (128u << 10)

/* A mapping with what only this end needs to know. */
struct file {
    struct sl__mapping mapping; /* first: sl__mapping_unref frees through it */
    size_t populated;           /* bytes from the start that are paged in */
};

struct sl__mapping *sl__mapping_ref(struct sl__mapping *mapping) {
    atomic_fetch_add_explicit(&mapping->refs, 1, memory_order_relaxed);
    return mapping;
}

void sl__mapping_unref(struct sl__mapping *mapping) {
    /* acq_rel: what other holders read must be done before the memory goes. */
    if (mapping != NULL && atomic_fetch_sub_explicit(&mapping->refs, 1, memory_order_acq_rel) == 1) {
        sl__unmap((void *)(uintptr_t)mapping->data, mapping->size);
        free(SL_CONTAINER_OF(mapping, struct file, mapping));
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

enum sl_code sl__lane_attach(const int fds[SL__LANE_FDS], const struct sl__lane_config *config, struct sl__lane **lane,
                             struct sl_error *error) {
    *lane = NULL;
    int request = fds[0], response = fds[1], socket = fds[2];
    struct sl__lane *made = calloc(1, sizeof *made);
    if (made == NULL) {
        sl__close(&request);
        sl__close(&response);
        sl__close(&socket);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to describe a lane");
    }
    made->config = *config;
    made->own.fd = made->host.worker_socket = made->worker.file = -1;
    made->socket = socket;
    made->worker.pid = sl__process_id();
    sl__spin_init(&made->worker.spin);
    enum sl_code code = sl__segment_attach(&made->peer, SL__SEGMENT_REQUEST, config, request, error);
    if (code != SL_OK) {
        sl__close(&response);
    } else {
        code = sl__segment_attach(&made->own, SL__SEGMENT_RESPONSE, config, response, error);
    }
    if (code != SL_OK) {
        sl__lane_destroy(made);
        return code;
    }
    sl__close(&made->own.fd);
    sl__close(&made->peer.fd);
    sl__space_init(&made->space, made->own.payload_size);
    *lane = made;
    return SL_OK;
}

static void discard_file(struct sl__worker_end *worker) {
    sl__unmap(worker->file_memory, worker->file_size);
    worker->file_memory = NULL;
    worker->file_size = 0;
    sl__close(&worker->file);
}

void sl__worker_end_finish(struct sl__lane *lane) {
    struct sl__worker_end *worker = &lane->worker;
    discard_file(worker);
    for (size_t i = 0; i < worker->files.capacity; i++) {
        if (worker->files.entries[i].id != 0) {
            sl__mapping_unref(worker->files.entries[i].pointer); /* a view that Python holds keeps its mapping */
        }
    }
    sl__table_finish(&worker->files);
}

void sl__lane_destroy(struct sl__lane *lane) {
    if (lane == NULL) {
        return;
    }
    if (lane->is_host) {
        sl__host_end_finish(lane);
    } else {
        sl__worker_end_finish(lane);
    }
    sl__segment_finish(&lane->own);
    sl__segment_finish(&lane->peer);
    sl__close(&lane->socket);
    free(lane);
}

static enum sl_code check_process(const struct sl__lane *lane, struct sl_error *error) {
    if (sl__process_id() == lane->worker.pid) {
        return SL_OK;
    }
    return sl_error_set(error, SL_E_UNSUPPORTED,
                        "the lane of worker process %ld was used in a forked child of it; only the worker itself can "
                        "take batches and answer "
                        "them, so end the child with os._exit()",
                        (long)lane->worker.pid);
}

/* ---- memory files ------------------------------------------------------------------------------------------------ */

static enum sl_code attach_file(struct sl__lane *lane, const struct sl__note *note, int fd, struct sl_error *error) {
    uint32_t seals;
    uint64_t size;
    enum sl_code code = sl__memory_file_inspect(fd, &seals, &size, error);
    if (code != SL_OK) {
        return code;
    }
    if ((seals & SL__SEAL_SHRINK) == 0 || note->size == 0 || size < note->size || note->size > SIZE_MAX) {
        return sl_error_set(
            error, SL_E_PROTOCOL,
            "memory file %llu has %llu bytes and seals 0x%x; %llu bytes, sealed against shrinking, were announced",
            (unsigned long long)note->id, (unsigned long long)size, (unsigned)seals, (unsigned long long)note->size);
    }
    if (sl__table_get(&lane->worker.files, note->id) != NULL) {
        return sl_error_set(error, SL_E_PROTOCOL, "memory file %llu was sent twice", (unsigned long long)note->id);
    }
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL || !sl__table_reserve(&lane->worker.files, 1)) {
        free(file);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to describe a memory file");
    }
    void *memory;
    code = sl__map(fd, (size_t)note->size, 0, &memory, error);
    if (code != SL_OK) {
        free(file);
        return code;
    }
    atomic_init(&file->mapping.refs, 1);
    file->mapping.id = note->id;
    file->mapping.data = memory;
    file->mapping.size = (size_t)note->size;
    sl__table_put(&lane->worker.files, note->id, &file->mapping);
    return SL_OK;
}

/* Takes in one packet of notes. */
static enum sl_code take_packet(struct sl__lane *lane, struct sl_error *error) {
    struct sl__note notes[SL__NOTES_MAX];
    int fds[SL__NOTES_MAX];
    size_t count, fd_count, next = 0;
    enum sl_code code = sl__notes_receive(lane->socket, notes, &count, fds, &fd_count, error);
    if (code == SL_E_AGAIN || code == SL_E_END) {
        return sl_error_set(error, SL_E_PROTOCOL, "a request refers to memory files that the host has not sent");
    }
    for (size_t i = 0; i < count && code == SL_OK; i++) {
        if (notes[i].kind == SL__NOTE_ATTACH) {
            code = attach_file(lane, &notes[i], fds[next++], error);
        } else if (notes[i].kind == SL__NOTE_FORGET) {
            sl__mapping_unref(sl__table_remove(&lane->worker.files, notes[i].id));
        } else {
            code = sl_error_set(error, SL_E_PROTOCOL, "the host sent a note that only a worker sends");
        }
    }
    for (size_t i = 0; i < fd_count; i++) {
        sl__close(&fds[i]); /* the mapping is enough */
    }
    return code;
}

struct sl__mapping *sl__lane_buffer(struct sl__lane *lane, uint64_t id) {
    return (id & SL__BLOCK_ID_BIT) == 0 ? sl__table_get(&lane->worker.files, id) : NULL;
}

/* ---- taking a request -------------------------------------------------------------------------------------------- */

static enum sl_code check_request(const struct sl__lane *lane, const struct sl__slot *slot, struct sl_error *error) {
    if (slot->generation != lane->config.generation || slot->sequence <= lane->worker.request.sequence) {
        return sl_error_set(error, SL_E_PROTOCOL,
                            "request %llu of generation %u came to generation %u after request %llu",
                            (unsigned long long)slot->sequence, (unsigned)slot->generation,
                            (unsigned)lane->config.generation, (unsigned long long)lane->worker.request.sequence);
    }
    enum sl_code code = sl__slot_check(slot, &lane->config, lane->peer.payload_size, error);
    if (code != SL_OK) {
        return code;
    }
    if ((slot->kind != SL__REQUEST_BATCH && slot->kind != SL__REQUEST_EACH) || slot->flags != 0 ||
        slot->head_size > slot->size) {
        return sl_error_set(error, SL_E_PROTOCOL,
                            "request %llu is of kind %u with flags 0x%x and a head of %u of its %llu bytes",
                            (unsigned long long)slot->sequence, (unsigned)slot->kind, (unsigned)slot->flags,
                            (unsigned)slot->head_size, (unsigned long long)slot->size);
    }
    return SL_OK;
}

/* The file that a request lies in, paged in as far as it is used: one call is much cheaper than a fault for each page. */
static enum sl_code find_payload(struct sl__lane *lane, const struct sl__slot *slot, struct sl__mapping **mapping,
                                 struct sl_error *error) {
    *mapping = sl__table_get(&lane->worker.files, slot->file);
    if (*mapping == NULL || slot->size > (*mapping)->size) {
        return sl_error_set(
            error, SL_E_PROTOCOL,
            "request %llu lies in memory file %llu, which this worker does not have, or is smaller than that",
            (unsigned long long)slot->sequence, (unsigned long long)slot->file);
    }
    struct file *file = SL_CONTAINER_OF(*mapping, struct file, mapping);
    if (slot->size > file->populated && slot->size - file->populated >= POPULATE_FROM) {
        sl__populate((void *)(uintptr_t)(*mapping)->data, file->populated, (size_t)slot->size - file->populated, false);
        file->populated = (size_t)slot->size;
    }
    return SL_OK;
}

uint32_t sl__lane_published(const struct sl__lane *lane) {
    return sl__doorbell_tail(&lane->peer);
}

uint32_t sl__lane_taken(const struct sl__lane *lane) {
    return lane->taken;
}

enum sl_code sl__lane_take(struct sl__lane *lane, struct sl__request *request, struct sl_error *error) {
    struct sl__worker_end *worker = &lane->worker;
    SL_ASSERT(!lane->is_host && !worker->taken);
    enum sl_code code = check_process(lane, error);
    if (code != SL_OK) {
        return code;
    }
    uint32_t ready = sl__doorbell_tail(&lane->peer) - lane->taken;
    if (ready == 0) {
        return SL_E_AGAIN;
    }
    if (ready > SL__LANE_SLOTS) {
        return sl_error_set(error, SL_E_PROTOCOL,
                            "the host says that it has published %u requests at once; a lane has %d slots",
                            (unsigned)ready, SL__LANE_SLOTS);
    }
    struct sl__slot slot;
    sl__slot_read(&lane->peer, lane->taken, &slot);
    code = check_request(lane, &slot, error);
    for (uint32_t i = 0; i < slot.packet_count && code == SL_OK; i++) { /* ends when the socket is empty */
        code = take_packet(lane, error);
    }
    struct sl__mapping *mapping = NULL;
    if (code == SL_OK && slot.file != 0) {
        code = find_payload(lane, &slot, &mapping, error);
    }
    if (code != SL_OK) {
        return code;
    }
    lane->taken++;
    atomic_store_explicit(&lane->own.memory->header.started, slot.sequence, memory_order_release);
    atomic_store_explicit(&lane->own.memory->header.head, lane->taken, memory_order_release);
    worker->taken = true;
    worker->request = (struct sl__request){.sequence = slot.sequence,
                                           .kind = (enum sl__request_kind)slot.kind,
                                           .head_size = slot.head_size,
                                           .item_count = slot.item_count,
                                           .data = mapping != NULL ? mapping->data : lane->peer.payload + slot.offset,
                                           .size = (size_t)slot.size,
                                           .mapping = mapping};
    *request = worker->request;
    return SL_OK;
}

/* ---- replying ---------------------------------------------------------------------------------------------------- */

/* Gives back the space of replies that the host has copied. */
static enum sl_code release_read(struct sl__lane *lane, struct sl_error *error) {
    struct sl__worker_end *worker = &lane->worker;
    uint32_t head = atomic_load_explicit(&lane->peer.memory->header.head, memory_order_acquire);
    if (head - worker->released > lane->published - worker->released) {
        return sl_error_set(error, SL_E_PROTOCOL, "the host says that it has read %u replies; %u were published",
                            (unsigned)head, (unsigned)lane->published);
    }
    for (; worker->released != head; worker->released++) {
        if (worker->in_segment[worker->released % SL__LANE_SLOTS]) {
            sl__space_release(&lane->space);
        }
    }
    return SL_OK;
}

enum sl_code sl__lane_reply_open(struct sl__lane *lane, uint8_t **memory, size_t *capacity, struct sl_error *error) {
    struct sl__worker_end *worker = &lane->worker;
    SL_ASSERT(worker->taken);
    enum sl_code code = release_read(lane, error);
    if (code != SL_OK) {
        return code;
    }
    discard_file(worker); /* of a reply that was begun and given up */
    sl__space_find(&lane->space, lane->space.expected, &worker->offset, &worker->room); /* may move when it grows */
    worker->room = SL_MIN(worker->room, lane->config.payload_bytes_max);
    worker->open = true;
    *memory = lane->own.payload + worker->offset;
    *capacity = (size_t)worker->room;
    return SL_OK;
}

enum sl_code sl__lane_reply_grow(struct sl__lane *lane, size_t used, size_t needed, uint8_t **memory, size_t *capacity,
                                 struct sl_error *error) {
    struct sl__worker_end *worker = &lane->worker;
    SL_ASSERT(worker->open && used <= (worker->file >= 0 ? worker->file_size : worker->room));
    if (needed > lane->config.payload_bytes_max) {
        return sl_error_set(error, SL_E_LIMIT,
                            "a result of %zu bytes or more is larger than the %llu that payload_bytes_max allows",
                            needed, (unsigned long long)lane->config.payload_bytes_max);
    }
    if (worker->file < 0) {
        uint64_t offset, room;
        sl__space_find(&lane->space, needed, &offset, &room);
        if (room >= needed) {
            memmove(lane->own.payload + offset, lane->own.payload + worker->offset, used);
            worker->offset = offset;
            worker->room = SL_MIN(room, lane->config.payload_bytes_max);
            *memory = lane->own.payload + offset;
            *capacity = (size_t)worker->room;
            return SL_OK;
        }
    }
    /* At least twice what there was, so that the sum of what is moved stays below the final size. */
    uint64_t least = sl__mul_u64_saturating(worker->file >= 0 ? worker->file_size : worker->room, 2);
    least = SL_MIN(least, lane->config.payload_bytes_max);
    size_t size = sl__block_size_for(SL_MAX((uint64_t)needed, least));
    if (size == 0) {
        return sl_error_set(error, SL_E_LIMIT, "a result of %zu bytes does not fit the address space", needed);
    }
    enum sl_code code;
    if (worker->file >= 0) {
        code = size > worker->file_size ? sl__memory_file_resize(worker->file, size, error) : SL_OK;
        if (code == SL_OK && size > worker->file_size) {
            code = sl__remap(&worker->file_memory, worker->file_size, size, error);
        }
        if (code != SL_OK) {
            return code;
        }
    } else {
        int file;
        void *file_memory;
        code = sl__memory_file_create("slither-reply", size, &file, error);
        if (code == SL_OK) {
            code = sl__map(file, size, SL__MAP_WRITE, &file_memory, error);
            if (code != SL_OK) {
                sl__close(&file);
            }
        }
        if (code != SL_OK) {
            return code;
        }
        worker->file = file;
        worker->file_memory = file_memory;
        memcpy(file_memory, lane->own.payload + worker->offset, used);
    }
    worker->file_size = SL_MAX(size, worker->file_size);
    if (needed > used && needed - used >= POPULATE_FROM) {
        sl__populate(worker->file_memory, used, needed - used, true);
    }
    *memory = worker->file_memory;
    *capacity = (size_t)SL_MIN((uint64_t)worker->file_size, lane->config.payload_bytes_max);
    return SL_OK;
}

/* Makes the reply's file unchangeable and sends it. Only a file without writable mappings can be sealed. */
static enum sl_code send_file(struct sl__lane *lane, struct sl_error *error) {
    struct sl__worker_end *worker = &lane->worker;
    struct sl__note note = {
        .kind = SL__NOTE_REPLY, .id = SL__BLOCK_ID_BIT | (worker->last_file + 1), .size = worker->file_size};
    sl__unmap(worker->file_memory, worker->file_size);
    worker->file_memory = NULL;
    enum sl_code code =
        sl__memory_file_seal(worker->file, SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_WRITE | SL__SEAL_SEAL, error);
    if (code == SL_OK) {
        code = sl__notes_send(lane->socket, &note, 1, &worker->file, 1, true, error);
    }
    if (code == SL_OK) {
        worker->last_file++;
    }
    discard_file(worker);
    return code;
}

/* Whether somebody besides the table holds the request's file: then it leaves the table, and the host must not use it again. */
static bool forget_kept(struct sl__lane *lane) {
    struct sl__worker_end *worker = &lane->worker;
    struct sl__mapping *mapping = worker->request.mapping;
    worker->request.mapping = NULL;
    /* acquire: a holder that has let go is done with reading. Nobody can become a holder now: views come from views. */
    if (mapping == NULL || atomic_load_explicit(&mapping->refs, memory_order_acquire) == 1) {
        return false;
    }
    sl__table_remove(&worker->files, mapping->id);
    sl__mapping_unref(mapping);
    return true;
}

enum sl_code sl__lane_reply_commit(struct sl__lane *lane, enum sl_code reply_code, uint32_t item_count, size_t size,
                                   uint32_t flags, struct sl_error *error) {
    struct sl__worker_end *worker = &lane->worker;
    SL_ASSERT(worker->taken && (worker->open || size == 0));
    SL_ASSERT((flags & ~(uint32_t)SL__REPLY_STATE) == 0);
    enum sl_code code = check_process(lane, error);
    if (code == SL_OK && worker->open == false) {
        code = release_read(lane, error);
    }
    if (code == SL_OK && lane->published - worker->released >= SL__LANE_SLOTS) {
        code = release_read(lane, error);
        if (code == SL_OK && lane->published - worker->released >= SL__LANE_SLOTS) {
            code = sl_error_set(error, SL_E_PROTOCOL, "the host sends requests but has not read the last %d replies",
                                SL__LANE_SLOTS);
        }
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl__slot slot = {.sequence = worker->request.sequence,
                            .size = size,
                            .generation = lane->config.generation,
                            .kind = reply_code,
                            .flags = flags,
                            .item_count = item_count};
    bool in_segment = false;
    if (worker->file >= 0 && size > 0) {
        SL_ASSERT(size <= worker->file_size);
        code = send_file(lane, error);
        if (code != SL_OK) {
            worker->open = false;
            return code;
        }
        slot.file = SL__BLOCK_ID_BIT | worker->last_file;
        slot.packet_count = 1;
    } else if (size > 0) {
        SL_ASSERT(size <= worker->room);
        sl__space_take(&lane->space, worker->offset, size);
        slot.offset = worker->offset;
        in_segment = true;
    }
    discard_file(worker);
    if (forget_kept(lane)) {
        slot.flags |= SL__REPLY_KEPT;
    }
    worker->in_segment[lane->published % SL__LANE_SLOTS] = in_segment;
    worker->open = false;
    worker->taken = false;
    sl__slot_write(&lane->own, lane->published, &slot);
    sl__doorbell_ring(&lane->own, &lane->peer, ++lane->published);
    return SL_OK;
}
