/* SPDX-License-Identifier: MIT */
/* Reading is jansson's: it knows the grammar, keeps the order of keys and says where an error is. We bound it and name errors. */
#include <slither/json.h>

#include "restore.h"

#include "wire/writer.h"

#include <string.h>

/*
 * Recursion is as deep as the writer lets it: it refuses the container that is nested too deep before it is entered, at most
 * SL_DEPTH_MAX_LIMIT levels down; jansson itself stops at 2048.
 */
void sl__json_write(struct sl_writer *writer, const json_t *json, bool restoring) {
    const char *key;
    json_t *entry;
    size_t index;
    if (writer->code != SL_OK) {
        return;
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        if (restoring && sl__json_restore_object(writer, json)) {
            break;
        }
        sl_write_map(writer, (uint32_t)json_object_size(json));
        json_object_foreach((json_t *)json, key, entry) {
            sl_write_str(writer, key);
            sl__json_write(writer, entry, restoring);
            if (writer->code != SL_OK) {
                return;
            }
        }
        break;
    case JSON_ARRAY:
        sl_write_list(writer, (uint32_t)json_array_size(json));
        json_array_foreach(json, index, entry) {
            sl__json_write(writer, entry, restoring);
            if (writer->code != SL_OK) {
                return;
            }
        }
        break;
    case JSON_STRING:
        sl_write_strn(writer, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        sl_write_int(writer, json_integer_value(json));
        break;
    case JSON_REAL:
        sl_write_float(writer, json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        sl_write_bool(writer, json_is_true(json));
        break;
    case JSON_NULL:
        sl_write_nil(writer);
        break;
    }
}

static bool in_number(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* The number around a place in the text, which may be just past it. */
static const char *number_at(const char *text, size_t size, size_t place, int *number_size) {
    const int size_max = 60;
    size_t begin = place < size ? place : size;
    if (begin > 0 && (begin == size || !in_number(text[begin]))) {
        begin--;
    }
    while (begin > 0 && in_number(text[begin - 1])) {
        begin--;
    }
    size_t end = begin;
    while (end < size && in_number(text[end]) && end - begin < (size_t)size_max) {
        end++;
    }
    *number_size = (int)(end - begin);
    return text + begin;
}

static enum sl_code report(const json_error_t *found, const char *text, size_t size, struct sl_error *error) {
    int number_size;
    const char *number;
    size_t place = found->position > 0 ? (size_t)found->position : 0;
    switch (json_error_code(found)) {
    case json_error_out_of_memory:
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to read %zu bytes of JSON", size);
    case json_error_stack_overflow:
        return sl_error_set(error, SL_E_LIMIT,
                            "invalid JSON at line %d, column %d (byte %zu): nested deeper than any value may be",
                            found->line, found->column, place);
    case json_error_invalid_utf8:
        return sl_error_set(error, SL_E_INVALID_UTF8,
                            "invalid JSON at line %d, column %d (byte %zu): %s; JSON is UTF-8", found->line,
                            found->column, place, found->text);
    case json_error_numeric_overflow:
        number = number_at(text, size, place, &number_size);
        return sl_error_set(
            error, SL_E_INVALID_DATA,
            "invalid JSON at line %d, column %d (byte %zu): %.*s does not fit; integers go from -2^63 to "
            "2^63-1, other numbers to 1.8e308; write it as a string",
            found->line, found->column, place, number_size, number);
    case json_error_null_byte_in_key:
        return sl_error_set(error, SL_E_INVALID_DATA,
                            "invalid JSON at line %d, column %d (byte %zu): a key contains the character U+0000, which "
                            "keys may not",
                            found->line, found->column, place);
    default:
        return sl_error_set(error, SL_E_INVALID_DATA, "invalid JSON at line %d, column %d (byte %zu): %s", found->line,
                            found->column, place, found->text);
    }
}

static enum sl_code report_nul(const char *text, const char *nul, struct sl_error *error) {
    int line = 1;
    const char *line_start = text;
    for (const char *at = text; at < nul; at++) {
        if (*at == '\n') {
            line++;
            line_start = at + 1;
        }
    }
    return sl_error_set(error, SL_E_INVALID_DATA,
                        "invalid JSON at line %d, column %d (byte %zu): a NUL byte; write it as \\u0000 in a string",
                        line, (int)(nul - line_start) + 1, (size_t)(nul - text));
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (strchr(" \t\r\n", text[i]) == NULL || text[i] == '\0') {
            return false;
        }
    }
    return true;
}

static enum sl_code parse(const char *text, size_t size, bool restoring, struct sl_writer *writer,
                          struct sl_error *error) {
    json_error_t found;
    if (writer->code != SL_OK) {
        return sl__writer_error(writer, error);
    }
    if (text == NULL || is_blank(text, size)) {
        return sl_error_set(
            error, SL_E_INVALID_DATA,
            "invalid JSON: %zu bytes without a value; expected an object, array, string, number, true, false or null",
            size);
    }
    /* To jansson a NUL byte is the end of the text: what follows would be lost without a word. */
    const char *nul = memchr(text, '\0', size);
    if (nul != NULL) {
        return report_nul(text, nul, error);
    }
    json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &found);
    if (json == NULL) {
        return report(&found, text, size, error);
    }
    sl__json_write(writer, json, restoring);
    json_decref(json);
    return sl__writer_error(writer, error);
}

enum sl_code sl_json_parse(const char *text, size_t size, struct sl_writer *writer, struct sl_error *error) {
    return parse(text, size, false, writer, error);
}

enum sl_code sl_json_restore(const char *text, size_t size, struct sl_writer *writer, struct sl_error *error) {
    return parse(text, size, true, writer, error);
}
