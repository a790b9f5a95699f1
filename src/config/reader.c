/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "units.h"

static void read_section(struct sl__reader *reader, const struct sl__section *section, const struct sl__yaml *at,
                         const char *name, const char *place, void *out);

/* ---- places ------------------------------------------------------------------------------------------------------ */

static const char *join(struct sl__reader *reader, const char *place, const char *key) {
    const char *text = place[0] == '\0' ? key : sl__arena_format(reader->arena, "%s.%.80s", place, key);
    if (text == NULL) {
        reader->problems->out_of_memory = true;
        return "";
    }
    return text;
}

const char *sl__part_place(struct sl__reader *reader, const struct sl__part *part, const char *key) {
    return join(reader, part->place, key);
}

const struct sl__yaml *sl__part_at(const struct sl__part *part, const char *key) {
    const struct sl__yaml *at = sl__yaml_get(part->at, key);
    return at != NULL ? at : part->at;
}

const struct sl__key *sl__key_find(const struct sl__section *section, const char *name) {
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        if (strcmp(key->name, name) == 0) {
            return key;
        }
    }
    return NULL;
}

static void *take(struct sl__reader *reader, size_t size) {
    void *memory = sl__arena_take(reader->arena, size);
    if (memory == NULL) {
        reader->problems->out_of_memory = true;
    }
    return memory;
}

/* ---- scalars ----------------------------------------------------------------------------------------------------- */

static void expected(struct sl__reader *reader, const struct sl__yaml *at, const char *place, const char *what) {
    char found[SL__YAML_TEXT_SIZE];
    sl__problem(reader->problems, at, place, "expected %s, found %s", what, sl__yaml_describe(at, found));
}

/* A text: of a plain scalar too, as long as it does not read as something else that was hardly meant as one. */
static const char *read_text(struct sl__reader *reader, const struct sl__yaml *at, const char *place,
                             const char *what) {
    if (at->kind != SL__YAML_SCALAR || sl__yaml_type(at) == SL__YAML_NULL) {
        expected(reader, at, place, what);
        return NULL;
    }
    if (at->text[0] == '\0') {
        sl__problem(reader->problems, at, place, "expected %s, found an empty text", what);
        return NULL;
    }
    return at->text;
}

const char *sl__read_path(struct sl__reader *reader, const char *path) {
    if (path[0] == '/' || reader->directory[0] == '\0') {
        return path;
    }
    bool slash = reader->directory[strlen(reader->directory) - 1] == '/';
    const char *joined = sl__arena_format(reader->arena, "%s%s%s", reader->directory, slash ? "" : "/", path);
    if (joined == NULL) {
        reader->problems->out_of_memory = true;
    }
    return joined;
}

static void out_of_range(struct sl__reader *reader, const struct sl__yaml *at, const char *place, const char *what,
                         const char *from, const char *to) {
    sl__problem(reader->problems, at, place, "%.48s is out of range: expected %s from %s to %s", at->text, what, from,
                to);
}

static void format_duration(uint64_t ms, char text[32]) {
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    snprintf(text, 32, "0");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ms >= units[i].ms && (ms % units[i].ms == 0 || ms / units[i].ms >= 48)) {
            snprintf(text, 32, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].name);
            return;
        }
    }
}

static void format_size(uint64_t bytes, char text[32]) {
    static const char units[] = "TGMK";
    for (int i = 0; i < 4; i++) {
        uint64_t unit = (uint64_t)1 << (10 * (4 - i));
        if (bytes >= unit && bytes % unit == 0) {
            snprintf(text, 32, "%llu%c", (unsigned long long)(bytes / unit), units[i]);
            return;
        }
    }
    snprintf(text, 32, "%llu", (unsigned long long)bytes);
}

static bool read_number(struct sl__reader *reader, const struct sl__key *key, const struct sl__yaml *at,
                        const char *place, uint64_t *out) {
    char from[32], to[32];
    uint64_t value = 0;
    bool scalar = at->kind == SL__YAML_SCALAR, fits;
    const char *what;
    if (key->kind == SL__KEY_DURATION || key->kind == SL__KEY_DURATION64) {
        what = "a duration";
        fits = scalar && sl__parse_duration(at->text, &value);
        format_duration(key->min, from);
        format_duration(key->max, to);
    } else if (key->kind == SL__KEY_SIZE) {
        what = "a size";
        fits = scalar && sl__parse_size(at->text, &value);
        format_size(key->min, from);
        format_size(key->max, to);
    } else {
        what = "a whole number";
        fits = scalar && !at->quoted && sl__parse_count(at->text, &value);
        snprintf(from, sizeof from, "%llu", (unsigned long long)key->min);
        snprintf(to, sizeof to, "%llu", (unsigned long long)key->max);
    }
    if (!fits) {
        char wanted[160];
        if (scalar && !at->quoted && sl__yaml_type(at) == SL__YAML_INT && key->kind != SL__KEY_DURATION &&
            key->kind != SL__KEY_DURATION64) { /* negative, or past 64 bits */
            out_of_range(reader, at, place, what, from, to);
            return false;
        }
        const char *like = key->kind == SL__KEY_SIZE ? ", like 64M" : what[2] == 'd' ? ", like 30s or 500ms" : "";
        snprintf(wanted, sizeof wanted, "%s%s%s%s%s%s", what, like, *like == '\0' ? " from " : "",
                 *like == '\0' ? from : "", *like == '\0' ? " to " : "", *like == '\0' ? to : "");
        expected(reader, at, place, wanted);
        return false;
    }
    if (value < key->min || value > key->max) {
        out_of_range(reader, at, place, what, from, to);
        return false;
    }
    *out = value;
    return true;
}

static bool read_choice(struct sl__reader *reader, const struct sl__key *key, const struct sl__yaml *at,
                        const char *place, const char * or, int *out) {
    char list[224] = "", found[SL__YAML_TEXT_SIZE], near[SL__NEAREST_TEXT_SIZE];
    struct sl__nearest nearest = {.typed = at->kind == SL__YAML_SCALAR ? at->text : ""};
    size_t used = 0;
    for (const struct sl__choice *choice = key->choices; choice->name != NULL; choice++) {
        if (at->kind == SL__YAML_SCALAR && strcmp(at->text, choice->name) == 0) {
            *out = choice->value;
            return true;
        }
        sl__nearest_offer(&nearest, choice->name);
        if (used < sizeof list) {
            const char *glue = choice == key->choices ? "" : choice[1].name == NULL && * or == '\0' ? " or " : ", ";
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", glue, choice->name);
        }
    }
    sl__problem(reader->problems, at, place, "expected %s%s, found %s%s", used < sizeof list ? list : "a kind", or,
                sl__yaml_describe(at, found), sl__nearest_text(&nearest, near));
    return false;
}

/* ---- lists and maps of scalars ----------------------------------------------------------------------------------- */

static const char *const *read_texts(struct sl__reader *reader, const struct sl__yaml *at, const char *place,
                                     bool paths) {
    /* One text is a list of one. */
    const struct sl__yaml *const one[] = {at};
    const struct sl__yaml *const *items = one;
    uint32_t count = 1, used = 0;
    if (at->kind == SL__YAML_LIST) {
        items = (const struct sl__yaml *const *)at->items;
        count = at->count;
    } else if (at->kind == SL__YAML_MAP || sl__yaml_type(at) == SL__YAML_NULL) {
        expected(reader, at, place, "a list of texts");
        return NULL;
    }
    const char **texts = take(reader, (count + 1) * sizeof *texts);
    for (uint32_t i = 0; texts != NULL && i < count; i++) {
        const char *text = read_text(reader, items[i], place, paths ? "a path" : "a text");
        if (text != NULL) {
            texts[used++] = paths ? sl__read_path(reader, text) : text;
        }
    }
    return texts;
}

static const char *const *read_pairs(struct sl__reader *reader, const struct sl__yaml *at, const char *place) {
    if (at->kind != SL__YAML_MAP) {
        expected(reader, at, place, "a map of names to texts");
        return NULL;
    }
    const char **pairs = take(reader, (at->count + 1) * sizeof *pairs);
    uint32_t used = 0;
    for (uint32_t i = 0; pairs != NULL && i < at->count; i++) {
        const char *name = at->keys[i]->text;
        const struct sl__yaml *value = at->items[i];
        if (name[0] == '\0' || strchr(name, '=') != NULL) {
            sl__problem(reader->problems, at->keys[i], place, "\"%.80s\" cannot be the name of a variable", name);
        } else if (value->kind != SL__YAML_SCALAR) {
            expected(reader, value, join(reader, place, name), "a text, or null to remove the variable");
        } else {
            bool removed = sl__yaml_type(value) == SL__YAML_NULL;
            pairs[used] = removed ? name : sl__arena_format(reader->arena, "%s=%s", name, value->text);
            reader->problems->out_of_memory = reader->problems->out_of_memory || pairs[used] == NULL;
            used++;
        }
    }
    return pairs;
}

static uint64_t read_choices(struct sl__reader *reader, const struct sl__key *key, const struct sl__yaml *at,
                             const char *place) {
    uint64_t bits = 0;
    int value;
    if (at->kind != SL__YAML_LIST) {
        return read_choice(reader, key, at, place, "", &value) ? (uint64_t)1 << value : 0;
    }
    for (uint32_t i = 0; i < at->count; i++) {
        if (read_choice(reader, key, at->items[i], place, "", &value)) {
            bits |= (uint64_t)1 << value;
        }
    }
    return bits;
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

static void read_parts(struct sl__reader *reader, const struct sl__key *key, const struct sl__yaml *at,
                       const char *place, struct sl__parts *parts) {
    const struct sl__section *section = key->section;
    bool named = key->kind == SL__KEY_NAMED;
    if (at->kind != (named ? SL__YAML_MAP : SL__YAML_LIST)) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, named ? "a map of names to %ss" : "a list of %ss", section->name);
        expected(reader, at, place, wanted);
        return;
    }
    if (at->count > section->max) {
        sl__problem(reader->problems, at, place, "%u are too many: expected at most %u", at->count, section->max);
        return;
    }
    char *items = take(reader, at->count * section->size + 1);
    if (items == NULL) {
        return;
    }
    parts->items = items;
    parts->count = 0;
    for (uint32_t i = 0; i < at->count; i++) {
        const struct sl__yaml *item = at->items[i];
        const struct sl__yaml *given = named ? at->keys[i] : sl__yaml_get(item, "name");
        const char *name =
            given != NULL && given->kind == SL__YAML_SCALAR && given->text[0] != '\0' ? given->text : NULL;
        char number[16];
        snprintf(number, sizeof number, "%u", i + 1);
        read_section(reader, section, item, name, join(reader, place, name != NULL ? name : number),
                     items + i * section->size);
        parts->count++;
    }
}

static void read_key(struct sl__reader *reader, const struct sl__key *key, const struct sl__yaml *at, const char *place,
                     const char * or, void *out) {
    uint64_t number;
    switch (key->kind) {
    case SL__KEY_TEXT:
    case SL__KEY_JQ:
        *(const char **)out = read_text(reader, at, place, key->kind == SL__KEY_JQ ? "a jq program" : "a text");
        break;
    case SL__KEY_PATH: {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "a path%s", or);
        const char *text = read_text(reader, at, place, wanted);
        *(const char **)out = text != NULL ? sl__read_path(reader, text) : NULL;
        break;
    }
    case SL__KEY_BOOL:
        if (at->kind == SL__YAML_SCALAR && sl__yaml_type(at) == SL__YAML_BOOL) {
            *(bool *)out = at->text[0] == 't' || at->text[0] == 'T';
        } else {
            expected(reader, at, place, "true or false");
        }
        break;
    case SL__KEY_COUNT:
        if (read_number(reader, key, at, place, &number)) {
            *(uint32_t *)out = (uint32_t)number;
        }
        break;
    case SL__KEY_DURATION:
        if ((key->flags & SL__KEY_OR_NONE) != 0 && at->kind == SL__YAML_SCALAR && strcmp(at->text, "none") == 0) {
            *(uint32_t *)out = UINT32_MAX;
        } else if (read_number(reader, key, at, place, &number)) {
            *(uint32_t *)out = (uint32_t)number;
        }
        break;
    case SL__KEY_COUNT64:
    case SL__KEY_DURATION64:
    case SL__KEY_SIZE:
        if (read_number(reader, key, at, place, &number)) {
            *(uint64_t *)out = number;
        }
        break;
    case SL__KEY_FRACTION: {
        double fraction;
        bool fits = at->kind == SL__YAML_SCALAR && !at->quoted && sl__parse_number(at->text, &fraction);
        if (fits && fraction >= 0 && fraction <= 1) {
            *(double *)out = fraction;
        } else {
            expected(reader, at, place, "a number from 0 to 1");
        }
        break;
    }
    case SL__KEY_CHOICE:
        (void)read_choice(reader, key, at, place, or, out);
        break;
    case SL__KEY_CHOICES:
        *(uint64_t *)out = read_choices(reader, key, at, place);
        break;
    case SL__KEY_TEXTS:
    case SL__KEY_PATHS:
        *(const char *const **)out = read_texts(reader, at, place, key->kind == SL__KEY_PATHS);
        break;
    case SL__KEY_PAIRS:
        *(const char *const **)out = read_pairs(reader, at, place);
        break;
    case SL__KEY_SECTION:
        read_section(reader, key->section, at, NULL, place, out);
        break;
    case SL__KEY_NAMED:
    case SL__KEY_LIST:
        read_parts(reader, key, at, place, out);
        break;
    case SL__KEY_ANY:
        *(const struct sl__yaml **)out = at;
        break;
    }
}

static void unknown_key(struct sl__reader *reader, const struct sl__section *section, const struct sl__yaml *key,
                        const char *place) {
    char near[SL__NEAREST_TEXT_SIZE];
    struct sl__nearest nearest = {.typed = key->text};
    for (const struct sl__key *known = section->keys; known->name != NULL; known++) {
        sl__nearest_offer(&nearest, known->name);
    }
    bool merge = strcmp(key->text, "<<") == 0;
    sl__problem(reader->problems, key, place, "unknown key \"%.80s\"%s%s", key->text,
                merge ? ": maps cannot be merged, but an alias may be a whole value" : "",
                sl__nearest_text(&nearest, near));
}

/* The values of a section that was not read, and of those in it. */
void sl__part_init(const struct sl__section *section, void *out, const char *place) {
    if (section->init != NULL) {
        memcpy(out, section->init, section->size);
    }
    ((struct sl__part *)out)->place = place;
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        if (key->kind == SL__KEY_SECTION) {
            sl__part_init(key->section, (char *)out + key->offset, place);
        }
    }
}

/* `out` is zeroed. */
static void read_section(struct sl__reader *reader, const struct sl__section *section, const struct sl__yaml *at,
                         const char *name, const char *place, void *out) {
    struct sl__part *part = out;
    sl__part_init(section, out, place);
    part->name = name;
    part->at = at;
    if (at->kind != SL__YAML_MAP) {
        if (section->scalar != NULL && at->kind == SL__YAML_SCALAR) {
            read_key(reader, section->scalar, at, place, " or a map", (char *)out + section->scalar->offset);
            return;
        }
        if (at->kind != SL__YAML_SCALAR || sl__yaml_type(at) != SL__YAML_NULL) {
            expected(reader, at, place, section->scalar != NULL ? "a text or a map" : "a map");
            return;
        }
    }
    /* A map with nothing in it is written as nothing. */
    for (uint32_t i = 0; at->kind == SL__YAML_MAP && i < at->count; i++) {
        const char *text = at->keys[i]->text;
        const struct sl__key *key = sl__key_find(section, text);
        if (key != NULL) {
            read_key(reader, key, at->items[i], join(reader, place, text), "", (char *)out + key->offset);
        } else if (section != &sl__file_section || strncmp(text, "x-", 2) != 0) {
            unknown_key(reader, section, at->keys[i], place);
        }
    }
    for (const struct sl__key *key = section->keys; key->name != NULL; key++) {
        if ((key->flags & SL__KEY_REQUIRED) != 0 && sl__yaml_get(at, key->name) == NULL) {
            sl__problem(reader->problems, at, place, "it lacks the key %s", key->name);
        }
    }
}

void sl__read_file(struct sl__reader *reader, const struct sl__yaml *root, struct sl__file_part *file) {
    read_section(reader, &sl__file_section, root, NULL, "", file);
}
