/* SPDX-License-Identifier: MIT */
/*
 * Reads CSV as RFC 4180 has it, one record at a time: fields between commas, in quotes where they hold a comma, a quote (doubled) or
 * the end of a line; records end with LF or CRLF, the last one also with the file. A mark of byte order at the start is passed over,
 * and so are empty lines.
 *
 * What the RFC does not allow is an error with its line, not a guess: a quote inside a field that does not begin with one, text after a
 * closing quote, a quote that is never closed, a CR alone outside quotes.
 */
#ifndef SLITHER_LOADER_CSV_H
#define SLITHER_LOADER_CSV_H

#include <slither/error.h>
#include <stdio.h>

#define SL__CSV_FIELD_COUNT_MAX 4096

struct sl__csv_field {
    const char *text; /* not NUL-terminated; valid until the next record is read */
    size_t size;
    bool quoted;
};

/* Caller's memory; zero it, set `file` and `name`. */
struct sl__csv {
    FILE *file;
    const char *name; /* of the file, for messages */
    uint64_t line;    /* on which the record that was read last begins, from 1 */
    struct sl__csv_field *fields;
    size_t field_count;
    /* private */
    uint64_t lines_read;
    unsigned char kept[2]; /* read in vain for a mark of byte order */
    unsigned kept_count;
    char *text; /* of all fields, one after the other */
    size_t text_size, text_capacity;
    size_t field_capacity;
    struct sl__csv_end {
        size_t end; /* where in `text` the field ends */
        bool quoted;
    } * ends;
    bool quoted; /* the field that is being read began with a quote */
};

/* Reads the next record into `fields`. SL_E_END: there is none; else an error that names file and line. */
enum sl_code sl__csv_next(struct sl__csv *csv, struct sl_error *error);
/* Releases the memory; the file stays the caller's. */
void sl__csv_finish(struct sl__csv *csv);

#endif
