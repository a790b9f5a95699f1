/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_CLI_ON_ERROR_H
#define SLITHER_CLI_ON_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include <slither/dispatch.h>

/*
 * Reads POLICY[:NAME=VALUE,...]:
 *   skip | halt
 *   retry[:max=N,backoff=TIME,backoff-max=TIME,jitter=0..1,kinds=KIND+KIND]
 *   isolate[:route=NAME,max=N]
 *   route:NAME
 * On success *route is the route's name (the caller's to free) or NULL; `policy->handler` is left to the caller.
 */
bool parse_on_error(const char *text, struct sl_error_policy *policy, char **route, char *problem, size_t problem_size);

#endif
