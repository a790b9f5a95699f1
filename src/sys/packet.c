/* SPDX-License-Identifier: MIT */
#include "sys/packet.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/macros.h"
#include "sys/failure.h"
#include "sys/fault.h"

/* A control buffer for SL__PACKET_FDS_MAX descriptors, aligned as struct cmsghdr wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * SL__PACKET_FDS_MAX)];
};

enum sl_code sl__packet_pair(int fds[2], struct sl_error *error) {
    if (sl__sys_fails(SL__CALL_SOCKETPAIR) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
        fds[0] = fds[1] = -1;
        return sl__system_error(error, errno, "cannot create a socket pair");
    }
    return SL_OK;
}

enum sl_code sl__packet_send(int socket, const void *memory, size_t size, const int *fds, size_t fd_count,
                             uint32_t flags, struct sl_error *error) {
    SL_ASSERT(size > 0 && fd_count <= SL__PACKET_FDS_MAX);
    struct iovec part = {.iov_base = (void *)(uintptr_t)memory, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    int how = MSG_NOSIGNAL | ((flags & SL__PACKET_NOWAIT) != 0 ? MSG_DONTWAIT : 0);
    for (;;) {
        ssize_t sent = sl__sys_fails(SL__CALL_SENDMSG) ? -1 : sendmsg(socket, &message, how);
        if (sent >= 0) {
            SL_ASSERT((size_t)sent == size); /* packets go whole */
            return SL_OK;
        }
        switch (errno) {
        case EINTR:
            continue;
        case EAGAIN:
            return sl_error_set(error, SL_E_AGAIN, "the other end of the socket has not taken what was sent before");
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
            return sl_error_set(error, SL_E_CLOSED, "the other end of the socket is closed");
        case EMSGSIZE:
        case ETOOMANYREFS:
            (void)sl__system_error(error, errno, "cannot send a packet of %zu bytes with %zu descriptors", size,
                                   fd_count);
            if (error != NULL) {
                error->code = SL_E_LIMIT;
            }
            return SL_E_LIMIT;
        default:
            return sl__system_error(error, errno, "cannot send a packet of %zu bytes with %zu descriptors", size,
                                    fd_count);
        }
    }
}

/* Collects the descriptors of a message. Those that find no room are closed and counted in `*excess`. */
static void collect_fds(struct msghdr *message, int *fds, size_t fd_max, size_t *fd_count, size_t *excess) {
    *fd_count = 0;
    *excess = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            if (*fd_count < fd_max) {
                fds[(*fd_count)++] = fd;
            } else {
                (void)close(fd);
                (*excess)++;
            }
        }
    }
}

enum sl_code sl__packet_receive(int socket, void *memory, size_t capacity, size_t *size, int *fds, size_t fd_max,
                                size_t *fd_count, uint32_t flags, struct sl_error *error) {
    SL_ASSERT(capacity > 0 && fd_max <= SL__PACKET_FDS_MAX);
    *size = 0;
    *fd_count = 0;
    union control control;
    struct iovec part = {.iov_base = memory, .iov_len = capacity};
    struct msghdr message = {0};
    ssize_t got;
    for (uint32_t resets = 0;;) {
        /* Room for one more than is allowed, so that an excess is seen rather than dropped. */
        message = (struct msghdr){.msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = CMSG_SPACE(sizeof(int) * SL_MIN(fd_max + 1, SL__PACKET_FDS_MAX))};
        int how = MSG_CMSG_CLOEXEC | ((flags & SL__PACKET_NOWAIT) != 0 ? MSG_DONTWAIT : 0);
        got = sl__sys_fails(SL__CALL_RECVMSG) ? -1 : recvmsg(socket, &message, how);
        if (got >= 0) {
            break;
        }
        if (errno == EINTR && (flags & SL__PACKET_ONCE) == 0) {
            continue;
        }
        /* The other end closed with something of ours unread. Said once; what it had sent before can still be received. */
        if (errno == ECONNRESET && resets++ == 0) {
            continue;
        }
        if (errno == EAGAIN || errno == EINTR) {
            return sl_error_set(error, SL_E_AGAIN, "no packet has arrived yet");
        }
        if (errno == ECONNRESET || errno == ENOTCONN) {
            return sl_error_set(error, SL_E_END, "the other end of the socket is closed");
        }
        return sl__system_error(error, errno, "cannot receive a packet");
    }
    size_t excess;
    collect_fds(&message, fds, fd_max, fd_count, &excess);
    if (got > 0 && excess == 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) {
        *size = (size_t)got;
        return SL_OK;
    }
    for (size_t i = 0; i < *fd_count; i++) {
        (void)close(fds[i]);
    }
    *fd_count = 0;
    if (got == 0) {
        return sl_error_set(error, SL_E_END, "the other end of the socket is closed");
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
        return sl_error_set(error, SL_E_PROTOCOL, "a packet is larger than the %zu bytes that were expected at most",
                            capacity);
    }
    return sl_error_set(
        error, SL_E_PROTOCOL,
        "a packet carries more than %zu descriptors, or some could not be received because too many files are "
        "open in this process (ulimit -n)",
        fd_max);
}

bool sl__packet_waiting(int socket) {
    struct pollfd entry = {.fd = socket, .events = POLLIN};
    int found;
    do {
        found = sl__sys_fails(SL__CALL_POLL) ? -1 : poll(&entry, 1, 0);
    } while (found < 0 && errno == EINTR);
    return found > 0;
}
