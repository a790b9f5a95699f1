/* SPDX-License-Identifier: MIT */
/*
 * The engine that drives the state table (state.c): events come in from watches, timers and the owner; the table says
 * what to do; what comes of it is the next event. So each function below does one thing and decides nothing.
 */
#include "worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "engine.h"
#include "events.h"
#include "lane/handshake.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/failure.h"
#include "sys/packet.h"

#define LEAVE_MS 1000    /* from the end of the socket to the end of the process */
#define KILL_MS 5000     /* from SIGKILL to the end of the process; more only when the kernel holds it */
#define EVENTS_MAX 16    /* that one event may lead to, one after the other */
#define LAST_WORDS_MAX 4 /* messages that are read after its death */
#define NS_PER_MS 1000000u

static void handle(struct sl__worker *worker, enum sl__worker_event event);

/* ---- events from outside -------------------------------------------------------------------------------------- */

static void time_up(void *context) {
    handle(context, SL__EVENT_TIME_UP);
}

static enum sl__worker_event hear(struct sl__worker *worker, const uint8_t *bytes, size_t size, int *fd) {
    struct sl_error why = SL_ERROR_INIT;
    struct sl__told told;
    bool last;
    if (worker->config.hear == NULL && sl__message_told(bytes, size, &told)) {
        if (sl__question_take(worker, &told, &last)) {
            return last ? SL__EVENT_TOLD : SL__EVENT_NONE;
        }
        if (worker->reason.code == SL_OK) {
            sl_error_set(&worker->reason, SL_E_WORKER_START, "%s answered what it had not been asked, and was killed",
                         worker->who);
        }
        return SL__EVENT_BABBLED;
    }
    enum sl__heard heard = worker->config.hear != NULL
                               ? worker->config.hear(worker->config.context, bytes, size, fd, &why)
                               : sl__message_understand(bytes, size, worker->config.spec->python, worker->who, &why);
    if (why.code != SL_OK && worker->reason.code == SL_OK) {
        sl_error_copy(&worker->reason, &why);
    }
    sl_error_finish(&why);
    switch (heard) {
    case SL__HEARD_READY:
        return SL__EVENT_ANSWERED;
    case SL__HEARD_FAILED:
        return SL__EVENT_REFUSED;
    case SL__HEARD_NEWS:
        return SL__EVENT_NONE;
    case SL__HEARD_NOISE:
        break;
    }
    return SL__EVENT_BABBLED;
}

static void socket_readable(void *context) {
    struct sl__worker *worker = context;
    uint8_t bytes[SL__MESSAGE_MAX];
    size_t size = 0, fd_count = 0;
    int fd = -1; /* only a template sends any */
    struct sl_error why = SL_ERROR_INIT;
    enum sl_code code = sl__packet_receive(worker->child.socket, bytes, sizeof(bytes), &size, &fd,
                                           worker->config.hear != NULL ? 1 : 0, &fd_count, SL__PACKET_NOWAIT, &why);
    if (code == SL_OK) {
        handle(worker, hear(worker, bytes, size, &fd));
        sl__close(&fd);
    } else if (code == SL_E_PROTOCOL) {
        if (worker->reason.code == SL_OK) {
            sl_error_set(&worker->reason, SL_E_WORKER_START, "%s broke the protocol of its life-cycle socket: %s",
                         worker->who, why.message);
        }
        handle(worker, SL__EVENT_BABBLED);
    } else if (code != SL_E_AGAIN) {
        /* The end stays readable for ever. */
        sl__watch_destroy(worker->socket_watch);
        worker->socket_watch = NULL;
        handle(worker, SL__EVENT_HUNG_UP);
    }
    sl_error_finish(&why);
}

/* What it said before it ended may not have been heard yet: both can be seen in the same turn of the loop, in any order. */
static void take_exit(struct sl__worker *worker) {
    for (int i = 0; i < LAST_WORDS_MAX && worker->socket_watch != NULL && sl__packet_waiting(worker->child.socket);
         i++) {
        socket_readable(worker);
    }
    handle(worker, SL__EVENT_EXITED);
}

static void exit_seen(void *context) {
    struct sl__worker *worker = context;
    if (worker->wish.stage != SL__WISH_ALIVE) {
        take_exit(worker);
        return;
    }
    /* Its parent, the template, knows how it ended, and says so in a moment. The pidfd stays readable for ever. */
    sl__watch_destroy(worker->exit_watch);
    worker->exit_watch = NULL;
    worker->end_seen = true;
    sl__template_expect(worker->config.template, &worker->wish);
}

/* ---- what the template says ----------------------------------------------------------------------------------- */

static void wish_turn(void *context) {
    handle(context, SL__EVENT_TURN);
}

static void wish_ended(void *context, const struct sl__process_end *end) {
    struct sl__worker *worker = context;
    worker->end = *end;
    worker->end_told = true;
    take_exit(worker);
}

/* Workers live as long as their template. This one has ended already, or will in a moment: the kernel sees to that. */
static void wish_orphaned(void *context, pid_t template_pid) {
    struct sl__worker *worker = context;
    if (worker->reason.code == SL_OK) {
        sl_error_set(&worker->reason, worker->was_ready ? SL_E_WORKER_CRASHED : SL_E_WORKER_START,
                     "%s (pid %ld, generation %u) %s its template (pid %ld), which has died; workers live as long as "
                     "their template",
                     worker->who, (long)worker->child.pid, worker->generation,
                     worker->end_seen ? "ended in a way that this process could not learn, with or shortly before"
                                      : "was ended with",
                     (long)template_pid);
    }
    if (worker->cause == SL_DEATH_UNKNOWN) {
        worker->cause = SL_DEATH_TEMPLATE;
    }
    if (worker->end_seen) {
        take_exit(worker);
        return;
    }
    sl__child_kill(&worker->child);
    handle(worker, SL__EVENT_KILLED);
}

/* ---- actions: each returns the event that came of it ---------------------------------------------------------- */

static void close_all(struct sl__worker *worker) {
    sl__timer_cancel(worker->timer);
    sl__watch_destroy(worker->exit_watch);
    sl__watch_destroy(worker->socket_watch);
    sl__outputs_unwatch(worker);
    worker->exit_watch = worker->socket_watch = NULL;
    sl__child_close(&worker->child);
    sl__black_box_close(&worker->box);
    sl__cgroup_close(&worker->group);
    sl__lane_destroy(worker->lane);
    worker->lane = NULL;
    sl__port_close(worker->port);
    worker->port = NULL;
    worker->pid = 0;
    if (worker->config.template != NULL) {
        sl__template_forget(worker->config.template, &worker->wish);
    }
}

static enum sl_code watch_all(struct sl__worker *worker, struct sl_error *error) {
    struct sl__loop *loop = worker->config.loop;
    struct sl__child *child = &worker->child;
    enum sl_code code = sl__watch_create(loop, child->pidfd, exit_seen, worker, &worker->exit_watch, error);
    if (code == SL_OK) {
        code = sl__watch_create(loop, child->socket, socket_readable, worker, &worker->socket_watch, error);
    }
    if (code == SL_OK) {
        code = sl__outputs_watch(worker, error);
    }
    return code;
}

static enum sl_code send_config(struct sl__worker *worker, struct sl_error *error) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    int fds[SL__CONFIG_FDS_MAX];
    size_t fd_count = 0;
    enum sl_code code;
    if (worker->config.hear != NULL) {
        code = sl__message_prepare(worker->config.spec, &bytes, &size, error);
    } else {
        code = sl__message_config(worker->config.spec, worker->config.index, &worker->config.lane,
                                  worker->config.cgroup == NULL ? worker->config.memory_max_bytes : 0, &bytes, &size,
                                  error);
        sl__lane_worker_fds(worker->lane, fds);
        fds[SL__LANE_FDS] = worker->box.fd;
        fd_count = SL__LANE_FDS + SL__CONFIG_FDS_EXTRA;
        if (worker->port != NULL) {
            fds[fd_count++] = sl__port_worker_fd(worker->port);
        }
    }
    if (code == SL_OK) {
        code = sl__packet_send(worker->child.socket, bytes, size, fds, fd_count, SL__PACKET_NOWAIT, error);
        free(bytes);
    }
    return code;
}

/* Of the machine, not of the interpreter: the same start may succeed later. */
static bool is_shortage(const struct sl_error *error) {
    return error->code == SL_E_OUT_OF_MEMORY ||
           (error->code == SL_E_SYSTEM && (error->system_errno == EMFILE || error->system_errno == ENFILE ||
                                           error->system_errno == EAGAIN || error->system_errno == ENOSPC));
}

static enum sl__worker_event do_say_stopped(struct sl__worker *worker) {
    sl__timer_cancel(worker->timer);
    worker->config.owner->stopped(worker->config.context, worker->config.index);
    return SL__EVENT_NONE;
}

/* A call that it has made breaks the protocol. */
static void port_broken(void *context, const char *why) {
    struct sl__worker *worker = context;
    if (worker->reason.code == SL_OK) {
        sl_error_set(&worker->reason, SL_E_PROTOCOL, "%s broke the protocol of its call socket and was killed: %s",
                     worker->who, why);
    }
    handle(worker, SL__EVENT_BABBLED);
}

static enum sl_code make_lane(struct sl__worker *worker, struct sl_error *error) {
    if (worker->config.hear != NULL) {
        return SL_OK;
    }
    worker->config.lane.generation = worker->generation;
    enum sl_code code = sl__lane_create(&worker->config.lane, &worker->lane, error);
    if (code == SL_OK) {
        code = sl__black_box_open(&worker->box, error);
    }
    if (code == SL_OK && worker->config.upcalls != NULL) {
        const struct sl__port_config config = {
            .pool = worker->config.pool,
            .owner = worker->config.caller,
            .worker = worker->config.index,
            .generation = worker->generation,
            .broken = port_broken,
            .context = worker,
        };
        code = sl__port_open(worker->config.upcalls, &config, &worker->port, error);
    }
    return code == SL_OK ? sl__limits_make(worker, error) : code;
}

/* One whose calls nobody answers must at least hear so: without a port its socket is at its end. */
static void serve_calls(struct sl__worker *worker) {
    struct sl_error error = SL_ERROR_INIT;
    if (worker->port != NULL && sl__port_serve(worker->port, &error) != SL_OK) {
        LOG(worker, SL_LOG_ERROR, "%s can call no views: %s", worker->who, error.message);
        sl__port_close(worker->port);
        worker->port = NULL;
    }
    sl_error_finish(&error);
}

static enum sl__worker_event fail_to_spawn(struct sl__worker *worker, enum sl_code code, struct sl_error *error) {
    sl_error_set(&worker->reason, is_shortage(error) ? code : SL_E_WORKER_START,
                 "%s could not be started with interpreter %s: %s", worker->who, worker->config.spec->python,
                 error->message);
    worker->reason.system_errno = error->system_errno;
    sl_error_finish(error);
    close_all(worker);
    return SL__EVENT_SPAWN_FAILED;
}

/* All that can fail is done before the state is left, so that a process is either whole or not there. */
static enum sl__worker_event start_process(struct sl__worker *worker) {
    const struct sl__spec *spec = worker->config.spec;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = make_lane(worker, &error);
    if (code == SL_OK) {
        code = sl__child_spawn(spec, worker->config.hear != NULL ? spec->template_argv : spec->argv, &worker->child,
                               &error);
    }
    if (code == SL_OK) {
        code = watch_all(worker, &error);
        if (code == SL_OK) {
            code = sl__cgroup_enter(&worker->group, worker->child.pid, &error);
        }
        if (code == SL_OK) {
            code = send_config(worker, &error);
        }
        if (code != SL_OK) {
            struct sl__process_end end;
            sl__child_kill(&worker->child);
            /* Blocks for the moment that a process which has not run yet takes to die. */
            (void)sl__process_reap(worker->child.pidfd, true, &end, NULL);
        }
    }
    if (code != SL_OK) {
        return fail_to_spawn(worker, code, &error);
    }
    worker->pid = worker->child.pid;
    return SL__EVENT_SPAWNED;
}

/* The configuration is in the socket before there is anybody to read it. */
static enum sl__worker_event ask_for_process(struct sl__worker *worker) {
    struct sl_error error = SL_ERROR_INIT;
    int out = -1, err = -1;
    enum sl_code code = make_lane(worker, &error);
    if (code == SL_OK) {
        code = sl__child_open(&worker->child, &out, &err, &error);
    }
    if (code == SL_OK) {
        code = send_config(worker, &error);
    }
    bool asked = false;
    if (code == SL_OK) {
        const int fds[SL__START_FDS] = {out, err, worker->child.theirs};
        enum sl_code told = sl__template_ask(worker->config.template, &worker->wish, worker->config.index,
                                             worker->generation, fds, &error);
        asked = told == SL_OK;
        /* Without memory for the question nothing is wrong with the template, and nobody would wake who waits for it. */
        code = told == SL_E_OUT_OF_MEMORY ? told : SL_OK;
    }
    sl__close(&out);
    sl__close(&err);
    if (code == SL_OK && !asked) { /* the template is of no use any more, and another will be started */
        sl_error_finish(&error);
        close_all(worker);
        sl__template_wait(worker->config.template, &worker->wish);
        return SL__EVENT_NONE;
    }
    return code == SL_OK ? SL__EVENT_NONE : fail_to_spawn(worker, code, &error);
}

/* Whoever was asked before, or is asked in vain, may still come to read the old configuration: so each attempt has a lane of its own. */
static enum sl__worker_event do_spawn_on(struct sl__worker *worker) {
    close_all(worker);
    worker->spawned_ns = sl__clock_now_ns();
    if (worker->config.template == NULL) {
        return start_process(worker);
    }
    switch (sl__template_way(worker->config.template, &worker->wish, &worker->reason)) {
    case SL__TEMPLATE_WAIT:
        sl__template_wait(worker->config.template, &worker->wish);
        return SL__EVENT_NONE;
    case SL__TEMPLATE_ASK:
        return ask_for_process(worker);
    case SL__TEMPLATE_FAILED:
        break;
    }
    worker->failed_before = true;
    return SL__EVENT_SPAWN_FAILED;
}

static enum sl__worker_event do_spawn(struct sl__worker *worker) {
    uint32_t *counter = worker->config.generation_counter;
    worker->generation = counter != NULL ? ++*counter : worker->generation + 1;
    worker->was_ready = worker->forked = worker->end_told = worker->end_seen = worker->wish.refused =
        worker->failed_before = worker->killed = false;
    worker->ready_ns = 0;
    worker->cause = SL_DEATH_UNKNOWN;
    sl_error_finish(&worker->reason);
    sl__questions_begin(worker);
    sl__outputs_finish(worker);
    const struct sl__worker_owner *owner = worker->config.owner;
    if (owner->admit != NULL && !owner->admit(worker->config.context, worker->config.index)) {
        return SL__EVENT_NONE;
    }
    return do_spawn_on(worker);
}

/* The template's answer. */
static void wish_started(void *context, pid_t pid, int pidfd, bool forked) {
    struct sl__worker *worker = context;
    struct sl_error error = SL_ERROR_INIT;
    worker->child.pid = pid;
    worker->child.pidfd = pidfd;
    worker->forked = forked;
    worker->spawned_ns = sl__clock_now_ns();
    enum sl_code code = watch_all(worker, &error);
    if (code == SL_OK) {
        code = sl__cgroup_enter(&worker->group, pid, &error);
    }
    if (code == SL_OK) {
        worker->pid = pid;
        handle(worker, SL__EVENT_SPAWNED);
        return;
    }
    sl__child_kill(&worker->child);
    handle(worker, fail_to_spawn(worker, code, &error));
}

static void wish_failed(void *context, int system_errno) {
    struct sl__worker *worker = context;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__system_error(&error, system_errno, "its template cannot start it");
    handle(worker, fail_to_spawn(worker, code, &error));
}

static enum sl__worker_event do_withdraw(struct sl__worker *worker) {
    close_all(worker);
    return do_say_stopped(worker);
}

static const struct sl__wisher wisher = {
    .turn = wish_turn,
    .started = wish_started,
    .failed = wish_failed,
    .ended = wish_ended,
    .orphaned = wish_orphaned,
};

static enum sl__worker_event do_greet(struct sl__worker *worker) {
    sl__timer_set(worker->timer, worker->config.start_timeout_ms);
    LOG(worker, SL_LOG_DEBUG, "%s %s, pid %ld", worker->who, worker->forked ? "forked" : "started",
        (long)worker->child.pid);
    sl__worker_tell_started(worker);
    return SL__EVENT_NONE;
}

static enum sl__worker_event do_announce(struct sl__worker *worker) {
    sl__timer_cancel(worker->timer);
    sl__close(&worker->child.theirs);
    if (worker->lane != NULL) {
        sl__lane_close_worker_fds(worker->lane);
    }
    serve_calls(worker);
    worker->was_ready = true;
    worker->ready_ns = sl__clock_now_ns();
    worker->questions.heard_ns = worker->ready_ns;
    const struct sl__life life = {
        .lane = worker->lane,
        .generation = worker->generation,
        .pid = worker->child.pid,
        .pidfd = worker->child.pidfd,
        .socket = worker->child.socket,
        .port = worker->port,
        .forked = worker->forked,
    };
    worker->lane = NULL;
    LOG(worker, SL_LOG_DEBUG, "%s ready after %" PRIu64 " ms", worker->who,
        (worker->ready_ns - worker->spawned_ns) / NS_PER_MS);
    sl__worker_tell_ready(worker);
    worker->config.owner->ready(worker->config.context, worker->config.index, &life);
    return SL__EVENT_NONE;
}

static enum sl__worker_event do_kill(struct sl__worker *worker) {
    worker->killed = true;
    sl__child_kill(&worker->child);
    /* What it says from now on is of no interest, and must not keep the loop busy. */
    sl__watch_destroy(worker->socket_watch);
    worker->socket_watch = NULL;
    sl__timer_set(worker->timer, KILL_MS);
    return SL__EVENT_NONE;
}

static enum sl__worker_event do_kill_late(struct sl__worker *worker) {
    sl__report_late(worker, &worker->reason);
    return do_kill(worker);
}

static enum sl__worker_event do_kill_babbler(struct sl__worker *worker) {
    if (worker->reason.code == SL_OK) {
        sl_error_set(&worker->reason, SL_E_WORKER_START, "%s said twice that it was ready and was killed", worker->who);
    }
    if (worker->was_ready) {
        worker->reason.code = SL_E_PROTOCOL;
    }
    return do_kill(worker);
}

static enum sl__worker_event do_kill_deaf(struct sl__worker *worker) {
    if (worker->end_seen) {
        return do_kill(worker); /* it has ended: the one who is deaf is the template, which has not told so */
    }
    sl_error_set(&worker->reason, worker->was_ready ? SL_E_WORKER_CRASHED : SL_E_WORKER_START,
                 "%s closed its life-cycle socket (descriptor %d) without ending, and was killed; does code that it "
                 "runs close descriptors that are not its own?",
                 worker->who, SL__WORKER_FD);
    return do_kill(worker);
}

static enum sl__worker_event do_question(struct sl__worker *worker) {
    if (worker->config.stack_timeout_ms == 0 || sl__worker_activity(worker) == SL_ACTIVITY_STOPPED ||
        !sl__question_ask(worker, worker->config.stack_timeout_ms)) {
        return SL__EVENT_TIME_UP; /* it cannot answer */
    }
    sl__timer_set(worker->timer, worker->config.stack_timeout_ms);
    return SL__EVENT_NONE;
}

static enum sl__worker_event do_terminate(struct sl__worker *worker) {
    if (worker->questions.answered != worker->questions.asked) {
        (void)sl__worker_activity(worker);
    }
    if (worker->config.term_grace_ms == 0 || sl__process_signal(worker->child.pidfd, SIGTERM, NULL) != SL_OK) {
        return SL__EVENT_TIME_UP;
    }
    sl__timer_set(worker->timer, worker->config.term_grace_ms);
    return SL__EVENT_NONE;
}

static enum sl__worker_event do_ask_to_stop(struct sl__worker *worker) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum sl_code code = sl__message_stop(&bytes, &size, NULL);
    if (code == SL_OK) {
        code = sl__packet_send(worker->child.socket, bytes, size, NULL, 0, SL__PACKET_NOWAIT, NULL);
        free(bytes);
    }
    if (code != SL_OK && code != SL_E_CLOSED) {
        return SL__EVENT_TIME_UP; /* it cannot be asked */
    }
    sl__timer_set(worker->timer, worker->config.stop_timeout_ms);
    return SL__EVENT_NONE;
}

enum sl_code sl__worker_tell(struct sl__worker *worker, const uint8_t *bytes, size_t size) {
    if (worker->state != SL__WORKER_READY) {
        return SL_E_NOT_FOUND;
    }
    enum sl_code code = sl__packet_send(worker->child.socket, bytes, size, NULL, 0, SL__PACKET_NOWAIT, NULL);
    if (code == SL_E_CLOSED) {
        return SL_E_NOT_FOUND; /* it is about to be seen to have gone */
    }
    return code == SL_OK ? SL_OK : SL_E_AGAIN; /* whatever this system lacks now it may have later */
}

static enum sl__worker_event ask_owner(struct sl__worker *worker, struct sl__death *death) {
    death->generation = worker->generation;
    death->was_ready = worker->was_ready;
    death->alive_ns = worker->was_ready ? sl__clock_now_ns() - worker->ready_ns : 0;
    sl__worker_tell_end(worker, death);
    worker->delay_ms = worker->config.owner->gone(worker->config.context, worker->config.index, death);
    sl_error_finish(&death->error);
    if (worker->delay_ms == SL__NO_RESTART) {
        return SL__EVENT_GIVE_UP;
    }
    if (!death->wanted) {
        sl__worker_tell_restarting(worker);
    }
    return worker->delay_ms == 0 ? SL__EVENT_RETRY : SL__EVENT_RETRY_LATER;
}

/* `ended`: the process can be reaped; else it is let go. */
static enum sl__worker_event collect(struct sl__worker *worker, bool ended, bool wanted) {
    struct sl__ending ending = {.end = {.exit_status = -1}, .pid = worker->child.pid};
    if (worker->was_ready) {
        char doing[96];
        sl__question_text(worker, doing, sizeof(doing));
        worker->config.owner->reaping(worker->config.context, worker->config.index, doing, &worker->reason,
                                      &worker->cause);
    }
    worker->pid = 0;
    ending.known = ended && worker->end_told;
    if (ending.known) {
        ending.end = worker->end;
    } else {
        /* A worker whose template is gone is our child where this process adopts orphans, as the first one of a container does. */
        ending.known = ended && sl__child_reap(&worker->child, &ending.end);
    }
    sl__outputs_drain(worker);
    struct sl__death death = {.error = SL_ERROR_INIT, .wanted = wanted};
    sl__report_death(worker, &ending, &death.error);
    close_all(worker);
    if (!wanted) {
        LOG(worker, SL_LOG_WARN, "%s", death.error.message);
    }
    return ask_owner(worker, &death);
}

static enum sl__worker_event do_collect_last(struct sl__worker *worker, bool ended) {
    (void)collect(worker, ended, true);
    return do_say_stopped(worker);
}

static void log_abandoned(struct sl__worker *worker) {
    LOG(worker, SL_LOG_ERROR, "pid %ld does not end though it was killed: the kernel holds it; it is let go",
        (long)worker->child.pid);
}

static enum sl__worker_event do_fail_spawn(struct sl__worker *worker) {
    struct sl__death death = {.error = SL_ERROR_INIT};
    sl_error_copy(&death.error, &worker->reason);
    death.error.worker = worker->config.index;
    death.error.generation = worker->generation;
    LOG(worker, worker->failed_before ? SL_LOG_DEBUG : SL_LOG_WARN, "%s", death.error.message);
    return ask_owner(worker, &death);
}

static enum sl__worker_event do_rest(struct sl__worker *worker) {
    LOG(worker, SL_LOG_INFO, "next start of %s in %" PRIu64 " ms", worker->who, worker->delay_ms);
    sl__timer_set(worker->timer, worker->delay_ms);
    return SL__EVENT_NONE;
}

static enum sl__worker_event run(struct sl__worker *worker, enum sl__worker_action action, enum sl__worker_state before,
                                 enum sl__worker_event event) {
    switch (action) {
    case SL__ACTION_NOTHING:
        return SL__EVENT_NONE;
    case SL__ACTION_SPAWN:
        return do_spawn(worker);
    case SL__ACTION_SPAWN_ON:
        return do_spawn_on(worker);
    case SL__ACTION_WITHDRAW:
        return do_withdraw(worker);
    case SL__ACTION_GREET:
        return do_greet(worker);
    case SL__ACTION_ANNOUNCE:
        return do_announce(worker);
    case SL__ACTION_QUESTION:
        return do_question(worker);
    case SL__ACTION_TERMINATE:
        return do_terminate(worker);
    case SL__ACTION_AWAIT_EXIT:
        sl__timer_set(worker->timer, LEAVE_MS);
        return SL__EVENT_NONE;
    case SL__ACTION_KILL_LATE:
        return do_kill_late(worker);
    case SL__ACTION_KILL_REFUSED:
    case SL__ACTION_KILL:
        return do_kill(worker);
    case SL__ACTION_AWAIT_KILL:
        worker->killed = true;
        sl__timer_set(worker->timer, KILL_MS);
        return SL__EVENT_NONE;
    case SL__ACTION_KILL_BABBLER:
        return do_kill_babbler(worker);
    case SL__ACTION_KILL_DEAF:
        return do_kill_deaf(worker);
    case SL__ACTION_ASK_TO_STOP:
        return do_ask_to_stop(worker);
    case SL__ACTION_COLLECT:
        return collect(worker, true, false);
    case SL__ACTION_COLLECT_LAST:
        return do_collect_last(worker, true);
    case SL__ACTION_ABANDON:
        log_abandoned(worker);
        return collect(worker, false, false);
    case SL__ACTION_ABANDON_LAST:
        log_abandoned(worker);
        return do_collect_last(worker, false);
    case SL__ACTION_FAIL_SPAWN:
        return do_fail_spawn(worker);
    case SL__ACTION_REST:
        return do_rest(worker);
    case SL__ACTION_RESIGN:
        sl__timer_cancel(worker->timer);
        return SL__EVENT_NONE;
    case SL__ACTION_SAY_STOPPED:
        return do_say_stopped(worker);
    case SL__ACTION_CANNOT_BE:
    case SL__ACTION_UNANSWERED:
    case SL__WORKER_ACTION_COUNT:
        break;
    }
    LOG(worker, SL_LOG_ERROR, "internal: event \"%s\" in state \"%s\" of a worker", sl__worker_event_name(event),
        sl__worker_state_name(before));
    SL_ASSERT(!"an event that cannot be in this state");
    return SL__EVENT_NONE;
}

static void handle(struct sl__worker *worker, enum sl__worker_event event) {
    for (int i = 0; event != SL__EVENT_NONE; i++) {
        SL_ASSERT(i < EVENTS_MAX);
        enum sl__worker_state before = worker->state;
        struct sl__worker_answer answer = sl__worker_answer(before, event);
        worker->state = answer.next;
        bool moves = answer.next != before, begins = answer.action == SL__ACTION_SPAWN;
        enum sl__worker_event cause = event;
        if (moves && !begins) {
            sl__worker_tell_state(worker, before, answer.next, cause);
        }
        event = run(worker, answer.action, before, event);
        if (moves && begins) { /* of the life that begins: its number is known by now */
            sl__worker_tell_state(worker, before, answer.next, cause);
        }
    }
}

/* ---- for the owner -------------------------------------------------------------------------------------------- */

enum sl_code sl__worker_create(const struct sl__worker_config *config, struct sl__worker **out,
                               struct sl_error *error) {
    struct sl__worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a worker");
    }
    worker->config = *config;
    worker->child = (struct sl__child)SL__CHILD_INIT;
    worker->box = (struct sl__black_box){.fd = -1};
    worker->reason = (struct sl_error)SL_ERROR_INIT;
    worker->wish = (struct sl__wish){.wisher = &wisher, .context = worker};
    if (config->hear != NULL) {
        snprintf(worker->who, sizeof(worker->who), "the template");
    } else {
        snprintf(worker->who, sizeof(worker->who), "worker %u", config->index);
    }
    if (config->oom_sources != NULL) {
        worker->oom_sources = *config->oom_sources;
    } else {
        sl__oom_sources_find(&worker->oom_sources);
    }
    sl__outputs_init(worker);
    enum sl_code code = sl__timer_create(config->loop, time_up, worker, &worker->timer, error);
    if (code != SL_OK) {
        free(worker);
        return code;
    }
    *out = worker;
    return SL_OK;
}

void sl__worker_destroy(struct sl__worker *worker) {
    if (worker == NULL) {
        return;
    }
    SL_ASSERT(worker->state == SL__WORKER_STOPPED || worker->state == SL__WORKER_FAILED);
    sl__timer_destroy(worker->timer);
    sl__outputs_finish(worker);
    sl_error_finish(&worker->reason);
    free(worker);
}

void sl__worker_start(struct sl__worker *worker) {
    handle(worker, SL__EVENT_START);
}

void sl__worker_admit(struct sl__worker *worker) {
    handle(worker, SL__EVENT_TURN);
}

void sl__worker_stop(struct sl__worker *worker) {
    handle(worker, SL__EVENT_STOP);
}

void sl__worker_killed(struct sl__worker *worker) {
    handle(worker, SL__EVENT_KILLED);
}

void sl__worker_condemn(struct sl__worker *worker) {
    handle(worker, SL__EVENT_CONDEMNED);
}

void sl__worker_give_up(struct sl__worker *worker) {
    if (worker->state == SL__WORKER_BACKING_OFF) {
        handle(worker, SL__EVENT_GIVE_UP);
    }
}

enum sl__worker_state sl__worker_state(const struct sl__worker *worker) {
    return worker->state;
}

void sl__life_kill(const struct sl__life *life) {
    const struct sl__child child = {.pid = life->pid, .pidfd = life->pidfd};
    sl__child_kill(&child);
}

int64_t sl__worker_pid(const struct sl__worker *worker) {
    return worker->pid;
}
