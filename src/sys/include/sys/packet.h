/* SPDX-License-Identifier: MIT */
/*
 * Packets with file descriptors over a pair of connected sockets (AF_UNIX, SOCK_SEQPACKET): a packet arrives whole or not at
 * all. No call raises SIGPIPE.
 */
#ifndef SLITHER_SYS_PACKET_H
#define SLITHER_SYS_PACKET_H

#include <slither/error.h>

#define SL__PACKET_FDS_MAX 64 /* descriptors in one packet */

enum sl__packet_flag {
    SL__PACKET_NOWAIT = 1, /* again instead of blocking */
    SL__PACKET_ONCE = 2    /* receive: again when a signal handler ran while it was blocked */
};

/** Both ends close-on-exec and blocking. */
enum sl_code sl__packet_pair(int fds[2], struct sl_error *error);

/**
 * Sends one packet of `size` bytes (1 ..) with `fd_count` descriptors (0..SL__PACKET_FDS_MAX), which stay the caller's.
 * Errors: again (NOWAIT: the queue is full), closed (the other end is gone), limit_exceeded (packet too large, or too many
 * descriptors in flight), system.
 */
enum sl_code sl__packet_send(int socket, const void *memory, size_t size, const int *fds, size_t fd_count,
                             uint32_t flags, struct sl_error *error);

/**
 * Receives one packet. `*size` bytes of at most `capacity`; `*fd_count` descriptors of at most `fd_max`, which become the
 * caller's and are close-on-exec. On any failure no descriptor is left open.
 * Errors: again (NOWAIT: none there), end (the other end is closed), protocol (larger than `capacity`, more descriptors than
 * `fd_max`, or some were lost on the way because this process has too many files open), system.
 */
enum sl_code sl__packet_receive(int socket, void *memory, size_t capacity, size_t *size, int *fds, size_t fd_max,
                                size_t *fd_count, uint32_t flags, struct sl_error *error);

/** Whether a packet (or the end) is there to be received. */
bool sl__packet_waiting(int socket);

#endif
