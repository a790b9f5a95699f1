/* SPDX-License-Identifier: MIT */
/*
 * How a child is made without forking the threaded host.
 *
 * clone(CLONE_VM | CLONE_VFORK): the child runs in the host's memory, on a stack of its own, while the calling thread is
 * suspended until exec or exit. That makes three rules for run_child():
 *   - No lock, no allocation, no stdio: another thread may hold the lock in question. Only system calls on local memory.
 *   - No signal handler of the host may run in the child: every signal is blocked before clone. File table, dispositions,
 *     mask and working directory are the child's own (no CLONE_FILES, CLONE_SIGHAND, CLONE_FS), so it may change them.
 *   - errno is the suspended thread's: it is saved by the parent's wrapper, and the outcome is reported through memory,
 *     which needs no pipe.
 * CLONE_PIDFD gives the pidfd in the same step, so there is no moment in which the pid could name somebody else.
 */
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "sys/descriptor.h"
#include "sys/failure.h"
#include "sys/fault.h"
#include "sys/process.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_CLOEXEC_FLAG 4u

#define TARGET_MAX 63
#define STACK_SIZE (64u << 10)

extern char **environ;

enum step { STEP_NONE, STEP_GROUP, STEP_DIRECTORY, STEP_DESCRIPTOR, STEP_EXEC };

/* Lies on the parent's stack; the child writes step and number. */
struct child {
    const struct sl__spawn *spawn;
    pid_t parent;
    int floor; /* descriptors from here on are no targets */
    volatile enum step step;
    volatile int number;
};

/* The kernel's struct sigaction: libc's wrapper refuses the two signals that libc keeps for itself. */
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};
#define SIGNAL_COUNT 64

#if defined(__clang__) || defined(__GNUC__)
#define CHILD_ONLY __attribute__((no_sanitize("address", "thread", "undefined"), noinline))
#else
#define CHILD_ONLY
#endif

CHILD_ONLY static void give_up(struct child *child, enum step step) {
    child->number = errno;
    child->step = step;
    _exit(127);
}

/*
 * System calls without the C library's functions around them: in the shared address space a sanitizer would take what its wrappers
 * see for the host's doing.
 */
CHILD_ONLY static void move_descriptors(struct child *child) {
    const struct sl__spawn *spawn = child->spawn;
    int moved[SL__SPAWN_FDS_MAX];
    /* First out of the way of every target, because a source may be another's target. */
    for (size_t i = 0; i < spawn->fd_count; i++) {
        moved[i] = (int)syscall(SYS_fcntl, spawn->fds[i].source, F_DUPFD_CLOEXEC, child->floor);
        if (moved[i] < 0) {
            give_up(child, STEP_DESCRIPTOR);
        }
    }
    for (int fd = 0; fd < child->floor; fd++) {
        long flags = syscall(SYS_fcntl, fd, F_GETFD);
        if (flags >= 0) {
            (void)syscall(SYS_fcntl, fd, F_SETFD, flags | FD_CLOEXEC);
        }
    }
    for (size_t i = 0; i < spawn->fd_count; i++) {
        if (syscall(SYS_dup3, moved[i], spawn->fds[i].target, 0) < 0) { /* the copy is not close-on-exec */
            give_up(child, STEP_DESCRIPTOR);
        }
    }
    /* What the host forgot to mark. Before Linux 5.11 only the host's own care helps. */
    (void)syscall(SYS_close_range, (unsigned)child->floor, ~0u, CLOSE_RANGE_CLOEXEC_FLAG);
}

CHILD_ONLY static int run_child(void *argument) {
    struct child *child = argument;
    const struct sl__spawn *spawn = child->spawn;
    struct kernel_sigaction by_default;
    memset(&by_default, 0, sizeof by_default);
    for (int number = 1; number <= SIGNAL_COUNT; number++) {
        (void)syscall(SYS_rt_sigaction, number, &by_default, NULL, sizeof(uint64_t)); /* KILL and STOP refuse */
    }
    if ((spawn->group == SL__SPAWN_GROUP_OWN && setpgid(0, 0) != 0) ||
        (spawn->group == SL__SPAWN_SESSION_OWN && setsid() < 0)) {
        give_up(child, STEP_GROUP);
    }
    if (spawn->death_signal != 0) {
        (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, (long)spawn->death_signal, 0L, 0L, 0L);
        if (syscall(SYS_getppid) != child->parent) {
            _exit(127); /* it has ended before it could be told apart */
        }
    }
    if (spawn->directory != NULL && chdir(spawn->directory) != 0) {
        give_up(child, STEP_DIRECTORY);
    }
    move_descriptors(child);
    uint64_t none = 0;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    char *const *envp = spawn->envp != NULL ? (char *const *)(uintptr_t)spawn->envp : environ;
    (void)execve(spawn->program, (char *const *)(uintptr_t)spawn->argv, envp);
    give_up(child, STEP_EXEC);
    return 127;
}

static enum sl_code check(const struct sl__spawn *spawn, int *floor, struct sl_error *error) {
    *floor = 3;
    if (spawn->program == NULL || spawn->argv == NULL || spawn->argv[0] == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "a program to start needs a path and argv[0]");
    }
    if (spawn->fd_count > SL__SPAWN_FDS_MAX) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%zu descriptors for a new process; at most %d are possible",
                            spawn->fd_count, SL__SPAWN_FDS_MAX);
    }
    for (size_t i = 0; i < spawn->fd_count; i++) {
        int target = spawn->fds[i].target;
        if (spawn->fds[i].source < 0 || target < 0 || target > TARGET_MAX) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "descriptor %d cannot become descriptor %d of a new process; 0..%d can",
                                spawn->fds[i].source, target, TARGET_MAX);
        }
        if (target >= *floor) {
            *floor = target + 1;
        }
    }
    return SL_OK;
}

static enum sl_code report(const struct sl__spawn *spawn, enum step step, int number, struct sl_error *error) {
    switch (step) {
    case STEP_GROUP:
        return sl__system_error(error, number, "cannot put \"%s\" into a process group of its own", spawn->program);
    case STEP_DIRECTORY:
        return sl__system_error(error, number, "cannot start \"%s\" in the directory \"%s\"", spawn->program,
                                spawn->directory);
    case STEP_DESCRIPTOR:
        return sl__system_error(error, number, "cannot hand descriptors to \"%s\"", spawn->program);
    default:
        break;
    }
    enum sl_code code = sl__system_error(error, number, "cannot execute \"%s\"", spawn->program);
    if (number == ENOENT || number == ENOTDIR) {
        code = SL_E_NOT_FOUND;
        if (error != NULL) {
            error->code = code;
        }
    }
    return code;
}

/*
 * The thread sanitizer takes every clone() for a fork() and loses its own state when the child shares our memory. The
 * C library's second name for the same function is not intercepted; the caller sleeps until the child is an image of
 * its own, so there is nothing to watch.
 */
#if defined(__SANITIZE_THREAD__) /* gcc */
#define CLONE_UNDER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CLONE_UNDER_THREAD_SANITIZER 1
#endif
#endif
#ifdef CLONE_UNDER_THREAD_SANITIZER
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
#define clone_process __clone
#else
#define clone_process clone
#endif

enum sl_code sl__spawn(const struct sl__spawn *spawn, pid_t *pid, int *pidfd, struct sl_error *error) {
    *pid = -1;
    *pidfd = -1;
    struct child child = {.spawn = spawn, .parent = getpid(), .step = STEP_NONE};
    enum sl_code code = check(spawn, &child.floor, error);
    if (code != SL_OK) {
        return code;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t stack_size = page + STACK_SIZE;
    char *stack = MAP_FAILED;
    if (!sl__sys_fails(SL__CALL_STACK)) {
        stack = mmap(NULL, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    }
    if (stack == MAP_FAILED) {
        return sl__system_error(error, errno, "cannot get a stack for starting \"%s\"", spawn->program);
    }
    (void)mprotect(stack, page, PROT_NONE); /* a guard; without it the stack is still large enough */

    sigset_t all, before;
    int cancel_state;
    sigfillset(&all);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t made = -1;
    int descriptor = -1;
    int number = 0;
    if (sl__sys_fails(SL__CALL_EXEC)) {
        child.step = STEP_EXEC;
        number = errno;
    } else {
        if (!sl__sys_fails(SL__CALL_CLONE)) {
            made = clone_process(run_child, stack + stack_size, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child,
                                 &descriptor);
        }
        number = made < 0 ? errno : child.number;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_setcancelstate(cancel_state, NULL);
    (void)munmap(stack, stack_size);

    if (made < 0 && child.step == STEP_NONE) {
        return sl__system_error(error, number, "cannot create a process for \"%s\"", spawn->program);
    }
    if (child.step != STEP_NONE) {
        if (made >= 0) {
            struct sl__process_end end;
            (void)sl__process_reap(descriptor, true, &end, NULL);
            sl__close(&descriptor);
        }
        return report(spawn, child.step, number, error);
    }
    *pid = made;
    *pidfd = descriptor;
    return SL_OK;
}

static bool executable_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

enum sl_code sl__program_find(const char *name, const char *search_path, char **path, struct sl_error *error) {
    *path = NULL;
    if (strchr(name, '/') != NULL) {
        if (!executable_file(name)) {
            return sl_error_set(error, SL_E_NOT_FOUND, "\"%s\" is not an executable file", name);
        }
        *path = strdup(name);
        return *path != NULL ? SL_OK
                             : sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the path of \"%s\"", name);
    }
    const char *from = search_path != NULL ? search_path : getenv("PATH");
    if (from == NULL) {
        from = "/usr/local/bin:/usr/bin:/bin";
    }
    const char *searched = from;
    size_t name_size = strlen(name);
    char *candidate = malloc(strlen(from) + name_size + 2);
    if (candidate == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the path of \"%s\"", name);
    }
    for (;;) {
        size_t size = strcspn(from, ":");
        memcpy(candidate, from, size);
        size_t used = size;
        if (used > 0) {
            candidate[used++] = '/'; /* an empty entry means the working directory */
        }
        memcpy(candidate + used, name, name_size + 1);
        if (name_size > 0 && executable_file(candidate)) {
            *path = candidate;
            return SL_OK;
        }
        if (from[size] == '\0') {
            break;
        }
        from += size + 1;
    }
    free(candidate);
    return sl_error_set(error, SL_E_NOT_FOUND, "no executable file \"%s\" in the search path %.300s", name, searched);
}
