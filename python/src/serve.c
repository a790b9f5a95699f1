/* SPDX-License-Identifier: MIT */
/*
 * The serve loop: take a request, decode, call, check, encode into the lane, commit. Everything that is the same for each batch
 * happens here; what is rare (finding a function, describing an exception) is Python's, in slither/_functions.py and _errors.py.
 *
 * All references to what the request's memory holds are dropped before the reply is committed, because the commit tells the host
 * whether somebody still looks at that memory (SL__REPLY_KEPT).
 */
#include "codec.h"
#include "module.h"
#include "session.h"

#include "base/macros.h"
#include "wire/batch.h"
#include "wire/token.h"

/* Exceptions that live on in reference cycles may hold files that nobody wants any more. The collector does not know how
 * much memory hangs on them: it is called once this much has been kept since the last time. */
#define KEPT_BYTES_COLLECT ((uint64_t)256 << 20)

struct server {
    struct sl__state *state;
    struct sl__lane *lane;
    PyObject *resolve;   /* str -> callable; raises slither.Failure */
    PyObject *describe;  /* exception, item index or None -> (name of the code, dict, line) */
    PyObject *functions; /* bytes of the name -> callable */
    PyObject *last_name; /* bytes of the name that was called last, or NULL */
    PyObject *last_function;
    uint64_t kept_bytes;
};

/* One batch on its way. */
struct batch {
    struct server *server;
    struct sl__request request;
    struct sl__decoder decoder;
    struct sl__encoder encoder;
    struct sl_writer writer; /* over the lane's response memory */
    PyObject *name;          /* bytes; NULL until it is known */
    PyObject *function;
    size_t refs_begin;         /* refs that were added before the entry that is being written */
    const uint8_t *item_start; /* of the item that was decoded last */
    int64_t item;              /* the one that a failure is about, or -1 */
};

/* ---- reply memory -------------------------------------------------------------------------------------------- */

static bool grow_reply(struct sl_writer *writer, size_t needed) {
    struct batch *batch = SL_CONTAINER_OF(writer, struct batch, writer);
    enum sl_code code =
        sl__lane_reply_grow(batch->server->lane, writer->size, needed, &writer->data, &writer->capacity, NULL);
    if (code == SL_OK) {
        return true;
    }
    sl__writer_fail(writer, code,
                    code == SL_E_LIMIT ? "the results of the batch are larger than payload_bytes_max of the pool; "
                                         "return less, or use smaller batches"
                                       : "no memory file could be had for the results of the batch");
    return false;
}

/* Takes back what was written from `size` on, and a failure with it. No exception may be set. */
static void cut_reply(struct batch *batch, size_t size) {
    sl__session_refs_cut(batch->server->state, batch->refs_begin);
    batch->writer.size = size;
    batch->writer.code = SL_OK;
    batch->writer.what = NULL;
    batch->encoder.depth = 0;
    Py_CLEAR(batch->encoder.place);
}

/* ---- failures ------------------------------------------------------------------------------------------------ */

/* The exception that is set, as an instance with its traceback; the error indicator is clear afterwards. */
static PyObject *take_exception(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL && value != NULL) {
        (void)PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Describing an exception has failed with another one, most likely for lack of memory: it goes to stderr. The code of the reply. */
static enum sl_code report_lost(void) {
    enum sl_code code = PyErr_ExceptionMatches(PyExc_MemoryError) ? SL_E_OUT_OF_MEMORY : SL_E_PYTHON;
    PyErr_WriteUnraisable(NULL);
    return code;
}

/*
 * What the exception that is set is for the host: its code, a dict, and as `*line` (may be NULL) a str. NULL when that
 * fails too; nothing is raised then.
 */
static PyObject *describe_failure(struct batch *batch, enum sl_code *code, PyObject **line) {
    struct server *server = batch->server;
    PyObject *exception = take_exception();
    PyObject *item = batch->item >= 0 ? PyLong_FromLongLong(batch->item) : (Py_INCREF(Py_None), Py_None);
    PyObject *answer = NULL;
    if (exception != NULL && item != NULL) {
        answer = PyObject_CallFunctionObjArgs(server->describe, exception, item, NULL);
    }
    Py_XDECREF(exception);
    Py_XDECREF(item);
    const char *code_name;
    PyObject *details = NULL, *text;
    if (answer != NULL && PyArg_ParseTuple(answer, "sOU", &code_name, &details, &text)) {
        int number = sl_code_from_name(code_name);
        *code = number > 0 ? (enum sl_code)number : SL_E_PYTHON;
        Py_INCREF(details);
        if (line != NULL) {
            *line = Py_NewRef(text);
        }
    } else {
        details = NULL;
    }
    Py_XDECREF(answer);
    if (SL_UNLIKELY(details == NULL)) {
        *code = report_lost();
    }
    return details;
}

/* What is said where even describing has failed. */
static const char undescribed[] =
    "the function raised, and what it raised could not be described; the log of the worker says why";

static void write_bare_failure(struct sl_writer *writer) {
    static const char type[] = "BaseException";
    sl__put_map(writer, 4);
    sl__put_str(writer, "message", 7);
    sl__put_str(writer, undescribed, sizeof(undescribed) - 1);
    sl__put_str(writer, "type", 4);
    sl__put_str(writer, type, sizeof(type) - 1);
    sl__put_str(writer, "traceback", 9);
    sl__put_str(writer, "", 0);
    sl__put_str(writer, "item", 4);
    sl__put_nil(writer);
}

/* Makes the whole reply an error from the exception that is set. */
static enum sl_code write_failure(struct batch *batch) {
    enum sl_code code;
    if (batch->encoder.place != NULL) {
        sl__encode_finish_failure(&batch->encoder);
    }
    PyObject *details = describe_failure(batch, &code, NULL);
    batch->encoder.refs = false; /* a name in an error would be nobody's to give back */
    batch->refs_begin = 0;
    cut_reply(batch, 0);
    if (details == NULL || sl__encode(&batch->encoder, details, false) < 0) {
        if (PyErr_Occurred()) {
            code = report_lost();
        }
        cut_reply(batch, 0);
        write_bare_failure(&batch->writer);
    }
    Py_XDECREF(details);
    return code;
}

/* Makes one entry of the reply an error mark from the exception that is set. -1 with an exception when even that does not fit. */
static int write_item_failure(struct batch *batch, size_t begin) {
    enum sl_code code;
    PyObject *line = NULL, *mark = NULL;
    if (batch->encoder.place != NULL) {
        sl__encode_finish_failure(&batch->encoder);
    }
    PyObject *details = describe_failure(batch, &code, &line);
    cut_reply(batch, begin);
    if (details == NULL) {
        size_t mark_begin = sl__put_mark_begin(&batch->writer, SL_MARK_ERROR, undescribed, sizeof(undescribed) - 1);
        sl__put_mark_end(&batch->writer, mark_begin);
        return batch->writer.code == SL_OK ? 0 : sl__encode_raise_writer(batch->server->state, &batch->writer);
    }
    mark = sl__mark_make(batch->server->state, SL_MARK_ERROR, line, details);
    int status = mark != NULL ? sl__encode(&batch->encoder, mark, true) : -1;
    Py_XDECREF(mark);
    Py_XDECREF(line);
    Py_XDECREF(details);
    return status;
}

/* The exception that is set costs the item `index` alone. -1, with an exception, when it has to cost the batch. */
static int settle_item(struct batch *batch, uint32_t index, size_t begin) {
    batch->item = index;
    if (sl__life()->forked || batch->writer.code == SL_E_LIMIT || write_item_failure(batch, begin) < 0) {
        return -1;
    }
    batch->item = -1;
    return 0;
}

/* ---- the function -------------------------------------------------------------------------------------------- */

/* Finds the function that the head of the request names. -1 with an exception. */
static int find_function(struct batch *batch, const char *name, size_t name_size) {
    struct server *server = batch->server;
    if (server->last_name != NULL && (size_t)PyBytes_Size(server->last_name) == name_size &&
        memcmp(PyBytes_AsString(server->last_name), name, name_size) == 0) {
        batch->name = Py_NewRef(server->last_name);
        batch->function = Py_NewRef(server->last_function);
        return 0;
    }
    batch->name = PyBytes_FromStringAndSize(name, (Py_ssize_t)name_size);
    if (batch->name == NULL) {
        return -1;
    }
    PyObject *function = PyDict_GetItemWithError(server->functions, batch->name);
    if (function != NULL) {
        batch->function = Py_NewRef(function);
    } else {
        if (PyErr_Occurred()) {
            return -1;
        }
        PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)name_size, NULL);
        if (text == NULL) {
            return -1;
        }
        batch->function = PyObject_CallFunctionObjArgs(server->resolve, text, NULL);
        Py_DECREF(text);
        if (batch->function == NULL || PyDict_SetItem(server->functions, batch->name, batch->function) < 0) {
            return -1;
        }
    }
    Py_XDECREF(server->last_name);
    Py_XDECREF(server->last_function);
    server->last_name = Py_NewRef(batch->name);
    server->last_function = Py_NewRef(batch->function);
    return 0;
}

/* A forked child of the worker must never answer in its parent's place: it ends where the user's function lets go of it. */
static PyObject *call(struct batch *batch, PyObject *argument) {
    PyObject *result = PyObject_CallFunctionObjArgs(batch->function, argument, NULL);
    if (SL_UNLIKELY(sl__life()->forked)) {
        Py_XDECREF(result);
        PyErr_Clear();
        PyErr_SetNone(PyExc_SystemExit);
        return NULL;
    }
    return result;
}

/* ---- items --------------------------------------------------------------------------------------------------- */

/* The next item of the request. NULL with an exception that names it by batch->item. */
static PyObject *next_item(struct batch *batch, uint32_t index) {
    struct sl__decoder *decoder = &batch->decoder;
    size_t offset = sl__batch_pad((size_t)(decoder->position - decoder->start));
    decoder->position = decoder->start + SL_MIN(offset, batch->request.size);
    decoder->depth = 0;
    batch->item_start = decoder->position;
    PyObject *item = sl__decode(decoder);
    if (SL_LIKELY(item != NULL)) {
        return item;
    }
    batch->item = index;
    if (decoder->code != SL_OK) {
        PyObject *cause = take_exception();
        if (cause != NULL) {
            sl__raise(batch->server->state, decoder->code, "item %u of the request cannot be made an object: %S", index,
                      cause);
        }
        Py_XDECREF(cause);
        decoder->code = SL_OK;
    }
    return NULL;
}

/* Moves past the item that could not be made an object. False when its bytes do not even say where it ends. */
static bool skip_item(struct batch *batch) {
    batch->decoder.position = batch->item_start;
    return sl__value_skip(&batch->decoder.position, batch->decoder.end);
}

static PyObject *decode_items(struct batch *batch) {
    uint32_t count = batch->request.item_count;
    if (count > batch->request.size) {
        return sl__raise(batch->server->state, SL_E_PROTOCOL, "a request of %zu bytes claims to have %u items",
                         batch->request.size, count);
    }
    PyObject *items = PyList_New((Py_ssize_t)count);
    if (items == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *item = next_item(batch, i);
        if (item == NULL) {
            Py_DECREF(items);
            return NULL;
        }
        PyList_SetItem(items, (Py_ssize_t)i, item); /* cannot fail: a new list of that size */
    }
    return items;
}

/* ---- the two kinds of request -------------------------------------------------------------------------------- */

static int check_results(struct batch *batch, PyObject *results) {
    uint32_t count = batch->request.item_count;
    bool is_list = PyList_Check(results);
    if (SL_LIKELY(is_list || PyTuple_Check(results))) {
        Py_ssize_t size = is_list ? PyList_Size(results) : PyTuple_Size(results);
        if (SL_LIKELY(size == (Py_ssize_t)count)) {
            return 0;
        }
    }
    PyObject *explain = PyImport_ImportModule("slither._explain");
    PyObject *text =
        explain != NULL ? PyObject_CallMethod(explain, "bad_result", "OI", results, (unsigned int)count) : NULL;
    if (text != NULL) {
        sl__raise(batch->server->state, SL_E_BAD_RESULT, "%U", text);
    }
    Py_XDECREF(explain);
    Py_XDECREF(text);
    return -1;
}

static int encode_results(struct batch *batch, PyObject *results) {
    uint32_t count = batch->request.item_count;
    bool is_list = PyList_Check(results);
    for (uint32_t i = 0; i < count; i++) {
        PyObject *entry = is_list ? PyList_GetItem(results, (Py_ssize_t)i) : PyTuple_GetItem(results, (Py_ssize_t)i);
        if (SL_UNLIKELY(entry == NULL)) {
            PyErr_Clear();
            sl__raise(batch->server->state, SL_E_BAD_RESULT, "the list of results became shorter while it was read");
            return -1;
        }
        size_t begin = batch->writer.size;
        batch->refs_begin = sl__session_refs_mark(batch->server->state);
        Py_INCREF(entry);
        int status = sl__encode(&batch->encoder, entry, true);
        Py_DECREF(entry);
        if (SL_UNLIKELY(status < 0)) {
            /* What cannot travel is this item's fault; a shortage of memory is nobody's. */
            if (!PyErr_ExceptionMatches(batch->server->state->not_serializable) || settle_item(batch, i, begin) < 0) {
                return -1;
            }
        }
        sl__put_filler(&batch->writer);
    }
    return batch->writer.code == SL_OK ? 0 : sl__encode_raise_writer(batch->server->state, &batch->writer);
}

static int run_batch(struct batch *batch) {
    PyObject *items = decode_items(batch);
    if (items == NULL) {
        return -1;
    }
    PyObject *results = call(batch, items);
    Py_DECREF(items);
    if (results == NULL) {
        return -1;
    }
    int status = check_results(batch, results);
    if (status == 0) {
        status = encode_results(batch, results);
    }
    Py_DECREF(results);
    return status;
}

static int run_each(struct batch *batch) {
    for (uint32_t i = 0; i < batch->request.item_count; i++) {
        size_t begin = batch->writer.size;
        batch->refs_begin = sl__session_refs_mark(batch->server->state);
        PyObject *item = next_item(batch, i);
        if (SL_UNLIKELY(item == NULL) && !skip_item(batch)) {
            return -1;
        }
        PyObject *result = item != NULL ? call(batch, item) : NULL;
        Py_XDECREF(item);
        int status = result != NULL ? sl__encode(&batch->encoder, result, true) : -1;
        Py_XDECREF(result);
        if (SL_UNLIKELY(status < 0) && settle_item(batch, i, begin) < 0) {
            return -1;
        }
        sl__put_filler(&batch->writer);
    }
    return batch->writer.code == SL_OK ? 0 : sl__encode_raise_writer(batch->server->state, &batch->writer);
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

static PyObject *raise_lane(struct server *server, struct sl_error *error) {
    sl__raise(server->state, error->code, "%s", error->message);
    sl_error_finish(error);
    return NULL;
}

static void note_kept(struct server *server, const struct sl__request *request) {
    if (request->mapping == NULL || atomic_load(&request->mapping->refs) <= 1) {
        return;
    }
    server->kept_bytes += request->mapping->size;
    if (server->kept_bytes >= KEPT_BYTES_COLLECT) {
        server->kept_bytes = 0;
        (void)PyGC_Collect();
    }
}

/* Opens the batch, finds its function, and begins to work for its session. -1 with an exception. */
static int begin_batch(struct batch *batch) {
    struct sl__state *state = batch->server->state;
    const struct sl__head *head = sl__session_batch_open(state, &batch->request);
    if (SL_UNLIKELY(head == NULL)) {
        return -1;
    }
    sl__snapshot_batch_begin(head->snapshot);
    if (SL_UNLIKELY(find_function(batch, (const char *)head->name, head->name_size) < 0)) {
        return -1;
    }
    return sl__session_batch_begin(state);
}

/* In a forked child of the worker, which the code of hooks may have made too: -1 with SystemExit; else the status. */
static int leave_forked(int status) {
    if (SL_LIKELY(!sl__life()->forked)) {
        return status;
    }
    PyErr_Clear();
    PyErr_SetNone(PyExc_SystemExit);
    return -1;
}

/* Runs the request that was taken and commits its reply. -1 with an exception when the lane is of no more use, or this is a
 * forked child. */
static int run_request(struct server *server, const struct sl__request *request) {
    struct sl_error error = SL_ERROR_INIT;
    uint8_t *memory;
    size_t capacity;
    if (sl__lane_reply_open(server->lane, &memory, &capacity, &error) != SL_OK) {
        return raise_lane(server, &error) == NULL ? -1 : 0;
    }
    struct batch batch = {.server = server, .request = *request, .item = -1};
    uint32_t depth_max = sl__life()->depth_max;
    struct sl_limits limits = SL_LIMITS_INIT;
    limits.depth_max = depth_max;
    sl__writer_init_at(&batch.writer, memory, capacity, &limits, grow_reply);
    batch.encoder = (struct sl__encoder){.state = server->state, .writer = &batch.writer, .depth_max = depth_max};
    batch.decoder = (struct sl__decoder){
        .state = server->state,
        .start = request->data,
        .position = request->data + SL_MIN((size_t)request->head_size, request->size),
        .end = request->data + request->size,
        .depth_max = depth_max,
        .mapping = request->mapping,
        .lane = server->lane,
        .refs = true,
    };
    int status = begin_batch(&batch);
    batch.encoder.refs = sl__session_refs(server->state);
    if (status == 0) {
        status = request->kind == SL__REQUEST_EACH ? run_each(&batch) : run_batch(&batch);
    }
    sl__snapshot_batch_end();
    if (SL_UNLIKELY(sl__life()->forked)) {
        PyErr_Clear();
        PyErr_SetNone(PyExc_SystemExit);
    } else {
        enum sl_code code = SL_OK;
        if (SL_UNLIKELY(status < 0)) {
            code = write_failure(&batch);
        }
        note_kept(server, request);
        uint32_t flags = sl__session_batch_end(server->state);
        uint32_t count = code == SL_OK ? request->item_count : 0;
        status = 0;
        if (sl__life()->forked) {
            PyErr_SetNone(PyExc_SystemExit);
        } else if (sl__lane_reply_commit(server->lane, code, count, batch.writer.size, flags, &error) != SL_OK) {
            raise_lane(server, &error);
            status = -1;
        }
    }
    Py_XDECREF(batch.name);
    Py_XDECREF(batch.function);
    Py_XDECREF(batch.encoder.place);
    sl_writer_finish(&batch.writer);
    if (status == 0 && !sl__life()->forked) {
        sl__session_batch_after(server->state);
    }
    return leave_forked(status);
}

/*
 * Handlers that the user's code has set; what they raise has nobody to go to between two batches. A signal that comes in the
 * short time between this and falling asleep is handled with the next batch.
 */
static void run_signal_handlers(void) {
    if (SL_UNLIKELY(PyErr_CheckSignals() < 0)) {
        PyErr_WriteUnraisable(NULL);
    }
}

static int serve(struct server *server) {
    struct sl__life *life = sl__life();
    sl__sessions_start(server->state);
    while (atomic_load_explicit(&life->stop, memory_order_acquire) == 0) {
        if (SL_UNLIKELY(atomic_load_explicit(&life->drops_pending, memory_order_acquire) != 0)) {
            sl__drops_run(server->state, false);
            if (leave_forked(0) < 0) {
                return -1;
            }
        }
        struct sl__request request;
        struct sl_error error = SL_ERROR_INIT;
        enum sl_code code = sl__lane_take(server->lane, &request, &error);
        if (code == SL_OK) {
            atomic_store_explicit(&life->batch_number, request.sequence, memory_order_relaxed);
            if (run_request(server, &request) < 0) {
                return -1;
            }
        } else if (code == SL_E_AGAIN && atomic_load_explicit(&life->drops_pending, memory_order_acquire) != 0) {
            continue;
        } else if (code == SL_E_AGAIN) {
            run_signal_handlers();
            Py_BEGIN_ALLOW_THREADS;
            atomic_store_explicit(&life->idle, 1, memory_order_relaxed);
            sl__lane_wait_request(server->lane, &life->stop);
            atomic_store_explicit(&life->idle, 0, memory_order_relaxed);
            Py_END_ALLOW_THREADS;
            run_signal_handlers();
        } else {
            raise_lane(server, &error);
            return -1;
        }
    }
    while (atomic_load_explicit(&life->drops_pending, memory_order_acquire) != 0 && !life->forked) {
        sl__drops_run(server->state, true); /* what has ended is not to be checkpointed */
    }
    sl__sessions_stop(server->state);
    return leave_forked(0);
}

PyObject *sl__worker_serve(PyObject *module, PyObject *arguments) {
    struct server server = {.state = sl__state_of(module), .lane = sl__life()->lane};
    if (!PyArg_ParseTuple(arguments, "OO:serve", &server.resolve, &server.describe)) {
        return NULL;
    }
    if (server.lane == NULL) {
        return sl__raise(server.state, SL_E_INVALID_ARGUMENT,
                         "not in a worker: batches come from a host, which starts its workers itself");
    }
    server.functions = PyDict_New();
    if (server.functions == NULL) {
        return NULL;
    }
    sl__life()->serving = true;
    int status = serve(&server);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_XDECREF(server.functions);
    Py_XDECREF(server.last_name);
    Py_XDECREF(server.last_function);
    PyErr_Restore(type, value, traceback);
    if (status < 0) {
        return NULL;
    }
    Py_INCREF(Py_None);
    return Py_None;
}
