/* SPDX-License-Identifier: MIT */
/*
 * The life of a worker process: the first message, and the thread that watches the life-cycle socket.
 *
 * The watcher needs no GIL, so that it acts whatever Python is doing: while a module imports for a minute, or a C library
 * computes. The end of the socket means that the host is gone, or gives this worker up; the end of the host's process means so
 * too, where a child that the host forked still holds the socket open. Then the watcher kills its whole process group, so that children
 * which the user's code forked go too, or just this process where it does not lead a group.
 *
 * What this process cannot do for itself, because it is stopped, its template does: it kills its children when the host is gone, and the kernel
 * does when the template is (PR_SET_PDEATHSIG, set before the first instruction of a worker).
 */
#include "module.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "lane/handshake.h"
#include "sys/descriptor.h"
#include "sys/futex.h"
#include "sys/packet.h"
#include "sys/process.h"
#include "wire/writer.h"

#define CONFIG_FDS (SL__LANE_FDS + SL__CONFIG_FDS_EXTRA)
#define KEPT_MS 20                 /* until a message that there was no room for is looked at again */
#define WATCHER_STACK (256u << 10) /* it counts as data of the process, which may be limited */

struct sl__life *sl__life(void) {
    static struct sl__life life;
    return &life;
}

static void end_at_once(void) {
    if (getpgrp() == getpid()) {
        (void)kill(0, SIGKILL);
    }
    _exit(0);
}

static bool is_type(struct sl_value message, const char *name) {
    struct sl_value type;
    const char *text;
    size_t text_size;
    return sl_value_get(message, "type", &type) == SL_OK && sl_value_str(type, &text, &text_size) == SL_OK &&
           text_size == strlen(name) && memcmp(text, name, text_size) == 0;
}

static bool read_number(struct sl_value message, const char *key, uint64_t max, uint64_t *out) {
    struct sl_value value;
    return sl_value_get(message, key, &value) == SL_OK && sl_value_uint(value, out) == SL_OK && *out <= max;
}

/* False: what it says cannot be taken now; it is to be shown again. */
static bool hear(const uint8_t *packet, size_t size) {
    struct sl__life *life = sl__life();
    struct sl_value message;
    uint64_t number, stack_ms;
    if (sl_value_check(packet, size, NULL, &message, NULL) != SL_OK || sl_value_type(message) != SL_TYPE_MAP) {
        return true;
    }
    if (is_type(message, "stop")) {
        atomic_store(&life->stop, 1);
        sl__futex_wake(&life->stop, UINT32_MAX, SL__FUTEX_PRIVATE); /* who waits for a store to change */
        sl__lane_interrupt(life->lane);
    } else if (is_type(message, "ask") && read_number(message, "number", UINT64_MAX, &number) &&
               read_number(message, "stack_ms", UINT32_MAX, &stack_ms)) {
        sl__ask_answer(number, stack_ms);
    } else if (is_type(message, "drop")) {
        if (!sl__drops_put(message)) {
            return false;
        }
        sl__lane_interrupt(life->lane);
    }
    return true;
}

int sl__host_open(void) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int pidfd = -1;
    if (getsockopt(SL__WORKER_FD, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) {
        return -1;
    }
    struct sl_error error = SL_ERROR_INIT;
    if (sl__process_open(peer.pid, &pidfd, &error) != SL_OK) {
        pidfd = -1;
        if (error.system_errno == ESRCH) {
            end_at_once();
        }
    }
    sl_error_finish(&error);
    return pidfd;
}

static void *watch(void *unused) {
    (void)unused;
    static uint8_t packet[SL__MESSAGE_MAX];
    struct pollfd watched[] = {{.fd = SL__WORKER_FD, .events = POLLIN}, {.fd = sl__host_open(), .events = POLLIN}};
    bool kept = false; /* the packet could not be taken; its end of the socket is looked at all the same */
    size_t size = 0;
    for (;;) {
        size_t fd_count;
        watched[0].events = kept ? 0 : POLLIN;
        if (poll(watched, 2, kept ? KEPT_MS : -1) < 0) {
            continue;
        }
        if (watched[1].revents != 0 || (kept && watched[0].revents != 0)) {
            end_at_once();
        }
        if (kept) {
            kept = !hear(packet, size);
            continue;
        }
        enum sl_code code = sl__packet_receive(SL__WORKER_FD, packet, sizeof(packet), &size, NULL, 0, &fd_count,
                                               SL__PACKET_NOWAIT, NULL);
        if (code == SL_E_AGAIN) {
            continue;
        }
        if (code != SL_OK) {
            end_at_once();
        }
        kept = !hear(packet, size);
    }
    return NULL;
}

/* No signal is ever delivered to the watcher: handlers belong to Python's main thread. */
static int start_watcher(void) {
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&all);
    int status = pthread_attr_init(&attributes);
    if (status != 0) {
        return status;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, WATCHER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&thread, &attributes, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return status;
}

/* ---- the first message --------------------------------------------------------------------------------------- */

/* Takes what the lane needs out of the config message. NULL, or the key that is missing or unfit. */
static const char *read_config(struct sl_value message, uint64_t *protocol, uint64_t *layout,
                               struct sl__lane_config *config, uint64_t *memory_max) {
    uint64_t worker, generation, depth_max;
    if (!read_number(message, "protocol", UINT64_MAX, protocol)) {
        return "protocol";
    }
    if (!read_number(message, "layout", UINT64_MAX, layout)) {
        return "layout";
    }
    if (!read_number(message, "worker", UINT32_MAX, &worker)) {
        return "worker";
    }
    if (!read_number(message, "generation", UINT32_MAX, &generation)) {
        return "generation";
    }
    if (!read_number(message, "segment_bytes", UINT64_MAX, &config->segment_bytes)) {
        return "segment_bytes";
    }
    if (!read_number(message, "payload_bytes_max", UINT64_MAX, &config->payload_bytes_max)) {
        return "payload_bytes_max";
    }
    if (!read_number(message, "depth_max", SL_DEPTH_MAX_LIMIT, &depth_max) || depth_max == 0) {
        return "depth_max";
    }
    if (!read_number(message, "memory_max", UINT64_MAX, memory_max)) {
        return "memory_max";
    }
    if (!sl__redactor_take(message)) {
        return "redact";
    }
    config->limits = (struct sl_limits)SL_LIMITS_INIT;
    config->limits.depth_max = (uint32_t)depth_max;
    config->lane = (uint32_t)worker;
    config->generation = (uint32_t)generation;
    return NULL;
}

static void close_all(int *fds, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sl__close(&fds[i]);
    }
}

static PyObject *raise_error(struct sl__state *state, const struct sl_error *error) {
    return sl__raise(state, error->code, "%s", error->message);
}

/* What goes beyond it is refused by the kernel, which makes MemoryError of it in Python. */
static void limit_memory(uint64_t bytes) {
    struct rlimit limit;
    if (bytes > 0 && getrlimit(RLIMIT_DATA, &limit) == 0) {
        limit.rlim_cur = SL_MIN((rlim_t)bytes, limit.rlim_max);
        (void)setrlimit(RLIMIT_DATA, &limit);
    }
}

/* Checks the message and attaches the lane. Takes over the descriptors. */
static int attach(struct sl__state *state, struct sl_value message, int *fds, size_t fd_count) {
    struct sl__lane_config config = {0};
    uint64_t protocol = 0, layout = 0, memory_max = 0;
    const char *wrong = read_config(message, &protocol, &layout, &config, &memory_max);
    if (wrong != NULL && protocol == SL__PROTOCOL) {
        sl__raise(state, SL_E_PROTOCOL, "the host's first message has no usable '%s'", wrong);
    } else if (protocol != SL__PROTOCOL || layout != sl__lane_layout()) {
        sl__raise(
            state, SL_E_VERSION,
            "host and worker package are of different builds: the host speaks protocol %llu with lane layout %llx, the "
            "package protocol %d with layout %llx; set SLITHER_PACKAGE_PATH to the package of this build",
            (unsigned long long)protocol, (unsigned long long)layout, SL__PROTOCOL,
            (unsigned long long)sl__lane_layout());
    } else if (fd_count != CONFIG_FDS && fd_count != SL__CONFIG_FDS_MAX) {
        sl__raise(state, SL_E_PROTOCOL, "the host's first message came with %zu descriptors instead of %d or %d",
                  fd_count, CONFIG_FDS, SL__CONFIG_FDS_MAX);
    }
    if (PyErr_Occurred()) {
        close_all(fds, fd_count);
        return -1;
    }
    struct sl_error error = SL_ERROR_INIT;
    struct sl__life *life = sl__life();
    if (fd_count == SL__CONFIG_FDS_MAX) {
        sl__calls_open(fds[CONFIG_FDS]);
    }
    if (sl__lane_attach(fds, &config, &life->lane, &error) != SL_OK) {
        raise_error(state, &error);
        sl_error_finish(&error);
        sl__close(&fds[SL__LANE_FDS]);
        return -1;
    }
    life->depth_max = config.limits.depth_max;
    life->worker = config.lane;
    life->generation = config.generation;
    sl__box_install(fds[SL__LANE_FDS]);
    limit_memory(memory_max);
    return 0;
}

PyObject *sl__worker_connect(PyObject *module, PyObject *unused) {
    (void)unused;
    struct sl__state *state = sl__state_of(module);
    struct sl__life *life = sl__life();
    if (life->lane != NULL || life->forked) {
        return sl__raise(state, SL_E_INVALID_ARGUMENT, "this process has connected to its host already");
    }
    (void)fcntl(SL__WORKER_FD, F_SETFD, FD_CLOEXEC);
    uint8_t *packet = PyMem_Malloc(SL__MESSAGE_MAX);
    if (packet == NULL) {
        return PyErr_NoMemory();
    }
    int fds[SL__CONFIG_FDS_MAX];
    size_t size = 0, fd_count = 0;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    Py_BEGIN_ALLOW_THREADS;
    code = sl__packet_receive(SL__WORKER_FD, packet, SL__MESSAGE_MAX, &size, fds, SL__CONFIG_FDS_MAX, &fd_count, 0,
                              &error);
    Py_END_ALLOW_THREADS;
    PyObject *config = NULL;
    struct sl_value message;
    if (code == SL_OK && (code = sl_value_check(packet, size, NULL, &message, &error)) != SL_OK) {
        close_all(fds, fd_count);
    }
    if (code == SL_E_END) {
        sl__raise(state, SL_E_CLOSED, "the host has ended before it sent its first message");
    } else if (code != SL_OK) {
        raise_error(state, &error);
    } else if (attach(state, message, fds, fd_count) == 0) {
        struct sl__decoder decoder = {
            .state = state,
            .start = packet,
            .position = packet,
            .end = packet + size,
            .depth_max = SL_DEPTH_MAX_DEFAULT,
        };
        config = sl__decode(&decoder);
        int status = start_watcher();
        if (status != 0) {
            Py_CLEAR(config);
            sl__raise(state, SL_E_SYSTEM, "the thread that watches the host cannot be started: %s", strerror(status));
        }
    }
    sl_error_finish(&error);
    PyMem_Free(packet);
    return config;
}

PyObject *sl__worker_send(PyObject *module, PyObject *message) {
    struct sl__state *state = sl__state_of(module);
    if ((sl__life()->lane == NULL && !sl__life()->template) || sl__life()->forked) {
        return sl__raise(state, SL_E_CLOSED, "not in a worker: there is no host to send to");
    }
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    struct sl__encoder encoder = {.state = state, .writer = &writer, .depth_max = SL_DEPTH_MAX_DEFAULT};
    PyObject *result = NULL;
    if (sl__encode(&encoder, message, false) < 0) {
        sl__encode_finish_failure(&encoder);
    } else if (writer.size > SL__MESSAGE_MAX) {
        sl__raise(state, SL_E_LIMIT, "a life-cycle message has %zu bytes; at most %d are possible", writer.size,
                  SL__MESSAGE_MAX);
    } else {
        struct sl_error error = SL_ERROR_INIT;
        enum sl_code code;
        Py_BEGIN_ALLOW_THREADS;
        code = sl__packet_send(SL__WORKER_FD, writer.data, writer.size, NULL, 0, 0, &error);
        Py_END_ALLOW_THREADS;
        if (code == SL_OK) {
            Py_INCREF(Py_None);
            result = Py_None;
        } else {
            raise_error(state, &error);
        }
        sl_error_finish(&error);
    }
    sl_writer_finish(&writer);
    return result;
}

PyObject *sl__worker_forked(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct sl__life *life = sl__life();
    if (life->lane != NULL && !life->forked) {
        int fd = SL__WORKER_FD;
        sl__close(&fd);
        sl__box_leave();
        sl__calls_close();
        life->forked = true;
    }
    Py_INCREF(Py_None);
    return Py_None;
}

PyObject *sl__worker_is_forked(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyBool_FromLong(sl__life()->forked);
}
