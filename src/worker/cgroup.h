/* SPDX-License-Identifier: MIT */
/*
 * A control group (version 2) of its own for each life of a worker, under a directory that was delegated to this process. Plain files: that is all a
 * control group is from here.
 */
#ifndef SLITHER_WORKER_CGROUP_H
#define SLITHER_WORKER_CGROUP_H

#include <sys/types.h>

#include <slither/error.h>

struct sl__cgroup {
    char *path; /* NULL: there is none */
};

/* Whether workers can have groups under `parent`. Errors: invalid_argument, which says what is missing and how to get it. */
enum sl_code sl__cgroup_check(const char *parent, struct sl_error *error);
/* Makes PARENT/NAME and limits it. One that an earlier host of that name has left behind is used again. */
enum sl_code sl__cgroup_open(struct sl__cgroup *group, const char *parent, const char *name, uint64_t memory_max_bytes,
                             struct sl_error *error);
/* Puts a process into it, and with it what it will start. */
enum sl_code sl__cgroup_enter(const struct sl__cgroup *group, pid_t pid, struct sl_error *error);
/* Removes it. One that still has a process stays. Twice is fine. */
void sl__cgroup_close(struct sl__cgroup *group);

#endif
