/* SPDX-License-Identifier: MIT */
/*
 * jq programs over values. A program may be used by any number of threads at once: each that is in it has a compiled copy of its own, which
 * it takes from the program and puts back; a copy more is compiled when all are taken.
 *
 * A program cannot be left to itself: one that gives nothing out and does not end is stopped by the watch, a thread that looks at what is running and sleeps
 * without limit while nothing is. jq looks at its flag between two steps; within one step of its library (a search with a regular expression, a sort) it does
 * not. The memory that it takes is not bounded: when there is none jq ends the process.
 */
#ifndef SLITHER_CONFIG_PROGRAM_H
#define SLITHER_CONFIG_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <jv.h>

#include <slither/error.h>
#include <slither/value.h>

/* Results of one program for one item. */
#define SL__JQ_RESULTS_MAX 65536
#define SL__JQ_TIMEOUT_MS 30000

struct sl__jq;
struct sl__jq_watch;
struct sl__redact;

enum sl_code sl__jq_watch_create(struct sl__jq_watch **watch, struct sl_error *error);
/* No program of it may be left. NULL is fine. */
void sl__jq_watch_destroy(struct sl__jq_watch *watch);

struct sl__jq_options {
    struct sl__jq_watch *watch;
    const char *text;    /* borrowed, as the next */
    const char *where;   /* "stage prepare (pipe.yaml:7:9)", for messages */
    jv vars;             /* an object: each member is $name; borrowed, and copied */
    uint32_t timeout_ms; /* UINT32_MAX: none */
    const struct sl__redact
        *redact; /* of what jq says of an item; borrowed, and may be changed while no program runs */
};

/* Compiles. invalid_data: it does not, and the error's message is that of jq; out_of_memory. */
enum sl_code sl__jq_create(const struct sl__jq_options *options, struct sl__jq **jq, struct sl_error *error);
/* NULL is fine. */
void sl__jq_destroy(struct sl__jq *jq);

/* A program that is being run by this thread. */
struct sl__jq_run;
/*
 * Begins to run a program on an item; sl__jq_next() gives its results, one after the other, and sl__jq_end() ends it in each case. `*result` is a borrowed
 * value of jq, valid until the next of these calls; sl__jq_write() makes a value of it. SL_E_END: there are no more. Errors: item_error (of the
 * program), timeout, limit_exceeded (depth), type_mismatch, system, out_of_memory.
 */
enum sl_code sl__jq_begin(struct sl__jq *jq, struct sl_value item, struct sl__jq_run **run, struct sl_error *error);
enum sl_code sl__jq_next(struct sl__jq_run *run, jv *result, struct sl_error *error);
enum sl_code sl__jq_write(struct sl__jq_run *run, jv result, struct sl_writer *writer, struct sl_error *error);
void sl__jq_end(struct sl__jq_run *run);

/* The first result, as jq understands `if`: all but false and null is true. No result: false. */
enum sl_code sl__jq_test(struct sl__jq *jq, struct sl_value item, bool *result, struct sl_error *error);
/* The one result, which must be a number from 0 to 2^53; fractions are rounded up. */
enum sl_code sl__jq_weight(struct sl__jq *jq, struct sl_value item, uint64_t *weight, struct sl_error *error);
/*
 * The one result, written to `writer`. A program that is a path of names (".user.id") is followed in the item without jq, and the value is of the
 * item and not of the writer: it is exact whatever it is.
 */
enum sl_code sl__jq_one(struct sl__jq *jq, struct sl_value item, struct sl_writer *writer, struct sl_value *value,
                        struct sl_error *error);

#endif
