/* SPDX-License-Identifier: MIT */
/* One batch, one call, for rooms that want to know more of the reply than sl_call_batch() says. */
#ifndef SLITHER_DISPATCH_CALL_H
#define SLITHER_DISPATCH_CALL_H

#include <slither/dispatch.h>

/* sl_call_batch(). `*ref_count`: refs in its results, all of them refs of the run's session, from the worker that answered. 0 without options->refs. */
enum sl_code sl__call_batch(struct sl_pool *pool, const struct sl_dispatch_options *options,
                            const struct sl_item *items, uint32_t count, struct sl_results *results,
                            uint64_t *ref_count, struct sl_error *error);

#endif
