/* SPDX-License-Identifier: MIT */
/* The module slither._store, and its readers. */
#include "store.h"

struct sl__store_state *sl__store_state_of(PyObject *module) {
    return PyModule_GetState(module);
}

PyObject *sl__store_raise(const struct sl__store_state *state, struct sl_error *error) {
    state->codec->fail(state->codec->state, error);
    sl_error_finish(error);
    return NULL;
}

/* ---- readings ------------------------------------------------------------------------------------------------------ */

struct sl__reading *sl__reader_acquire(struct sl__reader_object *reader, bool *own) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__reading *reading = NULL;
    bool shared = reader->state->codec->life->snapshot_depth > 0;
    *own = !shared;
    if (sl__reader_foreign(reader->reader)) {
        sl_error_set(&error, SL_E_CLOSED,
                     "a forked child uses a store of its parent; read what it needs before the fork, or in the parent");
        sl__store_raise(reader->state, &error);
        return NULL;
    }
    if (shared && reader->held != NULL) {
        return reader->held;
    }
    if (sl__reading_begin(reader->reader, &reading, &error) != SL_OK) {
        sl__store_raise(reader->state, &error);
        return NULL;
    }
    if (shared) {
        reader->held = reading;
    }
    return reading;
}

void sl__reader_release(struct sl__reading *reading, bool own) {
    if (own) {
        sl__reading_end(reading);
    }
}

static void let_go(struct sl__reader_object *reader, bool scans_too) {
    sl__scans_end(reader, scans_too);
    if (reader->held != NULL) {
        sl__reading_end(reader->held);
        reader->held = NULL;
    }
}

static void end_readings(void *context, bool scans_too) {
    struct sl__store_state *state = context;
    for (struct sl__reader_object *reader = state->readers; reader != NULL; reader = reader->next) {
        let_go(reader, scans_too);
    }
}

bool sl__reader_usable(const struct sl__reader_object *reader) {
    const struct sl__control *control;
    if (reader == NULL || reader->reader == NULL) {
        return false;
    }
    control = reader->reader->control;
    return control == NULL || atomic_load_explicit(&control->closed, memory_order_relaxed) == 0 || reader->held != NULL;
}

/* ---- slither._store.Reader --------------------------------------------------------------------------------------- */

static void close_reader(struct sl__reader_object *reader) {
    if (reader->reader == NULL) {
        return;
    }
    let_go(reader, true);
    sl__reader_detach(reader->reader);
    reader->reader = NULL;
    if (reader->next != NULL) {
        reader->next->previous = reader->previous;
    }
    if (reader->previous != NULL) {
        reader->previous->next = reader->next;
    } else {
        reader->state->readers = reader->next;
    }
}

static PyObject *reader_close(PyObject *object, PyObject *unused) {
    (void)unused;
    close_reader((struct sl__reader_object *)object);
    Py_INCREF(Py_None);
    return Py_None;
}

static void reader_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    close_reader((struct sl__reader_object *)object);
    Py_CLEAR(((struct sl__reader_object *)object)->path);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *reader_usable(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(sl__reader_usable((struct sl__reader_object *)object));
}

static PyMethodDef reader_methods[] = {
    {"usable", reader_usable, METH_NOARGS, "usable() -> bool: it need not be opened anew."},
    {"close", reader_close, METH_NOARGS, "close(): its tables open the store anew when they are used again."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, reader_methods},
    {0, NULL},
};

static PyType_Spec reader_spec = {
    .name = "slither._store.Reader",
    .basicsize = sizeof(struct sl__reader_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = reader_slots,
};

/* ---- functions ----------------------------------------------------------------------------------------------------- */

static PyObject *store_attach(PyObject *module, PyObject *arguments) {
    struct sl__store_state *state = sl__store_state_of(module);
    PyObject *path_bytes;
    if (!PyArg_ParseTuple(arguments, "O&:attach", PyUnicode_FSConverter, &path_bytes)) {
        return NULL;
    }
    allocfunc allocate = PyType_GetSlot(state->reader_type, Py_tp_alloc);
    struct sl__reader_object *object = (struct sl__reader_object *)allocate(state->reader_type, 0);
    if (object == NULL) {
        Py_DECREF(path_bytes);
        return NULL;
    }
    object->state = state;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__reader_attach(PyBytes_AsString(path_bytes), &object->reader, &error);
    object->path = path_bytes;
    if (code != SL_OK) {
        object->reader = NULL;
        Py_DECREF(object);
        return sl__store_raise(state, &error);
    }
    object->next = state->readers;
    if (object->next != NULL) {
        object->next->previous = object;
    }
    state->readers = object;
    return (PyObject *)object;
}

static PyObject *store_bind(PyObject *module, PyObject *arguments) {
    struct sl__store_state *state = sl__store_state_of(module);
    PyObject *table_object, *reader_object;
    const char *name;
    Py_ssize_t name_size;
    if (!PyArg_ParseTuple(arguments, "O!O!s#:bind", state->table_type, &table_object, state->reader_type,
                          &reader_object, &name, &name_size)) {
        return NULL;
    }
    struct sl__table_object *table = (struct sl__table_object *)table_object;
    struct sl__reader_object *reader = (struct sl__reader_object *)reader_object;
    struct sl_error error = SL_ERROR_INIT;
    const struct sl__table_name *found;
    if (reader->reader == NULL) {
        sl_error_set(&error, SL_E_CLOSED, "the store has been closed");
        return sl__store_raise(state, &error);
    }
    if (sl__reader_table(reader->reader, name, (size_t)name_size, &found, &error) != SL_OK) {
        return sl__store_raise(state, &error);
    }
    struct sl__reader_object *old = table->reader;
    Py_INCREF(reader_object);
    table->reader = reader;
    table->name = found;
    Py_XDECREF((PyObject *)old);
    Py_INCREF(Py_None);
    return Py_None;
}

/* ---- the module -------------------------------------------------------------------------------------------------- */

static PyMethodDef store_functions[] = {
    {"attach", store_attach, METH_VARARGS, "attach(path) -> Reader: opens a store where it lies. Once for each path."},
    {"bind", store_bind, METH_VARARGS, "bind(table, reader, name): makes a Table one of that store."},
    {NULL, NULL, 0, NULL},
};

static int store_exec(PyObject *module) {
    struct sl__store_state *state = sl__store_state_of(module);
    state->native = PyImport_ImportModule("slither._native");
    state->capsule = state->native != NULL ? PyObject_GetAttrString(state->native, "_codec") : NULL;
    state->codec = state->capsule != NULL ? PyCapsule_GetPointer(state->capsule, SL__CODEC_CAPSULE) : NULL;
    if (state->codec == NULL) {
        return -1;
    }
    if (state->codec->size != sizeof(struct sl__codec)) {
        PyErr_SetString(PyExc_ImportError, "slither._store and slither._native are of different builds");
        return -1;
    }
    state->reader_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &reader_spec, NULL);
    if (state->reader_type == NULL || sl__table_type_make(module, state) < 0 || sl__scan_type_make(module, state) < 0 ||
        sl__watch_type_make(module, state) < 0) {
        return -1;
    }
    state->codec->life->readings_context = state;
    state->codec->life->readings_end = end_readings;
    return 0;
}

static int store_traverse(PyObject *module, visitproc visit, void *arg) {
    struct sl__store_state *state = sl__store_state_of(module);
    Py_VISIT(state->native);
    Py_VISIT(state->capsule);
    Py_VISIT(state->reader_type);
    Py_VISIT(state->table_type);
    Py_VISIT(state->scan_type);
    Py_VISIT(state->watch_type);
    return 0;
}

static int store_clear(PyObject *module) {
    struct sl__store_state *state = sl__store_state_of(module);
    if (state->codec != NULL && state->codec->life->readings_context == state) {
        state->codec->life->readings_end = NULL;
        state->codec->life->readings_context = NULL;
    }
    Py_CLEAR(state->reader_type);
    Py_CLEAR(state->table_type);
    Py_CLEAR(state->scan_type);
    Py_CLEAR(state->watch_type);
    return 0;
}

/* Readers that are left use the codec until they are gone, and they are gone before their module is. */
static void store_free(void *module) {
    struct sl__store_state *state = sl__store_state_of(module);
    (void)store_clear(module);
    Py_CLEAR(state->capsule);
    Py_CLEAR(state->native);
}

static PyModuleDef_Slot store_slots[] = {
    {Py_mod_exec, store_exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef store_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "slither._store",
    .m_doc = "Reads stores. Use it through slither.store().",
    .m_size = sizeof(struct sl__store_state),
    .m_methods = store_functions,
    .m_slots = store_slots,
    .m_traverse = store_traverse,
    .m_clear = store_clear,
    .m_free = store_free,
};

PyMODINIT_FUNC PyInit__store(void);

PyMODINIT_FUNC PyInit__store(void) {
    return PyModuleDef_Init(&store_module);
}
