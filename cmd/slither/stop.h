/* SPDX-License-Identifier: MIT */
/* The word that nobody waits any more for whoever reads our output. Any thread may say it, any thread may wait for it. */
#ifndef SLITHER_CLI_STOP_H
#define SLITHER_CLI_STOP_H

#include <stdatomic.h>
#include <stdbool.h>

struct stop {
    atomic_bool said;
    int fd; /* readable once it was said */
};

/* False: errno. */
bool stop_init(struct stop *stop);
void stop_finish(struct stop *stop);
void stop_say(struct stop *stop);
/* NULL is fine: nobody can say it. */
bool stop_said(const struct stop *stop);

#endif
