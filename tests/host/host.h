/* SPDX-License-Identifier: MIT */
/* A runtime and a pool over the modules of a test's folder: SL_TEST_MODULES, of which the workers import SL_TEST_PRELOAD, strings separated by commas. */
#ifndef SL_TESTS_HOST_HOST_H
#define SL_TESTS_HOST_HOST_H

#include "testing/crew.h"

#include <slither/slither.h>

struct host {
    struct sl_runtime *runtime;
    struct sl_pool *pool;
};
/* `change` may alter the pool's options, or be NULL. */
void host_open(struct host *host, uint32_t workers, void (*change)(struct sl_pool_options *options));
void host_close(struct host *host);
struct sl_pool_stats host_stats(struct host *host);

#endif
