/* SPDX-License-Identifier: MIT */
/* The messages of lane/handshake.h, host side: made and understood here, sent and received elsewhere. */
#ifndef SLITHER_WORKER_MESSAGE_H
#define SLITHER_WORKER_MESSAGE_H

#include "lane/lane.h"
#include "sys/process.h"
#include "worker/spec.h"
#include "worker/worker.h"

/* The first message. `*bytes` are the caller's to free. */
enum sl_code sl__message_config(const struct sl__spec *spec, uint32_t worker, const struct sl__lane_config *lane,
                                uint64_t memory_max_bytes, uint8_t **bytes, size_t *size, struct sl_error *error);
/* The first message to a template: what it is to be, by spec->fork. */
enum sl_code sl__message_prepare(const struct sl__spec *spec, uint8_t **bytes, size_t *size, struct sl_error *error);
enum sl_code sl__message_start(uint32_t worker, uint32_t generation, uint8_t **bytes, size_t *size,
                               struct sl_error *error);
enum sl_code sl__message_ask(uint64_t number, uint32_t stack_ms, uint8_t **bytes, size_t *size, struct sl_error *error);
enum sl_code sl__message_stop(uint8_t **bytes, size_t *size, struct sl_error *error);

/* `python` is the interpreter that was started, `who` "worker 3", for the texts. Trusts nothing in `bytes`. */
enum sl__heard sl__message_understand(const uint8_t *bytes, size_t size, const char *python, const char *who,
                                      struct sl_error *why);

/* A worker's answer to a question. */
struct sl__told {
    uint64_t number;
    enum sl_activity activity;
    uint64_t stuck_ms;
    bool stack;
};
/* False: it is none. Trusts nothing in `bytes`. */
bool sl__message_told(const uint8_t *bytes, size_t size, struct sl__told *told);

enum sl__news_kind {
    SL__NEWS_NONE,  /* none of the following; sl__message_understand knows more */
    SL__NEWS_READY, /* sl__message_understand knows what else there is to it */
    SL__NEWS_STARTED,
    SL__NEWS_START_FAILED,
    SL__NEWS_ENDED
};
/* What only a template says. */
struct sl__news {
    enum sl__news_kind kind;
    uint32_t worker, generation; /* started, start failed */
    int system_errno;            /* start failed */
    pid_t pid;                   /* started, ended */
    struct sl__process_end end;  /* ended */
    bool forks;                  /* ready */
    char reason[256];            /* ready: why it does not fork; may be "" */
};
/* Trusts nothing in `bytes` either. */
void sl__message_news(const uint8_t *bytes, size_t size, struct sl__news *news);

#endif
