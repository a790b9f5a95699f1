/* SPDX-License-Identifier: MIT */
/* The messages of lane/handshake.h, host side: made and understood here, sent and received elsewhere. */
#ifndef SLITHER_WORKER_MESSAGE_H
#define SLITHER_WORKER_MESSAGE_H

#include "lane/lane.h"
#include "worker/spec.h"

/* The first message. `*bytes` are the caller's to free. */
enum sl_code sl__message_config(const struct sl__spec *spec, uint32_t worker, const struct sl__lane_config *lane,
                                uint8_t **bytes, size_t *size, struct sl_error *error);
enum sl_code sl__message_stop(uint8_t **bytes, size_t *size, struct sl_error *error);

enum sl__heard {
    SL__HEARD_READY,  /* the worker is what it has to be */
    SL__HEARD_FAILED, /* it is not, or says so itself; `why` is filled in */
    SL__HEARD_NOISE   /* no message of this protocol; `why` says what is wrong with it */
};

/* `python` is the interpreter that was started, for the texts. Trusts nothing in `bytes`. */
enum sl__heard sl__message_understand(const uint8_t *bytes, size_t size, const char *python, uint32_t worker,
                                      struct sl_error *why);

#endif
