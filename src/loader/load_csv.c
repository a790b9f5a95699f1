/* SPDX-License-Identifier: MIT */
#include <slither/json.h>
#include <string.h>

#include "csv.h"
#include "loader.h"

#include "base/macros.h"

struct csv_loader {
    struct sl_loader base;
    struct sl__csv csv;
};

/* Whether the text may be a number of JSON at all: most text is not, and needs no closer look. */
static bool may_be_number(const char *text, size_t size) {
    return size <= 40 && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) && text[size - 1] >= '0' &&
           text[size - 1] <= '9';
}

static bool is_text(const struct sl__csv_field *field, const char *text) {
    return field->size == strlen(text) && memcmp(field->text, text, field->size) == 0;
}

/* Numbers of JSON, true, false and nil; false: it is text. */
static bool write_inferred(struct sl_writer *writer, const struct sl__csv_field *field) {
    if (field->size == 0) {
        sl_write_nil(writer);
    } else if (is_text(field, "true") || is_text(field, "false")) {
        sl_write_bool(writer, field->size == 4);
    } else {
        return may_be_number(field->text, field->size) &&
               sl_json_parse(field->text, field->size, writer, NULL) == SL_OK;
    }
    return true;
}

static void write_field(struct sl_loader *base, struct sl_writer *writer, uint32_t column) {
    const struct csv_loader *loader = SL_CONTAINER_OF(base, struct csv_loader, base);
    const struct sl__csv_field *field = &loader->csv.fields[column];
    if (base->csv_types == SL_CSV_INFER && !field->quoted && write_inferred(writer, field)) {
        return;
    }
    sl_write_strn(writer, field->text, field->size);
}

static enum sl_code next(struct sl_loader *base, struct sl_row *row, struct sl_error *error) {
    struct csv_loader *loader = SL_CONTAINER_OF(base, struct csv_loader, base);
    enum sl_code code = sl__csv_next(&loader->csv, error);
    if (code != SL_OK) {
        return code;
    }
    if (loader->csv.field_count != base->column_count) {
        code = sl_error_set(error, SL_E_INVALID_DATA, "expected %u fields, as in the first record, found %zu",
                            base->column_count, loader->csv.field_count);
    } else {
        code = sl__loader_row(base, write_field, row, error);
    }
    return code == SL_OK ? SL_OK : sl__loader_place(base, ":", loader->csv.line, error, code);
}

static void finish(struct sl_loader *base) {
    struct csv_loader *loader = SL_CONTAINER_OF(base, struct csv_loader, base);
    if (loader->csv.file != NULL) {
        fclose(loader->csv.file);
    }
    sl__csv_finish(&loader->csv);
}

static enum sl_code read_header(struct csv_loader *loader, struct sl_error *error) {
    enum sl_code code = sl__csv_next(&loader->csv, error);
    if (code == SL_E_END) {
        return sl_error_set(error, SL_E_INVALID_DATA, "%.300s: the file is empty; its first line must name the columns",
                            loader->base.path);
    }
    if (code == SL_OK) {
        code = sl__loader_columns(&loader->base, loader->csv.field_count, error);
    }
    for (size_t i = 0; code == SL_OK && i < loader->csv.field_count; i++) {
        code = sl__loader_column(&loader->base, loader->csv.fields[i].text, loader->csv.fields[i].size, error);
    }
    return code == SL_OK ? sl__loader_choose(&loader->base, error) : code;
}

enum sl_code sl_loader_open_csv(const char *path, const struct sl_loader_options *options, struct sl_loader **out,
                                struct sl_error *error) {
    enum sl_code code = sl__loader_create(sizeof(struct csv_loader), path, options, out, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_loader *base = *out;
    struct csv_loader *loader = SL_CONTAINER_OF(base, struct csv_loader, base);
    base->next = next;
    base->finish = finish;
    loader->csv.name = base->path;
    code = sl__loader_open_file(base, &loader->csv.file, error);
    if (code == SL_OK) {
        code = read_header(loader, error);
    }
    return sl__loader_opened(code, out);
}
