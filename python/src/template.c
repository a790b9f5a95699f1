/* SPDX-License-Identifier: MIT */
/*
 * Template: answers the host's requests for workers, and tells it how they end. A worker is a fork of the template, which goes on as one, or a
 * program of its own; either way it is the template's child, and ends with it.
 *
 * The loop below has the GIL all the time: there is no other thread, and none must come into being. It runs no Python code but the
 * handlers that were registered for forks. During the imports, which may take a minute in C code, a thread without the GIL looks at the
 * host; it is gone before anything is forked.
 */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "lane/handshake.h"
#include "sys/descriptor.h"
#include "sys/packet.h"
#include "sys/process.h"
#include "sys/spawn.h"
#include "wire/writer.h"

#define EXIT_CONFUSED 3 /* the host said what this build does not understand; it starts another template, or none */

static PyObject *raise_error(struct sl__state *state, struct sl_error *error) {
    sl__raise(state, error->code, "%s", error->message);
    sl_error_finish(error);
    return NULL;
}

/* ---- the host, while nobody else looks ------------------------------------------------------------------------ */

#define WATCHER_STACK (256u << 10)

/* By nature once a process. */
static struct {
    pthread_t thread;
    _Atomic pid_t id;
    int wake; /* an eventfd; -1: there is no watcher */
} watcher = {.wake = -1};

static void *watch_host(void *unused) {
    (void)unused;
    struct pollfd wait[] = {
        {.fd = SL__WORKER_FD}, /* its end only: what else comes is for later */
        {.fd = sl__host_open(), .events = POLLIN},
        {.fd = watcher.wake, .events = POLLIN},
    };
    atomic_store(&watcher.id, (pid_t)syscall(SYS_gettid));
    while (wait[2].revents == 0) {
        if (poll(wait, SL_COUNT_OF(wait), -1) > 0 && (wait[0].revents != 0 || wait[1].revents != 0)) {
            sl__guard_end(NULL);
        }
    }
    sl__close(&wait[1].fd);
    return NULL;
}

/* 0, or an errno. */
static int start_watcher(void) {
    watcher.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watcher.wake < 0) {
        return errno;
    }
    sigset_t all, before;
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status == 0) {
        sigfillset(&all);
        (void)pthread_attr_setstacksize(&attributes, WATCHER_STACK);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        status = pthread_create(&watcher.thread, &attributes, watch_host, NULL);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
    }
    if (status != 0) {
        sl__close(&watcher.wake);
    }
    return status;
}

PyObject *sl__template_settle(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    if (watcher.wake >= 0) {
        const uint64_t one = 1;
        (void)!write(watcher.wake, &one, sizeof one);
        (void)pthread_join(watcher.thread, NULL);
        sl__close(&watcher.wake);
        /* The kernel takes a moment longer to forget it. */
        for (int i = 0; i < 1000 && syscall(SYS_tgkill, getpid(), atomic_load(&watcher.id), 0) == 0; i++) {
            (void)sched_yield();
        }
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/*
 * From now on the end of the host is seen by us, also when we are stopped; until now the kernel would have killed us, who had nothing to take
 * along. Its signal comes at the end of the thread that started us, which lives as long as the host's runtime.
 */
static int begin_guarding(void) {
    (void)fcntl(SL__WORKER_FD, F_SETFD, FD_CLOEXEC);
    int status = sl__guard_adopt();
    if (status == 0) {
        status = start_watcher();
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGCONT);
    return status;
}

PyObject *sl__template_resume(PyObject *module, PyObject *unused) {
    (void)unused;
    sl__life()->template = true;
    int status = begin_guarding();
    if (status != 0) {
        return sl__raise(sl__state_of(module), SL_E_SYSTEM, "a template cannot watch its host: %s", strerror(status));
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/* ---- the first message ----------------------------------------------------------------------------------------- */

PyObject *sl__template_prepare(PyObject *module, PyObject *unused) {
    (void)unused;
    struct sl__state *state = sl__state_of(module);
    int status = begin_guarding();
    if (status != 0) {
        return sl__raise(state, SL_E_SYSTEM, "a template cannot watch its host: %s", strerror(status));
    }
    uint8_t *packet = PyMem_Malloc(SL__MESSAGE_MAX);
    if (packet == NULL) {
        return PyErr_NoMemory();
    }
    struct sl_error error = SL_ERROR_INIT;
    size_t size, fd_count;
    uint64_t protocol = 0;
    struct sl_value message, field;
    PyObject *prepare = NULL;
    enum sl_code code =
        sl__packet_receive(SL__WORKER_FD, packet, SL__MESSAGE_MAX, &size, NULL, 0, &fd_count, 0, &error);
    if (code == SL_OK) {
        code = sl_value_check(packet, size, NULL, &message, &error);
    }
    if (code != SL_OK) {
        raise_error(state, &error);
    } else if (sl_value_get(message, "protocol", &field) != SL_OK || sl_value_uint(field, &protocol) != SL_OK ||
               protocol != SL__PROTOCOL) {
        sl__raise(
            state, SL_E_VERSION,
            "host and worker package are of different builds: the host speaks protocol %llu, the package protocol "
            "%d; set SLITHER_PACKAGE_PATH to the package of this build",
            (unsigned long long)protocol, SL__PROTOCOL);
    } else if (!sl__redactor_take(message)) {
        sl__raise(state, SL_E_PROTOCOL, "the host's first message has no usable 'redact'");
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
    if (sl_writer_end(writer, &value, NULL) != SL_OK) {
        _exit(EXIT_CONFUSED); /* no memory for a message of a few bytes */
    }
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
    int fds[SL__START_FDS];
};

static void begin_answer(struct sl_writer *writer, const char *type, const struct request *request) {
    begin_message(writer, type, 3);
    sl_write_str(writer, "worker");
    sl_write_uint(writer, request->worker);
    sl_write_str(writer, "generation");
    sl_write_uint(writer, request->generation);
}

static void tell_started(const struct request *request, pid_t pid, int pidfd) {
    struct sl_writer writer;
    begin_answer(&writer, "started", request);
    sl_write_str(&writer, "pid");
    sl_write_int(&writer, pid);
    tell(&writer, &pidfd, 1);
}

static void tell_start_failed(const struct request *request, int number) {
    struct sl_writer writer;
    begin_answer(&writer, "start_failed", request);
    sl_write_str(&writer, "errno");
    sl_write_int(&writer, number);
    tell(&writer, NULL, 0);
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

/*
 * The child, before any Python code runs in it. The descriptors of the request lie above those that they become. `born` is closed when
 * it does not belong to the template's group any more. A worker does not outlive its template, which alone could end what it starts.
 */
static void become_worker(struct sl__guard *guard, struct request *request, int born, pid_t template) {
    static const int targets[SL__START_FDS] = {STDOUT_FILENO, STDERR_FILENO, SL__WORKER_FD};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != template) {
        _exit(0); /* it had ended before */
    }
    (void)setsid();
    sl__close(&born);
    for (size_t i = 0; i < SL__START_FDS; i++) {
        if (dup2(request->fds[i], targets[i]) < 0) {
            _exit(EXIT_CONFUSED);
        }
        sl__close(&request->fds[i]);
    }
    sl__guard_leave(guard);
    sl__life()->template = false;
}

/* 1 in the child. */
static int fork_worker(struct sl__guard *guard, struct request *request) {
    if (!sl__guard_reserve(guard)) {
        tell_start_failed(request, ENOMEM);
        return 0;
    }
    int born[2] = {-1, -1};
    if (pipe2(born, O_CLOEXEC) != 0) {
        tell_start_failed(request, errno);
        return 0;
    }
    (void)fflush(NULL);
    pid_t self = getpid();
    PyOS_BeforeFork();
    pid_t pid = fork();
    int number = errno;
    if (pid == 0) {
        sl__close(&born[0]);
        become_worker(guard, request, born[1], self);
        PyOS_AfterFork_Child();
        return 1;
    }
    PyOS_AfterFork_Parent();
    /* A worker that the host knows of leads its group, which the host may kill. */
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
        tell_started(request, pid, pidfd);
    } else {
        tell_start_failed(request, number);
    }
    sl__close(&pidfd);
    return 0;
}

/* As a program of its own. A template that starts programs has imported nothing, so it has nothing to share, and its environment is the host's. */
static void execute_worker(struct sl__guard *guard, const struct request *request, const char *const *argv) {
    if (!sl__guard_reserve(guard)) {
        tell_start_failed(request, ENOMEM);
        return;
    }
    const struct sl__spawn_fd fds[] = {
        {STDIN_FILENO, STDIN_FILENO},
        {request->fds[0], STDOUT_FILENO},
        {request->fds[1], STDERR_FILENO},
        {request->fds[2], SL__WORKER_FD},
    };
    const struct sl__spawn spawn = {
        .program = argv[0],
        .argv = argv,
        .fds = fds,
        .fd_count = SL_COUNT_OF(fds),
        .group = SL__SPAWN_SESSION_OWN,
        .death_signal = SIGKILL,
    };
    struct sl_error error = SL_ERROR_INIT;
    pid_t pid;
    int pidfd;
    if (sl__spawn(&spawn, &pid, &pidfd, &error) == SL_OK) {
        sl__guard_add(guard, pid);
        tell_started(request, pid, pidfd);
    } else {
        tell_start_failed(request, error.system_errno != 0 ? error.system_errno : ENOMEM);
    }
    sl_error_finish(&error);
    sl__close(&pidfd);
}

PyObject *sl__template_rehearse(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    PyOS_BeforeFork();
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    PyOS_AfterFork_Parent();
    if (pid > 0) {
        (void)waitpid(pid, NULL, 0);
    }
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

/* 1 in a forked child. Does not return when the host is gone, wants the end, or cannot be understood. `argv`: see serve. */
static int hear(struct sl__guard *guard, const char *const *argv) {
    uint8_t packet[1024];
    size_t size, fd_count;
    struct request request;
    struct sl_value message;
    enum sl_code code = sl__packet_receive(SL__WORKER_FD, packet, sizeof packet, &size, request.fds, SL__START_FDS,
                                           &fd_count, SL__PACKET_NOWAIT, NULL);
    if (code == SL_E_AGAIN) {
        return 0;
    }
    if (code == SL_E_END || code == SL_E_CLOSED) {
        sl__guard_end(guard);
    }
    if (code != SL_OK || sl_value_check(packet, size, NULL, &message, NULL) != SL_OK) {
        _exit(EXIT_CONFUSED);
    }
    if (is_type(message, "stop")) {
        sl__guard_end(guard);
    }
    if (!is_type(message, "start") || fd_count != SL__START_FDS || !read_number(message, "worker", &request.worker) ||
        !read_number(message, "generation", &request.generation)) {
        _exit(EXIT_CONFUSED);
    }
    int forked = 0;
    if (argv == NULL) {
        forked = fork_worker(guard, &request);
    } else {
        execute_worker(guard, &request, argv);
    }
    for (size_t i = 0; i < SL__START_FDS && !forked; i++) {
        sl__close(&request.fds[i]);
    }
    return forked;
}

/* A list of bytes as an array for exec, which lives as long as the list and is PyMem_Free'd; NULL with an exception. */
static const char **strings_of(PyObject *list) {
    Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : -1;
    const char **strings = count > 0 ? PyMem_Calloc((size_t)count + 1, sizeof(*strings)) : NULL;
    for (Py_ssize_t i = 0; strings != NULL && i < count; i++) {
        strings[i] = PyBytes_AsString(PyList_GetItem(list, i));
        if (strings[i] == NULL) {
            PyMem_Free(strings);
            return NULL;
        }
    }
    if (strings == NULL) {
        PyErr_SetString(PyExc_TypeError, "expected a list of bytes that is not empty");
    }
    return strings;
}

/* Returns with an exception, or not at all. Descriptors that have no place in the new program are closed whoever opened them, and how. */
PyObject *sl__template_replace(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *argv_list, *environment_list;
    const char *directory;
    if (!PyArg_ParseTuple(arguments, "OOy", &argv_list, &environment_list, &directory)) {
        return NULL;
    }
    const char **argv = strings_of(argv_list);
    const char **environment = argv != NULL ? strings_of(environment_list) : NULL;
    if (environment != NULL) {
        sigset_t none;
        sigemptyset(&none);
        (void)fcntl(SL__WORKER_FD, F_SETFD, 0);
        (void)syscall(SYS_close_range, SL__WORKER_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (chdir(directory) == 0) {
            (void)execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)environment);
        }
        PyErr_SetFromErrno(PyExc_OSError);
        (void)fcntl(SL__WORKER_FD, F_SETFD, FD_CLOEXEC);
    }
    PyMem_Free(environment);
    PyMem_Free(argv);
    return NULL;
}

static void serve(struct sl__guard *guard, const char *const *argv) {
    struct pollfd wait[] = {
        {.fd = SL__WORKER_FD, .events = POLLIN},
        {.fd = guard->signals, .events = POLLIN},
        {.fd = sl__host_open(), .events = POLLIN}, /* a child that the host forked may hold the socket open */
    };
    for (int forked = 0; !forked;) {
        if (poll(wait, SL_COUNT_OF(wait), -1) < 0) {
            continue;
        }
        if (wait[2].revents != 0) {
            sl__guard_end(guard);
        }
        sl__guard_reap(guard, tell_ended, NULL);
        if (wait[0].revents != 0) {
            forked = hear(guard, argv);
        }
    }
    sl__close(&wait[2].fd);
}

/* `list`: None, or the arguments of a worker that is a program of its own. */
PyObject *sl__template_serve(PyObject *module, PyObject *list) {
    struct sl__guard guard;
    const char **argv = NULL;
    if (list != Py_None && (argv = strings_of(list)) == NULL) {
        return NULL;
    }
    int number = sl__guard_init(&guard);
    if (number != 0) {
        PyMem_Free(argv);
        return sl__raise(sl__state_of(module), SL_E_SYSTEM, "a template cannot watch its children: %s",
                         strerror(number));
    }
    serve(&guard, argv);
    PyMem_Free(argv);
    Py_INCREF(Py_None);
    return Py_None;
}
