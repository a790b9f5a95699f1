/* SPDX-License-Identifier: MIT */
/*
 * Printing goes over the tokens of the span once, with a stack of counters; there is no tree. What JSON has no words for
 * is an object with one key that starts with a dollar sign; such objects stay on one line when the rest is indented.
 */
#include <slither/json.h>

#include "number.h"
#include "text.h"

#include "base/macros.h"
#include "wire/ext.h"
#include "wire/token.h"
#include "wire/utf8.h"

#include <math.h>
#include <stdio.h>

struct level {
    uint32_t left; /* entries, or pairs */
    bool is_map;
    bool as_pairs; /* a map that is printed as a list of keys and values */
};

struct printer {
    struct text text;
    uint32_t flags;
    const char *what;       /* why the value cannot be printed; static storage */
    const uint8_t *culprit; /* the token that cannot */
};

static enum sl_code fail(struct printer *printer, enum sl_code code, const uint8_t *culprit, const char *what) {
    printer->what = what;
    printer->culprit = culprit;
    return code;
}

static void break_line(struct printer *printer, uint32_t depth) {
    if ((printer->flags & SL_JSON_PRETTY) == 0 || !text_reserve(&printer->text, 1 + 2 * (size_t)depth)) {
        return;
    }
    text_add_char(&printer->text, '\n');
    memset(printer->text.data + printer->text.size, ' ', 2 * (size_t)depth);
    printer->text.size += 2 * (size_t)depth;
}

/* ---- what JSON lacks ---------------------------------------------------------------------------------------- */

/* A quotation mark, or one inside a string. */
static void add_quote(struct text *text, bool in_string) {
    if (in_string) {
        text_add_char(text, '\\');
    }
    text_add_char(text, '"');
}

static void add_tag(struct text *text, const char *tag, bool in_string) {
    text_add_char(text, '{');
    add_quote(text, in_string);
    text_add(text, tag, strlen(tag));
    add_quote(text, in_string);
    text_add_char(text, ':');
}

static void add_bytes(struct text *text, const struct sl__token *token, bool in_string) {
    add_tag(text, "$bytes", in_string);
    add_quote(text, in_string);
    sl__text_add_base64(text, token->payload, token->size);
    add_quote(text, in_string);
    text_add_char(text, '}');
}

/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what RFC 3339 can say. */
#define RFC3339_FIRST INT64_C(-62167219200)
#define RFC3339_LAST INT64_C(253402300799)
#define DAY_SECONDS 86400

/*
 * Year, month and day of a day number, in the calendar that has no end. Years are counted from March, so that the leap day is
 * the last of its year and the months before it have lengths that a straight line through (153 m + 2) / 5 gives.
 */
static void civil(int64_t day, int64_t *year, unsigned *month, unsigned *day_of_month) {
    day += 719468; /* from 0000-03-01 */
    int64_t era = (day >= 0 ? day : day - 146096) / 146097;
    unsigned day_of_era = (unsigned)(day - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted = (5 * day_of_year + 2) / 153;
    *day_of_month = day_of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = (int64_t)year_of_era + era * 400 + (*month <= 2);
}

static void add_timestamp(struct text *text, const struct sl_timestamp *timestamp, bool in_string) {
    char out[64];
    if (timestamp->seconds < RFC3339_FIRST || timestamp->seconds > RFC3339_LAST) {
        add_tag(text, "$timestamp", in_string);
        add_tag(text, "seconds", in_string);
        sl__text_add_int(text, timestamp->seconds);
        text_add_char(text, ',');
        add_quote(text, in_string);
        TEXT_ADD_LITERAL(text, "nanoseconds");
        add_quote(text, in_string);
        text_add_char(text, ':');
        sl__text_add_uint(text, timestamp->nanoseconds);
        TEXT_ADD_LITERAL(text, "}}");
        return;
    }
    int64_t year;
    unsigned month, day_of_month;
    int64_t day = (timestamp->seconds - RFC3339_FIRST) / DAY_SECONDS + RFC3339_FIRST / DAY_SECONDS;
    unsigned second = (unsigned)(timestamp->seconds - day * DAY_SECONDS);
    civil(day, &year, &month, &day_of_month);
    int size = snprintf(out, sizeof(out), "%04d-%02u-%02uT%02u:%02u:%02u", (int)year, month, day_of_month,
                        second / 3600, second / 60 % 60, second % 60);
    uint32_t fraction = timestamp->nanoseconds;
    if (fraction % 1000000 == 0 && fraction > 0) {
        size += snprintf(out + size, sizeof(out) - (size_t)size, ".%03u", fraction / 1000000);
    } else if (fraction % 1000 == 0 && fraction > 0) {
        size += snprintf(out + size, sizeof(out) - (size_t)size, ".%06u", fraction / 1000);
    } else if (fraction > 0) {
        size += snprintf(out + size, sizeof(out) - (size_t)size, ".%09u", fraction);
    }
    out[size++] = 'Z';
    add_tag(text, "$timestamp", in_string);
    add_quote(text, in_string);
    text_add(text, out, (size_t)size);
    add_quote(text, in_string);
    text_add_char(text, '}');
}

static void add_array(struct text *text, const struct sl_array *array) {
    const char *dtype = sl__dtype_name(array->dtype);
    TEXT_ADD_LITERAL(text, "{\"$array\":{\"dtype\":\"");
    text_add(text, dtype, strlen(dtype));
    TEXT_ADD_LITERAL(text, "\",\"shape\":[");
    for (uint32_t i = 0; i < array->dim_count; i++) {
        if (i > 0) {
            text_add_char(text, ',');
        }
        sl__text_add_uint(text, array->shape[i]);
    }
    if (array->data != NULL) {
        TEXT_ADD_LITERAL(text, "],\"data\":\"");
        sl__text_add_base64(text, array->data, array->data_size);
        TEXT_ADD_LITERAL(text, "\"}}");
    } else {
        TEXT_ADD_LITERAL(text, "],\"buffer\":");
        sl__text_add_uint(text, array->buffer_id);
        TEXT_ADD_LITERAL(text, ",\"offset\":");
        sl__text_add_uint(text, array->buffer_offset);
        TEXT_ADD_LITERAL(text, "}}");
    }
}

static void add_ref(struct text *text, const struct sl_ref *ref) {
    TEXT_ADD_LITERAL(text, "{\"$ref\":{\"session\":");
    sl__text_add_uint(text, ref->session);
    TEXT_ADD_LITERAL(text, ",\"object\":");
    sl__text_add_uint(text, ref->object);
    TEXT_ADD_LITERAL(text, ",\"worker\":");
    sl__text_add_uint(text, ref->worker);
    TEXT_ADD_LITERAL(text, ",\"generation\":");
    sl__text_add_uint(text, ref->generation);
    TEXT_ADD_LITERAL(text, ",\"type\":");
    sl__text_add_string(text, ref->type_name, ref->type_name_size);
    if (ref->repr_size > 0) {
        TEXT_ADD_LITERAL(text, ",\"repr\":");
        sl__text_add_string(text, ref->repr, ref->repr_size);
    }
    TEXT_ADD_LITERAL(text, "}}");
}

static const char *mark_name(enum sl_mark_kind kind) {
    return kind == SL_MARK_SKIP ? "skip" : kind == SL_MARK_ERROR ? "error" : "route";
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

static enum sl_code add_float(struct printer *printer, const struct sl__token *token, const uint8_t *start) {
    struct text *text = &printer->text;
    if (!isfinite(token->real) && (printer->flags & SL_JSON_LOSSLESS) != 0) {
        const char *name = isnan(token->real) ? "nan" : token->real > 0 ? "inf" : "-inf";
        TEXT_ADD_LITERAL(text, "{\"$float\":\"");
        text_add(text, name, strlen(name));
        TEXT_ADD_LITERAL(text, "\"}");
    } else if (!isfinite(token->real)) {
        if ((printer->flags & SL_JSON_NAN_AS_NULL) == 0) {
            return fail(printer, SL_E_NOT_SERIALIZABLE, start,
                        isnan(token->real) ? "JSON has no NaN; set SL_JSON_NAN_AS_NULL to print null"
                                           : "JSON has no infinity; set SL_JSON_NAN_AS_NULL to print null");
        }
        TEXT_ADD_LITERAL(text, "null");
    } else if (text_reserve(text, SL__NUMBER_SIZE_MAX)) {
        text->size += sl__print_double(text->data + text->size, token->real);
    }
    return SL_OK;
}

static enum sl_code add_ext(struct printer *printer, const struct sl__token *token, const uint8_t *start,
                            bool in_string) {
    struct sl_timestamp timestamp;
    struct sl_array array;
    struct sl_ref ref;
    const char *what = "an extension is of a type that Slither does not know";
    enum sl_code code = SL_E_INVALID_DATA;
    if (token->ext_type == SL__EXT_TIMESTAMP) {
        code = sl__ext_read_timestamp(token->payload, token->size, &timestamp, &what);
        if (code == SL_OK) {
            add_timestamp(&printer->text, &timestamp, in_string);
        }
    } else if (in_string) {
        what = "a map key is not a scalar";
    } else if (token->ext_type == SL__EXT_ARRAY || token->ext_type == SL__EXT_BUFFER_ARRAY) {
        code = token->ext_type == SL__EXT_ARRAY ? sl__ext_read_array(token->payload, token->size, &array, &what)
                                                : sl__ext_read_buffer_array(token->payload, token->size, &array, &what);
        if (code == SL_OK) {
            add_array(&printer->text, &array);
        }
    } else if (token->ext_type == SL__EXT_REF) {
        code = sl__ext_read_ref(token->payload, token->size, &ref, &what);
        if (code == SL_OK) {
            add_ref(&printer->text, &ref);
        }
    } else if (token->ext_type == SL__EXT_MARK) {
        what = "a mark is inside another value";
    }
    return code == SL_OK ? SL_OK : fail(printer, code, start, what);
}

/* Anything but a container, whose entries the caller walks. As a key it is put between quotation marks. */
static enum sl_code add_scalar(struct printer *printer, const struct sl__token *token, const uint8_t *start,
                               bool is_key) {
    struct text *text = &printer->text;
    enum sl_code code = SL_OK;
    if (token->kind == SL__TOKEN_STR) {
        if (!sl__utf8_valid(token->payload, token->size)) {
            return fail(printer, SL_E_INVALID_UTF8, start, "a str is not valid UTF-8");
        }
        sl__text_add_string(text, (const char *)token->payload, token->size);
        return SL_OK;
    }
    if (is_key) {
        text_add_char(text, '"');
    }
    switch (token->kind) {
    case SL__TOKEN_NIL:
        TEXT_ADD_LITERAL(text, "null");
        break;
    case SL__TOKEN_BOOL:
        if (token->boolean) {
            TEXT_ADD_LITERAL(text, "true");
        } else {
            TEXT_ADD_LITERAL(text, "false");
        }
        break;
    case SL__TOKEN_INT:
        sl__text_add_int(text, token->integer);
        break;
    case SL__TOKEN_UINT:
        if ((printer->flags & SL_JSON_LOSSLESS) != 0 && token->natural > INT64_MAX) {
            TEXT_ADD_LITERAL(text, "{\"$uint\":\"");
            sl__text_add_uint(text, token->natural);
            TEXT_ADD_LITERAL(text, "\"}");
        } else {
            sl__text_add_uint(text, token->natural);
        }
        break;
    case SL__TOKEN_FLOAT:
        code = add_float(printer, token, start);
        break;
    case SL__TOKEN_BYTES:
        add_bytes(text, token, is_key);
        break;
    case SL__TOKEN_EXT:
        code = add_ext(printer, token, start, is_key);
        break;
    default:
        code = fail(printer, SL_E_INVALID_DATA, start, "a map key is not a scalar");
        break;
    }
    if (is_key) {
        text_add_char(text, '"');
    }
    return code;
}

/*
 * Whether a map whose entries begin at `at` would be another one when it is read back as an object: it has a key that is no str, or
 * one that JSON readers refuse, or it looks like one of ours. Of nested maps each level is looked through once more.
 */
static bool needs_pairs(const uint8_t *at, const uint8_t *end, uint32_t count) {
    struct sl__token key;
    for (uint32_t i = 0; i < count; i++) {
        if (!sl__token_read(&at, end, &key)) {
            return false; /* which printing says */
        }
        if (key.kind != SL__TOKEN_STR || (key.size > 0 && key.payload[0] == '$') ||
            memchr(key.payload, '\0', key.size) != NULL) {
            return true;
        }
        if (!sl__value_skip(&at, end)) {
            return false;
        }
    }
    return false;
}

static enum sl_code print_plain(struct printer *printer, const uint8_t *at, const uint8_t *end) {
    struct level stack[SL_DEPTH_MAX_LIMIT];
    uint32_t depth = 0;
    struct text *text = &printer->text;
    do {
        struct sl__token token;
        const uint8_t *start = at;
        enum sl_code code;
        if (depth > 0) {
            break_line(printer, depth);
        }
        if (depth > 0 && stack[depth - 1].is_map) {
            if (!sl__token_read(&at, end, &token)) {
                return fail(printer, SL_E_INVALID_DATA, start, "the value is cut off");
            }
            bool as_pairs = stack[depth - 1].as_pairs;
            if (as_pairs) {
                text_add_char(text, '[');
            }
            code = add_scalar(printer, &token, start, !as_pairs);
            if (code != SL_OK) {
                return code;
            }
            text_add_char(text, as_pairs ? ',' : ':');
            if (printer->flags & SL_JSON_PRETTY) {
                text_add_char(text, ' ');
            }
            start = at;
        }
        if (!sl__token_read(&at, end, &token)) {
            return fail(printer, SL_E_INVALID_DATA, start, "the value is cut off");
        }
        if (token.kind == SL__TOKEN_LIST || token.kind == SL__TOKEN_MAP) {
            bool is_map = token.kind == SL__TOKEN_MAP;
            if (token.count == 0) {
                text_add(text, is_map ? "{}" : "[]", 2);
            } else if (depth == SL_DEPTH_MAX_LIMIT) {
                return fail(printer, SL_E_INVALID_DATA, start, "containers are nested deeper than a value can be");
            } else {
                bool as_pairs = is_map && (printer->flags & SL_JSON_LOSSLESS) != 0 && needs_pairs(at, end, token.count);
                text_add_char(text, is_map ? '{' : '[');
                if (as_pairs) {
                    TEXT_ADD_LITERAL(text, "\"$map\":[");
                }
                stack[depth++] = (struct level){token.count, is_map, as_pairs};
                continue;
            }
        } else {
            code = add_scalar(printer, &token, start, false);
            if (code != SL_OK) {
                return code;
            }
        }
        while (depth > 0) {
            struct level *level = &stack[depth - 1];
            if (level->as_pairs) {
                text_add_char(text, ']');
            }
            if (--level->left > 0) {
                text_add_char(text, ',');
                break;
            }
            depth--;
            break_line(printer, depth);
            if (level->as_pairs) {
                text_add_char(text, ']');
            }
            text_add_char(text, level->is_map ? '}' : ']');
        }
    } while (depth > 0 && !text->failed);
    if (!text->failed && at != end) {
        return fail(printer, SL_E_INVALID_DATA, at, "bytes follow after the end of the value");
    }
    return SL_OK;
}

static enum sl_code print(struct printer *printer, struct sl_value value) {
    struct sl_mark mark;
    if (value.data == NULL || value.size == 0) {
        return fail(printer, SL_E_INVALID_DATA, value.data, "there is no value");
    }
    if (sl_value_type(value) != SL_TYPE_MARK || sl_value_mark(value, &mark) != SL_OK) {
        return print_plain(printer, value.data, value.data + value.size);
    }
    struct text *text = &printer->text;
    const char *name = mark_name(mark.kind);
    enum sl_code code = SL_OK;
    TEXT_ADD_LITERAL(text, "{\"$mark\":{\"kind\":\"");
    text_add(text, name, strlen(name));
    TEXT_ADD_LITERAL(text, "\",\"text\":");
    sl__text_add_string(text, mark.text, mark.text_size);
    if (mark.payload.size > 0) {
        uint32_t flags = printer->flags;
        TEXT_ADD_LITERAL(text, ",\"payload\":");
        printer->flags &= ~(uint32_t)SL_JSON_PRETTY;
        code = print_plain(printer, mark.payload.data, mark.payload.data + mark.payload.size);
        printer->flags = flags;
    }
    TEXT_ADD_LITERAL(text, "}}");
    return code;
}

/* ---- where a token lies, for errors ------------------------------------------------------------------------- */

#define PLACE_SIZE_MAX 200

struct place {
    char text[PLACE_SIZE_MAX + 4];
    size_t size;
};

/* False, with an ellipsis at the end, when the way is too long to be told. */
static bool extend(struct place *place, const char *before, const char *name, size_t name_size, const char *after) {
    size_t before_size = strlen(before);
    size_t after_size = strlen(after);
    if (name_size > PLACE_SIZE_MAX || place->size + before_size + name_size + after_size > PLACE_SIZE_MAX) {
        memcpy(place->text + place->size, "...", 3);
        place->size += 3;
        return false;
    }
    memcpy(place->text + place->size, before, before_size);
    memcpy(place->text + place->size + before_size, name, name_size);
    memcpy(place->text + place->size + before_size + name_size, after, after_size);
    place->size += before_size + name_size + after_size;
    return true;
}

/*
 * Writes the way to `culprit` as `$.items[3].score`. Only done when something is wrong with a value, so that printing itself
 * keeps no account of where it is.
 */
static void find_place(struct sl_value value, const uint8_t *culprit, struct place *place) {
    struct sl_mark mark;
    struct sl_iter iter;
    struct sl_value key, entry;
    (void)extend(place, "$", "", 0, "");
    if (sl_value_type(value) == SL_TYPE_MARK && sl_value_mark(value, &mark) == SL_OK && mark.payload.size > 0) {
        (void)extend(place, ".$mark.payload", "", 0, "");
        value = mark.payload;
    }
    /* Each round goes one level down; none is deeper than printing came. */
    for (uint32_t depth = 0; depth < SL_DEPTH_MAX_LIMIT && value.data != culprit; depth++) {
        uint32_t index = 0;
        bool inside = false;
        if (sl_iter_init(&iter, value) != SL_OK) {
            return;
        }
        for (; !inside && sl_iter_next(&iter, &key, &entry); index++) {
            const uint8_t *start = key.data != NULL ? key.data : entry.data;
            inside = culprit >= start && culprit < entry.data + entry.size;
        }
        if (!inside) {
            return;
        }
        char number[SL__NUMBER_SIZE_MAX];
        const char *name;
        size_t name_size;
        size_t number_size = sl__print_uint(number, index - 1);
        bool more;
        if (key.data == NULL) {
            more = extend(place, "[", number, number_size, "]");
        } else if (culprit < entry.data) {
            (void)extend(place, ", key of pair ", number, number_size, "");
            return;
        } else if (sl_value_str(key, &name, &name_size) == SL_OK) {
            more = extend(place, ".", name, name_size, "");
        } else {
            more = extend(place, "[pair ", number, number_size, "]");
        }
        if (!more) {
            return;
        }
        value = entry;
    }
}

static enum sl_code report(const struct printer *printer, struct sl_value value, enum sl_code code,
                           struct sl_error *error) {
    struct place place = {.size = 0};
    size_t offset = 0;
    if (value.size > 0) {
        find_place(value, printer->culprit, &place);
        offset = (size_t)(printer->culprit - value.data);
    }
    return sl_error_set(error, code, "cannot print as JSON: at %.*s (byte %zu of %zu): %s", (int)place.size, place.text,
                        offset, value.size, printer->what);
}

enum sl_code sl_json_print(struct sl_value value, uint32_t flags, char **text, size_t *capacity, size_t *size,
                           struct sl_error *error) {
    struct printer printer = {.text = {*text, 0, *text != NULL ? *capacity : 0, false}, .flags = flags};
    enum sl_code code = print(&printer, value);
    text_add_char(&printer.text, '\0');
    *text = printer.text.data;
    *capacity = printer.text.capacity;
    *size = 0;
    if (code != SL_OK) {
        return report(&printer, value, code, error);
    }
    if (printer.text.failed) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "cannot print as JSON: no memory after %zu bytes of text",
                            printer.text.size);
    }
    *size = printer.text.size - 1;
    return SL_OK;
}
