/* SPDX-License-Identifier: MIT */
/* Values to Python objects, straight from where they lie. What is wrong with the bytes is raised as ValueError with its offset. */
#include "module.h"
#include "session.h"

#include "base/macros.h"
#include "wire/ext.h"
#include "wire/token.h"

static PyObject *fail(struct sl__decoder *decoder, enum sl_code code, const uint8_t *at, const char *what) {
    decoder->code = code;
    return PyErr_Format(PyExc_ValueError, "byte %zd: %s", (Py_ssize_t)(at - decoder->start), what);
}

static PyObject *decode_text(struct sl__decoder *decoder, const char *text, size_t size) {
    PyObject *object = PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, NULL);
    if (SL_UNLIKELY(object == NULL) && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return fail(decoder, SL_E_INVALID_UTF8, (const uint8_t *)text, "a str is not valid UTF-8");
    }
    return object;
}

static PyObject *decode_timestamp(struct sl__decoder *decoder, const struct sl__token *token) {
    struct sl_timestamp stamp;
    const char *what = NULL;
    enum sl_code code = sl__ext_read_timestamp(token->payload, token->size, &stamp, &what);
    if (code != SL_OK) {
        return fail(decoder, code, token->payload, what);
    }
    struct sl__state *state = decoder->state;
    if (sl__state_load_datetime(state) < 0) {
        return NULL;
    }
    /* epoch + timedelta(0, seconds, microseconds): exact, and without the range of the platform's gmtime. */
    PyObject *delta = PyObject_CallFunction(state->timedelta_type, "iLl", 0, (long long)stamp.seconds,
                                            (long)(stamp.nanoseconds / 1000));
    PyObject *result = delta != NULL ? PyNumber_Add(state->epoch, delta) : NULL;
    Py_XDECREF(delta);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        return fail(decoder, SL_E_RANGE, token->payload,
                    "a timestamp is outside the years 1 to 9999, which is what datetime.datetime can hold");
    }
    return result;
}

static PyObject *decode_array(struct sl__decoder *decoder, const struct sl__token *token) {
    struct sl_array array;
    const char *what = NULL;
    enum sl_code code = sl__ext_read_array(token->payload, token->size, &array, &what);
    if (code != SL_OK) {
        return fail(decoder, code, token->payload, what);
    }
    return sl__array_make(decoder->state, &array, decoder->mapping);
}

static PyObject *decode_buffer_array(struct sl__decoder *decoder, const struct sl__token *token) {
    struct sl_array array;
    const char *what = NULL;
    enum sl_code code = sl__ext_read_buffer_array(token->payload, token->size, &array, &what);
    if (code != SL_OK) {
        return fail(decoder, code, token->payload, what);
    }
    struct sl__mapping *buffer = decoder->lane != NULL ? sl__lane_buffer(decoder->lane, array.buffer_id) : NULL;
    if (buffer == NULL) {
        return fail(decoder, SL_E_NOT_FOUND, token->payload,
                    "the shared buffer of an array is not known here; the item must name it in sl_item.buffers");
    }
    if (array.buffer_offset > buffer->size || array.data_size > buffer->size - array.buffer_offset) {
        return fail(decoder, SL_E_RANGE, token->payload, "an array reaches past the end of its shared buffer");
    }
    array.data = buffer->data + array.buffer_offset;
    return sl__array_make(decoder->state, &array, buffer);
}

static PyObject *decode_mark(struct sl__decoder *decoder, const struct sl__token *token) {
    struct sl_mark mark;
    const char *what = NULL;
    enum sl_code code = sl__ext_read_mark(token->payload, token->size, &mark, &what);
    if (code != SL_OK) {
        return fail(decoder, code, token->payload, what);
    }
    if (decoder->depth > 0) {
        return fail(decoder, SL_E_INVALID_DATA, token->payload, "a mark is inside another value");
    }
    PyObject *payload = NULL;
    if (mark.payload.size > 0) {
        struct sl__decoder inner = *decoder;
        inner.position = mark.payload.data;
        inner.end = mark.payload.data + mark.payload.size;
        inner.depth = 1; /* so that a mark inside is refused */
        inner.depth_max = decoder->depth_max + 1;
        payload = sl__decode(&inner);
        decoder->code = inner.code;
        if (payload == NULL) {
            return NULL;
        }
        if (inner.position != inner.end) {
            Py_DECREF(payload);
            return fail(decoder, SL_E_INVALID_DATA, inner.position, "bytes follow after the payload of a mark");
        }
    }
    PyObject *text = decode_text(decoder, mark.text, mark.text_size);
    PyObject *object = text != NULL ? sl__mark_make(decoder->state, mark.kind, text, payload) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(payload);
    return object;
}

static PyObject *decode_ext(struct sl__decoder *decoder, const struct sl__token *token) {
    switch (token->ext_type) {
    case SL__EXT_TIMESTAMP:
        return decode_timestamp(decoder, token);
    case SL__EXT_ARRAY:
        return decode_array(decoder, token);
    case SL__EXT_BUFFER_ARRAY:
        return decode_buffer_array(decoder, token);
    case SL__EXT_REF: {
        struct sl_ref ref;
        const char *what = NULL;
        enum sl_code code = sl__ext_read_ref(token->payload, token->size, &ref, &what);
        if (code != SL_OK) {
            return fail(decoder, code, token->payload, what);
        }
        return decoder->refs ? sl__session_ref_get(decoder->state, &ref) : sl__ref_make(decoder->state, &ref);
    }
    case SL__EXT_MARK:
        return decode_mark(decoder, token);
    default:
        return fail(decoder, SL_E_INVALID_DATA, token->payload,
                    "an extension is of a type that is not ours; -1, 1, 2, 3 and 4 are known");
    }
}

static bool enter(struct sl__decoder *decoder) {
    if (SL_LIKELY(decoder->depth < decoder->depth_max)) {
        decoder->depth++;
        return true;
    }
    decoder->code = SL_E_LIMIT;
    PyErr_Format(PyExc_ValueError, "byte %zd: containers are nested more than %u deep, which is the limit",
                 (Py_ssize_t)(decoder->position - decoder->start), decoder->depth_max);
    return false;
}

static PyObject *decode_list(struct sl__decoder *decoder, uint32_t count) {
    if (!enter(decoder)) {
        return NULL;
    }
    PyObject *list = PyList_New((Py_ssize_t)count);
    if (list == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *entry = sl__decode(decoder);
        if (SL_UNLIKELY(entry == NULL)) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SetItem(list, (Py_ssize_t)i, entry); /* cannot fail: a new list of that size */
    }
    decoder->depth--;
    return list;
}

static PyObject *decode_key(struct sl__decoder *decoder) {
    const uint8_t *at = decoder->position;
    if (SL_LIKELY(at < decoder->end && *at >= 0xa0 && *at <= 0xbf)) {
        size_t size = *at++ & 0x1f;
        size_t readable = (size_t)(decoder->end - at);
        if (SL_LIKELY(readable >= size)) {
            PyObject *key = sl__key_cache_get(decoder->state->keys, at, size, readable);
            if (SL_LIKELY(key != NULL)) {
                decoder->position = at + size;
                return key;
            }
            if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
                return NULL;
            }
            PyErr_Clear(); /* decode_text() says it better */
        }
    }
    struct sl__token token;
    const uint8_t *peek = at = decoder->position;
    if (sl__token_read(&peek, decoder->end, &token) &&
        (token.kind == SL__TOKEN_LIST || token.kind == SL__TOKEN_MAP ||
         (token.kind == SL__TOKEN_EXT && token.ext_type != SL__EXT_TIMESTAMP))) {
        return fail(decoder, SL_E_INVALID_DATA, at, "the key of a map is not a scalar");
    }
    return sl__decode(decoder);
}

static PyObject *decode_map(struct sl__decoder *decoder, uint32_t count) {
    if (!enter(decoder)) {
        return NULL;
    }
    PyObject *map = PyDict_New();
    if (map == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *key = decode_key(decoder);
        PyObject *value = key != NULL ? sl__decode(decoder) : NULL;
        int status = value != NULL ? PyDict_SetItem(map, key, value) : -1;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (SL_UNLIKELY(status < 0)) {
            Py_DECREF(map);
            return NULL;
        }
    }
    decoder->depth--;
    return map;
}

PyObject *sl__decode(struct sl__decoder *decoder) {
    struct sl__token token;
    const uint8_t *at = decoder->position;
    if (SL_UNLIKELY(!sl__token_read(&decoder->position, decoder->end, &token))) {
        return fail(decoder, SL_E_INVALID_DATA, at,
                    at < decoder->end && *at == 0xc1 ? "0xc1 starts no value" : "the bytes end inside a value");
    }
    switch (token.kind) {
    case SL__TOKEN_NIL:
        Py_INCREF(Py_None);
        return Py_None;
    case SL__TOKEN_BOOL: {
        PyObject *boolean = token.boolean ? Py_True : Py_False;
        Py_INCREF(boolean);
        return boolean;
    }
    case SL__TOKEN_INT:
        return PyLong_FromLongLong(token.integer);
    case SL__TOKEN_UINT:
        return PyLong_FromUnsignedLongLong(token.natural);
    case SL__TOKEN_FLOAT:
        return PyFloat_FromDouble(token.real);
    case SL__TOKEN_STR:
        return decode_text(decoder, (const char *)token.payload, token.size);
    case SL__TOKEN_BYTES:
        return PyBytes_FromStringAndSize((const char *)token.payload, (Py_ssize_t)token.size);
    case SL__TOKEN_LIST:
        return decode_list(decoder, token.count);
    case SL__TOKEN_MAP:
        return decode_map(decoder, token.count);
    case SL__TOKEN_EXT:
        return decode_ext(decoder, &token);
    }
    return fail(decoder, SL_E_INVALID_DATA, at, "a token of an unknown kind");
}
