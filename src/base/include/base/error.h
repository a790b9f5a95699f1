/* SPDX-License-Identifier: MIT */
/* What the library knows of errors beyond the public header. */
#ifndef SL_BASE_ERROR_H
#define SL_BASE_ERROR_H

#include <slither/error.h>

/**
 * SL_ERROR_INIT for what is done for each item: leaves the bytes behind the empty message as they are. Clearing half a
 * KiB for errors that do not happen was a tenth of what the host does for a small item.
 */
static inline void sl__error_init(struct sl_error *error) {
    error->size = sizeof *error;
    error->code = SL_OK;
    error->message[0] = '\0';
    error->traceback = NULL;
    error->stderr_tail = NULL;
    error->system_errno = 0;
    error->exit_status = -1;
    error->term_signal = 0;
    error->worker = UINT32_MAX;
    error->generation = 0;
    error->death = NULL;
}

#endif
