/* SPDX-License-Identifier: MIT */
/* For sinks of the library's own: what an outcome's value lies in, so that it need not be copied to be kept. */
#ifndef SL_DISPATCH_REPLY_H
#define SL_DISPATCH_REPLY_H

#include <slither/dispatch.h>

#include "lane/lane.h"

/*
 * The reply that the value of an outcome lies in, results of other items beside it; NULL: none. No reference: who keeps it takes one. Only of an outcome that
 * sl_dispatch_run() gives to a sink, while it does.
 */
struct sl__blob *sl__outcome_reply(const struct sl_outcome *outcome);

#endif
