/* SPDX-License-Identifier: MIT */
#include "loop/runtime.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

#ifndef SL_PACKAGE_INSTALL_DIR
#define SL_PACKAGE_INSTALL_DIR "/usr/local/lib/slither/python"
#endif

/* What tells the package from a directory that only has its name. */
#define PACKAGE_MARK "slither/worker"

static bool holds_package(const char *directory) {
    static const char *const marks[] = {PACKAGE_MARK ".py", PACKAGE_MARK "/__main__.py"};
    for (size_t i = 0; i < SL_COUNT_OF(marks); i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof(path), "%s/%s", directory, marks[i]);
        if (length > 0 && (size_t)length < sizeof(path) && access(path, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* Absolute, because the worker may run in another directory. */
static enum sl_code take(const char *directory, char **path, struct sl_error *error) {
    *path = realpath(directory, NULL);
    if (*path == NULL) {
        return sl_error_set(error, SL_E_SYSTEM, "the path of the package directory %s cannot be resolved", directory);
    }
    return SL_OK;
}

static enum sl_code take_named(const char *directory, const char *by, char **path, struct sl_error *error) {
    if (!holds_package(directory)) {
        return sl_error_set(error, SL_E_WORKER_START,
                            "the Python package `slither` is not in %s (set by %s): %s/" PACKAGE_MARK
                            ".py does not exist; name the directory that holds the package",
                            directory, by, directory);
    }
    return take(directory, path, error);
}

/* Directory of the file that this code was loaded from: libslither.so, or the program when linked statically. */
static bool own_directory(char *directory, size_t size) {
    Dl_info where;
    if (dladdr((const void *)(uintptr_t)&sl__package_find, &where) == 0 || where.dli_fname == NULL) {
        return false;
    }
    char *file = realpath(where.dli_fname, NULL);
    if (file == NULL) {
        return false;
    }
    char *slash = strrchr(file, '/');
    bool fits = slash != NULL && (size_t)(slash - file) < size;
    if (fits) {
        memcpy(directory, file, (size_t)(slash - file));
        directory[slash - file] = '\0';
    }
    free(file);
    return fits;
}

enum sl_code sl__package_find(const char *option, char **path, struct sl_error *error) {
    if (option != NULL) {
        return take_named(option, "the option package_path", path, error);
    }
    const char *variable = getenv("SLITHER_PACKAGE_PATH");
    if (variable != NULL && variable[0] != '\0') {
        return take_named(variable, "$SLITHER_PACKAGE_PATH", path, error);
    }
    char own[PATH_MAX] = "";
    if (own_directory(own, sizeof(own))) {
        /* Installed, build tree, and a directory that was copied as a whole. */
        static const char *const below[] = {"slither/python", "../python", "python"};
        for (size_t i = 0; i < SL_COUNT_OF(below); i++) {
            char candidate[PATH_MAX];
            int length = snprintf(candidate, sizeof(candidate), "%s/%s", own, below[i]);
            if (length > 0 && (size_t)length < sizeof(candidate) && holds_package(candidate)) {
                return take(candidate, path, error);
            }
        }
    }
    if (holds_package(SL_PACKAGE_INSTALL_DIR)) {
        return take(SL_PACKAGE_INSTALL_DIR, path, error);
    }
    return sl_error_set(
        error, SL_E_WORKER_START,
        "the Python package `slither` was not found: neither in %s/{slither/python,../python,python} nor "
        "in %s; set $SLITHER_PACKAGE_PATH or the runtime's package_path to the directory that holds it",
        own, SL_PACKAGE_INSTALL_DIR);
}
