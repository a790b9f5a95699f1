/* SPDX-License-Identifier: MIT */
/* What session.c and session_refs.c share. */
#ifndef SL_PYTHON_SESSION_TABLE_H
#define SL_PYTHON_SESSION_TABLE_H

#include "base/table.h"
#include "session.h"

struct sl__session {
    uint64_t id;
    PyObject *names; /* dict: the namespace, the __dict__ of the face */
    PyObject *hooks; /* list of close hooks */
    PyObject *face;  /* slither._sessions.Session; NULL until it is asked for */
    uint64_t batch_count;
    uint64_t last_object;
    struct sl__table objects;   /* id -> struct object */
    struct sl__table addresses; /* of the Python object -> struct object */
};

struct sl__sessions {
    struct sl__table table;     /* id -> struct sl__session */
    struct sl__session *acting; /* one that hooks run for, outside of a batch; NULL: none */
    /* of the batch that runs */
    struct sl__head head;
    const struct sl__request *request;
    bool running;
    uint64_t due;    /* session to be checkpointed after the batch; 0: none */
    uint64_t *added; /* objects, for each ref that this batch has added */
    size_t added_count, added_capacity;
    PyObject *at_end; /* to be called when the batch ends; NULL: nothing */
    /* of the worker */
    unsigned long main_thread;
    uint64_t checkpoint_every; /* batches; 0: only when the worker stops */
    bool checkpoints;          /* there are checkpoint hooks */
    bool closes_all;           /* there are close hooks for every session */
    PyObject *variable_get;    /* get() of the context variable that binds code to a session; NULL: nothing is bound */
};

struct sl__session *sl__session_find(const struct sl__sessions *sessions, uint64_t id);
/* The one that is there, or a new one. NULL with an exception. */
struct sl__session *sl__session_make(struct sl__sessions *sessions, uint64_t id);
/* A new reference; NULL with an exception. */
PyObject *sl__session_face(struct sl__session *session);
void sl__session_free(struct sl__session *session);
/* Lets go of all objects. */
void sl__session_objects_free(struct sl__session *session);

#endif
