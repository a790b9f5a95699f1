/* SPDX-License-Identifier: MIT */
#include "codec.h"

#include "wire/writer.h"

static PyObject *decode(struct sl__state *state, const uint8_t *bytes, size_t size) {
    struct sl__decoder decoder = {
        .state = state,
        .start = bytes,
        .position = bytes,
        .end = bytes + size,
        .depth_max = SL_DEPTH_MAX_LIMIT,
    };
    return sl__decode(&decoder);
}

static int encode(struct sl__state *state, struct sl_writer *writer, PyObject *object) {
    struct sl__encoder encoder = {.state = state, .writer = writer, .depth_max = SL_DEPTH_MAX_DEFAULT};
    if (sl__encode(&encoder, object, false) < 0) {
        sl__encode_finish_failure(&encoder);
        return -1;
    }
    return writer->code == SL_OK ? 0 : sl__encode_raise_writer(state, writer);
}

static PyObject *fail(struct sl__state *state, const struct sl_error *error) {
    return sl__raise(state, error->code, "%s", error->message);
}

static void free_capsule(PyObject *capsule) {
    PyMem_Free(PyCapsule_GetPointer(capsule, SL__CODEC_CAPSULE));
}

int sl__codec_add(PyObject *module) {
    struct sl__codec *codec = PyMem_Malloc(sizeof(*codec));
    if (codec == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *codec = (struct sl__codec){sizeof(*codec), sl__state_of(module), sl__life(), decode, encode, fail};
    PyObject *capsule = PyCapsule_New(codec, SL__CODEC_CAPSULE, free_capsule);
    if (capsule == NULL) {
        PyMem_Free(codec);
        return -1;
    }
    int status = PyModule_AddObjectRef(module, "_codec", capsule);
    Py_DECREF(capsule);
    return status;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------- */

static void let_go(bool scans_too) {
    struct sl__life *life = sl__life();
    if (life->readings_end != NULL) {
        life->readings_end(life->readings_context, scans_too);
    }
}

PyObject *sl__snapshot_begin(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    sl__life()->snapshot_depth++;
    Py_INCREF(Py_None);
    return Py_None;
}

PyObject *sl__snapshot_end(PyObject *module, PyObject *unused) {
    struct sl__life *life = sl__life();
    (void)module;
    (void)unused;
    if (life->snapshot_depth > 0 && --life->snapshot_depth == 0) {
        let_go(false);
    }
    Py_INCREF(Py_None);
    return Py_None;
}

void sl__snapshot_batch_begin(bool whole) {
    sl__life()->snapshot_depth = whole;
}

void sl__snapshot_batch_end(void) {
    sl__life()->snapshot_depth = 0;
    let_go(true);
}
