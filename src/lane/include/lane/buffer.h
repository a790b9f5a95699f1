/* SPDX-License-Identifier: MIT */
/* Private side of shared buffers (slither/buffer.h): where ids come from, and how a lane learns that one is gone. */
#ifndef SLITHER_LANE_BUFFER_H
#define SLITHER_LANE_BUFFER_H

#include <stdatomic.h>

#include <slither/buffer.h>

/* One per runtime; must outlive its buffers. Zeroed is valid. Ids of a lane's own payload files and of shared buffers come from
 * different ranges: bit 63 is set in those of a lane, which count per lane. */
struct sl__buffer_home {
    _Atomic uint64_t last_id;
    _Atomic uint64_t
        death_count; /* a lane that sees it change tells its worker to forget the dead ones, before its next request */
};

enum sl_code sl__buffer_create(struct sl__buffer_home *home, uint64_t size, struct sl_buffer **buffer,
                               struct sl_error *error);

#endif
