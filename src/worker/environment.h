/* SPDX-License-Identifier: MIT */
/* An environment that is being put together for a child: a list of "NAME=value", one entry a name. */
#ifndef SLITHER_WORKER_ENVIRONMENT_H
#define SLITHER_WORKER_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

struct sl__environment {
    char **items; /* after sl__environment_end: NULL-terminated */
    size_t count, capacity;
};

/* False from any of these: memory is out. A zeroed struct is an empty environment. */
bool sl__environment_copy(struct sl__environment *environment, const char *const *from)
    __attribute__((warn_unused_result));
bool sl__environment_set(struct sl__environment *environment, const char *name, const char *value)
    __attribute__((warn_unused_result));
void sl__environment_remove(struct sl__environment *environment, const char *name);
/* NULL when it is not set. Valid until the next change. */
const char *sl__environment_get(const struct sl__environment *environment, const char *name);
bool sl__environment_end(struct sl__environment *environment) __attribute__((warn_unused_result));
void sl__environment_finish(struct sl__environment *environment);

#endif
