/* SPDX-License-Identifier: MIT */
#include "chunk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A chunk is handed on at so many items or bytes: enough that the hand-over costs nothing beside the parsing. */
#define CHUNK_ITEMS 512
#define CHUNK_BYTES ((size_t)1 << 20)
/* A buffer that large values made larger than this is not kept. */
#define CHUNK_KEEP ((size_t)4 << 20)
/* How much of a bad line is kept to show. */
#define BAD_KEEP 200

struct chunk *chunk_create(void) {
    return calloc(1, sizeof(struct chunk));
}

void chunk_destroy(struct chunk *chunk) {
    if (chunk != NULL) {
        free(chunk->entries);
        free(chunk->bytes);
        free(chunk);
    }
}

void chunk_reset(struct chunk *chunk) {
    chunk->count = 0;
    chunk->size = 0;
    if (chunk->byte_capacity > CHUNK_KEEP) {
        free(chunk->bytes);
        chunk->bytes = NULL;
        chunk->byte_capacity = 0;
    }
}

bool chunk_is_full(const struct chunk *chunk) {
    return chunk->count >= CHUNK_ITEMS || chunk->size >= CHUNK_BYTES;
}

const void *chunk_bytes(const struct chunk *chunk, struct span span) {
    return span.size == 0 ? NULL : chunk->bytes + span.offset;
}

struct sl_value chunk_value(const struct chunk *chunk, struct span span) {
    return (struct sl_value){chunk_bytes(chunk, span), span.size};
}

static bool put_bytes(struct chunk *chunk, const void *bytes, size_t size, struct span *span) {
    if (chunk->byte_capacity - chunk->size < size) {
        size_t wanted = chunk->byte_capacity < 4096 ? 4096 : chunk->byte_capacity;
        while (wanted - chunk->size < size) {
            wanted *= 2;
        }
        char *moved = realloc(chunk->bytes, wanted);
        if (moved == NULL) {
            return false;
        }
        chunk->bytes = moved;
        chunk->byte_capacity = wanted;
    }
    if (size > 0) {
        memcpy(chunk->bytes + chunk->size, bytes, size);
    }
    *span = (struct span){chunk->size, size};
    chunk->size += size;
    return true;
}

static struct entry *add_entry(struct chunk *chunk, const struct line *line) {
    if (chunk->count == chunk->capacity) {
        size_t wanted = chunk->capacity == 0 ? 64 : chunk->capacity * 2;
        struct entry *entries = realloc(chunk->entries, wanted * sizeof(*entries));
        if (entries == NULL) {
            return NULL;
        }
        chunk->entries = entries;
        chunk->capacity = wanted;
    }
    struct entry *entry = &chunk->entries[chunk->count++];
    *entry = (struct entry){.line = line->number, .end_offset = line->end_offset, .weight = 1};
    return entry;
}

static bool put_problem(struct chunk *chunk, struct entry *entry, const char *text) {
    return put_bytes(chunk, text, strlen(text) + 1, &entry->problem);
}

/* The line is no item. What was already put into the chunk for it stays there unused. */
static bool mark_bad(struct chunk *chunk, struct entry *entry, const struct line *line, enum sl_code code,
                     const char *problem) {
    entry->bad = true;
    entry->code = code;
    entry->meta = entry->key = (struct span){0, 0};
    return put_bytes(chunk, line->text, line->size < BAD_KEEP ? line->size : BAD_KEEP, &entry->value) &&
           put_problem(chunk, entry, problem);
}

void line_parser_init(struct line_parser *parser) {
    *parser = (struct line_parser){0};
    sl_writer_init(&parser->writer, NULL);
}

void line_parser_finish(struct line_parser *parser) {
    sl_writer_finish(&parser->writer);
}

/* One value of jq as the next value of the writer, by way of its text: the two libraries share no other form. */
static bool write_jv(struct line_parser *parser, jv value, char *problem) {
    struct sl_error error = SL_ERROR_INIT;
    jv text = jv_dump_string(value, 0);
    bool ok = sl_json_parse(jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text)), &parser->writer,
                            &error) == SL_OK;
    if (!ok) {
        snprintf(problem, EXPRESSION_PROBLEM_SIZE, "%s", error.message);
    }
    jv_free(text);
    sl_error_finish(&error);
    return ok;
}

static bool end_value(struct line_parser *parser, struct chunk *chunk, struct span *span, char *problem, bool *memory) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value value;
    if (sl_writer_end(&parser->writer, &value, &error) != SL_OK) {
        snprintf(problem, EXPRESSION_PROBLEM_SIZE, "%s", error.message);
        *memory = error.code != SL_E_OUT_OF_MEMORY;
        sl_error_finish(&error);
        return false;
    }
    *memory = put_bytes(chunk, value.data, value.size, span);
    return *memory;
}

/* {"id": ..., "meta": ...}, with those of the two that were asked for. */
static bool read_meta(struct line_parser *parser, jv document, struct chunk *chunk, struct entry *entry, char *problem,
                      bool *memory) {
    const struct {
        const char *name;
        struct expression *expression;
    } parts[] = {{"id", parser->id}, {"meta", parser->meta}};

    sl_writer_reset(&parser->writer);
    sl_write_map(&parser->writer, (parser->id != NULL) + (parser->meta != NULL));
    for (size_t i = 0; i < 2; i++) {
        if (parts[i].expression == NULL) {
            continue;
        }
        jv value;
        if (!expression_eval(parts[i].expression, document, &value, problem)) {
            return false;
        }
        sl_write_str(&parser->writer, parts[i].name);
        if (!write_jv(parser, value, problem)) {
            return false;
        }
    }
    return end_value(parser, chunk, &entry->meta, problem, memory);
}

/* Weight and key. A problem here is one of the strategy: the line is an item all the same, and fails as one. */
static bool read_placement(struct line_parser *parser, jv document, struct chunk *chunk, struct entry *entry,
                           char *problem, bool *memory) {
    if (parser->weight != NULL && !expression_eval_weight(parser->weight, document, &entry->weight, problem)) {
        return false;
    }
    if (parser->key != NULL) {
        jv value;
        if (!expression_eval(parser->key, document, &value, problem)) {
            return false;
        }
        sl_writer_reset(&parser->writer);
        return write_jv(parser, value, problem) && end_value(parser, chunk, &entry->key, problem, memory);
    }
    return true;
}

static bool read_expressions(struct line_parser *parser, struct chunk *chunk, struct entry *entry,
                             const struct line *line) {
    char problem[EXPRESSION_PROBLEM_SIZE] = "";
    bool memory = true;
    bool result = true;
    jv document = jv_parse_sized(line->text, (int)line->size);
    if (!jv_is_valid(document)) {
        jv message = jv_invalid_get_msg(document);
        snprintf(problem, sizeof(problem), "jq cannot read this line: %.300s",
                 jv_get_kind(message) == JV_KIND_STRING ? jv_string_value(message) : "unknown error");
        jv_free(message);
        return mark_bad(chunk, entry, line, SL_E_INVALID_DATA, problem);
    }
    if ((parser->id != NULL || parser->meta != NULL) && !read_meta(parser, document, chunk, entry, problem, &memory)) {
        result = memory && mark_bad(chunk, entry, line, SL_E_INVALID_DATA, problem);
    } else if (!read_placement(parser, document, chunk, entry, problem, &memory)) {
        result = memory && put_problem(chunk, entry, problem);
    }
    jv_free(document);
    return result;
}

static bool is_blank(const struct line *line) {
    for (size_t i = 0; i < line->size; i++) {
        if (line->text[i] != ' ' && line->text[i] != '\t' && line->text[i] != '\r') {
            return false;
        }
    }
    return true;
}

bool line_parser_add(struct line_parser *parser, struct chunk *chunk, const struct line *line) {
    if (line->overlong == 0 && is_blank(line)) {
        return true;
    }
    struct entry *entry = add_entry(chunk, line);
    if (entry == NULL) {
        return false;
    }
    if (line->overlong > 0) {
        char problem[120];
        snprintf(problem, sizeof(problem), "the line has %" PRIu64 " bytes, more than --max-line allows",
                 line->overlong);
        return mark_bad(chunk, entry, line, SL_E_LIMIT, problem);
    }
    const char *nul = memchr(line->text, '\0', line->size);
    if (nul != NULL) {
        char problem[120];
        snprintf(problem, sizeof(problem), "column %zu: a NUL byte, which no JSON text has",
                 (size_t)(nul - line->text) + 1);
        return mark_bad(chunk, entry, line, SL_E_INVALID_DATA, problem);
    }
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value value = {NULL, 0};
    sl_writer_reset(&parser->writer);
    bool ok = sl_json_parse(line->text, line->size, &parser->writer, &error) == SL_OK &&
              sl_writer_end(&parser->writer, &value, &error) == SL_OK;
    bool memory = error.code != SL_E_OUT_OF_MEMORY;
    if (!ok) {
        /* The parser counts lines too; ours is the whole of its text, and has its number already. */
        char *place = strstr(error.message, "line 1, ");
        if (place != NULL) {
            memmove(place, place + 8, strlen(place + 8) + 1);
        }
        memory = memory && mark_bad(chunk, entry, line, error.code, error.message);
        sl_error_finish(&error);
        return memory;
    }
    if (!put_bytes(chunk, value.data, value.size, &entry->value)) {
        return false;
    }
    if (parser->weight == NULL && parser->key == NULL && parser->id == NULL && parser->meta == NULL) {
        return true;
    }
    return read_expressions(parser, chunk, entry, line);
}
