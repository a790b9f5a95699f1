/* SPDX-License-Identifier: MIT */
#include "sys/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "sys/clock.h"
#include "sys/fault.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 /* Linux 5.16; the number is the same on every architecture */
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
#endif

/* The kernel's struct futex_waitv, which older headers lack. */
struct waitv_entry {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

#define POLL_NS 1000000u /* between two looks where futex_waitv is missing */

static struct timespec timespec_of(uint64_t ns) {
    struct timespec when = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    return when;
}

int sl__futex_wait(const _Atomic uint32_t *word, uint32_t expected, enum sl__futex_scope scope, uint64_t deadline_ns) {
    struct timespec when = timespec_of(deadline_ns);
    int operation = FUTEX_WAIT_BITSET | (scope == SL__FUTEX_PRIVATE ? FUTEX_PRIVATE_FLAG : 0);
    if (sl__sys_fails(SL__CALL_FUTEX_WAIT)) {
        return errno;
    }
    /* FUTEX_WAIT_BITSET takes an absolute time, of CLOCK_MONOTONIC unless told otherwise. */
    long result =
        syscall(SYS_futex, word, operation, expected, deadline_ns != 0 ? &when : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
    return result == 0 ? 0 : errno;
}

static int wait_by_polling(const struct sl__futex_word *words, size_t count, uint64_t deadline_ns) {
    for (;;) {
        for (size_t i = 0; i < count; i++) {
            if (atomic_load_explicit(words[i].word, memory_order_acquire) != words[i].expected) {
                return EAGAIN;
            }
        }
        uint64_t now = sl__clock_now_ns();
        if (deadline_ns != 0 && now >= deadline_ns) {
            return ETIMEDOUT;
        }
        uint64_t until = now + POLL_NS;
        if (deadline_ns != 0 && until > deadline_ns) {
            until = deadline_ns;
        }
        int result = sl__futex_wait(words[0].word, words[0].expected, words[0].scope, until);
        if (result != ETIMEDOUT) {
            return result;
        }
    }
}

int sl__futex_wait_any(const struct sl__futex_word *words, size_t count, uint64_t deadline_ns) {
    SL_ASSERT(count >= 1 && count <= SL__FUTEX_WORDS_MAX);
    if (count == 1) {
        return sl__futex_wait(words[0].word, words[0].expected, words[0].scope, deadline_ns);
    }
    struct waitv_entry entries[SL__FUTEX_WORDS_MAX];
    for (size_t i = 0; i < count; i++) {
        entries[i].value = words[i].expected;
        entries[i].address = (uintptr_t)words[i].word;
        entries[i].flags = FUTEX_32 | (words[i].scope == SL__FUTEX_PRIVATE ? FUTEX_PRIVATE_FLAG : 0u);
        entries[i].reserved = 0;
    }
    struct timespec when = timespec_of(deadline_ns);
    long result = -1;
    if (!sl__sys_fails(SL__CALL_FUTEX_WAITV)) {
        result =
            syscall(SYS_futex_waitv, entries, (unsigned)count, 0u, deadline_ns != 0 ? &when : NULL, CLOCK_MONOTONIC);
    }
    if (result >= 0) {
        return 0;
    }
    if (errno == ENOSYS || errno == EPERM || errno == EACCES) {
        return wait_by_polling(words, count, deadline_ns);
    }
    return errno;
}

void sl__futex_wake(const _Atomic uint32_t *word, uint32_t count, enum sl__futex_scope scope) {
    int saved = errno;
    int operation = FUTEX_WAKE | (scope == SL__FUTEX_PRIVATE ? FUTEX_PRIVATE_FLAG : 0);
    (void)syscall(SYS_futex, word, operation, count > INT32_MAX ? INT32_MAX : count, NULL, NULL, 0);
    errno = saved;
}
