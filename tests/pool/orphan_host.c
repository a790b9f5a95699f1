/* SPDX-License-Identifier: MIT */
/*
 * A host that is going to be killed: starts workers, sets them to work, says their pids, and waits. With the argument "template" they are
 * forked, and one has left a process behind that is in a session of its own; that and the template are said, too.
 */
#include "call.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 3

static void a_long_time(struct sl_writer *writer) {
    sl_write_int(writer, 1000);
}

static int64_t ask_number(struct sl_pool *pool, const char *function) {
    int64_t number = 0;
    if (call_int(pool, 0, function, a_long_time, &number) != SL_OK) {
        exit(1);
    }
    return number;
}

int main(int argc, char **argv) {
    static const char *const modules[] = {SL_TEST_MODULES, NULL};
    struct sl_runtime *runtime = NULL;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.worker_count = WORKERS;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = modules;
    bool forked = argc > 1 && strcmp(argv[1], "template") == 0;
    static const char *const preload[] = {"pool_template", "pool_functions", NULL};
    static const char *const environment[] = {"POOL_TEST_IMPORTS=/dev/null", NULL};
    if (forked) {
        options.preload = preload;
        options.environment = environment;
    }
    if (sl_runtime_create(NULL, &runtime, &error) != SL_OK ||
        sl_pool_create(runtime, &options, &pool, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (forked) {
        printf("%lld %lld ", (long long)ask_number(pool, "pool_template:parent"),
               (long long)ask_number(pool, "pool_template:daemon"));
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
    /* The idle one is stopped besides: it cannot do anything any more. */
    if (forked && kill((pid_t)sl_pool_worker_pid(pool, 0), SIGSTOP) != 0) {
        return 1;
    }
    printf("\n");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
