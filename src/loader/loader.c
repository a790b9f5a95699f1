/* SPDX-License-Identifier: MIT */
#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

static enum sl_code copy_text(char **to, const char *from, struct sl_error *error) {
    if (from == NULL) {
        return SL_OK;
    }
    *to = strdup(from);
    return *to != NULL ? SL_OK : sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a loader");
}

enum sl_code sl__loader_create(size_t size, const char *path, const struct sl_loader_options *given,
                               struct sl_loader **loader, struct sl_error *error) {
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    if (loader == NULL || path == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the %s of a loader is NULL",
                            path == NULL ? "path" : "place");
    }
    *loader = NULL;
    if (given != NULL) {
        memcpy(&options, given, SL_MIN(given->size, sizeof options));
    }
    if (options.csv_types != SL_CSV_TEXT && options.csv_types != SL_CSV_INFER) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "loader option csv_types is %d, expected SL_CSV_TEXT or SL_CSV_INFER",
                            (int)options.csv_types);
    }
    struct sl_loader *made = calloc(1, size);
    if (made == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a loader");
    }
    made->csv_types = options.csv_types;
    made->lossless = options.lossless;
    made->busy_timeout_ms = options.busy_timeout_ms;
    made->value_column = SL__NO_COLUMN;
    sl_writer_init(&made->key, NULL);
    sl_writer_init(&made->value, NULL);
    enum sl_code code = copy_text(&made->path, path, error);
    if (code == SL_OK) {
        code = copy_text(&made->key_name, options.key, error);
    }
    if (code == SL_OK) {
        code = copy_text(&made->value_name, options.value, error);
    }
    if (code != SL_OK) {
        sl_loader_close(made);
        return code;
    }
    *loader = made;
    return SL_OK;
}

enum sl_code sl__loader_opened(enum sl_code code, struct sl_loader **loader) {
    if (code != SL_OK) {
        sl_loader_close(*loader);
        *loader = NULL;
    }
    return code;
}

enum sl_code sl_loader_next(void *context, struct sl_row *row, struct sl_error *error) {
    struct sl_loader *loader = context;
    if (loader == NULL || row == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the %s of sl_loader_next is NULL",
                            row == NULL ? "row" : "loader");
    }
    if (loader->done) {
        return SL_E_END;
    }
    enum sl_code code = loader->next(loader, row, error);
    loader->done = code != SL_OK;
    return code;
}

void sl_loader_close(struct sl_loader *loader) {
    if (loader == NULL) {
        return;
    }
    if (loader->finish != NULL) {
        loader->finish(loader);
    }
    for (uint32_t i = 0; i < loader->column_count; i++) {
        free(loader->names[i]);
    }
    free(loader->names);
    sl_writer_finish(&loader->key);
    sl_writer_finish(&loader->value);
    free(loader->path);
    free(loader->key_name);
    free(loader->value_name);
    free(loader);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static enum sl_code fail_system(struct sl_error *error, enum sl_code code, int reason) {
    if (error != NULL) {
        error->system_errno = reason;
    }
    return code;
}

enum sl_code sl__loader_open_file(const struct sl_loader *loader, FILE **file, struct sl_error *error) {
    *file = fopen(loader->path, "re");
    if (*file != NULL) {
        return SL_OK;
    }
    int reason = errno;
    return fail_system(
        error, sl_error_set(error, SL_E_SYSTEM, "%.300s cannot be opened: %s", loader->path, strerror(reason)), reason);
}

enum sl_code sl__loader_fail_read(const struct sl_loader *loader, uint64_t line, struct sl_error *error) {
    int reason = errno;
    return fail_system(error,
                       sl_error_set(error, SL_E_SYSTEM, "%.300s:%llu: reading failed: %s", loader->path,
                                    (unsigned long long)line, strerror(reason)),
                       reason);
}

enum sl_code sl__loader_place(const struct sl_loader *loader, const char *separator, uint64_t number,
                              struct sl_error *error, enum sl_code code) {
    if (error == NULL) {
        return code;
    }
    char message[SL_ERROR_MESSAGE_SIZE];
    memcpy(message, error->message, sizeof message);
    int reason = error->system_errno;
    sl_error_set(error, code, "%.200s%s%llu: %s", loader->path, separator, (unsigned long long)number, message);
    return fail_system(error, code, reason);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

enum sl_code sl__loader_columns(struct sl_loader *loader, size_t count, struct sl_error *error) {
    loader->names = calloc(count, sizeof loader->names[0]);
    return loader->names != NULL ? SL_OK
                                 : sl_error_set(error, SL_E_OUT_OF_MEMORY,
                                                "%.300s: no memory for the names of %zu columns", loader->path, count);
}

static uint32_t find(const struct sl_loader *loader, const char *name) {
    for (uint32_t i = 0; i < loader->column_count; i++) {
        if (strcmp(loader->names[i], name) == 0) {
            return i;
        }
    }
    return SL__NO_COLUMN;
}

enum sl_code sl__loader_column(struct sl_loader *loader, const char *name, size_t size, struct sl_error *error) {
    if (memchr(name, '\0', size) != NULL) {
        return sl_error_set(error, SL_E_INVALID_DATA, "%.300s: the name of column %u has a NUL in it", loader->path,
                            loader->column_count + 1);
    }
    char *copy = strndup(name, size);
    if (copy == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "%.300s: no memory for the name of a column", loader->path);
    }
    if (find(loader, copy) != SL__NO_COLUMN) {
        enum sl_code code = sl_error_set(error, SL_E_INVALID_DATA, "%.300s: two columns are named '%.80s'; rename one",
                                         loader->path, copy);
        free(copy);
        return code;
    }
    loader->names[loader->column_count++] = copy;
    return SL_OK;
}

static enum sl_code choose(const struct sl_loader *loader, const char *name, uint32_t *column, struct sl_error *error) {
    *column = find(loader, name);
    if (*column != SL__NO_COLUMN) {
        return SL_OK;
    }
    char known[200] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < loader->column_count && used < sizeof known - 1; i++) {
        int more = snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", loader->names[i]);
        used += more > 0 ? (size_t)more : 0;
    }
    return sl_error_set(error, SL_E_INVALID_DATA, "%.160s: there is no column '%.80s'; there are: %s%s", loader->path,
                        name, known, used >= sizeof known ? "..." : "");
}

enum sl_code sl__loader_choose(struct sl_loader *loader, struct sl_error *error) {
    enum sl_code code = SL_OK;
    if (loader->key_name != NULL) {
        code = choose(loader, loader->key_name, &loader->key_column, error);
    }
    if (code == SL_OK && loader->value_name != NULL) {
        code = choose(loader, loader->value_name, &loader->value_column, error);
    }
    return code;
}

enum sl_code sl__loader_row(struct sl_loader *loader,
                            void (*write)(struct sl_loader *loader, struct sl_writer *writer, uint32_t column),
                            struct sl_row *row, struct sl_error *error) {
    sl_writer_reset(&loader->key);
    sl_writer_reset(&loader->value);
    write(loader, &loader->key, loader->key_column);
    if (loader->value_column != SL__NO_COLUMN) {
        write(loader, &loader->value, loader->value_column);
    } else {
        sl_write_map(&loader->value, loader->column_count);
        for (uint32_t i = 0; i < loader->column_count; i++) {
            sl_write_str(&loader->value, loader->names[i]);
            write(loader, &loader->value, i);
        }
    }
    enum sl_code code = sl_writer_end(&loader->key, &row->key, error);
    return code == SL_OK ? sl_writer_end(&loader->value, &row->value, error) : code;
}
