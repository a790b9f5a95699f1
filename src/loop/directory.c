/* SPDX-License-Identifier: MIT */
/*
 * A directory that is gone when its runtime is, however that ends.
 *
 * Orderly ends remove it here. When this process is killed the janitor does: a shell, in a session of its own, that
 * reads from a socket whose other end only we have. A line says that there is nothing to do; the end of the socket says that we are
 * gone. It is started before the directory is made, so that there is no moment in which nobody would see to it. It knows one path, whose
 * last part was drawn for it from 64 random bits.
 *
 * When the janitor has been killed too, the next runtime of this user finds the directory: its lock, which a process
 * holds as long as it lives, can be had. A new directory is not locked yet for a moment. Whoever takes it for a stale one then locks and
 * removes it, which its maker notices, and makes another.
 */
#include "directory.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sys/descriptor.h"
#include "sys/directory.h"
#include "sys/entropy.h"
#include "sys/packet.h"
#include "sys/process.h"
#include "sys/spawn.h"

#define TRIES_MAX 8         /* names that are tried in one place */
#define STALE_MAX 64        /* directories that one start cleans up */
#define JANITOR_END_MS 1000 /* from the line that sends it home to its end; then it is killed */

/* `read` fails at the end of the socket. The shell passes ignored signals on to rm. */
#define JANITOR_SCRIPT "trap '' HUP INT QUIT TERM; read -r line || rm -rf -- \"$1\""

#define LOG(log, level, ...) sl__log_host(log, level, NULL, UINT32_MAX, 0, __VA_ARGS__)

/* ---- stale ones ------------------------------------------------------------------------------------------------ */

struct sweep {
    struct sl__log *log;
    const char *base;
    unsigned count;
};

static bool sweep_one(void *context, const char *name) {
    struct sweep *sweep = context;
    char path[SL__DIRECTORY_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", sweep->base, name), lock = -1;
    if (length < 0 || (size_t)length >= sizeof path || sl__directory_take(path, &lock, NULL) != SL_OK) {
        return true;
    }
    struct sl_error error = SL_ERROR_INIT;
    if (sl__directory_remove(path, &error) == SL_OK) {
        LOG(sweep->log, SL_LOG_INFO, "removed %s, which a process that is gone has left", path);
    } else {
        LOG(sweep->log, SL_LOG_WARN, "a process that is gone has left a directory: %s", error.message);
    }
    sl_error_finish(&error);
    sl__close(&lock);
    return ++sweep->count < STALE_MAX;
}

static void remove_stale(struct sl__log *log, const char *base) {
    char prefix[48];
    snprintf(prefix, sizeof prefix, "slither-%lu-", sl__user_id());
    struct sweep sweep = {.log = log, .base = base};
    (void)sl__directory_each(base, prefix, sweep_one, &sweep, NULL);
}

/* ---- the janitor ----------------------------------------------------------------------------------------------- */

static enum sl_code start_janitor(struct sl__directory *directory, struct sl_error *error) {
    int ends[2] = {-1, -1}, null = -1;
    const char *search = getenv("PATH");
    char *path = NULL;
    enum sl_code code = sl__open_null(&null, error);
    if (code == SL_OK) {
        code = sl__packet_pair(ends, error);
        directory->leash = ends[1];
    }
    if (code == SL_OK &&
        asprintf(&path, "PATH=%s%s/usr/bin:/bin", search != NULL ? search : "", search != NULL ? ":" : "") < 0) {
        path = NULL;
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the environment of a janitor");
    }
    if (code == SL_OK) {
        const struct sl__spawn_fd fds[] = {{ends[0], 0}, {null, 1}, {null, 2}};
        const struct sl__spawn spawn = {
            .program = "/bin/sh",
            .argv = (const char *const[]){"sh", "-c", JANITOR_SCRIPT, "slither-janitor", directory->path, NULL},
            .envp = (const char *const[]){path, NULL},
            .directory = "/",
            .fds = fds,
            .fd_count = SL_COUNT_OF(fds),
            .group = SL__SPAWN_SESSION_OWN,
        };
        code = sl__spawn(&spawn, &directory->janitor_id, &directory->janitor, error);
    }
    free(path);
    sl__close(&ends[0]);
    sl__close(&null);
    if (code != SL_OK) {
        sl__close(&directory->leash);
    }
    return code;
}

static void dismiss_janitor(struct sl__directory *directory) {
    if (directory->janitor < 0) {
        return;
    }
    struct sl__process_end end;
    struct pollfd ended = {.fd = directory->janitor, .events = POLLIN};
    (void)sl__packet_send(directory->leash, "\n", 1, NULL, 0, SL__PACKET_NOWAIT, NULL);
    sl__close(&directory->leash);
    if (poll(&ended, 1, JANITOR_END_MS) <= 0) {
        (void)sl__process_signal(directory->janitor, SIGKILL, NULL);
        (void)poll(&ended, 1, JANITOR_END_MS);
    }
    (void)sl__process_reap(directory->janitor, false, &end, NULL);
    sl__close(&directory->janitor);
}

/* ---- making one ------------------------------------------------------------------------------------------------ */

static enum sl_code make_in(struct sl__log *log, const char *base, struct sl__directory *directory,
                            struct sl_error *error) {
    enum sl_code code = SL_E_AGAIN;
    for (int i = 0; i < TRIES_MAX && code == SL_E_AGAIN; i++) {
        int length = snprintf(directory->path, sizeof directory->path, "%s/slither-%lu-%ld-%016" PRIx64, base,
                              sl__user_id(), (long)sl__process_id(), sl__random_seed());
        if (length < 0 || (size_t)length >= sizeof directory->path) {
            return sl_error_set(error, SL_E_SYSTEM, "the path of %.64s... is longer than %d bytes", base,
                                SL__DIRECTORY_PATH_MAX);
        }
        struct sl_error why = SL_ERROR_INIT;
        if (start_janitor(directory, &why) != SL_OK) {
            LOG(log, SL_LOG_WARN, "%s stays when this process is killed, until the next one starts: %s",
                directory->path, why.message);
        }
        sl_error_finish(&why);
        code = sl__directory_make(directory->path, &directory->lock, error);
        if (code != SL_OK) {
            dismiss_janitor(directory);
        }
    }
    return code;
}

/* Where a directory in memory can be made, else NULL. */
static const char *memory_base(void) {
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (base != NULL && base[0] == '/' && sl__directory_own(base) && sl__directory_usable(base) &&
        sl__directory_in_memory(base)) {
        return base;
    }
    base = "/dev/shm";
    return sl__directory_usable(base) && sl__directory_in_memory(base) ? base : NULL;
}

enum sl_code sl__directory_create(struct sl__log *log, struct sl__directory **out, struct sl_error *error) {
    *out = NULL;
    struct sl__directory *directory = calloc(1, sizeof(*directory));
    if (directory == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the name of a directory");
    }
    directory->lock = directory->leash = directory->janitor = -1;
    const char *base = memory_base();
    if (base == NULL) {
        const char *named = getenv("TMPDIR");
        base = named != NULL && named[0] == '/' && sl__directory_usable(named) ? named : "/tmp";
        LOG(log, SL_LOG_INFO,
            "neither $XDG_RUNTIME_DIR nor /dev/shm is a file system in memory that can be written to; private files go "
            "to %s",
            base);
    }
    remove_stale(log, base);
    enum sl_code code = make_in(log, base, directory, error);
    if (code != SL_OK) {
        free(directory);
        return code == SL_E_AGAIN ? sl_error_set(error, SL_E_SYSTEM,
                                                 "no private directory could be made in %s: %d names in a row were "
                                                 "taken",
                                                 base, TRIES_MAX)
                                  : code;
    }
    *out = directory;
    return SL_OK;
}

void sl__directory_destroy(struct sl__log *log, struct sl__directory *directory) {
    if (directory == NULL) {
        return;
    }
    struct sl_error error = SL_ERROR_INIT;
    if (sl__directory_remove(directory->path, &error) != SL_OK) {
        LOG(log, SL_LOG_WARN, "%s", error.message);
    }
    sl_error_finish(&error);
    sl__close(&directory->lock);
    dismiss_janitor(directory);
    free(directory);
}
