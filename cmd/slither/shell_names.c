/* SPDX-License-Identifier: MIT */
#include "shell_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shell_name *shell_names_find(struct shell_names *names, const char *name) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->entries[i].name, name) == 0) {
            return &names->entries[i];
        }
    }
    return NULL;
}

static void empty(struct shell_name *entry) {
    sl_object_unref(entry->object);
    free(entry->data);
    entry->object = NULL;
    entry->data = NULL;
    entry->size = 0;
}

static struct shell_name *add(struct shell_names *names, const char *name) {
    if (names->count == SHELL_NAMES_MAX) {
        return NULL;
    }
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 16 : names->capacity * 2;
        struct shell_name *entries = realloc(names->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            return NULL;
        }
        names->entries = entries;
        names->capacity = capacity;
    }
    struct shell_name *entry = &names->entries[names->count++];
    *entry = (struct shell_name){0};
    if (name == NULL) {
        snprintf(entry->name, sizeof entry->name, "%" PRIu64, ++names->last_number);
    } else {
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    return entry;
}

const char *shell_names_put(struct shell_names *names, const char *name, struct sl_object *object,
                            struct sl_value value) {
    uint8_t *data = NULL;
    if (object == NULL && (data = malloc(value.size)) != NULL) {
        memcpy(data, value.data, value.size);
    }
    struct shell_name *entry = name != NULL ? shell_names_find(names, name) : NULL;
    if (entry == NULL && (object != NULL || data != NULL)) {
        entry = add(names, name);
    }
    if (entry == NULL || (object == NULL && data == NULL)) {
        sl_object_unref(object);
        free(data);
        return NULL;
    }
    empty(entry);
    entry->object = object;
    entry->data = data;
    entry->size = object == NULL ? value.size : 0;
    return entry->name;
}

bool shell_names_drop(struct shell_names *names, const char *name) {
    struct shell_name *entry = shell_names_find(names, name);
    if (entry == NULL) {
        return false;
    }
    empty(entry);
    size_t behind = (size_t)(names->entries + names->count - entry) - 1;
    memmove(entry, entry + 1, behind * sizeof *entry);
    names->count--;
    return true;
}

size_t shell_names_clear(struct shell_names *names, bool objects_only) {
    size_t kept = 0, objects = 0;
    for (size_t i = 0; i < names->count; i++) {
        struct shell_name entry = names->entries[i];
        if (objects_only && entry.object == NULL) {
            names->entries[kept++] = entry;
            continue;
        }
        objects += entry.object != NULL;
        empty(&entry);
    }
    names->count = kept;
    if (!objects_only) {
        free(names->entries);
        *names = (struct shell_names){0};
    }
    return objects;
}

struct sl_value shell_name_value(const struct shell_name *name) {
    return name->object != NULL ? sl_object_value(name->object) : (struct sl_value){name->data, name->size};
}
