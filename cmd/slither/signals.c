/* SPDX-License-Identifier: MIT */
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

/* Tells the signal thread to end; never sent by anybody else on purpose. */
#define SIGNAL_STOP SIGUSR2

static struct {
    pthread_t thread;
    sigset_t set;
    signal_fn *taken;
    void *context;
    atomic_bool stopping;
    bool started;
} signals;

static void *take_signals(void *unused) {
    (void)unused;
    for (;;) {
        int number = 0;
        if (sigwait(&signals.set, &number) != 0) {
            continue;
        }
        if (atomic_load(&signals.stopping)) {
            return NULL;
        }
        if (number != SIGNAL_STOP) {
            signals.taken(signals.context, number);
        }
    }
}

bool signals_start(signal_fn *taken, void *context) {
    signals.taken = taken;
    signals.context = context;
    sigemptyset(&signals.set);
    sigaddset(&signals.set, SIGNAL_STOP);
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct sigaction action;
        bool ignored = sigaction(wanted[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN;
        /*
         * Under nohup a hangup is to be ignored. A shell ignores SIGINT for what it runs in the background, but who
         * sends one all the same means it.
         */
        if (ignored && wanted[i] == SIGHUP) {
            continue;
        }
        if (ignored) {
            signal(wanted[i], SIG_DFL);
        }
        sigaddset(&signals.set, wanted[i]);
    }
    int number;
    if ((number = pthread_sigmask(SIG_BLOCK, &signals.set, NULL)) != 0 ||
        (number = pthread_create(&signals.thread, NULL, take_signals, NULL)) != 0) {
        errno = number;
        return false;
    }
    signals.started = true;
    return true;
}

void signals_stop(void) {
    if (signals.started) {
        atomic_store(&signals.stopping, true);
        pthread_kill(signals.thread, SIGNAL_STOP);
        pthread_join(signals.thread, NULL);
        signals.started = false;
    }
}
