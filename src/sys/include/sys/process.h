/* SPDX-License-Identifier: MIT */
/* Child processes by pidfd: a pidfd never names another process, whatever happens to the pid. */
#ifndef SLITHER_SYS_PROCESS_H
#define SLITHER_SYS_PROCESS_H

#include <sys/types.h>

#include <slither/error.h>

struct sl__process_end {
    int exit_status; /* -1 when a signal ended it, or when nobody can know (the host ignores SIGCHLD) */
    int term_signal; /* 0 when it exited */
    bool core_dumped;
};

/** pid of this process; differs in a forked child. */
pid_t sl__process_id(void);
/** Number of the calling thread, as the system shows it. */
pid_t sl__thread_id(void);

/** A pidfd of a child that has not been reaped; close-on-exec. Readable (poll) once the process has ended. */
enum sl_code sl__process_open(pid_t pid, int *pidfd, struct sl_error *error);

/** Sends a signal. not_found: the process has been reaped already. A process that ended but was not reaped counts as reached. */
enum sl_code sl__process_signal(int pidfd, int signal_number, struct sl_error *error);

/**
 * Sends a signal to the process group that the process leads (sl__spawn with a group of its own). The process must not have been reaped
 * yet: only then is the number of its group certainly its own. not_found: nobody is left in the group.
 */
enum sl_code sl__process_signal_group(int pidfd, pid_t pid, int signal_number, struct sl_error *error);

/**
 * Reaps the child. again: it still runs (only with `wait` false). not_found: somebody else reaped it, or the host ignores SIGCHLD; `end`
 * then says "unknown". Blocks without bound when `wait` is true.
 */
enum sl_code sl__process_reap(int pidfd, bool wait, struct sl__process_end *end, struct sl_error *error);

/**
 * SIGKILL to every process whose environment, as it was at its exec, contains `mark` (8..63 bytes that nobody has by chance), again until none is
 * seen. Finds also what is nobody's child any more; not what has thrown its environment away, nor what this process may not look at.
 * Reads all of /proc: tens of milliseconds. Returns how many signals were sent.
 */
uint32_t sl__process_kill_marked(const char *mark);

#endif
