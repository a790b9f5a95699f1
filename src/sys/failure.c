/* SPDX-License-Identifier: MIT */
#include "sys/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a user can do about it; "" where only the text of the system helps. */
static const char *advice(int number) {
    switch (number) {
    case EMFILE:
        return "; raise the limit of open files of this process (ulimit -n)";
    case ENFILE:
        return "; the whole system has too many files open (fs.file-max)";
    case ENOMEM:
        return "; free memory, lower the number of workers, or raise vm.max_map_count and the memory limit of the "
               "control group";
    case ENOSPC:
        return "; the memory that the system grants to shared memory files is used up";
    case EAGAIN:
        return "; the limit of processes or of locked resources is reached (ulimit -u, pids.max of the control group)";
    case ENOSYS:
        return "; Linux 5.16 or newer is needed";
    case EPERM:
        return "; a sandbox or seccomp filter may forbid the call";
    case ETOOMANYREFS:
        return "; too many descriptors are on their way through sockets (ulimit -n)";
    default:
        return "";
    }
}

enum sl_code sl__system_error(struct sl_error *error, int number, const char *format, ...) {
    enum sl_code code = number == ENOMEM ? SL_E_OUT_OF_MEMORY : SL_E_SYSTEM;
    if (error == NULL) {
        return code;
    }
    char what[SL_ERROR_MESSAGE_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    char buffer[96];
    const char *text = strerror_r(number, buffer, sizeof buffer); /* the GNU form: returns the text */
    sl_error_set(error, code, "%s: %s%s", what, text, advice(number));
    error->system_errno = number;
    return code;
}
