/* SPDX-License-Identifier: MIT */
#include "worker/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/macros.h"
#include "environment.h"
#include "lane/handshake.h"
#include "sys/entropy.h"
#include "sys/processors.h"
#include "sys/spawn.h"

/* Threads that numerical libraries start in each process: as many as there are processors, each of them, unless told otherwise. */
static const char *const thread_variables[] = {
    "OMP_NUM_THREADS",     "OPENBLAS_NUM_THREADS",   "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS",
};

#define PRELOAD_BYTES_MAX (SL__MESSAGE_MAX / 2)
#define MARK_VARIABLE "SLITHER_POOL"

static void free_list(char **list) {
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

static enum sl_code no_memory(struct sl_error *error) {
    return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the description of a pool's workers");
}

/* Absolute without following links; relative to where the host runs. */
static char *absolute(const char *path) {
    if (path[0] == '/') {
        return strdup(path);
    }
    char *here = getcwd(NULL, 0);
    char *joined = NULL;
    if (here != NULL && asprintf(&joined, "%s/%s", here, path) < 0) {
        joined = NULL;
    }
    free(here);
    return joined;
}

/* ---- interpreter ---------------------------------------------------------------------------------------------- */

static enum sl_code find_python(struct sl__spec *spec, const struct sl_pool_options *options,
                                const struct sl__environment *environment, struct sl_error *error) {
    const char *virtual_env = sl__environment_get(environment, "VIRTUAL_ENV");
    const char *search_path = sl__environment_get(environment, "PATH");
    const char *by;
    char *wanted = NULL;
    if (options->python != NULL) {
        if (options->python[0] == '\0') {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "the option `python` is empty; expected a path or a name");
        }
        by = "the option `python`";
        wanted = strdup(options->python);
    } else if (virtual_env != NULL && virtual_env[0] != '\0') {
        by = "$VIRTUAL_ENV";
        if (asprintf(&wanted, "%s/bin/python", virtual_env) < 0) {
            wanted = NULL;
        }
    } else {
        by = "default";
        wanted = strdup("python3");
    }
    if (wanted == NULL) {
        return no_memory(error);
    }
    char *found = NULL;
    enum sl_code code = sl__program_find(wanted, search_path, &found, NULL);
    if (code == SL_OK) {
        spec->python = absolute(found);
        free(found);
        code = spec->python != NULL ? SL_OK : no_memory(error);
    } else if (code == SL_E_OUT_OF_MEMORY) {
        code = no_memory(error);
    } else if (strchr(wanted, '/') != NULL) {
        code =
            sl_error_set(error, SL_E_WORKER_START,
                         "no Python interpreter: %s (chosen by %s) does not exist or may not be executed; name another "
                         "with the option `python`%s",
                         wanted, by, options->python == NULL ? ", or unset VIRTUAL_ENV to use python3 from PATH" : "");
    } else {
        code =
            sl_error_set(error, SL_E_WORKER_START,
                         "no Python interpreter: %s (chosen by %s) is in none of the directories of PATH (%s); install "
                         "CPython 3.11 or later, or name an interpreter with the option `python`",
                         wanted, by, search_path != NULL ? search_path : "not set");
    }
    free(wanted);
    return code;
}

/* ---- environment ---------------------------------------------------------------------------------------------- */

static enum sl_code apply_options(struct sl__environment *environment, const char *const *changes,
                                  struct sl_error *error) {
    for (; changes != NULL && *changes != NULL; changes++) {
        const char *change = *changes;
        size_t name_size = strcspn(change, "=");
        if (name_size == 0) {
            return sl_error_set(
                error, SL_E_INVALID_ARGUMENT,
                "the option `environment` has the entry \"%s\"; expected \"NAME=value\", or \"NAME\" to "
                "remove it",
                change);
        }
        char *name = strndup(change, name_size);
        if (name == NULL) {
            return no_memory(error);
        }
        bool fits = true;
        if (change[name_size] == '=') {
            fits = sl__environment_set(environment, name, change + name_size + 1);
        } else {
            sl__environment_remove(environment, name);
        }
        free(name);
        if (!fits) {
            return no_memory(error);
        }
    }
    return SL_OK;
}

static bool set_threads(struct sl__environment *environment, uint32_t worker_count) {
    uint32_t threads = SL_MAX(1u, sl__processor_count() / worker_count);
    char text[16];
    snprintf(text, sizeof(text), "%u", threads);
    for (size_t i = 0; i < SL_COUNT_OF(thread_variables); i++) {
        if (sl__environment_get(environment, thread_variables[i]) == NULL &&
            !sl__environment_set(environment, thread_variables[i], text)) {
            return false;
        }
    }
    return true;
}

/* The package first, so that it is the one of this library; then the option, then what was there. */
static enum sl_code set_python_path(struct sl__environment *environment, const char *package_path,
                                    const char *const *option, struct sl_error *error) {
    char *text = strdup(package_path);
    for (; text != NULL && option != NULL && *option != NULL; option++) {
        if (strchr(*option, ':') != NULL || (*option)[0] == '\0') {
            free(text);
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "the option `python_path` has the entry \"%s\"; expected the path of one directory, "
                                "without a colon",
                                *option);
        }
        char *directory = absolute(*option);
        char *longer = NULL;
        if (directory == NULL || asprintf(&longer, "%s:%s", text, directory) < 0) {
            longer = NULL;
        }
        free(directory);
        free(text);
        text = longer;
    }
    const char *inherited = sl__environment_get(environment, "PYTHONPATH");
    if (text != NULL && inherited != NULL && inherited[0] != '\0') {
        char *longer = NULL;
        if (asprintf(&longer, "%s:%s", text, inherited) < 0) {
            longer = NULL;
        }
        free(text);
        text = longer;
    }
    bool fits = text != NULL && sl__environment_set(environment, "PYTHONPATH", text);
    free(text);
    return fits ? SL_OK : no_memory(error);
}

/* ---- the rest ------------------------------------------------------------------------------------------------- */

static enum sl_code copy_preload(struct sl__spec *spec, const char *const *preload, struct sl_error *error) {
    size_t count = 0, bytes = 0;
    for (; preload != NULL && preload[count] != NULL; count++) {
        size_t size = strlen(preload[count]);
        if (size == 0) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "the option `preload` has an empty entry; expected \"module\" or \"module:function\"");
        }
        bytes += size + 5; /* text and its longest header */
        if (bytes > PRELOAD_BYTES_MAX) {
            return sl_error_set(error, SL_E_LIMIT, "the option `preload` has more than %d bytes of names",
                                PRELOAD_BYTES_MAX);
        }
    }
    if (count == 0) {
        return SL_OK;
    }
    spec->preload = calloc(count + 1, sizeof(*spec->preload));
    if (spec->preload == NULL) {
        return no_memory(error);
    }
    for (size_t i = 0; i < count; i++) {
        spec->preload[i] = strdup(preload[i]);
        if (spec->preload[i] == NULL) {
            return no_memory(error);
        }
        spec->preload_count++;
    }
    return SL_OK;
}

/*
 * Not `-m slither.worker`: that looks for the package, and for every module of the standard library that it needs, in the working directory
 * first, where a user's struct.py or slither/ would be taken for them. The worker puts the directory in front of the path
 * before it imports anything of the user's. The last argument is only there to be seen in a list of processes.
 */
#define PROGRAM(module) \
    "import sys; sys.path[:] = [d for d in sys.path if d]; from " module " import main; sys.exit(main())"

static char **make_argv(const char *python, const char *program, const char *name) {
    const char *const texts[] = {python, "-c", program, name};
    char **argv = calloc(SL_COUNT_OF(texts) + 1, sizeof(*argv));
    bool fits = argv != NULL;
    for (size_t i = 0; i < SL_COUNT_OF(texts) && fits; i++) {
        argv[i] = strdup(texts[i]);
        fits = argv[i] != NULL;
    }
    if (!fits) {
        free_list(argv);
        return NULL;
    }
    return argv;
}

static bool make_argvs(struct sl__spec *spec) {
    spec->argv = make_argv(spec->python, PROGRAM("slither.worker"), "slither.worker");
    spec->template_argv = make_argv(spec->python, PROGRAM("slither.template"), "slither.template");
    return spec->argv != NULL && spec->template_argv != NULL;
}

/* A worker may be the host of another pool: its workers carry both marks, and end with either pool. */
static bool set_mark(struct sl__spec *spec, struct sl__environment *environment) {
    snprintf(spec->mark, sizeof(spec->mark), "slither.%016" PRIx64, sl__random_seed());
    const char *outer = sl__environment_get(environment, MARK_VARIABLE);
    char *marks = NULL;
    if (outer == NULL || outer[0] == '\0') {
        return sl__environment_set(environment, MARK_VARIABLE, spec->mark);
    }
    if (asprintf(&marks, "%s:%s", outer, spec->mark) < 0) {
        return false;
    }
    bool fits = sl__environment_set(environment, MARK_VARIABLE, marks);
    free(marks);
    return fits;
}

static enum sl_code fill(struct sl__spec *spec, struct sl__environment *environment,
                         const struct sl_pool_options *options, uint32_t worker_count, const char *package_path,
                         struct sl_error *error) {
    enum sl_code code = apply_options(environment, options->environment, error);
    if (code == SL_OK) {
        code = find_python(spec, options, environment, error);
    }
    if (code == SL_OK) {
        code = set_python_path(environment, package_path, options->python_path, error);
    }
    if (code == SL_OK) {
        code = copy_preload(spec, options->preload, error);
    }
    if (code == SL_OK) {
        code = sl__redact_init(&spec->redact, options->redact, error);
    }
    if (code != SL_OK) {
        return code;
    }
    if (!options->keep_thread_environment && !set_threads(environment, worker_count)) {
        return no_memory(error);
    }
    if (options->working_directory != NULL) {
        spec->directory = absolute(options->working_directory);
        if (spec->directory == NULL) {
            return no_memory(error);
        }
    }
    spec->fork = options->template_use == SL_TEMPLATE_AUTO;
    if (!make_argvs(spec) || !set_mark(spec, environment) || !sl__environment_end(environment)) {
        return no_memory(error);
    }
    return SL_OK;
}

enum sl_code sl__spec_init(struct sl__spec *spec, const struct sl_pool_options *options, uint32_t worker_count,
                           const char *package_path, const char *const *host_environment, struct sl_error *error) {
    SL_ASSERT(worker_count > 0);
    memset(spec, 0, sizeof(*spec));
    struct sl__environment environment = {0};
    enum sl_code code = SL_E_OUT_OF_MEMORY;
    if (sl__environment_copy(&environment, host_environment)) {
        code = fill(spec, &environment, options, worker_count, package_path, error);
    } else {
        no_memory(error);
    }
    if (code != SL_OK) {
        sl__environment_finish(&environment);
        sl__spec_finish(spec);
        return code;
    }
    spec->envp = environment.items; /* moved */
    return SL_OK;
}

void sl__spec_finish(struct sl__spec *spec) {
    free_list(spec->argv);
    free_list(spec->template_argv);
    free_list(spec->envp);
    free_list(spec->preload);
    free(spec->python);
    free(spec->directory);
    memset(spec, 0, sizeof(*spec));
}
