/* SPDX-License-Identifier: MIT */
/* Controls of calls that wait for their turn: no run looks at them yet. */
#ifndef SLITHER_DISPATCH_CONTROL_H
#define SLITHER_DISPATCH_CONTROL_H

#include <stdbool.h>

#include <slither/dispatch.h>

struct sl__bell;

/* Cancelling it rings that bell, too, from now on. NULL: no more, and nobody rings the former one any more when this has returned. NULL as control is fine. */
void sl__control_follow(struct sl_control *control, struct sl__bell *bell);
bool sl__control_cancelled(const struct sl_control *control);

#endif
