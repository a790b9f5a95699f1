/* SPDX-License-Identifier: MIT */
/* What rooms above need of a store beyond its public face. */
#ifndef SLITHER_STORE_STORE_H
#define SLITHER_STORE_STORE_H

#include <slither/error.h>
#include <slither/store.h>

struct sl_runtime;

/**
 * Where a process finds the store of that name of the runtime with that private directory: an sl__reader_attach() takes it. A directory, or a symbolic
 * link to one; there is none as long as there is no such store. `*path` is the caller's to free.
 */
enum sl_code sl__store_path(const char *runtime_directory, const char *name, char **path,
                            struct sl_error *error) SL_MUST_CHECK;

/** The runtime's store of that name, or NULL. Any thread. Whoever destroys the store sees to it that nobody uses it any more. */
struct sl_store *sl__store_find(struct sl_runtime *runtime, const char *name);
const char *sl__store_name(const struct sl_store *store);

/** A process that may have been reading is gone: what it held is let go of. Any thread; a few microseconds. */
void sl__store_reader_died(struct sl_store *store);
/** The same for all stores of a runtime. */
void sl__store_readers_died(struct sl_runtime *runtime);

/** As sl_watch_create, for somebody who may end: `left` is called by sl_watch_destroy, before the memory goes. */
enum sl_code sl__store_watch(struct sl_store *store, const struct sl_watch_options *options,
                             void (*left)(void *context, struct sl_watch *watch), void *context,
                             struct sl_watch **watch, struct sl_error *error) SL_MUST_CHECK;
/** Its function is called no more, and sl_watch_next says closed, within 50 ms where it waits. Any thread, never blocks. */
void sl__store_watch_end(struct sl_watch *watch);

/** Wall clock in nanoseconds that rows expire by, instead of the system's: for tests. Before the store is used. */
void sl__store_set_clock(struct sl_store *store, uint64_t (*wall_ns)(void));

#endif
