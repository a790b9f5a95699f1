/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/macros.h"
#include "problems.h"

#define ANCHORS_MAX 1024
#define DEPTH_MAX SL_PIPE_FILE_DEPTH_MAX
#define KEY_SIZE_MAX 1024
#define KEYS_MAX 4096 /* of one map: each is compared with those before it */

struct anchor {
    const char *name;
    struct sl__yaml *node;
    bool open; /* its node is still being read */
};

/* A map or a list that has begun and not ended. */
struct frame {
    struct sl__yaml *node;
    struct sl__yaml *key; /* of a map: read, its value is not */
    uint32_t anchor;      /* index + 1, or 0 */
};

struct builder {
    struct sl__arena *arena;
    struct sl__problems *problems;
    const char *setting;
    yaml_parser_t parser;
    struct frame frames[DEPTH_MAX];
    uint32_t depth;
    struct anchor anchors[ANCHORS_MAX];
    uint32_t anchor_count;
    struct sl__yaml *root;
    bool failed;
};

static void fail(struct builder *builder, yaml_mark_t mark, const char *format, ...) SL_PRINTF(3, 4);
static void fail(struct builder *builder, yaml_mark_t mark, const char *format, ...) {
    struct sl__yaml at = {
        .line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1, .setting = builder->setting};
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    sl__problem(builder->problems, &at, NULL, "%s", message);
    builder->failed = true;
}

static struct sl__yaml *no_memory(struct builder *builder) {
    builder->problems->out_of_memory = true;
    builder->failed = true;
    return NULL;
}

static struct sl__yaml *make(struct builder *builder, enum sl__yaml_kind kind, yaml_mark_t mark) {
    struct sl__yaml *node = sl__arena_take(builder->arena, sizeof *node);
    if (node == NULL) {
        return no_memory(builder);
    }
    node->kind = kind;
    node->line = (uint32_t)mark.line + 1;
    node->column = (uint32_t)mark.column + 1;
    node->setting = builder->setting;
    node->weight = 1;
    return node;
}

static bool append(struct sl__arena *arena, struct sl__yaml *node, struct sl__yaml *key, struct sl__yaml *item) {
    if (node->count == node->capacity) {
        uint32_t capacity = node->capacity == 0 ? 8 : node->capacity * 2;
        struct sl__yaml **items = sl__arena_take(arena, capacity * sizeof *items);
        struct sl__yaml **keys = node->kind == SL__YAML_MAP ? sl__arena_take(arena, capacity * sizeof *keys) : NULL;
        if (items == NULL || (node->kind == SL__YAML_MAP && keys == NULL)) {
            return false;
        }
        for (uint32_t i = 0; i < node->count; i++) {
            items[i] = node->items[i];
            if (keys != NULL) {
                keys[i] = node->keys[i];
            }
        }
        node->items = items;
        node->keys = keys;
        node->capacity = capacity;
    }
    node->items[node->count] = item;
    if (key != NULL) {
        node->keys[node->count] = key;
    }
    node->count++;
    return true;
}

/* A node is complete: it goes where the innermost open container wants it. */
static void place(struct builder *builder, struct sl__yaml *node, yaml_mark_t mark) {
    if (builder->depth == 0) {
        builder->root = node;
        return;
    }
    struct frame *frame = &builder->frames[builder->depth - 1];
    if (frame->node->kind == SL__YAML_MAP && frame->key == NULL) {
        if (node->kind != SL__YAML_SCALAR) {
            fail(builder, mark, "a key must be a text, not %s", node->kind == SL__YAML_LIST ? "a list" : "a map");
            return;
        }
        if (strlen(node->text) > KEY_SIZE_MAX) {
            fail(builder, mark, "a key has at most %u bytes", KEY_SIZE_MAX);
            return;
        }
        frame->key = node;
        return;
    }
    if (frame->key != NULL && frame->node->count == KEYS_MAX) {
        fail(builder, mark, "a map has at most %u keys", KEYS_MAX);
        return;
    }
    for (uint32_t i = 0; frame->key != NULL && i < frame->node->count; i++) {
        if (strcmp(frame->node->keys[i]->text, frame->key->text) == 0) { /* the first counts */
            sl__problem(builder->problems, frame->key, NULL,
                        "key \"%.80s\" stands here a second time, the first is in line %u", frame->key->text,
                        frame->node->keys[i]->line);
            frame->key = NULL;
            return;
        }
    }
    frame->node->weight += node->weight;
    if (frame->node->weight > SL_PIPE_FILE_ENTRIES_MAX) {
        fail(builder, mark, "the file has more than %u values, those behind aliases counted each time",
             SL_PIPE_FILE_ENTRIES_MAX);
        return;
    }
    if (!append(builder->arena, frame->node, frame->key, node)) {
        (void)no_memory(builder);
    }
    frame->key = NULL;
}

/* Notes an anchor; the number of it, or 0. */
static uint32_t remember(struct builder *builder, const yaml_char_t *name, struct sl__yaml *node, yaml_mark_t mark) {
    if (name == NULL) {
        return 0;
    }
    if (builder->anchor_count == ANCHORS_MAX) {
        fail(builder, mark, "more than %u anchors", ANCHORS_MAX);
        return 0;
    }
    char *copy = sl__arena_text(builder->arena, (const char *)name, strlen((const char *)name));
    if (copy == NULL) {
        (void)no_memory(builder);
        return 0;
    }
    builder->anchors[builder->anchor_count] = (struct anchor){copy, node, node->kind != SL__YAML_SCALAR};
    return ++builder->anchor_count;
}

static void take_alias(struct builder *builder, const yaml_event_t *event) {
    const char *name = (const char *)event->data.alias.anchor;
    for (uint32_t i = builder->anchor_count; i > 0; i--) { /* the last of that name counts */
        const struct anchor *anchor = &builder->anchors[i - 1];
        if (strcmp(anchor->name, name) == 0) {
            if (anchor->open) {
                fail(builder, event->start_mark, "*%.64s stands within &%.64s: it would contain itself", name, name);
            } else {
                place(builder, anchor->node, event->start_mark);
            }
            return;
        }
    }
    fail(builder, event->start_mark, "there is no anchor &%.64s before this", name);
}

static bool has_core_tag(const yaml_char_t *tag, const char *name) {
    static const char prefix[] = "tag:yaml.org,2002:";
    return strncmp((const char *)tag, prefix, sizeof prefix - 1) == 0 &&
           strcmp((const char *)tag + sizeof prefix - 1, name) == 0;
}

static void check_tag(struct builder *builder, const yaml_char_t *tag, const char *const *known, yaml_mark_t mark) {
    if (tag == NULL || strcmp((const char *)tag, "!") == 0) {
        return;
    }
    for (uint32_t i = 0; known[i] != NULL; i++) {
        if (has_core_tag(tag, known[i])) {
            return;
        }
    }
    fail(builder, mark, "the tag %.80s means nothing here", (const char *)tag);
}

static void take_scalar(struct builder *builder, const yaml_event_t *event) {
    static const char *const tags[] = {"str", "int", "float", "bool", "null", NULL};
    struct sl__yaml *node = make(builder, SL__YAML_SCALAR, event->start_mark);
    if (node == NULL) {
        return;
    }
    const char *text = (const char *)event->data.scalar.value;
    const yaml_char_t *tag = event->data.scalar.tag;
    check_tag(builder, tag, tags, event->start_mark);
    if (memchr(text, '\0', event->data.scalar.length) != NULL) {
        fail(builder, event->start_mark, "a text with a NUL character");
        return;
    }
    node->text = sl__arena_text(builder->arena, text, event->data.scalar.length);
    node->quoted = tag != NULL ? strcmp((const char *)tag, "!") == 0 || has_core_tag(tag, "str")
                               : event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (node->text == NULL) {
        (void)no_memory(builder);
        return;
    }
    (void)remember(builder, event->data.scalar.anchor, node, event->start_mark);
    place(builder, node, event->start_mark);
}

static void open_container(struct builder *builder, enum sl__yaml_kind kind, const yaml_char_t *anchor,
                           const yaml_char_t *tag, yaml_mark_t mark) {
    static const char *const list_tags[] = {"seq", NULL}, *const map_tags[] = {"map", NULL};
    check_tag(builder, tag, kind == SL__YAML_LIST ? list_tags : map_tags, mark);
    if (builder->depth == DEPTH_MAX) {
        fail(builder, mark, "more than %u maps and lists in one another", DEPTH_MAX);
        return;
    }
    struct sl__yaml *node = make(builder, kind, mark);
    if (node != NULL) {
        struct frame *frame = &builder->frames[builder->depth++];
        *frame = (struct frame){.node = node, .anchor = remember(builder, anchor, node, mark)};
    }
}

static void close_container(struct builder *builder) {
    struct frame *frame = &builder->frames[--builder->depth];
    if (frame->anchor > 0) {
        builder->anchors[frame->anchor - 1].open = false;
    }
    place(builder, frame->node, (yaml_mark_t){.line = frame->node->line - 1, .column = frame->node->column - 1});
}

static void take(struct builder *builder, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->root != NULL) {
            fail(builder, event->start_mark, "a second document begins here: a pipe file is one document");
        }
        break;
    case YAML_ALIAS_EVENT:
        take_alias(builder, event);
        break;
    case YAML_SCALAR_EVENT:
        take_scalar(builder, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_container(builder, SL__YAML_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                       event->start_mark);
        break;
    case YAML_MAPPING_START_EVENT:
        open_container(builder, SL__YAML_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag,
                       event->start_mark);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_container(builder);
        break;
    default:
        break;
    }
}

static void take_error(struct builder *builder) {
    const yaml_parser_t *parser = &builder->parser;
    if (parser->error == YAML_MEMORY_ERROR) {
        (void)no_memory(builder);
    } else if (parser->error == YAML_READER_ERROR) {
        /* It says the byte, and libyaml has not counted lines that far. */
        fail(builder, (yaml_mark_t){0}, "byte %zu: %s", parser->problem_offset, parser->problem);
    } else {
        fail(builder, parser->problem_mark, "%s%s%s%s", parser->problem != NULL ? parser->problem : "no YAML",
             parser->context != NULL ? ", " : "", parser->context != NULL ? parser->context : "",
             parser->problem != NULL && strstr(parser->problem, "character that cannot start any token") != NULL
                 ? ": a text that begins with a special character needs quotes, and tabs cannot indent"
                 : "");
    }
}

static void run(struct builder *builder, const char *text, size_t size) {
    yaml_parser_set_input_string(&builder->parser, (const unsigned char *)text, size);
    yaml_parser_set_encoding(&builder->parser, YAML_UTF8_ENCODING);
    for (bool over = false; !over && !builder->failed;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&builder->parser, &event)) {
            take_error(builder);
            return;
        }
        take(builder, &event);
        over = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
}

struct sl__yaml *sl__yaml_parse(struct sl__arena *arena, const char *text, size_t size, const char *setting,
                                struct sl__problems *problems) {
    struct builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL || !yaml_parser_initialize(&builder->parser)) {
        free(builder);
        problems->out_of_memory = true;
        return NULL;
    }
    builder->arena = arena;
    builder->problems = problems;
    builder->setting = setting;
    run(builder, text, size);
    if (builder->root == NULL && !builder->failed) {
        builder->root = make(builder, SL__YAML_MAP, (yaml_mark_t){0});
    }
    struct sl__yaml *root = builder->failed ? NULL : builder->root;
    yaml_parser_delete(&builder->parser);
    free(builder);
    return root;
}

/* ---- looking at it ----------------------------------------------------------------------------------------------- */

struct sl__yaml *sl__yaml_get(const struct sl__yaml *map, const char *key) {
    for (uint32_t i = 0; map != NULL && map->kind == SL__YAML_MAP && i < map->count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0) {
            return map->items[i];
        }
    }
    return NULL;
}

bool sl__yaml_set(struct sl__arena *arena, struct sl__yaml *map, const char *key, struct sl__yaml *value) {
    for (uint32_t i = 0; i < map->count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0) {
            map->items[i] = value;
            return true;
        }
    }
    struct sl__yaml *name = sl__arena_take(arena, sizeof *name);
    if (name == NULL) {
        return false;
    }
    *name = (struct sl__yaml){.line = value->line, .column = value->column, .setting = value->setting, .weight = 1};
    name->text = sl__arena_text(arena, key, strlen(key));
    return name->text != NULL && append(arena, map, name, value);
}

static size_t digits(const char *text, const char *of) {
    return strspn(text, of);
}

enum sl__yaml_type sl__yaml_type(const struct sl__yaml *scalar) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
    static const char *const floats[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    const char *text = scalar->text;
    if (scalar->quoted) {
        return SL__YAML_TEXT;
    }
    for (size_t i = 0; i < SL_COUNT_OF(nulls); i++) {
        if (strcmp(text, nulls[i]) == 0) {
            return SL__YAML_NULL;
        }
    }
    for (size_t i = 0; i < SL_COUNT_OF(bools); i++) {
        if (strcmp(text, bools[i]) == 0) {
            return SL__YAML_BOOL;
        }
    }
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o') && text[2] != '\0' &&
        text[2 + digits(text + 2, text[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567")] == '\0') {
        return SL__YAML_INT;
    }
    text += *text == '-' || *text == '+';
    for (size_t i = 0; i < SL_COUNT_OF(floats); i++) {
        if (strcmp(text, floats[i]) == 0 && (i < 3 || text == scalar->text)) {
            return SL__YAML_FLOAT;
        }
    }
    size_t whole = digits(text, "0123456789"), part = 0;
    text += whole;
    if (whole > 0 && *text == '\0') {
        return SL__YAML_INT;
    }
    if (*text == '.') {
        part = digits(text + 1, "0123456789");
        text += 1 + part;
    }
    if (whole + part > 0 && (*text == 'e' || *text == 'E')) {
        const char *exponent = text + 1 + (text[1] == '-' || text[1] == '+');
        text = digits(exponent, "0123456789") > 0 ? exponent + digits(exponent, "0123456789") : text;
    }
    return whole + part > 0 && *text == '\0' ? SL__YAML_FLOAT : SL__YAML_TEXT;
}

const char *sl__yaml_describe(const struct sl__yaml *node, char text[SL__YAML_TEXT_SIZE]) {
    if (node->kind != SL__YAML_SCALAR) {
        snprintf(text, SL__YAML_TEXT_SIZE, "%s", node->kind == SL__YAML_LIST ? "a list" : "a map");
        return text;
    }
    enum sl__yaml_type type = sl__yaml_type(node);
    size_t size = strcspn(node->text, "\n"), shown = SL_MIN(size, (size_t)48);
    while (shown < size && shown > 0 && ((unsigned char)node->text[shown] & 0xc0) == 0x80) {
        shown--;
    }
    const char *more = node->text[shown] != '\0' ? "..." : "";
    if (type == SL__YAML_NULL) {
        snprintf(text, SL__YAML_TEXT_SIZE, "nothing");
    } else if (type == SL__YAML_TEXT) {
        snprintf(text, SL__YAML_TEXT_SIZE, "the text \"%.*s%s\"", (int)shown, node->text, more);
    } else {
        snprintf(text, SL__YAML_TEXT_SIZE, "%.*s%s", (int)shown, node->text, more);
    }
    return text;
}
