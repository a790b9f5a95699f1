/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine.h"
#include "sys/process.h"

enum sl_code sl__worker_check_cgroup(const char *parent, struct sl_error *error) {
    return sl__cgroup_check(parent, error);
}

/* Of this life alone: of this process, this pool (two may have one name), this place and this turn. */
static void name_group(const struct sl__worker *worker, char *name, size_t size) {
    snprintf(name, size, "slither-%ld-%.32s-%" PRIxPTR "-%u-%u", (long)sl__process_id(), worker->config.pool,
             (uintptr_t)worker->config.spec, worker->config.index, worker->generation);
    for (char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_') {
            *c = '_'; /* the name of a pool may be anything */
        }
    }
}

enum sl_code sl__limits_make(struct sl__worker *worker, struct sl_error *error) {
    enum sl_code code = SL_OK;
    if (worker->config.cgroup != NULL) {
        struct sl__oom_source *own = &worker->oom_sources.sources[0];
        char name[128];
        name_group(worker, name, sizeof(name));
        code = sl__cgroup_open(&worker->group, worker->config.cgroup, name, worker->config.memory_max_bytes, error);
        if (code == SL_OK) {
            own->what = "of its control group";
            snprintf(own->path, sizeof(own->path), "%s/memory.events", worker->group.path);
        }
    }
    sl__oom_read(&worker->oom_sources, &worker->oom_before);
    return code;
}

/* What languages and libraries say when they get no memory. */
static const char *complaint_in(const char *text) {
    static const char *const complaints[] = {"MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory",
                                             "Out of memory"};
    for (size_t i = 0; text != NULL && i < SL_COUNT_OF(complaints); i++) {
        if (strstr(text, complaints[i]) != NULL) {
            return complaints[i];
        }
    }
    return NULL;
}

enum sl_death_cause sl__limits_blame(const struct sl__worker *worker, const struct sl__process_end *end,
                                     const char *box, char *text, size_t size) {
    text[0] = '\0';
    if (end->term_signal == SIGKILL) {
        int source = sl__oom_rose(&worker->oom_sources, &worker->oom_before, text, size);
        if (source < 0) {
            return SL_DEATH_UNKNOWN;
        }
        return source == 0 && worker->group.path != NULL ? SL_DEATH_MEMORY_LIMIT : SL_DEATH_OUT_OF_MEMORY;
    }
    if (worker->config.memory_max_bytes > 0 && worker->config.cgroup == NULL && end->exit_status != 0) {
        char *tail = sl__lines_tail(&worker->err);
        const char *complaint = complaint_in(box);
        if (complaint == NULL) {
            complaint = complaint_in(tail);
        }
        if (complaint != NULL) {
            snprintf(text, size,
                     "its memory is limited to %" PRIu64 " MiB, and the last that it wrote has \"%s\" in it",
                     worker->config.memory_max_bytes >> 20, complaint);
        }
        free(tail);
        return complaint != NULL ? SL_DEATH_MEMORY_LIMIT : SL_DEATH_UNKNOWN;
    }
    return SL_DEATH_UNKNOWN;
}
