/* SPDX-License-Identifier: MIT */
#include "host.h"

void host_open(struct host *host, uint32_t workers, void (*change)(struct sl_pool_options *options)) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {SL_TEST_PRELOAD, NULL};
    options.worker_count = workers;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = path;
    options.preload = preload;
    options.restart_backoff_ms = 1;
    options.restart_max = 100000;
    if (change != NULL) {
        change(&options);
    }
    if (sl_runtime_create(NULL, &host->runtime, &error) != SL_OK ||
        sl_pool_create(host->runtime, &options, &host->pool, &error) != SL_OK) {
        fail_msg("%s\n%s", error.message, error.traceback != NULL ? error.traceback : "");
    }
}

void host_close(struct host *host) {
    sl_pool_destroy(host->pool);
    sl_runtime_destroy(host->runtime);
    *host = (struct host){0};
}

struct sl_pool_stats host_stats(struct host *host) {
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    sl_pool_stats(host->pool, &stats);
    return stats;
}
