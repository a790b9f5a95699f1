/* SPDX-License-Identifier: MIT */
/*
 * Slither: native code owns concurrency, state and coordination; Python computes.
 *
 * This umbrella includes every public header. Each of them can be included alone.
 *
 * Conventions that hold for all of them:
 *   - `sl_` functions and types, `SL_` macros and enumerators. Everything else is private.
 *   - A function that can fail returns enum sl_code (SL_OK is 0) and takes an optional
 *     struct sl_error as its last parameter, into which it writes what went wrong.
 *   - Option structs start with `size_t size` and are set up by their _INIT macro. The library reads
 *     the first min(size, its own size) bytes, so that a program keeps working with a newer library.
 *   - Times are named by their unit (timeout_ms, deadline_ns); 0 ms means "no limit" unless said otherwise.
 *   - Unless said otherwise a function may be called from any thread, but one object must not be
 *     used by two threads at the same time.
 *   - The library keeps no process-global state, installs no signal handlers, never ends the process
 *     for a run-time error and writes to no stream that it was not given.
 */
#ifndef SLITHER_SLITHER_H
#define SLITHER_SLITHER_H

#include <slither/buffer.h>
#include <slither/call.h>
#include <slither/death.h>
#include <slither/dispatch.h>
#include <slither/error.h>
#include <slither/executor.h>
#include <slither/json.h>
#include <slither/loader.h>
#include <slither/pipe.h>
#include <slither/pipe_file.h>
#include <slither/plugin.h>
#include <slither/pool.h>
#include <slither/redact.h>
#include <slither/runtime.h>
#include <slither/session.h>
#include <slither/store.h>
#include <slither/telemetry.h>
#include <slither/value.h>
#include <slither/version.h>
#include <slither/view.h>

#endif
