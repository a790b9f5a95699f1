/* SPDX-License-Identifier: MIT */
/* A handler that remembers what it hears, for tests that look at it afterwards or wait for it. */
#ifndef SLITHER_TESTS_TELEMETRY_EAR_H
#define SLITHER_TESTS_TELEMETRY_EAR_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <slither/slither.h>

#define HEARD_MAX 4096

struct heard {
    struct sl_event event; /* its fields are below */
    struct sl_event_field fields[SL_EVENT_FIELDS_MAX];
    char texts[SL_EVENT_FIELDS_MAX][64];
};

struct ear {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct heard *heard;
    uint32_t count;
    struct sl_telemetry_handler *handler;
};

/* Attaches it. */
void ear_open(struct ear *ear, struct sl_runtime *runtime, const char *prefix);
/* Detaches it, unless its runtime is gone: `runtime_lives`; the rest of it is kept. */
void ear_detach(struct ear *ear);
/* Checks that all spans are whole, and forgets everything. */
void ear_close(struct ear *ear);
/* Forgets what it has heard so far. */
void ear_forget(struct ear *ear);

/* How many events of that name there were. */
uint32_t ear_count(struct ear *ear, const char *name);
/* The event of that name, the `index`th; fails when there is none. */
const struct heard *ear_find(struct ear *ear, const char *name, uint32_t index);
/* Waits until there are so many; the test's timeout is the bound. */
void ear_await(struct ear *ear, const char *name, uint32_t count);
/* Over all events of that name. */
uint64_t ear_sum(struct ear *ear, const char *name, const char *field);
/* How many of that name have that text in that field. */
uint32_t ear_count_text(struct ear *ear, const char *name, const char *field, const char *text);

uint64_t heard_uint(const struct heard *heard, const char *field);
const char *heard_text(const struct heard *heard, const char *field);
enum sl_code heard_code(const struct heard *heard);

/* Each start has one end, which follows it, is of its stem and has its span, and each end a start. Expects that nothing is under way. */
void ear_expect_whole_spans(struct ear *ear);

#endif
