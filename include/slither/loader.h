/* SPDX-License-Identifier: MIT */
/*
 * Loaders: rows for a table from a file or a database.
 *
 *     struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
 *     options.key = "id";
 *     struct sl_loader *loader;
 *     if (sl_loader_open_csv("prices.csv", &options, &loader, &error) == SL_OK) {
 *         code = sl_table_reload(table, sl_loader_next, loader, &row_count, &error);
 *         sl_loader_close(loader);
 *     }
 *
 * sl_loader_next() is a row source (sl_row_source_fn), for sl_table_reload() and sl_table_bulk_insert() alike: when it fails, the table
 * stays as it was. Any other origin of rows is a row source of your own. One thread at a time uses a loader.
 */
#ifndef SLITHER_LOADER_H
#define SLITHER_LOADER_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/store.h>

SL_BEGIN_DECLS

struct sl_loader;

/** How the fields of a CSV file become values. */
enum sl_csv_types {
    SL_CSV_TEXT = 0, /**< every field is a str */
    /**
     * A field without quotes that reads as a number of JSON is an int or a float, `true` and `false` are bools, and an empty one
     * is nil; all others, and those in quotes, are str.
     */
    SL_CSV_INFER = 1
};

struct sl_loader_options {
    size_t size;       /**< sizeof(struct sl_loader_options) */
    const char *key;   /**< member or column that is the key; NULL: "key" of NDJSON, else the first column */
    const char *value; /**< member or column that is the value; NULL: a map of all members or columns of the row */
    enum sl_csv_types csv_types;
    uint32_t busy_timeout_ms; /**< SQLite: how long to wait for who has locked the database; default 5000 */
    bool lossless; /**< NDJSON: read as sl_json_restore() does, so that {"$bytes": "..."} is bytes; false: a map */
};

#define SL_LOADER_OPTIONS_INIT \
    { sizeof(struct sl_loader_options), NULL, NULL, SL_CSV_TEXT, 5000, false }

/*
 * Strings are copied; `options` NULL: the defaults. Errors of all three: invalid_argument (a path that is NULL), system (it cannot be
 * opened or read), out_of_memory. Opening reads no row yet. Blocks for the file system.
 */

/**
 * Rows of a file that has one JSON object a line, each at most 64 MiB long; empty lines are passed over. sl_loader_next fails with the
 * name of the file and the line: invalid_data (no JSON, no object, no such member), invalid_utf8, limit_exceeded.
 */
SL_API SL_MUST_CHECK enum sl_code sl_loader_open_ndjson(const char *path, const struct sl_loader_options *options,
                                                        struct sl_loader **loader, struct sl_error *error);
/**
 * Rows of a CSV file (RFC 4180, UTF-8). The first record names the columns and is read at once; each other must have as many fields. At
 * most 4096 columns and 64 MiB a record; empty lines are passed over. Errors name the file and the line: invalid_data, invalid_utf8,
 * limit_exceeded.
 */
SL_API SL_MUST_CHECK enum sl_code sl_loader_open_csv(const char *path, const struct sl_loader_options *options,
                                                     struct sl_loader **loader, struct sl_error *error);
/**
 * Rows of one SELECT on an SQLite database, which is opened for reading only; all come from one version of it. INTEGER, REAL, TEXT, BLOB and
 * NULL become int, float, str, bytes and nil. Errors name the database, and the row by its number: invalid_data (no database, SQL, no
 * such column), invalid_utf8, limit_exceeded, system (locked, not readable).
 */
SL_API SL_MUST_CHECK enum sl_code sl_loader_open_sqlite(const char *path, const char *sql,
                                                        const struct sl_loader_options *options,
                                                        struct sl_loader **loader, struct sl_error *error);

/** The next row, valid until the next call; SL_E_END: there is none. A loader that has failed or ended gives nothing more: SL_E_END. */
SL_API SL_MUST_CHECK enum sl_code sl_loader_next(void *loader, struct sl_row *row, struct sl_error *error);
/** Closes the file. NULL is fine. */
SL_API void sl_loader_close(struct sl_loader *loader);

SL_END_DECLS

#endif
