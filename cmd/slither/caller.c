/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "secrets.h"
#include "signals.h"
#include "status.h"

/* ---- signals ------------------------------------------------------------------------------------------------------ */

/* In the signal thread. The workers see that their host is gone, and go too. */
static void take_signal(void *context, int number) {
    struct caller *caller = context;
    pthread_mutex_lock(&caller->mutex);
    if (number != SIGINT || (!caller->busy && caller->idle_fd < 0)) {
        _exit(STATUS_INTERRUPTED);
    }
    if (!caller->busy) {
        const uint64_t one = 1;
        if (write(caller->idle_fd, &one, sizeof one) < 0) {
            _exit(STATUS_INTERRUPTED);
        }
    } else if (++caller->interrupts > 1 + (unsigned)caller->streams) {
        _exit(STATUS_INTERRUPTED);
    } else {
        atomic_store(&caller->interrupted, true);
        if (!caller->streams || caller->interrupts > 1) {
            sl_control_cancel(caller->control);
        }
    }
    pthread_mutex_unlock(&caller->mutex);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static enum sl_code open_pool(struct caller *caller, const char *name, struct sl_error *error) {
    const struct caller_options *options = caller->options;
    struct sl_runtime_options runtime_options = SL_RUNTIME_OPTIONS_INIT;
    runtime_options.log = console_log;
    runtime_options.log_level = options->verbose == 0   ? SL_LOG_WARN
                                : options->verbose == 1 ? SL_LOG_INFO
                                                        : SL_LOG_DEBUG;
    console_show_host(options->verbose > 0);
    enum sl_code code = sl_runtime_create(&runtime_options, &caller->runtime, error);
    if (code == SL_OK) {
        code = events_attach(caller->runtime, error);
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl_pool_options pool_options = SL_POOL_OPTIONS_INIT;
    pool_options.name = name;
    pool_options.worker_count = 1;
    pool_options.python = options->python;
    pool_options.python_path = options->python_path.texts;
    pool_options.start_timeout_ms = (uint32_t)options->start_timeout_ms;
    pool_options.redact = secrets_patterns();
    return sl_pool_create(caller->runtime, &pool_options, &caller->pool, error);
}

bool caller_open(struct caller *caller, const struct caller_options *options, const char *name, int idle_fd,
                 int *status) {
    *caller = (struct caller){.options = options, .idle_fd = idle_fd, .out = {.fd = -1}};
    pthread_mutex_init(&caller->mutex, NULL);
    printer_init(&caller->printer);
    *status = STATUS_HALTED;
    if (!signals_start(take_signal, caller) || !output_init(&caller->out, STDOUT_FILENO, "standard output")) {
        fprintf(stderr, "slither: %s: %s\n", name, strerror(errno));
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    if (isatty(STDOUT_FILENO) == 1) {
        caller->out.before_write = console_hide;
        caller->out.interrupted = &caller->interrupted;
    }
    console_start(options->progress, options->quiet != 0);
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = open_pool(caller, name, &error);
    if (code != SL_OK) {
        (void)caller_fail(caller, code, &error);
        *status = STATUS_HALTED;
    }
    sl_error_finish(&error);
    return code == SL_OK;
}

void caller_close(struct caller *caller) {
    console_stop();
    sl_pool_destroy(caller->pool);
    sl_runtime_destroy(caller->runtime);
    events_close();
    signals_stop();
    sl_control_destroy(caller->control);
    (void)output_close(&caller->out, NULL); /* of a call that failed: what there is of it */
    printer_finish(&caller->printer);
    pthread_mutex_destroy(&caller->mutex);
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

static void show_progress(void *context, const struct sl_progress *progress) {
    (void)context;
    char text[SL_PROGRESS_TEXT_MAX + 80];
    const char *gap = progress->text[0] != '\0' ? "  " : "";
    if (progress->total > 0) {
        snprintf(text, sizeof text, "%3.0f%%  %.10g of %.10g%s%s", 100 * progress->done / progress->total,
                 progress->done, progress->total, gap, progress->text);
    } else {
        snprintf(text, sizeof text, "%.10g%s%s", progress->done, gap, progress->text);
    }
    console_status(text);
}

bool caller_begin(struct caller *caller, struct sl_session *session, struct sl_call_options *options) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_control *control = NULL;
    if (sl_control_create(&control, &error) != SL_OK) {
        (void)caller_fail(caller, error.code, &error);
        sl_error_finish(&error);
        return false;
    }
    *options = (struct sl_call_options)SL_CALL_OPTIONS_INIT;
    options->session = session;
    options->timeout_ms = (uint32_t)caller->options->timeout_ms;
    options->control = control;
    options->progress = console_wants_progress() ? show_progress : NULL;
    pthread_mutex_lock(&caller->mutex);
    struct sl_control *before = caller->control;
    caller->control = control;
    caller->busy = true;
    caller->streams = false;
    caller->interrupts = 0;
    atomic_store(&caller->interrupted, false);
    pthread_mutex_unlock(&caller->mutex);
    sl_control_destroy(before);
    return true;
}

void caller_streams(struct caller *caller) {
    pthread_mutex_lock(&caller->mutex);
    caller->streams = true;
    pthread_mutex_unlock(&caller->mutex);
}

void caller_end(struct caller *caller) {
    pthread_mutex_lock(&caller->mutex);
    caller->busy = false;
    pthread_mutex_unlock(&caller->mutex);
    console_hide();
}

bool caller_is_iterator(struct sl_value value) {
    static const char *const names[] = {
        "generator",   "async_generator",   "map",   "filter",        "zip",
        "enumerate",   "reversed",          "range", "list_iterator", "dict_keyiterator",
        "_csv.reader", "_io.TextIOWrapper", NULL};
    struct sl_ref ref;
    if (value.size == 0 || sl_value_type(value) != SL_TYPE_REF || sl_value_ref(value, &ref) != SL_OK) {
        return false;
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strlen(names[i]) == ref.type_name_size && memcmp(names[i], ref.type_name, ref.type_name_size) == 0) {
            return true;
        }
    }
    return ref.type_name_size > 10 && memcmp(ref.type_name, "itertools.", 10) == 0;
}

enum sl_code caller_print(struct caller *caller, struct sl_value value, struct sl_error *error) {
    uint32_t flags = caller->options->nan == NAN_NULL ? SL_JSON_NAN_AS_NULL : 0;
    enum sl_code code = printer_put(&caller->printer, &caller->out, value, flags, error);
    if (code == SL_OK && caller->out.may_wait) { /* somebody may watch */
        code = output_flush(&caller->out, error);
    }
    return code;
}

enum sl_code caller_print_items(struct caller *caller, struct sl_iteration *iteration, struct sl_error *error) {
    enum sl_code code;
    struct sl_value item;
    caller_streams(caller);
    while ((code = sl_iteration_next(iteration, &item, error)) == SL_OK) {
        code = caller_print(caller, item, error);
        if (code != SL_OK && code != SL_E_CANCELLED) {
            return code;
        }
        if (atomic_load(&caller->interrupted)) {
            return sl_error_set(error, SL_E_CANCELLED, "interrupted; there may be more items");
        }
    }
    return code == SL_E_END ? output_flush(&caller->out, error) : code;
}

/* ---- failures ----------------------------------------------------------------------------------------------------- */

/* Whether the function was begun: the call is an item that failed, not a run that could not be. */
static bool has_run(enum sl_code code) {
    switch (code) {
    case SL_E_PYTHON:
    case SL_E_ITEM:
    case SL_E_WORKER_CRASHED:
    case SL_E_WORKER_TIMEOUT:
    case SL_E_OUT_OF_MEMORY:
    case SL_E_NOT_SERIALIZABLE:
    case SL_E_BAD_RESULT:
    case SL_E_LIMIT:
        return true;
    default:
        return false;
    }
}

int caller_fail(const struct caller *caller, enum sl_code code, const struct sl_error *error) {
    if (code == SL_E_END && caller->out.reader_gone) {
        return STATUS_PIPE_CLOSED;
    }
    console_hide();
    console_message(CONSOLE_ERROR, "%s: %s", sl_code_name(code), error->message);
    if (error->traceback != NULL && strstr(error->traceback, "File ") != NULL) { /* else it says the same again */
        console_text(error->traceback);
    }
    return code == SL_E_CANCELLED          ? STATUS_INTERRUPTED
           : code == SL_E_INVALID_ARGUMENT ? STATUS_USAGE
           : has_run(code)                 ? STATUS_ITEMS_FAILED
                                           : STATUS_HALTED;
}
