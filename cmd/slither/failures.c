/* SPDX-License-Identifier: MIT */
#include "failures.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/death.h>

#include "console.h"

static bool is_digit(char c) {
    return isdigit((unsigned char)c) != 0;
}

static bool same_but_numbers(const char *a, const char *b) {
    while (*a != '\0' && *b != '\0') {
        if (is_digit(*a) && is_digit(*b)) {
            while (is_digit(*a)) {
                a++;
            }
            while (is_digit(*b)) {
                b++;
            }
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

static char *copy_text(const char *text) {
    return text == NULL ? NULL : strdup(text); /* without memory the summary shows less */
}

/* One line; NULL when no worker died, or without memory. */
static char *describe_death(const struct sl_death *death) {
    if (death == NULL) {
        return NULL;
    }
    char memory[48] = "";
    for (unsigned i = 0; i < SL_DEATH_SAMPLES && death->samples[i].rss_bytes > 0; i++) {
        snprintf(memory, sizeof(memory), ", %" PRIu64 " MiB", death->samples[i].rss_bytes >> 20);
    }
    bool asked = death->activity != SL_ACTIVITY_UNKNOWN;
    char *text = NULL;
    if (asprintf(&text, "death: %s%s%s%s, after %.1f s and %" PRIu64 " batch%s%s%s%s\n",
                 sl_death_cause_name(death->cause), asked ? " (" : "", asked ? sl_activity_name(death->activity) : "",
                 asked ? ")" : "", (double)death->age_ms / 1000.0, death->batch_count,
                 death->batch_count == 1 ? "" : "es", memory, death->evidence != NULL ? "; " : "",
                 death->evidence != NULL ? death->evidence : "") < 0) {
        return NULL;
    }
    return text;
}

void failures_add(struct failures *failures, const struct sl_error *error, uint64_t line) {
    struct failure_group *group = NULL;
    for (unsigned i = 0; i < failures->group_count && group == NULL; i++) {
        struct failure_group *candidate = &failures->groups[i];
        if (candidate->code == error->code && same_but_numbers(candidate->message, error->message)) {
            group = candidate;
        }
    }
    if (group == NULL) {
        if (failures->group_count == FAILURE_KINDS_MAX) {
            failures->ungrouped++;
            return;
        }
        group = &failures->groups[failures->group_count++];
        *group = (struct failure_group){.code = error->code};
        memcpy(group->message, error->message, sizeof(group->message));
    }
    if (group->traceback == NULL) {
        group->traceback = copy_text(error->traceback);
    }
    if (group->death == NULL) {
        group->death = describe_death(error->death);
    }
    if (group->line_count < FAILURE_LINES_MAX) {
        group->lines[group->line_count++] = line;
    }
    group->count++;
}

void failures_finish(struct failures *failures) {
    for (unsigned i = 0; i < failures->group_count; i++) {
        free(failures->groups[i].traceback);
        free(failures->groups[i].death);
    }
    *failures = (struct failures){0};
}

void failures_print(const struct failures *failures) {
    for (unsigned i = 0; i < failures->group_count; i++) {
        const struct failure_group *group = &failures->groups[i];
        char lines[160];
        size_t used = (size_t)snprintf(lines, sizeof(lines), "%s ", group->count == 1 ? "line" : "lines");
        for (unsigned k = 0; k < group->line_count; k++) {
            used +=
                (size_t)snprintf(lines + used, sizeof(lines) - used, "%s%" PRIu64, k == 0 ? "" : ", ", group->lines[k]);
        }
        if (group->count > group->line_count) {
            snprintf(lines + used, sizeof(lines) - used, ", ...");
        }
        /* Of a message of several lines the first; the traceback and --errors have all of it. */
        size_t size = strcspn(group->message, "\n");
        console_message(CONSOLE_ERROR, "%" PRIu64 " failed: %s: %.*s%s (%s)", group->count, sl_code_name(group->code),
                        (int)size, group->message, group->message[size] != '\0' ? " ..." : "", lines);
        if (group->death != NULL) {
            console_text(group->death);
        }
        if (i == 0 && group->traceback != NULL) { /* one shows where to look; all of them are in --errors */
            console_text(group->traceback);
        }
    }
    if (failures->ungrouped > 0) {
        console_message(CONSOLE_ERROR, "%" PRIu64 " failed for other reasons", failures->ungrouped);
    }
}
