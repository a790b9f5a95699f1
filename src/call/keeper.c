/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "invoke.h"
#include "session/session.h"

enum sl_code sl__keeper_make(struct sl_pool *pool, struct sl_session *session, struct sl__keeper **out,
                             struct sl_error *error) {
    struct sl__keeper *keeper = malloc(sizeof *keeper);
    *out = NULL;
    if (keeper == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a call");
    }
    keeper->own = session == NULL;
    atomic_init(&keeper->refs, 1);
    if (session != NULL) {
        keeper->session = sl__session_ref(session);
    } else {
        enum sl_code code = sl_session_open(pool, NULL, &keeper->session, error);
        if (code != SL_OK) {
            free(keeper);
            return code;
        }
    }
    *out = keeper;
    return SL_OK;
}

struct sl__keeper *sl__keeper_ref(struct sl__keeper *keeper) {
    (void)atomic_fetch_add_explicit(&keeper->refs, 1, memory_order_relaxed);
    return keeper;
}

void sl__keeper_unref(struct sl__keeper *keeper) {
    uint32_t before = atomic_fetch_sub_explicit(&keeper->refs, 1, memory_order_acq_rel);
    SL_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    if (keeper->own) {
        sl_session_close(keeper->session);
    } else {
        sl__session_unref(keeper->session);
    }
    free(keeper);
}
