/* SPDX-License-Identifier: MIT */
/* Iterators over the rows of a table. One that is not walked to its end is ended with the batch, or the snapshot, that it belongs to. */
#include "store.h"

struct sl__scan_object {
    PyObject_HEAD struct sl__reader_object *reader; /* owned */
    struct sl__walk walk;
    struct sl__reading *own; /* NULL: it shares the reading of a snapshot */
    uint64_t remaining;      /* rows */
    bool open;
    bool cut_off; /* ended by what it belongs to */
    struct sl__scan_object *next, *previous;
};

static void end_scan(struct sl__scan_object *scan) {
    if (!scan->open) {
        return;
    }
    scan->open = false;
    sl__walk_end(&scan->walk);
    if (scan->own != NULL) {
        sl__reading_end(scan->own);
    }
    if (scan->next != NULL) {
        scan->next->previous = scan->previous;
    }
    if (scan->previous != NULL) {
        scan->previous->next = scan->next;
    } else {
        scan->reader->scans = scan->next;
    }
}

void sl__scans_end(struct sl__reader_object *reader, bool all) {
    struct sl__scan_object *next;
    for (struct sl__scan_object *scan = reader->scans; scan != NULL; scan = next) {
        next = scan->next;
        if (all || scan->own == NULL) {
            scan->cut_off = true;
            end_scan(scan);
        }
    }
}

PyObject *sl__scan_make(struct sl__reader_object *reader, const struct sl__table_name *table,
                        const struct sl__key_range *range, bool backward, uint64_t limit) {
    struct sl__store_state *state = reader->state;
    allocfunc allocate = PyType_GetSlot(state->scan_type, Py_tp_alloc);
    struct sl__scan_object *scan = (struct sl__scan_object *)allocate(state->scan_type, 0);
    if (scan == NULL) {
        return NULL;
    }
    Py_INCREF((PyObject *)reader);
    scan->reader = reader;
    scan->remaining = limit;
    bool own;
    struct sl__reading *reading = sl__reader_acquire(reader, &own);
    if (reading == NULL) {
        Py_DECREF(scan);
        return NULL;
    }
    struct sl_error error = SL_ERROR_INIT;
    if (sl__walk_begin(&scan->walk, reading, table, range, backward, &error) != SL_OK) {
        sl__reader_release(reading, own);
        Py_DECREF(scan);
        return sl__store_raise(state, &error);
    }
    scan->own = own ? reading : NULL;
    scan->open = true;
    scan->next = reader->scans;
    if (scan->next != NULL) {
        scan->next->previous = scan;
    }
    reader->scans = scan;
    return (PyObject *)scan;
}

static PyObject *make_pair(struct sl__scan_object *scan, const uint8_t *key, size_t key_size, struct sl_value value) {
    const struct sl__codec *codec = scan->reader->state->codec;
    struct sl_writer writer;
    PyObject *first = NULL, *second = NULL, *pair = NULL;
    /* The value before the key: decoding either may run Python code, and the key is copied. */
    sl_writer_init(&writer, NULL);
    if (sl__key_decode(key, key_size, &writer)) {
        second = codec->decode(codec->state, value.data, value.size);
    } else if (writer.code == SL_E_OUT_OF_MEMORY) {
        PyErr_NoMemory();
    } else {
        PyErr_SetString(PyExc_ValueError, "a key of the store is damaged");
    }
    if (second != NULL) {
        first = codec->decode(codec->state, writer.data, writer.size);
    }
    if (first != NULL) {
        pair = PyTuple_Pack(2, first, second);
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    sl_writer_finish(&writer);
    return pair;
}

static PyObject *scan_next(PyObject *object) {
    struct sl__scan_object *scan = (struct sl__scan_object *)object;
    struct sl_error error = SL_ERROR_INIT;
    if (!scan->open && !scan->cut_off) {
        return NULL;
    }
    if (!scan->open || sl__reader_foreign(scan->reader->reader)) {
        sl_error_set(
            &error, SL_E_CLOSED,
            "the batch, or the snapshot, that this scan began in has ended, or this is a forked child; scan anew");
        return sl__store_raise(scan->reader->state, &error);
    }
    const uint8_t *key;
    size_t key_size;
    struct sl_value value;
    enum sl_code code = SL_E_END;
    if (scan->remaining > 0) {
        code = sl__walk_next(&scan->walk, &key, &key_size, &value, &error);
    }
    if (code != SL_OK) {
        end_scan(scan);
        return code == SL_E_END ? NULL : sl__store_raise(scan->reader->state, &error);
    }
    scan->remaining--;
    return make_pair(scan, key, key_size, value);
}

static PyObject *scan_iter(PyObject *object) {
    Py_INCREF(object);
    return object;
}

static void scan_dealloc(PyObject *object) {
    struct sl__scan_object *scan = (struct sl__scan_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    end_scan(scan);
    Py_XDECREF((PyObject *)scan->reader);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyType_Slot scan_slots[] = {
    {Py_tp_dealloc, scan_dealloc},
    {Py_tp_iter, scan_iter},
    {Py_tp_iternext, scan_next},
    {0, NULL},
};

static PyType_Spec scan_spec = {
    .name = "slither._store.Scan",
    .basicsize = sizeof(struct sl__scan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = scan_slots,
};

int sl__scan_type_make(PyObject *module, struct sl__store_state *state) {
    state->scan_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &scan_spec, NULL);
    return state->scan_type != NULL ? 0 : -1;
}
