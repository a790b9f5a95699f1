/* SPDX-License-Identifier: MIT */
#include "base/table.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/checked.h"

#define CAPACITY_MIN 16

/* Ids count up: a multiplication spreads them, and the upper half of the product depends on all of their bits. */
static size_t place_of(const struct sl__table *table, uint64_t id) {
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & (table->capacity - 1);
}

void sl__table_finish(struct sl__table *table) {
    free(table->entries);
    *table = (struct sl__table){0};
}

static void insert(struct sl__table *table, uint64_t id, void *pointer) {
    size_t at = place_of(table, id);
    while (table->entries[at].id != 0) {
        SL_ASSERT(table->entries[at].id != id);
        at = (at + 1) & (table->capacity - 1);
    }
    table->entries[at] = (struct sl__table_entry){id, pointer};
    table->count++;
}

bool sl__table_reserve(struct sl__table *table, size_t extra) {
    size_t entries, doubled;
    if (!sl__add_size(table->count, extra, &entries) || !sl__mul_size(entries, 2, &doubled)) {
        return false;
    }
    if (doubled <= table->capacity) {
        return true;
    }
    size_t capacity = (size_t)sl__power_of_two_from(doubled < CAPACITY_MIN ? CAPACITY_MIN : doubled);
    struct sl__table larger = {.entries = capacity != 0 ? calloc(capacity, sizeof *larger.entries) : NULL,
                               .capacity = capacity};
    if (larger.entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].id != 0) {
            insert(&larger, table->entries[i].id, table->entries[i].pointer);
        }
    }
    free(table->entries);
    *table = larger;
    return true;
}

void sl__table_put(struct sl__table *table, uint64_t id, void *pointer) {
    SL_ASSERT(id != 0 && (table->count + 1) * 2 <= table->capacity);
    insert(table, id, pointer);
}

/* Where the id is, or the empty place where its search ends. */
static size_t find(const struct sl__table *table, uint64_t id) {
    size_t at = place_of(table, id);
    while (table->entries[at].id != 0 && table->entries[at].id != id) {
        at = (at + 1) & (table->capacity - 1);
    }
    return at;
}

void *sl__table_get(const struct sl__table *table, uint64_t id) {
    if (table->count == 0 || id == 0) {
        return NULL;
    }
    size_t at = find(table, id);
    return table->entries[at].id == id ? table->entries[at].pointer : NULL;
}

void *sl__table_remove(struct sl__table *table, uint64_t id) {
    if (table->count == 0 || id == 0) {
        return NULL;
    }
    size_t hole = find(table, id);
    if (table->entries[hole].id != id) {
        return NULL;
    }
    void *pointer = table->entries[hole].pointer;
    /* Entries behind the hole move up when their search would otherwise end at it. */
    size_t mask = table->capacity - 1;
    for (size_t at = (hole + 1) & mask; table->entries[at].id != 0; at = (at + 1) & mask) {
        size_t home = place_of(table, table->entries[at].id);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->entries[hole] = table->entries[at];
            hole = at;
        }
    }
    table->entries[hole] = (struct sl__table_entry){0};
    table->count--;
    return pointer;
}
