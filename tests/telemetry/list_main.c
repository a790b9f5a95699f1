/* SPDX-License-Identifier: MIT */
/* Prints the list of events as docs/telemetry.md has it: a table a group, and the fields of each event. */
#include <stdio.h>
#include <string.h>

#include <slither/telemetry.h>

/* "slither.dispatch", or the longest beginning that is a group of its own. */
static size_t group_size(const char *name) {
    return strcspn(name + strlen("slither."), ".") + strlen("slither.");
}

static bool same_group(const char *a, const char *b) {
    return group_size(a) == group_size(b) && strncmp(a, b, group_size(a)) == 0;
}

int main(void) {
    const char *before = NULL;
    for (uint32_t i = 0; i < sl_event_kind_count(); i++) {
        const struct sl_event_kind *kind = sl_event_kind_at(i);
        if (before == NULL || !same_group(before, kind->name)) {
            printf("%s### %.*s\n\n| event | when | fields |\n|---|---|---|\n", before != NULL ? "\n" : "",
                   (int)group_size(kind->name), kind->name);
        }
        printf("| `%s` | %s | ", kind->name, kind->text);
        for (uint32_t k = 0; k < kind->field_count; k++) {
            const struct sl_event_field_kind *field = &kind->fields[k];
            printf("%s`%s` (%s): %s", k > 0 ? "<br>" : "", field->name, sl_field_type_name(field->type), field->text);
        }
        printf(" |\n");
        before = kind->name;
    }
    return 0;
}
