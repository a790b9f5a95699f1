/* SPDX-License-Identifier: MIT */
#include "store/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/macros.h"

#define BUCKETS_MAX 65536

struct sl__pending {
    struct sl__pending *next;    /* in order */
    struct sl__pending *chained; /* in its bucket */
    uint64_t version;
    uint32_t table_number;
    enum sl_change_kind kind;
    uint16_t key_size;
    uint8_t key[];
};

static struct sl__pending **bucket_of(const struct sl__changes *changes, const struct sl__change_record *record) {
    uint32_t hash = record->table_number * UINT32_C(0x9e3779b9);
    for (uint16_t i = 0; i < record->key_size; i++) {
        hash = (hash ^ record->key[i]) * UINT32_C(0x01000193);
    }
    return &changes->buckets[(hash ^ hash >> 15) & (changes->bucket_count - 1)];
}

static void empty(struct sl__changes *changes) {
    struct sl__pending *next;
    for (struct sl__pending *entry = changes->first; entry != NULL; entry = next) {
        next = entry->next;
        free(entry);
    }
    memset(changes->buckets, 0, changes->bucket_count * sizeof(struct sl__pending *));
    changes->first = NULL;
    changes->last = &changes->first;
    changes->pending_count = 0;
}

void sl__changes_lose(struct sl__changes *changes) {
    empty(changes);
    changes->overflow = true;
}

static void add(struct sl__changes *changes, const struct sl__change_record *record) {
    struct sl__pending **bucket = bucket_of(changes, record);
    for (struct sl__pending *entry = *bucket; entry != NULL; entry = entry->chained) {
        if (entry->table_number == record->table_number && entry->key_size == record->key_size &&
            memcmp(entry->key, record->key, record->key_size) == 0) {
            entry->kind = record->kind;
            entry->version = record->version;
            return;
        }
    }
    struct sl__pending *entry =
        changes->pending_count < changes->pending_max ? malloc(sizeof(*entry) + record->key_size) : NULL;
    if (entry == NULL) {
        sl__changes_lose(changes);
        return;
    }
    entry->version = record->version;
    entry->table_number = record->table_number;
    entry->kind = record->kind;
    entry->key_size = record->key_size;
    memcpy(entry->key, record->key, record->key_size);
    entry->chained = *bucket;
    *bucket = entry;
    entry->next = NULL;
    *changes->last = entry;
    changes->last = &entry->next;
    changes->pending_count++;
}

static bool wanted(const struct sl__changes *changes, const struct sl__change_record *record, bool first) {
    if (changes->number == NULL) {
        return true;
    }
    return changes->number(changes->context, first) == record->table_number &&
           (record->key_size == 0 || sl__key_within(&changes->range, record->key, record->key_size));
}

static void drain(struct sl__changes *changes) {
    struct sl__change_record record;
    bool first = true;
    enum sl_code code;
    /* Bounded: a ring that is overwritten faster than it is read ends in an overflow. */
    for (uint64_t i = 0; i < changes->control->ring_words; i++) {
        code = sl__control_next(changes->control, &changes->position, &record);
        if (code == SL_E_AGAIN) {
            return;
        }
        if (code != SL_OK) {
            sl__changes_lose(changes);
            continue;
        }
        /* Also when what it says is lost: who looks up the table's number has to know that there was a change. */
        bool counts = wanted(changes, &record, first);
        first = false;
        if (counts && !changes->overflow) {
            add(changes, &record);
        }
    }
}

enum sl_code sl__changes_init(struct sl__changes *changes, const struct sl__control *control,
                              const struct sl__key_range *range, uint32_t pending_max, sl__changes_number_fn *number,
                              void *context, struct sl_error *error) {
    uint32_t buckets = (uint32_t)SL_MIN(sl__power_of_two_from(pending_max), (uint64_t)BUCKETS_MAX);
    *changes = (struct sl__changes){
        .control = control, .range = *range, .number = number, .context = context, .pending_max = pending_max};
    changes->last = &changes->first;
    changes->bucket_count = buckets;
    changes->buckets = calloc(buckets, sizeof(struct sl__pending *));
    if (changes->buckets == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a watch");
    }
    changes->position = sl__control_position(control);
    return SL_OK;
}

void sl__changes_finish(struct sl__changes *changes) {
    if (changes->buckets != NULL) {
        empty(changes);
        free(changes->buckets);
        changes->buckets = NULL;
    }
}

enum sl_code sl__changes_take(struct sl__changes *changes, struct sl__change_record *record) {
    drain(changes);
    if (changes->overflow) {
        changes->overflow = false;
        record->kind = SL_CHANGE_OVERFLOW;
        record->table_number = 0;
        record->key_size = 0;
        record->version = atomic_load_explicit(&changes->control->version, memory_order_acquire);
        return SL_OK;
    }
    struct sl__pending *entry = changes->first;
    if (entry == NULL) {
        return SL_E_AGAIN;
    }
    record->kind = entry->kind;
    record->table_number = entry->table_number;
    record->version = entry->version;
    record->key_size = entry->key_size;
    memcpy(record->key, entry->key, entry->key_size);
    struct sl__pending **at = bucket_of(changes, record);
    while (*at != entry) {
        at = &(*at)->chained;
    }
    *at = entry->chained;
    changes->first = entry->next;
    if (changes->first == NULL) {
        changes->last = &changes->first;
    }
    changes->pending_count--;
    free(entry);
    return SL_OK;
}
