/* SPDX-License-Identifier: MIT */
/*
 * slither._store: what its files share. Reads stores where they lie, in the map that their writer writes.
 *
 *   reader   a store that is open here, for all of its tables; slither/_stores.py keeps one for each path
 *   held     the reading that a snapshot has begun, and that all reads share until it ends
 *
 * Everything here is guarded by the GIL, which is never let go between taking a reading and giving it back but by Python code that runs
 * while keys are encoded or values decoded. That code may read, too, and may end a snapshot: a held reading is looked at anew afterwards.
 */
#ifndef SL_PYTHON_STORE_H
#define SL_PYTHON_STORE_H

#include "codec.h"

#include "store/reader.h"

struct sl__scan_object;

struct sl__reader_object {
    PyObject_HEAD struct sl__store_state *state;
    struct sl__reader *reader; /* NULL: closed */
    PyObject *path;            /* bytes */
    struct sl__reading *held;
    struct sl__scan_object *scans; /* that have not ended */
    struct sl__reader_object *next, *previous;
};

struct sl__table_object {
    PyObject_HEAD struct sl__reader_object *reader; /* NULL: not opened yet */
    const struct sl__table_name *name;              /* of the reader */
};

struct sl__store_state {
    const struct sl__codec *codec;
    PyObject *capsule; /* keeps `codec`, also when slither._native has been taken apart at the end of the interpreter */
    PyObject *native;  /* keeps `codec->state` */
    PyTypeObject *reader_type;
    PyTypeObject *table_type;
    PyTypeObject *scan_type;
    PyTypeObject *watch_type;
    struct sl__reader_object *readers; /* open ones; not owned */
};

struct sl__store_state *sl__store_state_of(PyObject *module);

/* ---- readers (store_module.c) ------------------------------------------------------------------------------------ */

/* Whether the reader, which may be NULL, can be used, or has to be opened anew because the writer has gone. */
bool sl__reader_usable(const struct sl__reader_object *reader);
/* Takes a reading, or the one that a snapshot holds. NULL with an exception. */
struct sl__reading *sl__reader_acquire(struct sl__reader_object *reader, bool *own);
/* Gives it back when it was our own. */
void sl__reader_release(struct sl__reading *reading, bool own);
/* Raises what the error says, and finishes it. Always NULL. */
PyObject *sl__store_raise(const struct sl__store_state *state, struct sl_error *error);

/* ---- tables (store_table.c) -------------------------------------------------------------------------------------- */

int sl__table_type_make(PyObject *module, struct sl__store_state *state);
/* The table's reader, borrowed; opens it, or opens it anew, which runs Python code. NULL with an exception. */
struct sl__reader_object *sl__table_reader(struct sl__table_object *table);

/* ---- scans (store_scan.c) ---------------------------------------------------------------------------------------- */

int sl__scan_type_make(PyObject *module, struct sl__store_state *state);
/* An iterator over pairs of key and value. */
PyObject *sl__scan_make(struct sl__reader_object *reader, const struct sl__table_name *table,
                        const struct sl__key_range *range, bool backward, uint64_t limit);
/* Ends the scans of a reader: all, or those that share its held reading. */
void sl__scans_end(struct sl__reader_object *reader, bool all);

/* ---- watches (store_watch.c) ------------------------------------------------------------------------------------- */

int sl__watch_type_make(PyObject *module, struct sl__store_state *state);
/* Follows what changes from now on. `pending_max`: 1..SL__PENDING_LIMIT. */
PyObject *sl__watch_make(struct sl__table_object *table, const struct sl__key_range *range, uint32_t pending_max);

#endif
