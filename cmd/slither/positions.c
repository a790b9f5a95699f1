/* SPDX-License-Identifier: MIT */
#include "positions.h"

#include <stdlib.h>

bool positions_init(struct positions *positions, uint64_t kept) {
    *positions = (struct positions){.size = 1};
    pthread_mutex_init(&positions->mutex, NULL);
    while (positions->size < kept) {
        positions->size *= 2;
    }
    positions->ring = calloc(positions->size, sizeof(*positions->ring));
    return positions->ring != NULL;
}

void positions_finish(struct positions *positions) {
    free(positions->ring);
    positions->ring = NULL;
}

void positions_add(struct positions *positions, struct position position) {
    pthread_mutex_lock(&positions->mutex);
    positions->ring[positions->count++ & (positions->size - 1)] = position;
    pthread_mutex_unlock(&positions->mutex);
}

bool positions_find(struct positions *positions, uint64_t item, struct position *position) {
    pthread_mutex_lock(&positions->mutex);
    bool found = item < positions->count && positions->count - item <= positions->size;
    if (found) {
        *position = positions->ring[item & (positions->size - 1)];
    }
    pthread_mutex_unlock(&positions->mutex);
    return found;
}
