/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bench_row *const tables[] = {
    bench_call_rows,  bench_map_rows,  bench_buffer_rows, bench_memory_rows, bench_floor_rows,   bench_life_rows,
    bench_store_rows, bench_view_rows, bench_pipe_rows,   bench_object_rows, bench_session_rows,
};

static const struct bench_row *find_row(const char *name) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct bench_row *row = tables[t]; row->name != NULL; row++) {
            if (strcmp(row->name, name) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

static void list_rows(void) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct bench_row *row = tables[t]; row->name != NULL; row++) {
            printf("%s\n", row->name);
        }
    }
}

static _Noreturn void usage(void) {
    fprintf(stderr, "usage: slither-bench ROW PYTHON FUNCTIONS [DIVISOR]\n"
                    "       slither-bench --list\n"
                    "ROW: a row; PYTHON: interpreter of the workers; FUNCTIONS: directory of the Python functions;\n"
                    "DIVISOR: make rounds shorter by it. bench/run.py runs this program and reads what it prints.\n");
    exit(2);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list_rows();
        return 0;
    }
    if (argc < 4 || argc > 5) {
        usage();
    }
    const struct bench_row *row = find_row(argv[1]);
    if (row == NULL) {
        bench_die("there is no row '%s'; slither-bench --list names them", argv[1]);
    }
    struct bench bench = {.python = argv[2], .functions = argv[3], .divisor = 1};
    if (argc == 5) {
        bench.divisor = (uint32_t)strtoul(argv[4], NULL, 10);
        if (bench.divisor == 0) {
            usage();
        }
    }

    row->open(&bench);
    printf("ready %.9f\n", (double)bench_now_ns() / 1e9);
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        bench.figure_count = 0;
        row->round(&bench);
        printf("figure");
        for (uint32_t i = 0; i < bench.figure_count; i++) {
            printf(" %.9g", bench.figures[i]);
        }
        printf("\n");
        fflush(stdout);
    }
    if (row->close != NULL) {
        row->close(&bench);
    }
    return 0;
}
