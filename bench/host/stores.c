/* SPDX-License-Identifier: MIT */
/* A table of 100,000 small maps with str keys: read and written by this program and by its workers. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS 100000u
#define GETS 200000u
#define MANY 100u
#define WORKER_GETS 100000u
#define WORKER_PUTS 2000u
#define ROWS 1000000u
#define READ_SECONDS 0.5
#define WRITE_PAUSE_NS 1000000
#define SEED 4711u
#define READERS_MAX 4u

/* One row runs in a process. */
static struct sl_store *store;
static struct sl_table *table;
static uint64_t random_state;

static uint32_t draw(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % KEYS);
}

static struct sl_value key_of(struct sl_key *memory, uint64_t index) {
    char name[32];
    return sl_key_strn(memory, name, bench_write_name(name, index));
}

static void put_item(struct sl_writer *writer, uint64_t index) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_key memory;
    bench_check(sl_table_put(table, key_of(&memory, index), bench_write_item(writer, index), NULL, &error), &error,
                "put");
}

/* The id is the first member. Looking at more would measure the reading of maps, which is not what the rows are about. */
static uint64_t read_id(struct sl_value value) {
    struct sl_iter iter;
    struct sl_value key, entry;
    const char *name;
    size_t size;
    uint64_t id;
    if (sl_iter_init(&iter, value) != SL_OK || !sl_iter_next(&iter, &key, &entry) ||
        sl_value_str(key, &name, &size) != SL_OK || size != 2 || memcmp(name, "id", 2) != 0 ||
        sl_value_uint(entry, &id) != SL_OK) {
        bench_die("a row is not a map with an id");
    }
    return id;
}

struct filling {
    struct sl_writer writer;
    struct sl_key key;
    uint32_t next, count;
};

static enum sl_code next_row(void *context, struct sl_row *row, struct sl_error *error) {
    struct filling *filling = context;
    (void)error;
    if (filling->next == filling->count) {
        return SL_E_END;
    }
    row->key = key_of(&filling->key, filling->next);
    row->value = bench_write_item(&filling->writer, filling->next++);
    return SL_OK;
}

static void reload(uint32_t count) {
    struct sl_error error = SL_ERROR_INIT;
    struct filling filling = {.count = count};
    uint64_t row_count = 0;
    sl_writer_init(&filling.writer, NULL);
    bench_check(sl_table_reload(table, next_row, &filling, &row_count, &error), &error, "reload");
    sl_writer_finish(&filling.writer);
    if (row_count != count) {
        bench_die("reload: %llu rows instead of %u", (unsigned long long)row_count, count);
    }
}

static void open_store(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_table_options table_options = SL_TABLE_OPTIONS_INIT;
    if (bench->runtime == NULL) {
        bench_check(sl_runtime_create(NULL, &bench->runtime, &error), &error, "runtime");
    }
    bench_check(sl_store_create(bench->runtime, &options, &store, &error), &error, "store");
    bench_check(sl_table_open(store, "rows", &table_options, &table, &error), &error, "table");
}

static void open_filled(struct bench *bench) {
    open_store(bench);
    reload(KEYS);
}

static void close_store(struct bench *bench) {
    sl_pool_destroy(bench->pool);
    sl_store_destroy(store);
    sl_runtime_destroy(bench->runtime);
}

/* ---- by this program ------------------------------------------------------------------------------------------------ */

#define KEY_BYTES_MAX 16 /* of "item-99999" */

/* Keys that lie close together, as a program that uses them has them. */
static struct sl_value *draw_keys(uint32_t count, uint64_t *sum) {
    struct sl_value *keys = calloc(count, sizeof keys[0]);
    uint8_t *bytes = malloc((size_t)count * KEY_BYTES_MAX);
    struct sl_key memory;
    if (keys == NULL || bytes == NULL) {
        bench_die("no memory for %u keys", count);
    }
    random_state = SEED;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t drawn = draw();
        struct sl_value key = key_of(&memory, drawn);
        *sum += drawn;
        if (key.size > KEY_BYTES_MAX) {
            bench_die("a key has %zu bytes", key.size);
        }
        keys[i] = (struct sl_value){memcpy(bytes + (size_t)i * KEY_BYTES_MAX, key.data, key.size), key.size};
    }
    return keys;
}

static void free_keys(struct sl_value *keys) {
    free((void *)(uintptr_t)keys[0].data);
    free(keys);
}

static void round_get(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_writer memory;
    uint32_t count = bench_count(bench, GETS);
    uint64_t expected = 0, sum = 0;
    struct sl_value *keys = draw_keys(count, &expected);
    sl_writer_init(&memory, NULL);
    uint64_t start_ns = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        struct sl_value value;
        bench_check(sl_table_get(table, keys[i], &memory, &value, &error), &error, "get");
        sum += read_id(value);
    }
    uint64_t ns = bench_now_ns() - start_ns;
    sl_writer_finish(&memory);
    free_keys(keys);
    if (sum != expected) {
        bench_die("get: wrong sum");
    }
    bench_figure(bench, (double)ns / 1e3 / count);
}

static void round_get_many(struct bench *bench) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_writer memory;
    struct sl_value values[MANY];
    uint32_t count = bench_count(bench, GETS / MANY);
    uint64_t expected = 0, sum = 0;
    struct sl_value *keys = draw_keys(count * MANY, &expected);
    sl_writer_init(&memory, NULL);
    uint64_t start_ns = bench_now_ns();
    for (uint32_t call = 0; call < count; call++) {
        bench_check(sl_table_get_many(table, keys + call * MANY, MANY, &memory, values, &error), &error, "get_many");
        for (uint32_t i = 0; i < MANY; i++) {
            sum += read_id(values[i]);
        }
    }
    uint64_t ns = bench_now_ns() - start_ns;
    sl_writer_finish(&memory);
    free_keys(keys);
    if (sum != expected) {
        bench_die("get_many: wrong sum");
    }
    bench_figure(bench, (double)ns / 1e3 / count);
}

static void round_put(struct bench *bench) {
    struct sl_writer writer;
    uint32_t count = bench_count(bench, GETS);
    random_state = SEED;
    sl_writer_init(&writer, NULL);
    uint64_t start_ns = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        put_item(&writer, draw());
    }
    bench_figure(bench, (double)(bench_now_ns() - start_ns) / 1e3 / count);
    sl_writer_finish(&writer);
}

static void round_reload(struct bench *bench) {
    uint64_t start_ns = bench_now_ns();
    reload(bench_count(bench, ROWS));
    bench_figure(bench, (double)(bench_now_ns() - start_ns) / 1e6);
}

/* ---- by workers ------------------------------------------------------------------------------------------------------- */

static enum sl_code add_figure(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    double figure, *sum = context;
    (void)error;
    if (outcome->status != SL_STATUS_OK) {
        bench_die("item %llu: %s", (unsigned long long)outcome->sequence,
                  outcome->error != NULL ? outcome->error->message : sl_status_name(outcome->status));
    }
    if (sl_value_float(outcome->value, &figure) != SL_OK) {
        bench_die("a result is not a number");
    }
    *sum += figure;
    return SL_OK;
}

/* Calls the function in `count` workers at once with [first, SEED + index]; the sum of the figures that they return. */
static double call_workers(struct bench *bench, const char *function, double first, uint32_t count) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_writer writers[READERS_MAX];
    struct sl_value values[READERS_MAX];
    struct sl_array_source source = {.values = values, .count = count};
    double sum = 0;
    struct sl_sink sink = {add_figure, &sum};
    options.function = function;
    options.mode = SL_CALL_EACH;
    options.batch_size = 1;
    for (uint32_t i = 0; i < count; i++) {
        sl_writer_init(&writers[i], NULL);
        sl_write_list(&writers[i], 2);
        if (first < 1) {
            sl_write_float(&writers[i], first);
        } else {
            sl_write_int(&writers[i], (int64_t)first);
        }
        sl_write_int(&writers[i], SEED + i);
        bench_check(sl_writer_end(&writers[i], &values[i], &error), &error, "item");
    }
    bench_check(sl_dispatch_run(bench->pool, &options, sl_source_from_array(&source), &sink, NULL, &error), &error,
                function);
    for (uint32_t i = 0; i < count; i++) {
        sl_writer_finish(&writers[i]);
    }
    return sum;
}

static void open_workers(struct bench *bench, uint32_t worker_count) {
    struct sl_error error = SL_ERROR_INIT;
    open_filled(bench);
    const char *preloads[] = {"stores", NULL};
    const char *paths[] = {bench->functions, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.name = "bench";
    options.worker_count = worker_count;
    options.python = bench->python;
    options.preload = preloads;
    options.python_path = paths;
    bench_check(sl_pool_create(bench->runtime, &options, &bench->pool, &error), &error, "pool");
}

/* The first gets have the pages of the map mapped into the worker. */
static void open_one(struct bench *bench) {
    open_workers(bench, 1);
    call_workers(bench, "stores:get", bench_count(bench, WORKER_GETS), 1);
}

static void round_worker_get(struct bench *bench) {
    bench_figure(bench, call_workers(bench, "stores:get", bench_count(bench, WORKER_GETS), 1));
}

static void round_worker_get_many(struct bench *bench) {
    bench_figure(bench, call_workers(bench, "stores:get_many_100", bench_count(bench, WORKER_GETS), 1));
}

static void round_worker_put(struct bench *bench) {
    bench_figure(bench, call_workers(bench, "stores:put", bench_count(bench, WORKER_PUTS), 1));
}

/* ---- readers beside a writer ------------------------------------------------------------------------------------------ */

static pthread_t writer_thread;
static atomic_bool writer_stop;

static void *write_on(void *unused) {
    struct sl_writer writer;
    struct timespec pause = {.tv_nsec = WRITE_PAUSE_NS};
    (void)unused;
    sl_writer_init(&writer, NULL);
    for (uint32_t i = 0; !atomic_load(&writer_stop); i++) {
        put_item(&writer, i % KEYS);
        nanosleep(&pause, NULL);
    }
    sl_writer_finish(&writer);
    return NULL;
}

static void open_readers(struct bench *bench, uint32_t count) {
    open_workers(bench, count);
    if (pthread_create(&writer_thread, NULL, write_on, NULL) != 0) {
        bench_die("no thread to write");
    }
}

static void close_readers(struct bench *bench) {
    atomic_store(&writer_stop, true);
    pthread_join(writer_thread, NULL);
    close_store(bench);
}

static void round_readers(struct bench *bench, uint32_t count) {
    uint64_t start_ns = bench_now_ns();
    double gets = call_workers(bench, "stores:read", READ_SECONDS / bench->divisor, count);
    bench_figure(bench, gets * 1e9 / (double)(bench_now_ns() - start_ns));
}

static void open_readers_1(struct bench *bench) {
    open_readers(bench, 1);
}

static void open_readers_2(struct bench *bench) {
    open_readers(bench, 2);
}

static void open_readers_4(struct bench *bench) {
    open_readers(bench, 4);
}

static void round_readers_1(struct bench *bench) {
    round_readers(bench, 1);
}

static void round_readers_2(struct bench *bench) {
    round_readers(bench, 2);
}

static void round_readers_4(struct bench *bench) {
    round_readers(bench, 4);
}

const struct bench_row bench_store_rows[] = {
    {"store_get", open_filled, round_get, close_store},
    {"store_get_many_100", open_filled, round_get_many, close_store},
    {"store_put", open_filled, round_put, close_store},
    {"reload_1m", open_store, round_reload, close_store},
    {"store_get_worker", open_one, round_worker_get, close_store},
    {"store_get_many_100_worker", open_one, round_worker_get_many, close_store},
    {"store_put_worker", open_one, round_worker_put, close_store},
    {"store_readers_1", open_readers_1, round_readers_1, close_readers},
    {"store_readers_2", open_readers_2, round_readers_2, close_readers},
    {"store_readers_4", open_readers_4, round_readers_4, close_readers},
    {NULL, NULL, NULL, NULL},
};
