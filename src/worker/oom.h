/* SPDX-License-Identifier: MIT */
/*
 * Did the kernel kill it for lack of memory? Nobody is told; what there is are counters, which have risen or not while the worker lived. They are of
 * the whole machine or of a whole control group, so they are evidence and no proof.
 */
#ifndef SLITHER_WORKER_OOM_H
#define SLITHER_WORKER_OOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL__OOM_PATH_SIZE 512
#define SL__OOM_SOURCES 3

/* Where to look, nearest first; an empty path is none. */
struct sl__oom_sources {
    struct sl__oom_source {
        char path[SL__OOM_PATH_SIZE];
        const char *what; /* for texts */
    } sources[SL__OOM_SOURCES];
};
/* Those of this machine: the control group of this process, and the machine itself. */
void sl__oom_sources_find(struct sl__oom_sources *sources);

/* The counters at one moment; known only where they could be read. */
struct sl__oom_count {
    bool known[SL__OOM_SOURCES];
    uint64_t kills[SL__OOM_SOURCES];
};
void sl__oom_read(const struct sl__oom_sources *sources, struct sl__oom_count *count);

/* The first that has risen since, or -1. `text` says what there is to say in either case. */
int sl__oom_rose(const struct sl__oom_sources *sources, const struct sl__oom_count *before, char *text, size_t size);

#endif
