/* SPDX-License-Identifier: MIT */
/*
 * Views that only the calls of one session see. They stand beside the global ones, by the session's number and then by name.
 *
 * A scope that has ended is not found any more; its views stay until whoever has made it destroys it, which waits for those that run. The
 * runtime may go before: then it takes the views along and leaves the scope empty.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "service.h"

enum sl_code sl__view_scope_create(struct sl_runtime *runtime, const void *owner, uint64_t session, uint32_t view_max,
                                   struct sl__view_scope **out, struct sl_error *error) {
    struct sl__upcalls *home;
    enum sl_code code = sl__upcalls_of(runtime, &home, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl__view_scope *scope = calloc(1, sizeof *scope);
    if (scope == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the views of session %" PRIu64, session);
    }
    *scope = (struct sl__view_scope){.home = home, .owner = owner, .session = session, .view_max = view_max};
    sl__list_init(&scope->views);
    pthread_mutex_lock(&home->lock);
    bool fits = sl__table_reserve(&home->scopes, 1);
    if (fits) {
        sl__table_put(&home->scopes, session, scope);
        sl__list_push_back(&home->scope_list, &scope->link);
    }
    pthread_mutex_unlock(&home->lock);
    if (!fits) {
        free(scope);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the views of session %" PRIu64, session);
    }
    *out = scope;
    return SL_OK;
}

static struct sl_view *find(const struct sl__view_scope *scope, const char *name, size_t size) {
    for (struct sl__link *link = sl__list_first(&scope->views); link != NULL;
         link = sl__list_after(&scope->views, link)) {
        struct sl_view *view = SL_CONTAINER_OF(link, struct sl_view, scope_link);
        if (view->name_size == size && memcmp(view->options.name, name, size) == 0) {
            return view;
        }
    }
    return NULL;
}

struct sl_view *sl__scope_find(struct sl__upcalls *home, const void *owner, uint64_t session, const char *name,
                               size_t size) {
    const struct sl__view_scope *scope = sl__table_get(&home->scopes, session);
    return scope != NULL && scope->owner == owner ? find(scope, name, size) : NULL;
}

enum sl_code sl__scope_insert(struct sl__view_scope *scope, struct sl_view *view, struct sl_error *error) {
    const char *name = view->options.name;
    if (scope->ended) {
        return sl_error_set(error, SL_E_SESSION_LOST, "session %" PRIu64 " has ended; view %s is not registered",
                            scope->session, name);
    }
    if (find(scope, name, view->name_size) != NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "session %" PRIu64 " has a view %s already; unregister it first", scope->session, name);
    }
    if (scope->views.count >= scope->view_max) {
        return sl_error_set(error, SL_E_LIMIT, "session %" PRIu64 " has %u views, which is the most allowed",
                            scope->session, scope->view_max);
    }
    view->scope = scope;
    sl__list_push_back(&scope->views, &view->scope_link);
    return SL_OK;
}

void sl__scope_remove(struct sl_view *view) {
    sl__list_remove(&view->scope->views, &view->scope_link);
    view->scope = NULL;
}

/* A view of the scope that a call waits for, or NULL. */
static const struct sl_view *waited_for(const struct sl__upcalls *home, const struct sl__view_scope *scope) {
    for (struct sl__link *link = sl__list_first(&home->waiting); link != NULL;
         link = sl__list_after(&home->waiting, link)) {
        const struct sl_view *view = SL_CONTAINER_OF(link, struct sl__call, link)->view;
        if (view->scope == scope) {
            return view;
        }
    }
    return NULL;
}

void sl__view_scope_end(struct sl__view_scope *scope) {
    struct sl__upcalls *home = scope->home;
    if (home == NULL) {
        return;
    }
    pthread_mutex_lock(&home->lock);
    if (!scope->ended) {
        scope->ended = true;
        (void)sl__table_remove(&home->scopes, scope->session);
        for (struct sl__link *link = sl__list_first(&scope->views); link != NULL;
             link = sl__list_after(&scope->views, link)) {
            SL_CONTAINER_OF(link, struct sl_view, scope_link)->removed = true;
        }
        for (const struct sl_view *view; (view = waited_for(home, scope)) != NULL;) {
            sl__service_turn_away(home, view); /* lets go of the lock */
        }
    }
    pthread_mutex_unlock(&home->lock);
}

void sl__view_scope_destroy(struct sl__view_scope *scope) {
    if (scope == NULL) {
        return;
    }
    sl__view_scope_end(scope);
    for (struct sl__link *link; (link = sl__list_first(&scope->views)) != NULL;) {
        sl_view_unregister(SL_CONTAINER_OF(link, struct sl_view, scope_link));
    }
    struct sl__upcalls *home = scope->home;
    if (home != NULL) {
        pthread_mutex_lock(&home->lock);
        sl__list_remove(&home->scope_list, &scope->link);
        pthread_mutex_unlock(&home->lock);
    }
    free(scope);
}

void sl__scopes_finish(struct sl__upcalls *home) {
    for (struct sl__link *link; (link = sl__list_pop_front(&home->scope_list)) != NULL;) {
        struct sl__view_scope *scope = SL_CONTAINER_OF(link, struct sl__view_scope, link);
        for (struct sl__link *first; (first = sl__list_pop_front(&scope->views)) != NULL;) {
            struct sl_view *view = SL_CONTAINER_OF(first, struct sl_view, scope_link);
            SL_ASSERT(view->pending == 0);
            free((void *)(uintptr_t)view->options.name);
            free(view);
        }
        scope->ended = true;
        scope->home = NULL;
    }
    sl__table_finish(&home->scopes);
}
