/* SPDX-License-Identifier: MIT */
#include "sys/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys/failure.h"
#include "sys/fault.h"

void sl__close(int *fd) {
    if (*fd >= 0) {
        int saved = errno;
        (void)close(*fd);
        errno = saved;
        *fd = -1;
    }
}

enum sl_code sl__pipe_create(int *read_end, int *write_end, struct sl_error *error) {
    int fds[2];
    if (sl__sys_fails(SL__CALL_PIPE) || pipe2(fds, O_CLOEXEC) != 0) {
        return sl__system_error(error, errno, "cannot create a pipe");
    }
    *read_end = fds[0];
    *write_end = fds[1];
    return SL_OK;
}

enum sl_code sl__set_nonblocking(int fd, struct sl_error *error) {
    int flags = sl__sys_fails(SL__CALL_FCNTL) ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || sl__sys_fails(SL__CALL_FCNTL) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return sl__system_error(error, errno, "cannot make descriptor %d non-blocking", fd);
    }
    return SL_OK;
}

enum sl_code sl__read(int fd, void *memory, size_t capacity, size_t *size, struct sl_error *error) {
    for (;;) {
        size_t wanted = capacity;
        ssize_t got = sl__sys_fails_or_cuts(SL__CALL_READ, &wanted) ? -1 : read(fd, memory, wanted);
        if (got > 0) {
            *size = (size_t)got;
            return SL_OK;
        }
        *size = 0;
        if (got == 0) {
            return sl_error_set(error, SL_E_END, "descriptor %d is at its end", fd);
        }
        if (errno == EAGAIN) {
            return sl_error_set(error, SL_E_AGAIN, "nothing to read from descriptor %d now", fd);
        }
        if (errno != EINTR) {
            return sl__system_error(error, errno, "cannot read from descriptor %d", fd);
        }
    }
}

enum sl_code sl__write_all(int fd, const void *memory, size_t size, struct sl_error *error) {
    const unsigned char *from = memory;
    while (size > 0) {
        size_t wanted = size;
        ssize_t put = sl__sys_fails_or_cuts(SL__CALL_WRITE, &wanted) ? -1 : write(fd, from, wanted);
        if (put >= 0) {
            from += put;
            size -= (size_t)put;
        } else if (errno == EPIPE) {
            return sl_error_set(error, SL_E_CLOSED, "nobody reads from descriptor %d any more", fd);
        } else if (errno != EINTR) {
            return sl__system_error(error, errno, "cannot write to descriptor %d", fd);
        }
    }
    return SL_OK;
}

enum sl_code sl__open_null(int *fd, struct sl_error *error) {
    *fd = sl__sys_fails(SL__CALL_OPEN) ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
    if (*fd < 0) {
        return sl__system_error(error, errno, "cannot open /dev/null");
    }
    return SL_OK;
}

enum sl_code sl__duplicate(int fd, int *copy, struct sl_error *error) {
    *copy = sl__sys_fails(SL__CALL_DUP) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (*copy < 0) {
        return sl__system_error(error, errno, "cannot duplicate descriptor %d", fd);
    }
    return SL_OK;
}
