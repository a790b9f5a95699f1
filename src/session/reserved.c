/* SPDX-License-Identifier: MIT */
/* What Python tells the host for a session, through views whose names are reserved: progress, checkpoints. */
#include <stdlib.h>

#include "inside.h"

void sl__session_follow(struct sl__session_use *use) {
    (void)use;
}

bool sl__session_progress(struct sl__session_use *use, struct sl_progress *progress) {
    (void)use;
    (void)progress;
    return false;
}
