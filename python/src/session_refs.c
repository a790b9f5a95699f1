/* SPDX-License-Identifier: MIT */
/*
 * Objects that refs name. An object is found by its id, for refs that come in, and by its address, so that it has one id however often it goes
 * out; a held object keeps its address.
 *
 * What is let go of may run a destructor of the user's: it has left the tables before.
 */
#include "session_table.h"

#include "base/macros.h"

struct object {
    PyObject *object;
    uint64_t id;
    uint64_t count;
};

static uint64_t address_of(PyObject *object) {
    return (uint64_t)(uintptr_t)object;
}

void sl__session_objects_free(struct sl__session *session) {
    struct sl__table objects = session->objects;
    sl__table_finish(&session->addresses);
    session->objects = (struct sl__table){0};
    for (size_t i = 0; i < objects.capacity; i++) {
        if (objects.entries[i].id != 0) {
            struct object *entry = objects.entries[i].pointer;
            Py_DECREF(entry->object);
            PyMem_Free(entry);
        }
    }
    sl__table_finish(&objects);
}

static void let_go(struct sl__session *session, struct object *entry, uint64_t count) {
    if (entry->count > count) {
        entry->count -= count;
        return;
    }
    sl__table_remove(&session->objects, entry->id);
    sl__table_remove(&session->addresses, address_of(entry->object));
    Py_DECREF(entry->object);
    PyMem_Free(entry);
}

bool sl__session_refs(const struct sl__state *state) {
    const struct sl__sessions *sessions = state->sessions;
    return sessions->running && sessions->head.refs && sessions->head.session != 0;
}

static bool reserve_added(struct sl__sessions *sessions) {
    if (sessions->added_count < sessions->added_capacity) {
        return true;
    }
    size_t capacity = SL_MAX(sessions->added_capacity * 2, (size_t)16);
    uint64_t *added = PyMem_Realloc(sessions->added, capacity * sizeof(*added));
    if (added == NULL) {
        return false;
    }
    sessions->added = added;
    sessions->added_capacity = capacity;
    return true;
}

static struct object *add(struct sl__state *state, struct sl__session *session, PyObject *object) {
    uint64_t max = state->sessions->head.ref_max;
    if (session->objects.count >= max) {
        sl__raise(state, SL_E_LIMIT,
                  "session %llu holds %llu objects for its refs, which is its ref_max; release some, or raise ref_max "
                  "in sl_session_options",
                  (unsigned long long)session->id, (unsigned long long)max);
        return NULL;
    }
    struct object *entry = PyMem_Calloc(1, sizeof(*entry));
    if (entry == NULL || !sl__table_reserve(&session->objects, 1) || !sl__table_reserve(&session->addresses, 1)) {
        PyMem_Free(entry);
        PyErr_NoMemory();
        return NULL;
    }
    *entry = (struct object){Py_NewRef(object), ++session->last_object, 0};
    sl__table_put(&session->objects, entry->id, entry);
    sl__table_put(&session->addresses, address_of(object), entry);
    return entry;
}

int sl__session_ref_add(struct sl__state *state, PyObject *object, struct sl_ref *ref) {
    struct sl__sessions *sessions = state->sessions;
    if (!sessions->running || sessions->head.session == 0) {
        sl__raise(state, SL_E_SESSION_LOST, "no session is there that could hold an object for a ref");
        return -1;
    }
    struct sl__session *session = sl__session_make(sessions, sessions->head.session);
    if (session == NULL) {
        return -1;
    }
    if (!reserve_added(sessions)) {
        PyErr_NoMemory();
        return -1;
    }
    struct object *entry = sl__table_get(&session->addresses, address_of(object));
    if (entry == NULL) {
        entry = add(state, session, object);
    }
    if (entry == NULL) {
        return -1;
    }
    entry->count++;
    sessions->added[sessions->added_count++] = entry->id;
    const struct sl__life *life = sl__life();
    ref->session = session->id;
    ref->object = entry->id;
    ref->worker = life->worker;
    ref->generation = life->generation;
    return 0;
}

PyObject *sl__session_ref_get(struct sl__state *state, const struct sl_ref *ref) {
    const struct sl__sessions *sessions = state->sessions;
    const struct sl__life *life = sl__life();
    unsigned long long session_id = ref->session, object_id = ref->object;
    if (!sessions->running || ref->session != sessions->head.session) {
        return sl__raise(state, SL_E_REF_LOST,
                         "a ref of session %llu was passed to a call of session %llu; an object belongs to the session "
                         "that made it",
                         session_id, (unsigned long long)(sessions->running ? sessions->head.session : 0));
    }
    if (ref->worker != life->worker || ref->generation != life->generation) {
        return sl__raise(state, SL_E_SESSION_LOST,
                         "object %llu of session %llu was in worker %u generation %u; this call runs in worker %u "
                         "generation %u, which has no such object",
                         object_id, session_id, (unsigned)ref->worker, (unsigned)ref->generation,
                         (unsigned)life->worker, (unsigned)life->generation);
    }
    const struct sl__session *session = sl__session_find(sessions, ref->session);
    const struct object *entry = session != NULL ? sl__table_get(&session->objects, ref->object) : NULL;
    if (entry == NULL) {
        return sl__raise(state, SL_E_REF_LOST, "object %llu of session %llu has been released", object_id, session_id);
    }
    return Py_NewRef(entry->object);
}

void sl__session_ref_release(struct sl__state *state, uint64_t session_id, uint64_t object, uint32_t count) {
    struct sl__session *session = sl__session_find(state->sessions, session_id);
    struct object *entry = session != NULL ? sl__table_get(&session->objects, object) : NULL;
    if (entry != NULL) {
        let_go(session, entry, count);
    }
}

size_t sl__session_refs_mark(const struct sl__state *state) {
    return state->sessions->added_count;
}

void sl__session_refs_cut(struct sl__state *state, size_t mark) {
    struct sl__sessions *sessions = state->sessions;
    while (sessions->added_count > mark) {
        sl__session_ref_release(state, sessions->head.session, sessions->added[--sessions->added_count], 1);
    }
}
