/* SPDX-License-Identifier: MIT */
#include "phases.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "console.h"
#include "signals.h"
#include "status.h"

static const char *signal_name(int number) {
    switch (number) {
    case 0:
        return NULL;
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    default:
        return "SIGHUP";
    }
}

static void take_while_running(struct phases *phases, int number) {
    if (phases->count >= 3) {
        _exit(STATUS_INTERRUPTED);
    }
    atomic_store(&phases->signal, number);
    if (phases->count == 1) {
        phases->actions->drain(phases->context);
        if (!*phases->quiet) {
            console_message(CONSOLE_PLAIN, "%s: finishing what is in flight; once more to stop at once",
                            signal_name(number));
        }
    } else {
        stop_say(&phases->stop);
        phases->actions->cancel(phases->context);
    }
}

/* In the signal thread. */
static void take_signal(void *context, int number) {
    struct phases *phases = context;
    const struct phase_actions *actions = phases->actions;
    pthread_mutex_lock(&phases->mutex);
    bool running = phases->phase == PHASE_RUNNING;
    if (number == SIGHUP && actions->hangup != NULL && (running || phases->phase == PHASE_STARTING) &&
        actions->hangup(phases->context, running)) {
        pthread_mutex_unlock(&phases->mutex);
        return;
    }
    phases->count++;
    switch (phases->phase) {
    case PHASE_OPENING:
    case PHASE_STARTING:
        atomic_store(&phases->signal, number);
        console_stop();
        console_message(CONSOLE_ERROR, "%s before the first item", signal_name(number));
        if (phases->phase == PHASE_STARTING) {
            actions->write_early(phases->context);
        }
        _exit(STATUS_INTERRUPTED); /* the workers see that their host is gone, and go too */
    case PHASE_RUNNING:
        take_while_running(phases, number);
        break;
    case PHASE_CLOSING:
        if (phases->count >= 3) {
            _exit(STATUS_INTERRUPTED);
        }
        if (phases->count == 2) { /* the first one had nothing left to stop */
            atomic_store(&phases->signal, number);
            stop_say(&phases->stop);
        }
        break;
    case PHASE_CLEANING:
        _exit(phases->status);
    }
    pthread_mutex_unlock(&phases->mutex);
}

bool phases_start(struct phases *phases, const struct phase_actions *actions, void *context, const int *quiet) {
    phases->actions = actions;
    phases->context = context;
    phases->quiet = quiet;
    phases->phase = PHASE_OPENING;
    pthread_mutex_init(&phases->mutex, NULL);
    return stop_init(&phases->stop) && signals_start(take_signal, phases);
}

void phases_finish(struct phases *phases) {
    signals_stop();
    stop_finish(&phases->stop);
}

void phases_enter(struct phases *phases, enum phase phase) {
    pthread_mutex_lock(&phases->mutex);
    phases->phase = phase;
    pthread_mutex_unlock(&phases->mutex);
}

void phases_clean(struct phases *phases, int status) {
    pthread_mutex_lock(&phases->mutex);
    phases->phase = PHASE_CLEANING;
    phases->status = status;
    pthread_mutex_unlock(&phases->mutex);
}

bool phases_interrupted(const struct phases *phases) {
    return atomic_load(&phases->signal) != 0;
}

const char *phases_signal_name(const struct phases *phases) {
    return signal_name(atomic_load(&phases->signal));
}
