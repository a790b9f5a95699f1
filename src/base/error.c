/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/death.h>

#include "base/utf8.h"

/* All callers there are know every member below; the ones that later versions append are touched only when
 * error->size covers them. That is why every reset keeps `size`. */
static void error_reset(struct sl_error *error) {
    size_t size = error->size;
    free(error->traceback);
    free(error->stderr_tail);
    sl_death_destroy(error->death);
    sl__error_init(error);
    if (size != 0) {
        error->size = size;
    }
}

const char *sl_code_name(enum sl_code code) {
    switch (code) {
#define CODE_NAME(enumerator, number, name, retryable, text) \
    case enumerator:                                         \
        return name;
        SL_CODE_LIST(CODE_NAME)
#undef CODE_NAME
    }
    return "unknown";
}

const char *sl_code_text(enum sl_code code) {
    switch (code) {
#define CODE_TEXT(enumerator, number, name, retryable, text) \
    case enumerator:                                         \
        return text;
        SL_CODE_LIST(CODE_TEXT)
#undef CODE_TEXT
    }
    return "not an error code of this library";
}

bool sl_code_retryable(enum sl_code code) {
    switch (code) {
#define CODE_RETRYABLE(enumerator, number, name, retryable, text) \
    case enumerator:                                              \
        return retryable;
        SL_CODE_LIST(CODE_RETRYABLE)
#undef CODE_RETRYABLE
    }
    return false;
}

int sl_code_from_name(const char *name) {
    static const struct {
        const char *name;
        int code;
    } codes[] = {
#define CODE_ENTRY(enumerator, number, name, retryable, text) {name, enumerator},
        SL_CODE_LIST(CODE_ENTRY)
#undef CODE_ENTRY
    };
    if (name == NULL) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].name, name) == 0) {
            return codes[i].code;
        }
    }
    return -1;
}

void sl_error_finish(struct sl_error *error) {
    if (error != NULL) {
        error_reset(error);
    }
}

void sl_error_copy(struct sl_error *to, const struct sl_error *from) {
    if (to == NULL || to == from) {
        return;
    }
    error_reset(to);
    if (from == NULL) {
        return;
    }
    size_t size = to->size;
    *to = *from;
    to->size = size;
    to->traceback = from->traceback != NULL ? strdup(from->traceback) : NULL;
    to->stderr_tail = from->stderr_tail != NULL ? strdup(from->stderr_tail) : NULL;
    to->death = sl_death_copy(from->death);
}

/* Messages quote paths and the texts of others: what is not UTF-8 in them becomes '?', a cut-off last character goes. */
static void make_utf8(char *text, size_t size, bool cut) {
    size_t at = sl__utf8_valid_size(text, size);
    while (at < size) {
        if (cut && size - at < 4 && ((unsigned char)text[at] & 0xC0) == 0xC0) {
            bool only_continued = true;
            for (size_t i = at + 1; i < size; i++) {
                only_continued = only_continued && ((unsigned char)text[i] & 0xC0) == 0x80;
            }
            if (only_continued) {
                text[at] = '\0';
                return;
            }
        }
        text[at] = '?';
        at += sl__utf8_valid_size(text + at, size - at);
    }
}

enum sl_code sl_error_set(struct sl_error *error, enum sl_code code, const char *format, ...) {
    if (error == NULL) {
        return code;
    }
    /* Formatted aside first: the arguments may point into `error`. */
    char message[SL_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0) {
        message[0] = '\0';
    }
    make_utf8(message, strlen(message), length >= (int)sizeof(message));
    error_reset(error);
    error->code = code;
    memcpy(error->message, message, sizeof(message));
    return code;
}
