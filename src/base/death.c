/* SPDX-License-Identifier: MIT */
#include <slither/death.h>

#include <stdlib.h>
#include <string.h>

const char *sl_death_cause_name(enum sl_death_cause cause) {
    switch (cause) {
#define CAUSE_NAME(enumerator, number, name) \
    case enumerator:                         \
        return name;
        SL_DEATH_LIST(CAUSE_NAME)
#undef CAUSE_NAME
    }
    return "unknown";
}

const char *sl_activity_name(enum sl_activity activity) {
    switch (activity) {
#define ACTIVITY_NAME(enumerator, number, name) \
    case enumerator:                            \
        return name;
        SL_ACTIVITY_LIST(ACTIVITY_NAME)
#undef ACTIVITY_NAME
    }
    return "unknown";
}

static char *copy_text(const char *text) {
    return text != NULL ? strdup(text) : NULL;
}

struct sl_death *sl_death_copy(const struct sl_death *death) {
    struct sl_death *copy = death != NULL ? malloc(sizeof(*copy)) : NULL;
    if (copy != NULL) {
        *copy = *death;
        copy->evidence = copy_text(death->evidence);
        copy->traceback = copy_text(death->traceback);
        copy->stderr_tail = copy_text(death->stderr_tail);
    }
    return copy;
}

void sl_death_destroy(struct sl_death *death) {
    if (death != NULL) {
        free(death->evidence);
        free(death->traceback);
        free(death->stderr_tail);
        free(death);
    }
}
