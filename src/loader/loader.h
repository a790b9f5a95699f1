/* SPDX-License-Identifier: MIT */
/* What the kinds of loader have in common. */
#ifndef SLITHER_LOADER_LOADER_H
#define SLITHER_LOADER_LOADER_H

#include <stdio.h>

#include <slither/loader.h>
#include <slither/value.h>

#define SL__RECORD_SIZE_MAX ((size_t)64 << 20) /* of a line, or of a record */
#define SL__NO_COLUMN UINT32_MAX

struct sl_loader {
    enum sl_code (*next)(struct sl_loader *loader, struct sl_row *row, struct sl_error *error);
    void (*finish)(struct sl_loader *loader); /* what the kind of loader holds */
    char *path;
    char *key_name, *value_name; /* or NULL */
    enum sl_csv_types csv_types;
    bool lossless;
    uint32_t busy_timeout_ms;
    bool done;                   /* ended, or failed */
    struct sl_writer key, value; /* of the row that was given last */
    /* The columns, where they have names. */
    char **names;
    uint32_t column_count;
    uint32_t key_column;
    uint32_t value_column; /* or SL__NO_COLUMN: all of them, as a map */
};

/* A loader of `size` bytes, which begin with a struct sl_loader. */
enum sl_code sl__loader_create(size_t size, const char *path, const struct sl_loader_options *options,
                               struct sl_loader **loader, struct sl_error *error);
/* Ends opening: closes the loader again when `code` is an error. Returns it. */
enum sl_code sl__loader_opened(enum sl_code code, struct sl_loader **loader);
/* system, with errno's text: "PATH cannot be opened: ...". */
enum sl_code sl__loader_open_file(const struct sl_loader *loader, FILE **file, struct sl_error *error);
/* system, with errno's text, after reading has failed. */
enum sl_code sl__loader_fail_read(const struct sl_loader *loader, uint64_t line, struct sl_error *error);

/* Room for the names of the columns, all NULL. */
enum sl_code sl__loader_columns(struct sl_loader *loader, size_t count, struct sl_error *error);
/* One more name, which no column may have yet. */
enum sl_code sl__loader_column(struct sl_loader *loader, const char *name, size_t size, struct sl_error *error);
/* Finds the columns of the key and of the value. */
enum sl_code sl__loader_choose(struct sl_loader *loader, struct sl_error *error);
/* Writes key and value, calling `write` for each field, and makes them the row. */
enum sl_code sl__loader_row(struct sl_loader *loader,
                            void (*write)(struct sl_loader *loader, struct sl_writer *writer, uint32_t column),
                            struct sl_row *row, struct sl_error *error);

/* Puts "PATH:line: ", or another kind of place, before the message of an error. Returns its code. */
enum sl_code sl__loader_place(const struct sl_loader *loader, const char *separator, uint64_t number,
                              struct sl_error *error, enum sl_code code);

#endif
