/* SPDX-License-Identifier: MIT */
/*
 * The template of a pool, host side: the process that starts its workers, as forks of itself after it has done the imports, or as programs of their
 * own, and that guards all that descends from it (docs/design/0008-template.md). It is supervised by the same table as a worker; here is what differs,
 * and who waits for what. Everything runs on the loop thread.
 *
 *   wish  what a worker wants from the template: first a process, then to be told how that process ends
 */
#ifndef SLITHER_WORKER_TEMPLATE_H
#define SLITHER_WORKER_TEMPLATE_H

#include <sys/types.h>

#include "base/list.h"
#include "base/log.h"
#include "loop/loop.h"
#include "sys/process.h"
#include "worker/spec.h"

struct sl__template;

/* How a worker is to be started now. */
enum sl__template_way {
    SL__TEMPLATE_WAIT,  /* not now: sl__template_wait, and ask again at `turn` */
    SL__TEMPLATE_ASK,   /* by sl__template_ask */
    SL__TEMPLATE_FAILED /* not at all: there is no template, and the last attempt to start one has failed */
};

/* Embedded in a worker; zeroed before its first use. One life is one wish. */
struct sl__wish {
    struct sl__link link;
    enum { SL__WISH_NONE, SL__WISH_WAITING, SL__WISH_ASKED, SL__WISH_ALIVE } stage;
    bool refused; /* it has waited for a template that could not be started: this life is over before it began */
    bool due;     /* its process has ended, which the template has not said yet */
    pid_t pid;
    const struct sl__wisher *wisher;
    void *context;
};

/* The wish is not in any stage any more when turn, ended or orphaned is called. */
struct sl__wisher {
    void (*turn)(void *context);
    /* There is a process, a fork of the template or a program of its own; `pidfd` is the callee's. */
    void (*started)(void *context, pid_t pid, int pidfd, bool forked);
    /* There is none: the template was refused one with this errno. */
    void (*failed)(void *context, int system_errno);
    /* It has ended, has been reaped, and what was left of its group has been killed. */
    void (*ended)(void *context, const struct sl__process_end *end);
    /* The template is gone, and the kernel has sent SIGKILL to its children: only the pidfd will tell. */
    void (*orphaned)(void *context, pid_t template_pid);
};

struct sl__template_config {
    struct sl__loop *loop;
    struct sl__log *log;
    const struct sl__spec *spec;
    const char *pool; /* name */
    uint32_t start_timeout_ms;
    uint32_t stop_timeout_ms;
    /* It can be asked from now on, or not any longer; `forks`: what it starts are forks of itself. */
    void (*ready)(void *context, bool ready, bool forks);
    void (*stopped)(void *context); /* answer to sl__template_stop, exactly one each */
    void *context;
};

/* Pointers in `config` are borrowed as long as the template lives. */
enum sl_code sl__template_create(const struct sl__template_config *config, struct sl__template **out,
                                 struct sl_error *error);
/* Stopped only, with no wish left. NULL is fine. */
void sl__template_destroy(struct sl__template *template);
void sl__template_start(struct sl__template *template);
/* Ends it for good, and with it all that descends from it. */
void sl__template_stop(struct sl__template *template);

/* `error` is filled in for FAILED only. */
enum sl__template_way sl__template_way(const struct sl__template *template, const struct sl__wish *wish,
                                       struct sl_error *error);
void sl__template_wait(struct sl__template *template, struct sl__wish *wish);
/*
 * Asks for a process with these descriptors as its 1, 2 and SL__WORKER_FD; they stay the caller's. On success `started`, `failed` or `turn` follows,
 * not before this returns; else the template is given up, and the next one is to be waited for.
 */
enum sl_code sl__template_ask(struct sl__template *template, struct sl__wish *wish, uint32_t worker,
                              uint32_t generation, const int *fds, struct sl_error *error);
/* Its process has ended, as the pidfd says: `ended` or `orphaned` follows soon, even if the template does nothing. */
void sl__template_expect(struct sl__template *template, struct sl__wish *wish);
/* In any stage: nothing more is called. A process that comes of it nevertheless is killed. */
void sl__template_forget(struct sl__template *template, struct sl__wish *wish);

/* Process id, or 0. Any thread. */
int64_t sl__template_pid(const struct sl__template *template);

#endif
