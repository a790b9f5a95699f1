/* SPDX-License-Identifier: MIT */
/*
 * What workers ask of a store: where it lies, and to write. One view a store (upcall/upcall.h), called "slither.store:NAME"; its positional
 * arguments are the name of what is asked for, and then
 *
 *   open                                    -> {"path": str}
 *   put            table key value ttl_ms   -> nil          ttl_ms may be nil
 *   put_if_absent  table key value ttl_ms   -> bool: it was put
 *   delete         table key                -> int: rows that have gone
 *   increment      table key delta          -> int: the sum
 *   swap           table key old new        -> bool: the row was [old], and is now [new]; a list without an entry stands for no row
 */
#ifndef SL_STORE_ASK_H
#define SL_STORE_ASK_H

#include <slither/store.h>

struct sl_runtime;
struct sl_view;

/* Until the view is unregistered, which waits for what is being answered. */
enum sl_code sl__store_answer_begin(struct sl_runtime *runtime, struct sl_store *store, const char *name,
                                    struct sl_view **view, struct sl_error *error);

#endif
