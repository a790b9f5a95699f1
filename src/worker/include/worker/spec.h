/* SPDX-License-Identifier: MIT */
/* Child spec: all that is decided once for the workers of a pool, before any of them starts. Read-only afterwards. */
#ifndef SLITHER_WORKER_SPEC_H
#define SLITHER_WORKER_SPEC_H

#include <slither/error.h>
#include <slither/pool.h>

#include "base/redact.h"

#define SL__MARK_SIZE 32

struct sl__spec {
    char *python;    /* absolute path of the interpreter, symbolic links kept: a virtual environment is known by them */
    char *directory; /* where workers run; NULL: where the host runs */
    char **argv;
    char **template_argv;
    bool fork; /* the template imports the preload list and forks workers; else it starts them as programs */
    char
        mark[SL__MARK_SIZE]; /* in the environment of all that descends from the pool's template, and of nothing else */
    char **envp;
    char **preload;
    uint32_t preload_count;
    struct sl__redact redact; /* what texts of workers do not say */
};

/*
 * Looks the interpreter up and puts the environment together. `package_path` is the directory of the Python package; `environment` is
 * the host's. Errors: worker_start_failed (no interpreter; says where it was looked for), invalid_argument, limit_exceeded (the preload list does not
 * fit into the first message), out_of_memory.
 */
enum sl_code sl__spec_init(struct sl__spec *spec, const struct sl_pool_options *options, uint32_t worker_count,
                           const char *package_path, const char *const *environment, struct sl_error *error);
/* A zeroed spec is fine. */
void sl__spec_finish(struct sl__spec *spec);

#endif
