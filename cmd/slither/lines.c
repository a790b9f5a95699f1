/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One read. Large enough that system calls do not count beside parsing. */
#define READ_SIZE ((size_t)256 << 10)
/* A buffer that one long line made larger than this is given back after it. */
#define KEEP_SIZE ((size_t)1 << 20)
/* How much of a too long line is kept, to show where it is. */
#define OVERLONG_KEEP 64

void line_reader_init(struct line_reader *reader, int fd, int stop_fd, size_t line_max) {
    *reader = (struct line_reader){.fd = fd, .stop_fd = stop_fd, .line_max = line_max};
}

void line_reader_go_on(struct line_reader *reader, uint64_t offset, uint64_t line_number) {
    reader->offset = offset;
    reader->line_number = line_number;
    reader->started = true; /* a byte order mark stands at the start only */
}

void line_reader_finish(struct line_reader *reader) {
    free(reader->buffer);
    reader->buffer = NULL;
    reader->capacity = reader->begin = reader->end = reader->scanned = 0;
}

static void take(struct line_reader *reader, size_t size) {
    reader->begin += size;
    reader->scanned = reader->begin;
    reader->offset += size;
}

/* The line of `size` bytes at `begin`, whose end takes `end_size` bytes. */
static enum line_result give(struct line_reader *reader, struct line *line, size_t size, size_t end_size) {
    line->text = reader->buffer + reader->begin;
    take(reader, size + end_size);
    line->number = ++reader->line_number;
    line->end_offset = reader->offset;
    line->overlong = 0;
    if (reader->dropping) {
        line->overlong = reader->overlong + size;
        line->size = size < OVERLONG_KEEP ? size : OVERLONG_KEEP;
        reader->dropping = false;
        reader->overlong = 0;
        return LINE_OK;
    }
    if (size > 0 && line->text[size - 1] == '\r') {
        size--;
    }
    line->size = size;
    if (size > reader->line_max) {
        line->overlong = size;
        line->size = size < OVERLONG_KEEP ? size : OVERLONG_KEEP;
    }
    return LINE_OK;
}

enum line_result line_reader_next(struct line_reader *reader, struct line *line) {
    if (!reader->started) {
        /* A mark that trickles in one byte at a time is waited for. */
        static const char mark[3] = {'\xef', '\xbb', '\xbf'};
        size_t size = reader->end - reader->begin;
        size_t common = size < sizeof(mark) ? size : sizeof(mark);
        bool matches = common == 0 || memcmp(reader->buffer + reader->begin, mark, common) == 0;
        if (matches && common < sizeof(mark) && !reader->ended) {
            return LINE_MORE;
        }
        reader->started = true;
        if (matches && common == sizeof(mark)) {
            take(reader, sizeof(mark));
        }
    }
    size_t size = reader->end - reader->begin;
    if (size > 0) {
        const char *from = reader->buffer + reader->scanned;
        const char *end = memchr(from, '\n', reader->end - reader->scanned);
        if (end != NULL) {
            return give(reader, line, (size_t)(end - (reader->buffer + reader->begin)), 1);
        }
        reader->scanned = reader->end;
    }
    if (reader->ended) {
        if (size > 0 || reader->dropping) {
            return give(reader, line, size, 0);
        }
        return LINE_END;
    }
    if (size > reader->line_max + 1) { /* + 1: the CR of a line end */
        reader->dropping = true;
        reader->overlong += size;
        take(reader, size);
    } else if (reader->dropping) {
        reader->overlong += size;
        take(reader, size);
    }
    return LINE_MORE;
}

/* Room for READ_SIZE bytes behind `end`. */
static bool make_room(struct line_reader *reader) {
    size_t size = reader->end - reader->begin;
    if (reader->begin > 0 && (size == 0 || reader->capacity - reader->end < READ_SIZE)) {
        memmove(reader->buffer, reader->buffer + reader->begin, size);
        reader->scanned -= reader->begin;
        reader->begin = 0;
        reader->end = size;
    }
    size_t wanted = reader->capacity;
    if (reader->capacity - reader->end < READ_SIZE) {
        wanted = reader->capacity == 0 ? READ_SIZE * 2 : reader->capacity * 2;
    } else if (reader->capacity > KEEP_SIZE && size < READ_SIZE && reader->begin == 0) {
        wanted = READ_SIZE * 2;
    }
    if (wanted != reader->capacity) {
        char *buffer = realloc(reader->buffer, wanted);
        if (buffer == NULL) {
            return false;
        }
        reader->buffer = buffer;
        reader->capacity = wanted;
    }
    return true;
}

enum line_result line_reader_fill(struct line_reader *reader) {
    if (reader->ended) {
        return LINE_OK;
    }
    if (!make_room(reader)) {
        return LINE_MEMORY;
    }
    for (;;) {
        if (reader->stop_fd >= 0) {
            struct pollfd fds[2] = {{.fd = reader->stop_fd, .events = POLLIN}, {.fd = reader->fd, .events = POLLIN}};
            if (poll(fds, 2, -1) < 0) {
                if (errno == EINTR) {
                    continue;
                }
                return LINE_ERROR;
            }
            if (fds[0].revents != 0) {
                return LINE_STOPPED;
            }
        }
        ssize_t got = read(reader->fd, reader->buffer + reader->end, reader->capacity - reader->end);
        if (got > 0) {
            reader->end += (size_t)got;
            return LINE_OK;
        }
        if (got == 0) {
            reader->ended = true;
            return LINE_OK;
        }
        /* EAGAIN: somebody made the descriptor non-blocking; poll waits for it. */
        if (errno != EINTR && !(errno == EAGAIN && reader->stop_fd >= 0)) {
            return LINE_ERROR;
        }
    }
}

const char *lines_sniff(const char *text, size_t size) {
    static const struct {
        const char *start;
        size_t size;
        const char *advice;
    } known[] = {
        {"\x1f\x8b", 2, "this looks like gzip data: put 'zcat FILE |' in front"},
        {"\x28\xb5\x2f\xfd", 4, "this looks like zstd data: put 'zstdcat FILE |' in front"},
        {"BZh", 3, "this looks like bzip2 data: put 'bzcat FILE |' in front"},
        {"\xfd"
         "7zXZ",
         5, "this looks like xz data: put 'xzcat FILE |' in front"},
        {"\xff\xfe", 2, "this looks like UTF-16: put 'iconv -f UTF-16 -t UTF-8 FILE |' in front"},
        {"\xfe\xff", 2, "this looks like UTF-16: put 'iconv -f UTF-16 -t UTF-8 FILE |' in front"},
        {"PAR1", 4, "this looks like a Parquet file: convert it to one JSON value a line first"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (size >= known[i].size && memcmp(text, known[i].start, known[i].size) == 0) {
            return known[i].advice;
        }
    }
    /* Text that JSON could begin with, alone on its line: a value that goes over several lines. */
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t')) {
        size--;
    }
    if (size > 0 && (text[size - 1] == '{' || text[size - 1] == '[') && (text[0] == '{' || text[0] == '[')) {
        return "one JSON value a line is expected: put 'jq -c . FILE |' in front, or 'jq -c .[] FILE |' for one large "
               "list";
    }
    return NULL;
}
