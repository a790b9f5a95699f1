/* SPDX-License-Identifier: MIT */
/*
 * Places for the files of a test, with a name that no other has: in $TMPDIR, which whoever runs the tests clears up after those that are killed; else in
 * /tmp. The test removes what it makes.
 */
#ifndef SL_BASE_TESTING_SCRATCH_H
#define SL_BASE_TESTING_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCRATCH_SIZE 256 /* bytes of such a path, with its NUL */

/* What mkstemp() and mkdtemp() take. */
static inline void scratch_template(char path[SCRATCH_SIZE], const char *name) {
    const char *base = getenv("TMPDIR");
    int size = snprintf(path, SCRATCH_SIZE, "%s/%s-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp", name);
    assert_in_range(size, 1, SCRATCH_SIZE - 1);
}

/* An empty file, open for reading and writing. */
static inline int scratch_file(char path[SCRATCH_SIZE], const char *name) {
    scratch_template(path, name);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    return fd;
}

/* A place where nothing is: for files that tell something by being there. */
static inline void scratch_place(char path[SCRATCH_SIZE], const char *name) {
    close(scratch_file(path, name));
    assert_int_equal(unlink(path), 0);
}

static inline void scratch_folder(char path[SCRATCH_SIZE], const char *name) {
    scratch_template(path, name);
    assert_non_null(mkdtemp(path));
}

#endif
