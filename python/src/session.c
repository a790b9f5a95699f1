/* SPDX-License-Identifier: MIT */
/*
 * The table of sessions, and what a batch has to do with it. The objects that refs name are in session_refs.c; what users see of a session is
 * made in slither/_sessions.py, which is only imported when somebody asks for it.
 *
 * What hangs on a session lives until the host drops it: it is not shown to the garbage collector, which could free nothing of it.
 */
#include "session_table.h"

#include "base/macros.h"

void sl__sessions_start(struct sl__state *state) {
    state->sessions->main_thread = PyThread_get_thread_ident();
}

int sl__sessions_make(struct sl__state *state) {
    state->sessions = PyMem_Calloc(1, sizeof(*state->sessions));
    if (state->sessions == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void sl__sessions_free(struct sl__state *state) {
    struct sl__sessions *sessions = state->sessions;
    if (sessions == NULL) {
        return;
    }
    state->sessions = NULL;
    for (size_t i = 0; i < sessions->table.capacity; i++) {
        if (sessions->table.entries[i].id != 0) {
            sl__session_free(sessions->table.entries[i].pointer);
        }
    }
    sl__table_finish(&sessions->table);
    Py_CLEAR(sessions->variable_get);
    Py_CLEAR(sessions->at_end);
    PyMem_Free(sessions->added);
    PyMem_Free(sessions);
}

/* ---- one session ---------------------------------------------------------------------------------------------- */

void sl__session_free(struct sl__session *session) {
    if (session->names != NULL) {
        PyDict_Clear(session->names); /* also where somebody holds the face */
    }
    Py_CLEAR(session->face);
    Py_CLEAR(session->names);
    Py_CLEAR(session->hooks);
    sl__session_objects_free(session);
    PyMem_Free(session);
}

struct sl__session *sl__session_find(const struct sl__sessions *sessions, uint64_t id) {
    if (sessions->acting != NULL && sessions->acting->id == id) {
        return sessions->acting; /* one that ends is not in the table any more */
    }
    return sl__table_get(&sessions->table, id);
}

struct sl__session *sl__session_make(struct sl__sessions *sessions, uint64_t id) {
    struct sl__session *session = sl__session_find(sessions, id);
    if (session != NULL) {
        return session;
    }
    session = PyMem_Calloc(1, sizeof(*session));
    if (session == NULL || !sl__table_reserve(&sessions->table, 1)) {
        PyMem_Free(session);
        PyErr_NoMemory();
        return NULL;
    }
    session->id = id;
    session->names = PyDict_New();
    session->hooks = PyList_New(0);
    if (session->names == NULL || session->hooks == NULL) {
        sl__session_free(session);
        return NULL;
    }
    sl__table_put(&sessions->table, id, session);
    return session;
}

/* Calls a function of slither._sessions, with the session or without. A new reference. */
static PyObject *call_python(const char *function, PyObject *argument) {
    PyObject *module = PyImport_ImportModule("slither._sessions");
    PyObject *result = module != NULL ? PyObject_CallMethod(module, function, "O", argument) : NULL;
    Py_XDECREF(module);
    return result;
}

PyObject *sl__session_face(struct sl__session *session) {
    if (session->face == NULL) {
        PyObject *module = PyImport_ImportModule("slither._sessions");
        if (module != NULL) {
            session->face = PyObject_CallMethod(module, "Session", "KOO", (unsigned long long)session->id,
                                                session->names, session->hooks);
        }
        Py_XDECREF(module);
    }
    return Py_XNewRef(session->face);
}

static bool has_state(const struct sl__session *session) {
    /* Later Pythons keep flags in the upper half of the count. */
    bool held = session->face != NULL && (uint32_t)Py_REFCNT(session->face) > 1;
    return held || session->objects.count > 0 || PyDict_Size(session->names) > 0 || PyList_Size(session->hooks) > 0;
}

/* Something of ours has failed where nobody waits for it. */
static void report(PyObject *result, PyObject *what) {
    if (result == NULL) {
        PyErr_WriteUnraisable(what);
    }
    Py_XDECREF(result);
}

/* The functions of slither._sessions that work for one session between two batches: slither.session() is that one meanwhile. */
static void act(struct sl__sessions *sessions, struct sl__session *session, const char *function) {
    struct sl__session *before = sessions->acting;
    sessions->acting = session;
    PyObject *face = sl__session_face(session);
    report(face != NULL ? call_python(function, face) : NULL, face);
    Py_XDECREF(face);
    sessions->acting = before;
}

/* ---- the batch ------------------------------------------------------------------------------------------------ */

static int restore(struct sl__state *state, uint64_t id) {
    struct sl__sessions *sessions = state->sessions;
    struct sl__session *session = sl__session_make(sessions, id);
    PyObject *face = session != NULL ? sl__session_face(session) : NULL;
    PyObject *done = face != NULL ? call_python("restore", face) : NULL;
    if (SL_UNLIKELY(done == NULL) && session != NULL && !sl__life()->forked) { /* half of a state is none */
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (face != NULL) {
            report(call_python("end", face), face);
        }
        sl__session_free(sl__table_remove(&sessions->table, id));
        PyErr_Restore(type, value, traceback);
    }
    Py_XDECREF(face);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

const struct sl__head *sl__session_batch_open(struct sl__state *state, const struct sl__request *request) {
    struct sl__sessions *sessions = state->sessions;
    sessions->request = request;
    if (sl__head_read(&sessions->head, request)) {
        return &sessions->head;
    }
    sl__raise(state, SL_E_PROTOCOL, "the head of a request is not a list that starts with a function's name");
    return NULL;
}

int sl__session_batch_begin(struct sl__state *state) {
    struct sl__sessions *sessions = state->sessions;
    const struct sl__head *head = &sessions->head;
    sessions->running = true;
    if (SL_UNLIKELY(head->moved > 0) && head->session != 0 && sl__session_find(sessions, head->session) == NULL) {
        return restore(state, head->session);
    }
    return 0;
}

static void call_at_end(struct sl__sessions *sessions) {
    PyObject *function = sessions->at_end;
    sessions->at_end = NULL;
    report(PyObject_CallFunctionObjArgs(function, NULL), function);
    Py_DECREF(function);
}

uint32_t sl__session_batch_end(struct sl__state *state) {
    struct sl__sessions *sessions = state->sessions;
    if (SL_UNLIKELY(sessions->at_end != NULL)) {
        call_at_end(sessions);
    }
    sessions->running = false;
    sessions->request = NULL;
    sessions->added_count = 0;
    if (SL_LIKELY(sessions->table.count == 0)) {
        return 0;
    }
    struct sl__session *session = sl__table_get(&sessions->table, sessions->head.session);
    if (session == NULL) {
        return 0;
    }
    if (!has_state(session)) {
        sl__session_free(sl__table_remove(&sessions->table, session->id));
        return 0;
    }
    session->batch_count++;
    if (sessions->checkpoint_every != 0 && session->batch_count % sessions->checkpoint_every == 0) {
        sessions->due = session->id;
    }
    return SL__REPLY_STATE;
}

void sl__session_batch_after(struct sl__state *state) {
    struct sl__sessions *sessions = state->sessions;
    if (SL_LIKELY(sessions->due == 0)) {
        return;
    }
    struct sl__session *session = sl__table_get(&sessions->table, sessions->due);
    sessions->due = 0;
    if (session != NULL) {
        act(sessions, session, "checkpoint");
    }
}

/* The session that code with a context of its own was begun for: an async function, or a thread that has said so. 0: none. */
static uint64_t bound(struct sl__sessions *sessions) {
    uint64_t id = 0;
    PyObject *binding =
        sessions->variable_get != NULL ? PyObject_CallFunctionObjArgs(sessions->variable_get, NULL) : NULL;
    if (binding != NULL && PyTuple_Check(binding) && PyTuple_Size(binding) > 0) {
        id = PyLong_AsUnsignedLongLong(PyTuple_GetItem(binding, 0));
    }
    Py_XDECREF(binding);
    PyErr_Clear();
    return id;
}

uint64_t sl__session_here(struct sl__state *state) {
    struct sl__sessions *sessions = state->sessions;
    uint64_t id = SL_UNLIKELY(sessions->variable_get != NULL) ? bound(sessions) : 0;
    if (id != 0 || PyThread_get_thread_ident() != sessions->main_thread) {
        return id;
    }
    if (sessions->acting != NULL) {
        return sessions->acting->id;
    }
    return sessions->running ? sessions->head.session : 0;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

void sl__session_end(struct sl__state *state, uint64_t id) {
    struct sl__sessions *sessions = state->sessions;
    struct sl__session *session = sl__table_remove(&sessions->table, id);
    if (session == NULL) {
        return;
    }
    if (session->face != NULL || sessions->closes_all) {
        act(sessions, session, "close");
    }
    sl__session_free(session);
}

/* The ids of all sessions. NULL: no memory. */
static uint64_t *list_ids(const struct sl__sessions *sessions, size_t *count) {
    uint64_t *ids = PyMem_Calloc(sessions->table.count + 1, sizeof(*ids));
    *count = 0;
    for (size_t i = 0; ids != NULL && i < sessions->table.capacity; i++) {
        if (sessions->table.entries[i].id != 0) {
            ids[(*count)++] = sessions->table.entries[i].id;
        }
    }
    return ids;
}

void sl__sessions_stop(struct sl__state *state) {
    struct sl__sessions *sessions = state->sessions;
    const struct sl__life *life = sl__life();
    size_t count;
    uint64_t *ids = list_ids(sessions, &count);
    for (size_t i = 0; sessions->checkpoints && i < count && !life->forked; i++) {
        struct sl__session *session = sl__table_get(&sessions->table, ids[i]);
        if (session != NULL) {
            act(sessions, session, "checkpoint");
        }
    }
    for (size_t i = 0; i < count && !life->forked; i++) {
        sl__session_end(state, ids[i]);
    }
    PyMem_Free(ids);
}

/* ---- functions of the module ------------------------------------------------------------------------------------ */

PyObject *sl__session_module_here(PyObject *module, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(sl__session_here(sl__state_of(module)));
}

PyObject *sl__session_module_count(PyObject *module, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(sl__state_of(module)->sessions->table.count);
}

PyObject *sl__session_module_get(PyObject *module, PyObject *unused) {
    (void)unused;
    struct sl__state *state = sl__state_of(module);
    struct sl__sessions *sessions = state->sessions;
    uint64_t id = sl__session_here(state);
    if (id == 0) {
        bool main = PyThread_get_thread_ident() == sessions->main_thread;
        if (main && sessions->running) {
            return sl__raise(state, SL_E_SESSION_LOST, "the host has given this batch no session");
        }
        if (main || !sl__life()->serving) {
            return sl__raise(state, SL_E_SESSION_LOST,
                             "there is a session only while a function runs that a host has called");
        }
        return sl__raise(state, SL_E_SESSION_LOST,
                         "this thread works for no session; take slither.session() in the function that the host "
                         "has called, and use it in the thread with 'with session:'");
    }
    struct sl__session *session = sl__session_find(sessions, id);
    if (session == NULL && sessions->running && sessions->head.session == id) {
        session = sl__session_make(sessions, id);
    }
    if (session == NULL) {
        return PyErr_Occurred() != NULL
                   ? NULL
                   : sl__raise(state, SL_E_SESSION_LOST, "session %llu, which this code was begun for, has ended",
                               (unsigned long long)id);
    }
    return sl__session_face(session);
}

static void put(PyObject **place, PyObject *object) {
    if (object == NULL) {
        return;
    }
    PyObject *before = *place;
    *place = Py_NewRef(object);
    Py_XDECREF(before);
}

PyObject *sl__session_module_set(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"every", "checkpoints", "closes_all", "variable_get", "at_end", NULL};
    struct sl__sessions *sessions = sl__state_of(module)->sessions;
    unsigned long long every = sessions->checkpoint_every;
    int checkpoints = sessions->checkpoints, closes_all = sessions->closes_all;
    PyObject *variable_get = NULL, *at_end = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$KppOO:session_set", SL__KEYWORDS(names), &every,
                                     &checkpoints, &closes_all, &variable_get, &at_end)) {
        return NULL;
    }
    sessions->checkpoint_every = every;
    sessions->checkpoints = checkpoints != 0;
    sessions->closes_all = closes_all != 0;
    put(&sessions->variable_get, variable_get);
    put(&sessions->at_end, at_end);
    Py_INCREF(Py_None);
    return Py_None;
}
