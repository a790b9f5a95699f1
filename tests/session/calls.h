/* SPDX-License-Identifier: MIT */
/* Short ways to call the functions of modules/ in a session. */
#ifndef SL_TESTS_SESSION_CALLS_H
#define SL_TESTS_SESSION_CALLS_H

#include <inttypes.h>

#include "host.h"
#include "scratch.h"

#define NONE INT64_MIN /* a result that is nil */

/* `change` may be NULL. */
struct sl_session *session_open(struct host *host, void (*change)(struct sl_session_options *options));
struct sl_session_info info_of(struct sl_session *session);

/* Calls a function of session_functions with one item; `error` may be NULL, and then the call must succeed. */
struct call {
    struct host *host;
    struct sl_session *session;
    enum sl_affinity affinity;
    uint32_t timeout_ms; /* 0: none */
    const char *function;
    int64_t number;   /* the item */
    const char *text; /* the item, when not NULL */
};
enum sl_code call_in(const struct call *call, int64_t *result, struct sl_error *error);
/* The same in a session, with a number; it must succeed. */
int64_t ask(struct host *host, struct sl_session *session, const char *function, int64_t number);
/* The code with which it fails; `error` is set. */
enum sl_code ask_in_vain(struct host *host, struct sl_session *session, const char *function, struct sl_error *error);

/* A named pipe that is read here; the path is the caller's array. */
int open_fifo(char path[SCRATCH_SIZE]);
/* The next line from it as a number, within some seconds; -1 when none comes. */
int64_t read_number(int fifo, int timeout_ms);
void close_fifo(int fifo, const char *path);
/* A path in /tmp where there is nothing. */
void free_path(char path[SCRATCH_SIZE]);
void touch(const char *path);

#endif
