/* SPDX-License-Identifier: MIT */
/* Ids (never 0) to pointers: open addressing, at most half full. A zeroed table is empty. */
#ifndef SL_BASE_TABLE_H
#define SL_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl__table {
    struct sl__table_entry {
        uint64_t id; /* 0: empty */
        void *pointer;
    } * entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void sl__table_finish(struct sl__table *table);
/* Makes room for `extra` more entries, so that as many puts cannot fail. False when memory is out. */
bool sl__table_reserve(struct sl__table *table, size_t extra);
/* Adds an id that is not there. There must be room. */
void sl__table_put(struct sl__table *table, uint64_t id, void *pointer);
/* NULL when it is not there. */
void *sl__table_get(const struct sl__table *table, uint64_t id);
/* Removes it and returns its pointer; NULL when it is not there. */
void *sl__table_remove(struct sl__table *table, uint64_t id);

#endif
