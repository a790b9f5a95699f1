/* SPDX-License-Identifier: MIT */
/* A pool of workers that know modules/call_functions.py, and short ways to call them. */
#ifndef SLITHER_TESTS_CALL_HOST_H
#define SLITHER_TESTS_CALL_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <slither/slither.h>

extern struct sl_runtime *runtime;
extern struct sl_pool *pool;

/* With that many workers; group set-ups and tear-downs. */
int start_one(void **state);
int start_two(void **state);
int stop(void **state);
struct sl_pool *make_pool(uint32_t worker_count);

extern const struct sl_value none;
/* The value of a JSON text; lives until the test ends. */
struct sl_value json(const char *text);
/* A list of values. */
struct sl_value list_of(uint32_t count, const struct sl_value *values);
/* To be called at the end of each test: frees those. */
int forget_values(void **state);

/* The value as JSON, in a buffer that the next call overwrites. */
const char *shown(struct sl_value value);
/* Fails the test when the call does. */
void expect_call(const struct sl_call_options *options, const char *target, const char *args, const char *expected);
int64_t call_number(struct sl_session *session, const char *target, const char *args);
/* Fails unless it fails with that code and that part in its message. */
void expect_failure(enum sl_code code, enum sl_code expected, const struct sl_error *error, const char *part);
/* One object that the target gives. */
struct sl_object *make_object(struct sl_session *session, const char *target, const char *args);
/* Calls until the target gives `expected`; fails after a while. */
void await_number(struct sl_session *session, const char *target, const char *args, int64_t expected);

/* Waits for a line of the log that has both parts in it. */
void await_log(const char *part, const char *other);
uint64_t now_ms(void);
/* Resident memory of this process, KiB. */
uint64_t resident_kib(void);

#endif
