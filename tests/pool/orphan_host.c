/* SPDX-License-Identifier: MIT */
/*
 * A host that is going to be killed: starts workers, sets them to work, and says the pids of all that must go with it: "family COUNT PID...".
 * The argument says how its workers are started: "fork", "exec", "unfit" (the imports make the template so), "bare" (nothing is imported), or
 * "import": there are none yet, and the template is in the middle of an import that has left processes behind; "fertile": of one that makes one after
 * the other.
 */
#include "call.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

#define WORKERS 4

static void a_long_time(struct sl_writer *writer) {
    sl_write_int(writer, 1000);
}

static int64_t ask_number(struct sl_pool *pool, const char *function) {
    int64_t number = 0;
    if (call_int(pool, 0, function, a_long_time, &number) != SL_OK) {
        fprintf(stderr, "%s failed\n", function);
        exit(1);
    }
    return number;
}

/* What the import says goes on to whoever is going to kill us. */
static void pass_on(void *context, const struct sl_log_record *record) {
    (void)context;
    if (record->text_size > 7 && memcmp(record->text, "family ", 7) == 0) {
        printf("%.*s\n", (int)record->text_size, record->text);
        fflush(stdout);
    }
}

static void set_to_work(struct sl_pool *pool, uint32_t worker, const char *function) {
    struct sl_error error = SL_ERROR_INIT;
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    if (sl__pool_acquire(pool, &seeker.waiter, worker, &lease, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    ask(lease, function, a_long_time);
    while (sl__lane_started(lease->lane) == 0) {
        usleep(1000);
    }
}

int main(int argc, char **argv) {
    static const char *const modules[] = {SL_TEST_MODULES, NULL};
    static const char *const environment[] = {"POOL_TEST_IMPORTS=/dev/null", NULL};
    static const char *const usual[] = {"pool_template", "pool_functions", NULL};
    static const char *const unfit[] = {"pool_template", "pool_functions", "pool_import_thread", NULL};
    static const char *const endless[] = {"pool_import_family", NULL};
    static const char *const fertile[] = {"pool_import_fertile", NULL};
    struct sl_runtime *runtime = NULL;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    const char *how = argc > 1 ? argv[1] : "fork";
    runtime_options.log = pass_on;
    options.worker_count = WORKERS;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = modules;
    options.environment = environment;
    options.preload = strcmp(how, "unfit") == 0     ? unfit
                      : strcmp(how, "import") == 0  ? endless
                      : strcmp(how, "fertile") == 0 ? fertile
                      : strcmp(how, "bare") == 0    ? NULL
                                                    : usual;
    options.template_use = strcmp(how, "exec") == 0 ? SL_TEMPLATE_OFF : SL_TEMPLATE_AUTO;
    if (sl_runtime_create(&runtime_options, &runtime, &error) != SL_OK ||
        sl_pool_create(runtime, &options, &pool, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    static const char *const offspring[] = {"pool_template:parent", "pool_template:leader", "pool_template:daemon",
                                            "pool_template:blocked", "pool_template:stopped"};
    int64_t pids[SL_COUNT_OF(offspring)];
    for (size_t i = 0; i < SL_COUNT_OF(offspring); i++) {
        pids[i] = ask_number(pool, offspring[i]);
    }
    /* One idle and stopped, one in Python, one in C with the GIL held, one in Python and stopped. */
    set_to_work(pool, 1, "pool_functions:sleep");
    set_to_work(pool, 2, "pool_functions:sleep_in_c");
    set_to_work(pool, 3, "pool_functions:sleep");
    if (kill((pid_t)sl_pool_worker_pid(pool, 0), SIGSTOP) != 0 ||
        kill((pid_t)sl_pool_worker_pid(pool, 3), SIGSTOP) != 0) {
        return 1;
    }
    printf("family %zu", SL_COUNT_OF(offspring) + WORKERS);
    for (size_t i = 0; i < SL_COUNT_OF(offspring); i++) {
        printf(" %lld", (long long)pids[i]);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        printf(" %lld", (long long)sl_pool_worker_pid(pool, i));
    }
    printf("\n");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
