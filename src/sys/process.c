/* SPDX-License-Identifier: MIT */
#include "sys/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "sys/descriptor.h"
#include "sys/failure.h"
#include "sys/fault.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define SIGNAL_GROUP (1u << 2) /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

pid_t sl__process_id(void) {
    return getpid();
}

pid_t sl__thread_id(void) {
    return (pid_t)syscall(SYS_gettid);
}

enum sl_code sl__process_open(pid_t pid, int *pidfd, struct sl_error *error) {
    *pidfd = sl__sys_fails(SL__CALL_PIDFD_OPEN) ? -1 : (int)syscall(SYS_pidfd_open, pid, 0u);
    if (*pidfd < 0) {
        return sl__system_error(error, errno, "cannot open a pidfd of process %ld", (long)pid);
    }
    return SL_OK;
}

enum sl_code sl__process_signal(int pidfd, int signal_number, struct sl_error *error) {
    if (!sl__sys_fails(SL__CALL_PIDFD_SIGNAL) && syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0u) == 0) {
        return SL_OK;
    }
    if (errno == ESRCH) {
        return sl_error_set(error, SL_E_NOT_FOUND, "the process is gone");
    }
    return sl__system_error(error, errno, "cannot send signal %d to a process", signal_number);
}

enum sl_code sl__process_signal_group(int pidfd, pid_t pid, int signal_number, struct sl_error *error) {
    if (sl__sys_fails(SL__CALL_PIDFD_SIGNAL)) {
        return sl__system_error(error, errno, "cannot send signal %d to the group of process %ld", signal_number,
                                (long)pid);
    }
    if (syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, SIGNAL_GROUP) == 0) {
        return SL_OK;
    }
    /*
     * Older kernels refuse the flag. The pid cannot have been used again when the caller has not reaped the process; where
     * somebody else reaps it, the pidfd knows.
     */
    if (errno == EINVAL || errno == ENOSYS) {
        if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0u) == 0 && kill(-pid, signal_number) == 0) {
            return SL_OK;
        }
    }
    if (errno == ESRCH) {
        return sl_error_set(error, SL_E_NOT_FOUND, "the group of process %ld has no member left", (long)pid);
    }
    return sl__system_error(error, errno, "cannot send signal %d to the group of process %ld", signal_number,
                            (long)pid);
}

enum sl_code sl__process_reap(int pidfd, bool wait, struct sl__process_end *end, struct sl_error *error) {
    *end = (struct sl__process_end){.exit_status = -1};
    siginfo_t status;
    int failed;
    do {
        status = (siginfo_t){0};
        failed = sl__sys_fails(SL__CALL_WAITID)
                     ? -1
                     : waitid((idtype_t)P_PIDFD, (id_t)pidfd, &status, WEXITED | (wait ? 0 : WNOHANG));
        if (failed != 0 && wait && errno == EAGAIN) {
            /* The pidfd was made non-blocking, as an event loop does; that makes waitid return at once. */
            struct pollfd ended = {.fd = pidfd, .events = POLLIN};
            (void)poll(&ended, 1, -1);
            errno = EAGAIN;
        }
    } while (failed != 0 && (errno == EINTR || (wait && errno == EAGAIN)));
    if (failed != 0) {
        if (errno == ECHILD) {
            return sl_error_set(
                error, SL_E_NOT_FOUND,
                "the end of the process cannot be known: it is not a child of this one, was reaped elsewhere, or "
                "the program ignores SIGCHLD");
        }
        return sl__system_error(error, errno, "cannot wait for a process");
    }
    if (status.si_pid == 0) {
        return sl_error_set(error, SL_E_AGAIN, "the process still runs");
    }
    if (status.si_code == CLD_EXITED) {
        end->exit_status = status.si_status;
    } else {
        end->term_signal = status.si_status;
        end->core_dumped = status.si_code == CLD_DUMPED;
    }
    return SL_OK;
}

/* ---- by environment -------------------------------------------------------------------------------------------- */

#define MARK_MIN 8
#define MARK_MAX 63
#define MARKED_ROUNDS_MAX 20 /* each kills what those that it killed have started meanwhile */
#define MARKED_PAUSE_MS 2
#define EXEC_LOOKS_MAX 200 /* at a process that is busy with an exec */
#define EXEC_PAUSE_MS 1
#define ENVIRONMENT_READ 65536
#define ENVIRONMENT_MAX (8u << 20) /* bytes of one that are read */

static bool environment_has(const char *process, const char *mark, char *buffer, bool *empty) {
    char path[280];
    snprintf(path, sizeof path, "/proc/%s/environ", process);
    *empty = false;
    int fd = sl__sys_fails(SL__CALL_OPEN) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t mark_size = strlen(mark), kept = 0, total = 0;
    bool found = false;
    size_t got;
    while (!found && total < ENVIRONMENT_MAX &&
           sl__read(fd, buffer + kept, ENVIRONMENT_READ - kept, &got, NULL) == SL_OK) {
        size_t size = kept + got;
        found = memmem(buffer, size, mark, mark_size) != NULL;
        kept = size < mark_size - 1 ? size : mark_size - 1; /* it may lie across two reads */
        memmove(buffer, buffer + size - kept, kept);
        total += got;
    }
    *empty = total == 0;
    sl__close(&fd);
    return found;
}

/*
 * Whether an environment that reads as empty may be another one in a moment: while one program replaces another (execve) the new
 * memory has neither an environment nor, until the end, code. Threads of the kernel and the dead have no memory. Fields 23, 26, 50 and 51 of
 * proc_pid_stat(5).
 */
static bool is_in_exec(const char *process, char *buffer) {
    char path[280];
    snprintf(path, sizeof path, "/proc/%s/stat", process);
    int fd = sl__sys_fails(SL__CALL_OPEN) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t size = 0;
    bool was_read = sl__read(fd, buffer, ENVIRONMENT_READ - 1, &size, NULL) == SL_OK;
    sl__close(&fd);
    buffer[size] = '\0';
    const char *field = was_read ? strrchr(buffer, ')') : NULL; /* the end of field 2, which may hold anything */
    unsigned long long memory = 0, code = 0, start = 0, end = 0;
    for (int number = 3; field != NULL && number <= 51; number++) {
        field = strchr(field + 1, ' ');
        unsigned long long value = field == NULL ? 0 : strtoull(field + 1, NULL, 10);
        memory = number == 23 ? value : memory;
        code = number == 26 ? value : code;
        start = number == 50 ? value : start;
        end = number == 51 ? value : end;
    }
    return field != NULL && memory > 0 && (code == 0 || start < end);
}

static bool is_marked(const char *process, const char *mark, char *buffer) {
    for (int look = 0; look < EXEC_LOOKS_MAX; look++) {
        bool empty;
        if (environment_has(process, mark, buffer, &empty)) {
            return true;
        }
        if (!empty || !is_in_exec(process, buffer)) {
            return false;
        }
        (void)poll(NULL, 0, EXEC_PAUSE_MS);
    }
    return false;
}

static uint32_t kill_marked_once(const char *mark, char *buffer) {
    DIR *all = sl__sys_fails(SL__CALL_DIRECTORY) ? NULL : opendir("/proc");
    if (all == NULL) {
        return 0;
    }
    uint32_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(all)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid() || !is_marked(entry->d_name, mark, buffer)) {
            continue;
        }
        /* Between the look and the signal the number could become another's: so it is held fast, and looked at again. */
        int pidfd = -1;
        if (sl__process_open((pid_t)pid, &pidfd, NULL) == SL_OK && is_marked(entry->d_name, mark, buffer) &&
            sl__process_signal(pidfd, SIGKILL, NULL) == SL_OK) {
            count++;
        }
        sl__close(&pidfd);
    }
    (void)closedir(all);
    return count;
}

uint32_t sl__process_kill_marked(const char *mark) {
    SL_ASSERT(strlen(mark) >= MARK_MIN && strlen(mark) <= MARK_MAX);
    char *buffer = malloc(ENVIRONMENT_READ);
    uint32_t count = 0, now = 1;
    for (int round = 0; buffer != NULL && now > 0 && round < MARKED_ROUNDS_MAX; round++) {
        now = kill_marked_once(mark, buffer);
        count += now;
        if (now > 0) {
            (void)poll(NULL, 0, MARKED_PAUSE_MS); /* those that die are seen until they have */
        }
    }
    free(buffer);
    return count;
}
