/* SPDX-License-Identifier: MIT */
#include "crew.h"

#include <time.h>

#include "wire/writer.h"

/* ---- random numbers, times ------------------------------------------------------------------------------------- */

uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t draw_seed(void) {
    const char *given = getenv("SLITHER_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec * 2654435761u % 1000000007u;
    printf("seed %llu (set SLITHER_TEST_SEED for another)\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

uint64_t draw(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

uint32_t draw_below(uint64_t *state, uint32_t bound) {
    return (uint32_t)((draw(state) >> 32) * bound >> 32);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

void shelf_take(struct shelf *shelf) {
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_writer_end(&shelf->writer, &value, &error) != SL_OK) {
        fprintf(stderr, "test: %s\n", error.message);
        abort();
    }
    if (shelf->size + value.size > shelf->capacity) {
        shelf->capacity = 2 * (shelf->size + value.size);
        shelf->bytes = realloc(shelf->bytes, shelf->capacity);
    }
    if (shelf->count == shelf->end_capacity) {
        shelf->end_capacity = 2 * shelf->end_capacity + 16;
        shelf->ends = realloc(shelf->ends, shelf->end_capacity * sizeof *shelf->ends);
    }
    memcpy(shelf->bytes + shelf->size, value.data, value.size);
    shelf->size += value.size;
    shelf->ends[shelf->count++] = shelf->size;
    sl_writer_reset(&shelf->writer);
}

static struct sl_writer *shelf_writer(struct shelf *shelf) {
    if (shelf->writer.size_max == 0) {
        sl_writer_init(&shelf->writer, NULL);
    }
    return &shelf->writer;
}

void shelf_int(struct shelf *shelf, int64_t value) {
    sl_write_int(shelf_writer(shelf), value);
    shelf_take(shelf);
}

void shelf_mark(struct shelf *shelf, enum sl_mark_kind kind, const char *text) {
    struct sl_mark mark = {.kind = kind, .text = text, .text_size = strlen(text)};
    sl__write_mark(shelf_writer(shelf), &mark);
    shelf_take(shelf);
}

struct sl_value shelf_at(const struct shelf *shelf, uint32_t index) {
    size_t start = index == 0 ? 0 : shelf->ends[index - 1];
    return (struct sl_value){shelf->bytes + start, shelf->ends[index] - start};
}

void shelf_finish(struct shelf *shelf) {
    sl_writer_finish(&shelf->writer);
    free(shelf->bytes);
    free(shelf->ends);
    memset(shelf, 0, sizeof *shelf);
}

int64_t int_of(struct sl_value value) {
    int64_t out = INT64_MIN;
    return sl_value_int(value, &out) == SL_OK ? out : INT64_MIN;
}

/* ---- items --------------------------------------------------------------------------------------------------------- */

int64_t number_of(struct sl_value value) {
    struct sl_value first;
    if (sl_value_type(value) == SL_TYPE_LIST && sl_value_at(value, 0, &first) == SL_OK) {
        return int_of(first);
    }
    return int_of(value);
}

static enum sl_code next_number(void *context, struct sl_item *item, struct sl_error *error) {
    struct numbers *numbers = context;
    if (numbers->before != NULL) {
        numbers->before(numbers->context, numbers->pulled);
    }
    if (numbers->stop != NULL) {
        enum sl_code code = numbers->stop(numbers->context, numbers->pulled, error);
        if (code != SL_OK) {
            return code;
        }
    }
    if (numbers->pulled >= numbers->count) {
        return SL_E_END;
    }
    uint64_t x = numbers->pulled++;
    size_t padding = numbers->padding_of != NULL ? numbers->padding_of(numbers->context, x) : numbers->padding;
    if (numbers->writer.size_max == 0) {
        sl_writer_init(&numbers->writer, NULL);
    }
    sl_writer_reset(&numbers->writer);
    if (padding > 0) {
        numbers->filler = realloc(numbers->filler, padding);
        memset(numbers->filler, 0x5a, padding);
        sl_write_list(&numbers->writer, 2);
        sl_write_int(&numbers->writer, (int64_t)x);
        sl_write_bytes(&numbers->writer, numbers->filler, padding);
    } else {
        sl_write_int(&numbers->writer, (int64_t)x);
    }
    item->id = 1000 + x;
    return sl_writer_end(&numbers->writer, &item->value, error);
}

struct sl_source numbers_source(struct numbers *numbers) {
    return (struct sl_source){next_number, numbers};
}

void numbers_finish(struct numbers *numbers) {
    sl_writer_finish(&numbers->writer);
    free(numbers->filler);
    numbers->filler = NULL;
    numbers->pulled = 0;
}

/* ---- outcomes ------------------------------------------------------------------------------------------------------ */

void record_add(struct record *record, const struct sl_outcome *outcome) {
    if (record->count == record->capacity) {
        record->capacity = 2 * record->capacity + 64;
        record->seen = realloc(record->seen, record->capacity * sizeof *record->seen);
    }
    if (record->numbers != NULL && record->numbers->pulled - record->count > record->unseen_peak) {
        record->unseen_peak = record->numbers->pulled - record->count;
    }
    struct seen *seen = &record->seen[record->count++];
    *seen = (struct seen){.sequence = outcome->sequence,
                          .id = outcome->id,
                          .status = outcome->status,
                          .attempts = outcome->attempts,
                          .code = outcome->error != NULL ? outcome->error->code : SL_OK,
                          .value = int_of(outcome->value)};
    if (outcome->route != NULL) {
        snprintf(seen->route, sizeof seen->route, "%s", outcome->route);
    }
    /* What an outcome has besides follows from its status. */
    bool bad = outcome->status == SL_STATUS_FAILED || outcome->status == SL_STATUS_CANCELLED;
    assert_true(!bad || outcome->error != NULL);
    assert_true(outcome->status != SL_STATUS_OK || (outcome->value.size > 0 && outcome->error == NULL));
    assert_true((outcome->status != SL_STATUS_SKIPPED && outcome->status != SL_STATUS_ROUTED) ||
                outcome->route != NULL);
    if (outcome->input.size > 0) {
        assert_int_equal(number_of(outcome->input), outcome->sequence);
    }
}

static enum sl_code put_record(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct record *record = context;
    record_add(record, outcome);
    return record->answer != NULL ? record->answer(record->context, outcome, error) : SL_OK;
}

static void put_record_row(void *context, const struct sl__outcome_row *row) {
    struct record *record = context;
    assert_true(row->count > 0);
    record->row_count++;
    for (uint32_t i = 0; i < row->count; i++) {
        assert_int_equal(row->entries[i].sequence, row->sequence + i);
        assert_int_equal(row->entries[i].status, SL_STATUS_OK);
        const struct sl_outcome outcome = {.size = sizeof outcome,
                                           .sequence = row->sequence + i,
                                           .id = row->entries[i].id,
                                           .status = SL_STATUS_OK,
                                           .attempts = row->entries[i].attempts,
                                           .value = sl__outcome_row_value(row, i)};
        record_add(record, &outcome);
    }
}

struct sl_sink record_sink(struct record *record) {
    return (struct sl_sink){put_record, record};
}

enum sl_code record_run(struct record *record, struct sl_pool *pool, const struct sl_dispatch_options *options,
                        struct sl_source source, struct sl_report *report, struct sl_error *error) {
    const struct sl__sink sink = {record_sink(record), put_record_row};
    return record->by_rows ? sl__dispatch_run(pool, options, source, &sink, report, error)
                           : sl_dispatch_run(pool, options, source, &sink.one, report, error);
}

void record_finish(struct record *record) {
    free(record->seen);
    record->seen = NULL;
    record->count = record->capacity = 0;
    record->unseen_peak = 0;
}

const struct seen *record_of(const struct record *record, uint64_t sequence) {
    const struct seen *found = NULL;
    for (size_t i = 0; i < record->count; i++) {
        if (record->seen[i].sequence == sequence) {
            assert_null(found);
            found = &record->seen[i];
        }
    }
    assert_non_null(found);
    return found;
}

void record_complete(const struct record *record, uint64_t count) {
    assert_int_equal(record->count, count);
    uint8_t *once = calloc(1, count + 1);
    for (size_t i = 0; i < record->count; i++) {
        assert_true(record->seen[i].sequence < count);
        assert_int_equal(once[record->seen[i].sequence]++, 0);
        assert_int_equal(record->seen[i].id, 1000 + record->seen[i].sequence);
    }
    free(once);
}

void record_in_order(const struct record *record) {
    for (size_t i = 0; i < record->count; i++) {
        assert_int_equal(record->seen[i].sequence, i);
    }
}

void record_all_right(const struct record *record, uint64_t count) {
    record_complete(record, count);
    for (size_t i = 0; i < record->count; i++) {
        assert_int_equal(record->seen[i].status, SL_STATUS_OK);
        assert_int_equal(record->seen[i].value, triple((int64_t)record->seen[i].sequence));
    }
}

void report_agrees(const struct sl_report *report, const struct record *record) {
    uint64_t count[SL_STATUS_COUNT] = {0}, sum = 0;
    for (size_t i = 0; i < record->count; i++) {
        count[record->seen[i].status]++;
    }
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        assert_int_equal(report->count[i], count[i]);
        sum += report->count[i];
    }
    assert_int_equal(report->input, sum);
}

/* ---- executor -------------------------------------------------------------------------------------------------------- */

void act_each(struct sl_task *task, void (*one)(void *context, struct shelf *shelf, int64_t x), void *context) {
    struct shelf shelf = {0};
    uint32_t count = sl_task_count(task);
    for (uint32_t i = 0; i < count; i++) {
        one(context, &shelf, number_of(sl_task_item(task, i)));
    }
    struct sl_value *values = calloc(shelf.count + 1, sizeof *values);
    for (uint32_t i = 0; i < shelf.count; i++) {
        values[i] = shelf_at(&shelf, i);
    }
    sl_task_complete(task, values, shelf.count);
    free(values);
    shelf_finish(&shelf);
}

static void one_triple(void *context, struct shelf *shelf, int64_t x) {
    (void)context;
    shelf_int(shelf, triple(x));
}

void act_triple(void *context, struct sl_task *task) {
    (void)context;
    act_each(task, one_triple, NULL);
}

void act_fail(struct sl_task *task, enum sl_code code, const char *text) {
    struct sl_error error = SL_ERROR_INIT;
    (void)sl_error_set(&error, code, "%s", text);
    sl_task_fail(task, &error);
}

bool task_holds(const struct sl_task *task, int64_t x) {
    for (uint32_t i = 0; i < sl_task_count(task); i++) {
        if (number_of(sl_task_item(task, i)) == x) {
            return true;
        }
    }
    return false;
}

static void act(struct crew *crew, struct sl_task *task) {
    /* Counted before it ends: the run may submit the next one before this thread is back. */
    pthread_mutex_lock(&crew->lock);
    crew->running--;
    pthread_mutex_unlock(&crew->lock);
    if (crew->act != NULL) {
        crew->act(crew->context, task);
    } else {
        act_triple(NULL, task);
    }
}

/* With the lock held: the next task, or NULL. */
static struct sl_task *next_task(struct crew *crew) {
    if (crew->waiting == 0) {
        return NULL;
    }
    uint32_t index = crew->shuffled ? draw_below(&crew->random, crew->waiting) : 0;
    struct sl_task *task = crew->tasks[index];
    crew->waiting--;
    memmove(&crew->tasks[index], &crew->tasks[index + 1], (crew->waiting - index) * sizeof task);
    return task;
}

static void *work(void *context) {
    struct crew *crew = context;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        struct sl_task *task = next_task(crew);
        if (task != NULL) {
            pthread_mutex_unlock(&crew->lock);
            act(crew, task);
            pthread_mutex_lock(&crew->lock);
        } else if (crew->closing) {
            break;
        } else {
            pthread_cond_wait(&crew->changed, &crew->lock);
        }
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static enum sl_code submit(void *context, struct sl_task *task, struct sl_error *error) {
    struct crew *crew = context;
    if (crew->refuse != NULL) {
        enum sl_code code = crew->refuse(crew->context, task, error);
        if (code != SL_OK) {
            return code;
        }
    }
    uint32_t count = sl_task_count(task);
    bool now = crew->hands == 0 && !crew->held;
    pthread_mutex_lock(&crew->lock);
    if (crew->submitted < CREW_LOG_MAX) {
        crew->log[crew->submitted] = (struct crew_batch){.count = count,
                                                         .first = number_of(sl_task_item(task, 0)),
                                                         .last = number_of(sl_task_item(task, count - 1)),
                                                         .at_ms = now_ms()};
    }
    crew->submitted++;
    crew->running++;
    if (crew->running > crew->running_peak) {
        crew->running_peak = crew->running;
    }
    if (!now) {
        assert_true(crew->waiting < CREW_TASKS_MAX);
        crew->tasks[crew->waiting++] = task;
        pthread_cond_signal(&crew->changed);
    }
    pthread_mutex_unlock(&crew->lock);
    if (now) {
        act(crew, task);
    }
    return SL_OK;
}

static void cancel(void *context, struct sl_task *task) {
    struct crew *crew = context;
    pthread_mutex_lock(&crew->lock);
    crew->cancel_count++;
    pthread_mutex_unlock(&crew->lock);
    if (crew->cancelled != NULL) {
        crew->cancelled(crew->context, task);
    }
}

void crew_open(struct crew *crew) {
    struct sl_executor_options options = SL_EXECUTOR_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.name = "crew";
    options.capacity = crew->capacity != 0 ? crew->capacity : 1024;
    options.submit = submit;
    options.cancel = cancel;
    options.context = crew;
    crew->random = crew->random != 0 ? crew->random : 1;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, NULL);
    assert_int_equal(sl_executor_create(&options, &crew->executor, &error), SL_OK);
    for (uint32_t i = 0; i < crew->hands; i++) {
        assert_int_equal(pthread_create(&crew->threads[i], NULL, work, crew), 0);
    }
}

uint32_t crew_release(struct crew *crew, uint32_t count) {
    uint32_t released = 0;
    while (released < count) {
        pthread_mutex_lock(&crew->lock);
        struct sl_task *task = next_task(crew);
        pthread_mutex_unlock(&crew->lock);
        if (task == NULL) {
            break;
        }
        act(crew, task);
        released++;
    }
    return released;
}

void crew_close(struct crew *crew) {
    (void)crew_release(crew, UINT32_MAX);
    pthread_mutex_lock(&crew->lock);
    crew->closing = true;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 0; i < crew->hands; i++) {
        pthread_join(crew->threads[i], NULL);
    }
    sl_executor_destroy(crew->executor);
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
}

struct sl_dispatch_options crew_options(struct crew *crew) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "crew:triple";
    options.executor = crew->executor;
    return options;
}

void run_numbers(struct sl_pool *pool, const struct sl_dispatch_options *options, struct numbers *numbers,
                 struct record *record, struct sl_report *report, enum sl_code expected) {
    struct sl_error error = SL_ERROR_INIT;
    record->numbers = numbers;
    enum sl_code code = record_run(record, pool, options, numbers_source(numbers), report, &error);
    if (code != expected) {
        fail_msg("the run ended with %s (%s), expected %s", sl_code_name(code), error.message, sl_code_name(expected));
    }
    assert_int_equal(error.code, expected);
    assert_int_equal(report->input, numbers->pulled);
    report_agrees(report, record);
    record_complete(record, numbers->pulled);
    if (options->ordering == SL_ORDERING_PRESERVE) {
        record_in_order(record);
    }
    sl_error_finish(&error);
}
