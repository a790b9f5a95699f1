/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

void host_open(struct host *host, uint32_t workers, void (*change)(struct sl_pool_options *options)) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"dispatch_functions", NULL};
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

struct sl_dispatch_options host_options(const char *function) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = function;
    return options;
}

struct sl_pool_stats host_stats(struct host *host) {
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    sl_pool_stats(host->pool, &stats);
    return stats;
}

uint64_t status_kb(const char *line) {
    FILE *file = fopen("/proc/self/status", "r");
    char text[256];
    uint64_t found = 0;
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        if (strncmp(text, line, strlen(line)) == 0) {
            found = strtoull(text + strlen(line) + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

void forget_peak(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "5", 1);
        close(fd);
    }
}

uint32_t fd_count(void) {
    DIR *folder = opendir("/proc/self/fd");
    uint32_t count = 0;
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count - 3; /* . and .. and the folder itself */
}
