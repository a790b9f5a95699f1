/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "lane/handshake.h"
#include "sys/descriptor.h"
#include "sys/packet.h"
#include "sys/spawn.h"

static enum sl_code open_ends(struct sl__child *child, int *out, int *err, struct sl_error *error) {
    enum sl_code code = sl__pipe_create(&child->out, out, error);
    if (code == SL_OK) {
        code = sl__pipe_create(&child->err, err, error);
    }
    if (code == SL_OK) {
        code = sl__set_nonblocking(child->out, error);
    }
    if (code == SL_OK) {
        code = sl__set_nonblocking(child->err, error);
    }
    int pair[2] = {-1, -1};
    if (code == SL_OK) {
        code = sl__packet_pair(pair, error);
    }
    child->socket = pair[0];
    child->theirs = pair[1];
    return code;
}

enum sl_code sl__child_open(struct sl__child *child, int *out, int *err, struct sl_error *error) {
    *child = (struct sl__child)SL__CHILD_INIT;
    *out = *err = -1;
    enum sl_code code = open_ends(child, out, err, error);
    if (code != SL_OK) {
        sl__close(out);
        sl__close(err);
        sl__child_close(child);
    }
    return code;
}

enum sl_code sl__child_spawn(const struct sl__spec *spec, char *const *argv, struct sl__child *child,
                             struct sl_error *error) {
    int null = -1, out, err;
    enum sl_code code = sl__child_open(child, &out, &err, error);
    if (code == SL_OK) {
        code = sl__open_null(&null, error);
    }
    if (code == SL_OK) {
        const struct sl__spawn_fd fds[] = {
            {null, 0},
            {out, 1},
            {err, 2},
            {child->theirs, SL__WORKER_FD},
        };
        const struct sl__spawn spawn = {
            .program = spec->python,
            .argv = (const char *const *)argv,
            .envp = (const char *const *)spec->envp,
            .directory = spec->directory,
            .fds = fds,
            .fd_count = SL_COUNT_OF(fds),
            .group = SL__SPAWN_SESSION_OWN,
            .death_signal = SIGKILL, /* until it can see the end of its socket */
        };
        code = sl__spawn(&spawn, &child->pid, &child->pidfd, error);
    }
    sl__close(&null);
    sl__close(&out);
    sl__close(&err);
    if (code != SL_OK) {
        child->pid = 0;
        sl__child_close(child);
    }
    return code;
}

void sl__child_kill(const struct sl__child *child) {
    /* Group first: once the leader is dead and reaped, nobody knows the group any more. */
    (void)sl__process_signal_group(child->pidfd, child->pid, SIGKILL, NULL);
    (void)sl__process_signal(child->pidfd, SIGKILL, NULL);
}

bool sl__child_reap(struct sl__child *child, struct sl__process_end *end) {
    *end = (struct sl__process_end){.exit_status = -1};
    (void)sl__process_signal_group(child->pidfd, child->pid, SIGKILL, NULL);
    return sl__process_reap(child->pidfd, false, end, NULL) == SL_OK;
}

void sl__child_close(struct sl__child *child) {
    sl__close(&child->pidfd);
    sl__close(&child->socket);
    sl__close(&child->theirs);
    sl__close(&child->out);
    sl__close(&child->err);
    child->pid = 0;
}

void sl__end_text(const struct sl__process_end *end, bool known, char *text, size_t size) {
    if (!known || (end->term_signal == 0 && end->exit_status < 0)) {
        snprintf(text, size, "ended in a way that this process could not learn (it was reaped by someone else)");
    } else if (end->term_signal != 0) {
        const char *name = sigabbrev_np(end->term_signal);
        const char *core = end->core_dumped ? " (core dumped)" : "";
        if (name != NULL) {
            snprintf(text, size, "was killed by SIG%s%s", name, core);
        } else {
            snprintf(text, size, "was killed by signal %d%s", end->term_signal, core);
        }
    } else {
        snprintf(text, size, "exited with status %d", end->exit_status);
    }
}
