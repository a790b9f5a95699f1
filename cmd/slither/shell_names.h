/* SPDX-License-Identifier: MIT */
/* What the names of `slither shell` stand for: values, and objects in Python. */
#ifndef SLITHER_CLI_SHELL_NAMES_H
#define SLITHER_CLI_SHELL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include <slither/call.h>

#define SHELL_NAMES_MAX 4096
#define SHELL_NAME_SIZE 66

struct shell_name {
    char name[SHELL_NAME_SIZE];
    struct sl_object *object; /* or NULL: */
    uint8_t *data;            /* the bytes of a value */
    size_t size;
};

struct shell_names {
    struct shell_name *entries;
    size_t count, capacity;
    uint64_t last_number; /* of a name that was given by itself */
};

/* NULL: there is none. Valid until the next change. */
struct shell_name *shell_names_find(struct shell_names *names, const char *name);
/*
 * Gives a name (NULL: the next number) to an object, whose reference is taken over, or else to a copy of a value. What had the name before loses it. Returns the name; NULL: there are
 * too many, or no memory; the reference is given back then.
 */
const char *shell_names_put(struct shell_names *names, const char *name, struct sl_object *object,
                            struct sl_value value);
bool shell_names_drop(struct shell_names *names, const char *name);
/* All objects, or values too. Returns how many there were. */
size_t shell_names_clear(struct shell_names *names, bool objects_only);
struct sl_value shell_name_value(const struct shell_name *name);

#endif
