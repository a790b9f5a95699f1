/* SPDX-License-Identifier: MIT */
/*
 * The host's side of the benchmarks: a program that measures one row, a round at a time, when the runner asks for it.
 *
 * It says `ready TIME` when it is warm (TIME: seconds of CLOCK_MONOTONIC), answers each line of standard input with
 * `figure NUMBER...`, and ends at the end of its input. What fails ends the program with a message: a figure of
 * work that was not done is worth nothing, so every result is checked.
 */
#ifndef SLITHER_BENCH_H
#define SLITHER_BENCH_H

#include <slither/slither.h>

#define BENCH_WORKERS 2
#define BENCH_FIGURES_MAX 2

/* What the rows of one program run share. */
struct bench {
    const char *python;    /* interpreter of the workers */
    const char *functions; /* directory of the Python functions */
    uint32_t divisor;      /* 1; more makes rounds shorter, to try whether a row works at all */
    struct sl_runtime *runtime;
    struct sl_pool *pool;
    double figures[BENCH_FIGURES_MAX];
    uint32_t figure_count;
};

struct bench_row {
    const char *name;
    void (*open)(struct bench *bench); /* makes what the rounds share, and warms it up */
    void (*round)(struct bench *bench);
    void (*close)(struct bench *bench); /* may be NULL */
};

extern const struct bench_row bench_call_rows[];
extern const struct bench_row bench_map_rows[];
extern const struct bench_row bench_buffer_rows[];
extern const struct bench_row bench_memory_rows[];
extern const struct bench_row bench_floor_rows[];
extern const struct bench_row bench_life_rows[];
extern const struct bench_row bench_store_rows[];
extern const struct bench_row bench_view_rows[];
extern const struct bench_row bench_pipe_rows[];
extern const struct bench_row bench_object_rows[];
extern const struct bench_row bench_session_rows[];

/* Ends the program with a message. */
_Noreturn void bench_die(const char *format, ...) SL_PRINTF(1, 2);
/* Ends the program with what `error` says when `code` is one. */
void bench_check(enum sl_code code, const struct sl_error *error, const char *what);
/* Runtime and pool; `preload` is what the workers import before they are ready. */
void bench_pool_create(struct bench *bench, const char *preload);
void bench_pool_destroy(struct bench *bench);

/* One more figure of this round. */
void bench_figure(struct bench *bench, double figure);
/* `count`, or fewer in a short trial, but at least one. */
uint32_t bench_count(const struct bench *bench, uint32_t count);
uint64_t bench_now_ns(void);
/* The median; the array is sorted. */
double bench_median(uint64_t *samples, uint32_t count);

/* The small item of all rows: {"id": i, "name": "item-<i>", "x": i / 2, "flag": i is odd}; its score is 2 i. */
/* Writes "item-<index>", without a NUL; returns its length. */
size_t bench_write_name(char name[32], uint64_t index);
struct sl_value bench_write_item(struct sl_writer *writer, uint64_t index);
/* Reads the score off a result. */
double bench_read_score(struct sl_value result);

/* So many of these items, for a source. */
struct bench_items {
    struct sl_writer writer;
    uint64_t next, count;
};
enum sl_code bench_next_item(void *items, struct sl_item *item, struct sl_error *error);

/* Calls `call` with the numbers from 0 on, `count` of them; the figure is the median of their times in microseconds. */
void bench_calls(struct bench *bench, uint32_t count,
                 void (*call)(struct bench *bench, struct sl_writer *writer, uint64_t number));

#endif
