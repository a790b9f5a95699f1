/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_SYS_PROCESSORS_H
#define SLITHER_SYS_PROCESSORS_H

#include <stdint.h>

/**
 * Processors that this process may use, at least 1: its affinity mask, cut to the quota of its control group and of all above
 * (cgroup v2, cpu.max; a started processor counts). Reads files: ask once and keep the answer.
 */
uint32_t sl__processor_count(void);

/** The affinity mask alone: one cheap system call. */
uint32_t sl__processor_affinity(void);

/** Cuts `count` to what `text`, the content of a cpu.max file ("max 100000" or "150000 100000"), allows. For tests. */
uint32_t sl__processor_quota(const char *text, uint32_t count);

#endif
