/* SPDX-License-Identifier: MIT */
/*
 * A run that the caller pulls: outputs are lined up by sinks, and whoever asks for the next one feeds the run meanwhile.
 *
 * A sink never blocks: the thread that asks carries items through native stages itself, and would wait for itself. Instead nothing is read from the
 * source while what is under way and what is lined up come to the bounds of the run.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "run.h"

/* One item that has reached an output. */
struct landed {
    struct landed *next;
    uint64_t number; /* counts arrivals */
    struct sl_pipe_outcome outcome;
    struct sl_error error;
    size_t bytes;
    _Alignas(8) uint8_t memory[]; /* value, meta */
};

/* Those at one output, in the order in which they came. */
struct line {
    struct sl_pipe_stream *stream;
    struct landed *first, *last;
};

struct sl_pipe_stream {
    struct sl_pipe *pipe;
    struct sl_pipe_run *run;
    struct sl_source source;
    struct sl_item item; /* read, and not yet taken by the run */
    bool has_item, dry, sealed;
    struct landed *given; /* what the caller looks at */
    uint64_t in_flight_max, in_flight_bytes_max;
    pthread_mutex_t lock; /* guards what follows */
    struct line *lines;   /* by output */
    uint64_t arrival_count, waiting_count, waiting_bytes;
};

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

static void discard(struct landed *landed) {
    if (landed != NULL) {
        sl_error_finish(&landed->error);
        free(landed);
    }
}

static struct sl_value keep(struct landed *landed, size_t offset, struct sl_value value) {
    if (value.size == 0) {
        return (struct sl_value){NULL, 0};
    }
    memcpy(landed->memory + offset, value.data, value.size);
    return (struct sl_value){landed->memory + offset, value.size};
}

static enum sl_code put(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct line *line = context;
    struct sl_pipe_stream *stream = line->stream;
    size_t meta_offset = (outcome->value.size + 7) & ~(size_t)7; /* arrays in it stay aligned */
    size_t bytes = meta_offset + outcome->meta.size;
    struct landed *landed = malloc(sizeof *landed + bytes);
    if (landed == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to line up an item of %zu bytes", bytes);
    }
    *landed = (struct landed){.outcome = *outcome, .error = SL_ERROR_INIT, .bytes = bytes};
    landed->outcome.value = keep(landed, 0, outcome->value);
    landed->outcome.meta = keep(landed, meta_offset, outcome->meta);
    if (outcome->error != NULL) {
        sl_error_copy(&landed->error, outcome->error);
        landed->outcome.error = &landed->error;
    }
    pthread_mutex_lock(&stream->lock);
    landed->number = stream->arrival_count++;
    stream->waiting_count++;
    stream->waiting_bytes += bytes;
    if (line->last != NULL) {
        line->last->next = landed;
    } else {
        line->first = landed;
    }
    line->last = landed;
    pthread_mutex_unlock(&stream->lock);
    sl__bell_ring(&stream->run->bell);
    return SL_OK;
}

/* The first of a line, or of all lines the one that came first; NULL: none. */
static struct landed *take(struct sl_pipe_stream *stream, struct line *wanted) {
    pthread_mutex_lock(&stream->lock);
    struct line *line = wanted;
    for (uint32_t i = 0; wanted == NULL && i < stream->pipe->output_count; i++) {
        struct line *other = &stream->lines[i];
        if (other->first != NULL && (line == NULL || other->first->number < line->first->number)) {
            line = other;
        }
    }
    struct landed *landed = line != NULL ? line->first : NULL;
    if (landed != NULL) {
        line->first = landed->next;
        line->last = landed->next != NULL ? line->last : NULL;
        stream->waiting_count--;
        stream->waiting_bytes -= landed->bytes;
    }
    pthread_mutex_unlock(&stream->lock);
    return landed;
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

/* Nothing more is read, because of `code`: end, closed, or a failure of the source. */
static void stop_reading(struct sl_pipe_stream *stream, enum sl_code code, const struct sl_error *cause) {
    stream->dry = true;
    if (code != SL_E_END && code != SL_E_CLOSED) {
        sl__pipe_run_source_failed(stream->run, code, cause);
    }
}

static uint64_t under_way(const struct sl_pipe_stream *stream) {
    return atomic_load(&stream->run->tail) - atomic_load(&stream->run->head);
}

/* Whether another item may be read, with what is lined up in mind. */
static bool has_window(struct sl_pipe_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    uint64_t count = stream->waiting_count, bytes = stream->waiting_bytes;
    pthread_mutex_unlock(&stream->lock);
    count += under_way(stream);
    bytes += atomic_load(&stream->run->bytes);
    return count < stream->in_flight_max && (bytes < stream->in_flight_bytes_max || count == 0);
}

/* Moves one item into the run. again: none now, or no room; end: there will be none. */
static enum sl_code feed(struct sl_pipe_stream *stream) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = SL_OK;
    if (!stream->dry && atomic_load(&stream->run->ending) != SL__PIPE_RUNNING) {
        stream->dry = true;
    }
    if (!stream->dry && !stream->has_item) {
        /* Room first: an item that was read is taken. Looked at again after the wish is known, as in run.c. */
        if (!has_window(stream)) {
            atomic_store(&stream->run->feeder_waits, true);
        }
        if (!has_window(stream) || !sl__pipe_run_has_room(stream->run)) {
            return SL_E_AGAIN;
        }
        code = stream->source.next(stream->source.context, &stream->item, &error);
        stream->has_item = code == SL_OK;
    }
    if (!stream->dry && stream->has_item) {
        code = sl_pipe_try_push(stream->run, &stream->item, &error);
        stream->has_item = code == SL_E_AGAIN;
    }
    if (!stream->dry && code != SL_OK && code != SL_E_AGAIN) {
        stop_reading(stream, code, &error);
    }
    sl_error_finish(&error);
    if (!stream->dry) {
        return code;
    }
    if (!stream->sealed) {
        stream->sealed = true;
        sl__pipe_run_seal(stream->run);
    }
    return SL_E_END;
}

/* ---- the face ---------------------------------------------------------------------------------------------------- */

static bool has_sink(const struct sl_pipe_options *options, const char *output) {
    for (uint32_t i = 0; i < options->sink_count; i++) {
        const char *name = options->sinks[i].output;
        if (name == NULL || strcmp(name, output) == 0) {
            return true;
        }
    }
    return false;
}

/* Starts the run with sinks for those outputs that have none. */
static enum sl_code start(struct sl_pipe_stream *stream, struct sl_pipe_options *options, struct sl_error *error) {
    const struct sl_pipe *pipe = stream->pipe;
    struct sl_pipe_sink *sinks = calloc(options->sink_count + pipe->output_count, sizeof *sinks);
    if (sinks == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a stream of pipe %s", pipe->name);
    }
    uint32_t count = 0;
    for (; count < options->sink_count; count++) {
        sinks[count] = options->sinks[count];
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        stream->lines[i].stream = stream;
        if (!has_sink(options, pipe->outputs[i])) {
            sinks[count++] = (struct sl_pipe_sink){pipe->outputs[i], put, &stream->lines[i]};
        }
    }
    options->sinks = sinks;
    options->sink_count = count;
    enum sl_code code = sl_pipe_start(stream->pipe, options, &stream->run, error);
    free(sinks);
    return code;
}

enum sl_code sl_pipe_stream_open(struct sl_pipe *pipe, const struct sl_pipe_options *given, struct sl_source source,
                                 struct sl_pipe_stream **out, struct sl_error *error) {
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    *out = NULL;
    if (given != NULL) {
        memcpy(&options, given, SL_MIN(given->size, sizeof options));
    }
    struct sl_pipe_stream *stream = calloc(1, sizeof *stream);
    struct line *lines = calloc(pipe->output_count, sizeof *lines);
    if (stream == NULL || lines == NULL) {
        free(stream);
        free(lines);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a stream of pipe %s", pipe->name);
    }
    stream->pipe = pipe;
    stream->lines = lines;
    stream->source = source;
    stream->in_flight_max = options.in_flight_max;
    stream->in_flight_bytes_max = options.in_flight_bytes_max;
    pthread_mutex_init(&stream->lock, NULL);
    enum sl_code code = start(stream, &options, error);
    if (code != SL_OK) {
        sl_pipe_stream_close(stream, NULL);
        return code;
    }
    *out = stream;
    return SL_OK;
}

static enum sl_code find_line(struct sl_pipe_stream *stream, const char *output, struct line **line,
                              struct sl_error *error) {
    *line = NULL;
    for (uint32_t i = 0; output != NULL && i < stream->pipe->output_count; i++) {
        if (strcmp(stream->pipe->outputs[i], output) == 0) {
            *line = &stream->lines[i];
            return SL_OK;
        }
    }
    return output == NULL ? SL_OK
                          : sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s has no output \"%.100s\"",
                                         stream->pipe->name, output);
}

static enum sl_code end_of(struct sl_pipe_stream *stream, struct sl_error *error) {
    struct sl_pipe_run *run = stream->run;
    pthread_mutex_lock(&run->state);
    enum sl_code code = run->error.code != SL_OK ? run->error.code : SL_E_END;
    if (code != SL_E_END) {
        sl_error_copy(error, &run->error);
    }
    pthread_mutex_unlock(&run->state);
    return code;
}

enum sl_code sl_pipe_stream_next(struct sl_pipe_stream *stream, const char *output, struct sl_pipe_outcome *outcome,
                                 struct sl_error *error) {
    struct sl_pipe_run *run = stream->run;
    struct line *line;
    enum sl_code code = find_line(stream, output, &line, error);
    if (code != SL_OK) {
        return code;
    }
    discard(stream->given);
    stream->given = NULL;
    for (;;) {
        uint32_t seen = atomic_load(&run->bell.value);
        bool over = stream->sealed && atomic_load(&run->running) == 0; /* what comes has come, then */
        bool idle = under_way(stream) == 0;
        stream->given = take(stream, line);
        if (stream->given == NULL && over) {
            return end_of(stream, error);
        }
        code = feed(stream); /* one out, one in: the stages stay busy while the caller works */
        if (stream->given != NULL) {
            *outcome = stream->given->outcome;
            return SL_OK;
        }
        if (code == SL_E_AGAIN && !idle && under_way(stream) == 0) {
            continue; /* the last one has ended since the lines were looked at */
        }
        if (code == SL_E_AGAIN && idle && !has_window(stream)) {
            return sl_error_set(
                error, SL_E_LIMIT,
                "nothing comes to output \"%.100s\" before items at other outputs of pipe %s are taken: "
                "%llu are lined up there, and in_flight_max is %llu",
                output, stream->pipe->name, (unsigned long long)stream->waiting_count,
                (unsigned long long)stream->in_flight_max);
        }
        if (code == SL_E_AGAIN || (code == SL_E_END && atomic_load(&run->running) != 0)) {
            sl__lanes_wait(NULL, 0, &run->bell, seen, 0, &run->spin, false);
        }
    }
}

struct sl_pipe_run *sl_pipe_stream_run(struct sl_pipe_stream *stream) {
    return stream->run;
}

void sl_pipe_stream_close(struct sl_pipe_stream *stream, struct sl_pipe_report *report) {
    if (stream == NULL) {
        return;
    }
    if (stream->run != NULL) {
        if (!stream->sealed || atomic_load(&stream->run->running) != 0) {
            sl_pipe_cancel(stream->run);
        }
        (void)sl_pipe_finish(stream->run, 0, report, NULL);
    }
    discard(stream->given);
    for (struct landed *landed; (landed = take(stream, NULL)) != NULL;) {
        discard(landed);
    }
    pthread_mutex_destroy(&stream->lock);
    free(stream->lines);
    free(stream);
}
