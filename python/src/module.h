/* SPDX-License-Identifier: MIT */
/*
 * slither._native: what its files share.
 *
 * VOCABULARY
 *   state   what one module object owns: types, exception, caches. There is no static Python object anywhere, so that each
 *           interpreter has its own; only the life-cycle of the worker process (life.h) is per process, by nature.
 *   place   where in a result something is that cannot travel, as Python would write it: [3]["price"].
 *   in place  an array whose elements stay in the memory file that the host wrote; the Array holds the file.
 *
 * The extension uses the stable ABI of CPython 3.11, hence runs under every later one.
 */
#ifndef SL_PYTHON_MODULE_H
#define SL_PYTHON_MODULE_H

#ifndef Py_LIMITED_API
#error "build with -DPy_LIMITED_API=0x030B0000: one binary serves every CPython from 3.11 on"
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/types.h>

#include <slither/death.h>
#include <slither/value.h>

#include "base/redact.h"
#include "lane/lane.h"

/* Names of keyword arguments: constant here, which the older prototypes of CPython cannot say. */
#define SL__KEYWORDS(names) ((char **)(uintptr_t)(names))

/* ---- keys -------------------------------------------------------------------------------------------------- */

#define SL__KEY_SLOTS 1024  /* str objects of map keys kept; a power of two */
#define SL__KEY_SIZE_MAX 32 /* bytes of the longest key that is kept */

/* Maps repeat their keys: the str object of a key, with its hash already in it, is kept and found by its bytes. */
struct sl__key_cache {
    struct sl__key {
        PyObject *text; /* NULL: the slot is free */
        uint16_t size;
        uint16_t hits;
        uint8_t bytes[SL__KEY_SIZE_MAX]; /* zeros after `size` */
    } slots[SL__KEY_SLOTS];
};

/* The str of the key, a new reference; NULL with an exception when it is not UTF-8 or memory runs out. `readable`: bytes from
 * `bytes` on that may be read, at least `size`. */
PyObject *sl__key_cache_get(struct sl__key_cache *cache, const uint8_t *bytes, size_t size, size_t readable);
int sl__key_cache_traverse(struct sl__key_cache *cache, visitproc visit, void *arg);
void sl__key_cache_clear(struct sl__key_cache *cache);

/* ---- module state ------------------------------------------------------------------------------------------ */

struct sl__state {
    PyTypeObject *array_type;
    PyTypeObject *mark_type;
    PyTypeObject *ref_type;
    PyObject *not_serializable; /* exception class slither.NotSerializable */
    PyObject *failure;          /* exception class slither.Failure: has a code besides its text */
    PyObject *view_error;       /* exception class slither.ViewError */
    PyObject *view_timeout;     /* exception class slither.ViewTimeout */
    PyObject *datetime_type;    /* these three are NULL until the first timestamp */
    PyObject *timedelta_type;
    PyObject *epoch;
    PyObject *numpy_generic; /* NULL until an object is met that may be a numpy scalar, and numpy is loaded */
    struct sl__key_cache *keys;
    struct sl__sessions *sessions; /* session.h */
};

struct sl__state *sl__state_of(PyObject *module);
/* Imports datetime once. -1 with an exception. */
int sl__state_load_datetime(struct sl__state *state);

/* Raises slither.Failure with the name of the code as its attribute `code`; PyErr_Format's format. Always NULL. */
PyObject *sl__raise(struct sl__state *state, enum sl_code code, const char *format, ...);

/* ---- arrays ------------------------------------------------------------------------------------------------ */

int sl__array_type_make(PyObject *module, struct sl__state *state);
/* slither.Array over elements: in place when `mapping` is not NULL (a reference is taken), else copied. The shape was checked. */
PyObject *sl__array_make(struct sl__state *state, const struct sl_array *array, struct sl__mapping *mapping);
/* What a slither.Array holds; valid as long as the object. */
void sl__array_look(PyObject *array, struct sl_array *out);
/* The element type of a buffer format as of the struct module; 0 when there is none. `*swapped`: it is big endian. */
enum sl_dtype sl__dtype_of_format(const char *format, Py_ssize_t item_size, bool *swapped);
/* One element as a Python number. */
PyObject *sl__array_element(enum sl_dtype dtype, const void *element);

/* ---- marks and refs ---------------------------------------------------------------------------------------- */

struct sl__mark_object {
    PyObject_HEAD enum sl_mark_kind kind;
    PyObject *text;    /* str */
    PyObject *payload; /* any; None without one */
};

struct sl__ref_object {
    PyObject_HEAD struct sl_ref ref; /* without the texts */
    PyObject *type_name;             /* str */
    PyObject *repr;                  /* str: its beginning */
};

int sl__mark_types_make(PyObject *module, struct sl__state *state);
/* Steals nothing. `payload` NULL: None. */
PyObject *sl__mark_make(struct sl__state *state, enum sl_mark_kind kind, PyObject *text, PyObject *payload);
PyObject *sl__ref_make(struct sl__state *state, const struct sl_ref *ref);

/* ---- codec ------------------------------------------------------------------------------------------------- */

struct sl__decoder {
    struct sl__state *state;
    const uint8_t *start; /* what offsets in messages count from */
    const uint8_t *position;
    const uint8_t *end;
    uint32_t depth_max;
    uint32_t depth;
    struct sl__mapping *mapping; /* the bytes lie in this file: arrays are seen in place. NULL: they are copied */
    struct sl__lane *lane;       /* knows the shared buffers; may be NULL */
    bool refs; /* refs become the objects that they name (session.h), or the value is refused; else slither.Ref */
    enum sl_code code; /* of a failure that is not Python's own; SL_OK otherwise */
};
/* The value at the position, which moves past it. NULL with an exception (ValueError when the bytes are at fault). */
PyObject *sl__decode(struct sl__decoder *decoder);

struct sl_writer;
struct sl__encoder {
    struct sl__state *state;
    struct sl_writer *writer;
    uint32_t depth_max;
    uint32_t depth;
    PyObject *place; /* list of the steps from the inside out, made while a failure unwinds; NULL without one */
    bool refs;       /* what cannot travel becomes a ref of the current session (session.h) */
    bool too_deep;   /* refs: that is what unwinds */
};
/*
 * Appends the value of an object to the writer. -1 with an exception: slither.NotSerializable, whose text has the place, or
 * MemoryError; with refs instead of the former slither.Failure, when the session may hold no more. What was appended is then to be cut off. `mark_allowed`: the object may be a mark.
 */
int sl__encode(struct sl__encoder *encoder, PyObject *object, bool mark_allowed);
/*
 * After a failure: puts the place before the text of a slither.NotSerializable, when there is one, and releases it. */
void sl__encode_finish_failure(struct sl__encoder *encoder);
/* Raises what the writer says that went wrong. Always -1. */
int sl__encode_raise_writer(struct sl__state *state, const struct sl_writer *writer);

/* ---- worker ------------------------------------------------------------------------------------------------ */

/* What this process is when it is a worker: by nature once a process, so it is not part of the module's state. */
struct sl__life {
    struct sl__lane *lane; /* NULL: not a worker, or not connected yet */
    _Atomic uint32_t stop; /* the host has asked to stop */
    _Atomic uint32_t idle; /* the main thread waits for a batch; this and the next are for the watcher to see */
    _Atomic uint64_t batch_number;
    _Atomic uint32_t drops_pending; /* the host has said what nobody needs any more: drops.c has it */
    uint32_t worker;                /* index of this worker, and which start of it this is */
    uint32_t generation;
    uint32_t depth_max;
    bool serving;            /* it is ready for batches, and so for calls of views */
    bool forked;             /* this is a forked child of a worker */
    bool template;           /* this is a template */
    uint32_t snapshot_depth; /* above 0: what is read of a store is of the version that was read first */
    /* Set by slither._store when it is loaded: ends what snapshots hold and, `scans_too`, all scans. */
    void (*readings_end)(void *context, bool scans_too);
    void *readings_context;
};
struct sl__life *sl__life(void);

/* redact.c: what no text of this process says to its host. The usual, until the host has said what. */
struct sl__redact *sl__redactor(void);
/* Takes the list of the host's first message, if it has one. False: it is no such list. */
bool sl__redactor_take(struct sl_value message);
PyObject *sl__redact(PyObject *module, PyObject *arguments);
/*
 * A pidfd of the host: the process that made the socket pair, whoever is our parent. -1 when there is none to be had. Ends this process
 * when the host has ended.
 */
int sl__host_open(void);

/* ask.c: what the host wants to know of a worker. */
/* Makes the interpreter write stacks into a black box; takes over the descriptor. From then on sl__ask_answer may be called. Main thread. */
void sl__box_install(int fd);
/* In a forked child: what it has to say goes to its stderr. */
void sl__box_leave(void);
/* Finds out what the main thread does, and sends it. `stack_ms`: for how long its stack may be waited for; 0: it is not wanted. Any other thread. */
void sl__ask_answer(uint64_t number, uint64_t stack_ms);
/* Two signals that few programs take; see docs/supervision.md. */
#define SL__STACK_SIGNAL (SIGRTMAX - 6)
#define SL__NUDGE_SIGNAL (SIGRTMAX - 5)

/* ---- calls of views ---------------------------------------------------------------------------------------- */

/* The call socket of this worker, which is taken over. */
void sl__calls_open(int fd);
/* In a forked child: it has none. */
void sl__calls_close(void);

/* ---- functions of the module ------------------------------------------------------------------------------- */

PyObject *sl__calls_view(PyObject *module, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords);
PyObject *sl__calls_view_many(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *sl__worker_connect(PyObject *module, PyObject *unused);
PyObject *sl__worker_send(PyObject *module, PyObject *message);
PyObject *sl__worker_forked(PyObject *module, PyObject *unused);
PyObject *sl__worker_is_forked(PyObject *module, PyObject *unused);
PyObject *sl__worker_serve(PyObject *module, PyObject *arguments);
PyObject *sl__session_module_batch(PyObject *module, PyObject *unused);
PyObject *sl__session_module_here(PyObject *module, PyObject *unused);
PyObject *sl__session_module_count(PyObject *module, PyObject *unused);
PyObject *sl__session_module_get(PyObject *module, PyObject *unused);
PyObject *sl__session_module_set(PyObject *module, PyObject *arguments, PyObject *keywords);

/* ---- template ---------------------------------------------------------------------------------------------- */

#define SL__GUARD_CHILDREN_MAX 4096 /* workers that one template has at once; far more than a pool has lanes */

/* The children of a template (guard.c). `pids` are those of workers, which alone are reported. */
struct sl__guard {
    int signals; /* a signalfd: readable when a child has ended */
    pid_t *pids;
    size_t count, capacity;
};
/* How a worker ended. Called once for each, after it has been reaped. */
typedef void sl__guard_ended_fn(void *context, pid_t pid, int status, int signal_number, bool core);

/* Makes this process the subreaper of all that descends from it. 0, or an errno. */
int sl__guard_adopt(void);
/* And SIGCHLD a descriptor. 0, or an errno. */
int sl__guard_init(struct sl__guard *guard);
/* Room for one more; false: too many, or no memory. */
bool sl__guard_reserve(struct sl__guard *guard);
void sl__guard_add(struct sl__guard *guard, pid_t pid);
/* Reaps every child that has ended. What is left of a worker's group is killed first. */
void sl__guard_reap(struct sl__guard *guard, sl__guard_ended_fn *ended, void *context);
/* In a forked child: it guards nobody, and its signals are as they were before sl__guard_init. */
void sl__guard_leave(struct sl__guard *guard);
/*
 * Kills all that descends from this process, and ends it. Takes at most a few seconds, usually some milliseconds. `guard` may be NULL, before
 * sl__guard_init; any thread.
 */
void sl__guard_end(const struct sl__guard *guard) __attribute__((noreturn));

PyObject *sl__template_prepare(PyObject *module, PyObject *unused);
PyObject *sl__template_settle(PyObject *module, PyObject *unused);
PyObject *sl__template_rehearse(PyObject *module, PyObject *unused);
PyObject *sl__template_resume(PyObject *module, PyObject *unused);
PyObject *sl__template_replace(PyObject *module, PyObject *arguments);
PyObject *sl__template_serve(PyObject *module, PyObject *argv);

#endif
