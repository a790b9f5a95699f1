/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "inside.h"
#include "upcall/upcall.h"

#define ARGUMENTS_MAX 5 /* with the name of what is asked for */

struct question {
    struct sl_store *store;
    struct sl_table *table;
    struct sl_value arguments[ARGUMENTS_MAX];
    struct sl_writer *result;
    struct sl_error *error;
};

static enum sl_code answer_open(struct question *question) {
    sl_write_map(question->result, 1);
    sl_write_str(question->result, "path");
    sl_write_str(question->result, question->store->path);
    return SL_OK;
}

static enum sl_code read_ttl(const struct question *question, struct sl_put_options *options) {
    struct sl_value ttl = question->arguments[4];
    if (sl_value_type(ttl) == SL_TYPE_NIL) {
        return SL_OK;
    }
    if (sl_value_uint(ttl, &options->ttl_ms) == SL_OK && options->ttl_ms > 0) {
        return SL_OK;
    }
    return sl_error_set(question->error, SL_E_INVALID_ARGUMENT, "a TTL is a whole number of milliseconds from 1 on");
}

static enum sl_code answer_put(struct question *question) {
    struct sl_put_options options = SL_PUT_OPTIONS_INIT;
    enum sl_code code = read_ttl(question, &options);
    if (code == SL_OK) {
        code = sl_table_put(question->table, question->arguments[2], question->arguments[3], &options, question->error);
    }
    sl_write_nil(question->result);
    return code;
}

static enum sl_code answer_put_if_absent(struct question *question) {
    struct sl_put_options options = SL_PUT_OPTIONS_INIT;
    bool inserted = false;
    enum sl_code code = read_ttl(question, &options);
    if (code == SL_OK) {
        code = sl_table_put_if_absent(question->table, question->arguments[2], question->arguments[3], &options,
                                      &inserted, question->error);
    }
    sl_write_bool(question->result, inserted);
    return code;
}

static enum sl_code answer_delete(struct question *question) {
    uint64_t removed = 0;
    enum sl_code code = sl_table_delete(question->table, question->arguments[2], &removed, question->error);
    sl_write_uint(question->result, removed);
    return code;
}

static enum sl_code answer_increment(struct question *question) {
    int64_t delta, sum = 0;
    if (sl_value_int(question->arguments[3], &delta) != SL_OK) {
        return sl_error_set(question->error, SL_E_TYPE, "what is added to a row is an int within 64 bits");
    }
    enum sl_code code = sl_table_increment(question->table, question->arguments[2], delta, &sum, question->error);
    sl_write_int(question->result, sum);
    return code;
}

struct swap {
    struct sl_value old, new; /* no value: no row */
    bool done;
};

static enum sl_code swap_row(void *context, struct sl_value old, struct sl_writer *writer,
                             enum sl_update_action *action, struct sl_error *error) {
    struct swap *swap = context;
    (void)error;
    /* Not byte for byte: what Python has read and sends back may be encoded in another way. */
    swap->done = (old.size == 0) == (swap->old.size == 0) && (old.size == 0 || sl_value_equal(old, swap->old));
    if (!swap->done) {
        *action = SL_UPDATE_KEEP;
    } else if (swap->new.size == 0) {
        *action = old.size == 0 ? SL_UPDATE_KEEP : SL_UPDATE_DELETE;
    } else {
        sl_write_value(writer, swap->new);
        *action = SL_UPDATE_PUT;
    }
    return SL_OK;
}

/* The one entry of a list, or no value. */
static enum sl_code read_option(const struct question *question, struct sl_value list, struct sl_value *entry) {
    uint32_t count;
    *entry = (struct sl_value){NULL, 0};
    if (sl_value_count(list, &count) == SL_OK && sl_value_type(list) == SL_TYPE_LIST && count <= 1) {
        return count == 0 ? SL_OK : sl_value_at(list, 0, entry);
    }
    return sl_error_set(question->error, SL_E_TYPE, "a row is a list of at most one value");
}

static enum sl_code answer_swap(struct question *question) {
    struct swap swap = {0};
    enum sl_code code = read_option(question, question->arguments[3], &swap.old);
    if (code == SL_OK) {
        code = read_option(question, question->arguments[4], &swap.new);
    }
    if (code == SL_OK) {
        code = sl_table_update(question->table, question->arguments[2], swap_row, &swap, question->error);
    }
    sl_write_bool(question->result, swap.done);
    return code;
}

static const struct {
    const char *name;
    uint32_t argument_count;
    enum sl_code (*answer)(struct question *question);
} kinds[] = {
    {"open", 1, answer_open},
    {"put", 5, answer_put},
    {"put_if_absent", 5, answer_put_if_absent},
    {"delete", 3, answer_delete},
    {"increment", 4, answer_increment},
    {"swap", 5, answer_swap},
};

static enum sl_code find_table(struct question *question) {
    const char *name;
    size_t size;
    char copy[SL_STORE_NAME_SIZE_MAX + 1];
    if (sl_value_str(question->arguments[1], &name, &size) != SL_OK || size > SL_STORE_NAME_SIZE_MAX ||
        memchr(name, '\0', size) != NULL) {
        return sl_error_set(question->error, SL_E_INVALID_ARGUMENT,
                            "a table's name is a str of 1 to %d bytes without NUL", SL_STORE_NAME_SIZE_MAX);
    }
    memcpy(copy, name, size);
    copy[size] = '\0';
    return sl_table_open(question->store, copy, NULL, &question->table, question->error);
}

static enum sl_code answer(void *context, const struct sl_view_call *call, struct sl_writer *result,
                           struct sl_error *error) {
    struct question question = {.store = context, .result = result, .error = error};
    uint32_t count = 0;
    const char *name;
    size_t size;
    struct sl_iter iter;
    if (sl_iter_init(&iter, call->positional) == SL_OK) {
        while (count < ARGUMENTS_MAX && sl_iter_next(&iter, NULL, &question.arguments[count])) {
            count++;
        }
    }
    if (count == 0 || sl_value_str(question.arguments[0], &name, &size) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "what is asked of the store is missing; use slither.store()");
    }
    for (size_t i = 0; i < SL_COUNT_OF(kinds); i++) {
        if (size != strlen(kinds[i].name) || memcmp(name, kinds[i].name, size) != 0) {
            continue;
        }
        if (count != kinds[i].argument_count) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT, "'%s' of a store takes %u arguments, not %u",
                                kinds[i].name, kinds[i].argument_count - 1, count - 1);
        }
        enum sl_code code = count > 1 ? find_table(&question) : SL_OK;
        return code == SL_OK ? kinds[i].answer(&question) : code;
    }
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "a store cannot be asked for '%.*s'", (int)SL_MIN(size, 40u),
                        name);
}

enum sl_code sl__store_answer_begin(struct sl_runtime *runtime, struct sl_store *store, const char *name,
                                    struct sl_view **view, struct sl_error *error) {
    char view_name[SL_STORE_NAME_SIZE_MAX + 32];
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    (void)snprintf(view_name, sizeof(view_name), "slither.store:%s", name);
    options.name = view_name;
    options.call = answer;
    options.context = store;
    return sl__view_register(runtime, &options, view, error);
}
