/* SPDX-License-Identifier: MIT */
/*
 * Starting a program. Safe in a threaded host and from any thread: the child shares the host's memory only until exec, runs on
 * a stack of its own with every signal blocked, takes no lock and allocates nothing (the host thread stands still meanwhile;
 * its other threads run on).
 */
#ifndef SLITHER_SYS_SPAWN_H
#define SLITHER_SYS_SPAWN_H

#include <sys/types.h>

#include <slither/error.h>

#define SL__SPAWN_FDS_MAX 16

/** Descriptor `source` of this process becomes descriptor `target` (0..63) of the child. */
struct sl__spawn_fd {
    int source;
    int target;
};

enum sl__spawn_group {
    SL__SPAWN_GROUP_SAME = 0,
    SL__SPAWN_GROUP_OWN = 1,  /* leader of a process group of its own */
    SL__SPAWN_SESSION_OWN = 2 /* leader of a session (and group) of its own: no controlling terminal, no Ctrl-C */
};

struct sl__spawn {
    const char *program;     /* path, executed as it is; see sl__program_find */
    const char *const *argv; /* NULL-terminated, argv[0] included */
    const char *const *envp; /* NULL-terminated; NULL: this process's environment */
    const char *directory;   /* NULL: this process's */
    const struct sl__spawn_fd *fds;
    size_t fd_count; /* 0..SL__SPAWN_FDS_MAX */
    enum sl__spawn_group group;
    int death_signal; /* sent to it when the thread that starts it ends (PR_SET_PDEATHSIG); 0: none */
};

/**
 * Starts it. The child has exactly the descriptors of `fds` (others are closed on exec even where the host forgot the flag),
 * no signal blocked and every disposition the default. On success exec has succeeded; `*pidfd` (close-on-exec) and the child
 * itself are the caller's to close and to reap (process.h).
 * Errors: not_found (no such program), system (the message says which step failed: directory, descriptor, exec),
 * out_of_memory, invalid_argument.
 */
enum sl_code sl__spawn(const struct sl__spawn *spawn, pid_t *pid, int *pidfd, struct sl_error *error);

/**
 * Finds an executable file: a `name` with a slash is taken as it is, another is looked up in `search_path` (colon-separated;
 * NULL: $PATH, and when that is not set /usr/local/bin:/usr/bin:/bin). `*path` is the caller's to free(). Errors: not_found, out_of_memory.
 */
enum sl_code sl__program_find(const char *name, const char *search_path, char **path, struct sl_error *error);

#endif
