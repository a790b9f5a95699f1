/* SPDX-License-Identifier: MIT */
/*
 * What is this worker doing? The watcher (life.c) answers, which is a thread without the GIL; so it cannot look, but has to conclude:
 *
 *   idle     the serve loop says so itself
 *   python   a pending call, which the interpreter makes between two bytecodes, has been made
 *   native   it has not, and the main thread has used processor time meanwhile
 *   waiting  it has not, and the main thread sleeps
 *
 * An interpreter of CPython 3.11 does not look at its queue because a thread other than its own has put something there. It does when a signal
 * comes whose handler is a Python function: ours does nothing. Only a main thread that runs is sent one, because a system call that
 * waits might be interrupted.
 *
 * A pending call that has not been made stays in the interpreter's queue. So the time since it was put there is a time in which no bytecode
 * has been executed, which tells one long call from many short ones.
 *
 * The stack is written by faulthandler, in a signal handler of the main thread, and needs no GIL either. Our handler stands before
 * faulthandler's and says when it is done.
 */
#include "module.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "lane/handshake.h"
#include "sys/clock.h"
#include "sys/packet.h"
#include "sys/proc.h"
#include "wire/writer.h"

#define NAP_NS 1000000
#define NS_PER_MS 1000000u
#define LOOK_NS (120u * NS_PER_MS) /* at most for one answer; a busy machine may need it, or more */
#define NATIVE_NS (8u * NS_PER_MS) /* processor time without a bytecode */
#define ASLEEP_LOOKS 15            /* in a row, one each nap */
#define BOX_FD_MIN 200             /* out of the way of those who close or count on small descriptors */

/* Of the process, as struct sl__life is; the watcher's alone but for the atomic members. */
static struct {
    pthread_t main_thread;
    int box;
    bool can_dump;
    bool can_nudge;
    void (*dump)(int);
    _Atomic uint32_t dumped;  /* by the handler */
    _Atomic uint32_t pending; /* a call is in the interpreter's queue */
    uint64_t pending_ns;      /* since when */
    uint64_t pending_batch;   /* during which batch it was put there */
} self = {.box = -1};

/* ---- black box ------------------------------------------------------------------------------------------------- */

static void dump_and_tell(int number) {
    self.dump(number);
    atomic_store(&self.dumped, 1);
}

/* Stands before the handler that faulthandler has set. */
static bool stand_before(int number) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) != 0 || (action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler == SIG_DFL ||
        action.sa_handler == SIG_IGN) {
        return false;
    }
    self.dump = action.sa_handler;
    action.sa_handler = dump_and_tell;
    action.sa_flags |= SA_RESTART; /* who is interrupted must not notice */
    return sigaction(number, &action, NULL) == 0;
}

static PyObject *be_nudged(PyObject *module, PyObject *arguments) {
    (void)module;
    (void)arguments;
    return Py_NewRef(Py_None);
}

/* A signal handler in Python, which does not let system calls fail. */
static bool install_nudge(void) {
    static PyMethodDef method = {"nudge", be_nudged, METH_VARARGS, NULL};
    struct sigaction action;
    PyObject *function = PyCFunction_New(&method, NULL);
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *before = function != NULL && module != NULL
                           ? PyObject_CallMethod(module, "signal", "iO", SL__NUDGE_SIGNAL, function)
                           : NULL;
    bool installed = before != NULL && sigaction(SL__NUDGE_SIGNAL, NULL, &action) == 0;
    if (installed) {
        action.sa_flags |= SA_RESTART;
        installed = sigaction(SL__NUDGE_SIGNAL, &action, NULL) == 0;
    }
    Py_XDECREF(before);
    Py_XDECREF(module);
    Py_XDECREF(function);
    return installed;
}

/* Without faulthandler there are no stacks; that is no reason not to work. */
void sl__box_install(int fd) {
    self.main_thread = pthread_self();
    int high = fcntl(fd, F_DUPFD_CLOEXEC, BOX_FD_MIN);
    if (high >= 0) {
        (void)close(fd);
    }
    self.box = high >= 0 ? high : fd;
    PyObject *faulthandler = PyImport_ImportModule("faulthandler");
    PyObject *enabled =
        faulthandler != NULL ? PyObject_CallMethod(faulthandler, "enable", "iO", self.box, Py_True) : NULL;
    PyObject *registered =
        enabled != NULL ? PyObject_CallMethod(faulthandler, "register", "iiO", SL__STACK_SIGNAL, self.box, Py_True)
                        : NULL;
    self.can_dump = registered != NULL && stand_before(SL__STACK_SIGNAL);
    PyErr_Clear();
    self.can_nudge = install_nudge();
    PyErr_Clear();
    Py_XDECREF(faulthandler);
    Py_XDECREF(enabled);
    Py_XDECREF(registered);
}

void sl__box_leave(void) {
    if (self.box >= 0) {
        (void)dup3(STDERR_FILENO, self.box, O_CLOEXEC);
    }
}

/* Whether the stack has been written. */
static bool write_stack(uint64_t stack_ms) {
    if (!self.can_dump) {
        return false;
    }
    uint64_t deadline_ns = sl__clock_now_ns() + stack_ms * NS_PER_MS;
    atomic_store(&self.dumped, 0);
    if (pthread_kill(self.main_thread, SL__STACK_SIGNAL) != 0) {
        return false;
    }
    while (atomic_load(&self.dumped) == 0 && !sl__clock_passed(deadline_ns)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS / 4}, NULL);
    }
    return atomic_load(&self.dumped) != 0;
}

/* ---- activity -------------------------------------------------------------------------------------------------- */

static int pending_made(void *unused) {
    (void)unused;
    atomic_store(&self.pending, 0);
    return 0;
}

static void put_pending(void) {
    struct sl__life *life = sl__life();
    uint64_t batch = atomic_load_explicit(&life->batch_number, memory_order_relaxed);
    if (atomic_load(&self.pending) != 0) {
        if (batch != self.pending_batch) {
            self.pending_batch = batch;
            self.pending_ns = sl__clock_now_ns();
        }
        return;
    }
    /* An interpreter that is about to end makes no calls, and is not to be disturbed. */
    if (atomic_load(&life->stop) == 0) {
        self.pending_ns = sl__clock_now_ns();
        self.pending_batch = batch;
        atomic_store(&self.pending, 1);
        if (Py_AddPendingCall(pending_made, NULL) != 0) {
            atomic_store(&self.pending, 0);
        }
    }
}

static uint64_t main_cpu_ns(void) {
    clockid_t clock;
    struct timespec used = {0};
    if (pthread_getcpuclockid(self.main_thread, &clock) == 0) {
        (void)clock_gettime(clock, &used);
    }
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static char main_state(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", (long)getpid());
    return sl__proc_state_at(path);
}

static enum sl_activity find_activity(uint64_t look_ns, uint64_t *stuck_ms) {
    struct sl__life *life = sl__life();
    *stuck_ms = 0;
    if (atomic_load(&life->idle) != 0) {
        return SL_ACTIVITY_IDLE;
    }
    put_pending();
    bool put = atomic_load(&self.pending) != 0;
    uint64_t cpu_ns = main_cpu_ns(), until_ns = sl__clock_now_ns() + look_ns;
    enum sl_activity activity = SL_ACTIVITY_UNKNOWN;
    bool nudged = false;
    for (int asleep = 0; activity == SL_ACTIVITY_UNKNOWN;) {
        char state = main_state();
        if (state == 'R' && put && !nudged && self.can_nudge) {
            nudged = pthread_kill(self.main_thread, SL__NUDGE_SIGNAL) == 0;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        asleep = state == 'S' || state == 'D' ? asleep + 1 : 0;
        if (put && atomic_load(&self.pending) == 0) {
            return SL_ACTIVITY_PYTHON;
        }
        if (atomic_load(&life->idle) != 0) {
            return SL_ACTIVITY_IDLE;
        }
        if (main_cpu_ns() - cpu_ns >= NATIVE_NS) {
            activity = SL_ACTIVITY_NATIVE;
        } else if (asleep >= ASLEEP_LOOKS) {
            activity = SL_ACTIVITY_WAITING;
        } else if (sl__clock_passed(until_ns)) {
            break; /* it gets no processor to do anything with, so nobody can know */
        }
    }
    if (put && activity != SL_ACTIVITY_UNKNOWN) {
        *stuck_ms = (sl__clock_now_ns() - self.pending_ns) / NS_PER_MS;
    }
    return activity;
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

static bool no_room(struct sl_writer *writer, size_t needed) {
    (void)needed;
    sl__writer_fail(writer, SL_E_LIMIT, "an answer has its bound");
    return false;
}

/* Takes no memory: there may be none. */
void sl__ask_answer(uint64_t number, uint64_t stack_ms) {
    uint8_t memory[256];
    uint64_t stuck_ms;
    /* Who is asked for a stack is about to die of a timeout: nothing else waits for the answer, and half of its time is for this. */
    uint64_t look_ns = stack_ms / 2 * NS_PER_MS;
    enum sl_activity activity = find_activity(look_ns > LOOK_NS ? look_ns : LOOK_NS, &stuck_ms);
    bool stack = stack_ms > 0 && write_stack(stack_ms);
    struct sl_writer writer;
    struct sl_value message;
    struct sl_limits limits = SL_LIMITS_INIT;
    sl__writer_init_at(&writer, memory, sizeof memory, &limits, no_room);
    sl_write_map(&writer, 5);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "state");
    sl_write_str(&writer, "number");
    sl_write_uint(&writer, number);
    sl_write_str(&writer, "activity");
    sl_write_str(&writer, sl_activity_name(activity));
    sl_write_str(&writer, "stuck_ms");
    sl_write_uint(&writer, stuck_ms);
    sl_write_str(&writer, "stack");
    sl_write_bool(&writer, stack);
    if (sl_writer_end(&writer, &message, NULL) == SL_OK) {
        (void)sl__packet_send(SL__WORKER_FD, message.data, message.size, NULL, 0, SL__PACKET_NOWAIT, NULL);
    }
    sl_writer_finish(&writer);
}
