/* SPDX-License-Identifier: MIT */
#include "testing/callers.h"

#include <fcntl.h>
#include <stdio.h>

#include "descriptors.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/fault.h"
#include "sys/memory_file.h"
#include "sys/packet.h"

struct sl_runtime *runtime;
struct sl__upcalls *upcalls;

struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void gate_pass(void) {
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

void gate_open(bool open) {
    pthread_mutex_lock(&gate.lock);
    gate.open = open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

uint32_t gate_inside_most(void) {
    pthread_mutex_lock(&gate.lock);
    uint32_t most = gate.inside_most;
    pthread_mutex_unlock(&gate.lock);
    return most;
}

void gate_await_inside(uint32_t count) {
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

int open_runtime(void **state) {
    (void)state;
    return open_with(64);
}

int open_runtime_of_2(void **state) {
    (void)state;
    return open_with(2);
}

int close_runtime(void **state) {
    (void)state;
    sl__sys_fail_clear();
    sl_runtime_destroy(runtime);
    return 0;
}

static void worker_broken(void *context, const char *why) {
    struct worker *worker = context;
    snprintf(worker->why, sizeof worker->why, "%s", why);
    worker->broken++;
}

void open_port(void *context) {
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

void close_port(void *context) {
    struct worker *worker = context;
    sl__port_close(worker->port);
    worker->port = NULL;
}

void worker_open(struct worker *worker) {
    *worker = (struct worker){.fd = -1, .owner = worker->owner, .index = worker->index};
    sl__loop_call(runtime->loop, open_port, worker);
    assert_int_equal(worker->code, SL_OK);
}

void worker_close(struct worker *worker) {
    sl__close(&worker->fd);
    sl__loop_call(runtime->loop, close_port, worker);
}

uint64_t ask_as(struct worker *worker, const char *name, enum sl__call_mode mode, uint32_t timeout_ms) {
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

uint64_t ask(struct worker *worker, const char *name) {
    return ask_as(worker, name, SL__CALL_ONE, 0);
}

struct answer answer;

void hear(struct worker *worker) {
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

void hear_outcome(struct worker *worker, uint64_t number, enum sl__call_outcome outcome, enum sl_code code,
                  const char *part) {
    hear(worker);
    if (answer.head.number != number || answer.head.outcome != outcome || (int)answer.head.code != (int)code ||
        strstr(answer.text, part) == NULL) {
        fail_msg("call %llu: outcome %u, code %u, \"%s\"", (unsigned long long)answer.head.number, answer.head.outcome,
                 answer.head.code, answer.text);
    }
}

/* ---- views ------------------------------------------------------------------------------------------------------------ */

enum sl_code echo(void *context, const struct sl_view_call *call, struct sl_writer *result, struct sl_error *error) {
    (void)context, (void)error;
    sl_write_list(result, 2);
    sl_write_value(result, call->positional);
    sl_write_value(result, call->keywords);
    return SL_OK;
}

enum sl_code gated(void *context, const struct sl_view_call *call, struct sl_writer *result, struct sl_error *error) {
    (void)context, (void)call, (void)error;
    gate_pass();
    sl_write_str(result, "late");
    return SL_OK;
}

enum sl_code twice(void *context, const struct sl_view_call *call, struct sl_writer *result, struct sl_error *error) {
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

struct sl_view *view_of(const char *name, sl_view_fn *call, sl_view_fn *call_many, uint32_t timeout_ms,
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

struct sl_view_stats stats(void) {
    struct sl_view_stats now = SL_VIEW_STATS_INIT;
    sl_view_stats(runtime, &now);
    return now;
}

void await_stat(uint32_t (*get)(void), uint32_t value) {
    uint64_t deadline_ns = sl__clock_deadline_ms(20000);
    while (get() != value && !sl__clock_passed(deadline_ns)) {
        sched_yield();
    }
    assert_int_equal(get(), value);
}

uint32_t waiting_count(void) {
    return stats().waiting_count;
}

uint32_t running_count(void) {
    return stats().running_count;
}

uint32_t thread_count(void) {
    return stats().thread_count;
}

uint32_t open_count(void) {
    return (uint32_t)descriptor_count();
}
