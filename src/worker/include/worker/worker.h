/* SPDX-License-Identifier: MIT */
/*
 * One worker of a pool through all its lives: started, greeted, watched, stopped, collected. What to do after a death is
 * not decided here but by the owner (the pool), who is asked. Everything runs on the loop thread, calls and callbacks.
 *
 * From a callback about a worker the owner must not call the functions below for that worker.
 */
#ifndef SLITHER_WORKER_WORKER_H
#define SLITHER_WORKER_WORKER_H

#include <sys/types.h>

#include <slither/death.h>

#include "base/log.h"
#include "lane/lane.h"
#include "loop/loop.h"
#include "telemetry/telemetry.h"
#include "upcall/upcall.h"
#include "worker/spec.h"
#include "worker/state.h"
#include "worker/template.h"

struct sl__worker;
struct sl__oom_sources;

/* One life of a worker, from ready on. */
struct sl__life {
    struct sl__lane *lane; /* the owner's from now on */
    uint32_t generation;   /* from 1 */
    pid_t pid;
    int pidfd;             /* the worker's; usable until owner->reaping */
    int socket;            /* the worker's life-cycle socket; likewise, and on the loop thread only */
    struct sl__port *port; /* of its calls, or NULL; the worker's until `gone` */
    bool forked;           /* a copy of the template, not a program of its own */
};

/* How a life ended. Lives during the callback. */
struct sl__death {
    struct sl_error error; /* code worker_crashed when it had been ready; else why it could not start */
    uint32_t generation;
    bool was_ready;
    bool wanted;       /* it ended because the owner wanted it to */
    uint64_t alive_ns; /* since it was ready; 0 when it was not */
};

/* What the error of such a death has as `death`: NULL when there never was a process, or no memory. batch_count and item_ids are the owner's to fill in. */

#define SL__NO_RESTART UINT64_MAX

struct sl__worker_owner {
    /* It takes batches. */
    void (*ready)(void *context, uint32_t worker, const struct sl__life *life);
    /*
     * Its process has ended and is about to be reaped: from the return on nobody may signal it. Only after `ready`. Sets `reason`, and
     * what it means as a cause of death, when the owner had it killed. `doing`: what it did when it was asked last, as a part of a sentence (" was in
     * native code and"), or "".
     */
    void (*reaping)(void *context, uint32_t worker, const char *doing, struct sl_error *reason,
                    enum sl_death_cause *cause);
    /* It is gone. Returns the delay until the next start, SL__NO_RESTART for none; of no meaning when death->wanted. */
    uint64_t (*gone)(void *context, uint32_t worker, const struct sl__death *death);
    /* Answer to sl__worker_stop, one for all that were said before it. */
    void (*stopped)(void *context, uint32_t worker);
    /* Whether it may be started now; else sl__worker_admit says when. NULL: always. */
    bool (*admit)(void *context, uint32_t worker);
    /* Its memory at a heartbeat (0: not known), and what it did when it was heard last. May be NULL. */
    void (*sampled)(void *context, uint32_t worker, uint64_t rss_bytes, enum sl_activity activity);
};

enum sl__heard {
    SL__HEARD_READY,  /* the worker is what it has to be */
    SL__HEARD_FAILED, /* it is not, or says so itself; `why` is filled in */
    SL__HEARD_NEWS,   /* nothing that concerns its state */
    SL__HEARD_NOISE   /* no message of this protocol; `why` says what is wrong with it */
};
/* Takes a message of a template. `*fd`: a descriptor that came with it, or -1; set to -1 by who keeps it. */
typedef enum sl__heard sl__template_hear_fn(void *context, const uint8_t *bytes, size_t size, int *fd,
                                            struct sl_error *why);

struct sl__worker_config {
    struct sl__loop *loop;
    struct sl__log *log;
    const struct sl__spec *spec;
    const struct sl__worker_owner *owner;
    void *context;
    const char *pool; /* name */
    uint32_t index;   /* UINT32_MAX: of the template */
    /* counts the lives of all that take turns under this index; NULL: of this one alone */
    uint32_t *generation_counter;
    uint32_t start_timeout_ms;
    uint32_t stop_timeout_ms;
    uint32_t stack_timeout_ms;                 /* 0: a condemned worker is not asked for its stack */
    uint32_t term_grace_ms;                    /* 0: it is not sent SIGTERM either */
    uint64_t memory_max_bytes;                 /* 0: no limit */
    const char *cgroup;                        /* parent of the control group that limits it; NULL: it limits itself */
    const struct sl__oom_sources *oom_sources; /* NULL: those of this machine */
    struct sl__lane_config lane;               /* `generation` is filled in at each start */
    struct sl__upcalls *upcalls;               /* NULL: it can call no views */
    const void *caller;                        /* of the views that it calls: the pool; only compared */
    struct sl__template *template; /* starts it, and is its parent; NULL: this process does, as it starts a template */
    const struct sl__telemetry *telemetry; /* NULL: nobody is told */
    sl__template_hear_fn *hear; /* it is the template: without a lane, and with more to say than a worker; else NULL */
};

/* Whether workers can have control groups under `parent`; invalid_argument, and why not. */
enum sl_code sl__worker_check_cgroup(const char *parent, struct sl_error *error);

/* Pointers in `config` are borrowed as long as the worker lives. */
enum sl_code sl__worker_create(const struct sl__worker_config *config, struct sl__worker **worker,
                               struct sl_error *error);
/* Stopped or failed only. NULL is fine. */
void sl__worker_destroy(struct sl__worker *worker);

/* Starts it, unless it runs or is about to. Failures come as `gone`. */
void sl__worker_start(struct sl__worker *worker);
/* Its start, which the owner did not admit before, goes on. Between `admit` and the next `gone` or `stopped` only. */
void sl__worker_admit(struct sl__worker *worker);
/* Ends it for good; `stopped` is called, perhaps before this returns. */
void sl__worker_stop(struct sl__worker *worker);
/* No further attempt: a worker that waits for its next start does not wait any longer. */
void sl__worker_give_up(struct sl__worker *worker);

/* Sends it a message of lane/handshake.h. again: not now, its socket is full, or a resource is lacking; not_found: it is not ready. */
enum sl_code sl__worker_tell(struct sl__worker *worker, const uint8_t *bytes, size_t size);

/* The owner has killed the life that runs now: it is let go when it does not end soon. Between `ready` and `gone` only. */
void sl__worker_killed(struct sl__worker *worker);

/*
 * The owner wants the life that runs now ended, and to know what it was doing: it is asked, then sent SIGTERM, then SIGKILL, as far as the configuration
 * says. Between `ready` and `gone` only.
 */
void sl__worker_condemn(struct sl__worker *worker);
/*
 * A heartbeat: samples its memory, and asks it for a sign of life unless an earlier question is open. Returns for how long one has been open, in ns; 0
 * when it is not ready, or has answered.
 */
uint64_t sl__worker_beat(struct sl__worker *worker);
/* For who has to say why a silent worker is killed: looks whether something has stopped it. Ready only. */
enum sl_activity sl__worker_activity(struct sl__worker *worker);
/* How long ago it gave the last sign of life, in ns. Ready only. */
uint64_t sl__worker_silence(const struct sl__worker *worker);

/* SIGKILL to the process of that life, and to its group. Any thread, until `reaping` has returned. */
void sl__life_kill(const struct sl__life *life);

/* Any thread. */
enum sl__worker_state sl__worker_state(const struct sl__worker *worker);
/* Process id or 0. Any thread. */
int64_t sl__worker_pid(const struct sl__worker *worker);

#endif
