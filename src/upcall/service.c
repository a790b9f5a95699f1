/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait for calls and run views.
 *
 * All of them wait in one set. A socket wakes one of them (once), which takes the request out, puts the socket back, so that a slow
 * view of one Python thread is in no other's way, and runs the view itself: one wake-up each way. Before a view begins, another
 * listener is seen to; so there is at least one whatever the views do, and it keeps the time. A call that finds running_max views at
 * work waits in `waiting`; whoever ends a view takes the next that may run.
 *
 * Where the last view of a worker was swift its thread does not put the socket back but *holds* it: after the reply it looks for the next
 * request for some microseconds, without a wake-up and without another thread that is woken for nothing. When the view turns out to
 * be slow, the alarm (late.c) puts the socket back after SL__HOLD_NS.
 *
 * A call is answered once. `answered` is set under the lock by the one who sends the reply: the thread that ran the view, or the
 * listener that saw the alarm.
 */
#include "service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/macros.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/packet.h"
#include "sys/processors.h"
#include "sys/ready.h"

#define KEY_STOP UINT64_MAX
#define KEY_ALARM (UINT64_MAX - 1)

/* ---- taking a request ----------------------------------------------------------------------------------------------- */

static void refuse(struct sl__server *server, struct sl__port *port, uint64_t number, enum sl__call_outcome outcome,
                   const struct sl_error *error) {
    struct sl__upcalls *home = server->home;
    home->stats.refusal_count++;
    pthread_mutex_unlock(&home->lock);
    sl__call_refuse(port, server, number, outcome, error->code, error->message, NULL);
    pthread_mutex_lock(&home->lock);
}

static void no_such_view(struct sl__upcalls *home, const struct sl__request_in *in, struct sl_error *error) {
    char names[SL_ERROR_MESSAGE_SIZE - 200];
    sl__view_names(home, names, sizeof names);
    sl_error_set(error, SL_E_NOT_FOUND, "there is no view \"%.*s\"; %s%s", (int)in->name_size, in->name,
                 names[0] != '\0' ? "the host has registered: " : "the host has registered none", names);
}

/* With the lock held. The copy of a call that is to wait, and of its packet. */
static struct sl__call *copy_call(const struct sl__call *call, const uint8_t *packet, size_t size) {
    struct sl__call *copy = malloc(sizeof *copy + size);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *call;
    copy->heap = copy;
    uint8_t *bytes = (uint8_t *)(copy + 1);
    memcpy(bytes, packet, size);
    copy->in.name = (const char *)bytes + ((const uint8_t *)call->in.name - packet);
    if (call->in.mapping == NULL) {
        struct sl_value *const parts[] = {&copy->in.positional, &copy->in.keywords, &copy->in.keys};
        for (size_t i = 0; i < SL_COUNT_OF(parts); i++) {
            if (parts[i]->data != NULL) {
                parts[i]->data = bytes + (parts[i]->data - packet);
            }
        }
    }
    return copy;
}

/* With the lock held. What stands against it; SL_OK: nothing. */
static enum sl_code check_bounds(struct sl__upcalls *home, const struct sl__port *port, const struct sl__call *call,
                                 struct sl_error *error) {
    if (port->unanswered >= SL__CALL_PENDING_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "this worker has %d calls of views under way, which is the most allowed",
                            SL__CALL_PENDING_MAX);
    }
    if (port->frame.depth >= SL_VIEW_DEPTH_MAX) {
        return sl_error_set(error, SL_E_LIMIT,
                            "view %s was called %d views deep: each of them has dispatched to a function that calls "
                            "the next; is there one that leads to itself?",
                            call->view->options.name, SL_VIEW_DEPTH_MAX);
    }
    if (!sl__call_may_run(home, call->view) && home->waiting.count >= SL__WAITING_MAX) {
        return sl_error_set(error, SL_E_LIMIT,
                            "%d calls wait for their turn, which is the most allowed; %zu views run, view_threads_max "
                            "is %u",
                            SL__WAITING_MAX, home->running.count, home->running_max);
    }
    return SL_OK;
}

/* With the lock held. Fills in what a call that has been admitted needs. */
static void enter(struct sl__upcalls *home, struct sl__call *call) {
    struct sl__port *port = call->port;
    uint32_t asked_ms = call->in.timeout_ms, depth = port->frame.depth;
    call->timeout_ms = call->view->options.timeout_ms;
    call->timeout_ms = asked_ms != 0 ? SL_MIN(asked_ms, call->timeout_ms) : call->timeout_ms;
    call->deadline_ns = sl__clock_deadline_ms(call->timeout_ms);
    call->frame.depth = depth + 1;
    memcpy(call->frame.entries, port->frame.entries, depth * sizeof port->frame.entries[0]);
    call->frame.entries[depth] = (struct sl__frame_entry){port->config.owner, port->config.worker, call->view};
    port->unanswered++;
    call->view->pending++;
    sl__late_watch(home, call->deadline_ns);
}

/*
 * With the lock held, which it may let go. Takes over what `in` owns, and a reference to the port, whose socket has not been put back: it is
 * by the time that this returns, unless server->held says otherwise.
 */
static void admit(struct sl__server *server, struct sl__port *port, struct sl__request_in *in, size_t size) {
    struct sl__upcalls *home = server->home;
    struct sl_error error;
    struct sl__call call = {.port = port, .in = *in};
    enum sl__call_outcome outcome = SL__CALL_FAILED;
    enum sl_code code = SL_OK;
    bool runs = false;
    int number = 0;
    sl__error_init(&error);
    call.view = sl__scope_find(home, port->config.owner, in->session, in->name, in->name_size);
    if (call.view == NULL) {
        call.view = sl__view_find(home, in->name, in->name_size);
    }
    if (call.view == NULL) {
        outcome = SL__CALL_UNKNOWN;
        code = SL_E_NOT_FOUND;
        no_such_view(home, in, &error);
    } else {
        code = check_bounds(home, port, &call, &error);
        runs = code == SL_OK && sl__call_may_run(home, call.view);
    }
    if (runs && home->listeners < 2 && !sl__service_start_thread(home, &number)) {
        code = sl_error_set(&error, SL_E_SYSTEM, "no thread could be started for view %s: %s", call.view->options.name,
                            strerror(number));
    }
    struct sl__call *waits = NULL;
    if (code == SL_OK && !runs && (waits = copy_call(&call, server->in, size)) == NULL) {
        code = sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for a call of view %s that has to wait",
                            call.view->options.name);
    }
    call.holds = code == SL_OK && runs && port->swift;
    if (!call.holds) {
        sl__port_again(port);
    }
    if (code != SL_OK) {
        refuse(server, port, in->number, outcome, &error);
        sl__call_free(&call);
    } else if (runs) {
        enter(home, &call);
        sl__call_run(server, &call);
    } else {
        enter(home, waits);
        sl__list_push_back(&home->waiting, &waits->link);
    }
}

/* With the lock held, which it lets go for a while. What the worker has sent was received with `code`. */
static void understand(struct sl__server *server, struct sl__port *port, enum sl_code code, size_t size, int *fd,
                       struct sl_error *error) {
    struct sl__upcalls *home = server->home;
    struct sl__request_in in = {0};
    bool ended = code == SL_E_END, nothing = code == SL_E_AGAIN;
    if (code == SL_OK) {
        pthread_mutex_unlock(&home->lock);
        code = sl__request_read(server->in, size, fd, *fd >= 0 ? 1 : 0, &in, error);
        pthread_mutex_lock(&home->lock);
    }
    if (code == SL_OK && !port->closed) {
        admit(server, sl__port_ref(port), &in, size);
        return;
    }
    bool shortage = code == SL_E_OUT_OF_MEMORY || code == SL_E_SYSTEM;
    if (code != SL_OK && !ended && !nothing && !shortage) {
        sl__port_break(port, error->message);
    }
    if (!ended) { /* the end stays readable for ever */
        sl__port_again(port);
    }
    if (shortage && in.number != 0 && !port->closed) {
        refuse(server, port, in.number, SL__CALL_FAILED, error);
    }
    sl__request_finish(&in);
}

/* Without the lock. The next request, if it comes at once: between two calls a worker often does little. */
static enum sl_code receive_soon(struct sl__server *server, struct sl__port *port, size_t *size, int *fd) {
    struct sl__spin_turn turn;
    size_t fd_count;
    enum sl_code code = SL_E_AGAIN;
    if (!sl__spin_begin(&server->spin, &turn)) {
        return code;
    }
    while (code == SL_E_AGAIN && sl__spin_goes_on(&turn)) {
        code = sl__packet_receive(port->fd, server->in, sizeof server->in, size, fd, 1, &fd_count, SL__PACKET_NOWAIT,
                                  NULL);
    }
    sl__spin_end(&server->spin, code == SL_OK);
    return code;
}

/* With the lock held, which it lets go for a while. */
static void take(struct sl__server *server, uint64_t key) {
    struct sl__upcalls *home = server->home;
    struct sl__port *port = sl__port_find(home, key);
    struct sl_error error;
    size_t size = 0, fd_count;
    int fd = -1;
    if (port == NULL) {
        return;
    }
    sl__error_init(&error);
    pthread_mutex_unlock(&home->lock);
    enum sl_code code = sl__packet_receive(port->fd, server->in, sizeof server->in, &size, &fd, 1, &fd_count,
                                           SL__PACKET_NOWAIT, &error);
    pthread_mutex_lock(&home->lock);
    for (;;) {
        server->held = NULL;
        understand(server, port, code, size, &fd, &error);
        if (server->held != port) {
            break;
        }
        if (home->closing) {
            sl__port_again(port);
            break;
        }
        pthread_mutex_unlock(&home->lock);
        fd = -1;
        code = receive_soon(server, port, &size, &fd);
        pthread_mutex_lock(&home->lock);
        if (code != SL_OK) { /* whatever it is, whoever reads next finds it too */
            sl__port_again(port);
            break;
        }
    }
    sl__port_unref(port);
    sl_error_finish(&error);
}

void sl__service_turn_away(struct sl__upcalls *home, const struct sl_view *view) {
    struct sl__server *server = NULL;
    for (;;) {
        struct sl__link *link = sl__list_first(&home->waiting);
        while (link != NULL && SL_CONTAINER_OF(link, struct sl__call, link)->view != view) {
            link = sl__list_after(&home->waiting, link);
        }
        if (link == NULL) {
            break;
        }
        struct sl__call *call = SL_CONTAINER_OF(link, struct sl__call, link);
        sl__list_remove(&home->waiting, link);
        call->answered = true;
        call->port->unanswered--;
        home->stats.refusal_count++;
        char text[SL_ERROR_MESSAGE_SIZE];
        snprintf(text, sizeof text, "view %s was unregistered while the call waited for its turn", view->options.name);
        sl__view_release(call->view);
        pthread_mutex_unlock(&home->lock);
        if (server == NULL && (server = calloc(1, sizeof *server)) != NULL) {
            server->home = home;
            sl_writer_init(&server->details, NULL);
        }
        if (server != NULL) {
            sl__call_refuse(call->port, server, call->in.number, SL__CALL_UNKNOWN, SL_E_NOT_FOUND, text, NULL);
        }
        sl__call_free(call);
        pthread_mutex_lock(&home->lock);
    }
    if (server != NULL) {
        sl_writer_finish(&server->details);
        free(server);
    }
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

static struct sl__server *make_server(struct sl__upcalls *home) {
    struct sl__server *server = malloc(sizeof *server); /* its packets are not to be touched before they are used */
    if (server != NULL) {
        server->home = home;
        server->next = NULL;
        server->listens = false;
        server->held = NULL;
        sl__spin_init_as(&server->spin, home->alone);
        sl_writer_init(&server->writer, NULL);
        sl_writer_init(&server->details, NULL);
    }
    return server;
}

static void free_server(struct sl__server *server) {
    if (server != NULL) {
        sl_writer_finish(&server->writer);
        sl_writer_finish(&server->details);
        free(server);
    }
}

/* With the lock held. False: nothing happened. */
static bool await(struct sl__upcalls *home, uint64_t *key) {
    int timeout_ms = home->listeners > SL__LISTENERS_KEPT ? (int)home->idle_ms : -1;
    pthread_mutex_unlock(&home->lock);
    bool woken = sl__ready_wait(home->set, timeout_ms, key);
    pthread_mutex_lock(&home->lock);
    return woken;
}

static void *serve(void *argument) {
    struct sl__server *server = argument;
    struct sl__upcalls *home = server->home;
    server->listens = true;
    pthread_mutex_lock(&home->lock);
    while (!home->closing) {
        uint64_t key;
        if (!await(home, &key)) {
            if (home->listeners > SL__LISTENERS_KEPT) {
                break;
            }
        } else if (key == KEY_ALARM) {
            sl__late_ring(server);
        } else if (key != KEY_STOP) {
            take(server, key);
        }
    }
    home->listeners--;
    home->threads--;
    server->next = home->ended;
    home->ended = server;
    pthread_cond_broadcast(&home->changed);
    pthread_mutex_unlock(&home->lock);
    return NULL;
}

/* With the lock held, which those that have ended do not need any more. */
static void join_ended(struct sl__upcalls *home) {
    while (home->ended != NULL) {
        struct sl__server *server = home->ended;
        home->ended = server->next;
        pthread_join(server->thread, NULL);
        free_server(server);
    }
}

bool sl__service_start_thread(struct sl__upcalls *home, int *number) {
    join_ended(home);
    struct sl__server *server = make_server(home);
    if (server == NULL) {
        *number = ENOMEM;
        return false;
    }
    /* The host's signal handlers do not run on it. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    *number = pthread_create(&server->thread, NULL, serve, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (*number != 0) {
        free_server(server);
        return false;
    }
    (void)pthread_setname_np(server->thread, "slither-view");
    home->listeners++;
    home->threads++;
    return true;
}

void sl__service_step_out(struct sl__server *server) {
    struct sl__upcalls *home = server->home;
    int unused;
    if (server->listens) {
        pthread_mutex_lock(&home->lock);
        if (--home->listeners == 0) {
            (void)sl__service_start_thread(home, &unused); /* else calls wait until it is back */
        }
        pthread_mutex_unlock(&home->lock);
    }
}

void sl__service_step_in(struct sl__server *server) {
    if (server->listens) {
        pthread_mutex_lock(&server->home->lock);
        server->home->listeners++;
        pthread_mutex_unlock(&server->home->lock);
    }
}

/* ---- without a thread ------------------------------------------------------------------------------------------------ */

/* Nothing can run here: without a thread there has never been a view. */
static void attend(void *context) {
    struct sl__upcalls *home = context;
    uint64_t key;
    pthread_mutex_lock(&home->lock);
    if (home->threads == 0 && sl__ready_wait(home->set, 0, &key)) {
        take(home->clerk, key);
    }
    pthread_mutex_unlock(&home->lock);
}

enum sl_code sl__service_attend(struct sl__upcalls *home, struct sl_error *error) {
    if (home->clerk == NULL && (home->clerk = make_server(home)) == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the calls of workers");
    }
    return sl__watch_create(home->runtime->loop, home->set, attend, home, &home->watch, error);
}

static void stop_attending(void *context) {
    struct sl__upcalls *home = context;
    sl__watch_destroy(home->watch);
    home->watch = NULL;
}

void sl__service_relieve(struct sl__upcalls *home) {
    pthread_mutex_lock(&home->lock);
    bool attended = home->attended;
    home->attended = false;
    pthread_mutex_unlock(&home->lock);
    if (attended) {
        sl__loop_call(home->runtime->loop, stop_attending, home);
    }
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void destroy(struct sl__annex *annex) {
    struct sl__upcalls *home = SL_CONTAINER_OF(annex, struct sl__upcalls, annex);
    pthread_mutex_lock(&home->lock);
    home->closing = true;
    sl__signal_set(home->stop);
    while (home->threads > 0) {
        pthread_cond_wait(&home->changed, &home->lock);
    }
    join_ended(home);
    pthread_mutex_unlock(&home->lock);
    sl__loop_call(home->runtime->loop, stop_attending, home);
    for (struct sl__link *link; (link = sl__list_pop_front(&home->waiting)) != NULL;) {
        struct sl__call *call = SL_CONTAINER_OF(link, struct sl__call, link);
        sl__view_release(call->view);
        sl__call_free(call);
    }
    while (home->views.count > 0) {
        struct sl_view *view = home->views.items[--home->views.count];
        free((void *)(uintptr_t)view->options.name);
        free(view);
    }
    SL_ARRAY_FINISH(&home->views);
    sl__scopes_finish(home);
    SL_ARRAY_FINISH(&home->ports);
    free_server(home->clerk);
    sl__close(&home->set);
    sl__close(&home->stop);
    sl__close(&home->alarm);
    pthread_cond_destroy(&home->changed);
    pthread_mutex_destroy(&home->lock);
    free(home);
}

static enum sl_code create(struct sl_runtime *runtime, struct sl__upcalls **out, struct sl_error *error) {
    struct sl__upcalls *home = calloc(1, sizeof *home);
    if (home == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the calls of workers");
    }
    home->annex.destroy = destroy;
    home->runtime = runtime;
    home->running_max = runtime->view_threads_max;
    home->idle_ms = SL__LISTENER_IDLE_MS;
    home->alone = sl__processor_affinity() < 2;
    home->set = home->stop = home->alarm = -1;
    sl__list_init(&home->scope_list);
    sl__list_init(&home->running);
    sl__list_init(&home->waiting);
    enum sl_code code = sl__ready_create(&home->set, error);
    if (code == SL_OK) {
        code = sl__signal_create(&home->stop, error);
    }
    if (code == SL_OK) {
        code = sl__alarm_create(&home->alarm, error);
    }
    if (code == SL_OK) {
        code = sl__ready_add(home->set, home->stop, KEY_STOP, false, error);
    }
    if (code == SL_OK) {
        code = sl__ready_add(home->set, home->alarm, KEY_ALARM, false, error);
    }
    if (code != SL_OK) {
        sl__close(&home->set);
        sl__close(&home->stop);
        sl__close(&home->alarm);
        free(home);
        return code;
    }
    pthread_mutex_init(&home->lock, NULL);
    pthread_cond_init(&home->changed, NULL);
    *out = home;
    return SL_OK;
}

enum sl_code sl__upcalls_of(struct sl_runtime *runtime, struct sl__upcalls **upcalls, struct sl_error *error) {
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&runtime->lock);
    if (runtime->upcalls == NULL) {
        struct sl__upcalls *made = NULL;
        code = create(runtime, &made, error);
        runtime->upcalls = made != NULL ? &made->annex : NULL;
    }
    if (code == SL_OK) {
        *upcalls = SL_CONTAINER_OF(runtime->upcalls, struct sl__upcalls, annex);
    }
    pthread_mutex_unlock(&runtime->lock);
    return code;
}
