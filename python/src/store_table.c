/* SPDX-License-Identifier: MIT */
/* slither._store.Table: the reads of slither.Store, which adds what asks the host. */
#include <string.h>

#include "store.h"

#include "base/macros.h"
#include "store/changes.h"
#include "wire/writer.h"

/* Above what any key takes as a value: as the store encodes it, it takes no less, and that is at most SL_STORE_KEY_BYTES_MAX. */
#define KEY_VALUE_BYTES_MAX 1024

/* ---- opening ------------------------------------------------------------------------------------------------------- */

/* _open() is Python's: it finds out where the store is, and binds this table to it. */
struct sl__reader_object *sl__table_reader(struct sl__table_object *table) {
    if (SL_LIKELY(sl__reader_usable(table->reader))) {
        return table->reader;
    }
    PyObject *done = PyObject_CallMethod((PyObject *)table, "_open", NULL);
    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    if (table->reader == NULL || table->reader->reader == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a table was used that belongs to no store; use slither.store()");
        return NULL;
    }
    return table->reader;
}

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

static bool refuse_growth(struct sl_writer *writer, size_t needed) {
    (void)needed;
    sl__writer_fail(writer, SL_E_LIMIT, "a key is longer than a key can be, 490 bytes as the store encodes it");
    return false;
}

static int encode_key(const struct sl__store_state *state, PyObject *key, uint8_t memory[KEY_VALUE_BYTES_MAX],
                      struct sl_value *value) {
    struct sl_writer writer;
    sl__writer_init_at(&writer, memory, KEY_VALUE_BYTES_MAX, NULL, refuse_growth);
    int status = state->codec->encode(state->codec->state, &writer, key);
    *value = (struct sl_value){memory, writer.size};
    sl_writer_finish(&writer);
    return status;
}

/* ---- one key ------------------------------------------------------------------------------------------------------- */

/* The object of a key's value, `fallback` when there is none. A new reference; NULL with an exception. */
static PyObject *look_up(struct sl__table_object *table, struct sl__reading *reading, PyObject *key,
                         PyObject *fallback) {
    const struct sl__store_state *state = table->reader->state;
    struct sl_error error = SL_ERROR_INIT;
    uint8_t memory[KEY_VALUE_BYTES_MAX];
    struct sl_value key_value, value;
    if (encode_key(state, key, memory, &key_value) < 0) {
        return NULL;
    }
    PyObject *object = NULL;
    const struct sl__table_view *view;
    enum sl_code code = sl__reading_table(reading, table->name, &view, &error);
    if (code != SL_OK) {
        return sl__store_raise(state, &error);
    }
    if (SL_LIKELY(view->kind != SL_TABLE_BAG)) {
        code = sl__reading_get(reading, view, key_value, &value, &error);
        if (SL_LIKELY(code == SL_OK)) {
            return state->codec->decode(state->codec->state, value.data, value.size);
        }
    } else {
        struct sl_writer writer;
        sl_writer_init(&writer, NULL);
        code = sl__reading_copy(reading, table->name, key_value, &writer, &error);
        if (code == SL_OK) {
            object = state->codec->decode(state->codec->state, writer.data, writer.size);
        }
        sl_writer_finish(&writer);
        if (code == SL_OK) {
            return object;
        }
    }
    if (code != SL_E_NOT_FOUND) {
        return sl__store_raise(state, &error);
    }
    Py_INCREF(fallback);
    return fallback;
}

PyDoc_STRVAR(get_doc,
             "get(key, default=None)\n--\n\n"
             "The value of a key, or `default` when it has no row.\n\n"
             "key: None, bool, int, float, str, bytes, datetime, or a list or tuple of those; 1 and 1.0 are one key.\n"
             "Returns what was put, as a new object; of a bag the list of the key's values, oldest first.");

static PyObject *table_get(PyObject *object, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
    struct sl__table_object *table = (struct sl__table_object *)object;
    PyObject *fallback = Py_None;
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (SL_UNLIKELY(count < 1 || count + named > 2)) {
        PyErr_SetString(PyExc_TypeError, "get() takes a key and a default");
        return NULL;
    }
    if (named == 1) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "default") != 0) {
            PyErr_SetString(PyExc_TypeError, "get() takes one argument by name: default");
            return NULL;
        }
        fallback = arguments[count];
    } else if (count == 2) {
        fallback = arguments[1];
    }
    struct sl__reader_object *reader = sl__table_reader(table);
    if (reader == NULL) {
        return NULL;
    }
    bool own;
    struct sl__reading *reading = sl__reader_acquire(reader, &own);
    if (reading == NULL) {
        return NULL;
    }
    PyObject *value = look_up(table, reading, arguments[0], fallback);
    sl__reader_release(reading, own);
    return value;
}

PyDoc_STRVAR(
    get_many_doc,
    "get_many(keys, default=None)\n--\n\n"
    "The values of several keys, all of one version: a list in the order of the keys, with `default` where there "
    "is no row.");

static PyObject *table_get_many(PyObject *object, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"keys", "default", NULL};
    struct sl__table_object *table = (struct sl__table_object *)object;
    PyObject *keys, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:get_many", SL__KEYWORDS(names), &keys, &fallback)) {
        return NULL;
    }
    /* Whatever gives the keys runs before the reading is taken. */
    PyObject *list = PySequence_List(keys);
    struct sl__reader_object *reader = list != NULL ? sl__table_reader(table) : NULL;
    bool own;
    struct sl__reading *reading = reader != NULL ? sl__reader_acquire(reader, &own) : NULL;
    if (reading == NULL) {
        Py_XDECREF(list);
        return NULL;
    }
    Py_ssize_t count = PyList_Size(list);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value = look_up(table, reading, PyList_GetItem(list, i), fallback);
        if (value == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SetItem(list, i, value);
    }
    sl__reader_release(reading, own);
    return list;
}

static int has_key(PyObject *object, PyObject *key) {
    struct sl__table_object *table = (struct sl__table_object *)object;
    struct sl__reader_object *reader = sl__table_reader(table);
    uint8_t memory[KEY_VALUE_BYTES_MAX];
    struct sl_value key_value;
    struct sl_error error = SL_ERROR_INIT;
    bool own, contains = false;
    if (reader == NULL || encode_key(reader->state, key, memory, &key_value) < 0) {
        return -1;
    }
    struct sl__reading *reading = sl__reader_acquire(reader, &own);
    if (reading == NULL) {
        return -1;
    }
    enum sl_code code = sl__reading_contains(reading, table->name, key_value, &contains, &error);
    sl__reader_release(reading, own);
    if (code != SL_OK) {
        sl__store_raise(reader->state, &error);
        return -1;
    }
    return contains;
}

static PyObject *table_contains(PyObject *object, PyObject *key) {
    int contains = has_key(object, key);
    return contains < 0 ? NULL : PyBool_FromLong(contains);
}

/* ---- the table ----------------------------------------------------------------------------------------------------- */

static Py_ssize_t table_length(PyObject *object) {
    struct sl__table_object *table = (struct sl__table_object *)object;
    struct sl__reader_object *reader = sl__table_reader(table);
    bool own;
    struct sl__reading *reading = reader != NULL ? sl__reader_acquire(reader, &own) : NULL;
    if (reading == NULL) {
        return -1;
    }
    struct sl_table_info info;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__reading_info(reading, table->name, &info, &error);
    sl__reader_release(reading, own);
    if (code != SL_OK) {
        sl__store_raise(reader->state, &error);
        return -1;
    }
    return (Py_ssize_t)info.row_count;
}

static PyObject *table_size(PyObject *object, void *closure) {
    (void)closure;
    Py_ssize_t size = table_length(object);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

#define BOUNDS 4 /* prefix, start, stop, key */

struct bounds {
    struct sl_writer writers[BOUNDS];
    struct sl_scan_options options;
};

static int encode_bounds(const struct sl__store_state *state, struct bounds *bounds, PyObject *const objects[BOUNDS]) {
    struct sl_value *values[] = {&bounds->options.prefix, &bounds->options.from, &bounds->options.to,
                                 &bounds->options.key};
    for (int i = 0; i < BOUNDS; i++) {
        if (objects[i] == NULL) {
            continue;
        }
        if (state->codec->encode(state->codec->state, &bounds->writers[i], objects[i]) < 0) {
            return -1;
        }
        *values[i] = (struct sl_value){bounds->writers[i].data, bounds->writers[i].size};
    }
    return 0;
}

/* The keys that meet all bounds. Encoding may run Python code, which may close the reader. -1 with an exception. */
static int make_range(const struct sl__store_state *state, PyObject *const objects[BOUNDS],
                      struct sl__key_range *range) {
    struct bounds bounds = {.options = SL_SCAN_OPTIONS_INIT};
    struct sl_error error = SL_ERROR_INIT;
    for (int i = 0; i < BOUNDS; i++) {
        sl_writer_init(&bounds.writers[i], NULL);
    }
    int status = encode_bounds(state, &bounds, objects);
    if (status == 0 && sl__key_range(&bounds.options, range, &error) != SL_OK) {
        sl__store_raise(state, &error);
        status = -1;
    }
    for (int i = 0; i < BOUNDS; i++) {
        sl_writer_finish(&bounds.writers[i]);
    }
    return status;
}

PyDoc_STRVAR(scan_doc, "scan(*, prefix=..., start=..., stop=..., reverse=False, limit=...)\n--\n\n"
                       "Iterates over (key, value) in the order of the keys, all of one version.\n\n"
                       "prefix: a str or bytes that keys begin with, or a list that list keys begin with. start: the "
                       "first key. stop: the key\n"
                       "to end before. reverse: the last key first. limit: at most so many rows. A bag gives a pair "
                       "for each of its values.\n"
                       "The scan ends with the batch that began it.");

static PyObject *table_scan(PyObject *object, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"prefix", "start", "stop", "reverse", "limit", NULL};
    struct sl__table_object *table = (struct sl__table_object *)object;
    PyObject *objects[BOUNDS] = {NULL};
    int backward = 0;
    PyObject *limit_object = NULL;
    unsigned long long limit = UINT64_MAX;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OOOpO:scan", SL__KEYWORDS(names), &objects[0], &objects[1],
                                     &objects[2], &backward, &limit_object)) {
        return NULL;
    }
    if (limit_object != NULL && limit_object != Py_None) {
        limit = PyLong_AsUnsignedLongLong(limit_object);
        if (limit == (unsigned long long)-1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    struct sl__reader_object *reader = sl__table_reader(table);
    if (reader == NULL) {
        return NULL;
    }
    struct sl__key_range range;
    if (make_range(reader->state, objects, &range) < 0 || (reader = sl__table_reader(table)) == NULL) {
        return NULL;
    }
    return sl__scan_make(reader, table->name, &range, backward != 0, limit);
}

PyDoc_STRVAR(
    watch_doc,
    "watch(*, key=..., prefix=..., pending_max=4096)\n--\n\n"
    "Follows what changes in the table from now on: a slither._store.Watch, whose changes() gives it.\n\n"
    "key: that key only. prefix: as of scan(). pending_max: changed keys that wait to be fetched, 1 to 1000000; more "
    "of them are an\n"
    "overflow. It asks the host nothing and holds nothing in the store, so it lives until it is closed or dropped, "
    "over batches, too:\n"
    "ask it with changes(0) whether what a module remembers is still true. Use it in `with` when it is for one call.");

static PyObject *table_watch(PyObject *object, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"key", "prefix", "pending_max", NULL};
    struct sl__table_object *table = (struct sl__table_object *)object;
    PyObject *objects[BOUNDS] = {NULL};
    long pending_max = SL__PENDING_DEFAULT;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OOl:watch", SL__KEYWORDS(names), &objects[3], &objects[0],
                                     &pending_max)) {
        return NULL;
    }
    if (pending_max < 1 || pending_max > SL__PENDING_LIMIT) {
        return PyErr_Format(PyExc_ValueError, "pending_max is %ld; expected 1 to %d", pending_max, SL__PENDING_LIMIT);
    }
    struct sl__reader_object *reader = sl__table_reader(table);
    struct sl__key_range range;
    if (reader == NULL || make_range(reader->state, objects, &range) < 0) {
        return NULL;
    }
    return sl__watch_make(table, &range, (uint32_t)pending_max);
}

/* ---- the type ------------------------------------------------------------------------------------------------------ */

static void table_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    Py_CLEAR(((struct sl__table_object *)object)->reader);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

#define WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef table_methods[] = {
    {"get", WITH_KEYWORDS(table_get), METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"get_many", WITH_KEYWORDS(table_get_many), METH_VARARGS | METH_KEYWORDS, get_many_doc},
    {"contains", table_contains, METH_O, "contains(key)\n--\n\nWhether a key has a row: a bool."},
    {"scan", WITH_KEYWORDS(table_scan), METH_VARARGS | METH_KEYWORDS, scan_doc},
    {"watch", WITH_KEYWORDS(table_watch), METH_VARARGS | METH_KEYWORDS, watch_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef table_attributes[] = {
    {"size", table_size, NULL, "the number of rows: an int; rows that have expired may be counted for a while", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot table_slots[] = {
    {Py_tp_dealloc, table_dealloc}, {Py_tp_methods, table_methods}, {Py_tp_getset, table_attributes},
    {Py_sq_contains, has_key},      {Py_mp_length, table_length},   {0, NULL},
};

static PyType_Spec table_spec = {
    .name = "slither._store.Table",
    .basicsize = sizeof(struct sl__table_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = table_slots,
};

int sl__table_type_make(PyObject *module, struct sl__store_state *state) {
    state->table_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &table_spec, NULL);
    return state->table_type != NULL ? PyModule_AddObjectRef(module, "Table", (PyObject *)state->table_type) : -1;
}
