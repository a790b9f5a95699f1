/* SPDX-License-Identifier: MIT */
#include "resume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/json.h>
#include <slither/value.h>

#include "units.h"

#define REPORT_SIZE_MAX ((size_t)256 << 20)

/* NULL: errno. */
static char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    if (file == NULL) {
        return NULL;
    }
    for (;;) {
        if (*size == capacity) {
            capacity = capacity == 0 ? 65536 : capacity * 2;
            char *larger = capacity <= REPORT_SIZE_MAX ? realloc(text, capacity) : NULL;
            if (larger == NULL) {
                errno = capacity > REPORT_SIZE_MAX ? EFBIG : ENOMEM;
                break;
            }
            text = larger;
        }
        size_t got = fread(text + *size, 1, capacity - *size, file);
        *size += got;
        if (got == 0) {
            if (ferror(file)) {
                break;
            }
            fclose(file);
            return text;
        }
    }
    int number = errno;
    free(text);
    fclose(file);
    errno = number;
    return NULL;
}

static bool get_count(struct sl_value map, const char *key, uint64_t *count) {
    struct sl_value value;
    return sl_value_get(map, key, &value) == SL_OK && sl_value_uint(value, count) == SL_OK;
}

/* The caller frees it; NULL: there is none, or no memory. */
static char *get_text(struct sl_value map, const char *key) {
    struct sl_value value;
    const char *text;
    size_t size;
    if (sl_value_get(map, key, &value) != SL_OK || sl_value_str(value, &text, &size) != SL_OK) {
        return NULL;
    }
    return strndup(text, size);
}

static bool take_files(struct resume *resume, struct sl_value outputs) {
    struct sl_iter iter;
    struct sl_value name, output;
    uint32_t count = 0;
    if (sl_value_count(outputs, &count) != SL_OK || sl_iter_init(&iter, outputs) != SL_OK) {
        return false;
    }
    resume->files = calloc(count + 1, sizeof(*resume->files));
    while (resume->files != NULL && sl_iter_next(&iter, &name, &output)) {
        struct resume_file *file = &resume->files[resume->file_count];
        file->path = get_text(output, "file");
        if (file->path != NULL && get_count(output, "bytes", &file->bytes)) {
            resume->file_count++;
        } else { /* it went elsewhere */
            free(file->path);
            file->path = NULL;
        }
    }
    return resume->files != NULL;
}

static bool take_report(struct resume *resume, struct sl_value report) {
    struct sl_value where, outputs;
    char *command = get_text(report, "command");
    bool is_run = command != NULL && strcmp(command, "run") == 0;
    free(command);
    resume->pipe = get_text(report, "pipe");
    return is_run && resume->pipe != NULL && sl_value_get(report, "resume", &where) == SL_OK &&
           get_count(where, "items", &resume->items) && get_count(where, "line", &resume->lines) &&
           get_count(where, "bytes", &resume->bytes) && sl_value_get(report, "outputs", &outputs) == SL_OK &&
           take_files(resume, outputs);
}

bool resume_read(struct resume *resume, const char *text, char *problem, size_t problem_size) {
    *resume = (struct resume){0};
    if (text == NULL) {
        return true;
    }
    resume->given = true;
    if (parse_count(text, &resume->items)) {
        return true;
    }
    resume->has_files = true;
    size_t size;
    char *bytes = read_all(text, &size);
    if (bytes == NULL) {
        snprintf(problem, problem_size, "--resume-from: cannot read %.200s: %s", text, strerror(errno));
        return false;
    }
    struct sl_writer writer;
    struct sl_value report;
    struct sl_error error = SL_ERROR_INIT;
    sl_writer_init(&writer, NULL);
    bool ok = sl_json_parse(bytes, size, &writer, &error) == SL_OK && sl_writer_end(&writer, &report, &error) == SL_OK;
    if (!ok) {
        snprintf(problem, problem_size, "--resume-from: %.200s: %.200s", text, error.message);
    } else if (!(ok = take_report(resume, report))) {
        snprintf(problem, problem_size,
                 "--resume-from: %.200s is no report of slither run: expected a file that --report wrote, or a number "
                 "of items",
                 text);
    }
    sl_error_finish(&error);
    sl_writer_finish(&writer);
    free(bytes);
    return ok;
}

void resume_finish(struct resume *resume) {
    for (size_t i = 0; i < resume->file_count; i++) {
        free(resume->files[i].path);
    }
    free(resume->files);
    free(resume->pipe);
    *resume = (struct resume){0};
}

const struct resume_file *resume_find(const struct resume *resume, const char *path) {
    for (size_t i = 0; i < resume->file_count; i++) {
        if (strcmp(resume->files[i].path, path) == 0) {
            return &resume->files[i];
        }
    }
    return NULL;
}
