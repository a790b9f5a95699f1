/* SPDX-License-Identifier: MIT */
/* What changes the tree before it is read: settings from outside, and variables. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "file.h"
#include "units.h"

static void no_memory(struct sl__reader *reader) {
    reader->problems->out_of_memory = true;
}

static struct sl__yaml *make_map(struct sl__reader *reader, const char *setting) {
    struct sl__yaml *map = sl__arena_take(reader->arena, sizeof *map);
    if (map == NULL) {
        no_memory(reader);
        return NULL;
    }
    *map = (struct sl__yaml){.kind = SL__YAML_MAP, .setting = setting, .weight = 1};
    return map;
}

static struct sl__yaml *make_text(struct sl__reader *reader, const char *setting, const char *text, bool quoted) {
    struct sl__yaml *scalar = sl__arena_take(reader->arena, sizeof *scalar);
    char *copy = sl__arena_text(reader->arena, text, strlen(text));
    if (scalar == NULL || copy == NULL) {
        no_memory(reader);
        return NULL;
    }
    *scalar = (struct sl__yaml){.kind = SL__YAML_SCALAR, .setting = setting, .text = copy, .quoted = quoted};
    scalar->weight = 1;
    return scalar;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void SL_PRINTF(3, 4) problem(struct sl__reader *reader, const char *setting, const char *format, ...) {
    const struct sl__yaml at = {.setting = setting};
    char message[SL_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    sl__problem(reader->problems, &at, NULL, "%s", message);
}

static void set(struct sl__reader *reader, struct sl__yaml *map, const char *key, struct sl__yaml *value) {
    if (value != NULL && !sl__yaml_set(reader->arena, map, key, value)) {
        no_memory(reader);
    }
}

/* A value as it would stand in the file. */
static struct sl__yaml *read_value(struct sl__reader *reader, const struct sl_pipe_setting *setting) {
    if (setting->value[strspn(setting->value, " \t\n")] == '\0') {
        return make_text(reader, setting->key, setting->value, true);
    }
    return sl__yaml_parse(reader->arena, setting->value, strlen(setting->value), setting->key, reader->problems);
}

/*
 * What a path goes through is copied before it is changed: through an alias it would be changed elsewhere too.
 */
static struct sl__yaml *own_child(struct sl__reader *reader, struct sl__yaml *parent, uint32_t index) {
    const struct sl__yaml *shared = parent->items[index];
    struct sl__yaml *own = sl__arena_take(reader->arena, sizeof *own);
    struct sl__yaml **items = sl__arena_take(reader->arena, shared->count * sizeof *items + 1);
    struct sl__yaml **keys = sl__arena_take(reader->arena, shared->count * sizeof *keys + 1);
    if (own == NULL || items == NULL || keys == NULL) {
        no_memory(reader);
        return NULL;
    }
    *own = *shared;
    for (uint32_t i = 0; i < shared->count; i++) {
        items[i] = shared->items[i];
        keys[i] = shared->keys != NULL ? shared->keys[i] : NULL;
    }
    own->items = items;
    own->keys = shared->kind == SL__YAML_MAP ? keys : NULL;
    own->capacity = own->count;
    parent->items[index] = own;
    return own;
}

/* The map under a key, made when it is not there or is no map. */
static struct sl__yaml *child_map(struct sl__reader *reader, struct sl__yaml *map, const char *key,
                                  const char *setting) {
    for (uint32_t i = 0; i < map->count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0 && map->items[i]->kind != SL__YAML_SCALAR) {
            return own_child(reader, map, i);
        }
    }
    struct sl__yaml *made = make_map(reader, setting);
    set(reader, map, key, made);
    return made;
}

static const char *name_of(const struct sl__yaml *container, uint32_t index) {
    const struct sl__yaml *name =
        container->kind == SL__YAML_MAP ? container->keys[index] : sl__yaml_get(container->items[index], "name");
    return name != NULL && name->kind == SL__YAML_SCALAR ? name->text : "";
}

/* The part that `rest` begins with the name of, the longest: names may have dots. */
static int64_t find_part(const struct sl__yaml *container, const char *rest, size_t *size) {
    int64_t found = -1;
    *size = 0;
    for (uint32_t i = 0; i < container->count; i++) {
        const char *name = name_of(container, i);
        size_t name_size = strlen(name);
        if (name_size > *size && strncmp(rest, name, name_size) == 0 &&
            (rest[name_size] == '.' || rest[name_size] == '\0')) {
            found = i;
            *size = name_size;
        }
    }
    return found;
}

static void no_such_part(struct sl__reader *reader, const char *setting, const struct sl__key *key,
                         const struct sl__yaml *container, const char *rest) {
    char typed[80], near[SL__NEAREST_TEXT_SIZE];
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(rest, "."), rest);
    struct sl__nearest nearest = {.typed = typed};
    for (uint32_t i = 0; i < container->count; i++) {
        sl__nearest_offer(&nearest, name_of(container, i));
    }
    problem(reader, setting, "the file has no %s \"%s\"%s", key->section->name, typed,
            sl__nearest_text(&nearest, near));
}

static void apply(struct sl__reader *reader, struct sl__yaml *map, const struct sl_pipe_setting *setting) {
    const struct sl__section *section = &sl__file_section;
    const char *rest = setting->key;
    struct sl__yaml *value = read_value(reader, setting);
    while (value != NULL && map != NULL) {
        char name[80];
        size_t size = strcspn(rest, ".");
        snprintf(name, sizeof name, "%.*s", (int)size, rest);
        const struct sl__key *key = section != NULL ? sl__key_find(section, name) : NULL;
        if (rest[size] == '\0' || (section != NULL && key == NULL)) {
            set(reader, map, name, value); /* a key that nobody knows is reported when it is read */
            return;
        }
        bool has_keys =
            section == NULL || key->section != NULL || key->kind == SL__KEY_ANY || key->kind == SL__KEY_PAIRS;
        if (!has_keys) {
            problem(reader, setting->key, "%s has no keys of its own", name);
            return;
        }
        rest += size + 1;
        struct sl__yaml *child = child_map(reader, map, name, setting->key);
        if (child == NULL) {
            return;
        }
        if (section == NULL || key->kind == SL__KEY_ANY || key->kind == SL__KEY_PAIRS) {
            section = NULL;
        } else if (key->kind == SL__KEY_SECTION) {
            section = key->section;
        } else {
            size_t part_size;
            int64_t part = find_part(child, rest, &part_size);
            bool implied = child->count == 0 && strcmp(name, "pools") == 0 && strncmp(rest, "main.", 5) == 0;
            if (implied) {
                set(reader, child, "main", make_map(reader, setting->key));
                part = 0;
                part_size = 4;
            }
            if (part < 0 || rest[part_size] == '\0') {
                if (part < 0) {
                    no_such_part(reader, setting->key, key, child, rest);
                } else {
                    problem(reader, setting->key, "say which key of it: %s.KEY", setting->key);
                }
                return;
            }
            rest += part_size + 1;
            child = own_child(reader, child, (uint32_t)part);
            section = key->section;
        }
        if (child != NULL && child->kind != SL__YAML_MAP) {
            child->kind = SL__YAML_MAP;
            child->count = child->capacity = 0;
        }
        map = child;
    }
}

void sl__apply_settings(struct sl__reader *reader, struct sl__yaml *root, const struct sl_pipe_setting *settings,
                        uint32_t setting_count) {
    for (uint32_t i = 0; i < setting_count; i++) {
        const struct sl_pipe_setting given = settings[i];
        char *key = sl__arena_text(reader->arena, given.key, strlen(given.key));
        const struct sl_pipe_setting setting = {key, given.value};
        struct sl__yaml *vars = sl__yaml_get(root, "vars");
        if (key == NULL) {
            no_memory(reader);
        } else if (sl__yaml_get(vars, key) != NULL) {
            set(reader, vars, key, make_text(reader, key, setting.value, false));
        } else if (strchr(key, '.') == NULL && sl__key_find(&sl__file_section, key) == NULL) {
            char near[SL__NEAREST_TEXT_SIZE];
            struct sl__nearest nearest = {.typed = key};
            for (uint32_t j = 0; vars != NULL && vars->kind == SL__YAML_MAP && j < vars->count; j++) {
                sl__nearest_offer(&nearest, vars->keys[j]->text);
            }
            problem(reader, key, "the file declares no variable of this name under vars%s",
                    sl__nearest_text(&nearest, near));
        } else {
            apply(reader, root, &setting);
        }
    }
}

/* ---- variables --------------------------------------------------------------------------------------------------- */

static bool is_variable_name(const char *name) {
    if (!isalpha((unsigned char)*name) && *name != '_') {
        return false;
    }
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && *name != '_') {
            return false;
        }
    }
    return true;
}

static jv to_jq(const struct sl__yaml *scalar) {
    double number;
    switch (sl__yaml_type(scalar)) {
    case SL__YAML_NULL:
        return jv_null();
    case SL__YAML_BOOL:
        return jv_bool(scalar->text[0] == 't' || scalar->text[0] == 'T');
    case SL__YAML_INT:
    case SL__YAML_FLOAT:
        if (sl__parse_number(scalar->text, &number)) {
            return jv_number(number);
        }
        return jv_string(scalar->text);
    default:
        return jv_string(scalar->text);
    }
}

struct text {
    char *items;
    size_t count, capacity;
};

static bool add(struct text *text, const char *bytes, size_t size) {
    if (!SL_ARRAY_RESERVE(text, size + 1)) {
        return false;
    }
    memcpy(text->items + text->count, bytes, size);
    text->count += size;
    text->items[text->count] = '\0';
    return true;
}

/* The variable named between the braces at `at`, which follows "${"; NULL after a problem. */
static const struct sl__yaml *find_variable(struct sl__reader *reader, const struct sl__yaml *vars,
                                            const struct sl__yaml *scalar, const char *at, size_t size) {
    char name[80], near[SL__NEAREST_TEXT_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)size, at);
    const struct sl__yaml *value = size < sizeof name ? sl__yaml_get(vars, name) : NULL;
    if (value == NULL) {
        struct sl__nearest nearest = {.typed = name};
        for (uint32_t i = 0; vars != NULL && vars->kind == SL__YAML_MAP && i < vars->count; i++) {
            sl__nearest_offer(&nearest, vars->keys[i]->text);
        }
        sl__problem(reader->problems, scalar, NULL,
                    "there is no variable \"%s\" under vars%s (write $${ for a plain ${)", name,
                    sl__nearest_text(&nearest, near));
    }
    return value;
}

static void fill(struct sl__reader *reader, const struct sl__yaml *vars, struct sl__yaml *scalar) {
    struct text text = {NULL, 0, 0};
    bool whole = false, fits = true;
    const struct sl__yaml *value = NULL;
    scalar->filled = true;
    for (const char *at = scalar->text; *at != '\0' && fits;) {
        const char *next = strstr(at, "${");
        bool escaped = next != NULL && next > scalar->text && next[-1] == '$';
        size_t size = next == NULL ? strlen(at) : (size_t)(next - at) - escaped;
        fits = add(&text, at, size);
        if (next == NULL) {
            break;
        }
        if (escaped) {
            fits = fits && add(&text, "${", 2);
            at = next + 2;
            continue;
        }
        size_t name_size = strcspn(next + 2, "}");
        if (next[2 + name_size] == '\0') {
            sl__problem(reader->problems, scalar, NULL, "\"${\" without a \"}\" behind it (write $${ for a plain ${)");
            scalar->broken = true;
            break;
        }
        value = find_variable(reader, vars, scalar, next + 2, name_size);
        if (value == NULL || value->kind != SL__YAML_SCALAR) {
            scalar->broken = true;
            break;
        }
        at = next + 2 + name_size + 1;
        whole = next == scalar->text && *at == '\0';
        fits = fits && add(&text, value->text, strlen(value->text));
        if (text.count > SL_PIPE_FILE_SIZE_MAX) {
            sl__problem(reader->problems, scalar, NULL, "with its variables it has more than %zu bytes",
                        SL_PIPE_FILE_SIZE_MAX);
            break;
        }
    }
    const char *filled = fits && text.items != NULL ? sl__arena_text(reader->arena, text.items, text.count) : NULL;
    if (filled == NULL) {
        no_memory(reader);
    } else {
        scalar->text = filled;
        /* A value that is all variable is of the variable's type, whatever stands around it. */
        scalar->quoted = whole ? value->quoted : scalar->quoted;
    }
    SL_ARRAY_FINISH(&text);
}

static void fill_all(struct sl__reader *reader, const struct sl__yaml *vars, struct sl__yaml *node) {
    if (node->filled) {
        return; /* through an alias, before */
    }
    if (node->kind == SL__YAML_SCALAR && strstr(node->text, "${") != NULL) {
        fill(reader, vars, node);
    }
    node->filled = true;
    for (uint32_t i = 0; i < node->count; i++) {
        if (node->items[i] != vars) {
            fill_all(reader, vars, node->items[i]);
        }
    }
}

void sl__fill_variables(struct sl__reader *reader, struct sl__yaml *root, jv *out) {
    struct sl__yaml *vars = sl__yaml_get(root, "vars");
    if (vars != NULL && vars->kind != SL__YAML_MAP) {
        char found[SL__YAML_TEXT_SIZE];
        if (vars->kind != SL__YAML_SCALAR || sl__yaml_type(vars) != SL__YAML_NULL) {
            sl__problem(reader->problems, vars, "vars", "expected a map of names to values, found %s",
                        sl__yaml_describe(vars, found));
        }
    }
    for (uint32_t i = 0; vars != NULL && vars->kind == SL__YAML_MAP && i < vars->count; i++) {
        const char *name = vars->keys[i]->text;
        if (!is_variable_name(name)) {
            sl__problem(reader->problems, vars->keys[i], "vars",
                        "\"%.80s\" is not a name: expected letters, digits and '_', no digit first", name);
        } else if (vars->items[i]->kind != SL__YAML_SCALAR) {
            char found[SL__YAML_TEXT_SIZE];
            sl__problem(reader->problems, vars->items[i], "vars", "%.80s: expected one value, found %s", name,
                        sl__yaml_describe(vars->items[i], found));
        } else {
            *out = jv_object_set(*out, jv_string(name), to_jq(vars->items[i]));
        }
        vars->items[i]->filled = true;
    }
    fill_all(reader, vars, root);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void write_scalar(const struct sl__yaml *scalar, struct sl_writer *writer) {
    const char *text = scalar->text;
    bool negative = text[0] == '-';
    uint64_t whole;
    double number;
    switch (sl__yaml_type(scalar)) {
    case SL__YAML_NULL:
        sl_write_nil(writer);
        return;
    case SL__YAML_BOOL:
        sl_write_bool(writer, text[0] == 't' || text[0] == 'T');
        return;
    case SL__YAML_INT:
        if (sl__parse_count(text + (negative || text[0] == '+'), &whole) &&
            (!negative || whole <= (uint64_t)INT64_MAX + 1)) {
            if (negative) {
                sl_write_int(writer, (int64_t)(0 - whole));
            } else {
                sl_write_uint(writer, whole);
            }
            return;
        }
        break;
    default:
        break;
    }
    if (sl__yaml_type(scalar) != SL__YAML_TEXT && sl__parse_number(text, &number)) {
        sl_write_float(writer, number);
    } else if (sl__yaml_type(scalar) == SL__YAML_FLOAT) { /* one of .inf, -.inf and .nan, or past the largest */
        sl_write_float(writer, strchr("nN", text[1]) != NULL && text[1] != '\0' ? __builtin_nan("")
                               : negative                                       ? -__builtin_inf()
                                                                                : __builtin_inf());
    } else {
        sl_write_str(writer, text);
    }
}

void sl__yaml_write(const struct sl__yaml *node, struct sl_writer *writer) {
    if (node->kind == SL__YAML_SCALAR) {
        write_scalar(node, writer);
        return;
    }
    if (node->kind == SL__YAML_LIST) {
        sl_write_list(writer, node->count);
    } else {
        sl_write_map(writer, node->count);
    }
    for (uint32_t i = 0; i < node->count; i++) {
        if (node->kind == SL__YAML_MAP) {
            sl_write_str(writer, node->keys[i]->text);
        }
        sl__yaml_write(node->items[i], writer);
    }
}
