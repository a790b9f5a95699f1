/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand reloads of a table under readers in threads and a writer of another table: whoever reads sees all of the old rows or all of
 * the new, also when a reload fails in the middle.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <slither/slither.h>

#include "scratch.h"

#define RELOADS 10000
#define ROWS 8
#define READERS 2
#define FAIL_EVERY 10 /* reloads; that one ends with an error */

static struct sl_runtime *runtime;
static struct sl_store *store;
static struct sl_table *rows, *others;
static atomic_bool done;

static void check(enum sl_code code, const struct sl_error *error) {
    if (code != SL_OK) {
        fail_msg("%s: %s", sl_code_name(code), error->message);
    }
}

static int open_store(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    check(sl_runtime_create(NULL, &runtime, &error), &error);
    check(sl_store_create(runtime, NULL, &store, &error), &error);
    check(sl_table_open(store, "rows", &table, &rows, &error), &error);
    check(sl_table_open(store, "others", &table, &others, &error), &error);
    return 0;
}

static int close_store(void **state) {
    (void)state;
    sl_store_destroy(store);
    sl_runtime_destroy(runtime);
    return 0;
}

struct source {
    struct sl_key key, value;
    int64_t next, count, number;
    bool fails; /* instead of ending */
};

static enum sl_code next_row(void *context, struct sl_row *row, struct sl_error *error) {
    struct source *source = context;
    if (source->next == source->count) {
        return source->fails ? sl_error_set(error, SL_E_INVALID_DATA, "the source has had enough") : SL_E_END;
    }
    row->key = sl_key_int(&source->key, source->next++);
    row->value = sl_key_int(&source->value, source->number);
    return SL_OK;
}

static void reload(int64_t number) {
    struct sl_error error = SL_ERROR_INIT;
    uint64_t row_count;
    if (number % FAIL_EVERY == 0) {
        struct source broken = {.count = number % ROWS, .number = -1, .fails = true};
        assert_int_equal(sl_table_reload(rows, next_row, &broken, &row_count, &error), SL_E_INVALID_DATA);
        assert_string_equal(error.message, "the source has had enough");
    }
    struct source source = {.count = ROWS, .number = number};
    check(sl_table_reload(rows, next_row, &source, &row_count, &error), &error);
    assert_int_equal(row_count, ROWS);
    sl_error_finish(&error);
}

struct tally {
    uint64_t reads;
    int64_t last;
    char problem[200];
};

static bool same_number(struct tally *tally, struct sl_value value, int64_t *number) {
    int64_t found;
    if (sl_value_int(value, &found) != SL_OK) {
        snprintf(tally->problem, sizeof tally->problem, "a row is missing, or no number");
        return false;
    }
    if (*number >= 0 && found != *number) {
        snprintf(tally->problem, sizeof tally->problem, "rows of reload %lld beside rows of reload %lld",
                 (long long)*number, (long long)found);
        return false;
    }
    *number = found;
    return true;
}

struct counting {
    struct tally *tally;
    int64_t number;
    uint32_t count;
};

static enum sl_code count_row(void *context, struct sl_value key, struct sl_value value, struct sl_error *error) {
    struct counting *counting = context;
    (void)key;
    (void)error;
    counting->count++;
    return same_number(counting->tally, value, &counting->number) ? SL_OK : SL_E_CANCELLED;
}

/* All keys at once, and all rows in order, in turn; versions never go back. */
static void *read_on(void *context) {
    struct tally *tally = context;
    struct sl_key memories[ROWS];
    struct sl_value keys[ROWS], values[ROWS];
    struct sl_writer memory;
    sl_writer_init(&memory, NULL);
    for (int64_t i = 0; i < ROWS; i++) {
        keys[i] = sl_key_int(&memories[i], i);
    }
    while (!atomic_load(&done) && tally->problem[0] == '\0') {
        int64_t number = -1;
        struct sl_error error = SL_ERROR_INIT;
        struct counting counting = {tally, -1, 0};
        enum sl_code code = sl_table_get_many(rows, keys, ROWS, &memory, values, &error);
        for (size_t i = 0; code == SL_OK && i < ROWS && same_number(tally, values[i], &number); i++) {
        }
        if (code == SL_OK && tally->problem[0] == '\0') {
            code = sl_table_fold(rows, NULL, NULL, count_row, &counting, &error);
        }
        if (code != SL_OK && tally->problem[0] == '\0') {
            snprintf(tally->problem, sizeof tally->problem, "%.150s", error.message);
        } else if (tally->problem[0] == '\0' && counting.count != ROWS) {
            snprintf(tally->problem, sizeof tally->problem, "%u rows instead of %d", counting.count, ROWS);
        } else if (tally->problem[0] == '\0' && (number < tally->last || counting.number < number)) {
            snprintf(tally->problem, sizeof tally->problem, "reload %lld was seen after reload %lld", (long long)number,
                     (long long)tally->last);
        }
        tally->last = counting.number;
        tally->reads++;
        sl_error_finish(&error);
    }
    sl_writer_finish(&memory);
    return NULL;
}

static void *write_on(void *context) {
    struct tally *tally = context;
    struct sl_key memory;
    int64_t sum = 0;
    while (!atomic_load(&done)) {
        struct sl_error error = SL_ERROR_INIT;
        if (sl_table_increment(others, sl_key_str(&memory, "n"), 1, &sum, &error) != SL_OK ||
            sum != (int64_t)++tally->reads) {
            snprintf(tally->problem, sizeof tally->problem, "increment %llu: %.120s", (unsigned long long)tally->reads,
                     error.message);
            sl_error_finish(&error);
            break;
        }
    }
    return NULL;
}

static void reloads_are_seen_whole(void **state) {
    (void)state;
    pthread_t threads[READERS + 1];
    struct tally tallies[READERS + 1] = {{0}};
    atomic_store(&done, false);
    reload(0);
    for (size_t i = 0; i <= READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < READERS ? read_on : write_on, &tallies[i]), 0);
    }
    for (int64_t number = 1; number <= RELOADS; number++) {
        reload(number);
    }
    atomic_store(&done, true);
    for (size_t i = 0; i <= READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_string_equal(tallies[i].problem, "");
        assert_true(tallies[i].reads > 0);
    }
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    check(sl_store_stat(store, &stat, &error), &error);
    /* What a reload leaves behind is used again; a reader that loses the processor keeps some of it meanwhile. Without that it were 700 MiB and more. */
    assert_true(stat.bytes_used < 256 << 20);
}

/* A file whose last line is bad, between two that are not. */
static void a_bad_file_leaves_the_rows(void **state) {
    (void)state;
    char path[SCRATCH_SIZE];
    int fd = scratch_file(path, "slither-reload");
    for (int good = 1; good >= 0; good--) {
        struct sl_error error = SL_ERROR_INIT;
        struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
        struct sl_loader *loader;
        struct sl_writer memory;
        struct sl_value value;
        struct sl_key key;
        uint64_t row_count;
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "name,n\n");
        for (int i = 0; i < 20000; i++) {
            fprintf(file, "row-%d,%d\n", i, good ? i : -1);
        }
        fprintf(file, good ? "" : "row-20000,1,2\n");
        assert_int_equal(fclose(file), 0);
        options.csv_types = SL_CSV_INFER;
        options.value = "n";
        check(sl_loader_open_csv(path, &options, &loader, &error), &error);
        enum sl_code code = sl_table_reload(others, sl_loader_next, loader, &row_count, &error);
        sl_loader_close(loader);
        if (good) {
            check(code, &error);
        } else {
            assert_int_equal(code, SL_E_INVALID_DATA);
            assert_non_null(strstr(error.message, ":20002: expected 2 fields, as in the first record, found 3"));
        }
        int64_t number = -1;
        sl_writer_init(&memory, NULL);
        check(sl_table_get(others, sl_key_str(&key, "row-19999"), &memory, &value, &error), &error);
        check(sl_value_int(value, &number), &error);
        assert_int_equal(number, 19999);
        check(sl_table_size(others, &row_count, &error), &error);
        assert_int_equal(row_count, 20000);
        sl_writer_finish(&memory);
        sl_error_finish(&error);
    }
    close(fd);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reloads_are_seen_whole),
        cmocka_unit_test(a_bad_file_leaves_the_rows),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
