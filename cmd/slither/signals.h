/* SPDX-License-Identifier: MIT */
/*
 * SIGINT, SIGTERM and SIGHUP, taken by a thread that waits for nothing else: what follows a signal may then lock,
 * print and write files like any code.
 */
#ifndef SLITHER_CLI_SIGNALS_H
#define SLITHER_CLI_SIGNALS_H

#include <stdbool.h>

/* Called in the signal thread. */
typedef void signal_fn(void *context, int number);

/*
 * Blocks the signals in this thread, and so in all that it starts, and starts the thread that takes them. Call it
 * before any other thread exists. False: errno.
 */
bool signals_start(signal_fn *taken, void *context);
/* No signal is taken any more; those that come stay pending. */
void signals_stop(void);

#endif
