/* SPDX-License-Identifier: MIT */
/* The names of views, and the public face. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "service.h"

#define RESERVED "slither."
#define TIMEOUT_MAX_MS (24u * 60 * 60 * 1000)
#define NAMES_SHOWN 12

SL_STATIC_ASSERT(SL__CALL_NAME_MAX == SL_VIEW_NAME_MAX, "every view can be called");

/* ---- by name -------------------------------------------------------------------------------------------------------- */

static int compare(const char *name, size_t size, const struct sl_view *view) {
    int order = memcmp(name, view->options.name, SL_MIN(size, view->name_size));
    return order != 0 ? order : (size > view->name_size) - (size < view->name_size);
}

/* With the lock held. Where a view of that name is, or would be. */
static size_t place_of(const struct sl__upcalls *home, const char *name, size_t size, bool *found) {
    size_t low = 0, high = home->views.count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(name, size, home->views.items[middle]);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct sl_view *sl__view_find(struct sl__upcalls *home, const char *name, size_t size) {
    bool found;
    size_t place = place_of(home, name, size, &found);
    return found ? home->views.items[place] : NULL;
}

static bool is_reserved(const char *name) {
    return strncmp(name, RESERVED, sizeof RESERVED - 1) == 0;
}

void sl__view_names(struct sl__upcalls *home, char *text, size_t size) {
    size_t used = 0, shown = 0, hidden = 0;
    text[0] = '\0';
    for (size_t i = 0; i < home->views.count; i++) {
        const struct sl_view *view = home->views.items[i];
        if (is_reserved(view->options.name)) {
            continue; /* the library's own are called in other ways */
        }
        if (shown == NAMES_SHOWN || used + view->name_size + 24 > size) {
            hidden++;
            continue;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%s", shown > 0 ? ", " : "", view->options.name);
        shown++;
    }
    if (hidden > 0) {
        snprintf(text + used, size - used, " and %zu more", hidden);
    }
}

/* ---- registration --------------------------------------------------------------------------------------------------- */

static enum sl_code check_options(const struct sl_view_options *options, bool reserved, struct sl_error *error) {
    size_t size = options->name != NULL ? strlen(options->name) : 0;
    if (size == 0 || size > SL_VIEW_NAME_MAX || sl__utf8_valid_size(options->name, size) != size) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_view_register: name has %zu bytes; expected 1 to %d bytes of UTF-8", size,
                            SL_VIEW_NAME_MAX);
    }
    if (is_reserved(options->name) != reserved) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_view_register: \"%s\": names that begin with \"" RESERVED "\" are the library's own",
                            options->name);
    }
    if (options->call == NULL && options->call_many == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_view_register: view %s has neither `call` nor `call_many`", options->name);
    }
    if (options->timeout_ms < 1 || options->timeout_ms > TIMEOUT_MAX_MS) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_view_register: timeout_ms of view %s is %u; expected 1 to %u", options->name,
                            options->timeout_ms, TIMEOUT_MAX_MS);
    }
    return SL_OK;
}

static struct sl_view *make_view(struct sl__upcalls *home, const struct sl_view_options *options) {
    struct sl_view *view = calloc(1, sizeof *view);
    char *name = strdup(options->name);
    if (view == NULL || name == NULL) {
        free(view);
        free(name);
        return NULL;
    }
    view->home = home;
    view->options = *options;
    view->options.name = name;
    view->name_size = strlen(name);
    return view;
}

static void free_view(struct sl_view *view) {
    free((void *)(uintptr_t)view->options.name);
    free(view);
}

/* With the lock held: there is a thread that runs views. */
static enum sl_code need_thread(struct sl__upcalls *home, struct sl_error *error) {
    int number = 0;
    if (home->threads == 0 && !sl__service_start_thread(home, &number)) {
        return sl_error_set(error, SL_E_SYSTEM, "no thread could be started for views: %s", strerror(number));
    }
    return SL_OK;
}

/* With the lock held. */
static enum sl_code insert(struct sl__upcalls *home, struct sl_view *view, struct sl_error *error) {
    bool taken;
    size_t place = place_of(home, view->options.name, view->name_size, &taken);
    if (taken) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_view_register: there is a view %s already; unregister it first", view->options.name);
    }
    if (home->views.count >= SL_VIEW_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "sl_view_register: the runtime has %d views, which is the most allowed",
                            SL_VIEW_MAX);
    }
    if (!SL_ARRAY_RESERVE(&home->views, 1)) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for view %s", view->options.name);
    }
    enum sl_code code = need_thread(home, error);
    if (code != SL_OK) {
        return code;
    }
    memmove(&home->views.items[place + 1], &home->views.items[place],
            (home->views.count - place) * sizeof home->views.items[0]);
    home->views.items[place] = view;
    home->views.count++;
    return SL_OK;
}

/* `scope` NULL: global. */
static enum sl_code enter(struct sl_runtime *runtime, struct sl__view_scope *scope, const struct sl_view_options *given,
                          bool reserved, struct sl_view **out, struct sl_error *error) {
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl__upcalls *home;
    if (runtime == NULL || given == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_view_register: `%s` is NULL",
                            runtime == NULL ? "runtime" : "options");
    }
    if (given->size < offsetof(struct sl_view_options, context)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_view_register: options.size is %zu; set the options up with SL_VIEW_OPTIONS_INIT",
                            given->size);
    }
    if (sl__runtime_foreign(runtime)) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "sl_view_register: the runtime was made before this process was forked; make one in the "
                            "child");
    }
    memcpy(&options, given, SL_MIN(given->size, sizeof options));
    options.size = sizeof options;
    enum sl_code code = check_options(&options, reserved, error);
    if (code == SL_OK) {
        code = sl__upcalls_of(runtime, &home, error);
    }
    if (code != SL_OK) {
        return code;
    }
    struct sl_view *view = make_view(home, &options);
    if (view == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for view %s", options.name);
    }
    pthread_mutex_lock(&home->lock);
    if (scope == NULL) {
        code = insert(home, view, error);
    } else if ((code = need_thread(home, error)) == SL_OK) {
        code = sl__scope_insert(scope, view, error);
    }
    pthread_mutex_unlock(&home->lock);
    if (code != SL_OK) {
        free_view(view);
        return code;
    }
    sl__service_relieve(home);
    if (out != NULL) {
        *out = view;
    }
    return SL_OK;
}

enum sl_code sl_view_register(struct sl_runtime *runtime, const struct sl_view_options *options, struct sl_view **view,
                              struct sl_error *error) {
    return enter(runtime, NULL, options, false, view, error);
}

enum sl_code sl__view_register(struct sl_runtime *runtime, const struct sl_view_options *options, struct sl_view **view,
                               struct sl_error *error) {
    return enter(runtime, NULL, options, true, view, error);
}

enum sl_code sl__view_scope_register(struct sl__view_scope *scope, const struct sl_view_options *options,
                                     struct sl_view **view, struct sl_error *error) {
    if (scope->home == NULL) {
        return sl_error_set(error, SL_E_SESSION_LOST, "the runtime of the session is gone");
    }
    return enter(scope->home->runtime, scope, options, false, view, error);
}

/* ---- the end of a view ---------------------------------------------------------------------------------------------- */

void sl__view_release(struct sl_view *view) {
    SL_ASSERT(view->pending > 0);
    view->pending--;
    if (view->pending > 0 || !view->removed) {
        return;
    }
    if (view->orphaned) {
        free_view(view);
    } else {
        pthread_cond_broadcast(&view->home->changed);
    }
}

/* Whether the calling thread is what the view waits for. */
static bool is_inside(const struct sl_view *view) {
    const struct sl__frame *frame = sl__frame_current();
    for (uint32_t i = 0; frame != NULL && i < frame->depth; i++) {
        if (frame->entries[i].view == view) {
            return true;
        }
    }
    return false;
}

void sl_view_unregister(struct sl_view *view) {
    if (view == NULL || sl__runtime_foreign(view->home->runtime)) {
        return;
    }
    struct sl__upcalls *home = view->home;
    bool inside = is_inside(view), found;
    pthread_mutex_lock(&home->lock);
    if (view->scope != NULL) {
        sl__scope_remove(view);
    } else {
        size_t place = place_of(home, view->options.name, view->name_size, &found);
        SL_ASSERT(found && home->views.items[place] == view);
        home->views.count--;
        memmove(&home->views.items[place], &home->views.items[place + 1],
                (home->views.count - place) * sizeof home->views.items[0]);
    }
    view->removed = true;
    sl__service_turn_away(home, view);
    if (inside) {
        view->orphaned = true; /* at least the call that we are in is pending */
    } else {
        while (view->pending > 0) {
            pthread_cond_wait(&home->changed, &home->lock);
        }
        free_view(view);
    }
    pthread_mutex_unlock(&home->lock);
}

void sl_view_stats(struct sl_runtime *runtime, struct sl_view_stats *out) {
    struct sl_view_stats stats = SL_VIEW_STATS_INIT;
    pthread_mutex_lock(&runtime->lock);
    struct sl__annex *annex = runtime->upcalls;
    pthread_mutex_unlock(&runtime->lock);
    if (annex != NULL) {
        struct sl__upcalls *home = SL_CONTAINER_OF(annex, struct sl__upcalls, annex);
        pthread_mutex_lock(&home->lock);
        stats = home->stats;
        stats.view_count = (uint32_t)home->views.count;
        stats.thread_count = home->threads;
        stats.running_count = (uint32_t)home->running.count;
        stats.waiting_count = (uint32_t)home->waiting.count;
        pthread_mutex_unlock(&home->lock);
    }
    stats.size = SL_MIN(out->size, sizeof stats);
    memcpy(out, &stats, stats.size);
}
