/* SPDX-License-Identifier: MIT */
/* Values as lines of JSON. Used by one thread at a time. */
#ifndef SLITHER_CLI_PRINTER_H
#define SLITHER_CLI_PRINTER_H

#include <slither/json.h>
#include <slither/value.h>

#include "output.h"

struct printer {
    struct sl_writer writer; /* for values that are built here */
    char *text;              /* the line that was printed last */
    size_t capacity;
    size_t size;
};

void printer_init(struct printer *printer);
void printer_finish(struct printer *printer);

/* Prints a value, or what was built with the writer, into `text`. not_serializable: it has no JSON form. */
enum sl_code printer_print(struct printer *printer, struct sl_value value, uint32_t flags, struct sl_error *error);
enum sl_code printer_print_built(struct printer *printer, uint32_t flags, struct sl_error *error);

/* The same, and writes it as a line. */
enum sl_code printer_put(struct printer *printer, struct output *output, struct sl_value value, uint32_t flags,
                         struct sl_error *error);
enum sl_code printer_put_built(struct printer *printer, struct output *output, uint32_t flags, struct sl_error *error);

/* An error as a map, as the error file and the report show it; `error` may be NULL. */
void write_error(struct sl_writer *writer, const struct sl_error *error);
/* Members of a map. `text` may be NULL. */
void write_text(struct sl_writer *writer, const char *key, const char *text);
void write_count(struct sl_writer *writer, const char *key, uint64_t count);

#endif
