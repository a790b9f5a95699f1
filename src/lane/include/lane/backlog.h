/* SPDX-License-Identifier: MIT */
/* How far a worker has come with what its host has published: for what is to happen after the requests that were there before it. */
#ifndef SLITHER_LANE_BACKLOG_H
#define SLITHER_LANE_BACKLOG_H

#include <stdint.h>

struct sl__lane;

/* Requests that the host has published so far; wraps around. Any thread of the worker. */
uint32_t sl__lane_published(const struct sl__lane *lane);
/* Requests that were taken so far; wraps around. The thread that takes them. */
uint32_t sl__lane_taken(const struct sl__lane *lane);

#endif
