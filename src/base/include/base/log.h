/* SPDX-License-Identifier: MIT */
/*
 * The way to the user's log function. It is called by one thread at a time, as slither/runtime.h promises, which the
 * lock here sees to; so a log line must never be written by the log function itself.
 */
#ifndef SL_BASE_LOG_H
#define SL_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>

#include <slither/runtime.h>

/** Longest host line; the rest is cut. */
#define SL__LOG_TEXT_SIZE 2048
/** Longest piece of a worker's line that one record carries. */
#define SL__LOG_PIECE_SIZE 8192

struct sl__log {
    sl_log_fn *function; /**< NULL: nobody listens */
    void *context;
    enum sl_log_level level;
    pthread_mutex_t lock;
};

/** False when the lock cannot be had. `function` may be NULL. */
bool sl__log_init(struct sl__log *log, sl_log_fn *function, void *context, enum sl_log_level level)
    __attribute__((warn_unused_result));
/** Only after a successful init. */
void sl__log_finish(struct sl__log *log);

/** Whether a host line of that level would be given to anybody: to skip the work of making it. */
bool sl__log_wants(const struct sl__log *log, enum sl_log_level level);

/** A line of the library itself; `pool` may be NULL, `worker` UINT32_MAX. Dropped when below the level. Any thread. */
void sl__log_host(struct sl__log *log, enum sl_log_level level, const char *pool, uint32_t worker, uint32_t generation,
                  const char *format, ...) SL_PRINTF(6, 7);

/** Gives a finished record; record->text may hold anything but must be NUL-terminated. Any thread. */
void sl__log_give(struct sl__log *log, const struct sl_log_record *record);

#endif
