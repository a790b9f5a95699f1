/* SPDX-License-Identifier: MIT */
/*
 * Counts the words of real documents: a pipe whose Python stage keeps its counts in each worker, and a host that merges them.
 *
 *   documents.ndjson -> prepare (native; stopwords from a store) -> analyze (Python; counts per worker) -> route (by sentiment)
 *                                                                      |
 *                                          at the end of the run: slither.host.merge(pid, documents, counts) -> the store
 *
 * What it proves: several workers have worked; each document was counted by exactly one of them; and what they counted, merged, is what one
 * sequential count of the raw texts gives, word for word.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "example.h"

#define WORKERS_MAX 256

struct analysis {
    struct sl_table *stopwords;
    struct sl_table *vocabulary;
    struct sl_store *store;
    struct sl_writer word; /* prepare runs on one thread */

    uint64_t count_by_pid[WORKERS_MAX]; /* from the results of the items */
    int64_t pids[WORKERS_MAX];
    uint32_t pid_count;

    pthread_mutex_t lock; /* of what merge() fills in: views run on threads of their own */
    int64_t merged_pids[WORKERS_MAX];
    uint64_t merged_documents[WORKERS_MAX];
    uint32_t merged_count;
};

/* ---- native stage: words without stopwords ------------------------------------------------------------------------ */

static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* The next word from `*at` on, in small letters; at most 63 are kept. 0: there is none. */
static size_t next_word(const char *text, size_t size, size_t *at, char word[64]) {
    while (*at < size && !is_letter(text[*at])) {
        ++*at;
    }
    size_t length = 0;
    for (; *at < size && is_letter(text[*at]); ++*at) {
        if (length < 63) {
            word[length++] = (char)(text[*at] | 0x20);
        }
    }
    word[length] = '\0';
    return length;
}

static enum sl_code prepare(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                            struct sl_error *error) {
    struct analysis *analysis = context;
    size_t size;
    const char *text = example_text(item->value, "text", &size);
    char word[64];
    struct sl_key key;
    uint32_t kept = 0;
    bool is_stopword;
    /* Twice over the text: a list says in front how many entries it has. */
    for (size_t at = 0; next_word(text, size, &at, word) > 0;) {
        enum sl_code code = sl_table_contains(analysis->stopwords, sl_key_str(&key, word), &is_stopword, error);
        if (code != SL_OK) {
            return code;
        }
        kept += !is_stopword;
    }
    struct sl_writer *out = sl_emit_begin(emit);
    sl_write_map(out, 2);
    sl_write_str(out, "id");
    sl_write_int(out, example_int(item->value, "id"));
    sl_write_str(out, "words");
    sl_write_list(out, kept);
    for (size_t at = 0; next_word(text, size, &at, word) > 0;) {
        if (sl_table_contains(analysis->stopwords, sl_key_str(&key, word), &is_stopword, error) == SL_OK &&
            !is_stopword) {
            sl_write_str(out, word);
        }
    }
    sl_emit_end(emit);
    return SL_OK;
}

/* ---- routes ------------------------------------------------------------------------------------------------------- */

static enum sl_code sounds(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    size_t size;
    const char *sentiment = example_text(item->value, "sentiment", &size);
    const char *wanted = context;
    (void)error;
    *taken = size == strlen(wanted) && memcmp(sentiment, wanted, size) == 0;
    return SL_OK;
}

static enum sl_code count_result(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct analysis *analysis = context;
    int64_t pid = example_int(outcome->value, "pid");
    uint32_t i = 0;
    while (i < analysis->pid_count && analysis->pids[i] != pid) {
        i++;
    }
    if (i == WORKERS_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "more than %d workers", WORKERS_MAX);
    }
    analysis->pid_count += i == analysis->pid_count;
    analysis->pids[i] = pid;
    analysis->count_by_pid[i]++;
    return SL_OK;
}

/* ---- the view: a worker hands over what it has counted -------------------------------------------------------------- */

static enum sl_code merge(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    struct analysis *analysis = context;
    struct sl_value pid, documents, counts, word, count;
    struct sl_iter iter;
    int64_t pid_number, document_count, number;
    if (sl_value_at(call->positional, 0, &pid) != SL_OK || sl_value_int(pid, &pid_number) != SL_OK ||
        sl_value_at(call->positional, 1, &documents) != SL_OK || sl_value_int(documents, &document_count) != SL_OK ||
        sl_value_at(call->positional, 2, &counts) != SL_OK || sl_iter_init(&iter, counts) != SL_OK) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "merge(pid, documents, counts) wants an int, an int and a map");
    }
    struct sl_transaction *transaction;
    enum sl_code code = sl_transaction_begin(analysis->store, &transaction, error);
    if (code != SL_OK) {
        return code;
    }
    while (code == SL_OK && sl_iter_next(&iter, &word, &count)) {
        code = sl_value_int(count, &number);
        if (code == SL_OK) {
            code = sl_transaction_increment(transaction, analysis->vocabulary, word, number, NULL, error);
        }
    }
    if (code != SL_OK) {
        sl_transaction_abort(transaction);
        return code;
    }
    code = sl_transaction_commit(transaction, error);
    if (code == SL_OK) {
        pthread_mutex_lock(&analysis->lock);
        if (analysis->merged_count < WORKERS_MAX) {
            analysis->merged_pids[analysis->merged_count] = pid_number;
            analysis->merged_documents[analysis->merged_count++] = (uint64_t)document_count;
        }
        pthread_mutex_unlock(&analysis->lock);
        sl_write_nil(result);
    }
    return code;
}

/* ---- the sequential recount ------------------------------------------------------------------------------------------ */

/* One call of Python with all raw texts at once: [{"texts", "stopwords"}] -> [{"vocabulary", "counts"}]. */
static void recount(struct example *example, struct analysis *analysis, struct sl_pool *pool,
                    struct sl_results *results) {
    struct example_lines lines;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_item item = {0};
    struct sl_writer writer;
    uint32_t count = 0;
    sl_writer_init(&writer, NULL);
    example_lines_open(&lines, example, "documents.ndjson");
    struct sl_source source = example_lines_source(&lines);
    while (source.next(source.context, &item, &error) == SL_OK) {
        count++;
    }
    example_lines_close(&lines);
    sl_write_map(&writer, 2);
    sl_write_str(&writer, "texts");
    sl_write_list(&writer, count);
    example_lines_open(&lines, example, "documents.ndjson");
    source = example_lines_source(&lines);
    for (uint32_t i = 0; i < count && source.next(source.context, &item, &error) == SL_OK; i++) {
        sl_write_value(&writer, example_member(item.value, "text"));
    }
    example_lines_close(&lines);
    sl_write_str(&writer, "stopwords");
    struct sl_scan *scan;
    struct sl_value key;
    uint64_t stopword_count;
    example_must(sl_table_size(analysis->stopwords, &stopword_count, &error), &error, "the stopwords");
    sl_write_list(&writer, (uint32_t)stopword_count);
    example_must(sl_scan_begin(analysis->stopwords, NULL, NULL, &scan, &error), &error, "the stopwords");
    while (sl_scan_next(scan, &key, &(struct sl_value){0}, &error) == SL_OK) {
        sl_write_value(&writer, key);
    }
    sl_scan_end(scan);
    struct sl_item all = {0};
    example_must(sl_writer_end(&writer, &all.value, &error), &error, "the texts");
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "text_analysis:recount";
    options.timeout_ms = 120000;
    example_must(sl_call_batch(pool, &options, &all, 1, results, &error), &error, "the recount");
    sl_writer_finish(&writer);
    sl_error_finish(&error);
}

/* Words whose count in the store is that of the recount. */
static uint64_t equal_words(struct analysis *analysis, struct sl_value counts) {
    struct sl_iter iter;
    struct sl_value word, count, merged;
    struct sl_writer memory;
    struct sl_error error = SL_ERROR_INIT;
    uint64_t equal = 0;
    sl_writer_init(&memory, NULL);
    example_must(sl_iter_init(&iter, counts), &error, "the recount");
    while (sl_iter_next(&iter, &word, &count)) {
        equal += sl_table_get(analysis->vocabulary, word, &memory, &merged, &error) == SL_OK &&
                 sl_value_equal(count, merged);
    }
    sl_writer_finish(&memory);
    sl_error_finish(&error);
    return equal;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static void open_tables(struct example *example, struct sl_runtime *runtime, struct analysis *analysis) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    struct sl_loader_options loading = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader;
    char path[512];
    snprintf(path, sizeof path, "%s/stopwords.ndjson", example->data);
    loading.key = "word";
    example_must(sl_store_create(runtime, NULL, &analysis->store, &error), &error, "the store");
    example_must(sl_table_open(analysis->store, "stopwords", &table, &analysis->stopwords, &error), &error,
                 "the stopwords");
    example_must(sl_table_open(analysis->store, "vocabulary", &table, &analysis->vocabulary, &error), &error,
                 "the vocabulary");
    example_must(sl_loader_open_ndjson(path, &loading, &loader, &error), &error, "the stopwords");
    example_must(sl_table_reload(analysis->stopwords, sl_loader_next, loader, NULL, &error), &error, "the stopwords");
    sl_loader_close(loader);
}

static void run_pipe(struct example *example, struct analysis *analysis, struct sl_pool *pool,
                     struct sl_pipe_report *report) {
    const struct sl_pipe_definition definition = {
        SL_PIPE("text_analysis"),
        .stages = SL_STAGES(SL_NATIVE("prepare", prepare, .context = analysis),
                            SL_PYTHON("analyze", "text_analysis:analyze", .batch_size = 16, .max_in_flight = 8),
                            SL_ROUTER("route", {sounds, (void *)"positive", .to = "positive"},
                                      {sounds, (void *)"negative", .to = "negative"}, {.to = "neutral"})),
        .outputs = SL_OUTPUTS("positive", "negative", "neutral"),
    };
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe *pipe;
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    struct example_lines lines;
    options.pools = &(struct sl_pipe_pool){"main", pool};
    options.pool_count = 1;
    options.sinks = &(struct sl_pipe_sink){NULL, count_result, analysis};
    options.sink_count = 1;
    example_must(sl_pipe_create(&definition, &pipe, &error), &error, "the pipe");
    example_lines_open(&lines, example, "documents.ndjson");
    example_must(sl_pipe_run(pipe, &options, example_lines_source(&lines), report, &error), &error, "the run");
    example_lines_close(&lines);
    sl_pipe_destroy(pipe);
    sl_error_finish(&error);
}

static void prove(struct example *example, struct analysis *analysis, const struct sl_pipe_report *report,
                  struct sl_value recounted) {
    uint64_t routed = 0, handed_over = 0, agree = 0, vocabulary = 0;
    struct sl_error error = SL_ERROR_INIT;
    for (uint32_t i = 0; i < report->output_count; i++) {
        example_say(example, "  %-9s %6llu documents", report->outputs[i].name,
                    (unsigned long long)report->outputs[i].count);
        routed += report->outputs[i].count;
    }
    for (uint32_t i = 0; i < analysis->pid_count; i++) {
        for (uint32_t k = 0; k < analysis->merged_count; k++) {
            agree += analysis->merged_pids[k] == analysis->pids[i] &&
                     analysis->merged_documents[k] == analysis->count_by_pid[i];
        }
        example_say(example, "  worker %lld counted %llu documents", (long long)analysis->pids[i],
                    (unsigned long long)analysis->count_by_pid[i]);
    }
    for (uint32_t k = 0; k < analysis->merged_count; k++) {
        handed_over += analysis->merged_documents[k];
    }
    example_must(sl_table_size(analysis->vocabulary, &vocabulary, &error), &error, "the vocabulary");
    uint64_t sequential = (uint64_t)example_int(recounted, "vocabulary");
    uint64_t equal = equal_words(analysis, example_member(recounted, "counts"));
    example_prove(example, analysis->pid_count >= 2, "%u worker processes have taken part, each with another PID",
                  analysis->pid_count);
    example_prove(example, handed_over == report->input && routed == report->input,
                  "the workers' counts of documents add up to %llu, which is the input, and all were routed",
                  (unsigned long long)report->input);
    example_prove(example, agree == analysis->pid_count && analysis->merged_count == analysis->pid_count,
                  "what each worker handed over is what its results say");
    example_prove(example, equal == sequential && vocabulary == sequential,
                  "all %llu words have the counts of a sequential recount, and there are no others",
                  (unsigned long long)sequential);
    example_figure(example, "documents", (double)report->input);
    example_figure(example, "workers", analysis->pid_count);
    example_figure(example, "vocabulary", (double)vocabulary);
}

int main(int argc, char **argv) {
    struct example example;
    struct analysis analysis = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_results results = {0};
    struct sl_view_options view = SL_VIEW_OPTIONS_INIT;
    example_begin(&example, "text_analysis", argc, argv);
    struct sl_runtime *runtime = example_runtime(&example);
    open_tables(&example, runtime, &analysis);
    view.name = "merge";
    view.call = merge;
    view.context = &analysis;
    view.timeout_ms = 60000;
    example_must(sl_view_register(runtime, &view, NULL, &error), &error, "the view");

    example_work_begin(&example);
    const char *const preload[] = {"text_analysis", NULL};
    struct sl_pool *pool = example_pool(&example, runtime, preload);
    run_pipe(&example, &analysis, pool, &report);
    sl_pool_destroy(pool); /* the run's session has ended: all workers have handed over by now */
    example_work_end(&example);

    pool = example_pool(&example, runtime, preload);
    recount(&example, &analysis, pool, &results);
    prove(&example, &analysis, &report, results.values[0]);
    sl_results_finish(&results);
    sl_pool_destroy(pool);
    sl_pipe_report_finish(&report);
    sl_runtime_destroy(runtime);
    return example_end(&example);
}
