/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list. A link lies inside the object and is in at most one list; SL_CONTAINER_OF leads back.
 * An unlinked link is zeroed, so that a zeroed object is not in a list. Not thread-safe.
 */
#ifndef SL_BASE_LIST_H
#define SL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct sl__link {
    struct sl__link *previous, *next;
};

struct sl__list {
    struct sl__link end; /* next: first, previous: last */
    size_t count;
};

static inline void sl__list_init(struct sl__list *list) {
    list->end.previous = list->end.next = &list->end;
    list->count = 0;
}

static inline bool sl__list_contains_link(const struct sl__link *link) {
    return link->next != NULL;
}

static inline void sl__list_insert_before(struct sl__list *list, struct sl__link *position, struct sl__link *link) {
    SL_ASSERT(link->next == NULL);
    link->previous = position->previous;
    link->next = position;
    position->previous->next = link;
    position->previous = link;
    list->count++;
}

static inline void sl__list_push_back(struct sl__list *list, struct sl__link *link) {
    sl__list_insert_before(list, &list->end, link);
}

static inline void sl__list_push_front(struct sl__list *list, struct sl__link *link) {
    sl__list_insert_before(list, list->end.next, link);
}

static inline void sl__list_remove(struct sl__list *list, struct sl__link *link) {
    SL_ASSERT(link->next != NULL && list->count > 0);
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->previous = link->next = NULL;
    list->count--;
}

/* First link, or NULL. */
static inline struct sl__link *sl__list_first(const struct sl__list *list) {
    return list->end.next == &list->end ? NULL : list->end.next;
}

/* The link after `link`, or NULL. */
static inline struct sl__link *sl__list_after(const struct sl__list *list, const struct sl__link *link) {
    return link->next == &list->end ? NULL : link->next;
}

static inline struct sl__link *sl__list_pop_front(struct sl__list *list) {
    struct sl__link *first = sl__list_first(list);
    if (first != NULL) {
        sl__list_remove(list, first);
    }
    return first;
}

#endif
