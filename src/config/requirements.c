/* SPDX-License-Identifier: MIT */
#include "requirements.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/directory.h"
#include "sys/path.h"
#include "sys/process.h"
#include "sys/ready.h"
#include "sys/spawn.h"

#define TAIL_SIZE 4096
#define LOCK_LOOK_MS 100

struct making {
    const struct sl__requirements *wanted;
    struct sl__arena *arena;
    uint64_t deadline_ns;
    const char *interpreter; /* absolute */
    const char *home;        /* directory of this environment */
    const char *made;        /* the file that says that it is finished */
    const char *key;         /* what that holds then */
    struct sl_error *error;
};

static enum sl_code no_memory(struct sl_error *error) {
    return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for making a Python environment");
}

static void announce(const struct making *making, const char *format, const char *a, const char *b) {
    if (making->wanted->announce != NULL) {
        char text[SL_ERROR_MESSAGE_SIZE];
        snprintf(text, sizeof text, "%s%s%s%s", format, a, *b != '\0' ? ": " : "", b);
        making->wanted->announce(making->wanted->announce_context, text);
    }
}

/* ---- where ------------------------------------------------------------------------------------------------------- */

static enum sl_code find_interpreter(struct making *making) {
    const char *wanted = making->wanted->interpreter, *active = getenv("VIRTUAL_ENV");
    char *found = NULL;
    if (wanted == NULL && active != NULL && *active != '\0') {
        wanted = sl__arena_format(making->arena, "%s/bin/python", active);
        if (wanted == NULL) {
            return no_memory(making->error);
        }
    }
    enum sl_code code = sl__program_find(wanted != NULL ? wanted : "python3", NULL, &found, making->error);
    if (code != SL_OK) {
        return code;
    }
    making->interpreter = sl__arena_text(making->arena, found, strlen(found));
    free(found);
    return making->interpreter != NULL ? SL_OK : no_memory(making->error);
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The interpreter (where its links lead: with another version behind them it is another) and the requirements, sorted, a line each. */
static enum sl_code make_key(struct making *making) {
    const char *sorted[SL__REQUIREMENTS_MAX];
    uint32_t count = 0;
    char *resolved = NULL;
    for (; making->wanted->wanted[count] != NULL; count++) {
        if (count == SL__REQUIREMENTS_MAX) {
            return sl_error_set(making->error, SL_E_LIMIT, "more than %u requirements", SL__REQUIREMENTS_MAX);
        }
        sorted[count] = making->wanted->wanted[count];
    }
    qsort(sorted, count, sizeof sorted[0], compare_texts);
    enum sl_code code = sl__path_resolve(making->interpreter, &resolved, making->error);
    if (code != SL_OK) {
        return code;
    }
    /* Paths among the requirements mean something else elsewhere. */
    bool local = false;
    for (uint32_t i = 0; i < count; i++) {
        local = local || strchr(sorted[i], '/') != NULL;
    }
    making->key = sl__arena_format(making->arena, "%s\n%s%s\n", resolved, making->interpreter,
                                   local ? making->wanted->directory : "");
    free(resolved);
    for (uint32_t i = 0; i < count && making->key != NULL; i++) {
        making->key = sl__arena_format(making->arena, "%s%s\n", making->key, sorted[i]);
    }
    return making->key != NULL ? SL_OK : no_memory(making->error);
}

static uint64_t hash(const char *text, uint64_t seed) {
    for (; *text != '\0'; text++) {
        seed = (seed ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return seed;
}

/* Makes the directory of the environment with those above it. */
static enum sl_code find_home(struct making *making) {
    const char *cache = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    const char *home = cache;
    if (cache == NULL || cache[0] != '/') {
        if (user == NULL || user[0] != '/') {
            return sl_error_set(
                making->error, SL_E_UNSUPPORTED,
                "there is no place for a Python environment: set XDG_CACHE_HOME or HOME to a directory");
        }
        home = sl__arena_format(making->arena, "%s/.cache", user);
        if (home == NULL) {
            return no_memory(making->error);
        }
    }
    char name[36];
    snprintf(name, sizeof name, "%016llx%016llx", (unsigned long long)hash(making->key, UINT64_C(0xcbf29ce484222325)),
             (unsigned long long)hash(making->key, UINT64_C(0x9e3779b97f4a7c15)));
    const char *const steps[] = {"", "/slither", "/environments", "/", name};
    for (size_t i = 0; i < SL_COUNT_OF(steps); i++) {
        home = sl__arena_format(making->arena, "%s%s", home, steps[i]);
        if (home == NULL) {
            return no_memory(making->error);
        }
        enum sl_code code = i == 3 ? SL_OK : sl__path_make(home, NULL, making->error);
        if (code != SL_OK) {
            return code;
        }
    }
    making->home = home;
    making->made = sl__arena_format(making->arena, "%s/made", home);
    return making->made != NULL ? SL_OK : no_memory(making->error);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static bool is_made(const struct making *making, const char *python) {
    FILE *file = fopen(making->made, "re");
    bool same = file != NULL && access(python, X_OK) == 0;
    for (const char *at = making->key; same; at++) {
        int got = fgetc(file);
        same = *at == '\0' ? got == EOF : got == (unsigned char)*at;
        if (*at == '\0') {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return same;
}

static enum sl_code write_file(struct making *making, const char *name, const char *text) {
    const char *path = sl__arena_format(making->arena, "%s/%s", making->home, name);
    if (path == NULL) {
        return no_memory(making->error);
    }
    FILE *file = fopen(path, "we");
    bool written = file != NULL && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    return written ? SL_OK : sl_error_set(making->error, SL_E_SYSTEM, "%s/%s cannot be written", making->home, name);
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

/* The last TAIL_SIZE bytes of what a program says. */
struct tail {
    char bytes[TAIL_SIZE + 1];
    size_t size;
};

static void keep(struct tail *tail, const char *bytes, size_t size) {
    if (size > TAIL_SIZE) {
        bytes += size - TAIL_SIZE;
        size = TAIL_SIZE;
    }
    if (tail->size + size > TAIL_SIZE) {
        size_t gone = tail->size + size - TAIL_SIZE;
        memmove(tail->bytes, tail->bytes + gone, tail->size - gone);
        tail->size -= gone;
    }
    memcpy(tail->bytes + tail->size, bytes, size);
    tail->size += size;
    tail->bytes[tail->size] = '\0';
}

/* Reads what it says until it closes its output; false when the time is up. */
static bool listen(const struct making *making, int fd, int set, struct tail *tail) {
    for (;;) {
        char bytes[4096];
        size_t size;
        uint64_t key, now_ns = sl__clock_now_ns();
        if (now_ns >= making->deadline_ns ||
            !sl__ready_wait(set, (int)SL_MIN((making->deadline_ns - now_ns) / 1000000 + 1, (uint64_t)3600000), &key)) {
            if (sl__clock_now_ns() >= making->deadline_ns) {
                return false;
            }
            continue;
        }
        enum sl_code code = sl__read(fd, bytes, sizeof bytes, &size, NULL);
        if (code == SL_OK) {
            keep(tail, bytes, size);
        } else if (code != SL_E_AGAIN) {
            return true;
        }
    }
}

/* Runs a program to its end; SL_OK when it exits with 0. Its whole group goes when the time is up. */
static enum sl_code run(struct making *making, const char *const *argv, struct tail *tail) {
    int null = -1, reader = -1, writer = -1, set = -1, pidfd = -1;
    pid_t pid;
    struct sl__process_end end = {.exit_status = -1};
    const char *directory = making->wanted->directory;
    tail->size = 0;
    tail->bytes[0] = '\0';
    enum sl_code code = sl__open_null(&null, making->error);
    if (code == SL_OK) {
        code = sl__pipe_create(&reader, &writer, making->error);
    }
    if (code == SL_OK) {
        code = sl__ready_create(&set, making->error);
    }
    if (code == SL_OK) {
        code = sl__ready_add(set, reader, 0, false, making->error);
    }
    if (code == SL_OK) {
        const struct sl__spawn_fd fds[] = {{null, 0}, {writer, 1}, {writer, 2}};
        const struct sl__spawn spawn = {
            .program = argv[0],
            .argv = argv,
            .directory = directory[0] != '\0' ? directory : NULL,
            .fds = fds,
            .fd_count = SL_COUNT_OF(fds),
            .group = SL__SPAWN_GROUP_OWN,
        };
        code = sl__spawn(&spawn, &pid, &pidfd, making->error);
    }
    sl__close(&writer);
    if (code == SL_OK) {
        bool over = listen(making, reader, set, tail);
        if (!over) {
            (void)sl__process_signal_group(pidfd, pid, SIGKILL, NULL);
        }
        code = sl__process_reap(pidfd, true, &end, making->error);
        code = code == SL_E_NOT_FOUND ? SL_OK : code; /* the host ignores its children: what is installed tells */
        if (!over) {
            code = sl_error_set(making->error, SL_E_TIMEOUT, "%s did not end in time and was killed", argv[0]);
        } else if (code == SL_OK && (end.exit_status > 0 || end.term_signal != 0)) {
            code = sl_error_set(making->error, SL_E_UNSUPPORTED, "%s failed", argv[0]);
        }
    }
    sl__close(&pidfd);
    sl__close(&set);
    sl__close(&reader);
    sl__close(&null);
    return code;
}

static enum sl_code install(struct making *making, const char *python, const char *venv, const char *list,
                            struct tail *tail) {
    char *uv = NULL;
    enum sl_code code = sl__program_find("uv", NULL, &uv, NULL);
    if (code == SL_E_OUT_OF_MEMORY) {
        return no_memory(making->error);
    }
    if (code == SL_OK) {
        const char *const make[] = {uv, "venv", "-q", "--python", making->interpreter, venv, NULL};
        const char *const fill[] = {uv, "pip", "install", "-q", "--python", python, "-r", list, NULL};
        code = run(making, make, tail);
        code = code == SL_OK ? run(making, fill, tail) : code;
    } else {
        code = SL_E_UNSUPPORTED;
    }
    free(uv);
    /* uv may be there and not know of a mirror that pip knows of. */
    if (code == SL_E_UNSUPPORTED) {
        const char *const make[] = {making->interpreter, "-m", "venv", venv, NULL};
        const char *const fill[] = {python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                                    "-r",   list, NULL};
        code = sl__directory_remove(venv, making->error);
        code = code == SL_OK ? run(making, make, tail) : code;
        code = code == SL_OK ? run(making, fill, tail) : code;
    }
    return code;
}

static enum sl_code explain(struct making *making, enum sl_code code, const char *wanted, const struct tail *tail) {
    size_t size = tail->size;
    while (size > 0 && tail->bytes[size - 1] == '\n') {
        size--;
    }
    size_t start = size;
    while (start > 0 && tail->bytes[start - 1] != '\n') {
        start--;
    }
    (void)sl_error_set(making->error, code,
                       "the requirements (%.120s) could not be installed%s: %.*s. They need a package index that this "
                       "machine can reach, or an interpreter that has them, under python.interpreter",
                       wanted, code == SL_E_TIMEOUT ? " in time" : "", (int)SL_MIN(size - start, (size_t)160),
                       tail->bytes + start);
    if (making->error != NULL && size > 0) {
        making->error->stderr_tail = strdup(tail->bytes);
    }
    return code;
}

static enum sl_code make(struct making *making, const char *python, const char *venv) {
    const char *list = sl__arena_format(making->arena, "%s/requirements.txt", making->home);
    const char *lines = "", *names = "";
    struct tail *tail = malloc(sizeof *tail);
    for (size_t i = 0; making->wanted->wanted[i] != NULL && lines != NULL && names != NULL; i++) {
        lines = sl__arena_format(making->arena, "%s%s\n", lines, making->wanted->wanted[i]);
        names = sl__arena_format(making->arena, "%s%s%s", names, i > 0 ? ", " : "", making->wanted->wanted[i]);
    }
    if (list == NULL || lines == NULL || names == NULL || tail == NULL) {
        free(tail);
        return no_memory(making->error);
    }
    announce(making, "installing into the Python environment ", making->home, names);
    enum sl_code code = sl__directory_remove(venv, making->error);
    code = code == SL_OK ? write_file(making, "made", "") : code;
    code = code == SL_OK ? write_file(making, "requirements.txt", lines) : code;
    if (code == SL_OK) {
        code = install(making, python, venv, list, tail);
        if (code == SL_E_UNSUPPORTED || code == SL_E_TIMEOUT) {
            code = explain(making, code, names, tail);
        }
    }
    free(tail);
    return code == SL_OK ? write_file(making, "made", making->key) : code;
}

/* Waits for the lock of the environment; whoever has it is about to make it. */
static enum sl_code lock(struct making *making, int *fd) {
    for (bool told = false;; told = true) {
        enum sl_code code = sl__path_lock(making->home, fd, making->error);
        if (code != SL_E_AGAIN) {
            return code;
        }
        if (!told) {
            announce(making, "waiting for another process that makes the Python environment ", making->home, "");
        }
        if (sl__clock_now_ns() >= making->deadline_ns) {
            return sl_error_set(making->error, SL_E_TIMEOUT, "another process has been making %s all the time",
                                making->home);
        }
        usleep(LOCK_LOOK_MS * 1000);
    }
}

enum sl_code sl__requirements_provide(const struct sl__requirements *requirements, struct sl__arena *arena,
                                      const char **out, struct sl_error *error) {
    struct making making = {.wanted = requirements, .arena = arena, .error = error};
    making.deadline_ns = sl__clock_now_ns() + (uint64_t)requirements->timeout_ms * 1000000;
    enum sl_code code = find_interpreter(&making);
    code = code == SL_OK ? make_key(&making) : code;
    code = code == SL_OK ? find_home(&making) : code;
    if (code != SL_OK) {
        return code;
    }
    const char *venv = sl__arena_format(arena, "%s/venv", making.home);
    const char *python = venv != NULL ? sl__arena_format(arena, "%s/bin/python", venv) : NULL;
    int fd = -1;
    if (python == NULL) {
        return no_memory(error);
    }
    if (!is_made(&making, python)) {
        code = lock(&making, &fd);
        if (code == SL_OK && !is_made(&making, python)) {
            code = make(&making, python, venv);
        }
        sl__path_unlock(&fd);
    }
    *out = python;
    return code;
}
