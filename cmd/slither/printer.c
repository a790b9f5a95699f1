/* SPDX-License-Identifier: MIT */
#include "printer.h"

#include <stdlib.h>

#include <slither/death.h>

void printer_init(struct printer *printer) {
    *printer = (struct printer){0};
    sl_writer_init(&printer->writer, NULL);
}

void printer_finish(struct printer *printer) {
    sl_writer_finish(&printer->writer);
    free(printer->text);
    *printer = (struct printer){0};
}

enum sl_code printer_print(struct printer *printer, struct sl_value value, uint32_t flags, struct sl_error *error) {
    return sl_json_print(value, flags, &printer->text, &printer->capacity, &printer->size, error);
}

enum sl_code printer_print_built(struct printer *printer, uint32_t flags, struct sl_error *error) {
    struct sl_value value;
    enum sl_code code = sl_writer_end(&printer->writer, &value, error);
    return code == SL_OK ? printer_print(printer, value, flags, error) : code;
}

enum sl_code printer_put(struct printer *printer, struct output *output, struct sl_value value, uint32_t flags,
                         struct sl_error *error) {
    enum sl_code code = printer_print(printer, value, flags, error);
    return code == SL_OK ? output_line(output, printer->text, printer->size, error) : code;
}

enum sl_code printer_put_built(struct printer *printer, struct output *output, uint32_t flags, struct sl_error *error) {
    enum sl_code code = printer_print_built(printer, flags, error);
    return code == SL_OK ? output_line(output, printer->text, printer->size, error) : code;
}

void write_error(struct sl_writer *writer, const struct sl_error *error) {
    if (error == NULL) {
        sl_write_nil(writer);
        return;
    }
    bool has_worker = error->worker != UINT32_MAX;
    uint32_t count = 2u + (error->traceback != NULL) + (error->exit_status >= 0) + (error->term_signal > 0) +
                     (error->stderr_tail != NULL) + has_worker + (error->death != NULL);
    sl_write_map(writer, count);
    sl_write_str(writer, "kind");
    sl_write_str(writer, sl_code_name(error->code));
    sl_write_str(writer, "message");
    sl_write_str(writer, error->message);
    if (error->traceback != NULL) {
        sl_write_str(writer, "traceback");
        sl_write_str(writer, error->traceback);
    }
    if (error->exit_status >= 0) {
        sl_write_str(writer, "exit_status");
        sl_write_int(writer, error->exit_status);
    }
    if (error->term_signal > 0) {
        sl_write_str(writer, "signal");
        sl_write_int(writer, error->term_signal);
    }
    if (error->stderr_tail != NULL) {
        sl_write_str(writer, "stderr");
        sl_write_str(writer, error->stderr_tail);
    }
    if (has_worker) {
        sl_write_str(writer, "worker");
        sl_write_uint(writer, error->worker);
    }
    if (error->death != NULL) {
        sl_write_str(writer, "death");
        sl_death_write(error->death, writer);
    }
}

void write_text(struct sl_writer *writer, const char *key, const char *text) {
    sl_write_str(writer, key);
    if (text != NULL) {
        sl_write_str(writer, text);
    } else {
        sl_write_nil(writer);
    }
}

void write_count(struct sl_writer *writer, const char *key, uint64_t count) {
    sl_write_str(writer, key);
    sl_write_uint(writer, count);
}
