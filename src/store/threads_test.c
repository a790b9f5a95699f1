/* SPDX-License-Identifier: MIT */
/* Many readers and writers at once: what they see is recorded, or checked as it is seen. */
#include "store_testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "store/reader.h"
#include "store/store.h"
#include "wire/writer.h"

#define READERS 3
#define WRITERS 2

/* cmocka's assertions jump, which only its own thread may: others stop the program. */
#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* ---- one key: every history is linearizable ---------------------------------------------------------------------- */

/* Times are numbers of a shared counter: two operations of which one ended before the other began are in that order. */
struct operation {
    uint64_t begun, ended;
    int64_t value;
};

#define INCREMENTS 1500
#define READS 6000

struct history {
    struct sl_table *table;
    _Atomic uint64_t *time;
    _Atomic uint32_t *writers;
    struct operation *operations;
    size_t count;
};

static void *increment_all(void *context) {
    struct history *history = context;
    struct sl_key key;
    for (int i = 0; i < INCREMENTS; i++) {
        struct operation *operation = &history->operations[history->count++];
        operation->begun = atomic_fetch_add(history->time, 1);
        REQUIRE(sl_table_increment(history->table, sl_key_int(&key, 1), 1, &operation->value, NULL) == SL_OK);
        operation->ended = atomic_fetch_add(history->time, 1);
    }
    atomic_fetch_sub(history->writers, 1);
    return NULL;
}

static void *read_all(void *context) {
    struct history *history = context;
    struct sl_key key;
    struct sl_writer writer;
    struct sl_value value;
    sl_writer_init(&writer, NULL);
    while (atomic_load(history->writers) > 0 && history->count < READS) {
        struct operation *operation = &history->operations[history->count++];
        operation->begun = atomic_fetch_add(history->time, 1);
        enum sl_code code = sl_table_get(history->table, sl_key_int(&key, 1), &writer, &value, NULL);
        REQUIRE(code == SL_OK || code == SL_E_NOT_FOUND);
        operation->ended = atomic_fetch_add(history->time, 1);
        operation->value = 0;
        REQUIRE(code != SL_OK || sl_value_int(value, &operation->value) == SL_OK);
    }
    sl_writer_finish(&writer);
    return NULL;
}

/*
 * Increments give each value once, so a linearization orders operations by value, an increment before the reads of its value. It exists
 * if no operation that ended before another began has a greater value, or the same one when the second is the increment.
 */
static void check_history(const struct operation *operations, size_t count, const bool *is_write) {
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (operations[i].ended < operations[j].begun &&
                (operations[i].value > operations[j].value ||
                 (operations[i].value == operations[j].value && is_write[j]))) {
                fail_msg("an operation saw %lld and ended at %llu; a %s of %lld began at %llu",
                         (long long)operations[i].value, (unsigned long long)operations[i].ended,
                         is_write[j] ? "write" : "read", (long long)operations[j].value,
                         (unsigned long long)operations[j].begun);
            }
        }
    }
}

static void histories_of_one_key_are_linearizable(void **state) {
    enum { OPERATIONS = WRITERS * INCREMENTS + READERS * READS };
    char *path = testing_directory();
    struct sl_store *store = testing_store(path, NULL);
    struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
    struct operation *operations = calloc(OPERATIONS, sizeof(*operations));
    bool *is_write = calloc(OPERATIONS, sizeof(bool));
    struct history histories[WRITERS + READERS];
    pthread_t threads[WRITERS + READERS];
    _Atomic uint64_t time = 1;
    _Atomic uint32_t writers = WRITERS;
    size_t at = 0, count = 0, reads = 0;
    (void)state;
    assert_non_null(operations);
    assert_non_null(is_write);
    for (size_t i = 0; i < WRITERS + READERS; i++) {
        histories[i] = (struct history){table, &time, &writers, operations + at, 0};
        at += i < WRITERS ? INCREMENTS : READS;
    }
    for (size_t i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < WRITERS ? increment_all : read_all, &histories[i]), 0);
    }
    for (size_t i = 0; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
        memmove(operations + count, histories[i].operations, histories[i].count * sizeof(*operations));
        memset(is_write + count, i < WRITERS, histories[i].count);
        count += histories[i].count;
        reads += i < WRITERS ? 0 : histories[i].count;
    }
    assert_true(reads > 0);
    check_history(operations, count, is_write);
    assert_int_equal(testing_get(table, 1), WRITERS * INCREMENTS);
    free(operations);
    free(is_write);
    sl_store_destroy(store);
    testing_remove(path);
}

/* ---- no value is torn, no snapshot is mixed ---------------------------------------------------------------------- */

#define RELOADS 1500
#define ROWS 12
#define TORN_SIZE_MAX 9000

struct mixed {
    struct sl_store *store;
    struct sl_table *first, *second;
    _Atomic bool over;
    _Atomic uint64_t checked;
};

/* A value that is `number` through and through, and whose size changes with it. */
static struct sl_value whole_value(struct sl_writer *writer, uint32_t number) {
    static _Thread_local uint8_t bytes[TORN_SIZE_MAX];
    size_t size = number * UINT32_C(2654435761) % TORN_SIZE_MAX;
    memset(bytes, (int)(number & 0xff), size);
    sl_writer_reset(writer);
    sl_write_list(writer, 2);
    sl_write_int(writer, number);
    sl_write_bytes(writer, bytes, size);
    struct sl_value value;
    REQUIRE(sl_writer_end(writer, &value, NULL) == SL_OK);
    return value;
}

static uint32_t check_whole(struct sl_value value) {
    struct sl_value part;
    int64_t number;
    const void *bytes;
    size_t size;
    REQUIRE(sl_value_check(value.data, value.size, NULL, &part, NULL) == SL_OK);
    REQUIRE(sl_value_at(value, 0, &part) == SL_OK && sl_value_int(part, &number) == SL_OK);
    REQUIRE(sl_value_at(value, 1, &part) == SL_OK && sl_value_bytes(part, &bytes, &size) == SL_OK);
    REQUIRE(size == (uint32_t)number * UINT32_C(2654435761) % TORN_SIZE_MAX);
    for (size_t i = 0; i < size; i++) {
        REQUIRE(((const uint8_t *)bytes)[i] == (uint8_t)number);
    }
    return (uint32_t)number;
}

static void *look_for_mixtures(void *context) {
    struct mixed *mixed = context;
    struct sl_writer writer;
    uint32_t last = 0;
    sl_writer_init(&writer, NULL);
    while (!atomic_load(&mixed->over)) {
        struct sl_snapshot *snapshot;
        struct sl_value key, value;
        struct sl_scan *scan;
        struct sl_key memory;
        uint32_t seen = 0, rows = 0, number;
        uint64_t size;
        REQUIRE(sl_snapshot_begin(mixed->store, &snapshot, NULL) == SL_OK);
        for (int64_t i = 0; i < ROWS; i++) {
            REQUIRE(sl_snapshot_get(snapshot, mixed->first, sl_key_int(&memory, i), &value, NULL) == SL_OK);
            number = check_whole(value);
            REQUIRE(i == 0 || number == seen);
            seen = number;
        }
        REQUIRE(seen >= last); /* nobody goes back in time */
        last = seen;
        REQUIRE(sl_scan_begin(mixed->second, snapshot, NULL, &scan, NULL) == SL_OK);
        while (sl_scan_next(scan, &key, &value, NULL) == SL_OK) {
            number = check_whole(value);
            REQUIRE(rows == 0 || number == seen);
            seen = number;
            rows++;
        }
        sl_scan_end(scan);
        REQUIRE(sl_snapshot_size(snapshot, mixed->second, &size, NULL) == SL_OK);
        REQUIRE(rows == ROWS && size == ROWS);
        sl_snapshot_end(snapshot);
        REQUIRE(sl_table_get(mixed->second, sl_key_int(&memory, 3), &writer, &value, NULL) == SL_OK);
        (void)check_whole(value);
        atomic_fetch_add(&mixed->checked, 1);
    }
    sl_writer_finish(&writer);
    return NULL;
}

struct round {
    struct sl_writer writer;
    struct sl_key key;
    uint32_t number;
    int64_t next;
};

static enum sl_code give_row(void *context, struct sl_row *row, struct sl_error *error) {
    struct round *round = context;
    (void)error;
    if (round->next == ROWS) {
        return SL_E_END;
    }
    row->key = sl_key_int(&round->key, round->next++);
    row->value = whole_value(&round->writer, round->number);
    return SL_OK;
}

/* The first table by transactions, the second by reloads. */
static void change_all(struct mixed *mixed, struct round *round) {
    struct sl_transaction *transaction;
    round->next = 0;
    OK(sl_table_reload(mixed->second, give_row, round, NULL, error));
    OK(sl_transaction_begin(mixed->store, &transaction, error));
    for (int64_t i = 0; i < ROWS; i++) {
        OK(sl_transaction_put(transaction, mixed->first, sl_key_int(&round->key, i),
                              whole_value(&round->writer, round->number), NULL, error));
    }
    OK(sl_transaction_commit(transaction, error));
}

static void snapshots_are_never_mixed_nor_values_torn(void **state) {
    char *path = testing_directory();
    struct mixed mixed = {.store = testing_store(path, NULL)};
    struct round round = {.number = 1};
    pthread_t threads[READERS];
    (void)state;
    mixed.first = testing_table(mixed.store, "first", SL_TABLE_SET);
    mixed.second = testing_table(mixed.store, "second", SL_TABLE_ORDERED_SET);
    sl_writer_init(&round.writer, NULL);
    change_all(&mixed, &round);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_for_mixtures, &mixed), 0);
    }
    for (round.number = 2; round.number < RELOADS || atomic_load(&mixed.checked) < 100; round.number++) {
        change_all(&mixed, &round);
    }
    atomic_store(&mixed.over, true);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    sl_writer_finish(&round.writer);
    sl_store_destroy(mixed.store);
    testing_remove(path);
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

/* Reads for ever, with a snapshot open most of the time. */
static void read_until_killed(const char *path, int ready) {
    struct sl__reader *reader;
    struct sl__reading *reading;
    struct sl_key memory;
    struct sl_value value;
    const struct sl__table_name *table;
    const struct sl__table_view *view;
    REQUIRE(sl__reader_attach(path, &reader, NULL) == SL_OK);
    REQUIRE(sl__reader_table(reader, "first", 5, &table, NULL) == SL_OK);
    for (bool said = false;; said = true) {
        uint32_t seen = 0;
        REQUIRE(sl__reading_begin(reader, &reading, NULL) == SL_OK);
        REQUIRE(sl__reading_table(reading, table, &view, NULL) == SL_OK);
        for (int64_t i = 0; i < ROWS; i++) {
            REQUIRE(sl__reading_get(reading, view, sl_key_int(&memory, i), &value, NULL) == SL_OK);
            uint32_t number = check_whole(value);
            REQUIRE(i == 0 || number == seen);
            seen = number;
        }
        sl__reading_end(reading);
        if (!said) {
            REQUIRE(write(ready, "r", 1) == 1);
        }
    }
}

/* Each is killed at a random moment while the writer goes on; the map stays as small as it is, and the places are not used up. */
static void readers_killed_at_random_leave_nothing_behind(void **state) {
    char *path = testing_directory();
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct round round = {.number = 1};
    uint64_t seed = testing_seed();
    (void)state;
    options.readers_max = 16;
    options.bytes_max = 32 << 20; /* a third of what is written, each version whole */
    options.sync = SL_STORE_SYNC_NONE;
    struct mixed mixed = {.store = testing_store(path, &options)};
    mixed.first = testing_table(mixed.store, "first", SL_TABLE_SET);
    mixed.second = testing_table(mixed.store, "second", SL_TABLE_SET);
    sl_writer_init(&round.writer, NULL);
    change_all(&mixed, &round);
    for (int i = 0; i < 40; i++) {
        int ready[2], status;
        char byte;
        assert_int_equal(pipe(ready), 0);
        pid_t child = testing_fork();
        if (child == 0) {
            read_until_killed(path, ready[1]);
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        for (uint32_t left = testing_below(&seed, 20); left > 0; left--) {
            round.number++;
            change_all(&mixed, &round);
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* and not of an assertion */
    }
    sl__store_reader_died(mixed.store);
    struct sl_store_stat stat = SL_STORE_STAT_INIT;
    OK(sl_store_stat(mixed.store, &stat, error));
    assert_int_equal(stat.reader_count, 0);
    sl_writer_finish(&round.writer);
    sl_store_destroy(mixed.store);
    testing_remove(path);
}

/* ---- a writer that is killed ------------------------------------------------------------------------------------- */

struct acknowledgement {
    uint32_t number;
};

/* Writes transactions of several rows and says each that is acknowledged. */
static void write_until_killed(const char *path, int out) {
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct mixed mixed = {.store = testing_store(path, &options)};
    struct round round = {.number = 1};
    mixed.first = testing_table(mixed.store, "first", SL_TABLE_SET);
    mixed.second = testing_table(mixed.store, "second", SL_TABLE_SET);
    sl_writer_init(&round.writer, NULL);
    for (;; round.number++) {
        struct acknowledgement said = {round.number};
        change_all(&mixed, &round);
        REQUIRE(write(out, &said, sizeof(said)) == (ssize_t)sizeof(said));
    }
}

static void what_a_killed_writer_has_acknowledged_is_there(void **state) {
    uint64_t seed = testing_seed();
    (void)state;
    for (int i = 0; i < 12; i++) {
        char *path = testing_directory();
        struct acknowledgement last = {0}, next;
        int said[2], status;
        uint32_t wanted = 1 + testing_below(&seed, 30);
        assert_int_equal(pipe(said), 0);
        pid_t child = testing_fork();
        if (child == 0) {
            write_until_killed(path, said[1]);
        }
        close(said[1]);
        while (last.number < wanted) {
            assert_int_equal(read(said[0], &last, sizeof(last)), sizeof(last));
        }
        usleep(testing_below(&seed, 3000)); /* a random moment in the middle of something */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        while (read(said[0], &next, sizeof(next)) == (ssize_t)sizeof(next)) {
            last = next;
        }
        close(said[0]);
        struct sl_store *store = testing_store(path, NULL);
        struct sl_table *first, *second;
        struct sl_snapshot *snapshot;
        struct sl_key memory;
        struct sl_value value;
        uint64_t size;
        OK(sl_table_open(store, "first", NULL, &first, error));
        OK(sl_table_open(store, "second", NULL, &second, error));
        OK(sl_snapshot_begin(store, &snapshot, error));
        uint32_t seen[2] = {0, 0};
        struct sl_table *tables[2] = {first, second};
        for (int64_t row = 0; row < 2 * ROWS; row++) {
            OK(sl_snapshot_get(snapshot, tables[row / ROWS], sl_key_int(&memory, row % ROWS), &value, error));
            uint32_t number = check_whole(value);
            assert_true(row % ROWS == 0 || number == seen[row / ROWS]);
            seen[row / ROWS] = number;
        }
        sl_snapshot_end(snapshot);
        /* The reload comes first, the transaction second; one more of either may have been committed without being said. */
        assert_in_range(seen[0], last.number, last.number + 1);
        assert_in_range(seen[1], seen[0], last.number + 1);
        OK(sl_table_size(second, &size, error));
        assert_int_equal(size, ROWS);
        sl_store_destroy(store);
        testing_remove(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_of_one_key_are_linearizable),
        cmocka_unit_test(snapshots_are_never_mixed_nor_values_torn),
        cmocka_unit_test(readers_killed_at_random_leave_nothing_behind),
        cmocka_unit_test(what_a_killed_writer_has_acknowledged_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
