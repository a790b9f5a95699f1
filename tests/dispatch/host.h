/* SPDX-License-Identifier: MIT */
/* A runtime and a pool over the functions of modules/. */
#ifndef SL_TESTS_DISPATCH_HOST_H
#define SL_TESTS_DISPATCH_HOST_H

#include "testing/crew.h"

#include <slither/slither.h>

struct host {
    struct sl_runtime *runtime;
    struct sl_pool *pool;
};
/* `change` may alter the pool's options, or be NULL. */
void host_open(struct host *host, uint32_t workers, void (*change)(struct sl_pool_options *options));
void host_close(struct host *host);
/* Options for a function of modules/dispatch_functions.py. */
struct sl_dispatch_options host_options(const char *function);
struct sl_pool_stats host_stats(struct host *host);

/* kB of VmRSS, VmHWM or another line of /proc/self/status. */
uint64_t status_kb(const char *line);
uint32_t fd_count(void);
/* Forgets the peak of this process's memory. */
void forget_peak(void);

#endif
