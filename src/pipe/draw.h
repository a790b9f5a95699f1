/* SPDX-License-Identifier: MIT */
/* What the pictures of a pipe have in common. */
#ifndef SLITHER_PIPE_DRAW_H
#define SLITHER_PIPE_DRAW_H

#include <stdio.h>

#include "plan.h"

/* The label of the edge that failed items take. */
#define SL__DRAW_ON_ERROR "on error"

/* What tells a stage from others of its kind, in few words. */
void sl__draw_about(FILE *out, const struct sl__node *node);

typedef void sl__draw_edge_fn(void *context, uint32_t from, sl__target to, const char *label);
/* Calls `edge` for each way out of a stage; `label` is "" where there is nothing to say. */
void sl__draw_edges(const struct sl_pipe *pipe, uint32_t index, sl__draw_edge_fn *edge, void *context);

/* False: no memory. */
bool sl__draw_svg(FILE *out, const struct sl_pipe *pipe);

#endif
