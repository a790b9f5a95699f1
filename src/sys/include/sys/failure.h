/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_SYS_FAILURE_H
#define SLITHER_SYS_FAILURE_H

#include <slither/error.h>

/**
 * Fills `error` (may be NULL) for a system call that failed with `number`: the text of `format` (what was tried, on what),
 * the system's text, and what the user can do when that is known; system_errno is set. Returns out_of_memory for
 * ENOMEM, system otherwise.
 */
enum sl_code sl__system_error(struct sl_error *error, int number, const char *format, ...) SL_PRINTF(3, 4);

#endif
