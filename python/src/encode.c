/* SPDX-License-Identifier: MIT */
/*
 * Python objects to values, straight to where they are to lie.
 *
 * Objects of the exact built-in types take the short way in sl__encode(): no Python code runs there, so borrowed references are
 * safe as long as every container on the way down is held. Everything else ends in encode_other(), which may run
 * Python code (an __index__, an items()), and which therefore holds what it works on.
 *
 * With refs, each value goes through encode_or_ref() on its way: the innermost object that cannot travel becomes a ref, and all around it keeps its
 * shape. What is nested too deep, as all that contains itself is, fails at its bottom and becomes one ref near its top: a ref for each
 * leaf of it would take as long as there are ways down to them.
 */
#include "module.h"
#include "session.h"

#include <string.h>

#include "base/macros.h"
#include "wire/ext.h"
#include "wire/writer.h"

/* ---- failures ------------------------------------------------------------------------------------------------ */

int sl__encode_raise_writer(struct sl__state *state, const struct sl_writer *writer) {
    const char *what = writer->what != NULL ? writer->what : "it cannot be written";
    if (writer->code == SL_E_OUT_OF_MEMORY) {
        PyErr_NoMemory();
    } else if (writer->code == SL_E_LIMIT || writer->code == SL_E_SYSTEM) {
        sl__raise(state, writer->code, "%s", what);
    } else {
        PyErr_SetString(state->not_serializable, what);
    }
    return -1;
}

#define WHOLE_DEPTH 2 /* containers around the one that becomes a ref because of what is too deep in it */

static int fail(struct sl__encoder *encoder, const char *what) {
    PyErr_SetString(encoder->state->not_serializable, what);
    return -1;
}

/* Notes on the way out of a failure which entry of a container it was in. Keeps the exception. Always -1. */
static int note_step(struct sl__encoder *encoder, PyObject *step) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (encoder->place == NULL) {
        encoder->place = PyList_New(0);
    }
    if (encoder->place == NULL || step == NULL || PyList_Append(encoder->place, step) < 0) {
        PyErr_Clear(); /* a place that lacks a step is better than to lose the failure */
    }
    PyErr_Restore(type, value, traceback);
    return -1;
}

static int note_index(struct sl__encoder *encoder, Py_ssize_t index) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *step = PyLong_FromSsize_t(index);
    PyErr_Restore(type, value, traceback);
    note_step(encoder, step);
    Py_XDECREF(step);
    return -1;
}

/* Calls slither._explain, which says what to do about a failure and is only imported for that. A str, or NULL with an exception. */
static PyObject *explain(const char *function, PyObject *argument, PyObject *text) {
    PyObject *module = PyImport_ImportModule("slither._explain");
    PyObject *result = NULL;
    if (module != NULL) {
        result = text != NULL ? PyObject_CallMethod(module, function, "OO", argument, text)
                              : PyObject_CallMethod(module, function, "O", argument);
    }
    Py_XDECREF(module);
    return result;
}

void sl__encode_finish_failure(struct sl__encoder *encoder) {
    PyObject *steps = encoder->place;
    encoder->place = NULL;
    if (steps == NULL) {
        return;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type != NULL && PyErr_GivenExceptionMatches(type, encoder->state->not_serializable)) {
        PyObject *old = value != NULL ? PyObject_Str(value) : NULL;
        PyObject *text = old != NULL ? explain("placed", steps, old) : NULL;
        Py_XDECREF(old);
        if (text != NULL) {
            Py_XDECREF(value);
            value = text; /* the argument of the exception that is made of it */
        } else {
            PyErr_Clear();
        }
    }
    PyErr_Restore(type, value, traceback);
    Py_DECREF(steps);
}

static int fail_type(struct sl__encoder *encoder, PyObject *object) {
    if (encoder->refs) {
        return fail(encoder, "a ref will do"); /* nobody will see that text */
    }
    PyObject *text = explain("not_serializable", object, NULL);
    if (text == NULL) {
        return -1;
    }
    PyErr_SetObject(encoder->state->not_serializable, text);
    Py_DECREF(text);
    return -1;
}

/* Whether an exception that Python code of the object raised is to be shown as what it is. */
static int wrap_failure(struct sl__encoder *encoder, PyObject *object) {
    if (PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_MemoryError) &&
        !PyErr_ExceptionMatches(encoder->state->not_serializable)) {
        PyErr_Clear();
        return fail_type(encoder, object);
    }
    return -1;
}

static bool enter(struct sl__encoder *encoder) {
    if (SL_LIKELY(encoder->depth < encoder->depth_max)) {
        encoder->depth++;
        return true;
    }
    encoder->too_deep = true;
    PyErr_Format(encoder->state->not_serializable,
                 "containers are nested more than %u deep, which is the limit; a list or dict that contains itself "
                 "cannot travel",
                 encoder->depth_max);
    return false;
}

/* ---- scalars ------------------------------------------------------------------------------------------------- */

static int encode_int(struct sl__encoder *encoder, PyObject *object) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (SL_LIKELY(overflow == 0)) {
        if (SL_UNLIKELY(number == -1 && PyErr_Occurred())) {
            return -1;
        }
        sl__put_int(encoder->writer, number);
        return 0;
    }
    if (overflow > 0) {
        unsigned long long natural = PyLong_AsUnsignedLongLong(object);
        if (natural != (unsigned long long)-1 || !PyErr_Occurred()) {
            sl__put_uint(encoder->writer, natural);
            return 0;
        }
        PyErr_Clear();
    }
    return fail(encoder, "an int is outside -2**63 .. 2**64-1; send it as str or float");
}

static int encode_str(struct sl__encoder *encoder, PyObject *object) {
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(object, &size);
    if (SL_UNLIKELY(text == NULL)) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return -1;
        }
        PyErr_Clear();
        return fail(encoder, "a str has a lone surrogate, which UTF-8 cannot hold; send "
                             "text.encode('utf-8', 'surrogateescape') as bytes, or replace the character");
    }
    if (SL_UNLIKELY((size_t)size > SL_SIZE_MAX_DEFAULT)) {
        return fail(encoder, "a str is larger than 1 GiB");
    }
    sl__put_str(encoder->writer, text, (size_t)size);
    return 0;
}

static int encode_blob(struct sl__encoder *encoder, const void *bytes, Py_ssize_t size) {
    if ((size_t)size > SL_SIZE_MAX_DEFAULT) {
        return fail(encoder, "bytes are larger than 1 GiB; send them in several items");
    }
    sl__put_bytes(encoder->writer, bytes, (size_t)size);
    return 0;
}

static int encode_bytes(struct sl__encoder *encoder, PyObject *object) {
    char *bytes;
    Py_ssize_t size;
    return PyBytes_AsStringAndSize(object, &bytes, &size) < 0 ? -1 : encode_blob(encoder, bytes, size);
}

static long long attribute_of(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    long long number = value != NULL ? PyLong_AsLongLong(value) : -1;
    Py_XDECREF(value);
    return number;
}

static int encode_datetime(struct sl__encoder *encoder, PyObject *object) {
    struct sl__state *state = encoder->state;
    PyObject *offset = PyObject_CallMethod(object, "utcoffset", NULL);
    if (offset == NULL) {
        return -1;
    }
    bool naive = offset == Py_None;
    Py_DECREF(offset);
    if (naive) {
        return fail(encoder, "a datetime has no time zone, so it names no point in time; give it one, for example "
                             "moment.replace(tzinfo=datetime.timezone.utc)");
    }
    PyObject *delta = PyNumber_Subtract(object, state->epoch);
    if (delta == NULL) {
        return -1;
    }
    long long days = attribute_of(delta, "days");
    long long seconds = PyErr_Occurred() ? 0 : attribute_of(delta, "seconds");
    long long microseconds = PyErr_Occurred() ? 0 : attribute_of(delta, "microseconds");
    Py_DECREF(delta);
    if (PyErr_Occurred()) {
        return -1;
    }
    struct sl_timestamp stamp = {days * 86400 + seconds, (uint32_t)microseconds * 1000};
    sl__put_timestamp(encoder->writer, stamp);
    return 0;
}

/* ---- containers ---------------------------------------------------------------------------------------------- */

static int encode_key(struct sl__encoder *encoder, PyObject *key);

static int encode_list(struct sl__encoder *encoder, PyObject *list) {
    if (!enter(encoder)) {
        return -1;
    }
    Py_ssize_t count = PyList_Size(list);
    sl__put_list(encoder->writer, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *entry = PyList_GetItem(list, i);
        if (SL_UNLIKELY(entry == NULL)) {
            PyErr_Clear();
            return fail(encoder, "a list changed its size while it was read");
        }
        Py_INCREF(entry);
        int status = sl__encode(encoder, entry, false);
        Py_DECREF(entry);
        if (SL_UNLIKELY(status < 0)) {
            return note_index(encoder, i);
        }
    }
    encoder->depth--;
    return 0;
}

static int encode_tuple(struct sl__encoder *encoder, PyObject *tuple) {
    if (!enter(encoder)) {
        return -1;
    }
    Py_ssize_t count = PyTuple_Size(tuple);
    sl__put_list(encoder->writer, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (SL_UNLIKELY(sl__encode(encoder, PyTuple_GetItem(tuple, i), false) < 0)) {
            return note_index(encoder, i);
        }
    }
    encoder->depth--;
    return 0;
}

static int encode_pair(struct sl__encoder *encoder, PyObject *key, PyObject *value) {
    int status;
    if (SL_LIKELY(Py_IS_TYPE(key, &PyUnicode_Type))) {
        status = encode_str(encoder, key);
    } else {
        status = encode_key(encoder, key);
    }
    if (SL_LIKELY(status == 0)) {
        status = sl__encode(encoder, value, false);
    }
    return SL_UNLIKELY(status < 0) ? note_step(encoder, key) : 0;
}

static int encode_dict(struct sl__encoder *encoder, PyObject *dict) {
    if (!enter(encoder)) {
        return -1;
    }
    Py_ssize_t count = PyDict_Size(dict);
    sl__put_map(encoder->writer, (uint32_t)count);
    Py_ssize_t position = 0, seen = 0;
    PyObject *key, *value;
    while (seen < count && PyDict_Next(dict, &position, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        int status = encode_pair(encoder, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (SL_UNLIKELY(status < 0)) {
            return -1;
        }
        seen++;
    }
    if (SL_UNLIKELY(seen != count || PyDict_Size(dict) != count)) {
        return fail(encoder, "a dict changed its size while it was read");
    }
    encoder->depth--;
    return 0;
}

/* A subclass may have an order or a content of its own (OrderedDict has): its items() is what counts. */
static int encode_mapping(struct sl__encoder *encoder, PyObject *mapping) {
    if (!enter(encoder)) {
        return -1;
    }
    PyObject *items = PyMapping_Items(mapping);
    if (items == NULL) {
        return -1;
    }
    Py_ssize_t count = PyList_Size(items);
    sl__put_map(encoder->writer, (uint32_t)count);
    int status = 0;
    for (Py_ssize_t i = 0; i < count && status == 0; i++) {
        PyObject *pair = PyList_GetItem(items, i);
        if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
            status = fail(encoder, "items() of a dict subclass gave something else than pairs");
        } else {
            status = encode_pair(encoder, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1));
        }
    }
    Py_DECREF(items);
    if (status == 0) {
        encoder->depth--;
    }
    return status;
}

/* ---- arrays -------------------------------------------------------------------------------------------------- */

static int encode_array(struct sl__encoder *encoder, PyObject *object) {
    struct sl_array array;
    sl__array_look(object, &array);
    uint64_t size;
    void *space = sl__put_array_space(encoder->writer, array.dtype, array.dim_count, array.shape, &size);
    if (space == NULL) {
        return encoder->writer->code != SL_OK ? sl__encode_raise_writer(encoder->state, encoder->writer) : 0;
    }
    if (size > 0) {
        memcpy(space, array.data, size);
    }
    return 0;
}

/* An array of numbers from the buffer that some object exports: copied once, into C order when it is not yet. */
static int encode_view(struct sl__encoder *encoder, const Py_buffer *view) {
    bool swapped;
    enum sl_dtype dtype = sl__dtype_of_format(view->format, view->itemsize, &swapped);
    if (dtype == 0) {
        PyErr_Format(
            encoder->state->not_serializable,
            "the elements of an array have the format '%s', which is no number of at most 8 bytes (16 when complex); "
            "convert it, for example with astype('float64'), or send a list",
            view->format != NULL ? view->format : "?");
        return -1;
    }
    if (swapped) {
        return fail(encoder,
                    "an array is big endian; convert it, for example with array.astype(array.dtype.newbyteorder('<'))");
    }
    if (view->ndim > SL_ARRAY_DIM_MAX) {
        return fail(encoder, "an array has more than 16 dimensions; reshape it");
    }
    uint64_t shape[SL_ARRAY_DIM_MAX];
    for (int i = 0; i < view->ndim; i++) {
        shape[i] = (uint64_t)view->shape[i];
    }
    uint64_t size;
    void *space = sl__put_array_space(encoder->writer, dtype, (uint32_t)view->ndim, shape, &size);
    if (space == NULL) {
        return encoder->writer->code != SL_OK ? sl__encode_raise_writer(encoder->state, encoder->writer) : 0;
    }
    return size > 0 && PyBuffer_ToContiguous(space, view, view->len, 'C') < 0 ? -1 : 0;
}

static bool is_bytes_format(const char *format) {
    return format == NULL || strcmp(format, "B") == 0 || strcmp(format, "c") == 0;
}

static int encode_memoryview(struct sl__encoder *encoder, PyObject *object) {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
        return wrap_failure(encoder, object);
    }
    int status;
    if (view.ndim == 1 && view.itemsize == 1 && is_bytes_format(view.format)) {
        if (PyBuffer_IsContiguous(&view, 'C')) {
            status = encode_blob(encoder, view.buf, view.len);
        } else {
            status = fail(encoder, "a memoryview of bytes is not contiguous; send bytes(view)");
        }
    } else {
        status = encode_view(encoder, &view);
    }
    PyBuffer_Release(&view);
    return status;
}

/* 1 when the object is a scalar of numpy, 0 when not, -1 with an exception. Does not import numpy: without it there are none. */
static int is_numpy_scalar(struct sl__state *state, PyObject *object) {
    if (state->numpy_generic == NULL) {
        PyObject *modules = PyImport_GetModuleDict();
        PyObject *numpy = modules != NULL ? PyDict_GetItemString(modules, "numpy") : NULL;
        if (numpy == NULL) {
            return 0;
        }
        state->numpy_generic = PyObject_GetAttrString(numpy, "generic");
        if (state->numpy_generic == NULL || !PyType_Check(state->numpy_generic)) {
            PyErr_Clear(); /* numpy is being imported just now, or it is not the one that we know */
            Py_CLEAR(state->numpy_generic);
            return 0;
        }
    }
    return PyObject_IsInstance(object, state->numpy_generic);
}

static int encode_numpy_scalar(struct sl__encoder *encoder, PyObject *object) {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return fail_type(encoder, object); /* datetime64 and timedelta64 export none */
    }
    bool swapped;
    enum sl_dtype dtype = view.ndim == 0 ? sl__dtype_of_format(view.format, view.itemsize, &swapped) : 0;
    PyObject *number = NULL;
    if (dtype != 0 && !swapped && dtype != SL_DTYPE_C64 && dtype != SL_DTYPE_C128) {
        number = sl__array_element(dtype, view.buf);
    }
    PyBuffer_Release(&view);
    if (number == NULL) {
        return PyErr_Occurred() ? -1 : fail_type(encoder, object);
    }
    int status = sl__encode(encoder, number, false);
    Py_DECREF(number);
    return status;
}

/* ---- marks and refs ------------------------------------------------------------------------------------------ */

static int encode_mark(struct sl__encoder *encoder, PyObject *object) {
    const struct sl__mark_object *mark = (const struct sl__mark_object *)object;
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(mark->text, &size);
    if (text == NULL) {
        PyErr_Clear();
        return fail(encoder, "the text of a mark has a lone surrogate, which UTF-8 cannot hold");
    }
    if ((size_t)size > SL_SIZE_MAX_DEFAULT) {
        return fail(encoder, "the text of a mark is larger than 1 GiB");
    }
    char *shown = NULL;
    if (mark->kind != SL_MARK_ROUTE &&
        (memchr(text, '=', (size_t)size) != NULL || memchr(text, ':', (size_t)size) != NULL ||
         memchr(text, ',', (size_t)size) != NULL)) {
        /* It may name a secret; the name of a route has to arrive as it is. */
        shown = PyMem_Malloc((size_t)size);
        if (shown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(shown, text, (size_t)size);
        size = (Py_ssize_t)sl__redact_text(sl__redactor(), SL__REDACT_TEXT, shown, (size_t)size);
    }
    size_t begin = sl__put_mark_begin(encoder->writer, mark->kind, shown != NULL ? shown : text, (size_t)size);
    PyMem_Free(shown);
    if (mark->kind == SL_MARK_ROUTE || mark->payload != Py_None) {
        if (sl__encode(encoder, mark->payload, false) < 0) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            PyObject *step = PyUnicode_FromString("payload");
            PyErr_Restore(type, value, traceback);
            note_step(encoder, step);
            Py_XDECREF(step);
            return -1;
        }
    }
    sl__put_mark_end(encoder->writer, begin);
    return 0;
}

static int encode_ref(struct sl__encoder *encoder, PyObject *object) {
    const struct sl__ref_object *self = (const struct sl__ref_object *)object;
    struct sl_ref ref = self->ref;
    Py_ssize_t size;
    ref.type_name = PyUnicode_AsUTF8AndSize(self->type_name, &size);
    if (ref.type_name == NULL) {
        return -1;
    }
    ref.type_name_size = (size_t)size;
    ref.repr = PyUnicode_AsUTF8AndSize(self->repr, &size);
    if (ref.repr == NULL) {
        return -1;
    }
    ref.repr_size = (size_t)size;
    sl__put_ref(encoder->writer, &ref);
    return 0;
}

static int encode_new_ref(struct sl__encoder *encoder, PyObject *object);

/*
 * A name among results with refs. Each ref there is one that the host gives back, and only of what is here: so the name of an object of this session goes
 * out as the object does, and any other is an object that cannot travel.
 */
static int encode_named(struct sl__encoder *encoder, PyObject *object) {
    PyObject *named = sl__session_ref_get(encoder->state, &((const struct sl__ref_object *)object)->ref);
    if (named == NULL) {
        PyErr_Clear();
        return fail(encoder, "a ref will do");
    }
    int status = encode_new_ref(encoder, named);
    Py_DECREF(named);
    return status;
}

/* ---- dispatch ------------------------------------------------------------------------------------------------ */

static int is_datetime(struct sl__state *state, PyObject *object) {
    if (state->datetime_type == NULL) {
        /* An aware datetime cannot exist before datetime has been imported. */
        PyObject *modules = PyImport_GetModuleDict();
        if (modules == NULL || PyDict_GetItemString(modules, "datetime") == NULL) {
            return 0;
        }
        if (sl__state_load_datetime(state) < 0) {
            return -1;
        }
    }
    return PyObject_IsInstance(object, state->datetime_type);
}

/* All that is not exactly a built-in type. Returns 1 when the object is none of what a map key may be. */
static int encode_other_scalar(struct sl__encoder *encoder, PyObject *object) {
    /* Scalars of numpy first: those that are subclasses of float, str and bytes work as such, the rest by their buffer. */
    if (PyUnicode_Check(object)) {
        return encode_str(encoder, object);
    }
    if (PyLong_Check(object)) {
        return encode_int(encoder, object);
    }
    if (PyFloat_Check(object)) {
        sl__put_float(encoder->writer, PyFloat_AsDouble(object));
        return 0;
    }
    if (PyBytes_Check(object)) {
        return encode_bytes(encoder, object);
    }
    int matches = is_numpy_scalar(encoder->state, object);
    if (matches != 0) {
        return matches < 0 ? -1 : encode_numpy_scalar(encoder, object);
    }
    matches = is_datetime(encoder->state, object);
    if (matches != 0) {
        return matches < 0 ? -1 : encode_datetime(encoder, object);
    }
    return 1;
}

static int encode_other(struct sl__encoder *encoder, PyObject *object, bool mark_allowed) {
    struct sl__state *state = encoder->state;
    if (Py_IS_TYPE(object, state->array_type)) {
        return encode_array(encoder, object);
    }
    if (Py_IS_TYPE(object, state->mark_type)) {
        if (mark_allowed) {
            return encode_mark(encoder, object);
        }
        return fail(encoder, "a mark is inside another value; slither.skip(), slither.error() and slither.route() "
                             "stand for a whole item");
    }
    if (Py_IS_TYPE(object, state->ref_type)) {
        return encoder->refs ? encode_named(encoder, object) : encode_ref(encoder, object);
    }
    if (PyList_Check(object)) {
        return encode_list(encoder, object);
    }
    if (PyTuple_Check(object)) {
        return encode_tuple(encoder, object);
    }
    if (PyDict_Check(object)) {
        return encode_mapping(encoder, object);
    }
    int status = encode_other_scalar(encoder, object);
    if (status != 1) {
        return status;
    }
    if (PyByteArray_Check(object)) {
        Py_ssize_t size = PyByteArray_Size(object);
        return encode_blob(encoder, PyByteArray_AsString(object), size);
    }
    if (PyMemoryView_Check(object)) {
        return encode_memoryview(encoder, object);
    }
    if (PyObject_CheckBuffer(object)) {
        Py_buffer view;
        if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
            return wrap_failure(encoder, object);
        }
        status = encode_view(encoder, &view);
        PyBuffer_Release(&view);
        return status;
    }
    return fail_type(encoder, object);
}

static int encode_held(struct sl__encoder *encoder, PyObject *object, bool mark_allowed) {
    Py_INCREF(object);
    int status = encode_other(encoder, object, mark_allowed);
    Py_DECREF(object);
    return status;
}

static int encode_key(struct sl__encoder *encoder, PyObject *key) {
    PyTypeObject *type = Py_TYPE(key);
    if (type == &PyUnicode_Type) {
        return encode_str(encoder, key);
    }
    if (type == &PyLong_Type) {
        return encode_int(encoder, key);
    }
    if (key == Py_None) {
        return sl__put_nil(encoder->writer), 0;
    }
    if (type == &PyBool_Type) {
        return sl__put_bool(encoder->writer, key == Py_True), 0;
    }
    int status = encode_other_scalar(encoder, key);
    if (status != 1) {
        return status;
    }
    PyObject *name = PyType_GetName(type);
    if (name != NULL) {
        PyErr_Format(encoder->state->not_serializable,
                     "the key of a dict is a %U; keys are str, int, float, bool, None, bytes or an aware datetime",
                     name);
    }
    Py_XDECREF(name);
    return -1;
}

static inline __attribute__((always_inline)) int encode_value(struct sl__encoder *encoder, PyObject *object,
                                                              bool mark_allowed) {
    PyTypeObject *type = Py_TYPE(object);
    int status = 0;
    if (type == &PyUnicode_Type) {
        status = encode_str(encoder, object);
    } else if (type == &PyLong_Type) {
        status = encode_int(encoder, object);
    } else if (type == &PyFloat_Type) {
        sl__put_float(encoder->writer, PyFloat_AsDouble(object));
    } else if (type == &PyDict_Type) {
        status = encode_dict(encoder, object);
    } else if (type == &PyList_Type) {
        status = encode_list(encoder, object);
    } else if (object == Py_None) {
        sl__put_nil(encoder->writer);
    } else if (type == &PyBool_Type) {
        sl__put_bool(encoder->writer, object == Py_True);
    } else if (type == &PyTuple_Type) {
        status = encode_tuple(encoder, object);
    } else if (type == &PyBytes_Type) {
        status = encode_bytes(encoder, object);
    } else {
        status = encode_held(encoder, object, mark_allowed);
    }
    /* Looked at once a value and not once a write: a writer that has failed ignores what follows. */
    if (SL_UNLIKELY(status == 0 && encoder->writer->code != SL_OK)) {
        return sl__encode_raise_writer(encoder->state, encoder->writer);
    }
    return status;
}

/* ---- refs of what cannot travel -------------------------------------------------------------------------------- */

/* A ref of the current session for the object. */
static int encode_new_ref(struct sl__encoder *encoder, PyObject *object) {
    struct sl_ref ref;
    const char *type_name, *repr;
    Py_ssize_t type_name_size, repr_size;
    PyObject *calls = PyImport_ImportModule("slither._calls");
    PyObject *texts = calls != NULL ? PyObject_CallMethod(calls, "texts", "O", object) : NULL;
    int status = -1;
    if (texts != NULL && PyArg_ParseTuple(texts, "s#s#", &type_name, &type_name_size, &repr, &repr_size) &&
        sl__session_ref_add(encoder->state, object, &ref) == 0) {
        ref.type_name = type_name;
        ref.type_name_size = (size_t)type_name_size;
        ref.repr = repr;
        ref.repr_size = (size_t)repr_size;
        sl__put_ref(encoder->writer, &ref);
        status = encoder->writer->code == SL_OK ? 0 : sl__encode_raise_writer(encoder->state, encoder->writer);
    }
    Py_XDECREF(texts);
    Py_XDECREF(calls);
    return status;
}

static __attribute__((noinline)) int encode_or_ref(struct sl__encoder *encoder, PyObject *object, bool mark_allowed) {
    struct sl__state *state = encoder->state;
    size_t begin = encoder->writer->size;
    uint32_t depth = encoder->depth;
    size_t refs = sl__session_refs_mark(state);
    int status = encode_value(encoder, object, mark_allowed);
    if (SL_LIKELY(status == 0) || encoder->writer->code != SL_OK || !PyErr_ExceptionMatches(state->not_serializable) ||
        (encoder->too_deep && depth > WHOLE_DEPTH)) {
        return status;
    }
    PyErr_Clear();
    Py_CLEAR(encoder->place);
    encoder->too_deep = false;
    encoder->writer->size = begin;
    encoder->depth = depth;
    sl__session_refs_cut(state, refs);
    Py_INCREF(object);
    status = encode_new_ref(encoder, object);
    Py_DECREF(object);
    return status;
}

int sl__encode(struct sl__encoder *encoder, PyObject *object, bool mark_allowed) {
    return SL_UNLIKELY(encoder->refs) ? encode_or_ref(encoder, object, mark_allowed)
                                      : encode_value(encoder, object, mark_allowed);
}
