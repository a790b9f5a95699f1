/* SPDX-License-Identifier: MIT */
/*
 * The progress bar as text. What does not fit into the width is left out, least important first; nothing is ever cut
 * in the middle.
 */
#include <stdio.h>
#include <string.h>

#include "console.h"
#include "units.h"

#define BAR_MAX 24
#define BAR_MIN 8

enum part {
    PART_PERCENT,
    PART_ITEMS,
    PART_FAILED,
    PART_RATE,
    PART_STAGES,
    PART_CLOCK,
    PART_LEFT,
    PART_FLIGHT,
    PART_SKIPPED,
    PART_COUNT
};

struct parts {
    char text[PART_COUNT][PROGRESS_STAGES_SIZE]; /* empty: nothing to say */
};

static void write_parts(const struct progress *progress, struct parts *parts) {
    char number[UNIT_TEXT_SIZE];
    memset(parts, 0, sizeof(*parts));

    double share = progress->size > 0 ? (double)progress->position / (double)progress->size : 0;
    if (progress->size > 0) {
        snprintf(parts->text[PART_PERCENT], sizeof(parts->text[0]), "%3d%%", share >= 1 ? 100 : (int)(share * 100));
    }
    format_short((double)progress->ok, number);
    snprintf(parts->text[PART_ITEMS], sizeof(parts->text[0]), "%s %s", number,
             progress->done != NULL ? progress->done : "ok");
    if (progress->failed > 0) {
        format_short((double)progress->failed, number);
        snprintf(parts->text[PART_FAILED], sizeof(parts->text[0]), "%s failed", number);
    }
    if (progress->skipped > 0) {
        format_short((double)progress->skipped, number);
        snprintf(parts->text[PART_SKIPPED], sizeof(parts->text[0]), "%s skipped", number);
    }
    double seconds = (double)progress->elapsed_ns / 1e9;
    uint64_t done = progress->items - progress->in_flight;
    if (seconds >= 0.2) {
        format_short((double)done / seconds, number);
        snprintf(parts->text[PART_RATE], sizeof(parts->text[0]), "%s/s", number);
    }
    if (progress->stages != NULL) {
        snprintf(parts->text[PART_STAGES], sizeof(parts->text[0]), "%s", progress->stages);
    }
    format_short((double)progress->in_flight, number);
    snprintf(parts->text[PART_FLIGHT], sizeof(parts->text[0]), "%s in flight", number);
    format_clock(progress->elapsed_ns, number);
    snprintf(parts->text[PART_CLOCK], sizeof(parts->text[0]), "%s", number);
    /* Before a second, or a hundredth of the way, the rest would be a guess. */
    if (share >= 0.01 && share < 1 && seconds >= 1) {
        format_clock((uint64_t)((double)progress->elapsed_ns * (1 - share) / share), number);
        snprintf(parts->text[PART_LEFT], sizeof(parts->text[0]), "%s left", number);
    }
}

size_t progress_format(const struct progress *progress, unsigned width, char text[PROGRESS_TEXT_SIZE]) {
    struct parts parts;
    write_parts(progress, &parts);
    if (width >= PROGRESS_TEXT_SIZE) {
        width = PROGRESS_TEXT_SIZE - 1;
    }
    /* By importance, each takes its room and two spaces while there is some. */
    bool shown[PART_COUNT] = {false};
    size_t used = 0;
    for (int i = 0; i < PART_COUNT; i++) {
        size_t size = strlen(parts.text[i]);
        size_t gap = used > 0 ? 2 : 0;
        if (size > 0 && used + gap + size <= width) {
            shown[i] = true;
            used += gap + size;
        }
    }
    size_t bar = 0;
    if (progress->size > 0 && shown[PART_PERCENT] && used + BAR_MIN + 3 <= width) {
        bar = width - used - 3;
        bar = bar > BAR_MAX ? BAR_MAX : bar;
    }
    size_t at = 0;
    text[0] = '\0';
    if (bar > 0) {
        double share = (double)progress->position / (double)progress->size;
        size_t full = share >= 1 ? bar : (size_t)(share * (double)bar);
        text[at++] = '[';
        for (size_t i = 0; i < bar; i++) {
            text[at++] = i < full ? '=' : i == full ? '>' : ' ';
        }
        text[at++] = ']';
        text[at] = '\0';
    }
    static const enum part order[PART_COUNT] = {PART_PERCENT, PART_ITEMS, PART_FAILED, PART_SKIPPED, PART_FLIGHT,
                                                PART_STAGES,  PART_RATE,  PART_CLOCK,  PART_LEFT};
    for (int i = 0; i < PART_COUNT; i++) {
        if (shown[order[i]]) {
            const char *gap = at == 0 ? "" : bar > 0 && order[i] == PART_PERCENT ? " " : "  ";
            at += (size_t)snprintf(text + at, PROGRESS_TEXT_SIZE - at, "%s%s", gap, parts.text[order[i]]);
        }
    }
    return at;
}
