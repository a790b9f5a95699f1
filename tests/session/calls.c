/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

struct sl_session *session_open(struct host *host, void (*change)(struct sl_session_options *options)) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_session *session = NULL;
    struct sl_error error = SL_ERROR_INIT;
    if (change != NULL) {
        change(&options);
    }
    if (sl_session_open(host->pool, &options, &session, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return session;
}

struct sl_session_info info_of(struct sl_session *session) {
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    sl_session_info(session, &info);
    return info;
}

enum sl_code call_in(const struct call *call, int64_t *result, struct sl_error *error) {
    struct sl_error own = SL_ERROR_INIT;
    struct sl_results results = {0};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    char name[96];
    struct sl_item item = {0};
    struct sl_writer writer;
    bool whole = strchr(call->function, ':') != NULL;
    snprintf(name, sizeof name, "%s%s", whole ? "" : "session_functions:", call->function);
    options.function = name;
    options.mode = SL_CALL_EACH;
    options.session = call->session;
    options.affinity = call->affinity;
    options.timeout_ms = call->timeout_ms;
    sl_writer_init(&writer, NULL);
    if (call->text != NULL) {
        sl_write_str(&writer, call->text);
    } else {
        sl_write_int(&writer, call->number);
    }
    assert_int_equal(sl_writer_end(&writer, &item.value, NULL), SL_OK);
    enum sl_code code = sl_call_batch(call->host->pool, &options, &item, 1, &results, error != NULL ? error : &own);
    if (code != SL_OK && error == NULL) {
        fail_msg("%s: %s\n%s", call->function, own.message, own.traceback != NULL ? own.traceback : "");
    }
    if (code == SL_OK && result != NULL) {
        struct sl_mark mark;
        if (sl_value_type(results.values[0]) == SL_TYPE_NIL) {
            *result = NONE;
        } else if (sl_value_int(results.values[0], result) != SL_OK) {
            const char *text = "?";
            size_t size = 1;
            if (sl_value_mark(results.values[0], &mark) == SL_OK) {
                text = mark.text, size = mark.text_size;
            }
            fail_msg("%s gave no number: %.*s", call->function, (int)size, text);
        }
    }
    sl_results_finish(&results);
    sl_writer_finish(&writer);
    sl_error_finish(&own);
    return code;
}

int64_t ask(struct host *host, struct sl_session *session, const char *function, int64_t number) {
    int64_t result = 0;
    const struct call call = {.host = host, .session = session, .function = function, .number = number};
    (void)call_in(&call, &result, NULL);
    return result;
}

enum sl_code ask_in_vain(struct host *host, struct sl_session *session, const char *function, struct sl_error *error) {
    sl_error_finish(error);
    const struct call call = {.host = host, .session = session, .function = function};
    return call_in(&call, NULL, error);
}

void free_path(char path[SCRATCH_SIZE]) {
    scratch_place(path, "slither-session-test");
}

void touch(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

int open_fifo(char path[SCRATCH_SIZE]) {
    free_path(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* for writing too: it never ends */
    assert_true(fifo >= 0);
    return fifo;
}

int64_t read_number(int fifo, int timeout_ms) {
    char line[32];
    size_t size = 0;
    while (size + 1 < sizeof line) {
        struct pollfd poll_fd = {.fd = fifo, .events = POLLIN};
        if (poll(&poll_fd, 1, timeout_ms) <= 0) {
            return -1;
        }
        assert_int_equal(read(fifo, line + size, 1), 1);
        if (line[size] == '\n') {
            break;
        }
        size++;
    }
    line[size] = '\0';
    return strtoll(line, NULL, 10);
}

void close_fifo(int fifo, const char *path) {
    close(fifo);
    (void)unlink(path);
}
