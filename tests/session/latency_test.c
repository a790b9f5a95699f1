/* SPDX-License-Identifier: MIT */
/*
 * How long it takes from the end of an owner until the host refuses the session, and until Python has let go of its state. 100 ms are promised: where the home
 * has nothing to do, from then on; where it runs a batch of another session, from the end of that. A stalled machine may delay one end, but not each of many: the
 * shortest counts.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"

#define PROMISED_US 100000u
#define TRIES_MIN 3  /* for the figures */
#define TRIES_MAX 30 /* until one has kept the promise */
#define TIME_MS 50u  /* of a lease, a time to live and an idle time */
#define PATIENCE_MS 3000

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct host host; /* of one lane */
static int fifo;
static char path[SCRATCH_SIZE];

static int setup(void **state) {
    (void)state;
    host_open(&host, 1, NULL);
    fifo = open_fifo(path);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    close_fifo(fifo, path);
    host_close(&host);
    return 0;
}

/* ---- owners ---------------------------------------------------------------------------------------------------------- */

struct owner {
    struct sl_session *session;
    uint64_t id;
    struct sl_object *object; /* of the session */
    pid_t child;
    pthread_t thread;
    pthread_barrier_t barrier;
    bool begun;
    uint64_t end_us;
};

/* Opens the session and makes state whose end is told. False: its time was up before. */
static bool open_owned(struct owner *owner, struct sl_session_options *options) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_call_options call_options = SL_CALL_OPTIONS_INIT;
    struct sl_result result = SL_RESULT_INIT;
    if (sl_session_open(host.pool, options, &owner->session, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    owner->id = sl_session_id(owner->session);
    const struct call hook = {.host = &host, .session = owner->session, .function = "tell_when_closed", .text = path};
    enum sl_code code = call_in(&hook, NULL, &error);
    call_options.session = owner->session;
    if (code == SL_OK) {
        code = sl_call(host.pool, &call_options, "builtins:object", (struct sl_value){NULL, 0},
                       (struct sl_value){NULL, 0}, &result, &error);
    }
    if (code == SL_OK) {
        code = sl_object_take(&result, result.value, &owner->object, &error);
    }
    sl_result_finish(&result);
    assert_true(code == SL_OK || code == SL_E_SESSION_LOST);
    sl_error_finish(&error);
    return code == SL_OK;
}

static bool begin_handle(struct owner *owner) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    return open_owned(owner, &options);
}

static void end_handle(struct owner *owner) {
    owner->end_us = now_us();
    sl_session_close(owner->session);
    owner->session = NULL;
}

static bool begin_process(struct owner *owner) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    owner->child = fork();
    if (owner->child == 0) {
        for (;;) {
            pause();
        }
    }
    options.owner = SL_OWNER_PROCESS;
    options.owner_pid = owner->child;
    return open_owned(owner, &options);
}

static void end_process(struct owner *owner) {
    owner->end_us = now_us();
    assert_int_equal(kill(owner->child, SIGKILL), 0);
}

static void *own(void *argument) {
    struct owner *owner = argument;
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.owner = SL_OWNER_THREAD;
    owner->begun = open_owned(owner, &options);
    pthread_barrier_wait(&owner->barrier);
    pthread_barrier_wait(&owner->barrier);
    owner->end_us = now_us();
    return NULL;
}

static bool begin_thread(struct owner *owner) {
    pthread_barrier_init(&owner->barrier, NULL, 2);
    assert_int_equal(pthread_create(&owner->thread, NULL, own, owner), 0);
    pthread_barrier_wait(&owner->barrier);
    return owner->begun;
}

static void end_thread(struct owner *owner) {
    pthread_barrier_wait(&owner->barrier);
    pthread_join(owner->thread, NULL);
    pthread_barrier_destroy(&owner->barrier);
}

static bool begin_lease(struct owner *owner) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.owner = SL_OWNER_LEASE;
    options.lease_ms = TIME_MS;
    bool begun = open_owned(owner, &options);
    owner->end_us = now_us() + TIME_MS * 1000;
    return begun && sl_session_renew(owner->session, NULL) == SL_OK;
}

static bool begin_living(struct owner *owner) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.ttl_ms = TIME_MS;
    owner->end_us = now_us() + TIME_MS * 1000;
    return open_owned(owner, &options);
}

static bool begin_idling(struct owner *owner) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    options.idle_timeout_ms = TIME_MS;
    bool begun = open_owned(owner, &options);
    owner->end_us = now_us() + TIME_MS * 1000;
    return begun;
}

/* The clock ends it. */
static void end_by_time(struct owner *owner) {
    (void)owner;
}

static const struct kind {
    const char *name;
    bool (*begin)(struct owner *owner);
    void (*end)(struct owner *owner); /* writes down when that was */
} kinds[] = {
    {"handle", begin_handle, end_handle}, {"process", begin_process, end_process},
    {"thread", begin_thread, end_thread}, {"lease", begin_lease, end_by_time},
    {"ttl", begin_living, end_by_time},   {"idle timeout", begin_idling, end_by_time},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

static void owner_finish(struct owner *owner) {
    sl_object_unref(owner->object);
    sl_session_close(owner->session);
    if (owner->child > 0) {
        assert_int_equal(waitpid(owner->child, NULL, 0), owner->child);
    }
}

/* ---- what is measured ------------------------------------------------------------------------------------------------- */

struct figures {
    uint64_t min_us, max_us;
    uint32_t count;
};

static void note(struct figures *figures, uint64_t from_us, uint64_t to_us) {
    uint64_t us = to_us > from_us ? to_us - from_us : 0;
    figures->min_us = figures->count == 0 || us < figures->min_us ? us : figures->min_us;
    figures->max_us = us > figures->max_us ? us : figures->max_us;
    figures->count++;
}

static bool is_enough(const struct figures *figures, int tries) {
    return tries >= TRIES_MIN && figures->count > 0 && figures->min_us < PROMISED_US;
}

static void show(const struct kind *kind, const char *what, const struct figures *figures) {
    printf("%-12s %-34s %6.2f ms, at worst %6.2f ms of %u\n", kind->name, what, (double)figures->min_us / 1e3,
           (double)figures->max_us / 1e3, figures->count);
}

/* Python has let go of it; lines of others, whose time was up too early, are passed over. */
static uint64_t await_dropped(const struct owner *owner) {
    int64_t id;
    while ((id = read_number(fifo, PATIENCE_MS)) != (int64_t)owner->id) {
        assert_int_not_equal(id, -1);
    }
    return now_us();
}

/* The host refuses a ref of it, without asking Python. */
static uint64_t await_refused(const struct owner *owner) {
    struct sl_error error = SL_ERROR_INIT;
    while (owner->session != NULL && info_of(owner->session).state == SL_SESSION_OPEN) {
        usleep(100);
    }
    assert_int_equal(sl_object_repr(owner->object, NULL, &(struct sl_result)SL_RESULT_INIT, &error), SL_E_REF_LOST);
    sl_error_finish(&error);
    return now_us();
}

static void an_idle_home_lets_go_at_once(void **state) {
    (void)state;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        struct figures dropped = {0};
        for (int tries = 0; tries < TRIES_MAX && !is_enough(&dropped, tries); tries++) {
            struct owner owner = {.child = 0};
            bool begun = kinds[i].begin(&owner);
            kinds[i].end(&owner);
            if (begun) {
                note(&dropped, owner.end_us, await_dropped(&owner));
                (void)await_refused(&owner);
            }
            owner_finish(&owner);
        }
        show(&kinds[i], "until Python has let go:", &dropped);
        assert_true(dropped.count > 0 && dropped.min_us < PROMISED_US);
    }
}

struct batch {
    char path[SCRATCH_SIZE]; /* that it waits for */
    uint64_t end_us;
};

static void *run_batch(void *argument) {
    struct batch *batch = argument;
    const struct call call = {.host = &host, .function = "begin_and_wait", .text = batch->path};
    (void)call_in(&call, NULL, NULL);
    batch->end_us = now_us();
    return NULL;
}

/* The batch that waits for that file has begun. */
static void await_begun(const char *of) {
    char begun[SCRATCH_SIZE + 16];
    snprintf(begun, sizeof begun, "%s.begun", of);
    while (unlink(begun) != 0) {
        usleep(100);
    }
}

static void begin_batch(struct batch *batch, pthread_t *thread) {
    free_path(batch->path);
    assert_int_equal(pthread_create(thread, NULL, run_batch, batch), 0);
    await_begun(batch->path);
}

static void a_busy_home_lets_go_after_the_batch(void **state) {
    (void)state;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        struct figures refused = {0}, dropped = {0};
        for (int tries = 0; tries < TRIES_MAX && !(is_enough(&refused, tries) && is_enough(&dropped, tries)); tries++) {
            struct owner owner = {.child = 0};
            struct batch batch;
            pthread_t thread;
            bool begun = kinds[i].begin(&owner);
            begin_batch(&batch, &thread);
            begun = begun && (kinds[i].end != end_by_time || info_of(owner.session).state == SL_SESSION_OPEN);
            kinds[i].end(&owner);
            if (begun) {
                note(&refused, owner.end_us, await_refused(&owner));
                assert_int_not_equal(read_number(fifo, 5), owner.id); /* nothing is done in the middle of a batch */
            }
            touch(batch.path);
            pthread_join(thread, NULL);
            (void)unlink(batch.path);
            if (begun) {
                note(&dropped, batch.end_us, await_dropped(&owner));
            }
            owner_finish(&owner);
        }
        show(&kinds[i], "until its refs are refused:", &refused);
        show(&kinds[i], "from the end of the batch until Python has let go:", &dropped);
        assert_true(refused.count > 0 && refused.min_us < PROMISED_US);
        assert_true(dropped.count > 0 && dropped.min_us < PROMISED_US);
    }
}

/* ---- what lies in the lane already ------------------------------------------------------------------------------------ */

#define BATCHES 4

struct run {
    char paths[BATCHES][SCRATCH_SIZE];
    struct sl_writer writers[BATCHES];
    struct sl_value values[BATCHES];
    uint32_t position;
    _Atomic uint32_t ended; /* all have been pulled, so those before the last are in the lane */
    struct sl_session *session;
};

static enum sl_code next_path(void *context, struct sl_item *item, struct sl_error *error) {
    struct run *run = context;
    (void)error;
    if (run->position == BATCHES) {
        run->ended = 1;
        return SL_E_END;
    }
    *item = (struct sl_item){.id = run->position, .value = run->values[run->position]};
    run->position++;
    return SL_OK;
}

/* The last one fails where it was not sent before the session's end. */
static enum sl_code take_outcome(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    (void)context, (void)error;
    assert_true(outcome->status == SL_STATUS_OK || outcome->id == BATCHES - 1);
    return SL_OK;
}

static void *run_batches(void *argument) {
    struct run *run = argument;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    const struct sl_sink sink = {.put = take_outcome};
    options.function = "session_functions:begin_and_wait";
    options.mode = SL_CALL_EACH;
    options.strategy = sl_strategy_fixed();
    options.batch_size = 1;
    options.max_in_flight = BATCHES + 1; /* so that the end is looked for */
    options.session = run->session;
    enum sl_code code = sl_dispatch_run(host.pool, &options, (struct sl_source){next_path, run}, &sink, NULL, &error);
    assert_true(code == SL_OK || run->session != NULL);
    sl_error_finish(&error);
    return NULL;
}

/* Several batches are in the lane when this returns, and the first has begun. */
static void run_begin(struct run *run, struct sl_session *session, pthread_t *thread) {
    *run = (struct run){.session = session};
    for (int i = 0; i < BATCHES; i++) {
        free_path(run->paths[i]);
        sl_writer_init(&run->writers[i], NULL);
        sl_write_str(&run->writers[i], run->paths[i]);
        assert_int_equal(sl_writer_end(&run->writers[i], &run->values[i], NULL), SL_OK);
    }
    assert_int_equal(pthread_create(thread, NULL, run_batches, run), 0);
    await_begun(run->paths[0]);
    while (run->ended == 0) {
        usleep(100);
    }
}

static void run_finish(struct run *run, pthread_t thread) {
    for (int i = 0; i < BATCHES; i++) {
        touch(run->paths[i]);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < BATCHES; i++) {
        char begun[SCRATCH_SIZE + 16];
        snprintf(begun, sizeof begun, "%s.begun", run->paths[i]);
        (void)unlink(begun);
        (void)unlink(run->paths[i]);
        sl_writer_finish(&run->writers[i]);
    }
}

static void batches_of_others_are_not_waited_for(void **state) {
    (void)state;
    bool told = false;
    /* The worker must have been told of the end when its batch ends; nobody says how long that takes where processors are scarce. */
    for (int wait_ms = 20; wait_ms <= PATIENCE_MS && !told; wait_ms *= 4) {
        struct owner owner = {.child = 0};
        struct run run;
        pthread_t thread;
        assert_true(begin_handle(&owner));
        run_begin(&run, NULL, &thread);
        end_handle(&owner);
        assert_int_equal(read_number(fifo, wait_ms), -1);
        touch(run.paths[0]);
        int64_t id = read_number(fifo, PATIENCE_MS); /* although the second waits for us */
        told = id == (int64_t)owner.id;
        run_finish(&run, thread);
        assert_int_equal(told ? id : read_number(fifo, PATIENCE_MS), owner.id);
        owner_finish(&owner);
    }
    assert_true(told);
}

static void its_own_batches_are(void **state) {
    (void)state;
    struct owner owner = {.child = 0};
    struct run run;
    pthread_t thread;
    assert_true(begin_handle(&owner));
    run_begin(&run, owner.session, &thread);
    end_handle(&owner);
    touch(run.paths[0]);
    await_begun(run.paths[1]);
    assert_int_equal(read_number(fifo, 20), -1);
    run_finish(&run, thread);
    assert_int_equal(read_number(fifo, PATIENCE_MS), owner.id);
    owner_finish(&owner);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_home_lets_go_at_once),
        cmocka_unit_test(a_busy_home_lets_go_after_the_batch),
        cmocka_unit_test(batches_of_others_are_not_waited_for),
        cmocka_unit_test(its_own_batches_are),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
