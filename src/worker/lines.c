/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/utf8.h"

#define ESCAPE_SIZE 4 /* "\xNN" */

void sl__lines_init(struct sl__lines *lines, bool keep_tail, const struct sl__redact *redact, sl__line_fn *give,
                    void *context) {
    lines->redact = redact;
    lines->give = give;
    lines->context = context;
    lines->used = 0;
    lines->partial_size = 0;
    lines->keep_tail = keep_tail;
    lines->tail_count = 0;
    memset(lines->tail, 0, sizeof(lines->tail));
}

static void keep(struct sl__lines *lines) {
    size_t size = SL_MIN(lines->used, (size_t)SL__TAIL_LINE_SIZE);
    if (size < lines->used) {
        /* Not in the middle of a character. */
        size_t valid = sl__utf8_valid_size(lines->text, size);
        size = size - valid < 4 ? valid : size;
    }
    char *copy = strndup(lines->text, size);
    if (copy != NULL) {
        char **slot = &lines->tail[lines->tail_count++ % SL__TAIL_LINES];
        free(*slot);
        *slot = copy;
    }
}

static void give(struct sl__lines *lines) {
    if (lines->redact != NULL) {
        lines->used = sl__redact_text(lines->redact, SL__REDACT_TEXT, lines->text, lines->used);
    }
    lines->text[lines->used] = '\0';
    if (lines->keep_tail) {
        keep(lines);
    }
    lines->give(lines->context, lines->text, lines->used);
    lines->used = 0;
}

static void append(struct sl__lines *lines, const void *bytes, size_t size) {
    if (lines->used + size > SL__LOG_PIECE_SIZE) {
        give(lines);
    }
    memcpy(lines->text + lines->used, bytes, size);
    lines->used += size;
}

static void append_escaped(struct sl__lines *lines, uint8_t byte) {
    char text[ESCAPE_SIZE + 1];
    snprintf(text, sizeof(text), "\\x%02x", byte);
    append(lines, text, ESCAPE_SIZE);
}

/* Bytes of the character that starts with `first`, 0 when none can. */
static size_t character_size(uint8_t first) {
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        return 3;
    }
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

static void end_partial(struct sl__lines *lines) {
    for (uint8_t i = 0; i < lines->partial_size; i++) {
        append_escaped(lines, lines->partial[i]);
    }
    lines->partial_size = 0;
}

/* One byte above 0x7F, or one that follows such a byte. False: it has to be looked at as the start of something. */
static bool feed_partial(struct sl__lines *lines, uint8_t byte) {
    lines->partial[lines->partial_size++] = byte;
    size_t wanted = character_size(lines->partial[0]);
    if (wanted == 0) {
        end_partial(lines);
        return true;
    }
    if (lines->partial_size > 1 && (byte & 0xC0) != 0x80) {
        lines->partial_size--;
        end_partial(lines);
        return false;
    }
    if (lines->partial_size == wanted) {
        if (sl__utf8_valid_size((const char *)lines->partial, wanted) == wanted) {
            append(lines, lines->partial, wanted);
            lines->partial_size = 0;
        } else {
            end_partial(lines); /* overlong, a surrogate or above U+10FFFF */
        }
    }
    return true;
}

static void feed_ascii(struct sl__lines *lines, uint8_t byte) {
    if (byte == '\n') {
        give(lines);
    } else if (byte == '\r') {
        if (lines->used > 0) {
            give(lines);
        }
    } else if (byte == '\0') {
        append_escaped(lines, byte);
    } else {
        append(lines, &byte, 1);
    }
}

/* Length of the run of bytes that are copied as they are. */
static size_t plain_run(const uint8_t *bytes, size_t size) {
    size_t i = 0;
    while (i < size && bytes[i] < 0x80 && bytes[i] != '\n' && bytes[i] != '\r' && bytes[i] != '\0') {
        i++;
    }
    return i;
}

void sl__lines_feed(struct sl__lines *lines, const void *memory, size_t size) {
    const uint8_t *bytes = memory;
    bool after_return = false; /* "\r\n" ends one line; an empty line between the two bytes would be invented */
    for (size_t at = 0; at < size;) {
        if (lines->partial_size > 0 || bytes[at] >= 0x80) {
            after_return = false;
            at += feed_partial(lines, bytes[at]) ? 1 : 0;
            continue;
        }
        size_t run = plain_run(bytes + at, SL_MIN(size - at, (size_t)SL__LOG_PIECE_SIZE));
        if (run > 0) {
            append(lines, bytes + at, run);
            at += run;
            after_return = false;
        } else if (bytes[at] == '\n' && after_return && lines->used == 0) {
            at++;
            after_return = false;
        } else {
            after_return = bytes[at] == '\r' && lines->used > 0;
            feed_ascii(lines, bytes[at++]);
        }
    }
}

void sl__lines_flush(struct sl__lines *lines) {
    end_partial(lines);
    if (lines->used > 0) {
        give(lines);
    }
}

char *sl__lines_tail(const struct sl__lines *lines) {
    uint32_t kept = SL_MIN(lines->tail_count, (uint32_t)SL__TAIL_LINES);
    size_t size = 1;
    for (uint32_t i = 0; i < kept; i++) {
        size += strlen(lines->tail[i]) + 1;
    }
    char *text = kept > 0 ? malloc(size) : NULL;
    if (text == NULL) {
        return NULL;
    }
    char *end = text;
    for (uint32_t i = 0; i < kept; i++) {
        const char *line = lines->tail[(lines->tail_count - kept + i) % SL__TAIL_LINES];
        size_t line_size = strlen(line);
        memcpy(end, line, line_size);
        end += line_size;
        *end++ = '\n';
    }
    end[-1] = '\0';
    return text;
}

const char *sl__lines_last(const struct sl__lines *lines) {
    return lines->tail_count > 0 ? lines->tail[(lines->tail_count - 1) % SL__TAIL_LINES] : NULL;
}

const char *sl__lines_fatal(const struct sl__lines *lines) {
    static const char start[] = "Fatal Python error: ";
    for (uint32_t age = 1; age <= SL__TAIL_LINES && age <= lines->tail_count; age++) {
        const char *line = lines->tail[(lines->tail_count - age) % SL__TAIL_LINES];
        if (line != NULL && strncmp(line, start, sizeof(start) - 1) == 0) {
            return line;
        }
    }
    return NULL;
}

void sl__lines_finish(struct sl__lines *lines) {
    for (size_t i = 0; i < SL__TAIL_LINES; i++) {
        free(lines->tail[i]);
        lines->tail[i] = NULL;
    }
    lines->tail_count = 0;
    lines->used = 0;
    lines->partial_size = 0;
}
