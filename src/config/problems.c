/* SPDX-License-Identifier: MIT */
#include "problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/macros.h"
#include "base/utf8.h"

/* Copies text that may be too long; a cut never leaves half a character behind. */
static void copy_cut(char *out, size_t out_size, const char *text) {
    size_t size = strlen(text);
    if (size >= out_size) {
        size = out_size - 1;
        while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) {
            size--;
        }
    }
    memcpy(out, text, size);
    out[size] = '\0';
}

/* Of a path the end tells more than the start. */
static void copy_cut_front(char *out, size_t out_size, const char *text) {
    size_t size = strlen(text);
    if (size >= out_size) {
        text += size - (out_size - 1 - 3);
        while (((unsigned char)*text & 0xc0) == 0x80) {
            text++;
        }
        snprintf(out, out_size, "...%s", text);
    } else {
        memcpy(out, text, size + 1);
    }
}

/* Bytes that are no UTF-8 come with paths and with settings, and where a precision has cut a name. */
static void mend(char *text) {
    size_t size = strlen(text);
    for (size_t at = 0; (at += sl__utf8_valid_size(text + at, size - at)) < size;) {
        text[at] = '?';
    }
}

static void SL_PRINTF(6, 0) add(struct sl__problems *problems, const char *file, uint32_t line, uint32_t column,
                                const char *place, const char *format, va_list arguments) {
    problems->total += problems->total < UINT32_MAX;
    if (problems->count >= SL__PROBLEMS_KEPT_MAX) {
        return;
    }
    if (!SL_ARRAY_RESERVE(problems, 1)) {
        problems->out_of_memory = true;
        return;
    }
    struct sl_pipe_file_problem *problem = &problems->items[problems->count++];
    char message[4 * sizeof problem->message];
    *problem = (struct sl_pipe_file_problem){.line = line, .column = column};
    copy_cut_front(problem->file, sizeof problem->file, file != NULL ? file : "");
    copy_cut(problem->place, sizeof problem->place, place != NULL ? place : "");
    (void)vsnprintf(message, sizeof message, format, arguments);
    mend(message);
    copy_cut(problem->message, sizeof problem->message, message);
    mend(problem->place);
    mend(problem->file);
}

void sl__problem(struct sl__problems *problems, const struct sl__yaml *at, const char *place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (at != NULL && at->broken) {
        /* What it says is not what was meant: anything else that is wrong with it comes of that. */
    } else if (at != NULL && at->setting != NULL) {
        add(problems, at->setting, 0, 0, place, format, arguments);
    } else {
        add(problems, problems->file, at != NULL ? at->line : 0, at != NULL ? at->column : 0, place, format, arguments);
    }
    va_end(arguments);
}

void sl__problem_at(struct sl__problems *problems, uint32_t line, uint32_t column, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add(problems, problems->file, line, column, NULL, format, arguments);
    va_end(arguments);
}

void sl_pipe_file_problem_text(const struct sl_pipe_file_problem *problem, char text[SL_PIPE_FILE_PROBLEM_TEXT_SIZE]) {
    char at[32] = "";
    if (problem->line > 0) {
        snprintf(at, sizeof at, ":%u:%u", problem->line, problem->column);
    }
    /* The key of a setting is its place. */
    const char *place = problem->line > 0 || strcmp(problem->place, problem->file) != 0 ? problem->place : "";
    snprintf(text, SL_PIPE_FILE_PROBLEM_TEXT_SIZE, "%s%s%s%s%s%s", problem->file, at,
             problem->file[0] != '\0' ? ": " : "", place, place[0] != '\0' ? ": " : "", problem->message);
}

/* Merge sort: stable, so that what was found first at a place stands first. */
static void sort(struct sl_pipe_file_problem *items, struct sl_pipe_file_problem *spare, size_t count) {
    if (count < 2) {
        return;
    }
    size_t half = count / 2, left = 0, right = half;
    sort(items, spare, half);
    sort(items + half, spare, count - half);
    for (size_t i = 0; i < count; i++) {
        bool take_left =
            left < half && (right == count || items[left].line < items[right].line ||
                            (items[left].line == items[right].line && items[left].column <= items[right].column));
        spare[i] = items[take_left ? left++ : right++];
    }
    memcpy(items, spare, count * sizeof *items);
}

enum sl_code sl__problems_give(struct sl__problems *problems, struct sl_pipe_file_problem *out, uint32_t max,
                               uint32_t *count, struct sl_error *error) {
    struct sl_pipe_file_problem *spare = problems->count > 1 ? malloc(problems->count * sizeof *spare) : NULL;
    if (count != NULL) {
        *count = problems->total;
    }
    if (problems->out_of_memory || (problems->count > 1 && spare == NULL)) {
        free(spare);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for what %s says", problems->file);
    }
    if (problems->count == 0) {
        return SL_OK;
    }
    sort(problems->items, spare, problems->count);
    free(spare);
    for (uint32_t i = 0; out != NULL && i < max && i < problems->count; i++) {
        out[i] = problems->items[i];
    }
    char text[SL_PIPE_FILE_PROBLEM_TEXT_SIZE], more[48] = "";
    if (problems->total > 1) {
        snprintf(more, sizeof more, " (and %u more)", problems->total - 1);
    }
    sl_pipe_file_problem_text(&problems->items[0], text);
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%.480s%s", text, more);
}

void sl__problems_finish(struct sl__problems *problems) {
    SL_ARRAY_FINISH(problems);
}

/* ---- the nearest name -------------------------------------------------------------------------------------------- */

#define NAME_SIZE_MAX 64

/* Letters to insert, delete or replace, and neighbours to swap, until one word is the other. */
static size_t distance_between(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t cost[NAME_SIZE_MAX + 1][NAME_SIZE_MAX + 1];
    for (size_t i = 0; i <= a_size; i++) {
        cost[i][0] = i;
    }
    for (size_t j = 0; j <= b_size; j++) {
        cost[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = SL_MIN(best, SL_MIN(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = SL_MIN(best, cost[i - 2][j - 2] + 1);
            }
            cost[i][j] = best;
        }
    }
    return cost[a_size][b_size];
}

void sl__nearest_offer(struct sl__nearest *nearest, const char *name) {
    size_t typed_size = strlen(nearest->typed), name_size = strlen(name);
    if (typed_size == 0 || typed_size > NAME_SIZE_MAX || name_size > NAME_SIZE_MAX) {
        return;
    }
    size_t distance = distance_between(nearest->typed, typed_size, name, name_size);
    /* With more than a third of the letters wrong it would be a guess, and one of a single letter always is. */
    if (distance <= (typed_size + 1) / 3 && (nearest->name == NULL || distance < nearest->distance)) {
        nearest->name = name;
        nearest->distance = distance;
    }
}

const char *sl__nearest_text(const struct sl__nearest *nearest, char text[SL__NEAREST_TEXT_SIZE]) {
    text[0] = '\0';
    if (nearest->name != NULL) {
        snprintf(text, SL__NEAREST_TEXT_SIZE, ": did you mean %s?", nearest->name);
    }
    return text;
}
