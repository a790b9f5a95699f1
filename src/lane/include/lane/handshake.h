/* SPDX-License-Identifier: MIT */
/*
 * What the host's supervising thread and a worker say to each other over the life-cycle socket (SOCK_SEQPACKET).
 *
 * The socket is descriptor SL__WORKER_FD of the fresh worker. Each message is one MessagePack map in one packet of at most
 * SL__MESSAGE_MAX bytes; the key "type" (str) says which.
 *
 *   host -> worker
 *     config   {"type", "protocol": SL__PROTOCOL, "layout": fingerprint (sl__lane_layout), "worker", "generation", "segment_bytes",
 *               "payload_bytes_max", "depth_max", "memory_max": bytes of RLIMIT_DATA or 0, "preload": [str...]}
 *              with the SL__LANE_FDS descriptors of the lane, one of the black box, and the worker's end of its call socket (upcall/call.h), which
 *              a host that offers no views leaves out, as SCM_RIGHTS. First message, once.
 *     ask      {"type", "number", "stack_ms"}: say what you are doing; unless stack_ms is 0, write the Python stack of all threads into the
 *              black box before, and take at most that long
 *     drop     {"type", "early": bool, "sessions": bin of u64 ids, "refs": bin of (u64 session, u64 object, u32 count)}: let go of what these sessions
 *              hold here, and of objects as many times as they have travelled; all numbers little endian, without gaps. Done between two batches: as
 *              soon as there is such a moment when it is `early` (no batch in the lane has to do with them), else after those that were published
 *              before; of each kind in the order of the messages. Nothing is answered. Ids that are not known here are fine.
 *     stop     {"type"}: finish the batch that runs, take no other, checkpoint and close the sessions, run exit handlers, exit 0
 *   worker -> host
 *     ready    {"type", "pid", "python": "3.11.2", "executable", "gil": bool}
 *     failed   {"type", "code": name of an sl_code, "message", "traceback" (may be ""), "executable", "python"}; the worker then exits with 1.
 *              Texts are cut so that the packet fits: the end of a traceback is kept.
 *     state    {"type", "number": of the question, "activity": name of an enum sl_activity, "stuck_ms": for how long no bytecode has been executed,
 *              as far as it is known, "stack": bool}. Comes from a thread that needs no GIL. Only as an answer to ask, once each.
 *
 * The black box is a memory file of SL__BLACK_BOX_SIZE bytes, one for each life. Where the process is when a signal ends it, and where it is when it
 * is asked, is written into it as text, from its start; zeros follow. The host reads it, and trusts nothing in it.
 *
 * End of file on the socket means that the host is gone, or gives the worker up: it ends at once, whatever it is doing.
 *
 * A template (docs/design/0008-template.md) has such a socket too, as the same descriptor. What it starts is a worker like any other, with a
 * life-cycle socket of its own.
 *
 *   host -> template
 *     prepare      {"type", "protocol": SL__PROTOCOL, "fork": bool, "argv": [bin...], "preload": [str...]}. First message, once. "fork": import
 *                  the preload list, and fork workers; else, and where the imports do not allow it, workers are started as programs of their
 *                  own, with these arguments, of which the first is the program.
 *     start        {"type", "worker", "generation"} with SL__START_FDS descriptors: what is to be 1, 2 and SL__WORKER_FD of the child. Answered
 *                  in the order of the requests.
 *     stop         {"type"}: kill what is left of the children and of what descends from them, and exit 0
 *   template -> host
 *     ready        as a worker's, and {"fork": bool, "reason" (why not, when it was asked to; may be "")}: it can be asked to start workers
 *     failed       as a worker's: no worker could do these imports
 *     started      {"type", "worker", "generation", "pid"} with a pidfd of the child
 *     start_failed {"type", "worker", "generation", "errno"}
 *     ended        {"type", "pid", "status", "signal", "core": bool}: status -1 when a signal ended it, else signal 0. The child has been reaped,
 *                  and what was left of its process group has been killed before.
 *
 * End of file on a template's socket: as stop, at once, also while it imports.
 */
#ifndef SLITHER_LANE_HANDSHAKE_H
#define SLITHER_LANE_HANDSHAKE_H

#include <stdint.h>

#define SL__WORKER_FD 3
#define SL__START_FDS 3
#define SL__PROTOCOL 6
#define SL__CONFIG_FDS_EXTRA 1 /* beside those of the lane: the black box */
#define SL__CONFIG_FDS_MAX 5   /* and the call socket, the last, which may be missing */
#define SL__BLACK_BOX_SIZE 65536
#define SL__MESSAGE_MAX 65536

/* A number made of the sizes and offsets of everything that lies in shared memory, and of the protocol: both sides must agree. */
uint64_t sl__lane_layout(void);

#endif
