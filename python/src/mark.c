/* SPDX-License-Identifier: MIT */
/* slither.Mark, what a function says of one item instead of giving a result, and slither.Ref, the name of an object elsewhere. */
#include "module.h"

static const char *const kind_names[] = {[SL_MARK_SKIP] = "skip", [SL_MARK_ERROR] = "error", [SL_MARK_ROUTE] = "route"};

PyObject *sl__mark_make(struct sl__state *state, enum sl_mark_kind kind, PyObject *text, PyObject *payload) {
    struct sl__mark_object *mark = PyObject_GC_New(struct sl__mark_object, state->mark_type);
    if (mark == NULL) {
        return NULL;
    }
    mark->kind = kind;
    mark->text = text;
    mark->payload = payload != NULL ? payload : Py_None;
    Py_INCREF(mark->text);
    Py_INCREF(mark->payload);
    PyObject_GC_Track(mark);
    return (PyObject *)mark;
}

static int mark_traverse(PyObject *object, visitproc visit, void *arg) {
    struct sl__mark_object *mark = (struct sl__mark_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(mark->text);
    Py_VISIT(mark->payload);
    return 0;
}

static int mark_clear(PyObject *object) {
    struct sl__mark_object *mark = (struct sl__mark_object *)object;
    Py_CLEAR(mark->payload);
    return 0;
}

static void mark_dealloc(PyObject *object) {
    struct sl__mark_object *mark = (struct sl__mark_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_CLEAR(mark->payload);
    Py_CLEAR(mark->text);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyObject *mark_repr(PyObject *object) {
    struct sl__mark_object *mark = (struct sl__mark_object *)object;
    int nested = Py_ReprEnter(object);
    if (nested != 0) {
        return nested > 0 ? PyUnicode_FromFormat("slither.%s(...)", kind_names[mark->kind]) : NULL;
    }
    PyObject *text =
        mark->payload == Py_None
            ? PyUnicode_FromFormat("slither.%s(%R)", kind_names[mark->kind], mark->text)
            : PyUnicode_FromFormat("slither.%s(%R, %R)", kind_names[mark->kind], mark->text, mark->payload);
    Py_ReprLeave(object);
    return text;
}

static PyObject *mark_compare(PyObject *left, PyObject *right, int operation) {
    if (Py_TYPE(left) != Py_TYPE(right) || (operation != Py_EQ && operation != Py_NE)) {
        Py_INCREF(Py_NotImplemented);
        return Py_NotImplemented;
    }
    struct sl__mark_object *a = (struct sl__mark_object *)left;
    struct sl__mark_object *b = (struct sl__mark_object *)right;
    int equal = a->kind == b->kind;
    if (equal) {
        equal = PyObject_RichCompareBool(a->text, b->text, Py_EQ);
    }
    if (equal > 0) {
        equal = PyObject_RichCompareBool(a->payload, b->payload, Py_EQ);
    }
    return equal < 0 ? NULL : PyBool_FromLong(equal == (operation == Py_EQ));
}

static PyObject *mark_kind(PyObject *object, void *closure) {
    (void)closure;
    return PyUnicode_FromString(kind_names[((struct sl__mark_object *)object)->kind]);
}

static PyObject *mark_text(PyObject *object, void *closure) {
    (void)closure;
    PyObject *text = ((struct sl__mark_object *)object)->text;
    Py_INCREF(text);
    return text;
}

static PyObject *mark_payload(PyObject *object, void *closure) {
    (void)closure;
    PyObject *payload = ((struct sl__mark_object *)object)->payload;
    Py_INCREF(payload);
    return payload;
}

static PyGetSetDef mark_attributes[] = {
    {"kind", mark_kind, NULL, "'skip', 'error' or 'route'", NULL},
    {"text", mark_text, NULL, "the reason, or the name of the route", NULL},
    {"payload", mark_payload, NULL, "what goes to the route; None otherwise", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(mark_doc,
             "Says something of a single item instead of giving a result. Made by slither.skip(), slither.error() and "
             "slither.route().");

static PyType_Slot mark_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)mark_doc},
    {Py_tp_dealloc, mark_dealloc},
    {Py_tp_traverse, mark_traverse},
    {Py_tp_clear, mark_clear},
    {Py_tp_repr, mark_repr},
    {Py_tp_richcompare, mark_compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_getset, mark_attributes},
    {0, NULL},
};

static PyType_Spec mark_spec = {
    .name = "slither.Mark",
    .basicsize = sizeof(struct sl__mark_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = mark_slots,
};

/* ---- refs ---------------------------------------------------------------------------------------------------- */

PyObject *sl__ref_make(struct sl__state *state, const struct sl_ref *ref) {
    PyObject *type_name = PyUnicode_DecodeUTF8(ref->type_name, (Py_ssize_t)ref->type_name_size, NULL);
    PyObject *repr = type_name != NULL ? PyUnicode_DecodeUTF8(ref->repr, (Py_ssize_t)ref->repr_size, NULL) : NULL;
    struct sl__ref_object *self = repr != NULL ? PyObject_New(struct sl__ref_object, state->ref_type) : NULL;
    if (self == NULL) {
        Py_XDECREF(type_name);
        Py_XDECREF(repr);
        return NULL;
    }
    self->ref = *ref;
    self->ref.type_name = self->ref.repr = NULL;
    self->ref.type_name_size = self->ref.repr_size = 0;
    self->type_name = type_name;
    self->repr = repr;
    return (PyObject *)self;
}

static void ref_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    Py_CLEAR(((struct sl__ref_object *)object)->type_name);
    Py_CLEAR(((struct sl__ref_object *)object)->repr);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *ref_repr(PyObject *object) {
    const struct sl__ref_object *self = (const struct sl__ref_object *)object;
    return PyUnicode_FromFormat("<slither.Ref %U: object %llu of session %llu in worker %u, generation %u>",
                                self->type_name, (unsigned long long)self->ref.object,
                                (unsigned long long)self->ref.session, self->ref.worker, self->ref.generation);
}

static int same_ref(const struct sl__ref_object *a, const struct sl__ref_object *b) {
    return a->ref.session == b->ref.session && a->ref.object == b->ref.object && a->ref.worker == b->ref.worker &&
           a->ref.generation == b->ref.generation;
}

static PyObject *ref_compare(PyObject *left, PyObject *right, int operation) {
    if (Py_TYPE(left) != Py_TYPE(right) || (operation != Py_EQ && operation != Py_NE)) {
        Py_INCREF(Py_NotImplemented);
        return Py_NotImplemented;
    }
    int equal = same_ref((const struct sl__ref_object *)left, (const struct sl__ref_object *)right);
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t ref_hash(PyObject *object) {
    const struct sl_ref *ref = &((const struct sl__ref_object *)object)->ref;
    uint64_t mixed = (ref->session * UINT64_C(0x9e3779b97f4a7c15)) ^ ref->object;
    mixed = (mixed ^ ((uint64_t)ref->worker << 32 | ref->generation)) * UINT64_C(0x9e3779b97f4a7c15);
    return (Py_hash_t)(mixed >> 1);
}

static PyObject *ref_session(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(((struct sl__ref_object *)object)->ref.session);
}

static PyObject *ref_object(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(((struct sl__ref_object *)object)->ref.object);
}

static PyObject *ref_worker(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLong(((struct sl__ref_object *)object)->ref.worker);
}

static PyObject *ref_generation(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLong(((struct sl__ref_object *)object)->ref.generation);
}

static PyObject *ref_type_name(PyObject *object, void *closure) {
    (void)closure;
    PyObject *name = ((struct sl__ref_object *)object)->type_name;
    Py_INCREF(name);
    return name;
}

static PyObject *ref_repr_prefix(PyObject *object, void *closure) {
    (void)closure;
    return Py_NewRef(((struct sl__ref_object *)object)->repr);
}

static PyGetSetDef ref_attributes[] = {
    {"session", ref_session, NULL, "session that the object belongs to", NULL},
    {"object", ref_object, NULL, "number of the object within its session", NULL},
    {"worker", ref_worker, NULL, "index of the worker that holds it", NULL},
    {"generation", ref_generation, NULL, "start of that worker that made it", NULL},
    {"type_name", ref_type_name, NULL, "name of the object's type", NULL},
    {"repr", ref_repr_prefix, NULL, "the beginning of its repr() when the ref was made", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(ref_doc, "Names an object that stays in a worker. It travels as it is.");

static PyType_Slot ref_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)ref_doc},
    {Py_tp_dealloc, ref_dealloc},
    {Py_tp_repr, ref_repr},
    {Py_tp_richcompare, ref_compare},
    {Py_tp_hash, ref_hash},
    {Py_tp_getset, ref_attributes},
    {0, NULL},
};

static PyType_Spec ref_spec = {
    .name = "slither.Ref",
    .basicsize = sizeof(struct sl__ref_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = ref_slots,
};

int sl__mark_types_make(PyObject *module, struct sl__state *state) {
    state->mark_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &mark_spec, NULL);
    state->ref_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &ref_spec, NULL);
    if (state->mark_type == NULL || state->ref_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->mark_type) < 0 ? -1 : PyModule_AddType(module, state->ref_type);
}
