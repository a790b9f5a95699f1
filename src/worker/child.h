/* SPDX-License-Identifier: MIT */
/* The process of a worker as the operating system sees it: pid, pidfd, life-cycle socket, outputs. */
#ifndef SLITHER_WORKER_CHILD_H
#define SLITHER_WORKER_CHILD_H

#include <sys/types.h>

#include "sys/process.h"
#include "worker/spec.h"

struct sl__child {
    pid_t pid; /* 0: none */
    int pidfd;
    int socket; /* host's end of the life-cycle socket */
    int theirs; /* the worker's end, kept until it has answered: shows whether it has read what was sent. -1 afterwards */
    int out, err; /* read ends of its stdout and stderr, non-blocking */
};

#define SL__CHILD_INIT \
    { 0, -1, -1, -1, -1, -1 }

/*
 * Makes the socket and the outputs of a process that does not exist yet, and the ends that are to become its descriptors 1 and 2; its
 * end of the socket is child->theirs. On failure nothing is open.
 */
enum sl_code sl__child_open(struct sl__child *child, int *out, int *err, struct sl_error *error);
/*
 * Starts spec->python with `argv`. On failure there is no process and nothing open. Loop thread only: the worker dies with the thread that
 * started it.
 */
enum sl_code sl__child_spawn(const struct sl__spec *spec, char *const *argv, struct sl__child *child,
                             struct sl_error *error);
/* SIGKILL to the process and to all of its group. Any thread, as long as it has not been reaped. */
void sl__child_kill(const struct sl__child *child);
/* Reaps a process that has ended, and kills what is left of its group first. False: nobody can know how it ended. */
bool sl__child_reap(struct sl__child *child, struct sl__process_end *end);
/* Closes everything; the pid is forgotten. Twice is fine. */
void sl__child_close(struct sl__child *child);

/* "was killed by SIGSEGV (core dumped)", "exited with status 3", "ended in a way that this process could not learn". */
void sl__end_text(const struct sl__process_end *end, bool known, char *text, size_t size);

#endif
