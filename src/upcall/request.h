/* SPDX-License-Identifier: MIT */
/* A request, checked. Nothing that a worker sends is believed: copied once (by the kernel, into our memory), checked, then used. */
#ifndef SLITHER_UPCALL_REQUEST_H
#define SLITHER_UPCALL_REQUEST_H

#include <stddef.h>

#include <slither/value.h>

#include "upcall/call.h"

struct sl__request_in {
    uint64_t number;
    enum sl__call_mode mode;
    uint32_t timeout_ms;
    uint64_t session;
    const char *name; /* in the packet; UTF-8, not NUL-terminated */
    size_t name_size;
    struct sl_value positional, keywords; /* of mode ONE: a list, a map */
    struct sl_value keys;                 /* of mode MANY: a list */
    void *mapping;                        /* the payload's memory file, or NULL */
    size_t mapping_size;
};

/*
 * Reads a packet of `size` bytes that came with `fd_count` descriptors, which are closed in any case. What `in` points to lies in the packet
 * or in its mapping. protocol, invalid_data, invalid_utf8, limit_exceeded: the worker sent what it must not. out_of_memory, system: this
 * host lacks something, `in->number` is set and can be answered.
 */
enum sl_code sl__request_read(const uint8_t *packet, size_t size, int *fds, size_t fd_count, struct sl__request_in *in,
                              struct sl_error *error);
/* Unmaps. Zeroed is fine. */
void sl__request_finish(struct sl__request_in *in);

#endif
