/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this room share: numbers as items, a sink that remembers, and an executor whose workers are threads.
 *
 * The crew computes triple(x) = 3 x + 1 of each item unless a test gives it another way to act. With `hands` 0 it acts
 * within submit, or, when `held` is set, keeps the tasks until the test lets them go.
 */
#ifndef SL_DISPATCH_TESTING_CREW_H
#define SL_DISPATCH_TESTING_CREW_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <slither/dispatch.h>
#include <slither/executor.h>

#include "dispatch/sink.h"

#define CREW_HANDS_MAX 8
#define CREW_TASKS_MAX 1024
#define CREW_LOG_MAX 8192

/* ---- random numbers, times ------------------------------------------------------------------------------------- */

/* From $SLITHER_TEST_SEED or the clock; printed. */
uint64_t draw_seed(void);
/* xorshift64*; `*state` must not be 0. */
uint64_t draw(uint64_t *state);
uint32_t draw_below(uint64_t *state, uint32_t bound);
uint64_t now_ms(void);

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Values one after another in memory of its own. */
struct shelf {
    struct sl_writer writer;
    uint8_t *bytes;
    size_t size, capacity;
    size_t *ends;
    uint32_t count, end_capacity;
};
void shelf_take(struct shelf *shelf); /* what its writer holds becomes the next value */
void shelf_int(struct shelf *shelf, int64_t value);
void shelf_mark(struct shelf *shelf, enum sl_mark_kind kind, const char *text);
struct sl_value shelf_at(const struct shelf *shelf, uint32_t index);
void shelf_finish(struct shelf *shelf);

int64_t int_of(struct sl_value value);
static inline int64_t triple(int64_t x) {
    return 3 * x + 1;
}

/* ---- items --------------------------------------------------------------------------------------------------------- */

/* The integers from 0 on; the id of x is 1000 + x. */
struct numbers {
    uint64_t count;  /* then END */
    uint64_t pulled; /* so far */
    size_t padding;  /* bytes that each item carries besides its number: it then is a list [number, bytes] */
    size_t (*padding_of)(void *context, uint64_t x); /* instead of `padding` */
    void (*before)(void *context, uint64_t x);       /* called before x is given, and before END */
    enum sl_code (*stop)(void *context, uint64_t x, struct sl_error *error); /* instead of x, when not OK */
    void *context;
    struct sl_writer writer;
    uint8_t *filler;
};
struct sl_source numbers_source(struct numbers *numbers);
void numbers_finish(struct numbers *numbers);
/* The number that an item of `numbers` holds. */
int64_t number_of(struct sl_value value);

/* ---- outcomes ------------------------------------------------------------------------------------------------------ */

struct seen {
    uint64_t sequence, id;
    enum sl_status status;
    uint32_t attempts;
    enum sl_code code; /* of the error */
    int64_t value;     /* when it is an int */
    char route[32];
};
struct record {
    struct seen *seen; /* in the order in which they came */
    size_t count, capacity;
    struct numbers *numbers;
    uint64_t unseen_peak; /* items pulled and not yet seen, at most, as the sink finds it */
    bool by_rows;         /* takes outcomes in rows, too; has no `answer` then */
    uint64_t row_count;
    enum sl_code (*answer)(void *context, const struct sl_outcome *outcome, struct sl_error *error);
    void *context;
};
struct sl_sink record_sink(struct record *record);
/* sl_dispatch_run() with that sink. */
enum sl_code record_run(struct record *record, struct sl_pool *pool, const struct sl_dispatch_options *options,
                        struct sl_source source, struct sl_report *report, struct sl_error *error);
void record_add(struct record *record, const struct sl_outcome *outcome);
void record_finish(struct record *record);
/* The one with that sequence; fails the test when there is none, or more than one. */
const struct seen *record_of(const struct record *record, uint64_t sequence);
/* Each of 0..count-1 exactly once. */
void record_complete(const struct record *record, uint64_t count);
void record_in_order(const struct record *record);
/* Every item of `count` ended ok with triple() of its number. */
void record_all_right(const struct record *record, uint64_t count);
/* The counts of the report are those of the record, and add up to the input. */
void report_agrees(const struct sl_report *report, const struct record *record);

/* ---- executor -------------------------------------------------------------------------------------------------------- */

struct crew_batch { /* one that was submitted */
    uint32_t count;
    int64_t first, last;
    uint64_t at_ms;
};

struct crew {
    uint32_t hands;    /* threads; 0: acts within submit */
    uint32_t capacity; /* of the executor; 0: 1024 */
    bool held;         /* without threads: tasks wait for crew_release */
    bool shuffled;     /* the next task is any of those that wait, else the oldest */
    uint64_t random;
    void (*act)(void *context, struct sl_task *task); /* ends the task; NULL: act_triple */
    enum sl_code (*refuse)(void *context, struct sl_task *task, struct sl_error *error); /* not OK: not taken */
    void (*cancelled)(void *context, struct sl_task *task);
    void *context;

    struct sl_executor *executor;
    pthread_t threads[CREW_HANDS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sl_task *tasks[CREW_TASKS_MAX];
    uint32_t waiting;
    bool closing;
    uint32_t running, running_peak; /* submitted and not ended */
    uint64_t submitted, cancel_count;
    struct crew_batch log[CREW_LOG_MAX]; /* the first of them, in the order of submits */
};
void crew_open(struct crew *crew);
void crew_close(struct crew *crew); /* tasks that still wait are acted on first */
/* Without threads: acts on `count` of the waiting tasks. Returns how many there were. */
uint32_t crew_release(struct crew *crew, uint32_t count);
/* Options with this executor. */
struct sl_dispatch_options crew_options(struct crew *crew);

void act_triple(void *context, struct sl_task *task);
/* Ends the task with values that `one` puts on the shelf for each number. */
void act_each(struct sl_task *task, void (*one)(void *context, struct shelf *shelf, int64_t x), void *context);
void act_fail(struct sl_task *task, enum sl_code code, const char *text);
/* Whether the task holds number x. */
bool task_holds(const struct sl_task *task, int64_t x);

/* A run that ends as `expected`, with what the sink and the report must agree on checked. */
void run_numbers(struct sl_pool *pool, const struct sl_dispatch_options *options, struct numbers *numbers,
                 struct record *record, struct sl_report *report, enum sl_code expected);

#endif
