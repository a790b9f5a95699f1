/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sys/clock.h"

#define LOG_SIZE (1u << 20)
#define NS_PER_S 1000000000ull

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[LOG_SIZE];
static size_t log_size;

static void keep_line(void *context, const struct sl_log_record *record) {
    (void)context;
    pthread_mutex_lock(&log_lock);
    if (log_size + record->text_size + 2 < LOG_SIZE) {
        memcpy(log_text + log_size, record->text, record->text_size);
        log_size += record->text_size;
        log_text[log_size++] = '\n';
        log_text[log_size] = '\0';
    }
    pthread_mutex_unlock(&log_lock);
}

struct sl_runtime *open_runtime(void) {
    log_size = 0;
    log_text[0] = '\0';
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    options.log = keep_line;
    options.log_level = SL_LOG_DEBUG;
    struct sl_runtime *runtime = NULL;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_runtime_create(&options, &runtime, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return runtime;
}

void close_runtime(struct sl_runtime *runtime) {
    sl_runtime_destroy(runtime);
    assert_false(log_has("internal:"));
}

bool log_has(const char *text) {
    pthread_mutex_lock(&log_lock);
    bool found = strstr(log_text, text) != NULL;
    pthread_mutex_unlock(&log_lock);
    return found;
}

int log_count(const char *text) {
    int count = 0;
    pthread_mutex_lock(&log_lock);
    for (const char *at = log_text; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        count++;
    }
    pthread_mutex_unlock(&log_lock);
    return count;
}

bool log_before(const char *first, const char *second) {
    pthread_mutex_lock(&log_lock);
    const char *one = strstr(log_text, first), *two = strstr(log_text, second);
    bool before = one != NULL && two != NULL && one < two;
    pthread_mutex_unlock(&log_lock);
    return before;
}

struct sl_pool_options scripted(uint32_t worker_count, const char *script) {
    static char variable[1024];
    static const char *environment[] = {variable, NULL};
    snprintf(variable, sizeof(variable), "FAKE_SCRIPT=%s", script);
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.worker_count = worker_count;
    options.python = getenv("SLITHER_FAKE_WORKER");
    options.environment = environment;
    options.stop_timeout_ms = 500;
    options.segment_bytes = 65536;
    assert_non_null(options.python);
    return options;
}

struct sl_pool_options scripted_template(uint32_t worker_count, const char *script, const char *template_script) {
    static char of_template[1024], lives[64];
    static const char *environment[] = {NULL, of_template, lives, NULL};
    static int count = -1; /* an anonymous file, in which the lives of the template are counted */
    if (count < 0) {
        count = memfd_create("lives", MFD_CLOEXEC);
        assert_true(count >= 0);
    }
    assert_int_equal(ftruncate(count, 0), 0);
    snprintf(lives, sizeof(lives), "FAKE_LIVES=/proc/%ld/fd/%d", (long)getpid(), count);
    static const char *const preload[] = {"anything", NULL};
    struct sl_pool_options options = scripted(worker_count, script);
    snprintf(of_template, sizeof(of_template), "FAKE_TEMPLATE=%s", template_script);
    environment[0] = options.environment[0];
    options.environment = environment;
    options.preload = preload;
    return options;
}

struct sl_pool *open_pool(struct sl_runtime *runtime, const struct sl_pool_options *options) {
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_pool_create(runtime, options, &pool, &error) != SL_OK) {
        fail_msg("%s: %s\n%s", sl_code_name(error.code), error.message, error.traceback != NULL ? error.traceback : "");
    }
    return pool;
}

void seeker_init(struct seeker *seeker) {
    memset(seeker, 0, sizeof(*seeker));
    sl__bell_init(&seeker->bell);
    sl__spin_init(&seeker->spin);
    seeker->waiter.bell = &seeker->bell;
}

static void wait_for_bell(struct seeker *seeker, uint32_t seen, uint64_t deadline_ns) {
    sl__lanes_wait(NULL, 0, &seeker->bell, seen, deadline_ns, &seeker->spin, false);
    assert_false(sl__clock_passed(deadline_ns));
}

enum sl_code seek(struct sl_pool *pool, struct seeker *seeker, uint32_t worker, struct sl__lease **lease,
                  struct sl_error *error) {
    uint64_t deadline_ns = sl__clock_now_ns() + PATIENCE_S * NS_PER_S;
    for (;;) {
        uint32_t seen = seeker->bell.value;
        enum sl_code code = sl__pool_acquire(pool, &seeker->waiter, worker, lease, error);
        if (code != SL_E_AGAIN) {
            return code;
        }
        wait_for_bell(seeker, seen, deadline_ns);
    }
}

void await_loss(struct seeker *seeker, struct sl__lease *lease) {
    uint64_t deadline_ns = sl__clock_now_ns() + PATIENCE_S * NS_PER_S;
    for (;;) {
        uint32_t seen = seeker->bell.value;
        if (atomic_load_explicit(&lease->lost, memory_order_acquire) != 0) {
            return;
        }
        wait_for_bell(seeker, seen, deadline_ns);
    }
}

unsigned test_seed(void) {
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    return seed;
}

struct sl_pool_stats stats_of(struct sl_pool *pool) {
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    sl_pool_stats(pool, &stats);
    return stats;
}

void await_ready(struct sl_pool *pool, uint32_t ready_count) {
    uint64_t deadline_ns = sl__clock_now_ns() + PATIENCE_S * NS_PER_S;
    while (stats_of(pool).ready_count != ready_count) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

pid_t parent_of(int64_t pid) {
    char path[64], name[64];
    long parent = 0;
    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d (%63[^)]) %*c %ld", name, &parent), 2);
    fclose(file);
    return (pid_t)parent;
}

void await_end(int pidfd) {
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, PATIENCE_S * 1000), 1);
}
