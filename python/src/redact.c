/* SPDX-License-Identifier: MIT */
/* What texts that go to the host do not say: the host's list, and the function for the package's Python files. */
#include "module.h"

#include <string.h>

struct sl__redact *sl__redactor(void) {
    static struct sl__redact redact;
    static bool known;
    if (!known) {
        redact = sl__redact_usual;
        known = true;
    }
    return &redact;
}

bool sl__redactor_take(struct sl_value message) {
    struct sl_value list, name;
    struct sl_iter iter;
    const char *names[SL__REDACT_PATTERNS_MAX + 1];
    char texts[SL__REDACT_PATTERNS_MAX][SL__REDACT_PATTERN_SIZE];
    uint32_t count = 0;
    if (sl_value_get(message, "redact", &list) != SL_OK) {
        return true;
    }
    if (sl_value_type(list) != SL_TYPE_LIST || sl_iter_init(&iter, list) != SL_OK) {
        return false;
    }
    while (sl_iter_next(&iter, NULL, &name)) {
        const char *text;
        size_t size;
        if (count == SL__REDACT_PATTERNS_MAX || sl_value_str(name, &text, &size) != SL_OK ||
            size >= SL__REDACT_PATTERN_SIZE) {
            return false;
        }
        memcpy(texts[count], text, size);
        texts[count][size] = '\0';
        names[count] = texts[count];
        count++;
    }
    names[count] = NULL;
    return sl__redact_init(sl__redactor(), names, NULL) == SL_OK;
}

PyObject *sl__redact(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *object;
    int source = 0;
    if (!PyArg_ParseTuple(arguments, "U|p:redact", &object, &source)) {
        return NULL;
    }
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(object, &size);
    if (text == NULL) {
        return NULL;
    }
    char *copy = PyMem_Malloc((size_t)size + 1);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(copy, text, (size_t)size);
    size_t left = sl__redact_text(sl__redactor(), source ? SL__REDACT_SOURCE : SL__REDACT_TEXT, copy, (size_t)size);
    PyObject *result = PyUnicode_DecodeUTF8(copy, (Py_ssize_t)left, NULL);
    PyMem_Free(copy);
    return result;
}
