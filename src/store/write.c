/* SPDX-License-Identifier: MIT */
/* Public writes: each as a function of a transaction, and as a transaction of its own. */
#include <string.h>

#include "base/checked.h"
#include "inside.h"
#include "wire/writer.h"

/* What one write is given and gives. */
struct call {
    struct sl_table *table;
    struct sl_value key;
    struct sl_value value;
    const struct sl_put_options *options;
    enum sl__put_mode mode;
    sl_update_fn *function;
    void *context;
    int64_t delta;
    const struct sl_scan_options *scan;
    uint64_t count;
    int64_t number;
    bool flag;
};

static enum sl_code put(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct call *call = context;
    uint8_t key[SL_STORE_KEY_BYTES_MAX];
    size_t key_size;
    uint64_t ttl_ms;
    enum sl_code code = sl__rows_table(transaction, call->table, error);
    if (code == SL_OK) {
        code = sl__key_encode(call->key, key, &key_size, error);
    }
    if (code == SL_OK) {
        code = sl__rows_check_value(call->value, error);
    }
    if (code == SL_OK) {
        code = sl__rows_ttl(call->options, &ttl_ms, error);
    }
    if (code == SL_OK) {
        code = sl__rows_put(transaction, call->table, key, key_size, call->key, call->value, ttl_ms, call->mode, false,
                            &call->flag, error);
    }
    return code;
}

static enum sl_code refuse_bag(const struct sl_table *table, const char *what, struct sl_error *error) {
    return sl_error_set(error, SL_E_TYPE, "table \"%s\" is a bag, whose keys have several values: %s needs a set",
                        table->name->name, what);
}

static enum sl_code update(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct call *call = context;
    struct sl_value old = {NULL, 0};
    enum sl_update_action action = SL_UPDATE_PUT;
    enum sl_code code = sl__rows_get(transaction, call->table, call->key, &old, error);
    if (code == SL_E_NOT_FOUND && call->table->record.id != 0) {
        code = SL_OK;
        old = (struct sl_value){NULL, 0};
    }
    if (code != SL_OK) {
        return code;
    }
    if (call->table->record.kind == SL_TABLE_BAG) {
        return refuse_bag(call->table, "an update", error);
    }
    sl_writer_reset(&transaction->update);
    struct sl_error local = SL_ERROR_INIT;
    struct sl_error *at = error != NULL ? error : &local;
    transaction->hook_running = true;
    code = call->function(call->context, old, &transaction->update, &action, at);
    transaction->hook_running = false;
    if (code != SL_OK) {
        if (at->code != code) {
            (void)sl_error_set(at, code, "the update function of a row of table \"%s\" failed: %s",
                               call->table->name->name, sl_code_text(code));
        }
        (void)sl__transaction_break(transaction, code, at);
        sl_error_finish(&local);
        return code;
    }
    sl_error_finish(&local);
    if (action == SL_UPDATE_KEEP) {
        return SL_OK;
    }
    if (action == SL_UPDATE_DELETE) {
        return sl__rows_delete(transaction, call->table, call->key, NULL, &call->count, error);
    }
    if (action != SL_UPDATE_PUT) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "the update function answered with action %d; expected one of enum sl_update_action",
                            (int)action);
    }
    code = sl_writer_end(&transaction->update, &call->value, error);
    if (code == SL_OK) {
        call->mode = SL__PUT_REPLACE;
        code = put(transaction, call, error);
    }
    return code;
}

static enum sl_code increment(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct call *call = context;
    struct sl_value old;
    struct sl_key memory;
    int64_t number = 0;
    enum sl_code code = sl__rows_get(transaction, call->table, call->key, &old, error);
    if (code == SL_E_NOT_FOUND && call->table->record.id != 0) {
        code = SL_OK;
    } else if (code == SL_OK && call->table->record.kind != SL_TABLE_BAG) {
        code = sl_value_int(old, &number);
        if (code != SL_OK) {
            return sl_error_set(error, code,
                                "increment: the value in table \"%s\" is %s; expected an int from -2^63 to 2^63-1",
                                call->table->name->name, sl_type_name(sl_value_type(old)));
        }
    }
    if (code != SL_OK) {
        return code;
    }
    if (call->table->record.kind == SL_TABLE_BAG) {
        return refuse_bag(call->table, "an increment", error);
    }
    if (!sl__add_i64(number, call->delta, &call->number)) {
        return sl_error_set(error, SL_E_RANGE, "increment: %lld + %lld is not within 64 bits", (long long)number,
                            (long long)call->delta);
    }
    call->value = sl_key_int(&memory, call->number);
    call->mode = SL__PUT_REPLACE;
    return put(transaction, call, error);
}

static enum sl_code delete_key(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct call *call = context;
    return sl__rows_delete(transaction, call->table, call->key, NULL, &call->count, error);
}

static enum sl_code delete_pair(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct call *call = context;
    if (call->value.size == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the value of the pair is missing");
    }
    return sl__rows_delete(transaction, call->table, call->key, &call->value, &call->count, error);
}

static enum sl_code delete_range(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct call *call = context;
    return sl__rows_delete_range(transaction, call->table, call->scan, &call->count, error);
}

static enum sl_code once(const char *function, struct call *call, sl__write_body *body, struct sl_error *error) {
    if (call->table == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: `table` is NULL", function);
    }
    return sl__write_once(call->table->store, function, body, call, error);
}

/* ---- a transaction of its own ----------------------------------------------------------------------------------- */

enum sl_code sl_table_put(struct sl_table *table, struct sl_value key, struct sl_value value,
                          const struct sl_put_options *options, struct sl_error *error) {
    struct call call = {.table = table, .key = key, .value = value, .options = options};
    return once("sl_table_put", &call, put, error);
}

enum sl_code sl_table_put_if_absent(struct sl_table *table, struct sl_value key, struct sl_value value,
                                    const struct sl_put_options *options, bool *inserted, struct sl_error *error) {
    struct call call = {.table = table, .key = key, .value = value, .options = options, .mode = SL__PUT_IF_ABSENT};
    enum sl_code code = once("sl_table_put_if_absent", &call, put, error);
    if (code == SL_OK && inserted != NULL) {
        *inserted = call.flag;
    }
    return code;
}

enum sl_code sl_table_update(struct sl_table *table, struct sl_value key, sl_update_fn *function, void *context,
                             struct sl_error *error) {
    struct call call = {.table = table, .key = key, .function = function, .context = context};
    if (function == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_update: `function` is NULL");
    }
    return once("sl_table_update", &call, update, error);
}

enum sl_code sl_table_increment(struct sl_table *table, struct sl_value key, int64_t delta, int64_t *result,
                                struct sl_error *error) {
    struct call call = {.table = table, .key = key, .delta = delta};
    enum sl_code code = once("sl_table_increment", &call, increment, error);
    if (code == SL_OK && result != NULL) {
        *result = call.number;
    }
    return code;
}

static enum sl_code give_count(enum sl_code code, const struct call *call, uint64_t *removed) {
    if (code == SL_OK && removed != NULL) {
        *removed = call->count;
    }
    return code;
}

enum sl_code sl_table_delete(struct sl_table *table, struct sl_value key, uint64_t *removed, struct sl_error *error) {
    struct call call = {.table = table, .key = key};
    return give_count(once("sl_table_delete", &call, delete_key, error), &call, removed);
}

enum sl_code sl_table_delete_pair(struct sl_table *table, struct sl_value key, struct sl_value value, bool *removed,
                                  struct sl_error *error) {
    struct call call = {.table = table, .key = key, .value = value};
    enum sl_code code = once("sl_table_delete_pair", &call, delete_pair, error);
    if (code == SL_OK && removed != NULL) {
        *removed = call.count > 0;
    }
    return code;
}

enum sl_code sl_table_delete_range(struct sl_table *table, const struct sl_scan_options *given, uint64_t *removed,
                                   struct sl_error *error) {
    struct sl_scan_options options;
    struct call call = {.table = table, .scan = &options};
    enum sl_code code = sl__scan_options_take(given, &options, error);
    return code == SL_OK ? give_count(once("sl_table_delete_range", &call, delete_range, error), &call, removed) : code;
}

struct many {
    struct sl_table *table;
    const struct sl_row *rows;
    size_t count;
    const struct sl_put_options *options;
    sl_row_source_fn *source;
    void *context;
    uint64_t row_count;
};

static enum sl_code put_many(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct many *many = context;
    enum sl_code code = SL_OK;
    for (size_t i = 0; i < many->count && code == SL_OK; i++) {
        struct call call = {
            .table = many->table, .key = many->rows[i].key, .value = many->rows[i].value, .options = many->options};
        code = put(transaction, &call, error);
    }
    return code;
}

static enum sl_code put_all(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct many *many = context;
    enum sl_code code;
    for (;;) {
        struct sl_row row = {{NULL, 0}, {NULL, 0}};
        code = many->source(many->context, &row, error);
        if (code != SL_OK) {
            return code == SL_E_END ? SL_OK : code;
        }
        struct call call = {.table = many->table, .key = row.key, .value = row.value};
        code = put(transaction, &call, error);
        if (code != SL_OK) {
            return code;
        }
        many->row_count++;
    }
}

enum sl_code sl_table_put_many(struct sl_table *table, const struct sl_row *rows, size_t count,
                               const struct sl_put_options *options, struct sl_error *error) {
    struct many many = {.table = table, .rows = rows, .count = count, .options = options};
    if (table == NULL || (rows == NULL && count > 0)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_put_many: `%s` is NULL",
                            table == NULL ? "table" : "rows");
    }
    return sl__write_once(table->store, "sl_table_put_many", put_many, &many, error);
}

enum sl_code sl_table_bulk_insert(struct sl_table *table, sl_row_source_fn *source, void *context, uint64_t *row_count,
                                  struct sl_error *error) {
    struct many many = {.table = table, .source = source, .context = context};
    struct sl_transaction *transaction;
    if (table == NULL || source == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_bulk_insert: `%s` is NULL",
                            table == NULL ? "table" : "source");
    }
    /* Not sl__write_once: a source cannot be asked again. */
    enum sl_code code = sl_transaction_begin(table->store, &transaction, error);
    if (code != SL_OK) {
        return code;
    }
    code = put_all(transaction, &many, error);
    if (code != SL_OK) {
        sl_transaction_abort(transaction);
        return code;
    }
    code = sl_transaction_commit(transaction, error);
    if (code == SL_OK && row_count != NULL) {
        *row_count = many.row_count;
    }
    return code;
}

struct sweep {
    uint64_t row_max;
    uint64_t removed;
};

static enum sl_code sweep(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct sweep *call = context;
    return sl__rows_sweep(transaction, call->row_max, &call->removed, error);
}

enum sl_code sl_store_sweep(struct sl_store *store, uint64_t row_max, uint64_t *removed, struct sl_error *error) {
    struct sweep call = {row_max, 0};
    enum sl_code code = sl__write_once(store, "sl_store_sweep", sweep, &call, error);
    if (code == SL_OK && removed != NULL) {
        *removed = call.removed;
    }
    return code;
}

/* ---- within a transaction --------------------------------------------------------------------------------------- */

/* What is wrong with the call itself leaves the transaction as it was; whatever else goes wrong has broken it already. */
static enum sl_code within(const char *function, struct sl_transaction *transaction, struct call *call,
                           sl__write_body *body, struct sl_error *error) {
    if (transaction == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: `transaction` is NULL", function);
    }
    enum sl_code code = sl__store_usable(transaction->store, function, error);
    if (code != SL_OK) {
        return code;
    }
    if (atomic_load_explicit(&transaction->store->writer, memory_order_relaxed) != (uintptr_t)pthread_self()) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: the transaction is over, or another thread's", function);
    }
    return body(transaction, call, error);
}

enum sl_code sl_transaction_put(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                                struct sl_value value, const struct sl_put_options *options, struct sl_error *error) {
    struct call call = {.table = table, .key = key, .value = value, .options = options};
    return within("sl_transaction_put", transaction, &call, put, error);
}

enum sl_code sl_transaction_put_if_absent(struct sl_transaction *transaction, struct sl_table *table,
                                          struct sl_value key, struct sl_value value,
                                          const struct sl_put_options *options, bool *inserted,
                                          struct sl_error *error) {
    struct call call = {.table = table, .key = key, .value = value, .options = options, .mode = SL__PUT_IF_ABSENT};
    enum sl_code code = within("sl_transaction_put_if_absent", transaction, &call, put, error);
    if (code == SL_OK && inserted != NULL) {
        *inserted = call.flag;
    }
    return code;
}

enum sl_code sl_transaction_update(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                                   sl_update_fn *function, void *context, struct sl_error *error) {
    struct call call = {.table = table, .key = key, .function = function, .context = context};
    if (function == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_transaction_update: `function` is NULL");
    }
    return within("sl_transaction_update", transaction, &call, update, error);
}

enum sl_code sl_transaction_increment(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                                      int64_t delta, int64_t *result, struct sl_error *error) {
    struct call call = {.table = table, .key = key, .delta = delta};
    enum sl_code code = within("sl_transaction_increment", transaction, &call, increment, error);
    if (code == SL_OK && result != NULL) {
        *result = call.number;
    }
    return code;
}

enum sl_code sl_transaction_delete(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                                   uint64_t *removed, struct sl_error *error) {
    struct call call = {.table = table, .key = key};
    return give_count(within("sl_transaction_delete", transaction, &call, delete_key, error), &call, removed);
}

enum sl_code sl_transaction_delete_pair(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                                        struct sl_value value, bool *removed, struct sl_error *error) {
    struct call call = {.table = table, .key = key, .value = value};
    enum sl_code code = within("sl_transaction_delete_pair", transaction, &call, delete_pair, error);
    if (code == SL_OK && removed != NULL) {
        *removed = call.count > 0;
    }
    return code;
}

enum sl_code sl_transaction_get(struct sl_transaction *transaction, struct sl_table *table, struct sl_value key,
                                struct sl_value *value, struct sl_error *error) {
    if (transaction == NULL || value == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_transaction_get: `%s` is NULL",
                            transaction == NULL ? "transaction" : "value");
    }
    enum sl_code code = sl__store_usable(transaction->store, "sl_transaction_get", error);
    return code == SL_OK ? sl__rows_get(transaction, table, key, value, error) : code;
}

/* ---- hook ------------------------------------------------------------------------------------------------------- */

struct hook {
    struct sl_table *table;
    sl_write_fn *function;
    void *context;
};

static enum sl_code set_hook(struct sl_transaction *transaction, void *context, struct sl_error *error) {
    struct hook *hook = context;
    (void)transaction;
    (void)error;
    hook->table->hook = hook->function;
    hook->table->hook_context = hook->context;
    return SL_OK;
}

enum sl_code sl_table_set_hook(struct sl_table *table, sl_write_fn *function, void *context, struct sl_error *error) {
    struct hook hook = {table, function, context};
    if (table == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_table_set_hook: `table` is NULL");
    }
    return sl__write_once(table->store, "sl_table_set_hook", set_hook, &hook, error);
}
