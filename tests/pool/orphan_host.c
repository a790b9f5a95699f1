/* SPDX-License-Identifier: MIT */
/* A host that is going to be killed: starts workers, sets them to work, says their pids, and waits. */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKERS 3

static void a_long_time(struct sl_writer *writer) {
    sl_write_int(writer, 1000);
}

int main(void) {
    static const char *const modules[] = {SL_TEST_MODULES, NULL};
    struct sl_runtime *runtime = NULL;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.worker_count = WORKERS;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = modules;
    if (sl_runtime_create(NULL, &runtime, &error) != SL_OK ||
        sl_pool_create(runtime, &options, &pool, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    /* One idle, one in Python, one in C with the GIL held. */
    static const char *const functions[] = {NULL, "pool_functions:sleep", "pool_functions:sleep_in_c"};
    for (uint32_t i = 1; i < WORKERS; i++) {
        struct seeker seeker;
        struct sl__lease *lease;
        seeker_init(&seeker);
        if (sl__pool_acquire(pool, &seeker.waiter, i, &lease, &error) != SL_OK) {
            return 1;
        }
        ask(lease, functions[i], a_long_time);
        while (sl__lane_started(lease->lane) == 0) {
            usleep(1000);
        }
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        printf("%lld ", (long long)sl_pool_worker_pid(pool, i));
    }
    printf("\n");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
