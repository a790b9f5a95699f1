/* SPDX-License-Identifier: MIT */
/* What a handler can do with an event. */
#include <stdlib.h>
#include <string.h>

#include <slither/telemetry.h>
#include <slither/value.h>

#include "base/utf8.h"

const struct sl_event_field *sl_event_get(const struct sl_event *event, const char *name) {
    for (uint32_t i = 0; i < event->field_count; i++) {
        if (strcmp(event->fields[i].name, name) == 0) {
            return &event->fields[i];
        }
    }
    return NULL;
}

/* Names of the host need not be UTF-8, and must not keep an event from being written. */
static void write_text(struct sl_writer *writer, const char *text) {
    size_t size = strlen(text), at = sl__utf8_valid_size(text, size);
    char *copy = at < size ? strdup(text) : NULL;
    if (copy == NULL) {
        sl_write_strn(writer, text, at);
        return;
    }
    while (at < size) {
        copy[at] = '?';
        at += sl__utf8_valid_size(copy + at, size - at);
    }
    sl_write_strn(writer, copy, size);
    free(copy);
}

static void write_field(struct sl_writer *writer, const struct sl_event_field *field) {
    sl_write_str(writer, field->name);
    switch (field->type) {
    case SL_FIELD_UINT:
        sl_write_uint(writer, field->as_uint);
        return;
    case SL_FIELD_INT:
        sl_write_int(writer, field->as_int);
        return;
    case SL_FIELD_FLOAT:
        sl_write_float(writer, field->as_float);
        return;
    case SL_FIELD_BOOL:
        sl_write_bool(writer, field->as_bool);
        return;
    case SL_FIELD_TEXT:
        write_text(writer, field->as_text);
        return;
    case SL_FIELD_CODE:
        sl_write_str(writer, sl_code_name(field->as_code));
        return;
    }
    sl_write_nil(writer);
}

static void write_number(struct sl_writer *writer, const char *name, uint64_t number) {
    if (number != 0) {
        sl_write_str(writer, name);
        sl_write_uint(writer, number);
    }
}

void sl_event_write(const struct sl_event *event, struct sl_writer *writer) {
    bool ends = event->phase > SL_EVENT_START;
    uint32_t count = 4u + (event->span != 0) + (event->parent != 0) + ends;
    sl_write_map(writer, count);
    sl_write_str(writer, "name");
    sl_write_str(writer, event->name);
    sl_write_str(writer, "time_ns");
    sl_write_uint(writer, event->time_ns);
    sl_write_str(writer, "wall_ns");
    sl_write_uint(writer, event->wall_ns);
    write_number(writer, "span", event->span);
    write_number(writer, "parent", event->parent);
    if (ends) {
        sl_write_str(writer, "duration_ns");
        sl_write_uint(writer, event->duration_ns);
    }
    sl_write_str(writer, "fields");
    sl_write_map(writer, event->field_count);
    for (uint32_t i = 0; i < event->field_count; i++) {
        write_field(writer, &event->fields[i]);
    }
}
