/* SPDX-License-Identifier: MIT */
/*
 * Files that are whole or not there: written as PATH.part, and renamed to PATH at the end. What is no regular file (a FIFO, /dev/stderr) is written as it is.
 */
#ifndef SLITHER_CLI_PART_FILE_H
#define SLITHER_CLI_PART_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output.h"

struct part_file {
    char *path; /* owned, absolute; symbolic links are followed */
    char *part; /* owned; NULL: written as it is */
    struct output output;
};

/* Finds out where `path` is. Nothing is opened. False: `problem` says why it cannot be written; part_file_finish() in either case. */
bool part_file_place(struct part_file *file, const char *path, char *problem, size_t problem_size);
/* Whether both are one file. */
bool part_file_same(const struct part_file *a, const struct part_file *b);

/*
 * Opens the part anew, and keeps others from writing it at the same time. `input_fd` -1: none. False: `problem`.
 */
bool part_file_open(struct part_file *file, int input_fd, char *problem, size_t problem_size);
/* The same to go on behind the first `bytes` bytes of a part, or of a file that was whole before. */
bool part_file_go_on(struct part_file *file, uint64_t bytes, int input_fd, char *problem, size_t problem_size);
/* Whether the part or the file exists. */
bool part_file_exists(const struct part_file *file);

/* Writes out and closes; `whole`: the part becomes the file. */
enum sl_code part_file_close(struct part_file *file, bool whole, struct sl_error *error);
void part_file_finish(struct part_file *file);

#endif
