/* SPDX-License-Identifier: MIT */
/* One worker through its states, with an interpreter that does what a script says (testing/fake_worker.c). */
#include "worker/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "descriptors.h"
#include "oom.h"
#include "scratch.h"
#include "sys/proc.h"
#include "sys/process.h"

#define PATIENCE_S 20
#define LINES_MAX 64

/* What the owner has been told, and what it answers. */
struct owner {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sl__loop *loop;
    struct sl__log log;
    struct sl__spec spec;
    struct sl__worker_config config;
    struct sl__worker *worker;
    uint32_t ready_count, gone_count, stopped_count, reaping_count;
    uint64_t restarts_left; /* gone answers "at once" that often, then never */
    struct sl__life life;
    struct sl__death death; /* the last */
    char lines[LINES_MAX][128];
    uint32_t line_count;
    uint32_t sample_count;
    uint64_t rss_bytes;
    enum sl_activity activity;
    uint64_t silent_ns;
};

static void on_ready(void *context, uint32_t index, const struct sl__life *life) {
    struct owner *owner = context;
    (void)index;
    pthread_mutex_lock(&owner->lock);
    owner->ready_count++;
    owner->life = *life;
    pthread_cond_broadcast(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
}

static void on_reaping(void *context, uint32_t index, const char *doing, struct sl_error *reason,
                       enum sl_death_cause *cause) {
    (void)doing;
    (void)cause;
    struct owner *owner = context;
    (void)index;
    (void)reason;
    pthread_mutex_lock(&owner->lock);
    owner->reaping_count++;
    pthread_mutex_unlock(&owner->lock);
}

static uint64_t on_gone(void *context, uint32_t index, const struct sl__death *death) {
    struct owner *owner = context;
    (void)index;
    pthread_mutex_lock(&owner->lock);
    owner->gone_count++;
    struct sl_error error = owner->death.error;
    owner->death = *death;
    owner->death.error = error;
    sl_error_copy(&owner->death.error, &death->error);
    if (death->was_ready) {
        sl__lane_destroy(owner->life.lane);
        owner->life.lane = NULL;
    }
    uint64_t answer = SL__NO_RESTART;
    if (owner->restarts_left > 0) {
        owner->restarts_left--;
        answer = 0;
    }
    pthread_cond_broadcast(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
    return answer;
}

static void on_stopped(void *context, uint32_t index) {
    struct owner *owner = context;
    (void)index;
    pthread_mutex_lock(&owner->lock);
    owner->stopped_count++;
    pthread_cond_broadcast(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
}

static void on_sample(void *context, uint32_t index, uint64_t rss_bytes, enum sl_activity activity) {
    struct owner *owner = context;
    (void)index;
    pthread_mutex_lock(&owner->lock);
    owner->rss_bytes = rss_bytes;
    owner->activity = activity;
    owner->sample_count++;
    pthread_cond_broadcast(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
}

static const struct sl__worker_owner callbacks = {
    .ready = on_ready,
    .reaping = on_reaping,
    .gone = on_gone,
    .stopped = on_stopped,
    .sampled = on_sample,
};

static void on_log(void *context, const struct sl_log_record *record) {
    struct owner *owner = context;
    if (record->origin != SL_LOG_HOST) {
        pthread_mutex_lock(&owner->lock);
        if (owner->line_count < LINES_MAX) {
            snprintf(owner->lines[owner->line_count++], sizeof(owner->lines[0]), "%s", record->text);
        }
        pthread_cond_broadcast(&owner->changed);
        pthread_mutex_unlock(&owner->lock);
    }
}

/* Waits until the counter has that value. */
static void await(struct owner *owner, const uint32_t *counter, uint32_t value) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&owner->lock);
    int status = 0;
    while (*counter < value && status == 0) {
        status = pthread_cond_timedwait(&owner->changed, &owner->lock, &deadline);
    }
    uint32_t found = *counter;
    pthread_mutex_unlock(&owner->lock);
    assert_int_equal(found, value);
}

static void create(void *context) {
    struct owner *owner = context;
    assert_int_equal(sl__worker_create(&owner->config, &owner->worker, NULL), SL_OK);
    sl__worker_start(owner->worker);
}

static void stop(void *context) {
    sl__worker_stop(((struct owner *)context)->worker);
}

static void destroy(void *context) {
    sl__worker_destroy(((struct owner *)context)->worker);
}

static struct owner *begin(const char *script, uint32_t start_timeout_ms) {
    struct owner *owner = calloc(1, sizeof(*owner));
    pthread_mutex_init(&owner->lock, NULL);
    pthread_cond_init(&owner->changed, NULL);
    owner->death.error = (struct sl_error)SL_ERROR_INIT;
    assert_true(sl__log_init(&owner->log, on_log, owner, SL_LOG_DEBUG));
    char variable[1024];
    snprintf(variable, sizeof(variable), "FAKE_SCRIPT=%s", script);
    const char *environment[] = {variable, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    options.python = getenv("SLITHER_FAKE_WORKER");
    assert_non_null(options.python);
    assert_int_equal(sl__spec_init(&owner->spec, &options, 1, "/nowhere", environment, NULL), SL_OK);
    assert_int_equal(sl__loop_create(&owner->loop, NULL), SL_OK);
    owner->config = (struct sl__worker_config){
        .loop = owner->loop,
        .log = &owner->log,
        .spec = &owner->spec,
        .owner = &callbacks,
        .context = owner,
        .pool = "test",
        .index = 4,
        .start_timeout_ms = start_timeout_ms,
        .stop_timeout_ms = 200,
        .lane = {.segment_bytes = 65536, .payload_bytes_max = 1 << 20, .limits = SL_LIMITS_INIT},
    };
    return owner;
}

static void run(struct owner *owner) {
    sl__loop_call(owner->loop, create, owner);
}

static void end(struct owner *owner) {
    sl__loop_call(owner->loop, stop, owner);
    await(owner, &owner->stopped_count, 1);
    sl__loop_call(owner->loop, destroy, owner);
    sl__loop_destroy(owner->loop);
    sl__spec_finish(&owner->spec);
    sl__log_finish(&owner->log);
    sl_error_finish(&owner->death.error);
    free(owner);
    /* No child is left, not even a zombie. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* A start that fails, with what the error has to say. */
static void expect_failed_start(const char *script, uint32_t start_timeout_ms, enum sl_code code, const char *text,
                                const char *tail) {
    struct owner *owner = begin(script, start_timeout_ms);
    run(owner);
    await(owner, &owner->gone_count, 1);
    const struct sl_error *error = &owner->death.error;
    if (error->code != code || strstr(error->message, text) == NULL) {
        fail_msg("%s: %s: %s", script, sl_code_name(error->code), error->message);
    }
    assert_false(owner->death.was_ready);
    assert_int_equal(owner->ready_count, 0);
    assert_int_equal(error->worker, 4);
    assert_int_equal(error->generation, 1);
    if (tail != NULL) {
        assert_non_null(error->stderr_tail);
        assert_non_null(strstr(error->stderr_tail, tail));
    }
    end(owner);
}

static void a_worker_that_exits_before_it_is_ready(void **unused) {
    (void)unused;
    expect_failed_start("err=first;err=last words;exit=3", 10000, SL_E_WORKER_START, "exited with status 3", "first");
    expect_failed_start("err=first;err=last words;exit=3", 10000, SL_E_WORKER_START, "last words", "last words");
    expect_failed_start("config;exit=0", 10000, SL_E_WORKER_START, "exited with status 0", NULL);
}

static void a_worker_that_is_killed_before_it_is_ready(void **unused) {
    (void)unused;
    expect_failed_start("config;err=oh;signal=11", 10000, SL_E_WORKER_START, "was killed by SIGSEGV", "oh");
    expect_failed_start("signal=9", 10000, SL_E_WORKER_START, "was killed by SIGKILL", NULL);
}

static void a_worker_that_says_why_it_cannot(void **unused) {
    (void)unused;
    /* It may end at once or hang on: what it said counts. */
    expect_failed_start("config;failed=import_failed;exit=1", 10000, SL_E_IMPORT, "cannot import nonsense", NULL);
    expect_failed_start("config;failed=import_failed;hang", 10000, SL_E_IMPORT, "cannot import nonsense", NULL);
    expect_failed_start("config;failed=version_mismatch;exit=1", 10000, SL_E_VERSION, "", NULL);
    expect_failed_start("config;ready=3.9.7;hang", 10000, SL_E_UNSUPPORTED, "3.9.7", NULL);
    expect_failed_start("config;nogil;hang", 10000, SL_E_UNSUPPORTED, "GIL", NULL);
}

static void a_worker_that_takes_too_long(void **unused) {
    (void)unused;
    expect_failed_start("err=warming up;hang", 150, SL_E_TIMEOUT, "has not read its configuration", "warming up");
    expect_failed_start("config;err=at it;hang", 150, SL_E_TIMEOUT, "150 ms", "at it");
}

static void a_worker_that_talks_nonsense(void **unused) {
    (void)unused;
    expect_failed_start("config;noise;hang", 10000, SL_E_WORKER_START, "protocol", NULL);
    expect_failed_start("config;huge;hang", 10000, SL_E_WORKER_START, "protocol", NULL);
}

static void a_spawn_that_fails_is_a_death_without_a_life(void **unused) {
    (void)unused;
    struct owner *owner = begin("hang", 1000);
    free(owner->spec.directory);
    owner->spec.directory = strdup("/nonexistent/directory");
    run(owner);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(owner->death.error.code, SL_E_WORKER_START);
    assert_non_null(strstr(owner->death.error.message, "/nonexistent/directory"));
    end(owner);
}

static void a_ready_worker_stops_when_asked(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;serve;exit=0", 10000);
    owner->config.stop_timeout_ms = 60000; /* it does not come to that */
    run(owner);
    await(owner, &owner->ready_count, 1);
    assert_int_equal(sl__worker_pid(owner->worker), owner->life.pid);
    assert_int_equal(owner->life.generation, 1);
    sl__loop_call(owner->loop, stop, owner);
    await(owner, &owner->stopped_count, 1);
    assert_int_equal(owner->gone_count, 1);
    assert_true(owner->death.wanted);
    assert_int_equal(owner->death.error.exit_status, 0);
    assert_int_equal(sl__worker_pid(owner->worker), 0);
    owner->stopped_count = 0;
    end(owner);
}

static void one_that_does_not_listen_is_killed(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;hang", 10000);
    run(owner);
    await(owner, &owner->ready_count, 1);
    sl__loop_call(owner->loop, stop, owner);
    await(owner, &owner->stopped_count, 1);
    assert_int_equal(owner->death.error.term_signal, SIGKILL);
    owner->stopped_count = 0;
    end(owner);
}

static void one_that_was_stopped_by_a_signal_is_killed(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;serve", 10000);
    run(owner);
    await(owner, &owner->ready_count, 1);
    assert_int_equal(kill(owner->life.pid, SIGSTOP), 0);
    end(owner);
}

static void a_stop_during_the_handshake_kills_at_once(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;hang", 60000);
    run(owner);
    end(owner);
}

static void a_death_is_described(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;serve", 10000);
    run(owner);
    await(owner, &owner->ready_count, 1);
    assert_int_equal(kill(owner->life.pid, SIGABRT), 0);
    await(owner, &owner->gone_count, 1);
    assert_true(owner->death.was_ready);
    assert_false(owner->death.wanted);
    assert_int_equal(owner->death.error.code, SL_E_WORKER_CRASHED);
    assert_int_equal(owner->death.error.term_signal, SIGABRT);
    assert_non_null(strstr(owner->death.error.message, "was killed by SIGABRT"));
    assert_int_equal(owner->reaping_count, 1);
    end(owner);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A worker that is killed from outside while the counter of OOM kills goes from one text to the other (NULL: there is no such file). */
static void expect_sigkill(const char *before, const char *after, enum sl_code code, enum sl_death_cause cause,
                           const char *text) {
    struct sl__oom_sources sources = {.sources = {{.what = ""}, {.what = "of a test"}}};
    char *path = sources.sources[1].path;
    SL_STATIC_ASSERT(sizeof sources.sources[1].path >= SCRATCH_SIZE, "the path of a file of this test fits");
    close(scratch_file(path, "worker_test"));
    before != NULL ? write_file(path, before) : (void)unlink(path);
    struct owner *owner = begin("config;ready;serve", 10000);
    owner->config.oom_sources = &sources;
    run(owner);
    await(owner, &owner->ready_count, 1);
    if (after != NULL) {
        write_file(path, after);
    }
    assert_int_equal(kill(owner->life.pid, SIGKILL), 0);
    await(owner, &owner->gone_count, 1);
    const struct sl_error *error = &owner->death.error;
    assert_int_equal(error->code, code);
    assert_non_null(error->death);
    assert_int_equal(error->death->cause, cause);
    if (strstr(error->message, text) == NULL || strstr(error->death->evidence, text) == NULL) {
        fail_msg("%s\n%s", error->message, error->death->evidence);
    }
    end(owner);
    (void)unlink(path);
}

static void a_foreign_sigkill_is_not_taken_for_our_own(void **unused) {
    (void)unused;
    expect_sigkill("oom_kill 3\n", NULL, SL_E_WORKER_CRASHED, SL_DEATH_SIGNAL,
                   "SIGKILL, not sent by this library; the kernel's count of OOM kills did not change");
    expect_sigkill(NULL, NULL, SL_E_WORKER_CRASHED, SL_DEATH_SIGNAL, "could not be read");
    /* One that appears meanwhile has no earlier value to compare it with. */
    expect_sigkill(NULL, "oom_kill 9\n", SL_E_WORKER_CRASHED, SL_DEATH_SIGNAL, "could not be read");
}

static void a_kill_for_lack_of_memory_is_named_as_such(void **unused) {
    (void)unused;
    expect_sigkill("low 0\noom_kill 3\n", "low 0\noom_kill 4\n", SL_E_OUT_OF_MEMORY, SL_DEATH_OUT_OF_MEMORY,
                   "the count of OOM kills of a test (oom_kill in /");
}

static void condemn(void *context) {
    sl__worker_condemn(((struct owner *)context)->worker);
}

/* In one turn of the loop: in a later one it may be gone. */
static void condemn_twice(void *context) {
    condemn(context);
    condemn(context);
}

static void beat(void *context) {
    struct owner *owner = context;
    owner->silent_ns = sl__worker_beat(owner->worker);
}

/* A worker that is to be ended with some questions; how it ended in the end. */
static void expect_condemned(const char *script, uint32_t stack_timeout_ms, uint32_t term_grace_ms, int term_signal,
                             int exit_status, enum sl_activity activity) {
    struct owner *owner = begin(script, 10000);
    owner->config.stack_timeout_ms = stack_timeout_ms;
    owner->config.term_grace_ms = term_grace_ms;
    run(owner);
    await(owner, &owner->ready_count, 1);
    sl__loop_call(owner->loop, condemn_twice, owner); /* twice is once */
    await(owner, &owner->gone_count, 1);
    const struct sl_error *error = &owner->death.error;
    assert_int_equal(error->term_signal, term_signal);
    assert_int_equal(error->exit_status, exit_status);
    assert_non_null(error->death);
    assert_int_equal(error->death->activity, activity);
    /* What this library has done itself is no riddle. */
    assert_null(error->death->evidence);
    end(owner);
}

static void a_condemned_worker_is_asked_then_terminated_then_killed(void **unused) {
    (void)unused;
    expect_condemned("config;ready;serve", 20000, 0, SIGKILL, -1, SL_ACTIVITY_IDLE);
    expect_condemned("config;ready;serve", 20000, 20000, SIGTERM, -1, SL_ACTIVITY_IDLE);
    expect_condemned("config;ready;mute", 50, 0, SIGKILL, -1, SL_ACTIVITY_UNKNOWN);
    expect_condemned("config;ready;mute", 0, 20000, SIGTERM, -1, SL_ACTIVITY_UNKNOWN);
    expect_condemned("deafterm;config;ready;mute", 50, 50, SIGKILL, -1, SL_ACTIVITY_UNKNOWN);
    expect_condemned("config;ready;mute", 0, 0, SIGKILL, -1, SL_ACTIVITY_UNKNOWN);
    expect_condemned("config;ready;deaf;hang", 20000, 0, SIGKILL, -1, SL_ACTIVITY_UNKNOWN);
}

static void a_condemned_worker_that_is_stopped_is_not_waited_for(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;serve", 10000);
    owner->config.stack_timeout_ms = 3600000;
    run(owner);
    await(owner, &owner->ready_count, 1);
    assert_int_equal(kill(owner->life.pid, SIGSTOP), 0);
    siginfo_t stopped;
    assert_int_equal(waitid(P_PID, (id_t)owner->life.pid, &stopped, WSTOPPED | WNOWAIT), 0);
    sl__loop_call(owner->loop, condemn, owner);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(owner->death.error.death->activity, SL_ACTIVITY_STOPPED);
    end(owner);
}

static void a_stop_is_obeyed_while_it_is_asked(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;mute", 10000);
    owner->config.stack_timeout_ms = 3600000;
    run(owner);
    await(owner, &owner->ready_count, 1);
    sl__loop_call(owner->loop, condemn, owner);
    assert_int_equal(sl__worker_state(owner->worker), SL__WORKER_QUESTIONED);
    end(owner);
}

static void an_answer_without_a_question_is_noise(void **unused) {
    (void)unused;
    expect_failed_start("config;liar;hang", 10000, SL_E_WORKER_START, "answered what it had not been asked", NULL);
    struct owner *owner = begin("config;ready;liar;hang", 10000);
    run(owner);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(owner->death.error.code, SL_E_PROTOCOL);
    assert_int_equal(owner->death.error.death->cause, SL_DEATH_PROTOCOL);
    end(owner);
}

static void heartbeats_are_answered_and_sampled(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;serve", 10000);
    run(owner);
    await(owner, &owner->ready_count, 1);
    for (uint32_t i = 1; i <= SL_DEATH_SAMPLES + 3; i++) {
        sl__loop_call(owner->loop, beat, owner);
        await(owner, &owner->sample_count, i);
    }
    assert_true(owner->rss_bytes > 0);
    while (owner->activity != SL_ACTIVITY_IDLE) { /* each beat tells what the answer to the one before was */
        sl__loop_call(owner->loop, beat, owner);
    }
    assert_int_equal(kill(owner->life.pid, SIGABRT), 0);
    await(owner, &owner->gone_count, 1);
    const struct sl_death *death = owner->death.error.death;
    assert_non_null(death);
    assert_int_equal(death->cause, SL_DEATH_SIGNAL);
    assert_int_equal(death->term_signal, SIGABRT);
    assert_int_equal(death->exit_status, -1);
    assert_int_equal(death->worker, 4);
    assert_int_equal(death->generation, 1);
    assert_int_equal(death->pid, owner->life.pid);
    assert_int_equal(death->activity, SL_ACTIVITY_IDLE);
    assert_true(death->time_ms > 1600000000000);
    for (int i = 0; i < SL_DEATH_SAMPLES; i++) {
        assert_true(death->samples[i].rss_bytes > 0);
        assert_true(i == 0 || death->samples[i].age_ms >= death->samples[i - 1].age_ms);
        assert_true(death->samples[i].age_ms <= death->age_ms);
    }
    end(owner);
}

static void silence_is_measured(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;mute", 10000);
    run(owner);
    await(owner, &owner->ready_count, 1);
    sl__loop_call(owner->loop, beat, owner);
    assert_int_equal(owner->silent_ns, 0);
    sl__loop_call(owner->loop, beat, owner);
    uint64_t first = owner->silent_ns;
    assert_true(first > 0);
    sl__loop_call(owner->loop, beat, owner);
    assert_true(owner->silent_ns > first);
    end(owner);
}

static void a_control_group_is_made_entered_and_read(void **unused) {
    (void)unused;
    char parent[SCRATCH_SIZE], path[512], text[64], name[128];
    scratch_folder(parent, "worker_test");
    struct owner *owner = begin("config;ready;serve", 10000);
    owner->config.cgroup = parent;
    owner->config.pool = "a/b c";
    owner->config.memory_max_bytes = 123 << 20;
    run(owner);
    await(owner, &owner->ready_count, 1);
    snprintf(name, sizeof(name), "slither-%ld-a_b_c-%" PRIxPTR "-4-1", (long)getpid(), (uintptr_t)&owner->spec);
    snprintf(path, sizeof(path), "%s/%s/memory.max", parent, name);
    assert_true(sl__proc_read(path, text, sizeof(text)));
    assert_string_equal(text, "128974848");
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/%s/cgroup.procs", parent, name);
    assert_true(sl__proc_read(path, text, sizeof(text)));
    assert_int_equal(atol(text), owner->life.pid);
    (void)unlink(path);
    assert_int_equal(kill(owner->life.pid, SIGTERM), 0);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(rmdir(parent), 0); /* the group is gone */
    end(owner);
}

static void one_that_closes_its_socket_is_killed(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;deaf;hang", 10000);
    run(owner);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(owner->death.error.code, SL_E_WORKER_CRASHED);
    assert_non_null(strstr(owner->death.error.message, "life-cycle socket"));
    end(owner);
}

static void one_that_babbles_is_killed(void **unused) {
    (void)unused;
    const char *const scripts[] = {"config;ready;noise;hang", "config;ready;ready;hang"};
    for (size_t i = 0; i < 2; i++) {
        struct owner *owner = begin(scripts[i], 10000);
        run(owner);
        await(owner, &owner->gone_count, 1);
        assert_int_equal(owner->death.error.code, SL_E_PROTOCOL);
        end(owner);
    }
}

static void the_owner_decides_about_the_next_life(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;ready;exit=1|config;ready;exit=2|config;ready;serve", 10000);
    owner->restarts_left = 2;
    run(owner);
    await(owner, &owner->ready_count, 3);
    assert_int_equal(owner->gone_count, 2);
    assert_int_equal(owner->death.error.exit_status, 2);
    assert_int_equal(owner->life.generation, 3);
    end(owner);
}

static void lines_of_both_outputs_reach_the_log(void **unused) {
    (void)unused;
    struct owner *owner = begin("out=to stdout;err=to stderr;config;ready;exit=0", 10000);
    run(owner);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(owner->line_count, 2);
    bool out = false, err = false;
    for (uint32_t i = 0; i < 2; i++) {
        out = out || strcmp(owner->lines[i], "to stdout") == 0;
        err = err || strcmp(owner->lines[i], "to stderr") == 0;
    }
    assert_true(out && err);
    end(owner);
}

static void grandchildren_die_with_the_worker(void **unused) {
    (void)unused;
    struct owner *owner = begin("config;child;ready;serve", 10000);
    run(owner);
    await(owner, &owner->line_count, 1);
    await(owner, &owner->ready_count, 1);
    long pid = 0;
    assert_int_equal(sscanf(owner->lines[0], "grandchild %ld", &pid), 1);
    int pidfd;
    assert_int_equal(sl__process_open((pid_t)pid, &pidfd, NULL), SL_OK);
    assert_int_equal(kill(owner->life.pid, SIGTERM), 0);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, PATIENCE_S * 1000), 1);
    close(pidfd);
    end(owner);
}

static void a_host_that_reaps_children_itself_is_coped_with(void **unused) {
    (void)unused;
    signal(SIGCHLD, SIG_IGN); /* the kernel reaps */
    struct owner *owner = begin("config;ready;exit=3", 10000);
    run(owner);
    await(owner, &owner->gone_count, 1);
    assert_int_equal(owner->death.error.exit_status, -1);
    assert_int_equal(owner->death.error.term_signal, 0);
    assert_non_null(strstr(owner->death.error.message, "could not learn"));
    end(owner);
    signal(SIGCHLD, SIG_DFL);
}

static void nothing_stays_open(void **unused) {
    (void)unused;
    /* libuv keeps a few descriptors of its own from its first loop on; by now there has been one. */
    int before = descriptor_count();
    a_worker_that_says_why_it_cannot(NULL);
    a_death_is_described(NULL);
    the_owner_decides_about_the_next_life(NULL);
    one_that_does_not_listen_is_killed(NULL);
    a_spawn_that_fails_is_a_death_without_a_life(NULL);
    assert_int_equal(descriptor_count(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_exits_before_it_is_ready),
        cmocka_unit_test(a_worker_that_is_killed_before_it_is_ready),
        cmocka_unit_test(a_worker_that_says_why_it_cannot),
        cmocka_unit_test(a_worker_that_takes_too_long),
        cmocka_unit_test(a_worker_that_talks_nonsense),
        cmocka_unit_test(a_spawn_that_fails_is_a_death_without_a_life),
        cmocka_unit_test(a_ready_worker_stops_when_asked),
        cmocka_unit_test(one_that_does_not_listen_is_killed),
        cmocka_unit_test(one_that_was_stopped_by_a_signal_is_killed),
        cmocka_unit_test(a_stop_during_the_handshake_kills_at_once),
        cmocka_unit_test(a_death_is_described),
        cmocka_unit_test(a_foreign_sigkill_is_not_taken_for_our_own),
        cmocka_unit_test(a_kill_for_lack_of_memory_is_named_as_such),
        cmocka_unit_test(a_condemned_worker_is_asked_then_terminated_then_killed),
        cmocka_unit_test(a_condemned_worker_that_is_stopped_is_not_waited_for),
        cmocka_unit_test(a_stop_is_obeyed_while_it_is_asked),
        cmocka_unit_test(an_answer_without_a_question_is_noise),
        cmocka_unit_test(heartbeats_are_answered_and_sampled),
        cmocka_unit_test(silence_is_measured),
        cmocka_unit_test(a_control_group_is_made_entered_and_read),
        cmocka_unit_test(one_that_closes_its_socket_is_killed),
        cmocka_unit_test(one_that_babbles_is_killed),
        cmocka_unit_test(the_owner_decides_about_the_next_life),
        cmocka_unit_test(lines_of_both_outputs_reach_the_log),
        cmocka_unit_test(grandchildren_die_with_the_worker),
        cmocka_unit_test(a_host_that_reaps_children_itself_is_coped_with),
        cmocka_unit_test(nothing_stays_open),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
