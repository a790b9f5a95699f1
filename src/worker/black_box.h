/* SPDX-License-Identifier: MIT */
/*
 * Black box: a memory file into which a worker writes where it is, when a signal ends it or when it is asked (lane/handshake.h). It outlives
 * the worker, cannot grow, and what is in it is text of somebody who may be out of his mind.
 */
#ifndef SLITHER_WORKER_BLACK_BOX_H
#define SLITHER_WORKER_BLACK_BOX_H

#include <slither/error.h>

#define SL__BLACK_BOX_TEXT_MAX 16384 /* bytes of it that a report keeps */

struct sl__black_box {
    int fd; /* -1: there is none */
};

enum sl_code sl__black_box_open(struct sl__black_box *box, struct sl_error *error);
/* The text in it; the caller's to free. NULL when there is none, or no memory. What is no text is replaced by '?'. */
char *sl__black_box_text(const struct sl__black_box *box);
/* Twice is fine. */
void sl__black_box_close(struct sl__black_box *box);

#endif
