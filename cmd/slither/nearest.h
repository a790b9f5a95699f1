/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_CLI_NEAREST_H
#define SLITHER_CLI_NEAREST_H

#include <stddef.h>

/* Keeps the name that is nearest to what was typed. Zero it, set `typed`, offer the names. */
struct nearest {
    const char *typed;
    const char *name; /* the best so far, or NULL when none is near enough to be what was meant */
    size_t distance;
};

void nearest_offer(struct nearest *nearest, const char *name);

#endif
