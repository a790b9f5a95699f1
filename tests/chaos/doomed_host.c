/* SPDX-License-Identifier: MIT */
/*
 * A host that is going to be killed at any moment. Until then it does what hosts do, again and again: starts a pool, sends large payloads,
 * lets user code start processes and hang, and ends the pool.
 *
 * usage: doomed_host HOW SEED    HOW: template (workers are forked), preload (each imports for itself), bare (imports at the first call)
 */
#include "chaos.h"

#include <unistd.h>

#define LIFE_S 60 /* it ends by itself when nobody kills it */

static void die(const struct sl_error *error) {
    fprintf(stderr, "doomed_host: %s: %s\n", sl_code_name(error->code), error->message);
    exit(1);
}

static void call(struct sl_pool *pool, const char *function, int64_t number, uint32_t timeout_ms) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_results results = {0};
    struct sl_writer writer;
    struct sl_item item = {0};
    options.function = function;
    options.timeout_ms = timeout_ms;
    sl_writer_init(&writer, NULL);
    sl_write_int(&writer, number);
    enum sl_code code = sl_writer_end(&writer, &item.value, &error);
    if (code == SL_OK) {
        code = sl_call_batch(pool, &options, &item, 1, &results, &error);
    }
    if (code != SL_OK && code != SL_E_WORKER_TIMEOUT) {
        die(&error);
    }
    sl_results_finish(&results);
    sl_writer_finish(&writer);
    sl_error_finish(&error);
}

struct caller {
    struct sl_pool *pool;
    uint64_t random;
};

static void *call_family(void *context) {
    struct caller *caller = context;
    for (int i = 0; i < 4; i++) {
        call(caller->pool, "chaos_family:family", draw_below(&caller->random, 7), 0);
    }
    call(caller->pool, "chaos_family:stuck", 1000, 100 + draw_below(&caller->random, 300));
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: doomed_host template|preload|bare SEED\n");
        return 2;
    }
    uint64_t random = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u | 1;
    static const char *const preload[] = {"chaos_functions", "chaos_family", NULL};
    struct sl_pool_options options = site_options(3, strcmp(argv[1], "template") == 0);
    options.preload = strcmp(argv[1], "bare") == 0 ? NULL : preload;
    options.segment_bytes = 65536;
    struct sl_runtime *runtime = NULL;
    struct sl_error error = SL_ERROR_INIT;
    (void)draw(&random);
    alarm(LIFE_S);
    if (sl_runtime_create(NULL, &runtime, &error) != SL_OK) {
        die(&error);
    }
    for (;;) {
        struct site site = {.runtime = runtime, .worker_max = 3};
        if (sl_pool_create(runtime, &options, &site.pool, &error) != SL_OK) {
            die(&error);
        }
        struct caller caller = {site.pool, draw(&random) | 1};
        struct consumer consumer = {.site = &site, .kind = RUN_AS_COMPLETED, .options = consumer_options(10000)};
        consumer.load = (struct load){.count = 400, .padding = 200000};
        consumer.options.batch_size = 16; /* 3 MB each way, in files of their own */
        pthread_t thread;
        if (pthread_create(&thread, NULL, call_family, &caller) != 0) {
            return 1;
        }
        consumer_run(&consumer, NULL);
        if (consumer.ledger.wrong[0] != '\0') {
            fprintf(stderr, "doomed_host: %s\n", consumer.ledger.wrong);
            return 1;
        }
        consumer_finish(&consumer);
        pthread_join(thread, NULL);
        sl_pool_destroy(site.pool);
    }
}
