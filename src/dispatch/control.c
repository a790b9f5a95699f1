/* SPDX-License-Identifier: MIT */
/* The hand of other threads on a run: flags, and the doorbell that the run sleeps on. */
#include <sched.h>
#include <stdlib.h>

#include "dispatch/control.h"
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

/* Also in a signal's handler: it waits for nothing. */
void sl_control_cancel(struct sl_control *control) {
    atomic_fetch_add(&control->ringing, 1);
    atomic_store(&control->cancel, 1);
    sl__bell_ring(&control->bell);
    struct sl__bell *follower = atomic_load(&control->follower);
    if (follower != NULL) {
        sl__bell_ring(follower);
    }
    atomic_fetch_sub(&control->ringing, 1);
}

void sl__control_follow(struct sl_control *control, struct sl__bell *bell) {
    if (control == NULL) {
        return;
    }
    atomic_store(&control->follower, bell);
    /* Who has found the former bell has been counted before; the order of these is one for all. */
    while (bell == NULL && atomic_load(&control->ringing) > 0) {
        (void)sched_yield();
    }
}

bool sl__control_cancelled(const struct sl_control *control) {
    return control != NULL && atomic_load(&control->cancel) != 0;
}
