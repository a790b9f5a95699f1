/* SPDX-License-Identifier: MIT */
/*
 * slither.view(): functions of the host, called from the user's code (upcall/call.h).
 *
 * Any thread may call, several at once: there is one socket, and what is waited for is a number. One of the threads that wait reads from the
 * socket, without the GIL, and hands each reply to the one that has that number; the others sleep until theirs is there, or until
 * they have to read themselves. The host answers each call, in time, so nobody here looks at a clock. A reply whose number
 * nobody waits for is dropped: its caller was interrupted by an exception that a signal handler raised.
 *
 * A signal wakes the thread that reads, so that Python's handlers run. One that comes right before it sleeps, or while the main thread
 * waits for another that reads, would be missed: so every wait is looked at again after SIGNALS_MS.
 */
#include "module.h"
#include "session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/macros.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "sys/packet.h"
#include "upcall/call.h"
#include "wire/writer.h"

#define BLOCK_SIZE 4096 /* of a request that needs no memory from the heap */
#define NESTING 2       /* lists around the arguments */
#define SIGNALS_MS 200  /* until a signal is noticed at the latest */

struct waiting {
    struct waiting *next;
    uint64_t number;
    bool done;
    struct sl__call_reply head;
    uint8_t *payload; /* on the heap; NULL when it lies in the file */
    int fd;
};

/* By nature once a process, as the life of the worker is. */
static struct {
    int fd;               /* -1: none */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool reading; /* a thread is */
    bool ended;   /* the host has closed its end */
    uint64_t last_number;
    struct waiting *first;
    struct sl__spin spin; /* of the thread that is reading, as is the next */
    uint8_t packet[SL__CALL_PACKET_MAX];
} calls = {.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void sl__calls_open(int fd) {
    calls.fd = fd;
    sl__spin_init(&calls.spin);
    const struct timeval patience = {.tv_usec = SIGNALS_MS * 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* else a signal may be noticed late */
}

void sl__calls_close(void) {
    sl__close(&calls.fd);
}

/* ---- exceptions ---------------------------------------------------------------------------------------------------- */

/* Raises slither.ViewError with its `code` and, when there is one, the `traceback` of the Python code that the view has called. */
static PyObject *raise_view(struct sl__state *state, enum sl_code code, PyObject *text, PyObject *traceback) {
    PyObject *raised = text != NULL ? PyObject_CallFunctionObjArgs(state->view_error, text, NULL) : NULL;
    PyObject *name = raised != NULL ? PyUnicode_FromString(sl_code_name(code)) : NULL;
    if (name != NULL && PyObject_SetAttrString(raised, "code", name) == 0 &&
        (traceback == NULL || PyObject_SetAttrString(raised, "traceback", traceback) == 0)) {
        PyErr_SetObject(state->view_error, raised);
    }
    Py_XDECREF(raised);
    Py_XDECREF(name);
    return NULL;
}

static PyObject *raise_text(struct sl__state *state, enum sl_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    PyObject *text = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    raise_view(state, code, text, NULL);
    Py_XDECREF(text);
    return NULL;
}

static bool usable(struct sl__state *state) {
    const struct sl__life *life = sl__life();
    if (SL_UNLIKELY(life->forked)) {
        raise_text(state, SL_E_UNSUPPORTED,
                   "views cannot be called in a child process that a worker has forked: the host knows only the "
                   "worker; call the view there, and pass the result on");
    } else if (SL_UNLIKELY(!life->serving)) {
        raise_text(state, SL_E_CLOSED,
                   life->lane != NULL || life->template
                       ? "views cannot be called while modules are imported: the worker is not ready yet; call them "
                         "in the function that the host calls"
                       : "views are functions of a host, and this process is not one of its workers");
    } else if (SL_UNLIKELY(calls.fd < 0)) {
        raise_text(state, SL_E_UNSUPPORTED, "the host of this worker offers no views");
    } else {
        return true;
    }
    return false;
}

/* ---- the request --------------------------------------------------------------------------------------------------- */

/* The packet lies right before the end of `room`, so that the payload behind it is aligned. */
struct request {
    struct sl__state *state;
    struct sl__encoder encoder;
    struct sl_writer writer; /* the payload */
    const char *name;
    size_t name_size;
    size_t room; /* bytes before the payload */
    uint8_t *heap;
    _Alignas(8) uint8_t block[BLOCK_SIZE];
};

static size_t prefix_of(const struct request *request) {
    return sizeof(struct sl__call_request) + request->name_size;
}

static bool grow_request(struct sl_writer *writer, size_t needed) {
    struct request *request = SL_CONTAINER_OF(writer, struct request, writer);
    if (needed > SL__CALL_PAYLOAD_MAX) {
        sl__writer_fail(writer, SL_E_LIMIT, "the arguments of a view are larger than 1 GiB");
        return false;
    }
    size_t capacity = SL_MAX(writer->capacity * 2, needed);
    uint8_t *memory = malloc(request->room + capacity);
    if (memory == NULL) {
        sl__writer_fail(writer, SL_E_OUT_OF_MEMORY, "no memory for the arguments of a view");
        return false;
    }
    memcpy(memory + request->room, writer->data, writer->size);
    free(request->heap);
    request->heap = memory;
    writer->data = memory + request->room;
    writer->capacity = capacity;
    return true;
}

static int open_request(struct request *request, struct sl__state *state, PyObject *name) {
    if (!usable(state)) {
        return -1;
    }
    if (!PyUnicode_Check(name)) {
        PyErr_SetString(PyExc_TypeError, "the name of a view must be a str");
        return -1;
    }
    Py_ssize_t size;
    request->name = PyUnicode_AsUTF8AndSize(name, &size);
    if (request->name == NULL) {
        return -1;
    }
    if (size == 0 || size > SL__CALL_NAME_MAX || strlen(request->name) != (size_t)size) {
        PyErr_Format(PyExc_LookupError,
                     "there is no view %R: a view's name has 1 to %d bytes, none of them a zero byte", name,
                     SL__CALL_NAME_MAX);
        return -1;
    }
    request->state = state;
    request->name_size = (size_t)size;
    request->room = (prefix_of(request) + 7) & ~(size_t)7;
    request->heap = NULL;
    sl__writer_init_at(&request->writer, request->block + request->room, sizeof(request->block) - request->room, NULL,
                       grow_request);
    request->encoder = (struct sl__encoder){
        .state = state, .writer = &request->writer, .depth_max = SL_DEPTH_MAX_DEFAULT, .depth = NESTING};
    return 0;
}

static void close_request(struct request *request) {
    sl_writer_finish(&request->writer);
    free(request->heap);
}

/* Without the GIL. A payload that does not fit the packet becomes a file. */
static enum sl_code send_request(struct request *request, struct sl__call_request *head, struct sl_error *error) {
    uint8_t *start = request->writer.data - prefix_of(request);
    size_t size = prefix_of(request);
    int fd = -1;
    enum sl_code code = SL_OK;
    if (size + head->size <= SL__CALL_PACKET_MAX) {
        size += head->size;
    } else {
        head->flags = SL__CALL_IN_FILE;
        code = sl__memory_file_create("slither-call", head->size, &fd, error);
        if (code == SL_OK) {
            code = sl__write_all(fd, request->writer.data, head->size, error);
        }
        if (code == SL_OK) {
            code = sl__memory_file_seal(fd, SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_WRITE | SL__SEAL_SEAL, error);
        }
    }
    memcpy(start, head, sizeof *head);
    memcpy(start + sizeof *head, request->name, request->name_size);
    if (code == SL_OK) {
        code = sl__packet_send(calls.fd, start, size, &fd, fd >= 0 ? 1 : 0, 0, error);
    }
    sl__close(&fd);
    return code;
}

/* ---- the reply ----------------------------------------------------------------------------------------------------- */

/* With the lock held. The packet becomes the reply of whom it is for, or is dropped. */
static void deliver(size_t size, int fd) {
    struct sl__call_reply head;
    struct waiting *waiting = calls.first;
    if (size < sizeof head) {
        sl__close(&fd);
        return;
    }
    memcpy(&head, calls.packet, sizeof head);
    while (waiting != NULL && waiting->number != head.number) {
        waiting = waiting->next;
    }
    if (waiting == NULL || waiting->done) {
        sl__close(&fd);
        return;
    }
    waiting->head = head;
    waiting->fd = fd;
    waiting->done = true;
    if (fd < 0) {
        waiting->head.size = SL_MIN(head.size, size - sizeof head);
        waiting->payload = malloc(SL_MAX(waiting->head.size, (size_t)1));
        if (waiting->payload != NULL) {
            memcpy(waiting->payload, calls.packet + sizeof head, waiting->head.size);
        }
    }
}

/* Without the lock, by the thread that reads. A view is often answered before this process could be put to sleep. */
static enum sl_code receive(size_t *size, int *fd) {
    struct sl__spin_turn turn;
    size_t fd_count;
    if (sl__spin_begin(&calls.spin, &turn)) {
        enum sl_code code = SL_E_AGAIN;
        while (code == SL_E_AGAIN && sl__spin_goes_on(&turn)) {
            code = sl__packet_receive(calls.fd, calls.packet, sizeof calls.packet, size, fd, 1, &fd_count,
                                      SL__PACKET_NOWAIT, NULL);
        }
        sl__spin_end(&calls.spin, code != SL_E_AGAIN);
        if (code != SL_E_AGAIN) {
            return code;
        }
    }
    return sl__packet_receive(calls.fd, calls.packet, sizeof calls.packet, size, fd, 1, &fd_count, SL__PACKET_ONCE,
                              NULL);
}

/* With the lock held. False: not for SIGNALS_MS. */
static bool await_change(void) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SIGNALS_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return pthread_cond_clockwait(&calls.changed, &calls.lock, CLOCK_MONOTONIC, &until) == 0;
}

/* With the lock held, which it lets go meanwhile. False: signals are to be looked at. */
static bool read_replies(struct waiting *waiting) {
    bool interrupted = false;
    while (!waiting->done && !calls.ended && !interrupted) {
        if (calls.reading) {
            interrupted = !await_change();
            continue;
        }
        calls.reading = true;
        pthread_mutex_unlock(&calls.lock);
        size_t size;
        int fd = -1;
        enum sl_code code = receive(&size, &fd);
        pthread_mutex_lock(&calls.lock);
        calls.reading = false;
        if (code == SL_OK) {
            deliver(size, fd);
        } else if (code == SL_E_AGAIN) {
            interrupted = true;
        } else {
            calls.ended = true;
        }
        pthread_cond_broadcast(&calls.changed);
    }
    return waiting->done || calls.ended;
}

static void forget(struct waiting *waiting) {
    struct waiting **at = &calls.first;
    while (*at != waiting) {
        at = &(*at)->next;
    }
    *at = waiting->next;
}

/* Sends the request and waits for its reply. -1 with an exception. */
static int exchange(struct request *request, enum sl__call_mode mode, struct waiting *waiting) {
    struct sl__call_request head = {
        .size = request->writer.size,
        .mode = mode,
        .name_size = (uint32_t)request->name_size,
        .session = sl__session_here(request->state),
    };
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    bool finished = false, ended = false;
    Py_BEGIN_ALLOW_THREADS;
    pthread_mutex_lock(&calls.lock);
    *waiting = (struct waiting){.next = calls.first, .number = ++calls.last_number, .fd = -1};
    calls.first = waiting;
    pthread_mutex_unlock(&calls.lock);
    head.number = waiting->number;
    code = send_request(request, &head, &error);
    pthread_mutex_lock(&calls.lock);
    if (code == SL_OK) {
        finished = read_replies(waiting);
    } else {
        forget(waiting);
    }
    pthread_mutex_unlock(&calls.lock);
    Py_END_ALLOW_THREADS;
    bool raised = false;
    while (code == SL_OK && !finished && !(raised = PyErr_CheckSignals() < 0)) {
        Py_BEGIN_ALLOW_THREADS;
        pthread_mutex_lock(&calls.lock);
        finished = read_replies(waiting);
        pthread_mutex_unlock(&calls.lock);
        Py_END_ALLOW_THREADS;
    }
    if (code == SL_OK) {
        pthread_mutex_lock(&calls.lock); /* nobody holds it for long */
        forget(waiting);
        ended = !waiting->done;
        pthread_mutex_unlock(&calls.lock);
    }
    if (raised) {
        return -1;
    }
    if (code == SL_E_CLOSED || (code == SL_OK && ended)) {
        raise_text(request->state, SL_E_CLOSED, "the host does not answer calls of this worker any more");
    } else if (code != SL_OK) {
        raise_text(request->state, code, "%s", error.message);
    }
    sl_error_finish(&error);
    return PyErr_Occurred() != NULL ? -1 : 0;
}

static PyObject *decode(struct sl__state *state, const uint8_t *bytes, size_t size) {
    struct sl__decoder decoder = {
        .state = state, .start = bytes, .position = bytes, .end = bytes + size, .depth_max = SL_DEPTH_MAX_DEFAULT};
    PyObject *object = sl__decode(&decoder);
    if (object == NULL && decoder.code != SL_OK) {
        PyErr_Clear();
        raise_text(state, decoder.code, "the reply of a view cannot be made an object");
    }
    return object;
}

/* The value of the reply, a new reference. */
static PyObject *take_value(struct sl__state *state, struct waiting *waiting) {
    if (waiting->fd < 0) {
        return waiting->payload != NULL ? decode(state, waiting->payload, waiting->head.size) : PyErr_NoMemory();
    }
    uint32_t seals;
    uint64_t size;
    void *memory = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__memory_file_inspect(waiting->fd, &seals, &size, &error);
    if (code == SL_OK && ((seals & SL__SEAL_SHRINK) == 0 || waiting->head.size == 0 || size < waiting->head.size)) {
        code = sl_error_set(&error, SL_E_PROTOCOL, "the memory file of a view's reply is not what was announced");
    }
    if (code == SL_OK) {
        code = sl__map(waiting->fd, waiting->head.size, SL__MAP_POPULATE, &memory, &error);
    }
    PyObject *object = NULL;
    if (code == SL_OK) {
        object = decode(state, memory, waiting->head.size);
    } else {
        raise_text(state, code, "%s", error.message);
    }
    sl__unmap(memory, waiting->head.size);
    sl_error_finish(&error);
    return object;
}

/* Raises what a reply says that is no result. */
static void raise_outcome(struct sl__state *state, const struct sl__call_reply *head, PyObject *details) {
    PyObject *text = NULL, *traceback = NULL;
    if (PyDict_Check(details)) {
        text = PyDict_GetItemString(details, "message");
        traceback = PyDict_GetItemString(details, "traceback");
    }
    text = text != NULL && PyUnicode_Check(text) ? Py_NewRef(text)
                                                 : PyUnicode_FromString(sl_code_text((enum sl_code)head->code));
    if (text == NULL) {
        return;
    }
    if (head->outcome == SL__CALL_UNKNOWN) {
        PyErr_SetObject(PyExc_LookupError, text);
    } else if (head->outcome == SL__CALL_TIMED_OUT) {
        PyErr_SetObject(state->view_timeout, text);
    } else {
        raise_view(state, (enum sl_code)head->code, text, traceback);
    }
    Py_DECREF(text);
}

/* ---- the call ------------------------------------------------------------------------------------------------------- */

static PyObject *finish_call(struct request *request, enum sl__call_mode mode) {
    struct waiting waiting;
    if (request->writer.code != SL_OK) {
        sl__encode_raise_writer(request->state, &request->writer);
        return NULL;
    }
    PyObject *value = NULL;
    if (exchange(request, mode, &waiting) == 0) {
        value = take_value(request->state, &waiting);
    }
    free(waiting.payload);
    sl__close(&waiting.fd);
    if (value != NULL && waiting.head.outcome != SL__CALL_RESULT) {
        raise_outcome(request->state, &waiting.head, value);
        Py_CLEAR(value);
    }
    return value;
}

static int encode_arguments(struct request *request, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords) {
    struct sl_writer *writer = &request->writer;
    Py_ssize_t keyword_count = keywords != NULL ? PyTuple_Size(keywords) : 0;
    sl__put_list(writer, 2);
    sl__put_list(writer, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (sl__encode(&request->encoder, arguments[i], false) < 0) {
            return -1;
        }
    }
    sl__put_map(writer, (uint32_t)keyword_count);
    for (Py_ssize_t i = 0; i < keyword_count; i++) {
        if (sl__encode(&request->encoder, PyTuple_GetItem(keywords, i), false) < 0 ||
            sl__encode(&request->encoder, arguments[count + i], false) < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *sl__calls_view(PyObject *module, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords) {
    struct request request;
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "view() needs the name of the view as its first argument");
        return NULL;
    }
    if (open_request(&request, sl__state_of(module), arguments[0]) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (encode_arguments(&request, arguments + 1, count - 1, keywords) == 0) {
        result = finish_call(&request, SL__CALL_ONE);
    } else {
        sl__encode_finish_failure(&request.encoder);
    }
    close_request(&request);
    return result;
}

PyObject *sl__calls_view_many(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    struct request request;
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "view_many() takes the name of the view and a list of keys, not %zd arguments",
                     count);
        return NULL;
    }
    if (open_request(&request, sl__state_of(module), arguments[0]) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *keys = PyList_Check(arguments[1]) ? Py_NewRef(arguments[1]) : PySequence_List(arguments[1]);
    request.encoder.depth = 0;
    if (keys != NULL && sl__encode(&request.encoder, keys, false) == 0) {
        result = finish_call(&request, SL__CALL_MANY);
    } else if (keys != NULL) {
        sl__encode_finish_failure(&request.encoder);
    }
    Py_XDECREF(keys);
    close_request(&request);
    return result;
}
