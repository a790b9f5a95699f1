/* SPDX-License-Identifier: MIT */
/* The JSON Schema of pipe files, written from the table of keys. */
#include <stdlib.h>
#include <string.h>

#include <slither/json.h>
#include <slither/pipe_file.h>

#include "base/array.h"
#include "keys.h"

#define VARIABLE "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$"
#define DURATION "^(0|([0-9]+(\\.[0-9]+)?(ms|s|min|m|h|d))+)$"
#define SIZE "^[0-9]+(\\.[0-9]+)?([KMGT](iB)?|B)?$"

struct sections {
    const struct sl__section **items;
    size_t count, capacity;
};

struct out {
    struct sl_writer writer;
    struct sections sections; /* each becomes a definition of that name */
    bool out_of_memory;
};

static void text(struct out *out, const char *key, const char *value) {
    sl_write_str(&out->writer, key);
    sl_write_str(&out->writer, value);
}

static void number(struct out *out, const char *key, uint64_t value) {
    sl_write_str(&out->writer, key);
    sl_write_uint(&out->writer, value);
}

/* Opens a map of `count` pairs, one of which may be the sentence about the key. */
static void open_map(struct out *out, const struct sl__key *key, uint32_t count) {
    sl_write_map(&out->writer, count + (key != NULL && key->note != NULL));
    if (key != NULL && key->note != NULL) {
        text(out, "description", key->note);
    }
}

static void remember(struct out *out, const struct sl__section *section) {
    for (size_t i = 0; i < out->sections.count; i++) {
        if (out->sections.items[i] == section) {
            return;
        }
    }
    if (!SL_ARRAY_RESERVE(&out->sections, 1)) {
        out->out_of_memory = true;
        return;
    }
    out->sections.items[out->sections.count++] = section;
}

static void refer(struct out *out, const struct sl__section *section) {
    char name[80] = "#/$defs/";
    remember(out, section);
    strncat(name, section->name, sizeof name - strlen(name) - 1);
    text(out, "$ref", name);
}

/* Alternatives: `count` schemas follow. */
static void any_of(struct out *out, uint32_t count) {
    sl_write_str(&out->writer, "anyOf");
    sl_write_list(&out->writer, count);
}

static void pattern(struct out *out, const char *expression) {
    sl_write_map(&out->writer, 2);
    text(out, "type", "string");
    text(out, "pattern", expression);
}

static void write_key(struct out *out, const struct sl__key *key);

static void write_choices(struct out *out, const struct sl__key *key) {
    uint32_t count = 0;
    while (key->choices[count].name != NULL) {
        count++;
    }
    sl_write_str(&out->writer, "enum");
    sl_write_list(&out->writer, count);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(key->choices[i].name, "null") == 0) {
            sl_write_nil(&out->writer); /* as YAML reads the word */
        } else {
            sl_write_str(&out->writer, key->choices[i].name);
        }
    }
}

static void write_count(struct out *out, const struct sl__key *key) {
    open_map(out, key, 1);
    any_of(out, 2);
    sl_write_map(&out->writer, 3);
    text(out, "type", "integer");
    number(out, "minimum", key->min);
    /* Past what JSON can be trusted with, the bound is that of the reader alone. */
    number(out, "maximum", key->max < (uint64_t)1 << 53 ? key->max : (uint64_t)1 << 53);
    pattern(out, VARIABLE);
}

static void write_span(struct out *out, const struct sl__key *key) {
    bool size = key->kind == SL__KEY_SIZE, none = (key->flags & SL__KEY_OR_NONE) != 0;
    open_map(out, key, 1);
    any_of(out, 3u + none);
    sl_write_map(&out->writer, size ? 2 : 1);
    if (size) {
        text(out, "type", "integer");
        number(out, "minimum", key->min);
    } else {
        number(out, "const", 0);
    }
    pattern(out, size ? SIZE : DURATION);
    pattern(out, VARIABLE);
    if (none) {
        sl_write_map(&out->writer, 1);
        text(out, "const", "none");
    }
}

static void write_texts(struct out *out, const struct sl__key *key) {
    open_map(out, key, 1);
    any_of(out, 2);
    pattern(out, "^.");
    sl_write_map(&out->writer, 2);
    text(out, "type", "array");
    sl_write_str(&out->writer, "items");
    sl_write_map(&out->writer, 1);
    text(out, "type", "string");
}

static void write_parts(struct out *out, const struct sl__key *key) {
    bool named = key->kind == SL__KEY_NAMED;
    open_map(out, key, 3);
    text(out, "type", named ? "object" : "array");
    number(out, named ? "maxProperties" : "maxItems", key->section->max);
    sl_write_str(&out->writer, named ? "additionalProperties" : "items");
    sl_write_map(&out->writer, 1);
    refer(out, key->section);
}

static void write_key(struct out *out, const struct sl__key *key) {
    switch (key->kind) {
    case SL__KEY_TEXT:
    case SL__KEY_PATH:
    case SL__KEY_JQ:
        open_map(out, key, 2);
        sl_write_str(&out->writer, "type");
        sl_write_list(&out->writer, 3); /* a plain number or truth value is a text where one is wanted */
        sl_write_str(&out->writer, "string");
        sl_write_str(&out->writer, "number");
        sl_write_str(&out->writer, "boolean");
        number(out, "minLength", 1);
        break;
    case SL__KEY_BOOL:
        open_map(out, key, 1);
        any_of(out, 2);
        sl_write_map(&out->writer, 1);
        text(out, "type", "boolean");
        pattern(out, VARIABLE);
        break;
    case SL__KEY_COUNT:
    case SL__KEY_COUNT64:
        write_count(out, key);
        break;
    case SL__KEY_DURATION:
    case SL__KEY_DURATION64:
    case SL__KEY_SIZE:
        write_span(out, key);
        break;
    case SL__KEY_FRACTION:
        open_map(out, key, 1);
        any_of(out, 2);
        sl_write_map(&out->writer, 3);
        text(out, "type", "number");
        number(out, "minimum", 0);
        number(out, "maximum", 1);
        pattern(out, VARIABLE);
        break;
    case SL__KEY_CHOICE:
        open_map(out, key, 1);
        any_of(out, 2);
        sl_write_map(&out->writer, 1);
        write_choices(out, key);
        pattern(out, VARIABLE);
        break;
    case SL__KEY_CHOICES:
        open_map(out, key, 2);
        text(out, "type", "array");
        sl_write_str(&out->writer, "items");
        sl_write_map(&out->writer, 1);
        write_choices(out, key);
        break;
    case SL__KEY_TEXTS:
    case SL__KEY_PATHS:
        write_texts(out, key);
        break;
    case SL__KEY_PAIRS:
        open_map(out, key, 1);
        text(out, "type", "object");
        break;
    case SL__KEY_SECTION:
        open_map(out, key, 1);
        refer(out, key->section);
        break;
    case SL__KEY_NAMED:
    case SL__KEY_LIST:
        write_parts(out, key);
        break;
    case SL__KEY_ANY:
        open_map(out, key, 0);
        break;
    }
}

static void write_object(struct out *out, const struct sl__section *section, uint32_t more) {
    uint32_t count = 0, required = 0;
    bool file = section == &sl__file_section;
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        count++;
        required += (key->flags & SL__KEY_REQUIRED) != 0;
    }
    sl_write_map(&out->writer, 3 + (required > 0) + file + more);
    text(out, "type", "object");
    sl_write_str(&out->writer, "additionalProperties");
    sl_write_bool(&out->writer, false);
    if (file) { /* for anchors, and for other programs */
        sl_write_str(&out->writer, "patternProperties");
        sl_write_map(&out->writer, 1);
        sl_write_str(&out->writer, "^x-");
        sl_write_map(&out->writer, 0);
    }
    if (required > 0) {
        sl_write_str(&out->writer, "required");
        sl_write_list(&out->writer, required);
        for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
            if ((key->flags & SL__KEY_REQUIRED) != 0) {
                sl_write_str(&out->writer, key->name);
            }
        }
    }
    sl_write_str(&out->writer, "properties");
    sl_write_map(&out->writer, count);
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        sl_write_str(&out->writer, key->name);
        write_key(out, key);
    }
}

static void write_section(struct out *out, const struct sl__section *section) {
    if (section->scalar != NULL) {
        sl_write_map(&out->writer, 1);
        any_of(out, 2);
        write_key(out, section->scalar);
        write_object(out, section, 0);
    } else {
        sl_write_map(&out->writer, 1);
        any_of(out, 2);
        write_object(out, section, 0);
        sl_write_map(&out->writer, 1); /* a map without keys is written as nothing */
        text(out, "type", "null");
    }
}

/* How many sections there are: a map's size is written before its pairs. */
static void collect(struct out *out, const struct sl__section *section) {
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        if (key->section != NULL) {
            remember(out, key->section);
            collect(out, key->section);
        }
    }
}

char *sl_pipe_file_schema(void) {
    struct out out = {.sections = {NULL, 0, 0}};
    struct sl_value value;
    char *printed = NULL;
    size_t capacity = 0, size;
    sl_writer_init(&out.writer, NULL);
    collect(&out, &sl__file_section);
    write_object(&out, &sl__file_section, 4);
    text(&out, "$schema", "https://json-schema.org/draft/2020-12/schema");
    text(&out, "title", "Slither pipe");
    text(&out, "description", "A pipe with its pools and stores: see slither-pipe(5)");
    sl_write_str(&out.writer, "$defs");
    sl_write_map(&out.writer, (uint32_t)out.sections.count);
    for (size_t i = 0; i < out.sections.count; i++) {
        sl_write_str(&out.writer, out.sections.items[i]->name);
        write_section(&out, out.sections.items[i]);
    }
    if (out.out_of_memory || sl_writer_end(&out.writer, &value, NULL) != SL_OK ||
        sl_json_print(value, SL_JSON_PRETTY, &printed, &capacity, &size, NULL) != SL_OK) {
        free(printed);
        printed = NULL;
    }
    sl_writer_finish(&out.writer);
    SL_ARRAY_FINISH(&out.sections);
    return printed;
}
