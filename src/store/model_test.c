/* SPDX-License-Identifier: MIT */
/* Tables against a model: arrays that are sorted and searched in the plainest way. */
#include "store_testing.h"

#include "store/store.h"

#define STEPS 4000
#define ROWS_MAX 4096

/* ---- model ------------------------------------------------------------------------------------------------------ */

struct row {
    struct sl_value key, value; /* own memory */
    uint64_t number;            /* of its insertion */
    uint64_t expiry_ns;         /* 0: never */
};

struct model {
    enum sl_table_kind kind;
    uint64_t ttl_ns;
    struct row rows[ROWS_MAX]; /* sorted by key, then number */
    size_t count;
    uint64_t next;
};

static _Atomic uint64_t now_ns = 1000000000; /* the thread of the store looks at it too */

static uint64_t test_clock(void) {
    return now_ns;
}

static struct sl_value own(struct sl_value value) {
    return (struct sl_value){testing_copy(value.data, value.size), value.size};
}

static bool same_bytes(struct sl_value a, struct sl_value b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static void model_remove(struct model *model, size_t at) {
    free((void *)model->rows[at].key.data);
    free((void *)model->rows[at].value.data);
    memmove(&model->rows[at], &model->rows[at + 1], (model->count - at - 1) * sizeof(struct row));
    model->count--;
}

static void model_clear(struct model *model) {
    while (model->count > 0) {
        model_remove(model, model->count - 1);
    }
}

static void model_expire(struct model *model) {
    for (size_t i = model->count; i > 0; i--) {
        if (model->rows[i - 1].expiry_ns != 0 && model->rows[i - 1].expiry_ns <= now_ns) {
            model_remove(model, i - 1);
        }
    }
}

/* The first row of a key, or -1. */
static int model_find(const struct model *model, struct sl_value key) {
    for (size_t i = 0; i < model->count; i++) {
        if (sl_value_equal(model->rows[i].key, key)) {
            return (int)i;
        }
    }
    return -1;
}

static void model_put(struct model *model, struct sl_value key, struct sl_value value, uint64_t ttl_ns) {
    uint64_t expiry_ns = ttl_ns != 0 ? now_ns + ttl_ns : 0;
    for (size_t i = 0; i < model->count; i++) {
        struct row *row = &model->rows[i];
        if (sl_value_equal(row->key, key) && (model->kind != SL_TABLE_BAG || same_bytes(row->value, value))) {
            free((void *)row->value.data);
            row->value = own(value);
            row->expiry_ns = expiry_ns;
            return;
        }
    }
    size_t at = 0;
    while (at < model->count && sl_value_compare(model->rows[at].key, key) <= 0) {
        at++;
    }
    assert_true(model->count < ROWS_MAX);
    memmove(&model->rows[at + 1], &model->rows[at], (model->count - at) * sizeof(struct row));
    model->rows[at] = (struct row){own(key), own(value), model->next++, expiry_ns};
    model->count++;
}

static uint64_t model_delete(struct model *model, struct sl_value key) {
    uint64_t removed = 0;
    for (int at; (at = model_find(model, key)) >= 0; removed++) {
        model_remove(model, (size_t)at);
    }
    return removed;
}

static struct model *model_copy(const struct model *model) {
    struct model *copy = malloc(sizeof(*copy));
    assert_non_null(copy);
    *copy = *model;
    for (size_t i = 0; i < copy->count; i++) {
        copy->rows[i].key = own(copy->rows[i].key);
        copy->rows[i].value = own(copy->rows[i].value);
    }
    return copy;
}

static void model_free(struct model *model) {
    model_clear(model);
    free(model);
}

/* Whether a scan with these options gives the row, but for its limit. */
static bool model_wants(const struct sl_scan_options *options, struct sl_value key) {
    const char *text, *start;
    size_t size, start_size;
    if (options->prefix.size > 0 &&
        (sl_value_str(key, &text, &size) != SL_OK || sl_value_str(options->prefix, &start, &start_size) != SL_OK ||
         size < start_size || memcmp(text, start, start_size) != 0)) {
        return false;
    }
    if (options->key.size > 0 && !sl_value_equal(options->key, key)) {
        return false;
    }
    if (options->from.size > 0 && sl_value_compare(key, options->from) < 0) {
        return false;
    }
    return options->to.size == 0 || sl_value_compare(key, options->to) < (options->to_included ? 1 : 0);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

struct world {
    uint64_t seed;
    struct sl_store *store;
    struct sl_table *table;
    struct model *model;
    struct sl_writer key, other, value, memory;
};

/* Few different keys, of all types, so that they meet. */
static struct sl_value random_key(struct world *world, struct sl_writer *writer) {
    static const char *const texts[] = {"", "a", "a\0b", "ab", "b"};
    static const size_t sizes[] = {0, 1, 3, 2, 1};
    uint32_t pick = testing_below(&world->seed, 5);
    sl_writer_reset(writer);
    switch (testing_below(&world->seed, 8)) {
    case 0:
        sl_write_nil(writer);
        break;
    case 1:
        sl_write_bool(writer, pick > 2);
        break;
    case 2:
    case 3:
        sl_write_int(writer, testing_below(&world->seed, 40));
        break;
    case 4:
        sl_write_float(writer, testing_below(&world->seed, 8) / 2.0);
        break;
    case 5:
        sl_write_strn(writer, texts[pick], sizes[pick]);
        break;
    case 6:
        sl_write_bytes(writer, texts[pick], sizes[pick]);
        break;
    default:
        sl_write_list(writer, 2);
        sl_write_strn(writer, texts[pick], sizes[pick]);
        sl_write_int(writer, testing_below(&world->seed, 3));
    }
    return testing_end(writer);
}

static struct sl_value random_value(struct world *world) {
    sl_writer_reset(&world->value);
    switch (testing_below(&world->seed, 20)) {
    case 0: { /* one that takes pages of its own */
        static uint8_t large[20000];
        sl_write_bytes(&world->value, large, testing_below(&world->seed, sizeof(large)));
        break;
    }
    case 1:
        testing_write_value(&world->value, &world->seed, 3, 0);
        break;
    default:
        sl_write_int(&world->value, testing_below(&world->seed, 6));
    }
    return testing_end(&world->value);
}

static struct sl_scan_options random_bounds(struct world *world) {
    struct sl_scan_options options = SL_SCAN_OPTIONS_INIT;
    switch (testing_below(&world->seed, 5)) {
    case 0:
        options.key = random_key(world, &world->key);
        break;
    case 1:
        sl_writer_reset(&world->key);
        sl_write_str(&world->key, "a");
        options.prefix = testing_end(&world->key);
        break;
    case 2:
        options.from = random_key(world, &world->key);
        break;
    case 3:
        options.from = random_key(world, &world->key);
        options.to = random_key(world, &world->other);
        options.to_included = testing_below(&world->seed, 2) == 0;
        break;
    default:
        break;
    }
    options.backward = testing_below(&world->seed, 2) == 0;
    options.limit = testing_below(&world->seed, 3) == 0 ? 1 + testing_below(&world->seed, 5) : 0;
    return options;
}

/* Rows of the model in the order of the scan: indexes into it. */
static size_t model_scan(const struct model *model, const struct sl_scan_options *options, size_t *indexes) {
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        size_t at = options->backward ? model->count - 1 - i : i;
        if (model_wants(options, model->rows[at].key) && (options->limit == 0 || count < options->limit)) {
            indexes[count++] = at;
        }
    }
    return count;
}

static void check_scan(struct world *world, struct sl_snapshot *snapshot, const struct sl_scan_options *options) {
    static size_t indexes[ROWS_MAX];
    struct sl_scan *scan;
    struct sl_value key, value;
    enum sl_code code;
    size_t count = model_scan(world->model, options, indexes), at = 0;
    OK(sl_scan_begin(world->table, snapshot, options, &scan, error));
    while ((code = sl_scan_next(scan, &key, &value, NULL)) == SL_OK) {
        assert_true(at < count);
        assert_true(sl_value_equal(key, world->model->rows[indexes[at]].key));
        assert_true(same_bytes(value, world->model->rows[indexes[at]].value));
        at++;
    }
    assert_int_equal(code, SL_E_END);
    assert_int_equal(at, count);
    sl_scan_end(scan);
}

/* What one key has, by each way there is to ask. */
static void check_key(struct world *world, struct sl_value key) {
    struct sl_value value, many[2], keys[2] = {key, key}, entry;
    bool contains;
    int at = model_find(world->model, key);
    enum sl_code code = sl_table_get(world->table, key, &world->memory, &value, NULL);
    assert_int_equal(code, at >= 0 ? SL_OK : SL_E_NOT_FOUND);
    if (code == SL_OK && world->model->kind == SL_TABLE_BAG) {
        struct sl_iter iter;
        assert_int_equal(sl_iter_init(&iter, value), SL_OK);
        size_t i = (size_t)at;
        while (sl_iter_next(&iter, NULL, &entry)) {
            assert_true(i < world->model->count && sl_value_equal(world->model->rows[i].key, key));
            assert_true(same_bytes(entry, world->model->rows[i].value));
            i++;
        }
        assert_true(i == world->model->count || !sl_value_equal(world->model->rows[i].key, key));
    } else if (code == SL_OK) {
        assert_true(same_bytes(value, world->model->rows[at].value));
    }
    OK(sl_table_contains(world->table, key, &contains, error));
    assert_int_equal(contains, at >= 0);
    OK(sl_table_get_many(world->table, keys, 2, &world->memory, many, error));
    assert_int_equal(many[1].size > 0, at >= 0);
    if (at >= 0) {
        assert_true(same_bytes(many[0], many[1]));
        assert_int_equal((uintptr_t)many[1].data % 8, 0);
    }
}

static void check_all(struct world *world) {
    struct sl_scan_options all = SL_SCAN_OPTIONS_INIT;
    struct sl_snapshot *snapshot;
    uint64_t size;
    OK(sl_snapshot_begin(world->store, &snapshot, error));
    check_scan(world, snapshot, &all);
    all.backward = true;
    check_scan(world, snapshot, &all);
    OK(sl_snapshot_size(snapshot, world->table, &size, error));
    if (world->model->ttl_ns == 0) {
        assert_int_equal(size, world->model->count);
    } else {
        assert_true(size >= world->model->count);
    }
    sl_snapshot_end(snapshot);
}

static enum sl_code next_int(void *context, struct sl_value old, struct sl_writer *writer,
                             enum sl_update_action *action, struct sl_error *error) {
    int64_t number = 0;
    (void)error;
    if (old.size > 0 && sl_value_int(old, &number) != SL_OK) {
        *action = SL_UPDATE_KEEP;
        return SL_OK;
    }
    if (number == 3) {
        *action = SL_UPDATE_DELETE;
        return SL_OK;
    }
    *(int64_t *)context = number + 1;
    sl_write_int(writer, number + 1);
    return SL_OK;
}

/* Read, change and write, on the model. */
static void model_update(struct world *world, struct sl_value key) {
    int at = model_find(world->model, key);
    int64_t number = 0;
    if (at >= 0 && sl_value_int(world->model->rows[at].value, &number) != SL_OK) {
        return;
    }
    if (number == 3) {
        (void)model_delete(world->model, key);
        return;
    }
    sl_writer_reset(&world->value);
    sl_write_int(&world->value, number + 1);
    model_put(world->model, key, testing_end(&world->value), world->model->ttl_ns);
}

static void change_in_transaction(struct world *world) {
    struct sl_transaction *transaction;
    struct model *before = model_copy(world->model);
    OK(sl_transaction_begin(world->store, &transaction, error));
    for (uint32_t i = testing_below(&world->seed, 12); i > 0; i--) {
        struct sl_value key = random_key(world, &world->key), value;
        switch (testing_below(&world->seed, 4)) {
        case 0: {
            uint64_t removed;
            OK(sl_transaction_delete(transaction, world->table, key, &removed, error));
            assert_int_equal(removed, model_delete(world->model, key));
            break;
        }
        case 1: {
            enum sl_code code = sl_transaction_get(transaction, world->table, key, &value, NULL);
            assert_int_equal(code, model_find(world->model, key) >= 0 ? SL_OK : SL_E_NOT_FOUND);
            if (code == SL_OK && world->model->kind != SL_TABLE_BAG) {
                /* What was read may be written again, to any key. */
                key = random_key(world, &world->other);
                value = own(value);
                OK(sl_transaction_put(transaction, world->table, key, value, NULL, error));
                model_put(world->model, key, value, world->model->ttl_ns);
                free((void *)value.data);
            }
            break;
        }
        default:
            value = random_value(world);
            OK(sl_transaction_put(transaction, world->table, key, value, NULL, error));
            model_put(world->model, key, value, world->model->ttl_ns);
        }
    }
    if (testing_below(&world->seed, 3) == 0) {
        sl_transaction_abort(transaction);
        model_free(world->model);
        world->model = before;
    } else {
        OK(sl_transaction_commit(transaction, error));
        model_free(before);
    }
}

static void reload(struct world *world) {
    struct sl_reload *reload;
    struct model *before = model_copy(world->model);
    OK(sl_reload_begin(world->table, &reload, error));
    FAILS(sl_reload_begin(world->table, &(struct sl_reload *){NULL}, error), SL_E_AGAIN, "being reloaded");
    model_clear(world->model);
    for (uint32_t i = testing_below(&world->seed, 60); i > 0; i--) {
        struct sl_value key = random_key(world, &world->key), value = random_value(world);
        OK(sl_reload_put(reload, key, value, NULL, error));
        model_put(world->model, key, value, world->model->ttl_ns);
    }
    if (testing_below(&world->seed, 2) == 0) {
        sl_reload_abort(reload);
        model_free(world->model);
        world->model = before;
    } else {
        OK(sl_reload_commit(reload, NULL, error));
        model_free(before);
    }
}

static void step(struct world *world) {
    struct sl_value key = random_key(world, &world->key), value = random_value(world);
    struct model *model = world->model;
    bool is_bag = model->kind == SL_TABLE_BAG, flag;
    uint64_t removed;
    int64_t number;
    model_expire(model);
    switch (testing_below(&world->seed, 40)) {
    default:
        OK(sl_table_put(world->table, key, value, NULL, error));
        model_put(model, key, value, model->ttl_ns);
        break;
    case 10:
    case 11:
    case 12:
        OK(sl_table_put_if_absent(world->table, key, value, NULL, &flag, error));
        assert_int_equal(flag, model_find(model, key) < 0);
        if (flag) {
            model_put(model, key, value, model->ttl_ns);
        }
        break;
    case 13:
    case 14:
    case 15:
    case 16:
        OK(sl_table_delete(world->table, key, &removed, error));
        assert_int_equal(removed, model_delete(model, key));
        break;
    case 17: {
        bool there = false;
        for (size_t i = 0; i < model->count && !there; i++) {
            if (sl_value_equal(model->rows[i].key, key) && same_bytes(model->rows[i].value, value)) {
                model_remove(model, i);
                there = true;
            }
        }
        OK(sl_table_delete_pair(world->table, key, value, &flag, error));
        assert_int_equal(flag, there);
        break;
    }
    case 18:
    case 19: {
        static size_t indexes[ROWS_MAX];
        struct sl_scan_options options = random_bounds(world);
        options.limit = options.limit == 0 ? 3 : options.limit;
        size_t count = model_scan(model, &options, indexes);
        OK(sl_table_delete_range(world->table, &options, &removed, error));
        assert_int_equal(removed, count);
        for (size_t i = 0; i < count; i++) {
            model_remove(model, options.backward ? indexes[i] : indexes[i] - i);
        }
        break;
    }
    case 20:
    case 21:
        if (is_bag) {
            FAILS(sl_table_update(world->table, key, next_int, &number, error), SL_E_TYPE, "is a bag");
        } else {
            OK(sl_table_update(world->table, key, next_int, &number, error));
            model_update(world, key);
        }
        break;
    case 22: {
        int at = model_find(model, key);
        number = 0;
        enum sl_code code = at >= 0 ? sl_value_int(model->rows[at].value, &number) : SL_OK;
        if (is_bag) {
            FAILS(sl_table_increment(world->table, key, 5, &number, error), SL_E_TYPE, "is a bag");
        } else if (code != SL_OK) { /* no int, or one above 2^63-1 */
            FAILS(sl_table_increment(world->table, key, 5, &number, error), code, "expected an int");
        } else if (number > INT64_MAX - 5) {
            FAILS(sl_table_increment(world->table, key, 5, &number, error), SL_E_RANGE, "is not within 64 bits");
        } else {
            int64_t sum;
            OK(sl_table_increment(world->table, key, 5, &sum, error));
            assert_int_equal(sum, number + 5);
            sl_writer_reset(&world->value);
            sl_write_int(&world->value, sum);
            model_put(model, key, testing_end(&world->value), model->ttl_ns);
        }
        break;
    }
    case 23:
    case 24:
        change_in_transaction(world);
        break;
    case 25:
        if (testing_below(&world->seed, 8) == 0) {
            reload(world);
        } else if (testing_below(&world->seed, 20) == 0) {
            OK(sl_table_clear(world->table, error));
            model_clear(model);
        }
        break;
    case 26: {
        struct sl_put_options options = SL_PUT_OPTIONS_INIT;
        options.ttl_ms = UINT64_MAX;
        OK(sl_table_put(world->table, key, value, &options, error));
        model_put(model, key, value, 0);
        break;
    }
    case 27:
        now_ns += testing_below(&world->seed, 100) * UINT64_C(1000000);
        break;
    }
    model = world->model;
    model_expire(model);
    check_key(world, random_key(world, &world->key));
    struct sl_scan_options options = random_bounds(world);
    check_scan(world, NULL, &options);
}

static void follow_model(enum sl_table_kind kind, uint64_t ttl_ms) {
    struct world world = {.seed = testing_seed()};
    char *path = testing_directory();
    world.store = testing_store(path, NULL);
    sl__store_set_clock(world.store, test_clock);
    world.model = calloc(1, sizeof(*world.model));
    assert_non_null(world.model);
    world.model->kind = kind;
    world.model->ttl_ns = ttl_ms * 1000000;
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    options.kind = kind;
    options.ttl_ms = ttl_ms;
    OK(sl_table_open(world.store, "model", &options, &world.table, error));
    /* A neighbour on either side, which nothing may touch. */
    struct sl_table *neighbour = testing_table(world.store, "neighbour", SL_TABLE_BAG);
    testing_put(neighbour, 1, 2);
    sl_writer_init(&world.key, NULL);
    sl_writer_init(&world.other, NULL);
    sl_writer_init(&world.value, NULL);
    sl_writer_init(&world.memory, NULL);
    for (int i = 0; i < STEPS; i++) {
        step(&world);
        if (i % 50 == 0) {
            check_all(&world);
        }
        if (i % 1000 == 999) {
            /* What is on disk is the same. */
            sl_store_destroy(world.store);
            world.store = testing_store(path, NULL);
            sl__store_set_clock(world.store, test_clock);
            OK(sl_table_open(world.store, "model", NULL, &world.table, error));
            OK(sl_table_open(world.store, "neighbour", NULL, &neighbour, error));
            check_all(&world);
        }
    }
    uint64_t size;
    OK(sl_table_size(neighbour, &size, error));
    assert_int_equal(size, 1);
    if (ttl_ms > 0) {
        /* Once all has been swept the count is exact, and nothing is left in the indexes. */
        now_ns += 1000 * ttl_ms * 1000000;
        model_expire(world.model);
        OK(sl_store_sweep(world.store, UINT64_MAX, NULL, error));
        OK(sl_table_size(world.table, &size, error));
        assert_int_equal(size, world.model->count);
    }
    sl_writer_finish(&world.key);
    sl_writer_finish(&world.other);
    sl_writer_finish(&world.value);
    sl_writer_finish(&world.memory);
    model_free(world.model);
    sl_store_destroy(world.store);
    testing_remove(path);
}

static void a_set_follows_its_model(void **state) {
    (void)state;
    follow_model(SL_TABLE_SET, 0);
}

static void an_ordered_set_follows_its_model(void **state) {
    (void)state;
    follow_model(SL_TABLE_ORDERED_SET, 0);
}

static void a_bag_follows_its_model(void **state) {
    (void)state;
    follow_model(SL_TABLE_BAG, 0);
}

static void a_set_whose_rows_expire_follows_its_model(void **state) {
    (void)state;
    follow_model(SL_TABLE_SET, 300);
}

static void a_bag_whose_rows_expire_follows_its_model(void **state) {
    (void)state;
    follow_model(SL_TABLE_BAG, 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_follows_its_model),
        cmocka_unit_test(an_ordered_set_follows_its_model),
        cmocka_unit_test(a_bag_follows_its_model),
        cmocka_unit_test(a_set_whose_rows_expire_follows_its_model),
        cmocka_unit_test(a_bag_whose_rows_expire_follows_its_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
