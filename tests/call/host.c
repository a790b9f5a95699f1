/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VALUES_MAX 4096
#define AWAIT_MS 30000

struct sl_runtime *runtime;
struct sl_pool *pool;
const struct sl_value none = {NULL, 0};

static struct sl_writer writers[VALUES_MAX];
static size_t writer_count;

/* ---- the log ------------------------------------------------------------------------------------------------------------ */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char lines[16][512]; /* the last ones */
    uint64_t count;
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void hear(void *context, const struct sl_log_record *record) {
    (void)context;
    pthread_mutex_lock(&heard.lock);
    snprintf(heard.lines[heard.count++ % 16], sizeof heard.lines[0], "%s", record->text);
    pthread_cond_broadcast(&heard.changed);
    pthread_mutex_unlock(&heard.lock);
}

void await_log(const char *part, const char *other) {
    bool found = false;
    pthread_mutex_lock(&heard.lock);
    for (;;) {
        for (size_t i = 0; i < 16 && !found; i++) {
            found = strstr(heard.lines[i], part) != NULL && strstr(heard.lines[i], other) != NULL;
        }
        if (found) {
            break;
        }
        pthread_cond_wait(&heard.changed, &heard.lock); /* the test's timeout is the bound */
    }
    pthread_mutex_unlock(&heard.lock);
}

/* ---- pools ------------------------------------------------------------------------------------------------------------- */

struct sl_pool *make_pool(uint32_t worker_count) {
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"call_functions", NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_pool *made = NULL;
    struct sl_error error = SL_ERROR_INIT;
    options.name = "calls";
    options.worker_count = worker_count;
    options.python_path = path;
    options.preload = preload;
    if (sl_pool_create(runtime, &options, &made, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return made;
}

static int start(uint32_t worker_count) {
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.log = hear;
    if (sl_runtime_create(&options, &runtime, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    pool = make_pool(worker_count);
    return 0;
}

int start_one(void **state) {
    (void)state;
    return start(1);
}

int start_two(void **state) {
    (void)state;
    return start(2);
}

int stop(void **state) {
    (void)state;
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    return 0;
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static struct sl_writer *next_writer(void) {
    assert_true(writer_count < VALUES_MAX);
    struct sl_writer *writer = &writers[writer_count++];
    sl_writer_init(writer, NULL);
    return writer;
}

struct sl_value json(const char *text) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_writer *writer = next_writer();
    if (sl_json_parse(text, strlen(text), writer, &error) != SL_OK) {
        fail_msg("%s: %s", text, error.message);
    }
    assert_int_equal(sl_writer_end(writer, &value, NULL), SL_OK);
    return value;
}

struct sl_value list_of(uint32_t count, const struct sl_value *values) {
    struct sl_value value;
    struct sl_writer *writer = next_writer();
    sl_write_list(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        sl_write_value(writer, values[i]);
    }
    assert_int_equal(sl_writer_end(writer, &value, NULL), SL_OK);
    return value;
}

int forget_values(void **state) {
    (void)state;
    while (writer_count > 0) {
        sl_writer_finish(&writers[--writer_count]);
    }
    return 0;
}

const char *shown(struct sl_value value) {
    static char text[8192];
    char *made = NULL;
    size_t capacity = 0, size = 0;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_json_print(value, 0, &made, &capacity, &size, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    snprintf(text, sizeof text, "%.*s", (int)size, made);
    free(made);
    return text;
}

/* ---- calls ------------------------------------------------------------------------------------------------------------- */

void expect_call(const struct sl_call_options *options, const char *target, const char *args, const char *expected) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value list = args != NULL ? json(args) : none;
    if (sl_call(pool, options, target, list, none, &result, &error) != SL_OK) {
        fail_msg("%s: %s", target, error.message);
    }
    assert_string_equal(shown(result.value), expected);
    sl_result_finish(&result);
}

int64_t call_number(struct sl_session *session, const char *target, const char *args) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    int64_t number = 0;
    options.session = session;
    if (sl_call(pool, &options, target, args != NULL ? json(args) : none, none, &result, &error) != SL_OK) {
        fail_msg("%s: %s", target, error.message);
    }
    assert_int_equal(sl_value_int(result.value, &number), SL_OK);
    sl_result_finish(&result);
    return number;
}

void expect_failure(enum sl_code code, enum sl_code expected, const struct sl_error *error, const char *part) {
    if (code != expected || error->code != expected || strstr(error->message, part) == NULL) {
        fail_msg("%s instead of %s; \"%s\" in \"%s\"?", sl_code_name(code), sl_code_name(expected), part,
                 error->message);
    }
}

struct sl_object *make_object(struct sl_session *session, const char *target, const char *args) {
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_object *object = NULL;
    options.session = session;
    if (sl_call(pool, &options, target, args != NULL ? json(args) : none, none, &result, &error) != SL_OK ||
        sl_object_take(&result, result.value, &object, &error) != SL_OK) {
        fail_msg("%s: %s", target, error.message);
    }
    sl_result_finish(&result);
    return object;
}

void await_number(struct sl_session *session, const char *target, const char *args, int64_t expected) {
    uint64_t until = now_ms() + AWAIT_MS;
    int64_t number;
    while ((number = call_number(session, target, args)) != expected) {
        if (now_ms() > until) {
            fail_msg("%s is %lld, not %lld", target, (long long)number, (long long)expected);
        }
    }
}

uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t resident_kib(void) {
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu %llu", &size, &resident), 2);
    fclose(file);
    return resident * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}
