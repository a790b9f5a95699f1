/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/value.h>

#include "base/macros.h"
#include "lane/handshake.h"

#define PYTHON_MAJOR 3
#define PYTHON_MINOR_MIN 11

static enum sl_code end_message(struct sl_writer *writer, uint8_t **bytes, size_t *size, struct sl_error *error) {
    struct sl_value value;
    enum sl_code code = sl_writer_end(writer, &value, error);
    if (code == SL_OK) {
        *bytes = malloc(value.size);
        if (*bytes == NULL) {
            code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a message to a worker");
        } else {
            memcpy(*bytes, value.data, value.size);
            *size = value.size;
        }
    }
    sl_writer_finish(writer);
    return code;
}

static void write_preload(struct sl_writer *writer, const struct sl__spec *spec) {
    sl_write_str(writer, "preload");
    sl_write_list(writer, spec->preload_count);
    for (uint32_t i = 0; i < spec->preload_count; i++) {
        sl_write_str(writer, spec->preload[i]);
    }
}

/* In the form in which they are matched. */
static void write_redact(struct sl_writer *writer, const struct sl__spec *spec) {
    sl_write_str(writer, "redact");
    sl_write_list(writer, spec->redact.count);
    for (uint32_t i = 0; i < spec->redact.count; i++) {
        sl_write_str(writer, spec->redact.patterns[i]);
    }
}

enum sl_code sl__message_config(const struct sl__spec *spec, uint32_t worker, const struct sl__lane_config *lane,
                                uint64_t memory_max_bytes, uint8_t **bytes, size_t *size, struct sl_error *error) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 11);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "config");
    sl_write_str(&writer, "protocol");
    sl_write_uint(&writer, SL__PROTOCOL);
    sl_write_str(&writer, "layout");
    sl_write_uint(&writer, sl__lane_layout());
    sl_write_str(&writer, "worker");
    sl_write_uint(&writer, worker);
    sl_write_str(&writer, "generation");
    sl_write_uint(&writer, lane->generation);
    sl_write_str(&writer, "segment_bytes");
    sl_write_uint(&writer, lane->segment_bytes);
    sl_write_str(&writer, "payload_bytes_max");
    sl_write_uint(&writer, lane->payload_bytes_max);
    sl_write_str(&writer, "depth_max");
    sl_write_uint(&writer, lane->limits.depth_max);
    sl_write_str(&writer, "memory_max");
    sl_write_uint(&writer, memory_max_bytes);
    write_preload(&writer, spec);
    write_redact(&writer, spec);
    return end_message(&writer, bytes, size, error);
}

enum sl_code sl__message_prepare(const struct sl__spec *spec, uint8_t **bytes, size_t *size, struct sl_error *error) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    uint32_t argument_count = 0;
    while (spec->argv[argument_count] != NULL) {
        argument_count++;
    }
    sl_write_map(&writer, 6);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "prepare");
    sl_write_str(&writer, "protocol");
    sl_write_uint(&writer, SL__PROTOCOL);
    sl_write_str(&writer, "fork");
    sl_write_bool(&writer, spec->fork);
    sl_write_str(&writer, "argv");
    sl_write_list(&writer, argument_count);
    for (uint32_t i = 0; i < argument_count; i++) {
        sl_write_bytes(&writer, spec->argv[i], strlen(spec->argv[i])); /* a path may be no UTF-8 */
    }
    write_preload(&writer, spec);
    write_redact(&writer, spec);
    return end_message(&writer, bytes, size, error);
}

enum sl_code sl__message_start(uint32_t worker, uint32_t generation, uint8_t **bytes, size_t *size,
                               struct sl_error *error) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 3);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "start");
    sl_write_str(&writer, "worker");
    sl_write_uint(&writer, worker);
    sl_write_str(&writer, "generation");
    sl_write_uint(&writer, generation);
    return end_message(&writer, bytes, size, error);
}

enum sl_code sl__message_ask(uint64_t number, uint32_t stack_ms, uint8_t **bytes, size_t *size,
                             struct sl_error *error) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 3);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "ask");
    sl_write_str(&writer, "number");
    sl_write_uint(&writer, number);
    sl_write_str(&writer, "stack_ms");
    sl_write_uint(&writer, stack_ms);
    return end_message(&writer, bytes, size, error);
}

enum sl_code sl__message_stop(uint8_t **bytes, size_t *size, struct sl_error *error) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 1);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "stop");
    return end_message(&writer, bytes, size, error);
}

/* ---- what a worker says --------------------------------------------------------------------------------------- */

/* The str at `key`, or an empty one. Not NUL-terminated. */
static size_t text_at(struct sl_value map, const char *key, const char **text) {
    struct sl_value value;
    size_t size = 0;
    *text = "";
    if (sl_value_get(map, key, &value) != SL_OK || sl_value_str(value, text, &size) != SL_OK) {
        *text = "";
        return 0;
    }
    return size;
}

static bool text_is(const char *text, size_t size, const char *expected) {
    return size == strlen(expected) && memcmp(text, expected, size) == 0;
}

static enum sl__heard noise(struct sl_error *why, const char *who, const char *python, const char *what) {
    sl_error_set(why, SL_E_WORKER_START,
                 "%s said what is not in the protocol (%s) and was killed; interpreter %s; is descriptor %d written to "
                 "by other code?",
                 who, what, python, SL__WORKER_FD);
    return SL__HEARD_NOISE;
}

static enum sl__heard check_ready(struct sl_value map, const char *python, const char *who, struct sl_error *why) {
    const char *text;
    size_t size = text_at(map, "python", &text);
    char version[32];
    snprintf(version, sizeof(version), "%.*s", (int)SL_MIN(size, sizeof(version) - 1), text);
    unsigned major, minor;
    if (sscanf(version, "%u.%u", &major, &minor) != 2) {
        return noise(why, who, python, "ready without a Python version");
    }
    if (major != PYTHON_MAJOR || minor < PYTHON_MINOR_MIN) {
        sl_error_set(why, SL_E_UNSUPPORTED,
                     "interpreter %s is Python %s; workers need CPython %d.%d or later: choose another with the option "
                     "`python`",
                     python, version, PYTHON_MAJOR, PYTHON_MINOR_MIN);
        return SL__HEARD_FAILED;
    }
    struct sl_value value;
    bool gil = true;
    if (sl_value_get(map, "gil", &value) == SL_OK && sl_value_bool(value, &gil) == SL_OK && !gil) {
        sl_error_set(
            why, SL_E_UNSUPPORTED,
            "interpreter %s (Python %s) runs without the GIL, which the process profile does not support: choose "
            "a build with the GIL with the option `python`, or set PYTHON_GIL=1",
            python, version);
        return SL__HEARD_FAILED;
    }
    return SL__HEARD_READY;
}

static enum sl_code known_code(const char *text, size_t size) {
    char name[48];
    snprintf(name, sizeof(name), "%.*s", (int)SL_MIN(size, sizeof(name) - 1), text);
    int code = sl_code_from_name(name);
    return code > SL_OK ? (enum sl_code)code : SL_E_WORKER_START;
}

static enum sl__heard take_failure(struct sl_value map, const char *python, const char *who, struct sl_error *why) {
    const char *code_text, *message, *traceback, *version;
    size_t code_size = text_at(map, "code", &code_text);
    size_t message_size = text_at(map, "message", &message);
    size_t traceback_size = text_at(map, "traceback", &traceback);
    size_t version_size = text_at(map, "python", &version);
    /* Cut first: the interpreter has to stay readable whatever the length of the rest. */
    size_t room = SL_MAX((size_t)160, SL_ERROR_MESSAGE_SIZE - SL_MIN((size_t)320, strlen(python) + 64));
    const char *cut = message_size > room ? "..." : "";
    sl_error_set(why, known_code(code_text, code_size), "%.*s%s (%s, started with %s, Python %.*s)",
                 (int)SL_MIN(message_size, room), message, cut, who, python, (int)SL_MIN(version_size, (size_t)20),
                 version);
    if (traceback_size > 0) {
        why->traceback = strndup(traceback, traceback_size);
    }
    return SL__HEARD_FAILED;
}

enum sl__heard sl__message_understand(const uint8_t *bytes, size_t size, const char *python, const char *who,
                                      struct sl_error *why) {
    struct sl_value map;
    const char *type;
    if (sl_value_check(bytes, size, NULL, &map, NULL) != SL_OK || sl_value_type(map) != SL_TYPE_MAP) {
        return noise(why, who, python, "not a map");
    }
    size_t type_size = text_at(map, "type", &type);
    if (text_is(type, type_size, "ready")) {
        return check_ready(map, python, who, why);
    }
    if (text_is(type, type_size, "failed")) {
        return take_failure(map, python, who, why);
    }
    return noise(why, who, python, "a message of unknown type");
}

static bool uint_at(struct sl_value map, const char *key, uint64_t *out) {
    struct sl_value value;
    return sl_value_get(map, key, &value) == SL_OK && sl_value_uint(value, out) == SL_OK;
}

bool sl__message_told(const uint8_t *bytes, size_t size, struct sl__told *told) {
    *told = (struct sl__told){.activity = SL_ACTIVITY_UNKNOWN};
    struct sl_value map, stack;
    const char *text;
    if (sl_value_check(bytes, size, NULL, &map, NULL) != SL_OK || sl_value_type(map) != SL_TYPE_MAP) {
        return false;
    }
    size_t text_size = text_at(map, "type", &text);
    if (!text_is(text, text_size, "state") || !uint_at(map, "number", &told->number) ||
        !uint_at(map, "stuck_ms", &told->stuck_ms) || sl_value_get(map, "stack", &stack) != SL_OK ||
        sl_value_bool(stack, &told->stack) != SL_OK) {
        return false;
    }
    text_size = text_at(map, "activity", &text);
#define TAKE(enumerator, number, name)    \
    if (text_is(text, text_size, name)) { \
        told->activity = enumerator;      \
    }
    SL_ACTIVITY_LIST(TAKE)
#undef TAKE
    return true;
}

/* ---- what only a template says -------------------------------------------------------------------------------- */

static bool number_at(struct sl_value map, const char *key, int64_t min, int64_t max, int64_t *out) {
    struct sl_value value;
    return sl_value_get(map, key, &value) == SL_OK && sl_value_int(value, out) == SL_OK && *out >= min && *out <= max;
}

static bool take_ended(struct sl_value map, struct sl__news *news) {
    int64_t pid, status, term_signal;
    struct sl_value core;
    if (!number_at(map, "pid", 1, INT32_MAX, &pid) || !number_at(map, "status", -1, 255, &status) ||
        !number_at(map, "signal", 0, 64, &term_signal) || sl_value_get(map, "core", &core) != SL_OK ||
        sl_value_bool(core, &news->end.core_dumped) != SL_OK) {
        return false;
    }
    news->pid = (pid_t)pid;
    news->end.exit_status = (int)status;
    news->end.term_signal = (int)term_signal;
    return true;
}

static bool take_answer(struct sl_value map, struct sl__news *news) {
    int64_t worker, generation, pid = 0, number = 0;
    if (!number_at(map, "worker", 0, UINT32_MAX, &worker) ||
        !number_at(map, "generation", 0, UINT32_MAX, &generation)) {
        return false;
    }
    if (news->kind == SL__NEWS_STARTED ? !number_at(map, "pid", 1, INT32_MAX, &pid)
                                       : !number_at(map, "errno", 0, 4095, &number)) {
        return false;
    }
    news->worker = (uint32_t)worker;
    news->generation = (uint32_t)generation;
    news->pid = (pid_t)pid;
    news->system_errno = (int)number;
    return true;
}

void sl__message_news(const uint8_t *bytes, size_t size, struct sl__news *news) {
    *news = (struct sl__news){.kind = SL__NEWS_NONE};
    struct sl_value map;
    const char *type, *reason;
    if (sl_value_check(bytes, size, NULL, &map, NULL) != SL_OK || sl_value_type(map) != SL_TYPE_MAP) {
        return;
    }
    size_t type_size = text_at(map, "type", &type);
    bool whole = true;
    if (text_is(type, type_size, "ended")) {
        news->kind = SL__NEWS_ENDED;
        whole = take_ended(map, news);
    } else if (text_is(type, type_size, "started")) {
        news->kind = SL__NEWS_STARTED;
        whole = take_answer(map, news);
    } else if (text_is(type, type_size, "start_failed")) {
        news->kind = SL__NEWS_START_FAILED;
        whole = take_answer(map, news);
    } else if (text_is(type, type_size, "ready")) {
        struct sl_value value;
        news->kind = SL__NEWS_READY;
        whole = sl_value_get(map, "fork", &value) == SL_OK && sl_value_bool(value, &news->forks) == SL_OK;
        size_t reason_size = text_at(map, "reason", &reason);
        snprintf(news->reason, sizeof(news->reason), "%.*s", (int)SL_MIN(reason_size, sizeof(news->reason) - 1),
                 reason);
    }
    if (!whole) {
        news->kind = SL__NEWS_NONE;
    }
}
