/* SPDX-License-Identifier: MIT */
/*
 * Failure injection: makes the n-th call of a kind fail with a chosen errno, without the kernel being asked. Exists only in the
 * tests' variant of this room (sl_sys_fault_dep, which defines SL__SYS_FAULTS); in the library the seam compiles to nothing.
 * Counters are of the whole process, so that a call from any thread counts.
 */
#ifndef SLITHER_SYS_FAULT_H
#define SLITHER_SYS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sl__sys_call {
    SL__CALL_MEMFD_CREATE,
    SL__CALL_FTRUNCATE,
    SL__CALL_SEAL,
    SL__CALL_INSPECT,
    SL__CALL_MMAP,
    SL__CALL_MREMAP,
    SL__CALL_FUTEX_WAIT,
    SL__CALL_FUTEX_WAITV,
    SL__CALL_SOCKETPAIR,
    SL__CALL_SENDMSG,
    SL__CALL_RECVMSG,
    SL__CALL_PIPE,
    SL__CALL_READ,
    SL__CALL_WRITE,
    SL__CALL_DUP,
    SL__CALL_CLONE,
    SL__CALL_EXEC,
    SL__CALL_PIDFD_OPEN,
    SL__CALL_PIDFD_SIGNAL,
    SL__CALL_WAITID,
    SL__CALL_DIRECTORY, /* mkdir, open and flock of directories */
    SL__CALL_FILE,      /* open and fallocate of named files */
    SL__CALL_EPOLL_CREATE,
    SL__CALL_EPOLL_CTL,
    SL__CALL_EVENTFD,
    SL__CALL_TIMERFD,
    SL__CALL_OPEN,  /* of files that exist by themselves: /dev/null, /proc, /sys */
    SL__CALL_FCNTL, /* flags of descriptors */
    SL__CALL_STAT,
    SL__CALL_STACK, /* mmap of a stack for a new process */
    SL__CALL_POLL,
    SL__CALL_RANDOM,
    SL__CALL_COUNT_
};

/* Instead of an errno, for READ and WRITE: the call succeeds with one byte. */
#define SL__FAULT_SHORT (-1)

#ifdef SL__SYS_FAULTS
/** The call after `after_count` further ones of that kind fails with `number`; `number` 0 takes an earlier order back. */
void sl__sys_fail_next(enum sl__sys_call call, int number, uint32_t after_count);
/** Like sl__sys_fail_next, and all calls after that one fail too. */
void sl__sys_fail_from(enum sl__sys_call call, int number, uint32_t after_count);
/** Takes all orders back. */
void sl__sys_fail_clear(void);
/** Calls of that kind since the last clear: to fail each of them in turn, count first. */
uint32_t sl__sys_call_count(enum sl__sys_call call);

/* For the room itself: true with errno set when this call is to fail. */
bool sl__sys_fails(enum sl__sys_call call);
/* The same; `*size` becomes 1 when it is to be short. */
bool sl__sys_fails_or_cuts(enum sl__sys_call call, size_t *size);
#else
static inline bool sl__sys_fails(enum sl__sys_call call) {
    (void)call;
    return false;
}
static inline bool sl__sys_fails_or_cuts(enum sl__sys_call call, size_t *size) {
    (void)call;
    (void)size;
    return false;
}
#endif

#endif
