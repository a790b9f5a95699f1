/* SPDX-License-Identifier: MIT */
#include "chaos.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- pools ------------------------------------------------------------------------------------------------------- */

struct sl_pool_options site_options(uint32_t workers, bool forked) {
    static const char *const path[] = {SL_TEST_MODULES, NULL};
    static const char *const preload[] = {"chaos_functions", NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.name = "chaos";
    options.worker_count = workers;
    options.python = getenv("SLITHER_TEST_PYTHON");
    options.python_path = path;
    options.preload = preload;
    options.template_use = forked ? SL_TEMPLATE_AUTO : SL_TEMPLATE_OFF;
    options.restart_max = 100000;
    options.restart_backoff_ms = 1;
    options.start_failure_max = 1000; /* those who are killed before they are ready are no reason to open the circuit */
    options.stop_timeout_ms = 500;
    options.start_timeout_ms = 4000; /* a worker may be stopped before it is ready */
    return options;
}

void site_open(struct site *site, const struct sl_pool_options *options) {
    struct sl_error error = SL_ERROR_INIT;
    if (sl_runtime_create(NULL, &site->runtime, &error) != SL_OK ||
        sl_pool_create(site->runtime, options, &site->pool, &error) != SL_OK) {
        fail_msg("%s: %s\n%s", sl_code_name(error.code), error.message, error.traceback != NULL ? error.traceback : "");
    }
    site->worker_max = options->worker_max != 0 ? options->worker_max : options->worker_count;
    site->forked = options->template_use != SL_TEMPLATE_OFF;
}

void site_close(struct site *site) {
    sl_pool_destroy(site->pool);
    sl_runtime_destroy(site->runtime);
    *site = (struct site){0};
}

/* ---- loads ------------------------------------------------------------------------------------------------------- */

uint32_t load_poison(const struct load *load, uint64_t x) {
    if (load->poison_every == 0 || (x * 2654435761u + load->salt) % load->poison_every != 0) {
        return 0;
    }
    return 1 + (uint32_t)(x % (load->poison_ways != 0 ? load->poison_ways : 1));
}

static int64_t result_of(const struct load *load, uint64_t x) {
    return (int64_t)((x * 2654435761u + (uint64_t)load->salt * 40503u) % 1000000007u);
}

static size_t padding_of(const struct load *load, uint64_t x) {
    return load->padding_rare && x % 16 != 3 ? 0 : load->padding;
}

static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct load *load = context;
    uint64_t x = load->pulled;
    if (x == 0 && load->begun != NULL) {
        atomic_fetch_add(load->begun, 1);
    }
    if (load->cancel_at != 0 && x == load->cancel_at && load->control != NULL) {
        sl_control_cancel(load->control);
    }
    if (x == load->count) {
        return SL_E_END;
    }
    size_t padding = padding_of(load, x);
    memset(load->filler, (int)(x & 255), padding);
    sl_writer_reset(&load->writer);
    sl_write_list(&load->writer, 5);
    sl_write_uint(&load->writer, x);
    sl_write_uint(&load->writer, load->salt);
    sl_write_uint(&load->writer, load->work_us);
    sl_write_uint(&load->writer, load_poison(load, x));
    sl_write_bytes(&load->writer, load->filler, padding);
    item->id = x ^ load->salt;
    load->pulled++;
    return sl_writer_end(&load->writer, &item->value, error);
}

struct sl_source load_source(struct load *load) {
    sl_writer_init(&load->writer, NULL);
    load->filler = malloc(load->padding + 1);
    load->pulled = 0;
    return (struct sl_source){next_item, load};
}

void load_finish(struct load *load) {
    sl_writer_finish(&load->writer);
    free(load->filler);
    load->filler = NULL;
}

/* ---- ledgers ----------------------------------------------------------------------------------------------------- */

void ledger_open(struct ledger *ledger, struct load *load, bool ordered) {
    *ledger = (struct ledger){.load = load, .ordered = ordered, .seen = calloc(load->count + 1, 1)};
}

void ledger_finish(struct ledger *ledger) {
    free(ledger->seen);
    ledger->seen = NULL;
}

void ledger_wrong(struct ledger *ledger, const char *format, ...) {
    if (ledger->wrong[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(ledger->wrong, sizeof ledger->wrong, format, arguments);
        va_end(arguments);
    }
}

/* [result, the bytes that were sent] */
static void check_result(struct ledger *ledger, const struct sl_outcome *outcome) {
    uint64_t x = outcome->sequence;
    struct sl_value part;
    int64_t number = -1;
    const void *bytes = NULL;
    size_t size = 0, padding = padding_of(ledger->load, x);
    if (sl_value_at(outcome->value, 0, &part) != SL_OK || sl_value_int(part, &number) != SL_OK ||
        sl_value_at(outcome->value, 1, &part) != SL_OK || sl_value_bytes(part, &bytes, &size) != SL_OK) {
        ledger_wrong(ledger, "item %llu: its result is not what the function returns", (unsigned long long)x);
        return;
    }
    if (number != result_of(ledger->load, x) || size != padding) {
        ledger_wrong(ledger, "item %llu: result %lld with %zu bytes, expected %lld with %zu", (unsigned long long)x,
                     (long long)number, size, (long long)result_of(ledger->load, x), padding);
    }
    for (size_t i = 0; i < size; i++) {
        if (((const uint8_t *)bytes)[i] != (x & 255)) {
            ledger_wrong(ledger, "item %llu: byte %zu of %zu is of another item", (unsigned long long)x, i, size);
            return;
        }
    }
}

void ledger_add(struct ledger *ledger, const struct sl_outcome *outcome) {
    uint64_t x = outcome->sequence;
    if (x >= ledger->load->pulled || outcome->id != (x ^ ledger->load->salt)) {
        ledger_wrong(ledger, "an outcome for item %llu with id %llu, which was never given", (unsigned long long)x,
                     (unsigned long long)outcome->id);
        return;
    }
    if (ledger->seen[x] != 0) {
        ledger_wrong(ledger, "item %llu was given to the sink twice: %s, then %s", (unsigned long long)x,
                     sl_status_name((enum sl_status)(ledger->seen[x] - 1)), sl_status_name(outcome->status));
        return;
    }
    if (ledger->ordered && x != ledger->position) {
        ledger_wrong(ledger, "item %llu came where %llu was due", (unsigned long long)x,
                     (unsigned long long)ledger->position);
    }
    ledger->seen[x] = (uint8_t)(outcome->status + 1);
    ledger->count[outcome->status]++;
    ledger->position++;
    ledger->attempts_max = outcome->attempts > ledger->attempts_max ? outcome->attempts : ledger->attempts_max;
    bool poisoned = load_poison(ledger->load, x) != 0;
    if (outcome->status == SL_STATUS_OK) {
        check_result(ledger, outcome);
    }
    bool killed = outcome->status == SL_STATUS_FAILED &&
                  (outcome->error->code == SL_E_WORKER_CRASHED || outcome->error->code == SL_E_WORKER_TIMEOUT);
    if (outcome->status == SL_STATUS_FAILED && !poisoned && !(killed && ledger->ends)) {
        ledger_wrong(ledger, "item %llu failed after %u attempts: %s: %s", (unsigned long long)x, outcome->attempts,
                     sl_code_name(outcome->error->code), outcome->error->message);
    } else if (outcome->status == SL_STATUS_OK && poisoned) {
        ledger_wrong(ledger, "item %llu is poisoned and went well", (unsigned long long)x);
    } else if (outcome->status == SL_STATUS_SKIPPED || outcome->status == SL_STATUS_ROUTED) {
        ledger_wrong(ledger, "item %llu was %s", (unsigned long long)x, sl_status_name(outcome->status));
    }
    if (ledger->progress != NULL) {
        atomic_fetch_add(ledger->progress, 1);
    }
}

static enum sl_code put(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    (void)error;
    struct ledger *ledger = context;
    ledger_add(ledger, outcome);
    if (ledger->after != NULL) {
        ledger->after(ledger->context, ledger->position);
    }
    return SL_OK;
}

struct sl_sink ledger_sink(struct ledger *ledger) {
    return (struct sl_sink){put, ledger};
}

void ledger_settle(struct ledger *ledger, const struct sl_report *report) {
    uint64_t sum = 0;
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        sum += report->count[i];
        if (report->count[i] != ledger->count[i]) {
            ledger_wrong(ledger, "the report counts %llu %s, the sink saw %llu", (unsigned long long)report->count[i],
                         sl_status_name((enum sl_status)i), (unsigned long long)ledger->count[i]);
        }
    }
    if (sum != report->input || report->input != ledger->load->pulled) {
        ledger_wrong(ledger, "%llu items were pulled, the report says %llu, and %llu outcomes",
                     (unsigned long long)ledger->load->pulled, (unsigned long long)report->input,
                     (unsigned long long)sum);
    }
    for (uint64_t x = 0; x < ledger->load->pulled; x++) {
        if (ledger->seen[x] == 0) {
            ledger_wrong(ledger, "item %llu never reached the sink", (unsigned long long)x);
        }
    }
}

/* ---- consumers --------------------------------------------------------------------------------------------------- */

struct sl_dispatch_options consumer_options(uint32_t timeout_ms) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = "chaos_functions:mix";
    options.timeout_ms = timeout_ms;
    options.policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_RETRY,
                                              .max_attempts = 1000,
                                              .backoff_ms = 1,
                                              .backoff_max_ms = 8,
                                              .jitter = 1.0,
                                              .retry_kinds = (uint64_t)1 << SL_E_WORKER_CRASHED |
                                                             (uint64_t)1 << SL_E_WORKER_TIMEOUT};
    return options;
}

static enum sl_code key_of(void *context, const struct sl_item *item, struct sl_value *key, struct sl_error *error) {
    static const uint8_t keys[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct sl_value first;
    int64_t x;
    (void)context;
    if (sl_value_at(item->value, 0, &first) != SL_OK || sl_value_int(first, &x) != SL_OK) {
        return sl_error_set(error, SL_E_TYPE, "an item of a load begins with a number");
    }
    *key = (struct sl_value){&keys[x * 2654435761 >> 7 & 7], 1};
    return SL_OK;
}

void consumer_run(struct consumer *consumer, _Atomic uint64_t *progress) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_strategy_functions functions = {.key = key_of};
    struct sl_dispatch_options options = consumer->options;
    struct ledger *ledger = &consumer->ledger;
    bool ordered = consumer->kind == RUN_IN_ORDER || consumer->kind == PULL_STREAM;
    options.ordering = ordered ? SL_ORDERING_PRESERVE : SL_ORDERING_AS_COMPLETED;
    if (consumer->kind == RUN_BY_KEY) {
        options.strategy = sl_strategy_key(&functions);
    }
    consumer->report = (struct sl_report)SL_REPORT_INIT;
    ledger_open(ledger, &consumer->load, ordered);
    ledger->progress = progress;
    ledger->ends = consumer->expected != SL_OK;
    ledger->after = consumer->after;
    ledger->context = consumer->context;
    struct sl_source source = load_source(&consumer->load);
    enum sl_code code;
    if (consumer->kind == PULL_STREAM) {
        struct sl_stream *stream = NULL;
        struct sl_outcome outcome;
        code = sl_stream_open(consumer->site->pool, &options, source, &stream, &error);
        while (code == SL_OK && (code = sl_stream_next(stream, &outcome, &error)) == SL_OK) {
            ledger_add(ledger, &outcome);
        }
        code = code == SL_E_END ? SL_OK : code;
        if (stream != NULL) {
            ledger_settle(ledger, sl_stream_report(stream));
        }
        sl_stream_close(stream);
    } else {
        struct sl_sink sink = ledger_sink(ledger);
        code = sl_dispatch_run(consumer->site->pool, &options, source, &sink, &consumer->report, &error);
        ledger_settle(ledger, &consumer->report);
    }
    if (code != consumer->expected && code != SL_OK) {
        ledger_wrong(ledger, "the run ended with %s: %s", sl_code_name(code), error.message);
    }
    if (code == SL_OK && (ledger->load->pulled != ledger->load->count || ledger->count[SL_STATUS_CANCELLED] != 0)) {
        ledger_wrong(ledger, "the run ended well after %llu of %llu items, %llu of them cancelled",
                     (unsigned long long)ledger->load->pulled, (unsigned long long)ledger->load->count,
                     (unsigned long long)ledger->count[SL_STATUS_CANCELLED]);
    }
    sl_error_finish(&error);
    load_finish(&consumer->load);
}

void consumer_finish(struct consumer *consumer) {
    sl_report_finish(&consumer->report);
    ledger_finish(&consumer->ledger);
}

struct start {
    struct consumer *consumer;
    _Atomic uint64_t *progress;
};

static void *consume(void *context) {
    struct start *start = context;
    consumer_run(start->consumer, start->progress);
    free(start);
    return NULL;
}

void consumers_start(struct consumer *consumers, uint32_t count, _Atomic uint64_t *progress) {
    for (uint32_t i = 0; i < count; i++) {
        struct start *start = malloc(sizeof *start);
        *start = (struct start){&consumers[i], progress};
        assert_int_equal(pthread_create(&consumers[i].thread, NULL, consume, start), 0);
    }
}

void consumers_join(struct consumer *consumers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(consumers[i].thread, NULL), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (consumers[i].ledger.wrong[0] != '\0') {
            fail_msg("consumer %u: %s", i, consumers[i].ledger.wrong);
        }
    }
}

/* ---- killers ----------------------------------------------------------------------------------------------------- */

/* Process id of the template, when `pid` is a worker of one. */
static int64_t template_of(int64_t pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "r");
    size_t length = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL) {
        fclose(file);
    }
    text[length] = '\0';
    const char *rest = strrchr(text, ')'); /* the name before may hold anything */
    long parent = 0;
    return rest != NULL && sscanf(rest + 1, " %*c %ld", &parent) == 1 && parent > 1 && parent != getpid() ? parent : 0;
}

/* A worker that is orphaned has another parent: it has to be a child of ours. */
static bool is_child(int64_t pid) {
    return template_of(pid) == 0;
}

static void strike(struct killer *killer) {
    static const int signals[] = {SIGKILL, SIGSEGV, SIGSTOP};
    uint32_t worker = draw_below(&killer->random, killer->site->worker_max);
    uint32_t way = draw_below(&killer->random, 100) < killer->stop_percent ? 2 : draw_below(&killer->random, 2);
    int64_t pid = sl_pool_worker_pid(killer->site->pool, worker);
    if (pid <= 0) {
        return;
    }
    if (killer->templates < killer->template_max && draw_below(&killer->random, 100) < killer->template_percent) {
        int64_t parent = template_of(pid);
        if (parent > 0 && is_child(parent) && kill((pid_t)parent, signals[way]) == 0) {
            killer->sent[way]++;
            killer->templates++;
        }
        return;
    }
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    /* Still its worker after the open: the descriptor cannot be of another process that was given the same number. */
    if (fd >= 0 && sl_pool_worker_pid(killer->site->pool, worker) == pid) {
        killer->sent[way] += syscall(SYS_pidfd_send_signal, fd, signals[way], NULL, 0) == 0;
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void *kill_workers(void *context) {
    struct killer *killer = context;
    while (!atomic_load(&killer->over)) {
        uint32_t span = killer->pause_max_us - killer->pause_min_us + 1;
        long pause_us =
            (long)(killer->pause_min_us + draw_below(&killer->random, span)) * (killer->site->forked ? 1 : 10);
        struct timespec pause = {pause_us / 1000000, pause_us % 1000000 * 1000};
        nanosleep(&pause, NULL);
        uint64_t sent = killer->sent[0] + killer->sent[1] + killer->sent[2];
        if (sent < 8 + atomic_load(&killer->progress) / killer->items_per_kill) {
            strike(killer);
        }
    }
    return NULL;
}

void killer_start(struct killer *killer) {
    atomic_store(&killer->over, false);
    assert_int_equal(pthread_create(&killer->thread, NULL, kill_workers, killer), 0);
}

void killer_stop(struct killer *killer) {
    atomic_store(&killer->over, true);
    pthread_join(killer->thread, NULL);
}

/* ---- sizers ------------------------------------------------------------------------------------------------------ */

static void *change_size(void *context) {
    struct sizer *sizer = context;
    struct sl_error error = SL_ERROR_INIT;
    for (bool over = false; !over;) {
        over = atomic_load(&sizer->over);
        uint32_t most = over ? sizer->site->worker_max : 1 + draw_below(&sizer->random, sizer->site->worker_max);
        uint32_t least = over ? most : 1 + draw_below(&sizer->random, most);
        if (sl_pool_resize(sizer->site->pool, least, most, &error) != SL_OK) {
            snprintf(sizer->wrong, sizeof sizer->wrong, "resize to %u..%u: %.200s", least, most, error.message);
            over = true;
        }
        sizer->changes++;
        struct timespec pause = {0, 1000 * (long)draw_below(&sizer->random, 30000)};
        nanosleep(&pause, NULL);
    }
    sl_error_finish(&error);
    return NULL;
}

void sizer_start(struct sizer *sizer) {
    atomic_store(&sizer->over, false);
    assert_int_equal(pthread_create(&sizer->thread, NULL, change_size, sizer), 0);
}

void sizer_stop(struct sizer *sizer) {
    atomic_store(&sizer->over, true);
    pthread_join(sizer->thread, NULL);
    if (sizer->wrong[0] != '\0') {
        fail_msg("%s", sizer->wrong);
    }
}

/* ---- what is left ------------------------------------------------------------------------------------------------ */

void expect_no_children(void) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid != -1 || errno != ECHILD) {
        fail_msg("a child is left: %ld", (long)pid);
    }
}
