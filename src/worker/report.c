/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"
#include "sys/packet.h"

static void preload_text(const struct sl__spec *spec, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < spec->preload_count && used < size; i++) {
        int length = snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", spec->preload[i]);
        used += length > 0 ? (size_t)length : 0;
    }
}

void sl__report_late(const struct sl__worker *worker, struct sl_error *error) {
    const struct sl__spec *spec = worker->config.spec;
    char doing[160], preload[96];
    preload_text(spec, preload, sizeof(preload));
    if (sl__packet_waiting(worker->child.theirs)) {
        snprintf(doing, sizeof(doing), "it was still starting the interpreter: it has not read its configuration");
    } else if (spec->preload_count > 0) {
        snprintf(doing, sizeof(doing), "it was importing %s", preload);
    } else {
        snprintf(doing, sizeof(doing), "it had read its configuration and was setting itself up");
    }
    sl_error_set(error, SL_E_TIMEOUT,
                 "%s was not ready within start_timeout_ms (%u ms) and was killed; %s; interpreter %s", worker->who,
                 worker->config.start_timeout_ms, doing, spec->python);
}

void sl__report_death(struct sl__worker *worker, const struct sl__process_end *end, bool known, pid_t pid,
                      struct sl_error *error) {
    uint32_t index = worker->config.index;
    char how[128];
    sl__end_text(end, known, how, sizeof(how));
    if (worker->reason.code != SL_OK) {
        sl_error_copy(error, &worker->reason);
    } else if (worker->was_ready) {
        sl_error_set(error, SL_E_WORKER_CRASHED, "%s (pid %ld, generation %u) %s%s", worker->who, (long)pid,
                     worker->generation, how,
                     known && end->term_signal == SIGKILL ? "; not by this library: perhaps memory ran out" : "");
    } else {
        const char *last = sl__lines_last(&worker->err);
        sl_error_set(error, SL_E_WORKER_START, "%s %s before it was ready; interpreter %s%s%s", worker->who, how,
                     worker->config.spec->python,
                     last != NULL ? "; its last line on stderr: "
                                  : "; it wrote nothing to stderr: is this CPython 3.11 or later?",
                     last != NULL ? last : "");
    }
    free(error->stderr_tail);
    error->stderr_tail = sl__lines_tail(&worker->err);
    error->exit_status = end->exit_status;
    error->term_signal = end->term_signal;
    error->worker = index;
    error->generation = worker->generation;
}
