/* SPDX-License-Identifier: MIT */
/* The failures of a run as people want to read them: the same trouble once, with how often and where first. */
#ifndef SLITHER_CLI_FAILURES_H
#define SLITHER_CLI_FAILURES_H

#include <stdint.h>

#include <slither/error.h>

#define FAILURE_KINDS_MAX 16
#define FAILURE_LINES_MAX 5

struct failure_group {
    enum sl_code code;
    char message[SL_ERROR_MESSAGE_SIZE]; /* the first of them */
    char *traceback;                     /* of the first that had one; owned */
    char *death;                         /* what is known of the death of a worker, likewise */
    uint64_t count;
    uint64_t lines[FAILURE_LINES_MAX]; /* the first of them */
    unsigned line_count;
};

struct failures {
    struct failure_group groups[FAILURE_KINDS_MAX]; /* in the order of their first item */
    unsigned group_count;
    uint64_t ungrouped; /* of kinds that there was no room for */
};

/* Messages that differ in their numbers only are the same trouble. */
void failures_add(struct failures *failures, const struct sl_error *error, uint64_t line);
void failures_finish(struct failures *failures);
/* To standard error. */
void failures_print(const struct failures *failures);

#endif
