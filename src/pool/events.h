/* SPDX-License-Identifier: MIT */
/* What a pool tells the runtime's handlers of events. Without the lock. */
#ifndef SLITHER_POOL_EVENTS_H
#define SLITHER_POOL_EVENTS_H

#include "pool.h"

/* `begin_ns`: since when it has been made. */
void sl__pool_tell_started(const struct sl_pool *pool, uint64_t begin_ns);
void sl__pool_tell_start_failed(const struct sl_pool *pool, uint64_t begin_ns, enum sl_code code);
void sl__pool_tell_template_ready(const struct sl_pool *pool, bool forks);
void sl__pool_tell_resized(const struct sl_pool *pool, uint32_t worker_min, uint32_t worker_max);
void sl__pool_tell_exhausted(const struct sl_pool *pool, uint32_t waiting);
/* Loop thread, which alone writes the failure once the circuit is open. */
void sl__pool_tell_circuit_opened(const struct sl_pool *pool, uint64_t cooldown_ms);
void sl__pool_tell_circuit_half_opened(const struct sl_pool *pool);
void sl__pool_tell_circuit_closed(const struct sl_pool *pool);
void sl__pool_tell_draining(const struct sl_pool *pool, uint32_t timeout_ms);
void sl__pool_tell_stopped(const struct sl_pool *pool);
void sl__pool_tell_recycled(const struct sl_pool *pool, uint32_t worker, uint32_t generation,
                            enum sl__recycle_reason reason);

#endif
