/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Chunks between reader and run. The bytes bound holds beside it when items are large; one chunk may always wait. */
#define CHUNK_MAX 8
/* A reader that takes longer to see that it should stop is in an expression that does not end. */
#define STOP_SECONDS 2
#define QUEUE_BYTES_MAX ((size_t)16 << 20)

enum reader_state { READER_RUNNING, READER_ENDED, READER_FAILED };

struct input {
    struct input_options options;
    const char *name;
    int fd;
    int stop_fd;
    bool is_regular;
    bool is_terminal;
    uint64_t size;
    struct line_parser parser;
    void (*wake)(void *context);
    void *wake_context;
    pthread_t thread;
    bool thread_started;

    /* Shared between the thread and the run. */
    pthread_mutex_t mutex;
    pthread_cond_t room;
    struct chunk *first; /* filled, oldest first */
    struct chunk *last;
    struct chunk *idle; /* empty, for the next use */
    size_t chunk_count; /* all that exist */
    size_t queued_bytes;
    bool stopping;
    bool run_waits; /* the run found nothing and wants to be woken */
    enum reader_state state;
    char failure[200];
    int failure_errno;

    /* Of the run alone. */
    struct chunk *current;
    size_t next_entry;
    uint64_t skip_items;       /* still to be passed over */
    _Atomic uint64_t position; /* looked at by others */
    _Atomic uint64_t line;
    bool any_good;
};

/* ---- the reader thread ---- */

/* An empty chunk; waits until the run has made room. NULL: stopping, or out of memory. */
static struct chunk *take_empty(struct input *input) {
    struct chunk *chunk = NULL;
    pthread_mutex_lock(&input->mutex);
    while (!input->stopping && input->first != NULL &&
           ((input->idle == NULL && input->chunk_count == CHUNK_MAX) || input->queued_bytes > QUEUE_BYTES_MAX)) {
        pthread_cond_wait(&input->room, &input->mutex);
    }
    if (!input->stopping) {
        chunk = input->idle;
        if (chunk != NULL) {
            input->idle = chunk->next;
        } else {
            chunk = chunk_create();
            input->chunk_count += chunk != NULL;
        }
    }
    pthread_mutex_unlock(&input->mutex);
    return chunk;
}

/* `state` and, when it failed, `failure` take effect behind the chunk, which may be NULL. */
static void hand_on(struct input *input, struct chunk *chunk, enum reader_state state) {
    pthread_mutex_lock(&input->mutex);
    if (chunk != NULL) {
        chunk->next = NULL;
        if (input->last == NULL) {
            input->first = chunk;
        } else {
            input->last->next = chunk;
        }
        input->last = chunk;
        input->queued_bytes += chunk->size;
    }
    input->state = state;
    if (input->run_waits && input->wake != NULL) {
        input->wake(input->wake_context); /* under the mutex: input_leave waits for it */
    }
    input->run_waits = false;
    pthread_mutex_unlock(&input->mutex);
}

static void fail(struct input *input, struct chunk *chunk, const char *what, int number) {
    snprintf(input->failure, sizeof(input->failure), "%s%s%s", what, number != 0 ? ": " : "",
             number != 0 ? strerror(number) : "");
    input->failure_errno = number;
    hand_on(input, chunk, READER_FAILED);
}

static bool is_stopping(struct input *input) {
    pthread_mutex_lock(&input->mutex);
    bool stopping = input->stopping;
    pthread_mutex_unlock(&input->mutex);
    return stopping;
}

static void *read_input(void *context) {
    struct input *input = context;
    struct line_reader reader;
    /* A read of a regular file never waits for long: it needs no poll in front of it. */
    line_reader_init(&reader, input->fd, input->is_regular ? -1 : input->stop_fd, input->options.line_max);
    uint64_t skip_lines = input->options.skip_lines;
    if (input->is_regular && input->options.skip_bytes > 0) {
        line_reader_go_on(&reader, input->options.skip_bytes, input->options.skip_lines);
        skip_lines = 0;
    }

    struct chunk *chunk = NULL;
    for (;;) {
        if (chunk == NULL && (chunk = take_empty(input)) == NULL) {
            if (!is_stopping(input)) {
                fail(input, NULL, "out of memory", 0);
            }
            break;
        }
        struct line line;
        enum line_result result = line_reader_next(&reader, &line);
        if (result == LINE_OK && line.number <= skip_lines) {
            continue;
        }
        if (result == LINE_OK) {
            if (!line_parser_add(&input->parser, chunk, &line)) {
                fail(input, chunk, "out of memory", 0);
                break;
            }
            if (chunk_is_full(chunk)) {
                hand_on(input, chunk, READER_RUNNING);
                chunk = NULL;
            }
            continue;
        }
        if (result == LINE_END && reader.line_number < skip_lines) {
            char what[120];
            snprintf(what, sizeof(what), "it has only %" PRIu64 " of the %" PRIu64 " lines that are to be passed over",
                     reader.line_number, skip_lines);
            fail(input, chunk, what, 0);
            break;
        }
        if (result == LINE_END) {
            hand_on(input, chunk, READER_ENDED);
            break;
        }
        if (chunk->count > 0) {
            hand_on(input, chunk, READER_RUNNING);
            chunk = NULL;
        }
        result = line_reader_fill(&reader);
        if (result != LINE_OK) {
            if (result == LINE_ERROR) {
                fail(input, chunk, "cannot be read", errno);
            } else if (result == LINE_MEMORY) {
                fail(input, chunk, "out of memory", 0);
            } else {
                chunk_destroy(chunk);
            }
            break;
        }
        if (is_stopping(input)) { /* in the midst of a line without end */
            chunk_destroy(chunk);
            break;
        }
    }
    line_reader_finish(&reader);
    return NULL;
}

/* ---- opening and closing ---- */

/* False: the file is not the one that was read before, as far as that can be seen. */
static bool go_to(struct input *input, uint64_t start, char *problem, size_t problem_size) {
    uint64_t skip = input->options.skip_bytes;
    char last = '\n';
    if (skip > input->size) {
        snprintf(problem, problem_size,
                 "%s has %" PRIu64 " bytes, and %" PRIu64 " are to be passed over: it is not what was read before",
                 input->name, input->size, skip);
        return false;
    }
    if (skip > 0 && skip < input->size &&
        (pread(input->fd, &last, 1, (off_t)(start + skip - 1)) != 1 || last != '\n')) {
        snprintf(problem, problem_size,
                 "%s: no line ends at byte %" PRIu64 ", where line %" PRIu64 " ended before: it has been changed",
                 input->name, skip, input->options.skip_lines);
        return false;
    }
    if (lseek(input->fd, (off_t)(start + skip), SEEK_SET) < 0) {
        snprintf(problem, problem_size, "cannot read %s: %s", input->name, strerror(errno));
        return false;
    }
    input->position = skip;
    input->line = input->options.skip_lines;
    return true;
}

struct input *input_open(const struct input_options *options, char *problem, size_t problem_size) {
    const char *name = options->path != NULL ? options->path : "stdin";
    struct input *input = calloc(1, sizeof(*input));
    if (input == NULL) {
        snprintf(problem, problem_size, "out of memory");
        return NULL;
    }
    *input = (struct input){
        .options = *options, .name = name, .fd = STDIN_FILENO, .stop_fd = -1, .skip_items = options->skip_items};
    pthread_mutex_init(&input->mutex, NULL);
    pthread_cond_init(&input->room, NULL);
    line_parser_init(&input->parser);

    struct stat status;
    if (options->path != NULL) {
        input->fd = open(options->path, O_RDONLY | O_CLOEXEC);
    }
    if (input->fd < 0 || fstat(input->fd, &status) < 0) {
        snprintf(problem, problem_size, "cannot open %s: %s", name, strerror(errno));
        input_close(input);
        return NULL;
    }
    if (S_ISDIR(status.st_mode)) {
        snprintf(problem, problem_size, "cannot read %s: it is a directory", name);
        input_close(input);
        return NULL;
    }
    input->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (input->stop_fd < 0) {
        snprintf(problem, problem_size, "cannot read %s: %s", name, strerror(errno));
        input_close(input);
        return NULL;
    }
    input->is_regular = S_ISREG(status.st_mode);
    input->is_terminal = isatty(input->fd) == 1;
    if (input->is_regular) {
        off_t start = lseek(input->fd, 0, SEEK_CUR);
        if (start >= 0 && status.st_size > start) {
            input->size = (uint64_t)(status.st_size - start);
        }
        if (options->skip_bytes > 0 && !go_to(input, start > 0 ? (uint64_t)start : 0, problem, problem_size)) {
            input_close(input);
            return NULL;
        }
        (void)posix_fadvise(input->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return input;
}

void input_leave(struct input *input) {
    pthread_mutex_lock(&input->mutex);
    input->wake = NULL;
    pthread_mutex_unlock(&input->mutex);
}

bool input_stop(struct input *input) {
    pthread_mutex_lock(&input->mutex);
    input->stopping = true;
    pthread_cond_broadcast(&input->room);
    pthread_mutex_unlock(&input->mutex);
    if (input->thread_started) {
        eventfd_write(input->stop_fd, 1);
        struct timespec deadline;
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += STOP_SECONDS;
        if (pthread_timedjoin_np(input->thread, NULL, &deadline) != 0) {
            return false;
        }
        input->thread_started = false;
    }
    return true;
}

void input_close(struct input *input) {
    if (input == NULL) {
        return;
    }
    if (!input_stop(input)) {
        return; /* the thread still uses all of it */
    }
    chunk_destroy(input->current);
    struct chunk *lists[] = {input->first, input->idle};
    for (size_t i = 0; i < 2; i++) {
        for (struct chunk *chunk = lists[i], *next; chunk != NULL; chunk = next) {
            next = chunk->next;
            chunk_destroy(chunk);
        }
    }
    line_parser_finish(&input->parser);
    pthread_cond_destroy(&input->room);
    pthread_mutex_destroy(&input->mutex);
    if (input->stop_fd >= 0) {
        close(input->stop_fd);
    }
    if (input->fd > STDIN_FILENO) {
        close(input->fd);
    }
    free(input);
}

enum sl_code input_start(struct input *input, void (*wake)(void *context), void *wake_context, struct sl_error *error) {
    input->wake = wake;
    input->wake_context = wake_context;
    int number = pthread_create(&input->thread, NULL, read_input, input);
    if (number != 0) {
        return sl_error_set(error, SL_E_SYSTEM, "cannot start the thread that reads %s: %s", input->name,
                            strerror(number));
    }
    input->thread_started = true;
    return SL_OK;
}

struct line_parser *input_parser(struct input *input) {
    return &input->parser;
}

const char *input_name(const struct input *input) {
    return input->name;
}

bool input_is_regular(const struct input *input) {
    return input->is_regular;
}

bool input_is_terminal(const struct input *input) {
    return input->is_terminal;
}

int input_fd(const struct input *input) {
    return input->fd;
}

uint64_t input_size(const struct input *input) {
    return input->size;
}

uint64_t input_position(const struct input *input) {
    return input->position;
}

uint64_t input_line(const struct input *input) {
    return input->line;
}

/* ---- the run's side ---- */

/* Makes the next filled chunk the current one. SL_E_AGAIN: none yet. */
static enum sl_code take_filled(struct input *input, struct sl_error *error) {
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&input->mutex);
    if (input->current != NULL) {
        chunk_reset(input->current);
        input->current->next = input->idle;
        input->idle = input->current;
        input->current = NULL;
    }
    struct chunk *chunk = input->first;
    if (chunk != NULL) {
        input->first = chunk->next;
        if (input->first == NULL) {
            input->last = NULL;
        }
        input->queued_bytes -= chunk->size;
        input->current = chunk;
        input->next_entry = 0;
    } else if (input->state == READER_RUNNING) {
        input->run_waits = true;
        code = SL_E_AGAIN;
    } else if (input->state == READER_FAILED) {
        code = sl_error_set(error, SL_E_SYSTEM, "%s: %s", input->name, input->failure);
        if (error != NULL) {
            error->system_errno = input->failure_errno;
        }
    } else {
        code = SL_E_END;
    }
    pthread_cond_signal(&input->room);
    pthread_mutex_unlock(&input->mutex);
    return code;
}

static enum sl_code report_bad(struct input *input, const struct entry *entry, struct sl_error *error) {
    struct bad_line bad = {
        .input = input->name,
        .line = entry->line,
        .code = entry->code,
        .problem = chunk_bytes(input->current, entry->problem),
        .text = chunk_bytes(input->current, entry->value),
        .text_size = entry->value.size,
    };
    if (!input->any_good) {
        bad.advice = bad.text_size > 0 ? lines_sniff(bad.text, bad.text_size) : NULL;
        input->any_good = true; /* advice is given once */
    }
    if (input->options.bad_line(input->options.context, &bad)) {
        return SL_OK;
    }
    return sl_error_set(error, entry->code, "%s:%" PRIu64 ": %s", input->name, entry->line, bad.problem);
}

static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct input *input = context;
    for (;;) {
        while (input->current == NULL || input->next_entry == input->current->count) {
            enum sl_code code = take_filled(input, error);
            if (code == SL_E_AGAIN) {
                input->options.idle(input->options.context);
            }
            if (code == SL_E_END && input->skip_items > 0) {
                return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                    "%s: it has only %" PRIu64 " of the %" PRIu64 " items that are to be passed over",
                                    input->name, input->options.skip_items - input->skip_items,
                                    input->options.skip_items);
            }
            if (code != SL_OK) {
                return code;
            }
        }
        const struct entry *entry = &input->current->entries[input->next_entry++];
        atomic_store_explicit(&input->position, entry->end_offset, memory_order_relaxed);
        atomic_store_explicit(&input->line, entry->line, memory_order_relaxed);
        if (input->skip_items > 0) {
            input->skip_items -= entry->bad ? 0 : 1;
            continue;
        }
        if (entry->bad) {
            enum sl_code code = report_bad(input, entry, error);
            if (code != SL_OK) {
                return code;
            }
            continue;
        }
        input->any_good = true;
        *item = (struct sl_item){
            .id = entry->line,
            .value = chunk_value(input->current, entry->value),
            .meta = chunk_value(input->current, entry->meta),
        };
        return SL_OK;
    }
}

struct sl_source input_source(struct input *input) {
    return (struct sl_source){next_item, input};
}

/* The dispatch places an item before it pulls the next one: the entry is the one that next_item() gave last. */
static const struct entry *placed_entry(const struct input *input, const struct sl_item *item, struct sl_error *error) {
    const struct entry *entry = &input->current->entries[input->next_entry - 1];
    if (entry->line != item->id) {
        sl_error_set(error, SL_E_STRATEGY, "%s:%" PRIu64 ": the item was placed out of turn", input->name, item->id);
        return NULL;
    }
    if (entry->problem.size > 0) {
        sl_error_set(error, SL_E_STRATEGY, "%s:%" PRIu64 ": %s", input->name, entry->line,
                     (const char *)chunk_bytes(input->current, entry->problem));
        return NULL;
    }
    return entry;
}

enum sl_code input_weight(void *context, const struct sl_item *item, uint64_t *weight, struct sl_error *error) {
    const struct entry *entry = placed_entry(context, item, error);
    if (entry == NULL) {
        return SL_E_STRATEGY;
    }
    *weight = entry->weight;
    return SL_OK;
}

enum sl_code input_key(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    struct input *input = context;
    const struct entry *entry = placed_entry(input, item, error);
    if (entry == NULL) {
        return SL_E_STRATEGY;
    }
    *key = chunk_value(input->current, entry->key);
    return SL_OK;
}
