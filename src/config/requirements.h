/* SPDX-License-Identifier: MIT */
/*
 * Python environments for what a file requires: one for each interpreter and set of requirements, made once in the user's cache,
 *
 *     $XDG_CACHE_HOME/slither/environments/HASH/     (or ~/.cache/slither/...)
 *         venv/             the environment
 *         requirements.txt  what was installed, as the installer read it
 *         made              interpreter and requirements, written when all else is there
 *
 * locked while it is made, so that two hosts that start at once make it once. uv makes it where it is installed, else venv and pip.
 */
#ifndef SLITHER_CONFIG_REQUIREMENTS_H
#define SLITHER_CONFIG_REQUIREMENTS_H

#include <slither/error.h>

#include "arena.h"

#define SL__REQUIREMENTS_MAX 1024

struct sl__requirements {
    const char *interpreter;   /* path or name; NULL: that of an active virtual environment, else python3 */
    const char *const *wanted; /* ended by NULL */
    const char *directory;     /* that paths among them begin at; "" is the process's */
    uint32_t timeout_ms;       /* for all of it, waiting for another host included */
    void (*announce)(void *context, const char *text); /* may be NULL */
    void *announce_context;
};

/**
 * Path of an interpreter that has what is wanted, in the arena. Errors: not_found (the interpreter), unsupported (it could not be installed: why, and what to
 * do; error.stderr_tail has the installer's last words), timeout, system, out_of_memory.
 */
enum sl_code sl__requirements_provide(const struct sl__requirements *requirements, struct sl__arena *arena,
                                      const char **python, struct sl_error *error);

#endif
