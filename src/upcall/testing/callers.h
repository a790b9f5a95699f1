/* SPDX-License-Identifier: MIT */
/* A runtime with views, a gate that views stop at, and workers that the test plays. One runtime a test. */
#ifndef SLITHER_UPCALL_TESTING_CALLERS_H
#define SLITHER_UPCALL_TESTING_CALLERS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service.h"

extern struct sl_runtime *runtime;
extern struct sl__upcalls *upcalls;
/* Set-ups and the tear-down of a test. */
int open_runtime(void **state);
int open_runtime_of_2(void **state);
int close_runtime(void **state);
#define WITH(name, open) cmocka_unit_test_setup_teardown(name, open, close_runtime)

/* ---- the gate; closed at first ---- */

extern struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t inside, inside_most, passed;
    bool open;
} gate;
void gate_pass(void);
void gate_open(bool open);
uint32_t gate_inside_most(void);
void gate_await_inside(uint32_t count);

/* ---- workers ---- */

struct worker {
    struct sl__port *port;
    int fd;
    uint64_t last_number;
    _Atomic uint32_t broken;
    char why[SL_ERROR_MESSAGE_SIZE];
    const void *owner;
    uint32_t index;
    enum sl_code code;
};
/* On the loop thread; the code is in the worker. */
void open_port(void *context);
void close_port(void *context);
void worker_open(struct worker *worker);
void worker_close(struct worker *worker);
/* Sends a call of "NAME" with the arguments [[number], {}] or, of mode MANY, [1, 2, 3]. Returns its number. */
uint64_t ask_as(struct worker *worker, const char *name, enum sl__call_mode mode, uint32_t timeout_ms);
uint64_t ask(struct worker *worker, const char *name);

struct answer {
    struct sl__call_reply head;
    struct sl_value value;
    char text[SL_ERROR_MESSAGE_SIZE]; /* of one that is no result */
    uint8_t bytes[SL__CALL_PACKET_MAX];
};
extern struct answer answer; /* the last that was heard */
/* Takes the next reply. */
void hear(struct worker *worker);
/* The same, and it must be that one. */
void hear_outcome(struct worker *worker, uint64_t number, enum sl__call_outcome outcome, enum sl_code code,
                  const char *part);

/* ---- views ---- */

enum sl_code echo(void *context, const struct sl_view_call *call, struct sl_writer *result, struct sl_error *error);
enum sl_code gated(void *context, const struct sl_view_call *call, struct sl_writer *result, struct sl_error *error);
enum sl_code twice(void *context, const struct sl_view_call *call, struct sl_writer *result, struct sl_error *error);
struct sl_view *view_of(const char *name, sl_view_fn *call, sl_view_fn *call_many, uint32_t timeout_ms,
                        uint32_t concurrency);

/* ---- counts ---- */

struct sl_view_stats stats(void);
void await_stat(uint32_t (*get)(void), uint32_t value);
uint32_t waiting_count(void);
uint32_t running_count(void);
uint32_t thread_count(void);
uint32_t open_count(void);

#endif
