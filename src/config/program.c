/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <ctype.h>
#include <jq.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/redact.h"
#include "jq_value.h"
#include "sys/clock.h"

#define WEIGHT_MAX 9007199254740992.0
#define MESSAGE_SIZE 352
#define PATH_NAMES_MAX 8
/* How often the watch looks while programs run, and how many looks without any let it sleep. */
#define LOOK_MS 50
#define IDLE_LOOKS_MAX 20

/*
 * What would reach beyond the program is not there for it: jq calls `halt` from within, which must not meet the watch's. Written before the
 * program, which has its first line behind it. (So a program cannot begin with `import` or `include`.)
 */
static const char prelude[] = "def halt: error(\"halt is not available here\"); def halt_error: error; "
                              "def halt_error($code): error; def input: error(\"input is not available here\"); "
                              "def inputs: empty; ";

/* A compiled copy, in one thread's hands or on the program's list. */
struct sl__jq_run {
    struct sl__jq *program;
    struct sl__jq_run *next_free;
    struct sl__jq_run *next; /* of the watch's list */
    jq_state *state;
    struct sl__jq_hidden hidden;
    struct sl_writer writer;
    jv result; /* the last that was given out */
    uint32_t result_count;
    char message[MESSAGE_SIZE]; /* the first that jq gave while it compiled */

    pthread_mutex_t lock; /* guards the next two, and the flag of jq that stops it */
    uint64_t deadline_ns; /* 0: it does not run, or has no limit */
    bool stopped;
};

struct sl__jq {
    struct sl__jq_watch *watch;
    const char *text, *where;
    jv vars;
    uint32_t timeout_ms;
    const struct sl__redact *redact;
    char *path; /* names behind one another, each with its NUL, when that is all the program is; else NULL */
    uint32_t path_count;
    pthread_mutex_t lock;
    struct sl__jq_run *free;
};

/* ---- the watch --------------------------------------------------------------------------------------------------- */

struct sl__jq_watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sl__jq_run *runs;
    _Atomic bool started;
    bool over;
    pthread_t thread;
    _Atomic bool asleep; /* nothing ran for a while: who begins has to wake it */
};

/* Stops what is past its deadline; whether anything with a deadline runs. */
static bool look(struct sl__jq_watch *watch) {
    uint64_t now_ns = sl__clock_now_ns();
    bool busy = false;
    for (struct sl__jq_run *run = watch->runs; run != NULL; run = run->next) {
        pthread_mutex_lock(&run->lock);
        busy = busy || run->deadline_ns != 0;
        if (run->deadline_ns != 0 && now_ns >= run->deadline_ns && !run->stopped) {
            run->stopped = true;
            jq_halt(run->state, jv_invalid(), jv_invalid());
        }
        pthread_mutex_unlock(&run->lock);
    }
    return busy;
}

static void *keep_watch(void *context) {
    struct sl__jq_watch *watch = context;
    uint32_t idle = 0;
    pthread_mutex_lock(&watch->lock);
    while (!watch->over) {
        if (idle >= IDLE_LOOKS_MAX) {
            /* Pairs with begin(): either it sees `asleep`, or this sees its deadline. */
            atomic_store(&watch->asleep, true);
            if (!look(watch)) {
                while (atomic_load(&watch->asleep) && !watch->over) {
                    pthread_cond_wait(&watch->changed, &watch->lock);
                }
            }
            atomic_store(&watch->asleep, false);
            idle = 0;
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
        idle = look(watch) ? 0 : idle + 1;
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

enum sl_code sl__jq_watch_create(struct sl__jq_watch **out, struct sl_error *error) {
    struct sl__jq_watch *watch = calloc(1, sizeof *watch);
    pthread_condattr_t clock;
    if (watch == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for jq programs");
    }
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &clock);
    pthread_condattr_destroy(&clock);
    *out = watch;
    return SL_OK;
}

void sl__jq_watch_destroy(struct sl__jq_watch *watch) {
    if (watch == NULL) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    watch->over = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    if (watch->started) {
        pthread_join(watch->thread, NULL);
    }
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* The thread is started by the first that needs it: who only reads a file has none. */
static enum sl_code ensure_watch(struct sl__jq_watch *watch, struct sl_error *error) {
    int status = 0;
    pthread_mutex_lock(&watch->lock);
    if (!watch->started) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        status = pthread_create(&watch->thread, NULL, keep_watch, watch);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        watch->started = status == 0;
    } else if (atomic_load(&watch->asleep)) {
        atomic_store(&watch->asleep, false);
        pthread_cond_broadcast(&watch->changed);
    }
    pthread_mutex_unlock(&watch->lock);
    return status == 0 ? SL_OK
                       : sl_error_set(error, SL_E_SYSTEM,
                                      "the thread that watches jq programs could not be started: %s", strerror(status));
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

/* The message without what jq's command line would add to it. */
static void keep_message(void *context, jv message) {
    static const char *const heads[] = {"jq: ", "error: "}, *const noise[] = {" (Unix shell quoting issues?)"};
    struct sl__jq_run *run = context;
    jv formatted = jq_format_error(message);
    const char *text = jv_get_kind(formatted) == JV_KIND_STRING ? jv_string_value(formatted) : "unknown error";
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        if (strncmp(text, heads[i], strlen(heads[i])) == 0) {
            text += strlen(heads[i]);
        }
    }
    if (run->message[0] == '\0') {
        size_t size = strcspn(text, "\n");
        size_t line_end = size;
        unsigned line = 1;
        for (size_t i = 0; i + 15 < size; i++) {
            if (strncmp(text + i, " at <top-level>", 15) == 0) {
                line_end = i;
                (void)sscanf(text + i + 15, ", line %u", &line);
                break;
            }
        }
        const char *found = strstr(text, noise[0]);
        if (found != NULL && (size_t)(found - text) < line_end) {
            line_end = (size_t)(found - text);
        }
        char where[48] = "";
        if (line > 1) {
            snprintf(where, sizeof where, " (line %u of the program)", line);
        }
        snprintf(run->message, sizeof run->message, "%.*s%s", (int)line_end, text, where);
    }
    jv_free(formatted);
}

static void destroy_run(struct sl__jq_run *run) {
    if (run->state != NULL) {
        struct sl__jq_watch *watch = run->program->watch;
        pthread_mutex_lock(&watch->lock);
        for (struct sl__jq_run **at = &watch->runs; *at != NULL; at = &(*at)->next) {
            if (*at == run) {
                *at = run->next;
                break;
            }
        }
        pthread_mutex_unlock(&watch->lock);
        jq_teardown(&run->state);
    }
    jv_free(run->result);
    sl_writer_finish(&run->writer);
    SL_ARRAY_FINISH(&run->hidden);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

static void ignore(void *context, jv message) {
    (void)context;
    jv_free(message);
}

static enum sl_code compile(struct sl__jq *program, struct sl__jq_run **out, struct sl_error *error) {
    struct sl__jq_run *run = calloc(1, sizeof *run);
    size_t text_size = strlen(program->text);
    char *text = malloc(sizeof prelude + text_size);
    if (run != NULL) {
        run->program = program;
        run->result = jv_null();
        sl_writer_init(&run->writer, NULL);
        pthread_mutex_init(&run->lock, NULL);
        run->state = jq_init();
    }
    if (run == NULL || text == NULL || run->state == NULL) {
        if (run != NULL) {
            destroy_run(run);
        }
        free(text);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a jq program");
    }
    memcpy(text, prelude, sizeof prelude - 1);
    memcpy(text + sizeof prelude - 1, program->text, text_size + 1);
    jq_set_error_cb(run->state, keep_message, run);
    jq_set_debug_cb(run->state, ignore, NULL);
    bool compiled = jq_compile_args(run->state, text, jv_copy(program->vars));
    free(text);
    struct sl__jq_watch *watch = program->watch;
    pthread_mutex_lock(&watch->lock);
    run->next = watch->runs;
    watch->runs = run;
    pthread_mutex_unlock(&watch->lock);
    if (!compiled) {
        enum sl_code code = sl_error_set(error, SL_E_INVALID_DATA, "%s",
                                         run->message[0] != '\0' ? run->message : "jq does not accept the program");
        destroy_run(run);
        return code;
    }
    *out = run;
    return SL_OK;
}

/* ".a.b": the names, when there is nothing else. */
static bool find_path(struct sl__jq *program) {
    const char *at = program->text;
    size_t size = strlen(at);
    while (size > 0 && isspace((unsigned char)at[size - 1])) {
        size--;
    }
    while (size > 0 && isspace((unsigned char)*at)) {
        at++;
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        bool letter = isalpha((unsigned char)at[i]) || at[i] == '_' || (isdigit((unsigned char)at[i]) && i > 0);
        bool begins = i > 0 && at[i - 1] == '.';
        if (at[i] == '.' ? begins || i + 1 == size : !letter || (i == 0) || (begins && isdigit((unsigned char)at[i]))) {
            return true;
        }
        program->path_count += at[i] == '.';
    }
    if (size < 2 || program->path_count > PATH_NAMES_MAX) {
        return true;
    }
    program->path = malloc(size);
    if (program->path == NULL) {
        return false;
    }
    for (size_t i = 1; i < size; i++) {
        program->path[i - 1] = at[i] == '.' ? '\0' : at[i];
    }
    program->path[size - 1] = '\0';
    return true;
}

enum sl_code sl__jq_create(const struct sl__jq_options *options, struct sl__jq **out, struct sl_error *error) {
    struct sl__jq *program = calloc(1, sizeof *program);
    if (program == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a jq program");
    }
    program->watch = options->watch;
    program->text = options->text;
    program->where = options->where;
    program->vars = jv_copy(options->vars);
    program->timeout_ms = options->timeout_ms;
    program->redact = options->redact;
    pthread_mutex_init(&program->lock, NULL);
    enum sl_code code = compile(program, &program->free, error);
    if (code == SL_OK && !find_path(program)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a jq program");
    }
    if (code != SL_OK) {
        sl__jq_destroy(program);
        return code;
    }
    *out = program;
    return SL_OK;
}

void sl__jq_destroy(struct sl__jq *program) {
    if (program == NULL) {
        return;
    }
    while (program->free != NULL) {
        struct sl__jq_run *run = program->free;
        program->free = run->next_free;
        destroy_run(run);
    }
    jv_free(program->vars);
    free(program->path);
    pthread_mutex_destroy(&program->lock);
    free(program);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void set_deadline(struct sl__jq_run *run, uint64_t deadline_ns) {
    pthread_mutex_lock(&run->lock);
    run->deadline_ns = deadline_ns;
    pthread_mutex_unlock(&run->lock);
}

enum sl_code sl__jq_begin(struct sl__jq *program, struct sl_value item, struct sl__jq_run **out,
                          struct sl_error *error) {
    pthread_mutex_lock(&program->lock);
    struct sl__jq_run *run = program->free;
    if (run != NULL) {
        program->free = run->next_free;
    }
    pthread_mutex_unlock(&program->lock);
    enum sl_code code = run != NULL ? SL_OK : compile(program, &run, error);
    if (code != SL_OK) {
        return code;
    }
    jv input;
    run->hidden.count = 0;
    run->result_count = 0;
    run->stopped = false;
    code = sl__jv_from_value(item, &run->hidden, &input, error);
    jq_start(run->state, input, 0);
    if (code == SL_OK && program->timeout_ms != UINT32_MAX) {
        struct sl__jq_watch *watch = program->watch;
        set_deadline(run, sl__clock_now_ns() + (uint64_t)program->timeout_ms * 1000000);
        atomic_thread_fence(memory_order_seq_cst);
        if (!atomic_load(&watch->started) || atomic_load(&watch->asleep)) {
            code = ensure_watch(watch, error);
        }
    }
    if (code != SL_OK) {
        sl__jq_end(run);
        return code;
    }
    *out = run;
    return SL_OK;
}

/* What jq says of an item, which it quotes. */
static enum sl_code quoting(struct sl__jq_run *run, jv message, struct sl_error *error) {
    char *text = strdup(jv_string_value(message));
    if (text == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "%s: no memory for what jq says", run->program->where);
    }
    (void)sl__redact_text(run->program->redact, SL__REDACT_TEXT, text, strlen(text));
    enum sl_code code = sl_error_set(error, SL_E_ITEM, "%s: jq: %s", run->program->where, text);
    free(text);
    return code;
}

static enum sl_code failed(struct sl__jq_run *run, jv message, struct sl_error *error) {
    pthread_mutex_lock(&run->lock);
    bool stopped = run->stopped;
    pthread_mutex_unlock(&run->lock);
    if (stopped) {
        jv_free(message);
        return sl_error_set(error, SL_E_TIMEOUT, "%s: the jq program ran for more than %u ms", run->program->where,
                            run->program->timeout_ms);
    }
    if (jv_get_kind(message) == JV_KIND_NULL) { /* jq's way to say that this was all */
        jv_free(message);
        return SL_E_END;
    }
    if (jv_get_kind(message) != JV_KIND_STRING) {
        message = jv_dump_string(message, 0);
    }
    enum sl_code code = quoting(run, message, error);
    jv_free(message);
    return code;
}

enum sl_code sl__jq_next(struct sl__jq_run *run, jv *result, struct sl_error *error) {
    jv_free(run->result);
    run->result = jq_next(run->state);
    if (!jv_is_valid(run->result)) {
        jv message = jv_invalid_get_msg(run->result);
        run->result = jv_null();
        return failed(run, message, error);
    }
    if (++run->result_count > SL__JQ_RESULTS_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "%s: the jq program gives more than %u values for one item",
                            run->program->where, SL__JQ_RESULTS_MAX);
    }
    *result = run->result;
    return SL_OK;
}

enum sl_code sl__jq_write(struct sl__jq_run *run, jv result, struct sl_writer *writer, struct sl_error *error) {
    struct sl_error inner = SL_ERROR_INIT;
    enum sl_code code = sl__jv_write(result, &run->hidden, writer, &inner);
    if (code != SL_OK) {
        (void)sl_error_set(error, code, "%s: %s", run->program->where, inner.message);
    }
    sl_error_finish(&inner);
    return code;
}

void sl__jq_end(struct sl__jq_run *run) {
    struct sl__jq *program = run->program;
    set_deadline(run, 0);
    jv_free(run->result);
    run->result = jv_null();
    jq_start(run->state, jv_null(), 0); /* what is left of the item is let go of */
    pthread_mutex_lock(&program->lock);
    run->next_free = program->free;
    program->free = run;
    pthread_mutex_unlock(&program->lock);
}

/* ---- one result -------------------------------------------------------------------------------------------------- */

/* Follows the path of names; what jq would make an error of is left to jq. */
static bool follow(const struct sl__jq *program, struct sl_value item, struct sl_value *value) {
    static const uint8_t nil[] = {0xc0};
    const char *name = program->path;
    for (uint32_t i = 0; i < program->path_count; i++, name += strlen(name) + 1) {
        enum sl_type type = sl_value_type(item);
        if (type == SL_TYPE_NIL || (type == SL_TYPE_MAP && sl_value_get(item, name, &item) != SL_OK)) {
            *value = (struct sl_value){nil, sizeof nil};
            return true;
        }
        if (type != SL_TYPE_MAP) {
            return false;
        }
    }
    *value = item;
    return true;
}

static enum sl_code only(struct sl__jq_run *run, jv *result, const char *what, struct sl_error *error) {
    const char *where = run->program->where;
    enum sl_code code = sl__jq_next(run, result, error);
    if (code == SL_E_END) {
        return sl_error_set(error, SL_E_ITEM, "%s: the jq program gives no %s for the item: expected one", where, what);
    }
    if (code != SL_OK) {
        return code;
    }
    jv first = jv_copy(*result), second;
    code = sl__jq_next(run, &second, error);
    jv_free(run->result);
    *result = run->result = first;
    if (code == SL_OK) {
        return sl_error_set(error, SL_E_ITEM, "%s: the jq program gives more than one %s for the item: expected one",
                            where, what);
    }
    return code == SL_E_END ? SL_OK : code;
}

enum sl_code sl__jq_test(struct sl__jq *program, struct sl_value item, bool *result, struct sl_error *error) {
    struct sl__jq_run *run;
    enum sl_code code = sl__jq_begin(program, item, &run, error);
    if (code != SL_OK) {
        return code;
    }
    jv value;
    code = sl__jq_next(run, &value, error);
    *result = code == SL_OK && jv_get_kind(value) != JV_KIND_FALSE && jv_get_kind(value) != JV_KIND_NULL;
    sl__jq_end(run);
    return code == SL_E_END ? SL_OK : code;
}

enum sl_code sl__jq_weight(struct sl__jq *program, struct sl_value item, uint64_t *weight, struct sl_error *error) {
    struct sl__jq_run *run;
    enum sl_code code = sl__jq_begin(program, item, &run, error);
    if (code != SL_OK) {
        return code;
    }
    jv value;
    code = only(run, &value, "weight", error);
    if (code == SL_OK) {
        double number = jv_get_kind(value) == JV_KIND_NUMBER ? jv_number_value(value) : -1;
        if (number >= 0 && number <= WEIGHT_MAX) {
            *weight = (uint64_t)ceil(number);
        } else {
            code = sl_error_set(error, SL_E_ITEM, "%s: expected a weight from 0 to 2^53, the jq program gave a %s%s",
                                program->where, jv_kind_name(jv_get_kind(value)),
                                jv_get_kind(value) == JV_KIND_NUMBER ? " out of that range" : "");
        }
    }
    sl__jq_end(run);
    return code;
}

enum sl_code sl__jq_one(struct sl__jq *program, struct sl_value item, struct sl_writer *writer, struct sl_value *value,
                        struct sl_error *error) {
    struct sl__jq_run *run;
    if (program->path != NULL && follow(program, item, value)) {
        return SL_OK;
    }
    enum sl_code code = sl__jq_begin(program, item, &run, error);
    if (code != SL_OK) {
        return code;
    }
    jv result;
    code = only(run, &result, "value", error);
    if (code == SL_OK) {
        sl_writer_reset(writer);
        code = sl__jq_write(run, result, writer, error);
    }
    sl__jq_end(run);
    return code == SL_OK ? sl_writer_end(writer, value, error) : code;
}
