/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

bool sl__log_init(struct sl__log *log, sl_log_fn *function, void *context, enum sl_log_level level) {
    log->function = function;
    log->context = context;
    log->level = level;
    return pthread_mutex_init(&log->lock, NULL) == 0;
}

void sl__log_finish(struct sl__log *log) {
    (void)pthread_mutex_destroy(&log->lock);
    log->function = NULL;
}

bool sl__log_wants(const struct sl__log *log, enum sl_log_level level) {
    return log->function != NULL && level >= log->level;
}

void sl__log_give(struct sl__log *log, const struct sl_log_record *record) {
    if (log->function == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&log->lock);
    log->function(log->context, record);
    (void)pthread_mutex_unlock(&log->lock);
}

void sl__log_host(struct sl__log *log, enum sl_log_level level, const char *pool, uint32_t worker, uint32_t generation,
                  const char *format, ...) {
    if (!sl__log_wants(log, level)) {
        return;
    }
    char text[SL__LOG_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0) {
        return;
    }
    size_t size = strlen(text);
    if ((size_t)length >= sizeof(text)) {
        /* Not in the middle of a character. */
        size_t valid = sl__utf8_valid_size(text, size);
        if (size - valid < 4) {
            size = valid;
            text[size] = '\0';
        }
    }
    /* A log record is one line: what a message quotes may have more. */
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            text[i] = ' ';
        }
    }
    const struct sl_log_record record = {
        .size = sizeof(record),
        .level = level,
        .origin = SL_LOG_HOST,
        .pool = pool,
        .worker = worker,
        .generation = generation,
        .text = text,
        .text_size = size,
    };
    sl__log_give(log, &record);
}
