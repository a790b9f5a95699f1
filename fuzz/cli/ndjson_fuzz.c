/* SPDX-License-Identifier: MIT */
/*
 * Bytes as the input of `slither call`. The first two say how long a line may be and in how small pieces the stream
 * comes; the rest is the stream. Its lines are those of a plain split, whatever the pieces; each that is not blank is
 * an item or a bad line with a reason; an item is a value that can be printed.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunk.h"
#include "lines.h"

#undef NDEBUG
#include <assert.h>

/* Below what a pipe holds, so that one thread can be at both ends. */
#define STREAM_MAX 32768

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the stream, for the plain split. */
struct rest {
    const char *text;
    size_t size;
};

/* The next line of the plain split, without its end. False: none. */
static bool split(struct rest *rest, const char **line, size_t *line_size) {
    if (rest->size == 0) {
        return false;
    }
    const char *end = memchr(rest->text, '\n', rest->size);
    size_t taken = end != NULL ? (size_t)(end - rest->text) + 1 : rest->size;
    *line = rest->text;
    *line_size = end != NULL ? taken - 1 : taken;
    if (*line_size > 0 && (*line)[*line_size - 1] == '\r') {
        --*line_size;
    }
    rest->text += taken;
    rest->size -= taken;
    return true;
}

static void check_entries(const struct chunk *chunk) {
    char *text = NULL;
    size_t capacity = 0;
    size_t text_size;
    for (size_t i = 0; i < chunk->count; i++) {
        const struct entry *entry = &chunk->entries[i];
        struct sl_value value = chunk_value(chunk, entry->value);
        assert(entry->line > 0);
        if (entry->bad) {
            const char *problem = chunk_bytes(chunk, entry->problem);
            assert(entry->code != SL_OK && problem[0] != '\0' && problem[entry->problem.size - 1] == '\0');
        } else {
            assert(entry->code == SL_OK && sl_value_type(value) != SL_TYPE_NONE);
            assert(sl_json_print(value, 0, &text, &capacity, &text_size, NULL) == SL_OK);
        }
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int ends[2];
    if (size < 2 || size - 2 > STREAM_MAX || pipe(ends) != 0) {
        return 0;
    }
    size_t line_max = (size_t)data[0] + 1;
    size_t piece = (size_t)data[1] * 4 + 1;
    const char *stream = (const char *)data + 2;
    size_t stream_size = size - 2;
    struct rest rest = {stream, stream_size};
    if (rest.size >= 3 && memcmp(rest.text, "\xef\xbb\xbf", 3) == 0) {
        rest = (struct rest){stream + 3, stream_size - 3};
    }

    struct line_reader reader;
    struct line_parser parser;
    struct chunk *chunk = chunk_create();
    assert(chunk != NULL);
    line_reader_init(&reader, ends[0], -1, line_max);
    line_parser_init(&parser);
    size_t given = 0;
    uint64_t number = 0;
    struct line line;
    enum line_result result;
    while ((result = line_reader_next(&reader, &line)) != LINE_END) {
        if (result == LINE_MORE) {
            size_t part = stream_size - given < piece ? stream_size - given : piece;
            if (part > 0) {
                assert(write(ends[1], stream + given, part) == (ssize_t)part);
                given += part;
            } else if (ends[1] >= 0) {
                close(ends[1]);
                ends[1] = -1;
            }
            assert(line_reader_fill(&reader) == LINE_OK);
            continue;
        }
        const char *expected;
        size_t expected_size;
        assert(split(&rest, &expected, &expected_size));
        assert(line.number == ++number);
        assert((line.overlong > 0) == (expected_size > line_max));
        assert(line.overlong > 0 || (line.size == expected_size && memcmp(line.text, expected, expected_size) == 0));
        (void)lines_sniff(line.text, line.size);
        assert(line_parser_add(&parser, chunk, &line));
        if (chunk_is_full(chunk)) {
            check_entries(chunk);
            chunk_reset(chunk);
        }
    }
    assert(rest.size == 0 && given == stream_size && reader.offset == stream_size);
    check_entries(chunk);
    line_reader_finish(&reader);
    line_parser_finish(&parser);
    chunk_destroy(chunk);
    close(ends[0]);
    if (ends[1] >= 0) {
        close(ends[1]);
    }
    return 0;
}
