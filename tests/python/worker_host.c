/* SPDX-License-Identifier: MIT */
/*
 * One worker and the host's end of its lane, driven from outside: reads commands from standard input, writes answers to standard
 * output, each a value behind its size in 4 bytes. It lets the tests of the Python side see a worker through nothing
 * but lane/lane.h and lane/handshake.h. Commands and answers are listed at the end, with what runs them.
 */
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <slither/value.h>

#include "base/macros.h"
#include "lane/buffer.h"
#include "lane/handshake.h"
#include "lane/lane.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "sys/packet.h"
#include "sys/process.h"
#include "sys/spawn.h"
#include "upcall/call.h"
#include "wire/batch.h"

#define STRINGS_MAX 64
#define CONFIG_FDS (SL__LANE_FDS + SL__CONFIG_FDS_EXTRA)

static struct {
    struct sl__lane *lane;
    struct sl__lane_config config;
    struct sl__bell bell;
    struct sl__spin spin;
    struct sl__buffer_home home;
    struct sl_buffer *buffer;
    int life, pidfd, box, calls;
    pid_t pid;
    struct sl_error error;
} host = {.life = -1, .pidfd = -1, .box = -1, .calls = -1, .error = SL_ERROR_INIT};

/* ---- commands and answers ------------------------------------------------------------------------------------ */

static bool read_all(void *memory, size_t size) {
    return size == 0 || fread(memory, 1, size, stdin) == size;
}

static void answer(struct sl_writer *writer) {
    struct sl_value value;
    if (sl_writer_end(writer, &value, &host.error) != SL_OK) {
        fprintf(stderr, "worker_host: an answer could not be written: %s\n", host.error.message);
        exit(2);
    }
    uint32_t size = (uint32_t)value.size;
    fwrite(&size, sizeof size, 1, stdout);
    fwrite(value.data, 1, value.size, stdout);
    fflush(stdout);
}

static uint64_t number_at(struct sl_value map, const char *key, uint64_t otherwise) {
    struct sl_value value;
    uint64_t number;
    return sl_value_get(map, key, &value) == SL_OK && sl_value_uint(value, &number) == SL_OK ? number : otherwise;
}

/* A NUL-terminated copy that lives as long as the program; NULL when there is none. */
static char *text_of(struct sl_value value) {
    const char *text;
    size_t size;
    return sl_value_str(value, &text, &size) == SL_OK ? strndup(text, size) : NULL;
}

static char *text_at(struct sl_value map, const char *key) {
    struct sl_value value;
    return sl_value_get(map, key, &value) == SL_OK ? text_of(value) : NULL;
}

static void strings_at(struct sl_value map, const char *key, const char *strings[STRINGS_MAX + 1]) {
    struct sl_value list, entry;
    struct sl_iter iter;
    size_t count = 0;
    if (sl_value_get(map, key, &list) == SL_OK && sl_iter_init(&iter, list) == SL_OK) {
        while (count < STRINGS_MAX && sl_iter_next(&iter, NULL, &entry)) {
            strings[count++] = text_of(entry);
        }
    }
    strings[count] = NULL;
}

static uint64_t deadline_of(struct sl_value command) {
    return sl__clock_now_ns() + number_at(command, "timeout_ms", 20000) * 1000000;
}

/* ---- start --------------------------------------------------------------------------------------------------- */

static enum sl_code send_config(struct sl_value command, const int *fds, size_t fd_count) {
    struct sl_writer writer;
    struct sl_value preload, message;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 10);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "config");
    sl_write_str(&writer, "protocol");
    sl_write_uint(&writer, number_at(command, "protocol", SL__PROTOCOL));
    sl_write_str(&writer, "layout");
    sl_write_uint(&writer, number_at(command, "layout", sl__lane_layout()));
    sl_write_str(&writer, "worker");
    sl_write_uint(&writer, 0);
    sl_write_str(&writer, "generation");
    sl_write_uint(&writer, host.config.generation);
    sl_write_str(&writer, "segment_bytes");
    sl_write_uint(&writer, host.config.segment_bytes);
    sl_write_str(&writer, "payload_bytes_max");
    sl_write_uint(&writer, host.config.payload_bytes_max);
    sl_write_str(&writer, "depth_max");
    sl_write_uint(&writer, host.config.limits.depth_max);
    sl_write_str(&writer, "memory_max");
    sl_write_uint(&writer, number_at(command, "memory_max", 0));
    sl_write_str(&writer, "preload");
    if (sl_value_get(command, "preload", &preload) == SL_OK) {
        sl_write_value(&writer, preload);
    } else {
        sl_write_list(&writer, 0);
    }
    enum sl_code code = sl_writer_end(&writer, &message, &host.error);
    if (code == SL_OK) {
        code = sl__packet_send(host.life, message.data, message.size, fds, fd_count, 0, &host.error);
    }
    sl_writer_finish(&writer);
    return code;
}

static enum sl_code start(struct sl_value command, struct sl_writer *out) {
    const char *argv[STRINGS_MAX + 1], *envp[STRINGS_MAX + 1];
    strings_at(command, "argv", argv);
    strings_at(command, "environment", envp);
    host.config = (struct sl__lane_config){
        .segment_bytes = number_at(command, "segment_bytes", 1 << 20),
        .payload_bytes_max = number_at(command, "payload_bytes_max", 1 << 30),
        .cache_bytes = 64 << 20,
        .limits = SL_LIMITS_INIT,
        .generation = 1,
    };
    host.config.limits.depth_max = (uint32_t)number_at(command, "depth_max", 128);
    enum sl_code code = sl__lane_create(&host.config, &host.lane, &host.error);
    int pair[2] = {-1, -1}, calls[2] = {-1, -1}, null = -1, fds[SL__CONFIG_FDS_MAX];
    size_t fd_count = CONFIG_FDS;
    if (code == SL_OK) {
        sl__lane_worker_fds(host.lane, fds);
        code = sl__memory_file_create("black-box", SL__BLACK_BOX_SIZE, &host.box, &host.error);
        fds[SL__LANE_FDS] = host.box;
    }
    if (code == SL_OK) {
        code = sl__packet_pair(pair, &host.error);
    }
    if (code == SL_OK && number_at(command, "calls", 0) != 0) {
        code = sl__packet_pair(calls, &host.error);
        host.calls = calls[0];
        fds[fd_count++] = calls[1];
    }
    if (code == SL_OK) {
        code = sl__open_null(&null, &host.error);
    }
    if (code == SL_OK) {
        host.life = pair[0];
        const struct sl__spawn_fd targets[] = {{null, 0},
                                               {(int)number_at(command, "stdout", 1), 1},
                                               {(int)number_at(command, "stderr", 2), 2},
                                               {pair[1], SL__WORKER_FD}};
        const struct sl__spawn spawn = {.program = argv[0],
                                        .death_signal = (int)number_at(command, "death_signal", 0),
                                        .argv = argv,
                                        .envp = envp,
                                        .directory = text_at(command, "directory"),
                                        .fds = targets,
                                        .fd_count = SL_COUNT_OF(targets),
                                        .group = SL__SPAWN_SESSION_OWN};
        code = sl__spawn(&spawn, &host.pid, &host.pidfd, &host.error);
    }
    sl__close(&null);
    int out_fd = (int)number_at(command, "stdout", 1), err_fd = (int)number_at(command, "stderr", 2);
    if (out_fd > 2 && err_fd > 2) { /* so that their readers see the end of the worker */
        sl__close(&out_fd);
        sl__close(&err_fd);
    }
    if (code == SL_OK) {
        code = send_config(command, fds, fd_count);
    }
    sl__close(&calls[1]);
    sl__close(&pair[1]);
    if (code == SL_OK) {
        sl__lane_close_worker_fds(host.lane);
        sl_write_int(out, host.pid);
    }
    return code;
}

/* ---- the life-cycle socket ----------------------------------------------------------------------------------- */

static enum sl_code hear(struct sl_value command, struct sl_writer *out) {
    static uint8_t packet[SL__MESSAGE_MAX];
    size_t size, fd_count;
    struct sl_value message;
    struct pollfd readable = {.fd = host.life, .events = POLLIN};
    if (poll(&readable, 1, (int)number_at(command, "timeout_ms", 20000)) <= 0) {
        return sl_error_set(&host.error, SL_E_TIMEOUT, "the worker said nothing");
    }
    enum sl_code code = sl__packet_receive(host.life, packet, sizeof packet, &size, NULL, 0, &fd_count, 0, &host.error);
    if (code == SL_OK) {
        code = sl_value_check(packet, size, NULL, &message, &host.error);
    }
    if (code == SL_OK) {
        sl_write_value(out, message);
    }
    return code;
}

static enum sl_code stop(struct sl_writer *out) {
    struct sl_writer writer;
    struct sl_value message;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 1);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "stop");
    enum sl_code code = sl_writer_end(&writer, &message, &host.error);
    if (code == SL_OK) {
        code = sl__packet_send(host.life, message.data, message.size, NULL, 0, 0, &host.error);
    }
    sl_writer_finish(&writer);
    /* Until it has been taken out of the queue, so that a test knows that the worker is about to act on it. */
    int unread = 1;
    while (code == SL_OK && unread > 0 && ioctl(host.life, SIOCOUTQ, &unread) == 0) {
        struct pollfd ended = {.fd = host.pidfd, .events = POLLIN};
        if (poll(&ended, 1, 1) > 0) {
            break;
        }
    }
    sl_write_nil(out);
    return code;
}

static enum sl_code tell(struct sl_value command, struct sl_writer *out) {
    struct sl_value message;
    enum sl_code code = sl_value_get(command, "message", &message);
    uint32_t flags = number_at(command, "nowait", 0) != 0 ? SL__PACKET_NOWAIT : 0;
    if (code == SL_OK) {
        code = sl__packet_send(host.life, message.data, message.size, NULL, 0, flags, &host.error);
    }
    sl_write_nil(out);
    return code;
}

static enum sl_code ask(struct sl_value command, struct sl_writer *out) {
    struct sl_writer writer;
    struct sl_value message;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 3);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "ask");
    sl_write_str(&writer, "number");
    sl_write_uint(&writer, number_at(command, "number", 1));
    sl_write_str(&writer, "stack_ms");
    sl_write_uint(&writer, number_at(command, "stack_ms", 0));
    enum sl_code code = sl_writer_end(&writer, &message, &host.error);
    if (code == SL_OK) {
        code = sl__packet_send(host.life, message.data, message.size, NULL, 0, 0, &host.error);
    }
    sl_writer_finish(&writer);
    return code == SL_OK ? hear(command, out) : code;
}

static enum sl_code read_box(struct sl_writer *out) {
    static char text[SL__BLACK_BOX_SIZE + 1];
    ssize_t size = pread(host.box, text, SL__BLACK_BOX_SIZE, 0);
    if (size < 0) {
        return sl_error_set(&host.error, SL_E_SYSTEM, "the black box cannot be read");
    }
    sl_write_bytes(out, text, strlen(text));
    return SL_OK;
}

/* A child of the host that outlives it, and that holds all that it held. */
static enum sl_code leak(struct sl_writer *out) {
    pid_t child = fork();
    while (child == 0) {
        (void)pause();
    }
    sl_write_int(out, child);
    return SL_OK;
}

static enum sl_code reap(struct sl_value command, struct sl_writer *out) {
    struct sl__process_end end;
    struct pollfd ended = {.fd = host.pidfd, .events = POLLIN};
    if (poll(&ended, 1, (int)number_at(command, "timeout_ms", 20000)) <= 0) {
        return sl_error_set(&host.error, SL_E_TIMEOUT, "the worker has not ended");
    }
    enum sl_code code = sl__process_reap(host.pidfd, true, &end, &host.error);
    sl_write_list(out, 2);
    sl_write_int(out, end.exit_status);
    sl_write_int(out, end.term_signal);
    return code;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

static enum sl_code put(const void *bytes, size_t size) {
    uint8_t *memory;
    uint64_t offset;
    enum sl_code code = sl__lane_extend(host.lane, size, &memory, &offset, &host.error);
    if (code == SL_OK) {
        memcpy(memory, bytes, size);
    }
    return code;
}

static enum sl_code put_items(struct sl_value command, uint32_t *count) {
    struct sl_value items, item;
    struct sl_iter iter;
    *count = 0;
    if (sl_value_get(command, "items", &items) != SL_OK) {
        return SL_OK;
    }
    struct sl_writer writer; /* aligns arrays for the start of the item, which the value from the test does not */
    sl_writer_init(&writer, NULL);
    enum sl_code code = sl_iter_init(&iter, items);
    while (code == SL_OK && sl_iter_next(&iter, NULL, &item)) {
        struct sl_value whole;
        sl_writer_reset(&writer);
        struct sl_array array;
        if (sl_value_array(item, &array) == SL_OK) {
            sl_write_array(&writer, array.dtype, array.dim_count, array.shape, array.data);
        } else {
            sl_write_value(&writer, item);
        }
        code = sl_writer_end(&writer, &whole, &host.error);
        if (code == SL_OK) {
            code = put(whole.data, whole.size);
        }
        ++*count;
    }
    sl_writer_finish(&writer);
    return code;
}

/* One item: an array of bytes over the shared buffer, which is made of "buffer" when that is given. */
static enum sl_code put_buffer_item(struct sl_value command, struct sl_value content) {
    const void *bytes;
    size_t size;
    enum sl_code code = sl_value_bytes(content, &bytes, &size);
    if (code == SL_OK && size > 0) {
        sl_buffer_unref(host.buffer);
        code = sl__buffer_create(&host.home, size, &host.buffer, &host.error);
        if (code == SL_OK) {
            memcpy(sl_buffer_data(host.buffer), bytes, size);
        }
    }
    if (code == SL_OK) {
        code = sl__lane_attach_buffer(host.lane, host.buffer, &host.error);
    }
    if (code == SL_OK) {
        struct sl_writer writer;
        struct sl_value item;
        uint64_t offset = number_at(command, "offset", 0), shape = sl_buffer_size(host.buffer) - offset;
        sl_writer_init(&writer, NULL);
        sl_write_array_in(&writer, host.buffer, offset, SL_DTYPE_U8, 1, &shape);
        code = sl_writer_end(&writer, &item, &host.error);
        if (code == SL_OK) {
            code = put(item.data, item.size);
        }
        sl_writer_finish(&writer);
    }
    return code;
}

static enum sl_code submit(struct sl_value command, struct sl_writer *out) {
    struct sl_value head = {NULL, 0}, content;
    uint64_t sequence;
    uint32_t count;
    enum sl_code code = sl_value_get(command, "head", &head);
    if (code == SL_OK) {
        code = sl__lane_open(host.lane, &host.error);
    }
    if (code == SL_OK) {
        code = put(head.data, head.size);
    }
    if (code == SL_OK) {
        code = put_items(command, &count);
    }
    if (code == SL_OK && sl_value_get(command, "buffer", &content) == SL_OK) {
        code = put_buffer_item(command, content);
        count++;
    }
    if (code == SL_OK) {
        code =
            sl__lane_commit(host.lane, (enum sl__request_kind)number_at(command, "kind", SL__REQUEST_BATCH),
                            (uint32_t)head.size, (uint32_t)number_at(command, "count", count), &sequence, &host.error);
    }
    if (code == SL_OK) {
        sl_write_uint(out, sequence);
    }
    return code;
}

static enum sl_code take_reply(struct sl_value command, struct sl__reply *reply) {
    uint64_t deadline = deadline_of(command);
    for (;;) {
        uint32_t seen = atomic_load(&host.bell.value);
        enum sl_code code = sl__lane_poll(host.lane, reply, &host.error);
        if (code != SL_E_AGAIN) {
            return code;
        }
        if (sl__clock_now_ns() >= deadline) {
            return sl_error_set(&host.error, SL_E_TIMEOUT, "no reply came");
        }
        sl__lanes_wait(&host.lane, 1, &host.bell, seen, deadline, &host.spin, true);
    }
}

static enum sl_code reply_of(struct sl_value command, struct sl_writer *out) {
    struct sl__reply reply;
    enum sl_code code = take_reply(command, &reply);
    if (code != SL_OK) {
        return code;
    }
    uint32_t count = reply.code == SL_OK ? reply.item_count : 1;
    /* Each entry as bytes: a mark is only ever a whole value. */
    sl_write_list(out, 5);
    sl_write_str(out, sl_code_name(reply.code));
    sl_write_uint(out, reply.sequence);
    sl_write_bool(out, (reply.flags & SL__REPLY_KEPT) != 0);
    sl_write_bool(out, (reply.flags & SL__REPLY_STATE) != 0);
    sl_write_list(out, count);
    size_t offset = 0;
    for (uint32_t i = 0; i < count && code == SL_OK; i++) {
        struct sl_value item;
        code = sl__batch_next(reply.blob->data, reply.blob->size, &offset, &host.config.limits, &item, &host.error);
        if (code == SL_OK) {
            sl_write_bytes(out, item.data, item.size);
        }
    }
    sl__blob_unref(reply.blob);
    sl__lane_retire(host.lane, (reply.flags & SL__REPLY_KEPT) != 0);
    return code;
}

/* Runs the same batch many times. Answers nanoseconds of each round trip, from the first byte written to the reply taken. */
static enum sl_code measure(struct sl_value command, struct sl_writer *out) {
    uint64_t rounds = number_at(command, "rounds", 1000);
    enum sl_code code = SL_OK;
    sl_write_list(out, (uint32_t)rounds);
    for (uint64_t i = 0; i < rounds && code == SL_OK; i++) {
        struct sl_writer ignored;
        struct sl__reply reply;
        sl_writer_init(&ignored, NULL);
        uint64_t begin = sl__clock_now_ns();
        code = submit(command, &ignored);
        if (code == SL_OK) {
            code = take_reply(command, &reply);
        }
        if (code == SL_OK && reply.code != SL_OK) {
            code = sl_error_set(&host.error, reply.code, "the batch failed");
        }
        if (code == SL_OK) {
            sl__blob_unref(reply.blob);
            sl__lane_retire(host.lane, (reply.flags & SL__REPLY_KEPT) != 0);
            sl_write_uint(out, sl__clock_now_ns() - begin);
        }
        sl_writer_finish(&ignored);
    }
    return code;
}

/* ---- the call socket ------------------------------------------------------------------------------------------ */

static enum sl_code take_call(struct sl_value command, struct sl_writer *out) {
    static uint8_t packet[SL__CALL_PACKET_MAX];
    struct sl__call_request head;
    struct pollfd readable = {.fd = host.calls, .events = POLLIN};
    size_t size, fd_count;
    int fd = -1;
    if (poll(&readable, 1, (int)number_at(command, "timeout_ms", 20000)) <= 0) {
        return sl_error_set(&host.error, SL_E_TIMEOUT, "the worker called nothing");
    }
    enum sl_code code = sl__packet_receive(host.calls, packet, sizeof packet, &size, &fd, 1, &fd_count, 0, &host.error);
    if (code != SL_OK) {
        return code;
    }
    memcpy(&head, packet, sizeof head);
    uint8_t *payload = malloc(head.size);
    uint32_t seals = 0;
    uint64_t file_size;
    if (payload == NULL) {
        return sl_error_set(&host.error, SL_E_OUT_OF_MEMORY, "no memory for a call");
    }
    if (fd < 0) {
        memcpy(payload, packet + sizeof head + head.name_size, head.size);
    } else if (sl__memory_file_inspect(fd, &seals, &file_size, &host.error) != SL_OK ||
               pread(fd, payload, head.size, 0) != (ssize_t)head.size) {
        code = sl_error_set(&host.error, SL_E_PROTOCOL, "the file of a call cannot be read");
    }
    sl__close(&fd);
    sl_write_list(out, 7);
    sl_write_uint(out, head.number);
    sl_write_uint(out, head.mode);
    sl_write_uint(out, head.timeout_ms);
    sl_write_strn(out, (const char *)packet + sizeof head, head.name_size);
    sl_write_bytes(out, payload, head.size);
    sl_write_uint(out, seals);
    sl_write_uint(out, head.session);
    free(payload);
    return code;
}

static enum sl_code answer_call(struct sl_value command, struct sl_writer *out) {
    struct sl_value content = {NULL, 0};
    const void *bytes;
    size_t size;
    int fd = -1;
    uint8_t packet[SL__CALL_PACKET_MAX];
    enum sl_code code = sl_value_get(command, "value", &content);
    if (code == SL_OK) {
        code = sl_value_bytes(content, &bytes, &size);
    }
    if (code != SL_OK) {
        return sl_error_set(&host.error, code, "an answer needs its value as bytes");
    }
    struct sl__call_reply head = {
        .number = number_at(command, "number", 0),
        .size = number_at(command, "size", size),
        .outcome = (uint32_t)number_at(command, "outcome", SL__CALL_RESULT),
        .code = (uint32_t)number_at(command, "code", 0),
        .flags = (uint32_t)number_at(command, "in_file", 0),
    };
    memcpy(packet, &head, sizeof head);
    size_t packet_size = sizeof head;
    if (head.flags != 0) {
        code = sl__memory_file_create("reply", size, &fd, &host.error);
        code = code == SL_OK ? sl__write_all(fd, bytes, size, &host.error) : code;
        code = code == SL_OK ? sl__memory_file_seal(fd, (uint32_t)number_at(command, "seals", 15), &host.error) : code;
    } else {
        memcpy(packet + sizeof head, bytes, size);
        packet_size += size;
    }
    packet_size = (size_t)number_at(command, "packet_size", packet_size);
    if (code == SL_OK) {
        code = sl__packet_send(host.calls, packet, packet_size, &fd, fd >= 0 ? 1 : 0, 0, &host.error);
    }
    sl__close(&fd);
    sl_write_nil(out);
    return code;
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

static enum sl_code run(struct sl_value command, struct sl_writer *out) {
    const char *operation = text_at(command, "op");
    if (operation == NULL) {
        return sl_error_set(&host.error, SL_E_INVALID_ARGUMENT, "a command has no op");
    }
    if (strcmp(operation, "start") == 0) { /* argv, environment, directory, stdout, stderr, preload, limits -> pid */
        return start(command, out);
    }
    if (strcmp(operation, "hear") == 0) { /* -> the worker's next life-cycle message */
        return hear(command, out);
    }
    if (strcmp(operation, "submit") == 0) { /* kind, head, items, buffer -> sequence */
        return submit(command, out);
    }
    if (strcmp(operation, "reply") == 0) { /* -> [code, sequence, kept, state, [value as bytes...]] */
        return reply_of(command, out);
    }
    if (strcmp(operation, "measure") == 0) { /* as submit, rounds -> [nanoseconds...] */
        return measure(command, out);
    }
    if (strcmp(operation, "stop") == 0) { /* -> nil */
        return stop(out);
    }
    if (strcmp(operation, "hang_up") == 0) { /* closes the life-cycle socket -> nil */
        sl__close(&host.life);
        sl_write_nil(out);
        return SL_OK;
    }
    if (strcmp(operation, "leak") == 0) { /* forks a child that holds the descriptors -> pid */
        return leak(out);
    }
    if (strcmp(operation, "tell") == 0) { /* message: a life-cycle message, nowait -> nil */
        return tell(command, out);
    }
    if (strcmp(operation, "ask") == 0) { /* number, stack_ms -> the worker's answer */
        return ask(command, out);
    }
    if (strcmp(operation, "box") == 0) { /* -> what is in the black box, as bytes */
        return read_box(out);
    }
    if (strcmp(operation, "call") ==
        0) { /* -> [number, mode, timeout_ms, name, payload as bytes, seals of its file, session] */
        return take_call(command, out);
    }
    if (strcmp(operation, "answer") == 0) { /* number, outcome, code, value as bytes, in_file, seals, size -> nil */
        return answer_call(command, out);
    }
    if (strcmp(operation, "refuse_calls") == 0) { /* closes the call socket -> nil */
        sl__close(&host.calls);
        sl_write_nil(out);
        return SL_OK;
    }
    if (strcmp(operation, "reap") == 0) { /* -> [exit status, signal] */
        return reap(command, out);
    }
    return sl_error_set(&host.error, SL_E_INVALID_ARGUMENT, "there is no op %s", operation);
}

int main(void) {
    sl__bell_init(&host.bell);
    sl__spin_init(&host.spin);
    uint32_t size;
    while (read_all(&size, sizeof size)) {
        uint8_t *bytes = malloc(size);
        struct sl_value command;
        if (bytes == NULL || !read_all(bytes, size) ||
            sl_value_check(bytes, size, NULL, &command, &host.error) != SL_OK) {
            fprintf(stderr, "worker_host: a command could not be read: %s\n", host.error.message);
            return 2;
        }
        struct sl_writer writer, failure;
        sl_writer_init(&writer, NULL);
        sl_writer_init(&failure, NULL);
        sl_write_list(&writer, 2);
        sl_write_str(&writer, "ok");
        enum sl_code code = run(command, &writer);
        if (code == SL_OK) {
            answer(&writer);
        } else {
            sl_write_list(&failure, 2);
            sl_write_str(&failure, sl_code_name(code));
            sl_write_str(&failure, host.error.message);
            answer(&failure);
        }
        sl_writer_finish(&writer);
        sl_writer_finish(&failure);
        free(bytes);
    }
    if (host.pidfd >= 0) {
        (void)sl__process_signal(host.pidfd, 9, NULL);
    }
    sl__lane_destroy(host.lane);
    sl_buffer_unref(host.buffer);
    return 0;
}
