/* SPDX-License-Identifier: MIT */
#include "store/control.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/checked.h"
#include "base/macros.h"
#include "sys/descriptor.h"
#include "sys/futex.h"
#include "sys/memory_file.h"
#include "sys/path.h"
#include "sys/process.h"

SL_STATIC_ASSERT(sizeof(struct sl__control) <= SL__CONTROL_HEAD_BYTES, "the ring starts behind the head");
SL_STATIC_ASSERT(ATOMIC_LLONG_LOCK_FREE == 2, "atomics are shared between processes");

/* One record: word 0 is words | kind << 16 | key size << 32, word 1 the table's number, word 2 the version, then the key. */
#define RECORD_HEAD_WORDS 3
#define RECORD_WORDS_MAX (RECORD_HEAD_WORDS + (SL_STORE_KEY_BYTES_MAX + 7) / 8)

static enum sl_code file_path(const char *directory, char *path, size_t size, struct sl_error *error) {
    int length = snprintf(path, size, "%s/control", directory);
    if (length < 0 || (size_t)length >= size) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the store's path is longer than a path can be");
    }
    return SL_OK;
}

static _Atomic uint64_t *ring_of(const struct sl__control *control) {
    return (_Atomic uint64_t *)(void *)((char *)(uintptr_t)control + SL__CONTROL_HEAD_BYTES);
}

static void say_closed(struct sl__control *control) {
    atomic_store(&control->catalog_version, UINT64_MAX); /* nobody trusts what it remembers any more */
    atomic_store(&control->closed, 1);
    atomic_fetch_add(&control->bell, 1);
    sl__futex_wake(&control->bell, UINT32_MAX, SL__FUTEX_SHARED);
}

/* Readers may still follow the control file of a writer that was killed. */
static void retire(const char *path) {
    int fd;
    uint64_t size;
    void *memory;
    if (sl__file_open(path, true, &fd, &size, NULL) != SL_OK) {
        return;
    }
    if (size >= SL__CONTROL_HEAD_BYTES && sl__map(fd, SL__CONTROL_HEAD_BYTES, SL__MAP_WRITE, &memory, NULL) == SL_OK) {
        if (((struct sl__control *)memory)->magic == SL__CONTROL_MAGIC) {
            say_closed(memory);
        }
        sl__unmap(memory, SL__CONTROL_HEAD_BYTES);
    }
    sl__close(&fd);
}

enum sl_code sl__control_create(const char *directory, uint32_t tables_max, uint64_t change_bytes,
                                struct sl__control **control, size_t *mapped_size, struct sl_error *error) {
    char path[PATH_MAX];
    int fd;
    void *memory;
    *control = NULL;
    enum sl_code code = file_path(directory, path, sizeof(path), error);
    if (code != SL_OK) {
        return code;
    }
    retire(path);
    code = sl__file_remove(path, error);
    if (code != SL_OK) {
        return code;
    }
    uint64_t ring_bytes = sl__power_of_two_from(change_bytes);
    size_t size = SL__CONTROL_HEAD_BYTES + ring_bytes;
    code = sl__file_reserve(path, size, &fd, error);
    if (code != SL_OK) {
        (void)sl__file_remove(path, NULL);
        return code;
    }
    code = sl__map(fd, size, SL__MAP_WRITE, &memory, error);
    sl__close(&fd);
    if (code != SL_OK) {
        return code;
    }
    struct sl__control *made = memory;
    made->layout = SL__CONTROL_LAYOUT;
    made->tables_max = tables_max;
    made->owner_pid = sl__process_id();
    made->ring_words = ring_bytes / sizeof(uint64_t);
    atomic_store(&made->catalog_version, 0);
    made->magic = SL__CONTROL_MAGIC;
    *control = made;
    *mapped_size = size;
    return SL_OK;
}

void sl__control_destroy(struct sl__control *control, size_t mapped_size) {
    if (control != NULL) {
        say_closed(control);
        sl__unmap(control, mapped_size);
    }
}

void sl__change_list_add(struct sl__change_list *list, const struct sl__control *control, enum sl_change_kind kind,
                         uint32_t table_number, const uint8_t *key, size_t key_size) {
    size_t words = RECORD_HEAD_WORDS + (key_size + 7) / 8;
    SL_ASSERT(key_size <= SL_STORE_KEY_BYTES_MAX);
    if (list->overflow || list->count + words > control->ring_words / 2 || !SL_ARRAY_RESERVE(list, words)) {
        list->overflow = true;
        return;
    }
    uint64_t *at = list->items + list->count;
    at[words - 1] = 0; /* the bytes behind the key */
    at[0] = words | (uint64_t)kind << 16 | (uint64_t)key_size << 32;
    at[1] = table_number;
    at[2] = 0;
    if (key_size > 0) {
        memcpy(at + RECORD_HEAD_WORDS, key, key_size);
    }
    list->count += words;
}

void sl__change_list_finish(struct sl__change_list *list) {
    SL_ARRAY_FINISH(list);
    list->overflow = false;
}

void sl__control_publish(struct sl__control *control, uint64_t version, struct sl__change_list *list) {
    _Atomic uint64_t *ring = ring_of(control);
    uint64_t words = control->ring_words, mask = words - 1;
    uint64_t head = atomic_load_explicit(&control->head, memory_order_relaxed);
    if (list->overflow) {
        /* Everybody who has not read up to here, and beyond, has lost something: nobody has. */
        atomic_store_explicit(&control->tail, head + words, memory_order_relaxed);
        atomic_store_explicit(&control->head, head + words, memory_order_release);
    } else if (list->count > 0) {
        uint64_t next = head + list->count;
        uint64_t tail = atomic_load_explicit(&control->tail, memory_order_relaxed);
        if (next > words && next - words > tail) {
            atomic_store_explicit(&control->tail, next - words, memory_order_relaxed);
        }
        atomic_thread_fence(memory_order_release);
        for (size_t at = 0; at < list->count;) {
            size_t record = list->items[at] & 0xffff;
            list->items[at + 2] = version;
            for (size_t i = 0; i < record; i++, at++) {
                atomic_store_explicit(&ring[(head + at) & mask], list->items[at], memory_order_relaxed);
            }
        }
        atomic_store_explicit(&control->head, next, memory_order_release);
    }
    list->count = 0;
    list->overflow = false;
    atomic_store_explicit(&control->version, version, memory_order_release);
    atomic_fetch_add_explicit(&control->bell, 1, memory_order_release);
    sl__futex_wake(&control->bell, UINT32_MAX, SL__FUTEX_SHARED);
}

/* ---- readers ---------------------------------------------------------------------------------------------------- */

enum sl_code sl__control_attach(const char *directory, const struct sl__control **control, size_t *mapped_size,
                                struct sl_error *error) {
    char path[PATH_MAX];
    int fd;
    uint64_t size;
    void *memory;
    *control = NULL;
    enum sl_code code = file_path(directory, path, sizeof(path), error);
    if (code == SL_OK) {
        code = sl__file_open(path, false, &fd, &size, error);
    }
    if (code != SL_OK) {
        return code;
    }
    if (size <= SL__CONTROL_HEAD_BYTES) {
        sl__close(&fd);
        return sl_error_set(error, SL_E_INVALID_DATA, "\"%s\" has %llu bytes and is no control file of a store", path,
                            (unsigned long long)size);
    }
    code = sl__map(fd, size, 0, &memory, error);
    sl__close(&fd);
    if (code != SL_OK) {
        return code;
    }
    const struct sl__control *found = memory;
    if (found->magic != SL__CONTROL_MAGIC || found->layout != SL__CONTROL_LAYOUT) {
        bool magic = found->magic == SL__CONTROL_MAGIC;
        code = magic ? sl_error_set(error, SL_E_VERSION, "\"%s\" has layout %u and this library knows layout %u", path,
                                    found->layout, SL__CONTROL_LAYOUT)
                     : sl_error_set(error, SL_E_INVALID_DATA, "\"%s\" is no control file of a store", path);
    } else if (found->ring_words * sizeof(uint64_t) != size - SL__CONTROL_HEAD_BYTES ||
               !sl__is_power_of_two(found->ring_words)) {
        code =
            sl_error_set(error, SL_E_INVALID_DATA, "\"%s\" is damaged: its size and what it says of it differ", path);
    }
    if (code != SL_OK) {
        sl__unmap(memory, size);
        return code;
    }
    *control = found;
    *mapped_size = size;
    return SL_OK;
}

void sl__control_detach(const struct sl__control *control, size_t mapped_size) {
    sl__unmap((void *)(uintptr_t)control, mapped_size);
}

static enum sl_code lost(const struct sl__control *control, uint64_t *position) {
    *position = atomic_load_explicit(&control->head, memory_order_acquire);
    return SL_E_LIMIT;
}

enum sl_code sl__control_next(const struct sl__control *control, uint64_t *position, struct sl__change_record *record) {
    _Atomic uint64_t *ring = ring_of(control);
    uint64_t mask = control->ring_words - 1;
    uint64_t head = atomic_load_explicit(&control->head, memory_order_acquire);
    uint64_t words[RECORD_WORDS_MAX];
    if (*position == head) {
        return SL_E_AGAIN;
    }
    words[0] = atomic_load_explicit(&ring[*position & mask], memory_order_relaxed);
    size_t count = words[0] & 0xffff, key_size = words[0] >> 32 & 0xffff;
    bool sound = count >= RECORD_HEAD_WORDS && count <= RECORD_WORDS_MAX &&
                 key_size <= (count - RECORD_HEAD_WORDS) * 8 && key_size <= SL_STORE_KEY_BYTES_MAX;
    for (size_t i = 1; sound && i < count; i++) {
        words[i] = atomic_load_explicit(&ring[(*position + i) & mask], memory_order_relaxed);
    }
    atomic_thread_fence(memory_order_acquire);
    if (!sound || *position > head || atomic_load_explicit(&control->tail, memory_order_relaxed) > *position) {
        return lost(control, position);
    }
    record->kind = (enum sl_change_kind)(words[0] >> 16 & 0xffff);
    record->key_size = (uint16_t)key_size;
    record->table_number = (uint32_t)words[1];
    record->version = words[2];
    memcpy(record->key, words + RECORD_HEAD_WORDS, key_size);
    *position += count;
    return SL_OK;
}

void sl__control_wait(const struct sl__control *control, uint32_t seen, uint64_t deadline_ns) {
    if (atomic_load(&control->closed) == 0) {
        (void)sl__futex_wait(&control->bell, seen, SL__FUTEX_SHARED, deadline_ns);
    }
}
