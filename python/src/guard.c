/* SPDX-License-Identifier: MIT */
/*
 * Guard: a template's children, and how they end.
 *
 * Two kinds of children end here. Workers, whose end is reported; and what the code of a worker has started and left behind: the
 * template is their subreaper, so they become its children when their parent dies, whatever session they went to.
 *
 * A worker is looked at before it is reaped (WNOWAIT): while its leader is a zombie the number of its group is
 * certainly its own, so what is left of the group can be killed by number. Without that look the number might be somebody else's.
 */
#include "module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"

#define END_MS 5000      /* for killing all; a process that the kernel holds is left to it */
#define END_ROUND_MS 5   /* pause between two rounds of that, unless a child ends sooner */
#define ADOPTED_MAX 1024 /* children that are killed in one round */
#define HOLD_MS 200      /* for the other threads to stand still; one may never do so, as it blocks all signals */
#define HOLD_SIGNAL SIGRTMAX

/* As they were before the guard, for the children. */
static sigset_t mask_before;
static struct sigaction action_before;

int sl__guard_adopt(void) {
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 ? errno : 0;
}

int sl__guard_init(struct sl__guard *guard) {
    *guard = (struct sl__guard){.signals = -1};
    /* Imported code may have chosen to ignore the ends of children, which would keep them from us. */
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t ends;
    sigemptyset(&by_default.sa_mask);
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    (void)sigaction(SIGCHLD, &by_default, &action_before);
    (void)sigprocmask(SIG_BLOCK, &ends, &mask_before);
    guard->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    return guard->signals >= 0 ? 0 : errno;
}

void sl__guard_leave(struct sl__guard *guard) {
    (void)close(guard->signals);
    free(guard->pids);
    *guard = (struct sl__guard){.signals = -1};
    (void)sigaction(SIGCHLD, &action_before, NULL);
    (void)sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

bool sl__guard_reserve(struct sl__guard *guard) {
    if (guard->count < guard->capacity) {
        return true;
    }
    size_t capacity = guard->capacity > 0 ? guard->capacity * 2 : 16;
    pid_t *pids = capacity <= SL__GUARD_CHILDREN_MAX ? realloc(guard->pids, capacity * sizeof(*pids)) : NULL;
    if (pids == NULL) {
        return false;
    }
    guard->pids = pids;
    guard->capacity = capacity;
    return true;
}

void sl__guard_add(struct sl__guard *guard, pid_t pid) {
    guard->pids[guard->count++] = pid;
}

/* ---- ends ------------------------------------------------------------------------------------------------------ */

static size_t find(const struct sl__guard *guard, pid_t pid) {
    size_t i = 0;
    while (i < guard->count && guard->pids[i] != pid) {
        i++;
    }
    return i;
}

static void reap_worker(struct sl__guard *guard, size_t place, const siginfo_t *end, sl__guard_ended_fn *ended,
                        void *context) {
    pid_t pid = guard->pids[place];
    (void)kill(-pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    guard->pids[place] = guard->pids[--guard->count];
    bool exited = end->si_code == CLD_EXITED;
    ended(context, pid, exited ? end->si_status : -1, exited ? 0 : end->si_status, end->si_code == CLD_DUMPED);
}

void sl__guard_reap(struct sl__guard *guard, sl__guard_ended_fn *ended, void *context) {
    struct signalfd_siginfo seen;
    while (read(guard->signals, &seen, sizeof seen) > 0) {
    }
    for (;;) {
        siginfo_t end = {0};
        if (waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) != 0 || end.si_pid == 0) {
            return;
        }
        size_t place = find(guard, end.si_pid);
        if (place < guard->count) {
            reap_worker(guard, place, &end, ended, context);
        } else {
            (void)waitpid(end.si_pid, NULL, 0);
        }
    }
}

/* ---- the end of all -------------------------------------------------------------------------------------------- */

/* From here on no memory is asked for, and no lock: a thread that stands still may have it. */

/* The numbers among the names in a directory. */
struct numbers {
    int fd;
    ssize_t size, at;
    _Alignas(struct dirent64) char names[4096];
};

static bool numbers_open(struct numbers *numbers, const char *path) {
    numbers->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    numbers->size = numbers->at = 0;
    return numbers->fd >= 0;
}

/* 0: no more; and it is closed. */
static long numbers_next(struct numbers *numbers) {
    for (;;) {
        if (numbers->at == numbers->size) {
            numbers->size = getdents64(numbers->fd, numbers->names, sizeof numbers->names);
            numbers->at = 0;
            if (numbers->size <= 0) {
                (void)close(numbers->fd);
                return 0;
            }
        }
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(numbers->names + numbers->at);
        numbers->at += entry->d_reclen;
        long number = atol(entry->d_name);
        if (number > 0) {
            return number;
        }
    }
}

/* The parent of a process as /proc says it; 0 when it cannot be told. */
static pid_t parent_of(pid_t pid) {
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name of a program may contain anything */
    long parent = 0;
    if (name_end == NULL || sscanf(name_end + 1, " %*c %ld", &parent) != 1) {
        return 0;
    }
    return (pid_t)parent;
}

static void kill_one(pid_t pid) {
    if (getpgid(pid) == pid) {
        (void)kill(-pid, SIGKILL);
    }
    (void)kill(pid, SIGKILL);
}

/* The children that a thread has made or adopted. False: the kernel does not keep such a list. */
static bool kill_children_of(long thread) {
    char path[64], text[ADOPTED_MAX * 8];
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", thread);
    int list = open(path, O_RDONLY | O_CLOEXEC);
    if (list < 0) {
        return errno != ENOENT || access("/proc/thread-self/children", F_OK) == 0;
    }
    size_t size = 0;
    ssize_t got;
    while (size < sizeof text - 1 && (got = read(list, text + size, sizeof text - 1 - size)) > 0) {
        size += (size_t)got;
    }
    (void)close(list);
    text[size] = '\0';
    char *rest = text;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        /* The last may have been cut off: the rounds that follow see it whole. */
        if (*word != '\0' && (rest != NULL || size < sizeof text - 1)) {
            kill_one((pid_t)atol(word));
        }
    }
    return true;
}

/* A child cannot go away between being seen and being killed: nobody but us reaps it. (An import that is interrupted may; it is over with it.) */
static void kill_children(pid_t self) {
    bool listed = false;
    struct numbers threads, all;
    if (numbers_open(&threads, "/proc/self/task")) {
        listed = true;
        for (long thread; (thread = numbers_next(&threads)) != 0;) {
            listed = kill_children_of(thread) && listed;
        }
    }
    if (listed || !numbers_open(&all, "/proc")) {
        return;
    }
    /* A kernel without that list. */
    for (long pid; (pid = numbers_next(&all)) != 0;) {
        if (parent_of((pid_t)pid) == self) {
            kill_one((pid_t)pid);
        }
    }
}

static _Atomic unsigned held_count; /* by nature once a process, which is about to end */

static void stand_still(int signal_number) {
    (void)signal_number;
    atomic_fetch_add(&held_count, 1);
    for (;;) {
        (void)pause(); /* all signals are blocked: until the process ends */
    }
}

/* Has all other threads stand still, and says whether they do: the next child of one that does not could come when nobody looks any more. */
static bool hold_others(void) {
    unsigned count = 0;
    long self = syscall(SYS_gettid);
    struct sigaction action = {.sa_handler = stand_still};
    struct numbers threads;
    if (!numbers_open(&threads, "/proc/self/task")) {
        return false;
    }
    sigfillset(&action.sa_mask);
    (void)sigaction(HOLD_SIGNAL, &action, NULL);
    for (long thread; (thread = numbers_next(&threads)) != 0;) {
        if (thread != self) {
            count++;
            (void)syscall(SYS_tgkill, getpid(), thread, HOLD_SIGNAL);
        }
    }
    return atomic_load(&held_count) >= count;
}

/*
 * Those that a dying process leaves behind become our children, and are seen in the next round; so the rounds end when there is no child
 * left, and nobody who could make one. The workers go first: they are known, and what may be stopped or stuck in C does not matter to SIGKILL.
 */
void sl__guard_end(const struct sl__guard *guard) {
    pid_t self = getpid();
    for (size_t i = 0; guard != NULL && i < guard->count; i++) {
        (void)kill(-guard->pids[i], SIGKILL);
        (void)kill(guard->pids[i], SIGKILL);
    }
    uint64_t deadline_ns = sl__clock_deadline_ms(END_MS), hold_deadline_ns = sl__clock_deadline_ms(HOLD_MS);
    bool alone;
    do {
        alone = hold_others() || sl__clock_passed(hold_deadline_ns);
        kill_children(self);
        struct pollfd ends = {.fd = guard != NULL ? guard->signals : -1, .events = POLLIN};
        struct signalfd_siginfo seen;
        if (poll(&ends, 1, END_ROUND_MS) > 0) {
            while (read(ends.fd, &seen, sizeof seen) > 0) {
            }
        }
        pid_t reaped;
        do {
            reaped = waitpid(-1, NULL, WNOHANG);
        } while (reaped > 0);
        if (alone && reaped < 0 && errno == ECHILD) {
            break;
        }
    } while (!sl__clock_passed(deadline_ns));
    _exit(0);
}
