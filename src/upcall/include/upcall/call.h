/* SPDX-License-Identifier: MIT */
/*
 * What a worker and its host say over the call socket (SOCK_SEQPACKET): a worker asks, its host answers, each with one packet of
 * at most SL__CALL_PACKET_MAX bytes. Both run on one machine and are of one build: the heads travel as they are.
 *
 *   request   struct sl__call_request, the view's name (UTF-8, no NUL), the payload
 *   reply     struct sl__call_reply, the payload
 *
 * A payload is one value. Where it does not fit the packet it lies in a memory file that is sealed against writing, shrinking and growing
 * (SL__CALL_IN_FILE), whose descriptor comes with the packet; the file may be larger than the payload.
 *
 *   request of mode ONE    [[positional...], {keyword: value}]
 *   request of mode MANY   [key...]
 *   reply RESULT           the result; of mode MANY a list with an entry for each key
 *   other replies          {"message": str, "traceback": str}; the traceback may be missing
 *
 * Several requests may be under way at once; their replies come in any order, and `number` says to which they belong. Each request gets
 * exactly one reply, as long as both sides live: the host answers when the view's time is up, too.
 */
#ifndef SLITHER_UPCALL_CALL_H
#define SLITHER_UPCALL_CALL_H

#include <stdint.h>

#define SL__CALL_PACKET_MAX 65536
#define SL__CALL_PAYLOAD_MAX ((uint64_t)1 << 30)
#define SL__CALL_NAME_MAX 128   /* bytes */
#define SL__CALL_PENDING_MAX 64 /* requests of one worker without a reply */

enum sl__call_mode { SL__CALL_ONE = 1, SL__CALL_MANY = 2 };

enum sl__call_flag { SL__CALL_IN_FILE = 1 };

enum sl__call_outcome {
    SL__CALL_RESULT = 1,
    SL__CALL_FAILED = 2,   /* `code` says how; by the view, or because of a bound */
    SL__CALL_UNKNOWN = 3,  /* there is no such view */
    SL__CALL_TIMED_OUT = 4 /* the view runs on; what comes of it is dropped */
};

struct sl__call_request {
    uint64_t number; /* from 1, counted by the worker */
    uint64_t size;   /* bytes of the payload */
    uint32_t mode;
    uint32_t flags;
    uint32_t
        timeout_ms; /* how long the worker is willing to wait; 0: as long as the view says. The shorter of the two counts */
    uint32_t name_size; /* 1..SL__CALL_NAME_MAX */
    uint64_t session;   /* that the calling code works for; 0: none */
};

struct sl__call_reply {
    uint64_t number;
    uint64_t size;
    uint32_t outcome;
    uint32_t flags;
    uint32_t code; /* enum sl_code; of FAILED */
    uint32_t unused;
};

#endif
