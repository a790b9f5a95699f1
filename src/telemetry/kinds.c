/* SPDX-License-Identifier: MIT */
/* The list of events as a table, and what can be asked of it. */
#include "kinds.h"

#include <string.h>

#include "base/macros.h"

#define FIELD(field_name, field_type, field_text) {field_name, SL_FIELD_##field_type, field_text},

#define FIELDS(identifier, name, phase, text, fields) \
    static const struct sl_event_field_kind fields_of_##identifier[] = {fields};
SL__EVENT_TABLE(FIELDS, FIELD)
#undef FIELDS

#define NO_FIELD(field_name, field_type, field_text)
#define KIND(identifier, event_name, event_phase, event_text, unused) \
    [SL__TELEMETRY_##identifier] = {                                  \
        .size = sizeof(struct sl_event_kind),                         \
        .name = event_name,                                           \
        .phase = SL_EVENT_##event_phase,                              \
        .text = event_text,                                           \
        .fields = fields_of_##identifier,                             \
        .field_count = SL_COUNT_OF(fields_of_##identifier),           \
    },
const struct sl_event_kind sl__event_kinds[SL__TELEMETRY_COUNT] = {SL__EVENT_TABLE(KIND, NO_FIELD)};
#undef KIND

uint32_t sl_event_kind_count(void) {
    return SL__TELEMETRY_COUNT;
}

const struct sl_event_kind *sl_event_kind_at(uint32_t kind) {
    return kind < SL__TELEMETRY_COUNT ? &sl__event_kinds[kind] : NULL;
}

const char *sl_field_type_name(enum sl_field_type type) {
    static const char *const names[] = {
        [SL_FIELD_UINT] = "uint", [SL_FIELD_INT] = "int",   [SL_FIELD_FLOAT] = "float",
        [SL_FIELD_BOOL] = "bool", [SL_FIELD_TEXT] = "text", [SL_FIELD_CODE] = "code",
    };
    return (unsigned)type < SL_COUNT_OF(names) ? names[type] : "unknown";
}

/* ---- prefixes ------------------------------------------------------------------------------------------------------ */

uint64_t sl__event_matches(const char *prefix) {
    size_t size = strlen(prefix);
    uint64_t matches = 0;
    if (size > 0 && prefix[size - 1] == '.') {
        size--; /* "slither." says the same as "slither" */
    }
    for (unsigned i = 0; i < SL__TELEMETRY_COUNT; i++) {
        const char *name = sl__event_kinds[i].name;
        bool begins = strncmp(name, prefix, size) == 0 && (size == 0 || name[size] == '\0' || name[size] == '.');
        matches |= (uint64_t)begins << i;
    }
    return matches;
}

static unsigned min3(unsigned a, unsigned b, unsigned c) {
    return SL_MIN(a, SL_MIN(b, c));
}

/* How many letters have to be put in, taken out or changed. */
static unsigned distance(const char *given, size_t given_size, const char *name, size_t size) {
    unsigned row[SL__EVENT_NAME_MAX + 1];
    for (size_t k = 0; k <= size; k++) {
        row[k] = (unsigned)k;
    }
    for (size_t i = 1; i <= given_size; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t k = 1; k <= size; k++) {
            unsigned above = row[k];
            row[k] = min3(above + 1, row[k - 1] + 1, diagonal + (given[i - 1] != name[k - 1]));
            diagonal = above;
        }
    }
    return row[size];
}

size_t sl__event_nearest(const char *given, const char **nearest) {
    size_t given_size = strnlen(given, SL__EVENT_NAME_MAX), best_size = 0;
    unsigned best = UINT32_MAX;
    for (unsigned i = 0; i < SL__TELEMETRY_COUNT; i++) {
        const char *name = sl__event_kinds[i].name;
        /* The name as far as each of its dots, and to its end. */
        for (size_t size = 1; size <= strlen(name); size++) {
            if (name[size] != '.' && name[size] != '\0') {
                continue;
            }
            bool begun = size >= given_size && memcmp(name, given, given_size) == 0; /* cut within a word */
            unsigned far = begun ? 0 : distance(given, given_size, name, size);
            if (far < best) {
                best = far;
                best_size = size;
                *nearest = name;
            }
        }
    }
    return best_size;
}
