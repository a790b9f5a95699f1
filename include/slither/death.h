/* SPDX-License-Identifier: MIT */
/*
 * Death certificates: what is known of a worker that has died. An error that is due to a death carries one, and a pool keeps the last of them.
 */
#ifndef SLITHER_DEATH_H
#define SLITHER_DEATH_H

#include <slither/base.h>

SL_BEGIN_DECLS

/* X(enumerator, number, name) */
#define SL_DEATH_LIST(X)                                                                                            \
    X(SL_DEATH_UNKNOWN, 0, "unknown")             /* it is gone; its end could not be learnt */                     \
    X(SL_DEATH_EXITED, 1, "exited")               /* it ended by itself: see exit_status */                         \
    X(SL_DEATH_SIGNAL, 2, "signal")               /* a signal ended it that this library has not sent */            \
    X(SL_DEATH_OUT_OF_MEMORY, 3, "out_of_memory") /* the kernel killed it for lack of memory */                     \
    X(SL_DEATH_TIMEOUT, 4, "timeout")             /* its batch ran past its timeout; it was killed */               \
    X(SL_DEATH_SILENT, 5, "silent")               /* it did not answer for heartbeat_timeout_ms; it was killed */   \
    X(SL_DEATH_CANCELLED, 6, "cancelled")         /* killed because what it ran was no longer wanted */             \
    X(SL_DEATH_PROTOCOL, 7, "protocol")           /* killed because it said what a worker must not say */           \
    X(SL_DEATH_NOT_READY, 8, "not_ready")         /* it ended, or was killed, before it was ready */                \
    X(SL_DEATH_MEMORY_LIMIT, 9, "memory_limit")   /* it passed memory_max_bytes, and was killed or ended of that */ \
    X(SL_DEATH_TEMPLATE, 10, "template")          /* its template died, and took it along */

enum sl_death_cause {
#define SL_DEATH_ENUM(enumerator, number, name) enumerator = number,
    SL_DEATH_LIST(SL_DEATH_ENUM)
#undef SL_DEATH_ENUM
};
#define SL_DEATH_CAUSE_COUNT 11

/* X(enumerator, number, name) */
#define SL_ACTIVITY_LIST(X)                                                                                       \
    X(SL_ACTIVITY_UNKNOWN, 0, "unknown") /* it was not asked, or could not answer */                              \
    X(SL_ACTIVITY_IDLE, 1, "idle")       /* it waits for a batch */                                               \
    X(SL_ACTIVITY_PYTHON, 2, "python")   /* the interpreter executes bytecode: busy, not stuck */                 \
    X(SL_ACTIVITY_NATIVE, 3, "native")   /* it computes inside C code and has not come back to the interpreter */ \
    X(SL_ACTIVITY_WAITING, 4, "waiting") /* it sleeps in a system call: input and output, a lock, sleep() */      \
    X(SL_ACTIVITY_STOPPED, 5, "stopped") /* SIGSTOP or a debugger holds it */

/** What a worker was doing when it was last asked. The answer comes from a thread of it that needs no GIL. */
enum sl_activity {
#define SL_ACTIVITY_ENUM(enumerator, number, name) enumerator = number,
    SL_ACTIVITY_LIST(SL_ACTIVITY_ENUM)
#undef SL_ACTIVITY_ENUM
};

#define SL_DEATH_SAMPLES 8
#define SL_DEATH_ITEMS 64

struct sl_death_sample {
    uint64_t age_ms;    /**< of the worker when it was taken, since ready */
    uint64_t rss_bytes; /**< resident memory that no file backs, shared pages of the template included */
};

struct sl_death {
    size_t size; /**< sizeof(struct sl_death) of the library */
    enum sl_death_cause cause;
    uint32_t worker;
    uint32_t generation;
    int64_t pid;
    int64_t time_ms; /**< when it was seen: milliseconds since 1970, UTC */
    int exit_status; /**< or -1 */
    int term_signal; /**< or 0 */
    bool core_dumped;
    enum sl_activity activity;
    uint64_t age_ms;      /**< since it was ready; 0: it never was */
    uint64_t batch_count; /**< that it completed */
    /** newest last; the first that is 0 in both members ends them */
    struct sl_death_sample samples[SL_DEATH_SAMPLES];
    uint64_t item_ids[SL_DEATH_ITEMS]; /**< of the batch that it was running, the first of them */
    uint32_t item_count;               /**< how many that batch has; 0: it was idle */
    char *evidence;    /**< of what is not in the other members, such as the kernel's count of OOM kills; or NULL */
    char *traceback;   /**< of its threads, as faulthandler writes it; or NULL */
    char *stderr_tail; /**< or NULL */
};

/** The stable name of a cause ("out_of_memory"); "unknown" for a number that is none. Static storage. */
SL_API const char *sl_death_cause_name(enum sl_death_cause cause);
/** The stable name of an activity ("native"). Static storage. */
SL_API const char *sl_activity_name(enum sl_activity activity);

/** A copy for the caller to release; NULL when memory runs out, or when `death` is NULL. */
SL_API struct sl_death *sl_death_copy(const struct sl_death *death);
/** Releases a copy. NULL is fine. */
SL_API void sl_death_destroy(struct sl_death *death);

struct sl_writer;
/** Writes it as a value: a map, described in docs/death-certificates.md. */
SL_API void sl_death_write(const struct sl_death *death, struct sl_writer *writer);

SL_END_DECLS

#endif
