/* SPDX-License-Identifier: MIT */
/*
 * Two sessions, each with a model of its own, trained at once, and then asked about the same records.
 *
 *   digits.ndjson -> a store, whose hook writes each row through to a journal -> workers read features from shared memory
 *   session "even": is the digit even?    session "low": is it below five?
 *
 * What it proves: each session's model stays with one worker process, and they are two; the answers differ where the data says so; and every answer
 * is the one that models trained in a single process give, so that nothing of one session has got into the other.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "example.h"

#define RECORDS_MAX 100000

enum question { EVEN = 0, LOW = 1, QUESTIONS = 2 };

static const char *const question_names[QUESTIONS] = {"even", "low"};

struct scoring {
    struct example *example;
    struct sl_pool *pool;
    struct sl_table *features;
    FILE *journal;
    uint64_t journal_rows;

    struct sl_value train_ids; /* list; owned by the writer */
    struct sl_writer train_writer;
    uint32_t digit_count;
    uint8_t *digits; /* by id */

    uint32_t record_count;
    uint32_t *digit_ids; /* by record */
};

struct asking {
    struct scoring *scoring;
    enum question question;
    struct sl_session *session;
    pthread_t thread;
    int64_t trained_by;
    int64_t pids[16];
    uint32_t pid_count;
    uint8_t *answers; /* by record: 0 or 1; 2: none */
    uint32_t position;
    struct sl_writer item_writer;
    bool strange; /* an answer to the other question */
};

/* ---- features: a write-through store ----------------------------------------------------------------------------- */

/* In the transaction of each write, before it takes effect. */
static enum sl_code write_through(void *context, const struct sl_write *write, struct sl_error *error) {
    struct scoring *scoring = context;
    char *text = NULL;
    size_t capacity = 0, size = 0;
    enum sl_code code = sl_json_print(write->value, 0, &text, &capacity, &size, error);
    if (code == SL_OK && fprintf(scoring->journal, "%.*s\n", (int)size, text) < 0) {
        code = sl_error_set(error, SL_E_SYSTEM, "the journal cannot be written");
    }
    scoring->journal_rows += code == SL_OK;
    free(text);
    return code;
}

static void load_features(struct scoring *scoring, struct sl_runtime *runtime) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store *store;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    struct example_lines lines;
    struct sl_item item = {0};
    struct sl_value held_out;
    struct sl_key key;
    char path[512];
    bool is_held_out;
    uint32_t train_count = 0;
    snprintf(path, sizeof path, "%s/journal-%ld.ndjson", scoring->example->data, (long)getpid());
    scoring->journal = fopen(path, "w");
    if (scoring->journal == NULL) {
        example_must(sl_error_set(&error, SL_E_SYSTEM, "%s cannot be made", path), &error, "the journal");
    }
    example_must(sl_store_create(runtime, NULL, &store, &error), &error, "the store");
    example_must(sl_table_open(store, "features", &table, &scoring->features, &error), &error, "the features");
    example_must(sl_table_set_hook(scoring->features, write_through, scoring, &error), &error, "the hook");
    scoring->digits = calloc(RECORDS_MAX, 1);
    int64_t *train_ids = calloc(RECORDS_MAX, sizeof *train_ids);
    example_lines_open(&lines, scoring->example, "digits.ndjson");
    struct sl_source source = example_lines_source(&lines);
    while (source.next(source.context, &item, &error) == SL_OK && scoring->digit_count < RECORDS_MAX) {
        int64_t id = example_int(item.value, "id");
        example_must(sl_table_put(scoring->features, sl_key_int(&key, id), item.value, NULL, &error), &error,
                     "a digit");
        scoring->digits[scoring->digit_count++] = (uint8_t)example_int(item.value, "digit");
        held_out = example_member(item.value, "held_out");
        if (sl_value_bool(held_out, &is_held_out) == SL_OK && !is_held_out) {
            train_ids[train_count++] = id;
        }
    }
    example_lines_close(&lines);
    sl_writer_init(&scoring->train_writer, NULL);
    sl_write_list(&scoring->train_writer, train_count);
    for (uint32_t i = 0; i < train_count; i++) {
        sl_write_int(&scoring->train_writer, train_ids[i]);
    }
    free(train_ids);
    example_must(sl_writer_end(&scoring->train_writer, &scoring->train_ids, &error), &error, "the rows to train with");
    fclose(scoring->journal);
    scoring->journal = NULL;
    example_must(sl_table_set_hook(scoring->features, NULL, NULL, &error), &error, "the hook");
    unlink(path);
}

static void load_records(struct scoring *scoring) {
    struct example_lines lines;
    struct sl_item item = {0};
    struct sl_error error = SL_ERROR_INIT;
    scoring->digit_ids = calloc(RECORDS_MAX, sizeof *scoring->digit_ids);
    example_lines_open(&lines, scoring->example, "records.ndjson");
    struct sl_source source = example_lines_source(&lines);
    while (scoring->record_count < RECORDS_MAX && source.next(source.context, &item, &error) == SL_OK) {
        scoring->digit_ids[scoring->record_count++] = (uint32_t)example_int(item.value, "digit_id");
    }
    example_lines_close(&lines);
}

/* ---- one session ---------------------------------------------------------------------------------------------------- */

static void *train(void *context) {
    struct asking *asking = context;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_writer writer;
    struct sl_item item = {0};
    struct sl_results results = {0};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "ml_scoring:train";
    options.session = asking->session;
    options.timeout_ms = 120000;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 2);
    sl_write_str(&writer, "question");
    sl_write_str(&writer, question_names[asking->question]);
    sl_write_str(&writer, "ids");
    sl_write_value(&writer, asking->scoring->train_ids);
    example_must(sl_writer_end(&writer, &item.value, &error), &error, "what to train");
    example_must(sl_call_batch(asking->scoring->pool, &options, &item, 1, &results, &error), &error, "the training");
    asking->trained_by = example_int(results.values[0], "pid");
    sl_results_finish(&results);
    sl_writer_finish(&writer);
    return NULL;
}

static enum sl_code next_record(void *context, struct sl_item *item, struct sl_error *error) {
    struct asking *asking = context;
    if (asking->position == asking->scoring->record_count) {
        return SL_E_END;
    }
    item->id = asking->position++;
    sl_writer_reset(&asking->item_writer);
    sl_write_map(&asking->item_writer, 2);
    sl_write_str(&asking->item_writer, "id");
    sl_write_uint(&asking->item_writer, item->id);
    sl_write_str(&asking->item_writer, "digit_id");
    sl_write_uint(&asking->item_writer, asking->scoring->digit_ids[item->id]);
    return sl_writer_end(&asking->item_writer, &item->value, error);
}

static enum sl_code take_answer(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct asking *asking = context;
    bool answer;
    size_t size;
    if (outcome->status != SL_STATUS_OK) {
        return SL_OK;
    }
    if (sl_value_bool(example_member(outcome->value, "answer"), &answer) != SL_OK) {
        return sl_error_set(error, SL_E_TYPE, "an answer is not a bool");
    }
    const char *question = example_text(outcome->value, "question", &size);
    const char *own = question_names[asking->question];
    asking->strange = asking->strange || size != strlen(own) || memcmp(question, own, size) != 0;
    asking->answers[outcome->id] = answer;
    int64_t pid = example_int(outcome->value, "pid");
    uint32_t i = 0;
    while (i < asking->pid_count && asking->pids[i] != pid) {
        i++;
    }
    if (i == asking->pid_count && i < sizeof asking->pids / sizeof *asking->pids) {
        asking->pids[asking->pid_count++] = pid;
    }
    return SL_OK;
}

static void *ask(void *context) {
    struct asking *asking = context;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "ml_scoring:score";
    options.session = asking->session;
    options.batch_size = 50;
    example_must(sl_dispatch_run(asking->scoring->pool, &options, (struct sl_source){next_record, asking},
                                 &(struct sl_sink){take_answer, asking, NULL}, NULL, &error),
                 &error, "the scoring");
    return NULL;
}

/* Both sessions at once, each on a thread of its own. */
static void both(struct asking askings[QUESTIONS], void *(*function)(void *)) {
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        if (pthread_create(&askings[i].thread, NULL, function, &askings[i]) != 0) {
            fprintf(stderr, "ml_scoring: no thread could be started\n");
            exit(2);
        }
    }
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        pthread_join(askings[i].thread, NULL);
    }
}

/* ---- proofs ----------------------------------------------------------------------------------------------------------- */

static void train_in_one_process(struct scoring *scoring, struct sl_results *results) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_writer writer;
    struct sl_item item = {0};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "ml_scoring:reference";
    options.timeout_ms = 120000;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 2);
    sl_write_str(&writer, "ids");
    sl_write_value(&writer, scoring->train_ids);
    sl_write_str(&writer, "digit_ids");
    sl_write_list(&writer, scoring->record_count);
    for (uint32_t i = 0; i < scoring->record_count; i++) {
        sl_write_uint(&writer, scoring->digit_ids[i]);
    }
    example_must(sl_writer_end(&writer, &item.value, &error), &error, "the reference");
    example_must(sl_call_batch(scoring->pool, &options, &item, 1, results, &error), &error, "the reference");
    sl_writer_finish(&writer);
}

static bool truth(enum question question, uint8_t digit) {
    return question == EVEN ? digit % 2 == 0 : digit < 5;
}

static void prove(struct scoring *scoring, struct asking askings[QUESTIONS], struct sl_value reference) {
    struct example *example = scoring->example;
    uint32_t equal[QUESTIONS] = {0}, right[QUESTIONS] = {0}, reference_right[QUESTIONS] = {0};
    uint32_t must_differ = 0, differ = 0, differ_rightly = 0;
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        struct sl_iter iter;
        struct sl_value value;
        struct sl_error error = SL_ERROR_INIT;
        bool answer;
        example_must(sl_iter_init(&iter, example_member(reference, question_names[q])), &error, "the reference");
        for (uint32_t i = 0; sl_iter_next(&iter, NULL, &value) && sl_value_bool(value, &answer) == SL_OK; i++) {
            bool true_answer = truth((enum question)q, scoring->digits[scoring->digit_ids[i]]);
            equal[q] += askings[q].answers[i] == answer;
            right[q] += askings[q].answers[i] == true_answer;
            reference_right[q] += answer == true_answer;
        }
    }
    for (uint32_t i = 0; i < scoring->record_count; i++) {
        uint8_t digit = scoring->digits[scoring->digit_ids[i]];
        bool should = truth(EVEN, digit) != truth(LOW, digit);
        bool does = askings[EVEN].answers[i] != askings[LOW].answers[i];
        must_differ += should;
        differ += does;
        differ_rightly += should && does;
    }
    double count = scoring->record_count > 0 ? (double)scoring->record_count : 1.0;
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        example_say(example, "  session '%s': worker %lld, accuracy %.3f; trained in one process: %.3f",
                    question_names[q], (long long)askings[q].trained_by, right[q] / count, reference_right[q] / count);
    }
    example_prove(example,
                  askings[EVEN].pid_count == 1 && askings[LOW].pid_count == 1 &&
                      askings[EVEN].pids[0] == askings[EVEN].trained_by &&
                      askings[LOW].pids[0] == askings[LOW].trained_by &&
                      askings[EVEN].trained_by != askings[LOW].trained_by,
                  "each session's model was trained and asked in one process, PID %lld and PID %lld",
                  (long long)askings[EVEN].trained_by, (long long)askings[LOW].trained_by);
    example_prove(example, equal[EVEN] == scoring->record_count && equal[LOW] == scoring->record_count,
                  "all 2 x %u answers are those of models that were trained in a single process",
                  scoring->record_count);
    example_prove(example, !askings[EVEN].strange && !askings[LOW].strange, "no session answered the other's question");
    example_prove(example, must_differ > 0 && differ_rightly * 10 >= must_differ * 7,
                  "the answers differ for %u of the %u records for which the data says so (%u differ in all)",
                  differ_rightly, must_differ, differ);
    example_prove(example, scoring->journal_rows == scoring->digit_count && scoring->digit_count > 0,
                  "the store has written each of its %u rows through to the journal", scoring->digit_count);
    example_figure(example, "records", scoring->record_count);
    example_figure(example, "accuracy_even", right[EVEN] / count);
    example_figure(example, "accuracy_low", right[LOW] / count);
}

int main(int argc, char **argv) {
    struct example example;
    struct scoring scoring = {.example = &example};
    struct asking askings[QUESTIONS] = {{0}};
    struct sl_error error = SL_ERROR_INIT;
    struct sl_results reference = {0};
    example_begin(&example, "ml_scoring", argc, argv);
    if (example.workers < 2) {
        example.workers = 2; /* two sessions that are to work at once need two */
    }
    struct sl_runtime *runtime = example_runtime(&example);
    load_features(&scoring, runtime);
    load_records(&scoring);

    example_work_begin(&example);
    scoring.pool = example_pool(&example, runtime, (const char *const[]){"ml_scoring", NULL});
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
        options.name = question_names[i];
        options.affinity = SL_AFFINITY_STRICT_QUEUE;
        askings[i].scoring = &scoring;
        askings[i].question = (enum question)i;
        askings[i].answers = malloc(scoring.record_count + 1);
        memset(askings[i].answers, 2, scoring.record_count + 1);
        sl_writer_init(&askings[i].item_writer, NULL);
        example_must(sl_session_open(scoring.pool, &options, &askings[i].session, &error), &error, "the session");
    }
    both(askings, train);
    both(askings, ask);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        sl_session_close(askings[i].session);
    }
    example_work_end(&example);

    train_in_one_process(&scoring, &reference);
    prove(&scoring, askings, reference.values[0]);
    sl_results_finish(&reference);
    sl_pool_destroy(scoring.pool);
    sl_runtime_destroy(runtime);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        sl_writer_finish(&askings[i].item_writer);
        free(askings[i].answers);
    }
    sl_writer_finish(&scoring.train_writer);
    free(scoring.digits);
    free(scoring.digit_ids);
    return example_end(&example);
}
