/* SPDX-License-Identifier: MIT */
#include "nearest.h"

#include <string.h>

/* Longer names than ours need no suggestion; the bound keeps the table on the stack. */
#define NAME_SIZE_MAX 48

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
static size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t rows[3][NAME_SIZE_MAX + 1];
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smallest(replaced, above[j] + 1, row[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < row[j]) {
                row[j] = two_above[j - 2] + 1;
            }
        }
    }
    return rows[a_size % 3][b_size];
}

void nearest_offer(struct nearest *nearest, const char *name) {
    size_t typed_size = strlen(nearest->typed);
    size_t name_size = strlen(name);
    if (typed_size == 0 || typed_size > NAME_SIZE_MAX || name_size > NAME_SIZE_MAX) {
        return;
    }
    size_t distance = edit_distance(nearest->typed, typed_size, name, name_size);
    /* A third of the letters may be wrong: more would be a guess. */
    if (distance > (typed_size + 2) / 3) {
        return;
    }
    if (nearest->name == NULL || distance < nearest->distance) {
        nearest->name = name;
        nearest->distance = distance;
    }
}
