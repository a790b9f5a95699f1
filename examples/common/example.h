/* SPDX-License-Identifier: MIT */
/*
 * What the examples share and what has nothing to do with Slither: options, printing, proofs, an NDJSON file as a source.
 *
 * Each example is a program PROGRAM --data DIRECTORY [--modules DIRECTORY] [--python PATH] [--scale small|full] [--workers N] [--json]. It prints what it does and
 * what that proves; with --json one object instead. It exits with 0 when every proof holds, with 1 when one does not, and with 2 when
 * it could not do its work.
 */
#ifndef SLITHER_EXAMPLE_H
#define SLITHER_EXAMPLE_H

#include <stdio.h>

#include <slither/slither.h>

#define EXAMPLE_PROOFS_MAX 24
#define EXAMPLE_FIGURES_MAX 48

struct example {
    const char *name;
    const char *data;    /* directory with the input */
    const char *modules; /* directory with the Python modules */
    const char *python;  /* interpreter, or NULL */
    uint32_t workers;
    bool full;
    bool json;
    double began;        /* seconds */
    double work_seconds; /* of what example_work_begin and _end stand around */
    struct {
        bool holds;
        char text[200];
    } proofs[EXAMPLE_PROOFS_MAX];
    uint32_t proof_count;
    struct {
        char name[48];
        double value;
    } figures[EXAMPLE_FIGURES_MAX];
    uint32_t figure_count;
};

/* Reads the options; ends the program with a message when they are wrong. */
void example_begin(struct example *example, const char *name, int argc, char **argv);
/* The proofs, and what --json prints. Returns the exit status. */
int example_end(struct example *example);

/* A line for people. */
void example_say(const struct example *example, const char *format, ...) SL_PRINTF(2, 3);
/* One claim, and whether it holds. */
void example_prove(struct example *example, bool holds, const char *format, ...) SL_PRINTF(3, 4);
/* A number for --json. */
void example_figure(struct example *example, const char *name, double value);
/* Ends the program unless the code is SL_OK. */
void example_must(enum sl_code code, const struct sl_error *error, const char *what);

/* What the table compares: from the first item to the last result. */
void example_work_begin(struct example *example);
void example_work_end(struct example *example);

/* A runtime that prints what workers print, and a pool with the example's modules. */
struct sl_runtime *example_runtime(struct example *example);
struct sl_pool *example_pool(struct example *example, struct sl_runtime *runtime, const char *const *preload);

/* An NDJSON file, read line by line; ids are line numbers from 0. */
struct example_lines {
    FILE *file;
    char path[512];
    char *line;
    size_t capacity;
    uint64_t number;
    struct sl_writer writer;
};
void example_lines_open(struct example_lines *lines, const struct example *example, const char *file_name);
struct sl_source example_lines_source(struct example_lines *lines);
void example_lines_close(struct example_lines *lines);

/* Members of a map; a message and the end of the program when they are missing or of another type. */
int64_t example_int(struct sl_value map, const char *key);
double example_float(struct sl_value map, const char *key);
/* Points into the value; not NUL-terminated. */
const char *example_text(struct sl_value map, const char *key, size_t *size);
struct sl_value example_member(struct sl_value map, const char *key);

#endif
