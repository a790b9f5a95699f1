/* SPDX-License-Identifier: MIT */
/* The host's half, with this file in the place of the workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/fault.h"
#include "sys/memory_file.h"
#include "sys/packet.h"

/* ---- the runtime, a gate that views stop at, and workers -------------------------------------------------------------- */

static struct sl_runtime *runtime;
static struct sl__upcalls *upcalls;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t inside, inside_most, passed;
    bool open;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_pass(void) {
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    gate.inside_most = gate.inside > gate.inside_most ? gate.inside : gate.inside_most;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    gate.inside--;
    gate.passed++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_open(bool open) {
    pthread_mutex_lock(&gate.lock);
    gate.open = open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static uint32_t gate_inside_most(void) {
    pthread_mutex_lock(&gate.lock);
    uint32_t most = gate.inside_most;
    pthread_mutex_unlock(&gate.lock);
    return most;
}

static void gate_await_inside(uint32_t count) {
    pthread_mutex_lock(&gate.lock);
    while (gate.inside < count) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

static int open_with(uint32_t threads) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    options.view_threads_max = threads;
    gate.open = false;
    gate.inside = gate.inside_most = gate.passed = 0;
    return sl_runtime_create(&options, &runtime, &error) == SL_OK && sl__upcalls_of(runtime, &upcalls, &error) == SL_OK
               ? 0
               : -1;
}

static int open_runtime(void **state) {
    (void)state;
    return open_with(64);
}

static int open_runtime_of_2(void **state) {
    (void)state;
    return open_with(2);
}

static int close_runtime(void **state) {
    (void)state;
    sl__sys_fail_clear();
    sl_runtime_destroy(runtime);
    return 0;
}

struct worker {
    struct sl__port *port;
    int fd;
    uint64_t last_number;
    _Atomic uint32_t broken;
    char why[SL_ERROR_MESSAGE_SIZE];
    const void *owner;
    uint32_t index;
    enum sl_code code;
};

static void worker_broken(void *context, const char *why) {
    struct worker *worker = context;
    snprintf(worker->why, sizeof worker->why, "%s", why);
    worker->broken++;
}

static void open_port(void *context) {
    struct worker *worker = context;
    const struct sl__port_config config = {.pool = "crew",
                                           .owner = worker->owner,
                                           .worker = worker->index,
                                           .generation = 3,
                                           .broken = worker_broken,
                                           .context = worker};
    worker->code = sl__port_open(upcalls, &config, &worker->port, NULL);
    if (worker->code == SL_OK) {
        worker->fd = fcntl(sl__port_worker_fd(worker->port), F_DUPFD_CLOEXEC, 0);
        worker->code = sl__port_serve(worker->port, NULL);
    }
}

static void close_port(void *context) {
    struct worker *worker = context;
    sl__port_close(worker->port);
    worker->port = NULL;
}

static void worker_open(struct worker *worker) {
    *worker = (struct worker){.fd = -1, .owner = worker->owner, .index = worker->index};
    sl__loop_call(runtime->loop, open_port, worker);
    assert_int_equal(worker->code, SL_OK);
}

static void worker_close(struct worker *worker) {
    sl__close(&worker->fd);
    sl__loop_call(runtime->loop, close_port, worker);
}

/* Sends a call of "NAME" with the arguments [[number], {}] or, of mode MANY, [1, 2, 3]. Returns its number. */
static uint64_t ask_as(struct worker *worker, const char *name, enum sl__call_mode mode, uint32_t timeout_ms) {
    uint8_t packet[512];
    static const uint8_t one[] = {0x92, 0x91, 5, 0x80}, many[] = {0x93, 1, 2, 3};
    const uint8_t *payload = mode == SL__CALL_ONE ? one : many;
    struct sl__call_request head = {.number = ++worker->last_number,
                                    .size = 4,
                                    .mode = mode,
                                    .timeout_ms = timeout_ms,
                                    .name_size = (uint32_t)strlen(name)};
    memcpy(packet, &head, sizeof head);
    memcpy(packet + sizeof head, name, head.name_size);
    memcpy(packet + sizeof head + head.name_size, payload, 4);
    assert_int_equal(sl__packet_send(worker->fd, packet, sizeof head + head.name_size + 4, NULL, 0, 0, NULL), SL_OK);
    return head.number;
}

static uint64_t ask(struct worker *worker, const char *name) {
    return ask_as(worker, name, SL__CALL_ONE, 0);
}

struct answer {
    struct sl__call_reply head;
    struct sl_value value;
    char text[SL_ERROR_MESSAGE_SIZE]; /* of one that is no result */
    uint8_t bytes[SL__CALL_PACKET_MAX];
};

static struct answer answer;

static void hear(struct worker *worker) {
    size_t size, fd_count;
    int fd = -1;
    struct sl_value message;
    const char *text;
    size_t text_size;
    assert_int_equal(
        sl__packet_receive(worker->fd, answer.bytes, sizeof answer.bytes, &size, &fd, 1, &fd_count, 0, NULL), SL_OK);
    assert_true(size >= sizeof answer.head);
    memcpy(&answer.head, answer.bytes, sizeof answer.head);
    assert_int_equal(answer.head.flags, fd >= 0 ? SL__CALL_IN_FILE : 0);
    if (fd >= 0) {
        uint32_t seals;
        uint64_t file_size;
        assert_int_equal(size, sizeof answer.head);
        assert_int_equal(sl__memory_file_inspect(fd, &seals, &file_size, NULL), SL_OK);
        assert_int_equal(seals & 0xf, 0xf);
        assert_true(file_size >= answer.head.size);
        sl__close(&fd);
        return;
    }
    assert_int_equal(answer.head.size, size - sizeof answer.head);
    assert_int_equal(
        sl_value_check(answer.bytes + sizeof answer.head, size - sizeof answer.head, NULL, &answer.value, NULL), SL_OK);
    answer.text[0] = '\0';
    if (answer.head.outcome != SL__CALL_RESULT && sl_value_get(answer.value, "message", &message) == SL_OK &&
        sl_value_str(message, &text, &text_size) == SL_OK) {
        snprintf(answer.text, sizeof answer.text, "%.*s", (int)text_size, text);
    }
}

static void hear_outcome(struct worker *worker, uint64_t number, enum sl__call_outcome outcome, enum sl_code code,
                         const char *part) {
    hear(worker);
    if (answer.head.number != number || answer.head.outcome != outcome || (int)answer.head.code != (int)code ||
        strstr(answer.text, part) == NULL) {
        fail_msg("call %llu: outcome %u, code %u, \"%s\"", (unsigned long long)answer.head.number, answer.head.outcome,
                 answer.head.code, answer.text);
    }
}

/* ---- views ------------------------------------------------------------------------------------------------------------ */

static enum sl_code echo(void *context, const struct sl_view_call *call, struct sl_writer *result,
                         struct sl_error *error) {
    (void)context, (void)error;
    sl_write_list(result, 2);
    sl_write_value(result, call->positional);
    sl_write_value(result, call->keywords);
    return SL_OK;
}

static enum sl_code gated(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    (void)context, (void)call, (void)error;
    gate_pass();
    sl_write_str(result, "late");
    return SL_OK;
}

static enum sl_code twice(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    (void)context, (void)error;
    struct sl_iter iter;
    struct sl_value key;
    uint32_t count = 0;
    int64_t number = 0;
    if (sl_value_count(call->keys, &count) != SL_OK || sl_iter_init(&iter, call->keys) != SL_OK) {
        return SL_E_INVALID_ARGUMENT;
    }
    sl_write_list(result, count);
    while (sl_iter_next(&iter, NULL, &key)) {
        sl_write_int(result, sl_value_int(key, &number) == SL_OK ? number * 2 : -1);
    }
    return SL_OK;
}

static struct sl_view *view_of(const char *name, sl_view_fn *call, sl_view_fn *call_many, uint32_t timeout_ms,
                               uint32_t concurrency) {
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view *view = NULL;
    options.name = name;
    options.call = call;
    options.call_many = call_many;
    options.timeout_ms = timeout_ms;
    options.concurrency = concurrency;
    if (sl_view_register(runtime, &options, &view, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return view;
}

static struct sl_view_stats stats(void) {
    struct sl_view_stats now = SL_VIEW_STATS_INIT;
    sl_view_stats(runtime, &now);
    return now;
}

static void await_stat(uint32_t (*get)(void), uint32_t value) {
    uint64_t deadline_ns = sl__clock_deadline_ms(20000);
    while (get() != value && !sl__clock_passed(deadline_ns)) {
        sched_yield();
    }
    assert_int_equal(get(), value);
}

static uint32_t waiting_count(void) {
    return stats().waiting_count;
}

static uint32_t running_count(void) {
    return stats().running_count;
}

static uint32_t thread_count(void) {
    return stats().thread_count;
}

static uint32_t fd_count(void) {
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* ---- tests ------------------------------------------------------------------------------------------------------------ */

static void a_call_is_answered(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("echo", echo, NULL, 5000, 0);
    for (int i = 0; i < 100; i++) {
        uint64_t number = ask(&worker, "echo");
        hear_outcome(&worker, number, SL__CALL_RESULT, SL_OK, "");
        assert_memory_equal(answer.value.data, "\x92\x91\x05\x80", 4);
    }
    assert_int_equal(stats().call_count, 100);
    assert_int_equal(stats().failure_count + stats().refusal_count + stats().timeout_count + stats().dropped_count, 0);
    assert_true(stats().thread_count <= SL__LISTENERS_KEPT + 1);
    worker_close(&worker);
}

static void without_a_view_there_is_no_thread(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    for (int i = 0; i < 3; i++) {
        uint64_t number = ask(&worker, "nothing");
        hear_outcome(&worker, number, SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "the host has registered none");
    }
    assert_int_equal(stats().thread_count, 0);
    struct sl_view *view = view_of("echo", echo, NULL, 5000, 0);
    assert_true(stats().thread_count >= 1);
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    sl_view_unregister(view);
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "\"echo\"");
    view_of("b", echo, NULL, 5000, 0);
    view_of("a", echo, NULL, 5000, 0);
    hear_outcome(&worker, ask(&worker, "c"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "registered: a, b");
    worker_close(&worker);
}

static enum sl_code key_only(void *context, const struct sl_view_call *call, struct sl_writer *result,
                             struct sl_error *error) {
    struct sl_value key;
    uint32_t count, keywords;
    int64_t number = 0;
    assert_int_equal(sl_value_count(call->positional, &count), SL_OK);
    assert_int_equal(sl_value_count(call->keywords, &keywords), SL_OK);
    assert_int_equal(count, 1);
    assert_int_equal(keywords, 0);
    assert_int_equal(sl_value_at(call->positional, 0, &key), SL_OK);
    if (sl_value_int(key, &number) != SL_OK || number == *(_Atomic int64_t *)context) {
        return sl_error_set(error, SL_E_RANGE, "not %d", (int)number);
    }
    sl_write_int(result, number * 10);
    return SL_OK;
}

static void many_keys_are_one_call(void **state) {
    (void)state;
    struct worker worker = {0};
    _Atomic int64_t bad = 0;
    worker_open(&worker);
    view_of("twice", NULL, twice, 5000, 0);
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    options.name = "each", options.call = key_only, options.context = &bad;
    assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);

    hear_outcome(&worker, ask_as(&worker, "twice", SL__CALL_MANY, 0), SL__CALL_RESULT, SL_OK, "");
    assert_memory_equal(answer.value.data, "\x93\x02\x04\x06", 4);
    hear_outcome(&worker, ask(&worker, "twice"), SL__CALL_RESULT, SL_OK, ""); /* one key */
    assert_memory_equal(answer.value.data, "\x0a", 1);
    hear_outcome(&worker, ask_as(&worker, "each", SL__CALL_MANY, 0), SL__CALL_RESULT, SL_OK, "");
    assert_memory_equal(answer.value.data, "\x93\x0a\x14\x1e", 4);
    bad = 2;
    hear_outcome(&worker, ask_as(&worker, "each", SL__CALL_MANY, 0), SL__CALL_FAILED, SL_E_RANGE, "key 1 of 3: not 2");
    assert_int_equal(stats().call_count, 4);
    assert_int_equal(stats().failure_count, 1);
    worker_close(&worker);
}

static enum sl_code misbehave(void *context, const struct sl_view_call *call, struct sl_writer *result,
                              struct sl_error *error) {
    switch (*(const char *)context) {
    case '0': /* nothing is written */
        return SL_OK;
    case '2':
        sl_write_nil(result);
        sl_write_nil(result);
        return SL_OK;
    case 'u':
        sl_write_strn(result, "\xff", 1);
        return SL_OK;
    case 'o': /* half a container */
        sl_write_list(result, 3);
        return SL_OK;
    case 'c': /* a list of the wrong size, of mode many */
        sl_write_list(result, 1);
        sl_write_nil(result);
        return SL_OK;
    case 'e': /* a code, and no text */
        return SL_E_CANCELLED;
    case 't':
        sl_error_set(error, SL_E_PYTHON, "it raised");
        error->traceback = strdup("Traceback: here");
        return SL_E_PYTHON;
    case 'x': /* a text that is not UTF-8 */
        sl_error_set(error, SL_E_RANGE, "%s", "x");
        error->message[0] = (char)0xff;
        return SL_E_RANGE;
    case 'y': /* one that was cut in a character */
        sl_error_set(error, SL_E_RANGE, "half \xc3");
        memcpy(error->message, "half \xc3", 7);
        return SL_E_RANGE;
    default:
        (void)call;
        return SL_E_UNSUPPORTED;
    }
}

static void what_a_view_does_wrong_has_a_name(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    const struct {
        const char *kind;
        enum sl__call_mode mode;
        enum sl_code code;
        const char *part;
    } wrong[] = {
        {"0", SL__CALL_ONE, SL_E_BAD_RESULT, "the result of view 0 cannot be sent"},
        {"2", SL__CALL_ONE, SL_E_BAD_RESULT, "cannot be sent"},
        {"u", SL__CALL_ONE, SL_E_INVALID_UTF8, "cannot be sent"},
        {"o", SL__CALL_ONE, SL_E_BAD_RESULT, "cannot be sent"},
        {"c", SL__CALL_MANY, SL_E_BAD_RESULT, "a list of 1 entries for 3 keys"},
        {"e", SL__CALL_ONE, SL_E_CANCELLED, "cancelled by the caller"},
        {"t", SL__CALL_ONE, SL_E_PYTHON, "it raised"},
        {"x", SL__CALL_ONE, SL_E_RANGE, "does not fit"},
        {"y", SL__CALL_ONE, SL_E_RANGE, "half"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
        options.name = wrong[i].kind;
        options.call = options.call_many = misbehave;
        options.context = (void *)(uintptr_t)wrong[i].kind;
        assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);
        uint64_t number = ask_as(&worker, wrong[i].kind, wrong[i].mode, 0);
        hear_outcome(&worker, number, SL__CALL_FAILED, wrong[i].code, wrong[i].part);
        struct sl_value traceback;
        assert_int_equal(sl_value_get(answer.value, "traceback", &traceback) == SL_OK, wrong[i].kind[0] == 't');
    }
    worker_close(&worker);
}

static enum sl_code large(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    (void)call, (void)error;
    size_t size = *(size_t *)context;
    void *bytes = calloc(1, size);
    sl_write_bytes(result, bytes, size);
    free(bytes);
    return SL_OK;
}

static void a_large_result_travels_in_a_file(void **state) {
    (void)state;
    struct worker worker = {0};
    static size_t sizes[] = {0, 1, SL__CALL_PACKET_MAX - sizeof(struct sl__call_reply) - 3,
                             SL__CALL_PACKET_MAX - sizeof(struct sl__call_reply) - 2, 3 << 20};
    worker_open(&worker);
    uint32_t before = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
        char name[] = {(char)('a' + i), '\0'};
        options.name = name, options.call = large, options.context = &sizes[i];
        assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);
        before = before == 0 ? fd_count() : before;
        hear_outcome(&worker, ask(&worker, name), SL__CALL_RESULT, SL_OK, "");
        assert_int_equal(answer.head.flags, i < 3 ? 0 : SL__CALL_IN_FILE);
        assert_true(answer.head.size >= sizes[i]);
    }
    await_stat(fd_count, before); /* the thread closes the last after it has sent it */
    /* Without a file the worker still hears something. */
    sl__sys_fail_from(SL__CALL_MEMFD_CREATE, 24, 0);
    hear_outcome(&worker, ask(&worker, "e"), SL__CALL_FAILED, SL_E_SYSTEM, "");
    sl__sys_fail_clear();
    hear_outcome(&worker, ask(&worker, "a"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

static void a_late_result_is_dropped(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("slow", gated, NULL, 30, 0);
    view_of("echo", echo, NULL, 5000, 0);
    uint64_t slow = ask(&worker, "slow");
    hear_outcome(&worker, slow, SL__CALL_TIMED_OUT, SL_E_TIMEOUT, "view slow took longer than 30 ms");
    assert_int_equal(stats().timeout_count, 1);
    /* The view still runs; the same worker can call others meanwhile. */
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    gate_open(true);
    await_stat(running_count, 0);
    assert_int_equal(stats().dropped_count, 1);
    /* What comes next is for the next call. */
    uint64_t echoed = ask(&worker, "echo");
    hear_outcome(&worker, echoed, SL__CALL_RESULT, SL_OK, "");
    /* The worker may want less time than the view has. */
    gate_open(false);
    view_of("slower", gated, NULL, 3600000, 0);
    uint64_t hasty = ask_as(&worker, "slower", SL__CALL_ONE, 20);
    hear_outcome(&worker, hasty, SL__CALL_TIMED_OUT, SL_E_TIMEOUT, "");
    gate_open(true);
    worker_close(&worker);
}

static void calls_of_one_worker_overlap(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("slow", gated, NULL, 20000, 0);
    view_of("echo", echo, NULL, 5000, 0);
    for (int i = 0; i < 10; i++) { /* it is thought to be swift now: its socket is held while a view runs */
        hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    }
    uint64_t slow = ask(&worker, "slow");
    gate_await_inside(1);
    for (int i = 0; i < 10; i++) {
        hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    }
    gate_open(true);
    hear_outcome(&worker, slow, SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

static void threads_grow_to_their_bound(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker); /* of a runtime with 2 */
    view_of("gated", gated, NULL, 60, 0);
    uint64_t numbers[4];
    uint64_t started = ask_as(&worker, "gated", SL__CALL_ONE, 0);
    (void)started;
    gate_await_inside(1);
    ask_as(&worker, "gated", SL__CALL_ONE, 0);
    gate_await_inside(2);
    for (int i = 0; i < 2; i++) {
        numbers[i] = ask_as(&worker, "gated", SL__CALL_ONE, 0);
    }
    await_stat(waiting_count, 2);
    assert_int_equal(stats().thread_count, 3); /* those, and one that listens */
    uint32_t timed_out = 0, exhausted = 0;
    for (int i = 0; i < 4; i++) {
        hear(&worker);
        timed_out += answer.head.outcome == SL__CALL_TIMED_OUT;
        if (answer.head.outcome == SL__CALL_FAILED) {
            assert_true(answer.head.number >= numbers[0]);
            assert_int_equal(answer.head.code, SL_E_POOL_EXHAUSTED);
            assert_non_null(strstr(answer.text, "2 views run at once"));
            exhausted++;
        }
    }
    assert_int_equal(timed_out, 2);
    assert_int_equal(exhausted, 2);
    gate_open(true);
    await_stat(running_count, 0);
    assert_int_equal(gate_inside_most(), 2);
    assert_int_equal(stats().call_count, 2);
    worker_close(&worker);
}

static void calls_in_line_run_when_there_is_room(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker); /* of a runtime with 2 */
    view_of("gated", gated, NULL, 20000, 0);
    view_of("echo", echo, NULL, 20000, 0);
    bool seen[20] = {false};
    ask(&worker, "gated");
    gate_await_inside(1);
    ask(&worker, "gated");
    gate_await_inside(2);
    for (int i = 2; i < 20; i++) {
        ask(&worker, i % 2 == 0 ? "gated" : "echo");
    }
    await_stat(waiting_count, 18);
    gate_open(true);
    for (int i = 0; i < 20; i++) {
        hear(&worker);
        assert_int_equal(answer.head.outcome, SL__CALL_RESULT);
        assert_in_range(answer.head.number, 1, 20);
        assert_false(seen[answer.head.number - 1]);
        seen[answer.head.number - 1] = true;
        if (answer.head.number > 2 && answer.head.number % 2 == 0) { /* the copy of what waited is whole */
            assert_memory_equal(answer.value.data, "\x92\x91\x05\x80", 4);
        }
    }
    assert_int_equal(gate_inside_most(), 2);
    worker_close(&worker);
}

static void concurrency_bounds_one_view(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("gated", gated, NULL, 50, 2);
    view_of("echo", echo, NULL, 5000, 0);
    ask_as(&worker, "gated", SL__CALL_ONE, 0);
    gate_await_inside(1);
    ask_as(&worker, "gated", SL__CALL_ONE, 0);
    gate_await_inside(2);
    uint64_t third = ask_as(&worker, "gated", SL__CALL_ONE, 0);
    await_stat(waiting_count, 1);
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    for (int i = 0; i < 3; i++) {
        hear(&worker);
        if (answer.head.number == third) {
            assert_int_equal(answer.head.outcome, SL__CALL_FAILED);
            assert_int_equal(answer.head.code, SL_E_POOL_EXHAUSTED);
            assert_non_null(strstr(answer.text, "its `concurrency`"));
        } else {
            assert_int_equal(answer.head.outcome, SL__CALL_TIMED_OUT);
        }
    }
    gate_open(true);
    await_stat(running_count, 0);
    assert_int_equal(gate_inside_most(), 2);
    worker_close(&worker);
}

static void idle_threads_end(void **state) {
    (void)state;
    struct worker workers[8] = {{0}};
    upcalls->idle_ms = 10;
    view_of("gated", gated, NULL, 20000, 0);
    for (uint32_t i = 0; i < 8; i++) {
        worker_open(&workers[i]);
        ask(&workers[i], "gated");
    }
    gate_await_inside(8);
    await_stat(thread_count, 9);
    gate_open(true);
    for (int i = 0; i < 8; i++) {
        hear(&workers[i]);
    }
    await_stat(thread_count, SL__LISTENERS_KEPT);
    for (int i = 0; i < 8; i++) {
        hear_outcome(&workers[i], ask(&workers[i], "gated"), SL__CALL_RESULT, SL_OK, "");
        worker_close(&workers[i]);
    }
}

static void pending_calls_of_a_worker_are_bounded(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("gated", gated, NULL, 20000, 1);
    for (int i = 0; i < SL__CALL_PENDING_MAX; i++) {
        ask(&worker, "gated");
    }
    uint64_t one_more = ask(&worker, "gated");
    hear_outcome(&worker, one_more, SL__CALL_FAILED, SL_E_LIMIT, "64 calls of views under way");
    gate_open(true);
    for (int i = 0; i < SL__CALL_PENDING_MAX; i++) {
        hear(&worker);
        assert_int_equal(answer.head.outcome, SL__CALL_RESULT);
    }
    hear_outcome(&worker, ask(&worker, "gated"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

/* ---- unregistering ---------------------------------------------------------------------------------------------------- */

static void *unregister(void *view) {
    sl_view_unregister(view);
    pthread_mutex_lock(&gate.lock);
    uintptr_t passed = gate.passed;
    pthread_mutex_unlock(&gate.lock);
    return (void *)passed;
}

static uint32_t view_count(void) {
    return stats().view_count;
}

static void unregistering_waits_for_what_runs(void **state) {
    (void)state;
    struct worker worker = {0};
    pthread_t thread;
    void *passed;
    worker_open(&worker);
    struct sl_view *view = view_of("gated", gated, NULL, 20000, 1);
    uint64_t running = ask(&worker, "gated");
    gate_await_inside(1);
    uint64_t waiting = ask(&worker, "gated");
    await_stat(waiting_count, 1);
    assert_int_equal(pthread_create(&thread, NULL, unregister, view), 0);
    hear_outcome(&worker, waiting, SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "was unregistered while the call waited");
    await_stat(view_count, 0);
    hear_outcome(&worker, ask(&worker, "gated"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "");
    gate_open(true);
    assert_int_equal(pthread_join(thread, &passed), 0);
    assert_int_equal((uintptr_t)passed, 1); /* it had returned by then */
    hear_outcome(&worker, running, SL__CALL_RESULT, SL_OK, "");
    sl_view_unregister(NULL);
    worker_close(&worker);
}

static struct sl_view *_Atomic itself;

static enum sl_code end_itself(void *context, const struct sl_view_call *call, struct sl_writer *result,
                               struct sl_error *error) {
    (void)context, (void)call, (void)error;
    sl_view_unregister(itself);
    sl_write_nil(result);
    return SL_OK;
}

static void a_view_may_unregister_itself(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    itself = view_of("once", end_itself, NULL, 5000, 0);
    hear_outcome(&worker, ask(&worker, "once"), SL__CALL_RESULT, SL_OK, "");
    hear_outcome(&worker, ask(&worker, "once"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "");
    itself = view_of("once", end_itself, NULL, 5000, 0); /* the name is free again */
    hear_outcome(&worker, ask(&worker, "once"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

static void options_are_checked(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    char name[SL_VIEW_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
#define REFUSED(code, part)                                                        \
    do {                                                                           \
        assert_int_equal(sl_view_register(runtime, &options, NULL, &error), code); \
        if (strstr(error.message, part) == NULL) {                                 \
            fail_msg("%s", error.message);                                         \
        }                                                                          \
    } while (0)
    options.call = echo;
    REFUSED(SL_E_INVALID_ARGUMENT, "name has 0 bytes");
    options.name = "";
    REFUSED(SL_E_INVALID_ARGUMENT, "name has 0 bytes");
    options.name = name;
    REFUSED(SL_E_INVALID_ARGUMENT, "name has 129 bytes");
    options.name = "\xff";
    REFUSED(SL_E_INVALID_ARGUMENT, "UTF-8");
    options.name = "slither.mine";
    REFUSED(SL_E_INVALID_ARGUMENT, "the library's own");
    assert_int_equal(sl__view_register(runtime, &options, NULL, &error), SL_OK);
    options.name = "mine";
    assert_int_equal(sl__view_register(runtime, &options, NULL, &error), SL_E_INVALID_ARGUMENT);
    options.call = NULL;
    REFUSED(SL_E_INVALID_ARGUMENT, "neither");
    options.call = echo;
    options.timeout_ms = 0;
    REFUSED(SL_E_INVALID_ARGUMENT, "timeout_ms");
    options.timeout_ms = 86400001;
    REFUSED(SL_E_INVALID_ARGUMENT, "timeout_ms");
    options.timeout_ms = 1;
    options.size = 8;
    REFUSED(SL_E_INVALID_ARGUMENT, "SL_VIEW_OPTIONS_INIT");
    options.size = sizeof options;
    assert_int_equal(sl_view_register(NULL, &options, NULL, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_view_register(runtime, NULL, NULL, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_view_register(runtime, &options, NULL, &error), SL_OK);
    REFUSED(SL_E_INVALID_ARGUMENT, "already");
    for (int i = 2; i < SL_VIEW_MAX; i++) {
        snprintf(name, sizeof name, "v%d", i);
        options.name = name;
        assert_int_equal(sl_view_register(runtime, &options, NULL, &error), SL_OK);
    }
    options.name = "one more";
    REFUSED(SL_E_LIMIT, "1024 views");
    struct worker worker = {0};
    worker_open(&worker);
    hear_outcome(&worker, ask(&worker, "v777"), SL__CALL_RESULT, SL_OK, "");
    hear_outcome(&worker, ask(&worker, "w"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "and 1011 more");
    hear_outcome(&worker, ask(&worker, "slither.mine"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
    sl_error_finish(&error);
}

/* ---- hostile and dead workers ----------------------------------------------------------------------------------------- */

static void a_babbler_is_given_up(void **state) {
    (void)state;
    struct worker bad = {0}, good = {0};
    worker_open(&bad);
    worker_open(&good);
    view_of("echo", echo, NULL, 5000, 0);
    assert_int_equal(sl__packet_send(bad.fd, "nonsense", 8, NULL, 0, 0, NULL), SL_OK);
    hear_outcome(&good, ask(&good, "echo"), SL__CALL_RESULT, SL_OK, "");
    uint64_t deadline_ns = sl__clock_deadline_ms(20000);
    while (bad.broken == 0 && !sl__clock_passed(deadline_ns)) {
        sched_yield();
    }
    assert_int_equal(bad.broken, 1);
    assert_non_null(strstr(bad.why, "8 bytes"));
    /* Nothing more is read from it. */
    ask(&bad, "echo");
    hear_outcome(&good, ask(&good, "echo"), SL__CALL_RESULT, SL_OK, "");
    assert_int_equal(stats().call_count, 2);
    worker_close(&bad);
    worker_close(&good);
}

static void a_worker_that_dies_leaves_nothing(void **state) {
    (void)state;
    view_of("gated", gated, NULL, 20000, 4);
    uint32_t before = fd_count();
    for (int round = 0; round < 5; round++) {
        struct worker worker = {0};
        gate_open(false);
        worker_open(&worker);
        for (int i = 0; i < 6; i++) { /* four run, two wait */
            ask(&worker, "gated");
        }
        gate_await_inside(4);
        await_stat(waiting_count, 2);
        worker_close(&worker);
        gate_open(true);
        await_stat(running_count, 0);
        await_stat(waiting_count, 0);
        struct worker other = {0};
        worker_open(&other);
        hear_outcome(&other, ask(&other, "gated"), SL__CALL_RESULT, SL_OK, "");
        worker_close(&other);
        await_stat(fd_count, before); /* the host closes its end when it has seen that of the worker */
    }
    assert_true(stats().dropped_count >= 5 * 4);
}

static void *end_runtime(void *ended) {
    sl_runtime_destroy(ended);
    return NULL;
}

static void a_runtime_ends_with_calls_in_line(void **state) {
    (void)state;
    struct worker worker = {0};
    pthread_t thread;
    worker_open(&worker);
    view_of("gated", gated, NULL, 20000, 1);
    ask(&worker, "gated");
    gate_await_inside(1);
    ask(&worker, "gated");
    await_stat(waiting_count, 1);
    worker_close(&worker);
    assert_int_equal(pthread_create(&thread, NULL, end_runtime, runtime), 0);
    for (bool closing = false; !closing; sched_yield()) {
        pthread_mutex_lock(&upcalls->lock);
        closing = upcalls->closing;
        pthread_mutex_unlock(&upcalls->lock);
    }
    gate_open(true); /* it waits for the one that runs, and the other does not begin any more */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(gate.passed, 1);
    runtime = NULL;
}

/* ---- frames ----------------------------------------------------------------------------------------------------------- */

static enum sl_code tell_frame(void *context, const struct sl_view_call *call, struct sl_writer *result,
                               struct sl_error *error) {
    (void)error;
    const struct sl__frame *frame = sl__frame_current();
    assert_non_null(frame);
    assert_int_equal(frame->depth, call->depth);
    pthread_mutex_lock(&gate.lock);
    *(struct sl__frame *)context = *frame;
    pthread_mutex_unlock(&gate.lock);
    sl_write_uint(result, call->depth);
    return SL_OK;
}

/* What the last call has left in `last`. */
static struct sl__frame take_frame(const struct sl__frame *last) {
    pthread_mutex_lock(&gate.lock);
    struct sl__frame taken = *last;
    pthread_mutex_unlock(&gate.lock);
    return taken;
}

static void a_frame_goes_with_what_is_lent(void **state) {
    (void)state;
    static const char first_pool, second_pool;
    struct worker first = {.owner = &first_pool, .index = 4}, second = {.owner = &second_pool, .index = 5};
    struct sl__frame last, seen, outer;
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    worker_open(&first);
    worker_open(&second);
    options.name = "frame", options.call = tell_frame, options.context = &last;
    assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);
    assert_null(sl__frame_current());
    hear_outcome(&first, ask(&first, "frame"), SL__CALL_RESULT, SL_OK, "");
    outer = take_frame(&last);
    assert_int_equal(outer.depth, 1);
    assert_int_equal(sl__frame_count(&outer, &first_pool, UINT32_MAX), 1);
    assert_int_equal(sl__frame_count(&outer, &first_pool, 4), 1);
    assert_int_equal(sl__frame_count(&outer, &first_pool, 5), 0);
    assert_int_equal(sl__frame_count(&outer, &second_pool, UINT32_MAX), 0);
    assert_int_equal(sl__frame_count(NULL, &first_pool, UINT32_MAX), 0);

    sl__port_lend(second.port, &outer);
    hear_outcome(&second, ask(&second, "frame"), SL__CALL_RESULT, SL_OK, "");
    seen = take_frame(&last);
    assert_int_equal(seen.depth, 2);
    assert_int_equal(sl__frame_count(&seen, &first_pool, 4), 1);
    assert_int_equal(sl__frame_count(&seen, &second_pool, 5), 1);
    assert_ptr_equal(seen.entries[0].view, seen.entries[1].view);

    outer.depth = SL_VIEW_DEPTH_MAX;
    sl__port_lend(second.port, &outer);
    hear_outcome(&second, ask(&second, "frame"), SL__CALL_FAILED, SL_E_LIMIT, "16 views deep");
    sl__port_lend(second.port, NULL);
    hear_outcome(&second, ask(&second, "frame"), SL__CALL_RESULT, SL_OK, "");
    seen = take_frame(&last);
    assert_int_equal(seen.depth, 1);
    sl__port_lend(NULL, &outer);
    worker_close(&first);
    worker_close(&second);
}

/* ---- many threads ----------------------------------------------------------------------------------------------------- */

#define STORM_WORKERS 6
#define STORM_CALLS 400

static void *storm(void *argument) {
    struct worker *worker = argument;
    struct answer *own = malloc(sizeof *own);
    for (int i = 0; i < STORM_CALLS; i++) {
        size_t size, fds;
        uint64_t number = ask(worker, i % 3 == 0 ? "echo" : i % 3 == 1 ? "twice" : "comes and goes");
        if (own == NULL ||
            sl__packet_receive(worker->fd, own->bytes, sizeof own->bytes, &size, NULL, 0, &fds, 0, NULL)) {
            break;
        }
        memcpy(&own->head, own->bytes, sizeof own->head);
        if (own->head.number != number || (i % 3 != 2 && own->head.outcome != SL__CALL_RESULT)) {
            break;
        }
        worker->index++;
    }
    free(own);
    return NULL;
}

static void a_storm_of_calls_is_answered(void **state) {
    (void)state;
    struct worker workers[STORM_WORKERS] = {{0}};
    pthread_t threads[STORM_WORKERS];
    view_of("echo", echo, NULL, 20000, 0);
    view_of("twice", NULL, twice, 20000, 1);
    for (int i = 0; i < STORM_WORKERS; i++) {
        worker_open(&workers[i]);
        workers[i].index = 0;
        assert_int_equal(pthread_create(&threads[i], NULL, storm, &workers[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        sl_view_unregister(view_of("comes and goes", echo, NULL, 20000, i % 3));
    }
    for (int i = 0; i < STORM_WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].index, STORM_CALLS);
        worker_close(&workers[i]);
    }
    struct sl_view_stats now = stats();
    assert_int_equal(now.call_count + now.refusal_count, STORM_WORKERS * STORM_CALLS);
    assert_int_equal(now.timeout_count + now.dropped_count + now.failure_count, 0);
}

static void what_the_system_refuses_is_told(void **state) {
    (void)state;
    const struct {
        enum sl__sys_call call;
        uint32_t after;
    } steps[] = {{SL__CALL_EPOLL_CREATE, 0},
                 {SL__CALL_EVENTFD, 0},
                 {SL__CALL_TIMERFD, 0},
                 {SL__CALL_EPOLL_CTL, 0},
                 {SL__CALL_EPOLL_CTL, 1}};
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    options.name = "v", options.call = echo;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct sl_runtime *fresh;
        struct sl_error error = SL_ERROR_INIT;
        assert_int_equal(sl_runtime_create(NULL, &fresh, &error), SL_OK);
        uint32_t before = fd_count();
        sl__sys_fail_next(steps[i].call, 24, steps[i].after);
        assert_int_equal(sl_view_register(fresh, &options, NULL, &error), SL_E_SYSTEM);
        assert_int_equal(error.system_errno, 24);
        assert_int_equal(fd_count(), before);
        sl__sys_fail_clear();
        assert_int_equal(sl_view_register(fresh, &options, NULL, &error), SL_OK);
        sl_runtime_destroy(fresh);
        sl_error_finish(&error);
    }
    struct worker worker = {0};
    uint32_t before = fd_count();
    sl__sys_fail_next(SL__CALL_SOCKETPAIR, 24, 0);
    sl__loop_call(runtime->loop, open_port, &worker);
    assert_int_equal(worker.code, SL_E_SYSTEM);
    assert_int_equal(fd_count(), before);
}

int main(void) {
#define WITH(name, open) cmocka_unit_test_setup_teardown(name, open, close_runtime)
    const struct CMUnitTest tests[] = {
        WITH(a_call_is_answered, open_runtime),
        WITH(without_a_view_there_is_no_thread, open_runtime),
        WITH(many_keys_are_one_call, open_runtime),
        WITH(what_a_view_does_wrong_has_a_name, open_runtime),
        WITH(a_large_result_travels_in_a_file, open_runtime),
        WITH(a_late_result_is_dropped, open_runtime),
        WITH(calls_of_one_worker_overlap, open_runtime),
        WITH(threads_grow_to_their_bound, open_runtime_of_2),
        WITH(calls_in_line_run_when_there_is_room, open_runtime_of_2),
        WITH(concurrency_bounds_one_view, open_runtime),
        WITH(idle_threads_end, open_runtime),
        WITH(pending_calls_of_a_worker_are_bounded, open_runtime),
        WITH(unregistering_waits_for_what_runs, open_runtime),
        WITH(a_view_may_unregister_itself, open_runtime),
        WITH(options_are_checked, open_runtime),
        WITH(a_babbler_is_given_up, open_runtime),
        WITH(a_worker_that_dies_leaves_nothing, open_runtime),
        WITH(a_runtime_ends_with_calls_in_line, open_runtime),
        WITH(a_frame_goes_with_what_is_lent, open_runtime),
        WITH(a_storm_of_calls_is_answered, open_runtime),
        WITH(what_the_system_refuses_is_told, open_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
