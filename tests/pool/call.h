/* SPDX-License-Identifier: MIT */
/* One batch through a lease, by hand: what a dispatch does, without the rooms above the pool. */
#ifndef SLITHER_TESTS_POOL_CALL_H
#define SLITHER_TESTS_POOL_CALL_H

#include "testing/fixture.h"

#include <slither/value.h>

/* Writes the items; they have to be single values, one each. */
typedef void items_fn(struct sl_writer *writer);

/* Commits a batch for `function` with one item, which `item` writes. */
void ask(struct sl__lease *lease, const char *function, items_fn *item);
/*
 * Waits for the reply and retires it. SL_OK: `*writer` has a copy of the first result, `*result` points into it. E_WORKER_CRASHED and the like: the
 * lease was lost. A code of the reply otherwise.
 */
enum sl_code hear_reply(struct seeker *seeker, struct sl__lease *lease, struct sl_writer *writer,
                        struct sl_value *result);

/* Acquire, ask, hear, release. The result as an integer, or as text into `text`. */
enum sl_code call_int(struct sl_pool *pool, uint32_t worker, const char *function, items_fn *item, int64_t *result);
enum sl_code call_text(struct sl_pool *pool, uint32_t worker, const char *function, items_fn *item, char *text,
                       size_t size);

#endif
