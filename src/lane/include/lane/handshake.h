/* SPDX-License-Identifier: MIT */
/*
 * What the host's supervising thread and a worker say to each other over the life-cycle socket (SOCK_SEQPACKET).
 *
 * The socket is descriptor SL__WORKER_FD of the fresh worker. Each message is one MessagePack map in one packet of at most
 * SL__MESSAGE_MAX bytes; the key "type" (str) says which.
 *
 *   host -> worker
 *     config   {"type", "protocol": SL__PROTOCOL, "layout": fingerprint (sl__lane_layout), "worker", "generation", "segment_bytes",
 *               "payload_bytes_max", "depth_max", "preload": [str...]}
 *              with the SL__LANE_FDS descriptors of the lane as SCM_RIGHTS. First message, once.
 *     stop     {"type"}: finish the batch that runs, take no other, run exit handlers, exit 0
 *   worker -> host
 *     ready    {"type", "pid", "python": "3.11.2", "executable", "gil": bool}
 *     failed   {"type", "code": name of an sl_code, "message", "traceback" (may be ""), "executable", "python"}; the worker then exits with 1.
 *              Texts are cut so that the packet fits: the end of a traceback is kept.
 *
 * End of file on the socket means that the host is gone, or gives the worker up: it ends at once, whatever it is doing.
 */
#ifndef SLITHER_LANE_HANDSHAKE_H
#define SLITHER_LANE_HANDSHAKE_H

#include <stdint.h>

#define SL__WORKER_FD 3
#define SL__PROTOCOL 1
#define SL__MESSAGE_MAX 65536

/* A number made of the sizes and offsets of everything that lies in shared memory, and of the protocol: both sides must agree. */
uint64_t sl__lane_layout(void);

#endif
