/* SPDX-License-Identifier: MIT */
/* For workers that cheat: replies that nobody has asked for, published as real ones are. */
#ifndef SLITHER_LANE_TESTING_FORGE_H
#define SLITHER_LANE_TESTING_FORGE_H

#include "lane/lane.h"

/*
 * Publishes the reply that was published last once more, with its payload; `generations` starts of the worker ago, and as if it answered the request
 * that was taken last when `as_current`. False: there is none to repeat, or the host has not read enough of them.
 */
bool sl__lane_forge(struct sl__lane *lane, uint32_t generations, bool as_current);

#endif
