/* SPDX-License-Identifier: MIT */
#include "environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static size_t find(const struct sl__environment *environment, const char *name, size_t name_size) {
    for (size_t i = 0; i < environment->count; i++) {
        const char *item = environment->items[i];
        if (strncmp(item, name, name_size) == 0 && item[name_size] == '=') {
            return i;
        }
    }
    return environment->count;
}

static bool put(struct sl__environment *environment, char *item) {
    if (item == NULL) {
        return false;
    }
    size_t at = find(environment, item, strcspn(item, "="));
    if (at < environment->count) {
        free(environment->items[at]);
        environment->items[at] = item;
        return true;
    }
    if (!SL_ARRAY_RESERVE(environment, 1)) {
        free(item);
        return false;
    }
    environment->items[environment->count++] = item;
    return true;
}

bool sl__environment_copy(struct sl__environment *environment, const char *const *from) {
    for (; from != NULL && *from != NULL; from++) {
        /* Entries without a name or a value can be there; nobody can have meant them. */
        if (strchr(*from, '=') > *from && !put(environment, strdup(*from))) {
            return false;
        }
    }
    return true;
}

bool sl__environment_set(struct sl__environment *environment, const char *name, const char *value) {
    char *item = NULL;
    if (asprintf(&item, "%s=%s", name, value) < 0) {
        return false;
    }
    return put(environment, item);
}

void sl__environment_remove(struct sl__environment *environment, const char *name) {
    size_t at = find(environment, name, strlen(name));
    if (at < environment->count) {
        free(environment->items[at]);
        environment->items[at] = environment->items[--environment->count];
    }
}

const char *sl__environment_get(const struct sl__environment *environment, const char *name) {
    size_t name_size = strlen(name);
    size_t at = find(environment, name, name_size);
    return at < environment->count ? environment->items[at] + name_size + 1 : NULL;
}

bool sl__environment_end(struct sl__environment *environment) {
    if (!SL_ARRAY_RESERVE(environment, 1)) {
        return false;
    }
    environment->items[environment->count] = NULL;
    return true;
}

void sl__environment_finish(struct sl__environment *environment) {
    for (size_t i = 0; i < environment->count; i++) {
        free(environment->items[i]);
    }
    SL_ARRAY_FINISH(environment);
}
