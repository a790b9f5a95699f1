/* SPDX-License-Identifier: MIT */
/*
 * slither.Array: a read-only, C-contiguous buffer with a dtype and a shape. Its elements lie in one of three places: behind the
 * object itself (copied), in a memory file that the host wrote (seen in place; the object holds a reference to the file,
 * so that it stays mapped as long as anything looks at it), or in another Array (a part of it).
 */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#include "wire/ext.h"

struct array {
    PyObject_HEAD enum sl_dtype dtype;
    uint32_t dim_count;
    Py_ssize_t shape[SL_ARRAY_DIM_MAX];
    Py_ssize_t strides[SL_ARRAY_DIM_MAX];
    Py_ssize_t size; /* bytes */
    const uint8_t *elements;
    uint8_t *owned;              /* to be freed, or NULL */
    struct sl__mapping *mapping; /* to be released, or NULL */
    PyObject *whole;             /* Array that this is a part of, or NULL */
};

static const struct {
    const char *name;
    const char *format;
} dtypes[] = {
    [SL_DTYPE_U8] = {"uint8", "B"},       [SL_DTYPE_I8] = {"int8", "b"},          [SL_DTYPE_U16] = {"uint16", "H"},
    [SL_DTYPE_I16] = {"int16", "h"},      [SL_DTYPE_U32] = {"uint32", "I"},       [SL_DTYPE_I32] = {"int32", "i"},
    [SL_DTYPE_U64] = {"uint64", "L"},     [SL_DTYPE_I64] = {"int64", "l"},        [SL_DTYPE_F16] = {"float16", "e"},
    [SL_DTYPE_F32] = {"float32", "f"},    [SL_DTYPE_F64] = {"float64", "d"},      [SL_DTYPE_BOOL] = {"bool", "?"},
    [SL_DTYPE_C64] = {"complex64", "Zf"}, [SL_DTYPE_C128] = {"complex128", "Zd"},
};
#define DTYPE_COUNT (sizeof(dtypes) / sizeof(dtypes[0]))
_Static_assert(sizeof(long) == 8, "\"l\" and \"L\" stand for 64-bit integers, as numpy has them on such systems");

enum sl_dtype sl__dtype_of_format(const char *format, Py_ssize_t item_size, bool *swapped) {
    *swapped = false;
    if (format == NULL) {
        return item_size == 1 ? SL_DTYPE_U8 : 0;
    }
    if (*format == '@' || *format == '=' || *format == '<' || *format == '|') {
        format++;
    } else if (*format == '>' || *format == '!') {
        *swapped = item_size > 1;
        format++;
    }
    if (strcmp(format, "Zf") == 0) {
        return SL_DTYPE_C64;
    }
    if (strcmp(format, "Zd") == 0) {
        return SL_DTYPE_C128;
    }
    if (format[0] == '\0' || format[1] != '\0') {
        return 0;
    }
    /* "l" has 8 bytes in native formats and 4 in standard ones: the size of the items decides. */
    bool is_signed = strchr("bhilqn", format[0]) != NULL;
    if (is_signed || strchr("BHILQN", format[0]) != NULL) {
        switch (item_size) {
        case 1:
            return is_signed ? SL_DTYPE_I8 : SL_DTYPE_U8;
        case 2:
            return is_signed ? SL_DTYPE_I16 : SL_DTYPE_U16;
        case 4:
            return is_signed ? SL_DTYPE_I32 : SL_DTYPE_U32;
        case 8:
            return is_signed ? SL_DTYPE_I64 : SL_DTYPE_U64;
        default:
            return 0;
        }
    }
    switch (format[0]) {
    case 'e':
        return SL_DTYPE_F16;
    case 'f':
        return SL_DTYPE_F32;
    case 'd':
        return SL_DTYPE_F64;
    case '?':
        return SL_DTYPE_BOOL;
    default:
        return 0;
    }
}

static double half_to_double(uint16_t half) {
    double magnitude;
    unsigned exponent = (half >> 10) & 0x1f;
    unsigned fraction = half & 0x3ff;
    if (exponent == 0) {
        magnitude = fraction * 0x1p-24;
    } else if (exponent == 31) {
        magnitude = fraction != 0 ? __builtin_nan("") : __builtin_inf();
    } else {
        magnitude = (double)((uint64_t)(fraction | 0x400) << exponent) * 0x1p-25;
    }
    return half & 0x8000 ? -magnitude : magnitude;
}

#define LOAD(type)                                \
    ({                                            \
        type value_;                              \
        memcpy(&value_, element, sizeof(value_)); \
        value_;                                   \
    })

PyObject *sl__array_element(enum sl_dtype dtype, const void *element) {
    switch (dtype) {
    case SL_DTYPE_U8:
        return PyLong_FromLong(LOAD(uint8_t));
    case SL_DTYPE_I8:
        return PyLong_FromLong(LOAD(int8_t));
    case SL_DTYPE_U16:
        return PyLong_FromLong(LOAD(uint16_t));
    case SL_DTYPE_I16:
        return PyLong_FromLong(LOAD(int16_t));
    case SL_DTYPE_U32:
        return PyLong_FromUnsignedLong(LOAD(uint32_t));
    case SL_DTYPE_I32:
        return PyLong_FromLong(LOAD(int32_t));
    case SL_DTYPE_U64:
        return PyLong_FromUnsignedLongLong(LOAD(uint64_t));
    case SL_DTYPE_I64:
        return PyLong_FromLongLong(LOAD(int64_t));
    case SL_DTYPE_F16:
        return PyFloat_FromDouble(half_to_double(LOAD(uint16_t)));
    case SL_DTYPE_F32:
        return PyFloat_FromDouble(LOAD(float));
    case SL_DTYPE_F64:
        return PyFloat_FromDouble(LOAD(double));
    case SL_DTYPE_BOOL:
        return PyBool_FromLong(LOAD(uint8_t));
    case SL_DTYPE_C64: {
        float parts[2];
        memcpy(parts, element, sizeof(parts));
        return PyComplex_FromDoubles(parts[0], parts[1]);
    }
    case SL_DTYPE_C128: {
        double parts[2];
        memcpy(parts, element, sizeof(parts));
        return PyComplex_FromDoubles(parts[0], parts[1]);
    }
    }
    return PyErr_Format(PyExc_SystemError, "%d is not an element type", (int)dtype);
}

/* An Array without elements; the caller sets where they are. */
static struct array *array_new(PyTypeObject *type, enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape,
                               uint64_t size) {
    struct array *array = PyObject_New(struct array, type);
    if (array == NULL) {
        return NULL;
    }
    array->dtype = dtype;
    array->dim_count = dim_count;
    array->size = (Py_ssize_t)size;
    array->elements = NULL;
    array->owned = NULL;
    array->mapping = NULL;
    array->whole = NULL;
    Py_ssize_t stride = (Py_ssize_t)sl_dtype_size(dtype);
    for (uint32_t i = dim_count; i-- > 0;) {
        array->shape[i] = (Py_ssize_t)shape[i];
        array->strides[i] = stride;
        /* Does not overflow: an array of no elements whose other dimensions would is refused where shapes are checked. */
        stride *= shape[i] > 0 ? (Py_ssize_t)shape[i] : 1;
    }
    return array;
}

/* Memory for the elements, aligned so that numpy may use wide loads. */
static uint8_t *array_own(struct array *array) {
    void *memory;
    if (posix_memalign(&memory, 64, array->size > 0 ? (size_t)array->size : 1) != 0) {
        PyErr_NoMemory();
        return NULL;
    }
    array->owned = memory;
    array->elements = memory;
    return memory;
}

PyObject *sl__array_make(struct sl__state *state, const struct sl_array *array, struct sl__mapping *mapping) {
    struct array *self = array_new(state->array_type, array->dtype, array->dim_count, array->shape, array->data_size);
    if (self == NULL) {
        return NULL;
    }
    if (mapping != NULL) {
        self->mapping = sl__mapping_ref(mapping);
        self->elements = array->data;
    } else if (array_own(self) == NULL) {
        Py_DECREF(self);
        return NULL;
    } else if (array->data_size > 0) {
        memcpy(self->owned, array->data, array->data_size);
    }
    return (PyObject *)self;
}

void sl__array_look(PyObject *object, struct sl_array *out) {
    const struct array *self = (const struct array *)object;
    out->dtype = self->dtype;
    out->dim_count = self->dim_count;
    for (uint32_t i = 0; i < self->dim_count; i++) {
        out->shape[i] = (uint64_t)self->shape[i];
    }
    out->data = self->elements;
    out->data_size = (uint64_t)self->size;
    out->buffer_id = 0;
    out->buffer_offset = 0;
}

/* ---- construction from Python ------------------------------------------------------------------------------- */

static enum sl_dtype dtype_by_name(const char *name) {
    for (size_t i = 1; i < DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            return (enum sl_dtype)i;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "'%s' is not a dtype of slither.Array; use int8 to int64, uint8 to uint64, float16, float32, float64, "
                 "bool, complex64 or complex128",
                 name);
    return 0;
}

/* Reads a tuple or list of dimensions. Returns how many, or -1 with an exception. */
static int read_shape(PyObject *object, uint64_t *shape) {
    PyObject *sequence = PySequence_Tuple(object);
    if (sequence == NULL) {
        return -1;
    }
    Py_ssize_t count = PyTuple_Size(sequence);
    if (count > SL_ARRAY_DIM_MAX) {
        PyErr_Format(PyExc_ValueError, "an array has at most %d dimensions, the shape has %zd", SL_ARRAY_DIM_MAX,
                     count);
        count = -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t extent = PyNumber_AsSsize_t(PyTuple_GetItem(sequence, i), PyExc_OverflowError);
        if (extent < 0) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_ValueError, "dimension %zd of the shape is negative", i);
            }
            count = -1;
            break;
        }
        shape[i] = (uint64_t)extent;
    }
    Py_DECREF(sequence);
    return (int)count;
}

static PyObject *array_construct(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"buffer", "dtype", "shape", NULL};
    PyObject *source;
    const char *dtype_name = NULL;
    PyObject *shape_object = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|zO:Array", SL__KEYWORDS(names), &source, &dtype_name,
                                     &shape_object)) {
        return NULL;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(source, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    struct array *self = NULL;
    bool swapped = false;
    enum sl_dtype dtype =
        dtype_name != NULL ? dtype_by_name(dtype_name) : sl__dtype_of_format(view.format, view.itemsize, &swapped);
    if (dtype == 0 || swapped) {
        if (!PyErr_Occurred()) {
            PyErr_Format(
                PyExc_ValueError,
                "the elements of the buffer have the format '%s', which is not a little-endian number; give a dtype",
                view.format);
        }
        goto done;
    }
    uint64_t shape[SL_ARRAY_DIM_MAX];
    int dim_count;
    if (shape_object != NULL && shape_object != Py_None) {
        dim_count = read_shape(shape_object, shape);
        if (dim_count < 0) {
            goto done;
        }
    } else if (dtype_name != NULL) {
        size_t item_size = sl_dtype_size(dtype);
        if ((size_t)view.len % item_size != 0) {
            PyErr_Format(PyExc_ValueError, "the buffer has %zd bytes, which is not a multiple of the %zu of one %s",
                         view.len, item_size, dtype_name);
            goto done;
        }
        dim_count = 1;
        shape[0] = (uint64_t)view.len / item_size;
    } else {
        if (view.ndim > SL_ARRAY_DIM_MAX) {
            PyErr_Format(PyExc_ValueError, "an array has at most %d dimensions, the buffer has %d", SL_ARRAY_DIM_MAX,
                         view.ndim);
            goto done;
        }
        dim_count = view.ndim;
        for (int i = 0; i < dim_count; i++) {
            shape[i] = (uint64_t)view.shape[i];
        }
    }
    uint64_t size;
    if (!sl__array_size(dtype, (uint32_t)dim_count, shape, &size) || size != (uint64_t)view.len) {
        PyErr_Format(PyExc_ValueError, "the shape does not match the %zd bytes of the buffer", view.len);
        goto done;
    }
    self = array_new(type, dtype, (uint32_t)dim_count, shape, size);
    if (self != NULL &&
        (array_own(self) == NULL || (size > 0 && PyBuffer_ToContiguous(self->owned, &view, view.len, 'C') < 0))) {
        Py_CLEAR(self);
    }
done:
    PyBuffer_Release(&view);
    return (PyObject *)self;
}

static void array_dealloc(PyObject *object) {
    struct array *self = (struct array *)object;
    PyTypeObject *type = Py_TYPE(object);
    free(self->owned);
    if (self->mapping != NULL) {
        sl__mapping_unref(self->mapping);
    }
    Py_XDECREF(self->whole);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* ---- as a buffer -------------------------------------------------------------------------------------------- */

static int array_get_buffer(PyObject *object, Py_buffer *view, int flags) {
    struct array *self = (struct array *)object;
    if (flags & PyBUF_WRITABLE) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError,
                        "a slither.Array is read-only; copy it first, for example with numpy.array()");
        return -1;
    }
    Py_INCREF(object);
    view->obj = object;
    view->buf = (void *)(uintptr_t)self->elements;
    view->len = self->size;
    view->readonly = 1;
    view->itemsize = (Py_ssize_t)sl_dtype_size(self->dtype);
    view->format = flags & PyBUF_FORMAT ? (char *)(uintptr_t)dtypes[self->dtype].format : NULL;
    view->ndim = (int)self->dim_count;
    view->shape = flags & PyBUF_ND ? self->shape : NULL;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    if (!(flags & PyBUF_ND)) {
        /* One that asks for no shape gets plain bytes. */
        view->ndim = 1;
        view->itemsize = 1;
    }
    return 0;
}

/* ---- attributes --------------------------------------------------------------------------------------------- */

static PyObject *array_dtype(PyObject *object, void *closure) {
    (void)closure;
    return PyUnicode_FromString(dtypes[((struct array *)object)->dtype].name);
}

static PyObject *array_shape(PyObject *object, void *closure) {
    (void)closure;
    struct array *self = (struct array *)object;
    PyObject *shape = PyTuple_New((Py_ssize_t)self->dim_count);
    for (uint32_t i = 0; shape != NULL && i < self->dim_count; i++) {
        PyObject *extent = PyLong_FromSsize_t(self->shape[i]);
        if (extent == NULL || PyTuple_SetItem(shape, (Py_ssize_t)i, extent) < 0) {
            Py_CLEAR(shape);
        }
    }
    return shape;
}

static PyObject *array_ndim(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLong(((struct array *)object)->dim_count);
}

static PyObject *array_nbytes(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromSsize_t(((struct array *)object)->size);
}

static PyObject *array_itemsize(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromSize_t(sl_dtype_size(((struct array *)object)->dtype));
}

static PyObject *array_tobytes(PyObject *object, PyObject *unused) {
    (void)unused;
    struct array *self = (struct array *)object;
    return PyBytes_FromStringAndSize((const char *)self->elements, self->size);
}

static PyObject *list_of(const struct array *self, uint32_t dim, const uint8_t *elements) {
    if (dim == self->dim_count) {
        return sl__array_element(self->dtype, elements);
    }
    PyObject *list = PyList_New(self->shape[dim]);
    for (Py_ssize_t i = 0; list != NULL && i < self->shape[dim]; i++) {
        PyObject *entry = list_of(self, dim + 1, elements + i * self->strides[dim]);
        if (entry == NULL || PyList_SetItem(list, i, entry) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *array_tolist(PyObject *object, PyObject *unused) {
    (void)unused;
    struct array *self = (struct array *)object;
    return list_of(self, 0, self->elements);
}

/* Pickle and copy make one that owns its elements. */
static PyObject *array_reduce(PyObject *object, PyObject *unused) {
    (void)unused;
    struct array *self = (struct array *)object;
    PyObject *shape = array_shape(object, NULL);
    if (shape == NULL) {
        return NULL;
    }
    return Py_BuildValue("O(y#sN)", Py_TYPE(object), (const char *)self->elements, self->size, dtypes[self->dtype].name,
                         shape);
}

static PyObject *array_repr(PyObject *object) {
    PyObject *shape = array_shape(object, NULL);
    if (shape == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<slither.Array %s %R>", dtypes[((struct array *)object)->dtype].name, shape);
    Py_DECREF(shape);
    return text;
}

static Py_ssize_t array_length(PyObject *object) {
    struct array *self = (struct array *)object;
    if (self->dim_count == 0) {
        PyErr_SetString(PyExc_TypeError, "an array without dimensions has no length; tolist() gives its number");
        return -1;
    }
    return self->shape[0];
}

/* The number at an index, or the part of the array behind it when dimensions are left. */
static PyObject *array_at(struct array *self, const Py_ssize_t *indices, uint32_t count) {
    const uint8_t *elements = self->elements;
    for (uint32_t i = 0; i < count; i++) {
        Py_ssize_t index = indices[i] < 0 ? indices[i] + self->shape[i] : indices[i];
        if (index < 0 || index >= self->shape[i]) {
            return PyErr_Format(PyExc_IndexError, "index %zd is outside dimension %u, which has %zd entries",
                                indices[i], i, self->shape[i]);
        }
        elements += index * self->strides[i];
    }
    if (count == self->dim_count) {
        return sl__array_element(self->dtype, elements);
    }
    uint64_t shape[SL_ARRAY_DIM_MAX];
    uint64_t size = sl_dtype_size(self->dtype);
    for (uint32_t i = count; i < self->dim_count; i++) {
        shape[i - count] = (uint64_t)self->shape[i];
        size *= shape[i - count];
    }
    struct array *part = array_new(Py_TYPE((PyObject *)self), self->dtype, self->dim_count - count, shape, size);
    if (part == NULL) {
        return NULL;
    }
    part->elements = elements;
    part->whole = self->whole != NULL ? self->whole : (PyObject *)self;
    Py_INCREF(part->whole);
    return (PyObject *)part;
}

static PyObject *array_subscript(PyObject *object, PyObject *key) {
    struct array *self = (struct array *)object;
    Py_ssize_t indices[SL_ARRAY_DIM_MAX];
    Py_ssize_t count = 1;
    bool is_tuple = PyTuple_Check(key);
    if (is_tuple) {
        count = PyTuple_Size(key);
    }
    if (count > (Py_ssize_t)self->dim_count) {
        return PyErr_Format(PyExc_IndexError, "%zd indices for an array of %u dimensions", count, self->dim_count);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *index = is_tuple ? PyTuple_GetItem(key, i) : key;
        if (!PyIndex_Check(index)) {
            return PyErr_Format(PyExc_TypeError,
                                "a slither.Array is indexed by integers, not by %R; "
                                "numpy.asarray(array) sees the same memory and can do more",
                                Py_TYPE(index));
        }
        indices[i] = PyNumber_AsSsize_t(index, PyExc_IndexError);
        if (indices[i] == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    return array_at(self, indices, (uint32_t)count);
}

static PyObject *array_item(PyObject *object, Py_ssize_t index) {
    struct array *self = (struct array *)object;
    if (self->dim_count == 0) {
        return PyErr_Format(PyExc_IndexError, "1 index for an array of 0 dimensions");
    }
    return array_at(self, &index, 1);
}

static PyGetSetDef array_attributes[] = {
    {"dtype", array_dtype, NULL, "name of the element type, for example 'float64'", NULL},
    {"shape", array_shape, NULL, "entries of each dimension, a tuple", NULL},
    {"ndim", array_ndim, NULL, "how many dimensions", NULL},
    {"nbytes", array_nbytes, NULL, "bytes of all elements", NULL},
    {"itemsize", array_itemsize, NULL, "bytes of one element", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef array_methods[] = {
    {"tobytes", array_tobytes, METH_NOARGS, "tobytes() -> bytes: a copy of the elements"},
    {"tolist", array_tolist, METH_NOARGS, "tolist() -> list: the elements as Python numbers, nested as the shape says"},
    {"__reduce__", array_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(array_doc,
             "Array(buffer, dtype=None, shape=None)\n--\n\n"
             "A read-only array of numbers, C order, little endian. It copies the bytes of any object with the buffer "
             "protocol; dtype and shape are the buffer's unless given. numpy.asarray(array) sees it without a copy.");

static PyType_Slot array_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)array_doc},
    {Py_tp_new, array_construct},
    {Py_tp_dealloc, array_dealloc},
    {Py_tp_repr, array_repr},
    {Py_tp_getset, array_attributes},
    {Py_tp_methods, array_methods},
    {Py_sq_item, array_item},
    {Py_mp_length, array_length},
    {Py_mp_subscript, array_subscript},
    {Py_bf_getbuffer, array_get_buffer},
    {0, NULL},
};

static PyType_Spec array_spec = {
    .name = "slither.Array",
    .basicsize = sizeof(struct array),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = array_slots,
};

int sl__array_type_make(PyObject *module, struct sl__state *state) {
    state->array_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &array_spec, NULL);
    return state->array_type != NULL ? PyModule_AddType(module, state->array_type) : -1;
}
