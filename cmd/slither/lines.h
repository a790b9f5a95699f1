/* SPDX-License-Identifier: MIT */
/*
 * Lines of a byte stream, with a bound on their length: a longer line costs a message, not memory.
 *
 * A line is given without its end (LF or CR LF). The last one needs no end. A UTF-8 byte order mark at the start of
 * the stream is passed over. What is in a line is not looked at.
 */
#ifndef SLITHER_CLI_LINES_H
#define SLITHER_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct line_reader {
    int fd;
    int stop_fd; /* readable when reading is to end; -1: none */
    size_t line_max;
    char *buffer;
    size_t capacity;
    size_t begin;         /* first byte that was not given out */
    size_t end;           /* behind the last byte that was read */
    size_t scanned;       /* no line end in begin..scanned */
    uint64_t line_number; /* of the line that was last given out, from 1 */
    uint64_t offset;      /* in the stream, of `begin` */
    uint64_t overlong;    /* bytes dropped of the line that is being dropped */
    bool dropping;        /* the rest of a too long line is being dropped */
    bool started;
    bool ended;
};

struct line {
    const char *text; /* valid until the next call; not NUL-terminated */
    size_t size;
    uint64_t number;     /* from 1 */
    uint64_t end_offset; /* in the stream, of what follows the line */
    uint64_t overlong;   /* 0, or the number of bytes of a line above the bound, whose text is then its start */
};

enum line_result {
    LINE_OK,
    LINE_MORE, /* no whole line is at hand: line_reader_fill() */
    LINE_END,
    LINE_STOPPED, /* fill: stop_fd is readable */
    LINE_ERROR,   /* fill: errno says why */
    LINE_MEMORY   /* fill: out of memory */
};

void line_reader_init(struct line_reader *reader, int fd, int stop_fd, size_t line_max);
/* Before the first line: the stream is at this offset, and so many lines were given out before. */
void line_reader_go_on(struct line_reader *reader, uint64_t offset, uint64_t line_number);
void line_reader_finish(struct line_reader *reader);

/* LINE_OK, LINE_MORE or LINE_END. Never blocks. */
enum line_result line_reader_next(struct line_reader *reader, struct line *line);

/* Reads once; blocks until there is something to read. LINE_OK: ask for lines again. */
enum line_result line_reader_fill(struct line_reader *reader);

/* What the first bytes of a stream say when they are no JSON text but something well known, as advice; else NULL. */
const char *lines_sniff(const char *text, size_t size);

#endif
