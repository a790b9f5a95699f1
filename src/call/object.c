/* SPDX-License-Identifier: MIT */
/* Handles of objects, and what is done with them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "invoke.h"
#include "session/session.h"

#define TYPE_NAME_MAX 255u
#define REPR_MAX 80u

/* ---- handles --------------------------------------------------------------------------------------------------------- */

struct sl_object *sl__object_make(struct sl__keeper *keeper, struct sl_value value) {
    struct sl_ref ref;
    if (sl_value_ref(value, &ref) != SL_OK) {
        return NULL;
    }
    size_t type_name_size = sl__utf8_valid_size(ref.type_name, SL_MIN(ref.type_name_size, (size_t)TYPE_NAME_MAX));
    size_t repr_size = sl__utf8_valid_size(ref.repr, SL_MIN(ref.repr_size, (size_t)REPR_MAX));
    struct sl_object *object = malloc(sizeof *object + value.size + type_name_size + 1 + repr_size + 1);
    if (object == NULL) {
        return NULL;
    }
    atomic_init(&object->refs, 1);
    object->keeper = sl__keeper_ref(keeper);
    object->ref = ref;
    object->value_size = value.size;
    object->type_name = (char *)object->value + value.size;
    object->repr = object->type_name + type_name_size + 1;
    memcpy(object->value, value.data, value.size);
    memcpy(object->type_name, ref.type_name, type_name_size);
    object->type_name[type_name_size] = '\0';
    memcpy(object->repr, ref.repr, repr_size);
    object->repr[repr_size] = '\0';
    return object;
}

struct sl_object *sl_object_ref(struct sl_object *object) {
    (void)atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

void sl_object_unref(struct sl_object *object) {
    if (object == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel);
    SL_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    sl__session_drop_ref(object->keeper->session, object->ref.worker, object->ref.generation, object->ref.object, 1);
    sl__keeper_unref(object->keeper);
    free(object);
}

struct sl_value sl_object_value(const struct sl_object *object) {
    return (struct sl_value){object->value, object->value_size};
}

void sl_object_info(const struct sl_object *object, struct sl_object_info *info) {
    struct sl_object_info all = SL_OBJECT_INFO_INIT;
    size_t size = SL_MIN(info->size, sizeof all);
    all.type_name = object->type_name;
    all.repr = object->repr;
    all.session = object->ref.session;
    all.object = object->ref.object;
    all.worker = object->ref.worker;
    all.generation = object->ref.generation;
    all.size = size;
    memcpy(info, &all, size);
}

/* ---- calls of an object ---------------------------------------------------------------------------------------------- */

enum sl_code sl__object_check_session(const struct sl_object *object, const struct sl_call_options *options,
                                      const char *what, struct sl_error *error) {
    if (options->session == NULL || options->session == object->keeper->session) {
        return SL_OK;
    }
    return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                        "%s: options.session is session %llu, but the object (%s) is of session %llu; leave it out",
                        what, (unsigned long long)sl_session_id(options->session), object->type_name,
                        (unsigned long long)object->ref.session);
}

/* Options and an invocation that begins with the object and, when it is not NULL, a name. */
static enum sl_code begin(const struct sl_object *object, const struct sl_call_options *given, const char *what,
                          const char *function, struct sl_call_options *options, struct sl__invocation *invocation,
                          struct sl_error *error) {
    sl__invocation_init(invocation, function);
    sl__invocation_label(invocation, object->type_name, NULL);
    sl__invocation_add(invocation, sl_object_value(object));
    enum sl_code code = sl__invoke_options(given, options, what, error);
    return code == SL_OK ? sl__object_check_session(object, options, what, error) : code;
}

/* The answer is wanted when `result` is not NULL. */
static enum sl_code finish(const struct sl_object *object, enum sl_code code, const struct sl_call_options *options,
                           struct sl__invocation *invocation, struct sl_result *result, struct sl_error *error) {
    struct sl_result unwanted = SL_RESULT_INIT;
    if (result != NULL) {
        *result = (struct sl_result)SL_RESULT_INIT;
    }
    if (code == SL_OK) {
        code = sl__invoke(object->keeper, object, options, invocation, result != NULL ? result : &unwanted, error);
    }
    sl_result_finish(&unwanted);
    sl__invocation_finish(invocation);
    return code;
}

static enum sl_code begin_method(const struct sl_object *object, const struct sl_call_options *given, const char *what,
                                 const char *method, struct sl_value args, struct sl_value kwargs,
                                 struct sl_call_options *options, struct sl__invocation *invocation,
                                 struct sl_error *error) {
    enum sl_code code = begin(object, given, what, "slither._calls:method", options, invocation, error);
    if (code == SL_OK) {
        code = sl__invoke_check(what, args, kwargs, error);
    }
    if (code == SL_OK) {
        code = sl__invoke_check_name(what, method, false, error);
    }
    if (code == SL_OK) {
        code = sl__invocation_add_text(invocation, method, error);
    }
    if (code == SL_OK) {
        sl__invocation_add(invocation, args);
        sl__invocation_add(invocation, kwargs);
        sl__invocation_label(invocation, object->type_name, method);
    }
    return code;
}

enum sl_code sl_object_call(struct sl_object *object, const struct sl_call_options *given, const char *method,
                            struct sl_value args, struct sl_value kwargs, struct sl_result *result,
                            struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code =
        begin_method(object, given, "sl_object_call", method, args, kwargs, &options, &invocation, error);
    return finish(object, code, &options, &invocation, result, error);
}

enum sl_code sl_object_call_async(struct sl_object *object, const struct sl_call_options *given, const char *method,
                                  struct sl_value args, struct sl_value kwargs, sl_call_done_fn *done, void *context,
                                  struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code =
        begin_method(object, given, "sl_object_call_async", method, args, kwargs, &options, &invocation, error);
    struct sl_pool *pool = NULL;
    if (code == SL_OK) {
        code = sl__object_pool(object, &pool, error);
    }
    if (code == SL_OK) {
        code = sl__async_submit(pool, object, &options, &invocation, done, context, error);
    }
    sl__invocation_finish(&invocation);
    return code;
}

static enum sl_code begin_attribute(const struct sl_object *object, const struct sl_call_options *given,
                                    const char *what, const char *function, const char *name,
                                    struct sl_call_options *options, struct sl__invocation *invocation,
                                    struct sl_error *error) {
    enum sl_code code = begin(object, given, what, function, options, invocation, error);
    if (code == SL_OK) {
        code = sl__invoke_check_name(what, name, true, error);
    }
    if (code == SL_OK) {
        code = sl__invocation_add_text(invocation, name, error);
        sl__invocation_label(invocation, object->type_name, name);
    }
    return code;
}

static enum sl_code check_value(struct sl_value value, const char *what, const char *which, struct sl_error *error) {
    if (value.size > 0) {
        return SL_OK;
    }
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: there is no %s; write nil for None", what, which);
}

enum sl_code sl_object_get(struct sl_object *object, const struct sl_call_options *given, const char *name,
                           struct sl_result *result, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code =
        begin_attribute(object, given, "sl_object_get", "slither._calls:get", name, &options, &invocation, error);
    return finish(object, code, &options, &invocation, result, error);
}

enum sl_code sl_object_set(struct sl_object *object, const struct sl_call_options *given, const char *name,
                           struct sl_value value, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code =
        begin_attribute(object, given, "sl_object_set", "slither._calls:assign", name, &options, &invocation, error);
    if (code == SL_OK) {
        code = check_value(value, "sl_object_set", "value", error);
    }
    if (code == SL_OK) {
        sl__invocation_add(&invocation, value);
    }
    return finish(object, code, &options, &invocation, NULL, error);
}

enum sl_code sl_object_item(struct sl_object *object, const struct sl_call_options *given, struct sl_value key,
                            struct sl_result *result, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code = begin(object, given, "sl_object_item", "slither._calls:item", &options, &invocation, error);
    if (code == SL_OK) {
        code = check_value(key, "sl_object_item", "key", error);
    }
    if (code == SL_OK) {
        sl__invocation_add(&invocation, key);
    }
    return finish(object, code, &options, &invocation, result, error);
}

enum sl_code sl_object_set_item(struct sl_object *object, const struct sl_call_options *given, struct sl_value key,
                                struct sl_value value, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code =
        begin(object, given, "sl_object_set_item", "slither._calls:assign_item", &options, &invocation, error);
    if (code == SL_OK) {
        code = check_value(key, "sl_object_set_item", "key", error);
    }
    if (code == SL_OK) {
        code = check_value(value, "sl_object_set_item", "value", error);
    }
    if (code == SL_OK) {
        sl__invocation_add(&invocation, key);
        sl__invocation_add(&invocation, value);
    }
    return finish(object, code, &options, &invocation, NULL, error);
}

/* What needs nothing but the object. */
static enum sl_code simply(struct sl_object *object, const struct sl_call_options *given, const char *what,
                           const char *function, struct sl_result *result, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code = begin(object, given, what, function, &options, &invocation, error);
    return finish(object, code, &options, &invocation, result, error);
}

enum sl_code sl_object_length(struct sl_object *object, const struct sl_call_options *given, uint64_t *length,
                              struct sl_error *error) {
    struct sl_result result;
    *length = 0;
    enum sl_code code = simply(object, given, "sl_object_length", "slither._calls:length", &result, error);
    if (code == SL_OK && sl_value_uint(result.value, length) != SL_OK) {
        code =
            sl_error_set(error, SL_E_BAD_RESULT, "%s: its length is not a number from 0 to 2^64-1", object->type_name);
    }
    sl_result_finish(&result);
    return code;
}

enum sl_code sl_object_repr(struct sl_object *object, const struct sl_call_options *given, struct sl_result *result,
                            struct sl_error *error) {
    return simply(object, given, "sl_object_repr", "slither._calls:represent", result, error);
}

enum sl_code sl_object_enter(struct sl_object *object, const struct sl_call_options *given, struct sl_result *result,
                             struct sl_error *error) {
    return simply(object, given, "sl_object_enter", "slither._calls:enter", result, error);
}

enum sl_code sl_object_exit(struct sl_object *object, const struct sl_call_options *given, struct sl_error *error) {
    return simply(object, given, "sl_object_exit", "slither._calls:leave", NULL, error);
}
