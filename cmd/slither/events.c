/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "console.h"
#include "nearest.h"
#include "output.h"

#define QUEUE_SIZE ((size_t)1 << 20)
#ifndef EVENTS_CLOSE_MS /* its test has less patience */
#define EVENTS_CLOSE_MS 2000
#endif
#define NAME_MAX_SIZE 64

const char *const events_prefixes[] = {"slither.dispatch", "slither.pipe", "slither.store",
                                       "slither.bridge",   "slither.pool", "slither.worker",
                                       "slither.session",  "slither.call", NULL};

/* Lines one after the other, each with its newline. */
struct block {
    char *bytes;
    size_t size;
};

static struct {
    const char *prefix;
    struct output output;
    struct stop stop;
    pthread_t thread;
    bool open;

    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* there is something to write, or it is over; and: the thread is through */
    struct block filling;
    struct sl_writer writer; /* of the event that is told just now */
    char *text;
    size_t text_capacity;
    uint64_t count, dropped;
    bool over, through;

    /* the thread's, and afterwards the closer's */
    struct block writing;
    uint64_t unwritten;
    struct sl_error error;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER, .output = {.fd = -1}, .stop = {.fd = -1}, .error = SL_ERROR_INIT};

/* ---- telling ------------------------------------------------------------------------------------------------------ */

/* With the lock. */
static bool append(const char *text, size_t size) {
    struct block *block = &events.filling;
    if (QUEUE_SIZE - block->size < size + 1) {
        return false;
    }
    memcpy(block->bytes + block->size, text, size);
    block->bytes[block->size + size] = '\n';
    block->size += size + 1;
    return true;
}

static void take(void *context, const struct sl_event *event) {
    struct sl_value value;
    size_t size = 0;
    (void)context;
    pthread_mutex_lock(&events.lock);
    sl_writer_reset(&events.writer);
    sl_event_write(event, &events.writer);
    bool fits = sl_writer_end(&events.writer, &value, NULL) == SL_OK &&
                sl_json_print(value, SL_JSON_NAN_AS_NULL, &events.text, &events.text_capacity, &size, NULL) == SL_OK &&
                append(events.text, size);
    events.count++;
    events.dropped += fits ? 0 : 1;
    if (fits) {
        pthread_cond_signal(&events.changed);
    }
    pthread_mutex_unlock(&events.lock);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void write_lines(const struct block *block) {
    const char *line = block->bytes, *end = block->bytes + block->size;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (events.error.code != SL_OK ||
            output_line(&events.output, line, (size_t)(newline - line), &events.error) != SL_OK) {
            events.unwritten++;
        }
        line = newline + 1;
    }
    if (events.error.code == SL_OK) {
        (void)output_flush(&events.output, &events.error);
    }
}

static void write_last_line(void) {
    char text[128];
    int size = snprintf(text, sizeof text, "{\"end\":true,\"events\":%llu,\"dropped\":%llu}",
                        (unsigned long long)events.count, (unsigned long long)(events.dropped + events.unwritten));
    if (events.error.code == SL_OK && output_line(&events.output, text, (size_t)size, &events.error) == SL_OK) {
        (void)output_flush(&events.output, &events.error);
    }
}

static void *work(void *context) {
    (void)context;
    pthread_mutex_lock(&events.lock);
    while (!events.over || events.filling.size > 0) {
        if (events.filling.size == 0) {
            pthread_cond_wait(&events.changed, &events.lock);
            continue;
        }
        struct block full = events.filling;
        events.filling = (struct block){events.writing.bytes, 0};
        events.writing = full;
        pthread_mutex_unlock(&events.lock);
        write_lines(&full);
        pthread_mutex_lock(&events.lock);
    }
    pthread_mutex_unlock(&events.lock);
    write_last_line();
    pthread_mutex_lock(&events.lock);
    events.through = true;
    pthread_cond_broadcast(&events.changed);
    pthread_mutex_unlock(&events.lock);
    return NULL;
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

/* Whether an event's name is the prefix, or begins with it up to a dot; as sl_telemetry_attach() will have it. */
static bool is_prefix(const char *prefix, size_t size, const char *name) {
    return strncmp(name, prefix, size) == 0 && (size == 0 || name[size] == '\0' || name[size] == '.');
}

static bool check_prefix(const char *prefix, char *problem, size_t problem_size) {
    struct nearest nearest = {.typed = prefix};
    size_t size = strlen(prefix);
    size -= size > 0 && prefix[size - 1] == '.' ? 1 : 0;
    for (uint32_t i = 0; i < sl_event_kind_count(); i++) {
        const char *name = sl_event_kind_at(i)->name;
        if (is_prefix(prefix, size, name)) {
            return true;
        }
        nearest_offer(&nearest, name);
    }
    for (size_t i = 0; events_prefixes[i] != NULL; i++) {
        nearest_offer(&nearest, events_prefixes[i]);
    }
    snprintf(problem, problem_size, "--events-prefix: no event begins with '%.80s'%s%s%s; slither(1) lists them",
             prefix, nearest.name != NULL ? "; did you mean '" : "", nearest.name != NULL ? nearest.name : "",
             nearest.name != NULL ? "'?" : "");
    return false;
}

static bool start_thread(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&events.thread, NULL, work, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0;
}

static bool prepare(void) {
    pthread_condattr_t attributes;
    bool fine = stop_init(&events.stop) && pthread_condattr_init(&attributes) == 0;
    if (fine) {
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        fine = pthread_cond_init(&events.changed, &attributes) == 0;
        pthread_condattr_destroy(&attributes);
    }
    sl_writer_init(&events.writer, NULL);
    events.filling.bytes = malloc(QUEUE_SIZE);
    events.writing.bytes = malloc(QUEUE_SIZE);
    events.output.stop = &events.stop;
    return fine && events.filling.bytes != NULL && events.writing.bytes != NULL;
}

bool events_open(const struct events_options *options, int input_fd, char *problem, size_t problem_size) {
    events.prefix = options->prefix != NULL ? options->prefix : "slither";
    if (options->path == NULL && options->prefix != NULL) {
        snprintf(problem, problem_size, "--events-prefix needs --events: the file that they are written to");
        return false;
    }
    if (options->path == NULL) {
        return true;
    }
    if (!check_prefix(events.prefix, problem, problem_size) ||
        !output_open(&events.output, options->path, 0, input_fd, problem, problem_size)) {
        return false;
    }
    events.open = prepare() && start_thread();
    if (!events.open) {
        snprintf(problem, problem_size, "no memory to write %.200s", options->path);
    }
    return events.open;
}

enum sl_code events_attach(struct sl_runtime *runtime, struct sl_error *error) {
    struct sl_telemetry_handler *handler; /* the runtime's to free, after its last event */
    return events.open ? sl_telemetry_attach(runtime, events.prefix, take, NULL, &handler, error) : SL_OK;
}

/* The thread is through, or is told to stop after a while. */
static void await_thread(void) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += EVENTS_CLOSE_MS % 1000 * 1000000L;
    until.tv_sec += EVENTS_CLOSE_MS / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&events.lock);
    events.over = true;
    pthread_cond_broadcast(&events.changed);
    int status = 0;
    while (!events.through && status == 0) {
        status = pthread_cond_timedwait(&events.changed, &events.lock, &until);
    }
    pthread_mutex_unlock(&events.lock);
    if (status != 0) {
        stop_say(&events.stop);
    }
    pthread_join(events.thread, NULL);
}

void events_close(void) {
    if (events.open) {
        await_thread();
        struct sl_error error = SL_ERROR_INIT;
        (void)output_close(&events.output, events.error.code == SL_OK ? &events.error : &error);
        sl_error_finish(&error);
        uint64_t missing = events.dropped + events.unwritten;
        if (events.error.code == SL_E_CANCELLED) {
            console_message(
                CONSOLE_ERROR,
                "the events were not written to the end: %s did not take them within %g s; have something read it "
                "while the command runs, or name a regular file",
                events.output.name, EVENTS_CLOSE_MS / 1000.0);
        } else if (events.error.code != SL_OK) {
            console_message(CONSOLE_ERROR, "the events were not written to the end: %s", events.error.message);
        } else if (missing > 0) {
            console_message(CONSOLE_PLAIN, "%llu of %llu events were dropped: %s takes them too slowly",
                            (unsigned long long)missing, (unsigned long long)events.count, events.output.name);
        }
        pthread_cond_destroy(&events.changed);
        sl_writer_finish(&events.writer);
    }
    sl_error_finish(&events.error);
    free(events.text);
    free(events.filling.bytes);
    free(events.writing.bytes);
    stop_finish(&events.stop);
    events.open = false;
}
