/* SPDX-License-Identifier: MIT */
/* The module slither._native: codec, marks, and the worker's side of a lane. */
#include "module.h"
#include "codec.h"
#include "session.h"

#include <slither/version.h>

#include "wire/writer.h"

struct sl__state *sl__state_of(PyObject *module) {
    return PyModule_GetState(module);
}

int sl__state_load_datetime(struct sl__state *state) {
    if (state->epoch != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("datetime");
    if (module == NULL) {
        return -1;
    }
    PyObject *datetime_type = PyObject_GetAttrString(module, "datetime");
    PyObject *timedelta_type = PyObject_GetAttrString(module, "timedelta");
    PyObject *timezone_type = PyObject_GetAttrString(module, "timezone");
    PyObject *utc = timezone_type != NULL ? PyObject_GetAttrString(timezone_type, "utc") : NULL;
    PyObject *epoch = NULL;
    if (datetime_type != NULL && timedelta_type != NULL && utc != NULL) {
        epoch = PyObject_CallFunction(datetime_type, "iiiiiiiO", 1970, 1, 1, 0, 0, 0, 0, utc);
    }
    Py_XDECREF(timezone_type);
    Py_XDECREF(utc);
    Py_DECREF(module);
    if (epoch == NULL) {
        Py_XDECREF(datetime_type);
        Py_XDECREF(timedelta_type);
        return -1;
    }
    state->datetime_type = datetime_type;
    state->timedelta_type = timedelta_type;
    state->epoch = epoch;
    return 0;
}

PyObject *sl__raise(struct sl__state *state, enum sl_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    PyObject *text = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyObject *failure = text != NULL ? PyObject_CallFunctionObjArgs(state->failure, text, NULL) : NULL;
    PyObject *name = failure != NULL ? PyUnicode_FromString(sl_code_name(code)) : NULL;
    if (name != NULL && PyObject_SetAttrString(failure, "code", name) == 0) {
        PyErr_SetObject(state->failure, failure);
    }
    Py_XDECREF(text);
    Py_XDECREF(failure);
    Py_XDECREF(name);
    return NULL;
}

/* ---- codec --------------------------------------------------------------------------------------------------- */

static int read_depth(unsigned int depth) {
    if (depth >= 1 && depth <= SL_DEPTH_MAX_LIMIT) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "depth_max is %u; it must be 1 to %d", depth, SL_DEPTH_MAX_LIMIT);
    return -1;
}

PyDoc_STRVAR(
    pack_doc,
    "pack(value, *, depth_max=128) -> bytes\n--\n\n"
    "Encodes a value as it would travel. Raises slither.NotSerializable, which names the place of what cannot.");

static PyObject *native_pack(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"", "depth_max", NULL};
    PyObject *object;
    unsigned int depth_max = SL_DEPTH_MAX_DEFAULT;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$I:pack", SL__KEYWORDS(names), &object, &depth_max) ||
        read_depth(depth_max) < 0) {
        return NULL;
    }
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    PyObject *packed = NULL;
    struct sl__encoder encoder = {.state = sl__state_of(module), .writer = &writer, .depth_max = depth_max};
    if (sl__encode(&encoder, object, true) == 0) {
        packed = PyBytes_FromStringAndSize((const char *)writer.data, (Py_ssize_t)writer.size);
    } else {
        sl__encode_finish_failure(&encoder);
    }
    sl_writer_finish(&writer);
    return packed;
}

PyDoc_STRVAR(unpack_doc, "unpack(data, *, depth_max=128)\n--\n\n"
                         "Decodes the bytes of exactly one value. Raises ValueError with the offset of what is wrong.");

static PyObject *native_unpack(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"", "depth_max", NULL};
    Py_buffer view;
    unsigned int depth_max = SL_DEPTH_MAX_DEFAULT;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y*|$I:unpack", SL__KEYWORDS(names), &view, &depth_max)) {
        return NULL;
    }
    PyObject *object = NULL;
    if (read_depth(depth_max) == 0) {
        const uint8_t *start = view.buf;
        struct sl__decoder decoder = {
            .state = sl__state_of(module),
            .start = start,
            .position = start,
            .end = start + view.len,
            .depth_max = depth_max,
        };
        object = sl__decode(&decoder);
        if (object != NULL && decoder.position != decoder.end) {
            Py_CLEAR(object);
            PyErr_Format(PyExc_ValueError, "byte %zd: bytes follow after the value",
                         (Py_ssize_t)(decoder.position - start));
        }
    }
    PyBuffer_Release(&view);
    return object;
}

/* ---- marks --------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(skip_doc, "skip(reason='')\n--\n\nA result that leaves the item out, counted as skipped.");

static PyObject *native_skip(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"reason", NULL};
    PyObject *reason = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|U:skip", SL__KEYWORDS(names), &reason)) {
        return NULL;
    }
    if (reason != NULL) {
        return sl__mark_make(sl__state_of(module), SL_MARK_SKIP, reason, NULL);
    }
    reason = PyUnicode_FromString("");
    PyObject *mark = reason != NULL ? sl__mark_make(sl__state_of(module), SL_MARK_SKIP, reason, NULL) : NULL;
    Py_XDECREF(reason);
    return mark;
}

PyDoc_STRVAR(error_doc, "error(reason)\n--\n\nA result that makes this one item a failed one.");

static PyObject *native_error(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"reason", NULL};
    PyObject *reason;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "U:error", SL__KEYWORDS(names), &reason)) {
        return NULL;
    }
    return sl__mark_make(sl__state_of(module), SL_MARK_ERROR, reason, NULL);
}

PyDoc_STRVAR(route_doc, "route(name, payload=None)\n--\n\nA result that sends the payload to the route of that name.");

static PyObject *native_route(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"name", "payload", NULL};
    PyObject *name, *payload = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "U|O:route", SL__KEYWORDS(names), &name, &payload)) {
        return NULL;
    }
    return sl__mark_make(sl__state_of(module), SL_MARK_ROUTE, name, payload);
}

/* ---- views --------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(view_doc,
             "view(name, /, *args, **kwargs)\n--\n\n"
             "Calls a function of the host and waits for its result. Workers only.\n\n"
             "Raises LookupError when the host has no such view, slither.ViewTimeout when it takes too long, and\n"
             "slither.ViewError with the host's `code` when it fails.");
PyDoc_STRVAR(view_many_doc, "view_many(name, keys, /)\n--\n\n"
                            "Calls a function of the host for all keys at once: a list with an entry for each key.");

/* ---- the module ---------------------------------------------------------------------------------------------- */

/* The table wants one type for all conventions. */
#define WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef native_functions[] = {
    {"pack", WITH_KEYWORDS(native_pack), METH_VARARGS | METH_KEYWORDS, pack_doc},
    {"unpack", WITH_KEYWORDS(native_unpack), METH_VARARGS | METH_KEYWORDS, unpack_doc},
    {"skip", WITH_KEYWORDS(native_skip), METH_VARARGS | METH_KEYWORDS, skip_doc},
    {"error", WITH_KEYWORDS(native_error), METH_VARARGS | METH_KEYWORDS, error_doc},
    {"route", WITH_KEYWORDS(native_route), METH_VARARGS | METH_KEYWORDS, route_doc},
    {"view", WITH_KEYWORDS(sl__calls_view), METH_FASTCALL | METH_KEYWORDS, view_doc},
    {"view_many", WITH_KEYWORDS(sl__calls_view_many), METH_FASTCALL, view_many_doc},
    {"redact", sl__redact, METH_VARARGS,
     "redact(text, source=False) -> str: the text without the values of keys that look like secrets."},
    {"connect", sl__worker_connect, METH_NOARGS, "connect() -> dict: takes the host's first message. Workers only."},
    {"send", sl__worker_send, METH_O, "send(dict): sends a life-cycle message to the host. Workers only."},
    {"serve", sl__worker_serve, METH_VARARGS,
     "serve(resolve, describe): runs batches until the host asks to stop. Workers only."},
    {"batch", sl__session_module_batch, METH_NOARGS,
     "batch() -> (function, each, item_count, session, worker, generation, sequence, context): the batch that runs."},
    {"session_here", sl__session_module_here, METH_NOARGS,
     "session_here() -> int: id of the session that the calling code works for; 0: none."},
    {"session_count", sl__session_module_count, METH_NOARGS,
     "session_count() -> int: sessions that have something in this worker."},
    {"session_get", sl__session_module_get, METH_NOARGS,
     "session_get() -> slither._sessions.Session: that session. Raises slither.Failure where there is none."},
    {"session_set", WITH_KEYWORDS(sl__session_module_set), METH_VARARGS | METH_KEYWORDS,
     "session_set(*, every, checkpoints, closes_all, variable_get, at_end): what slither._sessions wants to be called "
     "for."},
    {"is_forked", sl__worker_is_forked, METH_NOARGS, "is_forked() -> bool: this is a forked child of a worker."},
    {"forked", sl__worker_forked, METH_NOARGS, "forked(): makes a forked child of a worker let go of the host."},
    {"snapshot_begin", sl__snapshot_begin, METH_NOARGS,
     "snapshot_begin(): reads of stores are of one version from now on."},
    {"snapshot_end", sl__snapshot_end, METH_NOARGS,
     "snapshot_end(): until here, as often as snapshot_begin() was called."},
    {"template_prepare", sl__template_prepare, METH_NOARGS,
     "template_prepare() -> dict: takes the host's first message, and starts to watch the host. Templates only."},
    {"template_settle", sl__template_settle, METH_NOARGS,
     "template_settle(): ends the thread that watches the host. Templates only."},
    {"template_rehearse", sl__template_rehearse, METH_NOARGS,
     "template_rehearse(): forks a child that ends at once, so that handlers of forks run. Templates only."},
    {"template_replace", sl__template_replace, METH_VARARGS,
     "template_replace(argv, environment, directory): executes a program in place of this one. Templates only."},
    {"template_resume", sl__template_resume, METH_NOARGS,
     "template_resume(): what template_prepare() does for a template that has replaced itself."},
    {"template_serve", sl__template_serve, METH_O,
     "template_serve(argv): starts workers when the host asks. With None they are forked: returns in each of them, "
     "never in the "
     "template. Else they are programs with these arguments."},
    {NULL, NULL, 0, NULL},
};

static int native_exec(PyObject *module) {
    struct sl__state *state = sl__state_of(module);
    state->keys = PyMem_Calloc(1, sizeof(*state->keys));
    if (state->keys == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (sl__sessions_make(state) < 0) {
        return -1;
    }
    state->not_serializable = PyErr_NewExceptionWithDoc(
        "slither.NotSerializable",
        "An object cannot travel. The text says which, where in the value it is, and what to do.", PyExc_TypeError,
        NULL);
    if (state->not_serializable == NULL ||
        PyModule_AddObjectRef(module, "NotSerializable", state->not_serializable) < 0) {
        return -1;
    }
    state->failure =
        PyErr_NewExceptionWithDoc("slither.Failure",
                                  "Something failed on Slither's side; `code` is the name of its kind, for "
                                  "example 'limit_exceeded'.",
                                  PyExc_RuntimeError, NULL);
    if (state->failure == NULL || PyModule_AddObjectRef(module, "Failure", state->failure) < 0) {
        return -1;
    }
    state->view_error =
        PyErr_NewExceptionWithDoc("slither.ViewError",
                                  "A view has failed, or could not be called; `code` is the name of the kind of error, "
                                  "as the host gave it. When the "
                                  "view has called Python in turn, `traceback` is that of the exception there.",
                                  state->failure, NULL);
    if (state->view_error == NULL || PyObject_SetAttrString(state->view_error, "traceback", Py_None) < 0 ||
        PyModule_AddObjectRef(module, "ViewError", state->view_error) < 0) {
        return -1;
    }
    state->view_timeout = PyErr_NewExceptionWithDoc(
        "slither.ViewTimeout", "A view took longer than its timeout. Its result, if it ever comes, is dropped.",
        PyExc_TimeoutError, NULL);
    if (state->view_timeout == NULL || PyModule_AddObjectRef(module, "ViewTimeout", state->view_timeout) < 0) {
        return -1;
    }
    if (sl__array_type_make(module, state) < 0 || sl__mark_types_make(module, state) < 0 || sl__codec_add(module) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "version", SL_VERSION_STRING);
}

static int native_traverse(PyObject *module, visitproc visit, void *arg) {
    struct sl__state *state = sl__state_of(module);
    Py_VISIT(state->array_type);
    Py_VISIT(state->mark_type);
    Py_VISIT(state->ref_type);
    Py_VISIT(state->not_serializable);
    Py_VISIT(state->failure);
    Py_VISIT(state->view_error);
    Py_VISIT(state->view_timeout);
    Py_VISIT(state->datetime_type);
    Py_VISIT(state->timedelta_type);
    Py_VISIT(state->epoch);
    Py_VISIT(state->numpy_generic);
    return state->keys != NULL ? sl__key_cache_traverse(state->keys, visit, arg) : 0;
}

static int native_clear(PyObject *module) {
    struct sl__state *state = sl__state_of(module);
    Py_CLEAR(state->array_type);
    Py_CLEAR(state->mark_type);
    Py_CLEAR(state->ref_type);
    Py_CLEAR(state->not_serializable);
    Py_CLEAR(state->failure);
    Py_CLEAR(state->view_error);
    Py_CLEAR(state->view_timeout);
    Py_CLEAR(state->datetime_type);
    Py_CLEAR(state->timedelta_type);
    Py_CLEAR(state->epoch);
    Py_CLEAR(state->numpy_generic);
    if (state->keys != NULL) {
        sl__key_cache_clear(state->keys);
    }
    return 0;
}

static void native_free(void *module) {
    (void)native_clear(module);
    struct sl__state *state = sl__state_of(module);
    sl__sessions_free(state);
    PyMem_Free(state->keys);
    state->keys = NULL;
}

static PyModuleDef_Slot native_slots[] = {
    {Py_mod_exec, native_exec},
/* Both slots are unknown to the stable ABI of 3.11: they take effect in a build against a later one. */
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef native_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "slither._native",
    .m_doc = "Codec, marks, and the worker's side of a lane. Use it through the package slither.",
    .m_size = sizeof(struct sl__state),
    .m_methods = native_functions,
    .m_slots = native_slots,
    .m_traverse = native_traverse,
    .m_clear = native_clear,
    .m_free = native_free,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&native_module);
}
