/* SPDX-License-Identifier: MIT */
#include "error_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "secrets.h"

/* Bad lines that are named on standard error; the others are counted. */
#define BAD_LINES_SHOWN 10

bool error_log_open(struct error_log *log, const char *path, bool append, bool quiet, int input_fd, char *problem,
                    size_t problem_size) {
    *log = (struct error_log){.file = {.fd = -1}, .quiet = quiet, .has_file = path != NULL};
    pthread_mutex_init(&log->mutex, NULL);
    printer_init(&log->printer);
    return path == NULL || output_open(&log->file, path, append ? OUTPUT_KEEP : 0, input_fd, problem, problem_size);
}

static enum sl_code with_file(struct error_log *log, enum sl_code (*act)(struct output *, struct sl_error *),
                              struct sl_error *error) {
    pthread_mutex_lock(&log->mutex);
    enum sl_code code = log->file.buffer != NULL ? act(&log->file, error) : SL_OK;
    pthread_mutex_unlock(&log->mutex);
    return code;
}

enum sl_code error_log_flush(struct error_log *log, struct sl_error *error) {
    return with_file(log, output_flush, error);
}

enum sl_code error_log_close(struct error_log *log, struct sl_error *error) {
    return with_file(log, output_close, error);
}

void error_log_finish(struct error_log *log) {
    (void)output_close(&log->file, NULL);
    printer_finish(&log->printer);
    failures_finish(&log->failures);
}

/* ---- bad lines ---- */

static enum sl_code put_bad_line(struct error_log *log, const struct bad_line *bad, struct sl_error *error) {
    struct sl_writer *writer = &log->printer.writer;
    sl_writer_reset(writer);
    sl_write_map(writer, 6);
    sl_write_str(writer, "id");
    sl_write_nil(writer);
    write_count(writer, "line", bad->line);
    write_text(writer, "status", "bad_input");
    write_text(writer, "kind", sl_code_name(bad->code));
    write_text(writer, "message", bad->problem);
    sl_write_str(writer, "text");
    /* The start of a line that may be anything; what is not UTF-8 shows as bytes. */
    struct sl_writer probe;
    struct sl_value text;
    sl_writer_init(&probe, NULL);
    size_t size = bad->text_size;
    char *shown = malloc(size + 1); /* it may be empty */
    if (shown == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the text of a bad line");
    }
    memcpy(shown, bad->text, size);
    size = secrets_hide(shown, size);
    sl_write_strn(&probe, shown, size);
    if (sl_writer_end(&probe, &text, NULL) == SL_OK) {
        sl_write_value(writer, text);
    } else {
        sl_write_bytes(writer, shown, size);
    }
    free(shown);
    sl_writer_finish(&probe);
    return printer_put_built(&log->printer, &log->file, 0, error);
}

static void tell_bad_line(const struct error_log *log, const struct bad_line *bad, uint64_t count, bool halts) {
    if (!log->quiet && !halts && count <= BAD_LINES_SHOWN) {
        console_message(CONSOLE_ERROR, "%s:%" PRIu64 ": %s", bad->input, bad->line, bad->problem);
        if (count == BAD_LINES_SHOWN) {
            console_message(CONSOLE_PLAIN, "further bad lines are counted%s",
                            log->has_file ? "" : "; --errors FILE has all of them");
        }
    }
    if (bad->advice != NULL && (halts || !log->quiet)) {
        console_message(CONSOLE_PLAIN, "%s", bad->advice);
    }
}

enum sl_code error_log_bad_line(struct error_log *log, const struct bad_line *bad, bool halts, struct sl_error *error) {
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&log->mutex);
    uint64_t count = atomic_fetch_add(&log->bad_lines, 1) + 1;
    if (log->file.buffer != NULL) {
        code = put_bad_line(log, bad, error);
    }
    pthread_mutex_unlock(&log->mutex);
    tell_bad_line(log, bad, count, halts);
    return code;
}

/* ---- items ---- */

static void write_id(struct sl_writer *writer, const struct failed_item *item) {
    sl_write_str(writer, "id");
    if (item->id.size > 0) {
        sl_write_value(writer, item->id);
    } else {
        sl_write_uint(writer, item->line);
    }
}

/* {"id", "line", "status", "kind", "message", ..., "input"}: the error's members lie beside the item's. */
static enum sl_code put_item(struct error_log *log, const struct failed_item *item, const struct sl_error *failure,
                             struct sl_error *error) {
    struct sl_writer *writer = &log->printer.writer;
    bool has_input = item->input.size > 0;
    struct sl_writer members;
    struct sl_value member_map;
    struct sl_iter iter;
    uint32_t member_count = 0;

    sl_writer_init(&members, NULL);
    write_error(&members, failure);
    enum sl_code code = sl_writer_end(&members, &member_map, error);
    if (code == SL_OK) {
        code = sl_value_count(member_map, &member_count);
    }
    if (code == SL_OK) {
        code = sl_iter_init(&iter, member_map);
    }
    if (code == SL_OK) {
        sl_writer_reset(writer);
        sl_write_map(writer, 3 + item->has_attempts + (item->stage != NULL) + member_count + has_input);
        write_id(writer, item);
        write_count(writer, "line", item->line);
        write_text(writer, "status", sl_status_name(item->status));
        if (item->stage != NULL) {
            write_text(writer, "stage", item->stage);
        }
        if (item->has_attempts) {
            write_count(writer, "attempts", item->attempts);
        }
        for (struct sl_value key, value; sl_iter_next(&iter, &key, &value);) {
            sl_write_value(writer, key);
            sl_write_value(writer, value);
        }
        if (has_input) {
            sl_write_str(writer, "input");
            sl_write_value(writer, item->input);
        }
        code = printer_put_built(&log->printer, &log->file, SL_JSON_NAN_AS_NULL, error);
    }
    sl_writer_finish(&members);
    return code;
}

enum sl_code error_log_item(struct error_log *log, const struct failed_item *item, struct sl_error *error) {
    static const struct sl_error unknown = SL_ERROR_INIT;
    const struct sl_error *failure = item->failure != NULL ? item->failure : &unknown;
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&log->mutex);
    if (item->status == SL_STATUS_FAILED) {
        failures_add(&log->failures, failure, item->line);
    }
    if (log->file.buffer != NULL) {
        code = put_item(log, item, failure, error);
    }
    pthread_mutex_unlock(&log->mutex);
    return code;
}
