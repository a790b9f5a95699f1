/* SPDX-License-Identifier: MIT */
/*
 * Template: answers the host's requests to fork, and tells it how the children end. What it forks goes on as a worker.
 *
 * The loop below has the GIL all the time: there is no other thread, and none must come into being. It runs no Python code but the
 * handlers that were registered for forks.
 */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "lane/handshake.h"
#include "sys/descriptor.h"
#include "sys/packet.h"
#include "sys/process.h"
#include "wire/writer.h"

#define EXIT_CONFUSED 3 /* the host said what this build does not understand; it starts another template, or none */

static PyObject *raise_error(struct sl__state *state, struct sl_error *error) {
    sl__raise(state, error->code, "%s", error->message);
    sl_error_finish(error);
    return NULL;
}

/* ---- the first message ----------------------------------------------------------------------------------------- */

PyObject *sl__template_prepare(PyObject *module, PyObject *unused) {
    (void)unused;
    struct sl__state *state = sl__state_of(module);
    /*
     * During the imports nobody looks at the socket: a thread that did could not be had before a fork. So the kernel has to end this
     * process with the host. It does so at the end of the thread that started us, which lives as long as the host's runtime.
     */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct pollfd host = {.fd = SL__WORKER_FD};
    if (poll(&host, 1, 0) > 0 && (host.revents & POLLHUP) != 0)
        _exit(0); /* it had ended before */
    (void)fcntl(SL__WORKER_FD, F_SETFD, FD_CLOEXEC);
    uint8_t *packet = PyMem_Malloc(SL__MESSAGE_MAX);
    if (packet == NULL)
        return PyErr_NoMemory();
    struct sl_error error = SL_ERROR_INIT;
    size_t size, fd_count;
    uint64_t protocol = 0;
    struct sl_value message, field;
    PyObject *prepare = NULL;
    enum sl_code code =
        sl__packet_receive(SL__WORKER_FD, packet, SL__MESSAGE_MAX, &size, NULL, 0, &fd_count, 0, &error);
    if (code == SL_OK)
        code = sl_value_check(packet, size, NULL, &message, &error);
    if (code != SL_OK) {
        raise_error(state, &error);
    } else if (sl_value_get(message, "protocol", &field) != SL_OK || sl_value_uint(field, &protocol) != SL_OK ||
               protocol != SL__PROTOCOL) {
        sl__raise(
            state, SL_E_VERSION,
            "host and worker package are of different builds: the host speaks protocol %llu, the package protocol "
            "%d; set SLITHER_PACKAGE_PATH to the package of this build",
            (unsigned long long)protocol, SL__PROTOCOL);
    } else {
        struct sl__decoder decoder = {
            .state = state,
            .start = packet,
            .position = packet,
            .end = packet + size,
            .depth_max = SL_DEPTH_MAX_DEFAULT,
        };
        prepare = sl__decode(&decoder);
        sl__life()->template = prepare != NULL;
    }
    PyMem_Free(packet);
    return prepare;
}

/* ---- messages to the host -------------------------------------------------------------------------------------- */

/* A host that is gone is noticed by the loop. */
static void tell(struct sl_writer *writer, const int *fds, size_t fd_count) {
    struct sl_value value;
    if (sl_writer_end(writer, &value, NULL) != SL_OK)
        _exit(EXIT_CONFUSED); /* no memory for a message of a few bytes */
    (void)sl__packet_send(SL__WORKER_FD, value.data, value.size, fds, fd_count, 0, NULL);
    sl_writer_finish(writer);
}

static void begin_message(struct sl_writer *writer, const char *type, uint32_t further) {
    sl_writer_init(writer, NULL);
    sl_write_map(writer, 1 + further);
    sl_write_str(writer, "type");
    sl_write_str(writer, type);
}

static void tell_ended(void *context, pid_t pid, int status, int signal_number, bool core) {
    (void)context;
    struct sl_writer writer;
    begin_message(&writer, "ended", 4);
    sl_write_str(&writer, "pid");
    sl_write_int(&writer, pid);
    sl_write_str(&writer, "status");
    sl_write_int(&writer, status);
    sl_write_str(&writer, "signal");
    sl_write_int(&writer, signal_number);
    sl_write_str(&writer, "core");
    sl_write_bool(&writer, core);
    tell(&writer, NULL, 0);
}

struct request {
    uint64_t worker, generation;
    int fds[SL__FORK_FDS];
};

static void begin_answer(struct sl_writer *writer, const char *type, const struct request *request) {
    begin_message(writer, type, 3);
    sl_write_str(writer, "worker");
    sl_write_uint(writer, request->worker);
    sl_write_str(writer, "generation");
    sl_write_uint(writer, request->generation);
}

static void tell_forked(const struct request *request, pid_t pid, int pidfd) {
    struct sl_writer writer;
    begin_answer(&writer, "forked", request);
    sl_write_str(&writer, "pid");
    sl_write_int(&writer, pid);
    tell(&writer, &pidfd, 1);
}

static void tell_fork_failed(const struct request *request, int number) {
    struct sl_writer writer;
    begin_answer(&writer, "fork_failed", request);
    sl_write_str(&writer, "errno");
    sl_write_int(&writer, number);
    tell(&writer, NULL, 0);
}

/* ---- forking --------------------------------------------------------------------------------------------------- */

/*
 * The child, before any Python code runs in it. The descriptors of the request lie above those that they become. `born` is closed when
 * it does not belong to the template's group any more.
 */
static void become_worker(struct sl__guard *guard, struct request *request, int born) {
    static const int targets[SL__FORK_FDS] = {STDOUT_FILENO, STDERR_FILENO, SL__WORKER_FD};
    (void)setsid();
    sl__close(&born);
    for (size_t i = 0; i < SL__FORK_FDS; i++) {
        if (dup2(request->fds[i], targets[i]) < 0)
            _exit(EXIT_CONFUSED);
        sl__close(&request->fds[i]);
    }
    sl__guard_leave(guard);
    sl__life()->template = false;
}

/* 1 in the child. */
static int fork_worker(struct sl__guard *guard, struct request *request) {
    if (!sl__guard_reserve(guard)) {
        tell_fork_failed(request, ENOMEM);
        return 0;
    }
    int born[2] = {-1, -1};
    if (pipe2(born, O_CLOEXEC) != 0) {
        tell_fork_failed(request, errno);
        return 0;
    }
    (void)fflush(NULL);
    PyOS_BeforeFork();
    pid_t pid = fork();
    int number = errno;
    if (pid == 0) {
        sl__close(&born[0]);
        become_worker(guard, request, born[1]);
        PyOS_AfterFork_Child();
        return 1;
    }
    PyOS_AfterFork_Parent();
    /* A worker that the host knows of must outlive us: when we end the host kills what is left of our group. */
    char nothing;
    sl__close(&born[1]);
    while (pid > 0 && read(born[0], &nothing, 1) < 0 && errno == EINTR) {
    }
    sl__close(&born[0]);
    int pidfd = -1;
    if (pid > 0 && sl__process_open(pid, &pidfd, NULL) != SL_OK) {
        number = errno != 0 ? errno : EMFILE;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        pid = -1;
    }
    if (pid > 0) {
        sl__guard_add(guard, pid);
        tell_forked(request, pid, pidfd);
    } else {
        tell_fork_failed(request, number);
    }
    sl__close(&pidfd);
    return 0;
}

PyObject *sl__template_rehearse(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    PyOS_BeforeFork();
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    PyOS_AfterFork_Parent();
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    Py_INCREF(Py_None);
    return Py_None;
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static bool is_type(struct sl_value message, const char *type) {
    struct sl_value value;
    const char *text;
    size_t size;
    return sl_value_type(message) == SL_TYPE_MAP && sl_value_get(message, "type", &value) == SL_OK &&
           sl_value_str(value, &text, &size) == SL_OK && size == strlen(type) && memcmp(text, type, size) == 0;
}

static bool read_number(struct sl_value message, const char *key, uint64_t *out) {
    struct sl_value value;
    return sl_value_get(message, key, &value) == SL_OK && sl_value_uint(value, out) == SL_OK;
}

/* 1 in a forked child. Does not return when the host is gone, wants the end, or cannot be understood. */
static int hear(struct sl__guard *guard) {
    uint8_t packet[1024];
    size_t size, fd_count;
    struct request request;
    struct sl_value message;
    enum sl_code code = sl__packet_receive(SL__WORKER_FD, packet, sizeof packet, &size, request.fds, SL__FORK_FDS,
                                           &fd_count, SL__PACKET_NOWAIT, NULL);
    if (code == SL_E_AGAIN)
        return 0;
    if (code == SL_E_END || code == SL_E_CLOSED)
        sl__guard_end(guard);
    if (code != SL_OK || sl_value_check(packet, size, NULL, &message, NULL) != SL_OK)
        _exit(EXIT_CONFUSED);
    if (is_type(message, "stop"))
        sl__guard_end(guard);
    if (!is_type(message, "fork") || fd_count != SL__FORK_FDS || !read_number(message, "worker", &request.worker) ||
        !read_number(message, "generation", &request.generation))
        _exit(EXIT_CONFUSED);
    int forked = fork_worker(guard, &request);
    for (size_t i = 0; i < SL__FORK_FDS && !forked; i++)
        sl__close(&request.fds[i]);
    return forked;
}

PyObject *sl__template_serve(PyObject *module, PyObject *unused) {
    (void)unused;
    struct sl__guard guard;
    int number = sl__guard_init(&guard);
    if (number != 0)
        return sl__raise(sl__state_of(module), SL_E_SYSTEM, "a template cannot watch its children: %s",
                         strerror(number));
    /* From now on the end of the host is seen, also by a template that was stopped, and it guards what descends from it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGCONT);
    struct pollfd wait[] = {
        {.fd = SL__WORKER_FD, .events = POLLIN},
        {.fd = guard.signals, .events = POLLIN},
        {.fd = sl__host_open(), .events = POLLIN}, /* a child that the host forked may hold the socket open */
    };
    for (int forked = 0; !forked;) {
        if (poll(wait, SL_COUNT_OF(wait), -1) < 0)
            continue;
        if (wait[2].revents != 0)
            sl__guard_end(&guard);
        sl__guard_reap(&guard, tell_ended, NULL);
        if (wait[0].revents != 0)
            forked = hear(&guard);
    }
    sl__close(&wait[2].fd);
    Py_INCREF(Py_None);
    return Py_None;
}
