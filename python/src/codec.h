/* SPDX-License-Identifier: MIT */
/*
 * What slither._native lends to slither._store: the codec, whose types live in its module state, and the life of the worker.
 *
 * The reader of stores is a module of its own because it needs liblmdb, which is loaded when the first store is opened and not before.
 * Both modules are of one build: one is never found without the other.
 */
#ifndef SL_PYTHON_CODEC_H
#define SL_PYTHON_CODEC_H

#include "module.h"

#define SL__CODEC_CAPSULE "slither._native._codec"

struct sl__codec {
    size_t size; /* sizeof(struct sl__codec) */
    struct sl__state *state;
    struct sl__life *life;
    /* The object of the one value that the bytes are; arrays are copied. NULL with an exception. */
    PyObject *(*decode)(struct sl__state *state, const uint8_t *bytes, size_t size);
    /* Appends the value of an object. -1 with an exception. */
    int (*encode)(struct sl__state *state, struct sl_writer *writer, PyObject *object);
    /* Raises slither.Failure. Always NULL. */
    PyObject *(*fail)(struct sl__state *state, const struct sl_error *error);
};

/* Adds the capsule to the module. -1 with an exception. */
int sl__codec_add(PyObject *module);

/* ---- snapshots: what is read of a store between begin and end is of one version ---------------------------------- */

PyObject *sl__snapshot_begin(PyObject *module, PyObject *unused);
PyObject *sl__snapshot_end(PyObject *module, PyObject *unused);
/* A batch begins; `whole`: it is one snapshot. */
void sl__snapshot_batch_begin(bool whole);
/* It ends, and with it every snapshot and scan that it has left open. */
void sl__snapshot_batch_end(void);

#endif
