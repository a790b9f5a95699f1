/* SPDX-License-Identifier: MIT */
/* The list of events, for the room. */
#ifndef SLITHER_TELEMETRY_KINDS_H
#define SLITHER_TELEMETRY_KINDS_H

#include "base/assert.h"
#include "telemetry/telemetry.h"

#define SL__EVENT_NAME_MAX 64 /* bytes; a test sees to it */

SL_STATIC_ASSERT(SL__TELEMETRY_COUNT <= 64, "a set of events is one word");

extern const struct sl_event_kind sl__event_kinds[SL__TELEMETRY_COUNT];

/* The set of events whose names begin with it, up to a dot. */
uint64_t sl__event_matches(const char *prefix);
/* The name, or a beginning of one up to a dot, that is nearest to what was given: its bytes, and `*nearest` where they are. */
size_t sl__event_nearest(const char *given, const char **nearest);

#endif
