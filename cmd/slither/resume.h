/* SPDX-License-Identifier: MIT */
/* Where a run goes on: a number of items, or what the report of an earlier run says. */
#ifndef SLITHER_CLI_RESUME_H
#define SLITHER_CLI_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an output file held when the first `items` items were through. */
struct resume_file {
    char *path; /* owned, absolute */
    uint64_t bytes;
};

struct resume {
    bool given;
    bool has_files; /* it is from a report */
    uint64_t items; /* that are finished; they need not be read again */
    uint64_t lines; /* where the last of them ends; 0: not known */
    uint64_t bytes;
    struct resume_file *files;
    size_t file_count;
    char *pipe; /* owned: the name of the pipe that the report is of; or NULL */
};

/* Reads --resume-from: digits, or the path of a report. False: `problem` says what is wrong; resume_finish() in either case. */
bool resume_read(struct resume *resume, const char *text, char *problem, size_t problem_size);
void resume_finish(struct resume *resume);

/* What the report says of a file, or NULL. */
const struct resume_file *resume_find(const struct resume *resume, const char *path);

#endif
