/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <sqlite3.h>
#include <string.h>

#include "loader.h"

#include "base/macros.h"

struct sqlite_loader {
    struct sl_loader base;
    sqlite3 *database;
    sqlite3_stmt *statement;
    uint64_t row; /* that was read last, from 1 */
};

static enum sl_code fail_sqlite(const struct sqlite_loader *loader, const char *what, int status,
                                struct sl_error *error) {
    enum sl_code code = SL_E_SYSTEM;
    switch (status & 0xff) {
    case SQLITE_NOMEM:
        code = SL_E_OUT_OF_MEMORY;
        break;
    case SQLITE_ERROR:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        code = SL_E_INVALID_DATA;
        break;
    case SQLITE_TOOBIG:
        code = SL_E_LIMIT;
        break;
    }
    return sl_error_set(error, code, "%.200s: %s: %s", loader->base.path, what,
                        loader->database != NULL ? sqlite3_errmsg(loader->database) : sqlite3_errstr(status));
}

static void write_column(struct sl_loader *base, struct sl_writer *writer, uint32_t index) {
    sqlite3_stmt *statement = SL_CONTAINER_OF(base, struct sqlite_loader, base)->statement;
    int column = (int)index;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        sl_write_int(writer, sqlite3_column_int64(statement, column));
        break;
    case SQLITE_FLOAT:
        sl_write_float(writer, sqlite3_column_double(statement, column));
        break;
    case SQLITE_TEXT: {
        const unsigned char *text = sqlite3_column_text(statement, column);
        sl_write_strn(writer, text != NULL ? (const char *)text : "", (size_t)sqlite3_column_bytes(statement, column));
        break;
    }
    case SQLITE_BLOB: {
        const void *bytes = sqlite3_column_blob(statement, column);
        sl_write_bytes(writer, bytes != NULL ? bytes : "", (size_t)sqlite3_column_bytes(statement, column));
        break;
    }
    default:
        sl_write_nil(writer);
        break;
    }
}

static enum sl_code next(struct sl_loader *base, struct sl_row *row, struct sl_error *error) {
    struct sqlite_loader *loader = SL_CONTAINER_OF(base, struct sqlite_loader, base);
    int status = sqlite3_step(loader->statement);
    if (status == SQLITE_DONE) {
        return SL_E_END;
    }
    if (status != SQLITE_ROW) {
        return fail_sqlite(loader, "the query failed", status, error);
    }
    loader->row++;
    enum sl_code code = sl__loader_row(base, write_column, row, error);
    return code == SL_OK ? SL_OK : sl__loader_place(base, ", row ", loader->row, error, code);
}

static void finish(struct sl_loader *base) {
    struct sqlite_loader *loader = SL_CONTAINER_OF(base, struct sqlite_loader, base);
    (void)sqlite3_finalize(loader->statement);
    (void)sqlite3_close(loader->database);
}

static enum sl_code prepare(struct sqlite_loader *loader, const char *sql, struct sl_error *error) {
    struct sl_loader *base = &loader->base;
    const char *tail;
    int status = sqlite3_open_v2(base->path, &loader->database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (status != SQLITE_OK) {
        return fail_sqlite(loader, "the database cannot be opened", status, error);
    }
    (void)sqlite3_busy_timeout(loader->database,
                               base->busy_timeout_ms > INT_MAX ? INT_MAX : (int)base->busy_timeout_ms);
    status = sqlite3_prepare_v2(loader->database, sql, -1, &loader->statement, &tail);
    if (status != SQLITE_OK) {
        return fail_sqlite(loader, "the query cannot be run", status, error);
    }
    int count = loader->statement != NULL ? sqlite3_column_count(loader->statement) : 0;
    if (count == 0) {
        return sl_error_set(error, SL_E_INVALID_DATA, "%.200s: \"%.160s\" gives no rows; a SELECT was expected",
                            base->path, sql);
    }
    if (tail[strspn(tail, " \t\r\n;")] != '\0') {
        return sl_error_set(error, SL_E_INVALID_DATA, "%.200s: one SELECT was expected, and \"%.80s\" follows it",
                            base->path, tail);
    }
    enum sl_code code = sl__loader_columns(base, (size_t)count, error);
    for (int i = 0; code == SL_OK && i < count; i++) {
        const char *name = sqlite3_column_name(loader->statement, i);
        code = name != NULL ? sl__loader_column(base, name, strlen(name), error)
                            : fail_sqlite(loader, "a column has no name", SQLITE_NOMEM, error);
    }
    return code == SL_OK ? sl__loader_choose(base, error) : code;
}

enum sl_code sl_loader_open_sqlite(const char *path, const char *sql, const struct sl_loader_options *options,
                                   struct sl_loader **out, struct sl_error *error) {
    if (sql == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the SQL of a loader is NULL");
    }
    enum sl_code code = sl__loader_create(sizeof(struct sqlite_loader), path, options, out, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_loader *base = *out;
    base->next = next;
    base->finish = finish;
    code = prepare(SL_CONTAINER_OF(base, struct sqlite_loader, base), sql, error);
    return sl__loader_opened(code, out);
}
