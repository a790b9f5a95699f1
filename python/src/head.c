/* SPDX-License-Identifier: MIT */
/* The head of a request: [function, nil or {option: value}]. Read once a batch, hence in one pass; it becomes objects when somebody asks. */
#include "session_table.h"

#include "base/macros.h"
#include "wire/token.h"

#define KEY(text) (text), (sizeof(text) - 1)

static bool is_key(const struct sl__token *token, const char *text, size_t size) {
    return token->size == size && memcmp(token->payload, text, size) == 0;
}

static uint64_t natural(const struct sl__token *token) {
    if (token->kind == SL__TOKEN_INT) {
        return token->integer > 0 ? (uint64_t)token->integer : 0;
    }
    return token->kind == SL__TOKEN_UINT ? token->natural : 0;
}

static bool truth(const struct sl__token *token) {
    return token->kind == SL__TOKEN_BOOL && token->boolean;
}

static void read_options(struct sl__head *head, const uint8_t *at, const uint8_t *end) {
    struct sl__token options, key, value;
    if (!sl__token_read(&at, end, &options) || options.kind != SL__TOKEN_MAP) {
        return;
    }
    for (uint32_t i = 0; i < options.count; i++) {
        if (!sl__token_read(&at, end, &key) || key.kind != SL__TOKEN_STR) {
            return;
        }
        const uint8_t *start = at;
        if (!sl__token_read(&at, end, &value)) {
            return;
        }
        if (value.kind == SL__TOKEN_LIST || value.kind == SL__TOKEN_MAP) {
            at = start;
            if (!sl__value_skip(&at, end)) {
                return;
            }
        }
        if (is_key(&key, KEY("session"))) {
            head->session = natural(&value);
        } else if (is_key(&key, KEY("refs"))) {
            head->refs = truth(&value);
        } else if (is_key(&key, KEY("snapshot"))) {
            head->snapshot = truth(&value);
        } else if (is_key(&key, KEY("context"))) {
            head->context = (struct sl_value){start, (size_t)(at - start)};
        } else if (is_key(&key, KEY("moved"))) {
            head->moved = natural(&value);
        } else if (is_key(&key, KEY("ref_max"))) {
            head->ref_max = natural(&value);
        }
    }
}

bool sl__head_read(struct sl__head *head, const struct sl__request *request) {
    const uint8_t *at = request->data;
    const uint8_t *end = at + SL_MIN((size_t)request->head_size, request->size);
    struct sl__token list, name;
    *head = (struct sl__head){.ref_max = SL__REF_MAX_DEFAULT};
    if (!sl__token_read(&at, end, &list) || list.kind != SL__TOKEN_LIST || list.count < 1 ||
        !sl__token_read(&at, end, &name) || name.kind != SL__TOKEN_STR) {
        return false;
    }
    head->name = name.payload;
    head->name_size = name.size;
    if (list.count > 1) {
        read_options(head, at, end);
    }
    return true;
}

PyObject *sl__session_module_batch(PyObject *module, PyObject *unused) {
    (void)unused;
    struct sl__state *state = sl__state_of(module);
    const struct sl__sessions *sessions = state->sessions;
    const struct sl__head *head = &sessions->head;
    const struct sl__life *life = sl__life();
    bool main = PyThread_get_thread_ident() == sessions->main_thread;
    uint64_t here = sl__session_here(state);
    if (!sessions->running || (here != head->session && (here != 0 || !main))) {
        return sl__raise(state, SL_E_CLOSED,
                         "there is a context only in a function that a host has called, while it runs; another thread "
                         "has it in 'with session:'");
    }
    struct sl__decoder decoder = {
        .state = state,
        .start = head->context.data,
        .position = head->context.data,
        .end = head->context.data + head->context.size,
        .depth_max = SL_DEPTH_MAX_DEFAULT,
    };
    PyObject *context = head->context.size > 0 ? sl__decode(&decoder) : Py_NewRef(Py_None);
    PyObject *name = PyUnicode_DecodeUTF8((const char *)head->name, (Py_ssize_t)head->name_size, "replace");
    PyObject *facts = NULL;
    if (context != NULL && name != NULL) {
        facts = Py_BuildValue("OOIKIIKO", name, sessions->request->kind == SL__REQUEST_EACH ? Py_True : Py_False,
                              sessions->request->item_count, (unsigned long long)head->session, life->worker,
                              life->generation, (unsigned long long)sessions->request->sequence, context);
    }
    Py_XDECREF(context);
    Py_XDECREF(name);
    return facts;
}
