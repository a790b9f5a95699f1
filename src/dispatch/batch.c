/* SPDX-License-Identifier: MIT */
/* Batches: their memory, and copying items between them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "run.h"
#include "wire/batch.h"

#define SPARE_MAX 64

/* Makes room for `needed` elements of `size` bytes. The memory never shrinks. */
static bool grow(void **memory, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) {
        return true;
    }
    size_t wanted = *capacity < 16 ? 16 : *capacity;
    while (wanted < needed) {
        wanted += wanted / 2;
    }
    if (wanted > SIZE_MAX / size) {
        return false;
    }
    void *grown = realloc(*memory, wanted * size);
    if (grown == NULL) {
        return false;
    }
    *memory = grown;
    *capacity = wanted;
    return true;
}

struct sl__batch *sl__batch_get(struct sl__run *run) {
    struct sl__link *link = sl__list_pop_front(&run->spare);
    if (link != NULL) {
        return SL_CONTAINER_OF(link, struct sl__batch, link);
    }
    struct sl__batch *batch = calloc(1, sizeof *batch);
    if (batch != NULL) {
        batch->worker = SL__ANY_WORKER;
    }
    return batch;
}

static void release_contents(struct sl__batch *batch) {
    SL_ASSERT(!sl__list_contains_link(&batch->link));
    for (uint32_t i = 0; i < batch->buffer_count; i++) {
        sl_buffer_unref(batch->buffers[i]);
    }
    sl__blob_unref(batch->blob);
    if (batch->error != NULL) {
        sl_error_finish(batch->error);
        free(batch->error);
    }
}

void sl__batch_put(struct sl__run *run, struct sl__batch *batch) {
    if (run->spare.count >= SPARE_MAX || batch->data_capacity > (1u << 20)) {
        sl__batch_destroy(batch);
        return;
    }
    release_contents(batch);
    struct sl__batch kept = {
        .entries = batch->entries,
        .capacity = batch->capacity,
        .data = batch->data,
        .data_capacity = batch->data_capacity,
        .meta = batch->meta,
        .meta_capacity = batch->meta_capacity,
        .buffers = batch->buffers,
        .buffer_capacity = batch->buffer_capacity,
        .worker = SL__ANY_WORKER,
    };
    *batch = kept;
    sl__list_push_front(&run->spare, &batch->link);
}

void sl__batch_destroy(struct sl__batch *batch) {
    if (batch == NULL) {
        return;
    }
    release_contents(batch);
    free(batch->entries);
    free(batch->data);
    free(batch->meta);
    free(batch->buffers);
    free(batch);
}

struct sl__entry *sl__batch_add(struct sl__batch *batch) {
    size_t capacity = batch->capacity;
    if (!grow((void **)&batch->entries, &capacity, (size_t)batch->count + 1, sizeof *batch->entries)) {
        return NULL;
    }
    batch->capacity = (uint32_t)capacity;
    struct sl__entry *entry = &batch->entries[batch->count++];
    memset(entry, 0, sizeof *entry);
    return entry;
}

bool sl__batch_add_meta(struct sl__batch *batch, struct sl__entry *entry, struct sl_value meta) {
    if (meta.size == 0) {
        return true;
    }
    if (meta.size > UINT32_MAX - batch->meta_size ||
        !grow((void **)&batch->meta, &batch->meta_capacity, batch->meta_size + meta.size, 1)) {
        return false;
    }
    memcpy(batch->meta + batch->meta_size, meta.data, meta.size);
    entry->meta_offset = (uint32_t)batch->meta_size;
    entry->meta_size = (uint32_t)meta.size;
    batch->meta_size += meta.size;
    return true;
}

bool sl__batch_add_buffers(struct sl__batch *batch, struct sl_buffer *const *buffers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        bool known = false;
        for (uint32_t k = 0; k < batch->buffer_count && !known; k++) {
            known = batch->buffers[k] == buffers[i];
        }
        if (known) {
            continue;
        }
        size_t capacity = batch->buffer_capacity;
        if (!grow((void **)&batch->buffers, &capacity, (size_t)batch->buffer_count + 1, sizeof(struct sl_buffer *))) {
            return false;
        }
        batch->buffer_capacity = (uint32_t)capacity;
        batch->buffers[batch->buffer_count++] = sl_buffer_ref(buffers[i]);
    }
    return true;
}

uint8_t *sl__batch_extend(struct sl__batch *batch, size_t size, uint64_t *offset) {
    size_t start = sl__batch_pad(batch->data_size);
    if (size > SIZE_MAX / 2 || !grow((void **)&batch->data, &batch->data_capacity, start + size, 1)) {
        return NULL;
    }
    memset(batch->data + batch->data_size, SL__BATCH_FILLER, start - batch->data_size);
    batch->data_size = start + size;
    *offset = start;
    return batch->data + start;
}

bool sl__batch_copy_entry(struct sl__batch *to, const struct sl__batch *from, uint32_t index, const uint8_t *base) {
    const struct sl__entry source = from->entries[index];
    uint64_t offset;
    uint8_t *memory = sl__batch_extend(to, source.size, &offset);
    struct sl__entry *entry = memory == NULL ? NULL : sl__batch_add(to);
    if (entry == NULL) {
        return false;
    }
    memcpy(memory, base + source.offset, source.size);
    *entry = source;
    entry->offset = offset;
    entry->meta_size = 0;
    struct sl_value meta = {from->meta + source.meta_offset, source.meta_size};
    return sl__batch_add_meta(to, entry, meta);
}

bool sl__batch_spill(struct sl__batch *batch, const uint8_t *base) {
    if (batch->count == 0) {
        return true;
    }
    const struct sl__entry *first = &batch->entries[0];
    const struct sl__entry *last = &batch->entries[batch->count - 1];
    /* Offsets stay multiples of 8 from the start of the copy, because the first one is. */
    uint64_t start = first->offset;
    size_t size = (size_t)(last->offset + last->size - start);
    if (!grow((void **)&batch->data, &batch->data_capacity, size, 1)) {
        return false;
    }
    memcpy(batch->data, base + start, size);
    batch->data_size = size;
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].offset -= start;
    }
    return true;
}

void sl__batch_set_error(struct sl__batch *batch, const struct sl_error *error) {
    if (batch->error == NULL) {
        batch->error = calloc(1, sizeof *batch->error);
        if (batch->error == NULL) {
            return; /* the outcome then carries the code alone */
        }
        *batch->error = (struct sl_error)SL_ERROR_INIT;
    }
    sl_error_copy(batch->error, error);
}
