/* SPDX-License-Identifier: MIT */
/*
 * Watches: what has changed in a table. One holds no reading and keeps nothing in the store from being used again; so it lives on from batch
 * to batch, unlike a scan.
 *
 * It maps the control file for itself: a thread that sleeps on the bell has let the GIL go, and the reader may be closed meanwhile.
 */
#include <math.h>

#include "store.h"

#include "base/macros.h"
#include "store/changes.h"
#include "sys/clock.h"
#include "sys/futex.h"
#include "sys/process.h"

/* A signal that comes between the last look for one and falling asleep is handled that late. Nothing else needs it. */
#define SLEEP_MS_MAX 500
#define TIMEOUT_S_MAX 1e9

struct watch_object {
    PyObject_HEAD struct sl__store_state *state;
    struct sl__table_object *table; /* owned */
    const struct sl__control *control;
    size_t control_size;
    struct sl__changes changes;
    int64_t pid;     /* of who made it */
    uint32_t number; /* of the table, in changes; 0: not known yet */
    uint32_t sleepers;
    _Atomic uint32_t closed; /* a futex word of this process */
};

static void unmap(struct watch_object *watch) {
    if (watch->control != NULL && watch->sleepers == 0) {
        sl__control_detach(watch->control, watch->control_size);
        watch->control = NULL;
    }
}

static void close_watch(struct watch_object *watch) {
    if (atomic_exchange(&watch->closed, 1) != 0) {
        return;
    }
    sl__changes_finish(&watch->changes);
    sl__futex_wake(&watch->closed, UINT32_MAX, SL__FUTEX_PRIVATE);
    unmap(watch);
}

static PyObject *refuse(const struct watch_object *watch, const char *reason) {
    struct sl_error error = SL_ERROR_INIT;
    sl_error_set(&error, SL_E_CLOSED, "%s", reason);
    return sl__store_raise(watch->state, &error);
}

/* ---- changes ------------------------------------------------------------------------------------------------------- */

/* A table may be dropped and made again, and has another number then. What had happened to the old one does not matter any more. */
static uint32_t number_of(void *context, bool first) {
    struct watch_object *watch = context;
    const struct sl__reader_object *reader = watch->table->reader;
    struct sl__reading *reading;
    const struct sl__table_view *view;
    if (!first || reader == NULL || reader->reader == NULL ||
        sl__reading_begin(reader->reader, &reading, NULL) != SL_OK) {
        return watch->number;
    }
    if (sl__reading_table(reading, watch->table->name, &view, NULL) == SL_OK && view->number != watch->number) {
        sl__changes_lose(&watch->changes);
        watch->number = view->number;
    }
    sl__reading_end(reading);
    return watch->number;
}

static bool must_stop(const struct watch_object *watch) {
    struct sl__life *life = watch->state->codec->life;
    return life->lane != NULL && atomic_load_explicit(&life->stop, memory_order_acquire) != 0;
}

/* Until the bell is not `bell` any more, the watch is closed, the worker is to stop, a signal comes, or `deadline_ns` or a while has passed. */
static void sleep_until(struct watch_object *watch, uint32_t bell, uint64_t deadline_ns) {
    const struct sl__futex_word words[] = {
        {&watch->control->bell, bell, SL__FUTEX_SHARED},
        {&watch->closed, 0, SL__FUTEX_PRIVATE},
        {&watch->state->codec->life->stop, 0, SL__FUTEX_PRIVATE},
    };
    uint64_t end_ns = sl__clock_deadline_ms(SLEEP_MS_MAX);
    if (deadline_ns != 0) {
        end_ns = SL_MIN(end_ns, deadline_ns);
    }
    watch->sleepers++;
    Py_BEGIN_ALLOW_THREADS;
    (void)sl__futex_wait_any(words, 3, end_ns);
    Py_END_ALLOW_THREADS;
    watch->sleepers--;
    if (atomic_load(&watch->closed) != 0) {
        unmap(watch);
    }
}

/* 1: a change; 0: none in time; -1 with an exception. `deadline_ns`, unless it `waits` without one. */
static int next_change(struct watch_object *watch, bool waits, uint64_t deadline_ns, struct sl__change_record *record) {
    for (;;) {
        if (atomic_load(&watch->closed) == 0 && sl__process_id() != watch->pid) {
            refuse(watch, "a forked child uses a watch of its parent; watch in the parent");
            return -1;
        }
        bool ended = false;
        if (atomic_load(&watch->closed) == 0) {
            ended = atomic_load(&watch->control->closed) != 0;
            /* What was closed is opened anew, to know the table's number. That may run Python code, which may close the watch. */
            if (!ended && sl__table_reader(watch->table) == NULL) {
                return -1;
            }
        }
        if (atomic_load(&watch->closed) != 0) {
            refuse(watch, "the watch has been closed");
            return -1;
        }
        uint32_t bell = atomic_load_explicit(&watch->control->bell, memory_order_acquire);
        if (sl__changes_take(&watch->changes, record) == SL_OK) {
            return 1;
        }
        if (ended) {
            refuse(watch, "the writer of the store has closed it; watch the one that takes its place");
            return -1;
        }
        if (!waits || sl__clock_passed(deadline_ns)) {
            return 0;
        }
        if (must_stop(watch)) {
            refuse(watch, "the worker is asked to stop, and waits for no more changes");
            return -1;
        }
        sleep_until(watch, bell, deadline_ns);
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}

static PyObject *make_change(const struct watch_object *watch, const struct sl__change_record *record) {
    static const char *const kinds[] = {[SL_CHANGE_PUT] = "put",
                                        [SL_CHANGE_DELETE] = "delete",
                                        [SL_CHANGE_TABLE] = "table",
                                        [SL_CHANGE_OVERFLOW] = "overflow"};
    const struct sl__codec *codec = watch->state->codec;
    if ((unsigned)record->kind >= SL_COUNT_OF(kinds) || kinds[record->kind] == NULL) {
        PyErr_SetString(PyExc_ValueError, "a change in the store is of no known kind");
        return NULL;
    }
    if (record->key_size == 0) {
        return Py_BuildValue("(sO)", kinds[record->kind], Py_None);
    }
    struct sl_writer writer;
    PyObject *key = NULL;
    sl_writer_init(&writer, NULL);
    if (sl__key_decode(record->key, record->key_size, &writer)) {
        key = codec->decode(codec->state, writer.data, writer.size);
    } else if (writer.code == SL_E_OUT_OF_MEMORY) {
        PyErr_NoMemory();
    } else {
        PyErr_SetString(PyExc_ValueError, "a key of the store is damaged");
    }
    sl_writer_finish(&writer);
    return key != NULL ? Py_BuildValue("(sN)", kinds[record->kind], key) : NULL;
}

/* ---- slither._store.Watch ---------------------------------------------------------------------------------------- */

/* -1 with an exception. */
static int take_timeout(PyObject *object, bool *waits, uint64_t *deadline_ns) {
    *waits = true;
    *deadline_ns = 0;
    if (object == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(object);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0)) {
        PyErr_Format(PyExc_ValueError, "timeout is %R; expected seconds from 0 on, or None", object);
        return -1;
    }
    *waits = seconds > 0;
    *deadline_ns = seconds < TIMEOUT_S_MAX ? sl__clock_deadline_ms((uint64_t)ceil(seconds * 1000)) : 0;
    return 0;
}

PyDoc_STRVAR(
    changes_doc,
    "changes(timeout=None)\n--\n\n"
    "What has changed since the last call, in the order of the first change of each key: a list of (kind, key).\n\n"
    "Waits until there is something, at most `timeout` seconds; None: without bound, 0: not at all. The list is "
    "empty when there\n"
    "was nothing. Kinds: 'put'; 'delete'; 'table', all of the table (reload, clear, drop), and 'overflow', when "
    "changes were\n"
    "lost: read again all that is watched; key is None then. Several changes of a key are one, the last.\n"
    "Raises slither.Failure with the code 'closed' when the store or the watch has been closed, or when it waits "
    "and the worker\n"
    "is asked to stop.");

static PyObject *watch_changes(PyObject *object, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"timeout", NULL};
    struct watch_object *watch = (struct watch_object *)object;
    PyObject *timeout = Py_None;
    bool waits;
    uint64_t deadline_ns;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:changes", SL__KEYWORDS(names), &timeout) ||
        take_timeout(timeout, &waits, &deadline_ns) < 0) {
        return NULL;
    }
    struct sl__change_record record;
    int found = next_change(watch, waits, deadline_ns, &record);
    PyObject *list = found < 0 ? NULL : PyList_New(0);
    /* Bounded: a writer that is faster than this loop would keep it here. */
    for (uint32_t i = watch->changes.pending_max; list != NULL && found > 0; i--) {
        PyObject *change = make_change(watch, &record);
        if (change == NULL || PyList_Append(list, change) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(change);
        found = i > 1 && atomic_load(&watch->closed) == 0 && sl__changes_take(&watch->changes, &record) == SL_OK;
    }
    return list;
}

static PyObject *watch_next(PyObject *object) {
    struct sl__change_record record;
    return next_change((struct watch_object *)object, true, 0, &record) > 0
               ? make_change((struct watch_object *)object, &record)
               : NULL;
}

static PyObject *watch_itself(PyObject *object) {
    Py_INCREF(object);
    return object;
}

static PyObject *watch_enter(PyObject *object, PyObject *unused) {
    (void)unused;
    return watch_itself(object);
}

static PyObject *watch_close(PyObject *object, PyObject *unused) {
    (void)unused;
    close_watch((struct watch_object *)object);
    Py_INCREF(Py_None);
    return Py_None;
}

static void watch_dealloc(PyObject *object) {
    struct watch_object *watch = (struct watch_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    close_watch(watch);
    Py_XDECREF((PyObject *)watch->table);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

PyObject *sl__watch_make(struct sl__table_object *table, const struct sl__key_range *range, uint32_t pending_max) {
    struct sl__reader_object *reader = sl__table_reader(table);
    if (reader == NULL) {
        return NULL;
    }
    struct sl__store_state *state = reader->state;
    allocfunc allocate = PyType_GetSlot(state->watch_type, Py_tp_alloc);
    struct watch_object *watch = (struct watch_object *)allocate(state->watch_type, 0);
    if (watch == NULL) {
        return NULL;
    }
    struct sl_error error = SL_ERROR_INIT;
    watch->state = state;
    watch->pid = sl__process_id();
    Py_INCREF((PyObject *)table);
    watch->table = table;
    bool own;
    struct sl__reading *reading = sl__reader_acquire(reader, &own);
    if (reading == NULL) { /* also in a forked child */
        Py_DECREF(watch);
        return NULL;
    }
    sl__reader_release(reading, own);
    enum sl_code code = SL_E_CLOSED;
    if (reader->reader->control == NULL) {
        sl_error_set(&error, code, "nobody writes the store, so that nothing in it can change");
    } else {
        code = sl__control_attach(PyBytes_AsString(reader->path), &watch->control, &watch->control_size, &error);
    }
    if (code == SL_OK) {
        code = sl__changes_init(&watch->changes, watch->control, range, pending_max, number_of, watch, &error);
    }
    /* The table as it is now, whatever a snapshot sees; after the position was taken, so that nothing is missed. */
    if (code == SL_OK) {
        code = sl__reading_begin(reader->reader, &reading, &error);
    }
    if (code == SL_OK) {
        const struct sl__table_view *view;
        code = sl__reading_table(reading, table->name, &view, &error);
        if (code == SL_OK) {
            watch->number = view->number;
        }
        sl__reading_end(reading);
    }
    if (code == SL_OK && atomic_load(&reader->reader->control->closed) != 0) {
        code = sl_error_set(&error, SL_E_CLOSED, "the writer of the store has closed it just now; watch anew");
    }
    if (code != SL_OK) {
        Py_DECREF(watch);
        return sl__store_raise(state, &error);
    }
    return (PyObject *)watch;
}

#define WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef watch_methods[] = {
    {"changes", WITH_KEYWORDS(watch_changes), METH_VARARGS | METH_KEYWORDS, changes_doc},
    {"close", watch_close, METH_NOARGS,
     "close()\n--\n\nEnds the watch; who waits in it gets slither.Failure. Twice is fine."},
    {"__enter__", watch_enter, METH_NOARGS, NULL},
    {"__exit__", watch_close, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    watch_doc,
    "What changes in a table, made by slither.Store.watch(). Iterating gives one (kind, key) after the other and "
    "waits for each.");

static PyType_Slot watch_slots[] = {
    {Py_tp_dealloc, watch_dealloc},
    {Py_tp_iter, watch_itself},
    {Py_tp_iternext, watch_next},
    {Py_tp_methods, watch_methods},
    {Py_tp_doc, (void *)(uintptr_t)watch_doc},
    {0, NULL},
};

static PyType_Spec watch_spec = {
    .name = "slither._store.Watch",
    .basicsize = sizeof(struct watch_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = watch_slots,
};

int sl__watch_type_make(PyObject *module, struct sl__store_state *state) {
    state->watch_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &watch_spec, NULL);
    return state->watch_type != NULL ? 0 : -1;
}
