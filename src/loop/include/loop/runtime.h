/* SPDX-License-Identifier: MIT */
/* Inside of a runtime: what everything that lives in it shares. */
#ifndef SLITHER_LOOP_RUNTIME_H
#define SLITHER_LOOP_RUNTIME_H

#include <pthread.h>
#include <sys/types.h>

#include <slither/runtime.h>

#include "base/log.h"
#include "lane/buffer.h"
#include "loop/loop.h"
#include "telemetry/telemetry.h"

/* Something that a runtime has to take down before itself: embedded in a pool. The rooms above are not known here. */
struct sl__tenant {
    struct sl__tenant *previous, *next;
    void (*hold)(
        struct sl__tenant *
            tenant); /* under the runtime's lock: it does not go before `destroy`, which follows, has ended; NULL: it never does */
    void (*destroy)(
        struct sl__tenant *tenant); /* blocks; sl__runtime_part has been called when it returns, by whomever */
};

struct sl__directory;

/* Something that a runtime has once, made when a room above first needs it, and taken down after the last tenant. */
struct sl__annex {
    void (*destroy)(struct sl__annex *annex); /* blocks; the loop still runs */
};

struct sl_runtime {
    struct sl__loop *loop;
    struct sl__log log;
    struct sl__telemetry telemetry;
    struct sl__buffer_home buffers;
    char *package_path; /* the option, or NULL */
    uint32_t lane_max;
    uint32_t view_threads_max;
    pid_t owner;              /* the process that made it */
    _Atomic uint32_t holders; /* of the memory: who has not destroyed it yet, and pools */

    pthread_mutex_t lock; /* guards what follows */
    uint32_t lane_count;
    struct sl__tenant *tenants;
    struct sl__annex *upcalls;  /* the room upcall's, or NULL */
    struct sl__annex *sessions; /* the room session's, or NULL */

    pthread_mutex_t directory_lock; /* guards the next: making one takes as long as starting a process */
    struct sl__directory *directory;
};

/* Whether this process is a forked child of the one that made the runtime: nothing of it works there. A system call. */
bool sl__runtime_foreign(const struct sl_runtime *runtime);

/*
 * A pool outlives its destruction, and that of its runtime, as long as a run is still in it: such a run may ask whether somebody wants to hear of events. So the
 * memory stays until it is let go of as often as it was held. Nothing but `telemetry`, which is closed, is there after the destruction. Any thread.
 */
void sl__runtime_hold(struct sl_runtime *runtime);
void sl__runtime_let_go(struct sl_runtime *runtime);

/* Takes `lane_count` lanes out of the runtime's bound, given back by sl__runtime_part. limit_exceeded when they do not fit. Any thread. */
enum sl_code sl__runtime_join(struct sl_runtime *runtime, struct sl__tenant *tenant, uint32_t lane_count,
                              struct sl_error *error);
void sl__runtime_part(struct sl_runtime *runtime, struct sl__tenant *tenant, uint32_t lane_count);
/* The same for a tenant that wants more, or fewer, while it stays. */
enum sl_code sl__runtime_take_lanes(struct sl_runtime *runtime, uint32_t lane_count, struct sl_error *error);
void sl__runtime_give_lanes(struct sl_runtime *runtime, uint32_t lane_count);

/*
 * The runtime's private directory, for files that its workers share: made at the first call, mode 0700, on a file system in memory where
 * there is one ($XDG_RUNTIME_DIR, /dev/shm), else in $TMPDIR or /tmp, which the log then says. `*path` lives as long as the runtime. It is removed with
 * the runtime, when this process is killed, and at the latest when another runtime of the same user makes one. A forked child that lives on keeps it. Any
 * thread but the loop's; blocks for the start of a small process. Errors: system, out_of_memory.
 */
enum sl_code sl__runtime_directory(struct sl_runtime *runtime, const char **path, struct sl_error *error);

/*
 * Finds the directory that holds the Python package, `*path` is the caller's to free. Looks at `option`, then at
 * $SLITHER_PACKAGE_PATH, and believes them when they are set; then beside this library, then where it was installed.
 * worker_start_failed with all the places that were tried.
 */
enum sl_code sl__package_find(const char *option, char **path, struct sl_error *error);

#endif
