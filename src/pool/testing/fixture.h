/* SPDX-License-Identifier: MIT */
/* What the tests of the pool share: a runtime, a pool of scripted workers, and a thread's way to a lease. */
#ifndef SLITHER_POOL_TESTING_FIXTURE_H
#define SLITHER_POOL_TESTING_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <slither/pool.h>
#include <slither/runtime.h>

#include "descriptors.h"
#include "pool/lease.h"

#define PATIENCE_S 20

/* A runtime whose log is kept; see log_has. */
struct sl_runtime *open_runtime(void);
void close_runtime(struct sl_runtime *runtime);
/* Whether a line with `text` has been logged since open_runtime. */
bool log_has(const char *text);
int log_count(const char *text);
/* Whether both have been logged, and the first time `first` was before that of `second`. */
bool log_before(const char *first, const char *second);

/* Options for workers that follow `script` (see src/worker/testing/fake_worker.c). */
struct sl_pool_options scripted(uint32_t worker_count, const char *script);
/* The same, and their template follows another script; its scripts for one life after the other are separated by '|'. */
struct sl_pool_options scripted_template(uint32_t worker_count, const char *script, const char *template_script);
struct sl_pool *open_pool(struct sl_runtime *runtime, const struct sl_pool_options *options);

/* A thread that wants lanes. */
struct seeker {
    struct sl__bell bell;
    struct sl__waiter waiter;
    struct sl__spin spin;
};
void seeker_init(struct seeker *seeker);
/* Waits for a lease as a dispatch does. Returns what sl__pool_acquire says in the end. */
enum sl_code seek(struct sl_pool *pool, struct seeker *seeker, uint32_t worker, struct sl__lease **lease,
                  struct sl_error *error);
/* Waits until the lease is lost. */
void await_loss(struct seeker *seeker, struct sl__lease *lease);

/* Drawn from the clock, or $SLITHER_TEST_SEED; printed. */
unsigned test_seed(void);

struct sl_pool_stats stats_of(struct sl_pool *pool);
/* Waits until that many workers are ready; polls, for there is no event for outsiders. */
void await_ready(struct sl_pool *pool, uint32_t ready_count);
/* The parent of a process: that of a worker is its template. */
pid_t parent_of(int64_t pid);
/* A pidfd becomes readable. */
void await_end(int pidfd);

#endif
