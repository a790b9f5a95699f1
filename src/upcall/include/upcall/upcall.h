/* SPDX-License-Identifier: MIT */
/*
 * Upcalls: Python code in a worker calls a function of the host, a view (slither/view.h), over a socket of its own.
 *
 * VOCABULARY
 *   port     the host's end of one worker's call socket, from its start until it is gone
 *   upcalls  what a runtime has for it: its views, its ports, and the threads on which views run
 *   frame    what is above a call: the views, and the pools whose workers wait for them, out to a batch that no view has dispatched
 */
#ifndef SLITHER_UPCALL_UPCALL_H
#define SLITHER_UPCALL_UPCALL_H

#include <slither/runtime.h>
#include <slither/view.h>

struct sl__upcalls;
struct sl__port;

/* The runtime's, made at the first use. Lives until the runtime has taken down all that lives in it. Any thread. */
enum sl_code sl__upcalls_of(struct sl_runtime *runtime, struct sl__upcalls **upcalls, struct sl_error *error);

/* As sl_view_register, for the rooms above: the name begins with "slither.", which users cannot take. */
enum sl_code sl__view_register(struct sl_runtime *runtime, const struct sl_view_options *options, struct sl_view **view,
                               struct sl_error *error);

/* ---- views of a session: for the room session --------------------------------------------------------------------- */

struct sl__view_scope;

/* For the calls of that session in workers of `owner` (the pool: only compared). Any thread. Errors: out_of_memory, those of sl__upcalls_of. */
enum sl_code sl__view_scope_create(struct sl_runtime *runtime, const void *owner, uint64_t session, uint32_t view_max,
                                   struct sl__view_scope **scope, struct sl_error *error);
/* As sl_view_register; before a global view of that name. session_lost: the scope has ended. May wait for the loop thread. */
enum sl_code sl__view_scope_register(struct sl__view_scope *scope, const struct sl_view_options *options,
                                     struct sl_view **view, struct sl_error *error);
/* No call of its views begins any more. Never blocks; any thread; twice is fine. */
void sl__view_scope_end(struct sl__view_scope *scope);
/* Ends it, and waits for those of its views that run, but for one that the caller is in. NULL is fine. */
void sl__view_scope_destroy(struct sl__view_scope *scope);

/* ---- ports: for the room worker ---------------------------------------------------------------------------------- */

struct sl__port_config {
    const char *pool;  /* name; copied, cut */
    const void *owner; /* the pool: only compared, to see who waits for whom */
    uint32_t worker, generation;
    /* The worker has sent what it must not: it is to be killed. Loop thread; not after sl__port_close. */
    void (*broken)(void *context, const char *why);
    void *context;
};

/* The functions below are for the loop thread, but for ref, unref and lend. */
enum sl_code sl__port_open(struct sl__upcalls *upcalls, const struct sl__port_config *config, struct sl__port **port,
                           struct sl_error *error);
/* The worker's end, still the port's; closed by sl__port_serve. */
int sl__port_worker_fd(const struct sl__port *port);
/* The worker is ready: its calls are answered from now on. Without memory for that, or without descriptors, it returns an error. */
enum sl_code sl__port_serve(struct sl__port *port, struct sl_error *error);
/* The worker is gone. What runs for it runs on, and its result is dropped. NULL is fine. */
void sl__port_close(struct sl__port *port);
struct sl__port *sl__port_ref(struct sl__port *port); /* NULL is fine */
void sl__port_unref(struct sl__port *port);           /* NULL is fine */

/* ---- frames: for the room pool ------------------------------------------------------------------------------------ */

struct sl__frame {
    uint32_t depth;
    struct sl__frame_entry {
        const void *owner; /* pool whose worker waits */
        uint32_t worker;
        const struct sl_view *view; /* for this view */
    } entries[SL_VIEW_DEPTH_MAX];
};

/* Of the view that the calling thread runs; NULL: it runs none. */
const struct sl__frame *sl__frame_current(void);
/* Workers of that pool that wait for the frame's thread; 0 for a frame that is NULL. `worker` UINT32_MAX: any, else this one only. */
uint32_t sl__frame_count(const struct sl__frame *frame, const void *owner, uint32_t worker);
/* Who waits for what the worker of this port does from now on: the lender's frame, or NULL. Cheap without one. `port` may be NULL. */
void sl__port_lend(struct sl__port *port, const struct sl__frame *frame);

#endif
