/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "sys/clock.h"
#include "sys/packet.h"

#define NS_PER_MS 1000000u
#define OOM_TEXT_SIZE 384

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

/* ---- deaths ---------------------------------------------------------------------------------------------------- */

/* What the way in which it ended says by itself. */
static enum sl_death_cause cause_of(const struct sl__worker *worker, const struct sl__ending *ending) {
    if (worker->cause != SL_DEATH_UNKNOWN) {
        return worker->cause;
    }
    if (!worker->was_ready) {
        return SL_DEATH_NOT_READY;
    }
    if (worker->reason.code != SL_OK) {
        return SL_DEATH_PROTOCOL; /* the engine kills a worker that is ready for nothing else */
    }
    if (!ending->known) {
        return SL_DEATH_UNKNOWN;
    }
    return ending->end.term_signal != 0 ? SL_DEATH_SIGNAL : SL_DEATH_EXITED;
}

static char *copy(const char *text) {
    return text != NULL ? strdup(text) : NULL;
}

/* NULL when memory runs out: the error says the most important things anyway. */
static struct sl_death *certify(const struct sl__worker *worker, const struct sl__ending *ending,
                                const struct sl_error *error, const char *evidence) {
    struct sl_death *death = calloc(1, sizeof(*death));
    if (death == NULL) {
        return NULL;
    }
    death->size = sizeof(*death);
    death->cause = cause_of(worker, ending);
    death->worker = worker->config.index;
    death->generation = worker->generation;
    death->pid = ending->pid;
    death->time_ms = (int64_t)(sl__clock_wall_ns() / NS_PER_MS);
    death->exit_status = ending->end.exit_status;
    death->term_signal = ending->end.term_signal;
    death->core_dumped = ending->end.core_dumped;
    death->activity = worker->questions.activity;
    death->age_ms = worker->was_ready ? (sl__clock_now_ns() - worker->ready_ns) / NS_PER_MS : 0;
    memcpy(death->samples, worker->questions.samples, sizeof(death->samples));
    death->evidence = copy(evidence);
    death->traceback = copy(error->traceback);
    death->stderr_tail = copy(error->stderr_tail);
    return death;
}

/* A death that this library has not brought about: it has to speak for itself. */
static void explain(struct sl__worker *worker, const struct sl__ending *ending, const char *box, struct sl_error *error,
                    char *evidence, size_t evidence_size) {
    char how[128];
    sl__end_text(&ending->end, ending->known, how, sizeof(how));
    enum sl_death_cause memory = SL_DEATH_UNKNOWN;
    if (ending->known && worker->config.hear == NULL && !worker->killed) {
        memory = sl__limits_blame(worker, &ending->end, box, evidence, evidence_size);
    }
    if (memory != SL_DEATH_UNKNOWN) {
        worker->cause = memory;
    }
    if (worker->was_ready) {
        sl_error_set(error, memory != SL_DEATH_UNKNOWN ? SL_E_OUT_OF_MEMORY : SL_E_WORKER_CRASHED,
                     "%s (pid %ld, generation %u) %s%s%s", worker->who, (long)ending->pid, worker->generation, how,
                     evidence[0] != '\0' ? "; " : "", evidence);
    } else {
        const char *fatal =
            sl__lines_fatal(&worker->err); /* what follows it is a stack, and ends with names of modules */
        const char *last = fatal != NULL ? fatal : sl__lines_last(&worker->err);
        sl_error_set(error, SL_E_WORKER_START, "%s %s before it was ready; interpreter %s%s%s", worker->who, how,
                     worker->config.spec->python,
                     fatal != NULL  ? "; it wrote to stderr: "
                     : last != NULL ? "; its last line on stderr: "
                     : box != NULL  ? "; it crashed in Python: see the traceback"
                                    : "; it wrote nothing to stderr: is this CPython 3.11 or later?",
                     last != NULL ? last : "");
    }
}

void sl__report_death(struct sl__worker *worker, const struct sl__ending *ending, struct sl_error *error) {
    char evidence[OOM_TEXT_SIZE] = "";
    char *box = sl__black_box_text(&worker->box);
    if (worker->reason.code != SL_OK) {
        sl_error_copy(error, &worker->reason);
    } else {
        explain(worker, ending, box, error, evidence, sizeof(evidence));
    }
    if (error->traceback == NULL) {
        error->traceback = box;
    } else {
        free(box);
    }
    free(error->stderr_tail);
    error->stderr_tail = sl__lines_tail(&worker->err);
    error->exit_status = ending->end.exit_status;
    error->term_signal = ending->end.term_signal;
    error->worker = worker->config.index;
    error->generation = worker->generation;
    if (worker->config.hear == NULL) {
        error->death = certify(worker, ending, error, evidence[0] != '\0' ? evidence : NULL);
    }
}
