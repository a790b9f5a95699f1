/* SPDX-License-Identifier: MIT */
/*
 * Inside of the room. One lock, sl__upcalls.lock, guards everything that is not said to belong to a thread; no view runs, nothing is sent and
 * nothing is received while it is held.
 *
 *   listener  a thread that waits for calls; there is always at least one beside the views that run, so that time is kept and
 *             a call from within a view finds somebody
 */
#ifndef SLITHER_UPCALL_SERVICE_H
#define SLITHER_UPCALL_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/table.h"
#include "lane/lane.h"
#include "loop/loop.h"
#include "loop/runtime.h"
#include "request.h"
#include "upcall/upcall.h"

#define SL__LISTENERS_KEPT 4       /* idle threads that stay */
#define SL__LISTENER_IDLE_MS 10000 /* after which further ones end */
#define SL__WAITING_MAX 1024       /* calls of a runtime that wait for their turn */
#define SL__SWIFT_NS 100000        /* a view that takes less need not be prepared for in advance: see service.c */
#define SL__HOLD_NS \
    5000000 /* for so long the next request of a worker may wait for a view that was thought to be swift */
#define SL__REPLY_WAIT_MS 5000 /* for room in the socket of a worker that does not read its replies */

struct sl_view {
    struct sl__upcalls *home;
    struct sl_view_options options; /* name: ours */
    size_t name_size;
    uint32_t running;             /* calls */
    uint32_t pending;             /* calls that run or wait: it stays as long */
    bool removed;                 /* not to be found any more */
    bool orphaned;                /* whoever ends its last call frees it */
    struct sl__view_scope *scope; /* not NULL: of a session */
    struct sl__link scope_link;
};

struct sl__view_scope {
    struct sl__link link;     /* in sl__upcalls.scope_list */
    struct sl__upcalls *home; /* NULL: the runtime is gone */
    const void *owner;
    uint64_t session;
    uint32_t view_max;
    bool ended;
    struct sl__list views;
};

struct sl__port {
    _Atomic uint32_t refs;
    struct sl__upcalls *home;
    struct sl__port_config config; /* pool: see `pool`; broken: loop thread */
    char pool[64];
    int fd;
    int worker_fd;
    uint64_t key;
    bool lent; /* of whoever holds the lease: `frame` is not empty */
    struct sl__task broken_task;
    char why[SL_ERROR_MESSAGE_SIZE]; /* written before the task is posted */

    /* under the lock */
    bool closed; /* or broken: no reply is of use any more */
    bool swift;  /* the view that it called last took less than SL__SWIFT_NS */
    uint32_t unanswered;
    struct sl__frame frame; /* of the batch that its worker runs */
};

struct sl__call {
    struct sl__link link; /* in `running` or `waiting` */
    struct sl__port *port;
    struct sl_view *view;
    struct sl__request_in in;
    uint32_t timeout_ms;
    uint64_t deadline_ns, began_ns;
    bool holds;    /* its thread has not put the socket back: it will read the next request itself */
    bool answered; /* its reply has been sent, or is of no use */
    void *heap;    /* the block that it lies in with its packet, when it has waited; else NULL */
    struct sl__frame frame;
};

struct sl__server {
    struct sl__upcalls *home;
    struct sl__server *next; /* in `ended` */
    pthread_t thread;
    struct sl__port *held; /* its socket has not been put back by the call that has just ended; no reference */
    struct sl__spin spin;
    bool listens;             /* it is counted among the listeners whenever it does not run a view */
    struct sl_writer writer;  /* of results */
    struct sl_writer details; /* of replies that are not results */
    uint8_t in[SL__CALL_PACKET_MAX], out[SL__CALL_PACKET_MAX];
};

struct sl__upcalls {
    struct sl__annex annex;
    struct sl_runtime *runtime;
    int set, stop, alarm;
    uint32_t running_max;
    bool alone;               /* there is one processor: spinning keeps the worker from it */
    uint32_t idle_ms;         /* SL__LISTENER_IDLE_MS; tests set less */
    struct sl__watch *watch;  /* loop thread: answers while there is no view, and so no thread */
    struct sl__server *clerk; /* its buffers */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a call has ended, or a thread */
    bool closing;
    bool attended; /* there is a watch, or will be in a moment */
    struct {
        struct sl_view **items; /* by name */
        size_t count, capacity;
    } views;
    struct sl__table scopes;    /* by session; those that have not ended */
    struct sl__list scope_list; /* all */
    struct {
        struct sl__port **items; /* by the low bits of their key; NULL: free */
        size_t count, capacity;
    } ports;
    uint64_t last_serial;
    struct sl__list running, waiting;
    uint64_t alarm_ns; /* 0: not set */
    uint32_t listeners;
    uint32_t threads;
    struct sl__server *ended; /* to be joined */
    struct sl_view_stats stats;
};

/* run.c */
/* With the lock held. */
bool sl__call_may_run(const struct sl__upcalls *home, const struct sl_view *view);
/* With the lock held, which it lets go meanwhile. A listener runs that call, and then others that have waited; they are gone afterwards. */
void sl__call_run(struct sl__server *server, struct sl__call *call);
/* Without the lock. */
void sl__call_free(struct sl__call *call);
/* Without the lock. A reply that is no result. `traceback` may be NULL. */
void sl__call_refuse(struct sl__port *port, struct sl__server *server, uint64_t number, enum sl__call_outcome outcome,
                     enum sl_code code, const char *message, const char *traceback);

/* late.c */
/* With the lock held: the call has to be answered by then. */
void sl__late_watch(struct sl__upcalls *home, uint64_t deadline_ns);
/* With the lock held, which it lets go for a while: the alarm has rung. */
void sl__late_ring(struct sl__server *server);

/* service.c */
/* With the lock held. False, with errno's number, when no thread can be started. */
bool sl__service_start_thread(struct sl__upcalls *home, int *number);
/* Without the lock: a listener is about to be busy with something else, and comes back. */
void sl__service_step_out(struct sl__server *server);
void sl__service_step_in(struct sl__server *server);
/* Loop thread. Answers calls as long as there is no thread. */
enum sl_code sl__service_attend(struct sl__upcalls *home, struct sl_error *error);
/* The loop thread need not do that any more: there is a thread. Not with the lock held. */
void sl__service_relieve(struct sl__upcalls *home);
/* With the lock held, which it lets go for a moment: fails the calls that wait for a view that was removed. */
void sl__service_turn_away(struct sl__upcalls *home, const struct sl_view *view);
/* With the lock held. The call does not need it any more. */
void sl__view_release(struct sl_view *view);

/* port.c */
/* With the lock held. Requests of the worker wake a thread again. */
void sl__port_again(struct sl__port *port);
/* With the lock held: the worker of that key, with a reference; NULL when it is gone. */
struct sl__port *sl__port_find(struct sl__upcalls *home, uint64_t key);
/* With the lock held. The worker is to be killed; nothing more is read from it. */
void sl__port_break(struct sl__port *port, const char *why);
/* Without the lock. `head->size` bytes of payload; head->flags are filled in. */
void sl__port_reply(struct sl__port *port, struct sl__server *server, struct sl__call_reply *head,
                    const uint8_t *payload);

/* scope.c, with the lock held */
/* NULL when there is none. */
struct sl_view *sl__scope_find(struct sl__upcalls *home, const void *owner, uint64_t session, const char *name,
                               size_t size);
enum sl_code sl__scope_insert(struct sl__view_scope *scope, struct sl_view *view, struct sl_error *error);
void sl__scope_remove(struct sl_view *view);
/* No thread is left: their views go. */
void sl__scopes_finish(struct sl__upcalls *home);

/* view.c */
/* With the lock held; NULL when there is none. */
struct sl_view *sl__view_find(struct sl__upcalls *home, const char *name, size_t size);
/* With the lock held: "a, b and 3 more". */
void sl__view_names(struct sl__upcalls *home, char *text, size_t size);

#endif
