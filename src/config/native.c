/* SPDX-License-Identifier: MIT */
/* The functions of native stages, of routes and of strategies. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "file.h"

/* ---- jq ---------------------------------------------------------------------------------------------------------- */

enum sl_code sl__call_jq(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {
    struct sl__native *native = context;
    bool many = native->said->cardinality == SL_CARDINALITY_MANY;
    struct sl__jq_run *run;
    uint32_t count = 0;
    enum sl_code code = sl__jq_begin(native->jq, item->value, &run, error);
    if (code != SL_OK) {
        return code;
    }
    for (jv result; (code = sl__jq_next(run, &result, error)) == SL_OK; count++) {
        if (count == 1 && !many) {
            code = sl_error_set(error, SL_E_BAD_RESULT,
                                "%s: the jq program gives more than one value for the item: say `cardinality: many` if "
                                "it is to be several items",
                                native->where);
            break;
        }
        code = sl__jq_write(run, result, sl_emit_begin(emit), error);
        if (code != SL_OK) {
            break;
        }
        sl_emit_end(emit);
    }
    sl__jq_end(run);
    return code == SL_E_END ? SL_OK : code;
}

enum sl_code sl__take_route(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    struct sl__native *native = context;
    return sl__jq_test(native->jq, item->value, taken, error);
}

enum sl_code sl__place_weighted(void *context, const struct sl_item *item, struct sl_placement *placement,
                                struct sl_error *error) {
    struct sl__native *native = context;
    return sl__jq_weight(native->weight, item->value, &placement->weight, error);
}

/* The value of a member that equals the key: the report's list of frequent keys needs one that outlives this call. */
static struct sl_value find_in(struct sl_value item, struct sl_value key) {
    struct sl_iter iter;
    struct sl_value name, value;
    if (sl_value_type(item) == SL_TYPE_MAP && sl_iter_init(&iter, item) == SL_OK) {
        while (sl_iter_next(&iter, &name, &value)) {
            if (sl_value_equal(value, key)) {
                return value;
            }
        }
    }
    return (struct sl_value){NULL, 0};
}

enum sl_code sl__place_key(void *context, const struct sl_item *item, struct sl_placement *placement,
                           struct sl_error *error) {
    struct sl__native *native = context;
    struct sl_writer writer;
    struct sl_value key = {NULL, 0};
    sl_writer_init(&writer, NULL);
    enum sl_code code = sl__jq_one(native->jq, item->value, &writer, &key, error);
    if (code == SL_OK) {
        uint64_t hash = sl_value_hash(key);
        placement->key = hash != 0 ? hash : 1; /* 0 says that there is no key */
        bool inside = key.data >= item->value.data && key.data < item->value.data + item->value.size;
        placement->key_value = inside ? key : find_in(item->value, key);
    }
    sl_writer_finish(&writer);
    return code == SL_OK && native->weight != NULL ? sl__place_weighted(context, item, placement, error) : code;
}

/* ---- lookup ------------------------------------------------------------------------------------------------------ */

/* The item with one member more, or with that member replaced where it stands. */
static void write_with(struct sl_writer *writer, struct sl_value item, const char *as, struct sl_value found) {
    struct sl_iter iter;
    struct sl_value key, value;
    uint32_t count = 0;
    bool replaced = false;
    (void)!sl_value_count(item, &count);
    struct sl_value old;
    bool has = sl_value_get(item, as, &old) == SL_OK;
    sl_write_map(writer, count + !has);
    if (sl_iter_init(&iter, item) == SL_OK) {
        while (sl_iter_next(&iter, &key, &value)) {
            bool same = has && value.data == old.data && value.size == old.size;
            sl_write_value(writer, key);
            sl_write_value(writer, same ? found : value);
            replaced = replaced || same;
        }
    }
    if (!has) {
        sl_write_str(writer, as);
        sl_write_value(writer, found);
    }
}

static enum sl_code give(const struct sl__native *native, const struct sl_pipe_item *item, struct sl_value found,
                         struct sl_emit *emit, struct sl_error *error) {
    const char *as = native->said->lookup.as;
    if (as == NULL) {
        sl_emit(emit, found);
        return SL_OK;
    }
    if (sl_value_type(item->value) != SL_TYPE_MAP) {
        return sl_error_set(error, SL_E_TYPE, "%s: the item is a %s: only a map can get a member \"%.64s\"",
                            native->where, sl_type_name(sl_value_type(item->value)), as);
    }
    write_with(sl_emit_begin(emit), item->value, as, found);
    sl_emit_end(emit);
    return SL_OK;
}

static enum sl_code look_up(struct sl__native *native, const struct sl_pipe_item *item, struct sl_writer *memory,
                            struct sl_emit *emit, struct sl_error *error) {
    static const uint8_t nil[] = {0xc0};
    struct sl_writer key_memory;
    struct sl_value key, found;
    struct sl_error inner = SL_ERROR_INIT;
    const struct sl__lookup_part *said = &native->said->lookup;
    sl_writer_init(&key_memory, NULL);
    enum sl_code code = sl__jq_one(native->jq, item->value, &key_memory, &key, error);
    if (code == SL_OK) {
        code = sl_table_get(native->table, key, memory, &found, &inner);
        if (code == SL_OK) {
            code = give(native, item, found, emit, error);
        } else if (code != SL_E_NOT_FOUND) {
            code = sl_error_set(error, code, "%s: %s", native->where, inner.message);
        } else if (said->missing == SL__MISSING_NULL) {
            code = give(native, item, (struct sl_value){nil, sizeof nil}, emit, error);
        } else if (said->missing == SL__MISSING_SKIP) {
            sl_emit_skip(emit, "not in the table");
            code = SL_OK;
        } else {
            code = sl_error_set(error, SL_E_NOT_FOUND, "%s: table %s of store %s has no such key", native->where,
                                said->table, said->store);
        }
    }
    sl_error_finish(&inner);
    sl_writer_finish(&key_memory);
    return code;
}

enum sl_code sl__call_lookup(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                             struct sl_error *error) {
    struct sl__native *native = context;
    struct sl_writer memory;
    if (native->table == NULL) {
        return sl_error_set(error, SL_E_CLOSED, "%s: the pipe file was not started", native->where);
    }
    sl_writer_init(&memory, NULL);
    enum sl_code code = look_up(native, item, &memory, emit, error);
    sl_writer_finish(&memory);
    return code;
}

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

enum sl_code sl__call_plugin(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                             struct sl_error *error) {
    struct sl__native *native = context;
    if (!native->plugin_ready) {
        return sl_error_set(error, SL_E_CLOSED, "%s: the pipe file was not started", native->where);
    }
    return native->plugin.call(native->plugin_context, item, emit, error);
}
