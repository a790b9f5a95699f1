/* SPDX-License-Identifier: MIT */
/*
 * Bytes as a pipe file, and its first line as a setting. Either there is a pipe, or there is something to say about the file. jq programs are not compiled, and
 * plugins not loaded: this is about the file.
 */
#include <slither/pipe_file.h>

#include <stdlib.h>
#include <string.h>

#include "file.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_one(const char *text, size_t size, const struct sl_pipe_setting *setting) {
    struct sl_pipe_file_problem problems[4];
    struct sl_pipe_file *file = NULL;
    struct sl_error error = SL_ERROR_INIT;
    uint32_t count = 0;
    enum sl_code code = sl__pipe_file_parse(text, size, "dir/p.yaml", SL__FILE_SHALLOW, setting, setting != NULL, &file,
                                            problems, 4, &count, &error);
    if (code == SL_OK) {
        struct sl_pipe_options options;
        assert(count == 0 && sl_pipe_file_pipe(file) != NULL && sl_pipe_file_name(file) != NULL);
        sl_pipe_file_options(file, &options);
        char *picture = sl_pipe_draw(sl_pipe_file_pipe(file), SL_PIPE_PICTURE_TEXT);
        assert(picture != NULL);
        free(picture);
    } else {
        char line[SL_PIPE_FILE_PROBLEM_TEXT_SIZE];
        assert(code == SL_E_INVALID_ARGUMENT && count > 0 && file == NULL);
        sl_pipe_file_problem_text(&problems[0], line);
        assert(problems[0].message[0] != '\0' && memcmp(line, error.message, 8) == 0);
    }
    sl_error_finish(&error);
    sl_pipe_file_destroy(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    const char *end = size > 0 ? memchr(text, '\n', size) : NULL,
               *sign = end != NULL ? memchr(text, '=', (size_t)(end - text)) : NULL;
    read_one(text, size, NULL);
    if (sign != NULL) {
        char *key = strndup(text, (size_t)(sign - text)), *value = strndup(sign + 1, (size_t)(end - sign) - 1);
        assert(key != NULL && value != NULL);
        const struct sl_pipe_setting setting = {key, value};
        read_one(end + 1, size - (size_t)(end + 1 - text), &setting);
        free(key);
        free(value);
    }
    return 0;
}
