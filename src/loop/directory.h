/* SPDX-License-Identifier: MIT */
/*
 * A runtime's private directory: on a file system in memory where there is one, for this user alone, and gone with its runtime.
 *
 *   janitor  a child process that waits for the end of this one, and then removes the directory
 *   stale    a directory whose maker is gone, janitor included: nobody holds its lock
 */
#ifndef SLITHER_LOOP_DIRECTORY_H
#define SLITHER_LOOP_DIRECTORY_H

#include <sys/types.h>

#include <slither/error.h>

#include "base/log.h"

#define SL__DIRECTORY_PATH_MAX 512 /* bytes of its path; a longer base is not used */

struct sl__directory {
    char path[SL__DIRECTORY_PATH_MAX];
    int lock;         /* its descriptor, locked */
    int leash;        /* other end of the janitor's standard input */
    int janitor;      /* pidfd; -1: there is none */
    pid_t janitor_id; /* for tests */
};

/* Removes stale directories beside the new one. Blocks for the start of a small process. Errors: system, out_of_memory. */
enum sl_code sl__directory_create(struct sl__log *log, struct sl__directory **directory, struct sl_error *error);
/* Removes it and sends the janitor home; blocks for that, at most twice JANITOR_END_MS. NULL is fine. */
void sl__directory_destroy(struct sl__log *log, struct sl__directory *directory);

#endif
