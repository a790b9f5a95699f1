/* SPDX-License-Identifier: MIT */
/* What the tests of a store share: a directory that goes with the test, a store in it, short ways to keys and values. */
#ifndef SL_STORE_TESTING_H
#define SL_STORE_TESTING_H

#include "testing.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <slither/store.h>

#include "base/macros.h"
#include "scratch.h"
#include "sys/directory.h"

#define OK(call)                                                                    \
    do {                                                                            \
        struct sl_error ok_error = SL_ERROR_INIT;                                   \
        struct sl_error *error = &ok_error;                                         \
        enum sl_code ok_code = (call);                                              \
        if (ok_code != SL_OK) {                                                     \
            fail_msg("%s: %s: %s", #call, sl_code_name(ok_code), ok_error.message); \
        }                                                                           \
    } while (0)

/* The call uses `error`. Its message must contain `text`. */
#define FAILS(call, expected, text)                                                                  \
    do {                                                                                             \
        struct sl_error fails_error = SL_ERROR_INIT;                                                 \
        struct sl_error *error = &fails_error;                                                       \
        enum sl_code fails_code = (call);                                                            \
        if (fails_code != (expected) || strstr(fails_error.message, text) == NULL) {                 \
            fail_msg("%s: expected %s with \"%s\", got %s: %s", #call, sl_code_name(expected), text, \
                     sl_code_name(fails_code), fails_error.message);                                 \
        }                                                                                            \
        sl_error_finish(&fails_error);                                                               \
    } while (0)

/* A child that does not outlive this process. */
static inline pid_t testing_fork(void) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return child;
}

/* A path below a directory of this test's own; free() it after testing_remove(). */
static inline char *testing_directory(void) {
    char *path = malloc(SCRATCH_SIZE);
    assert_non_null(path);
    scratch_folder(path, "slither-store-test");
    return path;
}

static inline void testing_remove(char *path) {
    assert_int_equal(sl__directory_remove(path, NULL), SL_OK);
    free(path);
}

static inline struct sl_store *testing_store(const char *path, const struct sl_store_options *given) {
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_store *store;
    if (given != NULL) {
        options = *given;
    } else {
        options.sync = SL_STORE_SYNC_NONE;
    }
    options.path = path;
    OK(sl_store_create(NULL, &options, &store, error));
    return store;
}

static inline struct sl_table *testing_table(struct sl_store *store, const char *name, enum sl_table_kind kind) {
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_table *table;
    options.kind = kind;
    OK(sl_table_open(store, name, &options, &table, error));
    return table;
}

/* An int as a key or a value; four of them are good at a time. */
static inline struct sl_value testing_key(int64_t number) {
    static struct sl_key memory[4];
    static int next;
    next = (next + 1) % 4;
    return sl_key_int(&memory[next], number);
}

/* Ints as keys and as values. */
static inline void testing_put(struct sl_table *table, int64_t key, int64_t value) {
    struct sl_key key_memory, value_memory;
    OK(sl_table_put(table, sl_key_int(&key_memory, key), sl_key_int(&value_memory, value), NULL, error));
}

/* Rows of a table. */
static inline uint64_t testing_size(struct sl_table *table) {
    uint64_t size;
    OK(sl_table_size(table, &size, error));
    return size;
}

/* The int, or -1 when there is no row. */
static inline int64_t testing_get(struct sl_table *table, int64_t key) {
    struct sl_key memory;
    struct sl_writer writer;
    struct sl_value value;
    int64_t number = -1;
    sl_writer_init(&writer, NULL);
    enum sl_code code = sl_table_get(table, sl_key_int(&memory, key), &writer, &value, NULL);
    if (code == SL_OK) {
        assert_int_equal(sl_value_int(value, &number), SL_OK);
    } else {
        assert_int_equal(code, SL_E_NOT_FOUND);
    }
    sl_writer_finish(&writer);
    return number;
}

/* A source of rows for bulk inserts and reloads: `next` to `end`, each with its double; it fails at `fail_at`. */
struct testing_numbers {
    int64_t next, end;
    int64_t fail_at;
    struct sl_key key, value;
};

static inline enum sl_code testing_give_number(void *context, struct sl_row *row, struct sl_error *error) {
    struct testing_numbers *numbers = context;
    if (numbers->next == numbers->fail_at) {
        return sl_error_set(error, SL_E_SOURCE, "the source has failed");
    }
    if (numbers->next == numbers->end) {
        return SL_E_END;
    }
    row->key = sl_key_int(&numbers->key, numbers->next);
    row->value = sl_key_int(&numbers->value, numbers->next * 2);
    numbers->next++;
    return SL_OK;
}

#endif
