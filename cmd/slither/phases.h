/* SPDX-License-Identifier: MIT */
/*
 * How far a command that runs items is, and what a signal does then.
 *
 *   phase     first signal                 second                          third
 *   opening   the program says so and ends
 *   starting  report, the program ends
 *   running   drain                        cancel, do not wait for readers the program ends
 *   closing   nothing: it is ending        do not wait for readers         the program ends
 *   cleaning  the program ends with the status that it has
 *
 * The thread that runs the command says which phase it is in; the signal thread reads it under the same lock.
 */
#ifndef SLITHER_CLI_PHASES_H
#define SLITHER_CLI_PHASES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "stop.h"

enum phase {
    PHASE_OPENING,  /* not even the files are open */
    PHASE_STARTING, /* nothing was run */
    PHASE_RUNNING,
    PHASE_CLOSING, /* the rest is being written */
    PHASE_CLEANING /* all is said */
};

/* Called in the signal thread, with the phase held. */
struct phase_actions {
    void (*write_early)(void *context); /* nothing was run, and nothing will be: the report */
    void (*drain)(void *context);
    void (*cancel)(void *context);
    /* SIGHUP means something else than the end; `running`: else the program starts. False: it is a signal like others. May be NULL. */
    bool (*hangup)(void *context, bool running);
};

struct phases {
    const struct phase_actions *actions;
    void *context;
    const int *quiet; /* not 0: no word on what is waited for */
    pthread_mutex_t mutex;
    enum phase phase;
    int status;        /* what the program ends with, once it is cleaning up */
    unsigned count;    /* of signals */
    atomic_int signal; /* that interrupted the run, or 0 */
    struct stop stop;
};

/* Starts the signal thread, so call it before any other exists. What is pointed to must live as long as the process. False: errno. */
bool phases_start(struct phases *phases, const struct phase_actions *actions, void *context, const int *quiet);
/* No signal is taken any more. */
void phases_finish(struct phases *phases);

void phases_enter(struct phases *phases, enum phase phase);
/* PHASE_CLEANING. */
void phases_clean(struct phases *phases, int status);

/* Whether a signal interrupted the run, and its name; NULL: none did. */
bool phases_interrupted(const struct phases *phases);
const char *phases_signal_name(const struct phases *phases);

#endif
