/* SPDX-License-Identifier: MIT */
#include "sys/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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
