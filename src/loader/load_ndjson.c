/* SPDX-License-Identifier: MIT */
#include <slither/json.h>
#include <stdlib.h>
#include <string.h>

#include "loader.h"

#include "base/macros.h"

#define CHUNK_SIZE ((size_t)256 << 10)

struct ndjson_loader {
    struct sl_loader base; /* its `value` has the whole row */
    FILE *file;
    uint64_t line; /* that was read last, from 1 */
    char *data;
    size_t capacity;
    size_t begin, end; /* of what was read and not given out */
    size_t searched;   /* from `begin` on there is no end of line before here */
    bool ended;
};

/* Makes room for, and reads, more of the line that begins at `begin`. */
static enum sl_code read_more(struct ndjson_loader *loader, struct sl_error *error) {
    if (loader->begin > 0) {
        memmove(loader->data, loader->data + loader->begin, loader->end - loader->begin);
        loader->end -= loader->begin;
        loader->begin = 0;
    }
    if (loader->end == loader->capacity) {
        if (loader->capacity >= SL__RECORD_SIZE_MAX) {
            return sl_error_set(error, SL_E_LIMIT, "%.300s:%llu: a line is longer than 64 MiB, which is the limit",
                                loader->base.path, (unsigned long long)loader->line);
        }
        size_t capacity = loader->capacity == 0 ? CHUNK_SIZE : loader->capacity * 2;
        char *data = realloc(loader->data, capacity);
        if (data == NULL) {
            return sl_error_set(error, SL_E_OUT_OF_MEMORY, "%.300s:%llu: no memory for a line of more than %zu bytes",
                                loader->base.path, (unsigned long long)loader->line, loader->capacity);
        }
        loader->data = data;
        loader->capacity = capacity;
    }
    size_t count = fread(loader->data + loader->end, 1, loader->capacity - loader->end, loader->file);
    loader->end += count;
    loader->ended = count == 0;
    return count == 0 && ferror(loader->file) ? sl__loader_fail_read(&loader->base, loader->line, error) : SL_OK;
}

/* SL_E_END: there is none. */
static enum sl_code next_line(struct ndjson_loader *loader, const char **text, size_t *size, struct sl_error *error) {
    loader->line++;
    for (;;) {
        char *start = loader->data != NULL ? loader->data + loader->begin : NULL;
        size_t held = loader->end - loader->begin;
        char *stop = held > loader->searched ? memchr(start + loader->searched, '\n', held - loader->searched) : NULL;
        if (stop != NULL || (loader->ended && held > 0)) {
            *text = start;
            *size = stop != NULL ? (size_t)(stop - start) : held;
            loader->begin += *size + (stop != NULL);
            loader->searched = 0;
            return SL_OK;
        }
        if (loader->ended) {
            return SL_E_END;
        }
        loader->searched = held;
        enum sl_code code = read_more(loader, error);
        if (code != SL_OK) {
            return code;
        }
    }
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* The line of the file is said anyway, and is the only one. */
static void drop_line(struct sl_error *error) {
    static const char with[] = "invalid JSON at line 1, ", without[] = "invalid JSON at ";
    if (error != NULL && strncmp(error->message, with, sizeof with - 1) == 0) {
        char *rest = error->message + sizeof with - 1;
        memmove(error->message + sizeof without - 1, rest, strlen(rest) + 1);
    }
}

static enum sl_code find_member(struct sl_value map, const char *name, struct sl_value *member,
                                struct sl_error *error) {
    if (sl_value_get(map, name, member) == SL_OK) {
        return SL_OK;
    }
    return sl_error_set(error, SL_E_INVALID_DATA, "the object has no member '%.80s'", name);
}

static enum sl_code read_row(struct sl_loader *base, const char *text, size_t size, struct sl_row *row,
                             struct sl_error *error) {
    sl_writer_reset(&base->value);
    enum sl_code code = base->lossless ? sl_json_restore(text, size, &base->value, error)
                                       : sl_json_parse(text, size, &base->value, error);
    if (code == SL_OK) {
        code = sl_writer_end(&base->value, &row->value, error);
    }
    if (code != SL_OK) {
        drop_line(error);
        return code;
    }
    struct sl_value map = row->value;
    if (sl_value_type(map) != SL_TYPE_MAP) {
        return sl_error_set(error, SL_E_INVALID_DATA, "expected a JSON object, found a value of type %s",
                            sl_type_name(sl_value_type(map)));
    }
    code = find_member(map, base->key_name != NULL ? base->key_name : "key", &row->key, error);
    if (code == SL_OK && base->value_name != NULL) {
        code = find_member(map, base->value_name, &row->value, error);
    }
    return code;
}

static enum sl_code next(struct sl_loader *base, struct sl_row *row, struct sl_error *error) {
    struct ndjson_loader *loader = SL_CONTAINER_OF(base, struct ndjson_loader, base);
    const char *text;
    size_t size;
    enum sl_code code;
    do {
        code = next_line(loader, &text, &size, error);
        if (code != SL_OK) {
            return code;
        }
    } while (is_blank(text, size));
    code = read_row(base, text, size, row, error);
    return code == SL_OK ? SL_OK : sl__loader_place(base, ":", loader->line, error, code);
}

static void finish(struct sl_loader *base) {
    struct ndjson_loader *loader = SL_CONTAINER_OF(base, struct ndjson_loader, base);
    if (loader->file != NULL) {
        fclose(loader->file);
    }
    free(loader->data);
}

enum sl_code sl_loader_open_ndjson(const char *path, const struct sl_loader_options *options, struct sl_loader **out,
                                   struct sl_error *error) {
    enum sl_code code = sl__loader_create(sizeof(struct ndjson_loader), path, options, out, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_loader *base = *out;
    base->next = next;
    base->finish = finish;
    code = sl__loader_open_file(base, &SL_CONTAINER_OF(base, struct ndjson_loader, base)->file, error);
    return sl__loader_opened(code, out);
}
