/* SPDX-License-Identifier: MIT */
#include "csv.h"
#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

enum state {
    START,   /* at the start of a field */
    PLAIN,   /* in a field without quotes */
    QUOTED,  /* between quotes */
    CLOSING, /* behind a quote that ends the field, or is half of a doubled one */
    RETURN   /* behind a CR that must be followed by a LF */
};

static enum sl_code fail(const struct sl__csv *csv, enum sl_code code, uint64_t line, const char *what,
                         struct sl_error *error) {
    return sl_error_set(error, code, "%s:%llu: %s", csv->name, (unsigned long long)line, what);
}

static bool grow(void **array, size_t *capacity, size_t entry_size, size_t first) {
    size_t more = *capacity == 0 ? first : *capacity * 2;
    void *grown = realloc(*array, more * entry_size);
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    *capacity = more;
    return true;
}

static enum sl_code add_byte(struct sl__csv *csv, int byte, struct sl_error *error) {
    if (SL_UNLIKELY(csv->text_size == csv->text_capacity)) {
        if (csv->text_size >= SL__RECORD_SIZE_MAX) {
            return fail(csv, SL_E_LIMIT, csv->line,
                        "a record is larger than 64 MiB, which is the limit; is a quote missing that closes a field?",
                        error);
        }
        if (!grow((void **)&csv->text, &csv->text_capacity, 1, 4096)) {
            return fail(csv, SL_E_OUT_OF_MEMORY, csv->line, "no memory for a record", error);
        }
    }
    csv->text[csv->text_size++] = (char)byte;
    return SL_OK;
}

static enum sl_code end_field(struct sl__csv *csv, struct sl_error *error) {
    if (SL_UNLIKELY(csv->field_count == csv->field_capacity)) {
        if (csv->field_count >= SL__CSV_FIELD_COUNT_MAX) {
            return fail(csv, SL_E_LIMIT, csv->line, "a record has more than 4096 fields, which is the limit", error);
        }
        size_t capacity = csv->field_capacity;
        if (!grow((void **)&csv->ends, &capacity, sizeof csv->ends[0], 64) ||
            !grow((void **)&csv->fields, &csv->field_capacity, sizeof csv->fields[0], 64)) {
            return fail(csv, SL_E_OUT_OF_MEMORY, csv->line, "no memory for the fields of a record", error);
        }
    }
    csv->ends[csv->field_count++] = (struct sl__csv_end){csv->text_size, csv->quoted};
    csv->quoted = false;
    return SL_OK;
}

/* The fields are known by their ends until the text has stopped moving. */
static void show_fields(struct sl__csv *csv) {
    size_t start = 0;
    for (size_t i = 0; i < csv->field_count; i++) {
        csv->fields[i] = (struct sl__csv_field){csv->text != NULL ? csv->text + start : "", csv->ends[i].end - start,
                                                csv->ends[i].quoted};
        start = csv->ends[i].end;
    }
}

/* Passes over a mark of byte order; what only begins like one is kept, because it is text. */
static void skip_byte_order_mark(struct sl__csv *csv) {
    static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
    for (size_t i = 0; i < sizeof mark; i++) {
        int byte = getc_unlocked(csv->file);
        if (byte == mark[i]) {
            continue;
        }
        for (size_t k = 0; k < i; k++) {
            csv->kept[csv->kept_count++] = mark[i - 1 - k];
        }
        if (byte != EOF) {
            ungetc(byte, csv->file);
        }
        return;
    }
}

static inline int next_byte(struct sl__csv *csv) {
    return SL_UNLIKELY(csv->kept_count > 0) ? csv->kept[--csv->kept_count] : getc_unlocked(csv->file);
}

static enum sl_code at_end(struct sl__csv *csv, enum state state, bool any, struct sl_error *error) {
    if (ferror(csv->file)) {
        int reason = errno;
        enum sl_code code = sl_error_set(error, SL_E_SYSTEM, "%s:%llu: reading failed: %s", csv->name,
                                         (unsigned long long)csv->lines_read + 1, strerror(reason));
        if (error != NULL) {
            error->system_errno = reason;
        }
        return code;
    }
    if (state == QUOTED) {
        return fail(csv, SL_E_INVALID_DATA, csv->line,
                    "a quote in the record that begins here is never closed; quotes inside a field are doubled", error);
    }
    if (state == RETURN) {
        return fail(csv, SL_E_INVALID_DATA, csv->line, "a CR is not followed by a LF; put the field in quotes", error);
    }
    if (!any) {
        return SL_E_END;
    }
    enum sl_code code = end_field(csv, error);
    if (code == SL_OK) {
        show_fields(csv);
    }
    return code;
}

enum sl_code sl__csv_next(struct sl__csv *csv, struct sl_error *error) {
    if (csv->lines_read == 0 && csv->text == NULL) {
        skip_byte_order_mark(csv);
    }
    csv->field_count = 0;
    csv->text_size = 0;
    csv->quoted = false;
    csv->line = csv->lines_read + 1;
    enum state state = START;
    bool any = false; /* something of the record was read */
    for (;;) {
        int byte = next_byte(csv);
        if (SL_UNLIKELY(byte == EOF)) {
            return at_end(csv, state, any, error);
        }
        if (byte == '\n') {
            csv->lines_read++;
        }
        enum sl_code code = SL_OK;
        switch (state) {
        case QUOTED:
            if (byte == '"') {
                state = CLOSING;
            } else {
                code = add_byte(csv, byte, error);
            }
            break;
        case RETURN:
            if (byte != '\n') {
                return fail(csv, SL_E_INVALID_DATA, csv->line, "a CR is not followed by a LF; put the field in quotes",
                            error);
            }
            goto record_end;
        default:
            if (byte == ',') {
                code = end_field(csv, error);
                state = START;
                any = true;
            } else if (byte == '\n') {
                goto record_end;
            } else if (byte == '\r') {
                state = RETURN;
            } else if (byte == '"') {
                if (state == PLAIN) {
                    return fail(
                        csv, SL_E_INVALID_DATA, csv->line,
                        "a quote stands inside a field that does not begin with one; put the whole field in quotes "
                        "and double the quote",
                        error);
                }
                if (state == CLOSING) {
                    code = add_byte(csv, byte, error);
                }
                state = QUOTED;
                csv->quoted = any = true;
            } else {
                if (state == CLOSING) {
                    return fail(csv, SL_E_INVALID_DATA, csv->line,
                                "text follows a closing quote; a comma or the end of the line was expected", error);
                }
                code = add_byte(csv, byte, error);
                state = PLAIN;
                any = true;
            }
            break;
        }
        if (SL_UNLIKELY(code != SL_OK)) {
            return code;
        }
        continue;
    record_end:
        if (!any) { /* an empty line */
            csv->line = csv->lines_read + 1;
            state = START;
            continue;
        }
        if ((code = end_field(csv, error)) == SL_OK) {
            show_fields(csv);
        }
        return code;
    }
}

void sl__csv_finish(struct sl__csv *csv) {
    free(csv->text);
    free(csv->ends);
    free(csv->fields);
    csv->text = NULL;
    csv->ends = NULL;
    csv->fields = NULL;
    csv->text_capacity = csv->field_capacity = 0;
}
