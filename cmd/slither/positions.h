/* SPDX-License-Identifier: MIT */
/* Where in the input the last items ended that a run has taken. Bounded: older ones are forgotten. */
#ifndef SLITHER_CLI_POSITIONS_H
#define SLITHER_CLI_POSITIONS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct position {
    uint64_t line;
    uint64_t bytes;
};

struct positions {
    pthread_mutex_t mutex;
    struct position *ring;
    uint64_t size; /* a power of two */
    uint64_t count;
};

/* At least the last `kept` items can be asked for. False: no memory. */
bool positions_init(struct positions *positions, uint64_t kept);
void positions_finish(struct positions *positions);
/* The next item, counted from 0. One thread. */
void positions_add(struct positions *positions, struct position position);
/* Where an item ended. Any thread. False: it was not taken yet, or is forgotten. */
bool positions_find(struct positions *positions, uint64_t item, struct position *position);

#endif
