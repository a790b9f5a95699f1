/* SPDX-License-Identifier: MIT */
/* Calls by name, and iterations. */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "invoke.h"

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

static enum sl_code begin(struct sl_pool *pool, const struct sl_call_options *given, const char *what,
                          const char *function, const char *target, struct sl_value args, struct sl_value kwargs,
                          struct sl_call_options *options, struct sl__invocation *invocation, struct sl_error *error) {
    sl__invocation_init(invocation, function);
    if (pool == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: `pool` is NULL", what);
    }
    enum sl_code code = sl__invoke_options(given, options, what, error);
    if (code == SL_OK) {
        code = sl__invoke_check_target(what, target, error);
    }
    if (code == SL_OK) {
        code = sl__invoke_check(what, args, kwargs, error);
    }
    if (code == SL_OK) {
        code = sl__invocation_add_text(invocation, target, error);
    }
    if (code == SL_OK) {
        sl__invocation_label(invocation, target, NULL);
        sl__invocation_add(invocation, args);
        sl__invocation_add(invocation, kwargs);
    }
    return code;
}

enum sl_code sl_call(struct sl_pool *pool, const struct sl_call_options *given, const char *target,
                     struct sl_value args, struct sl_value kwargs, struct sl_result *result, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    struct sl__keeper *keeper = NULL;
    *result = (struct sl_result)SL_RESULT_INIT;
    enum sl_code code =
        begin(pool, given, "sl_call", "slither._calls:call", target, args, kwargs, &options, &invocation, error);
    if (code == SL_OK) {
        code = sl__keeper_make(pool, options.session, &keeper, error);
    }
    if (code == SL_OK) {
        code = sl__invoke(keeper, NULL, &options, &invocation, result, error);
        sl__keeper_unref(keeper);
    }
    sl__invocation_finish(&invocation);
    return code;
}

enum sl_code sl_call_async(struct sl_pool *pool, const struct sl_call_options *given, const char *target,
                           struct sl_value args, struct sl_value kwargs, sl_call_done_fn *done, void *context,
                           struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    enum sl_code code =
        begin(pool, given, "sl_call_async", "slither._calls:call", target, args, kwargs, &options, &invocation, error);
    if (code == SL_OK) {
        code = sl__async_submit(pool, NULL, &options, &invocation, done, context, error);
    }
    sl__invocation_finish(&invocation);
    return code;
}

/* ---- iterations -------------------------------------------------------------------------------------------------------- */

struct sl_iteration {
    struct sl_object *source; /* NULL: Python has no more */
    struct sl__keeper *keeper;
    struct sl_call_options options;
    uint8_t *context; /* what options.context points to */
    struct sl__invocation invocation;
    struct sl_writer count; /* of the items that are asked for */
    uint32_t chunk;
    struct sl_result result; /* the chunk that is being consumed */
    struct sl_iter items;
    struct sl_error ended; /* once it is over: why; code SL_E_END, SL_OK before */
};

/* `begun` is what slither._calls has given: a ref of the iteration there. Takes it over. */
static enum sl_code make(struct sl__keeper *keeper, const struct sl_call_options *options, const char *label,
                         struct sl_result *begun, struct sl_iteration **out, struct sl_error *error) {
    struct sl_iteration *iteration = calloc(1, sizeof *iteration);
    uint8_t *context = options->context.size > 0 ? malloc(options->context.size) : NULL;
    enum sl_code code = SL_OK;
    if (iteration == NULL || (context == NULL && options->context.size > 0)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an iteration");
    } else {
        code = sl_object_take(begun, begun->value, &iteration->source, error);
    }
    sl_result_finish(begun);
    if (code != SL_OK) {
        free(iteration);
        free(context);
        return code;
    }
    iteration->keeper = sl__keeper_ref(keeper);
    iteration->options = *options;
    if (context != NULL) {
        memcpy(context, options->context.data, options->context.size);
        iteration->context = context;
        iteration->options.context.data = context;
    }
    iteration->options.buffers = NULL; /* they were for the arguments */
    iteration->options.buffer_count = 0;
    iteration->chunk = 1;
    iteration->ended = (struct sl_error)SL_ERROR_INIT;
    sl_writer_init(&iteration->count, NULL);
    sl__invocation_init(&iteration->invocation, "slither._calls:chunk");
    sl__invocation_label(&iteration->invocation, label, NULL);
    *out = iteration;
    return SL_OK;
}

enum sl_code sl_call_iterate(struct sl_pool *pool, const struct sl_call_options *given, const char *target,
                             struct sl_value args, struct sl_value kwargs, struct sl_iteration **iteration,
                             struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    struct sl__keeper *keeper = NULL;
    struct sl_result result = SL_RESULT_INIT;
    *iteration = NULL;
    enum sl_code code = begin(pool, given, "sl_call_iterate", "slither._calls:iterate", target, args, kwargs, &options,
                              &invocation, error);
    if (code == SL_OK) {
        code = sl__keeper_make(pool, options.session, &keeper, error);
    }
    if (code == SL_OK) {
        code = sl__invoke(keeper, NULL, &options, &invocation, &result, error);
        if (code == SL_OK) {
            code = make(keeper, &options, invocation.label, &result, iteration, error);
        }
        sl__keeper_unref(keeper);
    }
    sl__invocation_finish(&invocation);
    return code;
}

enum sl_code sl_object_iterate(struct sl_object *object, const struct sl_call_options *given,
                               struct sl_iteration **iteration, struct sl_error *error) {
    struct sl_call_options options;
    struct sl__invocation invocation;
    struct sl_result result = SL_RESULT_INIT;
    *iteration = NULL;
    sl__invocation_init(&invocation, "slither._calls:iterate_object");
    sl__invocation_label(&invocation, object->type_name, NULL);
    sl__invocation_add(&invocation, sl_object_value(object));
    enum sl_code code = sl__invoke_options(given, &options, "sl_object_iterate", error);
    if (code == SL_OK) {
        code = sl__object_check_session(object, &options, "sl_object_iterate", error);
    }
    if (code == SL_OK) {
        code = sl__invoke(object->keeper, object, &options, &invocation, &result, error);
    }
    if (code == SL_OK) {
        code = make(object->keeper, &options, invocation.label, &result, iteration, error);
    }
    sl__invocation_finish(&invocation);
    return code;
}

/* It gives that from now on. */
static enum sl_code end(struct sl_iteration *iteration) {
    sl_result_finish(&iteration->result);
    sl_object_unref(iteration->source);
    iteration->source = NULL;
    iteration->items = (struct sl_iter){0};
    return iteration->ended.code;
}

static enum sl_code broken(struct sl_iteration *iteration) {
    return sl_error_set(&iteration->ended, SL_E_BAD_RESULT, "%s: the worker's answer is no chunk of an iteration",
                        iteration->invocation.label);
}

/* The next chunk: [whether that was all, the items]. Twice as many as the last time, if those came. */
static enum sl_code fetch(struct sl_iteration *iteration) {
    struct sl_value over, items, number;
    uint32_t count;
    bool all;
    sl_result_finish(&iteration->result);
    sl_writer_reset(&iteration->count);
    sl_write_uint(&iteration->count, iteration->chunk);
    enum sl_code code = sl_writer_end(&iteration->count, &number, &iteration->ended);
    if (code != SL_OK) {
        return code;
    }
    iteration->invocation.count = 0;
    sl__invocation_add(&iteration->invocation, sl_object_value(iteration->source));
    sl__invocation_add(&iteration->invocation, number);
    code = sl__invoke(iteration->keeper, NULL, &iteration->options, &iteration->invocation, &iteration->result,
                      &iteration->ended);
    if (code != SL_OK) {
        iteration->ended.code = code;
        return code;
    }
    if (sl_value_type(iteration->result.value) != SL_TYPE_LIST ||
        sl_value_at(iteration->result.value, 0, &over) != SL_OK || sl_value_bool(over, &all) != SL_OK ||
        sl_value_at(iteration->result.value, 1, &items) != SL_OK || sl_value_count(items, &count) != SL_OK ||
        sl_iter_init(&iteration->items, items) != SL_OK || (count == 0 && !all)) {
        return broken(iteration);
    }
    if (count == iteration->chunk) {
        iteration->chunk = SL_MIN(iteration->chunk * 2, iteration->options.chunk_max);
    }
    if (all) {
        sl_object_unref(iteration->source);
        iteration->source = NULL;
    }
    return SL_OK;
}

enum sl_code sl_iteration_next(struct sl_iteration *iteration, struct sl_value *value, struct sl_error *error) {
    *value = (struct sl_value){NULL, 0};
    while (iteration->ended.code == SL_OK) {
        if (iteration->items.remaining > 0 && sl_iter_next(&iteration->items, NULL, value)) {
            return SL_OK;
        }
        if (iteration->source == NULL) {
            (void)sl_error_set(&iteration->ended, SL_E_END, "%s: there are no more items", iteration->invocation.label);
        } else {
            (void)fetch(iteration);
        }
    }
    if (error != NULL) {
        sl_error_copy(error, &iteration->ended);
    }
    return end(iteration);
}

enum sl_code sl_iteration_take(struct sl_iteration *iteration, struct sl_value ref, struct sl_object **object,
                               struct sl_error *error) {
    return sl_object_take(&iteration->result, ref, object, error);
}

void sl_iteration_close(struct sl_iteration *iteration) {
    if (iteration == NULL) {
        return;
    }
    (void)end(iteration);
    sl__keeper_unref(iteration->keeper);
    sl__invocation_finish(&iteration->invocation);
    sl_writer_finish(&iteration->count);
    sl_error_finish(&iteration->ended);
    free(iteration->context);
    free(iteration);
}
