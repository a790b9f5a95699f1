/* SPDX-License-Identifier: MIT */
/*
 * A chunk: the items of some input lines, parsed, with all that was read off them. The reader thread fills it, the
 * run empties it.
 */
#ifndef SLITHER_CLI_CHUNK_H
#define SLITHER_CLI_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <slither/error.h>
#include <slither/json.h>
#include <slither/value.h>

#include "expression.h"
#include "lines.h"

/* Bytes inside a chunk; offsets, because its memory moves while it grows. */
struct span {
    size_t offset;
    size_t size; /* 0: none */
};

struct entry {
    uint64_t line;
    uint64_t end_offset; /* of the line in the input */
    bool bad;            /* not an item: `problem` says why, `code` what kind, `value` is the start of its text */
    enum sl_code code;
    struct span value;
    struct span meta; /* a map with "id" and "meta", where told */
    struct span key;
    struct span problem; /* NUL-terminated; of an item: why it has no weight or key */
    uint64_t weight;
};

struct chunk {
    struct entry *entries;
    size_t count;
    size_t capacity;
    char *bytes;
    size_t size;
    size_t byte_capacity;
    struct chunk *next; /* in a queue */
};

struct chunk *chunk_create(void);
void chunk_destroy(struct chunk *chunk);
/* Empties it for its next use; a large buffer is given back. */
void chunk_reset(struct chunk *chunk);
/* Whether it should be handed on. */
bool chunk_is_full(const struct chunk *chunk);

const void *chunk_bytes(const struct chunk *chunk, struct span span);
struct sl_value chunk_value(const struct chunk *chunk, struct span span);

/* Turns lines into entries. `expressions` may be NULL each; they belong to whoever set them. */
struct line_parser {
    struct expression *weight;
    struct expression *key;
    struct expression *id;
    struct expression *meta;
    struct sl_writer writer;
};

void line_parser_init(struct line_parser *parser);
void line_parser_finish(struct line_parser *parser);

/* Adds what the line holds to the chunk; an empty line is nothing. False when memory runs out. */
bool line_parser_add(struct line_parser *parser, struct chunk *chunk, const struct line *line);

#endif
