/* SPDX-License-Identifier: MIT */
/* A runtime and a pool over the functions of modules/, and short ways to call them in a session. */
#ifndef SL_TESTS_SESSION_HOST_H
#define SL_TESTS_SESSION_HOST_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <slither/slither.h>

#define NONE INT64_MIN /* a result that is nil */

struct host {
    struct sl_runtime *runtime;
    struct sl_pool *pool;
};
/* `change` may alter the pool's options, or be NULL. */
void host_open(struct host *host, uint32_t workers, void (*change)(struct sl_pool_options *options));
void host_close(struct host *host);
struct sl_pool_stats host_stats(struct host *host);
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

/* From $SLITHER_TEST_SEED or the clock; printed. */
uint64_t draw_seed(void);
uint64_t draw(uint64_t *state);
uint64_t now_ms(void);
/* A named pipe that is read here; the path is the caller's array. */
int open_fifo(char path[64]);
/* The next line from it as a number, within some seconds; -1 when none comes. */
int64_t read_number(int fifo, int timeout_ms);
void close_fifo(int fifo, const char *path);
/* A path in /tmp where there is nothing. */
void free_path(char path[64]);
void touch(const char *path);

#endif
