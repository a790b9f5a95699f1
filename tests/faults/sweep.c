/* SPDX-License-Identifier: MIT */
#include "sweep.h"
#include "descriptors.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 40
#define FAULTS_MAX 8192

static const struct {
    enum sl__sys_call call;
    const char *name;
    int numbers[6];
    bool lasts; /* the first of them is a shortage, which may last */
} kinds[] = {
    {SL__CALL_MEMFD_CREATE, "memfd_create", {EMFILE, ENOMEM}, true},
    {SL__CALL_FTRUNCATE, "ftruncate", {ENOSPC, EINTR}, true},
    {SL__CALL_SEAL, "fcntl(F_ADD_SEALS)", {EPERM}},
    {SL__CALL_INSPECT, "fcntl(F_GET_SEALS)", {EINVAL}},
    {SL__CALL_MMAP, "mmap", {ENOMEM}, true},
    {SL__CALL_MREMAP, "mremap", {ENOMEM}, true},
    {SL__CALL_FUTEX_WAIT, "futex", {EINTR, EAGAIN}},
    {SL__CALL_FUTEX_WAITV, "futex_waitv", {ENOSYS, EINTR, ENOMEM}, true},
    {SL__CALL_SOCKETPAIR, "socketpair", {EMFILE, ENOMEM}, true},
    {SL__CALL_SENDMSG, "sendmsg", {ENOBUFS, EAGAIN, EINTR, ENOMEM, ETOOMANYREFS}},
    {SL__CALL_RECVMSG, "recvmsg", {EINTR, EAGAIN, ENOMEM}},
    {SL__CALL_PIPE, "pipe2", {EMFILE, ENFILE}, true},
    {SL__CALL_READ, "read", {EINTR, EAGAIN, EIO, SL__FAULT_SHORT}},
    {SL__CALL_WRITE, "write", {EINTR, ENOSPC, SL__FAULT_SHORT}},
    {SL__CALL_DUP, "fcntl(F_DUPFD)", {EMFILE}},
    {SL__CALL_CLONE, "clone", {EAGAIN, ENOMEM}, true},
    {SL__CALL_EXEC, "execve", {ENOMEM}},
    {SL__CALL_PIDFD_OPEN, "pidfd_open", {EMFILE}},
    {SL__CALL_PIDFD_SIGNAL, "pidfd_send_signal", {EPERM}},
    {SL__CALL_WAITID, "waitid", {EINTR}},
    {SL__CALL_DIRECTORY, "mkdir, open or flock of a directory", {EACCES, ENOMEM}},
    {SL__CALL_FILE, "open or fallocate", {ENOSPC, EMFILE}},
    {SL__CALL_EPOLL_CREATE, "epoll_create", {EMFILE}},
    {SL__CALL_EPOLL_CTL, "epoll_ctl", {ENOMEM}},
    {SL__CALL_EVENTFD, "eventfd", {EMFILE}},
    {SL__CALL_TIMERFD, "timerfd", {EMFILE}},
    {SL__CALL_OPEN, "open", {EMFILE}, true},
    {SL__CALL_FCNTL, "fcntl(F_GETFL, F_SETFL)", {ENOMEM}},
    {SL__CALL_STAT, "fstat", {ENOMEM}},
    {SL__CALL_STACK, "mmap of a stack", {ENOMEM}, true},
    {SL__CALL_POLL, "poll", {EINTR, ENOMEM}},
    {SL__CALL_RANDOM, "getrandom", {EAGAIN}},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

/* ---- one fault --------------------------------------------------------------------------------------------------- */

static struct fault current;
static char doing[192]; /* for the one who has to say that it hangs */

static void describe(const char *scenario) {
    const char *name = "nothing";
    for (size_t i = 0; i < KIND_COUNT; i++) {
        name = kinds[i].call == current.call && current.number != 0 ? kinds[i].name : name;
    }
    const char *what = current.number == SL__FAULT_SHORT ? "is short"
                       : current.number != 0             ? strerrorname_np(current.number)
                                                         : "fails";
    snprintf(doing, sizeof doing, "scenario %s, call %u of %s%s: %s", scenario, current.after + 1, name,
             current.lasting ? " and all that follow" : "", what);
}

static void hangs(int number) {
    static const char text[] = "it hangs: ";
    (void)number;
    (void)!write(2, text, sizeof text - 1);
    (void)!write(2, doing, strlen(doing));
    (void)!write(2, "\n", 1);
    _exit(3);
}

static void nothing_is_left(int descriptors) {
    pid_t left = waitpid(-1, NULL, WNOHANG);
    if (left >= 0 || errno != ECHILD) {
        fail_msg("%s: child %ld is left", doing, (long)left);
    }
    int now = descriptor_count();
    if (now != descriptors) {
        fail_msg("%s: %d descriptors are open, %d were before", doing, now, descriptors);
    }
}

static void run(const char *name, void (*scenario)(void), const struct fault *fault) {
    current = *fault;
    describe(name);
    if (getenv("SLITHER_FAULT_TRACE") != NULL) {
        fprintf(stderr, "%s\n", doing);
    }
    sl__sys_fail_clear();
    if (fault->lasting) {
        sl__sys_fail_from(fault->call, fault->number, fault->after);
    } else if (fault->number != 0) {
        sl__sys_fail_next(fault->call, fault->number, fault->after);
    }
    alarm(PATIENCE_S);
    scenario();
    alarm(0);
    sl__sys_fail_clear();
}

bool fault_has_come(void) {
    return current.number != 0 && sl__sys_call_count(current.call) > current.after;
}

bool fault_is_over(void) {
    return current.number == 0 || (fault_has_come() && !current.lasting);
}

void expect_clear_error(enum sl_code code, struct sl_error *error) {
    if (code == SL_OK || error->code != code || strlen(error->message) < 10) {
        fail_msg("%s: code %s, and the error says %s: \"%s\"", doing, sl_code_name(code), sl_code_name(error->code),
                 error->message);
    }
    sl_error_finish(error);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static uint32_t list_faults(struct fault *faults) {
    uint32_t count = 0;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        uint32_t calls = sl__sys_call_count(kinds[i].call);
        for (size_t k = 0; k < 6 && kinds[i].numbers[k] != 0; k++) {
            for (uint32_t after = 0; after < calls && count < FAULTS_MAX; after++) {
                faults[count++] = (struct fault){kinds[i].call, kinds[i].numbers[k], after, false};
            }
        }
        for (uint32_t after = 0; kinds[i].lasts && after < calls && count < FAULTS_MAX; after++) {
            faults[count++] = (struct fault){kinds[i].call, kinds[i].numbers[0], after, true};
        }
    }
    return count;
}

static void shuffle(struct fault *faults, uint32_t count) {
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    for (uint32_t i = count; i > 1; i--) {
        uint32_t k = (uint32_t)rand_r(&seed) % i;
        struct fault fault = faults[i - 1];
        faults[i - 1] = faults[k];
        faults[k] = fault;
    }
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void sweep(const char *name, void (*scenario)(void), uint32_t budget_ms) {
    static struct fault faults[FAULTS_MAX];
    const char *mode = getenv("SLITHER_FAULT_SWEEP");
    bool all = mode != NULL && strcmp(mode, "all") == 0;
    const char *only = getenv("SLITHER_FAULT_SCENARIO");
    if (only != NULL && strcmp(only, name) != 0) {
        return;
    }
    signal(SIGALRM, hangs);
    run(name, scenario, &(struct fault){0});
    int descriptors = descriptor_count(); /* libuv has opened a pipe for the whole process */
    sl__sys_fail_clear();                 /* the second run finds all of that done, and is the one that is counted */
    current = (struct fault){0};
    alarm(PATIENCE_S);
    scenario();
    alarm(0);
    describe(name);
    nothing_is_left(descriptors);
    uint32_t count = list_faults(faults), done = 0;
    assert_true(count > 0 && count < FAULTS_MAX);
    shuffle(faults, count);
    uint64_t start = now_ms();
    while (done < count && (all || now_ms() - start < budget_ms)) {
        run(name, scenario, &faults[done++]);
        nothing_is_left(descriptors);
    }
    print_message("%s: %u of %u faults\n", name, done, count);
}
