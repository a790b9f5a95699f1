/* SPDX-License-Identifier: MIT */
/* The hand of other threads on a run: flags, and the doorbell that the run sleeps on. */
#include <stdlib.h>

#include "run.h"

enum sl_code sl_control_create(struct sl_control **control, struct sl_error *error) {
    *control = calloc(1, sizeof **control);
    if (*control == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a control");
    }
    sl__bell_init(&(*control)->bell);
    return SL_OK;
}

void sl_control_destroy(struct sl_control *control) {
    free(control);
}

void sl_control_wake(struct sl_control *control) {
    sl__bell_ring(&control->bell);
}

void sl_control_drain(struct sl_control *control) {
    atomic_store(&control->drain, 1);
    sl__bell_ring(&control->bell);
}

void sl_control_cancel(struct sl_control *control) {
    atomic_store(&control->cancel, 1);
    sl__bell_ring(&control->bell);
}
