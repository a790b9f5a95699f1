/* SPDX-License-Identifier: MIT */
#include "loop/runtime.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "directory.h"
#include "sys/process.h"

#define LANE_MAX_LIMIT 1024
#define VIEW_THREADS_LIMIT 256

static enum sl_code check_options(const struct sl_runtime_options *options, struct sl_error *error) {
    if (options->lane_max < 1 || options->lane_max > LANE_MAX_LIMIT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_runtime_create: lane_max is %u; expected 1 to %u",
                            options->lane_max, LANE_MAX_LIMIT);
    }
    if (options->view_threads_max < 1 || options->view_threads_max > VIEW_THREADS_LIMIT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_runtime_create: view_threads_max is %u; expected 1 to %u",
                            options->view_threads_max, VIEW_THREADS_LIMIT);
    }
    if (options->log_level < SL_LOG_DEBUG || options->log_level > SL_LOG_ERROR) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_runtime_create: log_level is %d; expected one of enum sl_log_level",
                            (int)options->log_level);
    }
    return SL_OK;
}

enum sl_code sl_runtime_create(const struct sl_runtime_options *given, struct sl_runtime **out,
                               struct sl_error *error) {
    if (out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_runtime_create: `runtime` is NULL");
    }
    *out = NULL;
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_runtime_options, log) + sizeof(given->log)) {
            return sl_error_set(
                error, SL_E_INVALID_ARGUMENT,
                "sl_runtime_create: options.size is %zu; set the options up with SL_RUNTIME_OPTIONS_INIT", given->size);
        }
        memcpy(&options, given, SL_MIN(given->size, sizeof(options)));
    }
    enum sl_code code = check_options(&options, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl_runtime *runtime = calloc(1, sizeof(*runtime));
    if (runtime == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a runtime");
    }
    runtime->lane_max = options.lane_max;
    runtime->view_threads_max = options.view_threads_max;
    runtime->owner = sl__process_id();
    atomic_init(&runtime->holders, 1);
    if (options.package_path != NULL) {
        runtime->package_path = strdup(options.package_path);
        if (runtime->package_path == NULL) {
            code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a runtime");
            goto no_path;
        }
    }
    if (!sl__log_init(&runtime->log, options.log, options.log_context, options.log_level)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the lock of the log");
        goto no_log;
    }
    if (!sl__telemetry_init(&runtime->telemetry)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the events of a runtime");
        goto no_telemetry;
    }
    pthread_mutex_init(&runtime->lock, NULL);
    pthread_mutex_init(&runtime->directory_lock, NULL);
    code = sl__loop_create(&runtime->loop, error);
    if (code != SL_OK) {
        goto no_loop;
    }
    *out = runtime;
    return SL_OK;

no_loop:
    pthread_mutex_destroy(&runtime->directory_lock);
    pthread_mutex_destroy(&runtime->lock);
    sl__telemetry_finish(&runtime->telemetry);
no_telemetry:
    sl__log_finish(&runtime->log);
no_log:
    free(runtime->package_path);
no_path:
    free(runtime);
    return code;
}

void sl_runtime_destroy(struct sl_runtime *runtime) {
    if (runtime == NULL || sl__runtime_foreign(runtime)) {
        /* A forked child has a copy of the memory, but not the thread: there is nothing that it could stop. */
        return;
    }
    for (;;) {
        pthread_mutex_lock(&runtime->lock);
        struct sl__tenant *tenant = runtime->tenants;
        if (tenant != NULL && tenant->hold != NULL) {
            tenant->hold(tenant); /* another thread may be destroying it: it parts before its memory goes */
        }
        pthread_mutex_unlock(&runtime->lock);
        if (tenant == NULL) {
            break;
        }
        tenant->destroy(tenant);
    }
    if (runtime->upcalls != NULL) {
        runtime->upcalls->destroy(runtime->upcalls);
    }
    if (runtime->sessions != NULL) {
        runtime->sessions->destroy(runtime->sessions); /* after the views, which may use it */
    }
    sl__loop_destroy(runtime->loop);
    SL_ASSERT(runtime->lane_count == 0);
    sl__directory_destroy(&runtime->log, runtime->directory);
    pthread_mutex_destroy(&runtime->directory_lock);
    pthread_mutex_destroy(&runtime->lock);
    sl__telemetry_close(&runtime->telemetry);
    sl__log_finish(&runtime->log);
    free(runtime->package_path);
    sl__runtime_let_go(runtime);
}

void sl__runtime_hold(struct sl_runtime *runtime) {
    atomic_fetch_add_explicit(&runtime->holders, 1, memory_order_relaxed);
}

void sl__runtime_let_go(struct sl_runtime *runtime) {
    if (atomic_fetch_sub_explicit(&runtime->holders, 1, memory_order_acq_rel) == 1) {
        sl__telemetry_finish(&runtime->telemetry);
        free(runtime);
    }
}

enum sl_code sl_telemetry_attach(struct sl_runtime *runtime, const char *prefix, sl_event_fn *function, void *context,
                                 struct sl_telemetry_handler **handler, struct sl_error *error) {
    if (runtime == NULL || prefix == NULL || function == NULL || handler == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_telemetry_attach: `%s` is NULL",
                            runtime == NULL    ? "runtime"
                            : prefix == NULL   ? "prefix"
                            : function == NULL ? "function"
                                               : "handler");
    }
    *handler = NULL;
    if (sl__runtime_foreign(runtime)) {
        return sl_error_set(
            error, SL_E_UNSUPPORTED,
            "sl_telemetry_attach: the runtime was made before this process was forked; nothing happens in it here");
    }
    return sl__telemetry_attach(&runtime->telemetry, prefix, function, context, handler, error);
}

bool sl__runtime_foreign(const struct sl_runtime *runtime) {
    return sl__process_id() != runtime->owner;
}

enum sl_code sl__runtime_directory(struct sl_runtime *runtime, const char **path, struct sl_error *error) {
    enum sl_code code = SL_OK;
    *path = NULL;
    pthread_mutex_lock(&runtime->directory_lock);
    if (runtime->directory == NULL) {
        code = sl__directory_create(&runtime->log, &runtime->directory, error);
    }
    if (code == SL_OK) {
        *path = runtime->directory->path;
    }
    pthread_mutex_unlock(&runtime->directory_lock);
    return code;
}

/* With the lock. */
static enum sl_code take_lanes(struct sl_runtime *runtime, uint32_t lane_count, struct sl_error *error) {
    uint32_t left = runtime->lane_max - runtime->lane_count;
    if (lane_count > left) {
        return sl_error_set(error, SL_E_LIMIT,
                            "%u lanes are wanted and the runtime has %u left of its lane_max of %u; ask for fewer "
                            "workers or raise lane_max (at most %u)",
                            lane_count, left, runtime->lane_max, LANE_MAX_LIMIT);
    }
    runtime->lane_count += lane_count;
    return SL_OK;
}

enum sl_code sl__runtime_join(struct sl_runtime *runtime, struct sl__tenant *tenant, uint32_t lane_count,
                              struct sl_error *error) {
    pthread_mutex_lock(&runtime->lock);
    enum sl_code code = take_lanes(runtime, lane_count, error);
    if (code == SL_OK) {
        tenant->previous = NULL;
        tenant->next = runtime->tenants;
        if (tenant->next != NULL) {
            tenant->next->previous = tenant;
        }
        runtime->tenants = tenant;
    }
    pthread_mutex_unlock(&runtime->lock);
    return code;
}

enum sl_code sl__runtime_take_lanes(struct sl_runtime *runtime, uint32_t lane_count, struct sl_error *error) {
    pthread_mutex_lock(&runtime->lock);
    enum sl_code code = take_lanes(runtime, lane_count, error);
    pthread_mutex_unlock(&runtime->lock);
    return code;
}

void sl__runtime_give_lanes(struct sl_runtime *runtime, uint32_t lane_count) {
    pthread_mutex_lock(&runtime->lock);
    SL_ASSERT(runtime->lane_count >= lane_count);
    runtime->lane_count -= lane_count;
    pthread_mutex_unlock(&runtime->lock);
}

void sl__runtime_part(struct sl_runtime *runtime, struct sl__tenant *tenant, uint32_t lane_count) {
    pthread_mutex_lock(&runtime->lock);
    SL_ASSERT(runtime->lane_count >= lane_count);
    runtime->lane_count -= lane_count;
    if (tenant->previous != NULL) {
        tenant->previous->next = tenant->next;
    } else {
        runtime->tenants = tenant->next;
    }
    if (tenant->next != NULL) {
        tenant->next->previous = tenant->previous;
    }
    pthread_mutex_unlock(&runtime->lock);
}

enum sl_code sl_buffer_create(struct sl_runtime *runtime, uint64_t size, struct sl_buffer **buffer,
                              struct sl_error *error) {
    if (runtime == NULL || buffer == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_buffer_create: `%s` is NULL",
                            runtime == NULL ? "runtime" : "buffer");
    }
    return sl__buffer_create(&runtime->buffers, size, buffer, error);
}
